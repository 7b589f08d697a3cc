# Environments that are no Redis: what connectors ask of the systems there, and
# what they make of the answers.  Kong, APISIX, Tyk and Vault are stubs here.

use CredTest;
use CredTest::Delete;
use CredTest::Gateway qw(gateway_start);
use CredTest::Stub;
use Digest::SHA ();
use JSON::PP ();
use MIME::Base64 ();
use POSIX ();
use Time::HiRes ();

our %Sample = sample();

our $Config = <<'END';
cred_registry         $TEST_NGINX_REGISTRY;
cred_connect_timeout  5s;
cred_command_timeout  5s;
cred_cascade_timeout  10s;
cred_retry_delay      100ms 400ms;
include               $TEST_NGINX_DIR/connectors.conf;
END

defaults(%Sample, http_config => $Config);

our ($Kong, $Apisix, $Tyk, $Vault, $Web);

our $Id = 'a0a0a0a0-0000-4000-8000-00000000000';
our $Path = "/consumers/MyProject/key-auth/${Id}1";


# blocks "cred_connector", by name

sub connectors {
    my (%blocks) = @_;
    write_file('connectors.conf', join '', map {
        "cred_connector $_ {\n$blocks{$_}\n}\n"
    } sort keys %blocks);
}

sub write_file {
    my ($name, $text) = @_;
    my $file = temp_dir() . "/$name";
    open my $out, '>', $file or die "$name: $!";
    print $out $text;
    close $out;
    chmod 0600, $file;
    return $file;
}

# production is reached by this connector, where credentials have these targets

sub reaches {
    my ($connector, %targets) = @_;

    redis('registry', 'HSET', '{cred}:environments', 'production',
          "connector:$connector");
    target($_, $targets{$_}) for keys %targets;
}

sub target {
    my ($id, $target, $environment) = @_;
    redis('registry', 'HSET', "{cred}:apinizer:credential:MyProject:$id",
          'target:' . ($environment // 'production'), $target);
}

# a connector of no system, to a server that answers as told

sub talks {
    my ($answer, @lines) = @_;
    $Web = web($answer);
    connectors(web => join "\n", 'url ' . $Web->url . ';',
                      'request DELETE "/credentials/{target}";', @lines);
    reaches('web', 'api-user' => 't1');
}

sub kong {
    my ($lines, %args) = @_;
    $Kong = stub('Kong', token => 'T', %args);
    $Kong->do(add => 'MyProject', "$Id$_", "KEY$_") for 1 .. 3;
    my $file = write_file('kong.token', "T\n");
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


sub receipt {
    my ($operation, $environment) = @_;
    my $text = redis('registry', 'HGET', "{cred}:operation:$operation",
                     'environment:' . ($environment // 'production'));
    return $text =~ /^\{/ ? JSON::PP::decode_json($text) : {};
}

# once there have been so many attempts, or what else is asked for

sub receipt_when {
    my ($operation, $until) = @_;
    my $is;
    wait_for(sub { $is = receipt($operation); $until->($is) })
        or diag 'the receipt: ', JSON::PP::encode_json($is);
    return $is;
}

sub attempted {
    my ($operation, $times) = @_;
    return receipt_when($operation, sub { ($_[0]{attempts} // 0) >= ($times // 1) });
}

sub told {
    my ($regex) = @_;
    return scalar(() = error_log_text() =~ /$regex/g);
}

# a delete that is pending in production for this reason

sub is_pending {
    my ($reason, $name, $id) = @_;
    my $got = del($id // 'api-user');
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    answer_is($got, $name // 'pending', pending(production => $reason,
                                                staging => undef));
    return operation($got);
}

# and in the end it is so

sub ends_as {
    my ($operation, $state) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    ok(settled(), 'it is settled');
    my $receipt = receipt($operation);
    is($receipt->{state}, $state, "as $state");
    ok(!exists $receipt->{next}, 'with no next attempt');
    return $receipt;
}

sub is_absent {
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    answer_is(del('api-user'), $_[0], pending(production => 'absent',
                                              staging => undef));
}


add_test_cleanup_handler(sub {
    my ($block) = @_;
    my @faults = map { $_->faults } grep { defined } $Kong, $Apisix, $Tyk, $Vault, $Web;
    is("@faults", '', $block->name . ' - all requests were good HTTP');
    undef $_ for $Kong, $Apisix, $Tyk, $Vault, $Web;
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
my $receipt = receipt($operation);
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
is(receipt(operation($got))->{state}, 'undeployed', 'the receipt');



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
write_file('kong.token', 'wrong');
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

write_file('kong.token', 'T');
my @old = nginx_workers();
ok(nginx_reload(), 'another token');
ok(wait_for(sub { my %is = map { $_ => 1 } nginx_workers(); !grep { $is{$_} } @old }),
   'by new workers');
answer_is(del('api-user'), 'done', everywhere());
is($::Kong->show('KEY1'), 401, 'refused');



=== TEST 9: 403 and 405 are as 401
--- http_config
cred_registry     $TEST_NGINX_REGISTRY;
cred_retry_delay  50ms 1h;
include           $TEST_NGINX_DIR/connectors.conf;
--- before
talks(sub { [200, [], ''] }, 'success 200;');
--- script
my $next = sub {
    my ($status) = @_;
    my $id = "s$status";
    credential($id);
    target($id, $id);
    $::Web->say($status, [], 'no', on => $id, times => 0);
    my $receipt = attempted(operation(del($id)));
    $::Web->forget;
    like($receipt->{error}, qr/\b$status\b/, "$status: the error");
    return $receipt->{next} - $receipt->{last};
};
cmp_ok($next->($_), '>=', 0.7 * 3600_000, "$_: due at the longest delay")
    for 401, 403, 405;
cmp_ok($next->($_), '<=', 1000, "$_: due soon") for 400, 404, 409, 412, 500, 503;



=== TEST 10: Kong without a database
--- before
kong('', database => 'off');
--- script
my $operation = is_pending('refused');
like(attempted($operation)->{error}, qr/405/, 'it cannot delete');
is($::Kong->show('KEY1'), 200, 'accepted');



=== TEST 11: Kong, whose database does not answer
--- before
kong('');
our $Rule = $::Kong->say(500, ['Content-Type: application/json; charset=utf-8'],
                       '{"message":"An unexpected error occurred"}', times => 3);
--- script
my $operation = is_pending('refused');
like(attempted($operation)->{error}, qr/500/, 'the error');
ends_as($operation, 'undeployed');
is($::Kong->show('KEY1'), 401, 'refused');



=== TEST 12: targets that are no UUID are not asked for
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
    like(receipt(operation($got))->{error}, qr/target/, 'the error names it');
}

is_deeply([$::Kong->asked], [], 'never asked');
is($::Kong->show('KEY1'), 200, 'accepted');



=== TEST 13: a target is what the operation has kept, also for an attempt later
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



=== TEST 14: what was created again has another target, and stays
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



=== TEST 15: Kong: other nodes are waited for, though it says that it did
--- before
kong('settle 1s;', poll => 0.7);
--- script
is($::Kong->show('KEY1', $_), 200, "accepted by $_") for qw(gateway gateway-b);
my $operation = is_pending('unconfirmed', 'deleted, but maybe not from caches');
is($::Kong->show('KEY1'), 401, 'refused by its own node');
ends_as($operation, 'undeployed');
is($::Kong->show('KEY1', 'gateway-b'), 401, 'and by the other one');



=== TEST 16: a 404 of Kong's router has the same words
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



=== TEST 17: APISIX
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



=== TEST 18: APISIX, not there
--- before
apisix();
target('api-user', 'c9');
--- script
is_absent('not there');



=== TEST 19: APISIX without its etcd
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



=== TEST 20: APISIX, the answer is lost after it has acted
--- before
apisix();
$::Apisix->lose(on => '^DELETE');
--- script
my $operation = is_pending('unreachable');
ends_as($operation, 'undeployed');
is($::Apisix->show('KEY1'), 401, 'refused');



=== TEST 21: an APISIX that knows no credentials deletes another thing: no success
--- before
apisix(old => 1);
--- script
my $operation = is_pending('refused');
like(attempted($operation)->{error}, qr/200/, 'the error');



=== TEST 22: another server where APISIX is thought to be
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



=== TEST 23: Tyk: its sessions are waited for, though it says that it did
--- before
our $Hash = tyk('1s', session => 0.8);
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



=== TEST 24: Tyk, not there
--- before
tyk('1s', session => 0);
target('api-user', 'abcdef01');
--- script
is_absent('not there');



=== TEST 25: Tyk, the answer is lost: sessions are waited for
--- before
tyk('2s', session => 1.5);
--- script
is($::Tyk->show('KEY1', 'gateway-b'), 200, 'accepted');
$::Tyk->lose(on => '^DELETE');
my $operation = is_pending('unreachable');
my $receipt = receipt_when($operation, sub { ($_[0]{error} // '') =~ /caches/
                                             || $_[0]{state} ne 'pending' });
is($receipt->{state}, 'pending', 'gone, but not from caches');
my $unclear = $receipt->{unclear};
ok($unclear, 'since when is known');
cmp_ok($receipt->{next}, '>=', $unclear + 2000 - 100, 'it is waited for');
$receipt = ends_as($operation, 'undeployed');
cmp_ok($receipt->{last}, '>=', $unclear + 2000 - 100, 'for so long');
is($::Tyk->show('KEY1', 'gateway-b'), 403, 'refused');
cmp_ok(scalar(() = $::Tyk->asked), '<=', 6, 'it was not hammered');



=== TEST 26: Tyk, which cannot remove
--- before
tyk('500ms', session => 0.1);
$::Tyk->do(lose_redis => 'del');
--- script
my $operation = is_pending('refused');
like(attempted($operation, 2)->{error}, qr/400/, 'the error');
$::Tyk->do(lose_redis => '');
ends_as($operation, 'undeployed');



=== TEST 27: Tyk, whose Redis does not answer, says that there is no such key
--- before
tyk('500ms', session => 0.1);
$::Tyk->do(lose_redis => 'all');
--- script
my $operation = is_pending('refused');
my $receipt = attempted($operation, 2);
is($receipt->{state}, 'pending', 'pending, since it does not know another one');
like($receipt->{error}, qr/control.*404/, 'the error');
$::Tyk->do(lose_redis => '');
is($::Tyk->show('KEY1'), 200, 'accepted, of course');
ends_as($operation, 'undeployed');
is($::Tyk->show('KEY1'), 403, 'refused');
is($::Tyk->show('CANARY'), 200, 'the other one stays');



=== TEST 28: Tyk, another secret
--- before
tyk('1s', session => 0);
tyk_is('settle 1s;', 'X');
--- script
my $operation = is_pending('refused');
like(attempted($operation)->{error}, qr/403/, 'the error');
is($::Tyk->show('KEY1'), 200, 'accepted');



=== TEST 29: Vault, a token by its accessor
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



=== TEST 30: Vault, no such accessor
--- before
vault();
target('api-user', 'a9');
--- script
is_absent('not there');



=== TEST 31: Vault, a lease
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



=== TEST 32: what is queued is not done
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



=== TEST 33: Vault is sealed, follows another, or is asked too often
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



=== TEST 34: Retry-After is obeyed
--- before
talks(sub { [200, [], ''] }, 'success 200;');
--- script
my $then = POSIX::strftime('%a, %d %b %Y %H:%M:%S GMT', gmtime(time + 3));
my $day = 86400_000;

for (['seconds', 429, '2', 2000, 2600], ['with 503', 503, '2', 2000, 2600],
     ['a date', 429, $then, 1000, 3600],
     ['a date that is over', 429, 'Thu, 01 Jan 2015 00:00:00 GMT', 0, 1000],
     ['zero', 429, '0', 0, 1000],
     ['a day', 503, '86400', $day, $day * 1.01],
     ['more than a day', 503, '172800', $day * 0.99, $day * 1.01],
     ['more than numbers', 503, '99999999999999999999', 0, $day * 1.01],
     ['none of both', 429, 'soon', 0, 1000], ['empty', 503, '', 0, 1000],
     ['below', 503, '-5', 0, 1000], ['with another status', 500, '1000', 0, 1000])
{
    my ($name, $status, $after, $least, $most) = @$_;
    my $id = $name =~ tr/ /-/r;
    credential($id);
    target($id, $id);
    $::Web->say($status, ["Retry-After: $after"], '', on => $id, times => 0);
    my $receipt = attempted(operation(del($id)));
    $::Web->forget;
    my $delay = $receipt->{next} - $receipt->{last};
    ok($delay >= $least && $delay <= $most, "$name: $delay ms");
}

# none of them came earlier

ok(wait_for(sub { 2 == grep { m{/seconds$} } $::Web->asked }), 'asked again');
my ($first, $second) = map { $_->{time} } grep { $_->{target} =~ /seconds/ }
                       $::Web->requests;
cmp_ok($second - $first, '>=', 1.9, 'after that time');



=== TEST 35: redirects are not followed
--- before
our $Other = web(sub { [200, [], ''] });
talks(sub { [200, [], ''] }, 'success 200; gone 404 gone;');
--- script
for my $status (300, 301, 302, 303, 304, 307, 308) {
    my $id = "r$status";
    credential($id);
    target($id, $id);
    $::Web->say($status, ['Location: ' . $::Other->url . '/'], '', on => $id, times => 2);
    my $got = del($id);
    answer_is($got, "$status: pending", pending(production => 'refused',
                                                staging => undef));
    like(attempted(operation($got))->{error}, qr/$status/, "$status: the error");
}
ok(settled(), 'all of them are done when they are not redirected');
is_deeply([$::Other->asked], [], 'nobody else was asked');



=== TEST 36: a 404 without words is believed after a success only, and verified
--- before
our ($Verify, %There) = (404);
talks(sub { [404, [], 'whatever'] },
      'success 200; gone 404; verify GET "/verify/{target}";');
--- script
my $operation = is_pending('refused');
like(attempted($operation, 3)->{error}, qr/404/, 'not at first');
is_deeply([grep { /verify/ } $::Web->asked], [], 'nor verified');

# somebody who does delete is who is meant

$::Web->say(200, [], '', on => 'DELETE /credentials/other');
credential('other');
target('other', 'other');
answer_is(del('other'), 'a success', everywhere());
ends_as($operation, 'not_deployed');

credential('third');
target('third', 'third');
my $rule = $::Web->say(200, [], 'here', on => 'GET /verify/third', times => 0);
my $got = del('third');
answer_is($got, 'it is there', pending(production => 'refused', staging => undef));
$::Web->forget;
ok(settled(), 'until it is not');



=== TEST 37: a success that is not true
--- before
talks(sub { [$_[0]{method} eq 'GET' ? 404 : 200, [], 'unknown'] },
      'success 200; gone 404 unknown; verify GET "/credentials/{target}";');
our $Rule = $::Web->say(200, [], 'here', on => '^GET', times => 3);
--- script
my $operation = is_pending('refused');
my $receipt = attempted($operation);
like($receipt->{error}, qr/verify.*200/, 'the error');
$receipt = ends_as($operation, 'undeployed');
is($receipt->{attempts}, 4, 'attempts');
is($::Web->matched($::Rule), 3, 'as often as it was there');



=== TEST 38: what is changed meanwhile is not deleted
--- before
our $Etag = '"/config/apps/http/servers/a/accounts/3 0123abcd"';
talks(sub {
    my ($request) = @_;
    return [200, ['Content-Type: application/json', "Etag: $::Etag"], "{}\n"]
        if $request->{method} eq 'GET';
    my ($match) = @{ $request->{headers}{'if-match'} || [] };
    return [400, [], 'none'] unless defined $match;
    return $match eq $::Etag ? [200, [], ''] : [412, [], 'changed'];
}, 'success 200; gone 404 unknown; match GET "/credentials/{target}";');
--- script
$::Web->say(200, ['ETag: W/"other"'], '', on => '^GET', times => 2);
my $operation = is_pending('refused');
like(attempted($operation)->{error}, qr/412/, 'the error');
my $receipt = ends_as($operation, 'undeployed');
is($receipt->{attempts}, 3, 'attempts');
is_deeply([map { $_->{headers}{'if-match'}[0] // () } $::Web->requests],
          ['W/"other"', 'W/"other"', $::Etag], 'as they were, to the byte');
is_deeply([map { $_->{headers}{'if-match'}[0] // () }
           grep { $_->{method} eq 'GET' } $::Web->requests], [], 'but not where it is asked');



=== TEST 39: what cannot be matched
--- before
talks(sub { [200, [], ''] },
      'success 200; gone 404 unknown; match GET "/credentials/{target}";');
--- script
$::Web->say(404, [], 'nobody knows', on => '^GET', times => 1);
my $operation = is_pending('refused');
like(attempted($operation, 2)->{error}, qr/match/, 'no ETag: the error');
is_deeply([grep { /^DELETE/ } $::Web->asked], [], 'never deleted');
$::Web->say(404, [], 'unknown', on => '^GET', times => 0);
ends_as($operation, 'not_deployed');



=== TEST 40: an answer that comes too late
--- before
our $Gone = 0;
talks(sub { $::Gone++ ? [404, [], 'unknown'] : [200, [], ''] },
      'success 200; gone 404 unknown; timeout 500ms;');
our $Rule = $::Web->keep;
--- script
my $got = del('api-user');
answer_is($got, 'late', pending(production => 'late', staging => undef));
my $operation = operation($got);
ok(receipt($operation)->{unclear}, 'nobody knows what it did');
ends_as($operation, 'undeployed');
ok(wait_for(sub { $::Web->connections <= 1 }), 'that connection is not kept');



=== TEST 41: a newer one stays
--- before
talks(sub { [409, [], '{"error":"conflict"}'] },
      q(success 200; superseded 409 '"conflict"';));
--- script
my $got = del('api-user');
answer_is($got, 'superseded', pending(production => 'superseded', staging => undef));
is(receipt(operation($got))->{state}, 'superseded', 'the receipt');



=== TEST 42: a connector that nginx.conf does not have, until a reload
--- before
talks(sub { [200, [], ''] }, 'success 200;');
reaches('nowhere', 'api-user' => 't1');
--- script
my $operation = is_pending('unreachable');
my $receipt = receipt($operation);
is($receipt->{state}, 'pending', 'pending');
like($receipt->{error}, qr/no "cred_connector.*in nginx\.conf/, 'the error');
is($receipt->{attempts} // 0, 0, 'no attempts');

my @ids = map { "n$_" } 1 .. 20;
credential(\@ids);
target($_, $_) for @ids;
is(del($_)->{headers}{'cred-pending'}, 'production', "another: $_") for @ids[0 .. 2];
is(told('production: no "cred_connector'), 1, 'told once');
is_deeply([$::Web->asked], [], 'nobody was asked');

connectors(nowhere => 'url ' . $::Web->url . '; success 200;'
                      . 'request DELETE "/credentials/{target}";');
ok(nginx_reload(), 'reloaded');
ends_as($operation, 'undeployed');
is(scalar(grep { /t1/ } $::Web->asked), 1, 'asked once');



=== TEST 43: URLs of connectors that are none
--- before
talks(sub { [200, [], ''] }, 'success 200;');
--- script
for my $url ('connector:', 'connector:web ', 'connector: web', 'connector:/web',
             'connector:' . 'x' x 65, "connector:w\neb", 'CONNECTOR:web',
             'connector://web', 'connector:web/x', 'http://127.0.0.1:1/')
{
    redis('registry', 'HSET', '{cred}:environments', 'production', $url);
    my $got = one_more();
    is($got->{status}, 200, "deleted, with $url" =~ s/\n/\\n/r);
    is($got->{headers}{'cred-pending'}, 'production', 'pending');
}
is_deeply([$::Web->asked], [], 'nobody was asked');



=== TEST 44: two nginx of one registry, with different connectors
--- before
our $Second = web(sub { [200, [], ''] });
talks(sub { [200, [], ''] }, 'success 200;');
redis('registry', 'HSET', '{cred}:environments', 'staging', 'connector:second');
target('api-user', 't2', 'staging');
--- script
my $got = del('api-user');
answer_is($got, 'one is pending', pending(production => undef,
                                          staging => 'unreachable'));
my $operation = operation($got);

gateway_start('second', access => '', http => 'cred_registry $TEST_NGINX_REGISTRY;'
    . ' cred_retry_delay 100ms 400ms; cred_connector second { success 200; url '
    . $::Second->url . '; request DELETE "/second/{environment}/{target}"; }',
    server => 'location /apiops/ { cred_delete apinizer; }');

ok(settled(), 'the other one does it');
is(receipt($operation, 'staging')->{state}, 'undeployed', 'the receipt');
is(receipt($operation, 'staging')->{attempts}, 1, 'one attempt');
is_deeply([$::Web->asked], ['DELETE /credentials/t1'], 'one was asked here');
is_deeply([$::Second->asked], ['DELETE /second/staging/t2'], 'one there');

# and the other way round, many of them

$::Web->down;
my @ids = map { "n$_" } 1 .. 50;
credential(\@ids, 'registry');
for my $id (@ids) {
    target($id, "p-$id");
    target($id, "s-$id", 'staging');
}
del($_) for @ids;
$::Web->up;
ok(settled(), 'all of them');
my %asked;
$asked{$_}++ for grep { /n\d+$/ } $::Web->asked, $::Second->asked;
is(scalar(keys %asked), 100, 'each was asked for');



=== TEST 45: a connector that is down, and many who wait
--- before
talks(sub { [200, [], ''] }, 'success 200;');
$::Web->down;
--- script
my @ids = map { "n$_" } 1 .. 300;
credential(\@ids);
target($_, $_) for @ids;
my @got = map { http_parse($_) } http_many(map { del_raw($_) } @ids[0 .. 99]);
is(scalar(grep { $_->{headers}{'cred-pending'} } @got), 100, 'pending');
push @got, map { http_parse($_) } http_many(map { del_raw($_) } @ids[100 .. 299]);
$::Web->up;
ok(settled(), 'all of them');
my %asked;
$asked{$_}++ for $::Web->asked;
is(scalar(grep { $asked{"DELETE /credentials/$_"} } @ids), 300, 'each was asked for');
my %conns = map { $_->{conn} => 1 } $::Web->requests;
cmp_ok(scalar(keys %conns), '<=', 40, 'on few connections');
cmp_ok($::Web->connections, '<=', 8 * (() = nginx_workers()), 'which are not too many');



=== TEST 46: unlike environments get what is theirs
--- before
talks(sub { [200, [], ''] }, 'success 200;');
our $Second = web(sub { [200, [], ''] });
connectors(web => 'url ' . $::Web->url . '/base/; success 200;'
           . ' request DELETE "/{api}/{scope}/{id}/{revision}/{environment}/{target}";',
           second => 'url ' . $::Second->url . '; success 200;'
           . ' header X-Operation "<{operation}>"; header Content-Type text/x-own;'
           . ' request PUT "/{id}?a={target}&b={environment}";'
           . q( body '{"id":"{id}","n":{revision},"x":["{target}"]}';));
redis('registry', 'HSET', '{cred}:environments', 'eu', 'connector:second',
      'us', 'connector:second');
target('api-user', 'T1');
target('api-user', 'T2', 'eu');
target('api-user', 'T 3"', 'us');
--- script
my $got = del('api-user');
answer_is($got, 'deleted', deleted(qw(eu production staging us)));
my $operation = operation($got);
is_deeply([$::Web->asked], ['DELETE /base/apinizer/MyProject/api-user/7/production/T1'],
          'below the base');
my @requests = sort { $a->{target} cmp $b->{target} } $::Second->requests;
is_deeply([map { $_->{target} } @requests],
          ['/api-user?a=T%203%22&b=us', '/api-user?a=T2&b=eu'], 'the others');
is_deeply([map { $_->{body} } @requests],
          ['{"id":"api-user","n":7,"x":["T 3\""]}', '{"id":"api-user","n":7,"x":["T2"]}'],
          'their bodies');
is($_->{headers}{'x-operation'}[0], "<$operation>", 'a header') for @requests;
is($_->{headers}{'content-type'}[0], 'text/x-own', 'the type') for @requests;



=== TEST 47: the trace of a delete
--- before
talks(sub { [200, [], 'ok'] }, 'success 200 ok; verify GET "/{target}"; gone 200 x;');
$::Web->say(200, [], 'x', on => '^GET');
--- script
my $trace = '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01';
answer_is(del('api-user', headers => ["traceparent: $trace"]), 'deleted', everywhere());
is_deeply([map { $_->{headers}{traceparent}[0] } $::Web->requests], [$trace, $trace],
          'goes along with each request');



=== TEST 48: a webhook
--- before
our @Keys = ('a' x 24, "\0\xff" x 16);
$::Web = web(sub { [204, [], ''] });
my $file = write_file('siem.whsec', join ' ', map {
    'whsec_' . MIME::Base64::encode_base64($_, '')
} @::Keys);
connectors(siem => 'webhook ' . $::Web->url . "/hooks/a; secret file=$file;");
reaches('siem');
--- script
$::Web->say(500, [], '');
my $operation = is_pending('refused');
ends_as($operation, 'undeployed');
my @requests = $::Web->requests;
is(scalar @requests, 2, 'sent twice');

for my $request (@requests) {
    my %is = map { $_ => $request->{headers}{$_}[0] } keys %{ $request->{headers} };
    is("$request->{method} $request->{target}", 'POST /hooks/a', 'where');
    is($is{'content-type'}, 'application/json', 'the type');
    my $signed = "$is{'webhook-id'}.$is{'webhook-timestamp'}.$request->{body}";
    is($is{'webhook-signature'}, join(' ', map {
        'v1,' . MIME::Base64::encode_base64(Digest::SHA::hmac_sha256($signed, $_), '')
    } @::Keys), 'signed with both keys');
    like($is{'webhook-id'}, qr/$operation.*production/, 'the id');
    cmp_ok(abs($is{'webhook-timestamp'} - $request->{time}), '<=', 5, 'the time');
    my $body = JSON::PP::decode_json($request->{body});
    is($body->{data}{id}, 'api-user', 'the id of the credential');
    is($body->{data}{operation}, $operation, 'and the operation');
}

is($requests[0]{headers}{'webhook-id'}[0], $requests[1]{headers}{'webhook-id'}[0],
   'with one id');
is($requests[0]{body}, $requests[1]{body}, 'and one body');



=== TEST 49: a webhook is taken with 2xx only
--- before
$::Web = web(sub { [204, [], ''] });
my $file = write_file('siem.whsec', 'whsec_' . MIME::Base64::encode_base64('k' x 32, ''));
connectors(siem => 'webhook ' . $::Web->url . "; secret file=$file;");
reaches('siem');
--- script
for my $status (200, 201, 202, 204, 299) {
    my $rule = $::Web->say($status, [], '');
    my $got = one_more();
    answer_is($got, "$status: taken", everywhere());
    is($::Web->matched($rule), 1, 'asked');
}

for my $status (300, 302, 400, 404, 410, 500) {
    $::Web->say($status, [], '', times => 0);
    my $got = one_more();
    $::Web->forget;
    answer_is($got, "$status: not taken", pending(production => 'refused',
                                                  staging => undef));
}

ok(settled(), 'in the end all of them are');



=== TEST 50: a reload while an answer is waited for
--- before
talks(sub { [200, [], ''] }, 'success 200;');
our $Rule = $::Web->keep;
--- script
my $sock = http_open();
print $sock del_raw('api-user');
ok($::Web->wait_matched($::Rule), 'asked');
ok(nginx_reload(), 'reloaded');
$::Web->release($::Rule);
answer_is(http_parse(http_read($sock)), 'answered by the old worker', everywhere());
answer_is(one_more(), 'and by the new one: no target',
          pending(production => 'refused', staging => undef));



=== TEST 51: Kong, of another consumer
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



=== TEST 52: targets that somebody did not mean
--- before
apisix();
--- http_config eval
$::Config
--- config
location /apiops/ { cred_delete apinizer; }
location = /status { cred_status json; }
--- script
for my $target ("c1\n", 'c1 ', ' c1', "\tc1", "c1\r") {
    my $id = 't' . ord(substr $target, -1) . length $target;
    credential($id);
    target($id, $target);
    my $operation = is_pending('refused', 'not asked for', $id);
    like(attempted($operation)->{error}, qr/begins or ends with a space/, 'the error');
}

is_deeply([$::Apisix->asked], [], 'of nobody');
is($::Apisix->show('KEY1'), 200, 'it is accepted');
is(told('undeployment was refused: the target begins or ends'), 1, 'told once');

my $status = JSON::PP::decode_json(call('GET', '/status')->{body});
my ($is) = grep { $_->{name} eq 'production' } @{ $status->{environments} };
like(JSON::PP::encode_json($is->{error}), qr/the target begins or ends with/,
     'the status shows it');



=== TEST 53: APISIX, and the consumer is gone as well
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



=== TEST 54: verify by HEAD
--- before
talks(sub { [200, [], 'ok'] }, 'success 200 ok; gone 404; verify HEAD "/{target}"; timeout 2s;');
$::Web->rule(on => '^HEAD', times => 0,
    steps => ["HTTP/1.1 404 Not Found\r\nContent-Length: 9\r\n\r\n"]);
--- script
answer_is(del('api-user'), 'done', everywhere());



=== TEST 55: what "verify" has found to be there is not heard to be gone
--- before
talks(sub { my ($r, $self) = @_;
            $r->{method} eq 'DELETE' ? [200, [], 'ok']
            : $self->{gone} ? [404, [], 'no'] : [200, [], 'there'] },
      'success 200 ok; gone 404; verify GET "/{target}"; settle 3s;');
--- script
my $operation = operation(del('api-user'));
attempted($operation, 4);
my $is = receipt($operation);
ok(!exists $is->{heard}, 'nothing is believed');
ok($is->{unclear}, 'but it may have acted');
my $there = Time::HiRes::time();
$::Web->do('set', gone => 1);
$is = ends_as($operation, 'undeployed');
cmp_ok($is->{last} / 1000 - $there, '>=', 2.9, 'caches were waited for');



=== TEST 56: who says each time that it did it is waited for once
--- before
talks(sub { my ($r, $self) = @_;
            [200, [], 'deleted'] },
      'success 200 deleted; gone 404 "no such key"; settle 2s;');
--- script
my $operation = operation(del('api-user'));
ok(settled(), 'settled');
my @asked = grep { $_->{method} eq 'DELETE' } $::Web->requests;
my $is = receipt($operation);
cmp_ok($is->{last} / 1000 - $asked[0]{time}, '>=', 1.9, 'since the first delete');
is(scalar @asked, 2, 'asked twice');



=== TEST 57: Retry-After is not cut short by another credential's success
--- before
talks(sub { [$_[0]{target} =~ /busy/ ? 429 : 200, ['Retry-After: 3600'], 'ok'] },
      'success 200; settle 500ms; timeout 200ms;');
for my $i (1 .. 20) { credential("b$i"); target("b$i", "busy$i"); }
for my $i (1 .. 5) { credential("x$i"); target("x$i", "x$i"); }
--- script
del("b$_") for 1 .. 20;
my $busy = sub { scalar grep { /busy/ } $::Web->asked };
is($busy->(), 20, 'asked once each');
for my $i (1 .. 5) {
    $::Web->say(500, [], '', on => "x$i");
    my $operation = operation(del("x$i"));
    receipt_when($operation, sub { $_[0]{state} eq 'undeployed' });
    is($busy->(), 20, "the others are not asked: $i");
}
sleep 1;
is($busy->(), 20, 'nor later');



=== TEST 58: Retry-After: 0
--- before
talks(sub { [429, ['Retry-After: 0'], 'busy'] }, 'success 200;');
--- script
my $operation = operation(del('api-user'));
sleep 4;
cmp_ok(scalar(() = $::Web->asked), '<', 16, 'it is not hammered');
cmp_ok(receipt($operation)->{attempts}, '>', 1, 'but asked');



=== TEST 59: success elsewhere vouches for another workspace
--- before
talks(sub { [$_[0]{target} =~ /^.production/ && $_[0]{method} eq 'DELETE' ? 200 : 404, [], 'whatever'] },
      'success 200; gone 404; verify GET "/{environment}/{target}";');
connectors(web => 'url ' . $::Web->url . '; request DELETE "/{environment}/{target}";'
  . 'success 200; gone 404; verify GET "/{environment}/{target}";');
redis('registry', 'HSET', '{cred}:environments', 'typo', 'connector:web');
target('api-user', 'T2', 'typo');
credential('more'); target('more', 'T3'); target('more', 'T4', 'typo');
--- script
del('api-user');
is(receipt(operation(del('more')), 'typo')->{state}, 'pending',
   'a 404 of another workspace is no word');



=== TEST 60: a pending entry with the score -inf
--- before
talks(sub { [500, [], ''] }, 'success 200;');
credential('more'); target('more', 't2');
--- script
my $operation = operation(del('api-user'));
my $second = operation(del('more'));
my ($member) = redis('registry', 'ZRANGE', '{cred}:pending:production', 0, -1) =~ /(\S+$operation)/;
redis('registry', 'ZADD', '{cred}:pending:production', '-inf', $member);
for my $is ($operation, $second) {
    my $n = receipt($is)->{attempts};
    cmp_ok(attempted($is, $n + 2)->{attempts}, '>', $n, 'claims go on');
}



=== TEST 61: unclear of a receipt that is rounded up
--- before
talks(sub { [500, [], ''] }, 'success 200;');
credential('more'); target('more', 't2');
--- script
my $operation = operation(del('api-user'));
my $second = operation(del('more'));
my ($member) = redis('registry', 'ZRANGE', '{cred}:pending:production', 0, -1) =~ /(\S+$operation)/;
redis('registry', 'EVAL', <<'END', 0, $operation, $member);
local due = redis.call('ZSCORE', '{cred}:pending:production', ARGV[2])
redis.call('HSET', '{cred}:operation:' .. ARGV[1], 'environment:production',
           '{"state":"pending","attempts":1,"unclear":999999999999999.9,"next":'
           .. due .. '}')
END

for my $is ($operation, $second) {
    my $n = receipt($is)->{attempts};
    cmp_ok(attempted($is, $n + 2)->{attempts}, '>', $n, 'claims go on');
}


=== TEST 62: 200 environments, ten deletes at once: connections are left
--- before
talks(sub { [200, [], ''] }, 'success 200; timeout 5s;');
redis('registry', 'HSET', '{cred}:environments', map { ("e$_" => 'connector:web') } 1 .. 200);
for my $i (1 .. 10) {
    credential("x$i");
    redis('registry', 'HSET', "{cred}:apinizer:credential:MyProject:x$i",
          map { ("target:e$_" => "t$i-$_") } 1 .. 200);
}
--- script
my @socks = map { my $sock = http_open(); print $sock del_raw("x$_"); $sock } 1 .. 10;
http_parse(http_read($_)) for @socks;
unlike(error_log_text(), qr/worker_connections are not enough/, 'no alert');
