
/*
 * Copyright (C) ngx_cred_module authors
 * SPDX-License-Identifier: BSD-2-Clause
 */


/*
 * One attempt to take a credential out of an environment by a connector: some
 * calls, one after another, until it is known what became of it.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>
#include <ngx_cred_connector_attempt.h>


static void ngx_cred_attempt_begin(ngx_cred_attempt_t *attempt);
static ngx_int_t ngx_cred_attempt_values(ngx_cred_attempt_t *attempt,
    ngx_str_t *err);
static ngx_int_t ngx_cred_attempt_member(ngx_cred_attempt_t *attempt);
static void ngx_cred_attempt_call(ngx_cred_attempt_t *attempt,
    ngx_cred_attempt_step_e step);
static void ngx_cred_attempt_impossible(ngx_cred_attempt_t *attempt,
    ngx_str_t *error);
static ngx_cred_connector_call_t *ngx_cred_attempt_of(
    ngx_cred_attempt_t *attempt);
static void ngx_cred_attempt_answer(ngx_cred_web_request_t *request,
    ngx_cred_web_response_t *response);
static void ngx_cred_attempt_broken(ngx_cred_attempt_t *attempt);
static void ngx_cred_attempt_matched(ngx_cred_attempt_t *attempt,
    ngx_cred_web_response_t *response);
static void ngx_cred_attempt_requested(ngx_cred_attempt_t *attempt,
    ngx_cred_web_response_t *response);
static ngx_uint_t ngx_cred_attempt_can_verify(ngx_cred_attempt_t *attempt);
static ngx_uint_t ngx_cred_attempt_may_have_acted(
    ngx_cred_web_response_t *response);
static void ngx_cred_attempt_gone(ngx_cred_attempt_t *attempt);
static void ngx_cred_attempt_controlled(ngx_cred_attempt_t *attempt,
    ngx_cred_web_response_t *response);
static void ngx_cred_attempt_believed(ngx_cred_attempt_t *attempt);
static void ngx_cred_attempt_purged(ngx_cred_attempt_t *attempt,
    ngx_cred_web_response_t *response);
static void ngx_cred_attempt_verified(ngx_cred_attempt_t *attempt,
    ngx_cred_web_response_t *response);
static void ngx_cred_attempt_looked(ngx_cred_attempt_t *attempt,
    ngx_cred_web_response_t *response, ngx_cred_said_e said);


void
ngx_cred_connector_undeploy(ngx_cred_undeployment_t *u)
{
    char                  *text;
    ngx_int_t              rc;
    ngx_str_t              err;
    ngx_cred_attempt_t    *attempt;
    ngx_cred_connector_t  *connector;

    connector = ngx_cred_connector_find(u->registry, &u->url, &text);

    if (connector == NULL) {

        /* another nginx may have it */

        u->unattempted = 1;
        u->due = 0;

        err.data = (u_char *) text;
        err.len = ngx_strlen(text);

        ngx_cred_undeploy_failed(u, NGX_CRED_UNREACHABLE, &err);
        return;
    }

    ngx_str_set(&err, "no memory");

    attempt = ngx_pcalloc(u->pool, sizeof(ngx_cred_attempt_t));
    if (attempt == NULL) {
        ngx_cred_undeploy_failed(u, NGX_CRED_UNREACHABLE, &err);
        return;
    }

    attempt->u = u;
    attempt->connector = connector;

    attempt->request.deadline = ngx_current_msec + connector->timeout;
    attempt->request.handler = ngx_cred_attempt_answer;
    attempt->request.data = attempt;

    rc = ngx_cred_attempt_values(attempt, &err);

    if (rc != NGX_OK) {
        ngx_cred_attempt_impossible(attempt, &err);
        return;
    }

    /*
     * What was gone may have been written back by a cache since: whether it was
     * is asked for before it is deleted again, which would look the same.
     */

    if (u->known.heard && connector->verify.method.len) {
        ngx_cred_attempt_call(attempt, NGX_CRED_ATTEMPT_LOOK);
        return;
    }

    ngx_cred_attempt_begin(attempt);
}


static void
ngx_cred_attempt_begin(ngx_cred_attempt_t *attempt)
{
    ngx_cred_attempt_call(attempt, attempt->connector->match.method.len
                                   ? NGX_CRED_ATTEMPT_MATCH
                                   : NGX_CRED_ATTEMPT_REQUEST);
}


static ngx_int_t
ngx_cred_attempt_values(ngx_cred_attempt_t *attempt, ngx_str_t *err)
{
    char                     *text;
    ngx_cred_undeployment_t  *u;

    u = attempt->u;

    if (ngx_cred_attempt_member(attempt) != NGX_OK) {
        ngx_str_set(err, "malformed pending entry or no memory");
        return NGX_ERROR;
    }

    attempt->values[NGX_CRED_PLACE_ENVIRONMENT] = u->environment;
    attempt->values[NGX_CRED_PLACE_TARGET] = u->known.target;

    text = ngx_cred_connector_lacks(attempt->connector, &u->known.target);

    if (text) {
        err->data = (u_char *) text;
        err->len = ngx_strlen(text);
        return NGX_ERROR;
    }

    return NGX_OK;
}


/* API:scope:id:revision:operation, of which "%" and ":" are encoded */

static ngx_int_t
ngx_cred_attempt_member(ngx_cred_attempt_t *attempt)
{
    u_char      *p, *last, *end, *src, *dst;
    ngx_uint_t   i;
    ngx_str_t   *member, *value;

    member = &attempt->u->member;

    p = ngx_pnalloc(attempt->u->pool, member->len);
    if (p == NULL) {
        return NGX_ERROR;
    }

    ngx_memcpy(p, member->data, member->len);
    last = p + member->len;

    for (i = NGX_CRED_PLACE_API; i <= NGX_CRED_PLACE_OPERATION; i++) {

        if (p > last) {
            return NGX_ERROR;
        }

        end = ngx_strlchr(p, last, ':');

        if ((end == NULL) != (i == NGX_CRED_PLACE_OPERATION)) {
            return NGX_ERROR;
        }

        end = end ? end : last;

        src = p;
        dst = p;

        ngx_unescape_uri(&dst, &src, end - p, 0);

        value = &attempt->values[i];

        value->data = p;
        value->len = dst - p;

        p = end + 1;
    }

    return NGX_OK;
}


/* the next call; all of them together may take the connector's timeout */

static void
ngx_cred_attempt_call(ngx_cred_attempt_t *attempt,
    ngx_cred_attempt_step_e step)
{
    ngx_int_t                      rc;
    ngx_str_t                      err;
    ngx_cred_web_t                *web;
    ngx_cred_connector_t          *connector;
    ngx_cred_undeployment_t       *u;
    ngx_cred_connector_request_t   request;

    u = attempt->u;
    connector = attempt->connector;
    attempt->step = step;

    ngx_str_set(&err, "no memory");

    ngx_memzero(&request, sizeof(ngx_cred_connector_request_t));

    request.connector = connector;
    request.call = ngx_cred_attempt_of(attempt);
    request.values = attempt->values;
    request.trace = u->known.trace;

    if (step == NGX_CRED_ATTEMPT_REQUEST) {
        request.etag = attempt->etag;
    }

    rc = ngx_cred_connector_text(u->pool, &request, &attempt->request.text,
                                 &err);

    if (rc != NGX_OK) {
        ngx_cred_attempt_impossible(attempt, &err);
        return;
    }

    web = ngx_cred_web_get(&connector->web, &u->environment, u->registry);

    if (web == NULL) {
        ngx_cred_attempt_failed(attempt, NGX_CRED_UNREACHABLE, &err);
        return;
    }

    attempt->request.head = (request.call->method.len == 4
                             && ngx_strncmp(request.call->method.data, "HEAD",
                                            4) == 0);
    attempt->request.sent = 0;
    attempt->request.again = 0;

    if (ngx_cred_web_send(web, &attempt->request) != NGX_OK) {
        ngx_cred_attempt_broken(attempt);
        return;
    }

    /* else many that wait would end none of what they begin */

    attempt->request.first = 1;
}


/* there is no request that could be made of it */

static void
ngx_cred_attempt_impossible(ngx_cred_attempt_t *attempt, ngx_str_t *error)
{
    ngx_cred_attempt_tell_impossible(attempt, error);
    ngx_cred_attempt_failed(attempt, NGX_CRED_REFUSED, error);
}


static ngx_cred_connector_call_t *
ngx_cred_attempt_of(ngx_cred_attempt_t *attempt)
{
    ngx_cred_connector_t       *connector;
    ngx_cred_connector_call_t  *purges;

    connector = attempt->connector;

    switch (attempt->step) {

    case NGX_CRED_ATTEMPT_MATCH:
        return &connector->match;

    case NGX_CRED_ATTEMPT_CONTROL:
        return &connector->control;

    case NGX_CRED_ATTEMPT_PURGE:
        purges = connector->purges.elts;
        return &purges[attempt->purged];

    case NGX_CRED_ATTEMPT_LOOK:
    case NGX_CRED_ATTEMPT_VERIFY:
        return &connector->verify;

    default: /* NGX_CRED_ATTEMPT_REQUEST */
        return &connector->request;
    }
}


static void
ngx_cred_attempt_answer(ngx_cred_web_request_t *request,
    ngx_cred_web_response_t *response)
{
    ngx_cred_attempt_t *attempt = request->data;

    if (request->again && attempt->step == NGX_CRED_ATTEMPT_REQUEST) {
        attempt->acted = 1;
    }

    if (request->status != NGX_CRED_WEB_OK) {
        ngx_cred_attempt_broken(attempt);
        return;
    }

    switch (attempt->step) {

    case NGX_CRED_ATTEMPT_MATCH:
        ngx_cred_attempt_matched(attempt, response);
        break;

    case NGX_CRED_ATTEMPT_REQUEST:
        ngx_cred_attempt_requested(attempt, response);
        break;

    case NGX_CRED_ATTEMPT_CONTROL:
        ngx_cred_attempt_controlled(attempt, response);
        break;

    case NGX_CRED_ATTEMPT_PURGE:
        ngx_cred_attempt_purged(attempt, response);
        break;

    case NGX_CRED_ATTEMPT_LOOK:
    case NGX_CRED_ATTEMPT_VERIFY:
        ngx_cred_attempt_verified(attempt, response);
        break;
    }
}


/* there is no answer: it may have acted */

static void
ngx_cred_attempt_broken(ngx_cred_attempt_t *attempt)
{
    ngx_cred_reason_e  reason;

    if (attempt->step == NGX_CRED_ATTEMPT_REQUEST && attempt->request.sent) {
        attempt->acted = 1;
    }

    switch (attempt->request.status) {

    case NGX_CRED_WEB_TIMEDOUT:
    case NGX_CRED_WEB_LATE:
    case NGX_CRED_WEB_BUSY:
        reason = NGX_CRED_LATE;
        break;

    case NGX_CRED_WEB_INVALID:
        reason = NGX_CRED_REFUSED;
        ngx_cred_attempt_tell(attempt, NGX_CRED_WEB_INVALID,
                              &attempt->request.error);
        break;

    default: /* NGX_CRED_WEB_UNREACHABLE, NGX_CRED_WEB_BROKEN */
        reason = NGX_CRED_UNREACHABLE;
        break;
    }

    ngx_cred_attempt_failed(attempt, reason, &attempt->request.error);
}


static void
ngx_cred_attempt_matched(ngx_cred_attempt_t *attempt,
    ngx_cred_web_response_t *response)
{
    ngx_cred_said_e  said;

    said = ngx_cred_connector_said(attempt->connector, response);

    if (said == NGX_CRED_SAID_GONE) {
        ngx_cred_attempt_gone(attempt);
        return;
    }

    if (response->status != 200 || response->etag.len == 0) {

        if (said == NGX_CRED_SAID_MAYBE
            && ngx_cred_attempt_can_verify(attempt))
        {
            ngx_cred_attempt_call(attempt, NGX_CRED_ATTEMPT_VERIFY);
            return;
        }

        ngx_cred_attempt_refused(attempt, response, said);
        return;
    }

    attempt->etag.len = response->etag.len;
    attempt->etag.data = ngx_pstrdup(attempt->u->pool, &response->etag);

    if (attempt->etag.data == NULL) {
        attempt->etag.len = 0;
        ngx_cred_attempt_refused(attempt, response, NGX_CRED_SAID_OTHER);
        return;
    }

    ngx_cred_attempt_call(attempt, NGX_CRED_ATTEMPT_REQUEST);
}


static void
ngx_cred_attempt_requested(ngx_cred_attempt_t *attempt,
    ngx_cred_web_response_t *response)
{
    ngx_cred_said_e        said;
    ngx_cred_connector_t  *connector;

    connector = attempt->connector;

    said = ngx_cred_connector_said(connector, response);

    switch (said) {

    case NGX_CRED_SAID_SUCCESS:

        attempt->success = 1;

        if (connector->verify.method.len) {
            ngx_cred_attempt_call(attempt, NGX_CRED_ATTEMPT_VERIFY);
            return;
        }

        ngx_cred_attempt_settle(attempt);
        return;

    case NGX_CRED_SAID_SUPERSEDED:
        ngx_cred_attempt_done(attempt, NGX_CRED_SUPERSEDED);
        return;

    case NGX_CRED_SAID_GONE:
        ngx_cred_attempt_gone(attempt);
        return;

    case NGX_CRED_SAID_MAYBE:

        if (ngx_cred_attempt_can_verify(attempt)) {
            ngx_cred_attempt_call(attempt, NGX_CRED_ATTEMPT_VERIFY);
            return;
        }

        break;

    default:
        break;
    }

    if (said != NGX_CRED_SAID_MAYBE) {
        attempt->acted |= ngx_cred_attempt_may_have_acted(response);
    }

    ngx_cred_attempt_refused(attempt, response, said);
}


/* a word without words is believed where the target has shown what it means */

static ngx_uint_t
ngx_cred_attempt_can_verify(ngx_cred_attempt_t *attempt)
{
    return attempt->connector->verify.method.len
           && ngx_cred_attempt_is_vouched(attempt);
}


/* what is none of its own answers may be given after some of it is done */

static ngx_uint_t
ngx_cred_attempt_may_have_acted(ngx_cred_web_response_t *response)
{
    switch (response->status) {

    case 301:
    case 307:
    case 308:
    case 401:
    case 403:
    case 404:
    case 405:
    case 412:
    case 429:
        return 0;

    default:
        return 1;
    }
}


/*
 * It is not there, in the target's own words; some say the same of what they
 * cannot find for another reason: by another way, if there is one, it must not
 * be found, either, and what must be there is asked for.
 */

static void
ngx_cred_attempt_gone(ngx_cred_attempt_t *attempt)
{
    ngx_cred_connector_t  *connector;

    connector = attempt->connector;

    if (!attempt->verified && connector->verify.method.len
        && connector->verify.path.parts.elts
           != connector->request.path.parts.elts)
    {
        ngx_cred_attempt_call(attempt, NGX_CRED_ATTEMPT_VERIFY);
        return;
    }

    if (connector->control.method.len) {
        ngx_cred_attempt_call(attempt, NGX_CRED_ATTEMPT_CONTROL);
        return;
    }

    ngx_cred_attempt_believed(attempt);
}


static void
ngx_cred_attempt_controlled(ngx_cred_attempt_t *attempt,
    ngx_cred_web_response_t *response)
{
    if (response->status / 100 != 2) {
        ngx_cred_attempt_refused(attempt, response,
                                 ngx_cred_connector_said(attempt->connector,
                                                         response));
        return;
    }

    ngx_cred_attempt_believed(attempt);
}


/*
 * If an attempt whose answer nobody heard may have done that, the caches of the
 * target may not have been told.
 */

static void
ngx_cred_attempt_believed(ngx_cred_attempt_t *attempt)
{
    if (attempt->connector->purges.nelts
        && (attempt->acted || attempt->u->known.unclear))
    {
        ngx_cred_attempt_call(attempt, NGX_CRED_ATTEMPT_PURGE);
        return;
    }

    ngx_cred_attempt_settle(attempt);
}


static void
ngx_cred_attempt_purged(ngx_cred_attempt_t *attempt,
    ngx_cred_web_response_t *response)
{
    if (response->status / 100 != 2 && response->status != 404) {
        ngx_cred_attempt_refused(attempt, response,
                                 ngx_cred_connector_said(attempt->connector,
                                                         response));
        return;
    }

    if (++attempt->purged < attempt->connector->purges.nelts) {
        ngx_cred_attempt_call(attempt, NGX_CRED_ATTEMPT_PURGE);
        return;
    }

    ngx_cred_attempt_settle(attempt);
}


static void
ngx_cred_attempt_verified(ngx_cred_attempt_t *attempt,
    ngx_cred_web_response_t *response)
{
    ngx_cred_said_e  said;

    said = ngx_cred_connector_said(attempt->connector, response);

    if (attempt->step == NGX_CRED_ATTEMPT_LOOK) {
        ngx_cred_attempt_looked(attempt, response, said);
        return;
    }

    if (said != NGX_CRED_SAID_GONE && said != NGX_CRED_SAID_MAYBE) {

        /* since when it will have been gone is known to nobody */

        if (response->status / 100 == 2) {
            attempt->acted = 1;
        }

        ngx_cred_attempt_refused(attempt, response, said);

    } else if (attempt->success) {
        ngx_cred_attempt_settle(attempt);

    } else {
        attempt->verified = 1;
        ngx_cred_attempt_gone(attempt);
    }
}


/* what is not known to be gone is deleted again, and waited for anew */

static void
ngx_cred_attempt_looked(ngx_cred_attempt_t *attempt,
    ngx_cred_web_response_t *response, ngx_cred_said_e said)
{
    switch (said) {

    case NGX_CRED_SAID_DENIED:
    case NGX_CRED_SAID_LATER:
        ngx_cred_attempt_refused(attempt, response, said);
        return;

    case NGX_CRED_SAID_MAYBE:

        if (!ngx_cred_attempt_is_vouched(attempt)) {
            ngx_cred_attempt_begin(attempt);
            return;
        }

        /* fall through */

    case NGX_CRED_SAID_GONE:
        attempt->verified = 1;
        ngx_cred_attempt_gone(attempt);
        return;

    default:
        attempt->acted = 1;
        ngx_cred_attempt_begin(attempt);
    }
}
