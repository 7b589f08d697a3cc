
/*
 * Copyright (C) ngx_cred_module authors
 * SPDX-License-Identifier: BSD-2-Clause
 */


/* what the files that show the state have in common */


#ifndef _NGX_CRED_STATUS_HTTP_H_INCLUDED_
#define _NGX_CRED_STATUS_HTTP_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>
#include <ngx_cred_survey.h>
#include <ngx_cred_http.h>


/* an environment: in the registry, in shared memory, or both */

typedef struct {
    ngx_str_t                       name;
    ngx_cred_survey_environment_t  *survey;    /* NULL: not registered, nothing
                                                  pending; or not known */
    ngx_cred_status_environment_t  *status;    /* NULL: nothing counted yet */
} ngx_http_cred_status_row_t;


/* of a request for the state; in its pool */

typedef struct {
    ngx_http_request_t             *request;
    ngx_cred_registry_t            *registry;  /* NULL: there is none here */
    ngx_http_cred_status_e          format;
    ngx_cred_survey_what_e          what;
    ngx_str_t                       names[NGX_CRED_SURVEY_NAMES];
    ngx_cred_survey_t              *survey;    /* NULL: there is no registry */

    ngx_http_cred_status_row_t     *rows;      /* sorted by name */
    ngx_uint_t                      nrows;
} ngx_http_cred_status_ctx_t;


/* the format of that name, or NGX_HTTP_CRED_STATUS_OFF */
ngx_http_cred_status_e ngx_http_cred_status_format(ngx_str_t *name);

/* the content handler */
ngx_int_t ngx_http_cred_status_handler(ngx_http_request_t *r);

/*
 * Write the state as "body", in the request's memory; NGX_OK or NGX_ERROR.
 * _details() write what "?operation=" and so on ask for; NGX_DECLINED: there is
 * no such operation.
 */
ngx_int_t ngx_http_cred_status_json(ngx_http_cred_status_ctx_t *ctx,
    ngx_str_t *body);
ngx_int_t ngx_http_cred_status_details(ngx_http_cred_status_ctx_t *ctx,
    ngx_str_t *body);
ngx_int_t ngx_http_cred_status_prometheus(ngx_http_cred_status_ctx_t *ctx,
    ngx_str_t *body);

/* parts of both: NULL without memory */
json_t *ngx_http_cred_status_operations(ngx_http_cred_status_ctx_t *ctx);
json_t *ngx_http_cred_status_string(ngx_http_cred_status_ctx_t *ctx,
    ngx_str_t *s);

/* {"error":...} */
ngx_int_t ngx_http_cred_status_error(ngx_http_request_t *r, ngx_str_t *error,
    ngx_str_t *body);

/*
 * Whether this is one that the registry would have told of: a row without a
 * survey is none, unless the registry is away or there was no room for it.
 */
ngx_uint_t ngx_http_cred_status_is_known(ngx_http_cred_status_ctx_t *ctx,
    ngx_http_cred_status_row_t *row);

/* whether the registry has told what there is, or has answered at all */
ngx_uint_t ngx_http_cred_status_answered(ngx_http_cred_status_ctx_t *ctx);
ngx_uint_t ngx_http_cred_status_registry_up(ngx_http_cred_status_ctx_t *ctx);

/* how long ago that was by the registry's clock, in ms; -1: never */
off_t ngx_http_cred_status_age(ngx_http_cred_status_ctx_t *ctx, off_t since);


#endif /* _NGX_CRED_STATUS_HTTP_H_INCLUDED_ */
