
/*
 * Copyright (C) ngx_cred_module authors
 * SPDX-License-Identifier: BSD-2-Clause
 */


/* "cred_registry", and the registries that a configuration makes of it */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>
#include <ngx_cred_http.h>


#define NGX_HTTP_CRED_PREFIX        "{cred}"
#define NGX_HTTP_CRED_PASSWORD_LEN  4096


static char *ngx_http_cred_registry_addrs(ngx_conf_t *cf,
    ngx_http_cred_loc_conf_t *clcf);
static char *ngx_http_cred_unresolved(ngx_conf_t *cf,
    ngx_http_cred_loc_conf_t *clcf, char *err);
static char *ngx_http_cred_password_file(ngx_conf_t *cf,
    ngx_http_cred_loc_conf_t *clcf, ngx_str_t *path);
static ngx_int_t ngx_http_cred_resolvable(ngx_conf_t *cf,
    ngx_http_cred_loc_conf_t *clcf, ngx_resolver_t *resolver);
static ngx_uint_t ngx_http_cred_same_registry(ngx_cred_registry_t *one,
    ngx_cred_registry_t *two);


char *
ngx_http_cred_registry(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_cred_loc_conf_t *clcf = conf;

    char       *err, *rv;
    ngx_str_t  *value, path;

    if (clcf->url != NGX_CONF_UNSET_PTR) {
        return "is duplicate";
    }

    clcf->url = ngx_palloc(cf->pool, sizeof(ngx_cred_redis_url_t));
    if (clcf->url == NULL) {
        return NGX_CONF_ERROR;
    }

    value = cf->args->elts;

    if (ngx_cred_redis_url_parse(cf->pool, &value[1], clcf->url, &err)
        != NGX_OK)
    {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "invalid Redis URL: %s", err);
        return NGX_CONF_ERROR;
    }

    if (clcf->url->tls) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "\"rediss://\" is not supported by this version");
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

        rv = ngx_http_cred_password_file(cf, clcf, &path);

        if (rv != NGX_CONF_OK) {
            return rv;
        }

    } else if (clcf->url->user.len && clcf->url->password.len == 0) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "invalid Redis URL: user without a password");
        return NGX_CONF_ERROR;
    }

    return ngx_http_cred_registry_addrs(cf, clcf);
}


static char *
ngx_http_cred_registry_addrs(ngx_conf_t *cf, ngx_http_cred_loc_conf_t *clcf)
{
    ngx_url_t   u;
    ngx_addr_t  addr;

    if (clcf->url->path.len) {
        return NGX_CONF_OK;
    }

    switch (ngx_parse_addr(cf->pool, &addr, clcf->url->host.data,
                           clcf->url->host.len))
    {
    case NGX_OK:
        return NGX_CONF_OK;

    case NGX_ERROR:
        return NGX_CONF_ERROR;

    default: /* NGX_DECLINED */
        break;
    }

    ngx_memzero(&u, sizeof(ngx_url_t));

    u.url = clcf->url->host;
    u.default_port = clcf->url->port;

    if (ngx_parse_url(cf->pool, &u) != NGX_OK) {
        return ngx_http_cred_unresolved(cf, clcf, u.err);
    }

    clcf->addrs = u.addrs;
    clcf->naddrs = u.naddrs;

    return NGX_CONF_OK;
}


/* whether there is a "resolver" is known when the levels are merged */

static char *
ngx_http_cred_unresolved(ngx_conf_t *cf, ngx_http_cred_loc_conf_t *clcf,
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

    clcf->unresolved = unresolved;

    return NGX_CONF_OK;
}


static ngx_int_t
ngx_http_cred_resolvable(ngx_conf_t *cf, ngx_http_cred_loc_conf_t *clcf,
    ngx_resolver_t *resolver)
{
    ngx_http_cred_unresolved_t  *unresolved;

    unresolved = clcf->unresolved;

    if (unresolved == NULL) {
        return NGX_OK;
    }

    if (resolver == NULL || resolver->connections.nelts == 0) {
        ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
                      "%s in the registry \"%V\", and there is no \"resolver\" "
                      "to ask for it later in %V",
                      unresolved->err, &clcf->url->name, &unresolved->at);
        return NGX_ERROR;
    }

    if (!unresolved->warned) {
        unresolved->warned = 1;

        ngx_log_error(NGX_LOG_WARN, cf->log, 0,
                      "%s in the registry \"%V\", it will be resolved at each "
                      "connect in %V",
                      unresolved->err, &clcf->url->name, &unresolved->at);
    }

    return NGX_OK;
}


static char *
ngx_http_cred_password_file(ngx_conf_t *cf, ngx_http_cred_loc_conf_t *clcf,
    ngx_str_t *path)
{
    u_char     buf[NGX_HTTP_CRED_PASSWORD_LEN + 1], *p;
    ssize_t    n;
    ngx_fd_t   fd;
    ngx_str_t  password;

    if (clcf->url->password.len) {
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

    clcf->password.data = ngx_pstrdup(cf->pool, &password);
    clcf->password.len = password.len;

    ngx_memzero(buf, sizeof(buf));

    return clcf->password.data ? NGX_CONF_OK : NGX_CONF_ERROR;
}


char *
ngx_http_cred_set_registry(ngx_conf_t *cf, ngx_http_cred_loc_conf_t *clcf)
{
    ngx_uint_t                  i;
    ngx_cred_registry_t         set, *registry, **registries;
    ngx_http_core_loc_conf_t   *core;
    ngx_http_cred_main_conf_t  *cmcf;

    core = ngx_http_conf_get_module_loc_conf(cf, ngx_http_core_module);
    cmcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_cred_module);

    if (ngx_http_cred_resolvable(cf, clcf, core->resolver) != NGX_OK) {
        return NGX_CONF_ERROR;
    }

    ngx_memzero(&set, sizeof(ngx_cred_registry_t));

    set.url = clcf->url->text;
    set.prefix = clcf->prefix.len ? clcf->prefix : clcf->url->prefix;

    if (set.prefix.len == 0) {
        ngx_str_set(&set.prefix, NGX_HTTP_CRED_PREFIX);
    }

    set.environments.connect_timeout = clcf->connect_timeout;
    set.environments.command_timeout = clcf->command_timeout;
    set.environments.resolver = core->resolver;
    set.environments.resolver_timeout = core->resolver_timeout;

    set.redis = set.environments;
    set.redis.addrs = clcf->addrs;
    set.redis.naddrs = clcf->naddrs;
    set.redis.password = clcf->password;

    set.cascade_timeout = clcf->cascade_timeout;
    set.retry_min = clcf->retry_min;
    set.retry_max = clcf->retry_max;
    set.unregistered_delay = clcf->unregistered_delay;

    registries = cmcf->registries.elts;

    for (i = 0; i < cmcf->registries.nelts; i++) {

        if (ngx_http_cred_same_registry(registries[i], &set)) {
            clcf->registry = registries[i];

            if (clcf->apis) {
                clcf->registry->deletes = 1;
            }

            return NGX_CONF_OK;
        }
    }

    registry = ngx_palloc(cf->pool, sizeof(ngx_cred_registry_t));
    if (registry == NULL) {
        return NGX_CONF_ERROR;
    }

    *registry = set;

    registry->deletes = (clcf->apis != NULL);

    if (ngx_cred_registry_init(registry, cf->pool) != NGX_OK) {
        return NGX_CONF_ERROR;
    }

    registries = ngx_array_push(&cmcf->registries);
    if (registries == NULL) {
        return NGX_CONF_ERROR;
    }

    *registries = registry;

    clcf->registry = registry;

    return NGX_CONF_OK;
}


ngx_uint_t
ngx_http_cred_retries(ngx_array_t *registries, ngx_cred_registry_t *registry)
{
    ngx_uint_t             i;
    ngx_cred_registry_t   *best, **all;

    best = NULL;
    all = registries->elts;

    for (i = 0; i < registries->nelts; i++) {

        if (!ngx_http_cred_same_string(&all[i]->url, &registry->url)
            || !ngx_http_cred_same_string(&all[i]->prefix, &registry->prefix))
        {
            continue;
        }

        if (best == NULL || (all[i]->deletes && !best->deletes)) {
            best = all[i];
        }
    }

    return best == registry;
}


static ngx_uint_t
ngx_http_cred_same_registry(ngx_cred_registry_t *one, ngx_cred_registry_t *two)
{
    ngx_cred_redis_conf_t  *first, *second;

    first = &one->redis;
    second = &two->redis;

    return ngx_http_cred_same_string(&one->url, &two->url)
           && ngx_http_cred_same_string(&one->prefix, &two->prefix)
           && ngx_http_cred_same_string(&first->password, &second->password)
           && first->connect_timeout == second->connect_timeout
           && first->command_timeout == second->command_timeout
           && first->resolver == second->resolver
           && first->resolver_timeout == second->resolver_timeout
           && one->cascade_timeout == two->cascade_timeout
           && one->retry_min == two->retry_min
           && one->retry_max == two->retry_max
           && one->unregistered_delay == two->unregistered_delay;
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
