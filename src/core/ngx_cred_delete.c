
/*
 * Copyright (C) ngx_cred_module authors
 * SPDX-License-Identifier: BSD-2-Clause
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>
#include <openssl/rand.h>
#include <ngx_cred_core.h>
#include <ngx_cred_delete.h>
#include <ngx_cred_status.h>


#define NGX_CRED_POOL_SIZE     4096
#define NGX_CRED_DELETE_PAUSE  100  /* between asks, in milliseconds */


static ngx_int_t ngx_cred_delete_init(ngx_cred_delete_t *del,
    ngx_cred_params_t *params);
static u_char *ngx_cred_delete_keep(u_char *p, ngx_str_t *dst, ngx_str_t *src);
static void ngx_cred_delete_cut(ngx_str_t *name);
static ngx_int_t ngx_cred_delete_id(u_char *hex);
static ngx_int_t ngx_cred_delete_ask(ngx_cred_delete_t *del);
static void ngx_cred_delete_deadline(ngx_cred_redis_t *redis,
    ngx_cred_redis_command_t *command);
static void ngx_cred_delete_reply(ngx_cred_redis_command_t *command,
    ngx_cred_redis_reply_t *reply);
static void ngx_cred_delete_wait(ngx_cred_delete_t *del);
static void ngx_cred_delete_wait_handler(ngx_cred_fence_wait_t *wait);
static void ngx_cred_delete_wait_release(ngx_cred_fence_wait_t *wait);
static void ngx_cred_delete_unanswered(ngx_cred_delete_t *del);
static void ngx_cred_delete_timer_handler(ngx_event_t *ev);
static void ngx_cred_delete_unavailable(ngx_cred_delete_t *del);


/* in the order of ngx_cred_check_e */

static ngx_str_t  ngx_cred_delete_checks[] = {
    ngx_string("all"),
    ngx_string("absent"),
    ngx_string("nowhere"),
    ngx_string("token")
};

static ngx_str_t  ngx_cred_delete_again = ngx_string("again");


ngx_int_t
ngx_cred_delete(ngx_cred_registry_t *registry, ngx_cred_params_t *params,
    ngx_cred_delete_handler_pt handler, void *data, ngx_cred_delete_t **dp)
{
    ngx_pool_t         *pool;
    ngx_cred_delete_t  *del;

    pool = ngx_create_pool(NGX_CRED_POOL_SIZE, ngx_cycle->log);
    if (pool == NULL) {
        return NGX_DECLINED;
    }

    del = ngx_pcalloc(pool, sizeof(ngx_cred_delete_t));
    if (del == NULL) {
        goto failed;
    }

    /*
     * set by ngx_pcalloc():
     *
     *     del->outcome = { 0 };
     *     del->undeployments = NULL;
     *     del->held = 0;
     *     del->again = 0;
     *     del->lost = 0;
     *     del->last = 0;
     *     del->waiting = 0;
     *     del->cascaded = 0;
     *     del->answered = 0;
     */

    del->pool = pool;
    del->registry = registry;
    del->api_number = params->api_number;
    del->handler = handler;
    del->data = data;
    del->start = ngx_current_msec;
    del->outcome.registry_time = -1;
    del->outcome.cascade_time = -1;
    del->outcome.dry_run = params->dry_run;
    del->cascade_timeout = params->hurried ? params->cascade_timeout
                                           : registry->cascade_timeout;

    if (ngx_cred_delete_init(del, params) != NGX_OK
        || ngx_cred_delete_ask(del) != NGX_OK)
    {
        goto failed;
    }

    *dp = del;

    return NGX_AGAIN;

failed:

    ngx_destroy_pool(pool);

    return NGX_DECLINED;
}


static ngx_int_t
ngx_cred_delete_init(ngx_cred_delete_t *del, ngx_cred_params_t *params)
{
    u_char            *p;
    ngx_str_t         *arg;
    ngx_cred_check_e   check;

    if (ngx_cred_delete_id(del->operation) != NGX_OK
        || ngx_cred_hash_hex(&params->token, del->token) != NGX_OK)
    {
        return NGX_ERROR;
    }

    del->outcome.token.data = del->token;
    del->outcome.token.len = NGX_CRED_TOKEN_SHOWN;

    p = ngx_pnalloc(del->pool, params->subject.len + params->scope.len
                               + params->id.len + params->client.len
                               + params->traceparent.len
                               + params->revision.len);
    if (p == NULL) {
        return NGX_ERROR;
    }

    arg = del->shared;

    *arg++ = del->registry->audit;
    *arg++ = del->registry->prefix;
    *arg++ = del->registry->lease;
    *arg++ = params->api;

    arg->data = (u_char *) (params->rules->membership ? "1" : "0");
    arg->len = 1;
    arg++;

    arg->data = del->rate;
    arg->len = ngx_sprintf(del->rate, "%ui", params->rules->rate) - del->rate;
    arg++;

    *arg++ = params->rules->role;

    arg->data = (u_char *) (params->rules->uses ? "1" : "0");
    arg->len = 1;
    arg++;

    del->deadline = arg++;

    *arg = del->registry->entries;

    arg = del->args;

    /* without an operation there is none to write */

    arg->data = del->operation;
    arg->len = params->dry_run ? 0 : NGX_CRED_OPERATION_LEN;
    arg++;

    arg->data = del->token;
    arg->len = NGX_CRED_HASH_HEX_LEN;
    arg++;

    p = ngx_cred_delete_keep(p, arg++, &params->subject);
    p = ngx_cred_delete_keep(p, arg, &params->scope);
    ngx_cred_delete_cut(arg++);
    p = ngx_cred_delete_keep(p, arg, &params->id);
    ngx_cred_delete_cut(arg++);
    p = ngx_cred_delete_keep(p, arg++, &params->client);
    p = ngx_cred_delete_keep(p, arg++, &params->traceparent);
    (void) ngx_cred_delete_keep(p, arg++, &params->revision);

    check = params->check;

    if (params->scope.len > NGX_CRED_NAME_LEN && check != NGX_CRED_CHECK_TOKEN)
    {
        check = NGX_CRED_CHECK_NOWHERE;
    }

    del->check = arg;
    *arg++ = ngx_cred_delete_checks[check];

    del->command.script = &ngx_cred_delete_script;
    del->command.shared = del->shared;
    del->command.args = del->args;
    del->command.nargs = arg - del->args;
    del->command.prepare = ngx_cred_delete_deadline;
    del->command.handler = ngx_cred_delete_reply;
    del->command.data = del;

    return NGX_OK;
}


static u_char *
ngx_cred_delete_keep(u_char *p, ngx_str_t *dst, ngx_str_t *src)
{
    dst->data = p;
    dst->len = src->len;

    return src->len ? ngx_cpymem(p, src->data, src->len) : p;
}


/* what a caller can make long must not fill the audit */

static void
ngx_cred_delete_cut(ngx_str_t *name)
{
    if (name->len > NGX_CRED_NAME_LEN) {
        name->len = NGX_CRED_NAME_LEN;
        ngx_memcpy(name->data + NGX_CRED_NAME_LEN - 3, "...", 3);
    }
}


/* many at a time, since each RAND_bytes() is a system call */

static ngx_int_t
ngx_cred_delete_id(u_char *hex)
{
    static u_char  random[64][NGX_CRED_OPERATION_LEN / 2];
    static size_t  left;

    if (left == 0) {

        if (RAND_bytes((u_char *) random, sizeof(random)) != 1) {
            return NGX_ERROR;
        }

        left = sizeof(random) / sizeof(random[0]);
    }

    ngx_hex_dump(hex, random[--left], sizeof(random[0]));

    return NGX_OK;
}


static ngx_int_t
ngx_cred_delete_ask(ngx_cred_delete_t *del)
{
    ngx_cred_redis_t  *redis;

    redis = ngx_cred_registry_redis(del->registry);
    if (redis == NULL) {
        return NGX_ERROR;
    }

    return ngx_cred_redis_eval(redis, &del->command);
}


/*
 * Once this side has given up it says that nothing was changed, so a registry
 * that was stopped meanwhile must not run the script later.  What it begins
 * just before the deadline is left time to come back.
 */

static void
ngx_cred_delete_deadline(ngx_cred_redis_t *redis,
    ngx_cred_redis_command_t *command)
{
    ngx_msec_t          timeout;
    ngx_cred_delete_t  *del;

    del = command->data;

    timeout = del->registry->redis.command_timeout;

    del->expires = ngx_current_msec + timeout;

    del->deadline->data = del->time;
    del->deadline->len = ngx_sprintf(del->time, "%uL",
                                     ngx_cred_redis_time(redis)
                                     + timeout - timeout / 8)
                         - del->time;
}


static void
ngx_cred_delete_reply(ngx_cred_redis_command_t *command,
    ngx_cred_redis_reply_t *reply)
{
    ngx_int_t           rc;
    ngx_cred_delete_t  *del;

    del = command->data;
    rc = NGX_ERROR;

    switch (command->status) {

    case NGX_CRED_REDIS_OK:
        rc = ngx_cred_delete_parse(del, reply);

        if (rc == NGX_OK) {
            del->outcome.registry_time = ngx_current_msec - del->start;
            ngx_cred_delete_wait(del);
            ngx_cred_cascade(del);
            return;
        }

        if (rc == NGX_AGAIN) {

            /* too late for what was sent before, too */

            del->lost = 0;
        }

        break;

    case NGX_CRED_REDIS_BROKEN:
    case NGX_CRED_REDIS_TIMEDOUT:
        del->lost = 1;
        rc = NGX_AGAIN;
        break;

    case NGX_CRED_REDIS_UNREACHABLE:
        rc = NGX_AGAIN;
        break;

    default: /* NGX_CRED_REDIS_REFUSED */
        ngx_cred_status_registry_refused(del->registry, &command->error);
        break;
    }

    /* asked again: the first of a call always has room */

    if (rc == NGX_BUSY
        && ngx_current_msec - del->start
           < del->registry->redis.command_timeout
        && ngx_cred_delete_ask(del) == NGX_OK)
    {
        return;
    }

    /*
     * No word on whether it was done: the same operation is asked again, once.
     * The script knows the operation and does nothing twice.
     */

    if (rc == NGX_AGAIN && !del->again) {
        del->again = 1;

        if (del->check->data == ngx_cred_delete_checks[0].data
            && !del->outcome.dry_run)
        {
            *del->check = ngx_cred_delete_again;
        }

        if (ngx_cred_delete_ask(del) == NGX_OK) {
            return;
        }
    }

    ngx_cred_delete_unanswered(del);
}


/* an answer to nobody waits for nothing */

static void
ngx_cred_delete_wait(ngx_cred_delete_t *del)
{
    ngx_cred_fence_wait_t  *wait;

    if (del->registry->fence == NULL || del->handler == NULL
        || del->outcome.operation.len == 0 || del->outcome.dry_run)
    {
        return;
    }

    del->outcome.replicas_wanted = del->registry->wait.replicas;
    del->waiting = 1;
    del->held++;

    wait = &del->wait;

    wait->operation = del->outcome.operation;
    wait->handler = ngx_cred_delete_wait_handler;
    wait->release = ngx_cred_delete_wait_release;
    wait->data = del;

    ngx_cred_fence_wait(del->registry->fence, wait);
}


static void
ngx_cred_delete_wait_handler(ngx_cred_fence_wait_t *wait)
{
    ngx_cred_delete_t  *del;

    del = wait->data;

    del->outcome.replicas = wait->acknowledged;
    del->waiting = 0;

    if (del->cascaded) {
        ngx_cred_cascade_complete(del);
    }
}


static void
ngx_cred_delete_wait_release(ngx_cred_fence_wait_t *wait)
{
    ngx_cred_delete_release(wait->data);
}


/*
 * What was sent and not answered may still be done until its deadline.  After
 * that it is asked for with one that is over by any clock, since the registry
 * may be another server by then: the script does nothing then but to tell what
 * was done.  A registry that has fallen gets some time to come back.
 */

static void
ngx_cred_delete_unanswered(ngx_cred_delete_t *del)
{
    ngx_msec_int_t  left;

    if (!del->lost || del->handler == NULL
        || del->check->data != ngx_cred_delete_again.data)
    {
        ngx_cred_delete_unavailable(del);
        return;
    }

    left = NGX_CRED_DELETE_PAUSE;

    if (!del->last) {
        del->last = 1;
        del->command.prepare = NULL;
        ngx_str_set(del->deadline, "0");

        left = (ngx_msec_int_t) (del->expires - ngx_current_msec);

        del->expires += del->registry->redis.connect_timeout
                        + del->registry->redis.command_timeout;

    } else if ((ngx_msec_int_t) (del->expires - ngx_current_msec) <= 0) {
        ngx_cred_delete_unavailable(del);
        return;
    }

    del->timer.handler = ngx_cred_delete_timer_handler;
    del->timer.data = del;
    del->timer.log = ngx_cycle->log;

    ngx_add_timer(&del->timer, (ngx_msec_t) ngx_max(left, 1));
}


static void
ngx_cred_delete_timer_handler(ngx_event_t *ev)
{
    ngx_cred_delete_t  *del;

    del = ev->data;

    if (ngx_cred_delete_ask(del) != NGX_OK) {
        ngx_cred_delete_unanswered(del);
    }
}


static void
ngx_cred_delete_unavailable(ngx_cred_delete_t *del)
{
    del->outcome.result = NGX_CRED_UNAVAILABLE;
    del->outcome.registry_time = ngx_current_msec - del->start;

    ngx_cred_cascade_complete(del);
}
