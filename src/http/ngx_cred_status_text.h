
/*
 * Copyright (C) ngx_cred_module authors
 * SPDX-License-Identifier: BSD-2-Clause
 */


/*
 * Text in Prometheus' format, which grows; only the files that make it include
 * this.
 */


#ifndef _NGX_CRED_STATUS_TEXT_H_INCLUDED_
#define _NGX_CRED_STATUS_TEXT_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_cred_status_http.h>


#define NGX_HTTP_CRED_STATUS_NUMBER  (NGX_INT64_LEN + 4)


/* text that grows; "failed" without memory */

typedef struct {
    ngx_http_cred_status_ctx_t  *ctx;
    ngx_pool_t                  *pool;
    u_char                      *start;
    u_char                      *last;
    u_char                      *end;
    ngx_uint_t                   failed;
} ngx_http_cred_status_text_t;


/* begins a metric, whose lines follow */
void ngx_http_cred_status_head(ngx_http_cred_status_text_t *text,
    const char *name, const char *type, const char *help);

/* some lines, as by ngx_sprintf() */
void ngx_http_cred_status_write(ngx_http_cred_status_text_t *text,
    const char *fmt, ...);

/* a value, written to "buf", NGX_HTTP_CRED_STATUS_NUMBER bytes */
ngx_str_t ngx_http_cred_status_number(double value, u_char *buf);

/* the value of a label, in memory of the request; empty without memory */
ngx_str_t ngx_http_cred_status_label(ngx_http_cred_status_text_t *text,
    ngx_str_t *name);


#endif /* _NGX_CRED_STATUS_TEXT_H_INCLUDED_ */
