
/*
 * Copyright (C) ngx_cred_module authors
 * SPDX-License-Identifier: BSD-2-Clause
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>
#include <ngx_cred_turn.h>


#define NGX_CRED_TURN_PAUSE  100   /* between signs of patience, in ms */


static void ngx_cred_turn_patience(ngx_cred_turn_t *turn);
static void ngx_cred_turn_next(void);


static ngx_queue_t  ngx_cred_turns;
static ngx_uint_t   ngx_cred_turn_taken;   /* a call is under way */
static ngx_msec_t   ngx_cred_turn_patient;


void
ngx_cred_turn_wait(ngx_cred_turn_t *turn)
{
    if (ngx_cred_turns.next == NULL) {
        ngx_queue_init(&ngx_cred_turns);
    }

    ngx_cred_turn_leave(turn);

    ngx_queue_insert_tail(&ngx_cred_turns, &turn->queue);
    turn->waits = 1;

    ngx_cred_turn_patience(turn);

    ngx_cred_turn_next();
}


void
ngx_cred_turn_leave(ngx_cred_turn_t *turn)
{
    if (turn->waits) {
        ngx_queue_remove(&turn->queue);
        turn->waits = 0;
    }
}


void
ngx_cred_turn_over(void)
{
    ngx_cred_turn_taken = 0;

    ngx_cred_turn_next();
}


static void
ngx_cred_turn_patience(ngx_cred_turn_t *turn)
{
    ngx_cred_redis_patience(turn->redis, "environment is told again");
}


static void
ngx_cred_turn_next(void)
{
    ngx_queue_t      *q;
    ngx_cred_turn_t  *turn;

    if (ngx_cred_turns.next == NULL) {
        return;
    }

    if (ngx_current_msec - ngx_cred_turn_patient > NGX_CRED_TURN_PAUSE) {
        ngx_cred_turn_patient = ngx_current_msec;

        for (q = ngx_queue_head(&ngx_cred_turns);
             q != ngx_queue_sentinel(&ngx_cred_turns);
             q = ngx_queue_next(q))
        {
            ngx_cred_turn_patience(ngx_queue_data(q, ngx_cred_turn_t, queue));
        }
    }

    while (!ngx_cred_turn_taken && !ngx_queue_empty(&ngx_cred_turns)) {
        q = ngx_queue_head(&ngx_cred_turns);
        turn = ngx_queue_data(q, ngx_cred_turn_t, queue);

        ngx_cred_turn_leave(turn);

        ngx_cred_turn_taken = turn->handler(turn);
    }
}
