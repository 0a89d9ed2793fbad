/* cmd_route.c - where a message would go. */
#include "libbroker/cli/json.h"
#include "libbroker/cli/link.h"
#include "libbroker/cli/match.h"
#include "libbroker/cli/text.h"

static int compare(struct cli *cli, const char *filter, const char *topic)
{
    const char *error = cli_filter_error(filter);
    bool matches;

    if (error)
        return cli_usage(cli, "filter \"%s\" %s", filter, error);
    matches = cli_filter_matches(filter, topic);
    if (cli->json)
        puts(matches ? "{\"matches\":true}" : "{\"matches\":false}");
    else
        printf("%s %s %s\n", filter, matches ? "matches" : "does not match", topic);
    return matches ? CLI_OK : CLI_FAILED;
}

static void print(const json_t *answer)
{
    struct cli_table *t = cli_table_new("queue|binding|>worker");
    const json_t *queues = json_object_get(answer, "queues"), *q;
    char name[320];
    size_t i;

    json_array_foreach(queues, i, q)
    {
        cli_table_add(t, "%s", cli_json_queue_name(q, name, sizeof name));
        cli_table_add(t, "%s", cli_json_text(q, "filter"));
        cli_table_add(t, "%llu", (unsigned long long)cli_json_number(q, "worker"));
    }
    cli_table_print(t, stdout);
}

static int run(struct cli *cli, void *options)
{
    const char *topic = cli->args[cli->args_n - 1], *error = cli_topic_error(topic);
    json_t *answer;
    int r;

    (void)options;
    if (error)
        return cli_usage(cli, "topic \"%s\" %s", topic, error);
    if (cli->args_n == 2)
        return compare(cli, cli->args[0], topic);
    r = cli_ask(cli, "route", json_pack("{s:s}", "topic", topic), &answer);
    if (r != CLI_OK)
        return r;
    if (cli->json)
        cli_print_json(answer);
    else if (json_array_size(json_object_get(answer, "queues")) == 0)
        cli_note(cli, "a message to \"%s\" reaches no queue", topic);
    else
        print(answer);
    if (json_array_size(json_object_get(answer, "queues")) == 0)
        r = CLI_FAILED;
    json_decref(answer);
    return r;
}

const struct cli_command cli_route = {
    .name = "route",
    .args = "[FILTER] TOPIC",
    .summary = "Show where a message to TOPIC would go",
    .more =
        "With a FILTER: whether it matches the TOPIC, without asking a broker. Without one: which\n"
        "queues of the broker it reaches now. Exit 1 if it does not match, or reaches none.",
    .args_min = 1,
    .args_max = 2,
    .run = run,
};
