# Standard Webhooks: who is told believes what the official library verifies.

use lib 't/lib';
use CredTest::Webhook;

BEGIN {
    require Test::More;

    my ($lacks) = CredTest::Webhook->lacks;

    Test::More::plan(skip_all => "no $lacks: make connectors") if $lacks;
}

use CredTest redis => ['registry'];
use CredTest::Connector;
use CredTest::Delete;
use CredTest::Target;
use Digest::SHA ();
use JSON::PP ();
use MIME::Base64 ();

our $Hook;
our ($Old, $New) = map { CredTest::Webhook::secret($_) } 1, 2;

defaults(connected('hook', http => <<'END'));
cred_connect_timeout  1s;
cred_retry_delay      100ms 200ms;

cred_connector hook {
    webhook  http://127.0.0.1:$TEST_NGINX_HOOK/hooks/cred?from=nginx;
    secret   file=$TEST_NGINX_DIR/hook.whsec;
    timeout  2s;
}
END


# nginx signs by these, in a file; with this ending

sub signs {
    my (@secrets) = @_;

    my $file = temp_dir() . '/hook.whsec';
    open my $out, '>', $file or die "$file: $!";
    print $out join(' ', @secrets), "\n";
    close $out;
    chmod 0600, $file;
}

# who is told believes these

sub hook {
    my (@secrets) = @_;
    $Hook = CredTest::Webhook->start(@secrets);
    $ENV{TEST_NGINX_HOOK} = $Hook->port;
}

run_tests();


__DATA__

=== TEST 1: told, and verified
--- before
signs($::Old);
hook($::Old);
--- script
redis('registry', 'HSET', '{cred}:apinizer:credential:MyProject:api-user',
      'target:production', 'T');
my $trace = '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01';
my $answer = del('api-user', headers => ["traceparent: $trace"]);
is_done($answer);
comes_to($answer, 'undeployed');

my @got = $::Hook->got;
is(scalar @got, 1, 'told once');

my $got = $got[0];
my $operation = operation($answer);

is("$got->{method} $got->{url}", 'POST /hooks/cred?from=nginx', 'where');
is_deeply($got->{verified}, [JSON::PP::true()], 'verified');
is_deeply($got->{payload}, {
    type => 'credential.deleted',
    data => { api => 'apinizer', scope => 'MyProject', id => 'api-user',
              revision => 7, operation => $operation,
              environment => 'production' },
}, 'what is told');

my %header = %{ $got->{headers} };
is($header{'webhook-id'}, "${operation}_production", 'the id');
like($header{'webhook-timestamp'}, qr/^\d{10}\z/, 'the timestamp');
ok(abs(time - $header{'webhook-timestamp'}) < 60, 'is that of now');
like($header{'webhook-signature'}, qr{^v1,[A-Za-z0-9+/]{43}=\z}, 'the signature');
is($header{'content-type'}, 'application/json', 'the type');
is($header{traceparent}, $trace, 'traceparent');
is($header{host}, "127.0.0.1:$ENV{TEST_NGINX_HOOK}", 'the host');
is($header{authorization}, undef, 'not the token of who called');

my @names = map { lc $got->{raw}[2 * $_] } 0 .. $#{ $got->{raw} } / 2;
is(scalar(grep { /^webhook-/ } @names), 3, 'each of these once');

unlike(error_log_text() . slurp(temp_dir() . '/nginx.log'),
       qr/whsec_|\Q@{[ substr $::Old, 6 ]}/, 'the secret is in no log');



=== TEST 2: two secrets while one replaces the other
--- before
signs($::Old, $::New);
hook($::Old);
--- script
known($_) for qw(a b c);
is_done(del('a'));
$::Hook->secrets($::New, $::Old);
is_done(del('b'));
$::Hook->secrets($::New);
is_done(del('c'));

my @got = $::Hook->got;
is(join(' ', map { $_->{payload}{data}{id} } @got), 'a b c', 'all were told');
is(join(' ', map { scalar split / /, $_->{headers}{'webhook-signature'} } @got),
   '2 2 2', 'two signatures each');
is_deeply($got[1]{verified}, [JSON::PP::true(), JSON::PP::true()],
          'both are good');

# the old one is gone, by a reload

signs($::New);
ok(nginx_reload(), 'reloaded');
ok(wait_for(sub {
    $::Hook->forget;
    known('d');
    del('d');
    my ($got) = $::Hook->got;
    return $got && $got->{headers}{'webhook-signature'} !~ / /;
}), 'one signature');
is_deeply([ map { $_->{verified}[0] } $::Hook->got ], [JSON::PP::true()],
          'of the new one');



=== TEST 3: another secret is not believed
--- before
signs($::Old);
hook($::New);
--- script
is_pending(my $answer = del('api-user'), 'refused', qr/401/);
my ($got) = $::Hook->got;
is_deeply($got->{errors}, ['No matching signature found'], 'what it says');
is($got->{payload}, undef, 'not believed');

# those whom it concerns agree in the end

$::Hook->secrets($::Old);
redis('registry', 'ZADD', '{cred}:pending:production', 0,
      redis('registry', 'ZRANGE', '{cred}:pending:production', 0, -1));
comes_to($answer, 'undeployed');
is(($::Hook->got)[-1]{payload}{data}{id}, 'api-user', 'told');



=== TEST 4: told until it is taken, with the same id and a time of its own
--- before
signs($::Old);
hook($::Old);
--- script
$::Hook->answer(status => 500);
is_pending(my $answer = del('api-user'), 'refused', qr/500/);
ok(wait_for(sub { $::Hook->got >= 3 }), 'again and again');

# by a clock that goes on

my $first = ($::Hook->got)[0]{headers}{'webhook-timestamp'};
ok(wait_for(sub {
    ($::Hook->got)[-1]{headers}{'webhook-timestamp'} > $first
}), 'the time of the attempt');

$::Hook->answer(status => 202);
comes_to($answer, 'undeployed');

my @got = $::Hook->got;
my %ids = map { $_->{headers}{'webhook-id'} => 1 } @got;
my %bodies = map { $_->{body} => 1 } @got;
is(join(' ', keys %ids), operation($answer) . '_production', 'one id');
is(scalar keys %bodies, 1, 'one body');
ok(!(grep { !$_->{verified}[0] } @got), 'all were verified');



=== TEST 5: what is no 2xx
--- before
signs($::Old);
hook($::Old);
--- script
my $n = 0;

for ([301, qr/301/], [302, qr/302/], [400, qr/400/], [404, qr/404/],
     [409, qr/409/], [410, qr/410/], [500, qr/500/])
{
    my ($status, $error) = @$_;
    my $id = 'u' . ++$n;
    known($id);
    $::Hook->answer(status => $status, body => '"deleted"',
                  headers => { Location => $::Hook->url . '/other' });
    is_pending(del($id), 'refused', $error);
}

$::Hook->answer(status => 299, body => 'x' x 1000);
ok(settled(), 'all are told in the end');
is(join(' ', grep { $_->{url} !~ m{^/hooks} } $::Hook->got), '',
   'no redirect was followed');

for my $status (200, 201, 202, 204) {
    known("d$status");
    $::Hook->answer(status => $status);
    is_done(del("d$status"));
}



=== TEST 6: Retry-After
--- before
signs($::Old);
hook($::Old);
--- script
for my $status (429, 503) {
    known("later$status");
    $::Hook->answer(status => $status, headers => { 'Retry-After' => 3600 });
    is_pending(my $answer = del("later$status"), 'refused', qr/$status/);
    my $receipt = receipts($answer);
    my $wait = $receipt->{next} - $receipt->{last};
    ok($wait > 3_590_000 && $wait <= 3_601_000, 'as long as it says')
        or diag($wait);
}



=== TEST 7: the answer is lost, and it is told again
--- before
signs($::Old);
hook($::Old);
--- script
$::Hook->answer(lost => JSON::PP::true());
my $answer = del('api-user');
like($answer->{body}, qr/pending/, 'pending');
ok(wait_for(sub { $::Hook->got >= 2 }), 'told again');
$::Hook->answer(status => 204);
comes_to($answer, 'undeployed');
my %ids = map { $_->{headers}{'webhook-id'} => 1 } $::Hook->got;
is(scalar keys %ids, 1, 'with one id');



=== TEST 8: stopped, and back
--- before
signs($::Old);
hook($::Old);
--- script
$::Hook->stop;
is_pending(my $answer = del('api-user'), 'unreachable', qr/refused/);
$::Hook->run;
comes_to($answer, 'undeployed');
is(($::Hook->got)[-1]{payload}{data}{id}, 'api-user', 'told');



=== TEST 9: names
--- before
signs($::Old);
hook($::Old);
--- script
my @names = ('"quoted" \\ and {id}', "gr\xc3\xbc\xc3\x9fe \xe2\x98\x83 \xf0\x9f\x94\x91",
             'a?b#c&d=e', '<script>', 'a b', '...', '\u0000');

for my $name (@names) {
    known($name);
    is_done(del($name, path => path(join '', map { sprintf '%%%02x', ord }
                                            split //, $name)));
    my $id = ($::Hook->got)[-1]{payload}{data}{id};
    utf8::encode($id);
    is($id, $name, 'as it is');
}

# an environment whose name is more than letters

redis('registry', 'DEL', '{cred}:environments');
redis('registry', 'HSET', '{cred}:environments', "eu.1 \xc3\xbc\n",
      'connector:hook');
known('there');
my $answer = del('there');
is($answer->{headers}{'cred-pending'}, undef, 'told');
my $got = ($::Hook->got)[-1];
ok($got->{verified}[0], 'verified');
is($got->{payload}{data}{environment}, "eu.1 \x{fc}\n", 'its name');
my $id = $got->{headers}{'webhook-id'};
my ($operation) = operation($answer);
like($id, qr/^${operation}_[!-~]+\z/, 'the id is made of letters');
unlike($id, qr/\./, 'without a full stop');

# what is no UTF-8 is not told, since nobody could verify it

$::Hook->forget;
known("bad\xff");
$answer = del('bad', path => path('bad%ff'));
is($answer->{headers}{'cred-pending'}, 'eu.1%20%C3%BC%0A', 'pending');
has_error($answer, qr/\{id\}/, "eu.1 \xc3\xbc\n");
is(scalar($::Hook->got), 0, 'not told');



=== TEST 10: many at once
--- before
signs($::Old, $::New);
hook($::New);
--- script
my @ids = map { "m$_" } 1 .. 100;
known($_) for @ids;
my @answers = map { http_parse($_) }
              http_many(map { del_raw($_, 'Connection: close') } @ids);
is(scalar(grep { $_->{status} == 200 } @answers), 100, 'deleted');
ok(settled(), 'settled');

my @got = $::Hook->got;
my %told = map { $_->{payload}{data}{id} => 1 } grep { $_->{payload} } @got;
is(join(' ', sort keys %told), join(' ', sort @ids), 'all were told');
ok(!(grep { !$_->{verified}[0] } @got), 'all were verified');
my %operation = map { $_->{payload}{data}{id} => $_->{payload}{data}{operation} }
                @got;
is(join(' ', map { $operation{$_} } @ids),
   join(' ', map { operation($_) } @answers), 'each by its operation');
