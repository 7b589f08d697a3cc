
# Log variables, and what must not be in any log.

use CredTest;
use CredTest::Delete;

defaults(sample(<<'END'));
cred_connect_timeout  1s;
cred_command_timeout  1s;
cred_cascade_timeout  1500ms;
cred_retry_delay      1h 1h;

log_format  cred  '$status [$cred_api|$cred_scope|$cred_id|$cred_subject|'
                  '$cred_result|$cred_operation|$cred_environments|'
                  '$cred_environments_pending|$cred_registry_time|'
                  '$cred_cascade_time]';
access_log  $TEST_NGINX_DIR/cred.log  cred;
END


# the line of the last request; times and operations as T and ID

sub last_line {
    my ($n) = @_;
    my @lines;
    wait_for(sub { $n <= (@lines = split /\n/, slurp(temp_dir() . '/cred.log')) });
    return $lines[-1] =~ s/\|[0-9a-f]{32}\|/|ID|/r
                      =~ s/\b\d+\.\d{3}\b/T/gr;
}

run_tests();


__DATA__

=== TEST 1: one line for each result
--- config
location /apiops/ { cred_delete apinizer; }
location /iam/ { return 404; }
--- registry
HSET {cred}:apinizer:token:sha256(TOKEN) scope Home
--- script
credential(['pending', 'late']);
my $n = 0;

my $request = sub {
    my ($wanted, $answer) = @_;
    is(last_line(++$n), $wanted, $wanted);
};

$request->('200 [apinizer|MyProject|api-user|alice|deleted|ID|2|0|T|T]',
           del('api-user'));
ok(settled(), 'settled');
$request->('400 [apinizer|MyProject|api-user|alice|not_found|-|-|-|T|-]',
           del('api-user'));
$request->('400 [apinizer|MyProject|a:b%c|alice|not_found|-|-|-|T|-]',
           del('a:b%25c'));
$request->('400 [apinizer|MyProject|\xC3\xBC\x22 \x0A|alice|not_found|-|-|-|T|-]',
           del('%C3%BC%22%20%0A'));
$request->('403 [apinizer|MyProject|x|bob|forbidden|-|-|-|T|-]',
           del('x', token => 'VIEWER'));
$request->('404 [apinizer|Other|x|alice|scope_not_found|-|-|-|T|-]',
           del('x', project => 'Other'));
$request->('401 [apinizer|MyProject|x|-|unauthorized|-|-|-|T|-]',
           del('x', token => 'BAD'));
$request->('401 [apinizer|MyProject|x|-|unauthorized|-|-|-|-|-]',
           call('DELETE', path('x')));
$request->('404 [-|-|-|-|-|-|-|-|-|-]', call('GET', path('x')));
$request->('405 [-|-|-|-|-|-|-|-|-|-]', del(undef, path => '/apiops/x'));

redis('registry', 'HSET', '{cred}:environments', 'none', 'nonsense');
$request->('200 [apinizer|MyProject|pending|alice|deleted|ID|3|1|T|T]',
           del('pending'));
$request->('200 [apinizer|MyProject|pending|alice|resumed|ID|3|1|T|T]',
           del('pending'));
redis_pause('staging');
$request->('200 [apinizer|MyProject|late|alice|deleted|ID|3|2|T|T]',
           del('late'));
redis_resume('staging');
redis('registry', 'DEL', '{cred}:environments');
credential('nowhere', 'registry');
$request->('200 [apinizer|MyProject|nowhere|alice|deleted|ID|0|0|T|-]',
           del('nowhere'));

# one that was sent before it was known that nobody answers

wait_for(sub {
    redis_resume('registry');
    wait_for(sub { ++$n && del('nobody')->{status} == 400 });
    redis_pause('registry');
    del('x');
    return last_line(++$n) =~ /\|T\|-\]$/;
});
is(last_line($n), '503 [apinizer|MyProject|x|-|unavailable|-|-|-|T|-]', 'sent');

redis_kill('registry');
wait_for(sub { del('x')->{status} == 503 && ++$n
               && last_line($n) =~ /unavailable.*\|-\|-\]/ });
$request->('503 [apinizer|MyProject|x|-|unavailable|-|-|-|-|-]', del('x'));
redis_start('registry');



=== TEST 2: the operation is the one of the answer, and the times are times
--- config
location /apiops/ {
    cred_delete           apinizer;
    cred_connect_timeout  5s;
    cred_command_timeout  5s;
    cred_cascade_timeout  3s;
}
--- script
redis('production', 'CLIENT', 'PAUSE', 60000, 'WRITE');
my $answer = del('api-user');
redis('production', 'CLIENT', 'UNPAUSE');
my $id = operation($answer);
my $line;
ok(wait_for(sub {
    ($line) = grep { /\|deleted\|$id\|/ }
              split /\n/, slurp(temp_dir() . '/cred.log');
}), 'the operation');
my ($registry, $cascade) = $line =~ /\|([\d.]+)\|([\d.]+)\]$/;
cmp_ok($cascade, '>', $registry, 'the cascade took longer');



=== TEST 3: after an internal redirect, and of a client that is gone
--- config
cred_connect_timeout  60s;
cred_command_timeout  60s;
cred_cascade_timeout  60s;
location /apiops/ { cred_delete apinizer; error_page 502 /x; }
location = /x { return 200; }
--- script
my $lines = () = slurp(temp_dir() . '/cred.log') =~ /\n/g;
redis('production', 'CLIENT', 'PAUSE', 60000, 'WRITE');
my $sock = http_open();
print $sock del_raw('api-user');
ok(wait_for(sub { audit() == 1 }), 'under way');
close $sock;
is(last_line($lines + 1), '499 [apinizer|MyProject|api-user|-|-|-|-|-|-|-]',
   'what is known');
redis('production', 'CLIENT', 'UNPAUSE');



=== TEST 4: in headers and in other places than logs
--- config
location /apiops/ {
    cred_delete  apinizer;
    add_header   X-Result   "$cred_result $cred_id" always;
    add_header   X-Pending  "$cred_environments_pending";
}
location /other {
    return  200  "[$cred_api$cred_result$cred_cascade_time]";
}
--- script
my $answer = del('api-user');
is($answer->{headers}{'x-result'}, 'deleted api-user', 'deleted');
is($answer->{headers}{'x-pending'}, 0, 'nothing is pending');
ok(settled(), 'settled');
is(del('api-user')->{headers}{'x-result'}, 'not_found api-user', 'a refusal');
is(call('GET', '/other')->{body}, '[]', 'where there is nothing to tell');



=== TEST 5: no token and no password in any log
--- before
$ENV{TEST_NGINX_FAKE} = fake(replies => {
    EVALSHA => sub { "-ERR @_\r\n" }, AUTH => "-WRONGPASS\r\n"
});
redis('registry', 'ACL', 'SETUSER', 'nginx', 'on', '>PASSWORD', '~*', '&*',
      '+@all');
--- http_config
cred_registry redis://nginx:PASSWORD@127.0.0.1:$TEST_NGINX_REGISTRY_PORT;
--- config
location /apiops/ { cred_delete apinizer; }
location ~ /fake/ {
    cred_delete    apinizer;
    cred_registry  redis://:PASSWORD@127.0.0.1:$TEST_NGINX_FAKE;
}
location ~ /echo/ {
    cred_delete    apinizer;
    cred_registry  redis://127.0.0.1:$TEST_NGINX_FAKE;
}
location ~ /down/ {
    cred_delete    apinizer;
    cred_registry  redis://:PASSWORD@127.0.0.1:1;
}
--- script
redis('registry', 'HSET', '{cred}:environments',
      'wrong', 'redis://user:PASSWORD@127.0.0.1:' . redis_port('staging'),
      'bad', 'redis://user:PASSWORD@127.0.0.1:x/PASSWORD',
      'down', 'redis://:PASSWORD@127.0.0.1:1');

is(del($_)->{status}, 503, $_) for qw(fake echo down);
is(del('api-user')->{status}, 200, 'deleted');
is(del('api-user', token => 'BADTOKEN')->{status}, 401, 'refused');
is(call('DELETE', path(), ['Authorization: BADTOKEN'])->{status}, 401, 'bad');

my $dir = temp_dir();
my $logs = join '', map { slurp($_) } "$dir/nginx.log", "$dir/cred.log",
           glob "$dir/nginx/logs/*.log";
like($logs, qr/$_/, "logged: $_") for 'WRONGPASS', 'refused a command';
unlike($logs, qr/TOKEN|PASSWORD/, 'nothing secret in the logs');

my $receipts = redis('registry', 'EVAL', <<'END', 0);
local all = ''
for _, key in ipairs(redis.call('KEYS', '{cred}:operation:*')) do
    all = all .. table.concat(redis.call('HGETALL', key), ' ')
end
return all
END
like($receipts, qr/invalid port/, 'receipts');
unlike($receipts, qr/TOKEN|PASSWORD/, 'nor in receipts');



=== TEST 6: environments where it was not deployed, and where a newer one stays
--- http_config
cred_registry  $TEST_NGINX_REGISTRY;
log_format     cred  '$cred_result $cred_environments '
                     '$cred_environments_pending '
                     '$cred_environments_not_deployed '
                     '$cred_environments_superseded';
access_log     $TEST_NGINX_DIR/counts.log  cred;
--- config
location /apiops/ { cred_delete apinizer; }
--- script
credential('one', 'registry');
redis('staging', 'HSET', '{cred}:apinizer:credential:MyProject:one',
      'revision', 2);
del('one');
del('one', token => 'nobody');
del('api-user');
ok(wait_for(sub {
    slurp(temp_dir() . '/counts.log') eq "deleted 2 0 1 1\n"
        . "unauthorized - - - -\ndeleted 2 0 0 0\n"
}), 'the log') or diag(slurp(temp_dir() . '/counts.log'));



=== TEST 7: lines of the error log: refusals, and what is not done everywhere
--- script
my $hash = substr sha256('BADTOKEN'), 0, 8;
my $said = sub {
    my ($what, $regex) = @_;
    my @lines;
    wait_for(sub { @lines = grep { /$regex/ } split /\n/, error_log_text() });
    is(@lines, 1, $what) or diag(error_log_text());
    like($lines[0] // '', qr/client: 127\.0\.0\.1, server: localhost, request:/,
         "$what: of the client");
};

credential(['pending', 'newer', "line\nbreak", 'one', 'two', 'three']);
del('api-user');
ok(settled(), 'settled');

del('nobody');
$said->('not found', qr/\[info\] .* delete: apinizer, scope "MyProject", /
                     . qr/id "nobody": not_found, client/);
del('x', token => 'BADTOKEN');
$said->('a bad token', qr/id "x": unauthorized, token $hash\.\.\., client/);
call('DELETE', path('y'), ['Authorization: BADTOKEN']);
$said->('no token', qr/id "y": unauthorized, no token or a malformed one,/);
del('z', token => 'VIEWER');
$said->('a viewer', qr/id "z": forbidden,/);
del('z', token => 'STRANGER');
$said->('no member', qr/id "z": scope_not_found,/);
del(undef, path => path('u') =~ s/credentials/Credentials/r);
$said->('another spelling', qr/"u": not_found, another spelling of a delete/);
del('a%0Ab%7F%1b');
$said->('control characters', qr/id "a\?b\?\?": not_found/);
del('x' x 200);
$said->('a long name', qr/id "x{128}\.\.\.": not_found/);

redis('registry', 'HSET', '{cred}:environments', "no\nne", 'nonsense',
      'z', 'nonsense');
redis('staging', 'HSET', '{cred}:apinizer:credential:MyProject:newer',
      'revision', 2);
my $operation = operation(del('newer'));
$said->('pending and superseded', qr/"newer": deleted, operation $operation, /
        . qr/pending in no\?ne, z, superseded in staging, client/);
credential('away', 'registry', 'production');
$operation = operation(del('away'));
$said->('not deployed', qr/"away": deleted, operation $operation, /
        . qr/pending in no\?ne, z, not deployed in staging, client/);
$operation = operation(del('newer'));
$said->('resumed', qr/"newer": resumed, operation $operation, pending in no/);
unlike(error_log_text(), qr/api-user": /, 'nothing of what is done everywhere');

redis('registry', 'DEL', '{cred}:environments');
my $deserted = qr/\[warn\] .* a delete concerned no environment: none is /
               . qr/registered in "\{cred\}:environments", client/;
del($_) for 'one', 'two';
$said->('no environment, once', $deserted);
redis('registry', 'HSET', '{cred}:environments', 'staging',
      redis_url('staging'));
del('three');
redis('registry', 'DEL', '{cred}:environments');
credential('four');
del('four');
is((my $n = () = error_log_text() =~ /$deserted/g), 2, 'and again after one');

redis_kill('registry');
wait_for(sub { del('x')->{status} == 503 });
like(error_log_text(), qr/id "x": unavailable, client/, 'unavailable');
unlike(error_log_text(), qr/TOKEN|VIEWER|STRANGER/, 'never a token');
redis_start('registry');



=== TEST 8: and nothing of that where the level is higher
--- log_level: notice
--- script
del('nobody');
del('x', token => 'BADTOKEN');
unlike(error_log_text(), qr/delete: /, 'nothing');
