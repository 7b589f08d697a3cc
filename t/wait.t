# cred_registry_wait: an answer that tells on how many replicas the delete is.

use CredTest;
use CredTest::Delete;
use MIME::Base64 ();

# where it is to suffice there is all the time it takes

my %sample = sample(<<'END');
cred_registry_wait    1 60s;
cred_connect_timeout  60s;
cred_command_timeout  60s;
cred_cascade_timeout  60s;
END

$sample{config} = <<'END';
cred_delete apinizer;
location ~ /late { cred_registry_wait 1 200ms; }
END

defaults(%sample);


# these follow the first one; what is written there arrives

sub follow {
    my ($master, @replicas) = @_;

    redis($master, 'CONFIG', 'SET', 'repl-diskless-sync-delay', 0);
    redis($_, 'REPLICAOF', '127.0.0.1', redis_port($master)) for @replicas;

    wait_for(sub {
        @replicas == (() = redis($master, 'INFO', 'replication')
                           =~ /^slave\d+:.*state=online/mg);
    }) or die "no replicas of $master";
}


# a delete that was done, everywhere, and on so many replicas

sub on {
    my ($answer, $name, $replicas) = @_;

    local $Test::Builder::Level = $Test::Builder::Level + 1;

    is(delete $answer->{headers}{'cred-replicas'}, $replicas,
       "$name: on $replicas");
    answer_is($answer, $name, everywhere());
}


# how many clients WAIT in the registry, and how many have

sub blocked {
    return redis('registry', 'INFO', 'clients')
           =~ /blocked_clients:(\d+)/ ? $1 : 0;
}

sub waits {
    return redis('registry', 'INFO', 'commandstats')
           =~ /cmdstat_wait:calls=(\d+)/ ? $1 : 0;
}

# so many were deleted, and undeployed everywhere

sub done {
    my ($n) = @_;
    return wait_for(sub {
        my @operations = redis('registry', 'KEYS', '{cred}:operation:*');
        return @operations == $n
               && redis('registry', 'KEYS', '{cred}:pending:*') eq '';
    });
}

sub logged { scalar(my @lines = error_log_text() =~ /$_[0]/g) }

sub start {
    my ($username) = @_;
    my $sock = http_open();
    print $sock del_raw($username);
    return $sock;
}

sub answer { http_parse(http_read($_[0])) }

sub left {
    my @pids = @_;
    return wait_for(sub { !grep { CredTest::HTTP::running($_) } @pids });
}

# connected to the registry, and not yet for the fence

sub connected {
    answer_is(del('x', token => 'nobody'), 'connected', failure(401));
}

# the connections of fences, where they have waited

sub fences {
    my ($name) = @_;
    return map { /^id=(\d+) .* cmd=wait / ? $1 : () }
           split /\n/, redis($name, 'CLIENT', 'LIST');
}

run_tests();


__DATA__

=== TEST 1: on a replica, on none, and on it again
--- redis: replica
--- before
follow('registry', 'replica');
--- http_config
cred_registry         $TEST_NGINX_REGISTRY;
cred_registry_wait    1 60s;
cred_connect_timeout  60s;
cred_command_timeout  60s;
cred_cascade_timeout  60s;
log_format  cred  '$cred_result $cred_replicas $cred_registry_time '
                  '$request_time';
access_log  $TEST_NGINX_DIR/cred.log  cred;
--- script
credential(['late', 'last']);
on(del('api-user'), 'the first', '1/1');
is(redis('replica', 'EXISTS',
         '{cred}:apinizer:credential:MyProject:api-user'), 0, 'gone there');
is(logged('acknowledged by'), 0, 'nothing to tell');

redis_pause('replica');
my $answer = del('late');
my $line = 'operation ' . operation($answer) . ' was acknowledged by 0 of 1 '
           . 'replicas of the registry';
on($answer, 'it is stopped', '0/1');
is(redis('registry', 'EXISTS', '{cred}:apinizer:credential:MyProject:late'), 0,
   'done all the same');
like(error_log_text(), qr/\[warn\].* $line, client: .*DELETE/, 'told');

redis_resume('replica');
on(del('last'), 'it goes on', '1/1');
is(logged('acknowledged by'), 1, 'told once');
is(logged('\[error\]'), 0, 'and nothing is wrong');
del('last', token => 'nobody');

my @lines;
ok(wait_for(sub {
    return 4 == (@lines = split /\n/, slurp(temp_dir() . '/cred.log'));
}), 'lines in the access log');
is_deeply([ map { /^(\S+ \S+) / } @lines ],
          ['deleted 1/1', 'deleted 0/1', 'deleted 1/1', 'unauthorized -'],
          'with the replicas');
my (undef, undef, $registry, $request) = split ' ', $lines[1];
cmp_ok($request, '>=', 0.2, 'it was waited for');
cmp_ok($registry, '<', $request, 'which is not the time of the registry');



=== TEST 2: off below, another one below, and refusals
--- redis: replica
--- before
follow('registry', 'replica');
--- http_config
cred_registry         $TEST_NGINX_REGISTRY;
cred_connect_timeout  60s;
cred_command_timeout  60s;
--- config
cred_delete apinizer;
cred_registry_wait 1 60s;
location ~ /off { cred_registry_wait off; }
location ~ /two { cred_registry_wait 2 1ms; }
--- script
credential(['off', 'two']);
answer_is(del('off'), 'off', everywhere());
is(waits(), 0, 'nobody has waited');
on(del('api-user'), 'here', '1/1');
like(del('two')->{headers}{'cred-replicas'}, qr{^[01]/2$}, 'one is too few');
ok(settled(), 'settled');
answer_is(del('api-user'), 'not found', failure(400, 'api-user'));
answer_is(del('api-user', token => 'nobody'), 'no token', failure(401));



=== TEST 3: two replicas
--- redis: one two
--- before
follow('registry', 'one', 'two');
--- config
cred_delete apinizer;
location ~ /both { cred_registry_wait 2 60s; }
location ~ /late { cred_registry_wait 2 200ms; }
--- script
credential(['both', 'one', 'two', 'late', 'late-2']);
on(del('both'), 'both', '2/2');
on(del('one'), 'one of them', '1/1');
redis_pause('two');
on(del('two'), 'the other one is stopped', '1/1');
on(del('late'), 'one is too few', '1/2');
redis_pause('one');
on(del('late-2'), 'both are stopped', '0/2');



=== TEST 4: those that come while one waits are one group
--- redis: replica
--- before
follow('registry', 'replica');
--- script
my @usernames = map { "u$_" } 1 .. 100;
credential(\@usernames);
on(del('api-user'), 'connected', '1/1');
my $before = waits();

redis_pause('replica');
my @socks = start($usernames[0]);
ok(wait_for(sub { blocked() == 1 }), 'one waits');
push @socks, map { start($_) } @usernames[1 .. 99];
ok(done(101), 'all are deleted');
is(blocked(), 1, 'and one waits');

redis_resume('replica');
my @answers = map { answer($_) } @socks;
is(scalar(grep { $_->{status} == 200
                 && $_->{headers}{'cred-replicas'} eq '1/1' } @answers), 100,
   'all are on the replica');
cmp_ok(waits() - $before, '<=', 5, 'in few WAITs: ' . (waits() - $before));



=== TEST 5: a script that the registry does not know
--- redis: replica
--- before
follow('registry', 'replica');
--- script
credential(['late', 'late-2']);

# a WAIT before this connection's write would say that all is well

redis_pause('replica');
on(del('late'), 'never known', '0/1');
redis('registry', 'SCRIPT', 'FLUSH');
on(del('late-2'), 'forgotten', '0/1');
redis_resume('replica');
redis('registry', 'SCRIPT', 'FLUSH');
on(del('api-user'), 'forgotten, and on the replica', '1/1');



=== TEST 6: the fence leads to another server than the delete
--- redis: other replica
--- before
follow('other', 'replica');
$::Proxy = proxy('registry');
$ENV{TEST_NGINX_URL} = $::Proxy->url;
--- http_config
cred_registry       $TEST_NGINX_URL;
cred_registry_wait  1 60s;
--- script
credential(['one', 'two', 'three']);
connected();
$::Proxy->lead('other');

my $elsewhere = 'the registry has an operation that is not on this server, '
                . 'fence, ';
on(del('one'), 'it is not there', '0/1');
is(redis('other', 'EXISTS', '{cred}:fence'), 1, 'where it was asked for');
is(logged("\\[error\\].* $elsewhere"), 1, 'told');
on(del('two'), 'nor is this one', '0/1');
is(logged("\\[error\\].* $elsewhere"), 1, 'told once');

# the fence has left that server, and looks for the registry again

ok(wait_for(sub { !fences('other') }), 'the connection is another one');
$::Proxy->lead('registry');
follow('registry', 'replica');
$::Proxy->hang_up;
on(del('three'), 'where the registry is', '1/1');



=== TEST 7: a failover between the delete and the fence
--- redis: promoted third
--- before
follow('registry', 'promoted');
$::Proxy = proxy('registry');
$ENV{TEST_NGINX_URL} = $::Proxy->url;
--- http_config
cred_registry         $TEST_NGINX_URL;
cred_registry_wait    1 60s;
cred_connect_timeout  60s;
cred_command_timeout  60s;
--- script
my $rule = $::Proxy->hold('reply', qr/\bdeleted\b/, times => 1);
my $sock = start('api-user');
ok($::Proxy->wait_held($rule), 'deleted');
my $operation = redis('registry', 'KEYS', '{cred}:operation:*');
ok(wait_for(sub { redis('promoted', 'EXISTS', $operation) }), 'replicated');

redis('promoted', 'REPLICAOF', 'NO', 'ONE');
follow('promoted', 'third');
$::Proxy->lead('promoted');
$::Proxy->release($rule);
on(answer($sock), 'on the promoted one and its replica', '1/1');
is(scalar(fences('promoted')), 1, 'which said so');



=== TEST 8: the fence leads to a replica
--- redis: replica
--- before
follow('registry', 'replica');
$::Proxy = proxy('registry');
$ENV{TEST_NGINX_URL} = $::Proxy->url;
--- http_config
cred_registry       $TEST_NGINX_URL;
cred_registry_wait  1 60s;
--- script
credential('two');
connected();
$::Proxy->lead('replica');
on(del('api-user'), 'a replica', '0/1');
on(del('two'), 'again', '0/1');
ok(logged('\[error\].*(?:READONLY|replica).*, fence, '), 'told');



=== TEST 9: another server than that of the fence answers WAIT
--- redis: replica promoted third
--- before
follow('registry', 'replica');
follow('promoted', 'third');
$::Proxy = proxy('registry');
$ENV{TEST_NGINX_URL} = $::Proxy->url;
--- http_config
cred_registry         $TEST_NGINX_URL;
cred_registry_wait    1 60s;
cred_connect_timeout  60s;
cred_command_timeout  60s;
--- script
credential('two');
on(del('api-user'), 'connected', '1/1');

# the master was demoted after the fence, and the new one knows nothing of it

$::Proxy->lead('promoted');
my $rule = $::Proxy->replace('reply', qr/^:/, to => qr/\r\nWAIT\r\n/,
    times => 1, with => "-MASTERDOWN Link with MASTER is down\r\n");
on(del('two'), 'its WAIT tells nothing of the delete', '0/1');
is($::Proxy->matched($rule), 1, 'that of the first one');



=== TEST 10: the connection of the fence breaks, and is made again
--- redis: replica nobody
--- before
follow('registry', 'replica');
redis_stop('nobody');
$::Proxy = proxy('registry');
$ENV{TEST_NGINX_URL} = $::Proxy->url;
--- http_config
cred_registry         $TEST_NGINX_URL;
cred_registry_wait    1 60s;
cred_connect_timeout  60s;
cred_command_timeout  60s;
--- script
credential(['one', 'two', 'three', map { "u$_" } 1 .. 1000]);
on(del('api-user'), 'connected', '1/1');
my ($fence) = fences('registry');

# one is in flight, the other one is the next group

my $rule = $::Proxy->hold('command', qr/\r\nWAIT\r\n/, times => 1);
my @socks = start('one');
ok($::Proxy->wait_held($rule), 'in flight');
push @socks, start('two');
ok(done(3), 'both are deleted');
redis('registry', 'CLIENT', 'KILL', 'ID', $fence);
on(answer($socks[0]), 'broken', '0/1');
on(answer($socks[1]), 'another connection', '1/1');
is(logged('\[error\].* redis is down: redis closed the connection, fence, '), 1,
   'told');
is(logged('\[notice\].* redis is back, fence, '), 1, 'and that it is back');

# nobody is there

($fence) = fences('registry');
$::Proxy->lead('nobody');
redis('registry', 'CLIENT', 'KILL', 'ID', $fence);
ok(wait_for(sub { !fences('registry') }), 'cut');
on(del('three'), 'out of reach', '0/1');
is(logged('\[error\].* redis is down: .*, fence, '), 2, 'told');

$::Proxy->lead('registry');
my $n = 0;
my $answer;
ok(wait_for(sub {
    $answer = del('u' . ++$n);
    is($answer->{status}, 200, 'deleted') if $answer->{status} != 200;
    return $answer->{headers}{'cred-replicas'} eq '1/1';
}), 'within reach');
is(logged('\[error\].* redis is down: .*, fence, '), 2, 'nothing more is told');
is(logged('\[error\].*, registry, '), 0, 'nothing of the registry');



=== TEST 11: no reply to WAIT: those that wait in vain are answered in time
--- redis: replica
--- before
follow('registry', 'replica');
$::Proxy = proxy('registry');
$ENV{TEST_NGINX_URL} = $::Proxy->url;
--- http_config
cred_registry         $TEST_NGINX_URL;
cred_registry_wait    1 100ms;
cred_command_timeout  2s;
--- script
credential(['one', 'two']);
my $rule = $::Proxy->swallow('reply', qr/^:/, to => qr/\r\nWAIT\r\n/);
my @socks = start('api-user');
ok($::Proxy->wait_matched($rule), 'swallowed');
push @socks, map { start($_) } qw(one two);
on(answer($_), 'no reply', '0/1') for @socks;
ok(wait_for(sub {
    logged('\[error\].* redis is down: redis did not reply in time, fence, ');
}), 'told');



=== TEST 12: the fence is connecting for longer than that
--- redis: replica nobody
--- before
follow('registry', 'replica');
redis_pause('nobody');
$::Proxy = proxy('registry');
$ENV{TEST_NGINX_URL} = $::Proxy->url;
--- http_config
cred_registry         $TEST_NGINX_URL;
cred_registry_wait    1 100ms;
cred_connect_timeout  10m;
cred_command_timeout  2s;
--- script
credential('two');
connected();
$::Proxy->lead('nobody');
my @socks = map { start($_) } qw(api-user two);
on(answer($_), 'no connection', '0/1') for @socks;
redis_resume('nobody');



=== TEST 13: a user who may not WAIT, or may not write the fence
--- redis: replica
--- before
follow('registry', 'replica');
redis('registry', 'ACL', 'SETUSER', 'nginx', 'on', '>SECRET', '~*', '+@all',
      '-wait');
--- http_config
cred_registry         redis://nginx:SECRET@127.0.0.1:$TEST_NGINX_REGISTRY_PORT;
cred_registry_wait    1 60s;
cred_connect_timeout  60s;
cred_command_timeout  60s;
--- script
credential(['two', 'three', 'four']);
on(del('api-user'), 'no WAIT', '0/1');
on(del('two'), 'nor again', '0/1');
is(logged(q(\[error\].* refused a command: NOPERM .*'wait'.*, fence, )), 1,
   'told once');
redis('registry', 'ACL', 'SETUSER', 'nginx', '+wait', '-set');
on(del('three'), 'no SET', '0/1');
redis('registry', 'ACL', 'SETUSER', 'nginx', '+set');
on(del('four'), 'both', '1/1');



=== TEST 14: with files: none, one, and both
--- redis: replica
--- before
follow('registry', 'replica');
--- config
cred_delete apinizer;
cred_registry_wait 1 60s aof;
location ~ /late { cred_registry_wait 1 200ms aof; }
--- script
my ($major, $minor) = redis('registry', 'INFO', 'server')
                      =~ /redis_version:(\d+)\.(\d+)/;

sub file {
    my ($name, $what) = @_;
    redis($name, 'CONFIG', 'SET', 'appendonly', $what);
    return wait_for(sub {
        redis($name, 'INFO', 'persistence')
            !~ /aof_rewrite_(?:in_progress|scheduled):1/;
    });
}

credential(['two', 'late']);

SKIP: {
    if ("$major.$minor" < 7.2) {
        on(del('api-user'), 'no WAITAOF', '0/1');
        is(logged('\[error\].* refused a command: ERR unknown command.*WAITAOF'
                  . '.*, fence, '), 1, 'told');
        skip "this Redis $major.$minor has no WAITAOF", 7;
    }

    on(del('api-user'), 'no file', '0/1');
    is(logged('\[error\].* refused a command: ERR WAITAOF .*, fence, '), 1,
       'told');
    file('registry', 'yes');
    on(del('late'), 'a file of the registry', '0/1');
    ok(file('replica', 'yes'), 'and of the replica');
    on(del('two'), 'both', '1/1');
}



=== TEST 15: each API, and HTTP/2
--- redis: replica
--- before
follow('registry', 'replica');
--- config
listen $TEST_NGINX_H2_PORT http2;
cred_delete apinizer iam deepset thousandeyes alloy;
--- registry
HSET {cred}:iam:token:sha256(TOKEN) subject alice scope d
HSET {cred}:iam:credential:d:AK owner alice
HSET {cred}:deepset:token:sha256(TOKEN) subject alice scope o
HSET {cred}:deepset:credential:o:00000000-0000-4000-8000-000000000000 owner x
HSET {cred}:thousandeyes:token:sha256(TOKEN) subject alice scope 11
HSET {cred}:thousandeyes:scope:11 name x
HSET {cred}:thousandeyes:members:11 alice manage
HSET {cred}:thousandeyes:credential:11:405 owner alice
HSET {cred}:alloy:token:sha256(TOKEN) subject alice scope u
HSET {cred}:alloy:scope:u name x
HSET {cred}:alloy:members:u alice manage
HSET {cred}:alloy:credential:u:c owner alice
--- script
my @bearer = ('Authorization: Bearer TOKEN');
my $basic = MIME::Base64::encode_base64('alice:TOKEN', '');

for ([204, 'DELETE', '/v3.0/OS-CREDENTIAL/credentials/AK',
      ['X-Auth-Token: TOKEN']],
     [204, 'DELETE', '/api/v1/infrastructure/file_stores/'
                     . '00000000-0000-4000-8000-000000000000', \@bearer],
     [204, 'POST', '/v6/credentials/405/delete.json',
      ["Authorization: Basic $basic"]],
     [200, 'DELETE', '/users/u/credentials/c',
      [@bearer, 'x-api-version: 2025-09']])
{
    my ($status, @request) = @$_;
    my $answer = call(@request, '');
    is($answer->{status}, $status, "$request[1]: $status");
    is($answer->{headers}{'cred-replicas'}, '1/1', 'on the replica');
}

on(curl('--http2-prior-knowledge', '-X', 'DELETE', '-H', @bearer,
        "http://127.0.0.1:$ENV{TEST_NGINX_H2_PORT}" . path('api-user')),
   'HTTP/2', '1/1');



=== TEST 16: resumed, and asked again after a broken connection
--- redis: replica
--- before
follow('registry', 'replica');
$::Proxy = proxy('registry');
$ENV{TEST_NGINX_URL} = $::Proxy->url;
redis_kill('staging');
--- http_config
cred_registry         $TEST_NGINX_URL;
cred_registry_wait    1 60s;
cred_connect_timeout  60s;
cred_command_timeout  60s;
cred_retry_delay      1h;
--- script
my $first = del('api-user');
my $second = del('api-user');
is($_->{headers}{'cred-replicas'}, '1/1', 'on the replica') for $first, $second;
is($_->{headers}{'cred-pending'}, 'staging', 'pending') for $first, $second;
is(operation($second), operation($first), 'the same operation');

credential('two', 'registry');
my $rule = $::Proxy->drop('reply', qr/\bdeleted\b/, times => 1);
my $answer = del('two');
is($::Proxy->matched($rule), 1, 'a reply was lost');
is($answer->{status}, 200, 'deleted');
is($answer->{headers}{'cred-replicas'}, '1/1', 'on the replica');



=== TEST 17: a worker that is to leave waits as long, and answers
--- redis: replica
--- before
follow('registry', 'replica');
--- script
credential(['late', 'one', 'two']);
redis_pause('replica');
my @socks = start('one');
ok(wait_for(sub { blocked() == 1 }), 'one waits');
push @socks, start('two');
ok(done(2), 'and another one');

my @old = nginx_workers();
ok(nginx_reload(), 'reloaded');
is(scalar(grep { CredTest::HTTP::running($_) } @old), 1, 'the old one is there');
redis_resume('replica');
on(answer($_), 'answered', '1/1') for @socks;
ok(left(@old), 'then it leaves');

redis_pause('replica');
my $sock = start('late');
ok(done(3), 'deleted');
@old = nginx_workers();
ok(nginx_reload(), 'reloaded');
ok(left(@old), 'it has left, without the replica');
on(answer($sock), 'answered', '0/1');



=== TEST 18: clients that hang up
--- redis: replica
--- before
follow('registry', 'replica');
--- script
credential(['one', 'two', 'three']);
redis_pause('replica');
my $sock = start('one');
ok(wait_for(sub { blocked() == 1 }), 'one waits');
my $other = start('two');
ok(done(2), 'and another one');
close $_ for $sock, $other;
ok(wait_for(sub { access_log_text() =~ / 499 .*\n.* 499 /s }), 'both are gone');
$sock = start('three');
ok(done(3), 'a third one');
redis_resume('replica');
on(answer($sock), 'the third one', '1/1');

# the same in a worker that is to leave

redis_pause('replica');
$sock = start('api-user');
ok(wait_for(sub { blocked() == 1 }), 'one waits');
close $sock;
my @old = nginx_workers();
ok(nginx_reload(), 'reloaded');
redis_resume('replica');
ok(left(@old), 'it has left');



=== TEST 19: a worker that has no time, and one that dies
--- redis: replica
--- before
follow('registry', 'replica');
--- main_config
worker_shutdown_timeout 200ms;
--- script
credential(['one', 'two', 'three']);
redis_pause('replica');
my @socks = map { start($_) } qw(one two);
ok(wait_for(sub { blocked() == 1 }), 'one waits');
ok(done(2), 'and another one');
my @old = nginx_workers();
ok(nginx_reload(), 'reloaded');
ok(left(@old), 'it has left');
is(logged('\[error\]'), 0, 'nothing is wrong');

push @socks, map { start($_) } qw(three api-user);
ok(done(4), 'two more');
@old = nginx_workers();
kill 'TERM', @old;
ok(left(@old), 'told to stop at once');
ok(wait_for(sub { nginx_workers() == 1 }), 'there is another one');
