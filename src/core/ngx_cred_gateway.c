
/*
 * Copyright (C) ngx_cred_module authors
 * SPDX-License-Identifier: BSD-2-Clause
 */


/* an environment of this gateway, as its configuration has made it */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_cred_lookup.h>


ngx_int_t
ngx_cred_gateway_init(ngx_cred_gateway_t *gateway, ngx_pool_t *pool)
{
    u_char     *p;
    ngx_str_t  *password, *sentinel;

    password = ngx_cred_redis_password_path(gateway->redis.password);
    sentinel = ngx_cred_redis_password_path(gateway->redis.sentinel_password);

    gateway->subscription = gateway->redis;

    /* the key, the channel, and both identities */

    p = ngx_pnalloc(pool, 4 * gateway->prefix.len + 2 * gateway->url.len
                          + 2 * (password->len + sentinel->len
                                 + gateway->redis.net.ssl_digest.len)
                          + sizeof(":gateways:undeployed") - 1
                          + 2 * (sizeof("gateway        ")
                                 + 6 * NGX_INT_T_LEN));
    if (p == NULL) {
        return NGX_ERROR;
    }

    gateway->key.data = p;
    p = ngx_sprintf(p, "%V:gateways", &gateway->prefix);
    gateway->key.len = p - gateway->key.data;

    gateway->redis.key = gateway->key;
    gateway->subscription.key = gateway->key;

    gateway->subscription.channel.data = p;
    p = ngx_sprintf(p, "%V:undeployed", &gateway->prefix);
    gateway->subscription.channel.len = p - gateway->subscription.channel.data;

    gateway->redis.identity.data = p;
    p = ngx_sprintf(p, "gateway %M %M %uz %uz %uz %uz %V%V%V%V%V",
                    gateway->redis.connect_timeout,
                    gateway->redis.command_timeout, gateway->prefix.len,
                    password->len, sentinel->len,
                    gateway->redis.net.ssl_digest.len, &gateway->prefix,
                    password, sentinel, &gateway->redis.net.ssl_digest,
                    &gateway->url);
    gateway->redis.identity.len = p - gateway->redis.identity.data;

    gateway->subscription.identity.data = p;
    p = ngx_sprintf(p, "bell %V", &gateway->redis.identity);
    gateway->subscription.identity.len =
                                      p - gateway->subscription.identity.data;

    ngx_cred_lookup_init(gateway);

    return NGX_OK;
}
