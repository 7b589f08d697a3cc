
/*
 * Copyright (C) ngx_cred_module authors
 * SPDX-License-Identifier: BSD-2-Clause
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>
#include <ngx_cred_core.h>
#include <ngx_cred_connector.h>
#include <ngx_cred_status.h>
#include <ngx_cred_undeployment.h>


#define NGX_CRED_UNDEPLOY_ERROR_LEN  512   /* of an error in a receipt */
#define NGX_CRED_UNDEPLOY_ID_LEN     64    /* of an id of a stream */

/* calls of a connection are counted for a week from its greeting */
#define NGX_CRED_UNDEPLOY_REFRESH    (3 * 24 * 60 * 60 * 1000)


static void ngx_cred_undeploy_redis(ngx_cred_undeployment_t *u);
static void ngx_cred_undeploy_prepare(ngx_cred_redis_t *redis,
    ngx_cred_redis_command_t *command);
static void ngx_cred_undeploy_reply(ngx_cred_redis_command_t *command,
    ngx_cred_redis_reply_t *reply);
static ngx_cred_reason_e ngx_cred_undeploy_reason(
    ngx_cred_redis_command_t *command);
static ngx_int_t ngx_cred_undeploy_done_there(ngx_cred_undeployment_t *u,
    ngx_cred_redis_command_t *command, ngx_cred_redis_reply_t *reply);
static ngx_int_t ngx_cred_undeploy_progress(ngx_cred_undeployment_t *u,
    ngx_cred_redis_command_t *command);
static ngx_uint_t ngx_cred_undeploy_is_id(u_char *p, u_char *last);
static void ngx_cred_undeploy_done(ngx_cred_undeployment_t *u);
static void ngx_cred_undeploy_over(ngx_cred_undeployment_t *u);
static void ngx_cred_acknowledge(ngx_cred_undeployment_t *u);
static void ngx_cred_acknowledge_reply(ngx_cred_redis_command_t *command,
    ngx_cred_redis_reply_t *reply);
static void ngx_cred_acknowledge_stale(ngx_cred_undeployment_t *u);


void
ngx_cred_undeploy(ngx_cred_undeployment_t *u)
{
    u->start = ngx_current_msec;
    u->due = NGX_CRED_DUE_BACKOFF;

    if (ngx_cred_is_connector(&u->url)) {
        ngx_cred_connector_undeploy(u);
        return;
    }

    ngx_cred_undeploy_redis(u);
}


static void
ngx_cred_undeploy_redis(ngx_cred_undeployment_t *u)
{
    char              *err;
    u_char            *p;
    ngx_str_t          error, *prefix;
    ngx_cred_redis_t  *redis;

    redis = ngx_cred_environment_redis(u->registry, &u->environment, &u->url,
                                       &err);
    if (redis == NULL) {
        error.data = (u_char *) err;
        error.len = ngx_strlen(err);

        ngx_cred_undeploy_failed(u, NGX_CRED_UNREACHABLE, &error);
        return;
    }

    prefix = ngx_cred_redis_prefix(redis);

    p = ngx_pnalloc(u->pool, prefix->len + sizeof(":undeployments") - 1);
    if (p == NULL) {
        ngx_str_set(&error, "no memory");
        ngx_cred_undeploy_failed(u, NGX_CRED_UNREACHABLE, &error);
        return;
    }

    u->shared[0].data = p;
    p = ngx_cpymem(p, prefix->data, prefix->len);
    p = ngx_cpymem(p, ":undeployments", sizeof(":undeployments") - 1);
    u->shared[0].len = p - u->shared[0].data;

    u->shared[1].data = u->shared[0].data;
    u->shared[1].len = prefix->len;

    ngx_cred_environment_refresh(redis, NGX_CRED_UNDEPLOY_REFRESH);

    u->command.script = &ngx_cred_undeploy_script;
    u->command.shared = u->shared;
    u->command.args = &u->member;
    u->command.nargs = 1;
    u->command.prepare = ngx_cred_undeploy_prepare;
    u->command.handler = ngx_cred_undeploy_reply;
    u->command.data = u;

    if (ngx_cred_redis_eval(redis, &u->command) != NGX_OK) {
        ngx_cred_undeploy_failed(u, ngx_cred_undeploy_reason(&u->command),
                                 &u->command.error);
    }
}


/* which connection it is by, is known when it leaves */

static void
ngx_cred_undeploy_prepare(ngx_cred_redis_t *redis,
    ngx_cred_redis_command_t *command)
{
    command->shared[2] = *ngx_cred_environment_connection(redis);
}


static void
ngx_cred_undeploy_reply(ngx_cred_redis_command_t *command,
    ngx_cred_redis_reply_t *reply)
{
    ngx_int_t                 rc;
    ngx_str_t                 error;
    ngx_cred_undeployment_t  *u;

    u = command->data;

    /* a call is counted even if this one of its undeployments failed */

    rc = command->whole ? ngx_cred_undeploy_progress(u, command) : NGX_ERROR;

    if (command->status != NGX_CRED_REDIS_OK) {
        ngx_str_null(&u->progress);
        ngx_cred_undeploy_failed(u, ngx_cred_undeploy_reason(command),
                                 &command->error);
        return;
    }

    ngx_str_set(&error, "unexpected reply to undeploy.lua");

    if (rc == NGX_DECLINED) {
        ngx_str_set(&error, "environment has lost its memory");

    } else if (rc == NGX_OK) {

        if (ngx_cred_undeploy_done_there(u, command, reply) == NGX_OK) {
            return;
        }
    }

    ngx_str_null(&u->progress);
    ngx_cred_undeploy_failed(u, NGX_CRED_REFUSED, &error);
}


/* it is gone there: settled, unless there are gateways */

static ngx_int_t
ngx_cred_undeploy_done_there(ngx_cred_undeployment_t *u,
    ngx_cred_redis_command_t *command, ngx_cred_redis_reply_t *reply)
{
    ngx_str_t                *id;
    ngx_cred_state_e          state;
    ngx_cred_redis_reply_t  **whole, **own;

    if (reply == command->whole
        || reply->elts[0]->type != NGX_CRED_REDIS_STRING
        || reply->elts[1]->type != NGX_CRED_REDIS_STRING)
    {
        return NGX_ERROR;
    }

    whole = command->whole->elts;
    own = reply->elts;

    state = ngx_cred_state(&own[0]->str);

    if (state == NGX_CRED_PENDING
        || whole[1]->type != NGX_CRED_REDIS_INTEGER
        || whole[2]->type != NGX_CRED_REDIS_INTEGER
        || whole[1]->integer < 0 || whole[2]->integer < 0
        || whole[2]->integer > NGX_CRED_LEASE_MAX)
    {
        return NGX_ERROR;
    }

    if (state == NGX_CRED_NOT_DEPLOYED && u->undeployed) {
        state = NGX_CRED_UNDEPLOYED;
    }

    u->state = state;
    u->gateways = whole[1]->integer;

    if (u->gateways == 0) {
        ngx_cred_undeploy_settled(u, state);
        return NGX_OK;
    }

    id = &own[1]->str;

    if (id->len == 0 || !ngx_cred_undeploy_is_id(id->data, id->data + id->len))
    {
        return NGX_ERROR;
    }

    u->id.len = id->len;
    u->id.data = ngx_pstrdup(u->pool, id);
    if (u->id.data == NULL) {
        return NGX_ERROR;
    }

    u->duration = ngx_current_msec - u->start;

    return ngx_cred_effect_wait(u, whole[2]->integer);
}


void
ngx_cred_undeploy_ineffective(ngx_cred_undeployment_t *u,
    ngx_cred_reason_e reason)
{
    ngx_str_t  error;

    if (reason == NGX_CRED_UNREACHABLE) {
        ngx_str_set(&error, "no word of its gateways");

    } else {
        ngx_str_set(&error, "environment has lost its memory");
    }

    ngx_str_null(&u->progress);
    ngx_cred_undeploy_failed(u, reason, &error);
}


void
ngx_cred_undeploy_effective(ngx_cred_undeployment_t *u, ngx_cred_state_e state)
{
    u->state = state;

    ngx_cred_undeploy_over(u);
}


static ngx_cred_reason_e
ngx_cred_undeploy_reason(ngx_cred_redis_command_t *command)
{
    switch (command->status) {

    case NGX_CRED_REDIS_REFUSED:
        return NGX_CRED_REFUSED;

    case NGX_CRED_REDIS_TIMEDOUT:
        return NGX_CRED_LATE;

    default: /* NGX_CRED_REDIS_UNREACHABLE, NGX_CRED_REDIS_BROKEN ... */
        return NGX_CRED_UNREACHABLE;
    }
}


/*
 * Without it the registry would not notice that the environment lost this.
 * NGX_DECLINED if it has lost something before this: nothing is known of what
 * it has until it was greeted anew.
 */

static ngx_int_t
ngx_cred_undeploy_progress(ngx_cred_undeployment_t *u,
    ngx_cred_redis_command_t *command)
{
    u_char                  *p, *id, *last;
    ngx_int_t                count;
    ngx_str_t               *epoch, *progress;
    ngx_cred_redis_reply_t  *whole;

    whole = command->whole;

    if (whole->type != NGX_CRED_REDIS_ARRAY || whole->nelts == 0
        || whole->elts[0]->type != NGX_CRED_REDIS_STRING)
    {
        return NGX_ERROR;
    }

    /* how many calls, and the last id */

    progress = &whole->elts[0]->str;
    last = progress->data + progress->len;

    id = ngx_strlchr(progress->data, last, ':');
    if (id == NULL) {
        return NGX_ERROR;
    }

    count = ngx_atoi(progress->data, id - progress->data);
    if (count == NGX_ERROR || !ngx_cred_undeploy_is_id(id + 1, last)) {
        return NGX_ERROR;
    }

    /* the call begins with the first of its commands */

    if (ngx_cred_environment_count(command->redis, count, command->ncall)
        != NGX_OK)
    {
        return NGX_DECLINED;
    }

    epoch = ngx_cred_environment_epoch(command->redis);

    p = ngx_pnalloc(u->pool, epoch->len + (last - id));
    if (p == NULL) {
        return NGX_ERROR;
    }

    u->progress.data = p;

    p = ngx_cpymem(p, epoch->data, epoch->len);
    p = ngx_cpymem(p, id, last - id);

    u->progress.len = p - u->progress.data;

    return NGX_OK;
}


/*
 * Two numbers with a dash between, or nothing.  The registry would take
 * anything else for another epoch's, and settle nothing.
 */

static ngx_uint_t
ngx_cred_undeploy_is_id(u_char *p, u_char *last)
{
    u_char  *dash;

    if (p == last) {
        return 1;
    }

    dash = ngx_strlchr(p, last, '-');

    return dash && last - p <= NGX_CRED_UNDEPLOY_ID_LEN
           && ngx_atoof(p, dash - p) != NGX_ERROR
           && ngx_atoof(dash + 1, last - dash - 1) != NGX_ERROR;
}


void
ngx_cred_undeployment_unregistered(ngx_cred_undeployment_t *u)
{
    u->start = ngx_current_msec;

    ngx_cred_undeploy_settled(u, NGX_CRED_UNREGISTERED);
}


void
ngx_cred_undeploy_settled(ngx_cred_undeployment_t *u, ngx_cred_state_e state)
{
    u->state = state;

    ngx_cred_undeploy_done(u);
}


void
ngx_cred_undeploy_failed(ngx_cred_undeployment_t *u, ngx_cred_reason_e reason,
    ngx_str_t *error)
{
    ngx_str_t  reported;

    u->state = NGX_CRED_PENDING;
    u->reason = reason;

    reported = *error;
    reported.len = ngx_min(reported.len, NGX_CRED_UNDEPLOY_ERROR_LEN);

    u->error.data = ngx_pstrdup(u->pool, &reported);
    u->error.len = u->error.data ? reported.len : 0;

    ngx_cred_undeploy_done(u);
}


static void
ngx_cred_undeploy_done(ngx_cred_undeployment_t *u)
{
    u->duration = ngx_current_msec - u->start;

    ngx_cred_undeploy_over(u);
}


static void
ngx_cred_undeploy_over(ngx_cred_undeployment_t *u)
{
    ngx_cred_status_attempted(u->registry, &u->environment, u->state, u->reason,
                              u->duration, ngx_current_msec - u->accepted);

    u->handler(u);

    ngx_cred_acknowledge(u);
}


static void
ngx_cred_acknowledge(ngx_cred_undeployment_t *u)
{
    ngx_str_t  gateways;

    ngx_cred_effect_word(u, &gateways);

    u->command.handler = ngx_cred_acknowledge_reply;
    u->command.data = u;

    if (ngx_cred_acknowledge_send(u, &u->command, u->args, &gateways) != NGX_OK)
    {

        /*
         * The registry does not know what was done: the entry is attempted
         * again after its lease, which does no harm.
         */

        u->release(u);
    }
}


ngx_int_t
ngx_cred_acknowledge_send(ngx_cred_undeployment_t *u,
    ngx_cred_redis_command_t *command, ngx_str_t *args, ngx_str_t *gateways)
{
    ngx_str_t         *arg;
    ngx_cred_redis_t  *redis;

    arg = args;

    *arg++ = u->environment;
    *arg++ = u->member;
    *arg++ = *ngx_cred_state_name(u->state);
    *arg++ = u->error;

    arg->data = u->number;
    arg->len = ngx_sprintf(u->number, "%M", u->duration) - u->number;
    arg++;

    *arg++ = u->progress;
    *arg++ = *gateways;
    ngx_cred_known_how(u, arg++);

    command->script = &ngx_cred_acknowledge_script;
    command->shared = u->registry->acknowledge;
    command->args = args;
    command->nargs = arg - args;
    command->prepare = NULL;
    command->closing = 1;

    redis = ngx_cred_registry_redis(u->registry);

    return redis ? ngx_cred_redis_eval(redis, command) : NGX_DECLINED;
}


static void
ngx_cred_acknowledge_reply(ngx_cred_redis_command_t *command,
    ngx_cred_redis_reply_t *reply)
{
    ngx_cred_undeployment_t  *u;

    u = command->data;

    if (command->status == NGX_CRED_REDIS_OK
        && reply->type == NGX_CRED_REDIS_STRING
        && reply->str.len == 5
        && ngx_strncmp(reply->str.data, "stale", 5) == 0)
    {
        ngx_cred_acknowledge_stale(u);
    }

    u->release(u);
}


/*
 * The environment has lost what it was told before: this undeployment is
 * pending still, and its connection is to be greeted before the next one.
 */

static void
ngx_cred_acknowledge_stale(ngx_cred_undeployment_t *u)
{
    u_char            *p;
    ngx_str_t          epoch;
    ngx_cred_redis_t  *redis;

    redis = ngx_cred_redis_lookup(&u->registry->environments, &u->environment);

    p = ngx_strlchr(u->progress.data, u->progress.data + u->progress.len, ':');

    if (redis == NULL || p == NULL) {
        return;
    }

    epoch.data = u->progress.data;
    epoch.len = p - epoch.data;

    ngx_cred_environment_stale(redis, &epoch);
}
