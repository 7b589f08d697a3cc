
/*
 * Copyright (C) ngx_cred_module authors
 * SPDX-License-Identifier: BSD-2-Clause
 */


#include <wire.h>
#include <server.h>
#include <ngx_event_connect.h>


#define WIRE_EVENTS  20000      /* in one run: it would go on for ever */
#define WIRE_HOURS   8
#define WIRE_HOUR    3600000


typedef struct {
    ngx_connection_t     c;
    ngx_event_t          read;
    ngx_event_t          write;
    ngx_queue_t          queue;
    server_t             server;
    size_t               read_by;    /* of what the server has said */
    unsigned             over:1;     /* and it is known that there is no more */
} wire_t;


int __real_clock_gettime(clockid_t id, struct timespec *ts);
int __wrap_clock_gettime(clockid_t id, struct timespec *ts);

static void wire_turn(void);
static wire_t *wire_readable(void);
static void wire_hang_up(void);
static ssize_t wire_recv(ngx_connection_t *c, u_char *buf, size_t size);
static ssize_t wire_send(ngx_connection_t *c, u_char *buf, size_t size);


ngx_uint_t          ngx_exiting;

ngx_ssl_t           wire_ssl;

static ngx_queue_t  wire_connections;
static ngx_cycle_t  wire_cycle;
static ngx_time_t   wire_time;
static ngx_uint_t   wire_down;
static ngx_uint_t   wire_events;
static ngx_uint_t   wire_clock;      /* is that of the input */
static uint64_t     wire_ticks;


/* that of libFuzzer is the machine's */

int
__wrap_clock_gettime(clockid_t id, struct timespec *ts)
{
    uint64_t  ns;

    if (!wire_clock) {
        return __real_clock_gettime(id, ts);
    }

    ns = (uint64_t) ngx_current_msec * 1000000 + wire_ticks++;

    ts->tv_sec = ns / 1000000000;
    ts->tv_nsec = ns % 1000000000;

    return 0;
}


void
wire_start(u_char *data, size_t size)
{
    ngx_memzero(&wire_cycle, sizeof(ngx_cycle_t));

    if (wire_ssl.ctx == NULL) {
        wire_ssl.ctx = SSL_CTX_new(TLS_client_method());
        fuzz_assert(wire_ssl.ctx != NULL);
    }

    wire_cycle.log = &unit_log;
    wire_cycle.connection_n = 512;
    wire_cycle.pool = ngx_create_pool(NGX_MIN_POOL_SIZE, &unit_log);
    fuzz_assert(wire_cycle.pool != NULL);

    unit_log.log_level = NGX_LOG_INFO;

    ngx_cycle = &wire_cycle;
    ngx_current_msec = WIRE_HOUR;
    wire_time.sec = 1500000000;
    ngx_cached_time = &wire_time;

    ngx_queue_init(&wire_connections);
    ngx_queue_init(&ngx_posted_events);
    ngx_queue_init(&ngx_posted_next_events);

    fuzz_assert(ngx_event_timer_init(&unit_log) == NGX_OK);

    srandom(1);

    wire_down = 0;
    wire_events = 0;
    wire_ticks = 0;
    wire_clock = 1;

    server_script(data, size);
}


void
wire_run(ngx_msec_t ms)
{
    wire_t      *wire;
    ngx_msec_t   timer, end;

    end = ngx_current_msec + ms;

    while (wire_events++ < WIRE_EVENTS) {

        wire_turn();

        wire = wire_readable();

        if (wire) {
            wire->read.ready = 1;
            wire->read.handler(&wire->read);
            continue;
        }

        timer = ngx_event_find_timer();

        if (timer == NGX_TIMER_INFINITE
            || timer > (ngx_msec_t) (end - ngx_current_msec))
        {
            ngx_current_msec = end;
            return;
        }

        ngx_current_msec += timer;
        ngx_event_expire_timers();
    }

    /* what comes after this has its turn, too */

    wire_events = 0;
}


void
wire_end(void)
{
    ngx_uint_t  hour;

    wire_down = 1;

    for (hour = 0; hour < WIRE_HOURS; hour++) {

        wire_hang_up();

        if (hour == WIRE_HOURS / 2) {
            ngx_destroy_pool(wire_cycle.pool);
            wire_cycle.pool = NULL;
        }

        ngx_current_msec += WIRE_HOUR;
        ngx_event_expire_timers();
        wire_turn();
    }

    wire_clock = 0;

    fuzz_assert(ngx_queue_empty(&wire_connections));
    fuzz_assert(ngx_event_find_timer() == NGX_TIMER_INFINITE);
}


/* all that was posted for the end of this turn */

static void
wire_turn(void)
{
    while (!ngx_queue_empty(&ngx_posted_events)
           || !ngx_queue_empty(&ngx_posted_next_events))
    {
        ngx_event_process_posted(&wire_cycle, &ngx_posted_events);
        ngx_event_move_posted_next(&wire_cycle);
    }
}


static wire_t *
wire_readable(void)
{
    wire_t       *wire;
    ngx_queue_t  *q;

    for (q = ngx_queue_head(&wire_connections);
         q != ngx_queue_sentinel(&wire_connections);
         q = ngx_queue_next(q))
    {
        wire = ngx_queue_data(q, wire_t, queue);

        if (wire->read_by < wire->server.said.len
            || (wire->server.closed && !wire->over))
        {
            return wire;
        }
    }

    return NULL;
}


static void
wire_hang_up(void)
{
    wire_t       *wire;
    ngx_queue_t  *q;

    for (q = ngx_queue_head(&wire_connections);
         q != ngx_queue_sentinel(&wire_connections);
         q = ngx_queue_next(q))
    {
        wire = ngx_queue_data(q, wire_t, queue);
        wire->read_by = wire->server.said.len;
        wire->server.closed = 1;
    }

    for ( ;; ) {
        wire_turn();

        wire = wire_readable();

        if (wire == NULL) {
            break;
        }

        wire->read.ready = 1;
        wire->read.handler(&wire->read);
    }
}


static ssize_t
wire_recv(ngx_connection_t *c, u_char *buf, size_t size)
{
    size_t   n;
    wire_t  *wire;

    wire = (wire_t *) c;
    n = ngx_min(size, wire->server.said.len - wire->read_by);

    if (n) {
        ngx_memcpy(buf, wire->server.said.data + wire->read_by, n);
        wire->read_by += n;

        return n;
    }

    if (wire->server.closed) {
        wire->over = 1;
        return 0;
    }

    c->read->ready = 0;

    return NGX_AGAIN;
}


static ssize_t
wire_send(ngx_connection_t *c, u_char *buf, size_t size)
{
    server_hears(&((wire_t *) c)->server, buf, size);

    return size;
}


/* and what the sources want of nginx */

ngx_int_t
ngx_event_connect_peer(ngx_peer_connection_t *pc)
{
    wire_t  *wire;

    pc->connection = NULL;

    if (wire_down || server_refuses("connect")) {
        ngx_set_socket_errno(ECONNREFUSED);
        return NGX_ERROR;
    }

    wire = calloc(1, sizeof(wire_t));
    fuzz_assert(wire != NULL);

    wire->c.read = &wire->read;
    wire->c.write = &wire->write;
    wire->c.recv = wire_recv;
    wire->c.send = wire_send;
    wire->c.log = pc->log;
    wire->c.fd = (ngx_socket_t) -1;

    wire->read.data = &wire->c;
    wire->read.log = pc->log;
    wire->write.data = &wire->c;
    wire->write.log = pc->log;
    wire->write.write = 1;
    wire->write.ready = 1;

    ngx_queue_insert_tail(&wire_connections, &wire->queue);

    pc->connection = &wire->c;

    return NGX_OK;
}


void
ngx_close_connection(ngx_connection_t *c)
{
    wire_t  *wire;

    wire = (wire_t *) c;

    if (c->read->posted) {
        ngx_delete_posted_event(c->read);
    }

    ngx_queue_remove(&wire->queue);

    server_forget(&wire->server);
    free(wire);
}


ngx_int_t
ngx_event_get_peer(ngx_peer_connection_t *pc, void *data)
{
    return NGX_OK;
}


ngx_int_t
ngx_handle_read_event(ngx_event_t *rev, ngx_uint_t flags)
{
    return NGX_OK;
}


ngx_int_t
ngx_handle_write_event(ngx_event_t *wev, size_t lowat)
{
    return NGX_OK;
}


ngx_int_t
ngx_tcp_nodelay(ngx_connection_t *c)
{
    return NGX_OK;
}


ngx_resolver_ctx_t *
ngx_resolve_start(ngx_resolver_t *r, ngx_resolver_ctx_t *temp)
{
    return NGX_NO_RESOLVER;
}


ngx_int_t
ngx_resolve_name(ngx_resolver_ctx_t *ctx)
{
    return NGX_ERROR;
}


void
ngx_resolve_name_done(ngx_resolver_ctx_t *ctx)
{
    /* void */
}


char *
ngx_resolver_strerror(ngx_int_t err)
{
    return "";
}


ngx_int_t
ngx_ssl_create_connection(ngx_ssl_t *ssl, ngx_connection_t *c, ngx_uint_t flags)
{
    c->ssl = ngx_pcalloc(c->pool, sizeof(ngx_ssl_connection_t));
    fuzz_assert(c->ssl != NULL);

    c->ssl->connection = SSL_new(ssl->ctx);
    fuzz_assert(c->ssl->connection != NULL);

    return NGX_OK;
}


ngx_int_t
ngx_ssl_handshake(ngx_connection_t *c)
{
    return server_refuses("tls") ? NGX_ERROR : NGX_OK;
}


ngx_int_t
ngx_ssl_shutdown(ngx_connection_t *c)
{
    SSL_free(c->ssl->connection);
    c->ssl = NULL;

    return NGX_OK;
}


ngx_int_t
ngx_ssl_set_session(ngx_connection_t *c, ngx_ssl_session_t *session)
{
    return NGX_OK;
}


ngx_ssl_session_t *
ngx_ssl_get_session(ngx_connection_t *c)
{
    return NULL;
}


void ngx_cdecl
ngx_ssl_error(ngx_uint_t level, ngx_log_t *log, ngx_err_t err, char *fmt, ...)
{
    /* void */
}
