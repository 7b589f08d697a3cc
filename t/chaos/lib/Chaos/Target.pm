package Chaos::Target;

# What connectors reach: stores, an etcd, and a relay before them.

use strict;
use warnings;

use parent 'Exporter';

use Cwd ();
use File::Basename ();
use MIME::Base64 ();
use Socket qw(PF_INET SOCK_STREAM INADDR_LOOPBACK pack_sockaddr_in);

use Chaos::Process;

our @EXPORT = qw(store etcd relay target_start);

my $Lib = Cwd::abs_path(File::Basename::dirname(__FILE__) . '/..');

# while there is this file, things go wrong in these programs

my $Faults = temp_dir() . '/faults';


sub web {
    my ($what, @args) = @_;
    my $seed = int rand 1e9;
    return ($^X, "-I$Lib", '-MChaos::Web', '-e',
            "srand $seed; Chaos::Web::$what(\@ARGV)", @args);
}


sub store {
    my ($name) = @_;

    my $port = free_port();

    return bless { name => $name, port => $port, command => [
        web('store', $port, temp_dir() . "/$name.store", $Faults) ] };
}


# undef if there is none on this machine

sub etcd {
    my ($name) = @_;

    return unless grep { -x "$_/etcd" } split /:/, $ENV{PATH};

    my ($client, $peers) = map { 'http://127.0.0.1:' . $_ } my @ports
        = (free_port(), free_port());

    return bless { name => $name, port => $ports[0], command => [
        'etcd', '--name', 'one', '--data-dir', temp_dir() . "/$name",
        '--listen-client-urls', $client, '--advertise-client-urls', $client,
        '--listen-peer-urls', $peers, '--initial-advertise-peer-urls', $peers,
        '--initial-cluster', "one=$peers", '--logger', 'zap' ] },
        'Chaos::Target::Etcd';
}


# sets the port "way" of each: it leads there

sub relay {
    my %to = map { ($_->{way} = free_port()) => $_->{port} } @_;

    Chaos::Process::spawn('relay', web('relay', $Faults, %to));

    for my $port (keys %to) {
        wait_for(sub { bless({ port => $port })->open })
            or die "relay does not start\n";
    }
}


sub faults {
    my ($are) = @_;

    if ($are) {
        open my $out, '>', $Faults or die "$Faults: $!";
    } else {
        unlink $Faults;
    }
}

sub lost { scalar(() = slurp(temp_dir() . '/relay.log') =~ /^lost$/mg) }


# does not wait until it is ready

sub start {
    my ($self) = @_;
    $self->{pid} ||= Chaos::Process::spawn($self->{name},
                                           @{ $self->{command} });
}

sub kill {
    my ($self) = @_;
    Chaos::Process::kill_group(delete $self->{pid}) if $self->{pid};
}

sub stop { CORE::kill('STOP', $_[0]{pid}) }
sub cont { CORE::kill('CONT', $_[0]{pid}) }


sub target_start {
    $_->start for @_;

    for my $target (@_) {
        wait_for(sub { $target->ready })
            or die "$target->{name} does not start:\n"
                   . slurp(temp_dir() . "/$target->{name}.log");
    }
}


sub open {
    my ($self) = @_;

    socket my $sock, PF_INET, SOCK_STREAM, 0 or die "socket: $!";
    connect $sock, pack_sockaddr_in($self->{port}, INADDR_LOOPBACK) or return;
    return $sock;
}


# the body of a 2xx, or undef

sub ask {
    my ($self, $method, $path, $body) = @_;

    my $sock = $self->open or return;

    syswrite $sock, "$method $path HTTP/1.0\r\nHost: 127.0.0.1\r\n"
                    . "Connection: close\r\nContent-Length: "
                    . length($body // '') . "\r\n\r\n" . ($body // '');

    my $text = '';
    my $end;

    while (sysread $sock, $text, 65536, length $text) {
        my $head = 4 + index $text, "\r\n\r\n";
        next if $head < 4;
        $end //= $text =~ m{^HTTP/1.. 204} ? 0
                 : $text =~ /^Content-Length: *(\d+)/mi ? $head + $1 : 1e9;
        last if length $text >= $end;
    }

    return $text =~ m{^HTTP/1.. 2.*?\r\n\r\n(.*)}s ? $1 : undef;
}


sub ready { defined $_[0]->ask('GET', '/all') }


# Pairs of an id and a name; whether they are there now

sub add {
    my ($self, @new) = @_;
    return defined $self->ask('PUT', '/all', "@new");
}

sub all    { $_[0]->pairs('/all') }
sub copies { $_[0]->pairs('/copies') }

sub pairs {
    my ($self, $path) = @_;
    return split ' ', $self->ask('GET', $path)
                      // die "$self->{name}: no answer\n";
}


package Chaos::Target::Etcd;

our @ISA = 'Chaos::Target';

sub base64 { MIME::Base64::encode_base64($_[0], '') }

sub ready { ($_[0]->ask('GET', '/health') // '') =~ /"health": *"true"/ }


# the ids are base64 of keys that begin with "cred/"

sub add {
    my ($self, @new) = @_;

    while (my @some = splice @new, 0, 200) {
        my @puts;

        while (my ($id, $name) = splice @some, 0, 2) {
            $name = base64($name);
            push @puts, qq({"requestPut":{"key":"$id","value":"$name"}});
        }

        my $answer = $self->ask('POST', '/v3/kv/txn',
                                '{"success":[' . join(',', @puts) . ']}');
        return unless ($answer // '') =~ /"succeeded": *true/;
    }

    return 1;
}


sub all {
    my ($self) = @_;

    my $answer = $self->ask('POST', '/v3/kv/range', sprintf
        '{"key":"%s","range_end":"%s"}', base64('cred/'), base64('cred0'))
        // die "etcd: no answer\n";

    my %all = $answer =~ /"key":"([^"]*)"[^{}]*"value":"([^"]*)"/g;

    return map { ($_, MIME::Base64::decode_base64($all{$_})) } keys %all;
}


1;
