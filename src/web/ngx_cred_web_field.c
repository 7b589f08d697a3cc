
/*
 * Copyright (C) ngx_cred_module authors
 * SPDX-License-Identifier: BSD-2-Clause
 */


/* the fields of responses that are of use */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>
#include <ngx_http.h>
#include <ngx_cred_web_connection.h>


#define NGX_CRED_WEB_DATE         64             /* no date is longer */
#define NGX_CRED_WEB_LATER        ((ngx_int_t) NGX_MAX_INT32_VALUE)   /* s */


typedef ngx_int_t (*ngx_cred_web_field_pt)(ngx_cred_web_parser_t *parser,
    ngx_str_t *value);


typedef struct {
    ngx_str_t                 name;
    ngx_cred_web_field_pt     handler;
} ngx_cred_web_field_t;


static ngx_int_t ngx_cred_web_split(ngx_cred_web_parser_t *parser,
    ngx_str_t *name, ngx_str_t *value);
static ngx_int_t ngx_cred_web_length(ngx_cred_web_parser_t *parser,
    ngx_str_t *value);
static ngx_int_t ngx_cred_web_coding(ngx_cred_web_parser_t *parser,
    ngx_str_t *value);
static ngx_int_t ngx_cred_web_options(ngx_cred_web_parser_t *parser,
    ngx_str_t *value);
static ngx_int_t ngx_cred_web_etag(ngx_cred_web_parser_t *parser,
    ngx_str_t *value);
static ngx_int_t ngx_cred_web_location(ngx_cred_web_parser_t *parser,
    ngx_str_t *value);
static ngx_int_t ngx_cred_web_retry(ngx_cred_web_parser_t *parser,
    ngx_str_t *value);
static ngx_int_t ngx_cred_web_encoding(ngx_cred_web_parser_t *parser,
    ngx_str_t *value);
static void ngx_cred_web_trim(ngx_str_t *s);
static ngx_uint_t ngx_cred_web_same(ngx_str_t *s, const char *name,
    size_t len);


#define ngx_cred_web_is(s, name)                                              \
    ngx_cred_web_same(s, name, sizeof(name) - 1)


static ngx_cred_web_field_t  ngx_cred_web_known[] = {
    { ngx_string("Content-Length"), ngx_cred_web_length },
    { ngx_string("Transfer-Encoding"), ngx_cred_web_coding },
    { ngx_string("Connection"), ngx_cred_web_options },
    { ngx_string("ETag"), ngx_cred_web_etag },
    { ngx_string("Location"), ngx_cred_web_location },
    { ngx_string("Retry-After"), ngx_cred_web_retry },
    { ngx_string("Content-Encoding"), ngx_cred_web_encoding },
    { ngx_null_string, NULL }
};


ngx_int_t
ngx_cred_web_field(ngx_cred_web_parser_t *parser)
{
    ngx_str_t              name, value;
    ngx_cred_web_field_t  *field;

    if (ngx_cred_web_split(parser, &name, &value) != NGX_OK) {
        return ngx_cred_web_wrong(parser, "a header without a colon");
    }

    for (field = ngx_cred_web_known; field->name.len; field++) {

        if (ngx_cred_web_same(&name, (char *) field->name.data,
                              field->name.len))
        {
            return field->handler(parser, &value);
        }
    }

    return NGX_OK;
}


ngx_int_t
ngx_cred_web_trailer(ngx_cred_web_parser_t *parser)
{
    ngx_str_t  name, value;

    if (ngx_cred_web_split(parser, &name, &value) != NGX_OK) {
        return NGX_ERROR;
    }

    return ngx_cred_web_is(&name, "ETag") ? ngx_cred_web_etag(parser, &value)
                                          : NGX_OK;
}


static ngx_int_t
ngx_cred_web_split(ngx_cred_web_parser_t *parser, ngx_str_t *name,
    ngx_str_t *value)
{
    ngx_http_request_t  *r;

    r = &parser->request;

    if (r->header_start == r->header_name_end) {
        return NGX_ERROR;
    }

    name->data = r->header_name_start;
    name->len = r->header_name_end - name->data;

    value->data = r->header_start;
    value->len = r->header_end - value->data;

    ngx_cred_web_trim(value);

    return NGX_OK;
}


static ngx_int_t
ngx_cred_web_length(ngx_cred_web_parser_t *parser, ngx_str_t *value)
{
    if (parser->length != -1) {
        return ngx_cred_web_wrong(parser, "more than one Content-Length");
    }

    parser->length = ngx_atoof(value->data, value->len);

    if (parser->length == NGX_ERROR) {
        return ngx_cred_web_wrong(parser, "an invalid Content-Length");
    }

    return NGX_OK;
}


static ngx_int_t
ngx_cred_web_coding(ngx_cred_web_parser_t *parser, ngx_str_t *value)
{
    if (parser->coded || !ngx_cred_web_is(value, "chunked")) {
        return ngx_cred_web_wrong(parser, "an unknown Transfer-Encoding");
    }

    parser->coded = 1;

    return NGX_OK;
}


/* of Connection */

static ngx_int_t
ngx_cred_web_options(ngx_cred_web_parser_t *parser, ngx_str_t *value)
{
    u_char     *p, *last, *end;
    ngx_str_t   option;

    p = value->data;
    last = p + value->len;

    while (p < last) {
        end = ngx_strlchr(p, last, ',');

        if (end == NULL) {
            end = last;
        }

        option.data = p;
        option.len = end - p;
        ngx_cred_web_trim(&option);

        if (ngx_cred_web_is(&option, "close")) {
            parser->close = 1;

        } else if (ngx_cred_web_is(&option, "keep-alive")) {
            parser->persist = 1;
        }

        p = end + 1;
    }

    return NGX_OK;
}


static ngx_int_t
ngx_cred_web_etag(ngx_cred_web_parser_t *parser, ngx_str_t *value)
{
    if (parser->response.etag.len == 0) {
        parser->response.etag = *value;
    }

    return NGX_OK;
}


static ngx_int_t
ngx_cred_web_location(ngx_cred_web_parser_t *parser, ngx_str_t *value)
{
    if (parser->response.location.len == 0) {
        parser->response.location = *value;
    }

    return NGX_OK;
}


/* seconds, or a date */

static ngx_int_t
ngx_cred_web_retry(ngx_cred_web_parser_t *parser, ngx_str_t *value)
{
    size_t      i;
    time_t      when;
    ngx_int_t  *seconds;

    seconds = &parser->response.retry_after;

    if (*seconds != NGX_ERROR || value->len == 0) {
        return NGX_OK;
    }

    for (i = 0; i < value->len; i++) {
        if (value->data[i] < '0' || value->data[i] > '9') {
            break;
        }
    }

    if (i == value->len) {
        *seconds = ngx_atoi(value->data, value->len);

        if (*seconds == NGX_ERROR || *seconds > NGX_CRED_WEB_LATER) {
            *seconds = NGX_CRED_WEB_LATER;
        }

        return NGX_OK;
    }

    if (value->len > NGX_CRED_WEB_DATE) {
        return NGX_OK;
    }

    when = ngx_parse_http_time(value->data, value->len);

    if (when != NGX_ERROR) {
        when -= ngx_time();
        *seconds = ngx_max(when, 0);
        *seconds = ngx_min(*seconds, NGX_CRED_WEB_LATER);
    }

    return NGX_OK;
}


static ngx_int_t
ngx_cred_web_encoding(ngx_cred_web_parser_t *parser, ngx_str_t *value)
{
    if (value->len && !ngx_cred_web_is(value, "identity")) {
        parser->response.encoded = 1;
    }

    return NGX_OK;
}


static void
ngx_cred_web_trim(ngx_str_t *s)
{
    while (s->len && (s->data[0] == ' ' || s->data[0] == '\t')) {
        s->data++;
        s->len--;
    }

    while (s->len
           && (s->data[s->len - 1] == ' ' || s->data[s->len - 1] == '\t'))
    {
        s->len--;
    }
}


static ngx_uint_t
ngx_cred_web_same(ngx_str_t *s, const char *name, size_t len)
{
    return s->len == len
           && ngx_strncasecmp(s->data, (u_char *) name, len) == 0;
}
