
/*
 * Copyright (C) ngx_cred_module authors
 * SPDX-License-Identifier: BSD-2-Clause
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_cred_redis.h>


#define NGX_CRED_REDIS_UNIX_LEN                                               \
    (sizeof(((struct sockaddr_un *) 0)->sun_path) - 1)


static ngx_int_t ngx_cred_redis_url_authority(ngx_pool_t *pool,
    u_char *p, u_char *last, ngx_cred_redis_url_t *url, char **err);
static ngx_int_t ngx_cred_redis_url_query(ngx_pool_t *pool,
    u_char *p, u_char *last, ngx_cred_redis_url_t *url, char **err);
static ngx_int_t ngx_cred_redis_url_db(u_char *p, u_char *last,
    ngx_cred_redis_url_t *url, char **err);
static ngx_int_t ngx_cred_redis_url_name(ngx_pool_t *pool,
    ngx_cred_redis_url_t *url);
static ngx_int_t ngx_cred_redis_url_decode(ngx_pool_t *pool,
    u_char *p, u_char *last, ngx_str_t *dst, char **err);


ngx_int_t
ngx_cred_redis_url_parse(ngx_pool_t *pool, ngx_str_t *text,
    ngx_cred_redis_url_t *url, char **err)
{
    u_char  *p, *last, *query, *path;

    ngx_memzero(url, sizeof(ngx_cred_redis_url_t));

    url->text = *text;

    p = text->data;
    last = p + text->len;

    query = ngx_strlchr(p, last, '?');

    if (query == NULL) {
        query = last;
    }

    if (text->len >= 5 && ngx_strncasecmp(p, (u_char *) "unix:", 5) == 0) {
        p += 5;

        if (ngx_cred_redis_url_decode(pool, p, query, &url->path, err)
            != NGX_OK)
        {
            return NGX_ERROR;
        }

        if (url->path.len < 2 || url->path.data[0] != '/') {
            *err = "no absolute path of a unix socket";
            return NGX_ERROR;
        }

        if (url->path.len > NGX_CRED_REDIS_UNIX_LEN) {
            *err = "too long path of a unix socket";
            return NGX_ERROR;
        }

    } else {

        if (text->len >= 8 && ngx_strncasecmp(p, (u_char *) "redis://", 8) == 0)
        {
            p += 8;

        } else if (text->len >= 9
                   && ngx_strncasecmp(p, (u_char *) "rediss://", 9) == 0)
        {
            p += 9;
            url->tls = 1;

        } else {
            *err = "neither \"redis://\", \"rediss://\" nor \"unix:\"";
            return NGX_ERROR;
        }

        path = ngx_strlchr(p, query, '/');

        if (path == NULL) {
            path = query;
        }

        if (ngx_cred_redis_url_authority(pool, p, path, url, err) != NGX_OK) {
            return NGX_ERROR;
        }

        if (query - path > 1
            && ngx_cred_redis_url_db(path + 1, query, url, err) != NGX_OK)
        {
            return NGX_ERROR;
        }
    }

    if (query < last
        && ngx_cred_redis_url_query(pool, query + 1, last, url, err) != NGX_OK)
    {
        return NGX_ERROR;
    }

    if (ngx_cred_redis_url_name(pool, url) != NGX_OK) {
        *err = "no memory";
        return NGX_ERROR;
    }

    return NGX_OK;
}


static ngx_int_t
ngx_cred_redis_url_authority(ngx_pool_t *pool, u_char *p, u_char *last,
    ngx_cred_redis_url_t *url, char **err)
{
    u_char     *at, *colon, *port, *end;
    ngx_int_t   n;

    for (at = last; at > p && at[-1] != '@'; at--) { /* void */ }

    if (at > p) {
        colon = ngx_strlchr(p, at - 1, ':');

        if (colon == NULL) {
            colon = at - 1;
        }

        if (ngx_cred_redis_url_decode(pool, p, colon, &url->user, err)
            != NGX_OK)
        {
            return NGX_ERROR;
        }

        if (colon < at - 1
            && ngx_cred_redis_url_decode(pool, colon + 1, at - 1,
                                         &url->password, err)
               != NGX_OK)
        {
            return NGX_ERROR;
        }

        if (url->user.len == 0 && url->password.len == 0) {
            *err = "empty password";
            return NGX_ERROR;
        }

        p = at;
    }

    if (p < last && *p == '[') {
        port = ngx_strlchr(p, last, ']');

        if (port == NULL || (port + 1 < last && port[1] != ':')) {
            *err = "invalid IPv6 address";
            return NGX_ERROR;
        }

        end = port++;
        p++;

    } else {
        port = ngx_strlchr(p, last, ':');

        if (port == NULL) {
            port = last;
        }

        end = port;
    }

    if (ngx_cred_redis_url_decode(pool, p, end, &url->host, err) != NGX_OK) {
        return NGX_ERROR;
    }

    if (url->host.len == 0) {
        *err = "no host";
        return NGX_ERROR;
    }

    url->port = NGX_CRED_REDIS_PORT;

    if (port < last) {
        n = ngx_atoi(port + 1, last - port - 1);

        if (n < 1 || n > 65535) {
            *err = "invalid port";
            return NGX_ERROR;
        }

        url->port = (in_port_t) n;
    }

    return NGX_OK;
}


static ngx_int_t
ngx_cred_redis_url_query(ngx_pool_t *pool, u_char *p, u_char *last,
    ngx_cred_redis_url_t *url, char **err)
{
    u_char     *next, *value;
    ngx_uint_t  db;

    db = 0;

    for ( /* void */ ; p < last; p = next + 1) {

        next = ngx_strlchr(p, last, '&');

        if (next == NULL) {
            next = last;
        }

        value = ngx_strlchr(p, next, '=');

        if (value == NULL) {
            *err = "parameter without a value";
            return NGX_ERROR;
        }

        value++;

        if (value - p == 7 && ngx_strncmp(p, "prefix=", 7) == 0) {

            if (url->prefix.data) {
                *err = "duplicate \"prefix\"";
                return NGX_ERROR;
            }

            if (ngx_cred_redis_url_decode(pool, value, next, &url->prefix, err)
                != NGX_OK)
            {
                return NGX_ERROR;
            }

            if (url->prefix.len == 0) {
                *err = "empty \"prefix\"";
                return NGX_ERROR;
            }

        } else if (value - p == 3 && ngx_strncmp(p, "db=", 3) == 0
                   && url->path.len)
        {
            if (db++) {
                *err = "duplicate \"db\"";
                return NGX_ERROR;
            }

            if (ngx_cred_redis_url_db(value, next, url, err) != NGX_OK) {
                return NGX_ERROR;
            }

        } else {
            *err = "unknown parameter";
            return NGX_ERROR;
        }
    }

    return NGX_OK;
}


static ngx_int_t
ngx_cred_redis_url_db(u_char *p, u_char *last, ngx_cred_redis_url_t *url,
    char **err)
{
    ngx_int_t  n;

    n = ngx_atoi(p, last - p);

    if (n == NGX_ERROR || n > (ngx_int_t) NGX_MAX_INT32_VALUE) {
        *err = "invalid database number";
        return NGX_ERROR;
    }

    url->db = n;

    return NGX_OK;
}


static ngx_int_t
ngx_cred_redis_url_name(ngx_pool_t *pool, ngx_cred_redis_url_t *url)
{
    u_char  *p;
    size_t   len;

    len = sizeof("unix:?db=") + url->path.len + NGX_INT_T_LEN
          + sizeof("[]:65535/") + url->host.len;

    p = ngx_pnalloc(pool, len);
    if (p == NULL) {
        return NGX_ERROR;
    }

    url->name.data = p;

    if (url->path.len) {
        p = ngx_sprintf(p, "unix:%V?db=%ui", &url->path, url->db);

    } else if (ngx_strlchr(url->host.data, url->host.data + url->host.len, ':'))
    {
        p = ngx_sprintf(p, "[%V]:%ui/%ui", &url->host,
                        (ngx_uint_t) url->port, url->db);

    } else {
        p = ngx_sprintf(p, "%V:%ui/%ui", &url->host,
                        (ngx_uint_t) url->port, url->db);
    }

    url->name.len = p - url->name.data;

    /* percent-encoded, a path or a host may have any character */

    (void) ngx_cred_redis_printable(url->name.data, p, &url->name);

    return NGX_OK;
}


u_char *
ngx_cred_redis_printable(u_char *dst, u_char *last, ngx_str_t *src)
{
    u_char  *p, *end;

    end = src->data + src->len;

    for (p = src->data; p < end && dst < last; p++) {
        *dst++ = (*p < 0x20 || *p == 0x7f) ? '?' : *p;
    }

    return dst;
}


static ngx_int_t
ngx_cred_redis_url_decode(ngx_pool_t *pool, u_char *p, u_char *last,
    ngx_str_t *dst, char **err)
{
    u_char     *d;
    ngx_int_t   n;

    /* a "\0" at the end: paths go to connect() and names to the resolver */

    d = ngx_pnalloc(pool, last - p + 1);
    if (d == NULL) {
        *err = "no memory";
        return NGX_ERROR;
    }

    dst->data = d;

    while (p < last) {

        if (*p != '%') {

            if (*p <= 0x20 || *p == 0x7f) {
                *err = "white space or control character";
                return NGX_ERROR;
            }

            *d++ = *p++;
            continue;
        }

        n = (last - p >= 3) ? ngx_hextoi(p + 1, 2) : NGX_ERROR;

        if (n == NGX_ERROR) {
            *err = "invalid percent-encoding";
            return NGX_ERROR;
        }

        if (n == 0) {
            *err = "zero byte";
            return NGX_ERROR;
        }

        *d++ = (u_char) n;
        p += 3;
    }

    *d = '\0';
    dst->len = d - dst->data;

    return NGX_OK;
}
