# All five APIs: together, each alone, and what they have in common.

use CredTest;
use CredTest::Answer;
use CredTest::Apis;
use JSON::PP ();

# a server for each API

sub alone { join '', map { <<"END" } names() }
server {
    listen         \$TEST_NGINX_PORT;
    server_name    $_;
    cred_registry  \$TEST_NGINX_REGISTRY;
    cred_delete    $_;

    location / {
        proxy_pass        http://127.0.0.1:\$TEST_NGINX_PORT;
        proxy_set_header  Host backend;
    }
}
END

# the answer to an accepted delete; returns the operation

sub is_done {
    my ($name, $what, @pending) = @_;

    my $got = request($name, "$name-token");
    my $entries = join ',', map {
        my $state = $_;
        my $late = grep { $_ eq $state } @pending;
        qq({"environmentName":"$state","success":)
        . ($late ? 'false,"message":"Environment is unreachable, undeployment '
                   . 'will be retried"}'
                 : 'true,"message":"Undeployed successfully"}');
    } qw(production staging);

    my %body = (
        alloy => '{"success":true}',
        apinizer => '{"success":true,"deploymentResult":{"success":'
                    . (@pending
                       ? 'false,"message":"Undeployment is pending in '
                         . @pending . ' of 2 environments"'
                       : 'true,"message":"Undeployment completed successfully"')
                    . qq(,"environmentResults":[$entries]}}),
    );

    my %headers = (
        alloy => ['Content-Type: application/json'],
        apinizer => ['Content-Type: application/json;charset=UTF-8'],
        iam => ['X-Request-Id: HEX'],
        deepset => [],
        thousandeyes => ['Content-Type: application/json;charset=UTF-8',
                         'X-Content-Type-Options: nosniff'],
    );

    if ($name eq 'thousandeyes') {
        is($got->{text} =~ s/^X-Organization-Rate-Limit-\w+: \d+\r\n//mg, 3,
           "$name: $what, headers of the rate");
    }

    is_answer($got, api($name)->{done},
              [@{ $headers{$name} }, 'Cred-Operation: HEX',
               @pending ? 'Cred-Pending: ' . join ',', @pending : ()],
              $body{$name} // '', "$name: $what");

    return $got->{headers}{'cred-operation'} // '';
}

sub is_gone {
    my ($name) = @_;
    my $got = request($name, "$name-token");
    is($got->{status}, api($name)->{gone}, "$name: gone");
    is($got->{headers}{'cred-operation'}, undef, "$name: no operation");
}

# what of a credential and its grants, and whether it is listed

sub left {
    my ($redis, $name) = @_;
    my ($scope, $id) = @{ api($name) }{qw(scope id)};
    my $P = "{cred}:$name";

    return join ' ', redis($redis, 'EXISTS', "$P:credential:$scope:$id"),
                     redis($redis, 'EXISTS', "$P:grants:$scope:$id"),
                     redis($redis, 'SISMEMBER', "$P:credentials:$scope", $id);
}

sub receipt {
    my ($operation, $environment) = @_;
    return JSON::PP::decode_json(redis('registry', 'HGET',
               "{cred}:operation:$operation", "environment:$environment"));
}

defaults(http_config => backend(), config => <<'END');
location / {
    cred_registry         $TEST_NGINX_REGISTRY;
    cred_delete           apinizer iam deepset thousandeyes alloy;
    cred_retry_delay      50ms 200ms;
    cred_connect_timeout  60s;
    cred_command_timeout  60s;
    cred_cascade_timeout  60s;
    proxy_pass            http://127.0.0.1:$TEST_NGINX_PORT;
    proxy_set_header      Host backend;
}
END

defaults(registry => registered(), production => deployed(3),
         staging => deployed(2));

no_root_location();
run_tests();

__DATA__

=== TEST 1: together, out of two environments
--- registry eval: main::environments()
--- script
my $left = () = names();

for my $name (names()) {
    my ($scope, $id) = @{ api($name) }{qw(scope id)};
    my $operation = is_done($name, 'deleted');

    $left--;

    for my $redis (qw(registry production staging)) {
        is(left($redis, $name), '0 0 0', "$name: nothing left in $redis");
        is(scalar(my @keys = redis($redis, 'KEYS', '{cred}:*:credential:*')),
           $left, "$name: but all of the others");
        is(redis($redis, 'SISMEMBER', "{cred}:$name:credentials:$scope",
                 'other'), 1, "$name: and of the index");
    }

    for my $environment (qw(production staging)) {
        my $tombstone = "{cred}:$name:tombstone:$scope:$id";

        is(redis($environment, 'GET', $tombstone), 3,
           "$name: a tombstone in $environment");
        cmp_ok(redis($environment, 'TTL', $tombstone), '>', 604000,
               "$name: for 7 days");
        is((redis($environment, 'XREVRANGE', '{cred}:undeployments', '+', '-',
                  'COUNT', 1))[-1], $operation, "$name: in the stream");
        ok(wait_for(sub {
               receipt($operation, $environment)->{state} eq 'undeployed'
           }), "$name: the receipt of $environment");
        is(receipt($operation, $environment)->{attempts}, 1,
           "$name: the first attempt");
        is(redis('registry', 'ZCARD', "{cred}:pending:$environment"), 0,
           "$name: nothing pending in $environment");
    }

    my %operation = redis('registry', 'HGETALL', "{cred}:operation:$operation");

    is_deeply([ @operation{qw(api scope id revision owner subject pending)} ],
              [ $name, $scope, $id, 3, 'alice', 'alice', 0 ],
              "$name: the operation");
    is(redis('registry', 'EXISTS', "{cred}:open:$name:$scope:$id"), 0,
       "$name: is no longer open");

    is_gone($name);
}



=== TEST 2: variables
--- http_config
log_format cred '$cred_api $cred_scope $cred_id $cred_subject $cred_result '
                '$cred_operation $cred_environments $cred_environments_pending';
--- config
access_log $TEST_NGINX_DIR/nginx/logs/cred.log cred;

location / {
    cred_registry  $TEST_NGINX_REGISTRY;
    cred_delete    apinizer iam deepset thousandeyes alloy;
}
--- registry eval: main::environments()
--- script
my @wanted;

for my $name (names()) {
    my ($scope, $id) = @{ api($name) }{qw(scope id)};
    my $named = $scope =~ /^(MyProject|u1)$/ ? $scope : '-';
    my $operation = is_done($name, 'deleted');
    my $status = request($name, 'unknown')->{status};

    is($status, 401, "$name: unauthorized");
    is_gone($name);

    push @wanted, "$name $scope $id alice deleted $operation 2 0",
                  "$name $named $id - unauthorized - - -",
                  "$name $scope $id alice not_found - - -";
}

my $log = temp_dir() . '/nginx/logs/cred.log';
wait_for(sub { slurp($log) =~ tr/\n// >= @wanted });
is(slurp($log), join("\n", @wanted, ''), 'logged');



=== TEST 3: each alone
--- http_config eval: main::backend() . main::alone()
--- script
for my $server (names()) {
    for my $name (names()) {
        my ($method, $path) = @{ api($name)->{request} };
        my $got = http_parse(http(
            join "\r\n", "$method $path HTTP/1.1", "Host: $server",
                 'Content-Length: 0', api($name)->{token}->("$name-token"),
                 '', ''));

        if ($name eq $server) {
            is($got->{status}, api($name)->{done}, "$server deletes");
            is(left('registry', $name), '0 0 0', 'all of it');
        } else {
            is($got->{body}, "backend: $method $path",
               "$server leaves $name alone");
        }
    }
}



=== TEST 4: the tokens of one API do not open another
--- script
for my $name (names()) {
    for my $other (grep { $_ ne $name } names()) {
        my $got = request($name, "$other-token");
        is($got->{status}, 401, "$name with a token of $other");
    }

    is(left('registry', $name), '1 1 1', "$name: untouched");
    is(request($name, "$name-token")->{status}, api($name)->{done},
       "$name with its own");
}



=== TEST 5: no environment
--- script
for my $name (names()) {
    my $got = request($name, "$name-token");
    is($got->{status}, api($name)->{done}, "$name: deleted");
    like($got->{headers}{'cred-operation'}, qr/^[0-9a-f]{32}$/,
         "$name: an operation");
    is($got->{headers}{'cred-pending'}, undef, "$name: nothing pending");
    is(left('production', $name), '1 1 1', "$name: production is no concern");
    is_gone($name);
}



=== TEST 6: environments of a scope
--- registry eval: main::environments()
--- script
for my $name (names()) {
    my $scope = api($name)->{scope};

    redis('registry', 'SADD', "{cred}:$name:environments:$scope", 'staging');

    is(request($name, "$name-token")->{status}, api($name)->{done},
       "$name: deleted");
    is(left('staging', $name), '0 0 0', "$name: in staging");
    is(left('production', $name), '1 1 1', "$name: not in production");
}



=== TEST 7: repeated while an environment is down
--- registry eval: main::environments()
--- script
redis_stop('staging');

my %operation;

for my $name (names()) {
    my ($scope, $id) = @{ api($name) }{qw(scope id)};

    $operation{$name} = is_done($name, 'deleted', 'staging');
    is(left($_, $name), '0 0 0', "$name: nothing left in $_")
        for qw(registry production);

    is(is_done($name, 'resumed', 'staging'), $operation{$name},
       "$name: the same operation");
    is(is_done($name, 'and again', 'staging'), $operation{$name},
       "$name: the same operation");

    is(redis('registry', 'GET', "{cred}:open:$name:$scope:$id"),
       $operation{$name}, "$name: is open");
    is(receipt($operation{$name}, 'staging')->{state}, 'pending',
       "$name: the receipt of staging");
    is(receipt($operation{$name}, 'production')->{state}, 'undeployed',
       "$name: the receipt of production");
}

# whoever may not delete it is not told

is(request('thousandeyes', 'thousandeyes-bob')->{status}, 403, 'thousandeyes');
is(request('alloy', 'alloy-bob')->{status}, 403, 'alloy');
is(request('apinizer', 'apinizer-bob')->{status}, 403, 'apinizer');
is(request('iam', 'iam-bob')->{status}, 403, 'iam: not the owner');
is(request('deepset', 'deepset-unknown')->{status}, 401, 'deepset');

redis('registry', 'HSET', '{cred}:iam:token:' . sha256('iam-bob'), 'roles',
      'secu_admin');
is(request('iam', 'iam-bob')->{headers}{'cred-operation'}, $operation{iam},
   'iam: an administrator');
redis('registry', 'HSET', '{cred}:iam:token:' . sha256('iam-bob'), 'scope',
      'domain-2');
is(request('iam', 'iam-bob')->{status}, 404, 'iam: another domain');

is(call('DELETE', '/api/v1/infrastructure/file_stores/%7B'
        . uc(api('deepset')->{id}) . '%7D', ['Authorization: Bearer deepset-token'])
   ->{headers}{'cred-operation'}, $operation{deepset},
   'deepset: in another spelling');

redis_start('staging');

ok(wait_for(sub { !redis('registry', 'EXISTS', '{cred}:pending:staging') }),
   'settled');

for my $name (names()) {
    my ($scope, $id) = @{ api($name) }{qw(scope id)};

    is(redis('staging', 'GET', "{cred}:$name:tombstone:$scope:$id"), 3,
       "$name: a tombstone in staging");
    like(receipt($operation{$name}, 'staging')->{state},
         qr/^(?:un|not_)deployed$/, "$name: the receipt of staging");
    is(redis('registry', 'EXISTS', "{cred}:open:$name:$scope:$id"), 0,
       "$name: is no longer open");
    is_gone($name);
}



=== TEST 8: repeated when it has come back
--- config
location / {
    cred_registry         $TEST_NGINX_REGISTRY;
    cred_delete           apinizer iam deepset thousandeyes alloy;
    cred_connect_timeout  1s;
    cred_command_timeout  1s;
    cred_retry_delay      1h 1h;
}
--- registry eval: main::environments()
--- script
redis_stop('staging');

my %operation = map { $_ => is_done($_, 'deleted', 'staging') } names();

redis_start('staging');

for my $name (names()) {

    # the connection itself waits for its next attempt; the background may be
    # first when it is back

    ok(wait_for(sub {
           my $got = request($name, "$name-token");
           ($got->{status} == api($name)->{done}
            && $got->{headers}{'cred-operation'} eq $operation{$name}
            && !defined $got->{headers}{'cred-pending'})
               || receipt($operation{$name}, 'staging')->{state} ne 'pending';
       }), "$name: success");

    ok(wait_for(sub {
           receipt($operation{$name}, 'staging')->{state} ne 'pending';
       }), "$name: settled");
    is_gone($name);
}



=== TEST 9: names of pending environments
--- registry
HSET {cred}:environments b redis://127.0.0.1:1 B redis://127.0.0.1:1 'a b' redis://127.0.0.1:1
HSET {cred}:environments a,b redis://127.0.0.1:1 "\xc3\xbc" redis://127.0.0.1:1 a%b redis://127.0.0.1:1
HSET {cred}:environments up $TEST_NGINX_PRODUCTION "x\r\ny: z" redis://127.0.0.1:1
--- script
is(request($_, "$_-token")->{headers}{'cred-pending'},
   'B,a%20b,a%25b,a%2Cb,b,x%0D%0Ay%3A%20z,%C3%BC', "$_: encoded and sorted")
    for names();



=== TEST 10: one connection for all
--- registry eval: main::environments()
--- script
my $body = 'DELETE /apiops/';
my $text = join '', map {
    my ($method, $path) = @{ api($_)->{request} };
    my $sent = $method eq 'POST' ? ' null ' : $body;

    join "\r\n", "$method $path HTTP/1.1", 'Host: localhost',
         'Content-Length: ' . length $sent,
         api($_)->{token}->("$_-token"), '', $sent;
} (names()) x 2;

my $sock = http_open();
print $sock $text;

for my $which (qw(done gone)) {
    is(http_parse(http_read($sock))->{status}, api($_)->{$which},
       "$_: $which") for names();
}



=== TEST 11: all at once
--- registry eval: main::environments()
--- script
my @requests = map {
    my ($method, $path) = @{ api($_)->{request} };
    (join "\r\n", "$method $path HTTP/1.1", 'Host: localhost',
          'Content-Length: 0', api($_)->{token}->("$_-token"), '', '') x 4;
} names();

my @got = map { http_parse($_) } http_many(@requests);

for my $name (names()) {
    my @mine = splice @got, 0, 4;
    my %done = map { $_->{headers}{'cred-operation'} // 'none' => 1 }
               grep { $_->{status} == api($name)->{done} } @mine;

    is(scalar(keys %done), 1, "$name: one operation");
    is(scalar(grep { $_->{status} != api($name)->{done}
                     && $_->{status} != api($name)->{gone} } @mine), 0,
       "$name: resumed or gone for the others");
    is(left($_, $name), '0 0 0', "$name: nothing left in $_")
        for qw(registry production staging);
}



=== TEST 12: the methods of other APIs
--- script
for my $name (names()) {
    my ($method, $path) = @{ api($name)->{request} };

    for (grep { $_ ne $method } qw(DELETE POST)) {
        is(call($_, $path, [api($name)->{token}->("$name-token")], '')->{body},
           "backend: $_ $path", "$name: $_");
    }

    is(left('registry', $name), '1 1 1', "$name: untouched");
}



=== TEST 13: a newer copy stays in an environment: said by each of them
--- script
redis_load('registry', registered() . environments());
redis_load($_, deployed(3)) for qw(production staging);

for my $name (names()) {
    my ($scope, $id) = @{ api($name) }{qw(scope id)};
    redis('staging', 'HSET', "{cred}:$name:credential:$scope:$id",
          'revision', 4);
    my $got = request($name, "$name-token");
    is($got->{status}, api($name)->{done}, "$name: deleted");
    is($got->{headers}{'cred-superseded'}, 'staging', "$name: Cred-Superseded");
    ok(!exists $got->{headers}{'cred-pending'}, "$name: nothing is pending");
}



=== TEST 14: expires, charset and gzip of the location
--- config
location / {
    cred_registry    $TEST_NGINX_REGISTRY;
    cred_delete      apinizer iam deepset thousandeyes alloy;
    expires          1d;
    charset          utf-8;
    charset_types    *;
    gzip             on;
    gzip_types       application/json;
    gzip_min_length  1;
}
--- script
redis_load('registry', registered());

for my $name (names()) {
    for my $token ("$name-token", "$name-token", 'nobody') {
        my $api = api($name);
        my $got = call(@{ $api->{request} },
                       [$api->{token}->($token), 'Accept-Encoding: gzip'], '');
        my $headers = $got->{headers};
        my $what = "$name: $got->{status}";
        is($headers->{'cache-control'}, 'no-store', "$what: Cache-Control");
        ok(!exists $headers->{expires}, "$what: no Expires");
        next if $got->{status} == 204;

        # nginx compresses only these
        my $gzip = $got->{status} =~ /^(?:200|403|404)$/ ? 'gzip' : undef;
        like($headers->{'content-type'},
             qr{^application/json;[ ]?charset=utf-8$}i, "$what: charset, once");
        is($headers->{'content-encoding'}, $gzip, "$what: gzip");
    }
}
