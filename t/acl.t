# The ACL lines of doc/security.md are enough, and no more than what is called.

use CredTest;
use CredTest::Delete;
use CredTest::Gateway;

my @lines = slurp('doc/security.md') =~ /^ {4}(ACL SETUSER .*?)\n\n/msg;

# by whom, in which Redis, and what they run besides EVAL and EVALSHA

my %user = (
    registry    => ['registry', qw(acknowledge again claim delete fence survey)],
    environment => ['production', qw(effective gateways stream undeploy)],
    gateway     => ['production', qw(access lease)],
);

my %line;
@line{qw(registry environment gateway)} = @lines;

is(@lines, 3, 'three lines');

for my $who (sort keys %user) {
    my ($redis, @scripts) = @{ $user{$who} };
    my %wanted = map { $_ => 1 } qw(eval evalsha ping role select time);

    $wanted{subscribe} = 1 if $who eq 'gateway';

    for my $script (@scripts) {
        my $text = slurp("src/lua/$script.lua") =~ s/^\s*--.*//gmr;
        $wanted{lc $1} = 1 while $text =~ /(?:call|try)\(\s*'(\w+)'/g;
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

$sample{config} .= ' location = /status { cred_status; }';

defaults(map { $_ => $sample{$_} } qw(http_config config));


# the same data as always, in other databases, and users that may do nothing but
# what that page says; the gateway with other keys, if there are any

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


# what nginx has called since, by itself or in scripts; this test has unix sockets

our @monitors;

sub watch { @monitors = map { monitor($_) } qw(registry production) }

sub called {
    return map { /^\S+ \[\d+ (?:127|lua).*?\] "(.*?)"/ ? lc $1 : () }
           map { $_->() } @monitors;
}


# in the environment or in the registry

sub at {
    my ($name, @command) = @_;

    return redis($name, 'EVAL', 'redis.call("SELECT", ARGV[1]);'
                 . 'return redis.call(unpack(ARGV, 2))', 0,
                 $name eq 'registry' ? 2 : 1, @command);
}


our $revision = 7;

sub deploy {
    $revision = $_[0] if @_;

    my $own = '{cred}:apinizer';
    my $hash = sha256('KEY');

    for my $name (qw(registry production)) {
        at($name, 'HSET', "$own:credential:MyProject:api-user", 'owner',
           'alice', 'keys', $hash, 'revision',
           $name eq 'production' || $revision > 8 ? $revision : 7);
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

# what makes nginx call them, one by one: most of them with each delete

sub cut {
    redis($_->[0], 'CLIENT', 'KILL', 'USER', $_->[1])
        for ['registry', 'cred'], ['production', 'cred'],
            ['production', 'gateway'];
}

my %flow;

%flow = (
    delete => sub { deploy($revision + 1); gate('KEY'); del('api-user') },

    connect => sub { cut(); $flow{delete}->() },

    new => sub {
        redis($_, 'SCRIPT', 'FLUSH') for qw(registry production);
        $flow{delete}->();
    },

    rate => sub {
        at('registry', 'DEL', '{cred}:thousandeyes:rate:MyProject');
        call('POST', '/v6/credentials/1/delete', ['Authorization: Bearer TOKEN']);
    },

    used => sub {
        my $id = '3fa85f64-5717-4562-b3fc-2c963f66afa6';
        at('registry', 'HSET', "{cred}:deepset:credential:MyProject:$id",
           'owner', 'alice');
        call('DELETE', "/api/v1/infrastructure/file_stores/$id",
             ['Authorization: Bearer TOKEN']);
    },

    again => sub {
        redis('production', 'ACL', 'SETUSER', 'cred', 'off');
        redis('production', 'CLIENT', 'KILL', 'USER', 'cred');
        deploy($revision + 1);
        del('api-user') for 1, 2;
        redis('production', 'ACL', 'SETUSER', 'cred', 'on');
    },

    lost => sub {
        at('production', 'DEL', '{cred}:undeployments');
        redis('production', 'CLIENT', 'KILL', 'USER', 'cred');
        $flow{delete}->();
    },

    status => sub {
        call('GET', $_) for '/status', '/status?environment=production';
    },

    full => sub {
        redis_full_disk('production');
        gate('unheard');
        redis_empty_disk('production');
    },

    dead => sub {
        at('production', 'HSET', '{cred}:gateways', 'dead', '100 0-0 0-0 1 0',
           'odd', '100 99999999999999-0 99999999999999-0 1 0');
        $flow{delete}->();
    },
);

my %flow_of = (
    (map { $_ => 'connect' } qw(select subscribe time role)), eval => 'new',
    (map { $_ => 'rate' } qw(expireat incr set ttl)), scard => 'used',
    zscore => 'again',
    (map { $_ => 'lost' } qw(zrevrangebyscore persist xadd info)),
    hdel => 'dead', hset => 'dead', (map { $_ => 'status' } qw(zcard zrange)),
);

my %only = (
    'registry hdel' => 'lost', 'registry hset' => 'delete',
    'registry info' => 'connect', 'registry xadd' => 'delete',
    'registry xrevrange' => 'status',
    'environment info' => 'connect', 'environment xadd' => 'delete',
    'environment xrevrange' => 'connect', 'environment incr' => 'delete', 'gateway hset' => 'delete',
    'gateway info' => 'full',
);

# DECR is called when a reply is full, PING after half a minute: see t/ping.t

my %rare = map { $_ => 1 } qw(decr ping);


# Without this command of its line, somebody is refused.  What the one before
# lacked is given back in the same step, so that nothing goes on in between

my %without;

sub needed {
    my ($who, $command) = @_;

    my ($redis) = @{ $user{$who} };
    my $name = $who eq 'gateway' ? 'gateway' : 'cred';
    my $flow = $only{"$who $command"} // $flow_of{$command} // 'delete';

    redis($redis, 'ACL', 'SETUSER', $name,
          map({ "+$_" } grep { defined } $without{$who}), "-$command");
    redis($redis, 'ACL', 'LOG', 'RESET');
    $without{$who} = $command;

    return wait_for(sub {
        $flow{$flow}->();
        return scalar(redis($redis, 'ACL', 'LOG'))
               =~ /\bobject \Q$command\E username $name /;
    });
}


sub needed_all {
    for my $who (sort keys %user) {
        for my $command (sort $line{$who} =~ /\+(\w+)/g) {
            next if $rare{$command};
            ok(needed($who, $command), "$who: $command");
        }

        redis($user{$who}[0], 'ACL', 'SETUSER',
              $who eq 'gateway' ? $who : 'cred', "+$without{$who}");
    }
}

run_tests();


__DATA__

=== TEST 1: a delete, a newer copy, a dead gateway, lost memory, retries
--- before
set_up();
watch();
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

my %called = map { $_ => 1 } called();
ok($called{$_}, "$_ was seen") for qw(evalsha zrevrangebyscore subscribe);
ok(!$called{config}, 'CONFIG was not');

=== TEST 2: a gateway that may write what it writes, and no more
--- before
set_up('%R~{cred}:* ~{cred}:gateways ~{cred}:none ~{cred}:undeployments');
--- script
is(gate('KEY')->{status}, 200, 'a key passes');
ok(wait_for(sub { gate('KEY')->{headers}{'x-cache'} eq 'HIT' }), 'with a lease');
answer_is(del('api-user'), 'deleted', deleted('production'));
is(gate('KEY')->{status}, 401, 'refused');
is(refused(), '', 'nothing was refused');



=== TEST 3: each of the commands is needed
--- before
set_up();
at('registry', 'SADD', '{cred}:apinizer:environments:MyProject', 'production');

for my $api (qw(thousandeyes deepset)) {
    at('registry', 'HSET', "{cred}:$api:token:" . sha256('TOKEN'),
       'subject', 'alice', 'scope', 'MyProject');
    at('registry', 'HSET', "{cred}:$api:scope:MyProject", 'description', 'x');
    at('registry', 'HSET', "{cred}:$api:members:MyProject", 'alice', 'manage');
}
--- config
location = /status { cred_status; }
cred_delete  apinizer thousandeyes deepset;

location = /page {
    cred_access  apinizer grant=API_PROXY:orders;
    add_header   X-Cache $cred_access_cache always;
    empty_gif;
}
--- script
needed_all();

ok(wait_for(sub {
    deploy($main::revision + 1);
    gate('KEY')->{status} == 200
        && del('api-user')->{body} =~ /Undeployed successfully/;
}), 'with all of them it works');



=== TEST 4: what is lacking is in the error log, once a minute
--- before
set_up();
--- script
sub errors { scalar(() = error_log_text() =~ /\[error\].*$_[0]/g) }
sub tells { my ($text) = @_; wait_for(sub { errors($text) }) }
sub user { redis('registry', 'ACL', 'SETUSER', 'cred', @_) }

# Redis 7.0 does not name the command of a script

my $unnamed = qr/ script (?:.* )?\("ACL LOG" there names what the user lacks,/;

user('-hsetnx');
answer_is(del('api-user'), "refused, $_", failure(503)) for 1 .. 5;
ok(tells(qr/redis refused a command: .*(?:$unnamed|\(the user lacks "\+hsetnx"\))/),
   'in a script');
is(errors('redis refused a command'), 1, 'once');
user('+hsetnx');

user('-evalsha');
answer_is(del('api-user'), 'refused', failure(503));
ok(wait_for(sub {
    error_log_text() =~ /refused a command: NOPERM .* \(the user lacks "\+evalsha"\)/
}), 'by itself');
is(errors('redis refused a command'), 1, 'which is the same');
user('+evalsha');

user('-time');
redis('registry', 'CLIENT', 'KILL', 'USER', 'cred');
ok(tells(qr/redis is down: refused TIME: NOPERM .* 'time' command/), 'at connect');
user('+time');

ok(wait_for(sub { del('api-user')->{status} == 200 }), 'and then it works');



=== TEST 5: cred_registry_wait
--- before
set_up();
redis('registry', 'ACL', 'SETUSER', 'cred', '+wait');
--- config
location /apiops/ { cred_delete apinizer; cred_registry_wait 1 100ms; }
--- script
my $answer = del('api-user');
is($answer->{headers}{'cred-replicas'}, '0/1', 'there is no replica');
is(refused(), '', 'nothing was refused');

redis('registry', 'ACL', 'SETUSER', 'cred', '-wait');
deploy(9);
$answer = del('api-user');
is($answer->{status}, 200, 'deleted all the same');
like(refused(), qr/\bobject wait username cred /, 'which is needed');
ok(wait_for(sub { error_log_text() =~ /refused a command: .*the user lacks "\+wait"/ }),
   'and told of');
