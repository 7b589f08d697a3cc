# The orders in which a gateway and the cascade could miss each other: a deleted
# key is refused in all of them.

use CredTest;
use CredTest::Delete;
use CredTest::Gateway;
use CredTest::Relay;

# this nginx deletes, others are the gateways

my %sections = gateway();

defaults(%sections, config => 'location /apiops/ { cred_delete apinizer; }',
         http_config => <<'END');
cred_registry         $TEST_NGINX_REGISTRY;
cred_cascade_timeout  60s;
END

# one that reaches production through a relay, and has KEY in its cache

sub cached {
    my ($lease, %args) = @_;

    my $relay = relay('production');
    my $g = gateway_start('one', %args, url => "redis://127.0.0.1:$relay",
                          http => conf($lease));

    local $Test::Builder::Level = $Test::Builder::Level + 1;

    ok(leased() && announced($lease), 'there is a lease');
    is(seen('KEY', port => $g->{port}), '200 MISS', 'the key passes');

    return ($g, $relay);
}

sub conf {
    my ($lease) = @_;
    return "cred_access_lease $lease; cred_access_valid 1h;"
           . ' cred_command_timeout 60s; cred_connect_timeout 60s;';
}

sub announced {
    my ($lease) = @_;
    my $ms = $lease =~ /^(\d+)ms$/ ? $1 : $lease =~ /^(\d+)s$/ ? 1000 * $1 : die;
    return wait_for(sub {
        my ($is) = values %{ { gateways() } };
        return $is && $is->{lease} == $ms;
    });
}

# what the gateway says of the key while what it asks is not answered: either it
# needs no answer, which is a HIT, or it waits for one, which is let through

sub refused {
    my ($g, $relay, $name) = @_;

    my $asked = relayed($relay, 'access');
    my $sock = ask($g);

    wait_for(sub {
        relayed($relay, 'access') > $asked || IO::Select->new($sock)->can_read(0);
    });
    release($relay);

    my $got = http_parse(http_read($sock));

    local $Test::Builder::Level = $Test::Builder::Level + 1;

    is("$got->{status} $got->{headers}{'x-cache'}", '401 MISS', $name);
}

# a request with KEY that is not waited for

sub ask {
    my ($g) = @_;
    my $sock = http_open(port => $g->{port});
    print $sock "GET /page HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer KEY\r\n"
                . "Connection: close\r\n\r\n";
    return $sock;
}

# a delete that is not waited for, but undeployed

sub ask_delete {
    my $last = last_id();
    my $sock = http_open();
    print $sock del_raw('api-user');
    ok(wait_for(sub { last_id() ne $last }), 'undeployed');
    return $sock;
}

# nothing that clients have sent waits for a worker

sub accepted {
    my ($g) = @_;
    my $port = sprintf ':%04X', $g->{port};

    return wait_for(sub {
        !grep {
            my (undef, $local, undef, undef, $queues) = split;
            defined $queues && $local =~ /\Q$port\E$/ && $queues !~ /:0+$/;
        } split /\n/, slurp('/proc/net/tcp');
    });
}

# only as many workers as there should be

sub left {
    my ($g) = @_;
    return wait_for(sub {
        nginx_workers($g->{pid}) == ($g->{args}{workers} // 1);
    });
}

run_tests();


__DATA__

=== TEST 1: a gateway that is stopped is waited for
--- script
my ($g, $relay) = cached('1s');
freeze(nginx_workers($g->{pid}));
answer_is(del('api-user'), 'deleted', everywhere());
hold($relay, reply => 'lease');
thaw(nginx_workers($g->{pid}));
refused($g, $relay, 'and refuses when it goes on');
ok(leased(), 'it comes back with its next call');



=== TEST 2: the lease counts from when the call was sent
--- script
my ($g, $relay) = cached('1s');
hold($relay, reply => 'lease');
ok(wait_for(sub { held($relay) }), 'a call is not answered');
answer_is(del('api-user'), 'deleted', everywhere());
release($relay, reply => 'lease');
refused($g, $relay, 'the answer is too late');



=== TEST 3: no lease before all is applied
--- script
my ($g, $relay) = cached('1s');
freeze(nginx_workers($g->{pid}));

for my $n (1 .. 600) {
    redis('production', 'XADD', '{cred}:undeployments', '*', 'api', 'apinizer',
          'scope', 'MyProject', 'id', "other$n");
}

answer_is(del('api-user'), 'deleted', everywhere());

# of its next call there is more to come

my ($applied) = map { $_->{applied} } gateways();
is($applied, undef, 'it was outwaited');
hold($relay, reply => ':gateways \S+ \S*-[0-9a-f]{12}-\d+ 1000 \d+ [1-9]');
thaw(nginx_workers($g->{pid}));
ok(wait_for(sub { held($relay) }), 'it has applied a part');
refused($g, $relay, 'without a lease');
ok(leased(), 'then it has applied all');



=== TEST 4: a lookup that is under way does not bring it back
--- script
my $relay = relay('production');
my $g = gateway_start('one', url => "redis://127.0.0.1:$relay", workers => 2,
                      http => conf('2s'));
my ($first) = sort { $a <=> $b } nginx_workers($g->{pid});
ok(leased(), 'there is a lease');
is(seen('unknown', port => $g->{port}), '401 MISS', 'the script is known');

# the first worker has the subscription, the other one looks the key up

freeze($first);
hold($relay, reply => 'access', 1);
my $before = ask($g);
ok(wait_for(sub { held($relay) }), 'found, but not answered');
thaw($first);
ok(leased(), 'the first worker has the lease');

answer_is(del('api-user'), 'deleted', everywhere());
freeze($first);
my $after = ask($g);
ok(accepted($g), 'another request has come');
thaw($first);
release($relay);

is(http_parse(http_read($before))->{status}, 200,
   'whoever came before may pass');
is(http_parse(http_read($after))->{status}, 401,
   'whoever came after the answer may not');
is(gate('KEY', port => $g->{port})->{status}, 401, 'and so it stays') for 1 .. 4;



=== TEST 5: a shorter lease is taken before it is announced
--- script
my ($g, $relay) = cached('20s');
ok(wait_for(sub { seen('KEY', port => $g->{port}) eq '200 HIT' }),
   'from the cache');
ok(gateway_reload($g, http => conf('300ms')), 'reloaded');
ok(announced('300ms'), 'announced');
freeze(nginx_workers($g->{pid}));
answer_is(del('api-user'), 'deleted', everywhere());
hold($relay, reply => 'lease');
thaw(nginx_workers($g->{pid}));
refused($g, $relay, 'that is over');



=== TEST 6: the answer to a call with the longer one
--- script
my ($g, $relay) = cached('6s');
hold($relay, reply => 'lease', 1);
ok(wait_for(sub { held($relay) }), 'a call is not answered');
gateway_conf($g, http => conf('300ms'));
kill 'HUP', $g->{pid};
ok(announced('300ms'), 'announced');
release($relay);
ok(left($g), 'answered, and the old worker leaves');
freeze(nginx_workers($g->{pid}));
answer_is(del('api-user'), 'deleted', everywhere());
hold($relay, reply => 'lease');
thaw(nginx_workers($g->{pid}));
refused($g, $relay, 'it has granted nothing');



=== TEST 7: a call with a shorter one that is late
--- script
my ($g, $relay) = cached('300ms');
hold($relay, request => 'lease', 1);
ok(wait_for(sub { held($relay) }), 'a call has not arrived');
my ($old) = nginx_workers($g->{pid});
gateway_conf($g, http => conf('20s'));
kill 'HUP', $g->{pid};
ok(wait_for(sub { is_leaving($old) }), 'reloaded');
my $calls = sub { scalar grep { / 20000 / } relayed($relay, 'lease') };
ok(wait_for(sub { $calls->() > 1 }) && announced('20s'), 'announced');
ok(wait_for(sub { seen('KEY', port => $g->{port}) eq '200 HIT' }),
   'from the cache');
release($relay, request => ':gateways \S+ \S*-[0-9a-f]{12}-\d+ 20000 ');
ok(left($g), 'it arrives, and the old worker leaves');

freeze(nginx_workers($g->{pid}));
my $answer = ask_delete();
my $waited = !IO::Select->new($answer)->can_read(2);
hold($relay, reply => 'lease');
thaw(nginx_workers($g->{pid}));
refused($g, $relay, 'refused') unless $waited;
ok($waited, 'the longer one is waited for');
release($relay);
answer_is(http_parse(http_read($answer)), 'deleted', everywhere());



=== TEST 8: the clock itself
--- script
my ($g, $relay) = cached('1s', main => 'timer_resolution 3s;');
hold($relay, reply => 'lease');
answer_is(del('api-user'), 'deleted', everywhere());
refused($g, $relay, 'the lease is over');



=== TEST 9: an environment that is lost meanwhile says nothing of its gateways
--- script
my ($g, $relay) = cached('15s');
freeze(nginx_workers($g->{pid}));
my $answer = ask_delete();

# what it said is read by now: the same worker has answered something later

call('GET', '/');
redis_kill('production');
redis_start('production');

# if that were taken for a success, it would come by now, when the lease of a
# gateway that was not outwaited is still good; when it is over it is attempted
# again

my $early = IO::Select->new($answer)->can_read(3);
hold($relay, reply => 'lease');
thaw(nginx_workers($g->{pid}));
refused($g, $relay, 'refused') if $early;
ok(!$early, 'the lease is waited for');
release($relay);
like(http_read($answer), qr/^HTTP\S+ 200 .*"success":false,"message":"Undep/s,
     'as pending');
ok(settled(), 'then it is undeployed');



=== TEST 10: ids that are larger than what a Lua number holds
--- script
redis('production', 'XADD', '{cred}:undeployments', $_, 'a', 'b')
    for '99999999999999-9007199254740992';
my ($g, $relay) = cached('2s');
hold($relay, reply => 'lease');
answer_is(del('api-user'), 'deleted', everywhere());
is(last_id(), '99999999999999-9007199254740993', 'the next one');
refused($g, $relay, 'refused');
