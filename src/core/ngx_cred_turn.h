
/*
 * Copyright (C) ngx_cred_module authors
 * SPDX-License-Identifier: BSD-2-Clause
 */


/*
 * Environments that are told again by this worker, one after the other, since
 * all of them have the one connection to the registry, and deletes, too.
 */


#ifndef _NGX_CRED_TURN_H_INCLUDED_
#define _NGX_CRED_TURN_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>
#include <ngx_cred_redis.h>


typedef struct ngx_cred_turn_s  ngx_cred_turn_t;

/* it has its turn; returns whether a call is under way now */
typedef ngx_uint_t (*ngx_cred_turn_handler_pt)(ngx_cred_turn_t *turn);


/* of one environment, in memory of whoever waits */

struct ngx_cred_turn_s {
    ngx_queue_t                queue;
    ngx_cred_redis_t          *redis;      /* has its timeout put off */
    ngx_cred_turn_handler_pt   handler;
    void                      *data;
    unsigned                   waits:1;    /* in the queue; starts as 0 */
};


/* waits behind the others, of which the first may have its turn at once */
void ngx_cred_turn_wait(ngx_cred_turn_t *turn);

/* does not wait any more, if it did */
void ngx_cred_turn_leave(ngx_cred_turn_t *turn);

/* the call that was under way is over: the next one has its turn */
void ngx_cred_turn_over(void);


#endif /* _NGX_CRED_TURN_H_INCLUDED_ */
