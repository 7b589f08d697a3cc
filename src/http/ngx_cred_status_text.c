
/*
 * Copyright (C) ngx_cred_module authors
 * SPDX-License-Identifier: BSD-2-Clause
 */


/* text in Prometheus' format */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>
#include <ngx_cred_status_text.h>


#define NGX_HTTP_CRED_STATUS_CHUNK   16384


static ngx_int_t ngx_http_cred_status_room(ngx_http_cred_status_text_t *text,
    size_t size);


void
ngx_http_cred_status_head(ngx_http_cred_status_text_t *text, const char *name,
    const char *type, const char *help)
{
    ngx_http_cred_status_write(text, "# HELP %s %s\n# TYPE %s %s\n", name, help,
                               name, type);
}


/* some lines, or none: what is cut off would spoil the rest */

void
ngx_http_cred_status_write(ngx_http_cred_status_text_t *text, const char *fmt,
    ...)
{
    u_char   *p;
    size_t    size;
    va_list   args;

    size = NGX_HTTP_CRED_STATUS_CHUNK;

    do {
        if (ngx_http_cred_status_room(text, size) != NGX_OK) {
            return;
        }

        va_start(args, fmt);
        p = ngx_vslprintf(text->last, text->end, fmt, args);
        va_end(args);

        size = 2 * (text->end - text->last);

    } while (p == text->end);

    text->last = p;
}


static ngx_int_t
ngx_http_cred_status_room(ngx_http_cred_status_text_t *text, size_t size)
{
    u_char  *p;
    size_t   len;

    if ((size_t) (text->end - text->last) >= size) {
        return NGX_OK;
    }

    len = text->last - text->start;

    p = ngx_pnalloc(text->pool, 2 * len + 2 * size);
    if (p == NULL) {
        text->failed = 1;
        return NGX_ERROR;
    }

    if (len) {
        ngx_memcpy(p, text->start, len);
        (void) ngx_pfree(text->pool, text->start);
    }

    text->start = p;
    text->last = p + len;
    text->end = p + 2 * len + 2 * size;

    return NGX_OK;
}


/* with the digits that it needs, as others write it */

ngx_str_t
ngx_http_cred_status_number(double value, u_char *buf)
{
    ngx_str_t  number;

    number.data = buf;
    number.len = ngx_sprintf(buf, "%.3f", value) - buf;

    while (buf[number.len - 1] == '0') {
        number.len--;
    }

    if (buf[number.len - 1] == '.') {
        number.len--;
    }

    return number;
}


/*
 * What is no UTF-8 must be another label for each name: it is percent-encoded,
 * and so is what might look like it
 */

ngx_str_t
ngx_http_cred_status_label(ngx_http_cred_status_text_t *text, ngx_str_t *name)
{
    u_char     *p;
    size_t      i;
    ngx_str_t   label, utf8;

    ngx_str_null(&label);

    p = ngx_pnalloc(text->pool, 3 * name->len + 1);

    if (p == NULL
        || ngx_cred_api_utf8(text->pool, name, &utf8) != NGX_OK)
    {
        text->failed = 1;
        return label;
    }

    label.data = p;

    if (utf8.data != name->data
        || ngx_strlchr(name->data, name->data + name->len, '%') != NULL)
    {
        p = (u_char *) ngx_escape_uri(p, name->data, name->len,
                                      NGX_ESCAPE_URI_COMPONENT);
        label.len = p - label.data;

        return label;
    }

    for (i = 0; i < name->len; i++) {

        if (name->data[i] == '"' || name->data[i] == '\\') {
            *p++ = '\\';
        }

        if (name->data[i] == '\n') {
            *p++ = '\\';
            *p++ = 'n';

        } else {
            *p++ = name->data[i];
        }
    }

    label.len = p - label.data;

    return label;
}
