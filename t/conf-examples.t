# Each of conf-examples runs as it is, but for ports and the module's path.

use CredTest;

my $dir = temp_dir();
my $data = slurp('conf-examples/data/apinizer.redis');
my $copies = join '', grep { /^\w+ \S+:(?:credentials?|grants):/ }
                      $data =~ /(.*\n)/g;
my $path = '/apiops/projects/MyProject/credentials/api-user/';

redis('registry', 'HSET', '{cred}:environments', 'production',
      redis_tcp('production'), 'staging', redis_url('staging'));

for my $file (glob 'conf-examples/*.conf') {
    my $text = slurp($file);
    my ($port, $backend) = (free_port(), free_port());

    $text =~ s/127\.0\.0\.1:6379/'127.0.0.1:' . redis_port('registry')/ge;
    $text =~ s/127\.0\.0\.1:8080/127.0.0.1:$port/g;
    $text =~ s/127\.0\.0\.1:8081/127.0.0.1:$backend/g;
    $text =~ s{build/ngx_cred_module\.so}{$ENV{TEST_NGINX_LOAD_MODULES}};
    $text =~ s{build/nginx\.pid}{$dir/example.pid};

    open my $out, '>', "$dir/example.conf" or die $!;
    print $out $text;
    close $out;

    is_deeply([ redis_load('registry', $data) ], [], "$file: data");
    redis_load($_, $copies) for qw(production staging);

    my $name = $file =~ tr{/}{-}r;
    my $pid = spawn('nginx', $name, $ENV{TEST_NGINX_BINARY}, '-p', $dir,
                    '-e', 'stderr', '-c', "$dir/example.conf");

    $ENV{TEST_NGINX_PORT} = $port;

    my $other = call('GET', $path);
    my $answer = call('DELETE', $path, ['Authorization: Bearer YOUR_TOKEN']);

    is($other->{status}, $text =~ /proxy_pass/ ? 200 : 404, "$file: GET");
    is($answer->{status}, 200, "$file: DELETE");
    like($answer->{body}, qr/"staging","success":true/, "$file: answer");
    is(redis($_, 'EXISTS', '{cred}:apinizer:credential:MyProject:api-user'), 0,
       "$file: gone from $_") for qw(registry production staging);

    reap($pid, 'QUIT');

    my $log = slurp("$dir/$name.log");
    is_deeply([ CredTest::faults([ split /\n/, $log ]),
                CredTest::reports($log) ], [], "$file: error log");
}

for my $file (glob 'conf-examples/data/*.redis') {
    is_deeply([ redis_load('registry', slurp($file)) ], [], $file);
}
