
/*
 * Copyright (C) ngx_cred_module authors
 * SPDX-License-Identifier: BSD-2-Clause
 */


/* templates are read: text with places for what is known of a delete */


#include <ngx_config.h>
#include <ngx_core.h>
#include <jansson.h>
#include <ngx_cred_connector_read.h>


#define NGX_CRED_TEMPLATE_SHOWN  32    /* bytes of a name that is none */


/* a template while it is read */

typedef struct {
    ngx_pool_t                 *pool;
    ngx_cred_template_t        *template;
    ngx_str_t                  *err;
    u_char                     *start;     /* of text that is no place */
    u_char                     *last;
    unsigned                    string:1;  /* of JSON */
} ngx_cred_template_reader_t;


static ngx_int_t ngx_cred_template_place(ngx_cred_template_reader_t *reader,
    u_char **pos);
static ngx_int_t ngx_cred_template_char(ngx_cred_template_reader_t *reader,
    u_char **pos);
static ngx_int_t ngx_cred_template_text(ngx_cred_template_reader_t *reader,
    u_char *end);
static ngx_cred_template_part_t *ngx_cred_template_part(
    ngx_cred_template_reader_t *reader);
static ngx_int_t ngx_cred_template_json(ngx_cred_template_reader_t *reader);
static ngx_uint_t ngx_cred_template_is_name(u_char c);


ngx_str_t  ngx_cred_template_places[] = {
    ngx_string("api"),
    ngx_string("scope"),
    ngx_string("id"),
    ngx_string("revision"),
    ngx_string("operation"),
    ngx_string("environment"),
    ngx_string("target")
};


const char  *ngx_cred_template_kinds[] = { "path", "header", "body", "path" };


ngx_int_t
ngx_cred_template_parse(ngx_pool_t *pool, ngx_str_t *text,
    ngx_cred_template_kind_e kind, ngx_cred_template_t *template,
    ngx_str_t *err)
{
    u_char                      *p;
    ngx_int_t                    rc;
    ngx_cred_template_reader_t   reader;

    ngx_str_null(err);

    template->kind = kind;
    template->places = 0;

    if (ngx_array_init(&template->parts, pool, 1,
                       sizeof(ngx_cred_template_part_t))
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    reader.pool = pool;
    reader.template = template;
    reader.err = err;
    reader.start = text->data;
    reader.last = text->data + text->len;
    reader.string = 0;

    p = text->data;

    while (p < reader.last) {

        /* but for a path, a "{" may be just that, of JSON to begin with */

        if (*p == '{'
            && (kind == NGX_CRED_TEMPLATE_PATH
                || kind == NGX_CRED_TEMPLATE_SEGMENTS
                || (p + 1 < reader.last && ngx_cred_template_is_name(p[1]))))
        {
            rc = ngx_cred_template_place(&reader, &p);

        } else {
            rc = ngx_cred_template_char(&reader, &p);
        }

        if (rc != NGX_OK) {
            return NGX_ERROR;
        }
    }

    if (ngx_cred_template_text(&reader, reader.last) != NGX_OK) {
        return NGX_ERROR;
    }

    if (kind == NGX_CRED_TEMPLATE_BODY && text->len) {
        return ngx_cred_template_json(&reader);
    }

    return NGX_OK;
}


static ngx_int_t
ngx_cred_template_place(ngx_cred_template_reader_t *reader, u_char **pos)
{
    u_char                    *p;
    ngx_str_t                  name;
    ngx_uint_t                 n;
    ngx_cred_template_t       *template;
    ngx_cred_template_part_t  *part;

    if (ngx_cred_template_text(reader, *pos) != NGX_OK) {
        return NGX_ERROR;
    }

    p = *pos + 1;
    name.data = p;

    while (p < reader->last && ngx_cred_template_is_name(*p)) {
        p++;
    }

    name.len = p - name.data;

    if (p == reader->last || *p != '}') {
        name.len = ngx_min(name.len, NGX_CRED_TEMPLATE_SHOWN);
        (void) ngx_cred_connector_error(reader->pool, reader->err,
                                        "placeholder \"{%V\" has no \"}\"",
                                        &name);
        return NGX_ERROR;
    }

    for (n = 0; n < NGX_CRED_NPLACES; n++) {

        if (name.len == ngx_cred_template_places[n].len
            && ngx_memcmp(name.data, ngx_cred_template_places[n].data,
                          name.len)
               == 0)
        {
            break;
        }
    }

    if (n == NGX_CRED_NPLACES) {
        name.len = ngx_min(name.len, NGX_CRED_TEMPLATE_SHOWN);
        (void) ngx_cred_connector_error(reader->pool, reader->err,
                                        "unknown placeholder \"{%V}\"", &name);
        return NGX_ERROR;
    }

    template = reader->template;

    if (template->kind == NGX_CRED_TEMPLATE_BODY && !reader->string
        && n != NGX_CRED_PLACE_REVISION)
    {
        (void) ngx_cred_connector_error(reader->pool, reader->err,
                                        "placeholder \"{%V}\" must be inside "
                                        "a JSON string", &name);
        return NGX_ERROR;
    }

    part = ngx_cred_template_part(reader);
    if (part == NULL) {
        return NGX_ERROR;
    }

    part->place = n;

    template->places |= (ngx_uint_t) 1 << n;

    *pos = p + 1;
    reader->start = *pos;

    return NGX_OK;
}


/* text that is no place */

static ngx_int_t
ngx_cred_template_char(ngx_cred_template_reader_t *reader, u_char **pos)
{
    u_char      *p;
    ngx_str_t    c;
    ngx_uint_t   bad;

    p = *pos;
    bad = 0;

    switch (reader->template->kind) {

    case NGX_CRED_TEMPLATE_PATH:
    case NGX_CRED_TEMPLATE_SEGMENTS:

        /* what RFC 3986 has, and "[", "]" as queries do */

        if (*p == '%') {
            bad = (reader->last - p < 3
                   || !ngx_cred_connector_is_digit(p[1])
                   || !ngx_cred_connector_is_digit(p[2]));

        } else {
            bad = (!ngx_cred_template_is_name(*p)
                   && (*p == '\0' || ngx_strchr(".~!$&'()*+,;=:@/?[]", *p)
                                     == NULL));
        }

        break;

    case NGX_CRED_TEMPLATE_HEADER:
        c.data = p;
        c.len = 1;

        bad = (*p != '\t' && ngx_cred_connector_has_control(&c));

        break;

    case NGX_CRED_TEMPLATE_BODY:

        if (*p == '"') {
            reader->string = !reader->string;

        } else if (*p == '\\' && reader->string && p + 1 < reader->last) {
            p++;
        }

        break;
    }

    if (bad) {
        (void) ngx_cred_connector_error(reader->pool, reader->err,
                                        "invalid character 0x%02xi in a %s",
                                        (ngx_uint_t) *p,
                                        ngx_cred_template_kinds[
                                            reader->template->kind]);
        return NGX_ERROR;
    }

    *pos = p + 1;

    return NGX_OK;
}


/* text before a place, or the end, becomes a part */

static ngx_int_t
ngx_cred_template_text(ngx_cred_template_reader_t *reader, u_char *end)
{
    ngx_cred_template_part_t  *part;

    if (reader->start == end) {
        return NGX_OK;
    }

    part = ngx_cred_template_part(reader);
    if (part == NULL) {
        return NGX_ERROR;
    }

    part->text.data = reader->start;
    part->text.len = end - reader->start;

    return NGX_OK;
}


static ngx_cred_template_part_t *
ngx_cred_template_part(ngx_cred_template_reader_t *reader)
{
    ngx_cred_template_part_t  *part;

    part = ngx_array_push(&reader->template->parts);
    if (part == NULL) {
        return NULL;
    }

    ngx_str_null(&part->text);
    part->place = NGX_CRED_NPLACES;

    return part;
}


/* of a body with the least that places can have */

static ngx_int_t
ngx_cred_template_json(ngx_cred_template_reader_t *reader)
{
    json_t             *json;
    ngx_str_t           text;
    ngx_uint_t          n;
    json_error_t        error;
    ngx_cred_values_t   values;

    for (n = 0; n < NGX_CRED_NPLACES; n++) {
        ngx_str_set(&values[n], "x");
    }

    ngx_str_set(&values[NGX_CRED_PLACE_REVISION], "0");

    if (ngx_cred_template_fill(reader->pool, reader->template, values, &text,
                               reader->err)
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    json = json_loadb((char *) text.data, text.len,
                      JSON_DECODE_ANY|JSON_REJECT_DUPLICATES, &error);

    if (json == NULL) {

        if (error.text[0] == '\0') {
            return NGX_ERROR;
        }

        (void) ngx_cred_connector_error(reader->pool, reader->err,
                                        "a body must be JSON: %s",
                                        error.text);
        return NGX_ERROR;
    }

    json_decref(json);

    return NGX_OK;
}


static ngx_uint_t
ngx_cred_template_is_name(u_char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z')
           || (c >= '0' && c <= '9') || c == '_' || c == '-';
}
