# alloy: DELETE /users/{userId}/credentials/{credentialId}

use CredTest;
use CredTest::Answer;

sub version { 'x-api-version: 2025-09' }

# $wanted is a status, or the message of 400 or 404

sub alloy {
    my ($name, $path, $headers, $wanted) = @_;

    my %fault = (
        400 => ['Bad Request', $wanted],
        401 => ['Unauthorized', 'Invalid API key'],
        403 => ['Forbidden', 'Insufficient permissions'],
        404 => ['Not Found', $wanted],
        503 => ['Service Unavailable', 'Please try again later'],
    );

    my $status = $wanted !~ /\D/ ? $wanted
                 : $wanted =~ /not found$/ ? 404 : 400;

    $headers = ["Authorization: bearer $headers", version()]
        unless ref $headers;

    my $got = call('DELETE', "/users/$path", $headers);
    my $json = 'Content-Type: application/json';

    is_answer($got, 200, [$json, 'Cred-Operation: HEX'], '{"success":true}',
              $name), return $got if $status == 200;

    my ($error, $message) = @{ $fault{$status} };

    is_answer($got, $status,
              [$json, $status == 401 ? 'WWW-Authenticate: Bearer' : (),
               $status == 503 ? 'Retry-After: 1' : ()],
              qq({"error":"$error","message":"$message"}), $name);

    return $got;
}

defaults(http_config => backend(), config => <<'END', registry => <<'END');
location / {
    cred_registry     $TEST_NGINX_REGISTRY;
    cred_delete       alloy;
    cred_strict       off;
    proxy_pass        http://127.0.0.1:$TEST_NGINX_PORT;
    proxy_set_header  Host backend;
}
END
HSET {cred}:alloy:token:sha256(acme) subject acme
HSET {cred}:alloy:token:sha256(reader) subject reader
HSET {cred}:alloy:scope:u1 name "A customer"
HSET {cred}:alloy:members:u1 acme manage reader view
SADD {cred}:alloy:credentials:u1 c1 c2 c3
HSET {cred}:alloy:credential:u1:c1 connector shopify
HSET {cred}:alloy:credential:u1:c2 connector shopify
HSET {cred}:alloy:credential:u1:c3 connector shopify
SADD {cred}:alloy:grants:u1:c1 CONNECTOR:shopify
END

no_root_location();
run_tests();

__DATA__

=== TEST 1: deleted
--- script
alloy('deleted', 'u1/credentials/c1', 'acme', 200);
alloy('once', 'u1/credentials/c1', 'acme', 'Credential not found');
alloy('a trailing slash', 'u1/credentials/c2/', 'acme', 200);
alloy('percent-encoded', '%751/credentials/%633?x=y', 'acme', 200);
alloy('unknown', 'u1/credentials/c4', 'acme', 'Credential not found');
--- redis_check
KEYS {cred}:alloy:credential* =>
KEYS {cred}:alloy:grants* =>



=== TEST 2: API keys
--- registry
HSET {cred}:alloy:token:sha256(disabled) subject acme enabled 0
HSET {cred}:alloy:token:sha256(expired) subject acme expires_at 1700000000
HSET {cred}:alloy:token:sha256(current) subject acme expires_at 9999999999 scope u9
HSET {cred}:alloy:token:sha256() subject acme
HSET {cred}:alloy:token:sha256(bearer) subject acme
--- script
my $path = 'u1/credentials/c1';

alloy('missing', $path, [version()], 401);
alloy("\"$_\"", $path, ["Authorization:$_", version()], 401)
    for '', ' bearer', ' bearer unknown', ' bearer ACME', ' acme',
        ' Basic acme', ' Basic YWNtZTphY21l', ' Token acme', ' bearer acme acme',
        ' beareracme', ' bearer: acme', ' bearer disabled', ' bearer expired',
        " bearer acm\xc3\xa9", ' bearer ' . sha256('acme');
alloy('the header of another API', $path, ['X-Auth-Token: acme', version()],
      401);

my $got = call('DELETE', "/users/$path", [('Authorization: bearer acme') x 2,
                                          version()]);
like($got->{status}, qr/^40[01]$/, 'repeated: nginx lets no second one in');

alloy('bearer', $path, ['authorization: bearer acme', version()], 200);
alloy('Bearer', 'u1/credentials/c2', ['Authorization: Bearer acme', version()],
      200);
alloy('BEARER', 'u1/credentials/c3',
      ['Authorization: BEARER   current ', version()], 200);



=== TEST 3: versions
--- script
my $key = 'Authorization: bearer acme';
my $missing = 'Missing required header: x-api-version';
my $path = 'u1/credentials/c1';

alloy('missing', $path, [$key], $missing);
alloy('empty', $path, [$key, 'x-api-version:'], $missing);
alloy('blank', $path, [$key, 'x-api-version:   '], $missing);

alloy("another: $_", $path, [$key, "x-api-version: $_"],
      'Unsupported API version: ' . s/(["\\])/\\$1/gr)
    for '2020-01', '2025-9', '2025-09-01', '2025-08', 'v2025-09', '"2025-09"',
        '2025-09,2025-09', '\\', '2025-0', "2025\xe2\x80\x9109", '*',
        'x' x 3000;

alloy('no UTF-8', $path, [$key, "x-api-version: 2025\xff09"],
      "Unsupported API version: 2025\xef\xbf\xbd09");

alloy('two', $path, [$key, "x-api-version: $_->[0]", "x-api-version: $_->[1]"],
      'Repeated header: x-api-version')
    for ['2025-09', '2025-09'], ['2025-09', '2020-01'], ['', '2025-09'];

alloy('white space around', $path, [$key, 'X-Api-Version:   2025-09  '], 200);



=== TEST 4: a version that may be missing
--- config
location / {
    cred_registry       $TEST_NGINX_REGISTRY;
    cred_delete         alloy;
    cred_alloy_version  2025-09 optional;
}
--- script
my $key = 'Authorization: bearer acme';
my $path = 'u1/credentials';

alloy('another', "$path/c1", [$key, 'x-api-version: 2020-01'],
      'Unsupported API version: 2020-01');
alloy('two', "$path/c1", [$key, version(), version()],
      'Repeated header: x-api-version');
alloy('missing', "$path/c1", [$key], 200);
alloy('empty', "$path/c2", [$key, 'x-api-version:'], 200);
alloy('the right one', "$path/c3", [$key, version()], 200);
alloy('missing, as is the credential', "$path/c4", [$key],
      'Credential not found');



=== TEST 5: another version, inherited
--- config
cred_registry       $TEST_NGINX_REGISTRY;
cred_delete         alloy;
cred_alloy_version  2026-03 optional;

location / {
}

location /users/u1/credentials/c2 {
    cred_alloy_version  2030-01;
}
--- script
my $key = 'Authorization: bearer acme';

alloy('the former one', 'u1/credentials/c1', 'acme',
      'Unsupported API version: 2025-09');
alloy('the new one', 'u1/credentials/c1', [$key, 'x-api-version: 2026-03'],
      200);
alloy('missing', 'u1/credentials/c3', [$key], 200);
alloy('missing where it is required again', 'u1/credentials/c2', [$key],
      'Missing required header: x-api-version');
alloy('required there', 'u1/credentials/c2', [$key, 'x-api-version: 2030-01'],
      200);



=== TEST 6: cred_alloy_version with another word
--- config
cred_alloy_version 2025-09 required;
--- must_die
--- error_log eval
qr/invalid parameter "required".* in .*nginx\.conf:\d+/



=== TEST 7: users
--- registry
HSET {cred}:alloy:scope:u2 name foreign
HSET {cred}:alloy:members:u2 other manage
HSET {cred}:alloy:credential:u2:c1 a b
HSET {cred}:alloy:members:u3 acme manage
HSET {cred}:alloy:credential:u3:c1 a b
HSET {cred}:alloy:scope:u4 name "without members"
HSET {cred}:alloy:credential:u4:c1 a b
HSET {cred}:alloy:members:u1 odd "manage view"
HSET {cred}:alloy:token:sha256(odd) subject odd
--- script
alloy("not visible: $_", "$_/credentials/c1", 'acme', 'User not found')
    for qw(u2 u3 u4 u5 U1 u1%20), 'u' x 600, 'u%0A1';
alloy('view only', 'u1/credentials/c1', 'reader', 403);
alloy('view only, no such credential', 'u1/credentials/c4', 'reader', 403);
alloy('another right', 'u1/credentials/c1', 'odd', 403);
--- redis_check
KEYS {cred}:alloy:credential:*:c1 => {cred}:alloy:credential:u1:c1 {cred}:alloy:credential:u2:c1 {cred}:alloy:credential:u3:c1 {cred}:alloy:credential:u4:c1



=== TEST 8: names
--- registry
HSET {cred}:alloy:scope:a%3Ab%25 name "special characters"
HSET {cred}:alloy:members:a%3Ab%25 acme manage
HSET {cred}:alloy:credential:a%3Ab%25:%25%3A a b
HSET {cred}:alloy:credential:u1:c2:x a b
HSET {cred}:alloy:credential:u1:c+1 a b
HSET "{cred}:alloy:credential:u1:c 1" a b
HSET "{cred}:alloy:credential:u1:\xc3\xa4" a b
HSET "{cred}:alloy:credential:u1:\xff" a b
--- script
alloy('colons and percent signs', 'a:b%25/credentials/%25:', 'acme', 200);
alloy('into another key', 'u1/credentials/c2:x', 'acme',
      'Credential not found');
alloy('nor encoded', 'u1/credentials/c2%3Ax', 'acme', 'Credential not found');
alloy('a plus', 'u1/credentials/c+1', 'acme', 200);
alloy('a space', 'u1/credentials/c%201', 'acme', 200);
alloy('UTF-8', 'u1/credentials/%C3%A4', 'acme', 200);
alloy('no UTF-8', 'u1/credentials/%FF', 'acme', 200);
--- redis_check
KEYS {cred}:alloy:credential:* => {cred}:alloy:credential:u1:c1 {cred}:alloy:credential:u1:c2 {cred}:alloy:credential:u1:c2:x {cred}:alloy:credential:u1:c3



=== TEST 9: ids that no credential can have
--- before
redis('registry', 'HSET', '{cred}:alloy:credential:u1:' . 'c' x $_, 'a', 'b')
    for 512, 513;
redis('registry', 'HSET', "{cred}:alloy:credential:u1:c\n", 'a', 'b');
--- script
alloy('512 bytes', 'u1/credentials/' . 'c' x 512, 'acme', 200);
alloy('513 bytes', 'u1/credentials/' . 'c' x 513, 'acme',
      'Credential not found');
alloy("control character $_", "u1/credentials/c%$_", 'acme',
      'Credential not found') for qw(01 0A 1F 7F);



=== TEST 10: the order of the checks
--- script
alloy('key before version', 'u1/credentials/c1',
      ['Authorization: bearer unknown'], 401);
alloy('a malformed one too', 'u1/credentials/c1', [], 401);
alloy('version before user', 'u5/credentials/c1',
      ['Authorization: bearer acme'], 'Missing required header: x-api-version');
alloy('user before credential', 'u5/credentials/c4', 'acme', 'User not found');

redis_stop('registry');
alloy('a missing key needs no registry', 'u1/credentials/c1', [version()], 401);
alloy('a missing version does', 'u1/credentials/c1',
      ['Authorization: bearer acme'], 503);
alloy('unreachable', 'u1/credentials/c1', 'acme', 503);



=== TEST 11: what is no delete of a credential
--- script
my $headers = ['Authorization: bearer acme', version()];

for ('/users/u1/credentials', '/users/u1/credentials/', '/users/u1',
     '/users/u1/credentials/c1/x', '/users/u1/credentials/c1%2Fx',
     '/users/u1/credentials/c1%2F', '/users/u1%2Fcredentials/c1',
     '/users/x/u1/credentials/c1', '/v1/users/u1/credentials/c1',
     '/Users/u1/credentials/c1', '/users/credentials/c1')
{
    is(call('DELETE', $_, $headers)->{body}, "backend: DELETE $_",
       "declined: $_");
}

for (qw(GET POST PUT PATCH)) {
    is(call($_, '/users/u1/credentials/c1', $headers)->{body},
       "backend: $_ /users/u1/credentials/c1", "declined: $_");
}
--- redis_check
SCARD {cred}:alloy:credentials:u1 => 3
EXISTS {cred}:alloy:credential:u1:c1 => 1
