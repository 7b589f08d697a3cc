
# The answers of the Apinizer API, byte for byte, and what they leave behind.

use CredTest;
use CredTest::Delete;

defaults(sample(<<'END'));
cred_connect_timeout  2s;
cred_command_timeout  2s;
cred_cascade_timeout  1s;
cred_retry_delay      100ms 200ms;
END

run_tests();


__DATA__

=== TEST 1: deleted in two environments
--- script
answer_is(del('api-user'), 'the answer', everywhere());
ok(settled(), 'settled');
answer_is(del('api-user'), 'again', failure(400, 'api-user'));
--- redis_check
EXISTS {cred}:apinizer:credential:MyProject:api-user => 0
EXISTS {cred}:apinizer:grants:MyProject:api-user => 0
SMEMBERS {cred}:apinizer:credentials:MyProject => other
EXISTS {cred}:open:apinizer:MyProject:api-user => 0
EXISTS {cred}:pending:production {cred}:pending:staging => 0
production: EXISTS {cred}:apinizer:credential:MyProject:api-user => 0
production: EXISTS {cred}:apinizer:grants:MyProject:api-user => 0
production: SMEMBERS {cred}:apinizer:credentials:MyProject => other
production: GET {cred}:apinizer:tombstone:MyProject:api-user => 7
production: TTL {cred}:apinizer:tombstone:MyProject:api-user =~ ^604(800|79\d)$
production: XLEN {cred}:undeployments => 1
staging: EXISTS {cred}:apinizer:credential:MyProject:api-user => 0
staging: EXISTS {cred}:apinizer:grants:MyProject:api-user => 0
staging: SMEMBERS {cred}:apinizer:credentials:MyProject => other
staging: XLEN {cred}:undeployments => 1
XLEN {cred}:audit => 2



=== TEST 2: the records of a delete
--- script
my $listener = CredTest::Redis::redis_connect('staging');
print $listener resp('SUBSCRIBE', '{cred}:undeployed');
reply($listener);

my $before = time * 1000 - 1;
my $op = operation(del('api-user'));
my $key = "{cred}:operation:$op";
my $settled = sub { redis('registry', 'HGET', $key, 'completed_at') ne '(nil)' };
ok(wait_for($settled), 'complete');
my $after = time * 1000 + 1001;

my %fields = redis('registry', 'HGETALL', $key);
my $created = delete $fields{created_at};
my $completed = delete $fields{completed_at};
cmp_ok($created, '>=', $before, 'created after the request');
cmp_ok($completed, '>=', $created, 'then completed');
cmp_ok($completed, '<=', $after, 'by now');

my %receipts = map { $_ => delete $fields{"environment:$_"} }
               qw(production staging);

is_deeply(\%fields, {
    api => 'apinizer', scope => 'MyProject', id => 'api-user', revision => 7,
    owner => 'alice', subject => 'alice', client => '127.0.0.1',
    environments => 2, pending => 0
}, 'the operation');

for my $name (sort keys %receipts) {
    my $receipt = $receipts{$name};
    like($receipt, qr/"state":"undeployed"/, "$name: state");
    like($receipt, qr/"attempts":1[,}]/, "$name: attempts");
    like($receipt, qr/"$_":\d+/, "$name: $_") for qw(last ms);
    unlike($receipt, qr/error/, "$name: no error");
}

like(redis('registry', 'TTL', $key), qr/^604(800|79\d)$/, 'is kept for 7 days');

is_deeply([ audit() ], [ {
    api => 'apinizer', scope => 'MyProject', id => 'api-user',
    subject => 'alice', client => '127.0.0.1', result => 'deleted',
    operation => $op
} ], 'the audit');

my (undef, %entry) = redis('production', 'XRANGE', '{cred}:undeployments',
                           '-', '+');
is_deeply(\%entry, {
    api => 'apinizer', scope => 'MyProject', id => 'api-user', revision => 7,
    operation => $op
}, 'the stream of an environment');

my $message = reply($listener);
is("@$message[0, 1]", 'message {cred}:undeployed', 'the channel');
like($message->[2], qr/$_/, "the message: $_")
    for '^\{.*\}$', '"api":"apinizer"', '"scope":"MyProject"',
        '"id":"api-user"', '"revision":"7"', qq("operation":"$op");



=== TEST 3: refusals, which change nothing
--- script
my @before = map { contents($_) } qw(registry production staging);

my @table = (
    ['no token',        { path => path() },                   401],
    ['not a member',    { token => 'STRANGER' },              404, 'MyProject'],
    ['no such project', { project => 'Other' },               404, 'Other'],
    ['a viewer',        { token => 'VIEWER' },                403],
    ['a viewer of what is not there', { token => 'VIEWER', id => 'nobody' }, 403],
    ['no credential',   { id => 'nobody' },                   400, 'nobody'],
);

for (@table) {
    my ($name, $args, @wanted) = @$_;
    answer_is(del($args->{id}, %$args), $name, failure(@wanted))
        unless $args->{path};
    answer_is(call('DELETE', $args->{path}), $name, failure(@wanted))
        if $args->{path};
}

is_deeply([ map { contents($_) } qw(registry production staging) ], \@before,
          'nothing has changed');

is(join(' ', map { "$_->{subject}:$_->{result}:$_->{operation}" } audit()),
   'carol:scope_not_found: alice:scope_not_found: bob:forbidden: '
   . 'bob:forbidden: alice:not_found:', 'the audit');



=== TEST 4: members of a project that is gone, projects with no members
--- registry
DEL {cred}:apinizer:scope:MyProject
HSET {cred}:apinizer:scope:Empty a b
--- script
answer_is(del('api-user'), 'gone', failure(404, 'MyProject'));
answer_is(del('api-user', project => 'Empty'), 'empty', failure(404, 'Empty'));



=== TEST 5: a token with an own scope is for the project in the path all the same
--- registry
HSET {cred}:apinizer:token:sha256(TOKEN) scope Other
--- script
answer_is(del('api-user'), 'deleted', everywhere());



=== TEST 6: no environment registered
--- registry
DEL {cred}:environments
--- script
my $answer = del('api-user');
answer_is($answer, 'the answer', deleted());
my $key = '{cred}:operation:' . operation($answer);
isnt(redis('registry', 'HGET', $key, 'completed_at'), '(nil)', 'is complete');
cmp_ok(redis('registry', 'TTL', $key), '>', 604790, 'is kept for 7 days');
is(redis('registry', 'EXISTS', '{cred}:open:apinizer:MyProject:api-user'), 0,
   'is not open');
answer_is(del('api-user'), 'again', failure(400, 'api-user'));
--- redis_check
production: EXISTS {cred}:apinizer:credential:MyProject:api-user => 1



=== TEST 7: the three reasons of what is pending
--- script
credential(['one', 'two', 'three', 'four']);

redis_kill('staging');
my $answer = del('api-user');
answer_is($answer, 'unreachable',
          pending(production => undef, staging => 'unreachable'));

ok(wait_for(sub {
    redis('registry', 'EXISTS', '{cred}:pending:production') == 0;
}), 'the registry knows of production');

my $again = del('api-user');
answer_is($again, 'resumed',
          pending(production => undef, staging => 'unreachable'));
is(operation($again), operation($answer), 'the same operation');
is((audit())[-1]{result}, 'resumed', 'the audit');

redis_start('staging');
ok(wait_for(sub {
    redis('registry', 'EXISTS', '{cred}:pending:staging') == 0;
}), 'it is back');
answer_is(del('api-user'), 'done', failure(400, 'api-user'));

credential('one', 'staging');
redis('staging', 'CONFIG', 'SET', 'min-replicas-to-write', 1);
answer_is(del('one'), 'refused',
          pending(production => undef, staging => 'refused'));
redis('staging', 'CONFIG', 'SET', 'min-replicas-to-write', 0);
ok(wait_for(sub {
    redis('registry', 'EXISTS', '{cred}:pending:staging') == 0;
}), 'it does not refuse any more');
is(redis('staging', 'EXISTS', '{cred}:apinizer:credential:MyProject:one'), 0,
   'gone');

redis_pause('staging');
answer_is(del('two'), 'late', pending(production => undef, staging => 'late'));
redis_pause('production');
answer_is(del('three'), 'both', pending(production => 'late', staging => 'late'));
redis_resume($_) for qw(production staging);
ok(wait_for(sub {
    redis('registry', 'EXISTS', '{cred}:pending:staging',
          '{cred}:pending:production') == 0;
}), 'they go on');
answer_is(del('four'), 'as before, but for what a restart took',
          pending(production => undef, staging => 'absent'));
--- redis_check
EXISTS {cred}:pending => 0



=== TEST 8: names of environments
--- script
# sorted by bytes; in JSON as they are, in the header percent-encoded
redis('registry', 'DEL', '{cred}:environments');
redis('registry', 'HSET', '{cred}:environments', $_, 'nonsense')
    for 'b', 'a,1', 'B', "\xc3\xbc", 'a"\\', 'x:%', "bad\xff", 'a b';

my $answer = del('api-user');
is($answer->{headers}{'cred-pending'},
   'B,a%20b,a%22%5C,a%2C1,b,bad%FF,x%3A%25,%C3%BC', 'Cred-Pending');

my @names = $answer->{body} =~ /"environmentName":"((?:[^"\\]|\\.)*)"/g;
is(join('|', @names),
   "B|a b|a\\\"\\\\|a,1|b|bad\xef\xbf\xbd|x:%|\xc3\xbc", 'environmentName');
like($answer->{body}, qr/pending in 8 of 8 environments/, 'message');



=== TEST 9: an environment that is not registered any more
--- http_config
cred_registry            $TEST_NGINX_REGISTRY;
cred_retry_delay         100ms;
cred_unregistered_delay  100ms;
--- script
redis_kill('staging');
answer_is(del('api-user'), 'pending',
          pending(production => undef, staging => 'unreachable'));
redis('registry', 'HDEL', '{cred}:environments', 'staging');
ok(wait_for(sub { redis('registry', 'EXISTS', '{cred}:pending:staging') == 0 }),
   'is not waited for');
answer_is(del('api-user'), 'nothing is pending', failure(400, 'api-user'));



=== TEST 10: copies which are newer stay
--- production
HSET {cred}:apinizer:credential:MyProject:api-user revision 8
--- script
my $answer = del('api-user');
answer_is($answer, 'the answer',
          pending(production => 'superseded', staging => undef));
my $receipt;
ok(wait_for(sub {
    $receipt = redis('registry', 'HGET',
                     '{cred}:operation:' . operation($answer),
                     'environment:production');
    return $receipt =~ /"state":"superseded"/;
}), 'superseded') or diag($receipt);
--- redis_check
production: HGET {cred}:apinizer:credential:MyProject:api-user revision => 8
production: SMEMBERS {cred}:apinizer:grants:MyProject:api-user => API_PROXY:orders
production: SMEMBERS {cred}:apinizer:credentials:MyProject => api-user other
production: XLEN {cred}:undeployments => 1
staging: EXISTS {cred}:apinizer:credential:MyProject:api-user => 0



=== TEST 11: the registry is out of reach
--- script
redis_kill('registry');
answer_is(del('api-user'), 'at first', failure(503));
answer_is(del('api-user'), 'and then', failure(503));
answer_is(call('DELETE', path()), 'without a token', failure(401));
redis_start('registry');
--- redis_check
production: EXISTS {cred}:apinizer:credential:MyProject:api-user => 1



=== TEST 12: conditions and ranges of the client
--- script
credential([1 .. 4]);
my $n = 0;
answer_is(del(++$n, headers => [$_]), $_, everywhere())
    for 'If-Match: "a"', 'If-Unmodified-Since: Thu, 01 Jan 1970 00:00:00 GMT',
        'If-None-Match: *', 'Range: bytes=0-3';



=== TEST 13: the key with a slash at the end and without
--- script
credential(['a', 'b']);
answer_is(del(undef, path => '/apiops/projects/MyProject/credentials/a'),
          'without', everywhere());
answer_is(del(undef, path => '/apiops/projects/MyProject/credentials/b/?x=/'),
          'with arguments', everywhere());



=== TEST 14: where it was not deployed, where a newer one stays, what is pending
--- script
redis('registry', 'HSET', '{cred}:environments', $_, 'nonsense')
    for 'z', '%,';
credential(['one', 'two']);
redis($_, 'EVAL', q{
    for _, key in ipairs(redis.call('KEYS', '{cred}:apinizer:*')) do
        redis.call('DEL', key)
    end
}, 0) for qw(production staging);
credential('two', qw(production staging));
redis('staging', 'HSET', '{cred}:apinizer:credential:MyProject:two',
      'revision', 2);
my $answer = del('one');
like($answer->{body}, qr/"message":"Undeployment is pending in 2 of 4 /,
     'pending ones come first');
like($answer->{body}, qr/"$_","success":true,"message":"Was not deployed"/,
     "not in $_") for qw(production staging);
$answer = del('two');
like($answer->{body}, qr/"message":"Undeployment is pending in 2 of 4 /,
     'also before a newer one');
is($answer->{headers}{'cred-pending'}, '%25%2C,z', 'Cred-Pending');
is($answer->{headers}{'cred-superseded'}, 'staging', 'Cred-Superseded');

redis('registry', 'HDEL', '{cred}:environments', 'z', '%,');
credential(['three', 'four'], 'registry');
credential(['four'], 'production');
answer_is(del('three'), 'in none of them',
          pending(production => 'absent', staging => 'absent'));
answer_is(del('four'), 'in one of them',
          pending(production => undef, staging => 'absent'));

credential('five');
redis('registry', 'HSET', '{cred}:environments', 'a,b',
      redis_url('staging') . '?db=1');
redis('staging', 'EVAL', "redis.call('SELECT', 1) redis.call('HSET', KEYS[1], "
      . "'revision', 9)", 1, '{cred}:apinizer:credential:MyProject:five');
redis($_, 'HSET', '{cred}:apinizer:credential:MyProject:five', 'revision', 9)
    for qw(production);
my ($status, $headers, $body) = pending('a,b' => 'superseded',
    production => 'superseded', staging => undef);
$headers->{'Cred-Superseded'} = 'a%2Cb,production';
answer_is(del('five'), 'names are encoded', $status, $headers, $body);



=== TEST 15: an environment may be registered again within a day
--- http_config
cred_registry     $TEST_NGINX_REGISTRY;
cred_retry_delay  100ms;
--- script
redis_kill('staging');
my @pending = pending(production => undef, staging => 'unreachable');
my $answer = del('api-user');
answer_is($answer, 'pending', @pending);
redis('registry', 'HDEL', '{cred}:environments', 'staging');
ok(wait_for(sub { redis('registry', 'HEXISTS', '{cred}:unregistered', 'staging') }),
   'it is missed');
is(redis('registry', 'ZCARD', '{cred}:pending:staging'), 1, 'and waited for');
my $again = del('api-user');
answer_is($again, 'still pending', @pending);
is($again->{headers}{'cred-operation'}, $answer->{headers}{'cred-operation'},
   'the same operation');

redis_start('staging');
redis_load('staging', { sample() }->{staging});
redis('registry', 'HSET', '{cred}:environments', 'staging',
      redis_url('staging'));
ok(settled(), 'done when it is there again');
--- redis_check
staging: EXISTS {cred}:apinizer:credential:MyProject:api-user => 0
HEXISTS {cred}:unregistered staging => 0
XLEN {cred}:audit => 2
