
/*
 * Copyright (C) ngx_cred_module authors
 * SPDX-License-Identifier: BSD-2-Clause
 */


/*
 * Before each connect: which server, and at which address.  A sentinel is asked
 * over a connection that has its place in the same attempt; a node of a cluster
 * says in the handshake which one has the slot.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>
#include <ngx_cred_redis_connection.h>


#define NGX_CRED_REDIS_PATIENCE  300   /* with one sentinel, in milliseconds */


static void ngx_cred_redis_ask(ngx_cred_redis_t *redis);
static void ngx_cred_redis_seed(ngx_cred_redis_t *redis);
static void ngx_cred_redis_begin(ngx_cred_redis_t *redis, ngx_msec_t patience);
static void ngx_cred_redis_aim(ngx_cred_redis_t *redis,
    ngx_cred_redis_host_t *host);
static ngx_int_t ngx_cred_redis_aim_at(ngx_cred_redis_t *redis,
    ngx_str_t *name, ngx_str_t *port);
static ngx_int_t ngx_cred_redis_moved(ngx_cred_redis_t *redis,
    ngx_str_t *error);
static void ngx_cred_redis_locate(ngx_cred_redis_t *redis);
static ngx_int_t ngx_cred_redis_literal(ngx_cred_redis_t *redis);
static ngx_cred_redis_host_t *ngx_cred_redis_known(ngx_cred_redis_t *redis);
static void ngx_cred_redis_resolve_name(ngx_cred_redis_t *redis);
static void ngx_cred_redis_resolve_handler(ngx_resolver_ctx_t *ctx);
static void ngx_cred_redis_unresolved(ngx_cred_redis_t *redis,
    const char *reason, ngx_str_t *detail);
static void ngx_cred_redis_open_known(ngx_cred_redis_t *redis,
    ngx_cred_redis_host_t *known);
static void ngx_cred_redis_address(ngx_cred_redis_t *redis,
    struct sockaddr *sockaddr, socklen_t socklen);


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

    ngx_cred_redis_locate(redis);
}


static void
ngx_cred_redis_ask(ngx_cred_redis_t *redis)
{
    ngx_uint_t  n;

    n = (redis->host + redis->asked) % redis->url.nhosts;

    ngx_cred_redis_aim(redis, &redis->url.hosts[n]);
    ngx_cred_redis_begin(redis, NGX_CRED_REDIS_PATIENCE);
    ngx_cred_redis_locate(redis);
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
            redis->target = redis->owner;
            redis->target.name.data = redis->target.data;
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

    redis->state = NGX_CRED_REDIS_RESOLVING;
    redis->log.action = redis->asking ? "asking a sentinel" : "connecting";

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
    ngx_cred_redis_locate(redis);
}


ngx_int_t
ngx_cred_redis_resolve_other(ngx_cred_redis_t *redis)
{
    ngx_uint_t  n;

    if (redis->asking && ++redis->asked < redis->url.nhosts
        && (ngx_msec_int_t) (redis->deadline - ngx_current_msec) > 0
        && !ngx_cred_redis_shutdown)
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

    /* the next attempt begins with another one; one of a cluster is the owner */

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
    if (redis->url.kind == NGX_CRED_REDIS_CLUSTER) {
        redis->owner = redis->target;
        redis->owner.name.data = redis->owner.data;
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
        name = redis->target.name;
    }

    if (ngx_cred_redis_aim_at(redis, &name, &port) != NGX_OK) {
        return NGX_ERROR;
    }

    redis->moved_to = 1;

    return NGX_OK;
}


static void
ngx_cred_redis_aim(ngx_cred_redis_t *redis, ngx_cred_redis_host_t *host)
{
    ngx_cred_redis_target_t  *target;

    target = &redis->target;

    target->name.data = target->data;
    target->name.len = host->name.len;
    target->port = host->port;
    target->host = host;

    *ngx_cpymem(target->data, host->name.data, host->name.len) = '\0';
}


static ngx_int_t
ngx_cred_redis_aim_at(ngx_cred_redis_t *redis, ngx_str_t *name,
    ngx_str_t *port)
{
    size_t                    i;
    ngx_int_t                 n;
    ngx_cred_redis_target_t  *target;

    n = ngx_atoi(port->data, port->len);

    if (n < 1 || n > 65535
        || name->len == 0 || name->len > NGX_CRED_REDIS_HOST_LEN
        || (name->len == 1 && name->data[0] == '?'))
    {
        return NGX_ERROR;
    }

    for (i = 0; i < name->len; i++) {

        if (name->data[i] <= 0x20 || name->data[i] >= 0x7f) {
            return NGX_ERROR;
        }
    }

    target = &redis->target;

    ngx_memmove(target->data, name->data, name->len);
    target->data[name->len] = '\0';

    target->name.data = target->data;
    target->name.len = name->len;
    target->port = (in_port_t) n;
    target->host = NULL;

    return NGX_OK;
}


/* the address of the target */

static void
ngx_cred_redis_locate(ngx_cred_redis_t *redis)
{
    ngx_resolver_t         *resolver;
    ngx_cred_redis_host_t  *known;

    if (ngx_cred_redis_literal(redis) == NGX_OK) {
        ngx_cred_redis_open(redis);
        return;
    }

    known = ngx_cred_redis_known(redis);
    resolver = redis->conf.resolver;

    /*
     * What was known when nginx started may lead to a server that is a master
     * no more: if it did not do, whoever can be asked for the name is.
     */

    if (known
        && (resolver == NULL || resolver->connections.nelts == 0
            || redis->failures % 2 == 0))
    {
        ngx_cred_redis_open_known(redis, known);
        return;
    }

    ngx_cred_redis_resolve_name(redis);
}


static ngx_int_t
ngx_cred_redis_literal(ngx_cred_redis_t *redis)
{
    in_addr_t                 inaddr;
    ngx_str_t                *name;
    ngx_sockaddr_t           *resolved;
    struct sockaddr_un       *saun;
#if (NGX_HAVE_INET6)
    struct sockaddr_in6      *sin6;
#endif

    name = &redis->target.name;
    resolved = &redis->resolved;

    ngx_memzero(resolved, sizeof(ngx_sockaddr_t));

    if (redis->url.path.len) {
        saun = (struct sockaddr_un *) resolved;

        saun->sun_family = AF_UNIX;
        ngx_memcpy(saun->sun_path, redis->url.path.data, redis->url.path.len);
        redis->socklen = sizeof(struct sockaddr_un);

        return NGX_OK;
    }

    inaddr = ngx_inet_addr(name->data, name->len);

    if (inaddr != INADDR_NONE) {
        resolved->sockaddr_in.sin_family = AF_INET;
        resolved->sockaddr_in.sin_addr.s_addr = inaddr;
        redis->socklen = sizeof(struct sockaddr_in);

#if (NGX_HAVE_INET6)
    } else if (ngx_inet6_addr(name->data, name->len,
                              resolved->sockaddr_in6.sin6_addr.s6_addr)
               == NGX_OK)
    {
        sin6 = &resolved->sockaddr_in6;
        sin6->sin6_family = AF_INET6;
        redis->socklen = sizeof(struct sockaddr_in6);
#endif

    } else {
        return NGX_DECLINED;
    }

    ngx_inet_set_port(&resolved->sockaddr, redis->target.port);

    return NGX_OK;
}


/* a host of the configuration's URL whose addresses were known at the start */

static ngx_cred_redis_host_t *
ngx_cred_redis_known(ngx_cred_redis_t *redis)
{
    ngx_cred_redis_host_t  *host;

    if (redis->conf.hosts == NULL || redis->target.host == NULL) {
        return NULL;
    }

    host = &redis->conf.hosts[redis->target.host - redis->url.hosts];

    return host->naddrs ? host : NULL;
}


static void
ngx_cred_redis_resolve_name(ngx_cred_redis_t *redis)
{
    ngx_resolver_ctx_t  *ctx, temp;

    temp.name = redis->target.name;

    ctx = redis->conf.resolver ? ngx_resolve_start(redis->conf.resolver, &temp)
                               : NGX_NO_RESOLVER;

    if (ctx == NULL) {
        ngx_cred_redis_unresolved(redis, "no memory to resolve",
                                  &redis->target.name);
        return;
    }

    if (ctx == NGX_NO_RESOLVER) {
        ngx_cred_redis_unresolved(redis, "no resolver defined to resolve",
                                  &redis->target.name);
        return;
    }

    ctx->name = redis->target.name;
    ctx->handler = ngx_cred_redis_resolve_handler;
    ctx->data = redis;
    ctx->timeout = redis->conf.resolver_timeout;
    ctx->cancelable = 1;

    redis->resolving = ctx;

    if (ngx_resolve_name(ctx) != NGX_OK) {
        redis->resolving = NULL;
        ngx_cred_redis_unresolved(redis, "could not resolve",
                                  &redis->target.name);
    }
}


static void
ngx_cred_redis_resolve_handler(ngx_resolver_ctx_t *ctx)
{
    ngx_str_t             reason;
    ngx_resolver_addr_t  *addr;
    ngx_cred_redis_t     *redis;

    redis = ctx->data;
    redis->resolving = NULL;

    if (ctx->state) {
        reason.data = (u_char *) ngx_resolver_strerror(ctx->state);
        reason.len = ngx_strlen(reason.data);

        ngx_resolve_name_done(ctx);

        ngx_cred_redis_unresolved(redis, "could not resolve the name:",
                                  &reason);
        return;
    }

    addr = &ctx->addrs[redis->addr++ % ctx->naddrs];

    ngx_cred_redis_address(redis, addr->sockaddr, addr->socklen);
    ngx_resolve_name_done(ctx);

    ngx_cred_redis_open(redis);
}


/* no resolver knows the name: what was known at the start has to do */

static void
ngx_cred_redis_unresolved(ngx_cred_redis_t *redis, const char *reason,
    ngx_str_t *detail)
{
    ngx_cred_redis_host_t  *known;

    known = ngx_cred_redis_known(redis);

    if (known) {
        ngx_cred_redis_open_known(redis, known);
        return;
    }

    ngx_cred_redis_fail(redis, NGX_CRED_REDIS_UNREACHABLE, 0, reason, detail);
}


static void
ngx_cred_redis_open_known(ngx_cred_redis_t *redis,
    ngx_cred_redis_host_t *known)
{
    ngx_addr_t  *addr;

    addr = &known->addrs[redis->addr++ % known->naddrs];

    ngx_cred_redis_address(redis, addr->sockaddr, addr->socklen);
    ngx_cred_redis_open(redis);
}


static void
ngx_cred_redis_address(ngx_cred_redis_t *redis, struct sockaddr *sockaddr,
    socklen_t socklen)
{
    ngx_memcpy(&redis->resolved, sockaddr, socklen);
    ngx_inet_set_port(&redis->resolved.sockaddr, redis->target.port);

    redis->socklen = socklen;
}
