
/*
 * Copyright (C) ngx_cred_module authors
 * SPDX-License-Identifier: BSD-2-Clause
 */


/* connections to environments, and what is known of each */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>
#include <ngx_cred_environment.h>


#define NGX_CRED_LOST_PAUSE       10000  /* between losses of memory, in ms */


static ngx_cred_environment_t *ngx_cred_environment_create(
    ngx_cred_redis_t *redis, ngx_cred_registry_t *registry);


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


ngx_uint_t
ngx_cred_environment_excused(ngx_cred_redis_t *redis)
{
    ngx_uint_t               excused;
    ngx_cred_environment_t  *env;

    env = ngx_cred_redis_context(redis);

    if (env == NULL) {
        return 0;
    }

    excused = env->asking || env->excused;
    env->excused = 0;

    return excused;
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
        ngx_cred_greeting_reject(env, NGX_CRED_REDIS_REFUSED,
                                    "environment loses its memory again and "
                                    "again", NULL);
        return;
    }

    ngx_cred_greeting_ask(env, "ask");
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
    env->turn.handler = ngx_cred_greeting_tell;
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

void
ngx_cred_environment_free(ngx_cred_environment_t *env)
{
    if (env->redis == NULL && !env->asking && !env->looking) {
        ngx_destroy_pool(env->pool);
    }
}
