
/*
 * Copyright (C) ngx_cred_module authors
 * SPDX-License-Identifier: BSD-2-Clause
 */


/*
 * Runs a harness without libFuzzer: "fuzz_NAME CORPUS" with each file of that
 * folder, or with that file, and "fuzz_NAME CORPUS RUNS [SEED]" with changes of
 * them at random, the same ones for the same numbers.
 */


#include <fuzz.h>
#include <dirent.h>
#include <sys/stat.h>


#define FUZZ_MAX    4096
#define FUZZ_FILES  4096


typedef struct {
    char      *name;
    u_char    *data;
    size_t     size;
} fuzz_file_t;


static void fuzz_corpus(const char *path);
static int fuzz_compare(const void *one, const void *two);
static void fuzz_load(const char *path, const char *name);
static void fuzz_run(u_char *data, size_t size);
static size_t fuzz_mutate(u_char *buf, size_t size);
static fuzz_file_t *fuzz_file(void);
static uint64_t fuzz_random(uint64_t n);
static void fuzz_aborted(int signo);
static void fuzz_failed(void);

/* of the sanitizers, if there are any */
void __sanitizer_set_death_callback(void (*callback)(void))
    __attribute__ ((weak));


static fuzz_file_t   fuzz_files[FUZZ_FILES];
static ngx_uint_t    fuzz_nfiles;
static uint64_t      fuzz_state;

/* what is running */

static const char   *fuzz_name;
static u_char       *fuzz_data;
static size_t        fuzz_size;


int
main(int argc, char *const *argv)
{
    size_t        size;
    uint64_t      n, runs, seed;
    ngx_uint_t    i;
    fuzz_file_t  *file;

    static u_char  buf[FUZZ_MAX];

    if (argc < 2) {
        fprintf(stderr, "usage: %s CORPUS [RUNS [SEED]]\n", argv[0]);
        return 2;
    }

    signal(SIGABRT, fuzz_aborted);

    if (__sanitizer_set_death_callback) {
        __sanitizer_set_death_callback(fuzz_failed);
    }

    fuzz_corpus(argv[1]);

    if (argc == 2) {

        for (i = 0; i < fuzz_nfiles; i++) {
            fuzz_name = fuzz_files[i].name;
            fuzz_run(fuzz_files[i].data, fuzz_files[i].size);
        }

        printf("%s: %lu files\n", argv[0], (unsigned long) fuzz_nfiles);
        return 0;
    }

    runs = strtoull(argv[2], NULL, 10);
    seed = argc > 3 ? strtoull(argv[3], NULL, 10) : 1;

    fuzz_state = seed * 0x9e3779b97f4a7c15ULL + 1;

    for (i = 0; i < runs; i++) {
        file = fuzz_file();
        fuzz_name = file->name;

        size = ngx_min(file->size, FUZZ_MAX);
        ngx_memcpy(buf, file->data, size);

        for (n = fuzz_random(6); n; n--) {
            size = fuzz_mutate(buf, size);
        }

        fuzz_run(buf, size);
    }

    printf("%s: %llu runs, seed %llu\n", argv[0], (unsigned long long) runs,
           (unsigned long long) seed);

    return 0;
}


/* in an order that is the same everywhere */

static void
fuzz_corpus(const char *path)
{
    DIR            *dir;
    struct dirent  *entry;

    dir = opendir(path);

    if (dir == NULL) {
        fuzz_load(path, NULL);
        return;
    }

    while ((entry = readdir(dir)) != NULL) {

        if (entry->d_name[0] != '.') {
            fuzz_load(path, entry->d_name);
        }
    }

    (void) closedir(dir);

    qsort(fuzz_files, fuzz_nfiles, sizeof(fuzz_file_t), fuzz_compare);

    if (fuzz_nfiles == 0) {
        fprintf(stderr, "%s: empty\n", path);
        exit(2);
    }
}


static int
fuzz_compare(const void *one, const void *two)
{
    const fuzz_file_t  *first = one, *second = two;

    return strcmp(first->name, second->name);
}


static void
fuzz_load(const char *path, const char *name)
{
    FILE         *f;
    size_t        len;
    struct stat   sb;
    fuzz_file_t  *file;

    if (fuzz_nfiles == FUZZ_FILES) {
        fprintf(stderr, "%s: too many files\n", path);
        exit(2);
    }

    file = &fuzz_files[fuzz_nfiles++];

    len = strlen(path) + (name ? strlen(name) : 0) + sizeof("/");

    file->name = malloc(len);

    if (file->name) {
        (void) snprintf(file->name, len, "%s%s%s", path, name ? "/" : "",
                        name ? name : "");

        f = fopen(file->name, "r");

        if (f && fstat(fileno(f), &sb) == 0) {
            file->size = sb.st_size;
            file->data = malloc(file->size + 1);

            if (file->data
                && fread(file->data, 1, file->size, f) == file->size)
            {
                (void) fclose(f);
                return;
            }
        }
    }

    perror(file->name);
    exit(2);
}


static void
fuzz_run(u_char *data, size_t size)
{
    /* nothing around it that may be read */

    fuzz_data = malloc(size ? size : 1);

    if (fuzz_data == NULL) {
        exit(2);
    }

    ngx_memcpy(fuzz_data, data, size);
    fuzz_size = size;

    (void) LLVMFuzzerTestOneInput(fuzz_data, size);

    free(fuzz_data);
    fuzz_size = 0;
}


static fuzz_file_t *
fuzz_file(void)
{
    return &fuzz_files[fuzz_random(fuzz_nfiles)];
}


static size_t
fuzz_mutate(u_char *buf, size_t size)
{
    size_t        pos, len, from;
    fuzz_file_t  *file;

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

    default: /* another file in it */
        file = fuzz_file();
        len = ngx_min(file->size, FUZZ_MAX - size);
        ngx_memmove(buf + pos + len, buf + pos, size - pos);
        ngx_memcpy(buf + pos, file->data, len);

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
fuzz_aborted(int signo)
{
    fuzz_failed();

    signal(SIGABRT, SIG_DFL);
    abort();
}


static void
fuzz_failed(void)
{
    size_t  i;

    fprintf(stderr, "%s, input: ", fuzz_name ? fuzz_name : "no file");

    for (i = 0; i < fuzz_size; i++) {
        fprintf(stderr, "\\x%02x", fuzz_data[i]);
    }

    fprintf(stderr, "\n");
}
