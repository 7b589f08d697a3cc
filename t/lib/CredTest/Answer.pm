package CredTest::Answer;

# Answers to the byte: status, body, and all headers but those that nginx adds
# to whatever it sends.

use strict;
use warnings;

use parent 'Exporter';

use Test::More ();

our @EXPORT = qw(answer is_answer backend percent);


# $got is what call() and its like return; operations and request ids, which
# are made up anew each time, become HEX

sub answer {
    my ($got) = @_;

    my ($head) = split /\r\n\r\n/, $got->{text}, 2;
    my (undef, @headers) = split /\r\n/, $head // '';
    my ($length) = map { /^Content-Length: (\d+)$/ } @headers;

    @headers = grep { !/^(?:Server|Date|Connection|Content-Length): / }
               @headers;
    s/^((?:Cred-Operation|X-Request-Id): )[0-9a-f]{32}$/$1HEX/ for @headers;

    my $right = $got->{status} == 204 ? '' : length $got->{body};

    push @headers, 'Content-Length: ' . ($length // 'none')
        if ($length // '') ne $right;

    return join "\n", $got->{status}, sort(@headers), '', $got->{body};
}


sub is_answer {
    my ($got, $status, $headers, $body, $name) = @_;

    my $wanted = join "\n", $status, sort('Cache-Control: no-store', @$headers),
                      '', $body;

    local $Test::Builder::Level = $Test::Builder::Level + 1;

    Test::More::is(answer($got), $wanted, $name);
}


# a server for what is declined; it tells what it got

sub backend { <<'END' }
server {
    listen       $TEST_NGINX_PORT;
    server_name  backend;
    return       200 "backend: $request_method $request_uri";
}
END


sub percent { $_[0] =~ s/([^\w.~-])/sprintf '%%%02X', ord $1/aegr }


1;
