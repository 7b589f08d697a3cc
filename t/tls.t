
# TLS to Redis: the registry, environments, gateways; what is refused, and why.

use CredTest;
use CredTest::Delete;
use CredTest::Gateway;
use CredTest::Certs;

certificate('server', names => 'DNS:localhost,DNS:redis.test');

redis_tls($_) for qw(registry production staging);

my %sample = sample();

defaults(%sample, http_config => <<'END');
cred_registry                 $TEST_NGINX_REGISTRY_TLS;
cred_ssl_trusted_certificate  $TEST_NGINX_CERTS/ca.crt;
resolver                      127.0.0.1:$TEST_NGINX_DNS ipv6=off;
END

# the registry, and environments that are reached by TLS, too

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

run_tests();


__DATA__

=== TEST 1: the registry and its environments
--- before
secured(qw(production staging));
--- script
answer_is(del('api-user'), 'deleted', everywhere());
