
/*
 * Copyright (C) ngx_cred_module authors
 * SPDX-License-Identifier: BSD-2-Clause
 */


/* the state as JSON, for programs and for the page */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>
#include <ngx_cred_access_http.h>
#include <ngx_cred_status_http.h>
#include <ngx_cred_zone.h>


typedef json_t *(*ngx_http_cred_status_part_pt)(
    ngx_http_cred_status_ctx_t *ctx);


typedef struct {
    const char                    *name;
    ngx_http_cred_status_part_pt   make;
} ngx_http_cred_status_part_t;


static json_t *ngx_http_cred_status_object(ngx_http_cred_status_ctx_t *ctx,
    ngx_http_cred_status_part_t *part);
static json_t *ngx_http_cred_status_version(ngx_http_cred_status_ctx_t *ctx);
static json_t *ngx_http_cred_status_nginx(ngx_http_cred_status_ctx_t *ctx);
static json_t *ngx_http_cred_status_host(ngx_http_cred_status_ctx_t *ctx);
static json_t *ngx_http_cred_status_time(ngx_http_cred_status_ctx_t *ctx);
static json_t *ngx_http_cred_status_started(ngx_http_cred_status_ctx_t *ctx);
static json_t *ngx_http_cred_status_workers(ngx_http_cred_status_ctx_t *ctx);
static json_t *ngx_http_cred_status_registry(ngx_http_cred_status_ctx_t *ctx);
static json_t *ngx_http_cred_status_environments(
    ngx_http_cred_status_ctx_t *ctx);
static json_t *ngx_http_cred_status_more(ngx_http_cred_status_ctx_t *ctx);
static json_t *ngx_http_cred_status_environment(
    ngx_http_cred_status_ctx_t *ctx, ngx_http_cred_status_row_t *row);
static json_t *ngx_http_cred_status_attempts(
    ngx_cred_status_environment_t *status);
static json_t *ngx_http_cred_status_histogram(
    ngx_cred_status_histogram_t *histogram);
static json_t *ngx_http_cred_status_gateways(ngx_http_cred_status_ctx_t *ctx,
    ngx_cred_survey_environment_t *environment);
static json_t *ngx_http_cred_status_deletes(ngx_http_cred_status_ctx_t *ctx);
static json_t *ngx_http_cred_status_access(ngx_http_cred_status_ctx_t *ctx);
static json_t *ngx_http_cred_status_cache(ngx_http_cred_status_ctx_t *ctx);
static json_t *ngx_http_cred_status_leases(ngx_http_cred_status_ctx_t *ctx);
static json_t *ngx_http_cred_status_zones(ngx_http_cred_status_ctx_t *ctx);
static json_t *ngx_http_cred_status_zone_json(ngx_http_cred_status_ctx_t *ctx,
    ngx_str_t *name, size_t size, size_t used);
static json_t *ngx_http_cred_status_seconds(off_t ms);
static json_t *ngx_http_cred_status_error_at(ngx_http_cred_status_ctx_t *ctx,
    ngx_cred_status_view_t *view);


static ngx_http_cred_status_part_t  ngx_http_cred_status_parts[] = {
    { "version", ngx_http_cred_status_version },
    { "nginx", ngx_http_cred_status_nginx },
    { "host", ngx_http_cred_status_host },
    { "now", ngx_http_cred_status_time },
    { "started", ngx_http_cred_status_started },
    { "workers", ngx_http_cred_status_workers },
    { "registry", ngx_http_cred_status_registry },
    { "environments", ngx_http_cred_status_environments },
    { "more_environments", ngx_http_cred_status_more },
    { "deletes", ngx_http_cred_status_deletes },
    { "access", ngx_http_cred_status_access },
    { "cache", ngx_http_cred_status_cache },
    { "leases", ngx_http_cred_status_leases },
    { "zones", ngx_http_cred_status_zones },
    { "operations", ngx_http_cred_status_operations },
    { NULL, NULL }
};


ngx_int_t
ngx_http_cred_status_json(ngx_http_cred_status_ctx_t *ctx, ngx_str_t *body)
{
    return ngx_cred_api_json(ctx->request->pool,
                             ngx_http_cred_status_object(ctx,
                                                  ngx_http_cred_status_parts),
                             body);
}


static json_t *
ngx_http_cred_status_object(ngx_http_cred_status_ctx_t *ctx,
    ngx_http_cred_status_part_t *part)
{
    json_t  *json;

    json = json_object();

    for ( /* void */ ; part->name; part++) {

        if (json_object_set_new(json, part->name, part->make(ctx)) != 0) {
            json_decref(json);
            return NULL;
        }
    }

    return json;
}


static json_t *
ngx_http_cred_status_version(ngx_http_cred_status_ctx_t *ctx)
{
    return json_string(NGX_CRED_VERSION);
}


static json_t *
ngx_http_cred_status_nginx(ngx_http_cred_status_ctx_t *ctx)
{
    return json_string(NGINX_VERSION);
}


static json_t *
ngx_http_cred_status_host(ngx_http_cred_status_ctx_t *ctx)
{
    return ngx_http_cred_status_string(ctx, (ngx_str_t *) &ngx_cycle->hostname);
}


static json_t *
ngx_http_cred_status_time(ngx_http_cred_status_ctx_t *ctx)
{
    return ngx_http_cred_status_seconds(ngx_cred_status_now());
}


static json_t *
ngx_http_cred_status_started(ngx_http_cred_status_ctx_t *ctx)
{
    return ngx_http_cred_status_seconds(ngx_cred_status_start());
}


static json_t *
ngx_http_cred_status_workers(ngx_http_cred_status_ctx_t *ctx)
{
    ngx_core_conf_t  *ccf;

    ccf = (ngx_core_conf_t *) ngx_get_conf(ngx_cycle->conf_ctx,
                                           ngx_core_module);

    return json_integer(ccf->worker_processes);
}


static json_t *
ngx_http_cred_status_registry(ngx_http_cred_status_ctx_t *ctx)
{
    ngx_cred_status_view_t    view;
    ngx_cred_status_state_e   state;

    if (ctx->registry == NULL) {
        return json_null();
    }

    ngx_cred_status_view(ngx_cred_status_find_registry(ctx->registry), &view);

    /* who has just asked knows best */

    state = ngx_http_cred_status_registry_up(ctx) ? NGX_CRED_STATUS_UP
                                                  : NGX_CRED_STATUS_DOWN;

    return json_pack("{s:o,s:o,s:s,s:o,s:o,s:o,s:o}",
        "name", ngx_http_cred_status_string(ctx, &ctx->registry->name),
        "prefix", ngx_http_cred_status_string(ctx, &ctx->registry->prefix),
        "state", ngx_cred_status_state_name(state)->data,
        "since", (state == view.state)
                 ? ngx_http_cred_status_seconds(view.since) : json_null(),
        "problem", ctx->survey->error.len
                   ? ngx_http_cred_status_string(ctx, &ctx->survey->error)
                   : json_null(),
        "claimed", ngx_http_cred_status_seconds(
                       ngx_cred_status_claimed_at(ctx->registry)),
        "error", ngx_http_cred_status_error_at(ctx, &view));
}


/* when the registry is away, those that this nginx has seen */

static json_t *
ngx_http_cred_status_environments(ngx_http_cred_status_ctx_t *ctx)
{
    json_t      *json;
    ngx_uint_t   i;

    json = json_array();

    for (i = 0; i < ctx->nrows; i++) {

        if (!ngx_http_cred_status_is_known(ctx, &ctx->rows[i])) {
            continue;
        }

        if (json_array_append_new(json,
                        ngx_http_cred_status_environment(ctx, &ctx->rows[i]))
            != 0)
        {
            json_decref(json);
            return NULL;
        }
    }

    return json;
}


/* of which the registry has not told, for lack of room */

static json_t *
ngx_http_cred_status_more(ngx_http_cred_status_ctx_t *ctx)
{
    return json_integer(ctx->survey ? ctx->survey->more : 0);
}


static json_t *
ngx_http_cred_status_environment(ngx_http_cred_status_ctx_t *ctx,
    ngx_http_cred_status_row_t *row)
{
    ngx_cred_status_view_t                view;
    ngx_cred_survey_environment_t        *survey;
    static ngx_cred_status_environment_t  nothing;
    ngx_cred_status_environment_t        *status;

    survey = row->survey;
    status = row->status ? row->status : &nothing;

    ngx_cred_status_view(row->status ? &status->redis : NULL, &view);

    return json_pack("{s:o,s:o,s:b,s:s,s:o,s:o,s:o,s:o,s:o,s:o,s:o,s:o,"
                     "s:o}",
        "name", ngx_http_cred_status_string(ctx, &row->name),
        "connector", survey && survey->connector.len
                     ? ngx_http_cred_status_string(ctx, &survey->connector)
                     : json_null(),
        "registered", survey ? survey->registered : 1,
        "state", ngx_cred_status_state_name(view.state)->data,
        "since", ngx_http_cred_status_seconds(view.since),
        "retry_at", ngx_http_cred_status_seconds(view.retry_at),
        "error", ngx_http_cred_status_error_at(ctx, &view),
        "pending", survey && survey->pending >= 0
                   ? json_integer(survey->pending) : json_null(),
        "oldest", survey && survey->since
                  ? json_real(ngx_http_cred_status_age(ctx, survey->since)
                              / 1000.0)
                  : json_null(),
        "undeployments", ngx_http_cred_status_attempts(status),
        "undeployment_duration",
            ngx_http_cred_status_histogram(&status->undeployment),
        "effect_duration", ngx_http_cred_status_histogram(&status->effect),
        "gateways", ngx_http_cred_status_gateways(ctx, survey));
}


static json_t *
ngx_http_cred_status_attempts(ngx_cred_status_environment_t *status)
{
    json_t      *json;
    ngx_uint_t   i;

    json = json_object();

    for (i = NGX_CRED_PENDING + 1; i < NGX_CRED_STATUS_ATTEMPTS; i++) {

        if (json_object_set_new(json,
                         (char *) ngx_cred_status_attempt_name(i)->data,
                         json_integer(ngx_cred_status_load(
                                                   &status->attempts[i])))
            != 0)
        {
            json_decref(json);
            return NULL;
        }
    }

    return json;
}


static json_t *
ngx_http_cred_status_histogram(ngx_cred_status_histogram_t *histogram)
{
    json_t      *le, *counts;
    uint64_t     n, count;
    ngx_uint_t   i;

    le = json_array();
    counts = json_array();
    count = 0;

    for (i = 0; i < NGX_CRED_STATUS_BUCKETS; i++) {
        n = ngx_cred_status_load(&histogram->counts[i]);
        count += n;

        (void) json_array_append_new(counts, json_integer(n));

        if (i < NGX_CRED_STATUS_BUCKETS - 1) {
            (void) json_array_append_new(le,
                              json_real(ngx_cred_status_bounds[i] / 1000.0));
        }
    }

    return json_pack("{s:o,s:o,s:f,s:I}", "le", le, "counts", counts,
                     "sum", ngx_cred_status_load(&histogram->sum) / 1000.0,
                     "count", (json_int_t) count);
}


static json_t *
ngx_http_cred_status_gateways(ngx_http_cred_status_ctx_t *ctx,
    ngx_cred_survey_environment_t *environment)
{
    off_t               called, lease;
    json_t             *json;
    ngx_str_t          *name;
    ngx_uint_t          i;
    ngx_cred_record_t  *record;

    if (environment == NULL || environment->now == 0) {
        return json_null();
    }

    json = json_array();

    for (i = 0; i < environment->ngateways; i++) {
        record = &environment->gateways[i];

        name = ngx_cred_record_get(record, "name");
        called = ngx_cred_record_number(record, "called", 0);
        lease = ngx_cred_record_number(record, "lease", 0);

        /* whatever an environment says, others are shown */

        if (name == NULL) {
            continue;
        }

        if (json_array_append_new(json,
                json_pack("{s:o,s:b,s:f,s:o,s:I}",
                    "name", ngx_http_cred_status_string(ctx, name),
                    "leased", called > environment->now - lease,
                    "lease", lease / 1000.0,
                    "called", ngx_http_cred_status_seconds(called),
                    "lag", (json_int_t)
                           ngx_cred_record_number(record, "lag", 0)))
            != 0)
        {
            json_decref(json);
            return NULL;
        }
    }

    return json;
}


static json_t *
ngx_http_cred_status_deletes(ngx_http_cred_status_ctx_t *ctx)
{
    json_t      *json, *api;
    ngx_uint_t   i, n;

    json = json_object();

    for (i = 0; ngx_cred_apis[i]; i++) {
        api = json_object();

        for (n = 0; n < NGX_CRED_NRESULTS; n++) {
            (void) json_object_set_new(api,
                              (char *) ngx_cred_result_name(n)->data,
                              json_integer(ngx_cred_status_deletes(i, n)));
        }

        if (json_object_set_new(json, (char *) ngx_cred_apis[i]->name.data, api)
            != 0)
        {
            json_decref(json);
            return NULL;
        }
    }

    return json;
}


static json_t *
ngx_http_cred_status_access(ngx_http_cred_status_ctx_t *ctx)
{
    json_t      *json;
    ngx_uint_t   i;

    json = json_object();

    for (i = 0; i < NGX_CRED_STATUS_NACCESS; i++) {
        (void) json_object_set_new(json,
                                (char *) ngx_cred_status_access_name(i)->data,
                                json_integer(ngx_cred_status_accesses(i)));
    }

    return json;
}


static json_t *
ngx_http_cred_status_cache(ngx_http_cred_status_ctx_t *ctx)
{
    return json_pack("{s:I,s:I}",
                     "hit", (json_int_t) ngx_cred_status_lookups(1),
                     "miss", (json_int_t) ngx_cred_status_lookups(0));
}


/* of this nginx as a gateway */

static json_t *
ngx_http_cred_status_leases(ngx_http_cred_status_ctx_t *ctx)
{
    json_t                            *json;
    ngx_uint_t                         i;
    ngx_cred_gateway_t               **gateways;
    ngx_http_cred_access_main_conf_t  *amcf;

    amcf = ngx_http_get_module_main_conf(ctx->request,
                                         ngx_http_cred_access_module);
    gateways = amcf->gateways.elts;

    json = json_array();

    for (i = 0; i < amcf->gateways.nelts; i++) {

        if (!gateways[i]->leased) {
            continue;
        }

        (void) json_array_append_new(json, json_pack("{s:o,s:f}",
            "environment",
            ngx_http_cred_status_string(ctx, &gateways[i]->name),
            "left",
            ngx_cred_zone_lease_left(gateways[i]->environment) / 1000.0));
    }

    return json;
}


static json_t *
ngx_http_cred_status_zones(ngx_http_cred_status_ctx_t *ctx)
{
    size_t                             size, used;
    json_t                            *json;
    ngx_http_cred_main_conf_t         *cmcf;
    ngx_http_cred_access_main_conf_t  *amcf;

    cmcf = ngx_http_get_module_main_conf(ctx->request, ngx_http_cred_module);
    amcf = ngx_http_get_module_main_conf(ctx->request,
                                         ngx_http_cred_access_module);

    json = json_array();

    ngx_cred_status_memory(&size, &used);

    (void) json_array_append_new(json,
               ngx_http_cred_status_zone_json(ctx, &cmcf->status_name, size,
                                              used));

    if (amcf->zone) {
        ngx_cred_zone_memory(amcf->zone, &size, &used);

        (void) json_array_append_new(json,
                   ngx_http_cred_status_zone_json(ctx, &amcf->zone_name, size,
                                                  used));
    }

    return json;
}


static json_t *
ngx_http_cred_status_zone_json(ngx_http_cred_status_ctx_t *ctx,
    ngx_str_t *name, size_t size, size_t used)
{
    return json_pack("{s:o,s:I,s:I}",
                     "name", ngx_http_cred_status_string(ctx, name),
                     "size", (json_int_t) size, "used", (json_int_t) used);
}


static json_t *
ngx_http_cred_status_seconds(off_t ms)
{
    return (ms > 0) ? json_real(ms / 1000.0) : json_null();
}


json_t *
ngx_http_cred_status_string(ngx_http_cred_status_ctx_t *ctx, ngx_str_t *s)
{
    return ngx_cred_api_text(ctx->request->pool, s);
}


static json_t *
ngx_http_cred_status_error_at(ngx_http_cred_status_ctx_t *ctx,
    ngx_cred_status_view_t *view)
{
    ngx_str_t  message;

    if (view->error_at == 0) {
        return json_null();
    }

    message.data = view->error;
    message.len = view->error_len;

    return json_pack("{s:o,s:o}",
                     "message", ngx_http_cred_status_string(ctx, &message),
                     "time", ngx_http_cred_status_seconds(view->error_at));
}


ngx_int_t
ngx_http_cred_status_error(ngx_http_request_t *r, ngx_str_t *error,
    ngx_str_t *body)
{
    return ngx_cred_api_json(r->pool,
                             json_pack("{s:o}", "error",
                                       ngx_cred_api_text(r->pool, error)),
                             body);
}
