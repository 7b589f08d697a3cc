
/*
 * Copyright (C) ngx_cred_module authors
 * SPDX-License-Identifier: BSD-2-Clause
 */


/* what the files of the redis room share; nobody else includes it */


#ifndef _NGX_CRED_REDIS_CONNECTION_H_INCLUDED_
#define _NGX_CRED_REDIS_CONNECTION_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>
#include <ngx_event_connect.h>
#include <ngx_cred_redis.h>
#include <ngx_cred_redis_codec.h>


#define NGX_CRED_REDIS_QUEUE           8192   /* commands waiting for replies */
#define NGX_CRED_REDIS_OUTPUT          (8 * 1024 * 1024)
#define NGX_CRED_REDIS_BACKOFF_MIN     100    /* milliseconds */
#define NGX_CRED_REDIS_BACKOFF_MAX     1000
#define NGX_CRED_REDIS_ERROR_LEN       256


typedef enum {
    NGX_CRED_REDIS_CLOSED = 0,
    NGX_CRED_REDIS_RESOLVING,
    NGX_CRED_REDIS_CONNECTING,
    NGX_CRED_REDIS_HANDSHAKE,        /* AUTH, SELECT, TIME */
    NGX_CRED_REDIS_READY
} ngx_cred_redis_state_e;


struct ngx_cred_redis_s {
    ngx_str_node_t             sn;             /* by identity */
    ngx_queue_t                queue;          /* least recently used last */
    ngx_msec_t                 used;

    ngx_pool_t                *pool;
    ngx_log_t                  log;
    const char                *kind;           /* for logs */
    ngx_str_t                  name;
    ngx_cred_redis_url_t       url;
    ngx_cred_redis_conf_t      conf;

    ngx_addr_t                *literal;        /* NULL: the host is a name */
    ngx_uint_t                 addr;           /* the next to try of many */
    ngx_resolver_ctx_t        *resolving;
    ngx_sockaddr_t             resolved;
    ngx_addr_t                 resolved_addr;

    ngx_cred_redis_state_e     state;
    ngx_peer_connection_t      peer;
    ngx_cred_redis_codec_t    *codec;
    ngx_cred_redis_output_t    out;
    ngx_uint_t                 handshake;      /* replies still to come */

    ngx_queue_t                waiting;        /* commands to be encoded */
    ngx_uint_t                 nwaiting;
    ngx_queue_t                sent;           /* commands for replies */
    ngx_uint_t                 ncommands;      /* in both */
    ngx_uint_t                 nclosing;       /* of them */

    uint64_t                   clock;          /* its time at ... */
    ngx_msec_t                 clock_at;

    ngx_event_t                start;          /* posted: connect */
    ngx_event_t                flush;          /* posted: write */
    ngx_event_t                timer;          /* of the attempt or of the
                                                  first command */
    ngx_event_t                backoff;        /* the next attempt */
    ngx_uint_t                 failures;       /* attempts, in a row */

    u_char                     error[NGX_CRED_REDIS_ERROR_LEN];
    size_t                     error_len;

    uint32_t                   refused;        /* hash of the last error */

    unsigned                   down:1;         /* and it was logged */
    unsigned                   busy:1;         /* within its handlers */
};


/* ngx_cred_redis_connection.c */

/* sets up the events of a new connection that is closed */
void ngx_cred_redis_connection_init(ngx_cred_redis_t *redis);

/*
 * Writes now, or encodes and writes at the end of this turn of the event loop.
 * A failure ends the connection.
 */
void ngx_cred_redis_write(ngx_cred_redis_t *redis);
void ngx_cred_redis_flush(ngx_cred_redis_t *redis);

/* writes what can be written; NGX_ERROR, and no more, if the socket failed */
ngx_int_t ngx_cred_redis_send(ngx_cred_redis_t *redis);

/*
 * Closes the connection and ends all its commands: those that were sent with
 * "status", the others with NGX_CRED_REDIS_UNREACHABLE.  The reason, if any,
 * is logged once, until it is back.
 */
void ngx_cred_redis_fail(ngx_cred_redis_t *redis, ngx_uint_t status,
    ngx_err_t err, const char *reason, ngx_str_t *detail);

/* closes it, silently; there must be no commands */
void ngx_cred_redis_close(ngx_cred_redis_t *redis);

void ngx_cred_redis_read_handler(ngx_event_t *rev);
void ngx_cred_redis_write_handler(ngx_event_t *wev);

/* puts the first command's time limit, or the lack of commands, into effect */
void ngx_cred_redis_watch(ngx_cred_redis_t *redis);


/* ngx_cred_redis_connect.c */

/* "worker_shutdown_timeout" is over: no new connections */
extern ngx_uint_t  ngx_cred_redis_shutdown;

/* connects at the end of this turn of the event loop */
void ngx_cred_redis_connect(ngx_cred_redis_t *redis);

/* the socket is connected, or failed to: on with AUTH, SELECT, TIME */
void ngx_cred_redis_connected(ngx_cred_redis_t *redis);

/* takes their replies; NGX_ERROR if the connection failed by it */
ngx_int_t ngx_cred_redis_handshake_reply(ngx_cred_redis_t *redis,
    ngx_cred_redis_reply_t *reply);

void ngx_cred_redis_start_handler(ngx_event_t *ev);
void ngx_cred_redis_backoff_handler(ngx_event_t *ev);


/* ngx_cred_redis_script.c */

/*
 * Encodes the waiting commands: the connection is ready.  Returns NGX_OK or
 * NGX_ERROR if there is no memory: some are still waiting.
 */
ngx_int_t ngx_cred_redis_encode(ngx_cred_redis_t *redis);

/* gives a reply to the commands whose turn it is; NGX_ERROR if there is none */
ngx_int_t ngx_cred_redis_dispatch(ngx_cred_redis_t *redis,
    ngx_cred_redis_reply_t *reply);

/* ends a command that is in none of the queues any more */
void ngx_cred_redis_finish(ngx_cred_redis_t *redis,
    ngx_cred_redis_command_t *command, ngx_uint_t status);


#endif /* _NGX_CRED_REDIS_CONNECTION_H_INCLUDED_ */
