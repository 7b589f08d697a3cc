
/*
 * Copyright (C) ngx_cred_module authors
 * SPDX-License-Identifier: BSD-2-Clause
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_cred_redis.h>


#define NGX_CRED_REDIS_UNIX_LEN                                               \
    (sizeof(((struct sockaddr_un *) 0)->sun_path) - 1)


typedef struct {
    ngx_str_t              name;
    ngx_cred_redis_kind_e  kind;
    in_port_t              port;
    ngx_uint_t             tls;
} ngx_cred_redis_scheme_t;


static ngx_int_t ngx_cred_redis_url_unix(ngx_pool_t *pool,
    u_char *p, u_char *last, ngx_cred_redis_url_t *url, char **err);
static ngx_int_t ngx_cred_redis_url_servers(ngx_pool_t *pool,
    u_char *p, u_char *last, ngx_cred_redis_url_t *url, char **err);
static u_char *ngx_cred_redis_url_master(ngx_pool_t *pool,
    u_char *p, u_char *last, ngx_cred_redis_url_t *url, char **err);
static ngx_cred_redis_scheme_t *ngx_cred_redis_url_scheme(ngx_str_t *text);
static ngx_int_t ngx_cred_redis_url_authority(ngx_pool_t *pool,
    u_char *p, u_char *last, ngx_cred_redis_url_t *url, char **err);
static ngx_int_t ngx_cred_redis_url_hosts(ngx_pool_t *pool,
    u_char *p, u_char *last, ngx_cred_redis_url_t *url, char **err);
static ngx_int_t ngx_cred_redis_url_host(ngx_pool_t *pool,
    u_char *p, u_char *last, ngx_cred_net_host_t *host, char **err);
static ngx_uint_t ngx_cred_redis_url_host_valid(ngx_str_t *name,
    ngx_uint_t literal);
static ngx_int_t ngx_cred_redis_url_query(ngx_pool_t *pool,
    u_char *p, u_char *last, ngx_cred_redis_url_t *url, char **err);
static ngx_int_t ngx_cred_redis_url_value(ngx_pool_t *pool,
    u_char *p, u_char *last, ngx_str_t *dst, char **err);
static ngx_int_t ngx_cred_redis_url_db(u_char *p, u_char *last,
    ngx_cred_redis_url_t *url, char **err);
static ngx_int_t ngx_cred_redis_url_decode(ngx_pool_t *pool,
    u_char *p, u_char *last, ngx_str_t *dst, char **err);


static ngx_cred_redis_scheme_t  ngx_cred_redis_schemes[] = {
    { ngx_string("redis://"),
      NGX_CRED_REDIS_SERVER, NGX_CRED_REDIS_PORT, 0 },
    { ngx_string("rediss://"),
      NGX_CRED_REDIS_SERVER, NGX_CRED_REDIS_PORT, 1 },
    { ngx_string("redis-sentinel://"),
      NGX_CRED_REDIS_SENTINEL, NGX_CRED_REDIS_SENTINEL_PORT, 0 },
    { ngx_string("rediss-sentinel://"),
      NGX_CRED_REDIS_SENTINEL, NGX_CRED_REDIS_SENTINEL_PORT, 1 },
    { ngx_string("redis-cluster://"),
      NGX_CRED_REDIS_CLUSTER, NGX_CRED_REDIS_PORT, 0 },
    { ngx_string("rediss-cluster://"),
      NGX_CRED_REDIS_CLUSTER, NGX_CRED_REDIS_PORT, 1 }
};


ngx_int_t
ngx_cred_redis_url_parse(ngx_pool_t *pool, ngx_str_t *text,
    ngx_cred_redis_url_t *url, char **err)
{
    u_char                   *p, *last, *query;
    ngx_int_t                 rc;
    ngx_cred_redis_scheme_t  *scheme;

    ngx_memzero(url, sizeof(ngx_cred_redis_url_t));

    url->text = *text;

    p = text->data;
    last = p + text->len;

    scheme = ngx_cred_redis_url_scheme(text);

    if (scheme) {
        p += scheme->name.len;

        url->kind = scheme->kind;
        url->port = scheme->port;
        url->tls = scheme->tls;

        last = ngx_cred_redis_url_master(pool, p, last, url, err);
        if (last == NULL) {
            return NGX_ERROR;
        }

    } else if (text->len >= 5
               && ngx_strncasecmp(p, (u_char *) "unix:", 5) == 0)
    {
        p += 5;

    } else {
        *err = "neither \"redis://\", \"redis-sentinel://\", "
               "\"redis-cluster://\", these with \"rediss\", nor \"unix:\"";
        return NGX_ERROR;
    }

    query = ngx_strlchr(p, last, '?');

    if (query == NULL) {
        query = last;
    }

    rc = scheme ? ngx_cred_redis_url_servers(pool, p, query, url, err)
                : ngx_cred_redis_url_unix(pool, p, query, url, err);

    if (rc != NGX_OK) {
        return NGX_ERROR;
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


static ngx_cred_redis_scheme_t *
ngx_cred_redis_url_scheme(ngx_str_t *text)
{
    ngx_uint_t                i, n;
    ngx_cred_redis_scheme_t  *scheme;

    n = sizeof(ngx_cred_redis_schemes) / sizeof(ngx_cred_redis_scheme_t);

    for (i = 0; i < n; i++) {
        scheme = &ngx_cred_redis_schemes[i];

        if (text->len >= scheme->name.len
            && ngx_strncasecmp(text->data, scheme->name.data,
                               scheme->name.len)
               == 0)
        {
            return scheme;
        }
    }

    return NULL;
}


/* the name behind "#"; returns where the rest ends, or NULL */

static u_char *
ngx_cred_redis_url_master(ngx_pool_t *pool, u_char *p, u_char *last,
    ngx_cred_redis_url_t *url, char **err)
{
    u_char  *hash;

    for (hash = last; hash > p && hash[-1] != '#'; hash--) { /* void */ }

    if (url->kind != NGX_CRED_REDIS_SENTINEL) {

        /* a password may have it, but a prefix that ends so is a mistake */

        if (hash > p && ngx_strlchr(hash, last, '@') == NULL) {
            *err = "\"#\" without \"redis-sentinel://\"";
            return NULL;
        }

        return last;
    }

    if (hash == p || hash == last) {
        *err = "no \"#NAME\" of a master";
        return NULL;
    }

    /* the name is in the error log, a password in what follows must not be */

    if (ngx_strlchr(hash, last, '?')) {
        *err = "\"?\" after \"#NAME\"";
        return NULL;
    }

    if (ngx_strlchr(hash, last, '@')) {
        *err = "\"@\" after \"#NAME\"";
        return NULL;
    }

    if (ngx_cred_redis_url_decode(pool, hash, last, &url->master, err)
        != NGX_OK)
    {
        return NULL;
    }

    return hash - 1;
}


static ngx_int_t
ngx_cred_redis_url_unix(ngx_pool_t *pool, u_char *p, u_char *last,
    ngx_cred_redis_url_t *url, char **err)
{
    if (ngx_cred_redis_url_decode(pool, p, last, &url->path, err) != NGX_OK) {
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

    return NGX_OK;
}


static ngx_int_t
ngx_cred_redis_url_servers(ngx_pool_t *pool, u_char *p, u_char *last,
    ngx_cred_redis_url_t *url, char **err)
{
    u_char  *path;

    path = ngx_strlchr(p, last, '/');

    if (path == NULL) {
        path = last;
    }

    if (ngx_cred_redis_url_authority(pool, p, path, url, err) != NGX_OK) {
        return NGX_ERROR;
    }

    if (last - path > 1
        && ngx_cred_redis_url_db(path + 1, last, url, err) != NGX_OK)
    {
        return NGX_ERROR;
    }

    if (url->db && url->kind == NGX_CRED_REDIS_CLUSTER) {
        *err = "a cluster has database 0 alone";
        return NGX_ERROR;
    }

    return NGX_OK;
}


static ngx_int_t
ngx_cred_redis_url_authority(ngx_pool_t *pool, u_char *p, u_char *last,
    ngx_cred_redis_url_t *url, char **err)
{
    u_char  *at, *colon;

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

    return ngx_cred_redis_url_hosts(pool, p, last, url, err);
}


static ngx_int_t
ngx_cred_redis_url_hosts(ngx_pool_t *pool, u_char *p, u_char *last,
    ngx_cred_redis_url_t *url, char **err)
{
    u_char      *comma;
    ngx_uint_t   n;

    n = 1;

    for (comma = p; comma < last; comma++) {
        n += (*comma == ',');
    }

    if (n > 1 && url->kind == NGX_CRED_REDIS_SERVER) {
        *err = "more than one host";
        return NGX_ERROR;
    }

    if (n > NGX_CRED_REDIS_HOSTS) {
        *err = "too many hosts";
        return NGX_ERROR;
    }

    url->hosts = ngx_pcalloc(pool, n * sizeof(ngx_cred_net_host_t));
    if (url->hosts == NULL) {
        *err = "no memory";
        return NGX_ERROR;
    }

    for ( /* void */ ; url->nhosts < n; p = comma + 1) {

        comma = ngx_strlchr(p, last, ',');

        if (comma == NULL) {
            comma = last;
        }

        url->hosts[url->nhosts].port = url->port;

        if (ngx_cred_redis_url_host(pool, p, comma, &url->hosts[url->nhosts],
                                    err)
            != NGX_OK)
        {
            return NGX_ERROR;
        }

        url->nhosts++;
    }

    return NGX_OK;
}


static ngx_int_t
ngx_cred_redis_url_host(ngx_pool_t *pool, u_char *p, u_char *last,
    ngx_cred_net_host_t *host, char **err)
{
    u_char      *port, *end;
    ngx_int_t    n;
    ngx_uint_t   literal;

    literal = (p < last && *p == '[');

    if (literal) {
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

    if (ngx_cred_redis_url_decode(pool, p, end, &host->name, err) != NGX_OK) {
        return NGX_ERROR;
    }

    if (host->name.len == 0) {
        *err = "no host";
        return NGX_ERROR;
    }

    if (host->name.len > NGX_CRED_NET_HOST_LEN) {
        *err = "too long host";
        return NGX_ERROR;
    }

    if (!ngx_cred_redis_url_host_valid(&host->name, literal)) {
        *err = "invalid host";
        return NGX_ERROR;
    }

    if (port < last) {
        n = ngx_atoi(port + 1, last - port - 1);

        if (n < 1 || n > 65535) {
            *err = "invalid port";
            return NGX_ERROR;
        }

        host->port = (in_port_t) n;
    }

    return NGX_OK;
}


/* what would be another host, a path or a unix socket to who reads it again */

static ngx_uint_t
ngx_cred_redis_url_host_valid(ngx_str_t *name, ngx_uint_t literal)
{
    size_t  i;

    for (i = 0; i < name->len; i++) {

        switch (name->data[i]) {

        case '/':
        case '?':
        case '#':
        case '[':
        case ']':
            return 0;

        case ':':

            if (!literal) {
                return 0;
            }
        }
    }

    return 1;
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

            if (ngx_cred_redis_url_value(pool, value, next, &url->prefix, err)
                != NGX_OK)
            {
                return NGX_ERROR;
            }

        } else if (value - p == 18
                   && ngx_strncmp(p, "sentinel_password=", 18) == 0
                   && url->kind == NGX_CRED_REDIS_SENTINEL)
        {
            if (ngx_cred_redis_url_value(pool, value, next,
                                         &url->sentinel_password, err)
                != NGX_OK)
            {
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
ngx_cred_redis_url_value(ngx_pool_t *pool, u_char *p, u_char *last,
    ngx_str_t *dst, char **err)
{
    if (dst->data) {
        *err = "duplicate parameter";
        return NGX_ERROR;
    }

    if (ngx_cred_redis_url_decode(pool, p, last, dst, err) != NGX_OK) {
        return NGX_ERROR;
    }

    if (dst->len == 0) {
        *err = "empty parameter";
        return NGX_ERROR;
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
