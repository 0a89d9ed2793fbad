/* cmd_manage.c - who is there, sending them away; the settings in force, reload, drain. */
#include <string.h>

#include "libbroker/cli/json.h"
#include "libbroker/cli/link.h"
#include "libbroker/cli/text.h"

static int show(const struct cli *cli, json_t *answer, void (*print)(const json_t *))
{
    if (cli->json)
        cli_print_json(answer);
    else
        print(answer);
    json_decref(answer);
    return CLI_OK;
}

static void add_number(struct cli_table *t, const json_t *o, const char *key)
{
    char text[CLI_NUMBER_MAX];

    if (json_object_get(o, key))
        cli_table_add(t, "%s", cli_count_text(cli_json_number(o, key), text));
    else
        cli_table_add(t, "-");
}

/* ------------------------------------------------------------------------- connections --- */

static void print_connections(const json_t *answer)
{
    struct cli_table *t =
        cli_table_new("connection|peer|client|door|state|>in|>out|>output|>published|>delivered");
    static const char *const sizes[] = {"in_bytes", "out_bytes", "output_bytes"};
    json_t *c;
    size_t i;

    json_array_foreach(json_object_get(answer, "connections"), i, c)
    {
        const char *client = cli_json_text(c, "client"), *door = cli_json_text(c, "door");
        char size[CLI_NUMBER_MAX];

        cli_table_add(t, "%s", cli_json_text(c, "id"));
        cli_table_add(t, "%s", cli_json_text(c, "peer"));
        cli_table_add(t, "%s", *client ? client : "-");
        cli_table_add(t, "%s", *door ? door : "-");
        cli_table_add(t, "%s%s", cli_json_text(c, "state"),
                      json_is_false(json_object_get(c, "reading")) ? ", not read" : "");
        for (size_t k = 0; k < sizeof sizes / sizeof sizes[0]; k++)
            cli_table_add(t, "%s", cli_size_text(cli_json_number(c, sizes[k]), size));
        add_number(t, c, "published");
        add_number(t, c, "delivered");
    }
    cli_table_print(t, stdout);
}

static void add_credit(struct cli_table *t, const json_t *o)
{
    if (json_is_integer(json_object_get(o, "credit")))
        add_number(t, o, "credit");
    else
        cli_table_add(t, "unlimited");
}

static void print_consumers(const json_t *answer)
{
    struct cli_table *t =
        cli_table_new("consumer|queue|client|ack|>credit|>unacked|stalled|>delivered");
    const json_t *k;
    size_t i;

    json_array_foreach(json_object_get(answer, "consumers"), i, k)
    {
        char text[CLI_NUMBER_MAX];

        cli_table_add(t, "%s", cli_json_text(k, "id"));
        cli_table_add(t, "%s", cli_json_text(k, "queue"));
        cli_table_add(t, "%s", cli_json_text(k, "client"));
        cli_table_add(t, "%s", cli_json_text(k, "ack"));
        add_credit(t, k);
        add_number(t, k, "unacked");
        if (json_object_get(k, "stalled_ms"))
            cli_table_add(t, "%s, %s", cli_time_text(cli_json_number(k, "stalled_ms"), text),
                          cli_json_text(k, "stalled_by"));
        else
            cli_table_add(t, "-");
        add_number(t, json_object_get(k, "counters"), "delivered");
    }
    cli_table_print(t, stdout);
}

static void print_publishers(const json_t *answer)
{
    struct cli_table *t = cli_table_new("publishes to|>published|>unsettled|waiting|>credit");
    const json_t *p;
    size_t i;

    json_array_foreach(json_object_get(answer, "publishers"), i, p)
    {
        const char *queue = cli_json_text(p, "queue");
        char text[CLI_NUMBER_MAX];

        cli_table_add(t, "%s%s", *queue ? "queue " : "",
                      *queue ? queue : cli_json_text(p, "topic"));
        add_number(t, p, "published");
        add_number(t, p, "unsettled");
        if (json_object_get(p, "waiting_ms"))
            cli_table_add(t, "%s", cli_time_text(cli_json_number(p, "waiting_ms"), text));
        else
            cli_table_add(t, "-");
        add_credit(t, p);
    }
    cli_table_print(t, stdout);
}

static void print_connection(const json_t *answer)
{
    static const char *const texts[] = {"id", "peer", "client", "door", "state", "since"};
    static const char *const sizes[] = {"in_bytes", "out_bytes", "output_bytes"};
    json_t *service;
    char size[CLI_NUMBER_MAX];
    size_t i;

    for (i = 0; i < sizeof texts / sizeof texts[0]; i++)
        printf("%-16s %s\n", texts[i], cli_json_text(answer, texts[i]));
    for (i = 0; i < sizeof sizes / sizeof sizes[0]; i++)
        printf("%-16s %s\n", sizes[i], cli_size_text(cli_json_number(answer, sizes[i]), size));
    printf("serves          ");
    json_array_foreach(json_object_get(answer, "services"), i, service)
    {
        printf(" %s", cli_json_shown(service));
    }
    puts(json_array_size(json_object_get(answer, "services")) ? "" : " nothing");
    if (json_array_size(json_object_get(answer, "publishers"))) {
        putchar('\n');
        print_publishers(answer);
    }
    if (json_array_size(json_object_get(answer, "consumers"))) {
        putchar('\n');
        print_consumers(answer);
    }
}

static int run_connections(struct cli *cli, void *options)
{
    json_t *answer;
    int r;

    (void)options;
    if (cli->args_n == 0) {
        r = cli_ask(cli, "connections", NULL, &answer);
        return r == CLI_OK ? show(cli, answer, print_connections) : r;
    }
    r = cli_ask(cli, "connection", json_pack("{s:s}", "connection", cli->args[0]), &answer);
    return r == CLI_OK ? show(cli, answer, print_connection) : r;
}

const struct cli_command cli_connections = {
    .name = "connections",
    .args = "[CONNECTION]",
    .summary = "List connections, or show what one of them does",
    .args_max = 1,
    .run = run_connections,
};

static int run_kill(struct cli *cli, void *options)
{
    json_t *answer;
    int r = cli_ask(cli, "kill", json_pack("{s:s}", "connection", cli->args[0]), &answer);

    (void)options;
    if (r != CLI_OK)
        return r;
    if (cli->json)
        cli_print_json(answer);
    json_decref(answer);
    return CLI_OK;
}

const struct cli_command cli_kill = {
    .name = "kill",
    .args = "CONNECTION",
    .summary = "Close a connection, by its id in `broker connections`",
    .args_min = 1,
    .args_max = 1,
    .run = run_kill,
};

/* --------------------------------------------------------------------------- consumers --- */

static int run_consumers(struct cli *cli, void *options)
{
    json_t *request = json_object(), *answer;
    int r;

    (void)options;
    if (cli->args_n)
        json_object_set_new(request, "queue", json_string(cli->args[0]));
    r = cli_ask(cli, "consumers", request, &answer);
    return r == CLI_OK ? show(cli, answer, print_consumers) : r;
}

const struct cli_command cli_consumers = {
    .name = "consumers",
    .args = "[QUEUE]",
    .summary = "List consumers and what holds them up, those of QUEUE",
    .args_max = 1,
    .run = run_consumers,
};

/* ------------------------------------------------------------------------ the settings --- */

/* What a section is that was not there, or is no more. */
static const char *or_nothing(const char *value)
{
    return *value ? value : "nothing";
}

static void print_changes(const json_t *answer)
{
    const json_t *c;
    size_t i;

    json_array_foreach(json_object_get(answer, "changes"), i, c)
    {
        printf("%s = %s (%s %s)\n", cli_json_text(c, "what"), or_nothing(cli_json_text(c, "after")),
               json_is_true(json_object_get(c, "restart")) ? "takes a restart; it is" : "was",
               or_nothing(cli_json_text(c, "before")));
    }
}

/* A value, or a list of them. */
static void print_value(const json_t *value)
{
    const json_t *one;
    size_t i;

    if (json_is_string(value))
        printf("%s", cli_json_shown(value));
    json_array_foreach(value, i, one)
    {
        printf("%s%s", i ? ", " : "", cli_json_shown(one));
    }
    putchar('\n');
}

static void print_sections(const json_t *answer)
{
    json_t *s, *value;
    const char *key;
    size_t i;

    json_array_foreach(json_object_get(answer, "sections"), i, s)
    {
        printf("\n%s \"%s\"\n", cli_json_text(s, "section"), cli_json_text(s, "title"));
        json_object_foreach(json_object_get(s, "settings"), key, value)
        {
            printf("  %-20s ", key);
            print_value(value);
        }
    }
}

static void print_config(const json_t *answer)
{
    const json_t *s;
    const char *file = cli_json_text(answer, "file"), *mistake = cli_json_text(answer, "mistake");
    size_t i;

    printf("# %s\n", *file ? file : "no file: the defaults");
    json_array_foreach(json_object_get(answer, "settings"), i, s)
    {
        const char *section = cli_json_text(s, "section"), *value = cli_json_text(s, "value");
        char name[80];

        snprintf(name, sizeof name, "%s%s%s", section, *section ? " " : "",
                 cli_json_text(s, "key"));
        printf("%-28s %s%s\n", name, value,
               strcmp(value, cli_json_text(s, "default")) == 0 ? "" : "  *");
    }
    print_sections(answer);
    if (json_array_size(json_object_get(answer, "changes")) || *mistake)
        puts("\n# the file says otherwise by now:");
    print_changes(answer);
    if (*mistake)
        printf("%s\n", mistake);
}

static int run_config(struct cli *cli, void *options)
{
    json_t *answer;
    int r = cli_ask(cli, "config", NULL, &answer);

    (void)options;
    return r == CLI_OK ? show(cli, answer, print_config) : r;
}

const struct cli_command cli_config = {
    .name = "config",
    .summary = "Show the settings in force, and what the file would change",
    .more = "Those that are not the default are marked *. Secrets are not shown.",
    .run = run_config,
};

static int run_reload(struct cli *cli, void *options)
{
    json_t *answer;
    int r = cli_ask(cli, "reload", NULL, &answer);

    (void)options;
    return r == CLI_OK ? show(cli, answer, print_changes) : r;
}

const struct cli_command cli_reload = {
    .name = "reload",
    .summary = "Have the broker read its settings again, show what changed",
    .run = run_reload,
};

static int run_drain(struct cli *cli, void *options)
{
    json_t *answer;
    int r = cli_ask(cli, "drain", NULL, &answer);

    (void)options;
    if (r != CLI_OK)
        return r;
    if (cli->json)
        cli_print_json(answer);
    json_decref(answer);
    return CLI_OK;
}

const struct cli_command cli_drain = {
    .name = "drain",
    .summary = "Have the broker send its connections away by and by, then end",
    .run = run_drain,
};
