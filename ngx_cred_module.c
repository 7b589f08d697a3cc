
/*
 * Copyright (C) ngx_cred_module authors
 * SPDX-License-Identifier: BSD-2-Clause
 */


/* directives, configuration, phase registration; no protocol, no I/O */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>
#include <ngx_cred_connector.h>
#include <ngx_cred_http.h>


static void *ngx_http_cred_create_main_conf(ngx_conf_t *cf);
static void *ngx_http_cred_create_loc_conf(ngx_conf_t *cf);
static char *ngx_http_cred_merge_loc_conf(ngx_conf_t *cf, void *parent,
    void *child);
static ngx_int_t ngx_http_cred_init(ngx_conf_t *cf);
static ngx_int_t ngx_http_cred_init_process(ngx_cycle_t *cycle);

static char *ngx_http_cred_delete(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
static char *ngx_http_cred_prefix(ngx_conf_t *cf, void *post, void *data);
static char *ngx_http_cred_retry_delay(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
static char *ngx_http_cred_alloy_version(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);


static ngx_conf_num_bounds_t  ngx_http_cred_timeout_bounds = {
    ngx_conf_check_num_bounds, 1, 24 * 60 * 60 * 1000
};


static ngx_conf_num_bounds_t  ngx_http_cred_audit_bounds = {
    ngx_conf_check_num_bounds, 1000, 1000000000
};


static ngx_conf_num_bounds_t  ngx_http_cred_ssl_depth_bounds = {
    ngx_conf_check_num_bounds, 0, 100
};


static ngx_conf_bitmask_t  ngx_http_cred_ssl_protocols[] = {
    { ngx_string("TLSv1"), NGX_SSL_TLSv1 },
    { ngx_string("TLSv1.1"), NGX_SSL_TLSv1_1 },
    { ngx_string("TLSv1.2"), NGX_SSL_TLSv1_2 },
    { ngx_string("TLSv1.3"), NGX_SSL_TLSv1_3 },
    { ngx_null_string, 0 }
};


static ngx_conf_post_t  ngx_http_cred_prefix_post = { ngx_http_cred_prefix };


static ngx_command_t  ngx_http_cred_commands[] = {

    { ngx_string("cred_delete"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_1MORE,
      ngx_http_cred_delete,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("cred_strict"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_FLAG,
      ngx_conf_set_flag_slot,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_http_cred_loc_conf_t, strict),
      NULL },

    { ngx_string("cred_registry"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_TAKE123,
      ngx_http_cred_registry,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("cred_prefix"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_TAKE1,
      ngx_conf_set_str_slot,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_http_cred_loc_conf_t, prefix),
      &ngx_http_cred_prefix_post },

    { ngx_string("cred_connect_timeout"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_TAKE1,
      ngx_conf_set_msec_slot,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_http_cred_loc_conf_t, connect_timeout),
      &ngx_http_cred_timeout_bounds },

    { ngx_string("cred_command_timeout"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_TAKE1,
      ngx_conf_set_msec_slot,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_http_cred_loc_conf_t, command_timeout),
      &ngx_http_cred_timeout_bounds },

    { ngx_string("cred_cascade_timeout"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_TAKE1,
      ngx_conf_set_msec_slot,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_http_cred_loc_conf_t, cascade_timeout),
      &ngx_http_cred_timeout_bounds },

    { ngx_string("cred_retry_delay"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_TAKE12,
      ngx_http_cred_retry_delay,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("cred_unregistered_delay"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_TAKE1,
      ngx_conf_set_msec_slot,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_http_cred_loc_conf_t, unregistered_delay),
      NULL },

    { ngx_string("cred_audit_length"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_TAKE1,
      ngx_conf_set_num_slot,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_http_cred_loc_conf_t, audit_length),
      &ngx_http_cred_audit_bounds },

    { ngx_string("cred_ssl_verify"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_FLAG,
      ngx_http_cred_ssl_verify,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_http_cred_loc_conf_t, ssl.verify),
      NULL },

    { ngx_string("cred_ssl_verify_depth"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_TAKE1,
      ngx_conf_set_num_slot,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_http_cred_loc_conf_t, ssl.verify_depth),
      &ngx_http_cred_ssl_depth_bounds },

    { ngx_string("cred_ssl_trusted_certificate"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_TAKE1,
      ngx_http_cred_ssl_value,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_http_cred_loc_conf_t, ssl.trusted),
      NULL },

    { ngx_string("cred_ssl_crl"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_TAKE1,
      ngx_http_cred_ssl_value,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_http_cred_loc_conf_t, ssl.crl),
      NULL },

    { ngx_string("cred_ssl_name"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_TAKE1,
      ngx_http_cred_ssl_name,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_http_cred_loc_conf_t, ssl.name),
      NULL },

    { ngx_string("cred_ssl_certificate"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_TAKE1,
      ngx_http_cred_ssl_value,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_http_cred_loc_conf_t, ssl.certificate),
      NULL },

    { ngx_string("cred_ssl_certificate_key"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_TAKE1,
      ngx_http_cred_ssl_value,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_http_cred_loc_conf_t, ssl.key),
      NULL },

    { ngx_string("cred_ssl_password_file"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_TAKE1,
      ngx_http_cred_ssl_password_file,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_http_cred_loc_conf_t, ssl.password_file),
      NULL },

    { ngx_string("cred_ssl_protocols"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_1MORE,
      ngx_conf_set_bitmask_slot,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_http_cred_loc_conf_t, ssl.protocols),
      &ngx_http_cred_ssl_protocols },

    { ngx_string("cred_ssl_ciphers"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_TAKE1,
      ngx_http_cred_ssl_value,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_http_cred_loc_conf_t, ssl.ciphers),
      NULL },

    { ngx_string("cred_ssl_conf_command"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_TAKE2,
      ngx_http_cred_ssl_conf_command,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("cred_registry_wait"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_TAKE123,
      ngx_http_cred_registry_wait,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("cred_connector"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_BLOCK|NGX_CONF_TAKE1,
      ngx_http_cred_connector,
      NGX_HTTP_MAIN_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("cred_status_zone"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_TAKE2,
      ngx_http_cred_status_zone,
      NGX_HTTP_MAIN_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("cred_status"),
      NGX_HTTP_LOC_CONF|NGX_CONF_NOARGS|NGX_CONF_TAKE1,
      ngx_http_cred_status,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("cred_alloy_version"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_TAKE12,
      ngx_http_cred_alloy_version,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      NULL },

      ngx_null_command
};


static ngx_http_module_t  ngx_http_cred_module_ctx = {
    ngx_http_cred_add_variables,           /* preconfiguration */
    ngx_http_cred_init,                    /* postconfiguration */

    ngx_http_cred_create_main_conf,        /* create main configuration */
    NULL,                                  /* init main configuration */

    NULL,                                  /* create server configuration */
    NULL,                                  /* merge server configuration */

    ngx_http_cred_create_loc_conf,         /* create location configuration */
    ngx_http_cred_merge_loc_conf           /* merge location configuration */
};


ngx_module_t  ngx_http_cred_module = {
    NGX_MODULE_V1,
    &ngx_http_cred_module_ctx,             /* module context */
    ngx_http_cred_commands,                /* module directives */
    NGX_HTTP_MODULE,                       /* module type */
    NULL,                                  /* init master */
    NULL,                                  /* init module */
    ngx_http_cred_init_process,            /* init process */
    NULL,                                  /* init thread */
    NULL,                                  /* exit thread */
    NULL,                                  /* exit process */
    NULL,                                  /* exit master */
    NGX_MODULE_V1_PADDING
};


static void *
ngx_http_cred_create_main_conf(ngx_conf_t *cf)
{
    ngx_http_cred_main_conf_t  *cmcf;

    cmcf = ngx_pcalloc(cf->pool, sizeof(ngx_http_cred_main_conf_t));
    if (cmcf == NULL) {
        return NULL;
    }

    if (ngx_array_init(&cmcf->registries, cf->pool, 1,
                       sizeof(ngx_cred_registry_t *))
        != NGX_OK
        || ngx_array_init(&cmcf->passwords, cf->pool, 1,
                          sizeof(ngx_cred_redis_password_t *))
           != NGX_OK
        || ngx_array_init(&cmcf->contexts, cf->pool, 1,
                          sizeof(ngx_http_cred_ssl_context_t *))
           != NGX_OK
        || ngx_array_init(&cmcf->connectors, cf->pool, 1,
                          sizeof(ngx_cred_connector_t *))
           != NGX_OK
        || ngx_array_init(&cmcf->secrets, cf->pool, 1,
                          sizeof(ngx_http_cred_secret_t *))
           != NGX_OK)
    {
        return NULL;
    }

    return cmcf;
}


static void *
ngx_http_cred_create_loc_conf(ngx_conf_t *cf)
{
    ngx_http_cred_loc_conf_t  *clcf;

    clcf = ngx_pcalloc(cf->pool, sizeof(ngx_http_cred_loc_conf_t));
    if (clcf == NULL) {
        return NULL;
    }

    /*
     * set by ngx_pcalloc():
     *
     *     clcf->methods = 0;
     *     clcf->delete_at = { 0, NULL };
     *     clcf->registry = NULL;
     *     clcf->redis = { 0 };
     *     clcf->prefix = { 0, NULL };
     *     clcf->ssl = { 0 };
     *     clcf->wait.time = 0;
     *     clcf->wait.aof = 0;
     *     clcf->api.alloy_version = { 0, NULL };
     */

    clcf->apis = NGX_CONF_UNSET_PTR;
    clcf->strict = NGX_CONF_UNSET;
    clcf->redis.url = NGX_CONF_UNSET_PTR;
    clcf->connect_timeout = NGX_CONF_UNSET_MSEC;
    clcf->command_timeout = NGX_CONF_UNSET_MSEC;
    clcf->cascade_timeout = NGX_CONF_UNSET_MSEC;
    clcf->retry_min = NGX_CONF_UNSET_MSEC;
    clcf->retry_max = NGX_CONF_UNSET_MSEC;
    clcf->unregistered_delay = NGX_CONF_UNSET_MSEC;
    clcf->audit_length = NGX_CONF_UNSET;
    ngx_http_cred_ssl_init(&clcf->ssl);
    clcf->wait.replicas = NGX_CONF_UNSET_UINT;
    clcf->api.alloy_version_optional = NGX_CONF_UNSET;

    return clcf;
}


static char *
ngx_http_cred_merge_loc_conf(ngx_conf_t *cf, void *parent, void *child)
{
    ngx_http_cred_loc_conf_t *prev = parent;
    ngx_http_cred_loc_conf_t *conf = child;

    if (conf->apis == NGX_CONF_UNSET_PTR) {
        conf->methods = prev->methods;
        conf->delete_at = prev->delete_at;
    }

    ngx_conf_merge_ptr_value(conf->apis, prev->apis, NULL);
    ngx_conf_merge_value(conf->strict, prev->strict, 1);

    ngx_http_cred_redis_merge(&conf->redis, &prev->redis);

    ngx_conf_merge_str_value(conf->prefix, prev->prefix, "");
    ngx_conf_merge_msec_value(conf->connect_timeout, prev->connect_timeout,
                              NGX_HTTP_CRED_CONNECT_TIMEOUT);
    ngx_conf_merge_msec_value(conf->command_timeout, prev->command_timeout,
                              2000);
    ngx_conf_merge_msec_value(conf->cascade_timeout, prev->cascade_timeout,
                              5000);
    ngx_conf_merge_msec_value(conf->retry_min, prev->retry_min, 1000);
    ngx_conf_merge_msec_value(conf->retry_max, prev->retry_max, 60000);
    ngx_conf_merge_msec_value(conf->unregistered_delay,
                              prev->unregistered_delay, 24 * 60 * 60 * 1000);
    ngx_conf_merge_value(conf->audit_length, prev->audit_length, 100000);

    ngx_http_cred_ssl_merge(&conf->ssl, &prev->ssl);

    if (conf->wait.replicas == NGX_CONF_UNSET_UINT) {
        conf->wait = prev->wait;

        if (conf->wait.replicas == NGX_CONF_UNSET_UINT) {
            conf->wait.replicas = 0;
        }
    }

    if (conf->api.alloy_version_optional == NGX_CONF_UNSET) {
        conf->api = prev->api;

        if (conf->api.alloy_version_optional == NGX_CONF_UNSET) {
            ngx_str_set(&conf->api.alloy_version, "2025-09");
            conf->api.alloy_version_optional = 0;
        }
    }

    if (conf->redis.url) {
        return ngx_http_cred_set_registry(cf, conf);
    }

    if (conf->apis) {
        ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
                      "no \"cred_registry\" for \"cred_delete\" in %V",
                      &conf->delete_at);
        return NGX_CONF_ERROR;
    }

    return NGX_CONF_OK;
}


static ngx_int_t
ngx_http_cred_init(ngx_conf_t *cf)
{
    ngx_http_handler_pt        *h;
    ngx_http_core_main_conf_t  *core;
    ngx_http_cred_main_conf_t  *cmcf;

    cmcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_cred_module);

    if (ngx_http_cred_connectors_init(cf) != NGX_OK
        || ngx_http_cred_status_init(cf) != NGX_OK)
    {
        return NGX_ERROR;
    }

    if (!cmcf->intercepted) {
        return NGX_OK;
    }

    core = ngx_http_conf_get_module_main_conf(cf, ngx_http_core_module);

    h = ngx_array_push(&core->phases[NGX_HTTP_PRECONTENT_PHASE].handlers);
    if (h == NULL) {
        return NGX_ERROR;
    }

    *h = ngx_http_cred_handler;

    return NGX_OK;
}


/* the first worker retries; when it dies, its successor does */

static ngx_int_t
ngx_http_cred_init_process(ngx_cycle_t *cycle)
{
    ngx_uint_t                  i;
    ngx_cred_registry_t       **registries;
    ngx_http_cred_main_conf_t  *cmcf;

    if (ngx_process != NGX_PROCESS_WORKER && ngx_process != NGX_PROCESS_SINGLE)
    {
        return NGX_OK;
    }

    ngx_cred_status_use(ngx_http_cred_status_of);

    cmcf = ngx_http_cycle_get_module_main_conf(cycle, ngx_http_cred_module);

    if (cmcf == NULL
        || (ngx_process == NGX_PROCESS_WORKER && ngx_worker != 0))
    {
        return NGX_OK;
    }

    registries = cmcf->registries.elts;

    for (i = 0; i < cmcf->registries.nelts; i++) {

        if (ngx_http_cred_retries(&cmcf->registries, registries[i])
            && ngx_cred_retry_start(registries[i], cycle) != NGX_OK)
        {
            return NGX_ERROR;
        }
    }

    return NGX_OK;
}


static char *
ngx_http_cred_delete(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_cred_loc_conf_t *clcf = conf;

    ngx_str_t                  *value;
    ngx_uint_t                  i, j, n;
    ngx_cred_api_t             *api, **apis;
    ngx_http_cred_main_conf_t  *cmcf;

    if (clcf->apis != NGX_CONF_UNSET_PTR) {
        return "is duplicate";
    }

    value = cf->args->elts;

    if (cf->args->nelts == 2 && ngx_strcmp(value[1].data, "off") == 0) {
        clcf->apis = NULL;
        return NGX_CONF_OK;
    }

    clcf->apis = ngx_array_create(cf->pool, cf->args->nelts - 1,
                                  sizeof(ngx_cred_api_t *));
    if (clcf->apis == NULL) {
        return NGX_CONF_ERROR;
    }

    for (i = 1; i < cf->args->nelts; i++) {

        api = ngx_http_cred_find_api(cf, &value[i], &n);
        if (api == NULL) {
            return NGX_CONF_ERROR;
        }

        apis = clcf->apis->elts;

        for (j = 0; j < clcf->apis->nelts; j++) {
            if (apis[j] == api) {
                ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                                   "duplicate API \"%V\"", &value[i]);
                return NGX_CONF_ERROR;
            }
        }

        apis = ngx_array_push(clcf->apis);
        if (apis == NULL) {
            return NGX_CONF_ERROR;
        }

        *apis = api;

        clcf->methods |= api->method;
    }

    if (ngx_http_cred_directive_at(cf, &clcf->delete_at) != NGX_OK) {
        return NGX_CONF_ERROR;
    }

    cmcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_cred_module);
    cmcf->intercepted = 1;

    return NGX_CONF_OK;
}


static char *
ngx_http_cred_prefix(ngx_conf_t *cf, void *post, void *data)
{
    ngx_str_t *prefix = data;

    return prefix->len ? NGX_CONF_OK : "must not be empty";
}


static char *
ngx_http_cred_retry_delay(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_cred_loc_conf_t *clcf = conf;

    ngx_str_t  *value;
    ngx_int_t   min, max;

    if (clcf->retry_min != NGX_CONF_UNSET_MSEC) {
        return "is duplicate";
    }

    value = cf->args->elts;

    min = ngx_parse_time(&value[1], 0);

    if (min == NGX_ERROR || min == 0) {
        return "has an invalid shortest delay";
    }

    max = (cf->args->nelts == 3) ? ngx_parse_time(&value[2], 0)
                                 : ngx_max(min, 60000);

    if (max == NGX_ERROR || max < min) {
        return "has an invalid longest delay";
    }

    clcf->retry_min = min;
    clcf->retry_max = max;

    return NGX_CONF_OK;
}


static char *
ngx_http_cred_alloy_version(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_cred_loc_conf_t *clcf = conf;

    ngx_str_t  *value;

    if (clcf->api.alloy_version_optional != NGX_CONF_UNSET) {
        return "is duplicate";
    }

    value = cf->args->elts;

    if (value[1].len == 0) {
        return "has an empty version";
    }

    clcf->api.alloy_version = value[1];
    clcf->api.alloy_version_optional = 0;

    if (cf->args->nelts == 3) {

        if (ngx_strcmp(value[2].data, "optional") != 0) {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                               "invalid parameter \"%V\"", &value[2]);
            return NGX_CONF_ERROR;
        }

        clcf->api.alloy_version_optional = 1;
    }

    return NGX_CONF_OK;
}
