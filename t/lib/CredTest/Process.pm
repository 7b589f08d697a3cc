package CredTest::Process;

# Processes that a test starts, in a folder and with ports of its own.

use strict;
use warnings;

use parent 'Exporter';

use Cwd ();
use File::Temp ();
use IO::Select ();
use IO::Socket::INET ();
use POSIX ();
use Time::HiRes ();

use CredTest::Port;

our ($Dir, %Child);

# seconds; what is waited for takes longer on a busy machine

our $Patience = $ENV{CRED_PATIENCE} || 30;

our @EXPORT = qw(
    $Dir %Child spawn reap reap_all dns dns_change events free_port read_line
    read_bytes slurp temp_dir tested_module wait_for
);

my %Dns;


$Dir = File::Temp::tempdir('cred-test-XXXXXX', TMPDIR => 1);
chmod 0755, $Dir;


# hundreds of peers take more files than many a shell gives

my ($Files, $Most) = slurp('/proc/self/limits') =~ /^Max open files +(\d+) +(\d+)/m;

system('prlimit', "--pid=$$", '--nofile=' . ($Most < 8192 ? $Most : 8192) . ':')
    if defined $Most && $Files < 8192;


sub temp_dir { $Dir }


sub spawn {
    my ($kind, $name, @command) = @_;

    my $pid = fork // die "fork: $!";

    if ($pid == 0) {
        open STDIN, '<', '/dev/null';
        open STDOUT, '>>', "$Dir/$name.log";
        open STDERR, '>&', \*STDOUT;
        $SIG{$_} = 'DEFAULT' for qw(INT TERM HUP PIPE);

        if (ref $command[0]) {
            eval { $command[0]->() };
            print STDERR $@;
        } else {
            exec @command;
        }

        POSIX::_exit(1);
    }

    $Child{$pid} = $kind;
    return $pid;
}


sub reap {
    my ($pid, $signal) = @_;
    return unless defined $pid && delete $Child{$pid};
    kill $signal, $pid;
    wait_for(sub { waitpid($pid, POSIX::WNOHANG()) != 0 })
        or kill('KILL', $pid) && waitpid($pid, 0);
}


# a master that is killed would leave its workers behind

sub reap_all {
    kill 'CONT', keys %Child;
    kill 'TERM', keys %Child;

    reap($_, 'TERM') for keys %Child;
}


# a name server; returns its port.  A name may have an array of addresses

sub dns {
    my (%hosts) = @_;

    my $port = free_port();
    dns_serve($port, %hosts);
    return $port;
}


# from now on it names these

sub dns_change {
    my ($port, %hosts) = @_;
    reap($Dns{$port}, 'KILL');
    dns_serve($port, %hosts);
}


sub dns_serve {
    my ($port, %hosts) = @_;

    $Dns{$port} = spawn('dns', 'dns', 'dnsmasq', '--keep-in-foreground',
        '--conf-file=-', "--port=$port", '--listen-address=127.0.0.1',
        '--bind-interfaces', '--no-resolv', '--no-hosts', '--pid-file',
        '--user=' . getpwuid($>), '--log-facility=-',
        map {
            my $name = $_;
            my $address = $hosts{$name};
            ("--local=/$name/", map { "--address=/$name/$_" }
                                ref $address ? @$address : $address);
        } keys %hosts);

    wait_for(sub { IO::Socket::INET->new("127.0.0.1:$port") })
        or die "dnsmasq does not start:\n" . slurp("$Dir/dns.log");
}


# the block of a configuration, with the method that Test::Nginx is told to use

sub events {
    my ($connections) = @_;

    my $type = $ENV{TEST_NGINX_EVENT_TYPE};
    my $use = $type ? "use $type; " : '';

    return "events { ${use}worker_connections $connections; }";
}


sub read_line {
    my ($sock, $seconds) = @_;
    my $line = '';
    $line .= read_bytes($sock, 1, $seconds) until $line =~ /\n\z/;
    return $line;
}


sub read_bytes {
    my ($sock, $length, $seconds) = @_;

    my $bytes = '';

    while (length $bytes < $length) {
        IO::Select->new($sock)->can_read($seconds // $Patience) or die "no answer\n";
        sysread $sock, $bytes, $length - length $bytes, length $bytes
            or die "closed\n";
    }

    return $bytes;
}


sub slurp {
    open my $in, '<:raw', $_[0] or return '';
    local $/;
    return scalar(<$in>) // '';
}


# the one that is tested

sub tested_module {
    return $ENV{CRED_MODULE} || Cwd::abs_path('build/ngx_cred_module.so');
}


sub wait_for {
    my ($condition, $seconds) = @_;

    my $end = Time::HiRes::time() + ($seconds // $Patience);

    while (1) {
        my $result = $condition->();
        return $result if $result;
        return '' if Time::HiRes::time() > $end;
        Time::HiRes::sleep(0.01);
    }
}


1;
