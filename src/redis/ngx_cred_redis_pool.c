
/*
 * Copyright (C) ngx_cred_module authors
 * SPDX-License-Identifier: BSD-2-Clause
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>
#include <ngx_cred_redis_connection.h>


#define NGX_CRED_REDIS_MAX       4096           /* connections of a worker */
#define NGX_CRED_REDIS_UNUSED    (5 * 60000)    /* then they are closed */
#define NGX_CRED_REDIS_SWEEP     60000
#define NGX_CRED_REDIS_BUCKETS   1024


typedef struct {
    ngx_queue_t          buckets[NGX_CRED_REDIS_BUCKETS];
    ngx_queue_t          queue;                 /* least recently used last */
    ngx_uint_t           count;
    ngx_event_t          sweep;
    ngx_connection_t     dumb;                  /* for the event's debug log */
} ngx_cred_redis_pool_t;


static void ngx_cred_redis_pool_init(ngx_cred_redis_pool_t *pool);
static ngx_queue_t *ngx_cred_redis_bucket(ngx_str_t *identity,
    ngx_str_t *name);
static ngx_cred_redis_t *ngx_cred_redis_find(ngx_queue_t *bucket,
    ngx_str_t *identity, ngx_str_t *name);
static ngx_uint_t ngx_cred_redis_same(ngx_str_t *one, ngx_str_t *two);
static ngx_cred_redis_t *ngx_cred_redis_create(ngx_cred_redis_conf_t *conf,
    ngx_str_t *url, const char *kind, ngx_str_t *name, char **err);
static ngx_int_t ngx_cred_redis_names(ngx_cred_redis_t *redis,
    ngx_str_t *identity, ngx_str_t *name);
static void ngx_cred_redis_retire(ngx_cred_redis_t *redis);
static ngx_uint_t ngx_cred_redis_unused(ngx_cred_redis_t *redis);
static void ngx_cred_redis_sweep_handler(ngx_event_t *ev);
static void ngx_cred_redis_sweep_file(ngx_cred_redis_t *redis);


static ngx_cred_redis_pool_t  ngx_cred_redis_pool;


ngx_cred_redis_t *
ngx_cred_redis_get(ngx_cred_redis_conf_t *conf, ngx_str_t *url,
    const char *kind, ngx_str_t *name, char **err)
{
    ngx_queue_t            *bucket;
    ngx_cred_redis_t       *redis;
    ngx_cred_net_conf_t     net;
    ngx_cred_redis_pool_t  *pool;

    static ngx_str_t  none = ngx_null_string;

    pool = &ngx_cred_redis_pool;

    if (pool->queue.next == NULL) {
        ngx_cred_redis_pool_init(pool);
    }

    if (name == NULL) {
        name = &none;
    }

    bucket = ngx_cred_redis_bucket(&conf->identity, name);
    redis = ngx_cred_redis_find(bucket, &conf->identity, name);

    if (redis && !ngx_cred_redis_same(&redis->url.text, url)) {
        ngx_cred_redis_retire(redis);
        redis = NULL;
    }

    if (redis == NULL) {
        redis = ngx_cred_redis_create(conf, url, kind, name, err);
        if (redis == NULL) {
            return NULL;
        }

        ngx_queue_insert_head(bucket, &redis->bucket);

        pool->count++;

        if (!pool->sweep.timer_set) {
            pool->sweep.log = ngx_cycle->log;
            ngx_add_timer(&pool->sweep, NGX_CRED_REDIS_SWEEP);
        }

    } else {
        ngx_queue_remove(&redis->queue);
    }

    ngx_queue_insert_head(&pool->queue, &redis->queue);

    redis->used = ngx_current_msec;

    net = redis->conf.net;

    redis->conf = *conf;

    if (conf->net.resolver == NULL
        || conf->net.resolver->connections.nelts == 0)
    {
        /* shared with a level that has no "resolver": keep the other's */

        redis->conf.net.resolver = net.resolver;
        redis->conf.net.resolver_timeout = net.resolver_timeout;
    }

    return redis;
}


static void
ngx_cred_redis_pool_init(ngx_cred_redis_pool_t *pool)
{
    ngx_uint_t  i;

    for (i = 0; i < NGX_CRED_REDIS_BUCKETS; i++) {
        ngx_queue_init(&pool->buckets[i]);
    }

    ngx_queue_init(&pool->queue);

    pool->dumb.fd = (ngx_socket_t) -1;
    pool->sweep.handler = ngx_cred_redis_sweep_handler;
    pool->sweep.data = &pool->dumb;
    pool->sweep.cancelable = 1;
}


static ngx_queue_t *
ngx_cred_redis_bucket(ngx_str_t *identity, ngx_str_t *name)
{
    uint32_t  hash;

    ngx_crc32_init(hash);
    ngx_crc32_update(&hash, identity->data, identity->len);
    ngx_crc32_update(&hash, name->data, name->len);
    ngx_crc32_final(hash);

    return &ngx_cred_redis_pool.buckets[hash % NGX_CRED_REDIS_BUCKETS];
}


static ngx_cred_redis_t *
ngx_cred_redis_find(ngx_queue_t *bucket, ngx_str_t *identity, ngx_str_t *name)
{
    ngx_queue_t       *q;
    ngx_cred_redis_t  *redis;

    for (q = ngx_queue_head(bucket);
         q != ngx_queue_sentinel(bucket);
         q = ngx_queue_next(q))
    {
        redis = ngx_queue_data(q, ngx_cred_redis_t, bucket);

        if (ngx_cred_redis_same(&redis->name, name)
            && ngx_cred_redis_same(&redis->identity, identity))
        {
            return redis;
        }
    }

    return NULL;
}


static ngx_uint_t
ngx_cred_redis_same(ngx_str_t *one, ngx_str_t *two)
{
    return one->len == two->len
           && (one->len == 0
               || ngx_memcmp(one->data, two->data, one->len) == 0);
}


ngx_cred_redis_t *
ngx_cred_redis_lookup(ngx_cred_redis_conf_t *conf, ngx_str_t *name)
{
    if (ngx_cred_redis_pool.queue.next == NULL) {
        return NULL;
    }

    return ngx_cred_redis_find(ngx_cred_redis_bucket(&conf->identity, name),
                               &conf->identity, name);
}


static ngx_cred_redis_t *
ngx_cred_redis_create(ngx_cred_redis_conf_t *conf, ngx_str_t *url,
    const char *kind, ngx_str_t *name, char **err)
{
    ngx_str_t               text;
    ngx_pool_t             *p;
    ngx_cred_redis_t       *redis, *last;
    ngx_cred_redis_pool_t  *pool;

    pool = &ngx_cred_redis_pool;

    if (pool->count >= NGX_CRED_REDIS_MAX) {
        *err = "too many Redis servers";

        if (ngx_queue_empty(&pool->queue)) {
            return NULL;
        }

        last = ngx_queue_data(ngx_queue_last(&pool->queue), ngx_cred_redis_t,
                              queue);

        if (!ngx_cred_redis_unused(last)) {
            return NULL;
        }

        ngx_cred_redis_destroy(last);
    }

    *err = "no memory";

    p = ngx_create_pool(1024, ngx_cycle->log);
    if (p == NULL) {
        return NULL;
    }

    redis = ngx_pcalloc(p, sizeof(ngx_cred_redis_t));
    if (redis == NULL) {
        goto failed;
    }

    redis->pool = p;
    redis->conf = *conf;

    text.len = url->len;
    text.data = ngx_pstrdup(p, url);
    if (text.data == NULL) {
        goto failed;
    }

    redis->kind = kind;

    if (ngx_cred_redis_names(redis, &conf->identity, name) != NGX_OK) {
        goto failed;
    }

    if (ngx_cred_redis_url_parse(p, &text, &redis->url, err) != NGX_OK) {
        goto failed;
    }

    if (redis->url.kind == NGX_CRED_REDIS_CLUSTER
        && !ngx_cred_redis_tagged(conf->key.len
                                  ? &redis->conf.key
                                  : ngx_cred_redis_prefix(redis)))
    {
        *err = "a cluster needs a prefix with a \"{tag}\"";
        goto failed;
    }

    if (redis->url.tls && conf->net.ssl == NULL) {
        *err = "\"rediss://\" without settings for TLS";
        goto failed;
    }

    if (redis->url.user.len && ngx_cred_redis_secret(redis)->len == 0) {
        *err = "user without a password";
        goto failed;
    }

    ngx_cred_redis_connection_init(redis);

    return redis;

failed:

    ngx_destroy_pool(p);

    return NULL;
}


static ngx_int_t
ngx_cred_redis_names(ngx_cred_redis_t *redis, ngx_str_t *identity,
    ngx_str_t *name)
{
    size_t   len;
    u_char  *p;

    len = ngx_min(name->len, NGX_CRED_REDIS_NAME_LEN);

    p = ngx_pnalloc(redis->pool, identity->len + name->len + len);
    if (p == NULL) {
        return NGX_ERROR;
    }

    redis->identity.data = p;
    redis->identity.len = identity->len;
    p = ngx_cpymem(p, identity->data, identity->len);

    redis->name.data = p;
    redis->name.len = name->len;

    if (name->len) {
        p = ngx_cpymem(p, name->data, name->len);
    }

    redis->shown.data = p;
    redis->shown.len = ngx_cred_net_printable(p, p + len, name) - p;

    return NGX_OK;
}


ngx_uint_t
ngx_cred_redis_idle(ngx_cred_redis_t *redis)
{
    return redis->state == NGX_CRED_REDIS_READY
           && ngx_cred_redis_unasked(redis);
}


ngx_uint_t
ngx_cred_redis_down(ngx_cred_redis_t *redis)
{
    return redis->refusing
           || (redis->failures != 0 && redis->state != NGX_CRED_REDIS_READY);
}


ngx_str_t *
ngx_cred_redis_prefix(ngx_cred_redis_t *redis)
{
    return redis->url.prefix.len ? &redis->url.prefix : &redis->conf.prefix;
}


ngx_str_t *
ngx_cred_redis_name(ngx_cred_redis_t *redis)
{
    return &redis->name;
}


ngx_uint_t
ngx_cred_redis_number(ngx_cred_redis_t *redis)
{
    return redis->number;
}


ngx_uint_t
ngx_cred_redis_db(ngx_cred_redis_t *redis)
{
    return redis->url.db;
}


ngx_log_t *
ngx_cred_redis_log(ngx_cred_redis_t *redis)
{
    return &redis->log;
}


uint64_t
ngx_cred_redis_time(ngx_cred_redis_t *redis)
{
    if (redis->clock == 0) {
        return 0;
    }

    return redis->clock + (ngx_current_msec - redis->clock_at);
}


void
ngx_cred_redis_set_time(ngx_cred_redis_t *redis, uint64_t now)
{
    redis->clock = now;
    redis->clock_at = ngx_current_msec;
}


static ngx_uint_t
ngx_cred_redis_unused(ngx_cred_redis_t *redis)
{
    return ngx_cred_redis_unasked(redis) && !redis->busy;
}


/* it may be in use until this turn of the event loop ends */

static void
ngx_cred_redis_retire(ngx_cred_redis_t *redis)
{
    ngx_queue_remove(&redis->bucket);
    ngx_queue_remove(&redis->queue);

    redis->retired = 1;

    if (redis->backoff.timer_set) {
        ngx_del_timer(&redis->backoff);
    }

    ngx_post_event(&redis->end, &ngx_posted_events);
}


void
ngx_cred_redis_destroy(ngx_cred_redis_t *redis)
{
    ngx_cred_redis_close(redis);

    if (redis->context && redis->conf.abandon) {
        redis->conf.abandon(redis, redis->conf.data);
    }

    if (redis->backoff.timer_set) {
        ngx_del_timer(&redis->backoff);
    }

    if (redis->start.posted) {
        ngx_delete_posted_event(&redis->start);
    }

    if (redis->end.posted) {
        ngx_delete_posted_event(&redis->end);
    }

    if (!redis->retired) {
        ngx_queue_remove(&redis->bucket);
        ngx_queue_remove(&redis->queue);
    }

    ngx_cred_redis_pool.count--;

    ngx_destroy_pool(redis->pool);
}


static void
ngx_cred_redis_sweep_handler(ngx_event_t *ev)
{
    ngx_queue_t       *q, *prev;
    ngx_cred_redis_t  *redis;

    if (ngx_exiting) {
        return;
    }

    for (q = ngx_queue_last(&ngx_cred_redis_pool.queue);
         q != ngx_queue_sentinel(&ngx_cred_redis_pool.queue);
         q = prev)
    {
        prev = ngx_queue_prev(q);
        redis = ngx_queue_data(q, ngx_cred_redis_t, queue);

        if (ngx_current_msec - redis->used < NGX_CRED_REDIS_UNUSED) {
            break;
        }

        if (ngx_cred_redis_unused(redis)) {
            ngx_cred_redis_destroy(redis);
        }
    }

    ngx_cred_redis_each(ngx_cred_redis_sweep_file);
    ngx_cred_redis_each(ngx_cred_redis_auth_again);
    ngx_cred_redis_each(ngx_cred_redis_ping);

    if (ngx_cred_redis_pool.count) {
        ngx_add_timer(ev, NGX_CRED_REDIS_SWEEP);
    }
}


static void
ngx_cred_redis_sweep_file(ngx_cred_redis_t *redis)
{
    if (redis->conf.password) {
        (void) ngx_cred_redis_password(redis->conf.password);
    }
}


void
ngx_cred_redis_each(void (*handler)(ngx_cred_redis_t *redis))
{
    ngx_queue_t  *q, *next;

    if (ngx_cred_redis_pool.queue.next == NULL) {
        return;
    }

    for (q = ngx_queue_head(&ngx_cred_redis_pool.queue);
         q != ngx_queue_sentinel(&ngx_cred_redis_pool.queue);
         q = next)
    {
        next = ngx_queue_next(q);

        handler(ngx_queue_data(q, ngx_cred_redis_t, queue));
    }
}
