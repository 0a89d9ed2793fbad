/* out.h - stdout for messages: gathered, written in bulk, never waited for too long.
 *
 * Why      A message a write is slow; and whoever reads our stdout may pause for an hour, in
 *          which the connection must be kept alive. stdout is shared with the shell, so it cannot
 *          be made non-blocking.
 * Shape    Bytes gather in one buffer. cli_out_flush() writes it; a write that waits longer than
 *          a moment is interrupted by a timer (SIGALRM, main.c), and the rest stays for later.
 * Owner    The buffer is the struct's, freed by cli_out_fini().
 * Errors   -errno; -EAGAIN the reader pauses, try again when the descriptor is writable.
 * Thread   One at a time, and only one in the process: the timer is the process's. */
#ifndef BROKER_CLI_OUT_H
#define BROKER_CLI_OUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct cli_out {
    int fd;
    char *buf;
    size_t begin, end, cap; /* what waits is buf[begin..end) */
    bool timed;             /* a write may wait: not a regular file */
};

enum { CLI_OUT_BULK = 64 << 10 }; /* worth a write */

/* An empty output to `fd`. */
void cli_out_init(struct cli_out *o, int fd);
void cli_out_fini(struct cli_out *o);

/* Append. -ENOMEM, with nothing appended. */
int cli_out_put(struct cli_out *o, const void *data, size_t len);

/* Room for `len` bytes to be filled by the caller, who then adds their number to o->end. NULL
 * without memory. */
char *cli_out_room(struct cli_out *o, size_t len);

/* Bytes that wait. */
size_t cli_out_waiting(const struct cli_out *o);

/* Write all that waits. 0, -EAGAIN, -EPIPE the reader is gone, another -errno. */
int cli_out_flush(struct cli_out *o);

#endif
