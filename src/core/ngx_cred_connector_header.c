
/*
 * Copyright (C) ngx_cred_module authors
 * SPDX-License-Identifier: BSD-2-Clause
 */


/* headers of a connector */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_cred_connector_read.h>


static ngx_uint_t ngx_cred_connector_is_token(ngx_str_t *s);


/* nginx makes them, does without them, or could not read what they bring */

static const char  *ngx_cred_connector_reserved[] = {
    "Content-Length", "Transfer-Encoding", "Connection", "Keep-Alive",
    "Proxy-Connection", "Expect", "TE", "Trailer", "Upgrade",
    "Accept-Encoding", "traceparent", "webhook-id", "webhook-timestamp",
    "webhook-signature", NULL
};


ngx_int_t
ngx_cred_connector_secret_header(ngx_pool_t *pool,
    ngx_cred_connector_t *connector, ngx_str_t *name, ngx_str_t *value,
    ngx_str_t *err)
{
    ngx_int_t                     rc;
    ngx_cred_template_part_t     *part;
    ngx_cred_connector_header_t  *header;

    ngx_str_null(err);

    if (value->len == 0 || ngx_cred_connector_has_control(value)) {
        return ngx_cred_connector_error(pool, err, "%s of the header \"%V\"",
                                        value->len ? "invalid value"
                                                   : "empty value",
                                        name);
    }

    rc = ngx_cred_connector_add_header(pool, connector, name, &header, err);
    if (rc != NGX_OK) {
        return rc;
    }

    header->value.kind = NGX_CRED_TEMPLATE_HEADER;

    if (ngx_array_init(&header->value.parts, pool, 1,
                       sizeof(ngx_cred_template_part_t))
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    part = ngx_array_push(&header->value.parts);
    if (part == NULL) {
        return NGX_ERROR;
    }

    part->text = *value;
    part->place = NGX_CRED_NPLACES;

    connector->set |= (ngx_uint_t) 1 << NGX_CRED_SETTING_HEADER;

    return NGX_OK;
}


ngx_int_t
ngx_cred_connector_add_header(ngx_pool_t *pool,
    ngx_cred_connector_t *connector, ngx_str_t *name,
    ngx_cred_connector_header_t **header, ngx_str_t *err)
{
    ngx_uint_t   i;
    const char  *wrong;

    wrong = ngx_cred_connector_is_token(name) ? NULL : "invalid name";

    for (i = 0; ngx_cred_connector_reserved[i]; i++) {
        if (ngx_cred_connector_is_name(name, ngx_cred_connector_reserved[i])) {
            wrong = "not to be set:";
        }
    }

    if (connector->match.method.len
        && ngx_cred_connector_is_name(name, "If-Match"))
    {
        wrong = "\"match\" sets";
    }

    if (ngx_cred_connector_has_header(connector, name)) {
        wrong = "duplicate name";
    }

    if (wrong) {
        return ngx_cred_connector_wrong(pool, err, wrong, name);
    }

    *header = ngx_array_push(&connector->headers);
    if (*header == NULL) {
        return NGX_ERROR;
    }

    ngx_memzero(*header, sizeof(ngx_cred_connector_header_t));

    (*header)->name = *name;

    return NGX_OK;
}


ngx_int_t
ngx_cred_connector_can_match(ngx_pool_t *pool, ngx_cred_connector_t *connector,
    ngx_str_t *err)
{
    ngx_str_t  name;

    ngx_str_set(&name, "If-Match");

    if (ngx_cred_connector_has_header(connector, &name)) {
        return ngx_cred_connector_wrong(pool, err, "there is a header", &name);
    }

    return NGX_OK;
}


ngx_uint_t
ngx_cred_connector_has_header(ngx_cred_connector_t *connector, ngx_str_t *name)
{
    ngx_uint_t                    i;
    ngx_cred_connector_header_t  *header;

    header = connector->headers.elts;

    for (i = 0; i < connector->headers.nelts; i++) {
        if (header[i].name.len == name->len
            && ngx_strncasecmp(header[i].name.data, name->data, name->len)
               == 0)
        {
            return 1;
        }
    }

    return 0;
}


/* RFC 9110 */

static ngx_uint_t
ngx_cred_connector_is_token(ngx_str_t *s)
{
    u_char  c;
    size_t  i;

    for (i = 0; i < s->len; i++) {

        c = s->data[i];

        if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z')
            || (c >= '0' && c <= '9')
            || (c != '\0' && ngx_strchr("!#$%&'*+-.^_`|~", c)))
        {
            continue;
        }

        return 0;
    }

    return s->len != 0;
}


ngx_uint_t
ngx_cred_connector_is_name(ngx_str_t *name, const char *is)
{
    return name->len == ngx_strlen(is)
           && ngx_strncasecmp(name->data, (u_char *) is, name->len) == 0;
}
