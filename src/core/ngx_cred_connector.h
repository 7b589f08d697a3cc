
/*
 * Copyright (C) ngx_cred_module authors
 * SPDX-License-Identifier: BSD-2-Clause
 */


/*
 * Connectors: how a credential is taken out of an environment that is no Redis.
 * Settings come from nginx.conf alone; the registry names a connector, no more.
 */


#ifndef _NGX_CRED_CONNECTOR_H_INCLUDED_
#define _NGX_CRED_CONNECTOR_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_cred_core.h>
#include <ngx_cred_web.h>


#define NGX_CRED_CONNECTOR_NAME     64      /* bytes of a name */
#define NGX_CRED_CONNECTOR_TIMEOUT  5000    /* by default, milliseconds */
#define NGX_CRED_CONNECTOR_PURGES   4
#define NGX_CRED_CONNECTOR_SECRETS  2
#define NGX_CRED_CONNECTOR_PATH     8192    /* of a path that is filled in */
#define NGX_CRED_CONNECTOR_BODY     65536


/* what placeholders stand for */

typedef enum {
    NGX_CRED_PLACE_API = 0,
    NGX_CRED_PLACE_SCOPE,
    NGX_CRED_PLACE_ID,
    NGX_CRED_PLACE_REVISION,
    NGX_CRED_PLACE_OPERATION,
    NGX_CRED_PLACE_ENVIRONMENT,
    NGX_CRED_PLACE_TARGET,
    NGX_CRED_NPLACES
} ngx_cred_place_e;


typedef enum {
    NGX_CRED_TEMPLATE_PATH = 0,
    NGX_CRED_TEMPLATE_HEADER,
    NGX_CRED_TEMPLATE_BODY,
    NGX_CRED_TEMPLATE_SEGMENTS     /* a path, each value in one segment of it:
                                      of presets */
} ngx_cred_template_kind_e;


typedef struct {
    ngx_str_t                   text;      /* as it is, if it is no place */
    ngx_uint_t                  place;     /* or NGX_CRED_NPLACES */
} ngx_cred_template_part_t;


typedef struct {
    ngx_cred_template_kind_e    kind;
    ngx_array_t                 parts;     /* ngx_cred_template_part_t */
    ngx_uint_t                  places;    /* of those in it, 1 << place each */
} ngx_cred_template_t;


typedef struct {
    ngx_str_t                   method;    /* empty: there is no such call */
    ngx_cred_template_t         path;
} ngx_cred_connector_call_t;


typedef struct {
    ngx_str_t                   name;
    ngx_cred_template_t         value;
} ngx_cred_connector_header_t;


/* an answer that is understood */

typedef struct {
    ngx_array_t                 statuses;  /* ngx_uint_t; 2 to 5: "2xx" ... */
    ngx_str_t                   text;      /* in the body; or empty */
} ngx_cred_connector_rule_t;


/* form of "{target}" */

typedef enum {
    NGX_CRED_TARGET_ANY = 0,
    NGX_CRED_TARGET_UUID,
    NGX_CRED_TARGET_HEX
} ngx_cred_target_e;


/* settings, by which a line of the configuration or of a preset is known */

typedef enum {
    NGX_CRED_SETTING_REQUEST = 0,
    NGX_CRED_SETTING_HEADER,
    NGX_CRED_SETTING_BODY,
    NGX_CRED_SETTING_SUCCESS,
    NGX_CRED_SETTING_GONE,
    NGX_CRED_SETTING_SUPERSEDED,
    NGX_CRED_SETTING_MATCH,
    NGX_CRED_SETTING_VERIFY,
    NGX_CRED_SETTING_CONTROL,
    NGX_CRED_SETTING_PURGE,
    NGX_CRED_SETTING_SETTLE,
    NGX_CRED_SETTING_TARGET,
    NGX_CRED_SETTING_TIMEOUT,
    NGX_CRED_NSETTINGS
} ngx_cred_setting_e;


typedef struct {
    ngx_str_t                   name;
    ngx_str_t                   at;        /* FILE:LINE */
    ngx_cred_web_conf_t         web;
    ngx_str_t                   host;      /* the field "Host" */
    ngx_str_t                   base;      /* before each path; or empty */

    ngx_cred_connector_call_t   request;
    ngx_cred_connector_call_t   match;     /* whose ETag goes along */
    ngx_cred_connector_call_t   verify;
    ngx_cred_connector_call_t   control;   /* of what must be there */
    ngx_array_t                 purges;    /* ngx_cred_connector_call_t */
    ngx_array_t                 headers;   /* ngx_cred_connector_header_t */
    ngx_cred_template_t         body;      /* without parts: none */
    ngx_array_t                 success;   /* ngx_cred_connector_rule_t ... */
    ngx_array_t                 superseded;
    ngx_array_t                 gone;
    ngx_array_t                 secrets;   /* ngx_str_t, keys of a webhook */

    ngx_cred_target_e           target;
    ngx_msec_t                  settle;
    ngx_msec_t                  timeout;   /* of an attempt */

    ngx_uint_t                  set;       /* 1 << ngx_cred_setting_e each:
                                              by the configuration itself */
    unsigned                    webhook:1;

    ngx_msec_t                  succeeded_at;  /* of this worker; 0: never */
    uint32_t                    succeeded_in;  /* ... in the environment and
                                                  scope of that CRC */
} ngx_cred_connector_t;


/* what an answer means */

typedef enum {
    NGX_CRED_SAID_SUCCESS = 0,
    NGX_CRED_SAID_SUPERSEDED,
    NGX_CRED_SAID_GONE,         /* in the target's own words */
    NGX_CRED_SAID_MAYBE,        /* a status that anybody answers */
    NGX_CRED_SAID_DENIED,       /* 401, 403, 405 */
    NGX_CRED_SAID_LATER,        /* 429, 503 with Retry-After */
    NGX_CRED_SAID_ELSEWHERE,    /* 3xx */
    NGX_CRED_SAID_OTHER
} ngx_cred_said_e;


/* in the order of ngx_cred_place_e */
typedef ngx_str_t  ngx_cred_values_t[NGX_CRED_NPLACES];


/* a call, with what it needs beside its connector */

typedef struct {
    ngx_cred_connector_t       *connector;
    ngx_cred_connector_call_t  *call;
    ngx_str_t                  *values;    /* NGX_CRED_NPLACES of them */
    ngx_str_t                   etag;      /* for "If-Match"; or empty */
    ngx_str_t                   trace;     /* "traceparent"; or empty */
} ngx_cred_connector_request_t;


/* ngx_cred_connector_text.c */

/*
 * Writes the request that a call makes, with the body if it is the one of
 * connector->request.  NGX_OK with "*text" from "pool"; NGX_DECLINED if a value
 * cannot be put there, with "*err" from "pool"; NGX_ERROR if there is no
 * memory.
 */
ngx_int_t ngx_cred_connector_text(ngx_pool_t *pool,
    ngx_cred_connector_request_t *request, ngx_str_t *text, ngx_str_t *err);


/* ngx_cred_connector_find.c */

/* whether a connector may have that name */
ngx_uint_t ngx_cred_connector_valid_name(ngx_str_t *name);

/*
 * The connector that the URL of an environment names, see
 * ngx_cred_is_connector(); NULL with "*err" set to a constant that says why
 * there is none.
 */
ngx_cred_connector_t *ngx_cred_connector_find(ngx_cred_registry_t *registry,
    ngx_str_t *url, char **err);


/* ngx_cred_connector_template.c and ngx_cred_connector_fill.c: pure */

/*
 * Parses "text", which lives as long as the template, whose parts are allocated
 * from "pool".  NGX_OK, or NGX_ERROR with "*err" set to what is wrong, which
 * names the placeholder, from "pool" as well (empty: no memory).
 */
ngx_int_t ngx_cred_template_parse(ngx_pool_t *pool, ngx_str_t *text,
    ngx_cred_template_kind_e kind, ngx_cred_template_t *template,
    ngx_str_t *err);

/*
 * Fills in the values, percent-encoded in a path, JSON-escaped in a body.
 * Nothing can be put anywhere that is empty or has a zero byte; nor in a path
 * what has "." or ".." as a segment; nor in a header what has control
 * characters, or spaces at its ends; nor in a body what is no UTF-8, nor a
 * revision that is no number.
 * NGX_OK with "*out" from "pool"; NGX_DECLINED if a value cannot be put there,
 * with "*err" from "pool" which says why; NGX_ERROR if there is no memory.
 */
ngx_int_t ngx_cred_template_fill(ngx_pool_t *pool,
    ngx_cred_template_t *template, ngx_cred_values_t values, ngx_str_t *out,
    ngx_str_t *err);


/* ngx_cred_connector_rules.c: pure */

/* what the answer to the request, to "match" or to "verify" means */
ngx_cred_said_e ngx_cred_connector_said(ngx_cred_connector_t *connector,
    ngx_cred_web_response_t *response);

/* whether any of these rules (ngx_cred_connector_rule_t) has a text */
ngx_uint_t ngx_cred_connector_has_words(ngx_array_t *rules);

/* whether any of them has no text, and the status of a success */
ngx_uint_t ngx_cred_connector_is_vague(ngx_array_t *rules);

/*
 * Why nothing can be asked for with this target, which may be empty: a
 * constant; NULL if it will do, or none is needed.
 */
char *ngx_cred_connector_lacks(ngx_cred_connector_t *connector,
    ngx_str_t *target);

/* whether "target" has the form that is demanded */
ngx_uint_t ngx_cred_connector_is_target(ngx_cred_connector_t *connector,
    ngx_str_t *target);


/* ngx_cred_connector_settings.c: pure */

/* arrays, timeout; NGX_OK or NGX_ERROR */
ngx_int_t ngx_cred_connector_init(ngx_pool_t *pool,
    ngx_cred_connector_t *connector);

/* the setting of that name, or NGX_CRED_NSETTINGS: "url" is none of these */
ngx_cred_setting_e ngx_cred_connector_setting(ngx_str_t *name);

/*
 * Applies a setting with "n" arguments, its name not included; strings are
 * kept.  A header's value is text here: files are read by the configuration.
 * NGX_OK; NGX_DECLINED with "*err" as above; NGX_ERROR if there is no memory.
 */
ngx_int_t ngx_cred_connector_set(ngx_pool_t *pool,
    ngx_cred_connector_t *connector, ngx_cred_setting_e setting,
    ngx_str_t *args, ngx_uint_t n, ngx_str_t *err);


/*
 * Adds a header whose value is a secret: no template, and not shown in errors.
 * Returns what ngx_cred_connector_set() does.
 */
ngx_int_t ngx_cred_connector_secret_header(ngx_pool_t *pool,
    ngx_cred_connector_t *connector, ngx_str_t *name, ngx_str_t *value,
    ngx_str_t *err);


/* whether this is the name of a header, whatever its letter case */
ngx_uint_t ngx_cred_connector_is_name(ngx_str_t *name, const char *is);


/* ngx_cred_connector_presets.c: pure; tables, no code of their own */

/* whether there is one that "preset" may name */
ngx_uint_t ngx_cred_connector_has_preset(ngx_str_t *name);

/*
 * Applies those settings of a preset that the configuration has not made (a
 * header: of a name that it has not), and checks what the preset demands of
 * them, so that nothing is addressed by what can be created again.  To be
 * called once, after all settings.  "webhook-internal" is that of "webhook",
 * whose request, "POST" with the path of the URL, must have been set.
 * Returns what ngx_cred_connector_set() does.
 */
ngx_int_t ngx_cred_connector_preset(ngx_pool_t *pool,
    ngx_cred_connector_t *connector, ngx_str_t *name, ngx_str_t *err);


/* ngx_cred_connector_webhook.c: pure; Standard Webhooks */

/*
 * Decodes "whsec_BASE64" (24 to 64 bytes) or two of them with a space between;
 * appends to connector->secrets.  Returns what ngx_cred_connector_set() does;
 * errors do not show the secret.
 */
ngx_int_t ngx_cred_webhook_secret(ngx_pool_t *pool,
    ngx_cred_connector_t *connector, ngx_str_t *text, ngx_str_t *err);

/*
 * "webhook-id", "webhook-timestamp" and "webhook-signature" of a body: lines of
 * a header, each with its CR LF, from "pool".  The id is the same for each
 * attempt.  NGX_OK or NGX_ERROR.
 */
ngx_int_t ngx_cred_webhook_sign(ngx_pool_t *pool,
    ngx_cred_connector_t *connector, ngx_cred_values_t values, time_t now,
    ngx_str_t *body, ngx_str_t *header);


#endif /* _NGX_CRED_CONNECTOR_H_INCLUDED_ */
