/*
 * Loaded before nginx: the module counts nothing.  Its other half, which is
 * never called then, is all there.
 */

#include <stdio.h>


void
ngx_cred_status_use(void *status)
{
    (void) status;
    fputs("nothing is counted\n", stderr);
}
