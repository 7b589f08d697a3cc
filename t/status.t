use CredTest;
use CredTest::Delete;

my %sample = sample();
defaults(%sample, config => $sample{config} . ' location = /status { cred_status; } location = /metrics { cred_status prometheus; } location = /page { cred_status html; }');
run_tests();

__DATA__

=== TEST 1: json
--- script
answer_is(del('api-user'), 'deleted', everywhere());
print STDERR call('GET', '/status')->{body}, "\n";
print STDERR call('GET', '/metrics')->{body}, "\n";
my $p = call('GET', '/page');
print STDERR join "\n", map { "$_: $p->{headers}{$_}" } keys %{ $p->{headers} };
