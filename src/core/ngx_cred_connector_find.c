
/*
 * Copyright (C) ngx_cred_module authors
 * SPDX-License-Identifier: BSD-2-Clause
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_cred_connector.h>


ngx_uint_t
ngx_cred_connector_valid_name(ngx_str_t *name)
{
    u_char      c;
    ngx_uint_t  i;

    if (name->len == 0 || name->len > NGX_CRED_CONNECTOR_NAME) {
        return 0;
    }

    for (i = 0; i < name->len; i++) {
        c = name->data[i];

        if (!(c >= 'a' && c <= 'z') && !(c >= 'A' && c <= 'Z')
            && !(c >= '0' && c <= '9') && c != '_' && c != '.' && c != '-')
        {
            return 0;
        }
    }

    return 1;
}


ngx_cred_connector_t *
ngx_cred_connector_find(ngx_cred_registry_t *registry, ngx_str_t *url,
    char **err)
{
    ngx_str_t               name;
    ngx_uint_t              i, n;
    ngx_cred_connector_t  **connectors;

    name.data = url->data + NGX_CRED_CONNECTOR_LEN;
    name.len = url->len - NGX_CRED_CONNECTOR_LEN;

    if (!ngx_cred_connector_valid_name(&name)) {
        *err = "invalid name of a connector";
        return NULL;
    }

    n = registry->connectors ? registry->connectors->nelts : 0;
    connectors = n ? registry->connectors->elts : NULL;

    for (i = 0; i < n; i++) {

        if (connectors[i]->name.len == name.len
            && ngx_strncmp(connectors[i]->name.data, name.data, name.len) == 0)
        {
            return connectors[i];
        }
    }

    *err = "no \"cred_connector\" of that name in nginx.conf";

    return NULL;
}
