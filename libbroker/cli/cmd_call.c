/* cmd_call.c - `request`, `stream` and `channel`: calls to services. */
#include <stdlib.h>

#include "libbroker/cli/call.h"

#define COMMON                                                                                     \
    {"header",    'H',                                                                             \
     CLI_LIST,    offsetof(struct cli_call_options, headers),                                      \
     "KEY:VALUE", "a header of the request; may be repeated",                                      \
     NULL},                                                                                        \
        {"type",   0,                                                                              \
         CLI_TEXT, offsetof(struct cli_call_options, type),                                        \
         "TYPE",   "content type of the request",                                                  \
         NULL},                                                                                    \
        {"file",   'f',                                                                            \
         CLI_TEXT, offsetof(struct cli_call_options, file),                                        \
         "FILE",   "the request is in FILE (of a channel: its lines)",                             \
         NULL},                                                                                    \
        {"wait",   'w',                                                                            \
         CLI_TIME, offsetof(struct cli_call_options, wait_ms),                                     \
         "TIME",   "how long the broker may wait for a server (500ms, 5; else its setting)",       \
         NULL},                                                                                    \
        {"hex",    'x',                                                                            \
         CLI_FLAG, offsetof(struct cli_call_options, hex),                                         \
         NULL,     "answers in hexadecimal",                                                       \
         NULL},                                                                                    \
        {"no-newline", 0,                                                                          \
         CLI_FLAG,     offsetof(struct cli_call_options, no_newline),                              \
         NULL,         "answers as they are, nothing between them",                                \
         NULL},                                                                                    \
    {                                                                                              \
        "max-size", 0, CLI_SIZE, offsetof(struct cli_call_options, max_size), "SIZE",              \
            "largest message either way (64MiB)", NULL                                             \
    }

static const struct cli_option request_options[] = {
    COMMON,
    {NULL, 0, CLI_FLAG, 0, NULL, NULL, NULL},
};

static const struct cli_option stream_options[] = {
    COMMON,
    {"credit", 'c', CLI_COUNT, offsetof(struct cli_call_options, credit), "N",
     "at most N answers under way (256)", NULL},
    {"count", 'n', CLI_COUNT, offsetof(struct cli_call_options, count), "COUNT",
     "end after COUNT answers", NULL},
    {NULL, 0, CLI_FLAG, 0, NULL, NULL, NULL},
};

#undef COMMON

static int run(struct cli *cli, enum broker_call_model model, void *given)
{
    struct cli_call_options *o = given;
    int r = cli_call_run(cli, model, o);

    free(o->headers.item);
    return r;
}

static int run_request(struct cli *cli, void *given)
{
    return run(cli, BROKER_CALL_RESPONSE, given);
}

static int run_stream(struct cli *cli, void *given)
{
    return run(cli, BROKER_CALL_STREAM, given);
}

static int run_channel(struct cli *cli, void *given)
{
    return run(cli, BROKER_CALL_CHANNEL, given);
}

const struct cli_command cli_request = {
    .name = "request",
    .args = "SERVICE/METHOD [DATA | -]",
    .summary = "Ask a service, print its answer",
    .more =
        "Without DATA the request is empty; - reads it from stdin. If the service fails or nobody\n"
        "serves it, stderr says so and the exit code is 1; without an answer in time (--timeout,\n"
        "10s and what --wait says) it is 5.\n\n"
        "  broker request sums/add '1 1'             one question, one answer\n"
        "  broker request images/scale - < a.png > b.png --no-newline\n"
        "  broker request sums/add '1 1' --wait 5    a server may come within 5 seconds",
    .options = request_options,
    .options_size = sizeof(struct cli_call_options),
    .args_min = 1,
    .args_max = 2,
    .run = run_request,
};

const struct cli_command cli_stream = {
    .name = "stream",
    .args = "SERVICE/METHOD [DATA | -]",
    .summary = "Ask a service, print its answers as they come",
    .more = "Each answer is a line. The server sends no more than was asked for: it waits while\n"
            "whoever reads stdout does. Interrupting ends the call.\n\n"
            "  broker stream logs/tail /var/log/syslog -n 100\n"
            "  broker stream numbers/all --credit 1 | less",
    .options = stream_options,
    .options_size = sizeof(struct cli_call_options),
    .args_min = 1,
    .args_max = 2,
    .run = run_stream,
};

const struct cli_command cli_channel = {
    .name = "channel",
    .args = "SERVICE/METHOD [DATA]",
    .summary = "Talk with a service: lines of stdin go up, answers come down",
    .more =
        "The first line opens the channel, or DATA, if it is given. A line is read when the\n"
        "server has asked for it. The end of stdin ends our side; the server's answers go on.\n\n"
        "  seq 100 | broker channel sums/running     a hundred numbers up, their sums down\n"
        "  broker channel games/chess hello          say hello first",
    .options = stream_options,
    .options_size = sizeof(struct cli_call_options),
    .args_min = 1,
    .args_max = 2,
    .run = run_channel,
};
