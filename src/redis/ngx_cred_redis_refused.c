
/*
 * Copyright (C) ngx_cred_module authors
 * SPDX-License-Identifier: BSD-2-Clause
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>
#include <ngx_cred_redis_connection.h>


/* how often the same error is told, in milliseconds */
#define NGX_CRED_REDIS_REFUSED_TIME  60000
#define NGX_CRED_REDIS_HINT_LEN      128


static ngx_str_t ngx_cred_redis_refused_code(ngx_str_t *error);
static ngx_uint_t ngx_cred_redis_refused_level(ngx_cred_redis_t *redis,
    ngx_str_t *code);
static ngx_uint_t ngx_cred_redis_denied(ngx_str_t *error);
static u_char *ngx_cred_redis_denied_hint(ngx_str_t *error, u_char *p,
    u_char *last);
static ngx_uint_t ngx_cred_redis_begins(ngx_str_t *error, const char *text);
static u_char *ngx_cred_redis_within(ngx_str_t *error, const char *text);


/*
 * An error reply is a state of that Redis (NOAUTH, LOADING, READONLY, OOM,
 * a broken key): it is logged when it begins, and once a minute, not each time.
 */

void
ngx_cred_redis_refused(ngx_cred_redis_t *redis, ngx_str_t *error)
{
    u_char      *p, hint[NGX_CRED_REDIS_HINT_LEN];
    ngx_str_t    code;
    ngx_uint_t   level;

    p = hint;
    code = ngx_cred_redis_refused_code(error);

    if (ngx_cred_redis_denied(error)) {
        ngx_str_set(&code, "NOPERM");
        p = ngx_cred_redis_denied_hint(error, p,
                                       hint + NGX_CRED_REDIS_HINT_LEN);

    } else if (ngx_cred_redis_begins(error, "MOVED ")
               && redis->url.kind != NGX_CRED_REDIS_CLUSTER)
    {
        p = ngx_slprintf(p, hint + NGX_CRED_REDIS_HINT_LEN,
                         " (a cluster takes \"redis-cluster://\")");
    }

    level = ngx_cred_redis_refused_level(redis, &code);

    ngx_log_error(level, &redis->log, 0, "redis refused a command: %V%*s",
                  error, (size_t) (p - hint), hint);

    if ((code.len == 6 && ngx_strncmp(code.data, "NOAUTH", 6) == 0)
        || (code.len == 9 && ngx_strncmp(code.data, "WRONGPASS", 9) == 0))
    {
        ngx_cred_redis_auth_lost(redis);
    }
}


/* its first word; of what fails in a script Redis 6 says first where it was */

static ngx_str_t
ngx_cred_redis_refused_code(ngx_str_t *error)
{
    u_char     *p, *last;
    ngx_str_t   code;

    code = *error;
    last = code.data + code.len;

    if (ngx_cred_redis_begins(error, "ERR Error running script")
        || ngx_cred_redis_begins(error, "@user_script:"))
    {
        while ((p = ngx_cred_redis_within(&code, "@user_script:")) != NULL) {
            code.data = p + sizeof("@user_script:") - 1;
            code.len = last - code.data;
        }

        while (code.len && ngx_strchr("0123456789 :-", *code.data)) {
            code.data++;
            code.len--;
        }
    }

    p = ngx_strlchr(code.data, last, ' ');

    if (p) {
        code.len = p - code.data;
    }

    return code;
}


/* a Redis may be full, and a key of the wrong type */

static ngx_uint_t
ngx_cred_redis_refused_level(ngx_cred_redis_t *redis, ngx_str_t *code)
{
    uint32_t                   hash;
    ngx_msec_t                 age, oldest;
    ngx_uint_t                 i;
    ngx_cred_redis_refusal_t  *refusal, *place;

    hash = ngx_crc32_short(code->data, code->len) | 1;

    oldest = 0;
    place = &redis->refusals[0];

    for (i = 0; i < NGX_CRED_REDIS_REFUSALS; i++) {
        refusal = &redis->refusals[i];

        age = refusal->hash ? ngx_current_msec - refusal->told
                            : NGX_MAX_UINT32_VALUE;

        if (refusal->hash == hash) {

            if (age < NGX_CRED_REDIS_REFUSED_TIME) {
                return NGX_LOG_INFO;
            }

            place = refusal;
            break;
        }

        if (age > oldest) {
            oldest = age;
            place = refusal;
        }
    }

    place->hash = hash;
    place->told = ngx_current_msec;

    return NGX_LOG_ERR;
}


/* by its ACL; within a script each version words it differently */

static ngx_uint_t
ngx_cred_redis_denied(ngx_str_t *error)
{
    return ngx_cred_redis_begins(error, "NOPERM")
           || ngx_cred_redis_within(error, "user executing the script can't")
           || ngx_cred_redis_within(error, "ACL failure in script");
}


/* "no permissions to run the 'publish' command" names it, others do not */

static u_char *
ngx_cred_redis_denied_hint(ngx_str_t *error, u_char *p, u_char *last)
{
    u_char     *end;
    ngx_str_t   name;

    name.data = ngx_cred_redis_within(error, " to run the '");

    if (name.data) {
        name.data += sizeof(" to run the '") - 1;
        end = ngx_strlchr(name.data, error->data + error->len, '\'');

        if (end) {
            name.len = end - name.data;
            return ngx_slprintf(p, last, " (the user lacks \"+%V\")", &name);
        }
    }

    return ngx_slprintf(p, last, " (\"ACL LOG\" there names what the user "
                        "lacks, doc/security.md what it needs)");
}


static ngx_uint_t
ngx_cred_redis_begins(ngx_str_t *error, const char *text)
{
    size_t  len;

    len = ngx_strlen(text);

    return error->len >= len && ngx_strncmp(error->data, text, len) == 0;
}


static u_char *
ngx_cred_redis_within(ngx_str_t *error, const char *text)
{
    return ngx_strnstr(error->data, (char *) text, error->len);
}
