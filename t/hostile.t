# Registries that speak no Redis' language: nobody is told that anything was done,
# the worker lives, answers others meanwhile, and neither grows nor burns.

use CredTest;
use CredTest::Delete;
use CredTest::Hostile;

defaults(sample());

our ($Broken, $Wrong) = nonsense();

sub all_are_refused {
    my $before = start();
    my %got = answers(sort keys %::Ports);
    answer_is($got{$_}, $_, failure(503)) for sort keys %got;
    survives($before, \%::Ports);
}

run_tests();


__DATA__

=== TEST 1: a registry, to AUTH
--- before
registries('AUTH', ':secret@', 0, %$::Broken, %$::Wrong);
--- http_config eval: main::timeouts()
--- config eval: main::config()
--- script
my $before = start();
my %got = answers(sort keys %$::Broken);
answer_is($got{$_}, $_, failure(503)) for sort keys %got;

# it need not be said in a good way that all is well

answer_is(answered($_), $_, deleted()) for sort keys %$::Wrong;

survives($before, { map { $_ => $::Ports{$_} } keys %$::Broken });
unlike(error_log_text(), qr/secret/, 'no password');



=== TEST 2: a registry, to SELECT
--- before
registries('SELECT', '', 3, %$::Broken, %$::Wrong);
--- http_config eval: main::timeouts()
--- config eval: main::config()
--- script
my $before = start();
my %got = answers(sort keys %$::Broken);
answer_is($got{$_}, $_, failure(503)) for sort keys %got;
answer_is(answered($_), $_, deleted()) for sort keys %$::Wrong;

survives($before, { map { $_ => $::Ports{$_} } keys %$::Broken });



=== TEST 3: a registry, to TIME
--- before
registries('TIME', '', 0, %$::Broken, %$::Wrong);
--- http_config eval: main::timeouts()
--- config eval: main::config()
--- script
all_are_refused();



=== TEST 4: a registry, to delete.lua
--- before
registries('DELETE', '', 0, %$::Broken, %$::Wrong);
--- http_config eval: main::timeouts()
--- config eval: main::config()
--- script
my $before = start();
my %got = answers(sort keys %::Ports);
answer_is($got{$_}, $_, failure(503)) for sort keys %got;

# with its text, and after that only if there was no answer in time

cmp_ok(asked_for($::Ports{'error-noscript'}, 'DELETE'), '<', 100, 'not for ever');

is_well($before, \%::Ports);



=== TEST 5: a registry, to claim.lua
--- before
registries('CLAIM', '', 0, %$::Broken, %$::Wrong);
--- http_config eval: main::timeouts()
--- config eval: main::config()
--- script
my $before = start();

# which has the connection to itself now and then

for my $name (sort keys %::Ports) {
    my $got;
    wait_for(sub { $got = del($name); $got->{status} == 200 },
             exists $::Wrong->{$name} ? undef : 0);
    next if exists $::Broken->{$name} && $got->{status} == 503;
    answer_is($got, $name, deleted());
}

my %ends = map { $_ => $::Ports{$_} } grep { !/^error/ } keys %$::Broken;
survives($before, \%ends);



=== TEST 6: a registry whose answers say too much, or nonsense
--- before
my ($least, $most) = (':-9223372036854775808', ':9223372036854775807');
my $header = "\r\nX-Evil: 1\r\n\r\n" . 'a' x 32;
my $line = "\n2026/01/01 00:00:00 [warn] forged";
my $nowhere = 'redis://127.0.0.1:1';

our %Refused = (
    'no-operation'    => deleting({ 4 => '' }),
    'nil-operation'   => deleting({ 4 => undef }),
    'a-header'        => deleting({ 4 => substr $header, 0, 40 }),
    'a-line'          => deleting({ 4 => "\n" . 'a' x 31 }),
    'zeros'           => deleting({ 4 => "\0" x 32 }),
    'capitals'        => deleting({ 4 => 'A' x 32 }),
    'no-hex'          => deleting({ 4 => 'a' x 31 . 'g' }),
    'a-cascade'       => deleting({ 1 => 'not_found' }, 'there', $nowhere, 'claimed'),
    'many'            => deleting({}, map { ("e$_", $nowhere, 'claimed') } 1 .. 1025),
    'most'            => deleting({}, map { ("e$_", $nowhere, 'claimed') } 1 .. 2000),
    'nil-name'        => deleting({}, undef, $nowhere, 'claimed'),
    'nil-url'         => deleting({}, 'e', undef, 'claimed'),
    'nil-state'       => deleting({}, 'e', $nowhere, undef),
    'an-operation'    => deleting({ 1 => 'not_found' }),
);

our %Deleted = (
    'time-least'      => deleting({ 0 => $least }),
    'time-most'       => deleting({ 0 => $most }),
    'time-none'       => deleting({ 0 => ':0' }),
    'time-before'     => deleting({ 0 => ':-1' }),
    'rate-most'       => deleting({ 0 => $least, 7 => '9223372036854775807 ' x 2
                                                      . '9223372036854775807' }),
    'rate-least'      => deleting({ 0 => $most, 7 => '0 0 0' }),
    'subject-long'    => deleting({ 2 => 'x' x 500000 }),
    'subject-lines'   => deleting({ 2 => $line, 3 => $line }),
);

our %Pending = (
    'several'         => deleting({}, map { ("e$_", $nowhere, 'claimed') } 1 .. 500),
    'same'            => deleting({}, ('e', $nowhere, 'claimed') x 100),
    'same-others'     => deleting({}, map { ('e', "redis://127.0.0.1:$_", 'claimed') }
                                      1 .. 100),
    'blank-name'      => deleting({}, '', $nowhere, 'claimed'),
    'long-name'       => deleting({}, 'x' x 20000, $nowhere, 'claimed'),
    'lines-in-name'   => deleting({}, $line . $header, $nowhere, 'claimed'),
    'binary-name'     => deleting({}, join('', map { chr } 0 .. 255), $nowhere, 'claimed'),
    'long-url'        => deleting({}, 'e', 'redis://' . 'x' x 500000, 'claimed'),
    'long-database'   => deleting({}, 'e', "$nowhere/" . '1' x 500000, 'claimed'),
    'lines-in-url'    => deleting({}, 'e', "redis://a$line", 'claimed'),
    'escapes-in-url'  => deleting({}, 'e', 'redis://a%0d%0a%00', 'claimed'),
    'binary-url'      => deleting({}, 'e', join('', map { chr } 0 .. 255), 'claimed'),
    'state-other'     => deleting({}, 'e', $nowhere, 'removed'),
    'state-blank'     => deleting({}, 'e', $nowhere, ''),
    'state-long'      => deleting({}, 'e', $nowhere, 'claimed' x 50000),
    'state-lines'     => deleting({}, 'e', $nowhere, $line),
);

registries('DELETE', '', 0, %Refused, %Deleted, %Pending);
--- http_config eval: main::timeouts()
--- config eval: main::config()
--- script
my $before = start();

my %got = answers(sort keys %::Refused);

# the operation is read before the environments

delete $got{$_}{headers}{'cred-operation'} for grep { /^nil-[^o]/ } keys %got;
answer_is($got{$_}, $_, failure(503)) for sort keys %got;

answer_is(answered($_), $_, deleted()) for sort keys %::Deleted;

for my $name (sort keys %::Pending) {
    my $is = answered($name);
    is($is->{status}, 200, "$name: deleted");
    is($is->{headers}{'x-evil'}, undef, 'no header of others');
    unlike($is->{body}, qr/"success":true,"message"/, 'but undeployed nowhere');
}

is_well($before, \%::Ports);



=== TEST 7: a registry that has lost an answer, and then has none
--- before
my %then = (
    late     => deleting({ 1 => 'late' }),
    full     => deleting({ 1 => 'full' }),
    noscript => "-NOSCRIPT No matching script\r\n",
    closed   => \"",
    reset    => \\"",
    silence  => undef,
);

my %n;

registries('DELETE', '', 0, map {
    my ($name, $reply) = ($_, $then{$_});
    ($name => sub { $n{$name}++ ? ref $reply eq 'CODE' ? $reply->(@_) : $reply : \"" });
} keys %then);
--- http_config eval: main::timeouts()
--- config eval: main::config()
--- script
my $before = start();
my %got = answers(sort keys %::Ports);
answer_is($got{$_}, $_, failure(503)) for sort keys %got;

# which is the end of it

my %asked = map { $_ => asked_for($::Ports{$_}, 'DELETE') } keys %::Ports;
my $claims = asked_for($::Ports{late}, 'CLAIM');
ok(wait_for(sub { asked_for($::Ports{late}, 'CLAIM') > $claims + 3 }), 'it goes on');
is(asked_for($::Ports{$_}, 'DELETE'), $asked{$_}, "$_: not asked any more")
    for sort keys %asked;
is_well($before);



=== TEST 8: a registry that claims too much, or nonsense
--- before
my $member = 'apinizer:MyProject:x:0:' . 'a' x 32;
my $n = 0;

my $names = sub {
    my ($url) = @_;
    $n++;
    return map { ("$n-$_" . 'x' x 200, $url, []) } 1 .. 1000;
};

our %Wrong = (
    'a-number'     => bytes(['e', '', [':1']]),
    'a-nil'        => bytes(['e', '', [undef]]),
    'an-array'     => bytes(['e', '', [[$member]]]),
    'an-error'     => bytes(['e', '', ['-ERR x']]),
    'a-status'     => bytes(['e', '', ['+x']]),
    'the-last'     => bytes(['e', '', [($member) x 100, ':1']]),
    'no-members'   => bytes(['e', '', undef]),
    'too-many'     => bytes(['e', '', [map { "$_$member" } 1 .. 257]]),
    'of-too-many'  => bytes([map { ("e$_", '', []) } 1 .. 1025]),
    'of-others'    => sub { bytes([$names->(''), 'e', '', ':1']) },
    'of-none'      => sub { bytes([$names->(undef), 'e', '', ':1']) },
);

our %Right = (
    'others'       => sub { bytes([$names->('')]) },
    'not-there'    => sub { bytes([$names->(undef)]) },
    'same'         => bytes([('e', 'redis://127.0.0.1:1', []) x 1000]),
    'same-others'  => bytes([map { ('e', "redis://127.0.0.1:$_", []) } 1 .. 1000]),
    'blank'        => bytes(['', '', []]),
    'long-name'    => bytes(['x' x 500000, '', []]),
    'long-url'     => bytes(['e', 'redis://' . 'x' x 500000, []]),
    'lines'        => bytes(["\r\n2026/01/01 [warn] forged\n", "redis://a\nb", []]),
);

registries('CLAIM', '', 0, %Wrong, %Right);
--- http_config eval: main::timeouts()
--- config eval: main::config()
--- script
my $before = start();
my $kib = $before->{resident};

ok(wait_for(sub {
    ping_is_answered() or return;
    !grep { asked_for($::Ports{$_}, 'CLAIM') < 30 } keys %::Ports;
}, 60), 'all are asked again and again');

is(asked_for($::Ports{$_}, 'ACKNOWLEDGE'), 0, "$_: nothing of it is believed")
    for sort keys %::Wrong;

# what was named once is forgotten

my ($worker) = nginx_workers();
cmp_ok(resident($worker) - $kib, '<', GROWTH / 2, 'it has not grown');
is_well($before);



=== TEST 9: a registry that never comes to an end with an environment
--- before
our %There = hostile(there => {}, changed => {}, 'no-word' => {});

my $says = sub {
    my ($then, @more) = @_;
    return sub {
        return bytes($_[6] eq 'ask' ? ['1', '', @more ? 'more' : '', ''] : $then);
    };
};

my %again = (
    (map { $_ => { AGAIN => $::Broken->{$_} } } keys %$::Broken),
    (map { $_ => { AGAIN => $::Wrong->{$_} } } keys %$::Wrong),
    'changed'     => { AGAIN => $says->(['changed', '1', ':0']) },
    'no-word'     => { AGAIN => $says->(['', '1', ':0']) },
    'more'        => { AGAIN => $says->(['more', '1', ':9223372036854775807'], 1) },
    'changed-more' => { AGAIN => $says->(['changed', '1', ':0'], 1) },
    'short'       => { AGAIN => $says->(['admitted', '1']) },
    'number'      => { AGAIN => $says->(['admitted', '1', '1']) },
    'long-epoch'  => { AGAIN => $says->(['admitted', '1' x 65, ':1']) },
    'long-id'     => { AGAIN => bytes(['1', '1' x 65, '', '']) },
    'nils'        => { AGAIN => bytes([undef, undef, undef, undef]) },
);

my $url = sub {
    return 'redis://127.0.0.1:' . ($There{$_[0]} // $There{there}) . "?prefix=$_[0]";
};

our %Ports = hostile(map { $_ => {
    %{ $again{$_} },
    DELETE => deleting({}, 'there', $url->($_), 'claimed'),
    CLAIM  => bytes(['there', $url->($_), []]),
} } keys %again);

locations(map { $_ => "location ~ /$_/ { cred_delete apinizer;"
                      . " cred_registry redis://127.0.0.1:$Ports{$_}; }" } keys %again);
--- http_config eval: main::timeouts()
--- config eval: main::config()
--- script
my $before = start();

for (1 .. 3) {
    my %got = answers(sort keys %::Ports);

    for my $name (sort keys %got) {
        my $is = $got{$name};
        ok($is->{status} == 503
           || $is->{status} == 200 && $is->{body} !~ /"success":true,"message"/,
           "$name: not undeployed") or diag($is->{text});
    }
}

# who says the same each time is left alone for a while

for my $name ('changed', 'no-word') {
    my $greetings = connections($::There{$name}) + 1;
    cmp_ok(asked_for($::Ports{$name}, 'AGAIN'), '<=', 40 * $greetings,
           "$name: not for ever");
}

is_well($before);



=== TEST 10: a clock that jumps back and forth
--- before
my @times = (0, 1, 4102444800, 9223372036854775, 9223372036854775807, 1700000000);
my ($n, $m) = (0, 0);

our %Ports = hostile(jumps => {
    TIME   => sub { resp($times[$n++ % @times], $times[$n % @times]) },
    DELETE => sub { deleting({ 0 => ':' . $times[$m++ % @times] })->(@_) },
    CLAIM  => sub { $m % 3 ? "*0\r\n" : \"" },
});

locations(jumps => 'location ~ /jumps/ { cred_delete apinizer;'
                         . " cred_registry redis://127.0.0.1:$Ports{jumps}; }");
--- http_config eval: main::timeouts()
--- config eval: main::config()
--- script
my $before = start();

for (1 .. 12) {
    answer_is(answered('jumps'), "deleted, $_", deleted());
}

survives($before, \%::Ports, 3);



=== TEST 11: replies before anything was asked, and more of them than commands
--- before
my $time = resp(1700000000, 0);
my $done = bytes([':1700000000000', 'deleted', 'alice', 'MyProject',
                  'apinizer:MyProject:x:0:' . 'a' x 32, ':8', ':0', '']);

our %Never = (
    'ok'           => { greeting => "+OK\r\n" },
    'done'         => { greeting => $done },
    'time'         => { greeting => $time },
    'time-done'    => { greeting => $time . $done },
    'time-times'   => { greeting => $time x 1000 },
    'time-twice'   => { TIME => $time x 2 },
    'time-and-done' => { TIME => $time . $done },
    'reset'        => { greeting => \\"" },
    'error'        => { greeting => "-ERR max number of clients reached\r\n" },
    'denied'       => { greeting => \"-DENIED Redis is running in protected mode\r\n" },
);

our %Once = (
    'twice'        => { DELETE => sub { good_delete(@_) x 2 } },
    'much'         => { DELETE => sub { good_delete(@_) . $done x 5000 } },
    'then-nothing' => { DELETE => sub { good_delete(@_) . "\0" x 5000 } },
    'then-closed'  => { DELETE => sub { my $is = good_delete(@_); \$is } },
);

our %Ports = hostile(%Never, %Once);

locations(map { $_ => "location ~ /$_/ { cred_delete apinizer;"
                      . " cred_registry redis://127.0.0.1:$Ports{$_}; }" } keys %Ports);
--- http_config eval: main::timeouts()
--- config eval: main::config()
--- script
my $before = start();

for (1 .. 3) {
    my %got = answers(sort keys %::Never);

    # who lags behind by a reply has done what he says in the end

    for my $name (sort keys %got) {
        my $is = $got{$name};
        answer_is($is, $name, $is->{status} == 200 && $name =~ /^time/
                              ? deleted() : failure(503));
        unlike($is->{text}, qr/a{32}/, 'its own operation');
    }

    for my $name (sort keys %::Once) {
        my $got = answered($name);
        answer_is($got, $name, deleted());
        unlike($got->{text}, qr/a{32}/, 'its own operation');
    }
}

survives($before, { map { $_ => $::Ports{$_} } keys %::Never });



=== TEST 12: a registry, to ROLE
--- before
registries('ROLE', '', 0, %$::Broken, %$::Wrong);
--- http_config eval: main::timeouts()
--- config eval: main::config()
--- script
all_are_refused();



=== TEST 13: a registry in a cluster, to EXISTS
--- before
# its keys begin with its port

my $moved = sub { "-MOVED 1 $_[0]\r\n" };

my %never = (
    (map { $_ => $::Broken->{$_} } grep { $_ ne 'error-ask' } keys %$::Broken),
    'moved-nowhere'  => $moved->(''),
    'moved-for-ever' => sub { $moved->(':' . $_[1] =~ s/\D//gr) },
    'moved-to-name'  => sub { $moved->('127.0.0.1:' . $_[1] =~ s/\D//gr) },
    'moved-here'     => "-MOVED\r\n",
    'moved-port-0'   => $moved->('127.0.0.1:0'),
    'moved-port-of-6' => $moved->('127.0.0.1:123456'),
    'moved-port-of-20' => $moved->('127.0.0.1:' . '9' x 20),
    'moved-port-below' => $moved->('127.0.0.1:-1'),
    'moved-unknown'  => $moved->('?:6379'),
    'moved-lines'    => $moved->("a\nb:1"),
    'moved-far'      => $moved->('x' x 60000 . ':1'),
    'moved-colons'   => $moved->(':' x 1000),
);

our %Ever = (%$::Wrong, 'error-ask' => $::Broken->{'error-ask'});

peers('EXISTS', %never, %Ever);

locations(map { $_ => "location ~ /$_/ { cred_delete apinizer; cred_registry"
                . " redis-cluster://127.0.0.1:$::Ports{$_}?prefix=%7B$::Ports{$_}%7D; }" }
          keys %::Ports);
--- http_config eval: main::timeouts()
--- config eval: main::config()
--- script
my $before = start();
my @never = grep { !exists $::Ever{$_} } sort keys %::Ports;
my %got = answers(@never);
answer_is($got{$_}, $_, failure(503)) for sort keys %got;
answer_is(answered($_), $_, deleted()) for sort keys %::Ever;
survives($before, { map { $_ => $::Ports{$_} } @never });



=== TEST 14: a registry in a cluster, to INFO
--- before
peers('INFO', %$::Broken, %$::Wrong);

locations(map { $_ => "location ~ /$_/ { cred_delete apinizer; cred_registry"
                . " redis-cluster://127.0.0.1:$::Ports{$_}; }" } keys %::Ports);
--- http_config eval: main::timeouts()
--- config eval: main::config()
--- script
all_are_refused();



=== TEST 15: a sentinel
--- before
my %named = (
    'port-0'     => bytes(['127.0.0.1', \'0']),
    'port-of-6'  => bytes(['127.0.0.1', '123456']),
    'port-of-20' => bytes(['127.0.0.1', '9' x 20]),
    'port-below' => bytes(['127.0.0.1', \'-1']),
    'port-blank' => bytes(['127.0.0.1', '']),
    'port-number' => bytes(['127.0.0.1', ':1']),
    'host-blank' => bytes(['', '1']),
    'host-nil'   => bytes([undef, '1']),
    'host-long'  => bytes(['x' x 500000, '1']),
    'host-lines' => bytes(["a\r\nb", '1']),
    'host-bytes' => bytes(["\0\xff", '1']),
    'host-array' => bytes([['127.0.0.1'], '1']),
    'one'        => bytes(['127.0.0.1']),
    'three'      => bytes(['127.0.0.1', '1', '1']),
    'nowhere'    => bytes(['127.0.0.1', '1']),
);

peers('SENTINEL', %$::Broken, %$::Wrong, %named);

locations(map { $_ => "location ~ /$_/ { cred_delete apinizer; cred_registry"
                . " redis-sentinel://127.0.0.1:$::Ports{$_}#master; }" } keys %::Ports);
--- http_config eval: main::timeouts()
--- config eval: main::config()
--- script
all_are_refused();
