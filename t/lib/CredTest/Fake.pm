package CredTest::Fake;

# A broken peer where a Redis is expected, never in place of a good one.

use strict;
use warnings;

use parent 'Exporter';

use CredTest::Process;
use CredTest::Redis;
use Digest::SHA ();
use IO::Select ();
use IO::Socket::INET ();
use POSIX ();
use Socket qw(SOL_SOCKET SO_LINGER);
use Time::HiRes ();

our @EXPORT = qw(
    fake fakes fake_log fake_scripts fake_command fake_script LARGEST
);

# number that nginx reads from a string: the class in the ELF header of the
# module tells, which has not always that of Perl

use constant LARGEST => substr(slurp(tested_module()), 4, 1) eq "\x02"
                        ? '9223372036854775807' : '2147483647';


sub fake { return (fakes({ @_ }))[0] }


# several in one process; returns their ports

sub fakes {
    my @peers = @_;

    for my $peer (@peers) {
        $peer->{port} = free_port();

        $peer->{listener} = IO::Socket::INET->new(LocalAddr => '127.0.0.1',
            LocalPort => $peer->{port}, Listen => 64, ReuseAddr => 1)
            or die "fake: $!";
    }

    spawn('fake', "fake-$peers[0]{port}", sub { fake_serve(@peers) });

    close $_->{listener} for @peers;

    return map { $_->{port} } @peers;
}


sub fake_serve {
    my @peers = @_;

    my $select = IO::Select->new;
    my (%listens, %speaks, %input);

    @SIG{qw(CHLD PIPE)} = ('IGNORE') x 2;

    for my $peer (@peers) {
        $peer->{replies} = {
            AUTH   => "+OK\r\n",
            SELECT => "+OK\r\n",
            EXISTS => ":0\r\n",
            INFO   => resp_info(),
            ROLE   => resp_role(),
            PING   => "+PONG\r\n",
            TIME   => sub { resp(Time::HiRes::gettimeofday()) },
            STREAM => "*4\r\n:1\r\n\$3\r\n0-0\r\n\$0\r\n\r\n\$1\r\n0\r\n",
            %{ $peer->{replies} || {} },
        };

        for my $log (qw(commands scripts)) {
            open $peer->{$log}, '>', "$Dir/fake-$peer->{port}.$log";
            $peer->{$log}->autoflush;
        }

        next if $peer->{asleep};

        $listens{ $peer->{listener} } = $peer;
        $select->add($peer->{listener});
    }

    while (my @ready = $select->can_read) {
        for my $sock (@ready) {

            if (my $peer = $listens{$sock}) {
                my $client = $sock->accept or next;
                print { $peer->{$_} } "(connected)\n" for qw(commands scripts);
                $speaks{$client} = $peer;
                $input{$client} = '';
                $select->add($client) unless $peer->{deaf};
                $peer->{kept}{$client} = $client if $peer->{deaf};
                fake_send($select, $client, $peer->{greeting}, %$peer)
                    if defined $peer->{greeting};
                next;
            }

            my ($peer, $text) = ($speaks{$sock}, \$input{$sock});

            if (sysread $sock, $$text, 65536, length $$text) {
                next if fake_answer($select, $sock, $text, $peer);
            } else {
                print { $peer->{commands} } "(closed)\n";
                $select->remove($sock);
            }

            delete $input{$sock};
            delete $speaks{$sock};
        }
    }
}


# to all commands that are there; false if it has closed the connection

sub fake_answer {
    my ($select, $sock, $text, $peer) = @_;

    my $replies = $peer->{replies};

    while (my @command = fake_command($text)) {
        print { $peer->{commands} }
              join(' ', map { s/[^ -~]/?/gr } @command), "\n";

        my $name = uc $command[0];
        my $script = $name =~ /^EVAL/ ? fake_script(@command) : '';
        print { $peer->{scripts} } "$script\n" if $script ne '';
        $name = $script if exists $replies->{$script};
        my $reply = $replies->{$name};

        $reply = @$reply > 1 ? shift @$reply : $reply->[0]
            if ref $reply eq 'ARRAY';
        $reply = $reply->(@command) if ref $reply eq 'CODE';
        $reply = "-ERR unknown command '$name'\r\n"
            unless exists $replies->{$name};

        fake_send($select, $sock, $reply, %$peer) or return 0;
    }

    return 1;
}


sub resp_info { return "\$19\r\ncluster_enabled:1\r\n\r\n" }

sub resp_role { return "*3\r\n\$6\r\nmaster\r\n:0\r\n*0\r\n" }


sub fake_send {
    my ($select, $sock, $reply, %args) = @_;

    return 1 unless defined $reply;
    return fake_endless($sock, %$reply) if ref $reply eq 'HASH';

    my $close = ref $reply;
    my $bytes = !$close ? $reply : $close eq 'REF' ? $$$reply : $$reply;

    Time::HiRes::sleep($args{delay}) if $args{delay};

    my $step = $args{step} || length $bytes || 1;

    for (my $i = 0; $i < length $bytes; $i += $step) {
        Time::HiRes::sleep($args{pause} // 0.001) if $i;
        syswrite $sock, substr($bytes, $i, $step) or last;
    }

    return 1 unless $close;

    # without a linger the other side gets a reset

    setsockopt $sock, SOL_SOCKET, SO_LINGER, pack('ii', 1, 0)
        if $close eq 'REF';

    $select->remove($sock);
    close $sock;
    return 0;
}


# in a process of its own, until the other side has closed

sub fake_endless {
    my ($sock, %reply) = @_;

    my $pid = fork // return 1;
    return 1 if $pid;

    # it would keep connections open that are to be closed

    POSIX::close($_) for grep { $_ != fileno $sock } 3 .. 1023;

    $SIG{PIPE} = 'DEFAULT';
    syswrite $sock, $reply{first} if defined $reply{first};

    while (1) {
        syswrite $sock, $reply{endless} or last;
        Time::HiRes::sleep($reply{pause}) if $reply{pause};
    }

    POSIX::_exit(0);
}


sub fake_command {
    my ($input) = @_;

    $$input =~ /\A\*(\d+)\r\n/g or return;

    my @words;

    for (1 .. $1) {
        $$input =~ /\G\$(\d+)\r\n/gc or return;
        my ($start, $length) = (pos $$input, $1);
        return if length $$input < $start + $length + 2;
        push @words, substr $$input, $start, $length;
        pos($$input) = $start + $length + 2;
    }

    substr $$input, 0, pos $$input, '';
    return @words;
}


# which script it is: "DELETE" of delete.lua, and so on, or ""

my %Scripts;

sub fake_script {
    my ($how, $script) = @_;

    %Scripts = map { fake_sha($_) => uc s{.*/(\w+)\.lua$}{$1}r }
               glob 'src/lua/*.lua' unless %Scripts;

    $script = Digest::SHA::sha1_hex($script) if uc $how eq 'EVAL';

    return $Scripts{$script} // '';
}


# of what the build makes of it

sub fake_sha {
    my $text = slurp($_[0]) =~ s/^[ \t]+//mgr =~ s/^--.*\n//mgr =~ s/^\n//mgr;
    return Digest::SHA::sha1_hex($text);
}


sub fake_log { split /\n/, slurp("$Dir/fake-$_[0].commands") }

# of that only connections and the names of scripts, which is quick to read

sub fake_scripts { split /\n/, slurp("$Dir/fake-$_[0].scripts") }


1;
