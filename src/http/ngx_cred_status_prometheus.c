
/*
 * Copyright (C) ngx_cred_module authors
 * SPDX-License-Identifier: BSD-2-Clause
 */


/* the state in Prometheus' text format, version 0.0.4 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>
#include <ngx_cred_access_http.h>
#include <ngx_cred_status_text.h>
#include <ngx_cred_zone.h>


/* the value of a metric in an environment; NGX_DECLINED: it has none */

typedef ngx_int_t (*ngx_http_cred_status_gauge_pt)(
    ngx_http_cred_status_ctx_t *ctx, ngx_http_cred_status_row_t *row,
    double *value);


static void ngx_http_cred_status_nginx(ngx_http_cred_status_text_t *text);
static void ngx_http_cred_status_deletes(ngx_http_cred_status_text_t *text);
static void ngx_http_cred_status_attempts(ngx_http_cred_status_text_t *text);
static void ngx_http_cred_status_gauges(ngx_http_cred_status_text_t *text);
static void ngx_http_cred_status_histograms(ngx_http_cred_status_text_t *text,
    const char *name, const char *help, size_t offset);
static void ngx_http_cred_status_histogram(ngx_http_cred_status_text_t *text,
    const char *name, ngx_str_t *label, ngx_cred_status_histogram_t *histogram);
static void ngx_http_cred_status_gateways(ngx_http_cred_status_text_t *text);
static void ngx_http_cred_status_access(ngx_http_cred_status_text_t *text);
static void ngx_http_cred_status_zone_text(ngx_http_cred_status_text_t *text,
    ngx_str_t *name, size_t size, size_t used);
static void ngx_http_cred_status_zones(ngx_http_cred_status_text_t *text);

static ngx_uint_t ngx_http_cred_status_leased(
    ngx_cred_survey_environment_t *environment, ngx_uint_t *lag);


ngx_int_t
ngx_http_cred_status_prometheus(ngx_http_cred_status_ctx_t *ctx,
    ngx_str_t *body)
{
    ngx_http_cred_status_text_t  text;

    ngx_memzero(&text, sizeof(ngx_http_cred_status_text_t));

    text.ctx = ctx;
    text.pool = ctx->request->pool;

    ngx_http_cred_status_nginx(&text);
    ngx_http_cred_status_deletes(&text);

    if (ctx->registry) {
        ngx_http_cred_status_gauges(&text);
        ngx_http_cred_status_attempts(&text);

        ngx_http_cred_status_histograms(&text,
            "cred_undeployment_duration_seconds",
            "How long the attempts took that undeployed.",
            offsetof(ngx_cred_status_environment_t, undeployment));

        ngx_http_cred_status_histograms(&text, "cred_effect_duration_seconds",
            "From the delete until nobody accepted the credential any more.",
            offsetof(ngx_cred_status_environment_t, effect));

        ngx_http_cred_status_gateways(&text);
    }

    ngx_http_cred_status_access(&text);
    ngx_http_cred_status_zones(&text);

    body->data = text.start;
    body->len = text.last - text.start;

    return text.failed ? NGX_ERROR : NGX_OK;
}


static void
ngx_http_cred_status_nginx(ngx_http_cred_status_text_t *text)
{
    uint64_t  start;

    ngx_http_cred_status_head(text, "cred_info", "gauge",
                              "The versions that are running.");
    ngx_http_cred_status_write(text,
                               "cred_info{version=\"%s\",nginx=\"%s\"} 1\n",
                               NGX_CRED_VERSION, NGINX_VERSION);

    start = ngx_cred_status_start();

    ngx_http_cred_status_head(text, "cred_start_time_seconds", "gauge",
                              "When counting began, since the epoch.");
    ngx_http_cred_status_write(text, "cred_start_time_seconds %uL.%03uL\n",
                               start / 1000, start % 1000);
}


static void
ngx_http_cred_status_deletes(ngx_http_cred_status_text_t *text)
{
    ngx_uint_t  i, n;

    ngx_http_cred_status_head(text, "cred_deletes_total", "counter",
                              "Deletes by API and result.");

    for (i = 0; ngx_cred_apis[i]; i++) {
        for (n = 0; n < NGX_CRED_NRESULTS; n++) {
            ngx_http_cred_status_write(text,
                    "cred_deletes_total{api=\"%V\",result=\"%V\"} %uL\n",
                    &ngx_cred_apis[i]->name, ngx_cred_result_name(n),
                    ngx_cred_status_deletes(i, n));
        }
    }
}


static ngx_int_t
ngx_http_cred_status_up(ngx_http_cred_status_ctx_t *ctx,
    ngx_http_cred_status_row_t *row, double *value)
{
    ngx_cred_status_view_t  view;

    ngx_cred_status_view(row->status ? &row->status->redis : NULL, &view);

    if (view.state == NGX_CRED_STATUS_UNTRIED
        || !ngx_http_cred_status_is_known(ctx, row)
        || (row->survey && !row->survey->registered))
    {
        return NGX_DECLINED;
    }

    *value = (view.state == NGX_CRED_STATUS_UP);

    return NGX_OK;
}


static ngx_int_t
ngx_http_cred_status_pending(ngx_http_cred_status_ctx_t *ctx,
    ngx_http_cred_status_row_t *row, double *value)
{
    if (row->survey == NULL || row->survey->pending < 0) {
        return NGX_DECLINED;
    }

    *value = row->survey->pending;

    return NGX_OK;
}


static ngx_int_t
ngx_http_cred_status_oldest(ngx_http_cred_status_ctx_t *ctx,
    ngx_http_cred_status_row_t *row, double *value)
{
    if (row->survey == NULL) {
        return NGX_DECLINED;
    }

    *value = row->survey->since
             ? ngx_http_cred_status_age(ctx, row->survey->since) / 1000.0 : 0;

    return NGX_OK;
}


static ngx_int_t
ngx_http_cred_status_registered(ngx_http_cred_status_ctx_t *ctx,
    ngx_http_cred_status_row_t *row, double *value)
{
    if (row->survey == NULL) {
        return NGX_DECLINED;
    }

    *value = row->survey->registered;

    return NGX_OK;
}


static void
ngx_http_cred_status_gauges(ngx_http_cred_status_text_t *text)
{
    u_char                       buf[NGX_HTTP_CRED_STATUS_NUMBER];
    double                       value;
    uint64_t                     claimed;
    ngx_str_t                    label, number;
    ngx_uint_t                   i, n;
    ngx_http_cred_status_ctx_t  *ctx;

    static struct {
        const char                     *name;
        const char                     *help;
        ngx_http_cred_status_gauge_pt   value;
    } gauges[] = {
        { "cred_environment_up", "Whether an environment can be reached.",
          ngx_http_cred_status_up },
        { "cred_environment_registered",
          "Whether it is registered; if not, what is pending is kept a while.",
          ngx_http_cred_status_registered },
        { "cred_pending", "Undeployments that are not acknowledged yet.",
          ngx_http_cred_status_pending },
        { "cred_oldest_pending_age_seconds",
          "How long ago the oldest of them was deleted.",
          ngx_http_cred_status_oldest }
    };

    ctx = text->ctx;

    ngx_http_cred_status_head(text, "cred_registry_up", "gauge",
                              "Whether the registry has answered just now.");
    ngx_http_cred_status_write(text, "cred_registry_up %ui\n",
                               ngx_http_cred_status_registry_up(ctx));

    claimed = ngx_cred_status_claimed_at(ctx->registry);

    ngx_http_cred_status_head(text, "cred_claim_time_seconds", "gauge",
                "When what is pending was last asked for, since the epoch.");
    ngx_http_cred_status_write(text, "cred_claim_time_seconds %uL.%03uL\n",
                               claimed / 1000, claimed % 1000);

    for (i = 0; i < sizeof(gauges) / sizeof(gauges[0]); i++) {
        ngx_http_cred_status_head(text, gauges[i].name, "gauge",
                                  gauges[i].help);

        for (n = 0; n < ctx->nrows; n++) {

            if (gauges[i].value(ctx, &ctx->rows[n], &value) != NGX_OK) {
                continue;
            }

            label = ngx_http_cred_status_label(text, &ctx->rows[n].name);

            number = ngx_http_cred_status_number(value, buf);

            ngx_http_cred_status_write(text, "%s{environment=\"%V\"} %V\n",
                                       gauges[i].name, &label, &number);
        }
    }
}


static void
ngx_http_cred_status_attempts(ngx_http_cred_status_text_t *text)
{
    ngx_str_t                       label;
    ngx_uint_t                      i, n;
    ngx_http_cred_status_ctx_t     *ctx;
    ngx_cred_status_environment_t  *status;

    ctx = text->ctx;

    ngx_http_cred_status_head(text, "cred_undeployments_total", "counter",
                              "Attempts at undeployments, by result.");

    for (n = 0; n < ctx->nrows; n++) {
        status = ctx->rows[n].status;
        label = ngx_http_cred_status_label(text, &ctx->rows[n].name);

        for (i = NGX_CRED_PENDING + 1; i < NGX_CRED_STATUS_ATTEMPTS; i++) {
            ngx_http_cred_status_write(text,
                "cred_undeployments_total{environment=\"%V\",result=\"%V\"} "
                "%uL\n",
                &label, ngx_cred_status_attempt_name(i),
                status ? ngx_cred_status_load(&status->attempts[i])
                       : (uint64_t) 0);
        }
    }
}


static void
ngx_http_cred_status_histograms(ngx_http_cred_status_text_t *text,
    const char *name, const char *help, size_t offset)
{
    ngx_str_t                              label;
    ngx_uint_t                             n;
    ngx_http_cred_status_ctx_t            *ctx;
    ngx_cred_status_environment_t         *status;
    static ngx_cred_status_environment_t   nothing;

    ctx = text->ctx;

    ngx_http_cred_status_head(text, name, "histogram", help);

    for (n = 0; n < ctx->nrows; n++) {
        label = ngx_http_cred_status_label(text, &ctx->rows[n].name);
        status = ctx->rows[n].status ? ctx->rows[n].status : &nothing;

        ngx_http_cred_status_histogram(text, name, &label,
                   (ngx_cred_status_histogram_t *) ((char *) status + offset));
    }
}


static void
ngx_http_cred_status_histogram(ngx_http_cred_status_text_t *text,
    const char *name, ngx_str_t *label, ngx_cred_status_histogram_t *histogram)
{
    u_char      buf[NGX_HTTP_CRED_STATUS_NUMBER];
    uint64_t    count, sum;
    ngx_str_t   le;
    ngx_uint_t  i;

    count = 0;

    for (i = 0; i < NGX_CRED_STATUS_BUCKETS - 1; i++) {
        count += ngx_cred_status_load(&histogram->counts[i]);

        le = ngx_http_cred_status_number(ngx_cred_status_bounds[i] / 1000.0,
                                         buf);

        ngx_http_cred_status_write(text,
                    "%s_bucket{environment=\"%V\",le=\"%V\"} %uL\n", name,
                    label, &le, count);
    }

    count += ngx_cred_status_load(&histogram->counts[i]);
    sum = ngx_cred_status_load(&histogram->sum);

    ngx_http_cred_status_write(text,
                "%s_bucket{environment=\"%V\",le=\"+Inf\"} %uL\n"
                "%s_sum{environment=\"%V\"} %uL.%03uL\n"
                "%s_count{environment=\"%V\"} %uL\n",
                name, label, count, name, label, sum / 1000, sum % 1000,
                name, label, count);
}


static void
ngx_http_cred_status_gateways(ngx_http_cred_status_text_t *text)
{
    ngx_str_t                    label;
    ngx_uint_t                   n, leased, lag;
    ngx_http_cred_status_row_t  *row;

    ngx_http_cred_status_head(text, "cred_gateways", "gauge",
                              "Gateways of an environment, by their lease.");

    for (n = 0; n < text->ctx->nrows; n++) {
        row = &text->ctx->rows[n];

        if (row->survey == NULL || row->survey->now == 0) {
            continue;
        }

        leased = ngx_http_cred_status_leased(row->survey, &lag);
        label = ngx_http_cred_status_label(text, &row->name);

        ngx_http_cred_status_write(text,
            "cred_gateways{environment=\"%V\",state=\"leased\"} %ui\n"
            "cred_gateways{environment=\"%V\",state=\"expired\"} %ui\n",
            &label, leased, &label, row->survey->ngateways - leased);
    }

    ngx_http_cred_status_head(text, "cred_gateway_lag", "gauge",
                  "Undeployments that a gateway with a lease has not applied.");

    for (n = 0; n < text->ctx->nrows; n++) {
        row = &text->ctx->rows[n];

        if (row->survey == NULL || row->survey->now == 0) {
            continue;
        }

        (void) ngx_http_cred_status_leased(row->survey, &lag);
        label = ngx_http_cred_status_label(text, &row->name);

        ngx_http_cred_status_write(text,
                                   "cred_gateway_lag{environment=\"%V\"} %ui\n",
                                   &label, lag);
    }
}


/* how many have a lease, and how many undeployments the slowest has not */

static ngx_uint_t
ngx_http_cred_status_leased(ngx_cred_survey_environment_t *environment,
    ngx_uint_t *lag)
{
    off_t               called, lease;
    ngx_uint_t          i, leased;
    ngx_cred_record_t  *record;

    leased = 0;
    *lag = 0;

    for (i = 0; i < environment->ngateways; i++) {
        record = &environment->gateways[i];

        called = ngx_cred_record_number(record, "called", 0);
        lease = ngx_cred_record_number(record, "lease", 0);

        if (called > environment->now - lease) {
            leased++;
            *lag = ngx_max(*lag, (ngx_uint_t)
                                 ngx_cred_record_number(record, "lag", 0));
        }
    }

    return leased;
}


static void
ngx_http_cred_status_access(ngx_http_cred_status_text_t *text)
{
    ngx_str_t                          label;
    ngx_uint_t                         i;
    ngx_cred_gateway_t               **gateways;
    ngx_http_cred_access_main_conf_t  *amcf;

    ngx_http_cred_status_head(text, "cred_access_total", "counter",
                              "Requests to this gateway, by result.");

    for (i = 0; i < NGX_CRED_STATUS_NACCESS; i++) {
        ngx_http_cred_status_write(text,
                                   "cred_access_total{result=\"%V\"} %uL\n",
                                   ngx_cred_status_access_name(i),
                                   ngx_cred_status_accesses(i));
    }

    ngx_http_cred_status_head(text, "cred_access_cache_total", "counter",
                              "Keys that were in its memory, and others.");
    ngx_http_cred_status_write(text,
                               "cred_access_cache_total{result=\"hit\"} %uL\n"
                               "cred_access_cache_total{result=\"miss\"} %uL\n",
                               ngx_cred_status_lookups(1),
                               ngx_cred_status_lookups(0));

    ngx_http_cred_status_head(text, "cred_lease_seconds", "gauge",
                  "How long this gateway may yet believe its memory.");

    amcf = ngx_http_get_module_main_conf(text->ctx->request,
                                         ngx_http_cred_access_module);
    gateways = amcf->gateways.elts;

    for (i = 0; i < amcf->gateways.nelts; i++) {

        if (!gateways[i]->leased) {
            continue;
        }

        label = ngx_http_cred_status_label(text, &gateways[i]->name);

        ngx_http_cred_status_write(text,
            "cred_lease_seconds{redis=\"%V\"} %.3f\n", &label,
            ngx_cred_zone_lease_left(gateways[i]->environment) / 1000.0);
    }
}


static void
ngx_http_cred_status_zones(ngx_http_cred_status_text_t *text)
{
    size_t                             size, used;
    ngx_http_cred_main_conf_t         *cmcf;
    ngx_http_cred_access_main_conf_t  *amcf;

    cmcf = ngx_http_get_module_main_conf(text->ctx->request,
                                         ngx_http_cred_module);
    amcf = ngx_http_get_module_main_conf(text->ctx->request,
                                         ngx_http_cred_access_module);

    ngx_http_cred_status_head(text, "cred_zone_bytes", "gauge",
                              "Shared memory, in use and free.");

    ngx_cred_status_memory(&size, &used);
    ngx_http_cred_status_zone_text(text, &cmcf->status_name, size, used);

    if (amcf->zone) {
        ngx_cred_zone_memory(amcf->zone, &size, &used);
        ngx_http_cred_status_zone_text(text, &amcf->zone_name, size, used);
    }
}


static void
ngx_http_cred_status_zone_text(ngx_http_cred_status_text_t *text,
    ngx_str_t *name, size_t size, size_t used)
{
    ngx_str_t  label;

    label = ngx_http_cred_status_label(text, name);

    ngx_http_cred_status_write(text,
                         "cred_zone_bytes{zone=\"%V\",state=\"used\"} %uz\n"
                         "cred_zone_bytes{zone=\"%V\",state=\"free\"} %uz\n",
                         &label, used, &label, size - used);
}
