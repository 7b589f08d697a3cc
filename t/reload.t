
# Reload and exit while there is work to do.

use CredTest;
use CredTest::Delete;

defaults(sample(<<'END'));
cred_connect_timeout  60s;
cred_command_timeout  60s;
cred_cascade_timeout  60s;
END

sub left {
    my @pids = @_;
    return wait_for(sub { !grep { CredTest::HTTP::running($_) } @pids });
}

# connections to a server, but for the one that asks

sub connections {
    my ($name) = @_;
    return map { /^id=(\d+) / ? $1 : () } grep { !/ cmd=client\b/ }
           split /\n/, redis($name, 'CLIENT', 'LIST');
}

run_tests();


__DATA__

=== TEST 1: reload under load: each request is answered
--- script
my @usernames = map { "u$_" } 1 .. 3000;
credential(\@usernames);
my $dir = temp_dir();
my @pids;

for my $client (0 .. 3) {
    push @pids, CredTest::Process::spawn('client', "client-$client", sub {
        for (my $i = $client; $i < @usernames && !-e "$dir/stop"; $i += 4) {
            my $answer = del($usernames[$i]);
            print STDERR "$answer->{status} "
                . ($answer->{body} =~ /"success":false/ ? 'pending' : 'done')
                . "\n";
        }
    });
}

my $lines = sub { map { split /\n/, slurp("$dir/client-$_.log") } 0 .. 3 };

for my $n (1 .. 4) {
    my $before = $lines->();
    ok(wait_for(sub { $lines->() > $before + 20 }), "under load, $n");
    my @old = nginx_workers();
    ok(nginx_reload(), 'reloaded');
    ok(left(@old), 'the old worker has left');
}

open my $out, '>', "$dir/stop";
close $out;
CredTest::Process::wait_for(sub { !grep { CredTest::HTTP::running($_) } @pids });
my @lines = $lines->();
cmp_ok(scalar(@lines), '>', 80, 'requests');
is(scalar(grep { $_ ne '200 done' } @lines), 0, 'all are deleted, none pending')
    or diag(grep { $_ ne '200 done' } @lines);
ok(settled(), 'and nothing is left');
unlike(slurp("$dir/nginx.log"), qr/open socket|\[alert\]|exited on signal/,
       'no alert');



=== TEST 2: with idle connections the old worker leaves at once
--- script
answer_is(del('api-user'), 'connected', everywhere());
my @names = qw(production staging);
my %before = map { $_ => join ' ', connections($_) } @names;
like($before{$_}, qr/^\d+$/, "one connection to $_") for @names;
my @old = nginx_workers();
ok(nginx_reload(), 'reloaded');
ok(left(@old), 'has left');

# the new one makes its own, without being asked for anything

for my $name (@names) {
    ok(wait_for(sub {
        my @ids = connections($name);
        return @ids == 1 && $ids[0] ne $before{$name};
    }), "another one to $name, and no more");
}
credential('one');
answer_is(del('one'), 'the new one works', everywhere());



=== TEST 3: what is under way is finished by the old worker
--- script
my @usernames = map { "u$_" } 1 .. 32;
credential(\@usernames);
redis('production', 'CLIENT', 'PAUSE', 60000, 'WRITE');
my @socks = map { http_open() } @usernames;
print { $socks[$_] } del_raw($usernames[$_]) for 0 .. $#socks;
ok(wait_for(sub { audit() == 32 }), 'under way');

my @old = nginx_workers();
ok(nginx_reload(), 'reloaded');
is(scalar(grep { CredTest::HTTP::running($_) } @old), 1, 'the old one is there');

# and the new one does not wait for it

redis('registry', 'SADD', '{cred}:apinizer:environments:MyProject', 'staging');
answer_is(del('api-user'), 'by the new one', deleted('staging'));

redis('production', 'CLIENT', 'UNPAUSE');
answer_is(http_parse(http_read($_)), 'answered', everywhere()) for @socks;
ok(left(@old), 'then it leaves');
ok(settled(), 'all receipts are written');
--- redis_check
production: XLEN {cred}:undeployments => 32
staging: XLEN {cred}:undeployments => 33



=== TEST 4: clients which are gone do not keep it from finishing
--- script
redis('production', 'CLIENT', 'PAUSE', 60000, 'WRITE');
my $sock = http_open();
print $sock del_raw('api-user');
ok(wait_for(sub { audit() == 1 }), 'under way');
close $sock;
my @old = nginx_workers();
ok(nginx_reload(), 'reloaded');
redis('production', 'CLIENT', 'UNPAUSE');
ok(left(@old), 'has left');
ok(settled(), 'settled');
--- redis_check
production: XLEN {cred}:undeployments => 1



=== TEST 5: servers which are down do not keep it
--- http_config
cred_registry         $TEST_NGINX_REGISTRY;
cred_retry_delay      100ms;
cred_connect_timeout  60s;
--- script
redis_kill('staging');
answer_is(del('api-user'), 'pending',
          pending(production => undef, staging => 'unreachable'));
my @old = nginx_workers();
ok(nginx_reload(), 'reloaded');
ok(left(@old), 'has left');
redis_kill('registry');
answer_is(del('api-user'), 'no registry', failure(503));
@old = nginx_workers();
ok(nginx_reload(), 'reloaded');
ok(left(@old), 'has left');



=== TEST 6: another registry after the reload
--- script
answer_is(del('api-user'), 'the first', everywhere());
my %sample = sample();
redis('staging', 'FLUSHALL');
redis_load('staging', $sample{registry});
my $file = temp_dir() . '/nginx/conf/nginx.conf';
my $text = slurp($file);
my ($registry, $staging) = (redis_url('registry'), redis_url('staging'));
$text =~ s/cred_registry \Q$registry\E/cred_registry $staging/ or die;
open my $out, '>', $file;
print $out $text;
close $out;
my @old = nginx_workers();
ok(nginx_reload(), 'reloaded');
ok(left(@old), 'has left');
answer_is(del('api-user'), 'the second',
          pending(production => 'absent', staging => 'refused'));
is(redis('staging', 'XLEN', '{cred}:audit'), 1, 'is asked now');
like(error_log_text(), qr/this environment is the registry itself.*staging/,
     'and is no environment any more');



=== TEST 7: told to stop at once, with work to do: nothing is lost
--- http_config
cred_registry         $TEST_NGINX_REGISTRY;
cred_connect_timeout  100ms;
cred_command_timeout  100ms;
cred_retry_delay      100ms;
--- script
redis_pause('staging');
my $sock = http_open();
print $sock del_raw('api-user');
ok(wait_for(sub { audit() == 1 }), 'under way');
my ($worker) = nginx_workers();
kill 'KILL', $worker;
ok(wait_for(sub { ((nginx_workers())[0] // $worker) != $worker }), 'another worker');
redis_resume('staging');
ok(settled(), 'goes on with it');
--- redis_check
staging: EXISTS {cred}:apinizer:credential:MyProject:api-user => 0
production: EXISTS {cred}:apinizer:credential:MyProject:api-user => 0
--- allow_log
exited on signal 9



=== TEST 8: told to leave, with work to do, is no reason for an alarm
--- main_config
worker_shutdown_timeout 200ms;
--- script
redis_pause('staging');
my $sock = http_open();
print $sock del_raw('api-user');
ok(wait_for(sub { audit() == 1 }), 'under way');
my @old = nginx_workers();
ok(nginx_reload(), 'reloaded');
ok(left(@old), 'has left');
redis_resume('staging');
unlike(error_log_text(), qr/\[error\].*redis is down/, 'nothing is down');



=== TEST 9: nor does it wait for an answer that nobody waits for
--- main_config
worker_shutdown_timeout 200ms;
--- before
$ENV{TEST_NGINX_FAKE} = fake(replies => { EVALSHA => undef });
--- http_config
cred_registry         redis://127.0.0.1:$TEST_NGINX_FAKE;
cred_command_timeout  1h;
--- script
my $sock = http_open();
print $sock del_raw('api-user');
ok(wait_for(sub { grep { / api-user / } fake_log($ENV{TEST_NGINX_FAKE}) }),
   'under way');
my @old = nginx_workers();
ok(nginx_reload(), 'reloaded');
ok(left(@old), 'has left');



=== TEST 10: told to stop at once, while it asks what is due
--- before
$ENV{TEST_NGINX_FAKE} = fake(replies => { EVALSHA => undef });
--- http_config
cred_registry         redis://127.0.0.1:$TEST_NGINX_FAKE;
cred_command_timeout  1h;
--- script
ok(wait_for(sub { grep { /^EVALSHA / } fake_log($ENV{TEST_NGINX_FAKE}) }),
   'asked for');
my @all = (nginx_pid(), nginx_workers());
nginx_signal('TERM');
ok(left(@all), 'all have left');
unlike(error_log_text(), qr/exited with code [1-9]/, 'in good order');
