# Password files are read again when they change, without a reload, and live
# connections send AUTH again.

use CredTest;
use CredTest::Delete;
use CredTest::Gateway;
use POSIX ();

my $dir = temp_dir();

our $password_file = "$dir/password";

# "nginx" of the registry and "gateway" of production may do everything; two
# locations have connections to the registry of their own, /other/ one more

my %sample = gateway(config => <<'END');
location ~ /other { cred_delete apinizer; cred_command_timeout 50s; }
END

$sample{http_config} = <<'END';
cred_registry     redis://nginx@127.0.0.1:$TEST_NGINX_REGISTRY_PORT
                  password_file=$TEST_NGINX_DIR/password;
cred_environment  redis://gateway@127.0.0.1:$TEST_NGINX_PRODUCTION_PORT
                  password_file=$TEST_NGINX_DIR/password;
END

defaults(%sample);


# in one step, as it should be done

sub file {
    my ($text, $name) = @_;

    open my $out, '>', "$password_file.new" or die $!;
    print $out $text;
    close $out;
    rename "$password_file.new", $name // $password_file or die $!;
}


sub passwords {
    my (@passwords) = @_;

    for (['registry', 'nginx'], ['production', 'gateway']) {
        redis($_->[0], 'ACL', 'SETUSER', $_->[1], 'on', 'resetpass', '~*', '&*',
              '+@all', map { ">$_" } @passwords);
    }
}


# connections of nginx as they are: id => whether it is subscribed

sub clients {
    my ($name) = @_;

    return map { /^id=(\d+) .* sub=(\d+) .* user=(?:nginx|gateway) / ? ($1, $2)
                                                                      : () }
           split /\n/, scalar redis($name, 'CLIENT', 'LIST');
}

sub subscribed { my %c = clients('production'); grep { $c{$_} } keys %c }
sub commanding { my %c = clients('production'); grep { !$c{$_} } keys %c }


sub auths {
    my ($name) = @_;
    return scalar(redis($name, 'INFO', 'commandstats'))
           =~ /^cmdstat_auth:calls=(\d+)/m ? $1 : 0;
}


sub told { scalar(() = error_log_text() =~ /$_[0]/g) }
sub tells { my ($text, $n) = @_; wait_for(sub { told($text) >= ($n // 1) }) }


# one of two connections to the registry is cut and made anew, the other one
# lives on

sub cut {
    my %clients = clients('registry');
    my ($id) = sort { $a <=> $b } keys %clients;
    redis('registry', 'CLIENT', 'KILL', 'ID', $id) if $id;
    del($_) for qw(nobody other-nobody);
}


# two live connections to the registry

sub connected {
    my ($n) = @_;

    credential(["main$n", "other$n"]);
    answer_is(del($_), $_, everywhere()) for "main$n", "other$n";
    my %clients = clients('registry');
    is(scalar(keys %clients), 2, 'two connections');
}

run_tests();


__DATA__

=== TEST 1: while requests go on
--- before
passwords('old');
file("old\n");
--- script
connected(1);
ok(leased(), 'there is a lease');

my %before = (registry => auths('registry'), production => auths('production'));
my %clients = clients('registry');
my ($n, @failed) = (0);

passwords('old', 'new');
file("new\n");

# whoever connects next finds it, for both connections to the registry and that
# of the gateway

redis('production', 'CLIENT', 'KILL', 'TYPE', 'pubsub');

sub goes_on {
    $n++;
    credential(["one$n", "other-$n"]);

    for ("one$n", "other-$n") {
        my $answer = del($_);
        push @failed, $answer->{text}
            if $answer->{status} != 200 || $answer->{body} =~ /false/;
    }

    my $got = gate('KEY');
    push @failed, $got->{text} if $got->{status} != 200;
    select undef, undef, undef, 0.05;
}

ok(wait_for(sub {
    goes_on();
    return auths('registry') >= $before{registry} + 2
           && auths('production') >= $before{production} + 2 && subscribed() == 1;
}), 'all have sent AUTH again');

is(auths('registry'), $before{registry} + 2, 'once each');
my %now = clients('registry');
is(join(' ', sort keys %now), join(' ', sort keys %clients),
   'by the same connections');

# the old one is not needed any more, not even by new connections

passwords('new');
redis('registry', 'CLIENT', 'KILL', 'USER', 'nginx');
redis('production', 'CLIENT', 'KILL', 'USER', 'gateway');
ok(wait_for(sub { goes_on(); subscribed() == 1 && keys %{{ clients('registry') }} }),
   'connected again');

goes_on() for 1 .. 5;
is("@failed", '', 'none has failed');

is(told('has another password'), 1, 'told once');
is(told('accepted the password in'), 3, 'by each connection');
is(told('refused'), 0, 'nothing was refused');
is(told('\bold\b|\bnew\b'), 0, 'no password');

# nor after a reload

my @old = nginx_workers();
nginx_reload();
wait_for(sub { !grep { running($_) } @old });
goes_on();
is("@failed", '', 'nor after a reload');



=== TEST 2: a wrong password
--- before
passwords('good', 'better');
file("good\n");
--- script
our $password_file;
connected(1);
ok(wait_for(sub { subscribed() == 1 }), 'nobody else connects');
my %before = clients('registry');

# at the next connect: the other connection is not given up for it

file("mistaken\n");
cut();
ok(tells('redis is down: refused AUTH: WRONGPASS.*, registry'), 'told of one');
ok(tells("refused the password in \"$password_file\", the connection goes on as it is:"
         . ' WRONGPASS, registry'), 'told of the other');

my @left = grep { exists $before{$_} } keys %{{ clients('registry') }};
is(scalar(@left), 1, 'one is left');

credential([qw(main2 other2)]);
my %answers = map { $_ => del($_) } qw(main2 other2);
is(join(' ', sort map { $_->{status} } values %answers), '200 503', 'it goes on');

file("better\n");
ok(tells('redis is back, registry'), 'back');
connected(3);
ok(tells('accepted the password in'), 'the other, too');
ok((grep { $_ eq $left[0] } keys %{{ clients('registry') }}), 'it is the same');
is(told('refused the password.* registry'), 1, 'told once');
is(told('mistaken'), 0, 'no password');



=== TEST 3: a gateway with a wrong password keeps its subscription
--- before
passwords('good', 'better');
file("good\n");
--- script
ok(leased(), 'there is a lease');
my $bell;
ok(wait_for(sub { ($bell) = subscribed() }), 'a subscription');

file("mistaken\n");
redis('production', 'CLIENT', 'KILL', 'ID', $_) for commanding();
ok(tells('redis is down: refused AUTH: WRONGPASS.*, gateway\'s environment'),
   'told');
is(join(' ', subscribed()), $bell, 'it is still there');

file("better\n");
ok(tells('redis is back, gateway\'s environment'), 'back');
ok(wait_for(sub { subscribed() == 1 && (subscribed())[0] ne $bell }),
   'and now it is made anew');
is(gate('KEY')->{status}, 200, 'a key passes');



=== TEST 4: files that cannot be read
--- before
passwords('good', 'better');
file("good\n");
--- script
our $password_file;
connected(1);

my %bad = (
    gone      => [sub { unlink $password_file }, 'open\(\) "%s" failed, .*'
                                        . '\(2: No such file or directory\)'],
    empty     => [sub { file('') }, 'no password in "%s"'],
    blank     => [sub { file("\ngood\n") }, 'no password in "%s"'],
    long      => [sub { file('x' x 4097) }, 'too long password in "%s"'],
    directory => [sub { unlink $password_file; mkdir $password_file },
                  'no regular file is "%s"'],
    fifo      => [sub { unlink $password_file; POSIX::mkfifo($password_file, 0666) },
                  'no regular file is "%s"'],
    dangling  => [sub { unlink $password_file; symlink "$password_file.none", $password_file },
                  'open\(\) "%s" failed'],
);

# root may read all

$bad{denied} = [sub { file("better\n"); chmod 0600, $password_file },
                'open\(\) "%s" failed, .*\(13: Permission denied\)'] if $> == 0;

my ($n, $read) = (1, 0);

for my $name (sort keys %bad) {
    my ($change, $pattern) = @{ $bad{$name} };
    my $before = told('the password that was read last is used');
    my $line = 'password file: ' . sprintf($pattern, $password_file);
    my $lines = told($line);

    $change->();
    cut();
    ok(tells($line, $lines + 1), "$name: told");
    connected(++$n);
    cut();
    connected(++$n);
    is(told('the password that was read last is used'), $before + 1,
       "$name: once");

    rmdir $password_file if -d $password_file;
    file("good\n");
    cut();
    ok(tells("password file: \"$password_file\" can be read again", ++$read),
       "$name: again");
}

is(told('has another password'), 0, 'it has been the same all the time');
is(told('\[warn\].*the password that was read last'), scalar(keys %bad),
   'warnings');

# what comes after that is no different

passwords('better');
file("better\r\nand more\n");
redis('registry', 'CLIENT', 'KILL', 'USER', 'nginx');
ok(tells('has another password'), 'another one');
connected(++$n);



=== TEST 5: links to links, as Kubernetes changes them
--- before
our $password_file;
passwords('good', 'better');

my $base = temp_dir() . '/secret';
mkdir $base;

for (1, 2) {
    mkdir "$base/..$_";
    open my $out, '>', "$base/..$_/password" or die $!;
    print $out $_ == 1 ? 'good' : 'better';
    close $out;
}

symlink '..1', "$base/..data";
symlink '..data/password', "$base/password";
unlink $password_file;
symlink "$base/password", $password_file;
--- script
our $password_file;
connected(1);
my $base = temp_dir() . '/secret';

symlink '..2', "$base/..data_tmp";
rename "$base/..data_tmp", "$base/..data";
unlink "$base/..1/password";
rmdir "$base/..1";

passwords('better');
cut();
ok(tells('accepted the password in'), 'the one that was not cut');
connected(2);
unlink $password_file;



=== TEST 6: many changes take no memory
--- before
passwords('p0');
file('p0');
--- script
connected(1);

my ($worker) = nginx_workers();
my $size = sub { slurp("/proc/$worker/statm") =~ /^\d+ (\d+)/ ? $1 : 0 };
my ($n, $first) = (1);

for my $turn (1 .. 200) {
    my $password = 'x' x 4000 . $turn;
    my $before = auths('registry');
    passwords($password);
    file($password);
    cut();
    wait_for(sub { auths('registry') >= $before + 2
                   && told('has another password') == $turn }) or last;
    $first = $size->() if $turn == 100;
}

is(told('has another password'), 200, 'changes');

SKIP: {
    skip('a sanitizer keeps what is freed', 1)
        if `$ENV{TEST_NGINX_BINARY} -V 2>&1` =~ /-fsanitize/;
    cmp_ok($size->() - $first, '<=', 50, 'pages');
}

connected(2);



=== TEST 7: a server that has forgotten AUTH
--- before
our $port = fake(replies => {
    EVALSHA => "-NOAUTH Authentication required.\r\n",
    AUTH    => ["+OK\r\n",
                "-ERR unknown command 'AUTH', with args beginning with: 'S3cond'"
                . "\r\n", "-READONLY S3cond\r\n", "+OK\r\n"],
});
$ENV{TEST_NGINX_FAKE} = $port;
file("F1rst\n");
--- http_config
cred_registry  redis://127.0.0.1:$TEST_NGINX_FAKE password_file=$TEST_NGINX_DIR/password;
--- config
location /apiops/ { cred_delete apinizer; }
--- script
sub sent {
    my ($line) = @_;
    return scalar grep { $_ eq $line } split /\n/, join "\n", fake_log($main::port);
}

file("S3cond\n");
answer_is(del('api-user'), 'refused', failure(503));

# with each request, but not each second time, the file is read again

ok(wait_for(sub { del('api-user'); sent('AUTH S3cond') }),
   'AUTH with what the file has now');
ok(tells('refused the password in'), 'it is told that this was refused');
is(told('S3cond|F1rst'), 0, 'without the password');

file("Th1rd\n");
ok(wait_for(sub { del('api-user'); sent('AUTH Th1rd') }),
   'and again');
ok(tells('accepted the password in'), 'accepted');
is(sent('(connected)'), 1, 'on the same connection');
is(told('S3cond|F1rst|Th1rd'), 0, 'no password');



=== TEST 8: each level asks the sentinels with its own password
--- before
our $sentinel = fake(replies => {
    SENTINEL => resp('127.0.0.1', redis_port('registry')),
});
$ENV{TEST_NGINX_FAKE} = $sentinel;
for my $name (qw(first second)) {
    file("of-$name\n", "$ENV{TEST_NGINX_DIR}/$name");
}
--- http_config
cred_registry  $TEST_NGINX_REGISTRY;
--- config
location ~ /first  { cred_delete apinizer;
                     cred_registry redis-sentinel://127.0.0.1:$TEST_NGINX_FAKE#main
                                   sentinel_password_file=$TEST_NGINX_DIR/first; }
location ~ /second { cred_delete apinizer;
                     cred_registry redis-sentinel://127.0.0.1:$TEST_NGINX_FAKE#main
                                   sentinel_password_file=$TEST_NGINX_DIR/second; }
--- script
answer_is(del($_, token => 'nobody'), $_, failure(401)) for qw(first second);
for my $name (qw(first second)) {
    ok(scalar(grep { $_ eq "AUTH of-$name" } fake_log($main::sentinel)), $name);
}
