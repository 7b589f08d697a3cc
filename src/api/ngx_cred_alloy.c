
/*
 * Copyright (C) ngx_cred_module authors
 * SPDX-License-Identifier: BSD-2-Clause
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>
#include <jansson.h>
#include <ngx_cred_api.h>


static ngx_int_t ngx_cred_alloy_route(ngx_cred_path_t *path,
    ngx_cred_route_t *route);
static ngx_int_t ngx_cred_alloy_identify(ngx_cred_view_t *view,
    ngx_cred_params_t *params);
static ngx_int_t ngx_cred_alloy_version(ngx_cred_view_t *view);
static ngx_int_t ngx_cred_alloy_unsupported(ngx_cred_view_t *view);
static ngx_int_t ngx_cred_alloy_answer(ngx_cred_view_t *view,
    ngx_cred_outcome_t *outcome, ngx_cred_answer_t *answer);


ngx_cred_api_t  ngx_cred_alloy = {
    .name = ngx_string("alloy"),
    .method = NGX_HTTP_DELETE,
    .headers = { ngx_string("authorization"),
                  ngx_string("x-api-version") },
    .rules = { .membership = 1 },
    .bad_dry_run = ngx_string(
        "{\"error\":\"Bad Request\",\"message\":"
        "\"Invalid header: Cred-Dry-Run\"}"),
    .bad_revision = ngx_string(
        "{\"error\":\"Bad Request\",\"message\":"
        "\"Invalid header: Cred-Revision\"}"),
    .route = ngx_cred_alloy_route,
    .identify = ngx_cred_alloy_identify,
    .answer = ngx_cred_alloy_answer
};


/* /users/{userId}/credentials/{credentialId} */

static ngx_int_t
ngx_cred_alloy_route(ngx_cred_path_t *path, ngx_cred_route_t *route)
{
    if (ngx_cred_api_prefix(path, "/users/") != NGX_OK
        || ngx_cred_api_segment(path, &route->scope) != NGX_OK
        || ngx_cred_api_prefix(path, "/credentials/") != NGX_OK
        || ngx_cred_api_segment(path, &route->id) != NGX_OK)
    {
        return NGX_DECLINED;
    }

    return ngx_cred_api_end(path);
}


static ngx_int_t
ngx_cred_alloy_identify(ngx_cred_view_t *view, ngx_cred_params_t *params)
{
    ngx_int_t  rc;

    if (ngx_cred_api_bearer(view, 0, &params->token) != NGX_OK) {
        return NGX_DECLINED;
    }

    params->scope = view->route.scope;
    params->id = view->route.id;

    rc = ngx_cred_alloy_version(view);

    if (rc == NGX_ERROR) {
        return NGX_ERROR;
    }

    if (rc == NGX_DECLINED) {
        params->check = NGX_CRED_CHECK_TOKEN;
        return NGX_OK;
    }

    params->check = ngx_cred_api_check(&params->id);

    return NGX_OK;
}


/* NGX_DECLINED with view->fault set if the version is not the one we speak */

static ngx_int_t
ngx_cred_alloy_version(ngx_cred_view_t *view)
{
    ngx_str_t  *version;

    version = &view->headers[1];

    if (view->nheaders[1] > 1) {
        ngx_str_set(&view->fault,
                    "{\"error\":\"Bad Request\",\"message\":"
                    "\"Repeated header: x-api-version\"}");
        return NGX_DECLINED;
    }

    if (view->nheaders[1] == 0 || version->len == 0) {

        if (view->conf->alloy_version_optional) {
            return NGX_OK;
        }

        ngx_str_set(&view->fault,
                    "{\"error\":\"Bad Request\",\"message\":"
                    "\"Missing required header: x-api-version\"}");
        return NGX_DECLINED;
    }

    if (version->len == view->conf->alloy_version.len
        && ngx_memcmp(version->data, view->conf->alloy_version.data,
                      version->len) == 0)
    {
        return NGX_OK;
    }

    return ngx_cred_alloy_unsupported(view);
}


static ngx_int_t
ngx_cred_alloy_unsupported(ngx_cred_view_t *view)
{
    json_t     *json;
    ngx_str_t   message;

    message.data = ngx_pnalloc(view->pool,
                               sizeof("Unsupported API version: ") - 1
                               + view->headers[1].len);
    if (message.data == NULL) {
        return NGX_ERROR;
    }

    message.len = ngx_sprintf(message.data, "Unsupported API version: %V",
                              &view->headers[1])
                  - message.data;

    json = json_pack("{s:s,s:o}", "error", "Bad Request",
                     "message", ngx_cred_api_string(view, &message));

    if (ngx_cred_api_json(view->pool, json, &view->fault) != NGX_OK) {
        return NGX_ERROR;
    }

    return NGX_DECLINED;
}


static ngx_int_t
ngx_cred_alloy_answer(ngx_cred_view_t *view, ngx_cred_outcome_t *outcome,
    ngx_cred_answer_t *answer)
{
    ngx_str_set(&answer->content_type, "application/json");

    switch (outcome->result) {

    case NGX_CRED_DELETED:
    case NGX_CRED_RESUMED:
        answer->status = NGX_HTTP_OK;
        ngx_str_set(&answer->body, "{\"success\":true}");
        return NGX_OK;

    case NGX_CRED_UNAUTHORIZED:
        answer->status = NGX_HTTP_UNAUTHORIZED;
        ngx_cred_api_extra(answer, "WWW-Authenticate",
                           &ngx_cred_api_challenge);
        ngx_str_set(&answer->body,
                    "{\"error\":\"Unauthorized\","
                    "\"message\":\"Invalid API key\"}");
        return NGX_OK;

    case NGX_CRED_INVALID:
        answer->status = NGX_HTTP_BAD_REQUEST;
        answer->body = view->fault;
        return NGX_OK;

    case NGX_CRED_SCOPE_NOT_FOUND:
        answer->status = NGX_HTTP_NOT_FOUND;
        ngx_str_set(&answer->body,
                    "{\"error\":\"Not Found\","
                    "\"message\":\"User not found\"}");
        return NGX_OK;

    case NGX_CRED_FORBIDDEN:
        answer->status = NGX_HTTP_FORBIDDEN;
        ngx_str_set(&answer->body,
                    "{\"error\":\"Forbidden\","
                    "\"message\":\"Insufficient permissions\"}");
        return NGX_OK;

    case NGX_CRED_NOT_FOUND:
        answer->status = NGX_HTTP_NOT_FOUND;
        ngx_str_set(&answer->body,
                    "{\"error\":\"Not Found\","
                    "\"message\":\"Credential not found\"}");
        return NGX_OK;

    case NGX_CRED_NEWER:
        answer->status = NGX_HTTP_CONFLICT;
        ngx_str_set(&answer->body,
                    "{\"error\":\"Conflict\",\"message\":\"Credential is newer "
                    "than the revision that was to be deleted\"}");
        return NGX_OK;

    default: /* NGX_CRED_UNAVAILABLE */
        answer->status = NGX_HTTP_SERVICE_UNAVAILABLE;
        ngx_cred_api_extra(answer, "Retry-After", &ngx_cred_api_retry);
        ngx_str_set(&answer->body,
                    "{\"error\":\"Service Unavailable\","
                    "\"message\":\"Please try again later\"}");
        return NGX_OK;
    }
}
