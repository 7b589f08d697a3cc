
/*
 * Copyright (C) ngx_cred_module authors
 * SPDX-License-Identifier: BSD-2-Clause
 */


/*
 * A load generator: sends exactly N requests over C kept-open connections and
 * compares each answer with the expected one.  It speaks HTTP and, with -r,
 * RESP.  In the request a run of eight "@" becomes the number of the request,
 * which starts again after MODULUS, or goes down with -d, and each run of 32
 * "#" becomes random hex digits.
 */


#define _GNU_SOURCE

#include <sys/epoll.h>
#include <sys/socket.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>


#define LOAD_BUFFER   65536
#define LOAD_NUMBER   8
#define LOAD_RANDOM   32
#define LOAD_MARKS    8
#define LOAD_SHOWN    400
#define LOAD_EVENTS   256


typedef struct {
    int        fd;
    int        busy;
    uint64_t   start;           /* ns */
    size_t     sent;
    size_t     len;             /* of what was received */
    char      *request;
    char       buf[LOAD_BUFFER];
} load_client_t;


static const char  *host = "127.0.0.1", *body = "", *mark;
static int          port, resp, down, status = 200;
static size_t       nclients = 64;
static uint64_t     nrequests, first, modulus, rate, limit = 120, seed = 1;

static char        *template;
static size_t       template_len, body_len;
static size_t       numbers[LOAD_MARKS], randoms[LOAD_MARKS];
static size_t       nnumbers, nrandoms;

static uint64_t     started, next, done, marked;
static uint32_t    *latencies;  /* units of 100 ns */


static void
fail(const char *what, const char *detail, size_t len)
{
    if (len > LOAD_SHOWN) {
        len = LOAD_SHOWN;
    }

    fprintf(stderr, "load: %s after %llu answers: %.*s\n", what,
            (unsigned long long) done, (int) len, detail);
    exit(1);
}


static void
fail_errno(const char *what)
{
    const char  *reason;

    reason = strerror(errno);
    fail(what, reason, strlen(reason));
}


static uint64_t
now(void)
{
    struct timespec  ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);

    return (uint64_t) ts.tv_sec * 1000000000 + ts.tv_nsec;
}


static char *
read_file(const char *name, size_t *len)
{
    FILE  *f;
    char  *p;

    f = fopen(name, "r");
    if (f == NULL) {
        fail_errno(name);
    }

    p = malloc(LOAD_BUFFER);

    *len = fread(p, 1, LOAD_BUFFER, f);

    if (ferror(f) || *len == LOAD_BUFFER) {
        fail("cannot read", name, strlen(name));
    }

    fclose(f);

    return p;
}


static size_t
find_marks(char mark, size_t run, size_t *marks)
{
    size_t  i, n, count;

    n = 0;
    count = 0;

    for (i = 0; i < template_len; i++) {
        count = (template[i] == mark) ? count + 1 : 0;

        if (count == run && n < LOAD_MARKS) {
            marks[n++] = i + 1 - run;
            count = 0;
        }
    }

    return n;
}


/* xorshift64: values need not be hard to guess, only different */

static uint64_t
random_bits(void)
{
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;

    return seed;
}


static void
fill_request(load_client_t *cl, uint64_t number)
{
    char      *p;
    size_t     i, n;
    uint64_t   v = 0;

    for (i = 0; i < nnumbers; i++) {
        v = number;
        p = cl->request + numbers[i];

        for (n = LOAD_NUMBER; n; n--) {
            p[n - 1] = '0' + v % 10;
            v /= 10;
        }
    }

    for (i = 0; i < nrandoms; i++) {
        p = cl->request + randoms[i];

        for (n = 0; n < LOAD_RANDOM; n++) {

            if (n % 16 == 0) {
                v = random_bits();
            }

            p[n] = "0123456789abcdef"[v & 15];
            v >>= 4;
        }
    }
}


static void
send_request(load_client_t *cl)
{
    ssize_t  n;

    n = send(cl->fd, cl->request + cl->sent, template_len - cl->sent,
             MSG_NOSIGNAL);

    /* a request fits into an empty socket buffer */

    if (n != (ssize_t) template_len) {
        fail_errno("cannot send");
    }
}


/* 0 if it is not whole, else its length */

static size_t
resp_length(const char *p, const char *last, int depth)
{
    long         n;
    size_t       len;
    const char  *start, *end;

    start = p;
    end = memchr(p, '\n', last - p);

    if (end == NULL) {
        return 0;
    }

    n = strtol(p + 1, NULL, 10);

    switch (*p) {

    case '$':
        len = end + 1 - start + (n < 0 ? 0 : n + 2);
        return len <= (size_t) (last - start) ? len : 0;

    case '*':
        if (depth == 8) {
            fail("deep reply", p, last - p);
        }

        for (p = end + 1; n > 0; n--) {
            len = p < last ? resp_length(p, last, depth + 1) : 0;

            if (len == 0) {
                return 0;
            }

            p += len;
        }

        return p - start;

    default:
        return end + 1 - start;
    }
}


static size_t
check_resp(load_client_t *cl)
{
    size_t  len;

    len = resp_length(cl->buf, cl->buf + cl->len, 0);

    if (len == 0) {
        return 0;
    }

    if (len < body_len || memcmp(cl->buf, body, body_len) != 0) {
        fail("unexpected reply", cl->buf, len);
    }

    return len;
}


static size_t
check_http(load_client_t *cl)
{
    int      hit;
    char    *end, *p;
    size_t   head, length;

    cl->buf[cl->len] = '\0';

    end = strstr(cl->buf, "\r\n\r\n");

    if (end == NULL) {
        return 0;
    }

    head = end + 4 - cl->buf;

    if (cl->len < 12 || memcmp(cl->buf, "HTTP/1.1 ", 9) != 0
        || atoi(cl->buf + 9) != status)
    {
        fail("unexpected status", cl->buf, cl->len);
    }

    *end = '\0';
    p = strcasestr(cl->buf, "\r\nContent-Length:");
    hit = mark && strstr(cl->buf, mark);
    *end = '\r';

    length = p ? strtoul(p + 17, NULL, 10) : 0;

    if (cl->len < head + length) {
        return 0;
    }

    marked += hit;

    if (length != body_len || memcmp(cl->buf + head, body, body_len) != 0) {
        fail("unexpected body", cl->buf, cl->len);
    }

    return head + length;
}


/* 1 if there was an answer */

static int
read_answer(load_client_t *cl)
{
    size_t    len;
    ssize_t   n;
    uint64_t  latency;

    n = recv(cl->fd, cl->buf + cl->len, LOAD_BUFFER - 1 - cl->len, 0);

    if (n == -1 && errno == EAGAIN) {
        return 0;
    }

    if (n <= 0) {
        fail(n ? strerror(errno) : "connection closed", cl->buf, cl->len);
    }

    cl->len += n;

    len = resp ? check_resp(cl) : check_http(cl);

    if (len == 0) {

        if (cl->len == LOAD_BUFFER - 1) {
            fail("too long answer", cl->buf, cl->len);
        }

        return 0;
    }

    if (len != cl->len || !cl->busy) {
        fail("more than one answer", cl->buf, cl->len);
    }

    cl->len = 0;
    cl->busy = 0;

    latency = (now() - cl->start) / 100;
    latencies[done++] = latency > UINT32_MAX ? UINT32_MAX : latency;

    return 1;
}


static void
start_request(load_client_t *cl, uint64_t due)
{
    uint64_t  number;

    number = down ? nrequests - 1 - next : next;
    next++;

    fill_request(cl, first + (modulus ? number % modulus : number));

    cl->busy = 1;
    cl->start = due;

    send_request(cl);
}


static void
connect_client(load_client_t *cl, int ep)
{
    int                 one;
    struct epoll_event  ee;
    struct sockaddr_in  sin;

    cl->fd = socket(AF_INET, SOCK_STREAM, 0);

    memset(&sin, 0, sizeof(sin));
    sin.sin_family = AF_INET;
    sin.sin_port = htons(port);
    inet_pton(AF_INET, host, &sin.sin_addr);

    if (connect(cl->fd, (struct sockaddr *) &sin, sizeof(sin)) == -1) {
        fail_errno("cannot connect");
    }

    one = 1;
    setsockopt(cl->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    fcntl(cl->fd, F_SETFL, O_NONBLOCK);

    ee.events = EPOLLIN;
    ee.data.ptr = cl;
    epoll_ctl(ep, EPOLL_CTL_ADD, cl->fd, &ee);

    cl->request = malloc(template_len);
    memcpy(cl->request, template, template_len);
}


static int
compare(const void *one, const void *two)
{
    uint32_t  a, b;

    a = *(const uint32_t *) one;
    b = *(const uint32_t *) two;

    return (a > b) - (a < b);
}


/* with -R requests start when they are due, whether others are late or not */

static void
run(load_client_t *clients, int ep)
{
    int                  i, n;
    size_t               idle;
    uint64_t             t, due;
    struct pollfd        pfd;
    struct timespec      ts;
    struct epoll_event   events[LOAD_EVENTS];

    pfd.fd = ep;
    pfd.events = POLLIN;
    idle = 0;

    started = now();

    if (rate == 0) {
        for (i = 0; i < (int) nclients && next < nrequests; i++) {
            start_request(&clients[i], now());
        }
    }

    while (done < nrequests) {
        t = now();

        if (t - started > limit * 1000000000) {
            fail("time is up", "", 0);
        }

        ts.tv_sec = 1;
        ts.tv_nsec = 0;

        while (rate && next < nrequests) {
            due = started + next * 1000000000 / rate;

            if (due > t) {
                ts.tv_sec = 0;
                ts.tv_nsec = due - t < 999999999 ? due - t : 999999999;
                break;
            }

            for (i = 0; i < (int) nclients; i++, idle++) {
                if (!clients[idle % nclients].busy) {
                    break;
                }
            }

            if (i == (int) nclients) {
                break;
            }

            start_request(&clients[idle++ % nclients], due);
        }

        if (ppoll(&pfd, 1, &ts, NULL) == -1 && errno != EINTR) {
            fail_errno("poll");
        }

        n = epoll_wait(ep, events, LOAD_EVENTS, 0);

        for (i = 0; i < n; i++) {
            if (read_answer(events[i].data.ptr) && rate == 0
                && next < nrequests)
            {
                start_request(events[i].data.ptr, now());
            }
        }
    }
}


static double
percentile(double p)
{
    size_t  i;

    i = (size_t) (p / 100 * nrequests);

    return latencies[i < nrequests ? i : nrequests - 1] / 10.0;
}


int
main(int argc, char **argv)
{
    int             opt, ep;
    size_t          i;
    double          seconds;
    load_client_t  *clients;

    while ((opt = getopt(argc, argv, "rdp:c:n:o:m:H:R:T:s:b:e:t:S:")) != -1) {

        switch (opt) {
        case 'r':  resp = 1;                              break;
        case 'd':  down = 1;                              break;
        case 'p':  port = atoi(optarg);                   break;
        case 'c':  nclients = strtoul(optarg, NULL, 10);  break;
        case 'n':  nrequests = strtoull(optarg, NULL, 10);break;
        case 'o':  first = strtoull(optarg, NULL, 10);    break;
        case 'm':  modulus = strtoull(optarg, NULL, 10);  break;
        case 'H':  mark = optarg;                         break;
        case 'R':  rate = strtoull(optarg, NULL, 10);     break;
        case 'T':  limit = strtoull(optarg, NULL, 10);    break;
        case 'S':  seed = strtoull(optarg, NULL, 10);     break;
        case 's':  status = atoi(optarg);                 break;
        case 'b':  body = optarg; body_len = strlen(body);break;
        case 'e':  body = read_file(optarg, &body_len);   break;
        case 't':  template = read_file(optarg, &template_len); break;
        default:   return 2;
        }
    }

    if (port == 0 || nrequests == 0 || template == NULL || nclients == 0
        || seed == 0)
    {
        fprintf(stderr, "usage: load [-r] -p PORT -n REQUESTS -t TEMPLATE "
                "[-c CLIENTS] [-o FIRST]\n            [-m MODULUS] [-d] "
                "[-s STATUS] [-b BODY | -e FILE] [-H IN_HEAD]\n"
                "            [-R RATE] [-S SEED] [-T SECONDS]\n");
        return 2;
    }

    nnumbers = find_marks('@', LOAD_NUMBER, numbers);
    nrandoms = find_marks('#', LOAD_RANDOM, randoms);

    latencies = malloc(nrequests * sizeof(uint32_t));
    clients = calloc(nclients, sizeof(load_client_t));
    ep = epoll_create1(0);

    if (latencies == NULL || clients == NULL || ep == -1) {
        fail_errno("cannot start");
    }

    for (i = 0; i < nclients; i++) {
        connect_client(&clients[i], ep);
    }

    run(clients, ep);

    seconds = (now() - started) / 1e9;

    qsort(latencies, nrequests, sizeof(uint32_t), compare);

    printf("requests=%llu marked=%llu seconds=%.6f rate=%.1f p50=%.1f p99=%.1f "
           "max=%.1f\n",
           (unsigned long long) nrequests, (unsigned long long) marked,
           seconds, nrequests / seconds,
           percentile(50), percentile(99), percentile(100));

    return 0;
}
