
/*
 * Copyright (C) ngx_cred_module authors
 * SPDX-License-Identifier: BSD-2-Clause
 */


/* what logs and keys are called */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_cred_redis.h>


static u_char *ngx_cred_redis_url_name_host(u_char *p,
    ngx_cred_net_host_t *host);


ngx_int_t
ngx_cred_redis_url_name(ngx_pool_t *pool, ngx_cred_redis_url_t *url)
{
    u_char      *p;
    size_t       len;
    ngx_uint_t   i;

    len = sizeof("unix:?db=/#") + NGX_INT_T_LEN + url->path.len
          + url->master.len;

    for (i = 0; i < url->nhosts; i++) {
        len += url->hosts[i].name.len + sizeof("[]:65535,");
    }

    p = ngx_pnalloc(pool, len);
    if (p == NULL) {
        return NGX_ERROR;
    }

    url->name.data = p;

    if (url->path.len) {
        p = ngx_sprintf(p, "unix:%V?db=%ui", &url->path, url->db);

    } else {
        for (i = 0; i < url->nhosts; i++) {

            if (i) {
                *p++ = ',';
            }

            p = ngx_cred_redis_url_name_host(p, &url->hosts[i]);
        }

        p = ngx_sprintf(p, "/%ui", url->db);
    }

    if (url->master.len) {
        p = ngx_sprintf(p, "#%V", &url->master);
    }

    url->name.len = p - url->name.data;

    /* percent-encoded, a path or a host may have any character */

    (void) ngx_cred_net_printable(url->name.data, p, &url->name);

    return NGX_OK;
}


static u_char *
ngx_cred_redis_url_name_host(u_char *p, ngx_cred_net_host_t *host)
{
    ngx_str_t  *name;

    name = &host->name;

    if (ngx_strlchr(name->data, name->data + name->len, ':')) {
        return ngx_sprintf(p, "[%V]:%ui", name, (ngx_uint_t) host->port);
    }

    return ngx_sprintf(p, "%V:%ui", name, (ngx_uint_t) host->port);
}


ngx_uint_t
ngx_cred_redis_tagged(ngx_str_t *prefix)
{
    u_char  *p, *last;

    last = prefix->data + prefix->len;

    p = ngx_strlchr(prefix->data, last, '{');

    if (p == NULL) {
        return 0;
    }

    last = ngx_strlchr(p, last, '}');

    return last != NULL && last - p > 1;
}
