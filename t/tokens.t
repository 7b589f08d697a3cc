
# Who may delete.

use CredTest;
use CredTest::Delete;

defaults(sample());

run_tests();


__DATA__

=== TEST 1: what the client shows
--- script
my $long = 'x' x 7000;
my @before = map { contents($_) } qw(registry production staging);

# most are no token at all, and the registry is not even asked

my @invalid = (
    ['missing'],
    map { ["\"$_\"", "Authorization: $_"] }
        '', ' ', 'Bearer', 'Bearer ', 'TOKEN', 'BearerTOKEN', "Bearer\tTOKEN",
        'Bearer: TOKEN', 'Bearer TOKEN x', 'Bearer TOKEN,TOKEN',
        'Bearer TOKEN, Bearer TOKEN', 'Bearer "TOKEN"', 'Bearer=TOKEN',
        'Basic TOKEN', 'Basic YWxpY2U6VE9LRU4=', 'Bear TOKEN', 'Bearers TOKEN',
        'Bearer token', 'Bearer TOKE', 'Bearer TOKENS', "Bearer \xc3\xbc",
        "Bearer TOKEN\x01", "Bearer TOKEN\x7f", 'Token TOKEN',
        'Digest username="alice"', 'Bearer ' . sha256('TOKEN')
);

push @invalid,
    ['7000 bytes', "Authorization: Bearer $long"],
    ['7000 schemes', "Authorization: $long"],
    ['another header', 'X-Auth-Token: TOKEN'],
    ['a proxy\'s', 'Proxy-Authorization: Bearer TOKEN'],
    ['an underscore', 'Authorization_: Bearer TOKEN'];

for (@invalid) {
    my ($name, @headers) = @$_;
    answer_is(call('DELETE', path(), \@headers), $name, failure(401));
}

# nginx does not even look at these

my $authorization = 'Authorization: Bearer TOKEN';

my @refused = (
    ['repeated', $authorization, $authorization],
    ['repeated, the second is bad', $authorization, 'Authorization: x'],
    ['repeated, the first is bad', 'Authorization: x', $authorization],
    ['a zero byte', "$authorization\0"],
    ['50000 bytes', "Authorization: Bearer $long$long$long$long$long$long"],
);

for (@refused) {
    my ($name, @headers) = @$_;
    is(call('DELETE', path(), \@headers)->{status}, 400, $name);
}

is_deeply([ map { contents($_) } qw(registry production staging) ], \@before,
          'nothing has changed');
is(scalar(audit()), 0, 'nothing in the audit');
--- redis_check
XLEN {cred}:audit:unauthorized => 7



=== TEST 2: schemes are compared without case, around spaces
--- script
credential([1 .. 6]);
my $n = 0;
answer_is(call('DELETE', path(++$n), [$_]), $_, everywhere())
    for 'Authorization: bearer TOKEN', 'AUTHORIZATION: BEARER TOKEN',
        'authorization:bEaReR    TOKEN', 'Authorization:   Bearer TOKEN  ';



=== TEST 3: what the registry knows of a token
--- script
my $time = time;

my @table = (
    # fields of the token, status
    [401],
    [401, subject => ''],
    [401, scope => 'MyProject', roles => 'a'],
    [200, subject => 'alice'],
    [200, subject => 'alice', enabled => 1],
    [401, subject => 'alice', enabled => 0],
    [200, subject => 'alice', expires_at => $time + 600],
    [200, subject => 'alice', expires_at => 32503680000],
    [401, subject => 'alice', expires_at => $time - 1],
    [401, subject => 'alice', expires_at => $time],
    [401, subject => 'alice', expires_at => $time + 600, enabled => 0],
    (map { [401, subject => 'alice', expires_at => $_] }
        0, -1, '', ' ', 'tomorrow', '2999-01-01', 'nan', '1e', '0x'),
);

my $key = '{cred}:apinizer:token:' . sha256('other');

for (@table) {
    my ($status, @fields) = @$_;
    credential('one') if $status == 200;
    redis('registry', 'DEL', $key);
    redis('registry', 'HSET', $key, @fields) if @fields;
    my @wanted = $status == 200 ? everywhere() : failure(401);
    answer_is(del('one', token => 'other'), "@fields", @wanted);
}

# one that is told by how it begins, and one that is no hash

redis('registry', 'DEL', $key);
redis('registry', 'HSET', "{cred}:apinizer:token:other", 'subject', 'alice');
redis('registry', 'HSET', "{cred}:apinizer:token:", 'subject', 'alice');
answer_is(del('one', token => 'other'), 'not by the token itself', failure(401));
redis('registry', 'SET', $key, 'alice');
answer_is(del('one', token => 'other'), 'a string', failure(503));



=== TEST 4: tokens of other APIs
--- registry
HSET {cred}:iam:token:sha256(IAM) subject alice scope MyProject
HSET {cred}:alloy:token:sha256(IAM) subject alice scope MyProject
HSET other:apinizer:token:sha256(IAM) subject alice
HSET {cred}:apinizer:members:MyProject iam manage
--- script
answer_is(del('api-user', token => 'IAM'), 'refused', failure(401));



=== TEST 5: changes count at once
--- script
my $key = '{cred}:apinizer:token:' . sha256('TOKEN');
my $members = '{cred}:apinizer:members:MyProject';
credential([1 .. 3]);
answer_is(del(1), 'valid', everywhere());
redis('registry', 'HSET', $key, 'enabled', 0);
answer_is(del(2), 'disabled', failure(401));
redis('registry', 'HDEL', $key, 'enabled');
redis('registry', 'HSET', $members, 'alice', 'view');
answer_is(del(2), 'may only view', failure(403));
redis('registry', 'HSET', $members, 'alice', 'MANAGE');
answer_is(del(2), 'no such right', failure(403));
redis('registry', 'HDEL', $members, 'alice');
answer_is(del(2), 'no member', failure(404, 'MyProject'));
redis('registry', 'HSET', $members, 'alice', 'manage');
answer_is(del(2), 'as before', everywhere());



=== TEST 6: unauthorized attempts have a stream of their own
--- script
del('api-user', token => "attempt $_") for 1 .. 3;
del('api-user', token => "attempt$_") for 1 .. 3;
my @entries = audit('{cred}:audit:unauthorized');
is_deeply($entries[0], {
    api => 'apinizer', scope => 'MyProject', id => 'api-user', subject => '',
    client => '127.0.0.1', result => 'unauthorized', operation => ''
}, 'an entry');
is(scalar(@entries), 3, 'one for each token');
is(scalar(audit()), 0, 'and none in the audit');



=== TEST 7: only the hash of a token leaves nginx
--- script
my @seen = map { monitor($_) } qw(registry production staging);
del('api-user');
del('api-user', token => 'SECRET');
ok(wait_for(sub { redis('registry', 'XLEN', '{cred}:audit:unauthorized') == 1 }),
   'both have arrived');
my $text = join "\n", map { $_->() } @seen;
like($text, qr/\b\Q$_/, 'a hash') for sha256('TOKEN'), sha256('SECRET');
unlike($text, qr/TOKEN|SECRET/, 'no token');
unlike(error_log_text() . access_log_text() . slurp(temp_dir() . '/nginx.log'),
       qr/TOKEN|SECRET|\Q${\ sha256('TOKEN')}/, 'neither in the logs');



=== TEST 8: callers cannot fill the registry
--- http_config
cred_registry       $TEST_NGINX_REGISTRY;
keepalive_requests  100000;
--- script
# 6,000 refused deletes with long ids, without a token that is known and with
# one, as fast as they go

my $ask = sub {
    my ($token) = @_;
    my $sock = http_open();
    my %statuses;

    for my $n (1 .. 120) {
        my ($answered, $text) = (0, '');

        print $sock map { join "\r\n", 'DELETE '
            . path(sprintf('%06d', 50 * $n + $_) . 'x' x 7894) . ' HTTP/1.1',
            'Host: localhost', "Authorization: Bearer $token", '', '' } 1 .. 50;

        while ($answered < 50) {
            IO::Select->new($sock)->can_read($CredTest::Process::Patience)
                && sysread $sock, $text, 65536, length $text or die 'no answer';
            $statuses{$1}++, $answered++
                while $text =~ s/\A.*?HTTP\S+ (\d+).*?\r\n\r\n//s;
        }
    }

    return join ' ', map { "$_:$statuses{$_}" } sort keys %statuses;
};

my $memory = sub { redis('registry', 'INFO', 'memory') =~ /used_memory:(\d+)/
                   ? $1 : 0 };

my $before = $memory->();
is($ask->('NONE'), '401:6000', 'without one');
cmp_ok($memory->() - $before, '<', 10_000_000, 'memory');

$before = $memory->();
is($ask->('TOKEN'), '400:6000', 'with one');
cmp_ok($memory->() - $before, '<', 10_000_000, 'memory');

my $last = sub {
    my ($stream) = @_;
    my (undef, %entry) = redis('registry', 'XREVRANGE', $stream // '{cred}:audit',
                               '+', '-', 'COUNT', 1);
    return \%entry;
};

my ($mark, $full) = ('x' x 503 . '...', 'y' x 512);
is($last->()->{id}, "006050$mark", 'the audit, with a mark');
is($last->('{cred}:audit:unauthorized')->{id}, "006050$mark",
   'that of the others, too');

# answers are as they were

answer_is(del("$full$full"), 'answered', failure(400, "$full$full"));
is($last->()->{id}, substr($full, 0, 509) . '...', 'cut');
answer_is(del($full), 'answered', failure(400, $full));
is($last->()->{id}, $full, 'whole');
answer_is(del('api-user', project => "$full$full"), 'a project',
          failure(404, "$full$full"));
is($last->()->{scope}, substr($full, 0, 509) . '...', 'cut');

# no other one is found by what is left of it

redis('registry', 'HSET', '{cred}:apinizer:scope:' . substr($full, 0, 509) . '...',
      'a', 'b');
redis('registry', 'HSET', '{cred}:apinizer:members:' . substr($full, 0, 509)
      . '...', 'alice', 'manage');
credential(substr($full, 0, 509) . '...');
answer_is(del('api-user', project => "$full$full"), 'another project',
          failure(404, "$full$full"));
answer_is(del("$full$full"), 'another credential', failure(400, "$full$full"));
