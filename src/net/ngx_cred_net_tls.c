
/*
 * Copyright (C) ngx_cred_module authors
 * SPDX-License-Identifier: BSD-2-Clause
 */


/* TLS, by nginx's own SSL: between the socket and what is said on it */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>
#include <ngx_cred_net_connection.h>


#define NGX_CRED_NET_TLS_POOL  512
#define NGX_CRED_NET_TLS_TEXT  256


/* of one that has connected by TLS; outlives its connections */

struct ngx_cred_net_tls_s {
    ngx_log_t           log;               /* of nginx's SSL */
    u_char              data[NGX_CRED_NET_TLS_TEXT];
    ngx_str_t           text;              /* the last of what it said */

    u_char              name[NGX_CRED_NET_HOST_LEN + 1];
    size_t              name_len;

    ngx_ssl_session_t  *session;           /* of a server of that name ... */
    SSL_CTX            *ctx;               /* ... in this context */
};


static ngx_str_t *ngx_cred_net_tls_name(ngx_cred_net_t *net);
static ngx_int_t ngx_cred_net_tls_init(ngx_cred_net_t *net);
static void ngx_cred_net_tls_cleanup(void *data);
static void ngx_cred_net_tls_log(ngx_log_t *log, ngx_uint_t level,
    u_char *buf, size_t len);
static ngx_int_t ngx_cred_net_tls_create(ngx_cred_net_t *net);
static ngx_int_t ngx_cred_net_tls_expect(ngx_cred_net_t *net);
static ngx_uint_t ngx_cred_net_tls_address(u_char *name, size_t len);
static void ngx_cred_net_tls_save_session(ngx_connection_t *c);
static ngx_uint_t ngx_cred_net_tls_verified(ngx_ssl_conn_t *ssl);
static void ngx_cred_net_tls_failed(ngx_cred_net_t *net);
static void ngx_cred_net_tls_forget(ngx_cred_net_tls_t *tls);


/* that a certificate has to be for; may be an IP address */

static ngx_str_t *
ngx_cred_net_tls_name(ngx_cred_net_t *net)
{
    return net->conf->ssl_name.len ? &net->conf->ssl_name : &net->name;
}


void
ngx_cred_net_tls_start(ngx_cred_net_t *net)
{
    net->state = NGX_CRED_NET_SECURING;

    if (ngx_cred_net_tls_init(net) != NGX_OK) {
        net->failed(net, 0, "no memory", NULL);
        return;
    }

    if (ngx_cred_net_tls_create(net) != NGX_OK) {
        ngx_cred_net_tls_failed(net);
        return;
    }

    ngx_cred_net_tls_handshake(net);
}


static ngx_int_t
ngx_cred_net_tls_init(ngx_cred_net_t *net)
{
    ngx_pool_cleanup_t  *cln;
    ngx_cred_net_tls_t  *tls;

    tls = net->security;

    if (tls == NULL) {
        tls = ngx_pcalloc(net->pool, sizeof(ngx_cred_net_tls_t));
        if (tls == NULL) {
            return NGX_ERROR;
        }

        cln = ngx_pool_cleanup_add(net->pool, 0);
        if (cln == NULL) {
            return NGX_ERROR;
        }

        cln->handler = ngx_cred_net_tls_cleanup;
        cln->data = tls;

        tls->log.log_level = ngx_max(net->log->log_level, NGX_LOG_INFO);
        tls->log.writer = ngx_cred_net_tls_log;
        tls->log.wdata = net;

        tls->text.data = tls->data;

        net->security = tls;
    }

    tls->text.len = 0;

    return NGX_OK;
}


static void
ngx_cred_net_tls_cleanup(void *data)
{
    ngx_cred_net_tls_forget(data);
}


/*
 * nginx's SSL takes what went wrong from OpenSSL's queue and logs it each time:
 * it is kept here, to be told once, by the owner.
 */

static void
ngx_cred_net_tls_log(ngx_log_t *log, ngx_uint_t level, u_char *buf,
    size_t len)
{
    u_char              *p, *last;
    ngx_str_t            text;
    ngx_cred_net_t      *net;
    ngx_cred_net_tls_t  *tls;

    net = log->wdata;
    tls = net->security;

    last = buf + len;

    /* "TIME [LEVEL] PID#TID: " */

    p = ngx_strlchr(buf, last, '#');
    p = p ? ngx_strlchr(p, last, ' ') : NULL;

    text.data = p ? p + 1 : buf;
    text.len = last - text.data;

    if (text.len && last[-1] == LF) {
        text.len--;
    }

    if (level == NGX_LOG_DEBUG) {
        ngx_log_error_core(level, net->log, 0, "%V", &text);
        return;
    }

    p = ngx_cred_net_printable(tls->data, tls->data + NGX_CRED_NET_TLS_TEXT,
                               &text);

    tls->text.len = p - tls->data;
}


static ngx_int_t
ngx_cred_net_tls_create(ngx_cred_net_t *net)
{
    ngx_pool_t          *pool;
    ngx_connection_t    *c;
    ngx_cred_net_tls_t  *tls;

    tls = net->security;
    c = net->peer.connection;

    /* what is allocated for it would add up in the pool of the object */

    pool = ngx_create_pool(NGX_CRED_NET_TLS_POOL, net->log);
    if (pool == NULL) {
        return NGX_ERROR;
    }

    c->pool = pool;
    c->log = &tls->log;

    if (ngx_ssl_create_connection(net->conf->ssl, c, NGX_SSL_CLIENT)
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    if (ngx_cred_net_tls_expect(net) != NGX_OK) {
        return NGX_ERROR;
    }

    c->ssl->no_wait_shutdown = 1;
    c->ssl->save_session = ngx_cred_net_tls_save_session;

    return ngx_ssl_set_session(c, tls->session);
}


/* the name to verify, and to ask for unless it is an address */

static ngx_int_t
ngx_cred_net_tls_expect(ngx_cred_net_t *net)
{
    int                  ok;
    size_t               len;
    ngx_str_t           *name;
    ngx_connection_t    *c;
    X509_VERIFY_PARAM   *param;
    ngx_cred_net_tls_t  *tls;

    tls = net->security;
    c = net->peer.connection;

    name = ngx_cred_net_tls_name(net);
    len = name->len;

    /* the dot of an absolute name is in no certificate */

    if (len && name->data[len - 1] == '.') {
        len--;
    }

    if (len == 0 || len > NGX_CRED_NET_HOST_LEN) {
        ngx_log_error(NGX_LOG_ERR, c->log, 0, "no name for a certificate");
        return NGX_ERROR;
    }

    if (len != tls->name_len || ngx_memcmp(name->data, tls->name, len) != 0
        || tls->ctx != net->conf->ssl->ctx)
    {
        ngx_cred_net_tls_forget(tls);

        ngx_memcpy(tls->name, name->data, len);
        tls->name[len] = '\0';
        tls->name_len = len;
        tls->ctx = net->conf->ssl->ctx;
    }

    param = SSL_get0_param(c->ssl->connection);

    if (ngx_cred_net_tls_address(tls->name, len)) {
        ok = X509_VERIFY_PARAM_set1_ip_asc(param, (char *) tls->name);

    } else {
        ok = X509_VERIFY_PARAM_set1_host(param, (char *) tls->name, len)
             && SSL_set_tlsext_host_name(c->ssl->connection,
                                         (char *) tls->name);
    }

    if (!ok) {
        ngx_ssl_error(NGX_LOG_ERR, c->log, 0, "setting the server name failed");
        return NGX_ERROR;
    }

    return NGX_OK;
}


static ngx_uint_t
ngx_cred_net_tls_address(u_char *name, size_t len)
{
#if (NGX_HAVE_INET6)
    u_char  addr[16];

    if (ngx_inet6_addr(name, len, addr) == NGX_OK) {
        return 1;
    }
#endif

    return ngx_inet_addr(name, len) != INADDR_NONE;
}


static void
ngx_cred_net_tls_save_session(ngx_connection_t *c)
{
    ngx_cred_net_t      *net;
    ngx_ssl_session_t   *session;
    ngx_cred_net_tls_t  *tls;

    /* c->data is the owner's */

    net = c->log->wdata;
    tls = net->security;

    session = ngx_ssl_get_session(c);

    if (session) {
        ngx_cred_net_tls_forget(tls);
        tls->session = session;
    }
}


void
ngx_cred_net_tls_handshake(ngx_cred_net_t *net)
{
    ngx_int_t          rc;
    ngx_connection_t  *c;

    c = net->peer.connection;

    rc = ngx_ssl_handshake(c);

    c->read->handler = ngx_cred_net_read_handler;
    c->write->handler = ngx_cred_net_write_handler;

    if (rc == NGX_AGAIN) {
        return;
    }

    if (rc != NGX_OK || !ngx_cred_net_tls_verified(c->ssl->connection)) {
        ngx_cred_net_tls_failed(net);
        return;
    }

    ngx_log_error(NGX_LOG_INFO, net->log, 0, "%s with %s, %s session",
                  SSL_get_version(c->ssl->connection),
                  SSL_get_cipher_name(c->ssl->connection),
                  SSL_session_reused(c->ssl->connection) ? "reused" : "new");

    /* there may be more in OpenSSL's buffer, of which no event tells */

    ngx_post_event(c->read, &ngx_posted_events);

    ngx_cred_net_made(net);
}


/*
 * OpenSSL ends a handshake in which verifying fails, but not one without any
 * certificate, nor one that goes on with a session.
 */

static ngx_uint_t
ngx_cred_net_tls_verified(ngx_ssl_conn_t *ssl)
{
    X509  *cert;

    if (SSL_get_verify_mode(ssl) == SSL_VERIFY_NONE) {
        return 1;
    }

    cert = SSL_get_peer_certificate(ssl);
    if (cert == NULL) {
        return 0;
    }

    X509_free(cert);

    return SSL_get_verify_result(ssl) == X509_V_OK;
}


static void
ngx_cred_net_tls_failed(ngx_cred_net_t *net)
{
    long               rc;
    u_char             buf[NGX_CRED_NET_TLS_TEXT], *last;
    ngx_str_t          detail;
    const char        *reason;
    ngx_connection_t  *c;

    c = net->peer.connection;

    detail.data = buf;
    last = buf + sizeof(buf);

    rc = X509_V_OK;

    if (c->ssl
        && SSL_get_verify_mode(c->ssl->connection) != SSL_VERIFY_NONE)
    {
        rc = SSL_get_verify_result(c->ssl->connection);
    }

    switch (rc) {

    case X509_V_OK:

        detail = net->security->text;
        reason = "TLS handshake failed:";

        if (detail.len == 0) {
            ngx_str_set(&detail, "there is no certificate");

        } else if (ngx_strnstr(detail.data, "wrong version number",
                               detail.len))
        {
            reason = "the port does not speak TLS:";
        }

        break;

    case X509_V_ERR_HOSTNAME_MISMATCH:
    case X509_V_ERR_IP_ADDRESS_MISMATCH:

        reason = "the certificate is not for";
        detail.len = ngx_slprintf(buf, last, "\"%s\"", net->security->name)
                     - buf;
        break;

    default:

        reason = "certificate verify failed:";
        detail.len = ngx_slprintf(buf, last, "(%l:%s)", rc,
                                  X509_verify_cert_error_string(rc))
                     - buf;
    }

    net->failed(net, 0, reason, &detail);
}


ngx_str_t *
ngx_cred_net_tls_text(ngx_cred_net_t *net)
{
    return &net->security->text;
}


void
ngx_cred_net_tls_close(ngx_cred_net_t *net, ngx_uint_t dirty)
{
    ngx_pool_t        *pool;
    ngx_connection_t  *c;

    c = net->peer.connection;
    pool = c->pool;

    if (c->ssl) {

        /* a server that closes it for our mistake may not know the session */

        if (!net->heard) {
            ngx_cred_net_tls_forget(net->security);
        }

        /* nothing follows a record of which only a part has left */

        if (dirty) {
            c->ssl->no_send_shutdown = 1;
        }

        if (ngx_ssl_shutdown(c) == NGX_AGAIN) {
            c->ssl->no_send_shutdown = 1;
            (void) ngx_ssl_shutdown(c);
        }
    }

    c->log = net->log;

    ngx_close_connection(c);

    if (pool != net->pool) {
        ngx_destroy_pool(pool);
    }
}


void
ngx_cred_net_forget(ngx_cred_net_t *net)
{
    ngx_connection_t  *c;

    c = net->peer.connection;

    if (c && c->ssl) {
        ngx_cred_net_tls_forget(net->security);
    }
}


static void
ngx_cred_net_tls_forget(ngx_cred_net_tls_t *tls)
{
    if (tls->session) {
        ngx_ssl_free_session(tls->session);
        tls->session = NULL;
    }
}
