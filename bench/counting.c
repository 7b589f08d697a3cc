/*
 * Loaded before nginx: each delete and each attempt is counted COUNTING times,
 * or not at all.  Names of the module are looked up here first.
 */

#define _GNU_SOURCE

#include <dlfcn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>


static long   times;
static char  *module;


/* nginx takes the memory of its environment for titles */

__attribute__((constructor))
static void
start(void)
{
    times = atol(getenv("COUNTING"));
    module = strdup(getenv("COUNTING_MODULE"));
}


static void *
symbol(const char *name)
{
    void  *p;

    p = dlsym(dlopen(module, RTLD_NOW|RTLD_NOLOAD), name);

    if (p == NULL) {
        fprintf(stderr, "there is no %s\n", name);
        exit(1);
    }

    return p;
}


void
ngx_cred_status_use(void *status)
{
    void  (*use)(void *status);

    use = symbol("ngx_cred_status_use");
    use(times ? status : NULL);

    fprintf(stderr, "counted %ld times\n", times);
}


void
ngx_cred_status_deleted(uintptr_t api, int result)
{
    long         i;
    static void  (*deleted)(uintptr_t api, int result);

    if (deleted == NULL) {
        deleted = symbol("ngx_cred_status_deleted");
    }

    for (i = 0; i < times; i++) {
        deleted(api, result);
    }
}


void
ngx_cred_status_attempted(void *registry, void *name, int state, int reason,
    uintptr_t duration, uintptr_t effect)
{
    long         i;
    static void  (*attempted)(void *registry, void *name, int state, int reason,
                              uintptr_t duration, uintptr_t effect);

    if (attempted == NULL) {
        attempted = symbol("ngx_cred_status_attempted");
    }

    for (i = 0; i < times; i++) {
        attempted(registry, name, state, reason, duration, effect);
    }
}
