# "Prefer: wait=N" (RFC 7240): a caller who waits for environments no longer
# than that.

use CredTest;
use CredTest::Apis;
use CredTest::Delete;

# where it is to suffice there is all the time it takes

defaults(sample(<<'END'));
cred_connect_timeout  60s;
cred_command_timeout  60s;
cred_cascade_timeout  60s;
cred_retry_delay      1h;
END


sub prefer {
    my ($username, @values) = @_;
    return del($username, headers => [map { "Prefer: $_" } @values]);
}

sub applied { $_[0]->{headers}{'preference-applied'} // 'none' }

# what an answer says that waits for nobody

sub at_once {
    my ($status, $headers, $body) = pending(production => 'late',
                                            staging => 'late');
    return ($status, { %$headers, 'Preference-Applied' => 'wait=0' }, $body);
}

# how often an environment was told

sub undeployments {
    return join ' ', map { redis($_, 'XLEN', '{cred}:undeployments') }
                     qw(production staging);
}

run_tests();


__DATA__

=== TEST 1: no time at all: answered as soon as the registry has accepted it
--- script
is(reached(), 1, 'connected');
my $before = undeployments();
redis_pause('staging');
my $answer = prefer('api-user', 'wait=0');
answer_is($answer, 'pending everywhere', at_once());
redis_resume('staging');
ok(settled(), 'undeployed all the same');
is(undeployments(), $before =~ s/(\d+)/$1 + 1/ger, 'once');
is(redis('registry', 'HGET', '{cred}:operation:' . operation($answer),
         "environment:$_") =~ /"state":"undeployed","attempts":1\b/, 1,
   "$_: in the first attempt") for qw(production staging);


=== TEST 2: some time: who has answered by then is done
--- script
is(reached(), 1, 'connected');
redis_pause('staging');
my $answer = prefer('api-user', 'wait=1');
is($answer->{status}, 200, 'deleted');
is(applied($answer), 'wait=1', 'applied');
like($answer->{headers}{'cred-pending'}, qr/\bstaging$/, 'pending where it is stopped');
like($answer->{body}, qr/"staging","success":false,"message":"Environment did not answer in time/,
     'since it was late');
redis_resume('staging');
ok(settled(), 'undeployed all the same');



=== TEST 3: it is said of answers that were in time, too, and of what is resumed
--- script
answer_is(prefer('api-user', 'wait=60'), 'deleted',
          map { ref eq 'HASH' ? { %$_, 'Preference-Applied' => 'wait=60' } : $_ }
          everywhere());
ok(settled(), 'settled');

credential('two');
redis_kill('staging');
my $first = prefer('two', 'wait=0');
is(applied($first), 'wait=0', 'deleted');
my $second = prefer('two', 'wait=7');
is(applied($second), 'wait=7', 'resumed');
is(operation($second), operation($first), 'the same operation');



=== TEST 4: it never waits longer than the operator says
--- http_config
cred_registry         $TEST_NGINX_REGISTRY;
cred_command_timeout  60s;
cred_cascade_timeout  1500ms;
--- config
cred_delete apinizer;
location ~ /shorter { cred_cascade_timeout 900ms; }
--- script
is(reached(), 1, 'connected');
credential([qw(shorter-1 shorter-0 1 2 more)]);
redis_pause('staging');

for (['api-user', '86400', 'none'], ['more', '9' x 1000, 'none'],
     ['shorter-1', 1, 'none'], ['shorter-0', 0, 'wait=0'], [1, 1, 'wait=1'],
     [2, 2, 'none'])
{
    my ($username, $seconds, $wanted) = @$_;
    my $answer = prefer($username, "wait=$seconds");
    like($answer->{headers}{'cred-pending'}, qr/staging/, "$username: answered");
    is(applied($answer), $wanted, $wanted);
}

redis_resume('staging');
ok(settled(), 'settled');



=== TEST 5: as the fields say it
--- config
large_client_header_buffers  4 16k;
location /apiops/ { cred_delete apinizer; }
--- script
my %wait = (
    'list'           => ['respond-async, wait=0', 0],
    'parameter'      => ['wait=0; foo="a, b"', 0],
    'case'           => ['WAIT=0', 0],
    'quoted'         => ['wait="0"', 0],
    'spaces'         => ["wait = 0\t", 0],
    'two fields'     => ['wait=0', 'wait=5', 0],
    'first in list'  => ['wait=0, wait=5', 0],
    'other first'    => ['return=minimal', 'wait=0', 0],
    'no number'      => ['wait=x', 'wait=0', 'none'],
    'negative'       => ['wait=-1', 'none'],
    'nothing'        => ['', 'none'],
    'garbage'        => [',;="\\', 'none'],
    'garbage first'  => ['"', 'wait=0', 0],
    'another'        => ['awaits=0', 'none'],
    'in quotes'      => ['foo="wait=0"', 'none'],
    'a parameter'    => ['foo; wait=0', 'none'],
    'a long one'     => ['x' x 7000 . ', wait=0', 0],
    'a long name'    => ['wait' x 1500 . '=0', 'none'],
    'long quotes'    => ['"' x 7001 . ', wait=0', 'none'],
    'many'           => [('foo') x 900, 'wait=0', 0],
    'many of it'     => ['wait=0', ('wait=9') x 900, 0],
);

my $n = 0;

for my $name (sort keys %wait) {
    my @values = @{ $wait{$name} };
    my $wanted = pop @values;
    credential(++$n);
    my $answer = prefer($n, @values);
    is($answer->{status}, 200, "$name: deleted");
    is(applied($answer), $wanted eq 'none' ? 'none' : "wait=$wanted", $name);
}

ok(settled(), 'settled');



=== TEST 6: refusals wait for nobody
--- script
for (['not found', 'x'], ['forbidden', 'x', token => 'VIEWER'],
     ['no member', 'x', token => 'STRANGER'], ['no token', 'x', token => 'NONE'])
{
    my ($name, $username, @args) = @$_;
    my $answer = del($username, @args, headers => ['Prefer: wait=1']);
    isnt($answer->{status}, 200, $name);
    is(applied($answer), 'none', 'nothing to apply it to');
}



=== TEST 7: replicas of the registry are waited for all the same
--- http_config
cred_registry         $TEST_NGINX_REGISTRY;
cred_registry_wait    1 1s;
cred_cascade_timeout  60s;
--- script
my $answer = prefer('api-user', 'wait=0');
is($answer->{status}, 200, 'deleted');
is($answer->{headers}{'cred-replicas'}, '0/1', 'as the operator demands');
is(applied($answer), 'wait=0', 'applied to environments');
ok(settled(), 'settled');



=== TEST 8: no environment, and one that is down
--- script
redis('registry', 'DEL', '{cred}:environments');
is(applied(prefer('api-user', 'wait=0')), 'wait=0', 'none');
redis('registry', 'HSET', '{cred}:environments', 'x', 'nonsense');
credential('two');
my $answer = prefer('two', 'wait=0');
answer_is($answer, 'down',
          map { ref eq 'HASH' ? { %$_, 'Preference-Applied' => 'wait=0' } : $_ }
          pending(x => 'unreachable'));



=== TEST 9: a client that does not wait even for that, and many at once
--- script
is(reached(), 1, 'connected');
credential([1 .. 60]);
redis_pause('staging');

for (1 .. 20) {
    my $sock = http_open();
    print $sock del_raw($_, 'Prefer: wait=0');
    close $sock;
}

my @answers = map { http_parse($_) } http_many(map {
    del_raw($_, 'Prefer: wait=' . $_ % 2, 'Connection: close')
} 21 .. 60);

is(scalar(grep { $_->{status} == 200 && $_->{headers}{'cred-pending'} =~ /staging/ }
          @answers), 40, 'all of them are answered');
is(scalar(grep { applied($answers[$_]) eq 'wait=' . ($_ + 1) % 2 } 0 .. 39), 40,
   'each as it wanted');
redis_resume('staging');
ok(wait_for(sub { 60 == grep { !redis('registry', 'EXISTS',
    "{cred}:apinizer:credential:MyProject:$_") } 1 .. 60 }), 'all are deleted');
ok(settled(), 'settled');



=== TEST 10: all APIs, and HTTP/2
--- http_config
cred_registry         $TEST_NGINX_REGISTRY;
cred_cascade_timeout  60s;
--- config
listen       127.0.0.1:$TEST_NGINX_H2_PORT http2;
cred_delete  apinizer iam deepset thousandeyes alloy;
--- script
redis_load($_, $_ eq 'registry' ? registered() : deployed(3))
    for qw(registry production staging);

for my $name (names()) {
    my $answer = request($name, "$name-token", 'Prefer: wait=0');
    is($answer->{status}, api($name)->{done}, "$name: deleted");
    is($answer->{headers}{'cred-pending'}, 'production,staging', 'pending');
    is(applied($answer), 'wait=0', 'applied');
}

ok(settled(), 'settled');

credential('two');
my $answer = curl('--http2-prior-knowledge', '-X', 'DELETE',
                  '-H', 'Authorization: Bearer TOKEN', '-H', 'PREFER: Wait=0',
                  "http://127.0.0.1:$ENV{TEST_NGINX_H2_PORT}" . path('two'));
is($answer->{status}, 200, 'by HTTP/2');
is(applied($answer), 'wait=0', 'applied');
ok(settled(), 'settled');
