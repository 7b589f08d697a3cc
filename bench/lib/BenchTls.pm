package BenchTls;

# What TLS to the registry and two environments costs a worker.

use strict;
use warnings;

use parent 'Exporter';

use Bench;
use BenchPeers;
use CredTest::Certs;
use CredTest::Process;
use CredTest::Redis;

our @EXPORT = qw(tls);

my @Order = qw(plain tls);


# two nginxes of their own, each with a registry of its own in the same Redis
# servers

sub tls_start {
    set_environments(2, twin => 1);

    certificate('bench', names => 'IP:127.0.0.1');
    redis_secure($_, 'bench') for 'registry', map { $_->{redis} } environments();

    my $module = 'load_module ' . BenchPeers::module() . ';';
    my $server = 'location / { cred_delete apinizer; }';
    my $url = redis_tls('registry', '127.0.0.1');

    start_nginx('plain', modules => $module, server => $server,
        http => 'cred_registry "' . redis_tcp('registry') . '?prefix={cred}";');
    start_nginx('tls', modules => $module, server => $server,
        http => "cred_registry \"$url?prefix={twin}\";"
                . 'cred_ssl_trusted_certificate ' . pem('ca.crt') . ';');
}


sub tls_round {
    my ($name, $count, %args) = @_;

    my $file = template('tls', "DELETE /apiops/projects/bench/credentials/"
        . "user-\@\@\@\@\@\@\@\@/ HTTP/1.1\nHost: localhost\n"
        . "Authorization: Bearer $Token\n\n");

    return measure({ cpu => $Nginx{$name}{workers} }, p => $Nginx{$name}{port},
                   n => $count, t => $file, body => success(), %args);
}


# both delete all there is: of their own registries

sub tls_rounds {
    my ($count, %args) = @_;
    my %m;

    @Order = reverse @Order;
    Bench::clean();

    for (environments()) {
        my $url = redis_tls($_->{redis}, '127.0.0.1');
        my $prefix = $_->{prefix} =~ s/e/t/r;
        redis('registry', 'HSET', '{twin}:environments', $_->{name},
              "$url?prefix=$prefix");
    }

    preload(0, $count);
    $m{$_} = tls_round($_, $count, %args) for @Order;
    check_left(0, $count);

    return \%m;
}


sub tls {
    my $rounds = 12 * $Rounds;      # short ones, which spread widely

    say("\n## TLS, two environments, $rounds interleaved rounds\n");
    tls_start();

    say('| clients | by | deletes/s | p50 ms | CPU µs per delete |');
    say('|---:|---|---:|---:|---:|');

    for (['64', 4000], ['1', 1000]) {
        my ($clients, $count) = @$_;

        tls_rounds(200, c => $clients);
        my @m = map { tls_rounds($count, c => $clients) } 1 .. $rounds;

        for my $by (qw(plain tls)) {
            say(sprintf '| %d | %s | %s | %.2f | %s |', $clients, $by,
                pair(map { $_->{$by}{rate} } @m),
                median(map { $_->{$by}{p50} / 1000 } @m),
                pair(map { $_->{$by}{cpu} } @m));
        }

        my @more = map { $_->{tls}{cpu} / $_->{plain}{cpu} } @m;
        say(sprintf '| %d | *tls against plain* | %.2f times | | %.2f times%s |',
            $clients,
            median(map { $_->{tls}{rate} / $_->{plain}{rate} } @m),
            median(@more), $clients > 1 ? ' (wanted <= 1.25)' : '');
    }

    stop_nginx($_) for qw(plain tls);
}


1;
