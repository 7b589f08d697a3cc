
/*
 * Copyright (C) ngx_cred_module authors
 * SPDX-License-Identifier: BSD-2-Clause
 */


#include <fuzz.h>
#include <ngx_http.h>
#include <ngx_cred_api.h>
#include <ngx_cred_spelling.h>


static void fuzz_spelling(ngx_str_t *uri);


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

    fuzz_spelling(&uri);

    return 0;
}


/* whatever it finds is a slice of the path or of memory of the pool */

static void
fuzz_spelling(ngx_str_t *uri)
{
    ngx_int_t          rc;
    ngx_pool_t        *pool;
    ngx_uint_t         n;
    ngx_cred_api_t    *api;
    ngx_cred_route_t   route;

    pool = ngx_create_pool(NGX_MIN_POOL_SIZE, &unit_log);
    fuzz_assert(pool != NULL);

    for (n = 0; ngx_cred_apis[n]; n++) { /* void */ }

    ngx_memzero(&route, sizeof(ngx_cred_route_t));

    rc = ngx_cred_spelling(pool, ngx_cred_apis, n, NGX_HTTP_DELETE, uri, uri,
                           &api, &route);

    fuzz_assert(rc == NGX_OK ? api != NULL : rc == NGX_DECLINED);

    if (rc == NGX_OK) {
        fuzz_assert(route.id.len > 0);
        fuzz_assert(ngx_strlchr(route.id.data, route.id.data + route.id.len,
                                '/')
                    == NULL);
        fuzz_assert(route.scope.len == 0
                    || ngx_strlchr(route.scope.data,
                                   route.scope.data + route.scope.len, '/')
                       == NULL);
    }

    ngx_destroy_pool(pool);
}
