package CredTest::Stub::APISIX;

# A stub of APISIX 3: the Admin API, whose store is an etcd, and two gateways that
# watch it.  "key" is what it wants to see; with "old" it knows no credentials of
# consumers, as before 3.11.

use strict;
use warnings;

use parent 'CredTest::Stub';

use CredTest::Stub qw(json);


sub new {
    my ($class, %args) = @_;
    return $class->SUPER::new(key => 'edd1c9f0', etcd => {}, seen => {},
                              cut => {}, %args);
}


sub ports { qw(admin gateway gateway-b) }


sub add {
    my ($self, $consumer, $id, $key) = @_;
    $self->{etcd}{"/apisix/consumers/$consumer"} //= '';
    $self->{etcd}{"/apisix/consumers/$consumer/credentials/$id"} = $key;
    return 1;
}

sub there {
    my ($self, $consumer, $id) = @_;
    return exists $self->{etcd}{"/apisix/consumers/$consumer"
                                . (defined $id ? "/credentials/$id" : '')} ? 1 : 0;
}

# etcd does not answer; a gateway is cut off from it

sub lose_etcd { $_[0]{lost} = $_[1]; 1 }
sub cut_off   { $_[0]{cut}{ $_[1] } = $_[2]; 1 }


sub answer {
    my ($self, $request) = @_;

    return $self->proxy($request) if $request->{at} ne 'admin';

    my ($method, $path) = ($request->{method}, $request->{target} =~ s/\?.*//sr);

    # what is not below this is answered by nginx

    return [404, ['Server: APISIX/3.11.0', 'Content-Type: text/html; charset=utf-8'],
            "<html>\r\n<head><title>404 Not Found</title></head>\r\n<body>\r\n"
            . "<center><h1>404 Not Found</h1></center>\r\n"
            . "<hr><center>openresty</center>\r\n</body>\r\n</html>\r\n"]
        unless $path =~ m{^/apisix/admin/};

    my ($key) = @{ $request->{headers}{'x-api-key'} || [] };

    return is(401, '{"error_msg":"failed to check token","description":'
                   . (defined $key ? '"wrong apikey"}' : '"missing apikey"}'))
        unless defined $key && $key eq $self->{key};

    my (undef, undef, undef, $resource, $consumer, $sub, $id)
        = map { s/%(..)/chr hex $1/ger } split m{/}, $path;

    return is(404, qq({"error_msg":"Unsupported resource type: $resource"}))
        if ($resource // '') ne 'consumers';

    return is(404, '{"error_msg":"not found"}') unless $method =~ /^(?:GET|DELETE)\z/;

    my $name = "/apisix/consumers/$consumer";

    unless ($self->{old} || ($sub // '') ne 'credentials') {
        return is(400, '{"error_msg":"missing credential id"}') unless defined $id;
        $name .= "/credentials/$id";
    }

    return is(503, '{"error_msg":"has no healthy etcd endpoint available"}')
        if $self->{lost};

    return is(404, '{"message":"Key not found"}') unless exists $self->{etcd}{$name};

    return is(200, qq({"key":"$name","value":{"id":"$id"}})) if $method eq 'GET';

    delete $self->{etcd}{$_} for grep { /^\Q$name\E(?:\/|\z)/ } keys %{ $self->{etcd} };

    return is(200, qq({"deleted":"1","key":"$name"}));
}


sub is {
    my ($status, $body) = @_;
    return json($status, "$body\n", 'Server: APISIX/3.11.0', 'X-API-VERSION: v3',
                'Access-Control-Allow-Origin: *');
}


sub proxy {
    my ($self, $request) = @_;

    my ($key) = @{ $request->{headers}{apikey} || [] };
    my $at = $request->{at};

    $self->{seen}{$at} = { %{ $self->{etcd} } } unless $self->{cut}{$at};

    return (grep { $_ eq $key } values %{ $self->{seen}{$at} || {} })
           ? [200, [], 'upstream']
           : json(401, qq({"message":"Invalid API key in request"}\n));
}


1;
