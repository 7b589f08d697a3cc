
/*
 * Copyright (C) ngx_cred_module authors
 * SPDX-License-Identifier: BSD-2-Clause
 */


/*
 * A request is late if its first byte was sent after the answer to the DELETE
 * of its credential was complete, and this answer said that the environment of
 * the gateway was done.  None of these may be admitted.  As soon as there is
 * such an answer, the key is shown to each of these gateways at once.
 *
 * Credential cN of the project "shop" has the key "key-N".
 */


#include "hammer.h"


#define HAMMER_RECENT    64

#define HAMMER_PROBES    96     /* requests, with those that follow an answer */
#define HAMMER_DELETES   256
#define HAMMER_TRIES     600

#define HAMMER_AGAIN     (200 * MSEC)


/* times are CLOCK_MONOTONIC in ns, 0 is never */

typedef struct {
    uint64_t          asked;        /* when the first DELETE was sent */
    uint64_t          answered;     /* with success everywhere */
    uint64_t          admitted;     /* when the last that was so was sent */
    uint64_t          effective[HAMMER_NAMES];
    uint32_t          position;     /* among those in deletion */
    uint32_t          tries;
    int               finished;
} hammer_key_t;


static hammer_key_t     *keys;      /* of the credentials to delete */
static uint32_t          next_key, nfinished;
static uint32_t         *deleting, ndeleting;
static uint32_t          recent[HAMMER_RECENT], nrecent;
static uint64_t          statuses[1000];

static struct {
    uint32_t             key;
    uint64_t             at;
}                       *again;     /* a ring, since all wait as long */
static uint32_t          again_head, again_tail;


int
hammer_init_keys(void)
{
    keys = calloc(hammer.nkeys, sizeof(hammer_key_t));
    deleting = calloc(hammer.nkeys, sizeof(uint32_t));
    again = calloc(hammer.nkeys, sizeof(*again));

    return keys != NULL && deleting != NULL && again != NULL;
}


static hammer_key_t *
deleted_key(uint32_t key)
{
    return key >= hammer.first && key < hammer.first + hammer.nkeys
           ? &keys[key - hammer.first] : NULL;
}


static void
start_delete(uint32_t key)
{
    hammer_key_t  *k;

    k = deleted_key(key);

    if (k->asked == 0) {
        k->asked = hammer_now();
        k->position = ndeleting;
        deleting[ndeleting++] = key;
    }

    if (!hammer_start_request(hammer.management, key, HAMMER_DELETES, IDLE)) {
        again[again_tail % hammer.nkeys].key = key;
        again[again_tail++ % hammer.nkeys].at = hammer_now() + HAMMER_AGAIN;
    }
}


void
hammer_delete_again(uint64_t t)
{
    while (again_head != again_tail
           && again[again_head % hammer.nkeys].at <= t)
    {
        start_delete(again[again_head++ % hammer.nkeys].key);
    }
}


/* returns whether there was one, and not too many under way */

int
hammer_delete_next(void)
{
    if (next_key == hammer.nkeys
        || hammer.management->n[BUSY] >= HAMMER_DELETES)
    {
        return 0;
    }

    start_delete(hammer.first + next_key++);

    return 1;
}


static void
delete_finished(uint32_t key)
{
    hammer_key_t  *k;

    k = deleted_key(key);
    k->finished = 1;

    deleting[k->position] = deleting[--ndeleting];
    deleted_key(deleting[k->position])->position = k->position;

    recent[nrecent++ % HAMMER_RECENT] = key;

    if (++nfinished == hammer.nkeys) {
        printf("done\n");
        fflush(stdout);
    }
}


/* each environment that is done in it, and whether all are */

static int
read_results(hammer_key_t *k, const char *body, uint64_t at, int *effective)
{
    int          i, all;
    char         text[128];

    all = strstr(body, "\"deploymentResult\":{\"success\":true") != NULL;

    for (i = 0; i < hammer.nnames; i++) {
        sprintf(text, "\"environmentName\":\"%s\",\"success\":true",
                hammer.names[i]);

        effective[i] = 0;

        if (strstr(body, text) == NULL) {
            all = 0;

        } else if (k->effective[i] == 0) {
            k->effective[i] = at;
            effective[i] = 1;
        }
    }

    return all;
}


void
hammer_delete_answered(uint32_t key, int status, const char *body, uint64_t at)
{
    int               i, all, effective[HAMMER_NAMES];
    hammer_key_t     *k;
    hammer_target_t  *gw;

    statuses[status]++;

    k = deleted_key(key);
    all = 0;

    if (status == 200) {
        all = read_results(k, body, at, effective);

        for (i = 0; i < hammer.ngateways; i++) {
            gw = &hammer.targets[i];

            if (effective[gw->environment]) {
                hammer_start_request(gw, key, HAMMER_PROBES, SPARE);
                hammer_start_request(gw, key, HAMMER_PROBES, IDLE);
            }
        }

        if (all) {
            k->answered = at;
        }

    } else if (status == 400 && k->tries && strstr(body, "was not found")) {
        all = 1;

    } else if (status != 0 && status != 503) {
        printf("odd answer to the delete of c%u: %d %s\n", key, status, body);
        all = 1;
    }

    if (!all && ++k->tries == HAMMER_TRIES) {
        printf("odd c%u: %d tries, the last one: %d %s\n", key, HAMMER_TRIES,
               status, body);
        all = 1;
    }

    if (all) {
        delete_finished(key);
        return;
    }

    again[again_tail % hammer.nkeys].key = key;
    again[again_tail++ % hammer.nkeys].at = at + HAMMER_AGAIN;
}


void
hammer_check_answered(hammer_target_t *t, uint32_t key, int status,
    uint64_t sent, uint64_t at)
{
    int            g;
    uint64_t       effective;
    hammer_key_t  *k;

    g = t - hammer.targets;
    k = deleted_key(key);

    switch (status) {

    case 200:
        t->admitted++;

        if (k == NULL) {
            return;
        }

        if (sent > k->admitted) {
            k->admitted = sent;
        }

        effective = k->effective[t->environment];

        if (hammer.sweep) {
            t->late++;
            printf("late gateway %d admits key-%u\n", g, key);

        } else if (effective && sent > effective) {
            t->late++;
            printf("late gateway %d admitted key-%u sent %.3f ms after the "
                   "answer, which came %.3f ms after the delete; at %.6f\n",
                   g, key, (sent - effective) / 1e6,
                   (effective - k->asked) / 1e6, sent / 1e9);
        }

        return;

    case 401:
    case 403:
        t->refused++;

        if (k == NULL || (!hammer.sweep && k->asked == 0)) {
            printf("refused by gateway %d: key-%u with %d, sent at %.6f, "
                   "answered at %.6f\n", g, key, status, sent / 1e9, at / 1e9);
        }

        return;

    case 503:
        t->unavailable++;
        printf("unavailable %d %.6f %.6f\n", g, sent / 1e9, at / 1e9);
        return;

    case 0:
        t->lost++;
        return;

    default:
        printf("odd answer of gateway %d: %d\n", g, status);
    }
}


/* mostly those where it matters */

uint32_t
hammer_choose_key(void)
{
    uint32_t  dice, left, warm;

    dice = hammer_below(100);

    if (dice < 35 && ndeleting) {
        return deleting[hammer_below(ndeleting)];
    }

    left = hammer.nkeys - next_key;

    if (dice < 60 && left) {
        warm = hammer.delete_rate < 8 ? 8 : hammer.delete_rate;
        return hammer.first + next_key
               + hammer_below(left < warm ? left : warm);
    }

    if (dice < 88 && nrecent) {
        return recent[hammer_below(nrecent < HAMMER_RECENT ? nrecent
                                                           : HAMMER_RECENT)];
    }

    if (dice < 94 && hammer.nalive) {
        return hammer.first_alive + hammer_below(hammer.nalive);
    }

    return hammer.first + hammer_below(hammer.nkeys);
}


void
hammer_report(void)
{
    int            i;
    uint32_t       n;
    hammer_key_t  *k;

    for (n = 0; n < hammer.nkeys && !hammer.sweep; n++) {
        k = &keys[n];
        printf("deleted %u %.6f %.6f %.6f %u\n", hammer.first + n,
               k->asked / 1e9, k->answered / 1e9, k->admitted / 1e9, k->tries);
    }

    for (i = 0; i < 1000; i++) {
        if (statuses[i]) {
            printf("answers %d %llu\n", i, (unsigned long long) statuses[i]);
        }
    }

    for (i = 0; i < hammer.ngateways; i++) {
        printf("gateway %d %llu %llu %llu %llu %llu\n", i,
               (unsigned long long) hammer.targets[i].admitted,
               (unsigned long long) hammer.targets[i].refused,
               (unsigned long long) hammer.targets[i].unavailable,
               (unsigned long long) hammer.targets[i].lost,
               (unsigned long long) hammer.targets[i].late);
    }

    printf("end\n");
}
