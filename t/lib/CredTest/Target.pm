package CredTest::Target;

# What connectors reach: a real server with ports and a folder of its own, which
# is gone with the block.  And what may stand in between.

use strict;
use warnings;

use parent 'Exporter';

use CredTest::HTTP;
use CredTest::Process;
use IO::Select ();
use IO::Socket::INET ();
use JSON::PP ();

our @EXPORT = qw(between met json);

our $Json = JSON::PP->new->utf8->canonical;


sub json { $Json->encode($_[0]) }


# those of these programs that are not there

sub missing {
    my ($class, @programs) = @_;

    return grep {
        my $name = $_;
        !grep { -x "$_/$name" } split(/:/, $ENV{PATH}), qw(/usr/sbin /sbin);
    } @programs;
}


# its folder is below that of the test; "kind" is a word for it

sub create {
    my ($class, $kind, %is) = @_;

    my $self = bless { kind => $kind, port => free_port(), %is }, $class;

    $self->{name} = "$kind-$self->{port}";
    $self->{dir} = temp_dir() . "/$self->{name}";
    mkdir $self->{dir} or die "$self->{dir}: $!";

    return $self;
}


sub port { $_[0]{port} }
sub url  { "http://127.0.0.1:$_[0]{port}" }


# a file in its folder; returns its path

sub write {
    my ($self, $name, $text) = @_;
    my $file = "$self->{dir}/$name";
    open my $out, '>:raw', "$file.new" or die "$file: $!";
    print $out $text;
    close $out or die "$file: $!";
    rename "$file.new", $file;
    return $file;
}


# runs its command, again after stop(), and waits until it is ready

sub run {
    my ($self) = @_;

    $self->{pid} = spawn($self->{kind}, $self->{name}, $self->command);

    my $ready = wait_for(sub {
        return $self->is_ready if kill 0, $self->{pid};
    });

    die "$self->{name} does not start:\n" . $self->log unless $ready;

    return $self;
}


sub log { slurp("$_[0]{dir}.log") }


sub stop {
    my ($self, $signal) = @_;
    my $pid = delete $self->{pid} or return;
    kill 'CONT', $pid;
    reap($pid, $signal // 'TERM');
}


sub pause  { kill 'STOP', $_[0]{pid} }
sub resume { kill 'CONT', $_[0]{pid} }


# the answer as http_parse() has it, or one with the status 0

sub ask {
    my ($self, $method, $path, %args) = @_;

    my $port = $args{port} || $self->{port};
    my $body = ref $args{body} ? json($args{body}) : $args{body};

    my @lines = ("$method $path HTTP/1.1",
                 'Host: ' . ($args{host} // "127.0.0.1:$port"),
                 'Connection: close', @{ $args{headers} || [] });
    push @lines, 'Content-Type: application/json' if ref $args{body};
    push @lines, 'Content-Length: ' . length $body if defined $body;

    my $sock = IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $port)
        or return http_parse('');

    $sock->autoflush;
    print $sock join "\r\n", @lines, '', $body // '';

    my $text = '';
    eval { $text .= read_bytes($sock, 1) while 1 };

    my $got = http_parse($text);

    # what follows the last chunk are more headers

    if (($got->{headers}{'transfer-encoding'} // '') eq 'chunked') {
        my ($in, $out) = ($got->{body}, '');

        while ($in =~ s/^([0-9a-f]+)\r\n//i && hex $1) {
            $out .= substr $in, 0, hex $1, '';
            $in =~ s/^\r\n//;
        }

        $got->{body} = $out;
        $got->{headers}{lc $1} = $2 while $in =~ /^(\S+): *(.*?)\r$/mg;
    }

    return $got;
}


# A port that leads to a target, or a port.  Before a request whose first line matches goes
# on, $what is called; when that returns "lose" the answer to it does not come
# back, and both connections are closed.  No more than $times.

sub between {
    my ($target, $regex, $times, $what) = @_;

    my $to = ref $target ? $target->port : $target;
    my $port = (ref $target && delete $target->{between}) || free_port();

    my $listener = IO::Socket::INET->new(LocalAddr => '127.0.0.1',
        LocalPort => $port, Listen => 64, ReuseAddr => 1) or die "between: $!";

    spawn('between', "between-$port", sub {
        between_serve($listener, $to, sub {
            my ($line) = @_;
            return '' if $line !~ $regex || $times-- <= 0;
            my $done = $what->($line) // '';
            print "met $line $done\n";
            return $done;
        });
    });

    close $listener;
    return $port;
}


# how often that was

sub met {
    my ($port) = @_;
    return scalar(() = slurp("$Dir/between-$port.log") =~ /^met /mg);
}


sub between_serve {
    my ($listener, $to, $met) = @_;

    my $select = IO::Select->new($listener);
    my %of;

    $| = 1;

    while (1) {
        for my $sock ($select->can_read) {
            if ($sock == $listener) {
                my $client = $listener->accept or next;
                my $server = IO::Socket::INET->new("127.0.0.1:$to") or next;
                $client->autoflush;
                $server->autoflush;
                my $both = { client => $client, server => $server,
                             input => '' };
                @of{$client, $server} = ($both) x 2;
                $select->add($client, $server);
                next;
            }

            my $both = $of{$sock} or next;
            my $got = sysread $sock, my $bytes, 65536;

            if ($got && $sock == $both->{client}) {
                $both->{input} .= $bytes;
                between_pass($both, $met);
                next;
            }

            if ($got && !$both->{lose}) {
                print { $both->{client} } $bytes;
                next;
            }

            for my $end (@$both{qw(client server)}) {
                $select->remove($end);
                delete $of{$end};
                close $end;
            }
        }
    }
}


# requests go on whole

sub between_pass {
    my ($both, $met) = @_;

    while ($both->{input} =~ /^((.*?)\r\n.*?\r\n\r\n)/s) {
        my ($head, $line) = ($1, $2);
        my ($length) = $head =~ /^Content-Length: *(\d+)/mi;
        my $whole = length($head) + ($length // 0);

        return if length $both->{input} < $whole;

        $both->{lose} ||= $met->($line) eq 'lose';
        print { $both->{server} } substr $both->{input}, 0, $whole, '';
    }
}


1;
