# Keys in an environment: which of them admit, and whom.

use CredTest;
use CredTest::Delete;
use CredTest::Gateway;

defaults(gateway(http => 'cred_access_lease 1h;', config => <<'END'));
location = /granted { cred_access apinizer grant=x; empty_gif; }
END

our $own = '{cred}:apinizer';

sub encode { $_[0] =~ s{([^A-Za-z0-9])}{sprintf '%%%02X', ord $1}ger }
sub escape { $_[0] =~ s{([%:])}{sprintf '%%%02X', ord $1}ger }

# "SCOPE ID" of the credential that a key belongs to, or the status

sub whose {
    my $got = &gate;
    return $got->{status} if $got->{status} != 200;
    my %is = $got->{text} =~ /^X-(Scope|Id): (.*)\r$/mg;
    return "$is{Scope} $is{Id}";
}

run_tests();


__DATA__

=== TEST 1: an entry admits if it leads to a credential that names the key
--- http_config
cred_registry      $TEST_NGINX_REGISTRY;
cred_environment   $TEST_NGINX_PRODUCTION;
cred_access_lease  1h;
cred_access_valid  0 missing=0;
--- script
my $hash = sha256('key');
my ($one, $two) = map { sha256($_) } 'one', 'two';
my $entry = key_entry('key');
my $x = 'x' x 512;

my @table = (
    # what, entry, credential, its keys, whose
    ['no entry', undef, 's:i', $hash, 401],
    ['no credential', 's:i', undef, undef, 401],
    ['no keys', 's:i', 's:i', undef, 401],
    ['one key', 's:i', 's:i', $hash, 's i'],
    ['the first', 's:i', 's:i', "$hash $one $two", 's i'],
    ['in the middle', 's:i', 's:i', "$one $hash $two", 's i'],
    ['the last', 's:i', 's:i', "$one $two $hash", 's i'],
    ['more spaces', 's:i', 's:i', "  $one   $hash  ", 's i'],
    ['a thousand', 's:i', 's:i', join(' ', ($one) x 999, $hash), 's i'],
    ['empty', 's:i', 's:i', '', 401],
    ['another key', 's:i', 's:i', $one, 401],
    ['a part of it', 's:i', 's:i', substr($hash, 0, 63), 401],
    ['more than it', 's:i', 's:i', "${hash}0", 401],
    ['within another one', 's:i', 's:i', "0$hash", 401],
    ['in capitals', 's:i', 's:i', uc $hash, 401],
    ['with commas', 's:i', 's:i', "$one,$hash,$two", 401],
    ['the key itself', 's:i', 's:i', 'key', 401],
    ['another name', 's:j', 's:i', $hash, 401],
    ['part of a name', 's:', 's:i', $hash, 401],
    ['more than a name', 's:ii', 's:i', $hash, 401],
    ['in other case', 'S:i', 's:i', $hash, 401],
    ['one part', 's', 's', $hash, 401],
    ['three parts', 's:i:j', 's:i:j', $hash, 401],
    ['no scope', ':i', ':i', $hash, 401],
    ['no id', 's:', 's:', $hash, 401],
    ['nothing', '', '', $hash, 401],
    ['a colon', ':', ':', $hash, 401],
    ['escaped', 'a%3Ab:c%25', 'a%3Ab:c%25', $hash, 'a:b c%'],
    ['escaped twice', '%253A:%2525', '%253A:%2525', $hash, '%3A %25'],
    ['in small letters', 'a%3ab:i', 'a%3ab:i', $hash, 401],
    ['what needs none', '%41:i', '%41:i', $hash, 401],
    ['a bare %', 'a%:i', 'a%:i', $hash, 401],
    ['one at the end', 's:i%', 's:i%', $hash, 401],
    ['half of one', 's:i%3', 's:i%3', $hash, 401],
    ['a hidden one', 's:%2%255', 's:%2%255', $hash, 401],
    ['another hidden one', 's:%%253A', 's:%%253A', $hash, 401],
    ['no such digits', 's:%2G', 's:%2G', $hash, 401],
    ['a space', 'a b: c', 'a b: c', $hash, 'a b  c'],
    ['braces', '{a}:{b}', '{a}:{b}', $hash, '{a} {b}'],
    ['not ASCII', "\xc3\xbc:\xff", "\xc3\xbc:\xff", $hash, "\xc3\xbc \xff"],
    ['512 bytes', "$x:$x", "$x:$x", $hash, "$x $x"],
    ['512 escaped', '%3A' x 512 . ':' . '%25' x 512,
     '%3A' x 512 . ':' . '%25' x 512, $hash, ':' x 512 . ' ' . '%' x 512],
    ['4096 bytes', 's:' . 'i' x 4094, 's:' . 'i' x 4094, $hash,
     's ' . 'i' x 4094],
    ['4097 bytes', 's:' . 'i' x 4095, 's:' . 'i' x 4095, $hash, 401],
    ['65536 bytes', 's:' . 'i' x 65534, 's:' . 'i' x 65534, $hash, 401],
);

for (@table) {
    my ($what, $pointer, $names, $keys, $wanted) = @$_;
    redis('production', 'FLUSHALL');
    redis('production', 'SET', $entry, $pointer) if defined $pointer;
    redis('production', 'HSET', "$::own:credential:$names", 'owner', 'x',
          defined $keys ? (keys => $keys) : ()) if defined $names;
    is(whose('key'), $wanted, $what);
}



=== TEST 2: enabled
--- http_config
cred_registry      $TEST_NGINX_REGISTRY;
cred_environment   $TEST_NGINX_PRODUCTION;
cred_access_lease  1h;
cred_access_valid  0 missing=0;
--- script
for ([0, 401], [1, 200], ['', 200], ['00', 200], ['no', 200], [0, 401]) {
    my ($enabled, $status) = @$_;
    redis('production', 'HSET', "$::own:credential:MyProject:api-user",
          'enabled', $enabled);
    is(gate('KEY')->{status}, $status, "\"$enabled\"");
}
redis('production', 'HDEL', "$::own:credential:MyProject:api-user", 'enabled');
is(gate('KEY')->{status}, 200, 'absent');



=== TEST 3: expires_at
--- http_config
cred_registry      $TEST_NGINX_REGISTRY;
cred_environment   $TEST_NGINX_PRODUCTION;
cred_access_lease  1h;
cred_access_valid  0 missing=0;
--- script
my $time = time;

my @table = (
    [$time + 600, 200], [32503680000, 200], ['9' x 30, 200], ["$time.9e3", 200],
    [$time - 1, 401], [$time, 401], [0, 401], [-1, 401], ['', 401], [' ', 401],
    ['tomorrow', 401], ['2999-01-01', 401], ['nan', 401], ['-nan', 401],
    ['1e', 401], ['0x', 401], ['-inf', 401], ["\0", 401],
    ['9' x 10 . 'x', 401], ["$time " . 9 x 10, 401],
);

for (@table) {
    my ($expires, $status) = @$_;
    redis('production', 'HSET', "$::own:credential:MyProject:api-user",
          'expires_at', $expires);
    is(gate('KEY')->{status}, $status, "\"$expires\"");
}



=== TEST 4: a key in the cache does not outlive it
--- http_config
cred_registry      $TEST_NGINX_REGISTRY;
cred_environment   $TEST_NGINX_PRODUCTION;
cred_access_valid  1h missing=0;
cred_access_lease  1h;
--- script
ok(leased(), 'there is a lease');
my (%seen, @late);

# again, if it was over before it could be kept

wait_for(sub {
    %seen = @late = ();
    my $expires = time + 3;
    redis('production', 'HSET', "$::own:credential:MyProject:api-user",
          'expires_at', $expires);

    wait_for(sub {
        my $start = Time::HiRes::time();
        my $is = seen('KEY');
        $seen{$is}++;
        push @late, $is if $start >= $expires && $is =~ /200/;
        return $is =~ /401/;
    });

    return $seen{'200 HIT'} || @late;
});

ok($seen{'200 HIT'}, 'it is from the cache');
ok($seen{'401 MISS'}, 'then refused');
is("@late", '', 'and in time');



=== TEST 5: keys of the wrong type: nobody can tell, and nothing else is concerned
--- http_config
cred_registry         $TEST_NGINX_REGISTRY;
cred_environment      $TEST_NGINX_PRODUCTION;
cred_access_lease     1h;
cred_access_valid     0 missing=0;
cred_command_timeout  60s;
--- script
key('other');
my %sections = gateway();
my $granted = "$::own:grants:MyProject:api-user";
redis('production', 'SADD', $_, 'x') for $granted, $granted =~ s/api-user/other/r;

my @table = (
    # key, a command that makes it another type, status with and without grant=
    [key_entry('KEY'), 'SADD', 503, 503],
    [key_entry('KEY'), 'HSET', 503, 503],
    ["$::own:credential:MyProject:api-user", 'SET', 503, 503],
    ["$::own:credential:MyProject:api-user", 'SADD', 503, 503],
    ["$::own:grants:MyProject:api-user", 'SET', 503, 200],
    ["$::own:grants:MyProject:api-user", 'HSET', 503, 200],
    ["$::own:credentials:MyProject", 'SET', 200, 200],
    ["$::own:tombstone:MyProject:api-user", 'SADD', 200, 200],
    ['{cred}:gateways', 'SET', 200, 200],
    ['{cred}:gateways', 'SADD', 200, 200],
    ['{cred}:undeployments', 'SET', 200, 200],
    ['{cred}:none', 'SADD', 200, 200],
);

for (@table) {
    my ($key, $command, @wanted) = @$_;
    redis('production', 'RENAME', $key, 'saved');
    redis('production', $command, $key, $command eq 'HSET' ? qw(a b) : 'x');

    # several in one call

    redis_pause('production');
    my @asked = ([KEY => '/granted'], [KEY => '/page'], [other => '/granted'],
                 [other => '/page'], [none => '/page']);
    my @socks = map { http_open() } @asked;
    for (0 .. $#socks) {
        my ($shown, $path) = @{ $asked[$_] };
        print { $socks[$_] } "GET $path HTTP/1.1\r\nHost: a\r\n"
                             . "X-API-Key: $shown\r\n\r\n";
    }
    redis_resume('production');
    is_deeply([ map { http_parse(http_read($_))->{status} } @socks ],
              [ @wanted, 200, 200, 401 ], "$command $key");

    redis('production', 'DEL', $key);
    redis('production', 'RENAME', 'saved', $key);
}

is(gate('KEY', path => '/granted')->{status}, 200, 'as before');
ok(leased(), 'and there is a lease again');



=== TEST 6: a credential that is created again has other keys
--- script
ok(leased(), 'there is a lease');
is(seen('KEY'), '200 MISS', 'the old key');
answer_is(del('api-user'), 'deleted', everywhere());
ok(settled(), 'settled');

for my $name (qw(registry production)) {
    redis($name, 'HSET', "$::own:credential:MyProject:api-user", 'owner', 'alice',
          'revision', 8, 'keys', sha256('NEW'));
    redis($name, 'SET', key_entry('NEW'), 'MyProject:api-user');
}

is(gate('KEY')->{status}, 401, 'stays refused');
is(gate('NEW')->{status}, 200, 'the new one passes');

# an entry of the old one that somebody has restored

redis('production', 'SET', key_entry('KEY'), 'MyProject:api-user');
ok(wait_for(sub { seen('KEY') eq '401 MISS' }), 'refused');
is(gate('NEW')->{status}, 200, 'the new one passes');
answer_is(del('api-user'), 'deleted again',
          pending(production => undef, staging => 'absent'));
is(gate($_)->{status}, 401, "$_ is refused") for qw(KEY NEW);



=== TEST 7: a newer copy that stays has other keys
--- http_config
cred_registry      $TEST_NGINX_REGISTRY;
cred_environment   $TEST_NGINX_PRODUCTION;
cred_access_lease  1h;
cred_access_valid  1h;
--- script
ok(leased(), 'there is a lease');
is(seen('KEY'), '200 MISS', 'the old key');

# deployed anew, before the old one was deleted

redis('production', 'HSET', "$::own:credential:MyProject:api-user", 'revision', 9,
      'keys', sha256('NEW'));
redis('production', 'SET', key_entry('NEW'), 'MyProject:api-user');
is(seen('NEW'), '200 MISS', 'the new one');
ok(leased(), 'there is a lease still');
is(seen('KEY'), '200 HIT', 'the old one is in the cache yet');

answer_is(del('api-user'), 'the old one is deleted',
          pending(production => 'superseded', staging => undef));
is(seen('KEY'), '401 MISS', 'refused');
is(gate('NEW')->{status}, 200, 'the new one passes');
--- redis_check
production: XLEN {cred}:undeployments => 2



=== TEST 8: a delete removes the entries that lead to this credential
--- script
my %entries = (A => 'MyProject:api-user', B => 'MyProject:other',
               C => 'other:api-user', D => 'MyProject:api-user2',
               E => 'MyProject%3Aapi-user', F => '', G => 'MyProject:api-use',
               H => 'MyProject:api-user');

for my $name (qw(registry production)) {
    redis($name, 'SET', key_entry($_), $entries{$_}) for keys %entries;
    redis($name, 'SADD', key_entry('list'), 'MyProject:api-user');
    redis($name, 'SET', "$::own:key:", 'MyProject:api-user');
    redis($name, 'SET', '{cred}:iam:key:' . sha256('A'), 'MyProject:api-user');
    redis($name, 'HSET', "$::own:credential:MyProject:api-user", 'keys',
          join '  ', map { sha256($_) } qw(none list), 'A' .. 'G');
}

answer_is(del('api-user'), 'deleted', everywhere());

for my $name (qw(registry production)) {
    is(join('', grep { redis($name, 'EXISTS', key_entry($_)) } 'A' .. 'H'),
       'BCDEFGH', "$name: one is gone");
    is(redis($name, 'EXISTS', key_entry('list'), "$::own:key:",
             '{cred}:iam:key:' . sha256('A')), 3, "$name: others are not");
}



=== TEST 9: names
--- http_config
cred_registry      $TEST_NGINX_REGISTRY;
cred_environment   $TEST_NGINX_PRODUCTION;
cred_access_lease  1h;
cred_access_valid  1h missing=0;
--- script
my @names = (
    'a:b', ':', '::', 'a%3Ab', '%', '%%', '%25', '%3A', '{cred}', 'a b', ' ',
    '+', '*', '?', '#', '&', '"', "'", '\\', '$1', '${a}', '<a>', '|', ';', ',',
    '@', '%s%n%V', '-1', 'nil', "\xc3\xbc", "\xff", "\x80\x81", 'x' x 512,
    ':' x 512, '%' x 512,
);
my @projects = ('MyProject', 'a:b', 'a%3Ab', "\xff%:", ':' x 510);
my $n = 0;

# the first entry of a stream makes gateways forget everything

answer_is(del('api-user'), 'deleted', everywhere());
ok(leased(), 'there is a lease');

for my $id (@names) {
    my $project = $projects[$n++ % @projects];
    my $what = unpack 'H*', substr $id, 0, 6;
    my ($p, $i) = map { escape($_) } $project, $id;

    redis('registry', 'HSET', "$::own:scope:$p", 'a', 'b');
    redis('registry', 'HSET', "$::own:members:$p", 'alice', 'manage');

    for my $name (qw(registry production)) {
        for ('', 'x') {
            redis($name, 'HSET', "$::own:credential:$p:$i$_", 'owner', 'alice',
                  'keys', sha256("key$n$_"));
            redis($name, 'SET', key_entry("key$n$_"), "$p:$i$_");
        }
    }

    is(whose("key$n"), "$project $id", "$what: it passes");
    is(seen("key${n}x"), '200 MISS', "$what: another one, too");
    is(seen("key${n}x"), '200 HIT', "$what: from the cache");
    answer_is(del(encode($id), project => encode($project)), "$what: deleted",
              pending(production => undef, staging => 'absent'));
    is(seen("key$n"), '401 MISS', "$what: refused");
    is(seen("key${n}x"), '200 HIT', "$what: but not the other one");
}
