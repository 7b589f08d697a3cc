
/*
 * Copyright (C) ngx_cred_module authors
 * SPDX-License-Identifier: BSD-2-Clause
 */


/*
 * The gateway's half of the core room: whether a key may pass, answered from
 * shared memory as long as there is a lease, and from the environment's Redis
 * otherwise.  doc/gateways.md has the argument.
 */


#ifndef _NGX_CRED_ACCESS_H_INCLUDED_
#define _NGX_CRED_ACCESS_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>
#include <ngx_cred_core.h>


#define NGX_CRED_ZONE_SIZE_MIN    (1024 * 1024)


typedef struct ngx_cred_zone_s              ngx_cred_zone_t;
typedef struct ngx_cred_zone_environment_s  ngx_cred_zone_environment_t;
typedef struct ngx_cred_lease_s             ngx_cred_lease_t;
typedef struct ngx_cred_lookup_s            ngx_cred_lookup_t;
typedef struct ngx_cred_access_s            ngx_cred_access_t;


/*
 * An environment of this gateway with its settings, one for each distinct set;
 * made by the configuration, finished by ngx_cred_gateway_init().
 */

typedef struct {
    ngx_str_t                     url;
    ngx_str_t                     prefix;
    ngx_str_t                     name;       /* for logs, and what tells
                                                 environments apart in the
                                                 zone: host, port, db, prefix */
    ngx_cred_redis_conf_t         redis;
    ngx_cred_redis_conf_t         subscription;
    ngx_msec_t                    lease;      /* the shortest of its places */

    ngx_str_t                     key;        /* P:gateways */
    ngx_cred_zone_t              *zone;       /* shared, as is ... */
    ngx_cred_zone_environment_t  *environment;
    unsigned                      leased:1;   /* the one of those with this
                                                 "environment" that calls */

    /* of this worker */

    ngx_cred_lease_t             *calls;
    ngx_rbtree_t                  lookups;
    ngx_rbtree_node_t             sentinel;
} ngx_cred_gateway_t;


typedef void (*ngx_cred_access_handler_pt)(ngx_cred_access_t *access);


typedef enum {
    NGX_CRED_ACCESS_KNOWN = 0,
    NGX_CRED_ACCESS_UNKNOWN,      /* or disabled, or expired */
    NGX_CRED_ACCESS_UNAVAILABLE   /* nobody can tell */
} ngx_cred_access_e;


/*
 * One check of a key, in memory of whoever asks.  Strings of the question must
 * live until it is answered; those of the answer are in "pool".
 */

struct ngx_cred_access_s {
    ngx_cred_gateway_t           *gateway;
    ngx_str_t                     api;
    ngx_uint_t                    api_number; /* in ngx_cred_apis */
    ngx_str_t                     key;        /* as shown by the client */
    ngx_str_t                     grant;      /* empty: none is asked for */
    ngx_msec_t                    valid;      /* use of a cached answer */
    ngx_msec_t                    missing;    /* ... that it is unknown */
    ngx_pool_t                   *pool;
    ngx_cred_access_handler_pt    handler;
    void                         *data;

    ngx_cred_access_e             result;
    ngx_str_t                     scope;      /* of a known key */
    ngx_str_t                     id;
    unsigned                      granted:1;
    unsigned                      hit:1;      /* answered from the cache */
    u_char                        shown[NGX_CRED_TOKEN_SHOWN / 2];
                                              /* the first bytes of the key's
                                                 SHA-256, for logs */

    /* while it waits */

    ngx_queue_t                   queue;
    ngx_cred_lookup_t            *lookup;     /* NULL: it does not */
    uint64_t                      arrived;
};


/*
 * Makes the shared zone in "shpool".  NULL, which is logged, if there is no
 * room.
 */
ngx_cred_zone_t *ngx_cred_zone_create(ngx_slab_pool_t *shpool, ngx_str_t *name,
    ngx_log_t *log);

/*
 * Finds or makes the environment "name" in the zone, and sets the length of its
 * lease: a shorter one is taken at once.  "host" becomes a part of the
 * gateway's name.  NULL, which is logged, if there is no room.  Only the master
 * calls it, before workers start.
 */
ngx_cred_zone_environment_t *ngx_cred_zone_environment(ngx_cred_zone_t *zone,
    ngx_str_t *name, ngx_msec_t lease, ngx_str_t *host, ngx_log_t *log);

/* how large the zone is, and how much of it is in use, in bytes */
void ngx_cred_zone_memory(ngx_cred_zone_t *zone, size_t *size, size_t *used);

/*
 * Finishes a gateway whose settings are filled in; "pool" is the
 * configuration's.  NGX_OK or NGX_ERROR.
 */
ngx_int_t ngx_cred_gateway_init(ngx_cred_gateway_t *gateway, ngx_pool_t *pool);

/*
 * Starts the lease calls of this worker, until it exits.  The first worker is
 * subscribed and always calls; others when it does not.  NGX_OK or NGX_ERROR.
 */
ngx_int_t ngx_cred_lease_start(ngx_cred_gateway_t *gateway, ngx_cycle_t *cycle,
    ngx_uint_t first);

/* calls at once, since something has changed */
void ngx_cred_lease_renew(ngx_cred_gateway_t *gateway);

/*
 * Checks a key.  NGX_OK: it is answered; NGX_AGAIN: access->handler will be
 * called, from an event handler, unless it is forgotten before.
 */
ngx_int_t ngx_cred_access(ngx_cred_access_t *access);

/* whoever asked is gone: its handler will not be called */
void ngx_cred_access_forget(ngx_cred_access_t *access);


#endif /* _NGX_CRED_ACCESS_H_INCLUDED_ */
