
/*
 * Copyright (C) ngx_cred_module authors
 * SPDX-License-Identifier: BSD-2-Clause
 */


/*
 * Standard Webhooks, with keys that both sides have: a signature is the
 * HMAC-SHA256 of "ID.TIMESTAMP.BODY".
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <ngx_cred_connector_read.h>


#define NGX_CRED_WEBHOOK_PREFIX   "whsec_"
#define NGX_CRED_WEBHOOK_PREFIX_LEN                                           \
    (sizeof(NGX_CRED_WEBHOOK_PREFIX) - 1)

#define NGX_CRED_WEBHOOK_KEY_MIN  24
#define NGX_CRED_WEBHOOK_KEY_MAX  64

#define NGX_CRED_WEBHOOK_HASH     32
#define NGX_CRED_WEBHOOK_SIGNED                                               \
    (sizeof(" v1,") - 1 + ngx_base64_encoded_length(NGX_CRED_WEBHOOK_HASH))


static ngx_int_t ngx_cred_webhook_key(ngx_pool_t *pool,
    ngx_cred_connector_t *connector, ngx_str_t *text, ngx_str_t *err);
static size_t ngx_cred_webhook_id_len(ngx_str_t *s);
static u_char *ngx_cred_webhook_id(u_char *p, ngx_str_t *s);
static ngx_int_t ngx_cred_webhook_signature(ngx_str_t *key, ngx_str_t *text,
    u_char **pos);


ngx_int_t
ngx_cred_webhook_secret(ngx_pool_t *pool, ngx_cred_connector_t *connector,
    ngx_str_t *text, ngx_str_t *err)
{
    u_char      *p, *last;
    ngx_int_t    rc;
    ngx_str_t    one;

    ngx_str_null(err);

    one.data = text->data;
    last = text->data + text->len;

    for ( ;; ) {

        p = ngx_strlchr(one.data, last, ' ');

        one.len = (p ? p : last) - one.data;

        rc = ngx_cred_webhook_key(pool, connector, &one, err);

        if (rc != NGX_OK || p == NULL) {
            return rc;
        }

        one.data = p + 1;
    }
}


/* what is wrong with it is told without it */

static ngx_int_t
ngx_cred_webhook_key(ngx_pool_t *pool, ngx_cred_connector_t *connector,
    ngx_str_t *text, ngx_str_t *err)
{
    ngx_str_t   *key, base64, decoded;
    ngx_uint_t   n, bad;

    if (connector->secrets.nelts == NGX_CRED_CONNECTOR_SECRETS) {
        return ngx_cred_connector_error(pool, err,
                                        "there are more than %d secrets",
                                        NGX_CRED_CONNECTOR_SECRETS);
    }

    if (text->len < NGX_CRED_WEBHOOK_PREFIX_LEN
        || ngx_memcmp(text->data, NGX_CRED_WEBHOOK_PREFIX,
                      NGX_CRED_WEBHOOK_PREFIX_LEN)
           != 0)
    {
        return ngx_cred_connector_error(pool, err,
                                        "a secret must begin with \""
                                        NGX_CRED_WEBHOOK_PREFIX "\"");
    }

    base64.data = text->data + NGX_CRED_WEBHOOK_PREFIX_LEN;
    base64.len = text->len - NGX_CRED_WEBHOOK_PREFIX_LEN;

    /* ngx_decode_base64() reads no further than the first "=" */

    for (n = 0; n < 2; n++) {

        if (base64.len == 0 || base64.data[base64.len - 1] != '=') {
            break;
        }

        base64.len--;
    }

    bad = ((base64.len + n) % 4
           || base64.len > ngx_base64_encoded_length(NGX_CRED_WEBHOOK_KEY_MAX)
           || ngx_strlchr(base64.data, base64.data + base64.len, '='));

    decoded.data = ngx_pnalloc(pool, ngx_base64_decoded_length(base64.len));
    if (decoded.data == NULL) {
        return NGX_ERROR;
    }

    if (bad
        || ngx_decode_base64(&decoded, &base64) != NGX_OK
        || decoded.len < NGX_CRED_WEBHOOK_KEY_MIN
        || decoded.len > NGX_CRED_WEBHOOK_KEY_MAX)
    {
        return ngx_cred_connector_error(pool, err,
                                        "a secret must be the base64 of %d to "
                                        "%d bytes", NGX_CRED_WEBHOOK_KEY_MIN,
                                        NGX_CRED_WEBHOOK_KEY_MAX);
    }

    key = ngx_array_push(&connector->secrets);
    if (key == NULL) {
        return NGX_ERROR;
    }

    *key = decoded;

    return NGX_OK;
}


ngx_int_t
ngx_cred_webhook_sign(ngx_pool_t *pool, ngx_cred_connector_t *connector,
    ngx_cred_values_t values, time_t now, ngx_str_t *body, ngx_str_t *header)
{
    size_t       len;
    u_char      *p;
    ngx_str_t   *key, id, text;
    ngx_uint_t   i;

    /* ID.TIMESTAMP.BODY */

    len = ngx_cred_webhook_id_len(&values[NGX_CRED_PLACE_OPERATION]) + 1
          + ngx_cred_webhook_id_len(&values[NGX_CRED_PLACE_ENVIRONMENT]);

    text.data = ngx_pnalloc(pool, len + NGX_TIME_T_LEN + 2 + body->len);
    if (text.data == NULL) {
        return NGX_ERROR;
    }

    id.data = text.data;

    p = ngx_cred_webhook_id(text.data, &values[NGX_CRED_PLACE_OPERATION]);
    *p++ = '_';
    p = ngx_cred_webhook_id(p, &values[NGX_CRED_PLACE_ENVIRONMENT]);

    id.len = p - id.data;

    text.len = ngx_sprintf(p, ".%T.%V", now, body) - text.data;

    len = sizeof("webhook-id: " CRLF "webhook-timestamp: " CRLF
                 "webhook-signature:" CRLF) - 1
          + id.len + NGX_TIME_T_LEN
          + connector->secrets.nelts * NGX_CRED_WEBHOOK_SIGNED;

    p = ngx_pnalloc(pool, len);
    if (p == NULL) {
        return NGX_ERROR;
    }

    header->data = p;

    p = ngx_sprintf(p, "webhook-id: %V" CRLF "webhook-timestamp: %T" CRLF
                    "webhook-signature:", &id, now);

    key = connector->secrets.elts;

    for (i = 0; i < connector->secrets.nelts; i++) {
        if (ngx_cred_webhook_signature(&key[i], &text, &p) != NGX_OK) {
            return NGX_ERROR;
        }
    }

    *p++ = CR; *p++ = LF;

    header->len = p - header->data;

    return NGX_OK;
}


static ngx_int_t
ngx_cred_webhook_signature(ngx_str_t *key, ngx_str_t *text, u_char **pos)
{
    u_char        *p;
    ngx_str_t      hash, base64;
    unsigned int   len;
    u_char         buf[EVP_MAX_MD_SIZE];

    if (HMAC(EVP_sha256(), key->data, (int) key->len, text->data, text->len,
             buf, &len)
        == NULL)
    {
        return NGX_ERROR;
    }

    hash.data = buf;
    hash.len = len;

    p = ngx_cpymem(*pos, " v1,", sizeof(" v1,") - 1);

    base64.data = p;

    ngx_encode_base64(&base64, &hash);

    *pos = p + base64.len;

    return NGX_OK;
}


/* a "." in an id would let the text be read otherwise than it was signed */

static size_t
ngx_cred_webhook_id_len(ngx_str_t *s)
{
    return s->len * (sizeof("%2E") - 1);
}


static u_char *
ngx_cred_webhook_id(u_char *p, ngx_str_t *s)
{
    size_t     i;
    ngx_str_t  rest;

    rest = *s;

    for (i = 0; i < s->len; i++) {

        if (s->data[i] != '.') {
            continue;
        }

        rest.len = s->data + i - rest.data;

        p = (u_char *) ngx_escape_uri(p, rest.data, rest.len,
                                      NGX_ESCAPE_URI_COMPONENT);
        p = ngx_cpymem(p, "%2E", sizeof("%2E") - 1);

        rest.data = s->data + i + 1;
    }

    rest.len = s->data + s->len - rest.data;

    return (u_char *) ngx_escape_uri(p, rest.data, rest.len,
                                     NGX_ESCAPE_URI_COMPONENT);
}
