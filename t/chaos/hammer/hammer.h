
/*
 * Copyright (C) ngx_cred_module authors
 * SPDX-License-Identifier: BSD-2-Clause
 */


/*
 * Clients of t/chaos/gateways: they delete credentials, and show keys that are
 * alive, being deleted or deleted to every gateway, all in one thread, so that
 * one clock orders what is sent and what has been answered.
 *
 * main.c reads the options and decides when something is sent, keys.c knows
 * what was answered of each credential and is the judge of it, and http.c
 * knows connections.
 */


#ifndef _HAMMER_H_INCLUDED_
#define _HAMMER_H_INCLUDED_


#define _GNU_SOURCE

#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>


#define HAMMER_TARGETS   9      /* gateways, and who deletes */
#define HAMMER_NAMES     4

#define MSEC             1000000ull
#define SECOND           1000000000ull


typedef struct hammer_client_s  hammer_client_t;

/* of connections */

typedef enum {
    BUSY = 0,
    IDLE,
    SPARE,
    DEAD
} hammer_state_e;


typedef struct {
    int               port;
    int               environment;  /* -1: deletes */
    hammer_client_t  *ring;         /* one of each state */
    int               n[DEAD + 1];
    double            due;          /* requests since the start */
    uint32_t          cursor;       /* of -x */
    uint64_t          admitted, refused, unavailable, lost, late;
} hammer_target_t;


typedef struct {
    hammer_target_t   targets[HAMMER_TARGETS], *management;
    int               ngateways, nnames, sweep;
    char             *names[HAMMER_NAMES];
    uint32_t          first, nkeys, first_alive, nalive;
    double            rate, delete_rate;
    uint64_t          seed;
} hammer_t;


extern hammer_t  hammer;


void hammer_fail(const char *what);
uint64_t hammer_now(void);
uint32_t hammer_below(uint32_t n);

int hammer_init_http(void);
int hammer_start_request(hammer_target_t *t, uint32_t key, int most,
    hammer_state_e from);
void hammer_process_events(uint64_t t);
int hammer_busy(void);

int hammer_init_keys(void);
void hammer_delete_again(uint64_t t);
int hammer_delete_next(void);
uint32_t hammer_choose_key(void);
void hammer_delete_answered(uint32_t key, int status, const char *body,
    uint64_t at);
void hammer_check_answered(hammer_target_t *t, uint32_t key, int status,
    uint64_t sent, uint64_t at);
void hammer_report(void);


#endif /* _HAMMER_H_INCLUDED_ */
