
/*
 * Copyright (C) ngx_cred_module authors
 * SPDX-License-Identifier: BSD-2-Clause
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>
#include <jansson.h>
#include <ngx_cred_api.h>


#define NGX_CRED_IAM_KEY_LEN  40


static ngx_int_t ngx_cred_iam_route(ngx_cred_path_t *path,
    ngx_cred_route_t *route);
static ngx_int_t ngx_cred_iam_identify(ngx_cred_view_t *view,
    ngx_cred_params_t *params);
static ngx_int_t ngx_cred_iam_key(ngx_str_t *key);
static ngx_int_t ngx_cred_iam_answer(ngx_cred_view_t *view,
    ngx_cred_outcome_t *outcome, ngx_cred_answer_t *answer);
static ngx_int_t ngx_cred_iam_not_found(ngx_cred_view_t *view,
    ngx_cred_answer_t *answer);


ngx_cred_api_t  ngx_cred_iam = {
    .name = ngx_string("iam"),
    .method = NGX_HTTP_DELETE,
    .headers = { ngx_string("x-auth-token") },
    .rules = { .role = ngx_string("secu_admin") },
    .request_id = 1,
    .bad_dry_run = ngx_string(
        "{\"error\":{\"message\":"
        "\"Request header 'Cred-Dry-Run' is invalid.\","
        "\"code\":400,\"title\":\"Bad Request\"}}"),
    .bad_revision = ngx_string(
        "{\"error\":{\"message\":"
        "\"Request header 'Cred-Revision' is invalid.\","
        "\"code\":400,\"title\":\"Bad Request\"}}"),
    .route = ngx_cred_iam_route,
    .identify = ngx_cred_iam_identify,
    .answer = ngx_cred_iam_answer
};


/* /v3.0/OS-CREDENTIAL/credentials/{access_key}, in the token's domain */

static ngx_int_t
ngx_cred_iam_route(ngx_cred_path_t *path, ngx_cred_route_t *route)
{
    if (ngx_cred_api_prefix(path, "/v3.0/OS-CREDENTIAL/credentials/")
        != NGX_OK
        || ngx_cred_api_segment(path, &route->id) != NGX_OK)
    {
        return NGX_DECLINED;
    }

    ngx_str_null(&route->scope);

    return ngx_cred_api_end(path);
}


static ngx_int_t
ngx_cred_iam_identify(ngx_cred_view_t *view, ngx_cred_params_t *params)
{
    if (ngx_cred_api_header(view, 0, &params->token) != NGX_OK
        || ngx_cred_api_token(&params->token) != NGX_OK)
    {
        return NGX_DECLINED;
    }

    params->id = view->route.id;
    params->check = ngx_cred_api_check(&params->id);

    if (params->check == NGX_CRED_CHECK_ALL
        && ngx_cred_iam_key(&params->id) != NGX_OK)
    {
        params->check = NGX_CRED_CHECK_TOKEN;
        ngx_str_set(&view->fault,
                    "{\"error\":{\"message\":"
                    "\"Request parameter 'access_key' is invalid.\","
                    "\"code\":400,\"title\":\"Bad Request\"}}");
    }

    return NGX_OK;
}


static ngx_int_t
ngx_cred_iam_key(ngx_str_t *key)
{
    u_char  c;
    size_t  i;

    if (key->len > NGX_CRED_IAM_KEY_LEN) {
        return NGX_DECLINED;
    }

    for (i = 0; i < key->len; i++) {
        c = key->data[i];

        if (c >= '0' && c <= '9') {
            continue;
        }

        c |= 0x20;

        if (c < 'a' || c > 'z') {
            return NGX_DECLINED;
        }
    }

    return NGX_OK;
}


static ngx_int_t
ngx_cred_iam_answer(ngx_cred_view_t *view, ngx_cred_outcome_t *outcome,
    ngx_cred_answer_t *answer)
{
    ngx_cred_api_extra(answer, "X-Request-Id", &view->request_id);

    if (outcome->result == NGX_CRED_DELETED
        || outcome->result == NGX_CRED_RESUMED)
    {
        answer->status = NGX_HTTP_NO_CONTENT;
        return NGX_OK;
    }

    ngx_str_set(&answer->content_type, "application/json");

    switch (outcome->result) {

    case NGX_CRED_UNAUTHORIZED:
        answer->status = NGX_HTTP_UNAUTHORIZED;
        ngx_str_set(&answer->body,
                    "{\"error\":{\"message\":\"The request you have made "
                    "requires authentication.\","
                    "\"code\":401,\"title\":\"Unauthorized\"}}");
        return NGX_OK;

    case NGX_CRED_INVALID:
        answer->status = NGX_HTTP_BAD_REQUEST;
        answer->body = view->fault;
        return NGX_OK;

    case NGX_CRED_FORBIDDEN:
        answer->status = NGX_HTTP_FORBIDDEN;
        ngx_str_set(&answer->body,
                    "{\"error\":{\"message\":\"Policy doesn't allow "
                    "iam:credentials:deleteCredential to be performed.\","
                    "\"code\":403,\"title\":\"Forbidden\"}}");
        return NGX_OK;

    case NGX_CRED_SCOPE_NOT_FOUND:
    case NGX_CRED_NOT_FOUND:
        answer->status = NGX_HTTP_NOT_FOUND;
        return ngx_cred_iam_not_found(view, answer);

    case NGX_CRED_NEWER:
        answer->status = NGX_HTTP_CONFLICT;
        ngx_str_set(&answer->body,
                    "{\"error\":{\"message\":\"Credential is newer than the "
                    "revision that was to be deleted.\","
                    "\"code\":409,\"title\":\"Conflict\"}}");
        return NGX_OK;

    default: /* NGX_CRED_UNAVAILABLE */
        answer->status = NGX_HTTP_INTERNAL_SERVER_ERROR;
        ngx_cred_api_extra(answer, "Retry-After", &ngx_cred_api_retry);
        ngx_str_set(&answer->body,
                    "{\"error\":{\"message\":\"An unexpected error prevented "
                    "the server from fulfilling your request.\","
                    "\"code\":500,\"title\":\"Internal Server Error\"}}");
        return NGX_OK;
    }
}


static ngx_int_t
ngx_cred_iam_not_found(ngx_cred_view_t *view, ngx_cred_answer_t *answer)
{
    ngx_str_t  message;

    message.data = ngx_pnalloc(view->pool,
                               sizeof("Could not find credential: ") - 1
                               + view->route.id.len);
    if (message.data == NULL) {
        return NGX_ERROR;
    }

    message.len = ngx_sprintf(message.data, "Could not find credential: %V",
                              &view->route.id)
                  - message.data;

    return ngx_cred_api_json(view->pool,
                             json_pack("{s:{s:o,s:i,s:s}}", "error",
                                       "message",
                                       ngx_cred_api_string(view, &message),
                                       "code", NGX_HTTP_NOT_FOUND,
                                       "title", "Not Found"),
                             &answer->body);
}
