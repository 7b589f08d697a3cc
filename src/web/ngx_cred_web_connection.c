
/*
 * Copyright (C) ngx_cred_module authors
 * SPDX-License-Identifier: BSD-2-Clause
 */


/* one connection: from connecting to being kept for the next request */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>
#include <ngx_cred_web_connection.h>


#define NGX_CRED_WEB_SHARE  4     /* of the worker's connections */


static ngx_cred_web_conn_t *ngx_cred_web_conn_create(ngx_cred_web_t *web);
static void ngx_cred_web_conn_move(ngx_cred_web_conn_t *conn,
    ngx_queue_t *queue);
static ngx_uint_t ngx_cred_web_conn_alive(ngx_cred_web_conn_t *conn);
static void ngx_cred_web_conn_timer(ngx_cred_web_conn_t *conn,
    ngx_msec_t left);
static void ngx_cred_web_conn_connected(ngx_cred_net_t *net);
static void ngx_cred_web_conn_failed(ngx_cred_net_t *net, ngx_err_t err,
    const char *reason, ngx_str_t *detail);
static void ngx_cred_web_conn_begin(ngx_cred_web_conn_t *conn);
static void ngx_cred_web_timer_handler(ngx_event_t *ev);
static void ngx_cred_web_conn_late(ngx_cred_web_conn_t *conn);


/* of all of them in this worker */
static ngx_uint_t  ngx_cred_web_nopen;


ngx_cred_web_conn_t *
ngx_cred_web_conn_get(ngx_cred_web_t *web)
{
    /* clients have to find connections, too: one has to do here */

    if (ngx_cred_web_nopen >= ngx_cycle->connection_n / NGX_CRED_WEB_SHARE
        && !(ngx_queue_empty(&web->active) && ngx_queue_empty(&web->idle)))
    {
        return NULL;
    }

    if (!ngx_queue_empty(&web->closed)) {
        return ngx_queue_data(ngx_queue_head(&web->closed),
                              ngx_cred_web_conn_t, queue);
    }

    if (web->nconns == NGX_CRED_WEB_CONNECTIONS) {
        return NULL;
    }

    return ngx_cred_web_conn_create(web);
}


static ngx_cred_web_conn_t *
ngx_cred_web_conn_create(ngx_cred_web_t *web)
{
    ngx_cred_net_t       *net;
    ngx_cred_web_conf_t  *conf;
    ngx_cred_web_conn_t  *conn;

    conf = web->conf;

    conn = ngx_pcalloc(web->pool, sizeof(ngx_cred_web_conn_t));
    if (conn == NULL) {
        return NULL;
    }

    conn->web = web;

    conn->timer.handler = ngx_cred_web_timer_handler;
    conn->timer.data = conn;
    conn->timer.log = &web->log;

    net = &conn->net;

    net->conf = &conf->net;
    net->pool = web->pool;
    net->log = &web->log;
    net->shown = &conf->shown;
    net->path = conf->path;
    net->tls = conf->tls;
    net->read = ngx_cred_web_read_handler;
    net->write = ngx_cred_web_write_handler;
    net->data = conn;
    net->connected = ngx_cred_web_conn_connected;
    net->failed = ngx_cred_web_conn_failed;

    if (ngx_cred_net_aim(net, &conf->host.name, conf->host.port, &conf->host)
        != NGX_OK)
    {
        return NULL;
    }

    ngx_queue_insert_head(&web->closed, &conn->queue);
    web->nconns++;

    return conn;
}


static void
ngx_cred_web_conn_move(ngx_cred_web_conn_t *conn, ngx_queue_t *queue)
{
    ngx_uint_t  open;

    open = (queue != &conn->web->closed);

    ngx_cred_web_nopen += open - conn->open;
    conn->open = open;

    ngx_queue_remove(&conn->queue);
    ngx_queue_insert_head(queue, &conn->queue);
}


ngx_cred_web_conn_t *
ngx_cred_web_conn_idle(ngx_cred_web_t *web)
{
    ngx_cred_web_conn_t  *conn;

    while (!ngx_queue_empty(&web->idle)) {
        conn = ngx_queue_data(ngx_queue_head(&web->idle), ngx_cred_web_conn_t,
                              queue);

        if (ngx_cred_web_conn_alive(conn)) {
            return conn;
        }

        ngx_cred_web_conn_close(conn);
    }

    return NULL;
}


/*
 * What has come since belongs to no request, and must not be taken for the
 * response to the next one.
 */

static ngx_uint_t
ngx_cred_web_conn_alive(ngx_cred_web_conn_t *conn)
{
    u_char             buf[1];
    ssize_t            n;
    ngx_connection_t  *c;

    c = conn->net.peer.connection;

    if (c->ssl) {
        return c->recv(c, buf, 1) == NGX_AGAIN;
    }

    n = recv(c->fd, (char *) buf, 1, MSG_PEEK);

    return n == -1
           && (ngx_socket_errno == NGX_EAGAIN
               || ngx_socket_errno == NGX_EINTR);
}


void
ngx_cred_web_conn_connect(ngx_cred_web_conn_t *conn)
{
    ngx_msec_t       left;
    ngx_msec_int_t   own;
    ngx_cred_web_t  *web;

    web = conn->web;

    ngx_cred_web_conn_move(conn, &web->active);

    web->known = 1;
    web->tried = ngx_current_msec;

    conn->kept = 0;
    conn->unwritable = 0;
    conn->pos = 0;

    left = web->conf->connect_timeout;

    if (conn->request) {
        own = (ngx_msec_int_t) (conn->request->deadline - ngx_current_msec);
        left = ngx_min(left, (ngx_msec_t) ngx_max(own, 1));
    }

    ngx_cred_web_conn_timer(conn, left);
    ngx_cred_web_conn_watch(conn, conn->request == NULL
                                  && ngx_queue_empty(&web->waiting));

    if (ngx_cred_net_shutdown) {
        ngx_cred_web_conn_failed(&conn->net, 0, "worker is shutting down",
                                 NULL);
        return;
    }

    ngx_cred_net_connect(&conn->net);
}


static void
ngx_cred_web_conn_timer(ngx_cred_web_conn_t *conn, ngx_msec_t left)
{
    /* nginx would leave one that is nearly the same as it is */

    if (conn->timer.timer_set) {
        ngx_del_timer(&conn->timer);
    }

    ngx_add_timer(&conn->timer, left);
}


void
ngx_cred_web_conn_watch(ngx_cred_web_conn_t *conn, ngx_uint_t idle)
{
    conn->timer.cancelable = idle;
    conn->net.idle = idle;

    if (conn->net.peer.connection) {
        conn->net.peer.connection->idle = idle;
    }
}


static void
ngx_cred_web_conn_connected(ngx_cred_net_t *net)
{
    ngx_cred_web_t          *web;
    ngx_cred_web_conn_t     *conn;
    ngx_cred_web_request_t  *request;

    conn = net->data;
    web = conn->web;

    /* the end of a body must not be taken from whoever cuts the connection */

#ifdef SSL_OP_IGNORE_UNEXPECTED_EOF
    if (net->peer.connection->ssl) {
        SSL_clear_options(net->peer.connection->ssl->connection,
                          SSL_OP_IGNORE_UNEXPECTED_EOF);
    }
#endif

    ngx_cred_web_reached(web);

    if (conn->request) {
        ngx_cred_web_conn_begin(conn);
        return;
    }

    request = ngx_cred_web_next(web);

    if (request) {
        ngx_cred_web_conn_send(conn, request);
        return;
    }

    /* the next request is better off with one that is not old */

    if (conn->probe) {
        ngx_cred_web_conn_close(conn);
        return;
    }

    conn->kept = 1;

    ngx_cred_web_conn_keep(conn);
}


/* could not connect, or the connection of a request broke */

static void
ngx_cred_web_conn_failed(ngx_cred_net_t *net, ngx_err_t err,
    const char *reason, ngx_str_t *detail)
{
    ngx_cred_web_t          *web;
    ngx_cred_web_conn_t     *conn;
    ngx_cred_web_request_t  *request;

    conn = net->data;
    web = conn->web;

    if (reason == NULL) {
        ngx_cred_web_conn_close(conn);
        return;
    }

    if (ngx_cred_web_conn_made(conn)) {
        ngx_cred_web_conn_broken(conn, NGX_CRED_WEB_BROKEN, err, reason,
                                 detail);
        return;
    }

    web->error_len = ngx_cred_net_word(web->error, NGX_CRED_WEB_ERROR_LEN, err,
                                       reason, detail);

    ngx_cred_net_missed(net);

    request = conn->request;

    ngx_cred_web_conn_close(conn);
    ngx_cred_web_missed(web, request);
}


void
ngx_cred_web_conn_send(ngx_cred_web_conn_t *conn,
    ngx_cred_web_request_t *request)
{
    ngx_cred_web_conn_move(conn, &conn->web->active);

    conn->request = request;
    request->conn = conn;

    ngx_cred_web_conn_begin(conn);
}


static void
ngx_cred_web_conn_begin(ngx_cred_web_conn_t *conn)
{
    ngx_msec_int_t  left;

    left = (ngx_msec_int_t) (conn->request->deadline - ngx_current_msec);

    ngx_cred_web_conn_timer(conn, (ngx_msec_t) ngx_max(left, 1));
    ngx_cred_web_conn_watch(conn, 0);

    conn->pos = 0;

    ngx_cred_web_conn_write(conn);
}


void
ngx_cred_web_conn_keep(ngx_cred_web_conn_t *conn)
{
    ngx_cred_web_t    *web;
    ngx_connection_t  *c;

    web = conn->web;
    c = conn->net.peer.connection;

    if (ngx_exiting && ngx_queue_empty(&web->waiting)) {
        ngx_cred_web_conn_close(conn);
        return;
    }

    ngx_cred_web_conn_move(conn, &web->idle);
    ngx_cred_web_conn_timer(conn, NGX_CRED_WEB_IDLE);
    ngx_cred_web_conn_watch(conn, 1);

    if (c->read->ready) {
        ngx_post_event(c->read, &ngx_posted_events);
    }

    if (ngx_handle_read_event(c->read, 0) != NGX_OK
        || ngx_handle_write_event(c->write, 0) != NGX_OK)
    {
        ngx_cred_web_conn_close(conn);
        return;
    }

    ngx_cred_web_start(web);
}


void
ngx_cred_web_conn_close(ngx_cred_web_conn_t *conn)
{
    ngx_uint_t  dirty;

    dirty = (conn->request && conn->pos < conn->request->text.len);

    conn->probe = 0;

    ngx_cred_net_close(&conn->net, dirty);

    if (conn->timer.timer_set) {
        ngx_del_timer(&conn->timer);
    }

    if (conn->parser) {
        ngx_cred_web_parser_destroy(conn->parser);
        conn->parser = NULL;
    }

    if (conn->request) {
        conn->request->conn = NULL;
        conn->request = NULL;
    }

    ngx_cred_web_conn_move(conn, &conn->web->closed);
    ngx_cred_web_start(conn->web);
}


void
ngx_cred_web_conn_again(ngx_cred_web_conn_t *conn)
{
    ngx_cred_web_request_t  *request;

    request = conn->request;

    ngx_log_error(NGX_LOG_INFO, &conn->web->log, 0,
                  "a kept connection was closed, sending again");

    ngx_cred_web_conn_close(conn);

    conn->request = request;
    request->conn = conn;
    request->again = request->sent;

    ngx_cred_web_conn_connect(conn);
}


void
ngx_cred_web_conn_broken(ngx_cred_web_conn_t *conn, ngx_uint_t status,
    ngx_err_t err, const char *reason, ngx_str_t *detail)
{
    ngx_cred_web_t          *web;
    ngx_cred_web_request_t  *request;

    web = conn->web;
    request = conn->request;

    web->error_len = ngx_cred_net_word(web->error, NGX_CRED_WEB_ERROR_LEN, err,
                                       reason, detail);

    ngx_cred_web_conn_close(conn);
    ngx_cred_web_lost(web, request, status);
}


static void
ngx_cred_web_timer_handler(ngx_event_t *ev)
{
    ngx_msec_int_t        left;
    ngx_cred_web_conn_t  *conn;

    conn = ev->data;

    left = conn->request ? (ngx_msec_int_t) (conn->request->deadline
                                             - ngx_current_msec)
                         : 0;

    if (ngx_cred_web_conn_made(conn)) {

        if (conn->request == NULL) {
            ngx_cred_web_conn_close(conn);

        } else if (left > 0) {
            ngx_cred_web_conn_timer(conn, (ngx_msec_t) left);

        } else {
            ngx_cred_web_conn_late(conn);
        }

        return;
    }

    /* the server may have more time to be connected to than the request */

    if (conn->request && left <= 0) {
        ngx_cred_web_conn_late(conn);
        return;
    }

    ngx_cred_web_conn_failed(&conn->net, 0, ngx_cred_net_late(&conn->net),
                             NULL);
}


static void
ngx_cred_web_conn_late(ngx_cred_web_conn_t *conn)
{
    ngx_cred_web_conn_broken(conn, NGX_CRED_WEB_TIMEDOUT, 0,
                             !ngx_cred_web_conn_made(conn)
                             ? "there was no connection in time to send again"
                             : conn->parser
                             ? "the server did not complete its response in "
                               "time"
                             : "the server did not answer in time",
                             NULL);
}
