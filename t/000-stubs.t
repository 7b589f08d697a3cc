# The stubs of management systems themselves, without nginx: that they answer and
# fail as those do, also where it makes fools of their callers.

use CredTest module => 0, redis => [];
use CredTest::Stub;

my $Id = 'a0a0a0a0-0000-4000-8000-00000000000';

# a request as nginx would write it; the answer, parsed

sub ask {
    my ($stub, $method, $target, @headers) = @_;

    my $sock = ref $headers[0] eq 'GLOB' || ref $headers[0] eq 'IO::Socket::INET'
               ? shift @headers : http_open(port => $stub->port);
    my $body = ref $headers[-1] ? ${ pop @headers } : undef;

    push @headers, 'Content-Length: ' . length $body if defined $body;
    print $sock join "\r\n", "$method $target HTTP/1.1", 'Host: stub', @headers,
                '', $body // '';

    return http_parse(http_read($sock, undef, $method));
}

sub says {
    my ($got, $status, $body, $name) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    is("$got->{status} $got->{body}", "$status $body", $name);
}


# Kong

my $kong = stub('Kong', poll => 0.3);
my $path = "/consumers/alice/key-auth/${Id}1";
my $not_found = '{"message":"Not found"}';

$kong->do(add => 'alice', "${Id}1", 'KEY1');
$kong->do(add => 'alice', "${Id}2", 'KEY2');
$kong->do(add => 'bob', "${Id}3", 'KEY3');

is($kong->show('KEY1', $_), 200, "kong: accepted by $_") for qw(gateway gateway-b);
is($kong->show('NONE'), 401, 'kong: an unknown key is not');

says(ask($kong, 'DELETE', "/consumers/alice/key-auth/${Id}3"), 404, $not_found,
     'kong: of another consumer');
says(ask($kong, 'DELETE', "/consumers/carol/key-auth/${Id}1"), 404, $not_found,
     'kong: of no consumer');
says(ask($kong, 'DELETE', "/consumers/alice/keyauth/${Id}1"), 404, $not_found,
     'kong: no such route, in the same words');
says(ask($kong, 'POST', $path), 405, '{"message":"Method not allowed"}',
     'kong: another method');
is(ask($kong, 'GET', $path)->{status}, 200, 'kong: it is there');
is(ask($kong, 'GET', "/key-auths/${Id}1")->{status}, 200, 'kong: whosever it is');
says(ask($kong, 'GET', '/basic-auths?size=1'), 200, '{"data":[],"next":null}',
     'kong: none of another type');
says(ask($kong, 'DELETE', $path), 204, '', 'kong: deleted');
says(ask($kong, 'GET', $path), 404, $not_found, 'kong: it is gone');
says(ask($kong, 'DELETE', $path), 404, $not_found, 'kong: deleted again');
is($kong->show('KEY1'), 401, 'kong: refused by its own node');
ok(wait_for(sub { $kong->show('KEY1', 'gateway-b') == 401 }),
   'kong: by the other one when it has looked');

# one that dies before it tells anybody

is($kong->show('KEY2', $_), 200, "kong: another, accepted by $_")
    for qw(gateway gateway-b);
$kong->lose(dies => 1, on => 'DELETE');
is(ask($kong, 'DELETE', "/consumers/alice/key-auth/${Id}2")->{text}, '',
   'kong: no answer');
is($kong->do(there => "${Id}2"), 0, 'kong: it is gone');
says(ask($kong, 'DELETE', "/consumers/alice/key-auth/${Id}2"), 404, $not_found,
     'kong: and is said to be');
is($kong->show('KEY2'), 200, 'kong: accepted for ever');
says(ask($kong, 'DELETE', '/cache'), 204, '', 'kong: its cache is emptied');
is($kong->show('KEY2'), 401, 'kong: which helps its own node');
is($kong->show('KEY2', 'gateway-b'), 200, 'kong: but no other');

says(ask($kong, 'GET', '/key-auths?size=1'), 200, qq({"data":[{"id":"${Id}3"}],)
     . '"next":null}', 'kong: those that are left');
says(ask($kong, 'GET', "/key-auths/${Id}2"), 404, $not_found, 'kong: not that');
says(ask($kong, 'DELETE', "/key-auths/${Id}2"), 204, '', 'kong: deleted for nothing');
says(ask($kong, 'DELETE', '/consumers/bob/key-auth/KEY3'), 204, '',
     'kong: by the secret itself');

my $off = stub('Kong', database => 'off', token => 'T');
$off->do(add => 'alice', "${Id}1", 'KEY1');
says(ask($off, 'DELETE', $path), 401, '{"message":"Invalid credentials. Token or'
     . ' User credentials required"}', 'kong: no token');
says(ask($off, 'DELETE', $path, 'Kong-Admin-Token: x'), 401,
     '{"message":"Invalid RBAC credentials"}', 'kong: a wrong one');
is(ask($off, 'DELETE', $path, 'Kong-Admin-Token: T')->{status}, 405,
   'kong: no database');
says(ask($off, 'DELETE', $path =~ s/1\z/2/r, 'Kong-Admin-Token: T'), 404, $not_found,
     'kong: no database, not there');


# APISIX

my $apisix = stub('APISIX', key => 'K');
my @key = 'X-API-KEY: K';
$path = '/apisix/admin/consumers/alice/credentials/c1';

$apisix->do(add => 'alice', 'c1', 'KEY1');
$apisix->do(add => 'alice', 'c2', 'KEY2');
is($apisix->show('KEY1', $_), 200, "apisix: accepted by $_")
    for qw(gateway gateway-b);

says(ask($apisix, 'DELETE', $path), 401,
     qq({"error_msg":"failed to check token","description":"missing apikey"}\n),
     'apisix: no key');
says(ask($apisix, 'DELETE', $path, 'X-API-KEY: x'), 401,
     qq({"error_msg":"failed to check token","description":"wrong apikey"}\n),
     'apisix: a wrong one');
like(ask($apisix, 'DELETE', '/admin/consumers', @key)->{body}, qr/^<html>/,
     'apisix: elsewhere');
says(ask($apisix, 'DELETE', '/apisix/admin/consumer/alice', @key), 404,
     qq({"error_msg":"Unsupported resource type: consumer"}\n), 'apisix: no such kind');

$apisix->do(lose_etcd => 1);
is(ask($apisix, 'DELETE', $path, @key)->{status}, 503, 'apisix: no etcd');
$apisix->do(lose_etcd => 0);

$apisix->do(cut_off => 'gateway-b', 1);
says(ask($apisix, 'DELETE', $path, @key), 200, '{"deleted":"1","key":'
     . qq("/apisix/consumers/alice/credentials/c1"}\n), 'apisix: deleted');
says(ask($apisix, 'DELETE', $path, @key), 404, qq({"message":"Key not found"}\n),
     'apisix: deleted again');
says(ask($apisix, 'GET', $path, @key), 404, qq({"message":"Key not found"}\n),
     'apisix: it is gone');
is($apisix->show('KEY1'), 401, 'apisix: refused');
is($apisix->show('KEY1', 'gateway-b'), 200, 'apisix: but not where nobody is told');
$apisix->do(cut_off => 'gateway-b', 0);
is($apisix->show('KEY1', 'gateway-b'), 401, 'apisix: until that is told');
is($apisix->do(there => 'alice'), 1, 'apisix: the consumer stays');

my $old = stub('APISIX', key => 'K', old => 1);
$old->do(add => 'alice', 'c1', 'KEY1');
says(ask($old, 'DELETE', $path, @key), 200,
     qq({"deleted":"1","key":"/apisix/consumers/alice"}\n),
     'apisix: an old one deletes another thing');
is($old->do(there => 'alice'), 0, 'apisix: which is gone');


# Tyk

my $tyk = stub('Tyk', secret => 'S', session => 3);
my @secret = 'x-tyk-authorization: S';
my $hash = $tyk->do(add => 'KEY1');
$path = "/tyk/keys/$hash?hashed=1";

my $absent = sub { qq({"status":"error","message":"$_[0]"}\n) };

my $at = Time::HiRes::time();
is($tyk->show('KEY1', $_), 200, "tyk: accepted by $_") for qw(gateway gateway-b);
says(ask($tyk, 'DELETE', $path), 403, $absent->('Attempted administrative access with'
     . ' invalid or missing key!'), 'tyk: no secret');
says(ask($tyk, 'DELETE', '/tyk/key/x', @secret), 404, "404 page not found\n",
     'tyk: no such path');
says(ask($tyk, 'DELETE', "/tyk/keys/$hash", @secret), 404,
     $absent->('There is no such key found'), 'tyk: a hash that is not said to be one');
$tyk->do(lose_redis => 'all');
says(ask($tyk, 'DELETE', $path, @secret), 404, $absent->('There is no such key found'),
     'tyk: no Redis, in the words of no key');
says(ask($tyk, 'GET', $path, @secret), 404, $absent->('Key not found'),
     'tyk: the same of the other call');
$tyk->do(lose_redis => 'del');
says(ask($tyk, 'DELETE', $path, @secret), 400, $absent->('Failed to remove the key'),
     'tyk: no Redis any more');
$tyk->do(lose_redis => '');
is(ask($tyk, 'GET', $path, @secret)->{status}, 200, 'tyk: it is there');

# a session is kept though the key is gone

is($tyk->show('KEY1'), 200, 'tyk: accepted still');
says(ask($tyk, 'DELETE', $path, @secret), 200,
     qq({"key":"$hash","status":"ok","action":"deleted"}\n), 'tyk: deleted');
my $status = $tyk->show('KEY1');
is($status, 200, 'tyk: accepted after that')
    if Time::HiRes::time() < $at + 3;
ok(wait_for(sub { $tyk->show('KEY1') == 403 }), 'tyk: and then not any more');
says(ask($tyk, 'DELETE', $path, @secret), 404, $absent->('There is no such key found'),
     'tyk: deleted again');

my $flushes = stub('Tyk', secret => 'S', session => 60, flushes => 1);
$hash = $flushes->do(add => 'KEY1');
is($flushes->show('KEY1'), 200, 'tyk: one that tells its caches');
is(ask($flushes, 'DELETE', "/tyk/keys/$hash?hashed=1", @secret)->{status}, 200,
   'tyk: deleted there');
is($flushes->show('KEY1'), 403, 'tyk: refused at once');


# Vault

my $vault = stub('Vault', token => 'T', queue => 0.3);
my @token = 'X-Vault-Token: T';
my ($accessor, $lease) = map { "/v1/$_" } qw(auth/token/revoke-accessor
                                             sys/leases/revoke);
$vault->do(add => 'a1', 'KEY1');
$vault->do(add_lease => "l$_", "SECRET$_") for 1 .. 3;

my $errors = sub { qq({"errors":["$_[0]"]}\n) };

is($vault->show('KEY1'), 200, 'vault: accepted');
says(ask($vault, 'POST', $accessor, \'{"accessor":"a1"}'), 403,
     $errors->('permission denied'), 'vault: no token');
is(ask($vault, 'POST', '/v1/auth/tokens/x', @token, \'{}')->{status}, 404,
   'vault: no such path');
says(ask($vault, 'POST', $accessor, @token, \'{"accessor":"a1"}'), 204, '',
     'vault: revoked');
is($vault->show('KEY1'), 403, 'vault: refused');
like(ask($vault, 'POST', $accessor, @token, \'{"accessor":"a1"}')->{body},
     qr/"warnings":\["No token found with this accessor"\]/, 'vault: revoked again');

is(ask($vault, 'POST', $lease, @token, \'{"lease_id":"l1"}')->{status}, 202,
   'vault: a lease, queued');
ok(wait_for(sub { $vault->show('SECRET1') == 403 }), 'vault: and revoked later');
says(ask($vault, 'POST', $lease, @token, \'{"lease_id":"l2","sync":true}'), 204, '',
     'vault: a lease');
is($vault->show('SECRET2'), 403, 'vault: revoked');
says(ask($vault, 'POST', $lease, @token, \'{"lease_id":"never","sync":true}'), 204,
     '', 'vault: one that never was');
$vault->do(lose_backend => 1);
is(ask($vault, 'POST', $lease, @token, \'{"lease_id":"l3","sync":true}')->{status},
   500, 'vault: no backend');
is(ask($vault, 'POST', $lease, @token, \'{"lease_id":"l3"}')->{status}, 202,
   'vault: no backend, but a queue');
is($vault->show('SECRET3'), 200, 'vault: it is good still');
$vault->do(lose_backend => 0);
ok(wait_for(sub { $vault->show('SECRET3') == 403 }), 'vault: until it is back');

$vault->do(limit => 7);
is(ask($vault, 'POST', $accessor, @token, \'{}')->{headers}{'retry-after'}, 7,
   'vault: too often');
$vault->do(lead => 'https://leader:8200');
is(ask($vault, 'POST', $lease, @token, \'{}')->{headers}{location},
   'https://leader:8200/v1/sys/leases/revoke', 'vault: another one leads');
$vault->do(seal => 1);
says(ask($vault, 'POST', $lease, @token, \'{}'), 503, $errors->('Vault is sealed'),
     'vault: sealed');


# what they are all made of

is_deeply([ map { $_->faults } $kong, $off, $apisix, $old, $tyk, $flushes, $vault ],
          [], 'all requests were good');

my $web = web(sub { [200, [], "$_[0]{method} $_[0]{target} $_[0]{body}"] });

my $sock = http_open(port => $web->port);
says(ask($web, 'GET', "/$_", $sock), 200, "GET /$_ ", "a kept connection, $_")
    for 1 .. 3;
is_deeply([ map { "$_->{conn} $_->{nth}" } $web->requests ], ['1 1', '1 2', '1 3'],
          'noted');
is($web->connections, 1, 'it is there');

my $rule = $web->ignore(kept => 1);
is(ask($web, 'GET', '/4', $sock)->{text}, '', 'closed when it is used again');
is($web->matched($rule), 1, 'that once');
says(ask($web, 'GET', '/5'), 200, 'GET /5 ', 'and no more');

$web->say(429, ['Retry-After: 2'], 'later', times => 2, on => '^PUT /6');
says(ask($web, 'POST', '/6', \'x'), 200, 'POST /6 x', 'a rule for others');
says(ask($web, 'PUT', '/6', \'x'), 429, 'later', "a rule, $_") for 1, 2;
says(ask($web, 'PUT', '/6', \'x'), 200, 'PUT /6 x', 'a rule that has ended');

$rule = $web->keep(on => '/7');
$sock = http_open(port => $web->port);
print $sock "GET /7 HTTP/1.1\r\nHost: a\r\n\r\n";
ok($web->wait_matched($rule), 'one that is kept waiting');
ok(!IO::Select->new($sock)->can_read(0.1), 'waits');
$web->release($rule);
says(http_parse(http_read($sock)), 200, 'GET /7 ', 'and is answered');

$web->rule(steps => ["HTTP/1.1 200 OK\r\n", pause(0.05),
                     drip("Content-Length: 5\r\n\r\n", 0.001), 'hel', pause(0.02),
                     'lo', end('reset')]);
says(ask($web, 'GET', '/8'), 200, 'hello', 'one by one');

$web->down;
is(IO::Socket::INET->new('127.0.0.1:' . $web->port), undef, 'nobody listens');
$web->up;
is(ask($web, 'GET', '/9')->{status}, 200, 'until it is up');

for my $request ("GET / HTTP/1.0\r\n\r\n", "GET /a b HTTP/1.1\r\nHost: a\r\n\r\n",
                 "GET / HTTP/1.1\r\n\r\n", "GET / HTTP/1.1\nHost: a\n\n",
                 "GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n",
                 "GET / HTTP/1.1\r\nHost: a\r\nX: \0\r\n\r\n",
                 "GET / HTTP/1.1\r\nHost: a\r\n x\r\n\r\n",
                 "GET /% HTTP/1.1\r\nHost: a\r\n\r\n",
                 "PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: x\r\n\r\n")
{
    my $n = () = $web->faults;
    http($request, port => $web->port);
    my @faults = $web->faults;
    is(scalar @faults, $n + 1, "a fault: $faults[-1]");
}
