
/*
 * Copyright (C) ngx_cred_module authors
 * SPDX-License-Identifier: BSD-2-Clause
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>
#include <ngx_cred_core.h>
#include <ngx_cred_status.h>
#include <ngx_cred_survey.h>
#include <ngx_cred_undeployment.h>
#include <ngx_cred_scripts.h>


#define NGX_CRED_SURVEY_SHARED   2
#define NGX_CRED_GATEWAYS_SHARED 2
#define NGX_CRED_SURVEY_ASKED    100   /* environments, at most ... */
#define NGX_CRED_SURVEY_SHARE    4     /* ... of the worker's connections */


/* an environment that is asked for its gateways */

typedef struct {
    ngx_cred_redis_command_t        command;
    ngx_str_t                       shared[NGX_CRED_GATEWAYS_SHARED];
    ngx_cred_survey_t              *survey;
    ngx_cred_survey_environment_t  *environment;
} ngx_cred_survey_gateways_t;


static ngx_int_t ngx_cred_survey_ask(ngx_cred_survey_t *survey,
    ngx_cred_survey_what_e what, ngx_str_t *names);
static void ngx_cred_survey_reply(ngx_cred_redis_command_t *command,
    ngx_cred_redis_reply_t *reply);
static ngx_int_t ngx_cred_survey_read(ngx_cred_survey_t *survey,
    ngx_cred_redis_reply_t *reply);
static ngx_int_t ngx_cred_survey_environment(ngx_cred_survey_t *survey,
    ngx_cred_record_t *record);
static ngx_int_t ngx_cred_survey_gateways(ngx_cred_survey_t *survey,
    ngx_cred_survey_environment_t *environment, ngx_str_t *url);
static void ngx_cred_survey_gateways_reply(ngx_cred_redis_command_t *command,
    ngx_cred_redis_reply_t *reply);
static void ngx_cred_survey_answered(ngx_cred_survey_t *survey);
static void ngx_cred_survey_failed(ngx_cred_survey_t *survey,
    ngx_str_t *error);
static ngx_int_t ngx_cred_survey_records(ngx_pool_t *pool,
    ngx_cred_redis_reply_t *reply, off_t *now, ngx_cred_record_t **records,
    ngx_uint_t *nrecords);
static ngx_int_t ngx_cred_survey_record(ngx_pool_t *pool,
    ngx_cred_redis_reply_t *reply, ngx_cred_record_t *record);


static ngx_cred_redis_script_t  ngx_cred_survey_script = {
    ngx_string("survey.lua"),
    ngx_string(NGX_CRED_SCRIPT_SURVEY),
    ngx_string(NGX_CRED_SCRIPT_SURVEY_SHA),
    1, NGX_CRED_SURVEY_SHARED, 0, 1, 0
};


static ngx_cred_redis_script_t  ngx_cred_gateways_script = {
    ngx_string("gateways.lua"),
    ngx_string(NGX_CRED_SCRIPT_GATEWAYS),
    ngx_string(NGX_CRED_SCRIPT_GATEWAYS_SHA),
    1, NGX_CRED_GATEWAYS_SHARED, 0, 1, 0
};


/* in the order of ngx_cred_survey_what_e, with how many names */

static struct {
    ngx_str_t                       name;
    ngx_uint_t                      names;
} ngx_cred_survey_whats[] = {
    { ngx_string("all"), 0 },
    { ngx_string("operation"), 1 },
    { ngx_string("environment"), 1 },
    { ngx_string("credential"), NGX_CRED_SURVEY_NAMES }
};


ngx_int_t
ngx_cred_survey(ngx_cred_registry_t *registry, ngx_cred_survey_what_e what,
    ngx_str_t *names, ngx_cred_survey_handler_pt handler, void *data,
    ngx_cred_survey_t **sp)
{
    ngx_pool_t         *pool;
    ngx_cred_survey_t  *survey;

    pool = ngx_create_pool(4096, ngx_cycle->log);
    if (pool == NULL) {
        return NGX_ERROR;
    }

    survey = ngx_pcalloc(pool, sizeof(ngx_cred_survey_t));
    if (survey == NULL) {
        ngx_destroy_pool(pool);
        return NGX_ERROR;
    }

    survey->pool = pool;
    survey->registry = registry;
    survey->handler = handler;
    survey->data = data;

    if (ngx_cred_survey_ask(survey, what, names) != NGX_OK) {
        ngx_destroy_pool(pool);
        return NGX_ERROR;
    }

    *sp = survey;

    return survey->unanswered ? NGX_AGAIN : NGX_OK;
}


static ngx_int_t
ngx_cred_survey_ask(ngx_cred_survey_t *survey, ngx_cred_survey_what_e what,
    ngx_str_t *names)
{
    ngx_str_t          unreachable;
    ngx_uint_t         i, n;
    ngx_cred_redis_t  *redis;

    n = ngx_cred_survey_whats[what].names;

    survey->shared[0] = survey->registry->audit;
    survey->shared[1] = survey->registry->prefix;
    survey->args[0] = ngx_cred_survey_whats[what].name;

    for (i = 0; i < n; i++) {
        survey->args[i + 1].len = names[i].len;
        survey->args[i + 1].data = ngx_pstrdup(survey->pool, &names[i]);

        if (survey->args[i + 1].data == NULL) {
            return NGX_ERROR;
        }
    }

    survey->command.script = &ngx_cred_survey_script;
    survey->command.shared = survey->shared;
    survey->command.args = survey->args;
    survey->command.nargs = 1 + n;
    survey->command.handler = ngx_cred_survey_reply;
    survey->command.data = survey;

    redis = ngx_cred_registry_redis(survey->registry);

    if (redis == NULL) {
        ngx_str_set(&unreachable, "no connection");
        ngx_cred_survey_failed(survey, &unreachable);
        return NGX_OK;
    }

    if (ngx_cred_redis_eval(redis, &survey->command) != NGX_OK) {
        ngx_cred_survey_failed(survey, &survey->command.error);
        return NGX_OK;
    }

    survey->unanswered = 1;

    return NGX_OK;
}


static void
ngx_cred_survey_reply(ngx_cred_redis_command_t *command,
    ngx_cred_redis_reply_t *reply)
{
    ngx_str_t           error;
    ngx_cred_survey_t  *survey;

    survey = command->data;

    if (command->status != NGX_CRED_REDIS_OK) {
        survey->refused = (command->status == NGX_CRED_REDIS_REFUSED);
        ngx_cred_survey_failed(survey, &command->error);

    } else if (survey->handler && ngx_cred_survey_read(survey, reply) != NGX_OK)
    {
        ngx_str_set(&error, "unexpected reply to survey.lua, or no memory");
        ngx_cred_survey_failed(survey, &error);
    }

    ngx_cred_survey_answered(survey);
}


static ngx_int_t
ngx_cred_survey_read(ngx_cred_survey_t *survey, ngx_cred_redis_reply_t *reply)
{
    ngx_uint_t          i;
    ngx_cred_record_t  *record;

    if (ngx_cred_survey_records(survey->pool, reply, &survey->now,
                                &survey->records, &survey->nrecords)
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    survey->environments = ngx_pcalloc(survey->pool,
                                       survey->nrecords
                                       * sizeof(ngx_cred_survey_environment_t)
                                       + 1);
    if (survey->environments == NULL) {
        return NGX_ERROR;
    }

    for (i = 0; i < survey->nrecords; i++) {
        record = &survey->records[i];

        if (ngx_strcmp(record->fields[0].key.data, "environment") != 0) {
            break;
        }

        if (ngx_cred_survey_environment(survey, record) != NGX_OK) {
            return NGX_ERROR;
        }
    }

    if (i < survey->nrecords) {
        survey->more = ngx_cred_record_number(&survey->records[i], "more", 0);
        i += (survey->more != 0);
    }

    survey->records += i;
    survey->nrecords -= i;

    return NGX_OK;
}


static ngx_int_t
ngx_cred_survey_environment(ngx_cred_survey_t *survey,
    ngx_cred_record_t *record)
{
    ngx_str_t                      *url;
    ngx_cred_status_view_t          view;
    ngx_cred_status_environment_t  *status;
    ngx_cred_survey_environment_t  *environment;

    environment = &survey->environments[survey->nenvironments++];

    environment->name = record->fields[0].value;
    environment->registered = ngx_cred_record_number(record, "registered", 0);
    environment->pending = ngx_cred_record_number(record, "pending", -1);
    environment->since = ngx_cred_record_number(record, "since", 0);

    url = ngx_cred_record_get(record, "url");

    if (url && ngx_cred_is_connector(url)) {
        environment->connector.data = url->data + NGX_CRED_CONNECTOR_LEN;
        environment->connector.len = url->len - NGX_CRED_CONNECTOR_LEN;

        return NGX_OK;
    }

    if (!environment->registered || url == NULL
        || survey->nasked >= NGX_CRED_SURVEY_ASKED
        || survey->nasked >= ngx_cycle->connection_n / NGX_CRED_SURVEY_SHARE)
    {
        return NGX_OK;
    }

    /* nobody waits for one that is known to be down */

    status = ngx_cred_status_find(survey->registry, &environment->name);
    ngx_cred_status_view(status ? &status->redis : NULL, &view);

    if (view.state == NGX_CRED_STATUS_DOWN) {
        return NGX_OK;
    }

    return ngx_cred_survey_gateways(survey, environment, url);
}


static ngx_int_t
ngx_cred_survey_gateways(ngx_cred_survey_t *survey,
    ngx_cred_survey_environment_t *environment, ngx_str_t *url)
{
    char                        *err;
    u_char                      *p;
    ngx_str_t                   *prefix;
    ngx_cred_redis_t            *redis;
    ngx_cred_survey_gateways_t  *asked;

    redis = ngx_cred_environment_redis(survey->registry, &environment->name,
                                       url, &err);
    if (redis == NULL) {
        return NGX_OK;
    }

    asked = ngx_pcalloc(survey->pool, sizeof(ngx_cred_survey_gateways_t));
    if (asked == NULL) {
        return NGX_ERROR;
    }

    prefix = ngx_cred_redis_prefix(redis);

    p = ngx_pnalloc(survey->pool, prefix->len + sizeof(":gateways") - 1);
    if (p == NULL) {
        return NGX_ERROR;
    }

    asked->shared[0].data = p;
    p = ngx_cpymem(p, prefix->data, prefix->len);
    p = ngx_cpymem(p, ":gateways", sizeof(":gateways") - 1);
    asked->shared[0].len = p - asked->shared[0].data;

    asked->shared[1].data = asked->shared[0].data;
    asked->shared[1].len = prefix->len;

    asked->survey = survey;
    asked->environment = environment;
    asked->command.script = &ngx_cred_gateways_script;
    asked->command.shared = asked->shared;
    asked->command.handler = ngx_cred_survey_gateways_reply;
    asked->command.data = asked;

    survey->nasked++;

    if (ngx_cred_redis_eval(redis, &asked->command) == NGX_OK) {
        survey->unanswered++;
    }

    return NGX_OK;
}


static void
ngx_cred_survey_gateways_reply(ngx_cred_redis_command_t *command,
    ngx_cred_redis_reply_t *reply)
{
    ngx_cred_survey_t              *survey;
    ngx_cred_survey_gateways_t     *asked;
    ngx_cred_survey_environment_t  *environment;

    asked = command->data;
    survey = asked->survey;
    environment = asked->environment;

    if (command->status == NGX_CRED_REDIS_OK && survey->handler
        && ngx_cred_survey_records(survey->pool, reply, &environment->now,
                                   &environment->gateways,
                                   &environment->ngateways)
           != NGX_OK)
    {
        environment->now = 0;
    }

    ngx_cred_survey_answered(survey);
}


static void
ngx_cred_survey_answered(ngx_cred_survey_t *survey)
{
    if (--survey->unanswered) {
        return;
    }

    if (survey->handler) {
        survey->handler(survey);
        return;
    }

    ngx_destroy_pool(survey->pool);
}


/* "error" may be gone with its command */

static void
ngx_cred_survey_failed(ngx_cred_survey_t *survey, ngx_str_t *error)
{
    survey->nenvironments = 0;
    survey->nrecords = 0;
    survey->more = 0;

    ngx_str_set(&survey->error, "no memory");

    if (error->len == 0) {
        ngx_str_set(error, "no answer");
    }

    survey->error.data = ngx_pstrdup(survey->pool, error);
    survey->error.len = error->len;

    if (survey->error.data == NULL) {
        ngx_str_set(&survey->error, "no memory");
    }
}


void
ngx_cred_survey_done(ngx_cred_survey_t *survey)
{
    survey->handler = NULL;

    if (survey->unanswered == 0) {
        ngx_destroy_pool(survey->pool);
    }
}


/* a time, then records */

static ngx_int_t
ngx_cred_survey_records(ngx_pool_t *pool, ngx_cred_redis_reply_t *reply,
    off_t *now, ngx_cred_record_t **records, ngx_uint_t *nrecords)
{
    ngx_uint_t          i;
    ngx_cred_record_t  *record;

    if (reply->type != NGX_CRED_REDIS_ARRAY || reply->nelts == 0
        || reply->elts[0]->type != NGX_CRED_REDIS_STRING)
    {
        return NGX_ERROR;
    }

    *now = ngx_atoof(reply->elts[0]->str.data, reply->elts[0]->str.len);

    if (*now <= 0) {
        return NGX_ERROR;
    }

    record = ngx_palloc(pool, reply->nelts * sizeof(ngx_cred_record_t));
    if (record == NULL) {
        return NGX_ERROR;
    }

    for (i = 1; i < reply->nelts; i++) {

        if (ngx_cred_survey_record(pool, reply->elts[i], &record[i - 1])
            != NGX_OK)
        {
            return NGX_ERROR;
        }
    }

    *records = record;
    *nrecords = reply->nelts - 1;

    return NGX_OK;
}


/* of keys and values, each with a zero byte after it */

static ngx_int_t
ngx_cred_survey_record(ngx_pool_t *pool, ngx_cred_redis_reply_t *reply,
    ngx_cred_record_t *record)
{
    u_char      *p;
    ngx_str_t   *s;
    ngx_uint_t   i;

    if (reply->type != NGX_CRED_REDIS_ARRAY || reply->nelts == 0
        || reply->nelts % 2)
    {
        return NGX_ERROR;
    }

    record->nfields = reply->nelts / 2;

    record->fields = ngx_palloc(pool, record->nfields * sizeof(ngx_keyval_t));
    if (record->fields == NULL) {
        return NGX_ERROR;
    }

    for (i = 0; i < reply->nelts; i++) {

        if (reply->elts[i]->type != NGX_CRED_REDIS_STRING) {
            return NGX_ERROR;
        }

        s = (i % 2) ? &record->fields[i / 2].value : &record->fields[i / 2].key;

        p = ngx_pnalloc(pool, reply->elts[i]->str.len + 1);
        if (p == NULL) {
            return NGX_ERROR;
        }

        s->data = p;
        s->len = reply->elts[i]->str.len;

        p = ngx_cpymem(p, reply->elts[i]->str.data, s->len);
        *p = '\0';
    }

    return NGX_OK;
}


ngx_str_t *
ngx_cred_record_get(ngx_cred_record_t *record, const char *field)
{
    ngx_uint_t  i;

    for (i = 0; i < record->nfields; i++) {

        if (ngx_strcmp(record->fields[i].key.data, field) == 0) {
            return &record->fields[i].value;
        }
    }

    return NULL;
}


off_t
ngx_cred_record_number(ngx_cred_record_t *record, const char *field, off_t none)
{
    off_t       n;
    ngx_str_t  *value;

    value = ngx_cred_record_get(record, field);

    if (value == NULL) {
        return none;
    }

    n = ngx_atoof(value->data, value->len);

    return (n == NGX_ERROR) ? none : n;
}
