
/*
 * Copyright (C) ngx_cred_module authors
 * SPDX-License-Identifier: BSD-2-Clause
 */


/*
 * Lookups of keys in the environment's Redis.  What the files of the core room
 * share; nobody else includes it.
 */


#ifndef _NGX_CRED_LOOKUP_H_INCLUDED_
#define _NGX_CRED_LOOKUP_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_cred_zone.h>


typedef enum {
    NGX_CRED_LOOKUP_OPENLY = 0,   /* other workers see that it is asked for */
    NGX_CRED_LOOKUP_QUIETLY,      /* what is known could not be read, and is
                                     not to be written over */
    NGX_CRED_LOOKUP_OTHERS        /* another worker has asked */
} ngx_cred_lookup_e;


/* the lookups of this worker: there are none */
void ngx_cred_lookup_init(ngx_cred_gateway_t *gateway);

/*
 * Joins what is being looked up, or begins to look it up: "key" is what is
 * asked for, "hash" the SHA-256 of access->key.  NGX_AGAIN; or NGX_OK with the
 * answer that nobody can tell.
 */
ngx_int_t ngx_cred_lookup(ngx_cred_access_t *access, ngx_cred_zone_key_t *key,
    u_char *hash, ngx_cred_lookup_e how);

/*
 * Whether a record may be used to answer: one that was looked up after the
 * question had come, or that the cache would give by now.
 */
ngx_uint_t ngx_cred_access_usable(ngx_cred_access_t *access,
    ngx_cred_zone_record_t *record);

/* answers by a record that may be; NGX_ERROR: no memory, so nobody can tell */
ngx_int_t ngx_cred_access_answer(ngx_cred_access_t *access,
    ngx_cred_zone_record_t *record);


#endif /* _NGX_CRED_LOOKUP_H_INCLUDED_ */
