package CredTest::Command;

# The operator's command, with the registry of the test unless it is told of
# another one.

use strict;
use warnings;

use parent 'Exporter';

use Cwd ();
use CredTest::Process;
use CredTest::Redis;
use JSON::PP ();
use POSIX ();
use Test::More ();

our @EXPORT = qw(cred cred_json cred_run cred_ok cred_is);

my $Cred = $ENV{CRED_COMMAND} || Cwd::abs_path('util/cred');

# whatever the shell of the user has

delete @ENV{ grep { /^(?:CRED_(?:REGISTRY|PREFIX|PASSWORD_FILE|CACERT|CERT|KEY|NGINX|TLS_NAME)|REDISCLI_AUTH)$/ } keys %ENV };

# a busy machine is no fault

$ENV{CRED_TIMEOUT} = $CredTest::Process::Patience;


# Runs it with these words; "in" is its stdin, "env" more of the environment, and
# with "bare" no registry is named.  Returns { status, out, err }

sub cred_run {
    my ($args, @words) = @_;

    my ($out, $err) = ("$Dir/cred.out", "$Dir/cred.err");
    my $in = "$Dir/cred.in";

    open my $file, '>:raw', $in or die "$in: $!";
    print $file $args->{in} // '';
    close $file;

    unshift @words, '-u', redis_tcp('registry')
        unless $args->{bare} || grep { $_ eq '-u' } @words;

    my $pid = fork // die "fork: $!";

    if ($pid == 0) {
        $SIG{$_} = 'DEFAULT' for qw(INT TERM HUP PIPE);
        # nginx frees nothing when it only reads its configuration
        local $ENV{ASAN_OPTIONS} = ($ENV{ASAN_OPTIONS} // '') . ',detect_leaks=0';
        local $ENV{LSAN_OPTIONS} = 'detect_leaks=0';
        open STDIN, '<', $in;
        open STDOUT, '>', $out;
        open STDERR, '>', $err;
        local @ENV{ keys %{ $args->{env} || {} } } = values %{ $args->{env} || {} };
        exec { $Cred } $Cred, @words or POSIX::_exit(127);
    }

    waitpid $pid, 0;

    return { status => $? >> 8, out => slurp($out), err => slurp($err) };
}


sub cred { cred_run({}, @_) }


# what it has to do without a word on stderr; returns stdout

sub cred_ok {
    my ($name, @words) = @_;

    my $got = cred_run({}, @words);

    local $Test::Builder::Level = $Test::Builder::Level + 1;
    Test::More::is("$got->{status} $got->{err}", '0 ', $name);

    return $got->{out};
}


# the same for a refusal

sub cred_is {
    my ($name, $status, $regex, @words) = @_;

    my $got = ref $words[0] ? cred_run(@words) : cred(@words);

    local $Test::Builder::Level = $Test::Builder::Level + 1;
    Test::More::is($got->{status}, $status, "$name: status");
    Test::More::like($got->{err}, $regex, $name);

    return $got;
}


# its JSON, decoded; it has to be UTF-8

sub cred_json {
    my (@words) = @_;

    my $got = ref $words[0] ? cred_run(@words, '--json')
                            : cred(@words, '--json');
    my $is = eval { JSON::PP->new->utf8->decode($got->{out}) };

    return $is // { error => $@, %$got };
}


1;
