# The same of environments: what is not undeployed there is pending.

use CredTest;
use CredTest::Delete;
use CredTest::Gateway;
use CredTest::Hostile;

defaults(sample());

our ($Broken, $Wrong) = nonsense();

run_tests();


__DATA__

=== TEST 1: an environment, to TIME
--- before
peers('TIME', %$::Broken, %$::Wrong);
--- http_config eval: main::timeouts()
--- config eval: main::config()
--- script
my $before = start();
register(map { $_ => "redis://127.0.0.1:$::Ports{$_}" } keys %::Ports);
is_pending(del('api-user'), keys %::Ports);
survives($before, \%::Ports);
are_pending('api-user', keys %::Ports);



=== TEST 2: an environment, to stream.lua
--- before
peers('STREAM', %$::Broken, %$::Wrong);
--- http_config eval: main::timeouts()
--- config eval: main::config()
--- script
my $before = start();
register(map { $_ => "redis://127.0.0.1:$::Ports{$_}" } keys %::Ports);
is_pending(del('api-user'), keys %::Ports);
survives($before, \%::Ports);
are_pending('api-user', keys %::Ports);



=== TEST 3: an environment, to undeploy.lua
--- before
peers('UNDEPLOY', %$::Broken, %$::Wrong);
--- http_config eval: main::timeouts()
--- config eval: main::config()
--- script
my $before = start();
register(map { $_ => "redis://127.0.0.1:$::Ports{$_}" } keys %::Ports);
is_pending(del('api-user'), keys %::Ports);
my %ends = map { $_ => $::Ports{$_} } grep { !/^error/ } keys %$::Broken;
survives($before, \%ends);
are_pending('api-user', keys %::Ports);



=== TEST 4: an environment, to effective.lua
--- before
my $waits = sub {
    my ($connection, @members) = @_[5 .. $#_];
    $::Count{$connection} ||= 7;
    return bytes([++$::Count{$connection} . ':1700000000001-0', ':1', ':3600000',
                  map { ('undeployed', '1-1') } @members]);
};

my %all = (%$::Broken, %$::Wrong);
our %Ports = hostile(map { $_ => { UNDEPLOY => $waits, EFFECTIVE => $all{$_} } }
                     keys %all);
--- http_config eval: main::timeouts()
--- config eval: main::config()
--- script
my $before = start();
register(map { $_ => "redis://127.0.0.1:$::Ports{$_}" } keys %::Ports);
is_pending(del('api-user'), keys %::Ports);
my %ends = map { $_ => $::Ports{$_} } grep { !/^error/ } keys %$::Broken;
survives($before, \%ends);
are_pending('api-user', keys %::Ports);



=== TEST 5: an environment with the largest numbers there are
--- before
my $most = '9223372036854775807';
my $id = '9' x 31 . '-' . '9' x 31;

my $undeployed = sub {
    my ($count, $gateways, $lease) = @_;
    return sub { bytes(["$count:1-1", $gateways, $lease, 'undeployed', '1-1']) };
};

my %is = (
    'counts-most'  => { STREAM => bytes([':1', $id, 'a' x 64, $most]),
                        UNDEPLOY => $undeployed->($most, ':0', ':0') },
    'counts-below' => { STREAM => bytes([':1', $id, 'a' x 64, $most]),
                        UNDEPLOY => $undeployed->('9223372036854775806', ':0', ':0') },
    'counts-none'  => { STREAM => bytes([":$most", $id, '', $most]),
                        UNDEPLOY => $undeployed->('0', ':0', ':0') },
    'gateways'     => { UNDEPLOY => $undeployed->('8', ":$most", ':3600000'),
                        EFFECTIVE => ":$most\r\n" },
    'gateways-all' => { UNDEPLOY => $undeployed->('8', ":$most", ':3600000'),
                        EFFECTIVE => bytes([":$most"]) },
    'gateways-less' => { UNDEPLOY => $undeployed->('8', ':1', ':3600000'),
                         EFFECTIVE => bytes([':-9223372036854775808']) },
    'years'        => { UNDEPLOY => $undeployed->('8', ':1', ":$most") },
    'years-ago'    => { UNDEPLOY => $undeployed->('8', ':1', ':-9223372036854775808') },
);

our %Ports = hostile(%is);
--- http_config eval: main::timeouts()
--- config eval: main::config()
--- script
my $before = start();
register(map { $_ => "redis://127.0.0.1:$::Ports{$_}" } keys %::Ports);
is_pending(del('api-user'), keys %::Ports);
my $claims = 0;
ok(wait_for(sub { ping_is_answered() && ++$claims > 100 }), 'a while later');
are_pending('api-user', keys %::Ports);
is_well($before);



=== TEST 6: one that never reads, and one that never accepts
--- before
our %Ports = hostile(deaf => { deaf => 1 }, asleep => { asleep => 1 });

locations(map { $_ => "location ~ /$_ { cred_delete apinizer;"
                      . " cred_registry redis://127.0.0.1:$Ports{$_}; }"
                      . "location = /page-$_ { cred_access apinizer; empty_gif;"
                      . " cred_environment redis://127.0.0.1:$Ports{$_}; }" }
                keys %Ports);
--- http_config eval: main::timeouts() . 'keepalive_requests 10000; http2_max_concurrent_streams 10000;'
--- config eval: main::config() . 'listen $TEST_NGINX_H2_PORT http2;'
--- script
my $before = start();
register(map { $_ => "redis://127.0.0.1:$::Ports{$_}" } keys %::Ports);
is_pending(del('api-user'), keys %::Ports);
my %got = answers(sort keys %::Ports);
answer_is($got{$_}, $_, failure(503)) for sort keys %got;
%got = gated(map { "page-$_" } keys %::Ports);
is($got{$_}, '503 MISS', $_) for sort keys %got;

for my $name (sort keys %::Ports) {
    my $url = "http://127.0.0.1:$ENV{TEST_NGINX_H2_PORT}" . path($name . 'x' x 400);
    my $text = `h2load -n 9000 -c 1 -m 9000 -w 24 -W 24 -H':method: DELETE' -H'Authorization: Bearer TOKEN' $url 2>&1`;
    like($text, qr/9000 done, 0 succeeded, 9000 failed, 0 errored/, "$name: all are refused");
}

are_tried_again({ deaf => $::Ports{deaf} });
is_well({ %$before, resident => $before->{resident} + 300000 });
