# The cascade waits for gateways: each has to refuse the key, or to have no lease
# any more.

use CredTest;
use CredTest::Answer ();
use CredTest::Delete;
use CredTest::Gateway;
use CredTest::Relay;
use JSON::PP ();
use MIME::Base64 ();

# this nginx deletes, others are the gateways

my %sections = gateway();

sub conf { "cred_registry \$TEST_NGINX_REGISTRY;\n$_[0]\n" }

defaults(%sections, config => 'location /apiops/ { cred_delete apinizer; }',
         http_config => conf('cred_cascade_timeout 60s;'));

# one with a lease, and KEY in its cache

sub cached {
    my ($name, $lease, %args) = @_;

    my $before = keys %{ { gateways() } };
    my $g = gateway_start($name, %args,
                http => "cred_access_lease $lease; cred_access_valid 1h;"
                        . ($args{http} // ''));

    local $Test::Builder::Level = $Test::Builder::Level + 1;

    ok(leased(undef, $before + 1), "$name: has a lease");
    is(seen('KEY', port => $g->{port}), '200 MISS', "$name: the key passes");
    return $g;
}

sub stop { freeze(nginx_workers($_->{pid})) for @_ }
sub cont { thaw(nginx_workers($_->{pid})) for @_ }

# none admits KEY any more

sub refused {
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    is(gate('KEY', port => $_->{port})->{status}, 401, "$_->{name} refuses") for @_;
}

# a delete that is not waited for, but done in production

sub begin {
    my ($id) = @_;
    my $last = last_id();
    my $sock = http_open();

    print $sock del_raw($id // 'api-user');

    local $Test::Builder::Level = $Test::Builder::Level + 1;

    ok(wait_for(sub { last_id() ne $last }), 'undeployed');
    return $sock;
}

sub answer { http_parse(http_read($_[0])) }

# the receipt of the last delete of a credential, as a hash, once a condition
# holds

sub receipt_of {
    my ($id, $until, $environment) = @_;
    my $is = {};

    wait_for(sub {
        my ($last) = grep {
            redis('registry', 'HGET', "{cred}:operation:$_", 'id') eq $id;
        } redis('registry', 'ZREVRANGE', '{cred}:operations', 0, -1);
        my $text = $last && receipt($last, $environment);
        $is = JSON::PP::decode_json($text) if $text && $text =~ /^\{/;
        return $until->($is);
    }) or diag('the receipt: ', JSON::PP::encode_json($is));

    return $is;
}

sub settled_as {
    my ($state) = @_;
    return sub { ($_[0]{state} // '') eq $state };
}

# arrays of strings, integers as ":1", errors as "-ERR ..."

sub bytes {
    my ($value) = @_;
    return "\$-1\r\n" unless defined $value;
    return '*' . @$value . "\r\n" . join '', map { bytes($_) } @$value
        if ref $value;
    return $value =~ /^[:+-]/ ? "$value\r\n"
                              : '$' . length($value) . "\r\n$value\r\n";
}

no_root_location();
run_tests();


__DATA__

=== TEST 1: gateways confirm
--- script
my @gateways = map { cached($_, '5s') } qw(one two three);
answer_is(del('api-user'), 'deleted', everywhere());
refused(@gateways);
my $is = receipt_of('api-user', settled_as('undeployed'));
is($is->{gateways}, 3, 'the receipt has three');
like($is->{effective}, qr/^\d+$/, 'and when it was effective');
cmp_ok($is->{effective}, '<', 5000, 'before a lease was over');
is($is->{attempts}, 1, 'the first attempt');
is($is->{error}, undef, 'no error');
$is = receipt_of('api-user', settled_as('undeployed'), 'staging');
is(join(' ', sort keys %$is), 'attempts last ms state', 'without gateways as before');
is(keys %{ { gateways() } }, 3, 'they are all there still');

# other states wait, too

credential('gone', 'registry');
answer_is(del('gone'), 'absent', pending(production => 'absent', staging => 'absent'));
is(receipt_of('gone', settled_as('not_deployed'))->{gateways}, 3, 'the receipt');
key('newer');
redis('production', 'HSET', '{cred}:apinizer:credential:MyProject:newer',
      'revision', 9);
answer_is(del('newer'), 'superseded',
          pending(production => 'superseded', staging => 'absent'));
is(receipt_of('newer', settled_as('superseded'))->{gateways}, 3, 'the receipt');



=== TEST 2: an environment without gateways costs one question
--- script
answer_is(del('api-user'), 'connected', everywhere());
credential('other');
my $monitor = monitor('production');
answer_is(del('other'), 'deleted', everywhere());
my @seen;
wait_for(sub { (@seen = grep { /gateways/ } $monitor->()) > 0 });
is(@seen, 1, 'one');
like($seen[0], qr/lua\] "EXISTS" "\{cred\}:gateways"/, 'EXISTS');



=== TEST 3: a gateway that is stopped is outwaited
--- script
my ($one, $two) = (cached('one', '1500ms'), cached('two', '10s'));
my ($name) = grep { { gateways() }->{$_}{lease} == 1500 } keys %{ { gateways() } };
stop($one);
my $start = Time::HiRes::time();
my $sock = begin();

# meanwhile the registry knows why

my $is = receipt_of('api-user', sub { $_[0]{waiting} });
is($is->{state}, 'pending', 'pending');
is($is->{error}, 'gateways have not confirmed', 'for this reason');
is($is->{waiting}, 'undeployed', 'it will be');
is($is->{gateways}, 2, 'two gateways');
is($is->{attempts}, 0, 'no attempt is over');
cmp_ok($is->{next}, '>=', $start * 1000 + 10000, 'due when it should be over');
is(redis('registry', 'ZSCORE', '{cred}:pending:production',
         redis('registry', 'ZRANGE', '{cred}:pending:production', 0, 0)),
   $is->{next}, 'as in its entry');

answer_is(answer($sock), 'deleted', everywhere());
cmp_ok(Time::HiRes::time() - $start, '>=', 10, 'after the longest lease');

my %left = gateways();
is(keys %left, 1, 'one is left');
is($left{$name}, undef, 'the one that was stopped is not');
$is = receipt_of('api-user', settled_as('undeployed'));
is($is->{gateways}, 2, 'the receipt');
cmp_ok($is->{effective}, '>=', 10000, 'when it was effective');
is($is->{attempts}, 1, 'one attempt');
is_deeply([ @$is{qw(waiting next)} ], [undef, undef], 'nothing is waited for');

refused($two);
cont($one);
refused($one);
ok(leased(undef, 2), 'it comes back');



=== TEST 4: a dead gateway costs one wait
--- script
my ($one, $two) = (cached('one', '1s'), cached('two', '1s'));
gateway_stop($one, 'KILL');
credential([1 .. 5]);
my $start = Time::HiRes::time();
answer_is(del(1), 'outwaited', everywhere());
cmp_ok(Time::HiRes::time() - $start, '>=', 1, 'after its lease');
is(keys %{ { gateways() } }, 1, 'forgotten');
answer_is(del($_), 'not waited for', everywhere()) for 2 .. 5;
is(receipt_of(5, settled_as('undeployed'))->{gateways}, 1, 'the receipt');
gateway_stop($two);
answer_is(del('api-user'), 'one that has left', everywhere());
is(keys %{ { gateways() } }, 0, 'forgotten, too');
--- allow_log
exited on signal 9



=== TEST 5: a lease that is longer than the answer may take
--- http_config eval: main::conf('cred_cascade_timeout 2s;')
--- script
my $g = cached('one', '10s');
stop($g);
my $answer = del('api-user');
answer_is($answer, 'pending', pending(production => 'unconfirmed', staging => undef));
like($answer->{body}, qr/\{"environmentName":"production","success":false,"message":"Gateways have not confirmed, undeployment will be retried"\}/,
     'to the byte');

# asked again it is the same one

my $again = del('api-user');
is(operation($again), operation($answer), 'the same operation');
like($again->{headers}{'cred-pending'}, qr/^production$/, 'pending still');

my $is = receipt_of('api-user', sub { $_[0]{waiting} });
is($is->{error}, 'gateways have not confirmed', 'the receipt');
$again = del('api-user');
is(operation($again), operation($answer), 'the same operation still');

$is = receipt_of('api-user', settled_as('undeployed'));
is($is->{gateways}, 1, 'the receipt');
cmp_ok($is->{effective}, '>=', 10000, 'when it was effective');
ok(settled(), 'nothing is pending');
answer_is(del('api-user'), 'then it is gone', failure(400, 'api-user'));
cont($g);
refused($g);



=== TEST 6: asked again while it is waited for
--- http_config eval: main::conf('cred_cascade_timeout 2s;')
--- script
my $g = cached('one', '1h');
stop($g);
my $answer = del('api-user');
answer_is($answer, 'pending', pending(production => 'unconfirmed', staging => undef));
ok(wait_for(sub {
    my $got = del('api-user');
    return operation($got) eq operation($answer)
           && $got->{body} =~ /"production","success":false,"message":"Gateways have not/;
}), 'for the same reason');
cont($g);
ok(settled(), 'and then it is settled');
refused($g);



=== TEST 7: all five APIs
--- config
location / {
    cred_registry         $TEST_NGINX_REGISTRY;
    cred_delete           apinizer iam deepset thousandeyes alloy;
    cred_cascade_timeout  60s;
}
--- script
my $uuid = '7f3c1c0e-3c1b-4a51-9d0e-0b0f8f2f6a11';
my @apis = (
    ['apinizer', 'MyProject', 'user', 200,
     'DELETE', '/apiops/projects/MyProject/credentials/user/', 'Authorization: Bearer T'],
    ['iam', 'domain-1', 'AK1', 204,
     'DELETE', '/v3.0/OS-CREDENTIAL/credentials/AK1', 'X-Auth-Token: T'],
    ['deepset', 'acme', $uuid, 204,
     'DELETE', "/api/v1/infrastructure/file_stores/$uuid", 'Authorization: Bearer T'],
    ['thousandeyes', '11', '405', 204,
     'POST', '/v6/credentials/405/delete.json',
     'Authorization: Basic ' . MIME::Base64::encode_base64('alice:T', '')],
    ['alloy', 'u1', 'c1', 200,
     'DELETE', '/users/u1/credentials/c1', 'Authorization: bearer T', 'x-api-version: 2025-09'],
);

my $revision = 0;
my $deploy = sub {
    my ($api, $scope, $id) = @_;
    $revision++;
    redis('registry', 'HSET', "{cred}:$api:token:" . sha256('T'), 'subject', 'alice',
          'scope', $scope);
    redis('registry', 'HSET', "{cred}:$api:scope:$scope", 'a', 'b');
    redis('registry', 'HSET', "{cred}:$api:members:$scope", 'alice', 'manage');
    for my $name (qw(registry production)) {
        redis($name, 'HSET', "{cred}:$api:credential:$scope:$id", 'owner', 'alice',
              'revision', $revision, 'keys', sha256("$api-key"));
        redis($name, 'SET', "{cred}:$api:key:" . sha256("$api-key"), "$scope:$id");
    }
};

my $g = gateway_start('one', http => 'cred_access_lease 1h; cred_access_valid 1h missing=0;',
    server => join "\n", map { "location = /$_->[0] { cred_access $_->[0]; empty_gif; }" } @apis);
ok(leased(), 'a gateway');

for my $round ('confirmed', 'not confirmed') {
    for (@apis) {
        my ($api, $scope, $id) = @$_;
        $deploy->($api, $scope, $id);
        is(gate("$api-key", path => "/$api", port => $g->{port})->{status}, 200,
           "$api: passes");
    }

    stop($g) if $round eq 'not confirmed';

    my %operations;

    for (@apis) {
        my ($api, $scope, $id, $status, $method, $path, @headers) = @$_;
        push @headers, 'Prefer: wait=3' if $round eq 'not confirmed';
        my $got = call($method, $path, \@headers, '');
        $operations{$api} = operation($got);
        is($got->{status}, $status, "$api: $round, the status");
        is($got->{headers}{'cred-pending'},
           $round eq 'confirmed' ? undef : 'production', "$api: $round, the header");
        is($got->{body}, '', "$api: no body") if $status == 204;
        is($got->{body}, '{"success":true}', "$api: the body") if $api eq 'alloy';
        my $text = $round eq 'confirmed' ? 'true,"message":"Undeployed successfully"'
                   : 'false,"message":"Gateways have not confirmed, undeployment will be retried"';
        like($got->{body}, qr/\{"environmentName":"production","success":\Q$text\E\}/,
             "$api: the body") if $api eq 'apinizer';
    }

    cont($g);

    for (@apis) {
        my ($api, $scope, $id) = @$_;
        ok(wait_for(sub { gate("$api-key", path => "/$api", port => $g->{port})->{status} == 401 }),
           "$api: refused");
        my $is;
        ok(wait_for(sub {
            $is = JSON::PP::decode_json(receipt($operations{$api}));
            $is->{state} eq 'undeployed';
        }), "$api: settled");
        is($is->{gateways}, 1, "$api: the receipt");
    }
}



=== TEST 8: two environments, one of which does not confirm
--- http_config eval: main::conf('cred_cascade_timeout 3s;')
--- script
my $one = cached('one', '10s');
my $two = gateway_start('two', url => redis_url('staging'),
                        http => 'cred_access_lease 10s; cred_access_valid 1h;');
ok(leased('staging'), 'another one in staging');
is(seen('KEY', port => $two->{port}), '200 MISS', 'two: the key passes');
stop($two);
my $answer = del('api-user');
answer_is($answer, 'one', pending(production => undef, staging => 'unconfirmed'));
refused($one);
is(receipt_of('api-user', settled_as('undeployed'))->{gateways}, 1, 'the one receipt');
is(receipt_of('api-user', settled_as('undeployed'), 'staging')->{gateways}, 1,
   'the other one');
cont($two);
refused($two);



=== TEST 9: the background retry waits, too
--- http_config eval: main::conf('cred_cascade_timeout 3s; cred_retry_delay 100ms;')
--- script
my $g = cached('one', '10s');
redis('registry', 'HSET', '{cred}:environments', 'production', 'redis://127.0.0.1:1');
answer_is(del('api-user'), 'not there',
          pending(production => 'unreachable', staging => undef));
is(seen('KEY', port => $g->{port}), '200 HIT', 'it passes until then');
stop($g);
my $start = Time::HiRes::time();
redis('registry', 'HSET', '{cred}:environments', 'production', redis_url('production'));

my $is = receipt_of('api-user', sub { $_[0]{waiting} });
is($is->{error}, 'gateways have not confirmed', 'it is waited for');
like(del('api-user')->{headers}{'cred-pending'} // '', qr/^production$/, 'and pending');
$is = receipt_of('api-user', settled_as('undeployed'));
cmp_ok(Time::HiRes::time() - $start, '>=', 10, 'for as long as a lease');
is($is->{gateways}, 1, 'the receipt');
cmp_ok($is->{effective}, '>=', 10000, 'from the first attempt');
cmp_ok($is->{attempts}, '>=', 2, 'of several');
is(keys %{ { gateways() } }, 0, 'the gateway is forgotten');
ok(settled(), 'settled');
cont($g);
refused($g);



=== TEST 10: many that wait in the background
--- http_config eval: main::conf('cred_cascade_timeout 5s; cred_retry_delay 100ms;')
--- script
my $g = cached('one', '1s');
my @ids = map { "key$_" } 1 .. 300;
key(@ids);
redis('registry', 'HSET', '{cred}:environments', 'production', 'redis://127.0.0.1:1');
my $sock = http_open();
print $sock map { del_raw($_) } @ids;
my %seen;
$seen{ answer($sock)->{headers}{'cred-pending'} // 'none' }++ for @ids;
is_deeply(\%seen, { production => 300 }, 'pending');
is(seen('key1', port => $g->{port}), '200 MISS', 'passes yet');
stop($g);
redis('registry', 'HSET', '{cred}:environments', 'production', redis_url('production'));
ok(settled(), 'all are settled');
cont($g);
is(join(' ', grep { $_ != 401 } map { gate($_, port => $g->{port})->{status} } @ids[0 .. 20]),
   '', 'and refused');



=== TEST 11: the worker that waits is killed
--- http_config
cred_registry         $TEST_NGINX_REGISTRY;
cred_cascade_timeout  60s;
cred_connect_timeout  2s;
cred_command_timeout  2s;
cred_retry_delay      100ms;
--- script
my $g = cached('one', '10s');
key('two');
is(seen('two', port => $g->{port}), '200 MISS', 'another key passes');
stop($g);

# before and after the registry knows that it waits

begin();
my ($worker) = nginx_workers();
kill 'KILL', $worker;
ok(wait_for(sub { ((nginx_workers())[0] // $worker) != $worker }), 'another worker');
begin('two');
ok(receipt_of('two', sub { $_[0]{waiting} })->{waiting}, 'it waits');
($worker) = nginx_workers();
kill 'KILL', $worker;
ok(wait_for(sub { ((nginx_workers())[0] // $worker) != $worker }), 'another worker');

like(receipt_of('api-user', sub { ($_[0]{state} // '') =~ /deployed/ })->{gateways},
     qr/^\d$/, 'it goes on with the one');
is(receipt_of('two', settled_as('undeployed'))->{state}, 'undeployed', 'and the other');
ok(settled(), 'all are settled');
cont($g);
refused($g);
is(gate('two', port => $g->{port})->{status}, 401, 'both are refused');
--- allow_log
exited on signal 9



=== TEST 12: reload while it waits
--- script
my $g = cached('one', '10s');
stop($g);
my $sock = begin();
my @old = nginx_workers();
ok(nginx_reload(), 'reloaded');
is(scalar(grep { running($_) } @old), 1, 'the old worker is there');
answer_is(answer($sock), 'it answers', everywhere());
ok(wait_for(sub { !grep { running($_) } @old }), 'then it leaves');
is(receipt_of('api-user', settled_as('undeployed'))->{attempts}, 1, 'one attempt');
cont($g);
refused($g);



=== TEST 13: reload when nobody waits for the answer any more
--- http_config eval: main::conf('cred_cascade_timeout 3s; cred_retry_delay 100ms;')
--- script
my $g = cached('one', '10s');
stop($g);
answer_is(del('api-user'), 'pending',
          pending(production => 'unconfirmed', staging => undef));
my @old = nginx_workers();
ok(nginx_reload(), 'reloaded');
ok(wait_for(sub { !grep { running($_) } @old }), 'the old worker leaves');
ok(settled(), 'another one goes on');
my $is = receipt_of('api-user', settled_as('undeployed'));
is($is->{state}, 'undeployed', 'undeployed');
like($is->{gateways}, qr/^[01]$/, 'the receipt');
cont($g);
refused($g);



=== TEST 14: the environment is away while it waits
--- http_config
cred_registry         $TEST_NGINX_REGISTRY;
cred_cascade_timeout  60s;
cred_connect_timeout  2s;
cred_command_timeout  2s;
cred_retry_delay      100ms;
--- script
my $g = cached('one', '8s');
stop($g);
my $start = Time::HiRes::time();
my $sock = begin();
redis_pause('production');

# nobody can say that it still knows of it

my $answer = answer($sock);
cmp_ok(Time::HiRes::time() - $start, '>=', 8, 'until the lease is over');
answer_is($answer, 'unreachable',
          pending(production => 'unreachable', staging => undef));
redis_resume('production');
is(receipt_of('api-user', settled_as('undeployed'))->{state}, 'undeployed',
   'then it is done');
ok(settled(), 'settled');
cont($g);
refused($g);

# away for a moment

ok(leased(), 'it is there again');
key('third');
is(seen('third', port => $g->{port}), '200 MISS', 'another key passes');
stop($g);
$sock = begin('third');
redis_pause('production');
ok(receipt_of('third', sub { $_[0]{waiting} })->{waiting}, 'it waits');
redis_resume('production');
is(answer($sock)->{status}, 200, 'an answer');
is(receipt_of('third', settled_as('undeployed'))->{state}, 'undeployed', 'it is done');
is(keys %{ { gateways() } }, 0, 'the gateway was outwaited');
cont($g);
is(gate('third', port => $g->{port})->{status}, 401, 'refused');



=== TEST 15: P:gateways is of another type
--- http_config eval: main::conf('cred_cascade_timeout 2s; cred_retry_delay 100ms;')
--- script
my $g = cached('one', '1s');
stop($g);

for my $command (['SET', 'x'], ['SADD', 'x'], ['XADD', '*', 'a', 'b'], ['RPUSH', 'x'],
                 ['ZADD', 1, 'x'])
{
    my ($name, @args) = @$command;
    my $id = lc $name;
    key($id);
    redis('production', 'DEL', '{cred}:gateways');
    redis('production', $name, '{cred}:gateways', @args);
    my $before = contents('production');
    answer_is(del($id), "$name: refused",
              pending(production => 'refused', staging => 'absent'));
    is_deeply(contents('production'), $before, "$name: nothing has changed");
    redis('production', 'DEL', '{cred}:gateways');
    ok(settled(), "$name: then it is settled");
}

cont($g);
ok(leased(), 'the gateway is there again');



=== TEST 16: entries of P:gateways that nobody could have written
--- script
my @garbage = (
    '', ' ', 'x', '1', '100 0-0', '100 0-0 0-0', '100 0-0 0-0 1', '-5 0-0 0-0 1 0',
    '1e9 0-0 0-0 1 0', '5.5 0-0 0-0 1 0', '0x7 0-0 0-0 1 0', ' 100 0-0 0-0 1 0',
    '100  0-0 0-0 1 0', '100 0 0 1 0', '100 x-y 0-0 1 0', '100 0-0-0 0-0 1 0',
    'nan 0-0 0-0 1 0', "100 0-0 0-0 1 0\n", "\0\xff", '100 9999999999999-0 x 1 0',
    '9' x 400, '300 0-0 0-0 1 0', '300 99999999999999-0 99999999999999-0 1 0',
    '300 18446744073709551615-18446744073709551615 0-0 1 0',
    '0 0-0 0-0 1 0', 'x' x 100000,
);

my ($one, $two) = (cached('one', '2s'), cached('two', '2s'));
redis('production', 'HSET', '{cred}:gateways', "garbage$_", $garbage[$_])
    for 0 .. $#garbage;

# they do not stand for the one that has not confirmed

stop($one);
my $start = Time::HiRes::time();
answer_is(del('api-user'), 'deleted', everywhere());
cmp_ok(Time::HiRes::time() - $start, '>=', 2, 'after the lease of the real one');
refused($two);
cont($one);
refused($one);

ok(leased(undef, 2), 'only the real ones are left')
    or diag(scalar redis('production', 'HGETALL', '{cred}:gateways'));
credential('next');
answer_is(del('next'), 'the next one', everywhere());



=== TEST 17: leases that are longer than any
--- http_config eval: main::conf('cred_cascade_timeout 3s; cred_retry_delay 100ms;')
--- script
my $g = cached('one', '2s');
my @leases = ('3600001', '9' x 15, '9' x 30, '4294967296', '18446744073709551616');
my $n = 0;

for my $lease (@leases) {
    my $id = 'long' . ++$n;
    key($id);
    is(gate($id, port => $g->{port})->{status}, 200, 'it passes');
    redis('production', 'HSET', '{cred}:gateways', 'long', "$lease 0-0 0-0 1 0");
    answer_is(del($id), "$lease: not confirmed",
              pending(production => 'unconfirmed', staging => 'absent'));
    ok(wait_for(sub { gate($id, port => $g->{port})->{status} == 401 }),
       'it is refused by the other one');

    # it is a gateway, for all that anybody knows: no longer than an hour, or until
    # it is taken out

    my $is = receipt_of($id, sub { $_[0]{waiting} });
    my $wait = $is->{next} - $is->{last};
    cmp_ok($wait, '<=', 3600000 * 9 / 8 + 10 + 2000, 'no longer than an hour');
    cmp_ok($wait, '>', 3500000, 'but so long');
    redis('production', 'HDEL', '{cred}:gateways', 'long');
    is(receipt_of($id, settled_as('undeployed'))->{state}, 'undeployed', 'then it is done');
}



=== TEST 18: two hundred gateways
--- script
my $g = cached('one', '10s');
my $last = last_id();
my @names = map { "gateway$_" } 1 .. 200;
redis('production', 'HSET', '{cred}:gateways',
      map { ($_ => "1000 $last $last 1700000000000 0") } @names);

my $start = Time::HiRes::time();
my $sock = begin();

# all but one confirm

my $id = last_id();
redis('production', 'HSET', '{cred}:gateways',
      map { ($_ => "1000 $id $id 1700000000000 0") } @names[1 .. $#names]);
ok(receipt_of('api-user', sub { $_[0]{waiting} })->{waiting}, 'it waits for one');
redis('production', 'HSET', '{cred}:gateways', $names[0],
      "1000 $id $id 1700000000000 0");
answer_is(answer($sock), 'deleted', everywhere());
is(receipt_of('api-user', settled_as('undeployed'))->{gateways}, 201, 'the receipt');
is(keys %{ { gateways() } }, 201, 'they are all there');
refused($g);

# and none

credential('other');
$start = Time::HiRes::time();
answer_is(del('other'), 'outwaited', everywhere());
cmp_ok(Time::HiRes::time() - $start, '>=', 10, 'after the longest lease');
is(keys %{ { gateways() } }, 1, 'and forgotten');



=== TEST 19: answers to the question that no Redis gives
--- before
# each credential in an environment of its own, of which the prefix is the name

our $Lease = 400;
our %Replies = (
    ok       => "+OK\r\n",
    nil      => "\$-1\r\n",
    empty    => "\$0\r\n\r\n",
    zero     => "\$1\r\n0\r\n",
    status   => "+0\r\n",
    lost     => bytes([':-1']),
    none     => "*0\r\n",
    two      => bytes([':0', ':0']),
    nested   => bytes([[':0']]),
    string   => bytes(['0']),
    nils     => bytes([undef]),
    arrayed  => "*1\r\n" x 300000,
    large    => "*2147483647\r\n",
    garbage  => "\x16\x03\x01hello",
    noscript => "-NOSCRIPT No matching script\r\n",
    nothing  => \"",
    half     => \"\$10\r\n0",
    map { lc $_ => "-$_ some text\r\n" } qw(LOADING BUSY READONLY NOPERM OOM ERR),
);
our %Good = (yes => bytes([':0']), one => bytes([':1']),
             many => bytes([':2147483647']));

my $reply = sub {
    my ($name, undef, undef, $key, @args) = @_;
    $SIG{PIPE} = 'IGNORE';

    if ($key =~ /:undeployments\z/) {
        return bytes(['1:1700000000000-0', ':1', ":$Lease", 'undeployed',
                      '1700000000000-0']);
    }

    my ($prefix) = $key =~ /^(.*):gateways\z/;
    return $Good{$prefix} // $Replies{$prefix};
};

$ENV{TEST_NGINX_FAKE} = fake(replies => { EVALSHA => $reply, EVAL => $reply });
--- http_config
cred_registry         $TEST_NGINX_REGISTRY;
cred_command_timeout  5s;
cred_connect_timeout  5s;
cred_cascade_timeout  60s;
cred_retry_delay      1h;
--- script
my ($worker) = nginx_workers();
my @names = (sort(keys %::Replies), sort keys %::Good);
credential(\@names, qw(registry));

# each of another name: a claim on its way still has the URL of the one before

for my $id (@names) {
    my $name = "staging-$id";
    redis('registry', 'DEL', '{cred}:environments');
    redis('registry', 'HSET', '{cred}:environments', $name,
          "redis://127.0.0.1:$ENV{TEST_NGINX_FAKE}?prefix=$id");
    my $start = Time::HiRes::time();
    my $got = del($id);
    my $took = Time::HiRes::time() - $start;

    if ($::Good{$id}) {
        answer_is($got, "$id: deleted", deleted($name));
    } else {
        my $reason = $got->{body} =~ /unreachable/ ? 'unreachable' : 'refused';
        answer_is($got, "$id: not confirmed", pending($name => $reason));
    }

    cmp_ok($took, '>=', 0.4, "$id: not before the lease is over")
        unless $id eq 'yes';
}

is((nginx_workers())[0], $worker, 'the same worker');
