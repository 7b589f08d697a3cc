package BenchSmoke;

# Whom gateways admit, and that all that is measured works.

use strict;
use warnings;

use parent 'Exporter';

use Bench;
use BenchAccess;
use BenchEffect;
use BenchGateways;
use CredTest::Redis;
use MIME::Base64 ();

our @EXPORT = qw(smoke_gateways);


# the answers of a gateway to all that may be shown

sub smoke_answers {
    my ($kind) = @_;
    my $name = "smoke-$kind";
    my $key = key_of(1);
    my $basic = 'Basic ' . MIME::Base64::encode_base64('user-3:secret', '');
    my ($environment) = environments();

    for my $try (
        ['a key',           200, "Authorization: Bearer $key"],
        ['other letters',   200, "authorization: bearer $key"],
        ['X-API-Key',       200, "X-API-Key: $key"],
        ['Basic',           200, "Authorization: $basic"],
        ['none',            401],
        ['unknown',         401, 'Authorization: Bearer nobody'],
        ['too long',        401, 'Authorization: Bearer ' . 'x' x 4097],
        ['another scheme',  401, "Authorization: Digest $key"],
        ['two',             401, "Authorization: Bearer $key", "X-API-Key: $key"],
        ['two X-API-Key',   401, "X-API-Key: $key", "X-API-Key: $key"],
        ['disabled',        401, 'Authorization: Bearer ' . key_of(4)],
        ['expired',         401, 'Authorization: Bearer ' . key_of(5)],
        ['forgotten',       401, 'Authorization: Bearer ' . key_of(6)],
        ['another scope',   403, "Authorization: Bearer $key"],
    ) {
        my ($what, $status, @headers) = @$try;
        my $path = $status == 403 ? '/scoped/page' : '/checked/page';
        my ($head) = get($Nginx{$name}{port}, $path, @headers);
        $head =~ m{^HTTP/1\.1 $status } or fail("$kind: $what: $head");
        $head =~ /^WWW-Authenticate: /m or fail("$kind: $what: $head") if $status == 401;
    }

    redis_kill($environment->{redis});
    my ($head) = get($Nginx{$name}{port}, '/checked/page',
                     'Authorization: Bearer ' . key_of(7));
    $head =~ m{^HTTP/1\.1 503 .*^Retry-After: 1\r?$}ms or fail("$kind: away: $head");
    redis_start($environment->{redis});
    stop_nginx($name);
}


sub smoke_gateways {
    for my $kind (kinds()) {
        prepare(100);
        my ($environment) = environments();
        my $P = "$environment->{prefix}:apinizer";

        redis($environment->{redis}, @$_) for
            ['SET', "$P:key:" . sha256('user-3:secret'), 'bench:user-00000003'],
            ['HSET', "$P:credential:bench:user-00000003",
                     keys => join ' ', sha256(key_of(3)), sha256('user-3:secret')],
            ['HSET', "$P:credential:bench:user-00000004", enabled => 0],
            ['HSET', "$P:credential:bench:user-00000005", expires_at => 1],
            ['HSET', "$P:credential:bench:user-00000006", keys => sha256('new')];

        open_gateway($kind, "smoke-$kind");
        for my $handler (qw(page proxied)) {
            gateway_round("smoke-$kind", "$_/$handler", 3, 200, c => 8)
                for qw(plain checked);
        }
        load(unknown_load("smoke-$kind", 100, c => 8));
        smoke_answers($kind);
        say("$kind: cached, unknown");

        prepare(1000);
        cold_round($kind, 2, 0, 0) >= 1 or fail("$kind: no lookup");
        my $n = cold_round($kind, 2, 1, 0);
        say("$kind: cold, $n lookups");

        open_gateway($kind, 'smoke', zone => '1m', valid => 3600);
        fill('smoke', 1000);
        held('smoke', 1000) == 1000 or fail("$kind: keys are lost");
        stop_nginx('smoke');
        say("$kind: 1000 keys held");

        open_gateway($kind, 'smoke', workers => 8, listen => ' reuseport');
        gateway_round('smoke', 'checked/page', 1, 1000);
        stop_nginx('smoke');
        say("$kind: one key, 8 workers");
    }

    if (grep { $_ eq 'module' } kinds()) {
        effect_rounds(20);
        say('module: 20 deletes took effect');
    }
}


1;
