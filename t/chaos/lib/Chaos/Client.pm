package Chaos::Client;

# Many deletes at a time.

use strict;
use warnings;

use parent 'Exporter';

use IO::Select ();
use Socket qw(PF_INET SOCK_STREAM INADDR_LOOPBACK pack_sockaddr_in);
use Time::HiRes ();

our @EXPORT = qw(deletes delete_one);


# Sends what "next" returns (a hash with "port", "id", lines of "headers" if
# there are any, and what else the caller keeps there; undef is nothing now), up
# to "clients" at a time, until there is nothing and "more" is false.  Calls
# "done" with each, which has then "status" (0: lost), "body", "operation" and
# "seconds".  "hang_up" in it: the client does not wait for its answer.  "tick"
# is called every few milliseconds.

sub deletes {
    my (%args) = @_;

    my $select = IO::Select->new;
    my (%busy, %idle);
    my $clients = $args{clients} || 32;
    my $tick = $args{tick} || sub { };
    my $done = $args{done} || sub { };

    my $end = sub {
        my ($request, $sock) = @_;
        $request->{seconds} = Time::HiRes::time() - $request->{start};
        if ($sock) {
            $select->remove($sock);
            delete $busy{fileno $sock};
        }
        $done->($request);
    };

    while (1) {
        $tick->();

        while (keys %busy < $clients) {
            my $request = $args{next}->() or last;

            $request->{status} = 0;
            $request->{body} = $request->{input} = '';
            $request->{operation} = undef;
            $request->{start} = Time::HiRes::time();

            my $sock = pop @{ $idle{$request->{port}} }
                       || open_socket($request->{port});

            if (!$sock || !send_delete($sock, $request, $args{keepalive})
                || $request->{hang_up})
            {
                $end->($request);
                next;
            }

            $busy{fileno $sock} = [$request, $sock];
            $select->add($sock);
        }

        last unless %busy || $args{more} && $args{more}->();

        if (!%busy) {
            Time::HiRes::sleep(0.002);
            next;
        }

        for my $sock ($select->can_read(0.005)) {
            my ($request) = @{ $busy{fileno $sock} };

            my $n = sysread $sock, $request->{input}, 65536,
                            length $request->{input};

            if (!$n) {
                $end->($request, $sock);

            } elsif (parse($request)) {
                $end->($request, $sock);
                push @{ $idle{$request->{port}} }, $sock
                    if $request->{keepalive};
            }
        }

        my $now = Time::HiRes::time();

        for (values %busy) {
            my ($request, $sock) = @$_;
            next if $now - $request->{start} < 20;
            $request->{timed_out} = 1;
            $end->($request, $sock);
        }
    }
}


sub delete_one {
    my ($port, $id, %more) = @_;

    my @requests = { port => $port, id => $id, %more };
    my $answer;

    deletes(next => sub { shift @requests }, done => sub { $answer = $_[0] });

    return $answer;
}


sub open_socket {
    my ($port) = @_;

    socket my $sock, PF_INET, SOCK_STREAM, 0 or die "socket: $!";
    connect $sock, pack_sockaddr_in($port, INADDR_LOOPBACK) or return;
    return $sock;
}


sub send_delete {
    my ($sock, $request, $keepalive) = @_;

    return syswrite $sock,
        "DELETE /apiops/projects/shop/credentials/c$request->{id}/ HTTP/1.1\r\n"
        . "Host: localhost\r\nAuthorization: Bearer secret\r\n"
        . ($keepalive ? '' : "Connection: close\r\n")
        . ($request->{headers} // '') . "\r\n";
}


sub parse {
    my ($request) = @_;

    my $end = index $request->{input}, "\r\n\r\n";
    return if $end < 0;

    my $head = substr $request->{input}, 0, $end + 2;
    my ($length) = $head =~ /^Content-Length: (\d+)/mi;
    return if length $request->{input} < $end + 4 + ($length // 0);

    ($request->{status}) = $head =~ m{^HTTP/1.1 (\d+)};
    ($request->{operation}) = $head =~ /^Cred-Operation: (\w+)/m;
    $request->{keepalive} = $head =~ /^Connection: keep-alive/m;
    $request->{body} = substr $request->{input}, $end + 4;
    return 1;
}


1;
