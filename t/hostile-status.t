# The same of those who are asked for the state: operators see what is known, and
# that the rest is not.

use CredTest;
use CredTest::Delete;
use CredTest::Gateway;
use CredTest::Hostile;
use JSON::PP ();

defaults(sample());

our ($Broken, $Wrong) = nonsense();

our $Config = config() . 'location = /status { cred_status; }'
              . ' location = /metrics { cred_status prometheus; }';

# a line that is none of Prometheus' format

our $Odd = qr/^(?!# |cred_\w+(?:\{(?:\w+="[^"\\\n]*(?:\\[\\"n][^"\\\n]*)*",?)+\})? [-+.\w]+$)/m;

# what was said of each location, all at once; by name

sub shown {
    my @names = @_;
    my @got = map { http_parse($_) }
              http_many(map { "GET /$_ HTTP/1.1\r\nHost: a\r\n\r\n" } @names);

    return map {
        my $got = $got[$_];
        $names[$_] => $got->{status} == 200
                      ? JSON::PP->new->utf8->max_depth(5000)->decode($got->{body}) : $got;
    } 0 .. $#names;
}

# of one that may not be read in time at first: on a busy machine much takes long

sub is_read {
    my ($name) = @_;
    my $is;

    return wait_for(sub {
        (undef, $is) = shown($name);
        return $is->{registry} && !$is->{registry}{problem};
    }) || Test::More::diag(JSON::PP->new->canonical->encode($is));
}

# what is known of each environment, once the gateways of these are

sub environments_with {
    my @names = @_;
    my %is;

    wait_for(sub {
        %is = map { $_->{name} => $_ } @{ { shown('status') }->{status}{environments} };
        return !grep { !$is{$_}{gateways} } @names;
    });

    return \%is;
}

sub statuses {
    my ($format) = @_;
    return map { my $name = $_;
                 $name => "location = /$name { cred_status $format; cred_registry"
                          . " redis://127.0.0.1:$main::Ports{$name}; }" }
           keys %main::Ports;
}

run_tests();


__DATA__

=== TEST 1: a registry, to survey.lua
--- before
peers('SURVEY', %$::Broken, %$::Wrong);
locations(statuses('json'));
--- http_config eval: main::timeouts()
--- config eval: main::config()
--- script
my $before = start();
my %got = shown(sort keys %::Ports);

# the next reply is taken for one that is left out

for my $name (sort keys %got) {
    ok($got{$name}{registry}{problem} || $name =~ /^(?:silence|endless|dripping)/, "$name: the registry has a problem")
        or diag 'it was said: ', JSON::PP->new->canonical->encode($got{$name});
    is_deeply($got{$name}{environments}, [], "$name: no environments");
}

for (1 .. 2) {
    shown(sort keys %::Ports);
    ping_is_answered();
}

is_well($before, \%::Ports);



=== TEST 2: an environment, to gateways.lua
--- before
peers('GATEWAYS', %$::Broken, %$::Wrong);
--- http_config eval: main::timeouts()
--- config eval: $::Config
--- script
my $before = start();
register(map { $_ => "redis://127.0.0.1:$::Ports{$_}" } keys %::Ports);

for (1 .. 3) {
    my $is = environments_with(qw(production staging));
    is(join(' ', grep { $is->{$_}{gateways} } sort keys %::Ports), '', 'nothing is known of gateways');
    ok($is->{$_}{gateways}, "but in $_") for qw(production staging);
}

is_well($before, \%::Ports);



=== TEST 3: a registry that says too much, or nonsense
--- before
my ($most, $over) = ('9223372036854775807', '9' x 30);
my $bytes = join '', map { chr } 0 .. 255;
my @environment = ('environment', 'e', 'registered', '1', 'url', 'redis://127.0.0.1:1',
                   'pending', '1', 'since', '1700000000000');

sub with {
    my ($n, $value) = @_;
    my @is = @environment;
    $is[$n] = $value;
    return bytes(['1700000000000', \@is]);
}

our %Unread = (
    'time-none'      => bytes(['']),
    'time-zero'      => bytes(['0']),
    'time-below'     => bytes(['-1']),
    'time-over'      => bytes([$over]),
    'time-nil'       => bytes([undef, \@environment]),
    'time-number'    => bytes([':1700000000000']),
    'no-record'      => bytes(['1700000000000', 'x']),
    'nil-record'     => bytes(['1700000000000', undef]),
    'empty-record'   => bytes(['1700000000000', []]),
    'odd-record'     => bytes(['1700000000000', [@environment, 'x']]),
    'nil-name'       => with(1, undef),
    'number-name'    => with(1, ':1'),
    'nested'         => with(1, ['x']),
    'error-in-it'    => with(1, '-ERR x'),
    'last-is-bad'    => bytes(['1700000000000', (\@environment) x 100, 'x']),
    'deep'           => bytes(['1700000000000', [[[[[[['x']]]]]]]]),
);

our %Read = (
    'nothing'        => bytes(['1700000000000']),
    'blank-name'     => with(1, ''),
    'long-name'      => with(1, 'x' x 400000),
    'binary-name'    => with(1, \$bytes),
    'url-none'       => with(5, ''),
    'url-long'       => with(5, 'redis://' . 'x' x 400000),
    'url-binary'     => with(5, \$bytes),
    'url-lines'      => with(5, "redis://a\n2026/01/01 00:00:00 [warn] forged"),
    'pending-most'   => with(7, $most),
    'pending-over'   => with(7, $over),
    'pending-below'  => with(7, '\\-1'),
    'pending-none'   => with(7, ''),
    'since-most'     => with(9, $most),
    'since-over'     => with(9, $over),
    'since-inf'      => with(9, 'inf'),
    'since-nan'      => with(9, 'nan'),
    'since-float'    => with(9, '1.7e12'),
    'since-later'    => with(9, '1800000000000'),
    'time-most'      => bytes([$most, \@environment]),
    'same'           => bytes(['1700000000000', (\@environment) x 500]),
    'of-one-field'   => bytes(['1700000000000', map { ['environment', "e$_"] } 1 .. 2000]),
    'audit-only'     => bytes(['1700000000000', map { ['time', $most, 'ms', $most, 'count', $most] } 1 .. 1000]),
    'audit-binary'   => bytes(['1700000000000', ['time', \$bytes, \$bytes, \$bytes, '', '']]),
    'audit-long'     => bytes(['1700000000000', ['time', 'x' x 900000]]),
    'wide'           => bytes(['1700000000000', [map { ("f$_", 'v') } 1 .. 4000]]),
    'receipts'       => bytes(['1700000000000', ['operation', 'x', map { ("environment:$_", '{"state":"pending","ms":1e300,"pending":1e300,"next":9223372036854775807,"first":-1}') } 1 .. 1000]]),
    'deep-receipt'   => bytes(['1700000000000', ['operation', 'x', 'environment:a', '[' x 100000, 'environment:b', '{"a":' x 1000 . '1' . '}' x 1000, 'environment:c', '"', 'environment:', '{"ms":{}}']]),
);

our %Ports = hostile(map { $_ => { SURVEY => $::Unread{$_} // $::Read{$_} } } keys %Unread, keys %Read);
locations(statuses('json'),
          map { my $name = $_; "p-$name" => "location = /p-$name { cred_status prometheus;"
                . " cred_registry redis://127.0.0.1:$::Ports{$name}; }" } keys %Ports);
--- http_config eval: main::timeouts()
--- config eval: $::Config
--- script
my $before = start();
my %got = shown(sort keys %::Ports);

for my $name (sort keys %::Unread) {
    ok($got{$name}{registry}{problem}, "$name: the registry has a problem");
    is_deeply($got{$name}{environments}, [], "$name: no environments");
}

ok(is_read($_), "$_: it has answered") for sort keys %::Read;

for my $name (sort keys %::Ports) {
    my $text = call('GET', "/p-$name")->{body};
    unlike($text, $::Odd, "$name: as Prometheus reads it");
    call('GET', "/$name?$_=x:y:z") for qw(operation environment credential);
}

is_well($before, \%::Ports);



=== TEST 4: an environment whose gateways are nonsense
--- before
my ($most, $over) = ('9223372036854775807', '9' x 30);
my @gateway = ('name', 'g', 'lease', '1000', 'called', '1700000000000', 'lag', '0');

sub instead {
    my ($n, $value) = @_;
    my @is = @gateway;
    $is[$n] = $value;
    return bytes(['1700000000000', \@is]);
}

our %Ports = hostile(map { $_->[0] => { GATEWAYS => $_->[1] } }
    ['called-most', instead(5, $most)],
    ['lease-most', instead(3, $most)],
    ['both-most', bytes(['1700000000000', ['name', 'g', 'lease', $most, 'called', $most, 'lag', $most]])],
    ['time-most', bytes([$most, ['name', 'g', 'lease', $most, 'called', $most, 'lag', $over]])],
    ['lag-over', instead(7, $over)],
    ['nameless', instead(0, 'x')],
    ['binary', instead(1, \join '', map { chr } 0 .. 255)],
    ['long', instead(1, 'x' x 900000)],
    ['many', bytes(['1700000000000', map { ['name', "g$_"] } 1 .. 2700])],
);
locations();
--- http_config eval: main::timeouts()
--- config eval: $::Config
--- script
my $before = start();
register(map { $_ => "redis://127.0.0.1:$::Ports{$_}" } keys %::Ports);

for (1 .. 3) {
    my $is = environments_with('many', 'both-most');
    is(scalar(keys %$is), 2 + keys %::Ports, 'all are shown');
    is(scalar(@{ $is->{many}{gateways} }), 2700, 'many gateways');
    ok($is->{'both-most'}{gateways}[0]{leased}, 'a lease that has no end');
    my $text;
    ok(wait_for(sub {
        $text = call('GET', '/metrics')->{body};
        $text =~ /^cred_gateways\{environment="both-most",state="leased"\} 1$/m;
    }), 'as a metric');
    unlike($text, $::Odd, 'as Prometheus reads it');
}

is_well($before, \%::Ports);
