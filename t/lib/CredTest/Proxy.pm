package CredTest::Proxy;

# What stands between nginx and a Redis and holds, drops, swallows, delays or
# replaces single commands and replies, so that tests drive the orders in which
# things happen.  A process of its own, told what to do over a socket.

use strict;
use warnings;

use parent 'Exporter';

use CredTest::Process;
use CredTest::Redis;
use IO::Select ();
use IO::Socket::INET ();
use IO::Socket::UNIX ();
use JSON::PP ();
use List::Util ();
use Time::HiRes ();

our @EXPORT = qw(proxy);


# for the test

sub proxy {
    my ($name) = @_;

    my $port = free_port();
    my $path = "$Dir/proxy-$port.sock";

    my $listener = listener($port);
    my $control = IO::Socket::UNIX->new(Local => $path, Listen => 8)
        or die "proxy: $!";

    my $upstream = redis_socket($name) or die "no redis \"$name\"";

    spawn('proxy', "proxy-$port", sub {
        proxy_serve($port, $listener, $control, $upstream);
    });

    return bless { port => $port, path => $path }, __PACKAGE__;
}


sub listener {
    my ($port) = @_;

    return IO::Socket::INET->new(LocalAddr => '127.0.0.1', LocalPort => $port,
        Listen => 64, ReuseAddr => 1) || die "proxy: port $port: $!";
}


sub port { $_[0]{port} }
sub url  { "redis://127.0.0.1:$_[0]{port}" }


# rules for each "command" or "reply" that matches; these return its number

sub hold    { my $self = shift; $self->rule('hold', @_) }
sub delay   { my $self = shift; $self->rule('delay', @_) }
sub swallow { my $self = shift; $self->rule('swallow', @_) }
sub drop    { my $self = shift; $self->rule('drop', @_) }
sub watch   { my $self = shift; $self->rule('watch', @_) }
sub replace { my $self = shift; $self->rule('replace', @_) }  # "with" bytes

sub rule {
    my ($self, $action, $direction, $regex, %args) = @_;

    die "no direction \"$direction\""
        unless $direction =~ /^(?:command|reply)$/;

    $args{to} = "$args{to}" if defined $args{to};

    return $self->tell('rule', action => $action, direction => $direction,
                       regex => "$regex", %args);
}


# how often it has matched, and how much it holds now

sub matched { $_[0]->tell('count', rule => $_[1])->{matched} }
sub held    { $_[0]->tell('count', rule => $_[1])->{held} }

sub wait_matched {
    my ($self, $rule, $count) = @_;
    return wait_for(sub { $self->matched($rule) >= ($count // 1) });
}

sub wait_held {
    my ($self, $rule, $count) = @_;
    return wait_for(sub { $self->held($rule) >= ($count // 1) });
}


# ends one rule, or all: what it held goes on

sub release { $_[0]->tell('release', rule => $_[1]) }


# closes all connections, and accepts none any more

sub cut  { $_[0]->tell('cut') }
sub mend { $_[0]->tell('mend') }


# closes all connections

sub hang_up { $_[0]->tell('hang_up') }


# connections that are made from now on lead to this Redis

sub lead { $_[0]->tell('lead', to => redis_socket($_[1])) }


# how many connections there are

sub connections { $_[0]->tell('connections') }


sub tell {
    my ($self, $what, %args) = @_;

    my $sock = IO::Socket::UNIX->new(Peer => $self->{path})
        or die "proxy $self->{port}: $!";

    print $sock JSON::PP::encode_json({ what => $what, %args }), "\n";

    return JSON::PP->new->allow_nonref->decode(read_line($sock));
}


# for the process

my ($Port, $Listener, $Upstream, @Pairs, %Rules);
my $Next = 1;

sub proxy_serve {
    my $control;

    ($Port, $Listener, $control, $Upstream) = @_;

    $SIG{PIPE} = 'IGNORE';

    while (1) {
        pump($_) for ways();

        my @ways = ways();
        my $now = Time::HiRes::time();
        my $wait = List::Util::min(map {
            my $due = @{ $_->{queue} } && $_->{queue}[0]{due};
            $due ? List::Util::max(0, $due - $now) : ();
        } @ways);

        my ($readable, $writable) = IO::Select->select(
            IO::Select->new($control, $Listener || (),
                            map { $_->{ended} ? () : $_->{from} } @ways),
            IO::Select->new(map { length $_->{output} ? $_->{to} : () } @ways),
            undef, $wait);

        my %ready = map { $_ => 1 } @{ $readable || [] };

        receive($_) for grep { $ready{ $_->{from} } } @ways;
        accept_pair() if $Listener && $ready{$Listener};
        obey(scalar $control->accept) if $ready{$control};
    }
}


sub obey {
    my ($sock) = @_;

    my $args = JSON::PP::decode_json(read_line($sock));
    my $what = $args->{what};
    my $rule = $args->{rule};
    my $answer = 1;

    if ($what eq 'rule') {
        $answer = $Next++;
        $Rules{$answer} = { %$args, matched => 0,
                            regex => qr/$args->{regex}/,
                            to => defined $args->{to} ? qr/$args->{to}/
                                                      : undef };

    } elsif ($what eq 'count') {
        $answer = {
            matched => $Rules{$rule}{matched},
            held    => scalar(grep { ($_->{rule} // 0) == $rule }
                              map { @{ $_->{queue} } } ways()),
        };

    } elsif ($what eq 'release') {
        $_->{over} = 1 for $rule ? $Rules{$rule} : values %Rules;
        pump($_) for ways();

    } elsif ($what eq 'connections') {
        $answer = @Pairs;

    } elsif ($what eq 'lead') {
        $Upstream = $args->{to};

    } else {
        close_pair($_) for my @all = @Pairs;

        if ($what eq 'cut') {
            close $Listener if $Listener;
            undef $Listener;

        } elsif ($what eq 'mend') {
            $Listener ||= listener($Port);
        }
    }

    print $sock JSON::PP->new->allow_nonref->encode($answer), "\n";
}


# A pair of connections has two ways, from the client to the server and back.
# What is read in a way is cut into items, which wait in its queue behind one
# that is held, and so does the end.

sub ways { map { @{ $_->{ways} } } @Pairs }

sub accept_pair {
    my $client = $Listener->accept or return;
    my $server = IO::Socket::UNIX->new(Peer => $Upstream) or return;

    $_->blocking(0) for $client, $server;

    my $pair = { asked => [] };

    $pair->{ways} = [ map { {
        pair   => $pair,
        input  => '',
        output => '',
        queue  => [],
        %$_,
    } } { direction => 'command', from => $client, to => $server },
        { direction => 'reply', from => $server, to => $client } ];

    push @Pairs, $pair;
}


sub close_pair {
    my ($pair) = @_;

    return if $pair->{closed}++;

    close $_->{from} for @{ $pair->{ways} };
    @Pairs = grep { $_ != $pair } @Pairs;
}


sub receive {
    my ($way) = @_;

    return if $way->{pair}{closed};

    my $n = sysread $way->{from}, $way->{input}, 65536, length $way->{input};

    return if !defined $n && $!{EAGAIN};

    if (!$n) {
        $way->{ended} = 1;
        push @{ $way->{queue} }, { action => 'end' };
    }

    while (my $length = item_length(\$way->{input})) {
        my $bytes = substr $way->{input}, 0, $length, '';
        my $item = { bytes => $bytes, action => 'watch' };

        apply_rule($way, $item);
        push @{ $way->{queue} }, $item;
    }

    pump($way);
}


# the first one that is not over

sub apply_rule {
    my ($way, $item) = @_;

    my $asked = '';
    my $pair = $way->{pair};

    if ($way->{direction} eq 'command') {
        push @{ $pair->{asked} }, $item->{bytes};

    } elsif ($item->{bytes} !~ /^\*3\r\n\$7\r\nmessage\r\n/) {
        $asked = shift @{ $pair->{asked} } // '';
    }

    for my $number (sort { $a <=> $b } keys %Rules) {
        my $rule = $Rules{$number};

        next if $rule->{over} || $rule->{direction} ne $way->{direction}
                || $item->{bytes} !~ $rule->{regex}
                || defined $rule->{to} && $asked !~ $rule->{to};

        next if $rule->{times} && $rule->{matched} == $rule->{times};

        $rule->{matched}++;

        next if $rule->{action} eq 'watch';

        $item->{rule} = $number;
        $item->{action} = $rule->{action};
        $item->{when} = $rule->{when} // 'before';
        $item->{due} = Time::HiRes::time() + $rule->{seconds}
            if $rule->{action} eq 'delay';
        return;
    }
}


sub pump {
    my ($way) = @_;

    my $queue = $way->{queue};

    while (!$way->{pair}{closed} && !$way->{last} && @$queue) {
        my $item = $queue->[0];
        my $action = $item->{action};

        last if $action eq 'hold' && !$Rules{ $item->{rule} }{over}
                || $action eq 'delay' && $item->{due} > Time::HiRes::time();

        shift @$queue;

        if ($action eq 'end') {
            $way->{last} = 1;

        } elsif ($action eq 'drop') {
            $way->{last} = 1;
            $way->{output} .= $item->{bytes} if $item->{when} eq 'after';

        } elsif ($action eq 'replace') {
            $way->{output} .= $Rules{ $item->{rule} }{with};

        } elsif ($action ne 'swallow') {
            $way->{output} .= $item->{bytes};
        }
    }

    return if $way->{pair}{closed};

    if (length $way->{output}) {
        my $n = syswrite $way->{to}, $way->{output};

        if (defined $n) {
            substr $way->{output}, 0, $n, '';
        } elsif (!$!{EAGAIN}) {
            return close_pair($way->{pair});
        }
    }

    close_pair($way->{pair}) if $way->{last} && !length $way->{output};
}


# of the first command or reply, 0 if it is not whole

sub item_length {
    my ($input) = @_;

    my ($at, $more) = (0, 1);

    while ($more--) {
        pos($$input) = $at;
        $$input =~ /\G(.)([^\r]*)\r\n/gcs or return 0;

        my ($type, $number) = ($1, $2);

        $at = pos $$input;
        $at += $number + 2 if $type eq '$' && $number >= 0;
        $more += $number if $type eq '*' && $number > 0;

        return 0 if $at > length $$input;
    }

    return $at;
}


1;
