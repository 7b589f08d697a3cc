# What presets and examples believe of real targets, asked without nginx: another
# version may answer otherwise.

use strict;
use warnings;

use lib 't/lib';
use CredTest::Caddy;
use CredTest::Etcd;
use CredTest::ExpressGateway;
use CredTest::Process;
use CredTest::Redis;
use CredTest::Target;
use CredTest::Webhook;
use Digest::SHA ();
use File::Path ();
use JSON::PP ();
use MIME::Base64 ();
use Test::More;

my %All = (
    Caddy          => \&caddy,
    Etcd           => \&etcd,
    ExpressGateway => \&express,
    Webhook        => \&webhook,
);

for my $name (sort keys %All) {
    my ($lacks) = "CredTest::$name"->lacks;

    if (defined $lacks) {
        note("$name: no $lacks");
        next;
    }

    $All{$name}->();
}

ok(1, 'all that are there');
done_testing();

END {
    my $status = $?;
    reap_all();
    File::Path::remove_tree(temp_dir());
    $? = $status;
}


sub answers {
    my ($got, $status, $body, $name) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    is($got->{status}, $status, "$name: status");
    like($got->{body}, $body, "$name: body");
}


sub caddy {
    my $caddy = CredTest::Caddy->start(
        accounts => { map { $_ => uc } qw(a b c) });
    my $delete = sub {
        my ($id, $etag) = @_;
        return $caddy->ask('DELETE', "/id/$id",
            headers => [defined $etag ? "If-Match: $etag" : ()]);
    };
    my $etag = sub { $caddy->ask('GET', "/id/id-$_[0]")->{headers}{etag} };

    is($caddy->page('b', 'B'), 200, 'caddy: let in');

    for my $method (qw(GET DELETE)) {
        answers($caddy->ask($method, '/id/none'), 404,
                qr/"unknown object ID 'none'"/, "caddy: $method none");
    }

    # the header or the trailer; it holds the path, which is an index

    my $before = $etag->('b');
    like($before, qr{^"/config/.*/accounts/1 [0-9a-f]+"\z}, 'caddy: ETag');
    $caddy->remove('a');
    answers($delete->('id-b', $before), 412, qr/If-Match/, 'caddy: moved');
    answers($delete->('id-c', $etag->('b') =~ s{/0 }{/7 }r), 500,
            qr/out of bounds/, 'caddy: out of bounds');

    # as it decodes a path this would be another object

    answers($delete->('none%2Fid-b'), 404, qr/'none'/, 'caddy: a slash');
    is(join(' ', $caddy->names), 'b c', 'caddy: all stay');

    answers($delete->('id-b', $etag->('b')), 200, qr/^\z/, 'caddy: deleted');
    is($caddy->page('b', 'B'), 401, 'caddy: refused');
    is($caddy->page('c', 'C'), 200, 'caddy: the other is let in');

    $caddy->stop;
    $caddy->run;
    is(join(' ', $caddy->names), 'c', 'caddy: kept with --resume');

    my $host = $caddy->ask('GET', '/id/id-c', host => 'caddy.internal');
    answers($host, 403, qr/host not allowed/, 'caddy: Host');
}


sub etcd {
    my $etcd = CredTest::Etcd->start;
    my $delete = sub {
        my ($key, @headers) = @_;
        return $etcd->ask('POST', '/v3/kv/deleterange', body => { key => $key },
                          headers => \@headers);
    };

    my ($a, $b) = map { CredTest::Etcd::base64("cred/$_") } qw(a b);

    $etcd->put("cred/$_", 'x') for qw(a b);

    answers($delete->($a), 200, qr/"raft_term":"\d+"\},"deleted":"1"\}/,
            'etcd: deleted');
    my $again = $delete->($a);
    answers($again, 200, qr/"raft_term":"\d+"/, 'etcd: not there');
    unlike($again->{body}, qr/deleted/, 'etcd: not there');
    answers($delete->('cred/b'), 400, qr/base64/, 'etcd: no base64');
    answers($delete->(''), 400, qr/key is not provided/, 'etcd: no key');

    $etcd->demand_tokens('cred/');
    my $token = $etcd->token('nginx');

    answers($delete->($b), 400, qr/user name is empty/, 'etcd: no token');
    answers($delete->($b, "Authorization: Bearer $token"), 401,
            qr/invalid auth token/, 'etcd: no such token');
    answers($delete->(CredTest::Etcd::base64('x'), "Authorization: $token"),
            403, qr/permission denied/, 'etcd: no right');
    answers($delete->($b, "Authorization: $token"), 200, qr/"deleted":"1"/,
            'etcd: by a token');

    $etcd->stop;
    $etcd->run;
    answers($delete->($b, "Authorization: $token"), 401,
            qr/invalid auth token/, 'etcd: it forgets tokens');
}


sub express {
    redis_start('gateway');

    my $express = CredTest::ExpressGateway->start('gateway');
    my $take = sub {
        my ($id, $type) = @_;
        return $express->ask('PUT', '/credentials/' . ($type // 'key-auth')
            . "/$id/status", body => { status => JSON::PP::false() });
    };

    $express->user('alice');
    my ($id, $key) = $express->key('alice');

    is($express->page($key), 404, 'express: let in');
    answers($take->($id), 200, qr/^\{"status":"Deactivated"\}\z/,
            'express: taken back');
    is($express->page($key), 401, 'express: refused');
    answers($take->($id), 200, qr/^\{"status":"Inactive"\}\z/,
            'express: once more');
    answers($take->(@$_), 404, qr/^No credential found with id: \Q$_->[0]\E\z/,
            "express: @$_") for ['none'], [$id, 'nonsense'];
    answers($express->ask('DELETE', "/credentials/key-auth/$id"), 404,
            qr/Cannot DELETE/, 'express: another path');

    redis_stop('gateway');
}


sub webhook {
    my ($old, $new) = map { CredTest::Webhook::secret($_) } 1, 2;
    my $hook = CredTest::Webhook->start($old);
    my $body = '{"type":"x"}';

    my $tell = sub {
        my ($time, @secrets) = @_;

        my @signatures = map {
            'v1,' . MIME::Base64::encode_base64(Digest::SHA::hmac_sha256(
                "id.$time.$body",
                MIME::Base64::decode_base64(s/^whsec_//r)), '');
        } @secrets;

        my $got = $hook->ask('POST', '/', body => $body, headers => [
            'webhook-id: id', "webhook-timestamp: $time",
            "webhook-signature: @signatures"]);

        return $got->{status} . ' ' . (($hook->got)[-1]{errors}[0] // 'verified');
    };

    is($tell->(time, $old), '204 verified', 'webhook: verified');
    is($tell->(time, $new, $old), '204 verified', 'webhook: one of two');
    is($tell->(time, $new), '401 No matching signature found',
       'webhook: another secret');
    is($tell->(time - 400, $old), '401 Message timestamp too old',
       'webhook: too old');
    is($tell->(time + 400, $old), '401 Message timestamp too new',
       'webhook: too new');
}
