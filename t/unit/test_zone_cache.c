
/*
 * Copyright (C) ngx_cred_module authors
 * SPDX-License-Identifier: BSD-2-Clause
 */


/* what the zone knows of keys, and which of it leaves when it is full */


#include <zone.h>
#include <ngx_cred_zone_memory.h>


#define KEYS  3000


static ngx_cred_zone_record_t  got, put;


static void
test_records(void)
{
    size_t            len;
    ngx_uint_t        bad;
    ngx_cred_zone_t  *zone;

    zone = zone_new(8 * MB);

    bad = 0;

    for (len = 0; len <= NGX_CRED_ZONE_POINTER_LEN; len++) {
        zone_put(zone, len, len);

        if (!zone_has(zone, len, len)) {
            bad++;
        }
    }

    unit_ok(bad == 0, "names of all lengths");

    for (len = 0; len <= NGX_CRED_ZONE_POINTER_LEN; len++) {
        zone_put(zone, len, NGX_CRED_ZONE_POINTER_LEN - len);

        if (!zone_has(zone, len, NGX_CRED_ZONE_POINTER_LEN - len)) {
            bad++;
        }
    }

    unit_ok(bad == 0, "in place of others");
    unit_ok(zone_get(zone, 999999, &got) == NGX_DECLINED,
            "one that is not there");

    zone_free(zone);
}


/* keys that differ in one thing only */

static void
test_keys(void)
{
    ngx_uint_t           i, j, bad;
    ngx_cred_zone_t     *zone;
    ngx_cred_zone_key_t  keys[NGX_CRED_ZONE_HASH_LEN * 2 + 5];

    zone = zone_new(MB);

    for (i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
        ngx_memzero(&keys[i], sizeof(ngx_cred_zone_key_t));

        if (i < NGX_CRED_ZONE_HASH_LEN) {
            keys[i].hash[i] = 1;

        } else if (i < NGX_CRED_ZONE_HASH_LEN * 2) {
            keys[i].hash[i - NGX_CRED_ZONE_HASH_LEN] = 255;
        }
    }

    keys[i - 5].environment = 1;
    keys[i - 4].environment = 65535;
    keys[i - 3].api = 1;
    keys[i - 2].api = 65535;

    for (j = 0; j < i; j++) {
        zone_record(&put, j, j * 10);
        ngx_cred_zone_put(zone, &keys[j], &put);
    }

    bad = 0;

    for (j = 0; j < i; j++) {
        zone_record(&put, j, j * 10);

        if (ngx_cred_zone_get(zone, &keys[j], &got) != NGX_OK
            || !zone_same(&got, &put))
        {
            bad++;
        }
    }

    unit_ok(bad == 0, "keys that differ in one thing");

    zone_free(zone);
}


/* how many keys there is room for, and whether that was told */

static void
test_full(size_t size)
{
    ngx_uint_t        i, n, bad, fit;
    ngx_cred_zone_t  *zone;

    zone = zone_new(size);

    n = size / 50;

    for (i = 0; i < n; i++) {
        zone_put(zone, i, 20);

        /* one that is in use */

        if (!zone_has(zone, 0, 20)) {
            break;
        }
    }

    unit_ok(i == n, "%lu KB: one that is in use stays",
            (unsigned long) size / 1024);
    unit_ok(zone->full, "it is found full");

    for (bad = 0, i = 1; i < n / 3; i++) {
        bad += zone_has(zone, i, 20);
    }

    unit_ok(bad == 0, "the first ones have left");

    for (fit = 0, i = 0; i < n; i++) {
        fit += zone_has(zone, i, 20);
    }

    unit_ok(fit * 160 > size - 800000, "160 bytes for each of %lu, and 800 KB",
            (unsigned long) fit);

    for (bad = 0, i = n - fit / 2; i < n; i++) {
        bad += !zone_has(zone, i, 20);
    }

    unit_ok(bad == 0, "the last ones are there");

    n = fit;

    /* unknown ones leave before others */

    for (i = 0; i < n; i++) {
        zone_put(zone, i, 20);
    }

    for (i = 0; i < 4 * n; i++) {
        zone_put(zone, 10000000 + i, 0);
    }

    for (bad = 0, i = 0; i < n; i++) {
        bad += !zone_has(zone, i, 20);
    }

    unit_ok(bad < n / 10, "unknown keys push few known ones out: %lu",
            (unsigned long) bad);
    unit_ok(zone_has(zone, 10000000 + 4 * n - 1, 0), "the last one is there");

    for (i = n; i < 3 * n; i++) {
        zone_put(zone, i, 20);
    }

    for (bad = 0, i = 0; i < 4 * n; i++) {
        bad += zone_has(zone, 10000000 + i, 0);
    }

    unit_ok(bad < n / 10, "and known ones push them out: %lu",
            (unsigned long) bad);

    zone_free(zone);
}


/* whatever is there is right, and what was just put is there */

static void
test_random(size_t size, size_t longest)
{
    size_t            len;
    ngx_uint_t        i, n, lost, wrong, hits;
    ngx_cred_zone_t  *zone;

    static size_t     lens[KEYS];

    zone = zone_new(size);

    lost = 0;
    wrong = 0;
    hits = 0;

    ngx_memset(lens, 255, sizeof(lens));

    for (i = 0; i < 100000; i++) {
        n = zone_random(KEYS);

        if (zone_random(2)) {
            len = zone_random(4) ? zone_random(longest) : 0;
            zone_put(zone, n, len);
            lens[n] = len;
            lost += !zone_has(zone, n, len);
            continue;
        }

        if (zone_get(zone, n, &got) == NGX_OK) {
            zone_record(&put, n, lens[n]);
            wrong += !zone_same(&got, &put);
            hits++;
        }
    }

    unit_ok(wrong == 0 && lost == 0 && hits > 1000,
            "zone of %lu KB, names of up to %lu: %lu hits",
            (unsigned long) size / 1024, (unsigned long) longest,
            (unsigned long) hits);

    zone_free(zone);
}


static void
test_small(void)
{
    size_t            size;
    ngx_uint_t        i, n;
    ngx_cred_zone_t  *zone;

    for (size = NGX_CRED_ZONE_SIZE_MIN; size < 6 * MB; size += 300 * 1024) {
        zone = zone_new(size);

        if (zone == NULL) {
            unit_ok(0, "a zone of %lu KB", (unsigned long) size / 1024);
            continue;
        }

        for (n = 0, i = 0; i < 1000; i++) {
            zone_put(zone, i, 4096);
            n += zone_has(zone, i, 4096);
        }

        unit_ok(n == 1000, "long names in %lu KB, %lu parts",
                (unsigned long) size / 1024, (unsigned long) zone->nshards);

        zone_free(zone);
    }
}


int ngx_libc_cdecl
main(int argc, char *const *argv)
{
    unit_start();
    zone_start();

    test_records();
    test_keys();
    test_full(MB);
    test_full(2 * MB);
    test_full(5 * MB);
    test_full(16 * MB);
    test_random(16 * MB, 100);
    test_random(MB, 100);
    test_random(MB, 4097);
    test_random(3 * MB, 1500);
    test_small();

    return unit_done();
}
