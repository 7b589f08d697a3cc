
/*
 * Copyright (C) ngx_cred_module authors
 * SPDX-License-Identifier: BSD-2-Clause
 */


/*
 * Header fields that any API's request may have beside the API's own: what they
 * say, whoever sent them.  Pure functions, which allocate nothing.
 */


#ifndef _NGX_CRED_FIELDS_H_INCLUDED_
#define _NGX_CRED_FIELDS_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>


/* more seconds than any timeout has, for a number that is larger */
#define NGX_CRED_FIELDS_WAIT_MAX      100000

#define NGX_CRED_FIELDS_REVISION_LEN  20   /* digits */


/*
 * The preference "wait" in one field "Prefer" (RFC 7240).  NGX_OK with
 * "*seconds" set; NGX_ABORT if its first one has no number, and whatever comes
 * later does not count; NGX_DECLINED if there is none.
 */
ngx_int_t ngx_cred_fields_wait(ngx_str_t *value, ngx_uint_t *seconds);

/* NGX_OK for a "traceparent" of version 00 (W3C), else NGX_DECLINED */
ngx_int_t ngx_cred_fields_traceparent(ngx_str_t *value);

/* NGX_OK for a revision in digits, leading zeros included, else NGX_DECLINED */
ngx_int_t ngx_cred_fields_revision(ngx_str_t *value);


#endif /* _NGX_CRED_FIELDS_H_INCLUDED_ */
