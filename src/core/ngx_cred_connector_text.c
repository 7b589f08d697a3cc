
/*
 * Copyright (C) ngx_cred_module authors
 * SPDX-License-Identifier: BSD-2-Clause
 */


/* the text of a request: line, header and body (RFC 9112) */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_cred_core.h>
#include <ngx_cred_connector.h>


typedef struct {
    ngx_str_t                    path;
    ngx_str_t                   *values;    /* of connector->headers */
    ngx_str_t                    webhook;   /* lines */
    ngx_str_t                    body;
    unsigned                     hosted:1;  /* there is a "Host" ... */
    unsigned                     typed:1;   /* ... or a "Content-Type" */
} ngx_cred_connector_parts_t;


static ngx_int_t ngx_cred_connector_fill(ngx_pool_t *pool,
    ngx_cred_connector_request_t *request, ngx_cred_connector_parts_t *parts,
    ngx_str_t *err);
static ngx_int_t ngx_cred_connector_headers(ngx_pool_t *pool,
    ngx_cred_connector_request_t *request, ngx_cred_connector_parts_t *parts,
    ngx_str_t *err);
static size_t ngx_cred_connector_length(ngx_cred_connector_request_t *request,
    ngx_cred_connector_parts_t *parts);
static ngx_uint_t ngx_cred_connector_counted(
    ngx_cred_connector_request_t *request, ngx_cred_connector_parts_t *parts);


static const char  ngx_cred_connector_fields[] =
    "User-Agent: ngx_cred_module/" NGX_CRED_VERSION CRLF
    "Accept: */*" CRLF;


ngx_int_t
ngx_cred_connector_text(ngx_pool_t *pool,
    ngx_cred_connector_request_t *request, ngx_str_t *text, ngx_str_t *err)
{
    u_char                       *p;
    ngx_int_t                     rc;
    ngx_uint_t                    i;
    ngx_cred_connector_t         *connector;
    ngx_cred_connector_parts_t    parts;
    ngx_cred_connector_header_t  *header;

    ngx_memzero(&parts, sizeof(ngx_cred_connector_parts_t));

    ngx_str_set(&parts.webhook, "");
    ngx_str_set(&parts.body, "");

    rc = ngx_cred_connector_fill(pool, request, &parts, err);

    if (rc != NGX_OK) {
        return rc;
    }

    connector = request->connector;

    p = ngx_pnalloc(pool, ngx_cred_connector_length(request, &parts));
    if (p == NULL) {
        return NGX_ERROR;
    }

    text->data = p;

    p = ngx_sprintf(p, "%V %V%V HTTP/1.1" CRLF, &request->call->method,
                    &connector->base, &parts.path);

    if (!parts.hosted) {
        p = ngx_sprintf(p, "Host: %V" CRLF, &connector->host);
    }

    p = ngx_cpymem(p, ngx_cred_connector_fields,
                   sizeof(ngx_cred_connector_fields) - 1);

    header = connector->headers.elts;

    for (i = 0; i < connector->headers.nelts; i++) {
        p = ngx_sprintf(p, "%V: %V" CRLF, &header[i].name, &parts.values[i]);
    }

    if (request->etag.len) {
        p = ngx_sprintf(p, "If-Match: %V" CRLF, &request->etag);
    }

    if (request->trace.len) {
        p = ngx_sprintf(p, "traceparent: %V" CRLF, &request->trace);
    }

    if (parts.webhook.len) {
        p = ngx_cpymem(p, parts.webhook.data, parts.webhook.len);
    }

    if (parts.body.len && !parts.typed) {
        p = ngx_cpymem(p, "Content-Type: application/json" CRLF,
                       sizeof("Content-Type: application/json" CRLF) - 1);
    }

    if (ngx_cred_connector_counted(request, &parts)) {
        p = ngx_sprintf(p, "Content-Length: %uz" CRLF, parts.body.len);
    }

    *p++ = CR; *p++ = LF;

    if (parts.body.len) {
        p = ngx_cpymem(p, parts.body.data, parts.body.len);
    }

    text->len = p - text->data;

    return NGX_OK;
}


static ngx_int_t
ngx_cred_connector_fill(ngx_pool_t *pool,
    ngx_cred_connector_request_t *request, ngx_cred_connector_parts_t *parts,
    ngx_str_t *err)
{
    ngx_int_t              rc;
    ngx_cred_connector_t  *connector;

    connector = request->connector;

    rc = ngx_cred_template_fill(pool, &request->call->path, request->values,
                                &parts->path, err);
    if (rc != NGX_OK) {
        return rc;
    }

    if (parts->path.len > NGX_CRED_CONNECTOR_PATH) {
        ngx_str_set(err, "the path is too long");
        return NGX_DECLINED;
    }

    rc = ngx_cred_connector_headers(pool, request, parts, err);

    if (rc != NGX_OK || request->call != &connector->request
        || connector->body.parts.nelts == 0)
    {
        return rc;
    }

    rc = ngx_cred_template_fill(pool, &connector->body, request->values,
                                &parts->body, err);
    if (rc != NGX_OK) {
        return rc;
    }

    if (parts->body.len > NGX_CRED_CONNECTOR_BODY) {
        ngx_str_set(err, "the body is too long");
        return NGX_DECLINED;
    }

    if (!connector->webhook) {
        return NGX_OK;
    }

    return ngx_cred_webhook_sign(pool, connector, request->values, ngx_time(),
                                 &parts->body, &parts->webhook);
}


static ngx_int_t
ngx_cred_connector_headers(ngx_pool_t *pool,
    ngx_cred_connector_request_t *request, ngx_cred_connector_parts_t *parts,
    ngx_str_t *err)
{
    ngx_int_t                     rc;
    ngx_uint_t                    i;
    ngx_array_t                  *headers;
    ngx_cred_connector_header_t  *header;

    headers = &request->connector->headers;
    header = headers->elts;

    if (headers->nelts == 0) {
        return NGX_OK;
    }

    parts->values = ngx_pcalloc(pool, headers->nelts * sizeof(ngx_str_t));
    if (parts->values == NULL) {
        return NGX_ERROR;
    }

    for (i = 0; i < headers->nelts; i++) {

        rc = ngx_cred_template_fill(pool, &header[i].value, request->values,
                                    &parts->values[i], err);
        if (rc != NGX_OK) {
            return rc;
        }

        parts->hosted |= ngx_cred_connector_is_name(&header[i].name, "Host");
        parts->typed |= ngx_cred_connector_is_name(&header[i].name,
                                                   "Content-Type");
    }

    return NGX_OK;
}


/* at most */

static size_t
ngx_cred_connector_length(ngx_cred_connector_request_t *request,
    ngx_cred_connector_parts_t *parts)
{
    size_t                        len;
    ngx_uint_t                    i;
    ngx_cred_connector_t         *connector;
    ngx_cred_connector_header_t  *header;

    connector = request->connector;

    len = request->call->method.len + connector->base.len + parts->path.len
          + connector->host.len + request->etag.len + request->trace.len
          + parts->webhook.len + parts->body.len
          + sizeof(ngx_cred_connector_fields)
          + sizeof("  HTTP/1.1" CRLF "Host: " CRLF
                   "If-Match: " CRLF "traceparent: " CRLF
                   "Content-Type: application/json" CRLF
                   "Content-Length: " CRLF CRLF) - 1
          + NGX_SIZE_T_LEN;

    header = connector->headers.elts;

    for (i = 0; i < connector->headers.nelts; i++) {
        len += header[i].name.len + parts->values[i].len
               + sizeof(": " CRLF) - 1;
    }

    return len;
}


/* a method whose requests have a body says so when there is none, too */

static ngx_uint_t
ngx_cred_connector_counted(ngx_cred_connector_request_t *request,
    ngx_cred_connector_parts_t *parts)
{
    ngx_str_t  *method;

    method = &request->call->method;

    return parts->body.len
           || (method->len == 4
               && ngx_strncmp(method->data, "POST", 4) == 0)
           || (method->len == 3 && ngx_strncmp(method->data, "PUT", 3) == 0)
           || (method->len == 5
               && ngx_strncmp(method->data, "PATCH", 5) == 0);
}
