package BenchGateways;

# Gateways: nginx in front of a page, each of its locations with a check of the
# key and without one.  The check is cred_access, or the same in Lua.

use strict;
use warnings;

use parent 'Exporter';

use Bench;
use BenchPeers;
use CredTest::Process;
use CredTest::Redis;

our @EXPORT = qw(
    $Key $Page key_of kinds start_upstream start_gateway gateway_load
    unknown_load instructions
);

# as long as keys are: 40 characters

our $Key = 'bench-key-@@@@@@@@-0123456789abcdef01234';
our $Page = "page\n";

my $Steps = "$Root/build/bench/steps";
my $Upstream;


sub key_of { $Key =~ s/\@{8}/sprintf '%08d', $_[0]/er }


# what can be compared here

sub kinds {
    return grep { $_ ne 'lua' || BenchPeers::has_lua() }
           split /,/, $ENV{BENCH_GATEWAYS} || 'module,lua';
}


sub start_upstream {
    $Upstream ||= start_nginx('upstream',
        server => 'location / { return 200 "page\n"; }');
}


# args: environment (its number), workers, listen, zone (size), valid, lease

sub start_gateway {
    my ($kind, $name, %args) = @_;

    my $environment = (environments())[$args{environment} // 0];
    my ($modules, $http, $check, $scoped, $marked);

    start_upstream();

    if ($kind eq 'module') {
        $modules = 'load_module ' . BenchPeers::module() . ';';
        $http = qq(cred_environment "$environment->{url}";\n);
        $http .= "cred_access_zone cred_access $args{zone};\n" if $args{zone};
        $http .= "cred_access_valid $args{valid}s;\n" if $args{valid};
        $http .= "cred_access_lease $args{lease}s;\n" if $args{lease};
        $check = 'cred_access apinizer;';
        $scoped = 'cred_access apinizer scope=other;';
        $marked = $check . ' add_header X-Cred-Cache $cred_access_cache;';

    } else {
        my ($port) = $environment->{url} =~ /:(\d+)/;
        my $zone = $args{zone} || '16m';
        my $valid = $args{valid} || 10;
        $modules = BenchPeers::lua_modules();
        $http = "lua_package_path '$Root/bench/peers/?.lua;;';\n"
                . "lua_shared_dict access $zone;\n"
                . "lua_shared_dict access_locks 1m;\n"
                . "init_by_lua_block { access = require 'access'; "
                . "access.init($port, '$environment->{prefix}', $valid) }";
        $check = 'access_by_lua_block { access.check("apinizer") }';
        $scoped = 'access_by_lua_block { access.check("apinizer", "other") }';
        $marked = 'access_by_lua_block { ngx.header["X-Cred-Cache"] = '
                  . 'access.check("apinizer") }';
    }

    for (qw(plain checked marked scoped)) {
        mkdir "$Dir/html"; mkdir "$Dir/html/$_";
        open my $out, '>', "$Dir/html/$_/page" or die $!;
        print $out $Page;
        close $out;
    }

    my $proxied = 'proxy_pass http://upstream; proxy_http_version 1.1; '
                  . 'proxy_set_header Connection "";';

    return start_nginx($name, modules => $modules,
        workers => $args{workers}, listen => $args{listen},
        http => "$http\nupstream upstream { server 127.0.0.1:$Upstream; "
                . 'keepalive 128; keepalive_requests 1000000000; }',
        server => <<"END");
        root $Dir/html;
        location /plain/ { }
        location /checked/ { $check }
        location /scoped/ { $scoped }
        location /marked/ { add_header X-Worker \$pid; $marked }
        location = /plain/proxied { $proxied }
        location = /checked/proxied { $check $proxied }
        location = /status { stub_status; }
END
}


# requests with the keys of as many credentials in turn

sub gateway_load {
    my ($name, $path, $keys, $count, %args) = @_;

    my $file = template("gateway-$path" =~ s{/}{-}gr, "GET /$path HTTP/1.1\n"
        . "Host: localhost\nAuthorization: Bearer $Key\n\n");

    return (p => $Nginx{$name}{port}, n => $count, m => $keys, t => $file,
            body => $Page, %args);
}


# keys that nobody has; the answer is nginx's own page

sub unknown_load {
    my ($name, $count, %args) = @_;

    my $file = template('unknown', "GET /checked/page HTTP/1.1\n"
        . "Host: localhost\nAuthorization: Bearer bench-ke" . '#' x 32 . "\n\n");

    return (p => $Nginx{$name}{port}, n => $count, t => $file, s => 401,
            body => $Unauthorized, %args);
}


# Instructions of a worker for each request of a path, those of the kernel not
# counted; undef where a process may not look at another one.  Stepper and worker
# share a processor, which is four times quicker

sub instructions {
    my ($name, $path, @counts) = @_;
    my ($pid) = @{ $Nginx{$name}{workers} };
    my @steps;

    system("taskset -p -c 0 $pid >$Dir/taskset.log") == 0 or return;

    for my $count (@counts) {
        my $log = "steps-$name-$pid-$count";
        unlink "$Dir/$log.log";
        my $stepper = spawn('steps', $log, 'taskset', '-c', '0', $Steps, $pid);

        wait_for(sub { slurp("$Dir/$log.log") =~ /\n/ });
        slurp("$Dir/$log.log") =~ /^attached/ or return;

        load(gateway_load($name, $path, 1, $count, c => 1, T => 600));
        Time::HiRes::sleep(0.2);
        reap($stepper, 'TERM');

        slurp("$Dir/$log.log") =~ /^steps=(\d+)/m or fail('no steps');
        push @steps, $1;
    }

    return ($steps[1] - $steps[0]) / ($counts[1] - $counts[0]);
}


1;
