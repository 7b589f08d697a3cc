# Revisions and tombstones: a late undeployment removes no newer copy.

use CredTest;
use CredTest::Delete;

defaults(sample(<<'END'));
cred_connect_timeout  60s;
cred_command_timeout  60s;
cred_cascade_timeout  60s;
cred_retry_delay      100ms 200ms;
END


my $Key = '{cred}:apinizer';


sub deploy {
    my ($environment, $revision) = @_;
    redis($environment, 'HSET', "$Key:credential:MyProject:api-user",
          'owner', 'alice', 'revision', $revision);
    redis($environment, 'SADD', "$Key:grants:MyProject:api-user", 'API_PROXY:x');
    redis($environment, 'SADD', "$Key:credentials:MyProject", 'api-user');
}

sub there {
    my ($environment) = @_;
    return redis($environment, 'EXISTS', "$Key:credential:MyProject:api-user",
                 "$Key:grants:MyProject:api-user")
           + redis($environment, 'SISMEMBER', "$Key:credentials:MyProject",
                   'api-user');
}

sub tombstone {
    my ($environment) = @_;
    return redis($environment, 'GET', "$Key:tombstone:MyProject:api-user");
}

sub state_of {
    my ($answer, $environment) = @_;
    my ($state) = redis('registry', 'HGET',
                        '{cred}:operation:' . operation($answer),
                        "environment:$environment") =~ /"state":"(\w+)"/;
    return $state;
}

# deletes with this revision in the registry and that one in production

sub try_revisions {
    my ($registered, $deployed) = @_;

    for my $name (qw(registry production)) {
        redis($name, 'DEL', "$Key:credential:MyProject:api-user",
              "$Key:tombstone:MyProject:api-user");
    }

    redis('registry', 'HSET', "$Key:credential:MyProject:api-user",
          'owner', 'alice', defined $registered ? (revision => $registered)
                                                : ());
    deploy('production', $deployed // 'none');
    redis('production', 'HDEL', "$Key:credential:MyProject:api-user",
          'revision') unless defined $deployed;

    redis('staging', 'DEL', "$Key:credential:MyProject:api-user",
          "$Key:grants:MyProject:api-user", "$Key:credentials:MyProject");

    my $answer = del('api-user');
    settled();

    my $state = state_of($answer, 'production');
    answer_is($answer, 'answered',
              pending(production => { not_deployed => 'absent',
                                      superseded => 'superseded' }->{$state},
                      staging => 'absent'));

    return join ' ', state_of($answer, 'production'), there('production'),
                     tombstone('production');
}


run_tests();

__DATA__

=== TEST 1: which copies are newer
--- script
is(try_revisions(7, 7), 'undeployed 0 7', 'the same');
is(try_revisions(7, 6), 'undeployed 0 7', 'older');
is(try_revisions(7, 8), 'superseded 3 7', 'newer');
is(try_revisions(9, 10), 'superseded 3 9', 'not as strings');
is(try_revisions(10, 9), 'undeployed 0 10', 'not as strings');
is(try_revisions('007', '08'), 'superseded 3 7', 'leading zeros');
is(try_revisions(9007199254740993, 9007199254740994),
   'superseded 3 9007199254740993', 'more than a double holds');
is(try_revisions('9' x 30, '1' . '0' x 30), 'superseded 3 ' . '9' x 30,
   'more than 64 bits hold');
is(try_revisions(7, undef), 'undeployed 0 7', 'a copy without one');
is(try_revisions(undef, 7), 'undeployed 0 0', 'unconditional without one');
is(try_revisions(undef, undef), 'undeployed 0 0', 'none at all');
is(try_revisions('x', 7), 'undeployed 0 0', 'no number');
is(try_revisions('-1', 7), 'undeployed 0 0', 'negative');
is(try_revisions(7, '-1'), 'undeployed 0 7', 'a negative copy');
is(try_revisions(0, 7), 'undeployed 0 0', 'zero is none');



=== TEST 2: a tombstone is kept 7 days and never goes back
--- script
redis('production', 'SET', "{cred}:apinizer:tombstone:MyProject:api-user", 20,
      'EX', 10);
my $answer = del('api-user');
answer_is($answer, 'deleted', everywhere());
is(tombstone('production'), 20, 'the higher one stays');
is(tombstone('staging'), 7, 'a new one');

for (qw(production staging)) {
    my $ttl = redis($_, 'TTL', '{cred}:apinizer:tombstone:MyProject:api-user');
    ok($ttl > 7 * 86400 - 60 && $ttl <= 7 * 86400, "7 days in $_");
}



=== TEST 3: it is left where nothing was deployed
--- before
redis('staging', 'FLUSHALL');
--- script
my $answer = del('api-user');
answer_is($answer, 'success', pending(production => undef, staging => 'absent'));
ok(settled(), 'complete');
is(state_of($answer, 'staging'), 'not_deployed', 'receipt');
is(tombstone('staging'), 7, 'a late deployer is warned');



=== TEST 4: a late retry after a new copy was deployed
--- before
redis('staging', 'CONFIG', 'SET', 'min-replicas-to-write', 1);
--- script
my $answer = del('api-user');
answer_is($answer, 'pending', pending(production => undef,
                                      staging => 'refused'));

# created again, and deployed by somebody who is quicker than the retry

deploy('registry', 8);
redis_pause('registry');
redis('staging', 'CONFIG', 'SET', 'min-replicas-to-write', 0);
deploy('staging', 8);
deploy('production', 8);
redis_resume('registry');

ok(wait_for(sub { state_of($answer, 'staging') eq 'superseded' }),
   'superseded');
is(there('staging'), 3, 'the new copy stays');
is(there('production'), 3, 'here as well');
is(there('registry'), 3, 'and it is registered');
is(tombstone('staging'), 7, 'the older revision is buried');

my $second = del('api-user');
answer_is($second, 'deleted again', everywhere());
isnt(operation($second), operation($answer), 'another operation');
is(there($_), 0, "gone from $_") for qw(registry production staging);
is(tombstone('staging'), 8, 'with its revision');



=== TEST 5: an undeployment that a stopped environment runs late
--- http_config
cred_registry         $TEST_NGINX_REGISTRY;
cred_connect_timeout  1s;
cred_command_timeout  1s;
cred_cascade_timeout  1s;
cred_retry_delay      100ms 200ms;
--- before
redis_pause('staging');
--- script
my $answer = del('api-user');
is($answer->{status}, 200, 'deleted');
is($answer->{headers}{'cred-pending'}, 'staging', 'pending');

# what was sent waits in its socket, and the deployer's commands behind it

my $sock = redis_connect('staging');
print $sock resp('HSET', '{cred}:apinizer:credential:MyProject:api-user',
                 'owner', 'alice', 'revision', 8);
redis_resume('staging');
reply($sock);
ok(settled(), 'complete');
is(redis('staging', 'HGET', '{cred}:apinizer:credential:MyProject:api-user',
         'revision'), 8, 'the new copy stays');



=== TEST 6: what gateways are told
--- script
my $sock = redis_connect('production');
print $sock resp('SUBSCRIBE', '{cred}:undeployed');
reply($sock);
my $operation = operation(del('api-user'));
my $json = reply($sock)->[2];
like($json, qr/"$_"/, 'published') for qw(apinizer MyProject api-user 7),
                                       $operation;
is(scalar redis('production', 'XREVRANGE', '{cred}:undeployments', '+', '-')
   =~ s/^\S+ //r,
   "api apinizer scope MyProject id api-user revision 7 operation $operation",
   'and in the stream');



=== TEST 7: a revision that is no number is no secret
--- script
# the newer copy in production goes, since none was meant; that is written down

for my $revision ('1.5', '-1', ' 7', '7 ', '1e3', '1700000000.25', '0x7', '', 'x',
                  "7\n", 'x' x 600)
{
    my $kept = substr $revision, 0, 512;
    my $name = '"' . substr($revision, 0, 16) . '"';

    redis('registry', 'HSET', "{cred}:apinizer:credential:MyProject:api-user",
          'owner', 'alice', 'revision', $revision);
    deploy('production', 1700000099);
    deploy('staging', 1700000099);

    my $answer = del('api-user');
    answer_is($answer, $name, everywhere());
    is(there($_), 0, "gone from $_") for qw(production staging);
    ok(settled(), 'settled');

    my $key = '{cred}:operation:' . operation($answer);
    is(redis('registry', 'HGET', $key, 'revision'), 0, 'as if it had none');
    is(redis('registry', 'HGET', $key, 'unusable_revision'), $kept,
       'the operation knows it');

    my (undef, %entry) = redis('registry', 'XREVRANGE', '{cred}:audit', '+', '-',
                               'COUNT', 1);
    is($entry{operation}, operation($answer), 'the audit');
    is($entry{result}, 'deleted', 'result');
    is($entry{revision}, $kept, 'and revision');
}

deploy($_, '007') for qw(registry production staging);
my $answer = del('api-user');
answer_is($answer, 'one that is a number', everywhere());
is(redis('registry', 'HEXISTS', '{cred}:operation:' . operation($answer),
         'unusable_revision'), 0, 'is no such one');
unlike(scalar(redis('registry', 'XREVRANGE', '{cred}:audit', '+', '-', 'COUNT', 1)),
       qr/revision/, 'nor in the audit');
