# The ACL lines of README are enough, and no more than the scripts take.

use CredTest;
use CredTest::Delete;
use CredTest::Gateway;

my @lines = slurp('README.md') =~ /^ {4}(ACL SETUSER .*?)\n\n/msg;

# by whom, in which Redis, and what they run besides EVAL and EVALSHA

my %user = (
    registry    => ['registry', qw(acknowledge again claim delete)],
    environment => ['production', qw(effective stream undeploy)],
    gateway     => ['production', qw(access lease)],
);

my %line;
@line{qw(registry environment gateway)} = @lines;

is(@lines, 3, 'three lines');

for my $who (sort keys %user) {
    my ($redis, @scripts) = @{ $user{$who} };
    my %wanted = map { $_ => 1 } qw(eval evalsha select time);

    $wanted{subscribe} = 1 if $who eq 'gateway';

    for my $script (@scripts) {
        my $text = slurp("src/lua/$script.lua") =~ s/^\s*--.*//gmr;
        $wanted{lc $1} = 1 while $text =~ /call\(\s*'(\w+)'/g;
    }

    is(join(' ', sort $line{$who} =~ /\+(\w+)/g), join(' ', sort keys %wanted),
       "$who: what the scripts call");
}


my %sample = gateway(
    access => 'cred_access apinizer grant=API_PROXY:orders;');

$sample{http_config} = <<'END';
cred_registry      redis://cred:SECRET@127.0.0.1:$TEST_NGINX_REGISTRY_PORT/2;
cred_environment   redis://gateway:SECRET@127.0.0.1:$TEST_NGINX_PRODUCTION_PORT/1;
cred_retry_delay   100ms;
cred_access_lease  300ms;
END

defaults(map { $_ => $sample{$_} } qw(http_config config));


# the same data as always, in other databases, and users that may do nothing but
# what README says; the gateway with other keys, if there are any

sub set_up {
    my ($keys) = @_;

    for (['registry', 2], ['production', 1]) {
        my ($name, $db) = @$_;
        my @words = map { s/\$TEST_NGINX_PRODUCTION\b/'redis:\/\/cred:SECRET@'
                         . "127.0.0.1:$ENV{TEST_NGINX_PRODUCTION_PORT}\/1"/er }
                    grep { !/staging/ } split /\n/, $sample{$name};

        # each of these commands has a connection of its own, to database 0

        is_deeply([ redis_load($name, join "\n", @words) ], [], "$name: data");
        is(redis($name, 'SWAPDB', 0, $db), 'OK', "$name: database");
    }

    for my $who (sort keys %user) {
        my $line = $line{$who};
        $line =~ s/~\S+/$keys/ if $keys && $who eq 'gateway';
        is(redis($user{$who}[0], split ' ', $line), 'OK', "$who: $line");
    }
}


sub refused {
    return join ' ', map { redis($_, 'ACL', 'LOG') } qw(registry production);
}


# in the environment or in the registry

sub at {
    my ($name, @command) = @_;

    return redis($name, 'EVAL', 'redis.call("SELECT", ARGV[1]);'
                 . 'return redis.call(unpack(ARGV, 2))', 0,
                 $name eq 'registry' ? 2 : 1, @command);
}


sub deploy {
    my ($revision) = @_;

    my $own = '{cred}:apinizer';
    my $hash = sha256('KEY');

    for my $name (qw(registry production)) {
        at($name, 'HSET', "$own:credential:MyProject:api-user", 'owner',
           'alice', 'keys', $hash, 'revision',
           $name eq 'production' ? $revision : 7);
        at($name, 'SADD', "$own:grants:MyProject:api-user", 'API_PROXY:orders');
        at($name, 'SET', "$own:key:$hash", 'MyProject:api-user');
    }
}


sub state_is {
    my ($answer, $state) = @_;

    return wait_for(sub {
        my $receipt = at('registry', 'HGET',
                         '{cred}:operation:' . operation($answer),
                         'environment:production');
        return $receipt =~ /"state":"$state"/;
    });
}

run_tests();


__DATA__

=== TEST 1: a delete, a newer copy, a dead gateway, lost memory, retries
--- before
set_up();
--- script
is(gate('KEY')->{status}, 200, 'a key passes');
ok(wait_for(sub { gate('KEY')->{headers}{'x-cache'} eq 'HIT' }), 'with a lease');

answer_is(del('api-user'), 'deleted', deleted('production'));
is(gate('KEY')->{status}, 401, 'refused');

deploy(8);
answer_is(del('api-user'), 'newer', pending(production => 'superseded'));

deploy(7);
at('production', 'HSET', '{cred}:gateways', 'dead', '500 0-0 0-0 1 0');
answer_is(del('api-user'), 'a dead gateway', deleted('production'));
is(at('production', 'HEXISTS', '{cred}:gateways', 'dead'), 0, 'taken out');

# away, told to another one, and without its memory

redis('production', 'ACL', 'SETUSER', 'cred', 'off');
redis('production', 'CLIENT', 'KILL', 'USER', 'cred');
deploy(7);
my $answer = del('api-user');
is($answer->{headers}{'cred-pending'}, 'production', 'pending');
redis('production', 'ACL', 'SETUSER', 'cred', 'on');
ok(state_is($answer, 'undeployed'), 'retried');

redis('production', 'ACL', 'LOG', 'RESET');
redis('production', 'FLUSHALL');
redis('production', 'CLIENT', 'KILL', 'USER', 'cred');
ok(state_is($answer, 'not_deployed'), 'told again');

is(refused(), '', 'nothing was refused');

=== TEST 2: a gateway that may write what it writes, and no more
--- before
set_up('%R~{cred}:* ~{cred}:gateways ~{cred}:none ~{cred}:undeployments');
--- script
is(gate('KEY')->{status}, 200, 'a key passes');
ok(wait_for(sub { gate('KEY')->{headers}{'x-cache'} eq 'HIT' }), 'with a lease');
answer_is(del('api-user'), 'deleted', deleted('production'));
is(gate('KEY')->{status}, 401, 'refused');
is(refused(), '', 'nothing was refused');
