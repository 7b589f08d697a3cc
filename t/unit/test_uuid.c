
/*
 * Copyright (C) ngx_cred_module authors
 * SPDX-License-Identifier: BSD-2-Clause
 */


#include <unit.h>
#include <ngx_cred_uuid.h>
#include <stdio.h>


#define CHARACTER                                                             \
    "invalid character: expected an optional prefix of `urn:uuid:` followed " \
    "by [0-9a-fA-F-], "


static void
test_row(ngx_str_t *text, ngx_uint_t ok, ngx_str_t *expected)
{
    ngx_int_t   rc;
    ngx_str_t   got, *exact;
    u_char      uuid[NGX_CRED_UUID_LEN], error[NGX_CRED_UUID_ERROR_LEN];

    exact = unit_bytes((char *) text->data, text->len);

    rc = ngx_cred_uuid_parse(exact, uuid, error, &got.len);

    unit_ok(rc == (ok ? NGX_OK : NGX_DECLINED), "%s: \"%.*s\"",
            ok ? "UUID" : "no UUID", (int) text->len, text->data);

    got.data = error;

    if (rc == NGX_OK) {
        got.data = uuid;
        got.len = NGX_CRED_UUID_LEN;
    }

    unit_is(&got, expected, "%s of \"%.*s\"", ok ? "spelling" : "error",
            (int) text->len, text->data);
}


/* what the documented service answers */

static void
test_table(void)
{
    FILE       *file;
    char       *p, line[1024];
    ngx_str_t   text, expected;
    ngx_uint_t  rows;

    file = fopen(UNIT_DATA "/uuid-errors.tsv", "r");

    if (file == NULL) {
        unit_ok(0, "open %s", UNIT_DATA "/uuid-errors.tsv");
        return;
    }

    for (rows = 0; fgets(line, sizeof(line), file) != NULL; rows++) {

        p = strchr(line, '\t');

        if (p == NULL) {
            break;
        }

        text.data = (u_char *) p + 1;

        p = strchr(p + 1, '\t');

        if (p == NULL) {
            break;
        }

        text.len = (u_char *) p - text.data;

        expected.data = (u_char *) p + 1;
        expected.len = strcspn(p + 1, "\n");

        test_row(&text, line[0] == 'O', &expected);
    }

    unit_ok(feof(file) && rows >= 19, "%lu rows", (unsigned long) rows);

    fclose(file);
}


/* more by the same rules */

static void
test_more(void)
{
    ngx_uint_t  i;
    ngx_str_t  *text, *expected;

    static const char  *good[] = {
        "550E8400-E29B-41D4-A716-446655440000",
        "550e8400-E29b-41D4-a716-446655440000",
        "550E8400E29B41D4A716446655440000",
        "{550e8400-e29b-41d4-a716-446655440000}",
        "{550E8400-E29B-41D4-A716-446655440000}",
        "urn:uuid:550E8400-e29b-41d4-A716-446655440000"
    };

    static const char  *bad[][2] = {
        { "", "invalid length: expected length 32 for simple format, found 0" },
        { "{}", "invalid group count: expected 5, found 1" },
        { "}", CHARACTER "found `}` at 1" },
        { "-", "invalid group count: expected 5, found 2" },
        { "----", "invalid group length in group 0: expected 8, found 0" },
        { "{----}", "invalid group length in group 0: expected 8, found 0" },
        { "{550e8400-e29b-41d4-a716-44665544000}",
          "invalid group length in group 4: expected 12, found 13" },
        { "{550e8400-e29b-41d4-a716-4466554400000}",
          "invalid group length in group 4: expected 12, found 15" },
        { "urn:uuid:550e8400-e29b-41d4-a716-4466554400000",
          "invalid group length in group 4: expected 12, found 22" },
        { "550e8400-e29b-41d4-a716-44665544000",
          "invalid group length in group 4: expected 12, found 11" },
        { "550e840-e29b-41d4-a716-446655440000",
          "invalid group length in group 0: expected 8, found 7" },
        { "550e840-0e29b-41d4-a716-446655440000",
          "invalid group length in group 0: expected 8, found 7" },
        { "550e8400-e29-41d4-a716-446655440000",
          "invalid group length in group 1: expected 4, found 3" },
        { "550e8400-e29b-41d4-a7166-44665544000",
          "invalid group length in group 3: expected 4, found 5" },
        { "550e8400-e29b41d4-a716446655440000",
          "invalid group count: expected 5, found 3" },
        { "-50e8400e29b41d4a716446655440000",
          "invalid group count: expected 5, found 2" },
        { "{550e8400e29b41d4a7164466554400000000}",
          "invalid length: expected length 32 for simple format, found 36" },
        { "urn:uuid:550e8400e29b41d4a71644665544000000000",
          "invalid group count: expected 5, found 1" },
        { "urn:uuid:550e8400e29b41d4a7164466554400000000",
          "invalid length: expected length 32 for simple format, found 36" },
        { "urn:uuid:550e8400e29b41d4a716446655440000",
          "invalid group count: expected 5, found 1" },
        { "URN:UUID:550e8400-e29b-41d4-a716-446655440000",
          CHARACTER "found `U` at 1" },
        { "urn:550e8400-e29b-41d4-a716-446655440000",
          CHARACTER "found `u` at 1" },
        { "urn:uuid", CHARACTER "found `u` at 1" },
        { "550e8400-e29b-41d4-a716-446655440000}",
          CHARACTER "found `}` at 37" },
        { "{{550e8400-e29b-41d4-a716-446655440000}}",
          CHARACTER "found `{` at 2" },
        { "{{50e8400-e29b-41d4-a716-44665544000}}",
          "invalid group length in group 0: expected 8, found 7" },
        { "{g50e8400-e29b-41d4-a716-446655440000}",
          CHARACTER "found `g` at 1" },
        { "{g50e8400-e29b-41d4-a716-44665544000}",
          CHARACTER "found `g` at 2" },
        { "urn:uuid:g50e8400-e29b-41d4-a716-44665544000",
          CHARACTER "found `g` at 10" },
        { "urn:uuid:{50e8400-e29b-41d4-a716-44665544000}",
          "invalid group length in group 0: expected 8, found 7" },
        { "{urn:uuid:550e8400-e29b-41d4-a716-446655440000}",
          CHARACTER "found `u` at 2" },
        { " 550e8400-e29b-41d4-a716-446655440000",
          CHARACTER "found ` ` at 1" },
        { "550e8400_e29b_41d4_a716_446655440000",
          CHARACTER "found `_` at 9" },
        { "550e8400\xe2\x80\x94" "e29b\xe2\x80\x94" "41d4",
          CHARACTER "found `\xe2\x80\x94` at 9" },
        { "0\xf0\x9f\x94\x91", CHARACTER "found `\xf0\x9f\x94\x91` at 2" },
        { "\xc4\xb0", CHARACTER "found `\xc4\xb0` at 1" },
        { "\xef\xbf\xbd", CHARACTER "found `\xef\xbf\xbd` at 1" },
        { "0123456789\xc3\xa9" "123456789012345678901",
          CHARACTER "found `\xc3\xa9` at 11" },
        { "`", CHARACTER "found ``` at 1" },
        { "%", CHARACTER "found `%` at 1" },
        { "/", CHARACTER "found `/` at 1" },
        { ":", CHARACTER "found `:` at 1" },
        { "@", CHARACTER "found `@` at 1" },
        { "G", CHARACTER "found `G` at 1" },
        { "g", CHARACTER "found `g` at 1" }
    };

    expected = unit_string("550e8400-e29b-41d4-a716-446655440000");

    for (i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        text = unit_bytes(good[i], ngx_strlen(good[i]));
        test_row(text, 1, expected);
    }

    for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        text = unit_bytes(bad[i][0], ngx_strlen(bad[i][0]));
        expected = unit_bytes(bad[i][1], ngx_strlen(bad[i][1]));
        test_row(text, 0, expected);
    }

    test_row(unit_string("01234567-89AB-CDEF-abcd-ef0123456789"), 1,
             unit_string("01234567-89ab-cdef-abcd-ef0123456789"));
    test_row(unit_repeat('0', 4000), 0,
             unit_string("invalid length: expected length 32 for simple "
                         "format, found 4000"));
    test_row(unit_repeat('-', 4000), 0,
             unit_string("invalid group count: expected 5, found 4001"));
    test_row(unit_repeat(0xbf, 4000), 0,
             unit_string(CHARACTER "found `\xbf\xbf\xbf\xbf` at 1"));
}


int
main(void)
{
    unit_start();

    test_table();
    test_more();

    return unit_done();
}
