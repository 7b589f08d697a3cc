
/*
 * Copyright (C) ngx_cred_module authors
 * SPDX-License-Identifier: BSD-2-Clause
 */


/* what happens is counted */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_cred_lock.h>
#include <ngx_cred_status_memory.h>
#include <ngx_cred_undeployment.h>


#define ngx_cred_status_add(p, n)                                             \
    (void) __atomic_fetch_add(p, n, __ATOMIC_RELAXED)


static void ngx_cred_status_observe(ngx_cred_status_histogram_t *histogram,
    ngx_msec_t ms);
static void ngx_cred_status_changed(ngx_cred_status_redis_t *redis,
    ngx_str_t *error, ngx_msec_t retry);
static void ngx_cred_status_state(ngx_cred_status_redis_t *redis,
    ngx_cred_status_state_e state);
static void ngx_cred_status_error(ngx_cred_status_redis_t *redis,
    ngx_str_t *error);


void
ngx_cred_status_deleted(ngx_uint_t api, ngx_cred_result_e result)
{
    ngx_cred_status_t  *status;

    status = ngx_cred_status_current();

    if (status && api < NGX_CRED_STATUS_APIS) {
        ngx_cred_status_add(&status->deletes[api][result], 1);
    }
}


void
ngx_cred_status_accessed(ngx_cred_status_access_e result)
{
    ngx_cred_status_t  *status;

    status = ngx_cred_status_current();

    if (status) {
        ngx_cred_status_add(&status->access[result], 1);
    }
}


void
ngx_cred_status_looked_up(ngx_uint_t hit)
{
    ngx_cred_status_t  *status;

    status = ngx_cred_status_current();

    if (status) {
        ngx_cred_status_add(&status->lookups[hit], 1);
    }
}


void
ngx_cred_status_attempted(ngx_cred_registry_t *registry, ngx_str_t *name,
    ngx_cred_state_e state, ngx_cred_reason_e reason, ngx_msec_t duration,
    ngx_msec_t effect)
{
    ngx_uint_t                      n;
    ngx_cred_status_environment_t  *environment;

    environment = ngx_cred_status_environment(registry, name);
    if (environment == NULL) {
        return;
    }

    n = (state == NGX_CRED_PENDING) ? NGX_CRED_NSTATES + reason : state;

    ngx_cred_status_add(&environment->attempts[n], 1);

    /* a newer copy of what is superseded is accepted there */

    if (state == NGX_CRED_PENDING || state == NGX_CRED_UNREGISTERED
        || state == NGX_CRED_SUPERSEDED)
    {
        return;
    }

    ngx_cred_status_observe(&environment->undeployment, duration);
    ngx_cred_status_observe(&environment->effect, effect);
}


static void
ngx_cred_status_observe(ngx_cred_status_histogram_t *histogram, ngx_msec_t ms)
{
    ngx_uint_t  i;

    for (i = 0; i < NGX_CRED_STATUS_BUCKETS - 1; i++) {
        if (ms <= ngx_cred_status_bounds[i]) {
            break;
        }
    }

    ngx_cred_status_add(&histogram->counts[i], 1);
    ngx_cred_status_add(&histogram->sum, ms);
}


void
ngx_cred_status_registry_changed(ngx_cred_redis_t *redis, ngx_str_t *error,
    ngx_msec_t retry, void *data)
{
    ngx_cred_status_redis_t  *place;

    place = ngx_cred_status_find_registry(data);

    if (place) {
        ngx_cred_status_changed(place, error, retry);
    }
}


void
ngx_cred_status_claimed(ngx_cred_registry_t *registry)
{
    ngx_cred_status_t  *status;

    if (ngx_cred_status_find_registry(registry)) {
        status = ngx_cred_status_current();

        __atomic_store_n(&status->registries[registry->number].claimed_at,
                         ngx_cred_status_now(), __ATOMIC_RELAXED);
    }
}


void
ngx_cred_status_registry_refused(ngx_cred_registry_t *registry,
    ngx_str_t *error)
{
    u_char                    buf[NGX_CRED_STATUS_ERROR_LEN];
    ngx_str_t                 text;
    ngx_cred_status_redis_t  *place;

    place = ngx_cred_status_find_registry(registry);

    if (place) {
        text.data = buf;
        text.len = ngx_slprintf(buf, buf + sizeof(buf), "refused a delete: %V",
                                error)
                   - buf;

        ngx_cred_status_error(place, &text);
    }
}


void
ngx_cred_status_environment_changed(ngx_cred_redis_t *redis, ngx_str_t *error,
    ngx_msec_t retry, void *data)
{
    ngx_cred_status_environment_t  *environment;

    if (error == NULL || !ngx_cred_environment_excused(redis)) {
        ngx_cred_status_connector_changed(ngx_cred_redis_name(redis), error,
                                          retry, data);
        return;
    }

    environment = ngx_cred_status_environment(data, ngx_cred_redis_name(redis));

    if (environment) {
        ngx_cred_status_error(&environment->redis, error);
    }
}


void
ngx_cred_status_connector_changed(ngx_str_t *name, ngx_str_t *error,
    ngx_msec_t retry, void *data)
{
    ngx_cred_status_environment_t  *environment;

    environment = ngx_cred_status_environment(data, name);

    if (environment) {
        ngx_cred_status_changed(&environment->redis, error, retry);
    }
}


void
ngx_cred_status_connector_refused(ngx_cred_registry_t *registry,
    ngx_str_t *name, ngx_str_t *error)
{
    ngx_cred_status_environment_t  *environment;

    environment = ngx_cred_status_environment(registry, name);

    if (environment) {
        ngx_cred_status_error(&environment->redis, error);
    }
}


void
ngx_cred_status_connector_answered(ngx_cred_registry_t *registry,
    ngx_str_t *name)
{
    ngx_cred_status_environment_t  *environment;

    environment = ngx_cred_status_environment(registry, name);

    /* where attempts to connect are made, they tell */

    if (environment && ngx_cred_status_load(&environment->redis.retry_at) == 0)
    {
        ngx_cred_status_state(&environment->redis, NGX_CRED_STATUS_UP);
    }
}


void
ngx_cred_status_environment_failed(ngx_cred_registry_t *registry,
    ngx_str_t *name, ngx_str_t *error)
{
    ngx_cred_status_connector_changed(name, error, 0, registry);
}


/* one of them may be cut off while the others are not: one has the say */

static void
ngx_cred_status_changed(ngx_cred_status_redis_t *redis, ngx_str_t *error,
    ngx_msec_t retry)
{
    uint64_t           retry_at;
    ngx_atomic_uint_t  watcher;

    if (error) {
        ngx_cred_status_error(redis, error);
    }

    watcher = redis->watcher;

    if (watcher && watcher != (ngx_atomic_uint_t) ngx_pid) {
        return;
    }

    retry_at = (error && retry) ? ngx_cred_status_now() + retry : 0;

    __atomic_store_n(&redis->retry_at, retry_at, __ATOMIC_RELAXED);

    ngx_cred_status_state(redis, error ? NGX_CRED_STATUS_DOWN
                                       : NGX_CRED_STATUS_UP);
}


/* it has been so since it became so */

static void
ngx_cred_status_state(ngx_cred_status_redis_t *redis,
    ngx_cred_status_state_e state)
{
    uint64_t  old, word;

    old = ngx_cred_status_load(&redis->changed);
    word = ngx_cred_status_now() << NGX_CRED_STATUS_STATE_BITS | state;

    while ((old & NGX_CRED_STATUS_STATE_MASK) != state
           && !__atomic_compare_exchange_n(&redis->changed, &old, word, 0,
                                           __ATOMIC_RELAXED, __ATOMIC_RELAXED))
    {
        /* void */
    }
}


static void
ngx_cred_status_error(ngx_cred_status_redis_t *redis, ngx_str_t *error)
{
    if (ngx_cred_lock(&redis->lock) == NGX_BUSY) {
        return;
    }

    redis->error_at = ngx_cred_status_now();
    redis->error_len = ngx_min(error->len, NGX_CRED_STATUS_ERROR_LEN);
    ngx_memcpy(redis->error, error->data, redis->error_len);

    ngx_cred_unlock(&redis->lock);
}


void
ngx_cred_status_watch(ngx_cred_registry_t *registry, ngx_str_t *name,
    ngx_uint_t watched)
{
    ngx_atomic_uint_t               watcher;
    ngx_cred_status_redis_t        *redis;
    ngx_cred_status_environment_t  *environment;

    if (name) {
        environment = ngx_cred_status_environment(registry, name);
        redis = environment ? &environment->redis : NULL;

    } else {
        redis = ngx_cred_status_find_registry(registry);
    }

    watcher = watched ? (ngx_atomic_uint_t) ngx_pid : 0;

    if (redis && redis->watcher != watcher) {
        redis->watcher = watcher;
    }
}
