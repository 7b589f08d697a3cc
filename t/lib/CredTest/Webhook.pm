package CredTest::Webhook;

# Who is told by a webhook: a server that believes what the official library of
# Standard Webhooks verifies.

use strict;
use warnings;

use parent -norequire, 'CredTest::Target';

use Cwd ();
use CredTest::Npm;
use CredTest::Process;
use CredTest::Target;
use JSON::PP ();
use MIME::Base64 ();

my $Script = Cwd::abs_path('t/connectors/webhook.js');


sub lacks { CredTest::Npm::lacks('standardwebhooks') }


# one that has these secrets

sub start {
    my ($class, @secrets) = @_;

    my $self = $class->create('webhook');

    $self->secrets(@secrets);
    $self->answer(status => 204);
    return $self->run;
}


sub command {
    my ($self) = @_;
    return ('env', CredTest::Npm::environment(), 'node', $Script, $self->{dir},
            $self->{port});
}


sub is_ready {
    my ($self) = @_;
    my $ready = $self->ask('GET', '/')->{status} == 401;
    $self->forget if $ready;
    return $ready;
}


# these from now on; any one of them will do

sub secrets {
    my ($self, @secrets) = @_;
    $self->write('secrets.json', json(\@secrets));
}


# what is answered from now on to what is verified: "status", "headers", "body",
# or nothing with "lost"

sub answer {
    my ($self, %answer) = @_;
    $self->write('answer.json', json(\%answer));
}


# what has come, in order

sub got {
    my ($self) = @_;
    return map { JSON::PP::decode_json($_) }
           slurp("$self->{dir}/got.jsonl") =~ /^(.*)\n/mg;
}

sub forget { unlink "$_[0]{dir}/got.jsonl" }


# one of so many bytes

sub secret {
    my ($seed, $length) = @_;
    my $bytes = join '', map { chr(($seed * 37 + $_ * 11) % 256) }
                         1 .. $length // 32;
    return 'whsec_' . MIME::Base64::encode_base64($bytes, '');
}


1;
