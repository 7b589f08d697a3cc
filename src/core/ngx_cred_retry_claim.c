
/*
 * Copyright (C) ngx_cred_module authors
 * SPDX-License-Identifier: BSD-2-Clause
 */


/* what one claim brought: attempts, until all receipts are written */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>
#include <ngx_cred_retry.h>


/* what one claim brought for one environment */

typedef struct {
    ngx_pool_t                    *pool;
    ngx_cred_retry_t              *retry;
    ngx_cred_retry_environment_t  *environment;
    ngx_uint_t                     left;
    unsigned                       full:1;    /* there may be more */
    unsigned                       done:1;    /* some are settled */
} ngx_cred_retry_claim_t;


static ngx_int_t ngx_cred_retry_known(ngx_pool_t *pool, ngx_str_t *now,
    ngx_cred_redis_reply_t *members, ngx_cred_undeployment_t *u);
static ngx_msec_t ngx_cred_retry_accepted(ngx_str_t *now, ngx_str_t *since);
static void ngx_cred_retry_waits(ngx_cred_undeployment_t *u);
static void ngx_cred_retry_undeployed(ngx_cred_undeployment_t *u);
static void ngx_cred_retry_release(ngx_cred_undeployment_t *u);


void
ngx_cred_retry_attempt(ngx_cred_retry_t *retry,
    ngx_cred_retry_environment_t *environment, ngx_str_t *now,
    ngx_cred_redis_reply_t **elts)
{
    ngx_str_t                 *url;
    ngx_pool_t                *pool;
    ngx_uint_t                 i, n;
    ngx_cred_redis_reply_t   **member;
    ngx_cred_retry_claim_t    *claim;
    ngx_cred_undeployment_t   *u;

    url = &elts[1]->str;
    member = elts[2]->elts;
    n = elts[2]->nelts / NGX_CRED_CLAIM_MEMBER;

    /* what is claimed and not attempted, for lack of memory, is due again
     * after the lease */

    pool = ngx_create_pool(4096, ngx_cycle->log);
    if (pool == NULL) {
        return;
    }

    claim = ngx_pcalloc(pool, sizeof(ngx_cred_retry_claim_t));
    u = ngx_pcalloc(pool, n * sizeof(ngx_cred_undeployment_t));

    if (claim == NULL || u == NULL
        || ngx_cred_retry_known(pool, now, elts[2], u) != NGX_OK)
    {
        ngx_destroy_pool(pool);
        return;
    }

    claim->pool = pool;
    claim->retry = retry;
    claim->environment = environment;
    claim->full = (n >= NGX_CRED_RETRY_CLAIM);
    claim->left = n;

    environment->inflight += n;

    for (i = 0; i < n; i++, member += NGX_CRED_CLAIM_MEMBER) {
        u[i].registry = retry->registry;
        u[i].pool = pool;
        u[i].environment = environment->sn.str;
        u[i].accepted = ngx_cred_retry_accepted(now, &member[1]->str);
        u[i].wait = ngx_cred_retry_waits;
        u[i].handler = ngx_cred_retry_undeployed;
        u[i].release = ngx_cred_retry_release;
        u[i].data = claim;

        u[i].member.data = ngx_pstrdup(pool, &member[0]->str);
        u[i].member.len = u[i].member.data ? member[0]->str.len : 0;

        if (elts[1]->type == NGX_CRED_REDIS_NIL) {
            ngx_cred_undeployment_unregistered(&u[i]);
            continue;
        }

        u[i].url.data = (i == 0) ? ngx_pstrdup(pool, url) : u[0].url.data;
        u[i].url.len = u[i].url.data ? url->len : 0;

        ngx_cred_undeploy(&u[i]);
    }
}


/* for connectors: an attempt must not be made without it */

static ngx_int_t
ngx_cred_retry_known(ngx_pool_t *pool, ngx_str_t *now,
    ngx_cred_redis_reply_t *members, ngx_cred_undeployment_t *u)
{
    off_t       ms;
    ngx_str_t   known, *s;
    ngx_uint_t  i;

    ms = ngx_atoof(now->data, now->len);

    for (i = 0; i < members->nelts; i += NGX_CRED_CLAIM_MEMBER, u++) {
        s = &members->elts[i + 2]->str;

        if (s->len == 0) {
            continue;
        }

        known.len = s->len;
        known.data = ngx_pstrdup(pool, s);

        if (known.data == NULL || ngx_cred_known(&known, &u->known) != NGX_OK) {
            return NGX_ERROR;
        }

        u->now = ngx_max(ms, 0);
    }

    return NGX_OK;
}


/* by the clock of this worker; what cannot be read was just now */

static ngx_msec_t
ngx_cred_retry_accepted(ngx_str_t *now, ngx_str_t *since)
{
    off_t  ms, then;

    ms = ngx_atoof(now->data, now->len);
    then = ngx_atoof(since->data, since->len);

    if (ms == NGX_ERROR || then == NGX_ERROR || then > ms) {
        return ngx_current_msec;
    }

    return ngx_current_msec - (ngx_msec_t) (ms - then);
}


/* others of this environment need not wait for it */

static void
ngx_cred_retry_waits(ngx_cred_undeployment_t *u)
{
    ngx_cred_retry_claim_t  *claim;

    claim = u->data;

    claim->environment->inflight--;
    claim->environment->waiting++;
}


static void
ngx_cred_retry_undeployed(ngx_cred_undeployment_t *u)
{
    ngx_cred_retry_claim_t  *claim;

    claim = u->data;

    if (u->state != NGX_CRED_PENDING || u->reason == NGX_CRED_GATEWAYS) {
        claim->done = 1;
        return;
    }

    if (u->reason != NGX_CRED_REFUSED) {
        claim->environment->down = 1;
        claim->environment->failed = 1;
        return;
    }

    /* a Redis that is loading its data is back soon */

    if (u->error.len >= 7
        && ngx_strncmp(u->error.data, "LOADING", 7) == 0)
    {
        claim->environment->down = 1;
    }
}


static void
ngx_cred_retry_release(ngx_cred_undeployment_t *u)
{
    ngx_cred_retry_claim_t        *claim;
    ngx_cred_retry_environment_t  *environment;

    claim = u->data;
    environment = claim->environment;

    if (u->effect) {
        environment->waiting--;

    } else {
        environment->inflight--;
    }

    if (--claim->left) {
        return;
    }

    if (!claim->done) {
        environment->drain = 0;

    } else if (environment->failed) {
        environment->failed = 0;
        environment->drain = 1;
        ngx_cred_retry_schedule(claim->retry, 1);

    } else if (claim->full) {
        ngx_cred_retry_schedule(claim->retry, 1);
    }

    ngx_destroy_pool(claim->pool);
}
