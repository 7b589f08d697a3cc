
# Registries, environments and gateways in a Redis Cluster: whichever node is
# named, the one that has the slot is found, and followed.

use CredTest redis => [qw(production staging)];
use CredTest::Cluster;
use CredTest::Delete;
use CredTest::Gateway;
use CredTest::Replica;

our $Times = <<'END';
cred_connect_timeout  2s;
cred_command_timeout  2s;
cred_cascade_timeout  2s;
cred_retry_delay      100ms 200ms;
END

our %Sample = sample($Times);

defaults(
    %Sample,
    http_config => $Sample{http_config} =~ s/_REGISTRY;/_CLUSTER;/r,
);

# "registry" is the node that has its slot, "other" a master that has not

sub set_up {
    my (%args) = @_;

    cluster(%args);
    redis_alias('registry', sub { cluster_owner('{cred}') });
    redis_load('registry', $Sample{registry});

    $ENV{TEST_NGINX_CLUSTER} = cluster_url();
    $ENV{TEST_NGINX_OWNER} = redis_port('registry');
    $ENV{TEST_NGINX_OTHER} = redis_port(other());
}

sub other {
    my ($key) = @_;
    my $owner = cluster_owner($key // '{cred}');
    my ($other) = grep { /^node/ && $_ ne $owner } cluster_nodes();
    return $other;
}

sub register { redis('registry', 'HSET', '{cred}:environments', @_) }

# data under other prefixes

sub load_prefix {
    my ($prefix, $text) = @_;
    redis_load(cluster_owner($prefix), $text =~ s/\{cred\}/$prefix/gr);
}

sub deploy_prefix {
    my ($prefix, @ids) = @_;
    load_prefix($prefix, join '', map { <<"END" } @ids);
HSET {cred}:apinizer:credential:MyProject:$_ owner alice revision 1
SADD {cred}:apinizer:grants:MyProject:$_ API_PROXY:x
SADD {cred}:apinizer:credentials:MyProject $_
END
}

sub left_prefix {
    my ($prefix, @ids) = @_;
    return redis(cluster_owner($prefix), 'EXISTS',
                 map { ("$prefix:apinizer:credential:MyProject:$_",
                        "$prefix:apinizer:grants:MyProject:$_") } @ids);
}

sub logged {
    my ($regex) = @_;
    return scalar(my @lines = error_log_text() =~ /$regex/g);
}

# a delete in time: nobody does anything to it

sub recovers {
    my ($id, @wanted) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    my $answer;
    wait_for(sub { ($answer = del($id))->{status} != 503 });
    answer_is($answer, "$id: it is back", @wanted ? @wanted : everywhere());
}

# all that nginx has open there

sub hang_up { redis($_[0], 'CLIENT', 'KILL', 'TYPE', 'normal') }

run_tests();


__DATA__

=== TEST 1: seeds of all kinds
--- before
set_up(replicas => 3);
my $replica = cluster_replica(cluster_owner('{cred}'));
$ENV{TEST_NGINX_REPLICA} = redis_port($replica);
$ENV{TEST_NGINX_FOREIGN} = redis_port(cluster_replica(other()));
--- http_config
cred_connect_timeout  2s;
cred_command_timeout  2s;
--- config eval
my $at = 'redis-cluster://127.0.0.1';

my %locations = (
    several  => '$TEST_NGINX_CLUSTER',
    owner    => "$at:\$TEST_NGINX_OWNER",
    other    => "$at:\$TEST_NGINX_OTHER",
    replica  => "$at:\$TEST_NGINX_REPLICA",
    foreign  => "$at:\$TEST_NGINX_FOREIGN",
    dead     => "$at:1,127.0.0.1:\$TEST_NGINX_OTHER",
    many     => "$at:1,127.0.0.1:2,127.0.0.1:3,127.0.0.1:\$TEST_NGINX_REPLICA",
    prefixed => "$at:\$TEST_NGINX_OTHER?prefix=%7Bcred%7D",
    six      => 'REDIS-CLUSTER://[::1]:$TEST_NGINX_OTHER',
);

CORE::join '', map {
    "location ~ /$_/ { cred_delete apinizer; cred_registry $locations{$_}; }\n"
} sort keys %locations;
--- script
my @ways = qw(several owner other replica foreign dead many prefixed six);
credential(\@ways);
recovers($_) for @ways;
ok(settled(), 'settled');
is(redis('registry', 'EXISTS', map { "{cred}:apinizer:credential:MyProject:$_" }
         @ways), 0, 'all are gone');



=== TEST 2: the slot moves, and is found again at once
--- before
set_up();
--- script
credential([1 .. 4]);
answer_is(del(1), 'at first', everywhere());
ok(settled(), 'settled');
my ($old, $new) = (cluster_owner('{cred}'), other());

slot_move('{cred}', $new);
is(cluster_owner('{cred}'), $new, 'it has another owner');
answer_is(del(2), 'which is asked', everywhere());
answer_is(del(3), 'and asked again', everywhere());
ok(settled(), 'settled');
slot_move('{cred}', $old);
answer_is(del(4), 'the first one again', everywhere());
ok(settled(), 'settled');
is(redis('registry', 'XLEN', '{cred}:audit'), 4, 'each was done once');



=== TEST 3: while the slot moves, with some of its keys here and some there
--- before
set_up();
--- script
credential([1 .. 99]);
answer_is(del(1), 'connected', everywhere());
ok(settled(), 'settled');

my $before = contents('registry');
my $entries = audit();
my $move = slot_begin('{cred}', other());
my @keys = cluster_keys('{cred}');
my @first = grep {
    /:(?:2|scope:MyProject|members:MyProject|environments|audit)\z|:token:/
} @keys;
my %first = map { $_ => 1 } @first;
my (%answers, @wrong);

my $try = sub {
    my ($id) = @_;
    my $answer = del($id);
    $answers{$answer->{status}}++;
    push @wrong, "$id: $answer->{text}" if $answer->{status} != 503;
};

$try->($_) for 2, 3;

# what a delete of the second one reads goes piece by piece

for my $key (sort { rand() <=> 0.5 } @first) {
    slot_keys($move, $key);
    $try->($_) for 2, 3, 'nobody';
}

slot_keys($move, grep { !$first{$_} } @keys);
$try->($_) for 2, 3;
slot_end($move);

is(join("\n", @wrong), '', 'refused until it has moved');
is_deeply(contents('registry'), $before, 'nothing has changed');
recovers(2);
answer_is(del($_), "$_: deleted", everywhere()) for 3 .. 9;
answer_is(del('nobody'), 'nobody', failure(400, 'nobody'));
ok(settled(), 'settled');
cmp_ok(scalar(audit()), '==', $entries + 9, 'the audit');



=== TEST 4: deletes go on while the slot moves, and again
--- before
set_up();
--- script
my @ids = map { "u$_" } 1 .. 240;
my (%open, %done, @wrong) = map { $_ => 1 } @ids;
credential(\@ids);

my $burst = sub {
    my @some = (sort keys %open)[0 .. 11];
    @some = grep { defined } @some;
    my @answers = map { http_parse($_) } http_many(map { del_raw($_) } @some);

    for my $id (@some) {
        my $answer = shift @answers;
        if ($answer->{status} == 200) {
            delete $open{$id};
            $done{$id} = 1;
        } elsif ($answer->{status} != 503) {
            push @wrong, "$id: $answer->{text}";
            delete $open{$id};
        }
    }
};

for my $round (1 .. 3) {
    $burst->() for 1 .. 2;
    my $move = slot_begin('{cred}', other());

    for (1 .. 4) {
        my @keys = redis($move->{from}, 'CLUSTER', 'GETKEYSINSLOT',
                         $move->{slot}, 10_000);
        slot_keys($move, @keys[0 .. @keys / 3]);
        $burst->();
    }

    slot_end($move);
    $burst->() for 1 .. 2;
}

ok(wait_for(sub { $burst->(); !%open }), 'all are deleted');
is(join("\n", @wrong), '', 'no other answers');
ok(settled(), 'settled');
my @left = map {
    my $name = $_;
    map { "$name $_" } redis($name, 'KEYS', '{cred}:*:credential:MyProject:u*')
} qw(registry production staging);
is("@left", '', 'nothing is left');
is(scalar(grep { $_->{result} eq 'deleted' } audit()), 240,
   'each was done once');



=== TEST 5: what is pending goes on after the slot has moved
--- before
set_up();
--- script
credential([1 .. 20]);
answer_is(del(1), 'connected', everywhere());
redis_kill('staging');
del($_) for 2 .. 20;
is(redis('registry', 'ZCARD', '{cred}:pending:staging'), 19, 'pending');

my $move = slot_begin('{cred}', other());
my @keys = cluster_keys('{cred}');
slot_keys($move, grep { /pending/ } @keys);
redis_start('staging');
credential([2 .. 20], 'staging');
slot_keys($move, grep { /1/ && !/pending/ } @keys);
slot_end($move);
ok(settled(), 'settled');
is(redis('staging', 'KEYS', '{cred}:apinizer:credential:MyProject:*'), '',
   'nothing is left');



=== TEST 6: an operation moves while its environment works
--- before
set_up();
--- script
credential([1, 2]);
answer_is(del(1), 'connected', everywhere());
ok(settled(), 'settled');

redis_pause('staging');
my $sock = http_open();
print $sock del_raw(2);
ok(wait_for(sub {
    redis('registry', 'EXISTS', '{cred}:pending:staging')
}), 'deleted');

my $move = slot_begin('{cred}', other());
slot_keys($move, grep { /:operation:/ } cluster_keys('{cred}'));
redis_resume('staging');
my $answer = http_parse(http_read($sock));
is($answer->{status}, 200, 'the answer');
slot_end($move);

ok(settled(), 'settled');
my ($operation) = $answer->{headers}{'cred-operation'};
like(redis('registry', 'HGET', "{cred}:operation:$operation", "environment:$_"),
     qr/"state":"(?:undeployed|not_deployed)"/, "$_: the receipt")
    for qw(production staging);
is(redis('registry', 'HGET', "{cred}:operation:$operation", 'pending'), 0,
   'none is pending');



=== TEST 7: a delete is asked for again while its operation moves
--- before
set_up();
--- script
credential(1);
my $answer = del(1);
answer_is($answer, 'deleted', everywhere());
ok(settled(), 'settled');

# too late for a delete, not for one that was done

sub asked_again {
    return redis(cluster_owner('{cred}'), 'EVAL', slurp('src/lua/delete.lua'),
        1, '{cred}:audit', '{cred}', 5000, 'apinizer', 1, 0, '', 0, 0, 1000,
        $answer->{headers}{'cred-operation'}, sha256('TOKEN'), '', 'MyProject',
        1, '127.0.0.1', '', '', 'again');
}

is((asked_again())[1], 'deleted', 'it was');
my $move = slot_begin('{cred}', other());
slot_keys($move, grep { /:operation:/ } cluster_keys('{cred}'));
unlike(join(' ', asked_again()), qr/\blate\b/, 'nobody says that it was not');
slot_keys($move);
slot_end($move);
is((asked_again())[1], 'deleted', 'it was');



=== TEST 8: an environment that has lost its memory is back while the slot moves
--- before
set_up();
--- script
credential(1);
register('away', 'redis://127.0.0.1:1');
is(del(1)->{headers}{'cred-pending'}, 'away', 'another one is pending');
ok(wait_for(sub {
    redis('registry', 'ZCARD', '{cred}:pending:staging') == 0
}), 'acknowledged');

# ... and told again, so that what is written then is there

redis('registry', 'HSET', '{cred}:again', 'away', '+inf 0');
redis_kill('staging');
ok(wait_for(sub { logged(qr/\[error\].* redis is down.*staging/) }), 'down');

my $move = slot_begin('{cred}', other());
slot_keys($move, grep { /:operation:/ } cluster_keys('{cred}'));
redis_start('staging');
credential(1, 'staging');
ok(wait_for(sub {
    redis('staging', 'INFO', 'commandstats') =~ /cmdstat_role:/
}), 'it is back');
ok(!wait_for(sub { logged(qr/redis is back.*staging/) }, 2), 'and not admitted');
slot_end($move);

ok(wait_for(sub {
    !redis('staging', 'EXISTS', '{cred}:apinizer:credential:MyProject:1')
}), 'it is told again');



=== TEST 9: CLUSTER FAILOVER
--- before
set_up(replicas => 3);
--- script
credential([1 .. 5]);
answer_is(del(1), 'at first', everywhere());
ok(settled(), 'settled');

my $old = cluster_owner('{cred}');
my $new = cluster_replica($old);
in_sync($new, $old);
cluster_failover($new);
answer_is(del(2), 'its replica is asked at once', everywhere());
answer_is(del(3), 'and goes on', everywhere());
ok(settled(), 'settled');
in_sync($old, $new);
cluster_failover($old);
answer_is(del(4), 'and back', everywhere());
hang_up($_) for cluster_nodes();
recovers(5);
ok(settled(), 'settled');
is(redis('registry', 'KEYS', '{cred}:apinizer:credential:MyProject:?'), '',
   'nothing is left');



=== TEST 10: the owner is killed
--- before
set_up(replicas => 3);
--- script
credential([1 .. 5]);
answer_is(del(1), 'at first', everywhere());
ok(settled(), 'settled');

my $old = cluster_owner('{cred}');
my $new = cluster_replica($old);
in_sync($new, $old);
redis($new, 'CONFIG', 'SET', 'cluster-replica-no-failover', 'yes');
redis_kill($old);
answer_is(del(2), 'killed', failure(503));
redis($new, 'CONFIG', 'SET', 'cluster-replica-no-failover', 'no');
redis_alias('registry', sub { $new });
recovers(2);
is(redis_role($new), 'master', 'the other one is the master');
answer_is(del(3), 'and goes on', everywhere());
is(logged(qr/\[error\].* redis is down: .*registry/), 1, 'said once');
is(logged(qr/\[notice\].* redis is back, registry/), 1, 'and when it was back');
ok(settled(), 'settled');

redis_start($old);
ok(wait_for(sub { redis_role($old) eq 'slave' }), 'the old one is a replica');
ok(cluster_agree(), 'and well');
in_sync($old, $new);
answer_is(del(4), 'to the new one', everywhere());
redis_kill($new);
redis_alias('registry', sub { $old });
recovers(5);



=== TEST 11: the owner is stopped, and goes on when it is none any more
--- before
set_up(replicas => 3);
--- script
credential([1 .. 4]);
answer_is(del(1), 'at first', everywhere());
ok(settled(), 'settled');

my $old = cluster_owner('{cred}');
my $new = cluster_replica($old);
in_sync($new, $old);
redis($new, 'CONFIG', 'SET', 'cluster-replica-no-failover', 'yes');
redis_pause($old);
answer_is(del(2), 'stopped', failure(503));
redis($new, 'CONFIG', 'SET', 'cluster-replica-no-failover', 'no');
redis_alias('registry', sub { $new });
recovers(3);
redis_resume($old);
ok(wait_for(sub { redis_role($old) eq 'slave' }), 'it is a replica');
in_sync($old, $new);
is(redis($new, 'EXISTS', '{cred}:apinizer:credential:MyProject:2'), 1,
   'nothing has changed of what was refused');
recovers(2);
ok(settled(), 'until it is asked for again');



=== TEST 12: a part is missing: nobody serves then
--- before
set_up();
--- script
credential([1 .. 3]);
answer_is(del(1), 'at first', everywhere());
ok(settled(), 'settled');
my ($owner, $other) = (cluster_owner('{cred}'), other());
redis_alias('registry', sub { $owner });

redis_kill($other);
ok(wait_for(sub { redis($owner, 'CLUSTER', 'INFO') =~ /cluster_state:fail/ }),
   'the cluster is down');
answer_is(del(2), 'refused', failure(503)) for 1 .. 2;
is(redis_role($owner), 'master', 'its owner is there');
ok(logged(qr/CLUSTERDOWN/), 'the log has the reason');
redis_start($other);
ok(cluster_agree(), 'well again');
recovers(2);



=== TEST 13: a redirection names a name, or no host at all
--- before
cluster();
redis_alias('registry', sub { cluster_owner('{cred}') });
redis_load('registry', $::Sample{registry});
$ENV{TEST_NGINX_OTHER} = redis_port(other());
$ENV{TEST_NGINX_DNS} = dns(map { ("$_.test" => '127.0.0.1') } cluster_nodes());
--- http_config
cred_connect_timeout  2s;
cred_command_timeout  2s;
resolver              127.0.0.1:$TEST_NGINX_DNS ipv6=off;
--- config
location /apiops/ {
    cred_delete    apinizer;
    cred_registry  redis-cluster://127.0.0.1:$TEST_NGINX_OTHER;
}
--- script
my ($owner, $other) = (cluster_owner('{cred}'), other());
my $key = '{cred}:environments';

credential([1 .. 9]);
redis($_, 'CONFIG', 'SET', 'cluster-announce-hostname', "$_.test",
      'cluster-preferred-endpoint-type', 'hostname') for cluster_nodes();
ok(wait_for(sub {
    redis($other, 'GET', $key) =~ /MOVED \d+ \Q$owner\E\.test:/;
}), 'a name');
answer_is(del(1), 'it is resolved', everywhere());
hang_up($owner);
recovers(2);
slot_move('{cred}', $other);
answer_is(del(3), 'on a connection as well', everywhere());
ok(settled(), 'settled');
slot_move('{cred}', $owner);
answer_is(del(4), 'and back', everywhere());

redis($_, 'CONFIG', 'SET', 'cluster-preferred-endpoint-type',
      'unknown-endpoint') for cluster_nodes();
like(redis($other, 'GET', $key), qr/MOVED \d+ :\d+$/, 'no host');
hang_up($owner);
recovers(5);
slot_move('{cred}', $other);
answer_is(del(6), 'on a connection as well', everywhere());
ok(settled(), 'settled');
slot_move('{cred}', $owner);
ok(wait_for(sub { redis($other, 'GET', $key) =~ /MOVED/ }), 'as before');

# a name that nobody knows

redis($_, 'CONFIG', 'SET', 'cluster-announce-hostname', 'nobody.test',
      'cluster-preferred-endpoint-type', 'hostname') for cluster_nodes();
ok(wait_for(sub { redis($other, 'GET', $key) =~ /MOVED \d+ nobody\.test:/ }),
   'a wrong name');
my @workers = nginx_workers();
nginx_reload();
wait_for(sub { !grep { CredTest::HTTP::running($_) } @workers });
answer_is(del(7), 'nobody knows it', failure(503));
redis($_, 'CONFIG', 'SET', 'cluster-announce-hostname', '') for cluster_nodes();
ok(wait_for(sub { redis($other, 'GET', $key) =~ /MOVED \d+ \?:/ }), 'no name');
answer_is(del(7), 'a question mark', failure(503));
redis($_, 'CONFIG', 'SET', 'cluster-preferred-endpoint-type', 'ip')
    for cluster_nodes();
recovers(7);



=== TEST 14: several registries, each with a slot of its own
--- before
cluster();
load_prefix($_, $::Sample{registry}) for qw({a} {b} {c});
$ENV{TEST_NGINX_SEED} = redis_port('node-1');
--- http_config eval
$::Times . 'cred_registry redis-cluster://127.0.0.1:$TEST_NGINX_SEED;'
--- config
location ~ /a\d { cred_delete apinizer; cred_prefix "{a}"; }
location ~ /b\d { cred_delete apinizer; cred_prefix "{b}"; }
location ~ /c\d { cred_delete apinizer; cred_prefix "{c}"; }
--- script
my %owners = map { cluster_owner("{$_}") => 1 } qw(a b c);
is(keys %owners, 3, 'in three nodes');

for my $name (qw(a b c)) {
    my $prefix = "{$name}";
    deploy_prefix($prefix, map { "$name$_" } 1 .. 3);

    for my $at (qw(production staging)) {
        redis($at, 'HSET', "$prefix:apinizer:credential:MyProject:$name$_",
              'owner', 'alice') for 1 .. 3;
    }

    answer_is(del("${name}1"), "$prefix", everywhere());
}

# one of them moves, and the others stay

slot_move('{a}', other('{a}'));

for my $name (qw(a b c)) {
    answer_is(del("$name$_"), "$name$_", everywhere()) for 2, 3;
    is(left_prefix("{$name}", map { "$name$_" } 1 .. 3), 0, 'they are gone');
}



=== TEST 15: environments, in slots of the registry's cluster
--- before
set_up(replicas => 3);
register('production', cluster_url('%7Ba%7D', 'node-1'),
         'staging', cluster_url('%7Bb%7D', qw(node-2 node-3)));
deploy_prefix($_, 1 .. 9) for qw({a} {b});
--- script
credential([1 .. 9], 'registry');
answer_is(del(1), 'at first', everywhere());
ok(settled(), 'settled');

slot_move('{a}', other('{a}'));
answer_is(del(2), 'one has moved', everywhere());

# it moves, and is pending as long as that takes

my $move = slot_begin('{b}', other('{b}'));
slot_keys($move, grep { /:[34]$/ } redis($move->{from}, 'CLUSTER',
          'GETKEYSINSLOT', $move->{slot}, 1000));
for my $id (3 .. 5) {
    answer_is(del($id), "$id: it moves", pending(production => undef,
                                                 staging => 'refused'));
}
slot_end($move);
ok(settled(), 'then it is done');
is(left_prefix('{b}', 1 .. 5), 0, 'gone');
my @receipts = map { redis('registry', 'HGET', $_, 'environment:staging') }
               redis('registry', 'KEYS', '{cred}:operation:*');
is(scalar(grep { /"state":"undeployed"/ } @receipts), 5, 'receipts')
    or diag(@receipts);

my $old = cluster_owner('{a}');
my $new = cluster_replica($old);
in_sync($new, $old);
cluster_failover($new);
answer_is(del(6), 'a failover', everywhere());
in_sync($old, $new);
redis($_, 'CONFIG', 'SET', 'cluster-require-full-coverage', 'no')
    for cluster_nodes();
redis($old, 'CONFIG', 'SET', 'cluster-replica-no-failover', 'yes');
redis_kill($new);
recovers(7, pending(production => 'unreachable', staging => undef));
redis($old, 'CONFIG', 'SET', 'cluster-replica-no-failover', 'no');
ok(wait_for(sub { redis_role($old) eq 'master' }), 'the old one is back');
ok(cluster_agree(), 'well again');
ok(settled(), 'then it is done');
is(left_prefix($_, 1 .. 7), 0, "gone from $_") for qw({a} {b});
is(left_prefix($_, 8, 9), 4, "and no more from $_") for qw({a} {b});



=== TEST 16: a gateway
--- before
set_up(replicas => 3);
$ENV{TEST_NGINX_PLACE} = cluster_url('%7Ba%7D', 'node-1');
register('production', $ENV{TEST_NGINX_PLACE});
load_prefix('{a}', keyed($_, $_)) for qw(one two three);
load_prefix('{a}', "HSET {cred}:apinizer:credential:MyProject:$_ owner alice"
                   . " revision 1") for qw(one two three);
--- http_config eval
$::Times . <<'END'
cred_registry      $TEST_NGINX_CLUSTER;
cred_environment   $TEST_NGINX_PLACE;
cred_access_lease  1s;
END
--- config
location /apiops/ { cred_delete apinizer; }
location = /page  { cred_access apinizer; empty_gif;
                    add_header X-Cache $cred_access_cache always; }
--- script
my $leased = sub {
    wait_for(sub {
        my $owner = cluster_owner('{a}');
        my %all = redis($owner, 'HGETALL', '{a}:gateways');
        my ($lease, $applied) = split ' ', (values %all)[0] // '';
        my ($last) = redis($owner, 'XREVRANGE', '{a}:undeployments', '+', '-',
                           'COUNT', 1);
        return keys %all == 1 && $applied eq ($last // '0-0')
               && seen('one') =~ / HIT/;
    });
};
my $deleted = sub { pending(production => undef, staging => 'absent') };

credential([qw(two three)], 'registry');
ok($leased->(), 'it has a lease');
answer_is(del('two'), 'deleted', $deleted->());
like(seen('two'), qr/^401/, 'refused');

slot_move('{a}', other('{a}'));
ok($leased->(), 'it has a lease of the other one');
like(seen('two'), qr/^401/, 'who is gone is gone');
my $old = cluster_owner('{a}');
in_sync(cluster_replica($old), $old) if cluster_replica($old);
cluster_failover(cluster_replica($old));
ok($leased->(), 'it has a lease of its replica');
answer_is(del('three'), 'deleted', $deleted->());
like(seen('three'), qr/^401/, 'refused');
like(seen('one'), qr/^200/, 'nobody else');



=== TEST 17: passwords
--- before
set_up(args => [qw(--requirepass se:cret --masterauth se:cret)]);
redis($_, 'ACL', 'SETUSER', 'cred', 'on', '>user', '~*', '&*', '+@all')
    for cluster_nodes();
open my $out, '>', temp_dir() . '/password';
print $out "se:cret\n";
--- http_config
cred_connect_timeout  2s;
cred_command_timeout  2s;
--- config
location ~ /one {
    cred_delete    apinizer;
    cred_registry  redis-cluster://:se%3Acret@127.0.0.1:$TEST_NGINX_OTHER;
}
location ~ /two {
    cred_delete    apinizer;
    cred_registry  redis-cluster://cred:user@127.0.0.1:$TEST_NGINX_OTHER;
}
location ~ /three {
    cred_delete    apinizer;
    cred_registry  redis-cluster://127.0.0.1:$TEST_NGINX_OTHER
                   password_file=$TEST_NGINX_DIR/password;
}
location ~ /wrong {
    cred_delete    apinizer;
    cred_registry  redis-cluster://:nonsense@127.0.0.1:$TEST_NGINX_OTHER;
}
location ~ /none {
    cred_delete    apinizer;
    cred_registry  redis-cluster://127.0.0.1:$TEST_NGINX_OTHER;
}
--- script
credential([qw(one two three)]);
answer_is(del($_), $_, everywhere()) for qw(one two three);
answer_is(del($_), $_, failure(503)) for qw(wrong none);
ok(logged(qr/redis is down: .*$_/), $_) for qw(WRONGPASS NOAUTH);
is(logged(qr/nonsense|se:cret/), 0, 'no password');



=== TEST 18: all nodes away, when nginx starts and later
--- before
set_up();
redis_stop($_) for cluster_nodes();
--- script
my @nodes = map { "node-$_" } 1 .. 3;
answer_is(del(1), 'nobody is there', failure(503));
redis_start($_) for @nodes;
ok(cluster_agree(), 'all are back');
redis_load('registry', $::Sample{registry});
credential([1 .. 2]);
recovers(1);
redis_kill($_) for @nodes;
answer_is(del(2), 'killed', failure(503));
ok(wait_for(sub { logged(qr/redis is down: .*registry/) > 4 }), 'tried again');
redis_start($_) for @nodes;
ok(cluster_agree(), 'all are back again');
redis_load('registry', $::Sample{registry});
credential(2);
recovers(2);
is(logged(qr/\[error\].* redis is down: .*registry/), 2, 'said once each time');



=== TEST 19: a seed that says nothing
--- before
set_up();
$ENV{TEST_NGINX_SILENT} = fake(replies => { map { $_ => undef }
                                            qw(TIME PING EXISTS ROLE) });
--- http_config eval
$::Times . 'cred_registry redis-cluster://127.0.0.1:$TEST_NGINX_SILENT,'
         . '127.0.0.1:$TEST_NGINX_OTHER;'
--- script
credential([1 .. 4]);
recovers(1);
answer_is(del(2), 'found', everywhere());
hang_up('registry');
recovers(3);



=== TEST 20: several which are in no cluster, of which none is taken for it
--- before
set_up();
$ENV{TEST_NGINX_ALONE} = join ',', map { '127.0.0.1:' . redis_port($_) }
                                   qw(production staging);
--- http_config eval
$::Sample{http_config} =~ s/_REGISTRY;/_CLUSTER;/r
--- config eval
$::Sample{config} . 'location = ' . main::path('alone')
    . ' { cred_delete apinizer;'
    . ' cred_registry redis-cluster://$TEST_NGINX_ALONE; }'
--- script
credential(1);
answer_is(del('alone'), 'a registry', failure(503));

register('production', "redis-cluster://$ENV{TEST_NGINX_ALONE}");
answer_is(del(1), 'an environment', pending(production => 'unreachable',
                                            staging => undef));
like(error_log_text(), qr/redis is down: it is in no cluster.*\Q$_\E/, $_)
    for 'registry', 'environment: production';

register('production', redis_url('production'));
ok(settled(), 'set right');
is(redis('production', 'EXISTS', '{cred}:apinizer:credential:MyProject:1'), 0,
   'it is done');



=== TEST 21: nonsense, which is a failed environment and no more
--- before
set_up();
--- script
my @nonsense = (
    'redis-cluster:', 'redis-cluster://', 'redis-cluster://127.0.0.1,',
    'redis-cluster://,127.0.0.1', 'redis-cluster://127.0.0.1,,127.0.0.1',
    'redis-cluster://127.0.0.1:x', 'redis-cluster://127.0.0.1:0',
    'redis-cluster://127.0.0.1,127.0.0.2:65536', 'redis-cluster://[::1',
    'redis-cluster://127.0.0.1/1', 'redis-cluster://127.0.0.1/x',
    'redis-cluster://127.0.0.1?prefix', 'redis-cluster://127.0.0.1?prefix=',
    'redis-cluster://127.0.0.1?sentinel_password=x',
    'redis-cluster://127.0.0.1#x', 'redis-cluster://127.0.0.1?x=y',
    'redis-clusters://127.0.0.1',
    'redis-cluster://' . '127.0.0.1,' x 400 . '127.0.0.1',
);

my ($worker) = nginx_workers();

for my $n (0 .. $#nonsense) {
    credential("n$n", qw(registry staging));
    register('production', $nonsense[$n]);
    my $answer = del("n$n");
    is($answer->{headers}{'cred-pending'}, 'production',
       substr $nonsense[$n], 0, 60);
}

is((nginx_workers())[0], $worker, 'the same worker');
register('production', redis_url('production'));
ok(settled(), 'set right');
