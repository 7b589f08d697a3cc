
/*
 * Copyright (C) ngx_cred_module authors
 * SPDX-License-Identifier: BSD-2-Clause
 */


/*
 * The wait for gateways.  An undeployment is effective when each gateway of the
 * environment has applied it, or when none of those that have not can have a
 * lease any more: the longest one, as it was noted when the credential went,
 * has passed since the reply came, by the clock itself.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>
#include <ngx_cred_core.h>
#include <ngx_cred_clock.h>
#include <ngx_cred_status.h>
#include <ngx_cred_undeployment.h>


#define NGX_CRED_EFFECT_DELAY     50    /* between two asks, at most, in ms */
#define NGX_CRED_EFFECT_ASKS      64    /* then, in all, but ... */
#define NGX_CRED_EFFECT_RARELY    1000  /* ... this often, at least, in ms */
#define NGX_CRED_EFFECT_MARGIN    10    /* that is outwaited, too ... */
#define NGX_CRED_EFFECT_DRIFT     8     /* ... with this part of the lease,
                                           since clocks that are being set may
                                           go slower by a twelfth */
#define NGX_CRED_EFFECT_PATIENCE  500   /* then the registry is told that it
                                           takes longer; less than the margin of
                                           a claim */
#define NGX_CRED_EFFECT_RETRY     2000  /* after it should be over, in ms */

#define NGX_CRED_EFFECT_WORD_LEN                                              \
    (2 * NGX_INT64_LEN + sizeof("  not_deployed") - 1)


struct ngx_cred_effect_s {
    ngx_cred_undeployment_t   *undeployment;
    ngx_cred_state_e           state;        /* when it is effective */
    ngx_cred_reason_e          reason;       /* or why it is not */

    uint64_t                   replied;      /* ns, monotonic */
    ngx_msec_t                 wait;         /* since then */
    ngx_msec_t                 delay;        /* to this ask ... */
    ngx_msec_t                 next;         /* ... and the next: after 1, 2, 4
                                                milliseconds and so on */
    ngx_event_t                timer;

    ngx_cred_redis_command_t   command;
    ngx_str_t                  shared[NGX_CRED_EFFECTIVE_SHARED];
    ngx_str_t                  args[NGX_CRED_EFFECTIVE_ARGS];

    ngx_cred_redis_command_t   note;         /* of the receipt meanwhile */
    ngx_str_t                  note_args[NGX_CRED_ACKNOWLEDGE_ARGS];

    u_char                     word[NGX_CRED_EFFECT_WORD_LEN];

    unsigned                   outwaited:1;
    unsigned                   noted:1;
    unsigned                   noting:1;     /* "note" is under way */
    unsigned                   over:1;
    unsigned                   failed:1;     /* it is to be attempted again */
};


static void ngx_cred_effect_timer_handler(ngx_event_t *ev);
static void ngx_cred_effect_unanswered(ngx_cred_effect_t *effect,
    ngx_cred_redis_command_t *command);
static ngx_int_t ngx_cred_effect_ask(ngx_cred_effect_t *effect);
static void ngx_cred_effect_reply(ngx_cred_redis_command_t *command,
    ngx_cred_redis_reply_t *reply);
static void ngx_cred_effect_again(ngx_cred_effect_t *effect);
static void ngx_cred_effect_note(ngx_cred_effect_t *effect);
static void ngx_cred_effect_noted(ngx_cred_redis_command_t *command,
    ngx_cred_redis_reply_t *reply);
static void ngx_cred_effect_over(ngx_cred_effect_t *effect);
static ngx_msec_int_t ngx_cred_effect_left(ngx_cred_effect_t *effect);


static ngx_str_t  ngx_cred_effect_wait_word = ngx_string("wait");
static ngx_str_t  ngx_cred_effect_outwaited_word = ngx_string("outwaited");


ngx_int_t
ngx_cred_effect_wait(ngx_cred_undeployment_t *u, ngx_msec_t lease)
{
    u_char             *p;
    ngx_str_t          *prefix;
    ngx_cred_effect_t  *effect;

    effect = ngx_pcalloc(u->pool, sizeof(ngx_cred_effect_t));
    if (effect == NULL) {
        return NGX_ERROR;
    }

    prefix = &u->shared[1];

    p = ngx_pnalloc(u->pool, prefix->len + sizeof(":gateways") - 1);
    if (p == NULL) {
        return NGX_ERROR;
    }

    effect->shared[0].data = p;
    p = ngx_cpymem(p, prefix->data, prefix->len);
    p = ngx_cpymem(p, ":gateways", sizeof(":gateways") - 1);
    effect->shared[0].len = p - effect->shared[0].data;

    effect->shared[1] = *prefix;

    effect->undeployment = u;
    effect->state = u->state;
    effect->replied = ngx_cred_clock_monotonic();
    effect->wait = lease + lease / NGX_CRED_EFFECT_DRIFT
                   + NGX_CRED_EFFECT_MARGIN;
    effect->delay = 1;
    effect->next = 1;

    effect->timer.handler = ngx_cred_effect_timer_handler;
    effect->timer.data = effect;
    effect->timer.log = ngx_cycle->log;

    u->effect = effect;
    u->state = NGX_CRED_PENDING;
    u->reason = NGX_CRED_GATEWAYS;
    ngx_str_set(&u->error, "gateways have not confirmed");

    ngx_add_timer(&effect->timer, effect->delay);

    if (u->wait) {
        u->wait(u);
    }

    return NGX_OK;
}


static void
ngx_cred_effect_timer_handler(ngx_event_t *ev)
{
    ngx_cred_effect_t  *effect;

    effect = ev->data;

    effect->outwaited = (ngx_cred_effect_left(effect) <= 0);

    if (ngx_cred_effect_ask(effect) != NGX_OK) {
        ngx_cred_effect_unanswered(effect, &effect->command);
    }
}


/* the last word must be that of a Redis which knows of the undeployment */

static void
ngx_cred_effect_unanswered(ngx_cred_effect_t *effect,
    ngx_cred_redis_command_t *command)
{
    if (!effect->outwaited) {
        ngx_cred_effect_again(effect);
        return;
    }

    effect->failed = 1;
    effect->reason = (command->status == NGX_CRED_REDIS_REFUSED
                      || command->status == NGX_CRED_REDIS_OK)
                     ? NGX_CRED_REFUSED : NGX_CRED_UNREACHABLE;

    ngx_cred_effect_over(effect);
}


static ngx_int_t
ngx_cred_effect_ask(ngx_cred_effect_t *effect)
{
    char                     *err;
    ngx_cred_redis_t         *redis;
    ngx_cred_undeployment_t  *u;

    u = effect->undeployment;

    redis = ngx_cred_environment_redis(u->registry, &u->environment, &u->url,
                                       &err);
    if (redis == NULL) {
        effect->command.status = NGX_CRED_REDIS_UNREACHABLE;
        return NGX_DECLINED;
    }

    effect->args[0] = u->id;
    effect->args[1] = effect->outwaited ? ngx_cred_effect_outwaited_word
                                        : ngx_cred_effect_wait_word;

    effect->command.script = &ngx_cred_effective_script;
    effect->command.shared = effect->shared;
    effect->command.args = effect->args;
    effect->command.nargs = NGX_CRED_EFFECTIVE_ARGS;
    effect->command.handler = ngx_cred_effect_reply;
    effect->command.closing = 1;
    effect->command.data = effect;

    return ngx_cred_redis_eval(redis, &effect->command);
}


static void
ngx_cred_effect_reply(ngx_cred_redis_command_t *command,
    ngx_cred_redis_reply_t *reply)
{
    ngx_cred_effect_t  *effect;

    effect = command->data;

    if (command->status == NGX_CRED_REDIS_OK
        && reply->type == NGX_CRED_REDIS_INTEGER && reply->integer >= 0)
    {
        if (reply->integer == 0 || effect->outwaited) {
            ngx_cred_effect_over(effect);
            return;
        }

        ngx_cred_effect_again(effect);
        return;
    }

    ngx_cred_effect_unanswered(effect, command);
}


static void
ngx_cred_effect_again(ngx_cred_effect_t *effect)
{
    ngx_msec_t      longest;
    ngx_msec_int_t  left;

    left = ngx_cred_effect_left(effect);

    if (!effect->noted
        && (ngx_msec_int_t) effect->wait - left >= NGX_CRED_EFFECT_PATIENCE)
    {
        ngx_cred_effect_note(effect);
    }

    /* a long wait is for one that is gone, and others may wait as well */

    longest = effect->noted ? ngx_min(effect->wait / NGX_CRED_EFFECT_ASKS,
                                      NGX_CRED_EFFECT_RARELY)
                            : 0;

    effect->delay = ngx_min(effect->next,
                            ngx_max(longest, NGX_CRED_EFFECT_DELAY));
    effect->next = 2 * effect->delay;

    /* a worker that exits need not stay for what the registry knows of */

    effect->timer.cancelable = effect->noted && !effect->noting;

    ngx_add_timer(&effect->timer,
                  ngx_max(ngx_min((ngx_msec_int_t) effect->delay, left), 1));
}


/* whoever claims it later begins anew: this one goes on */

static void
ngx_cred_effect_note(ngx_cred_effect_t *effect)
{
    ngx_str_t                 word;
    ngx_msec_t                duration;
    ngx_cred_undeployment_t  *u;

    effect->noted = 1;

    effect->note.handler = ngx_cred_effect_noted;
    effect->note.data = effect;

    u = effect->undeployment;

    ngx_cred_status_attempted(u->registry, &u->environment, NGX_CRED_PENDING,
                              NGX_CRED_GATEWAYS, 0, 0);

    ngx_cred_effect_word(u, &word);

    /* so that it is known when the first attempt began */

    duration = u->duration;
    u->duration = ngx_current_msec - u->start;

    effect->noting = (ngx_cred_acknowledge_send(u, &effect->note,
                                                effect->note_args, &word)
                      == NGX_OK);

    u->duration = duration;
}


static void
ngx_cred_effect_noted(ngx_cred_redis_command_t *command,
    ngx_cred_redis_reply_t *reply)
{
    ngx_cred_effect_t  *effect;

    effect = command->data;

    effect->noting = 0;

    if (effect->over) {
        ngx_cred_effect_over(effect);
    }
}


static void
ngx_cred_effect_over(ngx_cred_effect_t *effect)
{
    effect->over = 1;

    if (effect->noting) {
        return;
    }

    if (effect->failed) {
        ngx_cred_undeploy_ineffective(effect->undeployment, effect->reason);
        return;
    }

    ngx_str_null(&effect->undeployment->error);

    ngx_cred_undeploy_effective(effect->undeployment, effect->state);
}


/* in milliseconds, rounded up */

static ngx_msec_int_t
ngx_cred_effect_left(ngx_cred_effect_t *effect)
{
    uint64_t  passed;

    passed = ngx_cred_clock_monotonic() - effect->replied;

    return (ngx_msec_int_t) effect->wait
           - (ngx_msec_int_t) (passed / NGX_CRED_MSEC);
}


/*
 * How many gateways, and after how long it was effective; or, while it is
 * waited for, after how long it is due again, and its state when it is over.
 */

void
ngx_cred_effect_word(ngx_cred_undeployment_t *u, ngx_str_t *word)
{
    u_char             *p;
    ngx_msec_int_t      left;
    ngx_cred_effect_t  *effect;

    effect = u->effect;

    if (effect == NULL) {
        ngx_str_null(word);
        return;
    }

    p = effect->word;

    if (effect->failed) {
        ngx_str_null(word);
        return;
    }

    if (u->state == NGX_CRED_PENDING) {
        left = ngx_max(ngx_cred_effect_left(effect), 0);

        p = ngx_sprintf(p, "%ui %M %V", u->gateways,
                        (ngx_msec_t) left + NGX_CRED_EFFECT_RETRY,
                        ngx_cred_state_name(effect->state));

    } else {
        p = ngx_sprintf(p, "%ui %M", u->gateways, ngx_current_msec - u->start);
    }

    word->data = effect->word;
    word->len = p - effect->word;
}
