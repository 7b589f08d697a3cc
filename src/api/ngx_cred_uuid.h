
/*
 * Copyright (C) ngx_cred_module authors
 * SPDX-License-Identifier: BSD-2-Clause
 */


#ifndef _NGX_CRED_UUID_H_INCLUDED_
#define _NGX_CRED_UUID_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>


#define NGX_CRED_UUID_LEN        36
#define NGX_CRED_UUID_ERROR_LEN  160


/*
 * Parses "text", valid UTF-8, as a UUID: hyphenated, simple, in braces or with
 * "urn:uuid:".  Returns NGX_OK with the canonical spelling in "uuid", which has
 * room for NGX_CRED_UUID_LEN bytes; or NGX_DECLINED with "error", which has
 * room for NGX_CRED_UUID_ERROR_LEN bytes, saying what is wrong in pydantic's
 * words, and its length in "len".
 */
ngx_int_t ngx_cred_uuid_parse(ngx_str_t *text, u_char *uuid, u_char *error,
    size_t *len);


#endif /* _NGX_CRED_UUID_H_INCLUDED_ */
