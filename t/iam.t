# iam: DELETE /v3.0/OS-CREDENTIAL/credentials/{access_key}

use CredTest;
use CredTest::Answer;

sub iam {
    my ($name, $key, $headers, $status, $shown) = @_;

    my %fault = (
        400 => ['Bad Request', "Request parameter 'access_key' is invalid."],
        401 => ['Unauthorized',
                'The request you have made requires authentication.'],
        403 => ['Forbidden', 'Policy doesn\'t allow '
                . 'iam:credentials:deleteCredential to be performed.'],
        404 => ['Not Found', 'Could not find credential: ' . ($shown // $key)],
        500 => ['Internal Server Error', 'An unexpected error prevented the '
                . 'server from fulfilling your request.'],
    );

    my $got = call('DELETE', "/v3.0/OS-CREDENTIAL/credentials/$key",
                   ref $headers ? $headers : ["X-Auth-Token: $headers"]);

    is_answer($got, 204, ['Cred-Operation: HEX', 'X-Request-Id: HEX'], '',
              $name), return $got if $status == 204;

    my ($title, $message) = @{ $fault{$status} };

    is_answer($got, $status,
              ['Content-Type: application/json', 'X-Request-Id: HEX',
               $status == 500 ? 'Retry-After: 1' : ()],
              qq({"error":{"message":"$message","code":$status,)
              . qq("title":"$title"}}), $name);

    return $got;
}

sub declined {
    my ($method, $path) = @_;
    is(call($method, $path, ['X-Auth-Token: alice'])->{body},
       "backend: $method $path", "declined: $method $path");
}

defaults(http_config => backend(), config => <<'END', registry => <<'END');
location / {
    cred_registry     $TEST_NGINX_REGISTRY;
    cred_delete       iam;
    cred_strict       off;
    proxy_pass        http://127.0.0.1:$TEST_NGINX_PORT;
    proxy_set_header  Host backend;
}
END
HSET {cred}:iam:token:sha256(alice) subject alice scope domain-1
HSET {cred}:iam:token:sha256(root) subject root scope domain-1 roles "te_admin secu_admin"
HSET {cred}:iam:token:sha256(dave) subject dave scope domain-2 roles secu_admin
SADD {cred}:iam:credentials:domain-1 AK1 AK2 AK3
HSET {cred}:iam:credential:domain-1:AK1 owner alice revision 1
HSET {cred}:iam:credential:domain-1:AK2 owner alice
HSET {cred}:iam:credential:domain-1:AK3 owner bob
SADD {cred}:iam:grants:domain-1:AK1 BUCKET:backups
END

no_root_location();
run_tests();

__DATA__

=== TEST 1: deleted
--- script
iam('the owner', 'AK1', 'alice', 204);
iam('once', 'AK1', 'alice', 404);
iam('with the documented Content-Type', 'AK2',
    ['Content-Type: application/json;charset=utf8', 'X-Auth-Token: alice'],
    204);
iam('an administrator', 'AK3', 'root', 204);
--- redis_check
KEYS {cred}:iam:credential* =>
KEYS {cred}:iam:grants* =>
EXISTS {cred}:iam:token:sha256(alice) => 1



=== TEST 2: access keys
--- registry
HSET {cred}:iam:credential:domain-1:a owner alice
HSET {cred}:iam:credential:domain-1:LOSZM4YRVLKOY9E8X5VI owner alice
HSET {cred}:iam:credential:domain-1:0123456789abcdefghijABCDEFGHIJ0123456789 owner alice
HSET {cred}:iam:credential:domain-1:ak1 owner bob
HSET {cred}:iam:credential:domain-1:A-1 owner alice
HSET {cred}:iam:credential:domain-1:0123456789abcdefghijABCDEFGHIJ01234567890 owner alice
--- script
iam('one letter', 'a', 'alice', 204);
iam('percent-encoded', '%4C%4f%53ZM4YRVLKOY9E8X5VI', 'alice', 204);
iam('40 letters and digits', '0123456789abcdefghijABCDEFGHIJ0123456789',
    'alice', 204);
iam('in lower case: that of somebody else', 'ak1', 'alice', 403);
iam('a trailing slash', 'AK1/', 'alice', 204);
iam('a query', 'AK2?access_key=AK3', 'alice', 204);
iam('unknown', 'AK4', 'alice', 404);
iam('unknown, to an administrator', 'AK4', 'root', 404);

iam("malformed: $_", $_, 'alice', 400)
    for 'A-1', 'A_1', 'A.1', 'A%201', '%20', 'AK1+', 'AK1%25',
        'AK%3A1', '%C3%84K1', "\xc3\x84K1", '%FF', 'A%22', 'A%5C',
        '0123456789abcdefghijABCDEFGHIJ01234567890', 'x' x 512;

iam('513 bytes', 'x' x 513, 'alice', 404);
iam('control characters', 'A%0AK%01%7F', 'alice', 404, "A\\nK\\u0001\x7f");
--- redis_check
SCARD {cred}:iam:credentials:domain-1 => 1
EXISTS {cred}:iam:credential:domain-1:ak1 => 1
EXISTS {cred}:iam:credential:domain-1:A-1 => 1
EXISTS {cred}:iam:credential:domain-1:0123456789abcdefghijABCDEFGHIJ01234567890 => 1



=== TEST 3: tokens
--- registry
HSET {cred}:iam:token:sha256(disabled) subject alice scope domain-1 enabled 0
HSET {cred}:iam:token:sha256(enabled) subject alice scope domain-1 enabled 1
HSET {cred}:iam:token:sha256(expired) subject alice scope domain-1 expires_at 1700000000
HSET {cred}:iam:token:sha256(garbled) subject alice scope domain-1 expires_at soon
HSET {cred}:iam:token:sha256(current) subject alice scope domain-1 expires_at 9999999999
HSET {cred}:iam:token:sha256(nobody) scope domain-1 roles secu_admin
HSET {cred}:iam:token:sha256(anonymous) subject '' scope domain-1 roles secu_admin
HSET {cred}:iam:token:sha256(homeless) subject alice roles secu_admin
HSET {cred}:iam:token:sha256() subject alice scope domain-1
HSET {cred}:iam:token:sha256(Bearer) subject alice scope domain-1
HSET {cred}:iam:token:sha256(two) subject alice scope domain-1
HSET {cred}:iam:token:alice subject alice scope domain-1
--- before
redis('registry', 'HSET', '{cred}:iam:token:' . sha256($_), 'subject', 'alice',
      'scope', 'domain-1') for 'x' x 7000, 'two, two', 'Bearer alice', "\xff";
--- script
my $two = ['X-Auth-Token: two', 'X-Auth-Token: two'];

iam('missing', 'AK1', [], 401);
iam('empty', 'AK1', ['X-Auth-Token:'], 401);
iam('repeated', 'AK1', $two, 401);
iam('two values in one', 'AK1', 'two, two', 401);
iam('malformed', 'AK1', "\xff", 401);
iam('an Authorization header', 'AK1', ['Authorization: Bearer alice'], 401);
iam('Bearer', 'AK1', 'Bearer alice', 401);
iam('Basic', 'AK1', ['Authorization: Basic YWxpY2U6YWxpY2U='], 401);
iam($_, 'AK1', $_, 401)
    for qw(unknown ALICE disabled expired garbled nobody anonymous),
        'a' x 6000, sha256('alice');

iam('without a domain', 'AK1', 'homeless', 404);
iam('enabled', 'AK1', 'enabled', 204);
iam('another header as well', 'AK2',
    ['Authorization: Bearer x', 'x-auth-TOKEN:   current  '], 204);
iam('7000 bytes', 'AK3', 'x' x 7000, 403);
--- redis_check
SMEMBERS {cred}:iam:credentials:domain-1 => AK3



=== TEST 4: domains, owners and administrators
--- registry
HSET {cred}:iam:token:sha256(almost) subject carol scope domain-1 roles "secu_administrator xsecu_admin SECU_ADMIN"
HSET {cred}:iam:credential:domain-2:AK1 owner alice
HSET {cred}:iam:credential:domain-1:AK5 revision 3
HSET {cred}:iam:credential:domain-1:AK6 owner ''
HSET {cred}:iam:token:sha256(erin) subject erin scope a:b%c
HSET {cred}:iam:credential:a%3Ab%25c:AK1 owner erin
--- script
iam('the key of another user', 'AK3', 'alice', 403);
iam('roles of similar names', 'AK3', 'almost', 403);
iam('a key without owner', 'AK5', 'alice', 403);
iam('a key with an empty owner', 'AK6', 'alice', 403);
iam('the key of another domain', 'AK3', 'dave', 404);
iam('the token\'s own domain', 'AK1', 'dave', 204);
iam('a key without owner, to an administrator', 'AK5', 'root', 204);
iam('a domain with special characters', 'AK1', 'erin', 204);
--- redis_check
EXISTS {cred}:iam:credential:domain-2:AK1 => 0
EXISTS {cred}:iam:credential:a%3Ab%25c:AK1 => 0
HGET {cred}:iam:credential:domain-1:AK1 owner => alice
HGET {cred}:iam:credential:domain-1:AK3 owner => bob
EXISTS {cred}:iam:credential:domain-1:AK6 => 1



=== TEST 5: the order of the checks
--- script
iam('token before key', 'A-1', 'unknown', 401);
iam('key before owner', 'AK4', 'alice', 404);
redis_stop('registry');
iam('a missing token needs no registry', 'AK1', [], 401);
iam('a malformed key does', 'A-1', 'alice', 500);
iam('unreachable', 'AK1', 'alice', 500);



=== TEST 6: X-Request-Id is $request_id
--- config
location / {
    cred_registry  $TEST_NGINX_REGISTRY;
    cred_delete    iam;
    add_header     Id $request_id always;
}
--- script
my @wanted = (204, 404, 401, 400);

for my $request (['AK1', 'alice'], ['AK1', 'alice'], ['AK1', ''],
                 ['-', 'alice'])
{
    my $got = call('DELETE', "/v3.0/OS-CREDENTIAL/credentials/$request->[0]",
                   ["X-Auth-Token: $request->[1]", 'X-Request-Id: mine']);
    my $status = shift @wanted;

    is($got->{status}, $status, "status $status");
    like($got->{headers}{id}, qr/^[0-9a-f]{32}$/, "an id with $status");
    is($got->{headers}{'x-request-id'}, $got->{headers}{id}, 'in the answer');
}



=== TEST 7: what is no delete of a key
--- script
my $path = '/v3.0/OS-CREDENTIAL/credentials';

declined('DELETE', $_)
    for $path, "$path/", "$path/AK1/x", "$path/AK1%2Fx", "$path/AK1%2f",
        "$path%2FAK1", "$path/AK1%2F%2F", "$path/%2FAK1",
        '/v3/OS-CREDENTIAL/credentials/AK1',
        '/v3.0/os-credential/credentials/AK1', "/x$path/AK1", "$path/../AK1";

declined($_, "$path/AK1") for qw(GET POST PUT PATCH);

is(call('HEAD', "$path/AK1")->{status}, 200, 'declined: HEAD');

iam('an encoded slash in the query', 'AK2?x=%2F', 'alice', 204);
iam('encoded twice', 'AK2%252F', 'alice', 400);
iam('normalized by nginx', '../x/../credentials/./AK1', 'alice', 204);
--- redis_check
SMEMBERS {cred}:iam:credentials:domain-1 => AK3
