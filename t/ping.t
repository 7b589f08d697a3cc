# Connections that are silent are asked for a sign of life, and known when they
# are dead.

use CredTest;
use CredTest::Delete;
use CredTest::Gateway;

# the first worker asks the registry each second, and compares the environments
# each minute, so what idles here are connections of other settings

my %sample = gateway(config => <<'END', url => '$TEST_NGINX_PROXY_GATEWAY');
location ~ /idle { cred_delete apinizer; cred_command_timeout 1s; }
location ~ /slow { cred_delete apinizer; cred_command_timeout 1h; }
END

$sample{http_config} =~ s/cred_registry \S+;/cred_registry
    redis:\/\/nginx\@127.0.0.1:\$TEST_NGINX_PROXY_REGISTRY
    password_file=\$TEST_NGINX_DIR\/password;/;

defaults(%sample);

sub told { scalar(() = error_log_text() =~ /$_[0]/g) }
sub tells { my ($text, $n) = @_; wait_for(sub { told($text) >= ($n // 1) }) }

sub file {
    open my $out, '>', temp_dir() . '/password' or die $!;
    print $out $_[0];
    close $out;
}

sub pings {
    return scalar(redis($_[0], 'INFO', 'commandstats'))
           =~ /^cmdstat_ping:calls=(\d+)/m ? $1 : 0;
}

our %proxy;

run_tests();


__DATA__

=== TEST 1: all that is silent, after a minute
--- redis: third
--- before
our %proxy = (registry => proxy('registry'), gateway => proxy('production'),
              staging => proxy('staging'));

$ENV{TEST_NGINX_PROXY_REGISTRY} = $proxy{registry}->port;
$ENV{TEST_NGINX_PROXY_GATEWAY} = $proxy{gateway}->url;

file('old');
redis('registry', 'ACL', 'SETUSER', 'nginx', 'on', '>old', '>new', '~*', '&*',
      '+@all');
redis('production', 'ACL', 'SETUSER', 'cred', 'on', '>p', '~*', '&*', '+@all',
      '-ping');
redis('registry', 'HSET', '{cred}:environments',
      'production', 'redis://cred:p@127.0.0.1:' . redis_port('production'),
      'staging', $proxy{staging}->url, 'third', redis_url('third'));
--- script
our %proxy;
my $ping = qr/^\*1\r\n\$4\r\nPING\r\n/;
my %rule = (
    registry => $proxy{registry}->watch('command', $ping),
    gateway  => $proxy{gateway}->swallow('command', $ping, times => 1),
    staging  => $proxy{staging}->swallow('command', $ping),
);

ok(leased(), 'there is a lease');
credential([qw(idle1 slow1)], qw(registry production staging third));
answer_is(del($_), $_, deleted(qw(production staging third))) for qw(idle1 slow1);
my $pings = pings('third');

my ($bell) = scalar(redis('production', 'CLIENT', 'LIST', 'TYPE', 'pubsub'))
             =~ /^id=(\d+)/;

# nobody connects to the registry, and so nobody reads this file meanwhile

file('new');

# the sweep comes after a minute

ok(wait_for(sub { $proxy{staging}->matched($rule{staging}) >= 2 }, 75),
   'the idle connections to staging are asked');
ok(wait_for(sub { pings('third') >= $pings + 2 }), 'others, too');

# silence

ok(tells('redis did not reply in time, environment: staging'),
   'one that does not answer is told of');
ok(tells('redis did not reply to PING in time, gateway\'s subscription'),
   'a subscription, too');
ok(tells('redis is back, gateway\'s subscription'), 'which is made anew');

# a refusal is a sign of life

ok(tells('redis refused PING of an idle connection: NOPERM .*production', 2),
   'two that may not');
is(told('redis is down.*production'), 0, 'and are not given up for it');

my ($now) = scalar(redis('production', 'CLIENT', 'LIST', 'TYPE', 'pubsub'))
            =~ /^id=(\d+)/;
isnt($now, $bell, 'another subscription');

# the file has been read, too

ok(tells('redis accepted the password in .*registry', 3),
   'AUTH on three connections');
is(told('has another password'), 1, 'told once');

# all of it works

credential('idle2', qw(registry production staging third));
answer_is(del('idle2'), 'idle2', deleted(qw(production staging third)));
is(told('redis is down.* (?:third|registry)'), 0, 'nothing else was down');
is($proxy{registry}->matched($rule{registry}), 0, 'AUTH does as well as PING');

# the PING of /slow to staging is not answered for an hour, and does not keep the
# worker: the harness sees it leave
