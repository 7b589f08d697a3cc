
/*
 * Copyright (C) ngx_cred_module authors
 * SPDX-License-Identifier: BSD-2-Clause
 */


/*
 * What operators see of this nginx: counters, durations and states in shared
 * memory, over all workers, kept over reload.  Whatever writes here neither
 * waits nor fails: what there is no room for is not counted, and that is told.
 */


#ifndef _NGX_CRED_STATUS_H_INCLUDED_
#define _NGX_CRED_STATUS_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_cred_core.h>


#define NGX_CRED_STATUS_SIZE_MIN    (64 * 1024)

#define NGX_CRED_STATUS_APIS        16
#define NGX_CRED_STATUS_BUCKETS     14
#define NGX_CRED_STATUS_NAME_LEN    256   /* longer ones are not counted */
#define NGX_CRED_STATUS_ERROR_LEN   256


/* how an attempt at an undeployment ended: a state, or why it is pending */

#define NGX_CRED_STATUS_ATTEMPTS    (NGX_CRED_NSTATES + NGX_CRED_NREASONS)


typedef enum {
    NGX_CRED_STATUS_ALLOWED = 0,
    NGX_CRED_STATUS_FORBIDDEN,
    NGX_CRED_STATUS_UNKNOWN,
    NGX_CRED_STATUS_UNAVAILABLE,
    NGX_CRED_STATUS_NACCESS
} ngx_cred_status_access_e;


/* of a Redis, as seen from here */

typedef enum {
    NGX_CRED_STATUS_UNTRIED = 0,
    NGX_CRED_STATUS_UP,
    NGX_CRED_STATUS_DOWN
} ngx_cred_status_state_e;


/* times are in milliseconds, those of day since the epoch; 0: never */

typedef struct {
    uint64_t                    counts[NGX_CRED_STATUS_BUCKETS];
    uint64_t                    sum;
} ngx_cred_status_histogram_t;


typedef struct {
    uint64_t                    changed;       /* when, and the state */
    uint64_t                    retry_at;      /* the next attempt to connect */
    ngx_atomic_t                watcher;       /* the pid whose word counts;
                                                  0: everybody's */
    ngx_atomic_t                lock;          /* of what follows */
    uint64_t                    error_at;
    size_t                      error_len;
    u_char                      error[NGX_CRED_STATUS_ERROR_LEN];
} ngx_cred_status_redis_t;


typedef struct {
    ngx_atomic_t                used;          /* 0: this slot is nobody's */
    uint32_t                    hash;
    ngx_uint_t                  registry;      /* its number */
    size_t                      name_len;
    u_char                      name[NGX_CRED_STATUS_NAME_LEN];

    ngx_cred_status_redis_t     redis;
    uint64_t                    attempts[NGX_CRED_STATUS_ATTEMPTS];
    ngx_cred_status_histogram_t undeployment;  /* the attempt that did it */
    ngx_cred_status_histogram_t effect;        /* since the delete */
} ngx_cred_status_environment_t;


typedef struct ngx_cred_status_s  ngx_cred_status_t;

/* the tree of a cycle; NULL: there is none */
typedef ngx_cred_status_t *(*ngx_cred_status_of_pt)(ngx_cycle_t *cycle);


/* a moment of a Redis */

typedef struct {
    ngx_cred_status_state_e     state;
    uint64_t                    since;
    uint64_t                    retry_at;
    uint64_t                    error_at;
    size_t                      error_len;
    u_char                      error[NGX_CRED_STATUS_ERROR_LEN];
} ngx_cred_status_view_t;


/* a counter that others write to */
#define ngx_cred_status_load(p)  __atomic_load_n(p, __ATOMIC_RELAXED)

/* upper bounds of all buckets but the last, in milliseconds */
extern ngx_msec_t  ngx_cred_status_bounds[NGX_CRED_STATUS_BUCKETS - 1];


/*
 * Makes the tree in "shpool", as large as fits.  NULL, which is logged, if
 * there is no room.
 */
ngx_cred_status_t *ngx_cred_status_create(ngx_slab_pool_t *shpool,
    ngx_str_t *name, ngx_log_t *log);

/*
 * Finds or makes the place of a registry, which those of the same Redis and
 * prefix share.  Only the master calls it, before workers start.  NGX_DECLINED,
 * which is logged, if there are too many: then nothing is known of this one.
 */
ngx_int_t ngx_cred_status_registry(ngx_cred_status_t *status,
    ngx_cred_registry_t *registry, ngx_log_t *log);

/* what this worker writes to in each cycle; before anything else */
void ngx_cred_status_use(ngx_cred_status_of_pt of);

/* a delete was answered, or would have been */
void ngx_cred_status_deleted(ngx_uint_t api, ngx_cred_result_e result);

/* a request was checked; and its key was in the cache, or was not */
void ngx_cred_status_accessed(ngx_cred_status_access_e result);
void ngx_cred_status_looked_up(ngx_uint_t hit);

/*
 * An attempt in this environment is over.  "effect" is how long ago the delete
 * was accepted, in milliseconds; it counts if the credential is gone there.
 */
void ngx_cred_status_attempted(ngx_cred_registry_t *registry, ngx_str_t *name,
    ngx_cred_state_e state, ngx_cred_reason_e reason, ngx_msec_t duration,
    ngx_msec_t effect);

/* for ngx_cred_redis_conf_t; "data" is a registry */
void ngx_cred_status_registry_changed(ngx_cred_redis_t *redis,
    ngx_str_t *error, ngx_msec_t retry, void *data);
void ngx_cred_status_environment_changed(ngx_cred_redis_t *redis,
    ngx_str_t *error, ngx_msec_t retry, void *data);

/* for ngx_cred_web_conf_t; "data" is a registry, "name" its environment */
void ngx_cred_status_connector_changed(ngx_str_t *name, ngx_str_t *error,
    ngx_msec_t retry, void *data);

/*
 * It has done what it was asked for.  Whoever has the say may have lost its
 * last request there, and have none to make since.
 */
void ngx_cred_status_connector_answered(ngx_cred_registry_t *registry,
    ngx_str_t *name);

/* it is reached, and has not taken an undeployment */
void ngx_cred_status_connector_refused(ngx_cred_registry_t *registry,
    ngx_str_t *name, ngx_str_t *error);

/* what is pending was asked for, and will be attempted */
void ngx_cred_status_claimed(ngx_cred_registry_t *registry);

/* it is reached, and has answered a delete with an error */
void ngx_cred_status_registry_refused(ngx_cred_registry_t *registry,
    ngx_str_t *error);

/* why an environment could not even be tried */
void ngx_cred_status_environment_failed(ngx_cred_registry_t *registry,
    ngx_str_t *name, ngx_str_t *error);

/*
 * From now on this worker's word counts, or everybody's; without a name that
 * on the registry itself.
 */
void ngx_cred_status_watch(ngx_cred_registry_t *registry, ngx_str_t *name,
    ngx_uint_t watched);

/*
 * Readers.  What they return is in shared memory, and goes on changing;
 * NULL: nothing is known of it.
 */
ngx_cred_status_redis_t *ngx_cred_status_find_registry(
    ngx_cred_registry_t *registry);
ngx_cred_status_environment_t *ngx_cred_status_find(
    ngx_cred_registry_t *registry, ngx_str_t *name);

/* the next one of a registry from "*n" on, at first 0; NULL: no more */
ngx_cred_status_environment_t *ngx_cred_status_next(
    ngx_cred_registry_t *registry, ngx_uint_t *n);

/* copies what is known of a Redis, which is nothing if "redis" is NULL */
void ngx_cred_status_view(ngx_cred_status_redis_t *redis,
    ngx_cred_status_view_t *view);

/* when that was last, in milliseconds since the epoch; 0: never */
uint64_t ngx_cred_status_claimed_at(ngx_cred_registry_t *registry);

/*
 * Counters, when counting began (milliseconds since the epoch), and the size of
 * the zone and what is in use of it (bytes).
 */
uint64_t ngx_cred_status_deletes(ngx_uint_t api, ngx_cred_result_e result);
uint64_t ngx_cred_status_accesses(ngx_cred_status_access_e result);
uint64_t ngx_cred_status_lookups(ngx_uint_t hit);
uint64_t ngx_cred_status_start(void);
void ngx_cred_status_memory(size_t *size, size_t *used);

/* the time of day here, in milliseconds since the epoch */
uint64_t ngx_cred_status_now(void);

/* constants: how an attempt ended, how an access did, and a Redis' state */
ngx_str_t *ngx_cred_status_attempt_name(ngx_uint_t n);
ngx_str_t *ngx_cred_status_access_name(ngx_cred_status_access_e result);
ngx_str_t *ngx_cred_status_state_name(ngx_cred_status_state_e state);


#endif /* _NGX_CRED_STATUS_H_INCLUDED_ */
