
/*
 * Copyright (C) ngx_cred_module authors
 * SPDX-License-Identifier: BSD-2-Clause
 */


#include <unit.h>
#include <ngx_cred_connector.h>


#define CONTROL  "\x01\x1f\x7f"


static const char  *test_kinds[] = { "path", "header", "body", "segments" };


static void
test_values(ngx_cred_values_t values)
{
    values[NGX_CRED_PLACE_API] = *unit_string("apinizer");
    values[NGX_CRED_PLACE_SCOPE] = *unit_string("My Project");
    values[NGX_CRED_PLACE_ID] = *unit_string("api-user");
    values[NGX_CRED_PLACE_REVISION] = *unit_string("17");
    values[NGX_CRED_PLACE_OPERATION] =
                              *unit_string("0123456789abcdef0123456789abcdef");
    values[NGX_CRED_PLACE_ENVIRONMENT] = *unit_string("eu.west");
    values[NGX_CRED_PLACE_TARGET] = *unit_string("t-1");
}


/* "OK:" with what came of it, or the error of either step */

static ngx_str_t *
test_run(ngx_cred_template_kind_e kind, ngx_str_t *text,
    ngx_cred_values_t values)
{
    ngx_int_t            rc;
    ngx_str_t            out, err, *copy;
    ngx_cred_template_t  template;

    copy = unit_bytes((char *) text->data, text->len);

    if (ngx_cred_template_parse(unit_pool, copy, kind, &template, &err)
        != NGX_OK)
    {
        return unit_format("parse: %V", &err);
    }

    rc = ngx_cred_template_fill(unit_pool, &template, values, &out, &err);

    if (rc != NGX_OK) {
        return unit_format("%s: %V", rc == NGX_DECLINED ? "fill" : "ERROR",
                           &err);
    }

    return unit_format("OK:%V", &out);
}


static void
test_is(ngx_cred_template_kind_e kind, const char *text, const char *expected)
{
    ngx_str_t          *got;
    ngx_cred_values_t   values;

    test_values(values);

    got = test_run(kind, unit_format("%s", text), values);

    unit_is(got, unit_format("%s", expected), "%s \"%s\"", test_kinds[kind],
            text);
}


static void
test_texts(void)
{
    ngx_uint_t  i;

    static struct {
        ngx_cred_template_kind_e  kind;
        const char               *text;
        const char               *expected;
    } rows[] = {
        { NGX_CRED_TEMPLATE_PATH, "/", "OK:/" },
        { NGX_CRED_TEMPLATE_PATH, "", "OK:" },
        { NGX_CRED_TEMPLATE_PATH, "/a/%2f%C3;b=c?d[]=1&e='()*+,$!@:~_-.",
          "OK:/a/%2f%C3;b=c?d[]=1&e='()*+,$!@:~_-." },
        { NGX_CRED_TEMPLATE_PATH,
          "/{api}/{scope}/{id}/{revision}/{operation}/{environment}/{target}",
          "OK:/apinizer/My%20Project/api-user/17/"
          "0123456789abcdef0123456789abcdef/eu.west/t-1" },
        { NGX_CRED_TEMPLATE_PATH, "{id}{id}x{id}",
          "OK:api-userapi-userxapi-user" },
        { NGX_CRED_TEMPLATE_PATH, "/?a={scope}&b={target}",
          "OK:/?a=My%20Project&b=t-1" },
        { NGX_CRED_TEMPLATE_PATH, "/{ID}",
          "parse: unknown placeholder \"{ID}\"" },
        { NGX_CRED_TEMPLATE_PATH, "/{}", "parse: unknown placeholder \"{}\"" },
        { NGX_CRED_TEMPLATE_PATH, "/{id", "parse: placeholder \"{id\" has no "
          "\"}\"" },
        { NGX_CRED_TEMPLATE_PATH, "/{", "parse: placeholder \"{\" has no "
          "\"}\"" },
        { NGX_CRED_TEMPLATE_PATH, "/{i d}", "parse: placeholder \"{i\" has no "
          "\"}\"" },
        { NGX_CRED_TEMPLATE_PATH, "/{{id}}", "parse: placeholder \"{\" has no "
          "\"}\"" },
        { NGX_CRED_TEMPLATE_PATH,
          "/{a123456789b123456789c123456789d123456789}",
          "parse: unknown placeholder \"{a123456789b123456789c123456789d1}\"" },
        { NGX_CRED_TEMPLATE_PATH, "/}",
          "parse: invalid character 0x7d in a path" },
        { NGX_CRED_TEMPLATE_PATH, "/a b",
          "parse: invalid character 0x20 in a path" },
        { NGX_CRED_TEMPLATE_PATH, "/a#b",
          "parse: invalid character 0x23 in a path" },
        { NGX_CRED_TEMPLATE_PATH, "/a\nb",
          "parse: invalid character 0x0a in a path" },
        { NGX_CRED_TEMPLATE_PATH, "/\xc3\xa9",
          "parse: invalid character 0xc3 in a path" },
        { NGX_CRED_TEMPLATE_PATH, "/%2",
          "parse: invalid character 0x25 in a path" },
        { NGX_CRED_TEMPLATE_PATH, "/%2g",
          "parse: invalid character 0x25 in a path" },
        { NGX_CRED_TEMPLATE_PATH, "/%{id}",
          "parse: invalid character 0x25 in a path" },
        { NGX_CRED_TEMPLATE_SEGMENTS, "/{id}", "OK:/api-user" },
        { NGX_CRED_TEMPLATE_SEGMENTS, "/{x}",
          "parse: unknown placeholder \"{x}\"" },
        { NGX_CRED_TEMPLATE_SEGMENTS, "/{",
          "parse: placeholder \"{\" has no \"}\"" },

        { NGX_CRED_TEMPLATE_HEADER, "Bearer x", "OK:Bearer x" },
        { NGX_CRED_TEMPLATE_HEADER, "", "OK:" },
        { NGX_CRED_TEMPLATE_HEADER,
          "{api} {scope} {id} {revision} {operation} {environment} {target}",
          "OK:apinizer My Project api-user 17 "
          "0123456789abcdef0123456789abcdef eu.west t-1" },
        { NGX_CRED_TEMPLATE_HEADER, "{ } {} } {\"a\"} \xc3\xa9\t{",
          "OK:{ } {} } {\"a\"} \xc3\xa9\t{" },
        { NGX_CRED_TEMPLATE_HEADER, "{ident}",
          "parse: unknown placeholder \"{ident}\"" },
        { NGX_CRED_TEMPLATE_HEADER, "a\r\nb",
          "parse: invalid character 0x0d in a header" },
        { NGX_CRED_TEMPLATE_HEADER, "a\x7f",
          "parse: invalid character 0x7f in a header" },

        { NGX_CRED_TEMPLATE_BODY, "", "OK:" },
        { NGX_CRED_TEMPLATE_BODY, "{}", "OK:{}" },
        { NGX_CRED_TEMPLATE_BODY, "[true, 1, \"{}\", \"{ id}\"]",
          "OK:[true, 1, \"{}\", \"{ id}\"]" },
        { NGX_CRED_TEMPLATE_BODY,
          "{\"a\":[\"{api}\",\"{scope}\",\"{id}\",\"{revision}\",{revision},"
          "\"{operation}\",\"{environment}\",\"-{target}-\"]}",
          "OK:{\"a\":[\"apinizer\",\"My Project\",\"api-user\",\"17\",17,"
          "\"0123456789abcdef0123456789abcdef\",\"eu.west\",\"-t-1-\"]}" },
        { NGX_CRED_TEMPLATE_BODY, "{\"{id}\":\"\\\"{id}\\\\\"}",
          "OK:{\"api-user\":\"\\\"api-user\\\\\"}" },
        { NGX_CRED_TEMPLATE_BODY, "{\"a\":{id}}",
          "parse: placeholder \"{id}\" must be inside a JSON string" },
        { NGX_CRED_TEMPLATE_BODY, "{\"a\\\\\":{id},\"\":\"\"}",
          "parse: placeholder \"{id}\" must be inside a JSON string" },
        { NGX_CRED_TEMPLATE_BODY, "{id}",
          "parse: placeholder \"{id}\" must be inside a JSON string" },
        { NGX_CRED_TEMPLATE_BODY, "{\"a\":\"{user}\"}",
          "parse: unknown placeholder \"{user}\"" },
        { NGX_CRED_TEMPLATE_BODY, "{user}",
          "parse: unknown placeholder \"{user}\"" }
    };

    for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        test_is(rows[i].kind, rows[i].text, rows[i].expected);
    }
}


/* no JSON: what jansson says of it is its own */

static void
test_json(void)
{
    ngx_uint_t          i;
    ngx_str_t          *got;
    ngx_cred_values_t   values;

    static const char  *texts[] = {
        "id=x", " ", "{", "{\"a\":\"{id}\"", "{\"a\":\"{id}}", "\"\\{id}\"",
        "\"\\u00{id}\"", "{\"a\":0{revision}}", "[{revision}{revision}]",
        "[{revision}5]", "{\"a\":1,\"a\":1}", "{\"a\":\"\n\"}", "\"\xff\"",
        "{} {}", "{\"{revision}\"}"
    };

    test_values(values);

    for (i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {

        got = test_run(NGX_CRED_TEMPLATE_BODY, unit_format("%s", texts[i]),
                       values);

        unit_ok(got->len > 28
                && ngx_strncmp(got->data, "parse: a body must be JSON: ", 28)
                   == 0,
                "no JSON: \"%s\"", texts[i]);
    }
}


/* whoever may create a credential chooses its id */

static void
test_hostile(void)
{
    ngx_str_t           text, *expected;
    ngx_uint_t          i, place, kind;
    ngx_cred_values_t   values;

    static const char  *names[] = {
        "api", "scope", "id", "revision", "operation", "environment", "target"
    };

    static const char  *empty[] = {
        "is empty", "is empty", "is empty", "is empty", "is empty", "is empty",
        "is empty: the credential has no target in this environment"
    };

    /* without an error: what comes of it */

    static struct {
        ngx_str_t                 value;
        const char               *text[4];
        const char               *error[4];
    } rows[] = {
        { ngx_string(""),
          { NULL, NULL, NULL, NULL },
          { "", "", "", "" } },
        { ngx_string("a\0b"),
          { NULL, NULL, NULL, NULL },
          { "has a zero byte", "has a zero byte", "has a zero byte",
            "has a zero byte" } },
        { ngx_string("a/b?c#d%e&f=g+h;i"),
          { "a%2Fb%3Fc%23d%25e%26f%3Dg%2Bh%3Bi", "a/b?c#d%e&f=g+h;i",
            "a/b?c#d%e&f=g+h;i", NULL },
          { NULL, NULL, NULL, "has a \"/\" or \"\\\"" } },
        { ngx_string("a\\b"),
          { "a%5Cb", "a\\b", "a\\\\b", NULL },
          { NULL, NULL, NULL, "has a \"/\" or \"\\\"" } },
        { ngx_string("."),
          { NULL, ".", ".", NULL },
          { "has \".\" or \"..\" as a segment", NULL, NULL,
            "has \".\" or \"..\" as a segment" } },
        { ngx_string(".."),
          { NULL, "..", "..", NULL },
          { "has \".\" or \"..\" as a segment", NULL, NULL,
            "has \".\" or \"..\" as a segment" } },
        { ngx_string("a/../b"),
          { NULL, "a/../b", "a/../b", NULL },
          { "has \".\" or \"..\" as a segment", NULL, NULL,
            "has a \"/\" or \"\\\"" } },
        { ngx_string("..\\b"),
          { NULL, "..\\b", "..\\\\b", NULL },
          { "has \".\" or \"..\" as a segment", NULL, NULL,
            "has a \"/\" or \"\\\"" } },
        { ngx_string("a/b/."),
          { NULL, "a/b/.", "a/b/.", NULL },
          { "has \".\" or \"..\" as a segment", NULL, NULL,
            "has a \"/\" or \"\\\"" } },
        { ngx_string("..."),
          { "...", "...", "...", "..." },
          { NULL, NULL, NULL, NULL } },
        { ngx_string(".a/..b/c."),
          { ".a%2F..b%2Fc.", ".a/..b/c.", ".a/..b/c.", NULL },
          { NULL, NULL, NULL, "has a \"/\" or \"\\\"" } },
        { ngx_string("%2e%2e"),
          { "%252e%252e", "%2e%2e", "%2e%2e", "%252e%252e" },
          { NULL, NULL, NULL, NULL } },
        { ngx_string("a\r\nHost: b"),
          { "a%0D%0AHost%3A%20b", NULL, "a\\r\\nHost: b",
            "a%0D%0AHost%3A%20b" },
          { NULL, "has a control character", NULL, NULL } },
        { ngx_string(CONTROL),
          { "%01%1F%7F", NULL, "\\u0001\\u001F\x7f", "%01%1F%7F" },
          { NULL, "has a control character", NULL, NULL } },
        { ngx_string("a\tb"),
          { "a%09b", NULL, "a\\tb", "a%09b" },
          { NULL, "has a control character", NULL, NULL } },
        { ngx_string(" a"),
          { "%20a", NULL, " a", "%20a" },
          { NULL, "begins or ends with a space", NULL, NULL } },
        { ngx_string("a "),
          { "a%20", NULL, "a ", "a%20" },
          { NULL, "begins or ends with a space", NULL, NULL } },
        { ngx_string("\",\"x\":\"'"),
          { "%22%2C%22x%22%3A%22%27", "\",\"x\":\"'",
            "\\\",\\\"x\\\":\\\"'", "%22%2C%22x%22%3A%22%27" },
          { NULL, NULL, NULL, NULL } },
        { ngx_string("{target}"),
          { "%7Btarget%7D", "{target}", "{target}", "%7Btarget%7D" },
          { NULL, NULL, NULL, NULL } },
        { ngx_string("\xc3\xa9\xf0\x9f\x98\x80"),
          { "%C3%A9%F0%9F%98%80", "\xc3\xa9\xf0\x9f\x98\x80",
            "\xc3\xa9\xf0\x9f\x98\x80", "%C3%A9%F0%9F%98%80" },
          { NULL, NULL, NULL, NULL } },
        { ngx_string("\xff"),
          { "%FF", "\xff", NULL, "%FF" },
          { NULL, NULL, "is not valid UTF-8", NULL } },
        { ngx_string("a\xc3"),
          { "a%C3", "a\xc3", NULL, "a%C3" },
          { NULL, NULL, "is not valid UTF-8", NULL } },
        { ngx_string("\xc0\xaf"),
          { "%C0%AF", "\xc0\xaf", NULL, "%C0%AF" },
          { NULL, NULL, "is not valid UTF-8", NULL } },
        { ngx_string("\xed\xa0\x80"),
          { "%ED%A0%80", "\xed\xa0\x80", NULL, "%ED%A0%80" },
          { NULL, NULL, "is not valid UTF-8", NULL } }
    };

    for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {

        for (place = 0; place < NGX_CRED_NPLACES; place++) {

            test_values(values);
            values[place] = *unit_bytes((char *) rows[i].value.data,
                                        rows[i].value.len);

            for (kind = 0; kind < 4; kind++) {

                text = *unit_format(kind == NGX_CRED_TEMPLATE_BODY
                                    ? "\"<{%s}>\"" : "(({%s}))",
                                    names[place]);

                if (rows[i].error[kind] == NULL) {
                    expected = unit_format(kind == NGX_CRED_TEMPLATE_BODY
                                           ? "OK:\"<%s>\"" : "OK:((%s))",
                                           rows[i].text[kind]);
                } else {
                    expected = unit_format("fill: placeholder \"{%s}\" %s",
                                           names[place],
                                           rows[i].value.len
                                           ? rows[i].error[kind]
                                           : empty[place]);
                }

                if (kind == NGX_CRED_TEMPLATE_BODY
                    && place == NGX_CRED_PLACE_REVISION
                    && i >= 2)
                {
                    expected = unit_string("fill: placeholder \"{revision}\" "
                                           "is not a number");
                }

                unit_is(test_run(kind, &text, values), expected,
                        "%s, row %d, {%s}", test_kinds[kind], (int) i,
                        names[place]);
            }
        }
    }
}


static void
test_revisions(void)
{
    ngx_str_t           text;
    ngx_uint_t          i;
    ngx_cred_values_t   values;

    static struct {
        const char  *revision;
        ngx_uint_t   ok;
    } rows[] = {
        { "0", 1 }, { "10", 1 }, { "18446744073709551615", 1 }, { "00", 0 },
        { "017", 0 }, { "-1", 0 }, { "1.5", 0 }, { "1,\"a\":1", 0 }
    };

    ngx_str_set(&text, "[{revision}]");

    test_values(values);

    for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {

        values[NGX_CRED_PLACE_REVISION] = *unit_format("%s", rows[i].revision);

        unit_is(test_run(NGX_CRED_TEMPLATE_BODY, &text, values),
                rows[i].ok ? unit_format("OK:[%s]", rows[i].revision)
                           : unit_string("fill: placeholder \"{revision}\" is "
                                         "not a number"),
                "revision \"%s\" in a body", rows[i].revision);
    }
}


static void
test_lengths(void)
{
    ngx_int_t            rc;
    ngx_str_t            out, err, text;
    ngx_uint_t           kind;
    ngx_cred_values_t    values;
    ngx_cred_template_t  template;

    static size_t  max[] = { 8192, 8192, 65536, 8192 };

    test_values(values);

    for (kind = 0; kind < 4; kind++) {

        if (kind == NGX_CRED_TEMPLATE_BODY) {
            ngx_str_set(&text, "\"{id}\"");

        } else {
            ngx_str_set(&text, "/.{id}");
        }

        rc = ngx_cred_template_parse(unit_pool, &text, kind, &template, &err);

        unit_ok(rc == NGX_OK && template.kind == kind
                && template.places == 1 << NGX_CRED_PLACE_ID,
                "%s: its kind and places", test_kinds[kind]);

        values[NGX_CRED_PLACE_ID] = *unit_repeat('x', max[kind] - 2);

        rc = ngx_cred_template_fill(unit_pool, &template, values, &out, &err);

        unit_ok(rc == NGX_OK && out.len == max[kind],
                "%s: as long as can be", test_kinds[kind]);

        values[NGX_CRED_PLACE_ID].len = 0;
        values[NGX_CRED_PLACE_ID] = *unit_repeat('x', max[kind] - 1);

        rc = ngx_cred_template_fill(unit_pool, &template, values, &out, &err);

        unit_ok(rc == NGX_DECLINED, "%s: too long", test_kinds[kind]);
        unit_is(&err, unit_format("the %s is longer than %uz bytes",
                                  kind == 3 ? "path" : test_kinds[kind],
                                  max[kind]),
                "%s: error", test_kinds[kind]);
    }
}


int
main(void)
{
    unit_start();

    test_texts();
    test_json();
    test_hostile();
    test_revisions();
    test_lengths();

    return unit_done();
}
