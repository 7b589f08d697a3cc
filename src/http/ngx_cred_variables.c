
/*
 * Copyright (C) ngx_cred_module authors
 * SPDX-License-Identifier: BSD-2-Clause
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>
#include <ngx_cred_http.h>


static ngx_int_t ngx_http_cred_api_variable(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data);
static ngx_int_t ngx_http_cred_string_variable(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data);
static ngx_int_t ngx_http_cred_result_variable(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data);
static ngx_int_t ngx_http_cred_dry_run_variable(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data);
static ngx_int_t ngx_http_cred_count_variable(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data);
static ngx_int_t ngx_http_cred_time_variable(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data);


static ngx_http_variable_t  ngx_http_cred_variables[] = {

    { ngx_string("cred_api"), NULL, ngx_http_cred_api_variable,
      0, NGX_HTTP_VAR_NOCACHEABLE, 0 },

    { ngx_string("cred_scope"), NULL, ngx_http_cred_string_variable,
      offsetof(ngx_http_cred_ctx_t, scope), NGX_HTTP_VAR_NOCACHEABLE, 0 },

    { ngx_string("cred_id"), NULL, ngx_http_cred_string_variable,
      offsetof(ngx_http_cred_ctx_t, id), NGX_HTTP_VAR_NOCACHEABLE, 0 },

    { ngx_string("cred_subject"), NULL, ngx_http_cred_string_variable,
      offsetof(ngx_http_cred_ctx_t, subject), NGX_HTTP_VAR_NOCACHEABLE, 0 },

    { ngx_string("cred_result"), NULL, ngx_http_cred_result_variable,
      0, NGX_HTTP_VAR_NOCACHEABLE, 0 },

    { ngx_string("cred_dry_run"), NULL, ngx_http_cred_dry_run_variable,
      0, NGX_HTTP_VAR_NOCACHEABLE, 0 },

    { ngx_string("cred_operation"), NULL, ngx_http_cred_string_variable,
      offsetof(ngx_http_cred_ctx_t, operation), NGX_HTTP_VAR_NOCACHEABLE, 0 },

    { ngx_string("cred_replicas"), NULL, ngx_http_cred_string_variable,
      offsetof(ngx_http_cred_ctx_t, replicas), NGX_HTTP_VAR_NOCACHEABLE, 0 },

    { ngx_string("cred_environments"), NULL, ngx_http_cred_count_variable,
      offsetof(ngx_http_cred_ctx_t, environments),
      NGX_HTTP_VAR_NOCACHEABLE, 0 },

    { ngx_string("cred_environments_pending"), NULL,
      ngx_http_cred_count_variable,
      offsetof(ngx_http_cred_ctx_t, pending), NGX_HTTP_VAR_NOCACHEABLE, 0 },

    { ngx_string("cred_environments_not_deployed"), NULL,
      ngx_http_cred_count_variable,
      offsetof(ngx_http_cred_ctx_t, not_deployed),
      NGX_HTTP_VAR_NOCACHEABLE, 0 },

    { ngx_string("cred_environments_superseded"), NULL,
      ngx_http_cred_count_variable,
      offsetof(ngx_http_cred_ctx_t, superseded),
      NGX_HTTP_VAR_NOCACHEABLE, 0 },

    { ngx_string("cred_registry_time"), NULL, ngx_http_cred_time_variable,
      offsetof(ngx_http_cred_ctx_t, registry_time),
      NGX_HTTP_VAR_NOCACHEABLE, 0 },

    { ngx_string("cred_cascade_time"), NULL, ngx_http_cred_time_variable,
      offsetof(ngx_http_cred_ctx_t, cascade_time),
      NGX_HTTP_VAR_NOCACHEABLE, 0 },

      ngx_http_null_variable
};


ngx_int_t
ngx_http_cred_add_variables(ngx_conf_t *cf)
{
    return ngx_http_cred_add_table(cf, ngx_http_cred_variables);
}


ngx_int_t
ngx_http_cred_add_table(ngx_conf_t *cf, ngx_http_variable_t *table)
{
    ngx_http_variable_t  *var, *v;

    for (v = table; v->name.len; v++) {

        var = ngx_http_add_variable(cf, &v->name, v->flags);
        if (var == NULL) {
            return NGX_ERROR;
        }

        var->get_handler = v->get_handler;
        var->data = v->data;
    }

    return NGX_OK;
}


static ngx_int_t
ngx_http_cred_api_variable(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data)
{
    ngx_http_cred_ctx_t  *ctx;

    ctx = ngx_http_cred_get_ctx(r);

    return ngx_http_cred_variable(v, ctx ? &ctx->api->name : NULL);
}


static ngx_int_t
ngx_http_cred_string_variable(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data)
{
    ngx_http_cred_ctx_t  *ctx;

    ctx = ngx_http_cred_get_ctx(r);

    return ngx_http_cred_variable(v, ctx ? (ngx_str_t *) ((char *) ctx + data)
                                         : NULL);
}


static ngx_int_t
ngx_http_cred_result_variable(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data)
{
    ngx_http_cred_ctx_t  *ctx;

    ctx = ngx_http_cred_get_ctx(r);

    return ngx_http_cred_variable(v, ctx ? ctx->result : NULL);
}


static ngx_int_t
ngx_http_cred_dry_run_variable(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data)
{
    ngx_http_cred_ctx_t  *ctx;

    static ngx_str_t  yes = ngx_string("1");

    ctx = ngx_http_cred_get_ctx(r);

    return ngx_http_cred_variable(v, (ctx && ctx->params.dry_run) ? &yes
                                                                  : NULL);
}


static ngx_int_t
ngx_http_cred_count_variable(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data)
{
    u_char               *p;
    ngx_str_t             s;
    ngx_http_cred_ctx_t  *ctx;

    ctx = ngx_http_cred_get_ctx(r);

    /* a dry run of a delete has no operation */

    if (ctx == NULL
        || (ctx->operation.len == 0
            && ctx->result != ngx_cred_result_name(NGX_CRED_DELETED)))
    {
        return ngx_http_cred_variable(v, NULL);
    }

    p = ngx_pnalloc(r->pool, NGX_INT_T_LEN);
    if (p == NULL) {
        return NGX_ERROR;
    }

    s.data = p;
    s.len = ngx_sprintf(p, "%ui", *(ngx_uint_t *) ((char *) ctx + data)) - p;

    return ngx_http_cred_variable(v, &s);
}


static ngx_int_t
ngx_http_cred_time_variable(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data)
{
    u_char               *p;
    ngx_str_t             s;
    ngx_msec_int_t        ms;
    ngx_http_cred_ctx_t  *ctx;

    ctx = ngx_http_cred_get_ctx(r);

    ms = ctx ? *(ngx_msec_int_t *) ((char *) ctx + data) : -1;

    if (ms < 0) {
        return ngx_http_cred_variable(v, NULL);
    }

    p = ngx_pnalloc(r->pool, NGX_TIME_T_LEN + 4);
    if (p == NULL) {
        return NGX_ERROR;
    }

    s.data = p;
    s.len = ngx_sprintf(p, "%T.%03M", (time_t) ms / 1000,
                        (ngx_msec_t) ms % 1000)
            - p;

    return ngx_http_cred_variable(v, &s);
}


ngx_int_t
ngx_http_cred_variable(ngx_http_variable_value_t *v, ngx_str_t *s)
{
    if (s == NULL || s->len == 0) {
        v->not_found = 1;
        return NGX_OK;
    }

    v->len = s->len;
    v->valid = 1;
    v->no_cacheable = 0;
    v->not_found = 0;
    v->data = s->data;

    return NGX_OK;
}


void *
ngx_http_cred_find_ctx(ngx_http_request_t *r, ngx_module_t *module,
    ngx_pool_cleanup_pt handler)
{
    void                *ctx;
    ngx_pool_cleanup_t  *cln;

    ctx = r->ctx[module->ctx_index];

    if (ctx == NULL && (r->internal || r->filter_finalize)) {

        for (cln = r->pool->cleanup; cln; cln = cln->next) {

            if (cln->handler == handler) {
                return cln->data;
            }
        }
    }

    return ctx;
}
