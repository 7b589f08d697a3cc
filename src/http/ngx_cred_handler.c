
/*
 * Copyright (C) ngx_cred_module authors
 * SPDX-License-Identifier: BSD-2-Clause
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>
#include <ngx_cred_spelling.h>
#include <ngx_cred_http.h>


static ngx_cred_api_t *ngx_http_cred_route(ngx_http_request_t *r,
    ngx_http_cred_loc_conf_t *clcf, ngx_cred_route_t *route);
static ngx_int_t ngx_http_cred_spelling(ngx_http_request_t *r,
    ngx_http_cred_loc_conf_t *clcf, ngx_cred_api_t **api,
    ngx_cred_route_t *route);
static ngx_uint_t ngx_http_cred_encoded_slash(ngx_http_request_t *r);
static ngx_http_cred_ctx_t *ngx_http_cred_create_ctx(ngx_http_request_t *r,
    ngx_http_cred_loc_conf_t *clcf, ngx_cred_api_t *api,
    ngx_cred_route_t *route);
static void ngx_http_cred_read_headers(ngx_http_cred_ctx_t *ctx);
static ngx_int_t ngx_http_cred_read_request_id(ngx_http_cred_ctx_t *ctx);
static ngx_int_t ngx_http_cred_read_body(ngx_http_cred_ctx_t *ctx);
static void ngx_http_cred_body_handler(ngx_http_request_t *r);
static ngx_int_t ngx_http_cred_start(ngx_http_cred_ctx_t *ctx);
static ngx_int_t ngx_http_cred_refuse(ngx_http_cred_ctx_t *ctx,
    ngx_cred_outcome_t *outcome);
static void ngx_http_cred_deleted(void *data, ngx_cred_outcome_t *outcome);
static void ngx_http_cred_cleanup(void *data);


ngx_int_t
ngx_http_cred_handler(ngx_http_request_t *r)
{
    ngx_int_t                  rc;
    ngx_uint_t                 absent;
    ngx_cred_api_t            *api;
    ngx_cred_route_t           route;
    ngx_http_cred_ctx_t       *ctx;
    ngx_http_cred_loc_conf_t  *clcf;

    /*
     * A subrequest and an internal redirect are no request of a client: "return
     * 503" of another module with "error_page 503 = @name" must not delete.
     */

    if (r != r->main || r->internal) {
        return NGX_DECLINED;
    }

    clcf = ngx_http_get_module_loc_conf(r, ngx_http_cred_module);

    if (!(r->method & clcf->methods)) {
        return NGX_DECLINED;
    }

    api = ngx_http_cred_route(r, clcf, &route);
    absent = (api == NULL);

    if (absent) {
        rc = ngx_http_cred_spelling(r, clcf, &api, &route);

        if (rc != NGX_OK) {
            return (rc == NGX_DECLINED) ? rc : NGX_HTTP_INTERNAL_SERVER_ERROR;
        }
    }

    ctx = ngx_http_cred_create_ctx(r, clcf, api, &route);
    if (ctx == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    ctx->absent = absent;

    if (api->body && r->headers_in.content_length_n <= NGX_CRED_API_BODY_LEN) {

        rc = ngx_http_read_client_request_body(r, ngx_http_cred_body_handler);

        if (rc >= NGX_HTTP_SPECIAL_RESPONSE) {
            return rc;
        }

        ngx_http_finalize_request(r, NGX_DONE);

        return NGX_DONE;
    }

    ctx->view.body_long = api->body;

    rc = ngx_http_discard_request_body(r);

    if (rc != NGX_OK) {
        return rc;
    }

    rc = ngx_http_cred_start(ctx);

    if (rc != NGX_DONE) {
        ngx_http_finalize_request(r, rc);
    }

    return NGX_DONE;
}


static ngx_cred_api_t *
ngx_http_cred_route(ngx_http_request_t *r, ngx_http_cred_loc_conf_t *clcf,
    ngx_cred_route_t *route)
{
    ngx_cred_api_t   *api;
    ngx_cred_path_t   path;

    path.rest = r->uri;
    path.lax = 0;

    api = ngx_cred_api_match(clcf->apis->elts, clcf->apis->nelts, r->method,
                             &path, route);

    return (api && ngx_http_cred_encoded_slash(r)) ? NULL : api;
}


/* what is no route here, but may be one to the backend, must not reach it */

static ngx_int_t
ngx_http_cred_spelling(ngx_http_request_t *r, ngx_http_cred_loc_conf_t *clcf,
    ngx_cred_api_t **api, ngx_cred_route_t *route)
{
    u_char     *p;
    ngx_str_t   raw;

    if (!clcf->strict) {
        return NGX_DECLINED;
    }

    raw = r->unparsed_uri;

    p = ngx_strlchr(raw.data, raw.data + raw.len, '?');

    if (p) {
        raw.len = p - raw.data;
    }

    return ngx_cred_spelling(r->pool, clcf->apis->elts, clcf->apis->nelts,
                             r->method, &r->uri, &raw, api, route);
}


/*
 * It belongs to a name, and r->uri no longer tells it from one that ends a
 * segment: "name%2F" must not delete "name".
 */

static ngx_uint_t
ngx_http_cred_encoded_slash(ngx_http_request_t *r)
{
    u_char  *p, *last;

    if (!r->quoted_uri) {
        return 0;
    }

    last = r->unparsed_uri.data + r->unparsed_uri.len;

    for (p = r->unparsed_uri.data; last - p > 2 && *p != '?'; p++) {

        if (p[0] == '%' && p[1] == '2' && (p[2] | 0x20) == 'f') {
            return 1;
        }
    }

    return 0;
}


static ngx_http_cred_ctx_t *
ngx_http_cred_create_ctx(ngx_http_request_t *r, ngx_http_cred_loc_conf_t *clcf,
    ngx_cred_api_t *api, ngx_cred_route_t *route)
{
    ngx_pool_cleanup_t   *pcln;
    ngx_http_cleanup_t   *cln;
    ngx_http_cred_ctx_t  *ctx;

    ctx = ngx_pcalloc(r->pool, sizeof(ngx_http_cred_ctx_t));
    if (ctx == NULL) {
        return NULL;
    }

    /* the former for a client that is gone, the latter finds the context */

    cln = ngx_http_cleanup_add(r, 0);
    if (cln == NULL) {
        return NULL;
    }

    cln->handler = ngx_http_cred_cleanup;
    cln->data = ctx;

    pcln = ngx_pool_cleanup_add(r->pool, 0);
    if (pcln == NULL) {
        return NULL;
    }

    pcln->handler = ngx_http_cred_cleanup;
    pcln->data = ctx;

    ctx->request = r;
    ctx->api = api;
    ctx->scope = route->scope;
    ctx->id = route->id;
    ctx->registry_time = -1;
    ctx->cascade_time = -1;

    ctx->view.pool = r->pool;
    ctx->view.conf = &clcf->api;
    ctx->view.route = *route;
    ctx->view.args = r->args;
    ctx->view.client = r->connection->addr_text;

    ngx_http_cred_read_headers(ctx);
    ngx_http_cred_prefer(ctx);

    if (api->request_id && ngx_http_cred_read_request_id(ctx) != NGX_OK) {
        return NULL;
    }

    ngx_http_set_ctx(r, ctx, ngx_http_cred_module);

    return ctx;
}


static void
ngx_http_cred_read_headers(ngx_http_cred_ctx_t *ctx)
{
    ngx_str_t        *name;
    ngx_uint_t        n;
    ngx_table_elt_t  *header;

    for (n = 0; n < NGX_CRED_API_HEADERS; n++) {
        name = &ctx->api->headers[n];

        if (name->len == 0) {
            continue;
        }

        header = ngx_http_cred_find_header(ctx->request, name,
                                           &ctx->view.nheaders[n]);
        if (header) {
            ctx->view.headers[n] = header->value;
        }
    }
}


ngx_table_elt_t *
ngx_http_cred_find_header(ngx_http_request_t *r, ngx_str_t *name,
    ngx_uint_t *count)
{
    ngx_uint_t        i;
    ngx_list_part_t  *part;
    ngx_table_elt_t  *header, *found;

    found = NULL;
    *count = 0;

    part = &r->headers_in.headers.part;
    header = part->elts;

    for (i = 0; /* void */ ; i++) {

        if (i >= part->nelts) {
            if (part->next == NULL) {
                break;
            }

            part = part->next;
            header = part->elts;
            i = 0;
        }

        if (header[i].key.len == name->len
            && ngx_strncmp(header[i].lowcase_key, name->data, name->len) == 0
            && (*count)++ == 0)
        {
            found = &header[i];
        }
    }

    return found;
}


static ngx_int_t
ngx_http_cred_read_request_id(ngx_http_cred_ctx_t *ctx)
{
    ngx_uint_t                  key;
    ngx_http_variable_value_t  *vv;

    static ngx_str_t  name = ngx_string("request_id");

    key = ngx_hash_key(name.data, name.len);

    vv = ngx_http_get_variable(ctx->request, &name, key);

    if (vv == NULL || vv->not_found) {
        return NGX_ERROR;
    }

    ctx->view.request_id.data = vv->data;
    ctx->view.request_id.len = vv->len;

    return NGX_OK;
}


/* what the client sent is in memory, in a file, or in both */

static ngx_int_t
ngx_http_cred_read_body(ngx_http_cred_ctx_t *ctx)
{
    off_t         size, rest;
    u_char       *p;
    size_t        len;
    ssize_t       n;
    ngx_buf_t    *b;
    ngx_chain_t  *cl;

    if (ctx->request->request_body == NULL) {
        return NGX_OK;
    }

    size = 0;

    for (cl = ctx->request->request_body->bufs; cl; cl = cl->next) {
        size += ngx_buf_size(cl->buf);
    }

    if (size > NGX_CRED_API_BODY_LEN) {
        ctx->view.body_long = 1;
        return NGX_OK;
    }

    p = ngx_pnalloc(ctx->request->pool, (size_t) size + 1);
    if (p == NULL) {
        return NGX_ERROR;
    }

    ctx->view.body.data = p;

    for (cl = ctx->request->request_body->bufs; cl; cl = cl->next) {
        b = cl->buf;

        if (ngx_buf_in_memory(b)) {
            len = b->last - b->pos;
            p = ngx_cpymem(p, b->pos, len);

        } else if (b->in_file) {
            rest = b->file_last - b->file_pos;

            n = ngx_read_file(b->file, p, (size_t) rest, b->file_pos);

            if (n != (ssize_t) rest) {
                return NGX_ERROR;
            }

            p += n;
        }
    }

    ctx->view.body.len = p - ctx->view.body.data;

    return NGX_OK;
}


static void
ngx_http_cred_body_handler(ngx_http_request_t *r)
{
    ngx_int_t             rc;
    ngx_http_cred_ctx_t  *ctx;

    ctx = ngx_http_get_module_ctx(r, ngx_http_cred_module);

    rc = ngx_http_cred_read_body(ctx);

    if (rc == NGX_OK) {
        rc = ngx_http_cred_start(ctx);

    } else {
        rc = NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    if (rc != NGX_DONE) {
        ngx_http_finalize_request(r, rc);
    }
}


/* NGX_DONE: it is under way; else a code to finalize the request with */

static ngx_int_t
ngx_http_cred_start(ngx_http_cred_ctx_t *ctx)
{
    ngx_int_t                  rc;
    ngx_cred_params_t         *params;
    ngx_cred_outcome_t         outcome;
    ngx_http_request_t        *r;
    ngx_http_cred_loc_conf_t  *clcf;

    r = ctx->request;

    params = &ctx->params;

    params->api = ctx->api->name;
    params->api_number = ngx_cred_api_number(ctx->api);
    params->rules = &ctx->api->rules;
    params->client = ctx->view.client;

    ngx_memzero(&outcome, sizeof(ngx_cred_outcome_t));

    outcome.registry_time = -1;
    outcome.cascade_time = -1;

    rc = ctx->api->identify(&ctx->view, params);

    if (rc == NGX_ERROR) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    if (rc == NGX_DECLINED) {
        outcome.result = NGX_CRED_UNAUTHORIZED;
        return ngx_http_cred_refuse(ctx, &outcome);
    }

    if (params->scope.len) {
        ctx->scope = params->scope;
    }

    ctx->id = params->id;

    if (ctx->fault) {
        params->check = NGX_CRED_CHECK_TOKEN;
        ctx->view.fault = *ctx->fault;
    }

    if (ctx->absent) {
        params->check = NGX_CRED_CHECK_ABSENT;
    }

    clcf = ngx_http_get_module_loc_conf(r, ngx_http_cred_module);

    if (ngx_cred_delete(clcf->registry, params, ngx_http_cred_deleted, ctx,
                        &ctx->del)
        != NGX_AGAIN)
    {
        outcome.result = NGX_CRED_UNAVAILABLE;
        return ngx_http_cred_refuse(ctx, &outcome);
    }

    if (!r->discard_body) {
        r->read_event_handler = ngx_http_test_reading;
    }

    r->write_event_handler = ngx_http_request_empty_handler;

    if (r->connection->read->ready) {

        /* a client that hung up at once is not told of again */

        ngx_post_event(r->connection->read, &ngx_posted_events);

    } else if (ngx_handle_read_event(r->connection->read, 0) != NGX_OK) {
        ngx_http_cred_cleanup(ctx);
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    return NGX_DONE;
}


/* without the registry */

static ngx_int_t
ngx_http_cred_refuse(ngx_http_cred_ctx_t *ctx, ngx_cred_outcome_t *outcome)
{
    if (!ctx->params.dry_run) {
        ngx_cred_status_deleted(ctx->params.api_number, outcome->result);
    }

    return ngx_http_cred_answer(ctx, outcome);
}


static void
ngx_http_cred_deleted(void *data, ngx_cred_outcome_t *outcome)
{
    ngx_http_cred_ctx_t *ctx = data;

    ngx_int_t            rc;
    ngx_connection_t    *c;
    ngx_http_request_t  *r;

    r = ctx->request;
    c = r->connection;

    ctx->del = NULL;

    ngx_http_set_log_request(c->log, r);

    /*
     * A client that hangs up does not end a request with "post_action", but
     * redirects it: there is no one to answer, and the request is another's.
     */

    if (ngx_http_get_module_ctx(r, ngx_http_cred_module) != ctx) {
        (void) ngx_http_cred_keep(ctx, outcome);
        return;
    }

    rc = ngx_http_cred_answer(ctx, outcome);

    ngx_http_finalize_request(r, rc);

    ngx_http_run_posted_requests(c);
}


static void
ngx_http_cred_cleanup(void *data)
{
    ngx_http_cred_ctx_t *ctx = data;

    if (ctx->del) {
        ngx_cred_delete_forget(ctx->del);
        ctx->del = NULL;
    }
}


ngx_http_cred_ctx_t *
ngx_http_cred_get_ctx(ngx_http_request_t *r)
{
    return ngx_http_cred_find_ctx(r, &ngx_http_cred_module,
                                  ngx_http_cred_cleanup);
}
