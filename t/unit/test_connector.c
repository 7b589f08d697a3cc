
/*
 * Copyright (C) ngx_cred_module authors
 * SPDX-License-Identifier: BSD-2-Clause
 */


#include <connector.h>


static void
test_names(void)
{
    ngx_str_t   name;
    ngx_uint_t  i;

    static const char  *names[] = {
        "request", "header", "body", "success", "gone", "superseded", "match",
        "verify", "control", "purge", "settle", "target", "timeout", "url",
        "reques", ""
    };

    for (i = 0; i < sizeof(names) / sizeof(names[0]); i++) {

        name = *unit_format("%s", names[i]);

        unit_ok(ngx_cred_connector_setting(&name)
                == ngx_min(i, NGX_CRED_NSETTINGS),
                "setting \"%s\"", names[i]);
    }
}


static void
test_good(void)
{
    ngx_cred_values_t           values;
    ngx_cred_connector_t       *connector;
    ngx_cred_connector_rule_t  *rule;

    connector = connector_new();

    unit_ok(connector->timeout == 5000 && connector->settle == 0
            && connector->set == 0,
            "defaults");

    unit_is(connector_lines(connector,
                "request PUT /c/{id}?r={revision}; "
                "header X-Key 'a {operation}'; "
                "header x-second {target}; "
                "body '{\"a\":\"{id}\"}'; "
                "success 200 204; success 2xx '\"ok\"'; "
                "gone 404 410 'not there'; gone 404; gone 400 '404 x'; "
                "superseded 409; "
                "match HEAD /c/{id}; verify GET /c/{target}; "
                "control GET /up; "
                "purge DELETE /cache; purge BAN /; purge M-X_Y /; purge A /; "
                "settle 10s; target hex; timeout 1h"),
            unit_string(""), "a line of each");

    connector_values(connector, values);

    unit_is(connector_requests(connector, values),
            unit_string("match HEAD /c/api%20%22user%22\n"
                        "PUT /c/api%20%22user%22?r=17\n"
                        "verify GET /c/a1b2c3d4\n"
                        "control GET /up\n"
                        "purge DELETE /cache\n"
                        "purge BAN /\n"
                        "purge M-X_Y /\n"
                        "purge A /\n"
                        "X-Key: a 0123456789abcdef0123456789abcdef\n"
                        "x-second: a1b2c3d4\n"
                        "{\"a\":\"api \\\"user\\\"\"}\n"),
            "calls, header and body");

    unit_ok(connector->settle == 10000 && connector->timeout == 3600000
            && connector->target == NGX_CRED_TARGET_HEX,
            "times and the form of targets");

    unit_ok(connector->set == (1 << NGX_CRED_NSETTINGS) - 1, "all are set");

    rule = connector->gone.elts;

    unit_ok(connector->success.nelts == 2 && connector->gone.nelts == 3
            && connector->superseded.nelts == 1
            && rule[0].statuses.nelts == 2
            && ((ngx_uint_t *) rule[0].statuses.elts)[1] == 410,
            "rules");
    unit_is(&rule[0].text, unit_string("not there"), "text of a rule");
    unit_is(&rule[2].text, unit_string("404 x"), "text with digits first");
}


static void
test_wrong(void)
{
    ngx_uint_t  i;

    static struct {
        const char  *lines;
        const char  *error;
    } rows[] = {
        { "request", "invalid number of arguments in \"request\"" },
        { "request GET", "invalid number of arguments in \"request\"" },
        { "request GET / /", "invalid number of arguments in \"request\"" },
        { "request get /", "invalid method \"get\" in \"request\"" },
        { "request '' /", "invalid method \"\" in \"request\"" },
        { "request {id} /", "invalid method \"{id}\" in \"request\"" },
        { "request 'GET ' /", "invalid method \"GET \" in \"request\"" },
        { "request ABCDEFGHIJKLMNOPQRSTUVWXYZABCDEFG /",
          "invalid method \"ABCDEFGHIJKLMNOPQRSTUVWXYZABCDEFG\" in "
          "\"request\"" },
        { "request GET x", "no \"/\" begins the path \"x\" in \"request\"" },
        { "request GET ''", "no \"/\" begins the path \"\" in \"request\"" },
        { "request GET {id}",
          "no \"/\" begins the path \"{id}\" in \"request\"" },
        { "request GET http://a/",
          "no \"/\" begins the path \"http://a/\" in \"request\"" },
        { "request GET /{user}",
          "unknown placeholder \"{user}\" in \"request\"" },
        { "request GET '/a b'",
          "invalid character 0x20 in a path in \"request\"" },
        { "request GET /; request GET /", "\"request\" is duplicate" },
        { "verify get /", "invalid method \"get\" in \"verify\"" },
        { "verify GET /{x}", "unknown placeholder \"{x}\" in \"verify\"" },
        { "verify GET /; verify GET /", "\"verify\" is duplicate" },
        { "match GET x", "no \"/\" begins the path \"x\" in \"match\"" },
        { "match GET /; match GET /", "\"match\" is duplicate" },
        { "purge GET x", "no \"/\" begins the path \"x\" in \"purge\"" },
        { "purge A /; purge A /; purge A /; purge A /; purge A /",
          "more than 4 in \"purge\"" },

        { "header a", "invalid number of arguments in \"header\"" },
        { "header 'a b' c", "invalid name \"a b\" in \"header\"" },
        { "header '' c", "invalid name \"\" in \"header\"" },
        { "header a: c", "invalid name \"a:\" in \"header\"" },
        { "header {id} c", "invalid name \"{id}\" in \"header\"" },
        { "header 'a\r\nb' c", "invalid name \"a\r\nb\" in \"header\"" },
        { "header a ''", "empty value in \"header\"" },
        { "header a 'b\nc'",
          "invalid character 0x0a in a header in \"header\"" },
        { "header a {x}", "unknown placeholder \"{x}\" in \"header\"" },
        { "header a b; header A c", "duplicate name \"A\" in \"header\"" },
        { "header HOST {scope}", "a placeholder in \"HOST\" in \"header\"" },
        { "header content-length 1",
          "not to be set: \"content-length\" in \"header\"" },
        { "header Transfer-Encoding chunked",
          "not to be set: \"Transfer-Encoding\" in \"header\"" },
        { "header Connection close",
          "not to be set: \"Connection\" in \"header\"" },
        { "header Expect 100-continue",
          "not to be set: \"Expect\" in \"header\"" },
        { "header TE trailers", "not to be set: \"TE\" in \"header\"" },
        { "header Upgrade h2c", "not to be set: \"Upgrade\" in \"header\"" },
        { "header Accept-Encoding gzip",
          "not to be set: \"Accept-Encoding\" in \"header\"" },
        { "match GET /; header if-match a",
          "\"match\" sets \"if-match\" in \"header\"" },
        { "header If-Match a; match GET /",
          "there is a header \"If-Match\" in \"match\"" },

        { "body", "invalid number of arguments in \"body\"" },
        { "body {}; body {}", "\"body\" is duplicate" },
        { "body {\"a\":{id}}",
          "placeholder \"{id}\" must be inside a JSON string in \"body\"" },
        { "body '{\"a\":1'",
          "a body must be JSON: '}' expected near end of file in \"body\"" },

        { "success", "invalid number of arguments in \"success\"" },
        { "success ok", "invalid status \"ok\" in \"success\"" },
        { "success ''", "invalid status \"\" in \"success\"" },
        { "success 199", "invalid status \"199\" in \"success\"" },
        { "success 600", "invalid status \"600\" in \"success\"" },
        { "success 2000", "invalid status \"2000\" in \"success\"" },
        { "success 1xx", "invalid status \"1xx\" in \"success\"" },
        { "success 200 20", "invalid status \"20\" in \"success\"" },
        { "success 200 20x", "invalid status \"20x\" in \"success\"" },
        { "success 200 ''", "empty text in \"success\"" },
        { "success 200 ok 204", "invalid status \"ok\" in \"success\"" },
        { "success 200 204 200", "duplicate status \"200\" in \"success\"" },
        { "success 200; success 204 200",
          "duplicate status \"200\" in \"success\"" },
        { "gone 404; gone 404", "duplicate status \"404\" in \"gone\"" },
        { "gone 404 a; gone 404 b; gone 404; gone 400 404 a",
          "duplicate status \"404\" in \"gone\"" },
        { "superseded 409 a; superseded 409 a",
          "duplicate status \"409\" in \"superseded\"" },

        { "settle", "invalid number of arguments in \"settle\"" },
        { "settle x", "not between 1ms and 1h: \"x\" in \"settle\"" },
        { "settle 3600001ms",
          "not between 1ms and 1h: \"3600001ms\" in \"settle\"" },
        { "settle 1ms; settle 1ms", "\"settle\" is duplicate" },
        { "timeout ''", "not between 1ms and 1h: \"\" in \"timeout\"" },
        { "timeout -1s", "not between 1ms and 1h: \"-1s\" in \"timeout\"" },
        { "timeout 5s; timeout 5s", "\"timeout\" is duplicate" },
        { "target UUID", "unknown form \"UUID\" in \"target\"" },
        { "target any; target any", "\"target\" is duplicate" }
    };

    for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        unit_is(connector_lines(connector_new(), rows[i].lines),
                unit_format("%s", rows[i].error), "\"%s\"", rows[i].lines);
    }
}


/* what a file has is no template, and stays out of errors */

static void
test_secret_header(void)
{
    ngx_int_t              rc;
    ngx_str_t              err;
    ngx_uint_t             i;
    ngx_cred_values_t      values;
    ngx_cred_connector_t  *connector;

    static struct {
        ngx_str_t    name;
        ngx_str_t    value;
        const char  *error;
    } rows[] = {
        { ngx_string("a"), ngx_string("{id} {x} {"), "" },
        { ngx_string("A"), ngx_string("x"), "duplicate name \"A\"" },
        { ngx_string("b"), ngx_string("s3cret\n"),
          "invalid value of the header \"b\"" },
        { ngx_string("b"), ngx_string(""), "empty value of the header \"b\"" },
        { ngx_string("TE"), ngx_string("x"), "not to be set: \"TE\"" }
    };

    connector = connector_new();

    for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {

        rc = ngx_cred_connector_secret_header(unit_pool, connector,
                                              &rows[i].name, &rows[i].value,
                                              &err);

        unit_ok(rc == (rows[i].error[0] ? NGX_DECLINED : NGX_OK),
                "secret header, row %d", (int) i);
        unit_is(&err, unit_format("%s", rows[i].error), "its error");
    }

    connector_values(connector, values);

    unit_is(connector_requests(connector, values),
            unit_string("a: {id} {x} {\n"), "the header as it is");
}


static void
test_said(void)
{
    ngx_uint_t               i;
    ngx_cred_connector_t    *connector;
    ngx_cred_web_response_t  response;

    static struct {
        ngx_uint_t   status;
        const char  *body;
        const char  *said;
    } rows[] = {
        { 200, "", "other" },
        { 200, "ok", "success" },
        { 200, "so \"ok\" it is", "success" },
        { 200, "o", "other" },
        { 200, "OK", "other" },
        { 200, "older, ok", "success" },
        { 200, "older", "superseded" },
        { 200, "ooook", "success" },
        { 201, "ok", "other" },
        { 204, "", "success" },
        { 204, "anything", "success" },
        { 409, "", "superseded" },
        { 404, "no such thing", "gone" },
        { 404, "no such", "gone" },
        { 404, "no suc", "maybe" },
        { 404, "", "maybe" },
        { 404, "<h1>404</h1>", "maybe" },
        { 410, "no such", "gone" },
        { 410, "", "other" },
        { 403, "no such", "denied" },
        { 403, "blocked", "success" },
        { 401, "", "denied" },
        { 405, "", "denied" },
        { 429, "", "other" },
        { 503, "", "other" },
        { 301, "", "elsewhere" },
        { 304, "", "elsewhere" },
        { 399, "no such", "elsewhere" },
        { 302, "", "success" },
        { 400, "", "other" },
        { 500, "ok", "other" },
        { 599, "", "maybe" },
        { 598, "", "maybe" },
        { 499, "", "other" }
    };

    connector = connector_new();

    unit_is(connector_lines(connector,
                            "success 200 ok; success 204 302; "
                            "success 403 blocked; "
                            "superseded 200 older; superseded 409; "
                            "gone 404; gone 404 410 'no such'; gone 404 other; "
                            "gone 59x x; gone 5xx"),
            unit_string("invalid status \"59x\" in \"gone\""),
            "a class is of hundred");

    unit_is(connector_line(connector, "gone 598 599"), unit_string(""),
            "the last rule");

    for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        unit_is(unit_format("%s", connector_said(connector, rows[i].status,
                                                 rows[i].body)),
                unit_format("%s", rows[i].said), "%d \"%s\"",
                (int) rows[i].status, rows[i].body);
    }

    ngx_memzero(&response, sizeof(ngx_cred_web_response_t));

    response.retry_after = 0;
    response.status = 429;

    unit_ok(ngx_cred_connector_said(connector, &response)
            == NGX_CRED_SAID_LATER, "429, Retry-After: 0");

    response.retry_after = 120;
    response.status = 503;

    unit_ok(ngx_cred_connector_said(connector, &response)
            == NGX_CRED_SAID_LATER, "503, Retry-After: 120");

    response.status = 500;

    unit_ok(ngx_cred_connector_said(connector, &response)
            == NGX_CRED_SAID_OTHER, "500, Retry-After: 120");

    /* a body that cannot be read has no words */

    response.encoded = 1;
    response.body = *unit_string("ok no such");
    response.status = 200;

    unit_ok(ngx_cred_connector_said(connector, &response)
            == NGX_CRED_SAID_OTHER, "200 ok, Content-Encoding");

    response.status = 404;

    unit_ok(ngx_cred_connector_said(connector, &response)
            == NGX_CRED_SAID_MAYBE, "404 no such, Content-Encoding");

    response.status = 204;

    unit_ok(ngx_cred_connector_said(connector, &response)
            == NGX_CRED_SAID_SUCCESS, "204, Content-Encoding");

    /* nor has zero bytes for an end */

    response.encoded = 0;
    response.status = 200;
    response.body = *unit_string("a\0ok");

    unit_ok(ngx_cred_connector_said(connector, &response)
            == NGX_CRED_SAID_SUCCESS, "ok after a zero byte");
}


static void
test_targets(void)
{
    ngx_str_t              target;
    ngx_uint_t             i, form;
    ngx_cred_connector_t  *connector;

    static struct {
        const char  *target;
        ngx_uint_t   is[3];
    } rows[] = {
        { "", { 1, 0, 0 } },
        { "a", { 1, 0, 1 } },
        { "x", { 1, 0, 0 } },
        { "0123456789abcdefABCDEF", { 1, 0, 1 } },
        { "0123456789abcdefg", { 1, 0, 0 } },
        { "550e8400-e29b-41d4-A716-446655440000", { 1, 1, 0 } },
        { "550e8400-e29b-41d4-a716-44665544000", { 1, 0, 0 } },
        { "550e8400-e29b-41d4-a716-4466554400000", { 1, 0, 0 } },
        { "550e8400-e29b-41d4-a716-44665544000g", { 1, 0, 0 } },
        { "550e8400xe29b-41d4-a716-446655440000", { 1, 0, 0 } },
        { "550e8400-e29bx41d4-a716-446655440000", { 1, 0, 0 } },
        { "550e8400-e29b-41d4xa716-446655440000", { 1, 0, 0 } },
        { "550e8400-e29b-41d4-a716x446655440000", { 1, 0, 0 } },
        { "550e8400e29b41d4a716446655440000", { 1, 0, 1 } },
        { "{550e8400-e29b-41d4-a716-44665544000}", { 1, 0, 0 } },
        { "\x10\x11", { 1, 0, 0 } }
    };

    connector = connector_new();

    for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {

        target = *unit_format("%s", rows[i].target);

        for (form = 0; form < 3; form++) {

            connector->target = form;

            unit_ok(ngx_cred_connector_is_target(connector, &target)
                    == rows[i].is[form],
                    "form %d of \"%s\"", (int) form, rows[i].target);
        }
    }
}


int
main(void)
{
    unit_start();

    test_names();
    test_good();
    test_wrong();
    test_secret_header();
    test_said();
    test_targets();

    return unit_done();
}
