# What Prometheus makes of the state: a real one scrapes a real nginx, with the
# alerts and the dashboard of conf-examples/prometheus.

use lib 't/lib';
use CredTest::Prometheus;

BEGIN {
    require Test::More;

    Test::More::plan(skip_all => 'no prometheus and promtool:'
                                 . ' util/install-deps monitoring')
        unless CredTest::Prometheus::found();
}

use CredTest;
use CredTest::Delete;
use CredTest::Gateway;
use IO::Select ();
use JSON::PP ();
use List::Util qw(uniq);

our $Examples = 'conf-examples/prometheus';

# in the order in which they are printed

our @Apis = qw(apinizer iam deepset thousandeyes alloy);
our @Results = qw(deleted resumed unauthorized invalid scope_not_found
                  rate_limited forbidden not_found in_use superseded unavailable);
our @Attempts = qw(undeployed not_deployed superseded unregistered late
                   unreachable refused unconfirmed);

# environments by name: as it is, or as its label has it

our %Names = (
    'quotes "\'' => undef, 'back\\slash\\' => undef, "new\nline\r\t" => undef,
    '<script>alert(1)</script>' => undef, '{a="b"} 1' => undef,
    "gr\xc3\xbc\xc3\x9fe \xe2\x98\x83 \xf0\x9f\x94\x91" => undef,
    'name ' x 60 => undef,
    "nul\0byte" => undef,
    "bad\xff\"\n" => 'bad%FF%22%0A',
    'bad%FF%22%0A' => 'bad%25FF%2522%250A',
    "\xed\xa0\x80" => '%ED%A0%80', "\xc0\xaf" => '%C0%AF',
    "\xf4\x90\x80\x80" => '%F4%90%80%80',
);

my $status = <<'CONF';
location = /metrics { cred_status prometheus; }
CONF

my %sections = gateway(config => $status);

defaults(%sections, http_config => <<'CONF');
cred_registry      $TEST_NGINX_REGISTRY;
cred_environment   $TEST_NGINX_PRODUCTION;
cred_retry_delay   100ms 200ms;
cred_status_zone   cred_status 64k;
cred_access_zone   cred_access 1m;
cred_access_lease  1s;
cred_access_valid  1h missing=1h;
keepalive_requests 100000;
CONF


sub scrape { call('GET', '/metrics') }

sub value_of {
    my ($text, $series) = @_;
    return $text =~ /^\Q$series\E (\S+)$/m ? $1 : undef;
}

# the first scrape where this has this value

sub scraped {
    my ($series, $value) = @_;
    my $text;

    wait_for(sub {
        $text = scrape()->{body};
        return (value_of($text, $series) // '') eq $value;
    });

    local $Test::Builder::Level = $Test::Builder::Level + 1;

    is(value_of($text, $series), $value, $series);
    return $text;
}

sub register { redis('registry', 'HSET', '{cred}:environments', @_) }

sub is_quiet {
    my ($name, @command) = @_;
    my ($status, $text) = promtool('', @command);
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    ok($status == 0 && $text !~ /FAILED|error/i, $name) or diag($text);
}

sub dashboard { JSON::PP->new->utf8->decode(slurp("$Examples/dashboard.json")) }

sub text_of { JSON::PP->new->canonical->pretty->encode($_[0]) }

# its expressions by where they are, as Grafana would send them

sub expressions {
    my $dashboard = dashboard();
    my %all;

    for my $panel (@{ $dashboard->{panels} }) {
        $all{"$panel->{title}, $_->{refId}"} = $_->{expr}
            for @{ $panel->{targets} };
    }

    for (@{ $dashboard->{templating}{list} }) {
        next if $_->{type} ne 'query';
        my ($expr, $label) = $_->{query}{query}
                             =~ /^label_values\((.*), (\w+)\)$/ or die;
        $all{"\$$_->{name}"} = "count by ($label) ($expr)";
    }

    my %value = (instance => '.*', environment => '.*',
                 __rate_interval => '10s', __range => '1m');

    s/\$(\w+)/$value{$1} \/\/ die "no \$$1"/ge for values %all;

    return %all;
}

run_tests();


__DATA__

=== TEST 1: promtool finds nothing to say about the examples
--- script
is_quiet('alerts', 'check', 'rules', "$::Examples/alerts.yml");
is_quiet('their tests', 'test', 'rules', "$::Examples/alerts-test.yml");
is_quiet('configuration', 'check', 'config', "$::Examples/prometheus.yml");

my $rules = slurp("$::Examples/alerts.yml");
my $tests = slurp("$::Examples/alerts-test.yml");
my @alerts = $rules =~ /- alert: (\w+)/g;

cmp_ok(@alerts, '>', 8, 'alerts');

for my $name (@alerts) {
    my ($rule) = $rules =~ /- alert: $name\n(.*?)(?=\n *- alert|\z)/s;

    like($rule, qr/^ +severity: (?:critical|warning)$/m, "$name: severity");
    like($rule, qr/^ +$_: ./m, "$name: $_") for qw(summary description);

    my ($file, $anchor) = $rule =~ /^ +runbook: ([\w\/.]+)#([\w-]+)$/m;
    ok($anchor, "$name: runbook");

    # a heading as GitHub makes an anchor of it

    SKIP: {
        skip "there is no $file", 1 unless -e $file;
        ok((grep { lc(s/[^\w -]//gr =~ tr/ /-/r) eq $anchor }
            slurp($file) =~ /^#+ (.*)$/mg), "$name: $file has $anchor");
    }

    my $of = qr/- expr: ALERTS\{alertname="$name".*\n.*\n +exp_samples:/;
    ok($tests =~ /$of\n/, "$name: a test sees it fire");
    ok($tests =~ /$of \[\]/, "$name: and a test sees that it does not");
}



=== TEST 2: the dashboard is complete
--- script
my $dashboard = dashboard();
my (%id, %place);

for my $panel (@{ $dashboard->{panels} }) {
    my ($name, $grid) = ($panel->{title}, $panel->{gridPos});

    ok(!$id{ $panel->{id} }++, "$name: an id of its own");
    ok(length $panel->{description}, "$name: description");
    is($panel->{datasource}{uid}, '${datasource}', "$name: data source");

    my @taken = grep { $place{$_}++ } map {
        my $x = $_;
        map { "$x,$_" } $grid->{y} .. $grid->{y} + $grid->{h} - 1;
    } $grid->{x} .. $grid->{x} + $grid->{w} - 1;
    ok(!@taken && $grid->{x} + $grid->{w} <= 24, "$name: its place is free");

    my $unit = $panel->{fieldConfig}{defaults}{unit}
               // $panel->{options}{yAxis}{unit};
    ok($unit, "$name: unit");

    for (@{ $panel->{targets} }) {
        ok(defined $_->{legendFormat}, "$name, $_->{refId}: legend");
        my @by = map { split /, / } $_->{expr} =~ /^\w+ by \(([\w, ]+)\)/;
        like($_->{legendFormat}, qr/\{\{$by[-1]\}\}/,
             "$name, $_->{refId}: by $by[-1]") if @by;
    }
}

is(scalar @{ $dashboard->{panels} } > 12, 1, 'panels');
unlike(slurp("$::Examples/dashboard.json"), qr/\t|[ ]+$/m, 'no stray blanks');

# both ways: what is shown is there, and what is there is shown

my $text = scrape()->{body} =~ s/_(?:bucket|sum|count)\{/{/gr;
my $used = slurp("$::Examples/dashboard.json") . slurp("$::Examples/alerts.yml");
my @there = uniq($text =~ /^# TYPE (\w+)/mg);
my @shown = uniq(map { s/_(?:bucket|sum|count)$//r }
                 $used =~ /\b(cred_\w+)(?=\{|\)| ==)/mg);

is_deeply([ grep { my $name = $_; !grep { $_ eq $name } @there } @shown ], [],
          'what is shown is there');
is_deeply([ grep { $used !~ /\b$_(?:_bucket|_count)?\b/ } @there ], [],
          'what is there is shown');



=== TEST 3: the text: zeros, types, and no ids
--- script
leased();
my $got = scrape();

is($got->{status}, 200, 'status');
is($got->{headers}{'content-type'},
   'text/plain; version=0.0.4; charset=utf-8', 'type');

is_deeply([ $got->{body} =~ /^cred_deletes_total(.*)$/mg ],
          [ map { my $api = $_;
                  map { qq({api="$api",result="$_"} 0) } @::Results } @::Apis ],
          'zeros of deletes');

for my $name (qw(production staging)) {
    is_deeply([ $got->{body}
                =~ /^cred_undeployments_total\{environment="$name",(.*)$/mg ],
              [ map { qq(result="$_"} 0) } @::Attempts ],
              "$name: zeros of undeployments");
    is(value_of($got->{body}, qq(cred_${_}_count{environment="$name"})), 0,
       "$name: $_") for qw(undeployment_duration_seconds effect_duration_seconds);
    is(value_of($got->{body}, qq($_\{environment="$name"})), 0, "$name: $_")
        for qw(cred_pending cred_oldest_pending_age_seconds cred_gateway_lag);
}

is(value_of($got->{body}, qq(cred_access_total{result="$_"})), 0, $_)
    for qw(allowed forbidden unknown unavailable);
is(value_of($got->{body}, qq(cred_access_cache_total{result="$_"})), 0, $_)
    for qw(hit miss);

# one of each

is(gate('KEY')->{status}, 200, 'allowed');
is(gate('OTHER')->{status}, 401, 'unknown');
my $deleted = del('api-user');
answer_is($deleted, 'deleted', everywhere());
answer_is(del('api-user', token => 'NONE'), 'refused', failure(401));
ok(settled(), 'settled');

# receipts are written after the answer

scraped('cred_undeployments_total{environment="staging",result="undeployed"}', 1);
my $text = scraped('cred_gateways{environment="production",state="leased"}', 1);

is(value_of($text, qq(cred_deletes_total{api="apinizer",result="$_"})), 1, $_)
    for qw(deleted unauthorized);
is(value_of($text, 'cred_effect_duration_seconds_count{environment="staging"}'),
   1, 'and how long it took');

my ($status, $words) = promtool($text, 'check', 'metrics');
is($words, '', 'promtool check metrics');
is($status, 0, 'and its status');

my %known = map { $_ => 1 } qw(version nginx api result environment le state
                               zone redis);
is_deeply([ grep { !$known{$_} } uniq($text =~ /[{,](\w+)="/g) ], [],
          'no other labels');

my $operation = operation($deleted);
unlike($text, qr/\b\Q$_\E\b/, "nothing of \"$_\"")
    for 'api-user', 'MyProject', 'alice', 'TOKEN', 'KEY', $operation,
        sha256('KEY');



=== TEST 4: one that only is a gateway, and one that has nothing
--- config
location = /metrics { cred_status prometheus; }
--- http_config
--- script
my $g = gateway_start('alone', server => <<'CONF');
location = /metrics { cred_status prometheus; }
CONF

ok(leased(), 'there is a lease');
is(gate('KEY', port => $g->{port})->{status}, 200, 'a request');

my ($all, $none) = (gate(undef, path => '/metrics', port => $g->{port}),
                    scrape());

for ([gateway => $all], [nothing => $none]) {
    my ($name, $got) = @$_;
    my ($status, $words) = promtool($got->{body}, 'check', 'metrics');

    is($got->{status}, 200, "$name: status");
    is("$words$status", '0', "$name: promtool check metrics");
    unlike($got->{body}, qr/cred_(?:registry|environment|pending)/,
           "$name: nothing of a registry");
    like($got->{body}, qr/^cred_deletes_total\S+ 0$/m, "$name: deletes");
}

like($all->{body}, qr/^cred_access_total\{result="allowed"\} 1$/m, 'allowed');
like($all->{body}, qr/^cred_zone_bytes\{zone="cred_access",state="used"\} \d+$/m,
     'its memory');



=== TEST 5: names of any length
--- script
my $tcp = redis_tcp('staging');
my %labels = map {
    ('x' x $_ => 'x' x $_, "\xff" x $_ => '%FF' x $_);
} 256, 257, map { 1000 * $_ } 1 .. 12;

register(map { ($_ => "$tcp?prefix=" . length $_) } keys %labels);
one_more();

my $text = scrape()->{body};
my ($status, $words) = promtool($text, 'check', 'metrics');

is("$words$status", '0', 'promtool check metrics');
is_deeply([ grep { !defined value_of($text, qq(cred_pending{environment="$_"})) }
            values %labels ], [], 'all are there');
is(() = $text =~ /^cred_\w+_count\{environment="[^"]+"\} \d+$/mg,
   2 * (2 + keys %labels), 'as often as it takes');



=== TEST 6: a day with Prometheus
--- script
my $g = gateway_start('second', http => 'cred_access_lease 1s;',
                      server => <<'CONF');
location = /metrics { cred_status prometheus; }
CONF

my @names = sort keys %::Names;
my $tcp = redis_tcp('staging');
register(map { ($names[$_] => "$tcp?prefix=n$_") } 0 .. $#names);

ok(leased(undef, 2), 'both gateways have leases');

# the same rules, sooner

my $rules = slurp("$::Examples/alerts.yml");
my $sooner = $rules =~ s/for: \d+m/for: 100ms/gr =~ s/\[(?:2|15)m\]/[3s]/gr;
my ($here, $there) = map { "127.0.0.1:$_" } $ENV{TEST_NGINX_PORT}, $g->{port};

my $p = CredTest::Prometheus->start(targets => [$here, $there],
                                    rules => $sooner);

my %rule = map { $_->{name} => $_->{query} =~ s/\[3s\]/[2m]/r }
           @{ $p->api('rules')->{groups}[0]{rules} };
my %seen;

# one fires, and the rule as it is has a result, too

my $fires = sub {
    my ($name, %labels) = @_;
    my $alert;

    local $Test::Builder::Level = $Test::Builder::Level + 1;

    ok(wait_for(sub { $alert = $p->fires($name, %labels) }), "$name fires")
        or diag(text_of([ $p->firing ]));
    ok(wait_for(sub { $p->query($rule{$name}) }), "$name as it is");

    my $text = join ' ', values %{ $alert->{annotations} };
    unlike($text, qr/<error|<no value>|\{\{/, "$name says what to do");
    like($alert->{annotations}{summary}, qr/\Q$_\E/, "$name names \"$_\"")
        for values %labels;
    $seen{$name} = 1;
};

# none does, but those that are allowed

my $quiet = sub {
    my ($name, @but) = @_;
    my %but = map { $_ => 1 } @but;
    my @left;

    local $Test::Builder::Level = $Test::Builder::Level + 1;

    ok(wait_for(sub {
        @left = grep { !$but{ $_->{labels}{alertname} } } $p->firing;
        return !@left;
    }), $name) or diag(text_of(\@left));
};

# an expression has this value

my $reads = sub {
    my ($expr, $value) = @_;
    my $got;

    wait_for(sub {
        $got = $p->value($expr);
        return defined $got && $got == $value;
    });

    local $Test::Builder::Level = $Test::Builder::Level + 1;

    is($got, $value, $expr);
};

$reads->('sum(up)', 2);

# names of any bytes

my %labels = map { my $name = $::Names{$_} // $_; utf8::decode($name);
                   ($name => 1) } @names, qw(production staging);
my $values;

ok(wait_for(sub {
    $values = $p->api('label/environment/values');
    return @$values == keys %labels;
}), 'as many names');
is_deeply([ sort @$values ], [ sort keys %labels ], 'each as it is');

# what went on before the first scrape would be no increase

ok(wait_for(sub {
    ($p->value('min(count_over_time(cred_deletes_total[1m]))') // 0) >= 2;
}), 'scraped twice');

my %expressions = expressions();
my %left = %expressions;

ok(wait_for(sub {
    one_more();
    gate('KEY', port => $_) for $ENV{TEST_NGINX_PORT}, $g->{port};

    for (keys %left) {
        my @values = $p->query($left{$_});
        delete $left{$_} if @values && !grep { $_->{value} =~ /NaN/ } @values;
    }

    return !%left;
}), scalar(keys %expressions) . ' expressions of the dashboard have results')
    or diag(text_of(\%left));

$reads->('sum(cred_gateways{state="leased"})', 2);
$quiet->('nothing fires');

# a gateway dies, and one is back in its place

gateway_stop($g, 'KILL');
$fires->('CredNginxDown', instance => $there);
$fires->('CredGatewayGone', environment => 'production');

$g->{pid} = spawn('gateway', 'gateway-second', $ENV{TEST_NGINX_BINARY}, '-e',
                  "$g->{dir}/error.log", '-p', $g->{dir}, '-c',
                  "$g->{dir}/nginx.conf");
one_more();
ok(settled(), 'nothing is pending');
$quiet->('both are well again');

# an environment is down, and so is the lease; another one refuses

redis('staging', 'ACL', 'SETUSER', 'default', '-xadd');
redis_stop('production');

credential('late', 'registry');
my $operation = operation(del('late'));
like($operation, qr/^[0-9a-f]{32}$/, 'a delete');

$fires->('CredEnvironmentDown', environment => 'production', instance => $here);
$fires->('CredGatewayWithoutLease', instance => $here);
$fires->('CredUndeploymentRefused', environment => 'staging');
$reads->('max(cred_pending{environment="production"})', 1);

# two minutes later

my $past = 1000 * (time - 120);
redis('registry', 'ZADD', '{cred}:operations', $past, $operation);

for my $name (qw(production staging)) {
    my ($member) = redis('registry', 'ZRANGE', "{cred}:pending:$name", 0, 0);
    redis('registry', 'ZADD', "{cred}:since:$name", $past, $member);
    $fires->('CredPending', environment => $name);
}

# it is not registered any more

redis('registry', 'HDEL', '{cred}:environments', 'production');
$fires->('CredEnvironmentUnregistered', environment => 'production');
register('production', redis_url('production'));

redis('staging', 'ACL', 'SETUSER', 'default', '+xadd');
redis_start('production');
ok(settled(), 'all is undeployed');
$quiet->('environments are back');
$reads->('min(cred_environment_up)', 1);

# the registry is away

redis('registry', 'SAVE');
redis_stop('registry');
$fires->('CredRegistryDown', instance => $here);
redis_start('registry');
unlink temp_dir() . '/registry/dump.rdb';
$quiet->('the registry is back');

# the registry answers, and refuses to write

ok(wait_for(sub {
    ($p->value('sum(increase(cred_deletes_total{result="deleted"}[3s]))') // 1) == 0;
}), 'nothing was deleted of late');
credential('refused', 'registry');
redis('registry', 'CONFIG', 'SET', 'min-replicas-to-write', 1);
my $refused = spawn('client', 'client', sub { for (1 .. 600) { del('refused'); select undef, undef, undef, .1 } });
ok(wait_for(sub { $p->fires('CredDeletesUnavailable', instance => $here) }),
   'CredDeletesUnavailable fires');
$seen{CredDeletesUnavailable} = 1;
reap($refused, 'TERM');
redis('registry', 'CONFIG', 'SET', 'min-replicas-to-write', 0);
$quiet->('the registry writes');

# no environment is registered

redis('registry', 'RENAME', '{cred}:environments', '{cred}:others');
$fires->('CredNoEnvironment', instance => $here);
redis('registry', 'RENAME', '{cred}:others', '{cred}:environments');
$quiet->('environments are registered');

# memory is full: of environments that were registered once, and of keys that
# nobody has

register(map { ("old$_" => 'nonsense') } 1 .. 40);
one_more();
$fires->('CredStatusZoneFull', instance => $here, zone => 'cred_status');

my $sock = http_open();

for my $n (1 .. 60) {
    my ($answers, $count) = ('', 0);

    print $sock join '', map {
        "GET /page HTTP/1.1\r\nHost: x\r\nX-API-Key: none$n-$_\r\n\r\n";
    } 1 .. 100;

    while ($count < 100) {
        IO::Select->new($sock)->can_read($CredTest::Process::Patience)
            && sysread $sock, $answers, 65536, length $answers
            or die 'no answer';
        $count = () = $answers =~ m{^HTTP/1.1 401 }mg;
    }
}

$fires->('CredAccessZoneFull', instance => $here, zone => 'cred_access');

is_deeply([ grep { !$seen{$_} } sort keys %rule ], [], 'each rule was seen');
$reads->('sum(up)', 2);
unlike($p->log, qr/level=error|err=|Error on|failed/i, 'it has no complaint');
$p->stop;
