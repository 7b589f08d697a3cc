# Environments that are no Redis: what connectors ask of the systems there, and
# what they make of the answers; t/connector-presets.t has those of known systems.

use CredTest;
use CredTest::Delete;
use CredTest::Gateway qw(gateway_start);
use CredTest::Stub;
use CredTest::Stubbed;
use Digest::SHA ();
use JSON::PP ();
use MIME::Base64 ();
use POSIX ();
use Time::HiRes ();

our %Sample = sample();

defaults(%Sample, http_config => $Http);

add_test_cleanup_handler(sub {
    my ($block) = @_;
    faultless($block, $Web);
    undef $Web;
});

run_tests();


__DATA__

=== TEST 1: 403 and 405 are as 401
--- http_config
cred_registry     $TEST_NGINX_REGISTRY;
cred_retry_delay  50ms 1h;
include           $TEST_NGINX_DIR/connectors.conf;
--- before
talks(sub { [200, [], ''] }, 'success 200;');
--- script
my $next = sub {
    my ($status) = @_;
    my $id = "s$status";
    credential($id);
    target($id, $id);
    $::Web->say($status, [], 'no', on => $id, times => 0);
    my $receipt = attempted(operation(del($id)));
    $::Web->forget;
    like($receipt->{error}, qr/\b$status\b/, "$status: the error");

    # there may have been more attempts: the delay doubles

    return ($receipt->{next} - $receipt->{last},
            1.25 * 50 * 2 ** ($receipt->{attempts} - 1) + 1);
};
cmp_ok(($next->($_))[0], '>=', 0.7 * 3600_000, "$_: due at the longest delay")
    for 401, 403, 405;
for (400, 404, 409, 412, 500, 503) {
    my ($delay, $most) = $next->($_);
    cmp_ok($delay, '<=', $most, "$_: due soon");
}



=== TEST 2: Retry-After is obeyed
--- before
talks(sub { [200, [], ''] }, 'success 200;');
--- script
my $then = sub { POSIX::strftime('%a, %d %b %Y %H:%M:%S GMT', gmtime(time + 60)) };
my $day = 86400_000;

for (['seconds', 429, '2', 2000, 2600], ['with 503', 503, '2', 2000, 2600],
     ['a date', 429, $then, 45_000, 61_000],
     ['a date that is over', 429, 'Thu, 01 Jan 2015 00:00:00 GMT', 0, 1000],
     ['zero', 429, '0', 0, 1000],
     ['a day', 503, '86400', $day, $day * 1.01],
     ['more than a day', 503, '172800', $day * 0.99, $day * 1.01],
     ['more than numbers', 503, '99999999999999999999', 0, $day * 1.01],
     ['none of both', 429, 'soon', 0, 1000], ['empty', 503, '', 0, 1000],
     ['below', 503, '-5', 0, 1000], ['with another status', 500, '1000', 0, 1000])
{
    my ($name, $status, $after, $least, $most) = @$_;
    my $id = $name =~ tr/ /-/r;
    $after = $after->() if ref $after;
    credential($id);
    target($id, $id);
    $::Web->say($status, ["Retry-After: $after"], '', on => $id, times => 0);
    my $receipt = attempted(operation(del($id)));
    $::Web->forget;
    my $delay = $receipt->{next} - $receipt->{last};
    ok($delay >= $least && $delay <= $most, "$name: $delay ms");
}

# none of them came earlier

ok(wait_for(sub { 2 <= grep { m{/seconds$} } $::Web->asked }), 'asked again');
my ($first, $second) = map { $_->{time} } grep { $_->{target} =~ /seconds/ }
                       $::Web->requests;
cmp_ok($second - $first, '>=', 1.9, 'after that time');



=== TEST 3: redirects are not followed
--- before
our $Other = web(sub { [200, [], ''] });
talks(sub { [200, [], ''] }, 'success 200; gone 404 gone;');
--- script
for my $status (300, 301, 302, 303, 304, 307, 308) {
    my $id = "r$status";
    credential($id);
    target($id, $id);
    $::Web->say($status, ['Location: ' . $::Other->url . '/'], '', on => $id, times => 2);
    my $got = del($id);
    answer_is($got, "$status: pending", pending(production => 'refused',
                                                staging => undef));
    like(attempted(operation($got))->{error}, qr/$status/, "$status: the error");
}
ok(settled(), 'all of them are done when they are not redirected');
is_deeply([$::Other->asked], [], 'nobody else was asked');



=== TEST 4: a 404 without words is believed after a success only, and verified
--- before
our ($Verify, %There) = (404);
talks(sub { [404, [], 'whatever'] },
      'success 200; gone 404; verify GET "/verify/{target}";');
--- script
my $operation = is_pending('refused');
like(attempted($operation, 3)->{error}, qr/404/, 'not at first');
is_deeply([grep { /verify/ } $::Web->asked], [], 'nor verified');

# somebody who does delete is who is meant

$::Web->say(200, [], '', on => 'DELETE /credentials/other');
credential('other');
target('other', 'other');
answer_is(del('other'), 'a success', everywhere());
ends_as($operation, 'not_deployed');

credential('third');
target('third', 'third');
my $rule = $::Web->say(200, [], 'here', on => 'GET /verify/third', times => 0);
my $got = del('third');
answer_is($got, 'it is there', pending(production => 'refused', staging => undef));
$::Web->forget;
ok(settled(), 'until it is not');



=== TEST 5: a success that is not true
--- before
talks(sub { [$_[0]{method} eq 'GET' ? 404 : 200, [], 'unknown'] },
      'success 200; gone 404 unknown; verify GET "/credentials/{target}";');
our $Rule = $::Web->say(200, [], 'here', on => '^GET', times => 3);
--- script
my $operation = is_pending('refused');
my $receipt = attempted($operation);
like($receipt->{error}, qr/verify.*200/, 'the error');
$receipt = ends_as($operation, 'undeployed');
is($receipt->{attempts}, 4, 'attempts');
is($::Web->matched($::Rule), 3, 'as often as it was there');



=== TEST 6: what is changed meanwhile is not deleted
--- before
our $Etag = '"/config/apps/http/servers/a/accounts/3 0123abcd"';
talks(sub {
    my ($request) = @_;
    return [200, ['Content-Type: application/json', "Etag: $::Etag"], "{}\n"]
        if $request->{method} eq 'GET';
    my ($match) = @{ $request->{headers}{'if-match'} || [] };
    return [400, [], 'none'] unless defined $match;
    return $match eq $::Etag ? [200, [], ''] : [412, [], 'changed'];
}, 'success 200; gone 404 unknown; match GET "/credentials/{target}";');
--- script
$::Web->say(200, ['ETag: W/"other"'], '', on => '^GET', times => 2);
my $operation = is_pending('refused');
like(attempted($operation)->{error}, qr/412/, 'the error');
my $receipt = ends_as($operation, 'undeployed');
is($receipt->{attempts}, 3, 'attempts');
is_deeply([map { $_->{headers}{'if-match'}[0] // () } $::Web->requests],
          ['W/"other"', 'W/"other"', $::Etag], 'as they were, to the byte');
is_deeply([map { $_->{headers}{'if-match'}[0] // () }
           grep { $_->{method} eq 'GET' } $::Web->requests], [], 'but not where it is asked');



=== TEST 7: what cannot be matched
--- before
talks(sub { [200, [], ''] },
      'success 200; gone 404 unknown; match GET "/credentials/{target}";');
--- script
$::Web->say(404, [], 'nobody knows', on => '^GET', times => 1);
my $operation = is_pending('refused');
like(attempted($operation, 2)->{error}, qr/match/, 'no ETag: the error');
is_deeply([grep { /^DELETE/ } $::Web->asked], [], 'never deleted');
$::Web->say(404, [], 'unknown', on => '^GET', times => 0);
ends_as($operation, 'not_deployed');



=== TEST 8: an answer that comes too late
--- before
our $Gone = 0;
talks(sub { $::Gone++ ? [404, [], 'unknown'] : [200, [], ''] },
      'success 200; gone 404 unknown; timeout 500ms;');
our $Rule = $::Web->keep;
--- script
my $got = del('api-user');
answer_is($got, 'late', pending(production => 'late', staging => undef));

# nobody knew what it did, or it would not be deployed there

ends_as(operation($got), 'undeployed');
ok(wait_for(sub { $::Web->connections <= 1 }), 'that connection is not kept');



=== TEST 9: a newer one stays
--- before
talks(sub { [409, [], '{"error":"conflict"}'] },
      q(success 200; superseded 409 '"conflict"';));
--- script
my $got = del('api-user');
answer_is($got, 'superseded', pending(production => 'superseded', staging => undef));
is(receipt_when(operation($got), sub { ($_[0]{state} // 'pending') ne 'pending' })->{state}, 'superseded', 'the receipt');



=== TEST 10: a connector that nginx.conf does not have, until a reload
--- before
talks(sub { [200, [], ''] }, 'success 200;');
reaches('nowhere', 'api-user' => 't1');
--- script
my $operation = is_pending('unreachable');
my $receipt = receipt_when($operation, sub { $_[0]{error} });
is($receipt->{state}, 'pending', 'pending');
like($receipt->{error}, qr/no "cred_connector.*in nginx\.conf/, 'the error');
is($receipt->{attempts} // 0, 0, 'no attempts');

my @ids = map { "n$_" } 1 .. 20;
credential(\@ids);
target($_, $_) for @ids;
is(del($_)->{headers}{'cred-pending'}, 'production', "another: $_") for @ids[0 .. 2];
is(told('production: no "cred_connector'), 1, 'told once');
is_deeply([$::Web->asked], [], 'nobody was asked');

connectors(nowhere => 'url ' . $::Web->url . '; success 200;'
                      . 'request DELETE "/credentials/{target}";');
ok(nginx_reload(), 'reloaded');
ends_as($operation, 'undeployed');
is(scalar(grep { /t1/ } $::Web->asked), 1, 'asked once');



=== TEST 11: URLs of connectors that are none
--- before
talks(sub { [200, [], ''] }, 'success 200;');
--- script
for my $url ('connector:', 'connector:web ', 'connector: web', 'connector:/web',
             'connector:' . 'x' x 65, "connector:w\neb", 'CONNECTOR:web',
             'connector://web', 'connector:web/x', 'http://127.0.0.1:1/')
{
    redis('registry', 'HSET', '{cred}:environments', 'production', $url);
    my $got = one_more();
    is($got->{status}, 200, "deleted, with $url" =~ s/\n/\\n/r);
    is($got->{headers}{'cred-pending'}, 'production', 'pending');
}
is_deeply([$::Web->asked], [], 'nobody was asked');



=== TEST 12: two nginx of one registry, with different connectors
--- before
our $Second = web(sub { [200, [], ''] });
talks(sub { [200, [], ''] }, 'success 200;');
redis('registry', 'HSET', '{cred}:environments', 'staging', 'connector:second');
target('api-user', 't2', 'staging');
--- script
my $got = del('api-user');
answer_is($got, 'one is pending', pending(production => undef,
                                          staging => 'unreachable'));
my $operation = operation($got);

gateway_start('second', access => '', http => 'cred_registry $TEST_NGINX_REGISTRY;'
    . ' cred_retry_delay 100ms 400ms; cred_connector second { success 200; url '
    . $::Second->url . '; request DELETE "/second/{environment}/{target}"; }',
    server => 'location /apiops/ { cred_delete apinizer; }');

ok(settled(), 'the other one does it');
is(receipt($operation, 'staging')->{state}, 'undeployed', 'the receipt');
is(receipt($operation, 'staging')->{attempts}, 1, 'one attempt');
is_deeply([$::Web->asked], ['DELETE /credentials/t1'], 'one was asked here');
is_deeply([$::Second->asked], ['DELETE /second/staging/t2'], 'one there');

# and the other way round, many of them

$::Web->down;
my @ids = map { "n$_" } 1 .. 50;
credential(\@ids, 'registry');
for my $id (@ids) {
    target($id, "p-$id");
    target($id, "s-$id", 'staging');
}
del($_) for @ids;
$::Web->up;
ok(settled(), 'all of them');
my %asked;
$asked{$_}++ for grep { /n\d+$/ } $::Web->asked, $::Second->asked;
is(scalar(keys %asked), 100, 'each was asked for');



=== TEST 13: a connector that is down, and many who wait
--- before
talks(sub { [200, [], ''] }, 'success 200;');
$::Web->down;
--- script
my @ids = map { "n$_" } 1 .. 300;
credential(\@ids);
target($_, $_) for @ids;
my @got = map { http_parse($_) } http_many(map { del_raw($_) } @ids[0 .. 99]);
is(scalar(grep { $_->{headers}{'cred-pending'} } @got), 100, 'pending');
push @got, map { http_parse($_) } http_many(map { del_raw($_) } @ids[100 .. 299]);
$::Web->up;
ok(settled(), 'all of them');
my %asked;
$asked{$_}++ for $::Web->asked;
is(scalar(grep { $asked{"DELETE /credentials/$_"} } @ids), 300, 'each was asked for');
my %conns = map { $_->{conn} => 1 } $::Web->requests;
cmp_ok(scalar(keys %conns), '<=', 40, 'on few connections');
cmp_ok($::Web->connections, '<=', 8 * (() = nginx_workers()), 'which are not too many');



=== TEST 14: unlike environments get what is theirs
--- before
talks(sub { [200, [], ''] }, 'success 200;');
our $Second = web(sub { [200, [], ''] });
connectors(web => 'url ' . $::Web->url . '/base/; success 200;'
           . ' request DELETE "/{api}/{scope}/{id}/{revision}/{environment}/{target}";',
           second => 'url ' . $::Second->url . '; success 200;'
           . ' header X-Operation "<{operation}>"; header Content-Type text/x-own;'
           . ' request PUT "/{id}?a={target}&b={environment}";'
           . q( body '{"id":"{id}","n":{revision},"x":["{target}"]}';));
redis('registry', 'HSET', '{cred}:environments', 'eu', 'connector:second',
      'us', 'connector:second');
target('api-user', 'T1');
target('api-user', 'T2', 'eu');
target('api-user', 'T 3"', 'us');
--- script
my $got = del('api-user');
answer_is($got, 'deleted', deleted(qw(eu production staging us)));
my $operation = operation($got);
is_deeply([$::Web->asked], ['DELETE /base/apinizer/MyProject/api-user/7/production/T1'],
          'below the base');
my @requests = sort { $a->{target} cmp $b->{target} } $::Second->requests;
is_deeply([map { $_->{target} } @requests],
          ['/api-user?a=T%203%22&b=us', '/api-user?a=T2&b=eu'], 'the others');
is_deeply([map { $_->{body} } @requests],
          ['{"id":"api-user","n":7,"x":["T 3\""]}', '{"id":"api-user","n":7,"x":["T2"]}'],
          'their bodies');
is($_->{headers}{'x-operation'}[0], "<$operation>", 'a header') for @requests;
is($_->{headers}{'content-type'}[0], 'text/x-own', 'the type') for @requests;



=== TEST 15: the trace of a delete
--- before
talks(sub { [200, [], 'ok'] }, 'success 200 ok; verify GET "/{target}"; gone 200 x;');
$::Web->say(200, [], 'x', on => '^GET');
--- script
my $trace = '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01';
answer_is(del('api-user', headers => ["traceparent: $trace"]), 'deleted', everywhere());
is_deeply([map { $_->{headers}{traceparent}[0] } $::Web->requests], [$trace, $trace],
          'goes along with each request');



=== TEST 16: a webhook
--- before
our @Keys = ('a' x 24, "\0\xff" x 16);
$::Web = web(sub { [204, [], ''] });
my $file = private_file('siem.whsec', join ' ', map {
    'whsec_' . MIME::Base64::encode_base64($_, '')
} @::Keys);
connectors(siem => 'webhook ' . $::Web->url . "/hooks/a; secret file=$file;");
reaches('siem');
--- script
$::Web->say(500, [], '');
my $operation = is_pending('refused');
ends_as($operation, 'undeployed');
my @requests = $::Web->requests;
is(scalar @requests, 2, 'sent twice');

for my $request (@requests) {
    my %is = map { $_ => $request->{headers}{$_}[0] } keys %{ $request->{headers} };
    is("$request->{method} $request->{target}", 'POST /hooks/a', 'where');
    is($is{'content-type'}, 'application/json', 'the type');
    my $signed = "$is{'webhook-id'}.$is{'webhook-timestamp'}.$request->{body}";
    is($is{'webhook-signature'}, join(' ', map {
        'v1,' . MIME::Base64::encode_base64(Digest::SHA::hmac_sha256($signed, $_), '')
    } @::Keys), 'signed with both keys');
    like($is{'webhook-id'}, qr/$operation.*production/, 'the id');
    cmp_ok(abs($is{'webhook-timestamp'} - $request->{time}), '<=', 5, 'the time');
    my $body = JSON::PP::decode_json($request->{body});
    is($body->{data}{id}, 'api-user', 'the id of the credential');
    is($body->{data}{operation}, $operation, 'and the operation');
}

is($requests[0]{headers}{'webhook-id'}[0], $requests[1]{headers}{'webhook-id'}[0],
   'with one id');
is($requests[0]{body}, $requests[1]{body}, 'and one body');



=== TEST 17: a webhook is taken with 2xx only
--- before
$::Web = web(sub { [204, [], ''] });
my $file = private_file('siem.whsec', 'whsec_' . MIME::Base64::encode_base64('k' x 32, ''));
connectors(siem => 'webhook ' . $::Web->url . "; secret file=$file;");
reaches('siem');
--- script
for my $status (200, 201, 202, 204, 299) {
    my $rule = $::Web->say($status, [], '');
    my $got = one_more();
    answer_is($got, "$status: taken", everywhere());
    is($::Web->matched($rule), 1, 'asked');
}

for my $status (300, 302, 400, 404, 410, 500) {
    $::Web->say($status, [], '', times => 0);
    my $got = one_more();
    $::Web->forget;
    answer_is($got, "$status: not taken", pending(production => 'refused',
                                                  staging => undef));
}

ok(settled(), 'in the end all of them are');



=== TEST 18: a reload while an answer is waited for
--- http_config eval: $::Http =~ s/cascade_timeout  10s/cascade_timeout  60s/r
--- before
talks(sub { [200, [], ''] }, 'success 200; timeout 60s;');
our $Rule = $::Web->keep;
--- script
my $sock = http_open();
print $sock del_raw('api-user');
ok($::Web->wait_matched($::Rule), 'asked');
ok(nginx_reload(), 'reloaded');
$::Web->release($::Rule);
answer_is(http_parse(http_read($sock)), 'answered by the old worker', everywhere());
answer_is(one_more(), 'and by the new one: no target',
          pending(production => 'refused', staging => undef));



=== TEST 19: verify by HEAD
--- before
talks(sub { [200, [], 'ok'] }, 'success 200 ok; gone 404; verify HEAD "/{target}"; timeout 2s;');
$::Web->rule(on => '^HEAD', times => 0,
    steps => ["HTTP/1.1 404 Not Found\r\nContent-Length: 9\r\n\r\n"]);
--- script
answer_is(del('api-user'), 'done', everywhere());



=== TEST 20: what "verify" has found to be there is not heard to be gone
--- before
talks(sub { my ($r, $self) = @_;
            $r->{method} eq 'DELETE' ? [200, [], 'ok']
            : $self->{gone} ? [404, [], 'no'] : [200, [], 'there'] },
      'success 200 ok; gone 404; verify GET "/{target}"; settle 3s;');
--- script
my $operation = operation(del('api-user'));
attempted($operation, 4);
my $is = receipt($operation);
ok(!exists $is->{heard}, 'nothing is believed');
ok($is->{unclear}, 'but it may have acted');
my $there = Time::HiRes::time();
$::Web->do('set', gone => 1);
$is = ends_as($operation, 'undeployed');
cmp_ok($is->{last} / 1000 - $there, '>=', 2.9, 'caches were waited for');



=== TEST 21: who says each time that it did it is waited for once
--- before
talks(sub { my ($r, $self) = @_;
            [200, [], 'deleted'] },
      'success 200 deleted; gone 404 "no such key"; settle 2s;');
--- script
my $operation = operation(del('api-user'));
ok(settled(), 'settled');
my @asked = grep { $_->{method} eq 'DELETE' } $::Web->requests;
my $is = receipt($operation);
cmp_ok($is->{last} / 1000 - $asked[0]{time}, '>=', 1.9, 'since the first delete');
is(scalar @asked, 2, 'asked twice');



=== TEST 22: Retry-After is not cut short by another credential's success
--- before
talks(sub { [$_[0]{target} =~ /busy/ ? 429 : 200, ['Retry-After: 3600'], 'ok'] },
      'success 200; settle 500ms;');
for my $i (1 .. 20) { credential("b$i"); target("b$i", "busy$i"); }
for my $i (1 .. 5) { credential("x$i"); target("x$i", "x$i"); }
--- script
del("b$_") for 1 .. 20;
my $busy = sub { scalar grep { /busy/ } $::Web->asked };
is($busy->(), 20, 'asked once each');
for my $i (1 .. 5) {
    $::Web->say(500, [], '', on => "x$i");
    my $operation = operation(del("x$i"));
    receipt_when($operation, sub { $_[0]{state} eq 'undeployed' });
    is($busy->(), 20, "the others are not asked: $i");
}
sleep 1;
is($busy->(), 20, 'nor later');



=== TEST 23: Retry-After: 0
--- before
talks(sub { [429, ['Retry-After: 0'], 'busy'] }, 'success 200;');
--- script
my $start = Time::HiRes::time();
my $operation = operation(del('api-user'));
sleep 4;
my $asked = () = $::Web->asked;
cmp_ok($asked, '<', 4 * (Time::HiRes::time() - $start), 'it is not hammered');
cmp_ok(receipt($operation)->{attempts}, '>', 1, 'but asked');



=== TEST 24: success elsewhere vouches for another workspace
--- before
talks(sub { [$_[0]{target} =~ /^.production/ && $_[0]{method} eq 'DELETE' ? 200 : 404, [], 'whatever'] },
      'success 200; gone 404; verify GET "/{environment}/{target}";');
connectors(web => 'url ' . $::Web->url . '; request DELETE "/{environment}/{target}";'
  . 'success 200; gone 404; verify GET "/{environment}/{target}";');
redis('registry', 'HSET', '{cred}:environments', 'typo', 'connector:web');
target('api-user', 'T2', 'typo');
credential('more'); target('more', 'T3'); target('more', 'T4', 'typo');
--- script
del('api-user');
is(receipt(operation(del('more')), 'typo')->{state}, 'pending',
   'a 404 of another workspace is no word');



=== TEST 25: a pending entry with the score -inf
--- before
talks(sub { [500, [], ''] }, 'success 200;');
credential('more'); target('more', 't2');
--- script
my $operation = operation(del('api-user'));
my $second = operation(del('more'));
my ($member) = redis('registry', 'ZRANGE', '{cred}:pending:production', 0, -1) =~ /(\S+$operation)/;
redis('registry', 'ZADD', '{cred}:pending:production', '-inf', $member);
for my $is ($operation, $second) {
    my $n = receipt($is)->{attempts};
    cmp_ok(attempted($is, $n + 2)->{attempts}, '>', $n, 'claims go on');
}



=== TEST 26: unclear of a receipt that is rounded up
--- before
talks(sub { [500, [], ''] }, 'success 200;');
credential('more'); target('more', 't2');
--- script
my $operation = operation(del('api-user'));
my $second = operation(del('more'));
my ($member) = redis('registry', 'ZRANGE', '{cred}:pending:production', 0, -1) =~ /(\S+$operation)/;
redis('registry', 'EVAL', <<'END', 0, $operation, $member);
local due = redis.call('ZSCORE', '{cred}:pending:production', ARGV[2])
redis.call('HSET', '{cred}:operation:' .. ARGV[1], 'environment:production',
           '{"state":"pending","attempts":1,"unclear":999999999999999.9,"next":'
           .. due .. '}')
END

for my $is ($operation, $second) {
    my $n = receipt($is)->{attempts};
    cmp_ok(attempted($is, $n + 2)->{attempts}, '>', $n, 'claims go on');
}



=== TEST 27: 200 environments, ten deletes at once: connections are left
--- before
talks(sub { [200, [], ''] }, 'success 200; timeout 5s;');
redis('registry', 'HSET', '{cred}:environments', map { ("e$_" => 'connector:web') } 1 .. 200);
for my $i (1 .. 10) {
    credential("x$i");
    redis('registry', 'HSET', "{cred}:apinizer:credential:MyProject:x$i",
          map { ("target:e$_" => "t$i-$_") } 1 .. 200);
}
--- script
my @socks = map { my $sock = http_open(); print $sock del_raw("x$_"); $sock } 1 .. 10;
http_parse(http_read($_)) for @socks;
unlike(error_log_text(), qr/worker_connections are not enough/, 'no alert');



=== TEST 28: a backlog that needs more than one call of each
--- before
my @slow = (pause(0.2), response(404, [], 'unknown'));
talks(sub { [200, [], ''] },
      'success 200; gone 404 unknown; verify GET "/verify/{target}"; timeout 1s;');
our $Gone = $Web->rule(times => 0, steps => \@slow);
$Web->down;
our @Ids = map { "n$_" } 1 .. 120;
credential(\@Ids);
target($_, $_) for @Ids;
--- script
my @got = map { http_parse($_) } http_many(map { del_raw($_) } @::Ids);
is(scalar(grep { $_->{headers}{'cred-pending'} } @got), 120, 'pending');
$::Web->up;
ok(settled(), 'all of them, though all first calls take longer than an attempt may');
my ($most) = sort { $b <=> $a } map { receipt(operation($_))->{attempts} } @got;
cmp_ok($most, '<', 30, 'in few attempts');



=== TEST 29: what was done and verified is vouched for, whoever claims the rest
--- before
our %Gone;
talks(sub { my ($r, $self) = @_;
            return [404, [], ''] if $r->{method} eq 'GET';
            return $self->{gone}{ $r->{target} }++ ? [404, [], ''] : [200, [], ''] },
      'success 200; gone 404; verify GET "/verify/{target}"; settle 1s;');
redis('registry', 'HSET', '{cred}:environments', 'staging', 'connector:web');
target('api-user', 't2', 'staging');
--- script
my $operation = operation(del('api-user'));
ok(settled(), 'in both environments');
is(receipt($operation, $_)->{state}, 'undeployed', $_) for qw(production staging);



=== TEST 30: the same with "match"
--- before
talks(sub { my ($r, $self) = @_;
            return $self->{gone} ? [404, [], ''] : [200, ['ETag: "1"'], 'there'] if $r->{method} eq 'GET';
            $self->{gone} = 1;
            return [200, [], ''] },
      'success 200; gone 404; match GET "/{target}"; verify GET "/verify/{target}"; settle 1s;');
--- script
my $operation = operation(del('api-user'));
ok(settled(), 'settled');
is(receipt($operation)->{state}, 'undeployed', 'undeployed');
is(scalar(grep { /DELETE/ } $::Web->asked), 1, 'which took one delete');



=== TEST 31: what is written back while caches are waited for
--- before
talks(sub { my ($r, $self) = @_;
            if ($r->{method} eq 'GET') {
                return [200, [], 'there'] unless $self->{gone};
                $self->{gone} = 0 unless $self->{back}++;
                return [404, [], 'no such key'];
            }
            return [404, [], 'no such key'] if $self->{gone};
            $self->{gone} = 1;
            return [200, [], 'deleted'] },
      'success 200 deleted; gone 404 "no such key"; verify GET "/credentials/{target}"; settle 2s;');
--- script
my $operation = is_pending('unconfirmed');
ok(settled(), 'settled');
my @deletes = grep { $_->{method} eq 'DELETE' } $::Web->requests;
is(scalar @deletes, 2, 'it is deleted again');
my $is = receipt($operation);
is($is->{state}, 'undeployed', 'undeployed');
cmp_ok($is->{last} / 1000 - $deletes[-1]{time}, '>=', 1.9, 'and waited for anew');



=== TEST 32: an answer of another kind may come after the deed
--- before
talks(sub { my ($r, $self) = @_;
            return [404, [], 'no such key'] if $self->{gone};
            $self->{gone} = 1;
            return [400, [], 'failed to remove the key'] },
      'success 200; gone 404 "no such key"; settle 1s;');
--- script
my $operation = is_pending('refused');
my ($first) = map { $_->{time} } $::Web->requests;
my $is = ends_as($operation, 'undeployed');
cmp_ok($is->{last} / 1000 - $first, '>=', 0.9, 'its caches are waited for');



=== TEST 33: nobody has attempted what is not registered yet
--- before
talks(sub { [404, [], 'no such key'] }, 'success 200; gone 404 "no such key";');
redis('registry', 'SADD', '{cred}:apinizer:environments:MyProject', 'production', 'later');
target('api-user', 't2', 'later');
--- script
my $operation = operation(del('api-user'));
redis('registry', 'HSET', '{cred}:environments', 'later', 'connector:web');
ok(settled(), 'settled once it is registered');
is(receipt($operation, 'later')->{state}, 'not_deployed', 'it was not there');



=== TEST 34: one credential that cannot be asked for, among others that can
--- before
talks(sub { [200, [], ''] }, 'success 200;');
credential([map { "good$_" } 1 .. 5]);
target("good$_", "t$_") for 1 .. 5;
redis('registry', 'HDEL', '{cred}:apinizer:credential:MyProject:api-user', 'target:production');
--- script
my $operation = is_pending('refused');
for my $i (1 .. 5) {
    attempted($operation, 2 * $i);
    answer_is(del("good$i"), 'a good one', everywhere());
}
is(told('undeployment is impossible: the credential had no field'), 1, 'told once');
is(told('undeployments are taken again'), 0, 'and not taken back');



=== TEST 35: what waits for a time of its own hides nothing of what is due at once
--- http_config
cred_registry         $TEST_NGINX_REGISTRY;
cred_connect_timeout  5s;
cred_command_timeout  5s;
cred_cascade_timeout  10s;
cred_retry_delay      1s 1h;
include               $TEST_NGINX_DIR/connectors.conf;
--- before
talks(sub { [$_[0]{target} =~ /held/ ? 429 : 200, ['Retry-After: 1000'], ''] }, 'success 200;');
our @Held = map { "held$_" } 1 .. 260;
credential([@Held, 'free', 'soon']);
target($_, $_) for @Held, 'free', 'soon';
--- script
my @got = map { http_parse($_) } http_many(map { del_raw($_) } @::Held);
attempted(operation($_)) for @got;
$::Web->down;
my $free = operation(del('free'));
attempted($free);
my ($member) = grep { /$free/ } redis('registry', 'ZRANGE', '{cred}:pending:production', 0, -1);
my $late = receipt($free)->{last} + 2_000_000;
redis('registry', 'ZADD', '{cred}:pending:production', $late, $member);
del('soon');

# until it is seen to be down by who looks for what is due

sub claims { redis('registry', 'INFO', 'commandstats') =~ /^cmdstat_evalsha:calls=(\d+)/m; $1 }

my $claims = claims();
wait_for(sub { claims() > $claims + 5 });
$::Web->up;
ok(wait_for(sub { receipt($free)->{state} eq 'undeployed' }), 'attempted when it is back');



=== TEST 36: nginx leaves while it asks for a name, with "resolver" below
--- before
our $Silent = IO::Socket::INET->new(LocalAddr => '127.0.0.1', Proto => 'udp');
$ENV{TEST_NGINX_DNS} = $Silent->sockport;
connectors(web => 'url http://nowhere.test; request DELETE "/{target}"; success 200;');
reaches('web', 'api-user' => 't1');
--- http_config eval: $::Http . 'resolver 127.0.0.1:$TEST_NGINX_DNS;'
--- script
ok(wait_for(sub {
    my $in = '';
    vec($in, fileno $::Silent, 1) = 1;
    return select $in, undef, undef, 0;
}), 'asked for');
my ($worker) = nginx_workers();
nginx_reload();
ok(wait_for(sub { !kill 0, $worker }), 'the old worker has left');
nginx_signal('TERM');
ok(wait_for(sub { error_log_text() =~ /\[notice\] .* exit$/m }), 'and the new one');
unlike(error_log_text(), qr/exited on signal/, 'in good order');



=== TEST 37: the same, where what is there is told in other words
--- before
talks(sub { my ($r, $self) = @_;
            return [404, [], 'no such key'] if $self->{gone} && $self->{seen};
            if ($r->{method} eq 'GET') {
                return [404, [], 'no such key'] if $self->{gone} == 1 && !$self->{asked}++;
                return [302, ['Location: /there'], ''] if $self->{gone} == 1;
                return [404, [], 'no such key'];
            }
            $self->{gone}++;
            return [200, [], 'deleted'] },
      'success 200 deleted; gone 404 "no such key"; verify GET "/credentials/{target}"; settle 1s;');
--- script
my $operation = is_pending('unconfirmed');
ok(settled(), 'settled');
is(scalar(grep { /DELETE/ } $::Web->asked), 2, 'it is deleted again');
is(receipt($operation)->{state}, 'undeployed', 'undeployed');



=== TEST 38: what was seen again is not gone by a word without words
--- before
talks(sub { my ($r, $self) = @_;
            my ($first, $later) = $r->{method} eq 'GET' ? (404, 200) : (200, 502);
            return [$self->{ $r->{method} }++ ? $later : $first, [], ''] },
      'success 200; gone 404; verify GET "/credentials/{target}"; settle 1s;');
--- script
my $operation = is_pending('unconfirmed');
like(attempted($operation, 2)->{error}, qr/request: answer 502/, 'it is there');
nginx_reload();
$::Web->say(404, [], '', on => "$_ /credentials/t1", times => 0) for 'GET', 'DELETE';
my $is = receipt_when($operation, sub {
    $_[0]{state} ne 'pending' || $_[0]{error} =~ /answer 404/
});
is($is->{state}, 'pending', 'pending');
like($is->{error}, qr/request: answer 404, which does not say/, 'the error');



=== TEST 39: a word without words is no lost answer, either
--- before
talks(sub { [$_[0]{method} eq 'GET' ? 404 : 410, [], ''] },
      'success 200; gone 404 410; verify GET "/credentials/{target}";');
credential('other');
target('other', 'other');
--- script
my $operation = is_pending('refused');
ok(!attempted($operation)->{unclear}, 'nothing was lost');
$::Web->say(200, [], '', on => 'DELETE /credentials/other');
del('other');
ends_as($operation, 'not_deployed');
