
# Environments of all kinds, and what becomes of those which fail.

use CredTest;
use CredTest::Delete;

defaults(sample(<<'END'));
cred_connect_timeout  10s;
cred_command_timeout  10s;
cred_cascade_timeout  20s;
cred_retry_delay      100ms 200ms;
END

sub register { redis('registry', 'HSET', '{cred}:environments', @_) }

# in place of another one, of which it does not have what was undeployed there

sub replace {
    settled();
    redis('registry', 'HDEL', '{cred}:positions', $_[0]);
    register(@_);
}

sub is_gone {
    my ($name, $username) = @_;
    $username //= 'api-user';
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    ok(wait_for(sub {
        !redis($name, 'EXISTS', "{cred}:apinizer:credential:MyProject:$username",
               "{cred}:apinizer:grants:MyProject:$username")
    }), "gone from $name");
}

# the receipt of an environment, once it has one

sub receipt {
    my ($answer, $name) = @_;
    my $receipt = '';
    wait_for(sub {
        $receipt = redis('registry', 'HGET',
                         '{cred}:operation:' . operation($answer),
                         "environment:$name");
        return $receipt !~ /"attempts":0/;
    });
    return $receipt;
}

# arrays of strings, nil, and integers as ":1", errors as "-ERR ...", a status
# as "+OK", and references to other strings

sub bytes {
    my ($value) = @_;
    return "\$-1\r\n" unless defined $value;
    return '$' . length($$value) . "\r\n$$value\r\n" if ref $value eq 'SCALAR';
    return '*' . @$value . "\r\n" . join '', map { bytes($_) } @$value
        if ref $value;
    return $value =~ /^[:+-]/ ? "$value\r\n"
                              : '$' . length($value) . "\r\n$value\r\n";
}

# what no script answers, and why an environment is pending then

sub nonsense {
    my ($silence) = @_;

    return (
        garbage  => ['unreachable', "\x16\x03\x01hello"],
        half     => ['unreachable', \"\$10\r\nunde"],
        nothing  => ['unreachable', \""],
        silence  => [$silence, undef],
        huge     => [$silence, "\$2147483647\r\nx"],
        deep     => ['unreachable', "*1\r\n" x 300000],
        many     => ['unreachable', "*2147483647\r\n"],
        ok       => ['refused', "+OK\r\n"],
        nil      => ['refused', "\$-1\r\n"],
        integer  => ['refused', ":1\r\n"],
        empty    => ['refused', "\$0\r\n\r\n"],
        pending  => ['refused', "\$7\r\npending\r\n"],
        unknown  => ['refused', "\$6\r\nundone\r\n"],
        none     => ['refused', "*0\r\n"],
        noscript => ['refused', "-NOSCRIPT No matching script\r\n"],
        map { lc $_ => ['refused', "-$_ some text\r\n"] }
            qw(LOADING BUSY MASTERDOWN MOVED ASK OOM READONLY NOPERM ERR),
    );
}

# deletes a credential of this name where the fake has it in its prefix, which
# is another URL each time: what the last one did is forgotten with it

sub try_fake {
    my ($port, $id, $reason, $error, $name) = @_;
    $name //= 'staging';

    local $Test::Builder::Level = $Test::Builder::Level + 1;

    register($name, "redis://127.0.0.1:$port?prefix=$id");
    my $answer = del($id);
    answer_is($answer, $id, pending(production => undef, $name => $reason));
    is_gone('production', $id);
    like(receipt($answer, $name), qr/"error":"\Q$error\E"/, 'the receipt')
        if defined $error;
    return $answer;
}

run_tests();


__DATA__

=== TEST 1: every way to reach an environment
--- before
$ENV{TEST_NGINX_DNS} = dns('redis.test' => '127.0.0.1', 'six.test' => '::1');
--- http_config
cred_registry         $TEST_NGINX_REGISTRY;
cred_connect_timeout  10s;
cred_cascade_timeout  20s;
resolver              127.0.0.1:$TEST_NGINX_DNS;
--- script
my ($socket, $port) = (redis_socket('production'), redis_port('production'));

redis('production', 'ACL', 'SETUSER', 'gateway', 'on', '>pass%:/@? word', '~*',
      '&*', '+@all');
redis('production', 'ACL', 'SETUSER', 'default', '>secret');

# the passwords below are the only way in

my $asked = sub {
    my ($db, $key) = @_;
    my $sock = CredTest::Redis::redis_connect('production');
    print $sock resp('AUTH', 'secret');
    CredTest::Redis::reply($sock);
    print $sock resp('SELECT', $db), resp('GET', $key);
    CredTest::Redis::reply($sock);
    return CredTest::Redis::reply($sock);
};

redis('production', 'ACL', 'SETUSER', 'default', 'resetpass', '>secret');

my $user = 'gateway:pass%25%3A%2F%40%3F%20word@';
my $n = 0;

for my $way (
    # URL, database, prefix
    ["redis://:secret\@127.0.0.1:$port"],
    ["redis://default:secret\@127.0.0.1:$port/"],
    ["redis://${user}127.0.0.1:$port/0"],
    ["redis://${user}127.0.0.1:$port/3", 3],
    ["redis://${user}127.0.0.1:$port/3?prefix=p", 3, 'p'],
    ["redis://${user}127.0.0.1:$port?prefix=%7Bx%7D", 0, '{x}'],
    ["redis://${user}\[::1]:$port/2", 2],
    ["redis://${user}localhost.redis.test:$port/4", 4],
    ["redis://${user}redis.test:$port/5", 5],
    ["redis://${user}six.test:$port/6", 6],
    ["REDIS://${user}REDIS.test:$port/7", 7],
) {
    my ($url, $db, $prefix) = @$way;
    my $id = 'way' . ++$n;
    credential($id, 'registry');
    replace('production', $url);
    answer_is(del($id), $url,
              pending(production => 'absent', staging => 'absent'));
    is($asked->($db // 0, ($prefix // '{cred}')
                . ":apinizer:tombstone:MyProject:$id"), 1, 'it was there');
}

redis('registry', 'DEL', '{cred}:environments');
redis('registry', 'HSET', '{cred}:environments', 'a',
      "unix:$ENV{TEST_NGINX_DIR}/st%61ging.sock",
      'b', "UNIX:$ENV{TEST_NGINX_DIR}/staging.sock?db=5&prefix=%25",
      'c', "unix:$ENV{TEST_NGINX_DIR}/staging.sock?prefix=x&db=5");
answer_is(del('api-user'), 'unix sockets',
          pending(a => undef, b => 'absent', c => 'absent'));
--- redis_check
staging: GET {cred}:apinizer:tombstone:MyProject:api-user => 7
staging: EXISTS {cred}:apinizer:credential:MyProject:api-user => 0



=== TEST 2: nonsense is a failed environment, and no more
--- http_config
cred_registry         $TEST_NGINX_REGISTRY;
cred_connect_timeout  10s;
cred_cascade_timeout  20s;
--- script
my $socket = redis_socket('production');

my @nonsense = (
    '', ' ', 'x', 'localhost', '127.0.0.1:6379', 'http://127.0.0.1', 'redis:',
    'redis:/', 'redis://', 'redis:///0', 'redis://:6379', 'redis://host:',
    'redis://127.0.0.1:0', 'redis://127.0.0.1:65536', 'redis://127.0.0.1:x',
    'redis://127.0.0.1:-1', 'redis://127.0.0.1:99999999999999999999',
    'redis://127.0.0.1/x', 'redis://127.0.0.1/-1', 'redis://127.0.0.1/0/1',
    'redis://127.0.0.1/99999999999999999999', 'redis://127.0.0.1?db=1',
    'redis://127.0.0.1?prefix', 'redis://127.0.0.1?prefix=',
    'redis://127.0.0.1?x=y', 'redis://127.0.0.1?prefix=a&prefix=b',
    'redis://@127.0.0.1', 'redis://:@127.0.0.1', 'redis://user@127.0.0.1',
    'redis://[::1', 'redis://[::1]x', 'redis://[]', 'redis://[x]',
    'redis://[::1]:x', 'redis://%zz', 'redis://%', 'redis://a%00b',
    'redis://a b', "redis://a\nb", "redis://\xff", "redis://127.0.0.1\0",
    'redis://' . 'x' x 300, 'redis://' . 'x.' x 3000, 'x' x 100000,
    'redis://' . '%41' x 10000, 'redis://::1', 'redis://127.0.0.1:1:2',
    'rediss://127.0.0.1', 'rediss://', 'unix:', 'unix:/', 'unix://',
    'unix:relative', 'unix:/nowhere', 'unix:' . '/x' x 100,
    "unix:$socket?db", "unix:$socket?db=x", "unix:$socket?db=-1",
    "unix:$socket?db=99999", "unix:$socket?db=1&db=2", "unix:$socket?x=1",
    "unix:$socket\0", "unix:$socket/", "unix:$socket%", 'unix:/etc/passwd',
    'unix:/tmp', 'redis://256.256.256.256', 'redis://no.such.name',
    'redis://127.0.0.1:1', 'redis://0.0.0.0:1',
);

my @names = map { sprintf 'n%03d', $_ } 1 .. @nonsense;
register(map { $names[$_] => $nonsense[$_] } 0 .. $#nonsense);

my ($worker) = nginx_workers();
my $answer = del('api-user');
answer_is($answer, 'the answer',
          pending((map { $_ => 'unreachable' } @names),
                  production => undef, staging => undef));
is_gone($_) for qw(production staging);

for (0 .. $#nonsense) {
    my $receipt = receipt($answer, $names[$_]);
    my $url = substr($nonsense[$_], 0, 40) =~ s/[^ -~]/?/gr;
    like($receipt, qr/"state":"pending".*"error":"[^"]|"error":"[^"].*pending/,
         "\"$url\"");
}

is((nginx_workers())[0], $worker, 'the same worker');
answer_is(del('api-user'), 'resumed',
          pending((map { $_ => 'unreachable' } @names),
                  production => undef, staging => undef));

# set right, they are undeployed without being asked for

register(map { $_ => redis_url('staging') } @names);
ok(wait_for(sub { redis('registry', 'KEYS', '{cred}:open:*') eq '' }),
   'all are settled');
answer_is(del('api-user'), 'and done', failure(400, 'api-user'));



=== TEST 3: a name without a resolver, and a resolver that is away
--- script
register('staging', 'redis://redis.test');
my $answer = del('api-user');
answer_is($answer, 'no resolver',
          pending(production => undef, staging => 'unreachable'));
like(receipt($answer, 'staging'), qr/no resolver defined/, 'the receipt');



=== TEST 4: names which do not resolve, or not in time
--- before
$ENV{TEST_NGINX_DNS} = dns('redis.test' => '127.0.0.1');
--- http_config
cred_registry         $TEST_NGINX_REGISTRY;
cred_connect_timeout  3s;
cred_cascade_timeout  20s;
--- config
location ~ /known {
    resolver     127.0.0.1:$TEST_NGINX_DNS;
    cred_delete  apinizer;
}
location ~ /api-user {
    resolver     127.0.0.1:1;
    cred_delete  apinizer;
}
--- script
credential('known');
register('staging', 'redis://unknown.test');
my $answer = del('known');
answer_is($answer, 'unknown',
          pending(production => undef, staging => 'unreachable'));
like(receipt($answer, 'staging'), qr/could not resolve|timed out/, 'the receipt');
register('staging', 'redis://other.test');
answer_is(del('api-user'), 'no answer',
          pending(production => undef, staging => 'unreachable'));



=== TEST 5: refusing: passwords, rights, states
--- redis: guarded
--- before
redis_stop('guarded');
redis_start('guarded', '--requirepass', 'secret');
--- script
my $port = redis_port('guarded');
my @table = (
    # URL of staging, before, after, reason
    ["redis://127.0.0.1:$port", undef, undef, 'unreachable', 'NOAUTH'],
    ["redis://:wrong\@127.0.0.1:$port", undef, undef, 'unreachable',
     'WRONGPASS'],
    ["redis://nobody:secret\@127.0.0.1:$port", undef, undef, 'unreachable',
     'WRONGPASS'],
    [redis_url('staging') . '?db=99', undef, undef, 'unreachable',
     'DB index is out of range'],
    [redis_url('staging'), [qw(ACL SETUSER default -evalsha -eval)],
     [qw(ACL SETUSER default +@all)], 'refused', 'NOPERM'],
    [redis_url('staging'), [qw(ACL SETUSER default -publish)],
     [qw(ACL SETUSER default +@all)], 'refused', "can't run this command|no permissions to run"],
    [redis_url('staging'), [qw(ACL SETUSER default resetkeys ~x)],
     [qw(ACL SETUSER default ~*)], 'refused', 'NOPERM'],
    [redis_url('staging'), [qw(REPLICAOF 127.0.0.1 1)],
     [qw(REPLICAOF NO ONE)], 'unreachable', 'it is a replica'],
);

my $n = 0;

for (@table) {
    my ($url, $begin, $end, $reason, $error) = @$_;
    my $id = 'u' . ++$n;
    credential($id);
    register('staging', $url);
    is(redis('staging', @$begin), 'OK', "@$begin") if $begin;

    my $answer = del($id);
    answer_is($answer, $error,
              pending(production => undef, staging => $reason));
    like(receipt($answer, 'staging'), qr/$error/, 'the receipt');
    is_gone('production', $id);

    is(redis('staging', @$end), 'OK', "@$end") if $end;
    register('staging', redis_url('staging'));
    is_gone('staging', $id);
    ok(settled(), 'settled');
}

unlike(error_log_text(), qr/secret|:wrong/, 'no passwords in the log');



=== TEST 6: keys of the wrong type in an environment
--- script
my @table = (
    ['credential:MyProject:api-user', 'SET'],
    ['credentials:MyProject', 'SET'],
    ['tombstone:MyProject:api-user', 'SADD'],
);

for (@table) {
    my ($key, $command) = @$_;
    $key = "{cred}:apinizer:$key";
    for my $name (qw(production staging)) {
        redis($name, 'DEL', redis($name, 'KEYS', '{cred}:apinizer:*'));
    }
    credential('api-user');
    redis('staging', 'DEL', $key);
    redis('staging', $command, $key, 'x');
    my $before = contents('staging');
    my $answer = del('api-user');
    answer_is($answer, $key, pending(production => undef, staging => 'refused'));
    is_deeply(contents('staging'), $before, 'nothing has changed there');
    redis('staging', 'DEL', $key);
    ok(settled(), 'then it is undeployed');
}



=== TEST 7: answers which no good Redis gives
--- before
# the id says which, and so does the prefix of the keys

my $progress = '1:1700000000000-0';

# progress, gateways, their longest lease; state and id

sub replied {
    my ($progress, @states) = @_;
    return bytes([$progress, ':0', ':0', map { ($_, '1700000000000-0') } @states]);
}

sub gateways { return bytes([$progress, @_[0, 1], 'undeployed', @_[2 .. $#_]]) }

our %Replies = (
    nonsense('late'),
    two         => ['refused', "+OK\r\n+OK\r\n"],
    nested      => ['refused', replied($progress, ['undeployed'])],
    number      => ['refused', replied($progress, ':1')],
    word        => ['refused', replied($progress, '+undeployed')],
    nils        => ['refused', replied($progress, undef)],
    waiting     => ['refused', replied($progress, 'pending')],
    other       => ['refused', replied($progress, 'undone')],
    blank       => ['refused', replied($progress, '')],
    longer      => ['refused', replied($progress, 'undeployed ')],
    error       => ['refused', replied($progress, '-WRONGTYPE of this one')],
    former      => ['refused', bytes([$progress, 'undeployed'])],
    alone       => ['refused', bytes([$progress])],
    three       => ['refused', replied($progress, 'undeployed', 'undeployed')],
    swapped     => ['refused', bytes(['undeployed', $progress])],
    'p-number'  => ['refused', replied(':1', 'undeployed')],
    'p-nil'     => ['refused', replied(undef, 'undeployed')],
    'p-array'   => ['refused', replied([], 'undeployed')],
    'p-nested'  => ['refused', replied([$progress], 'undeployed')],
    'p-word'    => ['refused', replied('+1:1-0', 'undeployed')],
    'g-string'  => ['refused', gateways('0', ':0', '1-0')],
    'g-nil'     => ['refused', gateways(undef, ':0', '1-0')],
    'g-minus'   => ['refused', gateways(':-1', ':0', '1-0')],
    'l-string'  => ['refused', gateways(':1', '100', '1-0')],
    'l-minus'   => ['refused', gateways(':1', ':-1', '1-0')],
    'l-long'    => ['refused', gateways(':1', ':3600001', '1-0')],
    'i-none'    => ['refused', gateways(':1', ':1', '')],
    'i-nil'     => ['refused', gateways(':1', ':1', undef)],
    'i-number'  => ['refused', gateways(':1', ':1', ':1')],
    'i-long'    => ['refused', gateways(':1', ':1', '1' x 80 . '-0')],
    'i-missing' => ['refused', gateways(':1', ':1')],
    'p-error'   => ['refused', replied('-ERR no progress', 'undeployed')],
);

# what would never be acknowledged, or make the registry forget where it was

my @malformed = ('', 'x', '1', '1:x', ':', '::', ':-', ':1-0', '1:-', '1:1-',
                 '1:-1', '1:1', '1:1-0-0', '1:1-0:', '1:1:0', '1:1:1-0', '-1:1-0',
                 'a:1-0', ' 1:1-0', '1 :1-0', '1:1-0 ', "1:1-0\n", "1:\0\xff",
                 '1.0:1-0', '1:' . '1' x 60 . '-0', '9' x 100 . ':1-0',
                 'x' x 300000);

$Replies{sprintf 'malformed-%02d', $_}
    = ['refused', replied(\$malformed[$_], 'undeployed')] for 0 .. $#malformed;

# how many calls there were by this connection: one

our %Counts = map {
    ("counts-$_" => replied("$_:1700000000000-0", 'undeployed'))
} 0, 2, 3, 10, '9' x (length(LARGEST) - 1);

our %Good = (
    undeployed => [undef, replied($progress, 'undeployed')],
    gone       => ['absent', replied($progress, 'not_deployed')],
    newer      => ['superseded', replied('1:', 'superseded')],
    long       => [undef, replied('0' x 20 . '1:9' . '0' x 17 . '-' . '9' x 18,
                                'undeployed')],
);

my %all = (%Replies, %Good);

# who has left one call without a reply answers none after it

my %silent;

my $reply = sub {
    $SIG{PIPE} = 'IGNORE';
    my ($connection, $member) = @_[5, 6];
    my ($id) = $member =~ /^apinizer:MyProject:([^:]*):/;
    return if $silent{$connection} ||= $id eq 'silence';
    return $::Counts{$id} // $all{$id}[1];
};

$ENV{TEST_NGINX_FAKE} = fake(replies => { EVALSHA => $reply, EVAL => $reply });
--- http_config
cred_registry         $TEST_NGINX_REGISTRY;
cred_connect_timeout  10s;
cred_command_timeout  3s;
cred_cascade_timeout  20s;
cred_retry_delay      1h 1h;
--- script
my $port = $ENV{TEST_NGINX_FAKE};

credential([keys %::Replies, keys %::Good, keys %::Counts], qw(registry production));

for my $id (sort keys %::Replies) {
    my ($reason, $bytes) = @{ $::Replies{$id} };
    my $error;

    if ($reason eq 'refused') {
        ($error) = $bytes =~ /(?:^|\r\n)-([A-Z].*)\r\n/;
        $error = 'unexpected reply to undeploy.lua'
            if !defined $error || $id eq 'p-error';
    }

    try_fake($port, $id, $reason, $error);
}

# and those without a fault, in an environment where nothing is pending

redis('registry', 'HDEL', '{cred}:environments', 'staging');
try_fake($port, $_, $::Good{$_}[0], undef, 'third') for sort keys %::Good;

# each in a place of its own, since they are told again

redis('registry', 'HDEL', '{cred}:environments', 'third');
for my $id (sort keys %::Counts) {
    try_fake($port, $id, 'refused', 'environment has lost its memory', "x-$id");
    redis('registry', 'HDEL', '{cred}:environments', "x-$id");
}



=== TEST 8: slow, and answering after the answer
--- http_config
cred_registry         $TEST_NGINX_REGISTRY;
cred_connect_timeout  10s;
cred_command_timeout  60s;
cred_cascade_timeout  3s;
cred_retry_delay      100ms 200ms;
--- script
credential('one');
answer_is(del('one'), 'connected', everywhere());
ok(settled(), 'settled');
redis_pause('staging');
my $answer = del('api-user');
answer_is($answer, 'late', pending(production => undef, staging => 'late'));
is_gone('production');

# the same undeployment is still under way: it is not made twice

redis_resume('staging');
is_gone('staging');
ok(settled(), 'settled');
like(receipt($answer, 'staging'), qr/"state":"undeployed"/, 'the receipt');
like(receipt($answer, 'staging'), qr/"attempts":1[,}]/, 'one attempt');
--- redis_check
staging: XLEN {cred}:undeployments => 2



=== TEST 9: environments of one project
--- redis: spare
--- script
register('spare', redis_url('spare'), 'unwanted', 'nonsense');
redis('registry', 'SADD', '{cred}:apinizer:environments:MyProject', 'staging',
      'spare', 'unregistered');
credential('one', qw(registry production staging spare));
answer_is(del('one'), 'only these, and one that is not there yet',
          pending(spare => undef, staging => undef,
                  unregistered => 'unreachable'));
is_gone($_, 'one') for qw(staging spare);
is(redis('production', 'EXISTS', '{cred}:apinizer:credential:MyProject:one'),
   1, 'production is not concerned');

redis('registry', 'SREM', '{cred}:apinizer:environments:MyProject', 'staging',
      'spare');
my $answer = del('api-user');
answer_is($answer, 'none of them', pending(unregistered => 'unreachable'));

# renamed at last
redis('registry', 'HSET', '{cred}:environments', 'unregistered',
      redis_url('spare'));
ok(settled(), 'it goes on where it is registered');



=== TEST 10: an environment of many names has a connection for each
--- http_config
cred_registry         $TEST_NGINX_REGISTRY;
cred_connect_timeout  30s;
cred_command_timeout  30s;
cred_cascade_timeout  30s;
--- script
my $connections = sub {
    my ($wanted) = @_;
    return wait_for(sub {
        scalar(redis('staging', 'INFO', 'clients'))
            =~ /connected_clients:$wanted\b/
    });
};

ok($connections->(2), 'a connection, and this one');
redis('registry', 'DEL', '{cred}:environments');
register(map { sprintf('e%03d', $_) => redis_url('staging') } 1 .. 300);
my $answer = del('api-user');
my ($first) = $answer->{body} =~ /"(e\d+)",[^}]*"Undeployed successfully"/;
answer_is($answer, 'all of them',
          pending(map { my $name = sprintf 'e%03d', $_;
                        ($name => $name eq $first ? undef : 'absent') } 1 .. 300));
ok($connections->(302), 'one for each');



=== TEST 11: too many environments are refused, and nothing changes
--- script
my $before = contents('registry');
register(map { ("e$_" => 'nonsense') } 1 .. 1025);
answer_is(del('api-user'), 'refused', failure(503));
redis('registry', 'DEL', '{cred}:environments');
register(production => redis_url('production'), staging => redis_url('staging'));
is_deeply(contents('registry'), $before, 'nothing has changed');
answer_is(del('api-user'), 'then deleted', everywhere());



=== TEST 12: no environment at all can be reached
--- script
redis_kill($_) for qw(production staging);
my $answer = del('api-user');
answer_is($answer, 'pending',
          pending(production => 'unreachable', staging => 'unreachable'));
is(redis('registry', 'EXISTS', '{cred}:apinizer:credential:MyProject:api-user'),
   0, 'but deleted');
redis_start($_) for qw(production staging);
ok(settled(), 'undeployed when they are back');
is(redis($_, 'GET', '{cred}:apinizer:tombstone:MyProject:api-user'), 7,
   "$_ knows") for qw(production staging);



=== TEST 13: out of memory: what is taken out needs none
--- script
is(redis('staging', qw(CONFIG SET maxmemory 1)), 'OK', 'no memory');
like(redis('staging', qw(SET a b)), qr/OOM/, 'for nothing');
answer_is(del('api-user'), 'undeployed', everywhere());
is_gone('staging');
--- redis_check
staging: GET {cred}:apinizer:tombstone:MyProject:api-user => 7
staging: SMEMBERS {cred}:apinizer:credentials:MyProject => other
staging: XLEN {cred}:undeployments => 1



=== TEST 14: one that shakes hands and then closes or is silent
--- before
my $closes = sub { \"" };

$ENV{TEST_NGINX_CLOSES} = fake(replies => {
    STREAM => $closes, EVALSHA => $closes, EVAL => $closes });
$ENV{TEST_NGINX_SILENT} = fake(replies => {
    STREAM => undef, EVALSHA => undef, EVAL => undef });
--- http_config
cred_registry         $TEST_NGINX_REGISTRY;
cred_connect_timeout  1s;
cred_command_timeout  1s;
cred_cascade_timeout  2s;
cred_retry_delay      100ms 60s;
--- script
my %ports = map { $_ => $ENV{"TEST_NGINX_\U$_"} } qw(closes silent);

credential([map { my $name = $_; map { "$name$_" } 1 .. 20 } sort keys %ports]);

for my $name (sort keys %ports) {
    my $port = $ports{$name};
    my $connections = sub {
        return scalar grep { $_ eq '(connected)' } fake_log($port);
    };

    register('staging', "redis://127.0.0.1:$port");
    del($name . 1);
    ok(wait_for(sub { error_log_text() =~ /redis is down: .*:$port\// }),
       "$name: down");

    # new deletes do not wait for it, nor do they get there

    answer_is(del($name . $_), "$name$_, at once",
              pending(production => undef, staging => 'unreachable'))
        for 2 .. 20;
    my $before = $connections->();
    ok(wait_for(sub { $connections->() > $before + 3 }), 'it is tried again');
    is(scalar(grep { / apinizer:/ } fake_log($port)), 0,
       'with none of them');

    my $text = error_log_text();
    is(scalar(my @down = $text =~ /\[error\].* redis is down: .*:$port\//g), 1,
       'said once');
    unlike($text, qr/redis is back.*:$port\//, 'it is not back');

    register('staging', redis_url('staging'));
    ok(wait_for(sub { redis('staging', 'EXISTS', map {
        "{cred}:apinizer:credential:MyProject:$name$_" } 2 .. 20) == 0 }),
       'set right, it gets them');
}



=== TEST 15: an URL that was corrected is left alone
--- before
$ENV{TEST_NGINX_OLD} = fake(greeting => \"");
$ENV{TEST_NGINX_STILL} = fake(greeting => \"");
--- script
my $attempts = sub {
    return scalar grep { $_ eq '(connected)' } fake_log($ENV{"TEST_NGINX_$_[0]"});
};

register('staging', "redis://:wrong\@127.0.0.1:$ENV{TEST_NGINX_OLD}",
         'other', "redis://127.0.0.1:$ENV{TEST_NGINX_STILL}");
answer_is(del('api-user'), 'pending',
          pending(other => 'unreachable', production => undef,
                  staging => 'unreachable'));
ok(wait_for(sub { $attempts->('OLD') > 3 }), 'tried again and again');
register('staging', redis_url('staging'));
is_gone('staging');

# what has connected before this one has been seen when this one is

my $before = http_open(port => $ENV{TEST_NGINX_OLD});
http_read($before);
my ($old, $still) = map { $attempts->($_) } qw(OLD STILL);
ok(wait_for(sub { $attempts->('STILL') > $still + 4 }), 'as the other one is');
is($attempts->('OLD'), $old, 'not any more');
unlike(error_log_text(), qr/wrong/, 'no password');



=== TEST 16: what is under way ends where it began
--- redis: spare
--- http_config
cred_registry         $TEST_NGINX_REGISTRY;
cred_cascade_timeout  60s;
cred_command_timeout  60s;
--- script
my $clients = sub {
    my ($n) = scalar(redis('staging', 'INFO', 'clients'))
              =~ /^connected_clients:(\d+)/m;
    return $n;
};

credential([qw(one two)], qw(registry production staging spare));
answer_is(del('one'), 'connected', everywhere());
redis('staging', 'CLIENT', 'PAUSE', 60000, 'WRITE');
my $sock = http_open();
print $sock del_raw('api-user');
ok(wait_for(sub { scalar(redis('staging', 'INFO', 'clients'))
                  =~ /^blocked_clients:1/m }), 'it has the command');

redis('registry', 'HDEL', '{cred}:positions', 'staging');
register('staging', redis_url('spare'));
answer_is(del('two'), 'another one has taken its place', everywhere());
is_gone('spare', 'two');
ok(!IO::Select->new($sock)->can_read(0), 'no answer yet');

redis('staging', 'CLIENT', 'UNPAUSE');
answer_is(http_parse(http_read($sock)), 'the answer', everywhere());
is_gone('staging');
ok(wait_for(sub { $clients->() == 1 }), 'then the connection is closed');
is(redis('staging', 'EXISTS', '{cred}:apinizer:credential:MyProject:two'), 1,
   'and nothing else was done there');



=== TEST 17: names and hosts cannot forge lines of the log
--- script
my $lines = "\n2026/01/01 00:00:00 [warn] forged\r\e[31m";

register("bad$lines", 'nonsense',
         "down$lines", 'redis://127.0.0.1:1',
         'host', 'redis://a%0a%0d2026%2f01%2f01 [warn] forged' =~ s/ /%20/gr,
         'path', 'unix:/a%0a2026 [warn] forged' =~ s/ /%20/gr);
del('api-user');
ok(wait_for(sub { my $text = error_log_text();
                  !grep { $text !~ /environment: $_/ } qw(bad down host path) }),
   'all are in the log') or diag(error_log_text());
my $text = error_log_text();
unlike($text, qr/[\r\e]/, 'no control characters');
is(scalar(grep { !/^\d{4}\/\d\d\/\d\d \d\d:\d\d:\d\d \[\w+\] \d+#/ }
          split /\n/, $text), 0, 'no lines of another form') or diag($text);



=== TEST 18: errors are kept to their end, where they say what to do
--- before
$ENV{TEST_NGINX_DENIES} = fake(replies => {
    TIME => '-DENIED ' . 'x' x 400 . " and this is the remedy\r\n" });
--- script
register('staging', "redis://127.0.0.1:$ENV{TEST_NGINX_DENIES}");
my $answer = del('api-user');
answer_is($answer, 'pending', pending(production => undef,
                                      staging => 'unreachable'));
like(receipt($answer, 'staging'), qr/DENIED x+ and this is the remedy"/,
     'the receipt');
like(error_log_text(), qr/DENIED x+ and this is the remedy while/, 'the log');



=== TEST 19: greetings which no good Redis gives
--- before
my $run_id = 'a' x 40;
my $id = '1700000000000-0';

our %Greetings = (
    nonsense('unreachable'),
    three        => ['refused', bytes([':1', $id, $run_id])],
    five         => ['refused', bytes([':1', $id, $run_id, '7', '7'])],
    'in-one'     => ['refused', bytes([[':1', $id, $run_id, '7']])],
    'has-string' => ['refused', bytes(['1', $id, $run_id, '7'])],
    'has-nil'    => ['refused', bytes([undef, $id, $run_id, '7'])],
    'has-array'  => ['refused', bytes([[], $id, $run_id, '7'])],
    'has-error'  => ['refused', bytes(['-ERR some', $id, $run_id, '7'])],
    'id-number'  => ['refused', bytes([':1', ':1', $run_id, '7'])],
    'id-nil'     => ['refused', bytes([':1', undef, $run_id, '7'])],
    'id-long'    => ['refused', bytes([':1', '1' x 63 . '-0', $run_id, '7'])],
    'id-longer'  => ['refused', bytes([':1', '1' x 500000, $run_id, '7'])],
    'run-number' => ['refused', bytes([':1', $id, ':1', '7'])],
    'run-nil'    => ['refused', bytes([':1', $id, undef, '7'])],
    'run-array'  => ['refused', bytes([':1', $id, [$run_id], '7'])],
    'run-long'   => ['refused', bytes([':1', $id, 'a' x 65, '7'])],
    'run-error'  => ['refused', bytes([':1', $id, '-ERR some', '7'])],
    'n-number'   => ['refused', bytes([':1', $id, $run_id, ':7'])],
    'n-nil'      => ['refused', bytes([':1', $id, $run_id, undef])],
    'n-blank'    => ['refused', bytes([':1', $id, $run_id, ''])],
    'n-long'     => ['refused', bytes([':1', $id, $run_id, '0' x 65])],
    'n-large'    => ['refused', bytes([':1', $id, $run_id, '9' x 19])],
    'n-word'     => ['refused', bytes([':1', $id, $run_id, 'many'])],
    'n-negative' => ['refused', bytes([':1', $id, $run_id, \'-1'])],
    'n-error'    => ['refused', bytes([':1', $id, $run_id, '-ERR some'])],
);

# what it has may be nonsense as well, which does no harm

our %Good = (
    good       => bytes([':1', '0-0', '', '0']),
    known      => bytes([':1', $id, $run_id, '7']),
    lost       => bytes([':0', '0-0', $run_id, '7']),
    negative   => bytes([':-1', \'-1--1', \'-1', '0']),
    words      => bytes([':2', 'last', 'run', '7']),
    'no-words' => bytes([':0', 'last', 'run', '7']),
    colons     => bytes([':1', \':::', \': :', '7']),
    blank      => bytes([':1', '', '', '7']),
    blanks     => bytes([':0', '', '', '7']),
    large      => bytes([':9223372036854775807', '9' x 31 . '-' . '9' x 31,
                         'f' x 64, '9' x (length(LARGEST) - 1)]),
    binary     => bytes([':1', "\xff", "\r\n", '7']),
);

# they count each connection's calls from what they have said

my %count;

my $greeting = sub {
    $SIG{PIPE} = 'IGNORE';
    my ($name) = $_[3] =~ /^(.*):undeployments$/;
    return $Greetings{$name}[1] if $Greetings{$name};
    ($count{$_[6]}) = $Good{$name} =~ /(\d+)\r\n\z/;
    return $Good{$name};
};

my $reply = sub {
    my ($connection, @members) = @_[5 .. $#_];
    return bytes([++$count{$connection} . ':1700000000001-0',
                  ':0', ':0', map { ('undeployed', '1-1') } @members]);
};

$ENV{TEST_NGINX_FAKE} = fake(replies => { STREAM => $greeting, EVAL => $reply,
                                          EVALSHA => $reply });
--- http_config
cred_registry         $TEST_NGINX_REGISTRY;
cred_connect_timeout  3s;
cred_command_timeout  5s;
cred_cascade_timeout  20s;
cred_retry_delay      5s 10s;
--- script
my $port = $ENV{TEST_NGINX_FAKE};
my ($worker) = nginx_workers();

credential([keys %::Greetings, keys %::Good], qw(registry production));

for my $id (sort keys %::Greetings) {
    my ($reason, $bytes) = @{ $::Greetings{$id} };
    my $error;

    if ($reason eq 'refused') {
        ($error) = $bytes =~ /^-(.*)\r\n/;
        $error = defined $error ? "refused: $error"
                                : 'unexpected reply to stream.lua';
    }

    try_fake($port, $id, $reason, $error);
}

# nothing but that was sent to any of them

is(scalar(grep { / apinizer:MyProject:/ } fake_log($port)), 0, 'no undeployment');

# who says that he has lost all is told again first, which does not take long

redis('registry', 'HDEL', '{cred}:environments', 'staging');
for my $id (sort keys %::Good) {
    my $lost = $::Good{$id} =~ /^\*4\r\n:0/;
    try_fake($port, $id, undef, undef, 'third');
    redis('registry', 'HDEL', '{cred}:positions', 'third') if $lost;
}

is((nginx_workers())[0], $worker, 'the same worker');

# wherever they have said that they were, the real one is told of what it lacks

credential('after');
register('third', redis_url('staging'));
del('after');
ok(wait_for(sub { redis('registry', 'ZCARD', '{cred}:pending:third') == 0 }, 20),
   'the real one is told of all');
is_gone('staging', 'after');



=== TEST 20: one that greets and then closes or is silent
--- before
my $closes = sub { \"" };

$ENV{TEST_NGINX_CLOSES} = fake(replies => { EVALSHA => $closes,
                                            EVAL => $closes });
$ENV{TEST_NGINX_SILENT} = fake(replies => { EVALSHA => undef,
                                            EVAL => undef });
--- http_config
cred_registry         $TEST_NGINX_REGISTRY;
cred_connect_timeout  10s;
cred_command_timeout  1s;
cred_cascade_timeout  5s;
cred_retry_delay      100ms 60s;
--- script
my %ports = map { $_ => $ENV{"TEST_NGINX_\U$_"} } qw(closes silent);

credential([map { my $name = $_; map { "$name$_" } 1 .. 5 } sort keys %ports]);

for my $name (sort keys %ports) {
    my $port = $ports{$name};
    my $count = sub {
        my ($regex) = @_;
        return scalar grep { /$regex/ } fake_log($port);
    };

    register('staging', "redis://127.0.0.1:$port");
    is(del("$name$_")->{headers}{'cred-pending'}, 'staging', "$name$_") for 1 .. 5;
    ok(wait_for(sub { $count->(qr/^\(connected\)/) > 4 }), 'tried again');

    # it gets some of them each time, but the time between grows

    my $text = error_log_text();
    is(scalar(my @down = $text =~ /\[error\].* redis is down: .*:$port\//g), 1,
       'said once');
    unlike($text, qr/redis is back.*:$port\//, 'it is not back');

    register('staging', redis_url('staging'));
    ok(settled(), 'set right, it is told of them');
    is_gone('staging', "$name$_") for 1 .. 5;
}



=== TEST 21: where it was is forgotten, or is no place at all
--- script
credential([1 .. 8]);
answer_is(del(1), 'connected', everywhere());
ok(settled(), 'settled');
my $good = redis('registry', 'HGET', '{cred}:positions', 'staging');
my $n = 1;

for my $position ('', 'x', '1:' . '9' x 31 . '-' . '9' x 31 . ':', '1:1:1',
                  $good =~ s/:\w+$/:xyz/r, undef)
{
    redis('registry', defined $position ? ('HSET', '{cred}:positions', 'staging',
                                           $position)
                                        : ('DEL', '{cred}:positions'));
    redis('staging', 'CLIENT', 'KILL', 'TYPE', 'normal');
    $n++;
    my $answer = del($n);
    ok(settled(), 'settled');
    is_gone('staging', $n);
    like(receipt($answer, 'staging'), qr/"state":"(?:un|not_)deployed"/,
         ($position // 'none') . ': undeployed');
    like(redis('registry', 'HGET', '{cred}:positions', 'staging'),
         qr/^\d+:\d{13}-\d+:\w*$/, 'and known again');
}



=== TEST 22: a long name is no reason to forget an environment
--- script
my @names = map { $_ x 5000 } 'm', 'n';
redis('registry', 'DEL', '{cred}:environments');
register($names[0], redis_url('production'), $names[1], 'unix:/none');
my $answer = del('api-user');
is($answer->{headers}{'cred-pending'}, $names[1], 'pending');
is_gone('production');
register($names[1], redis_url('staging'));
ok(settled(), 'it is attempted again');
is_gone('staging');
