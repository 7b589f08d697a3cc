# A real etcd as an environment: a key leaves it, which the credential names in
# base64.

use lib 't/lib';
use CredTest::Etcd;

BEGIN {
    require Test::More;

    Test::More::plan(skip_all => 'no etcd: util/install-deps connectors')
        if CredTest::Etcd->lacks;
}

use CredTest redis => ['registry'];
use CredTest::Connector;
use CredTest::Delete;
use CredTest::Target;

our $Etcd;

# a member that knows of no key has the revision of its store in the answer all
# the same

our $Settings = <<'END';
    request  POST /v3/kv/deleterange;
    body     '{"key":"{target}"}';
    success  200 '"deleted":"1"';
    gone     200 '"raft_term"';
END

defaults(connected('etcd', http => <<"END"));
cred_connect_timeout  1s;
cred_retry_delay      100ms 200ms;

cred_connector etcd {
    url      http://127.0.0.1:\$TEST_NGINX_ETCD;
$Settings
}
END


# nginx finds it at this port

sub etcd {
    my (@keys) = @_;
    $Etcd = CredTest::Etcd->start;
    $Etcd->put($_, 'x') for @keys;
    $ENV{TEST_NGINX_ETCD} = $Etcd->port;
}

# a credential by its key

sub keyed {
    my ($id, $key) = @_;
    known($id, CredTest::Etcd::base64($key));
}

run_tests();


__DATA__

=== TEST 1: deleted, and no other key
--- before
etcd('cred/a', 'cred/ab', 'cred/', 'cred');
--- script
keyed('api-user', 'cred/a');
is_done(my $answer = del('api-user'));
is($::Etcd->get('cred/a'), undef, 'it is gone');
is($::Etcd->get($_), 'x', "$_ stays") for qw(cred/ab cred/ cred);
comes_to($answer, 'undeployed');
is(receipts($answer)->{attempts}, 1, 'at once');
ok(settled(), 'nothing is left');



=== TEST 2: not there, and there again
--- before
etcd('cred/b');
--- script
keyed('api-user', 'cred/a');
is_done(my $answer = del('api-user'), 'absent');
comes_to($answer, 'not_deployed');

$::Etcd->put('cred/a', 'new');
keyed('again', 'cred/a');
is_done(del('again'));
is($::Etcd->get('cred/a'), undef, 'it is gone');
is($::Etcd->get('cred/b'), 'x', 'another one stays');



=== TEST 3: stopped, and back
--- before
etcd('cred/a');
--- script
keyed('api-user', 'cred/a');
$::Etcd->stop;
is_pending(my $answer = del('api-user'), 'unreachable', qr/refused/);
$::Etcd->run;
comes_to($answer, 'undeployed');
is($::Etcd->get('cred/a'), undef, 'it is gone');



=== TEST 4: the answer is lost after it was deleted
--- before
etcd('cred/a');
$ENV{TEST_NGINX_ETCD} = our $between = between($::Etcd, qr/deleterange/, 1,
                                              sub { 'lose' });
--- script
keyed('api-user', 'cred/a');
my $answer = del('api-user');
is(met($::between), 1, 'lost');
comes_to($answer, 'undeployed');
is($::Etcd->get('cred/a'), undef, 'it is gone');



=== TEST 5: not base64, which etcd says of it
--- before
etcd('cred/a');
--- script
known('api-user', 'cred/a');
is_pending(del('api-user'), 'refused', qr/400/);
known('empty', '');
is_pending(del('empty'), 'refused', qr/target/);
known('quoted', '","range_end":"AA==');
is_pending(del('quoted'), 'refused', qr/400/);
is($::Etcd->get('cred/a'), 'x', 'it stays');
ok(settled() || 1, 'no end');



=== TEST 6: with a token
--- before
etcd('cred/a', 'cred/b', 'other');
$::Etcd->demand_tokens('cred/');
$::Etcd->write('token', $::Etcd->token('nginx') . "\n");
$ENV{TEST_NGINX_ETCD_TOKEN} = "$::Etcd->{dir}/token";
chmod 0600, $ENV{TEST_NGINX_ETCD_TOKEN};
--- http_config eval
<<"END"
cred_registry     \$TEST_NGINX_REGISTRY;
cred_retry_delay  100ms 1h;
cred_connector etcd {
    url     http://127.0.0.1:\$TEST_NGINX_ETCD;
    header  Authorization file=\$TEST_NGINX_ETCD_TOKEN;
$::Settings
}
END
--- script
keyed('a', 'cred/a');
is_done(del('a'));
is($::Etcd->get('cred/a'), undef, 'it is gone');

keyed('other', 'other');
is_pending(my $answer = del('other'), 'refused', qr/403/);
is($::Etcd->get('other'), 'x', 'it stays');

# it forgets its tokens; a new one comes with a reload

$::Etcd->stop;
$::Etcd->run;
$::Etcd->{token} = $::Etcd->token('root');

keyed('b', 'cred/b');
is_pending($answer = del('b'), 'refused', qr/401/);
my $receipt = receipts($answer);
ok($receipt->{next} - $receipt->{last} > 1_800_000, 'not hammered');

$::Etcd->write('token', $::Etcd->token('nginx') . "\n");
chmod 0600, $ENV{TEST_NGINX_ETCD_TOKEN};
ok(nginx_reload(), 'reloaded');
ok(wait_for(sub {
    my $answer = del('b');
    return $answer->{status} == 200 && !$answer->{headers}{'cred-pending'};
}), 'done by whoever asks again');
is($::Etcd->get('cred/b'), undef, 'it is gone');
unlike(error_log_text(), qr/\Q@{[ slurp($ENV{TEST_NGINX_ETCD_TOKEN}) =~ s{\n}{}r ]}/,
       'the token is in no log');
