
/*
 * Copyright (C) ngx_cred_module authors
 * SPDX-License-Identifier: BSD-2-Clause
 */


#include <request.h>


static void
test_routes(void)
{
    ngx_uint_t  i;

    static const char  *others[] = {
        "", "/", "/apiops", "/apiops/projects/", "/apiops/projects/p",
        "/apiops/projects/p/", "/apiops/projects/p/credentials",
        "/apiops/projects/p/credentials/", "/apiops/projects/p/credentials//",
        "/apiops/projects//credentials/u/", "/apiops/projects/p//credentials/u",
        "/apiops/projects/p/credentials/u//",
        "/apiops/projects/p/credentials/u/x",
        "/apiops/projects/p/credentials/u/x/",
        "/apiops/projects/a/b/credentials/u/",
        "/apiops/projects/p/credential/u/", "/apiops/projects/p/credentialsu",
        "/APIOPS/projects/p/credentials/u/",
        "/apiops/projects/p/Credentials/u/",
        "apiops/projects/p/credentials/u/",
        "//apiops/projects/p/credentials/u/",
        "/x/apiops/projects/p/credentials/u/",
        "/apiops/project/p/credentials/u/"
    };

    request_route(&ngx_cred_apinizer,
                  "/apiops/projects/MyProject/credentials/api-user/",
                  "MyProject", "api-user");
    request_route(&ngx_cred_apinizer,
                  "/apiops/projects/MyProject/credentials/api-user",
                  "MyProject", "api-user");
    request_route(&ngx_cred_apinizer, "/apiops/projects/a:b/credentials/%/",
                  "a:b", "%");
    request_route(&ngx_cred_apinizer,
                  "/apiops/projects/\xc3\x96l & Gas/credentials/a+b c/",
                  "\xc3\x96l & Gas", "a+b c");
    request_route(&ngx_cred_apinizer,
                  "/apiops/projects/credentials/credentials/credentials/",
                  "credentials", "credentials");
    request_route(&ngx_cred_apinizer, "/apiops/projects/\xff/credentials/\xfe/",
                  "\xff", "\xfe");

    for (i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
        request_route(&ngx_cred_apinizer, others[i], NULL, NULL);
    }
}


static void
test_identify(void)
{
    request_t  rq;

    request_init(&rq, &ngx_cred_apinizer,
                 unit_string("/apiops/projects/p/credentials/u/"));

    unit_is(request_identify(&rq), unit_string("declined"),
            "apinizer: no token");

    request_header(&rq, 0, unit_string("Basic dTpw"));
    unit_is(request_identify(&rq), unit_string("declined"),
            "apinizer: another scheme");

    rq.view.nheaders[0] = 0;
    request_header(&rq, 0, unit_string("bearer T0"));
    unit_is(request_identify(&rq),
            unit_string("token=T0 subject= scope=p id=u check=all"),
            "apinizer: token");

    request_header(&rq, 0, unit_string("bearer T1"));
    unit_is(request_identify(&rq), unit_string("declined"),
            "apinizer: two tokens");

    request_init(&rq, &ngx_cred_apinizer,
                 unit_format("/apiops/projects/p/credentials/%V",
                             unit_repeat('u', 512)));
    request_header(&rq, 0, unit_string("Bearer T"));
    unit_is(request_identify(&rq),
            unit_format("token=T subject= scope=p id=%V check=all",
                        unit_repeat('u', 512)),
            "apinizer: id of 512 bytes");

    request_init(&rq, &ngx_cred_apinizer,
                 unit_format("/apiops/projects/p/credentials/%V",
                             unit_repeat('u', 513)));
    request_header(&rq, 0, unit_string("Bearer T"));
    unit_is(request_identify(&rq),
            unit_format("token=T subject= scope=p id=%V check=absent",
                        unit_repeat('u', 513)),
            "apinizer: id of 513 bytes");

    request_init(&rq, &ngx_cred_apinizer,
                 unit_string("/apiops/projects/p/credentials/a\nb/"));
    request_header(&rq, 0, unit_string("Bearer T"));
    unit_is(request_identify(&rq),
            unit_string("token=T subject= scope=p id=a\nb check=absent"),
            "apinizer: id with a control character");

    request_init(&rq, &ngx_cred_apinizer,
                 unit_format("/apiops/projects/%V/credentials/u",
                             unit_repeat('p', 600)));
    request_header(&rq, 0, unit_string("Bearer T"));
    unit_is(request_identify(&rq),
            unit_format("token=T subject= scope=%V id=u check=all",
                        unit_repeat('p', 600)),
            "apinizer: project of 600 bytes");
}


static void
test_deleted(void)
{
    request_t           rq;
    ngx_cred_outcome_t  outcome;
    ngx_cred_receipt_t  r[8];

    request_init(&rq, &ngx_cred_apinizer,
                 unit_string("/apiops/projects/MyProject/credentials/u/"));

    ngx_memzero(&outcome, sizeof(ngx_cred_outcome_t));
    ngx_memzero(r, sizeof(r));

    outcome.result = NGX_CRED_DELETED;
    outcome.receipts = r;

    unit_is(request_answer(&rq, &outcome),
            unit_string("200\n"
            "Content-Type: application/json;charset=UTF-8\n\n"
            "{\"success\":true,\"deploymentResult\":{\"success\":true,"
            "\"message\":\"No environment is registered\","
            "\"environmentResults\":[]}}"),
            "apinizer: deleted, no environment");

    r[0].name = *unit_string("production");
    r[0].state = NGX_CRED_UNDEPLOYED;
    outcome.nreceipts = 1;

    unit_is(request_answer(&rq, &outcome),
            unit_string("200\n"
            "Content-Type: application/json;charset=UTF-8\n\n"
            "{\"success\":true,\"deploymentResult\":{\"success\":true,"
            "\"message\":\"Undeployment completed successfully\","
            "\"environmentResults\":[{\"environmentName\":\"production\","
            "\"success\":true,\"message\":\"Undeployed successfully\"}]}}"),
            "apinizer: deleted, one environment");

    r[1].name = *unit_string("staging");
    r[1].state = NGX_CRED_PENDING;
    r[1].reason = NGX_CRED_UNREACHABLE;
    outcome.nreceipts = 2;
    outcome.npending = 1;

    unit_is(request_answer(&rq, &outcome),
            unit_string("200\n"
            "Content-Type: application/json;charset=UTF-8\n\n"
            "{\"success\":true,\"deploymentResult\":{\"success\":false,"
            "\"message\":\"Undeployment is pending in 1 of 2 environments\","
            "\"environmentResults\":[{\"environmentName\":\"production\","
            "\"success\":true,\"message\":\"Undeployed successfully\"},"
            "{\"environmentName\":\"staging\",\"success\":false,"
            "\"message\":\"Environment is unreachable, undeployment will be "
            "retried\"}]}}"),
            "apinizer: one of two pending");

    outcome.result = NGX_CRED_RESUMED;

    unit_is(request_answer(&rq, &outcome),
            unit_string("200\n"
            "Content-Type: application/json;charset=UTF-8\n\n"
            "{\"success\":true,\"deploymentResult\":{\"success\":false,"
            "\"message\":\"Undeployment is pending in 1 of 2 environments\","
            "\"environmentResults\":[{\"environmentName\":\"production\","
            "\"success\":true,\"message\":\"Undeployed successfully\"},"
            "{\"environmentName\":\"staging\",\"success\":false,"
            "\"message\":\"Environment is unreachable, undeployment will be "
            "retried\"}]}}"),
            "apinizer: resumed, one of two pending");

    ngx_memzero(r, sizeof(r));

    r[0].name = *unit_string("a");
    r[0].state = NGX_CRED_PENDING;
    r[0].reason = NGX_CRED_LATE;
    r[1].name = *unit_string("b");
    r[1].state = NGX_CRED_PENDING;
    r[1].reason = NGX_CRED_REFUSED;
    r[2].name = *unit_string("c");
    r[2].state = NGX_CRED_NOT_DEPLOYED;
    r[3].name = *unit_string("d");
    r[3].state = NGX_CRED_SUPERSEDED;
    r[4].name = *unit_string("e");
    r[4].state = NGX_CRED_UNREGISTERED;
    r[5].name = *unit_string("\xc3\xa9\"\\");
    r[5].state = NGX_CRED_UNDEPLOYED;
    r[6].name = *unit_string("\xff\x01");
    r[6].state = NGX_CRED_PENDING;
    r[6].reason = NGX_CRED_UNREACHABLE;
    r[7].name = *unit_string("z");
    r[7].state = NGX_CRED_UNREGISTERED;
    outcome.nreceipts = 8;
    outcome.npending = 3;
    outcome.nnot_deployed = 1;
    outcome.nsuperseded = 1;

    unit_is(request_answer(&rq, &outcome),
            unit_string("200\n"
            "Content-Type: application/json;charset=UTF-8\n\n"
            "{\"success\":true,\"deploymentResult\":{\"success\":false,"
            "\"message\":\"Undeployment is pending in 3 of 6 environments\","
            "\"environmentResults\":["
            "{\"environmentName\":\"a\",\"success\":false,\"message\":"
            "\"Environment did not answer in time, undeployment will be "
            "retried\"},"
            "{\"environmentName\":\"b\",\"success\":false,\"message\":"
            "\"Environment refused the undeployment, undeployment will be "
            "retried\"},"
            "{\"environmentName\":\"c\",\"success\":true,\"message\":"
            "\"Was not deployed\"},"
            "{\"environmentName\":\"d\",\"success\":false,\"message\":"
            "\"A newer deployment of the credential is in this environment "
            "and stays\"},"
            "{\"environmentName\":\"\xc3\xa9\\\"\\\\\",\"success\":true,"
            "\"message\":\"Undeployed successfully\"},"
            "{\"environmentName\":\"\xef\xbf\xbd\\u0001\",\"success\":false,"
            "\"message\":\"Environment is unreachable, undeployment will be "
            "retried\"}]}}"),
            "apinizer: every state and reason");

    outcome.receipts = &r[2];
    outcome.nreceipts = 4;
    outcome.npending = 0;

    unit_is(request_answer(&rq, &outcome),
            unit_string("200\n"
            "Content-Type: application/json;charset=UTF-8\n\n"
            "{\"success\":true,\"deploymentResult\":{\"success\":false,"
            "\"message\":\"A newer deployment stays in 1 of 3 environments\","
            "\"environmentResults\":["
            "{\"environmentName\":\"c\",\"success\":true,\"message\":"
            "\"Was not deployed\"},"
            "{\"environmentName\":\"d\",\"success\":false,\"message\":"
            "\"A newer deployment of the credential is in this environment "
            "and stays\"},"
            "{\"environmentName\":\"\xc3\xa9\\\"\\\\\",\"success\":true,"
            "\"message\":\"Undeployed successfully\"}]}}"),
            "apinizer: a newer one, and none pending");

    outcome.nreceipts = 1;
    outcome.nsuperseded = 0;

    unit_is(request_answer(&rq, &outcome),
            unit_string("200\n"
            "Content-Type: application/json;charset=UTF-8\n\n"
            "{\"success\":true,\"deploymentResult\":{\"success\":true,"
            "\"message\":\"Undeployment completed successfully\","
            "\"environmentResults\":["
            "{\"environmentName\":\"c\",\"success\":true,\"message\":"
            "\"Was not deployed\"}]}}"),
            "apinizer: not deployed");

    outcome.receipts = &r[4];
    outcome.nnot_deployed = 0;

    unit_is(request_answer(&rq, &outcome),
            unit_string("200\n"
            "Content-Type: application/json;charset=UTF-8\n\n"
            "{\"success\":true,\"deploymentResult\":{\"success\":true,"
            "\"message\":\"No environment is registered\","
            "\"environmentResults\":[]}}"),
            "apinizer: only an unregistered environment");
}


/* the longest that names can become fits */

static void
test_many(void)
{
    u_char              *p, *last;
    request_t            rq;
    ngx_uint_t           i, n;
    ngx_cred_answer_t    answer;
    ngx_cred_outcome_t   outcome;
    ngx_cred_receipt_t   r[50];

    request_init(&rq, &ngx_cred_apinizer,
                 unit_string("/apiops/projects/p/credentials/u/"));

    ngx_memzero(&answer, sizeof(ngx_cred_answer_t));
    ngx_memzero(&outcome, sizeof(ngx_cred_outcome_t));

    for (i = 0; i < 50; i++) {
        r[i].name = *unit_repeat(i % 2 ? 0x01 : 0xff, 50);
        r[i].state = i % 3 ? NGX_CRED_UNDEPLOYED : NGX_CRED_PENDING;
        r[i].reason = i % 2 ? NGX_CRED_REFUSED : NGX_CRED_LATE;
    }

    outcome.receipts = r;
    outcome.nreceipts = 50;
    outcome.npending = 17;

    unit_ok(rq.api->answer(&rq.view, &outcome, &answer) == NGX_OK,
            "apinizer: many environments");

    n = 0;
    last = answer.body.data + answer.body.len;

    for (p = answer.body.data; p + 17 < last; p++) {
        n += (ngx_memcmp(p, "\"environmentName\"", 17) == 0);
    }

    unit_ok(n == 50, "apinizer: all of them are listed");
}


static void
test_answers(void)
{
    request_t  rq;

    request_init(&rq, &ngx_cred_apinizer,
             unit_string("/apiops/projects/MyProject/credentials/api-user/"));

    unit_is(request_result(&rq, NGX_CRED_UNAUTHORIZED),
            unit_string("401\n"
            "Content-Type: application/json;charset=UTF-8\n"
            "WWW-Authenticate: Bearer\n\n"
            "{\"error\":\"unauthorized_client\","
            "\"error_description\":\"Invalid token\"}"),
            "apinizer: unauthorized");

    unit_is(request_result(&rq, NGX_CRED_SCOPE_NOT_FOUND),
            unit_string("404\n"
            "Content-Type: application/json;charset=UTF-8\n\n"
            "{\"error\":\"not_found\",\"error_description\":"
            "\"Project(MyProject) was not found or user does not have "
            "privilege to access it!\"}"),
            "apinizer: no such project");

    unit_is(request_result(&rq, NGX_CRED_FORBIDDEN),
            unit_string("403\n"
            "Content-Type: application/json;charset=UTF-8\n\n"
            "{\"error\":\"forbidden\",\"error_description\":"
            "\"You do not have permission to perform this action\"}"),
            "apinizer: forbidden");

    unit_is(request_result(&rq, NGX_CRED_NOT_FOUND),
            unit_string("400\n"
            "Content-Type: application/json;charset=UTF-8\n\n"
            "{\"error\":\"bad_request\",\"error_description\":"
            "\"Credential (username: api-user) was not found!\"}"),
            "apinizer: no such credential");

    unit_is(request_result(&rq, NGX_CRED_NEWER),
            unit_string("409\n"
            "Content-Type: application/json;charset=UTF-8\n\n"
            "{\"error\":\"conflict\",\"error_description\":"
            "\"Credential (username: api-user) is newer than the revision "
            "that was to be deleted!\"}"),
            "apinizer: newer");

    unit_is(request_result(&rq, NGX_CRED_UNAVAILABLE),
            unit_string("503\n"
            "Content-Type: application/json;charset=UTF-8\n"
            "Retry-After: 1\n\n"
            "{\"error\":\"server_error\",\"error_description\":"
            "\"An unexpected error occurred. Please try again later.\"}"),
            "apinizer: unavailable");

    request_init(&rq, &ngx_cred_apinizer,
                 unit_string("/apiops/projects/\xc3\x96l\"\xff/credentials/"
                             "%V\\\x01\xe2\x82\xac/"));

    unit_is(request_result(&rq, NGX_CRED_SCOPE_NOT_FOUND),
            unit_string("404\n"
            "Content-Type: application/json;charset=UTF-8\n\n"
            "{\"error\":\"not_found\",\"error_description\":"
            "\"Project(\xc3\x96l\\\"\xef\xbf\xbd) was not found or user does "
            "not have privilege to access it!\"}"),
            "apinizer: no such project, of any bytes");

    unit_is(request_result(&rq, NGX_CRED_NOT_FOUND),
            unit_string("400\n"
            "Content-Type: application/json;charset=UTF-8\n\n"
            "{\"error\":\"bad_request\",\"error_description\":"
            "\"Credential (username: %V\\\\\\u0001\xe2\x82\xac) was not "
            "found!\"}"),
            "apinizer: no such credential, of any bytes");
}


int
main(void)
{
    unit_start();

    test_routes();
    test_identify();
    test_deleted();
    test_many();
    test_answers();

    return unit_done();
}
