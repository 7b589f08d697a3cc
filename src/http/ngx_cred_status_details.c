
/*
 * Copyright (C) ngx_cred_module authors
 * SPDX-License-Identifier: BSD-2-Clause
 */


/* records of the registry as JSON: operations, receipts, audit entries */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>
#include <ngx_cred_status_http.h>


static json_t *ngx_http_cred_status_record(ngx_http_cred_status_ctx_t *ctx,
    ngx_cred_record_t *record);
static json_t *ngx_http_cred_status_receipt(ngx_http_cred_status_ctx_t *ctx,
    ngx_str_t *name, ngx_str_t *text);
static json_t *ngx_http_cred_status_value(ngx_http_cred_status_ctx_t *ctx,
    ngx_keyval_t *field);
static json_t *ngx_http_cred_status_number(const char *key, double n);
static ngx_uint_t ngx_http_cred_status_among(const char *name,
    const char **names);


/* fields that are numbers: times, those of day and durations, and others */

static const char  *ngx_http_cred_status_times[] = {
    "time", "created_at", "completed_at", "due", "first", "last", "next", "ms",
    "effective", "unclear", "heard", NULL
};

static const char  *ngx_http_cred_status_counts[] = {
    "pending", "environments", "count", NULL
};


ngx_int_t
ngx_http_cred_status_details(ngx_http_cred_status_ctx_t *ctx, ngx_str_t *body)
{
    json_t             *json, *list, *open;
    ngx_cred_survey_t  *survey;

    survey = ctx->survey;

    if (ctx->what == NGX_CRED_SURVEY_OPERATION) {

        if (survey->nrecords == 0) {
            return NGX_DECLINED;
        }

        json = json_pack("{s:o}", "operation",
                         ngx_http_cred_status_record(ctx, survey->records));

        return ngx_cred_api_json(ctx->request->pool, json, body);
    }

    if (ctx->what == NGX_CRED_SURVEY_ENVIRONMENT) {
        json = json_pack("{s:o,s:o}",
            "environment", ngx_http_cred_status_string(ctx, &ctx->names[0]),
            "pending", ngx_http_cred_status_operations(ctx));

        return ngx_cred_api_json(ctx->request->pool, json, body);
    }

    /* an operation begins with its id, an audit entry with its time */

    open = json_null();

    if (survey->nrecords
        && ngx_strcmp(survey->records[0].fields[0].key.data, "operation") == 0)
    {
        open = ngx_http_cred_status_record(ctx, survey->records);
        survey->records++;
        survey->nrecords--;
    }

    list = ngx_http_cred_status_operations(ctx);

    json = json_pack("{s:o,s:o,s:o,s:o,s:o}",
        "api", ngx_http_cred_status_string(ctx, &ctx->names[0]),
        "scope", ngx_http_cred_status_string(ctx, &ctx->names[1]),
        "id", ngx_http_cred_status_string(ctx, &ctx->names[2]),
        "open", open, "operations", list);

    return ngx_cred_api_json(ctx->request->pool, json, body);
}


/* receipts of an operation, which are JSON themselves, become a list */

static json_t *
ngx_http_cred_status_record(ngx_http_cred_status_ctx_t *ctx,
    ngx_cred_record_t *record)
{
    json_t        *json, *receipts;
    ngx_str_t      name;
    ngx_uint_t     i;
    ngx_keyval_t  *field;

    json = json_object();
    receipts = json_array();

    for (i = 0; i < record->nfields; i++) {
        field = &record->fields[i];

        if (ngx_strncmp(field->key.data, "environment:", 12) == 0) {
            name.data = field->key.data + 12;
            name.len = field->key.len - 12;

            (void) json_array_append_new(receipts,
                ngx_http_cred_status_receipt(ctx, &name, &field->value));
            continue;
        }

        (void) json_object_set_new(json, (char *) field->key.data,
                                   ngx_http_cred_status_value(ctx, field));
    }

    if (json_array_size(receipts)) {
        (void) json_object_set(json, "receipts", receipts);
    }

    json_decref(receipts);

    return json;
}


static json_t *
ngx_http_cred_status_receipt(ngx_http_cred_status_ctx_t *ctx, ngx_str_t *name,
    ngx_str_t *text)
{
    json_t      *json, *is, *value;
    const char  *key;

    json = json_pack("{s:o}", "environment",
                     ngx_http_cred_status_string(ctx, name));

    is = json_loadb((char *) text->data, text->len, JSON_DECODE_INT_AS_REAL,
                    NULL);

    json_object_foreach(is, key, value) {

        value = json_is_real(value)
                ? ngx_http_cred_status_number(key, json_real_value(value))
                : json_incref(value);

        (void) json_object_set_new(json, ngx_strcmp(key, "ms") == 0
                                         ? "duration" : key, value);
    }

    json_decref(is);

    return json;
}


static json_t *
ngx_http_cred_status_value(ngx_http_cred_status_ctx_t *ctx,
    ngx_keyval_t *field)
{
    off_t        n;
    const char  *key;

    key = (char *) field->key.data;

    if (!ngx_http_cred_status_among(key, ngx_http_cred_status_times)
        && !ngx_http_cred_status_among(key, ngx_http_cred_status_counts))
    {
        return ngx_http_cred_status_string(ctx, &field->value);
    }

    n = ngx_atoof(field->value.data, field->value.len);

    return (n == NGX_ERROR) ? ngx_http_cred_status_string(ctx, &field->value)
                            : ngx_http_cred_status_number(key, n);
}


/* in Redis, times and durations are milliseconds */

static json_t *
ngx_http_cred_status_number(const char *key, double n)
{
    return ngx_http_cred_status_among(key, ngx_http_cred_status_times)
           ? json_real(n / 1000) : json_integer((json_int_t) n);
}


static ngx_uint_t
ngx_http_cred_status_among(const char *name, const char **names)
{
    for ( /* void */ ; *names; names++) {

        if (ngx_strcmp(name, *names) == 0) {
            return 1;
        }
    }

    return 0;
}


json_t *
ngx_http_cred_status_operations(ngx_http_cred_status_ctx_t *ctx)
{
    json_t      *json;
    ngx_uint_t   i;

    json = json_array();

    for (i = 0; ctx->survey && i < ctx->survey->nrecords; i++) {

        if (json_array_append_new(json,
                ngx_http_cred_status_record(ctx, &ctx->survey->records[i]))
            != 0)
        {
            json_decref(json);
            return NULL;
        }
    }

    return json;
}
