# The model of gateways: what doc/gateways.md says holds, and each of its rules
# is needed.

use strict;
use warnings;

use Test::More;

plan(skip_all => 'the model needs python3')
    if system('python3 -c "import typing" >/dev/null 2>&1');

open my $out, '-|', 'python3', 't/model/gateway.py' or die $!;

while (<$out>) {
    chomp;
    my ($as, $what, $how) = split /: /, $_, 3;
    is($as, 'as expected', $what);
    note($how);
}

close $out;
is($?, 0, 'the design holds, and nothing but the design');

done_testing();
