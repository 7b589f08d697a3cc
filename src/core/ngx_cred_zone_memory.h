
/*
 * Copyright (C) ngx_cred_module authors
 * SPDX-License-Identifier: BSD-2-Clause
 */


/* the layout of the zone; only ngx_cred_zone*.c include it */


#ifndef _NGX_CRED_ZONE_MEMORY_H_INCLUDED_
#define _NGX_CRED_ZONE_MEMORY_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_cred_zone.h>


#define NGX_CRED_ZONE_COUNTERS      65536
#define NGX_CRED_ZONE_ENVIRONMENTS  256
#define NGX_CRED_ZONE_GENERATIONS   4    /* of a lease, that are remembered */


/*
 * A part of the cache.  Its memory stays its own, page by page, so that all of
 * it is found again when somebody has died within.
 */

typedef struct {
    ngx_atomic_t                   lock;       /* the pid of its holder, or 0 */
    ngx_rbtree_t                   rbtree;
    ngx_rbtree_node_t              sentinel;
    ngx_queue_t                    known;      /* least recently used last */
    ngx_queue_t                    unknown;    /* ... and LOOKING */
    ngx_queue_t                    free;
    void                          *pages;      /* each leads to the next one */
    ngx_uint_t                     npages;
} ngx_cred_zone_shard_t;


struct ngx_cred_zone_environment_s {
    uint64_t                       lease;      /* until when, generation */
    ngx_msec_t                     lengths[NGX_CRED_ZONE_GENERATIONS];
    uint64_t                       forgotten;  /* the last time, as counted */
    u_short                        number;
    ngx_str_t                      name;
    ngx_str_t                      gateway;
    u_char                         gateway_data[NGX_CRED_ZONE_NAME_LEN];

    ngx_atomic_t                   lock;
    size_t                         applied_len;
    u_char                         applied[NGX_CRED_ZONE_ID_LEN];
};


struct ngx_cred_zone_s {
    uint64_t                       seq;
    uint64_t                       counters[NGX_CRED_ZONE_COUNTERS];

    ngx_slab_pool_t               *shpool;
    ngx_str_t                      name;
    u_char                         random[12];

    ngx_cred_zone_environment_t   *environments[NGX_CRED_ZONE_ENVIRONMENTS];
    ngx_uint_t                     nenvironments;

    ngx_cred_zone_shard_t         *shards;
    ngx_uint_t                     nshards;    /* a power of two */
    ngx_uint_t                     most;       /* pages of each, so that nobody
                                                  who aims takes them all; */
    ngx_uint_t                     spare;      /* those of nobody yet, */
    ngx_uint_t                     reserve;    /* and of environments */
    ngx_atomic_t                   full;       /* and it was logged */
};


/* makes the cache, which takes more memory as it grows; NGX_OK or NGX_ERROR */
ngx_int_t ngx_cred_zone_cache_init(ngx_cred_zone_t *zone);


#endif /* _NGX_CRED_ZONE_MEMORY_H_INCLUDED_ */
