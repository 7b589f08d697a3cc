
/*
 * Copyright (C) ngx_cred_module authors
 * SPDX-License-Identifier: BSD-2-Clause
 */


/* the address of the server that is to be connected to */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>
#include <ngx_cred_net_connection.h>


static ngx_int_t ngx_cred_net_literal(ngx_cred_net_t *net);
static ngx_uint_t ngx_cred_net_known(ngx_cred_net_t *net);
static void ngx_cred_net_resolve(ngx_cred_net_t *net);
static void ngx_cred_net_resolve_handler(ngx_resolver_ctx_t *ctx);
static void ngx_cred_net_unresolved(ngx_cred_net_t *net, const char *reason,
    ngx_str_t *detail);
static void ngx_cred_net_open_known(ngx_cred_net_t *net);
static void ngx_cred_net_address(ngx_cred_net_t *net,
    struct sockaddr *sockaddr, socklen_t socklen);


ngx_int_t
ngx_cred_net_aim(ngx_cred_net_t *net, ngx_str_t *name, in_port_t port,
    ngx_cred_net_host_t *known)
{
    size_t  len;

    len = name->len;

    if (len > NGX_CRED_NET_HOST_LEN) {
        return NGX_ERROR;
    }

    /* it may be the same one, at another port */

    if (len) {
        ngx_memmove(net->host, name->data, len);
    }

    net->host[len] = '\0';

    net->name.data = net->host;
    net->name.len = len;
    net->port = port;
    net->known = known;

    return NGX_OK;
}


void
ngx_cred_net_missed(ngx_cred_net_t *net)
{
    net->renamed = !net->renamed;
}


void
ngx_cred_net_locate(ngx_cred_net_t *net)
{
    ngx_resolver_t  *resolver;

    if (ngx_cred_net_literal(net) == NGX_OK) {
        ngx_cred_net_open(net);
        return;
    }

    resolver = net->conf->resolver;

    /*
     * What was known when nginx started may lead to a server that is the right
     * one no more: if it did not do, whoever can be asked for the name is, and
     * goes on to be as long as that does.
     */

    if (ngx_cred_net_known(net)
        && (resolver == NULL || resolver->connections.nelts == 0
            || !net->renamed))
    {
        ngx_cred_net_open_known(net);
        return;
    }

    ngx_cred_net_resolve(net);
}


static ngx_int_t
ngx_cred_net_literal(ngx_cred_net_t *net)
{
    in_addr_t             inaddr;
    ngx_str_t            *name;
    ngx_sockaddr_t       *resolved;
    struct sockaddr_un   *saun;
#if (NGX_HAVE_INET6)
    struct sockaddr_in6  *sin6;
#endif

    name = &net->name;
    resolved = &net->resolved;

    ngx_memzero(resolved, sizeof(ngx_sockaddr_t));

    if (net->path.len) {
        saun = (struct sockaddr_un *) resolved;

        saun->sun_family = AF_UNIX;
        ngx_memcpy(saun->sun_path, net->path.data, net->path.len);
        net->socklen = sizeof(struct sockaddr_un);

        return NGX_OK;
    }

    inaddr = ngx_inet_addr(name->data, name->len);

    if (inaddr != INADDR_NONE) {
        resolved->sockaddr_in.sin_family = AF_INET;
        resolved->sockaddr_in.sin_addr.s_addr = inaddr;
        net->socklen = sizeof(struct sockaddr_in);

#if (NGX_HAVE_INET6)
    } else if (ngx_inet6_addr(name->data, name->len,
                              resolved->sockaddr_in6.sin6_addr.s6_addr)
               == NGX_OK)
    {
        sin6 = &resolved->sockaddr_in6;
        sin6->sin6_family = AF_INET6;
        net->socklen = sizeof(struct sockaddr_in6);
#endif

    } else {
        return NGX_DECLINED;
    }

    ngx_inet_set_port(&resolved->sockaddr, net->port);

    return NGX_OK;
}


static ngx_uint_t
ngx_cred_net_known(ngx_cred_net_t *net)
{
    return net->known != NULL && net->known->naddrs != 0;
}


static void
ngx_cred_net_resolve(ngx_cred_net_t *net)
{
    ngx_resolver_ctx_t  *ctx, temp;

    temp.name = net->name;

    ctx = net->conf->resolver ? ngx_resolve_start(net->conf->resolver, &temp)
                              : NGX_NO_RESOLVER;

    if (ctx == NULL) {
        ngx_cred_net_unresolved(net, "no memory to resolve", &net->name);
        return;
    }

    if (ctx == NGX_NO_RESOLVER) {
        ngx_cred_net_unresolved(net, "no resolver defined to resolve",
                                &net->name);
        return;
    }

    ctx->name = net->name;
    ctx->handler = ngx_cred_net_resolve_handler;
    ctx->data = net;
    ctx->timeout = net->conf->resolver_timeout;
    ctx->cancelable = 1;

    net->resolving = ctx;

    if (ngx_resolve_name(ctx) != NGX_OK) {
        net->resolving = NULL;
        ngx_cred_net_unresolved(net, "could not resolve", &net->name);
    }
}


static void
ngx_cred_net_resolve_handler(ngx_resolver_ctx_t *ctx)
{
    ngx_str_t             reason;
    ngx_cred_net_t       *net;
    ngx_resolver_addr_t  *addr;

    net = ctx->data;
    net->resolving = NULL;

    if (ctx->state) {
        reason.data = (u_char *) ngx_resolver_strerror(ctx->state);
        reason.len = ngx_strlen(reason.data);

        ngx_resolve_name_done(ctx);

        ngx_cred_net_unresolved(net, "could not resolve the name:", &reason);
        return;
    }

    addr = &ctx->addrs[net->addr++ % ctx->naddrs];

    ngx_cred_net_address(net, addr->sockaddr, addr->socklen);
    ngx_resolve_name_done(ctx);

    ngx_cred_net_open(net);
}


/* no resolver knows the name: what was known at the start has to do */

static void
ngx_cred_net_unresolved(ngx_cred_net_t *net, const char *reason,
    ngx_str_t *detail)
{
    if (ngx_cred_net_known(net)) {
        ngx_cred_net_open_known(net);
        return;
    }

    net->failed(net, 0, reason, detail);
}


static void
ngx_cred_net_open_known(ngx_cred_net_t *net)
{
    ngx_addr_t  *addr;

    addr = &net->known->addrs[net->addr++ % net->known->naddrs];

    ngx_cred_net_address(net, addr->sockaddr, addr->socklen);
    ngx_cred_net_open(net);
}


static void
ngx_cred_net_address(ngx_cred_net_t *net, struct sockaddr *sockaddr,
    socklen_t socklen)
{
    ngx_memcpy(&net->resolved, sockaddr, socklen);
    ngx_inet_set_port(&net->resolved.sockaddr, net->port);

    net->socklen = socklen;
}
