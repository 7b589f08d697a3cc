
/*
 * Copyright (C) ngx_cred_module authors
 * SPDX-License-Identifier: BSD-2-Clause
 */


/*
 * Lookups.  Whoever asks for what is being looked up joins in, and gets the
 * result if it is as good as one of his own: the lookup was sent after he had
 * come, or the result is one that the cache would give him by now.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>
#include <signal.h>
#include <ngx_cred_clock.h>
#include <ngx_cred_lookup.h>
#include <ngx_cred_scripts.h>


#define NGX_CRED_LOOKUP_CALL      32    /* lookups in one call of access.lua */
#define NGX_CRED_LOOKUP_SHARED    3     /* key, prefix, applied */
#define NGX_CRED_LOOKUP_ARGS      3     /* API, hash, grant */
#define NGX_CRED_LOOKUP_OWN       3     /* pointer, grant, ms to its expiry */

#define NGX_CRED_LOOKUP_LEFT      1000000000000  /* to an expiry, at most, in
                                                    milliseconds */
#define NGX_CRED_LOOKUP_PATIENCE  1000  /* with another worker's lookup, as long
                                           as that lives, in ms */
#define NGX_CRED_LOOKUP_POLL      8     /* and between two looks, at most */


typedef struct {
    ngx_rbtree_node_t           node;      /* key: the hash's beginning */
    ngx_cred_zone_key_t         key;
} ngx_cred_lookup_node_t;


/* what is being looked up by this worker */

struct ngx_cred_lookup_s {
    ngx_cred_lookup_node_t      known_by;  /* in gateway->lookups */
    ngx_pool_t                 *pool;
    ngx_cred_gateway_t         *gateway;
    ngx_queue_t                 waiting;   /* ngx_cred_access_t */

    ngx_str_t                   api;
    ngx_str_t                   grant;
    u_char                      hash[NGX_CRED_HASH_HEX_LEN];

    ngx_cred_redis_command_t    command;
    ngx_str_t                   shared[NGX_CRED_LOOKUP_SHARED];
    ngx_str_t                   args[NGX_CRED_LOOKUP_ARGS];
    u_char                      applied[NGX_CRED_ZONE_ID_LEN];

    uint64_t                    sent;      /* just before it was written ... */
    uint64_t                    seq;       /* ... and that of the zone then */

    ngx_event_t                 timer;     /* of looks at another worker's */
    ngx_msec_t                  delay;

    unsigned                    again:1;   /* it was asked twice */
    unsigned                    busy:1;    /* what is known could not be read */
};


static ngx_cred_lookup_t *ngx_cred_lookup_find(ngx_cred_gateway_t *gateway,
    ngx_cred_zone_key_t *key);
static int ngx_cred_lookup_compare(ngx_cred_zone_key_t *one,
    ngx_cred_zone_key_t *two);
static void ngx_cred_lookup_insert(ngx_rbtree_node_t *temp,
    ngx_rbtree_node_t *node, ngx_rbtree_node_t *sentinel);
static ngx_cred_lookup_t *ngx_cred_lookup_create(ngx_cred_access_t *access,
    ngx_cred_zone_key_t *key, u_char *hash);
static void ngx_cred_lookup_send(ngx_cred_lookup_t *lookup);
static ngx_int_t ngx_cred_lookup_ask(ngx_cred_lookup_t *lookup);
static void ngx_cred_lookup_tell(ngx_cred_lookup_t *lookup, uint64_t sent);
static void ngx_cred_lookup_prepare(ngx_cred_redis_t *redis,
    ngx_cred_redis_command_t *command);
static void ngx_cred_lookup_reply(ngx_cred_redis_command_t *command,
    ngx_cred_redis_reply_t *reply);
static ngx_uint_t ngx_cred_lookup_renew(ngx_cred_lookup_t *lookup,
    ngx_cred_redis_command_t *command);
static ngx_uint_t ngx_cred_lookup_is_pointer(ngx_str_t *pointer);
static ngx_int_t ngx_cred_lookup_parse(ngx_cred_lookup_t *lookup,
    ngx_cred_redis_reply_t *reply, ngx_cred_zone_record_t *record);
static void ngx_cred_lookup_poll(ngx_cred_lookup_t *lookup);
static void ngx_cred_lookup_timer_handler(ngx_event_t *ev);
static void ngx_cred_lookup_distribute(ngx_cred_lookup_t *lookup,
    ngx_cred_zone_record_t *record);
static void ngx_cred_lookup_failed(ngx_cred_lookup_t *lookup);
static void ngx_cred_lookup_destroy(ngx_cred_lookup_t *lookup);


static ngx_cred_redis_script_t  ngx_cred_access_script = {
    ngx_string("access.lua"),
    ngx_string(NGX_CRED_SCRIPT_ACCESS),
    ngx_string(NGX_CRED_SCRIPT_ACCESS_SHA),
    NGX_CRED_LOOKUP_CALL, NGX_CRED_LOOKUP_SHARED, 0, NGX_CRED_LOOKUP_OWN, 0
};


void
ngx_cred_lookup_init(ngx_cred_gateway_t *gateway)
{
    ngx_rbtree_init(&gateway->lookups, &gateway->sentinel,
                    ngx_cred_lookup_insert);
}


ngx_int_t
ngx_cred_lookup(ngx_cred_access_t *access, ngx_cred_zone_key_t *key,
    u_char *hash, ngx_cred_lookup_e how)
{
    ngx_cred_lookup_t  *lookup;

    lookup = ngx_cred_lookup_find(access->gateway, key);

    if (lookup == NULL) {
        lookup = ngx_cred_lookup_create(access, key, hash);

        if (lookup == NULL) {
            return NGX_OK;
        }

        lookup->busy = (how == NGX_CRED_LOOKUP_QUIETLY);

        if (how == NGX_CRED_LOOKUP_OTHERS) {
            ngx_cred_lookup_poll(lookup);

        } else if (ngx_cred_lookup_ask(lookup) != NGX_OK) {
            ngx_cred_lookup_destroy(lookup);
            return NGX_OK;
        }
    }

    access->lookup = lookup;
    ngx_queue_insert_tail(&lookup->waiting, &access->queue);

    return NGX_AGAIN;
}


static ngx_cred_lookup_t *
ngx_cred_lookup_find(ngx_cred_gateway_t *gateway, ngx_cred_zone_key_t *key)
{
    int                      rc;
    ngx_rbtree_key_t         node_key;
    ngx_rbtree_node_t       *node;
    ngx_cred_lookup_node_t  *found;

    ngx_memcpy(&node_key, key->hash, sizeof(ngx_rbtree_key_t));

    node = gateway->lookups.root;

    while (node != &gateway->sentinel) {

        if (node_key != node->key) {
            node = (node_key < node->key) ? node->left : node->right;
            continue;
        }

        found = (ngx_cred_lookup_node_t *) node;
        rc = ngx_cred_lookup_compare(&found->key, key);

        if (rc == 0) {
            return (ngx_cred_lookup_t *) found;
        }

        node = (rc > 0) ? node->left : node->right;
    }

    return NULL;
}


static int
ngx_cred_lookup_compare(ngx_cred_zone_key_t *one, ngx_cred_zone_key_t *two)
{
    return ngx_memcmp(one, two, sizeof(ngx_cred_zone_key_t));
}


static void
ngx_cred_lookup_insert(ngx_rbtree_node_t *temp, ngx_rbtree_node_t *node,
    ngx_rbtree_node_t *sentinel)
{
    ngx_rbtree_node_t       **p;
    ngx_cred_lookup_node_t   *one, *two;

    two = (ngx_cred_lookup_node_t *) node;

    for ( ;; ) {

        if (node->key != temp->key) {
            p = (node->key < temp->key) ? &temp->left : &temp->right;

        } else {
            one = (ngx_cred_lookup_node_t *) temp;
            p = (ngx_cred_lookup_compare(&one->key, &two->key) > 0)
                ? &temp->left : &temp->right;
        }

        if (*p == sentinel) {
            break;
        }

        temp = *p;
    }

    *p = node;
    node->parent = temp;
    node->left = sentinel;
    node->right = sentinel;
    ngx_rbt_red(node);
}


static ngx_cred_lookup_t *
ngx_cred_lookup_create(ngx_cred_access_t *access, ngx_cred_zone_key_t *key,
    u_char *hash)
{
    ngx_pool_t         *pool;
    ngx_cred_lookup_t  *lookup;

    pool = ngx_create_pool(1024, ngx_cycle->log);
    if (pool == NULL) {
        return NULL;
    }

    lookup = ngx_pcalloc(pool, sizeof(ngx_cred_lookup_t));
    if (lookup == NULL) {
        ngx_destroy_pool(pool);
        return NULL;
    }

    lookup->pool = pool;
    lookup->gateway = access->gateway;
    lookup->api = access->api;
    lookup->known_by.key = *key;
    ngx_memcpy(&lookup->known_by.node.key, key->hash, sizeof(ngx_rbtree_key_t));
    ngx_hex_dump(lookup->hash, hash, NGX_CRED_HASH_LEN);
    ngx_queue_init(&lookup->waiting);

    lookup->grant.len = access->grant.len;

    if (access->grant.len) {
        lookup->grant.data = ngx_pstrdup(pool, &access->grant);

        if (lookup->grant.data == NULL) {
            ngx_destroy_pool(pool);
            return NULL;
        }
    }

    lookup->timer.handler = ngx_cred_lookup_timer_handler;
    lookup->timer.data = lookup;
    lookup->timer.log = ngx_cycle->log;

    ngx_rbtree_insert(&access->gateway->lookups, &lookup->known_by.node);

    return lookup;
}


static ngx_int_t
ngx_cred_lookup_ask(ngx_cred_lookup_t *lookup)
{
    char                    *err;
    ngx_cred_redis_t        *redis;
    ngx_cred_gateway_t      *gateway;

    gateway = lookup->gateway;

    redis = ngx_cred_redis_get(&gateway->redis, &gateway->url,
                               "gateway's environment", NULL, &err);
    if (redis == NULL) {
        ngx_log_error(NGX_LOG_ERR, ngx_cycle->log, 0,
                      "gateway's environment: %s", err);
        return NGX_ERROR;
    }

    lookup->shared[0] = gateway->key;
    lookup->shared[1] = gateway->prefix;

    lookup->args[0] = lookup->api;
    lookup->args[1].data = lookup->hash;
    lookup->args[1].len = NGX_CRED_HASH_HEX_LEN;
    lookup->args[2] = lookup->grant;

    lookup->command.script = &ngx_cred_access_script;
    lookup->command.shared = lookup->shared;
    lookup->command.args = lookup->args;
    lookup->command.nargs = NGX_CRED_LOOKUP_ARGS;
    lookup->command.prepare = ngx_cred_lookup_prepare;
    lookup->command.handler = ngx_cred_lookup_reply;
    lookup->command.data = lookup;

    if (ngx_cred_redis_eval(redis, &lookup->command) != NGX_OK) {
        return NGX_ERROR;
    }

    /* other workers need not ask, too */

    ngx_cred_lookup_tell(lookup, ngx_cred_clock());

    return NGX_OK;
}


/* other workers that this one has asked, or, if that is long ago, has not */

static void
ngx_cred_lookup_tell(ngx_cred_lookup_t *lookup, uint64_t sent)
{
    ngx_cred_zone_record_t  record;

    if (lookup->busy) {
        return;
    }

    record.state = NGX_CRED_ZONE_LOOKING;
    record.sent = sent;
    record.seq = ngx_pid;
    record.granted = 0;
    record.expires = 0;
    record.counter = 0;
    record.len = 0;

    ngx_cred_zone_put(lookup->gateway->zone, &lookup->known_by.key, &record);
}


static void
ngx_cred_lookup_prepare(ngx_cred_redis_t *redis,
    ngx_cred_redis_command_t *command)
{
    ngx_str_t          *applied;
    ngx_cred_lookup_t  *lookup;

    lookup = command->data;

    /* nothing, if that is not to be had now: it makes sure of more */

    applied = &command->shared[2];

    applied->data = lookup->applied;
    applied->len = 0;

    (void) ngx_cred_zone_applied(lookup->gateway->environment, lookup->applied,
                                 &applied->len);

    lookup->seq = ngx_cred_zone_seq(lookup->gateway->zone);
    lookup->sent = ngx_cred_clock();
}


static void
ngx_cred_lookup_reply(ngx_cred_redis_command_t *command,
    ngx_cred_redis_reply_t *reply)
{
    ngx_cred_lookup_t       *lookup;
    ngx_cred_zone_record_t   record;

    lookup = command->data;

    if (command->status == NGX_CRED_REDIS_OK) {

        if (command->whole != reply
            && ngx_cred_lookup_parse(lookup, reply, &record) == NGX_OK)
        {
            lookup->again = 0;

            ngx_cred_zone_put(lookup->gateway->zone, &lookup->known_by.key,
                              &record);
            ngx_cred_lookup_distribute(lookup, &record);
            return;
        }

        ngx_log_error(NGX_LOG_ERR, ngx_cycle->log, 0,
                      "gateway's environment: unexpected reply to access.lua");

    } else if (ngx_cred_lookup_renew(lookup, command) && !lookup->again) {
        lookup->again = 1;

        if (ngx_cred_lookup_ask(lookup) == NGX_OK) {
            return;
        }
    }

    ngx_cred_lookup_failed(lookup);
}


/*
 * Whether another connection may do: this one has broken, or leads to a Redis
 * that is behind what was applied.  That may be a former master; or the stream
 * was lost, and the next call for a lease will tell.
 */

static ngx_uint_t
ngx_cred_lookup_renew(ngx_cred_lookup_t *lookup,
    ngx_cred_redis_command_t *command)
{
    if (command->status == NGX_CRED_REDIS_BROKEN) {
        return 1;
    }

    if (command->status != NGX_CRED_REDIS_REFUSED || command->error.len < 6
        || ngx_strncmp(command->error.data, "BEHIND", 6) != 0)
    {
        return 0;
    }

    ngx_cred_redis_regreet(command->redis);
    ngx_cred_lease_renew(lookup->gateway);

    return 1;
}


static ngx_int_t
ngx_cred_lookup_parse(ngx_cred_lookup_t *lookup, ngx_cred_redis_reply_t *reply,
    ngx_cred_zone_record_t *record)
{
    int64_t                   left;
    ngx_str_t                *pointer;
    ngx_cred_redis_reply_t  **elts;

    elts = reply->elts;

    if (elts[0]->type != NGX_CRED_REDIS_STRING
        || elts[1]->type != NGX_CRED_REDIS_INTEGER
        || elts[2]->type != NGX_CRED_REDIS_INTEGER)
    {
        return NGX_ERROR;
    }

    pointer = &elts[0]->str;

    record->state = pointer->len ? NGX_CRED_ZONE_KNOWN : NGX_CRED_ZONE_UNKNOWN;
    record->sent = lookup->sent;
    record->seq = lookup->seq;
    record->granted = (elts[1]->integer == 1);
    record->expires = 0;
    record->counter = 0;
    record->len = pointer->len;

    if (pointer->len == 0) {
        return NGX_OK;
    }

    if (!ngx_cred_lookup_is_pointer(pointer)) {
        return NGX_ERROR;
    }

    ngx_memcpy(record->pointer, pointer->data, pointer->len);

    record->counter = ngx_cred_zone_counter(&lookup->api, pointer->data,
                                            pointer->len);

    if (elts[2]->integer >= 0) {
        left = ngx_min(elts[2]->integer, NGX_CRED_LOOKUP_LEFT);
        record->expires = lookup->sent + (uint64_t) left * NGX_CRED_MSEC;
    }

    return NGX_OK;
}


/* SCOPE:ID; both may go into headers of requests to an upstream */

static ngx_uint_t
ngx_cred_lookup_is_pointer(ngx_str_t *pointer)
{
    size_t  i;

    for (i = 0; i < pointer->len; i++) {

        if (pointer->data[i] < 0x20 || pointer->data[i] == 0x7f) {
            return 0;
        }
    }

    return pointer->len <= NGX_CRED_ZONE_POINTER_LEN
           && ngx_strlchr(pointer->data, pointer->data + pointer->len, ':');
}


/* another worker has asked: its answer is looked for in the zone */

static void
ngx_cred_lookup_poll(ngx_cred_lookup_t *lookup)
{
    lookup->delay = lookup->delay ? ngx_min(2 * lookup->delay,
                                            NGX_CRED_LOOKUP_POLL) : 1;

    ngx_add_timer(&lookup->timer, lookup->delay);
}


static void
ngx_cred_lookup_timer_handler(ngx_event_t *ev)
{
    ngx_int_t                rc;
    ngx_cred_lookup_t       *lookup;
    ngx_cred_zone_record_t   record;

    lookup = ev->data;

    rc = ngx_cred_zone_get(lookup->gateway->zone, &lookup->known_by.key,
                           &record);

    if (rc == NGX_OK && record.state == NGX_CRED_ZONE_LOOKING
        && ngx_cred_clock() - record.sent
           < (uint64_t) NGX_CRED_LOOKUP_PATIENCE * NGX_CRED_MSEC
        && (kill((ngx_pid_t) record.seq, 0) == 0 || ngx_errno != NGX_ESRCH))
    {
        ngx_cred_lookup_poll(lookup);
        return;
    }

    if (rc == NGX_OK && record.state != NGX_CRED_ZONE_LOOKING) {
        ngx_cred_lookup_distribute(lookup, &record);
        return;
    }

    ngx_cred_lookup_send(lookup);
}


/* to those for whom it is good enough; the others need a new one */

static void
ngx_cred_lookup_distribute(ngx_cred_lookup_t *lookup,
    ngx_cred_zone_record_t *record)
{
    ngx_queue_t         done, *q, *next;
    ngx_cred_access_t  *access;

    ngx_queue_init(&done);

    for (q = ngx_queue_head(&lookup->waiting);
         q != ngx_queue_sentinel(&lookup->waiting);
         q = next)
    {
        next = ngx_queue_next(q);
        access = ngx_queue_data(q, ngx_cred_access_t, queue);

        if (ngx_cred_access_usable(access, record)) {
            ngx_queue_remove(q);
            ngx_queue_insert_tail(&done, q);
        }
    }

    if (ngx_queue_empty(&lookup->waiting)) {
        ngx_cred_lookup_destroy(lookup);

    } else {
        ngx_cred_lookup_send(lookup);
    }

    /* a handler may end others that wait, too */

    while (!ngx_queue_empty(&done)) {
        q = ngx_queue_head(&done);
        ngx_queue_remove(q);

        access = ngx_queue_data(q, ngx_cred_access_t, queue);
        access->lookup = NULL;

        (void) ngx_cred_access_answer(access, record);

        access->handler(access);
    }
}


static void
ngx_cred_lookup_send(ngx_cred_lookup_t *lookup)
{
    if (ngx_queue_empty(&lookup->waiting)) {
        ngx_cred_lookup_destroy(lookup);
        return;
    }

    if (ngx_cred_lookup_ask(lookup) != NGX_OK) {
        ngx_cred_lookup_failed(lookup);
    }
}


/* what the cache would say now is as good as before */

static void
ngx_cred_lookup_failed(ngx_cred_lookup_t *lookup)
{
    ngx_int_t                rc;
    ngx_queue_t              done, *q;
    ngx_cred_access_t       *access;
    ngx_cred_zone_record_t   record;

    ngx_cred_lookup_tell(lookup, 0);

    rc = ngx_cred_zone_get(lookup->gateway->zone, &lookup->known_by.key,
                           &record);

    ngx_queue_init(&done);

    if (!ngx_queue_empty(&lookup->waiting)) {
        ngx_queue_add(&done, &lookup->waiting);
        ngx_queue_init(&lookup->waiting);
    }

    ngx_cred_lookup_destroy(lookup);

    while (!ngx_queue_empty(&done)) {
        q = ngx_queue_head(&done);
        ngx_queue_remove(q);

        access = ngx_queue_data(q, ngx_cred_access_t, queue);
        access->lookup = NULL;
        access->result = NGX_CRED_ACCESS_UNAVAILABLE;

        if (rc == NGX_OK && ngx_cred_access_usable(access, &record)) {
            access->hit = 1;
            (void) ngx_cred_access_answer(access, &record);
        }

        access->handler(access);
    }
}


static void
ngx_cred_lookup_destroy(ngx_cred_lookup_t *lookup)
{
    if (lookup->timer.timer_set) {
        ngx_del_timer(&lookup->timer);
    }

    ngx_rbtree_delete(&lookup->gateway->lookups, &lookup->known_by.node);

    ngx_destroy_pool(lookup->pool);
}
