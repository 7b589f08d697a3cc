package CredTest::Port;

# Ports for servers: each belongs to one program at a time, also while nothing
# listens there, as between two starts of a server.

use strict;
use warnings;

use parent 'Exporter';

use Socket qw(PF_INET PF_UNIX SOCK_STREAM SOL_SOCKET SO_REUSEADDR INADDR_ANY
              pack_sockaddr_in pack_sockaddr_un);

our @EXPORT = qw(free_port free_ports);

# below the ports that connections get

use constant { FIRST => 10000, LAST => 31999 };

my $Next = FIRST + $$ * 20 % (LAST - FIRST);
my @Held;


sub free_port { free_ports(0) }


# the first of several, each so far above it as one of the arguments

sub free_ports {
    my (@above) = @_;

    my ($most) = sort { $b <=> $a } @above;

    for (FIRST .. LAST) {
        my $port = $Next++;
        $Next = FIRST if $Next > LAST;
        next if $port + $most > LAST;

        my @names = grep { defined } map { hold($port + $_) } @above;
        next if @names < @above || grep { !is_free($port + $_) } @above;

        push @Held, @names;
        return $port;
    }

    die 'no free port';
}


# a name that only one socket of this machine can have, until it is closed

sub hold {
    my ($port) = @_;

    socket my $sock, PF_UNIX, SOCK_STREAM, 0 or die "socket: $!";
    return bind($sock, pack_sockaddr_un("\0cred-port-$port")) ? $sock : undef;
}


sub is_free {
    my ($port) = @_;

    socket my $sock, PF_INET, SOCK_STREAM, 0 or die "socket: $!";
    setsockopt $sock, SOL_SOCKET, SO_REUSEADDR, 1;
    return bind($sock, pack_sockaddr_in($port, INADDR_ANY)) && listen $sock, 1;
}


1;
