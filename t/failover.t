
# Registries and environments whose address stays, or whose name does, while
# another Redis becomes the master behind it; and replicas, which are none.

use CredTest redis => [qw(production staging)];
use CredTest::Delete;
use CredTest::Gateway;
use CredTest::Replica;
use CredTest::Sentinel;

our $Times = <<'END';
cred_connect_timeout  2s;
cred_command_timeout  2s;
cred_cascade_timeout  2s;
cred_retry_delay      100ms 200ms;
END

our %Sample = sample($Times);

defaults(
    %Sample,
    http_config => $Sample{http_config} =~ s/_REGISTRY;/_ADDRESS;/r,
);

# "one" is a master, "two" its replica, "registry" whichever is the master, and
# "address" leads to the first one

our $Address;

sub set_up {
    my (%args) = @_;

    redis_start('one');
    replica('two', 'one', %args);
    redis_alias('registry', sub { master_of(qw(one two)) });
    redis_load('registry', $Sample{registry});

    $Address = proxy('one');
    $ENV{TEST_NGINX_ADDRESS} = $Address->url;
}

sub register { redis('registry', 'HSET', '{cred}:environments', @_) }

sub logged {
    my ($regex) = @_;
    return scalar(my @lines = error_log_text() =~ /$regex/g);
}

sub recovers {
    my ($id) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    my $answer;
    wait_for(sub { ($answer = del($id))->{status} != 503 });
    answer_is($answer, "$id: it is back", everywhere());
}

sub remains {
    my ($name, @ids) = @_;
    return redis($name, 'EXISTS',
                 map { "{cred}:apinizer:credential:MyProject:$_" } @ids);
}

sub connections {
    my ($name) = @_;
    return redis_info($name, 'total_connections_received');
}

run_tests();


__DATA__

=== TEST 1: a replica is no registry, until it is a master
--- before
set_up();
--- http_config eval
$::Times . 'cred_registry redis://127.0.0.1:$TEST_NGINX_TWO_PORT;'
--- script
credential([1, 2]);
my $before = contents('one');
answer_is(del(1), 'a replica', failure(503)) for 1 .. 3;
ok(wait_for(sub { logged(qr/redis is down: it is a replica/) > 3 }),
   'it is asked again and again');
is(logged(qr/\[error\].* redis is down: it is a replica.*registry/), 1,
   'said once');
is(logged(qr/READONLY/), 0, 'no command was risked');
is_deeply(contents('one'), $before, 'nothing has changed');

# none of them empties itself for a copy of the other, which is doing so, too

ok(in_sync('two', 'one'), 'the replica has it all');
redis('two', 'REPLICAOF', 'NO', 'ONE');
redis('one', 'REPLICAOF', redis_address('two'));
recovers(1);
is(logged(qr/\[notice\].* redis is back, registry/), 1, 'and when it was back');
answer_is(del(2), 'and goes on', everywhere());



=== TEST 2: it becomes a replica while nginx is connected
--- before
set_up();
--- http_config eval
$::Times . 'cred_registry redis://127.0.0.1:$TEST_NGINX_ONE_PORT;'
--- script
credential([1 .. 3]);
answer_is(del(1), 'at first', everywhere());
ok(settled(), 'settled');
in_sync('two', 'one');
hand_over('one', 'two');

answer_is(del(2), 'a replica now', failure(503));
ok(wait_for(sub { logged(qr/redis is down: it is a replica.*registry/) }),
   'which is noticed');
is(remains('two', 2), 1, 'nothing has changed');
in_sync('one', 'two');
hand_over('two', 'one');
recovers(2);
answer_is(del(3), 'and goes on', everywhere());



=== TEST 3: an address that is moved after FAILOVER, with connections that stay
--- before
set_up();
--- script
credential([1 .. 6]);
answer_is(del(1), 'at first', everywhere());
ok(settled(), 'settled');
in_sync('two', 'one');
hand_over('one', 'two');
$::Address->lead('two');
recovers(2);
answer_is(del(3), 'and goes on', everywhere());
ok(settled(), 'settled');
in_sync('one', 'two');
is(remains($_, 1 .. 3), 0, "they are gone from $_") for qw(one two);

# the address is there before there is a master

$::Address->lead('one');
$::Address->hang_up;
answer_is(del(4), 'a replica', failure(503));
hand_over('two', 'one');
recovers(4);

# the connections break

hand_over('one', 'two');
$::Address->cut;
answer_is(del(5), 'nobody is there', failure(503));
$::Address->lead('two');
$::Address->mend;
recovers(5);
answer_is(del(6), 'and goes on', everywhere());
ok(settled(), 'settled');



=== TEST 4: deletes under way when the master hands over
--- before
set_up();
--- script
my @ids = map { "u$_" } 1 .. 240;
my %open = map { $_ => 1 } @ids;
my @wrong;
credential(\@ids);
answer_is(del('api-user'), 'connected', everywhere());
ok(settled(), 'settled');

my $read = sub {
    my ($sock, $id) = @_;
    my $answer = http_parse(http_read($sock));
    if ($answer->{status} == 200) {
        delete $open{$id};
    } elsif ($answer->{status} != 503) {
        push @wrong, "$id: $answer->{text}";
    }
};

my ($master, $replica) = qw(one two);

for (1 .. 4) {
    my @some = grep { defined } (sort keys %open)[0 .. 31];
    in_sync($replica, $master);
    my @socks = map { http_open() } @some;
    print { $socks[$_] } del_raw($some[$_]) for 0 .. @some / 2 - 1;
    redis($master, 'FAILOVER', 'TO', redis_address($replica));
    print { $socks[$_] } del_raw($some[$_]) for @some / 2 .. $#some;
    wait_for(sub { redis_role($replica) eq 'master'
                   && redis_role($master) eq 'slave' });
    ($master, $replica) = ($replica, $master);
    $::Address->lead($master);
    $read->($socks[$_], $some[$_]) for 0 .. $#some;
}

ok(wait_for(sub {
    my @some = grep { defined } (sort keys %open)[0 .. 31];
    my @socks = map { http_open() } @some;
    print { $socks[$_] } del_raw($some[$_]) for 0 .. $#some;
    $read->($socks[$_], $some[$_]) for 0 .. $#some;
    return !%open;
}), 'all are deleted');
is(join("\n", @wrong), '', 'no other answers');
ok(settled(), 'settled');
is(remains($_, @ids), 0, "nothing is left in $_")
    for qw(registry production staging);
is(scalar(grep { $_->{result} eq 'deleted' } audit()), 241,
   'each was done once');



=== TEST 5: a name that leads to the other one
--- before
set_up(host => '127.0.0.2');
$ENV{TEST_NGINX_DNS} = dns('redis.test' => '127.0.0.1');
--- http_config eval
$::Times . <<'END'
cred_registry  redis://redis.test:$TEST_NGINX_ONE_PORT;
resolver       127.0.0.1:$TEST_NGINX_DNS ipv6=off valid=1s;
END
--- script
credential([1 .. 4]);
answer_is(del(1), 'at first', everywhere());
ok(settled(), 'settled');
in_sync('two', 'one');
hand_over('one', 'two');
answer_is(del(2), 'a replica', failure(503));
dns_change($ENV{TEST_NGINX_DNS}, 'redis.test' => '127.0.0.2');
recovers(2);
answer_is(del(3), 'and goes on', everywhere());
ok(settled(), 'settled');

redis_kill('two');
redis('one', 'REPLICAOF', 'NO', 'ONE');
dns_change($ENV{TEST_NGINX_DNS}, 'redis.test' => '127.0.0.1');
recovers(4);



=== TEST 6: a name with the addresses of both
--- before
set_up(host => '127.0.0.2');
$ENV{TEST_NGINX_DNS} = dns('redis.test' => ['127.0.0.1', '127.0.0.2']);
--- http_config eval
$::Times . <<'END'
cred_registry  redis://redis.test:$TEST_NGINX_ONE_PORT;
resolver       127.0.0.1:$TEST_NGINX_DNS ipv6=off;
END
--- script
credential([1 .. 4]);
recovers(1);
ok(settled(), 'settled');
in_sync('two', 'one');
hand_over('one', 'two');
recovers(2);
ok(settled(), 'settled');
in_sync('one', 'two');
redis_kill('two');
redis('one', 'REPLICAOF', 'NO', 'ONE');
recovers(3);



=== TEST 7: environments
--- before
redis_start('registry');
redis_load('registry', $::Sample{registry});
redis_start('env');
replica('env-two', 'env');
our $Env = proxy('env');
register('production', $::Env->url,
         'staging', redis_tcp('env-two') . '?prefix=x');
--- http_config eval
$::Times . 'cred_registry $TEST_NGINX_REGISTRY;'
--- script
credential([1 .. 4], 'registry', 'env');
my $answer = del(1);
answer_is($answer, 'a replica', pending(production => undef,
                                        staging => 'unreachable'));
ok(wait_for(sub {
    receipt(operation($answer), 'staging') =~ /it is a replica/;
}), 'its receipt says why');
is(logged(qr/\[error\].* redis is down: it is a replica.*: staging/), 1,
   'said once');

register('staging', redis_url('staging'));
ok(settled(), 'set right');
in_sync('env-two', 'env');
hand_over('env', 'env-two');
$answer = del(2);
like($answer->{headers}{'cred-pending'} // '', qr/^production$/, 'pending');
$::Env->lead('env-two');
ok(settled(), 'then it is done');
is(remains('env-two', 1, 2), 0, 'gone');
answer_is(del(3), 'and goes on',
          pending(production => undef, staging => 'absent'));
is(remains('env-two', 4), 1, 'and nothing else');



=== TEST 8: a gateway
--- before
redis_start('registry');
redis_load('registry', $::Sample{registry});
redis_start('env');
replica('env-two', 'env');
redis_alias('production', sub { master_of(qw(env env-two)) });
our $Env = proxy('env');
$ENV{TEST_NGINX_ENVIRONMENT} = $::Env->url;
register('production', $::Env->url);
key(qw(one two three));
--- http_config eval
$::Times . <<'END'
cred_registry      $TEST_NGINX_REGISTRY;
cred_environment   $TEST_NGINX_ENVIRONMENT;
cred_access_lease  1s;
END
--- config
location /apiops/ { cred_delete apinizer; }
location = /page  { cred_access apinizer; empty_gif;
                    add_header X-Cache $cred_access_cache always; }
--- script
ok(leased(), 'it has a lease');
is(seen('one'), '200 MISS', 'asked');
answer_is(del('one'), 'deleted',
          pending(production => undef, staging => 'absent'));
like(seen('one'), qr/^401/, 'refused');

in_sync('env-two', 'env');
hand_over('env', 'env-two');
ok(wait_for(sub { seen('two') =~ /^503/ }), 'a replica is not believed');
$::Env->lead('env-two');
ok(wait_for(sub { seen('two') =~ /^200/ }), 'the master is');
ok(leased(), 'and it has a lease');
like(seen('one'), qr/^401/, 'who is gone is gone');
wait_for(sub { del('two')->{headers}{'cred-pending'} // '' eq '' });
ok(settled(), 'deleted');
like(seen('two'), qr/^401/, 'refused');
like(seen('three'), qr/^200/, 'nobody else');



=== TEST 9: a sentinel is no Redis
--- before
redis_start('one');
redis_alias('registry', sub { 'one' });
sentinel('guard', masters => { main => 'one' });
--- http_config eval
$::Times . 'cred_registry redis://127.0.0.1:$TEST_NGINX_GUARD_PORT;'
--- script
answer_is(del(1), 'refused', failure(503));
is(logged(qr/\[error\].* redis is down: no master, its role is sentinel/), 1,
   'and told');



=== TEST 10: several commands under way, of which some say that it is a replica
--- before
set_up();
--- script
credential([1 .. 3]);
redis_kill('staging');
is(del(1)->{headers}{'cred-pending'}, 'staging', 'one is pending, and claimed');

my $rule = $::Address->hold('command', qr/EVAL/);
ok($::Address->wait_held($rule, 1), 'a claim is on its way');
my $sock = http_open();
print $sock del_raw(2);
ok($::Address->wait_held($rule, 2), 'and a delete after it');
in_sync('two', 'one');
hand_over('one', 'two');
$::Address->lead('two');
$::Address->release($rule);

# if that took longer than a command may, it was asked again, of the new master

my $status = http_parse(http_read($sock))->{status};
like($status, qr/^(?:200|503)\z/, 'it is answered');
redis_start('staging');
credential([2, 3], 'staging');
ok($status == 200 || wait_for(sub { del(2)->{status} == 200 }), 'it is back');
ok(settled(), 'settled');
answer_is(del(3), 'and goes on', everywhere());
