package CredTest::Instance;

# Gateways: nginx instances of their own beside the one of Test::Nginx, which
# deletes, and the keys that they are shown.

use strict;
use warnings;

use parent 'Exporter';

use CredTest::HTTP;
use CredTest::Process;
use CredTest::Redis;
use Time::HiRes ();

our @EXPORT = qw(
    gateway_start gateway_reload gateway_kill gateways_stop gateway_open show
    show_raw shown deploy_key clock
);

my %Gateways;
my $Number = 0;


# "environment" is the URL of its Redis

sub gateway_start {
    my (%args) = @_;

    my $name = 'gateway-' . ++$Number;

    my $gateway = {
        name => $name,
        dir  => "$Dir/$name",
        port => free_port(),
        conf => { workers => 1, lease => '2s', http => '', server => '',
                  location => '', main => '', %args },
    };

    mkdir $gateway->{dir};
    gateway_configure($gateway);

    $gateway->{pid} = spawn('nginx', $name, $ENV{TEST_NGINX_BINARY},
        '-p', $gateway->{dir}, '-e', "$gateway->{dir}/error.log",
        '-c', "$gateway->{dir}/nginx.conf");

    $Gateways{$name} = $gateway;

    wait_for(sub {
        nginx_workers($gateway->{pid}) == $gateway->{conf}{workers};
    })
        or die "$name does not start:\n" . slurp("$gateway->{dir}/error.log");

    return $gateway;
}


sub gateway_configure {
    my ($gateway) = @_;

    my %conf = %{ $gateway->{conf} };
    my $user = $> == 0 ? 'user nobody nogroup;' : '';
    my $events = events(256);
    my $paths = join "\n", map { "    ${_}_temp_path $gateway->{dir}/$_;" }
                qw(client_body proxy fastcgi uwsgi scgi);

    open my $out, '>', "$gateway->{dir}/nginx.conf" or die $!;
    print $out <<"END";
load_module $ENV{TEST_NGINX_LOAD_MODULES};
daemon off;
$user
worker_processes $conf{workers};
pid $gateway->{dir}/nginx.pid;
error_log $gateway->{dir}/error.log info;
env ASAN_OPTIONS;
env UBSAN_OPTIONS;
$conf{main}

$events

http {
    access_log off;
$paths

    cred_environment $conf{environment};
    cred_connect_timeout 60s;
    cred_command_timeout 60s;
    cred_access_lease $conf{lease};
    cred_access_valid 1h;
$conf{http}

    server {
        listen 127.0.0.1:$gateway->{port};
        add_header X-Cache \$cred_access_cache always;
        add_header X-Worker \$pid always;
$conf{server}

        location / {
            cred_access apinizer;
            empty_gif;
$conf{location}
        }
    }
}
END
}


# with this in its configuration; returns when there are only new workers, or
# none of the old ones but those in "keep"

sub gateway_reload {
    my ($gateway, %args) = @_;

    my $keep = delete $args{keep};
    my %old = map { $_ => 1 } nginx_workers($gateway->{pid});

    $gateway->{conf} = { %{ $gateway->{conf} }, %args };
    gateway_configure($gateway);
    kill 'HUP', $gateway->{pid};

    return wait_for(sub {
        my @workers = nginx_workers($gateway->{pid});
        my @new = grep { !$old{$_} } @workers;
        return @new == $gateway->{conf}{workers} && ($keep || @new == @workers);
    });
}


sub gateway_kill {
    my ($gateway) = @_;

    my @workers = nginx_workers($gateway->{pid});
    delete $Gateways{ $gateway->{name} };
    kill 'STOP', $gateway->{pid};
    kill 'KILL', @workers;
    reap($gateway->{pid}, 'KILL');
}


# returns what must not be in their error logs

sub gateways_stop {
    my @faults;

    for my $gateway (values %Gateways) {
        kill 'CONT', $gateway->{pid}, nginx_workers($gateway->{pid});
        reap($gateway->{pid}, 'QUIT');

        push @faults, grep {
            / \[(?:alert|emerg)\] | exited\ on\ signal | open\ socket\ \# /x
            || /runtime error:|ERROR: \w+Sanitizer/
        } split /\n/, slurp("$gateway->{dir}/error.log")
                      . slurp("$Dir/$gateway->{name}.log");
    }

    %Gateways = ();
    return @faults;
}


# a credential of MyProject in these Redis servers, with this key; of a higher
# revision each time, or it would be one that is gone

my $Revision = 0;

sub deploy_key {
    my ($id, $key, @names) = @_;

    my $hash = sha256($key);
    $Revision++;

    for my $name (@names ? @names : qw(registry production)) {
        redis($name, 'HSET', "{cred}:apinizer:credential:MyProject:$id",
              'owner', 'alice', 'revision', $Revision, 'keys', $hash);
        redis($name, 'SADD', "{cred}:apinizer:grants:MyProject:$id",
              'API_PROXY:x');
        redis($name, 'SADD', '{cred}:apinizer:credentials:MyProject', $id);
        redis($name, 'SET', "{cred}:apinizer:key:$hash", "MyProject:$id");
    }
}


sub show_raw {
    my ($key) = @_;
    return "GET / HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer $key\r\n"
           . "\r\n";
}


# "HIT 200" and the like

sub show {
    my ($gateway, $key) = @_;

    my $sock = http_open(port => $gateway->{port});
    print $sock show_raw($key);
    return shown($sock);
}

sub shown {
    my ($sock) = @_;

    my $answer = http_parse(http_read($sock));
    my $cache = $answer->{headers}{'x-cache'} // '';

    return length $cache ? "$cache $answer->{status}" : $answer->{status};
}


# a connection that this worker has, and is kept

sub gateway_open {
    my ($gateway, $worker) = @_;

    my $sock;

    wait_for(sub {
        $sock = http_open(port => $gateway->{port});
        print $sock show_raw('nobody');
        my $answer = http_parse(http_read($sock));
        return !defined $worker || $answer->{headers}{'x-worker'} == $worker;
    }) or die "worker $worker does not answer";

    return $sock;
}


# seconds of a clock that nobody sets

sub clock { Time::HiRes::clock_gettime(Time::HiRes::CLOCK_MONOTONIC()) }


1;
