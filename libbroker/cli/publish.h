/* publish.h - where the messages of `pub` come from, when the next is due, and what became of them.
 *
 * Shape    A source gives one message at a time and says whether it has to read first. A tally
 *          counts outcomes by reason. Neither knows the connection.
 * Owner    Messages are borrowed until the source is asked to fill.
 * Errors   -errno.
 * Thread   One at a time. */
#ifndef BROKER_CLI_PUBLISH_H
#define BROKER_CLI_PUBLISH_H

#include "libbroker/cli/cli.h"
#include "libbroker/cli/reader.h"

struct cli_source {
    struct cli_reader reader;
    bool lines;       /* each line is a message; else all there is, again and again */
    bool read;        /* the payload comes from the reader, not from `data` */
    const char *data; /* the message that is next, once there is one */
    size_t len;
    bool have;      /* `data` is a message not yet taken */
    bool loaded;    /* not lines: data is complete */
    uint64_t count; /* messages to give in all; 0: one, or every line */
    uint64_t given;
    int64_t start_ns; /* of pacing */
    uint64_t rate;    /* messages a second; 0: as fast as they go */
};

/* See that a message is in s->data and s->len. 0; -EAGAIN cli_reader_fill() first; -ENODATA there
 * are no more. */
int cli_source_peek(struct cli_source *s);

/* The message was published. */
void cli_source_take(struct cli_source *s);

/* Nanoseconds until the next message is due, 0 if it is. */
int64_t cli_source_wait_ns(const struct cli_source *s, int64_t now_ns);

/* What became of messages. */
struct cli_tally {
    uint64_t published, accepted, unmatched, unknown;
    uint64_t by_reason[32]; /* refused, or dropped by a queue's policy (20 and above) */
};

/* Count messages with one outcome. `require`: no-match is a refusal. */
void cli_tally_add(struct cli_tally *t, uint64_t n, int reason, uint32_t matched, uint32_t accepted,
                   bool require);

/* How many were refused, and how many were dropped. */
uint64_t cli_tally_refused(const struct cli_tally *t);
uint64_t cli_tally_dropped(const struct cli_tally *t);

/* "3 full, 1 memory" of the reasons in [from, to), into `buf`. */
const char *cli_tally_reasons(const struct cli_tally *t, int from, int to, char *buf, size_t size);

/* Say on stderr what did not go well, and with --json print all of it. Returns the exit code. */
int cli_tally_report(const struct cli_tally *t, const struct cli *cli, bool print);

#endif
