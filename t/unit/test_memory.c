
/*
 * Copyright (C) ngx_cred_module authors
 * SPDX-License-Identifier: BSD-2-Clause
 */


/*
 * Everything is done again and again with one allocation more that succeeds:
 * until there are enough, the result is an error, and nothing leaks.
 */


#include <request.h>
#include <ngx_cred_redis_codec.h>


/* identify() or, where "outcome" is not NULL, answer(), with "n" allocations */

static ngx_int_t
test_run(request_t *rq, ngx_cred_outcome_t *outcome, ngx_int_t n,
    ngx_uint_t *failed)
{
    ngx_int_t          rc;
    ngx_cred_answer_t  answer;

    ngx_memzero(&answer, sizeof(ngx_cred_answer_t));
    ngx_memzero(&rq->params, sizeof(ngx_cred_params_t));

    rq->view.pool = ngx_create_pool(NGX_MIN_POOL_SIZE, &unit_log);

    unit_memory(outcome == NULL ? n : -1);

    rc = rq->api->identify(&rq->view, &rq->params);

    if (outcome != NULL) {
        unit_memory(n);
        rc = rq->api->answer(&rq->view, outcome, &answer);
    }

    *failed = unit_memory(-1);

    ngx_destroy_pool(rq->view.pool);

    return rc;
}


/* returns how often the result was not what the memory was enough for */

static ngx_uint_t
test_repeat(request_t *rq, ngx_cred_outcome_t *outcome)
{
    ngx_int_t   n, rc;
    ngx_uint_t  failed, wrong;

    failed = 1;
    wrong = 0;

    for (n = 0; failed && n < 200; n++) {
        rc = test_run(rq, outcome, n, &failed);

        if (failed != (rc == NGX_ERROR)) {
            wrong++;
        }
    }

    return wrong + failed;
}


static void
test_api(ngx_cred_api_t *api, const char *uri, const char *first,
    const char *second, const char *args, const char *name)
{
    request_t            rq;
    ngx_uint_t           result, wrong;
    ngx_cred_outcome_t   outcome;
    ngx_cred_receipt_t   receipts[2];

    request_init(&rq, api, unit_bytes(uri, ngx_strlen(uri)));

    if (first != NULL) {
        request_header(&rq, 0, unit_bytes(first, ngx_strlen(first)));
    }

    if (second != NULL) {
        request_header(&rq, 1, unit_bytes(second, ngx_strlen(second)));
    }

    rq.view.args = *unit_bytes(args, ngx_strlen(args));

    unit_ok(test_repeat(&rq, NULL) == 0, "%s: identify: %s", api->name.data,
            name);

    ngx_memzero(receipts, sizeof(receipts));

    receipts[0].name = *unit_string("production");
    receipts[1].name = *unit_string("\xff");

    ngx_memzero(&outcome, sizeof(ngx_cred_outcome_t));

    outcome.receipts = receipts;
    outcome.nreceipts = 2;
    outcome.rate_limit = 240;
    outcome.rate_reset = 1573849500;

    wrong = 0;

    for (result = 0; result < NGX_CRED_NRESULTS; result++) {
        outcome.result = result;
        wrong += test_repeat(&rq, &outcome);
    }

    unit_ok(wrong == 0, "%s: answer: %s", api->name.data, name);
}


static void
test_apis(void)
{
    test_api(&ngx_cred_apinizer, "/apiops/projects/p/credentials/u/",
             "Bearer T", NULL, "", "valid");
    test_api(&ngx_cred_apinizer, "/apiops/projects/\xff/credentials/\xff/",
             "Bearer T", NULL, "", "no UTF-8");
    test_api(&ngx_cred_iam, "/v3.0/OS-CREDENTIAL/credentials/AK", "T", NULL,
             "", "valid");
    test_api(&ngx_cred_iam, "/v3.0/OS-CREDENTIAL/credentials/\xff", "T", NULL,
             "", "no UTF-8");
    test_api(&ngx_cred_deepset, "/api/v1/infrastructure/file_stores/"
             "550e8400-e29b-41d4-a716-446655440000", "Bearer T", NULL, "",
             "valid");
    test_api(&ngx_cred_deepset, "/api/v1/infrastructure/file_stores/1",
             "Bearer T", NULL, "", "no UUID");
    test_api(&ngx_cred_deepset, "/api/v1/infrastructure/file_stores/\xff",
             "Bearer T", NULL, "", "no UTF-8");
    test_api(&ngx_cred_thousandeyes, "/credentials/5/delete", "Basic dTpw",
             NULL, "aid=5", "valid");
    test_api(&ngx_cred_thousandeyes, "/credentials/5/delete", "Basic dTpw",
             NULL, "", "no aid");
    test_api(&ngx_cred_thousandeyes, "/credentials/5/delete", "Bearer T",
             NULL, "aid=x", "invalid aid");
    test_api(&ngx_cred_alloy, "/users/u/credentials/c", "bearer K", "2025-09",
             "", "valid");
    test_api(&ngx_cred_alloy, "/users/u/credentials/c", "bearer K", "\xff",
             "", "another version");
    test_api(&ngx_cred_alloy, "/users/u/credentials/c", NULL, NULL, "",
             "no key");
}


static void
test_url(void)
{
    char                  *err;
    ngx_int_t              n, rc;
    ngx_str_t             *text;
    ngx_pool_t            *pool;
    ngx_uint_t             failed, wrong;
    ngx_cred_redis_url_t   url;

    text = unit_string("redis://u:p@[::1]:1/2?prefix=p");

    wrong = 0;

    for (n = 0; n < 100; n++) {

        err = NULL;

        pool = ngx_create_pool(NGX_MIN_POOL_SIZE, &unit_log);

        unit_memory(n);

        rc = ngx_cred_redis_url_parse(pool, text, &url, &err);

        failed = unit_memory(-1);

        ngx_destroy_pool(pool);

        if (failed != (rc == NGX_ERROR && err != NULL)) {
            wrong++;
        }

        if (!failed) {
            break;
        }
    }

    unit_ok(wrong == 0 && n < 100, "url");
}


static void
test_codec(void)
{
    char                     *err;
    ngx_int_t                 n, rc;
    ngx_str_t                *text;
    ngx_uint_t                failed, wrong;
    ngx_cred_redis_codec_t   *codec;
    ngx_cred_redis_reply_t   *reply;
    ngx_cred_redis_output_t   out;

    text = unit_string("*4\r\n:1\r\n$1\r\na\r\n$-1\r\n*1\r\n+OK\r\n");

    wrong = 0;

    for (n = 0; n < 100; n++) {

        err = NULL;
        rc = NGX_ERROR;

        unit_memory(n);

        codec = ngx_cred_redis_codec_create(&unit_log);

        if (codec != NULL) {
            rc = ngx_cred_redis_codec_feed(codec, text->data, text->len);

            if (rc == NGX_OK) {
                rc = ngx_cred_redis_codec_next(codec, &reply, &err);

                if (rc == NGX_ERROR && (err == NULL || err[0] == '\0')) {
                    wrong++;
                }
            }

            ngx_cred_redis_codec_destroy(codec);
        }

        failed = unit_memory(-1);

        if (failed != (rc == NGX_ERROR)) {
            wrong++;
        }

        if (!failed) {
            break;
        }
    }

    unit_ok(wrong == 0 && n < 100, "codec: replies");

    wrong = 0;

    for (n = 0; n < 100; n++) {

        ngx_memzero(&out, sizeof(ngx_cred_redis_output_t));

        unit_memory(n);

        rc = ngx_cred_redis_codec_append(&out, text, 1, &unit_log);

        failed = unit_memory(-1);

        if (out.start) {
            ngx_free(out.start);
        }

        if (failed != (rc == NGX_ERROR)) {
            wrong++;
        }

        if (!failed) {
            break;
        }
    }

    unit_ok(wrong == 0 && n < 100, "codec: commands");
}


int
main(void)
{
    unit_start();

    json_set_alloc_funcs(unit_malloc, free);

    test_apis();
    test_url();
    test_codec();

    return unit_done();
}
