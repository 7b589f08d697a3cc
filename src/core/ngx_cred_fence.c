
/*
 * Copyright (C) ngx_cred_module authors
 * SPDX-License-Identifier: BSD-2-Clause
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>
#include <ngx_cred_core.h>
#include <ngx_cred_fence.h>
#include <ngx_cred_scripts.h>


#define NGX_CRED_FENCE_CALL    256   /* operations in one call of the script */
#define NGX_CRED_FENCE_GROUP   4096  /* all of them fit in the queue */
#define NGX_CRED_FENCE_SHARED  2
#define NGX_CRED_FENCE_ARGS    3


/*
 * WAIT blocks its connection, so it has one of its own; one WAIT is in flight,
 * and all that come meanwhile are the next group.
 */

struct ngx_cred_fence_s {
    ngx_cred_registry_t         *registry;
    ngx_cred_redis_conf_t        redis;
    ngx_str_t                    shared[NGX_CRED_FENCE_SHARED];

    ngx_cred_redis_command_t     command;      /* WAIT */
    ngx_str_t                    args[NGX_CRED_FENCE_ARGS];

    ngx_queue_t                  group;        /* in flight */
    ngx_queue_t                  next;
    ngx_event_t                  start;        /* posted: the next group */
    ngx_uint_t                   unanswered;   /* commands of the group */
    ngx_uint_t                   acknowledged;

    ngx_uint_t                   number;       /* of the connection that has
                                                  answered the last one */

    unsigned                     early:1;      /* WAIT was, the script not yet:
                                                  it was unknown */
    unsigned                     split:1;      /* two connections answered */
    unsigned                     again:1;      /* for these reasons */
    unsigned                     elsewhere:1;  /* an operation was not there */
    unsigned                     astray:1;     /* and it was told */
};


static ngx_int_t ngx_cred_fence_settings(ngx_cred_fence_t *fence,
    ngx_pool_t *pool);
static ngx_int_t ngx_cred_fence_arguments(ngx_cred_fence_t *fence,
    ngx_pool_t *pool);
static void ngx_cred_fence_start_handler(ngx_event_t *ev);
static void ngx_cred_fence_send(ngx_cred_fence_t *fence);
static ngx_cred_redis_t *ngx_cred_fence_redis(ngx_cred_fence_t *fence);
static void ngx_cred_fence_script_handler(ngx_cred_redis_command_t *command,
    ngx_cred_redis_reply_t *reply);
static void ngx_cred_fence_wait_handler(ngx_cred_redis_command_t *command,
    ngx_cred_redis_reply_t *reply);
static void ngx_cred_fence_heard(ngx_cred_fence_t *fence,
    ngx_cred_redis_command_t *command);
static ngx_int_t ngx_cred_fence_count(ngx_cred_fence_t *fence,
    ngx_cred_redis_reply_t *reply);
static void ngx_cred_fence_answered(ngx_cred_fence_t *fence);
static void ngx_cred_fence_end(ngx_cred_fence_t *fence);
static void ngx_cred_fence_leave(ngx_cred_fence_t *fence);
static void ngx_cred_fence_timer_handler(ngx_event_t *ev);


static ngx_cred_redis_script_t  ngx_cred_fence_script = {
    ngx_string("fence.lua"),
    ngx_string(NGX_CRED_SCRIPT_FENCE),
    ngx_string(NGX_CRED_SCRIPT_FENCE_SHA),
    NGX_CRED_FENCE_CALL, NGX_CRED_FENCE_SHARED, 0, 1, 0
};


static ngx_cred_redis_script_t  ngx_cred_fence_replicas = {
    ngx_string("WAIT"),
    ngx_null_string,
    ngx_null_string,
    1, 0, 0, 0, 0
};


static ngx_cred_redis_script_t  ngx_cred_fence_aof = {
    ngx_string("WAITAOF"),
    ngx_null_string,
    ngx_null_string,
    1, 0, 0, 0, 0
};


ngx_cred_fence_t *
ngx_cred_fence_create(ngx_cred_registry_t *registry, ngx_pool_t *pool)
{
    ngx_cred_fence_t  *fence;

    fence = ngx_pcalloc(pool, sizeof(ngx_cred_fence_t));
    if (fence == NULL) {
        return NULL;
    }

    /*
     * set by ngx_pcalloc():
     *
     *     fence->unanswered = 0;
     *     fence->number = 0;
     *     fence->early = 0;
     *     fence->split = 0;
     *     fence->again = 0;
     *     fence->elsewhere = 0;
     *     fence->astray = 0;
     */

    fence->registry = registry;

    if (ngx_cred_fence_settings(fence, pool) != NGX_OK
        || ngx_cred_fence_arguments(fence, pool) != NGX_OK)
    {
        return NULL;
    }

    ngx_queue_init(&fence->group);
    ngx_queue_init(&fence->next);

    fence->start.handler = ngx_cred_fence_start_handler;
    fence->start.data = fence;

    return fence;
}


/* no other registry shares its connection: its WAITs would block these */

static ngx_int_t
ngx_cred_fence_settings(ngx_cred_fence_t *fence, ngx_pool_t *pool)
{
    u_char                 *p;
    ngx_str_t              *identity;
    ngx_cred_redis_conf_t  *conf;

    conf = &fence->redis;

    *conf = fence->registry->redis;

    conf->command_timeout += fence->registry->wait.time;

    identity = &fence->registry->redis.identity;

    p = ngx_pnalloc(pool, sizeof("fence  ") + 2 * NGX_INT64_LEN
                          + identity->len);
    if (p == NULL) {
        return NGX_ERROR;
    }

    conf->identity.data = p;
    conf->identity.len = ngx_sprintf(p, "fence %p %V", fence, identity) - p;

    return NGX_OK;
}


static ngx_int_t
ngx_cred_fence_arguments(ngx_cred_fence_t *fence, ngx_pool_t *pool)
{
    u_char           *p;
    ngx_str_t        *arg, *prefix;
    ngx_cred_wait_t  *wait;

    wait = &fence->registry->wait;
    prefix = &fence->registry->prefix;

    p = ngx_pnalloc(pool, prefix->len + sizeof(":fence") + 2 * NGX_INT64_LEN);
    if (p == NULL) {
        return NGX_ERROR;
    }

    fence->shared[0].data = p;
    p = ngx_sprintf(p, "%V:fence", prefix);
    fence->shared[0].len = p - fence->shared[0].data;

    fence->shared[1] = *prefix;

    arg = fence->args;

    if (wait->aof) {
        ngx_str_set(arg, "1");
        arg++;
    }

    arg->data = p;
    p = ngx_sprintf(p, "%ui", wait->replicas);
    arg->len = p - arg->data;
    arg++;

    arg->data = p;
    arg->len = ngx_sprintf(p, "%M", wait->time) - p;
    arg++;

    fence->command.script = wait->aof ? &ngx_cred_fence_aof
                                      : &ngx_cred_fence_replicas;
    fence->command.args = fence->args;
    fence->command.nargs = arg - fence->args;
    fence->command.handler = ngx_cred_fence_wait_handler;
    fence->command.data = fence;

    return NGX_OK;
}


void
ngx_cred_fence_wait(ngx_cred_fence_t *fence, ngx_cred_fence_wait_t *wait)
{
    wait->fence = fence;

    wait->command.script = &ngx_cred_fence_script;
    wait->command.shared = fence->shared;
    wait->command.args = &wait->operation;
    wait->command.nargs = 1;
    wait->command.handler = ngx_cred_fence_script_handler;
    wait->command.data = wait;

    wait->timer.handler = ngx_cred_fence_timer_handler;
    wait->timer.data = wait;
    wait->timer.log = ngx_cycle->log;

    ngx_add_timer(&wait->timer, fence->redis.command_timeout);

    ngx_queue_insert_tail(&fence->next, &wait->queue);

    /* others of this turn of the event loop come with it */

    if (ngx_queue_empty(&fence->group)) {
        fence->start.log = ngx_cycle->log;
        ngx_post_event(&fence->start, &ngx_posted_events);
    }
}


static void
ngx_cred_fence_start_handler(ngx_event_t *ev)
{
    ngx_uint_t         n;
    ngx_queue_t       *q;
    ngx_cred_fence_t  *fence;

    fence = ev->data;

    if (!ngx_queue_empty(&fence->group) || ngx_queue_empty(&fence->next)) {
        return;
    }

    for (n = 0; n < NGX_CRED_FENCE_GROUP && !ngx_queue_empty(&fence->next); n++)
    {
        q = ngx_queue_head(&fence->next);
        ngx_queue_remove(q);
        ngx_queue_insert_tail(&fence->group, q);
    }

    fence->again = 0;

    ngx_cred_fence_send(fence);
}


/* one behind the other on one connection, or none counts */

static void
ngx_cred_fence_send(ngx_cred_fence_t *fence)
{
    ngx_queue_t            *q;
    ngx_cred_redis_t       *redis;
    ngx_cred_fence_wait_t  *wait;

    fence->acknowledged = 0;
    fence->number = 0;
    fence->early = 0;
    fence->split = 0;
    fence->elsewhere = 0;
    fence->unanswered = 1;

    redis = ngx_cred_fence_redis(fence);

    for (q = ngx_queue_head(&fence->group);
         redis && q != ngx_queue_sentinel(&fence->group);
         q = ngx_queue_next(q))
    {
        wait = ngx_queue_data(q, ngx_cred_fence_wait_t, queue);

        wait->found = 0;

        if (ngx_cred_redis_eval(redis, &wait->command) == NGX_OK) {
            fence->unanswered++;
        }
    }

    if (redis && ngx_cred_redis_eval(redis, &fence->command) == NGX_OK) {
        fence->unanswered++;
    }

    ngx_cred_fence_answered(fence);
}


static ngx_cred_redis_t *
ngx_cred_fence_redis(ngx_cred_fence_t *fence)
{
    char              *err;
    ngx_cred_redis_t  *redis;

    redis = ngx_cred_redis_get(&fence->redis, &fence->registry->url, "fence",
                               NULL, &err);

    if (redis == NULL) {
        ngx_log_error(NGX_LOG_ERR, ngx_cycle->log, 0, "fence: %s", err);
    }

    return redis;
}


static void
ngx_cred_fence_script_handler(ngx_cred_redis_command_t *command,
    ngx_cred_redis_reply_t *reply)
{
    ngx_cred_fence_t       *fence;
    ngx_cred_fence_wait_t  *wait;

    wait = command->data;
    fence = wait->fence;

    if (command->status == NGX_CRED_REDIS_OK
        && reply->type == NGX_CRED_REDIS_INTEGER)
    {
        wait->found = (reply->integer == 1);

        if (!wait->found) {
            fence->elsewhere = 1;
        }

        ngx_cred_fence_heard(fence, command);
    }

    ngx_cred_fence_answered(fence);
}


static void
ngx_cred_fence_wait_handler(ngx_cred_redis_command_t *command,
    ngx_cred_redis_reply_t *reply)
{
    ngx_int_t          n;
    ngx_cred_fence_t  *fence;

    fence = command->data;

    fence->early = (fence->unanswered > 1);

    if (command->status == NGX_CRED_REDIS_OK) {
        n = ngx_cred_fence_count(fence, reply);

        if (n == NGX_ERROR) {
            ngx_log_error(NGX_LOG_ERR, ngx_cred_redis_log(command->redis), 0,
                          "unexpected reply to %V", &command->script->name);

        } else {
            fence->acknowledged = ngx_min((ngx_uint_t) n,
                                          fence->registry->wait.replicas);
        }

        ngx_cred_fence_heard(fence, command);
    }

    ngx_cred_fence_answered(fence);
}


/* a WAIT tells of what its own connection has written, and of nothing else */

static void
ngx_cred_fence_heard(ngx_cred_fence_t *fence, ngx_cred_redis_command_t *command)
{
    ngx_uint_t  number;

    number = ngx_cred_redis_number(command->redis);

    if (fence->number && fence->number != number) {
        fence->split = 1;
    }

    fence->number = number;
}


/* with "aof" those do not count that are ahead of this server's own file */

static ngx_int_t
ngx_cred_fence_count(ngx_cred_fence_t *fence, ngx_cred_redis_reply_t *reply)
{
    int64_t                  local, n;
    ngx_cred_redis_reply_t **elts;

    local = 1;

    if (fence->registry->wait.aof) {

        if (reply->type != NGX_CRED_REDIS_ARRAY || reply->nelts != 2
            || reply->elts[0]->type != NGX_CRED_REDIS_INTEGER)
        {
            return NGX_ERROR;
        }

        elts = reply->elts;
        local = elts[0]->integer;
        reply = elts[1];
    }

    if (reply->type != NGX_CRED_REDIS_INTEGER) {
        return NGX_ERROR;
    }

    n = ngx_min(reply->integer, NGX_MAX_INT32_VALUE);

    return (local > 0 && n > 0) ? (ngx_int_t) n : 0;
}


static void
ngx_cred_fence_answered(ngx_cred_fence_t *fence)
{
    if (--fence->unanswered) {
        return;
    }

    if (fence->early || fence->split) {

        /* the write came after WAIT, or elsewhere; now the script is known */

        if (!fence->again) {
            fence->again = 1;
            ngx_cred_fence_send(fence);
            return;
        }

        fence->acknowledged = 0;
    }

    if (fence->elsewhere) {
        ngx_cred_fence_leave(fence);

    } else if (fence->acknowledged) {
        fence->astray = 0;
    }

    ngx_cred_fence_end(fence);
}


static void
ngx_cred_fence_end(ngx_cred_fence_t *fence)
{
    ngx_queue_t             group, *q;
    ngx_cred_fence_wait_t  *wait;

    ngx_queue_init(&group);
    ngx_queue_add(&group, &fence->group);
    ngx_queue_init(&fence->group);

    if (!ngx_queue_empty(&fence->next)) {
        ngx_post_event(&fence->start, &ngx_posted_events);
    }

    while (!ngx_queue_empty(&group)) {
        q = ngx_queue_head(&group);
        ngx_queue_remove(q);

        wait = ngx_queue_data(q, ngx_cred_fence_wait_t, queue);

        if (wait->timer.timer_set) {
            ngx_del_timer(&wait->timer);

            wait->acknowledged = wait->found ? fence->acknowledged : 0;
            wait->handler(wait);
        }

        wait->release(wait);
    }
}


/* after a failover the registry may be another server than this one */

static void
ngx_cred_fence_leave(ngx_cred_fence_t *fence)
{
    ngx_uint_t         level;
    ngx_cred_redis_t  *redis;

    redis = ngx_cred_fence_redis(fence);
    if (redis == NULL) {
        return;
    }

    level = fence->astray ? NGX_LOG_INFO : NGX_LOG_ERR;
    fence->astray = 1;

    ngx_log_error(level, ngx_cred_redis_log(redis), 0,
                  "the registry has an operation that is not on this "
                  "server");

    ngx_cred_redis_regreet(redis);
}


static void
ngx_cred_fence_timer_handler(ngx_event_t *ev)
{
    ngx_cred_fence_wait_t  *wait;

    wait = ev->data;

    wait->acknowledged = 0;
    wait->handler(wait);
}
