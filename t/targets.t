# What connectors need: it goes from the credential into the operation, and from
# there to each attempt, whoever makes it.

use CredTest;
use CredTest::Delete;
use CredTest::Fake;

defaults(http_config => 'cred_registry $TEST_NGINX_REGISTRY;',
         config => 'cred_delete off;');

our $Trace = '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01';
our $Now = sub { sprintf '%.0f', Time::HiRes::time() * 1000 };


# scripts of a registry that no nginx has

sub script {
    my ($name, @args) = @_;
    my $sock = redis_connect('staging');
    print $sock resp('EVAL', slurp("src/lua/$name.lua"), 1, 'p:audit', 'p', @args);
    return reply($sock);
}

# Deletes these ids, or those of hashes of arguments; of each its result, its
# member, and its environments: what is said of each

sub deletes {
    my @asked = map { ref ? $_ : { id => $_ } } @_;
    my $reply = script('delete', 60000, 'apinizer', 1, 0, '', 0, '9' x 13, 1000, map {
        ($_->{operation} // operation_of($_->{id}), sha256('TOKEN'), '', 's',
         $_->{id}, '127.0.0.1', $_->{trace} // '', '', $_->{how} // 'all')
    } @asked);

    return $reply if ref $reply ne 'ARRAY';

    my @got = map {
        my ($result, undef, undef, $member, $start, $count) = @$reply[1 + $_ * 7 .. 7 + $_ * 7];
        my @of = @$reply[$start .. $start + 4 * $count - 1];
        my %is;
        while (my ($name, $url, $state, $known) = splice @of, 0, 4) {
            $is{$name} = [$url, $state, $known];
        }
        { result => $result, member => $member, environments => \%is };
    } 0 .. $#asked;

    return wantarray ? @got : $got[0];
}

# of one environment what was claimed: members, and what is known of each

sub claimed {
    my ($name, @treat) = @_;
    my (undef, @rest) = @{ script('claim', 60000, 256, 60000, @treat) };
    while (my ($is, $url, $members) = splice @rest, 0, 3) {
        next if $is ne $name;
        my %of;
        while (my ($member, undef, $known) = splice @$members, 0, 3) {
            $of{$member} = $known;
        }
        return \%of;
    }
}

sub acknowledge {
    my ($name, $member, %is) = @_;
    return script('acknowledge', 1000, 60000, 1000, $name, $member,
                  $is{state} // 'pending', $is{error} // '', 5, '', '',
                  $is{how} // '');
}

sub operation_of { substr sha256($_[0]), 0, 32 }

sub member { "apinizer:s:$_[0]:0:" . operation_of($_[0]) }

sub field { redis('staging', 'HGET', 'p:operation:' . operation_of($_[0]), $_[1]) }

sub receipt {
    return { field($_[0], "environment:$_[1]") =~ /"(\w+)":"?([^",}]*)/g };
}

sub due { redis('staging', 'ZSCORE', "p:pending:$_[0]", member($_[1])) }

sub set_due { redis('staging', 'ZADD', "p:pending:$_[0]", $_[2], member($_[1])) }

# a credential with these fields

sub register {
    my ($id, @fields) = @_;
    redis('staging', 'HSET', "p:apinizer:credential:s:$id", 'owner', 'alice', @fields);
    redis('staging', 'SADD', 'p:apinizer:credentials:s', $id);
}

sub registry {
    my (%environments) = @_;
    redis('staging', 'HSET', 'p:apinizer:token:' . sha256('TOKEN'), 'subject', 'alice');
    redis('staging', 'HSET', 'p:apinizer:scope:s', 'description', 'x');
    redis('staging', 'HSET', 'p:apinizer:members:s', 'alice', 'manage');
    redis('staging', 'HSET', 'p:environments', %environments);
}

# what is written of targets

sub targets {
    my ($id) = @_;
    my @all = @{ all('p:operation:' . operation_of($id)) };
    my %is = @all;
    return { map { /^target:(.*)/s ? ($1 => $is{$_}) : () } keys %is };
}

sub all {
    my $sock = redis_connect('staging');
    print $sock resp('HGETALL', @_);
    return reply($sock);
}


run_tests();


__DATA__

=== TEST 1: targets of connectors go with the credential
--- script
registry(redis => 'redis://a', kong => 'connector:kong', 'a:%' => 'connector:b',
         connector => 'connectors:x', odd => 'Connector:x');
register('x', 'target:kong', "5c0e /?#%\n\0 \xff", 'target:a:%', 'two words ',
         'target:redis', 'r', 'target:connector', 'c', 'target:odd', 'o', 'target:gone', 'g',
         'target:', 'n');
my $got = deletes({ id => 'x', trace => $::Trace });
is($got->{result}, 'deleted', 'deleted');
is_deeply($got->{environments}, {
    redis => ['redis://a', 'claimed', ''],
    kong => ['connector:kong', 'claimed', "0 0 $::Trace 5c0e /?#%\n\0 \xff"],
    'a:%' => ['connector:b', 'claimed', "0 0 $::Trace two words "],
    connector => ['connectors:x', 'claimed', ''],
    odd => ['Connector:x', 'claimed', ''],
}, 'what is known of each');
is_deeply(targets('x'), { kong => "5c0e /?#%\n\0 \xff", 'a:%' => 'two words ' },
          'and is kept, of these alone');
is(redis('staging', 'EXISTS', 'p:apinizer:credential:s:x'), 0, 'the credential is gone');

# without any, and without a trace

register('none');
is_deeply(deletes('none')->{environments}{kong}, ['connector:kong', 'claimed', '0 0 - '],
          'nothing is known');
is_deeply(targets('none'), {}, 'nothing is kept');

# what is cut would be another one

register('long', 'target:kong', 'x' x 513, 'target:a:%', 'x' x 512);
$got = deletes('long');
is($got->{environments}{kong}[2], '0 0 - ', 'too long to be one');
is($got->{environments}{'a:%'}[2], '0 0 - ' . 'x' x 512, 'as long as one can be');
is_deeply(targets('long'), { 'a:%' => 'x' x 512 }, 'and is kept');
register('empty', 'target:kong', '');
is(deletes('empty')->{environments}{kong}[2], '0 0 - ', 'an empty one is none');
is_deeply(targets('empty'), {}, 'and is not kept');



=== TEST 2: each has its own, also in one call
--- script
registry(kong => 'connector:kong', redis => 'redis://a');
register($_, 'target:kong', "of $_") for 'a' .. 'e';
my @got = deletes({ id => 'a', trace => $::Trace }, 'b', 'none', 'c');
is(join(' ', map { $_->{result} } @got), 'deleted deleted not_found deleted', 'deleted');
is_deeply([map { $_->{environments}{kong}[2] } @got[0, 1, 3]],
          ["0 0 $::Trace of a", '0 0 - of b', '0 0 - of c'], 'what is known');
is_deeply([map { $_->{environments}{redis} } @got[0, 1, 3]],
          [(['redis://a', 'claimed', '']) x 3], 'of a Redis nothing');
is_deeply(targets($_), { kong => "of $_" }, "$_ keeps its own") for qw(a b c);

# environments of their scope

redis('staging', 'SADD', 'p:apinizer:environments:s', 'redis');
is_deeply(deletes('d')->{environments}, { redis => ['redis://a', 'claimed', ''] },
          'no connector is concerned');
is_deeply(targets('d'), {}, 'and nothing kept');

# one that is not registered yet may be a connector when it is

redis('staging', 'SADD', 'p:apinizer:environments:s', 'late');
register('f', 'target:late', 'of f', 'target:redis', 'r');
is_deeply(deletes('f')->{environments}, {
    redis => ['redis://a', 'claimed', ''], late => ['', 'pending', ''],
}, 'not registered');
is_deeply(targets('f'), { late => 'of f' }, 'kept for then');
redis('staging', 'HSET', 'p:environments', 'late', 'connector:x');
set_due('late', 'f', 1);
like(claimed('late')->{member('f')}, qr/^\d+ 0 - of f\z/, 'known then');



=== TEST 3: a dry run is told the same, and nothing is written
--- script
registry(kong => 'connector:kong', redis => 'redis://a');
register('x', 'target:kong', 'of x');
my $keys = redis('staging', 'DBSIZE');
my $got = deletes({ id => 'x', operation => '', trace => $::Trace });
is($got->{result}, 'deleted', 'would be');
is($got->{member}, '', 'a member of nothing');
is_deeply($got->{environments}, {
    kong => ['connector:kong', 'claimed', "0 0 $::Trace of x"],
    redis => ['redis://a', 'claimed', ''],
}, 'what is known');
is(redis('staging', 'DBSIZE'), $keys, 'no key more');

# of what is pending, too; one whose lease is over may have acted, which is told
# and not noted

deletes('x');
set_due('kong', 'x', 1700000000000);
my $before = receipt('x', 'kong');
my %dry = (id => 'x', operation => '');
is_deeply(deletes(\%dry)->{environments}{kong},
          ['connector:kong', 'claimed', '1700000000000 0 - of x'], 'would be resumed');
is_deeply(receipt('x', 'kong'), $before, 'the receipt is as it was');
is(due('kong', 'x'), 1700000000000, 'nor is it claimed');



=== TEST 4: a delete of Redis environments alone asks no more than before
--- script
registry(one => 'redis://a', two => 'connecto:kong', three => '');
register('x', 'target:one', 'of x', 'target:two', 'of x');
my $seen = monitor('staging');
deletes('x');
redis('staging', 'PING', 'end');
my @seen;
ok(wait_for(sub { push @seen, $seen->(); grep { /"end"/ } @seen }), 'seen');
is(scalar(grep { /lua\] "target:|"target:/ } grep { / lua\]/ } @seen), 0, 'no target');
is(join(' ', map { /lua\] "(\w+)"/ ? uc $1 : () } @seen),
   'TIME EXISTS HMGET EXISTS HGET HMGET HGETALL SMEMBERS HSETNX HSET SADD'
   . ' ZADD ZADD ZADD ZADD SREM XADD DEL GETSET', 'the commands');
is_deeply(targets('x'), {}, 'nothing kept');



=== TEST 5: resumed deletes
--- script
registry(kong => 'connector:kong', redis => 'redis://a');
register('x', 'target:kong', 'of x', 'target:redis', 'r');
deletes({ id => 'x', trace => $::Trace });

my $resume = sub {
    my ($got) = deletes({ id => 'x', operation => 'f' x 32, trace => $::Trace =~ s/-01$/-00/r });
    is($got->{result}, 'resumed', 'resumed');
    is($got->{member}, member('x'), 'the same operation');
    is_deeply($got->{environments}{redis}, ['redis://a', 'pending', ''], 'of a Redis nothing');
    return $got->{environments}{kong};
};

is_deeply($resume->(), ['connector:kong', 'pending', "0 0 $::Trace of x"],
          'somebody attempts it: by the trace of the operation');
acknowledge('kong', member('x'));
is_deeply($resume->(), ['connector:kong', 'claimed', "0 0 $::Trace of x"], 'not done');
ok(!exists receipt('x', 'kong')->{unclear}, 'no attempt that may have acted');
acknowledge('kong', member('x'), how => 'unclear');
my $at = receipt('x', 'kong')->{unclear};
cmp_ok(abs($at - $::Now->()), '<', 60000, 'one that may have acted');
is_deeply($resume->(), ['connector:kong', 'claimed', "$at 0 $::Trace of x"], 'is told');
is_deeply($resume->(), ['connector:kong', 'pending', "$at 0 $::Trace of x"], 'to all');

# whoever claimed it never came back

set_due('kong', 'x', $at + 1);
is_deeply($resume->(), ['connector:kong', 'claimed', $at + 1 . " 0 $::Trace of x"],
          'it may have acted as long as its lease was');
is(receipt('x', 'kong')->{unclear}, $at + 1, 'which is noted');
acknowledge('kong', member('x'), error => 'e');
is_deeply($resume->(), ['connector:kong', 'claimed', $at + 1 . " 0 $::Trace of x"],
          'and stays, whatever comes of the next one');

# the first answer was lost: nobody has attempted it

register('y', 'target:kong', 'of y');
deletes('y');
my ($again) = deletes({ id => 'y', how => 'again' });
is_deeply($again->{environments}{kong}, ['connector:kong', 'claimed', '0 0 - of y'],
          'asked again');
ok(!exists receipt('y', 'kong')->{unclear}, 'nothing is noted');

# what was settled has none

acknowledge('kong', member('y'), state => 'undeployed');
($again) = deletes({ id => 'y', how => 'again' });
is_deeply($again->{environments}{kong}, ['', 'undeployed', ''], 'nothing is known');

# whatever hands have left there

my $key = 'p:operation:' . operation_of('x');
for (['true', '0'], ['"1"', '0'], ['-1', '0'], ['0', '0'], ['1e400', '0'], ['1e15', '0'],
     ['null', '0'], ['[]', '0'], ['999999999999999', '999999999999999'], ['1.5', '1'])
{
    my ($unclear, $told) = @$_;
    redis('staging', 'HSET', $key, 'environment:kong',
          qq({"state":"pending","attempts":1,"next":1,"unclear":$unclear}));
    set_due('kong', 'x', 1);
    is($resume->()->[2], "$told 0 $::Trace of x", "unclear: $unclear");
}
for ('x', "$::Trace ", "${main::Trace}0", uc $::Trace, '', $::Trace =~ s/-01$/ 01/r) {
    redis('staging', 'HSET', $key, 'traceparent', $_, 'environment:kong',
          '{"state":"pending","attempts":1,"next":1}');
    set_due('kong', 'x', 1);
    is($resume->()->[2], '0 0 - of x', "trace: $_");
}
redis('staging', 'HSET', $key, 'target:kong', 'x' x 513);
like($resume->()->[2], qr/^0 0 - \z/, 'target: too long');



=== TEST 6: claims
--- script
registry(kong => 'connector:kong', redis => 'redis://a');
register($_, "target:kong", "of $_", 'target:redis', 'r') for 'a' .. 'c';
deletes({ id => 'a', trace => $::Trace }, 'b');
is_deeply(claimed('kong'), {}, 'they are attempted');

# the registry itself may be started anew meanwhile: all is in its keys

acknowledge($_, member('a'), how => 'due=0') for qw(kong redis);
is_deeply(claimed('kong'), { member('a') => "0 0 $::Trace of a" }, 'one is due');
acknowledge('kong', member('a'), how => 'due=0 unclear');
my $at = receipt('a', 'kong')->{unclear};
is_deeply(claimed('kong'), { member('a') => "$at 0 $::Trace of a" }, 'it may have acted');
acknowledge('kong', member('a'), error => 'other');
is(receipt('a', 'kong')->{unclear}, $at, 'which another attempt does not change');

# one that waits for its next attempt, and is drained

set_due('kong', 'a', my $due = $::Now->() + 600000);
redis('staging', 'HSET', 'p:operation:' . operation_of('a'), 'environment:kong',
      qq({"state":"pending","attempts":1,"next":$due}));
is_deeply(claimed('kong'), {}, 'not yet');
is_deeply(claimed('kong', 'kong', 'drain'), { member('a') => "0 0 $::Trace of a" }, 'drained');

# leases that are over

set_due($_, 'b', 1700000000000) for qw(kong redis);
my $before = receipt('b', 'redis');
is_deeply(claimed('kong'), { member('b') => '1700000000000 0 - of b' },
          'nobody has come back');
is(receipt('b', 'kong')->{unclear}, 1700000000000, 'which is noted');
is(receipt('b', 'kong')->{attempts}, 0, 'in the receipt that is there');
is_deeply(receipt('b', 'redis'), $before, 'but not of a Redis');
set_due('redis', 'b', 1);
is_deeply(claimed('redis'), { member('b') => '' }, 'of which nothing is known');

# an operation that is gone, or is something else

register('c', 'target:kong', 'of c');
deletes('c');
my $key = 'p:operation:' . operation_of('c');
redis('staging', 'DEL', $key);
set_due('kong', 'c', 5);
is_deeply(claimed('kong'), { member('c') => '5 0 - ' }, 'gone');
is(redis('staging', 'EXISTS', $key), 0, 'and stays gone');
redis('staging', 'SET', $key, 'x');
set_due('kong', 'c', 5);
is_deeply(claimed('kong'), { member('c') => '5 0 - ' }, 'something else');
redis('staging', 'ZADD', 'p:pending:kong', 5, 'x');
is_deeply(claimed('kong'), { x => '5 0 - ' }, 'no member');

# one that is not registered any more

redis('staging', 'HDEL', 'p:environments', 'kong');
claimed('kong');
redis('staging', 'HSET', 'p:unregistered', 'kong', 1);
is_deeply([sort values %{ claimed('kong') }], [('') x 4], 'dropped: nothing to know');



=== TEST 7: what receipts are told of attempts
--- script
registry(kong => 'connector:kong');
my $n = 0;

# a receipt after these words, one after the other, each as HOW or as STATE

my $after = sub {
    my $id = 'i' . ++$n;
    register($id);
    deletes($id);
    for (@_) {
        is(acknowledge('kong', member($id), /^(un)?deployed|^not_|^super/ ? (state => $_)
                                                            : (how => $_)), '(nil)', $_);
    }
    return (receipt($id, 'kong'), $id);
};

my ($is, $id) = $after->('due=7000');
is($is->{next} - $is->{last}, 7000, 'due in 7 s');
is(due('kong', $id), $is->{next}, 'by its entry, too');
is($is->{attempts}, 1, 'an attempt');
($is) = $after->('due=0');
is($is->{next}, $is->{last}, 'at once');
($is) = $after->('due=604800000');
is($is->{next} - $is->{last}, 604800000, 'in 7 days');
($is) = $after->('due=' . '9' x 30);
is($is->{next} - $is->{last}, 604800000, 'at most');
for (qw(due= due=x due=-1 other)) {
    ($is) = $after->($_);
    my $delay = $is->{next} - $is->{last};
    ok($delay >= 750 && $delay <= 1250, 'by the delays') or diag($delay);
}

($is) = $after->('due=0 unattempted', 'due=0 unattempted');
is($is->{attempts}, 0, 'no attempt');
ok(!exists $is->{first}, 'nor a first one');
is($is->{state}, 'pending', 'pending');
($is) = $after->('unattempted', '', 'unattempted', '');
is($is->{attempts}, 2, 'those that were some');
ok($is->{first}, 'the first of which');

($is) = $after->('unclear');
is($is->{unclear}, $is->{last}, 'it may have acted');
is($is->{attempts}, 1, 'an attempt');
($is) = $after->('unclear due=5 unattempted');
is("$is->{unclear} $is->{attempts}", "$is->{last} 0", 'all of it');
is($is->{next} - $is->{last}, 5, 'due');

# it was there, and may be what is not there any more

($is) = $after->('unclear', 'not_deployed');
is($is->{state}, 'undeployed', 'undeployed after all');
ok(!exists $is->{unclear}, 'settled');
($is) = $after->('unclear', '', 'not_deployed');
is($is->{state}, 'undeployed', 'also later');
($is) = $after->('unclear', 'superseded');
is($is->{state}, 'superseded', 'but no other state');
ok(!exists $is->{unclear}, 'settled');
($is) = $after->('', 'not_deployed');
is($is->{state}, 'not_deployed', 'nor without it');

# what is settled needs none

for my $state (qw(undeployed not_deployed)) {
    my $id = 'i' . ++$n;
    register($id);
    deletes($id);
    acknowledge('kong', member($id), state => $state, how => 'due=5 unclear unattempted');
    is_deeply([sort keys %{ receipt($id, 'kong') }], [qw(attempts last ms state)], $state);
    is(receipt($id, 'kong')->{state}, $state, 'is what it is');

    register($id = 'i' . ++$n);
    deletes($id);
    acknowledge('kong', member($id));
    acknowledge('kong', member($id), state => $state, how => 'due=5 unclear unattempted');
    is_deeply([sort keys %{ receipt($id, 'kong') }], [qw(attempts first last ms state)],
              'also later');
    is(receipt($id, 'kong')->{attempts}, 2, 'an attempt');
}



=== TEST 8: an environment that lost its memory is told again, with its targets
--- script
registry(kong => 'connector:kong');
register('x', 'target:kong', 'of x');
deletes('x');
acknowledge('kong', member('x'), how => 'unclear');
acknowledge('kong', member('x'), state => 'undeployed');

my $again = sub {
    my $sock = redis_connect('staging');
    print $sock resp('EVAL', slurp('src/lua/again.lua'), 1, 'p:positions', 'p', 'kong', @_);
    return reply($sock);
};

my $epoch = $again->('ask')->[0];
is($again->('lost', $epoch, '0-0', 'abc', '')->[0], 'more', 'lost');
is($again->('more', $epoch + 1, '0-0', 'abc', '')->[2], 1, 'told');
is_deeply(claimed('kong'), { member('x') => '0 0 - of x' }, 'claimed');
is(receipt('x', 'kong')->{again}, 1, 'again');



=== TEST 9: a thousand connectors
--- script
registry(map { ("e$_" => 'connector:x') } 1 .. 1024);
register('x', map { ("target:e$_" => "$_ " . 'x' x 200) } 1 .. 1024);
my $got = deletes('x');
is($got->{result}, 'deleted', 'deleted');
is(scalar(grep { $got->{environments}{"e$_"}[2] eq "0 0 - $_ " . 'x' x 200 } 1 .. 1024), 1024,
   'all are known');
is(scalar(keys %{ targets('x') }), 1024, 'and kept');

# people are told of receipts first, as far as there is room

my %told = @{ script('survey', 'operation', operation_of('x'))->[1] };
is($told{id}, 'x', 'told of');
is(scalar(grep { /^environment:/ } keys %told), 1024, 'with all receipts');
cmp_ok(scalar(grep { /^target:/ } keys %told), '>', 900, 'and what they call it');

# not more than a reply may be long

register('y', map { ("target:e$_" => 'y' x 512) } 1 .. 1024);
like(deletes('y')->{result}, qr/too many environments/, 'too much to be told');
is(redis('staging', 'EXISTS', 'p:apinizer:credential:s:y'), 1, 'nothing was done');
redis('staging', 'HSET', 'p:operation:' . operation_of('x'),
      map { ("target:e$_" => 'y' x 512) } 1 .. 1024);
redis('staging', 'ZADD', "p:pending:e$_", 1, member('x')) for 1 .. 1024;
($got) = deletes({ id => 'x', operation => 'f' x 32 });
is($got->{result}, 'resumed', 'what was deleted is resumed');
my @of = values %{ $got->{environments} };
is(scalar(grep { $_->[1] eq 'claimed' } @of), 1024, 'all of it');
is(scalar(grep { $_->[0] eq '' && $_->[2] eq '' } @of) > 0, 1, 'some are told of later');
is(scalar(grep { $_->[0] ne '' && length $_->[2] < 512 } @of), 0, 'the others in full');



=== TEST 10: kept by nginx, whoever attempts it
--- http_config
cred_registry     $TEST_NGINX_REGISTRY;
cred_retry_delay  100ms 200ms;
--- config
location /apiops/ { cred_delete apinizer; }
--- before
my %sample = sample();
redis_load('registry', $sample{registry});
redis_load($_, $sample{staging}) for qw(production staging);
redis('registry', 'HDEL', '{cred}:environments', 'staging');
redis('registry', 'HSET', '{cred}:environments', 'kong', 'connector:kong');
redis('registry', 'HSET', '{cred}:apinizer:credential:MyProject:api-user', 'target:kong',
      '5c0e x');
--- script
my $answer = del('api-user', headers => ["traceparent: $::Trace"]);
answer_is($answer, 'deleted', pending(kong => 'unreachable', production => undef));
my $key = '{cred}:operation:' . operation($answer);
my $is = sub { redis('registry', 'HGET', $key, 'environment:kong') };
my $last = sub { $is->() =~ /"last":(\d+)/ ? $1 : 0 };
ok(wait_for($last), 'attempted');
my $first = $last->();
my $resumed = del('api-user');
answer_is($resumed, 'resumed', pending(kong => 'unreachable', production => undef));
is(operation($resumed), operation($answer), 'the same operation');
ok(wait_for(sub { $last->() > $first }), 'attempted again');

# by another worker, after somebody who never came back

redis('registry', 'ZADD', '{cred}:pending:kong', 1,
      'apinizer:MyProject:api-user:7:' . operation($answer));
nginx_reload();
ok(wait_for(sub { del('api-user'); $is->() =~ /"unclear":1[,}]/ }), 'which is noted');
is(redis('registry', 'HGET', $key, 'target:kong'), '5c0e x', 'its target is there');
is(redis('registry', 'HGET', $key, 'traceparent'), $::Trace, 'and its trace');

# it is a Redis now

redis('registry', 'HSET', '{cred}:environments', 'kong', redis_url('staging'));
ok(settled(), 'settled');
like($is->(), qr/"state":"undeployed"/, 'undeployed');
unlike($is->(), qr/unclear/, 'clear');
unlike(error_log_text(), qr/unexpected reply/, 'all replies were understood');
--- redis_check
staging: EXISTS {cred}:apinizer:credential:MyProject:api-user => 0



=== TEST 11: claims that no good registry answers
--- before
our @Known = (undef, ':1', [], ' ', '0', '0 -', 'x - x', '1.5 - x', '01 - x', '-1 - x',
              '1' x 16 . ' - x', '0 x x', "0 0 $::Trace", '0 ' . uc($::Trace) . ' x',
              '0 0 - ' . 'x' x 513);
our @Fine = ('', '0 0 - ', "999999999999999 0 $::Trace a b\r\n", '0 0 - ' . 'x' x 512);
my $bytes;

$bytes = sub {
    my ($value) = @_;
    return "\$-1\r\n" unless defined $value;
    return '*' . @$value . "\r\n" . join '', map { $bytes->($_) } @$value if ref $value;
    return $value =~ /^:/ ? "$value\r\n" : '$' . length($value) . "\r\n$value\r\n";
};

my @turns = (@Known, @Fine);

# not claimed: any number of times

my $claim = sub {
    return "*1\r\n\$1\r\n1\r\n" unless @turns;
    my $known = shift @turns;
    return $bytes->(['1700000000000', 'e', 'connector:x', [
        'a:s:i:0:' . '0' x 32, '1600000000000', '',
        'a:s:i:0:' . '1' x 32, '1600000000000', $known,
    ]]);
};
my $reply = sub {
    my $name = fake_script($_[0], $_[1]);
    return $name eq 'CLAIM' ? $claim->() : "\$-1\r\n";
};

$ENV{TEST_NGINX_FAKE} = fake(replies => { EVALSHA => $reply, EVAL => $reply });
--- http_config
cred_registry     redis://127.0.0.1:$TEST_NGINX_FAKE;
cred_retry_delay  10ms 20ms;
--- config
location /apiops/ { cred_delete apinizer; }
--- script
my $acknowledged = sub {
    return scalar(() = join('', fake_log($ENV{TEST_NGINX_FAKE})) =~ /a:s:i:0:1{32} pending/g);
};
my $refused = sub { scalar(my @lines = error_log_text() =~ /unexpected reply to claim.lua/g) };

ok(wait_for(sub { $acknowledged->() == @::Fine }), 'these count');
is($refused->(), scalar @::Known, 'and none of the others');



=== TEST 12: a claim has no more than can be read
--- script
my $fill = sub {
    redis('staging', 'EVAL', <<'END', 0, @_);
local environments, members, target = ARGV[1], ARGV[2], ARGV[3]
for i = 1, environments do
    local name = 'e' .. i
    redis.call('HSET', 'p:environments', name, 'connector:x')
    redis.call('SADD', 'p:pending', name)
    for n = 1, members do
        local operation = string.format('%032x', i * 1000 + n)
        redis.call('ZADD', 'p:pending:' .. name, 1, 'apinizer:s:i:0:' .. operation)
        redis.call('HSET', 'p:operation:' .. operation, 'target:' .. name,
                   string.rep('x', target))
    end
end
END
    my $reply = script('claim', 60000, 256, 60000);
    return map { ref ? ($_, @$_) : $_ } @$reply;
};

# elements, and bytes on the wire

my @is = $fill->(1100, 4, 1);
cmp_ok(scalar(@is), '<=', 8192, 'elements');
cmp_ok(scalar(@is), '>', 7400, 'as many as there is room for');
is(scalar(grep { ref } @is), 1000, 'with environments');
redis('staging', 'FLUSHALL');

# of few environments there are more members than of many

@is = $fill->(10, 250, 1);
is(scalar(grep { /^apinizer:/ } @is), 2490, 'members');
redis('staging', 'FLUSHALL');

@is = $fill->(10, 250, 512);
my $bytes = 0;
$bytes += 16 + length for @is;
cmp_ok($bytes, '<', 1048576, 'bytes');
ok((grep { /^\d+ 0 - x{512}\z/ } @is), 'with targets');
