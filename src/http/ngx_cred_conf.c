
/*
 * Copyright (C) ngx_cred_module authors
 * SPDX-License-Identifier: BSD-2-Clause
 */


/* what directives have in common: a Redis, an API, their place */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>
#include <ngx_cred_http.h>


static char *ngx_http_cred_redis_parameter(ngx_conf_t *cf,
    ngx_http_cred_redis_t *redis, ngx_str_t *value);
static ngx_cred_redis_password_t *ngx_http_cred_redis_password_file(
    ngx_conf_t *cf, ngx_str_t *path);
static void ngx_http_cred_unknown_api(ngx_conf_t *cf, ngx_str_t *name);


char *
ngx_http_cred_redis(ngx_conf_t *cf, ngx_http_cred_redis_t *redis)
{
    char        *err;
    ngx_str_t   *value;
    ngx_uint_t   i;

    if (redis->url != NGX_CONF_UNSET_PTR) {
        return "is duplicate";
    }

    redis->url = ngx_palloc(cf->pool, sizeof(ngx_cred_redis_url_t));

    if (redis->url == NULL
        || ngx_http_cred_directive_at(cf, &redis->at) != NGX_OK)
    {
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

    for (i = 2; i < cf->args->nelts; i++) {

        err = ngx_http_cred_redis_parameter(cf, redis, &value[i]);

        if (err != NGX_CONF_OK) {
            return err;
        }
    }

    if (redis->url->user.len && redis->url->password.len == 0
        && redis->password == NULL)
    {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "invalid Redis URL: user without a password");
        return NGX_CONF_ERROR;
    }

    for (i = 0; i < redis->url->nhosts; i++) {

        if (ngx_http_cred_host_addrs(cf, &redis->url->hosts[i],
                                     &redis->unresolved)
            != NGX_OK)
        {
            return NGX_CONF_ERROR;
        }
    }

    return NGX_CONF_OK;
}


static char *
ngx_http_cred_redis_parameter(ngx_conf_t *cf, ngx_http_cred_redis_t *redis,
    ngx_str_t *value)
{
    size_t                       len;
    ngx_str_t                    path, *url;
    ngx_cred_redis_password_t  **password;

    if (ngx_strncmp(value->data, "password_file=", 14) == 0) {
        len = 14;
        password = &redis->password;
        url = &redis->url->password;

    } else if (ngx_strncmp(value->data, "sentinel_password_file=", 23) == 0
               && redis->url->kind == NGX_CRED_REDIS_SENTINEL)
    {
        len = 23;
        password = &redis->sentinel_password;
        url = &redis->url->sentinel_password;

    } else {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "invalid parameter \"%V\"", value);
        return NGX_CONF_ERROR;
    }

    if (url->len || *password) {
        return "has a password twice";
    }

    path.data = value->data + len;
    path.len = value->len - len;

    *password = ngx_http_cred_redis_password_file(cf, &path);

    return *password ? NGX_CONF_OK : NGX_CONF_ERROR;
}


ngx_int_t
ngx_http_cred_host_addrs(ngx_conf_t *cf, ngx_cred_net_host_t *host,
    ngx_http_cred_unresolved_t **unresolved)
{
    ngx_int_t   rc;
    ngx_url_t   u;
    ngx_addr_t  addr;

    rc = ngx_parse_addr(cf->pool, &addr, host->name.data, host->name.len);

    if (rc != NGX_DECLINED) {
        return rc;
    }

    /* to ngx_parse_url() it would be another port, or a unix socket */

    if (ngx_strlchr(host->name.data, host->name.data + host->name.len, ':')) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "invalid IPv6 address \"%V\"",
                           &host->name);
        return NGX_ERROR;
    }

    ngx_memzero(&u, sizeof(ngx_url_t));

    u.url = host->name;
    u.default_port = host->port;

    if (ngx_parse_url(cf->pool, &u) == NGX_OK) {
        host->addrs = u.addrs;
        host->naddrs = u.naddrs;

        return NGX_OK;
    }

    /* whether there is a "resolver" is known when all levels are */

    *unresolved = ngx_pcalloc(cf->pool, sizeof(ngx_http_cred_unresolved_t));
    if (*unresolved == NULL) {
        return NGX_ERROR;
    }

    (*unresolved)->err = u.err ? u.err : "no memory";

    return NGX_OK;
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
    return ngx_http_cred_resolvable(cf, redis->unresolved, kind,
                                    &redis->url->name, &redis->at);
}


ngx_int_t
ngx_http_cred_resolvable(ngx_conf_t *cf,
    ngx_http_cred_unresolved_t *unresolved, const char *kind, ngx_str_t *name,
    ngx_str_t *at)
{
    ngx_resolver_t            *resolver;
    ngx_http_core_loc_conf_t  *core;

    if (unresolved == NULL) {
        return NGX_OK;
    }

    core = ngx_http_conf_get_module_loc_conf(cf, ngx_http_core_module);
    resolver = core->resolver;

    if (resolver == NULL || resolver->connections.nelts == 0) {
        ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
                      "%s in the %s \"%V\", and there is no \"resolver\" "
                      "to ask for it later in %V",
                      unresolved->err, kind, name, at);
        return NGX_ERROR;
    }

    if (!unresolved->warned) {
        unresolved->warned = 1;

        ngx_log_error(NGX_LOG_WARN, cf->log, 0,
                      "%s in the %s \"%V\", it will be resolved at each "
                      "connect in %V",
                      unresolved->err, kind, name, at);
    }

    return NGX_OK;
}


ngx_int_t
ngx_http_cred_redis_slot(ngx_conf_t *cf, ngx_http_cred_redis_t *redis,
    ngx_str_t *prefix)
{
    if (redis->url->kind != NGX_CRED_REDIS_CLUSTER
        || ngx_cred_redis_tagged(prefix))
    {
        return NGX_OK;
    }

    ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
                  "a cluster needs a prefix with a \"{tag}\", which \"%V\" has "
                  "not, in %V", prefix, &redis->at);

    return NGX_ERROR;
}


void
ngx_http_cred_redis_settings(ngx_conf_t *cf, ngx_http_cred_loc_conf_t *clcf,
    ngx_http_cred_redis_t *redis, ngx_cred_redis_conf_t *settings)
{
    ngx_http_core_loc_conf_t  *core;

    core = ngx_http_conf_get_module_loc_conf(cf, ngx_http_core_module);

    settings->connect_timeout = clcf->connect_timeout;
    settings->command_timeout = clcf->command_timeout;
    settings->net.resolver = core->resolver;
    settings->net.resolver_timeout = core->resolver_timeout;

    if (redis) {
        settings->hosts = redis->url->hosts;
        settings->password = redis->password;
        settings->sentinel_password = redis->sentinel_password;
    }
}


ngx_uint_t
ngx_http_cred_same_settings(ngx_cred_redis_conf_t *one,
    ngx_cred_redis_conf_t *two)
{
    return one->password == two->password
           && one->sentinel_password == two->sentinel_password
           && ngx_http_cred_same_string(&one->net.ssl_digest,
                                        &two->net.ssl_digest)
           && one->connect_timeout == two->connect_timeout
           && one->command_timeout == two->command_timeout
           && one->net.resolver == two->net.resolver
           && one->net.resolver_timeout == two->net.resolver_timeout;
}


static ngx_cred_redis_password_t *
ngx_http_cred_redis_password_file(ngx_conf_t *cf, ngx_str_t *path)
{
    ngx_err_t                    err;
    ngx_uint_t                   i;
    const char                  *before, *after;
    ngx_cred_redis_password_t   *password, **passwords;
    ngx_http_cred_main_conf_t   *cmcf;

    if (ngx_conf_full_name(cf->cycle, path, 1) != NGX_OK) {
        return NULL;
    }

    cmcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_cred_module);

    passwords = cmcf->passwords.elts;

    for (i = 0; i < cmcf->passwords.nelts; i++) {

        if (ngx_http_cred_same_string(&passwords[i]->path, path)) {
            return passwords[i];
        }
    }

    password = ngx_cred_redis_password_create(cf->pool, path, &err, &before,
                                              &after);
    if (password == NULL) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, err, "%s \"%V\"%s", before, path,
                           after);
        return NULL;
    }

    passwords = ngx_array_push(&cmcf->passwords);
    if (passwords == NULL) {
        return NULL;
    }

    *passwords = password;

    return password;
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
