package CredTest::Gateway;

# A gateway of production, in the nginx that also deletes: a page behind
# "cred_access", and the credential "api-user" of MyProject with the key KEY.

use strict;
use warnings;

use parent 'Exporter';

use CredTest::Delete;
use CredTest::HTTP;
use CredTest::Process;
use CredTest::Redis;

our @EXPORT = qw(gateway gate key_entry keyed leased gateways receipt);

my $Headers = <<'END';
add_header  X-Result $cred_access_result always;
add_header  X-Cache  $cred_access_cache always;
add_header  X-Scope  $cred_access_scope always;
add_header  X-Id     $cred_access_id always;
END


# sections for defaults(); "http" and "access" are more of the configuration

sub gateway {
    my (%args) = @_;

    my %sample = sample($args{http} // '');
    my $key = keyed('api-user', 'KEY');

    my $access = $args{access} // 'cred_access apinizer;';

    return (
        %sample,
        http_config => "$sample{http_config}\n"
                       . "cred_environment \$TEST_NGINX_PRODUCTION;\n",
        config => <<"END",
location /apiops/ { cred_delete apinizer; }
$Headers
location = /page { $access empty_gif; }
END
        map { $_ => $sample{$_} . $key } qw(registry production staging),
    );
}


# commands that give a credential its keys

sub keyed {
    my ($id, @keys) = @_;

    my $credential = "{cred}:apinizer:credential:MyProject:$id";

    return join "\n", "HSET $credential keys \""
                      . join(' ', map { sha256($_) } @keys) . '"',
                      map({ 'SET ' . key_entry($_) . " MyProject:$id" } @keys),
                      '';
}


sub key_entry { '{cred}:apinizer:key:' . sha256($_[0]) }


# the answer to a request with this key

sub gate {
    my ($key, %args) = @_;

    return call($args{method} // 'GET', $args{path} // '/page',
                [defined $key ? "Authorization: Bearer $key" : (),
                 @{ $args{headers} || [] }], $args{body});
}


# name => { lease, applied, seen, at }

sub gateways {
    my ($name) = @_;
    my %all = redis($name // 'production', 'HGETALL', '{cred}:gateways');

    return map {
        my %is;
        @is{qw(lease applied seen at)} = split ' ', $all{$_};
        ($_ => \%is);
    } keys %all;
}


# waits until all gateways of an environment have applied all there is

sub leased {
    my ($name, $n) = @_;
    $name //= 'production';

    return wait_for(sub {
        my $last = redis($name, 'XREVRANGE', '{cred}:undeployments', '+', '-',
                         'COUNT', 1);
        my %all = gateways($name);
        $last = ref $last && @$last ? $last->[0][0] : '0-0';
        return keys %all == ($n // 1)
               && !grep { $_->{applied} ne $last } values %all;
    });
}


# of an operation in an environment

sub receipt {
    my ($operation, $environment) = @_;

    return redis('registry', 'HGET', "{cred}:operation:$operation",
                 'environment:' . ($environment // 'production'));
}


1;
