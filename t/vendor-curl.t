# The calls of the vendors' pages, letter by letter but for host and token, do
# what the pages say.  Where a page has no curl call of its own, it is made of
# the request and the parameters that the page shows.

use CredTest;
use JSON::PP ();

# runs a call in a shell, with the host replaced

sub shell {
    my ($call) = @_;

    $call =~ s{https://[\w.]+}{http://127.0.0.1:$ENV{TEST_NGINX_PORT}} or die;

    # the status line is wanted where the page does not ask for it

    open my $rc, '>', temp_dir() . '/.curlrc' or die "curlrc: $!";
    print $rc "silent\nshow-error\ninclude\nmax-time = 10\n";
    close $rc;

    local $ENV{CURL_HOME} = temp_dir();
    delete local @ENV{grep { /_proxy$/i } keys %ENV};

    open my $out, '-|', 'sh', '-c', $call or die "sh: $!";
    local $/;
    return http_parse(<$out> // '');
}

sub body { JSON::PP::decode_json($_[0]{body}) }

defaults(config => <<'END', registry => <<'END');
cred_registry  $TEST_NGINX_REGISTRY;
cred_delete    apinizer iam deepset thousandeyes alloy;
END
HSET {cred}:environments production $TEST_NGINX_PRODUCTION
END

run_tests();

__DATA__

=== TEST 1: apinizer
--- registry
HSET {cred}:apinizer:token:sha256(ours) subject alice
HSET {cred}:apinizer:scope:MyProject name x
HSET {cred}:apinizer:members:MyProject alice manage
SADD {cred}:apinizer:credentials:MyProject api-user
HSET {cred}:apinizer:credential:MyProject:api-user owner alice
SADD {cred}:apinizer:grants:MyProject:api-user API_PROXY:orders API_PROXY_GROUP:partners
--- production
HSET {cred}:apinizer:credential:MyProject:api-user owner alice
SADD {cred}:apinizer:grants:MyProject:api-user API_PROXY:orders API_PROXY_GROUP:partners
--- script
my $call = <<'END' =~ s/YOUR_TOKEN/ours/r;
curl -X DELETE \
  "https://demo.apinizer.com/apiops/projects/MyProject/credentials/api-user/" \
  -H "Authorization: Bearer YOUR_TOKEN"
END

my $got = shell($call =~ s/ours/bad/r);
is($got->{status}, 401, 'Unauthorized');
is_deeply(body($got), JSON::PP::decode_json(<<'END'), 'an invalid token');
{
  "error": "unauthorized_client",
  "error_description": "Invalid token"
}
END

redis('registry', 'HDEL', '{cred}:apinizer:members:MyProject', 'alice');
$got = shell($call);
is($got->{status}, 404, 'Not Found');
is_deeply(body($got), JSON::PP::decode_json(<<'END'), 'no privilege');
{
  "error": "not_found",
  "error_description": "Project(MyProject) was not found or user does not have privilege to access it!"
}
END

redis('registry', 'HSET', '{cred}:apinizer:members:MyProject', 'alice',
      'manage');
$got = shell($call);
is($got->{status}, 200, 'Success');
is_deeply(body($got), JSON::PP::decode_json(<<'END'), 'deleted and undeployed');
{
  "success": true,
  "deploymentResult": {
    "success": true,
    "message": "Undeployment completed successfully",
    "environmentResults": [
      {
        "environmentName": "production",
        "success": true,
        "message": "Undeployed successfully"
      }
    ]
  }
}
END

$got = shell($call);
is($got->{status}, 400, 'Bad Request');
is_deeply(body($got), JSON::PP::decode_json(<<'END'), 'it must exist');
{
  "error": "bad_request",
  "error_description": "Credential (username: api-user) was not found!"
}
END
--- redis_check
KEYS {cred}:apinizer:credential* =>
KEYS {cred}:apinizer:grants* =>
production: KEYS {cred}:apinizer:* => {cred}:apinizer:tombstone:MyProject:api-user



=== TEST 2: iam
--- registry
HSET {cred}:iam:token:sha256(user) subject alice scope domain-1
HSET {cred}:iam:token:sha256(admin) subject root scope domain-1 roles secu_admin
SADD {cred}:iam:credentials:domain-1 LOSZM4YRVLKOY9E8X5VI LOSZM4YRVLKOY9E8X5VJ
HSET {cred}:iam:credential:domain-1:LOSZM4YRVLKOY9E8X5VI owner alice
HSET {cred}:iam:credential:domain-1:LOSZM4YRVLKOY9E8X5VJ owner bob
--- script
my $call = <<'END' =~ s/\{access_key\}/LOSZM4YRVLKOY9E8X5VI/r;
curl -X DELETE https://sample.domain.com/v3.0/OS-CREDENTIAL/credentials/{access_key} \
  -H "Content-Type: application/json;charset=utf8" \
  -H "X-Auth-Token: user"
END

is(shell($call =~ s/user/bad/r)->{status}, 401, 'authentication failed');

my $other = $call =~ s/5VI/5VJ/r;
is(shell($other)->{status}, 403, 'access denied');
is(shell($other =~ s/user/admin/r)->{status}, 204, 'an administrator');

is(shell($call =~ s/5VI/5V-I/r)->{status}, 400, 'a bad request');

my $got = shell($call);
is($got->{status}, 204, 'the access key is deleted successfully');
is($got->{body}, '', 'no parameters in the response');

is(shell($call)->{status}, 404, 'cannot be found');

redis_stop('registry');
is(shell($call)->{status}, 500, 'an internal server error');
redis_start('registry');



=== TEST 3: deepset
--- registry
HSET {cred}:deepset:token:sha256(ours) subject alice scope acme
SADD {cred}:deepset:credentials:acme 3fa85f64-5717-4562-b3fc-2c963f66afa6
HSET {cred}:deepset:credential:acme:3fa85f64-5717-4562-b3fc-2c963f66afa6 a b
SADD {cred}:deepset:uses:acme:3fa85f64-5717-4562-b3fc-2c963f66afa6 workspace
--- script
my $call = <<'END' =~ s/<token>/ours/r;
curl -L -X DELETE 'https://api.cloud.deepset.ai/api/v1/infrastructure/file_stores/:credentials_id' \
-H 'Authorization: Bearer <token>'
END

my $got = shell($call);
is($got->{status}, 422, 'a validation error');
my ($error) = @{ body($got)->{detail} };
is_deeply([ map { ref $error->{$_} } qw(loc msg type ctx) ],
          [ 'ARRAY', '', '', 'HASH' ], 'of the documented form');
is_deeply($error->{loc}, [ 'path', 'credentials_id' ], 'and place');
is($error->{input}, ':credentials_id', 'for what was sent');

$call =~ s/:credentials_id/3fa85f64-5717-4562-b3fc-2c963f66afa6/;

$got = shell($call);
is($got->{status}, 400, 'in use');
is(body($got)->{detail}, "We couldn't delete the specified S3 credentials "
   . 'because they are currently in use. Delete all workspaces which use these '
   . 'credentials and try again.', 'as documented');

redis('registry', 'DEL',
      '{cred}:deepset:uses:acme:3fa85f64-5717-4562-b3fc-2c963f66afa6');

$got = shell($call);
is($got->{status}, 204, 'credentials to your own S3 bucket deleted');
is($got->{body}, '', 'without a body');

$got = shell($call);
is($got->{status}, 404, 'not found');
is(body($got)->{detail}, "We couldn't find the specified S3 bucket credentials."
   . " Use the endpoint 'list_available_s3_buckets' to check the S3 bucket "
   . 'credentials that exist in your organization.', 'as documented');



=== TEST 4: thousandeyes
--- registry
HSET {cred}:thousandeyes:token:sha256(g351mw5xqhvkmh1vq6zfm51c62wyzib2) subject noreply@thousandeyes.com scope 11
HSET {cred}:thousandeyes:scope:11 name x
HSET {cred}:thousandeyes:members:11 noreply@thousandeyes.com manage
SADD {cred}:thousandeyes:credentials:11 405
HSET {cred}:thousandeyes:credential:11:405 a b
SET {cred}:thousandeyes:rate:11 3 EX 60
--- script
my $call = <<'END';
curl -i https://api.thousandeyes.com/v6/credentials/405/delete.json \
  -d '' \
  -H "Content-Type: application/json" \
  -u noreply@thousandeyes.com:g351mw5xqhvkmh1vq6zfm51c62wyzib2
END

my $got = shell($call =~ s/delete\.json/delete.json?aid=12/r);
is($got->{status}, 400, 'without the user being assigned: an error');

$got = shell($call);
like($got->{text}, qr{^HTTP/1\.1 204 No Content\r\n}, 'deleted');
is($got->{headers}{lc $_->[0]}, $_->[1], $_->[0])
    for ['Content-Type', 'application/json;charset=UTF-8'],
        ['Connection', 'keep-alive'],
        ['Cache-Control', 'no-store'],
        ['X-Organization-Rate-Limit-Limit', 240],
        ['X-Organization-Rate-Limit-Remaining', 236],
        ['X-Content-Type-Options', 'nosniff'];
is($got->{headers}{'x-organization-rate-limit-reset'} % 60, 0,
   'X-Organization-Rate-Limit-Reset');
is($got->{body}, '', 'the body is empty');

is(shell($call =~ s{/v6/}{/}r)->{status}, 404, 'nothing left');
--- redis_check
EXISTS {cred}:thousandeyes:credential:11:405 => 0



=== TEST 5: alloy
--- registry
HSET {cred}:alloy:token:sha256(YOUR_API_KEY) subject acme
HSET {cred}:alloy:scope:6628b1a4d2f3e5a7c9b0d1e2 name x
HSET {cred}:alloy:members:6628b1a4d2f3e5a7c9b0d1e2 acme manage
HSET {cred}:alloy:credential:6628b1a4d2f3e5a7c9b0d1e2:6628b1f0d2f3e5a7c9b0d1f7 a b
--- script
my $call = <<'END' =~ s/\{userId\}/6628b1a4d2f3e5a7c9b0d1e2/r;
curl --request DELETE \
  --url https://production.runalloy.com/users/{userId}/credentials/{credentialId} \
  --header 'Authorization: bearer YOUR_API_KEY' \
  --header 'x-api-version: 2025-09'
END

$call =~ s/\{credentialId\}/6628b1f0d2f3e5a7c9b0d1f7/;

is(shell($call =~ s/ \\\n.*version.*//r)->{status}, 400,
   'the version is required');

my $got = shell($call);
is($got->{status}, 200, 'deleted');
is($got->{headers}{'content-type'}, 'application/json', 'JSON');
is_deeply(body($got), { success => JSON::PP::true() }, 'success');

is(shell($call)->{status}, 404, 'once');
