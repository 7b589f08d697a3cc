
/*
 * Copyright (C) ngx_cred_module authors
 * SPDX-License-Identifier: BSD-2-Clause
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>
#include <ngx_cred_redis_connection.h>


static void ngx_cred_redis_opened(ngx_cred_redis_t *redis);
static ngx_int_t ngx_cred_redis_test_connect(ngx_connection_t *c);


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
    redis->deadline = redis->timer.timer.key;
    ngx_cred_redis_watch(redis);

    if (ngx_cred_redis_shutdown) {
        ngx_cred_redis_fail(redis, NGX_CRED_REDIS_UNREACHABLE, 0,
                            "worker is shutting down", NULL);
        return;
    }

    ngx_cred_redis_resolve(redis);
}


void
ngx_cred_redis_open(ngx_cred_redis_t *redis)
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

    redis->peer.sockaddr = &redis->resolved.sockaddr;
    redis->peer.socklen = redis->socklen;
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
ngx_cred_redis_backoff_handler(ngx_event_t *ev)
{
    ngx_cred_redis_t  *redis;

    redis = ev->data;

    if (ngx_exiting) {
        return;
    }

    ngx_cred_redis_connect(redis);
}
