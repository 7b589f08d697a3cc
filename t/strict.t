# Paths which are no delete route to nginx, but are one to a backend behind it.

use CredTest;
use CredTest::Backend;
use List::Util ();

my $uuid = '7f3c1c0e-3c1b-4a51-9d0e-0b0f8f2f6a11';

our %Route = (
    apinizer     => '/apiops/projects/P/credentials/u',
    iam          => '/v3.0/OS-CREDENTIAL/credentials/AK',
    deepset      => "/api/v1/infrastructure/file_stores/$uuid",
    thousandeyes => '/v6/credentials/7/delete',
    alloy        => '/users/7/credentials/8',
);

our %Gone = (
    apinizer     => [400, qr/"Credential \(username: .*\) was not found!"/s],
    iam          => [404, qr/"Could not find credential: /],
    deepset      => [404, qr/We couldn't find the specified S3 bucket cred/],
    thousandeyes => [404, qr/^\{"errorMessage":"Credential not found"\}$/],
    alloy        => [404, qr/"message":"Credential not found"/],
);

our @Scope = (404, qr/Project\(.*\) was not found|"User not found"/s);

sub apis { sort keys %Route }
sub method { $_[0] eq 'thousandeyes' ? 'POST' : 'DELETE' }

# for each of them

sub everywhere_spelled {
    my ($api) = @_;
    my $route = $Route{$api};
    my @segments = split m{/}, substr $route, 1;
    my ($first, @rest) = @segments;

    my $at = sub {
        my ($n, $text) = @_;
        my @all = @segments;
        $all[$n] = $text->($all[$n]);
        return join '/', '', @all;
    };

    my $twice = sub { $_[0] =~ s/(.)/sprintf '%%25%02X', ord $1/er };
    my $thrice = sub { $_[0] =~ s/(.)/sprintf '%%2525%02X', ord $1/er };
    my $tail = join '/', @rest;

    return (
        # an encoded slash
        "/$first%2F$tail", "/$first%2f$tail", "/$first/%2F$tail",
        '/' . join('%2F', @segments), "/%2F$first/$tail",
        "/$first%252F$tail", "/$first%25252f$tail", "/$first/./%2f$tail",
        # decoded twice
        $at->(0, $twice), $at->(0, $thrice), $at->(-2, $twice),
        "$route/%2e%252e%2f$segments[-1]",
        # parameters
        $at->(0, sub { "$_[0];v=1" }), $at->(0, sub { "$_[0];a;b=c" }),
        $at->(-2, sub { "$_[0];x" }), $at->(0, sub { "$_[0]%3Bx" }),
        "$route/;x", "/;x$route", "/x/..;$route", "/x/..;y=1$route",
        "/x/%2e%2e;$route", $at->(0, sub { "$_[0]%253Bx=1" }),
        # dot segments that only decoding makes
        "/x/..%2F$first/$tail", "/x%2F..$route", "/x%2f%2e%2e$route",
        "/x/%252e%252e$route", "/x%2F.%2F..$route", "/%2e%2F$first/$tail",
        "/$first%2F.%2F$tail",
        # backslashes
        "/$first\\$tail", "\\" eq "/" ? () : "/$first%5C$tail",
        "/$first%255c$tail", "/x\\..$route", "/x%5C..%5C$first/$tail",
        # letters of another case
        uc($route) ne $route && $api ne 'deepset'
            ? $at->(0, sub { ucfirst uc $_[0] }) : "/API/v1/infrastructure/"
              . "file_stores/$uuid",
        $at->(-2, sub { $_[0] =~ /[a-z]/ ? ucfirst lc $_[0] : "$_[0]%2F" }),
        # several at once
        "/X/..;/" . uc($first) . "%2F$tail", "/$first;a%2F$tail",
        "/%2525" . sprintf('%02X', ord $first) . substr($first, 1)
            . "%252F$tail",
        "/$first;%2F..\\/.\\$tail",
    );
}

our %Spelled = (
    apinizer => [
        '/apiops/projects/P/credentials/u%2Fx',
        '/apiops/projects/P/credentials/u%2F',
        '/apiops/projects/P%2FQ/credentials/u',
        '/APIOPS/Projects/P/CREDENTIALS/u/',
        '/apiops/projects/P%5cQ%2fR/credentials/u',
        '/apiops/projects/P/Credentials/u%3Fx',
        '/apiops/projects/P/credentials/..',
        '/apiops/projects/../credentials/u',
        '/apiops/projects/./credentials/u/',
        '/apiops/projects/P#/credentials/u',
        '/apiops/projects/P/credentials/u%3Fa/b',
        '/apiops/projects/P/x//../../credentials/%75%2f',
        '/apiops/projects/P//../credentials/u',
    ],
    iam => [
        '/V3.0/os-credential/Credentials/AK',
        '/v3.0/OS-CREDENTIAL/credentials/AK%2F',
        '/v3.0/os-credential/credentials/AK/',
        '/v3.0/OS-CREDENTIAL/credentials/A%2FK',
    ],
    deepset => [
        "$Route{deepset}/", "$Route{deepset}%2F", "$Route{deepset}//",
        "/api/V1/Infrastructure/File_Stores/$uuid/",
        '/api/v1/infrastructure/file_stores/' . ($uuid =~ s/^7/%2537/r) . '/',
        "/api/v1/infrastructure/file_stores/$uuid;v=1/",
    ],
    thousandeyes => [
        (map { ("/credentials/$_/delete", "/v6/credentials/$_/delete.json") }
         '07', '+7', '%207', '7%20', '7.0', '7e0', '0x7', '7abc', '%2B7',
         '%09007', '0007', '%C2%A07', '%D9%A7', '%EF%BC%97', '%0B7', '1_0',
         '7_0'),
        '/v6/credentials/0b111/delete', '/v6/credentials/0o7/delete',
        '/v6/credentials/7,0/delete', '/credentials/7-foo/delete',
        '/credentials/7/delete.xml', '/v6/credentials/7/delete.JSON',
        '/credentials/7/delete;a', '/credentials/7/delete.json;a',
        '/v6/credentials/7/Delete', '/V6/CREDENTIALS/7/DELETE.JSON/',
        '/credentials%2F7%2Fdelete', '/credentials/7/delete%2Ejson%2F',
        '/v6/credentials/7%2Fdelete.json', '/v6/credentials/%2537/delete',
        '/credentials/7;x/delete', '/credentials/%2B%2537/delete',
        '/credentials/.7e1/delete',
    ],
    alloy => [
        '/Users/7/Credentials/8', '/users/7/credentials/8%2F9',
        '/users/7%2F8/credentials/9', '/users/a\\b/credentials/x%2Fy',
        '/users/7/credentials/../', '/users/../credentials/8',
        '/users/7/credentials/%2e%2e', '/users/7/credentials/%2e%2e%2f8',
        '/users/7//../credentials/8', '/users/7#/credentials/8',
    ],
);

sub spellings {
    my ($api) = @_;
    return List::Util::uniq(everywhere_spelled($api), @{ $Spelled{$api} });
}

sub servers {
    return join '', map {
        my $kind = $_;
        map { my ($name, $text) = @$_; <<"END" }
server {
    listen       \$TEST_NGINX_PORT;
    server_name  $kind-$name;
    cred_delete  apinizer iam deepset thousandeyes alloy;
    $text

    location / { proxy_pass http://127.0.0.1:\$TEST_NGINX_@{[uc $kind]}; }
}
END
            ['on', ''], ['off', 'cred_strict off;'],
            ['unmerged', 'merge_slashes off;'];
    } backend_kinds();
}

sub ask {
    my ($host, $method, $target, $token, $body) = @_;
    $body //= '';
    my $basic = $token eq 'TOKEN' ? 'Bearer' : 'bearer';
    return http_parse(http("$method $target HTTP/1.1\r\nHost: $host\r\n"
                           . "Connection: close\r\n"
                           . "Authorization: $basic $token\r\n"
                           . "X-Auth-Token: $token\r\n"
                           . "x-api-version: 2025-09\r\n"
                           . 'Content-Length: ' . length($body)
                           . "\r\n\r\n$body"));
}

sub entries { redis('registry', 'XLEN', '{cred}:audit' . ($_[0] // '')) }

# refused, whatever the token, and audited; returns why not

sub let_past {
    my ($host, $api, $target) = @_;
    my $method = method($api);

    my ($valid, $invalid) = (entries(), entries(':unauthorized'));
    my $got = ask($host, $method, $target, 'TOKEN');
    return "reached the backend: $got->{body}" if $got->{headers}{'x-backend'};

    my $right = grep { $got->{status} == $_->[0] && $got->{body} =~ $_->[1] }
                $Gone{$api}, \@Scope;
    return "answered $got->{text}" unless $right;
    return 'is not audited' unless entries() == $valid + 1;

    $got = ask($host, $method, $target, 'nobody');
    return "with a bad token: $got->{text}" unless $got->{status} == 401;
    return 'a bad token is not audited'
        unless entries(':unauthorized') == $invalid + 1;
    return '';
}

sub executes {
    my ($got) = @_;
    return $got->{headers}{'x-backend'} && $got->{body} =~ /^DELETED /m;
}

my $registry = join '', map { <<"END" } apis();
HSET {cred}:$_:token:sha256(TOKEN) subject alice scope P
END

$registry .= join '', map { my $api = $_; map { <<"END" } 'P', '7' } apis();
HSET {cred}:$api:scope:$_ rate_limit 100000
HSET {cred}:$api:members:$_ alice manage
END

defaults(http_config => "cred_registry \$TEST_NGINX_REGISTRY;\n" . servers(),
         config => '', registry => $registry);

sub start {
    $ENV{'TEST_NGINX_' . uc $_} = delete_backend($_) for backend_kinds();
}

no_root_location();
run_tests();


__DATA__

=== TEST 1: what a backend would execute does not reach it
--- before: start()
--- script
my $n = 0;

for my $api (apis()) {
    for my $target (spellings($api)) {
        my ($executed, @fault);

        for my $kind (backend_kinds()) {
            my $got = ask("$kind-off", method($api), $target, 'TOKEN');
            $executed ||= executes($got);
            my $fault = let_past("$kind-on", $api, $target);
            push @fault, "$kind: $fault" if $fault;
        }

        ok($executed, "executed without: $target");
        is("@fault", '', "$api: $target");
        $n++;
    }
}

cmp_ok($n, '>=', 100, "at least a hundred spellings: $n");



=== TEST 2: the same where slashes are not merged
--- before: start()
--- script
for my $api (apis()) {
    my $route = $::Route{$api};
    for my $target (spellings($api), "/$route", $route =~ s{/}{//}gr,
                    $route =~ s{/(\w+)$}{//$1}r, "/.//$route", "$route//")
    {
        is(let_past('servlet-unmerged', $api, $target), '', $target);
    }
}



=== TEST 3: whatever is combined
--- before: start()
--- script
# what some backend executes, of combinations drawn by fixed numbers

my $seed = 1;
my $draw = sub { $seed = ($seed * 69069 + 1) % 2**32;
                 return ($seed >> 12) % $_[0] };
my @chars = ('%2F', '%252f', '/', '//', '\\', '%5C', '/./', '/x/../', '/x/..;/',
             '%2F.%2f', '/%2e/', ';a/', '/;b/', '/%2e%2e/', '%25252F',
             '/..%2f');
my ($n, @past) = 0;

for (1 .. 1000) {
    my $api = (apis())[$draw->(5)];
    my @segments = split m{/}, substr $::Route{$api}, 1;
    my @slashes = map { '/' } @segments;

    for (0 .. $draw->(4)) {
        my $i = $draw->(scalar @segments);
        my $how = $draw->(8);

        if ($how < 4) {
            $slashes[$i] = $chars[$draw->(scalar @chars)];
        } elsif ($how == 4) {
            $segments[$i] .= (';p=1', '%3bp')[$draw->(2)];
        } elsif ($how == 5) {
            $segments[$i] = uc $segments[$i];
        } else {
            my $encode = ('%%%02x', '%%25%02X')[$how - 6];
            $segments[$i] =~ s/(\w)$/sprintf $encode, ord $1/e;
        }
    }

    my $target = join '', map { ($slashes[$_], $segments[$_]) } 0 .. $#segments;
    $target = "/$target" unless $target =~ m{^/};
    my $method = method($api);

    for my $kind (backend_kinds()) {
        next unless backend_deletes($kind, $method, $target);
        $n++;
        my $got = ask("$kind-on", $method, $target, 'nobody');
        push @past, "$kind: $target: $got->{status}"
            unless $got->{status} == 401 || $got->{body} =~ /<title>400 Bad/;
    }
}

cmp_ok($n, '>=', 200, "executed: $n");
is(join("\n", @past), '', 'none of them gets past');



=== TEST 4: everything else reaches the backend as it is
--- before: start()
--- script
my $uuid = $::Route{deepset} =~ s{.*/}{}r;

my @others = (
    (map { my $path = $_; map { [$_, $path] } qw(GET PUT PATCH) }
     map { spellings($_) } apis()),
    (map { [DELETE => $_] } spellings('thousandeyes')),
    (map { [POST => $_] } map { spellings($_) } qw(iam alloy apinizer)),
    (map { [DELETE => $_] }
     '/users/7/credentials', '/users/7/credentials/', '/users/7',
     '/users/7/Credentials', '/users/7/credentials/8/keys/1', '/users/%2F',
     '/users/7/credential/8', '/user/7/credentials/8', '/users%2F7',
     '/users;a/7/credentials', '/users%2f7%2fcredentials', '/users/7%252F8',
     '/apiops/projects/p/credentials/u/keys/1', '/apiops/projects/p',
     '/apiops/projects/p/credentials/u%2Fx/keys/a%2Fb',
     '/apiops/projects/p/credentials', '/apiops/projects/p/credentials;v=1/',
     '/v3.0/OS-CREDENTIAL/credentials', '/v3.0/OS-USER/users/AK%2F',
     '/v3/OS-CREDENTIAL/credentials/AK', '/v3.0%2FOS-CREDENTIAL%2Fcredentials',
     "/api/v2/infrastructure/file_stores/$uuid", '/api/v1/infrastructure/',
     '/api/v1/infrastructure/file_stores/',
     '/api/v1/infrastructure/file_stores',
     "/api/v1/infrastructure/file_stores/$uuid/files/x%2Fy",
     '/files/%00ff' =~ s/%00/%FF/r, "/\xff\xfe", '/a%20b', '/a;b', '/a%3Bb',
     '/%25', '/%2525%2525', '/a\\b', '/.well-known/x', '/..a', '/a/%2e%2ea',
     '/' . '%25' x 700, '/' . 'a%2F' x 700, '/', '/x?/users/7/credentials/8',
     '/x?a=%2Fusers%2F7%2Fcredentials%2F8;%25'),
    (map { [POST => $_] }
     '/credentials/new/delete', '/credentials/delete', '/credentials/7',
     '/credentials/7/deleted', '/credentials/7/delete/now',
     '/credentials/7/run',
     '/v7/credentials/7/delete', '/v6/credentials/seven/delete',
     '/v6/credentials/x7/delete.json', '/v6/credentials/new%2Fdelete',
     '/v6/credential/7/delete', '/credentials/7/undelete', '/search;delete'),
);

for my $strict (qw(on off)) {
    my @wrong;

    for (@others) {
        my ($method, $target) = @$_;
        my $got = ask("plain-$strict", $method, $target, 'TOKEN', 'body');
        push @wrong, "$method $target: $got->{status} $got->{body}"
            unless $got->{body} =~ /^plain: \Q$method $target\E body$/m
                   && $got->{headers}{'x-backend'};
    }

    is(join("\n", @wrong), '', scalar(@others) . " others, strict $strict");
}

is(redis('registry', 'EXISTS', '{cred}:audit', '{cred}:audit:unauthorized'), 0,
   'nobody was asked');



=== TEST 5: routes are routes, spelled as nginx reads them
--- before: start()
--- script
my %other = (apinizer => 'apiops', iam => 'v3.0', deepset => 'api',
             thousandeyes => 'credentials', alloy => 'users');

for my $api (apis()) {
    my $route = $::Route{$api};
    my $id = $api eq 'deepset' ? $route =~ s{.*/}{}r
             : { apinizer => 'u', iam => 'AK', thousandeyes => 7, alloy => 8 }
               ->{$api};
    my $scope = $api eq 'alloy' ? 7 : 'P';
    my $first = substr $route, 1, 1;
    my $encoded = sprintf '/%%%02x', ord $first;

    for my $target ($route, "$route?a=%2F;b", $route =~ s{^/.}{$encoded}r,
                    $route =~ s{/}{//}gr, "/x/..$route", "/./$route")
    {
        for my $kind (backend_kinds()) {
            redis('registry', 'HSET', "{cred}:$api:credential:$scope:$id",
                  'owner', 'alice');
            my $got = ask("$kind-on", method($api), $target, 'TOKEN');
            like($got->{status}, qr/^20[04]$/, "$kind: $target");
        }
    }
}



=== TEST 6: a body, a header that is missing, and a long path
--- before: start()
--- script
for ('a', '{"x":1}', 'x' x 5000) {
    my $got = ask('plain-on', 'POST', '/credentials/07/delete', 'TOKEN', $_);
    is($got->{status}, 404, 'not found, with a body of ' . length);
}

my $got = http_parse(http("DELETE /Users/7/credentials/8 HTTP/1.1\r\n"
    . "Host: plain-on\r\nAuthorization: Bearer TOKEN\r\n\r\n"));
is($got->{status}, 404, 'not found, without a version');
$got = http_parse(http("DELETE /Users/7/credentials/8 HTTP/1.1\r\n"
                       . "Host: plain-on\r\n\r\n"));
is($got->{status}, 401, 'no token');

my $long = '/' . '%2525' x 500 . 'a;b%2F\\..//%5c.%252F' x 100;
is(ask('plain-on', 'DELETE', $long, 'TOKEN')->{headers}{'x-backend'}, 'plain',
   'a long path');
$long = '/' . 'x%252F..;a%252f' x 300 . '/' . '%2525' x 200
        . '%2f..%2fusers;b/7/credentials/8';
is(ask('plain-on', 'DELETE', $long, 'TOKEN')->{status}, 404,
   'which leads to a route');
