
/*
 * Copyright (C) ngx_cred_module authors
 * SPDX-License-Identifier: BSD-2-Clause
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>
#include <ngx_cred_connector.h>
#include <ngx_cred_core.h>
#include <ngx_cred_delete.h>


#define NGX_CRED_DELETE_CASCADE       4     /* elements of each environment */
#define NGX_CRED_DELETE_ENVIRONMENTS  1024


/* elements of a reply */

enum {
    NGX_CRED_DELETE_RESULT = 0,
    NGX_CRED_DELETE_SUBJECT,
    NGX_CRED_DELETE_SCOPE,
    NGX_CRED_DELETE_MEMBER,
    NGX_CRED_DELETE_START,
    NGX_CRED_DELETE_COUNT,
    NGX_CRED_DELETE_RATE
};


static ngx_int_t ngx_cred_delete_word(ngx_cred_delete_t *del, ngx_str_t *word);
static ngx_int_t ngx_cred_delete_rate(ngx_cred_delete_t *del,
    ngx_cred_redis_reply_t *reply, time_t now);
static ngx_int_t ngx_cred_delete_environments(ngx_cred_delete_t *del,
    ngx_cred_redis_reply_t **own);
static ngx_int_t ngx_cred_delete_environment(ngx_cred_delete_t *del,
    ngx_cred_undeployment_t *u, ngx_cred_redis_reply_t **elts);
static void ngx_cred_delete_state(ngx_cred_delete_t *del,
    ngx_cred_undeployment_t *u, ngx_str_t *word);
static void ngx_cred_delete_would(ngx_cred_undeployment_t *u);
static ngx_int_t ngx_cred_delete_operation(ngx_cred_delete_t *del,
    ngx_str_t *member);
static ngx_int_t ngx_cred_delete_copy(ngx_cred_delete_t *del, ngx_str_t *dst,
    ngx_cred_redis_reply_t *reply);


ngx_int_t
ngx_cred_delete_parse(ngx_cred_delete_t *del, ngx_cred_redis_reply_t *reply)
{
    ngx_int_t                 rc;
    ngx_cred_outcome_t       *outcome;
    ngx_cred_redis_reply_t  **own, *time;

    if (del->command.whole == reply
        || reply->type != NGX_CRED_REDIS_ARRAY
        || del->command.whole->elts[0]->type != NGX_CRED_REDIS_INTEGER
        || reply->elts[NGX_CRED_DELETE_RESULT]->type != NGX_CRED_REDIS_STRING)
    {
        goto invalid;
    }

    time = del->command.whole->elts[0];
    own = reply->elts;
    outcome = &del->outcome;

    ngx_cred_redis_set_time(del->command.redis, time->integer);

    rc = ngx_cred_delete_word(del, &own[NGX_CRED_DELETE_RESULT]->str);

    if (rc == NGX_AGAIN || rc == NGX_BUSY) {
        return rc;
    }

    if (rc == NGX_OK
        && ngx_cred_delete_copy(del, &outcome->subject,
                                own[NGX_CRED_DELETE_SUBJECT])
           == NGX_OK
        && ngx_cred_delete_copy(del, &outcome->scope,
                                own[NGX_CRED_DELETE_SCOPE])
           == NGX_OK
        && ngx_cred_delete_rate(del, own[NGX_CRED_DELETE_RATE],
                                time->integer / 1000)
           == NGX_OK
        && ngx_cred_delete_environments(del, own) == NGX_OK)
    {
        return NGX_OK;
    }

invalid:

    ngx_log_error(NGX_LOG_ERR, ngx_cycle->log, 0,
                  "registry: unexpected reply to delete.lua or no memory");

    return NGX_ERROR;
}


/* limit, remaining and reset, or nothing if it was not counted */

static ngx_int_t
ngx_cred_delete_rate(ngx_cred_delete_t *del, ngx_cred_redis_reply_t *reply,
    time_t now)
{
    off_t                n[3];
    u_char              *p, *last, *end;
    ngx_uint_t           i;
    ngx_cred_outcome_t  *outcome;

    if (reply->type != NGX_CRED_REDIS_STRING) {
        return NGX_ERROR;
    }

    if (reply->str.len == 0) {
        return NGX_OK;
    }

    p = reply->str.data;
    last = p + reply->str.len;
    end = p;

    for (i = 0; i < 3; i++, p = end + 1) {

        if (p > last) {
            return NGX_ERROR;
        }

        end = ngx_strlchr(p, last, ' ');

        if (end == NULL) {
            end = last;
        }

        n[i] = ngx_atoof(p, end - p);

        if (n[i] == NGX_ERROR) {
            return NGX_ERROR;
        }
    }

    if (end != last) {
        return NGX_ERROR;
    }

    outcome = &del->outcome;

    outcome->rate_limit = ngx_min(n[0], NGX_MAX_INT_T_VALUE);
    outcome->rate_remaining = ngx_min(n[1], NGX_MAX_INT_T_VALUE);
    outcome->rate_reset = ngx_min(n[2], NGX_MAX_TIME_T_VALUE);
    outcome->retry_after = outcome->rate_reset - ngx_max(now, 0);

    return NGX_OK;
}


static ngx_int_t
ngx_cred_delete_word(ngx_cred_delete_t *del, ngx_str_t *word)
{
    ngx_str_t   *name;
    ngx_uint_t   i;

    for (i = 0; i < NGX_CRED_NRESULTS; i++) {
        name = ngx_cred_result_name(i);

        if (word->len == name->len
            && ngx_strncmp(word->data, name->data, word->len) == 0)
        {
            del->outcome.result = i;
            return NGX_OK;
        }
    }

    if (word->len == 4 && ngx_strncmp(word->data, "late", 4) == 0) {
        return NGX_AGAIN;
    }

    if (word->len == 4 && ngx_strncmp(word->data, "full", 4) == 0) {
        return NGX_BUSY;
    }

    return NGX_ERROR;
}


static ngx_int_t
ngx_cred_delete_environments(ngx_cred_delete_t *del,
    ngx_cred_redis_reply_t **own)
{
    int64_t                   start, n, i;
    ngx_str_t                 member;
    ngx_cred_redis_reply_t  **elts, *whole;
    ngx_cred_undeployment_t  *u;

    whole = del->command.whole;

    if (own[NGX_CRED_DELETE_START]->type != NGX_CRED_REDIS_INTEGER
        || own[NGX_CRED_DELETE_COUNT]->type != NGX_CRED_REDIS_INTEGER)
    {
        return NGX_ERROR;
    }

    start = own[NGX_CRED_DELETE_START]->integer;
    n = own[NGX_CRED_DELETE_COUNT]->integer;

    if (start < 0 || n < 0 || n > NGX_CRED_DELETE_ENVIRONMENTS
        || start > (int64_t) whole->nelts
        || n > ((int64_t) whole->nelts - start) / NGX_CRED_DELETE_CASCADE
        || ngx_cred_delete_copy(del, &member, own[NGX_CRED_DELETE_MEMBER])
           != NGX_OK)
    {
        return NGX_ERROR;
    }

    if (del->outcome.result != NGX_CRED_DELETED
        && del->outcome.result != NGX_CRED_RESUMED)
    {
        return (n || member.len) ? NGX_ERROR : NGX_OK;
    }

    if (del->outcome.dry_run && del->outcome.result == NGX_CRED_DELETED) {

        if (member.len) {
            return NGX_ERROR;
        }

    } else if (ngx_cred_delete_operation(del, &member) != NGX_OK) {
        return NGX_ERROR;
    }

    if (n == 0) {
        return NGX_OK;
    }

    u = ngx_pcalloc(del->pool, n * sizeof(ngx_cred_undeployment_t));
    if (u == NULL) {
        return NGX_ERROR;
    }

    del->undeployments = u;

    elts = &whole->elts[start];

    for (i = 0; i < n; i++, u++, elts += NGX_CRED_DELETE_CASCADE) {

        if (ngx_cred_delete_environment(del, u, elts) != NGX_OK) {
            return NGX_ERROR;
        }

        u->member = member;
        u->now = whole->elts[0]->integer;
    }

    del->nundeployments = n;

    return NGX_OK;
}


/* name, URL, state and what is known of it */

static ngx_int_t
ngx_cred_delete_environment(ngx_cred_delete_t *del, ngx_cred_undeployment_t *u,
    ngx_cred_redis_reply_t **elts)
{
    ngx_str_t  known;

    if (elts[0]->type != NGX_CRED_REDIS_STRING
        || elts[1]->type != NGX_CRED_REDIS_STRING
        || elts[2]->type != NGX_CRED_REDIS_STRING
        || elts[3]->type != NGX_CRED_REDIS_STRING
        || ngx_cred_delete_copy(del, &u->environment, elts[0]) != NGX_OK
        || ngx_cred_delete_copy(del, &u->url, elts[1]) != NGX_OK)
    {
        return NGX_ERROR;
    }

    if (elts[3]->str.len
        && (ngx_cred_delete_copy(del, &known, elts[3]) != NGX_OK
            || ngx_cred_known(&known, &u->known) != NGX_OK))
    {
        return NGX_ERROR;
    }

    u->registry = del->registry;
    u->accepted = del->start;
    u->pool = del->pool;
    u->handler = ngx_cred_cascade_undeployed;
    u->release = ngx_cred_cascade_release;
    u->data = del;

    ngx_cred_delete_state(del, u, &elts[2]->str);

    return NGX_OK;
}


/* what a dry run would claim is not: it is a part of the answer alone */

static void
ngx_cred_delete_state(ngx_cred_delete_t *del, ngx_cred_undeployment_t *u,
    ngx_str_t *word)
{
    ngx_uint_t  claimed, waiting;

    claimed = (word->len == 7 && ngx_strncmp(word->data, "claimed", 7) == 0);
    waiting = (word->len == 7 && ngx_strncmp(word->data, "waiting", 7) == 0);

    if (!claimed && !waiting) {
        u->state = ngx_cred_state(word);
        u->reason = u->url.len ? NGX_CRED_LATE : NGX_CRED_UNREACHABLE;

    } else if (!del->outcome.dry_run) {
        u->claimed = 1;
        u->undeployed = waiting;

    } else if (del->outcome.result == NGX_CRED_DELETED) {
        ngx_cred_delete_would(u);
    }
}


/* what can be told of an attempt without making it */

static void
ngx_cred_delete_would(ngx_cred_undeployment_t *u)
{
    char                  *err;
    ngx_cred_connector_t  *connector;

    u->state = NGX_CRED_UNDEPLOYED;

    if (!ngx_cred_is_connector(&u->url)) {
        return;
    }

    connector = ngx_cred_connector_find(u->registry, &u->url, &err);

    if (connector == NULL) {
        u->state = NGX_CRED_PENDING;
        u->reason = NGX_CRED_UNREACHABLE;

    } else if (ngx_cred_connector_lacks(connector, &u->known.target)) {
        u->state = NGX_CRED_PENDING;
        u->reason = NGX_CRED_REFUSED;
    }
}


/* API:scope:id:revision:operation; the last goes into a header */

static ngx_int_t
ngx_cred_delete_operation(ngx_cred_delete_t *del, ngx_str_t *member)
{
    u_char      *p;
    ngx_uint_t   i;

    if (member->len < NGX_CRED_OPERATION_LEN) {
        return NGX_ERROR;
    }

    p = member->data + member->len - NGX_CRED_OPERATION_LEN;

    /* this one; what is resumed may be another */

    if (del->outcome.result == NGX_CRED_DELETED
        && ngx_memcmp(p, del->operation, NGX_CRED_OPERATION_LEN) != 0)
    {
        return NGX_ERROR;
    }

    for (i = 0; i < NGX_CRED_OPERATION_LEN; i++) {

        if (!((p[i] >= '0' && p[i] <= '9') || (p[i] >= 'a' && p[i] <= 'f'))) {
            return NGX_ERROR;
        }
    }

    del->outcome.operation.len = NGX_CRED_OPERATION_LEN;
    del->outcome.operation.data = p;

    return NGX_OK;
}


static ngx_int_t
ngx_cred_delete_copy(ngx_cred_delete_t *del, ngx_str_t *dst,
    ngx_cred_redis_reply_t *reply)
{
    if (reply->type == NGX_CRED_REDIS_NIL) {
        ngx_str_null(dst);
        return NGX_OK;
    }

    if (reply->type != NGX_CRED_REDIS_STRING) {
        return NGX_ERROR;
    }

    dst->data = ngx_pstrdup(del->pool, &reply->str);
    if (dst->data == NULL) {
        return NGX_ERROR;
    }

    dst->len = reply->str.len;

    return NGX_OK;
}
