# The same of what gateways read: nobody passes that no Redis vouches for.

use CredTest;
use CredTest::Delete;
use CredTest::Gateway;
use CredTest::Hostile;

defaults(sample());

our ($Broken, $Wrong) = nonsense();

run_tests();


__DATA__

=== TEST 1: a gateway's environment, to TIME
--- before
environments('TIME', %$::Broken, %$::Wrong);
--- http_config eval: main::timeouts()
--- config eval: main::config()
--- script
my $before = start();
my %got = gated(sort keys %::Ports);
is("$got{$_}", '503 MISS', $_) for sort keys %got;
survives($before, \%::Ports);



=== TEST 2: a gateway's environment, to access.lua
--- before
environments('ACCESS', %$::Broken, %$::Wrong);
--- http_config eval: main::timeouts()
--- config eval: main::config()
--- script
my $before = start();
my %got = gated(sort keys %::Ports);
is("$got{$_}", '503 MISS', $_) for sort keys %got;
is_well($before, \%::Ports);



=== TEST 3: a gateway's environment, to lease.lua
--- before
environments('LEASE', %$::Broken, %$::Wrong);
--- http_config eval: main::timeouts() . 'cred_access_lease 300ms;'
--- config eval: main::config()
--- script
my $before = start();

# who has no lease looks up each time, if the connection is there just now

for (1 .. 5) {
    my %got = gated(sort keys %::Ports);
    like($got{$_}, qr/^(?:200|503) MISS$/, $_) for sort keys %got;
}

my %ends = map { $_ => $::Ports{$_} } grep { !/^error/ } keys %$::Broken;
survives($before, \%ends);



=== TEST 4: a gateway's environment, to SUBSCRIBE
--- before
environments('SUBSCRIBE', %$::Broken, %$::Wrong);
--- http_config eval: main::timeouts() . 'cred_access_lease 3s; cred_access_valid 1h;'
--- config eval: main::config()
--- script
my $before = start();
my %left = map { $_ => 1 } keys %::Ports;

ok(wait_for(sub {
    my %got = gated(sort keys %left);
    delete @left{ grep { $got{$_} eq '200 HIT' } keys %got };
    return !%left;
}), 'each has a lease without it') or diag(join ' ', sort keys %left);

# what is a reply may be a message, of which there may be a flood

my %ends = map { $_ => $::Ports{$_} }
           grep { !/^(?:endless|many-replies|two-arrays|bulk-unended)/ } keys %$::Broken;
are_tried_again(\%ends, 4);
is_well($before);



=== TEST 5: a subscription that says much, or never ends a line
--- before
my $message = bytes(['message', 'x', 'y']);
my $known = bytes(['subscribe', 'x', ':1']);

our %Ports = hostile(
    messages => { SUBSCRIBE => { endless => $message x 2000 } },
    numbers  => { SUBSCRIBE => { endless => ":1\r\n" x 16384 } },
    line     => { SUBSCRIBE => { first => $known . '+' . "\r" x 500000,
                                 endless => "\r", pause => 0.001 } },
    length   => { SUBSCRIBE => { first => $known . '$' . '1' x 500000,
                                 endless => '1', pause => 0.001 } },
);

locations(map { $_ => "location = /$_ { cred_access apinizer;"
                      . " cred_environment redis://127.0.0.1:$::Ports{$_};"
                      . ' empty_gif; }' } keys %Ports);
--- http_config eval: main::timeouts() . 'cred_access_lease 3s; cred_access_valid 1h;'
--- config eval: main::config()
--- script
my $before = start();

for my $name (sort keys %::Ports) {
    ok(wait_for(sub {
        ping_is_answered() && { gated($name) }->{$name} eq '200 HIT'
    }), "$name: it has a lease");
}

are_tried_again({ map { $_ => $::Ports{$_} } qw(line length) }, 4);
is_well($before);



=== TEST 6: an environment of a gateway that says whose a key is
--- before
my @lines = ("\r\nX-Evil: 1", "\n", "\0", "\x7f", "\e[31m", "\x1f");
my ($least, $most) = (':-9223372036854775808', ':9223372036854775807');

our (%Never, %Ever);
my $n = 0;

for (@lines) {
    $Never{'scope-' . ++$n} = bytes(["s$_:i", ':1', ':-1']);
    $Never{"id-$n"} = bytes(["s:i$_", ':1', ':-1']);
    $Never{"first-$n"} = bytes(["$_:i", ':1', ':-1']);
}

%Ever = (
    'long-granted' => bytes(['s:i', $most, $most]),
    'least'        => bytes(['s:i', $least, $least]),
    'binary'       => bytes(["\xff\xfe:\x80", ':1', ':-1']),
);

our %Ports = hostile(map { $_ => { ACCESS => $Never{$_} // $Ever{$_} } }
                     keys %Never, keys %Ever);

locations(map { $_ => "location = /$_ { cred_access apinizer; empty_gif;"
                      . ' add_header X-Id "$cred_access_scope $cred_access_id" always;'
                      . " cred_environment redis://127.0.0.1:$::Ports{$_}; }" }
                keys %Ports);
--- http_config eval: main::timeouts() . 'cred_access_valid 1h;'
--- config eval: main::config()
--- script
my $before = start();

for my $name (sort keys %::Ports) {
    my $got = gate('KEY', path => "/$name");
    is($got->{status}, $::Never{$name} ? 503 : 200, $name);
    is($got->{headers}{'x-evil'}, undef, 'no header of others');
}

is_well($before, \%::Ports);
