package Chaos::Topology;

# Registries and environments of several servers each: masters with a replica
# that sentinels watch, or that hand over to each other, and a cluster.  Each of
# them is asked like a Redis, which is whatever its master is then.

use strict;
use warnings;

use parent -norequire, 'Chaos::Redis';

use Chaos::Process;
use Chaos::Redis;
use CredTest::Port ();
use Time::HiRes ();

my @AOF = qw(--appendonly yes --appendfsync always
             --auto-aof-rewrite-percentage 0 --repl-diskless-sync-delay 0);

my $Server = $ENV{CRED_REDIS_SERVER} || 'redis-server';

# of the topology, since its servers have folders of their own

my $Number = 0;


# in place of a Redis: "servers" of which one is the master

sub group {
    my ($class, $name, %args) = @_;
    return bless { name => $name, prefix => $Chaos::Redis::P, %args }, $class;
}


sub url { $_[0]{url} }

# of all that are, or nothing

sub master {
    my ($self) = @_;

    my @masters = grep { role($_) eq 'master' && $self->{is_master}->($_) }
                  @{ $self->{servers} };

    return @masters == 1 ? $masters[0] : undef;
}


sub pipeline {
    my ($self, @commands) = @_;

    my $master;

    wait_for(sub { $master = $self->master })
        or die "$self->{name} has no master\n";

    return $master->pipeline(@commands);
}


sub eval {
    my ($self, $script, @args) = @_;
    my $reply = $self->call('EVAL', $script, 1, "$self->{prefix}:apinizer",
                            @args);
    die "$self->{name}: $$reply\n" if ref $reply eq 'SCALAR';
    return $reply;
}


sub info {
    my ($server, $field) = @_;
    return '' unless $server->{pid};
    my ($value) = (eval { $server->call('INFO', 'replication') } // '')
                  =~ /^$field:(.*?)\r?$/m;
    return $value // '';
}


sub role { info($_[0], 'role') }


# the other one is its replica, and has all that there was when it was asked
# first

sub healed {
    my ($self) = @_;

    my $master = $self->master or return;

    for my $replica (grep { $_ != $master } @{ $self->{servers} }) {
        return unless info($replica, 'master_port') eq $master->{port}
                      && info($replica, 'master_host')
                         eq ($master->{host} // '127.0.0.1')
                      && info($replica, 'master_link_status') eq 'up'
                      && info($master, 'slave0') =~ /state=online/;

        $self->{offset} //= info($master, 'master_repl_offset');
        return if info($replica, 'slave_repl_offset') < $self->{offset};
    }

    delete $self->{offset};
    return 1;
}


sub replica {
    my ($self, $master) = @_;
    my ($replica) = grep { $_ != $master } @{ $self->{servers} };
    return $replica;
}


# What is done to a group is a list of steps, each of which is tried until it is
# true: the other one is the master in the end, and the first one its replica

sub killing {
    my ($self, $master) = @_;

    my $replica = $self->replica($master);

    return (
        sub { $master->kill; 1 },
        sub { role($replica) eq 'master' && $self->{is_master}->($replica) },
        sub { $master->start; 1 },
        sub { $self->healed },
    );
}


# a step: a replica is told to take over, which may come to nothing

sub taking_over {
    my ($replica, $tell) = @_;

    my $next = 0;

    return sub {
        return 1 if role($replica) eq 'master';

        if (Time::HiRes::time() >= $next) {
            $next = Time::HiRes::time() + 6;
            $tell->();
        }

        return;
    };
}


# of all servers

sub end {
    my ($self) = @_;
    $_->kill for @{ $self->{servers} };
    Chaos::Process::kill_group($_) for @{ $self->{guards} || [] };
}


# three sentinels, and these with a replica each

sub watched_by_sentinels {
    my (@names) = @_;

    $Number++;
    my @ports = map { CredTest::Port::free_port() } 1 .. 3;
    my $hosts = join ',', map { "127.0.0.1:$_" } @ports;
    my @groups;

    for my $name (@names) {
        my @servers = servers($name);

        push @groups, my $group = __PACKAGE__->group($name,
            servers => \@servers, url => "redis-sentinel://$hosts#$name");

        $group->{is_master} = sub {
            my ($server) = @_;
            return !grep { $_ != $server->{port} } named($name, @ports);
        };

        $group->{faults} = {
            'masters killed' => sub { $group->killing(@_) },
            'SENTINEL failover' => sub { $group->told(@_, @ports) },
        };
    }

    $groups[0]{guards} = [ map { sentinel($_, @groups) } @ports ];

    wait_for(sub { !grep { !watched($_, @ports) } @groups }, 60)
        or die "the sentinels are not ready\n";

    return @groups;
}


sub servers {
    my ($name) = @_;

    my @servers = redis_start(map {
        Chaos::Redis->new("$name-$Number-$_", @AOF);
    } 1, 2);

    $servers[1]->call('REPLICAOF', '127.0.0.1', $servers[0]{port});
    return @servers;
}


sub sentinel {
    my ($port, @groups) = @_;

    my $dir = temp_dir() . "/sentinel-$port";
    mkdir $dir;

    open my $out, '>', "$dir/sentinel.conf" or die $!;
    print $out "port $port\nbind 127.0.0.1\ndir $dir\n";

    for my $group (@groups) {
        my $name = $group->{name};
        print $out "sentinel monitor $name 127.0.0.1"
                   . " $group->{servers}[0]{port} 2\n"
                   . "sentinel down-after-milliseconds $name 1500\n"
                   . "sentinel failover-timeout $name 3000\n";
    }

    close $out;

    my $pid = Chaos::Process::spawn("sentinel-$port", $Server,
                                    "$dir/sentinel.conf", '--sentinel');

    wait_for(sub {
        eval { ask_sentinel($port, 'PING') } // '' eq 'PONG';
    }) or die "sentinel $port does not start\n";

    ask_sentinel($port, qw(SENTINEL DEBUG PUBLISH-PERIOD 300 INFO-PERIOD 500
                           TILT-PERIOD 500));
    return $pid;
}


my %Sentinels;

sub ask_sentinel {
    my ($port, @command) = @_;
    $Sentinels{$port} ||= bless { name => "sentinel $port", port => $port },
                                'Chaos::Redis';
    return $Sentinels{$port}->call(@command);
}


# the ports that sentinels name

sub named {
    my ($name, @ports) = @_;

    return map {
        my $reply = ask_sentinel($_, 'SENTINEL', 'GET-MASTER-ADDR-BY-NAME',
                                 $name);
        ref $reply eq 'ARRAY' ? $reply->[1] : 0;
    } @ports;
}


# all sentinels know each other, and the replica, which is in sync

sub watched {
    my ($group, @ports) = @_;

    for my $port (@ports) {
        my $reply = ask_sentinel($port, 'SENTINEL', 'MASTER', $group->{name});
        my %is = ref $reply eq 'ARRAY' ? @$reply : return;

        return if $is{'flags'} ne 'master'
                  || $is{'num-other-sentinels'} != @ports - 1
                  || $is{'num-slaves'} != 1;

        my $replicas = ask_sentinel($port, 'SENTINEL', 'REPLICAS',
                                    $group->{name});
        my %replica = @{ $replicas->[0] };
        return if $replica{'master-link-status'} ne 'ok';
    }

    return $group->healed;
}


sub told {
    my ($self, $master, @ports) = @_;

    my $replica = $self->replica($master);

    return (
        sub { watched($self, @ports) },
        taking_over($replica, sub {
            ask_sentinel($ports[0], 'SENTINEL', 'FAILOVER', $self->{name});
        }),
        sub { $self->{is_master}->($replica) },
        sub { $self->healed },
    );
}


# These hand over to each other by "FAILOVER".  Both have the same port, at two
# addresses of one name; returns the port of a name server, too

sub handed_over {
    my (@names) = @_;

    $Number++;
    my $dns = CredTest::Port::free_port();
    my @groups;

    for my $name (@names) {
        my $port = CredTest::Port::free_port();
        my @servers;

        for my $host ('127.0.0.1', '127.0.0.2') {
            my $server = Chaos::Redis->new("$name-$Number-" . (1 + @servers),
                @AOF, '--bind', $host, '--replica-announce-ip', $host);

            @$server{qw(host port)} = ($host, $port);
            push @servers, $server;
        }

        redis_start(@servers);
        $servers[1]->call('REPLICAOF', $servers[0]{host}, $port);

        push @groups, my $group = __PACKAGE__->group($name,
            servers => \@servers, url => "redis://$name.test:$port");

        $group->{is_master} = sub { 1 };
        $group->{faults} = { FAILOVER => sub { $group->handing_over(@_) } };
    }

    Chaos::Process::spawn('dns', 'dnsmasq', '--keep-in-foreground',
        '--conf-file=-', "--port=$dns", '--listen-address=127.0.0.1',
        '--bind-interfaces', '--no-resolv', '--no-hosts', '--pid-file',
        '--user=' . getpwuid($>), '--log-facility=-',
        map { ("--local=/$_.test/", "--address=/$_.test/127.0.0.1",
               "--address=/$_.test/127.0.0.2") } @names);

    wait_for(sub { !grep { !$_->healed } @groups })
        or die "a replica is not in sync\n";

    return ($dns, @groups);
}


sub handing_over {
    my ($self, $master) = @_;

    my $replica = $self->replica($master);

    return (
        sub {
            my $reply = $master->call('FAILOVER', 'TO', $replica->{host},
                                      $replica->{port});
            return !ref $reply;
        },
        sub { role($replica) eq 'master' },
        sub { $self->healed },
    );
}


# Slots of one cluster, each with a prefix of its own, of six nodes

sub in_a_cluster {
    my (%prefixes) = @_;

    $Number++;
    my @nodes = map { node($_) } 1 .. 6;
    my $seeds = join ',', map { "127.0.0.1:$_->{port}" } @nodes;

    redis_start(@nodes);

    for my $n (0 .. 5) {
        my ($from, $to) = map { int($_ * 16384 / 3) } $n, $n + 1;
        cluster($nodes[$n], 'ADDSLOTS', $from .. $to - 1) if $n < 3;
        cluster($nodes[$n], 'SET-CONFIG-EPOCH', $n + 1);
        cluster($nodes[$n], 'MEET', '127.0.0.1', $nodes[0]{port}) if $n;
    }

    wait_for(sub { !grep { known($_) < 6 } @nodes })
        or die "nodes do not know each other\n";

    for my $n (0 .. 2) {
        cluster($nodes[$n + 3], 'REPLICATE', cluster($nodes[$n], 'MYID'));
    }

    my @groups = map {
        slot($_, $prefixes{$_}, $seeds, @nodes);
    } sort keys %prefixes;

    wait_for(sub { !grep { !$_->well(@nodes) } @groups }, 60)
        or die "the cluster is not ready\n";

    return @groups;
}


sub node {
    my ($n) = @_;

    my $node = Chaos::Redis->new("node-$Number-$n", @AOF,
        '--cluster-enabled', 'yes', '--cluster-config-file', 'nodes.conf',
        '--cluster-node-timeout', 2000,
        '--cluster-replica-validity-factor', 0);

    $node->{port} = CredTest::Port::free_ports(0, 10000);
    return $node;
}


sub slot {
    my ($name, $prefix, $seeds, @nodes) = @_;

    my $slot = cluster($nodes[0], 'KEYSLOT', $prefix);
    my $query = $prefix =~ s/([^\w])/sprintf '%%%02X', ord $1/aegr;
    my $pair = int(3 * $slot / 16384);

    # int() at the borders, as above

    $pair++ if $slot >= int(($pair + 1) * 16384 / 3);

    my $group = __PACKAGE__->group($name, prefix => $prefix,
        servers => [ @nodes[$pair, $pair + 3] ],
        url => "redis-cluster://$seeds?prefix=$query");

    $group->{is_master} = sub { 1 };

    $group->{faults} = {
        'owners killed' => sub {
            my ($master) = @_;
            return ($group->killing($master), sub { $group->well(@nodes) });
        },
        'CLUSTER FAILOVER' => sub {
            my ($master) = @_;
            my $replica = $group->replica($master);
            return (
                taking_over($replica, sub {
                    $replica->call('CLUSTER', 'FAILOVER');
                }),
                sub { $group->healed },
                sub { $group->well(@nodes) },
            );
        },
    };

    return $group;
}


sub cluster {
    my ($node, @command) = @_;
    my $reply = $node->call('CLUSTER', @command);
    die "$node->{name}: CLUSTER $command[0]: $$reply\n" if ref $reply;
    return $reply;
}


sub known {
    my ($node) = @_;
    my @lines = split /\n/, cluster($node, 'NODES');
    return scalar @lines;
}


sub well {
    my ($self, @nodes) = @_;

    for my $node (@nodes) {
        return unless cluster($node, 'INFO')
                      =~ /^cluster_state:ok.*^cluster_slots_ok:16384\r/ms
                      && cluster($node, 'NODES') !~ /fail/;
    }

    return $self->healed;
}


1;
