
/*
 * Copyright (C) ngx_cred_module authors
 * SPDX-License-Identifier: BSD-2-Clause
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>
#include <ngx_cred_core.h>
#include <ngx_cred_delete.h>
#include <ngx_cred_status.h>


static void ngx_cred_cascade_timer_handler(ngx_event_t *ev);
static void ngx_cred_cascade_over(ngx_cred_delete_t *del);
static ngx_int_t ngx_cred_cascade_receipts(ngx_cred_delete_t *del);
static int ngx_libc_cdecl ngx_cred_cascade_compare(const void *one,
    const void *two);


void
ngx_cred_cascade(ngx_cred_delete_t *del)
{
    ngx_uint_t                i;
    ngx_cred_undeployment_t  *u;

    del->cascade_start = ngx_current_msec;
    del->unanswered = 1;

    for (i = 0; i < del->nundeployments; i++) {
        u = &del->undeployments[i];

        if (u->claimed) {
            del->unanswered++;
            del->held++;
        }
    }

    for (i = 0; i < del->nundeployments; i++) {
        u = &del->undeployments[i];

        if (u->claimed) {
            ngx_cred_undeploy(u);
        }
    }

    if (--del->unanswered == 0 || del->cascade_timeout == 0) {
        ngx_cred_cascade_over(del);
        return;
    }

    del->timer.handler = ngx_cred_cascade_timer_handler;
    del->timer.data = del;
    del->timer.log = ngx_cycle->log;

    ngx_add_timer(&del->timer, del->cascade_timeout);
}


void
ngx_cred_cascade_undeployed(ngx_cred_undeployment_t *u)
{
    ngx_cred_delete_t  *del;

    del = u->data;

    if (--del->unanswered == 0 && !del->cascaded) {
        ngx_cred_cascade_over(del);
    }
}


static void
ngx_cred_cascade_timer_handler(ngx_event_t *ev)
{
    ngx_cred_delete_t  *del;

    del = ev->data;

    /* what has not answered counts as late, and goes on */

    ngx_cred_cascade_over(del);
}


static void
ngx_cred_cascade_over(ngx_cred_delete_t *del)
{
    if (del->timer.timer_set) {
        ngx_del_timer(&del->timer);
    }

    del->cascaded = 1;

    if (del->nundeployments && !del->outcome.dry_run) {
        del->outcome.cascade_time = ngx_current_msec - del->cascade_start;
    }

    if (!del->waiting) {
        ngx_cred_cascade_complete(del);
    }
}


void
ngx_cred_cascade_complete(ngx_cred_delete_t *del)
{
    del->answered = 1;

    if (!del->outcome.dry_run) {
        ngx_cred_status_deleted(del->api_number, del->outcome.result);
    }

    if (del->handler) {

        if (ngx_cred_cascade_receipts(del) != NGX_OK) {
            del->outcome.result = NGX_CRED_UNAVAILABLE;
        }

        del->handler(del->data, &del->outcome);
    }

    if (del->held == 0) {
        ngx_destroy_pool(del->pool);
    }
}


static ngx_int_t
ngx_cred_cascade_receipts(ngx_cred_delete_t *del)
{
    ngx_uint_t                i;
    ngx_cred_receipt_t       *receipt;
    ngx_cred_undeployment_t  *u;

    if (del->nundeployments == 0) {
        return NGX_OK;
    }

    receipt = ngx_palloc(del->pool,
                         del->nundeployments * sizeof(ngx_cred_receipt_t));
    if (receipt == NULL) {
        return NGX_ERROR;
    }

    del->outcome.receipts = receipt;
    del->outcome.nreceipts = del->nundeployments;

    for (i = 0; i < del->nundeployments; i++, receipt++) {
        u = &del->undeployments[i];

        receipt->name = u->environment;
        receipt->state = u->state;
        receipt->reason = u->reason;

        switch (u->state) {

        case NGX_CRED_PENDING:
            del->outcome.npending++;
            break;

        case NGX_CRED_NOT_DEPLOYED:
            del->outcome.nnot_deployed++;
            break;

        case NGX_CRED_SUPERSEDED:
            del->outcome.nsuperseded++;
            break;

        default:
            break;
        }
    }

    ngx_qsort(del->outcome.receipts, del->outcome.nreceipts,
              sizeof(ngx_cred_receipt_t), ngx_cred_cascade_compare);

    return NGX_OK;
}


static int ngx_libc_cdecl
ngx_cred_cascade_compare(const void *one, const void *two)
{
    const ngx_cred_receipt_t  *first, *second;

    first = one;
    second = two;

    return (int) ngx_memn2cmp(first->name.data, second->name.data,
                              first->name.len, second->name.len);
}


void
ngx_cred_cascade_release(ngx_cred_undeployment_t *u)
{
    ngx_cred_delete_release(u->data);
}


void
ngx_cred_delete_release(ngx_cred_delete_t *del)
{
    if (--del->held == 0 && del->answered) {
        ngx_destroy_pool(del->pool);
    }
}


void
ngx_cred_delete_forget(ngx_cred_delete_t *del)
{
    del->handler = NULL;

    /* an exiting worker need not wait for it, either */

    del->timer.cancelable = 1;
}
