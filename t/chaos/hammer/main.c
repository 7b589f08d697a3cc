
/*
 * Copyright (C) ngx_cred_module authors
 * SPDX-License-Identifier: BSD-2-Clause
 */


/*
 * The program runs until SIGTERM, and says "done" once all of its credentials
 * were deleted.  With -x it shows each key once to each gateway instead, and
 * leaves.
 */


#include "hammer.h"

#include <signal.h>
#include <time.h>
#include <unistd.h>


#define HAMMER_BUSY      32     /* requests at a time to each gateway */


hammer_t  hammer = {
    .first = 1,
    .rate = 1000,
    .delete_rate = 10,
    .seed = 1
};

static uint64_t               started, next_delete;
static volatile sig_atomic_t  ended;


void
hammer_fail(const char *what)
{
    fprintf(stderr, "hammer: %s: %s\n", what, strerror(errno));
    exit(1);
}


uint64_t
hammer_now(void)
{
    struct timespec  ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);

    return (uint64_t) ts.tv_sec * SECOND + ts.tv_nsec;
}


uint32_t
hammer_below(uint32_t n)
{
    hammer.seed ^= hammer.seed << 13;
    hammer.seed ^= hammer.seed >> 7;
    hammer.seed ^= hammer.seed << 17;

    return (hammer.seed >> 11) % n;
}


static void
start_what_is_due(uint64_t t)
{
    int               i;
    double            due;
    hammer_target_t  *gw;

    hammer_delete_again(t);

    if (t >= next_delete && hammer_delete_next()) {
        next_delete += SECOND / hammer.delete_rate * hammer_below(2000) / 1000;
    }

    due = (t - started) / 1e9 * hammer.rate / hammer.ngateways;

    for (i = 0; i < hammer.ngateways; i++) {
        gw = &hammer.targets[i];

        while (gw->due < due) {
            gw->due++;

            if (!hammer_start_request(gw, hammer_choose_key(), HAMMER_BUSY,
                                      IDLE))
            {
                gw->due = due;
            }
        }
    }
}


/* returns whether there is anything left */

static int
start_sweep(void)
{
    int               i, left;
    uint32_t          key;
    hammer_target_t  *gw;

    left = 0;

    for (i = 0; i < hammer.ngateways; i++) {
        gw = &hammer.targets[i];

        while (gw->cursor < hammer.nkeys + hammer.nalive) {
            key = gw->cursor < hammer.nkeys
                  ? hammer.first + gw->cursor
                  : hammer.first_alive + gw->cursor - hammer.nkeys;

            if (!hammer_start_request(gw, key, HAMMER_BUSY, IDLE)) {
                break;
            }

            gw->cursor++;
        }

        left += gw->n[BUSY] || gw->cursor < hammer.nkeys + hammer.nalive;
    }

    return left;
}


static void
run(void)
{
    uint64_t  t, until;

    started = hammer_now();
    next_delete = started + SECOND / 2;
    until = 0;

    for ( ;; ) {
        t = hammer_now();

        if (hammer.sweep) {
            if (!start_sweep()) {
                return;
            }

        } else if (!ended) {
            start_what_is_due(t);

        } else if (until == 0) {
            until = t + 5 * SECOND;

        } else if (!hammer_busy() || t > until) {
            return;
        }

        hammer_process_events(t);
    }
}


static void
end(int signo)
{
    ended = signo;
}


/* NAME:PORT,PORT is an environment with its gateways */

static void
add_environment(char *text)
{
    char  *port;

    if (hammer.nnames == HAMMER_NAMES) {
        fprintf(stderr, "hammer: too many environments\n");
        exit(2);
    }

    hammer.names[hammer.nnames] = strsep(&text, ":");

    while ((port = strsep(&text, ",")) != NULL) {

        if (hammer.ngateways == HAMMER_TARGETS - 1) {
            fprintf(stderr, "hammer: too many gateways\n");
            exit(2);
        }

        hammer.targets[hammer.ngateways].port = atoi(port);
        hammer.targets[hammer.ngateways++].environment = hammer.nnames;
    }

    hammer.nnames++;
}


int
main(int argc, char **argv)
{
    int  i, opt;

    hammer.management = &hammer.targets[HAMMER_TARGETS - 1];
    hammer.management->environment = -1;

    while ((opt = getopt(argc, argv, "xm:o:n:O:N:r:d:S:")) != -1) {

        switch (opt) {
        case 'x':  hammer.sweep = 1;                                 break;
        case 'm':  hammer.management->port = atoi(optarg);           break;
        case 'o':  hammer.first = strtoul(optarg, NULL, 10);         break;
        case 'n':  hammer.nkeys = strtoul(optarg, NULL, 10);         break;
        case 'O':  hammer.first_alive = strtoul(optarg, NULL, 10);   break;
        case 'N':  hammer.nalive = strtoul(optarg, NULL, 10);        break;
        case 'r':  hammer.rate = atof(optarg);                       break;
        case 'd':  hammer.delete_rate = atof(optarg);                break;
        case 'S':  hammer.seed = strtoull(optarg, NULL, 10) + 1;     break;
        default:   return 2;
        }
    }

    for (i = optind; i < argc; i++) {
        add_environment(argv[i]);
    }

    if (hammer.nkeys == 0 || hammer.ngateways == 0
        || hammer.rate <= 0 || hammer.delete_rate <= 0)
    {
        fprintf(stderr, "usage: hammer [-x] -m PORT [-o FIRST] -n KEYS "
                "[-O FIRST -N ALIVE]\n              [-r REQUESTS] "
                "[-d DELETES] [-S SEED] NAME:PORT,PORT ...\n");
        return 2;
    }

    if (!hammer_init_http() || !hammer_init_keys()) {
        hammer_fail("cannot start");
    }

    signal(SIGTERM, end);

    run();
    hammer_report();

    return 0;
}
