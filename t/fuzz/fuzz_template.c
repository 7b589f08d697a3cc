
/*
 * Copyright (C) ngx_cred_module authors
 * SPDX-License-Identifier: BSD-2-Clause
 */


/*
 * Templates of connectors and what comes into them.  The input is a digit for
 * the kind, the template, a zero byte, and a value that stands at every place;
 * with "x" and 0 in place of it there are as many segments, fields and strings.
 */


#include <fuzz.h>
#include <jansson.h>
#include <ngx_cred_connector.h>


static void fuzz_path(ngx_str_t *filled, ngx_str_t *plain, ngx_uint_t decoded);
static void fuzz_decode(ngx_pool_t *pool, ngx_str_t *s);
static ngx_uint_t fuzz_count(ngx_str_t *s, u_char c);
static ngx_uint_t fuzz_dots(ngx_str_t *s);
static void fuzz_header(ngx_str_t *filled);
static void fuzz_body(ngx_str_t *filled, ngx_str_t *plain);
static ngx_uint_t fuzz_quotes(ngx_str_t *s);


int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    ngx_int_t            rc;
    ngx_str_t            text, value, filled, plain, err;
    ngx_uint_t           i, kind;
    ngx_pool_t          *pool;
    ngx_cred_values_t    values;
    ngx_cred_template_t  template;

    if (size == 0) {
        return 0;
    }

    kind = data[0] % 4;

    text.data = (u_char *) data + 1;
    text.len = size - 1;

    ngx_str_null(&value);

    for (i = 0; i < text.len; i++) {
        if (text.data[i] == '\0') {
            value.data = text.data + i + 1;
            value.len = text.len - i - 1;
            text.len = i;
        }
    }

    pool = ngx_create_pool(NGX_MIN_POOL_SIZE, &unit_log);
    fuzz_assert(pool != NULL);

    if (ngx_cred_template_parse(pool, &text, kind, &template, &err) != NGX_OK) {
        fuzz_assert(err.len > 0);
        ngx_destroy_pool(pool);
        return 0;
    }

    for (i = 0; i < NGX_CRED_NPLACES; i++) {
        ngx_str_set(&values[i], "x");
    }

    ngx_str_set(&values[NGX_CRED_PLACE_REVISION], "0");

    rc = ngx_cred_template_fill(pool, &template, values, &plain, &err);

    if (rc == NGX_OK) {

        for (i = 0; i < NGX_CRED_NPLACES; i++) {
            if (i != NGX_CRED_PLACE_REVISION
                || kind != NGX_CRED_TEMPLATE_BODY)
            {
                values[i] = value;
            }
        }

        rc = ngx_cred_template_fill(pool, &template, values, &filled, &err);
    }

    if (rc != NGX_OK) {
        fuzz_assert(rc == NGX_DECLINED && err.len > 0);
        ngx_destroy_pool(pool);
        return 0;
    }

    switch (kind) {

    case NGX_CRED_TEMPLATE_SEGMENTS:
        fuzz_path(&filled, &plain, 0);
        fuzz_decode(pool, &filled);
        fuzz_decode(pool, &plain);
        fuzz_path(&filled, &plain, 1);
        break;

    case NGX_CRED_TEMPLATE_PATH:
        fuzz_path(&filled, &plain, 0);
        break;

    case NGX_CRED_TEMPLATE_HEADER:
        fuzz_header(&filled);
        break;

    default:
        fuzz_body(&filled, &plain);
    }

    ngx_destroy_pool(pool);

    return 0;
}


static void
fuzz_path(ngx_str_t *filled, ngx_str_t *plain, ngx_uint_t decoded)
{
    size_t  i;

    fuzz_assert(fuzz_count(filled, '/') == fuzz_count(plain, '/'));
    fuzz_assert(fuzz_count(filled, '\\') == fuzz_count(plain, '\\'));
    fuzz_assert(fuzz_dots(filled) == fuzz_dots(plain));

    if (decoded) {
        return;
    }

    fuzz_assert(fuzz_count(filled, '?') == fuzz_count(plain, '?'));
    fuzz_assert(fuzz_count(filled, '&') == fuzz_count(plain, '&'));
    fuzz_assert(fuzz_count(filled, '#') == 0);

    for (i = 0; i < filled->len; i++) {
        fuzz_assert(filled->data[i] > ' ' && filled->data[i] < 0x7f);
    }
}


static void
fuzz_decode(ngx_pool_t *pool, ngx_str_t *s)
{
    u_char  *dst, *src;

    src = s->data;

    dst = ngx_pnalloc(pool, s->len);
    fuzz_assert(dst != NULL);

    s->data = dst;

    ngx_unescape_uri(&dst, &src, s->len, 0);

    s->len = dst - s->data;
}


static ngx_uint_t
fuzz_count(ngx_str_t *s, u_char c)
{
    size_t      i;
    ngx_uint_t  n;

    n = 0;

    for (i = 0; i < s->len; i++) {
        n += (s->data[i] == c);
    }

    return n;
}


/* segments that are "." or ".." */

static ngx_uint_t
fuzz_dots(ngx_str_t *s)
{
    size_t      i, start;
    ngx_uint_t  n;

    n = 0;
    start = 0;

    for (i = 0; i <= s->len; i++) {

        if (i < s->len && s->data[i] != '/' && s->data[i] != '\\') {
            continue;
        }

        n += (i - start == 1 && s->data[start] == '.')
             || (i - start == 2 && s->data[start] == '.'
                 && s->data[start + 1] == '.');

        start = i + 1;
    }

    return n;
}


static void
fuzz_header(ngx_str_t *filled)
{
    fuzz_assert(fuzz_count(filled, CR) == 0);
    fuzz_assert(fuzz_count(filled, LF) == 0);
    fuzz_assert(fuzz_count(filled, '\0') == 0);
}


static void
fuzz_body(ngx_str_t *filled, ngx_str_t *plain)
{
    json_t  *json;

    if (filled->len == 0) {
        return;
    }

    json = json_loadb((char *) filled->data, filled->len, JSON_DECODE_ANY,
                      NULL);

    fuzz_assert(json != NULL);
    fuzz_assert(fuzz_quotes(filled) == fuzz_quotes(plain));

    json_decref(json);
}


/* those around strings */

static ngx_uint_t
fuzz_quotes(ngx_str_t *s)
{
    size_t      i;
    ngx_uint_t  n;

    n = 0;

    for (i = 0; i < s->len; i++) {

        if (s->data[i] == '\\') {
            i++;
            continue;
        }

        n += (s->data[i] == '"');
    }

    return n;
}
