
/*
 * Copyright (C) ngx_cred_module authors
 * SPDX-License-Identifier: BSD-2-Clause
 */


/*
 * Replies in one piece and the same ones byte by byte: both must come out
 * alike, and within the bounds.
 */


#include <fuzz.h>
#include <ngx_cred_redis_codec.h>


typedef struct {
    uint64_t     hash;
    ngx_uint_t   replies;
    ngx_uint_t   failed;
    size_t       bytes;       /* of one reply */
    ngx_uint_t   elements;
} fuzz_result_t;


static void fuzz_decode(const uint8_t *data, size_t size, size_t chunk,
    fuzz_result_t *result);
static void fuzz_reply(ngx_cred_redis_reply_t *reply, fuzz_result_t *result,
    ngx_uint_t depth);
static void fuzz_hash(fuzz_result_t *result, const void *data, size_t size);


int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    size_t         chunk;
    fuzz_result_t  whole, parts;

    fuzz_decode(data, size, size, &whole);

    for (chunk = 1; chunk < 8; chunk += 3) {
        fuzz_decode(data, size, chunk, &parts);

        fuzz_assert(parts.replies == whole.replies);
        fuzz_assert(parts.failed == whole.failed);
        fuzz_assert(parts.hash == whole.hash);
    }

    return 0;
}


static void
fuzz_decode(const uint8_t *data, size_t size, size_t chunk,
    fuzz_result_t *result)
{
    char                    *err;
    size_t                   n;
    ngx_int_t                rc;
    const uint8_t           *last;
    ngx_cred_redis_codec_t  *codec;
    ngx_cred_redis_reply_t  *reply;

    ngx_memzero(result, sizeof(fuzz_result_t));

    codec = ngx_cred_redis_codec_create(&unit_log);
    fuzz_assert(codec != NULL);

    last = data + size;
    rc = NGX_AGAIN;

    while (data < last && rc == NGX_AGAIN) {

        n = ngx_min(chunk, (size_t) (last - data));

        fuzz_assert(ngx_cred_redis_codec_feed(codec, (u_char *) data, n)
                    == NGX_OK);

        data += n;

        for ( ;; ) {
            err = NULL;
            reply = NULL;

            rc = ngx_cred_redis_codec_next(codec, &reply, &err);

            if (rc != NGX_OK) {
                break;
            }

            result->bytes = 0;
            result->elements = 0;

            fuzz_reply(reply, result, 0);
            result->replies++;

            fuzz_assert(result->bytes <= NGX_CRED_REDIS_REPLY_BYTES);
            fuzz_assert(result->elements <= NGX_CRED_REDIS_REPLY_ELEMENTS);
        }
    }

    if (rc == NGX_ERROR) {
        fuzz_assert(err != NULL && err[0] != '\0');
        result->failed = 1;
    }

    ngx_cred_redis_codec_destroy(codec);
}


static void
fuzz_reply(ngx_cred_redis_reply_t *reply, fuzz_result_t *result,
    ngx_uint_t depth)
{
    ngx_uint_t  i;

    fuzz_assert(reply != NULL);
    fuzz_assert(depth <= NGX_CRED_REDIS_REPLY_DEPTH);

    fuzz_hash(result, &reply->type, sizeof(reply->type));

    switch (reply->type) {

    case NGX_CRED_REDIS_STRING:
    case NGX_CRED_REDIS_STATUS:
    case NGX_CRED_REDIS_ERROR:
        fuzz_assert(reply->str.data[reply->str.len] == '\0');
        result->bytes += reply->str.len;
        fuzz_hash(result, reply->str.data, reply->str.len);
        break;

    case NGX_CRED_REDIS_INTEGER:
        fuzz_hash(result, &reply->integer, sizeof(reply->integer));
        break;

    case NGX_CRED_REDIS_ARRAY:
        result->elements += reply->nelts;
        fuzz_hash(result, &reply->nelts, sizeof(reply->nelts));

        for (i = 0; i < reply->nelts; i++) {
            fuzz_reply(reply->elts[i], result, depth + 1);
        }

        break;

    default:
        fuzz_assert(reply->type == NGX_CRED_REDIS_NIL);
    }
}


/* FNV-1a */

static void
fuzz_hash(fuzz_result_t *result, const void *data, size_t size)
{
    const uint8_t  *p;

    for (p = data; size; size--) {
        result->hash = (result->hash ^ *p++) * 0x100000001b3ULL;
    }
}
