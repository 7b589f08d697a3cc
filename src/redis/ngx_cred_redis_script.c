
/*
 * Copyright (C) ngx_cred_module authors
 * SPDX-License-Identifier: BSD-2-Clause
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>
#include <ngx_cred_redis_connection.h>


#define NGX_CRED_REDIS_ARGS   8192       /* of a call, at most */
#define NGX_CRED_REDIS_BYTES  131072     /* of arguments, but for the first */
#define NGX_CRED_REDIS_FIXED  3          /* EVALSHA, name, number of keys */
#define NGX_CRED_REDIS_FULL   32         /* commands that leave at once */


static ngx_int_t ngx_cred_redis_encode_call(ngx_cred_redis_t *redis,
    ngx_queue_t *waiting);
static ngx_str_t *ngx_cred_redis_head(ngx_cred_redis_command_t *command,
    ngx_str_t *arg);
static void ngx_cred_redis_prepare(ngx_cred_redis_t *redis,
    ngx_cred_redis_command_t *command);
static ngx_uint_t ngx_cred_redis_same_call(ngx_cred_redis_command_t *first,
    ngx_cred_redis_command_t *command);
static void ngx_cred_redis_take(ngx_queue_t *dst, ngx_queue_t *src,
    ngx_uint_t n);
static ngx_uint_t ngx_cred_redis_common(ngx_cred_redis_script_t *script,
    ngx_cred_redis_reply_t *reply, ngx_uint_t n);
static ngx_cred_redis_reply_t *ngx_cred_redis_own(
    ngx_cred_redis_script_t *script, ngx_cred_redis_reply_t *reply,
    ngx_uint_t n, ngx_cred_redis_reply_t *slice);
static ngx_int_t ngx_cred_redis_misplace(ngx_cred_redis_t *redis,
    ngx_queue_t *call, ngx_uint_t n, ngx_str_t *error);
static void ngx_cred_redis_again(ngx_cred_redis_t *redis, ngx_queue_t *call,
    ngx_uint_t n);


ngx_int_t
ngx_cred_redis_eval(ngx_cred_redis_t *redis, ngx_cred_redis_command_t *command)
{
    command->eval = 0;

    if (ngx_cred_redis_down(redis) && !command->greeting) {
        command->status = redis->refusal;
        command->error.data = redis->error;
        command->error.len = redis->error_len;
        return NGX_DECLINED;
    }

    if ((!command->closing
         && redis->ncommands - redis->nclosing >= NGX_CRED_REDIS_QUEUE)
        || redis->out.last - redis->out.pos > NGX_CRED_REDIS_OUTPUT)
    {
        command->status = NGX_CRED_REDIS_BUSY;
        ngx_str_set(&command->error, "too many commands are waiting");
        return NGX_DECLINED;
    }

    if (NGX_CRED_REDIS_FIXED + command->script->nshared + command->nargs
        > NGX_CRED_REDIS_ARGS)
    {
        command->status = NGX_CRED_REDIS_BUSY;
        ngx_str_set(&command->error, "too many arguments");
        return NGX_DECLINED;
    }

    if (command->greeting) {
        return ngx_cred_redis_greeting_eval(redis, command);
    }

    ngx_queue_insert_tail(&redis->waiting, &command->queue);
    redis->nwaiting++;
    redis->ncommands++;
    redis->nclosing += command->closing;

    ngx_cred_redis_watch(redis);

    if (redis->state != NGX_CRED_REDIS_READY) {
        ngx_cred_redis_connect(redis);
        return NGX_OK;
    }

    ngx_cred_redis_flush(redis);

    /* Redis has something to do while the rest of this turn goes on */

    if (redis->nwaiting >= NGX_CRED_REDIS_FULL && !redis->regreet
        && ngx_queue_empty(&redis->moved)
        && ngx_cred_redis_encode(redis) == NGX_OK)
    {
        (void) ngx_cred_redis_send(redis);
    }

    return NGX_OK;
}


ngx_int_t
ngx_cred_redis_encode(ngx_cred_redis_t *redis)
{
    ngx_queue_t  *waiting;

    waiting = (redis->state == NGX_CRED_REDIS_GREETING) ? &redis->greetings
                                                        : &redis->waiting;

    while (!ngx_queue_empty(waiting)) {

        if (ngx_cred_redis_encode_call(redis, waiting) != NGX_OK) {
            return NGX_ERROR;
        }
    }

    ngx_cred_redis_watch(redis);

    return NGX_OK;
}


/* the first of the waiting commands, and what goes with it in one call */

static ngx_int_t
ngx_cred_redis_encode_call(ngx_cred_redis_t *redis, ngx_queue_t *waiting)
{
    size_t                     before, size;
    ngx_str_t                 *arg, *last;
    ngx_uint_t                 i, n;
    ngx_queue_t               *q;
    ngx_cred_redis_command_t  *first, *command;

    static ngx_str_t  args[NGX_CRED_REDIS_ARGS];

    q = ngx_queue_head(waiting);
    first = ngx_queue_data(q, ngx_cred_redis_command_t, queue);

    ngx_cred_redis_prepare(redis, first);

    arg = ngx_cred_redis_head(first, args);
    last = args + NGX_CRED_REDIS_ARGS;

    size = 0;

    for (n = 0; n < first->script->most && q != ngx_queue_sentinel(waiting);
         n++, q = ngx_queue_next(q))
    {
        command = ngx_queue_data(q, ngx_cred_redis_command_t, queue);

        if (n) {
            ngx_cred_redis_prepare(redis, command);
        }

        if ((ngx_uint_t) (last - arg) < command->nargs
            || !ngx_cred_redis_same_call(first, command))
        {
            break;
        }

        for (i = 0; i < command->nargs; i++) {
            size += command->args[i].len;
        }

        if (n && size > NGX_CRED_REDIS_BYTES) {
            break;
        }

        for (i = 0; i < command->nargs; i++) {
            *arg++ = command->args[i];
        }

        command->ncall = 0;

        if (!command->eval) {
            command->limit = ngx_current_msec + redis->conf.command_timeout;
        }
    }

    before = redis->out.last - redis->out.pos;

    if (ngx_cred_redis_codec_append(&redis->out, args, arg - args, &redis->log)
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    first->ncall = n;
    first->size = redis->out.last - redis->out.pos - before;

    redis->nwaiting -= n;
    ngx_cred_redis_take(&redis->sent, waiting, n);

    return NGX_OK;
}


/* what a call begins with; returns where its arguments go on */

static ngx_str_t *
ngx_cred_redis_head(ngx_cred_redis_command_t *command, ngx_str_t *arg)
{
    ngx_uint_t                i;
    ngx_cred_redis_script_t  *script;

    script = command->script;

    if (script->text.len == 0) {
        *arg++ = script->name;
        return arg;
    }

    if (command->eval) {
        ngx_str_set(arg, "EVAL");
        arg++;
        *arg++ = script->text;

    } else {
        ngx_str_set(arg, "EVALSHA");
        arg++;
        *arg++ = script->sha;
    }

    ngx_str_set(arg, "1");
    arg++;

    for (i = 0; i < script->nshared; i++) {
        *arg++ = command->shared[i];
    }

    return arg;
}


static void
ngx_cred_redis_prepare(ngx_cred_redis_t *redis,
    ngx_cred_redis_command_t *command)
{
    if (command->prepare && !command->eval) {
        command->prepare(redis, command);
    }
}


static ngx_uint_t
ngx_cred_redis_same_call(ngx_cred_redis_command_t *first,
    ngx_cred_redis_command_t *command)
{
    ngx_str_t   *one, *two;
    ngx_uint_t   i;

    if (command->script != first->script || command->eval != first->eval) {
        return 0;
    }

    for (i = 0; i < first->script->nshared; i++) {
        one = &first->shared[i];
        two = &command->shared[i];

        if (one->len != two->len
            || (one->data != two->data
                && ngx_memcmp(one->data, two->data, one->len) != 0))
        {
            return 0;
        }
    }

    return 1;
}


static void
ngx_cred_redis_take(ngx_queue_t *dst, ngx_queue_t *src, ngx_uint_t n)
{
    ngx_queue_t  *q;

    while (n--) {
        q = ngx_queue_head(src);
        ngx_queue_remove(q);
        ngx_queue_insert_tail(dst, q);
    }
}


ngx_int_t
ngx_cred_redis_dispatch(ngx_cred_redis_t *redis, ngx_cred_redis_reply_t *reply)
{
    ngx_uint_t                 i, n, common;
    ngx_queue_t                call, *q;
    ngx_cred_redis_reply_t    *own, slice;
    ngx_cred_redis_command_t  *first, *command;

    redis->heard_at = ngx_current_msec;

    if (redis->conf.channel.len) {
        ngx_cred_redis_message(redis, reply);
        return NGX_OK;
    }

    if (ngx_queue_empty(&redis->sent)) {
        return NGX_ERROR;
    }

    q = ngx_queue_head(&redis->sent);
    first = ngx_queue_data(q, ngx_cred_redis_command_t, queue);

    n = first->ncall;

    ngx_queue_init(&call);
    ngx_cred_redis_take(&call, &redis->sent, n);

    if (!ngx_queue_empty(&redis->moved) && ngx_queue_empty(&redis->sent)) {
        ngx_post_event(&redis->end, &ngx_posted_events);
    }

    /* the text of what answers AUTH may be the password, in whatever words */

    if (first != &redis->auth && ngx_cred_redis_misplaced(redis, reply)
        && ngx_cred_redis_misplace(redis, &call, n, &reply->str) == NGX_OK)
    {
        return NGX_OK;
    }

    if (redis->state == NGX_CRED_REDIS_READY && !first->own) {
        redis->redirects = 0;

        if (!redis->answered) {
            redis->answered = 1;
            ngx_cred_redis_back(redis);
        }
    }

    if (reply->type == NGX_CRED_REDIS_ERROR && !first->eval
        && reply->str.len >= 8
        && ngx_strncmp(reply->str.data, "NOSCRIPT", 8) == 0)
    {
        ngx_cred_redis_again(redis, &call, n);
        return NGX_OK;
    }

    common = ngx_cred_redis_common(first->script, reply, n);

    redis->ncommands -= n;
    redis->nclosing -= first->closing ? n : 0;

    for (i = 0; i < n; i++) {
        q = ngx_queue_head(&call);
        ngx_queue_remove(q);

        command = ngx_queue_data(q, ngx_cred_redis_command_t, queue);

        own = common ? reply
                     : ngx_cred_redis_own(command->script, reply, i, &slice);

        command->redis = redis;
        command->whole = reply;

        if (own->type == NGX_CRED_REDIS_ERROR) {

            if (!command->own) {
                ngx_cred_redis_refused(redis, &own->str);
            }

            /* what a script says of one of its commands, after a READONLY */

            if (!common && redis->state == NGX_CRED_REDIS_READY
                && ngx_cred_redis_misplaced(redis, own))
            {
                ngx_cred_redis_regreet(redis);
            }

            command->status = NGX_CRED_REDIS_REFUSED;
            command->error = own->str;
            command->handler(command, NULL);

            continue;
        }

        command->status = NGX_CRED_REDIS_OK;
        command->handler(command, own);
    }

    return NGX_OK;
}


/* an array of another length says nothing of any command */

static ngx_uint_t
ngx_cred_redis_common(ngx_cred_redis_script_t *script,
    ngx_cred_redis_reply_t *reply, ngx_uint_t n)
{
    ngx_uint_t  nelts;

    if (reply->type != NGX_CRED_REDIS_ARRAY || script->most == 1) {
        return 1;
    }

    nelts = script->nwhole + n * script->nown;

    return script->tail ? reply->nelts < nelts : reply->nelts != nelts;
}


/* what the reply says to the command with number "n" */

static ngx_cred_redis_reply_t *
ngx_cred_redis_own(ngx_cred_redis_script_t *script,
    ngx_cred_redis_reply_t *reply, ngx_uint_t n, ngx_cred_redis_reply_t *slice)
{
    ngx_cred_redis_reply_t  **elts;

    elts = &reply->elts[script->nwhole + n * script->nown];

    if (script->nown == 1 || elts[0]->type == NGX_CRED_REDIS_ERROR) {
        return elts[0];
    }

    ngx_memzero(slice, sizeof(ngx_cred_redis_reply_t));

    slice->type = NGX_CRED_REDIS_ARRAY;
    slice->nelts = script->nown;
    slice->elts = elts;

    return slice;
}


/*
 * Another server is to execute it: once all that was sent has been answered, or
 * after this greeting.  NGX_DECLINED if that has led nowhere.
 */

static ngx_int_t
ngx_cred_redis_misplace(ngx_cred_redis_t *redis, ngx_queue_t *call,
    ngx_uint_t n, ngx_str_t *error)
{
    ngx_queue_t               *q;
    ngx_cred_redis_command_t  *command;

    if (redis->state == NGX_CRED_REDIS_GREETING) {

        if (redis->redirects++ == NGX_CRED_REDIS_REDIRECTS) {
            return NGX_DECLINED;
        }

        redis->nwaiting += n;
        ngx_queue_add(&redis->greetings, call);

        ngx_cred_redis_regreet(redis);

        return NGX_OK;
    }

    ngx_log_error(NGX_LOG_INFO, &redis->log, 0,
                  "another redis is to be asked: %V", error);

    redis->error_len = ngx_cred_net_printable(redis->error,
                                              redis->error
                                              + NGX_CRED_REDIS_ERROR_LEN,
                                              error)
                       - redis->error;

    for (q = ngx_queue_head(call);
         q != ngx_queue_sentinel(call);
         q = ngx_queue_next(q))
    {
        command = ngx_queue_data(q, ngx_cred_redis_command_t, queue);
        command->eval = 0;
    }

    redis->nwaiting += n;
    ngx_queue_add(&redis->moved, call);

    if (ngx_queue_empty(&redis->sent)) {
        ngx_post_event(&redis->end, &ngx_posted_events);
    }

    return NGX_OK;
}


/* the script is unknown: the call is made with its text, before any other */

static void
ngx_cred_redis_again(ngx_cred_redis_t *redis, ngx_queue_t *call, ngx_uint_t n)
{
    ngx_queue_t               *waiting, *q, others;
    ngx_cred_redis_command_t  *command;

    waiting = (redis->state == NGX_CRED_REDIS_GREETING) ? &redis->greetings
                                                        : &redis->waiting;

    for (q = ngx_queue_head(call);
         q != ngx_queue_sentinel(call);
         q = ngx_queue_next(q))
    {
        command = ngx_queue_data(q, ngx_cred_redis_command_t, queue);
        command->eval = 1;
    }

    ngx_queue_init(&others);

    for (q = ngx_queue_head(waiting);
         q != ngx_queue_sentinel(waiting);
         q = ngx_queue_next(q))
    {
        command = ngx_queue_data(q, ngx_cred_redis_command_t, queue);

        if (!command->eval) {
            ngx_queue_split(waiting, q, &others);
            break;
        }
    }

    ngx_queue_add(waiting, call);

    if (!ngx_queue_empty(&others)) {
        ngx_queue_add(waiting, &others);
    }

    redis->nwaiting += n;

    ngx_cred_redis_flush(redis);
}


void
ngx_cred_redis_finish(ngx_cred_redis_t *redis,
    ngx_cred_redis_command_t *command, ngx_uint_t status)
{
    command->status = status;
    command->redis = redis;
    command->whole = NULL;
    command->error.data = redis->error;
    command->error.len = redis->error_len;

    command->handler(command, NULL);
}
