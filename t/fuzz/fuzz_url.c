
/*
 * Copyright (C) ngx_cred_module authors
 * SPDX-License-Identifier: BSD-2-Clause
 */


#include <fuzz.h>
#include <ngx_cred_redis.h>


static void fuzz_secret(ngx_str_t *text, ngx_str_t *name, ngx_str_t *secret);
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

    fuzz_secret(&text, &url.name, &url.password);
    fuzz_secret(&text, &url.name, &url.sentinel_password);

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
        fuzz_assert(url.hosts[i].name.len <= NGX_CRED_NET_HOST_LEN);
        fuzz_assert(url.hosts[i].port > 0);

        fuzz_clean(&url.hosts[i].name, "host");
    }

    fuzz_clean(&url.path, "path");
    fuzz_clean(&url.master, "master");
    fuzz_clean(&url.name, "name");

    ngx_destroy_pool(pool);

    return 0;
}


/*
 * The name has nothing of a secret that is once in the URL: a plain one, and
 * too long for what is in a name and not in its URL.
 */

static void
fuzz_secret(ngx_str_t *text, ngx_str_t *name, ngx_str_t *secret)
{
    u_char      *p, *last;
    ngx_uint_t   n;

    if (secret->len <= sizeof(":26379/0") - 1) {
        return;
    }

    last = text->data + text->len;

    for (p = text->data; p < last; p++) {
        if (*p <= 0x20 || *p >= 0x7f || *p == '%') {
            return;
        }
    }

    for (p = secret->data; p < secret->data + secret->len; p++) {
        if (*p == ':' || *p == '/' || *p == ',') {
            return;
        }
    }

    n = 0;

    for (p = text->data; p < last; p++) {
        if ((size_t) (last - p) >= secret->len
            && ngx_memcmp(p, secret->data, secret->len) == 0)
        {
            n++;
        }
    }

    fuzz_assert(n != 1 || memmem(name->data, name->len, secret->data,
                                 secret->len)
                          == NULL);
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
