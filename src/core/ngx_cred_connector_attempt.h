
/*
 * Copyright (C) ngx_cred_module authors
 * SPDX-License-Identifier: BSD-2-Clause
 */


/*
 * What the files of an attempt at a connector share; nobody else includes it.
 */


#ifndef _NGX_CRED_CONNECTOR_ATTEMPT_H_INCLUDED_
#define _NGX_CRED_CONNECTOR_ATTEMPT_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>
#include <ngx_cred_connector.h>
#include <ngx_cred_undeployment.h>


typedef enum {
    NGX_CRED_ATTEMPT_MATCH = 0,
    NGX_CRED_ATTEMPT_REQUEST,
    NGX_CRED_ATTEMPT_CONTROL,
    NGX_CRED_ATTEMPT_PURGE,
    NGX_CRED_ATTEMPT_VERIFY,
    NGX_CRED_ATTEMPT_LOOK                      /* "verify", to begin with */
} ngx_cred_attempt_step_e;


typedef struct {
    ngx_cred_web_request_t        request;
    ngx_cred_undeployment_t      *u;
    ngx_cred_connector_t         *connector;
    ngx_cred_values_t             values;
    ngx_cred_attempt_step_e       step;
    ngx_uint_t                    purged;      /* calls */
    ngx_str_t                     etag;
    unsigned                      success:1;   /* it says that it did ... */
    unsigned                      proven:1;    /* ... and "verify" found it to
                                                  be gone, if there is one */
    unsigned                      verified:1;  /* it is not there, either way */
    unsigned                      acted:1;     /* it may have, unheard: in this
                                                  attempt */
} ngx_cred_attempt_t;


/*
 * The attempt is over, and gone with its undeployment once these return.
 */

/*
 * It is gone there: since when is known, unless nobody who looks for it has
 * taken it out.  Undeployed, or not deployed; or pending, while caches that
 * nobody can ask may have it.
 */
void ngx_cred_attempt_settle(ngx_cred_attempt_t *attempt);

void ngx_cred_attempt_done(ngx_cred_attempt_t *attempt,
    ngx_cred_state_e state);

/*
 * Whether the target has done what it was asked for: there, within a minute, or
 * with this credential, which nobody has seen there since.
 */
ngx_uint_t ngx_cred_attempt_is_vouched(ngx_cred_attempt_t *attempt);

/* pending: for what was answered, or for "error" (copied) */
void ngx_cred_attempt_refused(ngx_cred_attempt_t *attempt,
    ngx_cred_web_response_t *response, ngx_cred_said_e said);
void ngx_cred_attempt_failed(ngx_cred_attempt_t *attempt,
    ngx_cred_reason_e reason, ngx_str_t *error);

/*
 * What a target answers is told once, until it answers something else: "status"
 * is that, or 0 with no error if it is taken again.
 */
void ngx_cred_attempt_tell(ngx_cred_attempt_t *attempt, ngx_uint_t status,
    ngx_str_t *error);

/*
 * That nothing could be asked for with this credential, or what belongs to it:
 * once, as long as the target is asked for anything.
 */
void ngx_cred_attempt_tell_impossible(ngx_cred_attempt_t *attempt,
    ngx_str_t *error);


#endif /* _NGX_CRED_CONNECTOR_ATTEMPT_H_INCLUDED_ */
