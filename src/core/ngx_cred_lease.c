
/*
 * Copyright (C) ngx_cred_module authors
 * SPDX-License-Identifier: BSD-2-Clause
 */


/*
 * The calls of lease.lua.  The gateway says what it has applied, learns of what
 * came after that, invalidates it, and calls again, until there is nothing
 * left: then it has a lease from the time at which that call was sent.  It
 * calls at the bell and every third of a lease.  Any worker may: all of them
 * share what was applied, and the lease.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>
#include <ngx_cred_clock.h>
#include <ngx_cred_zone.h>
#include <ngx_cred_scripts.h>


#define NGX_CRED_LEASE_SHARED   2       /* key, prefix */
#define NGX_CRED_LEASE_ARGS     4       /* gateway, lease, generation,
                                           applied */
#define NGX_CRED_LEASE_PARTS    3       /* of a lease, in which it is renewed */
#define NGX_CRED_LEASE_INTERVAL 60000   /* between calls, at most, in ms ... */
#define NGX_CRED_LEASE_RETRY    1000    /* ... and without a lease */
#define NGX_CRED_LEASE_PAUSE    1       /* if something was not possible now */
#define NGX_CRED_LEASE_CALLS    100     /* at once, one after the other */


/* of this worker */

struct ngx_cred_lease_s {
    ngx_cred_gateway_t        *gateway;
    ngx_event_t                timer;

    ngx_cred_redis_command_t   command;
    ngx_str_t                  shared[NGX_CRED_LEASE_SHARED];
    ngx_str_t                  args[NGX_CRED_LEASE_ARGS];
    u_char                     numbers[2 * NGX_INT64_LEN];
    u_char                     applied[NGX_CRED_ZONE_ID_LEN];

    uint64_t                   at;          /* when the call was sent, ms */
    ngx_uint_t                 generation;  /* of the lease it asks for */
    ngx_uint_t                 ncalls;      /* one after the other */

    unsigned                   first:1;     /* the worker is: it is subscribed
                                               and calls always */
    unsigned                   calling:1;
    unsigned                   rung:1;      /* the bell was, since the call */
    unsigned                   deaf:1;      /* and was not when it should */
    ngx_uint_t                 leased;      /* and it was logged */
    unsigned                   warned:1;
};


static void ngx_cred_lease_timer_handler(ngx_event_t *ev);
static void ngx_cred_lease_cleanup(void *data);
static void ngx_cred_lease_schedule(ngx_cred_lease_t *lease);
static ngx_msec_t ngx_cred_lease_third(
    ngx_cred_zone_environment_t *environment);
static void ngx_cred_lease_tell(ngx_cred_lease_t *lease, ngx_uint_t leased);
static void ngx_cred_lease_subscribe(ngx_cred_lease_t *lease);
static void ngx_cred_lease_bell(void *data);
static void ngx_cred_lease_call(ngx_cred_lease_t *lease);
static void ngx_cred_lease_prepare(ngx_cred_redis_t *redis,
    ngx_cred_redis_command_t *command);
static void ngx_cred_lease_reply(ngx_cred_redis_command_t *command,
    ngx_cred_redis_reply_t *reply);
static ngx_int_t ngx_cred_lease_take(ngx_cred_lease_t *lease,
    ngx_cred_redis_reply_t *reply);
static void ngx_cred_lease_grant(ngx_cred_lease_t *lease);
static ngx_int_t ngx_cred_lease_apply(ngx_cred_lease_t *lease,
    ngx_cred_redis_reply_t *reply);
static void ngx_cred_lease_again(ngx_cred_lease_t *lease, ngx_msec_t delay);
static ngx_uint_t ngx_cred_lease_is(ngx_str_t *s, const char *word);


static ngx_cred_redis_script_t  ngx_cred_lease_script = {
    ngx_string("lease.lua"),
    ngx_string(NGX_CRED_SCRIPT_LEASE),
    ngx_string(NGX_CRED_SCRIPT_LEASE_SHA),
    1, NGX_CRED_LEASE_SHARED, 0, 1, 0
};


ngx_int_t
ngx_cred_lease_start(ngx_cred_gateway_t *gateway, ngx_cycle_t *cycle,
    ngx_uint_t first)
{
    ngx_cred_lease_t    *lease;
    ngx_pool_cleanup_t  *cln;

    cln = ngx_pool_cleanup_add(cycle->pool, sizeof(ngx_cred_lease_t));
    if (cln == NULL) {
        return NGX_ERROR;
    }

    lease = cln->data;
    ngx_memzero(lease, sizeof(ngx_cred_lease_t));

    cln->handler = ngx_cred_lease_cleanup;

    lease->gateway = gateway;
    lease->first = first;

    lease->shared[0] = gateway->key;
    lease->shared[1] = gateway->prefix;

    lease->timer.handler = ngx_cred_lease_timer_handler;
    lease->timer.data = lease;
    lease->timer.log = cycle->log;
    lease->timer.cancelable = 1;

    gateway->calls = lease;
    gateway->subscription.message = ngx_cred_lease_bell;
    gateway->subscription.data = lease;

    if (first) {
        ngx_add_timer(&lease->timer, 1);

    } else {
        ngx_cred_lease_schedule(lease);
    }

    return NGX_OK;
}


/* with "master_process off" the process outlives its cycles */

static void
ngx_cred_lease_cleanup(void *data)
{
    ngx_cred_lease_t *lease = data;

    if (lease->timer.timer_set) {
        ngx_del_timer(&lease->timer);
    }
}


static void
ngx_cred_lease_schedule(ngx_cred_lease_t *lease)
{
    ngx_msec_t                    delay;
    ngx_cred_zone_environment_t  *environment;

    environment = lease->gateway->environment;

    delay = ngx_cred_lease_third(environment);

    if (ngx_cred_zone_leased(environment, ngx_cred_clock())) {
        delay = ngx_min(delay, NGX_CRED_LEASE_INTERVAL);

    } else {
        delay = ngx_min(delay, NGX_CRED_LEASE_RETRY);
    }

    ngx_cred_lease_again(lease, delay);
}


static ngx_msec_t
ngx_cred_lease_third(ngx_cred_zone_environment_t *environment)
{
    return ngx_cred_zone_length(environment,
                                ngx_cred_zone_generation(environment))
           / NGX_CRED_LEASE_PARTS;
}


/* once when it ends, and when there is one again */

static void
ngx_cred_lease_tell(ngx_cred_lease_t *lease, ngx_uint_t leased)
{
    if (leased == lease->leased) {
        return;
    }

    lease->leased = leased;

    if (leased) {
        ngx_log_error(NGX_LOG_NOTICE, ngx_cycle->log, 0,
                      "gateway has a lease, environment: \"%V\"",
                      &lease->gateway->name);
        return;
    }

    ngx_log_error(NGX_LOG_WARN, ngx_cycle->log, 0,
                  "gateway has no lease any more, each key is looked up, "
                  "environment: \"%V\"", &lease->gateway->name);
}


static void
ngx_cred_lease_again(ngx_cred_lease_t *lease, ngx_msec_t delay)
{
    if (ngx_exiting) {
        return;
    }

    ngx_add_timer(&lease->timer, ngx_max(delay, 1));
}


static void
ngx_cred_lease_timer_handler(ngx_event_t *ev)
{
    ngx_cred_lease_t             *lease;
    ngx_cred_zone_environment_t  *environment;

    lease = ev->data;

    if (ngx_exiting) {
        return;
    }

    environment = lease->gateway->environment;

    if (lease->first) {
        ngx_cred_lease_subscribe(lease);

        if (!ngx_cred_zone_leased(environment, ngx_cred_clock())) {
            ngx_cred_lease_tell(lease, 0);
        }
    }

    /* others take over when the first worker has let it run down */

    if (lease->first
        || ngx_cred_zone_lease_left(environment)
           <= ngx_cred_lease_third(environment))
    {
        lease->ncalls = 0;
        ngx_cred_lease_call(lease);
    }

    if (!lease->timer.timer_set) {
        ngx_cred_lease_schedule(lease);
    }
}


/*
 * A subscription that is as good as dead is known by what was found without it,
 * and of which it has not told until the next time.
 */

static void
ngx_cred_lease_subscribe(ngx_cred_lease_t *lease)
{
    char                *err;
    ngx_cred_redis_t    *redis;
    ngx_cred_gateway_t  *gateway;

    gateway = lease->gateway;

    redis = ngx_cred_redis_get(&gateway->subscription, &gateway->url,
                               "gateway's subscription", NULL, &err);
    if (redis == NULL) {
        return;
    }

    if (lease->deaf) {
        lease->deaf = 0;
        ngx_cred_redis_regreet(redis);
    }

    ngx_cred_redis_keep(redis);
}


/* what it says is not read; it also rings when it begins */

static void
ngx_cred_lease_bell(void *data)
{
    ngx_cred_lease_t *lease = data;

    if (ngx_exiting) {
        return;
    }

    lease->deaf = 0;
    lease->rung = 1;

    if (!lease->calling) {
        lease->ncalls = 0;
        ngx_cred_lease_call(lease);
    }
}


void
ngx_cred_lease_renew(ngx_cred_gateway_t *gateway)
{
    if (gateway->calls && !ngx_exiting) {
        gateway->calls->ncalls = 0;
        ngx_cred_lease_call(gateway->calls);
    }
}


static void
ngx_cred_lease_call(ngx_cred_lease_t *lease)
{
    char                         *err;
    u_char                       *p;
    size_t                        len;
    ngx_str_t                    *arg;
    ngx_cred_redis_t             *redis;
    ngx_cred_gateway_t           *gateway;
    ngx_cred_zone_environment_t  *environment;

    if (lease->calling) {
        return;
    }

    gateway = lease->gateway;
    environment = gateway->environment;

    if (ngx_cred_zone_applied(environment, lease->applied, &len) != NGX_OK) {
        ngx_cred_lease_again(lease, NGX_CRED_LEASE_PAUSE);
        return;
    }

    redis = ngx_cred_redis_get(&gateway->redis, &gateway->url,
                               "gateway's environment", NULL, &err);
    if (redis == NULL) {
        return;
    }

    lease->generation = ngx_cred_zone_generation(environment);

    arg = lease->args;

    *arg++ = *ngx_cred_zone_gateway(environment);

    p = lease->numbers;

    arg->data = p;
    p = ngx_sprintf(p, "%M",
                    ngx_cred_zone_length(environment, lease->generation));
    arg->len = p - arg->data;
    arg++;

    arg->data = p;
    p = ngx_sprintf(p, "%ui", lease->generation);
    arg->len = p - arg->data;
    arg++;

    arg->data = lease->applied;
    arg->len = len;
    arg++;

    lease->command.script = &ngx_cred_lease_script;
    lease->command.shared = lease->shared;
    lease->command.args = lease->args;
    lease->command.nargs = arg - lease->args;
    lease->command.prepare = ngx_cred_lease_prepare;
    lease->command.handler = ngx_cred_lease_reply;
    lease->command.closing = 1;
    lease->command.data = lease;

    if (ngx_cred_redis_eval(redis, &lease->command) == NGX_OK) {
        lease->calling = 1;
        lease->rung = 0;
    }
}


/* the lease counts from here, however long the call takes */

static void
ngx_cred_lease_prepare(ngx_cred_redis_t *redis,
    ngx_cred_redis_command_t *command)
{
    ngx_cred_lease_t  *lease;

    lease = command->data;

    lease->at = ngx_cred_clock() / NGX_CRED_MSEC;
}


static void
ngx_cred_lease_reply(ngx_cred_redis_command_t *command,
    ngx_cred_redis_reply_t *reply)
{
    ngx_int_t          rc;
    ngx_cred_lease_t  *lease;

    lease = command->data;

    lease->calling = 0;

    if (command->status != NGX_CRED_REDIS_OK || ngx_exiting) {
        return;
    }

    rc = ngx_cred_lease_take(lease, reply);

    if (rc == NGX_ERROR) {

        if (!lease->warned) {
            lease->warned = 1;
            ngx_log_error(NGX_LOG_ERR, ngx_cycle->log, 0,
                          "gateway's environment: unexpected reply to "
                          "lease.lua");
        }

        return;
    }

    lease->warned = 0;

    if (rc == NGX_BUSY) {
        ngx_cred_lease_again(lease, NGX_CRED_LEASE_PAUSE);
        return;
    }

    /* there may be more: without a pause, but not for ever */

    if (rc == NGX_AGAIN || lease->rung) {

        if (++lease->ncalls < NGX_CRED_LEASE_CALLS) {
            ngx_cred_lease_call(lease);

        } else {
            ngx_cred_lease_again(lease, NGX_CRED_LEASE_PAUSE);
        }
    }
}


/* NGX_OK: leased; NGX_AGAIN: something was applied; NGX_BUSY: not now */

static ngx_int_t
ngx_cred_lease_take(ngx_cred_lease_t *lease, ngx_cred_redis_reply_t *reply)
{
    ngx_int_t                     rc;
    ngx_str_t                    *word, *id;
    ngx_uint_t                    all;
    ngx_cred_gateway_t           *gateway;
    ngx_cred_redis_reply_t      **elts;

    elts = reply->elts;

    if (reply->type != NGX_CRED_REDIS_ARRAY || reply->nelts < 2
        || elts[0]->type != NGX_CRED_REDIS_STRING
        || elts[1]->type != NGX_CRED_REDIS_STRING
        || elts[1]->str.len > NGX_CRED_ZONE_ID_LEN)
    {
        return NGX_ERROR;
    }

    gateway = lease->gateway;
    word = &elts[0]->str;
    id = &elts[1]->str;

    if (ngx_cred_lease_is(word, "leased")) {
        ngx_cred_lease_grant(lease);
        return NGX_OK;
    }

    if (ngx_cred_lease_is(word, "late")) {
        return NGX_OK;
    }

    all = ngx_cred_lease_is(word, "all");

    if (ngx_cred_lease_is(word, "forget")) {
        ngx_cred_zone_forget(gateway->zone, gateway->environment);

    } else if ((!all && !ngx_cred_lease_is(word, "entries"))
               || ngx_cred_lease_apply(lease, reply) != NGX_OK)
    {
        return NGX_ERROR;
    }

    /* without a pause between deletes there would be no other lease */

    if (all) {
        ngx_cred_lease_grant(lease);
    }

    rc = ngx_cred_zone_set_applied(gateway->environment, id->data, id->len);

    return (rc == NGX_OK) ? NGX_AGAIN : rc;
}


static void
ngx_cred_lease_grant(ngx_cred_lease_t *lease)
{
    ngx_cred_zone_grant(lease->gateway->environment, lease->at,
                        lease->generation);

    if (lease->first) {
        ngx_cred_lease_tell(lease, 1);
    }
}


/* API:SCOPE:ID each */

static ngx_int_t
ngx_cred_lease_apply(ngx_cred_lease_t *lease, ngx_cred_redis_reply_t *reply)
{
    u_char      *p, *last;
    ngx_str_t    api;
    ngx_uint_t   i;

    for (i = 2; i < reply->nelts; i++) {

        if (reply->elts[i]->type != NGX_CRED_REDIS_STRING) {
            return NGX_ERROR;
        }

        api = reply->elts[i]->str;
        last = api.data + api.len;

        p = ngx_strlchr(api.data, last, ':');
        if (p == NULL) {
            return NGX_ERROR;
        }

        api.len = p++ - api.data;

        ngx_cred_zone_invalidate(lease->gateway->zone,
                                 ngx_cred_zone_counter(&api, p, last - p));
    }

    if (!lease->rung && lease->ncalls == 0) {
        lease->deaf = lease->first;
    }

    return NGX_OK;
}


static ngx_uint_t
ngx_cred_lease_is(ngx_str_t *s, const char *word)
{
    return s->len == ngx_strlen(word)
           && ngx_strncmp(s->data, word, s->len) == 0;
}
