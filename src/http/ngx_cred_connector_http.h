
/*
 * Copyright (C) ngx_cred_module authors
 * SPDX-License-Identifier: BSD-2-Clause
 */


/* the block "cred_connector" */


#ifndef _NGX_CRED_CONNECTOR_HTTP_H_INCLUDED_
#define _NGX_CRED_CONNECTOR_HTTP_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>
#include <ngx_cred_connector.h>
#include <ngx_cred_http.h>


/* a connector, and what is only known of it while the block is read */

typedef struct {
    ngx_cred_connector_t         connector;   /* first: it stands for all */
    ngx_http_cred_loc_conf_t     level;       /* where "cred_ssl_..." go */
    ngx_http_cred_unresolved_t  *unresolved;
    ngx_str_t                    preset;
    ngx_str_t                    path;        /* of a webhook */
    unsigned                     url:1;       /* or "webhook" */
} ngx_http_cred_connector_t;


/* each line of a block, which is "conf"; for ngx_conf_t */
char *ngx_http_cred_connector_line(ngx_conf_t *cf, ngx_command_t *dummy,
    void *conf);

/* the lines "url" and "webhook" */
char *ngx_http_cred_connector_url(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);

/*
 * What "file=PATH" leads to: the first line of that file, wiped with the
 * configuration; NULL, which is logged.
 */
ngx_str_t *ngx_http_cred_secret(ngx_conf_t *cf, ngx_str_t *value);


#endif /* _NGX_CRED_CONNECTOR_HTTP_H_INCLUDED_ */
