
/*
 * Copyright (C) ngx_cred_module authors
 * SPDX-License-Identifier: BSD-2-Clause
 */


/* AUTH, in handshakes and again on connections that live on */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>
#include <ngx_cred_redis_connection.h>


#define NGX_CRED_REDIS_AUTH_PAUSE  1000   /* between attempts on a connection
                                             that has lost it, in ms */


static ngx_uint_t ngx_cred_redis_auth_args(ngx_cred_redis_t *redis,
    ngx_str_t *args, ngx_str_t *password);
static void ngx_cred_redis_auth_send(ngx_cred_redis_t *redis);
static void ngx_cred_redis_auth_prepare(ngx_cred_redis_t *redis,
    ngx_cred_redis_command_t *command);
static void ngx_cred_redis_auth_handler(ngx_cred_redis_command_t *command,
    ngx_cred_redis_reply_t *reply);


static ngx_cred_redis_script_t  ngx_cred_redis_auth_script = {
    ngx_string("AUTH"), ngx_null_string, ngx_null_string, 1, 0, 0, 0, 0
};


ngx_str_t *
ngx_cred_redis_secret(ngx_cred_redis_t *redis)
{
    return redis->conf.password ? &redis->conf.password->text
                                : &redis->url.password;
}


ngx_int_t
ngx_cred_redis_auth_encode(ngx_cred_redis_t *redis)
{
    ngx_str_t                   args[3], *password;
    ngx_uint_t                  n;
    ngx_cred_redis_password_t  *file;

    if (redis->asking) {
        file = redis->conf.sentinel_password;
        password = &redis->url.sentinel_password;

    } else {
        file = redis->conf.password;
        password = &redis->url.password;
    }

    if (file) {
        password = ngx_cred_redis_password(file);
    }

    if (password->len == 0) {
        return NGX_OK;
    }

    redis->handshake |= NGX_CRED_REDIS_AUTH;

    ngx_str_set(&args[0], "AUTH");
    n = 1;

    if (redis->asking) {
        args[n++] = *password;

    } else {
        n += ngx_cred_redis_auth_args(redis, &args[1], password);
    }

    return ngx_cred_redis_codec_append(&redis->out, args, n, &redis->log);
}


/* what is sent now is what the file has */

static ngx_uint_t
ngx_cred_redis_auth_args(ngx_cred_redis_t *redis, ngx_str_t *args,
    ngx_str_t *password)
{
    ngx_uint_t  n;

    n = 0;

    if (redis->url.user.len) {
        args[n++] = redis->url.user;
    }

    args[n++] = *password;

    if (redis->conf.password) {
        redis->auth_version = redis->conf.password->version;
    }

    return n;
}


void
ngx_cred_redis_auth_accepted(ngx_cred_redis_t *redis)
{
    ngx_cred_redis_password_t  *password;

    if (redis->asking) {
        return;
    }

    password = redis->conf.password;

    redis->auth_told = 0;

    if (password && password->version == redis->auth_version
        && password->accepted != password->version)
    {
        password->accepted = password->version;

        ngx_cred_redis_each(ngx_cred_redis_auth_again);
    }
}


/*
 * "unknown command 'AUTH', with args ..." shows the password, and who is
 * hostile may show it in any other word: what is no code is not told.
 */

void
ngx_cred_redis_auth_word(ngx_str_t *error)
{
    ngx_uint_t  i;

    static ngx_str_t  codes[] = {
        ngx_string("WRONGPASS"),
        ngx_string("NOAUTH"),
        ngx_string("NOPERM"),
        ngx_string("LOADING"),
        ngx_string("BUSY"),
        ngx_string("MASTERDOWN"),
        ngx_string("CLUSTERDOWN"),
        ngx_string("ERR")
    };

    for (i = 0; i < sizeof(codes) / sizeof(ngx_str_t); i++) {

        if (error->len >= codes[i].len
            && ngx_memcmp(error->data, codes[i].data, codes[i].len) == 0)
        {
            *error = codes[i];
            return;
        }
    }

    ngx_str_set(error, "another error");
}


void
ngx_cred_redis_auth_again(ngx_cred_redis_t *redis)
{
    ngx_cred_redis_password_t  *password;

    password = redis->conf.password;

    if (ngx_exiting || password == NULL
        || redis->state != NGX_CRED_REDIS_READY
        || redis->auth_version == password->version)
    {
        return;
    }

    /*
     * A subscribed connection takes no AUTH.  It is made anew, but not before
     * it is known that a new one will be let in.
     */

    if (redis->conf.channel.len) {

        if (password->accepted == password->version) {
            ngx_cred_redis_regreet(redis);
        }

        return;
    }

    ngx_cred_redis_auth_send(redis);
}


void
ngx_cred_redis_auth_lost(ngx_cred_redis_t *redis)
{
    if (ngx_exiting || redis->conf.password == NULL
        || redis->state != NGX_CRED_REDIS_READY)
    {
        return;
    }

    if (redis->auth_at
        && ngx_current_msec - redis->auth_at < NGX_CRED_REDIS_AUTH_PAUSE)
    {
        return;
    }

    redis->auth_at = ngx_current_msec;

    (void) ngx_cred_redis_password(redis->conf.password);

    ngx_cred_redis_auth_send(redis);
}


static void
ngx_cred_redis_auth_send(ngx_cred_redis_t *redis)
{
    ngx_cred_redis_command_t  *command;

    if (redis->authenticating) {
        return;
    }

    command = &redis->auth;

    command->script = &ngx_cred_redis_auth_script;
    command->args = redis->auth_args;
    command->prepare = ngx_cred_redis_auth_prepare;
    command->handler = ngx_cred_redis_auth_handler;
    command->data = redis;
    command->closing = 1;
    command->own = 1;

    redis->authenticating = 1;
    redis->nown++;

    if (ngx_cred_redis_eval(redis, command) != NGX_OK) {
        redis->authenticating = 0;
        redis->nown--;
    }
}


static void
ngx_cred_redis_auth_prepare(ngx_cred_redis_t *redis,
    ngx_cred_redis_command_t *command)
{
    command->nargs = ngx_cred_redis_auth_args(redis, redis->auth_args,
                                              ngx_cred_redis_secret(redis));
}


static void
ngx_cred_redis_auth_handler(ngx_cred_redis_command_t *command,
    ngx_cred_redis_reply_t *reply)
{
    ngx_uint_t         level;
    ngx_cred_redis_t  *redis;

    redis = command->data;

    redis->authenticating = 0;
    redis->nown--;

    if (command->status == NGX_CRED_REDIS_OK) {
        ngx_log_error(NGX_LOG_NOTICE, &redis->log, 0,
                      "redis accepted the password in \"%V\"",
                      ngx_cred_redis_password_path(redis->conf.password));

        ngx_cred_redis_auth_accepted(redis);
        return;
    }

    if (command->status != NGX_CRED_REDIS_REFUSED) {
        return;
    }

    level = (redis->auth_told == redis->auth_version) ? NGX_LOG_INFO
                                                      : NGX_LOG_ERR;
    redis->auth_told = redis->auth_version;

    ngx_cred_redis_auth_word(&command->error);

    ngx_log_error(level, &redis->log, 0,
                  "redis refused the password in \"%V\", the connection goes "
                  "on as it is: %V",
                  ngx_cred_redis_password_path(redis->conf.password),
                  &command->error);
}
