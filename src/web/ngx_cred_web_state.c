
/*
 * Copyright (C) ngx_cred_module authors
 * SPDX-License-Identifier: BSD-2-Clause
 */


/* whether the server can be reached, and what became of requests */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>
#include <ngx_cred_web_connection.h>


static ngx_msec_t ngx_cred_web_retry(ngx_cred_web_t *web);
static void ngx_cred_web_unreached(ngx_cred_web_t *web,
    ngx_cred_web_request_t *request);
static void ngx_cred_web_tell(ngx_cred_web_t *web, ngx_msec_t retry);
static void ngx_cred_web_back(ngx_cred_web_t *web);
static void ngx_cred_web_changed(ngx_cred_web_t *web, ngx_str_t *error,
    ngx_msec_t retry);


ngx_uint_t
ngx_cred_web_down(ngx_cred_web_t *web)
{
    return web->failures != 0 && !ngx_cred_web_made(web);
}


ngx_uint_t
ngx_cred_web_made(ngx_cred_web_t *web)
{
    ngx_queue_t          *q;
    ngx_cred_web_conn_t  *conn;

    if (!ngx_queue_empty(&web->idle)) {
        return 1;
    }

    for (q = ngx_queue_head(&web->active);
         q != ngx_queue_sentinel(&web->active);
         q = ngx_queue_next(q))
    {
        conn = ngx_queue_data(q, ngx_cred_web_conn_t, queue);

        if (ngx_cred_web_conn_made(conn)) {
            return 1;
        }
    }

    return 0;
}


void
ngx_cred_web_reached(ngx_cred_web_t *web)
{
    web->failures = 0;

    if (web->backoff.timer_set) {
        ngx_del_timer(&web->backoff);
    }

    /* one that takes connections but loses requests is not back by that */

    if (!web->doubtful) {
        ngx_cred_web_back(web);
    }

    ngx_cred_web_start(web);
}


void
ngx_cred_web_missed(ngx_cred_web_t *web, ngx_cred_web_request_t *request)
{
    web->failures++;

    if (ngx_cred_web_down(web)) {
        ngx_cred_web_give_up(web, request);
        return;
    }

    /* requests wait for the other connections */

    ngx_log_error(NGX_LOG_INFO, &web->log, 0,
                  "could not make another connection: %*s",
                  web->error_len, web->error);

    (void) ngx_cred_web_retry(web);

    if (request) {
        ngx_cred_web_unreached(web, request);
    }
}


/* there will be another attempt; returns in how many milliseconds, or 0 */

static ngx_msec_t
ngx_cred_web_retry(ngx_cred_web_t *web)
{
    ngx_msec_int_t  left;

    if (ngx_cred_net_shutdown) {
        return 0;
    }

    if (!web->backoff.timer_set) {
        ngx_add_timer(&web->backoff, ngx_cred_net_backoff(web->failures));
    }

    left = (ngx_msec_int_t) (web->backoff.timer.key - ngx_current_msec);

    return (ngx_msec_t) ngx_max(left, 1);
}


static void
ngx_cred_web_unreached(ngx_cred_web_t *web, ngx_cred_web_request_t *request)
{
    ngx_str_t  error;

    error.data = web->error;
    error.len = web->error_len;

    ngx_cred_web_finish(web, request,
                        request->sent ? NGX_CRED_WEB_BROKEN
                                      : NGX_CRED_WEB_UNREACHABLE,
                        &error, NULL);
}


void
ngx_cred_web_give_up(ngx_cred_web_t *web, ngx_cred_web_request_t *request)
{
    ngx_queue_t           lost, *q;
    ngx_cred_web_conn_t  *conn;

    ngx_queue_init(&lost);

    if (request) {
        ngx_queue_insert_tail(&lost, &request->queue);
    }

    /* other attempts */

    while (!ngx_queue_empty(&web->active)) {
        q = ngx_queue_head(&web->active);
        conn = ngx_queue_data(q, ngx_cred_web_conn_t, queue);

        if (conn->request) {
            ngx_queue_insert_tail(&lost, &conn->request->queue);
        }

        ngx_cred_web_conn_close(conn);
    }

    if (!ngx_queue_empty(&web->waiting)) {
        ngx_queue_add(&lost, &web->waiting);
        ngx_queue_init(&web->waiting);
        web->nwaiting = 0;
        ngx_del_timer(&web->timer);
    }

    ngx_cred_web_tell(web, ngx_cred_web_retry(web));

    while (!ngx_queue_empty(&lost)) {
        q = ngx_queue_head(&lost);
        ngx_queue_remove(q);

        ngx_cred_web_unreached(web, ngx_queue_data(q, ngx_cred_web_request_t,
                                                   queue));
    }
}


void
ngx_cred_web_lost(ngx_cred_web_t *web, ngx_cred_web_request_t *request,
    ngx_uint_t status)
{
    ngx_str_t  error;

    web->doubtful = 1;

    ngx_cred_web_tell(web, 0);

    if (!request->sent && status != NGX_CRED_WEB_INVALID) {
        status = (status == NGX_CRED_WEB_TIMEDOUT) ? NGX_CRED_WEB_LATE
                                                   : NGX_CRED_WEB_UNREACHABLE;
    }

    error.data = web->error;
    error.len = web->error_len;

    ngx_cred_web_finish(web, request, status, &error, NULL);
}


void
ngx_cred_web_answered(ngx_cred_web_t *web, ngx_cred_web_request_t *request,
    ngx_cred_web_parser_t *parser)
{
    web->tried = ngx_current_msec;

    if (web->doubtful) {
        ngx_cred_web_back(web);
    }

    ngx_cred_web_finish(web, request, NGX_CRED_WEB_OK, NULL,
                        &parser->response);

    ngx_cred_web_parser_destroy(parser);
}


/* nobody can do anything about it, or has read of it already */

static void
ngx_cred_web_tell(ngx_cred_web_t *web, ngx_msec_t retry)
{
    ngx_str_t   error;
    ngx_uint_t  level;

    error.data = web->error;
    error.len = web->error_len;

    level = (web->down || ngx_cred_net_shutdown) ? NGX_LOG_INFO : NGX_LOG_ERR;

    ngx_log_error(level, &web->log, 0, "connector is down: %V", &error);

    web->down = 1;

    if (!ngx_cred_net_shutdown) {
        ngx_cred_web_changed(web, &error, retry);
    }
}


static void
ngx_cred_web_back(ngx_cred_web_t *web)
{
    web->doubtful = 0;

    if (web->down) {
        web->down = 0;
        ngx_log_error(NGX_LOG_NOTICE, &web->log, 0, "connector is back");
    }

    ngx_cred_web_changed(web, NULL, 0);
}


static void
ngx_cred_web_changed(ngx_cred_web_t *web, ngx_str_t *error, ngx_msec_t retry)
{
    if (web->conf->changed) {
        web->busy++;
        web->conf->changed(&web->name, error, retry, web->data);
        web->busy--;
    }
}


void
ngx_cred_web_backoff_handler(ngx_event_t *ev)
{
    ngx_cred_web_t       *web;
    ngx_cred_web_conn_t  *conn;

    web = ev->data;

    if (ngx_exiting) {
        return;
    }

    conn = NULL;

    if (!ngx_queue_empty(&web->waiting) || !ngx_cred_web_made(web)) {
        conn = ngx_cred_web_conn_get(web);
    }

    if (conn == NULL) {

        /* there is no need of another one, or no place for it */

        web->failures = 0;
        return;
    }

    ngx_cred_web_conn_connect(conn);
}


void
ngx_cred_web_probe(ngx_cred_web_t *web)
{
    ngx_cred_web_conn_t  *conn;

    if (ngx_exiting || ngx_cred_net_shutdown || web->backoff.timer_set
        || web->nrequests || !ngx_queue_empty(&web->active)
        || !ngx_queue_empty(&web->idle)
        || (web->known && ngx_current_msec - web->tried < NGX_CRED_WEB_PROBE))
    {
        return;
    }

    conn = ngx_cred_web_conn_get(web);

    if (conn) {
        conn->probe = 1;
        ngx_cred_web_conn_connect(conn);
    }
}
