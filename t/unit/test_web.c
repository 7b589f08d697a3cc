
/*
 * Copyright (C) ngx_cred_module authors
 * SPDX-License-Identifier: BSD-2-Clause
 */


#include <response.h>


/* where time_t has 32 bits, it is no date to nginx */

#if (NGX_TIME_T_SIZE > 4)
#define FAR_DATE    "429 keep retry(2147483647)"
#else
#define FAR_DATE    "429 keep"
#endif


typedef struct {
    const char   *name;
    const char   *text;
    const char   *expected;
} response_t;


static ngx_uint_t
same(ngx_str_t *one, ngx_str_t *two)
{
    return one->len == two->len
           && ngx_memcmp(one->data, two->data, one->len) == 0;
}


/*
 * A response is the same whole, byte by byte, and in two parts.  A part of it
 * is none, but for a body that ends with the connection.
 */

static void
test_response(const char *name, ngx_str_t *text, const char *expected,
    ngx_uint_t head, ngx_uint_t until_close)
{
    size_t      i;
    ngx_str_t  *whole, *part, *again;

    whole = response_parse(text, text->len, text->len, text->len, head, 1);
    unit_is(whole, unit_format("%s", expected), "%s", name);

    part = response_parse(text, 1, 1, text->len, head, 1);
    unit_ok(same(part, whole), "%s: byte by byte", name);

    again = unit_string("again");

    for (i = 1; i < text->len; i++) {
        part = response_parse(text, i, text->len, text->len, head, 1);

        if (!same(part, whole)) {
            unit_is(part, whole, "%s: in two parts, at %lu", name,
                    (unsigned long) i);
            return;
        }

        part = response_parse(text, i, 1, i, head, 0);

        if (!same(part, again) && !same(part, whole)
            && !(part->len > 4 && ngx_strncmp(part->data + 3, " keep", 5) == 0))
        {
            unit_is(part, again, "%s: %lu bytes and no more", name,
                    (unsigned long) i);
            return;
        }
    }

    part = response_parse(text, text->len, 1, text->len, head, 0);
    unit_ok(same(part, until_close ? again : whole),
            "%s: cut off", name);
}


/* a body may be any bytes */

static void
test_nul(void)
{
    ngx_str_t              *text, *body;
    ngx_int_t               rc;
    ngx_cred_web_parser_t  *parser;

    parser = ngx_cred_web_parser_create(&unit_log, 0);

    text = unit_string("HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\n");
    body = unit_bytes("\0a\r\n\0\xff", 6);

    rc = ngx_cred_web_parser_feed(parser, text->data, text->len);
    unit_ok(rc == NGX_AGAIN, "a header, and a body to come");

    rc = ngx_cred_web_parser_feed(parser, body->data, body->len);
    unit_ok(rc == NGX_OK, "a body with NUL");
    unit_is(&parser->response.body, body, "a body with NUL, as it is");

    ngx_cred_web_parser_destroy(parser);
}


static void
test_whole(void)
{
    ngx_uint_t  i;

    static response_t  responses[] = {

    { "no content",
      "HTTP/1.1 204 No Content\r\n\r\n",
      "204 keep" },
    { "a length",
      "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
      "200 keep [hello]" },
    { "a length of nothing",
      "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
      "200 keep" },
    { "a length with zeros before it",
      "HTTP/1.1 200 OK\r\ncontent-length: \t 0005 \t\r\n\r\nhello",
      "200 keep [hello]" },
    { "no reason",
      "HTTP/1.1 404\r\nContent-Length: 0\r\n\r\n",
      "404 keep" },
    { "an empty reason",
      "HTTP/1.1 404 \r\nContent-Length: 0\r\n\r\n",
      "404 keep" },
    { "a status of IIS",
      "HTTP/1.1 403.1 Forbidden\r\nContent-Length: 0\r\n\r\n",
      "403 keep" },
    { "lines without CR",
      "HTTP/1.1 200 OK\nContent-Length: 2\n\nok",
      "200 keep [ok]" },
    { "close",
      "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok",
      "200 close [ok]" },
    { "close among others",
      "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n"
      "Connection: x , ,CLOSE\t\r\n\r\nok",
      "200 close [ok]" },
    { "close in the second line",
      "HTTP/1.1 204 No\r\nConnection: keep-alive\r\nConnection: close\r\n\r\n",
      "204 close" },
    { "not close",
      "HTTP/1.1 204 No\r\nConnection: closed, x-close\r\n\r\n",
      "204 keep" },
    { "HTTP/1.0",
      "HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok",
      "200 close [ok]" },
    { "HTTP/1.0 that stays",
      "HTTP/1.0 200 OK\r\nContent-Length: 2\r\n"
      "Connection: Keep-Alive\r\n\r\nok",
      "200 keep [ok]" },
    { "HTTP/1.2",
      "HTTP/1.2 200 OK\r\nContent-Length: 2\r\n\r\nok",
      "200 keep [ok]" },
    { "not modified, with the length it had",
      "HTTP/1.1 304 Not Modified\r\nContent-Length: 500000\r\n\r\n",
      "304 close" },
    { "no content, but a length",
      "HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\n",
      "204 close" },
    { "no content, but chunks",
      "HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n",
      "204 close" },
    { "chunks",
      "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
      "5\r\nhello\r\n00a\r\n, world\r\n!\r\n" LAST_CHUNK,
      "200 keep [hello, world\r\n!]" },
    { "no chunk at all",
      "HTTP/1.1 200 OK\r\ntransfer-encoding: Chunked\r\n\r\n" LAST_CHUNK,
      "200 keep" },
    { "chunks with extensions, and fields after them that do not count",
      "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
      "2;a=b\r\nok\r\n0;c\r\nContent-Length: 7\r\nConnection: close\r\n"
      "Content-Encoding: gzip\r\nRetry-After: 1\r\nLocation: /\r\n\r\n",
      "200 keep [ok]" },
    { "ETag after them, as of Caddy",
      "HTTP/1.1 200 OK\r\nTrailer: ETag\r\nTransfer-Encoding: chunked\r\n\r\n"
      "3\r\n{}\n\r\n0\r\nEtag: \"/config/a/0 850b4884\"\r\n\r\n",
      "200 keep [{}\n] etag(\"/config/a/0 850b4884\")" },
    { "ETag after no chunk at all, and between other fields",
      "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
      "000;x\r\nA: b\r\netag:  yes \r\nC: d\r\n\r\n",
      "200 keep etag(yes)" },
    { "ETag before and after them",
      "HTTP/1.1 200 OK\r\nETag: a\r\nTransfer-Encoding: chunked\r\n\r\n"
      "0\r\nETag: b\r\n\r\n",
      "200 keep etag(a)" },
    { "ETag in a chunk, and in an extension",
      "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
      "11\r\n\r\n0\r\nETag: no\r\n\r\n\r\n0;ETag: no\r\n\r\n",
      "200 keep [\r\n0\r\nETag: no\r\n\r\n]" },
    { "ETag after what is no field",
      "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
      "2\r\nok\r\n0\r\nno field\r\nETag: no\r\n\r\n",
      "200 keep [ok]" },
    { "100 before it",
      "HTTP/1.1 100 Continue\r\n\r\n"
      "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
      "200 keep [ok]" },
    { "100 and 103 before it, with fields of their own",
      "HTTP/1.1 100 Continue\r\nConnection: close\r\nContent-Length: 7\r\n\r\n"
      "HTTP/1.1 103 Hints\r\nETag: no\r\nRetry-After: 3\r\n\r\n"
      "HTTP/1.1 200 OK\r\nETag: yes\r\nContent-Length: 2\r\n\r\nok",
      "200 keep [ok] etag(yes)" },
    { "fields",
      "HTTP/1.1 503 Busy\r\nContent-Length: 0\r\nETag: \"/a/0 b==\"\r\n"
      "Location: https://example.com/\t\r\nRetry-After: 120\r\n\r\n",
      "503 keep etag(\"/a/0 b==\") location(https://example.com/) retry(120)" },
    { "fields twice",
      "HTTP/1.1 503 Busy\r\nContent-Length: 0\r\nETag: a\r\nETag: b\r\n"
      "Retry-After: 1\r\nRetry-After: 2\r\n\r\n",
      "503 keep etag(a) retry(1)" },
    { "fields that are empty",
      "HTTP/1.1 204 No\r\nETag:\r\nLocation: \t\r\nRetry-After:\r\n"
      "Content-Encoding:\r\nConnection:\r\n\r\n",
      "204 keep" },
    { "other fields",
      "HTTP/1.1 204 No\r\nServer: x\r\nX_Y: \x80\xff\r\nX\xffY: z\r\n"
      "X-A-Very-Long-Name-Of-More-Than-Thirty-Two-Letters: 1\r\n\r\n",
      "204 keep" },
    { "an encoding",
      "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 1\r\n\r\nx",
      "200 keep [x] encoded" },
    { "an encoding that is none",
      "HTTP/1.1 200 OK\r\nContent-Encoding: Identity\r\n"
      "Content-Length: 1\r\n\r\nx",
      "200 keep [x]" },
    { "to be tried again at a date",
      "HTTP/1.1 429 Slow\r\nRetry-After: Sun, 06 Nov 1994 08:51:37 GMT\r\n"
      "Content-Length: 0\r\n\r\n",
      "429 keep retry(120)" },
    { "to be tried again at another form of date",
      "HTTP/1.1 429 Slow\r\nRetry-After: Sunday, 06-Nov-94 08:50:37 GMT\r\n"
      "Content-Length: 0\r\n\r\n",
      "429 keep retry(60)" },
    { "to be tried again at a date that is past",
      "HTTP/1.1 429 Slow\r\nRetry-After: Sun Nov  6 08:00:00 1994\r\n"
      "Content-Length: 0\r\n\r\n",
      "429 keep retry(0)" },
    { "to be tried again in a very long time",
      "HTTP/1.1 429 Slow\r\nRetry-After: 99999999999999999999999\r\n"
      "Content-Length: 0\r\n\r\n",
      "429 keep retry(2147483647)" },
    { "to be tried again in the last year there is",
      "HTTP/1.1 429 Slow\r\nRetry-After: Fri, 31 Dec 9999 23:59:59 GMT\r\n"
      "Content-Length: 0\r\n\r\n",
      FAR_DATE },
    { "to be tried again whenever",
      "HTTP/1.1 429 Slow\r\nRetry-After: -5\r\nContent-Length: 0\r\n\r\n",
      "429 keep" },
    { "to be tried again in a word",
      "HTTP/1.1 429 Slow\r\nRetry-After: 12 monkeys, and many more of them\r\n"
      "Content-Length: 0\r\n\r\n",
      "429 keep" },
    { "a redirect",
      "HTTP/1.1 301 Moved\r\nLocation: /x\r\nContent-Length: 0\r\n\r\n",
      "301 keep location(/x)" },
    { "more than there should be",
      "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok\r\n",
      "200 close [ok]" },
    { "more after no content",
      "HTTP/1.1 204 No Content\r\n\r\nHTTP/1.1 200 OK\r\n\r\n",
      "204 close" },
    { "more after the last chunk",
      "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
      "2\r\nok\r\n" LAST_CHUNK "\r\n",
      "200 close [ok]" },
    { NULL, NULL, NULL }
    };

    static response_t  until_close[] = {

    { "until it is closed",
      "HTTP/1.1 200 OK\r\n\r\nhello",
      "200 close [hello]" },
    { "until it is closed, by HTTP/1.0",
      "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\n\r\nhello\r\n\r\n",
      "200 close [hello\r\n\r\n]" },
    { "nothing until it is closed",
      "HTTP/1.1 404 Not Found\r\n\r\n",
      "404 close" },
    { NULL, NULL, NULL }
    };

    for (i = 0; responses[i].name; i++) {
        test_response(responses[i].name, unit_format("%s", responses[i].text),
                      responses[i].expected, 0, 0);
    }

    for (i = 0; until_close[i].name; i++) {
        test_response(until_close[i].name,
                      unit_format("%s", until_close[i].text),
                      until_close[i].expected, 0, 1);
    }

    test_response("to HEAD", unit_string("HTTP/1.1 200 OK\r\n"
                                         "Content-Length: 999999\r\n\r\n"),
                  "200 keep", 1, 0);
    test_response("to HEAD, with chunks",
                  unit_string("HTTP/1.1 200 OK\r\n"
                              "Transfer-Encoding: chunked\r\n\r\n"),
                  "200 keep", 1, 0);
    test_response("to HEAD, with a body",
                  unit_string("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"),
                  "200 close", 1, 0);
    test_nul();
}


static void
test_wrong(void)
{
    ngx_uint_t  i;

    static response_t  responses[] = {

    { "HTTP/0.9", "hello\r\n", "no status line of HTTP/1.1" },
    { "a page", "<html></html>", "no status line of HTTP/1.1" },
    { "an empty line", "\r\nHTTP/1.1 200 OK\r\n\r\n",
      "no status line of HTTP/1.1" },
    { "small letters", "http/1.1 200 OK\r\n\r\n",
      "no status line of HTTP/1.1" },
    { "TLS", "\x15\x03\x01",
      "an alert of TLS, which \"https://\" speaks" },
    { "SSH", "SSH-2.0-OpenSSH_9.2p1\r\n", "no status line of HTTP/1.1" },
    { "ICY", "ICY 200 OK\r\n\r\n", "no status line of HTTP/1.1" },
    { "no version", "HTTP/ 200 OK\r\n\r\n", "no status line of HTTP/1.1" },
    { "HTTP/2.0", "HTTP/2.0 200 OK\r\n\r\n",
      "another version than HTTP/1.1" },
    { "HTTP/11.1", "HTTP/11.1 200 OK\r\n\r\n",
      "another version than HTTP/1.1" },
    { "HTTP/1.10000", "HTTP/1.10000 200 OK\r\n\r\n",
      "no status line of HTTP/1.1" },
    { "a status of two digits", "HTTP/1.1 20 OK\r\n\r\n",
      "no status line of HTTP/1.1" },
    { "a status of four digits", "HTTP/1.1 2000 OK\r\n\r\n",
      "no status line of HTTP/1.1" },
    { "a status with spaces", "HTTP/1.1 2 0 0 OK\r\n\r\n", "no such status" },
    { "a negative status", "HTTP/1.1 -200 OK\r\n\r\n",
      "no status line of HTTP/1.1" },
    { "status 0", "HTTP/1.1 000 OK\r\n\r\n", "no such status" },
    { "status 99", "HTTP/1.1 099 OK\r\n\r\n", "no such status" },
    { "status 600", "HTTP/1.1 600 OK\r\n\r\n", "no such status" },
    { "CR in the reason", "HTTP/1.1 200 O\rK\r\n\r\n",
      "no status line of HTTP/1.1" },
    { "another protocol", "HTTP/1.1 101 Go\r\nUpgrade: x\r\n\r\n",
      "another protocol, not asked for" },
    { "a length twice",
      "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\nok",
      "more than one Content-Length" },
    { "two lengths",
      "HTTP/1.1 200 OK\r\nContent-Length: 2, 2\r\n\r\nok",
      "an invalid Content-Length" },
    { "a negative length",
      "HTTP/1.1 200 OK\r\nContent-Length: -2\r\n\r\nok",
      "an invalid Content-Length" },
    { "a positive length",
      "HTTP/1.1 200 OK\r\nContent-Length: +2\r\n\r\nok",
      "an invalid Content-Length" },
    { "an empty length",
      "HTTP/1.1 200 OK\r\nContent-Length: \r\n\r\nok",
      "an invalid Content-Length" },
    { "a length in hex",
      "HTTP/1.1 200 OK\r\nContent-Length: 0x2\r\n\r\nok",
      "an invalid Content-Length" },
    { "a length that is too long",
      "HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999\r\n\r\nok",
      "an invalid Content-Length" },
    { "a length that is invalid before 200",
      "HTTP/1.1 100 Go\r\nContent-Length: x\r\n\r\n",
      "an invalid Content-Length" },
    { "the longest length",
      "HTTP/1.1 200 OK\r\nContent-Length: 9223372036854775807\r\n\r\nok",
      "the body is too long" },
    { "length and chunks",
      "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n"
      "Transfer-Encoding: chunked\r\n\r\n2\r\nok\r\n" LAST_CHUNK,
      "ambiguous length" },
    { "length and chunks of no content",
      "HTTP/1.1 204 No\r\nTransfer-Encoding: chunked\r\n"
      "Content-Length: 0\r\n\r\n",
      "ambiguous length" },
    { "chunks in HTTP/1.0",
      "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" LAST_CHUNK,
      "ambiguous length" },
    { "gzip",
      "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
      "an unknown Transfer-Encoding" },
    { "identity",
      "HTTP/1.1 200 OK\r\nTransfer-Encoding: identity\r\n\r\n",
      "an unknown Transfer-Encoding" },
    { "chunked twice",
      "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n"
      "Transfer-Encoding: chunked\r\n\r\n",
      "an unknown Transfer-Encoding" },
    { "nothing",
      "HTTP/1.1 200 OK\r\nTransfer-Encoding:\r\n\r\n",
      "an unknown Transfer-Encoding" },
    { "something like chunked",
      "HTTP/1.1 200 OK\r\nTransfer-Encoding: \x0b" "chunked\r\n\r\n",
      "an unknown Transfer-Encoding" },
    { "a folded field",
      "HTTP/1.1 200 OK\r\nX: a\r\n b\r\nContent-Length: 0\r\n\r\n",
      "an invalid header" },
    { "a space before the colon",
      "HTTP/1.1 200 OK\r\nContent-Length : 0\r\n\r\n",
      "an invalid header" },
    { "no colon",
      "HTTP/1.1 200 OK\r\nContent-Length\r\n\r\n",
      "a header without a colon" },
    { "no name",
      "HTTP/1.1 200 OK\r\n: 0\r\n\r\n",
      "an invalid header" },
    { "CR in a value",
      "HTTP/1.1 200 OK\r\nX: a\rContent-Length: 5\r\n\r\n",
      "an invalid header" },
    { "CR before the end",
      "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\rx",
      "an invalid header" },
    { "a second status line",
      "HTTP/1.1 200 OK\r\nHTTP/1.1 200 OK\r\n\r\n",
      "an invalid header" },
    { "chunks with a length that is none",
      "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n",
      "an invalid chunk" },
    { "chunks with a negative length",
      "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n-1\r\n",
      "an invalid chunk" },
    { "chunks with a huge length",
      "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
      "fffffffffffffffff\r\n",
      "an invalid chunk" },
    { "chunks with a length that is too long",
      "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
      "7fffffff\r\nx",
      "the body is too long" },
    { "a chunk that is longer than its length",
      "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
      "2\r\nokay\r\n" LAST_CHUNK,
      "an invalid chunk" },
    { NULL, NULL, NULL }
    };

    for (i = 0; responses[i].name; i++) {
        test_response(responses[i].name, unit_format("%s", responses[i].text),
                      (char *) unit_format("error: %s%Z", responses[i].expected)
                               ->data,
                      0, 0);
    }

    test_response("NUL in a value",
                  unit_bytes("HTTP/1.1 200 OK\r\nX: a\0b\r\n\r\n", 27),
                  "error: an invalid header", 0, 0);
    test_response("NUL in a name",
                  unit_bytes("HTTP/1.1 200 OK\r\nX\0: b\r\n\r\n", 27),
                  "error: an invalid header", 0, 0);
}


int
main(void)
{
    response_start();

    test_whole();
    test_wrong();

    return unit_done();
}
