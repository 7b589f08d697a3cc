# HTTP/3, where nginx and curl have it.

BEGIN {
    require Test::More;

    local $ENV{PATH} = "$ENV{PATH}:/usr/sbin";
    my $nginx = $ENV{CRED_NGINX} || 'nginx';

    Test::More::plan(skip_all => 'this nginx has no HTTP/3')
        unless `$nginx -V 2>&1` =~ /--with-http_v3_module/;
    Test::More::plan(skip_all => 'this curl has no HTTP/3')
        unless `curl -V` =~ /^Features:.* HTTP3\b/m;
}

use CredTest;
use CredTest::Delete;

my ($certificate, $key) = map { temp_dir() . "/$_.pem" } qw(certificate key);

system("openssl req -x509 -newkey rsa:2048 -nodes -days 1 -subj /CN=localhost"
       . " -keyout $key -out $certificate 2> /dev/null") == 0
    or die 'openssl has made no certificate';

defaults(sample());

sub h3 {
    my ($path, @args) = (pop, @_);
    return curl('--http3-only', '--insecure', '-X', 'DELETE',
                '-H', 'Authorization: Bearer TOKEN', @args,
                "https://127.0.0.1:$ENV{TEST_NGINX_H2_PORT}$path");
}

run_tests();


__DATA__

=== TEST 1: deletes over HTTP/3
--- config
listen               127.0.0.1:$TEST_NGINX_H2_PORT quic;
http3                on;
ssl_certificate      $TEST_NGINX_DIR/certificate.pem;
ssl_certificate_key  $TEST_NGINX_DIR/key.pem;
location /apiops/ { cred_delete apinizer; }
--- script
my $large = temp_dir() . '/large';
open my $out, '>', $large;
print $out 'x' x 204800;
close $out;

credential([1 .. 20, map { "large-$_" } 1 .. 5]);

my $answer = h3(path('api-user'));
like($answer->{text}, qr{^HTTP/3 }, 'it is HTTP/3');
answer_is($answer, 'deleted', everywhere());
ok(settled(), 'settled');
answer_is(h3(path('api-user')), 'again', failure(400, 'api-user'));
answer_is(h3('-d', '{}', path('api-user')), 'with a body', failure(400, 'api-user'));

# curl 8.14 cannot always send it, wherever it is to go

for my $n (1 .. 5) {
    $answer = h3('--data-binary', "\@$large", path("large-$n"));
    last if $answer->{status};
}

answer_is($answer, 'with 200 KB', everywhere());

my @urls = map { "https://127.0.0.1:$ENV{TEST_NGINX_H2_PORT}" . path($_) } 1 .. 20;
my @statuses = split ' ', qx{curl -s --http3-only --insecure --parallel -X DELETE \\
    -H 'Authorization: Bearer TOKEN' -w '%{stderr}%{http_code} ' \\
    @{[ map { "-o /dev/null $_" } @urls ]} 2>&1};
is_deeply(\@statuses, [ (200) x 20 ], 'twenty at once');
ok(settled(), 'settled');
is(redis($_, 'KEYS', '{cred}:apinizer:credential:MyProject:[0-9]*'), '',
   "nothing is left, $_")
    for qw(registry production staging);
