# Environments that are no Redis: what the presets of connectors ask of Kong,
# APISIX, Tyk and Vault, which are stubs here, and what they make of the answers.

use CredTest;
use CredTest::Delete;
use CredTest::Stub;
use CredTest::Stubbed;
use JSON::PP ();
use Time::HiRes ();

defaults(sample(), http_config => $Http);

our ($Kong, $Apisix, $Tyk, $Vault);

our $Id = 'a0a0a0a0-0000-4000-8000-00000000000';
our $Path = "/consumers/MyProject/key-auth/${Id}1";


sub kong {
    my ($lines, %args) = @_;
    $Kong = stub('Kong', token => 'T', %args);
    $Kong->do(add => 'MyProject', "$Id$_", "KEY$_") for 1 .. 3;
    my $file = private_file('kong.token', "T\n");
    connectors(kong => 'preset kong; url ' . $Kong->url . ";\n"
                       . ($lines || 'settle 0;')
                       . " header Kong-Admin-Token file=$file;");
    reaches('kong', 'api-user' => "${Id}1");
}

sub apisix {
    $Apisix = stub('APISIX', key => 'K', @_);
    $Apisix->do(add => 'MyProject', "c$_", "KEY$_") for 1 .. 3;
    connectors(apisix => 'preset apisix; url ' . $Apisix->url
                         . '; header X-API-KEY K;');
    reaches('apisix', 'api-user' => 'c1');
}

sub tyk {
    my ($settle, %args) = @_;
    $Tyk = stub('Tyk', secret => 'S', %args);
    my $hash = $Tyk->do(add => 'KEY1');
    tyk_is("settle $settle;");
    reaches('tyk', 'api-user' => $hash);
    return $hash;
}

# a key that has to be there, or its store is not

sub tyk_is {
    my ($lines, $secret) = @_;
    my $canary = $Tyk->do(add => 'CANARY');
    connectors(tyk => 'preset tyk; url ' . $Tyk->url . "; $lines"
                      . " control GET /tyk/keys/$canary?hashed=1;"
                      . ' header x-tyk-authorization ' . ($secret // 'S') . ';');
}

sub vault {
    my ($lines) = @_;
    $Vault = stub('Vault', token => 'T');
    $Vault->do(add => 'a1', 'KEY1');
    $Vault->do(add_lease => 'l1', 'SECRET1');
    connectors(vault => 'preset vault; url ' . $Vault->url . ";\n"
                        . ($lines // '') . ' header X-Vault-Token T;');
    reaches('vault', 'api-user' => 'a1');
}


add_test_cleanup_handler(sub {
    my ($block) = @_;
    faultless($block, $Kong, $Apisix, $Tyk, $Vault);
    undef $_ for $Kong, $Apisix, $Tyk, $Vault;
});

run_tests();


__DATA__

=== TEST 1: Kong
--- before
kong('');
--- script
is($::Kong->show('KEY1', $_), 200, "accepted by $_") for qw(gateway gateway-b);
my $got = del('api-user');
answer_is($got, 'deleted', everywhere());
is($::Kong->show('KEY1'), 401, 'refused');
is_deeply([$::Kong->asked], ["DELETE $::Path", "GET /key-auths/${main::Id}1"], 'asked, and verified');

my ($request) = $::Kong->requests;
my %is = %{ $request->{headers} };
is($is{'kong-admin-token'}[0], 'T', 'the token');
is($is{host}[0], $::Kong->url =~ s{http://}{}r, 'the host');
like($is{'user-agent'}[0], qr{^ngx_cred_module/[\d.]+$}, 'who asks');
is($is{accept}[0], '*/*', 'what is accepted');
is($is{$_}, undef, "no $_") for qw(content-length content-type accept-encoding
                                   traceparent if-match expect);
is($request->{body}, '', 'no body');

my $receipt = receipt(operation($got));
is($receipt->{state}, 'undeployed', 'the receipt');
is($receipt->{attempts}, 1, 'one attempt');
ok(wait_for(sub { $::Kong->show('KEY1', 'gateway-b') == 401 }),
   'refused by another node when it has heard of it');
is($::Kong->connections, 1, 'the connection is kept');



=== TEST 2: Kong, not there
--- before
kong('');
target('api-user', "${main::Id}9");
--- script
is_absent('not there');
is_deeply([$::Kong->asked], ["DELETE ${\ ($::Path =~ s/1\z/9/r)}",
                             "GET /key-auths/${main::Id}9", 'GET /key-auths?size=1'],
          'nobody has it, and any is known');
is($::Kong->show("KEY$_"), 200, "the others stay: $_") for 1 .. 3;



=== TEST 3: Kong dies after it has deleted: nobody tells its cache
--- before
kong('');
$::Kong->lose(on => '^DELETE /consumers', dies => 1);
our $Later = $::Kong->ignore(on => '^DELETE /consumers', times => 0);
--- script
is($::Kong->show('KEY1'), 200, 'accepted');
my $operation = is_pending('unreachable');
is($::Kong->do(there => "${main::Id}1"), 0, 'it is gone');
is($::Kong->show('KEY1'), 200, 'accepted still');
my $receipt = receipt_when($operation, sub { $_[0]{unclear} });
like($receipt->{unclear}, qr/^\d{13}$/, 'what became of it is unclear');
is($receipt->{state}, 'pending', 'and pending');
$::Kong->forget;
ends_as($operation, 'undeployed');
is($::Kong->show('KEY1'), 401, 'refused');
my @asked = $::Kong->asked;
is_deeply([@asked[-4 .. -1]], ["DELETE $::Path", "GET /key-auths/${main::Id}1",
                               'GET /key-auths?size=1', 'DELETE /cache'],
          'its cache is emptied');



=== TEST 4: the cache cannot be emptied
--- before
kong('');
$::Kong->lose(on => '^DELETE /consumers', dies => 1);
$::Kong->say(500, [], '{"message":"An unexpected error occurred"}', on => 'DELETE /cache',
           times => 0);
--- script
is($::Kong->show('KEY1'), 200, 'accepted');
my $operation = is_pending('unreachable');
my $receipt = attempted($operation, 3);
is($receipt->{state}, 'pending', 'pending');
like($receipt->{error}, qr/500/, 'with an error');
is($::Kong->show('KEY1'), 200, 'accepted still');
$::Kong->forget;
ends_as($operation, 'undeployed');
is($::Kong->show('KEY1'), 401, 'refused');



=== TEST 5: a kept connection is closed when the next request is on it
--- before
kong('');
credential('more');
target('more', "${main::Id}2");
--- script
answer_is(del('api-user'), 'one, which leaves a connection', everywhere());
my $rule = $::Kong->ignore(on => '^DELETE', kept => 1);
answer_is(del('more'), 'one that is sent again', everywhere());
is($::Kong->matched($rule), 1, 'since it was closed');
is($::Kong->show('KEY2'), 401, 'refused');
is(scalar(grep { /^DELETE/ } $::Kong->asked), 3, 'it was sent twice');



=== TEST 6: the same after it has acted
--- before
kong('');
credential('more');
target('more', "${main::Id}2");
--- script
is($::Kong->show('KEY2'), 200, 'accepted');
answer_is(del('api-user'), 'one, which leaves a connection', everywhere());
my $rule = $::Kong->lose(on => '^DELETE', kept => 1, dies => 1);
my $got = del('more');
answer_is($got, 'it was there, as far as anybody knows', everywhere());
is($::Kong->matched($rule), 1, 'it was closed');
is($::Kong->show('KEY2'), 401, 'refused');
is(($::Kong->asked)[-1], 'DELETE /cache', 'its cache is emptied');
is(receipt_when(operation($got), sub { ($_[0]{state} // 'pending') ne 'pending' })->{state}, 'undeployed', 'the receipt');



=== TEST 7: no connection is closed twice for one request
--- before
kong('');
credential('more');
target('more', "${main::Id}2");
--- script
answer_is(del('api-user'), 'one, which leaves a connection', everywhere());
my $rule = $::Kong->ignore(on => '^DELETE', times => 2);
my $got = del('more');
answer_is($got, 'pending', pending(production => 'unreachable', staging => undef));
is($::Kong->matched($rule), 2, 'sent again once');
ends_as(operation($got), 'undeployed');



=== TEST 8: a token that is none is told once, and not hammered
--- http_config
cred_registry     $TEST_NGINX_REGISTRY;
cred_retry_delay  50ms 1h;
include           $TEST_NGINX_DIR/connectors.conf;
--- before
kong('');
private_file('kong.token', 'wrong');
--- script
my $operation = is_pending('refused');
my $receipt = attempted($operation);
like($receipt->{error}, qr/401/, 'the error');
my $delay = $receipt->{next} - $receipt->{last};
cmp_ok($delay, '>=', 0.7 * 3600_000, 'due at the longest delay');
cmp_ok($delay, '<=', 1.3 * 3600_000, 'and not later');
ok(!$receipt->{unclear}, 'nothing is unclear');

my @ids = map { "n$_" } 1 .. 5;
credential(\@ids);
target($_, "${main::Id}$_") for @ids;
is(del($_)->{headers}{'cred-pending'}, 'production', "another: $_") for @ids;
is(told('undeployment was refused: .*401'), 1, 'told once');
unlike(error_log_text(), qr/wrong/, 'but no token');

my $asked = () = $::Kong->asked;
Time::HiRes::sleep(0.5);
is(scalar(() = $::Kong->asked), $asked, 'not asked again');

private_file('kong.token', 'T');
my @old = nginx_workers();
ok(nginx_reload(), 'another token');
ok(wait_for(sub { my %is = map { $_ => 1 } nginx_workers(); !grep { $is{$_} } @old }),
   'by new workers');
answer_is(del('api-user'), 'done', everywhere());
is($::Kong->show('KEY1'), 401, 'refused');



=== TEST 9: Kong without a database
--- before
kong('', database => 'off');
--- script
my $operation = is_pending('refused');
like(attempted($operation)->{error}, qr/405/, 'it cannot delete');
is($::Kong->show('KEY1'), 200, 'accepted');



=== TEST 10: Kong, whose database does not answer
--- before
kong('');
our $Rule = $::Kong->say(500, ['Content-Type: application/json; charset=utf-8'],
                       '{"message":"An unexpected error occurred"}', times => 3);
--- script
my $operation = is_pending('refused');
like(attempted($operation)->{error}, qr/500/, 'the error');
ends_as($operation, 'undeployed');
is($::Kong->show('KEY1'), 401, 'refused');



=== TEST 11: targets that are no UUID are not asked for
--- before
kong('');
--- script
my $n = 0;

for my $target ('KEY1', "${main::Id}1/", '', "${main::Id}1 ", " ${main::Id}1", "\x10" . substr("${main::Id}1", 1),
                "${main::Id}1\0", "${main::Id}12", uc("${main::Id}1") =~ tr/A-F/G-L/r, 'x' x 513, '..')
{
    my $id = 'n' . ++$n;
    credential($id);
    target($id, $target) if $target ne '';
    my $got = del($id);
    answer_is($got, "pending: $n", pending(production => 'refused', staging => undef));
    like(attempted(operation($got))->{error}, qr/target/, 'the error names it');
}

is_deeply([$::Kong->asked], [], 'never asked');
is($::Kong->show('KEY1'), 200, 'accepted');



=== TEST 12: a target is what the operation has kept, also for an attempt later
--- before
kong('');
$::Kong->down;
--- script
my $operation = is_pending('unreachable');
is(redis('registry', 'EXISTS', '{cred}:apinizer:credential:MyProject:api-user'), 0,
   'the credential is gone');
is(redis('registry', 'HGET', "{cred}:operation:$operation", 'target:production'),
   "${main::Id}1", 'its target is not');
ok(!receipt($operation)->{unclear}, 'nothing was sent, so nothing is unclear');
$::Kong->up;
ends_as($operation, 'undeployed');
is($::Kong->show('KEY1'), 401, 'refused');



=== TEST 13: what was created again has another target, and stays
--- before
kong('');
$::Kong->down;
--- script
my $operation = is_pending('unreachable');
credential('api-user');
redis('registry', 'HSET', '{cred}:apinizer:credential:MyProject:api-user',
      'revision', 8);
target('api-user', "${main::Id}2");
$::Kong->up;
ends_as($operation, 'undeployed');
is($::Kong->show('KEY1'), 401, 'the old one is refused');
is($::Kong->show('KEY2'), 200, 'the new one is not');
is_deeply([grep { /2$/ } $::Kong->asked], [], 'nor was it asked for');



=== TEST 14: Kong: other nodes are waited for, though it says that it did
--- before
kong('settle 1s;', poll => 0.7);
--- script
is($::Kong->show('KEY1', $_), 200, "accepted by $_") for qw(gateway gateway-b);
my $operation = is_pending('unconfirmed', 'deleted, but maybe not from caches');
is($::Kong->show('KEY1'), 401, 'refused by its own node');
ends_as($operation, 'undeployed');
is($::Kong->show('KEY1', 'gateway-b'), 401, 'and by the other one');



=== TEST 15: a 404 of Kong's router has the same words
--- before
kong('');
our $Rule = $::Kong->say(404, ['Content-Type: application/json; charset=utf-8'],
                         '{"message":"Not found"}', times => 0);
--- script
my $operation = is_pending('refused');
my $receipt = attempted($operation, 2);
is($receipt->{state}, 'pending', 'pending');
like($receipt->{error}, qr/control.*404/, 'the error');
is_deeply([grep { !/^(?:DELETE|GET) / } $::Kong->asked], [], 'as often as it takes');
is($::Kong->show('KEY1'), 200, 'accepted');
$::Kong->forget;
ends_as($operation, 'undeployed');
is($::Kong->show('KEY1'), 401, 'refused');



=== TEST 16: APISIX
--- before
apisix();
--- script
is($::Apisix->show('KEY1'), 200, 'accepted');
answer_is(del('api-user'), 'deleted', everywhere());
is($::Apisix->show('KEY1'), 401, 'refused');
is($::Apisix->show('KEY2'), 200, 'but no other');
is($::Apisix->do(there => 'MyProject'), 1, 'the consumer stays');
my $path = '/apisix/admin/consumers/MyProject/credentials/c1';
is_deeply([$::Apisix->asked], ["DELETE $path", "GET $path"], 'asked, and verified');
is(($::Apisix->requests)[1]{headers}{'x-api-key'}[0], 'K', 'with the key both times');



=== TEST 17: APISIX, not there
--- before
apisix();
target('api-user', 'c9');
--- script
is_absent('not there');



=== TEST 18: APISIX without its etcd
--- before
apisix();
$::Apisix->do(lose_etcd => 1);
--- script
my $operation = is_pending('refused');
my $receipt = attempted($operation);
like($receipt->{error}, qr/503/, 'the error');
ok($receipt->{unclear}, 'nobody knows what etcd did');
$::Apisix->do(lose_etcd => 0);
ends_as($operation, 'undeployed');
is($::Apisix->show('KEY1'), 401, 'refused');



=== TEST 19: APISIX, the answer is lost after it has acted
--- before
apisix();
$::Apisix->lose(on => '^DELETE');
--- script
my $operation = is_pending('unreachable');
ends_as($operation, 'undeployed');
is($::Apisix->show('KEY1'), 401, 'refused');



=== TEST 20: an APISIX that knows no credentials deletes another thing: no success
--- before
apisix(old => 1);
--- script
my $operation = is_pending('refused');
like(attempted($operation)->{error}, qr/request: answer 200|control: answer 404/, 'the error');



=== TEST 21: another server where APISIX is thought to be
--- before
apisix();
--- script
my $n = 0;

for my $body ("<html>\r\n<head><title>404 Not Found</title></head>\r\n<body>\r\n"
              . "<center><h1>404 Not Found</h1></center>\r\n</body>\r\n</html>\r\n",
              '{"error_msg":"404 Route Not Found"}', '{"message":"Not found"}', '',
              'Key not found', '{"error_msg":"Unsupported resource type: consumer"}')
{
    my $id = 'n' . ++$n;
    credential($id);
    target($id, $id);
    $::Apisix->do(add => 'MyProject', $id, "KEY-$id");
    my $rule = $::Apisix->say(404, [], $body, times => 0);
    my $operation = is_pending('refused', "pending: $n", $id);
    like(attempted($operation)->{error}, qr/404/, 'the error');
    $::Apisix->forget;
    ends_as($operation, 'undeployed');
    is($::Apisix->show("KEY-$id"), 401, 'refused');
}



=== TEST 22: Tyk: its sessions are waited for, though it says that it did
--- before
our $Hash = tyk('6s', session => 5);
--- script
is($::Tyk->show('KEY1', $_), 200, "accepted by $_") for qw(gateway gateway-b);
my $operation = is_pending('unconfirmed', 'deleted, but not from caches');
like(attempted($operation)->{error}, qr/caches/, 'which is said');
ends_as($operation, 'undeployed');
is($::Tyk->show('KEY1', $_), 403, "refused by $_") for qw(gateway gateway-b);
my $path = "/tyk/keys/$::Hash?hashed=1";
is_deeply([($::Tyk->asked)[0, 1]], ["DELETE $path", "GET $path"], 'asked, and verified');
is($_->{headers}{'x-tyk-authorization'}[0], 'S', 'with the secret')
    for $::Tyk->requests;
cmp_ok(scalar(() = $::Tyk->asked), '<=', 6, 'it was not hammered');

credential('more');
target('more', $::Tyk->do(add => 'KEY2'));
tyk_is('settle 0;');
my @old = nginx_workers();
ok(nginx_reload(), 'one that keeps no sessions');
ok(wait_for(sub { my %is = map { $_ => 1 } nginx_workers(); !grep { $is{$_} } @old }),
   'by new workers');
answer_is(del('more'), 'deleted', everywhere());



=== TEST 23: Tyk, not there
--- before
tyk('1s', session => 0);
target('api-user', 'abcdef01');
--- script
is_absent('not there');



=== TEST 24: Tyk, the answer is lost: sessions are waited for
--- before
tyk('6s', session => 5);
--- script
is($::Tyk->show('KEY1', 'gateway-b'), 200, 'accepted');
$::Tyk->lose(on => '^DELETE');
my $operation = is_pending('unreachable');
my $receipt = receipt_when($operation, sub { ($_[0]{error} // '') =~ /caches/
                                             || $_[0]{state} ne 'pending' });
is($receipt->{state}, 'pending', 'gone, but not from caches');
my $unclear = $receipt->{unclear};
ok($unclear, 'since when is known');
cmp_ok($receipt->{next}, '>=', $unclear + 6000 - 100, 'it is waited for');
$receipt = ends_as($operation, 'undeployed');
cmp_ok($receipt->{last}, '>=', $unclear + 6000 - 100, 'for so long');
is($::Tyk->show('KEY1', 'gateway-b'), 403, 'refused');
cmp_ok(scalar(() = $::Tyk->asked), '<=', 6, 'it was not hammered');



=== TEST 25: Tyk, which cannot remove
--- before
tyk('500ms', session => 0.1);
$::Tyk->do(lose_redis => 'del');
--- script
my $operation = is_pending('refused');
like(attempted($operation, 2)->{error}, qr/400/, 'the error');
$::Tyk->do(lose_redis => '');
ends_as($operation, 'undeployed');



=== TEST 26: Tyk, whose Redis does not answer, says that there is no such key
--- before
tyk('500ms', session => 0.1);
$::Tyk->do(lose_redis => 'all');
--- script
my $operation = is_pending('refused');
my $receipt = attempted($operation, 2);
is($receipt->{state}, 'pending', 'pending, since it does not know another one');
like($receipt->{error}, qr/control.*404/, 'the error');
$::Tyk->say(503, [], 'not yet', times => 0);
$::Tyk->do(lose_redis => '');
is($::Tyk->show('KEY1'), 200, 'accepted, of course');
$::Tyk->forget;
ends_as($operation, 'undeployed');
is($::Tyk->show('KEY1'), 403, 'refused');
is($::Tyk->show('CANARY'), 200, 'the other one stays');



=== TEST 27: Tyk, another secret
--- before
tyk('1s', session => 0);
tyk_is('settle 1s;', 'X');
--- script
my $operation = is_pending('refused');
like(attempted($operation)->{error}, qr/403/, 'the error');
is($::Tyk->show('KEY1'), 200, 'accepted');



=== TEST 28: Vault, a token by its accessor
--- before
vault();
--- script
is($::Vault->show('KEY1'), 200, 'good');
answer_is(del('api-user'), 'deleted', everywhere());
is($::Vault->show('KEY1'), 403, 'revoked');
my ($request) = $::Vault->requests;
is("$request->{method} $request->{target}", 'POST /v1/auth/token/revoke-accessor',
   'asked');
is($request->{body}, '{"accessor":"a1"}', 'the body');
is($request->{headers}{'content-type'}[0], 'application/json', 'its type');
is($request->{headers}{'content-length'}[0], 17, 'its length');



=== TEST 29: Vault, no such accessor
--- before
vault();
target('api-user', 'a9');
--- script
is_absent('not there');



=== TEST 30: Vault, a lease
--- before
vault('request POST /v1/sys/leases/revoke;'
      . q( body '{"lease_id":"{target}","sync":true}';));
target('api-user', 'l1');
$::Vault->do(lose_backend => 1);
--- script
my $operation = is_pending('refused');
like(attempted($operation)->{error}, qr/500/, 'its backend does not answer');
is($::Vault->show('SECRET1'), 200, 'good');
$::Vault->do(lose_backend => 0);
ends_as($operation, 'undeployed');
is($::Vault->show('SECRET1'), 403, 'revoked');



=== TEST 31: what is queued is not done
--- before
vault();
connectors(vault => 'url ' . $::Vault->url . '; header X-Vault-Token T; success 204;'
           . 'request POST /v1/sys/leases/revoke;'
           . q( body '{"lease_id":"{target}"}';));
target('api-user', 'l1');
$::Vault->do(lose_backend => 1);
--- script
my $operation = is_pending('refused');
my $receipt = attempted($operation, 3);
like($receipt->{error}, qr/202/, 'the error');
is($receipt->{state}, 'pending', 'pending');
is($::Vault->show('SECRET1'), 200, 'good');



=== TEST 32: Vault is sealed, follows another, or is asked too often
--- before
vault();
our $Other = web(sub { [204, [], ''] });
$::Vault->do(seal => 1);
--- script
my $operation = is_pending('refused');
like(attempted($operation)->{error}, qr/503/, 'sealed');
$::Vault->do(lead => $::Other->url);
$::Vault->do(seal => 0);
like(receipt_when($operation, sub { $_[0]{error} =~ /307/ })->{error}, qr/307/,
     'not the leader');
$::Vault->do(limit => 1);
$::Vault->do(lead => '');
like(receipt_when($operation, sub { $_[0]{error} =~ /429/ })->{error}, qr/429/,
     'too often');
is($::Vault->show('KEY1'), 200, 'good still');
$::Vault->tell('do', method => 'limit', args => [undef]);
ends_as($operation, 'undeployed');
is($::Vault->show('KEY1'), 403, 'revoked');
is_deeply([$::Other->asked], [], 'nobody else was asked');



=== TEST 33: Kong, of another consumer
--- before
kong('');
$::Kong->do(add => 'Others', "${main::Id}9", 'KEY9');
target('api-user', "${main::Id}9");
--- script
my $operation = is_pending('refused');
is($::Kong->show('KEY9'), 200, 'it is accepted');
like(attempted($operation)->{error}, qr/^verify: answer 200/, 'since it was found');
like(join(' ', ($::Kong->asked)[0, 1]), qr{^DELETE \S+ GET /key-auths/${main::Id}9$},
     'by another way');
$::Kong->do(add => 'MyProject', "${main::Id}9", 'KEY9');
ends_as($operation, 'undeployed');
is($::Kong->show('KEY9'), 401, 'refused');



=== TEST 34: targets that somebody did not mean
--- before
apisix();
--- http_config eval: $::Http
--- config
location /apiops/ { cred_delete apinizer; }
location = /status { cred_status json; }
--- script
for my $target ("c1\n", 'c1 ', ' c1', "\tc1", "c1\r", "c1\x7f") {
    my $id = 't' . ord(substr $target, -1) . length $target;
    credential($id);
    target($id, $target);
    my $operation = is_pending('refused', 'not asked for', $id);
    like(attempted($operation)->{error}, qr/begins or ends with a space/, 'the error');
}

is_deeply([$::Apisix->asked], [], 'of nobody');
is($::Apisix->show('KEY1'), 200, 'it is accepted');
is(told('undeployment is impossible: the target begins or ends'), 1, 'told once');

my $status = JSON::PP::decode_json(call('GET', '/status')->{body});
my ($is) = grep { $_->{name} eq 'production' } @{ $status->{environments} };
like(JSON::PP::encode_json($is->{error}), qr/the target begins or ends with/,
     'the status shows it');



=== TEST 35: APISIX, and the consumer is gone as well
--- before
apisix();
target('api-user', 'c9');
$::Apisix->do(remove => 'MyProject') if $::Apisix->can('remove');
our $Rule = $::Apisix->say(404, [], '{"message":"Key not found"}' . "\n",
                           on => '^GET /apisix/admin/consumers/MyProject$', times => 0);
--- script
my $operation = is_pending('refused');
like(attempted($operation)->{error}, qr/^control: answer 404/, 'the error');
$::Apisix->forget;
ends_as($operation, 'not_deployed');
