
/*
 * Copyright (C) ngx_cred_module authors
 * SPDX-License-Identifier: BSD-2-Clause
 */


#include <fuzz.h>
#include <ngx_cred_redis.h>


const char  *fuzz_seeds[] = {
    "redis://localhost",
    "redis://user:p%40ss@10.0.0.5:6380/3?prefix=%7Bcred%7D",
    "rediss://:secret@[2001:db8::5]:6379",
    "unix:/run/redis.sock?db=5&prefix=x",
    "redis://h:1/2?prefix=x",
    "redis://user@h/",
    "%00", "%", "@", "?", "prefix=", "db=",
    NULL
};


static void fuzz_clean(ngx_str_t *s, const char *what);


int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char                  *err;
    ngx_str_t              text;
    ngx_uint_t             i;
    ngx_pool_t            *pool;
    ngx_cred_redis_url_t   url;

    text.data = (u_char *) data;
    text.len = size;

    err = NULL;

    pool = ngx_create_pool(NGX_MIN_POOL_SIZE, &unit_log);
    fuzz_assert(pool != NULL);

    if (ngx_cred_redis_url_parse(pool, &text, &url, &err) != NGX_OK) {
        fuzz_assert(err != NULL && err[0] != '\0');
        ngx_destroy_pool(pool);
        return 0;
    }

    fuzz_assert(url.name.len > 0);

    if (url.path.len) {
        fuzz_assert(url.path.data[0] == '/' && url.nhosts == 0);
        fuzz_assert(url.path.len < sizeof(((struct sockaddr_un *) 0)
                                          ->sun_path));
        fuzz_assert(!url.tls);

    } else {
        fuzz_assert(url.nhosts > 0 && url.nhosts <= NGX_CRED_REDIS_HOSTS);
        fuzz_assert(url.nhosts == 1 || url.kind != NGX_CRED_REDIS_SERVER);
        fuzz_assert((url.master.len != 0)
                    == (url.kind == NGX_CRED_REDIS_SENTINEL));
    }

    /* these go to connect(), to the resolver and to logs */

    for (i = 0; i < url.nhosts; i++) {
        fuzz_assert(url.hosts[i].name.len > 0);
        fuzz_assert(url.hosts[i].name.len <= NGX_CRED_REDIS_HOST_LEN);
        fuzz_assert(url.hosts[i].port > 0);

        fuzz_clean(&url.hosts[i].name, "host");
    }

    fuzz_clean(&url.path, "path");
    fuzz_clean(&url.master, "master");
    fuzz_clean(&url.name, "name");

    ngx_destroy_pool(pool);

    return 0;
}


static void
fuzz_clean(ngx_str_t *s, const char *what)
{
    size_t  i;

    for (i = 0; i < s->len; i++) {

        if (s->data[i] == '\0') {
            fprintf(stderr, "zero byte in %s\n", what);
            abort();
        }
    }
}
