
/*
 * Copyright (C) ngx_cred_module authors
 * SPDX-License-Identifier: BSD-2-Clause
 */


/*
 * The api room: one file per documented API, each a row of ngx_cred_apis[]:
 * its route, how it reads the token, its rules, and how it words each outcome.
 * It knows the words of HTTP, but no requests, connections or Redis.
 */


#ifndef _NGX_CRED_API_H_INCLUDED_
#define _NGX_CRED_API_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>
#include <jansson.h>
#include <ngx_cred_core.h>


#define NGX_CRED_API_HEADERS      2     /* that one API reads */
#define NGX_CRED_API_EXTRA        6     /* headers that one answer adds */
#define NGX_CRED_API_ID_LEN       512   /* longer ids name no credential */
#define NGX_CRED_API_BODY_LEN     1024  /* longer bodies are not read */

#define NGX_CRED_API_QUOTED_LEN(n)  (sizeof("\"\"") - 1                       \
                                     + (n) * (sizeof("\\u0000") - 1))


/* settings of single APIs */

typedef struct {
    ngx_str_t                   alloy_version;
    ngx_flag_t                  alloy_version_optional;
} ngx_cred_api_conf_t;


/* a path that is matched with a route: what is not matched yet */

typedef struct {
    ngx_str_t                   rest;
    unsigned                    lax:1;      /* as backends may read it: letters
                                               of any case and so on */
} ngx_cred_path_t;


/* slices of the path */

typedef struct {
    ngx_str_t                   scope;
    ngx_str_t                   id;
} ngx_cred_route_t;


/* what an API sees of a request; "pool" lives as long as the answer */

typedef struct {
    ngx_pool_t                 *pool;
    ngx_cred_api_conf_t        *conf;
    ngx_cred_route_t            route;
    ngx_str_t                   args;       /* the query, not decoded */
    ngx_str_t                   client;     /* address */
    ngx_str_t                   request_id; /* if api->request_id */

    ngx_str_t                   headers[NGX_CRED_API_HEADERS];
    ngx_uint_t                  nheaders[NGX_CRED_API_HEADERS];
                                            /* how often each was sent */

    ngx_str_t                   body;       /* if api->body; at most
                                               NGX_CRED_API_BODY_LEN bytes */
    unsigned                    body_long:1;   /* there was more */

    /* left by identify() for answer() */

    ngx_str_t                   fault;      /* JSON body of NGX_CRED_INVALID */
} ngx_cred_view_t;


typedef struct {
    ngx_uint_t                  status;
    ngx_str_t                   content_type;  /* empty: none */
    ngx_str_t                   body;
    ngx_keyval_t                extra[NGX_CRED_API_EXTRA];
    ngx_uint_t                  nextra;
} ngx_cred_answer_t;


typedef struct {
    ngx_str_t                   name;
    ngx_uint_t                  method;     /* NGX_HTTP_DELETE and so on */
    ngx_str_t                   headers[NGX_CRED_API_HEADERS];
                                            /* lower case; empty: none */
    ngx_cred_rules_t            rules;

    /* JSON bodies of NGX_CRED_INVALID, for bad fields of that name */
    ngx_str_t                   bad_dry_run;
    ngx_str_t                   bad_revision;

    unsigned                    body:1;        /* wants the request body */
    unsigned                    request_id:1;  /* wants $request_id */

    /*
     * Tells whether the normalized, once decoded path is the delete route:
     * NGX_OK with the slices set, or NGX_DECLINED.  If "lax" is set, also
     * spellings that only some backends take for it are.  Uses up "path",
     * allocates nothing.
     */
    ngx_int_t                 (*route)(ngx_cred_path_t *path,
                                       ngx_cred_route_t *route);

    /*
     * Reads token, subject, scope, id and check into "params" (the rest is
     * the caller's).  Returns NGX_OK; NGX_DECLINED if the token is missing or
     * malformed, which is answered as NGX_CRED_UNAUTHORIZED; NGX_ERROR if
     * there is no memory.
     */
    ngx_int_t                 (*identify)(ngx_cred_view_t *view,
                                          ngx_cred_params_t *params);

    /*
     * Words the outcome.  "answer" comes zeroed; its strings are constants
     * or allocated from view->pool.  Cache-Control and what begins with
     * "Cred-" are the caller's.  Returns NGX_OK, or NGX_ERROR if there is no
     * memory.
     */
    ngx_int_t                 (*answer)(ngx_cred_view_t *view,
                                        ngx_cred_outcome_t *outcome,
                                        ngx_cred_answer_t *answer);
} ngx_cred_api_t;


#define NGX_CRED_API(name)  extern ngx_cred_api_t  ngx_cred_##name;
#include <ngx_cred_apis.h>
#undef NGX_CRED_API


extern ngx_cred_api_t  *ngx_cred_apis[];    /* ends with NULL */

/* the place of an API in it */
ngx_uint_t ngx_cred_api_number(ngx_cred_api_t *api);


/* values of headers that several answers add: "Bearer" and "1" */

extern ngx_str_t        ngx_cred_api_challenge;     /* WWW-Authenticate */
extern ngx_str_t        ngx_cred_api_retry;         /* Retry-After */


/* helpers that the APIs share; ngx_cred_api.c */

/*
 * Finds which of "n" APIs has "method" and "path" as its delete route; NULL if
 * none has.  The slices of "route" are in "path".
 */
ngx_cred_api_t *ngx_cred_api_match(ngx_cred_api_t **apis, ngx_uint_t n,
    ngx_uint_t method, ngx_cred_path_t *path, ngx_cred_route_t *route);

/*
 * Cuts the text up to the next "/" or the end off "path" into "segment".
 * NGX_DECLINED if it is empty.
 */
ngx_int_t ngx_cred_api_segment(ngx_cred_path_t *path, ngx_str_t *segment);

/*
 * Cuts "prefix" off "path", NGX_DECLINED if it is not there.  Its letters are
 * compared without case if "lax" is set.
 */
ngx_int_t ngx_cred_api_prefix(ngx_cred_path_t *path, const char *prefix);

/* NGX_OK at the end of a route, with or without a trailing slash */
ngx_int_t ngx_cred_api_end(ngx_cred_path_t *path);

/* a header sent exactly once and not empty, else NGX_DECLINED */
ngx_int_t ngx_cred_api_header(ngx_cred_view_t *view, ngx_uint_t n,
    ngx_str_t *value);

/*
 * What follows "scheme" (compared without case) in an Authorization header,
 * without the spaces around it.  NGX_DECLINED if the scheme is another one.
 */
ngx_int_t ngx_cred_api_scheme(ngx_str_t *value, const char *scheme,
    ngx_str_t *rest);

/*
 * Decodes "user:password" of a Basic scheme (RFC 7617) into memory of "pool".
 * NGX_DECLINED if it is malformed, has control characters or no colon;
 * NGX_ERROR if there is no memory.
 */
ngx_int_t ngx_cred_api_basic(ngx_pool_t *pool, ngx_str_t *basic,
    ngx_str_t *login);

/* NGX_OK if "token" is not empty and has visible ASCII characters only */
ngx_int_t ngx_cred_api_token(ngx_str_t *token);

/*
 * The token of "Bearer TOKEN" (RFC 6750, 2.1; the scheme in any case) in
 * header n.  NGX_DECLINED if the header is missing, empty, repeated, of
 * another scheme or malformed.
 */
ngx_int_t ngx_cred_api_bearer(ngx_cred_view_t *view, ngx_uint_t n,
    ngx_str_t *token);

/*
 * NGX_CRED_CHECK_ABSENT for an id (or scope) that is longer than
 * NGX_CRED_API_ID_LEN or has control characters, else NGX_CRED_CHECK_ALL.
 */
ngx_cred_check_e ngx_cred_api_check(ngx_str_t *id);

/* adds a header to the answer; "value" is kept, not copied */
void ngx_cred_api_extra(ngx_cred_answer_t *answer, const char *key,
    ngx_str_t *value);

/*
 * Makes "dst" valid UTF-8: "src" itself if it is, else a copy in which each
 * sequence that is none has become U+FFFD.  NGX_OK or NGX_ERROR.
 */
ngx_int_t ngx_cred_api_utf8(ngx_pool_t *pool, ngx_str_t *src, ngx_str_t *dst);

/* a jansson string of bytes that may be no UTF-8; NULL without memory */
json_t *ngx_cred_api_string(ngx_cred_view_t *view, ngx_str_t *s);
json_t *ngx_cred_api_text(ngx_pool_t *pool, ngx_str_t *s);

/*
 * Writes "s" as a JSON string, quotes included, to "dst", which has room for
 * NGX_CRED_API_QUOTED_LEN(s->len) bytes.  Returns the end of what it wrote, or
 * NULL without memory.
 */
u_char *ngx_cred_api_quote(ngx_cred_view_t *view, u_char *dst, ngx_str_t *s);

/*
 * Writes "json" (whose reference it takes; NULL is an error) compactly, UTF-8,
 * keys as inserted, into memory of "pool".  NGX_OK or NGX_ERROR.
 */
ngx_int_t ngx_cred_api_json(ngx_pool_t *pool, json_t *json, ngx_str_t *out);


#endif /* _NGX_CRED_API_H_INCLUDED_ */
