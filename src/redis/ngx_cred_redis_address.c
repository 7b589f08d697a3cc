
/*
 * Copyright (C) ngx_cred_module authors
 * SPDX-License-Identifier: BSD-2-Clause
 */


/* the address of the server that is to be connected to */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>
#include <ngx_cred_redis_connection.h>


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
     * no more: if it did not do, whoever can be asked for the name is, and goes
     * on to be as long as that does.
     */

    if (known
        && (resolver == NULL || resolver->connections.nelts == 0
            || !redis->renamed))
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
