
/*
 * Copyright (C) ngx_cred_module authors
 * SPDX-License-Identifier: BSD-2-Clause
 */


/* a server at the other end of a connection, see wire.h */


#ifndef _SERVER_H_INCLUDED_
#define _SERVER_H_INCLUDED_


#include <fuzz.h>


/* starts as zeros */

typedef struct {
    ngx_str_t    heard;      /* and not understood yet */
    ngx_str_t    said;
    ngx_uint_t   count;      /* of calls of undeploy.lua */
    unsigned     closed:1;   /* nothing is said after "said" */
} server_t;


/* what all servers say from now on */
void server_script(u_char *data, size_t size);

/* the next one refuses what is no command of Redis */
ngx_uint_t server_refuses(const char *what);

void server_hears(server_t *server, u_char *data, size_t size);
void server_forget(server_t *server);


#endif /* _SERVER_H_INCLUDED_ */
