
/*
 * Copyright (C) ngx_cred_module authors
 * SPDX-License-Identifier: BSD-2-Clause
 */


/* where a connector leads, of its lines "url" and "webhook" */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>
#include <ngx_cred_connector_http.h>


typedef struct {
    const char                  *name;
    size_t                       len;
    in_port_t                    port;
    ngx_uint_t                   tls;         /* unsigned  tls:1; */
} ngx_http_cred_scheme_t;


static const char *ngx_http_cred_url_parse(ngx_conf_t *cf, ngx_str_t *value,
    ngx_cred_connector_t *connector, ngx_str_t *path);
static const char *ngx_http_cred_url_wrong(ngx_str_t *value);
static const char *ngx_http_cred_url_host(ngx_conf_t *cf, ngx_url_t *u,
    ngx_cred_connector_t *connector);
static const char *ngx_http_cred_url_copy(ngx_conf_t *cf, ngx_str_t *src,
    ngx_str_t *dst);
static const char *ngx_http_cred_url_path(ngx_str_t *path);
static const char *ngx_http_cred_url_base(ngx_str_t *path);
static const char *ngx_http_cred_url_target(ngx_conf_t *cf, ngx_str_t *path);


static ngx_http_cred_scheme_t  ngx_http_cred_schemes[] = {
    { "http://", 7, 80, 0 },
    { "https://", 8, 443, 1 },
    { "unix:", 5, 0, 0 },
    { NULL, 0, 0, 0 }
};


char *
ngx_http_cred_connector_url(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_cred_connector_t *block = conf;

    ngx_str_t             *value, path;
    const char            *err;
    ngx_uint_t             webhook;
    ngx_cred_connector_t  *connector;

    connector = &block->connector;
    webhook = (cmd->name.len == sizeof("webhook") - 1);

    if (block->url) {

        if (connector->webhook == webhook) {
            return "is duplicate";
        }

        return webhook ? "excludes \"url\"" : "excludes \"webhook\"";
    }

    block->url = 1;
    connector->webhook = webhook;

    value = cf->args->elts;

    err = ngx_http_cred_url_parse(cf, &value[1], connector, &path);

    if (err == NULL) {
        err = webhook ? ngx_http_cred_url_target(cf, &path)
                      : ngx_http_cred_url_base(&path);
    }

    if (err) {

        /* a URL with a user has a password */

        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "invalid URL: %s", err);
        return NGX_CONF_ERROR;
    }

    if (webhook) {
        block->path = path;

    } else {
        connector->base = path;
    }

    if (connector->web.path.len == 0
        && ngx_http_cred_host_addrs(cf, &connector->web.host,
                                    &block->unresolved)
           != NGX_OK)
    {
        return NGX_CONF_ERROR;
    }

    return NGX_CONF_OK;
}


/* what is wrong, or NULL */

static const char *
ngx_http_cred_url_parse(ngx_conf_t *cf, ngx_str_t *value,
    ngx_cred_connector_t *connector, ngx_str_t *path)
{
    ngx_url_t                u;
    const char              *err;
    ngx_http_cred_scheme_t  *scheme;

    for (scheme = ngx_http_cred_schemes; scheme->name; scheme++) {

        if (ngx_strncasecmp(value->data, (u_char *) scheme->name, scheme->len)
            == 0)
        {
            break;
        }
    }

    if (scheme->name == NULL) {
        return "neither \"http://\", \"https://\" nor \"unix:\"";
    }

    err = ngx_http_cred_url_wrong(value);

    if (err) {
        return err;
    }

    ngx_memzero(&u, sizeof(ngx_url_t));

    u.url = *value;
    u.default_port = scheme->port;
    u.uri_part = 1;
    u.no_resolve = 1;

    if (scheme->port) {
        u.url.data += scheme->len;
        u.url.len -= scheme->len;

        if (ngx_strncasecmp(u.url.data, (u_char *) "unix:", 5) == 0) {
            return "invalid host";
        }
    }

    if (ngx_parse_url(cf->pool, &u) != NGX_OK) {
        return u.err ? u.err : "no memory";
    }

    connector->web.tls = scheme->tls;

    err = ngx_http_cred_url_host(cf, &u, connector);

    if (err) {
        return err;
    }

    if (u.uri.len == 0) {
        ngx_str_set(&u.uri, "");
    }

    *path = u.uri;

    return ngx_http_cred_url_path(path);
}


static const char *
ngx_http_cred_url_wrong(ngx_str_t *value)
{
    u_char  *p, *last, *host;

    last = value->data + value->len;

    for (p = value->data; p < last; p++) {

        if (*p <= 0x20 || *p >= 0x7f) {
            return "white space, control or non-ASCII character";
        }

        switch (*p) {

        case '{':
        case '}':
            return "no placeholder may be in it";

        case '#':
            return "no fragment may be in it";
        }
    }

    host = (u_char *) ngx_strstr(value->data, "://");

    if (host) {
        host += 3;

        for (p = host; p < last && *p != '/' && *p != '?'; p++) {

            if (*p == '@') {
                return "no user may be in it";
            }
        }
    }

    return NULL;
}


static const char *
ngx_http_cred_url_host(ngx_conf_t *cf, ngx_url_t *u,
    ngx_cred_connector_t *connector)
{
    ngx_str_t             name;
    ngx_cred_web_conf_t  *web;

    web = &connector->web;

    if (u->family == AF_UNIX) {

        if (u->host.data[0] != '/' || u->host.len == 1) {
            return "no absolute path of a unix socket";
        }

        ngx_str_set(&connector->host, "localhost");

        return ngx_http_cred_url_copy(cf, &u->host, &web->path);
    }

    connector->host = u->host;

    if (u->port != u->default_port) {
        connector->host.len = u->port_text.data + u->port_text.len
                              - u->host.data;
    }

    name = u->host;

    if (name.data[0] == '[') {
        name.data++;
        name.len -= 2;
    }

    if (name.len > NGX_CRED_NET_HOST_LEN) {
        return "too long host";
    }

    web->host.port = u->port;

    return ngx_http_cred_url_copy(cf, &name, &web->host.name);
}


/* with a zero byte after it */

static const char *
ngx_http_cred_url_copy(ngx_conf_t *cf, ngx_str_t *src, ngx_str_t *dst)
{
    dst->data = ngx_pnalloc(cf->pool, src->len + 1);
    if (dst->data == NULL) {
        return "no memory";
    }

    (void) ngx_cpystrn(dst->data, src->data, src->len + 1);

    dst->len = src->len;

    return NULL;
}


static const char *
ngx_http_cred_url_path(ngx_str_t *path)
{
    u_char  *p, *end, *last;

    last = path->data + path->len;
    end = ngx_strlchr(path->data, last, '?');
    last = end ? end : last;

    if (last > path->data && path->data[0] != '/') {
        return "no \"/\" before the path";
    }

    for (p = path->data; p < last; p = end) {
        p++;

        end = ngx_strlchr(p, last, '/');
        end = end ? end : last;

        if (end - p <= 2 && end != p && ngx_strncmp(p, "..", end - p) == 0) {
            return "no \".\" or \"..\" may be in its path";
        }
    }

    return NULL;
}


/* what other paths follow */

static const char *
ngx_http_cred_url_base(ngx_str_t *path)
{
    if (ngx_strlchr(path->data, path->data + path->len, '?')) {
        return "no query may be in it";
    }

    while (path->len && path->data[path->len - 1] == '/') {
        path->len--;
    }

    return NULL;
}


/* what stands in a request, its query, too */

static const char *
ngx_http_cred_url_target(ngx_conf_t *cf, ngx_str_t *path)
{
    u_char  *p;

    if (path->len && path->data[0] == '/') {
        return NULL;
    }

    p = ngx_pnalloc(cf->pool, path->len + 1);
    if (p == NULL) {
        return "no memory";
    }

    path->len = ngx_sprintf(p, "/%V", path) - p;
    path->data = p;

    return NULL;
}
