
/*
 * Copyright (C) ngx_cred_module authors
 * SPDX-License-Identifier: BSD-2-Clause
 */


/*
 * PING of connections that are silent, so that nobody between here and Redis
 * takes them for dead, and that they are known when they are.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>
#include <ngx_cred_redis_connection.h>


#define NGX_CRED_REDIS_SILENT  30000   /* milliseconds */


static void ngx_cred_redis_ping_subscribed(ngx_cred_redis_t *redis);
static void ngx_cred_redis_ping_handler(ngx_cred_redis_command_t *command,
    ngx_cred_redis_reply_t *reply);
static ngx_uint_t ngx_cred_redis_pong(ngx_cred_redis_reply_t *reply);


static ngx_cred_redis_script_t  ngx_cred_redis_ping_script = {
    ngx_string("PING"), ngx_null_string, ngx_null_string, 1, 0, 0, 0, 0
};


void
ngx_cred_redis_ping(ngx_cred_redis_t *redis)
{
    ngx_cred_redis_command_t  *command;

    if (ngx_exiting || redis->state != NGX_CRED_REDIS_READY
        || redis->ncommands || redis->pinging || redis->pinged
        || redis->rejected || redis->regreet
        || ngx_current_msec - redis->heard_at < NGX_CRED_REDIS_SILENT)
    {
        return;
    }

    if (redis->conf.channel.len) {
        ngx_cred_redis_ping_subscribed(redis);
        return;
    }

    command = &redis->ping;

    command->script = &ngx_cred_redis_ping_script;
    command->handler = ngx_cred_redis_ping_handler;
    command->data = redis;
    command->closing = 1;
    command->own = 1;

    redis->pinging = 1;
    redis->nown++;

    if (ngx_cred_redis_eval(redis, command) != NGX_OK) {
        redis->pinging = 0;
        redis->nown--;
    }
}


/* there are no commands, and the timer is free */

static void
ngx_cred_redis_ping_subscribed(ngx_cred_redis_t *redis)
{
    if (ngx_cred_redis_codec_append(&redis->out,
                                    &ngx_cred_redis_ping_script.name, 1,
                                    &redis->log)
        != NGX_OK)
    {
        return;
    }

    redis->pinged = 1;

    ngx_add_timer(&redis->timer, redis->conf.command_timeout);
    ngx_cred_redis_watch(redis);

    ngx_cred_redis_write(redis);
}


/* a refusal is an answer, too */

static void
ngx_cred_redis_ping_handler(ngx_cred_redis_command_t *command,
    ngx_cred_redis_reply_t *reply)
{
    ngx_cred_redis_t  *redis;

    redis = command->data;

    redis->pinging = 0;
    redis->nown--;

    if (command->status == NGX_CRED_REDIS_REFUSED && !redis->unpingable) {
        redis->unpingable = 1;

        ngx_log_error(NGX_LOG_WARN, &redis->log, 0,
                      "redis refused PING of an idle connection: %V",
                      &command->error);
    }
}


void
ngx_cred_redis_message(ngx_cred_redis_t *redis, ngx_cred_redis_reply_t *reply)
{
    redis->pinged = 0;

    if (!ngx_cred_redis_pong(reply)) {
        redis->conf.message(redis->conf.data);
    }
}


/* what a subscribed connection says to PING is an array */

static ngx_uint_t
ngx_cred_redis_pong(ngx_cred_redis_reply_t *reply)
{
    if (reply->type != NGX_CRED_REDIS_ARRAY) {
        return reply->type == NGX_CRED_REDIS_STATUS
               || reply->type == NGX_CRED_REDIS_ERROR;
    }

    return reply->nelts
           && reply->elts[0]->type == NGX_CRED_REDIS_STRING
           && reply->elts[0]->str.len == 4
           && ngx_strncmp(reply->elts[0]->str.data, "pong", 4) == 0;
}
