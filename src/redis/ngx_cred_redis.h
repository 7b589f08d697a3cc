
/*
 * Copyright (C) ngx_cred_module authors
 * SPDX-License-Identifier: BSD-2-Clause
 */


/*
 * The redis room: one kept-open, pipelined connection to each Redis, on
 * nginx's own events, which runs Lua scripts and returns their replies.
 * It knows nothing of credentials.
 */


#ifndef _NGX_CRED_REDIS_H_INCLUDED_
#define _NGX_CRED_REDIS_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>
#include <ngx_cred_net.h>
#include <ngx_cred_net_line.h>


#define NGX_CRED_REDIS_PORT           6379
#define NGX_CRED_REDIS_SENTINEL_PORT  26379

#define NGX_CRED_REDIS_HOSTS          32   /* in one URL */
#define NGX_CRED_REDIS_PASSWORD_LEN   NGX_CRED_NET_LINE_LEN   /* in a file */


/* what became of a command */

#define NGX_CRED_REDIS_OK             0  /* a reply which is no error */
#define NGX_CRED_REDIS_REFUSED        1  /* Redis replied with an error */
#define NGX_CRED_REDIS_UNREACHABLE    2  /* no connection, nothing was sent */
#define NGX_CRED_REDIS_BUSY           3  /* the queue is full, nothing was
                                            sent */
#define NGX_CRED_REDIS_BROKEN         4  /* the connection broke after the
                                            command was sent */
#define NGX_CRED_REDIS_TIMEDOUT       5  /* no reply in time after the command
                                            was sent */


/* types of replies, RESP2 */

#define NGX_CRED_REDIS_NIL            0
#define NGX_CRED_REDIS_STRING         1
#define NGX_CRED_REDIS_STATUS         2
#define NGX_CRED_REDIS_ERROR          3
#define NGX_CRED_REDIS_INTEGER        4
#define NGX_CRED_REDIS_ARRAY          5


typedef struct ngx_cred_redis_s          ngx_cred_redis_t;
typedef struct ngx_cred_redis_reply_s    ngx_cred_redis_reply_t;
typedef struct ngx_cred_redis_command_s  ngx_cred_redis_command_t;

typedef void (*ngx_cred_redis_greet_pt)(ngx_cred_redis_t *redis, void *data);
typedef void (*ngx_cred_redis_message_pt)(void *data);

/*
 * Called when a connection is made, with "error" NULL, and when an attempt to
 * make one has failed, or commands were lost with it: then with what the log
 * says, which dies on return, and in how many milliseconds the next attempt is
 * made, or 0.  Nothing may be done with "redis" but to ask for its name and
 * its context.
 */

typedef void (*ngx_cred_redis_changed_pt)(ngx_cred_redis_t *redis,
    ngx_str_t *error, ngx_msec_t retry, void *data);


/* what a URL leads to */

typedef enum {
    NGX_CRED_REDIS_SERVER = 0,
    NGX_CRED_REDIS_SENTINEL,     /* sentinels that know a server */
    NGX_CRED_REDIS_CLUSTER       /* some nodes, one of which has the slot */
} ngx_cred_redis_kind_e;


/* a parsed Redis URL; strings are decoded and live as long as its pool */

typedef struct {
    ngx_str_t                   text;      /* as written, password included:
                                              never logged */
    ngx_str_t                   name;      /* for logs: no user, no password */
    ngx_cred_redis_kind_e       kind;
    ngx_str_t                   user;
    ngx_str_t                   password;
    ngx_str_t                   sentinel_password;
    ngx_str_t                   master;    /* as sentinels call it */
    ngx_cred_net_host_t        *hosts;     /* without known addresses; none
                                              with a unix socket */
    ngx_uint_t                  nhosts;
    ngx_str_t                   path;      /* of a unix socket */
    ngx_str_t                   prefix;    /* empty if the URL has none */
    in_port_t                   port;      /* of hosts that name none */
    ngx_uint_t                  db;

    unsigned                    tls:1;     /* rediss:// and so on */
} ngx_cred_redis_url_t;


/*
 * A file with a password in its first line, which is read again at each connect
 * and once a minute.  Belongs to a configuration, in which all that names this
 * path shares it.
 */

typedef struct {
    ngx_str_t                   path;
    ngx_str_t                   text;      /* as it was read last: never kept
                                              anywhere else, never logged */
    ngx_uint_t                  version;   /* another one for each text */
    ngx_uint_t                  accepted;  /* the last version that a Redis has
                                              accepted */
    ngx_msec_t                  checked_at;

    unsigned                    told:1;    /* that it could not be read */

    u_char                      data[NGX_CRED_REDIS_PASSWORD_LEN];
} ngx_cred_redis_password_t;


/*
 * How to reach Redis servers; lives as long as the cycle that uses it.
 * Settings that share connections by their identity may stand for each other:
 * those of the last ngx_cred_redis_get() are in use.
 */

typedef struct {
    ngx_msec_t                  connect_timeout;
    ngx_msec_t                  command_timeout;

    ngx_cred_net_conf_t         net;       /* TLS is for "rediss://" */

    /* what the configuration knows of the one Redis it names, else zero */

    ngx_cred_net_host_t        *hosts;     /* those of its URL, with their
                                              addresses */
    ngx_cred_redis_password_t  *password;  /* in place of the URL's */
    ngx_cred_redis_password_t  *sentinel_password;

    ngx_str_t                   prefix;    /* of a URL that names none */
    ngx_str_t                   key;       /* whose slot it is in a cluster;
                                              empty: that of the prefix */
    ngx_str_t                   identity;  /* all that tells connections apart,
                                              but for "name": never logged */

    /*
     * What the owner has to say to each new connection before its commands
     * leave, see ngx_cred_redis_admit(); NULL: nothing
     */

    ngx_cred_redis_greet_pt     greet;
    ngx_cred_redis_greet_pt     abandon;
    ngx_cred_redis_changed_pt   changed;   /* or NULL */
    void                       *data;

    /*
     * A connection that is subscribed to "channel" takes no commands, and is
     * made by ngx_cred_redis_keep().  "message" is called when it is subscribed
     * and for each message after that, from within its events.
     */

    ngx_str_t                   channel;
    ngx_cred_redis_message_pt   message;
} ngx_cred_redis_conf_t;


struct ngx_cred_redis_reply_s {
    ngx_uint_t                  type;
    int64_t                     integer;
    ngx_str_t                   str;       /* STRING, STATUS and ERROR */
    ngx_uint_t                  nelts;     /* ARRAY */
    ngx_cred_redis_reply_t    **elts;
};


/*
 * A Lua script, embedded by the build; "sha" is SHA-1 in hex.  Several commands
 * that share their first arguments make one call of the script: it gets the
 * shared arguments once, then those of each command.  Its reply is an array of
 * what it says to all of them, then as many elements for each command as they
 * have in common, then perhaps more of what it says to all; or anything else,
 * which is then the reply to each of them.
 * Without a text it is the command of that "name" ("WAIT"), which gets the
 * arguments of one command; "most" is 1 then, and all that follows is 0.
 */

typedef struct {
    ngx_str_t                   name;
    ngx_str_t                   text;
    ngx_str_t                   sha;
    ngx_uint_t                  most;      /* commands in one call; with one
                                              the whole reply is its own */
    ngx_uint_t                  nshared;   /* arguments, the first is the only
                                              key ... */
    ngx_uint_t                  nwhole;    /* ... and elements of the reply */
    ngx_uint_t                  nown;      /* elements for each command: with
                                              more than one its reply is an
                                              array of them, or the first one
                                              if that is an error */
    ngx_uint_t                  tail;      /* there may be more after them */
} ngx_cred_redis_script_t;


/*
 * Called exactly once for each command that ngx_cred_redis_eval() accepted,
 * from an event handler, never from within ngx_cred_redis_eval().
 * "reply" is there with NGX_CRED_REDIS_OK only, command->whole whenever there
 * was a reply, which with NGX_CRED_REDIS_REFUSED may be one error; both die on
 * return; what went wrong otherwise is worded in command->error, which dies on
 * return as well.
 */

typedef void (*ngx_cred_redis_handler_pt)(ngx_cred_redis_command_t *command,
    ngx_cred_redis_reply_t *reply);

/*
 * Called when the command is about to be written, perhaps more than once, and
 * not when the same is written again for a script that was unknown: fills in
 * arguments that depend on the moment.  The clock of "redis" is known by then,
 * and nothing else may be done with it.
 */

typedef void (*ngx_cred_redis_prepare_pt)(ngx_cred_redis_t *redis,
    ngx_cred_redis_command_t *command);


/* owned by the caller, left alone by it until the handler is called */

struct ngx_cred_redis_command_s {
    ngx_queue_t                 queue;

    ngx_cred_redis_script_t    *script;
    ngx_str_t                  *shared;    /* script->nshared of them */
    ngx_str_t                  *args;
    ngx_uint_t                  nargs;

    ngx_cred_redis_prepare_pt   prepare;   /* or NULL */
    ngx_cred_redis_handler_pt   handler;
    void                       *data;

    ngx_uint_t                  status;    /* NGX_CRED_REDIS_OK and so on */
    ngx_str_t                   error;
    ngx_cred_redis_reply_t     *whole;     /* the reply to the call */
    ngx_cred_redis_t           *redis;     /* where it came from */

    ngx_msec_t                  limit;     /* when it times out */
    ngx_uint_t                  ncall;     /* commands of the call that begins
                                              here, else 0 */
    size_t                      size;      /* of that call */
    unsigned                    eval:1;    /* the script was unknown */
    unsigned                    closing:1; /* ends what was let in before: the
                                              queue is never full for it */
    unsigned                    greeting:1; /* belongs to the greeting */
    unsigned                    own:1;     /* of the connection itself: nobody
                                              waits for it, and it tells of its
                                              refusal */
};


/*
 * Parses a URL into "url", whose strings are allocated from "pool":
 *
 *     redis://[[user]:password@]host[:port][/db][?prefix=P]
 *     redis-sentinel://[[user]:password@]host[:port][,host[:port]...][/db]
 *                      [?prefix=P&sentinel_password=Q]#NAME
 *     redis-cluster://[[user]:password@]host[:port][,host[:port]...][?prefix=P]
 *     unix:/path[?db=N&prefix=P]
 *
 * or one of the former three with "rediss" in place of "redis".  "user@" leaves
 * the password empty: it must come from elsewhere then.  Returns NGX_OK, or
 * NGX_ERROR with "*err" set to a constant that says what is wrong.
 */
ngx_int_t ngx_cred_redis_url_parse(ngx_pool_t *pool, ngx_str_t *text,
    ngx_cred_redis_url_t *url, char **err);

/*
 * Sets url->name to what logs call the Redis: no user, no password, no control
 * characters; NGX_ERROR if there is no memory.  Part of parsing it.
 */
ngx_int_t ngx_cred_redis_url_name(ngx_pool_t *pool, ngx_cred_redis_url_t *url);

/*
 * Reads the password file "path", whose string ends with a zero byte, for a
 * configuration.  Returns NULL with "*err", and "*before" and "*after" set to
 * constants that say with the path between them what is wrong.  The password is
 * wiped with the pool.
 */
ngx_cred_redis_password_t *ngx_cred_redis_password_create(ngx_pool_t *pool,
    ngx_str_t *path, ngx_err_t *err, const char **before, const char **after);

/* what tells connections with a password file, or NULL, apart: its path */
ngx_str_t *ngx_cred_redis_password_path(ngx_cred_redis_password_t *password);

/*
 * Whether all keys with this prefix are in one slot of a cluster, because of
 * a "{tag}" in it.
 */
ngx_uint_t ngx_cred_redis_tagged(ngx_str_t *prefix);

/*
 * Returns this worker's connection to the Redis of "url", making it (but not
 * connecting) at first use.  Connections with the same conf->identity and
 * "name" (may be NULL) are one; if it has another URL it is replaced: the old
 * connection makes no new attempts and ends with its last command.  "kind" (a
 * constant) and "name" are what logs call it, copied at first use.  A host name
 * in "url" is resolved at each connect, unless conf->hosts has its addresses
 * and they do.
 * The result is valid until the calling event handler returns: connections that
 * nobody asks for are closed after some minutes, so ask again each time.
 * Returns NULL with "*err" set to a constant if the URL is bad or there is no
 * memory.
 */
ngx_cred_redis_t *ngx_cred_redis_get(ngx_cred_redis_conf_t *conf,
    ngx_str_t *url, const char *kind, ngx_str_t *name, char **err);

/* whether it is ready, and no command waits or is under way */
ngx_uint_t ngx_cred_redis_idle(ngx_cred_redis_t *redis);

/* the connection of that name, if there is one, whatever its URL; else NULL */
ngx_cred_redis_t *ngx_cred_redis_lookup(ngx_cred_redis_conf_t *conf,
    ngx_str_t *name);

/*
 * Runs command->script with command->shared and command->args.  Commands leave
 * in their order, at the end of this turn of the event loop or when there are
 * many, in one write and as few calls as their scripts and shared arguments
 * allow.  Returns NGX_OK when command->handler will be called, or NGX_DECLINED
 * with command->status and command->error set when the command was refused at
 * once and nothing was sent.
 * Commands of a greeting (command->greeting) leave before all others, and are
 * refused when there is no greeting under way.
 */
ngx_int_t ngx_cred_redis_eval(ngx_cred_redis_t *redis,
    ngx_cred_redis_command_t *command);

/*
 * The clock of this Redis, in milliseconds since the epoch, reckoned from the
 * last reading: TIME at connect, or what ngx_cred_redis_set_time() was told
 * since.  0 before the first one.
 */
uint64_t ngx_cred_redis_time(ngx_cred_redis_t *redis);

void ngx_cred_redis_set_time(ngx_cred_redis_t *redis, uint64_t now);

/*
 * Tells whether commands are refused at once: the last attempt failed, be it
 * that there was no connection, that the handshake or the greeting failed, or
 * that the connection ended with commands on it before it had answered any; or
 * the greeting takes its time.
 * New attempts are made until one succeeds, with back-off, without being asked
 * for; what is then sent may still fail.
 */
ngx_uint_t ngx_cred_redis_down(ngx_cred_redis_t *redis);

/*
 * The greeting.  When AUTH, SELECT and TIME of a new connection have succeeded
 * and conf->greet is set, it is called from an event handler, and commands
 * wait.  It sends commands of the greeting, whose handlers send more, as long
 * as it takes; their errors are for their handlers to judge.  It ends in one of
 * three ways:
 *
 *     ngx_cred_redis_admit()    the commands that wait leave;
 *     ngx_cred_redis_reject()   the connection fails like one whose handshake
 *                               was refused: "reason" (copied) is logged once;
 *                               with "status" it is what the commands that wait
 *                               end with;
 *     conf->abandon             is called, once, when the connection ended by
 *                               itself, after the handlers of its commands.
 *
 * All of it, with connecting, may take conf->connect_timeout.
 * ngx_cred_redis_patience() gives it as long again from now on; but commands do
 * not wait longer for it: they end with NGX_CRED_REDIS_UNREACHABLE and "reason"
 * then, and so do others until it is over.
 * These three do nothing when there is no greeting under way, and may be called
 * from any handler.
 */
void ngx_cred_redis_admit(ngx_cred_redis_t *redis);
void ngx_cred_redis_reject(ngx_cred_redis_t *redis, ngx_uint_t status,
    ngx_str_t *reason);
void ngx_cred_redis_patience(ngx_cred_redis_t *redis, const char *reason);

/*
 * Closes the connection at the end of this turn of the event loop, and says
 * nothing of it: commands that were sent and are not answered by then end with
 * NGX_CRED_REDIS_BROKEN, those that wait go on waiting.  It is connected and
 * greeted anew at once.  May be called from any handler; does nothing before
 * the greeting.
 */
void ngx_cred_redis_regreet(ngx_cred_redis_t *redis);

/*
 * Connects if there is no connection and none is about to be made; for an owner
 * who wants to notice that a Redis is back, or who is subscribed.  Does nothing
 * in a worker that exits.
 */
void ngx_cred_redis_keep(ngx_cred_redis_t *redis);

/*
 * A pointer of the owner's, NULL at first, which outlives the connection to the
 * server and dies with the object: if it is not NULL then, conf->abandon is
 * called (once more, if there was a greeting under way), in which "redis" is
 * good for nothing but what follows here.
 */
void *ngx_cred_redis_context(ngx_cred_redis_t *redis);
void ngx_cred_redis_set_context(ngx_cred_redis_t *redis, void *context);

/* "name" of ngx_cred_redis_get(), as it was; may be empty */
ngx_str_t *ngx_cred_redis_name(ngx_cred_redis_t *redis);

/*
 * How often it has been ready: a reply that comes under another number is that
 * of another connection, and maybe of another server.
 */
ngx_uint_t ngx_cred_redis_number(ngx_cred_redis_t *redis);

/* the number of its database */
ngx_uint_t ngx_cred_redis_db(ngx_cred_redis_t *redis);

/* the prefix of its keys: the URL's, else conf->prefix */
ngx_str_t *ngx_cred_redis_prefix(ngx_cred_redis_t *redis);

/* its lines end with ", environment: NAME, redis: ..." */
ngx_log_t *ngx_cred_redis_log(ngx_cred_redis_t *redis);


#endif /* _NGX_CRED_REDIS_H_INCLUDED_ */
