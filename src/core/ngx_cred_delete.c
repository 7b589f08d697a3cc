
/*
 * Copyright (C) ngx_cred_module authors
 * SPDX-License-Identifier: BSD-2-Clause
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>
#include <openssl/evp.h>
#include <openssl/rand.h>
#include <ngx_cred_core.h>
#include <ngx_cred_delete.h>


#define NGX_CRED_DELETE_REPLY    5  /* elements of a reply ... */
#define NGX_CRED_DELETE_COUNTED  8  /* ... and of one that is counted */
#define NGX_CRED_DELETE_CASCADE  3  /* and of each environment */
#define NGX_CRED_POOL_SIZE       4096


static ngx_int_t ngx_cred_delete_init(ngx_cred_delete_t *del,
    ngx_cred_params_t *params);
static u_char *ngx_cred_delete_keep(u_char *p, ngx_str_t *dst, ngx_str_t *src);
static ngx_int_t ngx_cred_delete_id(u_char *hex);
static ngx_int_t ngx_cred_delete_hash(ngx_str_t *token, u_char *hex);
static ngx_int_t ngx_cred_delete_ask(ngx_cred_delete_t *del);
static void ngx_cred_delete_reply(ngx_cred_redis_command_t *command,
    ngx_cred_redis_reply_t *reply);
static ngx_int_t ngx_cred_delete_parse(ngx_cred_delete_t *del,
    ngx_cred_redis_reply_t *reply);
static ngx_int_t ngx_cred_delete_word(ngx_cred_delete_t *del, ngx_str_t *word);
static ngx_int_t ngx_cred_delete_environments(ngx_cred_delete_t *del,
    ngx_cred_redis_reply_t *cascade, ngx_cred_redis_reply_t *reply);
static ngx_int_t ngx_cred_delete_copy(ngx_cred_delete_t *del, ngx_str_t *dst,
    ngx_cred_redis_reply_t *reply);


/* in the order of ngx_cred_check_e */

static ngx_str_t  ngx_cred_delete_checks[] = {
    ngx_string("all"),
    ngx_string("absent"),
    ngx_string("token")
};

static ngx_str_t  ngx_cred_delete_again = ngx_string("again");


ngx_int_t
ngx_cred_delete(ngx_cred_registry_t *registry, ngx_cred_params_t *params,
    ngx_cred_delete_handler_pt handler, void *data, ngx_cred_delete_t **dp)
{
    ngx_pool_t         *pool;
    ngx_cred_delete_t  *del;

    pool = ngx_create_pool(NGX_CRED_POOL_SIZE, ngx_cycle->log);
    if (pool == NULL) {
        return NGX_DECLINED;
    }

    del = ngx_pcalloc(pool, sizeof(ngx_cred_delete_t));
    if (del == NULL) {
        goto failed;
    }

    /*
     * set by ngx_pcalloc():
     *
     *     del->outcome = { 0 };
     *     del->undeployments = NULL;
     *     del->held = 0;
     *     del->again = 0;
     *     del->answered = 0;
     */

    del->pool = pool;
    del->registry = registry;
    del->handler = handler;
    del->data = data;
    del->start = ngx_current_msec;
    del->outcome.registry_time = -1;
    del->outcome.cascade_time = -1;

    if (ngx_cred_delete_init(del, params) != NGX_OK
        || ngx_cred_delete_ask(del) != NGX_OK)
    {
        goto failed;
    }

    *dp = del;

    return NGX_AGAIN;

failed:

    ngx_destroy_pool(pool);

    return NGX_DECLINED;
}


static ngx_int_t
ngx_cred_delete_init(ngx_cred_delete_t *del, ngx_cred_params_t *params)
{
    u_char     *p;
    ngx_str_t  *arg;

    if (ngx_cred_delete_id(del->operation) != NGX_OK
        || ngx_cred_delete_hash(&params->token, del->token) != NGX_OK)
    {
        return NGX_ERROR;
    }

    del->outcome.token.data = del->token;
    del->outcome.token.len = NGX_CRED_TOKEN_SHOWN;

    p = ngx_pnalloc(del->pool, params->subject.len + params->scope.len
                               + params->id.len + params->client.len);
    if (p == NULL) {
        return NGX_ERROR;
    }

    arg = del->shared;

    *arg++ = del->registry->audit;
    *arg++ = del->registry->prefix;
    *arg++ = del->registry->lease;
    *arg++ = params->api;

    arg->data = (u_char *) (params->rules->membership ? "1" : "0");
    arg->len = 1;
    arg++;

    arg->data = del->rate;
    arg->len = ngx_sprintf(del->rate, "%ui", params->rules->rate) - del->rate;
    arg++;

    *arg++ = params->rules->role;

    arg->data = (u_char *) (params->rules->uses ? "1" : "0");
    arg->len = 1;
    arg++;

    del->deadline = arg;

    arg = del->args;

    arg->data = del->operation;
    arg->len = NGX_CRED_OPERATION_LEN;
    arg++;

    arg->data = del->token;
    arg->len = NGX_CRED_TOKEN_LEN;
    arg++;

    p = ngx_cred_delete_keep(p, arg++, &params->subject);
    p = ngx_cred_delete_keep(p, arg++, &params->scope);
    p = ngx_cred_delete_keep(p, arg++, &params->id);
    (void) ngx_cred_delete_keep(p, arg++, &params->client);

    del->check = arg;
    *arg++ = ngx_cred_delete_checks[params->check];

    del->command.script = &ngx_cred_delete_script;
    del->command.shared = del->shared;
    del->command.args = del->args;
    del->command.nargs = arg - del->args;
    del->command.handler = ngx_cred_delete_reply;
    del->command.data = del;

    return NGX_OK;
}


static u_char *
ngx_cred_delete_keep(u_char *p, ngx_str_t *dst, ngx_str_t *src)
{
    dst->data = p;
    dst->len = src->len;

    return src->len ? ngx_cpymem(p, src->data, src->len) : p;
}


/* many at a time, since each RAND_bytes() is a system call */

static ngx_int_t
ngx_cred_delete_id(u_char *hex)
{
    static u_char  random[64][NGX_CRED_OPERATION_LEN / 2];
    static size_t  left;

    if (left == 0) {

        if (RAND_bytes((u_char *) random, sizeof(random)) != 1) {
            return NGX_ERROR;
        }

        left = sizeof(random) / sizeof(random[0]);
    }

    ngx_hex_dump(hex, random[--left], sizeof(random[0]));

    return NGX_OK;
}


static ngx_int_t
ngx_cred_delete_hash(ngx_str_t *token, u_char *hex)
{
    u_char         hash[EVP_MAX_MD_SIZE];
    unsigned int   len;

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
        || EVP_DigestUpdate(ctx, token->data, token->len) != 1
        || EVP_DigestFinal_ex(ctx, hash, &len) != 1)
    {
        return NGX_ERROR;
    }

    ngx_hex_dump(hex, hash, len);
    ngx_memzero(hash, sizeof(hash));

    return NGX_OK;
}


static ngx_int_t
ngx_cred_delete_ask(ngx_cred_delete_t *del)
{
    uint64_t           now;
    ngx_msec_t         timeout;
    ngx_time_t        *tp;
    ngx_cred_redis_t  *redis;

    redis = ngx_cred_registry_redis(del->registry);
    if (redis == NULL) {
        return NGX_ERROR;
    }

    now = ngx_cred_redis_time(redis);

    if (now == 0) {
        tp = ngx_timeofday();
        now = (uint64_t) tp->sec * 1000 + tp->msec;
    }

    /*
     * Once this side has given up it says that nothing was changed, so a
     * registry that was stopped meanwhile must not run the script later.  What
     * it begins just before the deadline is left time to come back.
     */

    timeout = del->registry->redis.command_timeout;

    del->deadline->data = del->time;
    del->deadline->len = ngx_sprintf(del->time, "%uL",
                                     now + timeout - timeout / 8)
                         - del->time;

    return ngx_cred_redis_eval(redis, &del->command);
}


static void
ngx_cred_delete_reply(ngx_cred_redis_command_t *command,
    ngx_cred_redis_reply_t *reply)
{
    ngx_int_t           rc;
    ngx_cred_delete_t  *del;

    del = command->data;

    if (command->status == NGX_CRED_REDIS_OK) {
        rc = ngx_cred_delete_parse(del, reply);

        if (rc == NGX_OK) {
            del->outcome.registry_time = ngx_current_msec - del->start;
            ngx_cred_cascade(del);
            return;
        }

        /* asked again: the first of a call always has room */

        if (rc == NGX_BUSY
            && (del->again
                || ngx_current_msec - del->start
                   < del->registry->redis.command_timeout)
            && ngx_cred_delete_ask(del) == NGX_OK)
        {
            return;
        }

    } else {
        rc = (command->status == NGX_CRED_REDIS_REFUSED) ? NGX_ERROR
                                                         : NGX_AGAIN;
    }

    /*
     * No word on whether it was done: the same operation is asked again, once.
     * The script knows the operation and does nothing twice.
     */

    if (rc == NGX_AGAIN && !del->again) {
        del->again = 1;

        if (del->check->data == ngx_cred_delete_checks[0].data) {
            *del->check = ngx_cred_delete_again;
        }

        if (ngx_cred_delete_ask(del) == NGX_OK) {
            return;
        }
    }

    del->outcome.result = NGX_CRED_UNAVAILABLE;
    del->outcome.registry_time = ngx_current_msec - del->start;

    ngx_cred_cascade_complete(del);
}


/*
 * NGX_OK; NGX_AGAIN if it came too late; NGX_BUSY if there was no room in the
 * reply; or NGX_ERROR
 */

static ngx_int_t
ngx_cred_delete_parse(ngx_cred_delete_t *del, ngx_cred_redis_reply_t *reply)
{
    ngx_int_t                 rc;
    ngx_uint_t                counted;
    ngx_cred_redis_t         *redis;
    ngx_cred_outcome_t       *outcome;
    ngx_cred_redis_reply_t  **elts, *time, *cascades, *cascade;

    elts = del->command.whole->elts;

    if (del->command.whole == reply
        || elts[0]->type != NGX_CRED_REDIS_INTEGER
        || elts[1]->type != NGX_CRED_REDIS_ARRAY)
    {
        goto invalid;
    }

    time = elts[0];
    cascades = elts[1];

    redis = ngx_cred_registry_redis(del->registry);

    if (redis) {
        ngx_cred_redis_set_time(redis, time->integer);
    }

    outcome = &del->outcome;

    if (reply->type == NGX_CRED_REDIS_STRING) {
        rc = ngx_cred_delete_word(del, &reply->str);

        if (rc == NGX_ERROR
            || (rc == NGX_OK && outcome->result != NGX_CRED_UNAUTHORIZED))
        {
            goto invalid;
        }

        return rc;
    }

    if (reply->type != NGX_CRED_REDIS_ARRAY) {
        goto invalid;
    }

    elts = reply->elts;
    counted = (reply->nelts == NGX_CRED_DELETE_COUNTED);

    if ((reply->nelts != NGX_CRED_DELETE_REPLY && !counted)
        || elts[0]->type != NGX_CRED_REDIS_STRING
        || ngx_cred_delete_word(del, &elts[0]->str) != NGX_OK
        || ngx_cred_delete_copy(del, &outcome->subject, elts[1]) != NGX_OK
        || ngx_cred_delete_copy(del, &outcome->scope, elts[2]) != NGX_OK
        || elts[4]->type != NGX_CRED_REDIS_INTEGER
        || elts[4]->integer < 0
        || elts[4]->integer > (int64_t) cascades->nelts)
    {
        goto invalid;
    }

    if (counted) {

        if (elts[5]->type != NGX_CRED_REDIS_INTEGER
            || elts[6]->type != NGX_CRED_REDIS_INTEGER
            || elts[7]->type != NGX_CRED_REDIS_INTEGER)
        {
            goto invalid;
        }

        outcome->rate_limit = elts[5]->integer;
        outcome->rate_remaining = elts[6]->integer;
        outcome->rate_reset = elts[7]->integer;
        outcome->retry_after = outcome->rate_reset - time->integer / 1000;
    }

    if (elts[4]->integer == 0) {
        return NGX_OK;
    }

    cascade = cascades->elts[elts[4]->integer - 1];

    if (ngx_cred_delete_environments(del, cascade, elts[3]) == NGX_OK) {
        return NGX_OK;
    }

invalid:

    ngx_log_error(NGX_LOG_ERR, ngx_cycle->log, 0,
                  "registry: unexpected reply to delete.lua or no memory");

    return NGX_ERROR;
}


static ngx_int_t
ngx_cred_delete_word(ngx_cred_delete_t *del, ngx_str_t *word)
{
    ngx_str_t   *name;
    ngx_uint_t   i;

    for (i = 0; i < NGX_CRED_NRESULTS; i++) {
        name = ngx_cred_result_name(i);

        if (word->len == name->len
            && ngx_strncmp(word->data, name->data, word->len) == 0)
        {
            del->outcome.result = i;
            return NGX_OK;
        }
    }

    if (word->len == 4 && ngx_strncmp(word->data, "late", 4) == 0) {
        return NGX_AGAIN;
    }

    if (word->len == 4 && ngx_strncmp(word->data, "full", 4) == 0) {
        return NGX_BUSY;
    }

    return NGX_ERROR;
}


static ngx_int_t
ngx_cred_delete_environments(ngx_cred_delete_t *del,
    ngx_cred_redis_reply_t *cascade, ngx_cred_redis_reply_t *reply)
{
    ngx_str_t                 member;
    ngx_uint_t                i, n;
    ngx_cred_redis_reply_t  **elts;
    ngx_cred_undeployment_t  *u;

    if (cascade->type != NGX_CRED_REDIS_ARRAY
        || cascade->nelts % NGX_CRED_DELETE_CASCADE
        || ngx_cred_delete_copy(del, &member, reply) != NGX_OK
        || member.len < NGX_CRED_OPERATION_LEN)
    {
        return NGX_ERROR;
    }

    /* API:scope:id:revision:operation */

    del->outcome.operation.len = NGX_CRED_OPERATION_LEN;
    del->outcome.operation.data = member.data + member.len
                                  - NGX_CRED_OPERATION_LEN;

    n = cascade->nelts / NGX_CRED_DELETE_CASCADE;

    if (n == 0) {
        return NGX_OK;
    }

    u = ngx_pcalloc(del->pool, n * sizeof(ngx_cred_undeployment_t));
    if (u == NULL) {
        return NGX_ERROR;
    }

    del->undeployments = u;

    elts = cascade->elts;

    for (i = 0; i < n; i++, u++, elts += NGX_CRED_DELETE_CASCADE) {

        if (ngx_cred_delete_copy(del, &u->environment, elts[0]) != NGX_OK
            || ngx_cred_delete_copy(del, &u->url, elts[1]) != NGX_OK
            || elts[2]->type != NGX_CRED_REDIS_STRING)
        {
            return NGX_ERROR;
        }

        u->registry = del->registry;
        u->pool = del->pool;
        u->member = member;
        u->handler = ngx_cred_cascade_undeployed;
        u->release = ngx_cred_cascade_release;
        u->data = del;

        if (elts[2]->str.len == 7
            && ngx_strncmp(elts[2]->str.data, "claimed", 7) == 0)
        {
            u->claimed = 1;

        } else {
            u->state = ngx_cred_state(&elts[2]->str);
        }
    }

    del->nundeployments = n;

    return NGX_OK;
}


static ngx_int_t
ngx_cred_delete_copy(ngx_cred_delete_t *del, ngx_str_t *dst,
    ngx_cred_redis_reply_t *reply)
{
    if (reply->type == NGX_CRED_REDIS_NIL) {
        ngx_str_null(dst);
        return NGX_OK;
    }

    if (reply->type != NGX_CRED_REDIS_STRING) {
        return NGX_ERROR;
    }

    dst->data = ngx_pstrdup(del->pool, &reply->str);
    if (dst->data == NULL) {
        return NGX_ERROR;
    }

    dst->len = reply->str.len;

    return NGX_OK;
}
