
/*
 * Copyright (C) ngx_cred_module authors
 * SPDX-License-Identifier: BSD-2-Clause
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_cred_lock.h>
#include <ngx_cred_status.h>
#include <ngx_cred_undeployment.h>


#define NGX_CRED_STATUS_REGISTRIES   64
#define NGX_CRED_STATUS_SPARE        4    /* pages that slots leave */

#define NGX_CRED_STATUS_STATE_BITS   2    /* of "changed" */
#define NGX_CRED_STATUS_STATE_MASK   3

#define ngx_cred_status_add(p, n)                                             \
    (void) __atomic_fetch_add(p, n, __ATOMIC_RELAXED)


typedef struct {
    u_char                          hash[NGX_CRED_HASH_LEN];
    ngx_cred_status_redis_t         redis;
} ngx_cred_status_registry_t;


/* slots are found by the hash of a name, each next one if that is taken */

struct ngx_cred_status_s {
    ngx_slab_pool_t                *shpool;
    size_t                          size;
    uint64_t                        start;
    ngx_atomic_t                    full;      /* and it was logged */

    uint64_t                        deletes[NGX_CRED_STATUS_APIS]
                                           [NGX_CRED_NRESULTS];
    uint64_t                        access[NGX_CRED_STATUS_NACCESS];
    uint64_t                        lookups[2];

    ngx_uint_t                      nregistries;
    ngx_uint_t                      crowded;   /* there was one too many */
    ngx_cred_status_registry_t      registries[NGX_CRED_STATUS_REGISTRIES];

    ngx_uint_t                      nused;
    ngx_uint_t                      nslots;
    ngx_cred_status_environment_t  *slots;
};


static ngx_cred_status_t *ngx_cred_status_current(void);
static ngx_int_t ngx_cred_status_registry_hash(ngx_cred_registry_t *registry,
    u_char *hash);
static ngx_cred_status_environment_t *ngx_cred_status_environment(
    ngx_cred_registry_t *registry, ngx_str_t *name);
static ngx_cred_status_environment_t *ngx_cred_status_slot(ngx_uint_t registry,
    ngx_str_t *name, uint32_t hash);
static ngx_uint_t ngx_cred_status_is(ngx_cred_status_environment_t *slot,
    ngx_uint_t registry, ngx_str_t *name, uint32_t hash);
static void ngx_cred_status_observe(ngx_cred_status_histogram_t *histogram,
    ngx_msec_t ms);
static void ngx_cred_status_changed(ngx_cred_status_redis_t *redis,
    ngx_str_t *error, ngx_msec_t retry);
static void ngx_cred_status_state(ngx_cred_status_redis_t *redis,
    ngx_cred_status_state_e state);
static void ngx_cred_status_error(ngx_cred_status_redis_t *redis,
    ngx_str_t *error);
static uint64_t ngx_cred_status_now(void);


ngx_msec_t  ngx_cred_status_bounds[NGX_CRED_STATUS_BUCKETS - 1] = {
    1, 2, 5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10000
};


/* the states are those of receipts, in the order of the enums */

static ngx_str_t  ngx_cred_status_reasons[] = {
    ngx_string("late"),
    ngx_string("unreachable"),
    ngx_string("refused"),
    ngx_string("unconfirmed")
};

static ngx_str_t  ngx_cred_status_access_names[] = {
    ngx_string("allowed"),
    ngx_string("forbidden"),
    ngx_string("unknown"),
    ngx_string("unavailable")
};

static ngx_str_t  ngx_cred_status_states[] = {
    ngx_string("unknown"),
    ngx_string("up"),
    ngx_string("down")
};


/* of this worker and cycle; NULL: nothing is counted */
static ngx_cred_status_t      *ngx_cred_status;
static volatile ngx_cycle_t   *ngx_cred_status_cycle;
static ngx_cred_status_of_pt   ngx_cred_status_of;


ngx_cred_status_t *
ngx_cred_status_create(ngx_slab_pool_t *shpool, ngx_str_t *name,
    ngx_log_t *log)
{
    ngx_cred_status_t  *status;

    shpool->log_nomem = 0;

    status = ngx_slab_calloc(shpool, sizeof(ngx_cred_status_t));
    if (status == NULL) {
        goto failed;
    }

    status->shpool = shpool;
    status->size = shpool->end - (u_char *) shpool;
    status->start = ngx_cred_status_now();

    if (shpool->pfree <= NGX_CRED_STATUS_SPARE) {
        goto failed;
    }

    status->nslots = (shpool->pfree - NGX_CRED_STATUS_SPARE) * ngx_pagesize
                     / sizeof(ngx_cred_status_environment_t);

    status->slots = ngx_slab_calloc(shpool,
                                    status->nslots
                                    * sizeof(ngx_cred_status_environment_t));
    if (status->slots == NULL) {
        goto failed;
    }

    return status;

failed:

    ngx_log_error(NGX_LOG_EMERG, log, 0, "no memory in cred_status_zone \"%V\"",
                  name);

    return NULL;
}


ngx_int_t
ngx_cred_status_registry(ngx_cred_status_t *status,
    ngx_cred_registry_t *registry, ngx_log_t *log)
{
    u_char      hash[NGX_CRED_HASH_LEN];
    ngx_uint_t  i;

    registry->number = NGX_CRED_REGISTRY_UNNUMBERED;

    if (ngx_cred_status_registry_hash(registry, hash) != NGX_OK) {
        return NGX_ERROR;
    }

    for (i = 0; i < status->nregistries; i++) {

        if (ngx_memcmp(status->registries[i].hash, hash, sizeof(hash)) == 0) {
            registry->number = i;
            return NGX_OK;
        }
    }

    if (i == NGX_CRED_STATUS_REGISTRIES) {

        if (!status->crowded) {
            ngx_log_error(NGX_LOG_WARN, log, 0,
                          "too many registries since \"cred_status_zone\" was "
                          "made, nothing is counted of \"%V\" and others",
                          &registry->name);
        }

        status->crowded = 1;

        return NGX_DECLINED;
    }

    ngx_memcpy(status->registries[i].hash, hash, sizeof(hash));

    status->nregistries++;
    registry->number = i;

    return NGX_OK;
}


static ngx_int_t
ngx_cred_status_registry_hash(ngx_cred_registry_t *registry, u_char *hash)
{
    u_char     *p;
    ngx_int_t   rc;
    ngx_str_t   key;

    key.len = registry->name.len + 1 + registry->prefix.len;

    key.data = ngx_alloc(key.len, ngx_cycle->log);
    if (key.data == NULL) {
        return NGX_ERROR;
    }

    p = ngx_cpymem(key.data, registry->name.data, registry->name.len);
    *p++ = '\0';
    ngx_memcpy(p, registry->prefix.data, registry->prefix.len);

    rc = ngx_cred_hash(&key, hash);

    ngx_free(key.data);

    return rc;
}


void
ngx_cred_status_use(ngx_cred_status_of_pt of)
{
    ngx_cred_status_of = of;
}


/* without a master, a reload may have freed what there was before */

static ngx_cred_status_t *
ngx_cred_status_current(void)
{
    if (ngx_cred_status_cycle != ngx_cycle && ngx_cred_status_of) {
        ngx_cred_status_cycle = ngx_cycle;
        ngx_cred_status = ngx_cred_status_of((ngx_cycle_t *) ngx_cycle);
    }

    return ngx_cred_status;
}


void
ngx_cred_status_deleted(ngx_uint_t api, ngx_cred_result_e result)
{
    if (ngx_cred_status_current() && api < NGX_CRED_STATUS_APIS) {
        ngx_cred_status_add(&ngx_cred_status->deletes[api][result], 1);
    }
}


void
ngx_cred_status_accessed(ngx_cred_status_access_e result)
{
    if (ngx_cred_status_current()) {
        ngx_cred_status_add(&ngx_cred_status->access[result], 1);
    }
}


void
ngx_cred_status_looked_up(ngx_uint_t hit)
{
    if (ngx_cred_status_current()) {
        ngx_cred_status_add(&ngx_cred_status->lookups[hit], 1);
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

    environment = ngx_cred_status_environment(data, ngx_cred_redis_name(redis));

    if (environment == NULL) {
        return;
    }

    if (error && ngx_cred_environment_excused(redis)) {
        ngx_cred_status_error(&environment->redis, error);
        return;
    }

    ngx_cred_status_changed(&environment->redis, error, retry);
}


void
ngx_cred_status_environment_failed(ngx_cred_registry_t *registry,
    ngx_str_t *name, ngx_str_t *error)
{
    ngx_cred_status_environment_t  *environment;

    environment = ngx_cred_status_environment(registry, name);

    if (environment) {
        ngx_cred_status_changed(&environment->redis, error, 0);
    }
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


ngx_cred_status_redis_t *
ngx_cred_status_find_registry(ngx_cred_registry_t *registry)
{
    if (ngx_cred_status_current() == NULL
        || registry->number == NGX_CRED_REGISTRY_UNNUMBERED)
    {
        return NULL;
    }

    return &ngx_cred_status->registries[registry->number].redis;
}


ngx_cred_status_environment_t *
ngx_cred_status_find(ngx_cred_registry_t *registry, ngx_str_t *name)
{
    uint32_t                        hash;
    ngx_cred_status_environment_t  *slot;

    if (ngx_cred_status_find_registry(registry) == NULL
        || name->len > NGX_CRED_STATUS_NAME_LEN)
    {
        return NULL;
    }

    hash = ngx_crc32_long(name->data, name->len);
    slot = ngx_cred_status_slot(registry->number, name, hash);

    return (slot && slot->used) ? slot : NULL;
}


ngx_cred_status_environment_t *
ngx_cred_status_next(ngx_cred_registry_t *registry, ngx_uint_t *n)
{
    ngx_cred_status_environment_t  *slot;

    if (ngx_cred_status_find_registry(registry) == NULL) {
        return NULL;
    }

    while (*n < ngx_cred_status->nslots) {
        slot = &ngx_cred_status->slots[(*n)++];

        if (slot->used && slot->registry == registry->number) {
            return slot;
        }
    }

    return NULL;
}


/* made at first sight */

static ngx_cred_status_environment_t *
ngx_cred_status_environment(ngx_cred_registry_t *registry, ngx_str_t *name)
{
    uint32_t                        hash;
    ngx_cred_status_environment_t  *slot;

    slot = ngx_cred_status_find(registry, name);

    if (slot || ngx_cred_status_find_registry(registry) == NULL
        || name->len > NGX_CRED_STATUS_NAME_LEN)
    {
        return slot;
    }

    hash = ngx_crc32_long(name->data, name->len);

    ngx_shmtx_lock(&ngx_cred_status->shpool->mutex);

    slot = ngx_cred_status_slot(registry->number, name, hash);

    if (slot && !slot->used) {
        slot->hash = hash;
        slot->registry = registry->number;
        slot->name_len = name->len;
        ngx_memcpy(slot->name, name->data, name->len);

        ngx_memory_barrier();

        slot->used = 1;
        ngx_cred_status->nused++;
    }

    ngx_shmtx_unlock(&ngx_cred_status->shpool->mutex);

    if (slot == NULL && ngx_atomic_cmp_set(&ngx_cred_status->full, 0, 1)) {
        ngx_log_error(NGX_LOG_WARN, ngx_cycle->log, 0,
                      "\"cred_status_zone\" is full: nothing is counted of "
                      "further environments");
    }

    return slot;
}


/* the slot of that name, or the one that it is to have; NULL: all are taken */

static ngx_cred_status_environment_t *
ngx_cred_status_slot(ngx_uint_t registry, ngx_str_t *name, uint32_t hash)
{
    ngx_uint_t                      i, n;
    ngx_cred_status_environment_t  *slot;

    n = hash % ngx_cred_status->nslots;

    for (i = 0; i < ngx_cred_status->nslots; i++) {
        slot = &ngx_cred_status->slots[n];

        if (!slot->used || ngx_cred_status_is(slot, registry, name, hash)) {
            return slot;
        }

        n = (n + 1) % ngx_cred_status->nslots;
    }

    return NULL;
}


static ngx_uint_t
ngx_cred_status_is(ngx_cred_status_environment_t *slot, ngx_uint_t registry,
    ngx_str_t *name, uint32_t hash)
{
    return slot->hash == hash && slot->registry == registry
           && slot->name_len == name->len
           && ngx_memcmp(slot->name, name->data, name->len) == 0;
}


void
ngx_cred_status_view(ngx_cred_status_redis_t *redis,
    ngx_cred_status_view_t *view)
{
    uint64_t  changed;

    ngx_memzero(view, sizeof(ngx_cred_status_view_t));

    if (redis == NULL) {
        return;
    }

    changed = ngx_cred_status_load(&redis->changed);

    view->state = changed & NGX_CRED_STATUS_STATE_MASK;
    view->since = changed >> NGX_CRED_STATUS_STATE_BITS;

    if (view->state == NGX_CRED_STATUS_DOWN) {
        view->retry_at = ngx_cred_status_load(&redis->retry_at);
    }

    if (ngx_cred_lock(&redis->lock) == NGX_BUSY) {
        return;
    }

    view->error_at = redis->error_at;
    view->error_len = ngx_min(redis->error_len, NGX_CRED_STATUS_ERROR_LEN);
    ngx_memcpy(view->error, redis->error, view->error_len);

    ngx_cred_unlock(&redis->lock);
}


uint64_t
ngx_cred_status_deletes(ngx_uint_t api, ngx_cred_result_e result)
{
    return ngx_cred_status_current()
           ? ngx_cred_status_load(&ngx_cred_status->deletes[api][result]) : 0;
}


uint64_t
ngx_cred_status_accesses(ngx_cred_status_access_e result)
{
    return ngx_cred_status_current()
           ? ngx_cred_status_load(&ngx_cred_status->access[result]) : 0;
}


uint64_t
ngx_cred_status_lookups(ngx_uint_t hit)
{
    return ngx_cred_status_current()
           ? ngx_cred_status_load(&ngx_cred_status->lookups[hit]) : 0;
}


uint64_t
ngx_cred_status_start(void)
{
    return ngx_cred_status_current() ? ngx_cred_status->start : 0;
}


void
ngx_cred_status_memory(size_t *size, size_t *used)
{
    *size = 0;
    *used = 0;

    if (ngx_cred_status_current() == NULL) {
        return;
    }

    *size = ngx_cred_status->size;
    *used = ngx_cred_status->size
            - (ngx_cred_status->nslots - ngx_cred_status->nused)
              * sizeof(ngx_cred_status_environment_t);
}


ngx_str_t *
ngx_cred_status_attempt_name(ngx_uint_t n)
{
    return (n < NGX_CRED_NSTATES) ? ngx_cred_state_name(n)
                        : &ngx_cred_status_reasons[n - NGX_CRED_NSTATES];
}


ngx_str_t *
ngx_cred_status_access_name(ngx_cred_status_access_e result)
{
    return &ngx_cred_status_access_names[result];
}


ngx_str_t *
ngx_cred_status_state_name(ngx_cred_status_state_e state)
{
    return &ngx_cred_status_states[state];
}


static uint64_t
ngx_cred_status_now(void)
{
    ngx_time_t  *tp;

    tp = ngx_timeofday();

    return (uint64_t) tp->sec * 1000 + tp->msec;
}
