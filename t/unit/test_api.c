
/*
 * Copyright (C) ngx_cred_module authors
 * SPDX-License-Identifier: BSD-2-Clause
 */


#include <request.h>


/* the helpers that the APIs share, and the table */


/* each has a name of its own, and all that others call */

static void
test_table(void)
{
    ngx_uint_t       i, j, n;
    ngx_cred_api_t  *api;

    for (i = 0; ngx_cred_apis[i]; i++) {
        api = ngx_cred_apis[i];

        for (j = 0, n = 0; ngx_cred_apis[j]; j++) {
            n += (ngx_strcmp(ngx_cred_apis[j]->name.data, api->name.data) == 0);
        }

        unit_ok(n == 1, "table: %s", api->name.data);
        unit_ok(api->method && api->headers[0].len && api->route
                && api->identify && api->answer && api->bad_dry_run.len
                && api->bad_revision.len,
                "table: %s: complete", api->name.data);
    }

    unit_ok(i > 0, "table: not empty");
}


static void
test_rules(void)
{
    ngx_uint_t         i;
    ngx_cred_rules_t  *rules;

    static struct {
        ngx_cred_api_t  *api;
        ngx_uint_t       method;
        ngx_uint_t       rate;
        const char      *role;
        unsigned         membership:1;
        unsigned         uses:1;
        unsigned         body:1;
        unsigned         request_id:1;
        const char      *headers[2];
    } tests[] = {
        { &ngx_cred_apinizer, NGX_HTTP_DELETE, 0, "", 1, 0, 0, 0,
          { "authorization", "" } },
        { &ngx_cred_iam, NGX_HTTP_DELETE, 0, "secu_admin", 0, 0, 0, 1,
          { "x-auth-token", "" } },
        { &ngx_cred_deepset, NGX_HTTP_DELETE, 0, "", 0, 1, 0, 0,
          { "authorization", "" } },
        { &ngx_cred_thousandeyes, NGX_HTTP_POST, 240, "", 1, 0, 1, 0,
          { "authorization", "" } },
        { &ngx_cred_alloy, NGX_HTTP_DELETE, 0, "", 1, 0, 0, 0,
          { "authorization", "x-api-version" } }
    };

    for (i = 0; i < sizeof(tests) / sizeof(tests[0]); i++) {
        rules = &tests[i].api->rules;

        unit_ok(tests[i].api->method == tests[i].method
                && tests[i].api->body == tests[i].body
                && tests[i].api->request_id == tests[i].request_id,
                "%s: method, body, request id", tests[i].api->name.data);

        unit_ok(rules->rate == tests[i].rate
                && rules->membership == tests[i].membership
                && rules->uses == tests[i].uses,
                "%s: rate, membership, uses", tests[i].api->name.data);

        unit_is(&rules->role,
                unit_bytes(tests[i].role, ngx_strlen(tests[i].role)),
                "%s: role", tests[i].api->name.data);

        unit_is(&tests[i].api->headers[0],
                unit_bytes(tests[i].headers[0],
                           ngx_strlen(tests[i].headers[0])),
                "%s: first header", tests[i].api->name.data);

        unit_is(&tests[i].api->headers[1],
                unit_bytes(tests[i].headers[1],
                           ngx_strlen(tests[i].headers[1])),
                "%s: second header", tests[i].api->name.data);
    }
}


static void
test_slices(void)
{
    ngx_str_t        segment;
    ngx_cred_path_t  path;

    path.lax = 0;

    path.rest = *unit_string("/a/b");

    unit_ok(ngx_cred_api_prefix(&path, "/b") == NGX_DECLINED
            && path.rest.len == 4,
            "prefix: another one");
    unit_ok(ngx_cred_api_prefix(&path, "/a/bc") == NGX_DECLINED
            && path.rest.len == 4,
            "prefix: longer than the text");
    unit_ok(ngx_cred_api_segment(&path, &segment) == NGX_DECLINED
            && path.rest.len == 4,
            "segment: empty");
    unit_ok(ngx_cred_api_prefix(&path, "/") == NGX_OK, "prefix");
    unit_is(&path.rest, unit_string("a/b"), "prefix: rest");

    unit_ok(ngx_cred_api_end(&path) == NGX_DECLINED, "end: not yet");
    unit_ok(ngx_cred_api_segment(&path, &segment) == NGX_OK, "segment");
    unit_is(&segment, unit_string("a"), "segment: up to the slash");
    unit_is(&path.rest, unit_string("/b"), "segment: rest");
    unit_ok(ngx_cred_api_end(&path) == NGX_DECLINED, "end: more than a slash");

    path.rest = *unit_string("b");

    unit_ok(ngx_cred_api_end(&path) == NGX_DECLINED, "end: no slash");
    unit_ok(ngx_cred_api_segment(&path, &segment) == NGX_OK, "last segment");
    unit_is(&segment, unit_string("b"), "last segment: up to the end");
    unit_ok(ngx_cred_api_end(&path) == NGX_OK, "end");
    unit_ok(ngx_cred_api_segment(&path, &segment) == NGX_DECLINED,
            "segment: nothing left");
    unit_ok(ngx_cred_api_prefix(&path, "/") == NGX_DECLINED,
            "prefix: nothing left");

    path.rest = *unit_string("/");
    unit_ok(ngx_cred_api_end(&path) == NGX_OK, "end: a slash");

    path.rest = *unit_string("//");
    unit_ok(ngx_cred_api_end(&path) == NGX_DECLINED, "end: two slashes");
}


static void
test_header(void)
{
    request_t  rq;
    ngx_str_t  value;

    request_init(&rq, &ngx_cred_iam,
                 unit_string("/v3.0/OS-CREDENTIAL/credentials/A"));

    unit_ok(ngx_cred_api_header(&rq.view, 0, &value) == NGX_DECLINED,
            "header: missing");

    rq.view.nheaders[0] = 1;
    unit_ok(ngx_cred_api_header(&rq.view, 0, &value) == NGX_DECLINED,
            "header: empty");

    rq.view.headers[0] = *unit_string("x");
    unit_ok(ngx_cred_api_header(&rq.view, 0, &value) == NGX_OK, "header");
    unit_is(&value, unit_string("x"), "header: value");

    rq.view.nheaders[0] = 2;
    unit_ok(ngx_cred_api_header(&rq.view, 0, &value) == NGX_DECLINED,
            "header: repeated");
}


static void
test_bearer(void)
{
    request_t    rq;
    ngx_int_t    rc;
    ngx_str_t    token;
    ngx_uint_t   i;

    static struct {
        const char  *value;
        const char  *token;
    } tests[] = {
        { "Bearer abc", "abc" },
        { "bearer abc", "abc" },
        { "BEARER abc", "abc" },
        { "BeArEr abc", "abc" },
        { "Bearer   abc", "abc" },
        { "Bearer abc  ", "abc" },
        { "Bearer a", "a" },
        { "Bearer AZaz09-._~+/==", "AZaz09-._~+/==" },
        { "Bearer !\"'(),:;<>?@[\\]{|}`^", "!\"'(),:;<>?@[\\]{|}`^" },
        { "Bearer Bearer", "Bearer" },
        { "Bearer", NULL },
        { "Bearer ", NULL },
        { "Bearer    ", NULL },
        { "Bearerabc", NULL },
        { "Bearer\tabc", NULL },
        { "Bearer:abc", NULL },
        { "Beare abc", NULL },
        { "Bearers abc", NULL },
        { " Bearer abc", NULL },
        { "abc", NULL },
        { "Basic abc", NULL },
        { "Bearer a b", NULL },
        { "Bearer a, b", NULL },
        { "Bearer a\tb", NULL },
        { "Bearer a\x01", NULL },
        { "Bearer a\x7f", NULL },
        { "Bearer \xc3\xa9", NULL },
        { "Bearer \xff", NULL }
    };

    request_init(&rq, &ngx_cred_alloy, unit_string("/users/u/credentials/c"));

    unit_ok(ngx_cred_api_bearer(&rq.view, 0, &token) == NGX_DECLINED,
            "bearer: no header");

    for (i = 0; i < sizeof(tests) / sizeof(tests[0]); i++) {

        rq.view.headers[0] = *unit_bytes(tests[i].value,
                                         ngx_strlen(tests[i].value));
        rq.view.nheaders[0] = 1;

        ngx_str_null(&token);

        rc = ngx_cred_api_bearer(&rq.view, 0, &token);

        if (tests[i].token == NULL) {
            unit_ok(rc == NGX_DECLINED, "bearer: not \"%s\"", tests[i].value);
            continue;
        }

        unit_ok(rc == NGX_OK, "bearer: \"%s\"", tests[i].value);
        unit_is(&token,
                unit_bytes(tests[i].token, ngx_strlen(tests[i].token)),
                "bearer: token of \"%s\"", tests[i].value);
    }

    rq.view.headers[0] = *unit_bytes("Bearer a\0b", 10);
    unit_ok(ngx_cred_api_bearer(&rq.view, 0, &token) == NGX_DECLINED,
            "bearer: zero byte");

    rq.view.headers[0] = *unit_string("Bearer abc");
    rq.view.nheaders[0] = 2;
    unit_ok(ngx_cred_api_bearer(&rq.view, 0, &token) == NGX_DECLINED,
            "bearer: repeated header");
}


static void
test_check(void)
{
    unsigned  c;

    unit_ok(ngx_cred_api_check(unit_repeat('a', 1)) == NGX_CRED_CHECK_ALL,
            "check: one byte");
    unit_ok(ngx_cred_api_check(unit_repeat('a', 512)) == NGX_CRED_CHECK_ALL,
            "check: 512 bytes");
    unit_ok(ngx_cred_api_check(unit_repeat('a', 513)) == NGX_CRED_CHECK_ABSENT,
            "check: 513 bytes");

    for (c = 0; c < 0x100; c++) {
        if ((ngx_cred_api_check(unit_repeat(c, 1)) == NGX_CRED_CHECK_ABSENT)
            != (c < 0x20 || c == 0x7f))
        {
            break;
        }
    }

    unit_ok(c == 0x100, "check: control characters and no others");

    unit_ok(ngx_cred_api_check(unit_string("a\n")) == NGX_CRED_CHECK_ABSENT,
            "check: a control character at the end");
}


static void
test_extra(void)
{
    ngx_str_t          value;
    ngx_cred_answer_t  answer;

    ngx_memzero(&answer, sizeof(ngx_cred_answer_t));

    ngx_str_set(&value, "v");

    ngx_cred_api_extra(&answer, "A", &value);
    ngx_cred_api_extra(&answer, "Bc", &value);

    unit_ok(answer.nextra == 2, "extra: two");
    unit_is(&answer.extra[0].key, unit_string("A"), "extra: first name");
    unit_is(&answer.extra[1].key, unit_string("Bc"), "extra: second name");
    unit_ok(answer.extra[1].value.data == value.data, "extra: value is kept");
}


static void
test_utf8(void)
{
    u_char           *p;
    ngx_str_t         out, *in, quoted;
    ngx_uint_t        i;
    ngx_cred_view_t   view;

    static struct {
        const char  *in;
        const char  *out;   /* NULL: as it is; "?" is U+FFFD */
        const char  *json;
    } tests[] = {
        { "", NULL, "" },
        { "abc", NULL, "abc" },
        { "a\"\\/b", NULL, "a\\\"\\\\/b" },
        { "a\"b", NULL, "a\\\"b" },
        { "a\\b", NULL, "a\\\\b" },
        { " !#[]~/", NULL, " !#[]~/" },
        { "\x01\n\t\x1f\x7f", NULL, "\\u0001\\n\\t\\u001F\x7f" },
        { "\xc2\x80\xdf\xbf", NULL, "\xc2\x80\xdf\xbf" },
        { "\xe0\xa0\x80\xed\x9f\xbf\xee\x80\x80\xef\xbf\xbf", NULL,
          "\xe0\xa0\x80\xed\x9f\xbf\xee\x80\x80\xef\xbf\xbf" },
        { "\xf0\x90\x80\x80\xf4\x8f\xbf\xbf", NULL,
          "\xf0\x90\x80\x80\xf4\x8f\xbf\xbf" },
        { "\xe2\x80\xa8", NULL, "\xe2\x80\xa8" },
        { "\xff", "?", "?" },
        { "a\x80z", "a?z", "a?z" },
        { "\xc0\xaf", "??", "??" },
        { "\xc1\xbf", "??", "??" },
        { "\xc3", "?", "?" },
        { "\xc3(", "?(", "?(" },
        { "\xc3\xc0", "??", "??" },
        { "\xe2\x82\xc0", "??", "??" },
        { "\xe0\x9f\xbf", "???", "???" },
        { "\xe2\x82", "?", "?" },
        { "\xe2\x82z", "?z", "?z" },
        { "\xe2(\xa1", "?(?", "?(?" },
        { "\xed\xa0\x80", "???", "???" },
        { "\xf0\x8f\xbf\xbf", "????", "????" },
        { "\xf0\x9f\x92", "?", "?" },
        { "\xf0\x9f\x92\xf0\x9f\x92\xa9", "?\xf0\x9f\x92\xa9",
          "?\xf0\x9f\x92\xa9" },
        { "\xf4\x90\x80\x80", "????", "????" },
        { "\xf5\x80\x80\x80", "????", "????" },
        { "\xf8\x88\x80\x80\x80", "?????", "?????" },
        { "\x80\x80\n", "??\n", "??\\n" }
    };

    ngx_memzero(&view, sizeof(ngx_cred_view_t));
    view.pool = unit_pool;

    for (i = 0; i < sizeof(tests) / sizeof(tests[0]); i++) {

        in = unit_bytes(tests[i].in, ngx_strlen(tests[i].in));

        unit_ok(ngx_cred_api_utf8(unit_pool, in, &out) == NGX_OK,
                "utf8: %lu", (unsigned long) i);

        if (tests[i].out == NULL) {
            unit_ok(out.data == in->data && out.len == in->len,
                    "utf8: %lu is kept", (unsigned long) i);

        } else {
            ngx_str_t  expected;
            u_char    *d, buf[64];

            d = buf;

            for (p = (u_char *) tests[i].out; *p; p++) {
                d = (*p == '?') ? ngx_cpymem(d, "\xef\xbf\xbd", 3)
                                : ngx_cpymem(d, p, 1);
            }

            expected.data = buf;
            expected.len = d - buf;

            unit_is(&out, &expected, "utf8: %lu is mended",
                    (unsigned long) i);
        }

        quoted = *unit_repeat('-', NGX_CRED_API_QUOTED_LEN(in->len));

        p = ngx_cred_api_quote(&view, quoted.data, in);

        if (p == NULL) {
            unit_ok(0, "quote: %lu", (unsigned long) i);
            continue;
        }

        quoted.len = p - quoted.data;

        {
            ngx_str_t  expected;
            u_char    *d, buf[64];

            d = buf;
            *d++ = '"';

            for (p = (u_char *) tests[i].json; *p; p++) {
                d = (*p == '?') ? ngx_cpymem(d, "\xef\xbf\xbd", 3)
                                : ngx_cpymem(d, p, 1);
            }

            *d++ = '"';

            expected.data = buf;
            expected.len = d - buf;

            unit_is(&quoted, &expected, "quote: %lu", (unsigned long) i);
        }
    }

    in = unit_bytes("a\0b", 3);
    quoted = *unit_repeat('-', NGX_CRED_API_QUOTED_LEN(3));
    p = ngx_cred_api_quote(&view, quoted.data, in);
    quoted.len = p ? p - quoted.data : 0;
    unit_is(&quoted, unit_string("\"a\\u0000b\""), "quote: zero byte");

    in = unit_repeat(1, 100);
    quoted = *unit_repeat('-', NGX_CRED_API_QUOTED_LEN(100));
    p = ngx_cred_api_quote(&view, quoted.data, in);
    unit_ok(p == quoted.data + quoted.len, "quote: the longest fits");
}


static void
test_json(void)
{
    ngx_str_t  out;

    unit_ok(ngx_cred_api_json(unit_pool, NULL, &out) == NGX_ERROR,
            "json: no memory before");

    unit_ok(ngx_cred_api_json(unit_pool,
                              json_pack("{s:s,s:[i,b],s:{s:n}}",
                                        "z", "\xc3\xa9/", "a", 1, 1, "m",
                                        "n"),
                              &out)
            == NGX_OK, "json");

    unit_is(&out,
            unit_string("{\"z\":\"\xc3\xa9/\",\"a\":[1,true],"
                        "\"m\":{\"n\":null}}"),
            "json: compact, UTF-8, in order");
}


int
main(void)
{
    unit_start();

    test_table();
    test_rules();
    test_slices();
    test_header();
    test_bearer();
    test_check();
    test_extra();
    test_utf8();
    test_json();

    return unit_done();
}
