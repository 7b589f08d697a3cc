
# The proxy that holds, drops and swallows single commands and replies.

use CredTest module => 0, redis => ['registry'];

use Time::HiRes ();

our $proxy;

# another connection through it

sub open_redis {
    return IO::Socket::INET->new('127.0.0.1:' . $proxy->port) // die "proxy: $!";
}

sub ask    { my $sock = shift; print $sock resp(@$_) for @_ }
sub silent { !IO::Select->new($_[0])->can_read($_[1] // 0) }
sub closed { !defined eval { reply($_[0]) } && $@ eq "closed\n" }

defaults(config => 'location = /t { return 200; }');

run_tests();


__DATA__

=== TEST 1: what no rule is for goes on
--- before
$main::proxy = proxy('registry');
--- script
my ($one, $two) = (open_redis(), open_redis());
my $big = join '', map { chr $_ % 256 } 1 .. 300_000;
ask($one, ['SET', 'a', $big], ['GET', 'a'], ['RPUSH', 'l', '', 'x'],
    ['LRANGE', 'l', 0, -1], ['GET', 'nothing'], ['NONSENSE']);
ask($two, ['PING']);
is(reply($one), 'OK', 'SET');
is(reply($one), $big, 'GET');
is(reply($one), 2, 'RPUSH');
is_deeply(reply($one), ['', 'x'], 'LRANGE');
is(reply($one), '(nil)', 'nothing');
like(reply($one), qr/^\(error\)/, 'an error');
is(reply($two), 'PONG', 'another connection');
is($main::proxy->connections, 2, 'two connections');
close $two;
ok(wait_for(sub { $main::proxy->connections == 1 }), 'one has left');
is($main::proxy->url, 'redis://127.0.0.1:' . $main::proxy->port, 'url');



=== TEST 2: a command is held, with what follows it
--- before
$main::proxy = proxy('registry');
--- script
my ($one, $two) = (open_redis(), open_redis());
my $rule = $main::proxy->hold('command', qr/\r\nSET\r\n.*held/s);
ask($one, ['SET', 'a', 1], ['SET', 'b', 'held'], ['SET', 'c', 1]);
is(reply($one), 'OK', 'the first goes on');
ok($main::proxy->wait_held($rule), 'the second is held');
ask($two, ['MGET', qw(a b c)]);
is_deeply(reply($two), [1, '(nil)', '(nil)'], 'and with it the third');
ok(silent($one), 'no reply');
is($main::proxy->matched($rule), 1, 'one has matched');
$main::proxy->release($rule);
is(reply($one), 'OK', 'released') for 1, 2;
ask($two, ['MGET', qw(a b c)], ['SET', 'd', 'held']);
is_deeply(reply($two), [1, 'held', 1], 'done');
is(reply($two), 'OK', 'it is over');



=== TEST 3: a reply is held that answers this command
--- before
$main::proxy = proxy('registry');
--- script
my ($one, $two) = (open_redis(), open_redis());
my $rule = $main::proxy->hold('reply', qr/^\+/, to => qr/SET/, times => 1);
ask($one, ['PING'], ['SET', 'a', 1], ['PING']);
is(reply($one), 'PONG', 'another reply goes on');
ok($main::proxy->wait_held($rule), 'the reply is held');
ask($two, ['GET', 'a'], ['SET', 'b', 1]);
is(reply($two), 1, 'though Redis has done it');
is(reply($two), 'OK', 'and it was only for once');
ok(silent($one), 'what follows waits');

# held, though it is no longer wanted

close $one;
ok(wait_for(sub { $main::proxy->connections == 1 }), 'the client has left');
$main::proxy->release;



=== TEST 4: a command of one who has left arrives nevertheless
--- before
$main::proxy = proxy('registry');
--- script
my $rule = $main::proxy->hold('command', qr/SET/);
my $one = open_redis();
ask($one, ['SET', 'a', 1]);
ok($main::proxy->wait_held($rule), 'held');
close $one;
ask($one = open_redis(), ['GET', 'a']);
is(reply($one), '(nil)', 'not there');
$main::proxy->release($rule);
ok(wait_for(sub { redis('registry', 'GET', 'a') eq 1 }), 'there');
ok(wait_for(sub { $main::proxy->connections == 1 }), 'and closed then');



=== TEST 5: connections that are lost
--- before
$main::proxy = proxy('registry');
--- script
my $one = open_redis();
$main::proxy->drop('command', qr/INCR/, times => 1);
ask($one, ['INCR', 'a']);
ok(closed($one), 'before a command goes on');
is(redis('registry', 'GET', 'a'), '(nil)', 'Redis has not got it');

ask($one = open_redis(), ['INCR', 'a']);
is(reply($one), 1, 'once');

$main::proxy->drop('command', qr/INCR/, times => 1, when => 'after');
ask($one, ['INCR', 'a']);
ok(closed($one), 'after a command');
ok(wait_for(sub { redis('registry', 'GET', 'a') eq 2 }), 'Redis has got it');

my $rule = $main::proxy->drop('reply', qr/^:/, to => qr/INCR/);
ask($one = open_redis(), ['PING'], ['INCR', 'a']);
is(reply($one), 'PONG', 'another');
ok(closed($one), 'before a reply');
is(redis('registry', 'GET', 'a'), 3, 'Redis has done it');
$main::proxy->release($rule);

ask($one = open_redis(), ['INCR', 'a']);
is(reply($one), 4, 'over');
$main::proxy->hang_up;
ok(closed($one), 'hung up');
is(reply($one = do { ask(my $sock = open_redis(), ['PING']); $sock }), 'PONG',
   'again');



=== TEST 6: messages, delays
--- before
$main::proxy = proxy('registry');
--- script
my $one = open_redis();
my $swallow = $main::proxy->swallow('reply', qr/^\*3.*\r\nfirst\r\n/s);
my $seen = $main::proxy->watch('reply', qr/^\*3\r\n\$7\r\nmessage/);
my $pong = $main::proxy->watch('reply', qr/^/, to => qr/PING/);
ask($one, ['SUBSCRIBE', 'c']);
is_deeply(reply($one), ['subscribe', 'c', 1], 'subscribed');
redis('registry', 'PUBLISH', 'c', 'first');
redis('registry', 'PUBLISH', 'c', 'second');
ask($one, ['PING']);
is_deeply(reply($one), ['message', 'c', 'second'], 'the first is lost');
is_deeply(reply($one), ['pong', ''], 'PING');
is($main::proxy->matched($_), 1, 'counted') for $swallow, $seen, $pong;

my $start = Time::HiRes::time();
$main::proxy->delay('command', qr/PING/, seconds => 0.3, times => 1);
ask(my $two = open_redis(), ['PING'], ['PING']);
is(reply($two), 'PONG', 'late') for 1, 2;
cmp_ok(Time::HiRes::time() - $start, '>=', 0.3, 'as late as it should be');



=== TEST 7: cut off
--- before
$main::proxy = proxy('registry');
--- script
my $rule = $main::proxy->hold('command', qr/INCR/);
my @socks = map { open_redis() } 1 .. 4;
ask($_, ['INCR', 'a']) for @socks;
ok($main::proxy->wait_held($rule, 4), 'held');
$main::proxy->cut;
ok(closed($_), 'closed') for @socks;
ok(!eval { open_redis() }, 'refused');
$main::proxy->release;
$main::proxy->mend;
ask(my $one = open_redis(), ['INCR', 'a']);
is(reply($one), 1, 'mended, and what was held is lost');
