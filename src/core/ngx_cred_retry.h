
/*
 * Copyright (C) ngx_cred_module authors
 * SPDX-License-Identifier: BSD-2-Clause
 */


/*
 * What the files of the background retry share; nobody else includes it.
 */


#ifndef _NGX_CRED_RETRY_H_INCLUDED_
#define _NGX_CRED_RETRY_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>
#include <ngx_cred_core.h>
#include <ngx_cred_undeployment.h>


#define NGX_CRED_RETRY_CLAIM     256    /* of one environment at a time ... */


/* how an environment is treated by a claim */

typedef enum {
    NGX_CRED_RETRY_DUE = 0,              /* claim what is due */
    NGX_CRED_RETRY_SKIP,                 /* claim nothing */
    NGX_CRED_RETRY_DRAIN                 /* claim what waits for later, too */
} ngx_cred_retry_treat_e;


/*
 * An environment that is registered or has pending entries, as this worker sees
 * it.  Its connection is kept, so that one which comes back without its memory
 * is noticed, whether or not anything is to be undeployed; but not of so many
 * that clients would find none.
 */

typedef struct {
    ngx_str_node_t           sn;         /* by name */
    ngx_queue_t              queue;
    ngx_pool_t              *pool;
    ngx_uint_t               inflight;   /* claimed, not released yet ... */
    ngx_uint_t               waiting;    /* ... and those that only wait for
                                            gateways, which may be long */
    ngx_cred_retry_treat_e   treat;      /* by the last claim */
    unsigned                 watched:1;  /* its connection is kept */
    unsigned                 seen:1;     /* in the last reply */
    unsigned                 down:1;     /* the last attempt did not get there
                                            or commands would be refused */
    unsigned                 drain:1;    /* it is back */
    unsigned                 failed:1;   /* it took commands and did not answer:
                                            it is back when one is settled */
    unsigned                 warned:1;   /* it is not registered any more */
} ngx_cred_retry_environment_t;


typedef struct {
    ngx_cred_redis_command_t      command;
    ngx_cred_registry_t          *registry;
    ngx_pool_t                   *pool;       /* of one claim */
    ngx_event_t                   timer;
    ngx_rbtree_t                  rbtree;     /* of the environments */
    ngx_rbtree_node_t             sentinel;
    ngx_queue_t                   environments;
    ngx_uint_t                    nenvironments;
    ngx_uint_t                    nwatched;
    unsigned                      claiming:1;
} ngx_cred_retry_t;


/* claims anew in "delay" milliseconds */
void ngx_cred_retry_schedule(ngx_cred_retry_t *retry, ngx_msec_t delay);

/*
 * Attempts what was claimed of an environment: "elts" are its name, its URL and
 * its members, as claim.lua returned them at "now".
 */
void ngx_cred_retry_attempt(ngx_cred_retry_t *retry,
    ngx_cred_retry_environment_t *environment, ngx_str_t *now,
    ngx_cred_redis_reply_t **elts);


#endif /* _NGX_CRED_RETRY_H_INCLUDED_ */
