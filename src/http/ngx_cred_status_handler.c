
/*
 * Copyright (C) ngx_cred_module authors
 * SPDX-License-Identifier: BSD-2-Clause
 */


/* a location that shows the state: what is asked for, and the answer */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>
#include <ngx_cred_status_http.h>
#include <ngx_cred_scripts.h>


static ngx_int_t ngx_http_cred_status_arguments(
    ngx_http_cred_status_ctx_t *ctx);
static ngx_int_t ngx_http_cred_status_argument(ngx_http_request_t *r,
    const char *name, ngx_str_t *value);
static ngx_int_t ngx_http_cred_status_credential(ngx_http_request_t *r,
    ngx_str_t *value, ngx_str_t *names);
static ngx_http_cred_status_ctx_t *ngx_http_cred_status_create_ctx(
    ngx_http_request_t *r);
static ngx_int_t ngx_http_cred_status_wait(ngx_http_cred_status_ctx_t *ctx);
static void ngx_http_cred_status_answer(ngx_cred_survey_t *survey);
static ngx_int_t ngx_http_cred_status_show(ngx_http_cred_status_ctx_t *ctx);
static ngx_int_t ngx_http_cred_status_rows(ngx_http_cred_status_ctx_t *ctx);
static int ngx_libc_cdecl ngx_http_cred_status_compare(const void *one,
    const void *two);
static ngx_int_t ngx_http_cred_status_refuse(ngx_http_request_t *r,
    ngx_uint_t status, const char *error);
static ngx_int_t ngx_http_cred_status_send(ngx_http_request_t *r,
    ngx_uint_t status, ngx_http_cred_status_e format, ngx_str_t *body);
static void ngx_http_cred_status_cleanup(void *data);


static ngx_str_t  ngx_http_cred_status_page =
    ngx_string(NGX_HTTP_CRED_STATUS_PAGE);

/* in the order of ngx_http_cred_status_e */

static ngx_str_t  ngx_http_cred_status_types[] = {
    ngx_null_string,
    ngx_string("application/json"),
    ngx_string("text/plain; version=0.0.4; charset=utf-8"),
    ngx_string("text/html; charset=utf-8")
};

/* the page's is in place of "html", whose outcome the others cannot change */

static ngx_keyval_t  ngx_http_cred_status_headers[] = {
    { ngx_string("Cache-Control"), ngx_string("no-store") },
    { ngx_string("X-Content-Type-Options"), ngx_string("nosniff") },
    { ngx_string("Referrer-Policy"), ngx_string("no-referrer") },
    { ngx_string("Content-Security-Policy"),
      ngx_string(NGX_HTTP_CRED_STATUS_CSP) },
    { ngx_null_string, ngx_null_string }
};


ngx_int_t
ngx_http_cred_status_handler(ngx_http_request_t *r)
{
    ngx_int_t                    rc;
    ngx_http_cred_status_ctx_t  *ctx;

    if (!(r->method & (NGX_HTTP_GET|NGX_HTTP_HEAD))) {
        return NGX_HTTP_NOT_ALLOWED;
    }

    rc = ngx_http_discard_request_body(r);

    if (rc != NGX_OK) {
        return rc;
    }

    ctx = ngx_http_cred_status_create_ctx(r);
    if (ctx == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    rc = ngx_http_cred_status_arguments(ctx);

    if (rc == NGX_ERROR) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    if (rc == NGX_DECLINED) {
        return ngx_http_cred_status_refuse(r, NGX_HTTP_BAD_REQUEST,
                                           "bad request");
    }

    if (ctx->format == NGX_HTTP_CRED_STATUS_HTML) {
        return ngx_http_cred_status_send(r, NGX_HTTP_OK, ctx->format,
                                         &ngx_http_cred_status_page);
    }

    if (ctx->registry == NULL) {
        return ngx_http_cred_status_show(ctx);
    }

    rc = ngx_cred_survey(ctx->registry, ctx->what, ctx->names,
                         ngx_http_cred_status_answer, ctx, &ctx->survey);

    if (rc == NGX_AGAIN) {
        return ngx_http_cred_status_wait(ctx);
    }

    return (rc == NGX_OK) ? ngx_http_cred_status_show(ctx)
                          : NGX_HTTP_INTERNAL_SERVER_ERROR;
}


static ngx_http_cred_status_ctx_t *
ngx_http_cred_status_create_ctx(ngx_http_request_t *r)
{
    ngx_pool_cleanup_t          *cln;
    ngx_http_cred_loc_conf_t    *clcf;
    ngx_http_cred_status_ctx_t  *ctx;

    cln = ngx_pool_cleanup_add(r->pool, sizeof(ngx_http_cred_status_ctx_t));
    if (cln == NULL) {
        return NULL;
    }

    ctx = cln->data;
    ngx_memzero(ctx, sizeof(ngx_http_cred_status_ctx_t));

    cln->handler = ngx_http_cred_status_cleanup;

    clcf = ngx_http_get_module_loc_conf(r, ngx_http_cred_module);

    ctx->request = r;
    ctx->registry = clcf->registry;
    ctx->format = clcf->status;
    ctx->what = NGX_CRED_SURVEY_ALL;

    return ctx;
}


/* NGX_DECLINED: there is no such format, or there is too much */

static ngx_int_t
ngx_http_cred_status_arguments(ngx_http_cred_status_ctx_t *ctx)
{
    ngx_int_t   rc;
    ngx_str_t   value;
    ngx_uint_t  i;

    static struct {
        const char              *name;
        ngx_cred_survey_what_e   what;
    } details[] = {
        { "operation", NGX_CRED_SURVEY_OPERATION },
        { "environment", NGX_CRED_SURVEY_ENVIRONMENT },
        { "credential", NGX_CRED_SURVEY_CREDENTIAL }
    };

    rc = ngx_http_cred_status_argument(ctx->request, "format", &value);

    if (rc == NGX_OK) {
        ctx->format = ngx_http_cred_status_format(&value);

        if (ctx->format == NGX_HTTP_CRED_STATUS_OFF) {
            return NGX_DECLINED;
        }

    } else if (rc != NGX_DECLINED) {
        return rc;
    }

    for (i = 0; i < sizeof(details) / sizeof(details[0]); i++) {

        rc = ngx_http_cred_status_argument(ctx->request, details[i].name,
                                           &ctx->names[0]);
        if (rc == NGX_DECLINED) {
            continue;
        }

        if (rc != NGX_OK) {
            return rc;
        }

        ctx->what = details[i].what;

        if (ctx->format == NGX_HTTP_CRED_STATUS_PROMETHEUS) {
            return NGX_DECLINED;
        }

        return (ctx->what == NGX_CRED_SURVEY_CREDENTIAL)
               ? ngx_http_cred_status_credential(ctx->request, &ctx->names[0],
                                                 ctx->names)
               : NGX_OK;
    }

    return NGX_OK;
}


/* NGX_DECLINED: it is not there */

static ngx_int_t
ngx_http_cred_status_argument(ngx_http_request_t *r, const char *name,
    ngx_str_t *value)
{
    u_char     *dst, *src;
    ngx_str_t   raw;

    if (ngx_http_arg(r, (u_char *) name, ngx_strlen(name), &raw) != NGX_OK) {
        return NGX_DECLINED;
    }

    value->data = ngx_pnalloc(r->pool, raw.len + 1);
    if (value->data == NULL) {
        return NGX_ERROR;
    }

    src = raw.data;
    dst = value->data;

    ngx_unescape_uri(&dst, &src, raw.len, 0);

    value->len = dst - value->data;

    return NGX_OK;
}


/* API:SCOPE:ID, in which "%" and ":" of names are escaped as in keys */

static ngx_int_t
ngx_http_cred_status_credential(ngx_http_request_t *r, ngx_str_t *value,
    ngx_str_t *names)
{
    u_char      *p, *last, *src, *dst;
    ngx_str_t    part;
    ngx_uint_t   i;

    p = value->data;
    last = value->data + value->len;

    for (i = 0; i < NGX_CRED_SURVEY_NAMES; i++) {
        part.data = p;

        p = (i == NGX_CRED_SURVEY_NAMES - 1) ? last : ngx_strlchr(p, last, ':');
        if (p == NULL) {
            return NGX_DECLINED;
        }

        part.len = p++ - part.data;

        names[i].data = ngx_pnalloc(r->pool, part.len + 1);
        if (names[i].data == NULL) {
            return NGX_ERROR;
        }

        src = part.data;
        dst = names[i].data;

        ngx_unescape_uri(&dst, &src, part.len, 0);

        names[i].len = dst - names[i].data;
    }

    return NGX_OK;
}


static ngx_int_t
ngx_http_cred_status_wait(ngx_http_cred_status_ctx_t *ctx)
{
    ngx_http_request_t  *r;

    r = ctx->request;

    r->read_event_handler = ngx_http_test_reading;
    r->write_event_handler = ngx_http_request_empty_handler;

    if (r->connection->read->ready) {

        /* a client that hung up at once is not told of again */

        ngx_post_event(r->connection->read, &ngx_posted_events);

    } else if (ngx_handle_read_event(r->connection->read, 0) != NGX_OK) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    r->main->count++;

    return NGX_DONE;
}


static void
ngx_http_cred_status_answer(ngx_cred_survey_t *survey)
{
    ngx_int_t                    rc;
    ngx_connection_t            *c;
    ngx_http_request_t          *r;
    ngx_http_cred_status_ctx_t  *ctx;

    ctx = survey->data;
    r = ctx->request;
    c = r->connection;

    ngx_http_set_log_request(c->log, r);

    /*
     * A client that hangs up does not end a request with "post_action", but
     * redirects it: there is no one to answer, and the request is another's.
     */

    if (r->write_event_handler != ngx_http_request_empty_handler) {
        return;
    }

    rc = ngx_http_cred_status_show(ctx);

    ngx_http_finalize_request(r, rc);

    ngx_http_run_posted_requests(c);
}


static ngx_int_t
ngx_http_cred_status_show(ngx_http_cred_status_ctx_t *ctx)
{
    ngx_int_t            rc;
    ngx_str_t            body;
    ngx_http_request_t  *r;

    r = ctx->request;

    if (ctx->what != NGX_CRED_SURVEY_ALL) {

        if (ctx->registry == NULL) {
            return ngx_http_cred_status_refuse(r, NGX_HTTP_NOT_FOUND,
                                               "there is no registry here");
        }

        if (!ngx_http_cred_status_answered(ctx)) {
            return ngx_http_cred_status_refuse(r, NGX_HTTP_SERVICE_UNAVAILABLE,
                                               "no word from the registry");
        }

        rc = ngx_http_cred_status_details(ctx, &body);

        if (rc == NGX_DECLINED) {
            return ngx_http_cred_status_refuse(r, NGX_HTTP_NOT_FOUND,
                                               "no such operation");
        }

    } else if (ngx_http_cred_status_rows(ctx) != NGX_OK) {
        rc = NGX_ERROR;

    } else if (ctx->format == NGX_HTTP_CRED_STATUS_PROMETHEUS) {
        rc = ngx_http_cred_status_prometheus(ctx, &body);

    } else {
        rc = ngx_http_cred_status_json(ctx, &body);
    }

    if (rc != NGX_OK) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    return ngx_http_cred_status_send(r, NGX_HTTP_OK, ctx->format, &body);
}


/* all that the registry names, and others that there was something of */

static ngx_int_t
ngx_http_cred_status_rows(ngx_http_cred_status_ctx_t *ctx)
{
    ngx_uint_t                      i, n, count;
    ngx_http_cred_status_row_t     *row;
    ngx_cred_status_environment_t  *status;

    if (ctx->registry == NULL) {
        return NGX_OK;
    }

    count = ctx->survey->nenvironments;

    for (n = 0; ngx_cred_status_next(ctx->registry, &n); count++) { /* void */ }

    row = ngx_pcalloc(ctx->request->pool,
                      (count + 1) * sizeof(ngx_http_cred_status_row_t));
    if (row == NULL) {
        return NGX_ERROR;
    }

    ctx->rows = row;

    for (i = 0; i < ctx->survey->nenvironments; i++, row++) {
        row->survey = &ctx->survey->environments[i];
        row->name = row->survey->name;
        row->status = ngx_cred_status_find(ctx->registry, &row->name);
    }

    /* others may be made meanwhile */

    for (n = 0; row < ctx->rows + count; /* void */ ) {
        status = ngx_cred_status_next(ctx->registry, &n);

        if (status == NULL) {
            break;
        }

        for (i = 0; i < ctx->survey->nenvironments; i++) {
            if (ctx->rows[i].status == status) {
                break;
            }
        }

        if (i == ctx->survey->nenvironments) {
            row->name.data = status->name;
            row->name.len = status->name_len;
            row->status = status;
            row++;
        }
    }

    ctx->nrows = row - ctx->rows;

    ngx_qsort(ctx->rows, ctx->nrows, sizeof(ngx_http_cred_status_row_t),
              ngx_http_cred_status_compare);

    return NGX_OK;
}


static int ngx_libc_cdecl
ngx_http_cred_status_compare(const void *one, const void *two)
{
    const ngx_http_cred_status_row_t  *first, *second;

    first = one;
    second = two;

    return (int) ngx_memn2cmp(first->name.data, second->name.data,
                              first->name.len, second->name.len);
}


ngx_uint_t
ngx_http_cred_status_is_known(ngx_http_cred_status_ctx_t *ctx,
    ngx_http_cred_status_row_t *row)
{
    return row->survey || !ngx_http_cred_status_answered(ctx)
           || ctx->survey->more;
}


ngx_uint_t
ngx_http_cred_status_answered(ngx_http_cred_status_ctx_t *ctx)
{
    return ctx->survey && ctx->survey->error.len == 0;
}


ngx_uint_t
ngx_http_cred_status_registry_up(ngx_http_cred_status_ctx_t *ctx)
{
    ngx_cred_status_view_t  view;

    if (ngx_http_cred_status_answered(ctx) || !ctx->survey->refused) {
        return ngx_http_cred_status_answered(ctx);
    }

    /* it may only be that its user has not the rights to tell */

    ngx_cred_status_view(ngx_cred_status_find_registry(ctx->registry), &view);

    return (view.state == NGX_CRED_STATUS_UP);
}


off_t
ngx_http_cred_status_age(ngx_http_cred_status_ctx_t *ctx, off_t since)
{
    return since ? ngx_max(ctx->survey->now - since, 0) : -1;
}


static ngx_int_t
ngx_http_cred_status_refuse(ngx_http_request_t *r, ngx_uint_t status,
    const char *error)
{
    ngx_str_t  text, body;

    text.data = (u_char *) error;
    text.len = ngx_strlen(error);

    if (ngx_http_cred_status_error(r, &text, &body) != NGX_OK) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    return ngx_http_cred_status_send(r, status, NGX_HTTP_CRED_STATUS_JSON,
                                     &body);
}


static ngx_int_t
ngx_http_cred_status_send(ngx_http_request_t *r, ngx_uint_t status,
    ngx_http_cred_status_e format, ngx_str_t *body)
{
    ngx_keyval_t  *header;

    for (header = ngx_http_cred_status_headers; header->key.len; header++) {

        if (ngx_http_cred_header(r, &header->key, &header->value) == NULL) {
            return NGX_HTTP_INTERNAL_SERVER_ERROR;
        }
    }

    r->headers_out.status = status;
    r->headers_out.content_type = ngx_http_cred_status_types[format];
    r->headers_out.content_type_len = r->headers_out.content_type.len;
    r->headers_out.content_type_lowcase = NULL;

    r->disable_not_modified = 1;

    return ngx_http_cred_send(r, body);
}


static void
ngx_http_cred_status_cleanup(void *data)
{
    ngx_http_cred_status_ctx_t *ctx = data;

    if (ctx->survey) {
        ngx_cred_survey_done(ctx->survey);
        ctx->survey = NULL;
    }
}
