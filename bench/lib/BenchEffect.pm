package BenchEffect;

# How long a delete takes with gateways, that all refuse when it is answered.

use strict;
use warnings;

use parent 'Exporter';

use Bench;
use BenchGateways;
use BenchPeers;
use CredTest::Process;
use CredTest::Redis;
use Time::HiRes ();

our @EXPORT = qw(effect effect_rounds);


# one request after the other on a connection

sub talk {
    my ($sock, $request) = @_;
    print $sock $request;
    return $sock;
}

sub heard {
    my ($sock) = @_;
    my ($text, $length) = '';

    until (defined $length && length $text >= $length) {
        sysread $sock, $text, 65536, length $text or fail("connection: $!");

        if (!defined $length && (my $end = index $text, "\r\n\r\n") >= 0) {
            my ($body) = substr($text, 0, $end) =~ /^Content-Length: (\d+)/mi;
            $length = $end + 4 + ($body // 0);
        }
    }

    return $text;
}

sub connected {
    my ($name) = @_;
    my $sock = IO::Socket::INET->new("127.0.0.1:$Nginx{$name}{port}") or fail("$name: $!");
    $sock->autoflush(1);
    return $sock;
}


# a connection to each worker of a gateway

sub all_workers {
    my ($name) = @_;
    my %sock;
    my $request = "GET /marked/page HTTP/1.1\r\nHost: localhost\r\n"
                  . 'Authorization: Bearer ' . key_of(0) . "\r\n\r\n";

    wait_for(sub {
        my $sock = connected($name);
        heard(talk($sock, $request)) =~ /^X-Worker: (\d+)/m and $sock{$1} ||= $sock;
        keys %sock == @{ $Nginx{$name}{workers} };
    }) or fail("not all workers of $name admit");

    return values %sock;
}


# all at once, then their answers

sub ask_all {
    my ($number, $status, @socks) = @_;
    my $request = "GET /checked/page HTTP/1.1\r\nHost: localhost\r\n"
                  . 'Authorization: Bearer ' . key_of($number) . "\r\n\r\n";

    talk($_, $request) for @socks;

    for (@socks) {
        my $answer = heard($_);
        $answer =~ m{^HTTP/1\.1 $status } or fail("key $number: $answer");
    }
}


# returns microseconds from sending a DELETE to its answer

sub delete_one {
    my ($sock, $number) = @_;
    my $start = Time::HiRes::clock_gettime(Time::HiRes::CLOCK_MONOTONIC());

    talk($sock, sprintf("DELETE /apiops/projects/bench/credentials/user-%08d/ "
        . "HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer $Token\r\n\r\n",
        $number));

    my $answer = heard($sock);
    my $us = 1e6 * (Time::HiRes::clock_gettime(Time::HiRes::CLOCK_MONOTONIC())
                    - $start);

    $answer =~ m{^HTTP/1\.1 200 } && substr($answer, -length success()) eq success()
        or fail("delete $number: $answer");

    return $us;
}


# Each delete is asked of all workers of all gateways before, and at once after
# its answer; then the same where there are no gateways.

sub effect_rounds {
    my ($count) = @_;
    my %us;

    set_environments(2, twin => 1);
    preload(0, $count + 1);
    preload_keys($Key, 0, $count + 1);

    my @gateways = map { "gateway$_" } 0 .. 3;
    start_gateway('module', $gateways[$_], environment => $_ % 2, workers => 2,
                  listen => ' reuseport') for 0 .. 3;
    start_nginx('twin', modules => 'load_module ' . BenchPeers::module() . ';',
        http => 'cred_registry "' . redis_tcp('registry') . '?prefix={twin}";',
        server => 'location / { cred_delete apinizer; }');

    my @socks = map { all_workers($_) } @gateways;

    wait_for(sub {
        2 * grep({ redis($_->{redis}, 'HLEN', "$_->{prefix}:gateways") == 2 }
                 environments()) == @gateways;
    }) or fail('gateways are not noted');

    my %deleter = (with => connected('module'), without => connected('twin'));

    for my $number (1 .. $count) {
        ask_all($number, 200, @socks);
        push @{ $us{with} }, delete_one($deleter{with}, $number);
        ask_all($number, 401, @socks);
        push @{ $us{without} }, delete_one($deleter{without}, $number);
    }

    settle();
    stop_nginx($_) for @gateways, 'twin';
    return \%us;
}


sub percentile {
    my ($part, @us) = @_;
    @us = sort { $a <=> $b } @us;
    return $us[$part * $#us] / 1000;
}


sub effect {
    my $count = $ENV{BENCH_EFFECT} || 2000;

    say("\n## From DELETE sent to refused by every gateway, $count deletes\n");
    say("2 environments, 2 gateways each, 2 workers each; after each answer all eight "
        . "workers refused.\n");

    my $us = effect_rounds($count);

    say('| gateways | p50 ms | p90 ms | p99 ms | most ms |');
    say('|---|---:|---:|---:|---:|');
    for my $kind (qw(with without)) {
        say(sprintf '| %s | %.2f | %.2f | %.2f | %.2f |', $kind,
            map { percentile($_, @{ $us->{$kind} }) } 0.5, 0.9, 0.99, 1);
    }

    my ($p99, $bare) = map { percentile(0.99, @{ $us->{$_} }) } qw(with without);
    say(sprintf "\np99 %.2f ms%s, %.2f ms more than without%s", $p99, wanted('<= 10'),
        $p99 - $bare, wanted('<= 3'));
}


1;
