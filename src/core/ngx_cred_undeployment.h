
/*
 * Copyright (C) ngx_cred_module authors
 * SPDX-License-Identifier: BSD-2-Clause
 */


/*
 * One attempt to take one credential out of one environment, made by a cascade
 * or by the background retry.  What the files of the core room share; nobody
 * else includes it.
 */


#ifndef _NGX_CRED_UNDEPLOYMENT_H_INCLUDED_
#define _NGX_CRED_UNDEPLOYMENT_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>
#include <ngx_cred_core.h>


/* arguments that the commands of one call share: the key, the prefix ... */

#define NGX_CRED_DELETE_SHARED       10
#define NGX_CRED_UNDEPLOY_SHARED     3
#define NGX_CRED_ACKNOWLEDGE_SHARED  5
#define NGX_CRED_CLAIM_SHARED        5
#define NGX_CRED_AGAIN_SHARED        2
#define NGX_CRED_STREAM_SHARED       2
#define NGX_CRED_EFFECTIVE_SHARED    2

/*
 * and elements of its reply: time; or the stream's progress, gateways and
 * their longest lease
 */

#define NGX_CRED_DELETE_WHOLE        1
#define NGX_CRED_UNDEPLOY_WHOLE      3

/* and for each undeployment its state and its id in the stream */

#define NGX_CRED_UNDEPLOY_OWN        2

/*
 * and for each delete result, subject, scope, member, where its cascade begins,
 * how many environments it has, rate
 */

#define NGX_CRED_DELETE_OWN          7

/* of a claim: time, then of each environment name, URL, members ... */

#define NGX_CRED_CLAIM_WHOLE         1
#define NGX_CRED_CLAIM_OWN           3

/* ... of each of which member, when the delete was, what is known of it */

#define NGX_CRED_CLAIM_MEMBER        3

/* environment, member, state, error, duration, progress, gateways, how */

#define NGX_CRED_ACKNOWLEDGE_ARGS    8

/* id, how */

#define NGX_CRED_EFFECTIVE_ARGS      2

/* environment, what to do, epoch, last id, run id, known id */

#define NGX_CRED_AGAIN_ARGS          6

/* known id, key of the connection, number to count from */

#define NGX_CRED_STREAM_ARGS         3

/* of what is pending: due again by "cred_retry_delay" */

#define NGX_CRED_DUE_BACKOFF         ((ngx_msec_t) -1)

#define NGX_CRED_HOW_LEN                                                      \
    (sizeof(" due= unclear heard unattempted") - 1 + NGX_INT64_LEN)


/* what the registry knows for an attempt at a connector, nothing for a Redis */

typedef struct {
    int64_t                             unclear;     /* when an attempt before
                                                        may have acted without a
                                                        word of it: ms since the
                                                        epoch; 0: none has */
    int64_t                             heard;       /* and when one has, by its
                                                        own word */
    ngx_str_t                           trace;       /* "traceparent" of the
                                                        operation; or empty */
    ngx_str_t                           target;      /* what it is called there;
                                                        or empty */
} ngx_cred_known_t;


typedef struct ngx_cred_undeployment_s  ngx_cred_undeployment_t;
typedef struct ngx_cred_effect_s        ngx_cred_effect_t;

typedef void (*ngx_cred_undeployment_handler_pt)(ngx_cred_undeployment_t *u);


struct ngx_cred_undeployment_s {
    ngx_cred_redis_command_t            command;     /* then of its receipt */
    ngx_str_t                           shared[NGX_CRED_UNDEPLOY_SHARED];
    ngx_str_t                           args[NGX_CRED_ACKNOWLEDGE_ARGS];

    ngx_cred_registry_t                *registry;
    ngx_pool_t                         *pool;        /* outlives it */
    ngx_str_t                           environment;
    ngx_str_t                           url;
    ngx_str_t                           member;      /* of P:pending:... */

    ngx_cred_known_t                    known;       /* for a connector */
    int64_t                             now;         /* by its clock, when it
                                                        said so */

    ngx_cred_state_e                    state;
    ngx_cred_reason_e                   reason;
    ngx_str_t                           error;
    ngx_str_t                           progress;    /* epoch and id, for
                                                        acknowledge.lua */
    ngx_msec_t                          accepted;    /* the delete was: as
                                                        ngx_current_msec */
    ngx_msec_t                          start;
    ngx_msec_t                          duration;

    ngx_str_t                           id;          /* in the stream */
    ngx_uint_t                          gateways;
    ngx_cred_effect_t                  *effect;      /* once it is waited for */

    ngx_msec_t                          due;         /* of what is pending: in
                                                        how long again, seven
                                                        days at most; or
                                                        NGX_CRED_DUE_BACKOFF */

    u_char                              number[NGX_INT64_LEN];
    u_char                              how[NGX_CRED_HOW_LEN];

    unsigned                            claimed:1;   /* is to be attempted */
    unsigned                            undeployed:1;  /* an attempt was made,
                                                        and did it */

    /* of what is pending; for its receipt */

    unsigned                            unclear_now:1; /* this attempt may have
                                                        acted */
    unsigned                            heard_now:1; /* and said so */
    unsigned                            unattempted:1; /* this was none */

    /* it is done there, and waits for gateways from now on; or NULL */
    ngx_cred_undeployment_handler_pt    wait;

    /* the attempt is over; may be called from within ngx_cred_undeploy() */
    ngx_cred_undeployment_handler_pt    handler;

    /*
     * the receipt is written or lost: the undeployment is of no more use; may
     * be called from within ngx_cred_undeploy(), after the other one
     */
    ngx_cred_undeployment_handler_pt    release;

    void                               *data;
};


extern ngx_cred_redis_script_t  ngx_cred_delete_script;
extern ngx_cred_redis_script_t  ngx_cred_undeploy_script;
extern ngx_cred_redis_script_t  ngx_cred_acknowledge_script;
extern ngx_cred_redis_script_t  ngx_cred_claim_script;
extern ngx_cred_redis_script_t  ngx_cred_again_script;
extern ngx_cred_redis_script_t  ngx_cred_stream_script;
extern ngx_cred_redis_script_t  ngx_cred_effective_script;


/*
 * Takes apart what the registry says, of which "trace" and "target" are parts
 * then.  NGX_OK, or NGX_ERROR if it is malformed.
 */
ngx_int_t ngx_cred_known(ngx_str_t *text, ngx_cred_known_t *known);

/*
 * What acknowledge.lua is told of an undeployment that is pending, which lives
 * as long as that: nothing if there is nothing to tell.
 */
void ngx_cred_known_how(ngx_cred_undeployment_t *u, ngx_str_t *how);

/*
 * Attempts the undeployment, whose registry, pool, environment, url, member,
 * handler, release, data and what a connector needs are set, then has the
 * registry write its receipt.
 * An attempt takes no longer than the connect and the command timeout together.
 */
void ngx_cred_undeploy(ngx_cred_undeployment_t *u);

/* the same, by a connector: u->url names it */
void ngx_cred_connector_undeploy(ngx_cred_undeployment_t *u);

/*
 * The attempt is over, by whatever way it was made: it did it, or "error"
 * (copied, cut) says why it did not.  u->due and the bits behind it are set.
 */
void ngx_cred_undeploy_settled(ngx_cred_undeployment_t *u,
    ngx_cred_state_e state);
void ngx_cred_undeploy_failed(ngx_cred_undeployment_t *u,
    ngx_cred_reason_e reason, ngx_str_t *error);

/*
 * Waits for the environment's gateways, of which none has a lease longer than
 * "lease" milliseconds, after the reply that the undeployment is done there:
 * its state is NGX_CRED_PENDING until all of them have applied it or cannot
 * have a lease any more.  Then ngx_cred_undeploy_effective() is called, later
 * than this returns.  NGX_ERROR if there is no memory.
 */
ngx_int_t ngx_cred_effect_wait(ngx_cred_undeployment_t *u, ngx_msec_t lease);
void ngx_cred_undeploy_effective(ngx_cred_undeployment_t *u,
    ngx_cred_state_e state);

/*
 * or this, and it is attempted again: the environment was out of reach in the
 * end, or has lost its memory of it
 */
void ngx_cred_undeploy_ineffective(ngx_cred_undeployment_t *u,
    ngx_cred_reason_e reason);

/*
 * What acknowledge.lua is told of the gateways, which lives as long as the
 * undeployment: nothing if there are none.
 */
void ngx_cred_effect_word(ngx_cred_undeployment_t *u, ngx_str_t *word);

/*
 * Has the registry write the receipt.  "command", whose handler and data are
 * set, and NGX_CRED_ACKNOWLEDGE_ARGS "args" are in use until that is called.
 * NGX_OK, or NGX_DECLINED if it will not be.
 */
ngx_int_t ngx_cred_acknowledge_send(ngx_cred_undeployment_t *u,
    ngx_cred_redis_command_t *command, ngx_str_t *args, ngx_str_t *gateways);

/*
 * Settles it without an attempt: the environment has not been registered for
 * long.
 */
void ngx_cred_undeployment_unregistered(ngx_cred_undeployment_t *u);

/* the state with this word in a receipt, NGX_CRED_PENDING by default */
ngx_cred_state_e ngx_cred_state(ngx_str_t *name);

/* this worker's connection to the registry; NULL if there is no memory */
ngx_cred_redis_t *ngx_cred_registry_redis(ngx_cred_registry_t *registry);

/*
 * This worker's connection to an environment; NULL with "*err" set to a
 * constant if its URL is bad or there is no memory.
 */
ngx_cred_redis_t *ngx_cred_environment_redis(ngx_cred_registry_t *registry,
    ngx_str_t *name, ngx_str_t *url, char **err);

/*
 * Of a connection that was admitted, and live as long as that: its epoch, and
 * the key by which the environment counts its calls.
 */
ngx_str_t *ngx_cred_environment_epoch(ngx_cred_redis_t *redis);
ngx_str_t *ngx_cred_environment_connection(ngx_cred_redis_t *redis);

/*
 * Takes the count that came with the reply to a call, once for each of its
 * commands, of which the first has "next" set.  NGX_DECLINED if it is not the
 * one after that of the call before: the environment has lost its memory
 * between the two, and the connection is greeted anew.
 */
ngx_int_t ngx_cred_environment_count(ngx_cred_redis_t *redis, ngx_int_t count,
    ngx_uint_t next);

/*
 * Whether it is for want of the registry that this connection has failed just
 * now: that says nothing of the environment.  To be asked once.
 */
ngx_uint_t ngx_cred_environment_excused(ngx_cred_redis_t *redis);

/* the epoch of this connection is over: the next one is greeted anew */
void ngx_cred_environment_stale(ngx_cred_redis_t *redis, ngx_str_t *epoch);

/*
 * Greets a connection anew that was greeted more than "after" milliseconds ago,
 * if nothing is under way on it.
 */
void ngx_cred_environment_refresh(ngx_cred_redis_t *redis, ngx_msec_t after);

/* the greeting of connections to environments; "data" is the registry */
void ngx_cred_environment_greet(ngx_cred_redis_t *redis, void *data);
void ngx_cred_environment_abandon(ngx_cred_redis_t *redis, void *data);


#endif /* _NGX_CRED_UNDEPLOYMENT_H_INCLUDED_ */
