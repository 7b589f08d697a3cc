
/*
 * Copyright (C) ngx_cred_module authors
 * SPDX-License-Identifier: BSD-2-Clause
 */


/*
 * Connections to environments.  Before anything is undeployed by a new one, its
 * greeting compares how far the environment's stream of undeployments has come
 * with what the registry knows of it.  An environment that has lost its memory
 * is told again: the registry makes pending what was settled there.  Calls of a
 * connection are counted by the environment, so that a loss between two of them
 * is noticed, too.
 *
 *     again.lua "ask" (registry) -> stream.lua (environment)
 *         -> again.lua "admit", or "lost" and "more" (registry)
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>
#include <openssl/rand.h>
#include <ngx_cred_core.h>
#include <ngx_cred_turn.h>
#include <ngx_cred_undeployment.h>


#define NGX_CRED_GREETING_ASK     4   /* elements of replies of again.lua */
#define NGX_CRED_GREETING_NEXT    3
#define NGX_CRED_GREETING_STREAM  4   /* and of stream.lua */

#define NGX_CRED_GREETING_CHANGES  16  /* of the epoch, in one greeting */

#define NGX_CRED_POSITION_LEN     64  /* of an epoch, an id ... */
#define NGX_CRED_CONNECTION_LEN   16  /* what is random in its key */
#define NGX_CRED_LOST_PAUSE       10000  /* between losses of memory, in ms */
#define NGX_CRED_LOST_LOGGED      60000  /* and between lines that say so */


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
    unsigned                     looking:1;
    unsigned                     more:1;     /* is to be told */
    unsigned                     lost:1;     /* it has to be, since its calls
                                                were not counted on, unless
                                                this epoch is over */
    unsigned                     kept:1;     /* the key is: no call is on its
                                                way that would be counted */
} ngx_cred_environment_t;


static ngx_cred_environment_t *ngx_cred_environment_create(
    ngx_cred_redis_t *redis, ngx_cred_registry_t *registry);
static void ngx_cred_environment_free(ngx_cred_environment_t *env);
static void ngx_cred_environment_ask(ngx_cred_environment_t *env,
    const char *what);
static void ngx_cred_environment_asked(ngx_cred_redis_command_t *command,
    ngx_cred_redis_reply_t *reply);
static void ngx_cred_environment_next(ngx_cred_environment_t *env,
    ngx_cred_redis_reply_t *reply);
static void ngx_cred_environment_look(ngx_cred_environment_t *env);
static ngx_int_t ngx_cred_environment_key(ngx_cred_environment_t *env);
static void ngx_cred_environment_looked(ngx_cred_redis_command_t *command,
    ngx_cred_redis_reply_t *reply);
static ngx_uint_t ngx_cred_environment_is_registry(
    ngx_cred_environment_t *env);
static ngx_int_t ngx_cred_environment_keep(ngx_cred_position_t *position,
    ngx_cred_redis_reply_t *reply);
static ngx_uint_t ngx_cred_environment_is(ngx_str_t *s, const char *word);
static ngx_uint_t ngx_cred_environment_tell(ngx_cred_turn_t *turn);
static void ngx_cred_environment_reject(ngx_cred_environment_t *env,
    ngx_uint_t status, const char *reason, ngx_str_t *detail);


ngx_cred_redis_t *
ngx_cred_environment_redis(ngx_cred_registry_t *registry, ngx_str_t *name,
    ngx_str_t *url, char **err)
{
    return ngx_cred_redis_get(&registry->environments, url, "environment",
                              name, err);
}


ngx_str_t *
ngx_cred_environment_epoch(ngx_cred_redis_t *redis)
{
    ngx_cred_environment_t  *env;

    env = ngx_cred_redis_context(redis);

    return &env->epoch.str;
}


ngx_str_t *
ngx_cred_environment_connection(ngx_cred_redis_t *redis)
{
    ngx_cred_environment_t  *env;

    env = ngx_cred_redis_context(redis);

    return &env->connection;
}


ngx_int_t
ngx_cred_environment_count(ngx_cred_redis_t *redis, ngx_int_t count,
    ngx_uint_t next)
{
    ngx_cred_environment_t  *env;

    env = ngx_cred_redis_context(redis);

    if (env->count == NGX_ERROR) {
        return NGX_DECLINED;
    }

    /* "count" is not negative, and either may be the largest number */

    if (count - (next ? 1 : 0) == env->count) {
        env->count = count;
        return NGX_OK;
    }

    env->count = NGX_ERROR;
    env->lost = 1;

    ngx_cred_redis_regreet(redis);

    return NGX_DECLINED;
}


void
ngx_cred_environment_refresh(ngx_cred_redis_t *redis, ngx_msec_t after)
{
    ngx_cred_environment_t  *env;

    env = ngx_cred_redis_context(redis);

    if (env && ngx_current_msec - env->greeted_at > after
        && ngx_cred_redis_idle(redis))
    {
        env->kept = 1;
        ngx_cred_redis_regreet(redis);
    }
}


void
ngx_cred_environment_stale(ngx_cred_redis_t *redis, ngx_str_t *epoch)
{
    ngx_cred_environment_t  *env;

    env = ngx_cred_redis_context(redis);

    /* unless somebody else has told of it, and it is greeted anew already */

    if (env != NULL && env->epoch.str.len == epoch->len
        && ngx_memcmp(env->epoch.data, epoch->data, epoch->len) == 0)
    {
        ngx_log_error(NGX_LOG_NOTICE, ngx_cred_redis_log(redis), 0,
                      "environment has restarted or lost its memory meanwhile, "
                      "what it has done since is done again");

        env->epoch.str.len = 0;
        ngx_cred_redis_regreet(redis);
    }
}


void
ngx_cred_environment_greet(ngx_cred_redis_t *redis, void *data)
{
    ngx_str_t                reason;
    ngx_cred_environment_t  *env;

    env = ngx_cred_redis_context(redis);

    if (env == NULL) {
        env = ngx_cred_environment_create(redis, data);

        if (env == NULL) {
            ngx_str_set(&reason, "no memory");
            ngx_cred_redis_reject(redis, NGX_CRED_REDIS_UNREACHABLE, &reason);
            return;
        }

        ngx_cred_redis_set_context(redis, env);
    }

    env->told = 0;
    env->changes = 0;
    env->greeted_at = ngx_current_msec;

    /* one that cannot count must not keep the registry busy */

    if (env->lost && env->told_at
        && ngx_current_msec - env->told_at < NGX_CRED_LOST_PAUSE)
    {
        ngx_cred_environment_reject(env, NGX_CRED_REDIS_REFUSED,
                                    "environment loses its memory again and "
                                    "again", NULL);
        return;
    }

    ngx_cred_environment_ask(env, "ask");
}


void
ngx_cred_environment_abandon(ngx_cred_redis_t *redis, void *data)
{
    ngx_cred_environment_t  *env;

    env = ngx_cred_redis_context(redis);

    if (env == NULL) {
        return;
    }

    ngx_cred_redis_set_context(redis, NULL);

    env->redis = NULL;

    ngx_cred_turn_leave(&env->turn);
    ngx_cred_environment_free(env);
}


static ngx_cred_environment_t *
ngx_cred_environment_create(ngx_cred_redis_t *redis,
    ngx_cred_registry_t *registry)
{
    u_char                  *p;
    ngx_str_t               *name, *prefix;
    ngx_pool_t              *pool;
    ngx_cred_environment_t  *env;

    pool = ngx_create_pool(2048, ngx_cycle->log);
    if (pool == NULL) {
        return NULL;
    }

    name = ngx_cred_redis_name(redis);
    prefix = ngx_cred_redis_prefix(redis);

    env = ngx_pcalloc(pool, sizeof(ngx_cred_environment_t));
    p = ngx_pnalloc(pool, name->len + 2 * prefix->len
                          + sizeof(":undeployments") - 1
                          + sizeof(":connection:") - 1
                          + NGX_CRED_CONNECTION_LEN);

    if (env == NULL || p == NULL) {
        ngx_destroy_pool(pool);
        return NULL;
    }

    env->pool = pool;
    env->registry = registry;
    env->redis = redis;

    env->turn.redis = redis;
    env->turn.handler = ngx_cred_environment_tell;
    env->turn.data = env;

    env->name.data = p;
    env->name.len = name->len;
    p = ngx_cpymem(p, name->data, name->len);

    env->look_shared[0].data = p;
    p = ngx_cpymem(p, prefix->data, prefix->len);
    p = ngx_cpymem(p, ":undeployments", sizeof(":undeployments") - 1);
    env->look_shared[0].len = p - env->look_shared[0].data;

    env->look_shared[1].data = env->look_shared[0].data;
    env->look_shared[1].len = prefix->len;

    env->connection.data = p;
    p = ngx_cpymem(p, prefix->data, prefix->len);
    p = ngx_cpymem(p, ":connection:", sizeof(":connection:") - 1);
    env->connection.len = p - env->connection.data + NGX_CRED_CONNECTION_LEN;

    env->ask_shared[0] = registry->positions;
    env->ask_shared[1] = registry->prefix;

    return env;
}


/* commands that are under way still need it */

static void
ngx_cred_environment_free(ngx_cred_environment_t *env)
{
    if (env->redis == NULL && !env->asking && !env->looking) {
        ngx_destroy_pool(env->pool);
    }
}


static void
ngx_cred_environment_ask(ngx_cred_environment_t *env, const char *what)
{
    ngx_str_t         *arg;
    ngx_cred_redis_t  *registry;

    arg = env->ask_args;

    *arg++ = env->name;

    env->what.data = (u_char *) what;
    env->what.len = ngx_strlen(what);

    *arg++ = env->what;

    if (!ngx_cred_environment_is(&env->what, "ask")) {
        *arg++ = env->epoch.str;
        *arg++ = env->last_id.str;
        *arg++ = env->run_id.str;
        *arg++ = env->id.str;
    }

    env->ask.script = &ngx_cred_again_script;
    env->ask.shared = env->ask_shared;
    env->ask.args = env->ask_args;
    env->ask.nargs = arg - env->ask_args;
    env->ask.handler = ngx_cred_environment_asked;
    env->ask.closing = 1;
    env->ask.data = env;

    registry = ngx_cred_registry_redis(env->registry);

    if (registry == NULL) {
        ngx_cred_environment_reject(env, NGX_CRED_REDIS_UNREACHABLE,
                                    "no connection to the registry", NULL);
        return;
    }

    if (ngx_cred_redis_eval(registry, &env->ask) != NGX_OK) {
        ngx_cred_environment_reject(env, NGX_CRED_REDIS_UNREACHABLE,
                                    "registry:", &env->ask.error);
        return;
    }

    env->asking = 1;
}


static void
ngx_cred_environment_asked(ngx_cred_redis_command_t *command,
    ngx_cred_redis_reply_t *reply)
{
    ngx_cred_position_t       epoch;
    ngx_cred_environment_t   *env;
    ngx_cred_redis_reply_t  **elts;

    env = command->data;

    env->asking = 0;

    if (ngx_cred_environment_is(&env->what, "more")) {
        ngx_cred_turn_over();
    }

    if (env->redis == NULL) {
        ngx_cred_environment_free(env);
        return;
    }

    if (command->status != NGX_CRED_REDIS_OK) {
        ngx_cred_environment_reject(env, NGX_CRED_REDIS_UNREACHABLE,
                                    "registry:", &command->error);
        return;
    }

    if (!ngx_cred_environment_is(&env->what, "ask")) {
        ngx_cred_environment_next(env, reply);
        return;
    }

    elts = reply->elts;
    epoch = env->epoch;

    if (reply->type != NGX_CRED_REDIS_ARRAY
        || reply->nelts != NGX_CRED_GREETING_ASK
        || ngx_cred_environment_keep(&env->epoch, elts[0]) != NGX_OK
        || ngx_cred_environment_keep(&env->id, elts[1]) != NGX_OK
        || elts[2]->type != NGX_CRED_REDIS_STRING
        || ngx_cred_environment_keep(&env->registry_run_id, elts[3]) != NGX_OK)
    {
        ngx_cred_environment_reject(env, NGX_CRED_REDIS_UNREACHABLE,
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

    ngx_cred_environment_look(env);
}


static void
ngx_cred_environment_next(ngx_cred_environment_t *env,
    ngx_cred_redis_reply_t *reply)
{
    ngx_str_t                *word;
    ngx_cred_redis_t         *redis;
    ngx_cred_redis_reply_t  **elts;

    elts = reply->elts;

    if (reply->type != NGX_CRED_REDIS_ARRAY
        || reply->nelts != NGX_CRED_GREETING_NEXT
        || elts[0]->type != NGX_CRED_REDIS_STRING
        || ngx_cred_environment_keep(&env->epoch, elts[1]) != NGX_OK
        || elts[2]->type != NGX_CRED_REDIS_INTEGER)
    {
        ngx_cred_environment_reject(env, NGX_CRED_REDIS_UNREACHABLE,
                                    "unexpected reply to again.lua", NULL);
        return;
    }

    redis = env->redis;
    word = &elts[0]->str;
    env->told += elts[2]->integer;

    if (ngx_cred_environment_is(word, "admitted")) {

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

    if (ngx_cred_environment_is(word, "more")) {
        ngx_cred_turn_wait(&env->turn);
        return;
    }

    /* changed: the epoch is another one */

    env->lost = 0;

    ngx_cred_turn_leave(&env->turn);

    if (++env->changes > NGX_CRED_GREETING_CHANGES) {
        ngx_cred_environment_reject(env, NGX_CRED_REDIS_UNREACHABLE,
                                    "registry: another epoch each time", NULL);
        return;
    }

    ngx_cred_environment_ask(env, "ask");
}


static void
ngx_cred_environment_look(ngx_cred_environment_t *env)
{
    if (ngx_cred_environment_key(env) != NGX_OK) {
        ngx_cred_environment_reject(env, NGX_CRED_REDIS_UNREACHABLE,
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
    env->look.handler = ngx_cred_environment_looked;
    env->look.closing = 1;
    env->look.greeting = 1;
    env->look.data = env;

    if (ngx_cred_redis_eval(env->redis, &env->look) != NGX_OK) {
        ngx_cred_environment_reject(env, NGX_CRED_REDIS_UNREACHABLE,
                                    "no room for a greeting", NULL);
        return;
    }

    env->looking = 1;
}


/* a key that no other connection has, and a number that is no other's */

static ngx_int_t
ngx_cred_environment_key(ngx_cred_environment_t *env)
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
ngx_cred_environment_looked(ngx_cred_redis_command_t *command,
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
        ngx_cred_environment_reject(env, NGX_CRED_REDIS_REFUSED, "refused:",
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
        || ngx_cred_environment_keep(&env->last_id, elts[1]) != NGX_OK
        || ngx_cred_environment_keep(&env->run_id, elts[2]) != NGX_OK
        || ngx_cred_environment_keep(&env->start, elts[3]) != NGX_OK
        || (env->count = ngx_atoi(env->start.data, env->start.str.len))
           == NGX_ERROR)
    {
        ngx_cred_environment_reject(env, NGX_CRED_REDIS_REFUSED,
                                    "unexpected reply to stream.lua", NULL);
        return;
    }

    if (ngx_cred_environment_is_registry(env)) {
        ngx_cred_environment_reject(env, NGX_CRED_REDIS_REFUSED,
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

    ngx_cred_environment_ask(env, has ? "admit" : "lost");
}


/* the same Redis, database and prefix */

static ngx_uint_t
ngx_cred_environment_is_registry(ngx_cred_environment_t *env)
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
ngx_cred_environment_keep(ngx_cred_position_t *position,
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
ngx_cred_environment_is(ngx_str_t *s, const char *word)
{
    return s->len == ngx_strlen(word)
           && ngx_strncmp(s->data, word, s->len) == 0;
}


static ngx_uint_t
ngx_cred_environment_tell(ngx_cred_turn_t *turn)
{
    ngx_cred_environment_t  *env;

    env = turn->data;

    ngx_cred_environment_ask(env, "more");

    return env->asking;
}


static void
ngx_cred_environment_reject(ngx_cred_environment_t *env, ngx_uint_t status,
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
