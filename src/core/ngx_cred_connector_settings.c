
/*
 * Copyright (C) ngx_cred_module authors
 * SPDX-License-Identifier: BSD-2-Clause
 */


/* lines of a connector, be they of the configuration or of a preset */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_cred_connector_read.h>


#define NGX_CRED_CONNECTOR_TIME_MAX    3600000
#define NGX_CRED_CONNECTOR_METHOD_LEN  32


/* a line while it is read; handlers return anything but NGX_OK with an error */

typedef struct {
    ngx_pool_t                 *pool;
    ngx_cred_connector_t       *connector;
    ngx_str_t                  *args;
    ngx_uint_t                  n;
    ngx_str_t                  *err;
} ngx_cred_connector_line_t;


typedef struct {
    ngx_str_t                   name;
    ngx_uint_t                  min;        /* arguments */
    ngx_uint_t                  max;
    ngx_uint_t                  repeatable; /* unsigned  repeatable:1; */
    size_t                      offset;     /* in the connector */
    ngx_int_t                 (*set)(ngx_cred_connector_line_t *line,
                                    void *field);
} ngx_cred_connector_setting_t;


static ngx_int_t ngx_cred_connector_set_call(ngx_cred_connector_line_t *line,
    void *field);
static ngx_int_t ngx_cred_connector_set_match(ngx_cred_connector_line_t *line,
    void *field);
static ngx_int_t ngx_cred_connector_set_purge(ngx_cred_connector_line_t *line,
    void *field);
static ngx_int_t ngx_cred_connector_set_header(ngx_cred_connector_line_t *line,
    void *field);
static ngx_int_t ngx_cred_connector_set_body(ngx_cred_connector_line_t *line,
    void *field);
static ngx_int_t ngx_cred_connector_set_rule(ngx_cred_connector_line_t *line,
    void *field);
static ngx_int_t ngx_cred_connector_set_settle(
    ngx_cred_connector_line_t *line, void *field);
static ngx_int_t ngx_cred_connector_set_time(ngx_cred_connector_line_t *line,
    void *field);
static ngx_int_t ngx_cred_connector_set_target(ngx_cred_connector_line_t *line,
    void *field);



#define ngx_cred_connector_field(name)  offsetof(ngx_cred_connector_t, name)

/* in the order of ngx_cred_setting_e */

static ngx_cred_connector_setting_t  ngx_cred_connector_settings[] = {

    { ngx_string("request"), 2, 2, 0,
      ngx_cred_connector_field(request), ngx_cred_connector_set_call },

    { ngx_string("header"), 2, 2, 1,
      ngx_cred_connector_field(headers), ngx_cred_connector_set_header },

    { ngx_string("body"), 1, 1, 0,
      ngx_cred_connector_field(body), ngx_cred_connector_set_body },

    { ngx_string("success"), 1, NGX_MAX_INT32_VALUE, 1,
      ngx_cred_connector_field(success), ngx_cred_connector_set_rule },

    { ngx_string("gone"), 1, NGX_MAX_INT32_VALUE, 1,
      ngx_cred_connector_field(gone), ngx_cred_connector_set_rule },

    { ngx_string("superseded"), 1, NGX_MAX_INT32_VALUE, 1,
      ngx_cred_connector_field(superseded), ngx_cred_connector_set_rule },

    { ngx_string("match"), 2, 2, 0,
      ngx_cred_connector_field(match), ngx_cred_connector_set_match },

    { ngx_string("verify"), 2, 2, 0,
      ngx_cred_connector_field(verify), ngx_cred_connector_set_call },

    { ngx_string("control"), 2, 2, 0,
      ngx_cred_connector_field(control), ngx_cred_connector_set_call },

    { ngx_string("purge"), 2, 2, 1,
      ngx_cred_connector_field(purges), ngx_cred_connector_set_purge },

    { ngx_string("settle"), 1, 1, 0,
      ngx_cred_connector_field(settle), ngx_cred_connector_set_settle },

    { ngx_string("target"), 1, 1, 0,
      ngx_cred_connector_field(target), ngx_cred_connector_set_target },

    { ngx_string("timeout"), 1, 1, 0,
      ngx_cred_connector_field(timeout), ngx_cred_connector_set_time }
};


ngx_int_t
ngx_cred_connector_init(ngx_pool_t *pool, ngx_cred_connector_t *connector)
{
    connector->timeout = NGX_CRED_CONNECTOR_TIMEOUT;

    if (ngx_array_init(&connector->purges, pool, 1,
                       sizeof(ngx_cred_connector_call_t))
        != NGX_OK
        || ngx_array_init(&connector->headers, pool, 4,
                          sizeof(ngx_cred_connector_header_t))
           != NGX_OK
        || ngx_array_init(&connector->body.parts, pool, 1,
                          sizeof(ngx_cred_template_part_t))
           != NGX_OK
        || ngx_array_init(&connector->success, pool, 1,
                          sizeof(ngx_cred_connector_rule_t))
           != NGX_OK
        || ngx_array_init(&connector->superseded, pool, 1,
                          sizeof(ngx_cred_connector_rule_t))
           != NGX_OK
        || ngx_array_init(&connector->gone, pool, 1,
                          sizeof(ngx_cred_connector_rule_t))
           != NGX_OK
        || ngx_array_init(&connector->secrets, pool,
                          NGX_CRED_CONNECTOR_SECRETS, sizeof(ngx_str_t))
           != NGX_OK)
    {
        return NGX_ERROR;
    }

    return NGX_OK;
}


ngx_cred_setting_e
ngx_cred_connector_setting(ngx_str_t *name)
{
    ngx_uint_t  i;

    for (i = 0; i < NGX_CRED_NSETTINGS; i++) {
        if (ngx_cred_connector_is(name, &ngx_cred_connector_settings[i].name)) {
            break;
        }
    }

    return i;
}


ngx_int_t
ngx_cred_connector_set(ngx_pool_t *pool, ngx_cred_connector_t *connector,
    ngx_cred_setting_e setting, ngx_str_t *args, ngx_uint_t n,
    ngx_str_t *err)
{
    ngx_int_t                      rc;
    ngx_str_t                      what;
    ngx_uint_t                     bit;
    ngx_cred_connector_line_t      line;
    ngx_cred_connector_setting_t  *known;

    ngx_str_null(err);

    known = &ngx_cred_connector_settings[setting];
    bit = (ngx_uint_t) 1 << setting;

    if (n < known->min || n > known->max) {
        return ngx_cred_connector_error(pool, err,
                                        "invalid number of arguments in "
                                        "\"%V\"", &known->name);
    }

    if ((connector->set & bit) && !known->repeatable) {
        return ngx_cred_connector_error(pool, err, "\"%V\" is duplicate",
                                        &known->name);
    }

    line.pool = pool;
    line.connector = connector;
    line.args = args;
    line.n = n;
    line.err = err;

    rc = known->set(&line, (u_char *) connector + known->offset);

    if (rc == NGX_OK) {
        connector->set |= bit;
        return NGX_OK;
    }

    if (err->len == 0) {
        return NGX_ERROR;
    }

    what = *err;

    return ngx_cred_connector_error(pool, err, "%V in \"%V\"", &what,
                                    &known->name);
}


static ngx_int_t
ngx_cred_connector_set_call(ngx_cred_connector_line_t *line, void *field)
{
    ngx_cred_connector_call_t *call = field;

    size_t      i;
    ngx_str_t  *method, *path;

    method = &line->args[0];
    path = &line->args[1];

    for (i = 0; i < method->len; i++) {
        if ((method->data[i] < 'A' || method->data[i] > 'Z')
            && method->data[i] != '-' && method->data[i] != '_')
        {
            break;
        }
    }

    if (i == 0 || i < method->len || i > NGX_CRED_CONNECTOR_METHOD_LEN) {
        return ngx_cred_connector_wrong(line->pool, line->err,
                                        "invalid method", method);
    }

    if (path->len == 0 || path->data[0] != '/') {
        return ngx_cred_connector_wrong(line->pool, line->err,
                                        "no \"/\" begins the path", path);
    }

    call->method = *method;

    return ngx_cred_template_parse(line->pool, path, NGX_CRED_TEMPLATE_PATH,
                                   &call->path, line->err);
}


static ngx_int_t
ngx_cred_connector_set_match(ngx_cred_connector_line_t *line, void *field)
{
    ngx_int_t  rc;

    rc = ngx_cred_connector_can_match(line->pool, line->connector, line->err);
    if (rc != NGX_OK) {
        return rc;
    }

    return ngx_cred_connector_set_call(line, field);
}


static ngx_int_t
ngx_cred_connector_set_purge(ngx_cred_connector_line_t *line, void *field)
{
    ngx_array_t *purges = field;

    ngx_cred_connector_call_t  *call;

    if (purges->nelts == NGX_CRED_CONNECTOR_PURGES) {
        return ngx_cred_connector_error(line->pool, line->err,
                                        "more than %d",
                                        NGX_CRED_CONNECTOR_PURGES);
    }

    call = ngx_array_push(purges);
    if (call == NULL) {
        return NGX_ERROR;
    }

    ngx_memzero(call, sizeof(ngx_cred_connector_call_t));

    return ngx_cred_connector_set_call(line, call);
}


static ngx_int_t
ngx_cred_connector_set_header(ngx_cred_connector_line_t *line, void *field)
{
    ngx_int_t                     rc;
    ngx_cred_connector_header_t  *header;

    if (line->args[1].len == 0) {
        return ngx_cred_connector_error(line->pool, line->err, "empty value");
    }

    rc = ngx_cred_connector_add_header(line->pool, line->connector, line->args,
                                       &header, line->err);
    if (rc != NGX_OK) {
        return rc;
    }

    rc = ngx_cred_template_parse(line->pool, &line->args[1],
                                 NGX_CRED_TEMPLATE_HEADER, &header->value,
                                 line->err);

    if (rc == NGX_OK && header->value.places
        && ngx_cred_connector_is_name(&header->name, "Host"))
    {
        return ngx_cred_connector_wrong(line->pool, line->err,
                                        "a placeholder in", &header->name);
    }

    return rc;
}


static ngx_int_t
ngx_cred_connector_set_body(ngx_cred_connector_line_t *line, void *field)
{
    return ngx_cred_template_parse(line->pool, line->args,
                                   NGX_CRED_TEMPLATE_BODY, field, line->err);
}


static ngx_int_t
ngx_cred_connector_set_rule(ngx_cred_connector_line_t *line, void *field)
{
    return ngx_cred_connector_rule(line->pool, field, line->args, line->n,
                                   line->err);
}


/* caches need not be waited for, if there are none */

static ngx_int_t
ngx_cred_connector_set_settle(ngx_cred_connector_line_t *line, void *field)
{
    if (line->args[0].len == 1 && line->args[0].data[0] == '0') {
        *(ngx_msec_t *) field = 0;
        return NGX_OK;
    }

    return ngx_cred_connector_set_time(line, field);
}


static ngx_int_t
ngx_cred_connector_set_time(ngx_cred_connector_line_t *line, void *field)
{
    ngx_msec_t *time = field;

    ngx_int_t  n;

    n = ngx_parse_time(line->args, 0);

    if (n == NGX_ERROR || n < 1 || n > NGX_CRED_CONNECTOR_TIME_MAX) {
        return ngx_cred_connector_wrong(line->pool, line->err,
                                        "not between 1ms and 1h:", line->args);
    }

    *time = n;

    return NGX_OK;
}


static ngx_int_t
ngx_cred_connector_set_target(ngx_cred_connector_line_t *line, void *field)
{
    ngx_cred_target_e *target = field;

    ngx_uint_t  i;

    static ngx_str_t  forms[] = {
        ngx_string("any"),
        ngx_string("uuid"),
        ngx_string("hex"),
        ngx_null_string
    };

    for (i = 0; forms[i].len; i++) {
        if (ngx_cred_connector_is(line->args, &forms[i])) {
            *target = i;
            return NGX_OK;
        }
    }

    return ngx_cred_connector_wrong(line->pool, line->err, "unknown form",
                                    line->args);
}


