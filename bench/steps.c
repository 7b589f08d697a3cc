
/*
 * Copyright (C) ngx_cred_module authors
 * SPDX-License-Identifier: BSD-2-Clause
 */


/*
 * Counts the instructions that a process with one thread executes outside of the
 * kernel, step by step, from "attached" until this gets a SIGTERM.  Slow, but on
 * the processor itself: an emulated one may lack instructions that are chosen for
 * what they save (as those for SHA-256), and a virtual one may not count.
 */


#include <sys/ptrace.h>
#include <sys/wait.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>


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


int
main(int argc, char **argv)
{
    int                 status, signo, stepped;
    pid_t               pid;
    unsigned long long  steps;
    struct sigaction    sa;

    if (argc != 2) {
        fprintf(stderr, "usage: steps PID\n");
        return 2;
    }

    pid = atoi(argv[1]);
    steps = 0;

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
        steps += stepped;

        signo = (stepped || status >> 16) ? 0 : WSTOPSIG(status);

        /* a trap that is still to come would kill it */

    } while (!ending || !stepped);

    ptrace(PTRACE_DETACH, pid, NULL, NULL);

    printf("steps=%llu\n", steps);

    return 0;
}
