
/*
 * Copyright (C) ngx_cred_module authors
 * SPDX-License-Identifier: BSD-2-Clause
 */


/* the registries that a configuration makes of "cred_registry" */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>
#include <ngx_cred_http.h>


#define NGX_HTTP_CRED_WAIT_REPLICAS  100
#define NGX_HTTP_CRED_WAIT_TIME      (24 * 60 * 60 * 1000)


static ngx_uint_t ngx_http_cred_same_registry(ngx_cred_registry_t *one,
    ngx_cred_registry_t *two);


char *
ngx_http_cred_registry(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_cred_loc_conf_t *clcf = conf;

    return ngx_http_cred_redis(cf, &clcf->redis);
}


char *
ngx_http_cred_registry_wait(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_cred_loc_conf_t *clcf = conf;

    ngx_str_t  *value;
    ngx_int_t   replicas, time;

    if (clcf->wait.replicas != NGX_CONF_UNSET_UINT) {
        return "is duplicate";
    }

    value = cf->args->elts;

    if (cf->args->nelts == 2) {

        if (ngx_strcmp(value[1].data, "off") != 0) {
            return "has no time";
        }

        clcf->wait.replicas = 0;

        return NGX_CONF_OK;
    }

    replicas = ngx_atoi(value[1].data, value[1].len);

    if (replicas < 1 || replicas > NGX_HTTP_CRED_WAIT_REPLICAS) {
        return "has an invalid number of replicas";
    }

    time = ngx_parse_time(&value[2], 0);

    if (time < 1 || time > NGX_HTTP_CRED_WAIT_TIME) {
        return "has an invalid time";
    }

    if (cf->args->nelts == 4) {

        if (ngx_strcmp(value[3].data, "aof") != 0) {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                               "invalid parameter \"%V\"", &value[3]);
            return NGX_CONF_ERROR;
        }

        clcf->wait.aof = 1;
    }

    clcf->wait.replicas = replicas;
    clcf->wait.time = time;

    return NGX_CONF_OK;
}


char *
ngx_http_cred_set_registry(ngx_conf_t *cf, ngx_http_cred_loc_conf_t *clcf)
{
    ngx_uint_t                  i;
    ngx_cred_registry_t         set, *registry, **registries;
    ngx_http_cred_main_conf_t  *cmcf;

    cmcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_cred_module);

    if (ngx_http_cred_redis_resolvable(cf, &clcf->redis, "registry")
        != NGX_OK)
    {
        return NGX_CONF_ERROR;
    }

    ngx_memzero(&set, sizeof(ngx_cred_registry_t));

    set.url = clcf->redis.url->text;
    set.name = clcf->redis.url->name;
    set.prefix = clcf->prefix.len ? clcf->prefix : clcf->redis.url->prefix;

    if (set.prefix.len == 0) {
        ngx_str_set(&set.prefix, NGX_HTTP_CRED_PREFIX);
    }

    if (ngx_http_cred_redis_slot(cf, &clcf->redis, &set.prefix) != NGX_OK) {
        return NGX_CONF_ERROR;
    }

    ngx_http_cred_redis_settings(cf, clcf, NULL, &set.environments);
    ngx_http_cred_redis_settings(cf, clcf, &clcf->redis, &set.redis);

    /* its environments may be reached by TLS, whatever its own URL is */

    if (ngx_http_cred_ssl_settings(cf, &clcf->ssl, &set.redis.net) != NGX_OK) {
        return NGX_CONF_ERROR;
    }

    set.environments.net = set.redis.net;

    set.cascade_timeout = clcf->cascade_timeout;
    set.retry_min = clcf->retry_min;
    set.retry_max = clcf->retry_max;
    set.unregistered_delay = clcf->unregistered_delay;
    set.wait = clcf->wait;
    set.audit_length = clcf->audit_length;

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
    return ngx_http_cred_same_string(&one->url, &two->url)
           && ngx_http_cred_same_string(&one->prefix, &two->prefix)
           && ngx_http_cred_same_settings(&one->redis, &two->redis)
           && one->cascade_timeout == two->cascade_timeout
           && one->retry_min == two->retry_min
           && one->retry_max == two->retry_max
           && one->unregistered_delay == two->unregistered_delay
           && one->wait.replicas == two->wait.replicas
           && one->wait.time == two->wait.time
           && one->wait.aof == two->wait.aof
           && one->audit_length == two->audit_length;
}
