
/*
 * Copyright (C) ngx_cred_module authors
 * SPDX-License-Identifier: BSD-2-Clause
 */


/* the zone: counters of invalidations, environments with their leases */


#include <ngx_config.h>
#include <ngx_core.h>
#include <openssl/rand.h>
#include <ngx_cred_clock.h>
#include <ngx_cred_lock.h>
#include <ngx_cred_zone.h>
#include <ngx_cred_zone_memory.h>


/*
 * A lease is one word, changed at once: until when (ms), and the generation of
 * its length
 */

#define NGX_CRED_LEASE_BITS          22
#define ngx_cred_lease_word(until, generation)                                \
    ((uint64_t) (until) << NGX_CRED_LEASE_BITS | (generation))
#define ngx_cred_lease_until(word)   ((word) >> NGX_CRED_LEASE_BITS)
#define ngx_cred_lease_generation(word)                                       \
    ((word) & (((uint64_t) 1 << NGX_CRED_LEASE_BITS) - 1))

#define ngx_cred_load(p)             __atomic_load_n(p, __ATOMIC_SEQ_CST)

#define NGX_CRED_ZONE_RANDOM         6      /* bytes, in the gateway's name */


static uint64_t ngx_cred_zone_next(ngx_cred_zone_t *zone);
static void ngx_cred_zone_raise(ngx_cred_zone_t *zone, uint64_t *counter);
static ngx_int_t ngx_cred_zone_name(ngx_cred_zone_t *zone,
    ngx_cred_zone_environment_t *environment, ngx_str_t *name,
    ngx_str_t *host);
static void ngx_cred_zone_set_length(ngx_cred_zone_environment_t *environment,
    ngx_msec_t length);


ngx_cred_zone_t *
ngx_cred_zone_create(ngx_slab_pool_t *shpool, ngx_str_t *name, ngx_log_t *log)
{
    u_char            random[NGX_CRED_ZONE_RANDOM];
    ngx_cred_zone_t  *zone;

    zone = ngx_slab_calloc(shpool, sizeof(ngx_cred_zone_t));

    if (zone == NULL || RAND_bytes(random, sizeof(random)) != 1) {
        goto failed;
    }

    zone->shpool = shpool;
    ngx_hex_dump(zone->random, random, sizeof(random));

    zone->name.len = name->len;
    zone->name.data = ngx_slab_alloc(shpool, name->len);
    if (zone->name.data == NULL) {
        goto failed;
    }

    ngx_memcpy(zone->name.data, name->data, name->len);

    if (ngx_cred_zone_cache_init(zone) != NGX_OK) {
        goto failed;
    }

    /* a cache that is full is no error */

    shpool->log_nomem = 0;

    return zone;

failed:

    ngx_log_error(NGX_LOG_EMERG, log, 0,
                  "no memory or no random numbers for \"cred_access_zone\"");

    return NULL;
}


ngx_cred_zone_environment_t *
ngx_cred_zone_environment(ngx_cred_zone_t *zone, ngx_str_t *name,
    ngx_msec_t lease, ngx_str_t *host, ngx_log_t *log)
{
    ngx_uint_t                    i;
    ngx_cred_zone_environment_t  *environment;

    for (i = 0; i < zone->nenvironments; i++) {
        environment = zone->environments[i];

        if (environment->name.len == name->len
            && ngx_memcmp(environment->name.data, name->data, name->len) == 0)
        {
            ngx_cred_zone_set_length(environment, lease);
            return environment;
        }
    }

    if (zone->nenvironments == NGX_CRED_ZONE_ENVIRONMENTS) {
        ngx_log_error(NGX_LOG_EMERG, log, 0,
                      "too many environments in cred_access_zone \"%V\" "
                      "since it was made", &zone->name);
        return NULL;
    }

    environment = ngx_slab_calloc(zone->shpool,
                                  sizeof(ngx_cred_zone_environment_t));

    if (environment == NULL
        || ngx_cred_zone_name(zone, environment, name, host) != NGX_OK)
    {
        ngx_log_error(NGX_LOG_EMERG, log, 0,
                      "no memory in cred_access_zone \"%V\"", &zone->name);
        return NULL;
    }

    environment->number = (u_short) zone->nenvironments;
    environment->lengths[0] = lease;

    zone->environments[zone->nenvironments++] = environment;

    return environment;
}


/* one of its own in each, since several may be the same Redis after all */

static ngx_int_t
ngx_cred_zone_name(ngx_cred_zone_t *zone,
    ngx_cred_zone_environment_t *environment, ngx_str_t *name, ngx_str_t *host)
{
    u_char  *p;

    p = ngx_slab_alloc(zone->shpool, name->len);
    if (p == NULL) {
        return NGX_ERROR;
    }

    environment->name.data = p;
    environment->name.len = name->len;
    ngx_memcpy(p, name->data, name->len);

    environment->gateway.data = environment->gateway_data;
    environment->gateway.len =
        ngx_snprintf(environment->gateway_data, NGX_CRED_ZONE_NAME_LEN,
                     "%*s-%*s-%ui",
                     ngx_min(host->len, NGX_CRED_ZONE_NAME_LEN / 2), host->data,
                     sizeof(zone->random), zone->random, zone->nenvironments)
        - environment->gateway_data;

    return NGX_OK;
}


uint64_t
ngx_cred_zone_seq(ngx_cred_zone_t *zone)
{
    return ngx_cred_load(&zone->seq);
}


static uint64_t
ngx_cred_zone_next(ngx_cred_zone_t *zone)
{
    return __atomic_add_fetch(&zone->seq, 1, __ATOMIC_SEQ_CST);
}


u_short
ngx_cred_zone_counter(ngx_str_t *api, u_char *pointer, size_t len)
{
    uint32_t  hash;

    ngx_crc32_init(hash);
    ngx_crc32_update(&hash, api->data, api->len);
    ngx_crc32_update(&hash, (u_char *) ":", 1);
    ngx_crc32_update(&hash, pointer, len);
    ngx_crc32_final(hash);

    return (u_short) (hash ^ hash >> 16);
}


/* unless somebody else has taken a higher number, and was quicker with it */

static void
ngx_cred_zone_raise(ngx_cred_zone_t *zone, uint64_t *counter)
{
    uint64_t  old, seq;

    seq = ngx_cred_zone_next(zone);
    old = ngx_cred_load(counter);

    while (old < seq
           && !__atomic_compare_exchange_n(counter, &old, seq, 0,
                                           __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST))
    {
        /* void */
    }
}


void
ngx_cred_zone_invalidate(ngx_cred_zone_t *zone, u_short counter)
{
    ngx_cred_zone_raise(zone, &zone->counters[counter]);
}


void
ngx_cred_zone_forget(ngx_cred_zone_t *zone,
    ngx_cred_zone_environment_t *environment)
{
    ngx_cred_zone_raise(zone, &environment->forgotten);
}


ngx_uint_t
ngx_cred_zone_current(ngx_cred_zone_t *zone,
    ngx_cred_zone_environment_t *environment, ngx_cred_zone_record_t *record)
{
    return ngx_cred_load(&zone->counters[record->counter]) <= record->seq
           && ngx_cred_load(&environment->forgotten) <= record->seq;
}


ngx_uint_t
ngx_cred_zone_leased(ngx_cred_zone_environment_t *environment, uint64_t now)
{
    uint64_t  word;

    word = ngx_cred_load(&environment->lease);

    return now < ngx_cred_lease_until(word) * NGX_CRED_MSEC;
}


ngx_msec_t
ngx_cred_zone_lease_left(ngx_cred_zone_environment_t *environment)
{
    uint64_t  until, now;

    until = ngx_cred_lease_until(ngx_cred_load(&environment->lease));
    now = ngx_cred_clock() / NGX_CRED_MSEC;

    return (ngx_msec_t) (until > now ? until - now : 0);
}


ngx_uint_t
ngx_cred_zone_generation(ngx_cred_zone_environment_t *environment)
{
    return (ngx_uint_t)
               ngx_cred_lease_generation(ngx_cred_load(&environment->lease));
}


ngx_msec_t
ngx_cred_zone_length(ngx_cred_zone_environment_t *environment,
    ngx_uint_t generation)
{
    return environment->lengths[generation % NGX_CRED_ZONE_GENERATIONS];
}


void
ngx_cred_zone_grant(ngx_cred_zone_environment_t *environment, uint64_t at,
    ngx_uint_t generation)
{
    uint64_t    old, word, until;
    ngx_msec_t  length;

    length = ngx_cred_zone_length(environment, generation);
    old = ngx_cred_load(&environment->lease);

    do {
        if (ngx_cred_lease_generation(old) != generation) {
            return;
        }

        until = ngx_max(ngx_cred_lease_until(old), at + length);
        word = ngx_cred_lease_word(until, generation);

    } while (!__atomic_compare_exchange_n(&environment->lease, &old, word, 0,
                                          __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST));
}


/*
 * Calls that are under way say another length, so this is another generation:
 * they grant nothing any more, and are not noted over its calls.  A shorter
 * lease is taken before it is announced.
 */

static void
ngx_cred_zone_set_length(ngx_cred_zone_environment_t *environment,
    ngx_msec_t length)
{
    uint64_t    old, word, until, now;
    ngx_uint_t  generation;

    generation = ngx_cred_zone_generation(environment);

    if (ngx_cred_zone_length(environment, generation) == length) {
        return;
    }

    generation++;
    environment->lengths[generation % NGX_CRED_ZONE_GENERATIONS] = length;

    old = ngx_cred_load(&environment->lease);

    do {
        now = ngx_cred_clock() / NGX_CRED_MSEC;
        until = ngx_min(ngx_cred_lease_until(old), now + length);
        word = ngx_cred_lease_word(until, generation);

    } while (!__atomic_compare_exchange_n(&environment->lease, &old, word, 0,
                                          __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST));
}


ngx_int_t
ngx_cred_zone_applied(ngx_cred_zone_environment_t *environment, u_char *id,
    size_t *len)
{
    switch (ngx_cred_lock(&environment->lock)) {

    case NGX_BUSY:
        return NGX_BUSY;

    case NGX_DECLINED:

        /* its holder has died over it: it may be anything */

        environment->applied_len = 0;
        break;

    default: /* NGX_OK */
        break;
    }

    *len = environment->applied_len;
    ngx_memcpy(id, environment->applied, *len);

    ngx_cred_unlock(&environment->lock);

    return NGX_OK;
}


ngx_int_t
ngx_cred_zone_set_applied(ngx_cred_zone_environment_t *environment, u_char *id,
    size_t len)
{
    if (ngx_cred_lock(&environment->lock) == NGX_BUSY) {
        return NGX_BUSY;
    }

    environment->applied_len = len;
    ngx_memcpy(environment->applied, id, len);

    ngx_cred_unlock(&environment->lock);

    return NGX_OK;
}


void
ngx_cred_zone_memory(ngx_cred_zone_t *zone, size_t *size, size_t *used)
{
    ngx_slab_pool_t  *shpool;

    shpool = zone->shpool;

    *size = shpool->end - (u_char *) shpool;
    *used = *size - shpool->pfree * ngx_pagesize;
}


ngx_str_t *
ngx_cred_zone_gateway(ngx_cred_zone_environment_t *environment)
{
    return &environment->gateway;
}


u_short
ngx_cred_zone_number(ngx_cred_zone_environment_t *environment)
{
    return environment->number;
}
