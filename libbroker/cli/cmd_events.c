/* cmd_events.c - what the broker tells of itself on $SYS topics, a line each. */
#include <errno.h>
#include <string.h>

#include <jansson.h>

#include "libbroker/cli/stream.h"
#include "libbroker/cli/text.h"

struct events_options {
    uint64_t count;
};

static const struct cli_option options[] = {
    {"count", 'n', CLI_COUNT, offsetof(struct events_options, count), "COUNT",
     "end after COUNT events", NULL},
    {NULL, 0, CLI_FLAG, 0, NULL, NULL, NULL},
};

static int as_json(struct cli_out *o, const broker_message *m, void *user)
{
    int r = cli_out_put(o, broker_message_data(m, NULL), broker_message_size(m));

    (void)user;
    return r < 0 ? r : cli_out_put(o, "\n", 1);
}

/* " key=value" of a member that is a text or a number. */
static int put_member(struct cli_out *o, const char *key, const json_t *value)
{
    const char *text = json_string_value(value);
    char number[32];
    int r;

    if (json_is_integer(value)) {
        snprintf(number, sizeof number, "%lld", (long long)json_integer_value(value));
        text = number;
    }
    if (!text || !*text)
        return 0;
    r = cli_out_put(o, " ", 1);
    if (r == 0)
        r = cli_put_plain(o, key, strlen(key));
    if (r == 0)
        r = cli_out_put(o, "=", 1);
    return r < 0 ? r : cli_put_plain(o, text, strlen(text));
}

static int put_text(struct cli_out *o, const json_t *event, const char *key, const char *missing)
{
    const char *text = json_string_value(json_object_get(event, key));

    if (!text)
        text = missing;
    return cli_put_plain(o, text, strlen(text));
}

static int as_line(struct cli_out *o, const broker_message *m, void *user)
{
    json_t *event = json_loadb(broker_message_data(m, NULL), broker_message_size(m), 0, NULL);
    json_t *value;
    const char *key;
    int r = put_text(o, event, "time", "-");

    (void)user;
    if (r == 0)
        r = cli_out_put(o, " ", 1);
    if (r == 0)
        r = put_text(o, event, "event", broker_message_topic(m));
    json_object_foreach(event, key, value)
    {
        if (r == 0 && strcmp(key, "time") != 0 && strcmp(key, "event") != 0)
            r = put_member(o, key, value);
    }
    if (r == 0 && !json_is_object(event)) {
        r = cli_out_put(o, " ", 1);
        if (r == 0)
            r = cli_put_plain(o, broker_message_data(m, NULL), broker_message_size(m));
    }
    json_decref(event);
    return r < 0 ? r : cli_out_put(o, "\n", 1);
}

static int run(struct cli *cli, void *given)
{
    static const char *const all[] = {"$SYS.*"};
    const struct events_options *o = given;
    struct cli_stream_options s = {
        .filters = cli->args_n ? (const char *const *)cli->args : all,
        .filters_n = cli->args_n ? cli->args_n : 1,
        .count = o->count,
        .format = cli->json ? as_json : as_line,
    };

    return cli_stream_run(cli, &s);
}

const struct cli_command cli_events = {
    .name = "events",
    .args = "[FILTER...]",
    .summary = "Print what happens in the broker: slow consumers, queues, refusals",
    .more = "Without a FILTER: $SYS.*, all events. On $SYS.stats.# are the figures of each second.",
    .options = options,
    .options_size = sizeof(struct events_options),
    .args_max = 64,
    .run = run,
};
