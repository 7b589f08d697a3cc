package CredTest::Sentinel;

# Sentinels, which are servers of %Redis, too: redis(), redis_kill(),
# redis_pause() and so on take their names.

use strict;
use warnings;

use parent 'Exporter';

use CredTest::Process;
use CredTest::Redis;
use CredTest::Replica;

our @EXPORT = qw(
    sentinel sentinels sentinel_url sentinel_names sentinel_agree
    sentinel_failover sentinel_switched sentinel_ready
);


# Starts one that monitors masters: "masters" are pairs of a name and a Redis,
# or an array of address and port.  "quorum", "down" (milliseconds; with fewer
# a busy machine has switches that nobody asked for), "password" (its own) and
# "auth" (of the masters) as in its configuration; "conf" are more lines

sub sentinel {
    my ($name, %args) = @_;

    my $r = $Redis{$name} = {
        port   => free_port(),
        socket => "$Dir/$name.sock",
        dir    => "$Dir/$name",
        args   => defined $args{password} ? ["--requirepass $args{password}"]
                                          : [],
    };

    my $file = "$r->{dir}/sentinel.conf";
    my $quorum = $args{quorum} // 2;
    my $down = $args{down} // 2000;

    my @lines = ("port $r->{port}", 'bind 127.0.0.1 -::1', "dir $r->{dir}",
                 "unixsocket $r->{socket}", 'unixsocketperm 777',
                 @{ $args{conf} || [] });

    push @lines, "requirepass $args{password}",
                 "sentinel sentinel-pass $args{password}"
        if defined $args{password};

    my %masters = %{ $args{masters} };

    for my $master (sort keys %masters) {
        my ($host, $port) = ref $masters{$master} ? @{ $masters{$master} }
                            : redis_address($masters{$master});

        push @lines, "sentinel monitor $master $host $port $quorum",
                     "sentinel down-after-milliseconds $master $down",
                     "sentinel failover-timeout $master 3000";
        push @lines, "sentinel auth-pass $master $args{auth}"
            if defined $args{auth};
    }

    # it writes there what it learns, and has no other file

    mkdir $r->{dir};
    open my $out, '>', $file or die "sentinel: $!";
    print $out map { "$_\n" } @lines;
    close $out;

    $r->{command} = [$ENV{CRED_REDIS_SERVER} || 'redis-server', $file,
                     '--sentinel'];
    redis_start($name);

    # faster, where it can be told; and a pause is no reason to do nothing for
    # half a minute

    redis($name, 'SENTINEL', 'DEBUG', 'PUBLISH-PERIOD', 300, 'INFO-PERIOD', 500,
          'TILT-PERIOD', 500);
}


# Three (or "count") of them for one master and its replicas, and waits until
# they know each other

sub sentinels {
    my ($master, $redis, $replicas, %args) = @_;

    my $count = delete $args{count} // 3;
    my @names = map { "sentinel-$_" } 1 .. $count;

    sentinel($_, masters => { $master => $redis }, %args) for @names;
    sentinel_ready($master, $replicas, @names);

    return @names;
}


# each sees the others and all replicas, whose links are up

sub sentinel_ready {
    my ($master, $replicas, @names) = @_;

    wait_for(sub {
        for my $name (@names) {
            my %is = redis($name, 'SENTINEL', 'MASTER', $master);

            return if $is{'flags'} ne 'master'
                      || $is{'num-other-sentinels'} != @names - 1
                      || $is{'num-slaves'} != $replicas
                      || redis($name, 'SENTINEL', 'CKQUORUM', $master) !~ /^OK/;

            # their order is that of the fields, an array each

            my $links = () = redis($name, 'SENTINEL', 'REPLICAS', $master)
                             =~ /master-link-status ok/g;
            return if $links != $replicas;
        }

        return 1;
    }) or die "sentinels are not ready:\n" . slurp("$Dir/$names[0].log");
}


sub sentinel_url {
    my ($master, @names) = @_;
    @names = sentinel_names() unless @names;
    return 'redis-sentinel://'
           . join(',', map { '127.0.0.1:' . redis_port($_) } @names)
           . "#$master";
}


# those that sentinels() has started

sub sentinel_names { grep { /^sentinel-\d+\z/ } sort keys %Redis }


# the server that all of them that run name as the master

sub sentinel_agree {
    my ($master, @names) = @_;

    my %said;

    for my $name (grep { redis_runs($_) } @names ? @names : sentinel_names()) {
        my $address = redis($name, 'SENTINEL', 'GET-MASTER-ADDR-BY-NAME',
                            $master);
        $said{$address} = 1;
    }

    return if keys %said != 1;

    my ($address) = keys %said;

    my ($server) = grep {
        !$Redis{$_}{command} && join(' ', redis_address($_)) eq $address;
    } keys %Redis;

    return $server;
}


# waits until this one is the master by all of them, and is one

sub sentinel_switched {
    my ($master, $server) = @_;

    return wait_for(sub {
        ($server // '') eq (sentinel_agree($master) // '')
            && redis_role($server) eq 'master';
    });
}


# by "SENTINEL failover"; returns when the old master is a replica of this one

sub sentinel_failover {
    my ($master, $server, $old) = @_;

    my ($name) = grep { redis_runs($_) } sentinel_names();

    wait_for(sub {
        redis($name, 'SENTINEL', 'FAILOVER', $master) eq 'OK';
    }) or die "SENTINEL FAILOVER $master";

    sentinel_switched($master, $server)
        or die "no switch of $master to $server:\n" . slurp("$Dir/$name.log");

    in_sync($old, $server) or die "$old is no replica of $server"
        if defined $old;
}


1;
