
/*
 * Copyright (C) ngx_cred_module authors
 * SPDX-License-Identifier: BSD-2-Clause
 */


/*
 * What the registry and its environments say of themselves when somebody wants
 * to see it: pending entries, operations, the audit, gateways.
 */


#ifndef _NGX_CRED_SURVEY_H_INCLUDED_
#define _NGX_CRED_SURVEY_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_cred_core.h>


#define NGX_CRED_SURVEY_NAMES   3


typedef struct ngx_cred_survey_s  ngx_cred_survey_t;

typedef void (*ngx_cred_survey_handler_pt)(ngx_cred_survey_t *survey);


typedef enum {
    NGX_CRED_SURVEY_ALL = 0,     /* environments, and the last of the audit */
    NGX_CRED_SURVEY_OPERATION,   /* by its id */
    NGX_CRED_SURVEY_ENVIRONMENT, /* its oldest pending entries, by its name */
    NGX_CRED_SURVEY_CREDENTIAL   /* by API, scope and id: the operation that is
                                    open, and the last of the audit */
} ngx_cred_survey_what_e;


/* strings as they are in Redis, of any bytes */

typedef struct {
    ngx_keyval_t                *fields;
    ngx_uint_t                   nfields;
} ngx_cred_record_t;


typedef struct {
    ngx_str_t                    name;
    ngx_str_t                    connector;   /* that its URL names; or empty */
    ngx_int_t                    pending;     /* how many entries; -1: not
                                                 known */
    off_t                        since;       /* ms since the epoch, of the
                                                 oldest; 0: none */

    /* records, with "name" and so on */

    ngx_cred_record_t           *gateways;
    ngx_uint_t                   ngateways;
    off_t                        now;         /* by this Redis' clock, in ms;
                                                 0: it was not asked, or has
                                                 not answered */

    unsigned                     registered:1;
} ngx_cred_survey_environment_t;


struct ngx_cred_survey_s {
    ngx_pool_t                     *pool;
    ngx_cred_registry_t            *registry;
    ngx_cred_survey_handler_pt      handler;
    void                           *data;

    ngx_str_t                       error;    /* empty: the registry answered */
    ngx_uint_t                      refused;  /* it answered by that error */
    off_t                           now;      /* by its clock, in ms */
    ngx_cred_survey_environment_t  *environments;
    ngx_uint_t                      nenvironments;
    ngx_uint_t                      more;     /* there are, without room */
    ngx_cred_record_t              *records;  /* all others */
    ngx_uint_t                      nrecords;

    ngx_uint_t                      nasked;   /* for their gateways */
    ngx_uint_t                      unanswered;
    ngx_cred_redis_command_t        command;
    ngx_str_t                       shared[2];
    ngx_str_t                       args[1 + NGX_CRED_SURVEY_NAMES];
};


/*
 * Asks for "what", with its "names" (NULL for NGX_CRED_SURVEY_ALL).  NGX_OK: it
 * is answered, with an error; NGX_AGAIN: "handler" will be called, from an
 * event handler, unless it is done before; NGX_ERROR: there is no memory.  It
 * takes no longer than twice connecting and a command.
 */
ngx_int_t ngx_cred_survey(ngx_cred_registry_t *registry,
    ngx_cred_survey_what_e what, ngx_str_t *names,
    ngx_cred_survey_handler_pt handler, void *data, ngx_cred_survey_t **sp);

/* it is of no more use, answered or not */
void ngx_cred_survey_done(ngx_cred_survey_t *survey);

/* the value of a field; NULL if the record has none */
ngx_str_t *ngx_cred_record_get(ngx_cred_record_t *record, const char *field);

/* as a number of milliseconds and so on; "none" if it is none */
off_t ngx_cred_record_number(ngx_cred_record_t *record, const char *field,
    off_t none);


#endif /* _NGX_CRED_SURVEY_H_INCLUDED_ */
