# How far environments have come, as the scripts keep it: again.lua, stream.lua,
# undeploy.lua and acknowledge.lua by themselves.

use CredTest;

defaults(http_config => 'cred_registry $TEST_NGINX_REGISTRY;',
         config => 'cred_delete off;');


# what a script of this name answers, in the registry or in an environment, of
# which "staging" and "production" are the ones that nothing else uses

sub script {
    my ($name, $server, $key, @args) = @_;
    my $sock = redis_connect($server);
    print $sock resp('EVAL', slurp("src/lua/$name.lua"), 1, "p:$key", 'p', @args);
    return reply($sock);
}

# what was looked for, if a test does not say so, is what is known

sub again {
    my @args = @_;
    push @args, position() =~ /^\d+:(\d+-\d+):/ ? $1 : ''
        if $args[0] eq 'admit' && @args == 4;
    return script('again', 'staging', 'positions', 'e', @args);
}

sub stream {
    script('stream', 'production', 'undeployments', $_[0], $_[1] // 'p:connection:a',
           $_[2] // 7);
}

# undeploys these by the connection; the count, the last id and the states

sub undeploy {
    my ($connection, @members) = @_;
    my ($progress, undef, undef, @own) =
        @{ script('undeploy', 'production', 'undeployments',
                  "p:connection:$connection", @members) };
    return ($progress =~ /^(\d+):(.*)\z/s, @own[grep { $_ % 2 == 0 } 0 .. $#own]);
}

# undeployments of "e", unless they say of which

sub acknowledge {
    return script('acknowledge', 'staging', 'audit', 100, 1000, 1000, map {
        my ($member, $progress, %args) = @$_;
        ($args{environment} // 'e', $member, $args{state} // 'undeployed',
         $args{error} // '', 5, $progress, $args{gateways} // '', $args{how} // '')
    } @_);
}

sub position { redis('staging', 'HGET', 'p:positions', $_[0] // 'e') }

sub set_position { redis('staging', 'HSET', 'p:positions', $_[1] // 'e', $_[0]) }

sub run_id { redis($_[0], 'INFO', 'server') =~ /run_id:(\w+)/ ? $1 : '' }


# operations with these numbers, at these times or 1 ms after the other; they
# are settled in "e", or as it is said

sub operation { sprintf '%032x', $_[0] }

sub member { 'apinizer:s:i' . $_[0] . ':' . ($_[1] // 1) . ':' . operation($_[0]) }

sub operations {
    my ($first, $last, %args) = @_;
    redis('staging', 'EVAL', <<'END', 0, $first, $last, $args{score} // '',
for i = ARGV[1], ARGV[2] do
    local operation = string.format('%032x', i)
    local key = 'p:operation:' .. operation
    redis.call('HSET', key, 'api', 'apinizer', 'scope', 's', 'id', 'i' .. i,
               'revision', ARGV[4], 'pending', '0', 'completed_at', '1',
               'environment:e', ARGV[5])
    redis.call('EXPIRE', key, 1000)
    redis.call('ZADD', 'p:operations', ARGV[3] ~= '' and ARGV[3] or i, operation)
end
END
          $args{revision} // 1,
          $args{receipt} // '{"state":"undeployed","attempts":1}');
}

# all that was lost: how it ended, and how many were told

sub told {
    my ($told, $calls, $reply) = (0, 0, again(@_));
    my (undef, undef, @new) = @_;
    while ($told += $reply->[2], $reply->[0] eq 'more' && $calls++ < 99) {
        $reply = again('more', $reply->[1], @new);
    }
    return [ @$reply[0, 1], $told ];
}

# one that is pending there, and its entry

sub pending {
    my ($n, @environments) = @_;
    my $key = 'p:operation:' . operation($n);
    @environments = ('e') unless @environments;

    redis('staging', 'HSET', $key, 'api', 'apinizer', 'scope', 's',
          'id', "i$n", 'revision', 1, 'pending', scalar @environments,
          map { ("environment:$_" => '{"state":"pending","attempts":0}') }
          @environments);
    redis('staging', 'SET', "p:open:apinizer:s:i$n", operation($n));
    redis('staging', 'ZADD', "p:pending:$_", '9' x 13, member($n))
        for @environments;
}

sub receipt {
    my ($n, $environment) = @_;
    return redis('staging', 'HGET', 'p:operation:' . operation($n),
                 'environment:' . ($environment // 'e'));
}

# when it is due: "gone", "now" or "later"

sub due {
    my ($n, $environment) = @_;
    my $score = redis('staging', 'ZSCORE', 'p:pending:' . ($environment // 'e'),
                      member($n));
    return $score eq '(nil)' ? 'gone' : $score > (time + 5) * 1000 ? 'later' : 'now';
}

run_tests();

__DATA__

=== TEST 1: first contact
--- script
my $run = run_id('staging');
is_deeply(again('ask'), ['0', '', '', $run], 'nothing is known');
is_deeply(again('admit', '0', '0-0', 'abc'), ['admitted', '1', 0], 'admitted');
is(position(), '1:0-0:abc', 'it is known now');
is_deeply(again('ask'), ['1', '0-0', '', $run], 'an empty one');
is_deeply(again('admit', '1', '1700000000000-3', 'abc'), ['admitted', '1', 0],
          'the next time');
is(position(), '1:0-0:abc', 'only acknowledgements move it');
is_deeply(again('admit', '1', '1700000000000-3', 'def'), ['admitted', '2', 0],
          'another run');
is(position(), '2:0-0:def', 'begins an epoch');
is_deeply(again('admit', '1', '0-0', 'abc'), ['changed', '2', 0],
          'who does not know it asks again');
is_deeply(again('admit', '2', '0-0', 'def'), ['admitted', '2', 0], 'as it is');
is_deeply(again('admit', '2', '0-0', ''), ['admitted', '3', 0],
          'one that does not say which run it is');
is_deeply(again('admit', '3', '0-0', ''), ['admitted', '3', 0], 'and again');

# one that has undeployments already

redis('staging', 'DEL', 'p:positions');
is_deeply(again('admit', '0', '1700000000000-3', ''), ['admitted', '1', 0],
          'one that has been used');
is(position(), '1:1700000000000-3:', 'where it is');
is_deeply(again('ask'), ['1', '1700000000000-3', '', $run], 'known');

is_deeply(again($_, '0', '0-0', 'abc'), ['changed', '1', 0],
          "$_ with what was known before") for qw(admit lost more);
is(position(), '1:1700000000000-3:', 'has changed nothing');
is(redis('staging', 'EXISTS', 'p:again'), 0, 'nor is anything told');

# lost between two calls, while the registry forgot how far it was

redis('staging', 'DEL', 'p:positions');
is_deeply(again('lost', '0', '0-0', 'abc'), ['more', '1', 0], 'lost');
is_deeply(again('more', '1', '0-0', 'abc'), ['admitted', '1', 0], 'told');
is(position(), '1:0-0:abc', 'where it is');



=== TEST 2: it has lost its memory: all are told again, some at a time
--- script
operations(1, 120);
set_position('4:1700000000000-250:abc');
my @new = ('1600000000000-3', 'def');

is_deeply(again('lost', '4', @new), ['more', '5', 0], 'it is noticed');
is(position(), '5:1700000000000-250:abc', 'another epoch');
is(redis('staging', 'ZCARD', 'p:pending:e'), 0, 'nothing is told yet');
is(again('ask')->[2], 'more', 'there is more to tell');
is_deeply(again('more', '5', @new), ['more', '5', 50], 'the first fifty');
is(redis('staging', 'ZSCORE', 'p:pending:e', member(71)) ne '(nil)', 1, 'the newest');
is(redis('staging', 'ZSCORE', 'p:pending:e', member(70)), '(nil)', 'and no others');
is(redis('staging', 'SMEMBERS', 'p:pending'), 'e', 'is pending');
is(position(), '5:1700000000000-250:abc', 'it has not come that far');

# what comes meanwhile does not move it

operations(121, 130);
is_deeply(again('more', '5', @new), ['more', '5', 50], 'the second');
is_deeply(again('more', '5', @new), ['admitted', '5', 20], 'and the last');
is(redis('staging', 'ZCARD', 'p:pending:e'), 120, 'each of them');
is(position(), '5:1600000000000-3:def', 'where it is');
is(redis('staging', 'HLEN', 'p:again'), 0, 'nothing more to tell');
is(again('ask')->[2], '', 'as it says');

for (1, 50, 120) {
    my $key = 'p:operation:' . operation($_);
    like(receipt($_), qr/^(?=.*"state":"pending")(?=.*"again":1\b)(?=.*"attempts":1\b)
                         .*"next":\d{13}/x, "$_: receipt");
    is(redis('staging', 'HGET', $key, 'pending'), 1, 'pending');
    is(redis('staging', 'HEXISTS', $key, 'completed_at'), 0, 'not complete');
    is(redis('staging', 'TTL', $key), -1, 'it is kept');
    is(redis('staging', 'GET', "p:open:apinizer:s:i$_"), operation($_), 'open');
    is(due($_), 'now', 'due');
}

# a second time, before any was acknowledged, and after one was

is(acknowledge([member(120), '5:1700000000000-0']), '(nil)', 'acknowledged');
is_deeply(told('lost', '5', '0-0', 'abc'), ['admitted', '6', 11],
          'what was settled is told again');
like(receipt(120), qr/"again":2\b/, 'for the second time');



=== TEST 3: operations of the same millisecond, and full batches
--- script
for my $count (0, 1, 49, 50, 51, 100, 130) {
    redis('staging', 'FLUSHALL');
    operations(1, $count, score => '1700000000000');
    set_position('1:1700000000000-250:abc');
    is_deeply(told('lost', '1', '0-0', 'abc'), ['admitted', '2', $count],
              "$count told");
    is(redis('staging', 'ZCARD', 'p:pending:e'), $count, 'each once');
}

redis('staging', 'FLUSHALL');
operations(1, 15);
operations(16, 80, score => 31);
operations(81, 130, score => 32);
set_position('1:1700000000000-250:abc');
my @told = map { again($_ ? 'more' : 'lost', $_ ? '2' : '1', '0-0', '')->[2] }
           0 .. 3;
is("@told", '0 50 50 30', 'several of each');
is(redis('staging', 'ZCARD', 'p:pending:e'), 130, 'each once');



=== TEST 4: two workers at once
--- script
operations(1, 120);
set_position('1:1700000000000-250:abc');
my @new = ('0-0', 'abc');

is_deeply(again('lost', '1', @new), ['more', '2', 0], 'one has noticed it');
is_deeply(again('lost', '1', @new), ['changed', '2', 0], 'the other one is late');
is(join(' ', @{ again('ask') }[0 .. 2]), '2 1700000000000-250 more', 'and asks');
is_deeply(again('more', '2', @new), ['more', '2', 50], 'one tells the first');
is_deeply(again('admit', '2', @new), ['changed', '2', 0],
          'nobody is admitted before all are told');
is_deeply(again('more', '2', @new), ['more', '2', 50], 'it tells the second');
is_deeply(again('more', '2', @new), ['admitted', '2', 20], 'the first one the last');
is_deeply(again('more', '2', @new), ['changed', '2', 0], 'no more');
is(join(' ', @{ again('ask') }[0 .. 2]), '2 0-0 ', 'and asks');
is_deeply(again('admit', '2', @new), ['admitted', '2', 0], 'admitted');
is(redis('staging', 'ZCARD', 'p:pending:e'), 120, 'each was told once');
is(redis('staging', 'HGET', 'p:operation:' . operation(7), 'pending'), 1, 'counted once');

# another environment is no matter of theirs

set_position('9:1700000000000-1:', 'other');
is_deeply(script('again', 'staging', 'positions', 'other', 'admit', '9',
                 '1700000000000-1', ''), ['admitted', '9', 0], 'another one');



=== TEST 5: what is told again, and what is not
--- script
my @told = (
    # what it is, receipt, revision
    ['undeployed', '{"state":"undeployed"}', 1],
    ['not_deployed', '{"state":"not_deployed"}', 1],
    ['superseded', '{"state":"superseded"}', 1],
    ['without a revision', '{"state":"undeployed"}', 0],
    ['without a state', '{}', 1],
    ['registered again, with a higher revision', '{"state":"undeployed"}', 3, '4'],
    ['with one that is higher by digits', '{"state":"undeployed"}', 9, '10'],
    ['with one that is higher than a number',
     '{"state":"undeployed"}', '9007199254740993', '9007199254740994'],
    ['with one after none', '{"state":"undeployed"}', 0, '1'],
    ['open for another one', '{"state":"undeployed"}', 1],
);

my @not = (
    ['pending', '{"state":"pending"}', 1],
    ['unregistered', '{"state":"unregistered"}', 1],
    ['no receipt', '', 1],
    ['malformed', '{"state":', 1],
    ['a string', '"undeployed"', 1],
    ['a number', '7', 1],
    ['registered again, without a revision', '{"state":"undeployed"}', 0, undef],
    ['without one after one', '{"state":"undeployed"}', 3, undef],
    ['with an unusable one', '{"state":"undeployed"}', 3, 'v4'],
    ['with an unusable one after none', '{"state":"undeployed"}', 0, 'v4'],
    ['with the same', '{"state":"undeployed"}', 3, '3'],
    ['with a lower one', '{"state":"undeployed"}', 3, '2'],
    ['with one that is lower by digits', '{"state":"undeployed"}', 10, '009'],
    ['with 0', '{"state":"undeployed"}', 0, '0'],
    ['deleted by hand', '{"state":"undeployed"}', 1],
    ['another type', '{"state":"undeployed"}', 1],
    ['half of it', '{"state":"undeployed"}', 1],
    ['not concerned', '{"state":"undeployed"}', 1],
);

my (%number, $n);

for (@told, @not) {
    my ($name, $receipt, $revision, $again) = @$_;
    $number{$name} = ++$n;
    operations($n, $n, receipt => $receipt, revision => $revision);
    redis('staging', 'HSET', "p:apinizer:credential:s:i$n", 'a', 'b',
          defined $again ? (revision => $again) : ()) if @$_ > 3;
}

my $key = sub { 'p:operation:' . operation($number{$_[0]}) };
redis('staging', 'SET', 'p:open:apinizer:s:i' . $number{'open for another one'}, 'x');
redis('staging', 'DEL', $key->('deleted by hand'), $key->('another type'));
redis('staging', 'SET', $key->('another type'), 'x');
redis('staging', 'HDEL', $key->('half of it'), 'scope');
redis('staging', 'HDEL', $key->('not concerned'), 'environment:e');

# names of which keys are made

operations(++$n, $n);
my $named = 'p:operation:' . operation($n);
redis('staging', 'HSET', $named, 'scope', 'a:b', 'id', '%');

set_position('1:1700000000000-9:');
is_deeply(told('lost', '1', '0-0', ''), ['admitted', '2', @told + 1],
          'as many as it says');

for (@told) {
    my ($name, undef, $revision) = @$_;
    isnt(redis('staging', 'ZSCORE', 'p:pending:e', member($number{$name}, $revision)),
         '(nil)', $name);
}

is(redis('staging', 'ZCARD', 'p:pending:e'), @told + 1, 'and no others');
is(redis('staging', 'ZSCORE', 'p:pending:e', member($number{$_->[0]}, $_->[2])),
   '(nil)', "not: $_->[0]") for grep { $_->[0] ne 'pending' } @not;
isnt(redis('staging', 'ZSCORE', 'p:pending:e',
           'apinizer:a%3Ab:%25:1:' . operation($n)), '(nil)', 'escaped');
is(redis('staging', 'GET', 'p:open:apinizer:a%3Ab:%25'), operation($n), 'open');
is(redis('staging', 'GET', 'p:open:apinizer:s:i' . $number{'open for another one'}),
   'x', 'what is open stays');



=== TEST 6: malformed positions, and keys of the wrong type
--- script
my $run = run_id('staging');
operations(1, 60);

for my $position ('', 'x', '1', '1:2', '1:2:3', '1:2:3-4:', 'a:3-4:', ':3-4:',
                  '1:3-4:xyz', "1:3-4:\n", '-1:3-4:', '1:3-4::', '1:3-4', '1' x 10000)
{
    my $name = '"' . substr($position, 0, 12) . '"';
    redis('staging', 'DEL', 'p:again');
    set_position($position);
    is_deeply(again('ask'), ['0', '0-1', '', $run],
              "$name: known is what no environment has");
    is_deeply(again('lost', '0', '1700000000000-1', 'abc'), ['more', '1', 0],
              'lost');
    is_deeply(again('ask'), ['1', '0-1', 'more', $run], 'until it is told');
}

is_deeply(told('more', '1', '1700000000000-1', 'abc'), ['admitted', '1', 60], 'told');
is(position(), '1:1700000000000-1:abc', 'set right');
is(stream('0-1')->[0], 0, 'an empty stream does not have it');
redis('production', 'XADD', 'p:undeployments', '1-1', 'a', 'b');
is(stream('0-1')->[0], 0, 'nor has another one');

redis('staging', 'DEL', 'p:pending:e');
redis('staging', 'FLUSHALL');
operations(1, 120);
set_position('1:1700000000000-1:abc');
my @new = ('0-0', 'abc');
again('lost', '1', @new);

redis('staging', 'RENAME', 'p:operations', 'kept');
redis('staging', 'SET', 'p:operations', 'x');
like(again('more', '2', @new), qr/WRONGTYPE/, 'the index');
is(again('ask')->[2], 'more', 'it is not forgotten');
like(again('more', '2', @new), qr/WRONGTYPE/, 'however often');
redis('staging', 'DEL', 'p:operations');
redis('staging', 'RENAME', 'kept', 'p:operations');
is_deeply(again('more', '2', @new), ['more', '2', 50], 'set right, it goes on');

for my $junk ('', 'x', '5', '5 ', ' 5', '+inf', '+inf x', '-inf 0', '5 5 5') {
    redis('staging', 'HSET', 'p:again', 'e', $junk);
    is(again('more', '2', @new)->[0], 'more', "cursor \"$junk\"");
    is(redis('staging', 'HGET', 'p:again', 'e'), '71 1', 'from the start again');
}

is_deeply(told('more', '2', @new), ['admitted', '2', 70], 'the rest');
is(redis('staging', 'ZCARD', 'p:pending:e'), 120, 'each is told');

redis('staging', 'SET', 'p:again', 'x');
like(again('more', '2', @new), qr/WRONGTYPE/, 'cursors');
like(again('ask'), qr/WRONGTYPE/, 'whatever is asked');
is(acknowledge([member(1), "2:1800000000000-1"]), '(nil)', 'but for what is done');
is(due(1), 'gone', 'settled');

redis('staging', 'DEL', 'p:positions');
redis('staging', 'SET', 'p:positions', 'x');
like(again('ask'), qr/WRONGTYPE/, 'positions');



=== TEST 7: what an environment remembers
--- script
my $run = run_id('production');
is_deeply(stream($_), [1, '0-0', $run, '7'], "empty, \"$_\"") for '', '0-0';
is_deeply(stream('1700000000000-1'), [0, '0-0', $run, '7'], 'empty, but was not');
is(redis('production', 'GET', 'p:connection:a'), 7, 'it counts from there');
cmp_ok(redis('production', 'TTL', 'p:connection:a'), '>', 604000, 'for a week');

redis('production', 'XADD', 'p:undeployments', "1700000000000-$_", 'a', 'b')
    for 1 .. 12;
my @now = ('1700000000000-12', $run, '7');
is_deeply(stream($_), [1, @now], "it has \"$_\"")
    for '', '0-0', '1700000000000-1', '1700000000000-9', '1700000000000-12';
is_deeply(stream($_), [0, @now], 'it has not "' . substr($_, 0, 12) . '"')
    for '1700000000000-13', '1700000000000-0', '1700000000001-1', '1-1', '0-1',
        '9' x 31 . '-1', 'x', '1' x 10000;
redis('production', 'XDEL', 'p:undeployments', '1700000000000-12');
is_deeply(stream('1700000000000-12'), [0, '1700000000000-11', $run, '7'],
          'deleted by hand');

redis('production', 'EVAL', q{
    for i = 1, 100100 do
        redis.call('XADD', 'p:undeployments', '1800000000000-' .. i, 'a', 'b')
    end
}, 0);
is_deeply(stream('1800000000000-100100'), [1, '1800000000000-100100', $run, '7'],
          'longer than it is kept');

# one that has no memory left, and one that may not write this

redis('production', 'CONFIG', 'SET', 'maxmemory', 1);
is_deeply(stream('1800000000000-100100', 'p:connection:b'),
          [1, '1800000000000-100100', $run, '0'], 'out of memory: from nothing');
redis('production', 'CONFIG', 'SET', 'maxmemory', 0);
is(redis('production', 'EXISTS', 'p:connection:b'), 0, 'there is nothing');

redis('production', 'DEL', 'p:undeployments');
redis('production', 'SET', 'p:undeployments', 'x');
like(stream(''), qr/WRONGTYPE/, 'another type');



=== TEST 8: an environment counts the calls of each connection
--- script
my $n = 0;
my $count = sub { (undeploy($_[0], member(++$n)))[0] };

stream('', 'p:connection:a', 100);
stream('', 'p:connection:b', 500);
is(join(' ', map { $count->($_) } qw(a a b a b)), '101 102 501 103 502',
   'each for itself');
is_deeply([ (undeploy('a', map { member($_) } 1 .. 3))[0, 2 .. 4] ],
          ['104', ('not_deployed') x 3], 'calls, not members');
is_deeply([ undeploy('a', 'x') ],
          ['105', '', '(error) ERR malformed pending entry'], 'one that has failed');
is_deeply([ (undeploy('a', member(1), 'x'))[0, 2, 3] ],
          ['106', 'not_deployed', '(error) ERR malformed pending entry'], 'one of two');

# emptied: whoever comes first, and those after it

redis('production', 'FLUSHALL');
is(join(' ', map { $count->($_) } qw(b a b a)), '1 1 2 2', 'from nothing');

# greeted anew, it is another connection

stream('', 'p:connection:c', 900);
is($count->('c'), 901, 'another connection');

# an older copy, put back under two connections: each has counted on, whichever
# undeploys first and whoever has seen what

my @copied = map { redis('production', 'EVAL', 'return redis.call("GET", KEYS[1])',
                         1, "p:connection:$_") } qw(a b);
is("@copied", '2 2', 'the copy');
is(join(' ', map { $count->($_) } qw(a b b)), '3 3 4', 'what the copy lacks');
redis('production', 'SET', "p:connection:$_", 2) for qw(a b);
is($count->('b'), 3, 'not 5');
is($count->('a'), 3, 'not 4, but 3 once more');

# a key of another type

redis('production', 'DEL', 'p:connection:a');
redis('production', 'HSET', 'p:connection:a', 'x', 'y');
redis('production', 'SET', 'p:connection:b', 'x');
like(script('undeploy', 'production', 'undeployments', "p:connection:$_", member(1)),
     qr/WRONGTYPE|not an integer/, "no number: $_") for qw(a b);



=== TEST 9: acknowledgements move the position
--- script
my $at = '1700000000000';
my $n = 0;

my $try = sub {
    my ($position, $progress, $after, $name) = @_;
    pending(++$n);
    set_position($position);
    is(acknowledge([member($n), $progress]), '(nil)', $name);
    is(position(), $after, 'the position');
    is(due($n), 'gone', 'settled');
    like(receipt($n), qr/^\{"state":"undeployed","attempts":1,/, 'the receipt');
};

$try->('1:0-0:ab', "1:$at-0", "1:$at-0:ab", 'the first one');
$try->("1:$at-0:ab", "1:$at-1", "1:$at-1:ab", 'the next one');
$try->("1:$at-0:", "1:$at-32", "1:$at-32:", 'without a run id');
$try->("3:$at-9:ab", "3:$at-10", "3:$at-10:ab", 'not as strings: 9, 10');
$try->("3:$at-10:ab", "3:$at-9", "3:$at-10:ab", 'out of order: 10, 9');
$try->("3:$at-99:ab", '3:1700000000001-0', '3:1700000000001-0:ab',
       'the next millisecond');
$try->('3:9-9:ab', '3:10-0', '3:10-0:ab', 'times of other lengths');
$try->("3:$at-3:ab", "3:$at-1", "3:$at-3:ab", 'a late one, out of order');
$try->("3:$at-3:ab", "3:$at-3", "3:$at-3:ab", 'the same again');
$try->("3:$at-3:ab", "3:$at-8", "3:$at-8:ab",
       'others come between that are not acknowledged yet');
$try->("3:$at-3:ab", '', "3:$at-3:ab", 'nothing to tell');
$try->("3:$at-3:ab", '3:', "3:$at-3:ab", 'no entry was made');

# several in one call: their last one counts

pending($_) for 101 .. 104;
pending($_, 'other') for 201, 202;
set_position('1:0-0:ab');
set_position('7:9-9:cd', 'other');
is(acknowledge([member(101), "1:$at-1"], [member(102), "1:$at-1"],
               [member(201), '7:9-10', environment => 'other'],
               [member(104), "1:$at-3"], [member(103), "1:$at-2"],
               [member(202), '7:9-11', environment => 'other']), '(nil)',
   'several');
is(position(), "1:$at-3:ab", 'one environment');
is(position('other'), '7:9-11:cd', 'the other one');
is(due($_), 'gone', "$_ is settled") for 101 .. 104;
is(due($_, 'other'), 'gone', "$_ is settled") for 201, 202;



=== TEST 10: what was lost since, or may have been, is not settled
--- script
my $at = '1700000000000';
my $n = 0;

my $try = sub {
    my ($position, $progress, $name) = @_;
    pending(++$n);
    redis('staging', 'DEL', 'p:positions');
    set_position($position) if defined $position;
    is_deeply(acknowledge([member($n), $progress]), ['stale'], $name);
    is(position(), $position // '(nil)', 'the position');
    is(due($n), 'now', 'due at once');
    is(receipt($n), '{"state":"pending","attempts":0}', 'the receipt is as it was');
    is(redis('staging', 'GET', "p:open:apinizer:s:i$n"), operation($n), 'open');
};

$try->("3:$at-3:ab", $_, "progress \"$_\"")
    for "2:$at-4", "4:$at-4", "0:$at-4", "33:$at-4", "03:$at-4", ":$at-4", 'x', '3',
        'a:1-1', "3-3:$at-4", '-3:1-1';

# without a position it is not known what it has

$try->($_, "1:$at-1", defined $_ ? "position \"$_\"" : 'no position')
    for undef, '', 'x', '1', "a:$at-0:", "1:$at:", "1:$at-0", "1:0:$at-0:";
$try->(undef, $_, "no position, progress \"$_\"") for '0:1-1', ':1-1', 'x', ':';

# some of several

pending($_) for 101 .. 104;
pending($_, 'other') for 201;
set_position("3:$at-3:ab");
set_position('7:9-9:cd', 'other');
is_deeply(acknowledge([member(101), "3:$at-4"], [member(102), "2:$at-5"],
                      [member(201), '7:9-10', environment => 'other'],
                      [member(104), "3:$at-6"],
                      [member(103), '', state => 'pending', error => 'down']),
          ['', 'stale', '', '', ''], 'each for itself');
is(position(), "3:$at-6:ab", 'the good ones count');
is(position('other'), '7:9-10:cd', 'and the other environment');
is(due($_), 'gone', 'settled') for 101, 104;
is(due(102), 'now', 'due at once');
like(receipt(103), qr/"next":\d+/, 'the failed one has its delay');
is(due(201, 'other'), 'gone', 'the other environment');
is(redis('staging', 'EXISTS', 'p:again'), 0, 'nothing is told');

# an entry that is not pending any more does not come back

pending(120);
redis('staging', 'ZREM', 'p:pending:e', member(120));
is_deeply(acknowledge([member(120), "2:$at-4"]), ['stale'], 'no entry');
is(due(120), 'gone', 'nor is there one now');

# told again, they are due and settled in the new epoch

operations(130, 130);
redis('staging', 'DEL', 'p:pending:e');
is_deeply(told('lost', '3', '0-0', 'ab'), ['admitted', '4', 1], 'told');
is_deeply(acknowledge([member(130), "3:$at-7"]), ['stale'], 'of the old epoch');
is(acknowledge([member(130), "4:$at-7"]), '(nil)', 'of the new one');
is(due(130), 'gone', 'settled');
is(position(), "4:$at-7:ab", 'and followed');

# It is restarted, and has lost the write of 141, the known one is there: what
# is acknowledged of the run before is not settled, neither first nor after what
# is acknowledged of this one

pending($_) for 141 .. 143;
is_deeply(again('admit', '4', "$at-7", 'cd'), ['admitted', '5', 0], 'another run');
is_deeply(acknowledge([member(141), "4:$at-8"]), ['stale'], 'late');
is(acknowledge([member(142), "5:1800000000000-0"]), '(nil)', 'of this run');
is_deeply(acknowledge([member(141), "4:$at-8"]), ['stale'], 'later');
is_deeply(acknowledge([member(143), "4:1900000000000-0"]), ['stale'],
          'by a clock that was set back');
is(due(141), 'now', 'it is undeployed again');
is(position(), '5:1800000000000-0:cd', 'where it is');



=== TEST 11: out of memory, what is acknowledged is settled
--- script
my $at = '1700000000000';
pending($_) for 1 .. 3;
pending(4, qw(e other));
set_position("3:$at-3:ab");
redis('staging', 'CONFIG', 'SET', 'maxmemory', 1);
like(redis('staging', 'SET', 'x', 'y'), qr/OOM/, 'there is none');
is(acknowledge([member(1), "3:$at-4"], [member(2), "3:$at-5"]), '(nil)',
   'with a position');
is(acknowledge([member(4), "3:$at-6"]), '(nil)', 'one of two');
is_deeply(acknowledge([member(3), "2:$at-6"]), ['stale'], 'of another epoch');
is(due($_), 'gone', "$_ is settled") for 1, 2, 4;
isnt(due(3), 'gone', 'this is not');
is(position(), "3:$at-6:ab", 'where it is');
like(receipt(1), qr/^\{"state":"undeployed"/, 'the receipt');
is(redis('staging', 'EXISTS', 'p:open:apinizer:s:i1'), 0, 'nothing is open');
redis('staging', 'CONFIG', 'SET', 'maxmemory', 0);



=== TEST 12: what was acknowledged between "ask" and "admit" of another run
--- script
my $at = '1700000000000';
pending(2);
set_position("1:$at-1:ab");
is(again('ask')->[1], "$at-1", 'it has what is known');
is(acknowledge([member(2), "1:$at-2"]), '(nil)', 'of the run before');
is_deeply(again('admit', 1, "$at-1", 'cd', "$at-1"), ['changed', 1, 0],
          'which may have been lost');
is(position(), "1:$at-2:ab", 'nothing is changed');
is_deeply(again('admit', 1, "$at-2", 'cd', "$at-2"), ['admitted', 2, 0],
          'unless it has that, too');



=== TEST 13: an environment without memory counts on from what is there
--- script
redis('production', 'SET', 'p:connection:a', 5);
redis('production', 'CONFIG', 'SET', 'maxmemory', 1);
is(stream('')->[3], '5', 'what was counted');
is(stream('', 'p:connection:b')->[3], '0', 'or nothing');
redis('production', 'CONFIG', 'SET', 'maxmemory', 0);
is(stream('')->[3], '7', 'with memory it begins anew');



=== TEST 14: what cannot be made pending again is not taken for told
--- script
operations(1, 3);
set_position('1:1700000000000-1:ab');
is(again('lost', 1, '0-0', 'ab')->[0], 'more', 'lost');
redis('staging', 'SET', 'p:pending:e', 'no zset');
like(again('more', 2, '0-0', 'ab'), qr/WRONGTYPE/, 'a key of another type');
is(redis('staging', 'HEXISTS', 'p:again', 'e'), 1, 'it is to be told still');
is(position(), '2:1700000000000-1:ab', 'and known as lost');
redis('staging', 'DEL', 'p:pending:e');

redis('staging', 'CONFIG', 'SET', 'maxmemory', 1);
like(again('more', 2, '0-0', 'ab'), qr/OOM/, 'no memory');
redis('staging', 'CONFIG', 'SET', 'maxmemory', 0);
is_deeply(again('more', 2, '0-0', 'ab'), ['admitted', 2, 3], 'all at last');
is(redis('staging', 'ZCARD', 'p:pending:e'), 3, 'pending');



=== TEST 15: operations are closed
--- script
my $audit = sub {
    my (undef, %entry) = redis('staging', 'XREVRANGE', 'p:audit', '+', '-',
                               'COUNT', 1);
    return \%entry;
};

pending(1, qw(e other));
my $key = 'p:operation:' . operation(1);
is(acknowledge([member(1), '']), '(nil)', 'one of two');
is(redis('staging', 'HGET', $key, 'pending'), 1, 'the other one is pending');
is(redis('staging', 'EXISTS', 'p:open:apinizer:s:i1'), 1, 'open');
is(acknowledge([member(1), '']), '(nil)', 'once more');
is(redis('staging', 'HGET', $key, 'pending'), 1, 'counts once');
is(acknowledge([member(1), '', environment => 'other', state => 'superseded']),
   '(nil)', 'and the other');
is(redis('staging', 'HGET', $key, 'pending'), 0, 'complete');
cmp_ok(redis('staging', 'TTL', $key), '>', 604000, 'kept 7 days');
cmp_ok(redis('staging', 'TTL', 'p:open:apinizer:s:i1'), '>', 604000,
       'closed, and kept as long to tell of the newer one');

# a newer copy that stays is in the audit

is($audit->()->{result}, 'superseded', 'the audit');
is($audit->()->{environment}, 'other', 'with its environment');
is($audit->()->{operation}, operation(1), 'and operation');
is($audit->()->{id}, 'i1', 'of this credential');
is(redis('staging', 'XLEN', 'p:audit'), 1, 'and nothing else');

# an operation that somebody has deleted: nothing of it stays

pending(2);
redis('staging', 'DEL', 'p:operation:' . operation(2));
is(acknowledge([member(2), '']), '(nil)', 'deleted by hand');
is(due(2), 'gone', 'not pending');
is(redis('staging', 'EXISTS', 'p:open:apinizer:s:i2'), 0, 'not open');
is(redis('staging', 'EXISTS', 'p:operation:' . operation(2)), 0, 'not made anew');

# but what is open for another one

pending(3);
redis('staging', 'DEL', 'p:operation:' . operation(3));
redis('staging', 'SET', 'p:open:apinizer:s:i3', operation(99));
is(acknowledge([member(3), '']), '(nil)', 'deleted by hand');
is(redis('staging', 'GET', 'p:open:apinizer:s:i3'), operation(99), 'open');

# one of an earlier copy is open again

pending(4);
redis('staging', 'HSET', 'p:operation:' . operation(5), 'api', 'apinizer',
      'pending', 1);
redis('staging', 'HSET', 'p:operation:' . operation(4), 'previous', operation(5));
is(acknowledge([member(4), '']), '(nil)', 'the later one is complete');
is(redis('staging', 'GET', 'p:open:apinizer:s:i4'), operation(5), 'the earlier one');

# keys of the wrong type

pending(6);
redis('staging', 'DEL', 'p:operation:' . operation(6));
redis('staging', 'SET', 'p:operation:' . operation(6), 'x');
is(acknowledge([member(6), '']), '(nil)', 'an operation');
is(due(6), 'gone', 'not pending');

pending(7);
redis('staging', 'DEL', 'p:positions');
redis('staging', 'SET', 'p:positions', 'x');
is_deeply(acknowledge([member(7), '1:1-1']), ['stale'], 'positions');
is(due(7), 'now', 'due at once');
is(acknowledge([member(7), '']), '(nil)', 'but those that have not come that far');
is(due(7), 'gone', 'settled');

pending(8);
redis('staging', 'DEL', 'p:pending:e');
redis('staging', 'SET', 'p:pending:e', 'x');
like(acknowledge([member(8), '']), qr/WRONGTYPE/, 'pending entries');
like(receipt(8), qr/"undeployed"/, 'the receipt is written');

# members that are none

redis('staging', 'DEL', 'p:pending:e');
is(acknowledge([$_, '']), '(nil)', "\"$_\"") for '', 'x', ':::::', 'a:b:c:d:';



=== TEST 16: operations keep their place while an environment is told again
--- script
my $now = time;
my $score = sub { ($now - 7 * 86400) * 1000 + $_[0] };
my $claim = sub { script('claim', 'staging', 'audit', 4000, 256, 0) };

redis('staging', 'HSET', 'p:environments', $_, 'unix:/x') for qw(e other);
operations($_, $_, score => $score->($_ - 1000)) for 1 .. 60;
set_position('1:1700000000000-1:abc');
again('lost', '1', '0-0', 'abc');
is(again('more', '2', '0-0', 'abc')->[2], 50, 'some are told');

# they have been kept for 7 days now, and a probe of another worker comes

$claim->();
is(redis('staging', 'ZSCORE', 'p:operations', operation($_)), $score->($_ - 1000),
   "$_ has not moved") for 1, 60;
is_deeply(again('more', '2', '0-0', 'abc'), ['admitted', '2', 10], 'all the others');

$claim->();
cmp_ok(redis('staging', 'ZSCORE', 'p:operations', operation($_)), '>',
       $score->(86000000), "$_ is looked at in a day again") for 1, 60;

# names that are not registered any more do not stop it for ever

redis('staging', 'HSET', 'p:again', 'gone', '+inf 0');
operations(61, 61, score => 1);
redis('staging', 'DEL', 'p:operation:' . operation(61));
$claim->();
is(redis('staging', 'HLEN', 'p:again'), 0, 'it is forgotten');
is(redis('staging', 'ZSCORE', 'p:operations', operation(61)), '(nil)', 'trimmed');



=== TEST 17: what is sent twice deletes once, in whatever order it comes
--- script
my $key = 'p:apinizer:credential:MyProject:u';
my $delete = sub {
    my ($n, $how) = @_;
    my $answer = script('delete', 'staging', 'audit', 4000, 'apinizer', 1, 0, '', 0,
                        (time + 60) . '000', 1000, operation($n), sha256('secret'),
                        '', 'MyProject', 'u', '127.0.0.1', '', '', $how);
    return join ' ', map { $_ // '' } @$answer[1, 4];
};

redis('staging', 'HSET', 'p:environments', 'e', 'unix:/x');
redis('staging', 'HSET', 'p:apinizer:token:' . sha256('secret'), 'subject', 'alice');
redis('staging', 'HSET', 'p:apinizer:scope:MyProject', 'a', 'b');
redis('staging', 'HSET', 'p:apinizer:members:MyProject', 'alice', 'manage');

my $create = sub { redis('staging', 'HSET', $key, 'owner', 'alice', 'revision', $_[0]) };
my $member = sub { "apinizer:MyProject:u:$_[0]:" . operation($_[1]) };

$create->(1);
is($delete->(1, 'again'), 'deleted ' . $member->(1, 1), 'the second comes first');
$create->(2);
is($delete->(1, 'all'), 'deleted ' . $member->(1, 1), 'then the first');
is(redis('staging', 'HGET', $key, 'revision'), 2, 'what was created since is there');
is(redis('staging', 'ZRANGE', 'p:pending:e', 0, -1), $member->(1, 1), 'nothing new');
is(redis('staging', 'XLEN', 'p:audit'), 1, 'audited once');
is($delete->(2, 'all'), 'deleted ' . $member->(2, 2), 'another delete');
is($delete->(2, 'again'), 'deleted ' . $member->(2, 2), 'and the second of it');
is(redis('staging', 'HGET', 'p:operation:' . operation(2), 'previous'), operation(1),
   'after that');



=== TEST 18: an operation of which something stays, and an environment told again
--- script
my $open = 'p:open:apinizer:s:i1';

pending(1, qw(e other));
acknowledge([member(1), '', environment => 'other', state => 'superseded'],
            [member(1), '']);
cmp_ok(redis('staging', 'TTL', $open), '>', 604000, 'over, and kept');

redis('staging', 'ZADD', 'p:operations', 1, operation(1));
set_position('1:1700000000000-9:');
is_deeply(told('lost', '1', '0-0', ''), ['admitted', '2', 1], 'told again');
is(redis('staging', 'TTL', $open), -1, 'open until it is done');
acknowledge([member(1), '']);
cmp_ok(redis('staging', 'TTL', $open), '>', 604000, 'over, and kept again');

# another one that is over does not hide it

redis('staging', 'SET', $open, operation(2));
redis('staging', 'HSET', 'p:operation:' . operation(2), 'completed_at', 1);
told('lost', '2', '0-0', '');
is(redis('staging', 'GET', $open), operation(1), 'open in place of it');

# nothing stays there any more

redis('staging', 'HSET', 'p:operation:' . operation(1), 'environment:other',
      '{"state":"undeployed"}');
acknowledge([member(1), '']);
is(redis('staging', 'EXISTS', $open), 0, 'over');
