# All peers of the benchmark answer as documented and leave no copies; all gateways
# admit and refuse whom they should.

use strict;
use warnings;

use Test::More;

plan(skip_all => 'the peers need the nginx of this machine') if $ENV{CRED_NGINX};

my @lines = `bench/run smoke 2>&1`;

is($?, 0, 'bench/run smoke') or diag(@lines);

for my $peer (qw(module lua node)) {
    SKIP: {
        skip "the packages of $peer are absent", 1
            if grep { /^absent: $peer$/ } @lines;
        is(scalar(grep { /^$peer: 200 deletes/ } @lines), 2, $peer);
    }
}

for my $gateway (qw(module lua)) {
    SKIP: {
        skip "the packages of $gateway are absent", 1
            if grep { /^absent: $gateway$/ } @lines;
        is(scalar(grep { /^$gateway: (?:cached|cold|1000 keys|one key)/ } @lines), 4,
           "$gateway as a gateway");
    }
}

is(scalar(grep { /^module: 20 deletes took effect$/ } @lines), 1, 'effect');

done_testing();
