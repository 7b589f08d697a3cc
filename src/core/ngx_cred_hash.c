
/*
 * Copyright (C) ngx_cred_module authors
 * SPDX-License-Identifier: BSD-2-Clause
 */


/* tokens and keys are only ever stored, sent and compared as their SHA-256 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <openssl/evp.h>
#include <ngx_cred_core.h>


ngx_int_t
ngx_cred_hash(ngx_str_t *s, u_char *hash)
{
    unsigned int  len;

    static EVP_MD_CTX    *ctx;
    static const EVP_MD  *sha256;

    if (ctx == NULL) {

        /* fetched once, since OpenSSL 3 looks for it at each EVP_sha256() */

#if (OPENSSL_VERSION_NUMBER >= 0x30000000L)
        sha256 = EVP_MD_fetch(NULL, "SHA256", NULL);
#else
        sha256 = EVP_sha256();
#endif

        if (sha256 == NULL) {
            return NGX_ERROR;
        }

        ctx = EVP_MD_CTX_new();
        if (ctx == NULL) {
            return NGX_ERROR;
        }
    }

    if (EVP_DigestInit_ex(ctx, sha256, NULL) != 1
        || EVP_DigestUpdate(ctx, s->data, s->len) != 1
        || EVP_DigestFinal_ex(ctx, hash, &len) != 1)
    {
        return NGX_ERROR;
    }

    return NGX_OK;
}


ngx_int_t
ngx_cred_hash_hex(ngx_str_t *s, u_char *hex)
{
    u_char  hash[NGX_CRED_HASH_LEN];

    if (ngx_cred_hash(s, hash) != NGX_OK) {
        return NGX_ERROR;
    }

    ngx_hex_dump(hex, hash, NGX_CRED_HASH_LEN);
    ngx_memzero(hash, sizeof(hash));

    return NGX_OK;
}
