
/*
 * Copyright (C) ngx_cred_module authors
 * SPDX-License-Identifier: BSD-2-Clause
 */


/*
 * Runs a harness without libFuzzer: "fuzz_NAME [RUNS [SEED]]" feeds it with
 * mutations of its seeds, the same ones for the same numbers.
 */


#include <fuzz.h>


#define FUZZ_MAX  4096


static const char *fuzz_seed(void);
static size_t fuzz_mutate(u_char *buf, size_t size);
static uint64_t fuzz_random(uint64_t n);
static void fuzz_failed(int signo);


static uint64_t  fuzz_state;
static uint64_t  fuzz_run;
static u_char    fuzz_buf[FUZZ_MAX];
static size_t    fuzz_size;


int
main(int argc, char *const *argv)
{
    u_char      *exact;
    uint64_t     n, runs, seed;
    const char  *text;

    runs = argc > 1 ? strtoull(argv[1], NULL, 10) : 100000;
    seed = argc > 2 ? strtoull(argv[2], NULL, 10) : 1;

    fuzz_state = seed * 0x9e3779b97f4a7c15ULL + 1;

    signal(SIGABRT, fuzz_failed);

    for (fuzz_run = 0; fuzz_run < runs; fuzz_run++) {

        text = fuzz_seed();
        fuzz_size = strlen(text);
        ngx_memcpy(fuzz_buf, text, fuzz_size);

        for (n = fuzz_random(6); n; n--) {
            fuzz_size = fuzz_mutate(fuzz_buf, fuzz_size);
        }

        /* nothing around it that may be read */

        exact = malloc(fuzz_size ? fuzz_size : 1);

        if (exact == NULL) {
            return 2;
        }

        ngx_memcpy(exact, fuzz_buf, fuzz_size);

        (void) LLVMFuzzerTestOneInput(exact, fuzz_size);

        free(exact);
    }

    printf("%s: %llu runs, seed %llu\n", argv[0], (unsigned long long) runs,
           (unsigned long long) seed);

    return 0;
}


static const char *
fuzz_seed(void)
{
    static ngx_uint_t  n;

    if (n == 0) {
        while (fuzz_seeds[n] != NULL) {
            n++;
        }
    }

    return fuzz_seeds[fuzz_random(n)];
}


static size_t
fuzz_mutate(u_char *buf, size_t size)
{
    size_t       pos, len, from;
    const char  *seed;

    static const char  signs[] = "\0\r\n\t :/?&=%@[]{}-+*$.,\"\\0159afGz\x7f"
                                 "\x80\xc3\xa9\xe2\xf0\xff";

    pos = fuzz_random(size + 1);

    switch (fuzz_random(7)) {

    case 0: /* another byte */
        if (pos < size) {
            buf[pos] = (u_char) fuzz_random(256);
        }

        return size;

    case 1: /* a sign that means something */
        if (pos < size) {
            buf[pos] = signs[fuzz_random(sizeof(signs) - 1)];
        }

        return size;

    case 2: /* the same, between two others */
        if (size == FUZZ_MAX) {
            return size;
        }

        ngx_memmove(buf + pos + 1, buf + pos, size - pos);
        buf[pos] = signs[fuzz_random(sizeof(signs) - 1)];

        return size + 1;

    case 3: /* less */
        len = fuzz_random(ngx_min(size - pos, 8) + 1);
        ngx_memmove(buf + pos, buf + pos + len, size - pos - len);

        return size - len;

    case 4: /* the end is missing */
        return pos;

    case 5: /* a part twice */
        from = fuzz_random(size + 1);
        len = fuzz_random(ngx_min(size - from, FUZZ_MAX - size) + 1);
        ngx_memmove(buf + pos + len, buf + pos, size - pos);
        ngx_memmove(buf + pos, buf + ngx_min(from, FUZZ_MAX - len), len);

        return size + len;

    default: /* another seed in it */
        seed = fuzz_seed();
        len = ngx_min(strlen(seed), FUZZ_MAX - size);
        ngx_memmove(buf + pos + len, buf + pos, size - pos);
        ngx_memcpy(buf + pos, seed, len);

        return size + len;
    }
}


static uint64_t
fuzz_random(uint64_t n)
{
    /* xorshift64* */

    fuzz_state ^= fuzz_state >> 12;
    fuzz_state ^= fuzz_state << 25;
    fuzz_state ^= fuzz_state >> 27;

    return (fuzz_state * 0x2545f4914f6cdd1dULL >> 32) % n;
}


static void
fuzz_failed(int signo)
{
    size_t  i;

    fprintf(stderr, "run %llu, input: ", (unsigned long long) fuzz_run);

    for (i = 0; i < fuzz_size; i++) {
        fprintf(stderr, "\\x%02x", fuzz_buf[i]);
    }

    fprintf(stderr, "\n");

    signal(SIGABRT, SIG_DFL);
    abort();
}
