
# TLS to Redis: the registry, environments, gateways; what is refused, and why.

use CredTest;
use CredTest::Delete;
use CredTest::Gateway;
use CredTest::Certs;
use Socket qw(:DEFAULT IPPROTO_TCP TCP_MAXSEG);

our @standard = qw(registry production staging);

redis_tls($_) for @standard;
$ENV{TEST_NGINX_REGISTRY_IP} = redis_tls('registry', '127.0.0.1');

certificate('server', names => 'DNS:localhost,DNS:redis.test');
certificate('address', names => 'IP:127.0.0.1,IP:::1');
certificate('client');
certificate('secret', password => 'pass phrase');
certificate('stranger', by => 'foreign');

open my $out, '>', pem('passwords') or die $!;
print $out "another\npass phrase\n";
close $out;

our %sample = sample();
our %gateway = gateway();

our $conf = <<'END';
cred_registry                 $TEST_NGINX_REGISTRY_TLS;
cred_ssl_trusted_certificate  $TEST_NGINX_CERTS/ca.crt;
cred_retry_delay              100ms 200ms;
resolver                      127.0.0.1:$TEST_NGINX_DNS ipv6=off;
END

defaults(%sample, http_config => $conf);

# the registry is reached by TLS, and these environments

sub secured {
    my (@names) = @_;

    $ENV{TEST_NGINX_DNS} = dns('redis.test' => '127.0.0.1');
    redis_secure('registry', 'server');

    for (@names) {
        redis_secure($_, 'server');
        environment($_, redis_tls($_, 'redis.test'));
    }
}

sub environment { redis('registry', 'HSET', '{cred}:environments', @_) }

# an environment with this certificate, in place of others

sub only {
    my ($name, $cert, %args) = @_;

    settled();
    redis('registry', 'DEL', '{cred}:environments', '{cred}:positions');
    redis_secure($name, $cert, %args);
    environment($name, redis_tls($name, $args{host} // 'redis.test'));
}

sub logged { scalar(() = error_log_text() =~ /$_[0]/g) }

# why an environment is down, as it was said once, whatever was attempted since

sub down {
    my ($name) = @_;

    my $line = qr/redis is down: (.*), environment: \Q$name\E, redis: /;
    wait_for(sub { logged($line) >= 3 });

    my @told = error_log_text() =~ /\[error\] \S+ $line/g;
    return @told == 1 ? $told[0] : scalar(@told) . " times: @told";
}

sub is_down {
    my ($name, $wanted) = @_;
    my $reason = down($name);
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    ref $wanted ? like($reason, $wanted, "$name: why")
                : is($reason, $wanted, "$name: why");
}

our $hangs;

# Leads to this port, by a narrow way that is closed while there is a file of
# that name; returns a port

sub narrow {
    my ($to, $closed) = @_;

    my $port = free_port();

    socket my $listener, PF_INET, SOCK_STREAM, 0 or die "socket: $!";
    setsockopt $listener, SOL_SOCKET, SO_REUSEADDR, 1;
    setsockopt $listener, SOL_SOCKET, SO_RCVBUF, 16384;
    setsockopt $listener, IPPROTO_TCP, TCP_MAXSEG, 1400;
    bind $listener, sockaddr_in($port, INADDR_LOOPBACK) or die "bind: $!";
    listen $listener, 8;

    spawn('narrow', "narrow-$port", sub {
        my $select = IO::Select->new($listener);
        my (%to, %back);

        while (1) {
            for my $sock ($select->can_read(0.01)) {
                if ($sock == $listener) {
                    accept my $client, $listener or next;
                    my $server = IO::Socket::INET->new("127.0.0.1:$to") or next;
                    ($to{$client}, $to{$server}) = ($server, $client);
                    $back{$server} = 1;
                    $select->add($client, $server);
                    next;
                }

                next if -e $closed && !$back{$sock};

                sysread $sock, my $bytes, 65536 or return;
                syswrite $to{$sock}, $bytes;
            }
        }
    });

    return $port;
}

run_tests();


__DATA__

=== TEST 1: the registry and its environments
--- before
secured(qw(production staging));
--- script
answer_is(del('api-user'), 'deleted', everywhere());

is(logged('TLSv1.3 with TLS_'), 3, 'by TLS');
is(logged('redis is down'), 0, 'nothing fails');



=== TEST 2: a gateway, and its subscription
--- http_config eval
$main::gateway{http_config} =~ s/\$TEST_NGINX_PRODUCTION/\$TEST_NGINX_PRODUCTION_TLS/r
    =~ s/\$TEST_NGINX_REGISTRY;/\$TEST_NGINX_REGISTRY_TLS;/r . <<'END'
cred_ssl_trusted_certificate  $TEST_NGINX_CERTS/ca.crt;
cred_access_lease             1h;
resolver                      127.0.0.1:$TEST_NGINX_DNS ipv6=off;
END
--- config eval
$main::gateway{config}
--- before
secured(qw(production staging));
redis_load($_, $main::gateway{$_}) for @main::standard;
environment($_, redis_tls($_, 'redis.test')) for qw(production staging);
--- script
ok(leased(), 'there is a lease');
is(seen('KEY'), '200 MISS', 'the key passes');
ok(wait_for(sub { seen('KEY') eq '200 HIT' }), 'the next time from the cache');
answer_is(del('api-user'), 'deleted', everywhere());
is(seen('KEY'), '401 MISS', 'refused');
is(logged(qr/TLSv1.3 with \S+, new session, gateway's subscription/), 1,
   'the bell is TLS, too');
is(logged('redis is down'), 0, 'nothing fails');



=== TEST 3: certificates that are refused, and why
--- redis: wrong expired foreign self revoked
--- http_config eval: $main::conf . 'cred_ssl_crl $TEST_NGINX_CERTS/ca.crl;'
--- before
my $names = 'DNS:redis.test';
certificate('wrong', names => 'DNS:other.test');
certificate('expired', names => $names, expired => 1);
certificate('foreign-server', names => $names, by => 'foreign');
certificate('self', names => $names, by => 'self');
certificate('revoked', names => $names);
revoke('revoked', 'ca');

secured('production');
redis('registry', 'HDEL', '{cred}:environments', 'staging');

for (qw(wrong expired foreign self revoked)) {
    redis_secure($_, $_ eq 'foreign' ? 'foreign-server' : $_);
    environment($_, redis_tls($_, 'redis.test'));
}
--- script
answer_is(del('api-user'), 'deleted where it is as it should be',
          pending(map({ $_ => 'unreachable' } qw(expired foreign)),
                  production => undef,
                  map { $_ => 'unreachable' } qw(revoked self wrong)));

is_down('wrong', 'the certificate is not for "redis.test"');
is_down('expired', 'certificate verify failed: (10:certificate has expired)');
is_down('foreign', 'certificate verify failed: '
                   . '(20:unable to get local issuer certificate)');
is_down('self', qr/^certificate verify failed: \(18:self[ -]signed certificate\)$/);
is_down('revoked', 'certificate verify failed: (23:certificate revoked)');

redis_secure($_, 'server') for qw(wrong expired foreign self revoked);
ok(wait_for(sub { settled() }), 'undeployed when they have another one');
is(logged("redis is back, environment: $_,"), 1, "$_ is back")
    for qw(wrong expired foreign self revoked);



=== TEST 4: addresses
--- config
location /apiops/ { cred_delete apinizer; }
location /apiops/projects/MyProject/credentials/v4/ {
    cred_delete apinizer; cred_ssl_name 127.0.0.1;
}
location /apiops/projects/MyProject/credentials/v6/ {
    cred_delete apinizer; cred_ssl_name ::1;
}
location /apiops/projects/MyProject/credentials/other/ {
    cred_delete apinizer; cred_ssl_name 127.0.0.2;
}
location /apiops/projects/MyProject/credentials/name/ {
    cred_delete apinizer; cred_ssl_name localhost;
}
--- http_config eval: $main::conf =~ s/\S+_TLS/\$TEST_NGINX_REGISTRY_IP/r
--- before
secured('production', 'staging');
environment(production => redis_tls('production', '127.0.0.1'),
            staging => redis_tls('staging', '[::1]'));
redis_secure($_, 'address') for @main::standard;
--- script
answer_is(one_more(), 'both addresses', everywhere());

credential([qw(v4 v6 name other)]);
answer_is(del($_), "$_ by name", everywhere()) for qw(v4 v6);
answer_is(del($_), $_, failure(503)) for qw(other name);
like(error_log_text(), qr/down: the certificate is not for "127.0.0.2", registry/,
     'another address');
like(error_log_text(), qr/down: the certificate is not for "localhost", registry/,
     'a name');
is(logged(qr/\[error\].* redis is down/), 2, 'once');

# names do not do for addresses

only($_, 'server', host => $_ eq 'staging' ? '[::1]' : '127.0.0.1')
    for qw(staging production);
environment(staging => redis_tls('staging', '[::1]'));
redis($_, 'CLIENT', 'KILL', 'TYPE', 'normal') for qw(production staging);
answer_is(one_more(), 'neither',
          pending(map { $_ => 'unreachable' } qw(production staging)));
is_down('production', 'the certificate is not for "127.0.0.1"');
is_down('staging', 'the certificate is not for "::1"');



=== TEST 5: a chain of three, and how deep it may be
--- config
location /apiops/ { cred_delete apinizer; }
location /apiops/projects/MyProject/credentials/shallow/ {
    cred_delete apinizer; cred_ssl_verify_depth 1;
}
--- before
authority('ca');
authority('middle', by => 'ca');
authority('issuing', by => 'middle');
certificate('deep', names => 'DNS:redis.test', by => 'issuing');
open my $out, '>', pem('chain.crt');
print $out map { slurp(pem("$_.crt")) } qw(deep issuing middle);
close $out;
link pem('deep.key'), pem('chain.key');
secured(qw(production staging));
redis_secure('production', 'chain');
--- script
answer_is(one_more(), 'deep enough', everywhere());
credential('shallow');
answer_is(del('shallow'), 'too deep',
          pending(production => 'unreachable', staging => undef));
is_down('production', 'certificate verify failed: '
                      . '(22:certificate chain too long)');



=== TEST 6: certificates of clients
--- config
location /apiops/ { cred_delete apinizer; }
location /apiops/projects/MyProject/credentials/good/ {
    cred_delete               apinizer;
    cred_ssl_certificate      $TEST_NGINX_CERTS/client.crt;
    cred_ssl_certificate_key  $TEST_NGINX_CERTS/client.key;
}
location /apiops/projects/MyProject/credentials/secret/ {
    cred_delete               apinizer;
    cred_ssl_certificate      $TEST_NGINX_CERTS/secret.crt;
    cred_ssl_certificate_key  $TEST_NGINX_CERTS/secret.key;
    cred_ssl_password_file    $TEST_NGINX_CERTS/passwords;
}
location /apiops/projects/MyProject/credentials/bad/ {
    cred_delete               apinizer;
    cred_ssl_certificate      $TEST_NGINX_CERTS/stranger.crt;
    cred_ssl_certificate_key  $TEST_NGINX_CERTS/stranger.key;
}
--- before
secured(qw(production staging));
redis_secure('production', 'server', clients => 'yes');
--- script
credential([qw(none good secret bad)]);
answer_is(del($_), $_, everywhere()) for qw(good secret);

answer_is(del('none'), 'none',
          pending(production => 'unreachable', staging => undef));
is_down('production', qr/^TLS failed: SSL_read\(\) failed \(SSL: .*certificate required.*\) while shaking hands$/);

answer_is(del('bad'), 'of a foreign CA',
          pending(production => 'unreachable', staging => undef));
ok(wait_for(sub { logged(qr/\[error\].*unknown ca.*environment: production/) }),
   'why');



=== TEST 7: protocols and ciphers
--- config
location /apiops/ { cred_delete apinizer; }
location /apiops/projects/MyProject/credentials/new/ {
    cred_delete         apinizer;
    cred_ssl_protocols  TLSv1.3;
}
location /apiops/projects/MyProject/credentials/cipher/ {
    cred_delete       apinizer;
    cred_ssl_ciphers  ECDHE-ECDSA-CHACHA20-POLY1305;
}
location /apiops/projects/MyProject/credentials/suite/ {
    cred_delete            apinizer;
    cred_ssl_conf_command  Ciphersuites TLS_CHACHA20_POLY1305_SHA256;
}
--- before
secured(qw(production staging));
redis_secure('production', 'server', config => ['tls-protocols', 'TLSv1.2']);
--- script
credential([qw(old cipher suite new)]);

answer_is(del($_), $_, everywhere()) for qw(old cipher suite);
ok(logged(qr/TLSv1.2 with ECDHE-ECDSA-CHACHA20-POLY1305,.*production/), 'cipher');
ok(logged(qr/TLSv1.3 with TLS_CHACHA20_POLY1305_SHA256,.*staging/), 'suite');
ok(logged(qr/TLSv1.2 with ECDHE-ECDSA-AES256-GCM-SHA384,.*production/), 'old');

answer_is(del('new'), 'too new',
          pending(production => 'unreachable', staging => undef));
is_down('production', qr/^TLS handshake failed: SSL_do_handshake\(\) failed \(SSL: .*alert protocol version/);



=== TEST 8: sessions go on, but not after a failure
--- before
secured(qw(production staging));
--- script
answer_is(one_more(), 'connected', everywhere());

my $hang_up = sub { redis('production', 'CLIENT', 'KILL', 'TYPE', 'normal') };
my $sessions = sub {
    return logged(qr/TLSv1.3 with \S+, $_[0] session, environment: production/);
};

$hang_up->();
answer_is(one_more(), 'connected again', everywhere());
is($sessions->('reused'), 1, 'with the session');

# with tickets for TLSv1.2, too

redis_secure('production', 'server', config => ['tls-protocols', 'TLSv1.2']);
$hang_up->();
answer_is(one_more(), 'the other protocol', everywhere());
$hang_up->();
answer_is(one_more(), 'again', everywhere());
is(logged(qr/TLSv1.2 with \S+, reused session, environment: production/), 1,
   'with its session');

# what has failed begins anew

redis_secure('production', 'address', config => ['tls-protocols', 'TLSv1.3']);
$hang_up->();
answer_is(one_more(), 'it has another certificate',
          pending(production => 'unreachable', staging => undef));
is_down('production', 'the certificate is not for "redis.test"');
redis_secure('production', 'server');
ok(settled(), 'and the right one again');
is($sessions->('new'), 2, 'new sessions');



=== TEST 9: long replies, many commands
--- redis: other
--- http_config eval: $main::conf . 'cred_connect_timeout 30s; cred_command_timeout 30s; cred_cascade_timeout 60s;'
--- before
secured(qw(production staging));

# 260 KB of URLs, which the registry tells in one reply

my $prefix = 'x' x 1280;

for my $n (1 .. 200) {
    environment("other$n", redis_url('other') . "?prefix=$prefix$n");
}
--- script
my @others = map { $_ => 'absent' } sort map { "other$_" } 1 .. 200;

answer_is(one_more(), 'from all environments',
          pending(@others, production => undef, staging => undef));
redis('registry', 'HDEL', '{cred}:environments', map { "other$_" } 1 .. 200);

my @usernames = map { "u$_" } 1 .. 512;
credential(\@usernames);

my ($worker) = nginx_workers();
my @socks = map { http_open() } 1 .. 64;

while (my @round = splice @usernames, 0, 64) {
    kill 'STOP', $worker;
    print { $socks[$_] } del_raw($round[$_]) for 0 .. $#round;
    kill 'CONT', $worker;

    my @answers = map { http_parse(http_read($_)) } @socks;
    is(scalar(grep { $_->{status} == 200 && !$_->{headers}{'cred-pending'} }
              @answers), 64, '64 at once');
}

is(logged('redis is down'), 0, 'nothing fails');



=== TEST 10: what waits to be written grows, and moves
--- http_config eval
$main::conf . <<'END'
cred_command_timeout  60s;
cred_cascade_timeout  60s;
END
--- before
secured(qw(production staging));
my $closed = temp_dir() . '/closed';
unlink $closed;
environment('production', 'rediss://redis.test:'
            . narrow($CredTest::Redis::Redis{production}{tls_port}, $closed));
--- script
answer_is(one_more(), 'connected', everywhere());

my $closed = temp_dir() . '/closed';
open my $out, '>', $closed;

my @usernames = map { $_ . 'x' x 400 } 1 .. 300;
credential(\@usernames);

# in three parts

my @socks;

for my $part (1 .. 3) {
    for (@usernames[@socks .. 100 * $part - 1]) {
        push @socks, http_open();
        print { $socks[-1] } del_raw($_);
    }

    ok(wait_for(sub { redis('staging', 'XLEN', '{cred}:undeployments')
                      == 1 + @socks }), "part $part has gone elsewhere");
}

is(redis('production', 'XLEN', '{cred}:undeployments') < 301, 1, 'they wait');
unlink $closed;

my @answers = map { http_parse(http_read($_)) } @socks;
is(scalar(grep { $_->{status} == 200 && !$_->{headers}{'cred-pending'} }
          @answers), 300, 'all are undeployed');
is(logged('redis is down'), 0, 'nothing fails');



=== TEST 11: those which speak no TLS, or no more
--- before
secured(qw(production staging));
redis('registry', 'HDEL', '{cred}:environments', 'staging');

my %peers = (
    closes  => fake(greeting => \''),
    hangs   => fake(),
    garbage => fake(greeting => "hello, this is no TLS at all\r\n"),
    reads   => fake(greeting => \"\x16\x03\x03\x00\x7a\x02"),
    plain   => redis_port('staging'),
);

environment($_, "rediss://redis.test:$peers{$_}") for keys %peers;
environment('reverse', redis_tls('staging') =~ s/rediss/redis/r
                                            =~ s/localhost/127.0.0.1/r);
environment('alert', 'redis://127.0.0.1:'
                     . fake(greeting => "\x15\x03\x01\x00\x02\x02\x46"));
redis_secure('staging', 'server');
--- script
answer_is(del('api-user'), 'deleted where there is TLS',
          pending(alert => 'unreachable', map({ $_ => 'unreachable' } qw(closes garbage hangs plain)),
                  production => undef,
                  map { $_ => 'unreachable' } qw(reads reverse)));

my $closed = 'redis closed the connection without a word';

is_down('closes', qr/^TLS handshake failed: peer closed connection in SSL handshake/);
is_down('garbage', qr/^the port does not speak TLS: SSL_do_handshake\(\) failed \(SSL: .*wrong version number.*\)$/);
is_down('hangs', 'TLS handshake timed out, perhaps the port does not speak TLS');
is_down('plain', 'TLS handshake timed out, perhaps the port does not speak TLS');
is_down('reads', qr/^TLS handshake failed: peer closed connection in SSL handshake/);
is_down('reverse', qr/^\Q$closed\E, perhaps its port speaks TLS/);
is_down('alert', 'invalid reply: an alert of TLS, which "rediss://" speaks '
                 . 'while shaking hands');



=== TEST 12: a reload brings other certificates

--- http_config eval
$main::conf =~ s/ca\.crt/trusted.crt/r . <<'END'
cred_ssl_certificate      $TEST_NGINX_CERTS/mine.crt;
cred_ssl_certificate_key  $TEST_NGINX_CERTS/mine.key;
END
--- before
for (['trusted.crt', 'ca.crt'], ['mine.crt', 'client.crt'],
     ['mine.key', 'client.key'])
{
    unlink pem($_->[0]);
    link pem($_->[1]), pem($_->[0]);
}

certificate('moved', names => 'DNS:localhost,DNS:redis.test',
            by => 'foreign');
secured(qw(production staging));
--- script
answer_is(one_more(), 'those of one CA', everywhere());

for (['trusted.crt', 'foreign.crt'], ['mine.crt', 'stranger.crt'],
     ['mine.key', 'stranger.key'])
{
    unlink pem($_->[0]);
    link pem($_->[1]), pem($_->[0]);
}

redis_secure($_, 'moved', trusts => 'foreign', clients => 'yes')
    for @main::standard;
ok(nginx_reload(), 'reloaded');
ok(reached(), 'those of the other CA');



=== TEST 13: whoever it is, where nothing is verified
--- http_config
cred_registry    $TEST_NGINX_REGISTRY_TLS;
cred_ssl_verify  off;
resolver         127.0.0.1:$TEST_NGINX_DNS ipv6=off;
--- before
certificate('self', names => 'DNS:other.test', by => 'self');
secured(qw(production staging));
redis_secure($_, 'self') for @main::standard;
--- script
answer_is(one_more(), 'deleted', everywhere());
is(logged('TLSv1.3 with TLS_'), 3, 'by TLS');



=== TEST 14: nobody but those whom the system trusts, if nothing is said
--- http_config
cred_registry  $TEST_NGINX_REGISTRY_TLS;
resolver       127.0.0.1:$TEST_NGINX_DNS ipv6=off;
--- before
secured(qw(production staging));
--- script
answer_is(one_more(), 'the registry is refused', failure(503));
like(error_log_text(), qr/\[error\].* redis is down: certificate verify failed: \(\d+:.*\), registry/, 'why');



=== TEST 15: an nginx that leaves while TLS is not there yet
--- before
secured(qw(production staging));
environment('hangs', 'rediss://redis.test:' . fake());
--- script
my ($worker) = nginx_workers();
answer_is(one_more(), 'one hangs',
          pending(hangs => 'unreachable', production => undef,
                  staging => undef));
kill 'QUIT', $worker;
ok(wait_for(sub { !running($worker) }), 'it leaves');



=== TEST 16: nor does it wait longer than it may
--- main_config
worker_shutdown_timeout 500ms;
--- http_config eval
$main::conf . <<'END'
cred_connect_timeout  60s;
cred_cascade_timeout  60s;
END
--- before
secured(qw(production staging));
environment('hangs', 'rediss://redis.test:' . ($main::hangs = fake()));
--- script
my ($worker) = nginx_workers();
credential('api-user');
my $sock = http_open();
print $sock del_raw('api-user');
ok(wait_for(sub {
    fake_log($main::hangs) && redis('registry', 'EXISTS', '{cred}:pending:hangs')
}), 'one hangs');
kill 'QUIT', $worker;
ok(wait_for(sub { !running($worker) }, 20), 'it leaves');
ok(logged('worker is shutting down, environment: hangs'), 'with a reason');
