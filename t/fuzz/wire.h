
/*
 * Copyright (C) ngx_cred_module authors
 * SPDX-License-Identifier: BSD-2-Clause
 */


/*
 * What the redis room has outside of it: nginx's events, and servers that say
 * what the input says.  A part of the input is a line with "@" and the name of
 * a script or of a command, and all up to the next such line is what the next
 * call of it is answered with, whatever it is:
 *
 *     @undeploy.lua
 *     *5...
 *
 * Without a byte there is no answer at all.  What the input does not answer is
 * answered as by a server where nothing is to be done, but for delete.lua: then
 * the connection is closed.  "@connect" with "-" is a server that cannot be
 * reached, "@tls" one whose certificate is not good.  Time passes when nothing
 * else happens.
 */


#ifndef _WIRE_H_INCLUDED_
#define _WIRE_H_INCLUDED_


#include <fuzz.h>
#include <ngx_event.h>


/* for all connections with TLS, of which there is nothing to be seen here */
extern ngx_ssl_t  wire_ssl;


/* a new ngx_cycle, in which nothing has happened yet */
void wire_start(u_char *data, size_t size);

/* as much time as that; less if nothing is left to happen */
void wire_run(ngx_msec_t ms);

/*
 * No server can be reached any more, the cycle ends, and hours pass: nothing
 * may be left.
 */
void wire_end(void);


#endif /* _WIRE_H_INCLUDED_ */
