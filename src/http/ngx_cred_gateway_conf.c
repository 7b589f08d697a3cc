
/*
 * Copyright (C) ngx_cred_module authors
 * SPDX-License-Identifier: BSD-2-Clause
 */


/* the gateways that a configuration makes of "cred_environment" */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>
#include <ngx_cred_access_http.h>


static ngx_int_t ngx_http_cred_gateway_name(ngx_conf_t *cf,
    ngx_cred_gateway_t *gateway, ngx_str_t *redis);
static ngx_uint_t ngx_http_cred_same_gateway(ngx_cred_gateway_t *one,
    ngx_cred_gateway_t *two);


char *
ngx_http_cred_environment(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_cred_access_loc_conf_t *alcf = conf;

    return ngx_http_cred_redis(cf, &alcf->environment);
}


char *
ngx_http_cred_set_gateway(ngx_conf_t *cf,
    ngx_http_cred_access_loc_conf_t *alcf)
{
    ngx_uint_t                         i;
    ngx_cred_gateway_t                 set, *gateway, **gateways;
    ngx_http_cred_loc_conf_t          *clcf;
    ngx_http_cred_access_main_conf_t  *amcf;

    clcf = ngx_http_conf_get_module_loc_conf(cf, ngx_http_cred_module);
    amcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_cred_access_module);

    if (ngx_http_cred_redis_resolvable(cf, &alcf->environment, "environment")
        != NGX_OK)
    {
        return NGX_CONF_ERROR;
    }

    ngx_memzero(&set, sizeof(ngx_cred_gateway_t));

    set.url = alcf->environment.url->text;
    set.prefix = alcf->environment.url->prefix.len
                 ? alcf->environment.url->prefix : clcf->prefix;
    set.lease = alcf->lease;

    if (set.prefix.len == 0) {
        ngx_str_set(&set.prefix, NGX_HTTP_CRED_PREFIX);
    }

    if (ngx_http_cred_redis_slot(cf, &alcf->environment, &set.prefix)
        != NGX_OK)
    {
        return NGX_CONF_ERROR;
    }

    ngx_http_cred_redis_settings(cf, clcf, &alcf->environment, &set.redis);

    if (alcf->environment.url->tls
        && ngx_http_cred_ssl_settings(cf, &clcf->ssl, &set.redis.net) != NGX_OK)
    {
        return NGX_CONF_ERROR;
    }

    gateways = amcf->gateways.elts;

    for (i = 0; i < amcf->gateways.nelts; i++) {
        gateway = gateways[i];

        if (ngx_http_cred_same_gateway(gateway, &set)) {
            gateway->lease = ngx_min(gateway->lease, set.lease);
            alcf->gateway = gateway;
            return NGX_CONF_OK;
        }
    }

    gateway = ngx_palloc(cf->pool, sizeof(ngx_cred_gateway_t));
    if (gateway == NULL) {
        return NGX_CONF_ERROR;
    }

    *gateway = set;

    if (ngx_cred_gateway_init(gateway, cf->pool) != NGX_OK
        || ngx_http_cred_gateway_name(cf, gateway,
                                             &alcf->environment.url->name)
           != NGX_OK)
    {
        return NGX_CONF_ERROR;
    }

    gateways = ngx_array_push(&amcf->gateways);
    if (gateways == NULL) {
        return NGX_CONF_ERROR;
    }

    *gateways = gateway;

    alcf->gateway = gateway;

    return NGX_CONF_OK;
}


static ngx_int_t
ngx_http_cred_gateway_name(ngx_conf_t *cf, ngx_cred_gateway_t *gateway,
    ngx_str_t *redis)
{
    gateway->name.data = ngx_pnalloc(cf->pool,
                                     redis->len + 1 + gateway->prefix.len);
    if (gateway->name.data == NULL) {
        return NGX_ERROR;
    }

    gateway->name.len = ngx_sprintf(gateway->name.data, "%V %V", redis,
                                    &gateway->prefix)
                        - gateway->name.data;

    return NGX_OK;
}


static ngx_uint_t
ngx_http_cred_same_gateway(ngx_cred_gateway_t *one,
    ngx_cred_gateway_t *two)
{
    return ngx_http_cred_same_string(&one->url, &two->url)
           && ngx_http_cred_same_string(&one->prefix, &two->prefix)
           && ngx_http_cred_same_settings(&one->redis, &two->redis);
}
