/* cmd_top.c - what flows now: rates of the broker, its queues and clients, from two looks. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "libbroker/cli/json.h"
#include "libbroker/cli/link.h"
#include "libbroker/cli/text.h"

struct top_options {
    uint64_t count, interval_ms, limit;
};

static const struct cli_option options[] = {
    {"count", 'n', CLI_COUNT, offsetof(struct top_options, count), "COUNT",
     "end after COUNT tables (1 off a terminal, else never)", NULL},
    {"interval", 'i', CLI_TIME, offsetof(struct top_options, interval_ms), "TIME",
     "time from one table to the next (1s)", NULL},
    {"limit", 0, CLI_COUNT, offsetof(struct top_options, limit), "N",
     "at most N queues and N clients (20)", NULL},
    {NULL, 0, CLI_FLAG, 0, NULL, NULL, NULL},
};

/* The member of `list` whose id is that of `one`; NULL if it is new. */
static const json_t *find(const json_t *list, const json_t *one)
{
    const char *id = cli_json_text(one, "id");
    const json_t *other;
    size_t i;

    json_array_foreach(list, i, other)
    {
        if (strcmp(cli_json_text(other, "id"), id) == 0)
            return other;
    }
    return NULL;
}

/* A counter's rise per second between two looks, as text. */
static const char *rate(const json_t *now, const json_t *before, const char *key, double seconds,
                        char *buf)
{
    uint64_t a = cli_json_number(before, key), b = cli_json_number(now, key);
    double r = b > a && seconds > 0 ? (double)(b - a) / seconds : 0;

    return cli_count_text((uint64_t)(r + 0.5), buf);
}

static void print_head(const json_t *now, const json_t *before, double seconds)
{
    const json_t *memory = json_object_get(now, "memory"), *w;
    const json_t *a = json_object_get(now, "totals"), *b = json_object_get(before, "totals");
    char used[CLI_NUMBER_MAX], limit[CLI_NUMBER_MAX], in[CLI_NUMBER_MAX], out[CLI_NUMBER_MAX];
    size_t i;

    printf("in %s/s  out %s/s  memory %s of %s  connections %llu  busy",
           rate(a, b, "published", seconds, in), rate(a, b, "delivered", seconds, out),
           cli_size_text(cli_json_number(memory, "used_bytes"), used),
           cli_size_text(cli_json_number(memory, "limit_bytes"), limit),
           (unsigned long long)cli_json_number(now, "connections"));
    json_array_foreach(json_object_get(now, "workers"), i, w)
    {
        printf(" %.0f%%", 100 * json_number_value(json_object_get(w, "busy")));
    }
    printf("\nrefused ");
    cli_json_reasons(stdout, json_object_get(a, "refused"));
    printf("  lost ");
    cli_json_reasons(stdout, json_object_get(a, "lost"));
    printf("\n\n");
}

static void print_queues(const json_t *now, const json_t *before, double seconds, size_t limit)
{
    struct cli_table *t =
        cli_table_new("queue|>in/s|>out/s|>depth|>bytes|>unacked|>held|>consumers|>oldest");
    const json_t *list = json_object_get(now, "queues"), *q;
    size_t i;

    json_array_foreach(list, i, q)
    {
        const json_t *c = json_object_get(q, "counters");
        const json_t *old = json_object_get(find(json_object_get(before, "queues"), q), "counters");
        char name[320], text[CLI_NUMBER_MAX];

        if (i >= limit)
            break;
        cli_table_add(t, "%.40s", cli_json_queue_name(q, name, sizeof name));
        cli_table_add(t, "%s", rate(c, old, "published", seconds, text));
        cli_table_add(t, "%s", rate(c, old, "delivered", seconds, text));
        cli_table_add(t, "%s", cli_count_text(cli_json_number(q, "depth"), text));
        cli_table_add(t, "%s", cli_size_text(cli_json_number(q, "bytes"), text));
        cli_table_add(t, "%llu", (unsigned long long)cli_json_number(q, "unacked"));
        cli_table_add(t, "%llu", (unsigned long long)cli_json_number(q, "held"));
        cli_table_add(t, "%llu", (unsigned long long)cli_json_number(q, "consumers"));
        cli_table_add(t, "%s",
                      json_object_get(q, "oldest_ms")
                          ? cli_time_text(cli_json_number(q, "oldest_ms"), text)
                          : "-");
    }
    cli_table_print(t, stdout);
}

static void print_clients(const json_t *now, const json_t *before, double seconds, size_t limit)
{
    struct cli_table *t = cli_table_new("client|door|>worker|>in/s|>out/s|>held|>output|>since");
    const json_t *list = json_object_get(now, "clients"), *k;
    size_t i;

    json_array_foreach(list, i, k)
    {
        const json_t *c = json_object_get(k, "counters");
        const json_t *old =
            json_object_get(find(json_object_get(before, "clients"), k), "counters");
        char text[CLI_NUMBER_MAX];

        if (i >= limit)
            break;
        cli_table_add(t, "%.40s", cli_json_text(k, "client"));
        cli_table_add(t, "%s", cli_json_text(k, "door"));
        cli_table_add(t, "%llu", (unsigned long long)cli_json_number(k, "worker"));
        cli_table_add(t, "%s", rate(c, old, "published", seconds, text));
        cli_table_add(t, "%s", rate(c, old, "delivered", seconds, text));
        cli_table_add(t, "%llu", (unsigned long long)cli_json_number(k, "held"));
        cli_table_add(t, "%s", cli_size_text(cli_json_number(k, "output_bytes"), text));
        cli_table_add(t, "%s", cli_time_text(cli_json_number(k, "since_ms"), text));
    }
    putchar('\n');
    cli_table_print(t, stdout);
}

static void print(const struct cli *cli, const json_t *now, const json_t *before, bool clear,
                  size_t limit)
{
    uint64_t a = cli_json_number(before, "now_ms"), b = cli_json_number(now, "now_ms");
    double seconds = b > a ? (double)(b - a) / 1000 : 0;

    if (cli->json) {
        cli_print_json(now);
    } else {
        if (clear)
            fputs("\033[H\033[2J", stdout);
        print_head(now, before, seconds);
        print_queues(now, before, seconds, limit);
        print_clients(now, before, seconds, limit);
    }
    fflush(stdout);
}

/* Let the connection live for a while. */
static int rest(struct cli_link *l, uint64_t ms)
{
    int64_t end_ns = cli_now_ns() + (int64_t)ms * 1000000, left_ns;
    int r = CLI_OK;

    while (r == CLI_OK && !cli_interrupted(l->cli) && (left_ns = end_ns - cli_now_ns()) > 0)
        r = cli_link_wait(l, (int)(left_ns / 1000000) + 1, NULL);
    return r;
}

static int watch(struct cli_link *l, const struct top_options *o)
{
    bool live = isatty(STDOUT_FILENO) && !l->cli->json;
    uint64_t count = o->count || live ? o->count : 1;
    uint64_t limit = o->limit ? o->limit : 20;
    json_t *before = NULL, *now = NULL;
    int r = cli_link_ask(l, "top", json_pack("{s:I}", "limit", (json_int_t)limit), &before);

    for (uint64_t i = 0; r == CLI_OK && (count == 0 || i < count); i++) {
        r = rest(l, o->interval_ms ? o->interval_ms : 1000);
        if (r != CLI_OK || cli_interrupted(l->cli))
            break;
        r = cli_link_ask(l, "top", json_pack("{s:I}", "limit", (json_int_t)limit), &now);
        if (r != CLI_OK)
            break;
        print(l->cli, now, before, live, (size_t)limit);
        json_decref(before);
        before = now;
        if (ferror(stdout))
            break; /* whoever read has had enough */
    }
    json_decref(before);
    return r;
}

static int run(struct cli *cli, void *given)
{
    struct cli_link l;
    int r = cli_link_open(&l, cli, NULL);

    if (r != CLI_OK)
        return r;
    r = watch(&l, given);
    cli_link_close(&l, 0);
    return r;
}

const struct cli_command cli_top = {
    .name = "top",
    .summary = "Show what flows: rates, depths, memory, slow consumers",
    .options = options,
    .options_size = sizeof(struct top_options),
    .run = run,
};
