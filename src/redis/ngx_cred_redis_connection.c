
/*
 * Copyright (C) ngx_cred_module authors
 * SPDX-License-Identifier: BSD-2-Clause
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>
#include <ngx_cred_redis_connection.h>


#define NGX_CRED_REDIS_BUFFER_SIZE  65536
#define NGX_CRED_REDIS_READS        16     /* of one buffer, per event ... */
#define NGX_CRED_REDIS_REPLIES      1024   /* ... and no other after so many */
#define NGX_CRED_REDIS_TLS_ALERT    0x15


static void ngx_cred_redis_flush_handler(ngx_event_t *ev);
static void ngx_cred_redis_read(ngx_cred_redis_t *redis);
static void ngx_cred_redis_closed(ngx_cred_redis_t *redis, ssize_t n);
static void ngx_cred_redis_invalid(ngx_cred_redis_t *redis, char *err);
static void ngx_cred_redis_timer_handler(ngx_event_t *ev);
static u_char *ngx_cred_redis_log_error(ngx_log_t *log, u_char *buf,
    size_t len);


static u_char      ngx_cred_redis_buffer[NGX_CRED_REDIS_BUFFER_SIZE];


void
ngx_cred_redis_connection_init(ngx_cred_redis_t *redis)
{
    redis->log = *ngx_cycle->log;
    redis->log.handler = ngx_cred_redis_log_error;
    redis->log.data = redis;
    redis->log.action = NULL;

    redis->net.conf = &redis->conf.net;
    redis->net.pool = redis->pool;
    redis->net.log = &redis->log;
    redis->net.shown = &redis->url.name;
    redis->net.path = redis->url.path;
    redis->net.tls = redis->url.tls;
    redis->net.read = ngx_cred_redis_read_handler;
    redis->net.write = ngx_cred_redis_write_handler;
    redis->net.data = redis;
    redis->net.connected = ngx_cred_redis_connected;
    redis->net.failed = ngx_cred_redis_disconnected;

    ngx_queue_init(&redis->greetings);
    ngx_queue_init(&redis->waiting);
    ngx_queue_init(&redis->sent);
    ngx_queue_init(&redis->moved);

    redis->start.handler = ngx_cred_redis_start_handler;
    redis->start.data = redis;
    redis->start.log = &redis->log;

    redis->flush.handler = ngx_cred_redis_flush_handler;
    redis->flush.data = redis;
    redis->flush.log = &redis->log;

    redis->end.handler = ngx_cred_redis_end_handler;
    redis->end.data = redis;
    redis->end.log = &redis->log;

    redis->timer.handler = ngx_cred_redis_timer_handler;
    redis->timer.data = redis;
    redis->timer.log = &redis->log;

    redis->backoff.handler = ngx_cred_redis_backoff_handler;
    redis->backoff.data = redis;
    redis->backoff.log = &redis->log;
    redis->backoff.cancelable = 1;
}


void
ngx_cred_redis_write_handler(ngx_event_t *wev)
{
    ngx_connection_t  *c;

    c = wev->data;

    ngx_cred_redis_write(c->data);
}


void
ngx_cred_redis_flush(ngx_cred_redis_t *redis)
{
    ngx_post_event(&redis->flush, &ngx_posted_events);
}


static void
ngx_cred_redis_flush_handler(ngx_event_t *ev)
{
    ngx_cred_redis_t  *redis;

    redis = ev->data;

    if (redis->rejected || redis->regreet || !ngx_queue_empty(&redis->moved)) {
        return;
    }

    if (redis->state == NGX_CRED_REDIS_READY
        || redis->state == NGX_CRED_REDIS_GREETING)
    {
        if (ngx_cred_redis_encode(redis) == NGX_OK) {
            ngx_cred_redis_write(redis);

        } else {
            ngx_cred_redis_fail(redis, NGX_CRED_REDIS_BROKEN, 0,
                                "no memory", NULL);
        }
    }

    /* an exiting worker is done with this connection */

    if (ngx_exiting && redis->net.peer.connection
        && ngx_cred_redis_unasked(redis))
    {
        ngx_cred_redis_close(redis);
    }
}


ngx_int_t
ngx_cred_redis_send(ngx_cred_redis_t *redis)
{
    ssize_t                   n;
    ngx_connection_t         *c;
    ngx_cred_redis_output_t  *out;

    c = redis->net.peer.connection;
    out = &redis->out;

    while (out->pos < out->last && c->write->ready) {

        n = c->send(c, out->pos, out->last - out->pos);

        if (n == NGX_AGAIN) {
            break;
        }

        if (n == NGX_ERROR || n == 0) {
            return NGX_ERROR;
        }

        out->pos += n;
    }

    return NGX_OK;
}


void
ngx_cred_redis_write(ngx_cred_redis_t *redis)
{
    size_t                    size;
    ngx_connection_t         *c;
    ngx_cred_redis_output_t  *out;

    c = redis->net.peer.connection;
    out = &redis->out;

    if (ngx_cred_redis_send(redis) != NGX_OK) {
        ngx_cred_net_broken(&redis->net, "send() failed");
        return;
    }

    if (out->pos == out->last) {
        size = out->end - out->start;

        if (size > NGX_CRED_REDIS_BUFFER_SIZE) {
            ngx_free(out->start);
            ngx_memzero(out, sizeof(ngx_cred_redis_output_t));

        } else {
            out->pos = out->start;
            out->last = out->start;
        }
    }

    if (ngx_handle_write_event(c->write, 0) != NGX_OK) {
        ngx_cred_redis_fail(redis, NGX_CRED_REDIS_BROKEN, 0,
                            "no write event", NULL);
    }
}


void
ngx_cred_redis_read_handler(ngx_event_t *rev)
{
    ngx_connection_t  *c;
    ngx_cred_redis_t  *redis;

    c = rev->data;
    redis = c->data;

    if (c->close) {

        if (c->error) {
            ngx_cred_net_shutdown = 1;
            ngx_cred_redis_fail(redis, NGX_CRED_REDIS_BROKEN, 0,
                                "worker is shutting down", NULL);
            return;
        }

        if (ngx_cred_redis_unasked(redis)) {
            ngx_cred_redis_close(redis);
            return;
        }
    }

    redis->busy = 1;
    ngx_cred_redis_read(redis);
    redis->busy = 0;
}


static void
ngx_cred_redis_read(ngx_cred_redis_t *redis)
{
    char                    *err;
    ssize_t                  n;
    ngx_int_t                rc;
    ngx_uint_t               i, nreplies;
    ngx_connection_t        *c;
    ngx_cred_redis_reply_t  *reply;

    c = redis->net.peer.connection;
    nreplies = 0;

    for (i = 0;
         i < NGX_CRED_REDIS_READS && nreplies < NGX_CRED_REDIS_REPLIES;
         i++)
    {

        n = c->recv(c, ngx_cred_redis_buffer, NGX_CRED_REDIS_BUFFER_SIZE);

        if (n == NGX_AGAIN) {
            break;
        }

        if (n == NGX_ERROR || n == 0) {

            /* while it is in doubt, attempts go on by themselves */

            if (ngx_cred_redis_unasked(redis)
                && redis->state == NGX_CRED_REDIS_READY
                && redis->failures == 0
                && redis->conf.channel.len == 0)
            {
                ngx_cred_redis_close(redis);
                return;
            }

            ngx_cred_redis_closed(redis, n);
            return;
        }

        redis->net.heard = 1;

        if (ngx_cred_redis_codec_feed(redis->codec, ngx_cred_redis_buffer, n)
            != NGX_OK)
        {
            ngx_cred_redis_fail(redis, NGX_CRED_REDIS_BROKEN, 0,
                                "no memory", NULL);
            return;
        }

        for ( ;; ) {
            rc = ngx_cred_redis_codec_next(redis->codec, &reply, &err);

            if (rc == NGX_AGAIN) {
                break;
            }

            if (rc == NGX_ERROR) {
                ngx_cred_redis_invalid(redis, err);
                return;
            }

            nreplies++;

            if (redis->state == NGX_CRED_REDIS_HANDSHAKE) {

                if (ngx_cred_redis_handshake_reply(redis, reply) != NGX_OK) {
                    return;
                }

                continue;
            }

            if (ngx_cred_redis_dispatch(redis, reply) != NGX_OK) {
                ngx_cred_redis_fail(redis, NGX_CRED_REDIS_BROKEN, 0,
                                    "reply without a command", NULL);
                return;
            }
        }

        if (!c->read->ready) {
            break;
        }
    }

    if (c->read->ready) {
        ngx_post_event(c->read, &ngx_posted_next_events);
    }

    ngx_cred_redis_watch(redis);

    if (ngx_handle_read_event(c->read, 0) != NGX_OK) {
        ngx_cred_redis_fail(redis, NGX_CRED_REDIS_BROKEN, 0,
                            "no read event", NULL);
    }
}


static void
ngx_cred_redis_closed(ngx_cred_redis_t *redis, ssize_t n)
{
    /* so does OpenSSL when it gets something else than TLS */

    if (redis->state == NGX_CRED_REDIS_HANDSHAKE && !redis->net.heard
        && !redis->url.tls && redis->url.path.len == 0)
    {
        ngx_cred_redis_fail(redis, NGX_CRED_REDIS_BROKEN,
                            n == 0 ? 0 : ngx_socket_errno,
                            "redis closed the connection without a word, "
                            "perhaps its port speaks TLS", NULL);
        return;
    }

    if (n == 0) {
        ngx_cred_redis_fail(redis, NGX_CRED_REDIS_BROKEN, 0,
                            "redis closed the connection", NULL);
        return;
    }

    ngx_cred_net_broken(&redis->net, "recv() failed");
}


static void
ngx_cred_redis_invalid(ngx_cred_redis_t *redis, char *err)
{
    ngx_str_t  detail;

    detail.data = (u_char *) err;
    detail.len = ngx_strlen(err);

    /* an alert is all that TLS answers to a command */

    if (redis->state == NGX_CRED_REDIS_HANDSHAKE
        && ngx_cred_redis_buffer[0] == NGX_CRED_REDIS_TLS_ALERT)
    {
        ngx_str_set(&detail, "an alert of TLS, which \"rediss://\" speaks");
    }

    ngx_cred_redis_fail(redis, NGX_CRED_REDIS_BROKEN, 0, "invalid reply:",
                        &detail);
}


void
ngx_cred_redis_watch(ngx_cred_redis_t *redis)
{
    unsigned                   idle;
    ngx_queue_t               *q;
    ngx_msec_int_t             left;
    ngx_cred_redis_command_t  *command;

    /*
     * The timer stays armed between commands, which is cheaper than to set it
     * for each, but then it does not keep an exiting worker; neither does an
     * attempt to connect that nobody waits for.
     */

    idle = ngx_cred_redis_unasked(redis);

    redis->timer.cancelable = idle;
    redis->net.idle = idle;

    if (redis->net.peer.connection) {
        redis->net.peer.connection->idle = idle;
    }

    if (idle && redis->retired) {
        ngx_post_event(&redis->end, &ngx_posted_events);
    }

    if (redis->state != NGX_CRED_REDIS_READY
        && redis->state != NGX_CRED_REDIS_GREETING)
    {
        return;
    }

    if (idle && ngx_exiting) {
        ngx_cred_redis_flush(redis);
        return;
    }

    /* a greeting's is that of the attempt */

    if (!redis->timer.timer_set && !ngx_queue_empty(&redis->sent)) {
        q = ngx_queue_head(&redis->sent);
        command = ngx_queue_data(q, ngx_cred_redis_command_t, queue);

        left = (ngx_msec_int_t) (command->limit - ngx_current_msec);
        ngx_add_timer(&redis->timer, (ngx_msec_t) ngx_max(left, 1));
    }
}


static void
ngx_cred_redis_timer_handler(ngx_event_t *ev)
{
    ngx_queue_t               *q;
    ngx_cred_redis_t          *redis;
    ngx_cred_redis_command_t  *command;

    redis = ev->data;

    if (redis->state != NGX_CRED_REDIS_READY) {
        ngx_cred_redis_fail(redis, NGX_CRED_REDIS_TIMEDOUT, 0,
                            ngx_cred_net_late(&redis->net), NULL);
        return;
    }

    if (redis->pinged) {
        ngx_cred_redis_fail(redis, NGX_CRED_REDIS_TIMEDOUT, 0,
                            "redis did not reply to PING in time", NULL);
        return;
    }

    if (ngx_queue_empty(&redis->sent)) {
        return;
    }

    q = ngx_queue_head(&redis->sent);
    command = ngx_queue_data(q, ngx_cred_redis_command_t, queue);

    if ((ngx_msec_int_t) (command->limit - ngx_current_msec) > 0) {
        ngx_cred_redis_watch(redis);
        return;
    }

    /* a late reply must not be taken for another command's */

    ngx_cred_redis_fail(redis, NGX_CRED_REDIS_TIMEDOUT, 0,
                        "redis did not reply in time", NULL);
}


void
ngx_cred_redis_ready(ngx_cred_redis_t *redis)
{
    if (redis->timer.timer_set) {
        ngx_del_timer(&redis->timer);
    }

    redis->log.action = NULL;
    redis->state = NGX_CRED_REDIS_READY;
    redis->number++;
    redis->answered = 0;
    redis->heard_at = ngx_current_msec;

    ngx_cred_redis_watch(redis);
    ngx_cred_redis_flush(redis);
}


static u_char *
ngx_cred_redis_log_error(ngx_log_t *log, u_char *buf, size_t len)
{
    u_char            *p;
    ngx_cred_redis_t  *redis;

    redis = log->data;
    p = buf;

    if (log->action) {
        p = ngx_snprintf(p, len, " while %s", log->action);
        len -= p - buf;
        buf = p;
    }

    p = ngx_snprintf(p, len, ", %s", redis->kind);
    len -= p - buf;
    buf = p;

    if (redis->shown.len) {
        p = ngx_snprintf(p, len, ": %V", &redis->shown);
        len -= p - buf;
        buf = p;
    }

    p = ngx_snprintf(p, len, ", redis: \"%V\"", &redis->url.name);

    if (redis->url.kind == NGX_CRED_REDIS_SERVER
        || redis->state == NGX_CRED_REDIS_CLOSED)
    {
        return p;
    }

    len -= p - buf;

    return ngx_snprintf(p, len, ", server: \"%V:%ui\"", &redis->net.name,
                        (ngx_uint_t) redis->net.port);
}
