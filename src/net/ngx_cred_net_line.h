
/*
 * Copyright (C) ngx_cred_module authors
 * SPDX-License-Identifier: BSD-2-Clause
 */


/* secrets in files: a password, a token */


#ifndef _NGX_CRED_NET_LINE_H_INCLUDED_
#define _NGX_CRED_NET_LINE_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>


#define NGX_CRED_NET_LINE_LEN  4096


/* why it could not be read: "BEFORE PATH AFTER (errno)" */

typedef struct {
    ngx_err_t                   err;
    const char                 *before;
    const char                 *after;

    unsigned                    public:1;  /* anybody may read the file */
} ngx_cred_net_reading_t;


/*
 * Reads the first line of the file "path", which ends with a zero byte, into
 * "buf" of NGX_CRED_NET_LINE_LEN + 1 bytes; its end is not part of it, and what
 * came after that is wiped.  NGX_OK; or NGX_DECLINED if the line is empty or
 * longer than NGX_CRED_NET_LINE_LEN, NGX_ERROR with "*reading" set: then all of
 * it is wiped.  With the mode NGX_FILE_NONBLOCK it has to be a regular file,
 * without it a pipe will do.
 */
ngx_int_t ngx_cred_net_line(ngx_str_t *path, ngx_uint_t mode, u_char *buf,
    ngx_str_t *line, ngx_cred_net_reading_t *reading);


#endif /* _NGX_CRED_NET_LINE_H_INCLUDED_ */
