package BenchAccess;

# What a gateway's check costs: cached, looked up, cold, in memory, and many at
# once.

use strict;
use warnings;

use parent 'Exporter';

use Bench;
use BenchGateways;
use BenchPeers;
use CredTest::Process;
use CredTest::Redis;
use List::Util qw(sum0);
use Time::HiRes ();

our @EXPORT = qw(access steps unknown cold memory_of_keys hot prepare open_gateway
                 gateway_round cold_round fill held);

my $Keys = 1000;

# what is served, and with how many keys in turn

my @Cases = (['page', 1], ['page', $Keys], ['proxied', $Keys]);

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


# What is added is little: many short rounds, of which the least disturbed quarter
# counts.  Halves of them tell how far that can be trusted.

sub access {
    my $rounds = 30 * $Rounds;
    my @kinds = kinds();
    my %all;

    say("\n## Cached checks, 64 clients, $rounds short interleaved rounds\n");

    prepare($Keys);
    open_gateway($_, "access-$_", valid => 3600) for @kinds;

    for my $round (0 .. $rounds) {
        for my $case (@Cases) {
            my ($handler, $keys) = @$case;
            for my $kind (@kinds) {
                for my $path ("plain/$handler", "checked/$handler") {
                    my $m = gateway_round("access-$kind", $path, $keys, 4000);
                    push @{ $all{"@$case"}{$kind}{$path} }, $m if $round;
                }
            }
        }
    }

    say('| handler | keys | gateway | requests/s | CPU µs per request '
        . '| without check | added | odd rounds | even rounds |');
    say('|---|---:|---|---:|---:|---:|---:|---:|---:|');

    for my $case (@Cases) {
        my ($handler, $keys) = @$case;
        my %added;

        for my $kind (@kinds) {
            my ($plain, $checked) = @{ $all{"@$case"}{$kind} }
                                    {"plain/$handler", "checked/$handler"};
            my @all = 0 .. $rounds - 1;

            for my $part (\@all, [ grep { $_ % 2 } @all ], [ grep { !($_ % 2) } @all ]) {
                push @{ $added{$kind} }, quartile(map { $_->{cpu} } @$checked[@$part])
                                         - quartile(map { $_->{cpu} } @$plain[@$part]);
            }

            say(sprintf '| %s | %d | %s | %.0f | %.2f | %.2f | %.2f | %.2f | %.2f |',
                $Handler{$handler}, $keys, $kind, median(map { $_->{rate} } @$checked),
                (map { quartile(map { $_->{cpu} } @$_) } $checked, $plain),
                @{ $added{$kind} });
        }

        say(sprintf '| %s | %d | *lua against module* | | | | %.1f times%s | %.1f '
            . '| %.1f |', $Handler{$handler}, $keys,
            $added{lua}[0] / $added{module}[0], wanted('>= 3'),
            map { $added{lua}[$_] / $added{module}[$_] } 1, 2) if @kinds == 2;
    }

    stop_nginx("access-$_") for @kinds;
}


# nothing else goes on in a gateway whose instructions are counted: neither a
# lease call nor a lookup

sub steps {
    say("\n## Cached checks, instructions per request outside of the kernel\n");
    say('| handler | gateway | without check | with | more |');
    say('|---|---|---:|---:|---:|');

    prepare(1);

    for my $kind (kinds()) {
        my $name = "steps-$kind";
        open_gateway($kind, $name, valid => 3600, lease => 3600);
        wait_for(sub { missed($name, 1) =~ /^0/ }) or fail("$name has no lease");

        for my $handler (qw(page proxied)) {
            my @is;

            for my $path ("plain/$handler", "checked/$handler") {
                load(gateway_load($name, $path, 1, 2000, c => 1));
                my $n = instructions($name, $path, 10, 40);
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
# while its Redis is stopped, until they have arrived, and some seconds longer; how
# often was the key looked up?  "leased": it has connections, and a lease.

sub cold_round {
    my ($kind, $workers, $leased, $number, $longer) = @_;
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

    Time::HiRes::sleep($longer // 0);
    redis_resume($environment->{redis});
    load_wait($load);
    stop_nginx('cold');

    my $hash = sha256(key_of($number));
    return scalar grep { /"get" "[^"]*:key:$hash"/i } $commands->();
}


sub cold {
    my @rounds = (
        ['lookups', 0, 0],
        ['after it had a lease', 1, 0],
        ['unknown key', 1, 99999999],
        ['Redis stopped 0.5 s longer', 1, 0, 0.5],
    );

    say("\n## A cold gateway, 64 clients with one key\n");
    say('| gateway | workers | ' . join(' | ', map { $_->[0] } @rounds) . ' |');
    say('|---|---:|' . '---:|' x @rounds);

    prepare($Keys);

    for my $kind (kinds()) {
        for my $workers (1, 4) {
            my @n;
            for (1 .. $Rounds) {
                for my $i (0 .. $#rounds) {
                    my (undef, @how) = @{ $rounds[$i] };
                    push @{ $n[$i] }, cold_round($kind, $workers, @how);
                }
            }
            say(sprintf '| %s | %d | %s |', $kind, $workers, join ' | ',
                map { join(' ', @{ $n[$_] })
                      . ($_ == 0 && $kind eq 'module' ? wanted('1') : '') } 0 .. $#n);
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


# requests that were not answered from the cache

sub missed {
    my ($name, $count) = @_;
    my $m = load(gateway_load($name, 'marked/page', 1, $count,
                              H => 'X-Cred-Cache: HIT'));
    return sprintf '%d of %d', $count - $m->{marked}, $count;
}


sub hot {
    my $rounds = 20 * $Rounds;
    my @paths = qw(plain/page checked/page);
    my (@gateways, %all);

    say("\n## One key, 64 clients, $rounds short interleaved rounds\n");

    prepare(1);

    for my $kind (kinds()) {
        for my $workers (1, 8) {
            my $name = "hot-$kind-$workers";
            open_gateway($kind, $name, workers => $workers, listen => ' reuseport',
                         valid => 3600);
            push @gateways, [$name, $kind, $workers];
        }
    }

    for my $round (0 .. $rounds) {
        for my $gateway (@gateways) {
            my ($name) = @$gateway;
            for my $path (@paths) {
                my $before = switches(@{ $Nginx{$name}{workers} });
                my $m = gateway_round($name, $path, 1, 4000);
                $m->{switches} = (switches(@{ $Nginx{$name}{workers} }) - $before)
                                 / $m->{requests};
                push @{ $all{"$name-$path"} }, $m if $round;
            }
        }
    }

    say('| gateway | workers | check | requests/s | p99 ms | CPU µs per request | added '
        . '| context switches | waits for a lock | looked up |');
    say('|---|---:|---|---:|---:|---:|---:|---:|---:|---:|');

    for my $gateway (@gateways) {
        my ($name, $kind, $workers) = @$gateway;
        my ($plain) = map { quartile(map { $_->{cpu} } @$_) } $all{"$name-plain/page"};

        for my $path (@paths) {
            my @m = @{ $all{"$name-$path"} };
            my $checked = $path =~ /checked/;
            my $cpu = quartile(map { $_->{cpu} } @m);
            my $waits = waits($name, gateway_load($name, $path, 1, 50000));

            say(sprintf '| %s | %d | %s | %.0f | %.2f | %.2f | %s | %.3f | %s | %s |',
                $kind, $workers, $checked ? 'yes' : 'no',
                median(map { $_->{rate} } @m), median(map { $_->{p99} / 1000 } @m),
                $cpu, $checked ? sprintf('%.2f', $cpu - $plain) : '',
                median(map { $_->{switches} } @m),
                defined $waits ? sprintf('%.4f', $waits) : '',
                $checked ? missed($name, 50000) : '');
        }

        stop_nginx($name);
    }
}


1;
