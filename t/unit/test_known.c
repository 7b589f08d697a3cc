
/*
 * Copyright (C) ngx_cred_module authors
 * SPDX-License-Identifier: BSD-2-Clause
 */


#include <unit.h>
#include <ngx_cred_undeployment.h>


#define TRACE  "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


static void
test_good(ngx_str_t *known, ngx_str_t *expected)
{
    ngx_str_t         *got;
    ngx_cred_known_t   is;

    if (ngx_cred_known(known, &is) != NGX_OK) {
        unit_ok(0, "good: \"%.*s\"", (int) known->len, known->data);
        return;
    }

    got = unit_format("%L|%L|%V|%V", is.unclear, is.heard, &is.trace,
                      &is.target);

    unit_is(got, expected, "\"%.*s\"", (int) known->len, known->data);
}


static void
test_bad(ngx_str_t *known)
{
    ngx_cred_known_t  is;

    unit_ok(ngx_cred_known(known, &is) == NGX_ERROR,
            "malformed: \"%.*s\"", (int) known->len, known->data);
}


static void
test_known(void)
{
    size_t      len;
    ngx_str_t  *s;
    ngx_uint_t  i;

    static const char  *good[][2] = {
        { "", "0|0||" },
        { "0 0 - ", "0|0||" },
        { "0 0 - x", "0|0||x" },
        { "0 7 - x", "0|7||x" },
        { "7 999999999999999 - ", "7|999999999999999||" },
        { "0 0 -  ", "0|0|| " },
        { "0 0 - a b  c ", "0|0||a b  c " },
        { "1795364555490 0 - x", "1795364555490|0||x" },
        { "999999999999999 0 " TRACE " x", "999999999999999|0|" TRACE "|x" },
        { "0 0 " TRACE " ", "0|0|" TRACE "|" },
        { "0 0 - \r\n\t\"", "0|0||\r\n\t\"" }
    };

    static const char  *bad[] = {
        " ", "  ", "0", "0 ", "0 -", "-", "x", " - ", "  - ", "0  - ", " 0 - ",
        "0  ", "00 - ", "01 - ", "-1 - ", "+1 - ", "1.5 - ", "1e3 - ", "0x1 - ",
        "1000000000000000 - ", "99999999999999999999 - ", "- - ", "0 -- ",
        "0 x ", "0 00 ", "0\t- ", "0 -\tx", "0\n- x",
        "0 0 " TRACE, "0 0 " TRACE "0 ", "0 0 " TRACE "-00 ",
        "0 0 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-0 ",
        "0 0 00-4BF92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01 ",
        "0 0 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-0g ",
        "0 0 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7\r\n1 ",
        "0 0 /0-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01 ",
        "0 0 :0-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01 ",
        "0 0 `0-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01 "
    };

    for (i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        s = unit_bytes(good[i][0], ngx_strlen(good[i][0]));
        test_good(s, unit_bytes(good[i][1], ngx_strlen(good[i][1])));
    }

    for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        test_bad(unit_bytes(bad[i], ngx_strlen(bad[i])));
    }

    test_bad(unit_string("0 0\0- x"));
    test_bad(unit_string("0 0 \0 x"));

    test_good(unit_string("0 0 - \0\xff"), unit_string("0|0||\0\xff"));
    test_good(unit_format("0 0 - %V", unit_repeat('x', 512)),
              unit_format("0|0||%V", unit_repeat('x', 512)));
    test_bad(unit_format("0 0 - %V", unit_repeat('x', 513)));

    /* cut anywhere */

    s = unit_string("1795364555490 1795364555490 " TRACE " x");

    for (len = 1; len < s->len - 1; len++) {
        test_bad(unit_bytes((char *) s->data, len));
    }
}


static void
test_how(void)
{
    ngx_str_t                 how;
    ngx_uint_t                i;
    ngx_cred_undeployment_t  *u;

    static const struct {
        ngx_cred_state_e   state;
        ngx_msec_t         due;
        ngx_uint_t         unclear;
        ngx_uint_t         heard;
        ngx_uint_t         unattempted;
        const char        *how;
    } rows[] = {
        { NGX_CRED_PENDING, NGX_CRED_DUE_BACKOFF, 0, 0, 0, "" },
        { NGX_CRED_PENDING, 0, 0, 0, 0, "due=0" },
        { NGX_CRED_PENDING, 604800000, 0, 0, 0, "due=604800000" },
        { NGX_CRED_PENDING, NGX_CRED_DUE_BACKOFF, 1, 0, 0, "unclear" },
        { NGX_CRED_PENDING, NGX_CRED_DUE_BACKOFF, 0, 1, 0, "heard" },
        { NGX_CRED_PENDING, 9, 1, 1, 0, "due=9 unclear heard" },
        { NGX_CRED_PENDING, NGX_CRED_DUE_BACKOFF, 0, 0, 1, "unattempted" },
        { NGX_CRED_PENDING, 0, 0, 0, 1, "due=0 unattempted" },
        { NGX_CRED_PENDING, 7, 1, 0, 1, "due=7 unclear unattempted" },
        { NGX_CRED_UNDEPLOYED, 7, 1, 0, 1, "" },
        { NGX_CRED_NOT_DEPLOYED, 7, 1, 0, 1, "" },
        { NGX_CRED_SUPERSEDED, 7, 1, 0, 1, "" },
        { NGX_CRED_UNREGISTERED, 0, 1, 0, 1, "" }
    };

    for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        u = ngx_pcalloc(unit_pool, sizeof(ngx_cred_undeployment_t));

        u->state = rows[i].state;
        u->due = rows[i].due;
        u->unclear_now = rows[i].unclear;
        u->heard_now = rows[i].heard;
        u->unattempted = rows[i].unattempted;

        ngx_cred_known_how(u, &how);

        unit_is(&how, unit_bytes(rows[i].how, ngx_strlen(rows[i].how)),
                "how, %lu: \"%s\"", (unsigned long) i, rows[i].how);
    }

    /* the longest there can be */

    u->state = NGX_CRED_PENDING;
    u->due = NGX_CRED_DUE_BACKOFF - 1;
    u->heard_now = 1;
    ngx_cred_known_how(u, &how);
    unit_is(&how, unit_format("due=%M unclear heard unattempted", u->due),
            "longest");
}


int
main(void)
{
    unit_start();

    test_known();
    test_how();

    return unit_done();
}
