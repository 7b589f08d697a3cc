
/*
 * Copyright (C) ngx_cred_module authors
 * SPDX-License-Identifier: BSD-2-Clause
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_cred_fields.h>


static ngx_int_t ngx_cred_fields_preference(u_char **p, u_char *last,
    ngx_uint_t *seconds);
static u_char *ngx_cred_fields_token(u_char *p, u_char *last);
static u_char *ngx_cred_fields_space(u_char *p, u_char *last);
static u_char *ngx_cred_fields_word(u_char *p, u_char *last, ngx_int_t *n);
static void ngx_cred_fields_digit(u_char c, ngx_int_t *n);
static u_char *ngx_cred_fields_comma(u_char *p, u_char *last);
static ngx_uint_t ngx_cred_fields_id(u_char *p, size_t len);


ngx_int_t
ngx_cred_fields_wait(ngx_str_t *value, ngx_uint_t *seconds)
{
    u_char     *p, *last;
    ngx_int_t   rc;

    p = value->data;
    last = p + value->len;

    while (p < last) {
        rc = ngx_cred_fields_preference(&p, last, seconds);

        if (rc != NGX_DECLINED) {
            return rc;
        }

        p = ngx_cred_fields_comma(p, last);
    }

    return NGX_DECLINED;
}


/*
 * token [ "=" word ] and its parameters, up to a comma.  What is none, up to
 * there, is as if it was not there.
 */

static ngx_int_t
ngx_cred_fields_preference(u_char **p, u_char *last, ngx_uint_t *seconds)
{
    u_char      *name, *end;
    ngx_int_t    n;
    ngx_uint_t   wait;

    name = ngx_cred_fields_space(*p, last);
    end = ngx_cred_fields_token(name, last);

    wait = (end - name == 4
            && ngx_strncasecmp(name, (u_char *) "wait", 4) == 0);
    n = NGX_ERROR;

    *p = end;
    end = ngx_cred_fields_space(end, last);

    if (end < last && *end == '=') {
        *p = ngx_cred_fields_space(end + 1, last);
        end = ngx_cred_fields_word(*p, last, &n);

        if (end == NULL) {
            return NGX_DECLINED;
        }

        *p = end;
        end = ngx_cred_fields_space(end, last);
    }

    if (!wait || (end < last && *end != ',' && *end != ';')) {
        return NGX_DECLINED;
    }

    if (n == NGX_ERROR) {
        return NGX_ABORT;
    }

    *seconds = n;

    return NGX_OK;
}


static u_char *
ngx_cred_fields_token(u_char *p, u_char *last)
{
    for ( /* void */ ; p < last; p++) {

        if (*p <= ' ' || *p >= 0x7f
            || ngx_strchr("\"(),/:;<=>?@[\\]{}", *p) != NULL)
        {
            break;
        }
    }

    return p;
}


static u_char *
ngx_cred_fields_space(u_char *p, u_char *last)
{
    while (p < last && (*p == ' ' || *p == '\t')) {
        p++;
    }

    return p;
}


/*
 * The end of a token or a quoted string, and its number, NGX_ERROR if it is
 * none; NULL if there is no such word.
 */

static u_char *
ngx_cred_fields_word(u_char *p, u_char *last, ngx_int_t *n)
{
    u_char  *start, *end;

    start = p;
    *n = 0;

    if (p == last || *p != '"') {
        end = ngx_cred_fields_token(p, last);

        for ( /* void */ ; p < end; p++) {
            ngx_cred_fields_digit(*p, n);
        }

        return (end == start) ? NULL : end;
    }

    for (p++; p < last && *p != '"'; p++) {

        if (*p == '\\' && ++p == last) {
            return NULL;
        }

        ngx_cred_fields_digit(*p, n);
    }

    if (p == last) {
        return NULL;
    }

    if (p == start + 1) {
        *n = NGX_ERROR;
    }

    return p + 1;
}


static void
ngx_cred_fields_digit(u_char c, ngx_int_t *n)
{
    if (c < '0' || c > '9') {
        *n = NGX_ERROR;
    }

    if (*n != NGX_ERROR) {
        *n = ngx_min(*n * 10 + (c - '0'), NGX_CRED_FIELDS_WAIT_MAX);
    }
}


/* what follows the next comma that is in no quotes, or the end */

static u_char *
ngx_cred_fields_comma(u_char *p, u_char *last)
{
    ngx_uint_t  quoted;

    quoted = 0;

    for ( /* void */ ; p < last; p++) {

        if (*p == '"') {
            quoted = !quoted;

        } else if (quoted && *p == '\\') {
            p++;

        } else if (!quoted && *p == ',') {
            return p + 1;
        }
    }

    return last;
}


/* version, trace id, parent id and flags: 00-32-16-2 digits, small ones */

ngx_int_t
ngx_cred_fields_traceparent(ngx_str_t *value)
{
    u_char  *p;

    p = value->data;

    if (value->len != 55 || ngx_strncmp(p, "00-", 3) != 0
        || p[35] != '-' || p[52] != '-'
        || ngx_cred_fields_id(p + 3, 32) != 1
        || ngx_cred_fields_id(p + 36, 16) != 1
        || ngx_cred_fields_id(p + 53, 2) > 1)
    {
        return NGX_DECLINED;
    }

    return NGX_OK;
}


ngx_int_t
ngx_cred_fields_revision(ngx_str_t *value)
{
    size_t  i;

    if (value->len == 0 || value->len > NGX_CRED_FIELDS_REVISION_LEN) {
        return NGX_DECLINED;
    }

    for (i = 0; i < value->len; i++) {

        if (value->data[i] < '0' || value->data[i] > '9') {
            return NGX_DECLINED;
        }
    }

    return NGX_OK;
}


/* 1, or 0 if all digits are zero, or 2 if some are none */

static ngx_uint_t
ngx_cred_fields_id(u_char *p, size_t len)
{
    size_t      i;
    ngx_uint_t  other;

    other = 0;

    for (i = 0; i < len; i++) {

        if (!((p[i] >= '0' && p[i] <= '9') || (p[i] >= 'a' && p[i] <= 'f'))) {
            return 2;
        }

        other |= (p[i] != '0');
    }

    return other;
}
