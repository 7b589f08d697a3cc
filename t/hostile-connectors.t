# Systems behind connectors that speak no good HTTP, and names that are none of
# good paths: nothing counts as deleted that is not said to be, the worker lives,
# answers others meanwhile, and neither grows nor burns.

use CredTest;
use CredTest::Certs;
use CredTest::Delete;
use CredTest::Hostile qw(start is_well ping_is_answered);
use CredTest::Stub;
use CredTest::Stubbed qw(private_file);
use JSON::PP ();

our %Sample = sample();

defaults(%Sample, http_config => <<'END', config => <<'END');
cred_registry         $TEST_NGINX_REGISTRY;
cred_connect_timeout  5s;
cred_command_timeout  5s;
cred_cascade_timeout  30s;
cred_retry_delay      200ms 400ms;
include               $TEST_NGINX_DIR/connectors.conf;
END
location /ping { return 200; }
location /apiops/ { cred_delete apinizer; }
END

certificate('here', names => 'DNS:localhost,IP:127.0.0.1');
certificate('elsewhere', names => 'DNS:elsewhere.test');
certificate('expired', names => 'DNS:localhost', expired => 1);
certificate('revoked', names => 'DNS:localhost');
certificate('self', names => 'DNS:localhost', by => 'self');
certificate('foreign', names => 'DNS:localhost', by => 'stranger');
certificate('client', by => 'clients');
revoke('revoked', 'ca');

our ($Web, %Case);
our $Body = '{"state":"deleted"}';
our $Type = "Content-Type: application/json\r\n";
our $Good = "HTTP/1.1 200 OK\r\n$Type" . 'Content-Length: ' . length($Body)
            . "\r\n\r\n$Body";
our $Chunked = "HTTP/1.1 200 OK\r\n${Type}Transfer-Encoding: chunked\r\n\r\n"
               . chunk(substr $Body, 0, 5) . chunk(substr $Body, 5) . chunk('');
our $Old = "HTTP/1.0 200 OK\r\n$Type\r\n$Body";

sub chunk { sprintf "%x\r\n%s\r\n", length $_[0], $_[0] }

# a good answer but for what is said

sub with   { "HTTP/1.1 200 OK\r\n$Type$_[0]\r\n\r\n" . ($_[1] // $Body) }
sub status { "$_[0]\r\n${Type}Content-Length: " . length($Body) . "\r\n\r\n$Body" }
sub long   { 'Content-Length: ' . length($_[0] // $Body) }
sub chunks { "HTTP/1.1 200 OK\r\n${Type}Transfer-Encoding: chunked\r\n\r\n$_[0]" }

# Environments by name, each of which is answered so: bytes, or steps.  A second
# word is what becomes of it: "done" or "pending", or nothing if it does not matter

sub peers {
    my (%case) = @_;

    %Case = %case;

    $Web = web(sub {
        my ($request, $self) = @_;
        my ($name) = $request->{target} =~ m{^/([^/?]+)};

        return [404, [], '{"state":"gone"}'] if $self->{good};

        my $says = $::Case{$name}[0];
        return ref $says eq 'ARRAY' ? $says : [$says];
    });

    # what is to be done has the time that it takes

    private_file('connectors.conf', join '', map {
        my ($name, $timeout) = @$_;
        "cred_connector $name { url " . $Web->url . ';'
            . qq( request DELETE "/{environment}"; timeout $timeout;)
            . qq( success 200 '"deleted"'; success 204; gone 404 '"gone"'; }\n);
    } ['web', '2s'], ['patient', '30s']);

    redis('registry', 'DEL', '{cred}:environments');
    redis('registry', 'HSET', '{cred}:environments',
          map { $_ => 'connector:' . (($Case{$_}[1] // '') eq 'done' ? 'patient' : 'web') }
          keys %Case);
}

# "true" or "false" by environment

sub results {
    my ($got) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    is($got->{status}, 200, 'deleted');
    my $body = eval { JSON::PP::decode_json($got->{body}) } || {};
    return map { $_->{environmentName} => $_->{success} ? 'done' : 'pending' }
           @{ $body->{deploymentResult}{environmentResults} || [] };
}

sub receipts {
    my ($operation) = @_;
    my $json = JSON::PP->new->latin1;
    my %receipt;

    # they are written after the answer

    wait_for(sub {
        my %is = redis('registry', 'HGETALL', "{cred}:operation:$operation");
        %receipt = map { /^environment:(.*)/s ? ($1 => $json->decode($is{$_})) : () }
                   keys %is;
        return !grep { $_->{state} eq 'pending' && !$_->{attempts} } values %receipt;
    });

    return %receipt;
}

# One delete in all of them, which becomes what it should; then they are good, and
# what is pending is done

sub as_they_should {
    my (%args) = @_;

    local $Test::Builder::Level = $Test::Builder::Level + 1;

    my $before = start();
    my $got = del('api-user');
    my %is = results($got);
    my @wrong = map { "$_ is $is{$_}" }
                grep { $Case{$_}[1] && ($is{$_} // '') ne $Case{$_}[1] } sort keys %Case;

    is(scalar(keys %is), scalar(keys %Case), 'all have a result');
    is(join(', ', @wrong), '', 'the right one');

    # still so after some more attempts, while others are answered

    my $operation = operation($got);
    my @pending = grep { $is{$_} eq 'pending' } keys %is;

    ok(wait_for(sub {
        ping_is_answered() or return;
        my %receipt = receipts($operation);
        return !grep { ($receipt{$_}{attempts} // 0) < 3
                       && $receipt{$_}{state} eq 'pending' } @pending;
    }), 'all are tried again');

    my %receipt = receipts($operation);
    my @done = grep { ($Case{$_}[1] // '') eq 'pending'
                      && $receipt{$_}{state} ne 'pending' } @pending;
    is(join(', ', sort @done), '', 'none is done after that');

    if ($args{unclear}) {
        my @clear = grep { !$receipt{$_}{unclear} && $receipt{$_}{state} eq 'pending' }
                    @pending;
        is(join(', ', sort @clear), '', 'nobody knows what they did');
    }

    $Web->do(set => good => 1);
    ok(settled(), 'all of them are done when they are good');

    %receipt = receipts($operation);
    my %states = map { $receipt{$_}{state} => 1 } @pending;
    delete $states{not_deployed} unless $args{unclear};
    delete $states{undeployed};
    is(join(', ', sort keys %states), '', 'as it should be');

    is_well($before);
    return %is;
}

add_test_cleanup_handler(sub {
    my ($block) = @_;
    my @faults = $Web ? $Web->faults : ();
    is("@faults", '', $block->name . ' - all requests were good HTTP');
    undef $Web;
});

run_tests();


__DATA__

=== TEST 1: answers that are cut at each byte
--- before
my %text = (length => $::Good, chunks => $::Chunked);
my %case;

for my $name (keys %text) {
    my $most = length $text{$name};
    $case{"$name-$_"} = [[substr($text{$name}, 0, $_), end()], 'pending']
        for 0 .. $most - 1;
    $case{"$name-$most"} = [[$text{$name}, end()], 'done'];
}

peers(%case);
--- script
as_they_should(unclear => 1);



=== TEST 2: and reset there, or silent
--- before
my %case;

for (0 .. length($::Good) - 1) {
    $case{"reset-$_"} = [[substr($::Good, 0, $_), end('reset')], 'pending'];
    $case{"silent-$_"} = [[substr($::Good, 0, $_), hold()], 'pending'] if $_ % 9 == 0;
}

for (0 .. length($::Chunked) - 1) {
    $case{"chunks-$_"} = [[substr($::Chunked, 0, $_), end('reset')], 'pending'];
}

peers(%case);
--- script
as_they_should(unclear => 1);



=== TEST 3: answers that end with their connections
--- before
my $head = length($::Old) - length $::Body;
my %case;

# a part of the text is none

for (0 .. length($::Old)) {
    $case{"old-$_"} = [[substr($::Old, 0, $_), end()],
                       $_ < $head + length($::Body) - 1 ? 'pending' : 'done'];
}

my $new = $::Old =~ s/1\.0/1.1/r;
$case{new} = [[$new, end()], 'done'];
$case{'new-close'} = [[$new =~ s/\r\n/\r\nConnection: close\r\n/r, end()], 'done'];
$case{'new-open'} = [[$new, hold()], 'pending'];
$case{'old-length'} = [[$::Good =~ s/1\.1/1.0/r, end()], 'done'];
$case{'old-kept'} = [[$::Good =~ s/1\.1 200 OK/1.0 200 OK\r\nConnection: keep-alive/r],
                     'done'];
$case{'old-less'} = [[$::Good =~ s/1\.1/1.0/r =~ s/.\z//sr, end()], 'pending'];
$case{'old-chunks'} = [[$::Chunked =~ s/1\.1/1.0/r, end()]];
peers(%case);
--- script
as_they_should();



=== TEST 4: chunks
--- before
my $b = $::Body;

peers(
    good         => [$::Chunked, 'done'],
    bytes        => [chunks(join('', map { chunk($_) } split //, $b) . chunk('')), 'done'],
    capitals     => [chunks(sprintf("%X\r\n%s\r\n", length $b, $b) . chunk('')), 'done'],
    zeros        => [chunks(sprintf("%08x\r\n%s\r\n", length $b, $b) . chunk('')), 'done'],
    extension    => [chunks(sprintf("%x;a=b\r\n%s\r\n0;c\r\n\r\n", length $b, $b)), 'done'],
    trailer      => [chunks(chunk($b) . "0\r\nX: y\r\nZ: a\r\n\r\n"), 'done'],
    'much-before' => [chunks(chunk('x' x 60000) . chunk($b) . chunk('')), 'done'],
    'no-end'     => [[chunks(chunk($b)), end()], 'pending'],
    'no-length'  => [chunks("\r\n$b\r\n0\r\n\r\n"), 'pending'],
    word         => [chunks("zz\r\n$b\r\n0\r\n\r\n"), 'pending'],
    below        => [chunks("-13\r\n$b\r\n0\r\n\r\n"), 'pending'],
    hex          => [chunks("0x13\r\n$b\r\n0\r\n\r\n"), 'pending'],
    'longer-than' => [[chunks("15\r\n$b\r\n0\r\n\r\n"), end()], 'pending'],
    'shorter-than' => [chunks("12\r\n$b\r\n0\r\n\r\n"), 'pending'],
    'no-crlf'    => [chunks("13\r\n${b}xx0\r\n\r\n"), 'pending'],
    most         => [chunks("7fffffffffffffff\r\n$b\r\n0\r\n\r\n"), 'pending'],
    more         => [chunks("ffffffffffffffff\r\n$b\r\n0\r\n\r\n"), 'pending'],
    'more-than-64-bits' => [chunks("10000000000000013\r\n$b\r\n0\r\n\r\n"), 'pending'],
    'length-of-2000' => [chunks('1' x 2000 . "\r\n"), 'pending'],
    'too-much'   => [chunks(chunk($b) . chunk('x' x 1000) x 70 . chunk('')), 'pending'],
    endless      => [[chunks(chunk($b)), endless(chunk('x' x 4000) x 4)], 'pending'],
    'endless-bytes' => [[chunks(chunk($b)), endless(chunk('x') x 2000)], 'pending'],
    'endless-trailer' => [[chunks(chunk($b) . "0\r\n"), endless("X: y\r\n" x 1000)],
                          'pending'],
    'endless-line' => [[chunks(chunk($b) . "0\r\nX: "), endless('y' x 9000)], 'pending'],
    'endless-extension' => [[chunks('13;a='), endless('y' x 9000)], 'pending'],
    'endless-zeros' => [[chunks(''), endless('0' x 9000)], 'pending'],
    'and-length' => [with("Transfer-Encoding: chunked\r\nContent-Length: 5",
                          chunk($b) . chunk(''))],
    'length-and' => [with("Content-Length: 5\r\nTransfer-Encoding: chunked",
                          chunk($b) . chunk(''))],
    twice        => [with("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
                          chunk($b) . chunk(''))],
    gzip         => [with('Transfer-Encoding: gzip, chunked', chunk($b) . chunk(''))],
    unknown      => [[with('Transfer-Encoding: x'), end()]],
    'lf-alone'   => [chunks(sprintf "%x\n%s\n0\n\n", length $b, $b)],
    'text-in-an-extension' => [chunks(qq(1;"deleted"\r\nx\r\n0\r\n\r\n)), 'pending'],
    'text-in-a-trailer' => [chunks(qq(1\r\nx\r\n0\r\nX: "deleted"\r\n\r\n)), 'pending'],
);
--- script
as_they_should();



=== TEST 5: lengths
--- before
my $b = $::Body;
my $n = length $b;

peers(
    same         => [with("Content-Length: $n\r\nContent-Length: $n")],
    different    => [with("Content-Length: $n\r\nContent-Length: 5"), 'pending'],
    'and-other'  => [with("Content-Length: 5\r\nContent-Length: $n"), 'pending'],
    list         => [with("Content-Length: $n, $n")],
    'a-list'     => [with("Content-Length: $n, 5"), 'pending'],
    signed       => [with("Content-Length: +$n"), 'pending'],
    below        => [with('Content-Length: -1'), 'pending'],
    hex          => [with('Content-Length: 0x13'), 'pending'],
    word         => [with('Content-Length: all'), 'pending'],
    unit         => [with("Content-Length: ${n}b"), 'pending'],
    fraction     => [with("Content-Length: $n.0"), 'pending'],
    'of-20'      => [with('Content-Length: 99999999999999999999'), 'pending'],
    'of-64-bits' => [with('Content-Length: ' . (2 ** 32) . $n), 'pending'],
    wraps        => [with('Content-Length: 18446744073709551635'), 'pending'],
    'wraps-32'   => [with('Content-Length: 4294967315'), 'pending'],
    most         => [with('Content-Length: 9223372036854775807'), 'pending'],
    'of-2000'    => [with('Content-Length: ' . '1' x 2000), 'pending'],
    huge         => [[with('Content-Length: 1000000000'), endless('x' x 65536)], 'pending'],
    'too-much'   => [with('Content-Length: 65537', $b . 'x' x (65537 - $n)), 'pending'],
    enough       => [with('Content-Length: 65536', 'x' x (65536 - $n) . $b), 'done'],
    zero         => [with('Content-Length: 0', ''), 'pending'],
    'zero-and-body' => [with('Content-Length: 0'), 'pending'],
    less         => [with('Content-Length: 5'), 'pending'],
    more         => [[with('Content-Length: 100'), end()], 'pending'],
    zeros        => [with("Content-Length: 000$n")],
    'more-after' => [with(long(), $b . 'garbage'), 'done'],
);
--- script
as_they_should();



=== TEST 6: headers
--- before
my $pad = sub { join '', map { "X-$_: " . 'y' x $_[1] . "\r\n" } 1 .. $_[0] };

peers(
    good          => [$::Good, 'done'],
    'of-15-kib'   => [with($pad->(15, 1000) . long()), 'done'],
    'of-17-kib'   => [with($pad->(17, 1000) . long()), 'pending'],
    'of-1-mib'    => [with($pad->(1024, 1000) . long()), 'pending'],
    'line-of-1-mib' => [with('X: ' . 'y' x 1048576 . "\r\n" . long()), 'pending'],
    'name-of-1-mib' => [with('X' x 1048576 . ": y\r\n" . long()), 'pending'],
    'reason-of-1-mib' => ['HTTP/1.1 200 ' . 'O' x 1048576 . "\r\n" . long()
                          . "\r\n\r\n$::Body", 'pending'],
    endless       => [["HTTP/1.1 200 OK\r\n", endless("X: y\r\n" x 1000)], 'pending'],
    'endless-line' => [["HTTP/1.1 200 OK\r\nX: ", endless('y' x 65536)], 'pending'],
    'endless-reason' => [['HTTP/1.1 200 ', endless('O' x 65536)], 'pending'],
    'a-zero'      => [with("X: a\0b\r\n" . long()), 'pending'],
    'no-colon'    => [with("nonsense\r\n" . long())],
    'no-name'     => [with(": x\r\n" . long())],
    'a-space'     => [with('Content-Length : ' . length $::Body)],
    folded        => [with("X: a\r\n b\r\n" . long())],
    'cr-alone'    => [with("X: a\rContent-Length: 5\r\n" . long())],
    'lf-alone'    => [$::Good =~ s/\r\n/\n/gr],
    'no-length-lines' => [["HTTP/1.1 200 OK\r\n\r\n$::Body", end()], 'done'],
    'text-there'  => [qq(HTTP/1.1 200 OK\r\nX: "deleted"\r\nContent-Length: 0\r\n\r\n),
                      'pending'],
    'many'        => [with(join('', map { "X-$_: $_\r\n" } 1 .. 700) . long()), 'done'],
    'ansi'        => ["HTTP/1.1 500 \e[31m\x07\r2026/01/01 00:00:00 [warn] forged\r\n"
                      . "Content-Length: 0\r\n\r\n", 'pending'],
    'location'    => ["HTTP/1.1 302 Found\r\nLocation: http://\e[31m/\xff\r\n"
                      . "Content-Length: 0\r\n\r\n", 'pending'],
    'location-long' => ["HTTP/1.1 302 Found\r\nLocation: http://a/" . 'x' x 12000
                        . "\r\nContent-Length: 0\r\n\r\n", 'pending'],
    upgraded      => ["HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\n"
                      . "Connection: Upgrade\r\n\r\n", 'pending'],
);
--- script
as_they_should();



=== TEST 7: status lines, and what is no HTTP
--- before
my $n = 0;

my @no = ('HTTP/1.1 2000 OK', 'HTTP/1.1 20 OK', 'HTTP/1.1 2 OK', 'HTTP/1.1 -200 OK',
          'HTTP/1.1 0200 OK', 'HTTP/1.1 abc OK', 'HTTP/1.1  OK', 'HTTP/1.1', 'HTTP/',
          'HTTP/1.1200 OK', 'HTTP/11 200 OK', 'HTTP/x.y 200 OK', 'HTTP 200 OK',
          '200 OK', 'ICY 200 OK', 'SSH-2.0-OpenSSH_9.2p1', '+OK', '-ERR unknown command',
          'HTTP/1.1 000 OK', 'HTTP/1.1 099 OK', 'HTTP/1.1 600 OK', 'HTTP/1.1 999 OK',
          "HTTP/1.1 200\0OK", ' HTTP/1.1 200 OK', 'HTTPS/1.1 200 OK',
          'GET / HTTP/1.1', "\0" x 100);

peers(
    (map { 'no-' . ++$n => [status($_), 'pending'] } @no),
    good       => [status('HTTP/1.1 200 OK'), 'done'],
    'no-words' => [status('HTTP/1.1 200 '), 'done'],
    'many-words' => [status('HTTP/1.1 200 This is not an error'), 'done'],
    other      => [status('HTTP/1.1 200 Not Found'), 'done'],
    'no-space' => [status('HTTP/1.1 200')],
    'of-2'     => [status('HTTP/2.0 200 OK')],
    lower      => [status('http/1.1 200 OK')],
    crlf       => ["\r\n$::Good"],
    'tls-alert' => ["\x15\x03\x03\x00\x02\x02\x28", 'pending'],
    'tls-hello' => ["\x16\x03\x01hello" . "\0" x 200, 'pending'],
    'http2'    => ["\0\0\x12\x04\0\0\0\0\0" . "\0" x 18, 'pending'],
    garbage    => [join('', map { chr } 0 .. 255) x 100, 'pending'],
    lines      => ["\r\n" x 10000, 'pending'],
    endless    => [[endless("\0" x 65536)], 'pending'],
    'endless-lines' => [[endless("\r\n" x 5000)], 'pending'],
    body       => [$::Body, 'pending'],
    closed     => [[end()], 'pending'],
    reset      => [[end('reset')], 'pending'],
    silence    => [[hold()], 'pending'],
    json       => [qq({"status":200,"body":$::Body}), 'pending'],
);
--- script
as_they_should(unclear => 1);



=== TEST 8: answers before the answer
--- before
my $continue = "HTTP/1.1 100 Continue\r\n\r\n";
my $hints = "HTTP/1.1 103 Early Hints\r\nLink: </a>; rel=preload\r\n\r\n";

peers(
    continue    => [$continue . $::Good, 'done'],
    steps       => [[$continue, pause(0.1), $::Good], 'done'],
    hints       => [$hints . $::Good, 'done'],
    several     => [$continue . $hints . "HTTP/1.1 102 Processing\r\n\r\n" . $::Good,
                    'done'],
    bytes       => [[drip($hints . $::Good)], 'done'],
    chunked     => [$hints . $::Chunked, 'done'],
    alone       => [[$continue, end()], 'pending'],
    silence     => [[$continue, hold()], 'pending'],
    endless     => [[endless($continue x 100)], 'pending'],
    'endless-hints' => [[endless($hints x 100)], 'pending'],
    'with-text' => [[qq(HTTP/1.1 103 OK\r\nContent-Length: 19\r\n\r\n$::Body), end()],
                    'pending'],
    switched    => ["HTTP/1.1 101 Switching Protocols\r\n\r\n$::Good", 'pending'],
    'then-404'  => ["${continue}HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n",
                    'pending'],
);
--- script
as_they_should();



=== TEST 9: bodies that there are not
--- before
my $no = sub { "HTTP/1.1 $_[0] X\r\n" . ($_[1] // '') . "\r\n" };

peers(
    204           => [$no->(204), 'done'],
    '204-zero'    => [$no->(204, "Content-Length: 0\r\n"), 'done'],
    '204-length'  => [$no->(204, "Content-Length: 19\r\n"), 'done'],
    '204-body'    => [$no->(204, "Content-Length: 19\r\n") . $::Body, 'done'],
    '204-chunks'  => [$no->(204, "Transfer-Encoding: chunked\r\n"), 'done'],
    '204-closed'  => [[$no->(204), end()], 'done'],
    '304'         => [$no->(304, "Content-Length: 19\r\n"), 'pending'],
    '304-body'    => [$no->(304, "Content-Length: 19\r\n") . $::Body, 'pending'],
    '205'         => [$no->(205, "Content-Length: 0\r\n"), 'pending'],
    '206'         => [$no->(206, "Content-Length: 19\r\n") . $::Body, 'pending'],
    '404-gone'    => [$no->(404, "Content-Length: 16\r\n") . '{"state":"gone"}', 'done'],
    '404-html'    => [$no->(404, "Content-Type: text/html\r\nContent-Length: 44\r\n")
                      . '<html><h1>404 the page is gone</h1></html>  ', 'pending'],
    '404-none'    => [$no->(404, "Content-Length: 0\r\n"), 'pending'],
    '404-closed'  => [[$no->(404), end()], 'pending'],
    '404-deleted' => [$no->(404, "Content-Length: 19\r\n") . $::Body, 'pending'],
    '200-gone'    => [$no->(200, "Content-Length: 16\r\n") . '{"state":"gone"}', 'pending'],
    '200-html'    => [$no->(200, "Content-Length: 20\r\n") . '<html>deleted</html>',
                      'pending'],
    '200-half'    => [$no->(200, "Content-Length: 9\r\n") . '"deleted ', 'pending'],
    '410-gone'    => [$no->(410, "Content-Length: 16\r\n") . '{"state":"gone"}', 'pending'],
);
--- script
my %is = as_they_should();
is($is{'404-gone'}, 'done', 'gone in its own words');



=== TEST 10: encodings that were not asked for
--- before
require IO::Compress::Gzip;
IO::Compress::Gzip::gzip(\$::Body, \my $gzip);
IO::Compress::Gzip::gzip(\'{"state":"gone"}', \my $gone);

peers(
    gzip        => [with("Content-Encoding: gzip\r\n" . long($gzip), $gzip), 'pending'],
    'not-gzip'  => [with("Content-Encoding: gzip\r\n" . long()), 'pending'],
    deflate     => [with("Content-Encoding: deflate\r\n" . long()), 'pending'],
    br          => [with("Content-Encoding: br\r\n" . long()), 'pending'],
    two         => [with("Content-Encoding: identity, gzip\r\n" . long()), 'pending'],
    twice       => [with("Content-Encoding: identity\r\nContent-Encoding: gzip\r\n"
                         . long()), 'pending'],
    identity    => [with("Content-Encoding: identity\r\n" . long()), 'done'],
    empty       => [with("Content-Encoding:\r\n" . long())],
    '204'       => ["HTTP/1.1 204 No Content\r\nContent-Encoding: gzip\r\n\r\n", 'done'],
    '404'       => ["HTTP/1.1 404 Not Found\r\nContent-Encoding: gzip\r\n"
                    . long($gone) . "\r\n\r\n$gone", 'pending'],
    bare        => [with(long($gzip), $gzip), 'pending'],
);
--- script
as_they_should();



=== TEST 11: answers that come byte by byte
--- before
peers(
    quick         => [[drip($::Good, 0.0005)], 'done'],
    chunked       => [[drip($::Chunked, 0.0005)], 'done'],
    slow          => [[drip($::Good, 0.05)], 'pending'],
    'slow-header' => [[drip('HTTP/1.1 200 OK' . "\r\nX: y" x 100, 0.05)], 'pending'],
    'slow-chunks' => [[$::Good =~ /^(.*?\r\n)Content-Length/s, "Transfer-Encoding: chunked"
                       . "\r\n\r\n", map { (chunk($_), pause(0.15)) } split //, $::Body],
                      'pending'],
    'slow-end'    => [[$::Old, pause(5), end()], 'pending'],
    good          => [$::Good, 'done'],
);
--- script
my $start = Time::HiRes::time();
as_they_should(unclear => 1);



=== TEST 12: what nobody asked for is not the answer to what is asked next
--- before
my $no = "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n";
my $timeout = "HTTP/1.1 408 Request Timeout\r\nConnection: close\r\n"
              . "Content-Length: 0\r\n\r\n";

peers(
    'two-answers' => [$no . $::Good, 'pending'],
    'three'       => [$no . $::Good . $::Good, 'pending'],
    'two-later'   => [[$no, pause(0.05), $::Good], 'pending'],
    'after-204'   => ["HTTP/1.1 204 No Content\r\n\r\n$::Good", 'done'],
    'after-chunks' => [chunks(chunk('no') . chunk('')) . $::Good, 'pending'],
    'after-304'   => ["HTTP/1.1 304 Not Modified\r\n\r\n$::Good", 'pending'],
    'after-close' => ["HTTP/1.1 404 Not Found\r\nConnection: close\r\n"
                      . "Content-Length: 0\r\n\r\n$::Good", 'pending'],
    'timeout'     => [[$no, pause(0.02), $timeout, end()], 'pending'],
    'half'        => [$no . substr($::Good, 0, 30), 'pending'],
);
--- script
as_they_should();



=== TEST 13: connections that are closed though they are kept
--- before
peers(
    after       => [[$::Good, end()], 'done'],
    'after-a-while' => [[$::Good, pause(0.05), end()], 'done'],
    'after-reset' => [[$::Good, end('reset')], 'done'],
    'said'      => [[$::Good =~ s/\r\n/\r\nConnection: close\r\n/r, end()], 'done'],
    'said-and-not' => [$::Good =~ s/\r\n/\r\nConnection: close\r\n/r, 'done'],
    'said-later' => [$::Good =~ s/\r\n/\r\nConnection: Keep-Alive, Close\r\n/r, 'done'],
);
--- script
as_they_should();

# each connection has had one request after it was said to be closed

my %nth;
$nth{ $_->{conn} }++ for $::Web->requests;
is(scalar(grep { $_ > 1 } values %nth), 0, 'no connection was used again');



=== TEST 14: closed when the next request is on it: sent again, once
--- before
peers(good => [$::Good, 'done']);
$::Web->do(set => good => 0);
--- script
my $before = start();
my $rule = $::Web->rule(kept => 1, times => 0, steps => [end()]);
my @ids = map { "n$_" } 1 .. 20;

for my $id (@ids) {
    credential($id);
    is({ results(del($id)) }->{good}, 'done', "$id is done");
}

is($::Web->matched($rule), 19, 'all but the first were sent again');
my %times;
$times{ $_->{conn} }++ for $::Web->requests;
is(scalar(grep { $_ > 2 } values %times), 0, 'a connection that is closed is closed');
is_well($before);



=== TEST 15: names in paths, in headers and in bodies
--- before
our @Values = ('/', 'a/b', '//', '?', 'a?b=c', '#', 'a#b', '%', '%2e%2e', '%2F', '%00',
               '..', '.', '../x', 'x/..', 'x\\..\\y', './x', 'x/.', '...', '..;', '.x',
               "a\nb", "a\r\nX-Evil: 1", "a\r\n\r\nGET / HTTP/1.1\r\n\r\n", "a\tb",
               'a b', ' a', 'a ', ' ', '"', '\\', '\\"', '","x":"', "'", '{id}', '{',
               '}', '{}', "a\x7fb", '$uri', '${uri}', '&', '=', '+', ';', ',', ':', '@', '!', '*',
               "\x7f", "\x01", "\e[31m", "\0", "a\0b", "\xff", "\xc3\x28", "\xed\xa0\x80",
               "\xf4\x90\x80\x80", "\xc3\xa9", "\xe2\x80\xa8", "\xf0\x9f\x94\x91",
               '<script>', "\xef\xbb\xbf", 'x' x 512, '%' x 512, 'plain');

our @Places = qw(path query header body);

$::Web = web(sub { [200, [], $::Body] });
private_file('connectors.conf', join '', map {
    my ($name, $lines) = @$_;
    "cred_connector $name { url " . $::Web->url . "; success 200; $lines }\n";
} ['path', 'request DELETE "/a/{target}/z";'],
  ['query', 'request DELETE "/q?a={target}&z=z";'],
  ['header', 'request DELETE /h; header X-Target "<{target}>"; header X-Z z;'],
  ['body', q(request POST /b; body '{"a":"{target}","z":"z"}';)]);

redis('registry', 'DEL', '{cred}:environments');
redis('registry', 'HSET', '{cred}:environments',
      map { $_ => "connector:$_" } @::Places);
--- script
my $before = start();
my $bare = qr/[^\0-\x1f\x7f]/;

for my $n (0 .. $#::Values) {
    my $value = $::Values[$n];
    my $name = $value =~ s/([^!-~])/sprintf '\\x%02x', ord $1/gesr;
    my $dots = grep { /^\.\.?\z/ } split m{[/\\]}, $value, -1;
    my $utf8 = eval { Encode::decode('UTF-8', "$value", Encode::FB_CROAK()); 1 };
    my $zero = $value =~ /\0/;
    my $ends = $value =~ /^[\0- \x7f]|[\0- \x7f]\z/;

    my %wanted = (
        path   => !$ends && !$zero && !$dots,
        query  => !$ends && !$zero && !$dots,
        header => scalar(!$ends && $value =~ /^$bare*\z/),
        body   => !$ends && !$zero && $utf8,
    );

    credential("n$n");
    redis('registry', 'HSET', "{cred}:apinizer:credential:MyProject:n$n",
          map { ("target:$_", $value) } @::Places);

    my $seen = () = $::Web->requests;
    my $got = del("n$n");
    my %is = results($got);
    my %receipt = receipts(operation($got));
    my @requests = $::Web->requests;
    splice @requests, 0, $seen;

    for my $place (@::Places) {
        my $wanted = $wanted{$place} ? 'done' : 'pending';
        is($is{$place}, $wanted, "$place: $wanted: " . substr $name, 0, 40);
        like($receipt{$place}{error}, qr/\{target\}|the target begins or ends/,
             'the error names it')
            if $wanted eq 'pending';
    }

    my %of = map { substr($_->{target}, 1, 1) => $_ } @requests;
    is(join('', sort keys %of),
       join('', sort map { substr(tr/p/a/r, 0, 1) } grep { $wanted{$_} } @::Places),
       'these were sent');

    my $decoded = sub { $_[0] =~ s/%(..)/chr hex $1/ger };

    is($decoded->($of{a}{target} =~ m{^/a/([\w.~%-]+)/z\z}), $value, 'in the path')
        if $of{a};
    is($decoded->($of{q}{target} =~ m{^/q\?a=([\w.~%-]+)&z=z\z}), $value, 'in the query')
        if $of{q};
    is($of{h}{headers}{'x-target'}[0], "<$value>", 'in the header') if $of{h};

    if ($of{b}) {
        my $json = eval { JSON::PP->new->utf8->decode($of{b}{body}) } || {};
        is_deeply($json, { a => Encode::decode('UTF-8', "$value"), z => 'z' },
                  'in the body');
    }
}

is_well($before);



=== TEST 16: the other names
--- before
our @Names = ('a/b', '..', 'a?b', 'a#b', '%', '%2F', "a\r\nX: y", "a\nb", 'a b', '"',
              '\\', "\xc3\xa9", "\xff", '{id}', '.', ':', 'a:b', 'a%3Ab', '+', 'plain');

$::Web = web(sub { [200, [], $::Body] });
private_file('connectors.conf', 'cred_connector web { url ' . $::Web->url . '; success 200;'
           . ' request DELETE "/{api}/{scope}/{id}/{revision}/{operation}/{environment}"; }');
redis('registry', 'DEL', '{cred}:environments');
--- script
my $before = start();
my $encode = sub { $_[0] =~ s/([%:])/sprintf '%%%02X', ord $1/ger };
my $percent = sub { $_[0] =~ s/([^\w.~-])/sprintf '%%%02X', ord $1/aegr };
my $dots = sub { scalar grep { /^\.\.?\z/ } split m{[/\\]}, $_[0], -1 };

for my $name (@::Names) {
    my $shown = $name =~ s/([^!-~])/sprintf '\\x%02x', ord $1/gesr;

    # as a scope, as an id, and as an environment

    for my $which (0 .. 2) {
        my @is = ('scope', 'id', 'env');
        $is[$which] = $name;
        my ($scope, $id, $environment) = @is;
        my $key = $encode->($scope) . ':' . $encode->($id);

        redis('registry', 'DEL', '{cred}:environments');
        redis('registry', 'HSET', '{cred}:environments', $environment, 'connector:web');
        redis('registry', 'HSET', '{cred}:apinizer:scope:' . $encode->($scope),
              'description', 'x');
        redis('registry', 'HSET', '{cred}:apinizer:members:' . $encode->($scope),
              'alice', 'manage');
        redis('registry', 'HSET', "{cred}:apinizer:credential:$key", 'owner', 'alice',
              'revision', 3);
        redis('registry', 'SADD', '{cred}:apinizer:credentials:' . $encode->($scope), $id);

        my $seen = () = $::Web->requests;
        my $got = del(undef, path => '/apiops/projects/' . $percent->($scope)
                                     . '/credentials/' . $percent->($id) . '/');

        # what no URL can name is refused before

        next if $got->{status} != 200;

        my $operation = operation($got);
        my @requests = $::Web->requests;
        splice @requests, 0, $seen;

        if ($dots->($name)) {
            is(scalar @requests, 0, "nothing is sent: $shown");
            next;
        }

        is(scalar @requests, 1, "sent: $which, $shown");
        is($requests[0]{target}, join('/', '/apinizer', map { $percent->($_) }
                                      $scope, $id, 3, $operation, $environment),
           'as it is');
    }
}

is_well($before);



=== TEST 17: revisions in a body are numbers
--- before
$::Web = web(sub { [200, [], $::Body] });
private_file('connectors.conf', 'cred_connector web { url ' . $::Web->url . '; success 200;'
           . q( request POST /; body '{"id":"{id}","revision":{revision}}'; }));
redis('registry', 'DEL', '{cred}:environments');
redis('registry', 'HSET', '{cred}:environments', 'web', 'connector:web');
--- script
my $n = 0;

for my $revision ('7', '0', '9007199254740993', '7,"id":"other"', 'x', '-1', '1e9', '"',
                  ' 7', "7\n", '')
{
    my $id = 'n' . ++$n;
    credential($id, 'registry');
    redis('registry', 'HSET', "{cred}:apinizer:credential:MyProject:$id", 'revision',
          $revision);
    my $seen = () = $::Web->requests;
    my $got = del($id);
    my @requests = $::Web->requests;
    splice @requests, 0, $seen;

    for (@requests) {
        like($_->{body}, qr/\A\{"id":"$id","revision":\d+\}\z/, "a number: $n");
        is_deeply([sort keys %{ JSON::PP::decode_json($_->{body}) }], [qw(id revision)],
                  'and no more');
    }
}

cmp_ok(scalar(() = $::Web->requests), '>=', 2, 'good ones are sent');



=== TEST 18: TLS
--- http_config
cred_registry         $TEST_NGINX_REGISTRY;
cred_connect_timeout  20s;
cred_cascade_timeout  30s;
cred_retry_delay      500ms 1s;
cred_ssl_trusted_certificate  $TEST_NGINX_CERTS/ca.crt;
include               $TEST_NGINX_DIR/connectors.conf;
--- before
my $dir = $ENV{TEST_NGINX_CERTS};
my %port;
my $config = '';

for my $name (qw(here elsewhere expired revoked self foreign)) {
    $port{$name} = free_port();
    $config .= "server { listen 127.0.0.1:$port{$name} ssl; return 204;"
               . " ssl_certificate $dir/$name.crt; ssl_certificate_key $dir/$name.key; }\n";
}

for my $more ('clients', 'old') {
    $port{$more} = free_port();
    my $lines = $more eq 'old' ? 'ssl_protocols TLSv1.2;'
                : "ssl_verify_client on; ssl_client_certificate $dir/clients.crt;";
    $config .= "server { listen 127.0.0.1:$port{$more} ssl; return 204; $lines"
               . " ssl_certificate $dir/here.crt; ssl_certificate_key $dir/here.key; }\n";
}

our $Plain = web(sub { [204, [], ''] });
my $http = $Plain->port;

# a port where nobody is, and servers that say this at once

$port{none} = free_port();

for (['closes', ''], ['plain', "HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n"],
     ['alert', "\x15\x03\x03\x00\x02\x02\x28"], ['garbage', "\0" x 500],
     ['silent', undef], ['cut', "\x16\x03\x03\x00\x7a\x02\x00\x00\x76"])
{
    my ($name, $bytes) = @$_;
    $port{$name} = fake(replies => {}, greeting => defined $bytes ? \$bytes : '');
}

my $client = "cred_ssl_certificate $dir/client.crt;"
             . " cred_ssl_certificate_key $dir/client.key;";

# localhost may have another address, where nobody is

my $local = 'cred_ssl_name localhost;';

my @cases = (
    # name, host and port, lines, what becomes of it
    ['good',        "localhost:$port{here}", '', 'done'],
    ['address',     "127.0.0.1:$port{here}", '', 'done'],
    ['elsewhere',   "127.0.0.1:$port{elsewhere}", $local, 'pending'],
    ['named',       "localhost:$port{elsewhere}", 'cred_ssl_name elsewhere.test;', 'done'],
    ['expired',     "127.0.0.1:$port{expired}", $local, 'pending'],
    ['revoked',     "127.0.0.1:$port{revoked}", "$local cred_ssl_crl $dir/ca.crl;", 'pending'],
    ['not-revoked', "localhost:$port{here}", "cred_ssl_crl $dir/ca.crl;", 'done'],
    ['self',        "127.0.0.1:$port{self}", $local, 'pending'],
    ['foreign',     "127.0.0.1:$port{foreign}", $local, 'pending'],
    ['trusted',     "localhost:$port{foreign}",
                    "cred_ssl_trusted_certificate $dir/stranger.crt;", 'done'],
    ['untrusted',   "127.0.0.1:$port{here}",
                    "$local cred_ssl_trusted_certificate $dir/stranger.crt;", 'pending'],
    ['unverified',  "localhost:$port{foreign}", 'cred_ssl_verify off;', 'done'],
    ['no-client',   "localhost:$port{clients}", '', 'pending'],
    ['client',      "localhost:$port{clients}", $client, 'done'],
    ['old',         "localhost:$port{old}", 'cred_ssl_protocols TLSv1.3;', 'pending'],
    ['not-old',     "localhost:$port{old}", '', 'done'],
    ['no-tls',      "localhost:$http", '', 'pending'],
    map { [$_, "localhost:$port{$_}", '', 'pending'] }
        qw(none closes plain alert garbage silent cut),
);

%::Case = map { $_->[0] => [undef, $_->[3]] } @cases;

private_file('connectors.conf', $config . join '', map {
    my ($name, $host, $lines) = @$_;
    "cred_connector $name { url https://$host; request DELETE \"/{id}\"; success 204;"
    . ' timeout ' . ($name =~ /^(?:silent|cut)\z/ ? '2s' : '20s') . "; $lines }\n";
} @cases);

redis('registry', 'DEL', '{cred}:environments');
redis('registry', 'HSET', '{cred}:environments',
      map { $_->[0] => "connector:$_->[0]" } @cases);
--- script
my $before = start();
my $got = del('api-user');
my %is = results($got);
my %receipt;

# where localhost has another address, at which nobody is, by another attempt

ok(wait_for(sub {
    %receipt = receipts(operation($got));
    return !grep { $::Case{$_}[1] eq 'done' && $receipt{$_}{state} ne 'undeployed' }
           keys %::Case;
}), 'done where the certificate is good');
is($is{address}, 'done', 'at once, where there is one address');

for (grep { $::Case{$_}[1] eq 'pending' } sort keys %::Case) {
    is($is{$_}, 'pending', $_);
    is($receipt{$_}{state}, 'pending', "$_: still so");
}

ok(!$receipt{$_}{unclear}, "$_: nothing was sent")
    for qw(elsewhere expired revoked self foreign untrusted none closes alert);
like($receipt{$_}{error}, qr/certificate/i, "$_: the error")
    for qw(elsewhere expired revoked self foreign untrusted);
is_deeply([grep { defined $_->{method} } $::Plain->requests], [],
          'nothing was sent in clear');
is_well($before);
--- allow_log
no required SSL certificate



=== TEST 19: TLS is not left out on the way
--- before
$::Web = web(sub { [302, ['Location: http://127.0.0.1:' . main::free_port() . '/'], ''] });
private_file('connectors.conf', 'cred_connector web { url ' . $::Web->url
           . '; request DELETE "/{id}"; success 200; }');
redis('registry', 'DEL', '{cred}:environments');
redis('registry', 'HSET', '{cred}:environments', 'web', 'connector:web');
--- script
is({ results(del('api-user')) }->{web}, 'pending', 'a redirect is not followed');
