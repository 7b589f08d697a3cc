
/*
 * Copyright (C) ngx_cred_module authors
 * SPDX-License-Identifier: BSD-2-Clause
 */


/*
 * Tests of the pure parts, outside of nginx: results in TAP, and memory that
 * the sanitizers see, each allocation from a pool being one of its own.
 */


#ifndef _UNIT_H_INCLUDED_
#define _UNIT_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>


#define unit_string(text)  unit_bytes(text, sizeof(text) - 1)


extern ngx_pool_t  *unit_pool;
extern ngx_log_t    unit_log;


void unit_start(void);

/* prints the plan, frees the pool; what main() returns */
int unit_done(void);

/*
 * From the n-th next allocation on there is no memory, until it is called
 * again; with -1 there is enough.  Returns whether an allocation failed since
 * the last call.
 */
ngx_uint_t unit_memory(ngx_int_t n);

/* what allocates for jansson and nginx */
void *unit_malloc(size_t size);

/* one line of TAP; the name is as of printf() */
void unit_ok(ngx_uint_t ok, const char *fmt, ...)
    __attribute__ ((format(printf, 2, 3)));

/* the same for bytes, shown if they differ */
void unit_is(ngx_str_t *got, ngx_str_t *expected, const char *fmt, ...)
    __attribute__ ((format(printf, 3, 4)));

/* a copy with nothing around it that may be read */
ngx_str_t *unit_bytes(const char *data, size_t len);

/* the same, formatted by ngx_sprintf(); at most 4096 bytes */
ngx_str_t *unit_format(const char *fmt, ...);

/* "n" times "c" */
ngx_str_t *unit_repeat(u_char c, size_t n);


#endif /* _UNIT_H_INCLUDED_ */
