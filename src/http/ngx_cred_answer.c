
/*
 * Copyright (C) ngx_cred_module authors
 * SPDX-License-Identifier: BSD-2-Clause
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>
#include <ngx_cred_http.h>


static ngx_int_t ngx_http_cred_keep_string(ngx_http_cred_ctx_t *ctx,
    ngx_str_t *dst, ngx_str_t *src);
static ngx_int_t ngx_http_cred_keep_replicas(ngx_http_cred_ctx_t *ctx,
    ngx_cred_outcome_t *outcome);
static ngx_int_t ngx_http_cred_headers(ngx_http_cred_ctx_t *ctx,
    ngx_cred_outcome_t *outcome, ngx_cred_answer_t *answer);
static ngx_int_t ngx_http_cred_applied(ngx_http_cred_ctx_t *ctx,
    ngx_cred_outcome_t *outcome);
static ngx_int_t ngx_http_cred_dry_run(ngx_http_cred_ctx_t *ctx,
    ngx_cred_outcome_t *outcome);
static ngx_int_t ngx_http_cred_content_type(ngx_http_request_t *r,
    ngx_cred_answer_t *answer);
static ngx_int_t ngx_http_cred_no_expires(ngx_http_request_t *r);
static ngx_int_t ngx_http_cred_names_header(ngx_http_request_t *r,
    ngx_str_t *key, ngx_cred_outcome_t *outcome, ngx_cred_state_e state);


static ngx_str_t  ngx_http_cred_preference = ngx_string("Preference-Applied");
static ngx_str_t  ngx_http_cred_cache_control = ngx_string("Cache-Control");
static ngx_str_t  ngx_http_cred_no_store = ngx_string("no-store");
static ngx_str_t  ngx_http_cred_dry = ngx_string("Cred-Dry-Run");
static ngx_str_t  ngx_http_cred_environments = ngx_string("Cred-Environments");
static ngx_str_t  ngx_http_cred_operation = ngx_string("Cred-Operation");
static ngx_str_t  ngx_http_cred_pending = ngx_string("Cred-Pending");
static ngx_str_t  ngx_http_cred_replicas = ngx_string("Cred-Replicas");
static ngx_str_t  ngx_http_cred_superseded = ngx_string("Cred-Superseded");
static ngx_str_t  ngx_http_cred_type = ngx_string("Content-Type");


ngx_int_t
ngx_http_cred_answer(ngx_http_cred_ctx_t *ctx, ngx_cred_outcome_t *outcome)
{
    ngx_cred_answer_t    answer;
    ngx_http_request_t  *r;

    r = ctx->request;

    ngx_memzero(&answer, sizeof(ngx_cred_answer_t));

    if (ngx_http_cred_keep(ctx, outcome) != NGX_OK
        || ctx->api->answer(&ctx->view, outcome, &answer) != NGX_OK
        || ngx_http_cred_headers(ctx, outcome, &answer) != NGX_OK)
    {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    ngx_http_cred_log(ctx, outcome);

    r->headers_out.status = answer.status;

    /* a precondition of the client cannot undo what was done */

    r->disable_not_modified = 1;

    return ngx_http_cred_send(r, &answer.body);
}


/* the log phase comes after the end of the operation */

ngx_int_t
ngx_http_cred_keep(ngx_http_cred_ctx_t *ctx, ngx_cred_outcome_t *outcome)
{
    ctx->result = ngx_cred_result_name(outcome->result);
    ctx->environments = outcome->nreceipts;
    ctx->pending = outcome->npending;
    ctx->not_deployed = outcome->nnot_deployed;
    ctx->superseded = outcome->nsuperseded;
    ctx->registry_time = outcome->registry_time;
    ctx->cascade_time = outcome->cascade_time;

    if (outcome->scope.len
        && ngx_http_cred_keep_string(ctx, &ctx->scope, &outcome->scope)
           != NGX_OK)
    {
        return NGX_ERROR;
    }

    if (ngx_http_cred_keep_string(ctx, &ctx->subject, &outcome->subject)
        != NGX_OK
        || ngx_http_cred_keep_replicas(ctx, outcome) != NGX_OK)
    {
        return NGX_ERROR;
    }

    return ngx_http_cred_keep_string(ctx, &ctx->operation, &outcome->operation);
}


static ngx_int_t
ngx_http_cred_keep_string(ngx_http_cred_ctx_t *ctx, ngx_str_t *dst,
    ngx_str_t *src)
{
    if (src->len == 0) {
        return NGX_OK;
    }

    dst->data = ngx_pstrdup(ctx->request->pool, src);
    if (dst->data == NULL) {
        return NGX_ERROR;
    }

    dst->len = src->len;

    return NGX_OK;
}


static ngx_int_t
ngx_http_cred_keep_replicas(ngx_http_cred_ctx_t *ctx,
    ngx_cred_outcome_t *outcome)
{
    u_char  *p;

    if (outcome->replicas_wanted == 0) {
        return NGX_OK;
    }

    p = ngx_pnalloc(ctx->request->pool, 2 * NGX_INT_T_LEN + 1);
    if (p == NULL) {
        return NGX_ERROR;
    }

    ctx->replicas.data = p;
    ctx->replicas.len = ngx_sprintf(p, "%ui/%ui", outcome->replicas,
                                    outcome->replicas_wanted)
                        - p;

    return NGX_OK;
}


static ngx_int_t
ngx_http_cred_headers(ngx_http_cred_ctx_t *ctx, ngx_cred_outcome_t *outcome,
    ngx_cred_answer_t *answer)
{
    ngx_uint_t           i;
    ngx_http_request_t  *r;

    r = ctx->request;

    if (answer->content_type.len
        && ngx_http_cred_content_type(r, answer) != NGX_OK)
    {
        return NGX_ERROR;
    }

    if (ngx_http_cred_header(r, &ngx_http_cred_cache_control,
                             &ngx_http_cred_no_store)
        == NULL
        || ngx_http_cred_no_expires(r) != NGX_OK)
    {
        return NGX_ERROR;
    }

    for (i = 0; i < answer->nextra; i++) {

        if (ngx_http_cred_header(r, &answer->extra[i].key,
                                 &answer->extra[i].value)
            == NULL)
        {
            return NGX_ERROR;
        }
    }

    if (ctx->operation.len
        && ngx_http_cred_header(r, &ngx_http_cred_operation, &ctx->operation)
           == NULL)
    {
        return NGX_ERROR;
    }

    if (ctx->replicas.len
        && ngx_http_cred_header(r, &ngx_http_cred_replicas, &ctx->replicas)
           == NULL)
    {
        return NGX_ERROR;
    }

    if (ctx->params.dry_run) {

        if (ngx_http_cred_dry_run(ctx, outcome) != NGX_OK) {
            return NGX_ERROR;
        }

    } else if (ctx->params.hurried
               && ngx_http_cred_applied(ctx, outcome) != NGX_OK)
    {
        return NGX_ERROR;
    }

    if (outcome->npending
        && ngx_http_cred_names_header(r, &ngx_http_cred_pending, outcome,
                                      NGX_CRED_PENDING)
           != NGX_OK)
    {
        return NGX_ERROR;
    }

    if (outcome->nsuperseded) {
        return ngx_http_cred_names_header(r, &ngx_http_cred_superseded,
                                          outcome, NGX_CRED_SUPERSEDED);
    }

    return NGX_OK;
}


/* a refusal waits for nobody, so there is nothing to apply it to */

static ngx_int_t
ngx_http_cred_applied(ngx_http_cred_ctx_t *ctx, ngx_cred_outcome_t *outcome)
{
    u_char     *p;
    ngx_str_t   value;

    if (outcome->operation.len == 0) {
        return NGX_OK;
    }

    p = ngx_pnalloc(ctx->request->pool, sizeof("wait=") - 1 + NGX_INT_T_LEN);
    if (p == NULL) {
        return NGX_ERROR;
    }

    value.data = p;
    value.len = ngx_sprintf(p, "wait=%ui", ctx->wait) - p;

    return ngx_http_cred_header(ctx->request, &ngx_http_cred_preference, &value)
           ? NGX_OK : NGX_ERROR;
}


/* a refusal has it, too: nothing was counted or audited */

static ngx_int_t
ngx_http_cred_dry_run(ngx_http_cred_ctx_t *ctx, ngx_cred_outcome_t *outcome)
{
    ngx_str_t  value;

    ngx_str_set(&value, "true");

    if (ngx_http_cred_header(ctx->request, &ngx_http_cred_dry, &value) == NULL)
    {
        return NGX_ERROR;
    }

    return ngx_http_cred_names_header(ctx->request,
                                      &ngx_http_cred_environments, outcome,
                                      NGX_CRED_NSTATES);
}


static ngx_int_t
ngx_http_cred_content_type(ngx_http_request_t *r, ngx_cred_answer_t *answer)
{
    u_char     *p, *last;
    ngx_str_t  *type;

    type = &answer->content_type;

    if (answer->status == NGX_HTTP_NO_CONTENT) {

        /* the header filter drops the field of its own */

        return ngx_http_cred_header(r, &ngx_http_cred_type, type) ? NGX_OK
                                                                  : NGX_ERROR;
    }

    r->headers_out.content_type = *type;
    r->headers_out.content_type_len = type->len;

    /* "charset" adds none then, "gzip_types" compares what is before it */

    last = type->data + type->len;
    p = ngx_strlchr(type->data, last, ';');

    if (p) {
        r->headers_out.content_type_len = p - type->data;

        r->headers_out.charset.data = p + sizeof(";charset=") - 1;
        r->headers_out.charset.len = last - r->headers_out.charset.data;
    }

    return NGX_OK;
}


/* "expires" writes its fields into these, which are not sent */

static ngx_int_t
ngx_http_cred_no_expires(ngx_http_request_t *r)
{
    ngx_table_elt_t   *h;
#if (nginx_version < 1023000)
    ngx_table_elt_t  **cc;
#endif

    h = ngx_pcalloc(r->pool, 2 * sizeof(ngx_table_elt_t));
    if (h == NULL) {
        return NGX_ERROR;
    }

    r->headers_out.expires = &h[0];

#if (nginx_version < 1023000)

    if (ngx_array_init(&r->headers_out.cache_control, r->pool, 1,
                       sizeof(ngx_table_elt_t *))
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    cc = ngx_array_push(&r->headers_out.cache_control);
    *cc = &h[1];

#else

    r->headers_out.cache_control = &h[1];

#endif

    return NGX_OK;
}


/*
 * The environments in this state, or all that an answer names; there is no such
 * field without any.
 */

static ngx_int_t
ngx_http_cred_names_header(ngx_http_request_t *r, ngx_str_t *key,
    ngx_cred_outcome_t *outcome, ngx_cred_state_e state)
{
    u_char              *p;
    size_t               len;
    ngx_str_t            value;
    ngx_uint_t           i;
    ngx_cred_receipt_t  *receipt;

    if (outcome->nreceipts == 0) {
        return NGX_OK;
    }

    len = 0;
    receipt = outcome->receipts;

    for (i = 0; i < outcome->nreceipts; i++) {
        len += 3 * receipt[i].name.len + 1;
    }

    p = ngx_pnalloc(r->pool, len);
    if (p == NULL) {
        return NGX_ERROR;
    }

    value.data = p;

    for (i = 0; i < outcome->nreceipts; i++) {

        if (state == NGX_CRED_NSTATES
            ? receipt[i].state == NGX_CRED_UNREGISTERED
            : receipt[i].state != state)
        {
            continue;
        }

        if (p != value.data) {
            *p++ = ',';
        }

        p = (u_char *) ngx_escape_uri(p, receipt[i].name.data,
                                      receipt[i].name.len,
                                      NGX_ESCAPE_URI_COMPONENT);
    }

    value.len = p - value.data;

    if (value.len == 0) {
        return NGX_OK;
    }

    return ngx_http_cred_header(r, key, &value) ? NGX_OK : NGX_ERROR;
}


ngx_table_elt_t *
ngx_http_cred_header(ngx_http_request_t *r, ngx_str_t *key, ngx_str_t *value)
{
    ngx_table_elt_t  *h;

    h = ngx_list_push(&r->headers_out.headers);
    if (h == NULL) {
        return NULL;
    }

    ngx_memzero(h, sizeof(ngx_table_elt_t));

    h->hash = 1;
    h->key = *key;
    h->value = *value;

    return h;
}


ngx_int_t
ngx_http_cred_send(ngx_http_request_t *r, ngx_str_t *body)
{
    ngx_int_t     rc;
    ngx_buf_t    *b;
    ngx_chain_t   out;

    r->headers_out.content_length_n = body->len;

    rc = ngx_http_send_header(r);

    if (rc == NGX_ERROR || rc > NGX_OK || r->header_only) {
        return rc;
    }

    b = ngx_calloc_buf(r->pool);
    if (b == NULL) {
        return NGX_ERROR;
    }

    b->pos = body->data;
    b->last = body->data + body->len;
    b->memory = body->len ? 1 : 0;
    b->last_buf = 1;
    b->last_in_chain = 1;

    out.buf = b;
    out.next = NULL;

    return ngx_http_output_filter(r, &out);
}
