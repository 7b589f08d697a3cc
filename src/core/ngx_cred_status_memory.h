
/*
 * Copyright (C) ngx_cred_module authors
 * SPDX-License-Identifier: BSD-2-Clause
 */


/*
 * The layout of the state in shared memory; only ngx_cred_status*.c include it.
 */


#ifndef _NGX_CRED_STATUS_MEMORY_H_INCLUDED_
#define _NGX_CRED_STATUS_MEMORY_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_cred_status.h>


#define NGX_CRED_STATUS_REGISTRIES   64

#define NGX_CRED_STATUS_STATE_BITS   2    /* of "changed" */
#define NGX_CRED_STATUS_STATE_MASK   3


typedef struct {
    u_char                          hash[NGX_CRED_HASH_LEN];
    ngx_cred_status_redis_t         redis;
    uint64_t                        claimed_at;
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


/* what this worker writes to; NULL: nothing is counted */
ngx_cred_status_t *ngx_cred_status_current(void);

/* finds or makes the place of an environment; NULL: there is no room */
ngx_cred_status_environment_t *ngx_cred_status_environment(
    ngx_cred_registry_t *registry, ngx_str_t *name);


#endif /* _NGX_CRED_STATUS_MEMORY_H_INCLUDED_ */
