/* store.h - what the commands `broker store ..` have in common: a journal opened, and what is wrong
 * said.
 *
 * Thread   The main thread. */
#ifndef BROKER_CLI_STORE_H
#define BROKER_CLI_STORE_H

#include <errno.h>

#include "brokerd/store/journal/tool.h"
#include "libbroker/cli/cli.h"

struct cli_store_options {
    bool definitions; /* and no messages */
    bool retained;    /* settled messages, too */
    bool in_memory;   /* import: what was on disk may go to queues that are not */
    struct cli_list queues;
    const char *into;
};

/* Open the journal at `path` and read it all, with progress. CLI_OK, or an exit code. */
int cli_store_open(const struct cli *cli, const char *path, struct tool **ret);

/* Say why a function of tool.h failed, in its words, if there are any. Returns the exit code. */
int cli_store_fail(const struct cli *cli, int error, const char *text);

/* The commands of their own files. */
int cli_store_export(struct cli *cli, void *given);
int cli_store_import(struct cli *cli, void *given);

#endif
