
/*
 * Copyright (C) ngx_cred_module authors
 * SPDX-License-Identifier: BSD-2-Clause
 */


/* the socket, from connect() to close() */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>
#include <ngx_cred_net_connection.h>


#define NGX_CRED_NET_BACKOFF_MIN  100    /* milliseconds */
#define NGX_CRED_NET_BACKOFF_MAX  1000
#define NGX_CRED_NET_ALERT        256    /* one that is read fits in */


static ngx_int_t ngx_cred_net_test_connect(ngx_connection_t *c);
static void ngx_cred_net_opened(ngx_cred_net_t *net);


ngx_uint_t  ngx_cred_net_shutdown;


void
ngx_cred_net_connect(ngx_cred_net_t *net)
{
    net->state = NGX_CRED_NET_RESOLVING;

    ngx_cred_net_locate(net);
}


void
ngx_cred_net_open(ngx_cred_net_t *net)
{
    ngx_int_t          rc;
    ngx_err_t          err;
    ngx_uint_t         level;
    ngx_connection_t  *c;

    if (ngx_exiting && net->idle) {
        net->failed(net, 0, NULL, NULL);
        return;
    }

    ngx_memzero(&net->peer, sizeof(ngx_peer_connection_t));

    net->peer.sockaddr = &net->resolved.sockaddr;
    net->peer.socklen = net->socklen;
    net->peer.name = net->shown;
    net->peer.get = ngx_event_get_peer;
    net->peer.log = net->log;
    net->peer.log_error = NGX_ERROR_INFO;

    /* what connect() itself meets is told by the owner, once */

    level = net->log->log_level;
    net->log->log_level = ngx_min(level, NGX_LOG_ALERT);

    rc = ngx_event_connect_peer(&net->peer);
    err = ngx_socket_errno;

    net->log->log_level = level;

    if (rc != NGX_OK && rc != NGX_AGAIN) {
        net->peer.connection = NULL;
        net->failed(net, err, "connect() failed", NULL);
        return;
    }

    c = net->peer.connection;

    c->data = net;
    c->pool = net->pool;
    c->idle = net->idle;
    c->log_error = NGX_ERROR_INFO;
    c->read->handler = ngx_cred_net_read_handler;
    c->write->handler = ngx_cred_net_write_handler;

    net->state = NGX_CRED_NET_CONNECTING;
    net->heard = 0;

    if (rc == NGX_OK) {
        ngx_cred_net_opened(net);
    }
}


void
ngx_cred_net_read_handler(ngx_event_t *rev)
{
    ngx_cred_net_t    *net;
    ngx_connection_t  *c;

    c = rev->data;
    net = c->data;

    if (c->close) {

        if (c->error) {
            ngx_cred_net_shutdown = 1;
            net->failed(net, 0, "worker is shutting down", NULL);
            return;
        }

        if (net->idle) {
            net->failed(net, 0, NULL, NULL);
            return;
        }
    }

    /* the write event tells how connecting ended */

    if (net->state == NGX_CRED_NET_SECURING) {
        ngx_cred_net_tls_handshake(net);
    }
}


void
ngx_cred_net_write_handler(ngx_event_t *wev)
{
    ngx_cred_net_t    *net;
    ngx_connection_t  *c;

    c = wev->data;
    net = c->data;

    if (net->state == NGX_CRED_NET_SECURING) {
        ngx_cred_net_tls_handshake(net);
        return;
    }

    if (ngx_cred_net_test_connect(c) != NGX_OK) {
        net->failed(net, ngx_socket_errno, "connect() failed", NULL);
        return;
    }

    ngx_cred_net_opened(net);
}


static ngx_int_t
ngx_cred_net_test_connect(ngx_connection_t *c)
{
    int        err;
    socklen_t  len;

    err = 0;
    len = sizeof(int);

    if (getsockopt(c->fd, SOL_SOCKET, SO_ERROR, (void *) &err, &len) == -1) {
        err = ngx_socket_errno;
    }

    if (err) {
        ngx_set_socket_errno(err);
        return NGX_ERROR;
    }

    return NGX_OK;
}


static void
ngx_cred_net_opened(ngx_cred_net_t *net)
{
    if (net->peer.sockaddr->sa_family != AF_UNIX
        && ngx_tcp_nodelay(net->peer.connection) != NGX_OK)
    {
        net->failed(net, 0, "setting TCP_NODELAY failed", NULL);
        return;
    }

    net->log->action = net->action;

    if (net->tls) {
        ngx_cred_net_tls_start(net);
        return;
    }

    ngx_cred_net_made(net);
}


void
ngx_cred_net_made(ngx_cred_net_t *net)
{
    ngx_connection_t  *c;

    c = net->peer.connection;

    c->data = net->data;
    c->read->handler = net->read;
    c->write->handler = net->write;

    net->state = NGX_CRED_NET_CONNECTED;

    net->connected(net);
}


void
ngx_cred_net_broken(ngx_cred_net_t *net, const char *reason)
{
    u_char             buf[NGX_CRED_NET_ALERT];
    ngx_str_t         *text;
    ngx_connection_t  *c;

    c = net->peer.connection;

    if (c->ssl) {

        /* the server may have said, after its handshake, what it wants */

        if (c->write->error && !net->heard) {
            (void) c->recv(c, buf, sizeof(buf));
        }

        text = ngx_cred_net_tls_text(net);

        if (text->len) {
            net->failed(net, 0, "TLS failed:", text);
            return;
        }
    }

    net->failed(net, ngx_socket_errno, reason, NULL);
}


const char *
ngx_cred_net_late(ngx_cred_net_t *net)
{
    switch (net->state) {

    case NGX_CRED_NET_RESOLVING:
        return "the resolver did not answer in time";

    case NGX_CRED_NET_SECURING:
        return "TLS handshake timed out, perhaps the port does not speak TLS";

    default:
        return "connecting timed out";
    }
}


void
ngx_cred_net_close(ngx_cred_net_t *net, ngx_uint_t dirty)
{
    if (net->resolving) {
        ngx_resolve_name_done(net->resolving);
        net->resolving = NULL;
    }

    if (net->peer.connection) {

        if (net->tls) {
            ngx_cred_net_tls_close(net, dirty);

        } else {
            ngx_close_connection(net->peer.connection);
        }

        net->peer.connection = NULL;
    }

    net->state = NGX_CRED_NET_CLOSED;
}


ngx_msec_t
ngx_cred_net_backoff(ngx_uint_t failures)
{
    ngx_msec_t  delay;

    delay = NGX_CRED_NET_BACKOFF_MIN << ngx_min(failures - 1, 10);
    delay = ngx_min(delay, NGX_CRED_NET_BACKOFF_MAX);

    return delay - ngx_random() % (delay / 4 + 1);
}
