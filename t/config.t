
# What nginx -t says of configurations, with file and line.

use CredTest redis => ['registry'];
use CredTest::Certs;
use CredTest::Urls;

my $dir = temp_dir();
my $file = "$dir/nginx.conf";
my $n = 0;

$ENV{ASAN_OPTIONS} .= ',detect_leaks=0';

open my $out, '>', "$dir/password";
print $out "secret\n";
close $out;

for (['empty', ''], ['blank', "\r\n\n"], ['long', 'x' x 4097]) {
    open $out, '>', "$dir/$_->[0]";
    print $out $_->[1];
    close $out;
}

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
@{[ "\n" x 7 ]}    server {
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
    unlike($text, qr/secret/, 'without passwords');
}


sub accepted {
    my (@conf) = @_;
    my ($status, $text) = test(@conf);
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    my $name = join ' / ', grep { defined && length } @conf;
    is($status, 0, "accepted: $name") or diag($text);
    unlike($text, qr/\[(?:warn|error|alert)/, 'without a word');
}


# directives and their arguments

my $r = 'cred_registry redis://127.0.0.1;';

for my $directive (qw(cred_delete cred_registry cred_prefix cred_connect_timeout
                      cred_command_timeout cred_cascade_timeout cred_retry_delay
                      cred_alloy_version cred_registry_wait cred_audit_length))
{
    refused(10, 'invalid number of arguments', "$directive;");
}

refused(10, 'invalid number of arguments', "$_ 1s 2s 3s 4s;")
    for qw(cred_registry cred_prefix cred_connect_timeout cred_command_timeout
           cred_cascade_timeout cred_retry_delay cred_alloy_version);

refused(10, 'unknown directive "cred_nothing"', 'cred_nothing on;');
refused(30, 'directive is not allowed here', $r, undef,
        "if (\$arg_a) { cred_delete apinizer; }");
refused(30, 'directive is not allowed here', $r, undef,
        "limit_except GET { cred_delete apinizer; }");

for my $directive (qw(cred_connect_timeout cred_command_timeout
                      cred_cascade_timeout))
{
    for my $value ('x', '-1', '1y1', '""', '1.5s', '99999999999999999999s') {
        refused(10, "\"$directive\" directive invalid value",
                "$directive $value;");
    }

    refused(10, 'value must be', "$directive $_;") for 0, '0s', '25h';
    refused(10, "\"$directive\" directive is duplicate",
            "$directive 1s; $directive 2s;");
    accepted("$directive $_;") for '1ms', 1, '24h', '1m30s';
    accepted("$directive 1s;", "$directive 2s;", "$directive 3s;");
}

refused(10, '"cred_retry_delay" directive has an invalid shortest delay',
        "cred_retry_delay $_;") for 'x', '-1s', 0, '0s', '""', 'x 1s';
refused(10, '"cred_retry_delay" directive has an invalid longest delay',
        "cred_retry_delay $_;") for '1s x', '2s 1s', '1s -1s', '1s 0';
refused(10, '"cred_retry_delay" directive is duplicate',
        'cred_retry_delay 1s; cred_retry_delay 1s;');
accepted("cred_retry_delay $_;") for '1s', '1s 1s', '100ms 2h', '2m';

refused(10, 'invalid number of arguments', 'cred_registry_wait 1 1s aof 1;');
refused(10, '"cred_registry_wait" directive has no time', "cred_registry_wait $_;")
    for 1, 'on';
refused(10, '"cred_registry_wait" directive has an invalid number of replicas',
        "cred_registry_wait $_ 1s;") for 0, '-1', 101, 'x', '""', '1.5', 'off';
refused(10, '"cred_registry_wait" directive has an invalid time',
        "cred_registry_wait 1 $_;") for 0, '0s', 'x', '-1s', '25h', '""', 'aof';
refused(10, 'invalid parameter "fsync"', 'cred_registry_wait 1 1s fsync;');
refused(10, '"cred_registry_wait" directive is duplicate',
        "cred_registry_wait $_;") for '1 1s; cred_registry_wait 1 1s',
                                      'off; cred_registry_wait off';
accepted("cred_registry_wait $_;") for '1 1ms', '100 24h', '2 1s aof';
accepted("$r cred_registry_wait 1 1s;", 'cred_registry_wait off;',
         'cred_registry_wait 2 1s aof;');

refused(10, '"cred_audit_length" directive invalid number',
        "cred_audit_length $_;")
    for 'x', '-1', '""', '1e5', '1k', '100000.', '99999999999999999999';
refused($_->[0], 'value must be between 1000 and 1000000000', @$_[1 .. 3])
    for [10, 'cred_audit_length 0;'], [20, undef, 'cred_audit_length 999;'],
        [30, undef, undef, 'cred_audit_length 1000000001;'];
refused(10, '"cred_audit_length" directive is duplicate',
        'cred_audit_length 1000; cred_audit_length 1000;');
accepted("$r cred_audit_length 1000;", 'cred_audit_length 1000000000;',
         'cred_audit_length 100000;');

refused(10, 'must not be empty', 'cred_prefix "";');
refused(10, '"cred_prefix" directive is duplicate', 'cred_prefix a; cred_prefix b;');
accepted('cred_prefix "{x} y";', 'cred_prefix z;');

refused(10, '"cred_alloy_version" directive has an empty version',
        'cred_alloy_version "";');
refused(10, 'invalid parameter "required"', 'cred_alloy_version x required;');
refused(10, '"cred_alloy_version" directive is duplicate',
        'cred_alloy_version 1; cred_alloy_version 2;');
accepted('cred_alloy_version 2025-09 optional;');


# cred_delete

refused(30, 'unknown API "nonsense", there are: apinizer, iam, deepset, '
            . 'thousandeyes, alloy', $r, undef, 'cred_delete nonsense;');
refused(30, 'unknown API "Apinizer"', $r, undef, 'cred_delete Apinizer;');
refused(30, 'unknown API ""', $r, undef, 'cred_delete "";');
refused(30, 'unknown API "off"', $r, undef, 'cred_delete apinizer off;');
refused(30, 'unknown API "on"', $r, undef, 'cred_delete on;');
refused(30, 'duplicate API "iam"', $r, undef, 'cred_delete iam apinizer iam;');
refused(30, '"cred_delete" directive is duplicate', $r, undef,
        'cred_delete iam; cred_delete apinizer;');
refused(30, '"cred_delete" directive is duplicate', $r, undef,
        'cred_delete off; cred_delete off;');
accepted($r, undef, 'cred_delete apinizer iam deepset thousandeyes alloy;');
accepted($r, 'cred_delete apinizer;', 'cred_delete off;');
accepted(undef, undef, 'cred_delete off;');
accepted($r);

# where there is no registry, the line is that of cred_delete

my $none = 'no "cred_registry" for "cred_delete"';
refused(10, $none, 'cred_delete apinizer;');
refused(20, $none, undef, 'cred_delete apinizer;');
refused(30, $none, undef, undef, 'cred_delete apinizer;');
refused(10, $none, 'cred_delete apinizer;', undef, $r);
accepted(undef, $r, 'cred_delete apinizer;');
accepted(undef, undef, "$r cred_delete apinizer;");


# cred_strict

refused($_->[0], 'invalid value "maybe" in "cred_strict" directive, '
                 . 'it must be "on" or "off"', @$_[1 .. 3])
    for [10, 'cred_strict maybe;'], [20, undef, 'cred_strict maybe;'],
        [30, undef, undef, 'cred_strict maybe;'];
refused(30, '"cred_strict" directive is duplicate', undef, undef,
        'cred_strict on; cred_strict on;');
accepted("$r cred_strict on;", 'cred_strict off;',
         'cred_delete apinizer; cred_strict on;');
accepted(undef, undef, 'cred_strict off;');


# Redis URLs

for my $reason (sort keys %Refused) {
    refused(10, "invalid Redis URL: $reason", qq(cred_registry "$_";))
        for @{ $Refused{$reason} };
}
refused(10, 'invalid Redis URL: neither', 'cred_registry "";');
refused(10, 'invalid IPv6 address', qq(cred_registry "redis://[$_]:6379";))
    for '127.0.0.1:7000', 'localhost:80', 'unix:x.sock', 'unix%3Ax.sock', '1:2:3';

refused(10, 'host not found in the registry "no.such.host.invalid:6379/0", and '
            . 'there is no "resolver" to ask for it later',
        'cred_registry redis://:secret@no.such.host.invalid;');
refused(10, '"cred_registry" directive is duplicate', "$r $r");

accepted(qq(cred_registry "$_";), undef, 'cred_delete apinizer;') for @Taken;


# password_file

refused(10, 'invalid parameter "password=x"',
        'cred_registry redis://127.0.0.1 password=x;');
refused(10, 'failed (2: No such file or directory)',
        "cred_registry redis://127.0.0.1 password_file=$dir/none;");
refused(10, 'failed (21: Is a directory)',
        "cred_registry redis://127.0.0.1 password_file=$dir;");
refused(10, 'no password in', "cred_registry redis://127.0.0.1 password_file=$_;")
    for "$dir/empty", "$dir/blank";
refused(10, 'too long password',
        "cred_registry redis://127.0.0.1 password_file=$dir/long;");
refused(10, 'has a password twice',
        "cred_registry redis://:p\@127.0.0.1 password_file=$dir/password;");
accepted("cred_registry $_;")
    for "redis://127.0.0.1 password_file=$dir/password",
        "redis://user\@127.0.0.1 password_file=password",
        "unix:/a password_file=password";


# cred_ssl_...

certificate($_) for qw(client other);
certificate('locked', password => 'secret');
open $out, '>', "$dir/other";
print $out "another\n";
close $out;

my $c = pem('client.crt');
my $k = pem('client.key');
my $s = 'cred_registry rediss://127.0.0.1;';

for (['cred_ssl_verify x', 'invalid value "x" in "cred_ssl_verify" directive'],
     ['cred_ssl_verify_depth -1', 'invalid number'],
     ['cred_ssl_verify_depth 101', 'value must be between 0 and 100'],
     ['cred_ssl_protocols SSLv3', 'invalid value "SSLv3"'],
     ['cred_ssl_protocols TLSv1.2 x', 'invalid value "x"'],
     ['cred_ssl_password_file none', 'failed (2: No such file or directory)'],
     map({ ["cred_ssl_name $_", '"cred_ssl_name" directive has an invalid name'] }
         '""', '[::1]', 'a:1', 'a/b', '*.a', '"a b"', 'x' x 256),
     map({ my ($name, $value) = split ' ';
           ["cred_ssl_$_; cred_ssl_$_", qq("cred_ssl_$name" directive is duplicate)] }
         'name a', "certificate $c", "certificate_key $k", 'crl a', 'verify on',
         'trusted_certificate a', 'ciphers DEFAULT', "password_file $dir/password",
         'verify_depth 1'))
{
    refused($_->[2] // 10, $_->[1], "$_->[0];");
}

# what only shows when a context is made has the line of its own directive

for (['cred_ssl_trusted_certificate none;', '/none"'],
     ["cred_ssl_trusted_certificate $dir/password;", ') failed (SSL:'],
     ['cred_ssl_crl none;', '/none"'],
     ['cred_ssl_ciphers none;', 'SSL_CTX_set_cipher_list("none") failed'],
     ["cred_ssl_certificate none; cred_ssl_certificate_key $k;",
      'cannot load certificate "'],
     ["cred_ssl_certificate $c; cred_ssl_certificate_key none;",
      'cannot load certificate key "'],
     ["cred_ssl_certificate $c; cred_ssl_certificate_key " . pem('other.key') . ';',
      'key values mismatch'],
     ["cred_ssl_certificate " . pem('locked.crt') . '; cred_ssl_certificate_key '
      . pem('locked.key') . "; cred_ssl_password_file $dir/other;",
      'cannot load certificate key "'],
     ["cred_ssl_certificate $c;",
      'no "cred_ssl_certificate_key" for "cred_ssl_certificate"'],
     ["cred_ssl_certificate_key $k;",
      'no "cred_ssl_certificate" for "cred_ssl_certificate_key"'],
     ['cred_ssl_conf_command Nonsense x;', 'SSL_CONF_cmd("Nonsense", "x") failed'])
{
    my ($conf, $wanted) = @$_;
    refused(10, $wanted, $conf, $s);
    refused(10, $wanted, $conf, undef, 'cred_registry redis://127.0.0.1;');
    refused(20, $wanted, 'cred_ssl_verify on;', $conf,
            'cred_environment rediss://127.0.0.1; cred_access iam;');
    accepted($conf);
    accepted($conf, undef, 'cred_environment redis://127.0.0.1; cred_access iam;');
}

refused(31, 'SSL_CONF_cmd("Nonsense", "x") failed', $s, undef,
        "cred_ssl_conf_command Options -SessionTicket;\n"
        . 'cred_ssl_conf_command Nonsense x;');

accepted($s, $_, 'cred_delete apinizer;')
    for "cred_ssl_certificate $c; cred_ssl_certificate_key $k;",
        'cred_ssl_certificate ' . pem('locked.crt') . '; cred_ssl_certificate_key '
        . pem('locked.key') . "; cred_ssl_password_file $dir/password;",
        'cred_ssl_trusted_certificate ' . pem('ca.crt') . '; cred_ssl_crl '
        . pem('ca.crl') . '; cred_ssl_verify_depth 0;',
        'cred_ssl_protocols TLSv1.2; cred_ssl_ciphers HIGH;',
        'cred_ssl_name redis.example.com;', 'cred_ssl_name 10.0.0.1;',
        'cred_ssl_name 2001:db8::1;', 'cred_ssl_conf_command Options -SessionTicket;';

for (10, 20, 30) {
    my @conf = ($r, undef, undef);
    $conf[$_ / 10 - 1] .= 'cred_ssl_verify off;';
    my ($status, $text) = test(@conf);
    is($status, 0, 'accepted: cred_ssl_verify off;');
    like($text, qr/\[warn\] .*"cred_ssl_verify off" trusts whoever .* in \Q$file\E:$_$/m,
         'with a warning');
}

# the keys of a cluster have to be in one slot

for my $url ('redis-cluster://127.0.0.1',
             'rediss-cluster://127.0.0.1,127.0.0.2')
{
    for (['p', qq("$url?prefix=p")], ['p{', qq("$url?prefix=p{")],
         ['p{}', $url, 'cred_prefix "p{}";'])
    {
        my ($prefix, $redis, $http) = @$_;
        my $wanted = qq(a cluster needs a prefix with a "{tag}", which "$prefix")
                     . ' has not, in';
        refused(20, $wanted, $http, "cred_registry $redis;",
                'cred_delete apinizer;');
        refused(20, $wanted, $http, "cred_environment $redis;",
                'cred_access iam;');
    }

    accepted("cred_registry $url;", undef, 'cred_delete apinizer;');
    accepted(qq(cred_registry "$url?prefix=a{b}";), undef,
             'cred_delete apinizer;');
    accepted("cred_environment $url;", 'cred_prefix "{p}";', 'cred_access iam;');
}
