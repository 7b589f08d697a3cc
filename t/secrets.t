# Passwords of Redis servers stay out of logs and receipts.

use CredTest;

defaults(http_config => 'cred_registry $TEST_NGINX_REGISTRY;
cred_retry_delay 100ms 200ms;',
         config => 'cred_delete apinizer;');

run_tests();

__DATA__

=== TEST 1: a server that repeats what it does not understand
--- before
my $port = fake(replies => { AUTH =>
    "-ERR unknown command 'AUTH', with args beginning with: 'S3cretPass'\r\n" });
redis('registry', 'HSET', '{cred}:environments', 'staging',
      "redis://:S3cretPass\@127.0.0.1:$port");
--- registry
HSET {cred}:apinizer:token:sha256(secret) subject alice
HSET {cred}:apinizer:scope:p description orders
HSET {cred}:apinizer:members:p alice manage
HSET {cred}:apinizer:credential:p:c owner alice
--- script
my $answer = call('DELETE', '/apiops/projects/p/credentials/c/',
                  ['Authorization: Bearer secret']);
like($answer->{body}, qr/"staging","success":false/, 'pending');
ok(wait_for(sub { error_log_text() =~ /refused AUTH: ERR/ }), 'logged');
unlike(error_log_text(), qr/S3cretPass/, 'without the password');

my ($operation) = split /\n/, redis('registry', 'KEYS', '{cred}:operation:*');
ok(wait_for(sub {
    redis('registry', 'HGET', $operation, 'environment:staging') =~ /AUTH: ERR/
}), 'in the receipt, too');
unlike(redis('registry', 'HGET', $operation, 'environment:staging'),
       qr/S3cretPass/, 'without the password');

=== TEST 2: of a password file only the first line counts
--- before
redis('registry', 'CONFIG', 'SET', 'requirepass', 'filepass');
open my $out, '>', temp_dir() . '/password';
print $out "filepass\n# the second line\n";
close $out;
$ENV{TEST_NGINX_PASSWORD_FILE} = temp_dir() . '/password';
--- http_config
cred_registry $TEST_NGINX_REGISTRY password_file=$TEST_NGINX_PASSWORD_FILE;
--- script
my $answer = call('DELETE', '/apiops/projects/p/credentials/c/',
                  ['Authorization: Bearer unknown']);
is($answer->{status}, 401, 'the registry answers');
redis('registry', '--no-auth-warning', '-a', 'filepass', 'CONFIG', 'SET',
      'requirepass', '');
