
/*
 * Copyright (C) ngx_cred_module authors
 * SPDX-License-Identifier: BSD-2-Clause
 */


/* connections that do not block, and what is sent and read on them */


#include "hammer.h"

#include <sys/epoll.h>
#include <sys/socket.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <unistd.h>


#define HAMMER_BUFFER    4096
#define HAMMER_EVENTS    256

#define HAMMER_IDLE      24     /* connections to each gateway */
#define HAMMER_SPARE     8      /* that are kept for what follows an answer */

#define HAMMER_PATIENCE  (20 * SECOND)


/* times are CLOCK_MONOTONIC in ns */

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


static int  ep;


int
hammer_init_http(void)
{
    int               i, n;
    hammer_client_t  *ring;

    for (i = 0; i < HAMMER_TARGETS; i++) {
        ring = calloc(DEAD + 1, sizeof(hammer_client_t));

        if (ring == NULL) {
            return 0;
        }

        hammer.targets[i].ring = ring;

        for (n = 0; n <= DEAD; n++) {
            ring[n].prev = ring[n].next = &ring[n];
        }
    }

    ep = epoll_create1(0);

    return ep != -1;
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
        hammer_fail("cannot connect");
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

    if (cl->target == hammer.management) {
        n = sprintf(text, "DELETE /apiops/projects/shop/credentials/c%u/ "
                    "HTTP/1.1\r\nHost: localhost\r\n"
                    "Authorization: Bearer secret\r\n\r\n", cl->key);

    } else {
        n = sprintf(text, "GET / HTTP/1.1\r\nHost: localhost\r\n%s"
                    "key-%u\r\n\r\n",
                    cl->key & 1 ? "Authorization: Bearer " : "X-API-Key: ",
                    cl->key);
    }

    cl->sent = hammer_now();

    return send(cl->fd, text, n, MSG_NOSIGNAL) == n;
}


/* on the connection that was so for longest */

int
hammer_start_request(hammer_target_t *t, uint32_t key, int most,
    hammer_state_e from)
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
answered(hammer_client_t *cl, int status, const char *body, int keepalive)
{
    uint32_t          key;
    uint64_t          at, sent;
    hammer_target_t  *t;

    at = hammer_now();
    t = cl->target;
    key = cl->key;
    sent = cl->sent;

    /* the body is in the client's buffer, which must not be taken again yet */

    if (t == hammer.management) {
        hammer_delete_answered(key, status, body, at);

    } else {
        hammer_check_answered(t, key, status, sent, at);
    }

    cl->len = 0;

    if (!keepalive || hammer_below(128) == 0) {
        close_client(cl);

    } else if (t != hammer.management && t->n[SPARE] < HAMMER_SPARE) {
        move(cl, SPARE);

    } else if (t == hammer.management || t->n[IDLE] < HAMMER_IDLE) {
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
            hammer_fail("too long answer");
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


static void
give_up(uint64_t t)
{
    int               i;
    hammer_client_t  *cl;

    for (i = 0; i < HAMMER_TARGETS; i++) {

        while (hammer.targets[i].n[BUSY]) {
            cl = hammer.targets[i].ring[BUSY].next;

            /* one that is connecting was not sent yet */

            if (!cl->connected || t < cl->sent + HAMMER_PATIENCE) {
                break;
            }

            printf("odd silence at port %d\n", hammer.targets[i].port);
            answered(cl, 0, "", 0);
        }
    }
}


/* waits at most a millisecond for them; silence is measured at t */

void
hammer_process_events(uint64_t t)
{
    int                  i, n;
    hammer_client_t     *cl;
    struct epoll_event   events[HAMMER_EVENTS];

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
        free_dead(&hammer.targets[i]);
    }
}


int
hammer_busy(void)
{
    int  i, n;

    for (i = 0, n = 0; i < HAMMER_TARGETS; i++) {
        n += hammer.targets[i].n[BUSY];
    }

    return n;
}
