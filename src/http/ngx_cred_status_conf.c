
/*
 * Copyright (C) ngx_cred_module authors
 * SPDX-License-Identifier: BSD-2-Clause
 */


/* the directives "cred_status" and "cred_status_zone" */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>
#include <ngx_cred_access_http.h>
#include <ngx_cred_status_http.h>


#define NGX_HTTP_CRED_STATUS_SIZE  (1024 * 1024)


static ngx_int_t ngx_http_cred_status_init_zone(ngx_shm_zone_t *shm_zone,
    void *data);


static ngx_conf_enum_t  ngx_http_cred_status_formats[] = {
    { ngx_string("json"), NGX_HTTP_CRED_STATUS_JSON },
    { ngx_string("prometheus"), NGX_HTTP_CRED_STATUS_PROMETHEUS },
    { ngx_string("html"), NGX_HTTP_CRED_STATUS_HTML },
    { ngx_null_string, 0 }
};


char *
ngx_http_cred_status(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_cred_loc_conf_t *clcf = conf;

    ngx_str_t                  *value;
    ngx_http_core_loc_conf_t   *core;
    ngx_http_cred_main_conf_t  *cmcf;

    if (clcf->status != NGX_HTTP_CRED_STATUS_OFF) {
        return "is duplicate";
    }

    value = cf->args->elts;

    clcf->status = (cf->args->nelts == 1)
                   ? NGX_HTTP_CRED_STATUS_JSON
                   : ngx_http_cred_status_format(&value[1]);

    if (clcf->status == NGX_HTTP_CRED_STATUS_OFF) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "invalid format \"%V\", there are: json, "
                           "prometheus, html", &value[1]);
        return NGX_CONF_ERROR;
    }

    core = ngx_http_conf_get_module_loc_conf(cf, ngx_http_core_module);
    core->handler = ngx_http_cred_status_handler;

    cmcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_cred_module);
    cmcf->shown = 1;

    return NGX_CONF_OK;
}


ngx_http_cred_status_e
ngx_http_cred_status_format(ngx_str_t *name)
{
    ngx_conf_enum_t  *format;

    for (format = ngx_http_cred_status_formats; format->name.len; format++) {

        if (ngx_http_cred_same_string(&format->name, name)) {
            return format->value;
        }
    }

    return NGX_HTTP_CRED_STATUS_OFF;
}


char *
ngx_http_cred_status_zone(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_cred_main_conf_t *cmcf = conf;

    ssize_t     size;
    ngx_str_t  *value;

    if (cmcf->status_size) {
        return "is duplicate";
    }

    value = cf->args->elts;

    size = ngx_parse_size(&value[2]);

    if (size == NGX_ERROR) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "invalid zone size \"%V\"",
                           &value[2]);
        return NGX_CONF_ERROR;
    }

    if (size < NGX_CRED_STATUS_SIZE_MIN) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "zone \"%V\" is too small, there have to be %uzk",
                           &value[1],
                           (size_t) NGX_CRED_STATUS_SIZE_MIN / 1024);
        return NGX_CONF_ERROR;
    }

    cmcf->status_name = value[1];
    cmcf->status_size = size;

    return NGX_CONF_OK;
}


/* what is shown later is counted from the start */

ngx_int_t
ngx_http_cred_status_init(ngx_conf_t *cf)
{
    ngx_shm_zone_t                    *shm_zone;
    ngx_http_cred_main_conf_t         *cmcf;
    ngx_http_cred_access_main_conf_t  *amcf;

    cmcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_cred_module);
    amcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_cred_access_module);

    if (!cmcf->shown && cmcf->registries.nelts == 0 && !amcf->enforced) {
        return NGX_OK;
    }

    if (cmcf->status_size == 0) {
        ngx_str_set(&cmcf->status_name, "cred_status");
        cmcf->status_size = NGX_HTTP_CRED_STATUS_SIZE;
    }

    shm_zone = ngx_shared_memory_add(cf, &cmcf->status_name, cmcf->status_size,
                                     &ngx_http_cred_module);
    if (shm_zone == NULL) {
        return NGX_ERROR;
    }

    shm_zone->init = ngx_http_cred_status_init_zone;
    shm_zone->data = cmcf;

    return NGX_OK;
}


static ngx_int_t
ngx_http_cred_status_init_zone(ngx_shm_zone_t *shm_zone, void *data)
{
    ngx_http_cred_main_conf_t *old = data;

    ngx_uint_t                  i;
    ngx_slab_pool_t            *shpool;
    ngx_cred_registry_t       **registries;
    ngx_http_cred_main_conf_t  *cmcf;

    cmcf = shm_zone->data;
    shpool = (ngx_slab_pool_t *) shm_zone->shm.addr;

    if (old) {
        cmcf->status = old->status;

    } else if (shm_zone->shm.exists) {
        cmcf->status = shpool->data;

    } else {
        cmcf->status = ngx_cred_status_create(shpool, &cmcf->status_name,
                                              shm_zone->shm.log);
        shpool->data = cmcf->status;
    }

    if (cmcf->status == NULL) {
        return NGX_ERROR;
    }

    registries = cmcf->registries.elts;

    for (i = 0; i < cmcf->registries.nelts; i++) {

        if (ngx_cred_status_registry(cmcf->status, registries[i],
                                     shm_zone->shm.log)
            == NGX_ERROR)
        {
            return NGX_ERROR;
        }
    }

    return NGX_OK;
}


ngx_cred_status_t *
ngx_http_cred_status_of(ngx_cycle_t *cycle)
{
    ngx_http_cred_main_conf_t  *cmcf;

    cmcf = ngx_http_cycle_get_module_main_conf(cycle, ngx_http_cred_module);

    return cmcf ? cmcf->status : NULL;
}
