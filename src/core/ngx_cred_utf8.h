
/*
 * Copyright (C) ngx_cred_module authors
 * SPDX-License-Identifier: BSD-2-Clause
 */


#ifndef _NGX_CRED_UTF8_H_INCLUDED_
#define _NGX_CRED_UTF8_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>


/*
 * The length of the character at "p", or, if it is bad, of the longest part of
 * it that could have been the beginning of one: that makes one U+FFFD.
 */
size_t ngx_cred_utf8_char(u_char *p, u_char *last, ngx_uint_t *bad);


#endif /* _NGX_CRED_UTF8_H_INCLUDED_ */
