
# Names in the path, and the keys in Redis which they become.

use CredTest;
use CredTest::Delete;

defaults(sample());

# in a path, and as a component of a key

sub encode { $_[0] =~ s{([^A-Za-z0-9])}{sprintf '%%%02X', ord $1}ger }
sub escape { $_[0] =~ s{([%:])}{sprintf '%%%02X', ord $1}ger }


# a project that alice manages, with one credential, deployed everywhere

sub add {
    my ($project, $username) = @_;
    my ($p, $u) = map { escape($_) } $project, $username;

    redis('registry', 'HSET', "{cred}:apinizer:scope:$p", 'a', 'b');
    redis('registry', 'HSET', "{cred}:apinizer:members:$p", 'alice', 'manage');

    for my $name (qw(registry production staging)) {
        redis($name, 'HSET', "{cred}:apinizer:credential:$p:$u", 'owner', 'a');
        redis($name, 'SADD', "{cred}:apinizer:grants:$p:$u", 'a');
        redis($name, 'SADD', "{cred}:apinizer:credentials:$p", $username);
    }
}


sub deployed {
    my ($project, $username) = map { escape($_) } @_;
    my $names = "$project:$username";

    return join ' ', map {
        redis($_, 'EXISTS', "{cred}:apinizer:credential:$names",
              "{cred}:apinizer:grants:$names")
        . redis($_, 'SISMEMBER', "{cred}:apinizer:credentials:$project", $_[1])
    } qw(registry production staging);
}

run_tests();


__DATA__

=== TEST 1: any name deletes that credential and no other
--- script
my @names = (
    'plain', 'a:b', ':', '::', 'a%3Ab', '%', '%%', '%25', '%3A', 'a%', '{cred}',
    'a b', ' ', ' a ', '+', 'a+b', '..', '...', '.', '~', '*', '?', '#', '&',
    'a=b', '[a-z]', '"', "'", '\\', '\\x00', '$1', '${a}', '<a>', '|', '`', ';',
    ',', '@', 'user@example.com', '%s%n%V', '0', '-1', 'null', 'nil', '^x$',
    "\xc3\xbc", "\xe6\x97\xa5\xe6\x9c\xac", "\xf0\x9f\x94\x91", "e\xcc\x81",
    "\xff", "\xc3", "\xed\xa0\x80", "\x80\x81", "\xc2\xa0", "\xe2\x80\xae",
    'x' x 511, 'y' x 512, "\xc3\xbc" x 256, ':' x 512, '%' x 512,
);

my @projects = ('MyProject', 'a:b', 'a%3Ab', "\xff%:", ':' x 510);
my $n = 0;

for my $name (@names) {
    my $project = $projects[$n++ % @projects];
    my $what = unpack 'H*', length $name > 20 ? substr $name, 0, 5 : $name;
    my ($p, $u) = (encode($project), encode($name));

    # "." and ".." as they are would be another path, and so they are encoded:
    # nginx decodes before it resolves them, which makes them unreachable, and
    # a backend that does neither must not be asked

    if ($name =~ /^\.\.?$/) {
        like(del($u, project => $p)->{status}, qr/^40[04]$/,
             "$what: another path");
        next;
    }

    add($project, $name);
    add($project, "${name}x");
    add($project, "x$name");
    my $answer = del($u, project => $p);
    answer_is($answer, "$what: deleted", everywhere());
    is(deployed($project, $name), '00 00 00', "$what: gone");
    is(deployed($project, $_), '21 21 21', "$what: another stays")
        for "${name}x", "x$name";

    my ($entry) = (audit())[-1];
    is("$entry->{scope}/$entry->{id}", "$project/$name", "$what: audit");
    is(redis('production', 'GET', '{cred}:apinizer:tombstone:'
             . escape($project) . ':' . escape($name)), 0, "$what: tombstone");

    add($project, $name);
}



=== TEST 2: what no credential can be called
--- script
my @before = map { contents($_) } qw(registry production staging);

my @table = (
    # in the path, in the answer
    ['x' x 513, 'x' x 513],
    ['x' x 4000, 'x' x 4000],
    ['%C3%BC' x 257, "\xc3\xbc" x 257],
    ['%01', '\u0001'],
    ['a%0Ab', 'a\nb'],
    ['a%0D%0AX-Injected:%20b', 'a\r\nX-Injected: b'],
    ['%1F', '\u001F'],
    ['%09', '\t'],
    ['%7F', "\x7f"],
);

for (@table) {
    my ($path, $text) = @$_;
    answer_is(del($path), substr($path, 0, 25), failure(400, $text));
}

# nginx refuses these itself

is(del($_)->{status}, 400, $_) for 'a%00b', 'a%', 'a%2', 'a%zz', '%';

# the same id in the registry does not help

for my $id ('x' x 513, "\n") {
    redis('registry', 'HSET', "{cred}:apinizer:credential:MyProject:$id",
          'owner', 'alice');
    answer_is(del(encode($id)), 'registered', failure(400,
              $id eq "\n" ? '\n' : $id));
    redis('registry', 'DEL', "{cred}:apinizer:credential:MyProject:$id");
}

is_deeply([ map { contents($_) } qw(registry production staging) ], \@before,
          'nothing has changed');



=== TEST 3: one pair of names never reaches another
--- script
my @pairs = (['a:b', 'c'], ['a', 'b:c'], ['a%3Ab', 'c'], ['a', 'b%3Ac'],
             ['a:b:c', 'd'], ['a:b', 'c:d'], ['a', 'b:c:d'], ['a%', '3Ab:c'],
             [':', ''], ['', ':'], ['a', ':b'], ['a:', 'b'], ['%', '%'],
             ['%25', '%'], ['%', '%25']);
@pairs = grep { length $_->[0] && length $_->[1] } @pairs;

for my $pair (@pairs) {
    for my $name (qw(production staging)) {
        redis($name, 'DEL', $_)
            for grep { /:apinizer:/ } redis($name, 'KEYS', '*');
    }
    add(@$_) for @pairs;
    my @others = grep { $_ != $pair } @pairs;

    my $answer = del(encode($pair->[1]), project => encode($pair->[0]));
    answer_is($answer, "@$pair", everywhere());
    is(deployed(@$pair), '00 00 00', 'gone');
    is(join(' ', map { deployed(@$_) } @others),
       join(' ', ('21 21 21') x @others), 'and only that');
}



=== TEST 4: no pair of names shows another one's state
--- script
# pending, under both names

add('a:b', 'c');
add('a', 'b:c');
redis('registry', 'HSET', '{cred}:environments', 'staging', 'nonsense');
my @pending = pending(production => undef, staging => 'unreachable');

my $one = del('c', project => 'a:b');
answer_is($one, 'a:b c', @pending);
is(operation(del('c', project => 'a:b')), operation($one), 'resumed');
my $two = del('b:c', project => 'a');
answer_is($two, 'a b:c', @pending);
isnt(operation($two), operation($one), 'another operation');
is(operation(del('b:c', project => 'a')), operation($two), 'resumed');



=== TEST 5: a prefix of one's own
--- http_config
cred_registry $TEST_NGINX_REGISTRY;
cred_prefix "our: %";
--- script
my $deployed = sub {
    redis('registry', 'EXISTS', "$_[0]:apinizer:credential:MyProject:api-user");
};

for my $name (qw(registry production staging)) {
    for my $key (redis($name, 'KEYS', '{cred}*')) {
        redis($name, 'COPY', $key, $key =~ s/\{cred\}/our: %/r);
    }
}

answer_is(del('api-user'), 'deleted', everywhere());
is($deployed->('our: %'), 0, 'gone');
is($deployed->('{cred}'), 1, 'another one stays');
is(scalar(grep { /^\{cred\}:(?!apinizer|environments)/ }
          redis('registry', 'KEYS', '*')), 0, 'no other keys there');
is(audit('our: %:audit'), 1, 'the audit');
--- redis_check
production: EXISTS "our: %:apinizer:credential:MyProject:api-user" => 0
production: EXISTS "our: %:apinizer:tombstone:MyProject:api-user" => 1
production: EXISTS {cred}:apinizer:credential:MyProject:api-user => 1
production: EXISTS {cred}:undeployments => 0
EXISTS "our: %:pending" => 0



=== TEST 6: prefixes in URLs
--- http_config
cred_registry $TEST_NGINX_REGISTRY?prefix=one%20two;
--- script
redis('registry', 'HSET', '{cred}:environments', 'production',
      "$ENV{TEST_NGINX_PRODUCTION}?prefix=p%3a");
for my $key (redis('registry', 'KEYS', '*')) {
    redis('registry', 'RENAME', $key, $key =~ s/\{cred\}/one two/r);
}

for my $key (redis('production', 'KEYS', '*')) {
    redis('production', 'RENAME', $key, $key =~ s/\{cred\}/p:/r);
}

for my $key (redis('staging', 'KEYS', '*')) {
    redis('staging', 'RENAME', $key, $key =~ s/\{cred\}/one two/r);
}

answer_is(del('api-user'), 'deleted', everywhere());
--- redis_check
EXISTS "one two:apinizer:credential:MyProject:api-user" => 0
production: EXISTS p::apinizer:credential:MyProject:api-user => 0
production: GET p::apinizer:tombstone:MyProject:api-user => 7
production: KEYS * =~ ^p::apinizer:credentials:MyProject p::apinizer:tombstone:MyProject:api-user p::connection:\w+ p::undeployments$
production: XLEN p::undeployments => 1
staging: EXISTS "one two:apinizer:credential:MyProject:api-user" => 0
