# Each of conf-examples runs as it is, but for ports and the module's path.

use CredTest;
use CredTest::Certs;

# nginx frees nothing of its regular expressions when it only reads them

$ENV{ASAN_OPTIONS} .= ',detect_leaks=0';

my $dir = temp_dir();
my $data = slurp('conf-examples/data/apinizer.redis');
my $deployed = slurp('conf-examples/data/deployed.redis');
my $path = '/apiops/projects/MyProject/credentials/api-user/';
my $credential = '{cred}:apinizer:credential:MyProject:api-user';

my ($bearer, $basic, $api_key) = ('Authorization: Bearer YOUR_KEY',
                                  'Authorization: Basic '
                                  . 'YXBpLXVzZXI6WU9VUl9QQVNTV09SRA==',
                                  'X-API-Key: YOUR_KEY');
my $monitor = 'Authorization: Basic bW9uaXRvcjpZT1VSX1BBU1NXT1JE';

# what a gateway admits and refuses: path, status, headers

my %gateway = (
    'gateway' => [
        ['/orders/1', 200, $bearer], ['/orders/1', 200, $basic],
        ['/orders/1', 200, $api_key], ['/orders/1', 200, $api_key],
        ['/orders/1', 401], ['/orders/1', 401, 'X-API-Key: OTHER'],
        ['/orders/1', 401, $bearer, $api_key], ['/orders/1', 401, $monitor],
        ['/invoices/1', 403, $api_key], ['/1', 404, $api_key],
    ],
    'gateway-keys' => [
        ['/argument?key=YOUR_KEY', 200], ['/argument?a=b&key=YOUR_KEY', 200],
        ['/argument?key=OTHER', 401], ['/argument', 401],
        ['/argument', 401, $bearer], ['/header', 200, 'X-My-Key: YOUR_KEY'],
        ['/header', 401, 'X-My-Key: OTHER'], ['/header', 401, $api_key],
    ],
    'gateway-satisfy' => [
        ['/', 200, $api_key], ['/', 200, $monitor], ['/', 200, $basic],
        ['/', 401], ['/', 401, 'X-API-Key: OTHER'],
    ],
    'gateway-deletes' => [['/', 200, $api_key], ['/', 401]],
);


redis('registry', 'HSET', '{cred}:environments', 'production',
      redis_tcp('production'), 'staging', redis_url('staging'));

certificate('redis', names => 'DNS:localhost');
certificate('nginx');
redis_secure('registry', 'redis', clients => 'yes');

mkdir "$dir/data";
copy("conf-examples/data/$_", "$dir/data/$_")
    for qw(htpasswd partner.token siem.whsec);

for my $file (glob 'conf-examples/*.conf') {
    my ($name) = $file =~ m{([^/]+)\.conf$};
    my $text = slurp($file);
    my ($port, $backend) = (free_port(), free_port());

    $text =~ s{127\.0\.0\.1:6379/1}{'127.0.0.1:' . redis_port('production')}ge;
    $text =~ s/127\.0\.0\.1:6379/'127.0.0.1:' . redis_port('registry')/ge;
    $text =~ s{rediss://localhost:6380}{redis_tls('registry')}ge;
    $text =~ s{/etc/redis/tls}{$ENV{TEST_NGINX_CERTS}}g;
    $text =~ s/127\.0\.0\.1:8080/127.0.0.1:$port/g;
    $text =~ s/127\.0\.0\.1:8081/127.0.0.1:$backend/g;
    $text =~ s{build/ngx_cred_module\.so}{$ENV{TEST_NGINX_LOAD_MODULES}};
    $text =~ s/events \{\s*\}/events(512)/e;
    $text =~ s{build/nginx\.pid}{$dir/example.pid};

    copy(\$text, "$dir/example.conf");

    is_deeply([ redis_load('registry', $data),
                map { redis_load($_, $deployed) } qw(production staging) ],
              [], "$file: data");

    my @more = $text =~ /cred_connector/ ? qw(partner siem) : ();

    redis('registry', 'HDEL', '{cred}:environments', 'partner', 'siem');
    redis('registry', 'HSET', '{cred}:environments', $_, "connector:$_")
        for @more;
    redis('registry', 'HSET', $credential, 'target:partner',
          '7f0c3f4e-2d0e-4f5c-9a1e-1b2c3d4e5f60') if @more;

    my $pid = spawn('nginx', $name, $ENV{TEST_NGINX_BINARY}, '-p', $dir,
                    '-e', 'stderr', '-c', "$dir/example.conf");

    $ENV{TEST_NGINX_PORT} = $port;

    check_gateway($file, @{ $gateway{$name} })
        if ok(!!$gateway{$name} == $text =~ /cred_access/, "$file: is known");
    check_deletes($file, $text, @more) if $text =~ /cred_delete/;
    check_status($file, $backend) if $text =~ /cred_status/;

    # the key was good before that, in front of whatever deletes

    is(call('GET', '/', [$api_key])->{status}, 401, "$file: refused")
        if $name eq 'gateway-deletes';

    reap($pid, 'QUIT');

    my $log = slurp("$dir/$name.log");
    is_deeply([ CredTest::faults([ split /\n/, $log ]),
                CredTest::reports($log) ], [], "$file: error log");
    unlike($log, qr/YOUR_(?:KEY|PASSWORD|TOKEN)|[0-9a-f]{64}/,
           "$file: no key is in the logs");
}

# the connectors of pages are what nginx takes; names that repeat are others

for my $page ('README.md', glob 'doc/*.md') {
    my $n = 0;

    my $text = join '', map { s/^ {4}//gmr =~ s/^cred_connector \K\S+/'c' . $n++/er }
                        slurp($page) =~ /^ {4}cred_connector .*?(?:\}$|^ {4}\}$)/msg;

    next if $text eq '';

    for my $file ($text =~ /file=([^;]+);/g) {
        copy(\($file =~ /whsec/ ? slurp('conf-examples/data/siem.whsec') : "T\n"),
             "$dir/$file");
        chmod 0600, "$dir/$file";
    }

    copy(\("load_module $ENV{TEST_NGINX_LOAD_MODULES};\n"
           . "pid $dir/page.pid;\n" . events(512)
           . "\nhttp {\nresolver 127.0.0.1;\n$text\n}\n"), "$dir/page.conf");

    my $said = `$ENV{TEST_NGINX_BINARY} -t -p $dir -e stderr -c $dir/page.conf 2>&1`;
    is($?, 0, "$page: $n connectors") or diag $said;
}

for my $file (glob 'conf-examples/data/*.redis') {
    is_deeply([ redis_load('registry', slurp($file)) ], [], $file);
}

# a deployer's script: not over what is newer, or was undeployed since

redis('staging', 'FLUSHALL');

is(deploy(5, 'a b'), 'deployed', 'deploy.lua: where nothing is');
is(redis('staging', 'HGETALL', $credential), 'keys a b owner alice revision 5', 'the credential');
is(redis('staging', 'SMEMBERS', '{cred}:apinizer:grants:MyProject:api-user'), 'API_PROXY:orders', 'its grant');
is(redis('staging', 'SISMEMBER', '{cred}:apinizer:credentials:MyProject', 'api-user'), 1, 'the index');
is(entry($_), 'MyProject:api-user', "the entry of $_") for qw(a b);
is(deploy(4, 'c'), 'older', 'not over a newer one');
is(deploy(10, 'b c'), 'deployed', 'over an older one, of fewer digits');
is(join(' ', entries(qw(a b c))), 'b c', 'entries of keys');
redis('staging', 'SET', '{cred}:apinizer:key:b', 'MyProject:other');
is(deploy(11, 'd'), 'deployed', 'and once more');
is(join(' ', entries(qw(b c d))), 'b d', "but not somebody else's");
redis('staging', 'DEL', $credential);
redis('staging', 'SET', $credential =~ s/:credential:/:tombstone:/r, 12);
is(deploy($_, 'e'), 'undeployed', "undeployed: $_") for 9, 11, 12, 'none';
is(redis('staging', 'EXISTS', $credential), 0, 'nothing is there');
is(deploy(100, 'e'), 'deployed', 'a higher revision');


sub entries { grep { redis('staging', 'EXISTS', "{cred}:apinizer:key:$_") } @_ }

sub entry { redis('staging', 'GET', "{cred}:apinizer:key:$_[0]") }

sub deploy {
    my ($revision, $keys) = @_;
    my @keys = map { $credential =~ s/:credential:/:$_:/r } qw(credential grants);

    return redis('staging', 'EVAL', slurp('conf-examples/deploy.lua'), 5, @keys,
                 '{cred}:apinizer:credentials:MyProject', $credential =~ s/:credential:/:tombstone:/r,
                 '{cred}:apinizer:key:', 'MyProject:api-user', 'api-user', $revision, 'alice', $keys,
                 'API_PROXY:orders');
}


sub check_gateway {
    my ($file, @calls) = @_;

    for (@calls) {
        my ($path, $status, @headers) = @$_;
        is(call('GET', $path, \@headers)->{status}, $status,
           "$file: " . join ' ', $path, @headers);
    }
}


sub check_deletes {
    my ($file, $text, @more) = @_;

    my $other = call('GET', $path);
    my $answer = call('DELETE', $path, ['Authorization: Bearer YOUR_TOKEN']);
    my ($location) = $text =~ m{location /(?:apiops/)? \{(.*?)\}}s;

    is($other->{status}, $location =~ /proxy_pass/ ? 200 : 404, "$file: GET");
    is($answer->{status}, 200, "$file: DELETE");
    like($answer->{body}, qr/"$_","success":true,"message":"Undeployed/,
         "$file: answer: $_") for 'staging', @more;
    is(redis($_, 'EXISTS', $credential), 0, "$file: gone from $_")
        for qw(registry production staging);
}


# on the other port

sub check_status {
    my ($file, $port) = @_;

    local $ENV{TEST_NGINX_PORT} = $port;

    my ($page, $metrics) = map { call('GET', $_) } qw(/status /metrics);

    like($page->{body}, qr/^<!doctype html>/i, "$file: the page");
    like($metrics->{body},
         qr/^cred_deletes_total\{api="apinizer",result="deleted"\} 1$/m,
         "$file: the metrics");
    is(call('DELETE', $path)->{status}, 404, "$file: and nothing else");
}


sub copy {
    my ($from, $to) = @_;
    open my $out, '>', $to or die $!;
    print $out ref $from ? $$from : slurp($from);
    close $out or die $!;
}
