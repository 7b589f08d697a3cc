package CredTest::HTTP;

# Requests by hand, and the nginx that Test::Nginx has started.

use strict;
use warnings;

use parent 'Exporter';

use CredTest::Process;
use IO::Socket::INET ();
use List::Util ();

our @EXPORT = qw(
    http http_open http_read http_many http_parse call curl
    nginx_pid nginx_workers is_leaving nginx_signal nginx_reload
    nginx_stop error_log_text access_log_text
);


sub http_open {
    my (%args) = @_;

    my $sock;
    my $port = $args{port} || $ENV{TEST_NGINX_PORT};

    wait_for(sub {
        $sock = IO::Socket::INET->new(PeerAddr => '127.0.0.1',
                                      PeerPort => $port);
    }) or die "cannot connect to port $port: $!";

    $sock->autoflush;
    return $sock;
}


sub http_read {
    my ($sock, $seconds, $method) = @_;

    $seconds //= $CredTest::Process::Patience;

    my $text = '';

    my $ok = eval {
        my $line;
        $text .= $line = read_line($sock, $seconds) until $text =~ /\n\r\n\z/;

        if (($method // '') eq 'HEAD' || $text =~ m{^\S+ (?:1..|204|304)}) {
            return 1;
        }

        if ($text =~ /^Content-Length:\s*(\d+)/mi) {
            $text .= read_bytes($sock, $1, $seconds) if $1;

        } elsif ($text =~ /^Transfer-Encoding:\s*chunked/mi) {
            do {
                $text .= $line = read_line($sock, $seconds);
                $text .= read_bytes($sock, 2 + hex($line =~ s{\W.*}{}sr), $seconds);
            } while ($line =~ m{^0*[1-9a-f]}i);

        } else {
            $text .= read_bytes($sock, 1, $seconds) while 1;
        }

        1;
    };

    die $@ unless $ok || $@ eq "closed\n" || $@ eq "no answer\n";

    return $text;
}


sub http {
    my ($raw, %args) = @_;
    my $sock = http_open(%args);
    print $sock $raw;
    return http_read($sock, $args{timeout}, $raw =~ /^(\S+)/);
}


sub http_many {
    my @raw = @_;
    my @socks = map { http_open() } @raw;
    print { $socks[$_] } $raw[$_] for 0 .. $#raw;
    return map { http_read($_) } @socks;
}


sub http_parse {
    my ($text) = @_;

    my ($head, $body) = split /\r\n\r\n/, $text, 2;
    my ($status) = ($head // '') =~ m{^HTTP/\S+ (\d+)};
    my %headers;

    while (($head // '') =~ /^([^:\s]+):[ ]*(.*?)\r?$/mg) {
        $headers{lc $1} = join ', ', grep { defined } $headers{lc $1}, $2;
    }

    return { status => $status // 0, headers => \%headers,
             body => $body // '', text => $text };
}


sub call {
    my ($method, $path, $headers, $body) = @_;

    my @lines = ("$method $path HTTP/1.1", 'Host: localhost',
                 'Connection: close', @{ $headers || [] });
    push @lines, 'Content-Length: ' . length $body if defined $body;

    return http_parse(http(join("\r\n", @lines, '', $body // '')));
}


# the same by curl, for HTTP/2 and TLS; the path comes last

sub curl {
    my ($path, @args) = (pop, @_);

    my $url = $path =~ /^http/ ? $path
              : "http://127.0.0.1:$ENV{TEST_NGINX_PORT}$path";

    open my $out, '-|', 'curl', '-sSi', '--max-time', $CredTest::Process::Patience, @args, $url
        or die "curl: $!";
    local $/;
    return http_parse(scalar(<$out>) // '');
}


sub nginx_pid {
    my ($pid) = slurp("$Dir/nginx/logs/nginx.pid") =~ /(\d+)/;
    return $pid;
}


sub nginx_workers {
    my ($master) = (@_, nginx_pid());
    return unless $master;

    my @pids = map {
        my ($pid, $state, $parent) = slurp($_) =~ /^(\d+) \(.*\) (\S) (\d+)/s;
        defined $parent && $parent == $master && $state ne 'Z' ? $pid : ();
    } glob '/proc/[0-9]*/stat';

    return @pids;
}


# whether a worker is shutting down: it has closed what it listens on

sub is_leaving {
    my ($pid) = @_;

    my %has = map { (readlink // '') => 1 } glob "/proc/$pid/fd/*";
    my ($state, $inode) = (3, 9);

    return !grep {
        my @is = split;
        $is[$state] eq '0A' && $has{"socket:[$is[$inode]]"};
    } split /\n/, slurp('/proc/net/tcp');
}


sub nginx_signal { kill $_[0], nginx_pid() }


sub nginx_reload {
    my %old = map { $_ => 1 } nginx_workers();
    nginx_signal('HUP');
    return wait_for(sub { List::Util::any { !$old{$_} } nginx_workers() });
}


sub nginx_stop {
    my $pid = nginx_pid() or return 1;
    my @pids = ($pid, nginx_workers($pid));

    kill 'QUIT', $pid;

    my $left = wait_for(sub { !List::Util::any { running($_) } @pids });
    kill 'KILL', @pids unless $left;
    unlink "$Dir/nginx/logs/nginx.pid";

    return $left;
}


sub running {
    my ($pid) = @_;
    return slurp("/proc/$pid/stat") =~ /^\d+ \(.*\) [^ZX]/s;
}


sub error_log_text  { slurp("$Dir/nginx/logs/error.log") }
sub access_log_text { slurp("$Dir/nginx/logs/access.log") }


1;
