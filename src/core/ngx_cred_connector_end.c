
/*
 * Copyright (C) ngx_cred_module authors
 * SPDX-License-Identifier: BSD-2-Clause
 */


/* how an attempt at a connector ends */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>
#include <ngx_cred_status.h>
#include <ngx_cred_connector_attempt.h>


#define NGX_CRED_ATTEMPT_SUCCEEDED  60000   /* how long a success vouches for
                                               the target, in milliseconds */
#define NGX_CRED_ATTEMPT_LATER      86400   /* the longest Retry-After that is
                                               obeyed, in seconds */
#define NGX_CRED_ATTEMPT_ERROR      512
#define NGX_CRED_ATTEMPT_IMPOSSIBLE 0x10000 /* told, beside a status */


static void ngx_cred_attempt_vouch(ngx_cred_attempt_t *attempt);
static uint32_t ngx_cred_attempt_place(ngx_cred_attempt_t *attempt);
static ngx_cred_web_t *ngx_cred_attempt_told(ngx_cred_attempt_t *attempt,
    ngx_uint_t *told, ngx_str_t *error);


/* in the order of ngx_cred_attempt_step_e */

static const char  *ngx_cred_attempt_steps[] = {
    "match",
    "request",
    "control",
    "purge",
    "verify",
    "verify"
};


/*
 * It is gone there: since when is known, unless nobody who looks for it has
 * taken it out.  Caches that nobody can ask have it for a while.
 */

void
ngx_cred_attempt_settle(ngx_cred_attempt_t *attempt)
{
    int64_t                   since, age;
    ngx_str_t                 error;
    ngx_msec_t                settle;
    ngx_cred_undeployment_t  *u;

    u = attempt->u;
    settle = attempt->connector->settle;
    since = ngx_max(u->known.unclear, u->known.heard);

    if (since == 0 && !attempt->acted && !attempt->success) {
        ngx_cred_attempt_done(attempt, NGX_CRED_NOT_DEPLOYED);
        return;
    }

    if (attempt->success) {
        ngx_cred_attempt_vouch(attempt);
    }

    /* some say each time that they did it: the first time counts */

    attempt->proven = (attempt->success && u->known.heard == 0);

    age = (attempt->acted || attempt->proven) ? 0 : u->now - since;

    if (age >= (int64_t) settle) {
        ngx_cred_attempt_done(attempt, NGX_CRED_UNDEPLOYED);
        return;
    }

    u->due = settle - (ngx_msec_t) ngx_max(age, 0);

    ngx_str_set(&error, "it is gone there, and its caches are waited for");

    ngx_cred_attempt_tell(attempt, 0, NULL);
    ngx_cred_attempt_failed(attempt, NGX_CRED_GATEWAYS, &error);
}


/* for this scope of this environment, which may be another place each */

static void
ngx_cred_attempt_vouch(ngx_cred_attempt_t *attempt)
{
    ngx_cred_connector_t  *connector;

    connector = attempt->connector;

    connector->succeeded_at = ngx_current_msec;
    connector->succeeded_in = ngx_cred_attempt_place(attempt);
}


ngx_uint_t
ngx_cred_attempt_is_vouched(ngx_cred_attempt_t *attempt)
{
    ngx_cred_known_t      *known;
    ngx_cred_connector_t  *connector;

    connector = attempt->connector;
    known = &attempt->u->known;

    /* unless it was there again since */

    if (known->heard && known->heard >= known->unclear && !attempt->acted) {
        return 1;
    }

    return connector->succeeded_at
           && connector->succeeded_in == ngx_cred_attempt_place(attempt)
           && ngx_current_msec - connector->succeeded_at
              < NGX_CRED_ATTEMPT_SUCCEEDED;
}


static uint32_t
ngx_cred_attempt_place(ngx_cred_attempt_t *attempt)
{
    uint32_t    crc;
    ngx_str_t  *environment, *scope;

    environment = &attempt->values[NGX_CRED_PLACE_ENVIRONMENT];
    scope = &attempt->values[NGX_CRED_PLACE_SCOPE];

    ngx_crc32_init(crc);
    ngx_crc32_update(&crc, environment->data, environment->len);
    ngx_crc32_update(&crc, (u_char *) "", 1);
    ngx_crc32_update(&crc, scope->data, scope->len);
    ngx_crc32_final(crc);

    return crc;
}


void
ngx_cred_attempt_refused(ngx_cred_attempt_t *attempt,
    ngx_cred_web_response_t *response, ngx_cred_said_e said)
{
    u_char                     buf[NGX_CRED_ATTEMPT_ERROR], *p, *last;
    ngx_str_t                  error;
    ngx_cred_undeployment_t   *u;

    u = attempt->u;

    last = buf + sizeof(buf);
    p = ngx_slprintf(buf, last, "%s: answer %ui",
                     ngx_cred_attempt_steps[attempt->step], response->status);

    switch (said) {

    case NGX_CRED_SAID_DENIED:
        p = ngx_slprintf(p, last, ", the connector is not allowed to do this");
        u->due = u->registry->retry_max;
        break;

    case NGX_CRED_SAID_LATER:

        /* at once is no time to wait for */

        if (response->retry_after > 0) {
            u->due = 1000 * ngx_min(response->retry_after,
                                    NGX_CRED_ATTEMPT_LATER);
        }

        break;

    case NGX_CRED_SAID_ELSEWHERE:
        p = ngx_slprintf(p, last, ", which is not followed");

        if (response->location.len) {
            p = ngx_slprintf(p, last, ", to \"%V\"", &response->location);
        }

        break;

    case NGX_CRED_SAID_MAYBE:
        p = ngx_slprintf(p, last, ", which does not say that it is gone");
        break;

    default:

        if (attempt->step >= NGX_CRED_ATTEMPT_VERIFY) {
            p = ngx_slprintf(p, last, ", it is not known to be gone");

        } else if (response->encoded) {
            p = ngx_slprintf(p, last, ", encoded though not asked for");
        }
    }

    error.data = buf;
    error.len = p - buf;

    p = ngx_cred_net_printable(buf, last, &error);
    error.len = p - buf;

    ngx_cred_attempt_tell(attempt, response->status, &error);
    ngx_cred_attempt_failed(attempt, NGX_CRED_REFUSED, &error);
}


void
ngx_cred_attempt_done(ngx_cred_attempt_t *attempt, ngx_cred_state_e state)
{
    ngx_cred_attempt_tell(attempt, 0, NULL);

    ngx_cred_status_connector_answered(attempt->u->registry,
                                       &attempt->u->environment);

    ngx_cred_undeploy_settled(attempt->u, state);
}


/* what it may have done, and what it said it did, is to be remembered */

void
ngx_cred_attempt_failed(ngx_cred_attempt_t *attempt, ngx_cred_reason_e reason,
    ngx_str_t *error)
{
    attempt->u->heard_now = attempt->proven;
    attempt->u->unclear_now = attempt->acted
                              || (attempt->success && !attempt->proven
                                  && reason != NGX_CRED_GATEWAYS);

    ngx_cred_undeploy_failed(attempt->u, reason, error);
}


/* what a target answers is told once, until it answers something else */

void
ngx_cred_attempt_tell(ngx_cred_attempt_t *attempt, ngx_uint_t status,
    ngx_str_t *error)
{
    ngx_uint_t       told, impossible;
    ngx_cred_web_t  *web;

    web = ngx_cred_attempt_told(attempt, &told, error);

    impossible = told & NGX_CRED_ATTEMPT_IMPOSSIBLE;

    if (web == NULL || told == (status | impossible)) {
        return;
    }

    ngx_cred_web_set_told(web, status | impossible);

    if (error) {
        ngx_log_error(NGX_LOG_ERR, ngx_cred_web_log(web), 0,
                      "undeployment was refused: %V", error);
        return;
    }

    ngx_log_error(NGX_LOG_NOTICE, ngx_cred_web_log(web), 0,
                  "undeployments are taken again");
}


/* that lies with single credentials: what the target takes does not end it */

void
ngx_cred_attempt_tell_impossible(ngx_cred_attempt_t *attempt, ngx_str_t *error)
{
    ngx_uint_t       told;
    ngx_cred_web_t  *web;

    web = ngx_cred_attempt_told(attempt, &told, error);

    if (web == NULL || (told & NGX_CRED_ATTEMPT_IMPOSSIBLE)) {
        return;
    }

    ngx_cred_web_set_told(web, told | NGX_CRED_ATTEMPT_IMPOSSIBLE);

    ngx_log_error(NGX_LOG_ERR, ngx_cred_web_log(web), 0,
                  "undeployment is impossible: %V", error);
}


/* what was told of the target before; the status always has the last error */

static ngx_cred_web_t *
ngx_cred_attempt_told(ngx_cred_attempt_t *attempt, ngx_uint_t *told,
    ngx_str_t *error)
{
    ngx_cred_web_t  *web;

    if (error) {
        ngx_cred_status_connector_refused(attempt->u->registry,
                                          &attempt->u->environment, error);
    }

    web = ngx_cred_web_get(&attempt->connector->web, &attempt->u->environment,
                           attempt->u->registry);

    *told = web ? ngx_cred_web_told(web) : 0;

    return web;
}
