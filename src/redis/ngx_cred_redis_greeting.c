
/*
 * Copyright (C) ngx_cred_module authors
 * SPDX-License-Identifier: BSD-2-Clause
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>
#include <ngx_cred_redis_connection.h>


#define NGX_CRED_REDIS_DOUBT  5000   /* milliseconds */


static ngx_uint_t ngx_cred_redis_greeted(ngx_cred_redis_t *redis);


void
ngx_cred_redis_greet(ngx_cred_redis_t *redis)
{
    redis->state = NGX_CRED_REDIS_GREETING;
    redis->greeted_at = ngx_current_msec;
    redis->log.action = "greeting";

    redis->conf.greet(redis, redis->conf.data);
}


/* a greeting is under way */

static ngx_uint_t
ngx_cred_redis_greeted(ngx_cred_redis_t *redis)
{
    return redis->state == NGX_CRED_REDIS_GREETING
           && !redis->rejected && !redis->regreet;
}


ngx_int_t
ngx_cred_redis_greeting_eval(ngx_cred_redis_t *redis,
    ngx_cred_redis_command_t *command)
{
    if (!ngx_cred_redis_greeted(redis)) {
        command->status = NGX_CRED_REDIS_UNREACHABLE;
        ngx_str_set(&command->error, "no greeting is under way");
        return NGX_DECLINED;
    }

    ngx_queue_insert_tail(&redis->greetings, &command->queue);
    redis->nwaiting++;
    redis->ncommands++;
    redis->nclosing += command->closing;

    ngx_cred_redis_watch(redis);
    ngx_cred_redis_flush(redis);

    return NGX_OK;
}


void
ngx_cred_redis_admit(ngx_cred_redis_t *redis)
{
    ngx_queue_t  others;

    if (!ngx_cred_redis_greeted(redis)) {
        return;
    }

    if (!ngx_queue_empty(&redis->greetings)) {
        ngx_queue_init(&others);

        if (!ngx_queue_empty(&redis->waiting)) {
            ngx_queue_add(&others, &redis->waiting);
            ngx_queue_init(&redis->waiting);
        }

        ngx_queue_add(&redis->waiting, &redis->greetings);
        ngx_queue_init(&redis->greetings);

        if (!ngx_queue_empty(&others)) {
            ngx_queue_add(&redis->waiting, &others);
        }
    }

    redis->refusing = 0;

    ngx_cred_redis_ready(redis);

    if (!redis->doubtful) {
        ngx_cred_redis_back(redis);
    }
}


void
ngx_cred_redis_reject(ngx_cred_redis_t *redis, ngx_uint_t status,
    ngx_str_t *reason)
{
    if (!ngx_cred_redis_greeted(redis)) {
        return;
    }

    redis->rejected = 1;
    redis->refusal = status;
    redis->error_len = ngx_cred_net_printable(redis->error,
                                              redis->error
                                              + NGX_CRED_REDIS_ERROR_LEN,
                                              reason)
                       - redis->error;

    ngx_post_event(&redis->end, &ngx_posted_events);
}


void
ngx_cred_redis_patience(ngx_cred_redis_t *redis, const char *reason)
{
    if (!ngx_cred_redis_greeted(redis)) {
        return;
    }

    ngx_add_timer(&redis->timer, redis->conf.connect_timeout);

    if (ngx_current_msec - redis->greeted_at >= redis->conf.connect_timeout) {
        ngx_cred_redis_refuse(redis, reason);
    }
}


void
ngx_cred_redis_regreet(ngx_cred_redis_t *redis)
{
    if (redis->rejected
        || (redis->state != NGX_CRED_REDIS_GREETING
            && redis->state != NGX_CRED_REDIS_READY))
    {
        return;
    }

    redis->regreet = 1;

    ngx_post_event(&redis->end, &ngx_posted_events);
}


void
ngx_cred_redis_keep(ngx_cred_redis_t *redis)
{
    if (ngx_exiting || redis->backoff.timer_set) {
        return;
    }

    /* it has greeted, and nobody asks for anything that could tell more */

    if (redis->doubtful && redis->conf.greet && redis->ncommands == 0
        && redis->state == NGX_CRED_REDIS_READY
        && ngx_current_msec - redis->greeted_at >= NGX_CRED_REDIS_DOUBT)
    {
        ngx_cred_redis_back(redis);
    }

    ngx_cred_redis_connect(redis);
}


void *
ngx_cred_redis_context(ngx_cred_redis_t *redis)
{
    return redis->context;
}


void
ngx_cred_redis_set_context(ngx_cred_redis_t *redis, void *context)
{
    redis->context = context;
}
