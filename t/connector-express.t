# A real Express Gateway as an environment: a key is taken back, and refused from
# then on.

use lib 't/lib';
use CredTest::ExpressGateway;

BEGIN {
    require Test::More;

    my ($lacks) = CredTest::ExpressGateway->lacks;

    Test::More::plan(skip_all => "no $lacks: make connectors") if $lacks;
}

use CredTest redis => ['registry', 'gateway'];
use CredTest::Connector;
use CredTest::Delete;
use CredTest::Target;

our ($Express, %Id, %Key);

defaults(connected('express', http => <<'END'));
cred_connect_timeout  1s;
cred_retry_delay      100ms 200ms;

cred_connector express {
    url      http://127.0.0.1:$TEST_NGINX_EXPRESS;
    request  PUT '/credentials/key-auth/{target}/status';
    body     '{"status":false}';
    success  200 '"Deactivated"';
    gone     200 '"Inactive"';
    gone     404 'No credential found with id';
    timeout  1s;
}
END


# one with a key for each of these names; nginx finds it at this port

sub express {
    my (@names) = @_;

    $Express = CredTest::ExpressGateway->start('gateway');
    $Express->user('alice');
    @Id{@names} = @Key{@names} = ();
    ($Id{$_}, $Key{$_}) = $Express->key('alice') for @names;
    $ENV{TEST_NGINX_EXPRESS} = $Express->port;
}

# what it lets in ends at a page that is not there

sub page { $Express->page($Key{$_[0]}) }

run_tests();


__DATA__

=== TEST 1: taken back, and refused from then on
--- before
express(qw(one other));
--- script
is(page('one'), 404, 'let in');
known('one', $::Id{one});
is_done(my $answer = del('one'));
is(page('one'), 401, 'refused');
is(page('other'), 404, 'the other one is let in');
is($::Express->is_active($::Id{one}), 0, 'it is not active');
comes_to($answer, 'undeployed');
ok(settled(), 'nothing is left');

# once more, and what was never there

known('two', $::Id{one});
is_done($answer = del('two'), 'absent');
comes_to($answer, 'not_deployed');

known('three', 'none');
is_done($answer = del('three'), 'absent');
comes_to($answer, 'not_deployed');

is(page('other'), 404, 'the other one is let in still');



=== TEST 2: stopped, and back
--- before
express('one');
--- script
known('one', $::Id{one});
$::Express->stop;
is_pending(my $answer = del('one'), 'unreachable', qr/refused/);
$::Express->run;
comes_to($answer, 'undeployed');
is(page('one'), 401, 'refused');



=== TEST 3: its Redis is away, and it says nothing at all
--- before
express('one');
--- script
known('one', $::Id{one});
redis_pause('gateway');
is_pending(my $answer = del('one'), 'late', qr/time/);
redis_resume('gateway');
comes_to($answer, 'undeployed');
is(page('one'), 401, 'refused');
ok(settled(), 'nothing is left');



=== TEST 4: another path, which has a 404 of its own
--- before
express('one');
--- http_config
cred_registry     $TEST_NGINX_REGISTRY;
cred_retry_delay  100ms 200ms;
cred_connector express {
    url      http://127.0.0.1:$TEST_NGINX_EXPRESS;
    request  DELETE '/credentials/key-auth/{target}';
    success  200;
    gone     404 'No credential found with id';
}
--- script
known('one', $::Id{one});
is_pending(del('one'), 'refused', qr/404/);
is(page('one'), 404, 'let in');



=== TEST 5: idle until it closes the connection
--- before
express(qw(one two));
--- script
known($_, $::Id{$_}) for qw(one two);
is_done(del('one'));

# it keeps connections for five seconds

our $port = sprintf '%04X', $::Express->port;
ok(wait_for(sub {
    !grep { /^\s*\d+: \w+:\w+ \w+:$::port 01 / } split /\n/, slurp('/proc/net/tcp')
}), 'closed');
is_done(del('two'));
is(page($_), 401, "$_ is refused") for qw(one two);
