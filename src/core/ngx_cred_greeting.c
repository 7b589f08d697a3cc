
/*
 * Copyright (C) ngx_cred_module authors
 * SPDX-License-Identifier: BSD-2-Clause
 */


/*
 * The greeting of environments.  Before anything is undeployed by a new
 * connection, it compares how far the environment's stream of undeployments has
 * come with what the registry knows of it.  An environment that has lost its
 * memory is told again: the registry makes pending what was settled there.
 * Calls of a connection are counted by the environment, so that a loss between
 * two of them is noticed, too.
 *
 *     again.lua "ask" (registry) -> stream.lua (environment)
 *         -> again.lua "admit", or "lost" and "more" (registry)
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>
#include <openssl/rand.h>
#include <ngx_cred_environment.h>


#define NGX_CRED_GREETING_ASK     4   /* elements of replies of again.lua */
#define NGX_CRED_GREETING_NEXT    3
#define NGX_CRED_GREETING_STREAM  4   /* and of stream.lua */

#define NGX_CRED_GREETING_CHANGES  16  /* of the epoch, in one greeting */

#define NGX_CRED_LOST_LOGGED       60000  /* between lines that say so, in ms */


static void ngx_cred_greeting_asked(ngx_cred_redis_command_t *command,
    ngx_cred_redis_reply_t *reply);
static void ngx_cred_greeting_next(ngx_cred_environment_t *env,
    ngx_cred_redis_reply_t *reply);
static void ngx_cred_greeting_look(ngx_cred_environment_t *env);
static ngx_int_t ngx_cred_greeting_key(ngx_cred_environment_t *env);
static void ngx_cred_greeting_looked(ngx_cred_redis_command_t *command,
    ngx_cred_redis_reply_t *reply);
static ngx_uint_t ngx_cred_greeting_is_registry(ngx_cred_environment_t *env);
static ngx_int_t ngx_cred_greeting_keep(ngx_cred_position_t *position,
    ngx_cred_redis_reply_t *reply);
static ngx_uint_t ngx_cred_greeting_is(ngx_str_t *s, const char *word);
static void ngx_cred_greeting_unavailable(ngx_cred_environment_t *env,
    ngx_str_t *error);


void
ngx_cred_greeting_ask(ngx_cred_environment_t *env, const char *what)
{
    ngx_str_t          error, *arg;
    ngx_cred_redis_t  *registry;

    arg = env->ask_args;

    *arg++ = env->name;

    env->what.data = (u_char *) what;
    env->what.len = ngx_strlen(what);

    *arg++ = env->what;

    if (!ngx_cred_greeting_is(&env->what, "ask")) {
        *arg++ = env->epoch.str;
        *arg++ = env->last_id.str;
        *arg++ = env->run_id.str;
        *arg++ = env->id.str;
    }

    env->ask.script = &ngx_cred_again_script;
    env->ask.shared = env->ask_shared;
    env->ask.args = env->ask_args;
    env->ask.nargs = arg - env->ask_args;
    env->ask.handler = ngx_cred_greeting_asked;
    env->ask.closing = 1;
    env->ask.data = env;

    registry = ngx_cred_registry_redis(env->registry);

    if (registry == NULL) {
        ngx_str_set(&error, "no connection");
        ngx_cred_greeting_unavailable(env, &error);
        return;
    }

    if (ngx_cred_redis_eval(registry, &env->ask) != NGX_OK) {
        ngx_cred_greeting_unavailable(env, &env->ask.error);
        return;
    }

    env->asking = 1;
}


static void
ngx_cred_greeting_asked(ngx_cred_redis_command_t *command,
    ngx_cred_redis_reply_t *reply)
{
    ngx_cred_position_t       epoch;
    ngx_cred_environment_t   *env;
    ngx_cred_redis_reply_t  **elts;

    env = command->data;

    env->asking = 0;

    if (ngx_cred_greeting_is(&env->what, "more")) {
        ngx_cred_turn_over();
    }

    if (env->redis == NULL) {
        ngx_cred_environment_free(env);
        return;
    }

    if (command->status != NGX_CRED_REDIS_OK) {
        ngx_cred_greeting_unavailable(env, &command->error);
        return;
    }

    if (!ngx_cred_greeting_is(&env->what, "ask")) {
        ngx_cred_greeting_next(env, reply);
        return;
    }

    elts = reply->elts;
    epoch = env->epoch;

    if (reply->type != NGX_CRED_REDIS_ARRAY
        || reply->nelts != NGX_CRED_GREETING_ASK
        || ngx_cred_greeting_keep(&env->epoch, elts[0]) != NGX_OK
        || ngx_cred_greeting_keep(&env->id, elts[1]) != NGX_OK
        || elts[2]->type != NGX_CRED_REDIS_STRING
        || ngx_cred_greeting_keep(&env->registry_run_id, elts[3]) != NGX_OK)
    {
        ngx_cred_greeting_reject(env, NGX_CRED_REDIS_UNREACHABLE,
                                 "unexpected reply to again.lua", NULL);
        return;
    }

    env->more = (elts[2]->str.len != 0);

    /* another worker has noticed it, too, and was before this one */

    if (env->epoch.str.len != epoch.str.len
        || ngx_memcmp(env->epoch.data, epoch.data, epoch.str.len) != 0)
    {
        env->lost = 0;
    }

    ngx_cred_greeting_look(env);
}


static void
ngx_cred_greeting_next(ngx_cred_environment_t *env,
    ngx_cred_redis_reply_t *reply)
{
    ngx_str_t                *word;
    ngx_cred_redis_t         *redis;
    ngx_cred_redis_reply_t  **elts;

    elts = reply->elts;

    if (reply->type != NGX_CRED_REDIS_ARRAY
        || reply->nelts != NGX_CRED_GREETING_NEXT
        || elts[0]->type != NGX_CRED_REDIS_STRING
        || ngx_cred_greeting_keep(&env->epoch, elts[1]) != NGX_OK
        || elts[2]->type != NGX_CRED_REDIS_INTEGER)
    {
        ngx_cred_greeting_reject(env, NGX_CRED_REDIS_UNREACHABLE,
                                 "unexpected reply to again.lua", NULL);
        return;
    }

    redis = env->redis;
    word = &elts[0]->str;
    env->told += elts[2]->integer;

    if (ngx_cred_greeting_is(word, "admitted")) {

        if (env->told) {
            ngx_log_error(NGX_LOG_WARN, ngx_cred_redis_log(redis), 0,
                          "environment is told %ui undeployments again",
                          env->told);
        }

        if (env->lost) {
            env->lost = 0;
            env->told_at = ngx_current_msec;
        }

        ngx_cred_turn_leave(&env->turn);
        ngx_cred_redis_admit(redis);
        return;
    }

    if (ngx_cred_greeting_is(word, "more")) {
        ngx_cred_turn_wait(&env->turn);
        return;
    }

    /* changed: the epoch is another one */

    env->lost = 0;

    ngx_cred_turn_leave(&env->turn);

    if (++env->changes > NGX_CRED_GREETING_CHANGES) {
        ngx_cred_greeting_reject(env, NGX_CRED_REDIS_UNREACHABLE,
                                 "registry: another epoch each time", NULL);
        return;
    }

    ngx_cred_greeting_ask(env, "ask");
}


static void
ngx_cred_greeting_look(ngx_cred_environment_t *env)
{
    if (ngx_cred_greeting_key(env) != NGX_OK) {
        ngx_cred_greeting_reject(env, NGX_CRED_REDIS_UNREACHABLE,
                                 "no random numbers", NULL);
        return;
    }

    env->look_args[0] = env->id.str;
    env->look_args[1] = env->connection;
    env->look_args[2] = env->start.str;

    env->look.script = &ngx_cred_stream_script;
    env->look.shared = env->look_shared;
    env->look.args = env->look_args;
    env->look.nargs = NGX_CRED_STREAM_ARGS;
    env->look.handler = ngx_cred_greeting_looked;
    env->look.closing = 1;
    env->look.greeting = 1;
    env->look.data = env;

    if (ngx_cred_redis_eval(env->redis, &env->look) != NGX_OK) {
        ngx_cred_greeting_reject(env, NGX_CRED_REDIS_UNREACHABLE,
                                 "no room for a greeting", NULL);
        return;
    }

    env->looking = 1;
}


/* a key that no other connection has, and a number that is no other's */

static ngx_int_t
ngx_cred_greeting_key(ngx_cred_environment_t *env)
{
    u_char    random[NGX_CRED_CONNECTION_LEN / 2];
    uint32_t  start;

    if (RAND_bytes(random, sizeof(random)) != 1
        || RAND_bytes((u_char *) &start, sizeof(start)) != 1)
    {
        return NGX_ERROR;
    }

    if (!env->kept) {
        ngx_hex_dump(env->connection.data + env->connection.len
                     - NGX_CRED_CONNECTION_LEN,
                     random, sizeof(random));
    }

    env->kept = 0;

    env->start.str.data = env->start.data;
    env->start.str.len = ngx_sprintf(env->start.data, "%uD",
                                     (start & 0x3fffffff) + 1)
                         - env->start.data;

    return NGX_OK;
}


static void
ngx_cred_greeting_looked(ngx_cred_redis_command_t *command,
    ngx_cred_redis_reply_t *reply)
{
    ngx_uint_t                has;
    ngx_cred_environment_t   *env;
    ngx_cred_redis_reply_t  **elts;

    env = command->data;

    env->looking = 0;

    if (env->redis == NULL) {
        ngx_cred_environment_free(env);
        return;
    }

    if (command->status == NGX_CRED_REDIS_REFUSED) {
        ngx_cred_greeting_reject(env, NGX_CRED_REDIS_REFUSED, "refused:",
                                 &command->error);
        return;
    }

    if (command->status != NGX_CRED_REDIS_OK) {
        /* the connection is at its end */
        return;
    }

    elts = reply->elts;

    if (reply->type != NGX_CRED_REDIS_ARRAY
        || reply->nelts != NGX_CRED_GREETING_STREAM
        || elts[0]->type != NGX_CRED_REDIS_INTEGER
        || ngx_cred_greeting_keep(&env->last_id, elts[1]) != NGX_OK
        || ngx_cred_greeting_keep(&env->run_id, elts[2]) != NGX_OK
        || ngx_cred_greeting_keep(&env->start, elts[3]) != NGX_OK
        || (env->count = ngx_atoi(env->start.data, env->start.str.len))
           == NGX_ERROR)
    {
        ngx_cred_greeting_reject(env, NGX_CRED_REDIS_REFUSED,
                                 "unexpected reply to stream.lua", NULL);
        return;
    }

    if (ngx_cred_greeting_is_registry(env)) {
        ngx_cred_greeting_reject(env, NGX_CRED_REDIS_REFUSED,
                                 "this environment is the registry itself",
                                    NULL);
        return;
    }

    has = elts[0]->integer && !env->lost;

    if (!has && !env->more
        && (env->logged_at == 0
            || ngx_current_msec - env->logged_at >= NGX_CRED_LOST_LOGGED))
    {
        env->logged_at = ngx_current_msec;

        ngx_log_error(NGX_LOG_WARN, ngx_cred_redis_log(env->redis), 0,
                      "environment has lost its memory of undeployments");
    }

    if (env->more) {
        ngx_cred_turn_wait(&env->turn);
        return;
    }

    ngx_cred_greeting_ask(env, has ? "admit" : "lost");
}


/* the same Redis, database and prefix */

static ngx_uint_t
ngx_cred_greeting_is_registry(ngx_cred_environment_t *env)
{
    ngx_str_t         *prefix;
    ngx_cred_redis_t  *registry;

    if (env->run_id.str.len == 0
        || env->run_id.str.len != env->registry_run_id.str.len
        || ngx_memcmp(env->run_id.data, env->registry_run_id.data,
                      env->run_id.str.len) != 0)
    {
        return 0;
    }

    registry = ngx_cred_registry_redis(env->registry);

    if (registry == NULL
        || ngx_cred_redis_db(registry) != ngx_cred_redis_db(env->redis))
    {
        return 0;
    }

    prefix = ngx_cred_redis_prefix(env->redis);

    return prefix->len == env->registry->prefix.len
           && ngx_memcmp(prefix->data, env->registry->prefix.data, prefix->len)
              == 0;
}


static ngx_int_t
ngx_cred_greeting_keep(ngx_cred_position_t *position,
    ngx_cred_redis_reply_t *reply)
{
    if (reply->type != NGX_CRED_REDIS_STRING
        || reply->str.len > NGX_CRED_POSITION_LEN)
    {
        return NGX_ERROR;
    }

    ngx_memcpy(position->data, reply->str.data, reply->str.len);

    position->str.data = position->data;
    position->str.len = reply->str.len;

    return NGX_OK;
}


static ngx_uint_t
ngx_cred_greeting_is(ngx_str_t *s, const char *word)
{
    return s->len == ngx_strlen(word)
           && ngx_strncmp(s->data, word, s->len) == 0;
}


ngx_uint_t
ngx_cred_greeting_tell(ngx_cred_turn_t *turn)
{
    ngx_cred_environment_t  *env;

    env = turn->data;

    ngx_cred_greeting_ask(env, "more");

    return env->asking;
}


/* that is no fault of the environment */

static void
ngx_cred_greeting_unavailable(ngx_cred_environment_t *env, ngx_str_t *error)
{
    env->excused = 1;

    ngx_cred_greeting_reject(env, NGX_CRED_REDIS_UNREACHABLE, "registry:",
                             error);
}


void
ngx_cred_greeting_reject(ngx_cred_environment_t *env, ngx_uint_t status,
    const char *reason, ngx_str_t *detail)
{
    u_char     buf[NGX_MAX_ERROR_STR], *p, *last;
    ngx_str_t  text;

    last = buf + NGX_MAX_ERROR_STR;

    p = ngx_slprintf(buf, last, "%s", reason);

    if (detail) {
        p = ngx_slprintf(p, last, " %V", detail);
    }

    text.data = buf;
    text.len = p - buf;

    ngx_cred_redis_reject(env->redis, status, &text);
}
