
/*
 * Copyright (C) ngx_cred_module authors
 * SPDX-License-Identifier: BSD-2-Clause
 */


/* what an API does with a request, as text that tests compare */


#ifndef _REQUEST_H_INCLUDED_
#define _REQUEST_H_INCLUDED_


#include <unit.h>
#include <ngx_http.h>
#include <ngx_cred_api.h>


typedef struct {
    ngx_cred_api_t       *api;
    ngx_cred_view_t       view;
    ngx_cred_api_conf_t   conf;
    ngx_cred_params_t     params;
} request_t;


/* "uri" matches, with these slices; or "scope" and "id" are NULL: it doesn't */
void request_route(ngx_cred_api_t *api, const char *uri, const char *scope,
    const char *id);

/* a request to "uri", which matches, without headers */
void request_init(request_t *rq, ngx_cred_api_t *api, ngx_str_t *uri);

/* sends a header of the API: the view sees the first value and the count */
void request_header(request_t *rq, ngx_uint_t n, ngx_str_t *value);

/*
 * Runs identify().  "declined" or
 * "token=T subject=S scope=P id=I check=all|absent|token", and after that, if
 * it is set, a space and the fault.
 */
ngx_str_t *request_identify(request_t *rq);

/*
 * Runs answer().  "STATUS", a line for Content-Type and each further header,
 * an empty line and the body.
 */
ngx_str_t *request_answer(request_t *rq, ngx_cred_outcome_t *outcome);

/* request_answer() for an outcome of which nothing but the result matters */
ngx_str_t *request_result(request_t *rq, ngx_cred_result_e result);


#endif /* _REQUEST_H_INCLUDED_ */
