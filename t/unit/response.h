
/*
 * Copyright (C) ngx_cred_module authors
 * SPDX-License-Identifier: BSD-2-Clause
 */


/* what a parser makes of a response, as text that tests compare */


#ifndef _RESPONSE_H_INCLUDED_
#define _RESPONSE_H_INCLUDED_


#include <unit.h>
#include <ngx_cred_web_connection.h>


#define LAST_CHUNK  "0\r\n\r\n"


/* unit_start(), at Sun, 06 Nov 1994 08:49:37 GMT */
void response_start(void);

/*
 * The response in "text", of which "first" bytes come at once and then "chunk"
 * at a time, until "size" have come; and, if that was not all, the end, which
 * is "clean" or not.  "head" is set if it answers HEAD.
 *
 * "STATUS keep" or "STATUS close" and what else is known of it, a long body by
 * its length; "again", or "error: REASON".
 */
ngx_str_t *response_parse(ngx_str_t *text, size_t first, size_t chunk,
    size_t size, ngx_uint_t head, ngx_uint_t clean);


#endif /* _RESPONSE_H_INCLUDED_ */
