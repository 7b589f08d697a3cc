
# TLS to what sentinels and nodes of a cluster name: each certificate is verified
# for the server that is meant.

use CredTest redis => [qw(production staging)];
use CredTest::Certs;
use CredTest::Cluster;
use CredTest::Delete;
use CredTest::Process;
use CredTest::Redis;
use CredTest::Replica;
use CredTest::Sentinel;

certificate('server', names => 'DNS:redis.test');
certificate('both', names => 'DNS:localhost,IP:127.0.0.1');
certificate('foreign', names => 'DNS:localhost,IP:127.0.0.1', by => 'stranger');

our %Sample = sample(<<'END');
cred_ssl_trusted_certificate  $TEST_NGINX_CERTS/ca.crt;
cred_retry_delay              100ms 200ms;
END

defaults(
    %Sample,
    http_config => $Sample{http_config} =~ s/_REGISTRY;/_SERVERS;/r,
);

# what a server of this name is to be told to speak TLS

sub speaks {
    my ($cert, $port) = @_;

    return ('tls-port', $port, 'tls-cert-file', pem("$cert.crt"),
            'tls-key-file', pem("$cert.key"), 'tls-ca-cert-file', pem('ca.crt'),
            'tls-auth-clients', 'no', 'tls-replication', 'yes');
}

# The registry's port with TLS is the one that the sentinel monitors, which has
# another certificate

sub set_up_sentinel {
    my ($registry, $sentinel) = @_;

    redis_start('registry');
    redis_secure('registry', $registry);
    redis_load('registry', $Sample{registry});

    my $port = free_port();
    my @words = speaks($sentinel, $port);
    my @lines;

    push @lines, join ' ', splice @words, 0, 2 while @words;

    sentinel('watch', quorum => 1, conf => \@lines,
             masters => { main => ['127.0.0.1', $Redis{registry}{tls_port}] });

    $ENV{TEST_NGINX_SERVERS} = "rediss-sentinel://localhost:$port#main";
}

sub set_up_cluster {
    my ($cert) = @_;

    cluster(args => [sub {
        my ($name) = @_;
        my @words = speaks($cert, redis_port($name));
        return ('--port', 0, '--tls-cluster', 'yes',
                map { $_ % 2 ? $words[$_] : "--$words[$_]" } 0 .. $#words);
    }]);

    redis_alias('registry', sub { cluster_owner('{cred}') });
    redis_load('registry', $Sample{registry});

    # any but the owner: it names the owner by its address

    my $owner = cluster_owner('{cred}');
    my ($other) = grep { $_ ne $owner } cluster_nodes();

    $ENV{TEST_NGINX_SERVERS} = 'rediss-cluster://localhost:'
                               . redis_port($other);
}

sub refused {
    my ($regex) = @_;
    return wait_for(sub { error_log_text() =~ /\[error\].*$regex/ });
}

sub is_there {
    redis('registry', 'EXISTS', '{cred}:apinizer:credential:MyProject:api-user')
}

run_tests();


__DATA__

=== TEST 1: a sentinel and its master, with certificates for what they are called
--- before
set_up_sentinel('both', 'both');
--- script
answer_is(del('api-user'), 'deleted', everywhere());
ok(!is_there(), 'it is gone');
unlike(error_log_text(), qr/\[error\]/, 'nothing is refused');



=== TEST 2: the master's certificate is not for the address that the sentinel gives
--- before
set_up_sentinel('server', 'both');
--- script
answer_is(del('api-user'), 'nothing was changed', failure(503));
ok(refused(qr/the certificate is not for "127\.0\.0\.1".*registry/), 'why');
like(error_log_text(), qr/, server: "127\.0\.0\.1:$Redis{registry}{tls_port}"/,
     'and of which server');
ok(is_there(), 'it is there');



=== TEST 3: the sentinel's certificate is by a stranger
--- before
set_up_sentinel('both', 'foreign');
--- script
answer_is(del('api-user'), 'nothing was changed', failure(503));
ok(refused(qr/sentinel: certificate verify failed: \(\d+:[^)]+\) while asking/),
   'why');



=== TEST 4: one name for all
--- before
set_up_sentinel('server', 'server');
--- http_config eval
$main::Sample{http_config} =~ s/_REGISTRY;/_SERVERS;/r
    . "cred_ssl_name redis.test;\n"
--- script
answer_is(del('api-user'), 'deleted', everywhere());
unlike(error_log_text(), qr/\[error\]/, 'nothing is refused');



=== TEST 5: nodes of a cluster
--- before
set_up_cluster('both');
--- script
answer_is(del('api-user'), 'deleted', everywhere());
ok(!is_there(), 'it is gone');
unlike(error_log_text(), qr/\[error\]/, 'nothing is refused');



=== TEST 6: nodes of a cluster whose certificates are for another name
--- before
set_up_cluster('server');
--- script
answer_is(del('api-user'), 'nothing was changed', failure(503));
ok(refused(qr/the certificate is not for "localhost".*registry/), 'why');
