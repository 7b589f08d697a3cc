
/*
 * Copyright (C) ngx_cred_module authors
 * SPDX-License-Identifier: BSD-2-Clause
 */


#include <unit.h>
#include <ngx_cred_fields.h>


#define TRACE   "4bf92f3577b34da6a3ce929d0e0e4736"
#define PARENT  "00f067aa0ba902b7"


static void
test_wait(void)
{
    ngx_int_t    rc;
    ngx_str_t   *value;
    ngx_uint_t   i, seconds;

    static struct {
        const char  *value;
        ngx_int_t    rc;
        ngx_uint_t   seconds;
    } tests[] = {
        { "wait=10", NGX_OK, 10 },
        { "wait=0", NGX_OK, 0 },
        { "wait=007", NGX_OK, 7 },
        { "WAIT=1", NGX_OK, 1 },
        { "wAiT=1", NGX_OK, 1 },
        { "wait = 2", NGX_OK, 2 },
        { "\t wait\t=\t2 \t", NGX_OK, 2 },
        { "wait=\"3\"", NGX_OK, 3 },
        { "wait=\"\\3\\0\"", NGX_OK, 30 },
        { "wait=4;", NGX_OK, 4 },
        { "wait=4 ; foo", NGX_OK, 4 },
        { "wait=4; foo=\"bar, wait=5\"; x", NGX_OK, 4 },
        { "wait=4,", NGX_OK, 4 },
        { ",, ,wait=4", NGX_OK, 4 },
        { "respond-async, wait=5", NGX_OK, 5 },
        { "respond-async,wait=5,return=minimal", NGX_OK, 5 },
        { "foo=\"a, wait=1\", wait=5", NGX_OK, 5 },
        { "foo=\"a\\\", wait=1\", wait=5", NGX_OK, 5 },
        { "foo; wait=1, wait=5", NGX_OK, 5 },
        { "foo=; wait=1, wait=5", NGX_OK, 5 },
        { "wait=100000", NGX_OK, NGX_CRED_FIELDS_WAIT_MAX },
        { "wait=100001", NGX_OK, NGX_CRED_FIELDS_WAIT_MAX },
        { "wait=99999999999999999999999999", NGX_OK,
          NGX_CRED_FIELDS_WAIT_MAX },

        /* the first one counts */

        { "wait=5, wait=6", NGX_OK, 5 },
        { "wait, wait=6", NGX_ABORT, 0 },
        { "wait", NGX_ABORT, 0 },
        { "wait;", NGX_ABORT, 0 },
        { "wait=\"\"", NGX_ABORT, 0 },
        { "wait=x, wait=6", NGX_ABORT, 0 },
        { "wait=-1", NGX_ABORT, 0 },
        { "wait=+1", NGX_ABORT, 0 },
        { "wait=1.5", NGX_ABORT, 0 },
        { "wait=1s", NGX_ABORT, 0 },
        { "wait=0x1", NGX_ABORT, 0 },
        { "wait=\"1 \"", NGX_ABORT, 0 },
        { "wait=99999999999999999999999999x", NGX_ABORT, 0 },

        /* what is none is ignored */

        { "", NGX_DECLINED, 0 },
        { " ", NGX_DECLINED, 0 },
        { ",", NGX_DECLINED, 0 },
        { "=", NGX_DECLINED, 0 },
        { "=5", NGX_DECLINED, 0 },
        { "wait=", NGX_DECLINED, 0 },
        { "wait=,wait=6", NGX_OK, 6 },
        { "wait=5 6, wait=7", NGX_OK, 7 },
        { "wait=5\"6\", wait=7", NGX_OK, 7 },
        { "wait=\"5", NGX_DECLINED, 0 },
        { "wait=\"5, wait=6", NGX_DECLINED, 0 },
        { "wait=\"5\\", NGX_DECLINED, 0 },
        { "wait=\"5\\\"", NGX_DECLINED, 0 },
        { "\"wait\"=5", NGX_DECLINED, 0 },
        { "wait:5", NGX_DECLINED, 0 },
        { "wait 5", NGX_DECLINED, 0 },
        { "awaits=5", NGX_DECLINED, 0 },
        { "waits=5", NGX_DECLINED, 0 },
        { "wai=5", NGX_DECLINED, 0 },
        { "foo=wait=5", NGX_DECLINED, 0 },
        { "foo; wait=5", NGX_DECLINED, 0 },
        { "\x01wait=5", NGX_DECLINED, 0 },
        { "\xff, wait=5", NGX_OK, 5 },
        { "\"", NGX_DECLINED, 0 },
        { "\"\\", NGX_DECLINED, 0 }
    };

    for (i = 0; i < sizeof(tests) / sizeof(tests[0]); i++) {
        value = unit_bytes(tests[i].value, ngx_strlen(tests[i].value));
        seconds = 0;

        rc = ngx_cred_fields_wait(value, &seconds);

        unit_ok(rc == tests[i].rc && (rc != NGX_OK
                                      || seconds == tests[i].seconds),
                "wait: %s", tests[i].value);
    }

    seconds = 0;

    unit_ok(ngx_cred_fields_wait(unit_repeat(',', 100000), &seconds)
            == NGX_DECLINED, "wait: many commas");
    unit_ok(ngx_cred_fields_wait(unit_repeat('"', 100001), &seconds)
            == NGX_DECLINED, "wait: many quotes");
    unit_ok(ngx_cred_fields_wait(unit_bytes("wait=\0", 6), &seconds)
            == NGX_DECLINED, "wait: a zero byte");
}


static void
test_traceparent(void)
{
    u_char      *p;
    ngx_uint_t   i;

    static struct {
        const char  *value;
        ngx_int_t    rc;
    } tests[] = {
        { "00-" TRACE "-" PARENT "-01", NGX_OK },
        { "00-" TRACE "-" PARENT "-00", NGX_OK },
        { "00-" TRACE "-" PARENT "-ff", NGX_OK },
        { "01-" TRACE "-" PARENT "-01", NGX_DECLINED },
        { "ff-" TRACE "-" PARENT "-01", NGX_DECLINED },
        { "00-" TRACE "-" PARENT "-1", NGX_DECLINED },
        { "00-" TRACE "-" PARENT "-011", NGX_DECLINED },
        { "00-" TRACE "-" PARENT "-0G", NGX_DECLINED },
        { "00-" TRACE "-" PARENT "-0A", NGX_DECLINED },
        { "00-00000000000000000000000000000000-" PARENT "-01", NGX_DECLINED },
        { "00-" TRACE "-0000000000000000-01", NGX_DECLINED },
        { "00-00000000000000000000000000000001-0000000000000001-00", NGX_OK },
        { "00 " TRACE "-" PARENT "-01", NGX_DECLINED },
        { "00-" TRACE "0" PARENT "-01", NGX_DECLINED },
        { "00-" TRACE "-" PARENT "_01", NGX_DECLINED },
        { "", NGX_DECLINED }
    };

    for (i = 0; i < sizeof(tests) / sizeof(tests[0]); i++) {
        unit_ok(ngx_cred_fields_traceparent(
                    unit_bytes(tests[i].value, ngx_strlen(tests[i].value)))
                == tests[i].rc, "traceparent: %s", tests[i].value);
    }

    /* each byte counts */

    for (i = 0; i < 55; i++) {
        p = unit_string("00-" TRACE "-" PARENT "-01")->data;
        p[i] = 'x';

        unit_ok(ngx_cred_fields_traceparent(unit_bytes((char *) p, 55))
                == NGX_DECLINED, "traceparent: byte %d", (int) i);
    }
}


static void
test_revision(void)
{
    ngx_uint_t  i;

    static struct {
        const char  *value;
        ngx_int_t    rc;
    } tests[] = {
        { "0", NGX_OK },
        { "7", NGX_OK },
        { "007", NGX_OK },
        { "1234567890", NGX_OK },
        { "18446744073709551616", NGX_OK },
        { "99999999999999999999", NGX_OK },
        { "00000000000000000000", NGX_OK },
        { "100000000000000000000", NGX_DECLINED },
        { "000000000000000000001", NGX_DECLINED },
        { "", NGX_DECLINED },
        { " ", NGX_DECLINED },
        { " 7", NGX_DECLINED },
        { "7 ", NGX_DECLINED },
        { "7\t", NGX_DECLINED },
        { "7\n", NGX_DECLINED },
        { "+7", NGX_DECLINED },
        { "-7", NGX_DECLINED },
        { "-0", NGX_DECLINED },
        { "7.0", NGX_DECLINED },
        { "7,", NGX_DECLINED },
        { "7, 7", NGX_DECLINED },
        { "0x7", NGX_DECLINED },
        { "7e1", NGX_DECLINED },
        { "7:", NGX_DECLINED },
        { "/7", NGX_DECLINED },
        { "\"7\"", NGX_DECLINED },
        { "\xd9\xa3", NGX_DECLINED },
        { "*", NGX_DECLINED }
    };

    for (i = 0; i < sizeof(tests) / sizeof(tests[0]); i++) {
        unit_ok(ngx_cred_fields_revision(
                    unit_bytes(tests[i].value, ngx_strlen(tests[i].value)))
                == tests[i].rc, "revision: %s", tests[i].value);
    }

    unit_ok(ngx_cred_fields_revision(unit_bytes("7\0", 2)) == NGX_DECLINED,
            "revision: a zero byte");
    unit_ok(ngx_cred_fields_revision(unit_repeat('7', 100000))
            == NGX_DECLINED, "revision: many digits");
}


int
main(void)
{
    unit_start();

    test_wait();
    test_traceparent();
    test_revision();

    return unit_done();
}
