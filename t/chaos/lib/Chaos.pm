package Chaos;

# What the programs of t/chaos share: the size and the seed of a run, figures
# and tests, the processes and their end.  Each prints its figures as comments
# of TAP.

use strict;
use warnings;

use File::Basename ();
use File::Path ();
use Test::More ();
use Time::HiRes ();

use Chaos::Client;
use Chaos::Nginx;
use Chaos::Process;
use Chaos::Redis;
use Chaos::Target;

my ($Owner, $Mode) = ($$);

my @Exports = (qw(full size figure ms percentile spread one_of),
               @Chaos::Client::EXPORT, @Chaos::Nginx::EXPORT,
               @Chaos::Process::EXPORT, @Chaos::Redis::EXPORT,
               @Chaos::Target::EXPORT);


sub import {
    my $caller = caller;

    strict->import;
    warnings->import;

    no strict 'refs';

    *{"${caller}::$_"} = \&$_ for @Exports;
    *{"${caller}::$_"} = \&{"Test::More::$_"} for qw(ok is diag done_testing);
    *{"${caller}::$_"} = \&{"Time::HiRes::$_"} for qw(time sleep);

    $Mode = $ARGV[0] // 'short';
    die "usage: $0 [short|full]\n" unless $Mode =~ /^(?:short|full)$/;

    my $seed = $ENV{CRED_SEED} // int(time) % 1_000_000;

    srand $seed;
    $| = 1;

    figure('%s, %s, CRED_SEED=%s', File::Basename::basename($0), $Mode, $seed);

    $SIG{$_} = sub { exit 1 } for qw(INT TERM HUP);
    $SIG{PIPE} = 'IGNORE';
    $SIG{ALRM} = sub { die "it takes too long\n" };
    alarm 420;
}


END {
    if ($$ == $Owner && defined $Mode) {
        my $status = $?;
        my $passed = $status == 0 && Test::More->builder->is_passing;

        alarm 0;
        Chaos::Process::kill_all();

        if ($passed && !$ENV{CRED_KEEP}) {
            File::Path::remove_tree(temp_dir());
        } else {
            print STDERR '# logs are in ', temp_dir(), "\n";
        }

        $? = $status;
    }
}


sub full { $Mode eq 'full' }
sub size { full() ? $_[1] : $_[0] }
sub one_of { $_[rand @_] }
sub ms { sprintf '%.0f ms', $_[0] * 1000 }


sub figure {
    my ($format, @values) = @_;
    printf "# $format\n", @values;
}


sub percentile {
    my ($percent, @values) = @_;
    return 0 unless @values;
    @values = sort { $a <=> $b } @values;
    return $values[int($percent / 100 * $#values + 0.5)];
}


# of seconds

sub spread {
    return sprintf 'median %.1f ms, p99 %.1f ms, longest %.1f ms',
                   map { 1000 * percentile($_, @_) } 50, 99, 100;
}


1;
