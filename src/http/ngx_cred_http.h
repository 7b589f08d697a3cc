
/*
 * Copyright (C) ngx_cred_module authors
 * SPDX-License-Identifier: BSD-2-Clause
 */


/*
 * The http room: the only one that knows requests.  It intercepts, sends the
 * answer, and gives the variables.
 */


#ifndef _NGX_CRED_HTTP_H_INCLUDED_
#define _NGX_CRED_HTTP_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>
#include <ngx_cred_api.h>
#include <ngx_cred_status.h>


typedef struct ngx_http_cred_ssl_context_s  ngx_http_cred_ssl_context_t;
typedef struct ngx_http_cred_secret_s       ngx_http_cred_secret_t;


typedef struct {
    ngx_array_t                 registries;    /* ngx_cred_registry_t * */
    ngx_array_t                 passwords;     /* ngx_cred_redis_password_t *,
                                                  of environments, too */
    ngx_array_t                 contexts;      /* ngx_http_cred_ssl_context_t
                                                  * */
    ngx_array_t                 connectors;    /* ngx_cred_connector_t * */
    ngx_array_t                 secrets;       /* ngx_http_cred_secret_t * */
    ngx_uint_t                  intercepted;   /* "cred_delete" is somewhere */

    ngx_uint_t                  shown;         /* "cred_status" is somewhere */
    ngx_str_t                   status_name;   /* of its zone */
    size_t                      status_size;   /* 0: the default */
    ngx_cred_status_t          *status;        /* NULL: there is none */
} ngx_http_cred_main_conf_t;


#define NGX_HTTP_CRED_PREFIX           "{cred}"
#define NGX_HTTP_CRED_CONNECT_TIMEOUT  1000


/* a host name that was not known when nginx started */

typedef struct {
    char                       *err;
    ngx_uint_t                  warned;        /* unsigned  warned:1; */
} ngx_http_cred_unresolved_t;


/* what a directive says of a Redis; "url" is UNSET_PTR without it */

typedef struct {
    ngx_cred_redis_url_t       *url;           /* with known addresses */
    ngx_http_cred_unresolved_t *unresolved;    /* a host without one */
    ngx_cred_redis_password_t  *password;      /* from a file */
    ngx_cred_redis_password_t  *sentinel_password;
    ngx_str_t                   at;            /* FILE:LINE of the directive */
} ngx_http_cred_redis_t;


/* a directive "cred_ssl_..."; the data of "value" is NULL without it */

typedef struct {
    ngx_str_t                   value;
    ngx_str_t                   at;            /* FILE:LINE */
} ngx_http_cred_ssl_value_t;


typedef struct {
    ngx_flag_t                  verify;
    ngx_int_t                   verify_depth;
    ngx_uint_t                  protocols;
    ngx_http_cred_ssl_value_t   trusted;       /* empty: the system's */
    ngx_http_cred_ssl_value_t   name;
    ngx_http_cred_ssl_value_t   certificate;
    ngx_http_cred_ssl_value_t   key;
    ngx_http_cred_ssl_value_t   password_file;
    ngx_http_cred_ssl_value_t   ciphers;
    ngx_http_cred_ssl_value_t   crl;
    ngx_array_t                *passwords;     /* ngx_str_t */
    ngx_array_t                *commands;      /* for OpenSSL */
} ngx_http_cred_ssl_t;


typedef enum {
    NGX_HTTP_CRED_STATUS_OFF = 0,
    NGX_HTTP_CRED_STATUS_JSON,
    NGX_HTTP_CRED_STATUS_PROMETHEUS,
    NGX_HTTP_CRED_STATUS_HTML
} ngx_http_cred_status_e;


typedef struct {
    ngx_array_t                *apis;          /* ngx_cred_api_t *; NULL: off */
    ngx_uint_t                  methods;       /* of all of them */
    ngx_str_t                   delete_at;     /* FILE:LINE of the directive */
    ngx_flag_t                  strict;        /* other spellings of routes are
                                                  not passed on */

    ngx_cred_registry_t        *registry;

    /* what the registry is made from */

    ngx_http_cred_redis_t       redis;
    ngx_str_t                   prefix;
    ngx_msec_t                  connect_timeout;
    ngx_msec_t                  command_timeout;
    ngx_msec_t                  cascade_timeout;
    ngx_msec_t                  retry_min;
    ngx_msec_t                  retry_max;
    ngx_msec_t                  unregistered_delay;
    ngx_http_cred_ssl_t         ssl;           /* of its environments, too */
    ngx_cred_wait_t             wait;
    ngx_int_t                   audit_length;

    ngx_cred_api_conf_t         api;

    ngx_http_cred_status_e      status;        /* what a location shows */
} ngx_http_cred_loc_conf_t;


/* of an intercepted request; in its pool */

typedef struct {
    ngx_http_request_t         *request;
    ngx_cred_api_t             *api;
    ngx_cred_view_t             view;
    ngx_cred_params_t           params;
    ngx_cred_delete_t          *del;           /* under way, or NULL */
    ngx_uint_t                  absent;        /* another spelling of a route:
                                                  no credential has it */
    ngx_uint_t                  wait;          /* seconds, if params.hurried */
    ngx_str_t                  *fault;         /* what is said of a field that
                                                  may have been to spare it;
                                                  NULL: there is none */

    /* for the variables; strings in the pool of the request */

    ngx_str_t                  *result;        /* NULL: there is none yet */
    ngx_str_t                   scope;
    ngx_str_t                   id;
    ngx_str_t                   subject;
    ngx_str_t                   operation;
    ngx_str_t                   replicas;      /* "0/1" */
    ngx_uint_t                  environments;
    ngx_uint_t                  pending;
    ngx_uint_t                  not_deployed;
    ngx_uint_t                  superseded;
    ngx_msec_int_t              registry_time; /* -1: none */
    ngx_msec_int_t              cascade_time;
} ngx_http_cred_ctx_t;


extern ngx_module_t  ngx_http_cred_module;


/* the PRECONTENT handler: declines all but delete routes */
ngx_int_t ngx_http_cred_handler(ngx_http_request_t *r);

/*
 * The context of an intercepted request, also after an internal redirect took
 * it from the request; NULL if it was not intercepted.
 */
ngx_http_cred_ctx_t *ngx_http_cred_get_ctx(ngx_http_request_t *r);

/*
 * Keeps what the variables need of an outcome, in the request's memory; NGX_OK
 * or NGX_ERROR.
 */
ngx_int_t ngx_http_cred_keep(ngx_http_cred_ctx_t *ctx,
    ngx_cred_outcome_t *outcome);

/*
 * Sends the answer for an outcome, and keeps what the variables need.  Returns
 * a code for ngx_http_finalize_request().
 */
ngx_int_t ngx_http_cred_answer(ngx_http_cred_ctx_t *ctx,
    ngx_cred_outcome_t *outcome);

/* reads what a request of any API may ask for beside its delete */
void ngx_http_cred_prefer(ngx_http_cred_ctx_t *ctx);

/*
 * The first field of a request with this name, in small letters, and how many
 * there are; NULL if there is none.
 */
ngx_table_elt_t *ngx_http_cred_find_header(ngx_http_request_t *r,
    ngx_str_t *name, ngx_uint_t *count);

/* adds a field to an answer; NULL if there is no memory */
ngx_table_elt_t *ngx_http_cred_header(ngx_http_request_t *r, ngx_str_t *key,
    ngx_str_t *value);

/*
 * Sends the header and "body", which lives as long as the request.  Returns a
 * code for ngx_http_finalize_request().
 */
ngx_int_t ngx_http_cred_send(ngx_http_request_t *r, ngx_str_t *body);

/*
 * Writes to the error log of the connection, so with client and request, what
 * an operator will look for: refusals, and what is not done everywhere; and
 * that no environment is registered.
 */
void ngx_http_cred_log(ngx_http_cred_ctx_t *ctx, ngx_cred_outcome_t *outcome);

/*
 * Reads URL [password_file=PATH] [sentinel_password_file=PATH] of the directive
 * at hand into "redis", whose "url" is UNSET_PTR.
 */
char *ngx_http_cred_redis(ngx_conf_t *cf, ngx_http_cred_redis_t *redis);

/* takes the settings of the level above, unless there are own ones */
void ngx_http_cred_redis_merge(ngx_http_cred_redis_t *conf,
    ngx_http_cred_redis_t *prev);

/*
 * Fills in the addresses of a host, if it is a name that is known now; else
 * "*unresolved", for ngx_http_cred_resolvable().  NGX_ERROR if there is no
 * memory.
 */
ngx_int_t ngx_http_cred_host_addrs(ngx_conf_t *cf, ngx_cred_net_host_t *host,
    ngx_http_cred_unresolved_t **unresolved);

/*
 * NGX_OK if "unresolved" is NULL or there is a "resolver" at this level, which
 * is logged, once; else NGX_ERROR, logged as well.  "kind" and "name" are what
 * has the host, "at" is where.
 */
ngx_int_t ngx_http_cred_resolvable(ngx_conf_t *cf,
    ngx_http_cred_unresolved_t *unresolved, const char *kind, ngx_str_t *name,
    ngx_str_t *at);

/* the same of a Redis */
ngx_int_t ngx_http_cred_redis_resolvable(ngx_conf_t *cf,
    ngx_http_cred_redis_t *redis, const char *kind);

/* likewise, unless it is a cluster that keys with "prefix" are spread over */
ngx_int_t ngx_http_cred_redis_slot(ngx_conf_t *cf, ngx_http_cred_redis_t *redis,
    ngx_str_t *prefix);

/*
 * Fills in the settings of connections to a Redis, which are zeroed, or without
 * one those of all that have no directive of their own.
 */
void ngx_http_cred_redis_settings(ngx_conf_t *cf,
    ngx_http_cred_loc_conf_t *clcf, ngx_http_cred_redis_t *redis,
    ngx_cred_redis_conf_t *settings);

/* whether they are the same, but for addresses */
ngx_uint_t ngx_http_cred_same_settings(ngx_cred_redis_conf_t *one,
    ngx_cred_redis_conf_t *two);

/* what the directives "cred_ssl_..." of a level say, at first and merged */
void ngx_http_cred_ssl_init(ngx_http_cred_ssl_t *conf);
void ngx_http_cred_ssl_merge(ngx_http_cred_ssl_t *conf,
    ngx_http_cred_ssl_t *prev);

/*
 * Fills in what connections with TLS need, and makes the context for that if no
 * other level has the same; NGX_ERROR, which is logged with the line at fault.
 */
ngx_int_t ngx_http_cred_ssl_settings(ngx_conf_t *cf, ngx_http_cred_ssl_t *conf,
    ngx_cred_net_conf_t *settings);

/* the directives; "value" is any of those with one value */
char *ngx_http_cred_ssl_verify(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);
char *ngx_http_cred_ssl_value(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);
char *ngx_http_cred_ssl_name(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);
char *ngx_http_cred_ssl_password_file(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
char *ngx_http_cred_ssl_conf_command(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);

/* the directive "cred_registry" */
char *ngx_http_cred_registry(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);

/* the directive "cred_registry_wait" */
char *ngx_http_cred_registry_wait(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);

/* the directives "cred_status_zone" and "cred_status" */
char *ngx_http_cred_status_zone(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
char *ngx_http_cred_status(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);

/* adds the zone, when all directives have been read; NGX_OK or NGX_ERROR */
ngx_int_t ngx_http_cred_status_init(ngx_conf_t *cf);

/* for ngx_cred_status_use() */
ngx_cred_status_t *ngx_http_cred_status_of(ngx_cycle_t *cycle);

/* the block "cred_connector" */
char *ngx_http_cred_connector(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);

/*
 * Finishes connectors, and makes them known to registries, when all directives
 * have been read; NGX_OK or NGX_ERROR, which is logged.
 */
ngx_int_t ngx_http_cred_connectors_init(ngx_conf_t *cf);

/* finds or makes the registry that the merged settings of "clcf" describe */
char *ngx_http_cred_set_registry(ngx_conf_t *cf,
    ngx_http_cred_loc_conf_t *clcf);

/*
 * Tells whether this registry, of all that name the same Redis and prefix, is
 * the one whose settings retry: the first with "cred_delete", else the first.
 */
ngx_uint_t ngx_http_cred_retries(ngx_array_t *registries,
    ngx_cred_registry_t *registry);

/* the API of that name and its number; NULL, which is logged */
ngx_cred_api_t *ngx_http_cred_find_api(ngx_conf_t *cf, ngx_str_t *name,
    ngx_uint_t *number);

/* whether both have the same bytes */
ngx_uint_t ngx_http_cred_same_string(ngx_str_t *one, ngx_str_t *two);

/* writes FILE:LINE of the directive at hand; NGX_ERROR if there is no memory */
ngx_int_t ngx_http_cred_directive_at(ngx_conf_t *cf, ngx_str_t *at);

/*
 * The context of "module", also after an internal redirect took it from the
 * request: the data of the cleanup with this handler; NULL if there is none.
 */
void *ngx_http_cred_find_ctx(ngx_http_request_t *r, ngx_module_t *module,
    ngx_pool_cleanup_pt handler);

/* adds the variables; the configuration calls it */
ngx_int_t ngx_http_cred_add_variables(ngx_conf_t *cf);

/* adds those of a table that ends with ngx_http_null_variable */
ngx_int_t ngx_http_cred_add_table(ngx_conf_t *cf, ngx_http_variable_t *table);

/* sets a variable to "s", or to nothing if that is NULL or empty; NGX_OK */
ngx_int_t ngx_http_cred_variable(ngx_http_variable_value_t *v, ngx_str_t *s);


#endif /* _NGX_CRED_HTTP_H_INCLUDED_ */
