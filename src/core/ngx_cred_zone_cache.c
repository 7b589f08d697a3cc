
/*
 * Copyright (C) ngx_cred_module authors
 * SPDX-License-Identifier: BSD-2-Clause
 */


/* the cache of the zone: what is known of keys */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_cred_lock.h>
#include <ngx_cred_zone_memory.h>


#define NGX_CRED_ZONE_SHARDS    256   /* at most */
#define NGX_CRED_ZONE_PAGES     8     /* of each, at least, when it is full */
#define NGX_CRED_ZONE_RESERVE   16    /* pages for environments to come */
#define NGX_CRED_ZONE_SLOT      152   /* bytes: 26 of a page */
#define NGX_CRED_ZONE_RECENT    128   /* as exact as "least recently" is, ms */

/* what an entry's node does not have of it */

#define NGX_CRED_ZONE_HASH_REST                                               \
    (NGX_CRED_ZONE_HASH_LEN - sizeof(ngx_rbtree_key_t))


/* an entry is a slot; names that do not fit go on in others */

typedef struct {
    ngx_rbtree_node_t        node;        /* key: the hash's beginning */
    ngx_queue_t              queue;
    u_char                   hash[NGX_CRED_ZONE_HASH_REST];
    uint64_t                 seq;
    uint64_t                 sent;
    uint64_t                 expires;
    u_short                  environment;
    u_short                  api;
    u_short                  counter;
    u_short                  len;
    uint32_t                 used;        /* when it was, the last time */
    u_char                   state;
    u_char                   granted;
    u_char                   data[1];
} ngx_cred_zone_entry_t;


typedef struct ngx_cred_zone_more_s  ngx_cred_zone_more_t;

struct ngx_cred_zone_more_s {
    ngx_queue_t              queue;       /* while it is free */
    ngx_cred_zone_more_t    *next;
    u_char                   data[1];
};


#define NGX_CRED_ZONE_INLINE                                                  \
    (NGX_CRED_ZONE_SLOT - offsetof(ngx_cred_zone_entry_t, data))
#define NGX_CRED_ZONE_MORE                                                    \
    (NGX_CRED_ZONE_SLOT - offsetof(ngx_cred_zone_more_t, data))


static ngx_cred_zone_shard_t *ngx_cred_zone_shard(ngx_cred_zone_t *zone,
    ngx_cred_zone_key_t *key);
static ngx_int_t ngx_cred_zone_shard_lock(ngx_cred_zone_shard_t *shard);
static void ngx_cred_zone_shard_clear(ngx_cred_zone_shard_t *shard);
static void ngx_cred_zone_page(ngx_cred_zone_shard_t *shard, void *page);
static void ngx_cred_zone_insert(ngx_rbtree_node_t *temp,
    ngx_rbtree_node_t *node, ngx_rbtree_node_t *sentinel);
static int ngx_cred_zone_compare(ngx_cred_zone_entry_t *entry,
    ngx_cred_zone_key_t *key);
static ngx_rbtree_key_t ngx_cred_zone_node_key(ngx_cred_zone_key_t *key);
static ngx_cred_zone_entry_t *ngx_cred_zone_find(ngx_cred_zone_shard_t *shard,
    ngx_cred_zone_key_t *key);
static void ngx_cred_zone_remove(ngx_cred_zone_shard_t *shard,
    ngx_cred_zone_entry_t *entry);
static void *ngx_cred_zone_slot(ngx_cred_zone_t *zone,
    ngx_cred_zone_shard_t *shard);
static ngx_int_t ngx_cred_zone_grow(ngx_cred_zone_t *zone,
    ngx_cred_zone_shard_t *shard);
static ngx_int_t ngx_cred_zone_write(ngx_cred_zone_t *zone,
    ngx_cred_zone_shard_t *shard, ngx_cred_zone_entry_t *entry,
    ngx_cred_zone_record_t *record);
static void ngx_cred_zone_read(ngx_cred_zone_entry_t *entry,
    ngx_cred_zone_record_t *record);
static ngx_cred_zone_more_t *ngx_cred_zone_first(ngx_cred_zone_entry_t *entry);


ngx_int_t
ngx_cred_zone_cache_init(ngx_cred_zone_t *zone)
{
    size_t      pages;
    ngx_uint_t  i, n;

    pages = zone->shpool->pfree;

    for (n = NGX_CRED_ZONE_SHARDS; n > 1; n /= 2) {
        if (n * NGX_CRED_ZONE_PAGES <= pages) {
            break;
        }
    }

    zone->shards = ngx_slab_calloc(zone->shpool,
                                   n * sizeof(ngx_cred_zone_shard_t));
    if (zone->shards == NULL) {
        return NGX_ERROR;
    }

    pages = zone->shpool->pfree;

    zone->reserve = ngx_min(NGX_CRED_ZONE_RESERVE, pages / 4);
    pages -= zone->reserve;

    zone->nshards = n;
    zone->most = pages / n;
    zone->spare = pages % n;

    for (i = 0; i < n; i++) {
        ngx_cred_zone_shard_clear(&zone->shards[i]);
    }

    return NGX_OK;
}


static ngx_cred_zone_shard_t *
ngx_cred_zone_shard(ngx_cred_zone_t *zone, ngx_cred_zone_key_t *key)
{
    return &zone->shards[key->hash[NGX_CRED_ZONE_HASH_LEN - 1]
                         & (zone->nshards - 1)];
}


static ngx_int_t
ngx_cred_zone_shard_lock(ngx_cred_zone_shard_t *shard)
{
    ngx_int_t  rc;

    rc = ngx_cred_lock(&shard->lock);

    if (rc == NGX_DECLINED) {
        ngx_log_error(NGX_LOG_NOTICE, ngx_cycle->log, 0,
                      "a worker has died over a part of the cache of keys, "
                      "which is made anew");

        ngx_cred_zone_shard_clear(shard);
        return NGX_OK;
    }

    return rc;
}


/* whatever state it is in; all of its memory is free then */

static void
ngx_cred_zone_shard_clear(ngx_cred_zone_shard_t *shard)
{
    void  *page;

    ngx_rbtree_init(&shard->rbtree, &shard->sentinel, ngx_cred_zone_insert);
    ngx_queue_init(&shard->known);
    ngx_queue_init(&shard->unknown);
    ngx_queue_init(&shard->free);

    for (page = shard->pages; page; page = *(void **) page) {
        ngx_cred_zone_page(shard, page);
    }
}


/* its slots come after the pointer to the next page */

static void
ngx_cred_zone_page(ngx_cred_zone_shard_t *shard, void *page)
{
    u_char                *p, *last;
    ngx_cred_zone_more_t  *slot;

    p = (u_char *) page + sizeof(void *);
    last = (u_char *) page + ngx_pagesize - NGX_CRED_ZONE_SLOT;

    for ( /* void */ ; p <= last; p += NGX_CRED_ZONE_SLOT) {
        slot = (ngx_cred_zone_more_t *) p;
        ngx_queue_insert_tail(&shard->free, &slot->queue);
    }
}


static void
ngx_cred_zone_insert(ngx_rbtree_node_t *temp, ngx_rbtree_node_t *node,
    ngx_rbtree_node_t *sentinel)
{
    ngx_rbtree_node_t      **p;
    ngx_cred_zone_key_t      key;
    ngx_cred_zone_entry_t   *entry;

    entry = (ngx_cred_zone_entry_t *) node;

    ngx_memcpy(key.hash + sizeof(ngx_rbtree_key_t), entry->hash,
               NGX_CRED_ZONE_HASH_REST);
    key.environment = entry->environment;
    key.api = entry->api;

    for ( ;; ) {

        if (node->key != temp->key) {
            p = (node->key < temp->key) ? &temp->left : &temp->right;

        } else {
            p = (ngx_cred_zone_compare((ngx_cred_zone_entry_t *) temp, &key)
                 > 0) ? &temp->left : &temp->right;
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


/* of two with the same node key */

static int
ngx_cred_zone_compare(ngx_cred_zone_entry_t *entry, ngx_cred_zone_key_t *key)
{
    int  rc;

    rc = ngx_memcmp(entry->hash, key->hash + sizeof(ngx_rbtree_key_t),
                    NGX_CRED_ZONE_HASH_REST);

    if (rc == 0) {
        rc = (int) entry->environment - (int) key->environment;
    }

    return rc ? rc : (int) entry->api - (int) key->api;
}


static ngx_rbtree_key_t
ngx_cred_zone_node_key(ngx_cred_zone_key_t *key)
{
    ngx_rbtree_key_t  node_key;

    ngx_memcpy(&node_key, key->hash, sizeof(ngx_rbtree_key_t));

    return node_key;
}


static ngx_cred_zone_entry_t *
ngx_cred_zone_find(ngx_cred_zone_shard_t *shard, ngx_cred_zone_key_t *key)
{
    int                     rc;
    ngx_rbtree_key_t        node_key;
    ngx_rbtree_node_t      *node, *sentinel;
    ngx_cred_zone_entry_t  *entry;

    node_key = ngx_cred_zone_node_key(key);
    node = shard->rbtree.root;
    sentinel = shard->rbtree.sentinel;

    while (node != sentinel) {

        if (node_key != node->key) {
            node = (node_key < node->key) ? node->left : node->right;
            continue;
        }

        entry = (ngx_cred_zone_entry_t *) node;
        rc = ngx_cred_zone_compare(entry, key);

        if (rc == 0) {
            return entry;
        }

        node = (rc > 0) ? node->left : node->right;
    }

    return NULL;
}


ngx_int_t
ngx_cred_zone_get(ngx_cred_zone_t *zone, ngx_cred_zone_key_t *key,
    ngx_cred_zone_record_t *record)
{
    uint32_t                now;
    ngx_queue_t            *queue;
    ngx_cred_zone_entry_t  *entry;
    ngx_cred_zone_shard_t  *shard;

    shard = ngx_cred_zone_shard(zone, key);

    if (ngx_cred_zone_shard_lock(shard) != NGX_OK) {
        return NGX_BUSY;
    }

    entry = ngx_cred_zone_find(shard, key);

    if (entry == NULL) {
        ngx_cred_unlock(&shard->lock);
        return NGX_DECLINED;
    }

    /* this is recent enough, and mostly writes to no other entries */

    now = (uint32_t) (ngx_current_msec / NGX_CRED_ZONE_RECENT);

    if (entry->used != now) {
        entry->used = now;

        queue = (entry->state == NGX_CRED_ZONE_KNOWN) ? &shard->known
                                                      : &shard->unknown;

        ngx_queue_remove(&entry->queue);
        ngx_queue_insert_head(queue, &entry->queue);
    }

    ngx_cred_zone_read(entry, record);

    ngx_cred_unlock(&shard->lock);

    return NGX_OK;
}


void
ngx_cred_zone_put(ngx_cred_zone_t *zone, ngx_cred_zone_key_t *key,
    ngx_cred_zone_record_t *record)
{
    ngx_cred_zone_entry_t  *entry;
    ngx_cred_zone_shard_t  *shard;

    shard = ngx_cred_zone_shard(zone, key);

    if (ngx_cred_zone_shard_lock(shard) != NGX_OK) {
        return;
    }

    entry = ngx_cred_zone_find(shard, key);

    if (entry) {

        /* that somebody asks is not worth what is known */

        if (record->state == NGX_CRED_ZONE_LOOKING
            && entry->state == NGX_CRED_ZONE_KNOWN)
        {
            ngx_cred_unlock(&shard->lock);
            return;
        }

        ngx_cred_zone_remove(shard, entry);
    }

    entry = ngx_cred_zone_slot(zone, shard);

    if (entry) {
        entry->node.key = ngx_cred_zone_node_key(key);
        entry->environment = key->environment;
        entry->api = key->api;

        ngx_memcpy(entry->hash, key->hash + sizeof(ngx_rbtree_key_t),
                   NGX_CRED_ZONE_HASH_REST);

        if (ngx_cred_zone_write(zone, shard, entry, record) == NGX_OK) {
            ngx_rbtree_insert(&shard->rbtree, &entry->node);
            ngx_queue_insert_head(record->state == NGX_CRED_ZONE_KNOWN
                                  ? &shard->known : &shard->unknown,
                                  &entry->queue);
        }
    }

    ngx_cred_unlock(&shard->lock);
}


static void
ngx_cred_zone_remove(ngx_cred_zone_shard_t *shard, ngx_cred_zone_entry_t *entry)
{
    ngx_cred_zone_more_t  *slot, *next;

    ngx_rbtree_delete(&shard->rbtree, &entry->node);
    ngx_queue_remove(&entry->queue);

    for (slot = ngx_cred_zone_first(entry); slot; slot = next) {
        next = slot->next;
        ngx_queue_insert_head(&shard->free, &slot->queue);
    }

    slot = (ngx_cred_zone_more_t *) entry;
    ngx_queue_insert_head(&shard->free, &slot->queue);
}


/* NULL if there is none, and none whose entry could leave */

static void *
ngx_cred_zone_slot(ngx_cred_zone_t *zone, ngx_cred_zone_shard_t *shard)
{
    ngx_queue_t  *q, *victims;

    if (ngx_queue_empty(&shard->free)
        && ngx_cred_zone_grow(zone, shard) != NGX_OK)
    {
        victims = ngx_queue_empty(&shard->unknown) ? &shard->known
                                                   : &shard->unknown;
        if (ngx_queue_empty(victims)) {
            return NULL;
        }

        q = ngx_queue_last(victims);

        ngx_cred_zone_remove(shard,
                             ngx_queue_data(q, ngx_cred_zone_entry_t, queue));
    }

    q = ngx_queue_head(&shard->free);
    ngx_queue_remove(q);

    return ngx_queue_data(q, ngx_cred_zone_more_t, queue);
}


static ngx_int_t
ngx_cred_zone_grow(ngx_cred_zone_t *zone, ngx_cred_zone_shard_t *shard)
{
    void             *page;
    ngx_uint_t        spare, full;
    ngx_slab_pool_t  *shpool;

    shpool = zone->shpool;

    if (zone->full || !ngx_shmtx_trylock(&shpool->mutex)) {
        return NGX_DECLINED;
    }

    spare = (shard->npages >= zone->most);
    page = NULL;

    full = (shpool->pfree <= zone->reserve);

    if (!full && (!spare || zone->spare)) {
        page = ngx_slab_alloc_locked(shpool, ngx_pagesize);
        zone->spare -= (page && spare);
    }

    ngx_shmtx_unlock(&shpool->mutex);

    if (page == NULL) {

        if (full && ngx_atomic_cmp_set(&zone->full, 0, 1)) {
            ngx_log_error(NGX_LOG_WARN, ngx_cycle->log, 0,
                          "cred_access_zone \"%V\" is full, the least recently "
                          "used keys leave it", &zone->name);
        }

        return NGX_DECLINED;
    }

    *(void **) page = shard->pages;
    shard->pages = page;
    shard->npages++;

    ngx_cred_zone_page(shard, page);

    return NGX_OK;
}


/* with the slot of the entry given back if there are no others */

static ngx_int_t
ngx_cred_zone_write(ngx_cred_zone_t *zone, ngx_cred_zone_shard_t *shard,
    ngx_cred_zone_entry_t *entry, ngx_cred_zone_record_t *record)
{
    u_char                 *p;
    size_t                  rest, n;
    ngx_cred_zone_more_t   *slot, **next, *first;

    entry->state = record->state;
    entry->granted = record->granted;
    entry->seq = record->seq;
    entry->sent = record->sent;
    entry->expires = record->expires;
    entry->counter = record->counter;
    entry->len = record->len;
    entry->used = 0;

    if (record->len <= NGX_CRED_ZONE_INLINE) {
        ngx_memcpy(entry->data, record->pointer, record->len);
        return NGX_OK;
    }

    first = NULL;
    next = &first;
    p = record->pointer;

    for (rest = record->len; rest; rest -= n) {
        slot = ngx_cred_zone_slot(zone, shard);

        if (slot == NULL) {
            break;
        }

        n = ngx_min(rest, NGX_CRED_ZONE_MORE);
        ngx_memcpy(slot->data, p, n);
        p += n;

        slot->next = NULL;
        *next = slot;
        next = &slot->next;
    }

    if (rest == 0) {
        ngx_memcpy(entry->data, &first, sizeof(first));
        return NGX_OK;
    }

    while (first) {
        slot = first;
        first = slot->next;
        ngx_queue_insert_head(&shard->free, &slot->queue);
    }

    slot = (ngx_cred_zone_more_t *) entry;
    ngx_queue_insert_head(&shard->free, &slot->queue);

    return NGX_ERROR;
}


static ngx_cred_zone_more_t *
ngx_cred_zone_first(ngx_cred_zone_entry_t *entry)
{
    ngx_cred_zone_more_t  *first;

    if (entry->len <= NGX_CRED_ZONE_INLINE) {
        return NULL;
    }

    ngx_memcpy(&first, entry->data, sizeof(first));

    return first;
}


static void
ngx_cred_zone_read(ngx_cred_zone_entry_t *entry, ngx_cred_zone_record_t *record)
{
    u_char                *p;
    size_t                 rest, n;
    ngx_cred_zone_more_t  *slot;

    record->state = entry->state;
    record->granted = entry->granted;
    record->seq = entry->seq;
    record->sent = entry->sent;
    record->expires = entry->expires;
    record->counter = entry->counter;
    record->len = entry->len;

    if (entry->len <= NGX_CRED_ZONE_INLINE) {
        ngx_memcpy(record->pointer, entry->data, entry->len);
        return;
    }

    p = record->pointer;
    rest = entry->len;

    for (slot = ngx_cred_zone_first(entry); slot; slot = slot->next) {
        n = ngx_min(rest, NGX_CRED_ZONE_MORE);
        p = ngx_cpymem(p, slot->data, n);
        rest -= n;
    }
}
