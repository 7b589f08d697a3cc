
/*
 * Copyright (C) ngx_cred_module authors
 * SPDX-License-Identifier: BSD-2-Clause
 */


/* the objects of this worker */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>
#include <ngx_cred_web_connection.h>


#define NGX_CRED_WEB_MAX       4096           /* objects of a worker */
#define NGX_CRED_WEB_UNUSED    (5 * 60000)    /* then they are closed */
#define NGX_CRED_WEB_SWEEP     60000
#define NGX_CRED_WEB_BUCKETS   256


typedef struct {
    ngx_queue_t          buckets[NGX_CRED_WEB_BUCKETS];
    ngx_queue_t          queue;                 /* least recently used last */
    ngx_uint_t           count;
    ngx_event_t          sweep;
    ngx_connection_t     dumb;                  /* for the event's debug log */
} ngx_cred_web_pool_t;


static void ngx_cred_web_pool_init(ngx_cred_web_pool_t *pool);
static ngx_queue_t *ngx_cred_web_bucket(ngx_cred_web_conf_t *conf,
    ngx_str_t *name, void *data);
static ngx_cred_web_t *ngx_cred_web_find(ngx_queue_t *bucket,
    ngx_cred_web_conf_t *conf, ngx_str_t *name, void *data);
static ngx_int_t ngx_cred_web_room(ngx_cred_web_pool_t *pool);
static ngx_cred_web_t *ngx_cred_web_create(ngx_cred_web_conf_t *conf,
    ngx_str_t *name, void *data);
static ngx_int_t ngx_cred_web_names(ngx_cred_web_t *web, ngx_str_t *name);
static u_char *ngx_cred_web_log_error(ngx_log_t *log, u_char *buf,
    size_t len);
static void ngx_cred_web_touch(ngx_cred_web_t *web);
static ngx_uint_t ngx_cred_web_unused(ngx_cred_web_t *web);
static void ngx_cred_web_destroy(ngx_cred_web_t *web);
static void ngx_cred_web_close_all(ngx_queue_t *conns);
static void ngx_cred_web_sweep_handler(ngx_event_t *ev);


static ngx_cred_web_pool_t  ngx_cred_web_pool;


ngx_cred_web_t *
ngx_cred_web_get(ngx_cred_web_conf_t *conf, ngx_str_t *name, void *data)
{
    ngx_queue_t          *bucket;
    ngx_cred_web_t       *web;
    ngx_cred_web_pool_t  *pool;

    pool = &ngx_cred_web_pool;

    if (pool->queue.next == NULL) {
        ngx_cred_web_pool_init(pool);
    }

    if (conf->webs.next == NULL) {
        ngx_queue_init(&conf->webs);
    }

    bucket = ngx_cred_web_bucket(conf, name, data);
    web = ngx_cred_web_find(bucket, conf, name, data);

    if (web) {
        ngx_cred_web_touch(web);
        return web;
    }

    if (ngx_cred_web_room(pool) != NGX_OK) {
        return NULL;
    }

    web = ngx_cred_web_create(conf, name, data);
    if (web == NULL) {
        return NULL;
    }

    ngx_queue_insert_head(bucket, &web->bucket);
    ngx_queue_insert_head(&conf->webs, &web->webs);
    ngx_queue_insert_head(&pool->queue, &web->queue);

    web->used = ngx_current_msec;

    pool->count++;

    if (!pool->sweep.timer_set) {
        pool->sweep.log = ngx_cycle->log;
        ngx_add_timer(&pool->sweep, NGX_CRED_WEB_SWEEP);
    }

    return web;
}


static void
ngx_cred_web_pool_init(ngx_cred_web_pool_t *pool)
{
    ngx_uint_t  i;

    for (i = 0; i < NGX_CRED_WEB_BUCKETS; i++) {
        ngx_queue_init(&pool->buckets[i]);
    }

    ngx_queue_init(&pool->queue);

    pool->dumb.fd = (ngx_socket_t) -1;
    pool->sweep.handler = ngx_cred_web_sweep_handler;
    pool->sweep.data = &pool->dumb;
    pool->sweep.cancelable = 1;
}


static ngx_queue_t *
ngx_cred_web_bucket(ngx_cred_web_conf_t *conf, ngx_str_t *name, void *data)
{
    uint32_t  hash;

    ngx_crc32_init(hash);
    ngx_crc32_update(&hash, (u_char *) &conf, sizeof(conf));
    ngx_crc32_update(&hash, (u_char *) &data, sizeof(data));
    ngx_crc32_update(&hash, name->data, name->len);
    ngx_crc32_final(hash);

    return &ngx_cred_web_pool.buckets[hash % NGX_CRED_WEB_BUCKETS];
}


static ngx_cred_web_t *
ngx_cred_web_find(ngx_queue_t *bucket, ngx_cred_web_conf_t *conf,
    ngx_str_t *name, void *data)
{
    ngx_queue_t     *q;
    ngx_cred_web_t  *web;

    for (q = ngx_queue_head(bucket);
         q != ngx_queue_sentinel(bucket);
         q = ngx_queue_next(q))
    {
        web = ngx_queue_data(q, ngx_cred_web_t, bucket);

        if (web->conf == conf && web->data == data
            && web->name.len == name->len
            && (name->len == 0
                || ngx_memcmp(web->name.data, name->data, name->len) == 0))
        {
            return web;
        }
    }

    return NULL;
}


/* for one more */

static ngx_int_t
ngx_cred_web_room(ngx_cred_web_pool_t *pool)
{
    ngx_cred_web_t  *last;

    if (pool->count < NGX_CRED_WEB_MAX) {
        return NGX_OK;
    }

    last = ngx_queue_data(ngx_queue_last(&pool->queue), ngx_cred_web_t, queue);

    if (!ngx_cred_web_unused(last)) {
        return NGX_ERROR;
    }

    ngx_cred_web_destroy(last);

    return NGX_OK;
}


static ngx_cred_web_t *
ngx_cred_web_create(ngx_cred_web_conf_t *conf, ngx_str_t *name, void *data)
{
    ngx_pool_t      *p;
    ngx_cred_web_t  *web;

    p = ngx_create_pool(1024, ngx_cycle->log);
    if (p == NULL) {
        return NULL;
    }

    web = ngx_pcalloc(p, sizeof(ngx_cred_web_t));
    if (web == NULL) {
        goto failed;
    }

    web->pool = p;
    web->conf = conf;
    web->data = data;

    if (ngx_cred_web_names(web, name) != NGX_OK) {
        goto failed;
    }

    web->log = *ngx_cycle->log;
    web->log.handler = ngx_cred_web_log_error;
    web->log.data = web;
    web->log.action = NULL;

    ngx_queue_init(&web->closed);
    ngx_queue_init(&web->idle);
    ngx_queue_init(&web->active);
    ngx_queue_init(&web->waiting);

    web->start.handler = ngx_cred_web_start_handler;
    web->start.data = web;
    web->start.log = &web->log;

    web->timer.handler = ngx_cred_web_late_handler;
    web->timer.data = web;
    web->timer.log = &web->log;

    web->backoff.handler = ngx_cred_web_backoff_handler;
    web->backoff.data = web;
    web->backoff.log = &web->log;
    web->backoff.cancelable = 1;

    return web;

failed:

    ngx_destroy_pool(p);

    return NULL;
}


static ngx_int_t
ngx_cred_web_names(ngx_cred_web_t *web, ngx_str_t *name)
{
    size_t   len;
    u_char  *p;

    len = ngx_min(name->len, NGX_CRED_WEB_NAME_LEN);

    p = ngx_pnalloc(web->pool, name->len + len + 1);
    if (p == NULL) {
        return NGX_ERROR;
    }

    web->name.data = p;
    web->name.len = name->len;

    if (name->len) {
        p = ngx_cpymem(p, name->data, name->len);
    }

    web->shown.data = p;
    web->shown.len = ngx_cred_net_printable(p, p + len, name) - p;

    return NGX_OK;
}


static u_char *
ngx_cred_web_log_error(ngx_log_t *log, u_char *buf, size_t len)
{
    ngx_cred_web_t  *web;

    web = log->data;

    return ngx_snprintf(buf, len, ", environment: %V, connector: %V",
                        &web->shown, &web->conf->shown);
}


void
ngx_cred_web_keep(ngx_cred_web_t *web)
{
    ngx_cred_web_touch(web);
    ngx_cred_web_probe(web);
}


static void
ngx_cred_web_touch(ngx_cred_web_t *web)
{
    ngx_queue_remove(&web->queue);
    ngx_queue_insert_head(&ngx_cred_web_pool.queue, &web->queue);

    web->used = ngx_current_msec;
}


ngx_log_t *
ngx_cred_web_log(ngx_cred_web_t *web)
{
    return &web->log;
}


ngx_uint_t
ngx_cred_web_told(ngx_cred_web_t *web)
{
    return web->told;
}


void
ngx_cred_web_set_told(ngx_cred_web_t *web, ngx_uint_t told)
{
    web->told = told;
}


static ngx_uint_t
ngx_cred_web_unused(ngx_cred_web_t *web)
{
    return web->nrequests == 0 && web->busy == 0;
}


static void
ngx_cred_web_destroy(ngx_cred_web_t *web)
{
    ngx_cred_web_close_all(&web->idle);
    ngx_cred_web_close_all(&web->active);

    if (web->timer.timer_set) {
        ngx_del_timer(&web->timer);
    }

    if (web->backoff.timer_set) {
        ngx_del_timer(&web->backoff);
    }

    if (web->start.posted) {
        ngx_delete_posted_event(&web->start);
    }

    ngx_queue_remove(&web->bucket);
    ngx_queue_remove(&web->webs);
    ngx_queue_remove(&web->queue);

    ngx_cred_web_pool.count--;

    ngx_destroy_pool(web->pool);
}


static void
ngx_cred_web_close_all(ngx_queue_t *conns)
{
    ngx_queue_t  *q;

    while (!ngx_queue_empty(conns)) {
        q = ngx_queue_head(conns);
        ngx_cred_web_conn_close(ngx_queue_data(q, ngx_cred_web_conn_t, queue));
    }
}


void
ngx_cred_web_close(ngx_cred_web_conf_t *conf)
{
    ngx_queue_t  *q;

    if (conf->webs.next == NULL) {
        return;
    }

    while (!ngx_queue_empty(&conf->webs)) {
        q = ngx_queue_head(&conf->webs);
        ngx_cred_web_destroy(ngx_queue_data(q, ngx_cred_web_t, webs));
    }
}


static void
ngx_cred_web_sweep_handler(ngx_event_t *ev)
{
    ngx_queue_t     *q, *prev;
    ngx_cred_web_t  *web;

    if (ngx_exiting) {
        return;
    }

    for (q = ngx_queue_last(&ngx_cred_web_pool.queue);
         q != ngx_queue_sentinel(&ngx_cred_web_pool.queue);
         q = prev)
    {
        prev = ngx_queue_prev(q);
        web = ngx_queue_data(q, ngx_cred_web_t, queue);

        if (ngx_current_msec - web->used < NGX_CRED_WEB_UNUSED) {
            break;
        }

        if (ngx_cred_web_unused(web)) {
            ngx_cred_web_destroy(web);
        }
    }

    if (ngx_cred_web_pool.count) {
        ngx_add_timer(ev, NGX_CRED_WEB_SWEEP);
    }
}
