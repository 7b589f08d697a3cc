# What the background does with undeployments that are pending.

use CredTest;
use CredTest::Delete;
use CredTest::Gateway qw(freeze thaw);

defaults(sample(<<'END'));
cred_connect_timeout  30s;
cred_command_timeout  30s;
cred_cascade_timeout  30s;
cred_retry_delay      100ms 400ms;
END


# pending entries of one environment as delete.lua leaves them, due now

sub pend {
    my ($environment, $count, $revision) = @_;

    # some at a time, which no machine takes long for

    for (my $from = 1; $from <= $count; $from += 5000) {
        my $to = $from + 4999 < $count ? $from + 4999 : $count;
        redis('registry', 'EVAL', <<'END', 0, $environment, $to, $revision // 1, $from);
local P = '{cred}'
local clock = redis.call('TIME')
local now = clock[1] * 1000
for i = ARGV[4], ARGV[2] do
    local operation = string.format('%032x', i)
    redis.call('ZADD', P .. ':pending:' .. ARGV[1], now, 'apinizer:MyProject:p'
               .. i .. ':' .. ARGV[3] .. ':' .. operation)
    redis.call('HSET', P .. ':operation:' .. operation, 'api', 'apinizer',
               'scope', 'MyProject', 'id', 'p' .. i, 'revision', ARGV[3],
               'owner', 'alice', 'subject', 'alice', 'client', '127.0.0.1',
               'created_at', now, 'environments', 1, 'pending', 1,
               'environment:' .. ARGV[1], '{"state":"pending","attempts":0}')
    redis.call('SET', P .. ':open:apinizer:MyProject:p' .. i, operation)
end
redis.call('SADD', P .. ':pending', ARGV[1])
END
    }
}

sub receipt {
    my ($operation, $environment) = @_;
    my $text = redis('registry', 'HGET', "{cred}:operation:$operation",
                     "environment:$environment");
    return { $text =~ /"(\w+)":"?([^",}]*)/g };
}

sub waiting { redis('registry', 'ZCARD', "{cred}:pending:$_[0]") }

# how often a Redis has run a command

sub calls {
    my ($name, $command) = @_;
    my $stats = redis($name, 'INFO', 'commandstats');
    my $n = 0;
    $n += $1 while $stats =~ /^cmdstat_$command:calls=(\d+)/mg;
    return $n;
}

# operations that were undeployed more than once

sub twice {
    my ($name) = @_;
    my %seen;
    $seen{$_}++ for redis($name, 'XRANGE', '{cred}:undeployments', '-', '+')
                    =~ /operation (\w+)/g;
    return grep { $seen{$_} > 1 } keys %seen;
}


run_tests();

__DATA__

=== TEST 1: without any request
--- before
redis('registry', 'FLUSHALL');
redis('registry', 'HSET', '{cred}:environments', 'production',
      redis_url('production'));
credential('p1', 'production');
pend('production', 1);
--- script
ok(settled(), 'done');
my $receipt = receipt('0' x 31 . '1', 'production');
is($receipt->{state}, 'undeployed', 'state');
is($receipt->{attempts}, 1, 'attempts');
ok($receipt->{last}, 'time');
--- redis_check
production: EXISTS {cred}:apinizer:credential:MyProject:p1 => 0
EXISTS {cred}:pending => 0



=== TEST 2: the receipt of one that fails, and of its end
--- before
redis('staging', 'CONFIG', 'SET', 'min-replicas-to-write', 1);
--- script
my $start = time;
my $answer = del('api-user');
my $operation = operation($answer);
answer_is($answer, 'pending', pending(production => undef,
                                      staging => 'refused'));

my $receipt;
ok(wait_for(sub {
    $receipt = receipt($operation, 'staging');
    return $receipt->{attempts} >= 4;
}), 'attempted again and again');

is($receipt->{state}, 'pending', 'state');
like($receipt->{error}, qr/^NOREPLICAS/, 'error');
like($receipt->{ms}, qr/^\d+$/, 'ms');
ok($receipt->{first} >= $start * 1000 - 2000
   && $receipt->{last} > $receipt->{first}, 'first and last');

my $delay = $receipt->{next} - $receipt->{last};
ok($delay >= 300 && $delay <= 500, 'the longest delay, with jitter')
    or diag($delay);

is(redis('registry', 'TTL', "{cred}:operation:$operation"), -1,
   'kept while it is open');
is(redis('registry', 'HGET', "{cred}:operation:$operation", 'pending'), 1,
   'one pending');

redis('staging', 'CONFIG', 'SET', 'min-replicas-to-write', 0);
ok(settled(), 'done');

my $last = receipt($operation, 'staging');
is($last->{state}, 'undeployed', 'state');
ok($last->{attempts} > 4, 'attempts');
is($last->{first}, $receipt->{first}, 'first');
like($last->{error}, qr/^NOREPLICAS/, 'the last error is kept');
ok(!exists $last->{next}, 'no next attempt');

my $kept = redis('registry', 'TTL', "{cred}:operation:$operation");
ok($kept > 7 * 86400 - 60 && $kept <= 7 * 86400, 'kept for 7 days');
like(redis('registry', 'HGET', "{cred}:operation:$operation", 'completed_at'),
     qr/^\d{13}$/, 'completed');
--- redis_check
staging: EXISTS {cred}:apinizer:credential:MyProject:api-user => 0
staging: XLEN {cred}:undeployments => 1



=== TEST 3: back-off doubles up to its maximum
--- http_config
cred_registry     $TEST_NGINX_REGISTRY;
cred_retry_delay  50ms 1h;
--- before
redis('staging', 'CONFIG', 'SET', 'min-replicas-to-write', 1);
--- script
my $operation = operation(del('api-user'));
my %next;

wait_for(sub {
    my $receipt = receipt($operation, 'staging');
    $next{$receipt->{attempts}} = $receipt->{next} - $receipt->{last}
        if $receipt->{next};
    return $receipt->{attempts} >= 5 && keys %next >= 4;
});

for my $n (grep { $_ > 0 } sort keys %next) {
    my $delay = 50 * 2 ** ($n - 1);
    ok($next{$n} >= 0.75 * $delay - 1 && $next{$n} <= 1.25 * $delay + 1,
       "attempt $n: $next{$n} ms");
}

ok(keys %next >= 3, 'some were seen');



=== TEST 4: an environment that is no longer registered
--- http_config
cred_registry            $TEST_NGINX_REGISTRY;
cred_connect_timeout     5s;
cred_command_timeout     5s;
cred_retry_delay         100ms 1h;
cred_unregistered_delay  100ms;
--- before
redis_kill('staging');
--- script
my $operation = operation(del('api-user'));
ok(wait_for(sub { receipt($operation, 'staging')->{attempts} }), 'attempted');
redis('registry', 'HDEL', '{cred}:environments', 'staging');
ok(settled(), 'dropped');
like(error_log_text(), qr/environment: staging: not registered any more/,
     'the error log, when it begins');
like(error_log_text(), qr/environment: staging: not registered for long, 1 pending/,
     'and when it ends');
is(receipt($operation, 'staging')->{state}, 'unregistered', 'receipt');
is(receipt($operation, 'production')->{state}, 'undeployed', 'the other one');
like(scalar redis('registry', 'XREVRANGE', '{cred}:audit', '+', '-',
                  'COUNT', 1),
     qr/ result unregistered operation $operation environment staging$/,
     'audit');
answer_is(del('api-user'), 'nothing is pending', failure(400, 'api-user'));
--- redis_check
EXISTS {cred}:pending:staging {cred}:open:apinizer:MyProject:api-user => 0



=== TEST 5: renamed, and registered again under its name
--- http_config
cred_registry         $TEST_NGINX_REGISTRY;
cred_connect_timeout  5s;
cred_command_timeout  5s;
cred_retry_delay      100ms 400ms;
--- before
redis_kill('staging');
--- script
my $answer = del('api-user');
my $operation = operation($answer);
ok(wait_for(sub { receipt($operation, 'staging')->{attempts} }), 'attempted');
redis('registry', 'HDEL', '{cred}:environments', 'staging');
redis('registry', 'HSET', '{cred}:environments', 'stage', redis_url('staging'));
ok(wait_for(sub { redis('registry', 'HEXISTS', '{cred}:unregistered',
                        'staging') }), 'it is noticed');
redis_start('staging');
redis_load('staging', { sample() }->{staging});

answer_is(del('api-user'), 'it is not forgotten',
          pending(production => undef, staging => 'unreachable'));
is(waiting('staging'), 1, 'pending still');

redis('registry', 'HDEL', '{cred}:environments', 'stage');
redis('registry', 'HSET', '{cred}:environments', 'staging',
      redis_url('staging'));
ok(settled(), 'goes on when it is back');
is(receipt($operation, 'staging')->{state}, 'undeployed', 'receipt');
--- redis_check
staging: EXISTS {cred}:apinizer:credential:MyProject:api-user => 0
EXISTS {cred}:unregistered => 0



=== TEST 6: one bad row does not keep the others
--- http_config
cred_registry         $TEST_NGINX_REGISTRY;
cred_connect_timeout  5s;
cred_command_timeout  5s;
cred_retry_delay      100ms 400ms;
--- registry
HSET {cred}:environments eu redis://127.0.0.1:1
--- before
redis_kill('production');
redis('registry', 'HSET', '{cred}:environments', 'staging',
      'redis://127.0.0.1:1/?prefix=' . 'x' x 1_100_000);
--- script
my $answer = del('api-user');
is($answer->{status}, 200, 'deleted');
is($answer->{headers}{'cred-pending'}, 'eu,production,staging', 'pending');
freeze(nginx_workers());
redis_start('production');
redis_load('production', { sample() }->{production});
thaw(nginx_workers());
ok(wait_for(sub { waiting('production') == 0 }), 'production is done');
unlike(error_log_text(), qr/too long reply/, 'no reply is too long');
redis('registry', 'HSET', '{cred}:environments', 'staging',
      redis_url('staging'));
ok(wait_for(sub { waiting('staging') == 0 }), 'then the other');
--- redis_check
production: EXISTS {cred}:apinizer:credential:MyProject:api-user => 0
staging: EXISTS {cred}:apinizer:credential:MyProject:api-user => 0



=== TEST 7: an environment that moved to another URL
--- redis: moved
--- before
redis_load('moved', { sample() }->{staging});
redis_kill('staging');
--- script
my $operation = operation(del('api-user'));
ok(wait_for(sub { receipt($operation, 'staging')->{attempts} }), 'attempted');
is(redis('moved', 'EXISTS', '{cred}:apinizer:credential:MyProject:api-user'),
   1, 'there');
redis('registry', 'HSET', '{cred}:environments', 'staging', redis_tcp('moved'));
ok(settled(), 'done');
is(receipt($operation, 'staging')->{state}, 'undeployed', 'receipt');
--- redis_check
moved: EXISTS {cred}:apinizer:credential:MyProject:api-user => 0



=== TEST 8: a bad URL costs no attempts, and may be corrected
--- script
redis('registry', 'HSET', '{cred}:environments', 'staging', 'nonsense');
my $operation = operation(del('api-user'));
ok(wait_for(sub { receipt($operation, 'staging')->{attempts} }), 'attempted');
like(receipt($operation, 'staging')->{error}, qr/\w/, 'the error is kept');
my $attempts = receipt($operation, 'staging')->{attempts};
Time::HiRes::sleep(1.5);
cmp_ok(receipt($operation, 'staging')->{attempts}, '<=', $attempts + 1,
       'hardly ever attempted again');
redis('registry', 'HSET', '{cred}:environments', 'staging',
      redis_url('staging'));
ok(settled(), 'done');
--- redis_check
staging: EXISTS {cred}:apinizer:credential:MyProject:api-user => 0



=== TEST 9: 100,000 entries of a dead environment cost nothing, and are drained
--- before
pend('staging', 100_000);
redis_kill('staging');
--- http_config
cred_registry         $TEST_NGINX_REGISTRY;
cred_connect_timeout  5s;
cred_command_timeout  2s;
cred_retry_delay      1s 1h;
--- script
# as long as it is dead, two or so scripts a second with a few commands each

Time::HiRes::sleep(3);
redis('registry', 'CONFIG', 'RESETSTAT');
Time::HiRes::sleep(3);
my $calls = calls('registry', '\w+');
cmp_ok($calls, '<', 100, "commands in 3 seconds: $calls");
cmp_ok(calls('registry', 'zadd'), '<', 10, 'nothing is claimed');
is(waiting('staging'), 100_000, 'all wait');

# others are not affected

answer_is(del('api-user'), 'deleted', pending(production => undef,
                                              staging => 'unreachable'));

redis_start('staging');
ok(wait_for(sub { waiting('staging') == 0 }, 300), 'drained');
is(redis('registry', 'KEYS', '{cred}:pending:*'), '', 'nothing is pending');
cmp_ok(calls('staging', 'eval(?:sha)?'), '<', 101_000, 'in one attempt each');
is(redis('staging', 'GET', '{cred}:apinizer:tombstone:MyProject:p100000'), 1,
   'the last one');



=== TEST 10: several workers and instances share the work
--- before
redis_kill('staging');
pend('staging', 3000);
--- http_config
cred_registry         $TEST_NGINX_REGISTRY;
cred_connect_timeout  30s;
cred_command_timeout  30s;
cred_retry_delay      100ms 200ms;
--- script
my @others = map {
    my $dir = temp_dir() . "/other-$_";
    mkdir $_ for $dir, "$dir/logs";
    my $conf = slurp(temp_dir() . '/nginx/conf/nginx.conf');
    my $port = free_port();
    $conf =~ s/listen\s+\d+/listen $port/g;
    $conf =~ s/^\s*(?:pid|error_log)\s[^;]*;//mg;
    $conf =~ s/daemon on/daemon off/;
    open my $out, '>', "$dir/nginx.conf";
    print $out "pid $dir/nginx.pid;\nerror_log $dir/error.log notice;\n$conf";
    close $out;
    spawn('nginx', "other-$_", $ENV{TEST_NGINX_BINARY}, '-p', $dir,
          '-e', "$dir/error.log", '-c', "$dir/nginx.conf");
} 1, 2;

for my $n (1, 2) {
    my $log = temp_dir() . "/other-$n/error.log";
    ok(wait_for(sub { slurp($log) =~ /start worker process/ }), 'another one');
}
redis_start('staging');
ok(wait_for(sub { waiting('staging') == 0 }), 'drained');
is(redis('staging', 'XLEN', '{cred}:undeployments'), 3000, 'each once');
is(scalar(() = twice('staging')), 0, 'none twice');
reap($_, 'QUIT') for @others;
unlike(slurp(temp_dir() . "/other-$_/error.log"), qr/\[(?:alert|emerg)\]/,
       'no alert there') for 1, 2;



=== TEST 11: a worker that dies is replaced in the background as well
--- http_config
cred_registry         $TEST_NGINX_REGISTRY;
cred_connect_timeout  1s;
cred_command_timeout  1s;
cred_retry_delay      100ms 400ms;
--- before
pend('staging', 1);
redis_pause('staging');
--- script
my ($worker) = nginx_workers();
Time::HiRes::sleep(0.2);
kill 'KILL', $worker;
redis_resume('staging');
ok(settled() || settled(), 'done');
--- allow_log
exited on signal 9
--- redis_check
EXISTS {cred}:pending:staging => 0



=== TEST 12: malformed entries do no harm
--- before
redis('registry', 'SADD', '{cred}:pending', 'staging', 'unknown', '');
redis('registry', 'ZADD', '{cred}:pending:staging', 1, 'nonsense', 1, '',
      2, 'a:b:c:d:e', 3, "\xff:\0:\n:1:" . 'a' x 32);
pend('staging', 2);
--- script
ok(wait_for(sub {
    redis('registry', 'KEYS', '{cred}:open:*') eq '';
}), 'the others are done');
is(del('api-user')->{status}, 200, 'and new ones');
--- redis_check
staging: GET {cred}:apinizer:tombstone:MyProject:p2 => 1
