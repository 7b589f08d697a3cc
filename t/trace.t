# traceparent (W3C Trace Context): in the operation, in the audit, and nowhere
# else.

use CredTest;
use CredTest::Delete;

defaults(sample(<<'END'));
cred_retry_delay  100ms 200ms;
log_format  all  '$status $cred_result $cred_operation';
access_log  $TEST_NGINX_DIR/cred.log  all;
END

our $Trace = '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01';


sub traced {
    my ($username, @values) = @_;
    return del($username, headers => [map { "traceparent: $_" } @values]);
}

# what an operation has of it

sub operation_has {
    my ($answer) = @_;
    return redis('registry', 'HGET', '{cred}:operation:' . operation($answer),
                 'traceparent');
}

# the fields of the last entry

sub last_entry {
    my (undef, @fields) = redis('registry', 'XREVRANGE', $_[0] // '{cred}:audit',
                                '+', '-', 'COUNT', 1);
    return { @fields };
}

run_tests();


__DATA__

=== TEST 1: kept with an operation and in its entry of the audit
--- script
my $answer = traced('api-user', $::Trace);
answer_is($answer, 'deleted', everywhere());
is(operation_has($answer), $::Trace, 'the operation');
is_deeply(last_entry(), {
    api => 'apinizer', scope => 'MyProject', id => 'api-user',
    subject => 'alice', client => '127.0.0.1', result => 'deleted',
    operation => operation($answer), traceparent => $::Trace,
}, 'the audit');
ok(settled(), 'settled');
is(operation_has($answer), $::Trace, 'still there');

for (['not_found', traced('api-user', $::Trace)],
     ['forbidden', del('x', token => 'VIEWER',
                       headers => ["TraceParent:$::Trace "])])
{
    my ($result, $answer) = @$_;
    isnt($answer->{status}, 200, $result);
}

my @entries = map { s/^\s+//r } redis('registry', 'XRANGE', '{cred}:audit', '-', '+');
is(scalar(grep { $_ eq $::Trace } @entries), 3, 'refusals, too');

unlike(error_log_text() . slurp(temp_dir() . '/cred.log') . access_log_text(),
       qr/4bf92f3577b34da6/, 'not in logs');

for my $name (qw(registry production staging)) {
    my $all = redis($name, 'EVAL', <<'END', 0);
local found = {}
for _, key in ipairs(redis.call('KEYS', '*')) do
    if key ~= '{cred}:audit'
       and string.find(redis.call('DUMP', key), '4bf92f3577b34da6', 1, true)
    then
        found[#found + 1] = string.gsub(key, '%x%x%x%x%x+', 'ID')
    end
end
table.sort(found)
return table.concat(found, ' ')
END
    is($all, $name eq 'registry' ? '{cred}:operation:ID' : '', "$name: no other key");
}



=== TEST 2: nothing without one, and nothing of what is none
--- script
my ($ids) = $::Trace =~ /^00-(.*)-01$/;
my ($trace, $parent) = split /-/, $ids;

my %none = (
    absent     => [],
    empty      => [''],
    version    => ["01-$ids-01"],
    invalid    => ["ff-$ids-01"],
    capital    => [uc $::Trace],
    long       => ["$::Trace-x"],
    longer     => ["$::Trace-" . 'x' x 4000],
    short      => [substr $::Trace, 0, 54],
    'no-trace' => ['00-' . '0' x 32 . "-$parent-01"],
    'no-span'  => ["00-$trace-" . '0' x 16 . '-01'],
    letter     => ["00-$ids-0g"],
    dash       => ["00-$trace" . "0$parent-01"],
    dashes     => ["00_${trace}_${parent}_01"],
    two        => [$::Trace, $::Trace],
    'bad-good' => ['x', $::Trace],
    list       => ["$::Trace, $::Trace"],
    many       => [($::Trace) x 200],
);

credential([keys %none]);

for my $name (sort keys %none) {
    my $answer = traced($name, @{ $none{$name} });
    is($answer->{status}, 200, "$name: deleted");
    is(operation_has($answer), '(nil)', 'not in the operation');
    ok(!exists last_entry()->{traceparent}, 'nor in the audit');
}

my @good = map { "00-$ids-$_" } qw(00 ff);
credential([0, 1]);
is(operation_has(traced($_, $good[$_])), $good[$_], $good[$_]) for 0, 1;



=== TEST 3: with a revision that is of no use, and many environments
--- script
redis('registry', 'HSET', '{cred}:apinizer:credential:MyProject:api-user',
      'revision', 'x');
redis('registry', 'HSET', '{cred}:environments', map { ("e$_" => 'x') } 1 .. 300);
my $answer = traced('api-user', $::Trace);
is($answer->{status}, 200, 'deleted');
is(operation_has($answer), $::Trace, 'the operation');
my $entry = last_entry();
is($entry->{traceparent}, $::Trace, 'the audit');
is($entry->{revision}, 'x', 'and the revision');
is(redis('registry', 'HGET', '{cred}:operation:' . operation($answer),
         'environment:e300') =~ /pending/, 1, 'the receipts');



=== TEST 4: each delete of a call has its own, and callers without a token none
--- script
my @traces = map { sprintf '00-%032x-%016x-00', $_, $_ } 1 .. 40;
credential([1 .. 40]);

my @answers = map { http_parse($_) } http_many(map {
    del_raw($_, "traceparent: $traces[$_ - 1]", 'Connection: close')
} 1 .. 40);

is(join(' ', map { operation_has($_) } @answers), "@traces", 'its own');

is(del('x', token => 'NONE', headers => ["traceparent: $::Trace"])->{status},
   401, 'no token');
my $entry = last_entry('{cred}:audit:unauthorized');
is($entry->{result}, 'unauthorized', 'audited');
ok(!exists $entry->{traceparent}, 'without it');



=== TEST 5: resumed: the operation keeps its own
--- http_config
cred_registry     $TEST_NGINX_REGISTRY;
cred_retry_delay  1h;
--- before
redis_kill('staging');
--- script
my $first = traced('api-user', $::Trace);
is($first->{headers}{'cred-pending'}, 'staging', 'pending');
my $other = $::Trace =~ s/4736/4737/r;
my $second = traced('api-user', $other);
is(operation($second), operation($first), 'resumed');
is(operation_has($first), $::Trace, 'the first');
is(last_entry()->{traceparent}, $other, 'the audit has who resumed it');



=== TEST 6: by HTTP/2
--- http_config
cred_registry  $TEST_NGINX_REGISTRY;
--- config
location /apiops/ { cred_delete apinizer; }
listen 127.0.0.1:$TEST_NGINX_H2_PORT http2;
--- script
my $base = "http://127.0.0.1:$ENV{TEST_NGINX_H2_PORT}";
my $answer = curl('--http2-prior-knowledge', '-X', 'DELETE',
                  '-H', 'Authorization: Bearer TOKEN',
                  '-H', "Traceparent: $::Trace", $base . path('api-user'));
is($answer->{status}, 200, 'deleted');
is(operation_has($answer), $::Trace, 'the operation');
