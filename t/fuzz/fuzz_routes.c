
/*
 * Copyright (C) ngx_cred_module authors
 * SPDX-License-Identifier: BSD-2-Clause
 */


#include <fuzz.h>
#include <ngx_http.h>
#include <ngx_cred_api.h>


const char  *fuzz_seeds[] = {
    "/apiops/projects/MyProject/credentials/api-user/",
    "/v3.0/OS-CREDENTIAL/credentials/ABCDEFGHIJ0123456789",
    "/api/v1/infrastructure/file_stores/550e8400-e29b-41d4-a716-446655440000",
    "/credentials/405/delete.json",
    "/v6/credentials/405/delete",
    "/users/u/credentials/c",
    "/", "//",
    NULL
};


int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    u_char            *last;
    ngx_str_t          uri;
    ngx_uint_t         i, matches;
    ngx_cred_path_t    path;
    ngx_cred_route_t   route;

    uri.data = (u_char *) data;
    uri.len = size;

    last = uri.data + uri.len;
    matches = 0;

    for (i = 0; ngx_cred_apis[i]; i++) {

        ngx_memzero(&route, sizeof(ngx_cred_route_t));

        path.rest = uri;
        path.lax = 0;

        if (ngx_cred_apis[i]->route(&path, &route) != NGX_OK) {
            continue;
        }

        matches++;

        fuzz_assert(route.id.len > 0);
        fuzz_assert(route.id.data > uri.data
                    && route.id.data + route.id.len <= last);
        fuzz_assert(ngx_strlchr(route.id.data, route.id.data + route.id.len,
                                '/')
                    == NULL);

        if (route.scope.len) {
            fuzz_assert(route.scope.data > uri.data
                        && route.scope.data + route.scope.len
                           < route.id.data);
            fuzz_assert(ngx_strlchr(route.scope.data,
                                    route.scope.data + route.scope.len, '/')
                        == NULL);
        }
    }

    fuzz_assert(matches <= 1);

    return 0;
}
