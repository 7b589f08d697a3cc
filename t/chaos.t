# The programs of t/chaos, in short.

use strict;
use warnings;

use Test::More;

my @programs = qw(start exact reload revisions stop forget kill gateways
                  failover connectors);

plan(tests => scalar @programs);

$ENV{CRED_SEED} //= int rand 1_000_000;

for my $program (@programs) {
    open my $out, '-|', $^X, "t/chaos/$program", 'short' or die $!;

    while (<$out>) {
        chomp;
        /^\s*not ok/ ? diag($_) : note($_ =~ s/^# //r);
    }

    close $out;
    is($?, 0, $program) or diag("again with CRED_SEED=$ENV{CRED_SEED}");
}
