/* cli.h - what every part of the command `broker` shares: its commands, its exit codes, and how it
 * speaks to the person who called it.
 *
 * Why      Thirty ways to call one program must feel like one program: the same options, the same
 *          words for errors, the same exit codes.
 * Shape    A command is a row of a table (cli_command_at()): name, help, options, function. main.c
 *          finds the row, has options.c read the command line by it, and calls the function with
 *          a struct cli (common options) and a zeroed struct of the command's own options.
 * Owner    struct cli and all it points to lives until the program ends.
 * Errors   Functions that end a command return its exit code, having said on stderr what is wrong.
 * Thread   The main thread, but for cli_interrupted() and the printing, which any thread may use.
 */
#ifndef BROKER_CLI_CLI_H
#define BROKER_CLI_CLI_H

#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "libbroker/cli/options.h"

enum cli_exit {
    CLI_OK = 0,
    CLI_FAILED = 1,
    CLI_USAGE = 2,
    CLI_UNREACHABLE = 3,
    CLI_DENIED = 4,
    CLI_TIMED_OUT = 5,
    CLI_LOST = 6,   /* messages were lost: a gap */
    CLI_STORE = 69, /* what is stored cannot be read or written, or a broker has it */
};

struct cli_command;

/* One run of the program. */
struct cli {
    const struct cli_command *command;
    const char *title; /* "broker queue ls", in front of every error */
    char *const *args; /* what is neither option nor value of one; `args_n` */
    size_t args_n;
    struct cli_list urls; /* -s */
    const char *name;     /* --name */
    uint64_t timeout_ms;  /* --timeout; 0: not given */
    uint64_t patience_ms; /* --patience; 0: not given */
    bool json, quiet, help;
    const volatile sig_atomic_t *interrupts; /* how often SIGINT or SIGTERM came */
    sigset_t waiting; /* the signal mask while waiting: lets SIGINT and SIGTERM through */
};

/* A command, or a group of them. */
struct cli_command {
    const char *name;
    const char *args;                 /* how its arguments are shown: "FILTER..." */
    const char *summary;              /* one line */
    const char *more;                 /* further help, or NULL; lines of at most 90 characters */
    const struct cli_option *options; /* its own, ended by a row without name; may be NULL */
    size_t options_size;              /* of the struct that they fill */
    size_t args_min, args_max;
    const char *const *words; /* what the first argument can be, for completion; may be NULL */
    const struct cli_command *subs; /* a group: its commands, ended by a row without name */
    /* Carry it out; `options` is its struct. Returns an exit code. */
    int (*run)(struct cli *cli, void *options);
};

/* The `i`-th command of `group`, or of the program where that is NULL; NULL past the last. */
const struct cli_command *cli_command_at(const struct cli_command *group, size_t i);

/* The options that every command has; they fill a struct cli. */
const struct cli_option *cli_common_options(void);

/* Say what is wrong on stderr, one line behind the title. Returns CLI_FAILED. */
int cli_error(const struct cli *cli, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* The same for a wrong command line, with a hint at --help. Returns CLI_USAGE. */
int cli_usage(const struct cli *cli, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Say something on stderr that is no error, unless --quiet. */
void cli_note(const struct cli *cli, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Has the person asked to stop? */
bool cli_interrupted(const struct cli *cli);

/* Nanoseconds on a monotonic clock. */
int64_t cli_now_ns(void);

/* A handler per command, each in the file of its name. */
extern const struct cli_command cli_pub, cli_sub, cli_request, cli_stream, cli_channel, cli_serve,
    cli_queue, cli_connections, cli_consumers, cli_kill, cli_config, cli_reload, cli_drain,
    cli_webhook, cli_bench, cli_ping, cli_info, cli_events, cli_top, cli_why, cli_route, cli_trace,
    cli_store, cli_completion;

/* Keys of a queue's settings, each with its `=`, for completion; ended by NULL. */
extern const char *const cli_queue_settings[];

#endif
