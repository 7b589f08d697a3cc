package CredTest::Stub;

# Stubs of management systems that cannot be installed here: real HTTP servers,
# each a process of its own, which answer as CredTest::Stub::KIND has read it in
# the sources of the system, and a gateway's port that says whether a key is
# still accepted.  They fail in the ways that a test asks for.  The same server
# without any system behind it is a web(): it says whatever a test wants.

use strict;
use warnings;

use parent 'Exporter';

use CredTest::HTTP;
use CredTest::Process;
use CredTest::Stub::Server ();
use IO::Socket::INET ();
use IO::Socket::UNIX ();
use JSON::PP ();

our @EXPORT = qw(stub web webs end pause hold drip endless response json);

my $Json = JSON::PP->new->latin1->allow_nonref->canonical;


# for the test: starts a stub, whose arguments are those of its kind

sub stub {
    my ($kind, %args) = @_;

    my $class = "CredTest::Stub::$kind";
    eval "require $class; 1" or die $@;

    return start($class->new(%args));
}


# one that answers with what "answer" returns of each request, and of itself

sub web {
    my ($answer) = @_;
    return start(CredTest::Stub->new(answer => $answer));
}


# several of them, by name

sub webs {
    my (%answers) = @_;
    return map { $_ => web($answers{$_}) } keys %answers;
}


sub start {
    my ($self) = @_;

    for my $at ($self->ports) {
        $self->{port}{$at} = free_port();
        $self->{listener}{$at} = listener($self->{port}{$at});
    }

    $self->{path} = "$Dir/stub-" . $self->port . '.sock';

    my $control = IO::Socket::UNIX->new(Local => $self->{path}, Listen => 64)
        or die "stub: $!";

    $self->{pid} = spawn('stub', 'stub-' . $self->port, sub {
        CredTest::Stub::Server::serve($self, $control);
    });

    close $_ for values %{ delete $self->{listener} };

    return $self;
}


sub listener {
    my ($port) = @_;

    return IO::Socket::INET->new(LocalAddr => '127.0.0.1', LocalPort => $port,
        Listen => 256, ReuseAddr => 1) || die "stub: port $port: $!";
}


sub new {
    my ($class, %args) = @_;
    return bless { %args }, $class;
}


# names of its ports, the one that is managed by first

sub ports { 'admin' }

sub port { $_[0]{port}{ $_[1] // ($_[0]->ports)[0] } }
sub url  { 'http://127.0.0.1:' . $_[0]->port($_[1]) }


# Rules for requests to come: "on" is for "METHOD TARGET", "kept" only for those
# that are not the first on their connection, "at" for those to a port; each does
# so "times" times, once by default, 0 is for ever.  The steps are what is said in
# place of an answer; with "act" the stub does first what is asked for, and with
# "dies" as one that dies before it tells anybody.  Returns the number of the rule

sub rule {
    my ($self, %args) = @_;
    $args{on} = "$args{on}" if defined $args{on};
    return $self->tell('rule', %args);
}

# it acts and nobody hears of it, or it does not even act

sub lose   { my $self = shift; $self->rule(act => 1, steps => [end()], @_) }
sub ignore { my $self = shift; $self->rule(steps => [end()], @_) }

# it acts, and what it says waits until release()

sub keep   { my $self = shift; $self->rule(act => 1, holds => 1, @_) }

# it says this in place of acting

sub say {
    my ($self, $status, $headers, $body, %args) = @_;
    return $self->rule(steps => [response($status, $headers, $body)], %args);
}

sub release { $_[0]->tell('release', rule => $_[1]) }
sub matched { $_[0]->tell('matched', rule => $_[1]) }
sub forget  { $_[0]->tell('forget') }

sub wait_matched {
    my ($self, $rule, $times) = @_;
    return wait_for(sub { $self->matched($rule) >= ($times // 1) });
}


# a method of the kind, in its process

sub do {
    my ($self, $method, @args) = @_;
    return $self->tell('do', method => $method, args => \@args);
}


# nobody listens until it is up; the state stays

sub down    { $_[0]->tell('down') }
sub up      { $_[0]->tell('up') }
sub hang_up { $_[0]->tell('hang_up') }

sub freeze { kill 'STOP', $_[0]{pid} }
sub thaw   { kill 'CONT', $_[0]{pid} }


# how many connections there are now, to a port

sub connections { $_[0]->tell('connections', at => $_[1] // ($_[0]->ports)[0]) }


# What has come to the managed port, or to another: { at, conn, nth, method,
# target, headers, body, raw, time }, and "fault" if it was no good HTTP; names
# of headers are in lower case, there is an array for each

sub requests {
    my ($self, $at) = @_;
    $at //= ($self->ports)[0];
    return grep { $_->{at} eq $at } $self->log;
}

sub log {
    my ($self) = @_;
    my $text = slurp("$Dir/stub-" . $self->port . '.requests');
    return map { $Json->decode($_) } $text =~ /^(.*)\n/mg;
}

# "METHOD TARGET" of them

sub asked {
    my ($self, $at) = @_;
    return map { "$_->{method} $_->{target}" } grep { length($_->{method} // '') }
           $self->requests($at);
}

# what was no good HTTP

sub faults { map { $_->{fault} // () } $_[0]->log }


# the status with which a gateway meets this key

sub show {
    my ($self, $key, $at) = @_;

    my $sock = http_open(port => $self->port($at // 'gateway'));
    print $sock "GET / HTTP/1.1\r\nHost: gateway\r\napikey: $key\r\n"
                . "Connection: close\r\n\r\n";
    return http_parse(http_read($sock))->{status};
}


sub tell {
    my ($self, $what, %args) = @_;

    my $sock = IO::Socket::UNIX->new(Peer => $self->{path})
        or die "stub $self->{path}: $!";

    print $sock $Json->encode({ what => $what, %args }), "\n";

    my $answer = $Json->decode(read_line($sock));
    die "stub: $answer->{error}" if ref $answer && $answer->{error};
    return $answer->{is};
}


# steps: strings are bytes; the connection is closed in an orderly way, or reset;
# it waits; it waits to be released; bytes come one by one; bytes never end

sub end     { { end => $_[0] // 'close' } }
sub pause   { { pause => $_[0] } }
sub hold    { { hold => 1 } }
sub endless { { endless => $_[0] } }
sub drip    { my ($bytes, $s) = @_; map { ($_, pause($s // 0.001)) } split //, $bytes }


# the bytes of an answer, with its length

sub response {
    my ($status, $headers, $body) = @_;

    my %reason = (200 => 'OK', 202 => 'Accepted', 204 => 'No Content',
                  400 => 'Bad Request', 401 => 'Unauthorized',
                  403 => 'Forbidden', 404 => 'Not Found',
                  405 => 'Method Not Allowed', 429 => 'Too Many Requests',
                  500 => 'Internal Server Error', 503 => 'Service Unavailable');

    my @lines = ("HTTP/1.1 $status " . ($reason{$status} // 'Status'),
                 'Date: Thu, 01 Jan 2026 00:00:00 GMT', @{ $headers || [] });

    push @lines, 'Content-Length: ' . length($body // '')
        unless $status == 204 || grep { /^(?:Content-Length|Transfer-Enc)/i }
                                      @lines;

    return join "\r\n", @lines, '', $body // '';
}

# an answer of a kind, as its methods return it

sub json {
    my ($status, $body, @headers) = @_;
    return [$status, ['Content-Type: application/json', @headers], $body];
}


# for the process: what is said to a request; the kinds have their own

sub answer {
    my ($self, $request) = @_;
    return $self->{answer}->($request, $self);
}

# what that may look at

sub set {
    my ($self, %is) = @_;
    @$self{keys %is} = values %is;
    return 1;
}

# called all the time, and returns the seconds until it wants to be called

sub tick { 1 }


1;
