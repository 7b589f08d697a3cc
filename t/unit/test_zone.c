
/*
 * Copyright (C) ngx_cred_module authors
 * SPDX-License-Identifier: BSD-2-Clause
 */


/* the shared memory of a gateway, by one process and by several */


#include <unit.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <ngx_cred_clock.h>
#include <ngx_cred_zone.h>
#include <ngx_cred_zone_memory.h>


#define MB           (1024 * 1024)
#define HOUR         3600000
#define PROCESSES    4
#define STRESS       20000          /* steps of each process */
#define KEYS         3000


static ngx_cycle_t   cycle;
static ngx_str_t     name = ngx_string("test");
static ngx_uint_t    random_state = 1;

static ngx_cred_zone_record_t  got, put;


static ngx_uint_t
next_random(ngx_uint_t n)
{
    random_state = random_state * 6364136223846793005 + 1442695040888963407;

    return (random_state >> 33) % n;
}


static ngx_cred_zone_t *
new_zone(size_t size)
{
    ngx_slab_pool_t  *sp;

    sp = mmap(NULL, size, PROT_READ|PROT_WRITE, MAP_ANON|MAP_SHARED, -1, 0);

    if (sp == MAP_FAILED) {
        printf("Bail out! no memory\n");
        exit(2);
    }

    sp->end = (u_char *) sp + size;
    sp->min_shift = 3;
    sp->addr = sp;

    if (ngx_shmtx_create(&sp->mutex, &sp->lock, NULL) != NGX_OK) {
        printf("Bail out! no mutex\n");
        exit(2);
    }

    ngx_slab_init(sp);

    return ngx_cred_zone_create(sp, &name, &unit_log);
}


static void
free_zone(ngx_cred_zone_t *zone)
{
    ngx_slab_pool_t  *sp;

    sp = zone->shpool;

    (void) munmap(sp, sp->end - (u_char *) sp);
}


static ngx_cred_zone_environment_t *
new_environment(ngx_cred_zone_t *zone, const char *text, ngx_msec_t lease)
{
    ngx_str_t  s, host = ngx_string("host");

    s.data = (u_char *) text;
    s.len = ngx_strlen(text);

    return ngx_cred_zone_environment(zone, &s, lease, &host, &unit_log);
}


static void
set_key(ngx_cred_zone_key_t *key, ngx_uint_t n)
{
    ngx_uint_t  i;

    ngx_memzero(key, sizeof(ngx_cred_zone_key_t));

    for (i = 0; i < NGX_CRED_ZONE_HASH_LEN; i++) {
        n = n * 6364136223846793005 + 1442695040888963407;
        key->hash[i] = (u_char) (n >> 56);
    }
}


/* all of a record follows from "n" */

static void
set_record(ngx_cred_zone_record_t *record, ngx_uint_t n, size_t len)
{
    size_t  i;

    record->state = len ? NGX_CRED_ZONE_KNOWN : NGX_CRED_ZONE_UNKNOWN;
    record->granted = n & 1;
    record->sent = (uint64_t) n << 32 | 1;
    record->seq = (uint64_t) n << 33 | 2;
    record->expires = (uint64_t) n << 34 | 3;
    record->counter = (u_short) n;
    record->len = len;

    for (i = 0; i < len; i++) {
        record->pointer[i] = (u_char) (n + i * 7);
    }
}


static ngx_uint_t
same(ngx_cred_zone_record_t *one, ngx_cred_zone_record_t *two)
{
    return one->state == two->state && one->granted == two->granted
           && one->sent == two->sent && one->seq == two->seq
           && one->expires == two->expires && one->counter == two->counter
           && one->len == two->len
           && ngx_memcmp(one->pointer, two->pointer, one->len) == 0;
}


static void
put_number(ngx_cred_zone_t *zone, ngx_uint_t n, size_t len)
{
    ngx_cred_zone_key_t  key;

    set_key(&key, n);
    set_record(&put, n, len);
    ngx_cred_zone_put(zone, &key, &put);
}


static ngx_int_t
get_number(ngx_cred_zone_t *zone, ngx_uint_t n)
{
    ngx_cred_zone_key_t  key;

    set_key(&key, n);

    /* later than what was recent */

    ngx_current_msec += 1000;

    return ngx_cred_zone_get(zone, &key, &got);
}


static ngx_uint_t
has_number(ngx_cred_zone_t *zone, ngx_uint_t n, size_t len)
{
    set_record(&put, n, len);

    return get_number(zone, n) == NGX_OK && same(&got, &put);
}


static void
test_records(void)
{
    size_t            len;
    ngx_uint_t        bad;
    ngx_cred_zone_t  *zone;

    zone = new_zone(8 * MB);

    bad = 0;

    for (len = 0; len <= NGX_CRED_ZONE_POINTER_LEN; len++) {
        put_number(zone, len, len);

        if (!has_number(zone, len, len)) {
            bad++;
        }
    }

    unit_ok(bad == 0, "names of all lengths");

    for (len = 0; len <= NGX_CRED_ZONE_POINTER_LEN; len++) {
        put_number(zone, len, NGX_CRED_ZONE_POINTER_LEN - len);

        if (!has_number(zone, len, NGX_CRED_ZONE_POINTER_LEN - len)) {
            bad++;
        }
    }

    unit_ok(bad == 0, "in place of others");
    unit_ok(get_number(zone, 999999) == NGX_DECLINED, "one that is not there");

    free_zone(zone);
}


/* keys that differ in one thing only */

static void
test_keys(void)
{
    ngx_uint_t           i, j, bad;
    ngx_cred_zone_t     *zone;
    ngx_cred_zone_key_t  keys[NGX_CRED_ZONE_HASH_LEN * 2 + 5];

    zone = new_zone(MB);

    for (i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
        ngx_memzero(&keys[i], sizeof(ngx_cred_zone_key_t));

        if (i < NGX_CRED_ZONE_HASH_LEN) {
            keys[i].hash[i] = 1;

        } else if (i < NGX_CRED_ZONE_HASH_LEN * 2) {
            keys[i].hash[i - NGX_CRED_ZONE_HASH_LEN] = 255;
        }
    }

    keys[i - 5].environment = 1;
    keys[i - 4].environment = 65535;
    keys[i - 3].api = 1;
    keys[i - 2].api = 65535;

    for (j = 0; j < i; j++) {
        set_record(&put, j, j * 10);
        ngx_cred_zone_put(zone, &keys[j], &put);
    }

    bad = 0;

    for (j = 0; j < i; j++) {
        set_record(&put, j, j * 10);

        if (ngx_cred_zone_get(zone, &keys[j], &got) != NGX_OK
            || !same(&got, &put))
        {
            bad++;
        }
    }

    unit_ok(bad == 0, "keys that differ in one thing");

    free_zone(zone);
}


/* how many keys there is room for, and whether that was told */

static void
test_full(size_t size)
{
    ngx_uint_t        i, n, bad, fit;
    ngx_cred_zone_t  *zone;

    zone = new_zone(size);

    n = size / 50;

    for (i = 0; i < n; i++) {
        put_number(zone, i, 20);

        /* one that is in use */

        if (!has_number(zone, 0, 20)) {
            break;
        }
    }

    unit_ok(i == n, "%lu KB: one that is in use stays",
            (unsigned long) size / 1024);
    unit_ok(zone->full, "it is found full");

    for (bad = 0, i = 1; i < n / 3; i++) {
        bad += has_number(zone, i, 20);
    }

    unit_ok(bad == 0, "the first ones have left");

    for (fit = 0, i = 0; i < n; i++) {
        fit += has_number(zone, i, 20);
    }

    unit_ok(fit * 160 > size - 800000, "160 bytes for each of %lu, and 800 KB",
            (unsigned long) fit);

    for (bad = 0, i = n - fit / 2; i < n; i++) {
        bad += !has_number(zone, i, 20);
    }

    unit_ok(bad == 0, "the last ones are there");

    n = fit;

    /* unknown ones leave before others */

    for (i = 0; i < n; i++) {
        put_number(zone, i, 20);
    }

    for (i = 0; i < 4 * n; i++) {
        put_number(zone, 10000000 + i, 0);
    }

    for (bad = 0, i = 0; i < n; i++) {
        bad += !has_number(zone, i, 20);
    }

    unit_ok(bad < n / 10, "unknown keys push few known ones out: %lu",
            (unsigned long) bad);
    unit_ok(has_number(zone, 10000000 + 4 * n - 1, 0), "the last one is there");

    for (i = n; i < 3 * n; i++) {
        put_number(zone, i, 20);
    }

    for (bad = 0, i = 0; i < 4 * n; i++) {
        bad += has_number(zone, 10000000 + i, 0);
    }

    unit_ok(bad < n / 10, "and known ones push them out: %lu",
            (unsigned long) bad);

    free_zone(zone);
}


/* whatever is there is right, and what was just put is there */

static void
test_random(size_t size, size_t longest)
{
    size_t            len;
    ngx_uint_t        i, n, lost, wrong, hits;
    ngx_cred_zone_t  *zone;

    static size_t     lens[KEYS];

    zone = new_zone(size);

    lost = 0;
    wrong = 0;
    hits = 0;

    ngx_memset(lens, 255, sizeof(lens));

    for (i = 0; i < 100000; i++) {
        n = next_random(KEYS);

        if (next_random(2)) {
            len = next_random(4) ? next_random(longest) : 0;
            put_number(zone, n, len);
            lens[n] = len;
            lost += !has_number(zone, n, len);
            continue;
        }

        if (get_number(zone, n) == NGX_OK) {
            set_record(&put, n, lens[n]);
            wrong += !same(&got, &put);
            hits++;
        }
    }

    unit_ok(wrong == 0 && lost == 0 && hits > 1000,
            "zone of %lu KB, names of up to %lu: %lu hits",
            (unsigned long) size / 1024, (unsigned long) longest,
            (unsigned long) hits);

    free_zone(zone);
}


static void
test_environments(void)
{
    u_char                        text[16];
    ngx_uint_t                    i;
    ngx_cred_zone_t              *zone;
    ngx_cred_zone_environment_t  *one, *two;

    zone = new_zone(MB);

    one = new_environment(zone, "one", 1000);
    two = new_environment(zone, "two", 2000);

    unit_ok(one && two && one != two, "two environments");
    unit_ok(new_environment(zone, "one", 1000) == one, "the same again");
    unit_ok(new_environment(zone, "on", 1000) != one, "another name");
    unit_ok(ngx_cred_zone_number(one) != ngx_cred_zone_number(two),
            "their numbers");
    unit_ok(ngx_strncmp(ngx_cred_zone_gateway(one)->data, "host-", 5) == 0,
            "a gateway is named by its host");
    unit_ok(ngx_cred_zone_gateway(one)->len != ngx_cred_zone_gateway(two)->len
            || ngx_memcmp(ngx_cred_zone_gateway(one)->data,
                          ngx_cred_zone_gateway(two)->data,
                          ngx_cred_zone_gateway(one)->len),
            "and not only by that");

    /* a full cache leaves room for more */

    for (i = 0; i < 20000; i++) {
        put_number(zone, i, 20);
    }

    for (i = 3; i < NGX_CRED_ZONE_ENVIRONMENTS; i++) {
        *ngx_sprintf(text, "number %ui", i) = '\0';

        if (new_environment(zone, (char *) text, 1000) == NULL) {
            break;
        }
    }

    unit_ok(i >= 32, "some more: %lu", (unsigned long) i);

    free_zone(zone);

    zone = new_zone(8 * MB);

    for (i = 0; i < NGX_CRED_ZONE_ENVIRONMENTS; i++) {
        *ngx_sprintf(text, "number %ui", i) = '\0';

        if (new_environment(zone, (char *) text, 1000) == NULL) {
            break;
        }
    }

    unit_ok(i == NGX_CRED_ZONE_ENVIRONMENTS, "as many as there may be");
    unit_ok(new_environment(zone, "one more", 1000) == NULL, "and no more");
    unit_ok(new_environment(zone, "number 0", 1000) != NULL, "but the same");

    free_zone(zone);
}


static void
test_lease(void)
{
    uint64_t                      now;
    ngx_uint_t                    i, generation;
    ngx_msec_t                    left;
    ngx_cred_zone_t              *zone;
    ngx_cred_zone_environment_t  *env, *other;

    zone = new_zone(MB);
    env = new_environment(zone, "env", HOUR);
    other = new_environment(zone, "other", HOUR);

    now = ngx_cred_clock() / NGX_CRED_MSEC;
    generation = ngx_cred_zone_generation(env);

    unit_ok(!ngx_cred_zone_leased(env, ngx_cred_clock()), "no lease at first");
    unit_ok(ngx_cred_zone_lease_left(env) == 0, "nothing is left of it");
    unit_ok(ngx_cred_zone_length(env, generation) == HOUR, "its length");

    ngx_cred_zone_grant(env, now - HOUR - 1, generation);
    unit_ok(!ngx_cred_zone_leased(env, ngx_cred_clock()), "by a call that was long ago");

    ngx_cred_zone_grant(env, now, generation + 1);
    unit_ok(!ngx_cred_zone_leased(env, ngx_cred_clock()), "by one of a length to come");

    ngx_cred_zone_grant(env, now, generation);
    unit_ok(ngx_cred_zone_leased(env, ngx_cred_clock()), "by a call just now");
    unit_ok(!ngx_cred_zone_leased(other, ngx_cred_clock()), "it is not the other one's");

    left = ngx_cred_zone_lease_left(env);
    unit_ok(left <= HOUR && left > HOUR - 60000, "how much is left");

    ngx_cred_zone_grant(env, now - 60000, generation);
    unit_ok(ngx_cred_zone_lease_left(env) > HOUR - 60000,
            "an older call takes nothing from it");

    /* shorter, at once */

    (void) new_environment(zone, "env", 600000);
    unit_ok(ngx_cred_zone_generation(env) != generation, "another generation");
    unit_ok(ngx_cred_zone_length(env, ngx_cred_zone_generation(env)) == 600000,
            "its length");

    left = ngx_cred_zone_lease_left(env);
    unit_ok(left <= 600000 && left > 500000, "a shorter one is taken at once");

    ngx_cred_zone_grant(env, now, generation);
    unit_ok(ngx_cred_zone_lease_left(env) <= 600000,
            "a call with the former length grants nothing");

    ngx_cred_zone_grant(env, now, ngx_cred_zone_generation(env));
    unit_ok(ngx_cred_zone_lease_left(env) > 500000, "but one with this one");

    /* longer: only by a call */

    (void) new_environment(zone, "env", HOUR);
    unit_ok(ngx_cred_zone_lease_left(env) <= 600000, "a longer one is not");
    ngx_cred_zone_grant(env, now, generation);
    unit_ok(ngx_cred_zone_lease_left(env) <= 600000,
            "nor by a call from before the shorter one");
    ngx_cred_zone_grant(env, now, ngx_cred_zone_generation(env));
    unit_ok(ngx_cred_zone_lease_left(env) > HOUR - 60000, "but by a new one");

    /* the same again is no other generation */

    generation = ngx_cred_zone_generation(env);
    (void) new_environment(zone, "env", HOUR);
    unit_ok(ngx_cred_zone_generation(env) == generation, "the same length");

    /* the shortest is over soon */

    (void) new_environment(zone, "env", 100);
    left = ngx_cred_zone_lease_left(env);
    unit_ok(left <= 100, "a tenth of a second");

    while (ngx_cred_zone_lease_left(env)) {
        ngx_msleep(1);
    }

    unit_ok(!ngx_cred_zone_leased(env, ngx_cred_clock()), "is over");

    /* many generations */

    for (i = 0; i < 1000; i++) {
        (void) new_environment(zone, "env", 1000 + i);
        generation = ngx_cred_zone_generation(env);

        if (ngx_cred_zone_length(env, generation) != 1000 + i
            || ngx_cred_zone_lease_left(env) > 1000 + i)
        {
            break;
        }

        ngx_cred_zone_grant(env, ngx_cred_clock() / NGX_CRED_MSEC, generation);
    }

    unit_ok(i == 1000, "a thousand generations");

    free_zone(zone);
}


static void
test_counters(void)
{
    u_char                       *p;
    u_short                       c;
    uint64_t                      seq;
    ngx_str_t                     api, *s;
    ngx_uint_t                    i, n;
    ngx_cred_zone_t              *zone;
    ngx_cred_zone_environment_t  *one, *two;

    static u_char                 used[65536];

    zone = new_zone(MB);
    one = new_environment(zone, "one", 1000);
    two = new_environment(zone, "two", 1000);

    set_record(&put, 7, 10);
    put.counter = 1234;
    put.seq = ngx_cred_zone_seq(zone);

    unit_ok(ngx_cred_zone_current(zone, one, &put), "current at first");

    ngx_cred_zone_invalidate(zone, 1235);
    unit_ok(ngx_cred_zone_current(zone, one, &put), "another counter");

    ngx_cred_zone_forget(zone, two);
    unit_ok(ngx_cred_zone_current(zone, one, &put), "another environment");
    unit_ok(!ngx_cred_zone_current(zone, two, &put), "that has forgotten");

    seq = ngx_cred_zone_seq(zone);
    ngx_cred_zone_invalidate(zone, 1234);
    unit_ok(!ngx_cred_zone_current(zone, one, &put), "invalidated");

    put.seq = seq;
    unit_ok(!ngx_cred_zone_current(zone, one, &put),
            "also what was asked for just before");

    put.seq = ngx_cred_zone_seq(zone);
    unit_ok(ngx_cred_zone_current(zone, one, &put),
            "but not what was asked for after it");

    ngx_cred_zone_forget(zone, one);
    unit_ok(!ngx_cred_zone_current(zone, one, &put), "forgotten");

    put.counter = 0;
    put.seq = ngx_cred_zone_seq(zone);
    ngx_cred_zone_invalidate(zone, 65535);
    unit_ok(ngx_cred_zone_current(zone, one, &put), "the last counter ...");
    ngx_cred_zone_invalidate(zone, 0);
    unit_ok(!ngx_cred_zone_current(zone, one, &put), "... and the first one");

    /* which counter */

    ngx_str_set(&api, "apinizer");
    s = unit_string("scope:id");
    c = ngx_cred_zone_counter(&api, s->data, s->len);

    unit_ok(ngx_cred_zone_counter(&api, s->data, s->len) == c, "the same one");

    ngx_str_set(&api, "iam");
    unit_ok(ngx_cred_zone_counter(&api, s->data, s->len) != c, "another API");

    s = unit_repeat('x', NGX_CRED_ZONE_POINTER_LEN);
    (void) ngx_cred_zone_counter(&api, s->data, s->len);
    (void) ngx_cred_zone_counter(&api, s->data, 0);

    for (i = 0; i < 200000; i++) {
        s = unit_format("scope:%ui", i);
        used[ngx_cred_zone_counter(&api, s->data, s->len)] = 1;
    }

    for (n = 0, p = used; p < used + sizeof(used); p++) {
        n += *p;
    }

    unit_ok(n > 60000, "all of them are in use: %lu", (unsigned long) n);

    free_zone(zone);
}


static void
test_applied(void)
{
    size_t                        len;
    u_char                        id[NGX_CRED_ZONE_ID_LEN];
    ngx_str_t                     s, *longest;
    ngx_cred_zone_t              *zone;
    ngx_cred_zone_environment_t  *env;

    zone = new_zone(MB);
    env = new_environment(zone, "env", 1000);

    unit_ok(ngx_cred_zone_applied(env, id, &len) == NGX_OK && len == 0,
            "nothing is applied at first");

    unit_ok(ngx_cred_zone_set_applied(env, (u_char *) "1-2", 3) == NGX_OK,
            "an id");

    s.data = id;
    (void) ngx_cred_zone_applied(env, id, &s.len);
    unit_is(&s, unit_string("1-2"), "is there");

    longest = unit_repeat('9', NGX_CRED_ZONE_ID_LEN);
    (void) ngx_cred_zone_set_applied(env, longest->data, longest->len);
    (void) ngx_cred_zone_applied(env, id, &s.len);
    unit_is(&s, longest, "the longest one");

    (void) ngx_cred_zone_set_applied(env, (u_char *) "", 0);
    (void) ngx_cred_zone_applied(env, id, &s.len);
    unit_is(&s, unit_string(""), "none");

    free_zone(zone);
}


/* a process that does nothing, and one that is no more */

static pid_t
new_process(void)
{
    pid_t  pid;

    pid = fork();

    if (pid == 0) {
        pause();
        _exit(0);
    }

    return pid;
}


static void
end_process(pid_t pid)
{
    (void) kill(pid, SIGKILL);
    (void) waitpid(pid, NULL, 0);
}


static void
test_locks(void)
{
    pid_t                         pid;
    size_t                        len;
    u_char                        id[NGX_CRED_ZONE_ID_LEN];
    ngx_uint_t                    i, n, lost;
    ngx_cred_zone_t              *zone;
    ngx_cred_zone_environment_t  *env;

    zone = new_zone(MB);
    env = new_environment(zone, "env", 1000);

    for (i = 0; i < 1000; i++) {
        put_number(zone, i, i % 300);
    }

    (void) ngx_cred_zone_set_applied(env, (u_char *) "1-2", 3);

    /* of one that lives: nobody waits, nothing is lost */

    pid = new_process();

    for (i = 0; i < zone->nshards; i++) {
        zone->shards[i].lock = pid;
    }

    env->lock = pid;

    for (n = 0, i = 0; i < 1000; i++) {
        n += (get_number(zone, i) == NGX_BUSY);
        put_number(zone, i, 10);
    }

    unit_ok(n == 1000, "another's locks");
    unit_ok(ngx_cred_zone_applied(env, id, &len) == NGX_BUSY, "not read now");
    unit_ok(ngx_cred_zone_set_applied(env, (u_char *) "3-4", 3) == NGX_BUSY,
            "nor written");

    /* it goes on */

    for (i = 0; i < zone->nshards; i++) {
        zone->shards[i].lock = 0;
    }

    env->lock = 0;

    for (lost = 0, i = 0; i < 1000; i++) {
        lost += !has_number(zone, i, i % 300);
    }

    unit_ok(lost == 0, "all is as before");

    /* of one that has died: what it protects is made anew */

    for (i = 0; i < zone->nshards; i++) {
        zone->shards[i].lock = pid;
    }

    env->lock = pid;
    end_process(pid);

    for (n = 0, i = 0; i < 1000; i++) {
        n += (get_number(zone, i) == NGX_DECLINED);
    }

    unit_ok(n == 1000, "a dead one's locks: all is forgotten");
    unit_ok(ngx_cred_zone_applied(env, id, &len) == NGX_OK && len == 0,
            "and what was applied");

    for (lost = 0, i = 0; i < 1000; i++) {
        put_number(zone, i, i % 300);
        lost += !has_number(zone, i, i % 300);
    }

    unit_ok(lost == 0, "the memory is there again");

    /* died in the middle of something: pointers lead anywhere */

    pid = new_process();

    for (i = 0; i < zone->nshards; i++) {
        zone->shards[i].lock = pid;
        ngx_memset(&zone->shards[i].rbtree, 0xa5, sizeof(ngx_rbtree_t));
        ngx_memset(&zone->shards[i].known, 0xa5, sizeof(ngx_queue_t));
        ngx_memset(&zone->shards[i].unknown, 0xa5, sizeof(ngx_queue_t));
        ngx_memset(&zone->shards[i].free, 0xa5, sizeof(ngx_queue_t));
    }

    env->lock = pid;
    env->applied_len = 1000000;
    end_process(pid);

    for (lost = 0, i = 0; i < 1000; i++) {
        put_number(zone, i, i % 300);
        lost += !has_number(zone, i, i % 300);
    }

    unit_ok(lost == 0, "whatever it has left");
    unit_ok(ngx_cred_zone_set_applied(env, (u_char *) "5-6", 3) == NGX_OK
            && ngx_cred_zone_applied(env, id, &len) == NGX_OK && len == 3,
            "and of what was applied");

    /* locks that nobody holds are left */

    for (n = 0, i = 0; i < zone->nshards; i++) {
        n += (zone->shards[i].lock != 0);
    }

    unit_ok(n == 0 && env->lock == 0, "no lock is left");

    free_zone(zone);
}


/* several at once, some of which are killed */

static void
stress(ngx_cred_zone_t *zone, ngx_cred_zone_environment_t *env, ngx_uint_t n)
{
    size_t      len;
    u_char      id[NGX_CRED_ZONE_ID_LEN];
    ngx_uint_t  i, number;

    ngx_pid = getpid();
    random_state = n;

    for (i = 0; i < STRESS; i++) {
        number = next_random(KEYS);

        /* its length follows from its number, so that all put the same */

        if (next_random(3) == 0) {
            put_number(zone, number, number % 5 ? number % 700 : 0);
            continue;
        }

        if (get_number(zone, number) == NGX_OK) {
            set_record(&put, number, number % 5 ? number % 700 : 0);

            if (!same(&got, &put)) {
                _exit(3);
            }
        }

        if (i % 16 == 0) {
            ngx_cred_zone_invalidate(zone, (u_short) (number % 4));
            ngx_cred_zone_forget(zone, env);

            if (ngx_cred_zone_applied(env, id, &len) == NGX_OK
                && len != 0
                && (len > NGX_CRED_ZONE_ID_LEN
                    || ngx_strncmp(id, "77777777777777777777", len) != 0))
            {
                _exit(4);
            }

            len = number % 20;
            (void) ngx_cred_zone_set_applied(env,
                                       (u_char *) "77777777777777777777", len);
        }
    }

    _exit(0);
}


static void
test_processes(ngx_uint_t killed)
{
    int                           status;
    pid_t                         pids[PROCESSES];
    uint64_t                      most;
    ngx_uint_t                    i, n, bad;
    ngx_cred_zone_t              *zone;
    ngx_cred_zone_environment_t  *env;

    zone = new_zone(MB);
    env = new_environment(zone, "env", 1000);

    for (i = 0; i < PROCESSES; i++) {
        pids[i] = fork();

        if (pids[i] == 0) {
            stress(zone, env, i + 1);
        }
    }

    bad = 0;

    for (n = 0; n < killed; n++) {
        ngx_msleep(5 + next_random(10));

        i = next_random(PROCESSES);
        (void) kill(pids[i], SIGKILL);

        if (waitpid(pids[i], &status, 0) == pids[i]
            && WIFEXITED(status) && WEXITSTATUS(status))
        {
            bad++;
        }

        /* nginx does so when a worker has died */

        (void) ngx_shmtx_force_unlock(&zone->shpool->mutex, pids[i]);

        pids[i] = fork();

        if (pids[i] == 0) {
            stress(zone, env, 100 + n);
        }
    }

    for (i = 0; i < PROCESSES; i++) {
        (void) waitpid(pids[i], &status, 0);
        bad += !(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    }

    unit_ok(bad == 0, "%lu processes, %lu killed: all is right",
            (unsigned long) PROCESSES, (unsigned long) killed);

    /* none has put a smaller number over a larger one */

    most = env->forgotten;

    for (i = 0; i < 4; i++) {
        most = ngx_max(most, zone->counters[i]);
    }

    unit_ok(killed || most == zone->seq, "the last number is the largest");

    for (n = 0, i = 0; i < KEYS; i++) {
        put_number(zone, i, 20);
        n += has_number(zone, i, 20);
    }

    unit_ok(n == KEYS, "and it goes on");

    free_zone(zone);
}


static void
test_small(void)
{
    size_t            size;
    ngx_uint_t        i, n;
    ngx_cred_zone_t  *zone;

    for (size = NGX_CRED_ZONE_SIZE_MIN; size < 6 * MB; size += 300 * 1024) {
        zone = new_zone(size);

        if (zone == NULL) {
            unit_ok(0, "a zone of %lu KB", (unsigned long) size / 1024);
            continue;
        }

        for (n = 0, i = 0; i < 1000; i++) {
            put_number(zone, i, 4096);
            n += has_number(zone, i, 4096);
        }

        unit_ok(n == 1000, "long names in %lu KB, %lu parts",
                (unsigned long) size / 1024, (unsigned long) zone->nshards);

        free_zone(zone);
    }
}


int ngx_libc_cdecl
main(int argc, char *const *argv)
{
    ngx_uint_t  n;

    unit_start();

    for (n = ngx_pagesize; n >>= 1; ngx_pagesize_shift++) { /* void */ }

    ngx_pid = getpid();
    ngx_ncpu = 2;
    cycle.log = &unit_log;
    ngx_cycle = &cycle;

    (void) ngx_crc32_table_init();
    ngx_slab_sizes_init();

    test_records();
    test_keys();
    test_full(MB);
    test_full(2 * MB);
    test_full(5 * MB);
    test_full(16 * MB);
    test_random(16 * MB, 100);
    test_random(MB, 100);
    test_random(MB, 4097);
    test_random(3 * MB, 1500);
    test_environments();
    test_lease();
    test_counters();
    test_applied();
    test_locks();
    test_processes(0);
    test_processes(30);
    test_small();

    return unit_done();
}
