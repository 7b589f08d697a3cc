
/*
 * Copyright (C) ngx_cred_module authors
 * SPDX-License-Identifier: BSD-2-Clause
 */


/*
 * Authorization and what stands for it, as each API and a gateway reads it.
 * The first line is the header's value, the second one X-API-Key, if any.
 */


#include <fuzz.h>
#include <request.h>
#include <ngx_cred_access_http.h>


static void fuzz_api(ngx_cred_api_t *api, ngx_str_t *value);
static ngx_int_t fuzz_identify(ngx_cred_api_t *api, ngx_str_t *value,
    ngx_uint_t times, ngx_pool_t *pool, ngx_cred_params_t *params);
static void fuzz_gateway(ngx_str_t *value, ngx_str_t *key);
static void fuzz_shown(ngx_str_t *value, ngx_str_t *token);
static ngx_uint_t fuzz_scheme(ngx_str_t *value, const char *scheme);
static ngx_uint_t fuzz_same(ngx_str_t *one, ngx_str_t *two);


/* a path of each API; other parts of it are of no matter here */

static ngx_str_t  fuzz_paths[] = {
    ngx_string("/users/u/credentials/c"),
    ngx_string("/apiops/projects/P/credentials/u/"),
    ngx_string("/v3.0/OS-CREDENTIAL/credentials/AK"),
    ngx_string("/api/v1/infrastructure/file_stores/"
               "550e8400-e29b-41d4-a716-446655440000"),
    ngx_string("/credentials/405/delete.json")
};

static ngx_table_elt_t  fuzz_key;
static ngx_uint_t       fuzz_nkeys;


int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    u_char      *p, *last;
    ngx_str_t    value, key;
    ngx_uint_t   i;

    p = (u_char *) data;
    last = p + size;

    value.data = p;
    key.len = 0;
    key.data = NULL;

    p = ngx_strlchr(p, last, '\n');
    value.len = (p ? p : last) - value.data;

    if (p) {
        key.data = p + 1;
        key.len = last - key.data;
    }

    for (i = 0; ngx_cred_apis[i]; i++) {
        fuzz_api(ngx_cred_apis[i], &value);
    }

    fuzz_gateway(&value, &key);

    return 0;
}


static void
fuzz_api(ngx_cred_api_t *api, ngx_str_t *value)
{
    size_t              i;
    ngx_int_t           rc;
    ngx_str_t           other;
    ngx_pool_t         *pool;
    ngx_cred_params_t   params, again;

    pool = ngx_create_pool(NGX_MIN_POOL_SIZE, &unit_log);
    fuzz_assert(pool != NULL);

    rc = fuzz_identify(api, value, 1, pool, &params);

    fuzz_assert(rc == NGX_OK || rc == NGX_DECLINED);

    /* of two nobody can tell which one it is */

    fuzz_assert(fuzz_identify(api, value, 2, pool, &again) == NGX_DECLINED);
    fuzz_assert(fuzz_identify(api, value, 0, pool, &again) == NGX_DECLINED);

    if (rc == NGX_OK) {
        fuzz_assert(params.token.len > 0);

        if (params.subject.len) {
            fuzz_assert(fuzz_scheme(value, "basic"));
            fuzz_assert(ngx_strlchr(params.subject.data, params.subject.data
                                    + params.subject.len, ':') == NULL);

        } else {
            fuzz_shown(value, &params.token);
        }
    }

    /* the scheme is the same in any case, and the token is not */

    other.len = value->len;
    other.data = ngx_pnalloc(pool, value->len + 1);
    fuzz_assert(other.data != NULL);

    ngx_memcpy(other.data, value->data, value->len);

    if (api->headers[0].len == sizeof("authorization") - 1) {

        for (i = 0; i < other.len && other.data[i] != ' '; i++) {
            other.data[i] = (i % 2) ? ngx_toupper(other.data[i])
                                    : ngx_tolower(other.data[i]);
        }

        fuzz_assert(fuzz_identify(api, &other, 1, pool, &again) == rc);
        fuzz_assert(rc != NGX_OK || (fuzz_same(&again.token, &params.token)
                                     && fuzz_same(&again.subject,
                                                  &params.subject)));
    }

    ngx_destroy_pool(pool);
}


static ngx_int_t
fuzz_identify(ngx_cred_api_t *api, ngx_str_t *value, ngx_uint_t times,
    ngx_pool_t *pool, ngx_cred_params_t *params)
{
    request_t        rq;
    ngx_int_t        rc;
    ngx_uint_t       i;
    ngx_cred_path_t  path;

    ngx_memzero(&rq, sizeof(request_t));
    ngx_memzero(params, sizeof(ngx_cred_params_t));

    rq.api = api;
    rq.view.pool = pool;
    rq.view.conf = &rq.conf;
    ngx_str_set(&rq.conf.alloy_version, "2025-09");

    rc = NGX_DECLINED;

    for (i = 0; i < sizeof(fuzz_paths) / sizeof(ngx_str_t); i++) {
        path.rest = fuzz_paths[i];
        path.lax = 0;

        rc = api->route(&path, &rq.view.route);

        if (rc == NGX_OK) {
            break;
        }
    }

    fuzz_assert(rc == NGX_OK);

    while (times--) {
        request_header(&rq, 0, value);
    }

    return api->identify(&rq.view, params);
}


/* a token is all that is visible after the scheme, if there is one */

static void
fuzz_shown(ngx_str_t *value, ngx_str_t *token)
{
    size_t   i;
    u_char  *p;

    fuzz_assert(token->data >= value->data
                && token->data + token->len <= value->data + value->len);

    for (i = 0; i < token->len; i++) {
        fuzz_assert(token->data[i] > 0x20 && token->data[i] < 0x7f);
    }

    if (token->data == value->data) {
        fuzz_assert(token->len == value->len);
        return;
    }

    fuzz_assert(fuzz_scheme(value, "bearer"));

    for (p = value->data + 6; p < token->data; p++) {
        fuzz_assert(*p == ' ');
    }

    for (p = token->data + token->len; p < value->data + value->len; p++) {
        fuzz_assert(*p == ' ');
    }
}


static void
fuzz_gateway(ngx_str_t *value, ngx_str_t *key)
{
    ngx_int_t                         rc;
    ngx_str_t                         found;
    ngx_pool_t                       *pool;
    ngx_table_elt_t                   authorization;
    ngx_http_request_t                r;
    ngx_http_cred_access_loc_conf_t   alcf;

    pool = ngx_create_pool(NGX_MIN_POOL_SIZE, &unit_log);
    fuzz_assert(pool != NULL);

    ngx_memzero(&r, sizeof(ngx_http_request_t));
    ngx_memzero(&alcf, sizeof(ngx_http_cred_access_loc_conf_t));
    ngx_memzero(&authorization, sizeof(ngx_table_elt_t));

    r.pool = pool;
    authorization.value = *value;
    fuzz_key.value = *key;

    /* one of them, and both */

    fuzz_nkeys = (key->data != NULL);

    if (value->len) {
        r.headers_in.authorization = &authorization;
    }

    rc = ngx_http_cred_access_key(&r, &alcf, &found);

    fuzz_assert(rc == NGX_OK || rc == NGX_DECLINED);
    fuzz_assert(rc == NGX_DECLINED || (value->len != 0) != fuzz_nkeys);

    if (rc == NGX_OK) {
        fuzz_assert(found.len > 0 && found.len <= 4096);
        fuzz_assert(!fuzz_nkeys || fuzz_same(&found, key));
        fuzz_assert(fuzz_nkeys || fuzz_scheme(value, "bearer")
                    || ngx_strlchr(found.data, found.data + found.len, ':'));
    }

    ngx_destroy_pool(pool);
}


static ngx_uint_t
fuzz_scheme(ngx_str_t *value, const char *scheme)
{
    size_t  len;

    len = ngx_strlen(scheme);

    return value->len > len && value->data[len] == ' '
           && ngx_strncasecmp(value->data, (u_char *) scheme, len) == 0;
}


static ngx_uint_t
fuzz_same(ngx_str_t *one, ngx_str_t *two)
{
    return one->len == two->len
           && (one->len == 0
               || ngx_memcmp(one->data, two->data, one->len) == 0);
}


/* what the gateway wants of the rest of its room and of nginx */

ngx_table_elt_t *
ngx_http_cred_find_header(ngx_http_request_t *r, ngx_str_t *name,
    ngx_uint_t *count)
{
    *count = fuzz_nkeys;

    return fuzz_nkeys ? &fuzz_key : NULL;
}


ngx_int_t
ngx_http_complex_value(ngx_http_request_t *r, ngx_http_complex_value_t *val,
    ngx_str_t *value)
{
    return NGX_ERROR;
}
