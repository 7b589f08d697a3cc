package CredTest::Caddy;

# A real Caddy: a page behind passwords, whose accounts have an "@id" each, and
# the API that changes its configuration.

use strict;
use warnings;

use parent -norequire, 'CredTest::Target';

use CredTest::Process;
use CredTest::Target;
use JSON::PP ();
use MIME::Base64 ();

my $Accounts = '/config/apps/http/servers/site/routes/0/handle/0/providers'
               . '/http_basic/accounts';


# what it takes that is not there

sub lacks { CredTest::Target->missing('caddy') }


# "accounts" is { NAME => PASSWORD, ... }; with "socket" it is told what to do by
# one, for which it is "localhost".  It demands a Host that it knows

sub start {
    my ($class, %args) = @_;

    my $self = $class->create('caddy', site => free_port(),
                              between => free_port());

    my $admin = $args{socket} ? "unix/$self->{dir}/admin.sock"
                              : "127.0.0.1:$self->{port}";
    my $names = $args{accounts} || {};

    $self->write('caddy.json', json({
        admin => {
            listen => $admin,
            origins => $args{socket} ? ['localhost']
                : [ map { "127.0.0.1:$self->{$_}" } qw(port between) ],
        },
        apps => { http => { servers => { site => {
            listen => ["127.0.0.1:$self->{site}"],
            automatic_https => { disable => JSON::PP::true() },
            routes => [ { handle => [
                {
                    handler => 'authentication',
                    providers => { http_basic => {
                        accounts => [ map { account($_, $names->{$_}) }
                                      sort keys %$names ],
                    } },
                },
                { handler => 'static_response', body => 'page' },
            ] } ],
        } } } },
    }));

    return $self->run;
}


# what was changed is kept when it is started again; its socket is for workers of
# nginx as well

sub command {
    my ($self) = @_;

    return ('sh', '-c', 'umask 0; exec "$@"', 'sh', 'env',
            "HOME=$self->{dir}", "XDG_DATA_HOME=$self->{dir}/data",
            "XDG_CONFIG_HOME=$self->{dir}/config", 'caddy', 'run', '--resume',
            '--config', "$self->{dir}/caddy.json");
}


sub socket { "$_[0]{dir}/admin.sock" }

# without a password nothing is computed, which takes it a second

sub is_ready {
    my ($self) = @_;

    return $self->ask('GET', '/', port => $self->{site})->{status} == 401
           && (-S $self->socket || $self->ask('GET', '/config/')->{status});
}


sub account {
    my ($name, $password) = @_;

    return { '@id' => "id-$name", username => $name,
             password => crypt($password, '$2b$04$abcdefghijklmnopqrstuu') };
}


# as an administrator would

sub add {
    my ($self, $name, $password) = @_;
    return $self->ask('POST', $Accounts, body => account($name, $password));
}

sub change {
    my ($self, $name, $password) = @_;
    return $self->ask('PATCH', "/id/id-$name",
                      body => account($name, $password));
}

sub remove { $_[0]->ask('DELETE', "/id/id-$_[1]") }


# names of its accounts, in its order

sub names {
    my ($self) = @_;
    my $accounts = eval {
        JSON::PP::decode_json($self->ask('GET', $Accounts)->{body});
    };
    return map { $_->{username} } @{ $accounts || [] };
}


# The status of its page for these.  While it takes a new configuration it may
# close a connection

sub page {
    my ($self, $name, $password) = @_;

    my $basic = MIME::Base64::encode_base64("$name:$password", '');
    my $status;

    wait_for(sub {
        $status = $self->ask('GET', '/', port => $self->{site},
                             headers => ["Authorization: Basic $basic"])
                       ->{status};
    });

    return $status;
}


1;
