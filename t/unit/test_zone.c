
/*
 * Copyright (C) ngx_cred_module authors
 * SPDX-License-Identifier: BSD-2-Clause
 */


/* the shared memory of a gateway, by one process and by several */


#include <zone.h>
#include <signal.h>
#include <sys/wait.h>
#include <ngx_cred_clock.h>
#include <ngx_cred_zone_memory.h>


#define HOUR         3600000
#define PROCESSES    4
#define STRESS       20000          /* steps of each process */
#define KEYS         3000


static ngx_cred_zone_record_t  got, put;


static void
test_environments(void)
{
    u_char                        text[16];
    ngx_uint_t                    i;
    ngx_cred_zone_t              *zone;
    ngx_cred_zone_environment_t  *one, *two;

    zone = zone_new(MB);

    one = zone_environment(zone, "one", 1000);
    two = zone_environment(zone, "two", 2000);

    unit_ok(one && two && one != two, "two environments");
    unit_ok(zone_environment(zone, "one", 1000) == one, "the same again");
    unit_ok(zone_environment(zone, "on", 1000) != one, "another name");
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
        zone_put(zone, i, 20);
    }

    for (i = 3; i < NGX_CRED_ZONE_ENVIRONMENTS; i++) {
        *ngx_sprintf(text, "number %ui", i) = '\0';

        if (zone_environment(zone, (char *) text, 1000) == NULL) {
            break;
        }
    }

    unit_ok(i >= 32, "some more: %lu", (unsigned long) i);

    zone_free(zone);

    zone = zone_new(8 * MB);

    for (i = 0; i < NGX_CRED_ZONE_ENVIRONMENTS; i++) {
        *ngx_sprintf(text, "number %ui", i) = '\0';

        if (zone_environment(zone, (char *) text, 1000) == NULL) {
            break;
        }
    }

    unit_ok(i == NGX_CRED_ZONE_ENVIRONMENTS, "as many as there may be");
    unit_ok(zone_environment(zone, "one more", 1000) == NULL, "and no more");
    unit_ok(zone_environment(zone, "number 0", 1000) != NULL, "but the same");

    zone_free(zone);
}


static void
test_lease(void)
{
    uint64_t                      now;
    ngx_uint_t                    i, generation;
    ngx_msec_t                    left;
    ngx_cred_zone_t              *zone;
    ngx_cred_zone_environment_t  *env, *other;

    zone = zone_new(MB);
    env = zone_environment(zone, "env", HOUR);
    other = zone_environment(zone, "other", HOUR);

    now = ngx_cred_clock() / NGX_CRED_MSEC;
    generation = ngx_cred_zone_generation(env);

    unit_ok(!ngx_cred_zone_leased(env, ngx_cred_clock()), "no lease at first");
    unit_ok(ngx_cred_zone_lease_left(env) == 0, "nothing is left of it");
    unit_ok(ngx_cred_zone_length(env, generation) == HOUR, "its length");

    ngx_cred_zone_grant(env, now - HOUR - 1, generation);
    unit_ok(!ngx_cred_zone_leased(env, ngx_cred_clock()),
            "by a call that was long ago");

    ngx_cred_zone_grant(env, now, generation + 1);
    unit_ok(!ngx_cred_zone_leased(env, ngx_cred_clock()),
            "by one of a length to come");

    ngx_cred_zone_grant(env, now, generation);
    unit_ok(ngx_cred_zone_leased(env, ngx_cred_clock()), "by a call just now");
    unit_ok(!ngx_cred_zone_leased(other, ngx_cred_clock()),
            "it is not the other one's");

    left = ngx_cred_zone_lease_left(env);
    unit_ok(left <= HOUR && left > HOUR - 60000, "how much is left");

    ngx_cred_zone_grant(env, now - 60000, generation);
    unit_ok(ngx_cred_zone_lease_left(env) > HOUR - 60000,
            "an older call takes nothing from it");

    /* shorter, at once */

    (void) zone_environment(zone, "env", 600000);
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

    (void) zone_environment(zone, "env", HOUR);
    unit_ok(ngx_cred_zone_lease_left(env) <= 600000, "a longer one is not");
    ngx_cred_zone_grant(env, now, generation);
    unit_ok(ngx_cred_zone_lease_left(env) <= 600000,
            "nor by a call from before the shorter one");
    ngx_cred_zone_grant(env, now, ngx_cred_zone_generation(env));
    unit_ok(ngx_cred_zone_lease_left(env) > HOUR - 60000, "but by a new one");

    /* the same again is no other generation */

    generation = ngx_cred_zone_generation(env);
    (void) zone_environment(zone, "env", HOUR);
    unit_ok(ngx_cred_zone_generation(env) == generation, "the same length");

    /* the shortest is over soon */

    (void) zone_environment(zone, "env", 100);
    left = ngx_cred_zone_lease_left(env);
    unit_ok(left <= 100, "a tenth of a second");

    while (ngx_cred_zone_lease_left(env)) {
        ngx_msleep(1);
    }

    unit_ok(!ngx_cred_zone_leased(env, ngx_cred_clock()), "is over");

    /* many generations */

    for (i = 0; i < 1000; i++) {
        (void) zone_environment(zone, "env", 1000 + i);
        generation = ngx_cred_zone_generation(env);

        if (ngx_cred_zone_length(env, generation) != 1000 + i
            || ngx_cred_zone_lease_left(env) > 1000 + i)
        {
            break;
        }

        ngx_cred_zone_grant(env, ngx_cred_clock() / NGX_CRED_MSEC, generation);
    }

    unit_ok(i == 1000, "a thousand generations");

    zone_free(zone);
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

    zone = zone_new(MB);
    one = zone_environment(zone, "one", 1000);
    two = zone_environment(zone, "two", 1000);

    zone_record(&put, 7, 10);
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

    zone_free(zone);
}


static void
test_applied(void)
{
    size_t                        len;
    u_char                        id[NGX_CRED_ZONE_ID_LEN];
    ngx_str_t                     s, *longest;
    ngx_cred_zone_t              *zone;
    ngx_cred_zone_environment_t  *env;

    zone = zone_new(MB);
    env = zone_environment(zone, "env", 1000);

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

    zone_free(zone);
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

    zone = zone_new(MB);
    env = zone_environment(zone, "env", 1000);

    for (i = 0; i < 1000; i++) {
        zone_put(zone, i, i % 300);
    }

    (void) ngx_cred_zone_set_applied(env, (u_char *) "1-2", 3);

    /* of one that lives: nobody waits, nothing is lost */

    pid = new_process();

    for (i = 0; i < zone->nshards; i++) {
        zone->shards[i].lock = pid;
    }

    env->lock = pid;

    for (n = 0, i = 0; i < 1000; i++) {
        n += (zone_get(zone, i, &got) == NGX_BUSY);
        zone_put(zone, i, 10);
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
        lost += !zone_has(zone, i, i % 300);
    }

    unit_ok(lost == 0, "all is as before");

    /* of one that has died: what it protects is made anew */

    for (i = 0; i < zone->nshards; i++) {
        zone->shards[i].lock = pid;
    }

    env->lock = pid;
    end_process(pid);

    for (n = 0, i = 0; i < 1000; i++) {
        n += (zone_get(zone, i, &got) == NGX_DECLINED);
    }

    unit_ok(n == 1000, "a dead one's locks: all is forgotten");
    unit_ok(ngx_cred_zone_applied(env, id, &len) == NGX_OK && len == 0,
            "and what was applied");

    for (lost = 0, i = 0; i < 1000; i++) {
        zone_put(zone, i, i % 300);
        lost += !zone_has(zone, i, i % 300);
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
        zone_put(zone, i, i % 300);
        lost += !zone_has(zone, i, i % 300);
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

    zone_free(zone);
}


/* several at once, some of which are killed */

static void
stress(ngx_cred_zone_t *zone, ngx_cred_zone_environment_t *env, ngx_uint_t n)
{
    size_t      len;
    u_char      id[NGX_CRED_ZONE_ID_LEN];
    ngx_uint_t  i, number;

    ngx_pid = getpid();
    zone_seed(n);

    for (i = 0; i < STRESS; i++) {
        number = zone_random(KEYS);

        /* its length follows from its number, so that all put the same */

        if (zone_random(3) == 0) {
            zone_put(zone, number, number % 5 ? number % 700 : 0);
            continue;
        }

        if (zone_get(zone, number, &got) == NGX_OK) {
            zone_record(&put, number, number % 5 ? number % 700 : 0);

            if (!zone_same(&got, &put)) {
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

    zone = zone_new(MB);
    env = zone_environment(zone, "env", 1000);

    for (i = 0; i < PROCESSES; i++) {
        pids[i] = fork();

        if (pids[i] == 0) {
            stress(zone, env, i + 1);
        }
    }

    bad = 0;

    for (n = 0; n < killed; n++) {
        ngx_msleep(5 + zone_random(10));

        i = zone_random(PROCESSES);
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
        zone_put(zone, i, 20);
        n += zone_has(zone, i, 20);
    }

    unit_ok(n == KEYS, "and it goes on");

    zone_free(zone);
}


int ngx_libc_cdecl
main(int argc, char *const *argv)
{
    unit_start();
    zone_start();

    test_environments();
    test_lease();
    test_counters();
    test_applied();
    test_locks();
    test_processes(0);
    test_processes(30);

    return unit_done();
}
