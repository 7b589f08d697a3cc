
/*
 * Copyright (C) ngx_cred_module authors
 * SPDX-License-Identifier: BSD-2-Clause
 */


/* the gateway's half of the http room: the ACCESS handler and its settings */


#ifndef _NGX_CRED_ACCESS_HTTP_H_INCLUDED_
#define _NGX_CRED_ACCESS_HTTP_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>
#include <ngx_cred_access.h>
#include <ngx_cred_http.h>


typedef struct {
    ngx_array_t                 gateways;      /* ngx_cred_gateway_t * */
    ngx_str_t                   zone_name;
    size_t                      zone_size;
    ngx_cred_zone_t            *zone;
    ngx_str_t                  *host;          /* the name of this machine */
    ngx_uint_t                  enforced;      /* "cred_access" is somewhere */
} ngx_http_cred_access_main_conf_t;


typedef struct {
    ngx_cred_api_t             *api;           /* NULL: off */
    ngx_uint_t                  api_number;    /* in ngx_cred_apis */
    ngx_http_complex_value_t   *key;           /* NULL: the usual places */
    ngx_http_complex_value_t   *scope;
    ngx_http_complex_value_t   *grant;
    ngx_str_t                   access_at;     /* FILE:LINE of the directive */

    ngx_http_cred_redis_t       environment;
    ngx_msec_t                  lease;
    ngx_msec_t                  valid;
    ngx_msec_t                  missing;

    ngx_cred_gateway_t         *gateway;
} ngx_http_cred_access_loc_conf_t;


/* of a checked request; in its pool */

typedef struct {
    ngx_http_request_t               *request;
    ngx_http_cred_access_loc_conf_t  *conf;
    ngx_cred_access_t                 access;
    ngx_str_t                        *result;  /* NULL: it is being checked */
    ngx_int_t                         status;  /* NGX_OK, or of the answer */
} ngx_http_cred_access_ctx_t;


extern ngx_module_t  ngx_http_cred_access_module;


/* the ACCESS handler */
ngx_int_t ngx_http_cred_access_handler(ngx_http_request_t *r);

/*
 * The context of a checked request, also after an internal redirect took it
 * from the request; NULL if it was not checked.
 */
ngx_http_cred_access_ctx_t *ngx_http_cred_access_get_ctx(
    ngx_http_request_t *r);

/*
 * The key that the client shows: of "key=", else of Authorization or X-API-Key.
 * NGX_DECLINED if there is none, or more than one, or it is malformed or too
 * long; NGX_ERROR if there is no memory.
 */
ngx_int_t ngx_http_cred_access_key(ngx_http_request_t *r,
    ngx_http_cred_access_loc_conf_t *alcf, ngx_str_t *key);

/* the directive "cred_environment" */
char *ngx_http_cred_environment(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);

/* finds or makes the gateway that the merged settings of "alcf" describe */
char *ngx_http_cred_set_gateway(ngx_conf_t *cf,
    ngx_http_cred_access_loc_conf_t *alcf);

/* adds the variables; the configuration calls it */
ngx_int_t ngx_http_cred_access_add_variables(ngx_conf_t *cf);


#endif /* _NGX_CRED_ACCESS_HTTP_H_INCLUDED_ */
