# "Cred-Dry-Run: true": what would come of a delete, and nothing is written.

use CredTest;
use CredTest::Answer;
use CredTest::Apis;
use CredTest::Delete;

defaults(sample(<<'END'));
cred_retry_delay  100ms 200ms;
log_format  cred  '$status [$cred_dry_run|$cred_result|$cred_operation|'
                  '$cred_environments|$cred_environments_pending|'
                  '$cred_cascade_time]';
access_log  $TEST_NGINX_DIR/cred.log  cred;
END


sub dry {
    my ($username, %args) = @_;
    return del($username, %args,
               headers => ['Cred-Dry-Run: true', @{ $args{headers} || [] }]);
}

# nothing is done any more in the background

sub calm {
    ok(reached(), 'connected') unless $_[0];
    ok(settled(), 'settled');
    ok(wait_for(sub { redis('registry', 'EXISTS', '{cred}:pending') == 0 }),
       'calm');
}

# All keys to the byte, and how often anything was written.  An environment is
# greeted once a minute, which has a key of its own

sub state {
    my ($name) = @_;
    my ($changes) = redis($name, 'INFO', 'persistence')
                    =~ /^rdb_changes_since_last_save:(\d+)/m;
    $changes = '' if $name ne 'registry';

    return join "\n", "changes: $changes", redis($name, 'EVAL', <<'END', 0);
local all, keys = {}, redis.call('KEYS', '*')
table.sort(keys)
for _, key in ipairs(keys) do
    if not string.find(key, ':connection:', 1, true) then
        all[#all + 1] = key .. ' ' .. redis.sha1hex(redis.call('DUMP', key))
                        .. (redis.call('TTL', key) < 0 and '' or ' expires')
    end
end
return all
END
}

sub states { join "\n\n", map { state($_) } qw(registry production staging) }

# commands that write, as Redis itself sees them

my %Writes;

sub writes {
    my @lines = grep { !/"SETEX" "[^"]*:connection:/i } @_;
    my %seen = map { /\] "([^"]+)"/ ? (lc $1 => 1) : () } @lines;

    return join ' ', sort grep {
        $Writes{$_} //= "@{[ CredTest::Redis::flatten(
            [redis('registry', 'COMMAND', 'INFO', $_)]) ]}" =~ /\bwrite\b/ ? 1 : 0;
    } keys %seen;
}

# runs it, and nothing is written meanwhile

sub unwritten {
    my ($name, $run, $unasked) = @_;

    local $Test::Builder::Level = $Test::Builder::Level + 1;

    my $before = states();
    my @monitors = map { monitor($_) } qw(registry production staging);
    my @got = $run->();
    is(states(), $before, "$name: nothing has changed");

    my @seen = map { [ $_->() ] } @monitors;
    is(writes(map { @$_ } @seen), '', "$name: nothing was written");
    is(scalar(grep { /"EVALSHA" .*"(?:apinizer|iam|deepset|thousandeyes|alloy)"/ }
              @{ $seen[0] }), $unasked ? 0 : 1, "$name: but the registry was asked");

    return @got;
}

# an answer but for what only one of the two has

sub common {
    my ($got) = @_;
    return join "\n", grep { !/^(?:Cred-|X-Request-Id|X-.*-Reset)/ }
                      split /\n/, answer($got);
}

# of a dry run, in these environments

sub would {
    my ($success, $message, @entries) = @_;
    return '{"success":true,"deploymentResult":{"success":' . $success
           . qq(,"message":"Dry run: $message","environmentResults":[)
           . join(',', map { qq({"environmentName":"$_->[0]",$_->[1]}) } @entries)
           . ']}}';
}

our @Would = ('"success":true,"message":"Would be undeployed"');

sub last_lines {
    my ($n) = @_;
    my @lines;
    wait_for(sub { $n <= (@lines = split /\n/, slurp(temp_dir() . '/cred.log')) });
    return @lines;
}

run_tests();


__DATA__

=== TEST 1: a delete that is not done, and then is
--- script
calm();

my ($answer) = unwritten('deleted', sub { dry('api-user') });
answer_is($answer, 'what it would have been', 200,
          { 'Cred-Dry-Run' => 'true', 'Cred-Environments' => 'production,staging' },
          would('true', 'nothing was changed',
                map { [$_, @::Would] } qw(production staging)));

for my $name (qw(registry production staging)) {
    is(redis($name, 'EXISTS', '{cred}:apinizer:credential:MyProject:api-user'),
       1, "$name: it is there");
}

($answer) = unwritten('any case', sub {
    del('api-user', headers => ['CRED-DRY-RUN:  TrUe '])
});
is($answer->{headers}{'cred-dry-run'}, 'true', 'as well');
answer_is(del('api-user', headers => ['Cred-Dry-Run: false']), 'deleted',
          everywhere());
calm(1);
($answer) = unwritten('gone', sub { dry('api-user') });
answer_is($answer, 'not found', 400, { 'Cred-Dry-Run' => 'true' },
          (failure(400, 'api-user'))[2]);



=== TEST 2: of all APIs, refused and not: the same answer as without it
--- http_config
cred_registry  $TEST_NGINX_REGISTRY;
--- config
cred_delete  apinizer iam deepset thousandeyes alloy;
--- script
redis_load($_, $_ eq 'registry' ? registered() : deployed(3))
    for qw(registry production staging);
redis_load('registry', <<'END');
HSET {cred}:deepset:token:sha256(far) subject carol scope elsewhere
HSET {cred}:iam:token:sha256(far) subject carol scope elsewhere
HSET {cred}:alloy:token:sha256(far) subject carol
HSET {cred}:apinizer:token:sha256(far) subject carol
HSET {cred}:thousandeyes:token:sha256(far) subject alice scope 12
HSET {cred}:deepset:credential:acme:7f3c1c0e-3c1b-4a51-9d0e-0b0f8f2f6a12 owner alice
SADD {cred}:deepset:uses:acme:7f3c1c0e-3c1b-4a51-9d0e-0b0f8f2f6a12 workspace
END

# the same minute all the time

redis('registry', 'SET', '{cred}:thousandeyes:rate:11', 0, 'EX', 3600);
calm();

# as the path of the API, and another credential

sub ask {
    my ($name, $token, $path, $body, @headers) = @_;
    my $api = api($name);
    my ($method, $own) = @{ $api->{request} };
    return call($method, $path // $own,
                [defined $token ? $api->{token}->($token) : (), @headers],
                $body // '');
}

my %more = (
    apinizer => [['no credential', 'apinizer-token',
                  '/apiops/projects/MyProject/credentials/x/'],
                 ['no project', 'apinizer-token',
                  '/apiops/projects/Other/credentials/x/']],
    iam => [['no credential', 'iam-token', '/v3.0/OS-CREDENTIAL/credentials/X'],
            ['malformed', 'iam-token', '/v3.0/OS-CREDENTIAL/credentials/X-1']],
    deepset => [['in use', 'deepset-token', '/api/v1/infrastructure/file_stores/'
                 . '7f3c1c0e-3c1b-4a51-9d0e-0b0f8f2f6a12'],
                ['no UUID', 'deepset-token',
                 '/api/v1/infrastructure/file_stores/x']],
    thousandeyes => [['body', 'thousandeyes-token', undef, 'x'],
                     ['no group', 'thousandeyes-token',
                      '/credentials/405/delete?aid=9'],
                     ['no credential', 'thousandeyes-token',
                      '/credentials/406/delete']],
    alloy => [['no user', 'alloy-token', '/users/u2/credentials/c1'],
              ['no credential', 'alloy-token', '/users/u1/credentials/c2']],
);

for my $name (names()) {
    my $api = api($name);

    # deepset has no members

    my @rows = (['no token'], ['a bad token', 'nobody'], ['another', 'far'],
                $name eq 'deepset' ? () : ['no right', "$name-bob"],
                ['another spelling', "$name-token", uc $api->{request}[1]],
                @{ $more{$name} }, ['deleted', "$name-token"]);

    for (@rows) {
        my ($what, $token, $path, $body) = @$_;
        $what = "$name: $what";

        my ($dry) = unwritten($what, sub {
            return ask($name, $token, $path, $body, 'Cred-Dry-Run: true');
        }, !defined $token);

        my $real = ask($name, $token, $path, $body);

        is($dry->{headers}{'cred-dry-run'}, 'true', "$what: says so");

        if ($what =~ /deleted$/) {
            is($dry->{status}, $api->{done}, $what);
            is($dry->{headers}{'cred-environments'}, 'production,staging',
               "$what: where");
            ok(!exists $dry->{headers}{'cred-operation'},
               "$what: no operation");

        } else {
            cmp_ok($dry->{status}, '>=', 400, "$what: refused");
            ok(!exists $dry->{headers}{'cred-environments'}, "$what: nowhere");
        }

        # but for what Apinizer says of environments

        for ($dry, $real) {
            $_->{body} =~ s/"message":.*?"environmentName/"environmentName/;
            $_->{body} =~ s/"message":"W?U?.*?"//g if $what =~ /r: deleted$/;
            $_->{text} =~ s/^Content-Length: \d+/'Content-Length: '
                            . length $_->{body}/me if $what =~ /r: deleted$/;
        }

        is(common($dry), common($real), "$what: the same answer");
        calm(1);
    }
}



=== TEST 3: whoever may have meant one deletes nothing
--- http_config
cred_registry  $TEST_NGINX_REGISTRY;
--- config
cred_delete  apinizer iam deepset thousandeyes alloy;
listen       127.0.0.1:$TEST_NGINX_H2_PORT http2;
--- script
redis_load($_, $_ eq 'registry' ? registered() : deployed(3))
    for qw(registry production staging);

my %unclear = (
    apinizer     => [400, '{"error":"bad_request","error_description":'
                          . '"Cred-Dry-Run must be true or false"}'],
    iam          => [400, q({"error":{"message":"Request header 'Cred-Dry-Run')
                          . ' is invalid.","code":400,"title":"Bad Request"}}'],
    deepset      => [422, '{"detail":[{"type":"literal_error",'
                          . '"loc":["header","cred-dry-run"],'
                          . q("msg":"Input should be 'true' or 'false'"}]})],
    thousandeyes => [400, '{"errorMessage":"Invalid Cred-Dry-Run header"}'],
    alloy        => [400, '{"error":"Bad Request",'
                          . '"message":"Invalid header: Cred-Dry-Run"}'],
);

my @values = (['1'], ['yes'], ['on'], [''], ['"true"'], ['tru'], ['truee'],
              ['?1'], ['true,'], ['true, true'], ['true;x'], ["true\t"],
              ["\x{0}true"], ['false '. 'x'], ['0'], ['no'], ['falsee'],
              ['x' x 7000], ['true', 'true'], ['false', 'true'],
              ['true', 'false'], ['false', 'false'], ['', 'false'],
              [('false') x 300], [('true') x 300]);

for my $name (names()) {
    my ($status, $body) = @{ $unclear{$name} };

    for my $values (@values) {
        my $shown = substr "@$values", 0, 20;
        my $answer = request($name, "$name-token",
                             map { "Cred-Dry-Run: $_" } @$values);

        # nginx itself refuses a zero byte

        is($answer->{status}, $shown =~ /\0/ ? 400 : $status, "$name: \"$shown\"");
        is($answer->{body}, $body, "$name: its words") unless $shown =~ /\0/;
        ok(!exists $answer->{headers}{'cred-dry-run'}, 'and it was none');
    }

    for my $field ('Cred-Dryrun', 'Cred-Dry', 'cred-dry-ran', 'Cred-Dry-Runs') {
        my $answer = request($name, "$name-token", "$field: true");
        is("$answer->{status} $answer->{body}", "$status $body", "$name: $field");
    }

    is(request($name, "$name-token", 'Cred-Dry-Run: true',
               'Cred-Dryrun: true')->{status}, $status, "$name: both");

    is(request($name, 'nobody', 'Cred-Dry-Run: x')->{status}, 401,
       "$name: a bad token is known before");
    is((audit())[-1]{result}, 'invalid', "$name: audited");

    for my $place (qw(registry production staging)) {
        is(redis($place, 'EXISTS', "{cred}:$name:credential:"
                 . api($name)->{scope} . ':' . api($name)->{id}), 1,
           "$name: it is in $place");
    }
}

my @h2 = ('--http2-prior-knowledge', '-X', 'DELETE', '-H',
          'Authorization: Bearer apinizer-token');
my $url = "http://127.0.0.1:$ENV{TEST_NGINX_H2_PORT}" . path('api-user');

is(curl(@h2, '-H', 'Cred-Dry-Run: yes', $url)->{status}, 400, 'by HTTP/2');
is(curl(@h2, '-H', 'Cred-Dry-Run;', $url)->{status}, 400, 'empty');
is(curl(@h2, '-H', 'Cred-Dry-Run: true', $url)->{headers}{'cred-dry-run'},
   'true', 'a dry run');
is(redis('registry', 'EXISTS', '{cred}:apinizer:credential:MyProject:api-user'),
   1, 'it is there');



=== TEST 4: what is pending yet is told, and neither claimed nor attempted
--- http_config
cred_registry       $TEST_NGINX_REGISTRY;
cred_retry_delay    1h;
cred_registry_wait  1 1ms;
--- script
calm();
redis('staging', 'HSET', '{cred}:apinizer:credential:MyProject:api-user',
      'revision', 8);
redis('staging', 'CONFIG', 'SET', 'min-replicas-to-write', 1);
redis('registry', 'HSET', '{cred}:environments', 'down', 'nonsense');

my $first = del('api-user');
is($first->{headers}{'cred-pending'}, 'down,staging', 'deleted');
my $operation = operation($first);

sub attempts {
    my ($name, $n) = @_;
    return redis('registry', 'HGET', "{cred}:operation:$operation",
                 "environment:$name") =~ /"attempts":$n\b/;
}

# names of environments with nothing pending leave a little later

sub waits {
    return redis('registry', 'SMEMBERS', '{cred}:pending') eq $_[0];
}

ok(wait_for(sub { attempts('down', 1) && attempts('staging', 1)
                  && waits('down staging') }), 'receipts are written');
redis('staging', 'CONFIG', 'SET', 'min-replicas-to-write', 0);

my ($answer) = unwritten('pending', sub { dry('api-user') });
answer_is($answer, 'the state of it', 200,
          { 'Cred-Dry-Run' => 'true', 'Cred-Operation' => 'ID',
            'Cred-Pending' => 'down,staging',
            'Cred-Environments' => 'down,production,staging' },
          would('false', 'undeployment is pending in 2 of 3 environments',
                ['down', '"success":false,"message":"Undeployment is pending"'],
                ['production', '"success":true,"message":"Undeployed successfully"'],
                ['staging', '"success":false,"message":"Undeployment is pending"']));
is(operation($answer), $operation, 'the same operation');
is(del('api-user', token => 'VIEWER', headers => ['Cred-Dry-Run: true'])->{status},
   403, 'who may not resume is not told');
ok(attempts('staging', 1), 'not attempted');

is(del('api-user')->{headers}{'cred-superseded'}, 'staging', 'resumed');
ok(wait_for(sub { attempts('staging', 2) && attempts('down', 2)
                  && waits('down') }), 'written');
($answer) = unwritten('superseded', sub { dry('api-user') });
is($answer->{headers}{'cred-superseded'}, 'staging', 'superseded');
is($answer->{headers}{'cred-pending'}, 'down', 'pending');

# an operation that somebody has deleted leaves its key

redis('registry', 'DEL', "{cred}:operation:$operation");
($answer) = unwritten('without an operation', sub { dry('api-user') });
is($answer->{status}, 400, 'not found');
is(redis('registry', 'GET', '{cred}:open:apinizer:MyProject:api-user'),
   $operation, 'and left');
redis('registry', 'DEL', '{cred}:environments');



=== TEST 5: the rate is not counted, and is refused where it is used up
--- http_config
cred_registry  $TEST_NGINX_REGISTRY;
--- config
cred_delete  thousandeyes;
--- script
redis_load($_, $_ eq 'registry' ? registered() : deployed(3))
    for qw(registry production staging);
redis('registry', 'HSET', '{cred}:thousandeyes:scope:11', 'rate_limit', 3);
my $key = '{cred}:thousandeyes:rate:11';
my $left = 'x-organization-rate-limit-remaining';
my $ask = sub { request('thousandeyes', 'thousandeyes-token', @_) };
my @dry = ('Cred-Dry-Run: true');

for (1 .. 5) {
    my $answer = $ask->(@dry);
    is($answer->{status}, 204, "dry run $_");
    is($answer->{headers}{$left}, 2, 'what would be left');
}

is(redis('registry', 'EXISTS', $key), 0, 'not counted');

my $future = time + 3000;
redis('registry', 'SET', $key, 2, 'EXAT', $future);
is($ask->(@dry)->{status}, 204, 'the last one');
is($ask->(@dry)->{headers}{$left}, 0, 'none left');
redis('registry', 'SET', $key, 3, 'EXAT', $future);
my $answer = $ask->(@dry);
is($answer->{status}, 429, 'used up');
is($answer->{headers}{'cred-dry-run'}, 'true', 'of a dry run');
like($answer->{headers}{'retry-after'}, qr/^\d+$/, 'when there is one again');
is(redis('registry', 'GET', $key), 3, 'not counted');
redis('registry', 'PERSIST', $key);
is($ask->(@dry)->{status}, 204, 'no count of this minute');
is(redis('registry', 'TTL', $key), -1, 'left as it was');



=== TEST 6: environments: none, some of another name, and one not registered
--- script
redis('registry', 'DEL', '{cred}:environments');
answer_is(dry('api-user'), 'none', 200, { 'Cred-Dry-Run' => 'true' },
          would('true', 'no environment is registered'));
unlike(error_log_text(), qr/concerned no environment/, 'no warning');

redis('registry', 'HSET', '{cred}:environments', 'eu,west', 'nonsense', 'b%',
      redis_url('staging'));
redis('registry', 'SADD', '{cred}:apinizer:environments:MyProject', 'eu,west',
      'gone');
answer_is(dry('api-user'), 'of the scope', 200,
          { 'Cred-Dry-Run' => 'true', 'Cred-Pending' => 'gone',
            'Cred-Environments' => 'eu%2Cwest,gone' },
          would('false', 'undeployment would be pending in 1 of 2 environments',
                ['eu,west', @::Would],
                ['gone', '"success":false,"message":"Environment is not '
                         . 'registered, undeployment would be pending"']));
redis('registry', 'DEL', '{cred}:apinizer:environments:MyProject',
      '{cred}:environments');



=== TEST 7: variables and the error log
--- script
calm();
my $n = () = slurp(temp_dir() . '/cred.log') =~ /\n/g;
dry('api-user');
is((last_lines(++$n))[-1], '200 [1|deleted|-|2|0|-]', 'deleted');
dry('x');
is((last_lines(++$n))[-1], '400 [1|not_found|-|-|-|-]', 'not found');
del('api-user', headers => ['Cred-Dry-Run: x']);
is((last_lines(++$n))[-1], '400 [-|invalid|-|-|-|-]', 'unclear');
call('DELETE', path('api-user'), ['Cred-Dry-Run: true']);
is((last_lines(++$n))[-1], '401 [1|unauthorized|-|-|-|-]', 'without a token');
like(del('api-user')->{headers}{'cred-operation'}, qr/./, 'deleted');
like((last_lines(++$n))[-1], qr/^200 \[-\|deleted\|\w{32}\|2\|0\|\d/, 'a delete');

my $log = error_log_text();
like($log, qr/\[info\] .* dry run: apinizer, scope "MyProject", id "api-user": deleted, client/,
     'said to be one');
like($log, qr/ dry run: .* id "x": not_found, client/, 'a refusal');
unlike($log, qr/ delete: .* id "api-user": deleted/, 'and not done');



=== TEST 8: in one call with others
--- script
credential([1 .. 40]);
calm();

my @answers = map { http_parse($_) } http_many(map {
    del_raw($_, 'Cred-Dry-Run: ' . ($_ % 2 ? 'true' : 'false'), 'Connection: close')
} 1 .. 40);

is(join(' ', map { $_->{headers}{'cred-dry-run'} // 'none' } @answers),
   join(' ', ('true', 'none') x 20), 'each as it asked');
is(join('', map { redis('registry', 'EXISTS',
    "{cred}:apinizer:credential:MyProject:$_") } 1 .. 40), '10' x 20,
   'every other one is left');

# refused tokens of others are counted as ever

http_many(map {
    "DELETE @{[ path('x') ]} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
    . "Authorization: Bearer NONE\r\n"
    . ($_ % 2 ? "Cred-Dry-Run: true\r\n" : '') . "\r\n"
} 1 .. 20);
my $count = 0;
for (redis('registry', 'EVAL', <<'END', 0)) { $count += $_ }
local all = {}
for i, entry in ipairs(redis.call('XRANGE', '{cred}:audit:unauthorized', '-', '+')) do
    local fields = entry[2]
    all[i] = fields[15] == 'count' and fields[16] or '1'
end
return all
END
is($count, 10, 'refused tokens');
ok(settled(), 'settled');



=== TEST 9: a registry that does not answer, and one that answers late
--- http_config
cred_registry         $TEST_NGINX_REGISTRY;
cred_connect_timeout  1s;
cred_command_timeout  500ms;
--- script
calm();
redis_pause('registry');
my $answer = dry('api-user');
answer_is($answer, 'unavailable', 503,
          { 'Cred-Dry-Run' => 'true', 'Retry-After' => 1 }, (failure(503))[2]);
redis_resume('registry');
ok(wait_for(sub { dry('api-user')->{status} == 200 }), 'it is back');
is(redis('registry', 'EXISTS', '{cred}:apinizer:credential:MyProject:api-user'),
   1, 'it is there');
is(redis('registry', 'KEYS', '{cred}:operation:'), '', 'no such operation');



=== TEST 10: with other wishes
--- script
calm();
my ($answer) = unwritten('all', sub {
    dry('api-user', headers => ['Prefer: wait=0',
        'traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01'])
});
is($answer->{status}, 200, 'answered');
ok(!exists $answer->{headers}{'preference-applied'}, 'nothing was waited for');



=== TEST 11: what a connector would not be asked for
--- http_config
cred_registry     $TEST_NGINX_REGISTRY;
cred_retry_delay  1h;
cred_connector    kong {
    preset  kong;
    url     http://127.0.0.1:1;
}
cred_connector    hook {
    url      http://127.0.0.1:1;
    request  POST "/gone";
    header   X-Credential "{id}";
    success  200;
}
cred_connector    header {
    url      http://127.0.0.1:1;
    request  POST "/gone";
    header   X-Credential "{target}";
    success  200;
}
--- script
my $uuid = '3fa85f64-5717-4562-b3fc-2c963f66afa6';

# both Redises are greeted, which is noted

wait_for(sub { redis('registry', 'HLEN', '{cred}:positions') == 2 });

redis('registry', 'DEL', '{cred}:environments');
redis('registry', 'HSET', '{cred}:environments', 'absent', 'connector:other',
      'bare', 'connector:kong', 'header', 'connector:header',
      'hook', 'connector:hook', 'known', 'connector:kong',
      'wrong', 'connector:kong');
redis('registry', 'HSET', '{cred}:apinizer:credential:MyProject:api-user',
      'target:known', $uuid, 'target:absent', $uuid, 'target:wrong', 'KEY');

my ($answer) = unwritten('connectors', sub { dry('api-user') });
is($answer->{headers}{'cred-pending'}, 'absent,bare,header,wrong', 'pending');
is($answer->{headers}{'cred-environments'},
   'absent,bare,header,hook,known,wrong', 'of these');
like($answer->{body}, qr/"Dry run: undeployment would be pending in 4 of 6 environments"/,
     'which is said');
like($answer->{body}, qr/"hook",\Q$main::Would[0]\E\},.*"known",\Q$main::Would[0]\E\}/,
     'and of the others, too');

# and so it is

my $real = del('api-user');
like($real->{headers}{'cred-pending'}, qr/^absent,bare,header,.*wrong$/, 'real');
redis('registry', 'DEL', '{cred}:environments');
