
/*
 * Copyright (C) ngx_cred_module authors
 * SPDX-License-Identifier: BSD-2-Clause
 */


/*
 * RESP2 (https://redis.io/docs/latest/develop/reference/protocol-spec/):
 * replies are read by hiredis, with bounds.
 */


#ifndef _NGX_CRED_REDIS_CODEC_H_INCLUDED_
#define _NGX_CRED_REDIS_CODEC_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_cred_redis.h>


/* what one reply may hold; a Redis that sends more is broken or hostile */

#define NGX_CRED_REDIS_REPLY_BYTES     (1024 * 1024)
#define NGX_CRED_REDIS_REPLY_LINE      65536  /* an error, a number, a length */
#define NGX_CRED_REDIS_REPLY_ELEMENTS  8192
#define NGX_CRED_REDIS_REPLY_DEPTH     8


typedef struct ngx_cred_redis_codec_s  ngx_cred_redis_codec_t;


/* bytes that are to be written; "start" is NULL or from ngx_alloc() */

typedef struct {
    u_char                    *start;
    u_char                    *pos;
    u_char                    *last;
    u_char                    *end;
} ngx_cred_redis_output_t;


/* returns NULL if there is no memory */
ngx_cred_redis_codec_t *ngx_cred_redis_codec_create(ngx_log_t *log);

/* frees it, and what it has read of a reply */
void ngx_cred_redis_codec_destroy(ngx_cred_redis_codec_t *codec);

/* takes bytes that came from Redis; NGX_ERROR if there is no memory */
ngx_int_t ngx_cred_redis_codec_feed(ngx_cred_redis_codec_t *codec,
    u_char *data, size_t size);

/*
 * Gets the next reply, which lives until the next call.  Returns NGX_OK;
 * NGX_AGAIN if there is no whole reply yet; or NGX_ERROR with "*err" set (it
 * lives as long as the codec) if the bytes are no RESP or a reply is over the
 * bounds: the codec and the connection are of no more use then.
 */
ngx_int_t ngx_cred_redis_codec_next(ngx_cred_redis_codec_t *codec,
    ngx_cred_redis_reply_t **reply, char **err);

/*
 * Appends a command to "out", which grows as needed.  Returns NGX_OK or
 * NGX_ERROR if there is no memory.
 */
ngx_int_t ngx_cred_redis_codec_append(ngx_cred_redis_output_t *out,
    ngx_str_t *args, ngx_uint_t nargs, ngx_log_t *log);


#endif /* _NGX_CRED_REDIS_CODEC_H_INCLUDED_ */
