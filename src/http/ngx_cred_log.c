
/*
 * Copyright (C) ngx_cred_module authors
 * SPDX-License-Identifier: BSD-2-Clause
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>
#include <ngx_cred_http.h>


#define NGX_HTTP_CRED_LOG_NAME  128     /* bytes of a name */
#define NGX_HTTP_CRED_LOG_LINE  (NGX_MAX_ERROR_STR / 2)


static void ngx_http_cred_log_deserted(ngx_http_cred_ctx_t *ctx);
static u_char *ngx_http_cred_log_name(u_char *p, u_char *last,
    ngx_str_t *name);
static u_char *ngx_http_cred_log_names(u_char *p, u_char *last,
    const char *what, ngx_cred_outcome_t *outcome, ngx_cred_state_e state);


void
ngx_http_cred_log(ngx_http_cred_ctx_t *ctx, ngx_cred_outcome_t *outcome)
{
    u_char      *p, *last;
    ngx_log_t   *log;
    u_char       line[NGX_HTTP_CRED_LOG_LINE];

    if (outcome->result == NGX_CRED_DELETED && !outcome->dry_run) {
        ngx_http_cred_log_deserted(ctx);
    }

    log = ctx->request->connection->log;

    if (outcome->replicas < outcome->replicas_wanted) {
        ngx_log_error(NGX_LOG_WARN, log, 0,
                      "operation %V was acknowledged by %ui of %ui replicas "
                      "of the registry", &ctx->operation, outcome->replicas,
                      outcome->replicas_wanted);
    }

    if (log->log_level < NGX_LOG_INFO
        || (outcome->operation.len && !outcome->dry_run
            && outcome->npending + outcome->nsuperseded
               + outcome->nnot_deployed == 0))
    {
        return;
    }

    last = line + sizeof(line);

    p = ngx_slprintf(line, last, "%V, scope \"", &ctx->api->name);
    p = ngx_http_cred_log_name(p, last, &ctx->scope);
    p = ngx_slprintf(p, last, "\", id \"");
    p = ngx_http_cred_log_name(p, last, &ctx->id);
    p = ngx_slprintf(p, last, "\": %V", ngx_cred_result_name(outcome->result));

    if (ctx->absent) {
        p = ngx_slprintf(p, last, ", another spelling of a delete route");
    }

    if (outcome->result == NGX_CRED_UNAUTHORIZED) {

        if (outcome->token.len) {
            p = ngx_slprintf(p, last, ", token %V...", &outcome->token);

        } else {
            p = ngx_slprintf(p, last, ", no token or a malformed one");
        }
    }

    if (outcome->result == NGX_CRED_NEWER) {
        p = ngx_slprintf(p, last, ", newer than %V", &ctx->params.revision);
    }

    if (outcome->operation.len) {
        p = ngx_slprintf(p, last, ", operation %V", &outcome->operation);
        p = ngx_http_cred_log_names(p, last, "pending in", outcome,
                                    NGX_CRED_PENDING);
        p = ngx_http_cred_log_names(p, last, "superseded in", outcome,
                                    NGX_CRED_SUPERSEDED);
        p = ngx_http_cred_log_names(p, last, "not deployed in", outcome,
                                    NGX_CRED_NOT_DEPLOYED);
    }

    ngx_log_error(NGX_LOG_INFO, log, 0, "%s: %*s",
                  ctx->params.dry_run ? "dry run" : "delete",
                  (size_t) (p - line), line);
}


/* once, until a delete has concerned an environment */

static void
ngx_http_cred_log_deserted(ngx_http_cred_ctx_t *ctx)
{
    ngx_uint_t                 deserted;
    ngx_cred_registry_t       *registry;
    ngx_http_cred_loc_conf_t  *clcf;

    clcf = ngx_http_get_module_loc_conf(ctx->request, ngx_http_cred_module);

    registry = clcf->registry;
    deserted = (ctx->environments == 0);

    if (deserted && !registry->deserted) {
        ngx_log_error(NGX_LOG_WARN, ctx->request->connection->log, 0,
                      "a delete concerned no environment: "
                      "none is registered in \"%V:environments\"",
                      &registry->prefix);
    }

    registry->deserted = deserted;
}


/* what is no character of a line becomes a question mark */

static u_char *
ngx_http_cred_log_name(u_char *p, u_char *last, ngx_str_t *name)
{
    size_t  i;

    for (i = 0; i < name->len && p < last; i++) {

        if (i == NGX_HTTP_CRED_LOG_NAME) {
            return ngx_slprintf(p, last, "...");
        }

        *p++ = (name->data[i] < ' ' || name->data[i] == 0x7f) ? '?'
                                                              : name->data[i];
    }

    return p;
}


static u_char *
ngx_http_cred_log_names(u_char *p, u_char *last, const char *what,
    ngx_cred_outcome_t *outcome, ngx_cred_state_e state)
{
    ngx_uint_t           i, n;
    ngx_cred_receipt_t  *receipt;

    receipt = outcome->receipts;
    n = 0;

    for (i = 0; i < outcome->nreceipts; i++) {

        if (receipt[i].state != state) {
            continue;
        }

        p = n++ ? ngx_slprintf(p, last, ", ")
                : ngx_slprintf(p, last, ", %s ", what);

        p = ngx_http_cred_log_name(p, last, &receipt[i].name);
    }

    return p;
}
