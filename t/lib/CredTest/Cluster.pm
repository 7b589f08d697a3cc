package CredTest::Cluster;

# A Redis Cluster of real nodes, which are servers of %Redis.

use strict;
use warnings;

use parent 'Exporter';

use CredTest::Port;
use CredTest::Process;
use CredTest::Redis;
use CredTest::Replica;
use List::Util ();

our @EXPORT = qw(
    cluster cluster_url cluster_nodes cluster_slot cluster_owner cluster_agree
    cluster_replica cluster_failover cluster_keys
    slot_begin slot_keys slot_move slot_end
);

use constant SLOTS => 16384;

my @Nodes;


# Starts "masters" (3) nodes "node-1" and so on, which share all slots, and
# replicas of the first ones, "replica-1" and so on ("replicas", 0); "args" are
# more for each of them, or functions of the name that return some.  Returns when
# all of them agree

sub cluster {
    my (%args) = @_;

    my @masters = map { "node-$_" } 1 .. $args{masters} // 3;
    my @replicas = map { "replica-$_" } 1 .. $args{replicas} // 0;

    @Nodes = (@masters, @replicas);

    node_start($_, @{ $args{args} || [] }) for @Nodes;

    for my $n (0 .. $#masters) {
        my ($from, $to) = map { int($_ * SLOTS / @masters) } $n, $n + 1;
        node_tell($masters[$n], 'ADDSLOTS', $from .. $to - 1);
    }

    for my $n (0 .. $#Nodes) {
        node_tell($Nodes[$n], 'SET-CONFIG-EPOCH', $n + 1);
        node_tell($Nodes[$n], 'MEET', redis_address($Nodes[0])) if $n;
    }

    wait_for(sub {
        !grep { keys %{ node_view($_) } != @Nodes } @Nodes;
    }) or die 'nodes do not know each other';

    for my $n (0 .. $#replicas) {
        node_tell($replicas[$n], 'REPLICATE', node_id($masters[$n]));
    }

    for my $n (0 .. $#replicas) {
        in_sync($replicas[$n], $masters[$n])
            or die "$replicas[$n] is not in sync";
    }

    cluster_agree()
        or die "no cluster:\n" . redis($Nodes[0], 'CLUSTER', 'NODES');
}


# the port of its bus is this far above its own

sub node_start {
    my ($name, @args) = @_;

    my $dir = "$Dir/$name";

    $Redis{$name} = { port => free_ports(0, 10000), socket => "$Dir/$name.sock",
                      dir => $dir };

    redis_start($name, '--cluster-enabled', 'yes',
                '--cluster-config-file', 'nodes.conf',
                '--cluster-node-timeout', 2000,
                '--cluster-replica-validity-factor', 0,
                map { ref ? $_->($name) : $_ } @args);
}


sub node_tell {
    my ($name, @command) = @_;
    my $reply = redis($name, 'CLUSTER', @command);
    die "$name: CLUSTER $command[0]: $reply" unless $reply =~ /^OK|^\w+$/;
    return $reply;
}


sub node_id { redis($_[0], 'CLUSTER', 'MYID') }


# how a node sees the cluster: hashes by id

sub node_view {
    my ($name) = @_;

    my %nodes;

    for (split /\n/, redis($name, 'CLUSTER', 'NODES')) {
        my ($id, $address, $flags, $master, undef, undef, $epoch, undef, @slots)
            = split ' ';
        my ($port) = $address =~ /:(\d+)@/;
        $nodes{$id} = { port => $port, flags => $flags, master => $master,
                        epoch => $epoch, slots => [ grep { /^\d/ } @slots ] };
    }

    return \%nodes;
}


sub cluster_nodes { grep { redis_runs($_) } @Nodes }


sub cluster_url {
    my ($prefix, @names) = @_;
    @names = @Nodes unless @names;
    return 'redis-cluster://'
           . join(',', map { '127.0.0.1:' . redis_port($_) } @names)
           . (defined $prefix ? "?prefix=$prefix" : '');
}


sub cluster_slot {
    my ($key) = @_;
    my ($node) = cluster_nodes();
    return redis($node, 'CLUSTER', 'KEYSLOT', $key);
}


# Which of those that run has the slot of a key.  Two may think so for a while;
# then it is the one whose epoch is higher

sub cluster_owner {
    my ($key) = @_;

    my $slot = cluster_slot($key);
    my ($owner, $highest);

    for my $name (cluster_nodes()) {
        my ($own) = grep { $_->{flags} =~ /myself/ }
                    values %{ node_view($name) };

        next unless $own->{flags} =~ /master/ && has_slot($own, $slot)
                    && (!defined $owner || $own->{epoch} > $highest);
        ($owner, $highest) = ($name, $own->{epoch});
    }

    return $owner // die "nobody has slot $slot";
}


sub has_slot {
    my ($node, $slot) = @_;

    return List::Util::any {
        my ($from, $to) = split /-/;
        $slot >= $from && $slot <= ($to // $from);
    } @{ $node->{slots} };
}


# Waits until all nodes that run see the same owners of all slots, of which none
# has failed.  Others may be unknown to them yet, or known as gone

sub cluster_agree {
    my (@names) = @_;

    return wait_for(sub {
        my %seen;

        for my $name (@names ? @names : cluster_nodes()) {
            return if redis($name, 'CLUSTER', 'INFO')
                      !~ /^cluster_state:ok.*^cluster_slots_ok:16384\r/ms;
            my $view = node_view($name);

            $seen{ join ' ', map {
                my @slots = @{ $view->{$_}{slots} };
                @slots ? ($_, sort @slots) : ();
            } sort keys %$view } = 1;
        }

        return keys %seen == 1;
    });
}


# the replica of a node that runs, or nothing

sub cluster_replica {
    my ($name) = @_;

    my $id = node_id($name);

    my ($replica) = grep {
        my ($own) = grep { $_->{flags} =~ /myself/ } values %{ node_view($_) };
        $own->{master} eq $id;
    } cluster_nodes();

    return $replica;
}


# it takes the place of its master, which waits for it

sub cluster_failover {
    my ($replica) = @_;

    wait_for(sub {
        redis($replica, 'CLUSTER', 'FAILOVER')
            if redis_role($replica) eq 'slave';
        return wait_for(sub { redis_role($replica) eq 'master' }, 5);
    }) or die "$replica does not take over";

    cluster_agree() or die 'the cluster is not well';
}


# all keys of a slot, sorted

sub cluster_keys {
    my ($key) = @_;
    my @keys = sort(redis(cluster_owner($key), 'CLUSTER', 'GETKEYSINSLOT',
                          cluster_slot($key), 100_000));
    return @keys;
}


# A slot is moved in steps: it begins; keys go, all of them or those that are
# named; and then the other node has it

sub slot_begin {
    my ($key, $to) = @_;

    my $slot = cluster_slot($key);
    my $from = cluster_owner($key);

    node_tell($to, 'SETSLOT', $slot, 'IMPORTING', node_id($from));
    node_tell($from, 'SETSLOT', $slot, 'MIGRATING', node_id($to));

    return { slot => $slot, from => $from, to => $to };
}


sub slot_keys {
    my ($move, @keys) = @_;

    @keys = redis($move->{from}, 'CLUSTER', 'GETKEYSINSLOT', $move->{slot},
                  100_000)
        unless @keys;

    while (my @some = splice @keys, 0, 100) {
        my $reply = redis($move->{from}, 'MIGRATE',
                          redis_address($move->{to}), '', 0, 30_000, 'KEYS',
                          @some);
        die "MIGRATE: $reply" unless $reply =~ /^(?:OK|NOKEY)$/;
    }
}


sub slot_end {
    my ($move) = @_;

    # what was written since

    while (redis($move->{from}, 'CLUSTER', 'COUNTKEYSINSLOT', $move->{slot})) {
        slot_keys($move);
    }

    my $id = node_id($move->{to});

    # others learn of it as time goes by

    for my $name ($move->{to}, $move->{from},
                  grep { redis_role($_) eq 'master' } cluster_nodes())
    {
        node_tell($name, 'SETSLOT', $move->{slot}, 'NODE', $id);
    }

    cluster_agree() or die 'the cluster is not well';
}


sub slot_move {
    my ($key, $to) = @_;

    my $move = slot_begin($key, $to);
    slot_keys($move);
    slot_end($move);
}


1;
