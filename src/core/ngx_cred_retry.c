
/*
 * Copyright (C) ngx_cred_module authors
 * SPDX-License-Identifier: BSD-2-Clause
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>
#include <ngx_cred_connector.h>
#include <ngx_cred_retry.h>
#include <ngx_cred_status.h>


#define NGX_CRED_RETRY_INTERVAL  1000   /* at most, in milliseconds */
#define NGX_CRED_RETRY_CLAIMED   1024   /* environments, at most */
#define NGX_CRED_RETRY_NAME_LEN  256    /* in logs */
#define NGX_CRED_RETRY_SHARE     4      /* of the worker's connections */
#define NGX_CRED_RETRY_COMPARE   60000  /* how often an environment is compared
                                           that nothing is sent to, in ms */


static void ngx_cred_retry_timer_handler(ngx_event_t *ev);
static void ngx_cred_retry_cleanup(void *data);
static ngx_int_t ngx_cred_retry_ask(ngx_cred_retry_t *retry);
static void ngx_cred_retry_reply(ngx_cred_redis_command_t *command,
    ngx_cred_redis_reply_t *reply);
static ngx_uint_t ngx_cred_retry_is_valid(ngx_cred_redis_reply_t *reply);
static ngx_uint_t ngx_cred_retry_is_member(ngx_cred_redis_reply_t **elts);
static void ngx_cred_retry_claimed(ngx_cred_retry_t *retry, ngx_str_t *now,
    ngx_cred_redis_reply_t **elts);
static ngx_cred_retry_environment_t *ngx_cred_retry_environment(
    ngx_cred_retry_t *retry, ngx_str_t *name);
static ngx_str_t *ngx_cred_retry_name(
    ngx_cred_retry_environment_t *environment);
static void ngx_cred_retry_unregistered(ngx_cred_retry_t *retry,
    ngx_cred_retry_environment_t *environment, ngx_uint_t dropped);
static void ngx_cred_retry_probe(ngx_cred_retry_t *retry,
    ngx_cred_retry_environment_t *environment, ngx_str_t *url);
static ngx_uint_t ngx_cred_retry_probe_redis(ngx_cred_retry_t *retry,
    ngx_cred_retry_environment_t *environment, ngx_str_t *url, char **err);
static ngx_uint_t ngx_cred_retry_probe_connector(ngx_cred_retry_t *retry,
    ngx_cred_retry_environment_t *environment, ngx_str_t *url, char **err);
static void ngx_cred_retry_forget(ngx_cred_retry_t *retry);


/* in the order of ngx_cred_retry_treat_e */

static ngx_str_t  ngx_cred_retry_treats[] = {
    ngx_string("due"),
    ngx_string("skip"),
    ngx_string("drain")
};


ngx_int_t
ngx_cred_retry_start(ngx_cred_registry_t *registry, ngx_cycle_t *cycle)
{
    ngx_cred_retry_t    *retry;
    ngx_pool_cleanup_t  *cln;

    cln = ngx_pool_cleanup_add(cycle->pool, sizeof(ngx_cred_retry_t));
    if (cln == NULL) {
        return NGX_ERROR;
    }

    retry = cln->data;
    ngx_memzero(retry, sizeof(ngx_cred_retry_t));

    cln->handler = ngx_cred_retry_cleanup;

    retry->registry = registry;

    retry->timer.handler = ngx_cred_retry_timer_handler;
    retry->timer.data = retry;
    retry->timer.log = cycle->log;
    retry->timer.cancelable = 1;

    ngx_rbtree_init(&retry->rbtree, &retry->sentinel,
                    ngx_str_rbtree_insert_value);
    ngx_queue_init(&retry->environments);

    ngx_cred_status_watch(registry, NULL, 1);

    ngx_cred_retry_schedule(retry, 1);

    return NGX_OK;
}


/* with "master_process off" the process outlives its cycles */

static void
ngx_cred_retry_cleanup(void *data)
{
    ngx_cred_retry_t *retry = data;

    ngx_queue_t                   *q;
    ngx_cred_retry_environment_t  *environment;

    if (retry->timer.timer_set) {
        ngx_del_timer(&retry->timer);
    }

    ngx_cred_retry_forget(retry);

    while (!ngx_queue_empty(&retry->environments)) {
        q = ngx_queue_head(&retry->environments);
        ngx_queue_remove(q);

        environment = ngx_queue_data(q, ngx_cred_retry_environment_t, queue);

        if (environment->inflight + environment->waiting == 0) {
            ngx_destroy_pool(environment->pool);
        }
    }
}


void
ngx_cred_retry_schedule(ngx_cred_retry_t *retry, ngx_msec_t delay)
{
    if (ngx_exiting) {
        return;
    }

    if (retry->timer.timer_set) {
        ngx_del_timer(&retry->timer);
    }

    ngx_add_timer(&retry->timer, delay);
}


static void
ngx_cred_retry_timer_handler(ngx_event_t *ev)
{
    ngx_msec_t         delay;
    ngx_cred_retry_t  *retry;

    retry = ev->data;

    if (ngx_exiting) {
        return;
    }

    if (!retry->claiming) {

        if (ngx_cred_retry_ask(retry) == NGX_OK) {
            return;
        }

        ngx_cred_retry_forget(retry);
    }

    delay = ngx_min(retry->registry->retry_min, NGX_CRED_RETRY_INTERVAL);

    ngx_cred_retry_schedule(retry, delay);
}


static ngx_int_t
ngx_cred_retry_ask(ngx_cred_retry_t *retry)
{
    u_char                        *p;
    ngx_str_t                     *args, *arg;
    ngx_queue_t                   *q;
    ngx_cred_redis_t              *redis;
    ngx_cred_registry_t           *registry;
    ngx_cred_retry_environment_t  *environment;

    registry = retry->registry;

    redis = ngx_cred_registry_redis(registry);
    if (redis == NULL) {
        return NGX_ERROR;
    }

    retry->pool = ngx_create_pool(1024, ngx_cycle->log);
    if (retry->pool == NULL) {
        return NGX_ERROR;
    }

    args = ngx_palloc(retry->pool,
                      (NGX_CRED_CLAIM_SHARED + 2 * retry->nenvironments)
                      * sizeof(ngx_str_t));
    p = ngx_pnalloc(retry->pool, NGX_INT_T_LEN);

    if (args == NULL || p == NULL) {
        return NGX_ERROR;
    }

    arg = args;

    *arg++ = registry->audit;
    *arg++ = registry->prefix;
    *arg++ = registry->lease;

    arg->data = p;
    arg->len = ngx_sprintf(p, "%ui", (ngx_uint_t) NGX_CRED_RETRY_CLAIM) - p;
    arg++;

    *arg++ = registry->keep;

    for (q = ngx_queue_head(&retry->environments);
         q != ngx_queue_sentinel(&retry->environments);
         q = ngx_queue_next(q))
    {
        environment = ngx_queue_data(q, ngx_cred_retry_environment_t, queue);

        if (environment->down || environment->inflight) {
            environment->treat = NGX_CRED_RETRY_SKIP;

        } else if (environment->drain) {
            environment->treat = NGX_CRED_RETRY_DRAIN;

        } else {
            environment->treat = NGX_CRED_RETRY_DUE;
            continue;
        }

        *arg++ = environment->sn.str;
        *arg++ = ngx_cred_retry_treats[environment->treat];
    }

    retry->command.script = &ngx_cred_claim_script;
    retry->command.shared = args;
    retry->command.args = args + NGX_CRED_CLAIM_SHARED;
    retry->command.nargs = arg - retry->command.args;
    retry->command.handler = ngx_cred_retry_reply;
    retry->command.data = retry;

    if (ngx_cred_redis_eval(redis, &retry->command) != NGX_OK) {
        return NGX_ERROR;
    }

    retry->claiming = 1;

    return NGX_OK;
}


static void
ngx_cred_retry_reply(ngx_cred_redis_command_t *command,
    ngx_cred_redis_reply_t *reply)
{
    ngx_uint_t                     i;
    ngx_msec_t                     delay;
    ngx_queue_t                   *q, *next;
    ngx_cred_retry_t              *retry;
    ngx_cred_retry_environment_t  *environment;

    retry = command->data;

    retry->claiming = 0;

    if (command->status != NGX_CRED_REDIS_OK) {
        goto done;
    }

    if (!ngx_cred_retry_is_valid(reply)) {
        ngx_log_error(NGX_LOG_ERR, ngx_cycle->log, 0,
                      "registry: unexpected reply to claim.lua");
        goto done;
    }

    ngx_cred_status_claimed(retry->registry);

    for (q = ngx_queue_head(&retry->environments);
         q != ngx_queue_sentinel(&retry->environments);
         q = ngx_queue_next(q))
    {
        environment = ngx_queue_data(q, ngx_cred_retry_environment_t, queue);
        environment->seen = 0;
    }

    for (i = NGX_CRED_CLAIM_WHOLE; i < reply->nelts; i += NGX_CRED_CLAIM_OWN) {
        ngx_cred_retry_claimed(retry, &reply->elts[0]->str, &reply->elts[i]);
    }

    /* environments that are not registered, with nothing pending any more */

    for (q = ngx_queue_head(&retry->environments);
         q != ngx_queue_sentinel(&retry->environments);
         q = next)
    {
        next = ngx_queue_next(q);
        environment = ngx_queue_data(q, ngx_cred_retry_environment_t, queue);

        if (!environment->seen
            && environment->inflight + environment->waiting == 0)
        {
            ngx_rbtree_delete(&retry->rbtree, &environment->sn.node);
            ngx_queue_remove(q);
            retry->nenvironments--;
            retry->nwatched -= environment->watched;
            ngx_destroy_pool(environment->pool);
        }
    }

done:

    ngx_cred_retry_forget(retry);

    if (!retry->timer.timer_set) {
        delay = ngx_min(retry->registry->retry_min, NGX_CRED_RETRY_INTERVAL);
        ngx_cred_retry_schedule(retry, delay);
    }
}


/* nothing of it counts if anything is wrong */

static ngx_uint_t
ngx_cred_retry_is_valid(ngx_cred_redis_reply_t *reply)
{
    ngx_uint_t                i, n;
    ngx_cred_redis_reply_t  **elts, *members;

    if (reply->type != NGX_CRED_REDIS_ARRAY
        || reply->nelts % NGX_CRED_CLAIM_OWN != NGX_CRED_CLAIM_WHOLE
        || reply->nelts / NGX_CRED_CLAIM_OWN > NGX_CRED_RETRY_CLAIMED
        || reply->elts[0]->type != NGX_CRED_REDIS_STRING)
    {
        return 0;
    }

    for (i = NGX_CRED_CLAIM_WHOLE; i < reply->nelts; i += NGX_CRED_CLAIM_OWN) {
        elts = &reply->elts[i];
        members = elts[2];

        if (elts[0]->type != NGX_CRED_REDIS_STRING
            || (elts[1]->type != NGX_CRED_REDIS_STRING
                && elts[1]->type != NGX_CRED_REDIS_NIL)
            || members->type != NGX_CRED_REDIS_ARRAY
            || members->nelts % NGX_CRED_CLAIM_MEMBER
            || members->nelts / NGX_CRED_CLAIM_MEMBER > NGX_CRED_RETRY_CLAIM)
        {
            return 0;
        }

        for (n = 0; n < members->nelts; n += NGX_CRED_CLAIM_MEMBER) {

            if (!ngx_cred_retry_is_member(&members->elts[n])) {
                return 0;
            }
        }
    }

    return 1;
}


static ngx_uint_t
ngx_cred_retry_is_member(ngx_cred_redis_reply_t **elts)
{
    ngx_cred_known_t  known;

    return elts[0]->type == NGX_CRED_REDIS_STRING
           && elts[1]->type == NGX_CRED_REDIS_STRING
           && elts[2]->type == NGX_CRED_REDIS_STRING
           && ngx_cred_known(&elts[2]->str, &known) == NGX_OK;
}


static void
ngx_cred_retry_claimed(ngx_cred_retry_t *retry, ngx_str_t *now,
    ngx_cred_redis_reply_t **elts)
{
    ngx_str_t                     *name;
    ngx_uint_t                     n;
    ngx_cred_redis_reply_t        *url;
    ngx_cred_retry_environment_t  *environment;

    name = &elts[0]->str;
    url = elts[1];
    n = elts[2]->nelts / NGX_CRED_CLAIM_MEMBER;

    environment = ngx_cred_retry_environment(retry, name);
    if (environment == NULL) {
        return;
    }

    environment->seen = 1;

    if (url->type == NGX_CRED_REDIS_STRING && !environment->watched
        && retry->nwatched < ngx_cycle->connection_n / NGX_CRED_RETRY_SHARE)
    {
        environment->watched = 1;
        retry->nwatched++;
    }

    /* what this worker sees now is to count already */

    ngx_cred_status_watch(retry->registry, name, environment->watched);

    if (url->type == NGX_CRED_REDIS_STRING) {
        environment->warned = 0;

        if (environment->watched || environment->down || n) {
            ngx_cred_retry_probe(retry, environment, &url->str);
        }

    } else {
        ngx_cred_retry_unregistered(retry, environment, n);
    }

    if (environment->treat == NGX_CRED_RETRY_DRAIN
        && n < NGX_CRED_RETRY_CLAIM)
    {
        environment->drain = 0;
    }

    if (n) {
        ngx_cred_retry_attempt(retry, environment, now, elts);
    }
}


static ngx_cred_retry_environment_t *
ngx_cred_retry_environment(ngx_cred_retry_t *retry, ngx_str_t *name)
{
    uint32_t                       hash;
    ngx_pool_t                    *pool;
    ngx_cred_retry_environment_t  *environment;

    hash = ngx_crc32_short(name->data, name->len);

    environment = (ngx_cred_retry_environment_t *)
                      ngx_str_rbtree_lookup(&retry->rbtree, name, hash);

    if (environment) {
        return environment;
    }

    pool = ngx_create_pool(512, ngx_cycle->log);
    if (pool == NULL) {
        return NULL;
    }

    environment = ngx_pcalloc(pool, sizeof(ngx_cred_retry_environment_t));
    if (environment == NULL) {
        ngx_destroy_pool(pool);
        return NULL;
    }

    environment->sn.str.data = ngx_pstrdup(pool, name);
    if (environment->sn.str.data == NULL) {
        ngx_destroy_pool(pool);
        return NULL;
    }

    environment->sn.str.len = name->len;
    environment->sn.node.key = hash;
    environment->pool = pool;

    ngx_rbtree_insert(&retry->rbtree, &environment->sn.node);
    ngx_queue_insert_tail(&retry->environments, &environment->queue);
    retry->nenvironments++;

    return environment;
}


/* as logs may have it; valid until the next call */

static ngx_str_t *
ngx_cred_retry_name(ngx_cred_retry_environment_t *environment)
{
    static u_char     buf[NGX_CRED_RETRY_NAME_LEN];
    static ngx_str_t  name;

    name.data = buf;
    name.len = ngx_cred_net_printable(buf, buf + sizeof(buf),
                                      &environment->sn.str)
               - buf;

    return &name;
}


/* once when it begins, and when what is pending there is given up at last */

static void
ngx_cred_retry_unregistered(ngx_cred_retry_t *retry,
    ngx_cred_retry_environment_t *environment, ngx_uint_t dropped)
{
    environment->down = 0;

    if (dropped) {
        ngx_log_error(NGX_LOG_ERR, ngx_cycle->log, 0,
                      "environment: %V: not registered for long, "
                      "%ui pending undeployments are dropped",
                      ngx_cred_retry_name(environment), dropped);

    } else if (!environment->warned) {
        ngx_log_error(NGX_LOG_WARN, ngx_cycle->log, 0,
                      "environment: %V: not registered any more, what is "
                      "pending there is kept for %M seconds",
                      ngx_cred_retry_name(environment),
                      retry->registry->unregistered_delay / 1000);
    }

    environment->warned = 1;
}


/*
 * Nothing is claimed of an environment that is down, however much is pending
 * there, nor of one whose URL is bad or names a connector that only another
 * nginx has.
 */

static void
ngx_cred_retry_probe(ngx_cred_retry_t *retry,
    ngx_cred_retry_environment_t *environment, ngx_str_t *url)
{
    char        *err;
    ngx_str_t    error;
    ngx_uint_t   down;

    err = NULL;

    down = ngx_cred_is_connector(url)
           ? ngx_cred_retry_probe_connector(retry, environment, url, &err)
           : ngx_cred_retry_probe_redis(retry, environment, url, &err);

    if (err && !environment->down) {
        ngx_log_error(NGX_LOG_ERR, ngx_cycle->log, 0, "environment: %V: %s",
                      ngx_cred_retry_name(environment), err);

        error.data = (u_char *) err;
        error.len = ngx_strlen(err);

        ngx_cred_status_environment_failed(retry->registry,
                                           &environment->sn.str, &error);
    }

    if (environment->down && !down && !environment->failed) {
        environment->drain = 1;
        ngx_cred_retry_schedule(retry, 1);
    }

    environment->down = down;
}


/* its connection makes its own attempts, and is asked for so that it is kept */

static ngx_uint_t
ngx_cred_retry_probe_redis(ngx_cred_retry_t *retry,
    ngx_cred_retry_environment_t *environment, ngx_str_t *url, char **err)
{
    ngx_cred_redis_t  *redis;

    redis = ngx_cred_environment_redis(retry->registry, &environment->sn.str,
                                       url, err);
    if (redis == NULL) {
        return 1;
    }

    *err = NULL;

    if (environment->watched) {
        ngx_cred_environment_refresh(redis, NGX_CRED_RETRY_COMPARE);
        ngx_cred_redis_keep(redis);
    }

    return ngx_cred_redis_down(redis);
}


static ngx_uint_t
ngx_cred_retry_probe_connector(ngx_cred_retry_t *retry,
    ngx_cred_retry_environment_t *environment, ngx_str_t *url, char **err)
{
    ngx_cred_web_t        *web;
    ngx_cred_connector_t  *connector;

    connector = ngx_cred_connector_find(retry->registry, url, err);
    if (connector == NULL) {
        return 1;
    }

    *err = NULL;

    web = ngx_cred_web_get(&connector->web, &environment->sn.str,
                           retry->registry);
    if (web == NULL) {
        return 1;
    }

    if (environment->watched) {
        ngx_cred_web_keep(web);
    }

    return ngx_cred_web_down(web);
}


/* frees what one claim needed */

static void
ngx_cred_retry_forget(ngx_cred_retry_t *retry)
{
    if (retry->pool) {
        ngx_destroy_pool(retry->pool);
        retry->pool = NULL;
    }
}
