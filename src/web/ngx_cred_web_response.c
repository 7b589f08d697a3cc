
/*
 * Copyright (C) ngx_cred_module authors
 * SPDX-License-Identifier: BSD-2-Clause
 */


/* responses, by nginx's own parsers: where they end, and what is in between */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>
#include <ngx_http.h>
#include <ngx_cred_web_connection.h>


#define NGX_CRED_WEB_TLS_ALERT    0x15
#define NGX_CRED_WEB_BODY_FIRST   1024           /* what is allocated first */


#if (nginx_version >= 1027002)
#define ngx_cred_web_parse_chunked(r, b, ctx)                                 \
    ngx_http_parse_chunked(r, b, ctx, 0)
#else
#define ngx_cred_web_parse_chunked(r, b, ctx)                                 \
    ngx_http_parse_chunked(r, b, ctx)
#endif


static ngx_int_t ngx_cred_web_header(ngx_cred_web_parser_t *parser);
static ngx_int_t ngx_cred_web_line(ngx_cred_web_parser_t *parser);
static ngx_int_t ngx_cred_web_fields(ngx_cred_web_parser_t *parser);
static void ngx_cred_web_fresh(ngx_cred_web_parser_t *parser);
static ngx_int_t ngx_cred_web_frame(ngx_cred_web_parser_t *parser);
static ngx_int_t ngx_cred_web_body(ngx_cred_web_parser_t *parser, u_char *data,
    size_t len);
static ngx_int_t ngx_cred_web_chunks(ngx_cred_web_parser_t *parser,
    u_char *data, size_t len);
static void ngx_cred_web_tail(ngx_cred_web_parser_t *parser, u_char *data,
    size_t len);
static void ngx_cred_web_trailers(ngx_cred_web_parser_t *parser);
static ngx_int_t ngx_cred_web_append(ngx_cred_web_parser_t *parser,
    u_char *data, size_t len);
static ngx_int_t ngx_cred_web_whole(ngx_cred_web_parser_t *parser,
    size_t surplus);


ngx_cred_web_parser_t *
ngx_cred_web_parser_create(ngx_log_t *log, ngx_uint_t head)
{
    ngx_cred_web_parser_t  *parser;

    parser = ngx_alloc(sizeof(ngx_cred_web_parser_t), log);
    if (parser == NULL) {
        return NULL;
    }

    ngx_memzero(parser, offsetof(ngx_cred_web_parser_t, data));

    parser->head = head;

    parser->request.connection = &parser->connection;
    parser->connection.log = log;

    parser->header.pos = parser->data;
    parser->header.last = parser->data;
    parser->header.end = parser->data + NGX_CRED_WEB_HEADER;

    ngx_cred_web_fresh(parser);

    return parser;
}


void
ngx_cred_web_parser_destroy(ngx_cred_web_parser_t *parser)
{
    if (parser->size) {
        ngx_free(parser->response.body.data);
    }

    ngx_free(parser);
}


ngx_int_t
ngx_cred_web_parser_feed(ngx_cred_web_parser_t *parser, u_char *data,
    size_t len)
{
    size_t      n;
    ngx_int_t   rc;
    ngx_buf_t  *header;

    if (parser->part >= NGX_CRED_WEB_NONE) {
        return ngx_cred_web_body(parser, data, len);
    }

    /* what the parsers point to must stay where it is */

    header = &parser->header;

    n = ngx_min(len, (size_t) (header->end - header->last));
    header->last = ngx_cpymem(header->last, data, n);

    rc = ngx_cred_web_header(parser);

    if (rc == NGX_AGAIN && header->last == header->end) {
        return ngx_cred_web_wrong(parser, "the header is too long");
    }

    if (rc != NGX_OK) {
        return rc;
    }

    n -= header->last - header->pos;
    header->last = header->pos;

    return ngx_cred_web_body(parser, data + n, len - n);
}


ngx_int_t
ngx_cred_web_parser_end(ngx_cred_web_parser_t *parser, ngx_uint_t clean)
{
    if (parser->part != NGX_CRED_WEB_CLOSE || !clean) {
        return NGX_ERROR;
    }

    return ngx_cred_web_whole(parser, 0);
}


static ngx_int_t
ngx_cred_web_header(ngx_cred_web_parser_t *parser)
{
    ngx_int_t  rc;

    for ( ;; ) {

        if (parser->part == NGX_CRED_WEB_LINE) {
            rc = ngx_cred_web_line(parser);

            if (rc != NGX_OK) {
                return rc;
            }

            parser->part = NGX_CRED_WEB_FIELDS;
        }

        rc = ngx_cred_web_fields(parser);

        if (rc != NGX_OK) {
            return rc;
        }

        if (parser->line.code >= 200) {
            return ngx_cred_web_frame(parser);
        }

        if (++parser->interim > NGX_CRED_WEB_INTERIM) {
            return ngx_cred_web_wrong(parser, "too many interim responses");
        }

        ngx_cred_web_fresh(parser);
    }
}


static ngx_int_t
ngx_cred_web_line(ngx_cred_web_parser_t *parser)
{
    ngx_int_t           rc;
    ngx_http_status_t  *line;

    line = &parser->line;

    rc = ngx_http_parse_status_line(&parser->request, &parser->header, line);

    if (rc == NGX_AGAIN) {
        return NGX_AGAIN;
    }

    if (rc != NGX_OK) {

        if (parser->data[0] == NGX_CRED_WEB_TLS_ALERT) {
            return ngx_cred_web_wrong(parser, "an alert of TLS, which "
                                              "\"https://\" speaks");
        }

        return ngx_cred_web_wrong(parser, "no status line of HTTP/1.1");
    }

    if (parser->request.http_major != 1) {
        return ngx_cred_web_wrong(parser, "another version than HTTP/1.1");
    }

    /* the parser skips spaces between the digits */

    if (ngx_atoi(line->start, 3) != (ngx_int_t) line->code
        || line->code < 100 || line->code > 599)
    {
        return ngx_cred_web_wrong(parser, "no such status");
    }

    if (line->code == 101) {
        return ngx_cred_web_wrong(parser, "another protocol, not asked for");
    }

    return NGX_OK;
}


static ngx_int_t
ngx_cred_web_fields(ngx_cred_web_parser_t *parser)
{
    ngx_int_t  rc;

    for ( ;; ) {
        rc = ngx_http_parse_header_line(&parser->request, &parser->header, 1);

        if (rc == NGX_AGAIN) {
            return NGX_AGAIN;
        }

        if (rc == NGX_HTTP_PARSE_HEADER_DONE) {
            return NGX_OK;
        }

        if (rc != NGX_OK) {
            return ngx_cred_web_wrong(parser, "an invalid header");
        }

        if (ngx_cred_web_field(parser) != NGX_OK) {
            return NGX_ERROR;
        }
    }
}


/* nothing of an interim response stays, but for its place in the buffer */

static void
ngx_cred_web_fresh(ngx_cred_web_parser_t *parser)
{
    ngx_memzero(&parser->line, sizeof(ngx_http_status_t));
    ngx_memzero(&parser->response, sizeof(ngx_cred_web_response_t));

    parser->response.retry_after = NGX_ERROR;

    parser->part = NGX_CRED_WEB_LINE;
    parser->length = -1;
    parser->coded = 0;
    parser->close = 0;
    parser->persist = 0;
}


/* where the response ends, by RFC 9112, 6.3 */

static ngx_int_t
ngx_cred_web_frame(ngx_cred_web_parser_t *parser)
{
    ngx_uint_t  status;

    status = parser->line.code;

    parser->response.status = status;
    parser->keep = !parser->close
                   && (parser->persist || parser->line.http_version >= 1001);

    if (parser->coded
        && (parser->length != -1 || parser->line.http_version < 1001))
    {
        return ngx_cred_web_wrong(parser, "ambiguous length");
    }

    if (parser->head || status == NGX_HTTP_NO_CONTENT
        || status == NGX_HTTP_NOT_MODIFIED)
    {
        /* whoever promises a body where none may be might send it */

        if (!parser->head && (parser->coded || parser->length > 0)) {
            parser->keep = 0;
        }

        parser->part = NGX_CRED_WEB_NONE;

    } else if (parser->coded) {
        parser->part = NGX_CRED_WEB_CHUNKED;

    } else if (parser->length == -1) {
        parser->part = NGX_CRED_WEB_CLOSE;
        parser->keep = 0;

    } else if (parser->length > NGX_CRED_WEB_BODY) {
        return ngx_cred_web_wrong(parser, "the body is too long");

    } else {
        parser->part = NGX_CRED_WEB_LENGTH;
    }

    return NGX_OK;
}


static ngx_int_t
ngx_cred_web_body(ngx_cred_web_parser_t *parser, u_char *data, size_t len)
{
    size_t  n;

    switch (parser->part) {

    case NGX_CRED_WEB_LENGTH:
        n = parser->length - parser->response.body.len;
        n = ngx_min(n, len);

        if (ngx_cred_web_append(parser, data, n) != NGX_OK) {
            return NGX_ERROR;
        }

        if (parser->response.body.len < (size_t) parser->length) {
            return NGX_AGAIN;
        }

        return ngx_cred_web_whole(parser, len - n);

    case NGX_CRED_WEB_CHUNKED:
        return ngx_cred_web_chunks(parser, data, len);

    case NGX_CRED_WEB_CLOSE:
        if (ngx_cred_web_append(parser, data, len) != NGX_OK) {
            return NGX_ERROR;
        }

        return NGX_AGAIN;

    default: /* NGX_CRED_WEB_NONE */
        return ngx_cred_web_whole(parser, len);
    }
}


static ngx_int_t
ngx_cred_web_chunks(ngx_cred_web_parser_t *parser, u_char *data, size_t len)
{
    u_char              *p;
    size_t               n;
    ngx_int_t            rc;
    ngx_buf_t            buf;
    ngx_http_chunked_t  *chunked;

    chunked = &parser->chunked;

    ngx_memzero(&buf, sizeof(ngx_buf_t));

    buf.pos = data;
    buf.last = data + len;

    for ( ;; ) {
        p = buf.pos;

        rc = ngx_cred_web_parse_chunked(&parser->request, &buf, chunked);

        ngx_cred_web_tail(parser, p, buf.pos - p);

        if (rc == NGX_DONE) {
            ngx_cred_web_trailers(parser);
            return ngx_cred_web_whole(parser, buf.last - buf.pos);
        }

        if (rc == NGX_AGAIN) {
            break;
        }

        if (rc != NGX_OK) {
            return ngx_cred_web_wrong(parser, "an invalid chunk");
        }

        if (chunked->size
            > (off_t) (NGX_CRED_WEB_BODY - parser->response.body.len))
        {
            return ngx_cred_web_wrong(parser, "the body is too long");
        }

        n = ngx_min((size_t) chunked->size, (size_t) (buf.last - buf.pos));

        if (ngx_cred_web_append(parser, buf.pos, n) != NGX_OK) {
            return NGX_ERROR;
        }

        buf.pos += n;
        chunked->size -= n;

        parser->header.last = parser->header.pos;
    }

    /* extensions and trailers may be without an end */

    parser->raw += len;

    if (parser->raw > NGX_CRED_WEB_CHUNKS) {
        return ngx_cred_web_wrong(parser, "the body is too long");
    }

    return NGX_AGAIN;
}


/*
 * What nginx's parser takes for no part of a chunk, since the last one: in the
 * end it is the size of the last chunk, and the trailers, unless that is more
 * than a header may be.
 */

static void
ngx_cred_web_tail(ngx_cred_web_parser_t *parser, u_char *data, size_t len)
{
    ngx_buf_t  *header;

    header = &parser->header;

    len = ngx_min(len, (size_t) (header->end - header->last));
    header->last = ngx_cpymem(header->last, data, len);
}


/* whoever has to send an ETag before it is known sends it as a trailer */

static void
ngx_cred_web_trailers(ngx_cred_web_parser_t *parser)
{
    ngx_buf_t  *header;

    header = &parser->header;

    /* CR LF of the chunk before, and the line of the last one */

    while (header->pos < header->last
           && (*header->pos == CR || *header->pos == LF))
    {
        header->pos++;
    }

    while (header->pos < header->last && *header->pos++ != LF) { /* void */ }

    parser->request.state = 0;

    while (ngx_http_parse_header_line(&parser->request, header, 1) == NGX_OK
           && ngx_cred_web_trailer(parser) == NGX_OK)
    {
        /* void */
    }

    header->pos = header->last;
}


static ngx_int_t
ngx_cred_web_append(ngx_cred_web_parser_t *parser, u_char *data, size_t len)
{
    u_char     *p;
    size_t      size;
    ngx_str_t  *body;

    body = &parser->response.body;

    if (len > NGX_CRED_WEB_BODY - body->len) {
        return ngx_cred_web_wrong(parser, "the body is too long");
    }

    size = parser->size ? parser->size : NGX_CRED_WEB_BODY_FIRST;

    while (size < body->len + len) {
        size *= 2;
    }

    if (len && size != parser->size) {

        p = ngx_alloc(size, parser->connection.log);
        if (p == NULL) {
            return ngx_cred_web_wrong(parser, "no memory");
        }

        if (parser->size) {
            ngx_memcpy(p, body->data, body->len);
            ngx_free(body->data);
        }

        body->data = p;
        parser->size = size;
    }

    if (len) {
        ngx_memcpy(body->data + body->len, data, len);
        body->len += len;
    }

    return NGX_OK;
}


/* what comes after it belongs to no request */

static ngx_int_t
ngx_cred_web_whole(ngx_cred_web_parser_t *parser, size_t surplus)
{
    if (surplus) {
        parser->keep = 0;
    }

    if (parser->response.body.data == NULL) {
        parser->response.body.data = (u_char *) "";
    }

    return NGX_OK;
}


ngx_int_t
ngx_cred_web_wrong(ngx_cred_web_parser_t *parser, const char *err)
{
    parser->err = err;

    return NGX_ERROR;
}
