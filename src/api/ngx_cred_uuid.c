
/*
 * Copyright (C) ngx_cred_module authors
 * SPDX-License-Identifier: BSD-2-Clause
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_cred_uuid.h>


#define NGX_CRED_UUID_URN         "urn:uuid:"
#define NGX_CRED_UUID_URN_LEN     (sizeof(NGX_CRED_UUID_URN) - 1)

#define NGX_CRED_UUID_SIMPLE_LEN  32
#define NGX_CRED_UUID_GROUPS      5


static ngx_uint_t ngx_cred_uuid_unwrap(ngx_str_t *text, ngx_str_t *inner);
static ngx_int_t ngx_cred_uuid_read(ngx_str_t *text, u_char *uuid);
static u_char *ngx_cred_uuid_explain(ngx_str_t *text, u_char *p);
static ngx_uint_t ngx_cred_uuid_hex(u_char c);
static size_t ngx_cred_uuid_char(u_char *p, u_char *last);


static size_t  ngx_cred_uuid_groups[] = { 8, 4, 4, 4, 12 };


ngx_int_t
ngx_cred_uuid_parse(ngx_str_t *text, u_char *uuid, u_char *error, size_t *len)
{
    ngx_str_t  inner;

    /*
     * What is wrapped and has the length of a hyphenated UUID is read without
     * its wrapping, and faults in it are counted from there.
     */

    (void) ngx_cred_uuid_unwrap(text, &inner);

    if (inner.len != NGX_CRED_UUID_LEN) {
        inner = *text;
    }

    if (ngx_cred_uuid_read(&inner, uuid) == NGX_OK) {
        return NGX_OK;
    }

    *len = ngx_cred_uuid_explain(&inner, error) - error;

    return NGX_DECLINED;
}


/* returns the length of what was cut off in front */

static ngx_uint_t
ngx_cred_uuid_unwrap(ngx_str_t *text, ngx_str_t *inner)
{
    if (text->len >= 2 && text->data[0] == '{'
        && text->data[text->len - 1] == '}')
    {
        inner->data = text->data + 1;
        inner->len = text->len - 2;

        return 1;
    }

    if (text->len >= NGX_CRED_UUID_URN_LEN
        && ngx_memcmp(text->data, NGX_CRED_UUID_URN, NGX_CRED_UUID_URN_LEN)
           == 0)
    {
        inner->data = text->data + NGX_CRED_UUID_URN_LEN;
        inner->len = text->len - NGX_CRED_UUID_URN_LEN;

        return NGX_CRED_UUID_URN_LEN;
    }

    *inner = *text;

    return 0;
}


static ngx_int_t
ngx_cred_uuid_read(ngx_str_t *text, u_char *uuid)
{
    u_char      *p;
    size_t       i;
    ngx_uint_t   g, hyphens;

    if (text->len != NGX_CRED_UUID_SIMPLE_LEN
        && text->len != NGX_CRED_UUID_LEN)
    {
        return NGX_DECLINED;
    }

    hyphens = (text->len == NGX_CRED_UUID_LEN);
    p = text->data;

    for (g = 0; g < NGX_CRED_UUID_GROUPS; g++) {

        if (g) {
            if (hyphens && *p++ != '-') {
                return NGX_DECLINED;
            }

            *uuid++ = '-';
        }

        for (i = 0; i < ngx_cred_uuid_groups[g]; i++) {

            if (!ngx_cred_uuid_hex(*p)) {
                return NGX_DECLINED;
            }

            *uuid++ = ngx_tolower(*p);
            p++;
        }
    }

    return NGX_OK;
}


static u_char *
ngx_cred_uuid_explain(ngx_str_t *text, u_char *p)
{
    u_char      *c, *last, *start;
    size_t       found;
    ngx_str_t    s;
    ngx_uint_t   g, n, offset;
    u_char      *hyphen[NGX_CRED_UUID_GROUPS - 1];

    offset = ngx_cred_uuid_unwrap(text, &s);

    last = s.data + s.len;
    n = 0;

    for (c = s.data; c < last; c++) {

        if (*c == '-') {
            if (n < NGX_CRED_UUID_GROUPS - 1) {
                hyphen[n] = c;
            }

            n++;
            continue;
        }

        if (!ngx_cred_uuid_hex(*c)) {
            return ngx_sprintf(p, "invalid character: expected an optional "
                               "prefix of `urn:uuid:` followed by "
                               "[0-9a-fA-F-], found `%*s` at %uz",
                               ngx_cred_uuid_char(c, last), c,
                               (size_t) (c - s.data) + offset + 1);
        }
    }

    if (n == 0 && offset == 0) {
        return ngx_sprintf(p, "invalid length: expected length 32 for simple "
                           "format, found %uz", text->len);
    }

    if (n != NGX_CRED_UUID_GROUPS - 1) {
        return ngx_sprintf(p, "invalid group count: expected 5, found %ui",
                           n + 1);
    }

    start = s.data;
    found = 0;

    for (g = 0; g < NGX_CRED_UUID_GROUPS - 1; g++) {
        found = hyphen[g] - start;

        if (found != ngx_cred_uuid_groups[g]) {
            break;
        }

        start = hyphen[g] + 1;
    }

    if (g == NGX_CRED_UUID_GROUPS - 1) {

        /* the original counts the wrapping into the last group */

        found = text->len - (start - s.data);
    }

    return ngx_sprintf(p, "invalid group length in group %ui: expected %uz, "
                       "found %uz", g, ngx_cred_uuid_groups[g], found);
}


static ngx_uint_t
ngx_cred_uuid_hex(u_char c)
{
    if (c >= '0' && c <= '9') {
        return 1;
    }

    c |= 0x20;

    return c >= 'a' && c <= 'f';
}


/* the length of the UTF-8 character at "p" */

static size_t
ngx_cred_uuid_char(u_char *p, u_char *last)
{
    size_t  n;

    for (n = 1; n < 4 && p + n < last && (p[n] & 0xc0) == 0x80; n++) {
        /* void */
    }

    return n;
}
