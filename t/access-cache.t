# What a gateway remembers, how long, and how much of it.

use CredTest;
use CredTest::Delete;
use CredTest::Gateway;

defaults(gateway(http => 'keepalive_requests 1000000;'));

our $own = '{cred}:apinizer';

# the answers to many keys, in their order, each "200 HIT" or the like, by one
# connection

sub many {
    my ($path, @keys) = @_;

    my $sock = http_open();
    my ($text, @seen) = ('');

    while (my @some = splice @keys, 0, 100) {
        my $n = @seen + @some;
        print $sock map { "GET $path HTTP/1.1\r\nHost: a\r\n"
                          . "X-API-Key: $_\r\n\r\n" } @some;

        while (@seen < $n) {
            IO::Select->new($sock)->can_read($CredTest::Process::Patience)
                && sysread $sock, $text, 65536, length $text or die 'no answer';

            while ($text =~ s{\A(?:GIF.{40}|<html>.*?</html>\r\n)?
                              HTTP\S+\ (\d+)(.*?)\r\n\r\n}{}sx)
            {
                my ($status, $headers) = ($1, $2);
                push @seen, join ' ', $status, $headers =~ /X-Cache: (\w+)/;
            }
        }
    }

    return @seen;
}

# how often there is what

sub counts {
    my %n;
    $n{$_}++ for @_;
    return join ', ', map { "$n{$_} x $_" } sort keys %n;
}

# calls of access.lua since, by the keys that were asked for

sub lookups {
    my ($monitor, $key) = @_;
    my $hash = sha256($key);
    return scalar grep { /"EVAL(?:SHA)?" / && /$hash/ } $monitor->();
}

run_tests();


__DATA__

=== TEST 1: by default
--- script
ok(leased(), 'there is a lease');
my ($is) = values %{ { gateways() } };
is($is->{lease}, 2000, 'of two seconds');
is_deeply([ many('/page', qw(KEY KEY none none)) ],
          ['200 MISS', '200 HIT', '401 MISS', '401 HIT'], 'answers');



=== TEST 2: a cached key is used for so long
--- http_config
cred_registry      $TEST_NGINX_REGISTRY;
cred_environment   $TEST_NGINX_PRODUCTION;
cred_access_valid  600ms missing=0;
cred_access_lease  1h;
--- script
ok(leased(), 'there is a lease');
is(seen('KEY'), '200 MISS', 'it passes');
my (%seen, @late);

redis('production', 'HSET', "$::own:credential:MyProject:api-user", 'enabled', 0);
my $end = Time::HiRes::time() + 0.6;

wait_for(sub {
    my $start = Time::HiRes::time();
    my $is = seen('KEY');
    $seen{$is}++;
    push @late, $is if $start >= $end && $is ne '401 MISS';
    return $is eq '401 MISS';
});

is("@late", '', 'no longer');
delete $seen{'200 HIT'};
is_deeply(\%seen, { '401 MISS' => 1 }, 'then it is looked up');

# that it is unknown is not remembered

redis('production', 'HDEL', "$::own:credential:MyProject:api-user", 'enabled');
is(seen('KEY'), '200 MISS', 'it is known again');



=== TEST 3: that a key is unknown is remembered for so long
--- http_config
cred_registry      $TEST_NGINX_REGISTRY;
cred_environment   $TEST_NGINX_PRODUCTION;
cred_access_lease  1h;
cred_access_valid  0 missing=600ms;
--- script
is(seen('new'), '401 MISS', 'unknown');
key('new');
my (%seen, @late);
my $end = Time::HiRes::time() + 0.6;

wait_for(sub {
    my $start = Time::HiRes::time();
    my $is = seen('new');
    $seen{$is}++;
    push @late, $is if $start >= $end && $is ne '200 MISS';
    return $is =~ /200/;
});

is("@late", '', 'no longer');
delete $seen{'401 HIT'};
is_deeply(\%seen, { '200 MISS' => 1 }, 'then it is looked up');
is_deeply([ many('/page', ('new') x 3) ], [('200 MISS') x 3], 'valid 0');



=== TEST 4: each place has times of its own
--- http_config
cred_registry      $TEST_NGINX_REGISTRY;
cred_environment   $TEST_NGINX_PRODUCTION;
cred_access_lease  1h;
cred_access_valid  1h missing=1h;
--- config
add_header  X-Cache $cred_access_cache always;
location = /long   { cred_access apinizer; empty_gif; }
location = /short  { cred_access apinizer; cred_access_valid 0 missing=0; empty_gif; }
location = /known  { cred_access apinizer; cred_access_valid 1h missing=0; empty_gif; }
location = /half   { cred_access apinizer; cred_access_valid 0; empty_gif; }
--- script
ok(leased(), 'there is a lease');

for ('200 KEY', '401 none') {
    my ($status, $key) = split;
    is(seen($key, path => '/long'), "$status MISS", "$key: long");
    is(seen($key, path => '/long'), "$status HIT", "$key: long");
    is(seen($key, path => '/short'), "$status MISS", "$key: short");
    is(seen($key, path => '/short'), "$status MISS", "$key: short");
    is(seen($key, path => '/long'), "$status HIT", "$key: long");
    my $is = $status == 200 ? 'HIT' : 'MISS';
    is(seen($key, path => '/known'), "$status $is", "$key: only if known");
}

is(seen('KEY', path => '/half'), '200 MISS', 'without "missing"');
ok(wait_for(sub { seen('none', path => '/half') eq '401 HIT' }), 'it is a second');



=== TEST 5: with a lease Redis is not asked
--- http_config
cred_registry      $TEST_NGINX_REGISTRY;
cred_environment   $TEST_NGINX_PRODUCTION;
cred_access_lease  1h;
cred_access_valid  1h missing=1h;
--- script
ok(leased(), 'there is a lease');
is_deeply([ many('/page', qw(KEY none)) ], ['200 MISS', '401 MISS'], 'asked');
my $monitor = monitor('production');
is(counts(many('/page', ('KEY', 'none') x 100)), '100 x 200 HIT, 100 x 401 HIT',
   'not asked');
is(lookups($monitor, $_), 0, "$_: no lookup") for qw(KEY none);
redis_pause('production');
is(counts(many('/page', ('KEY', 'none') x 100)), '100 x 200 HIT, 100 x 401 HIT',
   'nor when it says nothing');
redis_resume('production');



=== TEST 6: one lookup for all who ask at once
--- http_config
cred_registry         $TEST_NGINX_REGISTRY;
cred_environment      $TEST_NGINX_PRODUCTION;
cred_access_lease     1h;
cred_command_timeout  60s;
log_format  pid  '$pid';
access_log  $TEST_NGINX_DIR/clients.log pid;
--- config
add_header  X-Cache $cred_access_cache always;
location = /page     { cred_access apinizer; empty_gif; }
location = /granted  { cred_access apinizer grant=API_PROXY:orders; empty_gif; }
--- script
is(seen('none'), '401 MISS', 'the script is known');
my $monitor = monitor('production');
redis_pause('production');

my $ask = sub {
    my ($path, $key) = @_;
    my $sock = http_open();
    print $sock "GET $path HTTP/1.1\r\nHost: a\r\nX-API-Key: $key\r\n\r\n";
    return $sock;
};

my @socks = map { $ask->('/page', 'KEY') } 1 .. 64;
my @granted = map { $ask->('/granted', 'KEY') } 1 .. 16;
my @others = map { $ask->('/page', "none$_") } 1 .. 16;

# by what it is asked later they are all there

ok(wait_for(sub {
    my @queues = map { (split)[4] // '' } grep { /\Q:@{[ sprintf '%04X',
        $ENV{TEST_NGINX_PORT} ]}\E \w+:\w+ \w\w/ } split /\n/, slurp('/proc/net/tcp');
    return !grep { !/:0+$/ } @queues;
}), 'all requests are read');
redis_resume('production');

is(counts(map { http_parse(http_read($_))->{status} } @socks), '64 x 200', 'all pass');
is(counts(map { http_parse(http_read($_))->{status} } @granted), '16 x 200',
   'with a grant, too');
is(counts(map { http_parse(http_read($_))->{status} } @others), '16 x 401',
   'others do not');

# the grant is another question

is(lookups($monitor, 'KEY'), 2, 'two calls');
my @questions = map { /"\Q${\ sha256('KEY')}\E" ("[^"]*")/g }
                grep { /"EVALSHA" / } $monitor->();
is(join(' ', sort @questions), '"" "API_PROXY:orders"', 'one for each question');



=== TEST 7: two environments
--- config
add_header  X-Cache $cred_access_cache always;
location /apiops/  { cred_delete apinizer; }
location = /page   { cred_access apinizer; empty_gif; }
location = /other  {
    cred_environment   $TEST_NGINX_STAGING;
    cred_access        apinizer;
    cred_access_lease  1s;
    empty_gif;
}
--- script
redis('staging', 'DEL', key_entry('KEY'));
credential('both');

for my $name (qw(production staging)) {
    redis($name, 'HSET', "$::own:credential:MyProject:both", 'keys', sha256('BOTH'));
    redis($name, 'SET', key_entry('BOTH'), 'MyProject:both');
    redis($name, 'XADD', '{cred}:undeployments', '*', 'a', 'b');
    ok(leased($name), "there is a lease in $name");
}

my %is = (gateways('production'), gateways('staging'));
is(keys %is, 2, 'two names');
is_deeply([ sort map { $_->{lease} } values %is ], [1000, 2000], 'two leases');

is(seen('KEY'), '200 MISS', 'known here');
is(seen('KEY', path => '/other'), '401 MISS', 'and not there');
is(seen('BOTH', path => $_), '200 MISS', "both: $_") for qw(/page /other);

redis('registry', 'SADD', "$::own:environments:MyProject", 'staging');
answer_is(del('both'), 'deleted there', deleted('staging'));
is(gate('BOTH', path => '/other')->{status}, 401, 'refused there');
is(gate('BOTH')->{status}, 200, 'not here');
redis('production', 'DEL', '{cred}:undeployments');
ok(leased('production'), 'all is forgotten here');
is(gate('BOTH')->{status}, 200, 'and looked up');



=== TEST 8: the shortest lease of one environment counts
--- http_config
cred_environment   $TEST_NGINX_PRODUCTION;
cred_access_lease  5s;
--- config
location = /page   { cred_access apinizer; empty_gif; }
location = /short  { cred_access apinizer; cred_access_lease 300ms; empty_gif; }
location = /long   { cred_access apinizer; cred_access_lease 1h; empty_gif; }
location = /off    { cred_access off; cred_access_lease 100ms; empty_gif; }

# other settings of the connection, and another way to write it

location = /times  {
    cred_access           apinizer;
    cred_access_lease     400ms;
    cred_command_timeout  2s;
    empty_gif;
}
--- script
ok(leased(), 'one gateway');
my ($is) = values %{ { gateways() } };
is($is->{lease}, 300, 'the shortest lease');
is(seen('KEY', path => $_), '200', $_) for qw(/page /short /long /times);
redis('production', 'XADD', '{cred}:undeployments', '*', 'a', 'b');
ok(leased(), 'it is one still');



=== TEST 9: one Redis by several names
--- http_config
cred_registry     $TEST_NGINX_REGISTRY;
--- config
add_header  X-Cache $cred_access_cache always;
location /apiops/  { cred_delete apinizer; }
location = /socket {
    cred_environment   $TEST_NGINX_PRODUCTION;
    cred_access        apinizer;
    cred_access_lease  900ms;
    empty_gif;
}
location = /tcp {
    cred_environment   $TEST_NGINX_PRODUCTION_TCP;
    cred_access        apinizer;
    cred_access_lease  800ms;
    empty_gif;
}

# the same host, port, database and prefix

location = /slash {
    cred_environment   "$TEST_NGINX_PRODUCTION_TCP/?prefix={cred}";
    cred_access        apinizer;
    cred_access_lease  700ms;
    empty_gif;
}
location = /prefix {
    cred_environment   $TEST_NGINX_PRODUCTION?prefix=other;
    cred_access        apinizer;
    empty_gif;
}
location = /db {
    cred_environment   $TEST_NGINX_PRODUCTION_TCP/3;
    cred_access        apinizer;
    empty_gif;
}
--- script
redis('production', 'XADD', '{cred}:undeployments', '*', 'a', 'b');
ok(leased(undef, 2), 'two gateways');
is_deeply([ sort map { $_->{lease} } values %{ { gateways() } } ], [700, 900],
          'with their leases');
is(redis('production', 'HLEN', 'other:gateways'), 1, 'one of another prefix');

for (qw(/socket /tcp)) {
    is(seen('KEY', path => $_), '200 MISS', $_);
    ok(wait_for(sub { seen('KEY', path => $_) eq '200 HIT' }), "$_ again");
}
ok(wait_for(sub { seen('KEY', path => '/slash') eq '200 HIT' }), '/slash, too');
is(seen('KEY', path => '/prefix'), '401 MISS', 'another prefix');
is(seen('KEY', path => '/db'), '401 MISS', 'another database');

answer_is(del('api-user'), 'deleted', everywhere());
is(gate('KEY', path => $_)->{status}, 401, $_) for qw(/socket /tcp /slash);



=== TEST 10: a full zone: the least recently used leave it, nobody is refused
--- http_config
cred_registry       $TEST_NGINX_REGISTRY;
cred_environment    $TEST_NGINX_PRODUCTION;
keepalive_requests  1000000;
cred_access_zone    small 1m;
cred_access_lease   1h;
cred_access_valid   1h missing=1h;
--- script
ok(leased(), 'there is a lease');
my @keys = map { "key$_" } 1 .. 6000;
key(@keys);
is(seen('KEY'), '200 MISS', 'one that is used all the time');

# unknown ones leave first

is(counts(many('/page', 'key1', map { "none$_" } 1 .. 8000)),
   '1 x 200 MISS, 8000 x 401 MISS', 'unknown keys');
is(seen('KEY'), '200 HIT', 'a known one stays');
is(seen('key1'), '200 HIT', 'and another one');
is(seen('none8000'), '401 HIT', 'the last unknown one is there');
is(seen('none1'), '401 MISS', 'the first is not');

# more known ones than there is room for

my (@seen, %used);

for my $i (0 .. 59) {
    push @seen, many('/page', @keys[100 * $i .. 100 * $i + 99]);
    $used{ seen('KEY') }++;
}

is(counts(@seen), '1 x 200 HIT, 5999 x 200 MISS', 'all pass');
is_deeply(\%used, { '200 HIT' => 60 }, 'the one in use is there all the time');
is(counts(many('/page', reverse @keys[-300 .. -1])), '300 x 200 HIT',
   'the last ones are there');
is(counts(many('/page', @keys[0 .. 299])), '300 x 200 MISS',
   'the first ones are not');
is(scalar(() = slurp(temp_dir() . '/nginx.log') =~ /cred_access_zone "small" is full/g), 1,
   'it is logged once');



=== TEST 11: long names
--- http_config
cred_registry       $TEST_NGINX_REGISTRY;
cred_environment    $TEST_NGINX_PRODUCTION;
keepalive_requests  1000000;
cred_access_zone    small 1m;
cred_access_lease   1h;
cred_access_valid   1h missing=1h;
--- script
redis('production', 'XADD', '{cred}:undeployments', '*', 'a', 'b');
ok(leased(), 'there is a lease');

# of 2 to 3070 bytes as they are kept; more than there is room for

my @names = map {
    my $n = 2 * $_;
    my ($scope, $id) = map { substr "$n" . $_ x 512, 0, 1 + $n * 3 % 512 } ':', '%';
    [$scope, $id];
} 1 .. 300;
my @keys = map { "long$_" } 0 .. $#names;

for my $n (0 .. $#names) {
    my $pointer = join ':', map { s/([%:])/sprintf '%%%02X', ord $1/egr } @{ $names[$n] };
    redis('production', 'HSET', "$::own:credential:$pointer", 'keys', sha256($keys[$n]));
    redis('production', 'SET', key_entry($keys[$n]), $pointer);
}

my ($wrong, %seen) = (0);

for my $n (0 .. $#names, reverse 0 .. $#names) {
    my $got = gate($keys[$n]);
    $seen{"$got->{status} $got->{headers}{'x-cache'}"}++;
    $wrong++ unless $got->{headers}{'x-scope'} eq $names[$n][0]
                    && $got->{headers}{'x-id'} eq $names[$n][1];
}

is($wrong, 0, 'all names are right');
cmp_ok($seen{'200 HIT'}, '>', 100, 'those that were kept');
cmp_ok($seen{'200 MISS'}, '>', 300, 'and those that were not');
is($seen{'200 HIT'} + $seen{'200 MISS'}, 600, 'and no others');
ok(wait_for(sub { slurp(temp_dir() . '/nginx.log') =~ /is full/ }), 'it is full');
is(seen('KEY'), '200 MISS', 'others go on');
is(seen('KEY'), '200 HIT', 'and are kept');
answer_is(del('api-user'), 'deleted', everywhere());
is(seen('KEY'), '401 MISS', 'and refused');



=== TEST 12: reload
--- http_config
cred_registry      $TEST_NGINX_REGISTRY;
cred_environment   $TEST_NGINX_PRODUCTION;
cred_access_zone   cache 1m;
cred_access_lease  3s;
cred_command_timeout  60s;
cred_cascade_timeout  60s;
cred_access_valid  1h missing=1h;
--- script
my $file = temp_dir() . '/nginx/conf/nginx.conf';
my $reload = sub {
    my ($from, $to) = @_;
    my $text = slurp($file);
    $text =~ s/\Q$from/$to/ or die $from;
    open my $out, '>', $file;
    print $out $text;
    close $out;
    my @old = nginx_workers();
    nginx_reload();
    return wait_for(sub { !grep { running($_) } @old });
};

redis('production', 'XADD', '{cred}:undeployments', '*', 'a', 'b');
ok(leased(), 'there is a lease');
is(seen('KEY'), '200 MISS', 'known');
my ($name) = keys %{ { gateways() } };

ok($reload->('cache 1m', 'cache 1m'), 'the same again');
ok(leased(), 'one gateway');
is((keys %{ { gateways() } })[0], $name, 'of the same name');
is(seen('KEY'), '200 HIT', 'the cache is there');

ok($reload->('cache 1m', 'cache 2m'), 'another size');
ok(wait_for(sub { 2 == (() = keys %{ { gateways() } }) }), 'another gateway');
is(gate('KEY')->{status}, 200, 'passes');
ok(wait_for(sub { seen('KEY') eq '200 HIT' }), 'and is kept');
answer_is(del('api-user'), 'the one that is gone is outwaited', everywhere());
is(seen('KEY'), '401 MISS', 'refused');
my @names = keys %{ { gateways() } };
is(@names, 1, 'and taken out');
isnt($names[0], $name, 'by its name');

ok($reload->('cache 2m', 'renamed 2m'), 'another name');
ok(wait_for(sub { 2 == (() = keys %{ { gateways() } }) }), 'is another gateway');
is(gate('KEY')->{status}, 401, 'refused still');

ok($reload->('cred_access apinizer', 'cred_access off'), 'off');
is(gate('none')->{status}, 200, 'open to all');
