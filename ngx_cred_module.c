
/*
 * Copyright (C) ngx_cred_module authors
 * SPDX-License-Identifier: BSD-2-Clause
 */


/* directives, configuration, phase registration; no protocol, no I/O */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>
#include <ngx_cred_http.h>


#define NGX_HTTP_CRED_PASSWORD_LEN  4096


static void *ngx_http_cred_create_main_conf(ngx_conf_t *cf);
static void *ngx_http_cred_create_loc_conf(ngx_conf_t *cf);
static char *ngx_http_cred_merge_loc_conf(ngx_conf_t *cf, void *parent,
    void *child);
static char *ngx_http_cred_set_registry(ngx_conf_t *cf,
    ngx_http_cred_loc_conf_t *clcf);
static ngx_uint_t ngx_http_cred_same_registry(ngx_cred_registry_t *one,
    ngx_cred_registry_t *two);
static ngx_uint_t ngx_http_cred_same_string(ngx_str_t *one, ngx_str_t *two);
static ngx_int_t ngx_http_cred_init(ngx_conf_t *cf);
static ngx_int_t ngx_http_cred_init_process(ngx_cycle_t *cycle);

static char *ngx_http_cred_delete(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
static char *ngx_http_cred_registry(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
static char *ngx_http_cred_registry_addrs(ngx_conf_t *cf,
    ngx_http_cred_loc_conf_t *clcf);
static char *ngx_http_cred_password_file(ngx_conf_t *cf,
    ngx_http_cred_loc_conf_t *clcf, ngx_str_t *path);
static char *ngx_http_cred_prefix(ngx_conf_t *cf, void *post, void *data);
static char *ngx_http_cred_retry_delay(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
static char *ngx_http_cred_alloy_version(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);


static ngx_conf_num_bounds_t  ngx_http_cred_timeout_bounds = {
    ngx_conf_check_num_bounds, 1, 24 * 60 * 60 * 1000
};


static ngx_conf_post_t  ngx_http_cred_prefix_post = { ngx_http_cred_prefix };


static ngx_command_t  ngx_http_cred_commands[] = {

    { ngx_string("cred_delete"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_1MORE,
      ngx_http_cred_delete,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("cred_registry"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_TAKE12,
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
     *     clcf->addrs = NULL;
     *     clcf->naddrs = 0;
     *     clcf->password = { 0, NULL };
     *     clcf->prefix = { 0, NULL };
     *     clcf->api.alloy_version = { 0, NULL };
     */

    clcf->apis = NGX_CONF_UNSET_PTR;
    clcf->url = NGX_CONF_UNSET_PTR;
    clcf->connect_timeout = NGX_CONF_UNSET_MSEC;
    clcf->command_timeout = NGX_CONF_UNSET_MSEC;
    clcf->cascade_timeout = NGX_CONF_UNSET_MSEC;
    clcf->retry_min = NGX_CONF_UNSET_MSEC;
    clcf->retry_max = NGX_CONF_UNSET_MSEC;
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

    if (conf->url == NGX_CONF_UNSET_PTR) {
        conf->addrs = prev->addrs;
        conf->naddrs = prev->naddrs;
        conf->password = prev->password;
    }

    ngx_conf_merge_ptr_value(conf->url, prev->url, NULL);
    ngx_conf_merge_str_value(conf->prefix, prev->prefix, "");
    ngx_conf_merge_msec_value(conf->connect_timeout, prev->connect_timeout,
                              1000);
    ngx_conf_merge_msec_value(conf->command_timeout, prev->command_timeout,
                              2000);
    ngx_conf_merge_msec_value(conf->cascade_timeout, prev->cascade_timeout,
                              5000);
    ngx_conf_merge_msec_value(conf->retry_min, prev->retry_min, 1000);
    ngx_conf_merge_msec_value(conf->retry_max, prev->retry_max, 60000);

    if (conf->api.alloy_version_optional == NGX_CONF_UNSET) {
        conf->api = prev->api;

        if (conf->api.alloy_version_optional == NGX_CONF_UNSET) {
            ngx_str_set(&conf->api.alloy_version, "2025-09");
            conf->api.alloy_version_optional = 0;
        }
    }

    if (conf->url) {
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


static char *
ngx_http_cred_set_registry(ngx_conf_t *cf, ngx_http_cred_loc_conf_t *clcf)
{
    ngx_uint_t                  i;
    ngx_cred_registry_t         set, *registry, **registries;
    ngx_http_core_loc_conf_t   *core;
    ngx_http_cred_main_conf_t  *cmcf;

    core = ngx_http_conf_get_module_loc_conf(cf, ngx_http_core_module);
    cmcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_cred_module);

    ngx_memzero(&set, sizeof(ngx_cred_registry_t));

    set.url = clcf->url->text;
    set.prefix = clcf->prefix.len ? clcf->prefix : clcf->url->prefix;

    if (set.prefix.len == 0) {
        ngx_str_set(&set.prefix, NGX_CRED_REDIS_PREFIX);
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
    set.primary = 1;

    registries = cmcf->registries.elts;

    for (i = 0; i < cmcf->registries.nelts; i++) {

        if (ngx_http_cred_same_registry(registries[i], &set)) {
            clcf->registry = registries[i];
            return NGX_CONF_OK;
        }

        if (ngx_http_cred_same_string(&registries[i]->url, &set.url)
            && ngx_http_cred_same_string(&registries[i]->prefix, &set.prefix))
        {
            set.primary = 0;
        }
    }

    registry = ngx_palloc(cf->pool, sizeof(ngx_cred_registry_t));
    if (registry == NULL) {
        return NGX_CONF_ERROR;
    }

    *registry = set;

    if (set.redis.password.len) {
        registry->redis.identity.len = set.url.len + 1
                                       + set.redis.password.len;
        registry->redis.identity.data = ngx_pnalloc(cf->pool,
                                                registry->redis.identity.len);
        if (registry->redis.identity.data == NULL) {
            return NGX_CONF_ERROR;
        }

        ngx_sprintf(registry->redis.identity.data, "%V %V", &set.url,
                    &set.redis.password);
    }

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
           && one->retry_max == two->retry_max;
}


static ngx_uint_t
ngx_http_cred_same_string(ngx_str_t *one, ngx_str_t *two)
{
    return one->len == two->len
           && ngx_memcmp(one->data, two->data, one->len) == 0;
}


static ngx_int_t
ngx_http_cred_init(ngx_conf_t *cf)
{
    ngx_http_handler_pt        *h;
    ngx_http_core_main_conf_t  *core;
    ngx_http_cred_main_conf_t  *cmcf;

    cmcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_cred_module);

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

    if ((ngx_process != NGX_PROCESS_WORKER || ngx_worker != 0)
        && ngx_process != NGX_PROCESS_SINGLE)
    {
        return NGX_OK;
    }

    cmcf = ngx_http_cycle_get_module_main_conf(cycle, ngx_http_cred_module);

    if (cmcf == NULL) {
        return NGX_OK;
    }

    registries = cmcf->registries.elts;

    for (i = 0; i < cmcf->registries.nelts; i++) {

        if (registries[i]->primary
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
    ngx_uint_t                  i, j;
    ngx_cred_api_t            **api, **apis;
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

        for (api = ngx_cred_apis; *api; api++) {
            if (ngx_http_cred_same_string(&(*api)->name, &value[i])) {
                break;
            }
        }

        if (*api == NULL) {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                               "unknown API \"%V\"", &value[i]);
            return NGX_CONF_ERROR;
        }

        apis = clcf->apis->elts;

        for (j = 0; j < clcf->apis->nelts; j++) {
            if (apis[j] == *api) {
                ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                                   "duplicate API \"%V\"", &value[i]);
                return NGX_CONF_ERROR;
            }
        }

        apis = ngx_array_push(clcf->apis);
        if (apis == NULL) {
            return NGX_CONF_ERROR;
        }

        *apis = *api;

        clcf->methods |= (*api)->method;
    }

    clcf->delete_at.data = ngx_pnalloc(cf->pool,
                                       cf->conf_file->file.name.len + 1
                                       + NGX_INT_T_LEN);
    if (clcf->delete_at.data == NULL) {
        return NGX_CONF_ERROR;
    }

    clcf->delete_at.len = ngx_sprintf(clcf->delete_at.data, "%V:%ui",
                                      &cf->conf_file->file.name,
                                      cf->conf_file->line)
                          - clcf->delete_at.data;

    cmcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_cred_module);
    cmcf->intercepted = 1;

    return NGX_CONF_OK;
}


static char *
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
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "%s in the registry \"%V\"",
                           u.err ? u.err : "no memory", &clcf->url->name);
        return NGX_CONF_ERROR;
    }

    clcf->addrs = u.addrs;
    clcf->naddrs = u.naddrs;

    return NGX_CONF_OK;
}


static char *
ngx_http_cred_password_file(ngx_conf_t *cf, ngx_http_cred_loc_conf_t *clcf,
    ngx_str_t *path)
{
    u_char     buf[NGX_HTTP_CRED_PASSWORD_LEN + 1];
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

    password.data = buf;
    password.len = n;

    while (password.len && (password.data[password.len - 1] == LF
                            || password.data[password.len - 1] == CR))
    {
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
