
/*
 * Copyright (C) ngx_cred_module authors
 * SPDX-License-Identifier: BSD-2-Clause
 */


/*
 * Responses in one piece and the same ones byte by byte, to HEAD and to others:
 * both must come out alike, and within the bounds.
 */


#include <fuzz.h>
#include <ngx_cred_web_connection.h>


typedef struct {
    ngx_int_t    rc;
    uint64_t     hash;        /* of all that is known of it */
} fuzz_result_t;


static void fuzz_parse(const uint8_t *data, size_t size, size_t chunk,
    ngx_uint_t head, fuzz_result_t *result);
static void fuzz_response(ngx_cred_web_parser_t *parser, ngx_uint_t keep,
    fuzz_result_t *result);
static void fuzz_inside(ngx_cred_web_parser_t *parser, ngx_str_t *s);
static void fuzz_hash(fuzz_result_t *result, const void *data, size_t size);


int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    size_t             chunk;
    ngx_uint_t         head;
    fuzz_result_t      whole, parts;

    static ngx_time_t  now = { 784111777, 0, 0 };

    ngx_cached_time = &now;

    for (head = 0; head < 2; head++) {
        fuzz_parse(data, size, size, head, &whole);

        for (chunk = 1; chunk < 8; chunk += 3) {
            fuzz_parse(data, size, chunk, head, &parts);

            fuzz_assert(parts.rc == whole.rc);
            fuzz_assert(parts.hash == whole.hash);
        }
    }

    return 0;
}


static void
fuzz_parse(const uint8_t *data, size_t size, size_t chunk, ngx_uint_t head,
    fuzz_result_t *result)
{
    u_char                 *copy;
    size_t                  n;
    ngx_int_t               rc;
    const uint8_t          *last;
    ngx_cred_web_parser_t  *parser;

    ngx_memzero(result, sizeof(fuzz_result_t));

    parser = ngx_cred_web_parser_create(&unit_log, head);
    fuzz_assert(parser != NULL);

    last = data + size;
    rc = NGX_AGAIN;

    while (data < last && rc == NGX_AGAIN) {

        n = ngx_min(chunk, (size_t) (last - data));

        copy = malloc(n);
        fuzz_assert(copy != NULL);

        ngx_memcpy(copy, data, n);
        rc = ngx_cred_web_parser_feed(parser, copy, n);
        free(copy);

        data += n;
    }

    if (rc == NGX_AGAIN) {
        fuzz_assert(ngx_cred_web_parser_end(parser, 0) == NGX_ERROR);

        if (ngx_cred_web_parser_end(parser, 1) == NGX_OK) {
            fuzz_assert(!parser->keep);
            rc = NGX_OK;
        }
    }

    if (rc == NGX_OK) {
        fuzz_response(parser, parser->keep && data == last, result);

    } else if (rc == NGX_ERROR) {
        fuzz_assert(parser->err != NULL && parser->err[0] != '\0');
        fuzz_hash(result, &parser->err, sizeof(char *));
    }

    result->rc = rc;

    ngx_cred_web_parser_destroy(parser);
}


static void
fuzz_response(ngx_cred_web_parser_t *parser, ngx_uint_t keep,
    fuzz_result_t *result)
{
    ngx_uint_t                encoded;
    ngx_cred_web_response_t  *response;

    response = &parser->response;
    encoded = response->encoded;

    fuzz_assert(response->status >= 200 && response->status <= 599);
    fuzz_assert(response->body.data != NULL);
    fuzz_assert(response->body.len <= NGX_CRED_WEB_BODY);
    fuzz_assert(!parser->head || response->body.len == 0);
    fuzz_assert(response->retry_after >= NGX_ERROR
                && response->retry_after <= (ngx_int_t) NGX_MAX_INT32_VALUE);

    fuzz_inside(parser, &response->etag);
    fuzz_inside(parser, &response->location);

    fuzz_hash(result, &response->status, sizeof(ngx_uint_t));
    fuzz_hash(result, response->body.data, response->body.len);
    fuzz_hash(result, response->etag.data, response->etag.len);
    fuzz_hash(result, response->location.data, response->location.len);
    fuzz_hash(result, &response->retry_after, sizeof(ngx_int_t));
    fuzz_hash(result, &encoded, sizeof(ngx_uint_t));
    fuzz_hash(result, &keep, sizeof(ngx_uint_t));
}


/* it is one line of the header */

static void
fuzz_inside(ngx_cred_web_parser_t *parser, ngx_str_t *s)
{
    size_t  i;

    if (s->len == 0) {
        return;
    }

    fuzz_assert(s->data >= parser->data);
    fuzz_assert(s->data + s->len <= parser->header.last);

    for (i = 0; i < s->len; i++) {
        fuzz_assert(s->data[i] != CR && s->data[i] != LF && s->data[i]);
    }
}


/* FNV-1a */

static void
fuzz_hash(fuzz_result_t *result, const void *data, size_t size)
{
    const uint8_t  *p;

    for (p = data; size; size--) {
        result->hash = (result->hash ^ *p++) * 0x100000001b3ULL;
    }
}
