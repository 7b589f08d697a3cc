
/*
 * Copyright (C) ngx_cred_module authors
 * SPDX-License-Identifier: BSD-2-Clause
 */


/* what the files of the net room share; nobody else includes it */


#ifndef _NGX_CRED_NET_CONNECTION_H_INCLUDED_
#define _NGX_CRED_NET_CONNECTION_H_INCLUDED_


#include <ngx_cred_net.h>


/* ngx_cred_net_address.c */

/* finds an address of the server, now or later, and opens a connection to it */
void ngx_cred_net_locate(ngx_cred_net_t *net);


/* ngx_cred_net_connect.c */

/* opens a connection to the address that was found */
void ngx_cred_net_open(ngx_cred_net_t *net);

/* there is nothing left to do: the connection is the owner's */
void ngx_cred_net_made(ngx_cred_net_t *net);

void ngx_cred_net_read_handler(ngx_event_t *rev);
void ngx_cred_net_write_handler(ngx_event_t *wev);


/* ngx_cred_net_tls.c */

/*
 * The socket is connected, and there is an event for either while it is being
 * secured: on with ngx_cred_net_made(), if that does not fail.
 */
void ngx_cred_net_tls_start(ngx_cred_net_t *net);
void ngx_cred_net_tls_handshake(ngx_cred_net_t *net);

/* the last of what OpenSSL has said of this connection; may be empty */
ngx_str_t *ngx_cred_net_tls_text(ngx_cred_net_t *net);

/* closes a connection that is to be secured, however far it has come */
void ngx_cred_net_tls_close(ngx_cred_net_t *net, ngx_uint_t dirty);


#endif /* _NGX_CRED_NET_CONNECTION_H_INCLUDED_ */
