package Chaos::Redis;

# Redis servers, the credentials in them, and what is left of these.

use strict;
use warnings;

use parent 'Exporter';

use Digest::SHA ();
use Socket qw(PF_INET SOCK_STREAM IPPROTO_TCP TCP_NODELAY inet_aton
              pack_sockaddr_in);

use Chaos::Process;

our @EXPORT = qw(
    registry environments redis_start create create_keys keys_left left
    operations open_operations pending drained reset_redis
);

our $P = '{cred}';

my $Server = $ENV{CRED_REDIS_SERVER} || 'redis-server';

my @AOF = qw(--appendonly yes --appendfsync always
             --auto-aof-rewrite-percentage 0);


sub new {
    my ($class, $name, @args) = @_;

    my $self = bless {
        name => $name,
        port => free_port(),
        dir  => temp_dir() . "/$name",
        args => \@args,
    }, $class;

    mkdir $self->{dir};
    return $self;
}


sub url { "redis://127.0.0.1:$_[0]{port}" }


# does not wait until it is ready

sub start {
    my ($self) = @_;

    return if $self->{pid};

    $self->{pid} = Chaos::Process::spawn($self->{name},
        $Server, '--port', $self->{port}, '--bind', '127.0.0.1',
        '--dir', $self->{dir}, '--save', '', @{ $self->{args} });
}


sub ready {
    my ($self) = @_;
    my $pong = eval { $self->call('PING') };
    return defined $pong && $pong eq 'PONG';
}


sub kill {
    my ($self) = @_;
    Chaos::Process::kill_group(delete $self->{pid}) if $self->{pid};
    delete $self->{sock};
}


sub stop { CORE::kill('STOP', $_[0]{pid}) }
sub cont { CORE::kill('CONT', $_[0]{pid}) }


# its AOF, with no more in it than there is now

sub rewrite {
    my ($self) = @_;

    $self->call('BGREWRITEAOF');

    wait_for(sub {
        $self->call('INFO', 'persistence')
            !~ /^aof_rewrite_(?:in_progress|scheduled):1/m;
    }) or die "$self->{name} does not rewrite its AOF\n";
}


sub redis_start {
    my (@redis) = @_;

    $_->start for @redis;

    for my $redis (@redis) {
        wait_for(sub { $redis->ready })
            or die "$redis->{name} does not start:\n"
                   . slurp(temp_dir() . "/$redis->{name}.log");
    }

    return @redis;
}


sub registry {
    my ($registry) = redis_start(__PACKAGE__->new('registry', @AOF, @_));

    return $registry;
}


# an array before their names has more arguments for them

sub environments {
    my ($registry, @names) = @_;

    my @args = ref $names[0] ? @{ shift @names } : ();
    my @environments = redis_start(map { __PACKAGE__->new($_, @AOF, @args) }
                                   @names);

    $registry->call('HSET', "$P:environments",
                    map { $_->{name}, $_->url } @environments);

    return @environments;
}


# the protocol

sub call {
    my ($self, @command) = @_;
    my ($reply) = $self->pipeline([@command]);
    return $reply;
}


sub pipeline {
    my ($self, @commands) = @_;

    my @replies;

    while (my @some = splice @commands, 0, 500) {
        my $sock = $self->{sock} ||= $self->open;

        my $ok = eval {
            syswrite_all($sock, join '', map { encode(@$_) } @some);
            push @replies, map { reply($sock) } @some;
            1;
        };

        unless ($ok) {
            delete $self->{sock};
            die $@;
        }
    }

    return @replies;
}


sub open {
    my ($self) = @_;

    socket my $sock, PF_INET, SOCK_STREAM, 0 or die "socket: $!";
    connect $sock, pack_sockaddr_in($self->{port},
                                    inet_aton($self->{host} // '127.0.0.1'))
        or die "$self->{name}: $!\n";
    setsockopt $sock, IPPROTO_TCP, TCP_NODELAY, 1;
    return $sock;
}


sub encode {
    return join '', '*' . @_ . "\r\n",
                map { '$' . length() . "\r\n$_\r\n" } @_;
}


sub syswrite_all {
    my ($sock, $bytes) = @_;

    while (length $bytes) {
        my $n = syswrite($sock, $bytes) // die "write: $!\n";
        substr $bytes, 0, $n, '';
    }
}


# an error is a reference to its text

sub reply {
    my ($sock) = @_;

    local $/ = "\r\n";
    my $line = readline($sock) // die "closed\n";
    my ($type, $rest) = $line =~ /^(.)(.*)\r\n\z/s or die "bad reply: $line";

    return $rest if $type eq '+' || $type eq ':';
    return \$rest if $type eq '-';
    return undef if $rest < 0;
    return [ map { reply($sock) } 1 .. $rest ] if $type eq '*';

    my $string = '';
    (read($sock, $string, $rest + 2) // 0) == $rest + 2 or die "closed\n";
    return substr $string, 0, -2;
}


# credentials c1, c2, ... of the project "shop"

sub eval {
    my ($self, $script, @args) = @_;
    my $reply = $self->call('EVAL', $script, 1, "$P:apinizer", @args);
    die "$self->{name}: $$reply\n" if ref $reply eq 'SCALAR';
    return $reply;
}


sub create {
    my ($redis, $from, $to, $revision) = @_;

    for (my $i = $from; $i <= $to; $i += 1000) {
        my $last = $i + 999 < $to ? $i + 999 : $to;

        $redis->eval(<<'END', $i, $last, $revision // 1);
for i = ARGV[1], ARGV[2] do
    redis.call('HSET', KEYS[1] .. ':credential:shop:c' .. i, 'owner', 'alice',
               'revision', ARGV[3])
    redis.call('SADD', KEYS[1] .. ':grants:shop:c' .. i, 'API_PROXY:orders')
    redis.call('SADD', KEYS[1] .. ':credentials:shop', 'c' .. i)
end
END
    }
}


# the keys "key-1", "key-2", ... of these

sub key_hash { Digest::SHA::sha256_hex("key-$_[0]") }

sub create_keys {
    my ($redis, $from, $to) = @_;

    for (my $i = $from; $i <= $to; $i += 1000) {
        my $last = $i + 999 < $to ? $i + 999 : $to;

        $redis->eval(<<'END', $i, map { key_hash($_) } $i .. $last);
for i = 2, #ARGV do
    local id = 'c' .. (ARGV[1] + i - 2)
    redis.call('HSET', KEYS[1] .. ':credential:shop:' .. id, 'keys', ARGV[i])
    redis.call('SET', KEYS[1] .. ':key:' .. ARGV[i], 'shop:' .. id)
end
END
    }
}


# how many of them lead to a credential

sub keys_left {
    my ($redis, $from, $to) = @_;

    my $left = 0;

    for (my $i = $from; $i <= $to; $i += 1000) {
        my $last = $i + 999 < $to ? $i + 999 : $to;
        $left += $redis->call('EXISTS', map { "$P:apinizer:key:" . key_hash($_) }
                                        $i .. $last);
    }

    return $left;
}


sub access {
    my ($registry) = @_;

    my $api = "$P:apinizer";

    $registry->pipeline(
        ['HSET', "$api:token:" . Digest::SHA::sha256_hex('secret'),
            'subject', 'alice'],
        ['HSET', "$api:scope:shop", 'description', 'shop'],
        ['HSET', "$api:members:shop", 'alice', 'manage']);
}


# pairs of a number and how many of credential, grants and index entry are there

sub left {
    my ($redis, $from, $to) = @_;

    my @left;

    for (my $i = $from; $i <= $to; $i += 1000) {
        my $last = $i + 999 < $to ? $i + 999 : $to;

        push @left, @{ $redis->eval(<<'END', $i, $last) };
local left = {}
for i = ARGV[1], ARGV[2] do
    local n = redis.call('EXISTS', KEYS[1] .. ':credential:shop:c' .. i,
                         KEYS[1] .. ':grants:shop:c' .. i)
              + redis.call('SISMEMBER', KEYS[1] .. ':credentials:shop',
                           'c' .. i)
    if n > 0 then
        left[#left + 1] = i
        left[#left + 1] = n
    end
end
return left
END
    }

    return @left;
}


# the hashes of all operations, by id

sub operations {
    my ($registry) = @_;

    my %operations;
    my $cursor = 0;

    do {
        my $reply = $registry->call('SCAN', $cursor, 'MATCH', "$P:operation:*",
                                    'COUNT', 1000);
        $cursor = $reply->[0];
        my @keys = @{ $reply->[1] };
        my @hashes = $registry->pipeline(map { ['HGETALL', $_] } @keys);

        for my $i (0 .. $#keys) {
            my ($id) = $keys[$i] =~ /([0-9a-f]+)$/;
            $operations{$id} = { @{ $hashes[$i] } };
        }
    } while ($cursor);

    return \%operations;
}


# keys of those that are not over; one that is kept to tell of what is superseded
# expires

sub open_operations {
    my ($redis) = @_;
    return grep { $redis->call('TTL', $_) == -1 }
           @{ $redis->call('KEYS', "$P:open:*") };
}


sub pending {
    my ($registry, @environments) = @_;

    my $count = 0;
    $count += $registry->call('ZCARD', "$P:pending:$_->{name}")
        for @environments;
    return $count;
}


# how many stay pending, and the seconds until there were none

sub drained {
    my ($registry, $seconds, @environments) = @_;

    my $start = Time::HiRes::time();
    my $count;

    wait_for(sub { !($count = pending($registry, @environments)) }, $seconds);

    return ($count, Time::HiRes::time() - $start);
}


sub reset_redis {
    my ($registry, @environments) = @_;

    $_->call('FLUSHALL') for $registry, @environments;
    access($registry);
    $registry->call('HSET', "$P:environments",
                    map { $_->{name}, $_->url } @environments)
        if @environments;
}


1;
