
/*
 * Copyright (C) ngx_cred_module authors
 * SPDX-License-Identifier: BSD-2-Clause
 */


#include <unit.h>
#include <stdio.h>


static void unit_result(ngx_uint_t ok, const char *fmt, va_list args);
static void unit_show(const char *what, ngx_str_t *s);
static void unit_print(u_char *p, size_t len);


ngx_pool_t           *unit_pool;
ngx_log_t             unit_log;

static ngx_uint_t     unit_tests;
static ngx_uint_t     unit_failures;
static ngx_int_t      unit_allocations = -1;
static ngx_uint_t     unit_refused;

/* what the sources of nginx want of the rest of it */

ngx_pid_t             ngx_pid;
ngx_int_t             ngx_ncpu;
volatile ngx_cycle_t *ngx_cycle;
volatile ngx_time_t  *ngx_cached_time;
volatile ngx_msec_t   ngx_current_msec;


void
ngx_log_error_core(ngx_uint_t level, ngx_log_t *log, ngx_err_t err,
    const char *fmt, ...)
{
    u_char   *p, *last;
    va_list   args;
    u_char    buf[NGX_MAX_ERROR_STR];

    /* as it would be written */

    last = buf + NGX_MAX_ERROR_STR;

    va_start(args, fmt);
    p = ngx_vslprintf(buf, last, fmt, args);
    va_end(args);

    if (log->handler) {
        p = log->handler(log, p, last - p);
    }

    if (log->writer) {
        log->writer(log, level, buf, p - buf);
    }
}


void
ngx_debug_point(void)
{
    abort();
}


/* malloc() of the sources, by the linker's --wrap; the rest keeps its own */

void *__wrap_malloc(size_t size);
void *__real_malloc(size_t size);


void *
__wrap_malloc(size_t size)
{
    return unit_malloc(size);
}


void *
unit_malloc(size_t size)
{
    if (unit_allocations == 0) {
        unit_refused = 1;
        return NULL;
    }

    if (unit_allocations > 0) {
        unit_allocations--;
    }

    return __real_malloc(size);
}


ngx_uint_t
unit_memory(ngx_int_t n)
{
    ngx_uint_t  refused;

    refused = unit_refused;

    unit_allocations = n;
    unit_refused = 0;

    return refused;
}


void
unit_start(void)
{
    setvbuf(stdout, NULL, _IOLBF, 0);

    ngx_pagesize = getpagesize();
    ngx_cacheline_size = NGX_CPU_CACHE_LINE;

    unit_pool = ngx_create_pool(NGX_MIN_POOL_SIZE, &unit_log);

    if (unit_pool == NULL) {
        printf("Bail out! no memory\n");
        exit(2);
    }
}


int
unit_done(void)
{
    ngx_destroy_pool(unit_pool);

    printf("1..%lu\n", (unsigned long) unit_tests);

    return unit_failures ? 1 : 0;
}


void
unit_ok(ngx_uint_t ok, const char *fmt, ...)
{
    va_list  args;

    va_start(args, fmt);
    unit_result(ok, fmt, args);
    va_end(args);
}


void
unit_is(ngx_str_t *got, ngx_str_t *expected, const char *fmt, ...)
{
    va_list     args;
    ngx_uint_t  ok;

    ok = (got->len == expected->len
          && (got->len == 0
              || ngx_memcmp(got->data, expected->data, got->len) == 0));

    va_start(args, fmt);
    unit_result(ok, fmt, args);
    va_end(args);

    if (!ok) {
        unit_show("got", got);
        unit_show("expected", expected);
    }
}


ngx_str_t *
unit_bytes(const char *data, size_t len)
{
    ngx_str_t  *s;

    s = ngx_palloc(unit_pool, sizeof(ngx_str_t));

    if (s != NULL) {
        s->len = len;
        s->data = ngx_pnalloc(unit_pool, len);
    }

    if (s == NULL || s->data == NULL) {
        printf("Bail out! no memory\n");
        exit(2);
    }

    ngx_memcpy(s->data, data, len);

    return s;
}


ngx_str_t *
unit_format(const char *fmt, ...)
{
    u_char   *last;
    va_list   args;
    u_char    buf[4096];

    va_start(args, fmt);
    last = ngx_vslprintf(buf, buf + sizeof(buf), fmt, args);
    va_end(args);

    return unit_bytes((char *) buf, last - buf);
}


ngx_str_t *
unit_repeat(u_char c, size_t n)
{
    size_t      i;
    ngx_str_t  *s;

    s = unit_bytes("", 0);

    s->data = ngx_pnalloc(unit_pool, n);
    if (s->data == NULL) {
        printf("Bail out! no memory\n");
        exit(2);
    }

    for (i = 0; i < n; i++) {
        s->data[i] = c;
    }

    s->len = n;

    return s;
}


static void
unit_result(ngx_uint_t ok, const char *fmt, va_list args)
{
    int   len;
    char  name[512];

    unit_tests++;

    if (!ok) {
        unit_failures++;
    }

    len = vsnprintf(name, sizeof(name), fmt, args);
    len = ngx_min(len, (int) sizeof(name) - 1);

    printf("%sok %lu - ", ok ? "" : "not ", (unsigned long) unit_tests);
    unit_print((u_char *) name, len);
    printf("\n");
}


static void
unit_show(const char *what, ngx_str_t *s)
{
    printf("# %8s: ", what);
    unit_print(s->data, s->len);
    printf("\n");
}


static void
unit_print(u_char *p, size_t len)
{
    size_t  i;

    for (i = 0; i < len; i++) {

        if (p[i] < 0x20 || p[i] == 0x7f || p[i] == '#') {
            printf("\\x%02x", p[i]);

        } else {
            putchar(p[i]);
        }
    }
}
