
/*
 * Copyright (C) ngx_cred_module authors
 * SPDX-License-Identifier: BSD-2-Clause
 */


/*
 * The shared memory of a gateway.  What the files of the core room share;
 * nobody else includes it.
 *
 * Invalidation is a counter, not a search: the zone counts invalidations, and
 * each of 65,536 places holds the number of the last one of the credentials
 * that belong to it by their hash.  A result is current while its place, and
 * that of forgetting everything of its environment, hold no higher number than
 * the zone had before the lookup was sent.
 *
 * No lock is waited for: a worker that does not get one at once, because its
 * holder is stopped, goes on without the cache.  Locks of dead ones are taken
 * over, and what they protect is made anew.
 */


#ifndef _NGX_CRED_ZONE_H_INCLUDED_
#define _NGX_CRED_ZONE_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_cred_access.h>


#define NGX_CRED_ZONE_HASH_LEN     16    /* of a key's SHA-256 */
#define NGX_CRED_ZONE_POINTER_LEN  4096  /* longer ones are not kept */
#define NGX_CRED_ZONE_ID_LEN       64    /* of an id of the stream */
#define NGX_CRED_ZONE_NAME_LEN     96    /* of the gateway */


/* what is asked for: a key and a grant, of an API in an environment */

typedef struct {
    u_char       hash[NGX_CRED_ZONE_HASH_LEN];
    u_short      environment;
    u_short      api;
} ngx_cred_zone_key_t;


typedef enum {
    NGX_CRED_ZONE_LOOKING = 0,    /* some worker has asked */
    NGX_CRED_ZONE_KNOWN,
    NGX_CRED_ZONE_UNKNOWN
} ngx_cred_zone_state_e;


/* what is known of it */

typedef struct {
    ngx_cred_zone_state_e   state;
    ngx_uint_t              granted;
    uint64_t                sent;      /* when it was asked for, ns */
    uint64_t                seq;       /* of the zone, before that */
    uint64_t                expires;   /* ns; 0: never */
    u_short                 counter;   /* of the credential */
    size_t                  len;
    u_char                  pointer[NGX_CRED_ZONE_POINTER_LEN];
                                       /* SCOPE:ID, escaped */
} ngx_cred_zone_record_t;


/* the number of the zone's last invalidation */
uint64_t ngx_cred_zone_seq(ngx_cred_zone_t *zone);

/* the place of API:SCOPE:ID, which may come in two parts */
u_short ngx_cred_zone_counter(ngx_str_t *api, u_char *pointer, size_t len);

/* invalidates what is known of the credentials of this place */
void ngx_cred_zone_invalidate(ngx_cred_zone_t *zone, u_short counter);

/* and of all credentials of an environment */
void ngx_cred_zone_forget(ngx_cred_zone_t *zone,
    ngx_cred_zone_environment_t *environment);

/* whether a record of a known key is still current */
ngx_uint_t ngx_cred_zone_current(ngx_cred_zone_t *zone,
    ngx_cred_zone_environment_t *environment, ngx_cred_zone_record_t *record);

/*
 * Whether there is a lease at this time, which the clock itself has told (ns),
 * and how long it lasts yet, in milliseconds.
 */
ngx_uint_t ngx_cred_zone_leased(ngx_cred_zone_environment_t *environment,
    uint64_t now);
ngx_msec_t ngx_cred_zone_lease_left(ngx_cred_zone_environment_t *environment);

/*
 * The generation of the lease's length, which a reload may change, and that
 * length.
 */
ngx_uint_t ngx_cred_zone_generation(ngx_cred_zone_environment_t *environment);
ngx_msec_t ngx_cred_zone_length(ngx_cred_zone_environment_t *environment,
    ngx_uint_t generation);

/*
 * The lease that a call granted which was sent at "at" (ms) with the length of
 * this generation; nothing if there is another one by now.
 */
void ngx_cred_zone_grant(ngx_cred_zone_environment_t *environment, uint64_t at,
    ngx_uint_t generation);

/*
 * Copies the id that was applied last to "id", NGX_CRED_ZONE_ID_LEN bytes, and
 * its length, or sets it.  NGX_BUSY: not now.
 */
ngx_int_t ngx_cred_zone_applied(ngx_cred_zone_environment_t *environment,
    u_char *id, size_t *len);
ngx_int_t ngx_cred_zone_set_applied(ngx_cred_zone_environment_t *environment,
    u_char *id, size_t len);

/* the gateway's name in this environment, a field of P:gateways */
ngx_str_t *ngx_cred_zone_gateway(ngx_cred_zone_environment_t *environment);

u_short ngx_cred_zone_number(ngx_cred_zone_environment_t *environment);

/*
 * Copies what is known of "key" into "record".  NGX_DECLINED if there is
 * nothing; NGX_BUSY: not now.
 */
ngx_int_t ngx_cred_zone_get(ngx_cred_zone_t *zone, ngx_cred_zone_key_t *key,
    ngx_cred_zone_record_t *record);

/*
 * Keeps it, in place of what was known.  When the zone is full the least
 * recently used ones leave, unknown keys before others.  It may fail without a
 * word: then it is looked up again.
 */
void ngx_cred_zone_put(ngx_cred_zone_t *zone, ngx_cred_zone_key_t *key,
    ngx_cred_zone_record_t *record);


#endif /* _NGX_CRED_ZONE_H_INCLUDED_ */
