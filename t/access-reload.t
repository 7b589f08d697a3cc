# The processes of a gateway: workers that are killed or stopped, reload,
# upgrade, exit.

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

sub cached {
    my ($lease, %args) = @_;

    my $g = gateway_start('one', %args,
                http => "cred_access_lease $lease; cred_access_valid 1h;"
                        . ' cred_command_timeout 60s; cred_connect_timeout 60s;'
                        . ($args{http} // ''));

    local $Test::Builder::Level = $Test::Builder::Level + 1;

    ok(leased(), 'there is a lease');
    is(seen('KEY', port => $g->{port}), '200 MISS', 'the key passes');

    # not the first entry of its stream, at which all is forgotten

    ok(wait_for(sub { seen('KEY', port => $g->{port}) eq '200 HIT' }), 'and is cached');
    return $g;
}

sub workers_of { nginx_workers($_[0]{pid}) }

# the one that is subscribed

sub first { (sort { $a <=> $b } workers_of($_[0]))[0] }

sub subscribed {
    my ($n) = @_;
    return wait_for(sub {
        (redis('production', 'PUBSUB', 'NUMSUB', '{cred}:undeployed'))[1] == $n;
    });
}

# clients that ask with KEY all the time, until they are told to stop; then what
# they saw, each with the time at which it was asked

sub hammer {
    my ($g, $clients) = @_;

    my $stop = temp_dir() . '/stop';
    unlink $stop;

    my @pids = map {
        my $n = $_;
        unlink temp_dir() . "/hammer-$n.log";
        CredTest::Process::spawn('client', "hammer-$n", sub {
            $| = 1;
            my $sock;
            until (-e $stop) {
                my $start = Time::HiRes::time();
                my $got = eval { gate('KEY', port => $g->{port}) };
                printf "%.6f %s\n", $start, $got ? "$got->{status}" : 'none';
            }
        });
    } 1 .. $clients;

    return sub {
        my ($end) = @_;

        if ($end) {
            open my $out, '>', $stop;
            close $out;
            wait_for(sub { !grep { running($_) } @pids });
        }

        return map { [split / /] }
               map { split /\n/, slurp(temp_dir() . "/hammer-$_.log") } 1 .. $clients;
    };
}

# none but these, and after the time that is given no 200

sub hammered {
    my ($hammer, $after, @wanted) = @_;

    my $n = $hammer->();
    wait_for(sub { $hammer->() > $n + 50 });

    my @all = $hammer->(1);
    my %seen;
    my %wanted = map { $_ => 1 } @wanted;
    $seen{ $_->[1] }++ for grep { !$wanted{ $_->[1] } } @all;

    local $Test::Builder::Level = $Test::Builder::Level + 1;

    cmp_ok(scalar(@all), '>', 50, 'requests');
    is(join(', ', %seen), '', 'no other answers');
    is(scalar(grep { $_->[0] > $after && $_->[1] eq '200' } @all), 0,
       'none admitted after the answer');
}

run_tests();


__DATA__

=== TEST 1: the worker that is subscribed is killed
--- script
my $g = cached('2s', workers => 3);
ok(subscribed(1), 'one is subscribed');

for my $n (1 .. 3) {
    my ($first) = (first($g));
    my %old = map { $_ => 1 } workers_of($g);
    kill 'KILL', $first;
    ok(wait_for(sub { workers_of($g) == 3 && !grep { $_ == $first } workers_of($g) }),
       'another worker');
    ok(subscribed(1), 'one is subscribed');
    ok(leased(), 'there is a lease');
}

answer_is(del('api-user'), 'deleted', everywhere());
is(gate('KEY', port => $g->{port})->{status}, 401, 'refused') for 1 .. 20;
--- allow_log
exited on signal 9



=== TEST 2: the worker that is subscribed is stopped: others take over
--- script
my $g = cached('1s', workers => 3);
my ($first) = map { /#(\d+): gateway has a lease/ ? $1 : () }
              split /\n/, slurp("$g->{dir}/error.log");
ok($first, 'the first one');
freeze($first);

# there is a lease for much longer than one; the socket of whoever is stopped may
# have connections, so requests are few

my ($at) = map { $_->{at} } values %{ { gateways() } };
ok(wait_for(sub {
    my ($is) = values %{ { gateways() } };
    return $is && $is->{at} > $at + 3000;
}), 'the others call');

answer_is(del('api-user'), 'they confirm', everywhere());
is(keys %{ { gateways() } }, 1, 'nobody was forgotten');
thaw($first);
is(gate('KEY', port => $g->{port})->{status}, 401, 'refused') for 1 .. 20;



=== TEST 3: all workers are stopped, for longer than a lease
--- script
my $g = cached('1s', workers => 2);
freeze(workers_of($g));

# these wait in the socket from before the delete on, and after

my $ask = sub {
    my $sock = http_open(port => $g->{port});
    print $sock "GET /page HTTP/1.1\r\nHost: a\r\nX-API-Key: KEY\r\n\r\n";
    return $sock;
};

my @before = map { $ask->() } 1 .. 20;
answer_is(del('api-user'), 'deleted', everywhere());
my @after = map { $ask->() } 1 .. 20;
thaw(workers_of($g));
like(http_parse(http_read($_))->{status}, qr/^(?:200|401)$/, 'asked before') for @before;
is(http_parse(http_read($_))->{status}, 401, 'refused') for @after;
ok(leased(), 'there is a lease again');



=== TEST 4: reload, with a key in use
--- script
my $g = cached('5s', workers => 2);
my $hammer = hammer($g, 3);

for my $n (1 .. 3) {
    my $before = $hammer->();
    ok(wait_for(sub { $hammer->() > $before + 20 }), 'in use');
    ok(gateway_reload($g), 'reloaded');
}

ok(wait_for(sub { seen('KEY', port => $g->{port}) eq '200 HIT' }), 'from the cache');
is(keys %{ { gateways() } }, 1, 'it is one gateway');
answer_is(del('api-user'), 'deleted', everywhere());
my $deleted = Time::HiRes::time();
ok(gateway_reload($g), 'reloaded');
hammered($hammer, $deleted, 200, 401);



=== TEST 5: a delete while it is reloaded
--- script
my $g = cached('5s', workers => 2);
my $hammer = hammer($g, 3);
my $before = $hammer->();
ok(wait_for(sub { $hammer->() > $before + 20 }), 'in use');
kill 'HUP', $g->{pid};
answer_is(del('api-user'), 'deleted', everywhere());
my $deleted = Time::HiRes::time();
kill 'HUP', $g->{pid};
hammered($hammer, $deleted, 200, 401);
ok(wait_for(sub { workers_of($g) == 2 }), 'the old workers leave');



=== TEST 6: upgrade, with a key in use
--- script
my $g = cached('2s', workers => 2, daemon => 1);
my ($name) = keys %{ { gateways() } };
my $hammer = hammer($g, 3);
my $old = gateway_upgrade($g);
ok(wait_for(sub { 2 == (() = gateways()) / 2 }), 'two gateways');
ok(leased(undef, 2), 'each with a lease');
ok(wait_for(sub { seen('KEY', port => $g->{port}) eq '200 HIT' }), 'from the cache');
answer_is(del('api-user'), 'deleted', everywhere());
my $deleted = Time::HiRes::time();
is(keys %{ { gateways() } }, 2, 'both have confirmed');
kill 'QUIT', $old;
ok(wait_for(sub { !running($old) }), 'the former one leaves');
hammered($hammer, $deleted, 200, 401);

credential('other');
answer_is(del('other'), 'it is outwaited', everywhere());
my @names = keys %{ { gateways() } };
is(@names, 1, 'and forgotten');
isnt($names[0], $name, 'it');



=== TEST 7: an upgrade that is taken back
--- script
my $g = cached('2s', daemon => 1);
my $old = gateway_upgrade($g);
my $new = $g->{pid};
ok(leased(undef, 2), 'two gateways');
kill 'HUP', $old;
kill 'QUIT', $new;
ok(wait_for(sub { !running($new) }), 'the new one leaves');
$g->{pid} = $old;
ok(wait_for(sub { gate('KEY', port => $g->{port})->{status} == 200 }), 'it passes');
answer_is(del('api-user'), 'deleted', everywhere());
is(gate('KEY', port => $g->{port})->{status}, 401, 'refused') for 1 .. 10;
is(keys %{ { gateways() } }, 1, 'one is left');



=== TEST 8: a worker leaves while keys are looked up
--- script
my $relay = relay('production');
my $g = gateway_start('one', url => "redis://127.0.0.1:$relay", workers => 1,
    http => 'cred_command_timeout 60s; cred_connect_timeout 60s;');
ok(leased(), 'there is a lease');
is(gate('none', port => $g->{port})->{status}, 401, 'the script is known');
my ($old) = workers_of($g);
my $lookups = sub { scalar(() = map { /[0-9a-f]{64}/g } relayed($relay, 'access')) };
my $before = $lookups->();
hold($relay, reply => 'access');

my @socks = map { http_open(port => $g->{port}) } 1 .. 10;
print { $socks[$_] } "GET /page HTTP/1.1\r\nHost: a\r\nX-API-Key: "
                     . ($_ % 2 ? 'KEY' : "none$_") . "\r\n\r\n" for 0 .. 9;
ok(wait_for(sub { $lookups->() == $before + 6 }), 'under way');

gateway_conf($g);
kill 'HUP', $g->{pid};
ok(wait_for(sub { is_leaving($old) }), 'reloaded');

# some do not wait for it

close $_ for @socks[0, 1];
release($relay);
is(http_parse(http_read($socks[$_]))->{status}, $_ % 2 ? 200 : 401, "number $_")
    for 2 .. 9;
ok(wait_for(sub { !running($old) }), 'it has left');

# told to stop at once

my ($new) = workers_of($g);
hold($relay, reply => 'access');
@socks = map { http_open(port => $g->{port}) } 1 .. 4;
print $_ "GET /page HTTP/1.1\r\nHost: a\r\nX-API-Key: late\r\n\r\n" for @socks;
ok(wait_for(sub { held($relay) > 1 }), 'under way');
gateway_stop($g, 'TERM');
ok(!running($new), 'it has left');
release($relay);



=== TEST 9: a worker leaves while the environment is away
--- script
my $g = cached('1s');
redis_kill('production');
my ($old) = workers_of($g);
ok(gateway_reload($g), 'reloaded, and the old one has left');
is(gate('none', port => $g->{port})->{status}, 503, 'nobody can tell');
redis_start('production');
my %again = gateway();
redis_load('production', $again{production});
ok(wait_for(sub { gate('KEY', port => $g->{port})->{status} == 200 }), 'it is back');
ok(wait_for(sub { seen('KEY', port => $g->{port}) eq '200 HIT' }), 'with a lease');



=== TEST 10: one process
--- script
my $g = gateway_start('one', workers => 0,
                      http => 'cred_access_lease 2s; cred_access_valid 1h;');
ok(leased(), 'there is a lease');
key('other');
is(seen('KEY', port => $g->{port}), '200 MISS', 'the key passes');
ok(wait_for(sub { seen('KEY', port => $g->{port}) eq '200 HIT' }), 'and is cached');
answer_is(del('api-user'), 'deleted', everywhere());
is(gate('KEY', port => $g->{port})->{status}, 401, 'refused');
is(seen('other', port => $g->{port}), '200 MISS', 'another one passes');
answer_is(del('other'), 'deleted', everywhere());
is(gate('other', port => $g->{port})->{status}, 401, 'refused');
