
/*
 * Copyright (C) ngx_cred_module authors
 * SPDX-License-Identifier: BSD-2-Clause
 */


/*
 * Clients of t/chaos/gateways: they delete credentials, and show keys that are
 * alive, being deleted or deleted to every gateway, all in one thread, so that
 * one clock orders what is sent and what has been answered.
 *
 * A request is late if its first byte was sent after the answer to the DELETE
 * of its credential was complete, and this answer said that the environment of
 * the gateway was done.  None of these may be admitted.  As soon as there is
 * such an answer, the key is shown to each of these gateways at once.
 *
 * Credential cN of the project "shop" has the key "key-N".  It runs until
 * SIGTERM, and says "done" once all of its credentials were deleted.  With -x
 * it shows each key once to each gateway instead, and leaves.
 */


#define _GNU_SOURCE

#include <sys/epoll.h>
#include <sys/socket.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <arpa/inet.h>
#include <errno.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>


#define HAMMER_BUFFER    4096
#define HAMMER_EVENTS    256
#define HAMMER_TARGETS   9      /* gateways, and who deletes */
#define HAMMER_NAMES     4
#define HAMMER_RECENT    64

#define HAMMER_BUSY      32     /* requests at a time to each gateway */
#define HAMMER_PROBES    96     /* with those that follow an answer */
#define HAMMER_IDLE      24     /* connections to each */
#define HAMMER_SPARE     8      /* that are kept for what follows an answer */
#define HAMMER_DELETES   256
#define HAMMER_TRIES     600

#define MSEC             1000000ull
#define SECOND           1000000000ull
#define HAMMER_AGAIN     (200 * MSEC)
#define HAMMER_PATIENCE  (20 * SECOND)


typedef struct hammer_client_s  hammer_client_t;
typedef struct hammer_target_s  hammer_target_t;

typedef enum {
    BUSY = 0,
    IDLE,
    SPARE,
    DEAD
} hammer_state_e;

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


struct hammer_client_s {
    int               fd;
    int               connected;
    hammer_state_e    state;
    uint32_t          key;          /* of the request under way */
    uint64_t          sent;
    hammer_target_t  *target;
    hammer_client_t  *prev, *next;  /* of its state, the longest in it first */
    size_t            len;
    char              buf[HAMMER_BUFFER];
};


struct hammer_target_s {
    int               port;
    int               environment;  /* -1: deletes */
    hammer_client_t   ring[DEAD + 1];
    int               n[DEAD + 1];
    double            due;          /* requests since the start */
    uint32_t          cursor;       /* of -x */
    uint64_t          admitted, refused, unavailable, lost, late;
};


static hammer_target_t   targets[HAMMER_TARGETS], *management;
static int               ngateways, nnames, ep, sweep;
static char             *names[HAMMER_NAMES];

static uint32_t          first = 1, nkeys, first_alive, nalive;
static hammer_key_t     *keys;      /* of the credentials to delete */
static double            rate = 1000, delete_rate = 10;
static uint64_t          seed = 1, started;

static uint32_t          next_key, nfinished;
static uint32_t         *deleting, ndeleting;
static uint32_t          recent[HAMMER_RECENT], nrecent;
static uint64_t          next_delete;
static uint64_t          statuses[1000];

static struct {
    uint32_t             key;
    uint64_t             at;
}                       *again;     /* a ring, since all wait as long */
static uint32_t          again_head, again_tail;

static volatile sig_atomic_t  ended;


static void
fail(const char *what)
{
    fprintf(stderr, "hammer: %s: %s\n", what, strerror(errno));
    exit(1);
}


static uint64_t
now(void)
{
    struct timespec  ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);

    return (uint64_t) ts.tv_sec * SECOND + ts.tv_nsec;
}


static uint32_t
below(uint32_t n)
{
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;

    return (seed >> 11) % n;
}


static hammer_key_t *
deleted_key(uint32_t key)
{
    return key >= first && key < first + nkeys ? &keys[key - first] : NULL;
}


static void
enter(hammer_client_t *cl, hammer_state_e state)
{
    hammer_client_t  *ring;

    ring = &cl->target->ring[state];

    cl->state = state;
    cl->target->n[state]++;
    cl->prev = ring->prev;
    cl->next = ring;
    ring->prev->next = cl;
    ring->prev = cl;
}


static void
move(hammer_client_t *cl, hammer_state_e state)
{
    cl->prev->next = cl->next;
    cl->next->prev = cl->prev;
    cl->target->n[cl->state]--;

    enter(cl, state);
}


/* there may be an event of it yet */

static void
close_client(hammer_client_t *cl)
{
    close(cl->fd);
    move(cl, DEAD);
}


static void
free_dead(hammer_target_t *t)
{
    hammer_client_t  *cl;

    while (t->n[DEAD]) {
        cl = t->ring[DEAD].next;
        t->ring[DEAD].next = cl->next;
        cl->next->prev = &t->ring[DEAD];
        t->n[DEAD]--;
        free(cl);
    }
}


static hammer_client_t *
open_client(hammer_target_t *t)
{
    int                 one;
    hammer_client_t    *cl;
    struct epoll_event  ee;
    struct sockaddr_in  sin;

    cl = calloc(1, sizeof(hammer_client_t));
    cl->target = t;
    cl->fd = socket(AF_INET, SOCK_STREAM|SOCK_NONBLOCK, 0);

    memset(&sin, 0, sizeof(sin));
    sin.sin_family = AF_INET;
    sin.sin_port = htons(t->port);
    sin.sin_addr.s_addr = htonl(INADDR_LOOPBACK);

    if (connect(cl->fd, (struct sockaddr *) &sin, sizeof(sin)) == 0) {
        cl->connected = 1;

    } else if (errno != EINPROGRESS) {
        fail("cannot connect");
    }

    one = 1;
    setsockopt(cl->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));

    ee.events = cl->connected ? EPOLLIN : EPOLLIN|EPOLLOUT;
    ee.data.ptr = cl;
    epoll_ctl(ep, EPOLL_CTL_ADD, cl->fd, &ee);

    enter(cl, IDLE);

    return cl;
}


/* the time is taken before the first byte is sent */

static int
send_request(hammer_client_t *cl)
{
    int   n;
    char  text[256];

    if (cl->target == management) {
        n = sprintf(text, "DELETE /apiops/projects/shop/credentials/c%u/ "
                    "HTTP/1.1\r\nHost: localhost\r\n"
                    "Authorization: Bearer secret\r\n\r\n", cl->key);

    } else {
        n = sprintf(text, "GET / HTTP/1.1\r\nHost: localhost\r\n%s"
                    "key-%u\r\n\r\n",
                    cl->key & 1 ? "Authorization: Bearer " : "X-API-Key: ",
                    cl->key);
    }

    cl->sent = now();

    return send(cl->fd, text, n, MSG_NOSIGNAL) == n;
}


/* on the connection that was so for longest */

static int
start_request(hammer_target_t *t, uint32_t key, int most, hammer_state_e from)
{
    hammer_client_t  *cl;

    if (t->n[BUSY] >= most) {
        return 0;
    }

    while (t->n[from]) {
        cl = t->ring[from].next;

        cl->key = key;
        move(cl, BUSY);

        if (!cl->connected || send_request(cl)) {
            return 1;
        }

        close_client(cl);
    }

    cl = open_client(t);

    cl->key = key;
    move(cl, BUSY);

    if (cl->connected && !send_request(cl)) {
        close_client(cl);
        return 0;
    }

    return 1;
}


static void
start_delete(uint32_t key)
{
    hammer_key_t  *k;

    k = deleted_key(key);

    if (k->asked == 0) {
        k->asked = now();
        k->position = ndeleting;
        deleting[ndeleting++] = key;
    }

    if (!start_request(management, key, HAMMER_DELETES, IDLE)) {
        again[again_tail % nkeys].key = key;
        again[again_tail++ % nkeys].at = now() + HAMMER_AGAIN;
    }
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

    if (++nfinished == nkeys) {
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

    for (i = 0; i < nnames; i++) {
        sprintf(text, "\"environmentName\":\"%s\",\"success\":true", names[i]);

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


static void
delete_answered(uint32_t key, int status, const char *body, uint64_t at)
{
    int            i, all, effective[HAMMER_NAMES];
    hammer_key_t  *k;

    statuses[status]++;

    k = deleted_key(key);
    all = 0;

    if (status == 200) {
        all = read_results(k, body, at, effective);

        for (i = 0; i < ngateways; i++) {
            if (effective[targets[i].environment]) {
                start_request(&targets[i], key, HAMMER_PROBES, SPARE);
                start_request(&targets[i], key, HAMMER_PROBES, IDLE);
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

    again[again_tail % nkeys].key = key;
    again[again_tail++ % nkeys].at = at + HAMMER_AGAIN;
}


static void
check_answered(hammer_target_t *t, uint32_t key, int status, uint64_t sent,
    uint64_t at)
{
    int            g;
    uint64_t       effective;
    hammer_key_t  *k;

    g = t - targets;
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

        if (sweep) {
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

        if (k == NULL || (!sweep && k->asked == 0)) {
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


static void
answered(hammer_client_t *cl, int status, const char *body, int keepalive)
{
    uint32_t          key;
    uint64_t          at, sent;
    hammer_target_t  *t;

    at = now();
    t = cl->target;
    key = cl->key;
    sent = cl->sent;

    /* the body is in the client's buffer, which must not be taken again yet */

    if (t == management) {
        delete_answered(key, status, body, at);

    } else {
        check_answered(t, key, status, sent, at);
    }

    cl->len = 0;

    if (!keepalive || below(128) == 0) {
        close_client(cl);

    } else if (t != management && t->n[SPARE] < HAMMER_SPARE) {
        move(cl, SPARE);

    } else if (t == management || t->n[IDLE] < HAMMER_IDLE) {
        move(cl, IDLE);

    } else {
        close_client(cl);
    }
}


static void
readable(hammer_client_t *cl)
{
    char     *end, *p;
    size_t    head, length;
    ssize_t   n;

    n = recv(cl->fd, cl->buf + cl->len, HAMMER_BUFFER - 1 - cl->len, 0);

    if (n == -1 && errno == EAGAIN) {
        return;
    }

    if (cl->state != BUSY) {
        close_client(cl);
        return;
    }

    if (n <= 0) {
        answered(cl, 0, "", 0);
        return;
    }

    cl->len += n;
    cl->buf[cl->len] = '\0';

    end = strstr(cl->buf, "\r\n\r\n");

    if (end == NULL) {
        return;
    }

    head = end + 4 - cl->buf;
    *end = '\0';

    p = strcasestr(cl->buf, "\r\nContent-Length:");
    length = p ? strtoul(p + 17, NULL, 10) : 0;

    if (cl->len < head + length) {
        *end = '\r';

        if (cl->len == HAMMER_BUFFER - 1) {
            fail("too long answer");
        }

        return;
    }

    answered(cl, atoi(cl->buf + 9) % 1000, end + 4,
             strcasestr(cl->buf, "\r\nConnection: close") == NULL);
}


static void
writable(hammer_client_t *cl)
{
    int                 error;
    socklen_t           len;
    struct epoll_event  ee;

    len = sizeof(int);
    getsockopt(cl->fd, SOL_SOCKET, SO_ERROR, &error, &len);

    if (error == 0) {
        cl->connected = 1;

        ee.events = EPOLLIN;
        ee.data.ptr = cl;
        epoll_ctl(ep, EPOLL_CTL_MOD, cl->fd, &ee);

        if (send_request(cl)) {
            return;
        }
    }

    answered(cl, 0, "", 0);
}


/* mostly those where it matters */

static uint32_t
choose_key(void)
{
    uint32_t  dice, left, warm;

    dice = below(100);

    if (dice < 35 && ndeleting) {
        return deleting[below(ndeleting)];
    }

    left = nkeys - next_key;

    if (dice < 60 && left) {
        warm = delete_rate < 8 ? 8 : delete_rate;
        return first + next_key + below(left < warm ? left : warm);
    }

    if (dice < 88 && nrecent) {
        return recent[below(nrecent < HAMMER_RECENT ? nrecent
                                                    : HAMMER_RECENT)];
    }

    if (dice < 94 && nalive) {
        return first_alive + below(nalive);
    }

    return first + below(nkeys);
}


static void
start_what_is_due(uint64_t t)
{
    int               i;
    double            due;
    hammer_target_t  *gw;

    while (again_head != again_tail && again[again_head % nkeys].at <= t) {
        start_delete(again[again_head++ % nkeys].key);
    }

    if (next_key < nkeys && t >= next_delete
        && management->n[BUSY] < HAMMER_DELETES)
    {
        start_delete(first + next_key++);
        next_delete += SECOND / delete_rate * below(2000) / 1000;
    }

    due = (t - started) / 1e9 * rate / ngateways;

    for (i = 0; i < ngateways; i++) {
        gw = &targets[i];

        while (gw->due < due) {
            gw->due++;

            if (!start_request(gw, choose_key(), HAMMER_BUSY, IDLE)) {
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

    for (i = 0; i < ngateways; i++) {
        gw = &targets[i];

        while (gw->cursor < nkeys + nalive) {
            key = gw->cursor < nkeys ? first + gw->cursor
                                     : first_alive + gw->cursor - nkeys;

            if (!start_request(gw, key, HAMMER_BUSY, IDLE)) {
                break;
            }

            gw->cursor++;
        }

        left += gw->n[BUSY] || gw->cursor < nkeys + nalive;
    }

    return left;
}


static void
give_up(uint64_t t)
{
    int               i;
    hammer_client_t  *cl;

    for (i = 0; i < HAMMER_TARGETS; i++) {

        while (targets[i].n[BUSY]) {
            cl = targets[i].ring[BUSY].next;

            /* one that is connecting was not sent yet */

            if (!cl->connected || t < cl->sent + HAMMER_PATIENCE) {
                break;
            }

            printf("odd silence at port %d\n", targets[i].port);
            answered(cl, 0, "", 0);
        }
    }
}


static int
busy(void)
{
    int  i, n;

    for (i = 0, n = 0; i < HAMMER_TARGETS; i++) {
        n += targets[i].n[BUSY];
    }

    return n;
}


static void
run(void)
{
    int                  i, n;
    uint64_t             t, until;
    hammer_client_t     *cl;
    struct epoll_event   events[HAMMER_EVENTS];

    started = now();
    next_delete = started + SECOND / 2;
    until = 0;

    for ( ;; ) {
        t = now();

        if (sweep) {
            if (!start_sweep()) {
                return;
            }

        } else if (!ended) {
            start_what_is_due(t);

        } else if (until == 0) {
            until = t + 5 * SECOND;

        } else if (!busy() || t > until) {
            return;
        }

        n = epoll_wait(ep, events, HAMMER_EVENTS, 1);

        for (i = 0; i < n; i++) {
            cl = events[i].data.ptr;

            if (cl->state == DEAD) {
                continue;
            }

            if (!cl->connected) {
                writable(cl);
            } else {
                readable(cl);
            }
        }

        give_up(t);

        for (i = 0; i < HAMMER_TARGETS; i++) {
            free_dead(&targets[i]);
        }
    }
}


static void
report(void)
{
    int            i;
    uint32_t       n;
    hammer_key_t  *k;

    for (n = 0; n < nkeys && !sweep; n++) {
        k = &keys[n];
        printf("deleted %u %.6f %.6f %.6f %u\n", first + n, k->asked / 1e9,
               k->answered / 1e9, k->admitted / 1e9, k->tries);
    }

    for (i = 0; i < 1000; i++) {
        if (statuses[i]) {
            printf("answers %d %llu\n", i, (unsigned long long) statuses[i]);
        }
    }

    for (i = 0; i < ngateways; i++) {
        printf("gateway %d %llu %llu %llu %llu %llu\n", i,
               (unsigned long long) targets[i].admitted,
               (unsigned long long) targets[i].refused,
               (unsigned long long) targets[i].unavailable,
               (unsigned long long) targets[i].lost,
               (unsigned long long) targets[i].late);
    }

    printf("end\n");
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

    names[nnames] = strsep(&text, ":");

    while ((port = strsep(&text, ",")) != NULL) {

        if (ngateways == HAMMER_TARGETS - 1 || nnames == HAMMER_NAMES) {
            fprintf(stderr, "hammer: too many gateways\n");
            exit(2);
        }

        targets[ngateways].port = atoi(port);
        targets[ngateways++].environment = nnames;
    }

    nnames++;
}


int
main(int argc, char **argv)
{
    int               i, n, opt;
    hammer_client_t  *ring;

    management = &targets[HAMMER_TARGETS - 1];
    management->environment = -1;

    while ((opt = getopt(argc, argv, "xm:o:n:O:N:r:d:S:")) != -1) {

        switch (opt) {
        case 'x':  sweep = 1;                                 break;
        case 'm':  management->port = atoi(optarg);           break;
        case 'o':  first = strtoul(optarg, NULL, 10);         break;
        case 'n':  nkeys = strtoul(optarg, NULL, 10);         break;
        case 'O':  first_alive = strtoul(optarg, NULL, 10);   break;
        case 'N':  nalive = strtoul(optarg, NULL, 10);        break;
        case 'r':  rate = atof(optarg);                       break;
        case 'd':  delete_rate = atof(optarg);                break;
        case 'S':  seed = strtoull(optarg, NULL, 10) + 1;     break;
        default:   return 2;
        }
    }

    for (i = optind; i < argc; i++) {
        add_environment(argv[i]);
    }

    if (nkeys == 0 || ngateways == 0 || rate <= 0 || delete_rate <= 0) {
        fprintf(stderr, "usage: hammer [-x] -m PORT [-o FIRST] -n KEYS "
                "[-O FIRST -N ALIVE]\n              [-r REQUESTS] "
                "[-d DELETES] [-S SEED] NAME:PORT,PORT ...\n");
        return 2;
    }

    for (i = 0; i < HAMMER_TARGETS; i++) {
        for (n = 0; n <= DEAD; n++) {
            ring = &targets[i].ring[n];
            ring->prev = ring->next = ring;
        }
    }

    keys = calloc(nkeys, sizeof(hammer_key_t));
    deleting = calloc(nkeys, sizeof(uint32_t));
    again = calloc(nkeys, sizeof(*again));
    ep = epoll_create1(0);

    if (keys == NULL || deleting == NULL || again == NULL || ep == -1) {
        fail("cannot start");
    }

    signal(SIGTERM, end);

    run();
    report();

    return 0;
}
