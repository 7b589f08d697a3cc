package CredTest::Stub::Tyk;

# A stub of Tyk 5: the gateway's own API, whose store is a Redis, and two gateways
# that keep sessions for "session" seconds.  Keys are known by their hashes.  With
# "flushes" a delete ends the sessions, too, which takes that keys are hashed as
# the cache hashes them.

use strict;
use warnings;

use parent 'CredTest::Stub';

use CredTest::Stub qw(json);
use Digest::SHA ();
use Time::HiRes ();


sub new {
    my ($class, %args) = @_;
    return $class->SUPER::new(secret => '352d20ee', session => 10, keys => {},
                              sessions => {}, %args);
}


sub ports { qw(admin gateway gateway-b) }

sub hash { Digest::SHA::sha256_hex($_[0]) }


sub add {
    my ($self, $key) = @_;
    $self->{keys}{ hash($key) } = $key;
    return hash($key);
}

sub there { exists $_[0]{keys}{ $_[1] } ? 1 : 0 }

# its Redis does not answer; or not for this DEL alone

sub lose_redis { $_[0]{lost} = $_[1]; 1 }


sub answer {
    my ($self, $request) = @_;

    return $self->proxy($request) if $request->{at} ne 'admin';

    my ($method, $path, $query) = ($request->{method},
                                   $request->{target} =~ /^([^?]*)(?:\?(.*))?/s);

    return [404, ['Content-Type: text/plain; charset=utf-8'], "404 page not found\n"]
        unless $path =~ m{^/tyk/};

    my ($secret) = @{ $request->{headers}{'x-tyk-authorization'} || [] };

    return message(403, 'Attempted administrative access with invalid or missing key!')
        unless defined $secret && $secret eq $self->{secret};

    return [404, ['Content-Type: text/plain; charset=utf-8'], "404 page not found\n"]
        unless $path =~ m{^/tyk/keys/([^/]*)\z};

    my $name = $1 =~ s/%(..)/chr hex $1/ger;

    return message(405, 'Method not supported')
        unless $method =~ /^(?:GET|DELETE|POST|PUT)\z/;

    my $hash = ($query // '') =~ /(?:^|&)hashed=[^&]/ ? $name : hash($name);
    my $lost = $self->{lost} // '';

    # a Redis that cannot be asked has no such key

    my $there = exists $self->{keys}{$hash} && $lost ne 'all';

    return $there ? json(200, qq({"org_id":"o","key_id":"$name"}\n))
                  : message(404, 'Key not found') if $method eq 'GET';

    return message(404, 'There is no such key found') unless $there;
    return message(400, 'Failed to remove the key') if $lost eq 'del';

    delete $self->{keys}{$hash};

    if ($self->{flushes} && !$request->{dies}) {
        delete $self->{sessions}{$_}{$hash} for $self->ports;
    }

    return json(200, qq({"key":"$name","status":"ok","action":"deleted"}\n));
}


sub message {
    my ($status, $text) = @_;
    return json($status, qq({"status":"error","message":"$text"}\n));
}


# sessions are not longer for being used

sub proxy {
    my ($self, $request) = @_;

    my ($key) = @{ $request->{headers}{apikey} || [] };
    my $sessions = $self->{sessions}{ $request->{at} } ||= {};
    my $hash = hash($key);
    my $now = Time::HiRes::time();

    return [200, [], 'upstream'] if ($sessions->{$hash} // 0) > $now;

    delete $sessions->{$hash};

    return json(403, qq({\n    "error": "Access to this API has been disallowed"\n}))
        if !exists $self->{keys}{$hash} || $self->{lost};

    $sessions->{$hash} = $now + $self->{session};
    return [200, [], 'upstream'];
}


1;
