/* cmd_info.c - the broker itself: version, memory, workers, totals, why connections ended. */
#include "libbroker/cli/json.h"
#include "libbroker/cli/link.h"
#include "libbroker/cli/text.h"

static void print_head(const json_t *info)
{
    const json_t *memory = json_object_get(info, "memory"), *url;
    char a[CLI_NUMBER_MAX], b[CLI_NUMBER_MAX];
    uint64_t used = cli_json_number(memory, "used_bytes");
    uint64_t limit = cli_json_number(memory, "limit_bytes");
    size_t i;

    printf("brokerd          %s, process %llu%s\n", cli_json_text(info, "version"),
           (unsigned long long)cli_json_number(info, "pid"),
           json_is_true(json_object_get(info, "draining")) ? ", draining" : "");
    printf("started          %s, %s ago\n", cli_json_text(info, "started"),
           cli_time_text(cli_json_number(info, "uptime_ms"), a));
    printf("listens on      ");
    json_array_foreach(json_object_get(info, "listen"), i, url)
    {
        printf(" %s", cli_json_shown(url));
    }
    printf("\nmemory           %s of %s (%.1f %%)\n", cli_size_text(used, a),
           cli_size_text(limit, b), limit ? 100.0 * (double)used / (double)limit : 0.0);
    printf("connections      %s\n", cli_count_text(cli_json_number(info, "connections"), a));
    printf("queues           %s, and %s subscriptions\n",
           cli_count_text(cli_json_number(info, "queues"), a),
           cli_count_text(cli_json_number(info, "subscriptions"), b));
}

static void print_workers(const json_t *info)
{
    struct cli_table *t = cli_table_new(">worker|>busy|>connections|>queues");
    const json_t *workers = json_object_get(info, "workers"), *w;
    size_t i;

    json_array_foreach(workers, i, w)
    {
        cli_table_add(t, "%llu", (unsigned long long)cli_json_number(w, "id"));
        cli_table_add(t, "%.0f %%", 100 * json_number_value(json_object_get(w, "busy")));
        cli_table_add(t, "%llu", (unsigned long long)cli_json_number(w, "connections"));
        cli_table_add(t, "%llu", (unsigned long long)cli_json_number(w, "queues"));
    }
    printf("placement        %s\n\n", cli_json_text(info, "placement"));
    cli_table_print(t, stdout);
}

static void print_services(const json_t *info)
{
    struct cli_table *t;
    const json_t *services = json_object_get(info, "services"), *s;
    const json_t *calls = json_object_get(info, "calls");
    char open[CLI_NUMBER_MAX], total[CLI_NUMBER_MAX];
    size_t i;

    printf("calls            %s open, %s in all, failed ",
           cli_count_text(cli_json_number(calls, "open"), open),
           cli_count_text(cli_json_number(calls, "total"), total));
    cli_json_reasons(stdout, json_object_get(calls, "failed"));
    putchar('\n');
    if (json_array_size(services) == 0)
        return;
    putchar('\n');
    t = cli_table_new("service|>worker|>servers|>open|>waiting|>calls");
    json_array_foreach(services, i, s)
    {
        cli_table_add(t, "%s", cli_json_text(s, "name"));
        cli_table_add(t, "%llu", (unsigned long long)cli_json_number(s, "worker"));
        cli_table_add(t, "%llu", (unsigned long long)cli_json_number(s, "servers"));
        cli_table_add(t, "%llu", (unsigned long long)cli_json_number(s, "open"));
        cli_table_add(t, "%llu", (unsigned long long)cli_json_number(s, "waiting"));
        cli_table_add(t, "%llu", (unsigned long long)cli_json_number(s, "calls"));
    }
    cli_table_print(t, stdout);
}

static void print_ends(const json_t *info)
{
    printf("disconnects      ");
    cli_json_reasons(stdout, json_object_get(info, "disconnects"));
    printf("\nprotocols        ");
    cli_json_reasons(stdout, json_object_get(info, "protocols"));
    putchar('\n');
}

static int run(struct cli *cli, void *options)
{
    json_t *info;
    int r = cli_ask(cli, "info", NULL, &info);

    (void)options;
    if (r != CLI_OK)
        return r;
    if (cli->json) {
        cli_print_json(info);
    } else {
        print_head(info);
        cli_json_counters(stdout, json_object_get(info, "totals"), 0);
        print_ends(info);
        print_workers(info);
        putchar('\n');
        print_services(info);
    }
    json_decref(info);
    return CLI_OK;
}

const struct cli_command cli_info = {
    .name = "info",
    .summary = "Show the broker's version, memory, workers and totals",
    .run = run,
};
