
/*
 * Copyright (C) ngx_cred_module authors
 * SPDX-License-Identifier: BSD-2-Clause
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>
#include <ngx_cred_redis_connection.h>


static void ngx_cred_redis_resolve(ngx_cred_redis_t *redis);
static void ngx_cred_redis_resolve_handler(ngx_resolver_ctx_t *ctx);
static void ngx_cred_redis_open(ngx_cred_redis_t *redis, ngx_addr_t *addr);
static void ngx_cred_redis_opened(ngx_cred_redis_t *redis);
static ngx_int_t ngx_cred_redis_test_connect(ngx_connection_t *c);
static ngx_int_t ngx_cred_redis_handshake_encode(ngx_cred_redis_t *redis);
static ngx_int_t ngx_cred_redis_handshake_time(ngx_cred_redis_t *redis,
    ngx_cred_redis_reply_t *reply);
static ngx_int_t ngx_cred_redis_handshake_done(ngx_cred_redis_t *redis);


ngx_uint_t  ngx_cred_redis_shutdown;


void
ngx_cred_redis_connect(ngx_cred_redis_t *redis)
{
    if (redis->state == NGX_CRED_REDIS_CLOSED) {
        ngx_post_event(&redis->start, &ngx_posted_events);
    }
}


void
ngx_cred_redis_start_handler(ngx_event_t *ev)
{
    ngx_addr_t        *addr;
    ngx_cred_redis_t  *redis;

    redis = ev->data;

    if (redis->state != NGX_CRED_REDIS_CLOSED
        || (redis->retired && redis->ncommands == 0))
    {
        return;
    }

    if (redis->backoff.timer_set) {
        ngx_del_timer(&redis->backoff);
    }

    redis->log.action = "connecting";
    redis->state = NGX_CRED_REDIS_RESOLVING;

    if (redis->retired) {
        ngx_cred_redis_fail(redis, NGX_CRED_REDIS_UNREACHABLE, 0,
                            "another URL has taken its place", NULL);
        return;
    }

    if (redis->timer.timer_set) {
        ngx_del_timer(&redis->timer);
    }

    ngx_add_timer(&redis->timer, redis->conf.connect_timeout);
    ngx_cred_redis_watch(redis);

    if (ngx_cred_redis_shutdown) {
        ngx_cred_redis_fail(redis, NGX_CRED_REDIS_UNREACHABLE, 0,
                            "worker is shutting down", NULL);
        return;
    }

    if (redis->literal) {
        ngx_cred_redis_open(redis, redis->literal);

    } else if (redis->conf.naddrs) {
        addr = &redis->conf.addrs[redis->addr++ % redis->conf.naddrs];
        ngx_cred_redis_open(redis, addr);

    } else {
        ngx_cred_redis_resolve(redis);
    }
}


static void
ngx_cred_redis_resolve(ngx_cred_redis_t *redis)
{
    ngx_resolver_ctx_t  *ctx, temp;

    temp.name = redis->url.host;

    ctx = redis->conf.resolver ? ngx_resolve_start(redis->conf.resolver, &temp)
                               : NGX_NO_RESOLVER;

    if (ctx == NULL) {
        ngx_cred_redis_fail(redis, NGX_CRED_REDIS_UNREACHABLE, 0,
                            "no memory to resolve", &redis->url.host);
        return;
    }

    if (ctx == NGX_NO_RESOLVER) {
        ngx_cred_redis_fail(redis, NGX_CRED_REDIS_UNREACHABLE, 0,
                            "no resolver defined to resolve",
                            &redis->url.host);
        return;
    }

    ctx->name = redis->url.host;
    ctx->handler = ngx_cred_redis_resolve_handler;
    ctx->data = redis;
    ctx->timeout = redis->conf.resolver_timeout;
    ctx->cancelable = 1;

    redis->resolving = ctx;

    if (ngx_resolve_name(ctx) != NGX_OK) {
        redis->resolving = NULL;
        ngx_cred_redis_fail(redis, NGX_CRED_REDIS_UNREACHABLE, 0,
                            "could not resolve", &redis->url.host);
    }
}


static void
ngx_cred_redis_resolve_handler(ngx_resolver_ctx_t *ctx)
{
    ngx_str_t             reason;
    ngx_resolver_addr_t  *addr;
    ngx_cred_redis_t     *redis;

    redis = ctx->data;
    redis->resolving = NULL;

    if (ctx->state) {
        reason.data = (u_char *) ngx_resolver_strerror(ctx->state);
        reason.len = ngx_strlen(reason.data);

        ngx_resolve_name_done(ctx);

        ngx_cred_redis_fail(redis, NGX_CRED_REDIS_UNREACHABLE, 0,
                            "could not resolve the name:", &reason);
        return;
    }

    addr = &ctx->addrs[redis->addr++ % ctx->naddrs];

    ngx_memcpy(&redis->resolved, addr->sockaddr, addr->socklen);
    ngx_inet_set_port(&redis->resolved.sockaddr, redis->url.port);

    redis->resolved_addr.sockaddr = &redis->resolved.sockaddr;
    redis->resolved_addr.socklen = addr->socklen;
    redis->resolved_addr.name = redis->url.name;

    ngx_resolve_name_done(ctx);

    ngx_cred_redis_open(redis, &redis->resolved_addr);
}


static void
ngx_cred_redis_open(ngx_cred_redis_t *redis, ngx_addr_t *addr)
{
    ngx_int_t          rc;
    ngx_err_t          err;
    ngx_uint_t         level;
    ngx_connection_t  *c;

    if (ngx_exiting && redis->ncommands == 0) {
        ngx_cred_redis_close(redis);
        return;
    }

    ngx_memzero(&redis->peer, sizeof(ngx_peer_connection_t));

    redis->peer.sockaddr = addr->sockaddr;
    redis->peer.socklen = addr->socklen;
    redis->peer.name = &redis->url.name;
    redis->peer.get = ngx_event_get_peer;
    redis->peer.log = &redis->log;
    redis->peer.log_error = NGX_ERROR_INFO;

    /* what connect() itself meets is logged once, by ngx_cred_redis_fail() */

    level = redis->log.log_level;
    redis->log.log_level = ngx_min(level, NGX_LOG_ALERT);

    rc = ngx_event_connect_peer(&redis->peer);
    err = ngx_socket_errno;

    redis->log.log_level = level;

    if (rc != NGX_OK && rc != NGX_AGAIN) {
        redis->peer.connection = NULL;
        ngx_cred_redis_fail(redis, NGX_CRED_REDIS_UNREACHABLE, err,
                            "connect() failed", NULL);
        return;
    }

    c = redis->peer.connection;

    c->data = redis;
    c->pool = redis->pool;
    c->log_error = NGX_ERROR_INFO;
    c->read->handler = ngx_cred_redis_read_handler;
    c->write->handler = ngx_cred_redis_write_handler;

    redis->state = NGX_CRED_REDIS_CONNECTING;
    redis->heard = 0;

    ngx_cred_redis_watch(redis);

    if (rc == NGX_OK) {
        ngx_cred_redis_opened(redis);
    }
}


void
ngx_cred_redis_connected(ngx_cred_redis_t *redis)
{
    if (ngx_cred_redis_test_connect(redis->peer.connection) != NGX_OK) {
        ngx_cred_redis_fail(redis, NGX_CRED_REDIS_UNREACHABLE,
                            ngx_socket_errno, "connect() failed", NULL);
        return;
    }

    ngx_cred_redis_opened(redis);
}


static ngx_int_t
ngx_cred_redis_test_connect(ngx_connection_t *c)
{
    int        err;
    socklen_t  len;

    err = 0;
    len = sizeof(int);

    if (getsockopt(c->fd, SOL_SOCKET, SO_ERROR, (void *) &err, &len) == -1) {
        err = ngx_socket_errno;
    }

    if (err) {
        ngx_set_socket_errno(err);
        return NGX_ERROR;
    }

    return NGX_OK;
}


static void
ngx_cred_redis_opened(ngx_cred_redis_t *redis)
{
    if (redis->peer.sockaddr->sa_family != AF_UNIX
        && ngx_tcp_nodelay(redis->peer.connection) != NGX_OK)
    {
        ngx_cred_redis_fail(redis, NGX_CRED_REDIS_UNREACHABLE, 0,
                            "setting TCP_NODELAY failed", NULL);
        return;
    }

    if (redis->url.tls) {
        ngx_cred_redis_tls_start(redis);
        return;
    }

    ngx_cred_redis_handshake(redis);
}


void
ngx_cred_redis_handshake(ngx_cred_redis_t *redis)
{
    redis->log.action = redis->url.password.len ? "authenticating"
                                                : "shaking hands";

    redis->codec = ngx_cred_redis_codec_create(&redis->log);
    redis->state = NGX_CRED_REDIS_HANDSHAKE;

    if (redis->codec == NULL
        || ngx_cred_redis_handshake_encode(redis) != NGX_OK)
    {
        ngx_cred_redis_fail(redis, NGX_CRED_REDIS_UNREACHABLE, 0,
                            "no memory", NULL);
        return;
    }

    ngx_cred_redis_write(redis);
}


static ngx_int_t
ngx_cred_redis_handshake_encode(ngx_cred_redis_t *redis)
{
    u_char      db[NGX_INT_T_LEN];
    ngx_int_t   rc;
    ngx_str_t   args[3];
    ngx_uint_t  n;

    rc = NGX_OK;
    redis->handshake = NGX_CRED_REDIS_TIME;

    if (redis->url.password.len) {
        redis->handshake |= NGX_CRED_REDIS_AUTH;

        n = 0;
        ngx_str_set(&args[n], "AUTH");
        n++;

        if (redis->url.user.len) {
            args[n++] = redis->url.user;
        }

        args[n++] = redis->url.password;

        rc |= ngx_cred_redis_codec_append(&redis->out, args, n, &redis->log);
    }

    if (redis->url.db) {
        redis->handshake |= NGX_CRED_REDIS_SELECT;

        ngx_str_set(&args[0], "SELECT");
        args[1].data = db;
        args[1].len = ngx_sprintf(db, "%ui", redis->url.db) - db;

        rc |= ngx_cred_redis_codec_append(&redis->out, args, 2, &redis->log);
    }

    ngx_str_set(&args[0], "TIME");

    rc |= ngx_cred_redis_codec_append(&redis->out, args, 1, &redis->log);

    if (redis->conf.channel.len) {
        redis->handshake |= NGX_CRED_REDIS_SUBSCRIBE;

        ngx_str_set(&args[0], "SUBSCRIBE");
        args[1] = redis->conf.channel;

        rc |= ngx_cred_redis_codec_append(&redis->out, args, 2, &redis->log);

    } else if (redis->down && redis->conf.greet == NULL) {

        /*
         * Servers are known that go on answering TIME when they answer nothing
         * else: no command is risked before a script, which none has, was asked
         * for.
         */

        redis->handshake |= NGX_CRED_REDIS_PROBE;

        ngx_str_set(&args[0], "EVALSHA");
        ngx_str_set(&args[1], "0000000000000000000000000000000000000000");
        ngx_str_set(&args[2], "0");

        rc |= ngx_cred_redis_codec_append(&redis->out, args, 3, &redis->log);
    }

    return rc;
}


ngx_int_t
ngx_cred_redis_handshake_reply(ngx_cred_redis_t *redis,
    ngx_cred_redis_reply_t *reply)
{
    u_char      *p;
    ngx_uint_t   step;
    const char  *reason;

    step = redis->handshake & (~redis->handshake + 1);

    redis->handshake &= ~step;

    if (reply->type == NGX_CRED_REDIS_ERROR && step != NGX_CRED_REDIS_PROBE) {
        reason = "refused:";

        if (step == NGX_CRED_REDIS_AUTH) {

            /* "unknown command 'AUTH', with args ..." shows the password */

            p = ngx_strlchr(reply->str.data, reply->str.data + reply->str.len,
                            ' ');
            if (p) {
                reply->str.len = p - reply->str.data;
            }

            reason = "refused AUTH:";
        }

        if (step == NGX_CRED_REDIS_SUBSCRIBE) {
            reason = "refused SUBSCRIBE:";
        }

        ngx_cred_redis_fail(redis, NGX_CRED_REDIS_UNREACHABLE, 0, reason,
                            &reply->str);
        return NGX_ERROR;
    }

    if (step == NGX_CRED_REDIS_TIME
        && ngx_cred_redis_handshake_time(redis, reply) != NGX_OK)
    {
        ngx_cred_redis_fail(redis, NGX_CRED_REDIS_UNREACHABLE, 0,
                            "invalid reply to TIME", NULL);
        return NGX_ERROR;
    }

    if (redis->handshake) {

        if (redis->handshake == NGX_CRED_REDIS_SUBSCRIBE) {
            redis->log.action = "subscribing";
        }

        return NGX_OK;
    }

    redis->log.action = NULL;

    if (step == NGX_CRED_REDIS_PROBE && !redis->doubtful) {
        ngx_cred_redis_back(redis);
    }

    return ngx_cred_redis_handshake_done(redis);
}


static ngx_int_t
ngx_cred_redis_handshake_time(ngx_cred_redis_t *redis,
    ngx_cred_redis_reply_t *reply)
{
    ngx_int_t                sec, usec;
    ngx_cred_redis_reply_t  *s, *us;

    if (reply->type != NGX_CRED_REDIS_ARRAY || reply->nelts != 2) {
        return NGX_ERROR;
    }

    s = reply->elts[0];
    us = reply->elts[1];

    if (s->type != NGX_CRED_REDIS_STRING || us->type != NGX_CRED_REDIS_STRING) {
        return NGX_ERROR;
    }

    sec = ngx_atoi(s->str.data, s->str.len);
    usec = ngx_atoi(us->str.data, us->str.len);

    if (sec == NGX_ERROR || usec == NGX_ERROR) {
        return NGX_ERROR;
    }

    ngx_cred_redis_set_time(redis, (uint64_t) sec * 1000 + usec / 1000);

    return NGX_OK;
}


static ngx_int_t
ngx_cred_redis_handshake_done(ngx_cred_redis_t *redis)
{
    if (redis->conf.channel.len) {
        ngx_cred_redis_back(redis);
        ngx_cred_redis_ready(redis);

        redis->conf.message(redis->conf.data);

        return NGX_OK;
    }

    if (redis->conf.greet == NULL) {
        ngx_cred_redis_ready(redis);
        return NGX_OK;
    }

    /* nobody waits for it */

    if (ngx_exiting && redis->ncommands == 0) {
        ngx_cred_redis_close(redis);
        return NGX_ERROR;
    }

    ngx_cred_redis_greet(redis);

    return NGX_OK;
}


void
ngx_cred_redis_backoff_handler(ngx_event_t *ev)
{
    ngx_cred_redis_t  *redis;

    redis = ev->data;

    if (ngx_exiting) {
        return;
    }

    ngx_cred_redis_connect(redis);
}
