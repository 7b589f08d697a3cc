# What nginx -t says of cred_connector, with file and line, and what becomes of
# its secrets.

use CredTest redis => ['registry'];
use CredTest::Certs;

my $dir = temp_dir();
my $file = "$dir/nginx.conf";

$ENV{ASAN_OPTIONS} .= ',detect_leaks=0';

our $key = 'whsec_' . 'c2VjcmV0' x 4;
our $other = 'whsec_' . 'c2VjcmV1' x 4;

sub secret {
    my ($name, $text, $mode) = @_;

    open my $out, '>', "$dir/$name" or die $!;
    print $out $text;
    close $out;
    chmod $mode // 0600, "$dir/$name";
}

secret('token', "S3cret\n");
secret('braces', "S3cret {nonsense} {id\n");
secret('crlf', "S3cret\r\nsecond line\r\n");
secret('whole', 'x' x 4096 . "\n");
secret('shown', "S3cret\n", 0644);
secret('empty', '');
secret('blank', "\r\n\nS3cret\n");
secret('long', 'x' x 4097);
secret('control', "S3cret\t\n");
secret('key', "$key\n");
secret('keys', "$key $other\n");
secret('word', "S3cret\n");

# lines of http, server and location stand in lines of their own: 10, 20 and 30

sub test {
    my ($http, $server, $location) = map { $_ // '' } @_[0 .. 2];

    open my $out, '>', $file or die $!;
    print $out <<"END", "\n" x (9 - 5), <<"END2";
load_module  $ENV{TEST_NGINX_LOAD_MODULES};
pid          $dir/test.pid;
events {}
http {
    access_log  off;
END
$http
@{[ "\n" x (7 - ($http =~ tr/\n//)) ]}    server {
        listen 127.0.0.1:$ENV{TEST_NGINX_PORT};
$server
@{[ "\n" x 7 ]}        location / {
            root /nowhere;
$location
        }
    }
}
END2
    close $out;

    my $text = `$ENV{TEST_NGINX_BINARY} -t -e $dir/error.log -p $dir -c $file 2>&1`;
    return ($?, $text);
}


sub refused {
    my ($line, $wanted, @conf) = @_;
    my ($status, $text) = test(@conf);
    my ($name) = grep { defined && length } @conf;

    local $Test::Builder::Level = $Test::Builder::Level + 1;

    isnt($status, 0, "refused: $name");
    like($text, qr/^nginx: \[emerg\] .*\Q$wanted\E.* (?:in )?\Q$file\E:$line$/m,
         'for the reason, with file and line');
    unlike($text, qr/S3cret|c2VjcmV/, 'without secrets');
}


sub accepted {
    my (@conf) = @_;
    my ($status, $text) = test(@conf);
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    my $name = join ' / ', grep { defined && length } @conf;
    is($status, 0, "accepted: $name") or diag($text);
    unlike($text, qr/\[(?:warn|error|alert)/, 'without a word');
}


# a connector whose lines begin in line 11; "conf" is in line 10 or 11

sub connector {
    my ($lines, $name) = @_;
    return 'cred_connector ' . ($name // 'x') . " {\n$lines\n}";
}

my $url = 'url http://127.0.0.1;';
my $request = "request DELETE '/a/{target}'; success 204;";
my $hook = 'webhook http://127.0.0.1/hook;';
my $secret = 'secret file=key;';

sub wrong { my ($line, $wanted, $lines) = @_; refused($line, $wanted, connector($lines)) }
sub right { accepted(connector($_[0])) }


# the block, its name, its place

right("$url $request");
right("$hook $secret");
accepted(connector("$url $request") . ' ' . connector("$hook $secret", 'y'));
accepted(connector("$url $request", $_)) for 'a', 'A.b-c_9', 'x' x 64, '.';

refused(10, "invalid connector name \"$_->[1]\"", connector("$url $request", $_->[0]))
    for ['""', ''], ['x' x 65, 'x' x 65], ['"a b"', 'a b'], ['a/b', 'a/b'],
        ['a:b', 'a:b'], ["'{id}'", '{id}'], ['ä', 'ä'];
refused(12, 'duplicate connector "x"',
        connector("$url $request") . ' ' . connector("$url $request"));

refused(10, 'directive "cred_connector" has no opening "{"', 'cred_connector x;');
refused(10, 'invalid number of arguments in "cred_connector"', 'cred_connector {}');
refused(10, 'invalid number of arguments in "cred_connector"', 'cred_connector x y {}');
refused($_->[0], '"cred_connector" directive is not allowed here', @$_[1 .. 3])
    for [20, undef, 'cred_connector x {}'],
        [30, undef, undef, 'cred_connector x {}'];

wrong(11, 'unknown directive "nonsense"', 'nonsense on;');
wrong(11, 'unknown directive "root"', 'root /;');
wrong(11, 'unknown directive "cred_prefix"', 'cred_prefix a;');
wrong(11, 'unknown directive "cred_ssl_nonsense"', 'cred_ssl_nonsense on;');
wrong(11, 'unexpected "{"', 'request DELETE /a/{id};');
wrong(11, 'unexpected "{"', "$url cred_connector y {}");

# lines of another file

secret('lines', "$url\n$request\n");
right('include lines;');
secret('lines', "$url\nnonsense;\n");
my ($status, $text) = test(connector('include lines;'));
isnt($status, 0, 'refused: a line of another file');
like($text, qr/\[emerg\] unknown directive "nonsense" in \Q$dir\E\/lines:2$/m, 'with its place');
wrong(11, 'invalid number of arguments in "include"', 'include;');


# what a block lacks, and has twice

wrong(10, 'connector "x": no "url"', '');
wrong(10, 'connector "x": no "url"', $request);
wrong(10, 'connector "x": no "request"', "$url success 204;");
wrong(10, 'connector "x": no "success"', "$url request DELETE /a; gone 404 a;");
wrong(10, 'connector "x": no "gone" for "verify", which has to say it',
      "$url $request verify GET /a;");
wrong(10, 'connector "x": no "gone" for "control"', "$url $request control GET /a;");
wrong(10, 'connector "x": no "gone" for "purge"', "$url $request purge DELETE /a;");
wrong(10, 'connector "x": no "verify" for "gone" without a text', "$url $request gone 404;");
wrong(10, 'connector "x": a 2xx without a text in "gone", as of what is there',
      "$url $request gone $_; verify GET /a;") for qw(200 2xx), '404 a; gone 404 201';
right("$url $request gone 404; verify GET /a;");
right("$url $request gone 404; gone 410 words;");
right("$url $request settle 5s;");
wrong(10, 'connector "x": no "secret" for "webhook"', $hook);
wrong(10, 'connector "x": no "webhook" for "secret"', "$url $request $secret");
wrong(10, 'connector "x": "preset" beside "webhook"', "$hook $secret preset kong;");
wrong(10, 'connector "x": "request" beside "webhook"', "$hook $secret $request");
wrong(11, '"webhook" directive excludes "url"', "$url $hook");
wrong(11, '"url" directive excludes "webhook"', "$hook $url");
wrong(11, "\"$_->[0]\" directive is duplicate", "$_->[1] $_->[1]")
    for ['url', $url], ['webhook', $hook], ['preset', 'preset kong;'],
        ['cred_ssl_name', 'cred_ssl_name a;'];
wrong(11, "invalid number of arguments in \"$_\" directive", "$_;")
    for qw(url webhook preset secret header cred_ssl_name cred_ssl_verify
           cred_ssl_protocols cred_ssl_conf_command);
wrong(11, "invalid number of arguments in \"$_\" directive", "$_ a b c;")
    for qw(url webhook preset secret header cred_ssl_name cred_ssl_verify
           cred_ssl_conf_command);
wrong(11, "invalid number of arguments in \"url\" directive",
      'url ' . join(' ', ('a') x 20) . ';');
wrong(11, "unknown preset \"$_\"", "preset $_;") for qw(Kong nonsense webhook webhook-internal);


# settings

for (['request', '/', 'GET /', 'get /', 'GET a', "GET ''", "GET '/{nonsense}'", "GET '/{id'",
      "GET '/{}'", "GET '/a b'", "GET '/a}'", "'{id}' /"],
     ['match', 'GET', 'GET /', 'get /', "GET '/{nonsense}'"],
     ['verify', 'GET', 'GET /', 'get /', "GET '/{nonsense}'"],
     ['control', 'GET', 'GET /', 'get /', "GET '/{nonsense}'"],
     ['purge', 'GET', undef, 'get /', "GET '/{nonsense}'"],
     ['header', 'a', undef, "'a b' c", "'{id}' c", "'' c", "Host '{id}'", 'content-length 1',
      'Transfer-Encoding chunked', 'traceparent a', "a '{nonsense}'", "a '{id'", "a ''",
      'b file=token; header B file=token'],
     ['body', "'{}' '{}'", "'{}'", "'{'", "'{\"a\":{id}}'", "'{\"a\":\"{nonsense}\"}'",
      "'{\"a\":\"{id\"}'"],
     map({ [$_, undef, undef, '99', '600', '2XX', 'x', '200 a b', "200 ''", '200 200',
            '200 a; $_ 200 a'] } qw(success gone superseded)),
     ['settle', '1s 2s', '1s', 'x', 'x', '-1', '61m', '1.5s', "''"],
     ['timeout', '1s 2s', '1s', 0, 'x', '-1', '61m', '1.5s', "''"],
     ['target', 'any hex', 'any', 'UUID', 'none', "''"])
{
    my ($name, $few, $twice, @wrong) = @$_;

    wrong(11, "\"$name\"", "$name;");
    wrong(11, 'invalid number of arguments in "' . $name . '"', "$name $few;") if defined $few;
    wrong(11, qq("$name" is duplicate), "$name $twice; $name $twice;") if $twice;
    wrong(12, "\"$name\"", "$url\n$name " . s/\$_/$name/r . ';') for @wrong;
}

# whose words are those of one

wrong(11, $_->[1], "$_->[0];")
    for ["request GET '/{nonsense}'", 'unknown placeholder "{nonsense}" in "request"'],
        ["header a '{nonsense}'", 'unknown placeholder "{nonsense}" in "header"'],
        ["body '{\"a\":{id}}'", 'placeholder "{id}" must be inside a JSON string in "body"'],
        ['purge GET /;' x 5, 'more than 4 in "purge"'],
        ['header TE file=token', 'not to be set: "TE" in "header"'],
        ['timeout 61m', 'not between 1ms and 1h: "61m" in "timeout"'];

right("$url $_")
    for "request DELETE '/{api}/{scope}/{id}/{revision}/{operation}/{environment}/{target}?a={id}'; success 200;",
        "request POST /; body '{\"id\":\"{id}\",\"revision\":{revision}}'; success 2xx;",
        map({ "$request $_" } "header X-Id 'a {id}'; header b c; header C file=token;",
            "success 200 202 'deleted'; success 4xx a; gone 404 '\"Not found\"'; gone 410;",
            "superseded 409 newer;", "match GET '/{target}';", "gone 404 a; verify GET '/{target}';",
            'gone 404 a;' . 'purge DELETE /cache;' x 4, 'settle 15s;', 'settle 0;', 'timeout 1ms;', 'timeout 1h;',
            map { "target $_;" } qw(any uuid hex));

# presets, and what must not be lost of them

right("$url preset $_;") for qw(kong apisix vault caddy cred);
right("$url control GET /tyk/keys/c0?hashed=1; preset tyk;");
right("preset kong; $url request DELETE '/consumers/{scope}/jwt/{target}'; verify GET /a;"
      . ' success 200; header Kong-Admin-Token file=token;');
wrong(10, "connector \"x\": preset \"$_->[0]\" $_->[1]", "$url preset $_->[0]; $_->[2]")
    for ['kong', 'needs "{target}" in "request"', "request DELETE '/consumers/{scope}/key-auth/{id}';"],
        ['kong', 'has "target uuid", and needs it', 'target any;'],
        ['apisix', 'needs "{target}" in "request"', 'request DELETE /apisix/admin/consumers/a/credentials/b;'],
        ['tyk', 'needs a "control": what says that it is gone is said of a lost database as well', ''],
        ['tyk', 'needs "hashed=" in "request"', "control GET /; request DELETE '/tyk/keys/{target}';"],
        ['vault', 'needs ""sync":true" in "body" of such a "request"',
         "request POST /v1/sys/leases/revoke; body '{\"lease_id\":\"{target}\"}';"],
        ['caddy', 'needs "{target}" in "request"', "request DELETE '/id/{id}';"];


# URLs

my %urls = (
    'neither "http://", "https://" nor "unix:"'
        => ['""', '127.0.0.1', 'ftp://a', 'http:/a', 'http:a', 'httpss://a',
            '/unix:/a', '"{scheme}://a"'],
    'no host' => ['http://', 'http:///a', 'https://:80', 'http://:80/a'],
    'invalid host' => ['http://[::1', 'http://[::1]80', 'http://unix:/a'],
    'invalid IPv6 address' => ['http://[::x]', 'http://[1]:80'],
    'invalid port' => ['http://a:', 'http://a:0', 'http://a:65536', 'http://a:x',
                       'http://a:-1', 'http://a:1:2', 'http://::1', 'https://a:/b'],
    'no user may be in it' => ['http://S3cret@a', 'http://:S3cret@a/',
                               'https://u:S3cret@a:80/b'],
    'no query may be in it' => ['http://a?b', 'http://a/b?', 'unix:/a:/b?c'],
    'no fragment may be in it' => ['http://a#b', 'http://a/#', 'unix:/a#b'],
    'no placeholder may be in it' => ['"http://{id}"', '"http://a/{id}/b"',
                                      '"http://a/}"', '"unix:/a/{id}"'],
    'white space, control or non-ASCII character'
        => ['"http://a b"', '"http://a/b c"', 'http://ä', 'http://a/ä', '"unix:/a b"'],
    'no "." or ".." may be in its path' => ['http://a/..', 'http://a/../b', 'http://a/b/./c',
                                     'http://a/.', 'unix:/a:/..', 'https://a/b/../'],
    'no absolute path of a unix socket' => ['unix:a', 'unix:/', 'unix:a:/b'],
    'no path in the unix domain socket' => ['unix:', 'unix::/a'],
    'too long path in the unix domain socket' => ['unix:/' . 'x' x 200],
    'no "/" before the path' => ['unix:/a:b'],
    'too long host' => ['http://' . 'x' x 256],
);

for my $reason (sort keys %urls) {
    wrong(11, "invalid URL: $reason", "url $_;") for @{ $urls{$reason} };
}

wrong(11, "invalid URL: $_->[0]", "webhook $_->[1];")
    for ['no "." or ".." may be in its path', 'http://a/../b?c'],
        ['no fragment may be in it', 'http://a/b?c#d'],
        ['no user may be in it', 'http://S3cret@a?b'];

right("url $_; $request")
    for 'http://127.0.0.1', 'HTTP://127.0.0.1/', 'http://127.0.0.1:8001/a/b/',
        'http://[::1]', 'http://[::1]:1/a', 'http://localhost:7000', 'unix:/a',
        'unix:/a:', 'unix:/a:/', 'UNIX:/a/b:/c/d', 'https://127.0.0.1:8444/a@b:c',
        'http://127.0.0.1//a', 'http://127.0.0.1/.a/..b/...', 'http://localhost/%7Ba';
right("webhook $_; $secret")
    for 'http://127.0.0.1', 'https://localhost/a/', 'unix:/a:/b', 'unix:/a:/b?c=../d',
        'http://127.0.0.1?a=b@c', 'http://[::1]/a?b=%7B';


# names

my $unknown = 'url http://no.such.host.invalid:81;';

wrong(10, 'host not found in the connector "x", and there is no "resolver" to ask '
          . 'for it later', "$unknown $request");
wrong(10, 'host not found in the connector "x", and there is no "resolver" to ask '
          . 'for it later', "webhook http://no.such.host.invalid; $secret");
refused(10, 'there is no "resolver" to ask for it later', connector("$unknown $request"),
        'resolver 127.0.0.1;');

for ($unknown . $request, "webhook http://no.such.host.invalid; $secret") {
    ($status, $text) = test(connector($_) . ' resolver 127.0.0.1;');
    is($status, 0, 'accepted: a name for later');
    like($text, qr/\[warn\] host not found in the connector "x", it will be resolved at each connect in \Q$file\E:10$/m,
         'but told');
    is(scalar(() = $text =~ /warn/g), 1, 'once');
}


# secrets

for my $line ('header a file=%s;', 'secret file=%s;') {
    my @lines = map { sprintf $line, $_ } qw(none empty blank long control);

    wrong(11, "open() \"$dir/none\" failed (2: No such file or directory)", $lines[0]);
    wrong(11, "empty first line in \"$dir/empty\"", $lines[1]);
    wrong(11, "empty first line in \"$dir/blank\"", $lines[2]);
    wrong(11, "too long first line in \"$dir/long\"", $lines[3]);
    wrong(11, "control character in the first line in \"$dir/control\"", $lines[4]);
    wrong(11, 'failed (21: Is a directory)', sprintf $line, $dir);
    wrong(11, 'failed (21: Is a directory)', sprintf $line, '');
}

right("$url $request header a file=$_;") for 'token', "$dir/token", 'braces', 'crlf', 'whole';
right("$url $request header a file=token; header b file=token;");
right("$hook secret file=$_;") for 'key', 'keys', 'key; secret file=key';

wrong(11, '"secret" directive has no "file=PATH"', "secret $_;") for $key, 'key', '""';
wrong(11, 'a secret must begin with "whsec_" in "secret"', 'secret file=word;');
wrong(11, 'there are more than 2 secrets in "secret"', 'secret file=key; secret file=keys;');

($status, $text) = test(connector("$url $request\nheader a file=shown;\nheader b file=shown;")
                        . ' ' . connector("$url $request header a file=shown;", 'y'));
is($status, 0, 'accepted: a secret for all to read');
like($text, qr/\[warn\] all users can read the secret in "\Q$dir\E\/shown" in \Q$file\E:12$/m,
     'with a warning');
is(scalar(() = $text =~ /warn/g), 1, 'once');


# TLS: with https alone, and what is not set here is as in http

certificate($_) for qw(client other);

my $c = pem('client.crt');
my $k = pem('client.key');
my $s = "url https://127.0.0.1; $request";

wrong(11, $_->[1], "$_->[0];")
    for ['cred_ssl_verify x', 'invalid value "x" in "cred_ssl_verify" directive'],
        ['cred_ssl_verify_depth -1', '"cred_ssl_verify_depth" directive invalid number'],
        ['cred_ssl_verify_depth 101', 'value must be between 0 and 100'],
        ['cred_ssl_protocols SSLv3', 'invalid value "SSLv3"'],
        ['cred_ssl_password_file none', 'failed (2: No such file or directory)'],
        ['cred_ssl_name a/b', '"cred_ssl_name" directive has an invalid name'];

for (['cred_ssl_trusted_certificate none;', '/none"'],
     ['cred_ssl_crl none;', '/none"'],
     ['cred_ssl_ciphers none;', 'SSL_CTX_set_cipher_list("none") failed'],
     ["cred_ssl_certificate $c; cred_ssl_certificate_key " . pem('other.key') . ';',
      'key values mismatch'],
     ["cred_ssl_certificate $c;",
      'no "cred_ssl_certificate_key" for "cred_ssl_certificate"'],
     ['cred_ssl_conf_command Nonsense x;', 'SSL_CONF_cmd("Nonsense", "x") failed'])
{
    my ($conf, $wanted) = @$_;

    wrong(11, $wanted, "$conf $s");
    wrong(12, $wanted, "$s\n$conf");
    right("$url $request $conf");
    refused(10, $wanted, $conf . ' ' . connector($s));
    refused(12, $wanted, connector($s) . " $conf");
    accepted($conf . ' ' . connector("$url $request"));
}

right("$s $_")
    for "cred_ssl_certificate $c; cred_ssl_certificate_key $k;",
        'cred_ssl_trusted_certificate ' . pem('ca.crt') . '; cred_ssl_crl '
        . pem('ca.crl') . '; cred_ssl_verify_depth 0;',
        'cred_ssl_protocols TLSv1.2 TLSv1.3; cred_ssl_ciphers HIGH;',
        'cred_ssl_name kong.example.com;', 'cred_ssl_conf_command Options -SessionTicket;';

# its own stand in place of those of http

accepted("cred_ssl_$_->[0]; " . connector("$s cred_ssl_$_->[1];"))
    for ['ciphers none', 'ciphers HIGH'],
        ['trusted_certificate none', 'trusted_certificate ' . pem('ca.crt')],
        ['crl none', 'verify_depth 1; cred_ssl_crl ' . pem('ca.crl')];

($status, $text) = test(connector("$s\ncred_ssl_verify off;"));
is($status, 0, 'accepted: cred_ssl_verify off;');
like($text, qr/\[warn\] .*"cred_ssl_verify off" trusts whoever .* in \Q$file\E:12$/m,
     'with a warning');


run_tests();


__DATA__

=== TEST 1: secrets are read at a reload, and wiped then
--- before
our $key;
secret('token', "Sup3rS3cretOne\n");
secret('key', "$key\n");
--- http_config
cred_connector x { url http://127.0.0.1; request DELETE '/{target}'; success 200;
                   header a file=$TEST_NGINX_DIR/token; }
cred_connector y { webhook http://127.0.0.1; secret file=$TEST_NGINX_DIR/key; }
--- config
location /x { return 204; }
--- script
our $other;

no warnings 'portable';

# whether a process has this somewhere; undef if we may not look

sub has {
    my ($pid, $text) = @_;

    open my $maps, '<', "/proc/$pid/maps" or return;
    open my $mem, '<:raw', "/proc/$pid/mem" or return;

    for (<$maps>) {
        my ($from, $to) = /^([0-9a-f]+)-([0-9a-f]+) rw/ or next;
        next if hex($to) - hex($from) > 100_000_000;
        sysseek($mem, hex($from), 0) or next;
        sysread($mem, my $bytes, hex($to) - hex($from));
        return 1 if defined $bytes && index($bytes, $text) >= 0;
    }

    return 0;
}

sub all_have {
    my ($text) = @_;
    return join ' ', map { has($_, $text) // 'unknown' } nginx_pid(), nginx_workers();
}

SKIP: {
    skip('nobody may look', 7) if all_have('x') =~ /unknown/;

    # the decoded key of a webhook as well

    is(all_have('Sup3rS3cretOne'), '1 1', 'it is there');
    is(all_have('secret' x 4), '1 1', 'and the key');

    secret('token', "Sup3rS3cretTwo\n");
    secret('key', "$other\n");

    my @old = nginx_workers();
    ok(nginx_reload(), 'reloaded');
    wait_for(sub { !grep { CredTest::HTTP::running($_) } @old });

    is(all_have('Sup3rS3cretTwo'), '1 1', 'another');
    is(all_have('secreu' x 4), '1 1', 'and the key');
    is(all_have('Sup3rS3cretOne'), '0 0', 'the first one is wiped');
    is(all_have('secret' x 4), '0 0', 'and the key');
}

# what cannot be read leaves all as it was

secret('token', "wrong\x01\n");
my $before = join ' ', nginx_workers();
nginx_signal('HUP');
ok(wait_for(sub { error_log_text() =~ /control character in the first line in/ }), 'told');
is(join(' ', nginx_workers()), $before, 'the same workers');
--- allow_log
control character in the first line



=== TEST 2: what is claimed lasts as long as the slowest connector
--- before
# an environment that never says a word

$::Silent = IO::Socket::INET->new(Listen => 5, LocalAddr => '127.0.0.1') or die $!;
redis('registry', 'HSET', '{cred}:environments', 'production',
      'redis://127.0.0.1:' . $::Silent->sockport);
--- registry
HSET {cred}:apinizer:token:sha256(secret) subject alice
HSET {cred}:apinizer:scope:p description orders
HSET {cred}:apinizer:members:p alice manage
HSET {cred}:apinizer:credential:p:c owner alice
SADD {cred}:apinizer:environments:p production
--- http_config
cred_registry         $TEST_NGINX_REGISTRY;
cred_connect_timeout  10s;
cred_cascade_timeout  100ms;
cred_connector x { preset caddy; url http://127.0.0.1; timeout 30s; }
cred_connector y { preset caddy; url http://127.0.0.1; timeout 40s; }
cred_connector z { preset caddy; url http://127.0.0.1; }
--- config
location /apiops/ { cred_delete apinizer; }
--- script
my $now = sub { my ($s, $us) = redis('registry', 'TIME'); $s * 1000 + $us / 1000 };
my $from = $now->();
my $answer = call('DELETE', '/apiops/projects/p/credentials/c/', ['Authorization: Bearer secret']);
my $to = $now->();

like($answer->{body}, qr/"production","success":false/, 'pending');
my ($member, $due) = redis('registry', 'ZRANGE', '{cred}:pending:production', 0, -1, 'WITHSCORES');
ok($due >= int($from) + 41_000 && $due <= $to + 41_000, '40s, and one more') or diag($due - $from);
