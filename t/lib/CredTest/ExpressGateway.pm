package CredTest::ExpressGateway;

# A real Express Gateway on a Redis of the test: a page behind keys, and the API
# that makes keys and takes them back.

use strict;
use warnings;

use parent -norequire, 'CredTest::Target';

use CredTest::Npm;
use CredTest::Process;
use CredTest::Redis;
use CredTest::Target;
use JSON::PP ();


sub lacks { CredTest::Npm::lacks('express-gateway') }


# on this Redis

sub start {
    my ($class, $redis) = @_;

    my $self = $class->create('express', gateway => free_port());
    my $port = $self->{gateway};

    # what it leads to is the nginx of the test, or nothing at all

    $self->write('gateway.config.json', json({
        http => { port => $port, hostname => '127.0.0.1' },
        admin => { port => $self->{port}, host => '127.0.0.1' },
        apiEndpoints => { page => { host => '*', paths => '/page' } },
        serviceEndpoints => { page => { url => $self->url } },
        policies => ['proxy', 'key-auth'],
        pipelines => { page => {
            apiEndpoints => ['page'],
            policies => [ { 'key-auth' => {} },
                          { proxy => { action => {
                              serviceEndpoint => 'page' } } } ],
        } },
    }));

    $self->write('system.config.json', json({
        db => { redis => { host => '127.0.0.1', port => 0 + redis_port($redis),
                           namespace => 'EG' } },
        crypto => { cipherKey => 'x', algorithm => 'aes256', saltRounds => 4 },
        session => { secret => 'x', resave => JSON::PP::false(),
                     saveUninitialized => JSON::PP::false() },
        map { ($_ => { timeToExpiry => '7200000' }) }
            qw(accessTokens refreshTokens authorizationCodes),
    }));

    my $models = CredTest::Npm::folder('express-gateway/lib/config/models');
    symlink $models, "$self->{dir}/models" or die "$models: $!";

    return $self->run;
}


sub command {
    my ($self) = @_;

    return ('env', CredTest::Npm::environment(), "EG_CONFIG_DIR=$self->{dir}",
            'EG_DISABLE_CONFIG_WATCH=true', 'node',
            CredTest::Npm::folder('express-gateway/lib/index.js'));
}


sub is_ready {
    my ($self) = @_;
    return $self->ask('GET', '/users')->{status} == 200
           && $self->page('none:none') == 401;
}


# the API: what it says, or a death

sub call {
    my ($self, $method, $path, $body) = @_;

    my $got = $self->ask($method, $path, body => $body);
    die "express: $path: $got->{text}" if $got->{status} != 200;

    return JSON::PP->new->allow_nonref->decode($got->{body});
}


# a user, and a key of his; returns its id and what a client shows

sub user {
    my ($self, $name) = @_;

    return $self->call('POST', '/users', { username => $name,
        firstname => $name, lastname => $name, email => "$name\@example.com" });
}

sub key {
    my ($self, $name) = @_;

    my $key = $self->call('POST', '/credentials', { consumerId => $name,
        type => 'key-auth', credential => {} });

    return ($key->{keyId}, "$key->{keyId}:$key->{keySecret}");
}


sub is_active {
    my ($self, $id) = @_;
    my $key = $self->call('GET', "/credentials/key-auth/$id");
    return $key && ($key->{isActive} ? 1 : 0);
}


# the status of the page for a client that shows this: 404 is what it leads to

sub page {
    my ($self, $shown) = @_;

    return $self->ask('GET', '/page', port => $self->{gateway},
                      headers => ["Authorization: apiKey $shown"])->{status};
}


1;
