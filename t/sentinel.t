
# Registries, environments and gateways whose master is named by sentinels, and
# what becomes of them when there is another one.

use CredTest redis => [qw(production staging)];
use CredTest::Delete;
use CredTest::Gateway;
use CredTest::Replica;
use CredTest::Sentinel;

our $Times = <<'END';
cred_connect_timeout  2s;
cred_command_timeout  2s;
cred_cascade_timeout  2s;
cred_retry_delay      100ms 200ms;
END

our %Sample = sample($Times);

defaults(
    %Sample,
    http_config => $Sample{http_config} =~ s/_REGISTRY;/_SENTINELS;/r,
);

# "one" is the master of "main", "two" its replica, and "registry" whichever the
# sentinels name

sub set_up {
    my (%args) = @_;

    my @args = @{ $args{args} || [] };

    redis_start('one', @args);
    replica('two', 'one', args => \@args);
    my @sentinels = sentinels('main', 'one', 1, %{ $args{sentinels} || {} });

    redis_alias('registry', sub {
        wait_for(sub { sentinel_agree('main', @sentinels) });
    });

    redis_load('registry', $Sample{registry});
    $ENV{TEST_NGINX_SENTINELS} = sentinel_url('main');
}

sub register { redis('registry', 'HSET', '{cred}:environments', @_) }

# sentinel-1 has another master, of which "env-two" is the replica

sub set_up_environment {
    redis_start('env');
    replica('env-two', 'env');

    redis('sentinel-1', 'SENTINEL', @$_)
        for ['MONITOR', 'env', redis_address('env'), 1],
            ['SET', 'env', 'down-after-milliseconds', 2000],
            ['SET', 'env', 'failover-timeout', 3000];

    wait_for(sub {
        redis('sentinel-1', 'SENTINEL', 'REPLICAS', 'env')
            =~ /master-link-status ok/;
    }) or die 'the sentinel does not see the replica';

    $ENV{TEST_NGINX_ENV_SENTINEL} = sentinel_url('env', 'sentinel-1');
}

# one that says what it is told to, and is told nothing by the others

sub name_master {
    my ($master, $server) = @_;
    redis('wrong', 'SENTINEL', 'REMOVE', $master);
    redis('wrong', 'SENTINEL', 'MONITOR', $master, redis_address($server), 1);
    redis('wrong', 'SENTINEL', 'SET', $master, 'down-after-milliseconds',
          3_600_000);
}

sub logged {
    my ($regex) = @_;
    return scalar(my @lines = error_log_text() =~ /$regex/g);
}

# a delete in time: nobody does anything to it

sub recovers {
    my ($id) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    my $answer;
    wait_for(sub { ($answer = del($id))->{status} != 503 });
    answer_is($answer, "$id: it is back", everywhere());
}

# nginx has no connection to a Redis any more, and makes another one

sub hang_up { redis($_[0], 'CLIENT', 'KILL', 'TYPE', 'normal') }

run_tests();


__DATA__

=== TEST 1: the master is killed: there is another one, without a reload
--- before
set_up(sentinels => { down => 3_600_000 });
--- script
credential([1 .. 4]);
answer_is(del('api-user'), 'at first', everywhere());
answer_is(del(1), 'and then', everywhere());
ok(settled(), 'settled');
is(logged(qr/redis is down/), 0, 'nothing is down');
in_sync('two', 'one');

redis_kill('one');
answer_is(del(2), 'killed', failure(503));
redis($_, 'SENTINEL', 'SET', 'main', 'down-after-milliseconds', 2000)
    for sentinel_names();
ok(sentinel_switched('main', 'two'), 'the replica is the master now');
recovers(2);
answer_is(del(3), 'and goes on', everywhere());
ok(settled(), 'settled');
is(logged(qr/\[error\].* redis is down: .*registry/), 1, 'said once');
is(logged(qr/\[notice\].* redis is back, registry/), 1, 'and when it was back');
is(redis('two', 'EXISTS', map { "{cred}:apinizer:credential:MyProject:$_" }
         'api-user', 1 .. 3), 0, 'all of them are gone');

# the old one is a replica when it is back, and is left alone

redis_start('one');
ok(wait_for(sub { redis_role('one') eq 'slave' }), 'it has become a replica');
in_sync('one', 'two');
answer_is(del(4), 'to the new one', everywhere());
is(redis('two', 'EXISTS', '{cred}:apinizer:credential:MyProject:4'), 0,
   'gone there');



=== TEST 2: "SENTINEL failover", with a master that lives
--- before
set_up();
--- script
credential([1 .. 3]);
answer_is(del(1), 'at first', everywhere());
ok(settled(), 'settled');
in_sync('two', 'one');
sentinel_failover('main', 'two', 'one');
recovers(2);
ok(settled(), 'settled');
in_sync('one', 'two');
sentinel_ready('main', 1, sentinel_names());
sentinel_failover('main', 'one', 'two');
recovers(3);
ok(settled(), 'and back');
in_sync('two', 'one');
is(redis($_, 'EXISTS', map { "{cred}:apinizer:credential:MyProject:$_" }
         1 .. 3), 0, "none is left in $_") for qw(one two);



=== TEST 3: a master that is stopped and goes on when there is another one
--- before
set_up(sentinels => { down => 3_600_000 });
--- script
credential([1 .. 4]);
answer_is(del(1), 'at first', everywhere());
ok(settled(), 'settled');
in_sync('two', 'one');

redis_pause('one');
answer_is(del(2), 'stopped', failure(503));
sentinel_failover('main', 'two');
recovers(3);
redis_resume('one');
ok(wait_for(sub { redis_role('one') eq 'slave' }), 'the old one is a replica');
in_sync('one', 'two');
is(redis('two', 'EXISTS', '{cred}:apinizer:credential:MyProject:2'), 1,
   'nothing has changed of what was refused');
recovers(2);
ok(settled(), 'until it is asked for again');



=== TEST 4: sentinels that are dead
--- before
set_up();
--- script
credential([1 .. 9]);
answer_is(del(1), 'at first', everywhere());

redis_kill('sentinel-1');
hang_up('one');
recovers(2);
redis_kill('sentinel-2');
hang_up('one');
recovers(3);

# without any it goes on, as long as there is a connection

redis_kill('sentinel-3');
redis_alias('registry', sub { 'one' });
answer_is(del(4), 'nobody is needed', everywhere());
ok(settled(), 'settled');
hang_up('one');
answer_is(del(5), 'now somebody is', failure(503)) for 1 .. 2;
ok(wait_for(sub { logged(qr/redis is down: .*registry/) > 2 }), 'tried again');
is(logged(qr/\[error\].* redis is down: .*Connection refused.*registry/), 1,
   'said once, with the reason');
redis_start('sentinel-2');
recovers(5);



=== TEST 5: a sentinel that is stopped, and those that nobody can reach
--- before
set_up();
$ENV{TEST_NGINX_SILENT} = fake(replies => { SENTINEL => undef, PING => undef,
                                            AUTH => undef });
--- http_config eval
'cred_registry redis-sentinel://127.0.0.1:1,127.0.0.1:$TEST_NGINX_SILENT,'
. '127.0.0.1:$TEST_NGINX_SENTINEL_1_PORT,'
. '127.0.0.1:$TEST_NGINX_SENTINEL_2_PORT#main;'
. "\ncred_connect_timeout 5s;\ncred_command_timeout 5s;"
--- script
my $asked = sub {
    return scalar grep { $_ eq '(connected)' }
                  fake_log($ENV{TEST_NGINX_SILENT});
};

credential([1 .. 9]);
answer_is(del(1), 'the third one knows', everywhere());
is($asked->(), 1, 'the second one was asked');

# the one that has answered is the first one now

for my $id (2 .. 5) {
    hang_up('one');
    recovers($id);
}

is($asked->(), 1, 'it is not asked any more');
redis_pause('sentinel-1');
hang_up('one');
recovers(6);
hang_up('one');
recovers(7);
redis_resume('sentinel-1');
is(logged(qr/redis is down: .*timed out/), 0, 'nothing took too long');



=== TEST 6: a name that they do not know
--- before
set_up();
--- config
location ~ /other {
    cred_delete    apinizer;
    cred_registry  redis-sentinel://127.0.0.1:$TEST_NGINX_SENTINEL_1_PORT#other;
}
location ~ /none {
    cred_delete    apinizer;
    cred_registry  redis-sentinel://127.0.0.1:$TEST_NGINX_PRODUCTION_PORT#main;
}
location /apiops/ { cred_delete apinizer; }
--- script
credential([qw(one)]);
answer_is(del($_), $_, failure(503)) for qw(other none);
is(logged(qr/\[error\].* redis is down: .*"?other"?.*registry/), 1,
   'the log names it');
is(logged(qr/\[error\].* redis is down: .*ERR unknown command.*registry/), 1,
   'and says what is no sentinel');
answer_is(del('one'), 'another location', everywhere());

# once it does, it is found

redis('sentinel-1', 'SENTINEL', 'MONITOR', 'other', redis_address('one'), 1);
credential('other');
recovers('other');



=== TEST 7: passwords
--- before
my @password = ('--requirepass', 'mas:ter', '--masterauth', 'mas:ter');
set_up(args => \@password,
       sentinels => { password => 'sen&tinel', auth => 'mas:ter' });
redis('one', 'ACL', 'SETUSER', 'cred', 'on', '>user', '~*', '&*', '+@all');
open my $out, '>', temp_dir() . '/sentinel.password';
print $out "sen&tinel\n";
close $out;
open $out, '>', temp_dir() . '/master.password';
print $out "mas:ter\n";
--- http_config
cred_connect_timeout  2s;
cred_command_timeout  2s;
--- config eval
my $at = '127.0.0.1:$TEST_NGINX_SENTINEL_1_PORT,'
         . '127.0.0.1:$TEST_NGINX_SENTINEL_2_PORT';
my $file = 'password_file=$TEST_NGINX_DIR';
my $scheme = 'redis-sentinel://';
my $own = 'sentinel_password';

my %locations = (
    url     => "$scheme:mas%3Ater\@$at?$own=sen%26tinel#main",
    files   => "$scheme$at#main $file/master.password"
               . " sentinel_$file/sentinel.password",
    both    => "$scheme:mas%3Ater\@$at/0#main"
               . " sentinel_$file/sentinel.password",
    user    => "${scheme}cred:user\@$at?prefix=%7Bcred%7D&"
               . "$own=sen%26tinel#main",
    none    => "$scheme:mas%3Ater\@$at#main",
    wrong   => "$scheme:mas%3Ater\@$at?$own=nonsense#main",
    strange => "$scheme:nonsense\@$at?$own=sen%26tinel#main",
);

CORE::join '', map {
    "location ~ /$_/ { cred_delete apinizer; cred_registry $locations{$_}; }\n"
} sort keys %locations;
--- script
my @good = qw(url files both user);

credential(\@good);
answer_is(del($_), $_, everywhere()) for @good;
answer_is(del($_), $_, failure(503)) for qw(none wrong strange);
is(logged(qr/\[error\].* redis is down: .*$_/), 1, $_)
    for qr/refused(?: AUTH)?: WRONGPASS.*sentinel/i, 'NOAUTH';
is(logged(qr/nonsense|mas:ter|sen&tinel|sen%26tinel/), 0, 'no password');
answer_is(del($_), "$_, again", failure(400, $_)) for @good;



=== TEST 8: who names a replica is not believed, until he names the master
--- before
set_up();
sentinel('wrong', masters => { alone => 'two' }, quorum => 1,
         down => 3_600_000);
--- http_config
cred_connect_timeout  2s;
cred_command_timeout  2s;
cred_retry_delay      100ms 200ms;
cred_registry  redis-sentinel://127.0.0.1:$TEST_NGINX_WRONG_PORT#alone;
--- script
credential([1, 2]);
answer_is(del(1), 'a replica', failure(503)) for 1 .. 3;
ok(wait_for(sub { logged(qr/redis is down: it is a replica/) > 3 }),
   'it is asked again and again');
is(logged(qr/\[error\].* redis is down: it is a replica.*registry/), 1,
   'said once');
name_master('alone', 'one');
recovers(1);
is(logged(qr/\[notice\].* redis is back, registry/), 1, 'and when it was back');
answer_is(del(2), 'and goes on', everywhere());



=== TEST 9: one who names a replica for ever does not stand in the way
--- before
set_up();
sentinel('wrong', masters => { main => 'two' }, quorum => 1, down => 3_600_000);
--- http_config eval
$::Times . 'cred_registry redis-sentinel://127.0.0.1:$TEST_NGINX_WRONG_PORT,'
         . '127.0.0.1:$TEST_NGINX_SENTINEL_1_PORT#main;'
--- script
credential([1 .. 3]);
recovers($_) for 1 .. 3;



=== TEST 10: environments
--- before
set_up();
set_up_environment();
register('production', $ENV{TEST_NGINX_ENV_SENTINEL}, 'staging',
         $ENV{TEST_NGINX_ENV_SENTINEL} =~ s/#/?prefix=%7Bstage%7D#/r);
--- script
my @ids = 1 .. 4;
my $left = sub {
    my ($name, $prefix) = @_;
    return redis($name, 'EXISTS',
                 map { "$prefix:apinizer:credential:MyProject:$_" } @ids);
};

credential(\@ids, 'registry', 'env');
redis('env', 'HSET', "{stage}:apinizer:credential:MyProject:$_", 'owner',
      'alice') for @ids;
answer_is(del(1), 'both', everywhere());
ok(settled(), 'settled');
in_sync('env-two', 'env');

my $down = sub {
    redis('sentinel-1', 'SENTINEL', 'SET', 'env', 'down-after-milliseconds', @_);
};
$down->(3_600_000);
redis_kill('env');
my $answer = del(2);
is($answer->{headers}{'cred-pending'}, 'production,staging', 'pending');
$down->(2000);
ok(wait_for(sub { redis_role('env-two') eq 'master' }), 'a switch');
ok(settled(), 'then it is done');
answer_is(del(3), 'and goes on', everywhere());
is($left->('env-two', $_), 1, "gone from $_") for qw({cred} {stage});

redis_start('env');
ok(wait_for(sub { redis_role('env') eq 'slave' }), 'the old one is a replica');
in_sync('env', 'env-two');
answer_is(del(4), 'the last one', everywhere());
ok(settled(), 'settled');
is(logged(qr/\[error\].* redis is down: .*environment: $_/), 1, "$_: said once")
    for qw(production staging);



=== TEST 11: a gateway
--- before
set_up();
set_up_environment();
redis_alias('production', sub { master_of('env', 'env-two') });
register('production', $ENV{TEST_NGINX_ENV_SENTINEL});
key(qw(one other));
--- http_config
cred_registry         $TEST_NGINX_SENTINELS;
cred_environment      $TEST_NGINX_ENV_SENTINEL;
cred_connect_timeout  2s;
cred_command_timeout  2s;
cred_cascade_timeout  5s;
cred_retry_delay      100ms 200ms;
--- config
location /apiops/ { cred_delete apinizer; }
location = /page  { cred_access apinizer; empty_gif;
                    add_header X-Cache $cred_access_cache always; }
--- script
ok(leased(), 'it has a lease');
is(seen('one'), '200 MISS', 'asked');
ok(wait_for(sub { seen('one') eq '200 HIT' }), 'known');
answer_is(del('one'), 'deleted', pending(production => undef,
                                              staging => 'absent'));
like(seen('one'), qr/^401/, 'refused');
in_sync('env-two', 'env');

redis_kill('env');
ok(wait_for(sub { redis_role('env-two') eq 'master' }), 'a switch');
ok(leased(), 'it has a lease of the other one');
like(seen('other'), qr/^200/, 'who was there is there');
like(seen('one'), qr/^401/, 'and who is gone is gone');
wait_for(sub { del('other')->{status} == 200 });
ok(settled(), 'deleted');
like(seen('other'), qr/^401/, 'refused');
is(logged(qr/\[alert\]/), 0, 'no alert');



=== TEST 12: addresses of all kinds
--- before
set_up(sentinels => { conf => ['sentinel resolve-hostnames yes'] });
sentinel('named', masters => { main => ['localhost', redis_port('one')] },
         quorum => 1, conf => ['sentinel resolve-hostnames yes',
                               'sentinel announce-hostnames yes']);
$ENV{TEST_NGINX_DNS} = dns('sentinel.test' => '127.0.0.1',
                           'localhost' => '127.0.0.1');
my $port = redis_port('sentinel-1');
$ENV{TEST_NGINX_HOSTS} = 'redis-sentinel://sentinel.test:1,'
                         . "sentinel.test:$port#main";
$ENV{TEST_NGINX_SPELT} = "REDIS-SENTINEL://127.0.0.1:$port/0"
                         . '?prefix=%7Bcred%7D#m%61in';
--- http_config
cred_connect_timeout  2s;
cred_command_timeout  2s;
resolver              127.0.0.1:$TEST_NGINX_DNS ipv6=off;
--- config
location ~ /six {
    cred_delete    apinizer;
    cred_registry  redis-sentinel://[::1]:$TEST_NGINX_SENTINEL_1_PORT#main;
}
location ~ /name {
    cred_delete    apinizer;
    cred_registry  $TEST_NGINX_HOSTS;
}
location ~ /host {
    cred_delete    apinizer;
    cred_registry  redis-sentinel://127.0.0.1:$TEST_NGINX_NAMED_PORT#main;
}
location ~ /upper {
    cred_delete    apinizer;
    cred_registry  $TEST_NGINX_SPELT;
}
--- script
my ($address) = redis('named', 'SENTINEL', 'GET-MASTER-ADDR-BY-NAME', 'main');
is($address, 'localhost', 'it names a name');

credential([qw(six name host upper)]);
answer_is(del($_), $_, everywhere()) for qw(six name host upper);



=== TEST 13: another database and prefix
--- before
set_up();
--- http_config
cred_connect_timeout  2s;
cred_command_timeout  2s;
cred_prefix           "{other}";
--- config
location /apiops/ {
    cred_delete    apinizer;
    cred_registry  redis-sentinel://127.0.0.1:$TEST_NGINX_SENTINEL_1_PORT/3#main;
}
--- script
my $sock = CredTest::Redis::redis_connect('one');
my $text = $::Sample{registry} =~ s/\{cred\}/{other}/gr;

for (['SELECT', 3], map { [ words($_) ] } split /\n/, $text) {
    print $sock resp(@$_);
    CredTest::Redis::reply($sock);
}

redis_load('production', $::Sample{production} =~ s/\{cred\}/{other}/gr);
answer_is(del('api-user'), 'there', pending(production => undef,
                                            staging => 'absent'));



=== TEST 14: nonsense, which is a failed environment and no more
--- before
set_up();
--- script
my @nonsense = (
    'redis-sentinel:', 'redis-sentinel://', 'redis-sentinel://#main',
    'redis-sentinel://127.0.0.1', 'redis-sentinel://127.0.0.1#',
    'redis-sentinel://127.0.0.1,#main', 'redis-sentinel://,127.0.0.1#main',
    'redis-sentinel://127.0.0.1,,127.0.0.2#main',
    'redis-sentinel://127.0.0.1:x#main', 'redis-sentinel://127.0.0.1:0#main',
    'redis-sentinel://127.0.0.1,127.0.0.2:65536#main',
    'redis-sentinel://[::1#main', 'redis-sentinel://127.0.0.1/x#main',
    'redis-sentinel://127.0.0.1?sentinel_password#main',
    'redis-sentinel://127.0.0.1?sentinel_password=#main',
    'redis-sentinel://127.0.0.1?sentinel_password=a&sentinel_password=b#main',
    'redis-sentinel://127.0.0.1?x=y#main', 'redis-sentinel://127.0.0.1#a%00b',
    'redis-sentinel://127.0.0.1#a b', 'redis-sentinel://127.0.0.1#%zz',
    'redis://127.0.0.1#main', 'redis://127.0.0.1?sentinel_password=x',
    'redis://127.0.0.1,127.0.0.2', 'redis-sentinel://' . '127.0.0.1,' x 400
    . '127.0.0.1#main', 'redis-sentinel:///0#main',
    'redis-sentinels://127.0.0.1#main',
);

my ($worker) = nginx_workers();

for my $n (0 .. $#nonsense) {
    credential("n$n", qw(registry staging));
    register('production', $nonsense[$n]);
    my $answer = del("n$n");
    is($answer->{headers}{'cred-pending'}, 'production',
       substr $nonsense[$n], 0, 60);
}

is((nginx_workers())[0], $worker, 'the same worker');
register('production', redis_url('production'));
ok(settled(), 'set right');



=== TEST 15: no name
--- must_die
--- http_config
cred_registry redis-sentinel://127.0.0.1:26379;
--- error_log
invalid Redis URL: no "#NAME" of a master
