# What a claim leases it returns, however many environments there are.

use CredTest;

defaults(http_config => 'cred_registry $TEST_NGINX_REGISTRY;',
         config => 'cred_delete off;');

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
                   4000, 256);
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

=== TEST 2: settings of where credentials are deleted, not of the level above
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
