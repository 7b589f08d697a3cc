
# One connection to each Redis, many commands in one write, all environments at
# once: shown by the order of events and by the servers' own counters.

use CredTest;
use CredTest::Delete;

defaults(sample(<<'END'));
cred_connect_timeout  60s;
cred_command_timeout  60s;
cred_cascade_timeout  60s;
END

# from now on, writing commands are held back until they are let go

sub hold    { redis($_, 'CLIENT', 'PAUSE', 60000, 'WRITE') for @_ }
sub let_go  { redis($_, 'CLIENT', 'UNPAUSE') for @_ }

sub info {
    my ($name, $section, $field) = @_;
    my ($value) = scalar(redis($name, 'INFO', $section)) =~ /^$field:?(\d+)/m;
    return $value;
}

# a command has arrived there and is held back
sub has_arrived {
    my ($name) = @_;
    return wait_for(sub { info($name, 'clients', 'blocked_clients') >= 1 });
}

sub deployed {
    my ($name) = @_;
    return redis($name, 'EXISTS', '{cred}:apinizer:credential:MyProject:api-user');
}

# segments which nginx has sent to the registry, where the machine can tell

sub segments {
    my $port = redis_port('registry');
    my $text = `ss -tin state established dport = :$port 2>/dev/null` // '';
    my @n = $text =~ /data_segs_out:(\d+)/g;
    return @n == 1 ? $n[0] : undef;
}

sub unanswered { !IO::Select->new($_[0])->can_read(0) }

run_tests();


__DATA__

=== TEST 1: all environments are undeployed at once
--- redis: third
--- third
HSET {cred}:apinizer:credential:MyProject:api-user owner alice
--- script
my @names = qw(production staging third);
redis('registry', 'HSET', '{cred}:environments', 'third', redis_url('third'));

# connect first: only the command itself is to be seen arriving

credential('one', 'registry', @names);
answer_is(del('one'), 'connected', deleted(@names));

# each takes its time (300 ms or more), and none ends before all have begun

hold(@names);
my $sock = http_open();
print $sock del_raw('api-user');
ok(has_arrived($_), "$_ has got the command") for @names;
is(deployed($_), 1, "$_ has not answered") for @names;
ok(unanswered($sock), 'nor has nginx');

# one after the other, in the opposite order

for my $name (reverse @names) {
    ok(unanswered($sock), "$name: no answer yet");
    let_go($name);
    ok(wait_for(sub { !deployed($name) }), "$name: undeployed");
}

answer_is(http_parse(http_read($sock)), 'the answer', deleted(@names));



=== TEST 2: one that is stopped delays nothing which does not concern it
--- config
location /apiops/ { cred_delete apinizer; }
location /other   { return 200 "other\n"; }
--- registry
HSET {cred}:apinizer:scope:Elsewhere a b
HSET {cred}:apinizer:members:Elsewhere alice manage
SADD {cred}:apinizer:environments:Elsewhere production
HSET {cred}:apinizer:credential:Elsewhere:two owner alice
--- script
credential('one');
answer_is(del('one'), 'connected', everywhere());
redis_pause('staging');

my @usernames = map { "w$_" } 1 .. 8;
credential(\@usernames, qw(registry production));
my @socks = map { http_open() } @usernames;
print { $socks[$_] } del_raw($usernames[$_]) for 0 .. 7;
ok(wait_for(sub { redis('production', 'XLEN', '{cred}:undeployments') == 9 }),
   'under way');

for my $n (1 .. 20) {
    redis('registry', 'HSET', '{cred}:apinizer:credential:Elsewhere:two',
          'owner', 'alice');
    answer_is(del('two', project => 'Elsewhere'), "another project, $n",
              pending(production => 'absent'));
    answer_is(del('nobody'), "a refusal, $n", failure(400, 'nobody'));
    is(call('GET', '/other')->{body}, "other\n", "another request, $n");
}

ok(unanswered($_), 'those which it concerns wait') for @socks;
redis_resume('staging');
answer_is(http_parse(http_read($_)), 'and are answered then',
          pending(production => undef, staging => 'absent')) for @socks;



=== TEST 3: 64 clients, one connection, several commands in a call and in a write
--- http_config
cred_registry $TEST_NGINX_REGISTRY_TCP;
--- script
# nginx sleeps while the requests arrive, and then has all of them at once

my @usernames = map { "u$_" } 1 .. 256;
credential(\@usernames);
answer_is(del('api-user'), 'connected', everywhere());
ok(settled(), 'settled');

my ($worker) = nginx_workers();
my @servers = qw(registry production staging);
my @socks = map { http_open() } 1 .. 64;
my (%calls, %reads, %accepted);

for (@servers) {
    $accepted{$_} = info($_, 'stats', 'total_connections_received');
    $calls{$_} = info($_, 'commandstats', 'cmdstat_evalsha:calls=');
    $reads{$_} = info($_, 'stats', 'total_reads_processed');
}

my $segments = segments();

for my $turn (0 .. 3) {
    kill 'STOP', $worker;
    print { $socks[$_] } del_raw($usernames[64 * $turn + $_]) for 0 .. 63;
    kill 'CONT', $worker;
    my @answers = map { http_parse(http_read($_)) } @socks;
    is(scalar(grep { $_->{status} == 200 && $_->{body} !~ /false/ } @answers),
       64, "turn $turn: all deleted");
}

ok(settled(), 'settled');

SKIP: {
    skip('no word on segments', 1) unless defined $segments;
    cmp_ok(4 * (segments() - $segments), '<=', 256,
           'several commands in each segment');
}

# what it took, the reads of this test included

for (@servers) {
    my $calls = info($_, 'commandstats', 'cmdstat_evalsha:calls=') - $calls{$_};
    my $reads = info($_, 'stats', 'total_reads_processed') - $reads{$_};
    # the registry has a delete and the receipts of two environments
    my $commands = $_ eq 'registry' ? 3 * 256 : 256;
    cmp_ok($calls, '>=', 4, "$_: a call in each turn");
    cmp_ok(4 * $calls, '<=', $commands, "$_: several commands in a call")
        or diag("$calls calls");
    cmp_ok(5 * $reads, '<=', $commands, "$_: several commands in a read")
        or diag("$reads reads");
    is(info($_, 'clients', 'connected_clients'), 2, "$_: one connection, and this");
}

# "settled" asked the registry a few times
cmp_ok(info($_, 'stats', 'total_connections_received') - $accepted{$_}, '<=', 6,
       "$_: none was made for this") for qw(production staging);

my @clients = grep { /cmd=eval/ } split /\n/,
              scalar redis('registry', 'CLIENT', 'LIST');
is(scalar(@clients), 1, 'one which runs scripts');

# each of them was run

is(redis($_, 'XLEN', '{cred}:undeployments'), 257, "$_: undeployments")
    for qw(production staging);
is(redis('registry', 'XLEN', '{cred}:audit'), 257, 'registry: deletes');
is(redis('registry', 'KEYS', '{cred}:apinizer:credential:*'), '', 'none is left');

my @operations = redis('registry', 'KEYS', '{cred}:operation:*');
my $receipts = () = join('', map { redis('registry', 'HVALS', $_) } @operations)
               =~ /"state":"undeployed","attempts":1,/g;
is(@operations, 257, 'operations');
is($receipts, 514, 'receipts');



=== TEST 4: one connection for each set of settings that matter to it
--- config
location ~ /one   { cred_delete apinizer; }
location ~ /two   { cred_delete apinizer iam; cred_cascade_timeout 1s; }
location ~ /three { cred_delete apinizer; cred_retry_delay 5s; }
location ~ /four  { cred_delete apinizer; cred_prefix other; }
location ~ /five  { cred_delete apinizer; cred_command_timeout 50s; }
location ~ /six   { cred_delete apinizer; cred_connect_timeout 50s; }
--- script
# the retry of what has another prefix is connected already

credential([qw(one two three five six)]);
answer_is(del($_), $_, everywhere()) for qw(one two three);
is(info($_, 'clients', 'connected_clients'), 2, "$_: one, and this")
    for qw(production staging);
answer_is(del('four'), 'four', failure(401));
is(info('registry', 'clients', 'connected_clients'), 3, 'one of each prefix');
answer_is(del($_), $_, everywhere()) for qw(five six);
is(info('registry', 'clients', 'connected_clients'), 5, 'other timeouts');
is(info($_, 'clients', 'connected_clients'), 4, "$_, too")
    for qw(production staging);



