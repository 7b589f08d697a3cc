package CredTest::Certs;

# Certificates of a CA that a test has, and Redis servers that speak TLS with
# them.

use strict;
use warnings;

use parent 'Exporter';

use CredTest::Process;
use CredTest::Redis;

our @EXPORT = qw(certificate authority revoke pem redis_secure redis_tls);

my $Certs = $ENV{TEST_NGINX_CERTS} = "$Dir/certs";
my %Made;


# the files of a certificate: NAME.crt, NAME.key; of a CA also NAME.crl

sub pem { "$Certs/$_[0]" }


sub openssl {
    my (@args) = @_;

    open my $out, '-|', 'openssl ' . join(' ', map { "'$_'" } @args) . ' 2>&1'
        or die "openssl: $!";
    my $text = do { local $/; <$out> };
    close $out or die "openssl @args:\n$text";
}


# A CA; with "by" one of that CA's.

sub authority {
    my ($name, %args) = @_;

    return if $Made{$name};

    mkdir $Certs;
    mkdir pem("$name.issued");

    write_file("$name.index", '');
    write_file("$name.index.attr", "unique_subject = no\n");
    write_file("$name.serial", sprintf "%08X\n", 1 + keys %Made);
    write_file("$name.crlnumber", "01\n");

    write_file("$name.conf", <<"END");
[ca]
default_ca        = this
[this]
database          = $Certs/$name.index
serial            = $Certs/$name.serial
crlnumber         = $Certs/$name.crlnumber
new_certs_dir     = $Certs/$name.issued
certificate       = $Certs/$name.crt
private_key       = $Certs/$name.key
default_md        = sha256
default_days      = 30
default_crl_days  = 30
policy            = any
copy_extensions   = copy
[any]
commonName        = supplied
[req]
distinguished_name = subject
[subject]
END

    my @request = ('req', '-config', pem("$name.conf"), '-nodes', '-newkey',
                   'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-keyout',
                   pem("$name.key"), '-subj', "/CN=$name",
                   '-addext', 'basicConstraints=critical,CA:TRUE',
                   '-addext', 'keyUsage=critical,keyCertSign,cRLSign');

    if ($args{by}) {
        openssl(@request, '-new', '-out', pem("$name.csr"));
        sign($name, $args{by});

    } else {
        openssl(@request, '-x509', '-days', 30, '-out', pem("$name.crt"));
    }

    openssl('ca', '-config', pem("$name.conf"), '-gencrl', '-out',
            pem("$name.crl"));
    $Made{$name} = 1;
}


# "names" are the subjectAltName; "by" is the CA, "ca" if there is none, or
# "self"; with "expired" it was good once

sub certificate {
    my ($name, %args) = @_;

    return if $Made{$name};

    my $by = $args{by} // 'ca';

    mkdir $Certs;
    authority($by) unless $by eq 'self';

    write_file("$name.conf",
               "[req]\ndistinguished_name = subject\n[subject]\n");

    my @password = $args{password} ? ('-passout', "pass:$args{password}")
                                   : '-nodes';

    my @request = ('req', '-config', pem("$name.conf"), @password,
                   '-newkey', 'ec', '-pkeyopt',
                   'ec_paramgen_curve:prime256v1', '-keyout',
                   pem("$name.key"), '-subj', "/CN=$name",
                   $args{names} ? ('-addext', "subjectAltName=$args{names}")
                                : ());

    if ($by eq 'self') {
        openssl(@request, '-x509', '-days', 30, '-out', pem("$name.crt"));

    } else {
        openssl(@request, '-new', '-out', pem("$name.csr"));
        sign($name, $by, $args{expired} ? ('-startdate', '20200101000000Z',
                                           '-enddate', '20200201000000Z') : ());
    }

    $Made{$name} = 1;
}


sub sign {
    my ($name, $by, @args) = @_;

    openssl('ca', '-config', pem("$by.conf"), '-batch', '-notext', '-in',
            pem("$name.csr"), '-out', pem("$name.crt"), @args);
}


# from now on it is in the list of its CA

sub revoke {
    my ($name, $by) = @_;

    my @ca = ('ca', '-config', pem("$by.conf"));

    openssl(@ca, '-revoke', pem("$name.crt"));
    openssl(@ca, '-gencrl', '-out', pem("$by.crl"));
}


sub write_file {
    my ($name, $text) = @_;

    open my $out, '>', pem($name) or die "$name: $!";
    print $out $text;
    close $out;
}


# A port of this Redis speaks TLS from now on, or with another certificate; by
# default it wants none of its clients.  Returns its URL.

sub redis_secure {
    my ($name, $cert, %args) = @_;

    my $url = redis_tls($name);

    my $reply = redis($name, 'CONFIG', 'SET',
        'tls-cert-file', pem("$cert.crt"), 'tls-key-file', pem("$cert.key"),
        'tls-ca-cert-file', pem(($args{trusts} // 'ca') . '.crt'),
        'tls-auth-clients', $args{clients} // 'no',
        'tls-port', $Redis{$name}{tls_port}, @{ $args{config} || [] });

    die "redis_secure $name: $reply" unless $reply eq 'OK';

    return $url;
}


# its URL, which is $TEST_NGINX_NAME_TLS, before it speaks TLS, too

sub redis_tls {
    my ($name, $host) = @_;

    my $port = $Redis{$name}{tls_port} ||= free_port();
    $ENV{'TEST_NGINX_' . uc($name) . '_TLS'} = "rediss://localhost:$port";

    return 'rediss://' . ($host // 'localhost') . ":$port";
}


1;
