
/*
 * Copyright (C) ngx_cred_module authors
 * SPDX-License-Identifier: BSD-2-Clause
 */


/*
 * Counts the instructions that a process with one thread executes outside of
 * the kernel, step by step, from "attached" until this gets a SIGTERM.  Slow,
 * but on the processor itself: an emulated one may lack instructions that are
 * chosen for what they save (as those for SHA-256), and a virtual one may not
 * count.
 *
 * A stretch from one system call to the next counts as the first decile of all
 * between the same two calls: a process that is so slow has what is done once a
 * second in many of them.
 */


#include <sys/ptrace.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <errno.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>


#define STEPS_KINDS      256
#define STEPS_STRETCHES  100000


typedef struct {
    long       from;
    long       to;
    size_t     n;
    unsigned  *steps;
} stretches_t;


static stretches_t            kinds[STEPS_KINDS];
static size_t                 nkinds;

static volatile sig_atomic_t  ending;


static void
end(int signo)
{
    (void) signo;
    ending = 1;
}


static void
fail(const char *what)
{
    fprintf(stderr, "steps: %s: %s\n", what, strerror(errno));
    exit(1);
}


/* the system call that the step was, or -1 */

static long
system_call(pid_t pid)
{
#if defined(__x86_64__)
    return ptrace(PTRACE_PEEKUSER, pid,
                  (void *) offsetof(struct user_regs_struct, orig_rax), NULL);
#else
    (void) pid;
    return -1;
#endif
}


static void
add(long from, long to, unsigned steps)
{
    size_t        i;
    stretches_t  *kind;

    for (i = 0; i < nkinds; i++) {
        if (kinds[i].from == from && kinds[i].to == to) {
            break;
        }
    }

    if (i == STEPS_KINDS) {
        fail("too many kinds of stretches");
    }

    kind = &kinds[i];

    if (i == nkinds) {
        nkinds++;
        kind->from = from;
        kind->to = to;
        kind->steps = malloc(STEPS_STRETCHES * sizeof(unsigned));
    }

    if (kind->steps == NULL || kind->n == STEPS_STRETCHES) {
        fail("too many stretches");
    }

    kind->steps[kind->n++] = steps;
}


static int
compare(const void *one, const void *two)
{
    unsigned  a, b;

    a = *(const unsigned *) one;
    b = *(const unsigned *) two;

    return (a > b) - (a < b);
}


static unsigned long long
sum(void)
{
    size_t              i, n;
    unsigned long long  steps;

    steps = 0;

    for (i = 0; i < nkinds; i++) {
        n = kinds[i].n;
        qsort(kinds[i].steps, n, sizeof(unsigned), compare);
        steps += (unsigned long long) kinds[i].steps[n / 10] * n;
    }

    return steps;
}


int
main(int argc, char **argv)
{
    int               status, signo, stepped;
    long              from, to;
    pid_t             pid;
    unsigned          steps;
    struct sigaction  sa;

    if (argc != 2) {
        fprintf(stderr, "usage: steps PID\n");
        return 2;
    }

    pid = atoi(argv[1]);

    memset(&sa, 0, sizeof(sa));
    sa.sa_handler = end;            /* without SA_RESTART: waitpid() returns */
    sigaction(SIGTERM, &sa, NULL);

    if (ptrace(PTRACE_SEIZE, pid, NULL, NULL) == -1
        || ptrace(PTRACE_INTERRUPT, pid, NULL, NULL) == -1
        || waitpid(pid, &status, 0) == -1)
    {
        fail("cannot attach");
    }

    printf("attached\n");
    fflush(stdout);

    steps = 0;
    from = -1;
    signo = 0;

    do {
        if (ptrace(PTRACE_SINGLESTEP, pid, NULL, (void *) (long) signo) == -1) {
            fail("cannot step");
        }

        while (waitpid(pid, &status, 0) == -1) {

            if (errno != EINTR || !ending) {
                fail("cannot wait");
            }

            /* it waits in the kernel, and has to stop to be let go */

            ptrace(PTRACE_INTERRUPT, pid, NULL, NULL);
        }

        if (!WIFSTOPPED(status)) {
            fprintf(stderr, "steps: the process has ended\n");
            return 1;
        }

        stepped = (status >> 8 == SIGTRAP);
        signo = (stepped || status >> 16) ? 0 : WSTOPSIG(status);

        if (stepped) {
            steps++;
            to = system_call(pid);

            if (to >= 0) {
                add(from, to, steps);
                from = to;
                steps = 0;
            }
        }

        /* a trap that is still to come would kill it */

    } while (!ending || !stepped);

    add(from, -1, steps);

    ptrace(PTRACE_DETACH, pid, NULL, NULL);

    printf("steps=%llu\n", sum());

    return 0;
}
