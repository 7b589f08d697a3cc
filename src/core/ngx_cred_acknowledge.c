
/*
 * Copyright (C) ngx_cred_module authors
 * SPDX-License-Identifier: BSD-2-Clause
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>
#include <ngx_cred_core.h>
#include <ngx_cred_undeployment.h>


#define NGX_CRED_ACKNOWLEDGE_MAX    512  /* undeployments in one command */
#define NGX_CRED_ACKNOWLEDGE_FIXED  4
#define NGX_CRED_ACKNOWLEDGE_EACH   6


typedef struct {
    ngx_cred_redis_command_t        command;
    ngx_queue_t                     undeployments;
    ngx_str_t                       args[1];
} ngx_cred_acknowledgement_t;


static ngx_uint_t ngx_cred_acknowledge_some(ngx_cred_registry_t *registry);
static void ngx_cred_acknowledge_reply(ngx_cred_redis_command_t *command,
    ngx_cred_redis_reply_t *reply);
static void ngx_cred_acknowledge_release(ngx_queue_t *undeployments);


void
ngx_cred_acknowledge(ngx_cred_undeployment_t *u)
{
    ngx_queue_insert_tail(&u->registry->unacknowledged, &u->queue);

    /* the log of the cycle that read the configuration may be gone */

    u->registry->acknowledge.log = ngx_cycle->log;

    ngx_post_event(&u->registry->acknowledge, &ngx_posted_events);
}


void
ngx_cred_acknowledge_handler(ngx_event_t *ev)
{
    ngx_cred_registry_t  *registry;

    registry = ev->data;

    while (!ngx_queue_empty(&registry->unacknowledged)) {

        if (ngx_cred_acknowledge_some(registry) == 0) {

            /*
             * The registry does not know what was done: the entries are
             * attempted again after their lease, which does no harm.
             */

            ngx_cred_acknowledge_release(&registry->unacknowledged);
            return;
        }
    }
}


static ngx_uint_t
ngx_cred_acknowledge_some(ngx_cred_registry_t *registry)
{
    size_t                       size;
    ngx_str_t                   *arg;
    ngx_uint_t                   n;
    ngx_queue_t                 *q;
    ngx_cred_redis_t            *redis;
    ngx_cred_undeployment_t     *u;
    ngx_cred_acknowledgement_t  *ack;

    redis = ngx_cred_registry_redis(registry);
    if (redis == NULL) {
        return 0;
    }

    n = 0;

    for (q = ngx_queue_head(&registry->unacknowledged);
         q != ngx_queue_sentinel(&registry->unacknowledged)
         && n < NGX_CRED_ACKNOWLEDGE_MAX;
         q = ngx_queue_next(q))
    {
        n++;
    }

    size = offsetof(ngx_cred_acknowledgement_t, args)
           + (NGX_CRED_ACKNOWLEDGE_FIXED + n * NGX_CRED_ACKNOWLEDGE_EACH)
             * sizeof(ngx_str_t);

    ack = ngx_alloc(size, ngx_cycle->log);
    if (ack == NULL) {
        return 0;
    }

    ngx_queue_init(&ack->undeployments);

    arg = ack->args;

    *arg++ = registry->audit;
    *arg++ = registry->prefix;
    *arg++ = registry->shortest;
    *arg++ = registry->longest;

    while (n--) {
        q = ngx_queue_head(&registry->unacknowledged);
        ngx_queue_remove(q);
        ngx_queue_insert_tail(&ack->undeployments, q);

        u = ngx_queue_data(q, ngx_cred_undeployment_t, queue);

        *arg++ = u->environment;
        *arg++ = u->member;
        *arg++ = *ngx_cred_state_name(u->state);
        *arg++ = u->error;

        arg->data = u->number;
        arg->len = ngx_sprintf(u->number, "%M", u->duration) - u->number;
        arg++;

        arg->data = u->jitter;
        arg->len = ngx_sprintf(u->jitter, "%ui", (ngx_uint_t) ngx_random()
                                                 % 1000)
                   - u->jitter;
        arg++;
    }

    ack->command.script = &ngx_cred_acknowledge_script;
    ack->command.args = ack->args;
    ack->command.nargs = arg - ack->args;
    ack->command.handler = ngx_cred_acknowledge_reply;
    ack->command.data = ack;

    if (ngx_cred_redis_eval(redis, &ack->command) != NGX_OK) {
        ngx_cred_acknowledge_release(&ack->undeployments);
        ngx_free(ack);
        return 0;
    }

    return 1;
}


static void
ngx_cred_acknowledge_reply(ngx_cred_redis_command_t *command,
    ngx_cred_redis_reply_t *reply)
{
    ngx_cred_acknowledgement_t  *ack;

    ack = command->data;

    ngx_cred_acknowledge_release(&ack->undeployments);
    ngx_free(ack);
}


static void
ngx_cred_acknowledge_release(ngx_queue_t *undeployments)
{
    ngx_queue_t              *q;
    ngx_cred_undeployment_t  *u;

    while (!ngx_queue_empty(undeployments)) {
        q = ngx_queue_head(undeployments);
        ngx_queue_remove(q);

        u = ngx_queue_data(q, ngx_cred_undeployment_t, queue);
        u->release(u);
    }
}
