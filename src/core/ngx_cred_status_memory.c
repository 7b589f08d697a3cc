
/*
 * Copyright (C) ngx_cred_module authors
 * SPDX-License-Identifier: BSD-2-Clause
 */


/* the state in shared memory: its places, and readers */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_cred_lock.h>
#include <ngx_cred_status_memory.h>


#define NGX_CRED_STATUS_SPARE  4    /* pages that slots leave */


static ngx_int_t ngx_cred_status_registry_hash(ngx_cred_registry_t *registry,
    u_char *hash);
static ngx_cred_status_environment_t *ngx_cred_status_slot(ngx_uint_t registry,
    ngx_str_t *name, uint32_t hash);
static ngx_uint_t ngx_cred_status_is(ngx_cred_status_environment_t *slot,
    ngx_uint_t registry, ngx_str_t *name, uint32_t hash);


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

ngx_cred_status_t *
ngx_cred_status_current(void)
{
    if (ngx_cred_status_cycle != ngx_cycle && ngx_cred_status_of) {
        ngx_cred_status_cycle = ngx_cycle;
        ngx_cred_status = ngx_cred_status_of((ngx_cycle_t *) ngx_cycle);
    }

    return ngx_cred_status;
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

ngx_cred_status_environment_t *
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
ngx_cred_status_claimed_at(ngx_cred_registry_t *registry)
{
    if (ngx_cred_status_find_registry(registry) == NULL) {
        return 0;
    }

    return ngx_cred_status_load(
               &ngx_cred_status->registries[registry->number].claimed_at);
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


uint64_t
ngx_cred_status_now(void)
{
    ngx_time_t  *tp;

    tp = ngx_timeofday();

    return (uint64_t) tp->sec * 1000 + tp->msec;
}
