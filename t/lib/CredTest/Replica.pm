package CredTest::Replica;

# Replicas of Redis servers, and masters that hand over to them.

use strict;
use warnings;

use parent 'Exporter';

use CredTest::Process;
use CredTest::Redis;

our @EXPORT = qw(
    replica in_sync redis_info redis_role redis_address hand_over master_of
);


# Starts a replica of a Redis and waits until it has all that is there.  It
# listens on "host" instead of 127.0.0.1, and then on the port of its master

sub replica {
    my ($name, $master, %args) = @_;

    my @args = @{ $args{args} || [] };

    if ($args{host}) {
        $CredTest::Redis::Redis{$name} ||= {
            port   => redis_port($master),
            socket => "$Dir/$name.sock",
            dir    => "$Dir/$name",
            host   => $args{host},
        };

        push @args, '--bind', $args{host}, '--replica-announce-ip', $args{host};
    }

    redis_start($name, @args);
    redis($name, 'REPLICAOF', redis_address($master));
    in_sync($name, $master) or die "replica $name is not in sync:\n"
                                   . slurp("$Dir/$name.log");
}


sub redis_address {
    my ($name) = @_;
    my $r = $Redis{ CredTest::Redis::real($name) };
    return ($r->{host} // '127.0.0.1', $r->{port});
}


# it has what its master has had until now, who knows of it

sub in_sync {
    my ($name, $master) = @_;

    my $at;
    my (undef, $port) = redis_address($master);
    my ($own_host, $own_port) = redis_address($name);
    my $online = qr/ip=\Q$own_host\E,port=$own_port,state=online/;

    return wait_for(sub {
        return unless redis_info($name, 'master_link_status') eq 'up'
                      && redis_info($name, 'master_port') == $port;
        $at //= redis_info($master, 'master_repl_offset');
        return redis_info($name, 'slave_repl_offset') >= $at
               && redis_text($master) =~ $online;
    });
}


# a field of INFO; nothing from one that hangs up, as it does where sentinels
# change its role

sub redis_info {
    my ($name, $field) = @_;
    my ($value) = redis_text($name) =~ /^\Q$field\E:(.*?)\r?$/m;
    return $value // '';
}

sub redis_text { eval { scalar redis($_[0], 'INFO') } // '' }


# "master" or "slave"

sub redis_role { redis_info($_[0], 'role') }


# Redis' own way: the master waits until the replica has everything, and is its
# replica then

sub hand_over {
    my ($master, $replica) = @_;

    my $reply = redis($master, 'FAILOVER', 'TO', redis_address($replica));
    die "FAILOVER: $reply" unless $reply eq 'OK';

    wait_for(sub {
        redis_role($replica) eq 'master' && redis_role($master) eq 'slave';
    }) or die "$replica does not take over from $master";
}


# which of these that run is the master, when there is one

sub master_of {
    my (@names) = @_;

    my @masters;

    wait_for(sub {
        @masters = grep { redis_runs($_) && redis_role($_) eq 'master' } @names;
        return @masters == 1;
    }) or die 'masters: ' . join ' ', @masters;

    return $masters[0];
}


1;
