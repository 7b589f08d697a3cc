
/*
 * Copyright (C) ngx_cred_module authors
 * SPDX-License-Identifier: BSD-2-Clause
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>
#include <ngx_cred_access_http.h>


static ngx_int_t ngx_http_cred_access_string_variable(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data);
static ngx_int_t ngx_http_cred_access_result_variable(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data);
static ngx_int_t ngx_http_cred_access_cache_variable(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data);


static ngx_http_variable_t  ngx_http_cred_access_variables[] = {

    { ngx_string("cred_access_scope"), NULL,
      ngx_http_cred_access_string_variable,
      offsetof(ngx_http_cred_access_ctx_t, access.scope),
      NGX_HTTP_VAR_NOCACHEABLE, 0 },

    { ngx_string("cred_access_id"), NULL,
      ngx_http_cred_access_string_variable,
      offsetof(ngx_http_cred_access_ctx_t, access.id),
      NGX_HTTP_VAR_NOCACHEABLE, 0 },

    { ngx_string("cred_access_result"), NULL,
      ngx_http_cred_access_result_variable,
      0, NGX_HTTP_VAR_NOCACHEABLE, 0 },

    { ngx_string("cred_access_cache"), NULL,
      ngx_http_cred_access_cache_variable,
      0, NGX_HTTP_VAR_NOCACHEABLE, 0 },

      ngx_http_null_variable
};


ngx_int_t
ngx_http_cred_access_add_variables(ngx_conf_t *cf)
{
    return ngx_http_cred_add_table(cf, ngx_http_cred_access_variables);
}


static ngx_int_t
ngx_http_cred_access_string_variable(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data)
{
    ngx_http_cred_access_ctx_t  *ctx;

    ctx = ngx_http_cred_access_get_ctx(r);

    return ngx_http_cred_variable(v, ctx ? (ngx_str_t *) ((char *) ctx + data)
                                         : NULL);
}


static ngx_int_t
ngx_http_cred_access_result_variable(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data)
{
    ngx_http_cred_access_ctx_t  *ctx;

    ctx = ngx_http_cred_access_get_ctx(r);

    return ngx_http_cred_variable(v, ctx ? ctx->result : NULL);
}


/* nothing for a request without a key */

static ngx_int_t
ngx_http_cred_access_cache_variable(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data)
{
    ngx_http_cred_access_ctx_t  *ctx;

    static ngx_str_t  hit = ngx_string("HIT");
    static ngx_str_t  miss = ngx_string("MISS");

    ctx = ngx_http_cred_access_get_ctx(r);

    if (ctx == NULL || ctx->result == NULL || ctx->access.gateway == NULL) {
        return ngx_http_cred_variable(v, NULL);
    }

    return ngx_http_cred_variable(v, ctx->access.hit ? &hit : &miss);
}
