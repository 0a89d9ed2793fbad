/* call.h - one call of a service from the command line.
 *
 * Why      `request`, `stream` and `channel` differ in what they send and in how many answers they
 *          expect.
 * Shape    Answers go to stdout; more are asked for as they leave, never more than are wanted, so
 *          that a reader who pauses slows down the server and not this program's memory. A
 *          channel's lines are read from stdin as the server asks for them.
 * Errors   Exit codes; what is wrong has been said.
 * Thread   The main thread. */
#ifndef BROKER_CLI_CALL_H
#define BROKER_CLI_CALL_H

#include "broker.h"
#include "libbroker/cli/cli.h"

struct cli_call_options {
    uint64_t wait_ms, credit, count, max_size;
    bool hex, no_newline;
    const char *type, *file;
    struct cli_list headers;
};

/* Call cli->args[0] with cli->args[1], or the file, or (`-`) stdin. */
int cli_call_run(struct cli *cli, enum broker_call_model model, const struct cli_call_options *o);

#endif
