
/*
 * Copyright (C) ngx_cred_module authors
 * SPDX-License-Identifier: BSD-2-Clause
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_cred_utf8.h>


size_t
ngx_cred_utf8_char(u_char *p, u_char *last, ngx_uint_t *bad)
{
    u_char  c, min, max;
    size_t  n, len;

    c = *p;
    min = 0x80;
    max = 0xbf;
    *bad = 0;

    if (c < 0x80) {
        return 1;
    }

    if (c >= 0xc2 && c <= 0xdf) {
        len = 2;

    } else if (c >= 0xe0 && c <= 0xef) {
        len = 3;

        if (c == 0xe0) {
            min = 0xa0;     /* overlong */

        } else if (c == 0xed) {
            max = 0x9f;     /* surrogates */
        }

    } else if (c >= 0xf0 && c <= 0xf4) {
        len = 4;

        if (c == 0xf0) {
            min = 0x90;     /* overlong */

        } else if (c == 0xf4) {
            max = 0x8f;     /* above U+10FFFF */
        }

    } else {
        *bad = 1;
        return 1;
    }

    for (n = 1; n < len; n++) {

        if (p + n == last || p[n] < min || p[n] > max) {
            *bad = 1;
            return n;
        }

        min = 0x80;
        max = 0xbf;
    }

    return len;
}
