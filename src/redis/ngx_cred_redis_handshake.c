
/*
 * Copyright (C) ngx_cred_module authors
 * SPDX-License-Identifier: BSD-2-Clause
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>
#include <ngx_cred_redis_connection.h>


static ngx_int_t ngx_cred_redis_handshake_encode(ngx_cred_redis_t *redis);
static ngx_int_t ngx_cred_redis_handshake_slot(ngx_cred_redis_t *redis);
static ngx_int_t ngx_cred_redis_handshake_probe(ngx_cred_redis_t *redis);
static ngx_int_t ngx_cred_redis_handshake_words(ngx_cred_redis_t *redis,
    const char *first, ngx_str_t *second, ngx_str_t *third);
static ngx_int_t ngx_cred_redis_handshake_step(ngx_cred_redis_t *redis,
    ngx_uint_t step, ngx_cred_redis_reply_t *reply);
static void ngx_cred_redis_handshake_refused(ngx_cred_redis_t *redis,
    ngx_uint_t step, ngx_str_t *error);
static ngx_int_t ngx_cred_redis_handshake_owner(ngx_cred_redis_t *redis,
    ngx_cred_redis_reply_t *reply);
static ngx_int_t ngx_cred_redis_handshake_node(ngx_cred_redis_t *redis,
    ngx_cred_redis_reply_t *reply);
static ngx_int_t ngx_cred_redis_handshake_role(ngx_cred_redis_t *redis,
    ngx_cred_redis_reply_t *reply);
static ngx_int_t ngx_cred_redis_handshake_time(ngx_cred_redis_t *redis,
    ngx_cred_redis_reply_t *reply);
static ngx_int_t ngx_cred_redis_handshake_done(ngx_cred_redis_t *redis);


/* in the order of their bits */

static const char  *ngx_cred_redis_handshake_reasons[] = {
    "refused AUTH:",
    "refused SENTINEL:",
    "refused SELECT:",
    "refused EXISTS:",
    "refused INFO:",
    "refused ROLE:",
    "refused TIME:",
    "",
    "refused SUBSCRIBE:"
};


void
ngx_cred_redis_handshake(ngx_cred_redis_t *redis)
{
    if (!redis->asking) {
        redis->log.action = ngx_cred_redis_secret(redis)->len
                            ? "authenticating" : "shaking hands";
    }

    redis->codec = ngx_cred_redis_codec_create(&redis->log);
    redis->state = NGX_CRED_REDIS_HANDSHAKE;

    if (redis->codec == NULL
        || ngx_cred_redis_handshake_encode(redis) != NGX_OK)
    {
        ngx_cred_redis_fail(redis, NGX_CRED_REDIS_UNREACHABLE, 0,
                            "no memory", NULL);
        return;
    }

    ngx_cred_redis_write(redis);
}


static ngx_int_t
ngx_cred_redis_handshake_encode(ngx_cred_redis_t *redis)
{
    u_char     db[NGX_INT_T_LEN];
    ngx_int_t  rc;
    ngx_str_t  name;

    redis->handshake = 0;

    rc = ngx_cred_redis_auth_encode(redis);

    if (redis->asking) {
        redis->handshake |= NGX_CRED_REDIS_MASTER;

        ngx_str_set(&name, "get-master-addr-by-name");

        return rc | ngx_cred_redis_handshake_words(redis, "SENTINEL", &name,
                                                   &redis->url.master);
    }

    if (redis->url.db) {
        redis->handshake |= NGX_CRED_REDIS_SELECT;

        name.data = db;
        name.len = ngx_sprintf(db, "%ui", redis->url.db) - db;

        rc |= ngx_cred_redis_handshake_words(redis, "SELECT", &name, NULL);
    }

    if (redis->url.kind == NGX_CRED_REDIS_CLUSTER) {
        redis->handshake |= NGX_CRED_REDIS_SLOT|NGX_CRED_REDIS_NODE;

        ngx_str_set(&name, "cluster");

        rc |= ngx_cred_redis_handshake_slot(redis);
        rc |= ngx_cred_redis_handshake_words(redis, "INFO", &name, NULL);
    }

    redis->handshake |= NGX_CRED_REDIS_ROLE|NGX_CRED_REDIS_TIME;

    rc |= ngx_cred_redis_handshake_words(redis, "ROLE", NULL, NULL);
    rc |= ngx_cred_redis_handshake_words(redis, "TIME", NULL, NULL);

    if (redis->conf.channel.len) {
        redis->handshake |= NGX_CRED_REDIS_SUBSCRIBE;

        rc |= ngx_cred_redis_handshake_words(redis, "SUBSCRIBE",
                                             &redis->conf.channel, NULL);

    } else if (redis->down && redis->conf.greet == NULL) {
        redis->handshake |= NGX_CRED_REDIS_PROBE;

        rc |= ngx_cred_redis_handshake_probe(redis);
    }

    return rc;
}


/* of any key that has the slot: who has it not says who has */

static ngx_int_t
ngx_cred_redis_handshake_slot(ngx_cred_redis_t *redis)
{
    u_char     *p;
    ngx_int_t   rc;
    ngx_str_t   key, *prefix;

    if (redis->conf.key.len) {
        return ngx_cred_redis_handshake_words(redis, "EXISTS",
                                              &redis->conf.key, NULL);
    }

    prefix = ngx_cred_redis_prefix(redis);

    p = ngx_alloc(prefix->len + sizeof(":slot") - 1, &redis->log);
    if (p == NULL) {
        return NGX_ERROR;
    }

    key.data = p;
    key.len = ngx_sprintf(p, "%V:slot", prefix) - p;

    rc = ngx_cred_redis_handshake_words(redis, "EXISTS", &key, NULL);

    ngx_free(p);

    return rc;
}


/*
 * Servers are known that go on answering TIME when they answer nothing else: no
 * command is risked before a script, which none has, was asked for.
 */

static ngx_int_t
ngx_cred_redis_handshake_probe(ngx_cred_redis_t *redis)
{
    ngx_str_t  sha, keys;

    ngx_str_set(&sha, "0000000000000000000000000000000000000000");
    ngx_str_set(&keys, "0");

    return ngx_cred_redis_handshake_words(redis, "EVALSHA", &sha, &keys);
}


static ngx_int_t
ngx_cred_redis_handshake_words(ngx_cred_redis_t *redis, const char *first,
    ngx_str_t *second, ngx_str_t *third)
{
    ngx_str_t   args[3];
    ngx_uint_t  n;

    args[0].data = (u_char *) first;
    args[0].len = ngx_strlen(first);
    n = 1;

    if (second) {
        args[n++] = *second;
    }

    if (third) {
        args[n++] = *third;
    }

    return ngx_cred_redis_codec_append(&redis->out, args, n, &redis->log);
}


ngx_int_t
ngx_cred_redis_handshake_reply(ngx_cred_redis_t *redis,
    ngx_cred_redis_reply_t *reply)
{
    ngx_uint_t  step;

    step = redis->handshake & (~redis->handshake + 1);

    redis->handshake &= ~step;

    if (ngx_cred_redis_handshake_step(redis, step, reply) != NGX_OK) {
        return NGX_ERROR;
    }

    if (redis->handshake) {

        if (redis->handshake == NGX_CRED_REDIS_SUBSCRIBE) {
            redis->log.action = "subscribing";
        }

        return NGX_OK;
    }

    redis->log.action = NULL;

    if (step == NGX_CRED_REDIS_PROBE && !redis->doubtful) {
        ngx_cred_redis_back(redis);
    }

    return ngx_cred_redis_handshake_done(redis);
}


static ngx_int_t
ngx_cred_redis_handshake_step(ngx_cred_redis_t *redis, ngx_uint_t step,
    ngx_cred_redis_reply_t *reply)
{
    if (step == NGX_CRED_REDIS_SLOT) {
        return ngx_cred_redis_handshake_owner(redis, reply);
    }

    if (reply->type == NGX_CRED_REDIS_ERROR && step != NGX_CRED_REDIS_PROBE) {
        ngx_cred_redis_handshake_refused(redis, step, &reply->str);
        return NGX_ERROR;
    }

    switch (step) {

    case NGX_CRED_REDIS_AUTH:

        if (!redis->asking) {
            redis->log.action = "shaking hands";
        }

        ngx_cred_redis_auth_accepted(redis);
        return NGX_OK;

    case NGX_CRED_REDIS_MASTER:
        ngx_cred_redis_resolve_named(redis, reply);
        return NGX_ERROR;

    case NGX_CRED_REDIS_NODE:
        return ngx_cred_redis_handshake_node(redis, reply);

    case NGX_CRED_REDIS_ROLE:
        return ngx_cred_redis_handshake_role(redis, reply);

    case NGX_CRED_REDIS_TIME:

        if (ngx_cred_redis_handshake_time(redis, reply) != NGX_OK) {
            ngx_cred_redis_fail(redis, NGX_CRED_REDIS_UNREACHABLE, 0,
                                "invalid reply to TIME", NULL);
            return NGX_ERROR;
        }

        return NGX_OK;

    default:
        return NGX_OK;
    }
}


static void
ngx_cred_redis_handshake_refused(ngx_cred_redis_t *redis, ngx_uint_t step,
    ngx_str_t *error)
{
    ngx_uint_t  n;

    if (step == NGX_CRED_REDIS_AUTH) {
        ngx_cred_redis_auth_word(error);
    }

    for (n = 0; step > 1; n++) {
        step >>= 1;
    }

    ngx_cred_redis_fail(redis, NGX_CRED_REDIS_UNREACHABLE, 0,
                        ngx_cred_redis_handshake_reasons[n], error);
}


/*
 * The owner of a slot that is being moved away says ASK for keys that it has no
 * more: it is still the one to be asked.
 */

static ngx_int_t
ngx_cred_redis_handshake_owner(ngx_cred_redis_t *redis,
    ngx_cred_redis_reply_t *reply)
{
    if (reply->type != NGX_CRED_REDIS_ERROR
        || (reply->str.len > 4
            && ngx_strncmp(reply->str.data, "ASK ", 4) == 0))
    {
        return NGX_OK;
    }

    if (!ngx_cred_redis_misplaced(redis, reply)) {
        ngx_cred_redis_handshake_refused(redis, NGX_CRED_REDIS_SLOT,
                                         &reply->str);
        return NGX_ERROR;
    }

    if (redis->redirects++ == NGX_CRED_REDIS_REDIRECTS) {
        ngx_cred_redis_fail(redis, NGX_CRED_REDIS_UNREACHABLE, 0,
                            "redirected too often:", &reply->str);
        return NGX_ERROR;
    }

    redis->moved_to = 0;
    ngx_cred_redis_redirect(redis);

    return NGX_ERROR;
}


/*
 * A Redis that is in no cluster says MOVED to nobody: of several, which do not
 * know of each other, whichever was asked would be taken for the one.
 */

static ngx_int_t
ngx_cred_redis_handshake_node(ngx_cred_redis_t *redis,
    ngx_cred_redis_reply_t *reply)
{
    if (reply->type == NGX_CRED_REDIS_STRING
        && ngx_strnstr(reply->str.data, "cluster_enabled:1", reply->str.len))
    {
        return NGX_OK;
    }

    ngx_cred_redis_fail(redis, NGX_CRED_REDIS_UNREACHABLE, 0,
                        "it is in no cluster", NULL);
    return NGX_ERROR;
}


static ngx_int_t
ngx_cred_redis_handshake_role(ngx_cred_redis_t *redis,
    ngx_cred_redis_reply_t *reply)
{
    ngx_str_t                *role;
    ngx_cred_redis_reply_t  **elts;

    elts = reply->elts;

    if (reply->type != NGX_CRED_REDIS_ARRAY || reply->nelts == 0
        || elts[0]->type != NGX_CRED_REDIS_STRING)
    {
        ngx_cred_redis_fail(redis, NGX_CRED_REDIS_UNREACHABLE, 0,
                            "invalid reply to ROLE", NULL);
        return NGX_ERROR;
    }

    role = &elts[0]->str;

    if (role->len == 6 && ngx_strncmp(role->data, "master", 6) == 0) {
        return NGX_OK;
    }

    if (role->len != 5 || ngx_strncmp(role->data, "slave", 5) != 0) {
        ngx_cred_redis_fail(redis, NGX_CRED_REDIS_UNREACHABLE, 0,
                            "no master, its role is", role);
        return NGX_ERROR;
    }

    if (reply->nelts > 1 && elts[1]->type == NGX_CRED_REDIS_STRING) {
        ngx_cred_redis_fail(redis, NGX_CRED_REDIS_UNREACHABLE, 0,
                            "it is a replica of", &elts[1]->str);
        return NGX_ERROR;
    }

    ngx_cred_redis_fail(redis, NGX_CRED_REDIS_UNREACHABLE, 0,
                        "it is a replica", NULL);
    return NGX_ERROR;
}


static ngx_int_t
ngx_cred_redis_handshake_time(ngx_cred_redis_t *redis,
    ngx_cred_redis_reply_t *reply)
{
    off_t                    sec, usec;
    ngx_cred_redis_reply_t  *s, *us;

    if (reply->type != NGX_CRED_REDIS_ARRAY || reply->nelts != 2) {
        return NGX_ERROR;
    }

    s = reply->elts[0];
    us = reply->elts[1];

    if (s->type != NGX_CRED_REDIS_STRING || us->type != NGX_CRED_REDIS_STRING) {
        return NGX_ERROR;
    }

    sec = ngx_atoof(s->str.data, s->str.len);
    usec = ngx_atoof(us->str.data, us->str.len);

    if (sec == NGX_ERROR || usec == NGX_ERROR) {
        return NGX_ERROR;
    }

    ngx_cred_redis_set_time(redis, (uint64_t) sec * 1000 + usec / 1000);

    return NGX_OK;
}


static ngx_int_t
ngx_cred_redis_handshake_done(ngx_cred_redis_t *redis)
{
    ngx_cred_redis_resolve_done(redis);

    if (redis->conf.channel.len) {
        ngx_cred_redis_back(redis);
        ngx_cred_redis_ready(redis);

        redis->conf.message(redis->conf.data);

        return NGX_OK;
    }

    if (redis->conf.greet == NULL) {
        ngx_cred_redis_ready(redis);
        return NGX_OK;
    }

    /* nobody waits for it */

    if (ngx_exiting && redis->ncommands == 0) {
        ngx_cred_redis_close(redis);
        return NGX_ERROR;
    }

    ngx_cred_redis_greet(redis);

    return NGX_OK;
}
