
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
    ngx_uint_t  revision;
    ngx_int_t   wait;
} ngx_http_cred_fields_t;


static void ngx_http_cred_prefer_field(ngx_http_cred_ctx_t *ctx,
    ngx_http_cred_fields_t *sent, ngx_table_elt_t *header);
static void ngx_http_cred_prefer_wait(ngx_http_cred_ctx_t *ctx);
static void ngx_http_cred_prefer_dry_run(ngx_http_cred_ctx_t *ctx,
    ngx_str_t *value, ngx_uint_t first);
static void ngx_http_cred_prefer_revision(ngx_http_cred_ctx_t *ctx,
    ngx_str_t *value, ngx_uint_t first);
static ngx_uint_t ngx_http_cred_prefer_begins(ngx_table_elt_t *header,
    const char *name);
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

    case sizeof("cred-revision") - 1:

        if (ngx_http_cred_prefer_is(header, "cred-revision")) {
            ngx_http_cred_prefer_revision(ctx, &header->value,
                                          ++sent->revision == 1);
            return;
        }

        break;

    default:
        break;
    }

    /* "Cred-Dryrun": it would be deleted */

    if (ngx_http_cred_prefer_begins(header, "cred-dry")) {
        ctx->params.dry_run = 0;
        ctx->fault = &ctx->api->bad_dry_run;

    } else if (ngx_http_cred_prefer_begins(header, "cred-revision")) {
        ngx_http_cred_prefer_revision(ctx, &header->value, 0);
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
    ctx->fault = &ctx->api->bad_dry_run;
}


/* nor may what is newer than somebody may have meant be */

static void
ngx_http_cred_prefer_revision(ngx_http_cred_ctx_t *ctx, ngx_str_t *value,
    ngx_uint_t first)
{
    if (first && ngx_cred_fields_revision(value) == NGX_OK) {
        ctx->params.revision = *value;
        return;
    }

    /* of two that are bad the dry run is told of */

    if (ctx->fault == NULL) {
        ctx->fault = &ctx->api->bad_revision;
    }
}


static ngx_uint_t
ngx_http_cred_prefer_begins(ngx_table_elt_t *header, const char *name)
{
    size_t  len;

    len = ngx_strlen(name);

    return header->key.len >= len
           && ngx_memcmp(header->lowcase_key, name, len) == 0;
}


/* of the same length */

static ngx_uint_t
ngx_http_cred_prefer_is(ngx_table_elt_t *header, const char *name)
{
    return ngx_memcmp(header->lowcase_key, name, header->key.len) == 0;
}
