# A gateway whose environment is away, refuses, has lost its memory, or talks
# nonsense: it admits nobody that Redis does not vouch for.

use CredTest;
use CredTest::Delete;
use CredTest::Gateway;
use CredTest::Relay;

our $own = '{cred}:apinizer';

sub conf {
    my ($more) = @_;
    return gateway(http => <<"END");
cred_access_valid     1h missing=0;
cred_command_timeout  10s;
cred_connect_timeout  10s;
cred_cascade_timeout  60s;
$more
END
}

defaults(conf('cred_access_lease 1h;'));

sub is_back {
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    ok(wait_for(sub { gate('KEY')->{status} == 200 }), 'it passes again');
    ok(wait_for(sub { seen('KEY') eq '200 HIT' }), 'and is cached');
}

# the data of production once more

sub fill {
    my %sections = gateway();
    redis_load('production', $sections{production});
}

# requests until a condition holds: what was seen, in its order

sub watch {
    my ($until) = @_;
    my @seen;

    wait_for(sub {
        my $start = Time::HiRes::time();
        push @seen, { is => seen('KEY'), start => $start };
        return $until->($seen[-1]{is});
    }) or push @seen, { is => 'for ever', start => 0 };

    return @seen;
}

sub errors { scalar(() = error_log_text() =~ /$_[0]/g) }

# arrays of strings, nil, and integers as ":1", errors as "-ERR ...", a status
# as "+OK"

sub bytes {
    my ($value) = @_;
    return "\$-1\r\n" unless defined $value;
    return '*' . @$value . "\r\n" . join '', map { bytes($_) } @$value
        if ref $value;
    return $value =~ /^[:+-]/ ? "$value\r\n"
                              : '$' . length($value) . "\r\n$value\r\n";
}

# what no script answers: the bytes, or a reference to the last ones

sub nonsense {
    return (
        garbage  => "\x16\x03\x01hello",
        half     => \"\$10\r\nunde",
        nothing  => \"",
        silence  => undef,
        huge     => "\$2147483647\r\nx",
        deep     => "*1\r\n" x 300000,
        many     => "*2147483647\r\n",
        elements => '*8193' . "\r\n" . ":1\r\n" x 8193,
        ok       => "+OK\r\n",
        nil      => "\$-1\r\n",
        integer  => ":1\r\n",
        empty    => "\$0\r\n\r\n",
        string   => bytes('leased'),
        none     => "*0\r\n",
        no_array => "*-1\r\n",
        noscript => "-NOSCRIPT No matching script\r\n",
        map { lc $_ => "-$_ some text\r\n" }
            qw(LOADING BUSY MASTERDOWN MOVED ASK OOM READONLY NOPERM ERR),
    );
}

# which script a fake is asked for, by its arguments

sub is_lease {
    my (undef, undef, undef, undef, undef, $name) = @_;
    return ($name // '') =~ /-[0-9a-f]{12}-\d+\z/;
}

run_tests();


__DATA__

=== TEST 1: down from the beginning
--- before
redis_stop('production');
--- http_config
cred_registry         $TEST_NGINX_REGISTRY;
cred_environment      $TEST_NGINX_PRODUCTION;
cred_access_lease     1h;
cred_access_valid     1h missing=0;
cred_cascade_timeout  20s;
--- script
my $got = gate('KEY');
is($got->{status}, 503, 'nobody can tell');
is($got->{headers}{'retry-after'}, 1, 'later');
is($got->{headers}{'x-result'}, 'unavailable', 'the variable');
is(gate(undef)->{status}, 401, 'but no key is no key');
redis_start('production');
fill();
is_back();
ok(leased(), 'there is a lease');
ok(reached(), 'deletes reach it, too');
answer_is(del('api-user'), 'deleted', everywhere());
is(gate('KEY')->{status}, 401, 'refused');



=== TEST 2: down later
--- http_config eval
my %conf = main::conf('cred_access_lease 10s;');
$conf{http_config}
--- script
ok(leased(), 'there is a lease');
is(seen('KEY'), '200 MISS', 'it passes');
my $log = length error_log_text();
redis_kill('production');
my $end = Time::HiRes::time() + 10;

# which was granted before that

my @seen = watch(sub { $_[0] =~ /503/ });
my @late = grep { $_->{start} >= $end && $_->{is} !~ /503/ } @seen;
is(join(' ', map { $_->{is} } @late), '', 'nobody after the lease');
is((pop @seen)->{is}, '503 MISS', 'then nobody can tell');
is(join(' ', grep { $_ ne '200 HIT' } map { $_->{is} } @seen), '',
   'from the cache as long as there is a lease');
cmp_ok(scalar(@seen), '>', 1, 'some');
is(gate('KEY')->{status}, 503, 'and so it stays') for 1 .. 3;

my $lost = qr/\[warn\].*gateway has no lease any more/;
my $down = qr/\[error\].*redis is down.*gateway's environment/;
ok(wait_for(sub { errors($lost) }), 'it is logged');
my $text = substr error_log_text(), $log;
is(scalar(() = $text =~ /$_/g), 1, 'once') for $lost, $down;

redis_start('production');
fill();
is_back();



=== TEST 3: no reply in time
--- http_config
cred_registry         $TEST_NGINX_REGISTRY;
cred_environment      $TEST_NGINX_PRODUCTION;
cred_access_lease     1h;
cred_access_valid     1h missing=0;
cred_connect_timeout  2s;
cred_command_timeout  2s;
--- script
ok(leased(), 'there is a lease');
is(seen('KEY'), '200 MISS', 'it passes');
redis_pause('production');
my $got = gate('other');
is($got->{status}, 503, 'nobody can tell');
is($got->{headers}{'retry-after'}, 1, 'later');
is(seen('KEY'), '200 HIT', 'a cached one passes');
is(gate('other')->{status}, 503, 'nobody can tell still');
redis_resume('production');
ok(wait_for(sub { gate('other')->{status} == 401 }), 'it is back');
is(seen('KEY'), '200 HIT', 'a cached one passes');



=== TEST 4: no reply in time, to several workers
--- http_config eval
my %conf = main::conf('cred_access_lease 1h;');
"$conf{http_config}"
--- script
my $g = gateway_start('one', workers => 4, http => <<'END');
cred_access_valid     1h missing=0;
cred_command_timeout  500ms;
cred_connect_timeout  500ms;
END
ok(leased(undef, 2), 'there is a lease');
ok(wait_for(sub { gate('unknown', port => $g->{port})->{status} == 401 }), 'asked')
    for 1 .. 20;
redis_pause('production');

# of the same key: one asks, the others wait for that one's answer

my @socks = map { http_open(port => $g->{port}) } 1 .. 32;
print { $_ } "GET /page HTTP/1.1\r\nHost: a\r\nX-API-Key: KEY\r\n\r\n" for @socks;
is(http_parse(http_read($_))->{status}, 503, 'nobody can tell') for @socks;
redis_resume('production');
ok(wait_for(sub { gate('KEY', port => $g->{port})->{status} == 200 }), 'it is back')
    for 1 .. 20;



=== TEST 5: a replica
--- http_config eval
my %conf = main::conf('cred_access_lease 2s;');
$conf{http_config}
--- script
ok(leased(), 'there is a lease');
is(seen('KEY'), '200 MISS', 'it passes');
is(redis('production', 'REPLICAOF', '127.0.0.1', redis_port('staging')), 'OK',
   'a replica');
my $end = Time::HiRes::time() + 2;
is(gate('other')->{status}, 503, 'what it says may be old');

my @seen = watch(sub { $_[0] =~ /503/ });
my @late = grep { $_->{start} >= $end && $_->{is} !~ /503/ } @seen;
is(join(' ', map { $_->{is} } @late), '', 'nobody after the lease');
is(gate($_)->{status}, 503, "$_: nobody can tell") for qw(KEY other);
is(redis('production', 'REPLICAOF', 'NO', 'ONE'), 'OK', 'a master');
fill();
is_back();
like(error_log_text(), qr/\[error\].*redis is down: it is a replica of 127\.0\.0\.1/,
     'it is logged');



=== TEST 6: a master without its replicas, and one without memory
--- script
ok(leased(), 'there is a lease');
redis('production', 'CONFIG', 'SET', 'min-replicas-to-write', 1);
is(gate('KEY')->{status}, 503, 'what it says may be old');
redis('production', 'CONFIG', 'SET', 'min-replicas-to-write', 0);
is(gate('KEY')->{status}, 200, 'as before');

ok(redis_full_disk('production'), 'its disk is full');
is(gate('unknown')->{status}, 401, 'which makes nothing old');
redis('production', 'CONFIG', 'SET', 'min-replicas-to-write', 1);
is(gate('unheard')->{status}, 503, 'but replicas are looked for, too');
redis('production', 'CONFIG', 'SET', 'min-replicas-to-write', 0);
ok(redis_empty_disk('production'), 'it saves');

redis('production', 'CONFIG', 'SET', 'maxmemory', 1);
redis('production', 'DEL', '{cred}:gateways');
redis('production', 'XTRIM', '{cred}:undeployments', 'MAXLEN', 0);
is(gate('another')->{status}, 401, 'without memory it is asked');
answer_is(del('api-user'), 'deleted', everywhere());
ok(wait_for(sub { gate('KEY')->{status} == 401 }), 'refused');
ok(leased(), 'and there is a lease');
--- main_config
worker_rlimit_core 0;



=== TEST 7: without the right to subscribe
--- before
redis('production', 'ACL', 'SETUSER', 'gateway', 'on', '>secret', '~*', '&*',
      '+@all', '-subscribe');
redis('production', 'ACL', 'SETUSER', 'channel', 'on', '>secret', '~*',
      'resetchannels', '+@all');
$ENV{TEST_NGINX_URL} = 'redis://gateway:secret@127.0.0.1:' . redis_port('production');
--- http_config
cred_registry         $TEST_NGINX_REGISTRY;
cred_environment      $TEST_NGINX_URL;
cred_access_lease     900ms;
cred_access_valid     1h missing=0;
cred_cascade_timeout  60s;
--- script
key(map { "key$_" } 1 .. 5);
redis('production', 'XADD', '{cred}:undeployments', '*', 'a', 'b');
ok(leased(), 'there is a lease');

for my $n (1 .. 5) {
    is(seen("key$n"), '200 MISS', "key$n passes");
    answer_is(del("key$n"), 'deleted', pending(production => undef, staging => 'absent'));
    is(seen("key$n"), '401 MISS', 'and is refused');
    like(receipt(operation_of("key$n")), qr/"gateways":1\b/, 'it was waited for');
}

is(errors(qr/\[error\].*gateway's subscription.*redis/), 1, 'told once');
like(error_log_text(), qr/\[error\] .*redis is down: refused SUBSCRIBE: NOPERM.*gateway's subscription/,
     'what it is');
unlike(error_log_text(), qr/secret/, 'without the password');

sub operation_of {
    my ($id) = @_;
    my ($is) = grep { $_->{id} eq $id && $_->{result} eq 'deleted' } audit();
    return $is->{operation};
}



=== TEST 8: the bell is lost
--- http_config eval
my %conf = main::conf('cred_access_lease 900ms;');
$conf{http_config}
--- script
key(map { "key$_" } 1 .. 3);
redis('production', 'XADD', '{cred}:undeployments', '*', 'a', 'b');
ok(leased(), 'there is a lease');

my $subscribers = sub {
    my ($wanted) = @_;
    wait_for(sub {
        (redis('production', 'PUBSUB', 'NUMSUB', '{cred}:undeployed'))[1] == $wanted;
    });
};

ok($subscribers->(1), 'one is subscribed');

# each time it is killed it comes again; meanwhile it is told without

for my $n (1 .. 3) {
    is(seen("key$n"), '200 MISS', "key$n passes");
    redis('production', 'CLIENT', 'KILL', 'TYPE', 'pubsub');
    answer_is(del("key$n"), 'deleted', pending(production => undef, staging => 'absent'));
    is(seen("key$n"), '401 MISS', 'and is refused');
    ok($subscribers->(1), 'it is subscribed again');
}



=== TEST 9: what it has applied is no part of the stream any more
--- http_config eval
my %conf = main::conf('cred_access_lease 600ms;');
$conf{http_config}
--- script
my $stream = '{cred}:undeployments';
my $add = sub { redis('production', 'XADD', $stream, @_, 'a', 'b') };

my @losses = (
    ['trimmed', sub { redis('production', 'XTRIM', $stream, 'MAXLEN', 0); $add->('*') }],
    ['trimmed to nothing', sub { redis('production', 'XTRIM', $stream, 'MAXLEN', 0) }],
    ['an entry is deleted', sub { redis('production', 'XDEL', $stream, last_id()) }],
    ['deleted', sub { redis('production', 'DEL', $stream) }],
    ['begun anew', sub { redis('production', 'DEL', $stream); $add->('5-1') }],
    ['ids that are lower', sub { redis('production', 'DEL', $stream);
                                 $add->('1-1'); $add->('2-1') }],
    ['ids that are higher', sub { redis('production', 'DEL', $stream);
                                  $add->('99999999999999-1') }],
    ['restored', sub {
        my $dump = redis('production', 'DUMP', $stream);
        $add->('*');
        ok(leased(), 'applied');
        redis('production', 'RESTORE', $stream, 0, $dump, 'REPLACE');
    }],
    ['a lower last id', sub { redis('production', 'DEL', $stream); $add->('3-1');
                              redis('production', 'XSETID', $stream, '9-9') }],
);

for (@losses) {
    my ($what, $lose) = @$_;

    $add->('*');
    ok(leased(), 'there is a lease');
    ok(wait_for(sub { seen('KEY') eq '200 HIT' }), 'cached');
    ok(leased(), 'still');

    $lose->();

    # another key may be there by now, but this one is not from the cache: it is
    # asked for

    redis('production', 'HSET', "$::own:credential:MyProject:api-user", 'enabled', 0);
    ok(wait_for(sub { gate('KEY')->{status} == 401 }), "$what: all is forgotten");
    redis('production', 'HDEL', "$::own:credential:MyProject:api-user", 'enabled');
    is_back();
}



=== TEST 10: a stream that no undeployment has written
--- http_config eval
my %conf = main::conf('cred_access_lease 1h;');
$conf{http_config}
--- script
my $stream = '{cred}:undeployments';
redis('production', 'XADD', $stream, '*', 'a', 'b');
ok(leased(), 'there is a lease');
is(seen('KEY'), '200 MISS', 'it passes');

redis('production', 'XADD', $stream, '*', @$_) for
    ['x', 'y'], ['api', 'apinizer'], ['scope', 'MyProject', 'id', 'api-user'],
    ['api', '', 'scope', '', 'id', ''], ['api', ':', 'scope', ':', 'id', ':'],
    ['api', 'x' x 70000, 'scope', 'y' x 70000, 'id', 'z'],
    ['api', "\0\r\n", 'scope', "\xff", 'id', "\0"],
    ['api', 'apinizer', 'scope', 'MyProject', 'scope', 'x', 'id', 'x'],
    [map { ("f$_", 'v') } 1 .. 500];

ok(leased(), 'all is applied');
is(seen('KEY'), '200 HIT', 'of somebody else');

# fields may come in any order, and with others

redis('production', 'XADD', $stream, '*', 'id', 'api-user', 'x', 'y', 'api',
      'apinizer', 'scope', 'MyProject');
ok(leased(), 'applied');
is(seen('KEY'), '200 MISS', 'it is looked up');
is(seen('KEY'), '200 HIT', 'and kept again');

# far in the future

redis('production', 'XADD', $stream, '99999999999999-7', 'a', 'b');
ok(leased(), 'applied');
is(seen('KEY'), '200 HIT', 'still there');
answer_is(del('api-user'), 'deleted', everywhere());
is(seen('KEY'), '401 MISS', 'and refused');
like(last_id(), qr/^99999999999999-8$/, 'after that');
like(error_log_text(), qr/^/, 'nothing is wrong');



=== TEST 11: a stream that is at its end
--- script
redis('production', 'XADD', '{cred}:undeployments',
      '18446744073709551615-18446744073709551615', 'a', 'b');
ok(leased(), 'there is a lease');
is(seen('KEY'), '200 MISS', 'it passes');
answer_is(del('api-user'), 'not deleted',
          pending(production => 'refused', staging => undef));
redis('production', 'DEL', '{cred}:undeployments');
ok(settled(), 'then it is');
ok(wait_for(sub { gate('KEY')->{status} == 401 }), 'refused');



=== TEST 12: answers to lookups that no Redis gives
--- before
our %Replies = (
    nonsense(),
    'one-short' => bytes(['s:i', ':0']),
    'alone'     => bytes(['s:i']),
    'one-more'  => bytes(['s:i', ':0', ':-1', ':0']),
    'two'       => bytes(['s:i', ':0', ':-1', 's:i', ':0', ':-1']),
    'nested'    => bytes([['s:i', ':0', ':-1']]),
    'number'    => bytes([':1', ':0', ':-1']),
    'status'    => bytes(['+s:i', ':0', ':-1']),
    'nil-name'  => bytes([undef, ':0', ':-1']),
    'array'     => bytes([['s:i'], ':0', ':-1']),
    'strings'   => bytes(['s:i', '0', '-1']),
    'nil-grant' => bytes(['s:i', undef, ':-1']),
    'nil-time'  => bytes(['s:i', ':0', undef]),
    'one-part'  => bytes(['si', ':0', ':-1']),
    'long'      => bytes(['s:' . 'i' x 4095, ':0', ':-1']),
    'longer'    => bytes(['s:' . 'i' x 400000, ':0', ':-1']),
    'an-error'  => bytes(['-WRONGTYPE x', ':0', ':-1']),
    'errors'    => bytes(['-ERR x', '-ERR y', '-ERR z']),
    'late-error' => bytes(['s:i', '-ERR y', '-ERR z']),
);

# each key asks for the reply of its name

our %Good = (
    known   => ['200', bytes(['s:i', ':1', ':-1'])],
    unknown => ['401', bytes(['', ':0', ':-1'])],
    longest => ['200', bytes(['s:' . 'i' x 4094, ':0', ':9000000000000000'])],
    percent => ['200', bytes(['%:%2', ':0', ':1000000'])],
    colons  => ['200', bytes(['a::b', ':7', ':1000000'])],
);

my %by_hash = map { sha256($_) => $Good{$_} ? $Good{$_}[1] : $Replies{$_} }
              keys %Replies, keys %Good;

my $reply = sub {
    my @command = @_;
    $SIG{PIPE} = 'IGNORE';
    return bytes(['leased', '0-0']) if is_lease(@command);
    my ($hash) = grep { /^[0-9a-f]{64}\z/ } @command;
    return "-NOSCRIPT No matching script\r\n" unless $hash;
    return $by_hash{$hash};
};

$ENV{TEST_NGINX_FAKE} = fake(replies => {
    EVALSHA => $reply, EVAL => $reply, SUBSCRIBE => "*0\r\n",
});
--- http_config
cred_registry         $TEST_NGINX_REGISTRY;
cred_environment      redis://127.0.0.1:$TEST_NGINX_FAKE;
cred_access_lease     1h;
cred_command_timeout  300ms;
--- script
my ($worker) = nginx_workers();

for my $name (sort(keys %::Replies), sort keys %::Good) {
    my $wanted = ($::Good{$name} || [503])->[0];

    # after a reply that breaks the connection it takes a moment

    my $got;
    wait_for(sub { $got = gate($name); $got->{status} != 503 },
             $wanted == 503 ? 0.5 : undef);
    is($got->{status}, $wanted, $name);
}

is((nginx_workers())[0], $worker, 'the same worker');
my $got = gate('percent');
is("$got->{headers}{'x-scope'}|$got->{headers}{'x-id'}", '%|%2', 'what is escaped badly');



=== TEST 13: answers to calls for a lease that no Redis gives
--- before
our @Replies = (
    {
        nonsense(),
        'alone'     => bytes(['leased']),
        'number'    => bytes(['leased', ':0']),
        'nil'       => bytes(['leased', undef]),
        'status'    => bytes(['+leased', '0-0']),
        'array'     => bytes([['leased'], '0-0']),
        'nested'    => bytes([['leased', '0-0']]),
        'capitals'  => bytes(['LEASED', '0-0']),
        'longer'    => bytes(['leased ', '0-0']),
        'shorter'   => bytes(['lease', '0-0']),
        'long-id'   => bytes(['leased', '1' x 65]),
        'swapped'   => bytes(['0-0', 'leased']),
        'no-word'   => bytes(['', '0-0']),
        'a-number'  => bytes(['entries', '1-0', ':1']),
        'no-names'  => bytes(['entries', '1-0', 'none']),
        'a-nil'     => bytes(['entries', '1-0', undef]),
        'an-error'  => bytes(['entries', '1-0', '-ERR x']),
        'endless'   => bytes(['entries', '1-0', 'a:b:c']),
        'no-entries' => bytes(['entries', '1-0']),
        'no-id'     => bytes(['entries', '']),
        'forget'    => bytes(['forget', '1-0']),
        'forget-alone' => bytes(['forget']),
        'forget-nil' => bytes(['forget', undef]),
        'late'      => bytes(['late', '0-0']),
        'many-entries' => bytes(['entries', '1-0', map { "a:b:$_" } 1 .. 4000]),
    }
);

my $known = bytes(['s:i', ':1', ':-1']);
our $File = temp_dir() . '/lease-reply';

# it would be given the next reply

delete $Replies[0]{silence};

our $Say = sub {
    open my $out, '>', "$File.new" or die;
    print $out $_[0];
    close $out;
    rename "$File.new", $File;
};

$Say->('good');

my $reply = sub {
    my @command = @_;
    $SIG{PIPE} = 'IGNORE';
    return $known unless is_lease(@command);
    my $name = slurp($::File);
    return $name eq 'good' ? bytes(['leased', '0-0']) : $::Replies[0]{$name};
};

$ENV{TEST_NGINX_FAKE} = fake(replies => {
    EVALSHA => $reply, EVAL => $reply, SUBSCRIBE => bytes(['subscribe', 'x', ':1']),
});
--- http_config
cred_registry         $TEST_NGINX_REGISTRY;
cred_environment      redis://127.0.0.1:$TEST_NGINX_FAKE;
cred_access_lease     100ms;
cred_access_valid     1h;
cred_command_timeout  300ms;
--- script
my ($worker) = nginx_workers();

for my $name (sort keys %{ $::Replies[0] }) {
    $::Say->('good');
    ok(wait_for(sub { seen('KEY') eq '200 HIT' }), 'there is a lease');
    $::Say->($name);

    # it ends, and then there is none

    my $end = Time::HiRes::time() + 0.1;
    my (%seen, $n);

    wait_for(sub {
        my $start = Time::HiRes::time();
        my $is = seen('KEY');
        $seen{$is}++ if $start >= $end;
        return $start >= $end && ++$n == 20;
    });

    is(join(' ', grep { !/^(?:200|503) MISS$/ } keys %seen), '',
       "$name: no lease");
}

is((nginx_workers())[0], $worker, 'the same worker');



=== TEST 14: a subscription that talks nonsense
--- before
our %Replies = nonsense();
our $File = temp_dir() . '/subscribe-reply';
my $known = bytes(['s:i', ':1', ':-1']);

my $reply = sub {
    my @command = @_;
    return is_lease(@command) ? bytes(['leased', '0-0']) : $known;
};

my $subscribe = sub {
    $SIG{PIPE} = 'IGNORE';
    my $name = slurp($::File);
    return $name eq 'flood' ? bytes(['message', 'x', 'y']) x 100000
                            : $::Replies{$name};
};

$ENV{TEST_NGINX_FAKE} = fake(replies => {
    EVALSHA => $reply, EVAL => $reply, SUBSCRIBE => $subscribe,
});
--- http_config
cred_registry         $TEST_NGINX_REGISTRY;
cred_environment      redis://127.0.0.1:$TEST_NGINX_FAKE;
cred_access_lease     300ms;
cred_access_valid     1h;
cred_command_timeout  300ms;
cred_connect_timeout  300ms;
--- script
my ($worker) = nginx_workers();
my $connections = sub { scalar grep { /^SUBSCRIBE/ } fake_log($ENV{TEST_NGINX_FAKE}) };

for my $name (sort(keys %::Replies), 'flood') {
    open my $out, '>', "$::File.new" or die;
    print $out $name;
    close $out;
    rename "$::File.new", $::File;

    my @old = nginx_workers();
    nginx_reload();
    ok(wait_for(sub { nginx_workers() == 1 && (nginx_workers())[0] != $old[0] }),
       'another worker');
    my $before = $connections->();
    ok(wait_for(sub { seen('KEY') eq '200 HIT' }), "$name: it has a lease");
}
