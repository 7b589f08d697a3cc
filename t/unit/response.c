
/*
 * Copyright (C) ngx_cred_module authors
 * SPDX-License-Identifier: BSD-2-Clause
 */


#include <response.h>


#define NOW  784111777       /* Sun, 06 Nov 1994 08:49:37 GMT */


static ngx_str_t *response_show(ngx_cred_web_parser_t *parser, ngx_int_t rc,
    ngx_uint_t keep);


static ngx_time_t  now = { NOW, 0, 0 };


void
response_start(void)
{
    unit_start();

    ngx_cached_time = &now;
}


ngx_str_t *
response_parse(ngx_str_t *text, size_t first, size_t chunk, size_t size,
    ngx_uint_t head, ngx_uint_t clean)
{
    size_t                  n, fed;
    ngx_int_t               rc;
    ngx_str_t              *piece, *result;
    ngx_cred_web_parser_t  *parser;

    parser = ngx_cred_web_parser_create(&unit_log, head);

    if (parser == NULL) {
        return unit_string("no parser");
    }

    rc = NGX_AGAIN;
    n = first;

    for (fed = 0; fed < size && rc == NGX_AGAIN; fed += n) {
        n = ngx_min(fed ? chunk : first, size - fed);

        /* nothing may be read around it, nor kept of it */

        piece = unit_bytes((char *) text->data + fed, n);
        rc = ngx_cred_web_parser_feed(parser, piece->data, n);
        ngx_pfree(unit_pool, piece->data);
    }

    if (rc == NGX_AGAIN) {
        rc = ngx_cred_web_parser_end(parser, clean);

        if (rc == NGX_ERROR) {
            rc = NGX_AGAIN;
        }
    }

    result = response_show(parser, rc,
                           rc == NGX_OK && parser->keep && fed == size);

    ngx_cred_web_parser_destroy(parser);

    return result;
}


/* what a parser has made of it; a long body by its length */

static ngx_str_t *
response_show(ngx_cred_web_parser_t *parser, ngx_int_t rc, ngx_uint_t keep)
{
    u_char                   *p, *last;
    ngx_cred_web_response_t  *response;
    u_char                    buf[4096];

    if (rc == NGX_AGAIN) {
        return unit_string("again");
    }

    if (rc == NGX_ERROR) {
        return unit_format("error: %s", parser->err);
    }

    response = &parser->response;
    p = buf;
    last = buf + sizeof(buf);

    p = ngx_slprintf(p, last, "%ui %s", response->status,
                     keep ? "keep" : "close");

    if (response->body.len > 1024) {
        p = ngx_slprintf(p, last, " %uz bytes", response->body.len);

    } else if (response->body.len) {
        p = ngx_slprintf(p, last, " [%V]", &response->body);
    }

    if (response->etag.len) {
        p = ngx_slprintf(p, last, " etag(%V)", &response->etag);
    }

    if (response->location.len) {
        p = ngx_slprintf(p, last, " location(%V)", &response->location);
    }

    if (response->retry_after != NGX_ERROR) {
        p = ngx_slprintf(p, last, " retry(%i)", response->retry_after);
    }

    if (response->encoded) {
        p = ngx_slprintf(p, last, " encoded");
    }

    return unit_bytes((char *) buf, p - buf);
}
