
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
#include <ngx_cred_redis.h>
#include <ngx_cred_redis_codec.h>


#define NGX_CRED_REDIS_QUEUE           8192   /* commands waiting for replies */
#define NGX_CRED_REDIS_OUTPUT          (8 * 1024 * 1024)
#define NGX_CRED_REDIS_REDIRECTS       5      /* in a row */
#define NGX_CRED_REDIS_ERROR_LEN       512
#define NGX_CRED_REDIS_REFUSALS        4      /* that are told apart */
#define NGX_CRED_REDIS_NAME_LEN        256    /* in logs */


/* the replies that a handshake waits for, in this order */

#define NGX_CRED_REDIS_AUTH            0x01
#define NGX_CRED_REDIS_MASTER          0x02   /* of a sentinel */
#define NGX_CRED_REDIS_SELECT          0x04
#define NGX_CRED_REDIS_SLOT            0x08
#define NGX_CRED_REDIS_NODE            0x10
#define NGX_CRED_REDIS_ROLE            0x20
#define NGX_CRED_REDIS_TIME            0x40
#define NGX_CRED_REDIS_PROBE           0x80   /* any reply will do */
#define NGX_CRED_REDIS_SUBSCRIBE       0x100


typedef enum {
    NGX_CRED_REDIS_CLOSED = 0,
    NGX_CRED_REDIS_CONNECTING,       /* see net.state */
    NGX_CRED_REDIS_HANDSHAKE,        /* AUTH, SELECT, ROLE, TIME ... */
    NGX_CRED_REDIS_GREETING,         /* the owner's commands only */
    NGX_CRED_REDIS_READY
} ngx_cred_redis_state_e;


/* a server: a copy, since MOVED and sentinels name others */

typedef struct {
    ngx_str_t                  name;           /* in "data" */
    in_port_t                  port;
    ngx_cred_net_host_t       *host;           /* of the URL; or NULL */
    u_char                     data[NGX_CRED_NET_HOST_LEN];
} ngx_cred_redis_target_t;


/* a reason, and when it was told */

typedef struct {
    uint32_t                   hash;           /* 0: none */
    ngx_msec_t                 told;
} ngx_cred_redis_refusal_t;


struct ngx_cred_redis_s {
    ngx_queue_t                bucket;         /* by identity and name */
    ngx_queue_t                queue;          /* least recently used last */
    ngx_msec_t                 used;
    ngx_str_t                  identity;
    ngx_str_t                  name;

    ngx_pool_t                *pool;
    ngx_log_t                  log;
    const char                *kind;           /* for logs ... */
    ngx_str_t                  shown;          /* ... its name, too */
    ngx_cred_redis_url_t       url;
    void                      *context;        /* the owner's */
    ngx_cred_redis_conf_t      conf;

    ngx_uint_t                 host;           /* of the URL, the first to ask;
                                                  after them: the owner */
    ngx_uint_t                 asked;          /* of them, by this attempt */
    ngx_uint_t                 redirects;      /* in a row */
    ngx_cred_net_host_t       *target;         /* of the URL; NULL: that of
                                                  MOVED or a sentinel */
    ngx_cred_redis_target_t    owner;          /* of the slot, the last one */
    ngx_msec_t                 deadline;       /* of the attempt */

    ngx_cred_redis_state_e     state;
    ngx_uint_t                 number;         /* how often it was ready */
    ngx_cred_net_t             net;
    ngx_cred_redis_codec_t    *codec;
    ngx_cred_redis_output_t    out;
    ngx_uint_t                 handshake;      /* replies still to come */

    ngx_queue_t                greetings;      /* commands to be encoded while
                                                  greeting ... */
    ngx_queue_t                waiting;        /* ... and when ready */
    ngx_uint_t                 nwaiting;       /* in both */
    ngx_queue_t                sent;           /* commands for replies */
    ngx_queue_t                moved;          /* not executed: another server
                                                  is to */
    ngx_uint_t                 ncommands;      /* in all of them */
    ngx_uint_t                 nclosing;       /* of them */

    ngx_uint_t                 nown;           /* ... and of the connection
                                                  itself */

    ngx_cred_redis_command_t   auth;           /* of those, once each */
    ngx_str_t                  auth_args[2];
    ngx_uint_t                 auth_version;   /* of the password that was sent
                                                  last ... */
    ngx_uint_t                 auth_told;      /* ... or told of as refused */
    ngx_msec_t                 auth_at;        /* since it was lost */
    ngx_cred_redis_command_t   ping;
    ngx_msec_t                 heard_at;       /* the last reply */

    uint64_t                   clock;          /* its time at ... */
    ngx_msec_t                 clock_at;

    ngx_event_t                start;          /* posted: connect */
    ngx_event_t                flush;          /* posted: write */
    ngx_event_t                end;            /* posted: what would close it
                                                  under its handlers */
    ngx_event_t                timer;          /* of the attempt or of the
                                                  first command */
    ngx_event_t                backoff;        /* the next attempt */
    ngx_uint_t                 failures;       /* attempts, in a row */

    u_char                     error[NGX_CRED_REDIS_ERROR_LEN];
    size_t                     error_len;

    ngx_cred_redis_refusal_t   refusals[NGX_CRED_REDIS_REFUSALS];

    unsigned                   asking:1;       /* a sentinel */
    unsigned                   moved_to:1;     /* MOVED has named the target of
                                                  the next attempt */
    unsigned                   down:1;         /* and it was logged */
    unsigned                   doubtful:1;     /* was good until it got
                                                  commands, the last time */
    unsigned                   answered:1;     /* a command, since ready */
    unsigned                   busy:1;         /* within its handlers */
    ngx_msec_t                 greeted_at;
    ngx_uint_t                 refusal;        /* status of commands that are
                                                  refused while it is down */

    unsigned                   rejected:1;     /* its greeting was */
    unsigned                   refusing:1;     /* commands, until it is over */
    unsigned                   regreet:1;      /* is to be greeted anew */
    unsigned                   retired:1;      /* ends with its last command */

    unsigned                   authenticating:1; /* again */
    unsigned                   pinging:1;
    unsigned                   pinged:1;       /* subscribed, not answered */
    unsigned                   unpingable:1;   /* it may not, and that was
                                                  told */
};


/* nobody waits for a command */
#define ngx_cred_redis_unasked(redis)                                         \
    ((redis)->ncommands == (redis)->nown)


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

/* the handshake and the greeting, if any, are over: commands leave */
void ngx_cred_redis_ready(ngx_cred_redis_t *redis);

void ngx_cred_redis_read_handler(ngx_event_t *rev);
void ngx_cred_redis_write_handler(ngx_event_t *wev);

/* puts the first command's time limit, or the lack of commands, into effect */
void ngx_cred_redis_watch(ngx_cred_redis_t *redis);


/* ngx_cred_redis_connect.c */

/* connects at the end of this turn of the event loop */
void ngx_cred_redis_connect(ngx_cred_redis_t *redis);

/* the connection is made: on with the handshake */
void ngx_cred_redis_connected(ngx_cred_net_t *net);

/* it could not be made, or is broken */
void ngx_cred_redis_disconnected(ngx_cred_net_t *net, ngx_err_t err,
    const char *reason, ngx_str_t *detail);

void ngx_cred_redis_start_handler(ngx_event_t *ev);
void ngx_cred_redis_backoff_handler(ngx_event_t *ev);


/* ngx_cred_redis_resolve.c: which server */

/* begins an attempt: goes on with ngx_cred_net_connect() */
void ngx_cred_redis_resolve(ngx_cred_redis_t *redis);

/*
 * A connection has failed, for the reason in redis->error: NGX_OK if the
 * attempt goes on with another sentinel, else NGX_DECLINED.
 */
ngx_int_t ngx_cred_redis_resolve_other(ngx_cred_redis_t *redis);

/* the server is the right one: the next attempt begins there */
void ngx_cred_redis_resolve_done(ngx_cred_redis_t *redis);

/* what a sentinel says of the master */
void ngx_cred_redis_resolve_named(ngx_cred_redis_t *redis,
    ngx_cred_redis_reply_t *reply);

/*
 * Whether an error reply says that another server is to be asked, so that
 * nothing was executed; with MOVED that is the target then.
 */
ngx_uint_t ngx_cred_redis_misplaced(ngx_cred_redis_t *redis,
    ngx_cred_redis_reply_t *reply);

/* connects to the target in place of what it is connected to */
void ngx_cred_redis_redirect(ngx_cred_redis_t *redis);


/* ngx_cred_redis_handshake.c */

/* on with AUTH, SELECT, ROLE, TIME */
void ngx_cred_redis_handshake(ngx_cred_redis_t *redis);

/* takes their replies; NGX_ERROR if the connection ended by it */
ngx_int_t ngx_cred_redis_handshake_reply(ngx_cred_redis_t *redis,
    ngx_cred_redis_reply_t *reply);


/* ngx_cred_redis_end.c */

/*
 * Closes the connection and ends all its commands: those that were sent with
 * "status", the others with NGX_CRED_REDIS_UNREACHABLE.  The reason is logged
 * once, until it is back.
 */
void ngx_cred_redis_fail(ngx_cred_redis_t *redis, ngx_uint_t status,
    ngx_err_t err, const char *reason, ngx_str_t *detail);

/* closes the socket, and forgets what belongs to it; commands stay */
void ngx_cred_redis_disconnect(ngx_cred_redis_t *redis);

/* closes it, silently; there must be no commands */
void ngx_cred_redis_close(ngx_cred_redis_t *redis);

/* refuses commands, those that wait and others, until the greeting is over */
void ngx_cred_redis_refuse(ngx_cred_redis_t *redis, const char *reason);

/* it has answered more than a handshake: forgets that it was down */
void ngx_cred_redis_back(ngx_cred_redis_t *redis);

/* ends what was to be ended when none of its handlers is running */
void ngx_cred_redis_end_handler(ngx_event_t *ev);


/* ngx_cred_redis_password.c */

/*
 * The password, after its file was read once more.  Connections that have sent
 * another one send AUTH again.  If it cannot be read, it is what it was.
 */
ngx_str_t *ngx_cred_redis_password(ngx_cred_redis_password_t *password);


/* ngx_cred_redis_auth.c */

/* the password of this connection, from wherever; empty if it has none */
ngx_str_t *ngx_cred_redis_secret(ngx_cred_redis_t *redis);

/*
 * Appends AUTH to the handshake, if there is a password; a sentinel has one of
 * its own, or none.  NGX_OK or NGX_ERROR.
 */
ngx_int_t ngx_cred_redis_auth_encode(ngx_cred_redis_t *redis);

/* Redis has accepted it */
void ngx_cred_redis_auth_accepted(ngx_cred_redis_t *redis);

/* puts a code in place of a refusal of AUTH, which may show the password */
void ngx_cred_redis_auth_word(ngx_str_t *error);

/* sends AUTH again if the password file has another one than was sent */
void ngx_cred_redis_auth_again(ngx_cred_redis_t *redis);

/* a command was refused for want of AUTH: sends it again, if from a file */
void ngx_cred_redis_auth_lost(ngx_cred_redis_t *redis);


/* ngx_cred_redis_ping.c */

/* asks a connection that has been silent for a while whether it is alive */
void ngx_cred_redis_ping(ngx_cred_redis_t *redis);

/* what a subscribed connection says: its owner hears of messages */
void ngx_cred_redis_message(ngx_cred_redis_t *redis,
    ngx_cred_redis_reply_t *reply);


/* ngx_cred_redis_refused.c */

/*
 * Tells that a command was refused, and what to do about it: each of the last
 * few reasons as an error once a minute.
 */
void ngx_cred_redis_refused(ngx_cred_redis_t *redis, ngx_str_t *error);


/* ngx_cred_redis_greeting.c */

/* the handshake is over: it is the owner's turn */
void ngx_cred_redis_greet(ngx_cred_redis_t *redis);

/* ngx_cred_redis_eval() of a command of the greeting */
ngx_int_t ngx_cred_redis_greeting_eval(ngx_cred_redis_t *redis,
    ngx_cred_redis_command_t *command);


/* ngx_cred_redis_pool.c */

/* calls "handler" with each connection, none of which it may destroy */
void ngx_cred_redis_each(void (*handler)(ngx_cred_redis_t *redis));

/* the last command of a connection that was replaced has ended */
void ngx_cred_redis_destroy(ngx_cred_redis_t *redis);


/* ngx_cred_redis_script.c */

/*
 * Encodes the commands whose turn it is: the connection is ready or greeted.
 * Returns NGX_OK or NGX_ERROR if there is no memory: some are still waiting.
 */
ngx_int_t ngx_cred_redis_encode(ngx_cred_redis_t *redis);

/* gives a reply to the commands whose turn it is; NGX_ERROR if there is none */
ngx_int_t ngx_cred_redis_dispatch(ngx_cred_redis_t *redis,
    ngx_cred_redis_reply_t *reply);

/* ends a command that is in none of the queues any more */
void ngx_cred_redis_finish(ngx_cred_redis_t *redis,
    ngx_cred_redis_command_t *command, ngx_uint_t status);


#endif /* _NGX_CRED_REDIS_CONNECTION_H_INCLUDED_ */
