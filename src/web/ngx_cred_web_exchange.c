
/*
 * Copyright (C) ngx_cred_module authors
 * SPDX-License-Identifier: BSD-2-Clause
 */


/* a request that leaves, and its response */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>
#include <ngx_cred_web_connection.h>


#define NGX_CRED_WEB_BUFFER_SIZE  16384
#define NGX_CRED_WEB_READS        16     /* of one buffer, per event */
#define NGX_CRED_WEB_RECORD       16384  /* the longest of TLS */


static void ngx_cred_web_conn_rest(ngx_cred_web_conn_t *conn);
static void ngx_cred_web_conn_read(ngx_cred_web_conn_t *conn);
static ngx_int_t ngx_cred_web_conn_take(ngx_cred_web_conn_t *conn, size_t len);
static void ngx_cred_web_conn_ended(ngx_cred_web_conn_t *conn, ssize_t n);
static ngx_uint_t ngx_cred_web_conn_clean(ngx_cred_web_conn_t *conn);
static void ngx_cred_web_conn_done(ngx_cred_web_conn_t *conn);


static u_char  ngx_cred_web_buffer[NGX_CRED_WEB_BUFFER_SIZE];


void
ngx_cred_web_write_handler(ngx_event_t *wev)
{
    ngx_connection_t     *c;
    ngx_cred_web_conn_t  *conn;

    c = wev->data;
    conn = c->data;

    if (conn->request) {
        ngx_cred_web_conn_write(conn);
        return;
    }

    if (ngx_handle_write_event(wev, 0) != NGX_OK) {
        ngx_cred_web_conn_close(conn);
    }
}


void
ngx_cred_web_conn_write(ngx_cred_web_conn_t *conn)
{
    size_t             size;
    ssize_t            n;
    ngx_str_t         *text;
    ngx_connection_t  *c;

    c = conn->net.peer.connection;
    text = &conn->request->text;

    while (conn->pos < text->len && c->write->ready && !conn->unwritable) {

        /* of more than a record OpenSSL would not say how much has left */

        size = text->len - conn->pos;

        if (c->ssl) {
            size = ngx_min(size, NGX_CRED_WEB_RECORD);
        }

        n = c->send(c, text->data + conn->pos, size);

        if (n == NGX_AGAIN) {
            break;
        }

        if (n == NGX_ERROR || n == 0) {

            /* it may have answered before it closed the connection */

            conn->unwritable = 1;
            conn->err = ngx_socket_errno;

            c->read->ready = 1;
            c->read->available = -1;

            ngx_cred_web_conn_read(conn);
            return;
        }

        conn->pos += n;
        conn->request->sent = 1;
    }

    if (ngx_handle_write_event(c->write, 0) != NGX_OK) {
        ngx_cred_web_conn_broken(conn, NGX_CRED_WEB_BROKEN, 0,
                                 "no write event", NULL);
    }
}


void
ngx_cred_web_read_handler(ngx_event_t *rev)
{
    ngx_connection_t     *c;
    ngx_cred_web_conn_t  *conn;

    c = rev->data;
    conn = c->data;

    if (c->close) {

        if (c->error) {
            ngx_cred_net_shutdown = 1;
        }

        if (conn->request == NULL) {
            ngx_cred_web_conn_close(conn);
            return;
        }

        if (c->error) {
            ngx_cred_web_conn_broken(conn, NGX_CRED_WEB_BROKEN, 0,
                                     "worker is shutting down", NULL);
            return;
        }
    }

    if (conn->request == NULL) {
        ngx_cred_web_conn_rest(conn);
        return;
    }

    ngx_cred_web_conn_read(conn);
}


/* an idle connection has nothing to say but that it ends */

static void
ngx_cred_web_conn_rest(ngx_cred_web_conn_t *conn)
{
    ssize_t            n;
    ngx_connection_t  *c;

    c = conn->net.peer.connection;

    n = c->recv(c, ngx_cred_web_buffer, 1);

    if (n != NGX_AGAIN || ngx_handle_read_event(c->read, 0) != NGX_OK) {

        if (n > 0) {
            ngx_log_error(NGX_LOG_INFO, &conn->web->log, 0,
                          "the server has said something without being asked");
        }

        ngx_cred_web_conn_close(conn);
    }
}


static void
ngx_cred_web_conn_read(ngx_cred_web_conn_t *conn)
{
    ssize_t            n;
    ngx_uint_t         i;
    ngx_connection_t  *c;

    c = conn->net.peer.connection;

    for (i = 0; i < NGX_CRED_WEB_READS; i++) {

        n = c->recv(c, ngx_cred_web_buffer, NGX_CRED_WEB_BUFFER_SIZE);

        if (n == NGX_AGAIN) {
            break;
        }

        if (n == NGX_ERROR || n == 0) {
            ngx_cred_web_conn_ended(conn, n);
            return;
        }

        conn->net.heard = 1;

        if (ngx_cred_web_conn_take(conn, n) != NGX_AGAIN) {
            return;
        }

        if (!c->read->ready && !conn->unwritable) {
            break;
        }
    }

    if (c->read->ready) {
        ngx_post_event(c->read, &ngx_posted_next_events);

    } else if (conn->unwritable) {
        ngx_cred_web_conn_ended(conn, NGX_ERROR);
        return;
    }

    if (ngx_handle_read_event(c->read, 0) != NGX_OK) {
        ngx_cred_web_conn_broken(conn, NGX_CRED_WEB_BROKEN, 0,
                                 "no read event", NULL);
    }
}


/* a part of the response, in the buffer; NGX_AGAIN if the request goes on */

static ngx_int_t
ngx_cred_web_conn_take(ngx_cred_web_conn_t *conn, size_t len)
{
    ngx_int_t  rc;
    ngx_str_t  detail;

    if (conn->parser == NULL) {
        conn->parser = ngx_cred_web_parser_create(&conn->web->log,
                                                  conn->request->head);
        if (conn->parser == NULL) {
            ngx_cred_web_conn_broken(conn, NGX_CRED_WEB_BROKEN, 0, "no memory",
                                     NULL);
            return NGX_ERROR;
        }
    }

    rc = ngx_cred_web_parser_feed(conn->parser, ngx_cred_web_buffer, len);

    if (rc == NGX_OK) {
        ngx_cred_web_conn_done(conn);
        return NGX_OK;
    }

    if (rc == NGX_ERROR) {
        detail.data = (u_char *) conn->parser->err;
        detail.len = ngx_strlen(detail.data);

        ngx_cred_web_conn_broken(conn, NGX_CRED_WEB_INVALID, 0,
                                 "invalid response:", &detail);
        return NGX_ERROR;
    }

    return NGX_AGAIN;
}


/* nothing more can be read, or nothing was and nothing can be written */

static void
ngx_cred_web_conn_ended(ngx_cred_web_conn_t *conn, ssize_t n)
{
    if (conn->parser == NULL && conn->kept) {
        ngx_cred_web_conn_again(conn);
        return;
    }

    if (conn->parser
        && ngx_cred_web_parser_end(conn->parser,
                                   n == 0 && ngx_cred_web_conn_clean(conn))
           == NGX_OK)
    {
        ngx_cred_web_conn_done(conn);
        return;
    }

    if (conn->unwritable) {
        ngx_set_socket_errno(conn->err);
        ngx_cred_net_broken(&conn->net, "send() failed");
        return;
    }

    if (n == 0) {
        ngx_cred_web_conn_broken(conn, NGX_CRED_WEB_BROKEN, 0,
                                 conn->parser
                                 ? "the server closed the connection before "
                                   "its response was complete"
                                 : "the server closed the connection without "
                                   "a response",
                                 NULL);
        return;
    }

    ngx_cred_net_broken(&conn->net, "recv() failed");
}


/* with TLS it is not for others than the server to end it */

static ngx_uint_t
ngx_cred_web_conn_clean(ngx_cred_web_conn_t *conn)
{
    ngx_connection_t  *c;

    c = conn->net.peer.connection;

    return c->ssl == NULL
           || (SSL_get_shutdown(c->ssl->connection) & SSL_RECEIVED_SHUTDOWN);
}


static void
ngx_cred_web_conn_done(ngx_cred_web_conn_t *conn)
{
    ngx_cred_web_t          *web;
    ngx_cred_web_parser_t   *parser;
    ngx_cred_web_request_t  *request;

    web = conn->web;
    request = conn->request;
    parser = conn->parser;

    conn->parser = NULL;

    if (parser->keep && conn->pos == request->text.len) {
        conn->request = NULL;
        conn->kept = 1;

        ngx_cred_web_conn_keep(conn);

    } else {
        ngx_cred_web_conn_close(conn);
    }

    ngx_cred_web_answered(web, request, parser);
}
