# Replicas, sentinels and clusters of the harness, without the module: what is
# said to switch does.

use CredTest module => 0, redis => [];
use CredTest::Cluster;
use CredTest::Replica;
use CredTest::Sentinel;

defaults(config => 'location = /t { return 200; }');

run_tests();

__DATA__

=== TEST 1: a master hands over to its replica
--- script
redis_start('one');
redis('one', 'SET', 'a', 'b');
replica('two', 'one');
redis_alias('main', sub { master_of(qw(one two)) });

is(redis('two', 'GET', 'a'), 'b', 'it has what was there');
is(redis_port('main'), redis_port('one'), 'the master');
hand_over('one', 'two');
is(redis_port('main'), redis_port('two'), 'the other one is');
redis('main', 'SET', 'a', 'c');
ok(in_sync('one', 'two'), 'which has a replica');
is(redis('one', 'GET', 'a'), 'c', 'that gets what is written');



=== TEST 2: a replica with the port of its master
--- script
redis_start('one');
replica('two', 'one', host => '127.0.0.2');
is(redis_port('one'), redis_port('two'), 'the port');
hand_over('one', 'two');
is(redis('two', 'SET', 'a', 'b'), 'OK', 'it writes');



=== TEST 3: sentinels
--- script
redis_start('one');
replica($_, 'one') for qw(two three);
my @sentinels = sentinels('main', 'one', 2);

is(sentinel_agree('main'), 'one', 'the master');
like(sentinel_url('main'), qr{^redis-sentinel://(127\.0\.0\.1:\d+,?){3}#main$},
     'the URL');

redis($sentinels[0], 'SENTINEL', 'FAILOVER', 'main');
ok(wait_for(sub { (sentinel_agree('main') // 'one') ne 'one' }), 'told to');
my $new = sentinel_agree('main');
ok(in_sync('one', $new), 'the old one is a replica');
sentinel_ready('main', 2, @sentinels);
redis_kill($new);
ok(wait_for(sub { (sentinel_agree('main') // $new) ne $new }), 'killed');
isnt(sentinel_agree('main'), $new, 'another one');



=== TEST 4: a sentinel with a password, of a master with another one
--- script
my @password = ('--requirepass', 'secret', '--masterauth', 'secret');
redis_start('one', @password);
replica('two', 'one', args => \@password);
sentinels('main', 'one', 1, password => 'own', auth => 'secret');
sentinel_failover('main', 'two', 'one');
is(redis('two', 'SET', 'a', 'b'), 'OK', 'it writes');



=== TEST 5: a cluster
--- script
cluster(replicas => 3);
redis_alias('main', sub { cluster_owner('{cred}') });

my $owner = cluster_owner('{cred}');
redis('main', 'SET', "{cred}:$_", $_) for 1 .. 250;
is(scalar(cluster_keys('{cred}')), 250, 'keys');

my ($other) = grep { /^node/ && $_ ne $owner } cluster_nodes();
my $move = slot_begin('{cred}', $other);
slot_keys($move, '{cred}:1');
like(redis($owner, 'GET', '{cred}:1'), qr/^\(error\) ASK /, 'one is gone');
is(redis($owner, 'GET', '{cred}:2'), 2, 'and one is there');
slot_end($move);
is(cluster_owner('{cred}'), $other, 'the slot has another owner');
is(scalar(cluster_keys('{cred}')), 250, 'with all keys');
like(redis($owner, 'GET', '{cred}:1'), qr/^\(error\) MOVED /, 'which is told');

my $replica = cluster_replica($other);
in_sync($replica, $other);
cluster_failover($replica);
is(cluster_owner('{cred}'), $replica, 'its replica takes over');
is(cluster_replica($replica), $other, 'and has one');
in_sync($other, $replica);
redis_kill($replica);
ok(wait_for(sub { redis_role($other) eq 'master' }), 'killed');
ok(cluster_agree(), 'well again');
is(cluster_owner('{cred}'), $other, 'it is back');
is(redis('main', 'GET', '{cred}:250'), 250, 'with what it had');
redis_start($replica);
ok(cluster_agree(), 'the other one, too');
