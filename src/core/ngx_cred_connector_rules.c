
/*
 * Copyright (C) ngx_cred_module authors
 * SPDX-License-Identifier: BSD-2-Clause
 */


/* answers that are understood, what others mean, and what targets look like */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_cred_connector_read.h>


#define NGX_CRED_UUID_TARGET  36    /* digits and hyphens */


static ngx_uint_t ngx_cred_connector_is_text(ngx_str_t *s);
static ngx_int_t ngx_cred_connector_statuses(ngx_pool_t *pool,
    ngx_array_t *rules, ngx_cred_connector_rule_t *rule, ngx_str_t *args,
    ngx_uint_t n, ngx_str_t *err);
static ngx_uint_t ngx_cred_connector_status(ngx_str_t *s);
static ngx_uint_t ngx_cred_connector_has_rule(ngx_array_t *rules,
    ngx_cred_connector_rule_t *rule, ngx_uint_t status);
static ngx_uint_t ngx_cred_connector_fits(ngx_array_t *rules,
    ngx_cred_web_response_t *response, ngx_uint_t *text);
static ngx_uint_t ngx_cred_connector_has_text(
    ngx_cred_web_response_t *response, ngx_str_t *text);
static ngx_uint_t ngx_cred_connector_is_trimmed(ngx_str_t *target);
static ngx_uint_t ngx_cred_connector_are_digits(u_char *p, size_t len);


ngx_int_t
ngx_cred_connector_rule(ngx_pool_t *pool, ngx_array_t *rules, ngx_str_t *args,
    ngx_uint_t n, ngx_str_t *err)
{
    ngx_int_t                   rc;
    ngx_cred_connector_rule_t   rule, *added;

    ngx_str_null(&rule.text);

    if (n > 1 && ngx_cred_connector_is_text(&args[n - 1])) {

        rule.text = args[--n];

        if (rule.text.len == 0) {
            return ngx_cred_connector_error(pool, err, "empty text");
        }
    }

    if (ngx_array_init(&rule.statuses, pool, n, sizeof(ngx_uint_t)) != NGX_OK) {
        return NGX_ERROR;
    }

    rc = ngx_cred_connector_statuses(pool, rules, &rule, args, n, err);
    if (rc != NGX_OK) {
        return rc;
    }

    added = ngx_array_push(rules);
    if (added == NULL) {
        return NGX_ERROR;
    }

    *added = rule;

    return NGX_OK;
}


/* "20" and "4xx" are no texts, nor "4004": it would never be found */

static ngx_uint_t
ngx_cred_connector_is_text(ngx_str_t *s)
{
    size_t  i;

    for (i = 0; i < s->len; i++) {
        if ((s->data[i] < '0' || s->data[i] > '9') && s->data[i] != 'x') {
            return 1;
        }
    }

    return s->len == 0 || s->data[0] == 'x';
}


static ngx_int_t
ngx_cred_connector_statuses(ngx_pool_t *pool, ngx_array_t *rules,
    ngx_cred_connector_rule_t *rule, ngx_str_t *args, ngx_uint_t n,
    ngx_str_t *err)
{
    ngx_uint_t   i, k, status, *p;
    const char  *wrong;

    for (i = 0; i < n; i++) {

        status = ngx_cred_connector_status(&args[i]);
        wrong = status ? NULL : "invalid status";

        p = rule->statuses.elts;

        for (k = 0; k < rule->statuses.nelts; k++) {
            if (p[k] == status) {
                wrong = "duplicate status";
            }
        }

        if (wrong == NULL && ngx_cred_connector_has_rule(rules, rule, status)) {
            wrong = "duplicate status";
        }

        if (wrong) {
            return ngx_cred_connector_wrong(pool, err, wrong, &args[i]);
        }

        p = ngx_array_push(&rule->statuses);
        if (p == NULL) {
            return NGX_ERROR;
        }

        *p = status;
    }

    return NGX_OK;
}


/* 200 to 599; 2 to 5 for "2xx" to "5xx"; or 0 */

static ngx_uint_t
ngx_cred_connector_status(ngx_str_t *s)
{
    ngx_int_t  n;

    if (s->len != 3 || s->data[0] < '2' || s->data[0] > '5') {
        return 0;
    }

    if (s->data[1] == 'x' && s->data[2] == 'x') {
        return s->data[0] - '0';
    }

    n = ngx_atoi(s->data, 3);

    return n == NGX_ERROR ? 0 : (ngx_uint_t) n;
}


/* of that status, with the same text or without one as well */

static ngx_uint_t
ngx_cred_connector_has_rule(ngx_array_t *rules,
    ngx_cred_connector_rule_t *rule, ngx_uint_t status)
{
    ngx_uint_t                  i, k, *p;
    ngx_cred_connector_rule_t  *other;

    other = rules->elts;

    for (i = 0; i < rules->nelts; i++) {

        if (!ngx_cred_connector_is(&other[i].text, &rule->text)) {
            continue;
        }

        p = other[i].statuses.elts;

        for (k = 0; k < other[i].statuses.nelts; k++) {
            if (p[k] == status) {
                return 1;
            }
        }
    }

    return 0;
}


ngx_cred_said_e
ngx_cred_connector_said(ngx_cred_connector_t *connector,
    ngx_cred_web_response_t *response)
{
    ngx_uint_t  text;

    if (ngx_cred_connector_fits(&connector->success, response, &text)) {
        return NGX_CRED_SAID_SUCCESS;
    }

    if (ngx_cred_connector_fits(&connector->superseded, response, &text)) {
        return NGX_CRED_SAID_SUPERSEDED;
    }

    if (ngx_cred_connector_fits(&connector->gone, response, &text)) {
        return text ? NGX_CRED_SAID_GONE : NGX_CRED_SAID_MAYBE;
    }

    switch (response->status) {

    case 401:
    case 403:
    case 405:
        return NGX_CRED_SAID_DENIED;

    case 429:
    case 503:

        if (response->retry_after != NGX_ERROR) {
            return NGX_CRED_SAID_LATER;
        }

        return NGX_CRED_SAID_OTHER;

    default:
        return response->status / 100 == 3 ? NGX_CRED_SAID_ELSEWHERE
                                           : NGX_CRED_SAID_OTHER;
    }
}


/* "*text": a rule with a text does, whatever the order */

static ngx_uint_t
ngx_cred_connector_fits(ngx_array_t *rules, ngx_cred_web_response_t *response,
    ngx_uint_t *text)
{
    ngx_uint_t                  i, n, fits, *status;
    ngx_cred_connector_rule_t  *rule;

    fits = 0;
    *text = 0;

    rule = rules->elts;

    for (i = 0; i < rules->nelts; i++) {

        status = rule[i].statuses.elts;

        for (n = 0; n < rule[i].statuses.nelts; n++) {

            if (status[n] != response->status
                && status[n] != response->status / 100)
            {
                continue;
            }

            if (rule[i].text.len == 0) {
                fits = 1;

            } else if (ngx_cred_connector_has_text(response, &rule[i].text)) {
                fits = 1;
                *text = 1;
            }
        }
    }

    return fits;
}


ngx_uint_t
ngx_cred_connector_has_words(ngx_array_t *rules)
{
    ngx_uint_t                  i;
    ngx_cred_connector_rule_t  *rule;

    rule = rules->elts;

    for (i = 0; i < rules->nelts; i++) {
        if (rule[i].text.len) {
            return 1;
        }
    }

    return 0;
}


ngx_uint_t
ngx_cred_connector_is_vague(ngx_array_t *rules)
{
    ngx_uint_t                  i, n, *status;
    ngx_cred_connector_rule_t  *rule;

    rule = rules->elts;

    for (i = 0; i < rules->nelts; i++) {

        if (rule[i].text.len) {
            continue;
        }

        status = rule[i].statuses.elts;

        for (n = 0; n < rule[i].statuses.nelts; n++) {
            if (status[n] == 2 || status[n] / 100 == 2) {
                return 1;
            }
        }
    }

    return 0;
}


static ngx_uint_t
ngx_cred_connector_has_text(ngx_cred_web_response_t *response, ngx_str_t *text)
{
    u_char  *p, *last;

    if (response->encoded || response->body.len < text->len) {
        return 0;
    }

    p = response->body.data;
    last = p + response->body.len - text->len + 1;

    for ( ;; ) {

        p = ngx_strlchr(p, last, text->data[0]);

        if (p == NULL) {
            return 0;
        }

        if (ngx_memcmp(p, text->data, text->len) == 0) {
            return 1;
        }

        p++;
    }
}


char *
ngx_cred_connector_lacks(ngx_cred_connector_t *connector, ngx_str_t *target)
{
    ngx_uint_t                    i, places;
    ngx_cred_connector_call_t    *purge;
    ngx_cred_connector_header_t  *header;

    places = connector->request.path.places | connector->match.path.places
             | connector->verify.path.places | connector->control.path.places
             | connector->body.places;

    header = connector->headers.elts;

    for (i = 0; i < connector->headers.nelts; i++) {
        places |= header[i].value.places;
    }

    purge = connector->purges.elts;

    for (i = 0; i < connector->purges.nelts; i++) {
        places |= purge[i].path.places;
    }

    if (!(places & (1 << NGX_CRED_PLACE_TARGET))) {
        return NULL;
    }

    if (target->len == 0) {
        return "the credential had no field \"target:ENVIRONMENT\"";
    }

    if (!ngx_cred_connector_is_trimmed(target)) {
        return "the target begins or ends with a space or control character";
    }

    if (!ngx_cred_connector_is_target(connector, target)) {
        return "the target has not the form that is demanded";
    }

    return NULL;
}


/* a newline that somebody did not mean would make another name of it */

static ngx_uint_t
ngx_cred_connector_is_trimmed(ngx_str_t *target)
{
    u_char  first, last;

    first = target->data[0];
    last = target->data[target->len - 1];

    return first > ' ' && first != 0x7f && last > ' ' && last != 0x7f;
}


ngx_uint_t
ngx_cred_connector_is_target(ngx_cred_connector_t *connector,
    ngx_str_t *target)
{
    u_char  *p;

    p = target->data;

    switch (connector->target) {

    case NGX_CRED_TARGET_ANY:
        return 1;

    case NGX_CRED_TARGET_HEX:
        return target->len && ngx_cred_connector_are_digits(p, target->len);

    case NGX_CRED_TARGET_UUID:
        return target->len == NGX_CRED_UUID_TARGET
               && ngx_cred_connector_are_digits(p, 8) && p[8] == '-'
               && ngx_cred_connector_are_digits(p + 9, 4) && p[13] == '-'
               && ngx_cred_connector_are_digits(p + 14, 4) && p[18] == '-'
               && ngx_cred_connector_are_digits(p + 19, 4) && p[23] == '-'
               && ngx_cred_connector_are_digits(p + 24, 12);
    }

    return 0;
}


static ngx_uint_t
ngx_cred_connector_are_digits(u_char *p, size_t len)
{
    while (len--) {

        if (!ngx_cred_connector_is_digit(*p++)) {
            return 0;
        }
    }

    return 1;
}
