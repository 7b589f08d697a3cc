package CredTest::Fake;

# A broken peer where a Redis is expected, never in place of a good one.

use strict;
use warnings;

use parent 'Exporter';

use Config ();
use CredTest::Process;
use CredTest::Redis;
use IO::Select ();
use IO::Socket::INET ();
use Time::HiRes ();

our @EXPORT = qw(
    fake fake_log fake_command LARGEST
);

# number that nginx reads from a string here

use constant LARGEST => $Config::Config{ptrsize} == 8 ? '9223372036854775807'
                                                      : '2147483647';


sub fake {
    my (%args) = @_;

    my $port = free_port();

    my $listener = IO::Socket::INET->new(LocalAddr => '127.0.0.1',
        LocalPort => $port, Listen => 64, ReuseAddr => 1) or die "fake: $!";

    spawn('fake', "fake-$port", sub { fake_serve($listener, $port, %args) });

    return $port;
}


sub fake_serve {
    my ($listener, $port, %args) = @_;

    my %replies = (
        AUTH   => "+OK\r\n",
        SELECT => "+OK\r\n",
        PING   => "+PONG\r\n",
        ROLE   => resp_role(),
        TIME   => sub { resp(Time::HiRes::gettimeofday()) },
        STREAM => "*4\r\n:1\r\n\$3\r\n0-0\r\n\$0\r\n\r\n\$1\r\n0\r\n",
        %{ $args{replies} || {} },
    );

    open my $log, '>', "$Dir/fake-$port.commands";
    $log->autoflush;

    my $select = IO::Select->new($listener);
    my %input;

    while (my @ready = $select->can_read) {
        for my $sock (@ready) {
            if ($sock == $listener) {
                my $client = $listener->accept or next;
                print $log "(connected)\n";
                $select->add($client);
                $input{$client} = '';
                fake_send($select, $client, $args{greeting}, %args)
                    if defined $args{greeting};
                next;
            }

            unless (sysread $sock, $input{$sock}, 65536,
                            length $input{$sock})
            {
                print $log "(closed)\n";
                delete $input{$sock};
                $select->remove($sock);
                next;
            }

            while (my @command = fake_command(\$input{$sock})) {
                print $log join(' ', map { s/[^ -~]/?/gr } @command), "\n";

                my $name = uc $command[0];
                $name = 'STREAM' if is_greeting(@command);
                my $reply = $replies{$name};

                $reply = @$reply > 1 ? shift @$reply : $reply->[0]
                    if ref $reply eq 'ARRAY';
                $reply = $reply->(@command) if ref $reply eq 'CODE';
                $reply = "-ERR unknown command '$name'\r\n"
                    unless exists $replies{$name};

                fake_send($select, $sock, $reply, %args) or last;
            }
        }
    }
}


sub resp_role { return "*3\r\n\$6\r\nmaster\r\n:0\r\n*0\r\n" }


sub fake_send {
    my ($select, $sock, $reply, %args) = @_;

    return 1 unless defined $reply;

    my $close = ref $reply;
    my $bytes = $close ? $$reply : $reply;

    Time::HiRes::sleep($args{delay}) if $args{delay};

    my $step = $args{step} || length $bytes || 1;

    for (my $i = 0; $i < length $bytes; $i += $step) {
        Time::HiRes::sleep($args{pause} // 0.001) if $i;
        syswrite $sock, substr($bytes, $i, $step) or last;
    }

    return 1 unless $close;

    $select->remove($sock);
    close $sock;
    return 0;
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


# stream.lua, by which each connection to an environment begins

sub is_greeting {
    my ($name, undef, undef, $key, undef, $id, $connection) = @_;

    return $name =~ /^EVAL/ && ($key // '') =~ /:undeployments$/
           && ($id // ':') =~ /^(?:\d+-\d+)?$/
           && ($connection // '') =~ /:connection:[0-9a-f]+$/;
}


sub fake_log { split /\n/, slurp("$Dir/fake-$_[0].commands") }


1;
