
/*
 * Copyright (C) ngx_cred_module authors
 * SPDX-License-Identifier: BSD-2-Clause
 */


/* the check of a key: what the cache says, and what may be used of it */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>
#include <ngx_cred_clock.h>
#include <ngx_cred_lookup.h>


static ngx_int_t ngx_cred_access_question(ngx_cred_access_t *access,
    ngx_cred_zone_key_t *key, u_char *hash);
static ngx_int_t ngx_cred_access_names(ngx_cred_access_t *access,
    ngx_cred_zone_record_t *record);
static void ngx_cred_access_unescape(ngx_str_t *name, u_char *p, u_char *last);


ngx_int_t
ngx_cred_access(ngx_cred_access_t *access)
{
    u_char                  hash[NGX_CRED_HASH_LEN];
    ngx_int_t               rc;
    ngx_cred_lookup_e       how;
    ngx_cred_zone_key_t     key;
    ngx_cred_zone_record_t  record;

    access->result = NGX_CRED_ACCESS_UNAVAILABLE;
    access->hit = 0;
    access->lookup = NULL;
    access->arrived = ngx_cred_clock();

    if (ngx_cred_access_question(access, &key, hash) != NGX_OK) {
        return NGX_OK;
    }

    rc = ngx_cred_zone_get(access->gateway->zone, &key, &record);

    if (rc == NGX_OK && ngx_cred_access_usable(access, &record)) {
        access->hit = 1;
        (void) ngx_cred_access_answer(access, &record);
        return NGX_OK;
    }

    if (rc == NGX_BUSY) {
        how = NGX_CRED_LOOKUP_QUIETLY;

    } else if (rc == NGX_OK && record.state == NGX_CRED_ZONE_LOOKING) {
        how = NGX_CRED_LOOKUP_OTHERS;

    } else {
        how = NGX_CRED_LOOKUP_OPENLY;
    }

    return ngx_cred_lookup(access, &key, hash, how);
}


void
ngx_cred_access_forget(ngx_cred_access_t *access)
{
    if (access->lookup) {
        ngx_queue_remove(&access->queue);
        access->lookup = NULL;
    }
}


/* with a grant it is another question, which has a hash of its own */

static ngx_int_t
ngx_cred_access_question(ngx_cred_access_t *access, ngx_cred_zone_key_t *key,
    u_char *hash)
{
    u_char      both[NGX_CRED_HASH_LEN + NGX_CRED_NAME_LEN];
    u_char     *p, mixed[NGX_CRED_HASH_LEN];
    ngx_str_t   s;

    /* who knows a hash must not be able to show it as a key */

    key->environment = ngx_cred_zone_number(access->gateway->environment);
    key->api = (u_short) (access->api_number << 1 | (access->grant.len != 0));

    if (ngx_cred_hash(&access->key, hash) != NGX_OK) {
        return NGX_ERROR;
    }

    ngx_memcpy(access->shown, hash, sizeof(access->shown));

    if (access->grant.len == 0) {
        ngx_memcpy(key->hash, hash, NGX_CRED_ZONE_HASH_LEN);
        return NGX_OK;
    }

    if (access->grant.len > NGX_CRED_NAME_LEN) {
        return NGX_ERROR;
    }

    p = ngx_cpymem(both, hash, NGX_CRED_HASH_LEN);
    p = ngx_cpymem(p, access->grant.data, access->grant.len);

    s.data = both;
    s.len = p - both;

    if (ngx_cred_hash(&s, mixed) != NGX_OK) {
        return NGX_ERROR;
    }

    ngx_memcpy(key->hash, mixed, NGX_CRED_ZONE_HASH_LEN);

    return NGX_OK;
}


/*
 * An unknown key is refused for as long as that may be late; a known one passes
 * if the lookup was sent after it had come, or by the rule of the cache.
 */

ngx_uint_t
ngx_cred_access_usable(ngx_cred_access_t *access,
    ngx_cred_zone_record_t *record)
{
    ngx_msec_t           valid;
    ngx_cred_gateway_t  *gateway;

    if (record->state == NGX_CRED_ZONE_LOOKING) {
        return 0;
    }

    if (record->sent > access->arrived) {
        return 1;
    }

    gateway = access->gateway;

    valid = (record->state == NGX_CRED_ZONE_KNOWN) ? access->valid
                                                   : access->missing;

    if (access->arrived - record->sent >= (uint64_t) valid * NGX_CRED_MSEC) {
        return 0;
    }

    if (record->state == NGX_CRED_ZONE_UNKNOWN) {
        return 1;
    }

    /*
     * In this order: a process may be stopped between the two, and the lease it
     * finds then may be one that was given for what it has not seen.  That
     * there was one when the request came is enough: then it is not late.
     */

    return (record->expires == 0 || access->arrived < record->expires)
           && ngx_cred_zone_leased(gateway->environment, access->arrived)
           && ngx_cred_zone_current(gateway->zone, gateway->environment,
                                    record);
}


ngx_int_t
ngx_cred_access_answer(ngx_cred_access_t *access,
    ngx_cred_zone_record_t *record)
{
    if (record->state == NGX_CRED_ZONE_UNKNOWN) {
        access->result = NGX_CRED_ACCESS_UNKNOWN;
        return NGX_OK;
    }

    if (ngx_cred_access_names(access, record) != NGX_OK) {
        access->result = NGX_CRED_ACCESS_UNAVAILABLE;
        return NGX_ERROR;
    }

    access->result = NGX_CRED_ACCESS_KNOWN;
    access->granted = record->granted;

    return NGX_OK;
}


static ngx_int_t
ngx_cred_access_names(ngx_cred_access_t *access, ngx_cred_zone_record_t *record)
{
    u_char  *p, *colon, *last;

    p = ngx_pnalloc(access->pool, record->len);
    if (p == NULL) {
        return NGX_ERROR;
    }

    ngx_memcpy(p, record->pointer, record->len);

    last = p + record->len;
    colon = memchr(p, ':', record->len);

    ngx_cred_access_unescape(&access->scope, p, colon);
    ngx_cred_access_unescape(&access->id, colon + 1, last);

    return NGX_OK;
}


/* in place; access.lua lets no others pass than %25 and %3A */

static void
ngx_cred_access_unescape(ngx_str_t *name, u_char *p, u_char *last)
{
    u_char  *dst;

    name->data = p;

    dst = memchr(p, '%', last - p);

    if (dst == NULL) {
        name->len = last - p;
        return;
    }

    for (p = dst; p < last; /* void */ ) {

        if (*p == '%' && last - p > 2) {
            *dst++ = (p[1] == '2') ? '%' : ':';
            p += 3;

        } else {
            *dst++ = *p++;
        }
    }

    name->len = dst - name->data;
}
