package CredTest::Gateway;

# A gateway of production, in the nginx that also deletes: a page behind
# "cred_access", and the credential "api-user" of MyProject with the key KEY.
# More gateways are nginxes of their own.

use strict;
use warnings;

use parent 'Exporter';

use CredTest::Delete;
use CredTest::HTTP;
use CredTest::Process;
use CredTest::Redis;
use Test::More ();

our @EXPORT = qw(
    gateway gate seen key_entry keyed key leased gateways last_id receipt
    gateway_start gateway_stop gateway_conf gateway_reload gateway_upgrade
    running freeze thaw
);

my $Headers = <<'END';
add_header  X-Result $cred_access_result always;
add_header  X-Cache  $cred_access_cache always;
add_header  X-Scope  $cred_access_scope always;
add_header  X-Id     $cred_access_id always;
END

my (%Gateways, $Registered);


# sections for defaults(); "http", "config" and "access" are more of the
# configuration, "url" is another way to production

sub gateway {
    my (%args) = @_;

    my %sample = sample($args{http} // '');
    my $key = keyed('api-user', 'KEY');

    my $access = $args{access} // 'cred_access apinizer;';
    my $config = $args{config} // '';
    my $url = $args{url} // '$TEST_NGINX_PRODUCTION';

    return (
        %sample,
        http_config => "$sample{http_config}\ncred_environment $url;\n",
        config => <<"END",
location /apiops/ { cred_delete apinizer; }
$Headers
location = /page { $access empty_gif; }
$config
END
        map { $_ => $sample{$_} . $key } qw(registry production staging),
    );
}


# commands that give a credential its keys

sub keyed {
    my ($id, @keys) = @_;

    my $credential = "{cred}:apinizer:credential:MyProject:$id";

    return join "\n", "HSET $credential keys \""
                      . join(' ', map { sha256($_) } @keys) . '"',
                      map({ 'SET ' . key_entry($_) . " MyProject:$id" } @keys),
                      '';
}


# deploys credentials of MyProject, each with the key of its name, in production
# and, to be deleted, in the registry

sub key {
    my (@ids) = @_;

    credential(\@ids, qw(registry production));

    for my $name (qw(registry production)) {
        redis($name, 'EVAL', <<'END', 0, map { ($_, sha256($_)) } @ids);
for i = 1, #ARGV, 2 do
    local own = '{cred}:apinizer:'
    redis.call('HSET', own .. 'credential:MyProject:' .. ARGV[i],
               'keys', ARGV[i + 1])
    redis.call('SET', own .. 'key:' .. ARGV[i + 1], 'MyProject:' .. ARGV[i])
end
END
    }
}


sub key_entry { '{cred}:apinizer:key:' . sha256($_[0]) }


# the answer to a request with this key

sub gate {
    my ($key, %args) = @_;

    my $path = $args{path} // '/page';
    my @lines = (($args{method} // 'GET') . " $path HTTP/1.1",
                 'Host: localhost', 'Connection: close',
                 defined $key ? "Authorization: Bearer $key" : (),
                 @{ $args{headers} || [] });
    push @lines, 'Content-Length: ' . length $args{body} if defined $args{body};

    return http_parse(http(join("\r\n", @lines, '', $args{body} // ''),
                           port => $args{port}));
}


# "200 HIT" and the like

sub seen {
    my $got = &gate;
    return join ' ', $got->{status}, $got->{headers}{'x-cache'} // ();
}


# name => { lease, applied, seen, at }

sub gateways {
    my ($name) = @_;
    my %all = redis($name // 'production', 'HGETALL', '{cred}:gateways');

    return map {
        my %is;
        @is{qw(lease applied seen at)} = split ' ', $all{$_};
        ($_ => \%is);
    } keys %all;
}


# of the stream of undeployments

sub last_id {
    my ($name) = @_;
    my ($id) = redis($name // 'production', 'XREVRANGE', '{cred}:undeployments',
                     '+', '-', 'COUNT', 1);
    return $id // '0-0';
}


# Waits until all gateways of an environment have applied all there is, and have
# their leases.  What Redis has noted may be on its way yet, so they are rung:
# whoever calls again has got the answer to the call before

sub leased {
    my ($name, $n) = @_;
    $name //= 'production';

    my $applied = sub {
        redis($name, 'PUBLISH', '{cred}:undeployed', '');
        my $last = last_id($name);
        my %all = gateways($name);
        return keys %all == ($n // 1)
               && !(grep { $_->{applied} ne $last } values %all) && \%all;
    };

    my $before = wait_for($applied) or return;

    return wait_for(sub {
        my $now = $applied->() or return;
        return !grep { $now->{$_}{at} eq ($before->{$_}{at} // '') } keys %$now;
    });
}


# of an operation in an environment

sub receipt {
    my ($operation, $environment) = @_;

    return redis('registry', 'HGET', "{cred}:operation:$operation",
                 'environment:' . ($environment // 'production'));
}


# Starts an nginx of its own; returns a hash with its port and the pid of its
# master.  "url" is that of its environment; "http", "server" and "main" are
# more of its configuration, "access" is what stands before its page; without
# "workers" (0) there is no master, either; a "daemon" can be upgraded; "port" is
# one that it had before

sub gateway_start {
    my ($name, %args) = @_;

    $Registered ||= do {
        Test::Nginx::Util::add_test_cleanup_handler(\&gateways_end);
        1;
    };

    my $g = $Gateways{$name} = {
        name => $name, port => $args{port} // free_port(),
        dir => "$Dir/gateway-$name",
        args => \%args,
    };

    mkdir $g->{dir};
    unlink map { "$g->{dir}/$_" } qw(error.log nginx.pid);
    gateway_conf($g);

    # by its whole name, by which it can be upgraded

    my ($nginx) = grep { -x } $ENV{TEST_NGINX_BINARY} =~ m{/}
                  ? $ENV{TEST_NGINX_BINARY}
                  : map { "$_/$ENV{TEST_NGINX_BINARY}" } split /:/, $ENV{PATH};

    my $pid = spawn('gateway', "gateway-$name", $nginx,
                    '-e', "$g->{dir}/error.log", '-p', $g->{dir},
                    '-c', "$g->{dir}/nginx.conf");

    if ($args{daemon}) {
        wait_for(sub { ($pid) = slurp("$g->{dir}/nginx.pid") =~ /(\d+)/ });
        $Child{$pid} = 'gateway';
    }

    $g->{pid} = $pid;

    wait_for(sub {
        nginx_workers($g->{pid}) == ($args{workers} // 1)
            && IO::Socket::INET->new("127.0.0.1:$g->{port}");
    }) or die "gateway $name does not start:\n"
              . slurp("$g->{dir}/error.log") . slurp("$Dir/gateway-$name.log");

    return $g;
}


# writes its configuration, with other arguments for a reload

sub gateway_conf {
    my ($g, %args) = @_;

    my %is = %{ $g->{args} } = (%{ $g->{args} }, %args);

    my $user = $> == 0 ? "user $ENV{TEST_NGINX_WORKER_USER};" : '';
    my $url = $is{url} // redis_url('production');
    my $access = $is{access} // 'cred_access apinizer;';

    $is{$_} = expand($is{$_} // '') for qw(http server main);

    open my $out, '>', "$g->{dir}/nginx.conf" or die "gateway: $!";
    print $out <<"END";
load_module       $ENV{TEST_NGINX_LOAD_MODULES};
env               ASAN_OPTIONS;
env               UBSAN_OPTIONS;
env               LSAN_OPTIONS;
daemon            @{[ $is{daemon} ? 'on' : 'off' ]};
pid               $g->{dir}/nginx.pid;
worker_processes  @{[ $is{workers} || 1 ]};
master_process    @{[ ($is{workers} // 1) ? 'on' : 'off' ]};
error_log         $g->{dir}/error.log $ENV{TEST_NGINX_LOG_LEVEL};
$user
$is{main}
@{[ events(512) ]}
http {
    access_log             $g->{dir}/access.log;
    client_body_temp_path  $g->{dir}/body;
    proxy_temp_path        $g->{dir}/proxy;
    fastcgi_temp_path      $g->{dir}/fastcgi;
    uwsgi_temp_path        $g->{dir}/uwsgi;
    scgi_temp_path         $g->{dir}/scgi;
    cred_environment       $url;
    $Headers
    $is{http}
    server {
        listen 127.0.0.1:$g->{port};
        $is{server}
        location = /page { $access empty_gif; }
    }
}
END
    close $out;
}


# with other arguments; the old workers have left

sub gateway_reload {
    my ($g, %args) = @_;

    my @old = nginx_workers($g->{pid});
    my $n = $args{workers} // $g->{args}{workers} // 1;

    gateway_conf($g, %args);
    kill 'HUP', $g->{pid};

    return wait_for(sub {
        my @now = nginx_workers($g->{pid});
        my %old = map { $_ => 1 } @old;
        return @now == $n && !grep { $old{$_} } @now;
    });
}


# another master with workers of its own; the former ones leave

sub gateway_upgrade {
    my ($g) = @_;

    my $old = $g->{pid};
    my $n = $g->{args}{workers} // 1;

    # it ignores that as long as the process lives that has made it a daemon

    wait_for(sub {
        kill 'USR2', $old unless -e "$g->{dir}/nginx.pid.oldbin";

        my ($pid) = slurp("$g->{dir}/nginx.pid") =~ /(\d+)/;
        return unless $pid && $pid != $old && nginx_workers($pid) == $n;
        $Child{$pid} = 'gateway';
        $g->{pid} = $pid;
    }) or die 'no new master: ' . slurp("$g->{dir}/error.log");

    return $old;
}


sub gateway_stop {
    my ($g, $signal) = @_;

    my $pid = delete $g->{pid} or return;
    my @workers = nginx_workers($pid);

    kill 'CONT', $pid, @workers;

    reap($pid, $signal // 'QUIT');
    kill 'KILL', @workers if ($signal // '') eq 'KILL';
    wait_for(sub { !grep { running($_) } $pid, @workers })
        or kill 'KILL', $pid, @workers;
}


# what the harness demands of its own nginx

sub gateways_end {
    my ($block) = @_;

    for my $g (map { $Gateways{$_} } sort keys %Gateways) {
        gateway_stop($g);

        my @allowed = map { qr/$_/ } grep { length }
                      split /\n/, $block->allow_log // '';
        my $log = slurp("$g->{dir}/error.log");
        my @faults = (CredTest::faults([ split /\n/, $log ], @allowed),
                      CredTest::reports($log,
                          slurp("$Dir/gateway-$g->{name}.log")));

        Test::More::ok(!@faults, $block->name
                       . " - nothing alarming in the log of $g->{name}")
            or Test::More::diag(join "\n", @faults);
    }

    %Gateways = ();
}


sub running { goto &CredTest::HTTP::running }


# stops processes, and waits until they are

sub freeze {
    my @pids = @_;
    kill 'STOP', @pids;

    return wait_for(sub {
        !grep { slurp("/proc/$_/stat") =~ /^\d+ \(.*\) [^TZX]/s } @pids;
    });
}

sub thaw { kill 'CONT', @_ }


1;
