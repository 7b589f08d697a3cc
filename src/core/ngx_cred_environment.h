
/*
 * Copyright (C) ngx_cred_module authors
 * SPDX-License-Identifier: BSD-2-Clause
 */


/*
 * What an environment's connection and its greeting share; nobody else includes
 * it.
 */


#ifndef _NGX_CRED_ENVIRONMENT_H_INCLUDED_
#define _NGX_CRED_ENVIRONMENT_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>
#include <ngx_cred_core.h>
#include <ngx_cred_turn.h>
#include <ngx_cred_undeployment.h>


#define NGX_CRED_POSITION_LEN     64  /* of an epoch, an id ... */
#define NGX_CRED_CONNECTION_LEN   16  /* what is random in its key */


typedef struct {
    ngx_str_t                    str;
    u_char                       data[NGX_CRED_POSITION_LEN];
} ngx_cred_position_t;


/* what is known of one connection; the greeting that is under way, if any */

typedef struct {
    ngx_cred_turn_t              turn;       /* while it is being told again */
    ngx_pool_t                  *pool;
    ngx_cred_registry_t         *registry;
    ngx_cred_redis_t            *redis;      /* NULL: abandoned */

    ngx_cred_redis_command_t     ask;        /* to the registry */
    ngx_cred_redis_command_t     look;       /* to the environment */
    ngx_str_t                    name;
    ngx_str_t                    what;
    ngx_str_t                    ask_shared[NGX_CRED_AGAIN_SHARED];
    ngx_str_t                    ask_args[NGX_CRED_AGAIN_ARGS];
    ngx_str_t                    look_shared[NGX_CRED_STREAM_SHARED];
    ngx_str_t                    look_args[NGX_CRED_STREAM_ARGS];

    ngx_cred_position_t          epoch;
    ngx_cred_position_t          id;         /* the last one that is known */
    ngx_cred_position_t          registry_run_id;
    ngx_cred_position_t          last_id;
    ngx_cred_position_t          run_id;
    ngx_cred_position_t          start;      /* what is counted from */

    ngx_str_t                    connection; /* the key that counts */
    ngx_int_t                    count;      /* of the last call; NGX_ERROR:
                                                it is not what it should be */
    ngx_msec_t                   greeted_at; /* 0: never, as below */
    ngx_msec_t                   told_at;
    ngx_msec_t                   logged_at;
    ngx_uint_t                   told;
    ngx_uint_t                   changes;    /* of the epoch meanwhile */
    unsigned                     asking:1;
    unsigned                     excused:1;  /* the registry did not answer */
    unsigned                     looking:1;
    unsigned                     more:1;     /* is to be told */
    unsigned                     lost:1;     /* it has to be, since its calls
                                                were not counted on, unless
                                                this epoch is over */
    unsigned                     kept:1;     /* the key is: no call is on its
                                                way that would be counted */
} ngx_cred_environment_t;


/*
 * Has the registry do "what" for the greeting of "env" (see again.lua), which
 * goes on from its reply.
 */
void ngx_cred_greeting_ask(ngx_cred_environment_t *env, const char *what);

/* tells a part of what was lost; for ngx_cred_turn_t */
ngx_uint_t ngx_cred_greeting_tell(ngx_cred_turn_t *turn);

/* ends the greeting: see ngx_cred_redis_reject() */
void ngx_cred_greeting_reject(ngx_cred_environment_t *env, ngx_uint_t status,
    const char *reason, ngx_str_t *detail);

/* frees what is abandoned, unless a command is under way */
void ngx_cred_environment_free(ngx_cred_environment_t *env);


#endif /* _NGX_CRED_ENVIRONMENT_H_INCLUDED_ */
