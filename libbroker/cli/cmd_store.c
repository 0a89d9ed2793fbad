/* cmd_store.c - what is kept on disk: is it sound, what is in it, and copies of it. */
#include "libbroker/cli/store.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "broker.h"
#include "libbroker/base/headers.h"
#include "libbroker/cli/json.h"
#include "libbroker/cli/link.h"
#include "libbroker/cli/progress.h"
#include "libbroker/cli/text.h"

int cli_store_fail(const struct cli *cli, int error, const char *text)
{
    if (error == -ECANCELED)
        (void)cli_error(cli, "interrupted");
    else if (error == -ENOMEM)
        (void)cli_error(cli, "out of memory");
    else
        (void)cli_error(cli, "%s", text && *text ? text : strerror(-error));
    return error == -ECANCELED ? CLI_FAILED : CLI_STORE;
}

int cli_store_open(const struct cli *cli, const char *path, struct tool **ret)
{
    struct cli_progress p = {.cli = cli, .doing = "reading"};
    char text[TOOL_TEXT] = "";
    int r = tool_open(path, cli_progress, &p, ret, text);

    cli_progress_end(&p);
    if (r < 0)
        return cli_store_fail(cli, r, text);
    if (tool_facts(*ret)->segments == 0 && tool_facts(*ret)->blank == 0) {
        *ret = tool_close(*ret);
        (void)cli_error(cli, "%s: there is no journal in it", path);
        return CLI_STORE;
    }
    return CLI_OK;
}

/* ------------------------------------------------------------------------------- check --- */

static json_t *json_damage(const struct tool *t)
{
    json_t *list = json_array();
    struct tool_damage d;

    for (size_t i = 0; tool_damage(t, i, &d); i++)
        json_array_append_new(list,
                              json_pack("{s:I,s:I,s:I,s:I,s:b}", "segment", (json_int_t)d.segment,
                                        "from", (json_int_t)d.from, "to", (json_int_t)d.to,
                                        "batches", (json_int_t)d.batches, "missing", d.missing));
    return list;
}

static json_t *json_facts(const char *path, const struct tool *t)
{
    const struct tool_facts *f = tool_facts(t);
    const struct {
        const char *key;
        uint64_t n;
    } rows[] = {{"version", f->version},       {"segments", f->segments},
                {"disk_bytes", f->disk},       {"batches", f->batches},
                {"records", f->records},       {"queues", f->queues},
                {"messages", f->messages},     {"retained", f->retained},
                {"bytes", f->bytes},           {"live_bytes", f->data + f->notes},
                {"torn_bytes", f->torn_bytes}, {"blank", f->blank},
                {"damaged", f->damaged},       {"lost_batches", f->lost_batches},
                {"missing", f->missing}};
    json_t *o = json_pack("{s:s}", "path", path);
    char id[24];

    snprintf(id, sizeof id, "%016llx", (unsigned long long)f->journal);
    json_object_set_new(o, "journal", json_string(id));
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        json_object_set_new(o, rows[i].key, json_integer((json_int_t)rows[i].n));
    return o;
}

static void print_facts(const struct tool *t)
{
    const struct tool_facts *f = tool_facts(t);
    char a[CLI_NUMBER_MAX], b[CLI_NUMBER_MAX];

    if (f->journal)
        printf("journal          %016llx, format version %u\n", (unsigned long long)f->journal,
               f->version);
    printf("segments         %s, %s on disk\n", cli_count_text(f->segments, a),
           cli_size_text(f->disk, b));
    printf("of use           %s\n", cli_size_text(f->data + f->notes, a));
    printf("batches          %s, with %s records\n", cli_count_text(f->batches, a),
           cli_count_text(f->records, b));
    printf("queues           %s\n", cli_count_text(f->queues, a));
    printf("messages         %s, %s of payload\n", cli_count_text(f->messages, a),
           cli_size_text(f->bytes, b));
    if (f->retained)
        printf("retained         %s, settled messages that can be had again\n",
               cli_count_text(f->retained, a));
    if (f->torn_bytes)
        printf("torn             %s at the end, of a write that was never confirmed\n",
               cli_size_text(f->torn_bytes, a));
}

static void print_damage(const struct tool *t)
{
    const struct tool_facts *f = tool_facts(t);
    struct tool_damage d;
    size_t i = 0;
    char a[CLI_NUMBER_MAX], b[CLI_NUMBER_MAX];

    if (!f->damaged) {
        puts("sound");
        return;
    }
    for (; tool_damage(t, i, &d); i++)
        printf("damaged          %s\n", d.text);
    if (f->damaged > i)
        printf("damaged          %s places more\n", cli_count_text(f->damaged - i, a));
    printf("DAMAGED: %s place%s, %s batch%s lost", cli_count_text(f->damaged, a),
           f->damaged == 1 ? "" : "s", cli_count_text(f->lost_batches, b),
           f->lost_batches == 1 ? "" : "es");
    if (f->missing)
        printf(", %s file%s missing", cli_count_text(f->missing, a), f->missing == 1 ? "" : "s");
    putchar('\n');
}

static int run_check(struct cli *cli, void *given)
{
    struct tool *t;
    int r = cli_store_open(cli, cli->args[0], &t);
    bool sound;

    (void)given;
    if (r != CLI_OK)
        return r;
    sound = tool_facts(t)->damaged == 0;
    if (cli->json) {
        json_t *answer = json_facts(cli->args[0], t);

        json_object_set_new(answer, "damage", json_damage(t));
        json_object_set_new(answer, "sound", json_boolean(sound));
        cli_print_json(answer);
        json_decref(answer);
    } else {
        print_facts(t);
        print_damage(t);
    }
    tool_close(t);
    return sound ? CLI_OK : CLI_FAILED;
}

/* ------------------------------------------------------------------------------- stats --- */

static json_t *json_queue(const struct tool_queue *q)
{
    json_t *o = json_pack("{s:s,s:I,s:I,s:I,s:I,s:I,s:I,s:I}", "queue", q->name, "messages",
                          (json_int_t)q->messages, "bytes", (json_int_t)q->bytes, "disk_bytes",
                          (json_int_t)q->disk, "returned", (json_int_t)q->returned, "first",
                          (json_int_t)q->first, "next", (json_int_t)q->next, "retained",
                          (json_int_t)q->retained);
    struct slice filters = q->filters, f;
    json_t *list = json_array();

    while (tool_next_filter(&filters, &f))
        json_array_append_new(list, json_stringn((const char *)f.p, f.n));
    json_object_set_new(o, "bindings", list);
    return o;
}

static void print_queues(const struct tool *t)
{
    struct cli_table *table =
        cli_table_new("queue|>messages|>bytes|>retained|>disk|>returned|>first|>next");
    const struct tool_queue *q;
    char a[CLI_NUMBER_MAX];

    for (size_t i = 0; (q = tool_queue(t, i)); i++) {
        cli_table_add(table, "%s", q->name);
        cli_table_add(table, "%llu", (unsigned long long)q->messages);
        cli_table_add(table, "%s", cli_size_text(q->bytes, a));
        cli_table_add(table, "%llu", (unsigned long long)q->retained);
        cli_table_add(table, "%s", cli_size_text(q->disk, a));
        cli_table_add(table, "%llu", (unsigned long long)q->returned);
        cli_table_add(table, "%llu", (unsigned long long)q->first);
        cli_table_add(table, "%llu", (unsigned long long)q->next);
    }
    putchar('\n');
    cli_table_print(table, stdout);
}

static int stats_of_files(struct cli *cli)
{
    const struct tool_queue *q;
    struct tool *t;
    int r = cli_store_open(cli, cli->args[0], &t);

    if (r != CLI_OK)
        return r;
    if (cli->json) {
        json_t *answer = json_facts(cli->args[0], t), *list = json_array();

        for (size_t i = 0; (q = tool_queue(t, i)); i++)
            json_array_append_new(list, json_queue(q));
        json_object_set_new(answer, "queue_list", list);
        cli_print_json(answer);
        json_decref(answer);
    } else {
        print_facts(t);
        print_queues(t);
    }
    tool_close(t);
    return CLI_OK;
}

/* Those that are not 0, bytes as sizes. */
static void print_counters(const json_t *counters)
{
    const char *key;
    json_t *n;
    char a[CLI_NUMBER_MAX];

    json_object_foreach((json_t *)(uintptr_t)counters, key, n)
    {
        uint64_t value = (uint64_t)json_integer_value(n);
        size_t len = strlen(key);
        bool bytes = len >= 5 && strcmp(key + len - 5, "bytes") == 0;

        if (value)
            printf("%-16s %s\n", key, bytes ? cli_size_text(value, a) : cli_count_text(value, a));
    }
}

static void print_store(const json_t *s)
{
    const json_t *sync = json_object_get(s, "sync"), *refused = json_object_get(s, "refused");
    uint64_t syncs = cli_json_number(sync, "count");
    char a[CLI_NUMBER_MAX], b[CLI_NUMBER_MAX];

    printf("store            %s, %s", cli_json_text(s, "store"), cli_json_text(s, "state"));
    if (*cli_json_text(s, "since"))
        printf(" since %s", cli_json_text(s, "since"));
    if (*cli_json_text(s, "path"))
        printf("\npath             %s", cli_json_text(s, "path"));
    printf("\nmessages         %s in %s queues\n",
           cli_count_text(cli_json_number(s, "messages"), a),
           cli_count_text(cli_json_number(s, "queues"), b));
    if (json_object_get(s, "disk_bytes")) {
        printf("disk             %s", cli_size_text(cli_json_number(s, "disk_bytes"), a));
        printf(" in %s segments, %s of use", cli_count_text(cli_json_number(s, "segments"), a),
               cli_size_text(cli_json_number(s, "live_bytes"), b));
        if (json_is_integer(json_object_get(s, "max_disk_bytes")))
            printf(", limit %s", cli_size_text(cli_json_number(s, "max_disk_bytes"), a));
        putchar('\n');
    }
    if (syncs) {
        printf("syncs            %s, on average %s,", cli_count_text(syncs, a),
               cli_latency_text(1000 * (cli_json_number(sync, "total_us") / syncs), b));
        printf(" at most %s\n", cli_latency_text(1000 * cli_json_number(sync, "max_us"), a));
    }
    print_counters(json_object_get(s, "counters"));
    if (cli_json_number(refused, "full") + cli_json_number(refused, "space") +
        cli_json_number(refused, "memory"))
        printf("refused          full %llu, space %llu, memory %llu\n",
               (unsigned long long)cli_json_number(refused, "full"),
               (unsigned long long)cli_json_number(refused, "space"),
               (unsigned long long)cli_json_number(refused, "memory"));
}

static int stats_of_broker(struct cli *cli)
{
    json_t *answer, *s;
    size_t i;
    int r = cli_ask(cli, "stores", NULL, &answer);

    if (r != CLI_OK)
        return r;
    if (cli->json) {
        cli_print_json(answer);
    } else {
        if (json_array_size(json_object_get(answer, "stores")) == 0)
            puts("this broker keeps nothing: it has no store");
        json_array_foreach(json_object_get(answer, "stores"), i, s)
        {
            if (i)
                putchar('\n');
            print_store(s);
        }
    }
    json_decref(answer);
    return CLI_OK;
}

static int run_stats(struct cli *cli, void *given)
{
    (void)given;
    return cli->args_n ? stats_of_files(cli) : stats_of_broker(cli);
}

/* ------------------------------------------------------------------------------ backup --- */

/* What the broker has put aside, into `to`, and look at what came there. */
static int copy_snapshot(const struct cli *cli, const char *from, const char *to)
{
    struct cli_progress p = {.cli = cli, .doing = "copying"};
    char text[TOOL_TEXT] = "";
    int r = tool_copy(from, to, cli_progress, &p, text);
    struct tool *t;
    char a[CLI_NUMBER_MAX], b[CLI_NUMBER_MAX];

    cli_progress_end(&p);
    if (r < 0) {
        if (r == -ENOENT || r == -EACCES)
            cli_note(cli, "the files are on the broker's machine, and only its user may read them");
        return cli_store_fail(cli, r, text);
    }
    r = cli_store_open(cli, to, &t);
    if (r != CLI_OK)
        return r;
    if (tool_facts(t)->lost_batches || tool_facts(t)->missing)
        r = cli_error(cli, "%s is damaged, as what it was copied from: see broker store check", to);
    if (cli->json) {
        json_t *answer = json_facts(to, t);

        cli_print_json(answer);
        json_decref(answer);
    } else if (r == CLI_OK) {
        printf("%s messages in %s\n", cli_count_text(tool_facts(t)->messages, a), to);
        cli_note(cli, "%s copied and read again", cli_size_text(tool_facts(t)->disk, b));
    }
    tool_close(t);
    return r;
}

static int run_backup(struct cli *cli, void *given)
{
    json_t *answer, *released;
    int r = cli_ask(cli, "store-snapshot", NULL, &answer), end;

    (void)given;
    if (r != CLI_OK)
        return r;
    r = copy_snapshot(cli, cli_json_text(answer, "path"), cli->args[0]);
    json_decref(answer);
    end = cli_ask(cli, "store-release", NULL, &released);
    if (end == CLI_OK)
        json_decref(released);
    return r == CLI_OK ? end : r;
}

/* ------------------------------------------------------------------------------ commands --- */

static const struct cli_option export_options[] = {
    {"queue", 0, CLI_LIST, offsetof(struct cli_store_options, queues), "QUEUE",
     "only that one; may be repeated (all)", NULL},
    {"definitions", 0, CLI_FLAG, offsetof(struct cli_store_options, definitions), NULL,
     "the queues without their messages", NULL},
    {"retained", 0, CLI_FLAG, offsetof(struct cli_store_options, retained), NULL,
     "settled messages that are retained, too", NULL},
    {NULL, 0, CLI_FLAG, 0, NULL, NULL, NULL},
};

static const struct cli_option import_options[] = {
    {"into", 0, CLI_TEXT, offsetof(struct cli_store_options, into), "PATH",
     "a stopped broker's journal, made if need be (the running broker)", NULL},
    {"in-memory", 0, CLI_FLAG, offsetof(struct cli_store_options, in_memory), NULL,
     "queues that the running broker keeps in memory only will do", NULL},
    {NULL, 0, CLI_FLAG, 0, NULL, NULL, NULL},
};

static const struct cli_command subs[] = {
    {.name = "check",
     .args = "PATH",
     .summary = "Read all of a stopped broker's journal and say whether it is sound",
     .more = "  broker store check /var/lib/brokerd\n"
             "PATH may be a backup. Nothing is changed. Exit status: 0 sound, 1 damaged, 69 it "
             "cannot\n"
             "be read, or a broker has it.",
     .args_min = 1,
     .args_max = 1,
     .run = run_check},
    {.name = "stats",
     .args = "[PATH]",
     .summary = "Show what is stored: by the running broker, or in the files at PATH",
     .more = "  broker store stats\n"
             "  broker store stats /var/lib/brokerd",
     .args_max = 1,
     .run = run_stats},
    {.name = "export",
     .args = "PATH",
     .summary = "Write queues and messages of a stopped broker's journal as lines of JSON",
     .more = "  broker store export /var/lib/brokerd > all.ndjson\n"
             "  broker store export backup --queue orders | jq -r .data\n"
             "docs/store-tools.md has the format. For a running broker, `broker store backup` "
             "first.",
     .options = export_options,
     .args_min = 1,
     .args_max = 1,
     .options_size = sizeof(struct cli_store_options),
     .run = cli_store_export},
    {.name = "import",
     .args = "[FILE]",
     .summary = "Put exported queues and messages into a journal, or into the running broker",
     .more =
         "  broker store import --into /var/lib/brokerd all.ndjson\n"
         "  zcat all.ndjson.gz | broker store import -s tcp://other:7070\n"
         "They are added to what is there. FILE is stdin if it is `-` or missing. What a journal\n"
         "had is refused where the running broker would keep it in memory only.",
     .options = import_options,
     .args_max = 1,
     .options_size = sizeof(struct cli_store_options),
     .run = cli_store_import},
    {.name = "backup",
     .args = "DIR",
     .summary = "Copy the running broker's journal into a new directory",
     .more = "  broker store backup /backup/brokerd-monday\n"
             "What is confirmed when it begins is in it. It is read again when it is copied. To "
             "go back\n"
             "to it: stop the broker, put the directory in the place of its own, start it.",
     .args_min = 1,
     .args_max = 1,
     .run = run_backup},
    {.name = NULL},
};

const struct cli_command cli_store = {
    .name = "store",
    .summary = "Check, copy, export and import what is kept on disk",
    .subs = subs,
};
