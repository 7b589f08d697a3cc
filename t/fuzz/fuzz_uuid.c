
/*
 * Copyright (C) ngx_cred_module authors
 * SPDX-License-Identifier: BSD-2-Clause
 */


#include <fuzz.h>
#include <ngx_cred_uuid.h>


int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    size_t     i, len, again;
    ngx_str_t  text, canonical;
    u_char     uuid[NGX_CRED_UUID_LEN], second[NGX_CRED_UUID_LEN];
    u_char     error[NGX_CRED_UUID_ERROR_LEN + 1];

    text.data = (u_char *) data;
    text.len = size;

    len = 0;
    error[NGX_CRED_UUID_ERROR_LEN] = 0x5a;

    if (ngx_cred_uuid_parse(&text, uuid, error, &len) != NGX_OK) {

        fuzz_assert(len > sizeof("invalid ") - 1
                    && len <= NGX_CRED_UUID_ERROR_LEN);
        fuzz_assert(error[NGX_CRED_UUID_ERROR_LEN] == 0x5a);
        fuzz_assert(ngx_memcmp(error, "invalid ", sizeof("invalid ") - 1)
                    == 0);

        return 0;
    }

    fuzz_assert(size == 32 || size == 36 || size == 38 || size == 45);

    for (i = 0; i < NGX_CRED_UUID_LEN; i++) {

        if (i == 8 || i == 13 || i == 18 || i == 23) {
            fuzz_assert(uuid[i] == '-');
            continue;
        }

        fuzz_assert((uuid[i] >= '0' && uuid[i] <= '9')
                    || (uuid[i] >= 'a' && uuid[i] <= 'f'));
    }

    canonical.data = uuid;
    canonical.len = NGX_CRED_UUID_LEN;

    fuzz_assert(ngx_cred_uuid_parse(&canonical, second, error, &again)
                == NGX_OK);
    fuzz_assert(ngx_memcmp(uuid, second, NGX_CRED_UUID_LEN) == 0);

    return 0;
}
