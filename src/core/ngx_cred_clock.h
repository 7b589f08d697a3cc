
/*
 * Copyright (C) ngx_cred_module authors
 * SPDX-License-Identifier: BSD-2-Clause
 */


/*
 * The clock itself.  nginx's cached time is as old as the turn of the event
 * loop, and a worker may have been stopped since.
 */


#ifndef _NGX_CRED_CLOCK_H_INCLUDED_
#define _NGX_CRED_CLOCK_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <time.h>


#define NGX_CRED_MSEC  1000000   /* nanoseconds */


/*
 * Nanoseconds since the machine started, the same in all processes.  It goes on
 * while the machine is suspended, where there is such a clock.
 */

static ngx_inline uint64_t
ngx_cred_clock(void)
{
    struct timespec  ts;

#ifdef CLOCK_BOOTTIME
    (void) clock_gettime(CLOCK_BOOTTIME, &ts);
#else
    (void) clock_gettime(CLOCK_MONOTONIC, &ts);
#endif

    return (uint64_t) ts.tv_sec * 1000000000 + ts.tv_nsec;
}


/* for what is outwaited: it may stand still meanwhile, but nobody sets it */

static ngx_inline uint64_t
ngx_cred_clock_monotonic(void)
{
    struct timespec  ts;

#ifdef CLOCK_MONOTONIC_RAW
    (void) clock_gettime(CLOCK_MONOTONIC_RAW, &ts);
#else
    (void) clock_gettime(CLOCK_MONOTONIC, &ts);
#endif

    return (uint64_t) ts.tv_sec * 1000000000 + ts.tv_nsec;
}


#endif /* _NGX_CRED_CLOCK_H_INCLUDED_ */
