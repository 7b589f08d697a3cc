
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
        "", "/v3.0", "/v3.0/OS-CREDENTIAL/credentials",
        "/v3.0/OS-CREDENTIAL/credentials/",
        "/v3.0/OS-CREDENTIAL/credentials//",
        "/v3.0/OS-CREDENTIAL/credentials/A//",
        "/v3.0/OS-CREDENTIAL/credentials/A/B",
        "/v3.0/OS-CREDENTIAL//credentials/A",
        "/v3.0/os-credential/credentials/A",
        "/V3.0/OS-CREDENTIAL/credentials/A",
        "/v3/OS-CREDENTIAL/credentials/A", "/v3.00OS-CREDENTIAL/credentials/A",
        "/v3.0/OS-CREDENTIAL/credentialsA", "/OS-CREDENTIAL/credentials/A",
        "v3.0/OS-CREDENTIAL/credentials/A"
    };

    request_route(&ngx_cred_iam,
                  "/v3.0/OS-CREDENTIAL/credentials/ABCDEFGHIJ0123456789",
                  "", "ABCDEFGHIJ0123456789");
    request_route(&ngx_cred_iam, "/v3.0/OS-CREDENTIAL/credentials/ab/",
                  "", "ab");
    request_route(&ngx_cred_iam, "/v3.0/OS-CREDENTIAL/credentials/a b:%",
                  "", "a b:%");

    for (i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
        request_route(&ngx_cred_iam, others[i], NULL, NULL);
    }
}


static void
test_key(ngx_str_t *key, const char *check, const char *name)
{
    request_t  rq;

    request_init(&rq, &ngx_cred_iam,
                 unit_format("/v3.0/OS-CREDENTIAL/credentials/%V", key));
    request_header(&rq, 0, unit_string("T"));

    unit_is(request_identify(&rq),
            unit_format("token=T subject= scope= id=%V check=%s%s", key, check,
                        ngx_strcmp(check, "token") != 0 ? ""
                        : " {\"error\":{\"message\":\"Request parameter "
                          "'access_key' is invalid.\",\"code\":400,"
                          "\"title\":\"Bad Request\"}}"),
            "iam: %s", name);
}


static void
test_identify(void)
{
    u_char     c;
    unsigned   i;
    request_t  rq;

    request_init(&rq, &ngx_cred_iam,
                 unit_string("/v3.0/OS-CREDENTIAL/credentials/AK"));

    unit_is(request_identify(&rq), unit_string("declined"), "iam: no token");

    rq.view.nheaders[0] = 1;
    unit_is(request_identify(&rq), unit_string("declined"),
            "iam: empty token");

    rq.view.nheaders[0] = 0;
    request_header(&rq, 0, unit_string("MIIE+/=="));
    unit_is(request_identify(&rq),
            unit_string("token=MIIE+/== subject= scope= id=AK check=all"),
            "iam: token");

    request_header(&rq, 0, unit_string("MIIE"));
    unit_is(request_identify(&rq), unit_string("declined"),
            "iam: two tokens");

    rq.view.nheaders[0] = 0;
    request_header(&rq, 0, unit_string("a b"));
    unit_is(request_identify(&rq), unit_string("declined"),
            "iam: token with a space");

    rq.view.nheaders[0] = 0;
    request_header(&rq, 0, unit_string("a\xc3\xa9"));
    unit_is(request_identify(&rq), unit_string("declined"),
            "iam: token of other bytes");

    test_key(unit_string("A"), "all", "key of one letter");
    test_key(unit_string("azAZ09"), "all", "key of the first and last");
    test_key(unit_repeat('7', 40), "all", "key of 40 digits");
    test_key(unit_repeat('a', 41), "token", "key of 41 letters");
    test_key(unit_string("A-B"), "token", "key with a hyphen");
    test_key(unit_string("1-"), "token", "key with a hyphen at the end");
    test_key(unit_string("A\xc3\xa9"), "token", "key with another letter");
    test_key(unit_repeat('a', 512), "token", "key of 512 letters");
    test_key(unit_repeat('a', 513), "absent", "key of 513 letters");
    test_key(unit_string("A\x01"), "absent", "key with a control character");
    test_key(unit_string("A\x7f"), "absent", "key with DEL");

    request_init(&rq, &ngx_cred_iam,
                 unit_string("/v3.0/OS-CREDENTIAL/credentials/A"));
    request_header(&rq, 0, unit_string("T"));

    for (i = 0x20; i < 0x100; i++) {
        c = (u_char) i;

        rq.view.route.id.data = &c;

        (void) request_identify(&rq);

        if ((rq.params.check == NGX_CRED_CHECK_ALL)
            != ((c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z')
                || (c >= 'a' && c <= 'z')))
        {
            break;
        }
    }

    unit_ok(i == 0x100, "iam: letters and digits and no others");
}


static void
test_answers(void)
{
    request_t  rq;

    request_init(&rq, &ngx_cred_iam,
                 unit_string("/v3.0/OS-CREDENTIAL/credentials/AK"));

    unit_is(request_result(&rq, NGX_CRED_DELETED),
            unit_string("204\n"
            "X-Request-Id: 0123456789abcdef0123456789abcdef\n\n"),
            "iam: deleted");

    unit_is(request_result(&rq, NGX_CRED_RESUMED),
            unit_string("204\n"
            "X-Request-Id: 0123456789abcdef0123456789abcdef\n\n"),
            "iam: resumed");

    unit_is(request_result(&rq, NGX_CRED_UNAUTHORIZED),
            unit_string("401\n"
            "Content-Type: application/json\n"
            "X-Request-Id: 0123456789abcdef0123456789abcdef\n\n"
            "{\"error\":{\"message\":\"The request you have made requires "
            "authentication.\",\"code\":401,\"title\":\"Unauthorized\"}}"),
            "iam: unauthorized");

    unit_is(request_result(&rq, NGX_CRED_FORBIDDEN),
            unit_string("403\n"
            "Content-Type: application/json\n"
            "X-Request-Id: 0123456789abcdef0123456789abcdef\n\n"
            "{\"error\":{\"message\":\"Policy doesn't allow "
            "iam:credentials:deleteCredential to be performed.\","
            "\"code\":403,\"title\":\"Forbidden\"}}"),
            "iam: forbidden");

    unit_is(request_result(&rq, NGX_CRED_NEWER),
            unit_string("409\n"
            "Content-Type: application/json\n"
            "X-Request-Id: 0123456789abcdef0123456789abcdef\n\n"
            "{\"error\":{\"message\":\"Credential is newer than the revision "
            "that was to be deleted.\",\"code\":409,"
            "\"title\":\"Conflict\"}}"),
            "iam: newer");

    unit_is(request_result(&rq, NGX_CRED_NOT_FOUND),
            unit_string("404\n"
            "Content-Type: application/json\n"
            "X-Request-Id: 0123456789abcdef0123456789abcdef\n\n"
            "{\"error\":{\"message\":\"Could not find credential: AK\","
            "\"code\":404,\"title\":\"Not Found\"}}"),
            "iam: not found");

    unit_is(request_result(&rq, NGX_CRED_SCOPE_NOT_FOUND),
            unit_string("404\n"
            "Content-Type: application/json\n"
            "X-Request-Id: 0123456789abcdef0123456789abcdef\n\n"
            "{\"error\":{\"message\":\"Could not find credential: AK\","
            "\"code\":404,\"title\":\"Not Found\"}}"),
            "iam: no domain");

    unit_is(request_result(&rq, NGX_CRED_UNAVAILABLE),
            unit_string("500\n"
            "Content-Type: application/json\n"
            "X-Request-Id: 0123456789abcdef0123456789abcdef\n"
            "Retry-After: 1\n\n"
            "{\"error\":{\"message\":\"An unexpected error prevented the "
            "server from fulfilling your request.\",\"code\":500,"
            "\"title\":\"Internal Server Error\"}}"),
            "iam: unavailable");

    request_init(&rq, &ngx_cred_iam,
                 unit_string("/v3.0/OS-CREDENTIAL/credentials/A-K"));
    request_header(&rq, 0, unit_string("T"));
    (void) request_identify(&rq);

    unit_is(request_result(&rq, NGX_CRED_INVALID),
            unit_string("400\n"
            "Content-Type: application/json\n"
            "X-Request-Id: 0123456789abcdef0123456789abcdef\n\n"
            "{\"error\":{\"message\":\"Request parameter 'access_key' is "
            "invalid.\",\"code\":400,\"title\":\"Bad Request\"}}"),
            "iam: malformed key");

    request_init(&rq, &ngx_cred_iam,
                 unit_string("/v3.0/OS-CREDENTIAL/credentials/\"\x02\xff"));

    unit_is(request_result(&rq, NGX_CRED_NOT_FOUND),
            unit_string("404\n"
            "Content-Type: application/json\n"
            "X-Request-Id: 0123456789abcdef0123456789abcdef\n\n"
            "{\"error\":{\"message\":\"Could not find credential: "
            "\\\"\\u0002\xef\xbf\xbd\",\"code\":404,\"title\":\"Not Found\"}}"),
            "iam: not found, of any bytes");
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
