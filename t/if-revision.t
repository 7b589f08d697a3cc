# "Cred-Revision: N": a delete that leaves what is newer alone.

use CredTest;
use CredTest::Answer;
use CredTest::Apis;
use CredTest::Delete;

my %sample = sample(<<'END');
cred_retry_delay  100ms 200ms;
log_format  cred  '$http_x_mark: $status [$cred_dry_run|$cred_result|'
                  '$cred_operation|$cred_environments]';
access_log  $TEST_NGINX_DIR/cred.log  cred;
END

$sample{config} .= ' location = /status { cred_status json; }';

defaults(%sample);


our $Credential = '{cred}:apinizer:credential:MyProject:api-user';

# what each API says of a newer one, and of a header that it cannot use

our %Newer = (
    apinizer     => '{"error":"conflict","error_description":"Credential '
                    . '(username: api-user) is newer than the revision that '
                    . 'was to be deleted!"}',
    iam          => '{"error":{"message":"Credential is newer than the '
                    . 'revision that was to be deleted.","code":409,'
                    . '"title":"Conflict"}}',
    deepset      => q({"detail":"We couldn't delete the specified S3 )
                    . 'credentials because they are newer than the revision '
                    . 'that was to be deleted."}',
    thousandeyes => '{"errorMessage":"Credential is newer than the revision '
                    . 'that was to be deleted"}',
    alloy        => '{"error":"Conflict","message":"Credential is newer than '
                    . 'the revision that was to be deleted"}',
);

our %Unclear = (
    apinizer     => [400, '{"error":"bad_request","error_description":'
                          . '"Cred-Revision must be a number of 1 to 20 '
                          . 'digits"}'],
    iam          => [400, q({"error":{"message":"Request header )
                          . q('Cred-Revision' is invalid.","code":400,)
                          . '"title":"Bad Request"}}'],
    deepset      => [422, '{"detail":[{"type":"string_pattern_mismatch",'
                          . '"loc":["header","cred-revision"],"msg":"String '
                          . q(should match pattern '^[0-9]{1,20}$'"}]})],
    thousandeyes => [400, '{"errorMessage":"Invalid Cred-Revision header"}'],
    alloy        => [400, '{"error":"Bad Request",'
                          . '"message":"Invalid header: Cred-Revision"}'],
);

our %Headers = (
    apinizer     => ['Content-Type: application/json;charset=UTF-8'],
    iam          => ['Content-Type: application/json', 'X-Request-Id: HEX'],
    deepset      => ['Content-Type: application/json'],
    thousandeyes => ['Content-Type: application/json;charset=UTF-8',
                     'X-Content-Type-Options: nosniff'],
    alloy        => ['Content-Type: application/json'],
);

sub upto {
    my ($revision, @headers) = @_;
    return del('api-user', headers => ["Cred-Revision: $revision", @headers]);
}

sub register {
    my ($revision) = @_;
    redis('registry', 'DEL', $Credential);
    redis('registry', 'HSET', $Credential, 'owner', 'alice',
          defined $revision ? (revision => $revision) : ());
}

# what comes of a delete up to this revision of one that has that

sub result {
    my ($asked, $registered) = @_;

    register($registered);
    my $got = upto($asked);
    my $there = redis('registry', 'EXISTS', $Credential);
    settled();

    return "$got->{status} " . ($there ? 'there' : 'gone');
}

sub everything { join "\n", map { my $all = contents($_);
                                  map { "$_ $all->{$_}" } sort keys %$all }
                            qw(registry production staging) }

# without the rate limit, since a reset is another one in the next minute

sub answer_of {
    my ($got) = @_;
    return join "\n", grep { !/^X-Organization-/ } split /\n/, answer($got), -1;
}

sub wanted {
    my ($name, $status, $body, @headers) = @_;
    return join "\n", $status,
        sort('Cache-Control: no-store', @{ $Headers{$name} }, @headers),
        '', $body;
}

run_tests();


__DATA__

=== TEST 1: which credentials are newer
--- script
is(result(7, 7), '200 gone', 'the same');
is(result(8, 7), '200 gone', 'an older one');
is(result(7, 8), '409 there', 'a newer one');
is(result(9, 10), '409 there', 'not as strings');
is(result(10, 9), '200 gone', 'not as strings');
is(result('007', 7), '200 gone', 'leading zeros');
is(result('007', 8), '409 there', 'leading zeros of a newer one');
is(result(7, '0007'), '200 gone', 'leading zeros of the same');
is(result(7, '0008'), '409 there', 'leading zeros of a newer one');
is(result('9007199254740992', '9007199254740993'), '409 there',
   'more than a double holds');
is(result('9007199254740993', '9007199254740993'), '200 gone', 'the same');
is(result('18446744073709551615', '18446744073709551616'), '409 there',
   'more than 64 bits hold');
is(result('9' x 20, '9' x 20), '200 gone', 'twenty digits');
is(result('9' x 20, '1' . '0' x 20), '409 there', 'twenty-one');
is(result('0' x 19 . '7', 8), '409 there', 'twenty, of which most are zero');
is(result(0, 8), '200 gone', 'zero is any');
is(result('000', 8), '200 gone', 'so it is with more of them');
is(result(7, undef), '200 gone', 'one without a revision is not newer');
is(result(7, 0), '200 gone', 'nor one with zero');
is(result(7, 'x'), '200 gone', 'nor with what is none');
is(result(7, '-8'), '200 gone', 'nor with a negative one');
is(result(7, '8 '), '200 gone', 'nor with a space');



=== TEST 2: all APIs, twice, in a dry run, and then it is deleted
--- http_config
cred_registry  $TEST_NGINX_REGISTRY;
--- config
cred_delete  apinizer iam deepset thousandeyes alloy;
--- script
redis_load($_, $_ eq 'registry' ? registered() : deployed(3))
    for qw(registry production staging);
ok(reached(), 'connected');
ok(settled(), 'settled');

for my $name (names()) {
    my $api = api($name);
    my @asked = ($name, "$name-token", 'Cred-Revision: 2');
    my $wanted = wanted($name, 409, $::Newer{$name});

    # a count of the rate is the only thing that is written

    redis('registry', 'SET', '{cred}:thousandeyes:rate:11', 0, 'EX', 3600);
    my $before = everything();
    my $entries = audit();

    is(answer_of(request(@asked, 'Cred-Dry-Run: true')),
       wanted($name, 409, $::Newer{$name}, 'Cred-Dry-Run: true'),
       "$name: a dry run");
    is(everything(), $before, "$name: changes nothing");
    is(scalar(audit()), $entries, "$name: and is in no audit");

    for my $time (1, 2) {
        is(answer_of(request(@asked)), $wanted, "$name: $time");
        redis('registry', 'SET', '{cred}:thousandeyes:rate:11', 0, 'EX', 3600);
        is(everything(), $before, "$name: nothing has changed");
        is(scalar(audit()), ++$entries, "$name: it is in the audit");
    }

    my $entry = (audit())[-1];
    is(join(' ', map { "$_=" . ($entry->{$_} // 'none') }
                 qw(api scope id subject result operation environment)),
       "api=$name scope=$api->{scope} id=$api->{id} subject=alice"
       . ' result=superseded operation= environment=none', "$name: so");

    my $dry = request($name, "$name-token", 'Cred-Revision: 3',
                      'Cred-Dry-Run: true');
    is($dry->{status}, $api->{done}, "$name: would be deleted");
    is($dry->{headers}{'cred-environments'}, 'production,staging',
       "$name: from there");

    my $done = request($name, "$name-token", 'Cred-Revision: 3');
    is($done->{status}, $api->{done}, "$name: deleted");
    like($done->{headers}{'cred-operation'}, qr/^\w{32}$/, "$name: it is one");
    ok(settled(), "$name: everywhere");

    for my $place (qw(registry production staging)) {
        is(redis($place, 'EXISTS',
                 "{cred}:$name:credential:$api->{scope}:$api->{id}"), 0,
           "$name: gone from $place");
    }

    is(request(@asked)->{status}, $api->{gone}, "$name: and not there");
}



=== TEST 3: what is no revision deletes nothing
--- http_config
cred_registry  $TEST_NGINX_REGISTRY;
--- config
cred_delete  apinizer iam deepset thousandeyes alloy;
listen       127.0.0.1:$TEST_NGINX_H2_PORT http2;
--- script
redis_load($_, $_ eq 'registry' ? registered() : deployed(3))
    for qw(registry production staging);

my @values = ([''], ['x'], ['-1'], ['+3'], ['3.0'], ['3,'], ['3, 3'], ['3;x'],
              ['3 3'], ["3\t"], ['"3"'], ['0x3'], ['3e0'], ['3x'], ['*'],
              ["3\x{0}"], ["\x{d9}\x{a3}"], ['0' x 21], ['9' x 21], ['3' x 7000],
              [3, 3], [3, 4], ['', 3], [3, ''], ['x', 3], [('3') x 300]);

for my $name (names()) {
    my ($status, $body) = @{ $::Unclear{$name} };
    my @asked = ($name, "$name-token");

    for my $values (@values) {
        my $shown = substr "@$values", 0, 25;
        my $answer = request(@asked, map { "Cred-Revision: $_" } @$values);

        # nginx itself refuses a zero byte

        is($answer->{status}, $shown =~ /\0/ ? 400 : $status,
           "$name: \"$shown\"");
        is($answer->{body}, $body, "$name: its words") unless $shown =~ /\0/;
    }

    for my $field ('Cred-Revisions', 'cred-revision-max', 'CRED-REVISION2',
                   'Cred-Revision-')
    {
        my $answer = request(@asked, "$field: 3");
        is("$answer->{status} $answer->{body}", "$status $body",
           "$name: $field");
    }

    is(request(@asked, 'Cred-Revision: 3', 'Cred-Revisions: 3')->{status},
       $status, "$name: both");
    is(request($name, 'nobody', 'Cred-Revision: x')->{status}, 401,
       "$name: a bad token is known before");
    is((audit())[-1]{result}, 'invalid', "$name: audited");

    my $entries = audit();
    is(answer_of(request(@asked, 'Cred-Dry-Run: true', 'Cred-Revision: x')),
       wanted($name, $status, $body, 'Cred-Dry-Run: true'),
       "$name: in a dry run");
    is(scalar(audit()), $entries, "$name: without an audit");

    for my $both (['Cred-Revision: x', 'Cred-Dry-Run: x'],
                  ['Cred-Dry-Run: x', 'Cred-Revision: x'])
    {
        like(request(@asked, @$both)->{body}, qr/cred-dry-run/i,
             "$name: two that are wrong");
    }

    for my $place (qw(registry production staging)) {
        is(redis($place, 'EXISTS', "{cred}:$name:credential:"
                 . api($name)->{scope} . ':' . api($name)->{id}), 1,
           "$name: it is in $place");
    }
}

my @h2 = ('--http2-prior-knowledge', '-X', 'DELETE', '-H',
          'Authorization: Bearer apinizer-token');
my $url = "http://127.0.0.1:$ENV{TEST_NGINX_H2_PORT}" . path('api-user');

is(curl(@h2, '-H', 'Cred-Revision: 3x', $url)->{status}, 400, 'by HTTP/2');
is(curl(@h2, '-H', 'Cred-Revision;', $url)->{status}, 400, 'empty');
is(curl(@h2, '-H', 'Cred-Revision: 2', $url)->{status}, 409, 'a newer one');
is(curl(@h2, '-H', 'cred-revision: 3', $url)->{status}, 200, 'deleted');

# a header that only begins alike

is(request('iam', 'iam-token', 'Cred-Revisio: x', 'Cred-Rev: x')->{status}, 204,
   'another header');



=== TEST 4: after token, scope and right
--- http_config
cred_registry  $TEST_NGINX_REGISTRY;
--- config
cred_delete  apinizer iam deepset thousandeyes alloy;
--- script
redis_load('registry', registered());
my @old = ('Cred-Revision: 2');

for my $name (names()) {
    is(request($name, 'nobody', @old)->{status}, 401, "$name: a bad token");
    is(request($name, "$name-bob", @old)->{status},
       $name eq 'deepset' ? 409 : 403, "$name: another one's");
}

is(del('api-user', token => 'apinizer-token', project => 'Other',
       headers => \@old)->{status}, 404, 'no such project');
is(del('other', token => 'apinizer-token', headers => \@old)->{status}, 400,
   'no such credential');

# who uses a newer one is nothing to whoever deletes an older one

my $uses = '{cred}:deepset:uses:acme:' . api('deepset')->{id};
redis('registry', 'SADD', $uses, 'workspace');
is(request('deepset', 'deepset-token', @old)->{status}, 409, 'newer, in use');
is(request('deepset', 'deepset-token', 'Cred-Revision: 3')->{status}, 400,
   'in use');

redis('registry', 'HSET', '{cred}:thousandeyes:scope:11', 'rate_limit', 1);
redis('registry', 'SET', '{cred}:thousandeyes:rate:11', 0, 'EX', 3600);
my $answer = request('thousandeyes', 'thousandeyes-token', @old);
is($answer->{status}, 409, 'newer');
is($answer->{headers}{'x-organization-rate-limit-remaining'}, 0, 'it counts');
is(request('thousandeyes', 'thousandeyes-token', @old)->{status}, 429,
   'one too many');



=== TEST 5: operations that are open yet
--- http_config
cred_registry     $TEST_NGINX_REGISTRY;
cred_retry_delay  1h;
--- script
ok(reached(), 'connected');
ok(settled(), 'settled');
redis('staging', 'CONFIG', 'SET', 'min-replicas-to-write', 1);

my $first = upto(7);
is($first->{headers}{'cred-pending'}, 'staging', 'pending');

sub attempts {
    my ($answer, $n) = @_;
    return redis('registry', 'HGET', '{cred}:operation:' . operation($answer),
                 'environment:staging') =~ /"attempts":$n\b/;
}

ok(wait_for(sub { attempts($first, 1) }), 'attempted');

# the same again is resumed, whatever revision it is for

for my $revision (7, 6, 100) {
    my $dry = upto($revision, 'Cred-Dry-Run: true');
    is($dry->{status}, 200, "would be resumed, up to $revision");
    is(operation($dry), operation($first), 'as the same operation');
}

my $again = upto(7);
is($again->{status}, 200, 'resumed');
is(operation($again), operation($first), 'the same operation');
ok(wait_for(sub { attempts($first, 2) }), 'attempted again');

# the older copy is pending there, and a newer one was made

register(8);
my $before = everything();

for my $dry ([], [], ['Cred-Dry-Run: true']) {
    my $got = upto(7, @$dry);
    answer_is($got, 'a newer one', 409,
              { @$dry ? ('Cred-Dry-Run' => 'true') : () }, $::Newer{apinizer});
}

is(everything(), $before, 'nothing was done, nor resumed');

# that one is deleted, too: an operation of a newer one is open, and no newer
# credential is there

my $second = upto(8);
is($second->{status}, 200, 'deleted');
isnt(operation($second), operation($first), 'another operation');
ok(wait_for(sub { attempts($second, 1) }), 'attempted');

$again = upto(7);
is($again->{status}, 200, 'no newer one is there');
is(operation($again), operation($second), 'its state is that of the newer');
ok(wait_for(sub { attempts($second, 2) }), 'attempted again');



=== TEST 6: asked twice, because the answer was lost
--- script
my $script = slurp('src/lua/delete.lua');
my ($now) = redis('registry', 'TIME');

sub evaluate {
    my ($operation, $revision, $how) = @_;
    my @reply = redis('registry', 'EVAL', $script, 1, '{cred}:audit', '{cred}',
        5000, 'apinizer', 1, 0, '', 0, ($now + 600) * 1000, 1000,
        map { ($operation, sha256('TOKEN'), '', 'MyProject', $_, '127.0.0.1',
               '', $revision, $how) } @{ $_[3] || ['api-user'] });
    return $reply[1];
}

redis('registry', 'DEL', '{cred}:environments');
my ($one, $two) = ('1' x 32, '2' x 32);

is(evaluate($one, 7, 'all'), 'deleted', 'deleted');
register(8);
is(evaluate($one, 7, 'again'), 'deleted', 'it was, whatever is there now');
is(evaluate($one, 7, 'all'), 'superseded', 'one that was late does nothing');
is(evaluate($two, 7, 'again'), 'superseded', 'it was not');
is(redis('registry', 'HGET', $::Credential, 'revision'), 8, 'it stays');
is(redis('registry', 'EXISTS', "{cred}:operation:$two"), 0, 'no operation');
is(evaluate($two, '', 'again'), 'deleted', 'without a revision');



=== TEST 7: many in one call, each with its own
--- script
credential([1 .. 40], 'registry');
redis('registry', 'HSET', "{cred}:apinizer:credential:MyProject:$_",
      'revision', $_) for 1 .. 40;
ok(reached(), 'connected');

my @answers = map { http_parse($_) } http_many(map {
    del_raw($_, 'Connection: close', $_ % 3 ? 'Cred-Revision: 20' : ())
} 1 .. 40);

is(join(' ', map { $_->{status} } @answers),
   join(' ', map { $_ % 3 && $_ > 20 ? 409 : 200 } 1 .. 40),
   'each as it asked');
is(join('', map { redis('registry', 'EXISTS',
                        "{cred}:apinizer:credential:MyProject:$_") } 1 .. 40),
   join('', map { $_ % 3 && $_ > 20 ? 1 : 0 } 1 .. 40), 'those are left');
ok(settled(), 'settled');



=== TEST 8: variables, the error log and the status
--- script
ok(reached(), 'connected');
my $n = 0;

sub logged {
    my @headers = ('X-Mark: ' . ++$n, @_[1 .. $#_]);
    my $line;
    upto($_[0], @headers);
    wait_for(sub { ($line) = slurp(temp_dir() . '/cred.log')
                             =~ /^$n: (.*)\n/m });
    return $line;
}

sub counted {
    my $json = call('GET', '/status')->{body};
    my ($deletes) = $json =~ /"apinizer":\{([^{}]*"superseded"[^{}]*)\}/;
    return ($deletes // '') =~ /"superseded":(\d+)/ ? $1 : 'none';
}

is(logged(6), '409 [-|superseded|-|-]', 'a newer one');
is(counted(), 1, 'is counted');
is(logged('006', 'Cred-Dry-Run: true'), '409 [1|superseded|-|-]',
   'in a dry run');
is(counted(), 1, 'is not');
is(logged('x'), '400 [-|invalid|-|-]', 'what is no revision');

my $log = error_log_text();
my $who = 'apinizer, scope "MyProject", id "api-user"';
like($log, qr/\[info\] .* delete: $who: superseded, newer than 6, client/,
     'the error log');
like($log, qr/\[info\] .* dry run: $who: superseded, newer than 006, client/,
     'of a dry run');
