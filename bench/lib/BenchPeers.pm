package BenchPeers;

# Those that are compared: this module, nginx + Lua, Node behind nginx, and
# nginx's own answers.

use strict;
use warnings;

use parent 'Exporter';

use Bench;
use CredTest::Process;
use CredTest::Redis;

our @EXPORT = qw(@Peers %Peer $Unauthorized start_peers start_limit delete_load
                 refused_load);

our (@Peers, %Peer);

# the body of nginx's own 401

our $Unauthorized;

my $Modules = '/usr/lib/nginx/modules';
my $Packages = "$Root/build/bench/node/node_modules";


sub module { $ENV{CRED_MODULE} || "$Root/build/ngx_cred_module.so" }


sub lua_modules {
    return join "\n", map { "load_module $Modules/$_.so;" }
        grep { -e "$Modules/$_.so" } qw(ndk_http_module ngx_http_lua_module);
}


sub has_lua {
    return -e "$Modules/ngx_http_lua_module.so"
           && -e '/usr/share/lua/5.1/nginx/redis.lua';
}


# peers whose packages are absent are left out; returns their names

sub start_peers {
    my @absent;
    my $registry = redis_port('registry');

    start_nginx('module',
        modules => 'load_module ' . module() . ';',
        http    => 'cred_registry ' . redis_tcp('registry') . ';',
        server  => 'location / { cred_delete apinizer; }');
    add('module', [ @{ $Nginx{module}{workers} } ]);

    if (has_lua()) {
        start_nginx('lua',
            modules => lua_modules(),
            http => "lua_package_path '$Root/bench/peers/?.lua;;';\n"
                    . "init_by_lua_block { cred = require 'cred'; "
                    . "cred.init('$Root', $registry) }\n"
                    . 'init_worker_by_lua_block { cred.init_worker() }',
            server => 'location / { content_by_lua_block { cred.delete() } }');
        add('lua', [ @{ $Nginx{lua}{workers} } ]);
    } else {
        push @absent, 'lua';
    }

    if (-d "$Packages/fastify" && -d "$Packages/ioredis") {
        my $port = free_port();

        $ENV{BENCH_MODULES} = $Packages;
        $ENV{NODE_ENV} = 'production';

        my $node = spawn('node', 'node', 'node', "$Root/bench/peers/node/server.js",
                         $Root, $port, $registry);
        wait_for(sub { IO::Socket::INET->new("127.0.0.1:$port") }, 20)
            or fail('node does not start: ' . slurp("$Dir/node.log"));

        start_nginx('front',
            http   => "upstream node { server 127.0.0.1:$port; keepalive 128; "
                      . 'keepalive_requests 1000000000; }',
            server => 'location / { proxy_pass http://node; '
                      . 'proxy_http_version 1.1; '
                      . 'proxy_set_header Connection ""; '
                      . 'proxy_set_header X-Real-IP $remote_addr; }');
        add('node', [ @{ $Nginx{front}{workers} }, $node ], 'front');
    } else {
        push @absent, 'node';
    }

    return @absent;
}


# what nginx needs to answer at all

sub start_limit {
    start_nginx('limit', server => 'location = /200 { return 200; } '
        . 'location = /own401 { return 401; } '
        . q(location = /401 { return 401 '{"error":"unauthorized_client",)
        . q("error_description":"Invalid token"}'; }));

    $Unauthorized = (get($Nginx{limit}{port}, '/own401'))[1];
}


sub add {
    my ($name, $pids, $nginx) = @_;
    push @Peers, $name;
    $Peer{$name} = { pids => $pids, port => $Nginx{$nginx // $name}{port} };
}


sub delete_load {
    my ($name, $first, $count, %args) = @_;

    my $file = template('delete', "DELETE /apiops/projects/bench/credentials/"
        . "user-\@\@\@\@\@\@\@\@/ HTTP/1.1\nHost: localhost\n"
        . "Authorization: Bearer $Token\n\n");

    return (p => $Peer{$name}{port}, n => $count, o => $first, t => $file,
            body => success(), %args);
}


# tokens that nobody has: always the same one, or each time another

sub refused_load {
    my ($name, $count, $random) = @_;

    my $file = template('refused' . ($random ? 1 : 0),
        "DELETE /apiops/projects/bench/credentials/user-00000000/ HTTP/1.1\n"
        . "Host: localhost\nAuthorization: Bearer "
        . ($random ? '#' x 32 : '0' x 32) . "\n\n");

    return (p => $Peer{$name}{port}, n => $count, t => $file, s => 401,
            body => '{"error":"unauthorized_client",'
                    . '"error_description":"Invalid token"}');
}


# deletes whose answers depend on an environment that is away: their status is
# checked, and their body that the credential itself was deleted

sub each_answer {
    my ($port, $first, $count, $clients, $pause) = @_;
    my @pids;

    for my $client (0 .. $clients - 1) {
        my $pid = fork // die "fork: $!";
        push @pids, $pid;
        next if $pid;
        my $ok = eval {
            my $sock = IO::Socket::INET->new("127.0.0.1:$port") or die $!;
            for (my $i = $first + $client; $i < $first + $count; $i += $clients) {
                printf $sock "DELETE /apiops/projects/bench/credentials/user-%08d/ "
                    . "HTTP/1.1\r\nHost: localhost\r\n"
                    . "Authorization: Bearer $Token\r\n\r\n", $i;
                my ($head, $line) = ('');
                $head .= $line while ($line = read_line($sock, 30)) ne "\r\n";
                my ($length) = $head =~ /^Content-Length: (\d+)/mi;
                my $body = read_bytes($sock, $length, 30);
                Time::HiRes::sleep($pause) if $pause;
                $head =~ m{^HTTP/1\.1 200 } && $body =~ /^\{"success":true,/
                    or die "$head$body";
            }
            1;
        };
        print STDERR $@ unless $ok;
        POSIX::_exit($ok ? 0 : 1);
    }

    for (@pids) {
        waitpid $_, 0;
        fail('an unexpected answer') if $?;
    }
}

# eight clients with a pause after each answer, as long as the load that is
# measured takes

sub background { each_answer($_[0], 0, $_[1], 8, 0.1) }
sub unanswered { each_answer($_[0], 0, $_[1], 16) }


1;
