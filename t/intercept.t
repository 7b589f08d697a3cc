
# What is intercepted, and that everything else goes on untouched.

use CredTest;
use CredTest::Delete;

$ENV{TEST_NGINX_BACKEND_PORT} = free_port();

# the backend notes what it gets, the body included

my $backend = <<'END';
log_format    backend  '$request_method $request_uri auth=$http_authorization '
                       'type=$http_content_type body=$request_body';

server {
    listen      127.0.0.1:$TEST_NGINX_BACKEND_PORT;
    access_log  $TEST_NGINX_DIR/backend.log  backend;

    location / {
        proxy_pass  http://127.0.0.1:$TEST_NGINX_BACKEND_PORT/nothing;
    }

    location /nothing {
        access_log  off;
        return      200  "backend\n";
    }
}

limit_req_zone  $server_name  zone=one:1m  rate=1r/m;

upstream backend {
    server  127.0.0.1:$TEST_NGINX_BACKEND_PORT;
}
END

defaults(sample($backend), config => <<'END');
location /apiops/ {
    cred_delete  apinizer;
    cred_strict  off;
    proxy_pass   http://backend;
}
END

sub backend_log { slurp(temp_dir() . '/backend.log') }

# what was deleted: usernames, as the audit has them
sub gone { join ' ', map { $_->{id} } grep { $_->{operation} } audit() }

run_tests();


__DATA__

=== TEST 1: other methods and paths reach the backend as they are
--- script
my $path = path();
my @headers = ('Authorization: Bearer TOKEN', 'Content-Type: a/b');
my $p = '/apiops/projects/MyProject';

my @table = (
    (map { [$_, $path] } qw(GET OPTIONS PUT PATCH POST PROPFIND)),
    (map { ['DELETE', $_] }
        "$p/credentials/", "$p/credentials", "$p/credentials/api-user/x",
        "$p/credentials/api-user/x/", "$p/", "/apiops/", "$p/api-user/",
        "$p/credential/api-user/", "$p/Credentials/api-user/",
        "/apiops/project/MyProject/credentials/api-user/",
        "/apiops/projects/credentials/api-user/",
        "/apiops/projects/My%2FProject/credentials/api-user/",
        "$p/credentials/api%2Fuser/", "$p/credentials/api-user%2F%2e%2e/",
        "$p/credentials/../api-user/", "$p/credentials/api-user/..",
        "/apiops/projects/MyProject/x/credentials/api-user/")
);

my @wanted;

for (@table) {
    my ($method, $uri) = @$_;
    my $body = "a=$method $uri";
    my $answer = call($method, $uri, \@headers, $body);
    is($answer->{body}, "backend\n", "$method $uri");
    ok(!exists $answer->{headers}{'cache-control'}, 'with its own headers');
    push @wanted, "$method $uri auth=Bearer TOKEN type=a/b body=$body\n";
}

my $head = http_parse(http("HEAD $path HTTP/1.0\r\n\r\n"));
is($head->{status}, 200, 'HEAD');
push @wanted, "HEAD $path auth=- type=- body=-\n";

is(backend_log(), join('', @wanted), 'what the backend has got');
is(gone(), '', 'nothing was deleted');

my $length = length backend_log();
answer_is(del('api-user'), 'DELETE', everywhere());
is(length(backend_log()), $length, 'does not reach it');
--- redis_check
XLEN {cred}:audit => 1
EXISTS {cred}:audit:unauthorized => 0



=== TEST 2: spellings of the same path
--- script
credential(['one', 'two', 'three', 'four']);
my $p = '/apiops/projects/MyProject/credentials';
answer_is(del(undef, path => $_), $_, everywhere())
    for '/apiops/projects/x/../MyProject/credentials/one/',
        '/apiops//projects/./MyProject/credentials/two',
        '/apiops/projects/%4dyProject/%63redentials/%74hree/',
        "http://localhost$p/four/";
answer_is(del(undef, path => "$p/api-user/?a=b#c"), 'arguments',
          everywhere());



=== TEST 3: where it is off, and where it is not mentioned
--- config
location /apiops/ {
    cred_delete  apinizer;
    proxy_pass   http://backend;

    location ~ /one {
        cred_delete  off;
        proxy_pass   http://backend;
    }

    location ~ /inherited {
        proxy_pass   http://backend;
    }
}

location ~ /two {
    proxy_pass   http://backend;
}
--- script
credential(['one', 'two', 'inherited']);
for my $username ('one', 'two') {
    is(del($username)->{body}, "backend\n", $username);
}
is(gone(), '', 'nothing was deleted');
answer_is(del('inherited'), 'inherited', everywhere());



=== TEST 4: another API, several APIs
--- config
location ~ /one   { cred_delete iam; proxy_pass http://backend; }
location ~ /two   { cred_delete iam deepset thousandeyes alloy apinizer;
                    proxy_pass http://backend; }
--- script
credential(['one', 'two']);
is(del('one')->{body}, "backend\n", 'another');
answer_is(del('two'), 'several', everywhere());



=== TEST 5: subrequests do not delete
--- config
cred_delete  apinizer;

location /mirrored/ {
    mirror      /apiops/projects/MyProject/credentials/one/;
    proxy_pass  http://backend;
}

location /asking/ {
    auth_request  /apiops/projects/MyProject/credentials/one/;
    proxy_pass    http://backend;
}

location /apiops/ {
    mirror      /apiops/projects/MyProject/credentials/one/;
    proxy_pass  http://backend;
}
--- script
credential(['one', 'two']);
is(del(undef, path => '/mirrored/')->{body}, "backend\n", 'mirror');
is(del(undef, path => '/asking/')->{body}, "backend\n", 'auth_request');
ok(wait_for(sub {
    2 <= grep { m{^(DELETE|GET) /apiops/.*/one/ } } split /\n/, backend_log();
}), 'both went to the backend');
is(gone(), '', 'nothing was deleted');
answer_is(del('two'), 'a request of a client', everywhere());
is(gone(), 'two', 'that one was, once');



=== TEST 6: who may not come this far deletes nothing
--- config
cred_delete  apinizer;

location ~ /denied    { deny all; }
location ~ /asked     { auth_request /forbidden; }
location ~ /except    { limit_except GET { deny all; } }
location ~ /large     { client_max_body_size 1; }
location ~ /satisfied { satisfy any; allow all; auth_request /forbidden; }
location ~ /allowed   { auth_request /welcome; }
location ~ /returned  { return 204; }
location = /forbidden { return 403; }
location = /welcome   { return 204; }
--- script
credential([qw(denied asked except large satisfied allowed returned)]);
is(del($_)->{status}, 403, $_) for qw(denied asked except);
is(del('large', body => 'xx')->{status}, 413, 'large');
is(del('returned')->{status}, 204, 'returned');
is(gone(), '', 'nothing was deleted');
answer_is(del($_), $_, everywhere())
    for qw(satisfied allowed large);
is(gone(), 'satisfied allowed large', 'each once');



=== TEST 7: internal redirects do not delete
--- config
cred_delete  apinizer;

location ~ /returned { error_page 503 = @name; return 503; }
location ~ /path     { error_page 503 = /apiops/projects/MyProject/credentials/x/;
                       return 503; }
location /apiops/    { error_page 400 401 403 404 503 = @name;
                       proxy_pass http://backend; }
location @name       { proxy_pass http://backend; }
--- script
credential(['returned', 'path', 'x', 'once']);
is(del('returned')->{body}, "backend\n", 'a named location');
is(del('path')->{body}, "backend\n", 'a path');
is(gone(), '', 'nothing was deleted');

answer_is(del('once'), 'a delete', everywhere());
is(gone(), 'once', 'once');
ok(settled(), 'settled');
answer_is(del('once'), 'answers are no errors: 400', failure(400, 'once'));
answer_is(del('x', token => 'x'), 'nor 401', failure(401));
redis_kill('registry');
answer_is(del('x'), 'nor 503', failure(503));
redis_start('registry');



=== TEST 8: rewrite, try_files and a limit
--- config
location /apiops/ {
    cred_delete  apinizer;
    try_files    $uri @backend;
}

location /v2/ {
    rewrite  ^/v2(/.*)  $1  last;
}

location /back/ {
    cred_delete  apinizer;
    rewrite      ^/back(/.*)  $1  break;
    proxy_pass   http://backend;
}

location ~ /limited {
    cred_delete  apinizer;
    limit_req    zone=one;
    error_page   503 = @backend;
}

location @backend {
    cred_delete  apinizer;
    proxy_pass   http://backend;
}
--- script
credential(['one', 'two', 'three', 'limited']);
answer_is(del('one'), 'try_files', everywhere());
is(call('GET', path('one'))->{body}, "backend\n", 'its last resort');
is(del('one', path => '/apiops/x')->{body}, "backend\n", 'for DELETE, too');

# nginx takes a rewritten request for an internal one
is(del('two', path => '/v2' . path('two'))->{body}, "backend\n", 'rewrite');
is(del('two', path => '/back' . path('three'))->{body}, "backend\n", 'break');

# the first one spends what the zone has
is(call('GET', path('limited'))->{status}, 404, 'within the limit');
is(del('limited')->{body}, "backend\n", 'over the limit');
is(gone(), 'one', 'nothing was deleted twice or by a redirect');
