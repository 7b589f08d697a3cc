package BenchAccess;

# What a gateway's check costs, and when a delete takes effect there.

use strict;
use warnings;

use parent 'Exporter';

use Bench;
use BenchGateways;
use BenchPeers;
use CredTest::Process;
use CredTest::Redis;
use List::Util qw(sum0);
use MIME::Base64 ();
use Time::HiRes ();

our @EXPORT = qw(access unknown cold memory_of_keys effect hot smoke_gateways);

my $Keys = 1000;

my %Handler = (page => 'a file of 5 bytes', proxied => 'proxy_pass');


# credentials with keys in one environment, and gateways of it

sub prepare {
    my ($count) = @_;
    set_environments(1);
    preload_keys($Key, 0, $count, environments());
}


sub open_gateway {
    my ($kind, $name, %args) = @_;
    start_gateway($kind, $name, %args);
    wait_for(sub { admits($name, 0) }) or fail("$name refuses all");
}


sub admits {
    my ($name, $number, $path) = @_;
    my ($head) = get($Nginx{$name}{port}, $path // '/checked/page',
                     'Authorization: Bearer ' . key_of($number));
    return $head =~ m{^HTTP/1\.1 200 };
}


# a load of a gateway, and what it cost its workers per request

sub gateway_round {
    my ($name, $path, $keys, $count, %args) = @_;
    return measure({ cpu => $Nginx{$name}{workers} },
                   gateway_load($name, $path, $keys, $count, %args));
}


sub wanted { my ($text) = @_; " (wanted $text)" }


sub access {
    my $rounds = 3 * $Rounds;
    my @kinds = kinds();
    my @handlers = qw(page proxied);
    my %all;

    say("\n## Cached checks, 64 clients, $Keys keys, $rounds interleaved rounds\n");

    prepare($Keys);
    open_gateway($_, "access-$_") for @kinds;

    for my $round (0 .. $rounds) {
        for my $handler (@handlers) {
            for my $kind (@kinds) {
                for my $path ("plain/$handler", "checked/$handler") {
                    my $m = gateway_round("access-$kind", $path, $Keys, 50000);
                    push @{ $all{$kind}{$path} }, $m if $round;
                }
            }
        }
    }

    say('| handler | gateway | requests/s | CPU µs per request | without check | added |');
    say('|---|---|---:|---:|---:|---:|');

    for my $handler (@handlers) {
        my %added;

        for my $kind (@kinds) {
            my @checked = @{ $all{$kind}{"checked/$handler"} };
            my @plain = @{ $all{$kind}{"plain/$handler"} };
            $added{$kind} = [ map { $checked[$_]{cpu} - $plain[$_]{cpu} }
                              0 .. $rounds - 1 ];

            say(sprintf '| %s | %s | %s | %s | %s | %.2f |', $Handler{$handler},
                $kind, pair(map { $_->{rate} } @checked),
                pair(map { $_->{cpu} } @checked), pair(map { $_->{cpu} } @plain),
                median(@{ $added{$kind} }));
        }

        # of medians, too: what is added is little, and a difference

        say(sprintf '| %s | *module against lua* | | | | %.1f times less%s, '
            . '%.1f of medians |', $Handler{$handler},
            median(map { $added{lua}[$_] / $added{module}[$_] } 0 .. $rounds - 1),
            wanted('>= 3'), median(@{ $added{lua} }) / median(@{ $added{module} }))
            if @kinds == 2;
    }

    stop_nginx("access-$_") for @kinds;
    counted(\@kinds, \@handlers, 10, 40);
}


# nothing else goes on in a gateway that is counted: neither a lease call nor a
# lookup

sub counted {
    my ($kinds, $handlers, @counts) = @_;

    say("\nInstructions per request, outside of the kernel, one key:\n");
    say('| handler | gateway | without check | with | more |');
    say('|---|---|---:|---:|---:|');

    for my $kind (@$kinds) {
        my $name = "counted-$kind";
        open_gateway($kind, $name, valid => 3600, lease => 3600);

        for my $handler (@$handlers) {
            my @is;

            for my $path ("plain/$handler", "checked/$handler") {
                load(gateway_load($name, $path, 1, 2000, c => 1));
                my $n = instructions($name, $path, @counts);
                return say('not counted: a process cannot be attached')
                    unless defined $n;
                push @is, $n;
            }

            say(sprintf '| %s | %s | %.0f | %.0f | %+.0f, %+.1f %%%s |',
                $Handler{$handler}, $kind, @is, $is[1] - $is[0],
                100 * ($is[1] / $is[0] - 1),
                $kind eq 'module' ? wanted('<= 25 %') : '');
        }

        stop_nginx($name);
    }
}


# random keys: each of them a lookup

sub unknown {
    my $rounds = 3 * $Rounds;
    my @kinds = kinds();
    my %all;

    say("\n## Random unknown keys, 64 clients, $rounds interleaved rounds\n");

    prepare(1);
    my ($environment) = environments();
    open_gateway($_, "unknown-$_") for @kinds;

    for (1 .. $rounds) {
        push @{ $all{'return 401'} }, measure({ cpu => $Nginx{limit}{workers} },
            p => $Nginx{limit}{port}, n => 40000, s => 401, body => $Unauthorized,
            t => template('own401', "GET /own401 HTTP/1.1\nHost: localhost\n"
                                    . 'Authorization: Bearer ' . key_of(0) . "\n\n"));

        push @{ $all{$_} }, measure({ cpu => $Nginx{"unknown-$_"}{workers},
                                      redis => [ $Redis{$environment->{redis}}{pid} ] },
                                    unknown_load("unknown-$_", 20000)) for @kinds;
    }

    say('| gateway | requests/s | p99 ms | CPU µs per request | of its Redis '
        . '| of return 401 |');
    say('|---|---:|---:|---:|---:|---:|');

    for my $name ('return 401', @kinds) {
        my @m = @{ $all{$name} };
        say(sprintf '| %s | %s | %.2f | %s | %s | %s |', $name,
            pair(map { $_->{rate} } @m), median(map { $_->{p99} / 1000 } @m),
            pair(map { $_->{cpu} } @m),
            $m[0]{redis} ? pair(map { $_->{redis} } @m) : '',
            $name eq 'return 401' ? '' : sprintf('%.2f%s',
                median(map { $m[$_]{rate} / $all{'return 401'}[$_]{rate} }
                       0 .. $rounds - 1),
                $name eq 'module' ? wanted('>= 0.5') : ''));
    }

    stop_nginx("unknown-$_") for @kinds;
}


# As many clients with one key as there are, at a gateway that has never seen it,
# while its Redis is stopped; how often was the key looked up?  "leased": it has
# connections, and a lease.

sub cold_round {
    my ($kind, $workers, $leased, $number) = @_;
    my ($environment) = environments();
    my $clients = 64;
    my $known = $number < $Keys;

    start_gateway($kind, 'cold', workers => $workers);
    wait_for(sub { admits('cold', 1) }) or fail('cold refuses all') if $leased;

    my $commands = monitor($environment->{redis});
    redis_pause($environment->{redis});

    my $load = load_start(gateway_load('cold', 'checked/page', 1, $clients,
        c => $clients, o => $number, T => 30,
        $known ? () : (s => 401, body => $Unauthorized)));

    # with the one that asks

    wait_for(sub {
        my ($writing) = join('', get($Nginx{cold}{port}, '/status'))
                        =~ /Writing: (\d+)/;
        $writing > $clients;
    }) or fail('clients do not arrive');

    redis_resume($environment->{redis});
    load_wait($load);
    stop_nginx('cold');

    my $hash = sha256(key_of($number));
    return scalar grep { /"get" "[^"]*:key:$hash"/i } $commands->();
}


sub cold {
    say("\n## A cold gateway, 64 clients with one key\n");
    say('| gateway | workers | lookups | after it had a lease | unknown key |');
    say('|---|---:|---:|---:|---:|');

    prepare($Keys);

    for my $kind (kinds()) {
        for my $workers (1, 4) {
            my @n = map { [] } 1 .. 3;
            for (1 .. $Rounds) {
                push @{ $n[0] }, cold_round($kind, $workers, 0, 0);
                push @{ $n[1] }, cold_round($kind, $workers, 1, 0);
                push @{ $n[2] }, cold_round($kind, $workers, 1, 99999999);
            }
            say(sprintf '| %s | %d | %s%s | %s | %s |', $kind, $workers,
                join(' ', @{ $n[0] }), $kind eq 'module' ? wanted('1') : '',
                map { join ' ', @$_ } @n[1, 2]);
        }
    }
}


# what a worker's error log says of a full zone

sub full_lines {
    my ($name) = @_;
    return grep { /full|evict|no memory/i } split /\n/, slurp("$Dir/$name.error.log");
}


# KiB of shared memory of SIZE (in MiB) that were ever used

sub zone_rss {
    my ($pid, $size) = @_;
    my @maps = slurp("/proc/$pid/smaps")
               =~ m{^\S+ rw-s .* /dev/zero.*\nSize:\s+(\d+) kB\n(?:.+\n)*?Rss:\s+(\d+)}mg;

    while (my ($total, $rss) = splice @maps, 0, 2) {
        return $rss if $total == $size * 1024;
    }

    return 0;
}


# which of them it still has: those that were filled last

sub held {
    my ($name, $count) = @_;
    my $m = load(gateway_load($name, 'marked/page', 0, $count, d => 1,
                              H => 'X-Cred-Cache: HIT', T => 600));
    return $m->{marked};
}


sub fill {
    my ($name, $count) = @_;
    my $m = load(gateway_load($name, 'marked/page', 0, $count,
                              H => 'X-Cred-Cache: HIT', T => 600));
    $m->{marked} == 0 or $m->{marked} == 1      # the one that was asked first
        or fail("$m->{marked} of $count were there before");
    return $m;
}


sub memory_of_keys {
    my $total = $ENV{BENCH_KEYS} || 1000000;
    my $size = 160;

    say("\n## Memory of $total keys\n");

    prepare($total);
    my %args = (valid => 3600, lease => 600);

    if (grep { $_ eq 'module' } kinds()) {
        open_gateway('module', 'keys', %args, zone => "${size}m");
        my $m = fill('keys', $total);
        my $n = held('keys', $total);
        my $rss = zone_rss($Nginx{keys}{workers}[0], $size);

        say(sprintf 'filled: %.0f/s; %d of %d held in %dm%s; %d KiB used, %.1f bytes '
            . 'each; the error log has %d lines of a full zone', $m->{rate}, $n, $total,
            $size, wanted('all'), $rss, $rss * 1024 / $n, scalar full_lines('keys'));
        stop_nginx('keys');
    }

    for my $kind (kinds()) {
        $size = $total / 62500;
        open_gateway($kind, "full-$kind", %args, zone => "${size}m");
        fill("full-$kind", $total / 5);
        my $n = held("full-$kind", $total / 5);

        say(sprintf '%s: %d of %d held in %dm, %.1f bytes each%s; the error log has '
            . '%d lines of a full zone', $kind, $n, $total / 5, $size,
            $size * 1048576 / $n, $kind eq 'module' ? wanted('<= 160') : '',
            scalar full_lines("full-$kind"));
        stop_nginx("full-$kind");
    }
}


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
        $length = $+[0] + ($1 =~ /^Content-Length: (\d+)/mi ? $1 : 0)
            if !defined $length && $text =~ /\A(.*?\r\n\r\n)/s;
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
    start_gateway('module', $gateways[$_], environment => $_ % 2, workers => 2)
        for 0 .. 3;
    start_nginx('twin', modules => 'load_module ' . BenchPeers::module() . ';',
        http => 'cred_registry ' . redis_tcp('registry') . '?prefix={twin};',
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


# futex() and sched_yield(): what waiting for another worker's lock takes

sub waits {
    my ($name, @load) = @_;
    return unless has('perf');

    my $log = "perf-$name";
    unlink "$Dir/$log.log";
    my $perf = spawn('perf', $log, 'perf', 'stat', '-x,', '-e',
        'syscalls:sys_enter_futex,syscalls:sys_enter_sched_yield',
        '-p', join ',', @{ $Nginx{$name}{workers} });
    Time::HiRes::sleep(0.5);
    my $m = load(@load);
    reap($perf, 'INT');

    my @n = slurp("$Dir/$log.log") =~ /^(\d+),/mg;
    return @n ? sum0(@n) / $m->{requests} : undef;
}


sub hot {
    my @kinds = kinds();
    my @paths = qw(plain/page checked/page);
    my (%all, %waits);

    say("\n## One key, 64 clients, $Rounds interleaved rounds\n");

    prepare(1);

    for my $kind (@kinds) {
        for my $workers (1, 8) {
            my $name = "hot-$kind-$workers";
            open_gateway($kind, $name, workers => $workers, listen => ' reuseport');
        }
    }

    for my $round (0 .. $Rounds) {
        for my $kind (@kinds) {
            for my $workers (1, 8) {
                for my $path (@paths) {
                    my $name = "hot-$kind-$workers";
                    my $before = switches(@{ $Nginx{$name}{workers} });
                    my $m = gateway_round($name, $path, 1, 50000);
                    $m->{switches} = (switches(@{ $Nginx{$name}{workers} }) - $before)
                                     / $m->{requests};
                    push @{ $all{"$name-$path"} }, $m if $round;
                }
            }
        }
    }

    say('| gateway | workers | check | requests/s | p99 ms | CPU µs per request '
        . '| context switches | waits for a lock |');
    say('|---|---:|---|---:|---:|---:|---:|---:|');

    for my $kind (@kinds) {
        for my $workers (1, 8) {
            for my $path (@paths) {
                my $name = "hot-$kind-$workers";
                my @m = @{ $all{"$name-$path"} };
                my $waits = waits($name, gateway_load($name, $path, 1, 50000));
                say(sprintf '| %s | %d | %s | %s | %.2f | %s | %.3f | %s |',
                    $kind, $workers, $path =~ /checked/ ? 'yes' : 'no',
                    pair(map { $_->{rate} } @m), median(map { $_->{p99} / 1000 } @m),
                    pair(map { $_->{cpu} } @m), median(map { $_->{switches} } @m),
                    defined $waits ? sprintf('%.4f', $waits) : '');
            }
        }

        my @added = map {
            my $name = "hot-$kind-$_";
            my ($plain, $checked) = @all{"$name-plain/page", "$name-checked/page"};
            median(map { $checked->[$_]{cpu} - $plain->[$_]{cpu} } 0 .. $Rounds - 1);
        } 1, 8;
        say(sprintf '| %s | | *added by the check* | | | %.2f with one worker, '
            . '%.2f with eight | | |', $kind, @added);
    }

    stop_nginx($_) for grep { /^hot-/ } keys %Nginx;
}


# the answers of a gateway to all that may be shown

sub smoke_answers {
    my ($kind) = @_;
    my $name = "smoke-$kind";
    my $key = key_of(1);
    my $basic = 'Basic ' . MIME::Base64::encode_base64('user-3:secret', '');
    my ($environment) = environments();

    for my $try (
        ['a key',           200, "Authorization: Bearer $key"],
        ['other letters',   200, "authorization: bearer $key"],
        ['X-API-Key',       200, "X-API-Key: $key"],
        ['Basic',           200, "Authorization: $basic"],
        ['none',            401],
        ['unknown',         401, 'Authorization: Bearer nobody'],
        ['too long',        401, 'Authorization: Bearer ' . 'x' x 4097],
        ['another scheme',  401, "Authorization: Digest $key"],
        ['two',             401, "Authorization: Bearer $key", "X-API-Key: $key"],
        ['two X-API-Key',   401, "X-API-Key: $key", "X-API-Key: $key"],
        ['disabled',        401, 'Authorization: Bearer ' . key_of(4)],
        ['expired',         401, 'Authorization: Bearer ' . key_of(5)],
        ['forgotten',       401, 'Authorization: Bearer ' . key_of(6)],
        ['another scope',   403, "Authorization: Bearer $key"],
    ) {
        my ($what, $status, @headers) = @$try;
        my $path = $status == 403 ? '/scoped/page' : '/checked/page';
        my ($head) = get($Nginx{$name}{port}, $path, @headers);
        $head =~ m{^HTTP/1\.1 $status } or fail("$kind: $what: $head");
        $head =~ /^WWW-Authenticate: /m or fail("$kind: $what: $head") if $status == 401;
    }

    redis_kill($environment->{redis});
    my ($head) = get($Nginx{$name}{port}, '/checked/page',
                     'Authorization: Bearer ' . key_of(7));
    $head =~ m{^HTTP/1\.1 503 .*^Retry-After: 1\r?$}ms or fail("$kind: away: $head");
    redis_start($environment->{redis});
    stop_nginx($name);
}


sub smoke_gateways {
    for my $kind (kinds()) {
        prepare(100);
        my ($environment) = environments();
        my $P = "$environment->{prefix}:apinizer";

        redis($environment->{redis}, @$_) for
            ['SET', "$P:key:" . sha256('user-3:secret'), 'bench:user-00000003'],
            ['HSET', "$P:credential:bench:user-00000003",
                     keys => join ' ', sha256(key_of(3)), sha256('user-3:secret')],
            ['HSET', "$P:credential:bench:user-00000004", enabled => 0],
            ['HSET', "$P:credential:bench:user-00000005", expires_at => 1],
            ['HSET', "$P:credential:bench:user-00000006", keys => sha256('new')];

        open_gateway($kind, "smoke-$kind");
        for my $handler (qw(page proxied)) {
            gateway_round("smoke-$kind", "$_/$handler", 3, 200, c => 8)
                for qw(plain checked);
        }
        load(unknown_load("smoke-$kind", 100, c => 8));
        smoke_answers($kind);
        say("$kind: cached, unknown");

        prepare(3000);
        cold_round($kind, 2, 0, 0) >= 1 or fail("$kind: no lookup");
        my $n = cold_round($kind, 2, 1, 0);
        say("$kind: cold, $n lookups");

        open_gateway($kind, 'smoke', zone => '1m', valid => 3600);
        fill('smoke', 3000);
        held('smoke', 3000) == 3000 or fail("$kind: keys are lost");
        stop_nginx('smoke');
        say("$kind: 3000 keys held");

        open_gateway($kind, 'smoke', workers => 8, listen => ' reuseport');
        gateway_round('smoke', 'checked/page', 1, 1000);
        stop_nginx('smoke');
        say("$kind: one key, 8 workers");
    }

    if (grep { $_ eq 'module' } kinds()) {
        effect_rounds(20);
        say('module: 20 deletes took effect');
    }
}


1;
