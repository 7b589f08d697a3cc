package CredTest::Stubbed;

# Environments whose systems are stubs: the connectors that reach them, what
# becomes of a delete there, and what its receipts say.

use strict;
use warnings;

use parent 'Exporter';

use CredTest::Delete;
use CredTest::HTTP;
use CredTest::Process;
use CredTest::Redis;
use CredTest::Stub;
use JSON::PP ();
use Test::More ();

our @EXPORT = qw(
    $Http $Web connectors private_file reaches target talks
    receipt receipt_when attempted told is_pending is_absent ends_as faultless
);

our $Web;

our $Http = <<'END';
cred_registry         $TEST_NGINX_REGISTRY;
cred_connect_timeout  5s;
cred_command_timeout  5s;
cred_cascade_timeout  10s;
cred_retry_delay      100ms 400ms;
include               $TEST_NGINX_DIR/connectors.conf;
END


# blocks "cred_connector", by name

sub connectors {
    my (%blocks) = @_;

    private_file('connectors.conf', join '', map {
        "cred_connector $_ {\n$blocks{$_}\n}\n"
    } sort keys %blocks);
}


# as one with a secret has to be; its path

sub private_file {
    my ($name, $text) = @_;

    my $file = temp_dir() . "/$name";

    open my $out, '>', $file or die "$name: $!";
    print $out $text;
    close $out;

    chmod 0600, $file;
    return $file;
}


# production is reached by this connector, where credentials have these targets

sub reaches {
    my ($connector, %targets) = @_;

    redis('registry', 'HSET', '{cred}:environments', 'production',
          "connector:$connector");
    target($_, $targets{$_}) for keys %targets;
}


sub target {
    my ($id, $target, $environment) = @_;

    redis('registry', 'HSET', "{cred}:apinizer:credential:MyProject:$id",
          'target:' . ($environment // 'production'), $target);
}


# a connector of no system, to a server that answers as told, which is $Web

sub talks {
    my ($answer, @lines) = @_;

    $Web = web($answer);

    connectors(web => join "\n", 'url ' . $Web->url . ';',
                      'request DELETE "/credentials/{target}";', @lines);
    reaches('web', 'api-user' => 't1');
}


# what an environment has of an operation, as a hash

sub receipt {
    my ($operation, $environment) = @_;

    my $text = redis('registry', 'HGET', "{cred}:operation:$operation",
                     'environment:' . ($environment // 'production'));

    return $text =~ /^\{/ ? JSON::PP::decode_json($text) : {};
}


# once it is as it is asked for, or there have been so many attempts

sub receipt_when {
    my ($operation, $until) = @_;

    my $is;

    wait_for(sub { $is = receipt($operation); $until->($is) })
        or Test::More::diag('the receipt: ', JSON::PP::encode_json($is));

    return $is;
}


sub attempted {
    my ($operation, $times) = @_;

    return receipt_when($operation, sub {
        ($_[0]{attempts} // 0) >= ($times // 1);
    });
}


# how often the error log has it

sub told {
    my ($regex) = @_;
    return scalar(() = error_log_text() =~ /$regex/g);
}


# a delete that is pending in production for this reason

sub is_pending {
    my ($reason, $name, $id) = @_;

    my $got = del($id // 'api-user');

    local $Test::Builder::Level = $Test::Builder::Level + 1;
    answer_is($got, $name // 'pending', pending(production => $reason,
                                                staging => undef));

    return operation($got);
}


sub is_absent {
    local $Test::Builder::Level = $Test::Builder::Level + 1;

    answer_is(del('api-user'), $_[0], pending(production => 'absent',
                                              staging => undef));
}


# and in the end it is so

sub ends_as {
    my ($operation, $state) = @_;

    local $Test::Builder::Level = $Test::Builder::Level + 1;

    Test::More::ok(settled(), 'it is settled');

    my $receipt = receipt($operation);

    Test::More::is($receipt->{state}, $state, "as $state");
    Test::More::ok(!exists $receipt->{next}, 'with no next attempt');

    return $receipt;
}


# after a block: what these stubs were asked was good HTTP

sub faultless {
    my ($block, @stubs) = @_;

    Test::More::is(join(' ', map { $_->faults } grep { defined } @stubs), '',
                   $block->name . ' - all requests were good HTTP');
}


1;
