package CredTest::Relay;

# Between nginx and a Redis: all goes through, until a test holds up what it
# asks for, in one direction of one connection.  That way it chooses the order
# of what happens on several connections.

use strict;
use warnings;

use parent 'Exporter';

use CredTest::Fake;
use CredTest::Process;
use CredTest::Redis;
use IO::Select ();
use IO::Socket::INET ();
use IO::Socket::UNIX ();

our @EXPORT = qw(relay hold held release relayed);

# calls of scripts, by what they are called with

my $Call = qr/^EVAL(?:SHA)? 1 \S+/;

my %Scripts = (
    access    => qr/$Call:gateways \S+ \S* [a-z]+ [0-9a-f]{64}\b/,
    lease     => qr/$Call:gateways \S+ \S*-[0-9a-f]{12}-\d+ \d+ /,
    effective => qr/$Call:gateways \S+ \d+-\d+ (?:wait|outwaited)\b/,
    undeploy  => qr/$Call:undeployments \S+ \S+:connection:[0-9a-f]+ [a-z]+:/,
);

my $Rule = 0;


# the port of one that leads to this Redis

sub relay {
    my ($name) = @_;

    my $port = free_port();

    my $listener = IO::Socket::INET->new(LocalAddr => '127.0.0.1',
        LocalPort => $port, Listen => 64, ReuseAddr => 1) or die "relay: $!";

    spawn('relay', "relay-$port", sub { relay_serve($listener, $port, $name) });

    return $port;
}


# The next calls of a script, or commands that match, and whatever comes after
# them on their connections; "request": they do not arrive; "reply": they do,
# and are not answered.  With $most no more than so many

sub hold {
    my $port = shift;
    relay_write($port, slurp("$Dir/relay-$port.rules") . relay_rule(@_));
}


# all that is held goes on; more arguments are what is held from now on

sub release {
    my $port = shift;
    relay_write($port, @_ ? relay_rule(@_) : '');
}


sub relay_rule {
    my ($direction, $what, $most) = @_;
    return join(' ', ++$Rule, $direction, $most // 1e9,
                $Scripts{$what} // $what) . "\n";
}


# what is held or was, a command each

sub held    { map { /^held (.*)/ ? $1 : () } relay_log($_[0]) }

# all commands that have come, or calls of a script

sub relayed {
    my ($port, $what) = @_;
    my $pattern = $Scripts{ $what // '' } // $what // '';
    return grep { /$pattern/ } map { /^got (.*)/ ? $1 : () } relay_log($port);
}


sub relay_log { split /\n/, slurp("$Dir/relay-$_[0].commands") }


sub relay_write {
    my ($port, $text) = @_;
    open my $out, '>', "$Dir/relay-$port.new" or die "relay: $!";
    print $out $text;
    close $out;
    rename "$Dir/relay-$port.new", "$Dir/relay-$port.rules";
}


sub relay_serve {
    my ($listener, $port, $name) = @_;

    open my $log, '>', "$Dir/relay-$port.commands";
    $log->autoflush;

    my $select = IO::Select->new($listener);
    my (%of, %count);

    while (1) {
        my @ready = $select->can_read(0.005);
        my @rules = map { [split / /, $_, 4] }
                    split /\n/, slurp("$Dir/relay-$port.rules");

        for my $sock (@ready) {
            if ($sock == $listener) {
                my $client = $listener->accept or next;
                my $server = IO::Socket::UNIX->new(
                    Peer => redis_socket($name)) or next;
                my $both = { client => $client, server => $server,
                             input => '', output => '' };
                $of{$_} = $both for $client, $server;
                $select->add($client, $server);
                next;
            }

            my $both = $of{$sock} or next;
            my $buffer = $sock == $both->{client} ? 'input' : 'output';

            unless (sysread $sock, $both->{$buffer}, 65536,
                            length $both->{$buffer})
            {
                for (@$both{qw(client server)}) {
                    $select->remove($_);
                    delete $of{$_};
                    close $_;
                }
            }
        }

        for my $both (values %of) {
            next unless $both->{client}->opened;

            for (grep { defined $both->{$_} } qw(request reply)) {
                my $rule = $both->{$_};
                delete $both->{$_}
                    unless grep { $_->[0] == $rule } @rules;
            }

            relay_pass($both, \@rules, \%count, $log);
        }
    }
}


sub relay_pass {
    my ($both, $rules, $count, $log) = @_;

    while (!defined $both->{request}) {
        my $next = delete $both->{next};

        unless ($next) {
            my @command = fake_command(\$both->{input}) or last;
            my @shown = ($command[0], @command[($command[0] =~ /^EVAL/ ? 2 : 1)
                                               .. $#command]);
            my $text = join ' ', map { s/[^ -~]/?/gr } @shown;
            $next = resp(@command);
            print $log "got $text\n";

            for (@$rules) {
                my ($rule, $direction, $most, $pattern) = @$_;
                next if ($count->{$rule} // 0) >= $most || $text !~ /$pattern/;
                $count->{$rule}++;
                $both->{$direction} = $rule;
                print $log "held $text\n";
            }
        }

        if (defined $both->{request}) {
            $both->{next} = $next;
            last;
        }

        syswrite $both->{server}, $next;
    }

    if (!defined $both->{reply} && length $both->{output}) {
        my $n = syswrite $both->{client}, $both->{output};
        substr $both->{output}, 0, $n // 0, '';
    }
}


1;
