
/*
 * Copyright (C) ngx_cred_module authors
 * SPDX-License-Identifier: BSD-2-Clause
 */


/*
 * libFuzzer's changes of RESP: a string that is longer than before would be no
 * RESP any more, so most of the times lengths are made right again.
 */


#include <fuzz.h>


size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t max)
    __attribute__ ((weak));

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max,
    unsigned int seed);

static size_t mend(const u_char *data, size_t size, u_char *dst, size_t max);


size_t
LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max,
    unsigned int seed)
{
    u_char  *buf;

    size = LLVMFuzzerMutate(data, size, max);

    if (seed % 4 == 0) {
        return size;
    }

    buf = malloc(max);
    fuzz_assert(buf != NULL);

    size = mend(data, size, buf, max);

    ngx_memcpy(data, buf, size);
    free(buf);

    return size;
}


static size_t
mend(const u_char *data, size_t size, u_char *dst, size_t max)
{
    int            n;
    char           number[32];
    u_char        *d;
    const u_char  *p, *last, *digits, *text, *end;

    p = data;
    last = data + size;
    d = dst;

    while (p < last && (size_t) (d - dst) < max) {

        if (*p != '$' || last - p < 2 || p[1] < '0' || p[1] > '9') {
            *d++ = *p++;
            continue;
        }

        for (digits = p + 1; digits < last && *digits >= '0' && *digits <= '9';
             digits++)
        {
            /* void */
        }

        text = digits + 2;
        end = (last - digits > 2 && digits[0] == '\r' && digits[1] == '\n')
              ? memmem(text, last - text, "\r\n", 2) : NULL;

        if (end == NULL) {
            *d++ = *p++;
            continue;
        }

        n = snprintf(number, sizeof(number), "$%d\r\n", (int) (end - text));

        if ((size_t) n + (end - text) + 2 > max - (d - dst)) {
            break;
        }

        d = ngx_cpymem(d, number, n);
        d = ngx_cpymem(d, text, end + 2 - text);
        p = end + 2;
    }

    return d - dst;
}
