
/*
 * Copyright (C) ngx_cred_module authors
 * SPDX-License-Identifier: BSD-2-Clause
 */


/* secrets of connectors, which are in files, read when nginx starts */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>
#include <ngx_cred_connector_http.h>


struct ngx_http_cred_secret_s {
    ngx_str_t                    path;
    ngx_str_t                    text;
    u_char                       data[NGX_CRED_NET_LINE_LEN + 1];
};


static ngx_http_cred_secret_t *ngx_http_cred_secret_create(ngx_conf_t *cf,
    ngx_str_t *path);
static ngx_int_t ngx_http_cred_secret_read(ngx_conf_t *cf,
    ngx_http_cred_secret_t *secret);
static void ngx_http_cred_secret_cleanup(void *data);


ngx_str_t *
ngx_http_cred_secret(ngx_conf_t *cf, ngx_str_t *value)
{
    ngx_str_t                    path;
    ngx_uint_t                   i;
    ngx_http_cred_secret_t     **secrets, *secret;
    ngx_http_cred_main_conf_t   *cmcf;

    path.data = value->data + sizeof("file=") - 1;
    path.len = value->len - (sizeof("file=") - 1);

    if (ngx_conf_full_name(cf->cycle, &path, 1) != NGX_OK) {
        return NULL;
    }

    cmcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_cred_module);

    secrets = cmcf->secrets.elts;

    for (i = 0; i < cmcf->secrets.nelts; i++) {

        if (ngx_http_cred_same_string(&secrets[i]->path, &path)) {
            return &secrets[i]->text;
        }
    }

    secret = ngx_http_cred_secret_create(cf, &path);
    if (secret == NULL) {
        return NULL;
    }

    secrets = ngx_array_push(&cmcf->secrets);
    if (secrets == NULL) {
        return NULL;
    }

    *secrets = secret;

    return &secret->text;
}


static ngx_http_cred_secret_t *
ngx_http_cred_secret_create(ngx_conf_t *cf, ngx_str_t *path)
{
    ngx_pool_cleanup_t      *cln;
    ngx_http_cred_secret_t  *secret;

    secret = ngx_pcalloc(cf->pool, sizeof(ngx_http_cred_secret_t));
    cln = ngx_pool_cleanup_add(cf->pool, 0);

    if (secret == NULL || cln == NULL) {
        return NULL;
    }

    cln->handler = ngx_http_cred_secret_cleanup;
    cln->data = secret;

    secret->path = *path;

    return (ngx_http_cred_secret_read(cf, secret) == NGX_OK) ? secret : NULL;
}


static ngx_int_t
ngx_http_cred_secret_read(ngx_conf_t *cf, ngx_http_cred_secret_t *secret)
{
    ngx_int_t                rc;
    ngx_uint_t               i;
    ngx_cred_net_reading_t   reading;

    rc = ngx_cred_net_line(&secret->path, 0, secret->data, &secret->text,
                           &reading);

    if (rc == NGX_ERROR) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, reading.err, "%s \"%V\"%s",
                           reading.before, &secret->path, reading.after);
        return NGX_ERROR;
    }

    if (rc == NGX_DECLINED) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "%s first line in \"%V\"",
                           secret->text.len ? "too long" : "empty",
                           &secret->path);
        return NGX_ERROR;
    }

    for (i = 0; i < secret->text.len; i++) {

        if (secret->data[i] < 0x20 || secret->data[i] == 0x7f) {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                               "control character in the first line in \"%V\"",
                               &secret->path);
            return NGX_ERROR;
        }
    }

    if (reading.public) {
        ngx_conf_log_error(NGX_LOG_WARN, cf, 0,
                           "all users can read the secret in \"%V\"",
                           &secret->path);
    }

    return NGX_OK;
}


static void
ngx_http_cred_secret_cleanup(void *data)
{
    ngx_http_cred_secret_t *secret = data;

    ngx_explicit_memzero(secret->data, sizeof(secret->data));
}
