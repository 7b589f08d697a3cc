
/*
 * Copyright (C) ngx_cred_module authors
 * SPDX-License-Identifier: BSD-2-Clause
 */


/*
 * Other spellings of delete routes: paths that are no route to nginx, but may
 * be one to a backend, which decodes once more, cuts ";parameters" off, takes
 * an encoded slash for a slash or for none, and so on.
 */


#ifndef _NGX_CRED_SPELLING_H_INCLUDED_
#define _NGX_CRED_SPELLING_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_cred_api.h>


/*
 * Finds which of "n" APIs has "method" and a delete route that a backend may
 * read in "raw", the path as it was sent, of which "uri" is what nginx has
 * made.  Returns NGX_OK with "api" and "route" set, whose slices are in "uri"
 * or in memory of "pool"; NGX_DECLINED; or NGX_ERROR.  Allocates nothing for a
 * path without anything that backends read in different ways.
 */
ngx_int_t ngx_cred_spelling(ngx_pool_t *pool, ngx_cred_api_t **apis,
    ngx_uint_t n, ngx_uint_t method, ngx_str_t *uri, ngx_str_t *raw,
    ngx_cred_api_t **api, ngx_cred_route_t *route);


#endif /* _NGX_CRED_SPELLING_H_INCLUDED_ */
