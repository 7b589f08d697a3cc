
/*
 * Copyright (C) ngx_cred_module authors
 * SPDX-License-Identifier: BSD-2-Clause
 */


/*
 * Requests and their answers.  The input has lines: URI, first header, second
 * header, query; what is left is the body.
 */


#include <fuzz.h>
#include <request.h>


static u_char *fuzz_line(u_char *p, u_char *last, ngx_str_t *line);
static void fuzz_answer(request_t *rq, ngx_cred_result_e result);
static ngx_uint_t fuzz_json(ngx_str_t *text);


int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    u_char      *p, *last;
    ngx_int_t    rc;
    request_t    rq;
    ngx_str_t    uri, line;
    ngx_uint_t   i, n;
    ngx_cred_path_t  path;

    p = (u_char *) data;
    last = p + size;

    ngx_memzero(&rq, sizeof(request_t));

    p = fuzz_line(p, last, &uri);

    for (i = 0; ngx_cred_apis[i]; i++) {
        path.rest = uri;
        path.lax = 0;

        if (ngx_cred_apis[i]->route(&path, &rq.view.route) == NGX_OK) {
            break;
        }
    }

    rq.api = ngx_cred_apis[i];

    if (rq.api == NULL) {
        return 0;
    }

    ngx_str_set(&rq.conf.alloy_version, "2025-09");

    rq.view.conf = &rq.conf;

    rq.view.pool = ngx_create_pool(NGX_MIN_POOL_SIZE, &unit_log);
    fuzz_assert(rq.view.pool != NULL);

    for (n = 0; n < NGX_CRED_API_HEADERS; n++) {
        p = fuzz_line(p, last, &line);

        if (line.len && rq.api->headers[n].len) {
            request_header(&rq, n, &line);
        }
    }

    p = fuzz_line(p, last, &rq.view.args);

    rq.view.body.data = p;
    rq.view.body.len = ngx_min(last - p, NGX_CRED_API_BODY_LEN);

    rc = rq.api->identify(&rq.view, &rq.params);

    fuzz_assert(rc == NGX_OK || rc == NGX_DECLINED);

    if (rc == NGX_OK) {
        fuzz_assert(rq.params.token.len > 0);
        fuzz_assert(rq.params.id.len > 0);
        fuzz_assert(rq.params.check == NGX_CRED_CHECK_ABSENT
                    || rq.params.id.len <= NGX_CRED_API_ID_LEN
                    || rq.params.check == NGX_CRED_CHECK_TOKEN);

        if (rq.params.check == NGX_CRED_CHECK_TOKEN) {
            fuzz_assert(fuzz_json(&rq.view.fault));
            fuzz_answer(&rq, NGX_CRED_INVALID);

        } else {
            fuzz_assert(rq.view.fault.len == 0);

            for (i = 0; i < NGX_CRED_NRESULTS; i++) {
                if (i != NGX_CRED_INVALID) {
                    fuzz_answer(&rq, i);
                }
            }
        }
    }

    fuzz_answer(&rq, NGX_CRED_UNAUTHORIZED);

    ngx_destroy_pool(rq.view.pool);

    return 0;
}


static u_char *
fuzz_line(u_char *p, u_char *last, ngx_str_t *line)
{
    u_char  *end;

    end = ngx_strlchr(p, last, '\n');

    if (end == NULL) {
        end = last;
    }

    line->data = p;
    line->len = end - p;

    return end < last ? end + 1 : last;
}


static void
fuzz_answer(request_t *rq, ngx_cred_result_e result)
{
    ngx_uint_t          i;
    ngx_cred_answer_t   answer;
    ngx_cred_outcome_t  outcome;
    ngx_cred_receipt_t  receipts[3];

    ngx_memzero(&answer, sizeof(ngx_cred_answer_t));
    ngx_memzero(&outcome, sizeof(ngx_cred_outcome_t));
    ngx_memzero(receipts, sizeof(receipts));

    /* any bytes will do as the name of an environment */

    receipts[0].name = rq->view.route.id;
    receipts[0].state = NGX_CRED_UNDEPLOYED;
    receipts[1].name = rq->view.headers[0];
    receipts[1].reason = rq->view.args.len % 3;
    receipts[2].name = rq->view.args;
    receipts[2].state = rq->view.body.len % NGX_CRED_NSTATES;

    outcome.result = result;
    outcome.receipts = receipts;
    outcome.nreceipts = 3;
    outcome.rate_limit = 240;
    outcome.rate_reset = 1573849500;

    fuzz_assert(rq->api->answer(&rq->view, &outcome, &answer) == NGX_OK);

    fuzz_assert(answer.status >= 200 && answer.status < 600);
    fuzz_assert(answer.nextra <= NGX_CRED_API_EXTRA);

    for (i = 0; i < answer.nextra; i++) {
        fuzz_assert(answer.extra[i].key.len > 0);
    }

    if (answer.status == NGX_HTTP_NO_CONTENT) {
        fuzz_assert(answer.body.len == 0);
        return;
    }

    fuzz_assert(answer.content_type.len > 0);
    fuzz_assert(fuzz_json(&answer.body));
}


static ngx_uint_t
fuzz_json(ngx_str_t *text)
{
    json_t  *json;

    json = json_loadb((char *) text->data, text->len,
                      JSON_REJECT_DUPLICATES|JSON_ALLOW_NUL, NULL);

    if (json == NULL) {
        return 0;
    }

    json_decref(json);

    return text->len && text->data[text->len - 1] == '}';
}
