
/*
 * Copyright (C) ngx_cred_module authors
 * SPDX-License-Identifier: BSD-2-Clause
 */


/* requests that wait for a connection */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>
#include <ngx_cred_web_connection.h>


static ngx_int_t ngx_cred_web_refuse(ngx_cred_web_request_t *request,
    ngx_uint_t status, ngx_str_t *error);
static void ngx_cred_web_more(ngx_cred_web_t *web);
static void ngx_cred_web_clock(ngx_cred_web_t *web);


ngx_int_t
ngx_cred_web_send(ngx_cred_web_t *web, ngx_cred_web_request_t *request)
{
    ngx_str_t  error;

    request->conn = NULL;
    request->sent = 0;
    request->again = 0;

    if (ngx_cred_web_down(web)) {
        error.data = web->error;
        error.len = web->error_len;

        return ngx_cred_web_refuse(request, NGX_CRED_WEB_UNREACHABLE, &error);
    }

    if (ngx_cred_web_left(request) <= 0) {
        ngx_str_set(&error, "its time was over before it was sent");

        return ngx_cred_web_refuse(request, NGX_CRED_WEB_LATE, &error);
    }

    if (web->nwaiting >= NGX_CRED_WEB_QUEUE && !request->first) {
        ngx_str_set(&error, "too many requests are waiting");

        return ngx_cred_web_refuse(request, NGX_CRED_WEB_BUSY, &error);
    }

    if (request->first) {
        ngx_queue_insert_head(&web->waiting, &request->queue);

    } else {
        ngx_queue_insert_tail(&web->waiting, &request->queue);
    }

    web->nwaiting++;
    web->nrequests++;

    if (!web->timer.timer_set
        || (ngx_msec_int_t) (request->deadline - web->timer.timer.key) < 0)
    {
        ngx_cred_web_clock(web);
    }

    ngx_cred_web_watch(web);
    ngx_cred_web_start(web);

    return NGX_OK;
}


static ngx_int_t
ngx_cred_web_refuse(ngx_cred_web_request_t *request, ngx_uint_t status,
    ngx_str_t *error)
{
    request->status = status;
    request->error = *error;

    return NGX_DECLINED;
}


void
ngx_cred_web_finish(ngx_cred_web_t *web, ngx_cred_web_request_t *request,
    ngx_uint_t status, ngx_str_t *error, ngx_cred_web_response_t *response)
{
    request->status = status;
    request->conn = NULL;

    if (error) {
        request->error = *error;

    } else {
        ngx_str_null(&request->error);
    }

    web->nrequests--;

    web->busy++;
    request->handler(request, response);
    web->busy--;
}


void
ngx_cred_web_start(ngx_cred_web_t *web)
{
    if (!ngx_queue_empty(&web->waiting)) {
        ngx_post_event(&web->start, &ngx_posted_events);
    }
}


void
ngx_cred_web_start_handler(ngx_event_t *ev)
{
    ngx_cred_web_t          *web;
    ngx_cred_web_conn_t     *conn;
    ngx_cred_web_request_t  *request;

    web = ev->data;

    while (!ngx_queue_empty(&web->waiting)) {
        conn = ngx_cred_web_conn_idle(web);
        if (conn == NULL) {
            break;
        }

        request = ngx_cred_web_next(web);
        if (request == NULL) {
            break;
        }

        ngx_cred_web_conn_send(conn, request);
    }

    /* the last connection is gone, and there are no others to be had */

    if (!ngx_queue_empty(&web->waiting) && ngx_cred_web_down(web)) {
        ngx_cred_web_give_up(web, NULL);
    }

    ngx_cred_web_more(web);
    ngx_cred_web_watch(web);
}


ngx_cred_web_request_t *
ngx_cred_web_next(ngx_cred_web_t *web)
{
    ngx_str_t                error;
    ngx_queue_t             *q;
    ngx_cred_web_request_t  *request;

    while (!ngx_queue_empty(&web->waiting)) {
        q = ngx_queue_head(&web->waiting);

        ngx_queue_remove(q);
        web->nwaiting--;

        if (web->nwaiting == 0) {
            ngx_cred_web_clock(web);
        }

        request = ngx_queue_data(q, ngx_cred_web_request_t, queue);

        if (ngx_cred_web_left(request) > 0) {
            return request;
        }

        ngx_str_set(&error, "its time was over before it was sent");
        ngx_cred_web_finish(web, request, NGX_CRED_WEB_LATE, &error, NULL);
    }

    return NULL;
}


/* as many connections as there are requests that wait, up to the limit */

static void
ngx_cred_web_more(ngx_cred_web_t *web)
{
    ngx_uint_t            n;
    ngx_queue_t          *q;
    ngx_cred_web_conn_t  *conn;

    n = 0;

    for (q = ngx_queue_head(&web->active);
         q != ngx_queue_sentinel(&web->active);
         q = ngx_queue_next(q))
    {
        conn = ngx_queue_data(q, ngx_cred_web_conn_t, queue);
        n += (conn->request == NULL);
    }

    for ( /* void */ ; n < web->nwaiting && web->failures == 0; n++) {

        conn = ngx_cred_web_conn_get(web);
        if (conn == NULL) {
            return;
        }

        ngx_cred_web_conn_connect(conn);
    }
}


void
ngx_cred_web_watch(ngx_cred_web_t *web)
{
    ngx_uint_t            idle;
    ngx_queue_t          *q, *next;
    ngx_cred_web_conn_t  *conn;

    idle = ngx_queue_empty(&web->waiting);

    for (q = ngx_queue_head(&web->active);
         q != ngx_queue_sentinel(&web->active);
         q = next)
    {
        next = ngx_queue_next(q);
        conn = ngx_queue_data(q, ngx_cred_web_conn_t, queue);

        if (conn->request) {
            continue;
        }

        if (idle && ngx_exiting) {
            ngx_cred_web_conn_close(conn);
            continue;
        }

        ngx_cred_web_conn_watch(conn, idle);
    }

    while (idle && ngx_exiting && !ngx_queue_empty(&web->idle)) {
        q = ngx_queue_head(&web->idle);
        ngx_cred_web_conn_close(ngx_queue_data(q, ngx_cred_web_conn_t, queue));
    }
}


/* the timer of what waits: the first deadline, in whatever order they are */

static void
ngx_cred_web_clock(ngx_cred_web_t *web)
{
    ngx_queue_t             *q;
    ngx_msec_int_t           left, least;
    ngx_cred_web_request_t  *request;

    if (web->timer.timer_set) {
        ngx_del_timer(&web->timer);
    }

    if (ngx_queue_empty(&web->waiting)) {
        return;
    }

    least = NGX_MAX_INT32_VALUE;

    for (q = ngx_queue_head(&web->waiting);
         q != ngx_queue_sentinel(&web->waiting);
         q = ngx_queue_next(q))
    {
        request = ngx_queue_data(q, ngx_cred_web_request_t, queue);
        left = ngx_cred_web_left(request);
        least = ngx_min(least, left);
    }

    ngx_add_timer(&web->timer, (ngx_msec_t) ngx_max(least, 1));
}


void
ngx_cred_web_late_handler(ngx_event_t *ev)
{
    ngx_str_t                error;
    ngx_queue_t              late, *q, *next;
    ngx_cred_web_t          *web;
    ngx_cred_web_request_t  *request;

    web = ev->data;

    ngx_queue_init(&late);

    for (q = ngx_queue_head(&web->waiting);
         q != ngx_queue_sentinel(&web->waiting);
         q = next)
    {
        next = ngx_queue_next(q);
        request = ngx_queue_data(q, ngx_cred_web_request_t, queue);

        if (ngx_cred_web_left(request) <= 0) {
            ngx_queue_remove(q);
            ngx_queue_insert_tail(&late, q);
            web->nwaiting--;
        }
    }

    ngx_cred_web_clock(web);
    ngx_cred_web_watch(web);

    while (!ngx_queue_empty(&late)) {
        q = ngx_queue_head(&late);
        ngx_queue_remove(q);

        request = ngx_queue_data(q, ngx_cred_web_request_t, queue);

        if (ngx_cred_web_made(web)) {
            ngx_str_set(&error, "no connection was free in time");

        } else {
            ngx_str_set(&error, "there was no connection in time");
        }

        ngx_cred_web_finish(web, request, NGX_CRED_WEB_LATE, &error, NULL);
    }
}
