# deepset: DELETE /api/v1/infrastructure/file_stores/{credentials_id}

use CredTest;
use CredTest::Answer;

sub deepset {
    my ($name, $id, $headers, $status, $body) = @_;

    my %detail = (
        400 => "We couldn't delete the specified S3 credentials because they "
               . 'are currently in use. Delete all workspaces which use these '
               . 'credentials and try again.',
        401 => 'Invalid authentication credentials',
        404 => "We couldn't find the specified S3 bucket credentials. Use the "
               . "endpoint 'list_available_s3_buckets' to check the S3 bucket "
               . 'credentials that exist in your organization.',
        503 => 'Service Unavailable',
    );

    my $got = call('DELETE', "/api/v1/infrastructure/file_stores/$id",
                   ref $headers ? $headers
                                : ["Authorization: Bearer $headers"]);

    is_answer($got, 204, ['Cred-Operation: HEX'], '', $name), return $got
        if $status == 204;

    is_answer($got, $status,
              ['Content-Type: application/json',
               $status == 401 ? 'WWW-Authenticate: Bearer' : (),
               $status == 503 ? 'Retry-After: 1' : ()],
              $body // qq({"detail":"$detail{$status}"}), $name);

    return $got;
}

# a spelling that is not accepted; it is answered as given

sub misspelt {
    my ($id, $error, $given) = @_;

    my ($input, $text) = map { s/(["\\])/\\$1/gr } $given // $id, $error;

    deepset("no UUID: $id", percent($id), 'alice', 422,
            '{"detail":[{"type":"uuid_parsing",'
            . '"loc":["path","credentials_id"],'
            . qq("msg":"Input should be a valid UUID, $text",)
            . qq("input":"$input","ctx":{"error":"$text"}}]}));
}

# a spelling that is accepted

sub spelling {
    my ($id, $canonical, $sent) = @_;

    my $key = "{cred}:deepset:credential:acme:$canonical";

    redis('registry', 'HSET', $key, 'owner', 'alice');
    redis('registry', 'SADD', '{cred}:deepset:credentials:acme', $canonical);

    deepset("UUID: $id", $sent // percent($id), 'alice', 204);
    is(redis('registry', 'EXISTS', $key), 0, "deleted: $canonical");
    is(redis('registry', 'SCARD', '{cred}:deepset:credentials:acme'), 0,
       'and off the index');
}

sub character {
    'invalid character: expected an optional prefix of `urn:uuid:` followed by '
    . "[0-9a-fA-F-], found `$_[0]` at $_[1]";
}

sub group {
    "invalid group length in group $_[0]: expected $_[1], found $_[2]";
}

sub count { "invalid group count: expected 5, found $_[0]" }

sub simple {
    "invalid length: expected length 32 for simple format, found $_[0]";
}

defaults(http_config => backend(), config => <<'END', registry => <<'END');
location / {
    cred_registry     $TEST_NGINX_REGISTRY;
    cred_delete       deepset;
    cred_strict       off;
    proxy_pass        http://127.0.0.1:$TEST_NGINX_PORT;
    proxy_set_header  Host backend;
}
END
HSET {cred}:deepset:token:sha256(alice) subject alice scope acme
HSET {cred}:deepset:token:sha256(bob) subject bob scope other
END

no_root_location();
run_tests();

__DATA__

=== TEST 1: deleted
--- registry
SADD {cred}:deepset:credentials:acme 7f3c1c0e-3c1b-4a51-9d0e-0b0f8f2f6a11 00000000-0000-0000-0000-000000000000
HSET {cred}:deepset:credential:acme:7f3c1c0e-3c1b-4a51-9d0e-0b0f8f2f6a11 owner alice
SADD {cred}:deepset:grants:acme:7f3c1c0e-3c1b-4a51-9d0e-0b0f8f2f6a11 BUCKET:documents
HSET {cred}:deepset:credential:acme:00000000-0000-0000-0000-000000000000 owner bob
--- script
deepset('deleted', '7f3c1c0e-3c1b-4a51-9d0e-0b0f8f2f6a11', 'alice', 204);
deepset('once', '7f3c1c0e-3c1b-4a51-9d0e-0b0f8f2f6a11', 'alice', 404);
deepset('not the owner, who does not matter',
        '00000000-0000-0000-0000-000000000000?x=y', 'alice', 204);
deepset('unknown', '00000000-0000-0000-0000-000000000000', 'alice', 404);
--- redis_check
KEYS {cred}:deepset:* => {cred}:deepset:token:sha256(alice) {cred}:deepset:token:sha256(bob)



=== TEST 2: organizations
--- registry
HSET {cred}:deepset:credential:acme:7f3c1c0e-3c1b-4a51-9d0e-0b0f8f2f6a11 owner bob
HSET {cred}:deepset:token:sha256(homeless) subject alice
--- script
my $id = '7f3c1c0e-3c1b-4a51-9d0e-0b0f8f2f6a11';
deepset('of another one', $id, 'bob', 404);
deepset('of none', $id, 'homeless', 404);
--- redis_check
EXISTS {cred}:deepset:credential:acme:7f3c1c0e-3c1b-4a51-9d0e-0b0f8f2f6a11 => 1



=== TEST 3: in use
--- registry
HSET {cred}:deepset:credential:acme:7f3c1c0e-3c1b-4a51-9d0e-0b0f8f2f6a11 owner alice
SADD {cred}:deepset:grants:acme:7f3c1c0e-3c1b-4a51-9d0e-0b0f8f2f6a11 BUCKET:documents
SADD {cred}:deepset:uses:acme:7f3c1c0e-3c1b-4a51-9d0e-0b0f8f2f6a11 one two
SADD {cred}:deepset:uses:acme:00000000-0000-0000-0000-000000000000 one
--- script
my $id = '7f3c1c0e-3c1b-4a51-9d0e-0b0f8f2f6a11';
my $uses = "{cred}:deepset:uses:acme:$id";

deepset('by two workspaces', $id, 'alice', 400);
deepset('in another spelling', '%7B' . uc($id) . '%7D', 'alice', 400);
redis('registry', 'SREM', $uses, 'one');
deepset('by one', $id, 'alice', 400);
is(redis('registry', 'SCARD', "{cred}:deepset:grants:acme:$id"), 1, 'kept');
deepset('of another organization', $id, 'bob', 404);
deepset('in use, but not there', '00000000-0000-0000-0000-000000000000',
        'alice', 404);
redis('registry', 'SREM', $uses, 'two');
deepset('by none', $id, 'alice', 204);



=== TEST 4: tokens
--- registry
HSET {cred}:deepset:credential:acme:7f3c1c0e-3c1b-4a51-9d0e-0b0f8f2f6a11 owner alice
HSET {cred}:deepset:token:sha256(disabled) subject alice scope acme enabled 0
HSET {cred}:deepset:token:sha256(expired) subject alice scope acme expires_at 1700000000
HSET {cred}:deepset:token:sha256(current) subject alice scope acme expires_at 9999999999 enabled 1
HSET {cred}:deepset:token:sha256() subject alice scope acme
HSET {cred}:deepset:token:sha256(Bearer) subject alice scope acme
HSET {cred}:deepset:token:sha256(YWxpY2U6YWxpY2U=) subject alice scope acme
--- script
my $id = '7f3c1c0e-3c1b-4a51-9d0e-0b0f8f2f6a11';
my $none = '{"detail":"Not authenticated"}';

deepset('no header', $id, [], 401, $none);
deepset("another scheme: \"$_\"", $id, ["Authorization:$_"], 401, $none)
    for '', ' alice', ' Basic YWxpY2U6YWxpY2U=', ' Token alice',
        ' Bearerx alice', ' Bearer=alice', ' Bear alice';
deepset('the header of another API', $id, ['X-Auth-Token: alice'], 401, $none);

deepset("invalid: \"$_\"", $id, ["Authorization: $_"], 401)
    for 'Bearer', 'Bearer unknown', 'bearer ALICE', 'Bearer alice alice',
        'Bearer alice, Bearer alice', "Bearer \xc3\xa4", 'Bearer disabled',
        'Bearer expired', 'Bearer ' . sha256('alice');

# nginx lets no second one through

for my $other ('Bearer alice', 'Basic YTpi') {
    my $got = call('DELETE', "/api/v1/infrastructure/file_stores/$id",
                   ["Authorization: $other", 'Authorization: Bearer alice']);
    like($got->{status}, qr/^40[01]$/, "repeated, the other is $other");
}

deepset('in lower case', $id, ['authorization: bearer   current '], 204);
--- redis_check
EXISTS {cred}:deepset:credential:acme:7f3c1c0e-3c1b-4a51-9d0e-0b0f8f2f6a11 => 0



=== TEST 5: the documented spellings of a UUID
--- script
open my $table, '<:raw', 't/data/uuid-errors.tsv' or die "uuid-errors.tsv: $!";

my $rows = 0;

while (<$table>) {
    chomp;
    my ($result, $id, $text) = split /\t/;
    $result eq 'OK' ? spelling($id, $text) : misspelt($id, $text);
    $rows++;
}

cmp_ok($rows, '>=', 19, 'all lines');



=== TEST 6: more spellings by the same rules
--- script
my $id = '550e8400-e29b-41d4-a716-446655440000';
my $hex = $id =~ tr/-//dr;

spelling($_, $id)
    for uc $id, uc $hex, "{$id}", '{' . uc($id) . '}', 'urn:uuid:' . uc $id,
        '550e8400-E29B-41d4-A716-446655440000';
spelling($_, $_) for '00000000-0000-0000-0000-000000000000',
    'ffffffff-ffff-ffff-ffff-ffffffffffff',
    '01890a5d-ac96-774b-bcce-b302099a8057';
spelling("{$id}", $id, "{$id}");
spelling($hex, $id, $hex =~ s/(.)/sprintf '%%%02x', ord $1/egr);

misspelt($_, character('u', 1)) for 'urn:' . $id, 'uuid:' . $id, 'urn:uuid';
misspelt("URN:UUID:$id", character('U', 1));
misspelt("urn:UUID:$id", character('u', 1));
misspelt("{urn:uuid:$id}", character('u', 2));
misspelt("urn:uuid:{$id}", character('{', 10));
misspelt("$id}", character('}', 37));
misspelt("{{$id}}", character('{', 2));
misspelt(" $id", character(' ', 1));
misspelt("$id+", character('+', 37));
misspelt($hex =~ s/^./g/r, character('g', 1));
misspelt($hex =~ s/.$/G/r, character('G', 32));
misspelt('{' . ($id =~ s/^./g/r) . '}', character('g', 1));
misspelt('{' . ($id =~ s/^./g/r) . '0}', character('g', 2));
misspelt('urn:uuid:' . ($id =~ s/^./g/r) . '0', character('g', 10));
misspelt($id =~ tr/-/_/r, character('_', 9));
misspelt('12"', character('"', 3));
misspelt('1\\2', character('\\', 2));
misspelt('%', character('%', 1));
misspelt(':', character(':', 1));
misspelt('?', character('?', 1));
misspelt('#', character('#', 1));
misspelt('`', character('`', 1));

misspelt("1\xc3\xa4", character("\xc3\xa4", 2));
misspelt("\xd9\xa1", character("\xd9\xa1", 1));
misspelt("12\xe2\x82\xac", character("\xe2\x82\xac", 3));
misspelt("\xe2\x82\xac" . 'g', character("\xe2\x82\xac", 1));
misspelt("-\xf0\x9f\x94\x91", character("\xf0\x9f\x94\x91", 2));
misspelt(($hex =~ s/..$//r) . "\xc3\xa4", character("\xc3\xa4", 31));
misspelt("{\xc3\xa4}", character("\xc3\xa4", 2));
misspelt("urn:uuid:\xc3\xa4", character("\xc3\xa4", 10));

# no UTF-8: U+FFFD

my $odd = "\xef\xbf\xbd";
misspelt("1\xff", character($odd, 2), "1$odd");
misspelt("\xc3", character($odd, 1), $odd);
misspelt("\xe2\x82(", character($odd, 1), "$odd(");
misspelt("\xed\xa0\x80", character($odd, 1), $odd x 3);
misspelt("\xc0\xaf", character($odd, 1), $odd x 2);

misspelt('0', simple(1));
misspelt('0' x 31, simple(31));
misspelt('a' x 36, simple(36));
misspelt('{' . 'a' x 36 . '}', simple(36));
misspelt('a' x 512, simple(512));

misspelt('-', count(2));
misspelt('{}', count(1));
misspelt('{' . 'a' x 31 . '}', count(1));
misspelt("urn:uuid:$hex", count(1));
misspelt('----' . '-', count(6));
misspelt('-' x 512, count(513));
misspelt('550e8400-e29b-41d4-a716446655440000', count(4));

misspelt('----', group(0, 8, 0));
misspelt('550e840-e29b-41d4-a716-446655440000', group(0, 8, 7));
misspelt('550e84000-e29b-41d4-a716-446655440000', group(0, 8, 9));
misspelt('550e8400-e29-41d4-a716-446655440000', group(1, 4, 3));
misspelt('550e8400-e29b--a716-446655440000', group(2, 4, 0));
misspelt('550e8400-e29b-41d4-a7166-44665544000', group(3, 4, 5));
misspelt('550e8400-e29b-41d4-a716-44665544000', group(4, 12, 11));
misspelt('550e8400-e29b-41d4-a716-', group(4, 12, 0));
misspelt('{550e8400-e29b-41d4-a716-4466554400000}', group(4, 12, 15));
misspelt("urn:uuid:${id}0", group(4, 12, 22));



=== TEST 7: sent without percent-encoding
--- script
my $id = '550e8400-e29b-41d4-a716-446655440000';

for (['{', '{'], ["\xc3\xa9", "\xc3\xa9"], ['"', '\\"'], ['|', '|']) {
    my $error = character($_->[1], 37);
    deepset("as it is: $_->[0]", $id . $_->[0], 'alice', 422,
            '{"detail":[{"type":"uuid_parsing",'
            . '"loc":["path","credentials_id"],'
            . qq("msg":"Input should be a valid UUID, $error",)
            . qq("input":"$id$_->[1]","ctx":{"error":"$error"}}]}));
}



=== TEST 8: ids that no credential can have
--- script
deepset('513 bytes', 'a' x 513, 'alice', 404);
deepset('2000 bytes of three', '%20' x 2000, 'alice', 404);
deepset("control character $_", "550e8400-e29b-41d4-a716-44665544000%$_",
        'alice', 404) for qw(01 09 0A 0D 1F 7F);



=== TEST 9: the order of the checks
--- registry
HSET {cred}:deepset:credential:acme:7f3c1c0e-3c1b-4a51-9d0e-0b0f8f2f6a11 owner alice
--- script
deepset('token before UUID', '123', 'unknown', 401);
deepset('a missing token before UUID', '123', [], 401,
        '{"detail":"Not authenticated"}');
redis_stop('registry');
deepset('a missing token needs no registry', '123', [], 401,
        '{"detail":"Not authenticated"}');
deepset('a misspelt UUID does', '123', 'alice', 503);
deepset('unreachable', '7f3c1c0e-3c1b-4a51-9d0e-0b0f8f2f6a11', 'alice', 503);



=== TEST 10: what is no delete of credentials
--- registry
HSET {cred}:deepset:credential:acme:7f3c1c0e-3c1b-4a51-9d0e-0b0f8f2f6a11 owner alice
--- script
my $path = '/api/v1/infrastructure/file_stores';
my $id = '7f3c1c0e-3c1b-4a51-9d0e-0b0f8f2f6a11';

for ("$path/$id/", "$path/$id%2F", "$path/$id/x", "$path/", $path,
     "/x$path/$id", "/api/v1/infrastructure/document_stores/$id",
     "/api/v2/infrastructure/file_stores/$id",
     "/API/v1/infrastructure/file_stores/$id")
{
    is(call('DELETE', $_, ['Authorization: Bearer alice'])->{body},
       "backend: DELETE $_", "declined: $_");
}

for (qw(GET POST PUT PATCH)) {
    is(call($_, "$path/$id", ['Authorization: Bearer alice'])->{body},
       "backend: $_ $path/$id", "declined: $_");
}
--- redis_check
EXISTS {cred}:deepset:credential:acme:7f3c1c0e-3c1b-4a51-9d0e-0b0f8f2f6a11 => 1
