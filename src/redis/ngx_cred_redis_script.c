
/*
 * Copyright (C) ngx_cred_module authors
 * SPDX-License-Identifier: BSD-2-Clause
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>
#include <ngx_cred_redis_connection.h>


#define NGX_CRED_REDIS_ARGS  8192


static ngx_int_t ngx_cred_redis_encode(ngx_cred_redis_t *redis,
    ngx_cred_redis_command_t *command);
static void ngx_cred_redis_refused(ngx_cred_redis_t *redis, ngx_str_t *error);


ngx_int_t
ngx_cred_redis_eval(ngx_cred_redis_t *redis, ngx_cred_redis_command_t *command)
{
    command->eval = 0;

    if (redis->failures) {
        command->status = NGX_CRED_REDIS_UNREACHABLE;
        command->error.data = redis->error;
        command->error.len = redis->error_len;
        return NGX_DECLINED;
    }

    if (redis->ncommands >= NGX_CRED_REDIS_QUEUE
        || redis->out.last - redis->out.pos > NGX_CRED_REDIS_OUTPUT)
    {
        command->status = NGX_CRED_REDIS_BUSY;
        ngx_str_set(&command->error, "too many commands are waiting");
        return NGX_DECLINED;
    }

    if (redis->state != NGX_CRED_REDIS_READY) {
        ngx_queue_insert_tail(&redis->waiting, &command->queue);
        redis->ncommands++;

        ngx_cred_redis_watch(redis);
        ngx_cred_redis_connect(redis);

        return NGX_OK;
    }

    if (ngx_cred_redis_encode(redis, command) != NGX_OK) {
        command->status = NGX_CRED_REDIS_BUSY;
        ngx_str_set(&command->error, "no memory");
        return NGX_DECLINED;
    }

    redis->ncommands++;

    ngx_cred_redis_watch(redis);
    ngx_cred_redis_flush(redis);

    return NGX_OK;
}


void
ngx_cred_redis_send_waiting(ngx_cred_redis_t *redis)
{
    ngx_queue_t               *q;
    ngx_cred_redis_command_t  *command;

    while (!ngx_queue_empty(&redis->waiting)) {
        q = ngx_queue_head(&redis->waiting);
        ngx_queue_remove(q);

        command = ngx_queue_data(q, ngx_cred_redis_command_t, queue);

        if (ngx_cred_redis_encode(redis, command) != NGX_OK) {
            redis->ncommands--;
            ngx_cred_redis_finish(redis, command, NGX_CRED_REDIS_UNREACHABLE);
        }
    }

    ngx_cred_redis_watch(redis);
    ngx_cred_redis_flush(redis);
}


static ngx_int_t
ngx_cred_redis_encode(ngx_cred_redis_t *redis,
    ngx_cred_redis_command_t *command)
{
    size_t      before;
    ngx_str_t   args[3], *all;
    ngx_uint_t  i;

    static ngx_str_t  scratch[NGX_CRED_REDIS_ARGS];

    if (command->nargs + 3 > NGX_CRED_REDIS_ARGS) {
        return NGX_ERROR;
    }

    if (command->eval) {
        ngx_str_set(&args[0], "EVAL");
        args[1] = command->script->text;

    } else {
        ngx_str_set(&args[0], "EVALSHA");
        args[1] = command->script->sha;
    }

    ngx_str_set(&args[2], "1");

    all = scratch;

    for (i = 0; i < 3; i++) {
        *all++ = args[i];
    }

    for (i = 0; i < command->nargs; i++) {
        *all++ = command->args[i];
    }

    before = redis->out.last - redis->out.pos;

    if (ngx_cred_redis_codec_append(&redis->out, scratch, all - scratch,
                                    &redis->log)
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    command->size = redis->out.last - redis->out.pos - before;

    if (!command->eval) {
        command->limit = ngx_current_msec + redis->conf.command_timeout;
    }

    ngx_queue_insert_tail(&redis->sent, &command->queue);

    return NGX_OK;
}


ngx_int_t
ngx_cred_redis_dispatch(ngx_cred_redis_t *redis, ngx_cred_redis_reply_t *reply)
{
    ngx_queue_t               *q;
    ngx_cred_redis_command_t  *command;

    if (ngx_queue_empty(&redis->sent)) {
        return NGX_ERROR;
    }

    q = ngx_queue_head(&redis->sent);
    ngx_queue_remove(q);

    command = ngx_queue_data(q, ngx_cred_redis_command_t, queue);

    if (reply->type == NGX_CRED_REDIS_ERROR) {

        if (!command->eval && reply->str.len >= 8
            && ngx_strncmp(reply->str.data, "NOSCRIPT", 8) == 0)
        {
            command->eval = 1;

            if (ngx_cred_redis_encode(redis, command) == NGX_OK) {
                ngx_cred_redis_flush(redis);
                return NGX_OK;
            }
        }

        redis->ncommands--;

        ngx_cred_redis_refused(redis, &reply->str);

        command->status = NGX_CRED_REDIS_REFUSED;
        command->error = reply->str;
        command->handler(command, NULL);

        return NGX_OK;
    }

    redis->ncommands--;
    redis->refused = 0;

    command->status = NGX_CRED_REDIS_OK;
    command->handler(command, reply);

    return NGX_OK;
}


/*
 * An error reply is a state of that Redis (NOAUTH, LOADING, READONLY, OOM,
 * a broken key): it is logged when it begins or changes, not each time.
 */

static void
ngx_cred_redis_refused(ngx_cred_redis_t *redis, ngx_str_t *error)
{
    uint32_t    hash;
    ngx_str_t   code;
    ngx_uint_t  i, level;

    code = *error;

    for (i = 0; i < code.len; i++) {
        if (code.data[i] == ' ') {
            code.len = i;
            break;
        }
    }

    hash = ngx_crc32_short(code.data, code.len) | 1;

    level = (hash == redis->refused) ? NGX_LOG_INFO : NGX_LOG_ERR;

    ngx_log_error(level, &redis->log, 0, "redis refused a command: %V", error);

    redis->refused = hash;
}


void
ngx_cred_redis_finish(ngx_cred_redis_t *redis,
    ngx_cred_redis_command_t *command, ngx_uint_t status)
{
    command->status = status;
    command->error.data = redis->error;
    command->error.len = redis->error_len;

    command->handler(command, NULL);
}
