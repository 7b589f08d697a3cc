
/*
 * Copyright (C) ngx_cred_module authors
 * SPDX-License-Identifier: BSD-2-Clause
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>
#include <jansson.h>
#include <ngx_cred_api.h>


static ngx_int_t ngx_cred_apinizer_route(ngx_cred_path_t *path,
    ngx_cred_route_t *route);
static ngx_int_t ngx_cred_apinizer_identify(ngx_cred_view_t *view,
    ngx_cred_params_t *params);
static ngx_int_t ngx_cred_apinizer_answer(ngx_cred_view_t *view,
    ngx_cred_outcome_t *outcome, ngx_cred_answer_t *answer);
static ngx_int_t ngx_cred_apinizer_deleted(ngx_cred_view_t *view,
    ngx_cred_outcome_t *outcome, ngx_cred_answer_t *answer);
static u_char *ngx_cred_apinizer_message(u_char *p,
    ngx_cred_outcome_t *outcome, ngx_uint_t n);
static u_char *ngx_cred_apinizer_dry_run(u_char *p,
    ngx_cred_outcome_t *outcome, ngx_uint_t n);
static u_char *ngx_cred_apinizer_environment(ngx_cred_view_t *view, u_char *p,
    ngx_str_t *name, ngx_str_t *text);
static ngx_str_t *ngx_cred_apinizer_text(ngx_cred_outcome_t *outcome,
    ngx_cred_receipt_t *receipt);
static ngx_int_t ngx_cred_apinizer_error(ngx_cred_view_t *view,
    ngx_cred_answer_t *answer, const char *error, const char *format,
    ngx_str_t *name);


ngx_cred_api_t  ngx_cred_apinizer = {
    .name = ngx_string("apinizer"),
    .method = NGX_HTTP_DELETE,
    .headers = { ngx_string("authorization") },
    .rules = { .membership = 1 },
    .bad_dry_run = ngx_string(
        "{\"error\":\"bad_request\",\"error_description\":"
        "\"Cred-Dry-Run must be true or false\"}"),
    .bad_revision = ngx_string(
        "{\"error\":\"bad_request\",\"error_description\":"
        "\"Cred-Revision must be a number of 1 to 20 digits\"}"),
    .route = ngx_cred_apinizer_route,
    .identify = ngx_cred_apinizer_identify,
    .answer = ngx_cred_apinizer_answer
};


/* the answer to an accepted delete is written piece by piece: it is hot */

static ngx_str_t  ngx_cred_apinizer_done = ngx_string(
    "{\"success\":true,\"deploymentResult\":{\"success\":true,"
    "\"message\":\"Undeployment completed successfully\","
    "\"environmentResults\":[");

static ngx_str_t  ngx_cred_apinizer_nowhere = ngx_string(
    "{\"success\":true,\"deploymentResult\":{\"success\":true,"
    "\"message\":\"No environment is registered\","
    "\"environmentResults\":[");

/* for "Undeployment is pending" and "A newer deployment stays" */

static ngx_str_t  ngx_cred_apinizer_undone = ngx_string(
    "{\"success\":true,\"deploymentResult\":{\"success\":false,"
    "\"message\":\"%s in %ui of %ui environments\","
    "\"environmentResults\":[");

static ngx_str_t  ngx_cred_apinizer_end = ngx_string("]}}");

static ngx_str_t  ngx_cred_apinizer_name =
    ngx_string("{\"environmentName\":");

/* in the order of ngx_cred_state_e; what is pending has a reason */

static ngx_str_t  ngx_cred_apinizer_states[] = {
    ngx_null_string,
    ngx_string(",\"success\":true,\"message\":\"Undeployed successfully\"},"),
    ngx_string(",\"success\":true,\"message\":\"Was not deployed\"},"),
    ngx_string(",\"success\":false,\"message\":\"A newer deployment of the "
               "credential is in this environment and stays\"},"),
    ngx_null_string     /* unregistered ones are left out */
};

static ngx_str_t  ngx_cred_apinizer_reasons[] = {
    ngx_string(",\"success\":false,\"message\":\"Environment did not answer "
               "in time, undeployment will be retried\"},"),
    ngx_string(",\"success\":false,\"message\":\"Environment is unreachable, "
               "undeployment will be retried\"},"),
    ngx_string(",\"success\":false,\"message\":\"Environment refused the "
               "undeployment, undeployment will be retried\"},"),
    ngx_string(",\"success\":false,\"message\":\"Gateways have not confirmed, "
               "undeployment will be retried\"},")
};

/* of a dry run: nothing is said to be done that is not */

static ngx_str_t  ngx_cred_apinizer_dry = ngx_string(
    "{\"success\":true,\"deploymentResult\":{\"success\":true,"
    "\"message\":\"Dry run: %s\","
    "\"environmentResults\":[");

static ngx_str_t  ngx_cred_apinizer_would =
    ngx_string(",\"success\":true,\"message\":\"Would be undeployed\"},");

static ngx_str_t  ngx_cred_apinizer_would_pend =
    ngx_string(",\"success\":false,\"message\":\"Environment is not "
               "registered, undeployment would be pending\"},");

static ngx_str_t  ngx_cred_apinizer_pends =
    ngx_string(",\"success\":false,\"message\":\"Undeployment is "
               "pending\"},");


/* /apiops/projects/{projectName}/credentials/{username}/ */

static ngx_int_t
ngx_cred_apinizer_route(ngx_cred_path_t *path, ngx_cred_route_t *route)
{
    if (ngx_cred_api_prefix(path, "/apiops/projects/") != NGX_OK
        || ngx_cred_api_segment(path, &route->scope) != NGX_OK
        || ngx_cred_api_prefix(path, "/credentials/") != NGX_OK
        || ngx_cred_api_segment(path, &route->id) != NGX_OK)
    {
        return NGX_DECLINED;
    }

    return ngx_cred_api_end(path);
}


static ngx_int_t
ngx_cred_apinizer_identify(ngx_cred_view_t *view, ngx_cred_params_t *params)
{
    if (ngx_cred_api_bearer(view, 0, &params->token) != NGX_OK) {
        return NGX_DECLINED;
    }

    params->scope = view->route.scope;
    params->id = view->route.id;
    params->check = ngx_cred_api_check(&params->id);

    return NGX_OK;
}


static ngx_int_t
ngx_cred_apinizer_answer(ngx_cred_view_t *view, ngx_cred_outcome_t *outcome,
    ngx_cred_answer_t *answer)
{
    ngx_str_set(&answer->content_type, "application/json;charset=UTF-8");

    switch (outcome->result) {

    case NGX_CRED_DELETED:
    case NGX_CRED_RESUMED:
        answer->status = NGX_HTTP_OK;
        return ngx_cred_apinizer_deleted(view, outcome, answer);

    case NGX_CRED_UNAUTHORIZED:
        answer->status = NGX_HTTP_UNAUTHORIZED;
        ngx_cred_api_extra(answer, "WWW-Authenticate",
                           &ngx_cred_api_challenge);
        ngx_str_set(&answer->body,
                    "{\"error\":\"unauthorized_client\","
                    "\"error_description\":\"Invalid token\"}");
        return NGX_OK;

    case NGX_CRED_INVALID:
        answer->status = NGX_HTTP_BAD_REQUEST;
        answer->body = view->fault;
        return NGX_OK;

    case NGX_CRED_SCOPE_NOT_FOUND:
        answer->status = NGX_HTTP_NOT_FOUND;
        return ngx_cred_apinizer_error(view, answer, "not_found",
                                       "Project(%V) was not found or user "
                                       "does not have privilege to access it!",
                                       &view->route.scope);

    case NGX_CRED_FORBIDDEN:
        answer->status = NGX_HTTP_FORBIDDEN;
        ngx_str_set(&answer->body,
                    "{\"error\":\"forbidden\",\"error_description\":"
                    "\"You do not have permission to perform this action\"}");
        return NGX_OK;

    case NGX_CRED_NOT_FOUND:
        answer->status = NGX_HTTP_BAD_REQUEST;
        return ngx_cred_apinizer_error(view, answer, "bad_request",
                                       "Credential (username: %V) was not "
                                       "found!",
                                       &view->route.id);

    case NGX_CRED_NEWER:
        answer->status = NGX_HTTP_CONFLICT;
        return ngx_cred_apinizer_error(view, answer, "conflict",
                                       "Credential (username: %V) is newer "
                                       "than the revision that was to be "
                                       "deleted!",
                                       &view->route.id);

    default: /* NGX_CRED_UNAVAILABLE */
        answer->status = NGX_HTTP_SERVICE_UNAVAILABLE;
        ngx_cred_api_extra(answer, "Retry-After", &ngx_cred_api_retry);
        ngx_str_set(&answer->body,
                    "{\"error\":\"server_error\",\"error_description\":"
                    "\"An unexpected error occurred. "
                    "Please try again later.\"}");
        return NGX_OK;
    }
}


static ngx_int_t
ngx_cred_apinizer_deleted(ngx_cred_view_t *view, ngx_cred_outcome_t *outcome,
    ngx_cred_answer_t *answer)
{
    u_char              *p;
    size_t               size;
    ngx_uint_t           i, n;
    ngx_cred_receipt_t  *receipt;

    receipt = outcome->receipts;
    size = ngx_cred_apinizer_done.len + ngx_cred_apinizer_end.len;
    n = 0;

    for (i = 0; i < outcome->nreceipts; i++) {

        if (receipt[i].state == NGX_CRED_UNREGISTERED) {
            continue;
        }

        size += ngx_cred_apinizer_name.len
                + NGX_CRED_API_QUOTED_LEN(receipt[i].name.len)
                + ngx_cred_apinizer_text(outcome, &receipt[i])->len;
        n++;
    }

    size += ngx_cred_apinizer_undone.len + 2 * NGX_INT_T_LEN
            + sizeof("Dry run: undeployment would be pending");

    p = ngx_pnalloc(view->pool, size);
    if (p == NULL) {
        return NGX_ERROR;
    }

    answer->body.data = p;

    p = ngx_cred_apinizer_message(p, outcome, n);

    for (i = 0; i < outcome->nreceipts; i++) {

        if (receipt[i].state == NGX_CRED_UNREGISTERED) {
            continue;
        }

        p = ngx_cred_apinizer_environment(view, p, &receipt[i].name,
                                    ngx_cred_apinizer_text(outcome,
                                                           &receipt[i]));
        if (p == NULL) {
            return NGX_ERROR;
        }
    }

    if (n) {
        p--;    /* the last comma */
    }

    p = ngx_cpymem(p, ngx_cred_apinizer_end.data, ngx_cred_apinizer_end.len);

    answer->body.len = p - answer->body.data;

    return NGX_OK;
}


/* of "n" environments; the worst news has the word */

static u_char *
ngx_cred_apinizer_message(u_char *p, ngx_cred_outcome_t *outcome, ngx_uint_t n)
{
    char  *undone;

    if (outcome->dry_run) {
        return ngx_cred_apinizer_dry_run(p, outcome, n);
    }

    undone = (char *) ngx_cred_apinizer_undone.data;

    if (outcome->npending) {
        return ngx_sprintf(p, undone, "Undeployment is pending",
                           outcome->npending, n);
    }

    if (outcome->nsuperseded) {
        return ngx_sprintf(p, undone, "A newer deployment stays",
                           outcome->nsuperseded, n);
    }

    if (n == 0) {
        return ngx_cpymem(p, ngx_cred_apinizer_nowhere.data,
                          ngx_cred_apinizer_nowhere.len);
    }

    return ngx_cpymem(p, ngx_cred_apinizer_done.data,
                      ngx_cred_apinizer_done.len);
}


static u_char *
ngx_cred_apinizer_dry_run(u_char *p, ngx_cred_outcome_t *outcome, ngx_uint_t n)
{
    char  *undone;

    undone = (char *) ngx_cred_apinizer_undone.data;

    if (outcome->npending) {
        return ngx_sprintf(p, undone,
                           (outcome->result == NGX_CRED_DELETED)
                           ? "Dry run: undeployment would be pending"
                           : "Dry run: undeployment is pending",
                           outcome->npending, n);
    }

    if (outcome->nsuperseded) {
        return ngx_sprintf(p, undone, "Dry run: a newer deployment stays",
                           outcome->nsuperseded, n);
    }

    return ngx_sprintf(p, (char *) ngx_cred_apinizer_dry.data,
                       n ? "nothing was changed"
                         : "no environment is registered");
}


static u_char *
ngx_cred_apinizer_environment(ngx_cred_view_t *view, u_char *p,
    ngx_str_t *name, ngx_str_t *text)
{
    p = ngx_cpymem(p, ngx_cred_apinizer_name.data, ngx_cred_apinizer_name.len);

    p = ngx_cred_api_quote(view, p, name);
    if (p == NULL) {
        return NULL;
    }

    return ngx_cpymem(p, text->data, text->len);
}


static ngx_str_t *
ngx_cred_apinizer_text(ngx_cred_outcome_t *outcome, ngx_cred_receipt_t *receipt)
{
    if (outcome->dry_run && outcome->result == NGX_CRED_DELETED) {
        return (receipt->state == NGX_CRED_PENDING)
               ? &ngx_cred_apinizer_would_pend : &ngx_cred_apinizer_would;
    }

    if (receipt->state == NGX_CRED_PENDING) {
        return outcome->dry_run ? &ngx_cred_apinizer_pends
                                : &ngx_cred_apinizer_reasons[receipt->reason];
    }

    return &ngx_cred_apinizer_states[receipt->state];
}


static ngx_int_t
ngx_cred_apinizer_error(ngx_cred_view_t *view, ngx_cred_answer_t *answer,
    const char *error, const char *format, ngx_str_t *name)
{
    ngx_str_t  description;

    description.data = ngx_pnalloc(view->pool, ngx_strlen(format) + name->len);
    if (description.data == NULL) {
        return NGX_ERROR;
    }

    description.len = ngx_sprintf(description.data, format, name)
                      - description.data;

    return ngx_cred_api_json(view->pool,
                             json_pack("{s:s,s:o}",
                                       "error", error, "error_description",
                                       ngx_cred_api_string(view,
                                                           &description)),
                             &answer->body);
}
