
/*
 * Copyright (C) ngx_cred_module authors
 * SPDX-License-Identifier: BSD-2-Clause
 */


/*
 * The core room: the delete of a credential in the registry, its cascade to
 * the environments, the receipts, and the background retry.  It knows no HTTP.
 */


#ifndef _NGX_CRED_CORE_H_INCLUDED_
#define _NGX_CRED_CORE_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_cred_redis.h>


#define NGX_CRED_VERSION             "0.2.0"

#define NGX_CRED_OPERATION_LEN       32
#define NGX_CRED_HASH_LEN            32   /* SHA-256 */
#define NGX_CRED_HASH_HEX_LEN        64
#define NGX_CRED_NAME_LEN            512  /* longer scopes and ids are cut
                                             before they are stored */
#define NGX_CRED_TOKEN_SHOWN         8   /* digits of a hash, in logs */
#define NGX_CRED_LEASE_MAX           3600000  /* of a gateway, milliseconds */

#define NGX_CRED_CONNECTOR_SCHEME    "connector:"
#define NGX_CRED_CONNECTOR_LEN       (sizeof(NGX_CRED_CONNECTOR_SCHEME) - 1)

#define NGX_CRED_REGISTRY_UNNUMBERED  ((ngx_uint_t) -1)


/* how a delete ended; ngx_cred_result_name() has the words of $cred_result */

typedef enum {
    NGX_CRED_DELETED = 0,
    NGX_CRED_RESUMED,           /* was deleted before, is still pending */
    NGX_CRED_UNAUTHORIZED,      /* invalid token */
    NGX_CRED_INVALID,           /* valid token, bad request */
    NGX_CRED_SCOPE_NOT_FOUND,   /* no such scope, or the subject not in it */
    NGX_CRED_RATE_LIMITED,
    NGX_CRED_FORBIDDEN,
    NGX_CRED_NOT_FOUND,         /* no such credential, nothing pending */
    NGX_CRED_IN_USE,
    NGX_CRED_NEWER,             /* "superseded": the credential has a higher
                                   revision than the one that was meant */
    NGX_CRED_UNAVAILABLE,       /* no word from the registry */
    NGX_CRED_NRESULTS
} ngx_cred_result_e;


/* how one undeployment stands */

typedef enum {
    NGX_CRED_PENDING = 0,
    NGX_CRED_UNDEPLOYED,
    NGX_CRED_NOT_DEPLOYED,      /* was not there: success as well */
    NGX_CRED_SUPERSEDED,        /* a newer copy is there and stays: no success,
                                   and not retried */
    NGX_CRED_UNREGISTERED,      /* the environment has not been registered
                                   for long: it was dropped */
    NGX_CRED_NSTATES
} ngx_cred_state_e;


/* why it is pending */

typedef enum {
    NGX_CRED_LATE = 0,          /* no answer in time */
    NGX_CRED_UNREACHABLE,
    NGX_CRED_REFUSED,           /* answered with an error */
    NGX_CRED_GATEWAYS,          /* it is gone there, and a gateway may still
                                   have it */
    NGX_CRED_NREASONS
} ngx_cred_reason_e;


/* what an API demands beyond a valid token; checked by delete.lua */

typedef struct {
    ngx_uint_t                  rate;          /* deletes per minute and
                                                  scope, 0 is unlimited */
    ngx_str_t                   role;          /* only the owner, or a subject
                                                  with this role; empty: any */
    unsigned                    membership:1;  /* scope exists, the subject is
                                                  a member with "manage" */
    unsigned                    uses:1;        /* not while it is in use */
} ngx_cred_rules_t;


/* how far delete.lua goes */

typedef enum {
    NGX_CRED_CHECK_ALL = 0,
    NGX_CRED_CHECK_ABSENT,      /* no credential can have this id */
    NGX_CRED_CHECK_NOWHERE,     /* and no scope this name */
    NGX_CRED_CHECK_TOKEN,       /* the request is bad: NGX_CRED_INVALID is the
                                   answer once the token is valid */
} ngx_cred_check_e;


/* what a delete is asked for; copied by ngx_cred_delete() */

typedef struct {
    ngx_str_t                   api;
    ngx_uint_t                  api_number; /* in ngx_cred_apis */
    ngx_cred_rules_t           *rules;
    ngx_str_t                   token;      /* as shown by the caller */
    ngx_str_t                   subject;    /* whose token it must be, or
                                               empty */
    ngx_str_t                   scope;      /* empty: the token's own */
    ngx_str_t                   id;
    ngx_str_t                   client;     /* address, for the audit */
    ngx_str_t                   traceparent;   /* or empty */
    ngx_str_t                   revision;   /* digits: what has a higher one is
                                               not deleted; zero or empty:
                                               whichever it has */
    ngx_cred_check_e            check;
    ngx_msec_t                  cascade_timeout;
    unsigned                    hurried:1;  /* by that, not the registry's */
    unsigned                    dry_run:1;  /* nothing is written, and none of
                                               the environments is asked */
} ngx_cred_params_t;


typedef struct {
    ngx_str_t                   name;       /* of the environment */
    ngx_cred_state_e            state;
    ngx_cred_reason_e           reason;     /* if it is pending */
} ngx_cred_receipt_t;


/* what came of a delete */

typedef struct {
    ngx_cred_result_e           result;
    ngx_str_t                   operation;  /* empty unless deleted, resumed */
    ngx_str_t                   subject;    /* empty if the token is invalid */
    ngx_str_t                   scope;
    ngx_str_t                   token;      /* the first digits of its SHA-256;
                                               empty if none was shown */

    ngx_cred_receipt_t         *receipts;   /* sorted by name */
    ngx_uint_t                  nreceipts;
    ngx_uint_t                  npending;
    ngx_uint_t                  nnot_deployed;
    ngx_uint_t                  nsuperseded;

    ngx_int_t                   rate_limit;
    ngx_int_t                   rate_remaining;
    time_t                      rate_reset; /* unix seconds; 0: not counted */
    time_t                      retry_after;   /* seconds to the reset */

    unsigned                    dry_run:1;  /* what would have come of it:
                                               without an operation, unless it
                                               would have been resumed */

    ngx_uint_t                  replicas;   /* that have it, of those wanted;
                                               see ngx_cred_wait_t */
    ngx_uint_t                  replicas_wanted;

    ngx_msec_int_t              registry_time; /* milliseconds; -1: none */
    ngx_msec_int_t              cascade_time;
} ngx_cred_outcome_t;


typedef struct ngx_cred_registry_s  ngx_cred_registry_t;
typedef struct ngx_cred_delete_s    ngx_cred_delete_t;
typedef struct ngx_cred_fence_s     ngx_cred_fence_t;


/* what the outcome of a delete waits for beside its cascade */

typedef struct {
    ngx_uint_t                  replicas;   /* of the registry; 0: nothing */
    ngx_msec_t                  time;       /* no longer than that */
    ngx_flag_t                  aof;        /* on disk, here and there */
} ngx_cred_wait_t;


/* called once, from an event handler; "outcome" dies on return */

typedef void (*ngx_cred_delete_handler_pt)(void *data,
    ngx_cred_outcome_t *outcome);


/*
 * A registry with its settings, one for each distinct set; made by the
 * configuration, finished by ngx_cred_registry_init().
 */

struct ngx_cred_registry_s {
    ngx_str_t                   url;
    ngx_str_t                   name;       /* for people: no password */
    ngx_str_t                   prefix;
    ngx_cred_redis_conf_t       redis;
    ngx_cred_redis_conf_t       environments;
    ngx_msec_t                  cascade_timeout;
    ngx_msec_t                  retry_min;
    ngx_msec_t                  retry_max;
    ngx_msec_t                  unregistered_delay;
    ngx_cred_wait_t             wait;
    ngx_int_t                   audit_length;  /* entries of P:audit */

    unsigned                    deletes:1;  /* "cred_delete" is on with it */
    unsigned                    deserted:1; /* of this worker: the last delete
                                               concerned no environment */
    ngx_cred_fence_t           *fence;      /* NULL: there is no wait */

    ngx_array_t                *connectors; /* ngx_cred_connector_t *, of all
                                               registries */

    ngx_uint_t                  number;     /* its place in the status, or
                                               NGX_CRED_REGISTRY_UNNUMBERED */

    /* what commands have in common, written once */

    ngx_str_t                   audit;      /* P:audit */
    ngx_str_t                   positions;  /* P:positions */
    ngx_str_t                   lease;      /* milliseconds */
    ngx_str_t                   keep;
    ngx_str_t                   entries;    /* audit_length */
    ngx_str_t                   acknowledge[5];
};


/*
 * Finishes a registry whose settings are filled in; "pool" is the
 * configuration's.  Returns NGX_OK or NGX_ERROR.
 */
ngx_int_t ngx_cred_registry_init(ngx_cred_registry_t *registry,
    ngx_pool_t *pool);

/*
 * Makes the connectors (ngx_cred_connector_t *) known, which live as long as
 * the registry: a claim lasts as long as the slowest of them.  NGX_OK or
 * NGX_ERROR.
 */
ngx_int_t ngx_cred_registry_connect(ngx_cred_registry_t *registry,
    ngx_array_t *connectors, ngx_pool_t *pool);

/* whether the URL of an environment names a connector */
#define ngx_cred_is_connector(url)                                            \
    ((url)->len >= NGX_CRED_CONNECTOR_LEN                                     \
     && ngx_strncmp((url)->data, NGX_CRED_CONNECTOR_SCHEME,                   \
                    NGX_CRED_CONNECTOR_LEN) == 0)

/*
 * The SHA-256 of "s", NGX_CRED_HASH_LEN bytes, or NGX_CRED_HASH_HEX_LEN digits
 * of it.  NGX_OK, or NGX_ERROR if OpenSSL has none or there is no memory.
 */
ngx_int_t ngx_cred_hash(ngx_str_t *s, u_char *hash);
ngx_int_t ngx_cred_hash_hex(ngx_str_t *s, u_char *hex);

/* the word of $cred_result and of the audit stream; a constant */
ngx_str_t *ngx_cred_result_name(ngx_cred_result_e result);

/* the word of a receipt; a constant */
ngx_str_t *ngx_cred_state_name(ngx_cred_state_e state);

/*
 * Starts the delete of a credential.  Returns NGX_AGAIN when "handler" will be
 * called with "data", or NGX_DECLINED when the registry is out of reach or has
 * no room: nothing was sent and nothing will be called.
 * With NGX_AGAIN "*del" is the operation, for ngx_cred_delete_forget(); it is
 * gone once the handler was called.
 */
ngx_int_t ngx_cred_delete(ngx_cred_registry_t *registry,
    ngx_cred_params_t *params, ngx_cred_delete_handler_pt handler, void *data,
    ngx_cred_delete_t **del);

/*
 * The caller is gone: its handler will not be called.  The operation itself
 * goes on to its end.
 */
void ngx_cred_delete_forget(ngx_cred_delete_t *del);

/*
 * Starts the background retry for a registry in this worker, until it exits;
 * it needs no request.  Returns NGX_OK or NGX_ERROR.
 */
ngx_int_t ngx_cred_retry_start(ngx_cred_registry_t *registry,
    ngx_cycle_t *cycle);


#endif /* _NGX_CRED_CORE_H_INCLUDED_ */
