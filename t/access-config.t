# What nginx -t says of the gateway's directives, with file and line.

use CredTest redis => ['registry'];

my $dir = temp_dir();
my $file = "$dir/nginx.conf";

$ENV{ASAN_OPTIONS} .= ',detect_leaks=0';

open my $out, '>', "$dir/password";
print $out "secret\n";
close $out;

open $out, '>', "$dir/empty";
close $out;

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


my $e = 'cred_environment redis://127.0.0.1;';


# numbers of arguments, contexts, duplicates

refused(10, 'invalid number of arguments', "$_;")
    for qw(cred_environment cred_access cred_access_zone cred_access_lease
           cred_access_valid);
refused(10, 'invalid number of arguments', "$_ 1s 2s 3s 4s;")
    for qw(cred_environment cred_access_zone cred_access_lease
           cred_access_valid);
refused(10, 'invalid number of arguments', 'cred_access_zone name;');

refused(20, 'directive is not allowed here', undef, 'cred_access_zone a 1m;');
refused(30, 'directive is not allowed here', undef, undef, 'cred_access_zone a 1m;');

for my $directive ('cred_access apinizer', 'cred_access off',
                   'cred_environment redis://127.0.0.1', 'cred_access_lease 1s',
                   'cred_access_valid 1s')
{
    refused(30, 'directive is not allowed here', $e, undef,
            "if (\$arg_a) { $directive; }");
    refused(30, 'directive is not allowed here', $e, undef,
            "limit_except GET { $directive; }");
    refused($_->[0], 'directive is duplicate', @$_[1 .. 3])
        for [10, "$directive; $directive;"], [20, undef, "$directive; $directive;"],
            [30, undef, undef, "$directive; $directive;"];
}

refused(10, '"cred_access_zone" directive is duplicate',
        'cred_access_zone a 1m; cred_access_zone b 1m;');
refused(30, '"cred_access" directive is duplicate', $e, undef,
        'cred_access off; cred_access apinizer;');


# cred_access

refused(30, 'unknown API "nonsense", there are: apinizer, iam, deepset, '
            . 'thousandeyes, alloy', $e, undef, 'cred_access nonsense;');
refused(30, 'unknown API "Apinizer"', $e, undef, 'cred_access Apinizer;');
refused(30, 'unknown API ""', $e, undef, 'cred_access "";');
refused(30, 'unknown API "off"', $e, undef, 'cred_access off scope=a;');
refused(30, 'unknown API "key=a"', $e, undef, 'cred_access key=a;');
refused(30, "invalid parameter \"$_\"", $e, undef, "cred_access apinizer $_;")
    for qw(iam on scope scop=a Key=a keys=a GRANT=a =a);
refused(30, 'invalid parameter ""', $e, undef, 'cred_access apinizer "";');
refused(30, "empty parameter \"$_=\"", $e, undef, "cred_access apinizer $_=;")
    for qw(key scope grant);
refused(30, "duplicate parameter \"$_=b\"", $e, undef,
        "cred_access apinizer $_=a $_=b;") for qw(key scope grant);

for (qw(key scope grant)) {
    my ($status, $text) = test($e, undef, "cred_access apinizer $_=a\${no_such};");
    isnt($status, 0, "refused: a variable that is not there in $_=");
    like($text, qr/\[emerg\] unknown "no_such" variable/, 'for the reason');
}

accepted($e, undef, "cred_access $_;")
    for qw(apinizer iam deepset thousandeyes alloy off);
accepted($e, undef, 'cred_access apinizer key=$http_x_key$arg_a scope=$host grant=a=b;');
accepted($e, undef, 'cred_access apinizer grant=x scope=key= key=$cookie_a;');
accepted("$e cred_access apinizer;", 'cred_access off;', 'cred_access iam scope=a;');
accepted(undef, undef, 'cred_access off;');
accepted($e);


# the environment: where there is none, the line is that of cred_access

my $none = 'no "cred_environment" for "cred_access"';
refused(10, $none, 'cred_access apinizer;');
refused(20, $none, undef, 'cred_access apinizer;');
refused(30, $none, undef, undef, 'cred_access apinizer;');
refused(10, $none, 'cred_access apinizer;', undef, $e);
refused(30, $none, 'cred_registry redis://127.0.0.1;', undef, 'cred_access apinizer;');
accepted(undef, $e, 'cred_access apinizer;');
accepted(undef, undef, "$e cred_access apinizer;");
accepted(undef, undef, "cred_access apinizer; $e");

refused(10, 'invalid Redis URL: neither "redis://", "redis-sentinel://", '
            . '"redis-cluster://", these with "rediss", nor "unix:"',
        'cred_environment 127.0.0.1;');
refused(20, 'invalid Redis URL: no host', undef, 'cred_environment redis://;');
refused(30, 'invalid Redis URL: invalid port', undef, undef,
        'cred_environment redis://a:x;');
refused(10, 'invalid parameter "prefix=x"', 'cred_environment redis://a prefix=x;');
refused(10, 'failed (2: No such file or directory)',
        "cred_environment redis://127.0.0.1 password_file=$dir/none;");
refused(10, 'no password in',
        "cred_environment redis://127.0.0.1 password_file=$dir/empty;");
refused(10, 'has a password twice',
        "cred_environment redis://:p\@127.0.0.1 password_file=$dir/password;");
refused(30, 'host not found in the environment "no.such.host.invalid:6379/0", '
            . 'and there is no "resolver" to ask for it later', undef, undef,
        'cred_environment redis://:secret@no.such.host.invalid; cred_access apinizer;');
accepted(undef, undef, "cred_environment $_; cred_access apinizer;")
    for 'redis://127.0.0.1', 'redis://[::1]:1/15', 'redis://u:p@127.0.0.1?prefix=%7Bx%7D',
        'unix:/a', 'unix:/a?db=1&prefix=x',
        "redis://127.0.0.1 password_file=$dir/password",
        'redis://user@127.0.0.1 password_file=password';

my ($status, $text) = test('resolver 127.0.0.1;', undef,
    'cred_environment redis://no.such.host.invalid; cred_access apinizer;');
is($status, 0, 'accepted: a name for later');
like($text, qr/\[warn\] host not found in the environment "no.such.host.invalid:6379\/0", it will be resolved at each connect in .*:30$/m,
     'but told');


# times

for my $value ('x', '-1', '1y1', '""', '1.5s', '99999999999999999999s') {
    refused(10, '"cred_access_lease" directive invalid value',
            "cred_access_lease $value;");
    refused(10, '"cred_access_valid" directive has an invalid time',
            "cred_access_valid $value;");
    refused(10, '"cred_access_valid" directive has an invalid "missing" time',
            "cred_access_valid 1s missing=$value;") if $value ne '""';
}

refused(10, 'value must be', "cred_access_lease $_;")
    for '0', '99ms', '3601s', '61m', '2h', '1d';
accepted("cred_access_lease $_;", undef, "$e cred_access apinizer;")
    for '100ms', '2s', '1h', '3600s', '60m';
accepted('cred_access_lease 1s;', 'cred_access_lease 2s;',
         "cred_access_lease 3s; $e cred_access apinizer;");

refused(10, 'invalid parameter "1s"', 'cred_access_valid 1s 1s;');
refused(10, 'invalid parameter "Missing=1s"', 'cred_access_valid 1s Missing=1s;');
refused(10, 'has an invalid "missing" time', 'cred_access_valid 1s missing=;');
accepted("cred_access_valid $_;", undef, "$e cred_access apinizer;")
    for '0', '10s', '1ms missing=0', '1d missing=1h', '0 missing=0';


# the zone

for my $size (qw(0 1 1k 4096 1023k 1048575)) {
    refused(10, 'zone "a" is too small, it needs 1m', "cred_access_zone a $size;");
}

refused(10, "invalid zone size \"$_\"", "cred_access_zone a $_;")
    for 'x', '-1m', '1x', '1.5m', '99999999999999999999m';
refused(10, '"cred_access_zone" directive has an empty name', 'cred_access_zone "" 1m;');
accepted("cred_access_zone $_;", undef, "$e cred_access apinizer;")
    for 'a 1m', 'a 1048576', 'a 1024k', '"a b" 32m', 'cred_access 2m';
accepted('cred_access_zone a 1m;');

# one that is another module's, too

($status, $text) = test("$e cred_access_zone z 1m; limit_req_zone \$host zone=z:1m rate=1r/s;",
                           undef, 'cred_access apinizer;');
isnt($status, 0, 'refused: the zone of another module');
like($text, qr/\[emerg\] .*the shared memory zone "z" is already declared for a different use/,
     'for the reason');

# as many environments as there may be

my @many = map { "location /$_ { cred_environment redis://127.0.0.1:$_; cred_access apinizer; }" }
           1 .. 257;
accepted('cred_access_zone a 4m;', "@many[0 .. 255]");
($status, $text) = test('cred_access_zone a 4m;', "@many");
isnt($status, 0, 'refused: too many environments');
like($text, qr/\[emerg\] .*too many environments in cred_access_zone "a"/, 'for the reason');


# both modules in one place

accepted("cred_registry redis://127.0.0.1; $e", undef,
         'cred_access apinizer; cred_delete apinizer;');
