package CredTest::Stub::Server;

# The process of a stub: connections, rules, and requests, which have to be
# perfect HTTP.

use strict;
use warnings;

use CredTest::Process;
use IO::Select ();
use JSON::PP ();
use List::Util ();
use Socket qw(SOL_SOCKET SO_LINGER IPPROTO_TCP TCP_NODELAY);
use Time::HiRes ();

my $Json = JSON::PP->new->latin1->allow_nonref->canonical;

my ($Stub, $Log, %Listener, %Conn, %Rules);
my ($Next, $Count) = (1, 0);


sub serve {
    my $control;

    ($Stub, $control) = @_;

    @SIG{qw(PIPE HUP)} = ('IGNORE') x 2;

    open $Log, '>', "$Dir/stub-" . $Stub->port . '.requests' or die "stub: $!";
    $Log->autoflush;

    %Listener = %{ $Stub->{listener} };

    while (1) {
        my $wait = List::Util::min(0.5, $Stub->tick, map { advance($_) }
                                                     values %Conn);

        my %at = map { $Listener{$_} => $_ } keys %Listener;

        my ($readable, $writable) = IO::Select->select(
            IO::Select->new($control, values %Listener,
                            map { $_->{sock} } values %Conn),
            IO::Select->new(map { length $_->{out} ? $_->{sock} : () }
                            values %Conn),
            undef, $wait);

        for my $sock (@{ $readable || [] }) {
            if ($sock == $control) {
                obey(scalar $control->accept);
            } elsif (exists $at{$sock}) {
                take($at{$sock}, $sock);
            } elsif ($Conn{$sock}) {
                receive($Conn{$sock});
            }
        }

        send_more($_) for grep { defined } map { $Conn{$_} } @{ $writable || [] };
    }
}


sub obey {
    my ($sock) = @_;

    my $args = $Json->decode(read_line($sock));
    my $is = eval { done($args) };

    print $sock $Json->encode($@ ? { error => $@ } : { is => $is }), "\n";
}


sub done {
    my ($args) = @_;

    my ($what, $rule) = @$args{qw(what rule)};

    if ($what eq 'rule') {
        my $regex = $args->{on} // '^';
        $Rules{$Next} = { times => 1, %$args, rule => $Next, matched => 0,
                          regex => qr/$regex/ };
        return $Next++;
    }

    return $Rules{$rule}{matched} if $what eq 'matched';

    if ($what eq 'release') {
        delete $Rules{$rule}{holds} if $rule;
        delete $_->{held} for grep { !$rule || $_->{held} == $rule }
                              grep { $_->{held} } values %Conn;
        return 1;
    }

    if ($what eq 'do') {
        my $method = $args->{method};
        return $Stub->$method(@{ $args->{args} });
    }

    return scalar grep { $_->{at} eq $args->{at} } values %Conn
        if $what eq 'connections';

    if ($what eq 'forget') {
        %Rules = ();
        return 1;
    }

    # one of the last three

    if ($what eq 'up') {
        $Listener{$_} ||= CredTest::Stub::listener($Stub->port($_))
            for $Stub->ports;
        return 1;
    }

    if ($what eq 'down') {
        close $_ for values %Listener;
        %Listener = ();
    }

    drop($_) for values %Conn;
    return 1;
}


sub take {
    my ($at, $listener) = @_;

    my $sock = $listener->accept or return;

    $sock->blocking(0);
    setsockopt $sock, IPPROTO_TCP, TCP_NODELAY, 1;

    $Conn{$sock} = { sock => $sock, at => $at, conn => ++$Count, in => '',
                     out => '', steps => [], nth => 0 };
}


sub drop {
    my ($conn, $how) = @_;

    # without a linger the other side gets a reset

    setsockopt $conn->{sock}, SOL_SOCKET, SO_LINGER, pack('ii', 1, 0)
        if ($how // '') eq 'reset';

    delete $Conn{ $conn->{sock} };
    close $conn->{sock};
}


sub receive {
    my ($conn) = @_;

    my $n = sysread $conn->{sock}, $conn->{in}, 65536, length $conn->{in};

    if ($n) {
        note($conn, { fault => 'more before the answer' })
            if @{ $conn->{steps} } || length $conn->{out};
        return;
    }

    return if !defined $n && $!{EAGAIN};

    note($conn, { fault => 'a part of a request: ' . substr $conn->{in}, 0, 200 })
        if length $conn->{in};
    drop($conn);
}


sub send_more {
    my ($conn) = @_;

    my $n = syswrite $conn->{sock}, $conn->{out};

    if (defined $n) {
        substr $conn->{out}, 0, $n, '';
    } elsif (!$!{EAGAIN}) {
        drop($conn);
    }
}


# takes the steps that are due; returns the seconds until the next one is

sub advance {
    my ($conn) = @_;

    while (1) {
        my $step = $conn->{steps}[0];

        unless (defined $step) {
            return if length $conn->{out};
            next_request($conn) or return;
            next;
        }

        return if $conn->{held};

        if (!ref $step) {
            $conn->{out} .= shift @{ $conn->{steps} };

        } elsif ($step->{hold}) {
            shift @{ $conn->{steps} };
            $conn->{held} = -1;

        } elsif (defined $step->{endless}) {
            $conn->{out} = $step->{endless} unless length $conn->{out};
            return;

        } elsif (defined $step->{pause}) {
            $conn->{due} //= Time::HiRes::time() + $step->{pause};
            my $wait = $conn->{due} - Time::HiRes::time();
            return $wait if $wait > 0;
            delete $conn->{due};
            shift @{ $conn->{steps} };

        } else {

            # all of it first

            drop($conn, $step->{end}) unless length $conn->{out};
            return;
        }
    }
}


# the steps of the next request, if there is a whole one

sub next_request {
    my ($conn) = @_;

    my $request = parse($conn) or return;

    $request->{nth} = ++$conn->{nth};
    $request->{time} = Time::HiRes::time();

    my ($rule) = $request->{fault} ? () : grep { fits($_, $request) }
                 map { $Rules{$_} } sort { $a <=> $b } keys %Rules;

    $rule->{matched}++ if $rule;
    $request->{rule} = $rule->{rule} if $rule;
    note($conn, $request);

    my $steps = $request->{fault}
                ? [CredTest::Stub::response(400, ['Connection: close'],
                                            $request->{fault}),
                   CredTest::Stub::end()]
              : $rule && !$rule->{act} ? $rule->{steps}
              : steps_of($Stub->answer({ %$request,
                                         dies => $rule && $rule->{dies} }),
                         $request);

    $steps = $rule->{steps} if $rule && $rule->{steps};
    $conn->{held} = $rule->{rule} if $rule && $rule->{holds};

    push @{ $conn->{steps} }, @$steps;

    push @{ $conn->{steps} }, CredTest::Stub::end()
        if grep { /close/i } @{ $request->{headers}{connection} || [] };

    return 1;
}


sub fits {
    my ($rule, $request) = @_;

    return if $rule->{times} && $rule->{matched} >= $rule->{times};
    return if $rule->{kept} && $request->{nth} < 2;
    return if $request->{at} ne ($rule->{at} // ($Stub->ports)[0]);
    return "$request->{method} $request->{target}" =~ $rule->{regex};
}


# of [STATUS, HEADERS, BODY], or steps as they are

sub steps_of {
    my ($answer, $request) = @_;

    return $answer if ref $answer ne 'ARRAY' || !@$answer
                      || ref $answer->[1] ne 'ARRAY';

    my $text = CredTest::Stub::response(@$answer);
    $text =~ s/\r\n\r\n\K.*//s if $request->{method} eq 'HEAD';
    return [$text];
}


sub note {
    my ($conn, $what) = @_;
    print $Log $Json->encode({ at => $conn->{at}, conn => $conn->{conn}, %$what }),
               "\n";
}


# RFC 9112, to the letter: whatever else is a fault

sub parse {
    my ($conn) = @_;

    my $head = index $conn->{in}, "\r\n\r\n";

    if ($head < 0) {
        return { fault => 'no end of the header', raw => substr $conn->{in}, 0, 500 }
            if length $conn->{in} > 200000 || $conn->{in} =~ /\n\n/;
        return;
    }

    my $text = substr $conn->{in}, 0, $head;
    my ($line, @fields) = split /\r\n/, $text, -1;

    my %request = (at => $conn->{at}, conn => $conn->{conn}, raw => $text,
                   method => '', target => '', headers => {}, body => '');

    my $fault = sub {
        $conn->{in} = '';
        return { %request, fault => $_[0] };
    };

    return $fault->('a line: ' . $line)
        unless $line =~ m{^([A-Z]+) (/[!-~]*) HTTP/1\.1\z} && $2 !~ /#/;

    @request{qw(method target)} = ($1, $2);

    return $fault->("an escape: $request{target}")
        if $request{target} =~ /%(?![0-9A-Fa-f]{2})/;

    for (@fields) {
        /^([\w!#\$%&'*+.^`|~-]+):[ \t]*([^\0-\x08\x0a-\x1f\x7f]*?)[ \t]*\z/
            or return $fault->("a field: $_");
        push @{ $request{headers}{ lc $1 } }, $2;
    }

    my %is = %{ $request{headers} };

    for (qw(host content-length content-type user-agent accept traceparent
            if-match))
    {
        return $fault->("$_ twice") if @{ $is{$_} || [] } > 1;
    }

    return $fault->('no host') unless $is{host} && length $is{host}[0];
    return $fault->('chunks') if $is{'transfer-encoding'};
    return $fault->('encodings') if $is{'accept-encoding'};

    my $length = $is{'content-length'} ? $is{'content-length'}[0] : 0;

    return $fault->("a length: $length") unless $length =~ /^\d{1,7}\z/;
    return if length $conn->{in} < $head + 4 + $length;

    $request{body} = substr $conn->{in}, $head + 4, $length;
    substr $conn->{in}, 0, $head + 4 + $length, '';

    return \%request;
}


1;
