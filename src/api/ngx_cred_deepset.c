
/*
 * Copyright (C) ngx_cred_module authors
 * SPDX-License-Identifier: BSD-2-Clause
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>
#include <jansson.h>
#include <ngx_cred_api.h>
#include <ngx_cred_uuid.h>


static ngx_int_t ngx_cred_deepset_route(ngx_cred_path_t *path,
    ngx_cred_route_t *route);
static ngx_int_t ngx_cred_deepset_identify(ngx_cred_view_t *view,
    ngx_cred_params_t *params);
static ngx_int_t ngx_cred_deepset_fault(ngx_cred_view_t *view,
    ngx_str_t *input, ngx_str_t *error);
static ngx_int_t ngx_cred_deepset_answer(ngx_cred_view_t *view,
    ngx_cred_outcome_t *outcome, ngx_cred_answer_t *answer);
static void ngx_cred_deepset_unauthorized(ngx_cred_view_t *view,
    ngx_cred_answer_t *answer);


ngx_cred_api_t  ngx_cred_deepset = {
    .name = ngx_string("deepset"),
    .method = NGX_HTTP_DELETE,
    .headers = { ngx_string("authorization") },
    .rules = { .uses = 1 },
    .bad_dry_run = ngx_string(
        "{\"detail\":[{\"type\":\"literal_error\","
        "\"loc\":[\"header\",\"cred-dry-run\"],"
        "\"msg\":\"Input should be 'true' or 'false'\"}]}"),
    .bad_revision = ngx_string(
        "{\"detail\":[{\"type\":\"string_pattern_mismatch\","
        "\"loc\":[\"header\",\"cred-revision\"],"
        "\"msg\":\"String should match pattern '^[0-9]{1,20}$'\"}]}"),
    .route = ngx_cred_deepset_route,
    .identify = ngx_cred_deepset_identify,
    .answer = ngx_cred_deepset_answer
};


/*
 * /api/v1/infrastructure/file_stores/{credentials_id}, no trailing slash, in
 * the token's organization
 */

static ngx_int_t
ngx_cred_deepset_route(ngx_cred_path_t *path, ngx_cred_route_t *route)
{
    if (ngx_cred_api_prefix(path, "/api/v1/infrastructure/file_stores/")
        != NGX_OK
        || ngx_cred_api_segment(path, &route->id) != NGX_OK)
    {
        return NGX_DECLINED;
    }

    ngx_str_null(&route->scope);

    if (path->rest.len && !path->lax) {
        return NGX_DECLINED;
    }

    return ngx_cred_api_end(path);
}


static ngx_int_t
ngx_cred_deepset_identify(ngx_cred_view_t *view, ngx_cred_params_t *params)
{
    u_char     *uuid;
    ngx_str_t   text, error;
    u_char      buf[NGX_CRED_UUID_ERROR_LEN];

    if (ngx_cred_api_bearer(view, 0, &params->token) != NGX_OK) {
        return NGX_DECLINED;
    }

    params->id = view->route.id;
    params->check = ngx_cred_api_check(&params->id);

    if (params->check != NGX_CRED_CHECK_ALL) {
        return NGX_OK;
    }

    uuid = ngx_pnalloc(view->pool, NGX_CRED_UUID_LEN);
    if (uuid == NULL) {
        return NGX_ERROR;
    }

    if (ngx_cred_api_utf8(view->pool, &view->route.id, &text) != NGX_OK) {
        return NGX_ERROR;
    }

    if (ngx_cred_uuid_parse(&text, uuid, buf, &error.len) == NGX_OK) {
        params->id.data = uuid;
        params->id.len = NGX_CRED_UUID_LEN;
        return NGX_OK;
    }

    error.data = buf;
    params->check = NGX_CRED_CHECK_TOKEN;

    return ngx_cred_deepset_fault(view, &text, &error);
}


static ngx_int_t
ngx_cred_deepset_fault(ngx_cred_view_t *view, ngx_str_t *input,
    ngx_str_t *error)
{
    u_char     *p;
    json_t     *json;
    ngx_str_t   msg;

    msg.len = sizeof("Input should be a valid UUID, ") - 1 + error->len;

    msg.data = ngx_pnalloc(view->pool, msg.len);
    if (msg.data == NULL) {
        return NGX_ERROR;
    }

    p = ngx_cpymem(msg.data, "Input should be a valid UUID, ",
                   sizeof("Input should be a valid UUID, ") - 1);
    ngx_memcpy(p, error->data, error->len);

    json = json_pack("{s:[{s:s,s:[s,s],s:o,s:o,s:{s:o}}]}", "detail",
                     "type", "uuid_parsing",
                     "loc", "path", "credentials_id",
                     "msg", ngx_cred_api_string(view, &msg),
                     "input", ngx_cred_api_string(view, input),
                     "ctx", "error", ngx_cred_api_string(view, error));

    return ngx_cred_api_json(view->pool, json, &view->fault);
}


static ngx_int_t
ngx_cred_deepset_answer(ngx_cred_view_t *view, ngx_cred_outcome_t *outcome,
    ngx_cred_answer_t *answer)
{
    if (outcome->result == NGX_CRED_DELETED
        || outcome->result == NGX_CRED_RESUMED)
    {
        answer->status = NGX_HTTP_NO_CONTENT;
        return NGX_OK;
    }

    ngx_str_set(&answer->content_type, "application/json");

    switch (outcome->result) {

    case NGX_CRED_UNAUTHORIZED:
        ngx_cred_deepset_unauthorized(view, answer);
        return NGX_OK;

    case NGX_CRED_INVALID:
        answer->status = 422;
        answer->body = view->fault;
        return NGX_OK;

    case NGX_CRED_SCOPE_NOT_FOUND:
    case NGX_CRED_NOT_FOUND:
        answer->status = NGX_HTTP_NOT_FOUND;
        ngx_str_set(&answer->body,
                    "{\"detail\":\"We couldn't find the specified S3 bucket "
                    "credentials. Use the endpoint "
                    "'list_available_s3_buckets' to check the S3 bucket "
                    "credentials that exist in your organization.\"}");
        return NGX_OK;

    case NGX_CRED_IN_USE:
        answer->status = NGX_HTTP_BAD_REQUEST;
        ngx_str_set(&answer->body,
                    "{\"detail\":\"We couldn't delete the specified S3 "
                    "credentials because they are currently in use. Delete "
                    "all workspaces which use these credentials and try "
                    "again.\"}");
        return NGX_OK;

    case NGX_CRED_NEWER:
        answer->status = NGX_HTTP_CONFLICT;
        ngx_str_set(&answer->body,
                    "{\"detail\":\"We couldn't delete the specified S3 "
                    "credentials because they are newer than the revision "
                    "that was to be deleted.\"}");
        return NGX_OK;

    default: /* NGX_CRED_UNAVAILABLE */
        answer->status = NGX_HTTP_SERVICE_UNAVAILABLE;
        ngx_cred_api_extra(answer, "Retry-After", &ngx_cred_api_retry);
        ngx_str_set(&answer->body, "{\"detail\":\"Service Unavailable\"}");
        return NGX_OK;
    }
}


static void
ngx_cred_deepset_unauthorized(ngx_cred_view_t *view, ngx_cred_answer_t *answer)
{
    ngx_str_t  token;

    answer->status = NGX_HTTP_UNAUTHORIZED;
    ngx_cred_api_extra(answer, "WWW-Authenticate", &ngx_cred_api_challenge);

    if (view->nheaders[0] < 2
        && ngx_cred_api_scheme(&view->headers[0], "Bearer", &token) != NGX_OK)
    {
        ngx_str_set(&answer->body, "{\"detail\":\"Not authenticated\"}");
        return;
    }

    ngx_str_set(&answer->body,
                "{\"detail\":\"Invalid authentication credentials\"}");
}
