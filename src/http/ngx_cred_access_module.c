
/*
 * Copyright (C) ngx_cred_module authors
 * SPDX-License-Identifier: BSD-2-Clause
 */


/*
 * The gateway's directives, configuration, phase registration.  It is a module
 * of its own, since a location may both check keys and delete credentials.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>
#include <ngx_cred_access_http.h>


#define NGX_HTTP_CRED_ACCESS_ZONE_SIZE  (16 * 1024 * 1024)


static void *ngx_http_cred_access_create_main_conf(ngx_conf_t *cf);
static void *ngx_http_cred_access_create_loc_conf(ngx_conf_t *cf);
static char *ngx_http_cred_access_merge_loc_conf(ngx_conf_t *cf, void *parent,
    void *child);
static ngx_int_t ngx_http_cred_access_init(ngx_conf_t *cf);
static ngx_int_t ngx_http_cred_access_init_zone(ngx_shm_zone_t *shm_zone,
    void *data);
static ngx_int_t ngx_http_cred_access_init_process(ngx_cycle_t *cycle);

static char *ngx_http_cred_access(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
static char *ngx_http_cred_access_parameter(ngx_conf_t *cf, ngx_str_t *value,
    ngx_http_cred_access_loc_conf_t *alcf);
static char *ngx_http_cred_access_zone(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
static char *ngx_http_cred_access_valid(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);


static ngx_conf_num_bounds_t  ngx_http_cred_access_lease_bounds = {
    ngx_conf_check_num_bounds, 100, NGX_CRED_LEASE_MAX
};


static ngx_command_t  ngx_http_cred_access_commands[] = {

    { ngx_string("cred_environment"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_TAKE123,
      ngx_http_cred_environment,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("cred_access"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_1MORE,
      ngx_http_cred_access,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("cred_access_zone"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_TAKE2,
      ngx_http_cred_access_zone,
      NGX_HTTP_MAIN_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("cred_access_lease"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_TAKE1,
      ngx_conf_set_msec_slot,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_http_cred_access_loc_conf_t, lease),
      &ngx_http_cred_access_lease_bounds },

    { ngx_string("cred_access_valid"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_TAKE12,
      ngx_http_cred_access_valid,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      NULL },

      ngx_null_command
};


static ngx_http_module_t  ngx_http_cred_access_module_ctx = {
    ngx_http_cred_access_add_variables,    /* preconfiguration */
    ngx_http_cred_access_init,             /* postconfiguration */

    ngx_http_cred_access_create_main_conf, /* create main configuration */
    NULL,                                  /* init main configuration */

    NULL,                                  /* create server configuration */
    NULL,                                  /* merge server configuration */

    ngx_http_cred_access_create_loc_conf,  /* create location configuration */
    ngx_http_cred_access_merge_loc_conf    /* merge location configuration */
};


ngx_module_t  ngx_http_cred_access_module = {
    NGX_MODULE_V1,
    &ngx_http_cred_access_module_ctx,      /* module context */
    ngx_http_cred_access_commands,         /* module directives */
    NGX_HTTP_MODULE,                       /* module type */
    NULL,                                  /* init master */
    NULL,                                  /* init module */
    ngx_http_cred_access_init_process,     /* init process */
    NULL,                                  /* init thread */
    NULL,                                  /* exit thread */
    NULL,                                  /* exit process */
    NULL,                                  /* exit master */
    NGX_MODULE_V1_PADDING
};


static void *
ngx_http_cred_access_create_main_conf(ngx_conf_t *cf)
{
    ngx_http_cred_access_main_conf_t  *amcf;

    amcf = ngx_pcalloc(cf->pool, sizeof(ngx_http_cred_access_main_conf_t));
    if (amcf == NULL) {
        return NULL;
    }

    /*
     * set by ngx_pcalloc():
     *
     *     amcf->zone_name = { 0, NULL };
     *     amcf->zone_size = 0;
     *     amcf->zone = NULL;
     *     amcf->host = NULL;
     *     amcf->enforced = 0;
     */

    if (ngx_array_init(&amcf->gateways, cf->pool, 1,
                       sizeof(ngx_cred_gateway_t *))
        != NGX_OK)
    {
        return NULL;
    }

    return amcf;
}


static void *
ngx_http_cred_access_create_loc_conf(ngx_conf_t *cf)
{
    ngx_http_cred_access_loc_conf_t  *alcf;

    alcf = ngx_pcalloc(cf->pool, sizeof(ngx_http_cred_access_loc_conf_t));
    if (alcf == NULL) {
        return NULL;
    }

    /*
     * set by ngx_pcalloc():
     *
     *     alcf->api_number = 0;
     *     alcf->key = NULL;
     *     alcf->scope = NULL;
     *     alcf->grant = NULL;
     *     alcf->access_at = { 0, NULL };
     *     alcf->environment = { 0 };
     *     alcf->gateway = NULL;
     */

    alcf->api = NGX_CONF_UNSET_PTR;
    alcf->environment.url = NGX_CONF_UNSET_PTR;
    alcf->lease = NGX_CONF_UNSET_MSEC;
    alcf->valid = NGX_CONF_UNSET_MSEC;
    alcf->missing = NGX_CONF_UNSET_MSEC;

    return alcf;
}


static char *
ngx_http_cred_access_merge_loc_conf(ngx_conf_t *cf, void *parent, void *child)
{
    ngx_http_cred_access_loc_conf_t *prev = parent;
    ngx_http_cred_access_loc_conf_t *conf = child;

    if (conf->api == NGX_CONF_UNSET_PTR) {
        conf->api_number = prev->api_number;
        conf->key = prev->key;
        conf->scope = prev->scope;
        conf->grant = prev->grant;
        conf->access_at = prev->access_at;
    }

    ngx_conf_merge_ptr_value(conf->api, prev->api, NULL);

    ngx_http_cred_redis_merge(&conf->environment, &prev->environment);

    ngx_conf_merge_msec_value(conf->lease, prev->lease, 2000);

    if (conf->valid == NGX_CONF_UNSET_MSEC) {
        conf->missing = prev->missing;
    }

    ngx_conf_merge_msec_value(conf->valid, prev->valid, 10000);
    ngx_conf_init_msec_value(conf->missing, 1000);

    if (conf->api == NULL) {
        return NGX_CONF_OK;
    }

    if (conf->environment.url == NULL) {
        ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
                      "no \"cred_environment\" for \"cred_access\" in %V",
                      &conf->access_at);
        return NGX_CONF_ERROR;
    }

    return ngx_http_cred_set_gateway(cf, conf);
}


static ngx_int_t
ngx_http_cred_access_init(ngx_conf_t *cf)
{
    ngx_array_t                       *handlers;
    ngx_shm_zone_t                    *shm_zone;
    ngx_http_handler_pt               *h;
    ngx_http_core_main_conf_t         *core;
    ngx_http_cred_access_main_conf_t  *amcf;

    amcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_cred_access_module);

    if (!amcf->enforced) {
        return NGX_OK;
    }

    if (amcf->zone_size == 0) {
        ngx_str_set(&amcf->zone_name, "cred_access");
        amcf->zone_size = NGX_HTTP_CRED_ACCESS_ZONE_SIZE;
    }

    shm_zone = ngx_shared_memory_add(cf, &amcf->zone_name, amcf->zone_size,
                                     &ngx_http_cred_access_module);
    if (shm_zone == NULL) {
        return NGX_ERROR;
    }

    amcf->host = &cf->cycle->hostname;

    shm_zone->init = ngx_http_cred_access_init_zone;
    shm_zone->data = amcf;

    core = ngx_http_conf_get_module_main_conf(cf, ngx_http_core_module);

    handlers = &core->phases[NGX_HTTP_ACCESS_PHASE].handlers;

    h = ngx_array_push(handlers);
    if (h == NULL) {
        return NGX_ERROR;
    }

    /*
     * The first one is asked last: whom "deny" or "auth_basic" refuses cannot
     * try keys, nor cause lookups.
     */

    h = handlers->elts;

    ngx_memmove(h + 1, h, (handlers->nelts - 1) * sizeof(ngx_http_handler_pt));

    *h = ngx_http_cred_access_handler;

    return NGX_OK;
}


static ngx_int_t
ngx_http_cred_access_init_zone(ngx_shm_zone_t *shm_zone, void *data)
{
    ngx_http_cred_access_main_conf_t *old = data;

    ngx_uint_t                         i, j;
    ngx_msec_t                         lease;
    ngx_slab_pool_t                   *shpool;
    ngx_cred_gateway_t               **gateways;
    ngx_http_cred_access_main_conf_t  *amcf;

    amcf = shm_zone->data;
    shpool = (ngx_slab_pool_t *) shm_zone->shm.addr;

    if (old) {
        amcf->zone = old->zone;

    } else if (shm_zone->shm.exists) {
        amcf->zone = shpool->data;

    } else {
        amcf->zone = ngx_cred_zone_create(shpool, &amcf->zone_name,
                                          shm_zone->shm.log);
        shpool->data = amcf->zone;
    }

    if (amcf->zone == NULL) {
        return NGX_ERROR;
    }

    gateways = amcf->gateways.elts;

    for (i = 0; i < amcf->gateways.nelts; i++) {
        lease = gateways[i]->lease;
        gateways[i]->leased = 1;

        for (j = 0; j < amcf->gateways.nelts; j++) {

            if (ngx_http_cred_same_string(&gateways[i]->name,
                                          &gateways[j]->name))
            {
                lease = ngx_min(lease, gateways[j]->lease);
                gateways[i]->leased &= (j >= i);
            }
        }

        gateways[i]->zone = amcf->zone;
        gateways[i]->environment =
            ngx_cred_zone_environment(amcf->zone, &gateways[i]->name, lease,
                                      amcf->host, shm_zone->shm.log);

        if (gateways[i]->environment == NULL) {
            return NGX_ERROR;
        }
    }

    return NGX_OK;
}


static ngx_int_t
ngx_http_cred_access_init_process(ngx_cycle_t *cycle)
{
    ngx_uint_t                         i, first;
    ngx_cred_gateway_t               **gateways;
    ngx_http_cred_access_main_conf_t  *amcf;

    if (ngx_process != NGX_PROCESS_WORKER && ngx_process != NGX_PROCESS_SINGLE)
    {
        return NGX_OK;
    }

    amcf = ngx_http_cycle_get_module_main_conf(cycle,
                                               ngx_http_cred_access_module);

    if (amcf == NULL || !amcf->enforced) {
        return NGX_OK;
    }

    first = (ngx_process == NGX_PROCESS_SINGLE || ngx_worker == 0);

    gateways = amcf->gateways.elts;

    for (i = 0; i < amcf->gateways.nelts; i++) {

        if (gateways[i]->leased
            && ngx_cred_lease_start(gateways[i], cycle, first) != NGX_OK)
        {
            return NGX_ERROR;
        }
    }

    return NGX_OK;
}


static char *
ngx_http_cred_access(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_cred_access_loc_conf_t *alcf = conf;

    char                              *rv;
    ngx_str_t                         *value;
    ngx_uint_t                         i;
    ngx_http_cred_access_main_conf_t  *amcf;

    if (alcf->api != NGX_CONF_UNSET_PTR) {
        return "is duplicate";
    }

    value = cf->args->elts;

    if (cf->args->nelts == 2 && ngx_strcmp(value[1].data, "off") == 0) {
        alcf->api = NULL;
        return NGX_CONF_OK;
    }

    alcf->api = ngx_http_cred_find_api(cf, &value[1], &alcf->api_number);
    if (alcf->api == NULL) {
        return NGX_CONF_ERROR;
    }

    for (i = 2; i < cf->args->nelts; i++) {
        rv = ngx_http_cred_access_parameter(cf, &value[i], alcf);

        if (rv != NGX_CONF_OK) {
            return rv;
        }
    }

    if (ngx_http_cred_directive_at(cf, &alcf->access_at) != NGX_OK) {
        return NGX_CONF_ERROR;
    }

    amcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_cred_access_module);
    amcf->enforced = 1;

    return NGX_CONF_OK;
}


/* key=VALUE, scope=VALUE, grant=VALUE */

static char *
ngx_http_cred_access_parameter(ngx_conf_t *cf, ngx_str_t *value,
    ngx_http_cred_access_loc_conf_t *alcf)
{
    ngx_str_t                           text;
    ngx_http_complex_value_t          **cv;
    ngx_http_compile_complex_value_t    ccv;

    if (ngx_strncmp(value->data, "key=", 4) == 0) {
        cv = &alcf->key;
        text.data = value->data + 4;

    } else if (ngx_strncmp(value->data, "scope=", 6) == 0) {
        cv = &alcf->scope;
        text.data = value->data + 6;

    } else if (ngx_strncmp(value->data, "grant=", 6) == 0) {
        cv = &alcf->grant;
        text.data = value->data + 6;

    } else {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "invalid parameter \"%V\"",
                           value);
        return NGX_CONF_ERROR;
    }

    text.len = value->data + value->len - text.data;

    if (text.len == 0 || *cv != NULL) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "%s parameter \"%V\"",
                           text.len ? "duplicate" : "empty", value);
        return NGX_CONF_ERROR;
    }

    *cv = ngx_palloc(cf->pool, sizeof(ngx_http_complex_value_t));
    if (*cv == NULL) {
        return NGX_CONF_ERROR;
    }

    ngx_memzero(&ccv, sizeof(ngx_http_compile_complex_value_t));

    ccv.cf = cf;
    ccv.value = &text;
    ccv.complex_value = *cv;

    return (ngx_http_compile_complex_value(&ccv) == NGX_OK) ? NGX_CONF_OK
                                                            : NGX_CONF_ERROR;
}


static char *
ngx_http_cred_access_zone(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_cred_access_main_conf_t *amcf = conf;

    ssize_t     size;
    ngx_str_t  *value;

    if (amcf->zone_size) {
        return "is duplicate";
    }

    value = cf->args->elts;

    if (value[1].len == 0) {
        return "has an empty name";
    }

    size = ngx_parse_size(&value[2]);

    if (size == NGX_ERROR) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "invalid zone size \"%V\"",
                           &value[2]);
        return NGX_CONF_ERROR;
    }

    if (size < NGX_CRED_ZONE_SIZE_MIN) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "zone \"%V\" is too small, it needs %uzm",
                           &value[1],
                           (size_t) NGX_CRED_ZONE_SIZE_MIN / (1024 * 1024));
        return NGX_CONF_ERROR;
    }

    amcf->zone_name = value[1];
    amcf->zone_size = size;

    return NGX_CONF_OK;
}


static char *
ngx_http_cred_access_valid(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_cred_access_loc_conf_t *alcf = conf;

    ngx_int_t   valid, missing;
    ngx_str_t  *value, text;

    if (alcf->valid != NGX_CONF_UNSET_MSEC) {
        return "is duplicate";
    }

    value = cf->args->elts;

    valid = ngx_parse_time(&value[1], 0);

    if (valid == NGX_ERROR) {
        return "has an invalid time";
    }

    missing = 1000;

    if (cf->args->nelts == 3) {

        if (ngx_strncmp(value[2].data, "missing=", 8) != 0) {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                               "invalid parameter \"%V\"", &value[2]);
            return NGX_CONF_ERROR;
        }

        text.data = value[2].data + 8;
        text.len = value[2].len - 8;

        missing = ngx_parse_time(&text, 0);

        if (missing == NGX_ERROR) {
            return "has an invalid \"missing\" time";
        }
    }

    alcf->valid = valid;
    alcf->missing = missing;

    return NGX_CONF_OK;
}
