
/*
 * Copyright (C) ngx_cred_module authors
 * SPDX-License-Identifier: BSD-2-Clause
 */


#include <request.h>


#define URI   "/api/v1/infrastructure/file_stores/"
#define UUID  "550e8400-e29b-41d4-a716-446655440000"

#define CHARACTER                                                             \
    "invalid character: expected an optional prefix of `urn:uuid:` followed " \
    "by [0-9a-fA-F-], "


static void
test_routes(void)
{
    ngx_uint_t  i;

    static const char  *others[] = {
        "", "/", "/api/v1/infrastructure/file_stores", URI, URI "/",
        URI UUID "/", URI UUID "//", URI UUID "/x", URI "/" UUID,
        "/api/v1/infrastructure/document_stores/" UUID,
        "/api/v2/infrastructure/file_stores/" UUID,
        "/v1/infrastructure/file_stores/" UUID,
        "/API/v1/infrastructure/file_stores/" UUID,
        "/api/v1/infrastructure/file_stores" UUID
    };

    request_route(&ngx_cred_deepset, URI UUID, "", UUID);
    request_route(&ngx_cred_deepset, URI "not-a-valid-uuid", "",
                  "not-a-valid-uuid");
    request_route(&ngx_cred_deepset, URI "{" UUID "}", "", "{" UUID "}");
    request_route(&ngx_cred_deepset, URI "\xff", "", "\xff");

    for (i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
        request_route(&ngx_cred_deepset, others[i], NULL, NULL);
    }
}


static void
test_id(ngx_str_t *id, ngx_str_t *expected, const char *name)
{
    request_t  rq;

    request_init(&rq, &ngx_cred_deepset, unit_format(URI "%V", id));
    request_header(&rq, 0, unit_string("Bearer T"));

    unit_is(request_identify(&rq), expected, "deepset: %s", name);
}


static void
test_identify(void)
{
    request_t  rq;

    request_init(&rq, &ngx_cred_deepset, unit_string(URI UUID));

    unit_is(request_identify(&rq), unit_string("declined"),
            "deepset: no token");

    request_header(&rq, 0, unit_string("Bearer T"));
    unit_is(request_identify(&rq),
            unit_string("token=T subject= scope= id=" UUID " check=all"),
            "deepset: token");

    test_id(unit_string("550E8400E29B41D4A716446655440000"),
            unit_string("token=T subject= scope= id=" UUID " check=all"),
            "simple, upper case");
    test_id(unit_string("{550e8400-E29B-41d4-a716-446655440000}"),
            unit_string("token=T subject= scope= id=" UUID " check=all"),
            "in braces, mixed case");
    test_id(unit_string("urn:uuid:" UUID),
            unit_string("token=T subject= scope= id=" UUID " check=all"),
            "urn");
    test_id(unit_string("00000000-0000-0000-0000-000000000000"),
            unit_string("token=T subject= scope= "
                        "id=00000000-0000-0000-0000-000000000000 check=all"),
            "nil");

    test_id(unit_string("123"),
            unit_string("token=T subject= scope= id=123 check=token "
            "{\"detail\":[{\"type\":\"uuid_parsing\","
            "\"loc\":[\"path\",\"credentials_id\"],"
            "\"msg\":\"Input should be a valid UUID, invalid length: expected "
            "length 32 for simple format, found 3\",\"input\":\"123\","
            "\"ctx\":{\"error\":\"invalid length: expected length 32 for "
            "simple format, found 3\"}}]}"),
            "fault");

    test_id(unit_string("12\"\xc3\xa9"),
            unit_string("token=T subject= scope= id=12\"\xc3\xa9 check=token "
            "{\"detail\":[{\"type\":\"uuid_parsing\","
            "\"loc\":[\"path\",\"credentials_id\"],"
            "\"msg\":\"Input should be a valid UUID, " CHARACTER
            "found `\\\"` at 3\",\"input\":\"12\\\"\xc3\xa9\","
            "\"ctx\":{\"error\":\"" CHARACTER "found `\\\"` at 3\"}}]}"),
            "fault with what JSON escapes");

    test_id(unit_string("1\xf0\x9f\x94\x91z"),
            unit_string("token=T subject= scope= id=1\xf0\x9f\x94\x91z "
            "check=token "
            "{\"detail\":[{\"type\":\"uuid_parsing\","
            "\"loc\":[\"path\",\"credentials_id\"],"
            "\"msg\":\"Input should be a valid UUID, " CHARACTER
            "found `\xf0\x9f\x94\x91` at 2\","
            "\"input\":\"1\xf0\x9f\x94\x91z\","
            "\"ctx\":{\"error\":\"" CHARACTER
            "found `\xf0\x9f\x94\x91` at 2\"}}]}"),
            "fault with a character of four bytes");

    test_id(unit_string("1\xe2\x82z"),
            unit_string("token=T subject= scope= id=1\xe2\x82z "
            "check=token "
            "{\"detail\":[{\"type\":\"uuid_parsing\","
            "\"loc\":[\"path\",\"credentials_id\"],"
            "\"msg\":\"Input should be a valid UUID, " CHARACTER
            "found `\xef\xbf\xbd` at 2\",\"input\":\"1\xef\xbf\xbdz\","
            "\"ctx\":{\"error\":\"" CHARACTER
            "found `\xef\xbf\xbd` at 2\"}}]}"),
            "fault with no UTF-8");

    test_id(unit_repeat('a', 512),
            unit_format("token=T subject= scope= id=%V check=token "
            "{\"detail\":[{\"type\":\"uuid_parsing\","
            "\"loc\":[\"path\",\"credentials_id\"],"
            "\"msg\":\"Input should be a valid UUID, invalid length: expected "
            "length 32 for simple format, found 512\",\"input\":\"%V\","
            "\"ctx\":{\"error\":\"invalid length: expected length 32 for "
            "simple format, found 512\"}}]}", unit_repeat('a', 512),
            unit_repeat('a', 512)),
            "512 bytes");

    test_id(unit_repeat('a', 513),
            unit_format("token=T subject= scope= id=%V check=absent",
                        unit_repeat('a', 513)),
            "513 bytes");
    test_id(unit_string("550e8400-e29b-41d4-a716-44665544000\n"),
            unit_string("token=T subject= scope= "
                        "id=550e8400-e29b-41d4-a716-44665544000\n "
                        "check=absent"),
            "control character");
}


static void
test_unauthorized(void)
{
    request_t    rq;
    ngx_uint_t   i;

    static struct {
        const char  *value;
        const char  *detail;
    } tests[] = {
        { "", "Not authenticated" },
        { "T", "Not authenticated" },
        { "Basic dTpw", "Not authenticated" },
        { "Bearerx T", "Not authenticated" },
        { "Bearer", "Invalid authentication credentials" },
        { "Bearer ", "Invalid authentication credentials" },
        { "Bearer a b", "Invalid authentication credentials" },
        { "Bearer T", "Invalid authentication credentials" },
        { "bearer T", "Invalid authentication credentials" }
    };

    request_init(&rq, &ngx_cred_deepset, unit_string(URI UUID));

    unit_is(request_result(&rq, NGX_CRED_UNAUTHORIZED),
            unit_string("401\n"
            "Content-Type: application/json\n"
            "WWW-Authenticate: Bearer\n\n"
            "{\"detail\":\"Not authenticated\"}"),
            "deepset: no header");

    for (i = 0; i < sizeof(tests) / sizeof(tests[0]); i++) {

        request_init(&rq, &ngx_cred_deepset, unit_string(URI "123"));
        request_header(&rq, 0, unit_bytes(tests[i].value,
                                          ngx_strlen(tests[i].value)));

        /* whatever is said of the id does not show in the answer */

        (void) request_identify(&rq);

        unit_is(request_result(&rq, NGX_CRED_UNAUTHORIZED),
                unit_format("401\n"
                "Content-Type: application/json\n"
                "WWW-Authenticate: Bearer\n\n"
                "{\"detail\":\"%s\"}", tests[i].detail),
                "deepset: unauthorized: \"%s\"", tests[i].value);
    }

    request_init(&rq, &ngx_cred_deepset, unit_string(URI UUID));
    request_header(&rq, 0, unit_string("Basic dTpw"));
    request_header(&rq, 0, unit_string("Bearer T"));

    unit_is(request_result(&rq, NGX_CRED_UNAUTHORIZED),
            unit_string("401\n"
            "Content-Type: application/json\n"
            "WWW-Authenticate: Bearer\n\n"
            "{\"detail\":\"Invalid authentication credentials\"}"),
            "deepset: repeated header");
}


static void
test_answers(void)
{
    request_t  rq;

    request_init(&rq, &ngx_cred_deepset, unit_string(URI "123"));
    request_header(&rq, 0, unit_string("Bearer T"));
    (void) request_identify(&rq);

    unit_is(request_result(&rq, NGX_CRED_DELETED), unit_string("204\n\n"),
            "deepset: deleted");

    unit_is(request_result(&rq, NGX_CRED_RESUMED), unit_string("204\n\n"),
            "deepset: resumed");

    unit_is(request_result(&rq, NGX_CRED_IN_USE),
            unit_string("400\n"
            "Content-Type: application/json\n\n"
            "{\"detail\":\"We couldn't delete the specified S3 credentials "
            "because they are currently in use. Delete all workspaces which "
            "use these credentials and try again.\"}"),
            "deepset: in use");

    unit_is(request_result(&rq, NGX_CRED_NEWER),
            unit_string("409\n"
            "Content-Type: application/json\n\n"
            "{\"detail\":\"We couldn't delete the specified S3 credentials "
            "because they are newer than the revision that was to be "
            "deleted.\"}"),
            "deepset: newer");

    unit_is(request_result(&rq, NGX_CRED_NOT_FOUND),
            unit_string("404\n"
            "Content-Type: application/json\n\n"
            "{\"detail\":\"We couldn't find the specified S3 bucket "
            "credentials. Use the endpoint 'list_available_s3_buckets' to "
            "check the S3 bucket credentials that exist in your "
            "organization.\"}"),
            "deepset: not found");

    unit_is(request_result(&rq, NGX_CRED_SCOPE_NOT_FOUND),
            unit_string("404\n"
            "Content-Type: application/json\n\n"
            "{\"detail\":\"We couldn't find the specified S3 bucket "
            "credentials. Use the endpoint 'list_available_s3_buckets' to "
            "check the S3 bucket credentials that exist in your "
            "organization.\"}"),
            "deepset: no organization");

    unit_is(request_result(&rq, NGX_CRED_INVALID),
            unit_string("422\n"
            "Content-Type: application/json\n\n"
            "{\"detail\":[{\"type\":\"uuid_parsing\","
            "\"loc\":[\"path\",\"credentials_id\"],"
            "\"msg\":\"Input should be a valid UUID, invalid length: expected "
            "length 32 for simple format, found 3\",\"input\":\"123\","
            "\"ctx\":{\"error\":\"invalid length: expected length 32 for "
            "simple format, found 3\"}}]}"),
            "deepset: no UUID");

    unit_is(request_result(&rq, NGX_CRED_UNAVAILABLE),
            unit_string("503\n"
            "Content-Type: application/json\n"
            "Retry-After: 1\n\n"
            "{\"detail\":\"Service Unavailable\"}"),
            "deepset: unavailable");
}


int
main(void)
{
    unit_start();

    test_routes();
    test_identify();
    test_unauthorized();
    test_answers();

    return unit_done();
}
