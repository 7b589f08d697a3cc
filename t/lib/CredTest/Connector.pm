package CredTest::Connector;

# One environment, production, which is no Redis but has a connector, and what
# the registry says of deletes in it.

use strict;
use warnings;

use parent 'Exporter';

use CredTest::Delete;
use CredTest::Process;
use CredTest::Redis;
use JSON::PP ();
use Test::More ();

our @EXPORT = qw(
    connected known is_done is_pending has_error receipts comes_to
);


# sections for defaults(): production is the connector NAME, which is in "http";
# there it calls "api-user" what "target" says

sub connected {
    my ($name, %args) = @_;

    my %sample = sample($args{http});
    my $registry = $sample{registry} =~ s/^HSET \S+:environments .*\n//mgr;
    my $target = defined $args{target}
        ? 'HSET {cred}:apinizer:credential:MyProject:api-user'
          . " target:production $args{target}\n" : '';

    return (
        %sample{qw(http_config config)},
        registry => "${registry}HSET {cred}:environments production"
                    . " connector:$name\n$target",
    );
}


# a credential of MyProject, by what production calls it

sub known {
    my ($id, $target, %more) = @_;

    credential($id, 'registry');
    redis('registry', 'HSET', "{cred}:apinizer:credential:MyProject:$id",
          defined $target ? ('target:production' => $target) : (), %more)
        if defined $target || %more;
}


# the answer: done, or with "absent" not deployed

sub is_done {
    my ($answer, $state) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    return answer_is($answer, 'answered', pending(production => $state));
}


# the answer: pending for this reason; the receipt has an error like that

sub is_pending {
    my ($answer, $reason, $error) = @_;

    local $Test::Builder::Level = $Test::Builder::Level + 1;

    answer_is($answer, 'answered', pending(production => $reason));

    return has_error($answer, $error);
}


# an answer does not wait for its receipts: that of a failed attempt has an error
# like that

sub has_error {
    my ($answer, $error, $environment) = @_;

    my $receipt;

    wait_for(sub {
        $receipt = receipts($answer, $environment);
        return $receipt->{error} || $receipt->{state} ne 'pending';
    });

    local $Test::Builder::Level = $Test::Builder::Level + 1;
    return Test::More::like($receipt->{error} // 'no error', $error,
                            'the error');
}


# that of an environment, as a hash

sub receipts {
    my ($answer, $environment) = @_;

    my $text = redis('registry', 'HGET',
                     '{cred}:operation:' . operation($answer),
                     'environment:' . ($environment // 'production'));

    return eval { JSON::PP::decode_json($text) } // { state => $text };
}


# waits until it is settled, by whoever tries again; the state

sub comes_to {
    my ($answer, $state, $environment) = @_;

    my $receipt;

    wait_for(sub {
        $receipt = receipts($answer, $environment);
        return $receipt->{state} ne 'pending';
    });

    local $Test::Builder::Level = $Test::Builder::Level + 1;
    return Test::More::is($receipt->{state}, $state, "comes to: $state");
}


1;
