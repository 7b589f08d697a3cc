# The operator's command: what it writes is what nginx deletes by, what it says
# is safe, and what is secret stays so.

use CredTest;
use CredTest::Certs;
use CredTest::Cluster;
use CredTest::Command;
use CredTest::Delete;
use CredTest::Gateway;
use CredTest::Redis;
use CredTest::Sentinel;
use CredTest::Urls;

our $dir = temp_dir();

# names that do harm where they are pasted

our @hostile = ("a b", "q\"'`\$(id)", "two\nlines", "* [x]? \\", '<script>alert(1)</script>',
                "\e[31mred\a", "100%:25%3A", "caf\303\251", "bad\377\300\257utf8", '-x', '--json',
                "\342\200\256rtl", "tab\there");

my %gateway = gateway();

defaults(
    http_config => $gateway{http_config} . "cred_retry_delay 50ms 100ms;\n",
    config => $gateway{config} =~ s{location /apiops/ .*}
                                   {cred_delete apinizer iam deepset thousandeyes alloy;}r,
);

# the environments, by the command

sub register {
    cred('environment', 'add', $_, redis_url($_)) for qw(production staging);
}

sub line { (split /\n/, $_[0])[0] }

run_tests();


__DATA__

=== TEST 1: a token, a member, a credential and its key; then a delete
--- script
register();
my $token = line(cred('token', 'add', 'apinizer', 'alice')->{out});
like($token, qr/^cred_[\w-]{40}\z/, 'a token');
is(del('api-user', token => $token)->{status}, 404, 'there is no project');

cred_ok('member set', 'member', 'set', 'apinizer', 'MyProject', 'alice', 'view');
my $key = line(cred('credential', 'add', 'apinizer', 'MyProject', 'api-user',
                    '--owner', 'alice', '--grant', 'API_PROXY:orders',
                    '--grant=two words', '--new-key')->{out});
is(gate($key)->{status}, 401, 'not yet deployed');
cred_ok('credential deploy', 'credential', 'deploy', 'apinizer', 'MyProject', 'api-user');
ok(wait_for(sub { gate($key)->{status} == 200 }), 'its key passes');

is(redis('production', 'SMEMBERS', '{cred}:apinizer:grants:MyProject:api-user'),
   'API_PROXY:orders two words', 'grants');
is(redis('production', 'SMEMBERS', '{cred}:apinizer:credentials:MyProject'), 'api-user', 'index');
unlike(join(' ', map { $_, redis('registry', 'DUMP', $_) } redis('registry', 'KEYS', '*')),
       qr/\Q$token\E|\Q$key\E/, 'the registry has no secret');

is(del('api-user', token => $token)->{status}, 403, 'who may view may not delete');
cred_ok('member set', 'member', 'set', 'apinizer', 'MyProject', 'alice', 'manage');
answer_is(del('api-user', token => $token), 'deleted', everywhere());
is(gate($key)->{status}, 401, 'the key is refused');

# what was undeployed does not come back

ok(settled(), 'settled');
cred('credential', 'add', 'apinizer', 'MyProject', 'api-user', '--revision', 5);
my $got = cred_json('credential', 'deploy', 'apinizer', 'MyProject', 'api-user');
is_deeply([ map { $_->{state} } @$got ], ['failed', 'failed'], 'an old revision is not deployed');
like($got->[0]{message}, qr/was undeployed at revision \d+: a higher one than 5/, 'why');
is(redis('production', 'EXISTS', '{cred}:apinizer:credential:MyProject:api-user'), 0, 'nothing is there');

cred_ok('member remove', 'member', 'remove', 'apinizer', 'MyProject', 'alice');
is(del('api-user', token => $token)->{status}, 404, 'who is no member sees nothing');

my $revoked = cred_json('token', 'revoke', 'apinizer', substr(sha256($token), 0, 8));
is($revoked->[0]{revoked}, JSON::PP::true, 'revoked');
is(del('api-user', token => $token)->{status}, 401, 'and refused');
--- redis_check
KEYS {cred}:apinizer:token:* =>



=== TEST 2: tokens of all five APIs delete
--- script
register();

my $uuid = '3fa85f64-5717-4562-b3fc-2c963f66afa6';
my $trace = '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01';
my %ask = (
    apinizer => ['MyProject', 'api-user', 200, sub {
        call('DELETE', path(), ["Authorization: Bearer $_[0]", "traceparent: $trace"]) }],
    iam => ['domain-1', 'LOSZM4YRVLKOY9E8X5VI', 204, sub {
        call('DELETE', '/v3.0/OS-CREDENTIAL/credentials/LOSZM4YRVLKOY9E8X5VI',
             ["X-Auth-Token: $_[0]"]) }],
    deepset => ['acme', $uuid, 204, sub {
        call('DELETE', "/api/v1/infrastructure/file_stores/$uuid",
             ["Authorization: Bearer $_[0]"]) }],
    thousandeyes => ['11', '405', 204, sub {
        my $basic = MIME::Base64::encode_base64("alice\@example.com:$_[0]", '');
        call('POST', '/v6/credentials/405/delete.json', ["Authorization: Basic $basic"]) }],
    alloy => ['6628b1a4d2f3e5a7c9b0d1e2', '6628b1f0d2f3e5a7c9b0d1f7', 200, sub {
        call('DELETE', '/users/6628b1a4d2f3e5a7c9b0d1e2/credentials/6628b1f0d2f3e5a7c9b0d1f7',
             ["Authorization: bearer $_[0]", 'x-api-version: 2025-09']) }],
);
require MIME::Base64;

for my $api (sort keys %ask) {
    my ($scope, $id, $status, $call) = @{ $ask{$api} };
    my $own = $api =~ /iam|deepset/;
    my $subject = 'alice@example.com';
    my $token = cred_json('token', 'add', $api, $subject,
                          $api =~ /iam|deepset|thousandeyes/ ? ('--scope', $scope) : ())->{token};

    cred('member', 'set', $api, $scope, $subject, 'manage') unless $own;
    cred_ok("$api: add", 'credential', 'add', $api, $scope, $id, '--owner', $subject);
    cred_ok("$api: deploy", 'credential', 'deploy', $api, $scope, $id);

    is($call->("x$token")->{status}, 401, "$api: another token");
    is($call->($token)->{status}, $status, "$api: deleted");
    is(redis('staging', 'EXISTS', "{cred}:$api:credential:$scope:$id"), 0, "$api: gone");
}

my $audit = cred_json('audit', '--all', '-n', 100);
is_deeply({ map { ("$_->{api} $_->{result}" => 1) } @$audit },
          { map { ("$_ deleted" => 1, "$_ unauthorized" => 1) } keys %ask }, 'audit');
is(@{ cred_json('audit') }, 5, 'without refused tokens');

my ($traced) = grep { "$_->{api} $_->{result}" eq 'apinizer deleted' } @$audit;
is($traced->{traceparent}, $trace, 'audit: traceparent');
is(cred_json('operation', $traced->{operation})->{traceparent}, $trace, 'operation: traceparent');



=== TEST 3: tokens: lists, times, refusals
--- script
my %token = map { ($_ => cred_json('token', 'add', 'apinizer', $_)->{token}) } qw(alice bob);
cred('token', 'add', 'apinizer', 'alice', '--expires', '90d');

my $list = cred_json('token', 'list', 'apinizer');
is_deeply([ sort map { $_->{subject} } @$list ], [qw(alice alice bob)], 'list');
my ($expires) = grep { $_ } map { $_->{expires} } @$list;
my $at = POSIX::strftime('%Y-%m-%d', gmtime(time + 90 * 86400));
like($expires, qr/^$at|^\d+-\d\d-\d\dT(?:23:59|00:0)/, 'it expires in 90 days');

my $mine = cred_run({ in => "MY_TOKEN\nmore\n" }, 'token', 'add', 'iam', 'carol', '--scope', 'd',
                    '--roles', 'secu_admin other', '--token-from-stdin');
is("$mine->{status} $mine->{out}", '0 ', 'of stdin, which is not shown');
is(redis('registry', 'HGET', '{cred}:iam:token:' . sha256('MY_TOKEN'), 'roles'), 'secu_admin other', 'roles');

cred_is('twice', 1, qr/there is such a token of iam already/, { in => 'MY_TOKEN' },
        'token', 'add', 'iam', 'carol', '--scope', 'd', '--token-from-stdin');
cred_is('nothing', 1, qr/stdin is empty/, { in => '' }, 'token', 'add', 'apinizer', 'c', '--token-from-stdin');
cred_is('strange', 1, qr/no header has/, { in => "a b\n" }, 'token', 'add', 'apinizer', 'c', '--token-from-stdin');
cred_is('no scope', 2, qr/tokens of deepset need --scope/, 'token', 'add', 'deepset', 'c');
cred_is('no API', 2, qr/there is no API nonsense/, 'token', 'add', 'nonsense', 'c');
cred_is('no time', 2, qr/is no time such as 90d/, 'token', 'add', 'apinizer', 'c', '--expires', '90y');
cred_is('no option', 2, qr/no option owner/, 'token', 'add', 'apinizer', 'c', '--owner', 'x');
cred_is('no value', 2, qr/lacks its value/, 'token', 'add', 'apinizer', 'c', '--scope');
cred_is('no command', 2, qr/\Acred: there is no command "nonsense": "cred help" has them\n\z/, 'nonsense');
cred_is('half a command', 2, qr/there is no command "token ad":/, 'token', 'ad', 'apinizer');
cred_is('no words', 2, qr/\Ausage:\n  token add [^\n]*\n +\[--token-from-stdin\]\ncred: wrong number of arguments\n\z/, 'token', 'add');
cred_is('no time', 2, qr/\Acred: "soon" is no number\n\z/, { env => { CRED_TIMEOUT => 'soon' } }, 'pending');
cred_is('no file', 2, qr/\Acred: cannot read \/nonexistent\n\z/, $_, '/nonexistent', 'pending')
    for '--password-file', '--sentinel-password-file';

cred_is('short', 2, qr/less than four/, 'token', 'revoke', 'apinizer', 'ab');
cred_is('none', 1, qr/no such token of apinizer: "cred token list" has the beginnings/, 'token', 'revoke', 'apinizer', '0' x 64);
redis('registry', 'HSET', "{cred}:apinizer:token:abcd$_", 'subject', 'x') for 1, 2;
cred_is('several', 1, qr/several tokens of apinizer begin with abcd/, 'token', 'revoke', 'apinizer', 'abcd');
redis('registry', 'HSET', '{cred}:apinizer:token:a*cd', 'subject', 'x');
is(cred_json('token', 'revoke', 'apinizer', 'a*cd')->[0]{sha256}, 'a*cd', 'a star is a star');

is(@{ cred_json('token', 'revoke', 'apinizer', '--subject', 'alice') }, 2, 'all of a subject');
is(del('x', token => $token{alice})->{status}, 401, 'are revoked');
is(del('x', token => $token{bob})->{status}, 404, 'those of others are not');
is(redis('registry', 'EXISTS', '{cred}:apinizer:token:abcd1'), 1, 'and nothing else');

my ($version) = slurp('CHANGES') =~ /^Changes with \w+ (\S+)/m;
is(cred('--version')->{out}, "cred $version\n", 'version');
like(cred('help')->{out}, qr/^usage: cred/, 'help');
like(cred('help', $_)->{out}, qr/^  $_ /m, "help $_") for qw(token environment member credential audit);



=== TEST 4: many tokens
--- script
redis('registry', 'EVAL', <<'LUA', 0);
for i = 1, 5000 do
    redis.call('HSET', '{cred}:apinizer:token:' .. string.format('%064x', i), 'subject', i % 7 == 0 and 'seven' or 'x')
end
LUA
is(@{ cred_json('token', 'list') }, 5000, 'all of them, once');
is(@{ cred_json('token', 'revoke', 'apinizer', sprintf('%064x', 4711)) }, 1, 'one of them');
is(scalar(redis('registry', 'DBSIZE')), 4999, 'is gone');



=== TEST 5: environments
--- script
register();
is(redis('registry', 'HGET', '{cred}:environments', 'production'), redis_url('production'), 'registered');
is_deeply([ map { "$_->{environment} $_->{pending}" } @{ cred_json('environment', 'list') } ],
          ['production 0', 'staging 0'], 'list');

cred_is('registry', 0, qr/is the registry itself, and will be refused/, 'environment', 'add', 'me', redis_tcp('registry'));
cred_ok('another prefix', 'environment', 'add', 'us', redis_tcp('registry') . '?prefix=x');
cred_is('away', 1, qr/Connection refused \(with --no-check/, 'environment', 'add', 'away', 'redis://127.0.0.1:' . free_port());
cred_is('database', 1, qr/DB index is out of range/, 'environment', 'add', 'away', redis_tcp('staging') . '/99');
is(redis('registry', 'HEXISTS', '{cred}:environments', 'away'), 0, 'is not registered');
cred_ok('away', 'environment', 'add', 'away', 'redis://u:S3cret@127.0.0.1:' . free_port(), '--no-check');

for my $reason (sort keys %Refused) {
    cred_is($_, 1, qr/malformed: \Q$reason\E/, 'environment', 'add', 'x', $_, '--no-check') for @{ $Refused{$reason} };
}
cred_is($_, 1, qr/malformed: a cluster needs a prefix with a "\{tag\}"/, 'environment', 'add', 'x', "redis-cluster://a?prefix=$_", '--no-check')
    for 'cred', '{}', '{}x{a}', '}a{', '{a';
cred_ok($_, 'environment', 'add', "taken $_", $_, '--no-check') for @Taken, 'redis-cluster://a,b', 'redis-cluster://a?prefix=x{a}';
redis('registry', 'HDEL', '{cred}:environments', grep { /taken/ } split /\n/, redis('registry', 'HKEYS', '{cred}:environments'));
unlike(cred('environment', 'list')->{out} . cred('environment', 'list', '--json')->{out}, qr/S3cret/, 'no password');

my $got = cred_run({ in => redis_tcp('staging') . "/1\n" }, 'environment', 'add', 'in', '-');
is($got->{status}, 0, 'by stdin');
is(redis('registry', 'HGET', '{cred}:environments', 'in'), redis_tcp('staging') . '/1', 'its URL');

redis('staging', 'REPLICAOF', '127.0.0.1', redis_port('production'));
cred_is('replica', 0, qr/is a replica of 127.0.0.1:\d+, and will be refused/, 'environment', 'add', 'r', redis_tcp('staging'));
redis('staging', 'REPLICAOF', 'NO', 'ONE');

# another password is no other place

cred_run({ in => redis_tcp('staging') . "/1?prefix=x\n" }, 'environment', 'add', 'in', '-');
cred_is('elsewhere', 0, qr/\Acred: "in" was at redis:[^\n]*\/1\?prefix=x: what is deleted from now on, or pending, is taken out of the new one alone\n\z/,
        'environment', 'add', 'in', redis_tcp('staging') . '/1');
my $port = free_port();
cred('environment', 'add', 'away', "redis://u:S3cret\@127.0.0.1:$port", '--no-check');
cred_ok('another password', 'environment', 'add', 'away', "redis://u:0ther\@127.0.0.1:$port", '--no-check');

cred_is('unknown', 1, qr/there is no environment "nonsense"/, 'environment', 'remove', 'nonsense');
redis('registry', 'ZADD', '{cred}:pending:in', 1, 'apinizer:a:b:0:ff');
cred_is('pending', 1, qr/1 undeployments are pending in "in"/, 'environment', 'remove', 'in');
redis('registry', 'SADD', '{cred}:apinizer:environments:a', 'in');
cred_is('force', 0, qr/deleted from now on stays in "in", [^\n]*\n[^\n]*1 scopes still name it/, 'environment', 'remove', 'in', '--force');
is(redis('registry', 'HEXISTS', '{cred}:environments', 'in'), 0, 'removed');



=== TEST 6: renaming takes what is pending along
--- script
register();
cred('member', 'set', 'apinizer', 'MyProject', 'alice', 'manage');
redis('registry', 'HSET', '{cred}:apinizer:token:' . sha256('TOKEN'), 'subject', 'alice');
redis('registry', 'SADD', '{cred}:apinizer:environments:MyProject', qw(production staging));

for (qw(before api-user)) {
    cred('credential', 'add', 'apinizer', 'MyProject', $_);
    cred('credential', 'deploy', 'apinizer', 'MyProject', $_);
}

my $before = del('before');
answer_is($before, 'one that is settled', everywhere());
ok(settled(), 'settled');

redis_stop('staging');
my $answer = del('api-user');
is($answer->{headers}{'cred-pending'}, 'staging', 'one is pending');
my $id = operation($answer);

ok(wait_for(sub {
    my ($production, $staging) = map { $_->{pending} } @{ cred_json('pending') };
    $production == 0 && $staging == 1;
}), 'pending');
ok(wait_for(sub { (cred_json('pending', 'staging')->[0]{error} // '') =~ /connect\(\) failed/ }), 'why');

redis('registry', 'ZADD', '{cred}:since:staging', 1, 'member');
my $new = 'st%ag:ing "2"';
cred_ok('rename', 'environment', 'rename', 'staging', $new);

my $key = 'st%25ag%3Aing "2"';
ok(wait_for(sub { redis('registry', 'ZCARD', "{cred}:pending:$key") == 1 }), 'its pending entry');
is(redis('registry', 'EXISTS', '{cred}:pending:staging', '{cred}:since:staging'), 0, 'has left');
is(redis('registry', 'ZSCORE', "{cred}:since:$key", 'member'), 1, 'since when, too');
is(redis('registry', 'SMEMBERS', '{cred}:apinizer:environments:MyProject'), "production $new", 'the set of the scope');
is(redis('registry', 'HEXISTS', '{cred}:positions', $new), 1, 'its position');
is(redis('registry', 'HEXISTS', '{cred}:positions', 'staging'), 0, 'which has moved');
is_deeply([ sort map { $_->{environment} } @{ cred_json('operation', $id)->{receipts} } ],
          ['production', $new], 'receipts');
is_deeply([ sort map { $_->{environment} } @{ cred_json('operation', operation($before))->{receipts} } ],
          ['production', $new], 'receipts of what was settled');

cred_is('away', 1, qr/there is no environment "staging"/, 'environment', 'rename', 'staging', 'x');
cred_is('taken', 1, qr/there is an environment "production" already/, 'environment', 'rename', $new, 'production');

redis_start('staging');
ok(wait_for(sub {
    (grep { $_->{environment} eq $new } @{ cred_json('operation', $id)->{receipts} })[0]{state} =~ /undeployed|not_deployed/
}), 'it is delivered under the new name');
ok(wait_for(sub { redis('registry', 'EXISTS', "{cred}:pending:$key") == 0 }), 'and pending no more');

# staging has restarted without a memory: all is told again, of the time before, too

ok(wait_for(sub {
    my ($receipt) = grep { $_->{environment} eq $new }
                    @{ cred_json('operation', operation($before))->{receipts} };
    ($receipt->{again} // 0) >= 1 && $receipt->{state} ne 'pending'
}), 'what was settled before it was renamed is told again');



=== TEST 7: what a rename left is moved by another one
--- registry
HSET {cred}:environments new redis://127.0.0.1:1
ZADD {cred}:pending:old 5 apinizer:a:b:1:00aa 7 apinizer:a:c:1:00bb
ZADD {cred}:pending:new 6 apinizer:a:c:1:00bb
HSET {cred}:operation:00aa api apinizer pending 1 environment:old {"state":"pending"} target:old x
ZADD {cred}:operations 1 00aa 2 00cc
HSET {cred}:operation:00cc api apinizer pending 0 environment:old {"state":"undeployed"} target:old y
HSET {cred}:apinizer:credential:a:b target:old z target:older o owner alice
HSET {cred}:iam:credential:a:c target:old z target:new n
SET {cred}:iam:credential:a:d target:old
SADD {cred}:pending old
--- script
cred_ok('rename', 'environment', 'rename', 'old', 'new');
is(join(' ', sort(redis('registry', 'ZRANGE', '{cred}:pending:new', 0, -1))), 'apinizer:a:b:1:00aa apinizer:a:c:1:00bb', 'both');
like(redis('registry', 'HGET', '{cred}:operation:00aa', 'environment:new'), qr/"state":"pending"/, 'its receipt');
is(redis('registry', 'HEXISTS', '{cred}:operation:00aa', 'environment:old'), 0, 'has moved');
is(redis('registry', 'HGET', '{cred}:operation:00aa', 'target:new'), 'x', 'its target');
is(redis('registry', 'HEXISTS', '{cred}:operation:00aa', 'target:old'), 0, 'has moved');
is(redis('registry', 'HGET', '{cred}:operation:00cc', 'target:new'), 'y', 'that of what was settled');
is(join(' ', redis('registry', 'HMGET', '{cred}:apinizer:credential:a:b', qw(target:new target:older owner))), 'z o alice',
   'that of a credential');
is(join(' ', redis('registry', 'HGETALL', '{cred}:iam:credential:a:c')), 'target:new n', 'which has one already');
redis('registry', 'HSET', '{cred}:environments', 'third', 'redis://127.0.0.1:1');
cred_is('taken', 1, qr/already/, 'environment', 'rename', 'new', 'third');
is(redis('registry', 'HEXISTS', '{cred}:iam:credential:a:c', 'target:third'), 0, 'what is refused changes nothing');



=== TEST 8: hostile names
--- script
register();

for my $name (@main::hostile) {
    my $shown = $name =~ s/[^ -~]/?/gr;

    for (['token', 'add', '--', 'apinizer', $name],
         ['token', 'add', '--scope', $name, '--', 'iam', $name],
         ['environment', 'add', '--', $name, redis_tcp('staging')],
         ['member', 'set', '--', 'apinizer', $name, $name, 'manage'],
         ['credential', 'add', '--owner', $name, '--grant', $name, '--', 'apinizer', $name, $name],
         ['credential', 'deploy', '--', 'apinizer', $name, $name],
         ['credential', 'show', '--', 'apinizer', $name, $name],
         ['credential', 'deploy', '--', 'apinizer', $name, $name, $name],
         ['environment', 'rename', '--', $name, "${name}2"],
         ['pending', '--', "${name}2"])
    {
        my $got = cred(@$_);
        is($got->{status}, 0, "$shown: @$_[0, 1]") or diag($got->{err});
        unlike($got->{out} . $got->{err}, qr/[\x00-\x09\x0b-\x1f\x7f]|\342\200\256|\377/, "$shown: harmless");
    }

    my $part = $name =~ s/([%:])/sprintf '%%%02X', ord $1/ger;
    is(redis('staging', 'HGET', "{cred}:apinizer:credential:$part:$part", 'owner'), $name, "$shown: deployed");
}

for (['token', 'list'], ['environment', 'list'], ['credential', 'list', 'apinizer'],
     ['audit', '--all'], ['pending'], ['member', 'list', 'apinizer', $main::hostile[1]],
     ['credential', 'show', 'apinizer', $main::hostile[8], $main::hostile[8]])
{
    my $got = cred_json(@$_);
    is(ref $got, 'ARRAY', "JSON of $_->[0]") or diag($got->{error});
    unlike(cred(@$_)->{out}, qr/[\x00-\x09\x0b-\x1f\x7f]|\342\200\256|\377/, "$_->[0]: harmless");
}

my @got = sort grep { !/^(?:production|staging)\z/ } map { $_->{environment} } @{ cred_json('environment', 'list') };
my @wanted = sort map { my $n = "${_}2" =~ s/\377\300\257/\\xff\\xc0\\xaf/r; utf8::decode($n); $n } @main::hostile;
is_deeply(\@got, \@wanted, 'JSON has the names as they are');

my $bad = cred('token', 'add', 'apinizer', 'x', "\e[31m");
unlike($bad->{err}, qr/\e/, 'nor do errors');



=== TEST 9: what a caller has sent is harmless in the audit
--- script
register();
del(undef, path => '/apiops/projects/%1b%5b31m%22/credentials/%3Cscript%3E%0a/');
ok(wait_for(sub { @{ cred_json('audit', '--all') } == 1 }), 'an entry');
unlike(cred('audit', '--all')->{out}, qr/\e/, 'harmless');
like(cred_json('audit', '--all')->[0]{result}, qr/unauthorized|not_found|invalid/, 'result');



=== TEST 10: secrets are in no list of processes
--- script
my $log = "$main::dir/argv";
mkdir "$main::dir/argv.bin";

for my $name (qw(redis-cli valkey-cli openssl sha256sum timeout awk sed)) {
    my ($real) = grep { -x } map { "$_/$name" } qw(/usr/bin /bin /usr/local/bin);
    next unless $real;
    open my $out, '>', "$main::dir/argv.bin/$name" or die $!;
    print $out "#!/bin/sh\nprintf '%s\\n' \"\$0 \$*\" >> $log\nexec $real \"\$@\"\n";
    close $out;
    chmod 0755, "$main::dir/argv.bin/$name";
}

my %env = (PATH => "$main::dir/argv.bin:$ENV{PATH}");

redis('registry', 'ACL', 'SETUSER', 'operator', 'on', '>REGISTRY/PASS', '~*', '+@all');
redis('staging', 'ACL', 'SETUSER', 'operator', 'on', '>STAGING@PASS', '~*', '+@all');
redis('registry', 'ACL', 'SETUSER', 'default', 'off');
my $url = redis_tcp('registry') =~ s{//}{//operator:REGISTRY%2FPASS@}r;
my $staging = redis_tcp('staging') =~ s{//}{//operator:STAGING%40PASS@}r;
my @outs;

sub by_env { my ($args, @words) = @_;
    my $got = cred_run({ bare => 1, env => { %env, CRED_REGISTRY => $url }, %$args }, @words);
    push @outs, $got->{out} . $got->{err}; return $got }

is(by_env({ in => $staging }, 'environment', 'add', 'staging', '-')->{status}, 0, 'an environment');
my $token = line(by_env({}, 'token', 'add', 'apinizer', 'alice')->{out});
is(by_env({ in => 'OWN_TOKEN' }, 'token', 'add', 'apinizer', 'alice', '--token-from-stdin')->{status}, 0, 'a token');
my $key = line(by_env({}, 'credential', 'add', 'apinizer', 'p', 'c', '--new-key')->{out});
like($key, qr/^cred_/, 'a key');
is(by_env({}, 'credential', 'deploy', 'apinizer', 'p', 'c')->{status}, 0, 'deployed');
is(by_env({}, 'environment', 'rename', 'staging', 'stage')->{status}, 0, 'renamed');
by_env({}, 'credential', 'show', 'apinizer', 'p', 'c');
by_env({}, 'environment', 'list');
by_env({}, 'doctor', '--nginx', 'none');

my $argv = slurp($log);
like($argv, qr/ EVAL /, 'what was called');
unlike($argv, qr/REGISTRY.{1,3}PASS|STAGING.{1,3}PASS|OWN_TOKEN|\Q$token\E|\Q$key\E/, 'has no secret');
unlike(join('', @outs), qr/REGISTRY.{1,3}PASS|STAGING.{1,3}PASS|OWN_TOKEN/, 'nor has what was said');

redis_kill('registry');
redis_start('registry');



=== TEST 11: ways to the registry
--- script
register();

my ($dir, $count) = ($main::dir, 2);
sub reads { my ($name, $args, @words) = @_;
    my $got = cred_json({ bare => 1, %$args }, @words, 'environment', 'list');
    is(ref $got eq 'ARRAY' && @$got, 2, $name) or diag(Test::More::explain($got)) }

reads('unix', {}, '-u', redis_url('registry'));
reads('with a name', {}, '-u', 'redis://localhost:' . redis_port('registry'));
reads('IPv6', {}, '-u', 'redis://[::1]:' . redis_port('registry') . '/0');
reads('by the environment', { env => { CRED_REGISTRY => redis_tcp('registry') } });
reads('encoded', {}, '-u', 'unix:' . redis_socket('registry') =~ s/(.)/sprintf '%%%02x', ord $1/ger =~ s/^%2f/\//r);
reads('prefix', {}, '-u', redis_tcp('registry') . '?prefix=%7Bcred%7D');

redis_load('registry', "ACL SETUSER op on >p\@ss/:%# ~* +\@all");
reads('password', {}, '-u', 'redis://op:p%40ss%2f%3A%25%23@127.0.0.1:' . redis_port('registry'));

open my $out, '>', "$dir/cred.password" or die $!;
print $out "p\@ss/:%#\nsecond line\n";
close $out;
reads('password file', {}, '-u', 'redis://op@127.0.0.1:' . redis_port('registry'), '--password-file', "$dir/cred.password");
open $out, '>', "$dir/crlf.password" or die $!;
print $out "p\@ss/:%#\r\nsecond line\r\n";
close $out;
reads('password file of another system', {}, '-u', 'redis://op@127.0.0.1:' . redis_port('registry'), '--password-file', "$dir/crlf.password");
reads('REDISCLI_AUTH', { env => { REDISCLI_AUTH => 'p@ss/:%#' } }, '-u', 'redis://op@127.0.0.1:' . redis_port('registry'));
# what nginx says is mixed up with nothing that is to be written

my @conf = ('-c', "$ENV{TEST_NGINX_SERVROOT}/conf/nginx.conf", '--nginx',
            "$ENV{TEST_NGINX_BINARY} -p $ENV{TEST_NGINX_SERVROOT} -e stderr");
reads('nginx', {}, @conf);
cred('credential', 'add', 'apinizer', 'p', 'auth');
my $shown = cred_run({ bare => 1, env => { REDISCLI_AUTH => 'p@ss/:%#' } }, '-u',
    'redis://op@127.0.0.1:' . redis_port('registry'), 'credential', 'show', 'apinizer', 'p', 'auth');
is("$shown->{status} $shown->{err}", '0 ', 'the password of the registry is shown to nobody else');
sub by_conf { cred_run({ bare => 1, in => 'IN' }, @conf, @_) }

is(by_conf('environment', 'add', 'third', redis_tcp('staging') . '/1')->{status}, 0, 'nginx: environment');
is(redis('registry', 'HGET', '{cred}:environments', 'third'), redis_tcp('staging') . '/1', 'its own URL');
my $key = line(by_conf('credential', 'add', 'apinizer', 'p', 'c', '--new-key')->{out});
is(redis('registry', 'HGET', '{cred}:apinizer:credential:p:c', 'keys'), sha256($key), 'nginx: a key');
by_conf('credential', 'add', 'apinizer', 'p', 'd', '--key-from-stdin');
is(redis('registry', 'HGET', '{cred}:apinizer:credential:p:d', 'keys'), sha256('IN'), 'nginx: a key of stdin');
my $token = line(by_conf('token', 'add', 'apinizer', 'alice')->{out});
is(redis('registry', 'HGET', '{cred}:apinizer:token:' . sha256($token), 'subject'), 'alice', 'nginx: a token');
is(by_conf('credential', 'deploy', 'apinizer', 'p', 'c')->{status}, 0, 'nginx: deploy');
is(by_conf('environment', 'remove', 'third')->{status}, 0, 'nginx: remove');

# what nginx takes of a registry, and of whom it could ask more than others

sub conf_is {
    my ($registry, $more, $file) = (@_, '');
    open my $out, '>', "$dir/cred.conf" or die $!;
    print $out "load_module $ENV{TEST_NGINX_LOAD_MODULES}; events {} http { $more",
          map({ "${_}_temp_path $dir/$_; " } qw(client_body proxy fastcgi uwsgi scgi)),
          " cred_registry \"$registry\"$file; server { location / { cred_delete apinizer; } } }";
    close $out;
}

my @other = ('-c', "$dir/cred.conf", @conf[2, 3]);
conf_is(redis_tcp('registry') . '?prefix=other', 'cred_prefix "{cred}";');
reads('cred_prefix, not that of the URL', {}, @other);
conf_is(redis_tcp('registry') . '?prefix={cred}', '');
reads('without one, that of the URL', {}, @other);
conf_is(redis_tcp('registry') . '?prefix=other', '');
reads('--prefix', {}, @other, '--prefix', '{cred}');
conf_is('redis-cluster://127.0.0.1:' . redis_port('registry') . '?prefix=x', 'cred_prefix "{cred}";');
reads('a cluster, too', {}, @other);

SKIP: {
    skip('not root', 2) if $> != 0;
    conf_is('redis://op@127.0.0.1:' . redis_port('registry'), '', ' password_file=cred.password');
    chmod 0600, "$dir/cred.password";
    open my $out, '>', "$dir/as" or die $!;
    print $out "#!/bin/sh\ncat $dir/conf.T\n";
    close $out;
    chmod 0755, "$dir/as";
    system "$ENV{TEST_NGINX_BINARY} -p $ENV{TEST_NGINX_SERVROOT} -e stderr -c $dir/cred.conf -T >$dir/conf.T 2>/dev/null";
    my $list = 'setpriv --reuid=65534 --regid=65534 --clear-groups ' . Cwd::abs_path('util/cred') . " --nginx $dir/as";
    is(`$list environment list 2>&1`, "cred: cannot read $dir/cred.password\n", 'a file that others may read');
    like(`$list doctor 2>&1`, qr/^unknown: registry-password: the password of the registry is not known \(cannot read/m, 'the doctor may not, either');
}

is(@{ cred_json('--prefix', 'other', 'environment', 'list') }, 0, 'another prefix');
cred_is('another database', 0, qr/there is no environment in 127.0.0.1:\d+\/3 /, '-u', redis_tcp('registry') . '/3', 'environment', 'list');
cred_is('no database', 2, qr/DB index is out of range/, '-u', redis_tcp('registry') . '/99', 'environment', 'list');
cred_is('wrong password', 2, qr/WRONGPASS/, '-u', 'redis://op:x@127.0.0.1:' . redis_port('registry'), 'environment', 'list');
{
    my ($port, $was) = (free_port(), Cwd::getcwd());
    open my $out, '>', "$dir/1:$port" or die $!;
    chdir $dir or die $!;
    cred_is('a host is no pattern of files', 2, qr/\A(?:cred: )?::1:$port\b/, '-u', "redis-cluster://[::1]:$port", 'token', 'list');
    chdir $was;
}
cred_is('not there', 2, qr/Connection refused/, '-u', 'redis://127.0.0.1:' . free_port(), 'token', 'list');
cred_is('nonsense', 2, qr/URL: neither/, '-u', 'nonsense', 'token', 'list');
cred_is('two hosts', 2, qr/more than one host/, '-u', 'redis://a,b', 'token', 'list');
cred_is("$_ in a master's name", 2, qr/"\Q$_\E" after "#NAME"/,
        '-u', "redis-sentinel://a#b${_}c", 'token', 'list') for qw(? @);
cred_is('no master', 2, qr/no "#NAME"/, '-u', $_, 'token', 'list')
    for 'redis-sentinel://a,b', 'redis-sentinel://:p#q@a#';
cred_is('no nginx', 2, qr/no registry is named/, { bare => 1 }, '--nginx', 'nonsense', 'token', 'list');
redis('registry', 'ACL', 'DELUSER', 'op');

certificate('cred', names => 'DNS:localhost');
my $tls = redis_secure('registry', 'cred');
reads('TLS', {}, '-u', $tls, '--cacert', pem('ca.crt'));
cred_is('no CA', 2, qr/certificate verify failed/, '-u', $tls, 'token', 'list');
cred_is('another name', 2, qr/certificate verify failed: 62|certificate verify failed: 64/, '-u', $tls =~ s/localhost/127.0.0.1/r, '--cacert', pem('ca.crt'), 'token', 'list');
reads('the name', {}, '-u', $tls =~ s/localhost/127.0.0.1/r, '--cacert', pem('ca.crt'), '--tls-name', 'localhost');
reads('insecure', {}, '-u', $tls =~ s/localhost/127.0.0.1/r, '--insecure');



=== TEST 12: Sentinel
--- script
register();
sentinel('watch', masters => { main => 'registry' });
my $url = sentinel_url('main', 'watch');
is(@{ cred_json('-u', $url, 'environment', 'list') }, 2, 'the master');
cred_is('unknown', 2, qr/does not know the master other/, '-u', $url =~ s/#main/#other/r, 'environment', 'list');
my $dead = $url =~ s{//}{'//127.0.0.1:' . free_port() . ','}er;
is(@{ cred_json('-u', $dead, 'environment', 'list') }, 2, 'one of them is away');



=== TEST 13: a cluster
--- script
cluster();
my ($other) = grep { $_ ne cluster_owner('{cred}') } cluster_nodes();
my $url = 'redis-cluster://127.0.0.1:' . redis_port($other);
cred_ok('add', '-u', $url, 'environment', 'add', 'production', redis_url('production'));
cred_ok('rename', '-u', $url, 'environment', 'rename', 'production', 'prod');
cred_ok('token', '-u', $url, 'member', 'set', 'apinizer', 'p', 'alice', 'manage');
is_deeply([ map { $_->{environment} } @{ cred_json('-u', $url, 'environment', 'list') } ], ['prod'], 'list');
is(redis(cluster_owner('{cred}'), 'HKEYS', '{cred}:environments'), 'prod', 'at the owner');
is(@{ cred_json('-u', $url, 'token', 'list') }, 0, 'scan');
is_deeply([ sort map { $_->{check} } @{ cred_json('-u', $url, 'doctor') } ], ['aof'], 'doctor');



=== TEST 14: databases are not mixed up
--- script
cred_ok('add', '-u', redis_tcp('registry') . '/2', 'environment', 'add', 'staging', redis_url('staging') . '?db=3');
cred_ok('add', '-u', redis_tcp('registry') . '/2', 'credential', 'add', 'apinizer', 'p', 'c');
cred_ok('deploy', '-u', redis_tcp('registry') . '/2', 'credential', 'deploy', 'apinizer', 'p', 'c');
like(redis('registry', 'INFO', 'keyspace'), qr/db2:keys=3/, 'registry');
like(redis('staging', 'INFO', 'keyspace'), qr/db3:keys=2/, 'staging');
unlike(redis('staging', 'INFO', 'keyspace'), qr/db0:/, 'and nothing else');



=== TEST 15: following the audit
--- script
register();
my $out = "$main::dir/follow";
my $pid = spawn('cred', 'follow', 'util/cred', '-u', redis_tcp('registry'), 'audit', '-f', '--all', '--json');
del('x', token => "nobody$_") for 1 .. 3;
sub followed { scalar(() = slurp("$out.log") =~ /^\{.*"result":"unauthorized".*\}$/mg) }
ok(wait_for(sub { followed() == 3 }), 'what is there');
del('x', token => 'somebody');
ok(wait_for(sub { followed() == 4 }), 'and what comes');

# it is what keeps the audit for longer: a registry that is away does not end it

redis_stop('registry');
ok(wait_for(sub { slurp("$out.log") =~ /Connection refused; it goes on/ }), 'is away');
redis_start('registry');
ok(wait_for(sub { slurp("$out.log") =~ /is back/ }), 'is back');
ok(wait_for(sub { del('x', token => 'another'); followed() > 4 }), 'it goes on');
is(scalar(() = slurp("$out.log") =~ /it goes on/g), 1, 'said once');
reap($pid, 'TERM');



=== TEST 16: a deployment replaces keys, and stays behind a newer one
--- script
register();
redis('registry', 'HSET', '{cred}:apinizer:scope:p', 'x', 'y');

sub keys_of { redis('production', 'KEYS', '{cred}:apinizer:key:*') }
sub add { my ($revision, $key, @words) = @_;
    redis('registry', 'DEL', '{cred}:apinizer:credential:p:c%3Ad');
    cred_run({ in => $key }, 'credential', 'add', 'apinizer', 'p', 'c:d', '--revision', $revision, '--key-from-stdin', @words) }

add(5, 'FIRST');
cred_ok('deploy', 'credential', 'deploy', 'apinizer', 'p', 'c:d');
is(keys_of(), '{cred}:apinizer:key:' . sha256('FIRST'), 'its key');
is(redis('production', 'GET', '{cred}:apinizer:key:' . sha256('FIRST')), 'p:c%3Ad', 'leads to it');
ok(wait_for(sub { gate('FIRST')->{status} == 200 }), 'it passes');
cred_is('there', 1, qr/there is such a credential already/, 'credential', 'add', 'apinizer', 'p', 'c:d');

add(6, 'SECOND', '--expires', '1h');
cred_ok('deploy', 'credential', 'deploy', 'apinizer', 'p', 'c:d', 'production');
is(keys_of(), '{cred}:apinizer:key:' . sha256('SECOND'), 'another key');
is(redis('staging', 'HGET', '{cred}:apinizer:credential:p:c%3Ad', 'revision'), 5, 'in production alone');
cred_is('nowhere', 1, qr/no environment nonsense/, 'credential', 'deploy', 'apinizer', 'p', 'c:d', 'nonsense');

add(4, 'THIRD');
my $got = cred_json('credential', 'deploy', 'apinizer', 'p', 'c:d', 'production');
like($got->[0]{message}, qr/has a newer one, of revision 6/, 'an older one stays away');
is(keys_of(), '{cred}:apinizer:key:' . sha256('SECOND'), 'nothing has changed');

$got = cred_json('credential', 'show', 'apinizer', 'p', 'c:d');
is_deeply([ map { "$_->{where} $_->{revision}" } @$got ], ['registry 4', 'production 6', 'staging 5'], 'show');

redis('registry', 'SADD', '{cred}:apinizer:environments:p', 'staging');
is_deeply([ map { $_->{environment} } @{ cred_json('credential', 'deploy', 'apinizer', 'p', 'c:d') } ], ['staging'], 'what concerns the scope');



=== TEST 17: the rights that cred(1) names are enough
--- script
my ($acl) = slurp('doc/cred.1') =~ /^ACL SETUSER operator on >SECRET (.*?)\n\.Ed/ms;
for my $name (qw(registry staging)) {
    is(redis($name, 'ACL', 'SETUSER', 'operator', 'on', '>SECRET', split ' ', $acl), 'OK', $name);
    redis($name, 'ACL', 'LOG', 'RESET');
}
my $url = 'redis://operator:SECRET@127.0.0.1:';
my @by = ('-u', $url . redis_port('registry'));

sub may { my (@words) = @_;
    my $got = cred(@by, @words);
    is($got->{status}, 0, "@words[0, 1]") or diag($got->{out} . $got->{err});
    return $got }

may('environment', 'add', 'staging', $url . redis_port('staging'));
my $token = line(may('token', 'add', 'apinizer', 'alice')->{out});
may('token', 'list');
may('member', 'set', 'apinizer', 'p', 'alice', 'manage');
may('member', 'list', 'apinizer', 'p');
may('credential', 'add', 'apinizer', 'p', 'c', '--new-key');
may('credential', 'deploy', 'apinizer', 'p', 'c');
may('credential', 'show', 'apinizer', 'p', 'c');
may('credential', 'list', 'apinizer');
del('c', token => $token, project => 'p');
redis('registry', 'ZADD', '{cred}:pending:staging', 1, 'apinizer:p:x:0:ff');
may('environment', 'rename', 'staging', 'stage');
may($_, '--json') for qw(pending audit);
redis('registry', 'DEL', '{cred}:pending:stage', '{cred}:since:stage');
may('environment', 'remove', 'stage', '--force');
may('token', 'revoke', 'apinizer', '--subject', 'alice');
may('member', 'remove', 'apinizer', 'p', 'alice');
may('credential', 'add', 'apinizer', 'p', 'c2', '--grant', 'G');
may('credential', 'show', 'apinizer', 'p', 'c2');
may('environment', 'add', 'staging', $url . redis_port('staging'));
cred(@by, 'doctor');

# what doctor tries on behalf of nginx is all that it may not

for my $name (qw(registry staging)) {
    my %log = map { $_ => 1 } scalar(redis($name, 'ACL', 'LOG', 1000)) =~ /object (\S+) username operator/g;
    delete @log{qw(decr expire expireat getset incr persist ttl xadd zadd zrem
                   zrevrangebyscore zscore publish setex xlen)};
    is_deeply([ sort keys %log ], [], "$name: nothing else was refused");
}

redis('registry', 'ACL', 'DELUSER', 'operator');
redis('staging', 'ACL', 'DELUSER', 'operator');



=== TEST 18: completion
--- script
sub complete { my (@words) = @_;
    open my $out, '-|', 'bash', '-c', '. util/cred.bash-completion; COMP_WORDS=("$@"); '
        . 'COMP_CWORD=$(($# - 1)); _cred; printf "%s\n" "${COMPREPLY[@]}"', 'bash', @words;
    return join ' ', map { chomp; $_ } <$out> }

is(complete('cred', 't'), 'token', 'a command');
is(complete('cred', '--json', 'token', ''), 'add list revoke', 'after an option');
is(complete('cred', '-u', 'redis://x', 'member', 'set', 'a'), 'apinizer alloy', 'an API');
is(complete('cred', 'member', 'set', 'alloy', 's', 'u', ''), 'manage view', 'a right');
is(complete('cred', 'token', 'add', '--tok'), '--token-from-stdin', 'an option');
is(complete('cred', '-c', 'util/cred.bash'), 'util/cred.bash-completion', 'a file');

my $usage = cred('help')->{out};
my ($words) = slurp('util/cred.bash-completion') =~ /(.*)/s;
like($words, qr/\Q$_\E/, "$_ is completed") for $usage =~ /(--[a-z][a-z-]+)/g;
like(slurp('doc/cred.1'), qr/\Q@{[ s{-}{}r ]}\E/, "$_ is in the manual") for $usage =~ /(--[a-z][a-z-]+)/g;

SKIP: {
    skip 'no mandoc', 1 if system('command -v mandoc >/dev/null');
    is(scalar(`mandoc -Tlint -W warning doc/cred.1 2>/dev/null`), '', 'mandoc has no complaint');
}



=== TEST 19: where nothing is found it says where that is
--- script
for my $words (['pending'], ['environment', 'list'], ['token', 'list'], ['credential', 'list', 'apinizer'], ['audit']) {
    cred_is("@$words", 0, qr/\Acred: there is no [\w ]+ in 127.0.0.1:\d+\/0 with the prefix other\n\z/,
            '--prefix', 'other', @$words);
}
register();
cred_ok('environments', 'pending');



=== TEST 20: environments with a connector
--- http_config
cred_registry  $TEST_NGINX_REGISTRY;
cred_connector system-1 {
    url      http://127.0.0.1:1;
    request  DELETE "/credentials/{target}";
    success  204;
}
--- config
cred_delete  apinizer;
--- script
register();
my $nginx = "$ENV{TEST_NGINX_BINARY} -p $ENV{TEST_NGINX_SERVROOT} -c conf/nginx.conf -e stderr";

cred_ok('registered', '--nginx', $nginx, 'environment', 'add', 'managed', 'connector:system-1');
is(redis('registry', 'HGET', '{cred}:environments', 'managed'), 'connector:system-1', 'as it is');
cred_ok('without nginx', '--nginx', 'none', 'environment', 'add', 'later', 'connector:system-2');
cred_is('one that nginx lacks', 0, qr/\Acred: nginx has no "cred_connector system-2": what is deleted there is pending until it has\n\z/,
        '--nginx', $nginx, 'environment', 'add', 'later', 'connector:system-2');
cred_ok('unchecked', '--nginx', $nginx, 'environment', 'add', 'later', 'connector:system-2', '--no-check');
cred_is('a bad name', 1, qr/malformed: invalid name of a connector/, 'environment', 'add', 'x', "connector:$_", '--no-check')
    for '', 'a b', 'a/b', 'x' x 65;
cred_is('no registry', 2, qr/URL: a connector is no Redis/, '-u', 'connector:system-1', 'pending');
like(cred_ok('list', 'environment', 'list'), qr/^managed +connector:system-1 +0$/m, 'in the list');

cred('member', 'set', 'apinizer', 'MyProject', 'alice', 'manage');
redis('registry', 'HSET', '{cred}:apinizer:token:' . sha256('TOKEN'), 'subject', 'alice');
cred('credential', 'add', 'apinizer', 'MyProject', 'api-user');

my $got = cred_json('credential', 'deploy', 'apinizer', 'MyProject', 'api-user');
is_deeply([ map { "$_->{environment} $_->{state}" } @$got ],
          ['later skipped', 'managed skipped', 'production deployed', 'staging deployed'], 'deployed where cred can');
is(cred('credential', 'deploy', 'apinizer', 'MyProject', 'api-user', 'managed')->{status}, 1, 'but not there');
is(@{ [ cred_ok('show', 'credential', 'show', 'apinizer', 'MyProject', 'api-user') =~ /^where/mg ] }, 3, 'show');

my $answer = del('api-user');
is($answer->{headers}{'cred-pending'}, 'later,managed', 'pending');
ok(wait_for(sub { (cred_json('pending', 'managed')->[0]{error} // '') =~ /no field "target:ENVIRONMENT"/ }), 'why');
is_deeply([ map { "$_->{environment} $_->{pending}" } @{ cred_json('pending') } ],
          ['later 1', 'managed 1', 'production 0', 'staging 0'], 'of all');
cred_ok('rename', 'environment', 'rename', 'managed', 'system');
is(redis('registry', 'HGET', '{cred}:environments', 'system'), 'connector:system-1', 'renamed');
is(cred_json('pending', 'system')->[0]{id}, 'api-user', 'with what is pending');
redis('registry', 'HSET', '{cred}:operation:00dd', 'api', 'apinizer',
      'environment:system', '{"state":"pending","unclear":1700000000000,"heard":1700000001000}');
like(cred_ok('operation', 'operation', '00dd'),
     qr/system: state=pending .*unclear=2023-11-14T22:13:20\.000Z heard=2023-11-14T22:13:21\.000Z/, 'when it may have acted');
