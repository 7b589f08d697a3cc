# A real Caddy as an environment: an account leaves it by its "@id".

use lib 't/lib';
use CredTest::Caddy;

BEGIN {
    require Test::More;

    Test::More::plan(skip_all => 'no caddy: util/install-deps connectors')
        if CredTest::Caddy->lacks;
}

use CredTest redis => ['registry'];
use CredTest::Connector;
use CredTest::Delete;
use CredTest::Target;

our $Caddy;

defaults(connected('caddy', target => 'id-api-user', http => <<'END'));
cred_connect_timeout  1s;
cred_retry_delay      100ms 200ms;

cred_connector caddy {
    preset  caddy;
    url     http://127.0.0.1:$TEST_NGINX_CADDY;
}
END


# one with these accounts, whose passwords are their names in capitals; nginx
# finds it at this port

sub caddy {
    my (@names) = @_;
    $Caddy = CredTest::Caddy->start(accounts => { map { $_ => uc } @names });
    $ENV{TEST_NGINX_CADDY} = $Caddy->port;
}

# the same with something in between

sub meddled {
    my ($line, $times, $what, @names) = @_;
    caddy(@names);
    return $ENV{TEST_NGINX_CADDY} = between($Caddy, $line, $times, $what);
}

sub page { $Caddy->page($_[0], uc $_[0]) }

run_tests();


__DATA__

=== TEST 1: removed, and refused from then on
--- before
caddy(qw(before api-user zoe));
--- script
is(page('api-user'), 200, 'let in');
is_done(my $answer = del('api-user'));
is(page('api-user'), 401, 'refused');
is(page($_), 200, "$_ is let in") for qw(before zoe);
is(join(' ', $::Caddy->names), 'before zoe', 'the others stay');
comes_to($answer, 'undeployed');
is(receipts($answer)->{attempts}, 1, 'at once');
ok(settled(), 'nothing is left');



=== TEST 2: it is not there
--- before
caddy(qw(before zoe));
--- script
is_done(my $answer = del('api-user'), 'absent');
comes_to($answer, 'not_deployed');
is(join(' ', $::Caddy->names), 'before zoe', 'the others stay');
known('empty', 'id-empty');
$::Caddy->remove($_) for $::Caddy->names;
is_done(del('empty'), 'absent');



=== TEST 3: a second one of that name, which is another account
--- before
caddy(qw(api-user zoe));
--- script
$::Caddy->remove('api-user');
$::Caddy->ask('PATCH', '/id/id-zoe', body => {
    %{ CredTest::Caddy::account('api-user', 'ZOE') }, '@id' => 'id-2',
});
is($::Caddy->page('api-user', 'ZOE'), 200, 'let in');
is_done(del('api-user'), 'absent');
is($::Caddy->page('api-user', 'ZOE'), 200, 'and stays');



=== TEST 4: stopped, and back
--- before
caddy(qw(api-user zoe));
--- script
$::Caddy->stop;
is_pending(my $answer = del('api-user'), 'unreachable', qr/refused/);
$::Caddy->run;
comes_to($answer, 'undeployed');
is(page('api-user'), 401, 'refused');
is(page('zoe'), 200, 'zoe is let in');
ok(settled(), 'nothing is left');
like(error_log_text(), qr/connector is back, environment: production/, 'told');



=== TEST 5: a neighbour goes between its GET and its DELETE
--- before
our $between = meddled(qr/^DELETE/, 1, sub { $::Caddy->remove('a'); '' },
                       qw(a api-user next zoe));
--- script
is_pending(my $answer = del('api-user'), 'refused', qr/412/);
comes_to($answer, 'undeployed');
is(met($::between), 1, 'once');
is(receipts($answer)->{attempts}, 2, 'at the second attempt');
is(join(' ', $::Caddy->names), 'next zoe', 'no other one is gone');



=== TEST 6: the last of its array, when a neighbour goes
--- before
our $between = meddled(qr/^DELETE/, 1, sub { $::Caddy->remove('a'); '' },
                       qw(a api-user));
--- script
is_pending(my $answer = del('api-user'), 'refused', qr/500/);
comes_to($answer, 'undeployed');
is(met($::between), 1, 'once');
is(join(' ', $::Caddy->names), '', 'gone');



=== TEST 7: it is changed between its GET and its DELETE
--- before
our $between = meddled(qr/^DELETE/, 1, sub { $::Caddy->change('api-user', 'X'); '' },
                       qw(api-user zoe));
--- script
is_pending(my $answer = del('api-user'), 'refused', qr/412/);
comes_to($answer, 'undeployed');
is($::Caddy->page('api-user', 'X'), 401, 'refused');
is(join(' ', $::Caddy->names), 'zoe', 'no other one is gone');



=== TEST 8: the answer is lost after it was removed
--- before
our $between = meddled(qr/^DELETE/, 1, sub { 'lose' }, qw(api-user zoe));
--- script
my $answer = del('api-user');
is(met($::between), 1, 'lost');
comes_to($answer, 'undeployed');
is(page('api-user'), 401, 'refused');
is(join(' ', $::Caddy->names), 'zoe', 'no other one is gone');



=== TEST 9: the answer to what proves it is lost
--- before
my $deleted;
our $between = meddled(qr/./, 100, sub {
    return ++$deleted && '' if $_[0] =~ /^DELETE/;
    return $deleted && $deleted++ == 1 ? 'lose' : '';
}, qw(api-user zoe));
--- script
my $answer = del('api-user');
comes_to($answer, 'undeployed');
ok(met($::between) > 3, 'and tried again');
is(page('api-user'), 401, 'refused');



=== TEST 10: many at once
--- before
caddy('a00' .. 'a39');
--- script
my @go = grep { /[13579]\z/ } 'a00' .. 'a39';
known($_, "id-$_") for @go;
my @answers = map { http_parse($_) }
              http_many(map { del_raw($_, 'Connection: close') } @go);
is(scalar(grep { $_->{status} == 200 } @answers), 20, 'deleted');
ok(settled(), 'settled');
is(join(' ', $::Caddy->names), join(' ', grep { /[02468]\z/ } 'a00' .. 'a39'),
   'these are gone, and no other one');
is(join(' ', grep { receipts($_)->{state} ne 'undeployed' } @answers), '',
   'and so are the receipts');



=== TEST 11: what would be another object for Caddy
--- before
caddy(qw(api-user zoe));
--- script
my $n = 0;

for my $target ('id-zoe/username', 'id-zoe/', '/id-zoe', '..', '.', "id\0", '') {
    known('bad' . ++$n, $target);
    is_pending(del("bad$n"), 'refused', qr/target/);
}

known('none', undef);
is_pending(del('none'), 'refused', qr/target/);
is(join(' ', $::Caddy->names), 'api-user zoe', 'all stay');

for my $target ('a b', 'a?b', 'a#b', 'a%2Fb', 'a%b', '"', "\xc3\xbc") {
    known('odd', $target);
    is_done(del('odd'), 'absent');
}



=== TEST 12: by a unix socket
--- before
$::Caddy = CredTest::Caddy->start(socket => 1, accounts => {
    map { $_ => uc } qw(api-user zoe) });
$ENV{TEST_NGINX_CADDY} = $::Caddy->socket;
--- http_config
cred_registry     $TEST_NGINX_REGISTRY;
cred_retry_delay  100ms 200ms;
cred_connector caddy { preset caddy; url unix:$TEST_NGINX_CADDY; }
--- script
is_done(del('api-user'));
is(page('api-user'), 401, 'refused');
is(page('zoe'), 200, 'zoe is let in');
known('again', 'id-again');
is_done(del('again'), 'absent');



=== TEST 13: a Host that Caddy does not want
--- before
caddy(qw(api-user zoe));
--- http_config
cred_registry     $TEST_NGINX_REGISTRY;
cred_retry_delay  100ms 1h;
cred_connector caddy { preset caddy; url http://localhost:$TEST_NGINX_CADDY; }
--- script
is_pending(my $answer = del('api-user'), 'refused', qr/403/);
my $receipt = receipts($answer);
ok($receipt->{next} - $receipt->{last} > 1_800_000, 'not hammered');
is(page('api-user'), 200, 'still let in');
my @told = grep { /403/ } split /\n/, error_log_text();
is(scalar @told, 1, 'told once');
