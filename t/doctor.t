# "cred doctor" finds nothing in a healthy system, and each of these faults in
# one that has it alone: its name, its sentence, and no other one.

use CredTest redis => [qw(production staging)];
use CredTest::Certs;
use CredTest::Command;
use CredTest::Redis;
use CredTest::Replica;
use CredTest::Stub;
use POSIX ();

my $dir = temp_dir();
my $root = $> == 0;
my $user = $root ? $ENV{TEST_NGINX_WORKER_USER} : getpwuid($>);
my $conf = "$dir/doctor.conf";
my $nginx = "$ENV{TEST_NGINX_BINARY} -p $dir -e stderr";

redis_start('registry', '--appendonly', 'yes', '--appendfsync', 'always');
redis_start('other');

my $managed = web(sub { [401, [], ''] });

certificate('good', names => 'DNS:localhost,IP:127.0.0.1');
certificate('expired', names => 'DNS:localhost', expired => 1);
certificate('foreign', names => 'DNS:localhost', by => 'stranger');
certificate('named', names => 'DNS:redis.test');

my ($commands, $environment_commands, $gateway_commands) = acl_lines();
my $since = POSIX::floor(time) - 3600;


# The lines of an ACL in doc/security.md: of the registry, of an environment, of a gateway

sub acl_lines {
    my ($acl) = slurp('doc/security.md') =~ /^Users of an ACL need(.*?)^All of these/ms;
    my @lines = $acl =~ /ACL SETUSER (?:cred|gateway) on >SECRET (.*?)\n\n/sg;
    return map { join ' ', split ' ' } @lines;
}


# the healthy system

my $deployed = <<'DATA';
HSET {cred}:apinizer:credential:MyProject:api-user owner alice revision 7
SADD {cred}:apinizer:grants:MyProject:api-user API_PROXY:orders
SADD {cred}:apinizer:credentials:MyProject api-user
DATA

# what has another password is told to have none

sub unlock {
    my ($name) = @_;

    for my $password (qw(secret other)) {
        return if redis($name, 'PING') eq 'PONG';
        local $Redis{$name}{args} = ['--requirepass', $password];
        redis($name, 'CONFIG', 'SET', 'requirepass', '');
    }
}


sub healthy {
    for my $name (qw(registry production staging other)) {
        unlock($name);
        redis($name, @$_) for ['REPLICAOF', 'NO', 'ONE'],
            ['CONFIG', 'SET', 'maxmemory', 0],
            ['CONFIG', 'SET', 'min-replicas-to-write', 0], ['FLUSHALL'],
            ['CONFIG', 'SET', 'maxmemory-policy', 'noeviction'],
            ['ACL', 'DELUSER', 'nginx'];
    }

    redis('registry', 'CONFIG', 'SET', 'appendfsync', 'always');

    if (redis('registry', 'CONFIG', 'GET', 'appendonly') ne 'appendonly yes') {
        redis('registry', 'CONFIG', 'SET', 'appendonly', 'yes');
    }

    chmod 0777, map { redis_socket($_) } qw(registry production staging);

    my @errors = (redis_load('registry', <<'DATA'),
HSET {cred}:environments production $TEST_NGINX_PRODUCTION_TCP
HSET {cred}:environments staging $TEST_NGINX_STAGING
HSET {cred}:apinizer:token:sha256(TOKEN) subject alice
HSET {cred}:iam:token:sha256(TOKEN) subject alice scope domain-1
SADD {cred}:iam:credentials:domain-1 key
HSET {cred}:iam:credential:domain-1:key owner alice
HSET {cred}:apinizer:scope:MyProject description x
HSET {cred}:apinizer:members:MyProject alice manage bob view
DATA
        map { redis_load($_, $deployed) } qw(registry production staging));
    die "@errors" if @errors;

    write_conf();
    password("secret\n", 0600);
}


sub write_conf {
    my (%args) = @_;

    my %is = (load => "load_module $ENV{TEST_NGINX_LOAD_MODULES};",
              registry => "cred_registry $ENV{TEST_NGINX_REGISTRY_TCP};",
              location => 'cred_delete apinizer;', http => '', server => '',
              %args);

    open my $out, '>', $conf or die $!;
    print $out <<"CONF";
user       $user;
pid        $dir/doctor.pid;
error_log  stderr;
$is{load}
@{[ events(64) ]}
http {
    access_log  off;
    client_body_temp_path  $dir/body;
    proxy_temp_path        $dir/proxy;
    fastcgi_temp_path      $dir/fastcgi;
    uwsgi_temp_path        $dir/uwsgi;
    scgi_temp_path         $dir/scgi;
    $is{registry}
    $is{http}
    server {
        listen  $ENV{TEST_NGINX_PORT};
        $is{server}
        location /apiops/ { $is{location} }
    }
}
CONF
    close $out;
}


# the password file, which belongs to the workers

sub password {
    my ($text, $mode) = @_;

    open my $out, '>', "$dir/password" or die $!;
    print $out $text;
    close $out;
    chmod $mode, "$dir/password";
    chown((getpwnam((split ' ', $user)[0]))[2], -1, "$dir/password") if $root;
}


sub registry { redis('registry', words($_[0])) }

sub environment { registry("HSET {cred}:environments staging $_[0]") }


# a user of the registry or an environment, whom nginx takes

sub acl {
    my ($name, @rules) = @_;

    redis($name, 'ACL', 'SETUSER', 'nginx', 'reset', 'on', '>secret', @rules);

    my $url = 'redis://nginx:secret@127.0.0.1:' . redis_port($name);
    $name eq 'registry' ? write_conf(registry => "cred_registry $url;")
                        : environment($url);
}


sub all { grep { !/^>/ } split ' ', $_[0] }


# pending in an environment for an hour

sub pending {
    my ($environment) = @_;

    registry("ZADD {cred}:pending:$environment 1 apinizer:MyProject:x:0:00ff");
    registry("SADD {cred}:pending $environment");
    registry("HSET {cred}:operation:00ff api apinizer created_at ${since}000");
}


# a TLS port of staging

sub secure {
    my ($cert) = @_;

    write_conf(http => "cred_ssl_trusted_certificate $ENV{TEST_NGINX_CERTS}/ca.crt;");
    environment(redis_secure('staging', $cert));
}


# an nginx that is a gateway of staging alone

sub gateway_conf {
    my ($url) = @_;
    write_conf(registry => "cred_environment $url;", location => 'cred_access apinizer;');
}


sub gateway_acl {
    redis('staging', 'ACL', 'SETUSER', 'nginx', 'reset', 'on', '>secret', @_);
    gateway_conf('redis://nginx:secret@127.0.0.1:' . redis_port('staging'));
}


# an environment with a connector, which sends a secret; its lines

sub connector {
    my ($url, %args) = @_;

    open my $out, '>', "$dir/secret" or die $!;
    print $out "secret\n";
    close $out;
    chmod 0600, "$dir/secret";

    write_conf(http => "cred_ssl_trusted_certificate $ENV{TEST_NGINX_CERTS}/ca.crt;"
                       . "cred_connector 'system-1' { url $url; success 204;"
                       . 'request DELETE "/credentials/{target}";'
                       . "header X-Secret file=secret; @{[ $args{lines} // '' ]} }");

    registry('HSET {cred}:environments managed connector:system-1');
    registry('HSET {cred}:apinizer:credential:MyProject:api-user target:managed t1');
    registry('HSET {cred}:iam:credential:domain-1:key target:managed t2');
}

sub managed { connector($managed->url, @_) }


# a clock that is wrong here

sub wrong_clock {
    mkdir "$dir/bin";
    open my $out, '>', "$dir/bin/date" or die $!;
    print $out "#!/bin/sh\nexec /bin/date -d '5 seconds ago' \"\$@\"\n";
    close $out;
    chmod 0755, "$dir/bin/date";
}


# Faults: the check that finds it, its sentence, and what plants it.  A note is
# no fault for the status; "root" is for what only root can plant; other
# arguments are those of cred_run()

my @faults = (
    [nginx => qr/nginx -t fails: unknown directive "nonsense" in \S+doctor.conf:\d+/,
        sub { write_conf(http => 'nonsense;') }],
    [module => qr/the module is not loaded: unknown directive "cred_registry"/,
        sub { write_conf(load => '') }],
    ['no-registry' => qr/the configuration of nginx has no cred_registry/,
        sub { write_conf(registry => '', location => '') }],
    ['no-registry' => qr/nginx -t fails: no "cred_registry" for "cred_delete"/,
        sub { write_conf(registry => '') }],
    ['registry-unreachable' => qr/cannot connect: .*Connection refused/,
        sub { write_conf(registry => 'cred_registry redis://127.0.0.1:' . free_port() . ';') }],
    ['registry-password' => qr/refuses the password \(NOAUTH/,
        sub { redis('registry', 'CONFIG', 'SET', 'requirepass', 'secret') }],
    ['registry-password' => qr/refuses the password \(WRONGPASS/,
        sub {
            redis('registry', 'CONFIG', 'SET', 'requirepass', 'other');
            write_conf(registry => "cred_registry $ENV{TEST_NGINX_REGISTRY_TCP} "
                                   . 'password_file=password;');
        }],
    ['registry-replica' => qr/is a replica of 127\.0\.0\.1:\d+, and is refused/,
        sub { redis('registry', 'REPLICAOF', '127.0.0.1', redis_port('other')) }],
    ['registry-command' => qr/lacks \+getset \+hsetnx \+evalsha$/,
        sub { acl('registry', all($commands), '+config|get', '+scan', '+type',
                  '+hkeys', '+hlen', '+zcard', '+zrange', '+sscan',
                  '-hsetnx', '-getset', '-evalsha') }],
    ['registry-command' => qr/lacks \+wait$/,
        sub {
            acl('registry', '~*', '+@all', '-wait');
            write_conf(registry => 'cred_registry redis://nginx:secret@127.0.0.1:'
                                   . redis_port('registry')
                                   . '; cred_registry_wait 1 1s;');
        }],
    ['registry-version' => qr/does not know WAITAOF, which cred_registry_wait asks for/,
        sub {
            write_conf(http => 'cred_registry_wait 1 1s aof;');
        }, waitaof => 0],
    ['registry-keys' => qr/may not use keys of the prefix \{cred\}/,
        sub { acl('registry', '~cred:*', '+@all') }],
    ['registry-keys' => qr/may not use all keys of the prefix \{cred\}/,
        sub { acl('registry', '+@all', map { "~{cred}:$_" } qw(none env* apinizer:* iam:* pending*)) }],
    [aof => qr/has no AOF/,
        sub { redis('registry', 'CONFIG', 'SET', 'appendonly', 'no') }],
    [fsync => qr/has appendfsync everysec, so a loss of power/,
        sub { redis('registry', 'CONFIG', 'SET', 'appendfsync', 'everysec') },
        level => 'note'],
    ['registry-eviction' => qr/the registry .* has the maxmemory-policy allkeys-lru/,
        sub { redis('registry', 'CONFIG', 'SET', 'maxmemory-policy', 'allkeys-lru') }],
    ['registry-full' => qr/the registry \S+ is full, so deletes are answered with 503 \(OOM/,
        sub { redis('registry', 'CONFIG', 'SET', 'maxmemory', 1) }],
    ['registry-replicas' => qr/lacks replicas, so deletes are answered with 503 \(NOREPLICAS/,
        sub { redis('registry', 'CONFIG', 'SET', 'min-replicas-to-write', 1) }],
    ['registry-disk' => qr/cannot save to its disk, so deletes are answered with 503 \(MISCONF/,
        sub { redis_full_disk('registry') },
        after => sub { redis_empty_disk('registry') }],
    ['environment-full' => qr/"staging" is full, so gateways get no lease/,
        sub { redis('staging', 'CONFIG', 'SET', 'maxmemory', 1) }],
    ['environment-replicas' => qr/"staging" lacks replicas, so what is deleted stays pending there, and gateways get no lease \(NOREPLICAS/,
        sub { redis('staging', 'CONFIG', 'SET', 'min-replicas-to-write', 1) }],
    ['environment-disk' => qr/"staging" cannot save to its disk, so what is deleted stays pending there, .* \(MISCONF/,
        sub { redis_full_disk('staging') },
        after => sub { redis_empty_disk('staging') }],
    ['registry-type' => qr/the key "\{cred\}:audit" of the registry \S+ is no stream, so deletes are answered with 503/,
        sub { registry('DEL {cred}:audit'); registry('SET {cred}:audit x') }],
    ['registry-type' => qr/the key "\{cred\}:pending" of the registry \S+ is no set/,
        sub { registry('DEL {cred}:pending'); registry('SET {cred}:pending x') }],
    ['registry-type' => qr/the key "\{cred\}:environments" of the registry \S+ is no hash/,
        sub { registry('DEL {cred}:environments'); registry('SET {cred}:environments x') }],
    ['environment-type' => qr/the key "\{cred\}:gateways" of the environment "staging" is no hash, so what is deleted stays pending/,
        sub { redis('staging', 'SET', '{cred}:gateways', 'x') }],
    [undeployed => qr/the apinizer credential "api-user" of "MyProject" is registered with revision 7, and was undeployed in "staging" at 10$/,
        sub { redis('staging', 'SET', '{cred}:apinizer:tombstone:MyProject:api-user', 10) }],
    ['no-environments' => qr/no environment is registered with the prefix "\{cred\}", so deletes/,
        sub { registry('DEL {cred}:environments') }],
    ['environment-url' => qr/the URL of the environment "staging" is malformed \(no host\)/,
        sub { environment('redis://:p/ss@127.0.0.1') }],
    ['environment-url' => qr/malformed \(neither "redis:/,
        sub { environment('http://127.0.0.1') }],
    ['environment-unreachable' => qr/"staging" is not reached from here \(cannot connect: .*refused\)/,
        sub { environment('redis://127.0.0.1:' . free_port()) }],
    ['environment-unreachable' => qr/not reached from here \(.*Protocol error/,
        sub { environment('redis://127.0.0.1:' . fake(replies => {}, greeting => "HTTP/1.1 400\r\n\r\n")) }],
    ['environment-unreachable' => qr/no answer within 5 seconds/,
        sub { redis_pause('staging') }, words => ['--timeout', 5],
        after => sub { redis_resume('staging') }],
    ['environment-password' => qr/"staging" refuses the password \(WRONGPASS/,
        sub { environment('redis://:wrong@127.0.0.1:' . redis_port('staging'));
              redis('staging', 'CONFIG', 'SET', 'requirepass', 'secret') }],
    ['environment-replica' => qr/"staging" is a replica of 127\.0\.0\.1:\d+/,
        sub { redis('staging', 'REPLICAOF', '127.0.0.1', redis_port('other')) }],
    ['environment-db' => qr/"staging" has no database 99/,
        sub { environment(redis_tcp('staging') . '/99') }],
    ['environment-registry' => qr/"staging" is the registry itself/,
        sub { environment(redis_tcp('registry')) }],
    ['environment-prefix' => qr/"staging" credentials are deployed with the prefix "\{cred\}", and deletes look for "other"/,
        sub { environment(redis_tcp('staging') . '?prefix=other') }],
    ['environment-database' => qr/is deployed in database 3, while there are keys in 0/,
        sub { environment(redis_tcp('staging') . '/3') }],
    ['environment-empty' => qr/in the environment "staging" no credential of the registry/,
        sub { redis('staging', 'FLUSHALL') }, level => 'note'],
    ['environment-eviction' => qr/"staging" has the maxmemory-policy volatile-ttl/,
        sub { redis('staging', 'CONFIG', 'SET', 'maxmemory-policy', 'volatile-ttl') }],
    ['environment-command' => qr/"staging" lacks \+publish \+setex$/,
        sub { acl('staging', all($environment_commands), '+scan', '+type', '-publish', '-setex') }],
    ['environment-keys' => qr/"staging" may not use keys of the prefix/,
        sub { acl('staging', '~cred:*', '+@all') }],
    ['environment-keys' => qr/"staging" may not use all keys of the prefix/,
        sub { acl('staging', '~{cred}:*', '+@all') }],
    ['environment-certificate' => qr/"staging" is not good \(certificate verify failed: 10:certificate has expired/,
        sub { secure('expired') }],
    ['environment-certificate' => qr/"staging" is not good \(certificate verify failed: (?:19|20|21):/,
        sub { secure('foreign') }],
    ['environment-certificate' => qr/"staging" is not good \(certificate verify failed: 62:/,
        sub { secure('named') }],
    ['environment-tls' => qr/"staging" does not speak TLS/,
        sub { environment('rediss://localhost:' . redis_port('staging')) },
        words => ['--timeout', 5]],
    ['environment-connector' => qr/"managed" names the connector system-1, which the configuration of nginx does not have/,
        sub { managed(); write_conf() }],
    ['environment-url' => qr/the URL of the environment "staging" is malformed \(invalid name of a connector\)/,
        sub { environment('connector:a/b') }],
    ['connector-unused' => qr/no environment has the cred_connector system-1 at \S+doctor.conf:\d+/,
        sub { managed(); registry('HDEL {cred}:environments managed') },
        level => 'note'],
    ['connector-target' => qr/1 of 2 credentials that were looked at, such as the iam credential "key" of "domain-1", have no field "target:managed"/,
        sub { managed(); registry('HDEL {cred}:iam:credential:domain-1:key target:managed') }],
    ['secret-file-open' => qr/everybody on this machine can read the secret of a cred_connector in \S+\/secret$/,
        sub { managed(); chmod 0644, "$dir/secret" }],
    ['connector-plain' => qr/the cred_connector system-1 at \S+:\d+ sends a secret by http to another host/,
        sub { connector('http://0.0.0.0:' . $managed->port) }, level => 'note'],
    ['connector-unreachable' => qr/the cred_connector system-1 at \S+ is not reached from here \(.*connect/,
        sub { connector('http://127.0.0.1:' . free_port()) }],
    ['connector-http' => qr/does not speak HTTP as its url says/,
        sub { connector('http://127.0.0.1:' . fake(replies => {}, greeting => "SSH-2.0-none\r\n")) }],
    ['connector-tls' => qr/does not speak TLS as its url says/,
        sub { connector('https://127.0.0.1:' . fake(replies => {}, greeting => "HTTP/1.1 400\r\n\r\n")) }],
    ['connector-certificate' => qr/the certificate of the cred_connector system-1 at \S+ is not good/,
        sub { connector(redis_secure('staging', 'expired') =~ s/^rediss/https/r) }],
    ['scope-members' => qr/the apinizer scope "Empty" has no members/,
        sub { registry('HSET {cred}:apinizer:scope:Empty description x') }],
    ['scope-missing' => qr/the apinizer scope "Other" has members and does not exist/,
        sub { registry('HSET {cred}:apinizer:members:Other alice manage') }],
    ['member-right' => qr/the right of "alice" in the apinizer scope "MyProject" is "Manage"/,
        sub { registry('HSET {cred}:apinizer:members:MyProject alice Manage') }],
    ['token-hash' => qr/the token apinizer YOUR_TOKEN is not known by 64 hex digits/,
        sub { registry('HSET {cred}:apinizer:token:YOUR_TOKEN subject alice') }],
    ['token-subject' => qr/the token apinizer [0-9a-f]{12}\.\.\. has no subject/,
        sub { registry('HSET {cred}:apinizer:token:sha256(x) user alice') }],
    ['token-type' => qr/the token apinizer [0-9a-f]{12}\.\.\. is a string and no hash/,
        sub { registry('SET {cred}:apinizer:token:sha256(x) alice') }],
    ['token-expired' => qr/has expired/,
        sub { registry("HSET {cred}:apinizer:token:sha256(x) subject a expires_at $since") },
        level => 'note'],
    ['token-disabled' => qr/is disabled/,
        sub { registry('HSET {cred}:apinizer:token:sha256(x) subject a enabled 0') },
        level => 'note'],
    ['token-scope' => qr/the token thousandeyes \S+ is of the scope "11", which does not exist/,
        sub { registry('HSET {cred}:thousandeyes:token:sha256(x) subject a scope 11') }],
    ['token-scope' => qr/the token deepset \S+ has no scope/,
        sub { registry('HSET {cred}:deepset:token:sha256(x) subject a') }],
    ['type' => qr/the key "\{cred\}:apinizer:members:List" is a list and no hash/,
        sub { registry('RPUSH {cred}:apinizer:members:List x') }],
    ['index' => qr/the index of the apinizer scope "MyProject" has "gone", and there is no such/,
        sub { registry('SADD {cred}:apinizer:credentials:MyProject gone') }],
    ['scope-environment' => qr/the apinizer scope "MyProject" concerns the environment "stagin", which is not registered/,
        sub { registry('SADD {cred}:apinizer:environments:MyProject production stagin') }],
    ['pending-old' => qr/1 undeployments are pending in the environment "staging", the oldest for \d+m/,
        sub { pending('staging') }],
    ['pending-forgotten' => qr/1 undeployments are pending in the environment "staging", which "\{cred\}:pending" lacks, so/,
        sub { registry('SREM {cred}:pending staging');
              registry("ZADD {cred}:pending:staging $since apinizer:MyProject:x:0:1") }],
    ['pending-unregistered' => qr/1 undeployments are pending for the environment "gone", which is not registered/,
        sub { pending('gone') }],
    ['gateway-lease' => qr/the gateway "host 1" in the environment "staging" has had no lease for/,
        sub { redis('staging', 'HSET', '{cred}:gateways', 'host 1', "2000 0-0 0-0 ${since}000 1") },
        level => 'note'],
    ['registry-certificate' => qr/the certificate of the registry localhost:\d+\/0 is not good/,
        sub { write_conf(registry => 'cred_registry ' . redis_secure('registry', 'foreign') . ';') }],
    ['gateway-unreachable' => qr/the cred_environment \S+ is not reached from here/,
        sub { gateway_conf('redis://127.0.0.1:' . free_port()) }],
    ['gateway-registry' => qr/the cred_environment \S+ is a registry, and gives no lease/,
        sub { gateway_conf(redis_tcp('registry')) }],
    ['gateway-replica' => qr/the cred_environment \S+ is a replica/,
        sub { redis('staging', 'REPLICAOF', '127.0.0.1', redis_port('other'));
              gateway_acl(all($gateway_commands)) }],
    ['gateway-full' => qr/the cred_environment \S+ is full, and gives no lease/,
        sub { gateway_conf(redis_tcp('staging'));
              redis('staging', 'CONFIG', 'SET', 'maxmemory', 1) }],
    ['gateway-replicas' => qr/the cred_environment \S+ lacks replicas, so it gives no lease \(NOREPLICAS/,
        sub { gateway_conf(redis_tcp('staging'));
              redis('staging', 'CONFIG', 'SET', 'min-replicas-to-write', 1) }],
    ['gateway-disk' => qr/the cred_environment \S+ cannot save to its disk, so it gives no lease \(MISCONF/,
        sub { gateway_conf(redis_tcp('staging')); redis_full_disk('staging') },
        after => sub { redis_empty_disk('staging') }],
    ['gateway-type' => qr/the key "\{cred\}:undeployments" of the cred_environment \S+ is no stream, so it gives no lease/,
        sub { gateway_conf(redis_tcp('staging'));
              redis('staging', 'DEL', '{cred}:undeployments');
              redis('staging', 'SET', '{cred}:undeployments', 'x') }],
    ['gateway-command' => qr/the user of the cred_environment \S+ lacks \+hset \+xadd$/,
        sub { gateway_acl(all($gateway_commands), '-hset', '-xadd') }],
    ['gateway-password' => qr/the cred_environment \S+ refuses the password/,
        sub { gateway_acl(all($gateway_commands), 'resetpass') }],
    [return => qr/the location at \S+doctor.conf:\d+ has "return"/,
        sub { write_conf(location => 'cred_delete apinizer; return 204;') }],
    [return => qr/the server at \S+doctor.conf:\d+ has "return"/,
        sub { write_conf(server => 'return 301 https://$host$request_uri;') }],
    [clock => qr/are \d{4,} ms apart/, sub { wrong_clock() },
        env => { PATH => "$dir/bin:$ENV{PATH}" }],
    ['registry-socket' => qr/the worker's user \w+ may not open the socket of the registry/,
        sub {
            write_conf(registry => "cred_registry $ENV{TEST_NGINX_REGISTRY};");
            chmod 0700, redis_socket('registry');
        }, root => 1],
    ['environment-socket' => qr/may not open the socket of the environment "staging"/,
        sub { chmod 0700, redis_socket('staging') }, root => 1],
    ['password-file' => qr/user \w+ cannot read the password file \S+password/,
        sub {
            redis('registry', 'CONFIG', 'SET', 'requirepass', 'secret');
            write_conf(registry => "cred_registry $ENV{TEST_NGINX_REGISTRY_TCP} password_file=password;");
            chown 0, 0, "$dir/password";
        }, root => 1],
    ['password-file-open' => qr/everybody on this machine can read the password file/,
        sub {
            redis('registry', 'CONFIG', 'SET', 'requirepass', 'secret');
            write_conf(registry => "cred_registry $ENV{TEST_NGINX_REGISTRY_TCP} password_file=password;");
            chmod 0644, "$dir/password";
        }],
    ['registry-sentinel' => qr/sentinel/,
        sub {
            write_conf(registry => 'cred_registry redis-sentinel://127.0.0.1:'
                                   . redis_port('other') . '#main;');
        }],
);


sub doctor {
    my (%args) = @_;

    return cred_run({ bare => 1, env => $args{env} }, 'doctor', '-c', $conf,
                    '--nginx', $args{nginx} // $nginx, @{ $args{words} || [] });
}


sub findings { JSON::PP->new->utf8->decode($_[0]{out}) }


healthy();
my $got = doctor();
is("$got->{status} $got->{out}$got->{err}", "0 nothing is wrong\n", 'healthy');
$got = doctor(words => ['--json']);
is("$got->{status} $got->{out}$got->{err}", "0 []\n", 'healthy, as JSON');


# what a user of that line may do is enough

acl('registry', all($commands));
pending('staging');
environment(redis_tcp('registry'));
$got = doctor(words => ['--json']);
is_deeply([ sort map { $_->{check} } @{ findings($got) } ], ['data', 'environment-registry', 'pending-old'],
          'these rights are enough, but for looking at data');
healthy();
acl('registry', all($commands));
$got = doctor(words => ['--json']);
is_deeply([ map { "$_->{level} $_->{check}" } @{ findings($got) } ], ['unknown data'], 'which is unknown');
is($got->{status}, 2, 'and no fault');

$got = doctor(words => ['--json', '-u', redis_tcp('registry')]);
is("$got->{status} $got->{out}", "0 []\n", 'by another user they are');

secure('good');
$got = doctor(words => ['--json']);
is("$got->{status} $got->{out}$got->{err}", "0 []\n", 'healthy, by TLS');

healthy();
gateway_acl('%R~{cred}:*', '~{cred}:gateways', '~{cred}:none', '~{cred}:undeployments',
            grep { /^[+&]/ } all($gateway_commands));
$got = doctor(words => ['--json']);
is("$got->{status} $got->{out}$got->{err}", "0 []\n", 'healthy, a gateway with its rights');

healthy();
managed(lines => 'header Authorization "Bearer {target}"; gone 404 x; verify GET "/{id}";');
$got = doctor(words => ['--json']);
is("$got->{status} $got->{out}$got->{err}", "0 []\n", 'healthy, with a connector');
is(join(' ', map { "@{ $_->{headers}{'x-secret'} // ['no secret'] }" } $managed->requests),
   'no secret', 'which is asked without its secret');

# what needs no target, and may be plain

write_conf(http => 'cred_connector hook { webhook http://0.0.0.0:' . $managed->port
                   . '/x; secret file=hook; }');
open my $hook, '>', "$dir/hook" or die $!;
print $hook 'whsec_', 'MTIzNDU2Nzg5MDEyMzQ1Njc4OTAxMjM0', "\n";
close $hook;
chmod 0600, "$dir/hook";
registry("HSET {cred}:environments managed connector:hook");
registry('HDEL {cred}:iam:credential:domain-1:key target:managed');
$got = doctor(words => ['--json']);
is("$got->{status} $got->{out}$got->{err}", "0 []\n", 'healthy, with a webhook');
$got = cred_run({}, 'doctor', '--json');
is("$got->{status} $got->{out}$got->{err}", "0 []\n", 'healthy, without nginx');

$got = doctor(nginx => 'no-such-nginx');
is($got->{status}, 2, 'without nginx');
like($got->{out}, qr/^unknown: nginx: there is no command no-such-nginx/, 'why');


# the lists of commands are those of doc/security.md

my $script = slurp('util/cred');
for (['registry_commands', $commands], ['environment_commands', $environment_commands],
     ['gateway_commands', $gateway_commands])
{
    my ($name, $line) = @$_;
    my ($list) = $script =~ /^$name='(.*?)'/ms;
    is_deeply([ sort 'eval', 'evalsha', 'ping', 'role', 'select', split ' ', $list ],
              [ sort grep { $_ ne 'subscribe' } $line =~ /\+(\w+)/g ],
              "$name is that of the page");
}


for my $fault (@faults) {
    my ($check, $sentence, $plant, %args) = @$fault;
    my $level = $args{level} // 'wrong';
    my $name = "$check: " . ($sentence =~ s/^\(\?\^:(.*)\)$/$1/r);

    SKIP: {
        skip "$name: not root", 3 if $args{root} && !$root;

        healthy();

        skip "$name: it knows WAITAOF", 3
            if exists $args{waitaof}
               && redis('registry', 'WAITAOF', 0, 0, 1) !~ /unknown command/;

        $plant->();

        $got = doctor(%args, words => ['--json', @{ $args{words} || [] }]);
        $args{after}->() if $args{after};

        my $findings = eval { findings($got) } // [{ check => $got->{out} }];
        my ($found) = grep { $_->{check} eq $check } @$findings;

        like($found->{what} // '', $sentence, $name);
        is_deeply([ sort map { "$_->{level} $_->{check}" } @$findings ],
                  [ "$level $check" ],
                  "$name: alone") or diag($got->{out} . $got->{err});
        is($got->{status}, $level eq 'wrong' ? 1 : 0, "$name: status");
    }
}


# who may see the state

healthy();

for ('', 'deny all;', 'auth_basic x;') {
    write_conf(location => "cred_delete apinizer; } location /status { cred_status; $_");
    $got = doctor(words => ['--json']);

    $_ ? is($got->{out}, "[]\n", "status: $_")
       : like($got->{out}, qr/"check":"status","what":"cred_status at \S+:\d+ is open to everybody"/,
              'status: open to everybody');
}


# an operator's machine, with an nginx that has nothing to do with it

healthy();
write_conf(registry => '', location => '');
registry('HSET {cred}:apinizer:scope:Empty description x');
$got = cred_run({ bare => 1, env => { CRED_REGISTRY => redis_tcp('registry'),
                                      CRED_NGINX => "$nginx -c $conf" } }, 'doctor', '--json');
is_deeply([ sort map { "$_->{level} $_->{check}" } @{ findings($got) } ],
          ['note no-registry', 'wrong scope-members'], 'CRED_REGISTRY is looked at without nginx');


# of what there are many, some are named

healthy();
registry("HSET {cred}:apinizer:scope:s$_ x y") for 1 .. 50;
$got = findings(doctor(words => ['--json']));
is(@$got, 21, 'twenty of one kind');
is("$got->[20]{level} $got->[20]{check} $got->[20]{what}", 'note scope-members 30 more of these are not shown',
   'and how many more');

healthy();
registry("HSET {cred}:apinizer:token:sha256(x)$_ subject a") for "\e[31m", "<\"'>";
$got = doctor();
unlike($got->{out}, qr/[^\n -~]/, 'nothing strange on a terminal');
