
/*
 * Copyright (C) ngx_cred_module authors
 * SPDX-License-Identifier: BSD-2-Clause
 */


/* what a request of any API may ask for beside its delete */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>
#include <ngx_cred_fields.h>
#include <ngx_cred_http.h>


/* how often each was sent, and whether there was a preference "wait" */

typedef struct {
    ngx_uint_t  traceparent;
    ngx_uint_t  dry_run;
    ngx_int_t   wait;
} ngx_http_cred_fields_t;


static void ngx_http_cred_prefer_field(ngx_http_cred_ctx_t *ctx,
    ngx_http_cred_fields_t *sent, ngx_table_elt_t *header);
static void ngx_http_cred_prefer_wait(ngx_http_cred_ctx_t *ctx);
static void ngx_http_cred_prefer_dry_run(ngx_http_cred_ctx_t *ctx,
    ngx_str_t *value, ngx_uint_t first);
static ngx_uint_t ngx_http_cred_prefer_is(ngx_table_elt_t *header,
    const char *name);


/* all of them in one pass, since most requests have none */

void
ngx_http_cred_prefer(ngx_http_cred_ctx_t *ctx)
{
    ngx_uint_t               i;
    ngx_list_part_t         *part;
    ngx_table_elt_t         *header;
    ngx_http_cred_fields_t   sent;

    ngx_memzero(&sent, sizeof(ngx_http_cred_fields_t));

    sent.wait = NGX_DECLINED;

    for (part = &ctx->request->headers_in.headers.part; part; part = part->next)
    {
        header = part->elts;

        for (i = 0; i < part->nelts; i++) {
            ngx_http_cred_prefer_field(ctx, &sent, &header[i]);
        }
    }

    /* one of two cannot be told to be the right one */

    if (sent.traceparent > 1) {
        ngx_str_null(&ctx->params.traceparent);
    }

    if (sent.wait == NGX_OK) {
        ngx_http_cred_prefer_wait(ctx);
    }
}


/* a caller may be in more of a hurry than the operator, and not in less */

static void
ngx_http_cred_prefer_wait(ngx_http_cred_ctx_t *ctx)
{
    ngx_msec_t                 timeout;
    ngx_http_cred_loc_conf_t  *clcf;

    clcf = ngx_http_get_module_loc_conf(ctx->request, ngx_http_cred_module);

    timeout = (ngx_msec_t) ctx->wait * 1000;

    if (timeout <= clcf->registry->cascade_timeout) {
        ctx->params.cascade_timeout = timeout;
        ctx->params.hurried = 1;
    }
}


static void
ngx_http_cred_prefer_field(ngx_http_cred_ctx_t *ctx,
    ngx_http_cred_fields_t *sent, ngx_table_elt_t *header)
{
    switch (header->key.len) {

    case sizeof("prefer") - 1:

        if (sent->wait == NGX_DECLINED
            && ngx_http_cred_prefer_is(header, "prefer"))
        {
            sent->wait = ngx_cred_fields_wait(&header->value, &ctx->wait);
        }

        break;

    case sizeof("traceparent") - 1:

        if (ngx_http_cred_prefer_is(header, "traceparent")
            && ++sent->traceparent == 1
            && ngx_cred_fields_traceparent(&header->value) == NGX_OK)
        {
            ctx->params.traceparent = header->value;
        }

        break;

    case sizeof("cred-dry-run") - 1:

        if (ngx_http_cred_prefer_is(header, "cred-dry-run")) {
            ngx_http_cred_prefer_dry_run(ctx, &header->value,
                                         ++sent->dry_run == 1);
            return;
        }

        break;

    default:
        break;
    }

    /* "Cred-Dryrun": it would be deleted */

    if (header->key.len >= sizeof("cred-dry") - 1
        && ngx_memcmp(header->lowcase_key, "cred-dry", sizeof("cred-dry") - 1)
           == 0)
    {
        ctx->params.dry_run = 0;
        ctx->unclear = 1;
    }
}


/* whoever may have meant a dry run must not have anything deleted */

static void
ngx_http_cred_prefer_dry_run(ngx_http_cred_ctx_t *ctx, ngx_str_t *value,
    ngx_uint_t first)
{
    if (first && value->len == 4
        && ngx_strncasecmp(value->data, (u_char *) "true", 4) == 0)
    {
        ctx->params.dry_run = 1;
        return;
    }

    if (first && value->len == 5
        && ngx_strncasecmp(value->data, (u_char *) "false", 5) == 0)
    {
        return;
    }

    ctx->params.dry_run = 0;
    ctx->unclear = 1;
}


/* of the same length */

static ngx_uint_t
ngx_http_cred_prefer_is(ngx_table_elt_t *header, const char *name)
{
    return ngx_memcmp(header->lowcase_key, name, header->key.len) == 0;
}
