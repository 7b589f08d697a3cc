
/*
 * Copyright (C) ngx_cred_module authors
 * SPDX-License-Identifier: BSD-2-Clause
 */


/* what "cred_ssl_..." say of TLS, and the contexts made of it */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>
#include <ngx_md5.h>
#include <ngx_cred_http.h>


/* a chain may have that many certificates between the server's and a root */
#define NGX_HTTP_CRED_SSL_DEPTH    4

#define NGX_HTTP_CRED_SSL_NAME     255
#define NGX_HTTP_CRED_SSL_DIGEST   16


struct ngx_http_cred_ssl_context_s {
    ngx_ssl_t                   ssl;
    ngx_str_t                   settings;      /* all of them */
};


typedef struct {
    ngx_keyval_t                command;
    ngx_str_t                   at;
} ngx_http_cred_ssl_command_t;


static void ngx_http_cred_ssl_merge_value(ngx_http_cred_ssl_value_t *conf,
    ngx_http_cred_ssl_value_t *prev);
static ngx_http_cred_ssl_context_t *ngx_http_cred_ssl_context(ngx_conf_t *cf,
    ngx_http_cred_ssl_t *conf);
static ngx_int_t ngx_http_cred_ssl_describe(ngx_conf_t *cf,
    ngx_http_cred_ssl_t *conf, ngx_str_t *text);
static u_char *ngx_http_cred_ssl_print(u_char *p, ngx_str_t *s);
static ngx_int_t ngx_http_cred_ssl_create(ngx_conf_t *cf,
    ngx_http_cred_ssl_t *conf, ngx_ssl_t *ssl, ngx_log_t *log);
static ngx_int_t ngx_http_cred_ssl_certificate(ngx_conf_t *cf,
    ngx_http_cred_ssl_t *conf, ngx_ssl_t *ssl, ngx_log_t *log);
static ngx_int_t ngx_http_cred_ssl_trust(ngx_conf_t *cf,
    ngx_http_cred_ssl_t *conf, ngx_ssl_t *ssl, ngx_log_t *log);
static ngx_int_t ngx_http_cred_ssl_commands(ngx_conf_t *cf,
    ngx_http_cred_ssl_t *conf, ngx_ssl_t *ssl, ngx_log_t *log);
static u_char *ngx_http_cred_ssl_log_error(ngx_log_t *log, u_char *buf,
    size_t len);


void
ngx_http_cred_ssl_init(ngx_http_cred_ssl_t *conf)
{
    /* the rest is zeroed */

    conf->verify = NGX_CONF_UNSET;
    conf->verify_depth = NGX_CONF_UNSET;
    conf->passwords = NGX_CONF_UNSET_PTR;
    conf->commands = NGX_CONF_UNSET_PTR;
}


void
ngx_http_cred_ssl_merge(ngx_http_cred_ssl_t *conf, ngx_http_cred_ssl_t *prev)
{
    ngx_conf_merge_value(conf->verify, prev->verify, 1);
    ngx_conf_merge_value(conf->verify_depth, prev->verify_depth,
                         NGX_HTTP_CRED_SSL_DEPTH);
    ngx_conf_merge_bitmask_value(conf->protocols, prev->protocols,
                                 (NGX_CONF_BITMASK_SET
                                  |NGX_SSL_TLSv1_2|NGX_SSL_TLSv1_3));

    ngx_http_cred_ssl_merge_value(&conf->trusted, &prev->trusted);
    ngx_http_cred_ssl_merge_value(&conf->name, &prev->name);
    ngx_http_cred_ssl_merge_value(&conf->certificate, &prev->certificate);
    ngx_http_cred_ssl_merge_value(&conf->key, &prev->key);
    ngx_http_cred_ssl_merge_value(&conf->password_file, &prev->password_file);
    ngx_http_cred_ssl_merge_value(&conf->ciphers, &prev->ciphers);
    ngx_http_cred_ssl_merge_value(&conf->crl, &prev->crl);

    if (conf->ciphers.value.data == NULL) {
        ngx_str_set(&conf->ciphers.value, "DEFAULT");
    }

    ngx_conf_merge_ptr_value(conf->passwords, prev->passwords, NULL);
    ngx_conf_merge_ptr_value(conf->commands, prev->commands, NULL);
}


static void
ngx_http_cred_ssl_merge_value(ngx_http_cred_ssl_value_t *conf,
    ngx_http_cred_ssl_value_t *prev)
{
    if (conf->value.data == NULL) {
        *conf = *prev;
    }
}


ngx_int_t
ngx_http_cred_ssl_settings(ngx_conf_t *cf, ngx_http_cred_ssl_t *conf,
    ngx_cred_net_conf_t *settings)
{
    u_char                       *p;
    ngx_md5_t                     md5;
    ngx_http_cred_ssl_context_t  *context;

    context = ngx_http_cred_ssl_context(cf, conf);
    if (context == NULL) {
        return NGX_ERROR;
    }

    p = ngx_pnalloc(cf->pool, NGX_HTTP_CRED_SSL_DIGEST);
    if (p == NULL) {
        return NGX_ERROR;
    }

    ngx_md5_init(&md5);

    if (context->settings.len) {
        ngx_md5_update(&md5, context->settings.data, context->settings.len);
    }

    if (conf->name.value.len) {
        ngx_md5_update(&md5, conf->name.value.data, conf->name.value.len);
    }

    ngx_md5_final(p, &md5);

    settings->ssl = &context->ssl;
    settings->ssl_name = conf->name.value;
    settings->ssl_digest.data = p;
    settings->ssl_digest.len = NGX_HTTP_CRED_SSL_DIGEST;

    return NGX_OK;
}


/* one for each set of settings: it may hold all that a system trusts */

static ngx_http_cred_ssl_context_t *
ngx_http_cred_ssl_context(ngx_conf_t *cf, ngx_http_cred_ssl_t *conf)
{
    ngx_log_t                      log;
    ngx_str_t                      text;
    ngx_uint_t                     i;
    ngx_pool_cleanup_t            *cln;
    ngx_http_cred_main_conf_t     *cmcf;
    ngx_http_cred_ssl_context_t  **contexts, *context;

    if (ngx_http_cred_ssl_describe(cf, conf, &text) != NGX_OK) {
        return NULL;
    }

    cmcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_cred_module);

    contexts = cmcf->contexts.elts;

    for (i = 0; i < cmcf->contexts.nelts; i++) {

        if (ngx_http_cred_same_string(&contexts[i]->settings, &text)) {
            return contexts[i];
        }
    }

    context = ngx_pcalloc(cf->pool, sizeof(ngx_http_cred_ssl_context_t));
    contexts = ngx_array_push(&cmcf->contexts);
    cln = ngx_pool_cleanup_add(cf->pool, 0);

    if (context == NULL || contexts == NULL || cln == NULL) {
        return NULL;
    }

    /* what OpenSSL says of a file goes with the line that names it */

    log = *cf->log;
    log.handler = ngx_http_cred_ssl_log_error;
    log.data = NULL;

    context->settings = text;
    context->ssl.log = &log;

    if (ngx_ssl_create(&context->ssl, conf->protocols, NULL) != NGX_OK) {
        return NULL;
    }

    cln->handler = ngx_ssl_cleanup_ctx;
    cln->data = &context->ssl;

    if (ngx_http_cred_ssl_create(cf, conf, &context->ssl, &log) != NGX_OK) {
        return NULL;
    }

    context->ssl.log = cf->log;

    *contexts = context;

    return context;
}


static ngx_int_t
ngx_http_cred_ssl_describe(ngx_conf_t *cf, ngx_http_cred_ssl_t *conf,
    ngx_str_t *text)
{
    u_char                       *p;
    size_t                        len;
    ngx_uint_t                    i, n;
    ngx_http_cred_ssl_command_t  *command;

    n = conf->commands ? conf->commands->nelts : 0;
    command = n ? conf->commands->elts : NULL;

    len = (9 + 2 * n) * (NGX_INT_T_LEN + 1) + conf->trusted.value.len
          + conf->certificate.value.len + conf->key.value.len
          + conf->password_file.value.len + conf->ciphers.value.len
          + conf->crl.value.len;

    for (i = 0; i < n; i++) {
        len += command[i].command.key.len + command[i].command.value.len;
    }

    p = ngx_pnalloc(cf->pool, len);
    if (p == NULL) {
        return NGX_ERROR;
    }

    text->data = p;

    p = ngx_sprintf(p, "%i %i %ui ", conf->verify, conf->verify_depth,
                    conf->protocols);

    p = ngx_http_cred_ssl_print(p, &conf->trusted.value);
    p = ngx_http_cred_ssl_print(p, &conf->certificate.value);
    p = ngx_http_cred_ssl_print(p, &conf->key.value);
    p = ngx_http_cred_ssl_print(p, &conf->password_file.value);
    p = ngx_http_cred_ssl_print(p, &conf->ciphers.value);
    p = ngx_http_cred_ssl_print(p, &conf->crl.value);

    for (i = 0; i < n; i++) {
        p = ngx_http_cred_ssl_print(p, &command[i].command.key);
        p = ngx_http_cred_ssl_print(p, &command[i].command.value);
    }

    text->len = p - text->data;

    return NGX_OK;
}


static u_char *
ngx_http_cred_ssl_print(u_char *p, ngx_str_t *s)
{
    return ngx_sprintf(p, "%uz:%V", s->len, s);
}


static ngx_int_t
ngx_http_cred_ssl_create(ngx_conf_t *cf, ngx_http_cred_ssl_t *conf,
    ngx_ssl_t *ssl, ngx_log_t *log)
{
    /*
     * What is written again after the socket was full may lie elsewhere, with
     * more behind it, and what has left is to be known; connections that stay
     * keep their buffers.
     */

    SSL_CTX_set_mode(ssl->ctx, SSL_MODE_ENABLE_PARTIAL_WRITE
                               |SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    SSL_CTX_clear_mode(ssl->ctx, SSL_MODE_RELEASE_BUFFERS);

#ifdef SSL_OP_NO_RENEGOTIATION
    SSL_CTX_set_options(ssl->ctx, SSL_OP_NO_RENEGOTIATION);
#endif

    log->data = &conf->ciphers.at;

    if (ngx_ssl_ciphers(cf, ssl, &conf->ciphers.value, 0) != NGX_OK
        || ngx_http_cred_ssl_certificate(cf, conf, ssl, log) != NGX_OK
        || (conf->verify
            && ngx_http_cred_ssl_trust(cf, conf, ssl, log) != NGX_OK)
        || ngx_ssl_client_session_cache(cf, ssl, 1) != NGX_OK)
    {
        return NGX_ERROR;
    }

    return ngx_http_cred_ssl_commands(cf, conf, ssl, log);
}


static ngx_int_t
ngx_http_cred_ssl_certificate(ngx_conf_t *cf, ngx_http_cred_ssl_t *conf,
    ngx_ssl_t *ssl, ngx_log_t *log)
{
    ngx_str_t  certificate, key;

    certificate = conf->certificate.value;
    key = conf->key.value;

    if (certificate.len == 0 && key.len == 0) {
        return NGX_OK;
    }

    log->data = certificate.len ? &conf->certificate.at : &conf->key.at;

    if (certificate.len == 0 || key.len == 0) {
        ngx_log_error(NGX_LOG_EMERG, log, 0,
                      "no \"cred_ssl_certificate%s\" for "
                      "\"cred_ssl_certificate%s\"",
                      key.len ? "" : "_key", key.len ? "_key" : "");
        return NGX_ERROR;
    }

    return ngx_ssl_certificate(cf, ssl, &certificate, &key, conf->passwords);
}


static ngx_int_t
ngx_http_cred_ssl_trust(ngx_conf_t *cf, ngx_http_cred_ssl_t *conf,
    ngx_ssl_t *ssl, ngx_log_t *log)
{
    ngx_str_t  trusted, crl;

    trusted = conf->trusted.value;
    crl = conf->crl.value;

    log->data = &conf->trusted.at;

    if (ngx_ssl_trusted_certificate(cf, ssl, &trusted, conf->verify_depth)
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    if (trusted.len == 0) {

        if (SSL_CTX_set_default_verify_paths(ssl->ctx) == 0) {
            ngx_ssl_error(NGX_LOG_EMERG, log, 0,
                          "SSL_CTX_set_default_verify_paths() failed");
            return NGX_ERROR;
        }

        /* a system that trusts nobody is no mistake */

        ERR_clear_error();
    }

    log->data = &conf->crl.at;

    if (ngx_ssl_crl(cf, ssl, &crl) != NGX_OK) {
        return NGX_ERROR;
    }

    /*
     * Without nginx's callback, which lets every handshake go on: a server is
     * told what is wrong with its certificate.
     */

    SSL_CTX_set_verify(ssl->ctx, SSL_VERIFY_PEER, NULL);

    return NGX_OK;
}


static ngx_int_t
ngx_http_cred_ssl_commands(ngx_conf_t *cf, ngx_http_cred_ssl_t *conf,
    ngx_ssl_t *ssl, ngx_log_t *log)
{
    ngx_uint_t                    i;
    ngx_array_t                   one;
    ngx_http_cred_ssl_command_t  *command;

    if (conf->commands == NULL) {
        return NGX_OK;
    }

    command = conf->commands->elts;

    for (i = 0; i < conf->commands->nelts; i++) {
        ngx_memzero(&one, sizeof(ngx_array_t));

        one.elts = &command[i].command;
        one.nelts = 1;
        one.size = sizeof(ngx_keyval_t);

        log->data = &command[i].at;

        if (ngx_ssl_conf_commands(cf, ssl, &one) != NGX_OK) {
            return NGX_ERROR;
        }
    }

    return NGX_OK;
}


static u_char *
ngx_http_cred_ssl_log_error(ngx_log_t *log, u_char *buf, size_t len)
{
    ngx_str_t *at = log->data;

    return (at && at->len) ? ngx_snprintf(buf, len, " in %V", at) : buf;
}


char *
ngx_http_cred_ssl_verify(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_cred_loc_conf_t *clcf = conf;

    char  *rv;

    rv = ngx_conf_set_flag_slot(cf, cmd, conf);

    if (rv == NGX_CONF_OK && clcf->ssl.verify == 0) {
        ngx_conf_log_error(NGX_LOG_WARN, cf, 0,
                           "\"cred_ssl_verify off\" trusts whoever answers in "
                           "place of a server");
    }

    return rv;
}


char *
ngx_http_cred_ssl_value(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_str_t                  *value;
    ngx_http_cred_ssl_value_t  *field;

    field = (ngx_http_cred_ssl_value_t *) ((char *) conf + cmd->offset);

    if (field->value.data) {
        return "is duplicate";
    }

    value = cf->args->elts;

    field->value = value[1];

    return (ngx_http_cred_directive_at(cf, &field->at) == NGX_OK)
           ? NGX_CONF_OK : NGX_CONF_ERROR;
}


char *
ngx_http_cred_ssl_name(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    u_char      c;
    ngx_str_t  *value;
    ngx_uint_t  i;
#if (NGX_HAVE_INET6)
    u_char      addr[16];
#endif

    value = cf->args->elts;

    if (value[1].len == 0 || value[1].len > NGX_HTTP_CRED_SSL_NAME) {
        return "has an invalid name";
    }

#if (NGX_HAVE_INET6)
    if (ngx_inet6_addr(value[1].data, value[1].len, addr) == NGX_OK) {
        return ngx_http_cred_ssl_value(cf, cmd, conf);
    }
#endif

    for (i = 0; i < value[1].len; i++) {
        c = value[1].data[i];

        if (ngx_tolower(c) < 'a' || ngx_tolower(c) > 'z') {

            if ((c >= '0' && c <= '9') || c == '-' || c == '.' || c == '_') {
                continue;
            }

            return "has an invalid name";
        }
    }

    return ngx_http_cred_ssl_value(cf, cmd, conf);
}


char *
ngx_http_cred_ssl_password_file(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_cred_loc_conf_t *clcf = conf;

    char       *rv;
    ngx_str_t  *value;

    rv = ngx_http_cred_ssl_value(cf, cmd, conf);

    if (rv != NGX_CONF_OK) {
        return rv;
    }

    value = cf->args->elts;

    clcf->ssl.passwords = ngx_ssl_read_password_file(cf, &value[1]);

    return clcf->ssl.passwords ? NGX_CONF_OK : NGX_CONF_ERROR;
}


char *
ngx_http_cred_ssl_conf_command(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_cred_loc_conf_t *clcf = conf;

    ngx_str_t                    *value;
    ngx_http_cred_ssl_command_t  *command;

#ifndef SSL_CONF_FLAG_FILE
    return "is not supported on this platform";
#endif

    if (clcf->ssl.commands == NGX_CONF_UNSET_PTR) {
        clcf->ssl.commands = ngx_array_create(cf->pool, 4,
                                          sizeof(ngx_http_cred_ssl_command_t));
        if (clcf->ssl.commands == NULL) {
            return NGX_CONF_ERROR;
        }
    }

    command = ngx_array_push(clcf->ssl.commands);
    if (command == NULL) {
        return NGX_CONF_ERROR;
    }

    value = cf->args->elts;

    command->command.key = value[1];
    command->command.value = value[2];

    return (ngx_http_cred_directive_at(cf, &command->at) == NGX_OK)
           ? NGX_CONF_OK : NGX_CONF_ERROR;
}
