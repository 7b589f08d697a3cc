
/*
 * Copyright (C) ngx_cred_module authors
 * SPDX-License-Identifier: BSD-2-Clause
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>
#include <ngx_cred_redis_connection.h>


static void ngx_cred_redis_word(ngx_cred_redis_t *redis, ngx_err_t err,
    const char *reason, ngx_str_t *detail);
static void ngx_cred_redis_end(ngx_cred_redis_t *redis, ngx_uint_t status,
    ngx_queue_t *others);
static void ngx_cred_redis_move(ngx_queue_t *dst, ngx_queue_t *src);
static ngx_uint_t ngx_cred_redis_unsent(ngx_cred_redis_t *redis);
static void ngx_cred_redis_renew(ngx_cred_redis_t *redis);
static void ngx_cred_redis_return(ngx_cred_redis_t *redis);
static void ngx_cred_redis_follow(ngx_cred_redis_t *redis);
static void ngx_cred_redis_changed(ngx_cred_redis_t *redis, ngx_msec_t retry);


void
ngx_cred_redis_fail(ngx_cred_redis_t *redis, ngx_uint_t status, ngx_err_t err,
    const char *reason, ngx_str_t *detail)
{
    ngx_msec_t   delay;
    ngx_uint_t   level;
    ngx_queue_t  others;

    /* whoever rejected its greeting has said why */

    if (!redis->rejected) {
        ngx_cred_redis_word(redis, err, reason, detail);
        redis->refusal = NGX_CRED_REDIS_UNREACHABLE;
    }

    if (ngx_cred_redis_resolve_other(redis) == NGX_OK) {
        return;
    }

    /* nobody can do anything about it, or has read of it already */

    level = (redis->down || redis->retired || ngx_cred_net_shutdown)
            ? NGX_LOG_INFO : NGX_LOG_ERR;

    ngx_log_error(level, &redis->log, 0, "redis is down: %*s",
                  redis->error_len, redis->error);

    redis->down = 1;
    delay = 0;

    if (redis->state == NGX_CRED_REDIS_READY
        && !redis->answered && !ngx_queue_empty(&redis->sent))
    {
        redis->doubtful = 1;
    }

    if ((redis->state != NGX_CRED_REDIS_READY || redis->doubtful
         || redis->conf.channel.len)
        && !redis->retired)
    {
        redis->failures++;
        delay = ngx_cred_net_backoff(redis->failures);

        ngx_cred_net_missed(&redis->net);
        ngx_add_timer(&redis->backoff, delay);
    }

    if (delay || !ngx_queue_empty(&redis->sent)) {
        ngx_cred_redis_changed(redis, delay);
    }

    ngx_cred_redis_return(redis);

    ngx_queue_init(&others);
    ngx_cred_redis_move(&others, &redis->waiting);

    ngx_cred_redis_end(redis, status, &others);
}


/* what went wrong, for the log and for commands */

static void
ngx_cred_redis_word(ngx_cred_redis_t *redis, ngx_err_t err, const char *reason,
    ngx_str_t *detail)
{
    u_char  *p, *last;

    p = redis->error;
    last = p + NGX_CRED_REDIS_ERROR_LEN;

    if (redis->asking) {
        p = ngx_cpymem(p, "sentinel: ", sizeof("sentinel: ") - 1);
    }

    p += ngx_cred_net_word(p, last - p, err, reason, detail);

    redis->error_len = p - redis->error;
}


/*
 * Closes it, silently; ends the commands that were sent, and connects again if
 * there are others.
 */

static void
ngx_cred_redis_renew(ngx_cred_redis_t *redis)
{
    ngx_queue_t  none;

    ngx_cred_redis_word(redis, 0, "the connection was renewed", NULL);
    redis->refusal = NGX_CRED_REDIS_UNREACHABLE;

    ngx_cred_redis_return(redis);

    ngx_queue_init(&none);
    ngx_cred_redis_end(redis, NGX_CRED_REDIS_BROKEN, &none);

    if (redis->ncommands || !ngx_exiting) {
        ngx_cred_redis_connect(redis);
    }
}


void
ngx_cred_redis_refuse(ngx_cred_redis_t *redis, const char *reason)
{
    ngx_queue_t                queue, *q;
    ngx_cred_redis_command_t  *command;

    if (!redis->refusing) {
        ngx_cred_redis_word(redis, 0, reason, NULL);
        redis->refusal = NGX_CRED_REDIS_UNREACHABLE;
        redis->refusing = 1;
    }

    ngx_queue_init(&queue);
    ngx_cred_redis_move(&queue, &redis->waiting);

    while (!ngx_queue_empty(&queue)) {
        q = ngx_queue_head(&queue);
        ngx_queue_remove(q);

        command = ngx_queue_data(q, ngx_cred_redis_command_t, queue);

        redis->nwaiting--;
        redis->ncommands--;
        redis->nclosing -= command->closing;

        ngx_cred_redis_finish(redis, command, redis->refusal);
    }

    ngx_cred_redis_watch(redis);
}


/*
 * Closes the connection; ends the commands that were sent, those of a greeting,
 * and "others", which were waiting.
 */

static void
ngx_cred_redis_end(ngx_cred_redis_t *redis, ngx_uint_t status,
    ngx_queue_t *others)
{
    ngx_uint_t                 busy, greeting, n;
    ngx_queue_t                queue, *q;
    ngx_cred_redis_command_t  *command;

    n = 0;

    for (q = ngx_queue_head(&redis->sent);
         q != ngx_queue_sentinel(&redis->sent);
         q = ngx_queue_next(q))
    {
        n++;
    }

    n -= ngx_cred_redis_unsent(redis);

    ngx_queue_init(&queue);
    ngx_cred_redis_move(&queue, &redis->sent);
    ngx_cred_redis_move(&queue, &redis->greetings);
    ngx_cred_redis_move(&queue, others);

    greeting = (redis->state == NGX_CRED_REDIS_GREETING && !redis->rejected);

    redis->nwaiting = 0;

    for (q = ngx_queue_head(&redis->waiting);
         q != ngx_queue_sentinel(&redis->waiting);
         q = ngx_queue_next(q))
    {
        /* the next connection is another one to commands that prepare */

        command = ngx_queue_data(q, ngx_cred_redis_command_t, queue);
        command->eval = 0;

        redis->nwaiting++;
    }

    ngx_cred_redis_disconnect(redis);

    busy = redis->busy;
    redis->busy = 1;

    while (!ngx_queue_empty(&queue)) {
        q = ngx_queue_head(&queue);
        ngx_queue_remove(q);

        command = ngx_queue_data(q, ngx_cred_redis_command_t, queue);

        redis->ncommands--;
        redis->nclosing -= command->closing;

        if (n) {
            n--;
            ngx_cred_redis_finish(redis, command, status);

        } else {
            ngx_cred_redis_finish(redis, command, redis->refusal);
        }
    }

    if (greeting && redis->conf.abandon) {
        redis->conf.abandon(redis, redis->conf.data);
    }

    redis->busy = busy;

    ngx_cred_redis_watch(redis);
}


static void
ngx_cred_redis_move(ngx_queue_t *dst, ngx_queue_t *src)
{
    if (!ngx_queue_empty(src)) {
        ngx_queue_add(dst, src);
        ngx_queue_init(src);
    }
}


/* what was not executed waits again, before all others */

static void
ngx_cred_redis_return(ngx_cred_redis_t *redis)
{
    ngx_cred_redis_move(&redis->moved, &redis->waiting);
    ngx_cred_redis_move(&redis->waiting, &redis->moved);
}


/* how many of the commands in "sent" have not a byte out yet */

static ngx_uint_t
ngx_cred_redis_unsent(ngx_cred_redis_t *redis)
{
    size_t                     left;
    ngx_uint_t                 n, unsent;
    ngx_queue_t               *q;
    ngx_cred_redis_command_t  *command;

    n = 0;
    unsent = 0;
    left = redis->out.last - redis->out.pos;

    for (q = ngx_queue_last(&redis->sent);
         q != ngx_queue_sentinel(&redis->sent);
         q = ngx_queue_prev(q))
    {
        command = ngx_queue_data(q, ngx_cred_redis_command_t, queue);
        n++;

        if (command->ncall == 0) {
            continue;
        }

        if (left < command->size) {
            break;
        }

        left -= command->size;
        unsent = n;
    }

    return unsent;
}


void
ngx_cred_redis_close(ngx_cred_redis_t *redis)
{
    ngx_queue_t  none;

    ngx_queue_init(&none);
    ngx_cred_redis_end(redis, NGX_CRED_REDIS_BROKEN, &none);
}


void
ngx_cred_redis_disconnect(ngx_cred_redis_t *redis)
{
    /* a server that was not ready has perhaps refused a certificate */

    if (redis->state != NGX_CRED_REDIS_READY) {
        ngx_cred_net_forget(&redis->net);
    }

    ngx_cred_net_close(&redis->net, redis->out.pos < redis->out.last);

    if (redis->codec) {
        ngx_cred_redis_codec_destroy(redis->codec);
        redis->codec = NULL;
    }

    if (redis->out.start) {
        ngx_free(redis->out.start);
        ngx_memzero(&redis->out, sizeof(ngx_cred_redis_output_t));
    }

    if (redis->timer.timer_set) {
        ngx_del_timer(&redis->timer);
    }

    if (redis->flush.posted) {
        ngx_delete_posted_event(&redis->flush);
    }

    redis->log.action = NULL;
    redis->state = NGX_CRED_REDIS_CLOSED;
    redis->pinged = 0;
    redis->rejected = 0;
    redis->refusing = 0;
    redis->regreet = 0;
}


void
ngx_cred_redis_back(ngx_cred_redis_t *redis)
{
    redis->failures = 0;
    redis->doubtful = 0;

    if (redis->down) {
        redis->down = 0;
        ngx_log_error(NGX_LOG_NOTICE, &redis->log, 0, "redis is back");
    }

    if (redis->conf.changed && !redis->retired) {
        redis->conf.changed(redis, NULL, 0, redis->conf.data);
    }
}


/* that it is down; but nobody is to hear of what has ended on purpose */

static void
ngx_cred_redis_changed(ngx_cred_redis_t *redis, ngx_msec_t retry)
{
    ngx_str_t  error;

    if (redis->conf.changed == NULL || redis->retired
        || ngx_cred_net_shutdown)
    {
        return;
    }

    error.data = redis->error;
    error.len = redis->error_len;

    redis->conf.changed(redis, &error, retry, redis->conf.data);
}


/* another server is to execute what this one did not */

static void
ngx_cred_redis_follow(ngx_cred_redis_t *redis)
{
    if (redis->redirects++ == NGX_CRED_REDIS_REDIRECTS) {
        redis->doubtful = 1;
        redis->rejected = 1;
        redis->refusal = NGX_CRED_REDIS_REFUSED;

        ngx_cred_redis_fail(redis, NGX_CRED_REDIS_BROKEN, 0, NULL, NULL);
        return;
    }

    ngx_cred_redis_renew(redis);
}


/* what closes the connection is done when none of its handlers is running */

void
ngx_cred_redis_end_handler(ngx_event_t *ev)
{
    ngx_cred_redis_t  *redis;

    redis = ev->data;

    if (redis->rejected) {
        ngx_cred_redis_fail(redis, NGX_CRED_REDIS_BROKEN, 0, NULL, NULL);

    } else if (redis->regreet) {
        ngx_cred_redis_renew(redis);

    } else if (!ngx_queue_empty(&redis->moved)
               && ngx_queue_empty(&redis->sent))
    {
        ngx_cred_redis_follow(redis);
    }

    if (redis->retired && redis->ncommands == 0) {
        ngx_cred_redis_destroy(redis);
    }
}
