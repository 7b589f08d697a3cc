
/*
 * Copyright (C) ngx_cred_module authors
 * SPDX-License-Identifier: BSD-2-Clause
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>
#include <ngx_cred_redis_connection.h>


/* how often the same error is told, in seconds */
#define NGX_CRED_REDIS_REFUSED_TIME  60
#define NGX_CRED_REDIS_HINT_LEN      128


static ngx_uint_t ngx_cred_redis_refused_level(ngx_cred_redis_t *redis,
    ngx_str_t *code);
static ngx_uint_t ngx_cred_redis_denied(ngx_str_t *error);
static u_char *ngx_cred_redis_denied_hint(ngx_str_t *error, u_char *p,
    u_char *last);
static u_char *ngx_cred_redis_within(ngx_str_t *error, const char *text);


/*
 * An error reply is a state of that Redis (NOAUTH, LOADING, READONLY, OOM,
 * a broken key): it is logged when it begins, and once a minute, not each time.
 */

void
ngx_cred_redis_refused(ngx_cred_redis_t *redis, ngx_str_t *error)
{
    u_char      *p, *end, hint[NGX_CRED_REDIS_HINT_LEN];
    ngx_str_t    code;
    ngx_uint_t   level;

    p = hint;
    code = *error;

    end = ngx_strlchr(code.data, code.data + code.len, ' ');

    if (end) {
        code.len = end - code.data;
    }

    if (ngx_cred_redis_denied(error)) {
        ngx_str_set(&code, "NOPERM");
        p = ngx_cred_redis_denied_hint(error, p,
                                       hint + NGX_CRED_REDIS_HINT_LEN);

    } else if (error->len > 6 && ngx_strncmp(error->data, "MOVED ", 6) == 0
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


/* a Redis may be full, and a key of the wrong type */

static ngx_uint_t
ngx_cred_redis_refused_level(ngx_cred_redis_t *redis, ngx_str_t *code)
{
    uint32_t                   hash;
    ngx_uint_t                 i;
    ngx_cred_redis_refusal_t  *refusal, *oldest;

    hash = ngx_crc32_short(code->data, code->len) | 1;

    oldest = &redis->refusals[0];

    for (i = 0; i < NGX_CRED_REDIS_REFUSALS; i++) {
        refusal = &redis->refusals[i];

        if (refusal->hash == hash) {

            if (ngx_time() - refusal->told < NGX_CRED_REDIS_REFUSED_TIME) {
                return NGX_LOG_INFO;
            }

            oldest = refusal;
            break;
        }

        if (refusal->told < oldest->told) {
            oldest = refusal;
        }
    }

    oldest->hash = hash;
    oldest->told = ngx_time();

    return NGX_LOG_ERR;
}


/* by its ACL; within a script each version words it differently */

static ngx_uint_t
ngx_cred_redis_denied(ngx_str_t *error)
{
    return (error->len >= 6 && ngx_strncmp(error->data, "NOPERM", 6) == 0)
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


static u_char *
ngx_cred_redis_within(ngx_str_t *error, const char *text)
{
    return ngx_strnstr(error->data, (char *) text, error->len);
}
