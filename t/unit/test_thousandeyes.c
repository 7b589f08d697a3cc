
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
        "", "/", "/v6", "/v6/credentials/5", "/credentials/5",
        "/credentials//delete", "/credentials/0/delete",
        "/credentials/007/delete", "/credentials/00/delete",
        "/credentials/+5/delete", "/credentials/-5/delete",
        "/credentials/5 /delete", "/credentials/ 5/delete",
        "/credentials/5a/delete", "/credentials/0x5/delete",
        "/credentials/5.0/delete", "/credentials/5\n/delete",
        "/credentials/\xd9\xa5/delete",
        "/credentials/5/delete.xml", "/credentials/5/delete.json.json",
        "/credentials/5/delete.JSON", "/credentials/5/deletejson",
        "/credentials/5/deletes", "/credentials/5/delete//",
        "/credentials/5/delete.json//", "/credentials/5/delete/.json",
        "/credentials/5/delete.", "/credentials/5/delete.json/x",
        "/credentials/5//delete", "/credentials/5/update",
        "/credentials/5.json", "/credentials/5/Delete",
        "/v5/credentials/5/delete", "/v7/credentials/5/delete",
        "/v6/v6/credentials/5/delete", "/v6credentials/5/delete",
        "/V6/credentials/5/delete", "v6/credentials/5/delete",
        "credentials/5/delete", "//credentials/5/delete"
    };

    request_route(&ngx_cred_thousandeyes, "/credentials/405/delete", "",
                  "405");
    request_route(&ngx_cred_thousandeyes, "/credentials/405/delete.json", "",
                  "405");
    request_route(&ngx_cred_thousandeyes, "/credentials/405/delete/", "",
                  "405");
    request_route(&ngx_cred_thousandeyes, "/credentials/405/delete.json/", "",
                  "405");
    request_route(&ngx_cred_thousandeyes, "/v6/credentials/405/delete", "",
                  "405");
    request_route(&ngx_cred_thousandeyes, "/v6/credentials/405/delete.json",
                  "", "405");
    request_route(&ngx_cred_thousandeyes, "/v6/credentials/405/delete/", "",
                  "405");
    request_route(&ngx_cred_thousandeyes, "/v6/credentials/405/delete.json/",
                  "", "405");
    request_route(&ngx_cred_thousandeyes, "/credentials/1/delete", "", "1");
    request_route(&ngx_cred_thousandeyes, "/credentials/10/delete", "", "10");
    request_route(&ngx_cred_thousandeyes,
                  "/credentials/123456789012345678901234567890/delete", "",
                  "123456789012345678901234567890");

    for (i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
        request_route(&ngx_cred_thousandeyes, others[i], NULL, NULL);
    }
}


static void
test_token(const char *value, const char *expected)
{
    request_t  rq;

    request_init(&rq, &ngx_cred_thousandeyes,
                 unit_string("/credentials/5/delete"));
    request_header(&rq, 0, unit_bytes(value, ngx_strlen(value)));

    unit_is(request_identify(&rq),
            expected == NULL ? unit_string("declined")
                             : unit_format("%s scope= id=5 check=all",
                                           expected),
            "thousandeyes: \"%s\"", value);
}


static void
test_tokens(void)
{
    request_t   rq;
    ngx_str_t   basic, *login;

    request_init(&rq, &ngx_cred_thousandeyes,
                 unit_string("/credentials/5/delete"));

    unit_is(request_identify(&rq), unit_string("declined"),
            "thousandeyes: no header");

    test_token("", NULL);
    test_token("Basic dTpw", "token=p subject=u");
    test_token("basic dTpw", "token=p subject=u");
    test_token("BASIC   dTpw  ", "token=p subject=u");
    test_token("Basic bm9yZXBseUB0aG91c2FuZGV5ZXMuY29tOmczNTFtdzV4",
               "token=g351mw5x subject=noreply@thousandeyes.com");
    test_token("Basic dXM6cA==", "token=p subject=us");
    test_token("Basic dXNlOnA=", "token=p subject=use");
    test_token("Basic dXM6cA", "token=p subject=us");
    test_token("Basic dTpwOnE6", "token=p:q: subject=u");
    test_token("Basic w6k6cA==", "token=p subject=\xc3\xa9");
    test_token("Basic dTogcA==", "token= p subject=u");
    test_token("Basic", NULL);
    test_token("Basic ", NULL);
    test_token("Basic =", NULL);
    test_token("Basic ====", NULL);
    test_token("Basic dTpw=", NULL);
    test_token("Basic dXM6cA=", NULL);
    test_token("Basic dXM6cA===", NULL);
    test_token("Basic dXM6cA==x", NULL);
    test_token("Basic dX=6cA==", NULL);
    test_token("Basic dTpwd", NULL);
    test_token("Basic dT.w", NULL);
    test_token("Basic dTp\xc3\xa9", NULL);
    test_token("Basic dT pw", NULL);
    test_token("Basic\tdTpw", NULL);
    test_token("Basic:dTpw", NULL);
    test_token("BasicdTpw", NULL);
    test_token("Basic u:p", NULL);
    test_token("Basic dXA=", NULL);            /* up */
    test_token("Basic OnA=", NULL);            /* :p */
    test_token("Basic dTo=", NULL);            /* u: */
    test_token("Basic Og==", NULL);            /* : */
    test_token("Basic dQA6cA==", NULL);        /* u\0:p */
    test_token("Basic dQo6cA==", NULL);        /* u\n:p */
    test_token("Basic dX86cA==", NULL);        /* u\x7f:p */
    test_token("Basic dTpwAA==", NULL);        /* u:p\0 */
    test_token("Bearer T", "token=T subject=");
    test_token("bearer T", "token=T subject=");
    test_token("Bearer dTpw", "token=dTpw subject=");
    test_token("Bearer", NULL);
    test_token("Bearer a b", NULL);
    test_token("Digest dTpw", NULL);
    test_token("dTpw", NULL);

    request_header(&rq, 0, unit_string("Basic dTpw"));
    request_header(&rq, 0, unit_string("Basic dTpw"));
    unit_is(request_identify(&rq), unit_string("declined"),
            "thousandeyes: repeated header");

    login = unit_format("u:%V", unit_repeat('t', 700));

    basic.data = ngx_pnalloc(unit_pool, 1024);
    ngx_memcpy(basic.data, "Basic ", 6);
    basic.data += 6;
    ngx_encode_base64(&basic, login);
    basic.data -= 6;
    basic.len += 6;

    rq.view.nheaders[0] = 0;
    request_header(&rq, 0, &basic);
    unit_is(request_identify(&rq),
            unit_format("token=%V subject=u scope= id=5 check=all",
                        unit_repeat('t', 700)),
            "thousandeyes: token of 700 bytes");
}


static void
test_bodies(void)
{
    request_t    rq;
    ngx_uint_t   i;

    static const char  *empty[] = {
        "", " ", "\r\n\t ", "null", " null ", "\nnull\n", "{}", " {} ", "{ }",
        "{\r\n}\r\n"
    };

    static const char  *full[] = {
        "0", "a", "nul", "nulll", "NULL", "n ull", "null null", "null,", "{",
        "}", "}{", "{}{}", "{} {}", "{}}", "{{}", "[]", "[{}]", "\"\"",
        "{\"a\":1}", "{}x", "x{}", "nu{}", "{}nu", "{nul", "\f", "\v",
        "\xef\xbb\xbf", "\xc2\xa0", "false", "{\n\"a\"\n}"
    };

    request_init(&rq, &ngx_cred_thousandeyes,
                 unit_string("/credentials/5/delete"));
    request_header(&rq, 0, unit_string("Bearer T"));

    for (i = 0; i < sizeof(empty) / sizeof(empty[0]); i++) {
        rq.view.body = *unit_bytes(empty[i], ngx_strlen(empty[i]));

        unit_is(request_identify(&rq),
                unit_string("token=T subject= scope= id=5 check=all"),
                "thousandeyes: empty body: \"%s\"", empty[i]);
    }

    for (i = 0; i < sizeof(full) / sizeof(full[0]); i++) {
        rq.view.body = *unit_bytes(full[i], ngx_strlen(full[i]));

        unit_is(request_identify(&rq),
                unit_string("token=T subject= scope= id=5 check=token "
                "{\"errorMessage\":\"Request body must be empty\"}"),
                "thousandeyes: body: \"%s\"", full[i]);
    }

    rq.view.body = *unit_bytes("\0", 1);
    unit_is(request_identify(&rq),
            unit_string("token=T subject= scope= id=5 check=token "
            "{\"errorMessage\":\"Request body must be empty\"}"),
            "thousandeyes: body: zero byte");

    rq.view.body = *unit_repeat(' ', NGX_CRED_API_BODY_LEN);
    unit_is(request_identify(&rq),
            unit_string("token=T subject= scope= id=5 check=all"),
            "thousandeyes: 1 KiB of space");

    rq.view.body_long = 1;
    unit_is(request_identify(&rq),
            unit_string("token=T subject= scope= id=5 check=token "
            "{\"errorMessage\":\"Request body must be empty\"}"),
            "thousandeyes: more than 1 KiB of space");

    rq.view.args = *unit_string("aid=x");
    unit_is(request_identify(&rq),
            unit_string("token=T subject= scope= id=5 check=token "
            "{\"errorMessage\":\"Request body must be empty\"}"),
            "thousandeyes: body before aid");
}


static void
test_aid(ngx_str_t *args, const char *scope)
{
    request_t  rq;

    request_init(&rq, &ngx_cred_thousandeyes,
                 unit_string("/credentials/5/delete"));
    request_header(&rq, 0, unit_string("Bearer T"));
    rq.view.args = *args;

    unit_is(request_identify(&rq),
            scope != NULL
            ? unit_format("token=T subject= scope=%s id=5 check=all", scope)
            : unit_string("token=T subject= scope= id=5 check=token "
                          "{\"errorMessage\":\"Invalid account group id\"}"),
            "thousandeyes: %s%.*s", scope != NULL ? "" : "invalid ",
            (int) args->len, args->data);
}


static void
test_aids(void)
{
    test_aid(unit_string(""), "");
    test_aid(unit_string("format=json"), "");
    test_aid(unit_string("aid=11"), "11");
    test_aid(unit_string("aid=%31%32"), "12");
    test_aid(unit_string("%61id=11"), "11");
    test_aid(unit_string("a=1&aid=11&b=2"), "11");
    test_aid(unit_string("&&aid=11&&"), "11");
    test_aid(unit_string("aid=123456789012345678901234567890"),
             "123456789012345678901234567890");
    test_aid(unit_string("aid=0"), "0");
    test_aid(unit_string("AID=11"), "");
    test_aid(unit_string("aids=11&xaid=12&ai=13"), "");
    test_aid(unit_string("=aid"), "");
    test_aid(unit_string("x=aid=11"), "");
    test_aid(unit_string("%zz=1&%=2&aid=3"), "3");

    test_aid(unit_string("aid"), NULL);
    test_aid(unit_string("aid="), NULL);
    test_aid(unit_string("aid&x=1"), NULL);
    test_aid(unit_string("aid=-1"), NULL);
    test_aid(unit_string("aid=+1"), NULL);
    test_aid(unit_string("aid=1.5"), NULL);
    test_aid(unit_string("aid=x"), NULL);
    test_aid(unit_string("aid=1%20"), NULL);
    test_aid(unit_string("aid=1%"), NULL);
    test_aid(unit_string("aid=1%3"), NULL);
    test_aid(unit_string("aid=1%zz"), NULL);
    test_aid(unit_string("aid=%00"), NULL);
    test_aid(unit_string("aid==1"), NULL);
    test_aid(unit_string("aid=1&aid=1"), NULL);
    test_aid(unit_string("aid=1&aid=2"), NULL);
    test_aid(unit_string("aid=1&%61%69%64=2"), NULL);
    test_aid(unit_string("aid=1&aid"), NULL);
}


static void
test_rate(void)
{
    request_t           rq;
    ngx_cred_outcome_t  outcome;

    request_init(&rq, &ngx_cred_thousandeyes,
                 unit_string("/credentials/5/delete"));

    ngx_memzero(&outcome, sizeof(ngx_cred_outcome_t));

    outcome.result = NGX_CRED_DELETED;
    outcome.rate_limit = 240;
    outcome.rate_remaining = 236;
    outcome.rate_reset = 1573849500;

    unit_is(request_answer(&rq, &outcome),
            unit_string("204\n"
            "Content-Type: application/json;charset=UTF-8\n"
            "X-Content-Type-Options: nosniff\n"
            "X-Organization-Rate-Limit-Limit: 240\n"
            "X-Organization-Rate-Limit-Remaining: 236\n"
            "X-Organization-Rate-Limit-Reset: 1573849500\n\n"),
            "thousandeyes: deleted");

    outcome.result = NGX_CRED_NOT_FOUND;

    unit_is(request_answer(&rq, &outcome),
            unit_string("404\n"
            "Content-Type: application/json;charset=UTF-8\n"
            "X-Content-Type-Options: nosniff\n"
            "X-Organization-Rate-Limit-Limit: 240\n"
            "X-Organization-Rate-Limit-Remaining: 236\n"
            "X-Organization-Rate-Limit-Reset: 1573849500\n\n"
            "{\"errorMessage\":\"Credential not found\"}"),
            "thousandeyes: not found");

    outcome.result = NGX_CRED_NEWER;

    unit_is(request_answer(&rq, &outcome),
            unit_string("409\n"
            "Content-Type: application/json;charset=UTF-8\n"
            "X-Content-Type-Options: nosniff\n"
            "X-Organization-Rate-Limit-Limit: 240\n"
            "X-Organization-Rate-Limit-Remaining: 236\n"
            "X-Organization-Rate-Limit-Reset: 1573849500\n\n"
            "{\"errorMessage\":\"Credential is newer than the revision that "
            "was to be deleted\"}"),
            "thousandeyes: newer");

    outcome.result = NGX_CRED_FORBIDDEN;
    outcome.rate_remaining = 0;

    unit_is(request_answer(&rq, &outcome),
            unit_string("403\n"
            "Content-Type: application/json;charset=UTF-8\n"
            "X-Content-Type-Options: nosniff\n"
            "X-Organization-Rate-Limit-Limit: 240\n"
            "X-Organization-Rate-Limit-Remaining: 0\n"
            "X-Organization-Rate-Limit-Reset: 1573849500\n\n"
            "{\"errorMessage\":\"Insufficient permissions to execute "
            "request\"}"),
            "thousandeyes: forbidden");

    outcome.result = NGX_CRED_RATE_LIMITED;
    outcome.rate_limit = 1;
    outcome.retry_after = 37;

    unit_is(request_answer(&rq, &outcome),
            unit_string("429\n"
            "Content-Type: application/json;charset=UTF-8\n"
            "X-Content-Type-Options: nosniff\n"
            "X-Organization-Rate-Limit-Limit: 1\n"
            "X-Organization-Rate-Limit-Remaining: 0\n"
            "X-Organization-Rate-Limit-Reset: 1573849500\n"
            "Retry-After: 37\n\n"
            "{\"errorMessage\":\"Exceeded the maximum number of requests per "
            "1-minute period\"}"),
            "thousandeyes: rate limited");
}


static void
test_no_rate(void)
{
    request_t           rq;
    ngx_cred_outcome_t  outcome;

    request_init(&rq, &ngx_cred_thousandeyes,
                 unit_string("/credentials/5/delete"));

    ngx_memzero(&outcome, sizeof(ngx_cred_outcome_t));

    outcome.result = NGX_CRED_RATE_LIMITED;
    outcome.rate_reset = 1573849500;
    outcome.retry_after = 1;

    unit_is(request_answer(&rq, &outcome),
            unit_string("429\n"
            "Content-Type: application/json;charset=UTF-8\n"
            "X-Content-Type-Options: nosniff\n"
            "X-Organization-Rate-Limit-Limit: 0\n"
            "X-Organization-Rate-Limit-Remaining: 0\n"
            "X-Organization-Rate-Limit-Reset: 1573849500\n"
            "Retry-After: 1\n\n"
            "{\"errorMessage\":\"Exceeded the maximum number of requests per "
            "1-minute period\"}"),
            "thousandeyes: a rate limit of 0");
}


static void
test_answers(void)
{
    request_t  rq;

    request_init(&rq, &ngx_cred_thousandeyes,
                 unit_string("/credentials/5/delete"));

    unit_is(request_result(&rq, NGX_CRED_RESUMED),
            unit_string("204\n"
            "Content-Type: application/json;charset=UTF-8\n"
            "X-Content-Type-Options: nosniff\n\n"),
            "thousandeyes: resumed, not counted");

    unit_is(request_result(&rq, NGX_CRED_UNAUTHORIZED),
            unit_string("401\n"
            "Content-Type: application/json;charset=UTF-8\n"
            "X-Content-Type-Options: nosniff\n"
            "WWW-Authenticate: Basic realm=\"ThousandEyes API\"\n\n"
            "{\"errorMessage\":\"Invalid credentials provided or account is "
            "locked\"}"),
            "thousandeyes: unauthorized");

    unit_is(request_result(&rq, NGX_CRED_SCOPE_NOT_FOUND),
            unit_string("400\n"
            "Content-Type: application/json;charset=UTF-8\n"
            "X-Content-Type-Options: nosniff\n\n"
            "{\"errorMessage\":\"Invalid account group id\"}"),
            "thousandeyes: no such account group");

    unit_is(request_result(&rq, NGX_CRED_UNAVAILABLE),
            unit_string("503\n"
            "Content-Type: application/json;charset=UTF-8\n"
            "X-Content-Type-Options: nosniff\n"
            "Retry-After: 1\n\n"
            "{\"errorMessage\":\"Service Unavailable\"}"),
            "thousandeyes: unavailable");

    request_header(&rq, 0, unit_string("Bearer T"));
    rq.view.args = *unit_string("aid=x");
    (void) request_identify(&rq);

    unit_is(request_result(&rq, NGX_CRED_INVALID),
            unit_string("400\n"
            "Content-Type: application/json;charset=UTF-8\n"
            "X-Content-Type-Options: nosniff\n\n"
            "{\"errorMessage\":\"Invalid account group id\"}"),
            "thousandeyes: invalid aid");

    rq.view.body = *unit_string("x");
    (void) request_identify(&rq);

    unit_is(request_result(&rq, NGX_CRED_INVALID),
            unit_string("400\n"
            "Content-Type: application/json;charset=UTF-8\n"
            "X-Content-Type-Options: nosniff\n\n"
            "{\"errorMessage\":\"Request body must be empty\"}"),
            "thousandeyes: body");

    request_init(&rq, &ngx_cred_thousandeyes,
                 unit_format("/credentials/%V/delete", unit_repeat('9', 513)));
    request_header(&rq, 0, unit_string("Bearer T"));

    unit_is(request_identify(&rq),
            unit_format("token=T subject= scope= id=%V check=absent",
                        unit_repeat('9', 513)),
            "thousandeyes: id of 513 digits");
}


int
main(void)
{
    unit_start();

    test_routes();
    test_tokens();
    test_bodies();
    test_aids();
    test_rate();
    test_no_rate();
    test_answers();

    return unit_done();
}
