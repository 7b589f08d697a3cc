
# Every way to reach the registry.

use CredTest;
use CredTest::Delete;

for (['password', "pass word\n"], ['crlf', "pass word\r\n"], ['bare', 'pass word']) {
    open my $out, '>', temp_dir() . "/$_->[0]" or die $!;
    print $out $_->[1];
    close $out;
}

defaults(sample());

# the sample data in another database, with another prefix

sub load {
    my ($db, $prefix) = @_;
    my %sample = sample();
    my $text = $sample{registry} =~ s/\{cred\}/$prefix/gr;
    my $sock = CredTest::Redis::redis_connect('registry');
    print $sock resp('SELECT', $db);
    CredTest::Redis::reply($sock);

    for (split /\n/, $text) {
        print $sock resp(words($_));
        CredTest::Redis::reply($sock);
    }
}

run_tests();


__DATA__

=== TEST 1: addresses, names, databases, prefixes
--- config
cred_delete apinizer;

location ~ /u4/ { cred_registry redis://127.0.0.1:$TEST_NGINX_REGISTRY_PORT; }
location ~ /u6/ { cred_registry redis://[::1]:$TEST_NGINX_REGISTRY_PORT/; }
location ~ /ul/ { cred_registry redis://localhost:$TEST_NGINX_REGISTRY_PORT; }
location ~ /uu/ { cred_registry $TEST_NGINX_REGISTRY; }
location ~ /d5/ { cred_registry redis://127.0.0.1:$TEST_NGINX_REGISTRY_PORT/5; }
location ~ /d6/ { cred_registry $TEST_NGINX_REGISTRY?db=6; }
location ~ /p7/ { cred_registry $TEST_NGINX_REGISTRY?db=7&prefix=p; }
location ~ /p8/ { cred_registry $TEST_NGINX_REGISTRY?db=8&prefix=p;
                  cred_prefix q; }
--- script
credential([qw(u4 u6 ul uu d5 d6 p7 p8)]);
load(5, '{cred}');
load(6, '{cred}');
load(7, 'p');
load(8, 'q');

answer_is(del($_), $_, everywhere()) for qw(u4 u6 ul uu);

# the registry knows no such credentials there, and is another one

answer_is(del($_), $_, failure(400, $_)) for qw(d5 d6 p7 p8);
is(audit(), 4, 'four in the first');



=== TEST 2: users and passwords
--- before
redis('registry', 'ACL', 'SETUSER', 'nginx', 'on', '>pass word', '~*', '&*', '+@all');
redis('registry', 'ACL', 'SETUSER', 'other', 'on', '>two', '~*', '&*', '+@all');
--- config
cred_delete apinizer;

location ~ /url/   { cred_registry redis://nginx:pass%20word@127.0.0.1:$TEST_NGINX_REGISTRY_PORT; }
location ~ /file/  { cred_registry redis://nginx@127.0.0.1:$TEST_NGINX_REGISTRY_PORT
                                   password_file=$TEST_NGINX_DIR/password; }
location ~ /crlf/  { cred_registry redis://nginx@[::1]:$TEST_NGINX_REGISTRY_PORT
                                   password_file=$TEST_NGINX_DIR/crlf; }
location ~ /bare/  { cred_registry redis://nginx@localhost:$TEST_NGINX_REGISTRY_PORT
                                   password_file=$TEST_NGINX_DIR/bare; }
location ~ /wrong/ { cred_registry redis://other@127.0.0.1:$TEST_NGINX_REGISTRY_PORT
                                   password_file=$TEST_NGINX_DIR/password; }
--- script
credential([qw(url file crlf bare)]);
answer_is(del($_), $_, everywhere()) for qw(url file crlf bare);
answer_is(del('wrong'), 'wrong', failure(503));

my @users = sort grep { $_ ne 'default' } map { /cmd=eval.*user=(\S+)/ ? $1 : () }
            split /\n/, scalar redis('registry', 'CLIENT', 'LIST');
is("@users", 'nginx nginx nginx nginx', 'connected as this user');



=== TEST 3: a password without a user, by a file
--- before
redis_kill('registry');
redis_start('registry', '--requirepass', 'secret');
my %sample = sample();
redis_load('registry', $sample{registry});
open my $out, '>', temp_dir() . '/secret';
print $out "secret\n";
close $out;
--- http_config
cred_registry $TEST_NGINX_REGISTRY password_file=$TEST_NGINX_DIR/secret;
--- script
answer_is(del('api-user'), 'deleted', everywhere());

ok(settled(), 'settled');

# it is read again at each connect

sub secret {
    open my $out, '>', temp_dir() . '/secret';
    print $out $_[0];
    close $out;
    redis('registry', 'CLIENT', 'KILL', 'TYPE', 'normal');
}

secret("changed\n");
ok(wait_for(sub { del('api-user')->{status} == 503 }), 'a wrong one');
secret("secret\n");
my $answer;
wait_for(sub { $answer = del('api-user'); $answer->{status} != 503 });
answer_is($answer, 'the right one', failure(400, 'api-user'));



=== TEST 4: a host name that nobody knew when nginx started
--- before
$ENV{TEST_NGINX_DNS} = dns('redis.test' => '127.0.0.1');
--- http_config
cred_registry  redis://redis.test:$TEST_NGINX_REGISTRY_PORT;
resolver       127.0.0.1:$TEST_NGINX_DNS;
--- script
like(error_log_text() . slurp(temp_dir() . '/nginx.log'),
     qr/\[warn\].* it will be resolved at each connect in \S+:\d+/, 'a warning');
answer_is(del('api-user'), 'by the resolver', everywhere());



=== TEST 5: a host name that leads elsewhere than when nginx started
--- before
# there it is 127.0.0.1

redis_start('far', '--bind', '127.0.0.2');
my %sample = sample();
redis_load('far', $sample{registry});
$ENV{TEST_NGINX_DNS} = dns('localhost' => '127.0.0.2');
--- http_config
cred_registry         redis://localhost:$TEST_NGINX_FAR_PORT;
cred_connect_timeout  60s;
resolver              127.0.0.1:$TEST_NGINX_DNS ipv6=off;
--- script
my $answer;
wait_for(sub { ($answer = del('api-user'))->{status} != 503 });
answer_is($answer, 'it is followed', everywhere());

# and is not looked for where it was each time

my $failed = sub { scalar(() = error_log_text() =~ /connect\(\) failed/g) };
my $before = $failed->();

for (1 .. 3) {
    redis('far', 'CLIENT', 'KILL', 'TYPE', 'normal');
    answer_is(del('x', token => 'nobody'), 'made again', failure(401));
}

is($failed->(), $before, 'at once');
