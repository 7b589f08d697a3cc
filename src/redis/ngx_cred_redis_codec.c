
/*
 * Copyright (C) ngx_cred_module authors
 * SPDX-License-Identifier: BSD-2-Clause
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_cred_redis_codec.h>

#include <hiredis/hiredis.h>


#define NGX_CRED_REDIS_OUTPUT_SIZE  16384
#define NGX_CRED_REDIS_LENGTH_LEN   (NGX_INT64_LEN + sizeof("$" CRLF) - 1)


#if (HIREDIS_MAJOR < 1)
typedef int     ngx_cred_redis_size_t;
#else
typedef size_t  ngx_cred_redis_size_t;
#endif


struct ngx_cred_redis_codec_s {
    redisReader    *reader;
    ngx_pool_t     *pool;       /* of one reply */
    ngx_uint_t      nelts;
    size_t          bytes;
    char           *error;
};


static void *ngx_cred_redis_codec_string(const redisReadTask *task, char *data,
    size_t len);
static void *ngx_cred_redis_codec_array(const redisReadTask *task,
    ngx_cred_redis_size_t nelts);
static void *ngx_cred_redis_codec_integer(const redisReadTask *task,
    long long n);
static void *ngx_cred_redis_codec_nil(const redisReadTask *task);
static void ngx_cred_redis_codec_free(void *reply);
#if (HIREDIS_MAJOR >= 1)
static void *ngx_cred_redis_codec_double(const redisReadTask *task,
    double value, char *data, size_t len);
static void *ngx_cred_redis_codec_bool(const redisReadTask *task, int value);
#endif
static ngx_cred_redis_reply_t *ngx_cred_redis_codec_reply(
    const redisReadTask *task, ngx_uint_t type);
static ngx_uint_t ngx_cred_redis_codec_endless(redisReader *reader);
static u_char *ngx_cred_redis_codec_length(u_char *p, u_char type, size_t n);
static ngx_int_t ngx_cred_redis_codec_grow(ngx_cred_redis_output_t *out,
    size_t size, ngx_log_t *log);


/*
 * The default functions of hiredis allocate what the sender announces, to any
 * number and depth.
 */

static redisReplyObjectFunctions  ngx_cred_redis_codec_functions = {
    .createString = ngx_cred_redis_codec_string,
    .createArray = ngx_cred_redis_codec_array,
    .createInteger = ngx_cred_redis_codec_integer,
    .createNil = ngx_cred_redis_codec_nil,
    .freeObject = ngx_cred_redis_codec_free,
#if (HIREDIS_MAJOR >= 1)
    .createDouble = ngx_cred_redis_codec_double,
    .createBool = ngx_cred_redis_codec_bool
#endif
};


ngx_cred_redis_codec_t *
ngx_cred_redis_codec_create(ngx_log_t *log)
{
    ngx_cred_redis_codec_t  *codec;

    codec = ngx_calloc(sizeof(ngx_cred_redis_codec_t), log);
    if (codec == NULL) {
        return NULL;
    }

    codec->pool = ngx_create_pool(4096, log);
    if (codec->pool == NULL) {
        ngx_free(codec);
        return NULL;
    }

    codec->reader =
               redisReaderCreateWithFunctions(&ngx_cred_redis_codec_functions);

    if (codec->reader == NULL) {
        ngx_destroy_pool(codec->pool);
        ngx_free(codec);
        return NULL;
    }

    /* redisReaderSetPrivdata() of hiredis 0.14 truncates the pointer */

    codec->reader->privdata = codec;

    return codec;
}


void
ngx_cred_redis_codec_destroy(ngx_cred_redis_codec_t *codec)
{
    redisReaderFree(codec->reader);
    ngx_destroy_pool(codec->pool);
    ngx_free(codec);
}


ngx_int_t
ngx_cred_redis_codec_feed(ngx_cred_redis_codec_t *codec, u_char *data,
    size_t size)
{
    if (redisReaderFeed(codec->reader, (char *) data, size) != REDIS_OK) {
        return NGX_ERROR;
    }

    return NGX_OK;
}


ngx_int_t
ngx_cred_redis_codec_next(ngx_cred_redis_codec_t *codec,
    ngx_cred_redis_reply_t **reply, char **err)
{
    void         *r;
    redisReader  *reader;

    reader = codec->reader;

    if (reader->ridx == -1) {
        /* between two replies, nothing of the last one is needed any more */
        ngx_reset_pool(codec->pool);
        codec->nelts = 0;
        codec->bytes = 0;
    }

    r = NULL;

    if (redisReaderGetReply(reader, &r) != REDIS_OK) {
        *err = codec->error ? codec->error : reader->errstr;
        return NGX_ERROR;
    }

    if (r == NULL) {

        if (reader->len - reader->pos > NGX_CRED_REDIS_REPLY_BYTES) {
            *err = "too long reply";
            return NGX_ERROR;
        }

        if (ngx_cred_redis_codec_endless(reader)) {
            *err = "too long line in a reply";
            return NGX_ERROR;
        }

        return NGX_AGAIN;
    }

    *reply = r;

    return NGX_OK;
}


/*
 * hiredis looks for the end of a line from its beginning each time: a sender of
 * single bytes must not make that long
 */

static ngx_uint_t
ngx_cred_redis_codec_endless(redisReader *reader)
{
    char  *p, *last;

    if (reader->len - reader->pos <= NGX_CRED_REDIS_REPLY_LINE) {
        return 0;
    }

    p = reader->buf + reader->pos;
    last = p + NGX_CRED_REDIS_REPLY_LINE;

    while ((p = memchr(p, CR, last - p)) != NULL) {

        if (*++p == LF) {
            return 0;
        }
    }

    return 1;
}


static void *
ngx_cred_redis_codec_string(const redisReadTask *task, char *data, size_t len)
{
    size_t                   i;
    ngx_uint_t               type;
    ngx_cred_redis_codec_t  *codec;
    ngx_cred_redis_reply_t  *reply;

    codec = task->privdata;

    switch (task->type) {

    case REDIS_REPLY_STRING:
        type = NGX_CRED_REDIS_STRING;
        break;

    case REDIS_REPLY_STATUS:
        type = NGX_CRED_REDIS_STATUS;
        break;

    case REDIS_REPLY_ERROR:
        type = NGX_CRED_REDIS_ERROR;
        break;

    default:
        codec->error = "reply of an unknown type";
        return NULL;
    }

    if (len > NGX_CRED_REDIS_REPLY_BYTES - codec->bytes) {
        codec->error = "too long reply";
        return NULL;
    }

    codec->bytes += len;

    reply = ngx_cred_redis_codec_reply(task, type);
    if (reply == NULL) {
        return NULL;
    }

    reply->str.data = ngx_pnalloc(codec->pool, len + 1);
    if (reply->str.data == NULL) {
        return NULL;
    }

    ngx_memcpy(reply->str.data, data, len);
    reply->str.data[len] = '\0';
    reply->str.len = len;

    if (type == NGX_CRED_REDIS_ERROR) {

        /* it goes to logs and receipts as it is */

        for (i = 0; i < len; i++) {
            if (reply->str.data[i] < 0x20 || reply->str.data[i] == 0x7f) {
                reply->str.data[i] = '?';
            }
        }
    }

    return reply;
}


static void *
ngx_cred_redis_codec_array(const redisReadTask *task,
    ngx_cred_redis_size_t nelts)
{
    ngx_uint_t               depth;
    const redisReadTask     *parent;
    ngx_cred_redis_codec_t  *codec;
    ngx_cred_redis_reply_t  *reply;

    codec = task->privdata;

    if (task->type != REDIS_REPLY_ARRAY) {
        codec->error = "reply of an unknown type";
        return NULL;
    }

    depth = 1;

    for (parent = task->parent; parent; parent = parent->parent) {
        depth++;
    }

    if (depth > NGX_CRED_REDIS_REPLY_DEPTH) {
        codec->error = "too deeply nested reply";
        return NULL;
    }

    if ((size_t) nelts > NGX_CRED_REDIS_REPLY_ELEMENTS - codec->nelts) {
        codec->error = "too many elements in a reply";
        return NULL;
    }

    codec->nelts += nelts;

    reply = ngx_cred_redis_codec_reply(task, NGX_CRED_REDIS_ARRAY);
    if (reply == NULL) {
        return NULL;
    }

    reply->nelts = nelts;
    reply->elts = ngx_pcalloc(codec->pool,
                              (nelts + 1) * sizeof(ngx_cred_redis_reply_t *));
    if (reply->elts == NULL) {
        return NULL;
    }

    return reply;
}


static void *
ngx_cred_redis_codec_integer(const redisReadTask *task, long long n)
{
    ngx_cred_redis_reply_t  *reply;

    reply = ngx_cred_redis_codec_reply(task, NGX_CRED_REDIS_INTEGER);
    if (reply == NULL) {
        return NULL;
    }

    reply->integer = n;

    return reply;
}


static void *
ngx_cred_redis_codec_nil(const redisReadTask *task)
{
    return ngx_cred_redis_codec_reply(task, NGX_CRED_REDIS_NIL);
}


static void
ngx_cred_redis_codec_free(void *reply)
{
    /* replies go with the pool */
}


#if (HIREDIS_MAJOR >= 1)

/* RESP3, in whose place hiredis has a number that is no reply otherwise */

static void *
ngx_cred_redis_codec_double(const redisReadTask *task, double value,
    char *data, size_t len)
{
    ngx_cred_redis_codec_t  *codec;

    codec = task->privdata;
    codec->error = "reply of an unknown type";

    return NULL;
}


static void *
ngx_cred_redis_codec_bool(const redisReadTask *task, int value)
{
    ngx_cred_redis_codec_t  *codec;

    codec = task->privdata;
    codec->error = "reply of an unknown type";

    return NULL;
}

#endif


static ngx_cred_redis_reply_t *
ngx_cred_redis_codec_reply(const redisReadTask *task, ngx_uint_t type)
{
    ngx_cred_redis_codec_t  *codec;
    ngx_cred_redis_reply_t  *reply, *parent;

    codec = task->privdata;

    reply = ngx_pcalloc(codec->pool, sizeof(ngx_cred_redis_reply_t));
    if (reply == NULL) {
        return NULL;
    }

    reply->type = type;

    if (task->parent) {
        parent = task->parent->obj;
        parent->elts[task->idx] = reply;
    }

    return reply;
}


/*
 * redisFormatCommandArgv() allocates each command and prints each length; this
 * is a tenth of all that a worker does for a delete, so commands are written
 * where they leave from.
 */

ngx_int_t
ngx_cred_redis_codec_append(ngx_cred_redis_output_t *out, ngx_str_t *args,
    ngx_uint_t nargs, ngx_log_t *log)
{
    u_char      *p;
    size_t       size;
    ngx_uint_t   i;

    size = NGX_CRED_REDIS_LENGTH_LEN;

    for (i = 0; i < nargs; i++) {
        size += NGX_CRED_REDIS_LENGTH_LEN + args[i].len + 2;
    }

    if (ngx_cred_redis_codec_grow(out, size, log) != NGX_OK) {
        return NGX_ERROR;
    }

    p = ngx_cred_redis_codec_length(out->last, '*', nargs);

    for (i = 0; i < nargs; i++) {
        p = ngx_cred_redis_codec_length(p, '$', args[i].len);

        if (args[i].len) {
            p = ngx_cpymem(p, args[i].data, args[i].len);
        }

        *p++ = CR; *p++ = LF;
    }

    out->last = p;

    return NGX_OK;
}


static u_char *
ngx_cred_redis_codec_length(u_char *p, u_char type, size_t n)
{
    u_char  digits[NGX_INT64_LEN], *d;

    d = digits + sizeof(digits);

    do {
        *--d = (u_char) ('0' + n % 10);
        n /= 10;
    } while (n);

    *p++ = type;
    p = ngx_cpymem(p, d, digits + sizeof(digits) - d);
    *p++ = CR; *p++ = LF;

    return p;
}


static ngx_int_t
ngx_cred_redis_codec_grow(ngx_cred_redis_output_t *out, size_t size,
    ngx_log_t *log)
{
    u_char  *start;
    size_t   used, room;

    if ((size_t) (out->end - out->last) >= size) {
        return NGX_OK;
    }

    used = out->last - out->pos;
    room = ngx_max((size_t) (out->end - out->start),
                   NGX_CRED_REDIS_OUTPUT_SIZE);

    while (room - used < size) {
        room *= 2;
    }

    start = ngx_alloc(room, log);
    if (start == NULL) {
        return NGX_ERROR;
    }

    if (out->start) {
        ngx_memcpy(start, out->pos, used);
        ngx_free(out->start);
    }

    out->start = start;
    out->pos = start;
    out->last = start + used;
    out->end = start + room;

    return NGX_OK;
}
