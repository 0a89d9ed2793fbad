/* cmd_sub.c - messages to stdout, as a person, a script or a file wants them. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "libbroker/cli/format.h"
#include "libbroker/cli/stream.h"
#include "libbroker/cli/text.h"

struct sub_options {
    uint64_t count, credit, max_messages, max_size;
    bool raw, hex, no_newline;
    const char *overflow, *queue, *ack;
    struct cli_list settings;
};

static const char *const overflows[] = {"block",  "drop-oldest", "drop-newest",
                                        "reject", "disconnect",  NULL};
static const char *const acks[] = {"auto", "manual", NULL};
static const char *const set_keys[] = {
    "from=",         "max-bytes=",      "message-ttl=",  "block-timeout=", "block-fallback=",
    "ack-timeout=",  "max-deliveries=", "max-inflight=", "dead-letter=",   "expires=",
    "dedup-window=", "dedup-max=",      "durable=",      "retain=",        NULL};

static const struct cli_option options[] = {
    {"count", 'n', CLI_COUNT, offsetof(struct sub_options, count), "COUNT",
     "end after COUNT messages", NULL},
    {"credit", 'c', CLI_COUNT, offsetof(struct sub_options, credit), "N",
     "at most N messages under way (by their size, at most 16384)", NULL},
    {"raw", 'r', CLI_FLAG, offsetof(struct sub_options, raw), NULL,
     "payloads as they are, a newline behind each", NULL},
    {"no-newline", 0, CLI_FLAG, offsetof(struct sub_options, no_newline), NULL,
     "payloads as they are, nothing between them", NULL},
    {"hex", 'x', CLI_FLAG, offsetof(struct sub_options, hex), NULL, "payloads in hexadecimal",
     NULL},
    {"queue", 0, CLI_TEXT, offsetof(struct sub_options, queue), "QUEUE",
     "consume this queue, bound to the FILTERs", NULL},
    {"ack", 0, CLI_WORD, offsetof(struct sub_options, ack), "MODE",
     "with --queue: auto, or manual: each after it was written", acks},
    {"overflow", 0, CLI_WORD, offsetof(struct sub_options, overflow), "POLICY",
     "when too many wait: block, drop-oldest, drop-newest, reject, disconnect", overflows},
    {"max-messages", 0, CLI_COUNT, offsetof(struct sub_options, max_messages), "N",
     "how many may wait at the broker", NULL},
    {"set", 0, CLI_LIST, offsetof(struct sub_options, settings), "KEY=VALUE",
     "another setting; from=first..: where a durable queue goes on; may be repeated", set_keys},
    {"max-size", 0, CLI_SIZE, offsetof(struct sub_options, max_size), "SIZE",
     "largest message taken (64MiB)", NULL},
    {NULL, 0, CLI_FLAG, 0, NULL, NULL, NULL},
};

/* ------------------------------------------------------------------------------ formats --- */

static int topic(struct cli_out *o, const broker_message *m)
{
    const char *name = broker_message_topic(m);
    int r = cli_put_plain(o, name, strlen(name));

    return r < 0 ? r : cli_out_put(o, "  ", 2);
}

static int as_line(struct cli_out *o, const broker_message *m, void *user)
{
    int r = topic(o, m);

    (void)user;
    if (r == 0)
        r = cli_put_plain(o, broker_message_data(m, NULL), broker_message_size(m));
    return r < 0 ? r : cli_out_put(o, "\n", 1);
}

static int as_hex(struct cli_out *o, const broker_message *m, void *user)
{
    int r = topic(o, m);

    (void)user;
    if (r == 0)
        r = cli_put_hex(o, broker_message_data(m, NULL), broker_message_size(m));
    return r < 0 ? r : cli_out_put(o, "\n", 1);
}

static int as_json(struct cli_out *o, const broker_message *m, void *user)
{
    const char *name = broker_message_topic(m);
    char facts[96];
    int n, r;

    (void)user;
    n = snprintf(facts, sizeof facts, ",\"number\":%llu,\"attempt\":%u}\n",
                 (unsigned long long)broker_message_number(m), broker_message_attempt(m));
    r = cli_out_put(o, "{\"topic\":", 9);
    if (r == 0)
        r = cli_put_json(o, name, strlen(name));
    if (r == 0)
        r = cli_out_put(o, ",", 1);
    if (r == 0)
        r = cli_put_message(o, m);
    return r < 0 ? r : cli_out_put(o, facts, (size_t)n);
}

/* ----------------------------------------------------------------------------- the rest --- */

static int check(struct cli *cli, const struct sub_options *o)
{
    if (!o->queue && cli->args_n == 0)
        return cli_usage(cli, "wants at least one FILTER, or --queue");
    if (o->ack && !o->queue)
        return cli_usage(cli, "--ack goes with --queue");
    if (o->credit > BROKER_UNLIMITED)
        return cli_usage(cli, "--credit is at most %u", BROKER_UNLIMITED);
    if ((int)cli->json + o->hex + (o->raw || o->no_newline) > 1)
        return cli_usage(cli, "--json, --hex and --raw exclude each other");
    return CLI_OK;
}

/* Fill `to` with the settings of the subscription; `number` holds the text of one of them. */
static int make_settings(struct cli *cli, const struct sub_options *o, struct broker_header *to,
                         size_t *ret_n, char *number, size_t number_size)
{
    size_t n = 0;

    if (o->overflow)
        to[n++] = (struct broker_header){"overflow", o->overflow};
    if (o->max_messages) {
        snprintf(number, number_size, "%llu", (unsigned long long)o->max_messages);
        to[n++] = (struct broker_header){"max-messages", number};
    }
    for (size_t i = 0; i < o->settings.n; i++) {
        /* argv is ours to change: the text becomes two */
        char *key = (char *)(uintptr_t)o->settings.item[i], *equals = strchr(key, '=');

        if (!equals || equals == key)
            return cli_usage(cli, "--set wants KEY=VALUE, not \"%s\"", key);
        *equals = '\0';
        to[n++] = (struct broker_header){key, equals + 1};
    }
    *ret_n = n;
    return CLI_OK;
}

static int run(struct cli *cli, void *given)
{
    const struct sub_options *o = given;
    bool newline = !o->no_newline;
    char number[32];
    struct broker_header *settings = calloc(o->settings.n + 2, sizeof *settings);
    struct cli_stream_options s = {
        .filters = (const char *const *)cli->args,
        .filters_n = cli->args_n,
        .queue = o->queue,
        .manual_ack = o->ack && strcmp(o->ack, "manual") == 0,
        .settings = settings,
        .credit = o->credit,
        .count = o->count,
        .max_message = o->max_size ? o->max_size - 1 : 0,
        .format = cli->json                 ? as_json
                  : o->hex                  ? as_hex
                  : o->raw || o->no_newline ? cli_format_raw
                                            : as_line,
        .user = &newline,
    };
    int r = settings ? check(cli, o) : cli_error(cli, "out of memory");

    if (r == CLI_OK)
        r = make_settings(cli, o, settings, &s.settings_n, number, sizeof number);
    if (r == CLI_OK)
        r = cli_stream_run(cli, &s);
    free(settings);
    free(o->settings.item);
    return r;
}

const struct cli_command cli_sub = {
    .name = "sub",
    .args = "FILTER...",
    .summary = "Print messages as they arrive",
    .more =
        "A filter is a topic in which * stands for one level and a final # for the rest. A line\n"
        "is the topic and the payload, with control characters escaped. \"subscribed\" on stderr\n"
        "says that nothing published from then on is missed. What was lost is told there too,\n"
        "and makes the exit code 6.\n\n"
        "  broker sub 'logs.#'                       until interrupted\n"
        "  broker sub 'logs.#' -n 100 --raw > file   one hundred payloads, a line each\n"
        "  broker sub images.one -n 1 --no-newline   one payload, byte for byte\n"
        "  broker sub --queue jobs --ack manual      share the queue jobs with others",
    .options = options,
    .options_size = sizeof(struct sub_options),
    .args_max = 64,
    .run = run,
};
