
/*
 * Copyright (C) ngx_cred_module authors
 * SPDX-License-Identifier: BSD-2-Clause
 */


/* zones outside of nginx, and records that follow from a number */


#ifndef _ZONE_H_INCLUDED_
#define _ZONE_H_INCLUDED_


#include <unit.h>
#include <ngx_cred_zone.h>


#define MB  (1024 * 1024)


/* what zones want of nginx; after unit_start() */
void zone_start(void);

/* in memory that processes share; NULL if that is too little */
ngx_cred_zone_t *zone_new(size_t size);
void zone_free(ngx_cred_zone_t *zone);

ngx_cred_zone_environment_t *zone_environment(ngx_cred_zone_t *zone,
    const char *text, ngx_msec_t lease);

/* all of a record follows from "n" */
void zone_record(ngx_cred_zone_record_t *record, ngx_uint_t n, size_t len);
ngx_uint_t zone_same(ngx_cred_zone_record_t *one, ngx_cred_zone_record_t *two);

/* that record, with a key that follows from "n" too */
void zone_put(ngx_cred_zone_t *zone, ngx_uint_t n, size_t len);
ngx_int_t zone_get(ngx_cred_zone_t *zone, ngx_uint_t n,
    ngx_cred_zone_record_t *record);
ngx_uint_t zone_has(ngx_cred_zone_t *zone, ngx_uint_t n, size_t len);

/* less than "n"; the same ones in each run */
ngx_uint_t zone_random(ngx_uint_t n);
void zone_seed(ngx_uint_t n);


#endif /* _ZONE_H_INCLUDED_ */
