
/*
 * Copyright (C) ngx_cred_module authors
 * SPDX-License-Identifier: BSD-2-Clause
 */


/*
 * Before each connect: which server.  A sentinel is asked over a connection
 * that has its place in the same attempt; a node of a cluster says in the
 * handshake which one has the slot.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>
#include <ngx_cred_redis_connection.h>


#define NGX_CRED_REDIS_PATIENCE  300   /* with one of several sentinels, in
                                          milliseconds */


static void ngx_cred_redis_ask(ngx_cred_redis_t *redis);
static void ngx_cred_redis_seed(ngx_cred_redis_t *redis);
static void ngx_cred_redis_begin(ngx_cred_redis_t *redis, ngx_msec_t patience);
static void ngx_cred_redis_aim(ngx_cred_redis_t *redis,
    ngx_cred_net_host_t *host);
static void ngx_cred_redis_aim_owner(ngx_cred_redis_t *redis);
static ngx_cred_net_host_t *ngx_cred_redis_known(ngx_cred_redis_t *redis);
static ngx_int_t ngx_cred_redis_aim_at(ngx_cred_redis_t *redis,
    ngx_str_t *name, ngx_str_t *port);
static ngx_int_t ngx_cred_redis_moved(ngx_cred_redis_t *redis,
    ngx_str_t *error);


void
ngx_cred_redis_resolve(ngx_cred_redis_t *redis)
{
    redis->asking = 0;
    redis->asked = 0;

    switch (redis->url.kind) {

    case NGX_CRED_REDIS_SENTINEL:
        redis->asking = 1;
        ngx_cred_redis_ask(redis);
        return;

    case NGX_CRED_REDIS_CLUSTER:
        ngx_cred_redis_seed(redis);
        break;

    default: /* NGX_CRED_REDIS_SERVER */

        if (redis->url.nhosts) {
            ngx_cred_redis_aim(redis, &redis->url.hosts[0]);
        }

        break;
    }

    ngx_cred_net_connect(&redis->net);
}


static void
ngx_cred_redis_ask(ngx_cred_redis_t *redis)
{
    ngx_uint_t  n, last;

    n = (redis->host + redis->asked) % redis->url.nhosts;
    last = (redis->asked + 1 == redis->url.nhosts);

    ngx_cred_redis_aim(redis, &redis->url.hosts[n]);

    /* the last one is left all the time, since nobody else can be asked */

    ngx_cred_redis_begin(redis, last ? redis->conf.connect_timeout
                                     : NGX_CRED_REDIS_PATIENCE);
    ngx_cred_net_connect(&redis->net);
}


/*
 * What MOVED has named, else the last owner of the slot and the nodes of the
 * URL, one after another.
 */

static void
ngx_cred_redis_seed(ngx_cred_redis_t *redis)
{
    if (redis->moved_to) {
        redis->moved_to = 0;
        return;
    }

    if (redis->host == redis->url.nhosts) {

        if (redis->owner.name.len) {
            ngx_cred_redis_aim_owner(redis);
            return;
        }

        redis->host = 0;
    }

    ngx_cred_redis_aim(redis, &redis->url.hosts[redis->host]);
}


/* on with the attempt: as long as is left of it, and no longer than that */

static void
ngx_cred_redis_begin(ngx_cred_redis_t *redis, ngx_msec_t patience)
{
    ngx_msec_int_t  left;

    redis->state = NGX_CRED_REDIS_CONNECTING;
    redis->log.action = redis->asking ? "asking a sentinel" : "connecting";
    redis->net.action = redis->asking ? redis->log.action : NULL;

    left = (ngx_msec_int_t) (redis->deadline - ngx_current_msec);
    left = ngx_max(left, 1);

    ngx_add_timer(&redis->timer, ngx_min((ngx_msec_t) left, patience));
    ngx_cred_redis_watch(redis);
}


void
ngx_cred_redis_redirect(ngx_cred_redis_t *redis)
{
    ngx_cred_redis_disconnect(redis);
    ngx_cred_redis_begin(redis, redis->conf.connect_timeout);
    ngx_cred_net_connect(&redis->net);
}


ngx_int_t
ngx_cred_redis_resolve_other(ngx_cred_redis_t *redis)
{
    ngx_uint_t  n;

    if (redis->asking && ++redis->asked < redis->url.nhosts
        && (ngx_msec_int_t) (redis->deadline - ngx_current_msec) > 0
        && !ngx_cred_net_shutdown)
    {
        ngx_log_error(NGX_LOG_INFO, &redis->log, 0,
                      "another sentinel is asked: %*s",
                      redis->error_len, redis->error);

        ngx_cred_redis_disconnect(redis);
        ngx_cred_redis_ask(redis);

        return NGX_OK;
    }

    redis->asking = 0;
    redis->moved_to = 0;
    redis->redirects = 0;

    /* the next attempt begins with another; one of a cluster is the owner */

    n = redis->url.nhosts + (redis->url.kind == NGX_CRED_REDIS_CLUSTER);

    if (n > 1
        && (redis->state != NGX_CRED_REDIS_READY
            || redis->url.kind == NGX_CRED_REDIS_CLUSTER))
    {
        redis->host = (redis->host + 1) % n;
    }

    return NGX_DECLINED;
}


void
ngx_cred_redis_resolve_done(ngx_cred_redis_t *redis)
{
    ngx_cred_net_t           *net;
    ngx_cred_redis_target_t  *owner;

    if (redis->url.kind == NGX_CRED_REDIS_CLUSTER) {
        net = &redis->net;
        owner = &redis->owner;

        ngx_memcpy(owner->data, net->name.data, net->name.len);

        owner->name.data = owner->data;
        owner->name.len = net->name.len;
        owner->port = net->port;
        owner->host = redis->target;

        redis->host = redis->url.nhosts;
    }
}


void
ngx_cred_redis_resolve_named(ngx_cred_redis_t *redis,
    ngx_cred_redis_reply_t *reply)
{
    if (reply->type == NGX_CRED_REDIS_NIL) {
        ngx_cred_redis_fail(redis, NGX_CRED_REDIS_UNREACHABLE, 0,
                            "the sentinel does not know the master",
                            &redis->url.master);
        return;
    }

    if (reply->type != NGX_CRED_REDIS_ARRAY || reply->nelts != 2
        || reply->elts[0]->type != NGX_CRED_REDIS_STRING
        || reply->elts[1]->type != NGX_CRED_REDIS_STRING
        || ngx_cred_redis_aim_at(redis, &reply->elts[0]->str,
                                 &reply->elts[1]->str)
           != NGX_OK)
    {
        ngx_cred_redis_fail(redis, NGX_CRED_REDIS_UNREACHABLE, 0,
                            "invalid reply of a sentinel", NULL);
        return;
    }

    redis->host = (redis->host + redis->asked) % redis->url.nhosts;
    redis->asking = 0;

    ngx_cred_redis_redirect(redis);
}


ngx_uint_t
ngx_cred_redis_misplaced(ngx_cred_redis_t *redis,
    ngx_cred_redis_reply_t *reply)
{
    ngx_str_t  *error;

    if (reply->type != NGX_CRED_REDIS_ERROR) {
        return 0;
    }

    error = &reply->str;

    if (redis->url.kind == NGX_CRED_REDIS_CLUSTER
        && error->len > 6 && ngx_strncmp(error->data, "MOVED ", 6) == 0)
    {
        return ngx_cred_redis_moved(redis, error) == NGX_OK;
    }

    /* a replica that has lost its master, and may not serve stale data */

    if (error->len > 11 && ngx_strncmp(error->data, "MASTERDOWN ", 11) == 0) {
        return 1;
    }

    /* before version 7 a script's error has another one's words around it */

    return ngx_strlcasestrn(error->data, error->data + error->len,
                            (u_char *) "READONLY ", 9 - 1)
           != NULL;
}


/* "MOVED SLOT HOST:PORT", where HOST may be empty: that of this node */

static ngx_int_t
ngx_cred_redis_moved(ngx_cred_redis_t *redis, ngx_str_t *error)
{
    u_char     *p, *last, *colon;
    ngx_str_t   name, port;

    last = error->data + error->len;

    p = ngx_strlchr(error->data + 6, last, ' ');

    if (p == NULL) {
        return NGX_ERROR;
    }

    p++;

    for (colon = last; colon > p && colon[-1] != ':'; colon--) { /* void */ }

    if (colon == p) {
        return NGX_ERROR;
    }

    port.data = colon;
    port.len = last - colon;

    name.data = p;
    name.len = colon - 1 - p;

    if (name.len == 0) {
        name = redis->net.name;
    }

    if (ngx_cred_redis_aim_at(redis, &name, &port) != NGX_OK) {
        return NGX_ERROR;
    }

    redis->moved_to = 1;

    return NGX_OK;
}


/* a name of the URL, or of an owner, is never too long */

static void
ngx_cred_redis_aim(ngx_cred_redis_t *redis, ngx_cred_net_host_t *host)
{
    redis->target = host;

    (void) ngx_cred_net_aim(&redis->net, &host->name, host->port,
                            ngx_cred_redis_known(redis));
}


static void
ngx_cred_redis_aim_owner(ngx_cred_redis_t *redis)
{
    redis->target = redis->owner.host;

    (void) ngx_cred_net_aim(&redis->net, &redis->owner.name,
                            redis->owner.port, ngx_cred_redis_known(redis));
}


/* the target, if the configuration may know its addresses */

static ngx_cred_net_host_t *
ngx_cred_redis_known(ngx_cred_redis_t *redis)
{
    if (redis->conf.hosts == NULL || redis->target == NULL) {
        return NULL;
    }

    return &redis->conf.hosts[redis->target - redis->url.hosts];
}


static ngx_int_t
ngx_cred_redis_aim_at(ngx_cred_redis_t *redis, ngx_str_t *name,
    ngx_str_t *port)
{
    size_t     i;
    ngx_int_t  n;

    n = ngx_atoi(port->data, port->len);

    if (n < 1 || n > 65535
        || name->len == 0
        || (name->len == 1 && name->data[0] == '?'))
    {
        return NGX_ERROR;
    }

    for (i = 0; i < name->len; i++) {

        if (name->data[i] <= 0x20 || name->data[i] >= 0x7f) {
            return NGX_ERROR;
        }
    }

    if (ngx_cred_net_aim(&redis->net, name, (in_port_t) n, NULL) != NGX_OK) {
        return NGX_ERROR;
    }

    redis->target = NULL;

    return NGX_OK;
}
