# What a claim leases it returns, however many environments there are; what it
# keeps, and for how long.

use CredTest;

defaults(http_config => 'cred_registry $TEST_NGINX_REGISTRY;',
         config => 'cred_delete off;');

# What claim.lua returns, how long entries of what is not registered are kept
# (ms) and how environments are to be treated: hashes in their order

sub claims {
    my ($keep, @treat) = @_;
    my @claims;

    my $sock = redis_connect('staging');
    print $sock resp('EVAL', slurp('src/lua/claim.lua'), 1, '{cred}:audit',
                     '{cred}', 60000, 256, $keep, @treat);
    my (undef, @rest) = @{ reply($sock) };

    while (my ($name, $url, $of) = splice @rest, 0, 3) {
        my $each = sub {
            return [ map { $of->[3 * $_ + $_[0]] } 0 .. @$of / 3 - 1 ];
        };
        push @claims, { name => $name, url => $url, members => $each->(0),
                        since => $each->(1), known => $each->(2) };
    }

    return @claims;
}

run_tests();

__DATA__

=== TEST 1: more environments than one claim has room for
--- script
my $script = slurp('src/lua/claim.lua');
redis('staging', 'EVAL', q{
    for i = 1, 1100 do
        redis.call('HSET', KEYS[1] .. ':environments', 'e' .. i, 'unix:/x')
        redis.call('SADD', KEYS[1] .. ':pending', 'e' .. i)
        redis.call('ZADD', KEYS[1] .. ':pending:e' .. i, 1, 'a:s:i:0:0')
    end
}, 1, '{cred}');

my $claims = redis('staging', 'EVAL', $script, 1, '{cred}:audit', '{cred}',
                   4000, 256, 0);
my $returned = () = $claims =~ /a:s:i:0:0/g;
my $leased = redis('staging', 'EVAL', q{
    local n = 0
    for i = 1, 1100 do
        if redis.call('ZSCORE', KEYS[1] .. ':pending:e' .. i, 'a:s:i:0:0')
           ~= '1'
        then
            n = n + 1
        end
    end
    return n
}, 1, '{cred}');

is($leased, $returned, 'leased and returned');
is($returned, 1000, 'as many as there is room for');



=== TEST 2: names of any length get their turn
--- script
my @names = map { 'n' x $_ } 1, 4096, 4097, 100000, 524288;
redis('staging', 'HSET', '{cred}:environments', map { ($_ => 'unix:/x') } @names);
redis('staging', 'SADD', '{cred}:pending', @names);
redis('staging', 'ZADD', "{cred}:pending:$_", 1, 'a:s:i:0:0') for @names;

ok(wait_for(sub {
    my $claims = redis('staging', 'EVAL', slurp('src/lua/claim.lua'), 1,
                       '{cred}:audit', '{cred}', 4000, 256, 0);
    cmp_ok(length $claims, '<', 800000, 'a reply is not too long');
    return !grep { redis('staging', 'ZSCORE', "{cred}:pending:$_", 'a:s:i:0:0') == 1 }
           @names;
}), 'all are claimed');



=== TEST 3: settings of where credentials are deleted, not of the level above
--- http_config
cred_registry $TEST_NGINX_REGISTRY;
--- config
cred_delete off;
location /apiops/ {
    cred_delete       apinizer;
    cred_retry_delay  100ms 200ms;
}
--- registry
HSET {cred}:environments staging $TEST_NGINX_STAGING
HSET {cred}:apinizer:token:sha256(secret) subject alice
HSET {cred}:apinizer:scope:p description orders
HSET {cred}:apinizer:members:p alice manage
HSET {cred}:apinizer:credential:p:c owner alice
--- script
redis('staging', 'SET', '{cred}:apinizer:credentials:p', 'no set');
my $answer = call('DELETE', '/apiops/projects/p/credentials/c/',
                  ['Authorization: Bearer secret']);
like($answer->{body}, qr/Environment refused/, 'refused');

my ($operation) = split /\n/, redis('registry', 'KEYS', '{cred}:operation:*');
ok(wait_for(sub {
    redis('registry', 'HGET', $operation, 'environment:staging')
        =~ /"attempts":(\d+)/ && $1 >= 6;
}, 15), 'six attempts, which would take 31 seconds otherwise');

redis('staging', 'DEL', '{cred}:apinizer:credentials:p');



=== TEST 4: what is not registered is kept for a time, and dropped then
--- script
my $script = slurp('src/lua/claim.lua');

# keeps entries for so many milliseconds

my $claim = sub {
    return join ', ', map { "$_->{name} $_->{url} [@{ $_->{members} }]" }
                      claims(@_);
};

my $member = 'apinizer:p:c:0:' . '0' x 32;
my $unregistered = sub { redis('staging', 'HGETALL', '{cred}:unregistered') };

redis('staging', 'SADD', '{cred}:pending', 'gone', 'empty');
redis('staging', 'ZADD', '{cred}:pending:gone', 1, $member);

is($claim->(60000), 'gone (nil) []', 'at first glance');
like($unregistered->(), qr/^gone \d{13}$/, 'since when');
is(redis('staging', 'SMEMBERS', '{cred}:pending'), 'gone',
   'one that has no entries is forgotten');

is($claim->(60000), 'gone (nil) []', 'and the next time');
is($claim->(60000, 'gone', 'drain'), 'gone (nil) []', 'however it is treated');

# it is registered again: its entries are claimed, and the time begins anew

redis('staging', 'HSET', '{cred}:environments', 'gone', 'unix:/x');
is($claim->(0), "gone unix:/x [$member]", 'claimed');
is($unregistered->(), '', 'registered');
is($claim->(0), 'gone unix:/x []', 'once');
redis('staging', 'HDEL', '{cred}:environments', 'gone');
is($claim->(0), 'gone (nil) []', 'missed once more');

# what is leased is dropped as well

is($claim->(60000), 'gone (nil) []', 'kept');
redis('staging', 'HSET', '{cred}:unregistered', 'gone', (time - 61) * 1000);
is($claim->(60000), "gone (nil) [$member]", 'after its time');
redis('staging', 'ZREM', '{cred}:pending:gone', $member);
is($claim->(60000), '', 'then it is forgotten');
is(redis('staging', 'EXISTS', '{cred}:unregistered', '{cred}:pending'), 0,
   'altogether');



=== TEST 5: all that are registered are returned, whatever is pending
--- script
my $claim = sub {
    return { map { $_->{name} => [@$_{qw(url members)}] } claims(0, @_) };
};

redis('staging', 'HSET', '{cred}:environments', 'a:%', 'unix:/a', 'b', '', 'c',
      'x' x 4096, 'd', 'x' x 4097, 'e', 'x' x 500000, 'n' x 4096, 'unix:/n',
      'n' x 4097, 'unix:/n');
redis('staging', 'SADD', '{cred}:pending', 'a:%', 'd', 'n' x 4097, 'm' x 4097);
redis('staging', 'ZADD', "{cred}:pending:$_", 1, 'a:s:i:0:0')
    for 'a%3A%25', 'd', 'n' x 4097, 'm' x 4097;

is_deeply($claim->(), {
    'a:%' => ['unix:/a', ['a:s:i:0:0']],
    'b' => ['', []],
    'c' => ['x' x 4096, []],
    'd' => ['', ['a:s:i:0:0']],
    'e' => ['', []],
    'n' x 4096 => ['unix:/n', []],
    'n' x 4097 => ['unix:/n', ['a:s:i:0:0']],
    'm' x 4097 => ['(nil)', []],
}, 'long URLs are none, long names are some');
is($claim->('a:%', 'drain', 'd', 'skip')->{'a:%'}[1][0], undef,
   'what is leased is not claimed again');

# what waits for its next attempt, longer than a lease

redis('staging', 'ZADD', '{cred}:pending:a%3A%25', (time + 600) * 1000,
      'a:s:i:0:0');
is($claim->()->{'a:%'}[1][0], undef, 'it waits');
is($claim->('a:%', 'skip')->{'a:%'}[1][0], undef, 'it is skipped');
is($claim->('a:%', 'drain')->{'a:%'}[1][0], 'a:s:i:0:0', 'it is drained');

# more of them than a reply has room for: each has its turn

redis('staging', 'FLUSHALL');
redis('staging', 'EVAL', q{
    for i = 1, 300 do
        redis.call('HSET', KEYS[1] .. ':environments', 'e' .. i,
                   string.rep('x', 4096))
    end
}, 1, '{cred}');
my %seen;
ok(wait_for(sub {
    my $reply = $claim->();
    die 'too long' if keys %$reply > 786432 / 4096 + 1;
    $seen{$_} = 1 for keys %$reply;
    return keys %seen == 300;
}), 'all have been there');



=== TEST 6: the index of operations is trimmed after 7 days
--- script
my $script = slurp('src/lua/claim.lua');
my $claim = sub {
    redis('staging', 'EVAL', $script, 1, '{cred}:audit', '{cred}', 60000, 256, 0);
};
my $operations = sub { redis('staging', 'ZRANGE', '{cred}:operations', 0, -1) };
my $days = sub { (time - $_[0] * 86400) * 1000 };

redis('staging', 'ZADD', '{cred}:operations', $days->(8), 'gone',
      $days->(9), 'kept', $days->(5), 'young', $days->(0), 'new');
redis('staging', 'HSET', '{cred}:operation:kept', 'pending', 1);
$claim->();
is($operations->(), 'kept young new', 'one whose hash is gone goes');
my $score = redis('staging', 'ZSCORE', '{cred}:operations', 'kept');
cmp_ok(abs($score - $days->(6)), '<', 60000, 'one that is there for another day');

redis('staging', 'DEL', '{cred}:operation:kept');
$claim->();
is($operations->(), 'kept young new', 'which is not over');
redis('staging', 'ZADD', '{cred}:operations', $days->(7.01), 'kept');
$claim->();
is($operations->(), 'young new', 'then it goes, too');

# some at a time

redis('staging', 'EVAL', q{
    for i = 1, 500 do
        redis.call('ZADD', KEYS[1] .. ':operations', i, 'old' .. i)
    end
}, 1, '{cred}');
my @left;
while (redis('staging', 'ZCARD', '{cred}:operations') > 2 && @left < 10) {
    $claim->();
    push @left, redis('staging', 'ZCARD', '{cred}:operations');
}
is("@left", '302 102 2', '200 of them');



=== TEST 7: since when entries are pending
--- script
my $since = sub { redis('staging', 'ZRANGE', '{cred}:since:here%3A', 0, -1, 'WITHSCORES') };
my $member = sub { 'apinizer:p:c:0:' . $_[0] x 32 };
redis('staging', 'HSET', '{cred}:environments', 'here:', 'unix:/x');
redis('staging', 'SADD', '{cred}:pending', 'here:');
redis('staging', 'ZADD', '{cred}:pending:here%3A', 1, $member->('a'), 2, $member->('b'),
      3, $member->('c'));
redis('staging', 'ZADD', '{cred}:operations', 1111, 'a' x 32, 2222, 'b' x 32);
redis('staging', 'ZADD', '{cred}:since:here%3A', 333, $member->('b'));

my ($claim) = claims(0);
is_deeply([@{ $claim->{since} }[0, 1]], [1111, 333],
          'since the delete, unless it is known better');
cmp_ok(abs($claim->{since}[2] - time * 1000), '<', 60000, 'or since now');
is($since->(), join(' ', $member->('b'), 333, $member->('a'), 1111, $member->('c'),
                    $claim->{since}[2]), 'which is noted');

redis('staging', 'DEL', '{cred}:pending:here%3A');
claims(0);
is($since->(), '', 'until nothing is pending there');

# it is for people: whatever is in its place changes nothing

redis('staging', 'SADD', '{cred}:pending', 'here:');
redis('staging', 'ZADD', '{cred}:pending:here%3A', 1, $member->('a'));
redis('staging', 'SET', '{cred}:since:here%3A', 'x');
redis('staging', 'ZADD', '{cred}:operations', 1111, 'a' x 32);
($claim) = claims(0);
is("@{ $claim->{members} }", $member->('a'), 'claimed all the same');
is($claim->{since}[0], 1111, 'since the delete');



=== TEST 8: what somebody has taken out leaves nothing behind
--- script
my ($operation, $ack) = ('a' x 32, slurp('src/lua/acknowledge.lua'));
my $member = "apinizer:MyProject:x:0:$operation";
my $late = sub {
    redis('staging', 'EVAL', $ack, 1, '{cred}:audit', '{cred}', 1000, 60000, 1000,
          'here:', $member, 'pending', 'late', 5, '', '', '');
    return redis('staging', 'EXISTS', '{cred}:since:here%3A');
};
is($late->(), 0, 'an attempt that is over later');
redis('staging', 'ZADD', '{cred}:pending:here%3A', 1, $member);
is($late->(), 1, 'unlike one of what is pending');
