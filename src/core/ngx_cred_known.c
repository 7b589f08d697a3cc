
/*
 * Copyright (C) ngx_cred_module authors
 * SPDX-License-Identifier: BSD-2-Clause
 */


/*
 * What the registry knows for an attempt at a connector, and what it is told of
 * one beside its state.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>
#include <ngx_cred_core.h>
#include <ngx_cred_undeployment.h>


#define NGX_CRED_KNOWN_DIGITS  15    /* of a time, in milliseconds */
#define NGX_CRED_KNOWN_TRACE   55    /* a "traceparent" of version 00 */
#define NGX_CRED_KNOWN_TARGET  512


static ngx_int_t ngx_cred_known_time(u_char *p, size_t len, int64_t *time);
static ngx_int_t ngx_cred_known_trace(u_char *p, size_t len, ngx_str_t *trace);


ngx_int_t
ngx_cred_known(ngx_str_t *text, ngx_cred_known_t *known)
{
    u_char  *p, *end, *last;

    ngx_memzero(known, sizeof(ngx_cred_known_t));

    if (text->len == 0) {
        return NGX_OK;
    }

    p = text->data;
    last = p + text->len;

    end = ngx_strlchr(p, last, ' ');

    if (end == NULL
        || ngx_cred_known_time(p, end - p, &known->unclear) != NGX_OK)
    {
        return NGX_ERROR;
    }

    p = end + 1;
    end = ngx_strlchr(p, last, ' ');

    if (end == NULL
        || ngx_cred_known_time(p, end - p, &known->heard) != NGX_OK)
    {
        return NGX_ERROR;
    }

    p = end + 1;
    end = ngx_strlchr(p, last, ' ');

    if (end == NULL
        || ngx_cred_known_trace(p, end - p, &known->trace) != NGX_OK)
    {
        return NGX_ERROR;
    }

    p = end + 1;

    if (last - p > NGX_CRED_KNOWN_TARGET) {
        return NGX_ERROR;
    }

    known->target.data = p;
    known->target.len = last - p;

    return NGX_OK;
}


static ngx_int_t
ngx_cred_known_time(u_char *p, size_t len, int64_t *time)
{
    off_t  ms;

    if (len > NGX_CRED_KNOWN_DIGITS || (len > 1 && p[0] == '0')) {
        return NGX_ERROR;
    }

    ms = ngx_atoof(p, len);

    if (ms == NGX_ERROR) {
        return NGX_ERROR;
    }

    *time = ms;

    return NGX_OK;
}


/* it goes into a header */

static ngx_int_t
ngx_cred_known_trace(u_char *p, size_t len, ngx_str_t *trace)
{
    size_t  i;

    if (len == 1 && p[0] == '-') {
        return NGX_OK;
    }

    if (len != NGX_CRED_KNOWN_TRACE) {
        return NGX_ERROR;
    }

    for (i = 0; i < len; i++) {

        if (!((p[i] >= '0' && p[i] <= '9') || (p[i] >= 'a' && p[i] <= 'f')
              || p[i] == '-'))
        {
            return NGX_ERROR;
        }
    }

    trace->data = p;
    trace->len = len;

    return NGX_OK;
}


void
ngx_cred_known_how(ngx_cred_undeployment_t *u, ngx_str_t *how)
{
    u_char  *p, *last;

    how->data = u->how;
    how->len = 0;

    if (u->state != NGX_CRED_PENDING) {
        return;
    }

    p = u->how;
    last = u->how + sizeof(u->how);

    if (u->due != NGX_CRED_DUE_BACKOFF) {
        p = ngx_slprintf(p, last, " due=%M", u->due);
    }

    if (u->unclear_now) {
        p = ngx_slprintf(p, last, " unclear");
    }

    if (u->heard_now) {
        p = ngx_slprintf(p, last, " heard");
    }

    if (u->unattempted) {
        p = ngx_slprintf(p, last, " unattempted");
    }

    if (p != u->how) {
        how->data = u->how + 1;
        how->len = p - how->data;
    }
}
