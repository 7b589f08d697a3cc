
/*
 * Copyright (C) ngx_cred_module authors
 * SPDX-License-Identifier: BSD-2-Clause
 */


#include <request.h>


void
request_route(ngx_cred_api_t *api, const char *uri, const char *scope,
    const char *id)
{
    ngx_int_t          rc;
    ngx_cred_path_t    path;
    ngx_cred_route_t   route;

    ngx_memzero(&route, sizeof(ngx_cred_route_t));

    path.rest = *unit_bytes(uri, ngx_strlen(uri));
    path.lax = 0;

    rc = api->route(&path, &route);

    if (id == NULL) {
        unit_ok(rc == NGX_DECLINED, "%s: not %s", api->name.data, uri);
        return;
    }

    unit_ok(rc == NGX_OK, "%s: %s", api->name.data, uri);

    if (rc != NGX_OK) {
        return;
    }

    unit_is(&route.scope, unit_bytes(scope, ngx_strlen(scope)),
            "%s: %s: scope", api->name.data, uri);
    unit_is(&route.id, unit_bytes(id, ngx_strlen(id)),
            "%s: %s: id", api->name.data, uri);
}


void
request_init(request_t *rq, ngx_cred_api_t *api, ngx_str_t *uri)
{
    ngx_cred_path_t  path;

    ngx_memzero(rq, sizeof(request_t));

    rq->api = api;

    ngx_str_set(&rq->conf.alloy_version, "2025-09");

    rq->view.pool = unit_pool;
    rq->view.conf = &rq->conf;

    ngx_str_set(&rq->view.client, "192.0.2.1");
    ngx_str_set(&rq->view.request_id, "0123456789abcdef0123456789abcdef");

    path.rest = *uri;
    path.lax = 0;

    if (api->route(&path, &rq->view.route) != NGX_OK) {
        unit_ok(0, "%s: %.*s is the route", api->name.data, (int) uri->len,
                uri->data);
    }
}


void
request_header(request_t *rq, ngx_uint_t n, ngx_str_t *value)
{
    if (rq->view.nheaders[n]++ == 0) {
        rq->view.headers[n] = *value;
    }
}


ngx_str_t *
request_identify(request_t *rq)
{
    ngx_int_t           rc;
    ngx_cred_params_t  *params;

    static const char  *checks[] = { "all", "absent", "nowhere", "token" };

    params = &rq->params;

    ngx_memzero(params, sizeof(ngx_cred_params_t));
    ngx_str_null(&rq->view.fault);

    rc = rq->api->identify(&rq->view, params);

    if (rc == NGX_DECLINED) {
        return unit_string("declined");
    }

    if (rc != NGX_OK) {
        return unit_format("error %i", rc);
    }

    return unit_format("token=%V subject=%V scope=%V id=%V check=%s%s%V",
                       &params->token, &params->subject, &params->scope,
                       &params->id, checks[params->check],
                       rq->view.fault.len ? " " : "", &rq->view.fault);
}


ngx_str_t *
request_answer(request_t *rq, ngx_cred_outcome_t *outcome)
{
    u_char             *p;
    ngx_str_t          *text;
    ngx_uint_t          i;
    ngx_cred_answer_t   answer;
    u_char              buf[4096];

    ngx_memzero(&answer, sizeof(ngx_cred_answer_t));

    if (rq->api->answer(&rq->view, outcome, &answer) != NGX_OK) {
        return unit_string("error");
    }

    p = ngx_sprintf(buf, "%ui\n", answer.status);

    if (answer.content_type.len) {
        p = ngx_sprintf(p, "Content-Type: %V\n", &answer.content_type);
    }

    for (i = 0; i < answer.nextra; i++) {
        p = ngx_sprintf(p, "%V: %V\n", &answer.extra[i].key,
                        &answer.extra[i].value);
    }

    p = ngx_snprintf(p, buf + sizeof(buf) - p, "\n%V", &answer.body);

    text = unit_bytes((char *) buf, p - buf);

    return text;
}


ngx_str_t *
request_result(request_t *rq, ngx_cred_result_e result)
{
    ngx_cred_outcome_t  outcome;

    ngx_memzero(&outcome, sizeof(ngx_cred_outcome_t));

    outcome.result = result;

    return request_answer(rq, &outcome);
}
