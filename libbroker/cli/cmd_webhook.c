/* cmd_webhook.c - webhooks: list, make, look into, try, switch, replay, remove. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "libbroker/cli/json.h"
#include "libbroker/cli/link.h"
#include "libbroker/cli/text.h"

enum { SECRET_MAX = 1024, TEST_TIMEOUT_MS = 60000 };

struct webhook_options {
    struct cli_list topics, settings, headers, allow;
    const char *secret_file;
    bool no_secret, rotate, replace, insecure;
    uint64_t count;
};

/* Print an answer with --json, else by `print`; give it back. */
static int show(const struct cli *cli, json_t *answer, void (*print)(const json_t *))
{
    if (cli->json)
        cli_print_json(answer);
    else if (print)
        print(answer);
    json_decref(answer);
    return CLI_OK;
}

static json_t *about(const struct cli *cli)
{
    return json_pack("{s:s}", "webhook", cli->args[0]);
}

/* ----------------------------------------------------------------------------------- ls --- */

static void print_list(const json_t *answer)
{
    struct cli_table *t =
        cli_table_new("webhook|state|>in flight|>window|>depth|>dead|>delivered|>failed|url");
    const json_t *w, *c;
    char text[CLI_NUMBER_MAX];
    size_t i;

    json_array_foreach(json_object_get(answer, "webhooks"), i, w)
    {
        c = json_object_get(w, "counters");
        cli_table_add(t, "%s", cli_json_text(w, "webhook"));
        cli_table_add(t, "%s", cli_json_text(w, "state"));
        cli_table_add(t, "%llu", (unsigned long long)cli_json_number(w, "in_flight"));
        cli_table_add(t, "%llu/%llu", (unsigned long long)cli_json_number(w, "window"),
                      (unsigned long long)cli_json_number(w, "window_max"));
        cli_table_add(t, "%llu", (unsigned long long)cli_json_number(w, "depth"));
        cli_table_add(t, "%llu", (unsigned long long)cli_json_number(w, "dead_depth"));
        cli_table_add(t, "%s", cli_count_text(cli_json_number(c, "delivered"), text));
        cli_table_add(t, "%s", cli_count_text(cli_json_number(c, "failed"), text));
        cli_table_add(t, "%s", cli_json_text(w, "url"));
    }
    cli_table_print(t, stdout);
}

static int run_ls(struct cli *cli, void *given)
{
    json_t *answer;
    int r = cli_ask(cli, "webhook-ls", NULL, &answer);

    (void)given;
    return r == CLI_OK ? show(cli, answer, print_list) : r;
}

/* --------------------------------------------------------------------------------- info --- */

static void print_texts(const char *title, const json_t *list)
{
    const json_t *v;
    size_t i;

    if (!json_array_size(list))
        return;
    printf("%-16s", title);
    json_array_foreach(list, i, v)
    {
        printf(" %s", cli_json_shown(v));
    }
    putchar('\n');
}

static void print_counts(const char *title, const json_t *counts)
{
    const char *key;
    json_t *n;

    if (!json_object_size(counts))
        return;
    printf("%-16s", title);
    json_object_foreach((json_t *)(uintptr_t)counts, key, n)
    {
        printf(" %s %lld", key, (long long)json_integer_value(n));
    }
    putchar('\n');
}

static void print_last(const json_t *last)
{
    char a[CLI_NUMBER_MAX];

    if (!last)
        return;
    printf("last failure     %s ago: %s", cli_time_text(cli_json_number(last, "ago_ms"), a),
           cli_json_text(last, "outcome"));
    if (cli_json_number(last, "status"))
        printf(" %llu", (unsigned long long)cli_json_number(last, "status"));
    if (*cli_json_text(last, "error"))
        printf(", %s", cli_json_text(last, "error"));
    putchar('\n');
}

static void print_state(const json_t *w)
{
    char a[CLI_NUMBER_MAX];

    printf("webhook          %s, of %s, worker %llu\n", cli_json_text(w, "webhook"),
           strcmp(cli_json_text(w, "origin"), "settings") == 0 ? "brokerd.conf" : "an admin call",
           (unsigned long long)cli_json_number(w, "worker"));
    printf("url              %s\n", cli_json_text(w, "url"));
    print_texts("topics", json_object_get(w, "topics"));
    printf("state            %s%s%s", cli_json_text(w, "state"),
           *cli_json_text(w, "why") ? ": " : "", cli_json_text(w, "why"));
    if (cli_json_number(w, "wait_ms"))
        printf(", for %s", cli_time_text(cli_json_number(w, "wait_ms"), a));
    if (cli_json_number(w, "failures"))
        printf(", %llu failures in a row", (unsigned long long)cli_json_number(w, "failures"));
    putchar('\n');
    printf("requests         %llu in flight, window %llu of %llu, %llu waiting\n",
           (unsigned long long)cli_json_number(w, "in_flight"),
           (unsigned long long)cli_json_number(w, "window"),
           (unsigned long long)cli_json_number(w, "window_max"),
           (unsigned long long)cli_json_number(w, "waiting"));
    printf("answers take     %s\n", cli_latency_text(cli_json_number(w, "answer_us") * 1000, a));
}

/* A list as the settings have it. */
static void print_setting(const char *key, const json_t *value)
{
    const json_t *one;
    size_t i;

    if (json_is_string(value)) {
        printf("  %-15s %s\n", key, cli_json_shown(value));
        return;
    }
    printf("  %-15s {", key);
    json_array_foreach(value, i, one)
    {
        printf(" %s", cli_json_shown(one));
    }
    puts(" }");
}

static void print_info(const json_t *w)
{
    const json_t *c = json_object_get(w, "counters"), *settings = json_object_get(w, "settings");
    const char *key;
    json_t *value;

    print_state(w);
    printf("queue            %s: %llu\n", cli_json_text(w, "queue"),
           (unsigned long long)cli_json_number(w, "depth"));
    printf("dead letters     %s: %llu\n", cli_json_text(w, "dead_queue"),
           (unsigned long long)cli_json_number(w, "dead_depth"));
    print_last(json_object_get(w, "last_failure"));
    printf("counted         ");
    json_object_foreach((json_t *)(uintptr_t)c, key, value)
    {
        if (json_is_integer(value))
            printf(" %s %lld", key, (long long)json_integer_value(value));
    }
    putchar('\n');
    print_counts("answers", json_object_get(c, "status"));
    print_counts("without answer", json_object_get(c, "errors"));
    print_texts("public keys", json_object_get(w, "public_keys"));
    puts("settings");
    json_object_foreach((json_t *)(uintptr_t)settings, key, value)
    {
        print_setting(key, value);
    }
}

static int run_info(struct cli *cli, void *given)
{
    json_t *answer;
    int r = cli_ask(cli, "webhook-info", about(cli), &answer);

    (void)given;
    return r == CLI_OK ? show(cli, answer, print_info) : r;
}

/* ---------------------------------------------------------------------------------- add --- */

static const struct cli_option add_options[] = {
    {"topic", 't', CLI_LIST, offsetof(struct webhook_options, topics), "FILTER",
     "messages that are delivered; may be repeated", NULL},
    {"set", 0, CLI_LIST, offsetof(struct webhook_options, settings), "KEY=VALUE",
     "a setting: window=8, retry=5s, format=cloudevents..; a list's may be repeated", NULL},
    {"header", 'H', CLI_LIST, offsetof(struct webhook_options, headers), "NAME: VALUE",
     "a header field of each request; may be repeated", NULL},
    {"allow", 0, CLI_LIST, offsetof(struct webhook_options, allow), "RANGE",
     "addresses that are not public, and may be called: 10.1.0.0/16; may be repeated", NULL},
    {"insecure", 0, CLI_FLAG, offsetof(struct webhook_options, insecure), NULL,
     "URL may be http://", NULL},
    {"secret-file", 0, CLI_TEXT, offsetof(struct webhook_options, secret_file), "FILE",
     "the secret is in FILE (-: on stdin); without, the broker makes one", NULL},
    {"no-secret", 0, CLI_FLAG, offsetof(struct webhook_options, no_secret), NULL,
     "requests are not signed", NULL},
    {"replace", 0, CLI_FLAG, offsetof(struct webhook_options, replace), NULL,
     "change the webhook that is there; what is not said stays", NULL},
    {"rotate", 0, CLI_FLAG, offsetof(struct webhook_options, rotate), NULL,
     "with --replace: a new secret; the old one signs, too, until the next", NULL},
    {NULL, 0, CLI_FLAG, 0, NULL, NULL, NULL},
};

static void put(json_t *settings, const char *key, const char *value)
{
    json_t *list = json_object_get(settings, key);

    if (!list) {
        list = json_array();
        json_object_set_new(settings, key, list);
    }
    json_array_append_new(list, json_string(value));
}

static void put_all(json_t *settings, const char *key, const struct cli_list *l)
{
    for (size_t i = 0; i < l->n; i++)
        put(settings, key, l->item[i]);
}

/* Secrets do not stand on a command line, where others can read them. */
static int read_secret(struct cli *cli, const char *file, json_t *settings)
{
    int fd = strcmp(file, "-") == 0 ? STDIN_FILENO : open(file, O_RDONLY | O_CLOEXEC);
    char text[SECRET_MAX];
    size_t n = 0;
    ssize_t got = 1;

    if (fd < 0)
        return cli_error(cli, "%s: %s", file, strerror(errno));
    while (got > 0 && n < sizeof text - 1) {
        got = read(fd, text + n, sizeof text - 1 - n);
        n += got > 0 ? (size_t)got : 0;
    }
    if (fd != STDIN_FILENO)
        close(fd);
    if (got < 0)
        return cli_error(cli, "%s: cannot be read", file);
    text[n] = '\0';
    text[strcspn(text, "\r\n")] = '\0';
    put(settings, "secret", text);
    explicit_bzero(text, sizeof text);
    return CLI_OK;
}

static int put_settings(struct cli *cli, const struct webhook_options *o, json_t *settings)
{
    for (size_t i = 0; i < o->settings.n; i++) {
        const char *text = o->settings.item[i], *equals = strchr(text, '=');
        char key[64];

        if (!equals || equals == text || (size_t)(equals - text) >= sizeof key)
            return cli_usage(cli, "--set wants KEY=VALUE, not \"%s\"", text);
        snprintf(key, sizeof key, "%.*s", (int)(equals - text), text);
        if (strncmp(key, "secret", 6) == 0 && equals[1])
            return cli_usage(cli, "secrets come by --secret-file, not on the command line");
        put(settings, key, equals + 1);
    }
    put_all(settings, "topic", &o->topics);
    put_all(settings, "headers", &o->headers);
    put_all(settings, "allow", &o->allow);
    if (o->insecure)
        put(settings, "insecure", "true");
    if (cli->args_n > 1)
        put(settings, "url", cli->args[1]);
    if (o->no_secret)
        put(settings, "secret", "");
    return o->secret_file ? read_secret(cli, o->secret_file, settings) : CLI_OK;
}

static int check_add(struct cli *cli, const struct webhook_options *o)
{
    if (cli->args_n < 2 && !o->replace)
        return cli_usage(cli, "wants NAME and URL");
    if (!o->topics.n && !o->replace)
        return cli_usage(cli, "wants a --topic");
    if ((o->secret_file != NULL) + o->no_secret + o->rotate > 1)
        return cli_usage(cli, "--secret-file, --no-secret and --rotate exclude each other");
    if (o->rotate && !o->replace)
        return cli_usage(cli, "--rotate goes with --replace");
    return CLI_OK;
}

static void print_added(const json_t *answer)
{
    if (*cli_json_text(answer, "secret"))
        puts(cli_json_text(answer, "secret"));
}

static int ask_add(struct cli *cli, const struct webhook_options *o)
{
    json_t *request, *answer, *settings;
    int r = check_add(cli, o);

    if (r != CLI_OK)
        return r;
    request = json_pack("{s:s, s:{}, s:b, s:b}", "webhook", cli->args[0], "settings", "replace",
                        (int)o->replace, "rotate", (int)o->rotate);
    settings = json_object_get(request, "settings");
    r = put_settings(cli, o, settings);
    if (r != CLI_OK) {
        json_decref(request);
        return r;
    }
    r = cli_ask(cli, "webhook-add", request, &answer);
    if (r != CLI_OK)
        return r;
    if (*cli_json_text(answer, "secret"))
        cli_note(cli, "its secret, shown this once:");
    return show(cli, answer, print_added);
}

static int run_add(struct cli *cli, void *given)
{
    struct webhook_options *o = given;
    int r = ask_add(cli, o);

    free(o->topics.item);
    free(o->settings.item);
    free(o->headers.item);
    free(o->allow.item);
    return r;
}

/* --------------------------------------------------------------------------------- test --- */

/* Each line of a text behind a mark. */
static void print_marked(const char *mark, const char *text)
{
    while (*text) {
        size_t n = strcspn(text, "\n");
        char *plain = cli_plain(text, n);

        if (plain)
            printf("%s%s\n", mark, plain);
        else
            printf("%s%.*s\n", mark, (int)n, text);
        free(plain);
        text += n + (text[n] == '\n');
    }
}

/* With its lines. */
static const char *text_of(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));

    return text ? text : "";
}

static void print_test(const json_t *answer)
{
    const json_t *request = json_object_get(answer, "request"), *line;
    char a[CLI_NUMBER_MAX];
    size_t i;

    printf("> %s %s\n", cli_json_text(request, "method"), cli_json_text(request, "url"));
    json_array_foreach(json_object_get(request, "headers"), i, line)
    {
        print_marked("> ", json_string_value(line));
    }
    puts(">");
    print_marked("> ", text_of(request, "body"));
    if (cli_json_number(answer, "status"))
        printf("< %llu", (unsigned long long)cli_json_number(answer, "status"));
    else
        printf("< no answer: %s", cli_json_text(answer, "outcome"));
    printf(", %s", cli_latency_text(cli_json_number(answer, "us") * 1000, a));
    if (*cli_json_text(answer, "address"))
        printf(", %s", cli_json_text(answer, "address"));
    if (*cli_json_text(answer, "error"))
        printf(": %s", cli_json_text(answer, "error"));
    putchar('\n');
    print_marked("< ", text_of(answer, "body"));
}

static int run_test(struct cli *cli, void *given)
{
    struct cli patient = *cli;
    json_t *answer;
    bool delivered;
    int r;

    (void)given;
    if (!patient.timeout_ms) /* the webhook's own time-out decides */
        patient.timeout_ms = TEST_TIMEOUT_MS;
    r = cli_ask(&patient, "webhook-test", about(cli), &answer);
    if (r != CLI_OK)
        return r;
    delivered = json_is_true(json_object_get(answer, "delivered"));
    show(cli, answer, print_test);
    return delivered ? CLI_OK : CLI_FAILED;
}

/* -------------------------------------------------------------- rm, enable, disable, replay --- */

static int ask_about(struct cli *cli, const char *command)
{
    json_t *answer;
    int r = cli_ask(cli, command, about(cli), &answer);

    return r == CLI_OK ? show(cli, answer, NULL) : r;
}

static void print_removed(const json_t *answer)
{
    uint64_t lost = cli_json_number(answer, "depth");

    printf("removed%s", lost ? "" : "\n");
    if (lost)
        printf(", with %llu messages\n", (unsigned long long)lost);
}

static int run_rm(struct cli *cli, void *given)
{
    json_t *answer;
    int r = cli_ask(cli, "webhook-rm", about(cli), &answer);

    (void)given;
    return r == CLI_OK ? show(cli, answer, print_removed) : r;
}

static int run_enable(struct cli *cli, void *given)
{
    (void)given;
    return ask_about(cli, "webhook-enable");
}

static int run_disable(struct cli *cli, void *given)
{
    (void)given;
    return ask_about(cli, "webhook-disable");
}

static const struct cli_option replay_options[] = {
    {"count", 'n', CLI_COUNT, offsetof(struct webhook_options, count), "COUNT",
     "only the first COUNT messages", NULL},
    {NULL, 0, CLI_FLAG, 0, NULL, NULL, NULL},
};

static void print_replayed(const json_t *answer)
{
    printf("%llu messages to be delivered again\n",
           (unsigned long long)cli_json_number(answer, "moved"));
}

static int run_replay(struct cli *cli, void *given)
{
    const struct webhook_options *o = given;
    json_t *request = about(cli), *answer;
    int r;

    if (o->count)
        json_object_set_new(request, "count", json_integer((json_int_t)o->count));
    r = cli_ask(cli, "webhook-replay", request, &answer);
    if (r != CLI_OK)
        return r;
    if (*cli_json_text(answer, "reason"))
        r = cli_error(cli, "its queue took no more: %s", cli_json_text(answer, "reason"));
    show(cli, answer, print_replayed);
    return r;
}

#define ONE_WEBHOOK                                                                                \
    .args = "NAME", .args_min = 1, .args_max = 1, .options_size = sizeof(struct webhook_options)

static const struct cli_command subs[] = {
    {.name = "ls",
     .summary = "List webhooks, and how each is doing",
     .options_size = sizeof(struct webhook_options),
     .run = run_ls},
    {.name = "add",
     .args = "NAME [URL]",
     .summary = "Have messages delivered to URL, or change how they are",
     .more = "  broker webhook add billing https://billing.example.com/events -t 'orders.#'\n"
             "  broker webhook add billing --replace --rotate\n"
             "It lasts until brokerd ends; in brokerd.conf it is there again at the next start.",
     .options = add_options,
     .args_min = 1,
     .args_max = 2,
     .options_size = sizeof(struct webhook_options),
     .run = run_add},
    {.name = "info",
     .summary = "Show a webhook's state, counters and settings",
     ONE_WEBHOOK,
     .run = run_info},
    {.name = "test",
     .summary = "Send a webhook one signed event, show request and answer",
     ONE_WEBHOOK,
     .run = run_test},
    {.name = "enable",
     .summary = "Call a webhook that was disabled",
     ONE_WEBHOOK,
     .run = run_enable},
    {.name = "disable",
     .summary = "Call a webhook no more; its queue collects",
     ONE_WEBHOOK,
     .run = run_disable},
    {.name = "replay",
     .summary = "Deliver again what was given up",
     .options = replay_options,
     ONE_WEBHOOK,
     .run = run_replay},
    {.name = "rm",
     .summary = "Remove a webhook, its queue and what waits there",
     ONE_WEBHOOK,
     .run = run_rm},
    {.name = NULL},
};

const struct cli_command cli_webhook = {
    .name = "webhook",
    .summary = "Look after messages delivered to HTTP endpoints",
    .subs = subs,
};
