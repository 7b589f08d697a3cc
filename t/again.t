# An environment that lost its memory is told again what was undeployed there.

use CredTest;
use CredTest::Delete;
use CredTest::Gateway qw(freeze thaw);
use File::Path ();

defaults(sample(<<'END'));
cred_retry_delay  100ms 400ms;
END

sub receipt {
    my ($operation, $environment) = @_;
    my $text = redis('registry', 'HGET', "{cred}:operation:$operation",
                     "environment:$environment");
    return { $text =~ /"(\w+)":"?([^",}]*)/g };
}

# which of these are deployed there

sub deployed {
    my ($name, @usernames) = @_;
    return join ' ', grep {
        redis($name, 'EXISTS', "{cred}:apinizer:credential:MyProject:$_");
    } @usernames;
}

sub gone {
    my ($name, @usernames) = @_;
    return wait_for(sub { deployed($name, @usernames) eq '' }, 20);
}

# deletes, and waits for all receipts

sub del_all {
    my %operation = map {
        my $answer = del($_);
        die $answer->{text} unless $answer->{status} == 200;
        $_ => operation($answer);
    } @_;
    settled() or die 'not settled';
    return %operation;
}

sub again {
    my ($name, $operation, $wanted) = @_;
    return wait_for(sub {
        my $receipt = receipt($operation, $name);
        return $receipt->{state} ne 'pending'
               && ($receipt->{again} // 0) == ($wanted // 1);
    }, 20);
}

sub position { redis('registry', 'HGET', '{cred}:positions', $_[0]) }

run_tests();

__DATA__

=== TEST 1: killed without a file of what it was told, and restored from a dump
--- script
my @names = map { "u$_" } 1 .. 40;
credential(\@names);
redis('staging', 'SAVE');
my %operation = del_all(@names);
is(deployed('staging', @names), '', 'undeployed');

# nginx meets it when it has been looked at

freeze(nginx_workers());
redis_kill('staging');
redis_start('staging');
is(deployed('staging', 'u1'), 'u1', 'it has forgotten that');
thaw(nginx_workers());

ok(gone('staging', @names), 'undeployed again, without any request');
ok(settled(), 'nothing is open');
ok(again('staging', $operation{$_}), "receipt of $_") for qw(u1 u40);
is(receipt($operation{u1}, 'production')->{again}, undef,
   'not the other environment');
is(scalar(() = redis('production', 'XRANGE', '{cred}:undeployments', '-', '+')
               =~ /operation/g), 40, 'which was told once');
like(error_log_text(), qr/environment has lost its memory.*environment: staging/,
     'the error log');
like(error_log_text(),
     qr/environment is told 40 undeployments again.*environment: staging/,
     'how many');
answer_is(del('u1'), 'deleted is deleted', failure(400, 'u1'));
--- redis_check
HGET {cred}:positions staging =~ ^2:
HGET {cred}:positions production =~ ^1:
EXISTS {cred}:open:apinizer:MyProject:u1 {cred}:pending:staging => 0



=== TEST 2: nothing is told again to one that has not lost anything
--- before
redis_stop('staging');
redis_start('staging', '--appendonly', 'yes', '--appendfsync', 'always');
redis_load('staging', { sample() }->{staging});
--- script
credential([qw(u1 u2)]);
my %operation = del_all(qw(u1 u2));
my $run = position('staging') =~ s/.*://r;
redis_kill('staging');
redis_start('staging');
my $server = redis('staging', 'INFO', 'server') =~ /run_id:(\w+)/ ? $1 : '';
isnt($server, $run, 'another run');
ok(wait_for(sub { position('staging') =~ /:$server$/ }), 'which is noticed');
credential('u3');
my $answer = del('u3');
answer_is($answer, 'goes on', everywhere());
ok(settled(), 'settled');
is(receipt($operation{u1}, 'staging')->{again}, undef, 'no receipt');
unlike(error_log_text(), qr/has lost its memory/, 'no word of it');
--- redis_check
HGET {cred}:positions staging =~ ^2:
HEXISTS {cred}:again staging => 0



=== TEST 3: emptied while connections to it are open
--- script
credential([qw(u1 u2 u3)]);
my %operation = del_all(qw(u1 u2));
redis('staging', 'FLUSHALL');
credential([qw(u1 u2)], 'staging');
is(del('u3')->{status}, 200, 'the next one is told');
ok(gone('staging', qw(u1 u2)), 'so are those that were before it');
ok(settled(), 'nothing is open');
ok(again('staging', $operation{u1}), 'receipt');
like(position('staging'), qr/^2:/, 'another epoch');



=== TEST 4: replaced by an empty one under the same URL
--- script
credential([qw(u1 u2)]);
my %operation = del_all(qw(u1 u2));
freeze(nginx_workers());
redis_kill('staging');
unlink "$CredTest::Redis::Redis{staging}{dir}/dump.rdb";
redis_start('staging');
credential([qw(u1)], 'staging');
thaw(nginx_workers());
ok(gone('staging', 'u1'), 'told again');
ok(again('staging', $operation{$_}), "receipt of $_") for qw(u1 u2);
is(receipt($operation{u2}, 'staging')->{state}, 'not_deployed',
   'what was not there');



=== TEST 5: the URL of another one, a replica that was behind
--- redis: replica
--- script
credential([qw(u1 u2 u3)]);
redis('staging', 'CONFIG', 'SET', 'repl-diskless-sync-delay', 0);
redis('replica', 'REPLICAOF', '127.0.0.1', redis_port('staging'));
my %operation = del_all('u1');
ok(wait_for(sub { deployed('replica', 'u1', 'u2') eq 'u2' }, 20),
   'replicated');
redis('replica', 'REPLICAOF', 'NO', 'ONE');
%operation = (%operation, del_all('u2'));
is(deployed('replica', 'u2'), 'u2', 'it is behind');
redis('registry', 'HSET', '{cred}:environments', 'staging',
      redis_url('replica'));
ok(gone('replica', 'u2'), 'told again');
ok(again('staging', $operation{u2}), 'receipt');
answer_is(del('u3'), 'it goes on', everywhere());



=== TEST 6: what was created again has a higher revision and stays
--- script
credential([qw(u1 u2)]);
redis('staging', 'SAVE');
my %operation = del_all(qw(u1 u2));
redis('registry', 'HSET', '{cred}:apinizer:credential:MyProject:u1',
      'owner', 'alice', 'revision', 2);
freeze(nginx_workers());
redis_kill('staging');
redis_start('staging');
redis('staging', 'HSET', '{cred}:apinizer:credential:MyProject:u1',
      'owner', 'alice', 'revision', 2);
thaw(nginx_workers());
ok(gone('staging', 'u2'), 'told again');
ok(again('staging', $operation{$_}), "receipt of $_") for qw(u1 u2);
is(deployed('staging', 'u1'), 'u1', 'the newer one stays');
is(receipt($operation{u1}, 'staging')->{state}, 'superseded', 'and it is said');



=== TEST 7: without a revision, what is registered again is not told of
--- script
for my $name (qw(registry production staging)) {
    redis($name, 'HSET', "{cred}:apinizer:credential:MyProject:$_",
          'owner', 'alice') for qw(u1 u2);
}
redis('staging', 'SAVE');
my %operation = del_all(qw(u1 u2));
redis('registry', 'HSET', '{cred}:apinizer:credential:MyProject:u1',
      'owner', 'alice');
redis_kill('staging');
redis_start('staging');
ok(gone('staging', 'u2'), 'told again');
ok(again('staging', $operation{u2}), 'receipt');
is(deployed('staging', 'u1'), 'u1', 'it is alive');
is(receipt($operation{u1}, 'staging')->{again}, undef, 'and left alone');



=== TEST 8: the registry is restored from an older dump as well
--- script
credential([qw(u1 u2)]);
my %operation = del_all('u1');
redis('registry', 'SAVE');
redis('staging', 'SAVE');
del_all('u2');
redis_kill('staging');
redis_kill('registry');
redis_start('registry');
redis('registry', 'HSET', '{cred}:apinizer:credential:MyProject:u1',
      'owner', 'alice', 'revision', 3);
redis_start('staging');
redis('staging', 'HSET', '{cred}:apinizer:credential:MyProject:u1',
      'owner', 'alice', 'revision', 3);
ok(wait_for(sub {
    my $server = redis('staging', 'INFO', 'server') =~ /run_id:(\w+)/ ? $1 : '';
    return position('staging') =~ /:$server$/;
}), 'compared');
is(deployed('staging', qw(u1 u2)), 'u1 u2', 'nothing newer is undone');
answer_is(del('u2'), 'deleted once more',
          pending(production => 'absent', staging => undef));
is(deployed('staging', qw(u1 u2)), 'u1', 'undeployed once more');



=== TEST 9: lost twice, and pending still for another reason
--- script
credential([qw(u1 u2)]);
redis('staging', 'SAVE');
my %operation = del_all(qw(u1 u2));
for my $times (1, 2) {
    redis_kill('staging');
    redis_start('staging');
    ok(again('staging', $operation{u1}, $times), "told again $times times");
}
is(deployed('staging', qw(u1 u2)), '', 'gone');
is(receipt($operation{u1}, 'staging')->{attempts}, 3, 'attempts');



=== TEST 10: 1,000 undeployments that were acknowledged
--- script
my @names = map { "n$_" } 1 .. 1000;
credential(\@names);
redis('staging', 'SAVE');
my @answers = map { http_many(map { del_raw("n$_", 'Connection: close') }
                              $_ + 1 .. $_ + 100) } map { 100 * $_ } 0 .. 9;
is(scalar(grep { /^HTTP\S+ 200/ } @answers), 1000, 'deleted');
ok(wait_for(\&settled, 20), 'settled');

redis_kill('staging');
redis_start('staging');
# other deletes do not wait for it

credential('other');
my $answer = del('other');
is($answer->{status}, 200, 'deleted while it is being told');
like($answer->{body}, qr/"production","success":true/, 'elsewhere at once');
ok(gone('staging', @names), 'all are gone again');
ok(wait_for(\&settled, 20), 'nothing is open');
is(scalar(split ' ', deployed('production', @names)), 0, 'elsewhere, too');
like(error_log_text(), qr/environment is told 100[01] undeployments again/,
     'the error log');



=== TEST 11: the registry goes away while an environment is told again
--- before
redis_kill('registry');
File::Path::remove_tree(temp_dir() . '/registry/appendonlydir');
redis_start('registry', '--appendonly', 'yes', '--appendfsync', 'always');
redis_load('registry', { sample() }->{registry});
--- script
my @names = map { "n$_" } 1 .. 500;
credential(\@names);
redis('staging', 'SAVE');
http_many(map { del_raw($_, 'Connection: close') } @names);
ok(wait_for(\&settled, 20), 'settled');
redis_kill('staging');
redis_start('staging');
wait_for(sub { redis('registry', 'HEXISTS', '{cred}:again', 'staging') }, 1);
redis_kill('registry');
redis_start('registry');
ok(gone('staging', @names), 'all are gone again');
ok(wait_for(\&settled, 20), 'nothing is open');
ok(wait_for(sub { !redis('registry', 'HLEN', '{cred}:again') }),
   'it has been told all');



=== TEST 12: an environment that is the registry is refused
--- registry
HSET {cred}:environments staging $TEST_NGINX_REGISTRY_TCP
--- script
my $answer = del('api-user');
answer_is($answer, 'the answer', pending(production => undef,
                                         staging => 'refused'));
ok(wait_for(sub {
    receipt(operation($answer), 'staging')->{error} =~ /the registry itself/
}), 'the receipt');
like(error_log_text(), qr/this environment is the registry itself.*staging/,
     'the error log');
redis('registry', 'HSET', '{cred}:environments', 'staging',
      redis_url('staging'));
ok(settled(), 'corrected');
is(deployed('staging', 'api-user'), '', 'and undeployed');



=== TEST 13: replaced by a copy that lacks just the last one, on a live connection
--- script
credential([qw(u0 u1 u2)]);
my %operation = del_all('u0');
redis('staging', 'EVAL', q{
    for _, key in ipairs(redis.call('KEYS', '*')) do
        redis.call('COPY', key, key, 'DB', 1)
    end
}, 0);
%operation = (%operation, del_all('u1'));
redis('staging', 'SWAPDB', 0, 1);
is(deployed('staging', 'u1'), 'u1', 'it is there again');
answer_is(del('u2'), 'the next one notices it',
          pending(production => undef, staging => 'refused'));
ok(gone('staging', qw(u1 u2)), 'both are undeployed');
ok(settled(), 'nothing is open');
ok(again('staging', $operation{u1}), 'receipt');
like(error_log_text(), qr/environment has lost its memory.*environment: staging/,
     'the error log');



=== TEST 14: emptied under the connections of two workers, copies put back
--- before
workers(2);
--- script
my @names = map { "u$_" } 1 .. 200;
my $clients = sub {
    return redis('staging', 'INFO', 'clients') =~ /^connected_clients:(\d+)/m ? $1 : 0;
};

credential(\@names);
my @rest = @names;
while (@rest > 100 || (@rest && $clients->() < 3)) {
    http_many(map { del_raw($_, 'Connection: close') } splice @rest, 0, 20);
}
is($clients->(), 3, 'both have a connection');
ok(settled(), 'settled');
my @done = @names[0 .. $#names - @rest];
credential([map { "n$_" } 1 .. 20]);

for my $times (1, 2) {
    redis('staging', 'FLUSHALL');
    credential(\@done, 'staging');
    my @next = map { 'n' . (5 * ($times - 1) + $_) } 1 .. 5;
    http_many(map { del_raw($_, 'Connection: close') } @next);
    ok(gone('staging', @done), "told again $times times");
    ok(settled(), 'nothing is open');
    push @done, @next;
}

freeze(nginx_workers());
redis_kill('staging');
redis_start('staging');
credential(\@done, 'staging');
thaw(nginx_workers());
ok(gone('staging', @done), 'and once more');
ok(settled(), 'nothing is open');
--- after
workers(1);



=== TEST 15: more environments than a worker has connections
--- before
worker_connections(64);
--- script
my $url = redis_tcp('staging');

# before there is anything to greet

redis('registry', 'HSET', '{cred}:positions', map { ("e$_" => '1:5-5:') } 1 .. 100);
redis('registry', 'HSET', '{cred}:environments',
      map { ("e$_" => "$url?prefix=e$_") } 1 .. 100);
redis('registry', 'SADD', '{cred}:apinizer:environments:MyProject', 'staging');
credential([map { "u$_" } 1 .. 60]);
is(join(' ', map { del("u$_")->{status} } 1 .. 30), join(' ', (200) x 30),
   'clients are answered');

# those with a connection are compared without any delete

ok(wait_for(sub {
    my @lost = grep { !/^1:5-5:/ } redis('registry', 'HVALS', '{cred}:positions');
    return @lost > 10;
}), 'environments are compared');
is(join(' ', map { del("u$_")->{status} } 31 .. 60), join(' ', (200) x 30),
   'meanwhile, too');
unlike(error_log_text(), qr/worker_connections are not enough/, 'the error log');
cmp_ok(redis('staging', 'INFO', 'clients') =~ /^connected_clients:(\d+)/m ? $1 : 99,
       '<', 40, 'there is room for clients');
--- after
worker_connections(1024);



=== TEST 16: one that never counts what it has done
--- before
my $reply = sub {
    my @members = @_[6 .. $#_];
    return '*' . (1 + @members) . "\r\n\$5\r\n9:1-1\r\n"
           . "\$10\r\nundeployed\r\n" x @members;
};
$ENV{TEST_NGINX_FAKE} = fake(replies => { EVALSHA => $reply, EVAL => $reply });
--- script
my $port = $ENV{TEST_NGINX_FAKE};
my $count = sub { my ($regex) = @_; scalar grep { /$regex/ } fake_log($port) };
my @names = map { "u$_" } 1 .. 50;
redis('registry', 'HSET', '{cred}:environments', 'staging',
      "redis://127.0.0.1:$port");
credential(\@names);
my $start = Time::HiRes::time();
http_many(map { del_raw($_, 'Connection: close') } @names);
my $said = sub {
    return scalar(() = error_log_text() =~ /\[error\].*loses its memory again and again.*:$port\//g);
};
ok(wait_for($said), 'it is said');

# the others are not kept from their work

credential([map { "n$_" } 1 .. 50], qw(registry production));
for my $n (1 .. 50) {
    like(del("n$n")->{body}, qr/"production","success":true/, "n$n: elsewhere");
    select undef, undef, undef, 0.05;
}

# it is met anew every ten seconds

my ($connections, $attempts, $said_so) =
    ($count->(qr/^\(connected\)/), $count->(qr/apinizer:MyProject/), $said->());
my $seconds = Time::HiRes::time() - $start;
cmp_ok($connections, '<', 10 + 5 * $seconds, 'few connections');
cmp_ok($attempts, '<', 30 + 5 * $seconds, 'few attempts');
cmp_ok($said_so, '<=', 1 + $seconds / 10, 'once');
redis('registry', 'HSET', '{cred}:environments', 'staging', redis_url('staging'));
ok(settled(), 'set right, it is told of all');
is(deployed('staging', @names), '', 'undeployed');



=== TEST 17: twenty environments are told at once, others are not kept waiting
--- script
my $url = redis_tcp('staging');
my @environments = map { "e$_" } 1 .. 20;
my @names = map { "u$_" } 1 .. 100;
redis('registry', 'HSET', '{cred}:environments',
      map { ($_ => "$url?prefix=$_") } @environments);
redis('registry', 'SADD', '{cred}:apinizer:environments:MyProject', @environments);
redis('registry', 'HSET', '{cred}:apinizer:scope:Other', 'a', 'b');
redis('registry', 'HSET', '{cred}:apinizer:members:Other', 'alice', 'manage');
redis('registry', 'SADD', '{cred}:apinizer:environments:Other', 'production');
for my $name (qw(registry production)) {
    redis($name, 'HSET', "{cred}:apinizer:credential:Other:n$_", 'owner', 'alice')
        for 1 .. 100;
}

credential(\@names, 'registry');
http_many(map { del_raw($_, 'Connection: close') } splice @names, 0, 25) while @names;
ok(settled(), 'settled');
redis_kill('staging');
redis_start('staging');

my $n = 0;
my $told = sub {
    return !grep { redis('staging', 'XLEN', "$_:undeployments") < 100 } @environments;
};

until ($n == 100 || ($n > 20 && $told->())) {
    my $answer = del('n' . ++$n, project => 'Other');
    my ($status, $headers, $body) = deleted('production');
    is($answer->{body}, $body, "n$n is deleted while they are told") or last;
}

ok(wait_for($told, 30), 'all are told');
ok(wait_for(\&settled, 20), 'nothing is open');
is(redis('registry', 'HLEN', '{cred}:again'), 0, 'nothing is left to tell');
like(error_log_text(), qr/environment is told 100 undeployments again.*environment: $_\b/,
     "$_ is told") for @environments;
