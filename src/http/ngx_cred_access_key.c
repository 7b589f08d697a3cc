
/*
 * Copyright (C) ngx_cred_module authors
 * SPDX-License-Identifier: BSD-2-Clause
 */


/* the key that a client shows to a gateway */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>
#include <ngx_cred_access_http.h>


#define NGX_HTTP_CRED_ACCESS_KEY_LEN  4096   /* no key is longer */


static ngx_int_t ngx_http_cred_access_headers(ngx_http_request_t *r,
    ngx_str_t *key);


ngx_int_t
ngx_http_cred_access_key(ngx_http_request_t *r,
    ngx_http_cred_access_loc_conf_t *alcf, ngx_str_t *key)
{
    ngx_int_t  rc;

    if (alcf->key) {
        rc = ngx_http_complex_value(r, alcf->key, key);

    } else {
        rc = ngx_http_cred_access_headers(r, key);
    }

    if (rc != NGX_OK) {
        return rc;
    }

    return (key->len && key->len <= NGX_HTTP_CRED_ACCESS_KEY_LEN)
           ? NGX_OK : NGX_DECLINED;
}


/* of two keys nobody can tell which one the upstream goes by */

static ngx_int_t
ngx_http_cred_access_headers(ngx_http_request_t *r, ngx_str_t *key)
{
    ngx_str_t         value;
    ngx_uint_t        n;
    ngx_table_elt_t  *authorization, *api_key;

    static ngx_str_t  name = ngx_string("x-api-key");

    authorization = r->headers_in.authorization;
    api_key = ngx_http_cred_find_header(r, &name, &n);

    if (authorization == NULL) {

        if (n != 1) {
            return NGX_DECLINED;
        }

        *key = api_key->value;
        return NGX_OK;
    }

    if (n) {
        return NGX_DECLINED;
    }

    value = authorization->value;

    if (ngx_cred_api_scheme(&value, "Bearer", key) == NGX_OK) {
        return NGX_OK;
    }

    if (ngx_cred_api_scheme(&value, "Basic", &value) == NGX_OK) {
        return ngx_cred_api_basic(r->pool, &value, key);
    }

    return NGX_DECLINED;
}
