# One ngx_cred_module behind another: a DELETE at headquarters is one in a region
# and takes a credential out of the gateways there.

use CredTest redis => ['registry', 'regional', 'production'];
use CredTest::Connector;
use CredTest::Delete;
use CredTest::Gateway;
use CredTest::Target;

our ($Region, $Gate);

our $Regional = <<'END';
HSET {cred}:environments production $TEST_NGINX_PRODUCTION
HSET {cred}:apinizer:token:sha256(HEADQUARTERS) subject hq
HSET {cred}:apinizer:token:sha256(LOOKS) subject looks
HSET {cred}:apinizer:scope:MyProject description x
HSET {cred}:apinizer:members:MyProject hq manage looks view
END

my %sections = connected('region', http => <<'END');
cred_connect_timeout  1s;
cred_cascade_timeout  60s;
cred_retry_delay      100ms 200ms;

cred_connector region {
    preset  cred;
    timeout 60s;
    url     http://127.0.0.1:$TEST_NGINX_REGION;
    header  Authorization file=$TEST_NGINX_DIR/region.token;
}
END

defaults(
    %sections,
    registry => $sections{registry} =~ s/environments production/environments region/r,
    regional => $Regional,
);


# what headquarters shows in the region

sub shows {
    my ($token) = @_;

    my $file = temp_dir() . '/region.token';
    open my $out, '>', $file or die "$file: $!";
    print $out "Bearer $token\n";
    close $out;
    chmod 0600, $file;
}

# the nginx of the region, again where it was

sub region {
    my ($timeout) = @_;

    $Region = gateway_start('region', access => '',
        $Region ? (port => $Region->{port}) : (),
        http => <<"END", server => 'location /apiops/ { cred_delete apinizer; }');
cred_registry         \$TEST_NGINX_REGIONAL;
cred_connect_timeout  1s;
cred_cascade_timeout  @{[ $timeout // '30s' ]};
cred_retry_delay      100ms 200ms;
END

    $ENV{TEST_NGINX_REGION} = $Region->{port};
}

# a gateway there, region and headquarters; "api-user" has the key KEY

sub chain {
    my (%args) = @_;

    shows($args{token} // 'HEADQUARTERS');
    deploy('api-user', 'KEY', 7);
    region($args{timeout});
    $Gate = gateway_start('gate', http => 'cred_access_lease '
                                          . ($args{lease} // '1h') . ';');
}

# a credential of this revision, in the region or at headquarters as well

sub deploy {
    my ($id, $key, $revision, @also) = @_;

    for my $name (qw(regional production), @also) {
        redis($name, 'DEL', "{cred}:apinizer:credential:MyProject:$id");
        redis($name, 'HSET', "{cred}:apinizer:credential:MyProject:$id",
              'owner', 'alice', 'revision', $revision,
              $name eq 'registry' ? () : ('keys', sha256($key)));
        redis($name, 'SADD', '{cred}:apinizer:credentials:MyProject', $id);
        redis($name, 'SET', key_entry($key), "MyProject:$id");
    }
}

# the status for a key at the gateway

sub at_gate { gate($_[0], port => $Gate->{port})->{status} }

# of the answer of headquarters

sub is_region {
    my ($answer, $state) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    return answer_is($answer, 'answered', pending(region => $state));
}

sub region_comes_to { comes_to($_[0], $_[1], 'region') }

# all entries of the audit of the region: results and whose

sub regional {
    my @all;

    for my $entry (redis('regional', 'EVAL', <<'END', 0)) {
local all = {}
for _, entry in ipairs(redis.call('XRANGE', '{cred}:audit', '-', '+')) do
    local is = {}
    for i = 1, #entry[2], 2 do is[entry[2][i]] = entry[2][i + 1] end
    all[#all + 1] = is.result .. ' ' .. is.subject .. ' ' .. is.id
end
return all
END
        push @all, $entry;
    }

    return @all;
}

run_tests();


__DATA__

=== TEST 1: success at the top means refused at the bottom
--- before
chain();
--- script
ok(leased(), 'the gateway has its lease');
is(at_gate('KEY'), 200, 'let in');
is(at_gate('KEY'), 200, 'from the cache');

my $trace = '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01';
my $answer = del('api-user', headers => ["traceparent: $trace"]);
is(at_gate('KEY'), 401, 'refused');
is_region($answer);
region_comes_to($answer, 'undeployed');
is(receipts($answer, 'region')->{attempts}, 1, 'at once');
ok(settled(), 'nothing is left');

is(redis('regional', 'EXISTS', '{cred}:apinizer:credential:MyProject:api-user'),
   0, 'gone in the region');
is(join(', ', regional()), 'deleted hq api-user', 'the audit of the region');

my ($operation) = redis('regional', 'KEYS', '{cred}:operation:*');
is(redis('regional', 'HGET', $operation, 'traceparent'), $trace, 'one trace');

answer_is(del('api-user'), 'not found', failure(400, 'api-user'));
is(scalar(regional()), 1, 'not asked again');



=== TEST 2: it is not there, and there is a newer one
--- before
chain();
--- script
known('none', undef, revision => 3);
is_region(my $answer = del('none'), 'absent');
region_comes_to($answer, 'not_deployed');

deploy('newer', 'NEWER', 8);
known('newer', undef, revision => 7);
is_region($answer = del('newer'), 'superseded');
region_comes_to($answer, 'superseded');
is(at_gate('NEWER'), 200, 'let in still');
ok(settled(), 'nothing is left');

# of the same revision, and without any

deploy('same', 'SAME', 8, 'registry');
is_region(del('same'));
is(at_gate('SAME'), 401, 'refused');

deploy('older', 'OLDER', 2);
known('older', undef, revision => '10');
is_region(del('older'));
is(at_gate('OLDER'), 401, 'refused');

# newer in an environment of the region only

deploy('there', 'THERE', 5, 'registry');
redis('production', 'HSET', '{cred}:apinizer:credential:MyProject:there',
      'revision', 6);
is_region($answer = del('there'), 'superseded');
is(at_gate('THERE'), 200, 'let in still');



=== TEST 3: the region is down, and back
--- before
chain();
--- script
ok(leased(), 'the gateway has its lease');
gateway_stop($::Region);
is_region(my $answer = del('api-user'), 'unreachable');
is(at_gate('KEY'), 200, 'let in as yet');
region();
region_comes_to($answer, 'undeployed');
is(at_gate('KEY'), 401, 'refused');
ok(settled(), 'nothing is left');



=== TEST 4: created again in the region before a late delete comes
--- before
chain();
--- script
ok(leased(), 'the gateway has its lease');
gateway_stop($::Region);
is_region(my $answer = del('api-user'), 'unreachable');
deploy('api-user', 'NEW', 8);
region();
region_comes_to($answer, 'superseded');
is(at_gate('NEW'), 200, 'the new one is let in');
is(at_gate('KEY'), 401, 'the old one is not');
ok(settled(), 'nothing is left');
is(redis('regional', 'EXISTS', '{cred}:apinizer:credential:MyProject:api-user'),
   1, 'registered in the region');
is(join(', ', regional()), 'superseded hq api-user', 'the audit of the region');



=== TEST 5: pending in the region, and done
--- before
chain();
--- script
redis_kill('production');
is_region(my $answer = del('api-user'), 'refused');
has_error($answer, qr/200/, 'region');
redis_start('production');
region_comes_to($answer, 'undeployed');
is(at_gate('KEY'), 401, 'refused');
ok(settled(), 'nothing is left');
is(scalar(is_open('regional')), 0, 'nor in the region');



=== TEST 6: a gateway of the region does not confirm
--- before
chain(lease => '10s', timeout => '1s');
--- script
ok(leased(), 'the gateway has its lease');
is(at_gate('KEY'), 200, 'let in');
my @gate = ($::Gate->{pid}, nginx_workers($::Gate->{pid}));
ok(freeze(@gate), 'it is stopped');

is_region(my $answer = del('api-user'), 'refused');
region_comes_to($answer, 'undeployed');
thaw(@gate);
is(at_gate('KEY'), 401, 'refused');
ok(settled(), 'nothing is left');



=== TEST 7: the registry of the region is away
--- before
chain();
--- script
redis_kill('regional');
is_region(my $answer = del('api-user'), 'refused');
has_error($answer, qr/503/, 'region');
redis_start('regional');
deploy('api-user', 'KEY', 7);
redis_load('regional', $::Regional);
region_comes_to($answer, 'undeployed');
is(at_gate('KEY'), 401, 'refused');



=== TEST 8: the answer of the region is lost
--- before
chain();
$ENV{TEST_NGINX_REGION} = our $between
    = between($::Region->{port}, qr/^DELETE/, 1, sub { 'lose' });
--- script
my $answer = del('api-user');
is(met($::between), 1, 'lost');
region_comes_to($answer, 'undeployed');
is(at_gate('KEY'), 401, 'refused');



=== TEST 9: a token that the region does not know, or that may not delete
--- before
chain(token => 'STRANGER');
--- http_config
cred_registry         $TEST_NGINX_REGISTRY;
cred_retry_delay      100ms 1h;
cred_connector region {
    preset  cred;
    url     http://127.0.0.1:$TEST_NGINX_REGION;
    header  Authorization file=$TEST_NGINX_DIR/region.token;
}
--- script
my $answer = del('api-user');
is_region($answer, 'refused');
has_error($answer, qr/401/, 'region');
my $receipt = receipts($answer, 'region');
ok($receipt->{next} - $receipt->{last} > 1_800_000, 'not hammered');
is(at_gate('KEY'), 200, 'let in');

shows('LOOKS');
ok(nginx_reload(), 'reloaded');
known('second', undef, revision => 1);
ok(wait_for(sub {
    $answer = del('second');
    return (receipts($answer, 'region')->{error} // '') =~ /403/;
}), 'it may not');

shows('HEADQUARTERS');
ok(nginx_reload(), 'reloaded');
ok(wait_for(sub {
    my $answer = del('api-user');
    return $answer->{status} == 200 && !$answer->{headers}{'cred-pending'};
}), 'done by whoever asks again');
is(at_gate('KEY'), 401, 'refused');
unlike(error_log_text() . slurp(temp_dir() . '/nginx.log'),
       qr/HEADQUARTERS|STRANGER|LOOKS/, 'no token is in a log');



=== TEST 10: names
--- before
chain();
--- script
my $n = 0;

for my $name ('a b', 'a?b#c', "gr\xc3\xbc\xc3\x9fe", "\xff", '{id}',
              '"', '\\', 'was not found!"', 'a+b', '...', '~')
{
    my $key = 'K' . ++$n;
    deploy($name, $key, 1, 'registry');
    my $answer = del('x', path => path(join '', map { sprintf '%%%02x', ord }
                                               split //, $name));
    if ($name eq '\\') {
        is_region($answer, 'refused');
        next;
    }
    is_region($answer);
    is(at_gate($key), 401, "refused: $name");
}



=== TEST 11: a newer one stays in the region, and the word of it is lost
--- before
chain();
deploy('there', 'THERE', 5, 'registry');
redis('production', 'HSET', '{cred}:apinizer:credential:MyProject:there',
      'revision', 6);
$ENV{TEST_NGINX_REGION} = our $between
    = between($::Region->{port}, qr/^DELETE/, 1, sub { 'lose' });
--- script
my $answer = del('there');
is(met($::between), 1, 'lost');
region_comes_to($answer, 'superseded');
is(at_gate('THERE'), 200, 'let in still');
