
# A registry that is away, slow, refuses, or answers what no Redis should.

use CredTest;
use CredTest::Delete;

defaults(sample(<<'END'));
cred_connect_timeout  1s;
cred_command_timeout  1s;
cred_cascade_timeout  20s;
cred_retry_delay      100ms 200ms;
END


# which script it is, by its arguments

sub is_delete { @_ == 22 && $_[6] eq 'apinizer' }


# a relay to the real registry; FAULT(N, ANSWER) turns the answer to the Nth
# delete.lua into what nginx gets

sub forward {
    my $sock = CredTest::Redis::redis_connect('registry');
    print $sock resp(@_);
    IO::Select->new($sock)->can_read(5);
    sysread $sock, my $answer, 65536;
    return $answer;
}

sub relay {
    my ($fault) = @_;
    my $n = 0;

    my $relay = sub {
        my $answer = forward(@_);
        return $answer if $answer =~ /^-NOSCRIPT/ || !is_delete(@_);
        return $fault->(++$n, $answer);
    };

    return fake(replies => { EVALSHA => $relay, EVAL => $relay });
}


sub unchanged {
    my ($before, $name) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    is_deeply([ map { contents($_) } qw(registry production staging) ], $before,
              $name // 'nothing has changed');
}

sub load_sample {
    my %sample = sample();
    redis_load('registry', $sample{registry});
}

sub remains {
    my ($username) = @_;
    return redis('registry', 'EXISTS',
                 "{cred}:apinizer:credential:MyProject:$username");
}

# how many deletes it was asked for, with the script's text or without

sub deletes {
    my ($port) = @_;
    return scalar grep { / \w+ 127\.0\.0\.1   (?:all|again)$/ } fake_log($port);
}

sub logged {
    my ($regex) = @_;
    return scalar(my @lines = error_log_text() =~ /$regex/g);
}

sub unanswered { !IO::Select->new($_[0])->can_read(0) }

sub everything { [ map { contents($_) } qw(registry production staging) ] }

# an answer to delete.lua: nested arrays, strings, nil, and integers as ":1",
# errors as "-ERR ...", a status as "+OK"

sub bytes {
    my ($value) = @_;
    return "\$-1\r\n" unless defined $value;
    return '*' . @$value . "\r\n" . join '', map { bytes($_) } @$value
        if ref $value;
    return $value =~ /^[:+-]/ ? "$value\r\n"
                              : '$' . length($value) . "\r\n$value\r\n";
}

# what nginx has sent there for a credential

sub asked {
    my ($port, $id) = @_;
    return grep { / \Q$id\E 127\.0\.0\.1   \w+$/ } fake_log($port);
}

# a delete in time: the connection is made again by itself

sub recovers {
    my ($username) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    my $answer;
    ok(wait_for(sub {
        $answer = del($username // 'api-user');
        $answer->{status} != 503;
    }), 'it is back');
    is($answer->{status}, 200, 'deletes again');
}

run_tests();


__DATA__

=== TEST 1: down when nginx starts, and down later
--- before
redis_stop('registry');
--- script
answer_is(del('api-user'), 'at the start', failure(503));
answer_is(del('api-user'), 'and then', failure(503));
redis_start('registry');
load_sample();
my $before = everything();
recovers();
redis_kill('registry');
answer_is(del('api-user'), 'killed', failure(503)) for 1 .. 3;
ok(wait_for(sub { 3 < (() = error_log_text() =~ /redis is down/g) }), 'retried');
redis_start('registry');
load_sample();
recovers();
is((my $n = () = error_log_text() =~ /\[error\].* redis is down: .*registry/g), 2,
   'said once each time');
is(($n = () = error_log_text() =~ /\[notice\].* redis is back, registry/g), 2,
   'and when it was back');



=== TEST 2: stopped, and going on later: nothing has changed
--- script
credential([0 .. 4]);
answer_is(del(0), 'connected', everywhere());
ok(settled(), 'settled');
my $before = everything();
my $entries = audit();
redis_pause('registry');
my @answers = map { http_parse($_) } http_many(map { del_raw($_) } 1 .. 3);
answer_is($_, 'no answer', failure(503)) for @answers;
answer_is(del(4), 'no connection', failure(503));
redis_resume('registry');

# commands which it still has got are run before this
redis('registry', 'PING') for 1 .. 10;
unchanged($before);
recovers(1);
is(audit(), $entries + 1, 'the audit');



=== TEST 3: stopped when nginx connects
--- before
$::Before = everything();
redis_pause('registry');
--- script
answer_is(del('api-user'), 'no answer', failure(503));
answer_is(del('api-user'), 'no answer', failure(503));
redis_resume('registry');
redis('registry', 'PING') for 1 .. 10;
unchanged($::Before);
recovers();



=== TEST 4: slow, but in time
--- http_config
cred_registry $TEST_NGINX_REGISTRY;
--- script
redis('registry', 'CLIENT', 'PAUSE', 200, 'WRITE');
answer_is(del('api-user'), 'answered', everywhere());



=== TEST 5: refusals of a real Redis
--- script
credential([1 .. 6]);
my $before = everything();

# a replica without its master answers some commands, or says MASTERDOWN

my @stale = qw(CONFIG SET replica-serve-stale-data);

my @states = (
    # what it is, how it begins, how it ends
    ['OOM', [qw(CONFIG SET maxmemory 1)], [qw(CONFIG SET maxmemory 0)]],
    ['READONLY', [qw(REPLICAOF 127.0.0.1 1)], [qw(REPLICAOF NO ONE)]],
    ['MASTERDOWN', [qw(REPLICAOF 127.0.0.1 1)], [qw(REPLICAOF NO ONE)],
     [@stale, 'no'], [@stale, 'yes']],
    ['NOREPLICAS', [qw(CONFIG SET min-replicas-to-write 1)],
     [qw(CONFIG SET min-replicas-to-write 0)]],
    ['NOPERM', [qw(ACL SETUSER default -evalsha -eval)],
     [qw(ACL SETUSER default +evalsha +eval)]],
    ['NOPERM', [qw(ACL SETUSER default resetkeys ~other)],
     [qw(ACL SETUSER default ~*)]],
);

my ($n, $last) = (0, '');

for (@states) {
    my ($what, $begin, $end, $before_it, $after_it) = @$_;

    # what is a replica is asked for its role, again and again; the same reason
    # is told as an error once a minute, another one at once

    my $level = $what eq $last ? qr/\[\w+\]/ : qr/\[error\]/;
    my $reason = $begin->[0] eq 'REPLICAOF' ? qr/is down: it is a replica/
                                            : qr/$level .* refused a command: .*$what/;
    $last = $what;

    redis('registry', @$before_it) if $before_it;

    my $lines = () = error_log_text() =~ /$reason/g;
    is(redis('registry', @$begin), 'OK', "@$begin");
    answer_is(del('api-user'), $_, failure(503)) for "$what once", "$what twice";
    my $after = () = error_log_text() =~ /$reason/g;
    cmp_ok($after, '>', $lines, 'the reason is in the log');
    is(redis('registry', @$end), 'OK', "@$end");
    redis('registry', @$after_it) if $after_it;
    unchanged($before);
    recovers(++$n);
    ok(settled(), 'to its end');
    $before = everything();
}



=== TEST 6: wrong passwords
--- before
redis_kill('registry');
redis_start('registry', '--requirepass', 'secret%word');
load_sample();
--- http_config
cred_registry $TEST_NGINX_REGISTRY;
--- config
location ~ /none/  { cred_delete apinizer; }
location ~ /wrong/ {
    cred_delete    apinizer;
    cred_registry  redis://:wrong@127.0.0.1:$TEST_NGINX_REGISTRY_PORT;
}
location ~ /nobody/ {
    cred_delete    apinizer;
    cred_registry  redis://nobody:wrong@127.0.0.1:$TEST_NGINX_REGISTRY_PORT;
}
location ~ /right/ {
    cred_delete    apinizer;
    cred_registry  redis://:secret%25word@127.0.0.1:$TEST_NGINX_REGISTRY_PORT;
}
--- script
answer_is(del($_), $_, failure(503)) for qw(none wrong nobody);
answer_is(del('right'), 'right', failure(400, 'right'));
like(error_log_text(), qr/refused(?: \w+)?: $_/, "logged: $_") for qw(NOAUTH WRONGPASS);
unlike(error_log_text(), qr/secret|:wrong/, 'without passwords');



=== TEST 7: keys of the wrong type
--- script
my $c = '{cred}:apinizer';

my @table = (
    # key, what it becomes, what it is not then
    ["$c:token:" . sha256('TOKEN'), 'SET', 'x'],
    ["$c:members:MyProject", 'SADD', 'alice'],
    ["$c:credential:MyProject:api-user", 'SET', 'x'],
    ["$c:credential:MyProject:api-user", 'SADD', 'x'],
    ["$c:credentials:MyProject", 'SET', 'x'],
    ["$c:credentials:MyProject", 'HSET', 'x', 'y'],
    ["$c:environments:MyProject", 'SET', 'x'],
    ['{cred}:environments', 'SET', 'x'],
    ['{cred}:environments', 'SADD', 'production'],
    ['{cred}:pending', 'SET', 'x'],
    ['{cred}:pending:staging', 'SET', 'x'],
    ['{cred}:pending:staging', 'SADD', 'x'],
    ['{cred}:audit', 'SET', 'x'],
    ['{cred}:audit', 'LPUSH', 'x'],
);

for (@table) {
    my ($key, $command, @value) = @$_;
    my $kept = redis('registry', 'EXISTS', $key)
               && redis('registry', 'RENAME', $key, 'kept');
    redis('registry', $command, $key, @value);
    my $before = everything();
    answer_is(del('api-user'), "$command $key", failure(503));
    unchanged($before);
    redis('registry', 'DEL', $key);
    redis('registry', 'RENAME', 'kept', $key) if $kept;
}

# what is of no use is deleted all the same, what is not needed is no matter

redis('registry', 'DEL', "$c:grants:MyProject:api-user");
redis('registry', 'SET', "$c:grants:MyProject:api-user", 'x');
redis('registry', 'SET', "$c:uses:MyProject:api-user", 'x');
redis('registry', 'SET', '{cred}:open:apinizer:MyProject:api-user', 'x');
answer_is(del('api-user'), 'deleted', everywhere());
--- redis_check
EXISTS {cred}:apinizer:grants:MyProject:api-user => 0



=== TEST 8: answers which no good Redis gives
--- before
# the id of the credential says which; claim.lua is answered well

my $member = 'apinizer:MyProject:x:0:' . '0' x 32;
my @cascade = ('production', 'unix:/x', 'undeployed', '');
my @good = (':1', 'deleted', 'alice', 'MyProject', $member, ':8', ':1', '',
            @cascade);

our %Replies = (
    garbage    => "\x16\x03\x01hello",
    http       => "HTTP/1.1 400 Bad Request\r\n\r\n",
    blank      => "\r\n\r\n",
    half       => \"*3\r\n:1\r\n*0\r\n*5\r\n\$7\r\ndele",
    nothing    => \"",
    silence    => undef,
    huge       => "\$2147483648\r\nx",
    larger     => "\$5000000000\r\nx",
    negative   => "\$-2\r\n",
    elements   => "*2147483647\r\n",
    negatives  => "*-2\r\n",
    many       => "*20000\r\n" . ":1\r\n" x 20000,
    long       => '$1500000' . "\r\n" . 'x' x 1500000 . "\r\n",
    endless    => '+' . 'x' x 1500000,
    deep       => "*1\r\n" x 300000,
    deeper     => "*1\r\n" x 9 . ":1\r\n",
    two        => "*0\r\n*0\r\n",
    empty      => "*0\r\n",
    nil        => "\$-1\r\n",
    'nil-array' => "*-1\r\n",
    integer    => ":1\r\n",
    ok         => "+OK\r\n",
    string     => "\$7\r\ndeleted\r\n",
    resp3      => "%1\r\n+a\r\n+b\r\n",
    noscript   => "-NOSCRIPT No matching script\r\n",
    map({ lc $_ => "-$_ some text\r\n" }
        qw(ERR LOADING BUSY MASTERDOWN CLUSTERDOWN TRYAGAIN MISCONF NOAUTH),
        'MOVED 3999', 'ASK 3999'),
    'bare'     => "-\r\n",
    'no-space' => "-OOM\r\n",
    'long-error' => '-ERR ' . 'x' x 100000 . "\r\n",
    'bytes'    => "-ERR \0\x01\x02\xff\e[31m\n\r\n",
);

# arrays as delete.lua returns them, each with one fault

my %places = (time => 0, result => 1, subject => 2, scope => 3, member => 4,
              start => 5, count => 6, rate => 7, 'env-name' => 8,
              'env-url' => 9, 'env-state' => 10, 'env-known' => 11);

my %types = (string => 'x', number => ':1', nil => undef, array => [],
             nested => ['deleted'], status => '+deleted');

# what is right for some of them, or is as good as nothing

my %right = map { $_ => 1 } (
    qw(time-number start-number count-number),
    map({ ("$_-string", "$_-nil", "$_-status") } qw(subject scope)),
    map({ ("$_-string", "$_-nil", "$_-status") } qw(env-name env-url)),
    qw(env-state-string env-state-status),
);

my $with = sub {
    my @reply = @good;
    while (my ($name, $value) = splice @_, 0, 2) {
        $reply[$places{$name}] = $value;
    }
    return \@reply;
};

my %faults;

for my $name (keys %places) {
    $faults{"$name-$_"} = $with->($name, $types{$_})
        for grep { !$right{"$name-$_"} } keys %types;
}

my ($least, $most) = (':-9223372036854775808', ':9223372036854775807');
my $trace = '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01';

my %values = (
    result => ['', 'removed', 'Deleted', 'delete', 'deleted ', "deleted\0",
               'late', 'full', 'latefull'],
    member => ['', '0' x 31],
    start  => [':9', ':11', ':12', ':1000000', ':-1', ':-8', $least, $most,
               ':4294967304', ':4611686018427387904'],
    count  => [':2', ':3', ':-1', $least, $most, ':4294967297',
               ':3074457345618258603', ':6148914691236517206'],
    rate   => ['1', '1 2', '1 2 ', ' 1 2', 'a b c', '1 2 c', '1 b 3', 'a 2 3',
               '1 2 3 4', '1 2 3 ', ' 1 2 3', '1  2 3', '1 2  3', '   ', ' ',
               '-1 2 3', '1 -2 3', '1 2 -3', '1,2,3', "1 2 3\n", "1\0 2 3",
               '1.5 2 3', '9223372036854775808 2 3', '1 2 9223372036854775808',
               '1 ' . '9' x 100 . ' 3', '1 2 ' . '3' x 100000],
    'env-known' => [' ', '0', '0 ', '0 0', '0 0 ', '0 0 -', ' 0 - x', '0  - x',
                    '0 0  x', '0 0  - x', '-1 0 - x', '0 -1 - x', '01 0 - x',
                    '0 01 - x', '1.5 0 - x', '1' x 16 . ' 0 - x',
                    '0 ' . '1' x 16 . ' - x', '0 0 -- x', "0 0 -\nx", '0 - x',
                    "0 0 $trace" =~ s/.$//r . ' x', '0 0 ' . uc($trace) . ' x',
                    "0 0 $trace" =~ s/-01$/\r\n1/r . ' x',
                    '0 0 - ' . 'x' x 513],
);

for my $name (keys %values) {
    my $n = 0;
    $faults{"$name-" . ++$n} = $with->($name, $_) for @{ $values{$name} };
}

%faults = (
    %faults,
    late           => $with->(result => 'late'),
    full           => $with->(result => 'full'),
    'error-result' => $with->(result => '-WRONGTYPE some text'),
    'error-member' => $with->(member => '-WRONGTYPE some text'),
    'error-time'   => $with->(time => '-WRONGTYPE some text'),
    'env-error'    => $with->('env-name' => '-WRONGTYPE some text'),

    (map { ("elements-$_" => [ @good[0 .. $_ - 1] ]) } 1 .. 11),
    'no-time'      => [ @good[1 .. 11] ],
    'no-result'    => [ @good[0, 2 .. 11] ],
    'no-rate'      => [ @good[0 .. 6, 8 .. 11] ],
    'two-of-both'  => [ @good[0 .. 5], ':2', '', @cascade, @cascade[0, 1] ],
    'one-more'     => [ @good[0 .. 5], ':2', '', @cascade, 'staging' ],
    'in-arrays'    => [ @good[0 .. 7], [@cascade] ],
    'in-one'       => [ [@good] ],
    'nested-own'   => [ ':1', [ @good[1 .. 7] ], @cascade ],

    # the form of former versions

    former         => [ ':1', [ [@cascade] ],
                        ['deleted', 'alice', 'MyProject', $member, ':1'] ],
    'before-that'  => [ 'deleted', ':1', 'alice', 'MyProject', $member,
                        (':0') x 4, @cascade ],
);

%Replies = (%Replies, map { $_ => bytes($faults{$_}) } keys %faults);

# and those with none

our %Good = (
    good  => bytes(\@good),
    rated => bytes($with->(rate => '3 2 60')),
    zero  => bytes($with->(rate => '0 0 0')),
    large => bytes($with->(rate => (LARGEST . ' ') x 2 . '1')),
    nil   => bytes($with->(subject => undef, scope => undef)),
    more  => bytes([@good, 'staging', [], ':1']),
    far   => bytes([ @good[0 .. 4], ':11', @good[6, 7], (':0') x 3, @cascade ]),
    known => bytes($with->('env-known' => "999999999999999 999999999999999 $trace  a b\n\0 ")),
    'known-long'  => bytes($with->('env-known' => '0 0 - ' . 'x' x 512)),
    'known-least' => bytes($with->('env-known' => '0 0 - ')),
    empty => bytes($with->(count => ':0')),
    alone => bytes([ @good[0 .. 4], ':0', ':0', '' ]),
);

my $reply = sub {
    $SIG{PIPE} = 'IGNORE';
    return "*0\r\n" unless is_delete(@_);
    my ($operation, $id) = @_[13, 17];
    my $bytes = $id =~ /^no fault: (.*)/ ? $Good{$1} : $Replies{$id};
    $bytes =~ s/:\K0{32}(?=\r)/$operation/ if defined $bytes && !ref $bytes;
    return $bytes;
};

$ENV{TEST_NGINX_FAKE} = fake(replies => { EVALSHA => $reply, EVAL => $reply });
--- http_config
cred_registry         redis://127.0.0.1:$TEST_NGINX_FAKE;
cred_connect_timeout  1s;
cred_command_timeout  500ms;
--- script
my ($worker) = nginx_workers();
my $port = $ENV{TEST_NGINX_FAKE};

# after a bad reply it is left alone for a while

for my $name (sort keys %::Replies) {
    my $answer;
    ok(wait_for(sub {
        $answer = del($name =~ s/ /%20/gr);
        scalar asked($port, $name);
    }), "$name: asked");

    # the operation is read before the environments
    delete $answer->{headers}{'cred-operation'}
        if $name =~ /^env-/;

    answer_is($answer, $name, failure(503));
}

wait_for(sub { del('no%20fault:%20good')->{status} == 200 });
answer_is(del("no%20fault:%20$_"), $_, deleted('production'))
    for qw(good rated zero large nil more far known known-long known-least);
answer_is(del("no%20fault:%20$_"), $_, deleted()) for qw(empty alone);

is((nginx_workers())[0], $worker, 'the same worker');
like(error_log_text(), qr/$_/, "logged: $_")
    for 'invalid reply: Protocol error, got "\\\\x16"', 'too long reply',
        'too many elements in a reply', 'nested',
        'closed the connection', 'did not reply in time', 'reply without a',
        'unexpected reply to delete.lua', 'another redis is to be asked: MASTER',
        map { "refused a command: $_" }
        qw(LOADING BUSY CLUSTERDOWN MOVED ASK OOM WRONGTYPE);
unlike(error_log_text(), qr/[\0\x01\e]/, 'no control characters in the log');
my $text = slurp("/proc/$worker/status");
my ($rss) = $text =~ /VmRSS:\s+(\d+)/;
cmp_ok($rss, '<', $ENV{CRED_NGINX} ? 1000000 : 60000, 'memory is bounded');

# what is late is asked again once, what is full for as long as a command may
# take, one time after the other

is(join(' ', map { /(\w+)$/ } asked($port, 'late')), 'all again', 'late');
my $times;
ok(wait_for(sub {
    my $before = asked($port, 'full');
    del('full');
    return ($times = asked($port, 'full')) > $before + 2;
}), 'full');
is(del('after')->{status}, 503, 'another one');
is(scalar(asked($port, 'full')), $times, 'then no more');



=== TEST 9: a peer which speaks first, or never, or ends at once
--- before
$ENV{TEST_NGINX_GREETS} = fake(greeting => "+hello\r\n");
$ENV{TEST_NGINX_CLOSES} = fake(greeting => \"");
$ENV{TEST_NGINX_MUTE} = fake(replies => { TIME => undef });
$ENV{TEST_NGINX_TIME} = fake(replies => { TIME => "*2\r\n\$1\r\nx\r\n:1\r\n" });
$ENV{TEST_NGINX_ERR} = fake(replies => { TIME => "-LOADING some text\r\n" });
--- config
location ~ /greets/ { cred_delete apinizer;
                      cred_registry redis://127.0.0.1:$TEST_NGINX_GREETS; }
location ~ /closes/ { cred_delete apinizer;
                      cred_registry redis://127.0.0.1:$TEST_NGINX_CLOSES; }
location ~ /mute/   { cred_delete apinizer;
                      cred_registry redis://127.0.0.1:$TEST_NGINX_MUTE; }
location ~ /time/   { cred_delete apinizer;
                      cred_registry redis://127.0.0.1:$TEST_NGINX_TIME; }
location ~ /err/    { cred_delete apinizer;
                      cred_registry redis://127.0.0.1:$TEST_NGINX_ERR; }
--- script
answer_is(del($_), $_, failure(503)) for qw(greets closes mute time err);



=== TEST 10: answers which come byte by byte
--- before
# the real registry's, through a slow relay

my $relay = sub {
    my $sock = CredTest::Redis::redis_connect('registry');
    print $sock resp(@_);
    IO::Select->new($sock)->can_read(5);
    sysread $sock, my $answer, 65536;
    return $answer;
};

$ENV{TEST_NGINX_FAKE} = fake(step => 1, pause => 0.0002,
                             replies => { EVALSHA => $relay, EVAL => $relay });
--- http_config
cred_registry         redis://127.0.0.1:$TEST_NGINX_FAKE;
cred_connect_timeout  60s;
cred_command_timeout  60s;
cred_cascade_timeout  60s;
--- script
answer_is(del('api-user'), 'deleted', everywhere());



=== TEST 11: the connection is lost after delete.lua was run
--- before
$ENV{TEST_NGINX_RELAY} = relay(sub { $_[0] == 1 ? \"" : $_[1] });
--- http_config
cred_registry         redis://127.0.0.1:$TEST_NGINX_RELAY;
cred_connect_timeout  10s;
cred_command_timeout  2s;
--- script
ok(wait_for(sub { redis('registry', 'HLEN', '{cred}:positions') == 2 }),
   'no greeting is under way');
my $answer = del('api-user');
answer_is($answer, 'asked again', everywhere());
is(redis('registry', 'KEYS', '{cred}:operation:*'),
   '{cred}:operation:' . operation($answer), 'one operation');
is(scalar(grep { is_delete(split / /) } fake_log($ENV{TEST_NGINX_RELAY})), 2,
   'asked twice, the first time with the script');
is(join(' ', map { $_->{operation} } audit()), operation($answer),
   'the audit has it once');
--- redis_check
production: XLEN {cred}:undeployments => 1
staging: XLEN {cred}:undeployments => 1
EXISTS {cred}:pending:production {cred}:pending:staging => 0
EXISTS {cred}:open:apinizer:MyProject:api-user => 0



=== TEST 12: half of the answer is lost, and the second one is whole
--- before
$ENV{TEST_NGINX_RELAY} = relay(sub {
    $_[0] == 1 ? \substr($_[1], 0, length($_[1]) - 3) : $_[1]
});
--- http_config
cred_registry         redis://127.0.0.1:$TEST_NGINX_RELAY;
cred_connect_timeout  10s;
cred_command_timeout  2s;
--- script
ok(wait_for(sub { redis('registry', 'HLEN', '{cred}:positions') == 2 }),
   'no greeting is under way');
answer_is(del('api-user'), 'asked again', everywhere());
--- redis_check
production: XLEN {cred}:undeployments => 1



=== TEST 13: all answers are lost: what was done is undeployed
--- before
$ENV{TEST_NGINX_RELAY} = relay(sub { \"" });
--- http_config
cred_registry         redis://127.0.0.1:$TEST_NGINX_RELAY;
cred_connect_timeout  5s;
cred_command_timeout  5s;
cred_retry_delay      100ms;
--- script
answer_is(del('api-user'), 'asked in vain', failure(503));
is(redis('registry', 'EXISTS', '{cred}:apinizer:credential:MyProject:api-user'),
   0, 'it was deleted');
--- redis_check
production: XLEN {cred}:undeployments => 1
staging: XLEN {cred}:undeployments => 1
staging: EXISTS {cred}:apinizer:credential:MyProject:api-user => 0
KEYS {cred}:operation:* =~ ^\S+$



=== TEST 14: commands have a limit, and what is beyond is refused
--- http_config
cred_registry                $TEST_NGINX_REGISTRY;
cred_command_timeout         60s;
http2_max_concurrent_streams 10000;
keepalive_requests           10000;
log_format  cred  '$status';
access_log  $TEST_NGINX_DIR/cred.log  cred;
--- config
listen $TEST_NGINX_H2_PORT http2;
location /apiops/ { cred_delete apinizer; }
--- script
my $statuses = sub {
    my %n;
    $n{$_}++ for split /\n/, slurp(temp_dir() . '/cred.log');
    return join ' ', map { "$_:$n{$_}" } sort keys %n;
};

my $url = "http://127.0.0.1:$ENV{TEST_NGINX_H2_PORT}" . path('none');
answer_is(del('none'), 'connected', failure(400, 'none'));

redis('registry', 'PING');
redis_pause('registry');
open my $load, '-|', "h2load -n 8400 -c 1 -m 8400 -w 24 -W 24"
     . " -H':method: DELETE' -H'Authorization: Bearer TOKEN' $url 2>&1";

ok(wait_for(sub { $statuses->() =~ /^400:1 503:20[0-9]$/ }),
   'what is beyond is refused at once') or diag($statuses->());
redis_resume('registry');
my $text = join '', <$load>;
like($text, qr/8400 done.* 0 errored, 0 timeout/, 'all are answered');
like($statuses->(), qr/^400:819\d 503:20\d$/, 'the others as usual');



=== TEST 15: 503 means that nothing will be changed, whatever else was asked
--- http_config
cred_registry         $TEST_NGINX_REGISTRY;
cred_connect_timeout  100ms;
cred_command_timeout  1s;
cred_retry_delay      100ms;
--- script
# The retry asks all the time, so the connection ends before a delete's time is
# up; the registry goes on as soon as there is an answer.

my @moments = (0.1, 0.35, 0.6, 0.85);

credential(['first', map { ("u$_", "next$_") } 0 .. $#moments]);
recovers('first');

for my $n (0 .. $#moments) {
    redis_pause('registry');
    select undef, undef, undef, $moments[$n];
    answer_is(del("u$n"), "u$n", failure(503));
    redis_resume('registry');
    redis('registry', 'PING') for 1 .. 10;
    recovers("next$n");
    is(remains("u$n"), 1, 'it is still there');
}

is(scalar(grep { $_->{id} =~ /^u/ } audit()), 0, 'the audit has none of them');



=== TEST 16: each location keeps its own time, and waits for no other
--- config
location ~ /quick { cred_delete apinizer; cred_command_timeout 500ms; }
location ~ /slow  { cred_delete apinizer; cred_command_timeout 20s; }
location ~ /api   { cred_delete apinizer; }
--- script
credential([qw(quick1 quick2 slow1 slow2)]);
recovers('quick1');
answer_is(del('slow1'), 'slow1', everywhere());
ok(settled(), 'settled');

redis_pause('registry');
my $slow = http_open();
print $slow del_raw('slow2');
answer_is(del('quick2'), 'the quick one is refused', failure(503));
answer_is(del('api-user'), 'any other as well', failure(503));
ok(unanswered($slow), 'the slow one waits');
redis_resume('registry');
answer_is(http_parse(http_read($slow)), 'and is done', everywhere());
is(remains($_), 1, "$_ is still there") for qw(quick2 api-user);
recovers('quick2');



=== TEST 17: a lost answer is asked for once more when it can change nothing
--- before
$ENV{TEST_NGINX_RELAY} = relay(sub { $_[0] < 3 ? \"" : $_[1] });
--- http_config
cred_registry         redis://127.0.0.1:$TEST_NGINX_RELAY;
cred_connect_timeout  20s;
cred_command_timeout  6s;
--- script
my $answer;
answer_is($answer = del('api-user'), 'what was done is answered', everywhere());
is(join(' ', map { $_->{operation} } audit()), operation($answer),
   'the audit has it once');
my @deadlines = map { (split / /)[-11] }
                asked($ENV{TEST_NGINX_RELAY}, 'api-user');
is(scalar(@deadlines), 4, 'asked three times, the first time with the script');
like($deadlines[-2], qr/^\d{13}$/, 'a deadline');
is($deadlines[-1], 0, 'the last time with one that is over');



=== TEST 18: it shakes hands, and then closes or is silent
--- before
my $closes = sub { \"" };
my $close_all = { EVALSHA => $closes, EVAL => $closes };

my $but_for_the_probe = sub {
    return $_[2] eq '0' ? "-NOSCRIPT No matching script\r\n" : \"";
};

$ENV{TEST_NGINX_CLOSES} = fake(replies => $close_all);
$ENV{TEST_NGINX_SILENT} = fake(replies => { EVALSHA => undef, EVAL => undef });
$ENV{TEST_NGINX_FICKLE} = fake(replies => { EVALSHA => $but_for_the_probe });
--- config
location ~ /closes { cred_delete apinizer;
                     cred_registry redis://127.0.0.1:$TEST_NGINX_CLOSES; }
location ~ /silent { cred_delete apinizer;
                     cred_registry redis://127.0.0.1:$TEST_NGINX_SILENT; }
location ~ /fickle { cred_delete apinizer;
                     cred_registry redis://127.0.0.1:$TEST_NGINX_FICKLE; }
--- script
my %ports = map { $_ => $ENV{"TEST_NGINX_\U$_"} } qw(closes silent fickle);

my $connections = sub {
    return scalar grep { $_ eq '(connected)' } fake_log($_[0]);
};

for my $name (sort keys %ports) {
    my $port = $ports{$name};
    answer_is(del($name), $name, failure(503));
    ok(wait_for(sub { $connections->($port) > 4 }), 'it is tried again');

    # no more of them get there, and none waits: the first was asked twice

    if ($name ne 'fickle') {
        answer_is(del($name), "$name, refused at once", failure(503))
            for 1 .. 20;
        cmp_ok(deletes($port), '<=', 2, 'none of them was sent');
    }

    is(logged(qr/\[error\].* redis is down: .*:$port\//), 1, 'said once');
    is(logged(qr/redis is back.*:$port\//), 0, 'it is not back');
}



=== TEST 19: what it says, and while it does what
--- before
my $denied = '-DENIED ' . 'x' x 350 . " and this is the remedy\r\n";

$ENV{TEST_NGINX_DENIES} = fake(replies => { TIME => $denied });
$ENV{TEST_NGINX_MUTE} = fake(replies => { map { $_ => undef }
                                             qw(AUTH ROLE TIME) });
--- config
location ~ /denied   { cred_delete apinizer;
                       cred_connect_timeout 20s;
                       cred_command_timeout 20s;
                       cred_registry redis://127.0.0.1:$TEST_NGINX_DENIES; }
location ~ /hands    { cred_delete apinizer;
                       cred_registry redis://127.0.0.1:$TEST_NGINX_MUTE; }
location ~ /password { cred_delete apinizer;
                       cred_registry redis://:secret@127.0.0.1:$TEST_NGINX_MUTE; }
location ~ /let_in   { cred_delete apinizer;
                       cred_registry redis://:secret@127.0.0.1:$TEST_NGINX_DENIES; }
--- script
answer_is(del($_), $_, failure(503)) for qw(denied hands password);
my ($denies, $mute) = @ENV{qw(TEST_NGINX_DENIES TEST_NGINX_MUTE)};
ok(logged(qr/refused TIME: DENIED x+ and this is the remedy while shaking hands/),
   'to its end');
answer_is(del('let_in'), 'let in', failure(503));
is(logged(qr/DENIED .* while authenticating/), 0, 'not while authenticating');
ok(logged(qr/timed out while $_, registry, redis: "127.0.0.1:$mute/), $_)
    for 'shaking hands', 'authenticating';
is(logged(qr/secret/), 0, 'no password');



=== TEST 20: it closes when nobody asks anything, before it is known to be back
--- before
my ($first, $probe);

my $relay = sub {
    return \"" unless $first++;
    return \"-NOSCRIPT No matching script\r\n" if $_[2] eq '0' && !$probe++;
    return forward(@_);
};

$ENV{TEST_NGINX_FAKE} = fake(replies => { EVALSHA => $relay, EVAL => $relay });
--- http_config
cred_registry         redis://127.0.0.1:$TEST_NGINX_FAKE;
cred_connect_timeout  1s;
cred_command_timeout  1s;
--- script
my $port = $ENV{TEST_NGINX_FAKE};
ok(wait_for(sub { grep { /^EVALSHA \S+ 0$/ } fake_log($port) }), 'and again');
recovers();
is(logged(qr/\[error\].* redis is down.*:$port\//), 1, 'it was down');
is(logged(qr/redis is back.*:$port\//), 1, 'it is back');



=== TEST 21: what is asked for last is not done by a registry whose clock is behind
--- before
# the first two are lost with the one that had the deadline's clock, and the
# others arrive where nobody answers in time

my $n = 0;

my $relay = sub {
    return \"" if is_delete(@_) && $n++ < 2;
    my $answer = forward(@_);
    return is_delete(@_) && $answer !~ /^-NOSCRIPT/ ? undef : $answer;
};

$ENV{TEST_NGINX_FAKE} = fake(replies => {
    TIME    => sub { resp(time + 3600, 0) },
    EVALSHA => $relay,
    EVAL    => $relay,
});
--- http_config
cred_registry         redis://127.0.0.1:$TEST_NGINX_FAKE;
cred_connect_timeout  1s;
cred_command_timeout  1s;
--- script
answer_is(del('api-user'), 'refused', failure(503));
cmp_ok(scalar(asked($ENV{TEST_NGINX_FAKE}, 'api-user')), '>', 2, 'asked for');
is(remains('api-user'), 1, 'and not done');



=== TEST 22: the only sentinel takes its time
--- before
$ENV{TEST_NGINX_FAKE} = fake(delay => 0.5, replies => {
    SENTINEL => resp('127.0.0.1', redis_port('registry')),
});
--- http_config
cred_registry         redis-sentinel://127.0.0.1:$TEST_NGINX_FAKE#main;
cred_connect_timeout  60s;
--- script
answer_is(del('api-user'), 'deleted', everywhere());



=== TEST 23: reasons that take turns are told once each
--- script
for (1 .. 3) {
    for (['min-replicas-to-write', 'NOREPLICAS'], ['maxmemory', 'OOM']) {
        my ($setting, $what) = @$_;
        redis('registry', 'CONFIG', 'SET', $setting, 1);
        answer_is(del('api-user'), $what, failure(503));
        redis('registry', 'CONFIG', 'SET', $setting, 0);
    }
}
is(scalar(() = error_log_text() =~ /\[error\] .* refused a command: $_/g), 1, $_)
    for qw(NOREPLICAS OOM);



=== TEST 24: the same in the words of Redis 6
--- before
my $where = 'ERR Error running script (call to f_0): @user_script:21:';
my @words = ("$where \@user_script: 21: -NOREPLICAS some text",
             "$where \@user_script: 21: -OOM some text",
             '@user_script: 12: -MISCONF some text', '@user_script: 1', $where);
my $n = 0;

my $reply = sub {
    return is_delete(@_) ? "-$words[$n++ % @words]\r\n" : "*0\r\n";
};

$ENV{TEST_NGINX_FAKE} = fake(replies => { EVALSHA => $reply, EVAL => $reply });
--- http_config
cred_registry  redis://127.0.0.1:$TEST_NGINX_FAKE;
--- script
answer_is(del('api-user'), 'refused', failure(503)) for 1 .. 10;
is(scalar(() = error_log_text() =~ /\[error\] .* refused a command: .*$_/g), 1, $_)
    for qw(NOREPLICAS OOM MISCONF);
