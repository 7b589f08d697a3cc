
/*
 * Copyright (C) ngx_cred_module authors
 * SPDX-License-Identifier: BSD-2-Clause
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>
#include <jansson.h>
#include <ngx_cred_api.h>


#define NGX_CRED_THOUSANDEYES_RATE  240


static ngx_int_t ngx_cred_thousandeyes_route(ngx_cred_path_t *path,
    ngx_cred_route_t *route);
static void ngx_cred_thousandeyes_suffix(ngx_cred_path_t *path);
static ngx_int_t ngx_cred_thousandeyes_id(ngx_str_t *id, ngx_uint_t lax);
static ngx_int_t ngx_cred_thousandeyes_identify(ngx_cred_view_t *view,
    ngx_cred_params_t *params);
static ngx_int_t ngx_cred_thousandeyes_token(ngx_cred_view_t *view,
    ngx_cred_params_t *params);
static ngx_int_t ngx_cred_thousandeyes_body(ngx_cred_view_t *view);
static ngx_int_t ngx_cred_thousandeyes_aid(ngx_cred_view_t *view,
    ngx_str_t *aid);
static void ngx_cred_thousandeyes_decode(ngx_str_t *s);
static ngx_int_t ngx_cred_thousandeyes_digits(ngx_str_t *s);
static ngx_int_t ngx_cred_thousandeyes_answer(ngx_cred_view_t *view,
    ngx_cred_outcome_t *outcome, ngx_cred_answer_t *answer);
static ngx_int_t ngx_cred_thousandeyes_number(ngx_cred_view_t *view,
    ngx_cred_answer_t *answer, const char *key, int64_t n);


ngx_cred_api_t  ngx_cred_thousandeyes = {
    .name = ngx_string("thousandeyes"),
    .method = NGX_HTTP_POST,
    .headers = { ngx_string("authorization") },
    .rules = { .rate = NGX_CRED_THOUSANDEYES_RATE, .membership = 1 },
    .body = 1,
    .bad_dry_run = ngx_string(
        "{\"errorMessage\":\"Invalid Cred-Dry-Run header\"}"),
    .bad_revision = ngx_string(
        "{\"errorMessage\":\"Invalid Cred-Revision header\"}"),
    .route = ngx_cred_thousandeyes_route,
    .identify = ngx_cred_thousandeyes_identify,
    .answer = ngx_cred_thousandeyes_answer
};


static ngx_str_t  ngx_cred_thousandeyes_challenge =
    ngx_string("Basic realm=\"ThousandEyes API\"");
static ngx_str_t  ngx_cred_thousandeyes_nosniff = ngx_string("nosniff");


/* [/v6]/credentials/{credentialId}/delete[.json] */

static ngx_int_t
ngx_cred_thousandeyes_route(ngx_cred_path_t *path, ngx_cred_route_t *route)
{
    (void) ngx_cred_api_prefix(path, "/v6");

    if (ngx_cred_api_prefix(path, "/credentials/") != NGX_OK
        || ngx_cred_api_segment(path, &route->id) != NGX_OK
        || ngx_cred_api_prefix(path, "/delete") != NGX_OK)
    {
        return NGX_DECLINED;
    }

    if (path->lax) {
        ngx_cred_thousandeyes_suffix(path);

    } else {
        (void) ngx_cred_api_prefix(path, ".json");
    }

    if (ngx_cred_thousandeyes_id(&route->id, path->lax) != NGX_OK) {
        return NGX_DECLINED;
    }

    ngx_str_null(&route->scope);

    return ngx_cred_api_end(path);
}


/* any format, as ".xml" */

static void
ngx_cred_thousandeyes_suffix(ngx_cred_path_t *path)
{
    u_char     c;
    ngx_str_t  suffix;

    if (path->rest.len == 0) {
        return;
    }

    c = path->rest.data[0];

    if (c == '.' || c <= ' ' || c == 0x7f) {
        (void) ngx_cred_api_segment(path, &suffix);
    }
}


/*
 * A positive integer; or, lax, what begins as some backend may read a number:
 * "07", "+7", " 7", "7.0", "7e0", "0x7", "7abc", and digits of other scripts.
 */

static ngx_int_t
ngx_cred_thousandeyes_id(ngx_str_t *id, ngx_uint_t lax)
{
    u_char  c;
    size_t  i;

    if (!lax) {
        return (id->data[0] == '0') ? NGX_DECLINED
                                    : ngx_cred_thousandeyes_digits(id);
    }

    for (i = 0; i < id->len; i++) {
        c = id->data[i];

        if (c > ' ' && c != 0x7f && c != '+' && c != '-' && c != '.'
            && c != '_')
        {
            return ((c >= '0' && c <= '9') || c >= 0x80) ? NGX_OK
                                                         : NGX_DECLINED;
        }
    }

    return NGX_DECLINED;
}


static ngx_int_t
ngx_cred_thousandeyes_identify(ngx_cred_view_t *view,
    ngx_cred_params_t *params)
{
    ngx_int_t  rc;
    ngx_str_t  aid;

    rc = ngx_cred_thousandeyes_token(view, params);

    if (rc != NGX_OK) {
        return rc;
    }

    params->id = view->route.id;

    if (ngx_cred_thousandeyes_body(view) != NGX_OK) {
        params->check = NGX_CRED_CHECK_TOKEN;
        ngx_str_set(&view->fault,
                    "{\"errorMessage\":\"Request body must be empty\"}");
        return NGX_OK;
    }

    rc = ngx_cred_thousandeyes_aid(view, &aid);

    if (rc == NGX_ERROR) {
        return NGX_ERROR;
    }

    if (rc == NGX_DECLINED) {
        params->check = NGX_CRED_CHECK_TOKEN;
        ngx_str_set(&view->fault,
                    "{\"errorMessage\":\"Invalid account group id\"}");
        return NGX_OK;
    }

    params->scope = aid;
    params->check = ngx_cred_api_check(&params->id);

    return NGX_OK;
}


static ngx_int_t
ngx_cred_thousandeyes_token(ngx_cred_view_t *view, ngx_cred_params_t *params)
{
    u_char     *last, *colon;
    ngx_int_t   rc;
    ngx_str_t   value, basic, login;

    if (ngx_cred_api_header(view, 0, &value) != NGX_OK) {
        return NGX_DECLINED;
    }

    if (ngx_cred_api_scheme(&value, "Basic", &basic) != NGX_OK) {
        return ngx_cred_api_bearer(view, 0, &params->token);
    }

    rc = ngx_cred_api_basic(view->pool, &basic, &login);

    if (rc != NGX_OK) {
        return rc;
    }

    last = login.data + login.len;
    colon = ngx_strlchr(login.data, last, ':');

    if (colon == login.data || colon + 1 == last) {
        return NGX_DECLINED;
    }

    params->subject.data = login.data;
    params->subject.len = colon - login.data;

    params->token.data = colon + 1;
    params->token.len = last - params->token.data;

    return NGX_OK;
}


/* NGX_OK for nothing, null, or an object with nothing in it */

static ngx_int_t
ngx_cred_thousandeyes_body(ngx_cred_view_t *view)
{
    u_char      c;
    size_t      i, len;
    u_char      text[sizeof("null") - 1];
    ngx_uint_t  space;

    if (view->body_long) {
        return NGX_DECLINED;
    }

    len = 0;
    space = 0;

    for (i = 0; i < view->body.len; i++) {
        c = view->body.data[i];

        if (c == ' ' || c == '\t' || c == CR || c == LF) {
            space = 1;
            continue;
        }

        if (len == sizeof(text) || (space && len && text[0] != '{')) {
            return NGX_DECLINED;
        }

        text[len++] = c;
        space = 0;
    }

    if (len == 0
        || (len == 2 && ngx_memcmp(text, "{}", 2) == 0)
        || (len == 4 && ngx_memcmp(text, "null", 4) == 0))
    {
        return NGX_OK;
    }

    return NGX_DECLINED;
}


/* NGX_OK with "aid" set, or empty without one; NGX_DECLINED if it is bad */

static ngx_int_t
ngx_cred_thousandeyes_aid(ngx_cred_view_t *view, ngx_str_t *aid)
{
    u_char      *p, *last, *end;
    ngx_str_t    name, value;
    ngx_uint_t   found;

    ngx_str_null(aid);

    if (view->args.len == 0) {
        return NGX_OK;
    }

    p = ngx_pstrdup(view->pool, &view->args);
    if (p == NULL) {
        return NGX_ERROR;
    }

    last = p + view->args.len;
    found = 0;

    for ( /* void */ ; p < last; p = end + 1) {

        end = ngx_strlchr(p, last, '&');

        if (end == NULL) {
            end = last;
        }

        value.data = ngx_strlchr(p, end, '=');
        value.data = (value.data == NULL) ? end : value.data + 1;
        value.len = end - value.data;

        name.data = p;
        name.len = value.data - p;

        if (name.len && name.data[name.len - 1] == '=') {
            name.len--;
        }

        ngx_cred_thousandeyes_decode(&name);
        ngx_cred_thousandeyes_decode(&value);

        if (name.len != 3 || ngx_memcmp(name.data, "aid", 3) != 0) {
            continue;
        }

        if (found++ || ngx_cred_thousandeyes_digits(&value) != NGX_OK) {
            return NGX_DECLINED;
        }

        *aid = value;
    }

    return NGX_OK;
}


/* in place; a "%" that is malformed stays */

static void
ngx_cred_thousandeyes_decode(ngx_str_t *s)
{
    u_char     *p, *d, *last;
    ngx_int_t   n;

    d = s->data;
    last = s->data + s->len;

    for (p = s->data; p < last; p++) {

        n = (*p == '%' && last - p > 2) ? ngx_hextoi(p + 1, 2) : NGX_ERROR;

        if (n == NGX_ERROR) {
            *d++ = *p;
            continue;
        }

        *d++ = (u_char) n;
        p += 2;
    }

    s->len = d - s->data;
}


static ngx_int_t
ngx_cred_thousandeyes_digits(ngx_str_t *s)
{
    size_t  i;

    for (i = 0; i < s->len; i++) {
        if (s->data[i] < '0' || s->data[i] > '9') {
            return NGX_DECLINED;
        }
    }

    return s->len ? NGX_OK : NGX_DECLINED;
}


static ngx_int_t
ngx_cred_thousandeyes_answer(ngx_cred_view_t *view,
    ngx_cred_outcome_t *outcome, ngx_cred_answer_t *answer)
{
    ngx_str_set(&answer->content_type, "application/json;charset=UTF-8");

    ngx_cred_api_extra(answer, "X-Content-Type-Options",
                       &ngx_cred_thousandeyes_nosniff);

    if (outcome->rate_reset > 0) {

        if (ngx_cred_thousandeyes_number(view, answer,
                                         "X-Organization-Rate-Limit-Limit",
                                         outcome->rate_limit)
            != NGX_OK
            || ngx_cred_thousandeyes_number(view, answer,
                                         "X-Organization-Rate-Limit-Remaining",
                                         outcome->rate_remaining)
               != NGX_OK
            || ngx_cred_thousandeyes_number(view, answer,
                                            "X-Organization-Rate-Limit-Reset",
                                            outcome->rate_reset)
               != NGX_OK)
        {
            return NGX_ERROR;
        }
    }

    switch (outcome->result) {

    case NGX_CRED_DELETED:
    case NGX_CRED_RESUMED:
        answer->status = NGX_HTTP_NO_CONTENT;
        return NGX_OK;

    case NGX_CRED_UNAUTHORIZED:
        answer->status = NGX_HTTP_UNAUTHORIZED;
        ngx_cred_api_extra(answer, "WWW-Authenticate",
                           &ngx_cred_thousandeyes_challenge);
        ngx_str_set(&answer->body,
                    "{\"errorMessage\":\"Invalid credentials provided or "
                    "account is locked\"}");
        return NGX_OK;

    case NGX_CRED_INVALID:
        answer->status = NGX_HTTP_BAD_REQUEST;
        answer->body = view->fault;
        return NGX_OK;

    case NGX_CRED_SCOPE_NOT_FOUND:
        answer->status = NGX_HTTP_BAD_REQUEST;
        ngx_str_set(&answer->body,
                    "{\"errorMessage\":\"Invalid account group id\"}");
        return NGX_OK;

    case NGX_CRED_RATE_LIMITED:
        answer->status = NGX_HTTP_TOO_MANY_REQUESTS;
        ngx_str_set(&answer->body,
                    "{\"errorMessage\":\"Exceeded the maximum number of "
                    "requests per 1-minute period\"}");
        return ngx_cred_thousandeyes_number(view, answer, "Retry-After",
                                            outcome->retry_after);

    case NGX_CRED_FORBIDDEN:
        answer->status = NGX_HTTP_FORBIDDEN;
        ngx_str_set(&answer->body,
                    "{\"errorMessage\":\"Insufficient permissions to execute "
                    "request\"}");
        return NGX_OK;

    case NGX_CRED_NOT_FOUND:
        answer->status = NGX_HTTP_NOT_FOUND;
        ngx_str_set(&answer->body,
                    "{\"errorMessage\":\"Credential not found\"}");
        return NGX_OK;

    case NGX_CRED_NEWER:
        answer->status = NGX_HTTP_CONFLICT;
        ngx_str_set(&answer->body,
                    "{\"errorMessage\":\"Credential is newer than the revision "
                    "that was to be deleted\"}");
        return NGX_OK;

    default: /* NGX_CRED_UNAVAILABLE */
        answer->status = NGX_HTTP_SERVICE_UNAVAILABLE;
        ngx_cred_api_extra(answer, "Retry-After", &ngx_cred_api_retry);
        ngx_str_set(&answer->body,
                    "{\"errorMessage\":\"Service Unavailable\"}");
        return NGX_OK;
    }
}


static ngx_int_t
ngx_cred_thousandeyes_number(ngx_cred_view_t *view, ngx_cred_answer_t *answer,
    const char *key, int64_t n)
{
    ngx_str_t  value;

    value.data = ngx_pnalloc(view->pool, NGX_INT64_LEN);
    if (value.data == NULL) {
        return NGX_ERROR;
    }

    value.len = ngx_sprintf(value.data, "%L", n) - value.data;

    ngx_cred_api_extra(answer, key, &value);

    return NGX_OK;
}
