
/*
 * Copyright (C) ngx_cred_module authors
 * SPDX-License-Identifier: BSD-2-Clause
 */


#include <zone.h>
#include <sys/mman.h>
#include <ngx_cred_zone_memory.h>


static void zone_key(ngx_cred_zone_key_t *key, uint64_t n);


static ngx_cycle_t   zone_cycle;
static ngx_str_t     zone_name = ngx_string("test");
static uint64_t      zone_random_state = 1;


void
zone_start(void)
{
    ngx_uint_t  n;

    for (n = ngx_pagesize; n >>= 1; ngx_pagesize_shift++) { /* void */ }

    ngx_pid = getpid();
    ngx_ncpu = 2;
    zone_cycle.log = &unit_log;
    ngx_cycle = &zone_cycle;

    (void) ngx_crc32_table_init();
    ngx_slab_sizes_init();
}


ngx_cred_zone_t *
zone_new(size_t size)
{
    ngx_slab_pool_t  *sp;

    sp = mmap(NULL, size, PROT_READ|PROT_WRITE, MAP_ANON|MAP_SHARED, -1, 0);

    if (sp == MAP_FAILED) {
        printf("Bail out! no memory\n");
        exit(2);
    }

    sp->end = (u_char *) sp + size;
    sp->min_shift = 3;
    sp->addr = sp;

    if (ngx_shmtx_create(&sp->mutex, &sp->lock, NULL) != NGX_OK) {
        printf("Bail out! no mutex\n");
        exit(2);
    }

    ngx_slab_init(sp);

    return ngx_cred_zone_create(sp, &zone_name, &unit_log);
}


void
zone_free(ngx_cred_zone_t *zone)
{
    ngx_slab_pool_t  *sp;

    sp = zone->shpool;

    (void) munmap(sp, sp->end - (u_char *) sp);
}


ngx_cred_zone_environment_t *
zone_environment(ngx_cred_zone_t *zone, const char *text, ngx_msec_t lease)
{
    ngx_str_t  s, host = ngx_string("host");

    s.data = (u_char *) text;
    s.len = ngx_strlen(text);

    return ngx_cred_zone_environment(zone, &s, lease, &host, &unit_log);
}


void
zone_record(ngx_cred_zone_record_t *record, ngx_uint_t n, size_t len)
{
    size_t  i;

    record->state = len ? NGX_CRED_ZONE_KNOWN : NGX_CRED_ZONE_UNKNOWN;
    record->granted = n & 1;
    record->sent = (uint64_t) n << 32 | 1;
    record->seq = (uint64_t) n << 33 | 2;
    record->expires = (uint64_t) n << 34 | 3;
    record->counter = (u_short) n;
    record->len = len;

    for (i = 0; i < len; i++) {
        record->pointer[i] = (u_char) (n + i * 7);
    }
}


ngx_uint_t
zone_same(ngx_cred_zone_record_t *one, ngx_cred_zone_record_t *two)
{
    return one->state == two->state && one->granted == two->granted
           && one->sent == two->sent && one->seq == two->seq
           && one->expires == two->expires && one->counter == two->counter
           && one->len == two->len
           && ngx_memcmp(one->pointer, two->pointer, one->len) == 0;
}


static void
zone_key(ngx_cred_zone_key_t *key, uint64_t n)
{
    ngx_uint_t  i;

    ngx_memzero(key, sizeof(ngx_cred_zone_key_t));

    for (i = 0; i < NGX_CRED_ZONE_HASH_LEN; i++) {
        n = n * 6364136223846793005 + 1442695040888963407;
        key->hash[i] = (u_char) (n >> 56);
    }
}


void
zone_put(ngx_cred_zone_t *zone, ngx_uint_t n, size_t len)
{
    ngx_cred_zone_key_t     key;
    ngx_cred_zone_record_t  record;

    zone_key(&key, n);
    zone_record(&record, n, len);
    ngx_cred_zone_put(zone, &key, &record);
}


ngx_int_t
zone_get(ngx_cred_zone_t *zone, ngx_uint_t n, ngx_cred_zone_record_t *record)
{
    ngx_cred_zone_key_t  key;

    zone_key(&key, n);

    /* later than what was recent */

    ngx_current_msec += 1000;

    return ngx_cred_zone_get(zone, &key, record);
}


ngx_uint_t
zone_has(ngx_cred_zone_t *zone, ngx_uint_t n, size_t len)
{
    ngx_cred_zone_record_t  got, put;

    zone_record(&put, n, len);

    return zone_get(zone, n, &got) == NGX_OK && zone_same(&got, &put);
}


ngx_uint_t
zone_random(ngx_uint_t n)
{
    zone_random_state = zone_random_state * 6364136223846793005
                        + 1442695040888963407;

    return (zone_random_state >> 33) % n;
}


void
zone_seed(ngx_uint_t n)
{
    zone_random_state = n;
}
