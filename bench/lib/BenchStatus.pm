package BenchStatus;

# What counting costs a worker, and what a scrape does.

use strict;
use warnings;

use parent 'Exporter';

use Bench;
use BenchPeers;
use CredTest::Process;
use CredTest::Redis;
use POSIX ();
use Time::HiRes ();

our @EXPORT = qw(status);


# how often each counts; "scraped" is "counted", with a scrape each second

my %Times = (uncounted => 0, counted32 => 32);
my @Order = qw(uncounted counted counted32 scraped);


sub status_start {
    my $so = "$Root/build/bench/counting.so";

    system('gcc', '-O2', '-Wall', '-Wextra', '-shared', '-fPIC', '-o', $so,
           "$Root/bench/counting.c") == 0 or fail('cannot compile counting.c');

    set_environments(2);

    for my $name (@Order) {
        my $times = $Times{$name};

        nginx($name, !defined $times ? [] :
              ['env', "LD_PRELOAD=$so", "COUNTING=$times",
               'COUNTING_MODULE=' . BenchPeers::module()]);

        wait_for(sub {
            slurp("$Dir/$name.error.log") =~ /counted $times times/;
        }) or fail("it is not counted $times times") if defined $times;
    }
}


sub nginx {
    my ($name, $under, @args) = @_;

    start_nginx($name, under => $under, @args,
        modules => 'load_module ' . BenchPeers::module() . ';',
        http    => 'cred_registry ' . redis_tcp('registry') . ';',
        server  => 'location / { cred_delete apinizer; }'
                   . 'location = /metrics { cred_status prometheus; }');
}


sub status_load {
    my ($name, $count, %args) = @_;

    # BenchPeers' is for its own peers
    local $Peer{$name} = { port => $Nginx{$name}{port} };

    return delete_load($name, 0, $count, %args);
}



sub status_round {
    my ($name, $count, %args) = @_;

    Bench::clean();
    preload(0, $count);

    my $scraper = $name eq 'scraped' ? scraper($Nginx{$name}{port}) : undef;
    my $m = measure({ cpu => $Nginx{$name}{workers} },
                    status_load($name, $count, %args));

    reap($scraper, 'KILL') if $scraper;
    check_left(0, $count);

    return $m;
}


# at once, and then each second

sub scraper {
    my ($port) = @_;

    return spawn('scraper', 'scraper', sub {
        while (1) {
            my (undef, $body) = get($port, '/metrics');
            $body =~ /^cred_deletes_total/m or die 'no metrics';
            Time::HiRes::sleep(1);
        }
    });
}


sub status {
    my $rounds = 12 * $Rounds;      # short ones, which spread widely
    my %m;

    say("\n## Counting, 64 clients, two environments, $rounds interleaved rounds\n");
    status_start();

    say('| by | deletes/s | CPU µs per delete | against uncounted |');
    say('|---|---:|---:|---:|');

    status_round($_, 200) for @Order;

    for (1 .. $rounds) {
        push @Order, shift @Order;
        push @{ $m{$_} }, status_round($_, 8000) for @Order;
    }

    for my $by (qw(uncounted counted counted32 scraped)) {
        my @of = @{ $m{$by} };
        my $more = median(map { $of[$_]{cpu} / $m{uncounted}[$_]{cpu} }
                          0 .. $rounds - 1);

        say(sprintf '| %s | %s | %s | %.3f times%s |', $by,
            pair(map { $_->{rate} } @of), pair(map { $_->{cpu} } @of), $more,
            $by ne 'counted32' ? '' :
            sprintf ', %+.2f %% for once (wanted <= 1)', 100 * ($more - 1) / 32);
    }

    my $n = 500;
    my $before = cpu(@{ $Nginx{counted}{workers} });
    get($Nginx{counted}{port}, '/metrics') for 1 .. $n;
    say(sprintf "\na scrape: %.0f µs of the worker",
        (cpu(@{ $Nginx{counted}{workers} }) - $before) / $n);

    stop_nginx($_) for @Order;
    instructions() if has('valgrind');
}


# by callgrind: of a delete, and within what counts

sub instructions {
    my @entries = qw(deleted attempted);
    my %per;

    for my $what ('all', 'counting') {
        my %total;

        for my $count (2000, 6000) {
            my $out = "$Dir/callgrind.$what.$count";

            Bench::clean();
            preload(0, $count);
            nginx('grind', ['valgrind', '-q', '--tool=callgrind',
                            "--callgrind-out-file=$out",
                            $what eq 'all' ? () :
                            map { "--toggle-collect=ngx_cred_status_$_" }
                            @entries],
                  single => 1, options => ['-g', 'master_process off;']);
            load(status_load('grind', $count, c => 64));
            check_left(0, $count);
            stop_nginx('grind');

            ($total{$count}) = slurp($out) =~ /^(?:summary|totals): (\d+)/m
                or fail('callgrind says nothing');
        }

        $per{$what} = ($total{6000} - $total{2000}) / 4000;
    }

    say(sprintf 'instructions of the worker per delete: %.0f, of which counting '
        . '%.0f (%.2f %%)', $per{all}, $per{counting},
        100 * $per{counting} / $per{all});
}


1;
