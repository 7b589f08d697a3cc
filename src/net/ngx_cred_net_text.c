
/*
 * Copyright (C) ngx_cred_module authors
 * SPDX-License-Identifier: BSD-2-Clause
 */


/* what logs and receipts may have */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_cred_net.h>


u_char *
ngx_cred_net_printable(u_char *dst, u_char *last, ngx_str_t *src)
{
    u_char  *p, *end;

    end = src->data + src->len;

    for (p = src->data; p < end && dst < last; p++) {
        *dst++ = (*p < 0x20 || *p == 0x7f) ? '?' : *p;
    }

    return dst;
}


size_t
ngx_cred_net_word(u_char *buf, size_t size, ngx_err_t err, const char *reason,
    ngx_str_t *detail)
{
    u_char     *p, *last;
    ngx_str_t   text;

    last = buf + size;
    p = ngx_slprintf(buf, last, "%s", reason);

    if (detail) {
        p = ngx_slprintf(p, last, " %V", detail);
    }

    if (err) {
        p = ngx_slprintf(p, last, " (%d: ", err);
        p = ngx_strerror(err, p, last - p);
        p = ngx_slprintf(p, last, ")");
    }

    text.data = buf;
    text.len = p - buf;

    (void) ngx_cred_net_printable(buf, last, &text);

    return text.len;
}
