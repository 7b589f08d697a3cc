
/*
 * Copyright (C) ngx_cred_module authors
 * SPDX-License-Identifier: BSD-2-Clause
 */


/* the ACCESS phase: a request needs a deployed credential */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>
#include <ngx_cred_access_http.h>


static ngx_http_cred_access_ctx_t *ngx_http_cred_access_create_ctx(
    ngx_http_request_t *r, ngx_http_cred_access_loc_conf_t *alcf);
static ngx_int_t ngx_http_cred_access_ask(ngx_http_cred_access_ctx_t *ctx);
static ngx_int_t ngx_http_cred_access_wait(ngx_http_cred_access_ctx_t *ctx);
static void ngx_http_cred_access_answered(ngx_cred_access_t *access);
static ngx_int_t ngx_http_cred_access_decide(ngx_http_cred_access_ctx_t *ctx);
static ngx_int_t ngx_http_cred_access_permits(ngx_http_cred_access_ctx_t *ctx);
static ngx_int_t ngx_http_cred_access_status(ngx_http_cred_access_ctx_t *ctx);
static void ngx_http_cred_access_log(ngx_http_cred_access_ctx_t *ctx);
static ngx_int_t ngx_http_cred_access_challenge(ngx_http_request_t *r,
    ngx_str_t *api);
static ngx_uint_t ngx_http_cred_access_retry(ngx_http_request_t *r);
static void ngx_http_cred_access_cleanup(void *data);


/* in the order of ngx_cred_status_access_e */

static ngx_int_t  ngx_http_cred_access_statuses[] = {
    NGX_OK,
    NGX_HTTP_FORBIDDEN,
    NGX_HTTP_UNAUTHORIZED,
    NGX_HTTP_SERVICE_UNAVAILABLE
};

static ngx_str_t  ngx_http_cred_access_retry_after = ngx_string("Retry-After");
static ngx_str_t  ngx_http_cred_access_authenticate =
    ngx_string("WWW-Authenticate");


ngx_int_t
ngx_http_cred_access_handler(ngx_http_request_t *r)
{
    ngx_int_t                         rc;
    ngx_http_cred_access_ctx_t       *ctx;
    ngx_http_cred_access_loc_conf_t  *alcf;

    alcf = ngx_http_get_module_loc_conf(r, ngx_http_cred_access_module);

    if (alcf->api == NULL) {
        return NGX_DECLINED;
    }

    ctx = ngx_http_get_module_ctx(r, ngx_http_cred_access_module);

    if (ctx && ctx->conf == alcf) {
        return ctx->result ? ngx_http_cred_access_status(ctx) : NGX_AGAIN;
    }

    ctx = ngx_http_cred_access_create_ctx(r, alcf);
    if (ctx == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    rc = ngx_http_cred_access_ask(ctx);

    if (rc == NGX_AGAIN) {
        return ngx_http_cred_access_wait(ctx);
    }

    if (rc == NGX_ERROR) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    return ngx_http_cred_access_status(ctx);
}


static ngx_http_cred_access_ctx_t *
ngx_http_cred_access_create_ctx(ngx_http_request_t *r,
    ngx_http_cred_access_loc_conf_t *alcf)
{
    ngx_pool_cleanup_t          *cln;
    ngx_http_cred_access_ctx_t  *ctx;

    /* by it the context is found after an internal redirect */

    cln = ngx_pool_cleanup_add(r->pool, sizeof(ngx_http_cred_access_ctx_t));
    if (cln == NULL) {
        return NULL;
    }

    ctx = cln->data;
    ngx_memzero(ctx, sizeof(ngx_http_cred_access_ctx_t));

    cln->handler = ngx_http_cred_access_cleanup;

    ctx->request = r;
    ctx->conf = alcf;

    ngx_http_set_ctx(r, ctx, ngx_http_cred_access_module);

    return ctx;
}


/* NGX_OK: it is decided; NGX_AGAIN: it will be */

static ngx_int_t
ngx_http_cred_access_ask(ngx_http_cred_access_ctx_t *ctx)
{
    ngx_int_t                         rc;
    ngx_cred_access_t                *access;
    ngx_http_request_t               *r;
    ngx_http_cred_access_loc_conf_t  *alcf;

    r = ctx->request;
    alcf = ctx->conf;
    access = &ctx->access;

    rc = ngx_http_cred_access_key(r, alcf, &access->key);

    if (rc == NGX_ERROR) {
        return NGX_ERROR;
    }

    if (rc == NGX_DECLINED) {
        access->result = NGX_CRED_ACCESS_UNKNOWN;
        return ngx_http_cred_access_decide(ctx);
    }

    if (alcf->grant
        && ngx_http_complex_value(r, alcf->grant, &access->grant) != NGX_OK)
    {
        return NGX_ERROR;
    }

    /* nobody holds it, and it is not asked for */

    if (access->grant.len > NGX_CRED_NAME_LEN) {
        access->grant.len = 0;
    }

    access->gateway = alcf->gateway;
    access->api = alcf->api->name;
    access->api_number = alcf->api_number;
    access->valid = alcf->valid;
    access->missing = alcf->missing;
    access->pool = r->pool;
    access->handler = ngx_http_cred_access_answered;
    access->data = ctx;

    rc = ngx_cred_access(access);

    return (rc == NGX_OK) ? ngx_http_cred_access_decide(ctx) : rc;
}


static ngx_int_t
ngx_http_cred_access_wait(ngx_http_cred_access_ctx_t *ctx)
{
    ngx_http_cleanup_t  *cln;
    ngx_http_request_t  *r;

    r = ctx->request;

    /* the client may be gone before */

    cln = ngx_http_cleanup_add(r, 0);
    if (cln == NULL) {
        ngx_cred_access_forget(&ctx->access);
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    cln->handler = ngx_http_cred_access_cleanup;
    cln->data = ctx;

    r->read_event_handler = ngx_http_test_reading;
    r->write_event_handler = ngx_http_request_empty_handler;

    if (r->connection->read->ready) {

        /* a client that hung up at once is not told of again */

        ngx_post_event(r->connection->read, &ngx_posted_events);

    } else if (ngx_handle_read_event(r->connection->read, 0) != NGX_OK) {
        ngx_cred_access_forget(&ctx->access);
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    return NGX_AGAIN;
}


static void
ngx_http_cred_access_answered(ngx_cred_access_t *access)
{
    ngx_connection_t            *c;
    ngx_http_request_t          *r;
    ngx_http_cred_access_ctx_t  *ctx;

    ctx = access->data;
    r = ctx->request;
    c = r->connection;

    /* "post_action" has redirected a request whose client is gone */

    if (ngx_http_get_module_ctx(r, ngx_http_cred_access_module) != ctx) {
        return;
    }

    ngx_http_set_log_request(c->log, r);

    if (ngx_http_cred_access_decide(ctx) != NGX_OK) {
        ngx_http_finalize_request(r, NGX_HTTP_INTERNAL_SERVER_ERROR);
        ngx_http_run_posted_requests(c);
        return;
    }

    r->read_event_handler = ngx_http_block_reading;
    r->write_event_handler = ngx_http_core_run_phases;

    ngx_http_core_run_phases(r);
    ngx_http_run_posted_requests(c);
}


static ngx_int_t
ngx_http_cred_access_decide(ngx_http_cred_access_ctx_t *ctx)
{
    ngx_int_t                 rc;
    ngx_cred_status_access_e  result;

    switch (ctx->access.result) {

    case NGX_CRED_ACCESS_KNOWN:
        rc = ngx_http_cred_access_permits(ctx);

        if (rc == NGX_ERROR) {
            return NGX_ERROR;
        }

        result = (rc == NGX_OK) ? NGX_CRED_STATUS_ALLOWED
                                : NGX_CRED_STATUS_FORBIDDEN;
        break;

    case NGX_CRED_ACCESS_UNKNOWN:
        result = NGX_CRED_STATUS_UNKNOWN;
        break;

    default: /* NGX_CRED_ACCESS_UNAVAILABLE */
        result = NGX_CRED_STATUS_UNAVAILABLE;
        break;
    }

    ctx->result = ngx_cred_status_access_name(result);
    ctx->status = ngx_http_cred_access_statuses[result];

    ngx_cred_status_accessed(result);

    if (ctx->access.gateway) {
        ngx_cred_status_looked_up(ctx->access.hit);
    }

    return NGX_OK;
}


/* a scope or a grant that is asked for and empty is nobody's */

static ngx_int_t
ngx_http_cred_access_permits(ngx_http_cred_access_ctx_t *ctx)
{
    ngx_str_t                         scope;
    ngx_http_cred_access_loc_conf_t  *alcf;

    alcf = ctx->conf;

    if (alcf->grant && !(ctx->access.grant.len && ctx->access.granted)) {
        return NGX_DECLINED;
    }

    if (alcf->scope == NULL) {
        return NGX_OK;
    }

    if (ngx_http_complex_value(ctx->request, alcf->scope, &scope) != NGX_OK) {
        return NGX_ERROR;
    }

    return ngx_http_cred_same_string(&scope, &ctx->access.scope) ? NGX_OK
                                                                 : NGX_DECLINED;
}


static ngx_int_t
ngx_http_cred_access_status(ngx_http_cred_access_ctx_t *ctx)
{
    ngx_http_request_t  *r;

    r = ctx->request;

    if (ctx->status != NGX_OK && r->connection->log->log_level >= NGX_LOG_INFO)
    {
        ngx_http_cred_access_log(ctx);
    }

    if (ctx->status == NGX_HTTP_UNAUTHORIZED
        && ngx_http_cred_access_challenge(r, &ctx->conf->api->name) != NGX_OK)
    {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    /* it is there already after an "error_page" to another such place */

    if (ctx->status == NGX_HTTP_SERVICE_UNAVAILABLE
        && !ngx_http_cred_access_retry(r)
        && ngx_http_cred_header(r, &ngx_http_cred_access_retry_after,
                                &ngx_cred_api_retry)
           == NULL)
    {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    return ctx->status;
}


static void
ngx_http_cred_access_log(ngx_http_cred_access_ctx_t *ctx)
{
    u_char      shown[NGX_CRED_TOKEN_SHOWN];
    ngx_log_t  *log;

    log = ctx->request->connection->log;

    if (ctx->access.gateway == NULL) {
        ngx_log_error(NGX_LOG_INFO, log, 0,
                      "access: %V, no key, a malformed one, or two",
                      ctx->result);
        return;
    }

    ngx_hex_dump(shown, ctx->access.shown, sizeof(ctx->access.shown));

    ngx_log_error(NGX_LOG_INFO, log, 0, "access: %V, key %*s...", ctx->result,
                  sizeof(shown), shown);
}


static ngx_int_t
ngx_http_cred_access_challenge(ngx_http_request_t *r, ngx_str_t *api)
{
    u_char           *p;
    ngx_str_t         value;
    ngx_table_elt_t  *h;

    p = ngx_pnalloc(r->pool, sizeof("Bearer realm=\"\"") - 1 + api->len);
    if (p == NULL) {
        return NGX_ERROR;
    }

    value.data = p;
    value.len = ngx_sprintf(p, "Bearer realm=\"%V\"", api) - p;

    /* it is there already after an "error_page" */

    h = r->headers_out.www_authenticate;

    if (h && ngx_http_cred_same_string(&h->value, &value)) {
        return NGX_OK;
    }

    h = ngx_http_cred_header(r, &ngx_http_cred_access_authenticate, &value);
    if (h == NULL) {
        return NGX_ERROR;
    }

    /* with "satisfy any" others may challenge as well, or allow it after all */

#if (nginx_version >= 1023000)
    h->next = r->headers_out.www_authenticate;
#endif

    r->headers_out.www_authenticate = h;

    return NGX_OK;
}


/* whether the field is there already: its value is this module's own */

static ngx_uint_t
ngx_http_cred_access_retry(ngx_http_request_t *r)
{
    ngx_uint_t        i;
    ngx_list_part_t  *part;
    ngx_table_elt_t  *header;

    for (part = &r->headers_out.headers.part; part; part = part->next) {
        header = part->elts;

        for (i = 0; i < part->nelts; i++) {
            if (header[i].hash
                && header[i].value.data == ngx_cred_api_retry.data)
            {
                return 1;
            }
        }
    }

    return 0;
}


static void
ngx_http_cred_access_cleanup(void *data)
{
    ngx_http_cred_access_ctx_t *ctx = data;

    ngx_cred_access_forget(&ctx->access);
}


ngx_http_cred_access_ctx_t *
ngx_http_cred_access_get_ctx(ngx_http_request_t *r)
{
    return ngx_http_cred_find_ctx(r, &ngx_http_cred_access_module,
                                  ngx_http_cred_access_cleanup);
}
