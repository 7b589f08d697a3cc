
/*
 * Copyright (C) ngx_cred_module authors
 * SPDX-License-Identifier: BSD-2-Clause
 */


#include <response.h>


/* bytes of a header or body that may be, and one more */

static ngx_str_t *
joined(ngx_str_t *one, ngx_str_t *two, const char *three)
{
    u_char     *p;
    ngx_str_t  *s;

    s = unit_repeat('x', one->len + two->len + ngx_strlen(three));

    p = ngx_cpymem(s->data, one->data, one->len);
    p = ngx_cpymem(p, two->data, two->len);
    ngx_memcpy(p, three, ngx_strlen(three));

    return s;
}


static void
test_bound(const char *name, ngx_str_t *text, const char *expected)
{
    size_t      chunk;
    ngx_str_t  *got;

    for (chunk = text->len; chunk; chunk /= 37) {
        got = response_parse(text, chunk, chunk, text->len, 0, 1);
        unit_is(got, unit_format("%s", expected), "%s, %lu bytes at a time",
                name, (unsigned long) chunk);
    }
}


static void
test_bounds(void)
{
    size_t       len;
    ngx_uint_t   i;
    ngx_str_t   *text, *line, *chunk;

    /* the header */

    line = unit_string("HTTP/1.1 204 No\r\nX: ");
    len = NGX_CRED_WEB_HEADER - line->len - 4;

    test_bound("a header that just fits",
               joined(line, unit_repeat('x', len), "\r\n\r\n"),
               "204 keep");
    test_bound("a header that is too long",
               joined(line, unit_repeat('x', len + 1), "\r\n\r\n"),
               "error: the header is too long");
    test_bound("a header without an end",
               joined(line, unit_repeat('x', 100000), ""),
               "error: the header is too long");

    line = unit_string("HTTP/1.1 200 ");

    test_bound("a status line without an end",
               joined(line, unit_repeat('x', 100000), ""),
               "error: the header is too long");

    /* interim responses */

    line = unit_string("HTTP/1.1 100\r\n\r\n");
    text = unit_string("");

    for (i = 0; i < NGX_CRED_WEB_INTERIM; i++) {
        text = joined(text, line, "");
    }

    test_bound("interim responses",
               joined(text, unit_string("HTTP/1.1 204\r\n\r\n"), ""),
               "204 keep");
    test_bound("too many interim responses", joined(text, line, ""),
               "error: too many interim responses");

    /* the body */

    len = NGX_CRED_WEB_BODY;

    line = unit_format("HTTP/1.1 200 OK\r\nContent-Length: %uz\r\n\r\n", len);
    test_bound("a body that just fits",
               joined(line, unit_repeat('x', len), ""),
               "200 keep 65536 bytes");

    line = unit_format("HTTP/1.1 200 OK\r\nContent-Length: %uz\r\n\r\n",
                       len + 1);
    test_bound("a body that is too long", joined(line, unit_repeat('x', 1), ""),
               "error: the body is too long");

    line = unit_string("HTTP/1.1 200 OK\r\n\r\n");
    test_bound("a body until it is closed that just fits",
               joined(line, unit_repeat('x', len), ""),
               "200 close 65536 bytes");
    test_bound("a body until it is closed that is too long",
               joined(line, unit_repeat('x', len + 1), ""),
               "error: the body is too long");

    line = unit_format("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
                       "%xz\r\n", len);
    test_bound("a chunk that just fits",
               joined(line, unit_repeat('x', len), "\r\n" LAST_CHUNK),
               "200 keep 65536 bytes");
    test_bound("a chunk and one more",
               joined(line, unit_repeat('x', len), "\r\n1\r\nx"),
               "error: the body is too long");

    /* many chunks, and what is no body */

    line = unit_string("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
    chunk = unit_string("1\r\nx\r\n");
    text = unit_repeat('x', len * chunk->len);

    for (i = 0; i < len; i++) {
        ngx_memcpy(text->data + i * chunk->len, chunk->data, chunk->len);
    }

    test_bound("many chunks", joined(line, text, LAST_CHUNK),
               "200 keep 65536 bytes");
    test_bound("many chunks, and one more",
               joined(line, text, "1\r\nx\r\n"),
               "error: the body is too long");

    test_bound("an extension without an end",
               joined(unit_format("%V1;", line),
                      unit_repeat('x', NGX_CRED_WEB_CHUNKS + 1000), ""),
               "error: the body is too long");
    test_bound("an ETag before a trailer that is longer than a header may be",
               joined(unit_format("%V0\r\nETag: yes\r\nX: ", line),
                      unit_repeat('x', NGX_CRED_WEB_HEADER), "\r\n\r\n"),
               "200 keep etag(yes)");
    test_bound("an ETag after one",
               joined(unit_format("%V0\r\nX: ", line),
                      unit_repeat('x', NGX_CRED_WEB_HEADER),
                      "\r\nETag: no\r\n\r\n"),
               "200 keep");
    test_bound("trailers without an end",
               joined(unit_format("%V0\r\n", line),
                      unit_repeat('x', NGX_CRED_WEB_CHUNKS + 1000), ""),
               "error: the body is too long");
}


static void
test_memory(void)
{
    ngx_int_t               i, rc;
    ngx_str_t              *text, *body;
    ngx_uint_t              failed;
    ngx_cred_web_parser_t  *parser;

    text = unit_string("HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n");
    body = unit_repeat('x', 1000);
    failed = 0;

    for (i = 0; ; i++) {
        (void) unit_memory(i);

        parser = ngx_cred_web_parser_create(&unit_log, 0);

        rc = parser ? ngx_cred_web_parser_feed(parser, text->data, text->len)
                    : NGX_ERROR;

        while (rc == NGX_AGAIN) {
            rc = ngx_cred_web_parser_feed(parser, body->data, body->len);
        }

        if (rc == NGX_ERROR && parser
            && ngx_strcmp(parser->err, "no memory") != 0)
        {
            break;
        }

        if (parser) {
            ngx_cred_web_parser_destroy(parser);
        }

        if (!unit_memory(-1)) {
            break;
        }

        failed += (rc == NGX_ERROR);
    }

    unit_ok(failed == 5 && rc == NGX_OK, "without memory");
}


int
main(void)
{
    response_start();

    test_bounds();
    test_memory();

    return unit_done();
}
