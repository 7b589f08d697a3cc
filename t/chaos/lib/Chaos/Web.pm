package Chaos::Web;

# Programs of their own that connectors reach: a store of credentials, and what
# stands before it or another one.  They load nothing of the others here, and
# are run as "perl -MChaos::Web -e 'Chaos::Web::store(@ARGV)' ...".

use strict;
use warnings;

use IO::Handle ();
use IO::Select ();
use Socket qw(:DEFAULT INADDR_LOOPBACK IPPROTO_TCP TCP_NODELAY);

my $Select = IO::Select->new;


sub listener {
    my ($port) = @_;

    socket my $sock, PF_INET, SOCK_STREAM, 0 or die "socket: $!";
    setsockopt $sock, SOL_SOCKET, SO_REUSEADDR, 1;
    bind $sock, pack_sockaddr_in($port, INADDR_LOOPBACK) or die "$port: $!";
    listen $sock, 256 or die "$port: $!";
    $Select->add($sock);
    return $sock;
}


sub connected {
    my ($port) = @_;

    socket my $sock, PF_INET, SOCK_STREAM, 0 or die "socket: $!";
    connect $sock, pack_sockaddr_in($port, INADDR_LOOPBACK) or return;
    return ready($sock);
}


sub ready {
    my ($sock) = @_;
    setsockopt $sock, IPPROTO_TCP, TCP_NODELAY, 1;
    $Select->add($sock);
    return $sock;
}


sub drop {
    for my $sock (@_) {
        $Select->remove($sock);
        close $sock;
    }
}


# A store on a port: what is changed in it is on the disk before it is answered.
# Each credential has an id that no other one gets, and a name; a name leads to
# all that have it.  Gateways have copies of their own, which are gone with it,
# unless the store dies in a delete, as it does now and then while there is the
# file $faults; "/cache/ID" takes that one.

my (%name_of, %copies, $Faults, $Log);

sub store {
    my ($port, $file, $faults) = @_;

    $SIG{PIPE} = 'IGNORE';
    $Faults = $faults;

    load($file);

    my $listener = listener($port);
    my %input;

    while (1) {
        my @answers;

        for my $sock ($Select->can_read) {
            if ($sock == $listener) {
                accept my $client, $listener or next;
                ready($client);
                $input{$client} = '';
                next;
            }

            if (!sysread $sock, $input{$sock}, 65536, length $input{$sock}) {
                delete $input{$sock};
                drop($sock);
                next;
            }

            my ($method, $path, $body) = request(\$input{$sock}) or next;
            push @answers, [ $sock, answer($method, $path, $body) ];
        }

        $Log->flush && $Log->sync if @answers;

        for (@answers) {
            my ($sock, $status, $body) = @$_;

            if (!$status) {
                delete $input{$sock};
                drop($sock);
                next;
            }

            syswrite $sock, "HTTP/1.1 $status Status\r\n"
                . ($status == 204 ? "\r\n"
                   : 'Content-Length: ' . length($body) . "\r\n\r\n$body");
        }
    }
}


# what was not written to its end was not answered, either

sub load {
    my ($file) = @_;

    my $torn = 0;

    if (open my $in, '<', $file) {
        open $Log, '>', '/dev/null';

        while (<$in>) {
            $torn = !s/\n\z//;
            change(split) unless $torn;
        }
    }

    open $Log, '>>', $file or die "$file: $!";
    print $Log "\n" if $torn;
}


# requests come one by one

sub request {
    my ($input) = @_;

    my ($head) = $$input =~ /^(.*?\r\n\r\n)/s or return;
    my ($length) = $head =~ /^Content-Length: *(\d+)/mi;
    my $whole = length($head) + ($length // 0);

    return if length $$input < $whole;

    my $text = substr $$input, 0, $whole, '';
    my ($method, $path) = $text =~ /^(\S+) (\S+)/;
    return ($method, $path, substr $text, length $head);
}


sub answer {
    my ($method, $path, $body) = @_;

    # for the test: pairs of an id and a name are added, or all are told

    if ($method eq 'PUT') {
        my %new = split ' ', $body;
        change('add', $_, $new{$_}) for sort keys %new;
        return 204;
    }

    return (200, pairs(%name_of)) if $path eq '/all';
    return (200, pairs(%copies)) if $path eq '/copies';

    return (200, '{"data":[]}') if $path =~ m{^/key-auths(?:\?|\z)};

    my ($name) = $path =~ m{/([^/]+)$};

    if ($path =~ m{^/cache/}) {
        change('tell', $name);
        return 204;
    }

    my @ids = exists $name_of{$name} ? $name
              : grep { $name_of{$_} eq $name } keys %name_of;

    return (404, '{"message":"Not found"}') unless @ids;
    return (200, qq({"id":"$ids[0]"})) if $method eq 'GET';

    change('delete', @ids);

    return 0 if rand() < 0.05 && -e $Faults;

    change('tell', @ids);
    return 204;
}


sub change {
    my ($what, @ids) = @_;

    print $Log "@_\n";

    if ($what eq 'add') {
        $name_of{$ids[0]} = $copies{$ids[0]} = $ids[1];
    } elsif ($what eq 'delete') {
        delete @name_of{@ids};
    } elsif ($what eq 'tell') {
        delete @copies{@ids};
    }
}


sub pairs {
    my (%of) = @_;
    return join '', map { "$_ $of{$_}\n" } sort keys %of;
}


# Ports that lead to others, as pairs of these.  Of the answers some are lost,
# or all but their beginning, while there is the file $faults: the other side has
# acted then.

sub relay {
    my ($faults, %to) = @_;

    $SIG{PIPE} = 'IGNORE';
    STDOUT->autoflush;

    my %listener = map { my $sock = listener($_); ($sock => $to{$_}) } keys %to;
    my (%peer, %asked);

    while (1) {
        for my $sock ($Select->can_read) {
            next unless defined fileno $sock;

            if (my $port = $listener{$sock}) {
                accept my $client, $sock or next;
                my $server = connected($port) or next;
                ready($client);
                @peer{$client, $server} = ($server, $client);
                $asked{$server} = 0;
                next;
            }

            my $peer = $peer{$sock};
            my $end = !sysread $sock, my $bytes, 65536;

            if (exists $asked{$peer}) {
                $asked{$peer} = 1;

            } elsif (!$end && $asked{$sock}) {
                $asked{$sock} = 0;

                if (rand() < 0.06 && -e $faults) {
                    $end = 1;
                    print "lost\n";
                    syswrite $peer, substr $bytes, 0, rand length $bytes
                        if rand() < 0.3;
                }
            }

            if ($end) {
                delete @peer{$sock, $peer};
                delete @asked{$sock, $peer};
                drop($sock, $peer);
                next;
            }

            syswrite $peer, $bytes;
        }
    }
}


1;
