
# What clients do: bodies, pipelines, HTTP/2, and hanging up.

use CredTest;
use CredTest::Delete;

defaults(sample(<<'END'));
log_format  cred  '$pid $status $cred_id $cred_result';
access_log  $TEST_NGINX_DIR/cred.log  cred;
END

# of this nginx

sub cred_log {
    my ($pid) = nginx_workers();
    return join '', map { s/^$pid //r }
                    slurp(temp_dir() . '/cred.log') =~ /^($pid .*\n)/mg;
}

sub on {
    my ($sock, $text) = @_;
    print $sock $text if defined $text;
    return http_parse(http_read($sock));
}

# each of them was deleted and undeployed, once

sub once {
    my @usernames = @_;

    local $Test::Builder::Level = $Test::Builder::Level + 1;

    ok(wait_for(sub {
        !grep { @usernames > redis($_, 'XLEN', '{cred}:undeployments') }
              qw(production staging)
    }), 'undeployed');
    ok(settled(), 'nothing is open');

    my @keys = map { ("{cred}:apinizer:credential:MyProject:$_",
                      "{cred}:apinizer:grants:MyProject:$_") } @usernames;

    is(redis('registry', 'EXISTS', @keys), 0, 'gone from the registry');

    for my $name (qw(production staging)) {
        is(redis($name, 'EXISTS', @keys), 0, "gone from $name");
        is(redis($name, 'XLEN', '{cred}:undeployments'), @usernames,
           "once from $name");
    }
}

run_tests();


__DATA__

=== TEST 1: a body is discarded and the connection stays usable
--- script
my %bodies = (
    none      => [''],
    empty     => ["Content-Length: 0\r\n"],
    small     => ["Content-Length: 5\r\n", 'hello'],
    hostile   => ["Content-Length: 57\r\n", substr del_raw('never'), 0, 57],
    large     => ["Content-Length: 102400\r\n", 'x' x 102400],
    chunked   => ["Transfer-Encoding: chunked\r\n",
                  "5\r\nhello\r\n3;a=b\r\n123\r\n0\r\nTrailer: x\r\n\r\n"],
    'chunked and large' => ["Transfer-Encoding: chunked\r\n",
                  ("1000\r\n" . 'x' x 4096 . "\r\n") x 25 . "0\r\n\r\n"],
    expected  => ["Expect: 100-continue\r\nContent-Length: 5\r\n", 'hello'],
);

credential([map { tr/ /-/r } keys %bodies]);
credential('never');
my $sock = http_open();

for my $name (sort keys %bodies) {
    my ($header, $body) = (@{ $bodies{$name} }, '');
    my $request = del_raw($name =~ tr/ /-/r) =~ s/\r\n\r\n\z/\r\n$header\r\n/r;
    my $answer = on($sock, $request . $body);
    $answer = on($sock) if $answer->{status} == 100;
    answer_is($answer, $name, everywhere());
    is($answer->{headers}{connection}, 'keep-alive', 'is kept');
}

answer_is(on($sock, del_raw('api-user')), 'the same connection', everywhere());
once('api-user', map { tr/ /-/r } keys %bodies);
is((my $n = () = cred_log() =~ /\n/g), 1 + keys %bodies, 'no request more');
is(redis('registry', 'EXISTS', '{cred}:apinizer:credential:MyProject:never'), 1,
   'a body is no request');



=== TEST 2: the body comes later, after the answer, or not at all
--- script
credential([1 .. 5]);
my $sock = http_open();
answer_is(on($sock, del_raw(1, 'Content-Length: 10')), 'the answer comes first',
          everywhere());
print $sock '01234';
answer_is(on($sock, '56789' . del_raw(2)), 'then the rest', everywhere());

answer_is(on($sock, del_raw(3, 'Transfer-Encoding: chunked')), 'chunked',
          everywhere());
print $sock "3\r\nab";
answer_is(on($sock, "c\r\n0\r\n\r\n" . del_raw(4)), 'then the rest', everywhere());
close $sock;

$sock = http_open();
print $sock del_raw(5, 'Content-Length: 100'), 'half';
close $sock;
once(1 .. 5);

credential('bad');
$sock = http_open();
my $answer = on($sock, del_raw('bad', 'Transfer-Encoding: chunked')
                       . "nonsense\r\n");
is($answer->{status}, 400, 'no chunks');
is(redis('registry', 'EXISTS', '{cred}:apinizer:credential:MyProject:bad'), 1,
   'deletes nothing');



=== TEST 3: pipelined requests
--- script
credential([1 .. 100]);
my $sock = http_open();
my $other = "GET /none HTTP/1.1\r\nHost: a\r\n\r\n";
print $sock map { (del_raw($_, 'Content-Length: 3') . 'abc', $other) } 1 .. 100;

for my $n (1 .. 100) {
    answer_is(on($sock), "request $n", everywhere());
    is(on($sock)->{status}, 404, 'and one that is not ours');
}

ok(settled(), 'settled');
answer_is(on($sock, del_raw(1)), 'the same connection', failure(400, 1));
once(1 .. 100);



=== TEST 4: HTTP/1.0, and a request without an answer in HTTP/0.9
--- script
my $answer = http_parse(http(del_raw('api-user') =~ s{HTTP/1\.1}{HTTP/1.0}r));
answer_is($answer, 'HTTP/1.0', everywhere());
is($answer->{headers}{connection}, 'close', 'is closed');
once('api-user');



=== TEST 5: HTTP/2
--- config
listen $TEST_NGINX_H2_PORT http2;
location /apiops/ { cred_delete apinizer; }
--- script
credential([1 .. 40]);
my $base = "http://127.0.0.1:$ENV{TEST_NGINX_H2_PORT}";
my @h2 = ('--http2-prior-knowledge', '-X', 'DELETE',
          '-H', 'Authorization: Bearer TOKEN');
my ($small, $large) = map { temp_dir() . "/$_" } 5, 102400;

for my $file ($small, $large) {
    open my $out, '>', $file;
    print $out 'x' x ($file =~ /(\d+)$/)[0];
    close $out;
}

answer_is(curl(@h2, $base . path('api-user')), 'deleted', everywhere());
ok(settled(), 'settled');
answer_is(curl(@h2, $base . path('api-user')), 'again', failure(400, 'api-user'));

# nginx resets a stream which it has answered while its body was on the way, and
# curl takes that for an error; the next stream is answered as ever

my $nghttp = "nghttp -v -t30 -H':method: DELETE' -H'Authorization: Bearer TOKEN'";
my @uris = map { $base . path($_) } 1, 'none';
like(`$nghttp -d $small @uris 2>&1`, qr/:status: 400/,
     'with a body');
$uris[0] = $base . path(2);
like(`$nghttp -d $large @uris 2>&1`, qr/:status: 400/, 'with 100 KB');

is(curl(@h2, '-H', 'Authorization: Bearer TOKEN', $base . path(3))->{status},
   400, 'repeated');
answer_is(curl('--http2-prior-knowledge', '-X', 'DELETE', $base . path(3)),
          'no token', failure(401));

# many streams of one connection, at once

my $text = `$nghttp @{[ map { $base . path($_) } 3 .. 40 ]} 2>&1`;

is((my $n = () = $text =~ /:status: 200/g), 38, 'streams');
is(($n = () = $text =~ /"Undeployment completed successfully"/g), 38, 'bodies');
once('api-user', 1 .. 40);



=== TEST 6: a client that is gone before delete.lua is sent
--- before
# the registry accepts the connection, and then says nothing
credential([1 .. 3]);
redis_pause('registry');
--- script
my @socks = map { http_open() } 1 .. 3;
print { $socks[$_ - 1] } del_raw($_) for 1 .. 3;
close $_ for @socks;
ok(wait_for(sub { 3 == (() = cred_log() =~ /^499 [123] -$/mg) }), 'gone');
redis_resume('registry');
once(1 .. 3);



=== TEST 7: a client that is gone while the registry works
--- script
answer_is(del('api-user'), 'connected', everywhere());
credential([1 .. 3]);
redis_pause('registry');
my @socks = map { http_open() } 1 .. 3;
print { $socks[$_ - 1] } del_raw($_) for 1 .. 3;
close $_ for @socks;
ok(wait_for(sub { 3 == (() = cred_log() =~ /^499 [123] -$/mg) }), 'gone');
redis_resume('registry');
once('api-user', 1 .. 3);



=== TEST 8: a client that is gone while the environments work
--- script
my %args = (1 => '', 2 => 'Content-Length: 50');
credential([1 .. 2]);
redis($_, 'CLIENT', 'PAUSE', 60000, 'WRITE') for qw(production staging);
my @socks = map { http_open() } 1 .. 2;
print { $socks[0] } del_raw(1);
print { $socks[1] } del_raw(2, 'Content-Length: 50'), 'half of it';
ok(wait_for(sub {
    2 == grep { $_->{result} eq 'deleted' } audit();
}), 'deleted in the registry');
close $_ for @socks;
ok(wait_for(sub { cred_log() =~ /^499 1 -$/m }), 'gone');
redis($_, 'CLIENT', 'UNPAUSE') for qw(production staging);
once(1 .. 2);



=== TEST 9: a stream of HTTP/2 that is reset
--- config
listen $TEST_NGINX_H2_PORT http2;
location /apiops/ { cred_delete apinizer; }
--- script
redis($_, 'CLIENT', 'PAUSE', 60000, 'WRITE') for qw(production staging);
my $url = "http://127.0.0.1:$ENV{TEST_NGINX_H2_PORT}" . path();
system("nghttp -t1 -H':method: DELETE' -H'Authorization: Bearer TOKEN' $url"
       . " > /dev/null 2>&1");
ok(wait_for(sub { cred_log() =~ /^499 api-user -$/m }), 'gone');
redis($_, 'CLIENT', 'UNPAUSE') for qw(production staging);
once('api-user');



=== TEST 10: a client that stays half-closed
--- config
location /apiops/ { cred_delete apinizer; }
--- script
my $sock = http_open();
print $sock del_raw('api-user');
shutdown $sock, 1;
http_read($sock);
once('api-user');
