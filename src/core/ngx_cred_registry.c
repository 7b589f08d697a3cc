
/*
 * Copyright (C) ngx_cred_module authors
 * SPDX-License-Identifier: BSD-2-Clause
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>
#include <ngx_cred_connector.h>
#include <ngx_cred_core.h>
#include <ngx_cred_fence.h>
#include <ngx_cred_status.h>
#include <ngx_cred_undeployment.h>
#include <ngx_cred_scripts.h>


#define NGX_CRED_CALL          32   /* commands in one call of a script */

/* how much longer than an attempt a claim lasts, in milliseconds */
#define NGX_CRED_LEASE_MARGIN  1000


static ngx_int_t ngx_cred_registry_lease(ngx_cred_registry_t *registry,
    ngx_pool_t *pool);
static ngx_int_t ngx_cred_registry_identity(ngx_cred_registry_t *registry,
    ngx_cred_redis_conf_t *conf, const char *kind, ngx_pool_t *pool);
static ngx_int_t ngx_cred_registry_key(ngx_pool_t *pool, ngx_str_t *s,
    ngx_str_t *prefix, const char *name);
static ngx_int_t ngx_cred_registry_number(ngx_pool_t *pool, ngx_str_t *s,
    ngx_msec_t n);


ngx_cred_redis_script_t  ngx_cred_delete_script = {
    ngx_string("delete.lua"),
    ngx_string(NGX_CRED_SCRIPT_DELETE),
    ngx_string(NGX_CRED_SCRIPT_DELETE_SHA),
    NGX_CRED_CALL, NGX_CRED_DELETE_SHARED, NGX_CRED_DELETE_WHOLE,
    NGX_CRED_DELETE_OWN, 1
};


ngx_cred_redis_script_t  ngx_cred_undeploy_script = {
    ngx_string("undeploy.lua"),
    ngx_string(NGX_CRED_SCRIPT_UNDEPLOY),
    ngx_string(NGX_CRED_SCRIPT_UNDEPLOY_SHA),
    NGX_CRED_CALL, NGX_CRED_UNDEPLOY_SHARED, NGX_CRED_UNDEPLOY_WHOLE,
    NGX_CRED_UNDEPLOY_OWN, 0
};


ngx_cred_redis_script_t  ngx_cred_effective_script = {
    ngx_string("effective.lua"),
    ngx_string(NGX_CRED_SCRIPT_EFFECTIVE),
    ngx_string(NGX_CRED_SCRIPT_EFFECTIVE_SHA),
    NGX_CRED_CALL, NGX_CRED_EFFECTIVE_SHARED, 0, 1, 0
};


ngx_cred_redis_script_t  ngx_cred_acknowledge_script = {
    ngx_string("acknowledge.lua"),
    ngx_string(NGX_CRED_SCRIPT_ACKNOWLEDGE),
    ngx_string(NGX_CRED_SCRIPT_ACKNOWLEDGE_SHA),
    NGX_CRED_CALL, NGX_CRED_ACKNOWLEDGE_SHARED, 0, 1, 0
};


ngx_cred_redis_script_t  ngx_cred_claim_script = {
    ngx_string("claim.lua"),
    ngx_string(NGX_CRED_SCRIPT_CLAIM),
    ngx_string(NGX_CRED_SCRIPT_CLAIM_SHA),
    1, NGX_CRED_CLAIM_SHARED, 0, 1, 0
};


ngx_cred_redis_script_t  ngx_cred_again_script = {
    ngx_string("again.lua"),
    ngx_string(NGX_CRED_SCRIPT_AGAIN),
    ngx_string(NGX_CRED_SCRIPT_AGAIN_SHA),
    1, NGX_CRED_AGAIN_SHARED, 0, 1, 0
};


ngx_cred_redis_script_t  ngx_cred_stream_script = {
    ngx_string("stream.lua"),
    ngx_string(NGX_CRED_SCRIPT_STREAM),
    ngx_string(NGX_CRED_SCRIPT_STREAM_SHA),
    1, NGX_CRED_STREAM_SHARED, 0, 1, 0
};


/* in the order of the enums */

static ngx_str_t  ngx_cred_result_names[] = {
    ngx_string("deleted"),
    ngx_string("resumed"),
    ngx_string("unauthorized"),
    ngx_string("invalid"),
    ngx_string("scope_not_found"),
    ngx_string("rate_limited"),
    ngx_string("forbidden"),
    ngx_string("not_found"),
    ngx_string("in_use"),
    ngx_string("superseded"),
    ngx_string("unavailable")
};


static ngx_str_t  ngx_cred_state_names[] = {
    ngx_string("pending"),
    ngx_string("undeployed"),
    ngx_string("not_deployed"),
    ngx_string("superseded"),
    ngx_string("unregistered")
};


ngx_int_t
ngx_cred_registry_init(ngx_cred_registry_t *registry, ngx_pool_t *pool)
{
    registry->environments.prefix = registry->prefix;
    registry->environments.greet = ngx_cred_environment_greet;
    registry->environments.abandon = ngx_cred_environment_abandon;
    registry->environments.changed = ngx_cred_status_environment_changed;
    registry->environments.data = registry;

    registry->redis.changed = ngx_cred_status_registry_changed;
    registry->redis.data = registry;

    registry->number = NGX_CRED_REGISTRY_UNNUMBERED;

    if (ngx_cred_registry_identity(registry, &registry->redis, "registry", pool)
        != NGX_OK
        || ngx_cred_registry_identity(registry, &registry->environments,
                                      "environment", pool)
           != NGX_OK
        || ngx_cred_registry_key(pool, &registry->audit, &registry->prefix,
                                 ":audit")
           != NGX_OK
        || ngx_cred_registry_key(pool, &registry->positions,
                                 &registry->prefix, ":positions")
           != NGX_OK)
    {
        return NGX_ERROR;
    }

    registry->redis.key = registry->audit;

    registry->acknowledge[0] = registry->audit;
    registry->acknowledge[1] = registry->prefix;

    if (ngx_cred_registry_lease(registry, pool) != NGX_OK
        || ngx_cred_registry_number(pool, &registry->keep,
                                    registry->unregistered_delay)
           != NGX_OK
        || ngx_cred_registry_number(pool, &registry->acknowledge[2],
                                    registry->retry_min)
           != NGX_OK
        || ngx_cred_registry_number(pool, &registry->acknowledge[3],
                                    registry->retry_max)
           != NGX_OK
        || ngx_cred_registry_number(pool, &registry->entries,
                                    registry->audit_length)
           != NGX_OK)
    {
        return NGX_ERROR;
    }

    registry->acknowledge[4] = registry->entries;

    if (registry->wait.replicas) {
        registry->fence = ngx_cred_fence_create(registry, pool);
        if (registry->fence == NULL) {
            return NGX_ERROR;
        }
    }

    return NGX_OK;
}


ngx_int_t
ngx_cred_registry_connect(ngx_cred_registry_t *registry,
    ngx_array_t *connectors, ngx_pool_t *pool)
{
    registry->connectors = connectors;

    return ngx_cred_registry_lease(registry, pool);
}


/* as long as an attempt may take, of whichever kind */

static ngx_int_t
ngx_cred_registry_lease(ngx_cred_registry_t *registry, ngx_pool_t *pool)
{
    ngx_uint_t              i;
    ngx_msec_t              longest;
    ngx_cred_connector_t  **connectors;

    longest = registry->redis.connect_timeout + registry->redis.command_timeout;

    if (registry->connectors) {
        connectors = registry->connectors->elts;

        for (i = 0; i < registry->connectors->nelts; i++) {
            longest = ngx_max(longest, connectors[i]->timeout);
        }
    }

    return ngx_cred_registry_number(pool, &registry->lease,
                                    longest + NGX_CRED_LEASE_MARGIN);
}


/*
 * Connections are shared between all levels of the configuration that agree on
 * what matters to them.
 */

static ngx_int_t
ngx_cred_registry_identity(ngx_cred_registry_t *registry,
    ngx_cred_redis_conf_t *conf, const char *kind, ngx_pool_t *pool)
{
    u_char     *p;
    ngx_str_t  *password, *sentinel;

    password = ngx_cred_redis_password_path(registry->redis.password);
    sentinel = ngx_cred_redis_password_path(registry->redis.sentinel_password);

    p = ngx_pnalloc(pool, ngx_strlen(kind) + sizeof("       ")
                          + 6 * NGX_INT_T_LEN + registry->prefix.len
                          + password->len + sentinel->len
                          + conf->net.ssl_digest.len + registry->url.len);
    if (p == NULL) {
        return NGX_ERROR;
    }

    conf->identity.data = p;

    p = ngx_sprintf(p, "%s %M %M %uz %uz %uz %uz %V%V%V%V%V", kind,
                    conf->connect_timeout, conf->command_timeout,
                    registry->prefix.len, password->len, sentinel->len,
                    conf->net.ssl_digest.len, &registry->prefix, password,
                    sentinel, &conf->net.ssl_digest, &registry->url);

    conf->identity.len = p - conf->identity.data;

    return NGX_OK;
}


static ngx_int_t
ngx_cred_registry_key(ngx_pool_t *pool, ngx_str_t *s, ngx_str_t *prefix,
    const char *name)
{
    s->data = ngx_pnalloc(pool, prefix->len + ngx_strlen(name));
    if (s->data == NULL) {
        return NGX_ERROR;
    }

    s->len = ngx_sprintf(s->data, "%V%s", prefix, name) - s->data;

    return NGX_OK;
}


static ngx_int_t
ngx_cred_registry_number(ngx_pool_t *pool, ngx_str_t *s, ngx_msec_t n)
{
    s->data = ngx_pnalloc(pool, NGX_INT_T_LEN);
    if (s->data == NULL) {
        return NGX_ERROR;
    }

    s->len = ngx_sprintf(s->data, "%M", n) - s->data;

    return NGX_OK;
}


ngx_cred_redis_t *
ngx_cred_registry_redis(ngx_cred_registry_t *registry)
{
    char              *err;
    ngx_cred_redis_t  *redis;

    redis = ngx_cred_redis_get(&registry->redis, &registry->url, "registry",
                               NULL, &err);

    if (redis == NULL) {
        ngx_log_error(NGX_LOG_ERR, ngx_cycle->log, 0, "registry: %s", err);
    }

    return redis;
}


ngx_str_t *
ngx_cred_result_name(ngx_cred_result_e result)
{
    return &ngx_cred_result_names[result];
}


ngx_str_t *
ngx_cred_state_name(ngx_cred_state_e state)
{
    return &ngx_cred_state_names[state];
}


ngx_cred_state_e
ngx_cred_state(ngx_str_t *name)
{
    ngx_uint_t  i;

    for (i = 0; i < NGX_CRED_NSTATES; i++) {

        if (name->len == ngx_cred_state_names[i].len
            && ngx_strncmp(name->data, ngx_cred_state_names[i].data, name->len)
               == 0)
        {
            return i;
        }
    }

    return NGX_CRED_PENDING;
}
