package CredTest::Etcd;

# A real etcd, asked by its JSON.

use strict;
use warnings;

use parent -norequire, 'CredTest::Target';

use CredTest::Process;
use CredTest::Target;
use JSON::PP ();
use MIME::Base64 ();


sub lacks { CredTest::Target->missing('etcd') }


# it wants a port for its peers, though there are none

sub start { $_[0]->create('etcd', peers => free_port())->run }


sub command {
    my ($self) = @_;

    my $peers = "http://127.0.0.1:$self->{peers}";

    return ('etcd', '--name', 'one', '--data-dir', "$self->{dir}/data",
            '--listen-client-urls', $self->url,
            '--advertise-client-urls', $self->url,
            '--listen-peer-urls', $peers,
            '--initial-advertise-peer-urls', $peers,
            '--initial-cluster', "one=$peers", '--logger', 'zap');
}


sub is_ready { $_[0]->ask('GET', '/health')->{body} =~ /"health": *"true"/ }


sub base64 { MIME::Base64::encode_base64($_[0], '') }


# as whoever may do this; dies if it is refused

sub call {
    my ($self, $path, %body) = @_;

    my $token = $self->{token};
    my $got = $self->ask('POST', "/v3/$path", body => \%body,
                         headers => [defined $token ? "Authorization: $token"
                                                    : ()]);

    die "etcd: $path: $got->{text}" if $got->{status} != 200;

    return JSON::PP::decode_json($got->{body});
}


sub put {
    my ($self, $key, $value) = @_;
    return $self->call('kv/put', key => base64($key), value => base64($value));
}


# the value of a key, or undef

sub get {
    my ($self, $key) = @_;
    my $kvs = $self->call('kv/range', key => base64($key))->{kvs} or return;
    return MIME::Base64::decode_base64($kvs->[0]{value});
}


# From now on tokens are demanded.  The user "nginx" may change what begins with
# this prefix, and no more; the test itself goes on as "root"

sub demand_tokens {
    my ($self, $prefix) = @_;

    my $end = substr($prefix, 0, -1) . chr(1 + ord substr $prefix, -1);

    for (qw(root nginx)) {
        $self->call('auth/user/add', name => $_, password => "$_-password");
        $self->call('auth/role/add', name => $_);
        $self->call('auth/user/grant', user => $_, role => $_);
    }

    $self->call('auth/role/grant', name => 'nginx',
                perm => { permType => 'WRITE', key => base64($prefix),
                          range_end => base64($end) });
    $self->call('auth/enable');
    $self->{token} = $self->token('root');
}


# a new one

sub token {
    my ($self, $user) = @_;

    delete local $self->{token};
    return $self->call('auth/authenticate', name => $user,
                       password => "$user-password")->{token};
}


1;
