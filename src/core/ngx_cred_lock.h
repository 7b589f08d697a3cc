
/*
 * Copyright (C) ngx_cred_module authors
 * SPDX-License-Identifier: BSD-2-Clause
 */


/* a lock in shared memory that survives its holder, and is not waited for */


#ifndef _NGX_CRED_LOCK_H_INCLUDED_
#define _NGX_CRED_LOCK_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>


/*
 * "lock" is the pid of its holder, or 0.  NGX_OK: it is this worker's;
 * NGX_DECLINED: it is, and its last holder has died over it; NGX_BUSY: it is
 * another's.
 */
ngx_int_t ngx_cred_lock(ngx_atomic_t *lock);
void ngx_cred_unlock(ngx_atomic_t *lock);


#endif /* _NGX_CRED_LOCK_H_INCLUDED_ */
