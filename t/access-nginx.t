# A gateway among nginx's other modules, and what clients do meanwhile.

use CredTest;
use CredTest::Delete;
use CredTest::Gateway;

defaults(gateway(http => 'cred_access_lease 1h; cred_command_timeout 60s;'));

# a server that tells the method, and the length and the hash of the body that
# it got; or one that upgrades, and says back what it is told

sub upstream {
    my $listener = IO::Socket::INET->new(LocalAddr => '127.0.0.1', Listen => 64)
        or die "upstream: $!";

    CredTest::Process::spawn('upstream', 'upstream', sub {
        $SIG{CHLD} = 'IGNORE';
        while (my $sock = $listener->accept) {
            next if fork;
            eval { serve($sock) };
            POSIX::_exit(0);
        }
    });

    return $ENV{TEST_NGINX_UPSTREAM} = $listener->sockport;
}

sub serve {
    my ($sock) = @_;
    my ($head, $body, $line) = ('', '');

    $head .= $line = read_line($sock) until ($line // '') eq "\r\n";

    if ($head =~ /^Upgrade: echo/mi) {
        print $sock "HTTP/1.1 101 Switching\r\nUpgrade: echo\r\n"
                    . "Connection: upgrade\r\n\r\n";
        $sock->flush;
        while (sysread $sock, my $bytes, 4096) {
            syswrite $sock, $bytes;
        }
        return;
    }

    if ($head =~ /^Content-Length: (\d+)/mi) {
        $body = read_bytes($sock, $1) if $1;

    } elsif ($head =~ /^Transfer-Encoding: chunked/mi) {
        while (my $length = hex((read_line($sock) =~ /(\w+)/)[0])) {
            $body .= read_bytes($sock, $length);
            read_line($sock);
        }
        read_line($sock);
    }

    my ($method) = $head =~ /^(\w+)/;
    my $answer = "$method " . length($body) . ' ' . sha256($body);
    print $sock "HTTP/1.1 200 OK\r\nContent-Length: " . length($answer)
                . "\r\nConnection: close\r\n\r\n$answer";
    $sock->flush;
}

sub raw {
    my ($path, $key, @headers) = @_;
    return join "\r\n", "GET $path HTTP/1.1", 'Host: localhost',
                $key ? "X-API-Key: $key" : (), @headers, '', '';
}

# all that clients have sent is read by nginx

sub accepted {
    my $port = sprintf ':%04X', $_[0] // $ENV{TEST_NGINX_PORT};
    return wait_for(sub {
        !grep {
            my (undef, $local, undef, undef, $queues) = split;
            defined $queues && $local =~ /\Q$port\E$/ && $queues !~ /:0+$/;
        } split /\n/, slurp('/proc/net/tcp');
    });
}

sub basic { 'Authorization: Basic ' . (pack('u', $_[0]) =~ tr/ -_`\n/A-Za-z0-9+\/A/dr) }

run_tests();


__DATA__

=== TEST 1: "satisfy"
--- before
open my $out, '>', temp_dir() . '/users';
print $out "admin:{PLAIN}secret\n";
close $out;
--- config
auth_basic_user_file  $TEST_NGINX_DIR/users;
add_header  X-Result $cred_access_result always;

location = /any-user {
    satisfy      any;
    cred_access  apinizer;
    auth_basic   users;
    empty_gif;
}
location = /any-address {
    satisfy      any;
    cred_access  apinizer;
    allow        127.0.0.1;
    deny         all;
    empty_gif;
}
location = /any-stranger {
    satisfy      any;
    cred_access  apinizer;
    allow        127.0.0.2;
    deny         all;
    empty_gif;
}
location = /any-scope {
    satisfy      any;
    cred_access  apinizer scope=other;
    deny         all;
    empty_gif;
}
location = /all-user {
    cred_access  apinizer key=$http_x_api_key;
    auth_basic   users;
    empty_gif;
}
location = /all-stranger {
    cred_access  apinizer;
    deny         all;
    empty_gif;
}
location = /all-address {
    cred_access  apinizer;
    allow        127.0.0.1;
    deny         all;
    empty_gif;
}
--- script
my ($key, $none) = map { "X-API-Key: $_" } qw(KEY none);
my ($user, $wrong) = map { 'Authorization: Basic ' . $_ }
                     qw(YWRtaW46c2VjcmV0 YWRtaW46d3Jvbmc=);

my @table = (
    # path, status, headers
    ['/any-user', 401], ['/any-user', 200, $key], ['/any-user', 401, $none],
    ['/any-user', 200, $user], ['/any-user', 401, $wrong],
    ['/any-user', 200, $user, $none],

    # two keys are none
    ['/any-user', 200, $user, $key], ['/any-user', 401, $wrong, $key],

    ['/any-address', 200], ['/any-address', 200, $none], ['/any-address', 200, $key],
    ['/any-stranger', 401], ['/any-stranger', 401, $none],
    ['/any-stranger', 200, $key], ['/any-scope', 403, $key], ['/any-scope', 401],
    ['/all-user', 401], ['/all-user', 401, $key], ['/all-user', 401, $user],
    ['/all-user', 200, $key, $user], ['/all-user', 401, $key, $wrong],
    ['/all-user', 401, $none, $user],
    ['/all-stranger', 403, $key], ['/all-address', 200, $key],
    ['/all-address', 401, $none],
);

for (@table) {
    my ($path, $status, @headers) = @$_;
    is(gate(undef, path => $path, headers => \@headers)->{status}, $status,
       join ', ', $path, @headers);
}

# who challenges

my $challenges = sub {
    my $got = gate(undef, path => @_);
    return join ' + ', sort $got->{text} =~ /^WWW-Authenticate: (.*)\r$/mg;
};

my ($ours, $theirs) = ('Bearer realm="apinizer"', 'Basic realm="users"');
my ($version) = `$ENV{TEST_NGINX_BINARY} -v 2>&1` =~ /(\d+\.\d+)/;
like($challenges->('/any-user'),
     $version >= 1.23 ? qr/^$theirs \+ $ours$/ : qr/\Q$theirs/, 'both');
is($challenges->('/any-stranger'), $ours, 'one');
is($challenges->('/any-user', headers => [$key]), '', 'none for whoever passes');
like($challenges->('/all-user', headers => [$user]), qr/^\Q$ours/, 'no key');
like($challenges->('/all-user', headers => [$key]), qr/^\Q$theirs/, 'no user');

# what nobody can tell is no refusal that others could make up for

my $seen = monitor('production');
gate('tried', path => $_) for qw(/all-user /all-stranger /any-address);
gate('found', path => '/any-user');
is(join(' ', grep { my $hash = sha256($_); grep { /$hash/ } $seen->() } qw(tried found)),
   'found', 'whom others refuse or let pass is not asked for a key');

redis_kill('production');
is(gate('another', path => '/any-user')->{status}, 503, 'nobody can tell');
is(gate('another', path => '/any-address')->{status}, 200, 'nobody is asked');



=== TEST 2: subrequests are not checked, which nginx does to all access modules
--- before
upstream();
mkdir temp_dir() . '/ssi';
chmod 0755, temp_dir() . '/ssi';
open my $out, '>', temp_dir() . '/ssi/page.html';
print $out '[<!--#include virtual="/part" -->|<!--#include virtual="/part" -->]';
close $out;
--- config
root        $TEST_NGINX_DIR/ssi;
add_header  X-Result $cred_access_result always;
add_header  X-Who    $who always;

location = /page {
    auth_request      /auth;
    auth_request_set  $who $cred_access_id;
    empty_gif;
}
location = /both {
    auth_request  /auth;
    cred_access   apinizer;
    empty_gif;
}
location = /auth      { internal; cred_access apinizer; empty_gif; }
location = /page.html { ssi on; cred_access apinizer; }
location = /open.html { ssi on; alias $TEST_NGINX_DIR/ssi/page.html; }
location = /part      { cred_access apinizer; try_files /none @part; }
location @part        { return 200 part; }
location = /mirrored  {
    cred_access  apinizer;
    mirror       /mirror;
    proxy_pass   http://127.0.0.1:$TEST_NGINX_UPSTREAM;
}
location = /mirror    {
    internal;
    cred_access     iam;
    proxy_pass      http://127.0.0.1:$TEST_NGINX_UPSTREAM/mirror;
    access_log      $TEST_NGINX_DIR/mirror.log;
    log_subrequest  on;
}
--- script
my @table = (
    # path, status with KEY, with another one, without
    ['/page', 200, 200, 200], ['/both', 200, 401, 401], ['/auth', 404, 404, 404],
    ['/page.html', 200, 401, 401], ['/open.html', 200, 200, 200],
    ['/part', 200, 401, 401],
);

for (@table) {
    my ($path, @wanted) = @$_;
    is(join(' ', map { gate($_, path => $path)->{status} } 'KEY', 'none', undef),
       "@wanted", $path);
}

my $got = gate('none', path => '/page');
is($got->{headers}{$_}, undef, "no $_") for qw(x-who x-result);
is(gate('KEY', path => '/both')->{headers}{'x-result'}, 'allowed', 'checked');
like(gate('none', path => '/open.html')->{body}, qr/\[.*part.*\|.*part.*\]/s,
     'parts of a page');

# the request itself waits as ever

key('new');
my @socks = map { http_open() } 0 .. 11;
redis_pause('production');
print { $socks[$_] } raw(qw(/both /page.html /mirrored)[$_ % 3],
                         $_ < 6 ? 'new' : 'none') for 0 .. $#socks;
ok(accepted(), 'under way');
close $_ for @socks[0, 1, 2, 9, 10, 11];
redis_resume('production');
is(http_parse(http_read($socks[$_]))->{status}, $_ < 6 ? 200 : 401, "number $_")
    for 3 .. 8;

$got = gate('KEY', path => '/mirrored', method => 'POST', body => 'x' x 20000);
like($got->{body}, qr/^POST 20000 /, 'mirrored');
ok(wait_for(sub { slurp(temp_dir() . '/mirror.log') =~ /POST .* 200 / }),
   'without another check');



=== TEST 4: error_page
--- config
add_header  X-Result $cred_access_result always;

location = /login  { try_files /none @login; }
location @login    { return 200 "login $cred_access_result"; }
location = /to-page   { cred_access apinizer; error_page 401 = /login; empty_gif; }
location = /to-name   { cred_access apinizer; error_page 401 = @login; empty_gif; }
location = /status    { cred_access apinizer; error_page 401 =404 /login; empty_gif; }
location = /outside   { cred_access apinizer; error_page 401 = http://a/b; empty_gif; }
location = /fallback  { cred_access apinizer; error_page 503 = @login; empty_gif; }

# where the same is asked again

location = /again  { cred_access apinizer; error_page 401 503 /again2; empty_gif; }
location = /again2 { cred_access apinizer; empty_gif; }
location = /named  { cred_access apinizer; error_page 401 = @named; empty_gif; }
location @named    { cred_access apinizer; empty_gif; }
--- script
my @table = (
    # path, answer
    ['/to-page', '200 login unknown'], ['/to-name', '200 login unknown'],
    ['/status', '404 login unknown'], ['/outside', 302],
    ['/again', 401], ['/named', 401],
);

for (@table) {
    my ($path, $wanted) = @$_;
    my $got = gate('none', path => $path);
    my $is = join ' ', $got->{status}, $got->{body} =~ /(login.*)/;
    is($is, $wanted, $path);
    is(gate('KEY', path => $path)->{status}, 200, "$path with a key");
    is(scalar(() = $got->{text} =~ /^WWW-Authenticate: Bearer realm="apinizer"\r$/mg), 1,
       "$path: one challenge");
}

redis_kill('production');
is(gate('another', path => '/fallback')->{body}, 'login unavailable', 'a fallback');
my $got = gate('another', path => '/again');
is($got->{status}, 503, 'nobody can tell');
is(scalar(() = $got->{text} =~ /^Retry-After:/mg), 1, 'said once');



=== TEST 5: ways through the configuration
--- before
upstream();
mkdir temp_dir() . '/dir';
for my $name ('dir/index.html', 'file') {
    open my $out, '>', temp_dir() . "/$name";
    print $out "file\n";
    close $out;
}
chmod 0755, temp_dir() . '/dir';
--- config
root  $TEST_NGINX_DIR;
cred_access  apinizer;

location = /file   { }
location /dir/     { }
location = /try    { cred_access off; try_files /none /file; }
location = /open   { cred_access off; try_files /file =404; }
location = /rewritten { cred_access off; rewrite ^ /file last; }
location = /scope  { cred_access apinizer scope=other; rewrite ^ /file last; }
location = /fallback { try_files /none @fallback; }
location @fallback { cred_access off; return 200 fallback; }
location = /internal { internal; cred_access off; return 200 internal; }
location = /accel  {
    cred_access  off;
    proxy_pass   http://127.0.0.1:$TEST_NGINX_PORT/accelerated;
}
location = /accelerated {
    cred_access  off;
    add_header   X-Accel-Redirect /file;
    empty_gif;
}
location /except   {
    limit_except GET { deny all; }
    proxy_pass   http://127.0.0.1:$TEST_NGINX_UPSTREAM;
}
location = /if     {
    if ($arg_a) { add_header X-If yes; }
    proxy_pass   http://127.0.0.1:$TEST_NGINX_UPSTREAM;
}
location = /return { return 200 "as with auth_basic, before any check"; }
location = /both   {
    cred_access  apinizer key=$http_x_api_key;
    cred_delete  apinizer;
    try_files    /file =404;
}
location /apiops/  {
    cred_access  apinizer key=$http_x_api_key;
    cred_delete  apinizer;
}
location /nested/  {
    cred_access  off;
    location = /nested/1 { cred_access apinizer; try_files /file =404; }
    location = /nested/2 { try_files /file =404; }
}
--- script
my @table = (
    # method, path, status with KEY, with another one, without
    [qw(GET /file 200 401 401)], [qw(HEAD /file 200 401 401)],
    [qw(POST /file 405 401 401)], [qw(OPTIONS /file 405 401 401)],
    [qw(PATCH /file 405 401 401)], [qw(GET /none 404 401 401)],
    [qw(GET /dir/ 200 401 401)], [qw(GET /dir/none 404 401 401)],
    [qw(GET /try 200 401 401)], [qw(GET /open 200 200 200)],
    [qw(GET /rewritten 200 401 401)], [qw(GET /scope 200 401 401)],
    [qw(GET /fallback 200 401 401)], [qw(GET /internal 404 404 404)],
    [qw(GET /accel 200 401 401)], [qw(GET /except 200 401 401)],
    [qw(HEAD /except 200 401 401)], [qw(POST /except 403 403 403)],
    [qw(DELETE /except 403 403 403)], [qw(GET /if 200 401 401)],
    [qw(GET /if?a=1 200 401 401)], [qw(GET /return 200 200 200)],
    [qw(GET /both 200 401 401)], [qw(GET /nested/1 200 401 401)],
    [qw(GET /nested/2 200 200 200)],
    [qw(GET /%66ile 200 401 401)], [qw(GET /./dir/../file 200 401 401)],
    [qw(GET //file 200 401 401)],
);

for (@table) {
    my ($method, $path, @wanted) = @$_;
    my @got = map {
        gate(undef, method => $method, path => $path,
             headers => $_ ? ["X-API-Key: $_"] : [])->{status};
    } 'KEY', 'none', undef;
    is("@got", "@wanted", "$method $path");
}

# a delete that needs a key, too

is(del('api-user')->{status}, 401, 'no key');
is(del('api-user', headers => ['X-API-Key: none'])->{status}, 401, 'another one');
answer_is(del('api-user', headers => ['X-API-Key: KEY']), 'with a key', everywhere());
is(del('api-user', headers => ['X-API-Key: KEY'])->{status}, 401, 'it is gone');



=== TEST 6: limits
--- http_config
cred_registry     $TEST_NGINX_REGISTRY;
cred_environment  $TEST_NGINX_PRODUCTION;
cred_access_lease 1h;
cred_connect_timeout 60s;
cred_command_timeout 60s;
limit_req_zone    $binary_remote_addr zone=few:1m rate=1r/m;
limit_req_zone    $binary_remote_addr zone=slow:1m rate=100r/s;
limit_conn_zone   $server_name zone=conn:1m;
--- config
location = /few  { limit_req zone=few burst=1 nodelay; cred_access apinizer; empty_gif; }
location = /slow { limit_req zone=slow burst=100; cred_access apinizer; empty_gif; }
location = /one  { limit_conn conn 1; cred_access apinizer; empty_gif; }
location = /delay { auth_delay 100ms; cred_access apinizer; empty_gif; }
--- script
is(join(' ', map { gate('KEY', path => '/few')->{status} } 1 .. 4), '200 200 503 503',
   'those that are too many');
is(gate(undef, path => '/few')->{headers}{'retry-after'}, undef, 'are not ours');

my $monitor = monitor('production');
my @socks = map { http_open() } 1 .. 20;
print { $socks[$_] } raw('/slow', $_ % 2 ? 'KEY' : 'none') for 0 .. $#socks;
is(http_parse(http_read($socks[$_]))->{status}, $_ % 2 ? 200 : 401, "slowed down $_")
    for 0 .. $#socks;

is(gate('none', path => '/delay')->{status}, 401, 'refused after a while');
is(gate('KEY', path => '/delay')->{status}, 200, 'not refused');

redis_pause('production');
my ($one, $two) = map { http_open() } 1, 2;
print $one raw('/one', 'some');
ok(accepted(), 'one waits');
print $two raw('/one', 'other');
is(http_parse(http_read($two))->{status}, 503, 'another one may not');
redis_resume('production');
is(http_parse(http_read($one))->{status}, 401, 'the one is answered');



=== TEST 7: clients that are gone while their keys are looked up
--- config
listen  $TEST_NGINX_H2_PORT http2;
location = /page { cred_access apinizer; empty_gif; }
--- http_config
cred_registry         $TEST_NGINX_REGISTRY;
cred_environment      $TEST_NGINX_PRODUCTION;
cred_access_lease     1h;
cred_connect_timeout  60s;
cred_command_timeout  60s;
log_format  short  '$status';
access_log  $TEST_NGINX_DIR/gone.log short;
--- script
my ($worker) = nginx_workers();
my $gone = sub { scalar(() = slurp(temp_dir() . '/gone.log') =~ /^499$/mg) };

redis_pause('production');
my @socks = map { http_open() } 0 .. 59;
print { $socks[$_] } raw('/page', $_ % 3 ? 'KEY' : "none$_") for 0 .. $#socks;
ok(accepted(), 'under way');
close $socks[$_] for grep { $_ % 2 } 0 .. $#socks;
ok(wait_for(sub { $gone->() == 30 }), 'half of them is gone');
redis_resume('production');
is(http_parse(http_read($socks[$_]))->{status}, $_ % 3 ? 200 : 401, "number $_")
    for grep { $_ % 2 == 0 } 0 .. $#socks;

# all who asked

redis_pause('production');
@socks = map { http_open() } 1 .. 10;
print { $socks[$_] } raw('/page', "all$_") for 0 .. 9;
ok(accepted(), 'under way');
close $_ for @socks;
ok(wait_for(sub { $gone->() == 40 }), 'all of them are gone');
redis_resume('production');
is(gate("all$_")->{status}, 401, 'others go on') for 0 .. 9;

# those who send a request more, and those who close their half

redis_pause('production');
my ($one, $two, $three) = map { http_open() } 1 .. 3;
print $one raw('/page', 'first'), raw('/page', 'second');
print $two raw('/page', 'third');
ok(accepted(), 'under way');
shutdown $two, 1;
ok(wait_for(sub { $gone->() == 41 }), 'half a connection is none');
redis_resume('production');
is(http_parse(http_read($one))->{status}, 401, 'pipelined') for 1, 2;

# HTTP/2: streams that are reset, and a connection that is closed

redis_pause('production');
my $url = "http://127.0.0.1:$ENV{TEST_NGINX_H2_PORT}/page";
my $urls = join ' ', map { "'$url?$_'" } 1 .. 20;
system("nghttp -t1 -H'X-API-Key: h2' $urls > /dev/null 2>&1");
ok(wait_for(sub { $gone->() == 61 }), 'HTTP/2: all of them are gone');
redis_resume('production');
my $text = `nghttp -v -H'X-API-Key: KEY' $urls 2>&1`;
is(scalar(() = $text =~ /:status: 200/g), 20, 'HTTP/2: others pass');
$text = `nghttp -v -H'X-API-Key: h2' $urls 2>&1`;
is(scalar(() = $text =~ /:status: 401/g), 20, 'HTTP/2: or do not');

redis_pause('production');
my $pid = CredTest::Process::spawn('client', 'nghttp', 'nghttp', '-v', '-t30',
    '-HX-API-Key: h2-new', map { "$url?$_" } 1 .. 20);
ok(wait_for(sub { slurp(temp_dir() . '/nghttp.log') =~ /stream_id=\w+> END_STREAM|send HEADERS/ }) && accepted($ENV{TEST_NGINX_H2_PORT}),
   'HTTP/2: under way');
redis_resume('production');
ok(wait_for(sub { 20 == (() = slurp(temp_dir() . '/nghttp.log') =~ /:status: 401/g) }),
   'HTTP/2: streams that wait are answered');
is((nginx_workers())[0], $worker, 'the same worker');



=== TEST 8: pipelined requests, and a connection that is kept
--- http_config
cred_registry       $TEST_NGINX_REGISTRY;
cred_environment    $TEST_NGINX_PRODUCTION;
cred_access_lease   1h;
cred_access_valid   0 missing=0;
keepalive_requests  1000;
--- script
ok(leased(), 'there is a lease');
my $sock = http_open();
print $sock map { raw('/page', $_ % 3 ? 'KEY' : "none$_") } 1 .. 200;
is(join(' ', map { http_parse(http_read($sock))->{status} } 1 .. 200),
   join(' ', map { $_ % 3 ? 200 : 401 } 1 .. 200), 'each in its turn');
answer_is(del('api-user'), 'deleted', everywhere());
print $sock raw('/page', 'KEY');
is(http_parse(http_read($sock))->{status}, 401, 'refused on the same connection');



=== TEST 9: bodies, while the key is looked up
--- before
upstream();
--- http_config
cred_registry         $TEST_NGINX_REGISTRY;
cred_environment      $TEST_NGINX_PRODUCTION;
cred_access_lease     1h;
cred_access_valid     0 missing=0;
cred_command_timeout  60s;
client_max_body_size  10m;
--- config
listen  $TEST_NGINX_H2_PORT http2;
cred_access  apinizer;

location = /buffered   { proxy_pass http://127.0.0.1:$TEST_NGINX_UPSTREAM; }
location = /unbuffered {
    proxy_pass               http://127.0.0.1:$TEST_NGINX_UPSTREAM;
    proxy_http_version       1.1;
    proxy_request_buffering  off;
}
location = /small { client_max_body_size 10; proxy_pass http://127.0.0.1:$TEST_NGINX_UPSTREAM; }
--- script
my %bodies = (
    none  => '', small => 'hello', page => 'x' x 4096,
    large => join('', map { sha256($_) } 1 .. 20000),
    huge  => 'y' x 5_000_000,
);

my $send = sub {
    my ($sock, $bytes) = @_;
    while (length $bytes) {
        my $n = syswrite $sock, $bytes or die "send: $!";
        substr $bytes, 0, $n, '';
    }
};

my $chunks = sub {
    my ($body) = @_;
    return join '', map({ sprintf "%x\r\n%s\r\n", length, $_ } $body =~ /.{1,60000}/gs),
                    "0\r\n\r\n";
};

for my $path (qw(/buffered /unbuffered)) {
    for my $name (sort keys %bodies) {
        for my $how (qw(length chunked later)) {
            my $body = $bodies{$name};
            my $head = "POST $path HTTP/1.1\r\nHost: a\r\nX-API-Key: KEY\r\n"
                       . "Connection: close\r\n"
                       . ($how eq 'chunked' ? "Transfer-Encoding: chunked\r\n\r\n"
                          : 'Content-Length: ' . length($body) . "\r\n\r\n");
            my $bytes = $how eq 'chunked' ? $chunks->($body) : $body;

            redis_pause('production');
            my $sock = http_open();
            my $pid = fork // die;

            if ($pid == 0) {
                $send->($sock, $head);
                $send->($sock, substr $bytes, 0, length($bytes) / 2, '')
                    if $how eq 'later';
                Time::HiRes::sleep(0.05) if $how eq 'later';
                $send->($sock, $bytes);
                POSIX::_exit(0);
            }

            # the lookup waits when something has been read

            Time::HiRes::sleep(0.02);
            redis_resume('production');
            my $got = http_parse(http_read($sock));
            waitpid $pid, 0;
            is("$got->{status} $got->{body}",
               '200 POST ' . length($body) . ' ' . sha256($body),
               "$path: $name, $how");
        }
    }
}

# refused: the connection is still good for another request

for my $name (qw(small page large)) {
    my $body = $bodies{$name};
    redis_pause('production');
    my $sock = http_open();
    print $sock "POST /buffered HTTP/1.1\r\nHost: a\r\nX-API-Key: none\r\n"
                . 'Content-Length: ' . length($body) . "\r\n\r\n$body";
    redis_resume('production');
    is(http_parse(http_read($sock))->{status}, 401, "$name: refused");
    print $sock raw('/buffered', 'KEY');
    like(http_parse(http_read($sock))->{body}, qr/^GET 0 /, "$name: the next one passes");
}

# "Expect: 100-continue"

my $sock = http_open();
print $sock "POST /buffered HTTP/1.1\r\nHost: a\r\nX-API-Key: KEY\r\n"
            . "Expect: 100-continue\r\nContent-Length: 5\r\n\r\n";
like(http_read($sock), qr/^HTTP\S+ 100/, 'go on');
print $sock 'hello';
like(http_parse(http_read($sock))->{body}, qr/^POST 5 /, 'expected');
$sock = http_open();
print $sock "POST /buffered HTTP/1.1\r\nHost: a\r\nX-API-Key: none\r\n"
            . "Expect: 100-continue\r\nContent-Length: 5\r\n\r\n";
like(http_read($sock), qr/^HTTP\S+ (?:100|401)/, 'not expected');

# HTTP/2

my $file = temp_dir() . '/body';
open my $out, '>', $file;
print $out $bodies{large};
close $out;

for my $path (qw(/buffered /unbuffered)) {
    redis_pause('production');
    my $pid = fork // die;
    if ($pid == 0) {
        Time::HiRes::sleep(0.2);
        redis_resume('production');
        POSIX::_exit(0);
    }
    my $got = curl('--http2-prior-knowledge', '-H', 'X-API-Key: KEY',
                   '--data-binary', "\@$file",
                   "http://127.0.0.1:$ENV{TEST_NGINX_H2_PORT}$path");
    waitpid $pid, 0;
    like($got->{body}, qr/^POST @{[ length $bodies{large} ]} \Q${\ sha256($bodies{large})}/,
         "HTTP/2: $path");
}



=== TEST 10: what was upgraded before the delete stays open
--- before
upstream();
--- config
location /apiops/ { cred_delete apinizer; }
location = /echo {
    cred_access         apinizer;
    proxy_pass          http://127.0.0.1:$TEST_NGINX_UPSTREAM;
    proxy_http_version  1.1;
    proxy_set_header    Upgrade $http_upgrade;
    proxy_set_header    Connection upgrade;
}
--- script
ok(leased(), 'there is a lease');
my $upgrade = sub {
    my $sock = http_open();
    print $sock raw('/echo', 'KEY', 'Upgrade: echo', 'Connection: upgrade');
    return ($sock, http_read($sock));
};

my ($sock, $text) = $upgrade->();
like($text, qr/^HTTP\S+ 101/, 'upgraded');
print $sock "one\n";
is(read_line($sock), "one\n", 'goes through');
answer_is(del('api-user'), 'deleted', everywhere());
print $sock "two\n";
is(read_line($sock), "two\n", 'goes on');
my (undef, $refused) = $upgrade->();
like($refused, qr/^HTTP\S+ 401/, 'another one does not begin');

