package CredTest::Stub::Kong;

# A stub of Kong 3: the Admin API of a node with a database, or without one, and
# the proxies of two nodes, which keep credentials in their caches for ever, until
# an event tells them.  With "database" => "off" there is none to delete from,
# "token" is what an enterprise wants to see, "poll" is how often, in seconds, the
# other node looks for events.

use strict;
use warnings;

use parent 'CredTest::Stub';

use CredTest::Stub qw(json);
use Time::HiRes ();

my $Uuid = qr/[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}/i;
my $Types = qr/key-auth|basic-auth|hmac-auth|jwt/;


sub new {
    my ($class, %args) = @_;

    return $class->SUPER::new(database => 'postgres', poll => 0.3,
        consumers => {}, credentials => {}, cache => {}, events => [], %args);
}


# its own proxy is on the node of the Admin API

sub ports { qw(admin gateway gateway-b) }


sub add {
    my ($self, $consumer, $uuid, $key, $type) = @_;

    $self->{consumers}{$consumer} = 1;
    $self->{credentials}{ lc $uuid } = { consumer => $consumer, key => $key,
                                         type => $type // 'key-auth' };
    return 1;
}

sub there { exists $_[0]{credentials}{ lc $_[1] } ? 1 : 0 }


sub answer {
    my ($self, $request) = @_;

    return $self->proxy($request) if $request->{at} ne 'admin';

    my ($method, $path) = ($request->{method}, $request->{target} =~ s/\?.*//sr);

    if (defined $self->{token}) {
        my $token = $request->{headers}{'kong-admin-token'};
        return message(401, 'Invalid credentials. Token or User credentials required')
            unless $token;
        return message(401, 'Invalid RBAC credentials')
            if $token->[0] ne $self->{token};
    }

    return message(500, 'An unexpected error occurred') if $self->{broken};

    my @segments = map { unescape($_) } split m{/}, $path;

    if ($path eq '/cache') {
        return message(405, 'Method not allowed') if $method ne 'DELETE';
        delete $self->{cache}{gateway};
        return [204, [], ''];
    }

    # credentials of all consumers; here a delete of what is not there succeeds

    if (@segments >= 2 && $segments[1] =~ /^($Types)s\z/) {
        my ($type, $id) = ($1, lc($segments[2] // ''));
        my %all = %{ $self->{credentials} };

        return message(404, 'Not found') if @segments > 3;

        return json(200, '{"data":[' . join(',', map { qq({"id":"$_"}) }
                         grep { $all{$_}{type} eq $type } sort keys %all)
                         . '],"next":null}') if @segments == 2;

        my $there = $all{$id} && $all{$id}{type} eq $type;

        return $there ? json(200, qq({"id":"$id"})) : message(404, 'Not found')
            if $method eq 'GET';
        return [204, [], ''] if $method eq 'DELETE' && !$there;
    }

    # what no route leads to is answered in the same words as what is not there

    my (undef, $first, $consumer, $type, $id) = @segments;

    return message(404, 'Not found')
        if @segments != 5 || $first ne 'consumers' || $type !~ /^$Types\z/;

    return message(405, 'Method not allowed') unless $method =~ /^(?:GET|DELETE)\z/;

    # what is no UUID is taken for the secret itself

    my $found = $id =~ /^$Uuid\z/ ? lc $id
              : (grep { $self->{credentials}{$_}{key} eq $id }
                 keys %{ $self->{credentials} })[0];
    my $is = $self->{credentials}{ $found // '' };

    return message(404, 'Not found')
        if !$is || !$self->{consumers}{$consumer} || $is->{consumer} ne $consumer
           || $is->{type} ne $type;

    return json(200, qq({"id":"$found","consumer":{"id":"$consumer"}}),
                'Server: kong/3.9.1') if $method eq 'GET';

    return json(405, '{"code":12,"name":"operation unsupported","message":'
                     . q("cannot remove 'keyauth_credentials' entities when not)
                     . ' using a database"}')
        if $self->{database} eq 'off';

    delete $self->{credentials}{$found};

    # who dies here has told nobody

    unless ($request->{dies}) {
        delete $self->{cache}{gateway}{ $is->{key} };
        push @{ $self->{events} }, [Time::HiRes::time() + $self->{poll}, $is->{key}];
    }

    return [204, ['Server: kong/3.9.1'], ''];
}


sub message {
    my ($status, $text) = @_;
    return json($status, qq({"message":"$text"}), 'Server: kong/3.9.1');
}

sub unescape { $_[0] =~ s/%(..)/chr hex $1/ger }


# what is in the cache is believed, also that there is no such key

sub proxy {
    my ($self, $request) = @_;

    my ($key) = @{ $request->{headers}{apikey} || [] };
    my $cache = $self->{cache}{ $request->{at} } ||= {};

    $cache->{$key} //= (grep { $_->{key} eq $key }
                        values %{ $self->{credentials} }) ? 1 : 0;

    return $cache->{$key} ? [200, [], 'upstream'] : message(401, 'Unauthorized');
}


sub tick {
    my ($self) = @_;

    while (@{ $self->{events} } && $self->{events}[0][0] <= Time::HiRes::time()) {
        delete $self->{cache}{'gateway-b'}{ (shift @{ $self->{events} })->[1] };
    }

    return 0.02;
}


1;
