# The IAM SDK for Node, unchanged, deletes access keys and reports what is wrong
# with the messages of the contract.

BEGIN {
    require Test::More;

    # what it needs is installed once, in the folder of the build

    my $dir = 'build/sdk';
    my $log = "$dir/npm.log";

    Test::More::plan(skip_all => 'there is no npm and node')
        if system('command -v npm node > /dev/null 2>&1');

    system("mkdir -p $dir");

    if (system("cmp -s t/sdk/package.json $dir/installed.json")) {
        system("cp t/sdk/package.json $dir/package.json");

        if (system("cd $dir && timeout 120 npm install --ignore-scripts "
                   . '--no-package-lock --no-audit --no-fund '
                   . '--fetch-retries=1 --fetch-retry-mintimeout=1000 '
                   . '> npm.log 2>&1'))
        {
            my ($code) = `cat $log` =~ /^npm \S+ code (\S+)/m;
            Test::More::plan(skip_all => 'npm cannot install the SDK: '
                                         . ($code // "see $log"));
        }

        system("cp t/sdk/package.json $dir/installed.json");
    }
}

use CredTest redis => ['registry', 'production'];
use Cwd ();
use JSON::PP ();

sub sdk {
    my ($token, $key) = @_;

    local $ENV{NODE_PATH} = Cwd::abs_path('build/sdk/node_modules');
    local $ENV{HOME} = temp_dir();
    delete local @ENV{qw(http_proxy HTTP_PROXY all_proxy ALL_PROXY)};

    open my $out, '-|', 'timeout', 30, 'node', 't/sdk/delete-access-key.js',
         "http://127.0.0.1:$ENV{TEST_NGINX_PORT}", $token, $key
        or die "node: $!";

    # the SDK logs on the same way

    my @lines = <$out>;
    return eval { JSON::PP::decode_json($lines[-1]) } // { output => "@lines" };
}

# a fault as the SDK reports it

sub is_fault {
    my ($name, $got, $class, $status, $message) = @_;

    like(delete $got->{request}, qr/^[0-9a-f]{32}$/, "$name: a request id");
    is_deeply($got, { name => $class, status => $status, code => $status,
                      message => $message }, $name);
}

run_tests();

__DATA__

=== TEST 1: deletePermanentAccessKey()
--- config
cred_registry  $TEST_NGINX_REGISTRY;
cred_delete    iam;
--- registry
HSET {cred}:environments production $TEST_NGINX_PRODUCTION
HSET {cred}:iam:token:sha256(alice) subject alice scope domain-1
SADD {cred}:iam:credentials:domain-1 AK1 AK2
HSET {cred}:iam:credential:domain-1:AK1 owner alice
HSET {cred}:iam:credential:domain-1:AK2 owner bob
--- production
HSET {cred}:iam:credential:domain-1:AK1 owner alice
--- script
is_deeply(sdk('alice', 'AK1'), { status => 204 }, 'deleted');

is_fault('unknown', sdk('alice', 'AK1'), 'ClientRequestException', 404,
         'Could not find credential: AK1');
is_fault('a bad token', sdk('mallory', 'AK2'), 'ClientRequestException', 401,
         'The request you have made requires authentication.');
is_fault('the key of another user', sdk('alice', 'AK2'),
         'ClientRequestException', 403, 'Policy doesn\'t allow '
         . 'iam:credentials:deleteCredential to be performed.');
is_fault('a malformed key', sdk('alice', 'A-1'), 'ClientRequestException', 400,
         'Request parameter \'access_key\' is invalid.');

redis_stop('registry');

is_fault('unreachable', sdk('alice', 'AK2'), 'ServerResponseException', 500,
         'An unexpected error prevented the server from fulfilling your '
         . 'request.');

redis_start('registry');
--- redis_check
production: KEYS * =~ ^\{cred\}:connection:\w+ \{cred\}:iam:tombstone:domain-1:AK1 \{cred\}:undeployments$
