
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
        "", "/", "/users", "/users/", "/users/u", "/users/u/credentials",
        "/users/u/credentials/", "/users/u/credentials//",
        "/users//credentials/c", "/users/u//credentials/c",
        "/users/u/credentials/c//", "/users/u/credentials/c/d",
        "/users/a/b/credentials/c", "/Users/u/credentials/c",
        "/user/u/credentials/c", "/users/u/credential/c",
        "users/u/credentials/c", "/v1/users/u/credentials/c"
    };

    request_route(&ngx_cred_alloy, "/users/u/credentials/c", "u", "c");
    request_route(&ngx_cred_alloy, "/users/u/credentials/c/", "u", "c");
    request_route(&ngx_cred_alloy,
                  "/users/64a1/credentials/64b2\xc3\xa9:% ", "64a1",
                  "64b2\xc3\xa9:% ");
    request_route(&ngx_cred_alloy, "/users/credentials/credentials/users",
                  "credentials", "users");

    for (i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
        request_route(&ngx_cred_alloy, others[i], NULL, NULL);
    }
}


static void
test_identify(void)
{
    request_t  rq;

    request_init(&rq, &ngx_cred_alloy, unit_string("/users/u/credentials/c"));
    request_header(&rq, 1, unit_string("2025-09"));

    unit_is(request_identify(&rq), unit_string("declined"), "alloy: no key");

    request_header(&rq, 0, unit_string("bearer K"));
    unit_is(request_identify(&rq),
            unit_string("token=K subject= scope=u id=c check=all"),
            "alloy: key and version");

    rq.conf.alloy_version_optional = 1;
    unit_is(request_identify(&rq),
            unit_string("token=K subject= scope=u id=c check=all"),
            "alloy: optional version");

    rq.conf.alloy_version = *unit_string("2026-01");
    unit_is(request_identify(&rq),
            unit_string("token=K subject= scope=u id=c check=token "
            "{\"error\":\"Bad Request\","
            "\"message\":\"Unsupported API version: 2025-09\"}"),
            "alloy: optional version, another one");

    ngx_str_set(&rq.conf.alloy_version, "2025-09");

    rq.view.nheaders[1] = 0;
    ngx_str_null(&rq.view.headers[1]);
    unit_is(request_identify(&rq),
            unit_string("token=K subject= scope=u id=c check=all"),
            "alloy: optional version, missing");

    rq.view.nheaders[1] = 1;
    unit_is(request_identify(&rq),
            unit_string("token=K subject= scope=u id=c check=all"),
            "alloy: optional version, empty");

    rq.conf.alloy_version_optional = 0;
    unit_is(request_identify(&rq),
            unit_string("token=K subject= scope=u id=c check=token "
            "{\"error\":\"Bad Request\","
            "\"message\":\"Missing required header: x-api-version\"}"),
            "alloy: empty version");

    rq.view.nheaders[1] = 0;
    unit_is(request_identify(&rq),
            unit_string("token=K subject= scope=u id=c check=token "
            "{\"error\":\"Bad Request\","
            "\"message\":\"Missing required header: x-api-version\"}"),
            "alloy: missing version");

    request_header(&rq, 1, unit_string("2020-01"));
    unit_is(request_identify(&rq),
            unit_string("token=K subject= scope=u id=c check=token "
            "{\"error\":\"Bad Request\","
            "\"message\":\"Unsupported API version: 2020-01\"}"),
            "alloy: another version");

    rq.view.headers[1] = *unit_string("2025-090");
    unit_is(request_identify(&rq),
            unit_string("token=K subject= scope=u id=c check=token "
            "{\"error\":\"Bad Request\","
            "\"message\":\"Unsupported API version: 2025-090\"}"),
            "alloy: longer version");

    rq.view.headers[1] = *unit_string("\"\\\x01\xc3\xa9\xff");
    unit_is(request_identify(&rq),
            unit_string("token=K subject= scope=u id=c check=token "
            "{\"error\":\"Bad Request\",\"message\":\"Unsupported API "
            "version: \\\"\\\\\\u0001\xc3\xa9\xef\xbf\xbd\"}"),
            "alloy: version of any bytes");

    rq.view.headers[1] = *unit_string("2025-09");
    request_header(&rq, 1, unit_string("2025-09"));
    unit_is(request_identify(&rq),
            unit_string("token=K subject= scope=u id=c check=token "
            "{\"error\":\"Bad Request\","
            "\"message\":\"Repeated header: x-api-version\"}"),
            "alloy: two versions");

    rq.conf.alloy_version_optional = 1;
    unit_is(request_identify(&rq),
            unit_string("token=K subject= scope=u id=c check=token "
            "{\"error\":\"Bad Request\","
            "\"message\":\"Repeated header: x-api-version\"}"),
            "alloy: optional version, two of them");

    request_init(&rq, &ngx_cred_alloy,
                 unit_format("/users/u/credentials/%V",
                             unit_repeat('c', 513)));
    request_header(&rq, 0, unit_string("bearer K"));
    request_header(&rq, 1, unit_string("2025-09"));
    unit_is(request_identify(&rq),
            unit_format("token=K subject= scope=u id=%V check=absent",
                        unit_repeat('c', 513)),
            "alloy: id of 513 bytes");

    rq.view.headers[1] = *unit_string("2020-01");
    unit_is(request_identify(&rq),
            unit_format("token=K subject= scope=u id=%V check=token "
            "{\"error\":\"Bad Request\","
            "\"message\":\"Unsupported API version: 2020-01\"}",
            unit_repeat('c', 513)),
            "alloy: the version is before the id");
}


static void
test_answers(void)
{
    request_t  rq;

    request_init(&rq, &ngx_cred_alloy, unit_string("/users/u/credentials/c"));
    request_header(&rq, 0, unit_string("bearer K"));

    unit_is(request_result(&rq, NGX_CRED_DELETED),
            unit_string("200\nContent-Type: application/json\n\n"
            "{\"success\":true}"),
            "alloy: deleted");

    unit_is(request_result(&rq, NGX_CRED_RESUMED),
            unit_string("200\nContent-Type: application/json\n\n"
            "{\"success\":true}"),
            "alloy: resumed");

    unit_is(request_result(&rq, NGX_CRED_UNAUTHORIZED),
            unit_string("401\nContent-Type: application/json\n"
            "WWW-Authenticate: Bearer\n\n"
            "{\"error\":\"Unauthorized\",\"message\":\"Invalid API key\"}"),
            "alloy: unauthorized");

    (void) request_identify(&rq);

    unit_is(request_result(&rq, NGX_CRED_INVALID),
            unit_string("400\nContent-Type: application/json\n\n"
            "{\"error\":\"Bad Request\","
            "\"message\":\"Missing required header: x-api-version\"}"),
            "alloy: missing version");

    request_header(&rq, 1, unit_string("2020-01"));
    (void) request_identify(&rq);

    unit_is(request_result(&rq, NGX_CRED_INVALID),
            unit_string("400\nContent-Type: application/json\n\n"
            "{\"error\":\"Bad Request\","
            "\"message\":\"Unsupported API version: 2020-01\"}"),
            "alloy: another version");

    unit_is(request_result(&rq, NGX_CRED_SCOPE_NOT_FOUND),
            unit_string("404\nContent-Type: application/json\n\n"
            "{\"error\":\"Not Found\",\"message\":\"User not found\"}"),
            "alloy: no such user");

    unit_is(request_result(&rq, NGX_CRED_FORBIDDEN),
            unit_string("403\nContent-Type: application/json\n\n"
            "{\"error\":\"Forbidden\","
            "\"message\":\"Insufficient permissions\"}"),
            "alloy: forbidden");

    unit_is(request_result(&rq, NGX_CRED_NEWER),
            unit_string("409\nContent-Type: application/json\n\n"
            "{\"error\":\"Conflict\",\"message\":\"Credential is newer than "
            "the revision that was to be deleted\"}"),
            "alloy: newer");

    unit_is(request_result(&rq, NGX_CRED_NOT_FOUND),
            unit_string("404\nContent-Type: application/json\n\n"
            "{\"error\":\"Not Found\",\"message\":\"Credential not found\"}"),
            "alloy: not found");

    unit_is(request_result(&rq, NGX_CRED_UNAVAILABLE),
            unit_string("503\nContent-Type: application/json\n"
            "Retry-After: 1\n\n"
            "{\"error\":\"Service Unavailable\","
            "\"message\":\"Please try again later\"}"),
            "alloy: unavailable");
}


int
main(void)
{
    unit_start();

    test_routes();
    test_identify();
    test_answers();

    return unit_done();
}
