package CredTest::Stub::Vault;

# A stub of Vault and of OpenBao: tokens, which are known by their accessors, and
# leases of secrets in a backend.  A lease that is revoked without "sync" is so
# after "queue" seconds; "token" is what it wants to see.

use strict;
use warnings;

use parent 'CredTest::Stub';

use CredTest::Stub qw(json);
use JSON::PP ();
use Time::HiRes ();


sub new {
    my ($class, %args) = @_;
    return $class->SUPER::new(token => 'hvs.root', queue => 0.5, tokens => {},
                              leases => {}, later => [], %args);
}


# its gateway is whatever asks whether a token or a secret is good

sub ports { qw(admin gateway) }


sub add       { $_[0]{tokens}{ $_[1] } = $_[2]; 1 }
sub add_lease { $_[0]{leases}{ $_[1] } = $_[2]; 1 }
sub there     { exists $_[0]{tokens}{ $_[1] } || exists $_[0]{leases}{ $_[1] } ? 1 : 0 }

# the backend of the leases does not answer; it is sealed; there is another leader;
# it has been asked too often

sub lose_backend { $_[0]{lost} = $_[1]; 1 }
sub seal         { $_[0]{sealed} = $_[1]; 1 }
sub lead         { $_[0]{leader} = $_[1]; 1 }
sub limit        { $_[0]{limit} = $_[1]; 1 }


sub answer {
    my ($self, $request) = @_;

    if ($request->{at} ne 'admin') {
        my ($key) = @{ $request->{headers}{apikey} || [] };
        return (grep { $_ eq $key } values %{ $self->{tokens} },
                                    values %{ $self->{leases} })
               ? [200, [], 'upstream'] : [403, [], ''];
    }

    return errors(503, 'Vault is sealed') if $self->{sealed};

    return [307, ["Location: $self->{leader}$request->{target}"], '']
        if $self->{leader};

    return json(429, qq({"errors":["request path \\"x\\": rate limit quota exceeded"]}\n),
                "Retry-After: $self->{limit}") if defined $self->{limit};

    my ($token) = @{ $request->{headers}{'x-vault-token'} || [] };
    my $path = $request->{target};

    return errors(403, 'permission denied')
        unless defined $token && $token eq $self->{token};

    return errors(404, qq(no handler for route "$path". route entry not found.))
        unless $path =~ m{^/v1/(?:sys/leases/revoke|auth/token/revoke-accessor)\z};

    return errors(405, 'unsupported operation')
        unless $request->{method} =~ /^(?:POST|PUT)\z/;

    my $args = eval { JSON::PP::decode_json($request->{body}) };

    return errors(400, 'error parsing JSON') unless ref $args eq 'HASH';

    return $path =~ /accessor/ ? $self->revoke_accessor($args->{accessor})
                               : $self->revoke_lease($args->{lease_id},
                                                     $args->{sync});
}


sub revoke_accessor {
    my ($self, $accessor) = @_;

    return errors(400, 'missing accessor') unless length($accessor // '');

    return json(200, '{"request_id":"0b37d6a4","lease_id":"","renewable":false,'
                     . '"lease_duration":0,"data":null,"wrap_info":null,"warnings":'
                     . qq(["No token found with this accessor"],"auth":null}\n))
        unless delete $self->{tokens}{$accessor};

    return [204, ['Cache-Control: no-store', 'Content-Type: application/json'], ''];
}


# one that never was is as one that is revoked

sub revoke_lease {
    my ($self, $lease, $sync) = @_;

    return errors(400, 'lease_id must be specified') unless length($lease // '');

    unless ($sync) {
        push @{ $self->{later} }, [Time::HiRes::time() + $self->{queue}, $lease];
        return [202, ['Content-Type: application/json'], ''];
    }

    return errors(500, "1 error occurred:\n\t* failed to revoke entry: no backend")
        if $self->{lost} && exists $self->{leases}{$lease};

    delete $self->{leases}{$lease};
    return [204, ['Cache-Control: no-store', 'Content-Type: application/json'], ''];
}


sub errors {
    my ($status, $text) = @_;
    return json($status, JSON::PP->new->canonical->encode({ errors => [$text] })
                         . "\n", 'Cache-Control: no-store');
}


sub tick {
    my ($self) = @_;

    while (@{ $self->{later} } && $self->{later}[0][0] <= Time::HiRes::time()) {
        delete $self->{leases}{ (shift @{ $self->{later} })->[1] } unless $self->{lost};
        last if $self->{lost};
    }

    return 0.02;
}


1;
