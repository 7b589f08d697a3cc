package CredTest;

# Test::Nginx::Socket, and with it real Redis servers in a folder of their
# own, checks of their state, and of the error log after each block.  The
# sections and functions are described at the end.

use strict;
use warnings;

use Cwd ();
use File::Path ();
use List::Util ();

use CredTest::Process;
use CredTest::Redis;
use CredTest::Fake;
use CredTest::HTTP;
use CredTest::Proxy;

my @Exports = ('defaults', @CredTest::Process::EXPORT,
               @CredTest::Redis::EXPORT, @CredTest::Fake::EXPORT,
               @CredTest::HTTP::EXPORT, @CredTest::Proxy::EXPORT);

my ($Owner, @Standard, %Defaults, $Logged, $Stderr, $Leaks, $Kept);


sub set_up {
    $Owner = $$;

    $ENV{TEST_NGINX_SERVROOT} = "$Dir/nginx";
    $ENV{TEST_NGINX_PORT} = free_port();
    $ENV{TEST_NGINX_H2_PORT} = free_port();
    $ENV{TEST_NGINX_DIR} = $Dir;
    $ENV{TEST_NGINX_LOG_LEVEL} ||= 'info';
    $ENV{TEST_NGINX_MASTER_PROCESS} ||= 'on';
    $ENV{TEST_NGINX_TIMEOUT} ||= $CredTest::Process::Patience;
    $ENV{TEST_NGINX_BINARY} ||= $ENV{CRED_NGINX} || 'nginx';
    $ENV{TEST_NGINX_WORKER_USER} ||= 'nobody nogroup' if $> == 0;
    $ENV{PATH} .= ':/usr/sbin:/sbin';

    # reports go to stderr, which nginx turns into its error log; workers are
    # nobody, who need not be let into this folder

    my ($here) = Cwd::abs_path(__FILE__) =~ m{^(.*)/};
    system 'cp', glob("$here/*.supp"), $Dir;
    $Leaks = "print_suppressions=0,suppressions=$Dir/lsan.supp";

    $ENV{ASAN_OPTIONS} = 'detect_odr_violation=0,'
                         . 'detect_stack_use_after_return=1';
    $ENV{UBSAN_OPTIONS} = "print_stacktrace=1,suppressions=$Dir/ubsan.supp";

    $SIG{$_} = sub { exit 1 } for qw(INT TERM HUP);
    $SIG{PIPE} = 'IGNORE';
}


sub import {
    my ($class, %args) = @_;

    my $caller = caller;

    strict->import;
    warnings->import;

    my $module = tested_module();

    unless (exists $args{module} && !$args{module}) {
        $ENV{TEST_NGINX_LOAD_MODULES} = $module;
    }

    @Standard = @{ $args{redis} || [qw(registry production staging)] };

    eval "package $caller;"
         . 'use Test::Nginx::Socket; plan("no_plan"); no_shuffle();'
         . 'worker_connections(1024); no_long_string(); 1' or die $@;

    no strict 'refs';
    no warnings 'redefine', 'prototype';

    *{"${caller}::$_"} = \&$_ for grep { /^\w/ } @Exports;
    *{"CredTest::$_"} = \&{"Test::More::$_"} for qw(ok diag);

    my $request = $Test::Nginx::Util::RunTestHelper;

    $Test::Nginx::Util::RunTestHelper = sub {
        my ($block) = @_;
        return $request->(@_) unless defined $block->script;

        # the master has its socket before it has workers

        wait_for(sub { nginx_workers() });
        evaluate($block, 'script');
    };

    Test::Nginx::Util::add_block_preprocessor(\&before);
    Test::Nginx::Util::add_test_cleanup_handler(\&after);

    redis_start($_) for @Standard;
}


END {
    if ($$ == $Owner) {
        my $status = $?;
        my $passed = $status == 0 && Test::More->builder->is_passing;

        if ($Stderr) {
            open STDERR, '>&', $Stderr;
            print STDERR slurp("$Dir/stderr.log") unless $passed;
        }

        nginx_stop();
        reap_all();

        if ($passed && !$ENV{CRED_KEEP}) {
            File::Path::remove_tree($Dir);
        } else {
            print STDERR "# logs are in $Dir\n";
        }

        $? = $status;
    }
}


# the course of a block

sub before {
    my ($block) = @_;

    return if defined $block->SKIP;

    %CredTest::Redis::Alias = ();

    for my $name (keys %Redis) {
        next if List::Util::any { $_ eq $name } @Standard;
        redis_stop($name);
        File::Path::remove_tree($Redis{$name}{dir});
        delete $Redis{$name};
    }

    for my $pid (grep { $Child{$_} ne 'redis' } keys %Child) {
        reap($pid, 'KILL');
    }

    redis_clean($_) for @Standard;

    redis_start($_) for split ' ', $block->redis // '';

    for my $section (qw(http_config config main_config)) {
        next if defined $block->$section || !defined $Defaults{$section};
        $block->set_value($section, $Defaults{$section});
    }

    for my $name (sort keys %Redis) {
        for my $text (grep { defined } $Defaults{$name}, $block->$name) {
            ok(0, $block->name . " - $name: $_") for redis_load($name, $text);
        }
    }

    evaluate($block, 'before');

    my $main = $block->main_config // '';
    $block->set_value('main_config', "error_log $Dir/nginx.log notice;\n$main");

    # nginx frees nothing when it refuses its configuration

    $ENV{LSAN_OPTIONS} = "$Leaks,detect_leaks="
                         . (defined $block->must_die ? 0 : 1);

    open $Stderr, '>&', \*STDERR;
    open STDERR, '>', "$Dir/stderr.log";
}


sub after {
    my ($block) = @_;

    return if defined $block->SKIP;

    my $name = $block->name;

    evaluate($block, 'after');

    for (split /\n/, $block->redis_check // '') {
        next if /^\s*(#|$)/;
        my ($ok, $got) = check($_);
        ok($ok, "$name - $_") or diag("got: $got");
    }

    ok(nginx_stop(), "$name - nginx leaves when it is told to");

    my @allowed = map { qr/$_/ } grep { length }
                  split /\n/, $block->allow_log // '';
    push @allowed, qr/\[emerg\]/ if defined $block->must_die;

    open STDERR, '>&', $Stderr;
    print STDERR slurp("$Dir/stderr.log") unless defined $block->must_die;

    my @faults = (faults([ new_log_lines() ], @allowed),
                  reports(slurp("$Dir/stderr.log"), error_log_text(),
                          map { slurp($_) } glob "$Dir/valgrind.*"));
    unlink grep { -s } glob "$Dir/valgrind.*";
    ok(!@faults, "$name - nothing alarming in the error log")
        or diag(join "\n", @faults);

    # the folder of nginx is made anew for the next block

    system 'cp', "$Dir/nginx/logs/error.log", "$Dir/error-" . ++$Kept . '.log'
        unless Test::More->builder->is_passing;
}


sub evaluate {
    my ($block, $section) = @_;

    my $code = $block->$section;
    return unless defined $code;

    my $name = $block->name =~ tr/"\n/' /r;

    eval "package main; use strict; use warnings;\n"
         . "#line 1 \"$section of $name\"\n$code; 1"
        or ok(0, "$name - $section: $@");
}


# one line of redis_check; what follows an answer may take a moment

sub check {
    my ($line, $seconds) = @_;

    $line =~ /^\s*(?:([\w-]+):\s+)?(\S.*?)\s+(=>|=~)(?:\s(.*?))?\s*$/
        or return (0, 'a line which is no "[NAME: ]COMMAND => REPLY"');

    my ($name, $command, $operator, $wanted) = ($1 // 'registry', $2, $3,
                                                $4 // '');
    my $got;

    my $ok = wait_for(sub {
        $got = redis($name, words($command));
        return $operator eq '=>' ? $got eq expand($wanted)
                                 : $got =~ /$wanted/;
    }, $seconds);

    return ($ok ? 1 : 0, $got);
}


sub new_log_lines {
    open my $in, '<', "$Dir/nginx.log" or return;
    seek $in, $Logged // 0, 0;
    my @lines = <$in>;
    $Logged = tell $in;
    chomp @lines;
    return @lines;
}


# what must never happen, but for what a test allows

sub faults {
    my ($lines, @allowed) = @_;

    return grep {
        my $line = $_;
        $line =~ / \[(?:alert|emerg)\] | exited\ on\ signal
                 | exited\ with\ code\ [1-9] | open\ socket\ \# /x
            && !List::Util::any { $line =~ $_ } @allowed;
    } @$lines;
}


sub reports {
    my $begin = qr/runtime error:|ERROR: \w+Sanitizer|==\d+== (?!Warning:)\S/;
    my $report = qr/^.*$begin(?:.*\n?){0,40}/m;
    return map { /($report)/ ? $1 : () } @_;
}


sub defaults { %Defaults = (%Defaults, @_) }


set_up();

1;

__END__

=head1 SECTIONS OF A BLOCK

All of Test::Nginx::Socket, and:

    --- registry            commands for this Redis before nginx starts, as
    --- production          redis-cli reads them; "sha256(x)" and
    --- staging             $TEST_NGINX_... are replaced
    --- redis: eu_west ...  starts more Redis servers, sections of these names
                            and $TEST_NGINX_EU_WEST work as well
    --- before              Perl that runs before nginx starts
    --- script              Perl in place of a request
    --- after               Perl that runs when nginx still does
    --- redis_check         lines of "[NAME: ]COMMAND => REPLY" or "=~ REGEX",
                            each a test, tried again until it is so; NAME
                            is registry if there is none; an array's elements
                            are joined by spaces, sets are sorted, no reply
                            is (nil)
    --- allow_log           regular expressions of lines in the error log that
                            would fail the block otherwise

Each block starts with clean servers and ends with two tests: nginx leaves when
it is told to, and its error log has no alert or crash, nor is there a report of
a sanitizer or of valgrind.

The configuration may name $TEST_NGINX_REGISTRY (a URL of the unix socket),
$TEST_NGINX_REGISTRY_TCP, $TEST_NGINX_REGISTRY_PORT, the same for the others,
$TEST_NGINX_PORT, $TEST_NGINX_H2_PORT (free, for "listen ... http2"),
$TEST_NGINX_DIR, and whatever "before" puts into %ENV.

=head1 FUNCTIONS

    defaults(http_config => ..., config => ..., registry => ..., ...)
                            sections for all blocks: the configuration of
                            blocks without one, data before a block's own

    redis(NAME, COMMAND, ...)         the reply; a list in list context
    redis_start(NAME, ARGUMENTS)      also again, on the same port
    redis_stop, redis_kill, redis_pause, redis_resume, redis_runs(NAME)
    redis_alias(NAME, SUB)            a name for whichever server SUB names
                                      then, for these and all others that take
                                      one, until the end of the block
    redis_url, redis_tcp, redis_port, redis_socket(NAME)
    redis_load(NAME, TEXT)            the errors
    monitor(NAME)                     a closure that returns the commands since

    fake(replies => { EVALSHA => BYTES, ... }, greeting => BYTES,
         delay => SECONDS, step => BYTES, pause => SECONDS)
                            the port of a broken peer; \BYTES closes after
                            them, \\BYTES resets the connection, undef is
                            silence, an array is one reply after the other, the
                            last for ever, { first => BYTES, endless => BYTES,
                            pause => SECONDS } never ends; scripts have names,
                            such as DELETE; AUTH, SELECT, EXISTS, ROLE, TIME,
                            PING and STREAM are answered well unless given;
                            it reads nothing with deaf => 1, and accepts no
                            connection with asleep => 1
    fakes({ ... }, ...)               several of them in one process; the ports
    fake_log(PORT)                    what it was sent, a line a command
    fake_scripts(PORT)                names of the scripts among that

    proxy(NAME)             stands between nginx and this Redis, has the
                            methods that follow, and is gone with the block
    ->port, ->url
    ->hold(DIRECTION, REGEX, times => N, to => REGEX)
                            keeps what matches, and what comes after it on the
                            same connection; DIRECTION is "command" or
                            "reply", REGEX is for the bytes of the whole one,
                            or with "to" also for the command that a reply
                            answers; without "times" it never ends
    ->delay(DIRECTION, REGEX, seconds => S, ...)
    ->swallow(DIRECTION, REGEX, ...)  it is lost, and the connection stays
    ->drop(DIRECTION, REGEX, when => "before" or "after", ...)
                            closes the connection before it goes on, or after
    ->watch(DIRECTION, REGEX, ...)    only counts
                            these five return the number of a rule; the first
                            rule that does more than count wins
    ->wait_matched(RULE, N), ->wait_held(RULE, N), ->matched(RULE), ->held(RULE)
    ->release(RULE)         ends a rule, or all: what was held goes on
    ->cut, ->mend           closes all connections and refuses others
    ->hang_up               closes all connections
    ->lead(NAME)            those made from now on lead to this Redis
    ->connections           how many there are

    dns(NAME => ADDRESS, ...)         the port of a name server; an address may
                                      be an array
    dns_change(PORT, NAME => ADDRESS, ...)

    http(RAW)                         one answer, as text
    http_many(RAW, ...)               at once, on a connection each
    http_open(), http_read(SOCKET)    for more than one, or for hanging up
    call(METHOD, PATH, [HEADERS], BODY)
    curl(ARGUMENTS, PATH or URL)      these two and http_parse(TEXT) return
                                      { status, headers, body, text }

    nginx_pid, nginx_workers, is_leaving(PID), nginx_signal(NAME),
    nginx_reload, nginx_stop, error_log_text, access_log_text

    wait_for(SUB, SECONDS), sha256(TEXT), slurp(FILE), temp_dir, free_port

=head1 TOPOLOGIES

All of them are real servers, which the functions above take by their names, and
which are gone with the block.  Persistent files do not outlive it, either.

CredTest::Replica:

    replica(NAME, MASTER, host => ADDRESS, args => [...])
                            with "host" on the same port of another address
    in_sync(NAME, MASTER)   waits until it has all that its master has
    hand_over(MASTER, REPLICA)        by "FAILOVER"
    master_of(NAME, ...)    which of these is one
    redis_role, redis_address(NAME), redis_info(NAME, FIELD)

CredTest::Sentinel:

    sentinels(MASTER, REDIS, REPLICAS, count => 3, quorum => 2, down => MS,
              password => P, auth => P, conf => [LINES])
                            "sentinel-1" and so on, once they know each other
    sentinel(NAME, masters => { MASTER => REDIS }, ...)   a single one
    sentinel_url(MASTER, NAME, ...), sentinel_ready(MASTER, REPLICAS, NAME, ...)
    sentinel_agree(MASTER)            the server that all of them name
    sentinel_switched(MASTER, REDIS)  waits until it is this one
    sentinel_failover(MASTER, REDIS, OLD)   by "SENTINEL failover"

CredTest::Cluster:

    cluster(masters => 3, replicas => 0, args => [...])
                            "node-1", "replica-1" and so on, once all are well
    cluster_url(PREFIX, NAME, ...), cluster_nodes, cluster_slot(KEY)
    cluster_owner(KEY), cluster_replica(NAME), cluster_keys(KEY)
    cluster_agree           waits until all see the same, and it is well
    cluster_failover(REPLICA)         by "CLUSTER FAILOVER"
    slot_move(KEY, NAME)    a slot to another node; or in steps:
    slot_begin(KEY, NAME)   a move for slot_keys(MOVE, KEY, ...) and
                            slot_end(MOVE)

=head1 STUBS

CredTest::Stub, for systems behind connectors: HTTP servers, gone with the block.

    stub(KIND, ARGUMENTS)   "Kong", "APISIX", "Tyk" or "Vault"; what they are in
                            place of is said in CredTest::Stub::KIND
    web(SUB)                says what SUB returns of a request and of itself:
                            [STATUS, [HEADERS], BODY], or an array of steps
    ->port(AT), ->url(AT)   of what is managed, or of "gateway"
    ->show(KEY, AT)         the status with which a gateway meets this key
    ->do(METHOD, ...)       of the kind, in its process: add, there, ...
    ->rule(on => REGEX, at => PORT, kept => 1, times => N, act => 1, dies => 1,
           steps => [...])
                            for requests to come, by "METHOD TARGET", or only
                            those on a connection that had one before; in place
                            of the answer, or after it has done what it was asked
                            for; as one that dies before it tells anybody; once,
                            or N times, 0 is for ever
    ->lose(...)             it acts, and nobody hears of it
    ->ignore(...)           it closes the connection
    ->keep(...)             it acts, and its answer waits for ->release(RULE)
    ->say(STATUS, [HEADERS], BODY, ...)     it says that, and does not act
    ->matched(RULE), ->wait_matched(RULE, N), ->forget
    ->down, ->up, ->hang_up, ->freeze, ->thaw, ->connections(AT)
    ->requests(AT), ->asked(AT)       what has come: hashes, "METHOD TARGET"
    ->faults                what of that was no perfect HTTP

    end("reset"), pause(SECONDS), hold(), drip(BYTES, SECONDS), endless(BYTES)
                            are steps, others are bytes
    response(STATUS, [HEADERS], BODY)       the bytes of an answer

CRED_NGINX, CRED_MODULE and CRED_REDIS_SERVER name other binaries, CRED_KEEP=1
keeps the logs, CRED_PATIENCE are the seconds that whatever is waited for may
take, 30 if it is not set: a busy machine is no fault.

=cut

