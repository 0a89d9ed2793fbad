/* progress.h - how far a long piece of work on files is, on stderr, and whether to go on.
 *
 * Shape    On a terminal a line that changes, else nothing. SIGINT and SIGTERM are looked for at
 *          each call.
 * Thread   The main thread. */
#ifndef BROKER_CLI_PROGRESS_H
#define BROKER_CLI_PROGRESS_H

#include "libbroker/cli/cli.h"

struct cli_progress {
    const struct cli *cli;
    const char *doing; /* "reading" */
    int64_t next_ns;   /* when to show it again; 0 at first */
    bool shown;
};

/* `done` of `total` bytes are. False: the person wants an end. `progress` is its struct. */
bool cli_progress(void *progress, uint64_t done, uint64_t total);

/* The line goes. */
void cli_progress_end(struct cli_progress *p);

#endif
