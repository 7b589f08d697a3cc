package CredTest::Apis;

# The five APIs: a credential of each, who may delete it, and the request.

use strict;
use warnings;

use parent 'Exporter';

use CredTest::HTTP;
use MIME::Base64 ();

our @EXPORT = qw(names api deployed registered environments request);

my $uuid = '7f3c1c0e-3c1b-4a51-9d0e-0b0f8f2f6a11';

# scope, id, request, the headers that show a token, the statuses of success,
# of a bad token and of a credential that is gone

my %Api = (
    apinizer => {
        scope => 'MyProject', id => 'api-user', done => 200, gone => 400,
        request => ['DELETE',
                    '/apiops/projects/MyProject/credentials/api-user/'],
        token => sub { "Authorization: Bearer $_[0]" },
    },
    iam => {
        scope => 'domain-1', id => 'AK1', done => 204, gone => 404,
        request => ['DELETE', '/v3.0/OS-CREDENTIAL/credentials/AK1'],
        token => sub { "X-Auth-Token: $_[0]" },
    },
    deepset => {
        scope => 'acme', id => $uuid, done => 204, gone => 404,
        request => ['DELETE', "/api/v1/infrastructure/file_stores/$uuid"],
        token => sub { "Authorization: Bearer $_[0]" },
    },
    thousandeyes => {
        scope => '11', id => '405', done => 204, gone => 404,
        request => ['POST', '/v6/credentials/405/delete.json'],
        token => sub {
            my $user = $_[0] =~ /bob/ ? 'bob' : 'alice';
            return 'Authorization: Basic '
                   . MIME::Base64::encode_base64("$user:$_[0]", '');
        },
    },
    alloy => {
        scope => 'u1', id => 'c1', done => 200, gone => 404,
        request => ['DELETE', '/users/u1/credentials/c1'],
        token => sub { "Authorization: bearer $_[0]",
                       'x-api-version: 2025-09' },
    },
);

sub names { qw(apinizer iam deepset thousandeyes alloy) }

sub api { $Api{$_[0]} }

# what the registry has, and of that what an environment has

sub deployed {
    my ($revision) = @_;

    return join '', map {
        my ($scope, $id) = @{ api($_) }{qw(scope id)};
        "HSET {cred}:$_:credential:$scope:$id owner alice revision $revision\n"
        . "SADD {cred}:$_:grants:$scope:$id a:b c:d\n"
        . "SADD {cred}:$_:credentials:$scope $id other\n";
    } names();
}

sub registered {
    return deployed(3) . join '', map {
        my $scope = api($_)->{scope};
        "HSET {cred}:$_:token:sha256($_-token) subject alice scope $scope\n"
        . "HSET {cred}:$_:token:sha256($_-bob) subject bob scope $scope\n"
        . "HSET {cred}:$_:scope:$scope name x\n"
        . "HSET {cred}:$_:members:$scope alice manage bob view\n";
    } names();
}

sub environments { <<'END' }
HSET {cred}:environments production $TEST_NGINX_PRODUCTION staging $TEST_NGINX_STAGING_TCP
END

# the request by whoever has this token, with more header fields

sub request {
    my ($name, $token, @headers) = @_;
    my $api = api($name);
    return call(@{ $api->{request} }, [$api->{token}->($token), @headers], '');
}


1;
