
/*
 * Copyright (C) ngx_cred_module authors
 * SPDX-License-Identifier: BSD-2-Clause
 */


/*
 * The net room: the way to a server, whatever it speaks.  Its address, the
 * socket, TLS, and when to try again.
 */


#ifndef _NGX_CRED_NET_H_INCLUDED_
#define _NGX_CRED_NET_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>
#include <ngx_event_connect.h>


#define NGX_CRED_NET_HOST_LEN     255   /* the longest there is in DNS */


typedef struct ngx_cred_net_s      ngx_cred_net_t;
typedef struct ngx_cred_net_tls_s  ngx_cred_net_tls_t;


typedef enum {
    NGX_CRED_NET_CLOSED = 0,
    NGX_CRED_NET_RESOLVING,
    NGX_CRED_NET_CONNECTING,
    NGX_CRED_NET_SECURING,       /* the handshake of TLS */
    NGX_CRED_NET_CONNECTED
} ngx_cred_net_state_e;


/* a host of a configuration or a URL */

typedef struct {
    ngx_str_t                   name;      /* or an address; a "\0" follows */
    in_port_t                   port;
    ngx_addr_t                 *addrs;     /* of a name, if they are known */
    ngx_uint_t                  naddrs;
} ngx_cred_net_host_t;


/* what connections have in common; lives as long as the cycle */

typedef struct {
    ngx_resolver_t             *resolver;
    ngx_msec_t                  resolver_timeout;

    ngx_ssl_t                  *ssl;       /* NULL: there can be no TLS */
    ngx_str_t                   ssl_name;  /* to verify, in place of the host;
                                              or empty */
    ngx_str_t                   ssl_digest; /* of what both are made from */
} ngx_cred_net_conf_t;


/* the socket is connected, and secured if it is to be */
typedef void (*ngx_cred_net_connected_pt)(ngx_cred_net_t *net);

/*
 * It could not be, or is broken: "reason" is a constant, "detail" may be NULL
 * and dies on return, "err" may be 0; the owner calls ngx_cred_net_close().
 * Without a reason nothing has failed: the worker exits, and net->idle says
 * that nobody waits.
 */
typedef void (*ngx_cred_net_failed_pt)(ngx_cred_net_t *net, ngx_err_t err,
    const char *reason, ngx_str_t *detail);


/*
 * One connection at a time, part of its owner's object, who fills in the first
 * part; the rest is zeroed at first.
 */

struct ngx_cred_net_s {
    ngx_cred_net_conf_t        *conf;
    ngx_pool_t                 *pool;      /* outlives all its connections */
    ngx_log_t                  *log;
    ngx_str_t                  *shown;     /* for logs */
    ngx_str_t                   path;      /* of a unix socket, or empty; a "\0"
                                              follows */
    ngx_uint_t                  tls;       /* unsigned  tls:1; */
    char                       *action;    /* of the log, when the socket is
                                              connected; or NULL */

    ngx_event_handler_pt        read;      /* of a connection that is made, */
    ngx_event_handler_pt        write;     /* whose "data" is this: */
    void                       *data;
    ngx_cred_net_connected_pt   connected; /* both may be called from within */
    ngx_cred_net_failed_pt      failed;    /* ngx_cred_net_connect() */

    /* kept by the owner */

    unsigned                    idle:1;    /* nobody waits for it: a worker that
                                              exits does not connect */
    unsigned                    heard:1;   /* anything was read from this
                                              connection; 0 with a new one */

    /* the server to connect to, see ngx_cred_net_aim() */

    ngx_str_t                   name;
    in_port_t                   port;
    ngx_cred_net_host_t        *known;     /* the same, with the addresses it
                                              had at the start; or NULL */

    ngx_cred_net_state_e        state;     /* for the owner to read */
    ngx_peer_connection_t       peer;      /* peer.connection is NULL unless
                                              there is one; its log stays as it
                                              is */

    /* private to the net room from here on */

    u_char                      host[NGX_CRED_NET_HOST_LEN + 1]; /* "name" */
    ngx_uint_t                  addr;      /* the next to try of many */
    ngx_resolver_ctx_t         *resolving;
    ngx_sockaddr_t              resolved;
    socklen_t                   socklen;
    ngx_cred_net_tls_t         *security;  /* NULL: there was none yet */

    unsigned                    renamed:1; /* a resolver is asked for names that
                                              are known */
};


/* ngx_cred_net_connect.c */

/* "worker_shutdown_timeout" is over: there are to be no new connections */
extern ngx_uint_t  ngx_cred_net_shutdown;

/* connects; ends with net->connected() or net->failed(), now or later */
void ngx_cred_net_connect(ngx_cred_net_t *net);

/*
 * Closes what there is: resolving, socket, TLS.  "dirty": a record has left in
 * part, so that no alert may follow.
 */
void ngx_cred_net_close(ngx_cred_net_t *net, ngx_uint_t dirty);

/* reading or writing has failed: calls net->failed() with the reason */
void ngx_cred_net_broken(ngx_cred_net_t *net, const char *reason);

/* the reason, a constant, if it was not made in time */
const char *ngx_cred_net_late(ngx_cred_net_t *net);

/*
 * Milliseconds until the next attempt after so many failures in a row, at least
 * one: 100 at first, doubled each time up to 1000, with a random part.
 */
ngx_msec_t ngx_cred_net_backoff(ngx_uint_t failures);


/* ngx_cred_net_address.c */

/*
 * The server of the next connection; the name is copied, and may be empty with
 * a unix socket.  NGX_ERROR, and nothing has changed, if it is too long.
 */
ngx_int_t ngx_cred_net_aim(ngx_cred_net_t *net, ngx_str_t *name,
    in_port_t port, ngx_cred_net_host_t *known);

/*
 * An attempt has failed, be it that nobody was there or not the right server.
 * For a name with known addresses, which are tried first, a resolver is asked
 * from now on, if there is one; or no more, if it was asked so far.
 */
void ngx_cred_net_missed(ngx_cred_net_t *net);


/* ngx_cred_net_tls.c */

/*
 * The server has closed the connection for a mistake of ours, perhaps, and may
 * not know its session: it is not kept.  Without being asked for, if nothing
 * was heard.
 */
void ngx_cred_net_forget(ngx_cred_net_t *net);


/* ngx_cred_net_text.c */

/*
 * Writes "src" to "dst" as logs may have it, control characters as "?", and no
 * further than "last".  Returns where it ended.
 */
u_char *ngx_cred_net_printable(u_char *dst, u_char *last, ngx_str_t *src);

/*
 * Writes what went wrong, for logs and receipts, to "buf": "reason detail (err:
 * text)", printable.  Returns its length.
 */
size_t ngx_cred_net_word(u_char *buf, size_t size, ngx_err_t err,
    const char *reason, ngx_str_t *detail);


#endif /* _NGX_CRED_NET_H_INCLUDED_ */
