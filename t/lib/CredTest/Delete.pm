package CredTest::Delete;

# The documented call of the Apinizer API, the data that it needs, and what it
# answers, to the byte.

use strict;
use warnings;

use parent 'Exporter';

use CredTest::HTTP;
use CredTest::Process;
use CredTest::Redis;
use Test::More ();

our @EXPORT = qw(
    sample credential del del_raw path answer_is operation deleted
    everywhere pending failure contents
    settled is_open audit one_more reached
);

our %Reasons = (
    late        => 'Environment did not answer in time',
    unreachable => 'Environment is unreachable',
    refused     => 'Environment refused the undeployment',
    unconfirmed => 'Gateways have not confirmed',
);

our %Failures = (
    401 => ['unauthorized_client', 'Invalid token'],
    403 => ['forbidden', 'You do not have permission to perform this action'],
    503 => ['server_error',
            'An unexpected error occurred. Please try again later.'],
);


# sections for defaults(): alice manages MyProject, bob views it, carol is no
# member; "api-user" is deployed in both environments

sub sample {
    my ($extra) = @_;

    my $deployed = <<'END';
HSET {cred}:apinizer:credential:MyProject:api-user owner alice revision 7
SADD {cred}:apinizer:grants:MyProject:api-user API_PROXY:orders
SADD {cred}:apinizer:credentials:MyProject api-user other
END

    my $registry = <<'END';
HSET {cred}:environments production $TEST_NGINX_PRODUCTION
HSET {cred}:environments staging $TEST_NGINX_STAGING
HSET {cred}:apinizer:token:sha256(TOKEN) subject alice
HSET {cred}:apinizer:token:sha256(VIEWER) subject bob
HSET {cred}:apinizer:token:sha256(STRANGER) subject carol
HSET {cred}:apinizer:scope:MyProject description x
HSET {cred}:apinizer:members:MyProject alice manage bob view
END

    return (
        http_config => "cred_registry \$TEST_NGINX_REGISTRY;\n"
                       . ($extra // ''),
        config      => 'location /apiops/ { cred_delete apinizer; }',
        registry    => $registry . $deployed,
        production  => $deployed,
        staging     => $deployed,
    );
}


# registers credentials of MyProject here and deploys them there

sub credential {
    my ($usernames, @names) = @_;

    for my $name (@names ? @names : qw(registry production staging)) {
        redis($name, 'EVAL', <<'END', 0, ref $usernames ? @$usernames
for _, id in ipairs(ARGV) do
    redis.call('HSET', '{cred}:apinizer:credential:MyProject:' .. id,
               'owner', 'alice', 'revision', '1')
    redis.call('SADD', '{cred}:apinizer:grants:MyProject:' .. id, 'API_PROXY:x')
    redis.call('SADD', '{cred}:apinizer:credentials:MyProject', id)
end
END
                                                        : $usernames);
    }
}


sub path {
    my ($username, $project) = @_;
    return '/apiops/projects/' . ($project // 'MyProject')
           . '/credentials/' . ($username // 'api-user') . '/';
}


sub del {
    my ($username, %args) = @_;

    return call($args{method} || 'DELETE',
                $args{path} || path($username, $args{project}),
                ['Authorization: Bearer ' . ($args{token} // 'TOKEN'),
                 @{ $args{headers} || [] }], $args{body});
}


# the same as text, for a connection that is kept

sub del_raw {
    my ($username, @headers) = @_;

    return join "\r\n", 'DELETE ' . path($username) . ' HTTP/1.1',
                'Host: localhost', 'Authorization: Bearer TOKEN', @headers,
                '', '';
}


# one that is made for it

my $made;

sub one_more {
    my $username = 'n' . ++$made;
    credential($username);
    return del($username);
}


# Waits until deletes are done at once: connections to an environment that was
# down back off, each for itself

sub reached {
    return wait_for(sub {
        my $got = one_more();
        return $got->{status} == 200 && !$got->{headers}{'cred-pending'};
    });
}


# status, all header fields but nginx' own, and body

sub answer_is {
    my ($got, $name, $status, $headers, $body) = @_;

    my %headers = %{ $got->{headers} };
    my $length = delete $headers{'content-length'};
    delete @headers{qw(server date connection)};

    local $Test::Builder::Level = $Test::Builder::Level + 1;

    if (exists $headers{'cred-operation'}
        && $headers{'cred-operation'} =~ /^[0-9a-f]{32}\z/)
    {
        $headers{'cred-operation'} = 'ID';
    }

    my %wanted = ('cache-control' => 'no-store',
                  'content-type' => 'application/json;charset=UTF-8',
                  map { lc, $headers->{$_} } keys %{ $headers || {} });

    return Test::More::is_deeply(
        [ $got->{status}, \%headers, $got->{body}, $length ],
        [ $status, \%wanted, $body, length $body ],
        $name);
}


sub operation { $_[0]->{headers}{'cred-operation'} }


# what answer_is() wants of a delete in these environments

sub deleted { pending(map { $_ => undef } @_) }

sub everywhere { deleted(qw(production staging)) }


# names of environments, each with what became of it there: nothing for
# "undeployed", "absent", "superseded", or why it is pending

sub pending {
    my @pairs = @_;
    my (@environments, %names);
    my $total = @pairs / 2;

    while (my ($name, $state) = splice @pairs, 0, 2) {
        my ($success, $message, $header)
            = !defined $state        ? ('true', 'Undeployed successfully')
            : $state eq 'absent'     ? ('true', 'Was not deployed')
            : $state eq 'superseded' ? ('false', 'A newer deployment of the'
                                        . ' credential is in this environment'
                                        . ' and stays', 'Cred-Superseded')
            : ('false', "$Reasons{$state}, undeployment will be retried",
               'Cred-Pending');
        push @environments, qq({"environmentName":"$name","success":$success,)
                            . qq("message":"$message"});
        push @{ $names{$header} }, $name if $header;
    }

    my ($pending, $superseded) = map { scalar @{ $names{$_} || [] } }
                                 qw(Cred-Pending Cred-Superseded);
    my $message = $pending ? "Undeployment is pending in $pending of $total"
                             . ' environments'
        : $superseded ? "A newer deployment stays in $superseded of $total"
                        . ' environments'
        : $total ? 'Undeployment completed successfully'
        : 'No environment is registered';

    return (200, { 'Cred-Operation' => 'ID',
                   map { $_ => join ',', @{ $names{$_} } } keys %names },
            '{"success":true,"deploymentResult":{"success":'
            . ($pending || $superseded ? 'false' : 'true')
            . qq(,"message":"$message",)
            . '"environmentResults":[' . join(',', @environments) . ']}}');
}


# what it wants of a refusal: 400 USERNAME, 401, 403, 404 PROJECT, 503

sub failure {
    my ($status, $name) = @_;

    my ($error, $description)
        = $status == 400 ? ('bad_request',
                            "Credential (username: $name) was not found!")
        : $status == 404 ? ('not_found', "Project($name) was not found or user"
                                         . ' does not have privilege to access'
                                         . ' it!')
        : @{ $Failures{$status} };

    my %headers = (401 => { 'WWW-Authenticate' => 'Bearer' },
                   503 => { 'Retry-After' => 1 });

    return ($status, $headers{$status},
            qq({"error":"$error","error_description":"$description"}));
}


# all keys of a Redis, to see that nothing has changed; the audit may grow, names
# of environments with nothing pending may leave {cred}:pending, and environments
# that are connected to are entered in {cred}:positions

sub contents {
    my ($name) = @_;

    my %commands = (string => ['GET'], hash => ['HGETALL'], set => ['SMEMBERS'],
                    list => ['LRANGE', 0, -1], stream => ['XRANGE', '-', '+'],
                    zset => ['ZRANGE', 0, -1, 'WITHSCORES']);

    return { map {
        my $key = $_;
        my ($command, @args) = @{ $commands{redis($name, 'TYPE', $key)} || [] };
        my $content = $command && redis($name, $command, $key, @args);
        $command ? ($key => "$command: $content") : ();
    } grep {
        !/:(?:audit|audit:.*|positions|connection:\w+)\z/
            && ($_ ne '{cred}:pending' || redis($name, 'TYPE', $_) ne 'set');
    } redis($name, 'KEYS', '*') };
}


# nothing is pending any more, and all receipts are written, which an answer does
# not wait for: only then the same delete again is "not found"

sub settled {
    return wait_for(sub {
        !is_open('registry') && redis('registry', 'KEYS', '{cred}:pending:*') eq '';
    });
}

# operations that are kept to tell of what is superseded expire, and are over

sub is_open {
    my ($name) = @_;
    return grep { redis($name, 'TTL', $_) == -1 } redis($name, 'KEYS', '{cred}:open:*');
}


# entries of the audit, each as a hash

sub audit {
    my ($stream) = @_;

    my @words = redis('registry', 'XRANGE', $stream // '{cred}:audit', '-', '+');
    my @entries;

    while (@words) {
        my (undef, @fields) = splice @words, 0, 15;
        push @entries, { @fields };
    }

    return @entries;
}


1;
