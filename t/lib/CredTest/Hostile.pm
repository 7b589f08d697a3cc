package CredTest::Hostile;

# Peers that answer each script as a good Redis would, but for what a test puts
# in its place; what no good Redis says; and what it costs a worker to hear it.

use strict;
use warnings;

use parent 'Exporter';

use CredTest::Delete;
use CredTest::Fake;
use CredTest::HTTP;
use CredTest::Process;
use CredTest::Redis;
use POSIX ();
use Test::More ();

our @EXPORT = qw(
    bytes hostile peers registries environments locations register timeouts
    config nonsense good_delete deleting asked_for connections answers answered
    gated is_pending are_pending start resident survives are_tried_again
    is_well ping_is_answered GROWTH
);

# that a worker may grow, in KiB, and use per reply, in milliseconds; sanitizers
# keep what is freed, and take their time

use constant {
    GROWTH => $ENV{CRED_NGINX} ? 1000000 : 65536,
    COST   => $ENV{CRED_NGINX} ? 100 : 10,
};

my $Timeouts = <<'END';
cred_registry         $TEST_NGINX_REGISTRY;
cred_connect_timeout  2s;
cred_command_timeout  2s;
cred_cascade_timeout  20s;
cred_retry_delay      100ms 200ms;
END

my $Config = <<'END';
add_header  X-Cache $cred_access_cache always;
location /ping { return 200; }
location /apiops/ { cred_delete apinizer; }
include $TEST_NGINX_DIR/locations.conf;
END


my %Odd;    # by port: what it has odd replies to


# arrays of strings, nil, and integers as ":1", errors as "-ERR ...", a status
# as "+OK", and references to other strings

sub bytes {
    my ($value) = @_;
    return "\$-1\r\n" unless defined $value;
    return '$' . length($$value) . "\r\n$$value\r\n" if ref $value eq 'SCALAR';
    return '*' . @$value . "\r\n" . join '', map { bytes($_) } @$value
        if ref $value;
    return $value =~ /^[:+-]/ ? "$value\r\n"
                              : '$' . length($value) . "\r\n$value\r\n";
}


# Starts peers, NAME => { COMMAND or SCRIPT => reply }, see fake(), and returns
# their ports by name

sub hostile {
    my (%peers) = @_;

    my @names = sort keys %peers;
    my @scripts = map { [ grep { /^[A-Z]/ } keys %{ $peers{$_} } ] } @names;
    my @ports = fakes(map { my %is = %{ $peers{$_} };
                            { asleep => delete $is{asleep},
                              deaf => delete $is{deaf},
                              greeting => delete $is{greeting},
                              replies => { good(), %is } } } @names);

    @Odd{@ports} = @scripts;

    return map { $names[$_] => $ports[$_] } 0 .. $#names;
}


# by name of the script

sub good {
    my %count;

    return (
        DELETE      => \&good_delete,
        CLAIM       => bytes(['1700000000000']),
        SURVEY      => bytes(['1700000000000']),
        GATEWAYS    => bytes(['1700000000000']),
        ACKNOWLEDGE => bytes(undef),
        AGAIN       => sub {
            return bytes($_[6] eq 'ask' ? ['1', '', '', '']
                                        : ['admitted', '1', ':0']);
        },
        STREAM      => sub {
            $count{ $_[6] } = 7;
            return bytes([':1', '0-0', '', '7']);
        },
        UNDEPLOY    => sub {
            my ($connection, @members) = @_[5 .. $#_];
            return bytes([++$count{$connection} . ':1700000000001-0', ':0',
                          ':0', map { ('undeployed', '1-1') } @members]);
        },
        EFFECTIVE   => sub { bytes([ (':0') x ((@_ - 5) / 2) ]) },
        LEASE       => bytes(['leased', '0-0']),
        ACCESS      => sub { bytes([ ('s:i', ':1', ':-1') x ((@_ - 6) / 3) ]) },
        SUBSCRIBE   => bytes(['subscribe', 'x', ':1']),
        EVALSHA     => "-NOSCRIPT No matching script\r\n",
    );
}


# to one delete, in no environment

sub good_delete {
    my ($operation, $id) = @_[13, 17];

    return bytes([':' . time . '000', 'deleted', 'alice', 'MyProject',
                  "apinizer:MyProject:$id:0:$operation", ':8', ':0', '']);
}


# Name => reply; those of the second list are good replies, of the wrong type to
# whoever asks for an array

sub nonsense {
    my $text = "-ERR \0\x01\x7f\e[31m\r2026/01/01 00:00:00 [warn] forged \xff";

    my %broken = (
        'garbage'        => "\x16\x03\x01hello",
        'tls-alert'      => "\x15\x03\x03\x00\x02\x02\x28",
        'http'           => "HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n",
        'inline'         => "PONG\r\n",
        'blank'          => "\r\n\r\n",
        'zeros'          => "\0" x 5000,
        'spaces'         => ' ' x 5000,
        'cr'             => "\r" x 5000,
        'lf'             => "+OK\n+OK\n",
        'cr-alone'       => "+OK\r+OK\r",
        'lines-of-cr'    => '+' . "\r" x 1100000,
        'line'           => '+' . 'x' x 1100000,
        'number-line'    => ':' . '1' x 1100000,
        'length-line'    => '$' . '1' x 1100000,
        'cut'            => \"*3\r\n:1\r\n\$7\r\ndele",
        'cut-in-length'  => \"*1\r",
        'closed'         => \"",
        'reset'          => \\"",
        'cut-and-reset'  => \\"*3\r\n:1\r\n",
        'silence'        => undef,
        'half-a-gig'     => "\$536870912\r\n" . 'x' x 2000000,
        'two-gigs'       => "\$2147483648\r\nx",
        'length-of-20'   => "\$99999999999999999999\r\n",
        'length-below'   => "\$-2\r\n",
        'length-least'   => "\$-9223372036854775808\r\n",
        'length-word'    => "\$ten\r\n",
        'length-none'    => "\$\r\n",
        'count-most'     => "*2147483647\r\n",
        'count-more'     => "*4294967297\r\n",
        'count-of-20'    => "*99999999999999999999\r\n",
        'count-below'    => "*-2\r\n",
        'count-word'     => "*x\r\n",
        'count-8193'     => "*8193\r\n" . ":1\r\n" x 8193,
        'deep'           => "*1\r\n" x 10000,
        'deeper'         => "*1\r\n" x 9 . ":1\r\n",
        'wide-and-deep'  => "*90\r\n" . ("*90\r\n" . ("*90\r\n") x 90) x 90,
        'number-of-20'   => ":99999999999999999999\r\n",
        'number-below'   => ":-9223372036854775809\r\n",
        'number-word'    => ":1x\r\n",
        'number-none'    => ":\r\n",
        'bulks'          => "*20\r\n" . ("\$100000\r\n" . 'x' x 100000 . "\r\n") x 20,
        'bulk-too-long'  => "\$1048577\r\n" . 'x' x 1048577 . "\r\n",
        'bulk-unended'   => "\$2\r\nOKxx+OK\r\n",
        'many-replies'   => "+OK\r\n" x 200000,
        'two-arrays'     => "*0\r\n*0\r\n*0\r\n",
        'resp3-push'     => ">2\r\n+message\r\n+x\r\n",
        'resp3-map'      => "%1\r\n+a\r\n+b\r\n",
        'resp3-set'      => "~1\r\n+a\r\n",
        'resp3-bool'     => "#t\r\n",
        'resp3-double'   => ",1.5\r\n",
        'resp3-big'      => "(3492890328409238509324850943850943825024385\r\n",
        'resp3-verbatim' => "=15\r\ntxt:Some string\r\n",
        'resp3-error'    => "!21\r\nSYNTAX invalid syntax\r\n",
        'resp3-attr'     => "|1\r\n+a\r\n+b\r\n",
        'error'          => "-ERR some text\r\n",
        'error-alone'    => "-\r\n",
        'error-noscript' => "-NOSCRIPT No matching script\r\n",
        'error-readonly' => "-READONLY You can't write against a replica.\r\n",
        'error-moved'    => "-MOVED 1 127.0.0.1:1\r\n",
        'error-ask'      => "-ASK 1 127.0.0.1:1\r\n",
        'error-long'     => $text . 'x' x 40000 . "\r\n",
        'error-longer'   => $text x 18000 . "\r\n",
        'endless'        => { endless => ":1\r\n" x 10000 },
        'endless-bulk'   => { first => "\$9000000\r\n", endless => 'x' x 65536 },
        'endless-array'  => { first => "*8000\r\n", endless => "*0\r\n" x 9 },
        'dripping'       => { first => "*8000\r\n", endless => ':', pause => 0.001 },
    );

    my %wrong = (
        'ok'             => "+OK\r\n",
        'ok-empty'       => "+\r\n",
        'nil'            => "\$-1\r\n",
        'nil-array'      => "*-1\r\n",
        'number'         => ":1\r\n",
        'number-most'    => ":9223372036854775807\r\n",
        'number-least'   => ":-9223372036854775808\r\n",
        'string'         => "\$7\r\ndeleted\r\n",
        'string-empty'   => "\$0\r\n\r\n",
        'string-long'    => "\$1000000\r\n" . 'x' x 1000000 . "\r\n",
        'array-empty'    => "*0\r\n",
        'array-of-nils'  => "*2\r\n" . "\$-1\r\n" x 2,
        'array-of-none'  => "*2\r\n" . "*0\r\n" x 2,
        'array-of-errors' => "*2\r\n" . "-ERR a\r\n" x 2,
        'array-long'     => "*8192\r\n" . ":1\r\n" x 8192,
    );

    return (\%broken, \%wrong);
}


# how often one has been asked for a script

sub asked_for {
    my ($port, $script) = @_;
    return scalar grep { $_ eq $script } fake_scripts($port);
}


# how many there were

sub connections { asked_for($_[0], '(connected)') }


# how much nonsense it may have said, one piece at least to each connection

sub odd_replies {
    my ($port) = @_;
    my $n = 0;
    $n += asked_for($port, $_) for @{ $Odd{$port} };
    return $n > connections($port) ? $n : connections($port);
}


# of a process, in KiB

sub resident {
    my ($kib) = slurp("/proc/$_[0]/status") =~ /^VmRSS:\s+(\d+)/m;
    return $kib;
}


# that a process has used, in milliseconds

sub cpu_ms {
    my @is = split ' ', slurp("/proc/$_[0]/stat") =~ s/^.*\) //sr;
    return ($is[11] + $is[12]) * 1000 / POSIX::sysconf(POSIX::_SC_CLK_TCK());
}


# what nginx has logged is in lines of its own, with no control characters

sub log_is_printable {
    my ($text) = @_;

    local $Test::Builder::Level = $Test::Builder::Level + 1;

    my @lines = split /\n/, $text // error_log_text();
    my @forged = grep { !m{^\d{4}/\d\d/\d\d \d\d:\d\d:\d\d \[\w+\] \d+\#}
                        || /[\0-\x1f\x7f]/ || length > 2048 } @lines;

    Test::More::ok(!@forged, 'lines of the log are printable and short')
        or Test::More::diag(join "\n", map { substr $_, 0, 300 } @forged[0 .. 3]);
}


sub ping_is_answered {
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    my $got = call('GET', '/ping');
    Test::More::is($got->{status}, 200, 'another request') unless $got->{status} == 200;
    return $got->{status} == 200;
}


# All of them were spoken to some more times, while others are answered; then the
# worker is the same, and what it has used is in its bounds

sub survives {
    my ($before, $ports, $times) = @_;

    local $Test::Builder::Level = $Test::Builder::Level + 1;

    are_tried_again($ports, $times);
    is_well($before, $ports);
}


sub are_tried_again {
    my ($ports, $times) = @_;

    local $Test::Builder::Level = $Test::Builder::Level + 1;

    my %left = map { $_ => connections($ports->{$_}) + ($times // 2) }
               keys %$ports;

    Test::More::ok(wait_for(sub {
        ping_is_answered() or return;
        delete @left{ grep { connections($ports->{$_}) >= $left{$_} } keys %left };
        return !%left;
    }), 'all are tried again, and others are answered meanwhile')
        or Test::More::diag(join ' ', sort keys %left);
}


# without ports, what the worker used is not looked at: floods that it has to
# hear cost what their peers can send

sub is_well {
    my ($before, $ports) = @_;

    local $Test::Builder::Level = $Test::Builder::Level + 1;

    my ($worker) = nginx_workers();
    Test::More::is($worker, $before->{worker}, 'the same worker');

    my $replies = 0;
    $replies += odd_replies($_) for values %$ports;
    my $used = cpu_ms($worker) - $before->{used};
    my $grown = resident($worker) - $before->{resident};

    Test::More::cmp_ok($used, '<', COST * $replies + 500, 'it has not used much')
        if $replies;
    Test::More::cmp_ok($grown, '<', GROWTH, 'nor grown much');
    Test::More::diag("$replies replies, $used ms, $grown KiB, ", scalar localtime)
        if $ENV{CRED_FIGURES};

    log_is_printable();
}


sub start {
    my ($worker) = nginx_workers();
    ping_is_answered();
    return { worker => $worker, used => cpu_ms($worker),
             resident => resident($worker) };
}


# peers with one of these in place of what a good one replies to a command

sub peers {
    my ($command, %replies) = @_;
    %main::Ports = hostile(map { $_ => { $command => $replies{$_} } } keys %replies);
    locations();
}


# which are registries of locations of their own, with more in their URLs

sub registries {
    my ($command, $user, $db, %replies) = @_;

    peers($command, %replies);

    locations(map { $_ => "location ~ /$_/ { cred_delete apinizer; cred_registry"
                    . " redis://${user}127.0.0.1:$main::Ports{$_}/$db; }" }
              keys %replies);
}


# or environments of gateways

sub environments {
    my ($command, %replies) = @_;

    peers($command, %replies);

    locations(map { $_ => "location = /$_ { cred_access apinizer;"
                    . " cred_environment redis://127.0.0.1:$main::Ports{$_};"
                    . ' empty_gif; }' } keys %replies);
}


sub locations {
    my (%locations) = @_;

    open my $out, '>', temp_dir() . '/locations.conf' or die;
    print $out map { "$locations{$_}\n" } sort keys %locations;
    close $out;
}


# an answer to delete.lua with other elements than a good one has, by number, and
# with these environments, of which there is nothing to know

sub deleting {
    my ($elements, @cascade) = @_;

    return sub {
        my @is = (':1700000000000', 'deleted', 'alice', 'MyProject',
                  "apinizer:MyProject:$_[17]:0:$_[13]", ':8',
                  ':' . @cascade / 3, '',
                  map { (@cascade[3 * $_ .. 3 * $_ + 2], '') } 0 .. @cascade / 3 - 1);
        @is[keys %$elements] = values %$elements;
        return bytes(\@is);
    };
}


sub timeouts { $Timeouts }


# all at once; by name

sub answers {
    my @names = @_;
    my @got = map { http_parse($_) } http_many(map { del_raw($_) } @names);
    return map { $names[$_] => $got[$_] } 0 .. $#names;
}


# the answer to a delete that is answered, once there was no other in time

sub answered {
    my ($name) = @_;
    my $got;
    wait_for(sub { $got = del($name); $got->{status} != 503 });
    return $got;
}


# environments beside those that are good

sub register { redis('registry', 'HSET', '{cred}:environments', @_) }


# there is one result for each, and these have none

sub is_pending {
    my ($got, @names) = @_;

    local $Test::Builder::Level = $Test::Builder::Level + 1;

    Test::More::is($got->{status}, 200, 'deleted');

    my %is = $got->{body} =~ /"environmentName":"([^"]*)","success":(\w+)/g;
    my @wrong = grep { $is{$_} ne 'false' } @names;

    Test::More::is(join(' ', sort @wrong), '', 'pending in all of them');
    Test::More::is($is{$_}, 'true', "but not in $_") for qw(production staging);
}


# in the registry, too

sub are_pending {
    my ($id, @names) = @_;
    my %is = redis('registry', 'HGETALL', operation_of($id));

    local $Test::Builder::Level = $Test::Builder::Level + 1;

    my @wrong = grep { ($is{"environment:$_"} // '') !~ /"state":"pending"/ } @names;
    Test::More::is(join(' ', sort @wrong), '', 'and remembered so');
}


sub operation_of {
    return '{cred}:operation:'
           . redis('registry', 'GET', "{cred}:open:apinizer:MyProject:$_[0]");
}


# "200 HIT" and the like, by name

sub gated {
    my @names = @_;

    my @got = map { http_parse($_) } http_many(map {
        "GET /$_ HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer KEY\r\n\r\n"
    } @names);

    return map {
        $names[$_] => "$got[$_]{status} $got[$_]{headers}{'x-cache'}"
    } 0 .. $#names;
}


sub config { $Config }


1;
