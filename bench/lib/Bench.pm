package Bench;

# What the scenarios share: servers, preloaded credentials, loads, and what a
# load costs.

use strict;
use warnings;

use parent 'Exporter';

use Cwd ();
use CredTest::Process;
use CredTest::Redis;
use File::Path ();
use List::Util ();
use Time::HiRes ();

our @EXPORT = qw(
    %Nginx $Root $Rounds $Token start_redis set_environments start_nginx stop_nginx
    preload preload_keys check_left check_once clean template success
    get not_found load load_start load_wait compile has
    measure cpu switches peak rss median quartile spread pair wanted children environments
    settle say fail
);

our $Root = Cwd::abs_path(__FILE__ =~ s{/bench/lib/Bench\.pm$}{}r);
our $Rounds = $ENV{BENCH_ROUNDS} || 5;
our $Token = 'bench-token';
our %Nginx;

my $Home = "$Root/bench";
my $Load = "$Root/build/bench/load";

# the first is what peers and gateways work on, the other one its twin: as many
# environments of the same names in the same Redis servers

my @Registries = ({ prefix => '{cred}', environments => [] });


sub say  { local $| = 1; print "@_\n" }
sub fail { die "bench: @_\n" }


# Redis servers: the registry, and up to eight that hold the environments

sub start_redis {
    redis_start($_) for @_;
}


sub set_environments {
    my ($count, %args) = @_;

    @Registries = map {
        my ($registry, $letter) = @$_;
        { prefix => $registry,
          environments => [ map { environment($_, $letter) } 1 .. $count ] };
    } ['{cred}', 'e'], $args{twin} ? ['{twin}', 't'] : ();

    clean();
}


sub environment {
    my ($i, $letter) = @_;

    my $redis = sprintf 'redis%d', ($i - 1) % 8 + 1;
    redis_start($redis);
    my ($run_id) = redis($redis, 'INFO', 'server') =~ /run_id:(\w+)/;

    return {
        name   => sprintf('environment%02d', $i),
        redis  => $redis,
        prefix => "{$letter$i}",
        run_id => $run_id,
        url    => redis_tcp($redis) . "?prefix={$letter$i}",
    };
}


sub environments { @{ $Registries[0]{environments} } }


# Everything but the scripts and connections is as new: environments have no
# undeployments, and the registry knows that.  They still count calls: one that
# does not has lost its memory

sub clean {
    my %seen = map { $_->{redis} => 1 } environments();
    my $text = slurp("$Home/data/clean.lua");

    redis('registry', 'FLUSHALL');

    for (keys %seen) {
        my $is = redis($_, 'EVAL', $text, 0);
        $is eq 'OK' or fail("clean: $is");
    }

    for my $registry (@Registries) {
        my $P = $registry->{prefix};

        redis('registry', @$_) for
            ['HSET', "$P:apinizer:token:" . sha256($Token),
                     subject => 'alice', scope => 'bench'],
            ['HSET', "$P:apinizer:scope:bench", name => 'bench'],
            ['HSET', "$P:apinizer:members:bench", alice => 'manage'];

        for (@{ $registry->{environments} }) {
            redis('registry', 'HSET', "$P:positions", $_->{name},
                  "1:0-0:$_->{run_id}");
            redis('registry', 'HSET', "$P:environments", $_->{name}, $_->{url});
        }
    }
}


sub copies {
    return map { ({ redis => 'registry', prefix => $_->{prefix} },
                  @{ $_->{environments} }) } @Registries;
}


sub each_copy {
    my ($script, $first, $count) = @_;

    my $text = slurp("$Home/data/$script.lua");
    my $sum = 0;

    for my $copy (copies()) {
        for (my $i = $first; $i < $first + $count; $i += 5000) {
            my $last = List::Util::min($i + 5000, $first + $count) - 1;
            my $n = redis($copy->{redis}, 'EVAL', $text, 0, $copy->{prefix},
                          $i, $last);
            $n =~ /^\d+$/ or fail("$script: $n");
            $sum += $n;
        }
    }

    return $sum;
}


sub preload { each_copy('preload', @_) }


# their keys: KEY with eight digits in place of "@"

sub preload_keys {
    my ($key, $first, $count, @copies) = @_;

    my $text = slurp("$Home/data/keys.lua");

    for (my $i = $first; $i < $first + $count; $i += 5000) {
        my @hashes = map { sha256($key =~ s/\@{8}/sprintf '%08d', $_/er) }
                     $i .. List::Util::min($i + 5000, $first + $count) - 1;

        for (@copies ? @copies : copies()) {
            my $n = redis($_->{redis}, 'EVAL', $text, 0, $_->{prefix}, $i, @hashes);
            $n eq @hashes or fail("keys: $n");
        }
    }
}


# the acknowledgements follow the answers

sub settle {
    my ($seconds) = @_;

    wait_for(sub {
        !List::Util::sum0(map {
            my $P = $_->{prefix};
            map { redis('registry', 'ZCARD', "$P:pending:$_->{name}") }
                @{ $_->{environments} };
        } @Registries);
    }, $seconds // 10) or fail('undeployments are still pending');
}


sub check_left {
    my ($first, $count) = @_;

    settle();

    my $left = each_copy('left', $first, $count);
    fail("$left copies are left") if $left;
}


# the module would undeploy again what a peer has not acknowledged as it should

sub check_once {
    my ($count) = @_;

    for (environments()) {
        my $n = redis($_->{redis}, 'XLEN', "$_->{prefix}:undeployments");
        $n == $count or fail("$n undeployments in $_->{name}");
    }
}


# nginx, with one worker if it is not said

sub start_nginx {
    my ($name, %part) = @_;

    my %value = (
        MODULES => $part{modules} // '',
        HTTP    => $part{http} // '',
        SERVER  => $part{server},
        NAME    => $name,
        DIR     => $Dir,
        ROOT    => $Root,
        USER    => $> == 0 ? 'nobody nogroup' : 'nobody',
        PORT    => free_port(),
        LISTEN  => $part{listen} // '',
        WORKERS => $part{workers} // 1,
    );

    my $text = slurp("$Home/conf/nginx.conf");
    1 while $text =~ s/\@([A-Z]+)\@/$value{$1} \/\/ die "no $1"/ge;
    $text =~ s/^user .*\n//m if $> != 0;

    open my $out, '>', "$Dir/$name.conf" or die $!;
    print $out $text;
    close $out;

    my $nginx = $ENV{CRED_NGINX} || 'nginx';
    my $pid = spawn('nginx', $name, @{ $part{under} || [] }, $nginx,
                    '-p', $Dir, '-e', 'stderr', '-c', "$Dir/$name.conf",
                    @{ $part{options} || [] });

    $Nginx{$name} = { pid => $pid, port => $value{PORT} };

    wait_for(sub {
        IO::Socket::INET->new("127.0.0.1:$value{PORT}");
    }, 20) or fail("nginx $name does not start: " . slurp("$Dir/$name.log")
                   . slurp("$Dir/$name.error.log"));

    wait_for(sub {
        $Nginx{$name}{workers} = [ children($pid) ];
        @{ $Nginx{$name}{workers} } == $value{WORKERS};
    }) unless $part{single};

    return $value{PORT};
}


sub stop_nginx {
    my ($name) = @_;
    my $nginx = delete $Nginx{$name} or return;

    # a signal that comes just before the wait for events is seen after them

    kill 'TERM', $nginx->{pid};
    Time::HiRes::sleep(0.2);
    IO::Socket::INET->new("127.0.0.1:$nginx->{port}");
    reap($nginx->{pid}, 'TERM');
}


sub children {
    my ($pid) = @_;
    return split ' ', slurp("/proc/$pid/task/$pid/children");
}


# CPU time of processes with all their threads, in microseconds

sub cpu {
    my $ns = 0;

    for my $pid (@_) {
        $ns += (split ' ', slurp($_))[0] for glob "/proc/$pid/task/*/schedstat";
    }

    return $ns / 1000;
}


# how often they gave up a processor

sub switches {
    return List::Util::sum0(map {
        slurp("/proc/$_/status") =~ /ctxt_switches:\s+(\d+)/g
    } @_);
}


# resident memory in KiB: the most so far, and now

sub peak { List::Util::sum0(map { slurp("/proc/$_/status") =~ /VmHWM:\s+(\d+)/ } @_) }
sub rss  { List::Util::sum0(map { slurp("/proc/$_/status") =~ /VmRSS:\s+(\d+)/ } @_) }


# requests and answers

sub template {
    my ($name, $text) = @_;
    my $file = "$Dir/$name.template";
    $text =~ s/\r?\n/\r\n/g;
    open my $out, '>:raw', $file or die $!;
    print $out $text;
    close $out;
    return $file;
}


sub success {
    my @environments = environments();
    my $message = @environments ? 'Undeployment completed successfully'
                                : 'No environment is registered';

    return '{"success":true,"deploymentResult":{"success":true,"message":'
           . qq("$message","environmentResults":[)
           . join(',', map {
                 qq({"environmentName":"$_->{name}","success":true,)
                 . '"message":"Undeployed successfully"}'
             } @environments)
           . ']}}';
}


my $Loads = 0;

sub load_start {
    my (%args) = @_;

    my $id = 'load' . ++$Loads;

    if (defined(my $body = delete $args{body})) {
        open my $out, '>:raw', "$Dir/$id.body" or die $!;
        print $out $body;
        close $out;
        $args{e} = "$Dir/$id.body";
    }

    my @flags = map { delete $args{$_} ? "-$_" : () } qw(r d);

    $args{S} = int rand(1 << 62) | 1;

    return { id => $id, pid => spawn('load', $id, $Load, @flags,
                 map { ("-$_", $args{$_}) } sort keys %args) };
}


sub load_wait {
    my ($load) = @_;

    waitpid $load->{pid}, 0;
    delete $CredTest::Process::Child{ $load->{pid} };

    my $text = slurp("$Dir/$load->{id}.log");

    $? == 0 or fail($text || "load ended with status $?");

    return { $text =~ /(\w+)=([\d.]+)/g };
}


sub load { load_wait(load_start(@_)) }


# a load, and what it cost the processes per request

sub measure {
    my ($costs, @load) = @_;

    my %before = map { $_ => cpu(@{ $costs->{$_} }) } keys %$costs;
    my $result = load(@load);

    for (keys %$costs) {
        $result->{$_} = (cpu(@{ $costs->{$_} }) - $before{$_})
                        / $result->{requests};
    }

    return $result;
}


sub median {
    my @sorted = sort { $a <=> $b } @_;
    return @sorted % 2 ? $sorted[$#sorted / 2]
                       : ($sorted[@sorted / 2] + $sorted[@sorted / 2 - 1]) / 2;
}


# a quarter is less: what was disturbed least, where a little is to be told from
# much noise

sub quartile { my @sorted = sort { $a <=> $b } @_; return $sorted[$#sorted / 4] }


# half the range, in percent of the median

sub spread {
    my $median = median(@_) or return 0;
    return 50 * (List::Util::max(@_) - List::Util::min(@_)) / $median;
}


# median, and what the rounds spread

sub pair { sprintf '%.1f (±%.0f %%)', median(@_), spread(@_) }


sub wanted { my ($text) = @_; " (wanted $text)" }


# head and body of one answer

sub get {
    my ($port, $path, @headers) = @_;
    my $sock = IO::Socket::INET->new("127.0.0.1:$port") or fail("nginx: $!");
    print $sock join "\r\n", "GET $path HTTP/1.1", 'Host: localhost',
                'Connection: close', @headers, '', '';
    local $/;
    return split /\r\n\r\n/, scalar(<$sock>), 2;
}


# the body of nginx's own 404

sub not_found { (get($_[0], '/other'))[1] }


# NAME.c as build/bench/NAME

sub compile {
    mkdir "$Root/build"; mkdir "$Root/build/bench";
    system('gcc', '-O2', '-Wall', '-Wextra', '-o', "$Root/build/bench/$_",
           "$Home/$_.c") == 0 or fail("cannot compile $_.c") for @_;
}


sub has { my ($name) = @_; grep { -x "$_/$name" } split /:/, $ENV{PATH} }


1;
