
# Undeployments, lookups, calls for a lease and requests in the orders in which
# a deleted key could be admitted: what comes first is held until the rest has
# happened.

use CredTest;
use CredTest::Delete;
use CredTest::Instance;

my $registry = <<'END';
HSET {cred}:environments production $TEST_NGINX_PRODUCTION
HSET {cred}:apinizer:token:sha256(TOKEN) subject alice
HSET {cred}:apinizer:scope:MyProject description x
HSET {cred}:apinizer:members:MyProject alice manage
END

defaults(
    registry    => $registry,
    http_config => <<'END',
cred_registry         $TEST_NGINX_REGISTRY;
cred_connect_timeout  60s;
cred_command_timeout  60s;
cred_cascade_timeout  60s;
cred_retry_delay      100ms;
END
    config      => 'location /apiops/ { cred_delete apinizer; }',
);

our ($proxy, $gateway);


# a gateway behind a proxy, with "one" in its cache and a lease

sub begin {
    my (%args) = @_;

    deploy_key('one', 'KEY');
    deploy_key('two', 'OTHER');
    $proxy = proxy('production');
    $gateway = gateway_start(environment => $proxy->url, %args);
    ok(cached('KEY'), 'cached');
    ok(cached('OTHER'), 'cached, too');
}

sub cached {
    my ($key) = @_;
    return wait_for(sub { show($gateway, $key) eq 'HIT 200' });
}

sub end { is(join("\n", gateways_stop()), '', 'nothing alarming there') }


# what a lookup of this key, or a call for a lease of so many ms, has in it

sub lookup { my $hash = sha256($_[0]); qr/\r\n\Q$hash\E\r\n/ }
sub lease  { my ($ms) = @_; qr/:gateways\r\n.*\r\n$ms\r\n/s }

# in a reply to the latter

sub leased        { qr/\A\*2\r\n\$6\r\nleased\r\n/ }
sub undeployments { qr/\A\*(?!2\r\n\$6\r\nleased\r\n)/ }

sub start_delete {
    my $sock = http_open();
    print $sock del_raw($_[0] // 'one');
    return $sock;
}

sub is_deleted {
    my ($sock, $name) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    answer_is(http_parse(http_read($sock)), $name // 'deleted',
              deleted('production'));
}

# what Redis knows of the gateway

sub noted { redis('production', 'HVALS', '{cred}:gateways') }

# how many are gone from the environment

sub in_stream {
    my @words = redis('production', 'XRANGE', '{cred}:undeployments', '-', '+');
    return scalar grep { $_ eq 'operation' } @words;
}

sub refused {
    my ($name) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    my $status = show($gateway, 'KEY');
    like($status, qr/\b401$/, $name);
}

run_tests();


__DATA__

=== TEST 1: the reply to a lookup comes after the answer to the delete
--- script
our ($proxy, $gateway);
# in the worker that calls for leases, and in the other one

begin(workers => 2, lease => '1500ms');

for my $worker (sort { $a <=> $b } nginx_workers($gateway->{pid})) {
    ok(settled(), 'settled');
    deploy_key('three', "K$worker");

    my @socks = map { gateway_open($gateway, $worker) } 1, 2;
    my $rule = $proxy->hold('reply', qr/^/, to => lookup("K$worker"),
                            times => 1);

    print { $socks[0] } show_raw("K$worker");
    ok($proxy->wait_held($rule), 'the reply to the lookup is held');

    is_deleted(start_delete('three'));

    # one that has been sent since, to the same worker, and to any

    print { $socks[1] } show_raw("K$worker");
    my $other = http_open(port => $gateway->{port});
    print $other show_raw("K$worker");

    ok(!IO::Select->new($socks[0])->can_read(0), 'the old one waits still');
    $proxy->release($rule);

    like(shown($socks[0]), qr/\b(?:200|401)$/, 'that was under way');
    like(shown($_), qr/\b401$/, 'sent after the answer') for $socks[1], $other;
    like(show($gateway, "K$worker"), qr/\b401$/, 'nothing has stayed');
}
--- after
end();



=== TEST 2: the same, and the lookup waits before it is in Redis
--- script
our ($proxy, $gateway);
begin(workers => 2, lease => '1500ms');

for my $worker (sort { $a <=> $b } nginx_workers($gateway->{pid})) {
    ok(settled(), 'settled');
    deploy_key('three', "K$worker");

    my @socks = map { gateway_open($gateway, $worker) } 1, 2;
    my $rule = $proxy->hold('command', lookup("K$worker"), times => 1);

    print { $socks[0] } show_raw("K$worker");
    ok($proxy->wait_held($rule), 'the lookup is held');

    is_deleted(start_delete('three'));

    print { $socks[1] } show_raw("K$worker");
    ok(!IO::Select->new($socks[0])->can_read(0), 'the old one waits still');
    $proxy->release($rule);

    like(shown($_), qr/\b401$/, 'refused') for @socks;
}
--- after
end();



=== TEST 3: the bell does not ring
--- script
our ($proxy);
begin();

my $rule = $proxy->swallow('reply', qr/^\*3\r\n\$7\r\nmessage\r\n/);

is_deleted(start_delete());
refused('without having been told');
ok($proxy->wait_matched($rule), 'it would have rung');
ok(cached('OTHER'), 'another key');
--- after
end();



=== TEST 4: the connection of the bell is lost as it rings
--- script
our ($proxy);
begin();

my $rule = $proxy->drop('reply', qr/^\*3\r\n\$7\r\nmessage\r\n/, times => 1);
my $again = $proxy->watch('command', qr/\bSUBSCRIBE\r\n/i);

is_deleted(start_delete());
refused('without having been told');
ok($proxy->wait_matched($rule), 'it would have rung');
ok($proxy->wait_matched($again), 'it is listened for again');
--- after
end();



=== TEST 5: a call for a lease is in Redis after the answer
--- script
our ($proxy, $gateway);
begin(lease => '1300ms');

my $rule = $proxy->hold('command', lease(1300));
ok($proxy->wait_held($rule), 'a call is held');

my $sock = start_delete();
is_deleted($sock);

# what is looked up may have to wait behind the call

my @socks = map { http_open(port => $gateway->{port}) } 1, 2;
print { $socks[0] } show_raw('KEY');
$proxy->release($rule);
print { $socks[1] } show_raw('KEY');

like(shown($_), qr/\b(?:401|503)$/, 'not admitted') for @socks;
ok(cached('OTHER'), 'a lease again');
refused('not with a lease, either');
--- after
end();



=== TEST 6: the reply to a call for a lease comes after the answer
--- script
our ($proxy, $gateway);
# it was granted before the credential was gone

begin(lease => '1300ms');

my $rule = $proxy->hold('reply', leased(), to => lease(1300));
ok($proxy->wait_held($rule), 'a lease is held');

is_deleted(start_delete());
$proxy->release($rule);

unlike(show($gateway, 'KEY'), qr/\b200$/, "not admitted, $_") for 1 .. 3;

ok(cached('OTHER'), 'a lease again');
refused('not with a lease, either');
--- after
end();



=== TEST 7: calls for a lease are lost, before and after Redis
--- script
our ($proxy, $gateway);
begin(lease => '1300ms');

for (['command', lease(1300)], ['command', lease(1300), when => 'after'],
     ['reply', leased(), to => lease(1300)],
     ['reply', undeployments(), to => lease(1300)])
{
    my ($direction, $regex, @more) = @$_;

    ok(settled(), 'settled');
    deploy_key('one', 'KEY');
    ok(cached('KEY'), 'cached');

    my $rule = $proxy->drop($direction, $regex, @more, times => 2);
    is_deleted(start_delete());
    # its lease may be over, too
    like(show($gateway, 'KEY'), qr/\b(?:401|503)$/, "a lost $direction");
    ok($proxy->wait_matched($rule, 2), "two were lost: $regex");
    $proxy->release($rule);
    ok(cached('OTHER'), 'a lease again');
}
--- after
end();



=== TEST 8: no call comes through, and the gateway is waited for once
--- script
our ($proxy, $gateway);
begin(lease => '1300ms');

my $rule = $proxy->drop('command', lease(1300));

my $start = clock();
my $sock = start_delete();
ok(wait_for(sub { in_stream() == 1 }), 'gone from the environment');
is_deleted($sock);
cmp_ok(clock() - $start, '>=', 1.3, 'no earlier');
unlike(show($gateway, 'KEY'), qr/\b200$/, 'not admitted');

is(redis('production', 'HLEN', '{cred}:gateways'), 0, 'out of the gateways');
deploy_key('three', 'K');
my $answer = http_parse(http_read(start_delete('three')));
is($answer->{status}, 200, 'deleted');
ok(settled(), 'settled');
my $receipt = redis('registry', 'HGET',
                    '{cred}:operation:' . operation($answer),
                    'environment:production');
like($receipt, qr/"state":"undeployed"/, 'undeployed');
unlike($receipt, qr/"gateways"/, 'not waited for again');

$proxy->release($rule);
ok(cached('OTHER'), 'a lease again');
is(redis('production', 'HLEN', '{cred}:gateways'), 1, 'it is back');
refused('still');
--- after
end();



=== TEST 9: a gateway is stopped until after the answer
--- script
our ($gateway);
begin(lease => '1s');

my ($worker) = nginx_workers($gateway->{pid});
my @socks = map { gateway_open($gateway) } 1 .. 8;

kill 'STOP', $worker;
is_deleted(start_delete());
push @socks, map { http_open(port => $gateway->{port}) } 1 .. 8;
print $_ show_raw('KEY') for @socks;
kill 'CONT', $worker;

like(shown($_), qr/\b401$/, 'refused') for @socks;
ok(cached('OTHER'), 'a lease again');
--- after
end();



=== TEST 10: a worker stops between the clock and the request
--- before
# a line for the log stops it, once the pipe is full

use Fcntl ();
use POSIX ();
our $fifo = temp_dir() . '/fifo';
unlink $fifo;
POSIX::mkfifo($fifo, 0666) or die "mkfifo: $!";
chmod 0666, $fifo;
sysopen our $pipe, $fifo, Fcntl::O_RDWR() | Fcntl::O_NONBLOCK() or die $!;
--- script
our ($gateway);
our ($fifo, $pipe);
begin(lease => '1s',
      server => "location = /log { access_log $fifo; return 204; }");

my ($worker) = nginx_workers($gateway->{pid});
my $stop = http_open(port => $gateway->{port});
my $sock = gateway_open($gateway);

# both are to be read in one turn of the event loop: what precedes a request
# makes it ready, and the request itself follows

1 while syswrite $pipe, 'x' x 4096;
1 while syswrite $pipe, 'x';

ok(cached('KEY'), 'a lease');
kill 'STOP', $worker;
print $stop "GET /log HTTP/1.1\r\nHost: a\r\n\r\n";
print $sock "\r\n";
kill 'CONT', $worker;

ok(wait_for(sub { slurp("/proc/$worker/wchan") =~ /^pipe/
                  || slurp("/proc/$worker/syscall") =~ /^(?:1|4|64) / }),
   'it waits for the log');

is_deleted(start_delete());
print $sock show_raw('KEY');

1 while sysread $pipe, my $text, 65536;

like(shown($sock), qr/\b401$/, 'refused');
ok(cached('OTHER'), 'a lease again');
close $pipe;
--- after
end();



=== TEST 11: a lease is shortened, and the gateway does not hear of it from Redis
--- script
our ($proxy, $gateway);
begin(lease => '20s');

# it must take the shorter one before it is known

my $rule = $proxy->drop('reply', qr/^/, to => lease(400));
ok(gateway_reload($gateway, lease => '400ms'), 'reloaded');
ok($proxy->wait_matched($rule), 'announced');

my $start = clock();
is_deleted(start_delete());
cmp_ok(clock() - $start, '<', 20, 'the shorter one is waited for');
unlike(show($gateway, 'KEY'), qr/\b200$/, 'not admitted');
$proxy->release($rule);
ok(cached('OTHER'), 'a lease again');
refused('still');
--- after
end();



=== TEST 12: a lease is shortened while it is waited for
--- script
our ($proxy, $gateway);
begin(lease => '3s');

my $rule = $proxy->drop('command', lease(qr/\d+/));

my $start = clock();
my $sock = start_delete();
ok(wait_for(sub { in_stream() == 1 }), 'gone from the environment');
ok(gateway_reload($gateway, lease => '300ms'), 'reloaded');
$proxy->release($rule);
$rule = $proxy->drop('reply', leased(), to => lease(qr/\d+/));

is_deleted($sock);
unlike(show($gateway, 'KEY'), qr/\b200$/, 'not admitted');
$proxy->release($rule);
ok(cached('OTHER'), 'a lease again');
refused('still');
--- after
end();



=== TEST 13: a lease is lengthened while the shorter one is waited for
--- script
our ($proxy, $gateway);
begin(lease => '700ms');

my $rule = $proxy->hold('reply', qr/^/, to => lease(qr/\d+/));
ok($proxy->wait_held($rule), 'a lease is held');
my $sock = start_delete();
ok(wait_for(sub { in_stream() == 1 }), 'gone from the environment');
ok(gateway_reload($gateway, lease => '30s', keep => 1), 'reloaded');
is_deleted($sock);
$proxy->release($rule);

unlike(show($gateway, 'KEY'), qr/\b200$/, "not admitted, $_") for 1 .. 3;

ok(cached('OTHER'), 'a lease again');
refused('still');
--- after
end();



=== TEST 14: a gateway that is cut off admits nobody after one lease
--- script
our ($proxy, $gateway);
begin(lease => '1s');

my $other = http_open(port => $gateway->{port});
$proxy->cut;
my $cut = clock();
my ($last, $status) = (0);

ok(wait_for(sub {
    my $sent = clock();
    $status = show($gateway, 'OTHER');
    $last = $sent if $status =~ /\b200$/;
    return $status eq 'MISS 503';
}), 'unavailable');

cmp_ok($last, '<', $cut + 1, 'admitted for one lease');

# until then it had a lease, so that it is waited for

deploy_key('three', 'K');
$proxy->mend;
ok(cached('OTHER'), 'back again');
$proxy->cut;

my $start = clock();
my $sock = start_delete();
is_deleted($sock);
cmp_ok(clock() - $start, '>=', 1, 'not before it has no lease any more');
unlike(show($gateway, 'KEY'), qr/\b200$/, 'not admitted');
$proxy->mend;
ok(cached('OTHER'), 'back again');
refused('still');
--- after
end();



=== TEST 15: pending for as long as the answer does not wait for it
--- http_config
cred_registry         $TEST_NGINX_REGISTRY;
cred_connect_timeout  60s;
cred_command_timeout  60s;
cred_cascade_timeout  4s;
cred_retry_delay      100ms;
--- script
our ($proxy, $gateway);
begin(lease => '8s');
$proxy->cut;

my $answer = http_parse(http_read(start_delete()));
is($answer->{status}, 200, 'status');
is($answer->{headers}{'cred-pending'}, 'production', 'pending');
like($answer->{body}, qr/"success":false,"message":"Gateways have not confirmed,/,
     'why');
ok(settled(), 'settled');
unlike(show($gateway, 'KEY'), qr/\b200$/, 'not admitted');
my $operation = operation($answer);
my $receipt = redis('registry', 'HGET', "{cred}:operation:$operation",
                    'environment:production');
like($receipt, qr/$_/, "receipt: $_")
    for '"state":"undeployed"', '"gateways":1\b',
        '"effective":(?:[89]\d{3}|\d{5,})\b';
$proxy->mend;
ok(cached('OTHER'), 'back again');
refused('still');
--- after
end();



=== TEST 16: two gateways, and one of them is stopped
--- script
our ($proxy, $gateway);
begin(lease => '1200ms');
my $second = gateway_start(environment => $proxy->url, lease => '1200ms');
ok(wait_for(sub { show($second, 'KEY') eq 'HIT 200' }), 'both have it');

my ($worker) = nginx_workers($second->{pid});
kill 'STOP', $worker;
my $start = clock();
my $sock = start_delete();
ok(wait_for(sub { show($gateway, 'KEY') =~ /\b401$/ }),
   'the other one refuses it');
is_deleted($sock);
cmp_ok(clock() - $start, '>=', 1.2, 'not before its lease is over');
my $late = http_open(port => $second->{port});
print $late show_raw('KEY');
kill 'CONT', $worker;
like(shown($late), qr/\b401$/, 'refused');
ok(wait_for(sub { redis('production', 'HLEN', '{cred}:gateways') == 2 }),
   'both are there again');
--- after
end();



=== TEST 17: a lease is shortened and lengthened again while a worker is stopped
--- script
our ($proxy, $gateway);

# it has the reply to a call of before, for a lease of the same length

begin(lease => '30s');

my ($worker) = nginx_workers($gateway->{pid});
my $rule = $proxy->hold('reply', leased(), to => lease(30000));
redis('production', 'PUBLISH', '{cred}:undeployed', '');
ok($proxy->wait_held($rule), 'a lease is held');
kill 'STOP', $worker;
$proxy->release($rule);

ok(gateway_reload($gateway, lease => '400ms', keep => 1), 'shortened');
ok(wait_for(sub { noted() =~ /^400 / }), 'announced');
ok(cached('KEY'), 'a lease');

$rule = $proxy->drop('reply', undeployments(), to => lease(qr/\d+/));
is_deleted(start_delete());

ok(gateway_reload($gateway, lease => '30s', keep => 1), 'lengthened');
kill 'CONT', $worker;
ok(wait_for(sub { nginx_workers($gateway->{pid}) == 1 }), 'it has left');

unlike(show($gateway, 'KEY'), qr/\b200$/, "not admitted, $_") for 1 .. 3;
--- after
end();



=== TEST 18: a call for a shorter lease is overtaken by one for a longer lease
--- script
our ($proxy, $gateway);
begin(lease => '400ms');

my $rule = $proxy->hold('command', lease(400), times => 1);
ok($proxy->wait_held($rule), 'a call is held');
my ($old) = nginx_workers($gateway->{pid});
ok(gateway_reload($gateway, lease => '30s', keep => 1), 'lengthened');
ok(wait_for(sub { is_leaving($old) }), 'the old one accepts no more');
ok(cached('KEY'), 'a lease');
ok(wait_for(sub { noted() =~ /^30000 / }), 'announced');

$proxy->release($rule);
ok(wait_for(sub { nginx_workers($gateway->{pid}) == 1 }),
   'the old one arrives, and its worker leaves');

$rule = $proxy->drop('reply', undeployments(), to => lease(qr/\d+/));
my $sock = start_delete();
ok(wait_for(sub { in_stream() == 1 }), 'gone from the environment');

# an answer is right only when it is not admitted any more

ok(wait_for(sub {
    IO::Select->new($sock)->can_read(0)
        || show($gateway, 'KEY') !~ /\b200$/;
}, 60), 'an answer, or refused');
unlike(show($gateway, 'KEY'), qr/\b200$/, 'not admitted');
is_deleted($sock);
unlike(show($gateway, 'KEY'), qr/\b200$/, 'not admitted after the answer');
--- after
end();
