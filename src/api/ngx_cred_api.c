
/*
 * Copyright (C) ngx_cred_module authors
 * SPDX-License-Identifier: BSD-2-Clause
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>
#include <jansson.h>
#include <ngx_cred_api.h>
#include <ngx_cred_utf8.h>


/* a time of day in seconds, with milliseconds, has 13 digits */
#define NGX_CRED_API_JSON  (JSON_COMPACT|JSON_REAL_PRECISION(13))


ngx_cred_api_t  *ngx_cred_apis[] = {
#define NGX_CRED_API(name)  &ngx_cred_##name,
#include <ngx_cred_apis.h>
#undef NGX_CRED_API
    NULL
};


ngx_uint_t
ngx_cred_api_number(ngx_cred_api_t *api)
{
    ngx_uint_t  n;

    for (n = 0; ngx_cred_apis[n] != api; n++) { /* void */ }

    return n;
}


ngx_str_t  ngx_cred_api_challenge = ngx_string("Bearer");
ngx_str_t  ngx_cred_api_retry = ngx_string("1");


ngx_cred_api_t *
ngx_cred_api_match(ngx_cred_api_t **apis, ngx_uint_t n, ngx_uint_t method,
    ngx_cred_path_t *path, ngx_cred_route_t *route)
{
    ngx_uint_t       i;
    ngx_cred_path_t  cut;

    for (i = 0; i < n; i++) {
        cut = *path;

        if (method == apis[i]->method && apis[i]->route(&cut, route) == NGX_OK)
        {
            return apis[i];
        }
    }

    return NULL;
}


ngx_int_t
ngx_cred_api_prefix(ngx_cred_path_t *path, const char *prefix)
{
    size_t  len;

    len = ngx_strlen(prefix);

    if (path->rest.len < len
        || (path->lax
            ? ngx_strncasecmp(path->rest.data, (u_char *) prefix, len)
            : ngx_memcmp(path->rest.data, prefix, len))
           != 0)
    {
        return NGX_DECLINED;
    }

    path->rest.data += len;
    path->rest.len -= len;

    return NGX_OK;
}


ngx_int_t
ngx_cred_api_segment(ngx_cred_path_t *path, ngx_str_t *segment)
{
    u_char     *p, *last;
    ngx_str_t  *rest;

    rest = &path->rest;
    last = rest->data + rest->len;

    p = ngx_strlchr(rest->data, last, '/');

    if (p == NULL) {
        p = last;
    }

    if (p == rest->data) {
        return NGX_DECLINED;
    }

    segment->data = rest->data;
    segment->len = p - rest->data;

    rest->data = p;
    rest->len = last - p;

    return NGX_OK;
}


ngx_int_t
ngx_cred_api_end(ngx_cred_path_t *path)
{
    if (path->rest.len == 0
        || (path->rest.len == 1 && path->rest.data[0] == '/'))
    {
        return NGX_OK;
    }

    return NGX_DECLINED;
}


ngx_int_t
ngx_cred_api_header(ngx_cred_view_t *view, ngx_uint_t n, ngx_str_t *value)
{
    if (view->nheaders[n] != 1 || view->headers[n].len == 0) {
        return NGX_DECLINED;
    }

    *value = view->headers[n];

    return NGX_OK;
}


ngx_int_t
ngx_cred_api_scheme(ngx_str_t *value, const char *scheme, ngx_str_t *rest)
{
    size_t   len;
    u_char  *p, *last;

    len = ngx_strlen(scheme);

    if (value->len < len
        || ngx_strncasecmp(value->data, (u_char *) scheme, len) != 0)
    {
        return NGX_DECLINED;
    }

    p = value->data + len;
    last = value->data + value->len;

    if (p < last && *p != ' ') {
        return NGX_DECLINED;
    }

    while (p < last && *p == ' ') {
        p++;
    }

    while (last > p && last[-1] == ' ') {
        last--;
    }

    rest->data = p;
    rest->len = last - p;

    return NGX_OK;
}


ngx_int_t
ngx_cred_api_basic(ngx_pool_t *pool, ngx_str_t *basic, ngx_str_t *login)
{
    u_char     *p, *last;
    ngx_str_t   text;

    text = *basic;

    /* ngx_decode_base64() reads up to the first "=" and ignores the rest */

    if (text.len && text.len % 4 == 0 && text.data[text.len - 1] == '=') {
        text.len--;

        if (text.data[text.len - 1] == '=') {
            text.len--;
        }
    }

    last = text.data + text.len;

    if (ngx_strlchr(text.data, last, '=') != NULL) {
        return NGX_DECLINED;
    }

    login->data = ngx_pnalloc(pool, ngx_base64_decoded_length(text.len));
    if (login->data == NULL) {
        return NGX_ERROR;
    }

    if (ngx_decode_base64(login, &text) != NGX_OK) {
        return NGX_DECLINED;
    }

    last = login->data + login->len;

    for (p = login->data; p < last; p++) {
        if (*p < 0x20 || *p == 0x7f) {
            return NGX_DECLINED;
        }
    }

    return ngx_strlchr(login->data, last, ':') ? NGX_OK : NGX_DECLINED;
}


ngx_int_t
ngx_cred_api_token(ngx_str_t *token)
{
    size_t  i;

    if (token->len == 0) {
        return NGX_DECLINED;
    }

    for (i = 0; i < token->len; i++) {
        if (token->data[i] <= 0x20 || token->data[i] >= 0x7f) {
            return NGX_DECLINED;
        }
    }

    return NGX_OK;
}


ngx_int_t
ngx_cred_api_bearer(ngx_cred_view_t *view, ngx_uint_t n, ngx_str_t *token)
{
    ngx_str_t  value;

    if (ngx_cred_api_header(view, n, &value) != NGX_OK
        || ngx_cred_api_scheme(&value, "Bearer", token) != NGX_OK)
    {
        return NGX_DECLINED;
    }

    return ngx_cred_api_token(token);
}


ngx_cred_check_e
ngx_cred_api_check(ngx_str_t *id)
{
    size_t  i;

    if (id->len > NGX_CRED_API_ID_LEN) {
        return NGX_CRED_CHECK_ABSENT;
    }

    for (i = 0; i < id->len; i++) {
        if (id->data[i] < 0x20 || id->data[i] == 0x7f) {
            return NGX_CRED_CHECK_ABSENT;
        }
    }

    return NGX_CRED_CHECK_ALL;
}


void
ngx_cred_api_extra(ngx_cred_answer_t *answer, const char *key,
    ngx_str_t *value)
{
    ngx_keyval_t  *kv;

    kv = &answer->extra[answer->nextra++];

    kv->key.data = (u_char *) key;
    kv->key.len = ngx_strlen(key);
    kv->value = *value;
}


ngx_int_t
ngx_cred_api_utf8(ngx_pool_t *pool, ngx_str_t *src, ngx_str_t *dst)
{
    u_char      *p, *d, *last;
    size_t       len;
    ngx_uint_t   bad;

    p = src->data;
    last = src->data + src->len;

    for (bad = 0; p < last && !bad; p += len) {
        len = ngx_cred_utf8_char(p, last, &bad);
    }

    if (!bad) {
        *dst = *src;
        return NGX_OK;
    }

    d = ngx_pnalloc(pool, src->len * (sizeof("\xef\xbf\xbd") - 1));
    if (d == NULL) {
        return NGX_ERROR;
    }

    dst->data = d;

    for (p = src->data; p < last; p += len) {
        len = ngx_cred_utf8_char(p, last, &bad);

        if (bad) {
            d = ngx_cpymem(d, "\xef\xbf\xbd", sizeof("\xef\xbf\xbd") - 1);

        } else {
            d = ngx_cpymem(d, p, len);
        }
    }

    dst->len = d - dst->data;

    return NGX_OK;
}


json_t *
ngx_cred_api_string(ngx_cred_view_t *view, ngx_str_t *s)
{
    return ngx_cred_api_text(view->pool, s);
}


json_t *
ngx_cred_api_text(ngx_pool_t *pool, ngx_str_t *s)
{
    json_t     *json;
    ngx_str_t   utf8;

    json = json_stringn((char *) s->data, s->len);

    if (json != NULL) {
        return json;
    }

    if (ngx_cred_api_utf8(pool, s, &utf8) != NGX_OK) {
        return NULL;
    }

    return json_stringn((char *) utf8.data, utf8.len);
}


u_char *
ngx_cred_api_quote(ngx_cred_view_t *view, u_char *dst, ngx_str_t *s)
{
    u_char   c;
    size_t   i, len;
    json_t  *json;

    for (i = 0; i < s->len; i++) {
        c = s->data[i];

        if (c < 0x20 || c >= 0x7f || c == '"' || c == '\\') {
            break;
        }
    }

    if (i && i == s->len) {

        /* nothing to escape, as in nearly all names */

        *dst++ = '"';
        dst = ngx_cpymem(dst, s->data, s->len);
        *dst++ = '"';

        return dst;
    }

    json = ngx_cred_api_string(view, s);
    if (json == NULL) {
        return NULL;
    }

    len = json_dumpb(json, (char *) dst, NGX_CRED_API_QUOTED_LEN(s->len),
                     JSON_ENCODE_ANY);
    json_decref(json);

    return len ? dst + len : NULL;
}


ngx_int_t
ngx_cred_api_json(ngx_pool_t *pool, json_t *json, ngx_str_t *out)
{
    size_t  size;

    if (json == NULL) {
        return NGX_ERROR;
    }

    size = json_dumpb(json, NULL, 0, NGX_CRED_API_JSON);

    if (size == 0) {
        goto failed;
    }

    out->data = ngx_pnalloc(pool, size);
    if (out->data == NULL) {
        goto failed;
    }

    out->len = json_dumpb(json, (char *) out->data, size, NGX_CRED_API_JSON);

    if (out->len != size) {
        goto failed;
    }

    json_decref(json);

    return NGX_OK;

failed:

    json_decref(json);

    return NGX_ERROR;
}
