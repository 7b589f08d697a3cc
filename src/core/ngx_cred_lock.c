
/*
 * Copyright (C) ngx_cred_module authors
 * SPDX-License-Identifier: BSD-2-Clause
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <signal.h>
#include <ngx_cred_lock.h>


#define NGX_CRED_LOCK_SPINS  64    /* before it is another's */


ngx_int_t
ngx_cred_lock(ngx_atomic_t *lock)
{
    ngx_uint_t         i;
    ngx_atomic_uint_t  holder;

    for (i = 0; i < NGX_CRED_LOCK_SPINS; i++) {

        if (*lock == 0 && ngx_atomic_cmp_set(lock, 0, ngx_pid)) {
            return NGX_OK;
        }

        if (i == NGX_CRED_LOCK_SPINS / 2) {
            ngx_sched_yield();

        } else {
            ngx_cpu_pause();
        }
    }

    holder = *lock;

    /* this worker holds none: somebody before it has had its pid */

    if (holder
        && ((ngx_pid_t) holder == ngx_pid
            || (kill((ngx_pid_t) holder, 0) == -1 && ngx_errno == NGX_ESRCH))
        && ngx_atomic_cmp_set(lock, holder, ngx_pid))
    {
        return NGX_DECLINED;
    }

    return NGX_BUSY;
}


void
ngx_cred_unlock(ngx_atomic_t *lock)
{
    (void) ngx_atomic_cmp_set(lock, ngx_pid, 0);
}
