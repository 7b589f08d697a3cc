# What operators see: counters over all workers, states, what is pending, in
# json and in Prometheus' format.

use CredTest;
use CredTest::Delete;
use CredTest::Gateway;
use CredTest::Stub;
use JSON::PP ();
use POSIX ();

my %sample = sample('cred_retry_delay 100ms; cred_connect_timeout 500ms;'
                    . ' cred_command_timeout 500ms;');

our $locations = <<'END';
location = /status  { cred_status; }
location = /metrics { cred_status prometheus; }
location = /people  { cred_status html; }
location = /after   { cred_status; post_action /slow; }
location = /slow    { cred_status; limit_rate 1; }
END

$sample{config} .= $locations;

defaults(%sample);

workers(2);

sub status {
    my ($query) = @_;
    my $got = call('GET', '/status' . (defined $query ? "?$query" : ''));
    return $got->{status} == 200 && JSON::PP->new->utf8->decode($got->{body});
}

# of Prometheus' format: each line's name with its labels, and its value

sub metrics {
    return { call('GET', '/metrics')->{body} =~ /^([^#\n]\S*\{.*\}|[^#\s]\S*) (\S+)$/mg };
}

sub environment_of {
    my ($name) = @_;
    my ($is) = grep { $_->{name} eq $name } @{ status()->{environments} };
    return $is;
}

# its state, what is pending there and whether there is an age of the oldest

sub stands {
    my $is = environment_of($_[0]) or return 'none';
    return "$is->{state} " . ($is->{pending} // 'unknown')
           . (defined $is->{oldest} ? ' aged' : '');
}

# blocks "cred_connector", which all lead to a stub

sub connectors {
    my ($stub, @names) = @_;
    my $file = temp_dir() . '/connectors.conf';
    open my $out, '>', $file or die "$file: $!";
    print $out "cred_connector $_ { url @{[ $stub->url ]}; success 204;"
               . " request DELETE '/credentials/{target}'; }\n" for @names;
    close $out;
}

sub escape { $_[0] =~ s/([^A-Za-z0-9_.-])/sprintf '%%%02X', ord $1/ger }

# many requests by some processes, on kept connections

sub many {
    my ($processes, @requests) = @_;
    my @pids;

    for my $n (0 .. $processes - 1) {
        my @own = @requests[grep { $_ % $processes == $n } 0 .. $#requests];

        push @pids, spawn('client', 'client', sub {
            my ($sock, $answer);
            local $SIG{PIPE} = 'IGNORE';

            for (@own) {

                # a worker that leaves closes what is idle

                do {
                    $sock ||= http_open();
                    print $sock $_;
                    $answer = http_read($sock);
                    $sock = undef if $answer !~ /^Connection: keep-alive/m;
                } until $answer;
            }
        });
    }

    for my $pid (@pids) {
        wait_for(sub { waitpid($pid, POSIX::WNOHANG()) != 0 }, 300);
    }
}

run_tests();


__DATA__

=== TEST 1: a delete that is done, and one that is pending
--- script
my $got = call('GET', '/status');
is($got->{headers}{'content-type'}, 'application/json', 'its type');
is($got->{headers}{'cache-control'}, 'no-store', 'not stored');
is($got->{headers}{'x-content-type-options'}, 'nosniff', 'nor guessed at');

answer_is(del('api-user'), 'deleted', everywhere());
ok(wait_for(sub { stands('production') eq 'up 0' }), 'it is up');

my $now = status();
is($now->{version}, (slurp('CHANGES') =~ /ngx_cred_module (\S+)/)[0], 'the version of CHANGES');
is($now->{workers}, 2, 'workers');
is($now->{registry}{state}, 'up', 'the registry is up');
is($now->{registry}{prefix}, '{cred}', 'its prefix');
cmp_ok(abs($now->{registry}{claimed} - time), '<', 60, 'what is pending is asked for');
is_deeply([map { $_->{name} } @{ $now->{environments} }], [qw(production staging)], 'both');
is($now->{deletes}{apinizer}{deleted}, 1, 'counted');
is($now->{environments}[0]{undeployments}{undeployed}, 1, 'as is the undeployment');
is($now->{environments}[0]{effect_duration}{count}, 1, 'and how long it took');
cmp_ok(abs($now->{now} - time), '<', 60, 'now');

ok(settled(), 'settled');
my ($last) = @{ $now->{operations} };
is($last->{id}, 'api-user', 'it is in the list');
is($last->{result}, 'deleted', 'as what it was');
is($last->{subject}, 'alice', 'and whose');

my $operation = status("operation=$last->{operation}")->{operation};
is($operation->{scope}, 'MyProject', 'an operation');
is_deeply([sort map { "$_->{environment} $_->{state} $_->{attempts}" } @{ $operation->{receipts} }],
          ['production undeployed 1', 'staging undeployed 1'], 'its receipts');
cmp_ok(abs($operation->{completed_at} - time), '<', 60, 'it is complete');

# now one of them is away

redis_stop('production');
credential('away', qw(registry staging));
answer_is(del('away'), 'pending', pending(production => 'unreachable', staging => undef));
ok(wait_for(sub { stands('production') eq 'down 1 aged' }), 'it is down');
my $is = environment_of('production');
cmp_ok(abs($is->{since} - time), '<', 60, 'since when');
like($is->{error}{message}, qr/connect\(\) failed \(\d+: /, 'why');
ok(wait_for(sub { (environment_of('production')->{retry_at} // 0) > time - 2 }), 'until when');
is($is->{gateways}, undef, 'its gateways are not known');
cmp_ok($is->{undeployments}{unreachable}, '>', 0, 'attempts');

my $metrics = metrics();
is($metrics->{'cred_environment_up{environment="production"}'}, 0, 'down');
is($metrics->{'cred_environment_up{environment="staging"}'}, 1, 'up');
is($metrics->{'cred_pending{environment="production"}'}, 1, 'pending');
ok(wait_for(sub { metrics()->{'cred_oldest_pending_age_seconds{environment="production"}'} > 0 }), 'aged');

my ($entry) = @{ status('environment=production')->{pending} };
is("$entry->{api} $entry->{scope} $entry->{id}", 'apinizer MyProject away', 'the entry');
my $open = status('credential=apinizer:MyProject:away');
is($open->{open}{operation}, $entry->{operation}, 'the operation that is open');
is($open->{operations}[0]{result}, 'deleted', 'and what was');
is(status('credential=apinizer:MyProject:api-user')->{open}, undef, 'another one is not open');

redis_start('production');
ok(wait_for(sub { stands('production') eq 'up 0' }), 'it is back');
like(environment_of('production')->{error}{message}, qr/connect\(\) failed/, 'the last error stays');
is(environment_of('production')->{retry_at}, undef, 'there is no next attempt');
cmp_ok(environment_of('production')->{effect_duration}{sum}, '>',
       environment_of('staging')->{effect_duration}{sum}, 'it took its time');



=== TEST 2: ten thousand deletes, two workers, a reload
--- timeout: 120
--- script
my @ids = map { "c$_" } 1 .. 6000;
credential([@ids[$_ * 1000 .. $_ * 1000 + 999]]) for 0 .. 5;

my @requests = (
    (map { del_raw($_) } @ids),
    (map { del_raw("none$_") } 1 .. 1500),
    (map { del_raw("c$_") =~ s/TOKEN/WRONG/r } 1 .. 1000),
    (map { del_raw("c$_") =~ s/Bearer TOKEN/Basic x/r } 1 .. 500),
    (map { del_raw("c$_") =~ s/MyProject/Other/r } 1 .. 1000),
);

many(4, @requests[0 .. 4999]);
ok(nginx_reload(), 'reloaded');
many(4, @requests[5000 .. $#requests]);

my $now = status();
my %wanted = map { $_ => 0 } keys %{ $now->{deletes}{apinizer} };
@wanted{qw(deleted not_found unauthorized scope_not_found)} = (6000, 1500, 1500, 1000);
is_deeply($now->{deletes}{apinizer}, \%wanted, 'counted');

for my $name (qw(production staging)) {
    my $is = environment_of($name);
    my %all = map { $_ => 0 } keys %{ $is->{undeployments} };
    is_deeply($is->{undeployments}, { %all, undeployed => 6000 }, "$name: undeployed");
    is($is->{undeployment_duration}{count}, 6000, "$name: durations");
    is($is->{effect_duration}{count}, 6000, "$name: and times to effect");
}

my $metrics = metrics();
is($metrics->{qq(cred_deletes_total{api="apinizer",result="$_"})}, $wanted{$_}, $_)
    for sort keys %wanted;
is($metrics->{"cred_undeployments_total{environment=\"production\",result=\"undeployed\"}"}, 6000,
   'as in json');
is($metrics->{'cred_effect_duration_seconds_count{environment="staging"}'}, 6000, 'durations, too');
is($metrics->{'cred_effect_duration_seconds_bucket{environment="staging",le="+Inf"}'}, 6000,
   'all of them');

# a worker that is killed takes nothing with it

kill 'KILL', nginx_workers();
ok(wait_for(sub { (status() // {})->{deletes}{apinizer}{deleted} == 6000 }), 'still there');
--- allow_log
exited on signal 9



=== TEST 3: what can be asked for, and what cannot
--- script
is(call($_, '/status')->{status}, 405, $_) for qw(POST PUT DELETE);
my $head = call('HEAD', '/status');
is("$head->{status} $head->{body}", '200 ', 'HEAD');
like(call('GET', '/status?format=prometheus')->{headers}{'content-type'}, qr{^text/plain; version=0\.0\.4},
     'another format');
like(call('GET', '/people')->{headers}{'content-type'}, qr{^text/html}, 'the page');
like(call('GET', '/people?format=json')->{headers}{'content-type'}, qr{^application/json}, 'its data');
is(call('GET', "/status?$_")->{status}, 400, $_)
    for 'format=xml', 'format=', 'credential=apinizer', 'credential=a:b', 'format=prometheus&operation=1';
is(call('GET', "/status?$_")->{status}, 404, $_)
    for 'operation=', 'operation=0', 'operation=%00%0a', 'operation=' . 'x' x 4000;
is_deeply(status("environment=$_")->{pending}, [], "environment $_") for '', 'none', '%ff', '..%2f';
is_deeply(status("credential=$_")->{operations}, [], "credential $_") for '::', 'a:b:c:d', '%25:%3A:%00';
is(status('nothing=1&&=')->{workers}, 2, 'what it does not know');
is(call('GET', '/people')->{headers}{'content-security-policy'} =~ /default-src 'none'/, 1, 'a strict policy');



=== TEST 4: names of any bytes
--- script
my @names = ('a:b', 'per%cent', '<script>alert(1)</script>', "line\nfeed", 'quo"te\\', "\xe2\x80\xaeleft",
             "no\xffutf", 'x' x 256, 'y' x 300, '');
redis('registry', 'HSET', '{cred}:environments', map { $_ => redis_url('staging') . "&prefix=p$_" } 'z');
redis('registry', 'HSET', '{cred}:environments', $_ => 'unix:/nowhere') for @names;
redis('registry', 'SADD', '{cred}:apinizer:grants:MyProject:a:b%', 'API_PROXY:x');
my $got = del('api-user');
is($got->{status}, 200, 'deleted');
my $now;
ok(wait_for(sub {
    $now = status();
    return !grep { $_->{name} =~ /^(?:a:b|x+)\z/ && $_->{state} ne 'down' } @{ $now->{environments} };
}), 'they are down');
my %seen = map { $_->{name} => $_ } @{ $now->{environments} };
is(scalar(keys %seen), @names + 3, 'all of them');
is($seen{$_}{pending}, 1, "pending in $_") for 'a:b', 'per%cent', '<script>alert(1)</script>', "line\nfeed", 'x' x 256;
is($seen{"no\x{fffd}utf"}{pending}, 1, 'what is no UTF-8');
is($seen{'y' x 300}{state}, 'unknown', 'nothing is counted of one that is too long');
is(status('environment=' . escape($_))->{pending}[0]{id}, 'api-user', 'entries of ' . escape($_))
    for 'a:b', 'per%cent', "line\nfeed", "no\xffutf";
my $text = call('GET', '/metrics')->{body};
like($text, qr/^cred_pending\{environment="line\\nfeed"\} 1$/m, 'a line');
like($text, qr/^cred_pending\{environment="quo\\"te\\\\"\} 1$/m, 'quotes');
like($text, qr/^cred_pending\{environment="no%FFutf"\} 1$/m, 'what is no UTF-8');
unlike($text, qr/^(?!# |cred_\w+(?:\{(?:\w+="(?:[^"\\\n]|\\[\\"n])*",?)+\})? [-+.\w]+$)/m, 'nothing else');



=== TEST 5: the registry is away
--- script
answer_is(del('api-user'), 'deleted', everywhere());
redis_pause('registry');
my $start = time;
my $now;
ok(wait_for(sub { ($now = status())->{registry}{state} eq 'down' }), 'it is told');
ok($now->{registry}{problem}, 'and why');
is_deeply([map { "$_->{name} $_->{state} " . ($_->{pending} // 'unknown') } @{ $now->{environments} }],
          ['production up unknown', 'staging up unknown'], 'what this nginx knows itself');
is($now->{deletes}{apinizer}{deleted}, 1, 'counters');
my $claimed = $now->{registry}{claimed};
is(status()->{registry}{claimed}, $claimed, 'what is pending was asked for before that');
is(metrics()->{cred_registry_up}, 0, 'down');
is(metrics()->{'cred_pending{environment="production"}'}, undef, 'not known');
is(call('GET', "/status?operation=1")->{status}, 503, 'no word of an operation');
redis_resume('registry');
ok(wait_for(sub { status()->{registry}{state} eq 'up' && stands('production') eq 'up 0' }), 'it is back');
is(metrics()->{cred_registry_up}, 1, 'up');
ok(wait_for(sub { metrics()->{cred_claim_time_seconds} > $claimed }), 'and is again');
redis('registry', 'SET', '{cred}:environments', 'x') if redis('registry', 'DEL', '{cred}:environments');
ok(wait_for(sub { (status()->{registry}{problem} // '') =~ /WRONGTYPE/ }), 'what is no hash');
is(status()->{registry}{state}, 'up', 'it is up all the same');



=== TEST 6: an environment that hangs holds up nobody
--- script
ok(wait_for(sub { stands('production') eq 'up 0' && stands('staging') eq 'up 0' }), 'both are up');
redis_pause('production');
my $sock = http_open();
print $sock "GET /status HTTP/1.1\r\nHost: x\r\n\r\n";
is(call('GET', '/people')->{status}, 200, 'others are answered') for 1 .. 10;
my $is = http_parse(http_read($sock));
is($is->{status}, 200, 'and so is this one');
ok(wait_for(sub { stands('production') =~ /^down/ }), 'down');
redis_resume('production');
ok(wait_for(sub { stands('production') eq 'up 0' }), 'up');

# clients that leave

redis_pause('registry');
for (1 .. 50) {
    my $sock = http_open();
    print $sock "GET /" . ($_ % 2 ? "status" : "after") . " HTTP/1.1\r\nHost: x\r\n\r\n";
    close $sock;
}
ok(wait_for(sub { access_log_text() =~ m{/after HTTP/1.1" 499} || error_log_text() =~ /client.*closed/ }),
   'clients are gone');
redis_resume('registry');
ok(wait_for(sub { stands('production') eq 'up 0' }), 'nothing has happened');



=== TEST 7: a name that is gone, and comes back
--- script
redis_stop('staging');
credential('one', qw(registry production));
del('one');
ok(wait_for(sub { stands('staging') eq 'down 1 aged' }), 'pending');
redis('registry', 'HDEL', '{cred}:environments', 'staging');
ok(wait_for(sub { !environment_of('staging')->{registered} }), 'not registered');
is(metrics()->{'cred_environment_registered{environment="staging"}'}, 0, 'as a metric');
is(metrics()->{'cred_environment_up{environment="staging"}'}, undef, 'neither up nor down');
redis('registry', 'HSET', '{cred}:environments', 'staging', redis_url('staging'));
redis_start('staging');
ok(wait_for(sub { stands('staging') eq 'up 0' }), 'back');
redis('registry', 'HDEL', '{cred}:environments', 'staging');
ok(wait_for(sub { !environment_of('staging') }), 'gone');
cmp_ok(metrics()->{'cred_undeployments_total{environment="staging",result="not_deployed"}'}, '>', 0,
       'what was counted stays');



=== TEST 8: gateways of an environment, and the state of a gateway
--- script
my $g = gateway_start('one', http => 'cred_access_lease 300ms;', server => $main::locations);
ok(wait_for(sub {
    my ($gateway) = @{ environment_of('production')->{gateways} || [] };
    return $gateway && $gateway->{leased} && $gateway->{lag} == 0;
}), 'it has a lease');
ok(wait_for(sub {
    (metrics()->{'cred_gateways{environment="production",state="leased"}'} // 0) == 1;
}), 'leased');

is(gate('none', port => $g->{port})->{status}, 401, 'no such key');
my $own;
ok(wait_for(sub {
    $own = JSON::PP::decode_json(gate(undef, path => '/status', port => $g->{port})->{body});
    return $own->{leases}[0]{left} > 0;
}), 'its lease');
is($own->{registry}, undef, 'it has no registry');
is_deeply($own->{access}, { allowed => 0, forbidden => 0, unknown => 1, unavailable => 0 }, 'counted');
is($own->{cache}{miss}, 1, 'it was looked up');
is(gate(undef, path => '/status?operation=1', port => $g->{port})->{status}, 404, 'there are no operations');

gateway_stop($g);
ok(wait_for(sub { metrics()->{'cred_gateways{environment="production",state="expired"}'} }), 'expired');



=== TEST 9: more environments than there is room for
--- http_config
cred_registry     $TEST_NGINX_REGISTRY;
cred_status_zone  small 64k;
--- script
redis('registry', 'HSET', '{cred}:environments', map { ("e$_" => 'unix:/nowhere') } 1 .. 300);
ok(wait_for(sub { @{ status()->{environments} } == 302 }), 'all are shown');
ok(wait_for(sub { error_log_text() =~ /"cred_status_zone" is full/ }), 'some are not counted');
my $lines = () = error_log_text() =~ /is full/g;
is($lines, 1, 'which is told once');
my ($zone) = @{ status()->{zones} };
is("$zone->{name} $zone->{size}", 'small 65536', 'the zone');
cmp_ok($zone->{used}, '<=', $zone->{size}, 'in use');



=== TEST 10: one gateway that is nonsense hides no other
--- script
my $g = gateway_start('one', http => 'cred_access_lease 10s;', server => $main::locations);
ok(wait_for(sub { @{ environment_of('production')->{gateways} || [] } == 1 }), 'a gateway');
redis('production', 'HSET', '{cred}:gateways',
      'later', '1000 99999999999999999999999-0 0-0 1',
      'far',   '1000 1-99999999999999999999999 0-0 1',
      'none',  'nonsense');
my $is = environment_of('production')->{gateways};
is_deeply([sort map { $_->{leased} ? 'leased' : $_->{name} } @{ $is || [] }], [qw(far later leased none)], 'all of them');
is(metrics()->{'cred_gateways{environment="production",state="expired"}'}, 3, 'counted');
gateway_stop($g);



=== TEST 11: without a master, a reload with another zone
--- script
# nginx's own poll fails when it is reloaded without a master
return pass('poll') if ($ENV{TEST_NGINX_EVENT_TYPE} // '') eq 'poll';

my $zone = 'cred_registry $TEST_NGINX_REGISTRY; cred_status_zone one %s;';
my $server = $main::locations . 'location /apiops/ { cred_delete apinizer; }';
my $g = gateway_start('single', workers => 0, http => sprintf($zone, '64k'), server => $server);
my $own = JSON::PP::decode_json(gate(undef, path => '/status', port => $g->{port})->{body});
is($own->{zones}[0]{size}, 65536, 'a zone');

# nginx accepts nothing after that, but what it has begun goes on

gateway_conf($g, http => sprintf $zone, '1m');
kill 'HUP', $g->{pid};
ok(wait_for(sub { slurp("$g->{dir}/error.log") =~ /: reconfiguring\n/ }), 'reloaded');
my $calls = sub { redis('registry', 'INFO', 'commandstats') =~ /cmdstat_evalsha:calls=(\d+)/ ? $1 : 0 };
redis('registry', 'CONFIG', 'RESETSTAT');
ok(wait_for(sub { !CredTest::HTTP::running($g->{pid}) || $calls->() > 20 }), 'a while later');
ok(CredTest::HTTP::running($g->{pid}), 'it lives');
gateway_stop($g);



=== TEST 12: what is pending is shown, however many environments there are
--- script
ok(wait_for(sub { my $is = environment_of('production'); $is && $is->{state} eq 'up' }),
   'known before there are so many that not all are watched');
redis('registry', 'HSET', '{cred}:environments', map { ("e$_" => 'unix:/nowhere') } 1 .. 700);
redis('registry', 'SADD', '{cred}:apinizer:environments:MyProject', 'z');
redis('registry', 'HSET', '{cred}:environments', 'z', 'unix:/nowhere');
del('api-user');
my $now;
ok(wait_for(sub { $now = status(); grep { $_->{name} eq 'z' && $_->{pending} } @{ $now->{environments} } }), 'what is pending');
is($now->{more_environments}, 203, 'others are not told of');
ok(wait_for(sub { my $is = environment_of('production'); $is && $is->{state} eq 'up' }), 'but those that are known here');
is(metrics()->{'cred_environment_up{environment="production"}'}, 1, 'as a metric');
redis('registry', 'HDEL', '{cred}:environments', map { "e$_" } 1 .. 300);
is(status()->{more_environments}, 0, 'all of them');



=== TEST 13: an operation that is larger than an answer
--- script
my $id = 'a' x 32;
redis('registry', 'HSET', "{cred}:operation:$id", 'api', 'apinizer', 'scope', 'MyProject', 'id', 'big',
      'environments', 1024, 'pending', 1024);
redis('registry', 'HSET', "{cred}:operation:$id", map {
    ("environment:e$_" => '{"state":"pending","attempts":1,"error":"' . 'x' x 600 . '"}')
} $_ * 64 .. $_ * 64 + 63) for 0 .. 15;
redis('registry', 'SET', '{cred}:open:apinizer:MyProject:big', $id);
my $is = status("operation=$id")->{operation};
is("$is->{id} $is->{environments}", 'big 1024', 'it is shown');
cmp_ok(scalar(@{ $is->{receipts} }), '>', 500, 'with what there is room for');
is(status('credential=apinizer:MyProject:big')->{open}{pending}, 1024, 'as one that is open');



=== TEST 14: what is superseded has had no effect
--- script
credential('old');
redis('registry', 'HSET', '{cred}:apinizer:credential:MyProject:old', 'revision', 1);
redis('staging', 'HSET', '{cred}:apinizer:credential:MyProject:old', 'revision', 2);
del('old');
my $is = environment_of('staging');
is($is->{undeployments}{superseded}, 1, 'a newer one is there');
is($is->{effect_duration}{count}, 0, 'which is accepted');
is($is->{undeployment_duration}{count}, 0, 'and was not undeployed');
is(environment_of('production')->{effect_duration}{count}, 1, 'as it was elsewhere');



=== TEST 15: whoever asks for the state leaves connections to clients
--- before
worker_connections(64);
--- script
my $url = redis_tcp('staging');
redis('registry', 'HSET', '{cred}:environments', map { ("e$_" => "$url?prefix=e$_") } 1 .. 90);
my @got = map { call('GET', '/status')->{status} } 1 .. 20;
is(join(' ', grep { $_ != 200 } @got), '', 'all are answered');
ok(wait_for(sub { grep { $_->{gateways} } @{ status()->{environments} } }),
   'some are asked for their gateways');
unlike(error_log_text(), qr/worker_connections are not enough/, 'the error log');
--- after
worker_connections(1024);



=== TEST 16: an environment that hung, and is asked for nothing any more
--- script
# the first command of a connection, which is a look at its gateways

ok(wait_for(sub { redis('registry', 'HEXISTS', '{cred}:positions', 'production') }), 'it is greeted');
redis_pause('production');
ok(wait_for(sub { call('GET', '/status'); error_log_text() =~ /is down: redis did not reply in time, environment: production/ }),
   'it hangs');
ok(wait_for(sub { stands('production') =~ /^down/ }), 'down');
redis_resume('production');
ok(wait_for(sub { stands('production') eq 'up 0' }), 'up, with nothing pending');



=== TEST 17: a registry that answers, and refuses deletes
--- script
credential('one', qw(registry production));
is(status()->{registry}{error}, undef, 'no error');
redis('registry', 'CONFIG', 'SET', 'min-replicas-to-write', 1);
is(del('one')->{status}, 503, 'refused');
my $registry = status()->{registry};
is($registry->{state}, 'up', 'it is reached');
like($registry->{error}{message}, qr/^refused a delete: NOREPLICAS/, 'and says why');
redis('registry', 'CONFIG', 'SET', 'min-replicas-to-write', 0);
is(del('one')->{status}, 200, 'then it is done');
--- log
redis refused a command: NOREPLICAS



=== TEST 18: the registry does not greet an environment
--- before
our $proxy = proxy('registry');
$ENV{TEST_NGINX_PROXY} = $proxy->url;
--- http_config
cred_registry         $TEST_NGINX_PROXY;
cred_retry_delay      100ms;
cred_connect_timeout  500ms;
cred_command_timeout  500ms;
--- script
ok(wait_for(sub { stands('production') eq 'up 0' && stands('staging') eq 'up 0' }), 'both are up');
$main::proxy->hold('command', qr/\$3\r\nask\r\n/);
redis('production', 'CLIENT', 'KILL', 'TYPE', 'normal');
redis_stop('staging');
ok(wait_for(sub { (environment_of('production') // {})->{error} }), 'it is not greeted');
ok(wait_for(sub { (environment_of('staging') // {})->{state} eq 'down' }), 'one that is gone is down');
is(environment_of('production')->{state}, 'up', 'the other one is not');
$main::proxy->release;
redis_start('staging');
ok(wait_for(sub { stands('staging') eq 'up 0' }), 'it is back');



=== TEST 19: connectors, of which nobody has asked for anything yet
--- before
our $stub = web(sub { [204, [], ''] });
connectors($main::stub, 'system-1');
redis('registry', 'HSET', '{cred}:environments', 'managed', 'connector:system-1',
      'absent', 'connector:system-2', 'bad', 'connector:a/b');
redis('registry', 'HSET', '{cred}:apinizer:credential:MyProject:api-user',
      'target:managed', 't1', 'target:absent', 't2', 'target:bad', 't3');
--- http_config
cred_registry     $TEST_NGINX_REGISTRY;
cred_retry_delay  100ms;
include           $TEST_NGINX_DIR/connectors.conf;
--- script
ok(wait_for(sub { stands('managed') eq 'up 0' }), 'it is up');
is(scalar($main::stub->log), 0, 'and was asked for nothing');
is(environment_of('managed')->{connector}, 'system-1', 'its connector');
is(environment_of('production')->{connector}, undef, 'a Redis has none');
is(environment_of('managed')->{gateways}, undef, 'it has no gateways');
is(metrics()->{'cred_gateways{environment="managed",state="leased"}'}, undef, 'nor as a metric');
is(metrics()->{'cred_environment_up{environment="managed"}'}, 1, 'up');
ok(wait_for(sub { stands('absent') eq 'down 0' && stands('bad') eq 'down 0' }), 'others are down');
is(environment_of('absent')->{error}{message}, 'no "cred_connector" of that name in nginx.conf', 'why');
is(environment_of('bad')->{error}{message}, 'invalid name of a connector', 'why');

# one that is gone is noticed before a delete needs it

$main::stub->down;
ok(nginx_reload(), 'reloaded');
ok(wait_for(sub { stands('managed') eq 'down 0' }), 'down');
my $is = environment_of('managed');
like($is->{error}{message}, qr/connect\(\) failed \(\d+: /, 'why');
ok(wait_for(sub { (environment_of('managed')->{retry_at} // 0) > time - 2 }), 'until when');
my $log = () = error_log_text() =~ /\[error\] .*connector is down: .*environment: managed, connector: "system-1"/g;
is($log, 1, 'told once');

my $answer = del('api-user');
is($answer->{headers}{'cred-pending'}, 'absent,bad,managed', 'pending');
ok(wait_for(sub { stands('managed') eq 'down 1 aged' }), 'as the status has it');
cmp_ok(environment_of('managed')->{undeployments}{unreachable}, '>', 0, 'attempts');
is(metrics()->{'cred_environment_up{environment="managed"}'}, 0, 'down');
is(metrics()->{'cred_pending{environment="managed"}'}, 1, 'pending');
my ($entry) = @{ status('environment=managed')->{pending} };
is($entry->{id}, 'api-user', 'the entry');

# it acts, and nobody hears of it

my $lost = $main::stub->lose(times => 0);
$main::stub->up;
ok(wait_for(sub {
    my $is = status('operation=' . operation($answer))->{operation}{receipts};
    my ($receipt) = grep { $_->{environment} eq 'managed' } @$is;
    return abs(($receipt->{unclear} // 0) - time) < 600;
}), 'when it may have acted, in seconds');
ok(wait_for(sub { stands('managed') eq 'down 1 aged' }), 'it takes connections, and is down');
$main::stub->forget;
ok(wait_for(sub { stands('managed') eq 'up 0' }), 'it is back');
$is = environment_of('managed');
is($is->{retry_at}, undef, 'there is no next attempt');
is($is->{undeployments}{undeployed}, 1, 'undeployed');
is($is->{effect_duration}{count}, 1, 'counted');
is(metrics()->{'cred_effect_duration_seconds_count{environment="managed"}'}, 1, 'as a metric');

# other names after a reload

connectors($main::stub, 'system-2');
ok(nginx_reload(), 'reloaded');
ok(wait_for(sub { stands('managed') eq 'down 0' && stands('absent') =~ /^up/ }), 'it has the other one');
is(environment_of('managed')->{error}{message}, 'no "cred_connector" of that name in nginx.conf', 'and why');
ok(wait_for(sub { stands('absent') eq 'up 0' }), 'where nothing is pending any more');
