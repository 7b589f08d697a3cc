
/*
 * Copyright (C) ngx_cred_module authors
 * SPDX-License-Identifier: BSD-2-Clause
 */


/*
 * An operation under way, between delete.lua and its answer.  What the files
 * of the core room share; nobody else includes it.
 */


#ifndef _NGX_CRED_DELETE_H_INCLUDED_
#define _NGX_CRED_DELETE_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>
#include <ngx_cred_core.h>
#include <ngx_cred_fence.h>
#include <ngx_cred_undeployment.h>


#define NGX_CRED_DELETE_ARGS   9


struct ngx_cred_delete_s {
    ngx_cred_redis_command_t     command;
    ngx_str_t                    shared[NGX_CRED_DELETE_SHARED];
    ngx_str_t                   *deadline;      /* one of them */
    ngx_str_t                    args[NGX_CRED_DELETE_ARGS];
    ngx_str_t                   *check;         /* one of them */

    ngx_pool_t                  *pool;
    ngx_cred_registry_t         *registry;
    ngx_uint_t                   api_number;
    ngx_cred_delete_handler_pt   handler;
    void                        *data;

    ngx_cred_outcome_t           outcome;
    ngx_msec_t                   start;
    ngx_msec_t                   expires;       /* the last deadline that the
                                                   registry was given has passed
                                                   by its clock, too */
    ngx_msec_t                   cascade_start;
    ngx_msec_t                   cascade_timeout;
    ngx_event_t                  timer;         /* of this, of the cascade */

    ngx_cred_undeployment_t     *undeployments;
    ngx_uint_t                   nundeployments;
    ngx_uint_t                   unanswered;    /* of them, plus one while
                                                   they are being started */
    ngx_uint_t                   held;          /* not released yet, the wait
                                                   for replicas included */
    ngx_cred_fence_wait_t        wait;

    u_char                       operation[NGX_CRED_OPERATION_LEN];
    u_char                       token[NGX_CRED_HASH_HEX_LEN];
    u_char                       rate[NGX_INT_T_LEN];
    u_char                       time[NGX_INT64_LEN];

    unsigned                     again:1;       /* asked twice */
    unsigned                     lost:1;        /* sent, and not answered */
    unsigned                     last:1;        /* only asked what was done,
                                                   until it "expires" again */
    unsigned                     waiting:1;     /* for replicas */
    unsigned                     cascaded:1;    /* or it took too long */
    unsigned                     answered:1;
};


/*
 * Copies what delete.lua said into the operation's pool: its outcome and its
 * undeployments.  NGX_OK; NGX_AGAIN if the operation came too late; NGX_BUSY if
 * there was no room in the reply; or NGX_ERROR, which is logged.
 */
ngx_int_t ngx_cred_delete_parse(ngx_cred_delete_t *del,
    ngx_cred_redis_reply_t *reply);

/*
 * Undeploys what delete.lua claimed, and completes the operation, unless it is
 * waiting for replicas yet.
 */
void ngx_cred_cascade(ngx_cred_delete_t *del);

/*
 * Answers the caller, with what is known by now.  The operation is freed when
 * all that is held is released.
 */
void ngx_cred_cascade_complete(ngx_cred_delete_t *del);
void ngx_cred_delete_release(ngx_cred_delete_t *del);

/* handlers of its undeployments */
void ngx_cred_cascade_undeployed(ngx_cred_undeployment_t *u);
void ngx_cred_cascade_release(ngx_cred_undeployment_t *u);


#endif /* _NGX_CRED_DELETE_H_INCLUDED_ */
