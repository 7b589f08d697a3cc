
# What clients do: bodies, pipelines, HTTP/2, and hanging up.

use CredTest;
use CredTest::Delete;

defaults(sample(<<'END'));
cred_connect_timeout  60s;
cred_command_timeout  60s;
cred_cascade_timeout  60s;
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

# a backend that accepts, and answers when it is told to

sub slow_start {
    $::slow = IO::Socket::INET->new(LocalAddr => '127.0.0.1', Listen => 64)
        or die "listen: $!";
    $ENV{TEST_NGINX_SLOW} = $::slow->sockport;
}

sub slow_accept {
    my ($n) = @_;
    for (1 .. $n // 1) {
        IO::Select->new($::slow)->can_read($CredTest::Process::Patience) or return;
        push @::held, scalar $::slow->accept;
    }
    return 1;
}

sub slow_answer {
    for my $sock (splice @::held) {
        1 until read_line($sock) eq "\r\n";
        print $sock "HTTP/1.0 200 OK\r\n\r\nfine";
    }
    return 1;
}

# what a pause of writes would hold up is done

sub greeted {
    wait_for(sub { redis('registry', 'HLEN', '{cred}:positions') == 2 })
        or die 'not greeted';
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
greeted();
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
greeted();
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



=== TEST 11: an action that follows a client which is gone has the request
--- http_config
cred_registry         $TEST_NGINX_REGISTRY;
cred_connect_timeout  60s;
cred_command_timeout  60s;
cred_cascade_timeout  60s;
lingering_time        60s;
lingering_timeout     60s;
log_format     cred  '$pid $upstream_status $cred_id $cred_result';
access_log     $TEST_NGINX_DIR/cred.log  cred;
--- before
slow_start();
--- config
listen       $TEST_NGINX_H2_PORT http2;

location /apiops/ { cred_delete apinizer; post_action /done; }
location = /done  { internal; proxy_pass http://127.0.0.1:$TEST_NGINX_SLOW; }

location ~ /named { cred_delete apinizer; post_action @done; }
location @done    { cred_delete apinizer;
                    proxy_pass http://127.0.0.1:$TEST_NGINX_SLOW; }
--- script
answer_is(del('api-user'), 'connected', everywhere());
ok(slow_accept() && slow_answer(), 'the action that follows an answer');
ok(settled(), 'settled');
credential(['valid', 'body', 'named', 'reset', 'cascade', 'late']);

my $gone = sub {
    my ($name, $raw, %args) = @_;

    redis_pause($_) for @{ $args{paused} };
    my $sock = http_open();
    print $sock $raw;
    ok(wait_for($args{until}), "$name: under way") if $args{until};
    $args{then} ? print $sock $args{then} : close $sock;

    ok(slow_accept(), "$name: the action begins");
    redis_resume($_) for @{ $args{paused} };
    ok(wait_for($args{done}) && settled(), "$name: the delete ends");
    my $line = qr/^200 \S+ $args{result}$/m;
    unlike(cred_log(), $line, "$name: the action goes on");
    ok(slow_answer(), "$name: and is answered");
    ok(wait_for(sub { cred_log() =~ $line }), "$name: the log has both")
        or diag(cred_log());
    truncate temp_dir() . '/cred.log', 0;
};

my $audited = sub {
    my ($id) = @_;
    return sub { grep { $_->{id} eq $id }
                 audit(), audit('{cred}:audit:unauthorized') };
};

truncate temp_dir() . '/cred.log', 0;

my $path = path('unknown');
$gone->('unknown token', "DELETE $path HTTP/1.1\r\nHost: a\r\n"
                         . "Authorization: Bearer nobody\r\n\r\n",
        paused => ['registry'], result => 'unauthorized',
        done => $audited->('unknown'));

$gone->('valid token', del_raw('valid'), paused => ['registry'],
        result => 'deleted', done => $audited->('valid'));

$gone->('a body in pieces', del_raw('body', 'Transfer-Encoding: chunked')
                            . "3\r\nabc\r\n", then => "nonsense\r\n",
        paused => ['staging'], until => $audited->('body'), result => 'deleted',
        done => $audited->('body'));

$gone->('a named location', del_raw('named') =~ s{/named/}{/named/}r,
        paused => ['registry'], result => 'deleted',
        done => $audited->('named'));

$gone->('environments', del_raw('cascade'), paused => ['staging'],
        until => $audited->('cascade'), result => 'deleted',
        done => $audited->('cascade'));

redis_pause('registry');
my $url = "http://127.0.0.1:$ENV{TEST_NGINX_H2_PORT}" . path('reset');
system("nghttp -t1 -H':method: DELETE' -H'Authorization: Bearer TOKEN' $url"
       . ' > /dev/null 2>&1');
ok(slow_accept(), 'HTTP/2: the action begins');
redis_resume('registry');
ok(wait_for($audited->('reset')) && settled(), 'HTTP/2: the delete ends');
ok(slow_answer(), 'HTTP/2: and is answered');
ok(wait_for(sub { cred_log() =~ /^200 reset deleted$/m }), 'HTTP/2: the log');

# the action ends first

redis_pause('registry');
my $sock = http_open();
print $sock del_raw('late');
close $sock;
ok(slow_accept() && slow_answer(), 'an action that ends first');
ok(wait_for(sub { cred_log() =~ /^200 late -$/m }), 'is logged');
redis_resume('registry');
once(qw(api-user valid body named reset cascade late));



=== TEST 12: the same with a body that is read
--- http_config
cred_registry  $TEST_NGINX_REGISTRY;
cred_connect_timeout  60s;
cred_command_timeout  60s;
log_format  cred  '$pid $upstream_status $cred_id $cred_result';
access_log  $TEST_NGINX_DIR/cred.log  cred;
--- before
slow_start();
--- config
location /credentials/ {
    cred_delete          thousandeyes;
    post_action          /done;
    client_body_timeout  200ms;
}

location = /done { internal; proxy_pass http://127.0.0.1:$TEST_NGINX_SLOW; }
--- script
my $post = sub {
    return "POST /credentials/$_[0]/delete HTTP/1.1\r\nHost: localhost\r\n"
           . "Authorization: Bearer nobody\r\n$_[1]";
};

redis_pause('registry');

my @socks = map { http_open() } 1 .. 3;
print { $socks[0] } $post->(1, "Content-Length: 2\r\n\r\n{}");
print { $socks[1] } $post->(2, "Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n"
                               . "0\r\n\r\n");
print { $socks[2] } $post->(3, "Content-Length: 3\r\n\r\n{");
ok(slow_accept(), 'a body that is late');
close $_ for @socks;
ok(slow_accept(2), 'the actions begin');

my $n = sub { my ($line) = @_; scalar(() = cred_log() =~ /^$line$/mg) };

my $asked = sub {
    my @entries = audit('{cred}:audit:unauthorized');
    return join(' ', sort map { $_->{id} } @entries) eq '1 2';
};

redis_resume('registry');
ok(wait_for($asked), 'the deletes end');
is(cred_log(), '', 'the actions go on');
ok(slow_answer(), 'and are answered');
ok(wait_for(sub { 2 == $n->('200 [12] unauthorized') }), 'the log has both')
    or diag(cred_log());
is($n->('200 3 -'), 1, 'never asked');



=== TEST 13: other ends of a body, which redirect before anything is asked
--- http_config
cred_registry  $TEST_NGINX_REGISTRY;
log_format  cred  '$pid $status $uri $cred_id $cred_result';
access_log  $TEST_NGINX_DIR/cred.log  cred;
--- config
location /credentials/ {
    cred_delete           thousandeyes;
    client_max_body_size  600;
    client_body_timeout   200ms;
    error_page            400 408 413 = @other;
}

location @other { cred_delete thousandeyes; return 202 other; }
--- script
my $send = sub {
    my $sock = http_open();
    print $sock "POST /credentials/1/delete HTTP/1.1\r\nHost: localhost\r\n"
                . "Authorization: Bearer nobody\r\n$_[0]";
    shutdown $sock, 1 if $_[1];
    return http_parse(http_read($sock));
};

my $chunked = "Transfer-Encoding: chunked\r\n\r\n";
is($send->("${chunked}3e8\r\n" . 'x' x 1000)->{body}, 'other', 'too large');
is($send->("${chunked}nonsense\r\n")->{body}, 'other', 'no chunks');
is($send->("${chunked}1\r\n")->{text}, '', 'too late');
$send->("${chunked}1\r\n", 1);
ok(wait_for(sub { 4 == (() = cred_log() =~ /\n/g) }), 'all are logged');
is(redis('registry', 'EXISTS', '{cred}:audit:unauthorized'), 0,
   'nothing was asked');
