
/*
 * Copyright (C) ngx_cred_module authors
 * SPDX-License-Identifier: BSD-2-Clause
 */


/* what directives have in common: a Redis, an API, their place */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>
#include <ngx_cred_http.h>


#define NGX_HTTP_CRED_PASSWORD_LEN  4096


static char *ngx_http_cred_redis_addrs(ngx_conf_t *cf,
    ngx_http_cred_redis_t *redis);
static char *ngx_http_cred_redis_unresolved(ngx_conf_t *cf,
    ngx_http_cred_redis_t *redis, char *err);
static char *ngx_http_cred_redis_password_file(ngx_conf_t *cf,
    ngx_http_cred_redis_t *redis, ngx_str_t *path);
static void ngx_http_cred_unknown_api(ngx_conf_t *cf, ngx_str_t *name);


char *
ngx_http_cred_redis(ngx_conf_t *cf, ngx_http_cred_redis_t *redis)
{
    char       *err, *rv;
    ngx_str_t  *value, path;

    if (redis->url != NGX_CONF_UNSET_PTR) {
        return "is duplicate";
    }

    redis->url = ngx_palloc(cf->pool, sizeof(ngx_cred_redis_url_t));
    if (redis->url == NULL) {
        return NGX_CONF_ERROR;
    }

    value = cf->args->elts;

    if (ngx_cred_redis_url_parse(cf->pool, &value[1], redis->url, &err)
        != NGX_OK)
    {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "invalid Redis URL: %s", err);
        return NGX_CONF_ERROR;
    }

    if (cf->args->nelts == 3) {

        if (ngx_strncmp(value[2].data, "password_file=", 14) != 0) {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                               "invalid parameter \"%V\"", &value[2]);
            return NGX_CONF_ERROR;
        }

        path.data = value[2].data + 14;
        path.len = value[2].len - 14;

        rv = ngx_http_cred_redis_password_file(cf, redis, &path);

        if (rv != NGX_CONF_OK) {
            return rv;
        }

    } else if (redis->url->user.len && redis->url->password.len == 0) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "invalid Redis URL: user without a password");
        return NGX_CONF_ERROR;
    }

    return ngx_http_cred_redis_addrs(cf, redis);
}


static char *
ngx_http_cred_redis_addrs(ngx_conf_t *cf, ngx_http_cred_redis_t *redis)
{
    ngx_url_t   u;
    ngx_addr_t  addr;

    if (redis->url->path.len) {
        return NGX_CONF_OK;
    }

    switch (ngx_parse_addr(cf->pool, &addr, redis->url->host.data,
                           redis->url->host.len))
    {
    case NGX_OK:
        return NGX_CONF_OK;

    case NGX_ERROR:
        return NGX_CONF_ERROR;

    default: /* NGX_DECLINED */
        break;
    }

    ngx_memzero(&u, sizeof(ngx_url_t));

    u.url = redis->url->host;
    u.default_port = redis->url->port;

    if (ngx_parse_url(cf->pool, &u) != NGX_OK) {
        return ngx_http_cred_redis_unresolved(cf, redis, u.err);
    }

    redis->addrs = u.addrs;
    redis->naddrs = u.naddrs;

    return NGX_CONF_OK;
}


/* whether there is a "resolver" is known when the levels are merged */

static char *
ngx_http_cred_redis_unresolved(ngx_conf_t *cf, ngx_http_cred_redis_t *redis,
    char *err)
{
    ngx_http_cred_unresolved_t  *unresolved;

    unresolved = ngx_pcalloc(cf->pool, sizeof(ngx_http_cred_unresolved_t));

    if (unresolved == NULL
        || ngx_http_cred_directive_at(cf, &unresolved->at) != NGX_OK)
    {
        return NGX_CONF_ERROR;
    }

    unresolved->err = err ? err : "no memory";

    redis->unresolved = unresolved;

    return NGX_CONF_OK;
}


void
ngx_http_cred_redis_merge(ngx_http_cred_redis_t *conf,
    ngx_http_cred_redis_t *prev)
{
    if (conf->url == NGX_CONF_UNSET_PTR) {
        *conf = *prev;
    }

    if (conf->url == NGX_CONF_UNSET_PTR) {
        conf->url = NULL;
    }
}


ngx_int_t
ngx_http_cred_redis_resolvable(ngx_conf_t *cf, ngx_http_cred_redis_t *redis,
    const char *kind)
{
    ngx_resolver_t              *resolver;
    ngx_http_core_loc_conf_t    *core;
    ngx_http_cred_unresolved_t  *unresolved;

    unresolved = redis->unresolved;

    if (unresolved == NULL) {
        return NGX_OK;
    }

    core = ngx_http_conf_get_module_loc_conf(cf, ngx_http_core_module);
    resolver = core->resolver;

    if (resolver == NULL || resolver->connections.nelts == 0) {
        ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
                      "%s in the %s \"%V\", and there is no \"resolver\" "
                      "to ask for it later in %V",
                      unresolved->err, kind, &redis->url->name,
                      &unresolved->at);
        return NGX_ERROR;
    }

    if (!unresolved->warned) {
        unresolved->warned = 1;

        ngx_log_error(NGX_LOG_WARN, cf->log, 0,
                      "%s in the %s \"%V\", it will be resolved at each "
                      "connect in %V",
                      unresolved->err, kind, &redis->url->name,
                      &unresolved->at);
    }

    return NGX_OK;
}


void
ngx_http_cred_redis_settings(ngx_conf_t *cf, ngx_http_cred_loc_conf_t *clcf,
    ngx_http_cred_redis_t *redis, ngx_cred_redis_conf_t *settings)
{
    ngx_http_core_loc_conf_t  *core;

    core = ngx_http_conf_get_module_loc_conf(cf, ngx_http_core_module);

    settings->connect_timeout = clcf->connect_timeout;
    settings->command_timeout = clcf->command_timeout;
    settings->resolver = core->resolver;
    settings->resolver_timeout = core->resolver_timeout;

    if (redis) {
        settings->addrs = redis->addrs;
        settings->naddrs = redis->naddrs;
        settings->password = redis->password;
    }
}


ngx_uint_t
ngx_http_cred_same_settings(ngx_cred_redis_conf_t *one,
    ngx_cred_redis_conf_t *two)
{
    return ngx_http_cred_same_string(&one->password, &two->password)
           && ngx_http_cred_same_string(&one->ssl_digest, &two->ssl_digest)
           && one->connect_timeout == two->connect_timeout
           && one->command_timeout == two->command_timeout
           && one->resolver == two->resolver
           && one->resolver_timeout == two->resolver_timeout;
}


static char *
ngx_http_cred_redis_password_file(ngx_conf_t *cf, ngx_http_cred_redis_t *redis,
    ngx_str_t *path)
{
    u_char     buf[NGX_HTTP_CRED_PASSWORD_LEN + 1], *p;
    ssize_t    n;
    ngx_fd_t   fd;
    ngx_str_t  password;

    if (redis->url->password.len) {
        return "has a password twice";
    }

    if (ngx_conf_full_name(cf->cycle, path, 1) != NGX_OK) {
        return NGX_CONF_ERROR;
    }

    fd = ngx_open_file(path->data, NGX_FILE_RDONLY, NGX_FILE_OPEN, 0);

    if (fd == NGX_INVALID_FILE) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, ngx_errno,
                           ngx_open_file_n " \"%V\" failed", path);
        return NGX_CONF_ERROR;
    }

    n = ngx_read_fd(fd, buf, sizeof(buf));

    if (n == -1) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, ngx_errno,
                           ngx_read_fd_n " \"%V\" failed", path);
    }

    if (ngx_close_file(fd) == NGX_FILE_ERROR) {
        ngx_log_error(NGX_LOG_ALERT, cf->log, ngx_errno,
                      ngx_close_file_n " \"%V\" failed", path);
    }

    if (n == -1) {
        return NGX_CONF_ERROR;
    }

    p = ngx_strlchr(buf, buf + n, LF);

    password.data = buf;
    password.len = p ? p - buf : n;

    if (password.len && password.data[password.len - 1] == CR) {
        password.len--;
    }

    if (password.len == 0 || password.len > NGX_HTTP_CRED_PASSWORD_LEN) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "%s password in \"%V\"",
                           password.len ? "too long" : "no", path);
        return NGX_CONF_ERROR;
    }

    redis->password.data = ngx_pstrdup(cf->pool, &password);
    redis->password.len = password.len;

    ngx_memzero(buf, sizeof(buf));

    return redis->password.data ? NGX_CONF_OK : NGX_CONF_ERROR;
}


ngx_uint_t
ngx_http_cred_same_string(ngx_str_t *one, ngx_str_t *two)
{
    return one->len == two->len
           && (one->len == 0
               || ngx_memcmp(one->data, two->data, one->len) == 0);
}


ngx_int_t
ngx_http_cred_directive_at(ngx_conf_t *cf, ngx_str_t *at)
{
    ngx_str_t  *file;

    file = &cf->conf_file->file.name;

    at->data = ngx_pnalloc(cf->pool, file->len + 1 + NGX_INT_T_LEN);
    if (at->data == NULL) {
        return NGX_ERROR;
    }

    at->len = ngx_sprintf(at->data, "%V:%ui", file, cf->conf_file->line)
              - at->data;

    return NGX_OK;
}


ngx_cred_api_t *
ngx_http_cred_find_api(ngx_conf_t *cf, ngx_str_t *name, ngx_uint_t *number)
{
    ngx_cred_api_t  **api;

    for (api = ngx_cred_apis; *api; api++) {

        if (ngx_http_cred_same_string(&(*api)->name, name)) {
            *number = api - ngx_cred_apis;
            return *api;
        }
    }

    ngx_http_cred_unknown_api(cf, name);

    return NULL;
}


static void
ngx_http_cred_unknown_api(ngx_conf_t *cf, ngx_str_t *name)
{
    u_char           *p, *last;
    ngx_cred_api_t  **api;
    u_char            known[NGX_MAX_CONF_ERRSTR];

    p = known;
    last = known + sizeof(known);

    for (api = ngx_cred_apis; *api; api++) {
        p = ngx_slprintf(p, last, "%s%V", p == known ? "" : ", ",
                         &(*api)->name);
    }

    ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                       "unknown API \"%V\", there are: %*s", name,
                       (size_t) (p - known), known);
}
