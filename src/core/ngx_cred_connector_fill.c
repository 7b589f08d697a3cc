
/*
 * Copyright (C) ngx_cred_module authors
 * SPDX-License-Identifier: BSD-2-Clause
 */


/*
 * Templates are filled in.  Who may create credentials chooses what comes in,
 * and nothing of it may be read as a part of the path, the header or the body
 * around it.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_cred_utf8.h>
#include <ngx_cred_connector_read.h>


static const char *ngx_cred_template_refuse(ngx_cred_template_kind_e kind,
    ngx_uint_t place, ngx_str_t *value);
static ngx_uint_t ngx_cred_template_has_dots(ngx_str_t *value);
static ngx_uint_t ngx_cred_template_is_number(ngx_str_t *value);
static ngx_uint_t ngx_cred_template_is_utf8(ngx_str_t *value);
static size_t ngx_cred_template_size(ngx_cred_template_kind_e kind,
    ngx_str_t *value);
static u_char *ngx_cred_template_write(u_char *p,
    ngx_cred_template_kind_e kind, ngx_str_t *value);


/* in the order of ngx_cred_template_kind_e */

static size_t  ngx_cred_template_max[] = {
    NGX_CRED_CONNECTOR_PATH,
    NGX_CRED_CONNECTOR_PATH,
    NGX_CRED_CONNECTOR_BODY,
    NGX_CRED_CONNECTOR_PATH
};


ngx_int_t
ngx_cred_template_fill(ngx_pool_t *pool, ngx_cred_template_t *template,
    ngx_cred_values_t values, ngx_str_t *out, ngx_str_t *err)
{
    u_char                    *p;
    size_t                     len;
    ngx_uint_t                 i;
    const char                *reason;
    ngx_cred_template_part_t  *part;

    ngx_str_null(err);

    len = 0;
    part = template->parts.elts;

    for (i = 0; i < template->parts.nelts; i++) {

        if (part[i].place == NGX_CRED_NPLACES) {
            len += part[i].text.len;
            continue;
        }

        reason = ngx_cred_template_refuse(template->kind, part[i].place,
                                          &values[part[i].place]);
        if (reason) {
            return ngx_cred_connector_error(pool, err,
                               "placeholder \"{%V}\" %s",
                               &ngx_cred_template_places[part[i].place],
                               reason);
        }

        len += ngx_cred_template_size(template->kind, &values[part[i].place]);
    }

    if (len > ngx_cred_template_max[template->kind]) {
        return ngx_cred_connector_error(pool, err,
                               "the %s is longer than %uz bytes",
                               ngx_cred_template_kinds[template->kind],
                               ngx_cred_template_max[template->kind]);
    }

    p = ngx_pnalloc(pool, len);
    if (p == NULL) {
        return NGX_ERROR;
    }

    out->data = p;
    out->len = len;

    for (i = 0; i < template->parts.nelts; i++) {

        if (part[i].place == NGX_CRED_NPLACES) {
            p = ngx_cpymem(p, part[i].text.data, part[i].text.len);

        } else {
            p = ngx_cred_template_write(p, template->kind,
                                        &values[part[i].place]);
        }
    }

    return NGX_OK;
}


/* why a value cannot be there, or NULL */

static const char *
ngx_cred_template_refuse(ngx_cred_template_kind_e kind, ngx_uint_t place,
    ngx_str_t *value)
{
    size_t  i;

    if (value->len == 0) {
        return place == NGX_CRED_PLACE_TARGET
               ? "is empty: the credential has no target in this environment"
               : "is empty";
    }

    if (ngx_strlchr(value->data, value->data + value->len, '\0')) {
        return "has a zero byte";
    }

    switch (kind) {

    case NGX_CRED_TEMPLATE_SEGMENTS:

        /* many servers decode a path before they take it apart */

        for (i = 0; i < value->len; i++) {
            if (value->data[i] == '/' || value->data[i] == '\\') {
                return "has a \"/\" or \"\\\"";
            }
        }

        /* fall through */

    case NGX_CRED_TEMPLATE_PATH:

        if (ngx_cred_template_has_dots(value)) {
            return "has \".\" or \"..\" as a segment";
        }

        break;

    case NGX_CRED_TEMPLATE_HEADER:

        if (ngx_cred_connector_has_control(value)) {
            return "has a control character";
        }

        /* the receiver takes them away: another name */

        if (value->data[0] == ' ' || value->data[value->len - 1] == ' ') {
            return "begins or ends with a space";
        }

        break;

    case NGX_CRED_TEMPLATE_BODY:

        if (place == NGX_CRED_PLACE_REVISION
            && !ngx_cred_template_is_number(value))
        {
            return "is not a number";
        }

        if (!ngx_cred_template_is_utf8(value)) {
            return "is not valid UTF-8";
        }

        break;
    }

    return NULL;
}


static ngx_uint_t
ngx_cred_template_has_dots(ngx_str_t *value)
{
    u_char  *p, *last, *start;

    start = value->data;
    last = value->data + value->len;

    for (p = value->data; /* void */ ; p++) {

        if (p < last && *p != '/' && *p != '\\') {
            continue;
        }

        if ((p - start == 1 && start[0] == '.')
            || (p - start == 2 && start[0] == '.' && start[1] == '.'))
        {
            return 1;
        }

        if (p == last) {
            return 0;
        }

        start = p + 1;
    }
}


/* as JSON has them */

static ngx_uint_t
ngx_cred_template_is_number(ngx_str_t *value)
{
    size_t  i;

    for (i = 0; i < value->len; i++) {
        if (value->data[i] < '0' || value->data[i] > '9') {
            return 0;
        }
    }

    return value->data[0] != '0' || value->len == 1;
}


static ngx_uint_t
ngx_cred_template_is_utf8(ngx_str_t *value)
{
    u_char      *p, *last;
    ngx_uint_t   bad;

    last = value->data + value->len;

    for (p = value->data; p < last; /* void */ ) {

        p += ngx_cred_utf8_char(p, last, &bad);

        if (bad) {
            return 0;
        }
    }

    return 1;
}


static size_t
ngx_cred_template_size(ngx_cred_template_kind_e kind, ngx_str_t *value)
{
    switch (kind) {

    case NGX_CRED_TEMPLATE_PATH:
    case NGX_CRED_TEMPLATE_SEGMENTS:
        return value->len + 2 * ngx_escape_uri(NULL, value->data, value->len,
                                               NGX_ESCAPE_URI_COMPONENT);

    case NGX_CRED_TEMPLATE_HEADER:
        return value->len;

    case NGX_CRED_TEMPLATE_BODY:
        return value->len + ngx_escape_json(NULL, value->data, value->len);
    }

    return 0;
}


static u_char *
ngx_cred_template_write(u_char *p, ngx_cred_template_kind_e kind,
    ngx_str_t *value)
{
    switch (kind) {

    case NGX_CRED_TEMPLATE_PATH:
    case NGX_CRED_TEMPLATE_SEGMENTS:
        return (u_char *) ngx_escape_uri(p, value->data, value->len,
                                         NGX_ESCAPE_URI_COMPONENT);

    case NGX_CRED_TEMPLATE_HEADER:
        return ngx_cpymem(p, value->data, value->len);

    case NGX_CRED_TEMPLATE_BODY:
        return (u_char *) ngx_escape_json(p, value->data, value->len);
    }

    return p;
}
