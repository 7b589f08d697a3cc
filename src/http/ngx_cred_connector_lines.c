
/*
 * Copyright (C) ngx_cred_module authors
 * SPDX-License-Identifier: BSD-2-Clause
 */


/* the lines of a block "cred_connector" */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>
#include <ngx_cred_connector_http.h>


static ngx_command_t *ngx_http_cred_connector_command(ngx_command_t *cmd,
    ngx_str_t *name);
static char *ngx_http_cred_connector_run(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
static char *ngx_http_cred_connector_set(ngx_conf_t *cf,
    ngx_http_cred_connector_t *block, ngx_cred_setting_e setting);
static char *ngx_http_cred_connector_said(ngx_conf_t *cf, ngx_int_t rc,
    ngx_str_t *err, const char *where);
static char *ngx_http_cred_connector_preset(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
static char *ngx_http_cred_connector_secret(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
static char *ngx_http_cred_connector_header(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);


/* those that make more than a setting of the connector */

static ngx_command_t  ngx_http_cred_connector_commands[] = {

    { ngx_string("include"),
      NGX_CONF_TAKE1,
      ngx_conf_include,
      0,
      0,
      NULL },

    { ngx_string("preset"),
      NGX_CONF_TAKE1,
      ngx_http_cred_connector_preset,
      0,
      0,
      NULL },

    { ngx_string("url"),
      NGX_CONF_TAKE1,
      ngx_http_cred_connector_url,
      0,
      0,
      NULL },

    { ngx_string("webhook"),
      NGX_CONF_TAKE1,
      ngx_http_cred_connector_url,
      0,
      0,
      NULL },

    { ngx_string("secret"),
      NGX_CONF_TAKE1,
      ngx_http_cred_connector_secret,
      0,
      0,
      NULL },

    { ngx_string("header"),
      NGX_CONF_TAKE2,
      ngx_http_cred_connector_header,
      0,
      0,
      NULL },

      ngx_null_command
};


char *
ngx_http_cred_connector_line(ngx_conf_t *cf, ngx_command_t *dummy, void *conf)
{
    ngx_http_cred_connector_t *block = conf;

    ngx_str_t           *value;
    ngx_command_t       *cmd;
    ngx_cred_setting_e   setting;

    value = cf->args->elts;

    cmd = ngx_http_cred_connector_command(ngx_http_cred_connector_commands,
                                          &value[0]);
    if (cmd) {
        return ngx_http_cred_connector_run(cf, cmd, block);
    }

    setting = ngx_cred_connector_setting(&value[0]);

    if (setting != NGX_CRED_NSETTINGS) {
        return ngx_http_cred_connector_set(cf, block, setting);
    }

    /* TLS is as everywhere */

    if (ngx_strncmp(value[0].data, "cred_ssl_", 9) == 0) {
        cmd = ngx_http_cred_connector_command(ngx_http_cred_module.commands,
                                              &value[0]);
        if (cmd) {
            return ngx_http_cred_connector_run(cf, cmd, &block->level);
        }
    }

    ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "unknown directive \"%V\"",
                       &value[0]);

    return NGX_CONF_ERROR;
}


static ngx_command_t *
ngx_http_cred_connector_command(ngx_command_t *cmd, ngx_str_t *name)
{
    for ( /* void */ ; cmd->name.len; cmd++) {

        if (ngx_http_cred_same_string(&cmd->name, name)) {
            return cmd;
        }
    }

    return NULL;
}


/* as nginx does it outside of such blocks */

static char *
ngx_http_cred_connector_run(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    char        *rv;
    ngx_uint_t   n;

    n = cf->args->nelts - 1;

    if (!(cmd->type & NGX_CONF_FLAG && n == 1)
        && !(cmd->type & NGX_CONF_1MORE && n >= 1)
        && !(n < NGX_CONF_MAX_ARGS && cmd->type & (NGX_CONF_NOARGS << n)))
    {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "invalid number of arguments in \"%V\" directive",
                           &cmd->name);
        return NGX_CONF_ERROR;
    }

    rv = cmd->set(cf, cmd, conf);

    if (rv != NGX_CONF_OK && rv != NGX_CONF_ERROR) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "\"%V\" directive %s",
                           &cmd->name, rv);
        return NGX_CONF_ERROR;
    }

    return rv;
}


static char *
ngx_http_cred_connector_set(ngx_conf_t *cf, ngx_http_cred_connector_t *block,
    ngx_cred_setting_e setting)
{
    ngx_int_t   rc;
    ngx_str_t   err, *value;

    value = cf->args->elts;

    rc = ngx_cred_connector_set(cf->pool, &block->connector, setting,
                                &value[1], cf->args->nelts - 1, &err);

    return ngx_http_cred_connector_said(cf, rc, &err, "");
}


static char *
ngx_http_cred_connector_said(ngx_conf_t *cf, ngx_int_t rc, ngx_str_t *err,
    const char *where)
{
    if (rc == NGX_OK) {
        return NGX_CONF_OK;
    }

    if (rc == NGX_DECLINED) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "%V%s", err, where);
    }

    return NGX_CONF_ERROR;
}


static char *
ngx_http_cred_connector_preset(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_cred_connector_t *block = conf;

    ngx_str_t  *value;

    if (block->preset.len) {
        return "is duplicate";
    }

    value = cf->args->elts;

    if (!ngx_cred_connector_has_preset(&value[1])) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "unknown preset \"%V\"",
                           &value[1]);
        return NGX_CONF_ERROR;
    }

    block->preset = value[1];

    return NGX_CONF_OK;
}


static char *
ngx_http_cred_connector_secret(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_cred_connector_t *block = conf;

    ngx_int_t   rc;
    ngx_str_t   err, *value, *text;

    value = cf->args->elts;

    if (ngx_strncmp(value[1].data, "file=", 5) != 0) {
        return "has no \"file=PATH\"";
    }

    text = ngx_http_cred_secret(cf, &value[1]);
    if (text == NULL) {
        return NGX_CONF_ERROR;
    }

    rc = ngx_cred_webhook_secret(cf->pool, &block->connector, text, &err);

    return ngx_http_cred_connector_said(cf, rc, &err, " in \"secret\"");
}


static char *
ngx_http_cred_connector_header(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_cred_connector_t *block = conf;

    ngx_int_t   rc;
    ngx_str_t   err, *value, *text;

    value = cf->args->elts;

    if (ngx_strncmp(value[2].data, "file=", 5) != 0) {
        return ngx_http_cred_connector_set(cf, block, NGX_CRED_SETTING_HEADER);
    }

    text = ngx_http_cred_secret(cf, &value[2]);
    if (text == NULL) {
        return NGX_CONF_ERROR;
    }

    rc = ngx_cred_connector_secret_header(cf->pool, &block->connector,
                                          &value[1], text, &err);

    return ngx_http_cred_connector_said(cf, rc, &err, " in \"header\"");
}
