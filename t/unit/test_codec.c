
/*
 * Copyright (C) ngx_cred_module authors
 * SPDX-License-Identifier: BSD-2-Clause
 */


#include <unit.h>
#include <ngx_cred_redis_codec.h>


/* a reply as text: types, integers and strings, arrays in brackets */

static u_char *
show(u_char *p, u_char *last, ngx_cred_redis_reply_t *reply)
{
    ngx_uint_t  i;

    static const char  *types[] = { "nil", "string", "status", "error",
                                    "integer", "array" };

    p = ngx_slprintf(p, last, "%s", types[reply->type]);

    switch (reply->type) {

    case NGX_CRED_REDIS_STRING:
    case NGX_CRED_REDIS_STATUS:
    case NGX_CRED_REDIS_ERROR:
        return ngx_slprintf(p, last, "(%V)", &reply->str);

    case NGX_CRED_REDIS_INTEGER:
        return ngx_slprintf(p, last, "(%L)", reply->integer);

    case NGX_CRED_REDIS_ARRAY:
        p = ngx_slprintf(p, last, "[");

        for (i = 0; i < reply->nelts; i++) {
            p = ngx_slprintf(p, last, "%s", i ? " " : "");
            p = show(p, last, reply->elts[i]);
        }

        return ngx_slprintf(p, last, "]");

    default:
        return p;
    }
}


/* all replies in "data" that is fed "chunk" bytes at a time */

static ngx_str_t *
decode(ngx_str_t *data, size_t chunk)
{
    char                    *err;
    u_char                  *p, *last, *in;
    size_t                   size;
    ngx_int_t                rc;
    ngx_cred_redis_codec_t  *codec;
    ngx_cred_redis_reply_t  *reply;
    u_char                   buf[4096];

    p = buf;
    last = buf + sizeof(buf);
    in = data->data;
    rc = NGX_AGAIN;

    codec = ngx_cred_redis_codec_create(&unit_log);

    if (codec == NULL) {
        return unit_string("no codec");
    }

    while (in < data->data + data->len && rc == NGX_AGAIN) {

        size = ngx_min(chunk, (size_t) (data->data + data->len - in));

        if (ngx_cred_redis_codec_feed(codec, in, size) != NGX_OK) {
            p = ngx_slprintf(p, last, "not fed;");
            break;
        }

        in += size;

        for ( ;; ) {
            err = NULL;
            reply = NULL;

            rc = ngx_cred_redis_codec_next(codec, &reply, &err);

            if (rc != NGX_OK) {
                break;
            }

            p = show(p, last, reply);
            p = ngx_slprintf(p, last, ";");
        }
    }

    if (rc == NGX_ERROR) {
        p = ngx_slprintf(p, last, "%s",
                         err && err[0] ? "refused" : "refused, no text");
    }

    ngx_cred_redis_codec_destroy(codec);

    return unit_bytes((char *) buf, p - buf);
}


static void
test_decode(ngx_str_t *data, ngx_str_t *expected, const char *name)
{
    size_t  chunk;

    for (chunk = 1; chunk <= data->len && chunk < 8; chunk++) {
        unit_is(decode(data, chunk), expected, "%s, by %lu", name,
                (unsigned long) chunk);
    }

    unit_is(decode(data, data->len), expected, "%s", name);
}


static void
test_replies(void)
{
    test_decode(unit_string("+OK\r\n"), unit_string("status(OK);"), "status");
    test_decode(unit_string("-NOSCRIPT No matching script\r\n"),
                unit_string("error(NOSCRIPT No matching script);"), "error");
    test_decode(unit_string("-ERR a\x01\tb\x1b\x7f ~\xc3\xa9\r\n"),
                unit_string("error(ERR a??b?? ~\xc3\xa9);"),
                "error that would spoil a log");
    test_decode(unit_string("+a\x01\r\n$2\r\n\n\x7f\r\n"),
                unit_string("status(a\x01);string(\n\x7f);"),
                "what is no error stays as it is");
    test_decode(unit_string(":42\r\n:-1\r\n:0\r\n:9223372036854775807\r\n"),
                unit_string("integer(42);integer(-1);integer(0);"
                            "integer(9223372036854775807);"),
                "integers");
    test_decode(unit_string("$3\r\nabc\r\n$0\r\n\r\n$-1\r\n"),
                unit_string("string(abc);string();nil;"), "strings");
    test_decode(unit_bytes("$5\r\na\r\n\0b\r\n", 11),
                unit_bytes("string(a\r\n\0b);", 14), "string of any bytes");
    test_decode(unit_string("*0\r\n*-1\r\n"), unit_string("array[];nil;"),
                "empty arrays");
    test_decode(unit_string("*4\r\n:1\r\n*2\r\n$1\r\na\r\n*0\r\n$-1\r\n"
                            "+OK\r\n:7\r\n"),
                unit_string("array[integer(1) array[string(a) array[]] nil "
                            "status(OK)];integer(7);"),
                "arrays");
    test_decode(unit_string("+OK\r\n$3\r\nab"), unit_string("status(OK);"),
                "half a reply");
}


static void
test_refused(void)
{
    test_decode(unit_string("HTTP/1.1 400 Bad Request\r\n"),
                unit_string("refused"), "HTTP");
    test_decode(unit_string("\r\n"), unit_string("refused"), "empty line");
    test_decode(unit_string("$x\r\n"), unit_string("refused"),
                "length that is no number");
    test_decode(unit_string("$-2\r\n"), unit_string("refused"),
                "negative length");
    test_decode(unit_string(":1x\r\n"), unit_string("refused"),
                "integer that is none");
    test_decode(unit_string("*-2\r\n"), unit_string("refused"),
                "negative number of elements");
    test_decode(unit_string("*2147483647\r\n"), unit_string("refused"),
                "2147483647 elements");
    test_decode(unit_string("*9223372036854775807\r\n"),
                unit_string("refused"), "2^63 - 1 elements");
    test_decode(unit_string("*99999999999999999999\r\n"),
                unit_string("refused"), "more elements than a number holds");
    test_decode(unit_string("+OK\r\n*2\r\n:1\r\n*2147483647\r\n"),
                unit_string("status(OK);refused"), "elements deeper inside");
}


/* which hiredis 1.x takes for replies, and 0.14 does not */

static void
test_resp3(void)
{
    ngx_uint_t   i;
    const char  *name;

    static const char  *scalars[] = {
        ",1.5\r\n", ",inf\r\n", ",nan\r\n", "#t\r\n", "#f\r\n", "(123\r\n",
        "=7\r\ntxt:abc\r\n", "%1\r\n+a\r\n+b\r\n", "~1\r\n+a\r\n",
        ">1\r\n+a\r\n", NULL
    };

    for (i = 0; scalars[i]; i++) {
        name = (char *) unit_format("RESP3, %ui%Z", i)->data;

        test_decode(unit_format("%s", scalars[i]), unit_string("refused"),
                    name);
        test_decode(unit_format("*3\r\n:1\r\n*0\r\n%s", scalars[i]),
                    unit_string("refused"), name);
        test_decode(unit_format("*2\r\n*2\r\n:1\r\n%s:2\r\n", scalars[i]),
                    unit_string("refused"), name);
    }
}


static ngx_str_t *
repeat(const char *text, ngx_uint_t n)
{
    u_char     *p;
    size_t      len;
    ngx_str_t  *s;

    len = ngx_strlen(text);
    s = unit_repeat(' ', n * len);

    for (p = s->data; p < s->data + s->len; p += len) {
        ngx_memcpy(p, text, len);
    }

    return s;
}


static void
test_bounds(void)
{
    char                    *err;
    size_t                   size, fed;
    ngx_int_t                rc;
    ngx_str_t               *s;
    ngx_uint_t               i;
    ngx_cred_redis_codec_t  *codec;
    ngx_cred_redis_reply_t  *reply;
    u_char                   buf[64];

    /* nested arrays: how deep differs between the versions of hiredis */

    unit_is(decode(repeat("*1\r\n", 100000), 16384), unit_string("refused"),
            "deep nesting");

    s = unit_format("%V:1\r\n", repeat("*1\r\n", 4));
    unit_is(decode(s, s->len),
            unit_string("array[array[array[array[integer(1)]]]];"),
            "nesting of four");

    s = unit_format("%V:1\r\n", repeat("*1\r\n",
                                       NGX_CRED_REDIS_REPLY_DEPTH + 1));
    unit_is(decode(s, s->len), unit_string("refused"), "nesting of nine");

    /* elements */

    codec = ngx_cred_redis_codec_create(&unit_log);

    s = unit_format("*%d\r\n", NGX_CRED_REDIS_REPLY_ELEMENTS);
    (void) ngx_cred_redis_codec_feed(codec, s->data, s->len);

    s = repeat(":1\r\n", NGX_CRED_REDIS_REPLY_ELEMENTS);
    (void) ngx_cred_redis_codec_feed(codec, s->data, s->len);

    unit_ok(ngx_cred_redis_codec_next(codec, &reply, &err) == NGX_OK
            && reply->nelts == NGX_CRED_REDIS_REPLY_ELEMENTS,
            "as many elements as may be");

    s = unit_string("*2\r\n:1\r\n:2\r\n");
    (void) ngx_cred_redis_codec_feed(codec, s->data, s->len);

    unit_ok(ngx_cred_redis_codec_next(codec, &reply, &err) == NGX_OK
            && reply->nelts == 2,
            "the next reply has its own count");

    s = unit_format("*%d\r\n", NGX_CRED_REDIS_REPLY_ELEMENTS + 1);
    (void) ngx_cred_redis_codec_feed(codec, s->data, s->len);

    unit_ok(ngx_cred_redis_codec_next(codec, &reply, &err) == NGX_ERROR,
            "one element more");

    ngx_cred_redis_codec_destroy(codec);

    s = unit_format("*2\r\n*%d\r\n%V*1\r\n:1\r\n",
                    NGX_CRED_REDIS_REPLY_ELEMENTS - 2, unit_string(""));

    codec = ngx_cred_redis_codec_create(&unit_log);

    (void) ngx_cred_redis_codec_feed(codec, s->data,
                                     s->len - sizeof("*1\r\n:1\r\n") + 1);
    s = repeat(":1\r\n", NGX_CRED_REDIS_REPLY_ELEMENTS - 2);
    (void) ngx_cred_redis_codec_feed(codec, s->data, s->len);
    s = unit_string("*1\r\n");
    (void) ngx_cred_redis_codec_feed(codec, s->data, s->len);

    unit_ok(ngx_cred_redis_codec_next(codec, &reply, &err) == NGX_ERROR,
            "elements of inner arrays count as well");

    ngx_cred_redis_codec_destroy(codec);

    /* bytes: a string that never ends */

    s = unit_repeat('x', 16384);

    codec = ngx_cred_redis_codec_create(&unit_log);

    size = ngx_sprintf(buf, "$5000000000\r\n") - buf;
    (void) ngx_cred_redis_codec_feed(codec, buf, size);

    rc = ngx_cred_redis_codec_next(codec, &reply, &err);

    for (fed = 0; rc == NGX_AGAIN && fed < 4 * NGX_CRED_REDIS_REPLY_BYTES;
         fed += s->len)
    {
        (void) ngx_cred_redis_codec_feed(codec, s->data, s->len);
        rc = ngx_cred_redis_codec_next(codec, &reply, &err);
    }

    unit_ok(rc == NGX_ERROR && fed <= NGX_CRED_REDIS_REPLY_BYTES + s->len,
            "a string of 5 GB");

    ngx_cred_redis_codec_destroy(codec);

    /* bytes: strings that fit, but are many */

    codec = ngx_cred_redis_codec_create(&unit_log);

    s = unit_format("*8000\r\n");
    (void) ngx_cred_redis_codec_feed(codec, s->data, s->len);

    s = unit_repeat('x', 65536);
    rc = NGX_AGAIN;

    for (i = 0; rc == NGX_AGAIN && i < 100; i++) {
        size = ngx_sprintf(buf, "$65536\r\n") - buf;

        (void) ngx_cred_redis_codec_feed(codec, buf, size);
        (void) ngx_cred_redis_codec_feed(codec, s->data, s->len);
        (void) ngx_cred_redis_codec_feed(codec, (u_char *) "\r\n", 2);

        rc = ngx_cred_redis_codec_next(codec, &reply, &err);
    }

    unit_ok(rc == NGX_ERROR && i <= 20, "an array of many long strings");

    ngx_cred_redis_codec_destroy(codec);

    /* a reply as large as may be, and one after it */

    codec = ngx_cred_redis_codec_create(&unit_log);

    size = NGX_CRED_REDIS_REPLY_BYTES - 64;
    s = unit_format("$%uz\r\n", size);
    (void) ngx_cred_redis_codec_feed(codec, s->data, s->len);
    s = unit_repeat('x', size);
    (void) ngx_cred_redis_codec_feed(codec, s->data, s->len);
    (void) ngx_cred_redis_codec_feed(codec, (u_char *) "\r\n:5\r\n", 6);

    unit_ok(ngx_cred_redis_codec_next(codec, &reply, &err) == NGX_OK
            && reply->str.len == size,
            "a string that just fits");
    unit_ok(ngx_cred_redis_codec_next(codec, &reply, &err) == NGX_OK
            && reply->integer == 5,
            "and the reply after it");

    ngx_cred_redis_codec_destroy(codec);
}


/* who sends a line byte by byte must not make it long to look for its end */

static void
test_lines(void)
{
    char                    *err;
    size_t                   fed;
    ngx_int_t                rc;
    ngx_str_t               *s;
    ngx_uint_t               i;
    ngx_cred_redis_codec_t  *codec;
    ngx_cred_redis_reply_t  *reply;

    static const char  *begins[] = { "+", "-ERR ", ":1", "$1", "*1",
                                     "*2\r\n$1\r\na\r\n+" };
    static const u_char  goes_on[] = { 'x', '1', CR, LF, '\0' };

    for (i = 0; i < 6 * sizeof(goes_on); i++) {
        codec = ngx_cred_redis_codec_create(&unit_log);

        (void) ngx_cred_redis_codec_feed(codec, (u_char *) begins[i % 6],
                                         ngx_strlen(begins[i % 6]));

        s = unit_repeat(goes_on[i / 6], 1000);
        rc = NGX_AGAIN;

        for (fed = 0; rc == NGX_AGAIN && fed < NGX_CRED_REDIS_REPLY_BYTES / 2;
             fed += s->len)
        {
            (void) ngx_cred_redis_codec_feed(codec, s->data, s->len);
            rc = ngx_cred_redis_codec_next(codec, &reply, &err);
        }

        unit_ok(rc == NGX_ERROR && fed <= NGX_CRED_REDIS_REPLY_LINE + s->len,
                "a line without an end");

        ngx_cred_redis_codec_destroy(codec);
    }

    /* one that just fits, and a string, which is no line */

    codec = ngx_cred_redis_codec_create(&unit_log);

    s = unit_repeat('x', NGX_CRED_REDIS_REPLY_LINE - 2);
    (void) ngx_cred_redis_codec_feed(codec, (u_char *) "+", 1);
    (void) ngx_cred_redis_codec_feed(codec, s->data, s->len);

    unit_ok(ngx_cred_redis_codec_next(codec, &reply, &err) == NGX_AGAIN,
            "a long line");

    (void) ngx_cred_redis_codec_feed(codec, (u_char *) "\r\n$200000\r\n",
                                     sizeof("\r\n$200000\r\n") - 1);

    unit_ok(ngx_cred_redis_codec_next(codec, &reply, &err) == NGX_OK
            && reply->str.len == s->len,
            "a long line, and its end");

    for (i = 0; i < 3; i++) {
        (void) ngx_cred_redis_codec_feed(codec, s->data, s->len);

        unit_ok(ngx_cred_redis_codec_next(codec, &reply, &err) == NGX_AGAIN,
                "a string is longer");
    }

    ngx_cred_redis_codec_destroy(codec);
}


static void
test_append(void)
{
    ngx_str_t                 got, args[3], *expected, *big;
    ngx_uint_t                i;
    ngx_cred_redis_output_t   out;

    ngx_memzero(&out, sizeof(ngx_cred_redis_output_t));

    args[0] = *unit_string("SET");
    args[1] = *unit_bytes("k\0\r\n", 4);
    args[2] = *unit_string("");

    unit_ok(ngx_cred_redis_codec_append(&out, args, 3, &unit_log) == NGX_OK,
            "append");

    expected = unit_bytes("*3\r\n$3\r\nSET\r\n$4\r\nk\0\r\n\r\n$0\r\n\r\n",
                          29);

    got.data = out.pos;
    got.len = out.last - out.pos;
    unit_is(&got, expected, "append: a command");

    unit_ok(ngx_cred_redis_codec_append(&out, args, 1, &unit_log) == NGX_OK,
            "append: another one");

    got.data = out.pos;
    got.len = out.last - out.pos;
    unit_is(&got, unit_format("%V*1\r\n$3\r\nSET\r\n", expected),
            "append: two commands");

    /* what was written already may go when more room is needed */

    out.pos += expected->len;

    big = unit_repeat('x', 100000);
    args[1] = *big;

    unit_ok(ngx_cred_redis_codec_append(&out, args, 2, &unit_log) == NGX_OK
            && (size_t) (out.last - out.pos)
               == sizeof("*1\r\n$3\r\nSET\r\n") - 1
                  + sizeof("*2\r\n$3\r\nSET\r\n$100000\r\n\r\n") - 1
                  + big->len
            && ngx_memcmp(out.pos, "*1\r\n$3\r\nSET\r\n*2\r\n", 17) == 0
            && ngx_memcmp(out.last - 3, "x\r\n", 3) == 0,
            "append: a long command after a short one");

    out.pos = out.last;

    for (i = 0; i < 1000; i++) {
        if (ngx_cred_redis_codec_append(&out, args, 1, &unit_log) != NGX_OK) {
            break;
        }
    }

    unit_ok(i == 1000 && out.last - out.pos == 13 * 1000
            && ngx_memcmp(out.pos + 13 * 999, "*1\r\n$3\r\nSET\r\n", 13) == 0,
            "append: a thousand commands");

    ngx_free(out.start);
}


int
main(void)
{
    unit_start();

    test_replies();
    test_refused();
    test_resp3();
    test_bounds();
    test_lines();
    test_append();

    return unit_done();
}
