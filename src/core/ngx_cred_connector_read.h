
/*
 * Copyright (C) ngx_cred_module authors
 * SPDX-License-Identifier: BSD-2-Clause
 */


/* what the pure parts of connectors share among themselves */


#ifndef _NGX_CRED_CONNECTOR_READ_H_INCLUDED_
#define _NGX_CRED_CONNECTOR_READ_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_cred_connector.h>


/* in the order of ngx_cred_place_e: without braces */
extern ngx_str_t  ngx_cred_template_places[];

/* in the order of ngx_cred_template_kind_e */
extern const char  *ngx_cred_template_kinds[];


/*
 * Sets "*err" from "pool", by the format of ngx_vslprintf().  NGX_DECLINED, or
 * NGX_ERROR with an empty "*err" if there is no memory.
 */
ngx_int_t ngx_cred_connector_error(ngx_pool_t *pool, ngx_str_t *err,
    const char *fmt, ...);

/* the same with "what" and, in quotes, the beginning of "s" */
ngx_int_t ngx_cred_connector_wrong(ngx_pool_t *pool, ngx_str_t *err,
    const char *what, ngx_str_t *s);

/* whether they are equal */
ngx_uint_t ngx_cred_connector_is(ngx_str_t *one, ngx_str_t *two);

/* whether there is a character below 0x20, or 0x7f */
ngx_uint_t ngx_cred_connector_has_control(ngx_str_t *s);

/* whether it is a hexadecimal digit, in either case */
ngx_uint_t ngx_cred_connector_is_digit(u_char c);


/* ngx_cred_connector_rules.c */

/* adds "STATUS... [TEXT]", which is kept; as ngx_cred_connector_set() */
ngx_int_t ngx_cred_connector_rule(ngx_pool_t *pool, ngx_array_t *rules,
    ngx_str_t *args, ngx_uint_t n, ngx_str_t *err);


/* ngx_cred_connector_header.c */

/*
 * Adds a header of that name, without a value as yet; as
 * ngx_cred_connector_set().
 */
ngx_int_t ngx_cred_connector_add_header(ngx_pool_t *pool,
    ngx_cred_connector_t *connector, ngx_str_t *name,
    ngx_cred_connector_header_t **header, ngx_str_t *err);

/* whether "match" may be set; as ngx_cred_connector_set() */
ngx_int_t ngx_cred_connector_can_match(ngx_pool_t *pool,
    ngx_cred_connector_t *connector, ngx_str_t *err);

/* whether there is one of that name, in whatever case */
ngx_uint_t ngx_cred_connector_has_header(ngx_cred_connector_t *connector,
    ngx_str_t *name);


#endif /* _NGX_CRED_CONNECTOR_READ_H_INCLUDED_ */
