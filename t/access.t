# A gateway: which keys pass, and what the others are told.

use CredTest;
use CredTest::Delete;
use CredTest::Gateway;

defaults(gateway());

run_tests();


__DATA__

=== TEST 1: a key passes until its credential is deleted
--- script
is(gate('KEY')->{status}, 200, 'it passes');
is(gate('KEY')->{headers}{'x-cache'}, 'HIT', 'the next time from the cache')
    if ok(leased(), 'there is a lease');

answer_is(del('api-user'), 'deleted', everywhere());
is(gate('KEY')->{status}, 401, 'refused');
is(redis('production', 'EXISTS', key_entry('KEY')), 0, 'its entry is gone');
is(redis('registry', 'EXISTS', key_entry('KEY')), 0, 'and that in the registry');
