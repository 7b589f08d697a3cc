
/*
 * Copyright (C) ngx_cred_module authors
 * SPDX-License-Identifier: BSD-2-Clause
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_cred_connector_read.h>


#define NGX_CRED_CONNECTOR_SHOWN  64    /* bytes of what is wrong */


ngx_int_t
ngx_cred_connector_error(ngx_pool_t *pool, ngx_str_t *err, const char *fmt,
    ...)
{
    u_char   *p, *last;
    va_list   args;
    u_char    buf[NGX_MAX_ERROR_STR];

    va_start(args, fmt);
    last = ngx_vslprintf(buf, buf + sizeof(buf), fmt, args);
    va_end(args);

    p = ngx_pnalloc(pool, last - buf);
    if (p == NULL) {
        ngx_str_null(err);
        return NGX_ERROR;
    }

    err->data = p;
    err->len = ngx_cpymem(p, buf, last - buf) - p;

    return NGX_DECLINED;
}


ngx_int_t
ngx_cred_connector_wrong(ngx_pool_t *pool, ngx_str_t *err, const char *what,
    ngx_str_t *s)
{
    ngx_str_t  shown;

    shown = *s;
    shown.len = ngx_min(shown.len, NGX_CRED_CONNECTOR_SHOWN);

    return ngx_cred_connector_error(pool, err, "%s \"%V\"", what, &shown);
}


ngx_uint_t
ngx_cred_connector_is(ngx_str_t *one, ngx_str_t *two)
{
    return one->len == two->len
           && (one->len == 0
               || ngx_memcmp(one->data, two->data, one->len) == 0);
}


ngx_uint_t
ngx_cred_connector_has_control(ngx_str_t *s)
{
    size_t  i;

    for (i = 0; i < s->len; i++) {
        if (s->data[i] < 0x20 || s->data[i] == 0x7f) {
            return 1;
        }
    }

    return 0;
}


ngx_uint_t
ngx_cred_connector_is_digit(u_char c)
{
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f')
           || (c >= 'A' && c <= 'F');
}
