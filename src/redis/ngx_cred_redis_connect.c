
/*
 * Copyright (C) ngx_cred_module authors
 * SPDX-License-Identifier: BSD-2-Clause
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>
#include <ngx_cred_redis_connection.h>


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
    redis->net.action = NULL;
    redis->state = NGX_CRED_REDIS_CONNECTING;

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

    if (ngx_cred_net_shutdown) {
        ngx_cred_redis_fail(redis, NGX_CRED_REDIS_UNREACHABLE, 0,
                            "worker is shutting down", NULL);
        return;
    }

    ngx_cred_redis_resolve(redis);
}


void
ngx_cred_redis_connected(ngx_cred_net_t *net)
{
    ngx_cred_redis_handshake(net->data);
}


void
ngx_cred_redis_disconnected(ngx_cred_net_t *net, ngx_err_t err,
    const char *reason, ngx_str_t *detail)
{
    ngx_cred_redis_t  *redis;

    redis = net->data;

    if (reason == NULL) {
        ngx_cred_redis_close(redis);
        return;
    }

    ngx_cred_redis_fail(redis, NGX_CRED_REDIS_BROKEN, err, reason, detail);
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
