# How long the streams of the audit are.

use CredTest;
use CredTest::Delete;

my %sample = sample(<<'END');
cred_retry_delay  100ms 200ms;
END

# the default is everywhere else

$sample{config} = <<'END';
cred_delete apinizer;
location ~ /short { cred_audit_length 1000; }
location ~ /long  { cred_audit_length 1500; }
END

defaults(%sample);


# a stream of so many entries, which is cut one by one, at most a hundred at a
# time

sub fill {
    my ($stream, $length) = @_;

    redis('registry', 'CONFIG', 'SET', 'stream-node-max-entries', 1);
    redis('registry', 'EVAL', <<'END', 1, "{cred}:$stream", $length);
redis.call('DEL', KEYS[1])
for i = 1, ARGV[1] do
    redis.call('XADD', KEYS[1], '*', 'n', i)
end
END
}

sub entries { redis('registry', 'XLEN', "{cred}:$_[0]") }

run_tests();


__DATA__

=== TEST 1: each level has its own
--- script
credential(['long-1', 'short-1']);
fill('audit', 1550);
is(del('long-1')->{status}, 200, 'long');
is(entries('audit'), 1500, 'cut');
is(del('long-2')->{status}, 400, 'a refusal');
is(entries('audit'), 1500, 'cut, too');
fill('audit', 1050);
is(del('short-1')->{status}, 200, 'short');
is(entries('audit'), 1000, 'cut');
is(del('short-2')->{status}, 400, 'a refusal');
is(entries('audit'), 1000, 'cut, too');
is(del('long-2')->{status}, 400, 'long');
is(entries('audit'), 1001, 'longer again');
is(del('api-user')->{status}, 200, 'the default');
is(entries('audit'), 1002, 'longer than both');
ok(settled(), 'settled');



=== TEST 2: refused tokens have a tenth
--- script
fill('audit:unauthorized', 190);
is(del('long', token => 'NONE')->{status}, 401, 'long');
is(entries('audit:unauthorized'), 150, 'cut');
is(del('short', token => 'NONE')->{status}, 401, 'short');
is(entries('audit:unauthorized'), 100, 'cut');
fill('audit:unauthorized', 10050);
is(del('other', token => 'NONE')->{status}, 401, 'the default');
is(entries('audit:unauthorized'), 10000, 'cut');



=== TEST 3: without a directive it is a hundred thousand
--- script
fill('audit', 100050);
is(del('api-user')->{status}, 200, 'deleted');
is(entries('audit'), 100000, 'cut');
ok(settled(), 'settled');



=== TEST 4: what comes of undeployments counts, too
--- http_config
cred_registry      $TEST_NGINX_REGISTRY;
cred_audit_length  1000;
--- script
redis('staging', 'HSET', '{cred}:apinizer:credential:MyProject:api-user',
      'revision', 8);
fill('audit', 1050);
my $seen = monitor('registry');
my $answer = del('api-user');
is($answer->{headers}{'cred-superseded'}, 'staging', 'superseded');
ok(settled(), 'settled');
my @cut = map { /"XADD" "\{cred\}:audit" "MAXLEN" "~" "(\d+)"/ } $seen->();
is("@cut", '1000 1000', 'the delete, and a newer deployment');
is(entries('audit'), 1000, 'cut');
