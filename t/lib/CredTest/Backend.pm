package CredTest::Backend;

# Management backends that delete credentials themselves, and read the paths of
# requests as other servers do: one as WSGI does it, one as servlet containers
# do, one as Express does.  Each tells what it has deleted.

use strict;
use warnings;

use parent 'Exporter';

use CredTest::Process;
use Encode ();
use IO::Select ();
use IO::Socket::INET ();

our @EXPORT = qw(delete_backend backend_deletes backend_kinds);


my %Kinds = (wsgi => \&wsgi, servlet => \&servlet, plain => \&plain);

# method, segments with ":" before names; the last may be absent

my @Routes = (
    ['apinizer', 'DELETE', qw(apiops projects :scope credentials :id)],
    ['iam', 'DELETE', qw(v3.0 OS-CREDENTIAL credentials :id)],
    ['deepset', 'DELETE', qw(api v1 infrastructure file_stores :uuid)],
    ['thousandeyes', 'POST', qw(v6 credentials :number delete)],
    ['thousandeyes', 'POST', qw(credentials :number delete)],
    ['alloy', 'DELETE', qw(users :scope credentials :id)],
);

sub backend_kinds { sort keys %Kinds }


# what a backend of this kind deletes when it gets this: "API SCOPE ID" of all
# that any configuration of it would

sub backend_deletes {
    my ($kind, $method, $target) = @_;

    my ($path) = $target =~ /^([^?]*)/;
    my %done;

    for my $reading ($Kinds{$kind}->($path)) {
        my ($segments, %how) = @$reading;

        for (@Routes) {
            my ($api, $wanted, @pattern) = @$_;
            next unless $method eq $wanted;
            my $what = matches($segments, \@pattern, %how) or next;
            $done{"$api $what"} = 1;
        }
    }

    my @done = sort keys %done;
    return @done;
}


# PATH_INFO is decoded before anything else; the application may sit behind
# another one that has decoded already, and may compare without case

sub wsgi {
    my ($path) = @_;
    my @readings;

    for my $rounds (1 .. 3) {
        $path = decode($path);
        my ($sent) = $path =~ /^([^?#\0]*)/;

        for my $text ($path, $sent, $path =~ s{/+}{/}gr, resolve($path),
                      resolve($sent) =~ s{/+}{/}gr)
        {
            push @readings, map { [[segments($text)], case => $_,
                                   number => \&python] } 0, 1;
        }
    }

    return @readings;
}


# parameters are cut off, then it is decoded and normalized; what is left of
# parameters may be cut off again

sub servlet {
    my ($path) = @_;
    my @readings;

    $path =~ s/[#].*//s;

    for my $text ($path =~ s{;[^/\\]*}{}gr, $path) {
        for my $passed (0, 1) {
            my $decoded = $passed ? decode($text, qr/2f|5c/i) : decode($text);

            for (map { ($_, s{;[^/\\]*}{}gr) } $decoded, decode($decoded)) {
                my $normal = tr{\\}{/}r;
                push @readings, map { [[segments(resolve($_))], suffix => 1,
                                       case => 1, number => \&java] }
                                $normal, $normal =~ s{/+}{/}gr;
            }
        }
    }

    return @readings;
}


# matched as it was sent, without case; then each parameter is decoded

sub plain {
    my ($path) = @_;
    my @segments = segments($path);
    my @readings;

    for my $number (\&javascript, \&parse_int) {
        push @readings, [\@segments, case => 1, decode => 1, suffix => 1,
                         number => $number];
    }

    return @readings;
}


sub matches {
    my ($segments, $pattern, %how) = @_;

    my @segments = @$segments;
    my $slash = @segments > @$pattern && $segments[-1] eq '';
    pop @segments if $slash;
    return unless @segments == @$pattern;

    my %got = (scope => '-');

    for my $i (0 .. $#segments) {
        my ($text, $part) = ($segments[$i], $pattern->[$i]);

        my ($name) = $part =~ /^:(.*)/;

        unless ($name) {
            $text =~ s/\.\w+\z// if $how{suffix} && $part eq 'delete';
            $text =~ s/\.json\z//i if $part eq 'delete';
            return unless $how{case} ? lc $text eq lc $part : $text eq $part;
            next;
        }

        $text = decode($text) if $how{decode};
        return if $text eq '';

        if ($name eq 'number') {
            $text = $how{number}->($text) // return;
            return if $text < 1;
        }

        $text =~ s/-//g if $name eq 'uuid';
        return if $name eq 'uuid' && $text !~ /^[0-9a-f]{32}\z/i;

        $got{$name eq 'scope' ? 'scope' : 'id'} = $text;
    }

    return "$got{scope} $got{id}";
}


sub decode {
    my ($text, $except) = @_;
    $except //= qr/(*FAIL)/;
    $text =~ s/%(?!$except)([0-9a-f]{2})/chr hex $1/gei;
    return $text;
}


sub segments {
    my ($path) = @_;
    my ($empty, @segments) = split m{/}, $path, -1;
    return @segments;
}


# RFC 3986, 5.2.4

sub resolve {
    my ($path) = @_;
    my ($empty, @in) = split m{/}, $path, -1;
    my @out;

    for my $i (0 .. $#in) {
        if ($in[$i] eq '.' || $in[$i] eq '..') {
            pop @out if $in[$i] eq '..';
            push @out, '' if $i == $#in;
        } else {
            push @out, $in[$i];
        }
    }

    return join '/', '', @out;
}


# int(): white space around it, a sign, underscores, digits of any script

sub python {
    my $text = eval { Encode::decode('UTF-8', $_[0], Encode::FB_CROAK()) };
    return unless defined $text
                  && $text =~ /^\s*[+-]?\p{Nd}+(?:_\p{Nd}+)*\s*\z/;
    return digits($text);
}

# Integer.parseInt()

sub java {
    my $text = eval { Encode::decode('UTF-8', $_[0], Encode::FB_CROAK()) };
    return unless defined $text && $text =~ /^[+-]?\p{Nd}+\z/;
    return digits($text);
}

# Number()

sub javascript {
    my $text = $_[0] =~ s/^\s+|\s+\z//gr;
    return oct $text if $text =~ /^0(?:x[0-9a-f]+|b[01]+)\z/i;
    return oct $1 if $text =~ /^0o([0-7]+)\z/i;
    return unless $text =~ /^[+-]?(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?\z/ai;
    return 0 + $text == int $text ? int $text : undef;
}

sub parse_int {
    return hex $1 if $_[0] =~ /^\s*\+?0x([0-9a-f]+)/i;
    return $_[0] =~ /^\s*([+-]?\d+)/a ? 0 + $1 : undef;
}

sub digits {
    my ($text) = @_;
    require Unicode::UCD;
    my $sign = $text =~ /-/ ? -1 : 1;
    my @digits = map { Unicode::UCD::num($_) } $text =~ /\p{Nd}/g;
    return $sign * join('', @digits);
}


# its port; it answers one request per connection

sub delete_backend {
    my ($kind) = @_;

    my $port = free_port();

    my $server = IO::Socket::INET->new(LocalAddr => '127.0.0.1',
        LocalPort => $port, Listen => 128, ReuseAddr => 1)
        or die "listen: $!";

    spawn('backend', "backend-$kind", sub {
        while (1) {
            my $sock = $server->accept or next;
            eval { serve($kind, $sock) };
            close $sock;
        }
    });

    close $server;
    return $port;
}


sub serve {
    my ($kind, $sock) = @_;

    my ($method, $target) = read_line($sock) =~ /^(\S+) (.*) HTTP/s;
    my ($line, $length) = ('', 0);

    while (($line = read_line($sock)) ne "\r\n") {
        $length = $1 if $line =~ /^Content-Length: (\d+)/i;
    }

    my $body = $length ? read_bytes($sock, $length) : '';
    my @done = backend_deletes($kind, $method, $target);
    my $text = join '', map({ "DELETED $_\n" } @done),
                        "$kind: $method $target $body\n";

    print $sock "HTTP/1.0 200 OK\r\nX-Backend: $kind\r\nContent-Length: "
                . length($text) . "\r\n\r\n$text";
}


1;
