# Several commands in one call of a script, each with an answer of its own.

use CredTest;
use CredTest::Delete;
use List::Util ();
use Time::HiRes ();

my %sample = sample(<<'END');
cred_connect_timeout  2s;
cred_command_timeout  5s;
cred_cascade_timeout  5s;
cred_retry_delay      100ms 200ms;
END

$sample{config} .= "\nlocation = /ready { return 200; }";

defaults(%sample);


# a request by hand

sub raw {
    my ($request, @headers) = @_;
    return join "\r\n", "$request HTTP/1.1", 'Host: localhost',
                'Content-Length: 0', @headers, '', '';
}

sub apinizer {
    my ($username, $project, $token) = @_;
    return raw('DELETE ' . path($username, $project),
               'Authorization: Bearer ' . ($token // 'TOKEN'));
}

sub thousandeyes {
    my ($id, $group) = @_;
    return raw("POST /v6/credentials/$id/delete.json?aid=" . ($group // 11),
               'Authorization: Bearer TOKEN');
}

sub alloy {
    my ($id) = @_;
    return raw("DELETE /users/MyProject/credentials/$id",
               'Authorization: Bearer TOKEN', 'x-api-version: 2025-09');
}


# the answers to requests that nginx gets in one turn of its event loop, since
# it is stopped while they arrive; what else is to be done then may come first

sub at_once {
    my $then = ref $_[0] ? shift : sub {};
    my @socks = map { http_open() } @_;

    for (@socks) {
        print $_ raw('GET /ready');
        http_read($_);
    }

    my ($worker) = nginx_workers();

    kill 'STOP', $worker;
    wait_for(sub { slurp("/proc/$worker/stat") =~ /\) T / });
    print { $socks[$_] } $_[$_] for 0 .. $#socks;
    kill 'CONT', $worker;

    $then->();

    return map { http_parse(http_read($_)) } @socks;
}


# a project of alice with credentials that are deployed

sub project {
    my ($project, @usernames) = @_;

    redis('registry', 'HSET', "{cred}:apinizer:scope:$project", 'a', 'b');
    redis('registry', 'HSET', "{cred}:apinizer:members:$project", 'alice',
          'manage');

    for my $name (qw(registry production staging)) {
        redis($name, 'HSET', "{cred}:apinizer:credential:$project:$_", 'owner',
              'alice', 'revision', 1) for @usernames;
        redis($name, 'SADD', "{cred}:apinizer:credentials:$project",
              @usernames);
    }
}


# arguments of delete.lua as they leave nginx: which API, and of each delete what
# it has at this place; nothing if it is another script

sub each_delete {
    my ($place, @words) = @_;
    return unless @words > 20 && $words[0] =~ /^EVAL/
                  && $words[6] =~ /^[a-z]+$/;
    return map { $words[13 + 9 * $_ + $place] } 0 .. (@words - 13) / 9 - 1;
}

sub each_undeployment {
    my (@words) = @_;
    return unless @words > 5 && $words[3] =~ /:undeployments$/;
    return @words[6 .. $#words];
}

# Valkey 8.1 leaves some quotes in a word as they are

sub monitored {
    map { [ /"((?:[^\\]|\\.)*?)"(?= "|$)/g ] } grep { /\] "EVAL/ } @_
}

# how many commands there were in each call

sub deletes        { join ' ', grep { $_ } map { scalar(() = each_delete(0, @$_)) }
                     monitored(@_) }
sub undeployments  { join ' ', grep { $_ }
                     map { scalar(() = each_undeployment(@$_)) } monitored(@_) }


# 32 commands leave at once, and one of them may be of another script

sub is_few_calls {
    my ($total, $name, @seen) = @_;
    my @calls = split ' ', deletes(@seen);

    local $Test::Builder::Level = $Test::Builder::Level + 1;

    is(List::Util::sum(@calls), $total, "$name: each once");
    cmp_ok(scalar(@calls), '<=', 3, "$name: in few calls: @calls");
}


sub operations { scalar(() = redis('registry', 'KEYS', '{cred}:operation:*')) }

sub entries { redis($_[0], 'XLEN', '{cred}:undeployments') }

sub results { join ' ', map { $_->{result} } audit() }

# an environment's receipt

sub receipt {
    my ($answer, $name) = @_;
    my $text = redis('registry', 'HGET',
                     '{cred}:operation:' . operation($answer),
                     "environment:$name");
    return { $text =~ /"(\w+)":"?([^",}]*)/g };
}


# a relay to the real registry; FAULT(N, RUN) is what nginx gets for the Nth call
# with several deletes, where RUN has the registry run it and returns its answer

sub relay {
    my ($fault) = @_;
    my $n = 0;

    my $relay = sub {
        my @words = @_;

        my $run = sub {
            my $sock = redis_connect('registry');
            print $sock resp(@words);
            IO::Select->new($sock)->can_read(5);
            sysread $sock, my $answer, 65536;
            return $answer;
        };

        return $run->() unless 1 < (() = each_delete(0, @words));
        return $fault->(++$n, $run);
    };

    return fake(replies => { EVALSHA => $relay, EVAL => $relay });
}

sub first_is_lost {
    my ($n, $run) = @_;
    my $answer = $run->();
    return $n == 1 ? \"" : $answer;
}

sub relayed { map { [ split / / ] } grep { /^EVAL/ } fake_log($_[0]) }


# projects with a thousand environments each, which nothing can reach

sub crowd {
    my ($api, @scopes) = @_;
    redis('registry', 'EVAL', <<'END', 0, $api, @scopes);
for i = 2, #ARGV do
    for n = 1, 800 do
        local name = string.format('%s-%03d', ARGV[i], n - 1)
        redis.call('HSET', '{cred}:environments', name, 'x')
        redis.call('SADD', '{cred}:' .. ARGV[1] .. ':environments:' .. ARGV[i],
                   name)
    end
end
END
}


run_tests();


__DATA__

=== TEST 1: one of forty fails, and is left as it was
--- script
my $c = '{cred}:apinizer';
my $n = 0;

# delete.lua is known, and so are the environments
is(del('api-user')->{status}, 200, 'connected');

for (["$c:credentials:P1", 'SET'], ["$c:credential:P2:x", 'SET'],
     ["$c:environments:P3", 'SET'], ["$c:members:P4", 'SADD'])
{
    my ($key, $command) = @$_;
    my $project = 'P' . ++$n;
    my $place = (0, 17, 31, 39)[$n - 1];

    my @usernames = map { "u$n-$_" } 1 .. 39;
    credential(\@usernames);
    project($project, 'x');
    redis('registry', 'DEL', $key);
    redis('registry', $command, $key, 'y');

    my $kept = sub {
        my %keys = %{ contents($_[0]) };
        return { map { $_ => $keys{$_} } grep { /:$project\b/ } keys %keys };
    };

    my @before = map { $kept->($_) } qw(registry production staging);
    my $seen = monitor('registry');

    my @requests = map { apinizer($_) } @usernames;
    splice @requests, $place, 0, apinizer('x', $project);
    my @answers = at_once(@requests);

    is_few_calls(40, $project, $seen->());
    answer_is($answers[$_], "$project, $_", $_ == $place ? failure(503)
                                                         : everywhere())
        for 0 .. 39;

    ok(settled(), 'settled');
    is_deeply([ map { $kept->($_) } qw(registry production staging) ], \@before,
              "$project: nothing has changed");
    is(operations(), 1 + 39 * $n, 'no operation but for the others');
    is(results(), join(' ', ('deleted') x (1 + 39 * $n)), 'nor in the audit');
    is(entries($_), 1 + 39 * $n, "undeployments of $_")
        for qw(production staging);
}

is(join(' ', map { $_->{scope} eq 'MyProject' ? () : $_->{scope} } audit()), '',
   'none of the projects');



=== TEST 2: the same credential several times: one deletes it, the others resume
--- script
is(del('api-user')->{status}, 200, 'connected');
my $entries = 1;

for my $times (2, 5, 32) {
    credential([ "a$times", "b$times" ]);
    my $seen = monitor('registry');

    my @answers = at_once((apinizer("a$times")) x $times);
    is(deletes($seen->()), $times, "$times: one call");
    answer_is(shift @answers, 'the first', everywhere());

    # what it has claimed is under way

    answer_is($_, 'another', pending(production => 'late', staging => 'late'))
        for @answers;
    ok(settled(), 'settled');

    my @audit = (audit())[-$times .. -1];
    is(join(' ', map { $_->{result} } @audit),
       join(' ', 'deleted', ('resumed') x ($times - 1)), 'the audit');
    my %operations = map { $_ => 1 } map({ $_->{operation} } @audit),
                     map { operation($_) } @answers;
    is(scalar(keys %operations), 1, 'one operation');

    $entries++;
    is(entries($_), $entries, "$_: undeployed once") for qw(production staging);
    is(receipt($answers[0], $_)->{attempts}, 1, "$_: one attempt")
        for qw(production staging);
    answer_is(del("a$times"), 'then it is gone', failure(400, "a$times"));
}

# two of them by turns

my @answers = at_once(map { (apinizer('a5'), apinizer('b5')) } 1 .. 4);
is(join(' ', map { $_->{status} } @answers), '400 200 ' x 3 . '400 200', 'by turns');



=== TEST 3: each its own answer
--- registry
SADD {cred}:apinizer:environments:Second staging
SADD {cred}:apinizer:environments:Third nowhere
HSET {cred}:apinizer:token:sha256(OLD) subject alice expires_at 1
--- script
is(del('api-user')->{status}, 200, 'connected');
project('Second', 'x', 'y', 'z');
project('Third', 'x', 'y', 'z');
credential([qw(x y z)]);
my $long = 'x' x 513;
my (@requests, @wanted);

for my $id (qw(x y z)) {
    my @table = (
        # request, result, answer
        [apinizer($id, 'MyProject', 'VIEWER'), 'forbidden', failure(403)],
        [apinizer($id, 'MyProject', 'NONE'), 'unauthorized', failure(401)],
        [apinizer($id), 'deleted', everywhere()],
        [apinizer($id, 'Second'), 'deleted', deleted('staging')],
        [apinizer($id, 'Nowhere'), 'scope_not_found', failure(404, 'Nowhere')],
        [apinizer("no$id"), 'not_found', failure(400, "no$id")],
        [apinizer($id, 'MyProject', 'STRANGER'), 'scope_not_found',
         failure(404, 'MyProject')],
        [apinizer($id, 'Third'), 'deleted', pending(nowhere => 'unreachable')],
        [apinizer($id, 'Third'), 'resumed', pending(nowhere => 'unreachable')],
        [apinizer($id, 'Second', 'OLD'), 'unauthorized', failure(401)],
        [apinizer($long), 'not_found', failure(400, $long)],
        [apinizer($id, 'Third', 'VIEWER'), 'scope_not_found',
         failure(404, 'Third')],
    );
    push @requests, map { shift @$_ } @table;
    push @wanted, @table;
}

my $seen = monitor('registry');
my @answers = at_once(@requests);
is_few_calls(36, 'all', $seen->());

for (0 .. $#answers) {
    my ($result, @wanted) = @{ $wanted[$_] };
    answer_is($answers[$_], "$_: $result", @wanted);
}

is(results(), join(' ', 'deleted', grep { $_ ne 'unauthorized' }
                   map { $_->[0] } @wanted), 'the audit');
is(redis('registry', 'XLEN', '{cred}:audit:unauthorized'), 6, 'unauthorized');
redis('registry', 'HSET', '{cred}:environments', 'nowhere',
      redis_url('staging'));
ok(settled(), 'settled');
is(operations(), 10, 'an operation for each delete');
is(entries('production'), 4, 'production');
is(entries('staging'), 10, 'staging');



=== TEST 4: a rate limit that ends within a call
--- config
location = /ready { return 200; }
location /v6/ { cred_delete thousandeyes; }
--- registry
SET {cred}:thousandeyes:rate:11 0 EX 3600
SET {cred}:thousandeyes:rate:22 0 EX 3600
HSET {cred}:thousandeyes:token:sha256(TOKEN) subject alice scope 11
HSET {cred}:thousandeyes:scope:11 rate_limit 3
HSET {cred}:thousandeyes:scope:22 rate_limit 240
HSET {cred}:thousandeyes:members:11 alice manage
HSET {cred}:thousandeyes:members:22 alice manage
--- script
redis('registry', 'HSET', "{cred}:thousandeyes:credential:11:$_", 'a', 'b')
    for 1 .. 6;
redis('registry', 'HSET', "{cred}:thousandeyes:credential:22:$_", 'a', 'b')
    for 1 .. 5;
is(http_parse(http(thousandeyes(1, 22)))->{status}, 204, 'connected');
ok(settled(), 'settled');

my $seen = monitor('registry');
my @answers = at_once(map({ thousandeyes($_) } 1 .. 3), thousandeyes(2, 22),
                      thousandeyes(4), thousandeyes(3, 22), thousandeyes(5));
is(deletes($seen->()), 7, 'one call');

my @rates = map {
    my $answer = $_;
    join ' ', $answer->{status}, map {
        $answer->{headers}{"x-organization-rate-limit-$_"}
    } qw(limit remaining);
} @answers;

is_deeply(\@rates, ['204 3 2', '204 3 1', '204 3 0', '204 240 238', '429 3 0',
                    '204 240 237', '429 3 0'], 'the answers');

my %resets = map { $_->{headers}{'x-organization-rate-limit-reset'} => 1 } @answers;
is_deeply([ map { $_ % 60 } keys %resets ], [0], 'one minute');
is_deeply([ map { $_->{headers}{'retry-after'} ? 1 : 0 } @answers ],
          [0, 0, 0, 0, 1, 0, 1], 'Retry-After');
ok(settled(), 'settled');
is(redis('registry', 'KEYS', '{cred}:thousandeyes:credential:11:*'),
   join(' ', map { "{cred}:thousandeyes:credential:11:$_" } 4 .. 6), 'the others');
is(redis('registry', 'GET', '{cred}:thousandeyes:rate:11'), 5, 'all are counted');



=== TEST 5: other APIs and prefixes have calls of their own
--- config
location = /ready { return 200; }
location ~ /one   { cred_delete apinizer alloy; }
location ~ /other { cred_delete apinizer alloy; cred_prefix other; }
--- script
my @ones = map { "one$_" } 1 .. 8;
my @others = map { "other$_" } 1 .. 8;

for my $prefix ('{cred}', 'other') {
    redis('registry', 'HSET', "$prefix:environments", 'production',
          redis_url('production'));

    for my $own (map { "$prefix:$_" } qw(apinizer alloy)) {
        redis('registry', 'HSET', "$own:token:" . sha256('TOKEN'), 'subject', 'alice');
        redis('registry', 'HSET', "$own:scope:MyProject", 'a', 'b');
        redis('registry', 'HSET', "$own:members:MyProject", 'alice', 'manage');
        redis('registry', 'HSET', "$own:credential:MyProject:$_", 'a', 'b')
            for @ones, @others;
    }
}

redis('registry', 'DEL', '{cred}:apinizer:credential:MyProject:api-user');
is(del('one1')->{status}, 200, 'connected');
redis('registry', 'HSET', '{cred}:apinizer:credential:MyProject:one1', 'a', 'b');
my $seen = monitor('registry');

my @answers = at_once(
    map({ apinizer($_) } @ones[0 .. 3]), map({ alloy($_) } @ones[0 .. 3]),
    map({ apinizer($_) } @others[0 .. 3]), map({ alloy($_) } @others[0 .. 3]),
    map { (apinizer($ones[$_]), alloy($others[$_]), apinizer($others[$_]),
           alloy($ones[$_])) } 4 .. 7
);

is(join(' ', map { $_->{status} } @answers), join(' ', (200) x 32), 'all of them');
is(scalar(grep { $_->{headers}{'cred-pending'} } @answers), 0, 'everywhere');

my (%seen, $calls);

for my $call (monitored($seen->())) {
    my @ids = each_delete(4, @$call) or next;
    push @{ $seen{"@$call[4, 6]"} }, @ids;
    $calls++;
}

is_deeply(\%seen, { '{cred} apinizer' => \@ones, 'other apinizer' => \@others,
                    '{cred} alloy' => \@ones, 'other alloy' => \@others },
          'each in its place');
is($calls, 19, 'and what is alike goes together, for each prefix');

for my $prefix ('{cred}', 'other') {
    ok(wait_for(sub { redis('registry', 'KEYS', "$prefix:open:*") eq '' }),
       "$prefix is settled");
}

for my $api (qw(apinizer alloy)) {
    is(redis('production', 'KEYS', "*:$api:tombstone:*"),
       join(' ', map({ "other:$api:tombstone:MyProject:$_" } @others),
                 map({ "{cred}:$api:tombstone:MyProject:$_" } @ones)),
       "$api is undeployed, with the registry's prefix");
    is(redis('registry', 'KEYS', "*:$api:credential:*"),
       join(' ', map({ "other:$api:credential:MyProject:$_" } @ones),
                 map({ "{cred}:$api:credential:MyProject:$_" } @others)),
       "$api: the others are left");
}



=== TEST 6: scripts that are no longer known
--- script
my @servers = qw(registry production staging);
is(del('api-user')->{status}, 200, 'connected');

for my $round (1 .. 3) {
    my @usernames = map { "u$round-$_" } 1 .. 64;
    credential(\@usernames);
    my %seen = map { $_ => monitor($_) } @servers;
    redis($_, 'SCRIPT', 'FLUSH') for @servers;

    answer_is($_, "round $round", everywhere())
        for at_once(map { apinizer($_) } @usernames);
    ok(settled(), 'settled');
    is(entries($_), 1 + 64 * $round, "$_: undeployments")
        for qw(production staging);

    my %texts = map { $_ => [ grep { /\] "EVAL"/ } $seen{$_}->() ] } @servers;
    like(deletes(@{ $texts{registry} }), qr/^3[12] 3[12]\b/,
         'delete.lua, with its text');
    like(undeployments(@{ $texts{$_} }), qr/^(?:3[12]|64)\b/, "$_: undeploy.lua")
        for qw(production staging);
}

is(results(), join(' ', ('deleted') x 193), 'each was deleted once');



=== TEST 7: an environment where one member of a call fails
--- script
is(del('api-user')->{status}, 200, 'connected');
ok(settled(), 'settled');
my $c = '{cred}:apinizer';
my $entries = 1;
my $n = 0;

for (["$c:credentials:P1", 'SET'], ["$c:credential:P2:x", 'SET'],
     ["$c:tombstone:P3:x", 'SADD'])
{
    my ($key, $command) = @$_;
    my $project = 'P' . ++$n;
    my $place = (0, 11, 20)[$n - 1];

    my @usernames = map { "u$n-$_" } 1 .. 20;
    credential(\@usernames);
    project($project, 'x');
    redis('staging', 'DEL', $key);
    redis('staging', $command, $key, 'y');

    my $seen = monitor('staging');
    my @requests = map { apinizer($_) } @usernames;
    splice @requests, $place, 0, apinizer('x', $project);
    my @answers = at_once(@requests);

    like(undeployments($seen->()), qr/^21\b/, "$project: one call");
    answer_is($answers[$_], "$project, $_",
              $_ == $place ? pending(production => undef, staging => 'refused')
                           : everywhere())
        for 0 .. 20;

    my $failed = $answers[$place];
    my $receipt;
    ok(wait_for(sub {
        $receipt = receipt($failed, 'staging');
        return $receipt->{attempts} > 2;
    }), 'it is attempted again');
    is($receipt->{state}, 'pending', 'pending');
    like($receipt->{error}, qr/^WRONGTYPE/, 'since it was refused');
    is(join(' ', sort keys %$receipt), 'attempts error first last ms next state',
       'its receipt');
    is(redis('staging', 'TYPE', $key), { SET => 'string', SADD => 'set' }->{$command},
       'the key is as it was');

    is(join(' ', redis('registry', 'ZRANGE', '{cred}:pending:staging', 0, -1)),
       "apinizer:$project:x:1:" . operation($failed), 'nothing else is pending');
    is(redis('registry', 'EXISTS', '{cred}:pending:production'), 0, 'nor there');
    is(redis('registry', 'KEYS', '{cred}:open:*'), "{cred}:open:apinizer:$project:x",
       'nor open');
    for (grep { $_ != $place } 0 .. 20) {
        $receipt = receipt($answers[$_], 'staging');
        is("$receipt->{state} $receipt->{attempts}", 'undeployed 1', "$_: undeployed");
        is(join(' ', sort keys %$receipt), 'attempts last ms state', 'its receipt');
    }
    is(entries('production'), $entries += 21, 'production');
    is(entries('staging'), $entries - 1, 'staging');

    redis('staging', 'DEL', $key);
    ok(settled(), 'until the key is repaired');
    $receipt = receipt($failed, 'staging');
    is($receipt->{state}, 'undeployed', 'then it is undeployed');
    is(join(' ', sort keys %$receipt), 'attempts error first last ms state',
       'its receipt then');
    is(entries('staging'), $entries, 'once');
}



=== TEST 8: more than there is room for in one reply
--- script
my @projects = map { "P$_" } 1 .. 4;
is(del('api-user')->{status}, 200, 'connected');
project($_, 'x') for @projects;
crowd('apinizer', @projects);

my $seen = monitor('registry');
my @answers = at_once(map { apinizer('x', $_) } @projects);
ok(wait_for(sub { deletes($seen->()) eq '4 2' }), 'what has no room is asked for again');

for (0 .. 3) {
    my $project = $projects[$_];
    answer_is($answers[$_], $project, pending(map {
        sprintf("$project-%03d", $_) => 'unreachable'
    } 0 .. 799));

    my $key = '{cred}:operation:' . operation($answers[$_]);
    my @values;
    ok(wait_for(sub {
        @values = grep { /"attempts":[1-9]/ && /"state":"pending"/ }
                  redis('registry', 'HVALS', $key);
        return @values == 800;
    }), 'a receipt for each');
    is(redis('registry', 'HGET', $key, 'pending'), 800, 'and pending there');
    is(redis('registry', 'ZCARD', "{cred}:pending:$project-$_"), 1, "$project-$_")
        for qw(000 400 799);
}

is(results(), join(' ', ('deleted') x 5), 'each was deleted once');



=== TEST 9: the reply of delete.lua has a limit
--- script
my $script = slurp('src/lua/delete.lua');
my $n = 0;

my $asked;

my $ask = sub {
    $asked = @_;
    my $sock = redis_connect('registry');
    print $sock resp('EVAL', $script, 1, '{cred}:audit', '{cred}', 4000,
                     'apinizer', 1, 0, '', 0, '9' x 13, 1000, map {
        (sprintf('%032x', ++$n), sha256('TOKEN'), '', $_, 'x', '127.0.0.1',
         '', '', 'all')
    } @_);
    return reply($sock);
};

# of the seven elements of each delete the one at this place

my $each = sub {
    my ($reply, $place) = @_;
    return join ' ', map { $reply->[1 + 7 * $_ + $place] } 0 .. $asked - 1;
};

# the URLs in the reply

my $urls = sub {
    my ($reply) = @_;
    return map { $reply->[4 * $_ + 7 * $asked + 2] }
           0 .. (@$reply - 1 - 7 * $asked) / 4 - 1;
};

my @projects = map { "P$_" } 1 .. 3;
crowd('apinizer', @projects);
project($_, 'x') for @projects;
my @before = redis('registry', 'KEYS', '*P3*');

my $reply = $ask->(@projects, 'None', 'P3', 'P1');
is($each->($reply, 0), 'deleted deleted full scope_not_found full full',
   'elements');
is($each->($reply, 4), '43 3243 0 0 0 0', 'each has its cascade');
is($each->($reply, 5), '800 800 0 0 0 0', 'of as many environments');
is(scalar(@$reply), 6443, 'what there is room for');
is_deeply([ redis('registry', 'KEYS', '*P3*') ], \@before, 'nothing was done');
is(operations(), 2, 'two operations');

$reply = $ask->('P3', 'P1', 'P2');
is($each->($reply, 0), 'deleted resumed full', 'asked for again');
$reply = $ask->('P2');
is($each->($reply, 0), 'resumed', 'and once more');
is(operations(), 3, 'three operations');

# few of them with long URLs

redis('registry', 'DEL', map { "{cred}:apinizer:environments:$_" } @projects);
project($_, 'x') for @projects;

my $lengthen = sub {
    my ($length, @projects) = @_;
    for my $project (@projects) {
        my @names = map { "$project-long-$_" } 1 .. 250;
        redis('registry', 'HSET', '{cred}:environments',
              map { ($_ => 'x' x $length) } @names);
        redis('registry', 'SADD', "{cred}:apinizer:environments:$project",
              @names);
    }
};

$lengthen->(1900, @projects);
$reply = $ask->(@projects);
is($each->($reply, 0), 'deleted full full', 'bytes');
$reply = $ask->('P2');
is($each->($reply, 0), 'deleted', 'asked for again');

# the first one always has room

$lengthen->(4096, 'P1');
$reply = $ask->('P1', 'P2');
is($each->($reply, 0), 'resumed full', 'more than the limit');
is(join(' ', map { length } $urls->($reply)),
   join(' ', (4096) x 127, (0) x 123), 'URLs, as many as fit');

# what is no URL takes no room

$lengthen->(4097, 'P1');
$reply = $ask->('P1', 'P2');
is($each->($reply, 0), 'resumed resumed', 'too long to be any');
is(join(' ', map { length } $urls->($reply)),
   join(' ', (0) x 250, (1900) x 250), 'URLs');

$lengthen->(100000, 'P3');
$reply = $ask->('P3');
is($each->($reply, 0), 'deleted', 'nor do they when it is deleted');
is(join('', $urls->($reply)), '', 'URLs');

# all together may be too long

project('P1', 'x');
$lengthen->(4096, 'P1');
$reply = $ask->('P1');
like($each->($reply, 0), qr/too many environments/, 'half of the limit');
is(redis('registry', 'EXISTS', '{cred}:apinizer:credential:P1:x'), 1,
   'nothing was done');



=== TEST 10: a registry that is killed with several calls in flight
--- http_config
cred_registry         $TEST_NGINX_REGISTRY;
cred_connect_timeout  1s;
cred_command_timeout  1s;
cred_retry_delay      100ms 200ms;
--- before
redis_kill('registry');
File::Path::remove_tree(temp_dir() . '/registry/appendonlydir');
redis_start('registry', '--appendonly', 'yes', '--appendfsync', 'always');
my %sample = sample();
redis_load('registry', $sample{registry});
--- script
# Redis may keep the beginning of a transaction that it did not write to its end,
# does not run it when it starts, but when it starts for the second time

my $rewrite = sub {
    redis('registry', 'BGREWRITEAOF');
    wait_for(sub {
        redis('registry', 'INFO', 'persistence')
            !~ /^aof_rewrite_(?:in_progress|scheduled):1/m;
    });
};

for my $round (0 .. 7) {
    my @usernames = map { "u$round-$_" } 1 .. 128;
    credential(\@usernames);
    is(del(shift @usernames)->{status}, 200, "round $round: connected");

    # the first time, what arrives is never run

    my @answers = at_once(sub {
        redis_pause('registry') unless $round;
        Time::HiRes::sleep($round ? rand 0.01 : 0.1);
        redis_kill('registry');
    }, map { apinizer($_) } @usernames);

    redis_start('registry');
    $rewrite->();
    ok(wait_for(sub { del('nobody')->{status} == 400 }), 'it is back');
    ok(settled(), 'what was done is done everywhere');

    my %operations = map { redis('registry', 'HGET', $_, 'id') => 1 }
                     redis('registry', 'KEYS', '{cred}:operation:*');
    my (@partly, @wrong);

    for (0 .. $#usernames) {
        my ($id, $answer) = ($usernames[$_], $answers[$_]);
        my $left = join '', map {
            redis($_, 'EXISTS', "{cred}:apinizer:credential:MyProject:$id")
        } qw(registry production staging);

        push @partly, "$id: $left" unless $left eq ($operations{$id} ? '000' : '111');
        push @wrong, "$id: $answer->{status}"
            unless $answer->{status} == 503
                   || ($answer->{status} == 200 && $left eq '000');
    }

    is("@partly", '', 'all or nothing');
    is("@wrong", '', 'as it was answered');
}



=== TEST 11: the answer to a call is lost: all are asked for again
--- before
$ENV{TEST_NGINX_RELAY} = relay(\&first_is_lost);
--- http_config
cred_registry         redis://127.0.0.1:$TEST_NGINX_RELAY;
cred_command_timeout  2s;
--- script
is(del('api-user')->{status}, 200, 'connected');
credential([1 .. 9]);
my $long = 'x' x 513;

my @table = (
    [apinizer(1), everywhere()],
    [apinizer(2, 'MyProject', 'NONE'), failure(401)],
    [apinizer(3), everywhere()],
    [apinizer(3), pending(production => 'late', staging => 'late')],
    [apinizer(4, 'MyProject', 'VIEWER'), failure(403)],
    [apinizer('none'), failure(400, 'none')],
    [apinizer($long), failure(400, $long)],
    map { [apinizer($_), everywhere()] } 5 .. 9
);

my @answers = at_once(map { $_->[0] } @table);
answer_is($answers[$_], "answer $_", @{ $table[$_] }[1 .. 4]) for 0 .. $#table;
ok(settled(), 'settled');

my @calls = map { [ each_delete(8, @$_) ] } relayed($ENV{TEST_NGINX_RELAY});
@calls = grep { @$_ == @table } @calls;
is(scalar(@calls), 2, 'two calls');
is("@{ $calls[0] }", join(' ', ('all') x 6, 'absent', ('all') x 5), 'the first');
is("@{ $calls[1] }", join(' ', ('again') x 6, 'absent', ('again') x 5), 'the second');

is(operations(), 8, 'an operation each');
is(scalar(grep { $_->{result} eq 'deleted' } audit()), 8, 'in the audit once');
is(operation($answers[3]), operation($answers[2]), 'one of them was resumed');
is(entries($_), 8, "$_: undeployed once") for qw(production staging);



=== TEST 12: half of it is lost
--- before
$ENV{TEST_NGINX_RELAY} = relay(sub {
    my ($n, $run) = @_;
    my $answer = $run->();
    return $n == 1 ? \substr($answer, 0, length($answer) / 2) : $answer;
});
--- http_config
cred_registry         redis://127.0.0.1:$TEST_NGINX_RELAY;
cred_command_timeout  2s;
--- script
is(del('api-user')->{status}, 200, 'connected');
credential([1 .. 20]);
answer_is($_, 'asked again', everywhere())
    for at_once(map { apinizer($_) } 1 .. 20);
is(operations(), 21, 'an operation each');
is(results(), join(' ', ('deleted') x 21), 'in the audit once');
is(entries($_), 21, "$_: undeployed once") for qw(production staging);



=== TEST 13: the answer is lost, and then the question: what was done is undeployed
--- before
$ENV{TEST_NGINX_RELAY} = relay(sub {
    my ($n, $run) = @_;
    $run->() if $n == 1;
    return \"";
});
--- http_config
cred_registry         redis://127.0.0.1:$TEST_NGINX_RELAY;
cred_connect_timeout  1s;
cred_command_timeout  1s;
cred_retry_delay      2s;
--- script
is(del('api-user')->{status}, 200, 'connected');
credential([1 .. 20]);
answer_is($_, 'asked twice', failure(503))
    for at_once(map { apinizer($_) } 1 .. 20);
is(redis('registry', 'KEYS', '{cred}:apinizer:credential:*'), '', 'they were deleted');
ok(settled(), 'and are undeployed');
is(operations(), 21, 'an operation each');
is(results(), join(' ', ('deleted') x 21), 'in the audit once');
is(entries($_), 21, "$_: undeployed once") for qw(production staging);



=== TEST 14: a call that is counted is lost: it is counted once
--- before
$ENV{TEST_NGINX_RELAY} = relay(\&first_is_lost);
--- http_config
cred_registry         redis://127.0.0.1:$TEST_NGINX_RELAY;
cred_command_timeout  2s;
--- config
location = /ready { return 200; }
location /v6/ { cred_delete thousandeyes; }
--- registry
SET {cred}:thousandeyes:rate:11 0 EX 3600
HSET {cred}:thousandeyes:token:sha256(TOKEN) subject alice scope 11
HSET {cred}:thousandeyes:scope:11 rate_limit 4
HSET {cred}:thousandeyes:members:11 alice manage
--- script
redis('registry', 'HSET', "{cred}:thousandeyes:credential:11:$_", 'a', 'b')
    for 1 .. 4;
is(http_parse(http(thousandeyes(1)))->{status}, 204, 'connected');
is(join(' ', map { $_->{status} } at_once(map { thousandeyes($_) } 2 .. 4)),
   '204 204 204', 'asked again');
is(redis('registry', 'GET', '{cred}:thousandeyes:rate:11'), 4, 'counted once');



=== TEST 15: answers to several which no good Redis gives
--- before
# the first id says which

my @cascade = ('production', 'unix:/x', 'undeployed', '');
my $array;

$array = sub {
    my ($value) = @_;
    return '*' . @$value . "\r\n" . join '', map { $array->($_) } @$value
        if ref $value;
    return $value =~ /^[:-]/ ? "$value\r\n" : '$' . length($value) . "\r\n$value\r\n";
};

my $reply = sub {
    $SIG{PIPE} = 'IGNORE';
    my ($id, @others) = each_delete(4, @_) or return "*0\r\n";
    my @operations = each_delete(0, @_);
    my $count = 1 + @others;
    my $start = ':' . (1 + 7 * $count);

    my $item = sub {
        my ($n) = @_;
        return ('deleted', 'alice', 'MyProject', "x$operations[$n]", $start,
                ':1', '');
    };

    my $items = sub { map { $item->($_) } $_[0] .. $_[1] };

    my @item = $item->(0);
    my @mixed = (
        [@item],
        ['-WRONGTYPE some text', (':0') x 6],
        ['unauthorized', '', '', '', ':0', ':0', ''],
        ['late', '', '', '', ':0', ':0', ''],
        [($item->(4 % $count))[0 .. 3], ':' . (1 + 7 * $count + 1),
         @item[5, 6]],
        [@item[0 .. 2], '', @item[4 .. 6]],
        [':1', @item[1 .. 6]],
    );

    my %replies = (
        alone => [':1', $items->(0, $count - 1), @cascade],
        none  => [],
        one   => [':1'],
        two   => [':1', @item],
        less  => [':1', $items->(0, $count - 3), @cascade],
        bare  => [':1', $items->(0, $count - 1)],
        short => [':1', $items->(0, $count - 1), @cascade[0 .. 2]],
        last  => [':1', $items->(0, $count - 2), @item[0 .. 5]],
        error => '-OOM some text',
        word  => 'unauthorized',
        mixed => [':1', (map { @$_ } @mixed),
                  $items->(scalar @mixed, $count - 1), @cascade],
    );

    return $array->($replies{$id} // $replies{alone});
};

$ENV{TEST_NGINX_FAKE} = fake(replies => { EVALSHA => $reply, EVAL => $reply });
--- http_config
cred_registry         redis://127.0.0.1:$TEST_NGINX_FAKE;
cred_connect_timeout  1s;
cred_command_timeout  2s;
--- script
my ($worker) = nginx_workers();
answer_is(del('alone'), 'alone', deleted('production'));

for my $kind (qw(none one two less bare short last error word)) {
    answer_is($_, $kind, failure(503))
        for at_once(apinizer($kind), map { apinizer("x$_") } 1 .. 7);
}

my @answers = at_once(apinizer('mixed'), map { apinizer("x$_") } 1 .. 7);
my @wanted = ([deleted('production')], [failure(503)], [failure(401)],
              [deleted('production')], ([failure(503)]) x 3,
              [deleted('production')]);
answer_is($answers[$_], "mixed, $_", @{ $wanted[$_] }) for 0 .. 7;

my @calls = map { scalar(() = each_delete(0, @$_)) } relayed($ENV{TEST_NGINX_FAKE});
is(join(' ', grep { $_ } @calls), '1 ' . '8 ' x 10 . '1', 'one call each');
is((nginx_workers())[0], $worker, 'the same worker');



=== TEST 16: an environment that is gone, and resumed by several at once
--- redis: third
--- http_config
cred_registry            $TEST_NGINX_REGISTRY;
cred_connect_timeout     1s;
cred_command_timeout     1s;
cred_retry_delay         100ms;
cred_unregistered_delay  100ms;
--- script
redis('registry', 'HSET', '{cred}:environments', 'third', redis_url('third'));
redis_kill($_) for qw(staging third);
my $answer = del('api-user');
answer_is($answer, 'deleted', pending(production => undef, staging => 'unreachable',
                                      third => 'unreachable'));
ok(wait_for(sub { receipt($answer, 'third')->{attempts} }), 'attempted');
redis('registry', 'HDEL', '{cred}:environments', 'staging');

my @answers = at_once((apinizer('api-user')) x 5);
is(operation($_), operation($answer), 'resumed') for @answers;
my $key = '{cred}:operation:' . operation($answer);
ok(wait_for(sub { receipt($answer, 'staging')->{state} eq 'unregistered' }),
   'settled without it');

is(redis('registry', 'HGET', $key, 'pending'), 1, 'the other one is pending');
is(redis('registry', 'HEXISTS', $key, 'completed_at'), 0, 'not complete');
is(redis('registry', 'KEYS', '{cred}:open:*'),
   '{cred}:open:apinizer:MyProject:api-user', 'open');

my $times = () = redis('registry', 'XRANGE', '{cred}:audit', '-', '+')
            =~ /\bresult unregistered\b/g;
is($times, 1, 'in the audit once');

redis_start('third');
ok(wait_for(sub { del('api-user')->{status} == 400 && entries('third') == 1 }),
   'until it is undeployed');



=== TEST 17: no room, and counted once
--- config
location = /ready { return 200; }
location /v6/ { cred_delete thousandeyes; }
--- registry
HSET {cred}:thousandeyes:token:sha256(TOKEN) subject alice scope 11
--- script
for (11 .. 14) {
    redis('registry', 'HSET', "{cred}:thousandeyes:scope:$_", 'a', 'b');
    redis('registry', 'HSET', "{cred}:thousandeyes:members:$_", 'alice', 'manage');
    redis('registry', 'HSET', "{cred}:thousandeyes:credential:$_:1", 'a', 'b');
}

crowd('thousandeyes', 11 .. 14);
my @answers = at_once(map { thousandeyes(1, $_) } 11 .. 14);
is(join(' ', map { $_->{status} } @answers), '204 204 204 204', 'all of them');

is(join(' ', map {
    $_->{headers}{'x-organization-rate-limit-remaining'}
} @answers), '239 239 239 239', 'counted once');



=== TEST 18: refused tokens of one client for one credential are one entry
--- script
my @answers = at_once(map({ apinizer('api-user', 'MyProject', "no-$_") } 1 .. 5),
                      apinizer('other', 'MyProject', 'no'), apinizer('api-user'),
                      apinizer('other', 'MyProject', 'no'));
is(join(' ', map { $_->{status} } @answers), '401 401 401 401 401 401 200 401',
   'the answers');

my $sock = redis_connect('registry');
print $sock resp(qw(XRANGE {cred}:audit:unauthorized - +));
my @entries = map { +{ @{ $_->[1] } } } @{ reply($sock) };
is(join(', ', map { "$_->{id} " . ($_->{count} // 1) } @entries),
   'api-user 5, other 2', 'the audit');



=== TEST 19: no receipt is dropped, however many there are
--- http_config
cred_registry         $TEST_NGINX_REGISTRY;
cred_connect_timeout  60s;
cred_command_timeout  60s;
cred_retry_delay      1h;
--- script
my ($environments, $deletes) = (64, 180);
my $url = redis_url('production');
$url .= ($url =~ /\?/ ? '&' : '?') . 'prefix=';
redis('registry', 'DEL', '{cred}:environments');
redis('registry', 'HSET', '{cred}:environments',
      map { ("e$_", "$url$_") } 1 .. $environments);
credential([1 .. $deletes]);
is(del('api-user')->{status}, 200, 'connected');
my @answers = at_once(map { apinizer($_) } 1 .. $deletes);
is(scalar(grep { $_->{status} == 200 } @answers), $deletes, 'all of them');
my $pending = sub {
    my $sum = 0;
    $sum += redis('registry', 'ZCARD', "{cred}:pending:e$_") for 1 .. $environments;
    return $sum;
};
ok(wait_for(sub { !$pending->() }, 60), 'nothing is pending');
my $entries = 0;
$entries += redis('production', 'XLEN', "$_:undeployments") for 1 .. $environments;
is($entries, $environments * ($deletes + 1), 'each was undeployed once');
