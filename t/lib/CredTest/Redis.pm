package CredTest::Redis;

# Redis servers, and enough of their protocol to ask them.

use strict;
use warnings;

use parent 'Exporter';

use CredTest::Process;
use Digest::SHA ();
use IO::Select ();
use IO::Socket::UNIX ();

our (%Redis, %Alias);

my $Server = $ENV{CRED_REDIS_SERVER} || 'redis-server';
my $Version;

our @EXPORT = qw(
    %Redis redis redis_alias redis_url redis_tcp redis_port redis_socket redis_start
    redis_stop redis_kill redis_pause redis_resume redis_runs redis_clean
    redis_load redis_connect redis_full_disk redis_empty_disk
    monitor resp reply words expand sha256
);


# a name for whichever server a function names then, for as long as the block

sub redis_alias {
    my ($name, $server) = @_;
    $Alias{$name} = $server;
}


sub real {
    my ($name) = @_;
    return exists $Alias{$name} ? $Alias{$name}->() : $name;
}


# as a number, of what all tests use; Valkey goes on where Redis 7 was

sub redis_version {
    ($Version) = `$Server --version` =~ /v=(\d+\.\d+)/ unless defined $Version;
    return $Version;
}


# what came with one version or another

sub redis_options {
    my $version = redis_version();

    return ('--bind', '127.0.0.1', $version < 6.2 ? '::1' : '-::1',
            $version < 7 ? () : ('--enable-debug-command', 'yes'));
}


# it cannot save, and says MISCONF; and can again

sub redis_full_disk {
    my $name = real($_[0]);

    unlink "$Redis{$name}{dir}/dump.rdb";
    mkdir "$Redis{$name}{dir}/dump.rdb";
    redis($name, 'CONFIG', 'SET', 'save', '1000 1000');
    return redis_saves($name, 'err');
}

sub redis_empty_disk {
    my $name = real($_[0]);

    rmdir "$Redis{$name}{dir}/dump.rdb";
    redis($name, 'CONFIG', 'SET', 'save', '');
    return redis_saves($name, 'ok');
}

sub redis_saves {
    my ($name, $status) = @_;

    redis($name, 'BGSAVE');
    return wait_for(sub {
        redis($name, 'INFO', 'persistence') =~ /rdb_last_bgsave_status:$status/
    });
}


# "command" in %Redis is another one than that of a Redis

sub redis_start {
    my ($name, @args) = (real(shift), @_);

    my $r = $Redis{$name} ||= {
        port   => free_port(),
        socket => "$Dir/$name.sock",
        dir    => "$Dir/$name",
        args   => [],
    };

    return if defined $r->{pid};

    $r->{args} = \@args if @args;

    my $variable = 'TEST_NGINX_' . uc($name =~ s/\W/_/gr);
    $ENV{$variable} = redis_url($name);
    $ENV{"${variable}_TCP"} = redis_tcp($name);
    $ENV{"${variable}_PORT"} = $r->{port};

    mkdir $r->{dir};

    $r->{changed} = 0;
    $r->{pid} = spawn('redis', $name, @{ $r->{command} || [$Server,
        '--port', $r->{port}, redis_options(),
        '--unixsocket', $r->{socket}, '--unixsocketperm', '777',
        '--dir', $r->{dir}, '--save', '', '--appendonly', 'no',
        '--repl-diskless-sync-delay', 0, @{ $r->{args} }] });

    wait_for(sub {
        my $pong = eval { redis($name, 'PING') };
        defined $pong && $pong !~ /^\(error\) LOADING/;
    }) or die "$Server $name does not start:\n"
              . slurp("$Dir/$name.log");
}


sub redis_stop {
    my ($name) = @_;
    my $r = $Redis{ real($name) };
    my $pid = delete $r->{pid} or return;
    delete $r->{paused};
    kill 'CONT', $pid;
    reap($pid, 'TERM');
}


sub redis_kill {
    my ($name) = @_;
    my $r = $Redis{ real($name) };
    my $pid = delete $r->{pid} or return;
    delete $r->{paused};
    reap($pid, 'KILL');
}


sub redis_pause {
    my $r = $Redis{ real($_[0]) };
    $r->{paused} = 1;
    kill 'STOP', $r->{pid};
}

sub redis_resume {
    my $r = $Redis{ real($_[0]) };
    delete $r->{paused};
    kill 'CONT', $r->{pid} if $r->{pid};
}


sub redis_port   { $Redis{ real($_[0]) }{port} }
sub redis_socket { $Redis{ real($_[0]) }{socket} }
sub redis_url    { 'unix:' . redis_socket($_[0]) }
sub redis_tcp    { 'redis://127.0.0.1:' . redis_port($_[0]) }


# neither killed nor stopped

sub redis_runs {
    my $r = $Redis{ real($_[0]) };
    return $r->{pid} && !$r->{paused};
}


# as good as new, and only started again where that takes it

sub redis_clean {
    my ($name) = @_;

    my $r = $Redis{$name};

    if ($r->{changed} || @{ $r->{args} }) {
        redis_kill($name);
        $r->{args} = [];
    }

    redis_resume($name);
    redis_start($name);
    redis($name, @$_) for ['FLUSHALL'], ['SCRIPT', 'FLUSH'],
                          ['CONFIG', 'RESETSTAT'];
    $r->{changed} = 0;
}


sub redis_load {
    my ($name, $text) = @_;

    return map {
        my $reply = redis($name, words($_));
        $reply =~ /^\(error\)/ ? "$_: $reply" : ();
    } grep { !/^\s*(#|$)/ } split /\n/, $text;
}


sub redis {
    my ($name, @command) = (real(shift), @_);

    $Redis{$name}{changed} = 1
        if $command[0] =~ /^(?:CONFIG|ACL|CLIENT|DEBUG|REPLICAOF)$/i;

    my $sock = redis_connect($name);
    print $sock resp(@command);

    my $reply = eval { reply($sock) } // die "redis $name: @command: $@";

    if (ref $reply) {
        my @elts = flatten($reply);

        if ($command[0] =~ /^(?:SMEMBERS|HKEYS|KEYS)$/i) {
            @elts = sort @elts;

        } elsif (uc $command[0] eq 'HGETALL') {
            my %pairs = @elts;
            @elts = map { ($_, $pairs{$_}) } sort keys %pairs;
        }

        return wantarray ? @elts : "@elts";
    }

    return $reply;
}


# a closure that returns the commands which this Redis has got since; a last one
# of its own says when all have come, since Redis keeps what is not read

sub monitor {
    my ($name) = @_;

    my $sock = redis_connect($name);
    print $sock resp('MONITOR');
    reply($sock);

    my ($text, $marks) = ('', 0);

    return sub {
        my $mark = sprintf '"ECHO" "monitored-%d-%d"', fileno $sock, ++$marks;
        redis($name, words($mark));

        while (index($text, "$mark\r\n") < 0) {
            IO::Select->new($sock)->can_read($CredTest::Process::Patience)
                or die "$name: not all was monitored\n";
            sysread $sock, $text, 65536, length $text or die "$name: closed\n";
        }

        return map { s/^\+//r } grep { !/"ECHO" "monitored-/ }
               $text =~ /^(\+.*?)\r\n/mg;
    };
}


sub redis_connect {
    my ($name) = real(@_);

    my $r = $Redis{$name} or die "no redis \"$name\"";

    my $sock = IO::Socket::UNIX->new(Peer => $r->{socket})
        or die "redis $name: $!";

    if ("@{ $r->{args} }" =~ /--requirepass (\S+)/) {
        print $sock resp('AUTH', $1);
        reply($sock);
    }

    return $sock;
}


sub resp { join '', '*' . @_ . "\r\n", map { "\$" . length() . "\r\n$_\r\n" } @_ }

sub flatten { map { ref ? flatten($_) : $_ } @{ $_[0] } }


sub reply {
    my ($sock) = @_;

    my $line = read_line($sock);
    my ($type, $rest) = $line =~ /^(.)(.*)\r\n\z/s or die "bad reply: $line";

    return $rest if $type eq '+' || $type eq ':';
    return "(error) $rest" if $type eq '-';
    return '(nil)' if $rest < 0;
    return [ map { reply($sock) } 1 .. $rest ] if $type eq '*';

    my $string = read_bytes($sock, $rest + 2);
    return substr $string, 0, -2;
}


# the words of a command as redis-cli reads them

sub words {
    my ($line) = @_;

    my %escape = (n => "\n", r => "\r", t => "\t", a => "\a", b => "\b");
    my @words;

    $line = expand($line);

    while ($line =~ /\G\s*(?=\S)/gc) {
        if ($line =~ /\G"((?:[^"\\]|\\.)*)"/gc) {
            push @words, $1 =~ s{\\(?:x([0-9a-fA-F]{2})|(.))}
                                {defined $1 ? chr hex $1 : $escape{$2} // $2}ger;
        } elsif ($line =~ /\G'((?:[^'\\]|\\.)*)'/gc) {
            push @words, $1 =~ s/\\'/'/gr;
        } else {
            $line =~ /\G(\S+)/gc;
            push @words, $1;
        }
    }

    return @words;
}


sub expand {
    my ($text) = @_;
    $text =~ s/\$(TEST_NGINX_\w+)/$ENV{$1} \/\/ die "no \$$1"/ge;
    $text =~ s/sha256\(([^)]*)\)/sha256($1)/ge;
    return $text;
}


sub sha256 { Digest::SHA::sha256_hex($_[0]) }


1;
