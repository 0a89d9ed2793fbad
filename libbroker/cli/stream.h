/* stream.h - messages from a subscription or queue to stdout.
 *
 * Why      `sub` and `events` differ only in how a message is written.
 * Shape    Credit is granted as messages leave for stdout, never more than are wanted, so a reader
 *          that pauses slows down the broker and not this program's memory. What is acknowledged
 *          has been written.
 * Errors   Exit codes; what is wrong has been said.
 * Thread   The main thread. */
#ifndef BROKER_CLI_STREAM_H
#define BROKER_CLI_STREAM_H

#include "broker.h"
#include "libbroker/cli/cli.h"
#include "libbroker/cli/out.h"

/* Append a message to the output. 0 or -ENOMEM. */
typedef int cli_format_fn(struct cli_out *o, const broker_message *m, void *user);

struct cli_stream_options {
    const char *const *filters; /* `filters_n`: to subscribe to, or to bind the queue to */
    size_t filters_n;
    const char *queue; /* consume it; NULL: subscribe */
    bool manual_ack;
    const struct broker_header *settings; /* `settings_n` */
    size_t settings_n;
    uint64_t credit;    /* messages under way at most; 0: as many as are good */
    uint64_t count;     /* end after so many; 0: never */
    size_t max_message; /* bytes; 0: the library's default */
    cli_format_fn *format;
    void *user;
};

/* Connect, subscribe, write messages until there is a reason to end. */
int cli_stream_run(const struct cli *cli, const struct cli_stream_options *o);

#endif
