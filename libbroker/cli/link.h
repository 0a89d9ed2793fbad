/* link.h - a command's connection: opened, waited on together with other descriptors, watched.
 *
 * Why      A command must never hang silently: who cannot be reached, is lost for too long or is
 *          told to stop ends it with an exit code and a word on stderr.
 * Shape    One handle, driven by the caller in cli_link_wait(). Signals come through only there.
 *          The first connection is tried once at each address; one that was lost is repaired by
 *          the library for as long as --patience says.
 * Owner    struct cli_link is the caller's; cli_link_close() frees what it holds.
 * Errors   Exit codes; what is wrong has been said.
 * Thread   One at a time. */
#ifndef BROKER_CLI_LINK_H
#define BROKER_CLI_LINK_H

#include <poll.h>

#include <jansson.h>

#include "broker.h"
#include "libbroker/cli/cli.h"

struct cli_link {
    const struct cli *cli;
    broker *b;
    size_t addresses; /* how many there are to try */
    size_t failures;  /* in a row, before the first connection */
    bool connected;   /* there was a connection */
    bool lost;        /* and it is gone for now */
    int64_t lost_ns;  /* since when */
    int64_t patience_ns;
    bool leaving;   /* the command has called broker_drain(): an end without an error is wanted */
    int error;      /* a BROKER_ code: the handle has closed for good */
    char text[256]; /* its details */
};

/* Connect as the common options say; `o` may be NULL, url, name, on_state and user in it are
 * filled in. CLI_OK, or the command's exit code: nothing is left to close then. */
int cli_link_open(struct cli_link *l, const struct cli *cli, struct broker_options *o);

/* Close: wait up to `timeout_ms` for what is to be written, and free. */
void cli_link_close(struct cli_link *l, int timeout_ms);

/* Drive the connection until something happened, `more` (NULL: none) is ready, a signal came, or
 * `timeout_ms` (BROKER_FOREVER: no limit) have passed. Call it again and again. CLI_OK, or the
 * exit code where the connection is lost for good. */
int cli_link_wait(struct cli_link *l, int timeout_ms, struct pollfd *more);

/* The same with any number of descriptors: `n` places, of which the first is the connection's own
 * and filled in. Those that are -1 are left out. */
int cli_link_poll(struct cli_link *l, int timeout_ms, struct pollfd *fds, size_t n);

/* The exit code for a BROKER_ code and a reason (or 0). */
int cli_exit_code(int error, int reason);

/* Say that `what` (NULL: all of the command) failed: in `text`, which are the broker's words; NULL
 * or empty: in those of the library. Returns the exit code. */
int cli_link_fail(const struct cli_link *l, const char *what, int error, const char *text);

/* Ask `admin/COMMAND` with `request` (taken over; NULL for the empty object) and put the answer,
 * to be given back with json_decref(), in *ret_answer (NULL: none is wanted, and the answer may be
 * empty). Waits as long as --timeout says. CLI_OK or an exit code; the handle may be freed then. */
int cli_link_ask(struct cli_link *l, const char *command, json_t *request, json_t **ret_answer);

/* Open, ask, close. */
int cli_ask(const struct cli *cli, const char *command, json_t *request, json_t **ret_answer);

/* Print an answer as it is, one line, on stdout. Returns CLI_OK. */
int cli_print_json(const json_t *answer);

#endif
