# The harness itself, without the module.

use CredTest module => 0;

use File::Temp ();
use Time::HiRes ();

run_tests();


# checks that never fail prove nothing: a file full of faults, run apart

my $file = File::Temp->new(SUFFIX => '.t');

print $file <<'END';
use CredTest module => 0, redis => ['registry'];
run_tests();
print "# pids: ", join(' ', keys %CredTest::Process::Child), "\n";
die "in the middle";
__DATA__

=== TEST 1: wrong state
--- config
location = /t { return 200; }
--- registry
SET a b
--- request
GET /t
--- redis_check
GET a => c

=== TEST 2: a killed worker
--- config
location = /t { return 200; }
--- script
kill 'ABRT', nginx_workers();
wait_for(sub { error_log_text() =~ /exited on signal/ });

=== TEST 3: a bad command
--- config
location = /t { return 200; }
--- registry
HSET a
--- request
GET /t

=== TEST 4: perl that dies
--- config
location = /t { return 200; }
--- script
die "here";

=== TEST 5: a report of a sanitizer
--- config
location = /t { return 200; }
--- script
open my $out, '>>', temp_dir() . '/nginx/logs/error.log';
print $out "==1==ERROR: AddressSanitizer: heap-use-after-free\n";

=== TEST 6: a report of valgrind
--- config
location = /t { return 200; }
--- script
open my $out, '>>', temp_dir() . '/valgrind.1';
print $out "==1== Warning: a large range\n==1== Invalid read of size 8\n";
END

close $file;

my $output = `CRED_PATIENCE=10 $^X -It/lib -Ibuild/perl5 $file 2>&1`;
isnt($?, 0, 'a file with faults fails');

like($output, qr/^not ok.*$_/m, "seen: $_")
    for 'TEST 1: wrong state - GET a => c',
        'TEST 2: a killed worker - nothing alarming',
        'TEST 3: a bad command - registry: HSET a',
        'TEST 4: perl that dies - script: here',
        'TEST 5: a report of a sanitizer - nothing alarming',
        'TEST 6: a report of valgrind - nothing alarming';

my ($pids) = $output =~ /^# pids: (.*)/m;
ok(length $pids, 'it had started a Redis');
ok(!kill(0, split ' ', $pids), 'and left none behind when it died');

my ($dir) = $output =~ /^# logs are in (\S+)/m;
ok(-d $dir, 'it kept its logs');
File::Path::remove_tree($dir);


__DATA__

=== TEST 1: Redis before and after a request
--- config
location = /t { return 200 "hello\n"; }
--- registry
# words are read as redis-cli reads them
HSET {cred}:apinizer:token:sha256(secret) subject "alice b" binary "\x00\r\n"
SADD set b c 'a a'
HSET {cred}:environments production $TEST_NGINX_PRODUCTION
--- staging
SET only staging
--- request
GET /t
--- response_body
hello
--- redis_check
HGET {cred}:apinizer:token:sha256(secret) subject => alice b
HSTRLEN {cred}:apinizer:token:sha256(secret) binary => 3
HGET {cred}:environments production => $TEST_NGINX_PRODUCTION
SMEMBERS set => a a b c
staging: GET only => staging
production: GET only => (nil)
DBSIZE =~ ^\d$



=== TEST 2: each block starts with empty servers
--- config
location = /t { return 204; }
--- request
GET /t
--- error_code: 204
--- redis_check
DBSIZE => 0
staging: DBSIZE => 0



=== TEST 3: servers on demand, stopped, killed, paused and started again
--- redis: eu_west guarded
--- config
location = /t { return 200; }
--- eu_west
SET a b
--- before
redis_stop('guarded');
redis_start('guarded', '--requirepass', 'secret', '--appendonly', 'yes',
            '--appendfsync', 'always');
redis('guarded', 'SET', 'a', 'b');
--- script
is(redis('eu_west', 'GET', 'a'), 'b', 'loaded');
isnt(redis_port('eu_west'), redis_port('guarded'), 'ports differ');
redis_kill('guarded');
ok(!eval { redis('guarded', 'PING') }, 'killed');
redis_start('guarded');
is(redis('guarded', 'GET', 'a'), 'b', 'kept by the AOF');
redis_pause('eu_west');
my $sock = redis_connect('eu_west');
print $sock resp('PING');
ok(!IO::Select->new($sock)->can_read(0.2), 'paused');
redis_resume('eu_west');
is(reply($sock), 'PONG', 'resumed');
my $seen = monitor('eu_west');
redis('eu_west', 'GET', 'a');
ok(wait_for(sub { grep { /"GET" "a"/ } $seen->() }), 'monitored');



=== TEST 4: HTTP by hand
--- config
location = /t { return 200 "$request_method"; }
location = /u { return 204; }
location = /chunked { ssi on; ssi_types *; root $TEST_NGINX_SERVER_ROOT/html; }
--- user_files
>>> chunked
<!--# echo var="uri" -->
--- script
my $request = "GET /t HTTP/1.1\r\nHost: a\r\n\r\n";
my $sock = http_open();
print $sock $request x 2;
is(http_parse(http_read($sock))->{body}, 'GET', 'first of a pipeline');
is(http_parse(http_read($sock))->{body}, 'GET', 'second of a pipeline');
print $sock "HEAD /t HTTP/1.1\r\nHost: a\r\n\r\n";
is(http_parse(http_read($sock, 5, 'HEAD'))->{status}, 200, 'HEAD');
print $sock "GET /u HTTP/1.1\r\nHost: a\r\n\r\n";
is(http_parse(http_read($sock))->{status}, 204, 'the same connection');
is(call('DELETE', '/t')->{body}, 'DELETE', 'call');
is(call('POST', '/t', ['X: y'], 'body')->{body}, 'POST', 'call with a body');
is(scalar(grep { /200 OK/ } http_many(($request) x 20)), 20, 'many');
like(call('GET', '/chunked')->{body}, qr{/chunked}, 'chunked');
like(access_log_text(), qr{DELETE /t}, 'access log');



=== TEST 5: reload and workers
--- config
location = /t { return 200; }
--- script
my @old = nginx_workers();
is(scalar(@old), 1, 'one worker');
ok(nginx_reload(), 'reloaded');
ok(wait_for(sub { nginx_workers() == 1 }), 'the old one left');
isnt((nginx_workers())[0], $old[0], 'another worker');
is(call('GET', '/t')->{status}, 200, 'served');



=== TEST 6: a broken peer
--- before
$ENV{TEST_NGINX_FAKE} = fake(replies => {
    EVALSHA => ["-NOSCRIPT\r\n", \"*2\r\n\$1"], EVAL => ":1\r\n", MUTE => undef,
});
--- config
location = /t { return 200 $TEST_NGINX_FAKE; }
--- script
my $port = $ENV{TEST_NGINX_FAKE};
is(call('GET', '/t')->{body}, $port, 'seen by the configuration');
my $sock = IO::Socket::INET->new("127.0.0.1:$port");
print $sock map { resp(@$_) }
    ['AUTH', 'a'], ['SELECT', 1], ['TIME'], ['EVALSHA', 'x', 0], ['EVAL', 'x'];
is(reply($sock), 'OK', 'AUTH');
is(reply($sock), 'OK', 'SELECT');
is(scalar @{ reply($sock) }, 2, 'TIME');
is(reply($sock), '(error) NOSCRIPT', 'EVALSHA');
is(reply($sock), 1, 'EVAL');
print $sock resp('MUTE'), resp('EVALSHA', 'x', 0);
ok(!eval { reply($sock) }, 'half a reply');
is($@, "closed\n", 'and the end');
is_deeply([ grep { /EVAL/ } fake_log($port) ],
          ['EVALSHA x 0', 'EVAL x', 'EVALSHA x 0'], 'log');



=== TEST 7: a peer that speaks first, slowly
--- config
location = /t { return 200; }
--- script
my $port = fake(greeting => \"ga", step => 1, pause => 2);
my $sock;
ok(wait_for(sub {
    $sock = IO::Socket::INET->new("127.0.0.1:$port");
    return read_bytes($sock, 1) eq 'g' && !IO::Select->new($sock)->can_read(0);
}), 'the first byte, and no more yet');
is(read_bytes($sock, 1), 'a', 'the rest');
ok(!eval { read_bytes($sock, 1) }, 'and the end');



=== TEST 8: names
--- before
$ENV{TEST_NGINX_DNS} = dns('redis.test' => '127.0.0.1');
--- http_config
resolver 127.0.0.1:$TEST_NGINX_DNS ipv6=off;
--- config
location = /t {
    set $name redis.test;
    proxy_pass http://$name:$server_port/u;
}
location = /u { return 200 "resolved\n"; }
--- request
GET /t
--- response_body
resolved



=== TEST 9: a configuration that is refused
--- config
return nonsense more words;
--- must_die
--- error_log
[emerg]



=== TEST 10: HTTP/2
--- config
listen $TEST_NGINX_H2_PORT http2;
location = /t { return 200 $server_protocol; }
--- script
my $answer = curl('--http2-prior-knowledge',
                  "http://127.0.0.1:$ENV{TEST_NGINX_H2_PORT}/t");
is($answer->{status}, 200, 'status');
is($answer->{body}, 'HTTP/2.0', 'body');
is(curl('-X', 'PUT', '/t')->{body}, 'HTTP/1.1', 'HTTP/1.1 is still there');



=== TEST 11: an alert that is meant
--- config
location = /t { return 200; }
--- script
my ($worker) = nginx_workers();
kill 'KILL', $worker;
ok(wait_for(sub {
    my @workers = nginx_workers();
    @workers && $workers[0] != $worker;
}), 'another worker');
is(call('GET', '/t')->{status}, 200, 'served');
--- allow_log
exited on signal 9
