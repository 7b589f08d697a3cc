# A gateway: which requests pass, and what the others are told.

use CredTest;
use CredTest::Delete;
use CredTest::Gateway;
use MIME::Base64 ();

defaults(gateway(http => <<'END'));
cred_access_lease     1h;
cred_connect_timeout  60s;
cred_command_timeout  60s;
cred_cascade_timeout  60s;
END

sub basic { 'Authorization: Basic ' . MIME::Base64::encode_base64($_[0], '') }

# statuses of requests with these headers, each an array

sub statuses {
    my ($path, @requests) = @_;
    return map { gate(undef, path => $path, headers => $_)->{status} } @requests;
}

# production has a credential of this name with these keys

sub deploy {
    my ($id, @keys) = @_;
    credential($id, qw(registry production));
    redis('production', 'HSET', "{cred}:apinizer:credential:MyProject:$id",
          'keys', join ' ', map { sha256($_) } @keys);
    redis('production', 'SET', key_entry($_), "MyProject:$id") for @keys;
}

# all but what nginx makes up anew each time

sub whole { $_[0]->{text} =~ s/^Date: .*\r\n//mr }

run_tests();


__DATA__

=== TEST 1: a key passes until its credential is deleted
--- script
ok(leased(), 'there is a lease');
is(seen('KEY'), '200 MISS', 'it passes');
ok(wait_for(sub { seen('KEY') eq '200 HIT' }), 'the next time from the cache');
answer_is(del('api-user'), 'deleted', everywhere());
is(seen('KEY'), '401 MISS', 'refused');
is(redis('production', 'EXISTS', key_entry('KEY')), 0, 'its entry is gone');
is(redis('registry', 'EXISTS', key_entry('KEY')), 0, 'and that in the registry');



=== TEST 2: where a key is looked for
--- http_config
cred_registry                $TEST_NGINX_REGISTRY;
cred_environment             $TEST_NGINX_PRODUCTION;
cred_access_lease            1h;
large_client_header_buffers  4 128k;
--- script
my $long = 'k' x 4096;
my $eight = "\xc3\xbc\xff";
deploy('several', 'user:pass', 'user:', ':', $long, $eight, "u$eight:$eight",
       'two words', 'Basic', 'a,b', '"quoted"');

my $key = 'Authorization: Bearer KEY';
my $api_key = 'X-API-Key: KEY';

my @good = (
    [$key], ['authorization: bearer KEY'], ['AUTHORIZATION: BEARER KEY'],
    ['Authorization: bEaReR     KEY  '], [$api_key], ['x-api-key:KEY'],
    ['X-API-KEY:   KEY   '], [basic('user:pass')], [basic('user:')],
    [basic(':')], [basic("u$eight:$eight")], [basic('user:pass') =~ s/=+$//r],
    ['Authorization: BASIC   ' . (basic('user:pass') =~ s/.* //r)],
    ["Authorization: Bearer $eight"], ["X-API-Key: $eight"],
    ['Authorization: Bearer two words'], ['Authorization: Bearer Basic'],
    ['Authorization: Bearer a,b'], ['X-API-Key: "quoted"'],
    ["Authorization: Bearer $long"], ["X-API-Key: $long"],
    [$key, 'Proxy-Authorization: Bearer x', 'X-Api-Keys: x', 'X-API: x'],
);

is_deeply([ statuses('/page', @good) ], [ (200) x @good ], 'good ones');

my @bad = (
    [], ['Authorization:'], ['X-API-Key:'], ['X-API-Key:   '],
    ['Authorization: Bearer'], ['Authorization: Bearer  '],
    ['Authorization: BearerKEY'], ["Authorization: Bearer\tKEY"],
    ['Authorization: Bearer key'], ['Authorization: Bearer KEY KEY'],
    ['Authorization: Bearer "KEY"'], ['Authorization: KEY'],
    ['Authorization: Token KEY'], ['Authorization: Bearers KEY'],
    ['Authorization: Digest username="KEY"'], ['Authorization:  KEY'],
    ['Authorization: Bearer ' . sha256('KEY')], ['X-API-Key: ' . sha256('KEY')],

    # two keys, be they the same
    [$key, $api_key], [$api_key, $key], [$api_key, $api_key],
    [$api_key, 'X-API-Key: other'], [$key, 'X-API-Key:'],
    [basic('user:pass'), $api_key], ['Authorization: x', $api_key],
    ['Authorization:', $api_key], [$api_key, 'X-API-Key:'],

    # "Basic"
    [basic('KEY')], [basic('')], ['Authorization: Basic'],
    ['Authorization: Basic '], ['Authorization: Basic ===='],
    ['Authorization: Basic user:pass'], ['Authorization: Basic dXNlcjpwYXNz!'],
    ['Authorization: Basic dXNlcjpwYXNz='], ['Authorization: Basic dXNl cjpwYXNz'],
    ['Authorization: Basic dXNlcjpwYXNzx'], [basic("user:pass\n")],
    [basic("user:pass\0")], [basic("\0user:pass")],
    ['Authorization: Bearer dXNlcjpwYXNz'],

    # longer than any
    ["Authorization: Bearer ${long}k"], ["X-API-Key: ${long}k"],
    ['Authorization: Bearer ' . 'k' x 65536], ['X-API-Key: ' . 'k' x 65536],
    [basic('u:' . 'k' x 65536)], ['Authorization: ' . 'k' x 65536],

    # other headers
    ['X_API_Key: KEY'], ['X-API-Keys: KEY'], ['API-Key: KEY'],
    ['Proxy-Authorization: Bearer KEY'], ['Cookie: Authorization=KEY'],
);

my $monitor = monitor('production');
is_deeply([ statuses('/page', @bad) ], [ (401) x @bad ], 'bad ones');

# of what is no key Redis is not asked

my @keys = ('key', 'KEY KEY', '"KEY"', sha256('KEY'), 'dXNlcjpwYXNz');
my %asked = map { $_ => 1 } map { /"apinizer" "([0-9a-f]{64})"/ } $monitor->();
is_deeply([ sort keys %asked ], [ sort map { sha256($_) } @keys ],
          'and only these are keys');

# nginx does not even look at these

is_deeply([ statuses('/page', [$key, $key], [$key, 'Authorization: x'],
                     ["Authorization: Bearer KEY\0"]) ],
          [400, 400, 400], 'nginx refuses these');



=== TEST 3: key=
--- config
location = /arg    { cred_access apinizer key=$arg_key; empty_gif; }
location = /header { cred_access apinizer key=$http_x_our_key; empty_gif; }
location = /cookie { cred_access apinizer key=$cookie_key; empty_gif; }
location = /both   { cred_access apinizer "key=$arg_a:$arg_b"; empty_gif; }
location = /fixed  { cred_access apinizer key=KEY; empty_gif; }
location = /none   { cred_access apinizer key=$arg_none$arg_nothing; empty_gif; }
--- script
deploy('pair', 'one:two', ':', '%4B');
my $key = 'Authorization: Bearer KEY';

my @table = (
    # path, status, headers
    ['/arg?key=KEY', 200],
    ['/arg?a=b&key=KEY&c=d', 200],
    ['/arg?KEY=KEY', 200],
    ['/arg?key=KEY', 200, 'X-API-Key: other', 'Authorization: Bearer other'],
    ['/arg', 401], ['/arg', 401, $key], ['/arg?key=', 401, $key],
    ['/arg?key', 401], ['/arg?key=other', 401, $key], ['/arg?keys=KEY', 401],
    ['/arg?key=other&key=KEY', 401], ['/arg?key=%4BEY', 401],
    ['/arg?key=%4B', 200], ['/arg?key=' . 'k' x 4097, 401],
    ['/header', 200, 'X-Our-Key: KEY'], ['/header', 401, $key],
    ['/header', 401, 'X-Our-Key:'], ['/header', 401],
    ['/cookie', 200, 'Cookie: a=b; key=KEY; c=d'], ['/cookie', 401, 'Cookie: key='],
    ['/both?a=one&b=two', 200], ['/both?a=one', 401], ['/both', 200],
    ['/fixed', 200], ['/fixed', 200, 'Authorization: Bearer other'],
    ['/none', 401, $key],
);

for (@table) {
    my ($path, $status, @headers) = @$_;
    is(gate(undef, path => $path, headers => \@headers)->{status}, $status,
       join ', ', substr($path, 0, 40), @headers);
}



=== TEST 4: scope=
--- config
location = /literal  { cred_access apinizer scope=MyProject; empty_gif; }
location = /other    { cred_access apinizer scope=other; empty_gif; }
location = /arg      { cred_access apinizer scope=$arg_scope; empty_gif; }
location ~ ^/projects/([^/]+)/ {
    cred_access  apinizer scope=$1;
    add_header   X-Result $cred_access_result always;
    empty_gif;
}
location = /odd      { cred_access apinizer "scope=a:b%3A c"; empty_gif; }
location = /any      { cred_access apinizer; empty_gif; }
--- script
redis('production', 'HSET', '{cred}:apinizer:credential:a%3Ab%253A c:id',
      'keys', sha256('ODD'));
redis('production', 'SET', key_entry('ODD'), 'a%3Ab%253A c:id');

my @table = (
    ['KEY', '/literal', 200], ['KEY', '/other', 403], ['KEY', '/arg', 403],
    ['KEY', '/arg?scope=', 403], ['KEY', '/arg?scope=MyProject', 200],
    ['KEY', '/arg?scope=myproject', 403], ['KEY', '/arg?scope=MyProjec', 403],
    ['KEY', '/arg?scope=MyProject2', 403], ['KEY', '/arg?scope=*', 403],
    ['KEY', '/projects/MyProject/x', 200], ['KEY', '/projects/other/x', 403],
    ['KEY', '/projects/%4DyProject/x', 200], ['KEY', '/odd', 403],
    ['ODD', '/odd', 200], ['ODD', '/literal', 403], ['ODD', '/any', 200],
    ['none', '/other', 401], ['none', '/literal', 401], ['none', '/arg', 401],
    [undef, '/arg', 401],
);

# from Redis, and from the cache

for my $n (1, 2) {
    for (@table) {
        my ($key, $path, $status) = @$_;
        is(gate($key, path => $path)->{status}, $status,
           "$path by " . ($key // 'nobody'));
    }
}



=== TEST 5: grant=
--- http_config
cred_registry                $TEST_NGINX_REGISTRY;
cred_environment             $TEST_NGINX_PRODUCTION;
cred_access_lease            1h;
large_client_header_buffers  4 16k;
--- config
location = /orders  { cred_access apinizer grant=API_PROXY:orders; empty_gif; }
location = /users   { cred_access apinizer grant=API_PROXY:users; empty_gif; }
location = /arg     { cred_access apinizer grant=$arg_grant; empty_gif; }
location = /header  { cred_access apinizer grant=$http_grant; empty_gif; }
location = /both    { cred_access apinizer scope=$arg_scope
                                  grant=API_PROXY:orders; empty_gif; }
location = /any     { cred_access apinizer; empty_gif; }
--- script
my $long = 'g' x 512;
redis('production', 'SADD', '{cred}:apinizer:grants:MyProject:api-user',
      'a b:c%3Ad', "\xff\xfe", '*', $long, "${long}g", '');

my @table = (
    ['KEY', '/orders', 200], ['KEY', '/users', 403], ['KEY', '/any', 200],
    ['KEY', '/arg?grant=API_PROXY:orders', 200], ['KEY', '/arg', 403],
    ['KEY', '/arg?grant=', 403], ['KEY', '/arg?grant=api_proxy:orders', 403],
    ['KEY', '/arg?grant=*', 200], ['KEY', '/arg?grant=API_PROXY:*', 403],
    ['KEY', '/arg?grant=API_PROXY%3Aorders', 403],
    ['KEY', "/arg?grant=$long", 200], ['KEY', "/arg?grant=${long}g", 403],
    ['KEY', '/arg?grant=' . 'g' x 8000, 403],
    ['KEY', '/header', 200, 'Grant: a b:c%3Ad'], ['KEY', '/header', 403],
    ['KEY', '/header', 200, "Grant: \xff\xfe"],
    ['KEY', '/header', 403, 'Grant: a b:c:d'],
    ['KEY', '/both?scope=MyProject', 200], ['KEY', '/both?scope=other', 403],
    ['KEY', '/both', 403],
    ['none', '/orders', 401], ['none', '/arg', 401],
    ['none', '/arg?grant=' . 'g' x 8000, 401], [undef, '/orders', 401],
);

for my $n (1, 2) {
    for (@table) {
        my ($key, $path, $status, @headers) = @$_;
        is(gate($key, path => $path, headers => \@headers)->{status}, $status,
           join ', ', substr($path, 0, 50) . ' by ' . ($key // 'nobody'),
                @headers);
    }
}



=== TEST 6: a hash is no key
--- config
location = /granted { cred_access apinizer grant=$arg_grant; empty_gif; }
location = /page    { cred_access apinizer; empty_gif; }
--- script
# one that can be shown in a header

my ($id) = grep { pack('H*', sha256("KEY$_")) =~ /^[^\0\r\n ][^\0\r\n]*\z/s }
           1 .. 100;
my ($key, $hash) = ("KEY$id", pack 'H*', sha256("KEY$id"));
deploy('shown', $key);
ok(leased(), 'there is a lease');

for my $grant ('API_PROXY:x', 'none') {
    my $status = $grant eq 'none' ? 403 : 200;
    is(gate($key, path => "/granted?grant=$grant")->{status}, $status, $grant)
        for 1, 2;
    is(gate("$hash$grant", path => $_)->{status}, 401, "hash and grant, $_")
        for '/page', '/granted', "/granted?grant=$grant";
}

is(gate($_)->{status}, 401, 'a hash') for $hash, sha256($key), uc sha256($key);



=== TEST 7: what the others are told
--- config
location = /page      { cred_access apinizer; empty_gif; }
location = /scope     { cred_access apinizer scope=x; empty_gif; }
location = /iam       { cred_access iam; empty_gif; }
location = /deepset   { cred_access deepset; empty_gif; }
location = /tes       { cred_access thousandeyes; empty_gif; }
location = /alloy     { cred_access alloy; empty_gif; }
--- script
my %names = (page => 'apinizer', iam => 'iam', deepset => 'deepset',
             tes => 'thousandeyes', alloy => 'alloy');

for my $path (sort keys %names) {
    my $got = gate('none', path => "/$path");
    is($got->{status}, 401, "$names{$path}: refused");
    is($got->{headers}{'www-authenticate'}, "Bearer realm=\"$names{$path}\"",
       "$names{$path}: the challenge");
    is($got->{headers}{'retry-after'}, undef, 'not later');
}

my $got = gate('KEY', path => '/scope');
is($got->{status}, 403, 'forbidden');
is($got->{headers}{$_}, undef, "no $_") for qw(www-authenticate retry-after);

# the key of one API is none of another

for my $path (sort keys %names) {
    is(gate('KEY', path => "/$path")->{status}, $path eq 'page' ? 200 : 401,
       "KEY and $names{$path}");
}

redis_kill('production');
$got = gate('another', path => '/iam');
is($got->{status}, 503, 'nobody can tell');
is($got->{headers}{'retry-after'}, 1, 'but later');
is($got->{headers}{'www-authenticate'}, undef, 'no challenge');



=== TEST 8: unknown, disabled and expired look the same
--- http_config
cred_registry      $TEST_NGINX_REGISTRY;
cred_environment   $TEST_NGINX_PRODUCTION;
cred_access_lease  1h;
cred_access_valid  0 missing=0;
--- script
my $credential = '{cred}:apinizer:credential:MyProject:api-user';
my ($none, @all) = (whole(gate('unknown')));
like($none, qr/^HTTP.* 401 /, 'unknown');

redis('production', 'HSET', $credential, 'enabled', 0);
push @all, whole(gate('KEY'));
redis('production', 'HDEL', $credential, 'enabled');
like(whole(gate('KEY')), qr/^HTTP.* 200 /, 'known');
redis('production', 'HSET', $credential, 'expires_at', time - 1);
push @all, whole(gate('KEY'));
redis('production', 'HDEL', $credential, 'expires_at');
redis('production', 'HSET', $credential, 'keys', sha256('other'));
push @all, whole(gate('KEY'));
redis('production', 'DEL', $credential);
push @all, whole(gate('KEY'));
redis('production', 'DEL', key_entry('KEY'));
push @all, whole(gate('KEY'));

is($_, $none, 'no difference') for @all;



=== TEST 9: variables
--- http_config
cred_registry     $TEST_NGINX_REGISTRY;
cred_environment  $TEST_NGINX_PRODUCTION;
cred_access_lease 1h;
cred_access_valid 1h missing=1h;
log_format  access  '$uri|$cred_access_result|$cred_access_cache|$cred_access_scope|$cred_access_id';
access_log  $TEST_NGINX_DIR/access-variables.log access;
--- config
location = /page      { cred_access apinizer; empty_gif; }
location = /scope     { cred_access apinizer scope=x; empty_gif; }
location = /open      { empty_gif; }
location = /upstream  {
    cred_access       apinizer;
    proxy_pass        http://127.0.0.1:$TEST_NGINX_PORT/shown;
    proxy_set_header  X-Scope $cred_access_scope;
    proxy_set_header  X-Id $cred_access_id;
    proxy_set_header  Authorization "";
}
location = /shown {
    access_log off;
    return 200 "$http_x_scope $http_x_id [$http_authorization]";
}
location = /redirected { cred_access apinizer; error_page 401 403 = /login; empty_gif; }
location = /redirected2 { cred_access apinizer scope=x; error_page 403 = @login; empty_gif; }
location = /login     { return 200 "login: $cred_access_result $cred_access_id"; }
location @login       { return 200 "named: $cred_access_result $cred_access_id"; }
--- script
ok(leased(), 'there is a lease');
redis('production', 'HSET', '{cred}:apinizer:credential:a%3Ab:c%25d%3Ae',
      'keys', sha256('ODD'));
redis('production', 'SET', key_entry('ODD'), 'a%3Ab:c%25d%3Ae');

gate(@$_) for ['KEY'], ['KEY'], ['KEY', path => '/scope'], ['none'], ['none'],
              [undef], ['KEY', path => '/open'], ['ODD'];
is(gate('KEY', path => '/upstream')->{body}, 'MyProject api-user []',
   'for the upstream');
is(gate('x', path => '/redirected')->{body}, 'login: unknown ', 'redirected');
is(gate('KEY', path => '/redirected2')->{body}, 'named: forbidden api-user',
   'redirected to a named location');
redis_kill('production');
gate('another');

my @wanted = split /\n/, <<'END';
/page|allowed|MISS|MyProject|api-user
/page|allowed|HIT|MyProject|api-user
/scope|forbidden|HIT|MyProject|api-user
/page|unknown|MISS|-|-
/page|unknown|HIT|-|-
/page|unknown|-|-|-
/open|-|-|-|-
/page|allowed|MISS|a:b|c%d:e
/upstream|allowed|HIT|MyProject|api-user
/login|unknown|MISS|-|-
/redirected2|forbidden|HIT|MyProject|api-user
/page|unavailable|MISS|-|-
END

my @got;
wait_for(sub {
    @got = split /\n/, slurp(temp_dir() . '/access-variables.log');
    return @got >= @wanted;
});
is($got[$_], $wanted[$_], "line $_") for 0 .. $#wanted;



=== TEST 10: no key in any log, nor in a page
--- http_config
cred_registry     $TEST_NGINX_REGISTRY;
cred_environment  $TEST_NGINX_PRODUCTION;
cred_access_lease 1h;
log_format  all   '$request|$status|$cred_access_result|$cred_access_cache|$cred_access_scope|$cred_access_id';
access_log  $TEST_NGINX_DIR/access-secrets.log all;
--- script
my $seen = monitor('production');
my @keys = qw(SECRET1 SECRET2 someone:SECRET3);
deploy('secret', @keys);
my $text = '';

my $ask = sub {
    $text .= gate('SECRET1')->{text};
    $text .= gate(undef, headers => ['X-API-Key: SECRET2'])->{text};
    $text .= gate(undef, headers => [basic('someone:SECRET3')])->{text};
    $text .= gate('SECRET5')->{text};
    $text .= gate(undef, headers => [basic('SECRET6')])->{text};
    $text .= gate('SECRET7', headers => ['X-API-Key: SECRET8'])->{text};
};

$ask->() for 1, 2;
answer_is(del('secret'), 'deleted',
          pending(production => undef, staging => 'absent'));
$ask->();
redis('production', 'SET', '{cred}:apinizer:credential:MyProject:api-user', 'x');
$text .= gate('KEY')->{text};
my $commands = join "\n", $seen->();
redis_kill('production');
$ask->();

like($text, qr/\b$_\b/, "answered with $_") for 200, 401, 503;
like($commands, qr/\Q${\ sha256('SECRET1')}/, 'its hash goes to Redis');
my $base64 = MIME::Base64::encode_base64('someone:SECRET3', '');
my $logs = join '', map { slurp($_) }
    (map { temp_dir() . "/$_" } qw(access-secrets.log nginx.log stderr.log)),
    glob(temp_dir() . '/nginx/logs/*');
like($logs, qr/access: unknown, key \Q${\ substr sha256('SECRET5'), 0, 6}/,
     'what is logged of a key');
is(join(' ', map { /.{0,30}(?:SECRET\d|\Q$base64\E).{0,30}/g }
             $text, $logs, $commands), '', 'no key anywhere');
unlike($logs, qr/\Q${\ sha256($_)}/, 'nor its hash in a log')
    for @keys, 'SECRET5';



=== TEST 11: asking writes nothing
--- script
ok(leased(), 'there is a lease');
redis('production', @$_) for [qw(CONFIG SET appendfsync always)],
                             [qw(CONFIG SET appendonly yes)];
my $aof = sub { redis('production', 'INFO', 'persistence') =~ /^$_[0]:(\d+)/m && $1 };
ok(wait_for(sub { $aof->('aof_enabled') && !$aof->('aof_rewrite_in_progress')
                  && !$aof->('aof_rewrite_scheduled') }), 'there is a file');

# a lease may be asked for meanwhile; Redis 7 would not write in any case

my $n = 0;
ok(wait_for(sub {
    my $before = $aof->('aof_current_size');
    gate('unknown' . $n++)->{status} == 401 || return for 1 .. 20;
    return $aof->('aof_current_size') == $before;
}), 'the file is as before');
redis('production', qw(CONFIG SET appendonly no));



=== TEST 90: a long prefix
--- http_config eval
"cred_registry \$TEST_NGINX_REGISTRY;
cred_environment \$TEST_NGINX_PRODUCTION;
cred_prefix " . 'p' x 3000 . ';'
--- script
is(gate('KEY')->{status}, 401, 'nobody is known');
