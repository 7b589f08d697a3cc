# A repeated DELETE of what is still pending, and deletes at the same time.

use CredTest;
use CredTest::Delete;
use CredTest::Gateway qw(freeze thaw);

defaults(sample(<<'END'));
cred_connect_timeout  30s;
cred_command_timeout  30s;
cred_cascade_timeout  30s;
cred_retry_delay      1h;
END


sub receipt {
    my ($answer, $environment) = @_;
    my $text = redis('registry', 'HGET',
                     '{cred}:operation:' . operation($answer),
                     "environment:$environment");
    return { $text =~ /"(\w+)":"?([^",}]*)/g };
}

# the answer comes before the receipt is written

sub attempts {
    my ($answer, $environment, $attempts) = @_;
    return wait_for(sub {
        my $receipt = receipt($answer, $environment);
        return $receipt->{attempts} == $attempts ? $receipt : '';
    });
}

sub undeployments {
    return join ' ', map {
        redis($_, 'XLEN', '{cred}:undeployments')
    } @_ ? @_ : qw(production staging);
}


run_tests();

__DATA__

=== TEST 1: resumed where it is pending, until it is done
--- before
redis_kill('staging');
--- script
my $first = del('api-user');
answer_is($first, 'deleted', pending(production => undef,
                                     staging => 'unreachable'));
ok(attempts($first, 'staging', 1), 'one attempt');

my $second = del('api-user');
answer_is($second, 'resumed', pending(production => undef,
                                      staging => 'unreachable'));
is(operation($second), operation($first), 'the same operation');
ok(attempts($first, 'staging', 2), 'one more attempt');

freeze(nginx_workers());
redis_start('staging');
my %sample = sample();
redis_load('staging', $sample{staging});
thaw(nginx_workers());

my $last;
ok(wait_for(sub {
    $last = del('api-user');
    return $last->{body} !~ /pending/;
}), 'the environment is back');

if (defined operation($last)) {
    answer_is($last, 'resumed to the end', everywhere());
    is(operation($last), operation($first), 'still the same operation');
} else {
    answer_is($last, 'the background was first', failure(400, 'api-user'));
}

ok(settled(), 'complete');
answer_is(del('api-user'), 'not found now', failure(400, 'api-user'));
is(undeployments(), '1 1', 'undeployed once');
is(receipt($first, 'production')->{attempts}, 1,
   'what was done is not attempted again');
is(scalar(grep { $_->{result} eq 'deleted' } audit()), 1, 'one delete');
ok(scalar(grep { $_->{result} eq 'resumed'
                 && $_->{operation} eq operation($first) } audit()),
   'and the others resumed it');
--- redis_check
staging: EXISTS {cred}:apinizer:credential:MyProject:api-user => 0
EXISTS {cred}:open:apinizer:MyProject:api-user => 0



=== TEST 2: many clients resume at once: each entry is attempted by one
--- before
redis('staging', 'CONFIG', 'SET', 'min-replicas-to-write', 1);
--- script
my $first = del('api-user');
answer_is($first, 'deleted', pending(production => undef,
                                     staging => 'refused'));
ok(attempts($first, 'staging', 1), 'one attempt');
redis('staging', 'CONFIG', 'SET', 'min-replicas-to-write', 0);
redis_pause('staging');

my @socks = map { http_open() } 1 .. 20;
print $_ del_raw('api-user', 'Connection: close') for @socks;

# the one attempt waits for staging, the others know that it is under way

ok(wait_for(sub { @{[ audit() ]} == 21 }), 'all have asked');
redis_resume('staging');

my @answers = map { http_parse(http_read($_)) } @socks;

is(scalar(grep { ($_->{status} == 200 && operation($_) eq operation($first)) }
          @answers), 20, 'all of them resume');
is(scalar(grep { $_->{body} !~ /pending/ } @answers), 1, 'one of them acts');
ok(settled(), 'complete');
is(undeployments(), '1 1', 'undeployed once');
is(receipt($first, 'staging')->{attempts}, 2, 'two attempts in all');
is(receipt($first, 'staging')->{state}, 'undeployed', 'done');



=== TEST 3: deletes of one credential at once: one cascade
--- script
for my $round (1 .. 10) {
    credential("c$round");
    my @answers = map { http_parse($_) }
                  http_many((del_raw("c$round", 'Connection: close')) x 8);

    my %operations = map { $_ => 1 } grep { defined } map { operation($_) }
                     @answers;

    is(scalar keys %operations, 1, "round $round: one operation");
    is(scalar(grep { $_->{status} != 200 && $_->{status} != 400 } @answers), 0,
       'the others resume it or find nothing');
    ok(settled(), 'complete');
    is(undeployments(), "$round $round", 'one undeployment in each');
}

is(scalar(grep { $_->{result} eq 'deleted' } audit()), 10, 'ten deletes');



=== TEST 4: the state of an operation while others have its entries
--- http_config
cred_registry         $TEST_NGINX_REGISTRY;
cred_connect_timeout  60s;
cred_command_timeout  60s;
cred_cascade_timeout  3s;
cred_retry_delay      1h;
--- before
redis_pause('production');
--- script
my $first = del('api-user');
answer_is($first, 'deleted', pending(production => 'late', staging => undef));

# its attempt is still under way

my $second = del('api-user');
answer_is($second, 'resumed', pending(production => 'late', staging => undef));
is(operation($second), operation($first), 'the same operation');

redis_resume('production');
ok(settled(), 'the first attempt has done it');
is(undeployments(), '1 1', 'undeployed once');
is(receipt($first, 'production')->{attempts}, 1, 'in one attempt');



=== TEST 5: created again while an operation is open: another delete
--- before
redis_kill('staging');
--- script
my $first = del('api-user');
is($first->{status}, 200, 'deleted');
redis('registry', 'HSET', '{cred}:apinizer:credential:MyProject:api-user',
      'owner', 'alice', 'revision', 8);
my $second = del('api-user');
answer_is($second, 'deleted again', pending(production => 'absent',
                                            staging => 'unreachable'));
isnt(operation($second), operation($first), 'another operation');

redis_start('staging');
my $answer;
ok(wait_for(sub {
    $answer = del('api-user');
    return $answer->{status} == 400;
}), 'both are done');
ok(settled(), 'complete');
is(redis('registry', 'HGET', '{cred}:operation:' . operation($_), 'pending'), 0,
   'complete') for $first, $second;
is(redis('staging', 'GET', '{cred}:apinizer:tombstone:MyProject:api-user'), 8,
   'the tombstone has the highest revision');



=== TEST 6: who may not delete may not resume
--- before
redis_kill('staging');
--- script
is(del('api-user')->{status}, 200, 'deleted');
answer_is(del('api-user', token => 'VIEWER'), 'view only', failure(403));
answer_is(del('api-user', token => 'STRANGER'), 'no member',
          failure(404, 'MyProject'));
answer_is(del('api-user', token => 'NONE'), 'no token', failure(401));



=== TEST 7: iam: another user's open operation
--- config
location /v3.0/ { cred_delete iam; }
--- registry
HSET {cred}:iam:token:sha256(ALICE) subject alice scope domain
HSET {cred}:iam:token:sha256(BOB) subject bob scope domain
HSET {cred}:iam:token:sha256(ADMIN) subject carol scope domain roles secu_admin
HSET {cred}:iam:credential:domain:AK owner alice
--- before
redis_kill('staging');
--- script
sub ask { call('DELETE', '/v3.0/OS-CREDENTIAL/credentials/AK', ["X-Auth-Token: $_[0]"]) }
my $first = ask('ALICE');
is($first->{status}, 204, 'deleted by its owner');
is($first->{headers}{'cred-pending'}, 'staging', 'pending');
is(ask('BOB')->{status}, 403, 'not resumed by another user');
my $again = ask('ADMIN');
is($again->{status}, 204, 'resumed by a security administrator');
is(operation($again), operation($first), 'the same operation');
is($again->{headers}{'cred-pending'}, 'staging', 'still pending');



=== TEST 8: operations that somebody has deleted by hand
--- http_config
cred_registry         $TEST_NGINX_REGISTRY;
cred_connect_timeout  30s;
cred_command_timeout  30s;
cred_cascade_timeout  30s;
cred_retry_delay      100ms 200ms;
--- script
my $open = '{cred}:open:apinizer:MyProject';
credential('two');
redis_kill('staging');

for my $id (qw(api-user two)) {
    my $answer = del($id);
    answer_is($answer, $id, pending(production => undef,
                                    staging => 'unreachable'));
    ok(wait_for(sub { redis('registry', 'EXISTS', '{cred}:pending:production') == 0
                      && receipt($answer, 'staging')->{attempts} }), 'written');
    is(redis('registry', 'GET', "$open:$id"), operation($answer), 'open');
    redis('registry', 'DEL', '{cred}:operation:' . operation($answer));
}

# one is deleted again: there is nothing to resume

answer_is(del('two'), 'not found', failure(400, 'two'));
is(redis('registry', 'EXISTS', "$open:two"), 0, 'nor open');

# they are undeployed all the same

freeze(nginx_workers());
redis_start('staging');
redis_load('staging', { sample() }->{staging});
credential('two', 'staging');
thaw(nginx_workers());
ok(settled(), 'nothing is pending, nothing open');
is(redis('registry', 'KEYS', '{cred}:operation:*'), '', 'none has come back');
--- redis_check
staging: EXISTS {cred}:apinizer:credential:MyProject:api-user {cred}:apinizer:credential:MyProject:two => 0
staging: XLEN {cred}:undeployments => 2
EXISTS {cred}:open:apinizer:MyProject:api-user => 0
