
/*
 * Copyright (C) ngx_cred_module authors
 * SPDX-License-Identifier: BSD-2-Clause
 */


/*
 * The wait for replicas of the registry, between the reply to delete.lua and
 * the answer.  What the files of the core room share; nobody else includes it.
 */


#ifndef _NGX_CRED_FENCE_H_INCLUDED_
#define _NGX_CRED_FENCE_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>
#include <ngx_cred_core.h>


typedef struct ngx_cred_fence_wait_s  ngx_cred_fence_wait_t;

typedef void (*ngx_cred_fence_handler_pt)(ngx_cred_fence_wait_t *wait);


struct ngx_cred_fence_wait_s {
    ngx_queue_t                  queue;
    ngx_cred_redis_command_t     command;
    ngx_event_t                  timer;
    ngx_cred_fence_t            *fence;

    ngx_str_t                    operation;
    ngx_uint_t                   acknowledged;  /* by so many replicas, no more
                                                   than are wanted; 0 as well if
                                                   nobody knows */

    /* it is over; "acknowledged" is known */
    ngx_cred_fence_handler_pt    handler;

    /* it is of no more use: after the former, perhaps later */
    ngx_cred_fence_handler_pt    release;

    void                        *data;

    unsigned                     found:1;
};


/*
 * The fence of a registry whose "redis", identity included, and "wait" are set;
 * from "pool", which is the configuration's.  NULL if there is no memory.
 */
ngx_cred_fence_t *ngx_cred_fence_create(ngx_cred_registry_t *registry,
    ngx_pool_t *pool);

/*
 * Waits until "operation", which the registry has, is on as many replicas as
 * are wanted, or until registry->wait.time is over, with the command timeout at
 * the latest.  "operation", "handler", "release" and "data" are set, the rest
 * is zeroed.  Both handlers are called later than this returns, once each.
 */
void ngx_cred_fence_wait(ngx_cred_fence_t *fence, ngx_cred_fence_wait_t *wait);


#endif /* _NGX_CRED_FENCE_H_INCLUDED_ */
