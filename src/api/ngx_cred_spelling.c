
/*
 * Copyright (C) ngx_cred_module authors
 * SPDX-License-Identifier: BSD-2-Clause
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>
#include <ngx_cred_api.h>
#include <ngx_cred_spelling.h>


#define NGX_CRED_SPELLING_ROUNDS     3      /* of decoding */

#define NGX_CRED_SPELLING_MERGE      1      /* slashes */
#define NGX_CRED_SPELLING_RESOLVE    2      /* dot segments */
#define NGX_CRED_SPELLING_BACKSLASH  4      /* is a slash */


/* what is a slash besides "/" */

typedef enum {
    NGX_CRED_SLASHES_ALL = 0,   /* encoded ones, and backslashes */
    NGX_CRED_SLASHES_RAW,       /* backslashes; encoded ones are letters */
    NGX_CRED_SLASHES_NONE,
    NGX_CRED_NSLASHES
} ngx_cred_slashes_e;


typedef struct {
    ngx_cred_api_t    **apis;
    ngx_uint_t          n;
    ngx_uint_t          method;
    ngx_cred_slashes_e  slashes;

    ngx_str_t           text;       /* the spelling at hand */
    ngx_str_t           cut;        /* the same without parameters */
    u_char             *normalized;

    ngx_cred_api_t     *api;
    ngx_cred_route_t   *route;
} ngx_cred_spelling_t;


static ngx_uint_t ngx_cred_spelling_odd(ngx_str_t *raw);
static ngx_uint_t ngx_cred_spelling_rounds(ngx_cred_spelling_t *s);
static ngx_uint_t ngx_cred_spelling_decode(ngx_cred_spelling_t *s);
static ngx_uint_t ngx_cred_spelling_cut(ngx_str_t *dst, ngx_str_t *src,
    ngx_uint_t ends);
static ngx_uint_t ngx_cred_spelling_try(ngx_cred_spelling_t *s,
    ngx_str_t *text);
static ngx_uint_t ngx_cred_spelling_normalize(ngx_str_t *dst, ngx_str_t *src,
    ngx_uint_t how);
static ngx_uint_t ngx_cred_spelling_match(ngx_cred_spelling_t *s,
    ngx_str_t *text);


ngx_int_t
ngx_cred_spelling(ngx_pool_t *pool, ngx_cred_api_t **apis, ngx_uint_t n,
    ngx_uint_t method, ngx_str_t *uri, ngx_str_t *raw, ngx_cred_api_t **api,
    ngx_cred_route_t *route)
{
    u_char               *p;
    ngx_cred_path_t       path;
    ngx_cred_spelling_t   s;

    path.rest = *uri;
    path.lax = 1;

    *api = ngx_cred_api_match(apis, n, method, &path, route);

    if (*api) {
        return NGX_OK;
    }

    if (!ngx_cred_spelling_odd(raw)) {
        return NGX_DECLINED;
    }

    /* none of the steps makes it longer */

    p = ngx_pnalloc(pool, 3 * raw->len);
    if (p == NULL) {
        return NGX_ERROR;
    }

    s.apis = apis;
    s.n = n;
    s.method = method;
    s.route = route;
    s.text.data = p;
    s.cut.data = s.text.data + raw->len;
    s.normalized = s.cut.data + raw->len;

    for (s.slashes = 0; s.slashes < NGX_CRED_NSLASHES; s.slashes++) {

        ngx_memcpy(s.text.data, raw->data, raw->len);
        s.text.len = raw->len;

        if (ngx_cred_spelling_rounds(&s)) {
            break;
        }

        if (ngx_cred_spelling_cut(&s.text, raw, 0)
            && ngx_cred_spelling_rounds(&s))
        {
            break;
        }
    }

    *api = s.api;

    return s.api ? NGX_OK : NGX_DECLINED;
}


/* whether there is anything in it that backends read in different ways */

static ngx_uint_t
ngx_cred_spelling_odd(ngx_str_t *raw)
{
    u_char  *p, *last, c;

    if (raw->len == 0 || raw->data[0] != '/') {
        return 0;
    }

    last = raw->data + raw->len;

    for (p = raw->data; p < last; p++) {

        switch (*p) {

        case ';':
        case '\\':
        case '#':
            return 1;

        case '/':
            c = (p + 1 < last) ? p[1] : '\0';

            if (c == '/') {
                return 1;
            }

            if (c != '.') {
                break;
            }

            c = (p + 2 < last) ? p[2] : '/';

            if (c == '/' || c == '.' || c == '%') {
                return 1;
            }

            break;

        case '%':
            if (last - p < 3) {
                break;
            }

            /* # % . / ; ? \ */

            c = p[2] | 0x20;

            if (p[1] == '2'
                ? (c == '3' || c == '5' || c == 'e' || c == 'f')
                : p[1] == '3' ? (c == 'b' || c == 'f')
                              : (p[1] == '5' && c == 'c'))
            {
                return 1;
            }

            break;
        }
    }

    return 0;
}


static ngx_uint_t
ngx_cred_spelling_rounds(ngx_cred_spelling_t *s)
{
    ngx_uint_t  round;

    for (round = 0; /* void */ ; round++) {

        if (ngx_cred_spelling_try(s, &s->text)) {
            return 1;
        }

        if (ngx_cred_spelling_cut(&s->cut, &s->text, 1)
            && ngx_cred_spelling_try(s, &s->cut))
        {
            return 1;
        }

        if (round == NGX_CRED_SPELLING_ROUNDS || !ngx_cred_spelling_decode(s))
        {
            return 0;
        }
    }
}


/* decodes once, in place; returns whether there was anything to decode */

static ngx_uint_t
ngx_cred_spelling_decode(ngx_cred_spelling_t *s)
{
    u_char      *p, *d, *last;
    ngx_int_t    c;
    ngx_uint_t   found;

    d = s->text.data;
    last = s->text.data + s->text.len;
    found = 0;

    for (p = d; p < last; p++) {
        c = (*p == '%' && last - p > 2) ? ngx_hextoi(p + 1, 2) : NGX_ERROR;

        if (c == NGX_ERROR
            || (s->slashes != NGX_CRED_SLASHES_ALL && (c == '/' || c == '\\')))
        {
            *d++ = *p;
            continue;
        }

        *d++ = (u_char) c;
        p += 2;
        found = 1;
    }

    s->text.len = d - s->text.data;

    return found;
}


/*
 * Copies without the parameters of each segment, and with "ends" up to what
 * may end a path; returns whether there was any of that.
 */

static ngx_uint_t
ngx_cred_spelling_cut(ngx_str_t *dst, ngx_str_t *src, ngx_uint_t ends)
{
    u_char      *p, *d, *last;
    ngx_uint_t   found, skip;

    d = dst->data;
    last = src->data + src->len;
    found = 0;
    skip = 0;

    for (p = src->data; p < last; p++) {

        if (ends && (*p == '?' || *p == '#' || *p == '\0')) {
            found = 1;
            break;
        }

        if (*p == ';') {
            found = 1;
            skip = 1;

        } else if (*p == '/' || *p == '\\') {
            skip = 0;
        }

        if (!skip) {
            *d++ = *p;
        }
    }

    dst->len = d - dst->data;

    return found;
}


/* as it is; with dot segments resolved after slashes are merged, and before */

static ngx_uint_t
ngx_cred_spelling_try(ngx_cred_spelling_t *s, ngx_str_t *text)
{
    ngx_str_t   path;
    ngx_uint_t  slashes;

    slashes = (s->slashes == NGX_CRED_SLASHES_NONE)
              ? 0 : NGX_CRED_SPELLING_BACKSLASH;

    path.data = s->normalized;
    path.len = text->len;

    if (ngx_cred_spelling_normalize(&path, text,
                                    slashes|NGX_CRED_SPELLING_MERGE)
        == 0)
    {
        return ngx_cred_spelling_match(s, &path);
    }

    if (ngx_cred_spelling_match(s, &path)) {
        return 1;
    }

    (void) ngx_cred_spelling_normalize(&path, text,
                                       slashes|NGX_CRED_SPELLING_MERGE
                                              |NGX_CRED_SPELLING_RESOLVE);

    if (ngx_cred_spelling_match(s, &path)) {
        return 1;
    }

    (void) ngx_cred_spelling_normalize(&path, text,
                                       slashes|NGX_CRED_SPELLING_RESOLVE);
    (void) ngx_cred_spelling_normalize(&path, &path, NGX_CRED_SPELLING_MERGE);

    return ngx_cred_spelling_match(s, &path);
}


/*
 * "src" begins with a slash; "dst" may be the same.  Returns whether there are
 * dot segments.
 */

static ngx_uint_t
ngx_cred_spelling_normalize(ngx_str_t *dst, ngx_str_t *src, ngx_uint_t how)
{
    u_char      *p, *d, *last, *segment;
    size_t       len;
    ngx_uint_t   dots, found;

    p = src->data;
    last = src->data + src->len;
    d = dst->data;
    found = 0;

    while (p < last) {
        segment = ++p;

        while (p < last && *p != '/'
               && (*p != '\\' || !(how & NGX_CRED_SPELLING_BACKSLASH)))
        {
            p++;
        }

        len = p - segment;

        if (len == 0 && p < last && (how & NGX_CRED_SPELLING_MERGE)) {
            continue;
        }

        dots = (len == 1 && segment[0] == '.')
               ? 1 : (len == 2 && segment[0] == '.' && segment[1] == '.')
               ? 2 : 0;

        if (dots) {
            found = 1;
        }

        if (dots && (how & NGX_CRED_SPELLING_RESOLVE)) {

            if (dots == 2) {
                while (d > dst->data && *--d != '/') { /* void */ }
            }

            if (p < last) {
                continue;
            }

            len = 0;
        }

        *d++ = '/';
        ngx_memmove(d, segment, len);
        d += len;
    }

    dst->len = d - dst->data;

    return found;
}


static ngx_uint_t
ngx_cred_spelling_match(ngx_cred_spelling_t *s, ngx_str_t *text)
{
    ngx_cred_path_t  path;

    path.rest = *text;
    path.lax = 1;

    s->api = ngx_cred_api_match(s->apis, s->n, s->method, &path, s->route);

    return s->api != NULL;
}
