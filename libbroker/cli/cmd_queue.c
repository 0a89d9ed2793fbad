/* cmd_queue.c - the queues with a name: list, make, look into, empty, move, delete. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "libbroker/cli/json.h"
#include "libbroker/cli/link.h"
#include "libbroker/cli/text.h"

struct queue_options {
    bool all, if_empty, if_unused;
    uint64_t count, bytes;
    struct cli_list bind, settings;
};

/* Print an answer with --json, else by `print`; give it back. */
static int show(const struct cli *cli, json_t *answer, void (*print)(const json_t *))
{
    if (cli->json)
        cli_print_json(answer);
    else
        print(answer);
    json_decref(answer);
    return CLI_OK;
}

/* ----------------------------------------------------------------------------------- ls --- */

static const struct cli_option ls_options[] = {
    {"all", 'a', CLI_FLAG, offsetof(struct queue_options, all), NULL,
     "plain subscriptions, too, which are queues without a name", NULL},
    {NULL, 0, CLI_FLAG, 0, NULL, NULL, NULL},
};

static bool any_durable(const json_t *queues)
{
    const json_t *q;
    size_t i;

    json_array_foreach(queues, i, q)
    {
        if (json_object_get(q, "in_store"))
            return true;
    }
    return false;
}

static void add_durable(struct cli_table *t, const json_t *q)
{
    bool durable = json_object_get(q, "in_store") != NULL;
    char ago[CLI_NUMBER_MAX];

    cli_table_add(t, "%s", *cli_json_text(q, "durable") ? cli_json_text(q, "durable") : "-");
    cli_table_add(t, "%llu", (unsigned long long)cli_json_number(q, "in_store"));
    if (durable && json_object_get(q, "unstored_ms"))
        cli_table_add(t, "%llu, %s", (unsigned long long)cli_json_number(q, "unstored"),
                      cli_time_text(cli_json_number(q, "unstored_ms"), ago));
    else
        cli_table_add(t, "%llu", (unsigned long long)cli_json_number(q, "unstored"));
}

static void print_list(const json_t *answer)
{
    bool durable = any_durable(json_object_get(answer, "queues"));
    struct cli_table *t = cli_table_new(
        durable ? "queue|>depth|>bytes|>unacked|>delayed|>held|>consumers|>lost|durable|>in "
                  "store|>unstored"
                : "queue|>depth|>bytes|>unacked|>delayed|>held|>consumers|>lost");
    const json_t *q, *lost, *n;
    const char *reason;
    char name[320], size[CLI_NUMBER_MAX];
    size_t i;

    json_array_foreach(json_object_get(answer, "queues"), i, q)
    {
        static const char *const numbers[] = {"unacked", "delayed", "held", "consumers"};
        uint64_t all = 0;

        cli_table_add(t, "%s", cli_json_queue_name(q, name, sizeof name));
        cli_table_add(t, "%llu", (unsigned long long)cli_json_number(q, "depth"));
        cli_table_add(t, "%s", cli_size_text(cli_json_number(q, "bytes"), size));
        for (size_t k = 0; k < sizeof numbers / sizeof numbers[0]; k++)
            cli_table_add(t, "%llu", (unsigned long long)cli_json_number(q, numbers[k]));
        lost = json_object_get(json_object_get(q, "counters"), "lost");
        json_object_foreach((json_t *)(uintptr_t)lost, reason, n)
        {
            all += (uint64_t)json_integer_value(n);
        }
        cli_table_add(t, "%llu", (unsigned long long)all);
        if (durable)
            add_durable(t, q);
    }
    cli_table_print(t, stdout);
}

static int run_ls(struct cli *cli, void *given)
{
    const struct queue_options *o = given;
    json_t *request = json_object(), *answer;
    int r;

    if (cli->args_n)
        json_object_set_new(request, "filter", json_string(cli->args[0]));
    if (o->all)
        json_object_set_new(request, "all", json_true());
    r = cli_ask(cli, "queue-ls", request, &answer);
    return r == CLI_OK ? show(cli, answer, print_list) : r;
}

/* ---------------------------------------------------------------------------- add, info --- */

/* A unit test holds them against the table of policies. */
const char *const cli_queue_settings[] = {
    "max-messages=",  "max-bytes=",      "message-ttl=", "overflow=",
    "block-timeout=", "block-fallback=", "ack-timeout=", "max-deliveries=",
    "max-inflight=",  "dead-letter=",    "expires=",     "dedup-window=",
    "dedup-max=",     "retain=",         "durable=",     NULL};

static const struct cli_option add_options[] = {
    {"bind", 'b', CLI_LIST, offsetof(struct queue_options, bind), "FILTER",
     "what flows into it; may be repeated (the topic of its own name)", NULL},
    {"set", 0, CLI_LIST, offsetof(struct queue_options, settings), "KEY=VALUE",
     "a setting: max-messages=1000, overflow=block..; may be repeated", cli_queue_settings},
    {NULL, 0, CLI_FLAG, 0, NULL, NULL, NULL},
};

/* What keeps it, and how that stands. */
static void print_stored(const json_t *q)
{
    const char *refuses = cli_json_text(q, "store_refuses");
    char a[CLI_NUMBER_MAX], b[CLI_NUMBER_MAX];

    printf("durable          %s%s%s%s\n", cli_json_text(q, "durable"),
           *refuses ? ", which takes nothing (" : "", refuses, *refuses ? ")" : "");
    if (!json_object_get(q, "in_store"))
        return;
    if (json_object_get(q, "unopened_ms"))
        printf("not open         for %s: %s\n", cli_time_text(cli_json_number(q, "unopened_ms"), b),
               *cli_json_text(q, "store_text") ? cli_json_text(q, "store_text")
                                               : "its store does not answer");
    printf("only in store    %s\n", cli_count_text(cli_json_number(q, "in_store"), a));
    printf("unstored         %s", cli_count_text(cli_json_number(q, "unstored"), a));
    if (json_object_get(q, "unstored_ms"))
        printf(", %s, for %s", cli_size_text(cli_json_number(q, "unstored_bytes"), a),
               cli_time_text(cli_json_number(q, "unstored_ms"), b));
    putchar('\n');
    if (json_is_object(json_object_get(q, "shared")))
        printf("of all brokers   %s messages, %s\n",
               cli_count_text(cli_json_number(json_object_get(q, "shared"), "messages"), a),
               cli_size_text(cli_json_number(json_object_get(q, "shared"), "bytes"), b));
    else if (json_object_get(q, "shared"))
        printf("of all brokers   not known: the store does not answer\n");
    if (cli_json_number(q, "letters_waiting"))
        printf("dead letters     %s wait, as they are refused \"%s\", for %s%s\n",
               cli_count_text(cli_json_number(q, "letters_waiting"), a),
               cli_json_text(q, "letters_refused"),
               cli_time_text(cli_json_number(q, "letters_ms"), b),
               json_object_get(q, "letters_stop") ? ": no more is read from the store" : "");
    if (cli_json_number(q, "damaged"))
        printf("damaged          %s\n", cli_count_text(cli_json_number(q, "damaged"), a));
}

static void print_depths(const json_t *q)
{
    static const char *const keys[] = {"depth", "unacked", "delayed", "held"};
    char name[320], a[CLI_NUMBER_MAX];

    printf("queue            %s%s\n", cli_json_queue_name(q, name, sizeof name),
           json_is_true(json_object_get(q, "stuck")) ? ", stuck" : "");
    printf("home             worker %llu\n", (unsigned long long)cli_json_number(q, "worker"));
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++)
        printf("%-16s %s\n", keys[i], cli_count_text(cli_json_number(q, keys[i]), a));
    printf("bytes            %s\n", cli_size_text(cli_json_number(q, "bytes"), a));
    print_stored(q);
    if (json_object_get(q, "oldest_ms"))
        printf("oldest           %s\n", cli_time_text(cli_json_number(q, "oldest_ms"), a));
}

static void print_consumers(const json_t *q)
{
    struct cli_table *t =
        cli_table_new("consumer|client|ack|>credit|>unacked|>attached|stalled|>delivered");
    json_t *list = json_object_get(q, "consumer_list"), *c;
    size_t i;

    json_array_foreach(list, i, c)
    {
        json_t *credit = json_object_get(c, "credit");
        char a[CLI_NUMBER_MAX];

        cli_table_add(t, "%s", cli_json_text(c, "id"));
        cli_table_add(t, "%s", cli_json_text(c, "client"));
        cli_table_add(t, "%s", cli_json_text(c, "ack"));
        if (json_is_integer(credit))
            cli_table_add(t, "%lld", (long long)json_integer_value(credit));
        else
            cli_table_add(t, "unlimited");
        cli_table_add(t, "%llu", (unsigned long long)cli_json_number(c, "unacked"));
        cli_table_add(t, "%s", cli_time_text(cli_json_number(c, "since_ms"), a));
        if (json_is_integer(json_object_get(c, "stalled_ms")))
            cli_table_add(t, "%s, %s", cli_time_text(cli_json_number(c, "stalled_ms"), a),
                          cli_json_text(c, "stalled_by"));
        else
            cli_table_add(t, "-");
        cli_table_add(
            t, "%s",
            cli_count_text(cli_json_number(json_object_get(c, "counters"), "delivered"), a));
    }
    putchar('\n');
    cli_table_print(t, stdout);
}

static void print_info(const json_t *q)
{
    const char *key;
    json_t *value;
    size_t i;

    print_depths(q);
    printf("bound to        ");
    json_array_foreach(json_object_get(q, "bindings"), i, value)
    {
        printf(" %s", cli_json_shown(value));
    }
    puts(json_array_size(json_object_get(q, "bindings")) ? "" : " nothing");
    cli_json_counters(stdout, json_object_get(q, "counters"), 0);
    puts("settings");
    json_object_foreach(json_object_get(q, "policy"), key, value)
    {
        printf("  %-14s %s\n", key, json_is_string(value) ? cli_json_shown(value) : "-");
    }
    print_consumers(q);
}

static int run_info(struct cli *cli, void *given)
{
    json_t *answer;
    int r = cli_ask(cli, "queue-info", json_pack("{s:s}", "queue", cli->args[0]), &answer);

    (void)given;
    return r == CLI_OK ? show(cli, answer, print_info) : r;
}

/* KEY=VALUE texts to an object. */
static int settings_object(struct cli *cli, const struct cli_list *list, json_t *object)
{
    for (size_t i = 0; i < list->n; i++) {
        const char *equals = strchr(list->item[i], '=');
        char key[64];

        if (!equals || equals == list->item[i] || (size_t)(equals - list->item[i]) >= sizeof key)
            return cli_usage(cli, "--set wants KEY=VALUE, not \"%s\"", list->item[i]);
        snprintf(key, sizeof key, "%.*s", (int)(equals - list->item[i]), list->item[i]);
        json_object_set_new(object, key, json_string(equals + 1));
    }
    return CLI_OK;
}

static int run_add(struct cli *cli, void *given)
{
    struct queue_options *o = given;
    json_t *request = json_pack("{s:s, s:o, s:o}", "queue", cli->args[0], "bind", json_array(),
                                "settings", json_object());
    json_t *answer;
    int r = settings_object(cli, &o->settings, json_object_get(request, "settings"));

    for (size_t i = 0; i < o->bind.n; i++)
        json_array_append_new(json_object_get(request, "bind"), json_string(o->bind.item[i]));
    if (o->bind.n == 0)
        json_object_del(request, "bind");
    free(o->bind.item);
    free(o->settings.item);
    if (r != CLI_OK) {
        json_decref(request);
        return r;
    }
    r = cli_ask(cli, "queue-add", request, &answer);
    if (r != CLI_OK)
        return r;
    if (cli->json)
        cli_print_json(answer);
    else if (json_is_false(json_object_get(answer, "made")))
        cli_note(cli, "queue \"%s\" was there already; it keeps its settings", cli->args[0]);
    json_decref(answer);
    return CLI_OK;
}

/* --------------------------------------------------------------------------------- peek --- */

static const struct cli_option peek_options[] = {
    {"count", 'n', CLI_COUNT, offsetof(struct queue_options, count), "COUNT",
     "how many messages (10)", NULL},
    {"bytes", 0, CLI_SIZE, offsetof(struct queue_options, bytes), "SIZE",
     "how much of each payload (1KiB)", NULL},
    {NULL, 0, CLI_FLAG, 0, NULL, NULL, NULL},
};

static void print_message(struct cli_out *out, const json_t *m)
{
    const json_t *data = json_object_get(m, "data");
    const char *base64 = cli_json_text(m, "base64");
    char head[512];
    int n = snprintf(head, sizeof head, "%llu  %s  %s, attempt %llu, %llu bytes  %s  %s",
                     (unsigned long long)cli_json_number(m, "seq"), cli_json_text(m, "time"),
                     cli_json_text(m, "state"), (unsigned long long)cli_json_number(m, "attempt"),
                     (unsigned long long)cli_json_number(m, "size"), cli_json_text(m, "topic"),
                     *base64 ? "base64:" : "");

    (void)cli_out_put(out, head, n < (int)sizeof head ? (size_t)n : sizeof head - 1);
    if (json_is_string(data))
        (void)cli_put_plain(out, json_string_value(data), json_string_length(data));
    else
        (void)cli_out_put(out, base64, strlen(base64));
    (void)cli_out_put(out, "\n", 1);
}

static void print_messages(const json_t *answer)
{
    struct cli_out out;
    json_t *m;
    size_t i;

    cli_out_init(&out, STDOUT_FILENO); /* only its buffer is used: this is stdio's */
    json_array_foreach(json_object_get(answer, "messages"), i, m)
    {
        print_message(&out, m);
    }
    if (out.buf)
        fwrite(out.buf + out.begin, 1, cli_out_waiting(&out), stdout);
    cli_out_fini(&out);
}

static int run_peek(struct cli *cli, void *given)
{
    const struct queue_options *o = given;
    json_t *request = json_pack("{s:s}", "queue", cli->args[0]), *answer;
    int r;

    if (o->count)
        json_object_set_new(request, "count", json_integer((json_int_t)o->count));
    if (o->bytes)
        json_object_set_new(request, "bytes", json_integer((json_int_t)o->bytes - 1));
    r = cli_ask(cli, "queue-peek", request, &answer);
    return r == CLI_OK ? show(cli, answer, print_messages) : r;
}

/* ---------------------------------------------------------------------- purge, move, rm --- */

static void print_purged(const json_t *answer)
{
    printf("%llu messages dropped\n", (unsigned long long)cli_json_number(answer, "purged"));
}

static int run_purge(struct cli *cli, void *given)
{
    json_t *answer;
    int r = cli_ask(cli, "queue-purge", json_pack("{s:s}", "queue", cli->args[0]), &answer);

    (void)given;
    return r == CLI_OK ? show(cli, answer, print_purged) : r;
}

static const struct cli_option move_options[] = {
    {"count", 'n', CLI_COUNT, offsetof(struct queue_options, count), "COUNT",
     "only the first COUNT messages", NULL},
    {NULL, 0, CLI_FLAG, 0, NULL, NULL, NULL},
};

static void print_moved(const json_t *answer)
{
    printf("%llu messages moved\n", (unsigned long long)cli_json_number(answer, "moved"));
}

static int run_move(struct cli *cli, void *given)
{
    const struct queue_options *o = given;
    json_t *request = json_pack("{s:s, s:s}", "queue", cli->args[0], "to", cli->args[1]), *answer;
    int r;

    if (o->count)
        json_object_set_new(request, "count", json_integer((json_int_t)o->count));
    r = cli_ask(cli, "queue-move", request, &answer);
    if (r != CLI_OK)
        return r;
    if (*cli_json_text(answer, "reason"))
        r = cli_error(cli, "queue \"%s\" took no more: %s", cli->args[1],
                      cli_json_text(answer, "reason"));
    show(cli, answer, print_moved);
    return r;
}

static const struct cli_option rm_options[] = {
    {"if-empty", 0, CLI_FLAG, offsetof(struct queue_options, if_empty), NULL,
     "only if no message is in it", NULL},
    {"if-unused", 0, CLI_FLAG, offsetof(struct queue_options, if_unused), NULL,
     "only if it has no consumers", NULL},
    {NULL, 0, CLI_FLAG, 0, NULL, NULL, NULL},
};

static void print_removed(const json_t *answer)
{
    uint64_t lost = cli_json_number(answer, "lost");

    printf("deleted%s", lost ? "" : "\n");
    if (lost)
        printf(", with %llu messages\n", (unsigned long long)lost);
}

static int run_rm(struct cli *cli, void *given)
{
    const struct queue_options *o = given;
    json_t *request = json_pack("{s:s}", "queue", cli->args[0]), *answer;
    int r;

    if (o->if_empty)
        json_object_set_new(request, "if_empty", json_true());
    if (o->if_unused)
        json_object_set_new(request, "if_unused", json_true());
    r = cli_ask(cli, "queue-rm", request, &answer);
    return r == CLI_OK ? show(cli, answer, print_removed) : r;
}

static const struct cli_command subs[] = {
    {.name = "ls",
     .args = "[FILTER]",
     .summary = "List queues, those whose names FILTER matches",
     .options = ls_options,
     .args_max = 1,
     .options_size = sizeof(struct queue_options),
     .run = run_ls},
    {.name = "add",
     .args = "QUEUE",
     .summary = "Make a queue, or bind one to more",
     .options = add_options,
     .args_min = 1,
     .args_max = 1,
     .options_size = sizeof(struct queue_options),
     .run = run_add},
    {.name = "info",
     .args = "QUEUE",
     .summary = "Show what is in a queue, who consumes it and how it is set",
     .args_min = 1,
     .args_max = 1,
     .options_size = sizeof(struct queue_options),
     .run = run_info},
    {.name = "peek",
     .args = "QUEUE",
     .summary = "Show the first messages of a queue and leave them there",
     .options = peek_options,
     .args_min = 1,
     .args_max = 1,
     .options_size = sizeof(struct queue_options),
     .run = run_peek},
    {.name = "purge",
     .args = "QUEUE",
     .summary = "Drop all messages that wait in a queue",
     .args_min = 1,
     .args_max = 1,
     .options_size = sizeof(struct queue_options),
     .run = run_purge},
    {.name = "move",
     .args = "QUEUE TO",
     .summary = "Move the waiting messages into another queue",
     .options = move_options,
     .args_min = 2,
     .args_max = 2,
     .options_size = sizeof(struct queue_options),
     .run = run_move},
    {.name = "rm",
     .args = "QUEUE",
     .summary = "Delete a queue and what is in it",
     .options = rm_options,
     .args_min = 1,
     .args_max = 1,
     .options_size = sizeof(struct queue_options),
     .run = run_rm},
    {.name = NULL},
};

const struct cli_command cli_queue = {
    .name = "queue",
    .summary = "Look after the queues that have a name",
    .subs = subs,
};
