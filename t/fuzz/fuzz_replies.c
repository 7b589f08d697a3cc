
/*
 * Copyright (C) ngx_cred_module authors
 * SPDX-License-Identifier: BSD-2-Clause
 */


/*
 * Replies of the scripts, as the core room and the redis room read them.  The
 * first line says what is done: "delete" has three deletes, one of which is
 * forgotten, "retry" the background retry, and "gateway" some checks of keys.
 * wire.h has the rest.
 */


#include <wire.h>
#include <zone.h>
#include <ngx_cred_core.h>
#include <ngx_cred_access.h>


#define FUZZ_DELETES  3
#define FUZZ_CHECKS   8


typedef struct {
    ngx_cred_access_t   access;
    ngx_uint_t          answered;
} fuzz_check_t;


static void fuzz_url(u_char *p, u_char *last);
static void fuzz_delete(void);
static void fuzz_wait(void);
static void fuzz_aof(void);
static void fuzz_deletes(ngx_cred_wait_t *wait);
static void fuzz_deleted(void *data, ngx_cred_outcome_t *outcome);
static void fuzz_retry(void);
static void fuzz_registry(ngx_cred_registry_t *registry,
    ngx_cred_wait_t *wait);
static void fuzz_gateway(void);
static void fuzz_checked(ngx_cred_access_t *access);
static void fuzz_redis(ngx_cred_redis_conf_t *conf);


/* the first letter will do */

static struct {
    const char  *name;
    void       (*handler)(void);
} fuzz_doings[] = {
    { "delete", fuzz_delete },
    { "wait", fuzz_wait },
    { "aof", fuzz_aof },
    { "retry", fuzz_retry },
    { "gateway", fuzz_gateway }
};

static ngx_str_t  fuzz_server;


int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    ngx_uint_t  i;

    static ngx_uint_t  started;

    if (!started) {
        started = 1;
        ngx_pagesize = getpagesize();
        ngx_cacheline_size = NGX_CPU_CACHE_LINE;
        zone_start();
    }

    for (i = 0; i < sizeof(fuzz_doings) / sizeof(fuzz_doings[0]); i++) {

        if (size && data[0] == fuzz_doings[i].name[0]) {
            fuzz_url((u_char *) data, (u_char *) data + size);
            wire_start((u_char *) data, size);
            fuzz_doings[i].handler();
        }
    }

    return 0;
}


static void
fuzz_url(u_char *p, u_char *last)
{
    u_char  *end;

    ngx_str_set(&fuzz_server, "redis://127.0.0.1/1");

    end = ngx_strlchr(p, last, '\n');
    last = end ? end : last;

    p = ngx_strlchr(p, last, ' ');

    if (p) {
        fuzz_server.data = p + 1;
        fuzz_server.len = last - p - 1;
    }
}


static void
fuzz_delete(void)
{
    ngx_cred_wait_t  wait = { 0, 0, 0 };

    fuzz_deletes(&wait);
}


static void
fuzz_wait(void)
{
    ngx_cred_wait_t  wait = { 2, 300, 0 };

    fuzz_deletes(&wait);
}


static void
fuzz_aof(void)
{
    ngx_cred_wait_t  wait = { 1, 300, 1 };

    fuzz_deletes(&wait);
}


static void
fuzz_deletes(ngx_cred_wait_t *wait)
{
    ngx_int_t             rc[FUZZ_DELETES];
    ngx_uint_t            i, called[FUZZ_DELETES];
    ngx_cred_rules_t      rules;
    ngx_cred_delete_t    *del;
    ngx_cred_params_t     params;
    ngx_cred_registry_t   registry;

    fuzz_registry(&registry, wait);

    ngx_memzero(called, sizeof(called));
    ngx_memzero(&rules, sizeof(ngx_cred_rules_t));
    ngx_memzero(&params, sizeof(ngx_cred_params_t));

    rules.membership = 1;
    rules.rate = 240;

    ngx_str_set(&params.api, "alloy");
    ngx_str_set(&params.token, "token");
    ngx_str_set(&params.scope, "scope");
    ngx_str_set(&params.id, "id");
    ngx_str_set(&params.client, "192.0.2.1");
    params.rules = &rules;

    for (i = 0; i < FUZZ_DELETES; i++) {
        del = NULL;

        rc[i] = ngx_cred_delete(&registry, &params, fuzz_deleted, &called[i],
                                &del);

        fuzz_assert(rc[i] == NGX_AGAIN || rc[i] == NGX_DECLINED);

        /* the first two of them in one call */

        if (i == 1) {
            wire_run(10);

        } else if (i == 2 && rc[i] == NGX_AGAIN) {
            ngx_cred_delete_forget(del);
            called[i]++;
        }
    }

    wire_run(60000);
    wire_end();

    for (i = 0; i < FUZZ_DELETES; i++) {
        fuzz_assert(called[i] == (rc[i] == NGX_AGAIN));
    }
}


static void
fuzz_deleted(void *data, ngx_cred_outcome_t *outcome)
{
    size_t               len;
    ngx_uint_t           i, *called;
    ngx_cred_receipt_t  *receipts;

    called = data;
    (*called)++;

    fuzz_assert(outcome->result < NGX_CRED_NRESULTS);
    fuzz_assert(outcome->operation.len == 0
                || outcome->operation.len == NGX_CRED_OPERATION_LEN);
    fuzz_assert(outcome->token.len == NGX_CRED_TOKEN_SHOWN);
    fuzz_assert(outcome->registry_time >= 0 && outcome->cascade_time >= -1);
    fuzz_assert(outcome->npending + outcome->nnot_deployed
                + outcome->nsuperseded <= outcome->nreceipts);
    fuzz_assert(outcome->rate_reset >= 0 && outcome->rate_limit >= 0
                && outcome->rate_remaining >= 0);

    fuzz_assert(outcome->replicas <= outcome->replicas_wanted);

    receipts = outcome->receipts;

    for (i = 0; i < outcome->nreceipts; i++) {
        fuzz_assert(receipts[i].state < NGX_CRED_NSTATES);
        fuzz_assert(receipts[i].reason <= NGX_CRED_GATEWAYS);

        len = receipts[i].name.len;

        fuzz_assert(i == 0 || ngx_memn2cmp(receipts[i - 1].name.data,
                                           receipts[i].name.data,
                                           receipts[i - 1].name.len, len)
                              <= 0);
    }
}


static void
fuzz_retry(void)
{
    ngx_cred_wait_t      wait = { 0, 0, 0 };
    ngx_cred_registry_t  registry;

    fuzz_registry(&registry, &wait);

    fuzz_assert(ngx_cred_retry_start(&registry, (ngx_cycle_t *) ngx_cycle)
                == NGX_OK);

    wire_run(10000);
    wire_end();
}


static void
fuzz_registry(ngx_cred_registry_t *registry, ngx_cred_wait_t *wait)
{
    ngx_memzero(registry, sizeof(ngx_cred_registry_t));

    registry->url = fuzz_server;
    registry->wait = *wait;
    ngx_str_set(&registry->prefix, "{cred}");

    fuzz_redis(&registry->redis);
    fuzz_redis(&registry->environments);

    registry->cascade_timeout = 200;
    registry->retry_min = 1000;
    registry->retry_max = 60000;
    registry->unregistered_delay = 604800000;

    fuzz_assert(ngx_cred_registry_init(registry, ngx_cycle->pool) == NGX_OK);
}


static void
fuzz_redis(ngx_cred_redis_conf_t *conf)
{
    conf->connect_timeout = 250;
    conf->command_timeout = 500;
    conf->net.resolver_timeout = 1000;
    conf->net.ssl = &wire_ssl;
}


static void
fuzz_gateway(void)
{
    ngx_int_t            rc[FUZZ_CHECKS];
    ngx_uint_t           i;
    fuzz_check_t         checks[FUZZ_CHECKS];
    ngx_cred_zone_t     *zone;
    ngx_cred_access_t   *access;
    ngx_cred_gateway_t   gateway;

    static ngx_str_t  keys[] = { ngx_string("one"), ngx_string("two") };

    ngx_memzero(&gateway, sizeof(ngx_cred_gateway_t));
    ngx_memzero(checks, sizeof(checks));

    zone = zone_new(MB);
    fuzz_assert(zone != NULL);

    gateway.url = fuzz_server;
    ngx_str_set(&gateway.prefix, "{cred}");
    ngx_str_set(&gateway.name, "127.0.0.1:6379");

    fuzz_redis(&gateway.redis);

    gateway.lease = 5000;
    gateway.zone = zone;
    gateway.environment = zone_environment(zone, "127.0.0.1:6379", 5000);
    gateway.leased = 1;

    fuzz_assert(gateway.environment != NULL);
    fuzz_assert(ngx_cred_gateway_init(&gateway, ngx_cycle->pool) == NGX_OK);
    fuzz_assert(ngx_cred_lease_start(&gateway, (ngx_cycle_t *) ngx_cycle, 1)
                == NGX_OK);

    for (i = 0; i < FUZZ_CHECKS; i++) {

        access = &checks[i].access;

        access->gateway = &gateway;
        ngx_str_set(&access->api, "alloy");
        access->key = keys[i % 2];
        access->valid = 60000;
        access->missing = 1000;
        access->pool = ngx_cycle->pool;
        access->handler = fuzz_checked;
        access->data = &checks[i];

        if (i % 4 == 2) {
            ngx_str_set(&access->grant, "use");
        }

        rc[i] = ngx_cred_access(access);

        fuzz_assert(rc[i] == NGX_OK || rc[i] == NGX_AGAIN);

        if (rc[i] == NGX_OK) {
            fuzz_checked(access);

        } else if (i == FUZZ_CHECKS - 1) {
            ngx_cred_access_forget(access);
            checks[i].answered++;
        }

        /* two at a time */

        if (i % 2) {
            wire_run(300);
        }
    }

    wire_run(20000);
    wire_end();

    for (i = 0; i < FUZZ_CHECKS; i++) {
        fuzz_assert(checks[i].answered == 1);
    }

    zone_free(zone);
}


static void
fuzz_checked(ngx_cred_access_t *access)
{
    fuzz_check_t  *check;

    check = access->data;
    check->answered++;

    fuzz_assert(access->result <= NGX_CRED_ACCESS_UNAVAILABLE);

    if (access->result == NGX_CRED_ACCESS_KNOWN) {
        fuzz_assert(access->scope.len + access->id.len
                    < NGX_CRED_ZONE_POINTER_LEN);
    }
}
