
/*
 * Copyright (C) ngx_cred_module authors
 * SPDX-License-Identifier: BSD-2-Clause
 */


/* the connectors that a configuration makes of "cred_connector" */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>
#include <ngx_cred_connector_http.h>


#define NGX_HTTP_CRED_RESOLVER_TIMEOUT  30000   /* nginx's own */


static ngx_http_cred_connector_t *ngx_http_cred_connector_create(
    ngx_conf_t *cf, ngx_str_t *name);
static ngx_int_t ngx_http_cred_connector_name(ngx_conf_t *cf, ngx_str_t *name);
static void ngx_http_cred_connector_wipe(void *data);
static char *ngx_http_cred_connector_end(ngx_conf_t *cf,
    ngx_http_cred_connector_t *block);
static ngx_int_t ngx_http_cred_connector_webhook(ngx_conf_t *cf,
    ngx_http_cred_connector_t *block, ngx_str_t *err);
static ngx_int_t ngx_http_cred_connector_other(ngx_conf_t *cf,
    ngx_http_cred_connector_t *block, ngx_str_t *err);
static char *ngx_http_cred_connector_vain(ngx_cred_connector_t *connector);
static ngx_int_t ngx_http_cred_connector_finish(ngx_conf_t *cf,
    ngx_http_cred_connector_t *block);
static void ngx_http_cred_connector_close(void *data);


char *
ngx_http_cred_connector(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    char                       *rv;
    ngx_str_t                  *value;
    ngx_conf_t                  save;
    ngx_http_cred_connector_t  *block;

    value = cf->args->elts;

    block = ngx_http_cred_connector_create(cf, &value[1]);
    if (block == NULL) {
        return NGX_CONF_ERROR;
    }

    save = *cf;

    cf->handler = ngx_http_cred_connector_line;
    cf->handler_conf = (void *) block;

    rv = ngx_conf_parse(cf, NULL);

    *cf = save;

    return (rv == NGX_CONF_OK) ? ngx_http_cred_connector_end(cf, block) : rv;
}


static ngx_http_cred_connector_t *
ngx_http_cred_connector_create(ngx_conf_t *cf, ngx_str_t *name)
{
    u_char                      *p;
    ngx_pool_cleanup_t          *cln;
    ngx_cred_connector_t        *connector, **connectors;
    ngx_http_cred_connector_t   *block;
    ngx_http_cred_main_conf_t   *cmcf;

    if (ngx_http_cred_connector_name(cf, name) != NGX_OK) {
        return NULL;
    }

    cmcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_cred_module);

    block = ngx_pcalloc(cf->pool, sizeof(ngx_http_cred_connector_t));
    p = ngx_pnalloc(cf->pool, sizeof("\"\"") - 1 + name->len);
    connectors = ngx_array_push(&cmcf->connectors);
    cln = ngx_pool_cleanup_add(cf->pool, 0);

    if (block == NULL || p == NULL || connectors == NULL || cln == NULL) {
        return NULL;
    }

    connector = &block->connector;

    *connectors = connector;

    cln->handler = ngx_http_cred_connector_wipe;
    cln->data = connector;

    connector->name = *name;

    connector->web.changed = ngx_cred_status_connector_changed;
    connector->web.shown.data = p;
    connector->web.shown.len = ngx_sprintf(p, "\"%V\"", name) - p;

    ngx_http_cred_ssl_init(&block->level.ssl);

    if (ngx_cred_connector_init(cf->pool, connector) != NGX_OK
        || ngx_http_cred_directive_at(cf, &connector->at) != NGX_OK)
    {
        return NULL;
    }

    return block;
}


static ngx_int_t
ngx_http_cred_connector_name(ngx_conf_t *cf, ngx_str_t *name)
{
    ngx_uint_t                  i;
    ngx_cred_connector_t      **connectors;
    ngx_http_cred_main_conf_t  *cmcf;

    if (!ngx_cred_connector_valid_name(name)) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "invalid connector name \"%V\"", name);
        return NGX_ERROR;
    }

    cmcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_cred_module);

    connectors = cmcf->connectors.elts;

    for (i = 0; i < cmcf->connectors.nelts; i++) {

        if (ngx_http_cred_same_string(&connectors[i]->name, name)) {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                               "duplicate connector \"%V\"", name);
            return NGX_ERROR;
        }
    }

    return NGX_OK;
}


/* of what came from files, these are copies */

static void
ngx_http_cred_connector_wipe(void *data)
{
    ngx_cred_connector_t *connector = data;

    ngx_str_t   *secret;
    ngx_uint_t   i;

    secret = connector->secrets.elts;

    for (i = 0; i < connector->secrets.nelts; i++) {
        ngx_explicit_memzero(secret[i].data, secret[i].len);
    }
}


/* what a block lacks is told with its first line */

static char *
ngx_http_cred_connector_end(ngx_conf_t *cf, ngx_http_cred_connector_t *block)
{
    char                  *vain;
    ngx_int_t              rc;
    ngx_str_t              err;
    ngx_cred_connector_t  *connector;

    connector = &block->connector;

    rc = connector->webhook ? ngx_http_cred_connector_webhook(cf, block, &err)
                            : ngx_http_cred_connector_other(cf, block, &err);

    if (rc == NGX_OK && block->preset.len) {
        rc = ngx_cred_connector_preset(cf->pool, connector, &block->preset,
                                       &err);
    }

    if (rc == NGX_OK) {

        vain = ngx_http_cred_connector_vain(connector);

        if (vain == NULL) {
            return NGX_CONF_OK;
        }

        err.data = (u_char *) vain;
        err.len = ngx_strlen(vain);

        rc = NGX_DECLINED;
    }

    if (rc == NGX_DECLINED) {
        ngx_log_error(NGX_LOG_EMERG, cf->log, 0, "connector %V: %V in %V",
                      &connector->web.shown, &err, &connector->at);
    }

    return NGX_CONF_ERROR;
}


/* with what it lacks nothing would ever be undeployed; NULL if it has all */

static char *
ngx_http_cred_connector_vain(ngx_cred_connector_t *connector)
{
    ngx_uint_t  gone;

    gone = connector->gone.nelts;

    if (connector->request.method.len == 0) {
        return "no \"request\"";
    }

    if (connector->success.nelts == 0) {
        return "no \"success\"";
    }

    if (connector->verify.method.len && gone == 0) {
        return "no \"gone\" for \"verify\", which has to say it";
    }

    if (connector->control.method.len && gone == 0) {
        return "no \"gone\" for \"control\"";
    }

    if (connector->purges.nelts && gone == 0) {
        return "no \"gone\" for \"purge\"";
    }

    if (gone && connector->verify.method.len == 0
        && !ngx_cred_connector_has_words(&connector->gone))
    {
        return "no \"verify\" for \"gone\" without a text";
    }

    if (ngx_cred_connector_is_vague(&connector->gone)) {
        return "a 2xx without a text in \"gone\", as of what is there";
    }

    return NULL;
}


static ngx_int_t
ngx_http_cred_connector_webhook(ngx_conf_t *cf,
    ngx_http_cred_connector_t *block, ngx_str_t *err)
{
    ngx_str_t              args[2];
    ngx_cred_connector_t  *connector;

    connector = &block->connector;

    if (block->preset.len) {
        ngx_str_set(err, "\"preset\" beside \"webhook\"");
        return NGX_DECLINED;
    }

    if (connector->request.method.len) {
        ngx_str_set(err, "\"request\" beside \"webhook\"");
        return NGX_DECLINED;
    }

    if (connector->secrets.nelts == 0) {
        ngx_str_set(err, "no \"secret\" for \"webhook\"");
        return NGX_DECLINED;
    }

    ngx_str_set(&block->preset, "webhook-internal");

    ngx_str_set(&args[0], "POST");
    args[1] = block->path;

    return ngx_cred_connector_set(cf->pool, connector, NGX_CRED_SETTING_REQUEST,
                                  args, 2, err);
}


static ngx_int_t
ngx_http_cred_connector_other(ngx_conf_t *cf, ngx_http_cred_connector_t *block,
    ngx_str_t *err)
{
    if (block->connector.secrets.nelts) {
        ngx_str_set(err, "no \"webhook\" for \"secret\"");
        return NGX_DECLINED;
    }

    if (!block->url) {
        ngx_str_set(err, "no \"url\"");
        return NGX_DECLINED;
    }

    return NGX_OK;
}


/* what takes the settings of the level, after all of them have been read */

ngx_int_t
ngx_http_cred_connectors_init(ngx_conf_t *cf)
{
    ngx_uint_t                  i;
    ngx_cred_registry_t       **registries;
    ngx_cred_connector_t      **connectors;
    ngx_http_cred_main_conf_t  *cmcf;

    cmcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_cred_module);

    connectors = cmcf->connectors.elts;

    for (i = 0; i < cmcf->connectors.nelts; i++) {

        if (ngx_http_cred_connector_finish(cf,
                                  (ngx_http_cred_connector_t *) connectors[i])
            != NGX_OK)
        {
            return NGX_ERROR;
        }
    }

    registries = cmcf->registries.elts;

    for (i = 0; i < cmcf->registries.nelts; i++) {

        if (ngx_cred_registry_connect(registries[i], &cmcf->connectors,
                                      cf->pool)
            != NGX_OK)
        {
            return NGX_ERROR;
        }
    }

    return NGX_OK;
}


static ngx_int_t
ngx_http_cred_connector_finish(ngx_conf_t *cf, ngx_http_cred_connector_t *block)
{
    ngx_pool_cleanup_t        *cln;
    ngx_cred_connector_t      *connector;
    ngx_cred_web_conf_t       *web;
    ngx_http_core_loc_conf_t  *core;
    ngx_http_cred_loc_conf_t  *clcf;

    connector = &block->connector;
    web = &connector->web;

    /* before the resolver goes, which frees what is asked of it untold */

    cln = ngx_pool_cleanup_add(cf->pool, 0);
    if (cln == NULL) {
        return NGX_ERROR;
    }

    cln->handler = ngx_http_cred_connector_close;
    cln->data = web;

    if (ngx_http_cred_resolvable(cf, block->unresolved, "connector",
                                 &connector->name, &connector->at)
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    core = ngx_http_conf_get_module_loc_conf(cf, ngx_http_core_module);
    clcf = ngx_http_conf_get_module_loc_conf(cf, ngx_http_cred_module);

    /* this level itself is merged with nothing */

    web->connect_timeout = clcf->connect_timeout;
    ngx_conf_init_msec_value(web->connect_timeout,
                             NGX_HTTP_CRED_CONNECT_TIMEOUT);

    web->net.resolver = core->resolver;
    web->net.resolver_timeout = core->resolver_timeout;
    ngx_conf_init_msec_value(web->net.resolver_timeout,
                             NGX_HTTP_CRED_RESOLVER_TIMEOUT);

    if (!web->tls) {
        return NGX_OK;
    }

    ngx_http_cred_ssl_merge(&block->level.ssl, &clcf->ssl);

    return ngx_http_cred_ssl_settings(cf, &block->level.ssl, &web->net);
}


static void
ngx_http_cred_connector_close(void *data)
{
    ngx_cred_web_conf_t *web = data;

    ngx_cred_web_close(web);
}
