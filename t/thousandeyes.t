# thousandeyes: POST [/v6]/credentials/{credentialId}/delete[.json]

use CredTest;
use CredTest::Answer;
use HTTP::Date ();
use MIME::Base64 ();

our %Message = (
    body => 'Request body must be empty',
    aid  => 'Invalid account group id',
    401  => 'Invalid credentials provided or account is locked',
    403  => 'Insufficient permissions to execute request',
    404  => 'Credential not found',
    429  => 'Exceeded the maximum number of requests per 1-minute period',
    503  => 'Service Unavailable',
);

sub basic { 'Authorization: Basic ' . MIME::Base64::encode_base64($_[0], '') }

# an answer; $wanted is a status or a key of %Message for 400, $rate is
# "LIMIT REMAINING" where the rate was counted

sub te_answer {
    my ($name, $got, $wanted, $rate) = @_;

    my $status = $wanted =~ /\D/ ? 400 : $wanted;
    my $reset = $got->{headers}{'x-organization-rate-limit-reset'};
    my $date = HTTP::Date::str2time($got->{headers}{date});
    my @headers = ('Content-Type: application/json;charset=UTF-8',
                   'X-Content-Type-Options: nosniff');

    if ($rate) {
        my ($limit, $remaining) = split ' ', $rate;

        # it may have been asked for in the minute before

        my $next = 60 * (int($date / 60) + 1);
        $next -= 60 if ($reset // 0) == $next - 60 && $next - $date > 50;

        push @headers, "X-Organization-Rate-Limit-Limit: $limit",
                       "X-Organization-Rate-Limit-Remaining: $remaining",
                       "X-Organization-Rate-Limit-Reset: $next";
    }

    if ($status == 429) {
        my $seconds = $got->{headers}{'retry-after'} // '';
        like($seconds, qr/^([1-9]|[1-5]\d|60)$/, "$name: Retry-After");
        cmp_ok(abs($reset - $date - $seconds), '<=', 2, "$name: to the reset");
        push @headers, "Retry-After: $seconds";
    }

    push @headers, 'WWW-Authenticate: Basic realm="ThousandEyes API"'
        if $status == 401;
    push @headers, 'Retry-After: 1' if $status == 503;
    push @headers, 'Cred-Operation: HEX' if $status == 204;

    is_answer($got, $status, \@headers, $status == 204 ? ''
              : qq({"errorMessage":"$Message{$wanted}"}), $name);

    return $got;
}

# a request that is the first of its minute

sub te {
    my ($name, $path, $headers, $wanted, $body) = @_;

    redis('registry', 'DEL', '{cred}:thousandeyes:rate:11');

    te_answer($name, call('POST', $path, $headers, $body // ''), $wanted,
              $wanted =~ /^(?:204|40[34])$/ ? '240 239' : undef);
}

# a credential, and a request to delete it with this body

sub te_body {
    my ($name, $wanted, $body, @headers) = @_;

    redis('registry', 'HSET', '{cred}:thousandeyes:credential:11:1', 'a', 'b');
    te($name, '/v6/credentials/1/delete.json',
       ['Authorization: Bearer secret', @headers], $wanted, $body);
}

# the same, sent by hand in several parts

sub te_parts {
    my ($name, $wanted, $header, @parts) = @_;

    redis('registry', 'HSET', '{cred}:thousandeyes:credential:11:1', 'a', 'b');
    redis('registry', 'DEL', '{cred}:thousandeyes:rate:11');

    my $sock = http_open();

    print $sock "POST /credentials/1/delete HTTP/1.1\r\nHost: localhost\r\n"
                . "Authorization: Bearer secret\r\n$header\r\n\r\n";

    like(http_read($sock), qr/^HTTP\S+ 100 /, "$name: 100")
        if $header =~ /^Expect/m;

    for (@parts) {
        Time::HiRes::sleep(0.05);
        print $sock $_;
    }

    te_answer($name, http_parse(http_read($sock)), $wanted,
              $wanted eq '204' ? '240 239' : undef);

    # it was read to its end

    print $sock "GET /next HTTP/1.1\r\nHost: localhost\r\n\r\n";
    is(http_parse(http_read($sock))->{body}, 'backend: GET /next',
       "$name: the next request");
}

# each byte, or so many at once, as a chunk

sub chunks {
    my ($body, $size) = @_;
    return map({ sprintf("%x\r\n%s\r\n", length, $_) }
               $body =~ /(.{1,$size})/sg), "0\r\n\r\n";
}

defaults(http_config => backend(), config => <<'END', registry => <<'END');
location / {
    cred_registry     $TEST_NGINX_REGISTRY;
    cred_delete       thousandeyes;
    cred_strict       off;
    proxy_pass        http://127.0.0.1:$TEST_NGINX_PORT;
    proxy_set_header  Host backend;
}
END
HSET {cred}:thousandeyes:token:sha256(secret) subject a@example.com scope 11
HSET {cred}:thousandeyes:token:sha256(reader) subject reader@example.com scope 11
HSET {cred}:thousandeyes:scope:11 name Operations
HSET {cred}:thousandeyes:members:11 a@example.com manage reader@example.com view
END

no_root_location();
run_tests();

__DATA__

=== TEST 1: deleted
--- registry
SADD {cred}:thousandeyes:credentials:11 405 406 407 408 409 410
HSET {cred}:thousandeyes:credential:11:405 owner noreply@example.com
HSET {cred}:thousandeyes:credential:11:406 a b
HSET {cred}:thousandeyes:credential:11:407 a b
HSET {cred}:thousandeyes:credential:11:408 a b
HSET {cred}:thousandeyes:credential:11:409 a b
HSET {cred}:thousandeyes:credential:11:410 a b
SADD {cred}:thousandeyes:grants:11:405 TEST:shop-login
--- script
my $basic = [basic('a@example.com:secret')];
te('with /v6 and .json', '/v6/credentials/405/delete.json', $basic, 204);
te('once', '/v6/credentials/405/delete.json', $basic, 404);
te('with /v6', '/v6/credentials/406/delete', $basic, 204);
te('with .json', '/credentials/407/delete.json', $basic, 204);
te('with neither', '/credentials/408/delete', $basic, 204);
te('a trailing slash', '/v6/credentials/409/delete.json/', $basic, 204);
te('percent-encoded', '/%76%36/credentials/4%310/delete%2Ejson', $basic, 204);
te('no such credential', '/credentials/411/delete', $basic, 404);
--- redis_check
KEYS {cred}:thousandeyes:credential* =>
KEYS {cred}:thousandeyes:grants* =>



=== TEST 2: ids
--- registry
HSET {cred}:thousandeyes:credential:11:999999999999999999999999999999 a b
HSET {cred}:thousandeyes:credential:11:0 a b
HSET {cred}:thousandeyes:credential:11:007 a b
HSET {cred}:thousandeyes:credential:11:+5 a b
--- before
redis('registry', 'HSET', "{cred}:thousandeyes:credential:11:" . '1' x 512,
      'a', 'b');
--- script
my $bearer = ['Authorization: Bearer secret'];

te('30 digits, unknown', '/credentials/' . '1' x 30 . '/delete', $bearer, 404);
te('30 digits', '/credentials/' . '9' x 30 . '/delete', $bearer, 204);
te('512 digits', '/credentials/' . '1' x 512 . '/delete', $bearer, 204);
te('513 digits', '/credentials/' . '1' x 513 . '/delete', $bearer, 404);

for my $id (qw(0 00 007 +5 -5 %2B5 5.0 1e3 0x10 abc 4O5 405%20 %D9%A1 *)) {
    my $path = "/v6/credentials/$id/delete.json";
    is(call('POST', $path, $bearer, '')->{body}, "backend: POST $path",
       "declined: $path");
}
--- redis_check
KEYS {cred}:thousandeyes:credential:* => {cred}:thousandeyes:credential:11:+5 {cred}:thousandeyes:credential:11:0 {cred}:thousandeyes:credential:11:007



=== TEST 3: what is no delete of a credential
--- registry
HSET {cred}:thousandeyes:credential:11:405 a b
--- script
my $bearer = ['Authorization: Bearer secret'];

for ('/v6/credentials/405', '/v6/credentials/405/', '/credentials/delete.json',
     '/v6/credentials/405/delete.xml', '/v6/credentials/405/delete.JSON',
     '/v6/credentials/405/delete.json.json', '/v6/credentials/405/deleted',
     '/v6/credentials/405/delete/json', '/v7/credentials/405/delete.json',
     '/v6/v6/credentials/405/delete.json', '/V6/credentials/405/delete.json',
     '/v6credentials/405/delete.json', '/v6/Credentials/405/delete.json',
     '/v6/credentials/405/x/delete.json', '/x/credentials/405/delete.json',
     '/v6/credentials/405%2Fdelete.json', '/credentials/405/delete%2F')
{
    is(call('POST', $_, $bearer, '')->{body}, "backend: POST $_",
       "declined: $_");
}

for (qw(GET DELETE PUT PATCH)) {
    is(call($_, '/v6/credentials/405/delete.json', $bearer)->{body},
       "backend: $_ /v6/credentials/405/delete.json", "declined: $_");
}
--- redis_check
EXISTS {cred}:thousandeyes:credential:11:405 => 1



=== TEST 4: Basic
--- registry
HSET {cred}:thousandeyes:credential:11:405 a b
HSET {cred}:thousandeyes:credential:11:406 a b
HSET {cred}:thousandeyes:credential:11:407 a b
HSET {cred}:thousandeyes:credential:11:408 a b
HSET {cred}:thousandeyes:token:sha256(a:b:) subject a@example.com scope 11
HSET {cred}:thousandeyes:token:sha256() subject a@example.com scope 11
HSET {cred}:thousandeyes:token:sha256(empty) subject '' scope 11
HSET {cred}:thousandeyes:token:sha256(sesame) subject a scope 11
HSET {cred}:thousandeyes:members:11 a manage
HSET "{cred}:thousandeyes:members:11" "a@example.com\x00" manage
--- before
redis('registry', 'HSET', '{cred}:thousandeyes:token:' . sha256("secret\n"),
      'subject', 'a@example.com', 'scope', '11');
redis('registry', 'HSET', '{cred}:thousandeyes:token:' . sha256('open'),
      'subject', "a\@example.com\0", 'scope', '11');
--- script
my $path = '/v6/credentials/405/delete.json';
my $good = MIME::Base64::encode_base64('a@example.com:secret', '');

te("Basic $_", $path, ["Authorization: Basic $_"], 401)
    for '', '=', '==', '====', ':', '!!!!', 'YQ', "=$good", "$good=",
        "$good====", "$good$good", "$good YQ==", "$good,", ($good =~ s/^./!/r),
        ($good =~ s/==?$//r) . 'A', substr($good, 0, 5), "Basic $good",
        'a@example.com:secret', 'secret', "\xc3\xa4";

te("Basic of \"$_\"", $path, [basic($_)], 401)
    for 'a@example.com', 'secret', ':', 'a@example.com:', ':secret', ':empty',
        'b@example.com:secret', 'A@example.com:secret', ' a@example.com:secret',
        'a@example.com:secret ', "a\@example.com:secret\n",
        "a\@example.com\0:open", 'a@example.com:Secret',
        'secret:a@example.com', 'a@example.com:unknown',
        'a@example.com::secret', 'a@example.com:sesame',
        'a@example.com:' . sha256('secret'), 'a:secret', "\xff:secret";

te('missing', $path, [], 401);
te('empty', $path, ['Authorization:'], 401);
te('the header of another API', $path, ['X-Auth-Token: secret'], 401);

te('in lower case', '/credentials/405/delete',
   ["authorization: basic   $good "], 204);
te('a password with colons', '/credentials/406/delete',
   [basic('a@example.com:a:b:')], 204);
te('without padding', '/credentials/407/delete',
   ['Authorization: BASIC ' . ($good =~ s/=+$//r)], 204);
te('one letter', '/credentials/408/delete', [basic('a:sesame')], 204);



=== TEST 5: Bearer
--- registry
HSET {cred}:thousandeyes:credential:11:405 a b
HSET {cred}:thousandeyes:credential:11:406 a b
HSET {cred}:thousandeyes:token:sha256(a@example.com:secret) subject a@example.com enabled 0
HSET {cred}:thousandeyes:token:sha256() subject a@example.com scope 11
--- script
my $path = '/v6/credentials/405/delete.json';
my $login = MIME::Base64::encode_base64('a@example.com:secret', '');

te("\"$_\"", $path, ["Authorization: $_"], 401)
    for 'Bearer', 'Bearer unknown', 'Bearer a@example.com:secret',
        "Bearer $login", 'Bearer secret secret', 'secret', 'Token secret',
        'Bearersecret', 'Bearer Secret', 'Bearer "secret"', 'Digest secret';

te('Bearer', $path, ['Authorization: Bearer secret'], 204);
te('in lower case', '/credentials/406/delete', ['AUTHORIZATION: bearer secret'],
   204);

my $got = call('POST', $path, ['Authorization: Bearer secret',
                               basic('a@example.com:secret')], '');
like($got->{status}, qr/^40[01]$/, 'repeated: nginx lets no second one in');



=== TEST 6: tokens that are no longer valid
--- registry
HSET {cred}:thousandeyes:credential:11:405 a b
HSET {cred}:thousandeyes:token:sha256(disabled) subject a@example.com scope 11 enabled 0
HSET {cred}:thousandeyes:token:sha256(expired) subject a@example.com scope 11 expires_at 1700000000
HSET {cred}:thousandeyes:token:sha256(current) subject a@example.com scope 11 expires_at 9999999999
--- script
my $path = '/v6/credentials/405/delete.json';

for (qw(disabled expired)) {
    te("Basic, $_", $path, [basic("a\@example.com:$_")], 401);
    te("Bearer, $_", $path, ["Authorization: Bearer $_"], 401);
}

te('current', $path, [basic('a@example.com:current')], 204);



=== TEST 7: account groups
--- registry
HSET {cred}:thousandeyes:credential:11:405 a b
HSET {cred}:thousandeyes:credential:22:405 a b
HSET {cred}:thousandeyes:credential:33:405 a b
HSET {cred}:thousandeyes:credential:44:405 a b
HSET {cred}:thousandeyes:credential:99999999999999999999999999999999:405 a b
HSET {cred}:thousandeyes:scope:22 rate_limit 100
HSET {cred}:thousandeyes:members:22 a@example.com manage
HSET {cred}:thousandeyes:scope:33 name foreign
HSET {cred}:thousandeyes:members:33 b@example.com manage
HSET {cred}:thousandeyes:members:44 a@example.com manage
HSET {cred}:thousandeyes:token:sha256(homeless) subject a@example.com
SET {cred}:thousandeyes:rate:22 0 EX 60
--- script
my $path = '/v6/credentials/405/delete.json';
my $secret = ['Authorization: Bearer secret'];

te("?$_", "$path?$_", $secret, 'aid')
    for 'aid', 'aid=', 'aid=-11', 'aid=+11', 'aid=%2011', 'aid=11%20',
        'aid=1' . '1' x 29, 'aid=' . '9' x 32, 'aid=0', 'aid=011', 'aid=011&x',
        'aid=11&aid=11', 'aid=11&aid=22', 'aid=22&x=y&aid=', 'aid=&aid=11',
        'aid=11&%61id=11', 'aid=11&aid', 'aid=11,22', 'aid=11;x', 'aid=11.0',
        'aid=0x11', 'aid=eleven', 'aid=1%', 'aid=1%0', 'aid=11%zz',
        'aid=11%00', 'aid==11', 'aid=%D9%A1', 'aid=33', 'aid=44', 'aid=55',
        'x&aid=33', 'aid=' . '1' x 4000;

te('no home', $path, ['Authorization: Bearer homeless'], 'aid');

is(redis('registry', 'EXISTS', '{cred}:thousandeyes:rate:11'), 0,
   'none of them was counted');

te('the token\'s own', $path, $secret, 204);
te("?$_ is none", "$path?$_", $secret, 404)
    for '', 'x=y', 'AID=33', 'aids=33', 'xaid=33', 'x=aid=33', '%=1', '&&=&',
        'aid%3D33', 'x%26aid=33';
te("?$_", "$path?$_", ['Authorization: Bearer homeless'], 404)
    for 'aid=11', 'x=y&aid=11&z', '&aid=11&', '%61i%64=%31%31', 'aid=1%31',
        '%zz=1&aid=11';

te_answer('another one', call('POST', "$path?aid=22", $secret, ''), 204,
          '100 99');
te_answer('once', call('POST', "$path?aid=22", $secret, ''), 404, '100 98');
--- redis_check
KEYS {cred}:thousandeyes:credential:*:405 => {cred}:thousandeyes:credential:33:405 {cred}:thousandeyes:credential:44:405 {cred}:thousandeyes:credential:99999999999999999999999999999999:405
KEYS {cred}:thousandeyes:rate:* =~ ^({cred}:thousandeyes:rate:11 )?{cred}:thousandeyes:rate:22$



=== TEST 8: rights
--- registry
HSET {cred}:thousandeyes:credential:11:405 a b
HSET {cred}:thousandeyes:token:sha256(odd) subject odd@example.com scope 11
HSET {cred}:thousandeyes:members:11 odd@example.com managed
--- script
te('view only', '/v6/credentials/405/delete.json',
   [basic('reader@example.com:reader')], 403);
te('view only, no such credential', '/v6/credentials/406/delete.json',
   ['Authorization: Bearer reader'], 403);
te('another word', '/v6/credentials/405/delete.json',
   ['Authorization: Bearer odd'], 403);
--- redis_check
EXISTS {cred}:thousandeyes:credential:11:405 => 1



=== TEST 9: bodies
--- script
te_body('none', 204);
te_body('null', 204, 'null');
te_body('an empty object', 204, '{}');
te_body("blank: $_->[0]", 204, $_->[1])
    for ['space', ' '], ['line end', "\r\n"], ['tab', "\t"],
        ['in an object', "{ \n\t}"], ['around an object', " {} \n"],
        ['around null', "\nnull\r\n"], ['1024 bytes', ' ' x 1024],
        ['null and 1024 bytes', 'null' . ' ' x 1020],
        ['1024 bytes in an object', '{' . ' ' x 1022 . '}'];
te_body('of a form', 204, '',
        'Content-Type: application/x-www-form-urlencoded');

te_body(length > 20 ? length() . ' bytes' : $_, 'body', $_)
    for '{"a":1}', '[]', '""', '0', 'false', '{}{}', '{}null', 'nullnull',
        'nul', 'nulll', 'NULL', 'n ull', 'null{}', '{', '}', '}{', '{}}',
        '{} {}', '{ null }', "\0", "{\0}", "\x0b", "\xef\xbb\xbf", "\xc2\xa0",
        'x' x 1024, ' ' x 1025, ' ' x 2048, 'null' . ' ' x 1021,
        '{"a":"' . 'x' x 2040 . '"}', 'x' x 100_000;



=== TEST 10: chunked, in parts, expected
--- script
my $chunked = 'Transfer-Encoding: chunked';

te_parts('no chunk', 204, $chunked, "0\r\n\r\n");
te_parts('null in a chunk', 204, $chunked, "4\r\nnull\r\n0\r\n\r\n");
te_parts('chunks of one byte', 204, $chunked, chunks('{ }', 1));
te_parts('1024 bytes in chunks', 204, $chunked, chunks(' ' x 1024, 512));
te_parts('something in chunks', 'body', $chunked, chunks('{"a":1}', 3));
te_parts('1025 bytes in chunks', 'body', $chunked, chunks(' ' x 1025, 600));
te_parts('100000 bytes in chunks', 'body', $chunked, chunks(' ' x 1e5, 5e4));

te_parts('two parts', 204, 'Content-Length: 4', 'nu', 'll');
te_parts('two parts of too much', 'body', 'Content-Length: 2048',
         (' ' x 1024) x 2);

te_parts("expected, $_->[0] bytes", $_->[1],
         "Expect: 100-continue\r\nContent-Length: $_->[0]", ' ' x $_->[0])
    for [2, 204], [1024, 204], [2048, 'body'];
te_parts('expected and in chunks', 204, "Expect: 100-continue\r\n$chunked",
         chunks('null', 2));

redis('registry', 'HSET', '{cred}:thousandeyes:credential:11:405', 'a', 'b');
te('neither a length nor chunks', '/credentials/405/delete',
   ['Authorization: Bearer secret'], 204);



=== TEST 11: bodies in files
--- config
client_body_in_file_only  on;
client_body_temp_path     $TEST_NGINX_DIR/bodies;

location / {
    cred_registry     $TEST_NGINX_REGISTRY;
    cred_delete       thousandeyes;
    proxy_pass        http://127.0.0.1:$TEST_NGINX_PORT;
    proxy_set_header  Host backend;
}
--- script
te_body('none', 204, '');
te_body('null', 204, 'null');
te_body('1024 bytes', 204, ' ' x 1024);
te_body('something', 'body', '{"a":1}');
te_body('2048 bytes', 'body', ' ' x 2048);
te_parts('two parts', 204, 'Content-Length: 4', 'nu', 'll');
te_parts('chunks', 204, 'Transfer-Encoding: chunked', chunks('{   }', 2));
te_parts('something in chunks', 'body', 'Transfer-Encoding: chunked',
         chunks('{"a":1}', 2));
te_parts('2048 bytes in chunks', 'body', 'Transfer-Encoding: chunked',
         chunks(' ' x 2048, 1024));

my @files = glob temp_dir() . '/bodies/*';
cmp_ok(scalar(@files), '>=', 6, 'there are files');



=== TEST 12: a small buffer
--- config
client_body_buffer_size  8;

location / {
    cred_registry     $TEST_NGINX_REGISTRY;
    cred_delete       thousandeyes;
    proxy_pass        http://127.0.0.1:$TEST_NGINX_PORT;
    proxy_set_header  Host backend;
}
--- script
te_body('null', 204, 'null');
te_body('12 bytes', 204, '{' . ' ' x 10 . '}');
te_body('1024 bytes', 204, 'null' . ' ' x 1020);
te_body('something', 'body', '        {"a":1}        ');
te_parts('two parts, more than the buffer', 204, 'Content-Length: 24',
         ' ' x 10, 'null' . ' ' x 10);
te_parts('chunks', 204, 'Transfer-Encoding: chunked', chunks(' ' x 1024, 100));
te_parts('something in chunks', 'body', 'Transfer-Encoding: chunked',
         chunks(' ' x 100 . 'x', 30));



=== TEST 13: HTTP/2
--- config
listen $TEST_NGINX_H2_PORT http2;

location / {
    cred_registry  $TEST_NGINX_REGISTRY;
    cred_delete    thousandeyes;
}
--- registry
HSET {cred}:thousandeyes:credential:11:405 a b
--- script
my $url = "http://127.0.0.1:$ENV{TEST_NGINX_H2_PORT}"
          . '/v6/credentials/405/delete.json';

# curl may give up on an answer that comes before all of the body is sent

for ([400, '{"a":1}'], [400, ' ' x 2048], [204, '{}'], [404, '']) {
    my ($status, $body) = @$_;
    my $file = temp_dir() . '/body';

    open my $out, '>', $file;
    print $out $body;
    close $out;

    my @request = ('-d', $file, '-H', basic('a@example.com:secret'), $url);
    open my $in, '-|', 'nghttp', '-nv', @request;
    my %got = map { /recv \(stream_id=\d+\) (:status|content-type): (.*)/ } <$in>;

    is($got{':status'}, $status, "status $status");
    is($got{'content-type'}, 'application/json;charset=UTF-8',
       "status $status: Content-Type");
}



=== TEST 14: 240 requests a minute
--- registry
SET {cred}:thousandeyes:rate:11 237 EX 60
HSET {cred}:thousandeyes:credential:11:405 a b
HSET {cred}:thousandeyes:credential:11:406 a b
--- script
my $secret = ['Authorization: Bearer secret'];
my $reader = ['Authorization: Bearer reader'];
my $key = '{cred}:thousandeyes:rate:11';

my $counted = sub {
    my ($name, $id, $headers, $wanted, $rate) = @_;
    te_answer($name, call('POST', "/v6/credentials/$id/delete.json", $headers,
                          ''), $wanted, $rate);
};

$counted->('the 238th', 404, $secret, 404, '240 2');
$counted->('the 239th', 405, $reader, 403, '240 1');
$counted->('a bad token', 405, [], 401);
$counted->('the 240th', 405, $secret, 204, '240 0');
$counted->('the 241st', 406, $secret, 429, '240 0');
$counted->('the 242nd, by another member', 406, $reader, 429, '240 0');

my $got = call('POST', '/v6/credentials/406/delete?aid=x', $secret, '');
te_answer('no account group', $got, 'aid');
$got = call('POST', '/v6/credentials/406/delete', $secret, '1');
te_answer('a body', $got, 'body');

# the minute must not end by itself

sleep 61 - time % 60 if time % 60 > 45;

redis('registry', 'PEXPIRE', $key, 1);
ok(wait_for(sub { !redis('registry', 'EXISTS', $key) }), 'the next minute');

$got = $counted->('the first of the next', 406, $secret, 204, '240 239');
is(redis('registry', 'EXPIRETIME', $key),
   $got->{headers}{'x-organization-rate-limit-reset'}, 'to its end');

$counted->('the second', 406, $secret, 404, '240 238');
is(redis('registry', 'GET', $key), 2, 'counted');
--- redis_check
EXISTS {cred}:thousandeyes:credential:11:406 => 0



=== TEST 15: a limit of the account group
--- registry
SET {cred}:thousandeyes:rate:11 0 EX 60
SET {cred}:thousandeyes:rate:22 0 EX 60
HSET {cred}:thousandeyes:scope:11 rate_limit 2
HSET {cred}:thousandeyes:scope:22 rate_limit many
HSET {cred}:thousandeyes:members:22 a@example.com manage
--- script
my $secret = ['Authorization: Bearer secret'];

my $counted = sub {
    my ($name, $query, $wanted, $rate) = @_;
    te_answer($name, call('POST', "/credentials/405/delete$query", $secret, ''),
              $wanted, $rate);
};

$counted->('the first', '', 404, '2 1');
$counted->('the second', '?aid=11', 404, '2 0');
$counted->('the third', '', 429, '2 0');
$counted->('another account group', '?aid=22', 404, '240 239');

redis('registry', 'HSET', '{cred}:thousandeyes:scope:11', 'rate_limit', 1000);
$counted->('a higher one', '', 404, '1000 996');

redis('registry', 'HSET', '{cred}:thousandeyes:scope:11', 'rate_limit', 0);
$counted->('none at all', '', 429, '0 0');



=== TEST 16: at once
--- registry
HSET {cred}:thousandeyes:scope:11 rate_limit 5
SET {cred}:thousandeyes:rate:11 0 EX 60
--- script
my $request = "POST /credentials/405/delete HTTP/1.1\r\nHost: localhost\r\n"
              . "Authorization: Bearer secret\r\nContent-Length: 0\r\n\r\n";
my @got = http_many(($request) x 20);
is(scalar(grep { / 404 Not Found/ } @got), 5, 'five');
is(scalar(grep { /^HTTP\S+ 429 / } @got), 15, 'and no more');



=== TEST 17: the order of the checks
--- registry
HSET {cred}:thousandeyes:scope:11 rate_limit 1
HSET {cred}:thousandeyes:credential:11:405 a b
SET {cred}:thousandeyes:rate:11 1 EX 60
--- script
my $ask = sub {
    my ($name, $query, $token, $body, $wanted, $rate) = @_;
    te_answer($name, call('POST', "/credentials/405/delete$query",
                          [basic($token)], $body), $wanted, $rate);
};

$ask->('token before body', '?aid=x', 'a@example.com:x', 'x', 401);
$ask->('a malformed one too', '?aid=x', 'a@example.com', 'x', 401);
$ask->('body before aid', '?aid=x', 'a@example.com:secret', 'x', 'body');
$ask->('aid before rate', '?aid=12', 'a@example.com:secret', '', 'aid');
$ask->('rate before right', '', 'reader@example.com:reader', '', 429, '1 0');

redis_stop('registry');
$ask->('a malformed token needs no registry', '', 'a@example.com', '', 401);
$ask->('a body does', '', 'a@example.com:secret', 'x', 503);
$ask->('unreachable', '', 'a@example.com:secret', '', 503);



=== TEST 18: a count that does not expire is none of this minute
--- registry
SET {cred}:thousandeyes:rate:11 240
--- script
my $secret = ['Authorization: Bearer secret'];
my $key = '{cred}:thousandeyes:rate:11';

my $counted = sub {
    my ($name, $wanted, $rate) = @_;
    te_answer($name, call('POST', '/v6/credentials/405/delete.json', $secret,
                          ''), $wanted, $rate);
};

# the minute must not end meanwhile

sleep 61 - time % 60 if time % 60 > 45;

$counted->('restored without its end', 404, '240 239');
my $ttl = redis('registry', 'TTL', $key);
ok($ttl > 0 && $ttl <= 60, 'it has one now') or diag($ttl);
$counted->('and it is counted on', 404, '240 238');

redis('registry', 'PERSIST', $key);
$counted->('made to stay', 404, '240 239');
is(redis('registry', 'GET', $key), 1, 'counted anew');

redis('registry', 'SET', $key, '240', 'EX', 60);
$counted->('one that expires', 429, '240 0');



=== TEST 19: limits that are no plain numbers are the usual one
--- script
my $secret = ['Authorization: Bearer secret'];

for my $limit ('inf', '-inf', 'nan', '-5', '0x10', '1e3', '2.5', ' 3', '', 'x',
               '9' x 10, '9' x 400)
{
    redis('registry', 'HSET', '{cred}:thousandeyes:scope:11', 'rate_limit',
          $limit);
    redis('registry', 'SET', '{cred}:thousandeyes:rate:11', 2, 'EX', 600);
    te_answer('"' . substr($limit, 0, 16) . '"',
              call('POST', '/v6/credentials/405/delete.json', $secret, ''),
              404, '240 237');
}
