/* cmd_trace.c - where messages to a topic go, and what becomes of those that pass.
 *
 * A subscription of our own hears of messages as they are published, with their ids; `admin/trace`
 * then tells where each is, again and again until no queue has it any more. What happens between
 * two looks is not seen: a message that has left a queue without loss was delivered, and who had it
 * is said where there is only one who can. */
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "libbroker/cli/format.h"
#include "libbroker/cli/json.h"
#include "libbroker/cli/link.h"
#include "libbroker/cli/match.h"
#include "libbroker/cli/text.h"

enum { LOOK_MS = 20, LOOK_MAX_MS = 500, FOLLOWED_MAX = 64, CLOSE_MS = 2000 };

struct trace_options {
    uint64_t count;
    const char *publish;
    struct cli_list headers;
};

static const struct cli_option options[] = {
    {"count", 'n', CLI_COUNT, offsetof(struct trace_options, count), "COUNT",
     "follow COUNT messages that pass", NULL},
    {"publish", 'p', CLI_TEXT, offsetof(struct trace_options, publish), "DATA",
     "publish DATA, with a traceparent, and follow that", NULL},
    {"header", 'H', CLI_LIST, offsetof(struct trace_options, headers), "KEY:VALUE",
     "a header of what is published; may be repeated", NULL},
    {NULL, 0, CLI_FLAG, 0, NULL, NULL, NULL},
};

/* A message on its way. */
struct followed {
    char id[32], time[48], traceparent[64];
    int64_t since_ns;
    json_t *seen; /* by queue's id: { name, state, consumer, .. } as last seen */
    bool over;
};

struct trace {
    struct cli own; /* with a name, so that our own subscription is known */
    const struct cli *cli;
    const struct trace_options *o;
    const char *topic;
    struct cli_link link;
    broker_subscription *sub;
    json_t *before; /* the first look: what queues had lost by then */
    struct followed followed[FOLLOWED_MAX];
    size_t n;
    uint64_t wanted; /* 0: all that come in time */
    int64_t end_ns;  /* 0: none */
    char name[32], traceparent[56];
};

/* --------------------------------------------------------------------- who would get it --- */

static bool is_ours(const struct trace *t, const json_t *queue)
{
    return strcmp(cli_json_text(queue, "client"), t->own.name) == 0;
}

static const char *credit_text(const json_t *k, char *buf)
{
    const json_t *credit = json_object_get(k, "credit");

    if (!json_is_integer(credit))
        return "unlimited";
    return cli_count_text((uint64_t)json_integer_value(credit), buf);
}

/* Those that only we listen to are none. */
static size_t print_route(const struct trace *t, const json_t *answer)
{
    struct cli_table *table =
        cli_table_new("queue|binding|>depth|consumer|>credit|>unacked|stalled");
    const json_t *q, *k;
    size_t i, c, n = 0;

    json_array_foreach(json_object_get(answer, "queues"), i, q)
    {
        const json_t *list = json_object_get(q, "consumer_list");
        char name[320], text[CLI_NUMBER_MAX];

        if (is_ours(t, q))
            continue;
        n++;
        for (c = 0; c == 0 || c < json_array_size(list); c++) {
            k = json_array_get(list, c);
            cli_table_add(table, "%s", c ? "" : cli_json_queue_name(q, name, sizeof name));
            cli_table_add(table, "%s", c ? "" : cli_json_text(q, "filter"));
            cli_table_add(table, "%s", c ? "" : cli_count_text(cli_json_number(q, "depth"), text));
            cli_table_add(table, "%s", k ? cli_json_text(k, "client") : "none");
            cli_table_add(table, "%s", k ? credit_text(k, text) : "");
            cli_table_add(table, "%s",
                          k ? cli_count_text(cli_json_number(k, "unacked"), text) : "");
            cli_table_add(table, "%s", k ? cli_json_text(k, "stalled_by") : "");
        }
    }
    if (n)
        cli_table_print(table, stdout);
    else
        cli_note(t->cli, "a message to \"%s\" reaches no queue", t->topic);
    return n;
}

static int look(struct trace *t, const char *id, json_t **ret)
{
    json_t *request = json_pack("{s:s}", "topic", t->topic);

    if (id)
        json_object_set_new(request, "id", json_string(id));
    return cli_link_ask(&t->link, "trace", request, ret);
}

/* ------------------------------------------------------------------------ what came of it --- */

static const json_t *queue_by_id(const json_t *answer, const char *id)
{
    const json_t *q;
    size_t i;

    json_array_foreach(json_object_get(answer, "queues"), i, q)
    {
        if (strcmp(cli_json_text(q, "id"), id) == 0)
            return q;
    }
    return NULL;
}

static uint64_t lost_of(const json_t *queue)
{
    const json_t *lost = json_object_get(json_object_get(queue, "counters"), "lost"), *n;
    const char *reason;
    uint64_t sum = 0;

    json_object_foreach((json_t *)(uintptr_t)lost, reason, n)
    {
        sum += (uint64_t)json_integer_value(n);
    }
    return sum;
}

static const char *client_of(const json_t *queue, const char *consumer)
{
    const json_t *k;
    size_t i;

    json_array_foreach(json_object_get(queue, "consumer_list"), i, k)
    {
        if (strcmp(cli_json_text(k, "id"), consumer) == 0)
            return cli_json_text(k, "client");
    }
    return "?";
}

/* What is to be said of a message that the queue has no more. */
static void tell_gone(const struct trace *t, const json_t *q, json_t *now, const json_t *last)
{
    const json_t *list = json_object_get(q, "consumer_list");
    const char *had = cli_json_text(last, "consumer");
    const json_t *first = queue_by_id(t->before, cli_json_text(q, "id"));

    if (*had) {
        json_object_set_new(now, "state", json_string("settled"));
        json_object_set_new(now, "consumer", json_string(had));
    } else if (lost_of(q) > lost_of(first)) {
        json_object_set_new(now, "state", json_string("delivered-or-lost"));
    } else if (json_array_size(list) == 1) {
        json_object_set_new(now, "state", json_string("delivered"));
        json_object_set_new(now, "consumer",
                            json_string(cli_json_text(json_array_get(list, 0), "client")));
    } else {
        json_object_set_new(now, "state", json_string("delivered"));
    }
}

static json_t *status_of(const struct trace *t, const json_t *q, const json_t *last)
{
    const json_t *message = json_object_get(q, "message");
    const char *state = cli_json_text(message, "state"), *had = cli_json_text(message, "consumer");
    char name[320];
    json_t *now = json_pack("{s:s, s:s}", "queue", cli_json_queue_name(q, name, sizeof name), "id",
                            cli_json_text(q, "id"));

    if (strcmp(state, "gone") == 0) {
        tell_gone(t, q, now, last);
        return now;
    }
    json_object_set_new(now, "state", json_string(state));
    if (*had)
        json_object_set_new(now, "consumer", json_string(client_of(q, had)));
    if (json_object_get(message, "ahead"))
        json_object_set(now, "ahead", json_object_get(message, "ahead"));
    if (cli_json_number(message, "attempt"))
        json_object_set(now, "attempt", json_object_get(message, "attempt"));
    return now;
}

/* Whether nothing more will come of it, as far as can be seen. */
static bool is_over(const json_t *status)
{
    const char *state = cli_json_text(status, "state");

    return strcmp(state, "settled") == 0 || strncmp(state, "delivered", 9) == 0 ||
           strcmp(state, "unknown") == 0;
}

static void print_status(const json_t *s)
{
    const char *state = cli_json_text(s, "state"), *consumer = cli_json_text(s, "consumer");
    uint64_t attempt = cli_json_number(s, "attempt"), ahead = cli_json_number(s, "ahead");
    char time[CLI_NUMBER_MAX];

    printf("  +%-8s %s: ", cli_time_text(cli_json_number(s, "at_ms"), time),
           cli_json_text(s, "queue"));
    if (strcmp(state, "unacked") == 0)
        printf("delivered to %s, not yet acknowledged", consumer);
    else if (strcmp(state, "settled") == 0)
        printf("settled by %s", consumer);
    else if (strcmp(state, "delivered") == 0)
        printf("delivered%s%s", *consumer ? " to " : " to one of its consumers", consumer);
    else if (strcmp(state, "delivered-or-lost") == 0)
        printf("gone: delivered, or among those that it lost meanwhile");
    else if (strcmp(state, "unknown") == 0)
        printf("not among the messages looked at: there are too many");
    else if (strcmp(state, "delayed") == 0)
        printf("given back, to be delivered later");
    else
        printf("%s, %llu before it", strcmp(state, "held") == 0 ? "held in front of it" : "waits",
               (unsigned long long)ahead);
    if (attempt > 1)
        printf(" (attempt %llu)", (unsigned long long)attempt);
    putchar('\n');
}

static uint64_t age_ms(const struct followed *f)
{
    return (uint64_t)(cli_now_ns() - f->since_ns) / 1000000;
}

/* When that was first seen; true if it was now. */
static bool note_time(const struct followed *f, json_t *now, const json_t *last)
{
    json_t *at = json_object_get(last, "at_ms");

    if (at)
        json_object_set(now, "at_ms", at);
    if (json_object_get(last, "delivered_ms"))
        json_object_set(now, "delivered_ms", json_object_get(last, "delivered_ms"));
    if (json_equal(now, last))
        return false;
    if (strcmp(cli_json_text(last, "state"), "unacked") == 0)
        json_object_set(now, "delivered_ms", at);
    json_object_set_new(now, "at_ms", json_integer((json_int_t)age_ms(f)));
    return true;
}

/* What has changed since the last look, and whether it goes on. */
static bool compare(struct trace *t, struct followed *f, const json_t *answer)
{
    bool goes_on = false;
    const json_t *q;
    size_t i;

    json_array_foreach(json_object_get(answer, "queues"), i, q)
    {
        const json_t *last = json_object_get(f->seen, cli_json_text(q, "id"));
        json_t *now;
        bool is_new;

        if (is_ours(t, q) || (last && is_over(last)))
            continue;
        now = status_of(t, q, last);
        is_new = note_time(f, now, last);
        if (is_new && !t->cli->json)
            print_status(now);
        goes_on |= !is_over(now);
        json_object_set_new(f->seen, cli_json_text(q, "id"), now);
    }
    return goes_on;
}

/* Why it waits, for each queue that still has it. */
static int tell_why(struct trace *t, struct followed *f)
{
    const char *id;
    json_t *s, *why, *link;
    size_t i;

    json_object_foreach(f->seen, id, s)
    {
        int r;

        if (is_over(s))
            continue;
        r = cli_link_ask(&t->link, "why", json_pack("{s:s}", "what", id), &why);
        if (r != CLI_OK)
            return r;
        json_object_set(s, "why", json_object_get(why, "chain"));
        json_array_foreach(json_object_get(why, "chain"), i, link)
        {
            if (!t->cli->json)
                printf("    %s %s\n",
                       i + 1 == json_array_size(json_object_get(why, "chain")) ? "=>" : "  ",
                       cli_json_text(link, "text"));
        }
        json_decref(why);
    }
    return CLI_OK;
}

static void print_json(const struct trace *t, const struct followed *f)
{
    json_t *o = json_pack("{s:s, s:s, s:s}", "topic", t->topic, "id", f->id, "time", f->time);
    json_t *list = json_array(), *s;
    const char *id;

    if (*f->traceparent)
        json_object_set_new(o, "traceparent", json_string(f->traceparent));
    json_object_foreach(f->seen, id, s)
    {
        json_array_append(list, s);
    }
    json_object_set_new(o, "queues", list);
    cli_print_json(o);
    json_decref(o);
    fflush(stdout);
}

/* ---------------------------------------------------------------------------- following --- */

static void copy_header(const broker_message *m, const char *name, char *to, size_t size)
{
    const char *value = broker_message_header(m, name, NULL);

    snprintf(to, size, "%s", value ? value : "");
}

static void on_message(broker_subscription *sub, broker_message *m, void *user)
{
    struct trace *t = user;
    struct followed *f = &t->followed[t->n];
    const char *parent = broker_message_header(m, "traceparent", NULL);

    (void)sub;
    if (t->n == FOLLOWED_MAX || (t->wanted && t->n >= t->wanted))
        return;
    if (t->o->publish && (!parent || strcmp(parent, t->traceparent) != 0))
        return; /* somebody else's */
    *f = (struct followed){.since_ns = cli_now_ns(), .seen = json_object()};
    copy_header(m, "$id", f->id, sizeof f->id);
    copy_header(m, "$time", f->time, sizeof f->time);
    copy_header(m, "traceparent", f->traceparent, sizeof f->traceparent);
    t->n++;
    if (!t->cli->json)
        printf("%s  id %s%s%s\n", f->time, f->id, *f->traceparent ? "  traceparent " : "",
               f->traceparent);
}

static int subscribe(struct trace *t)
{
    static const struct broker_header facts = {"facts", "1"};
    const struct broker_subscribe_options so = {.credit = FOLLOWED_MAX,
                                                .settings = &facts,
                                                .setting_count = 1,
                                                .on_message = on_message,
                                                .user = t};
    int r = broker_subscribe(t->link.b, &t->topic, 1, &so, &t->sub);

    if (r < 0)
        return cli_link_fail(&t->link, "cannot subscribe", r, NULL);
    return cli_link_ask(&t->link, "ping", NULL, NULL);
}

/* What W3C calls version 00: a trace and a span of our own, sampled. */
static void make_traceparent(char to[56])
{
    uint8_t random[24];
    char *p = to + sprintf(to, "00-");

    if (getrandom(random, sizeof random, 0) != (ssize_t)sizeof random)
        memset(random, 1, sizeof random);
    for (size_t i = 0; i < sizeof random; i++)
        p += sprintf(p, i == 16 ? "-%02x" : "%02x", random[i]);
    sprintf(p, "-01");
}

static int publish(struct trace *t)
{
    struct broker_header *h = calloc(t->o->headers.n + 1, sizeof *h);
    struct broker_publish_options po = {.headers = h, .header_count = t->o->headers.n};
    bool given = false;
    int r;

    if (!h)
        return cli_error(t->cli, "out of memory");
    r = cli_parse_headers(&t->own, &t->o->headers, h);
    if (r == CLI_OK) {
        make_traceparent(t->traceparent);
        for (size_t i = 0; i < t->o->headers.n; i++)
            if (strcmp(h[i].name, "traceparent") == 0) {
                snprintf(t->traceparent, sizeof t->traceparent, "%s", h[i].value);
                given = true;
            }
        if (!given)
            h[po.header_count++] = (struct broker_header){"traceparent", t->traceparent};
        r = broker_publish(t->link.b, t->topic, t->o->publish, strlen(t->o->publish), &po);
        if (r < 0)
            r = cli_link_fail(&t->link, "cannot publish", r, NULL);
    }
    free(h);
    return r;
}

/* Look at each that is on its way. */
static int look_at_all(struct trace *t, bool *goes_on)
{
    *goes_on = false;
    for (size_t i = 0; i < t->n; i++) {
        struct followed *f = &t->followed[i];
        json_t *answer;
        int r;

        if (f->over)
            continue;
        r = look(t, f->id, &answer);
        if (r != CLI_OK)
            return r;
        f->over = !compare(t, f, answer);
        json_decref(answer);
        if (f->over && t->cli->json)
            print_json(t, f);
        *goes_on |= !f->over;
    }
    fflush(stdout);
    return CLI_OK;
}

/* Time is up: what still waits, and why. */
static int tell_waiting(struct trace *t)
{
    int r = CLI_OK;

    for (size_t i = 0; i < t->n && r == CLI_OK; i++) {
        struct followed *f = &t->followed[i];

        if (f->over)
            continue;
        if (!t->cli->json)
            printf("%s still waits:\n", f->id);
        r = tell_why(t, f);
        if (t->cli->json && r == CLI_OK)
            print_json(t, f);
    }
    return r;
}

static int follow(struct trace *t)
{
    int64_t rest_ms = LOOK_MS, left_ms;
    bool goes_on;

    for (;;) {
        size_t before = t->n;
        int r = look_at_all(t, &goes_on);

        if (r != CLI_OK)
            return r;
        if (!goes_on && t->wanted && t->n >= t->wanted)
            return CLI_OK;
        left_ms = (t->end_ns - cli_now_ns()) / 1000000;
        if (left_ms <= 0 || cli_interrupted(t->cli)) {
            r = tell_waiting(t);
            if (t->n < t->wanted)
                cli_note(t->cli, "%zu of %zu messages to \"%s\" passed in time", t->n,
                         (size_t)t->wanted, t->topic);
            else if (t->n == 0)
                cli_note(t->cli, "no message to \"%s\" passed in time", t->topic);
            return r != CLI_OK ? r : goes_on || t->n < t->wanted ? CLI_TIMED_OUT : CLI_OK;
        }
        r = cli_link_wait(&t->link, (int)(rest_ms < left_ms ? rest_ms : left_ms), NULL);
        if (r != CLI_OK)
            return r;
        rest_ms = t->n > before ? LOOK_MS : rest_ms * 2 > LOOK_MAX_MS ? LOOK_MAX_MS : rest_ms * 2;
    }
}

/* ------------------------------------------------------------------------------ running --- */

static int trace(struct trace *t)
{
    bool follows = t->o->count || t->o->publish || t->cli->timeout_ms;
    int r = look(t, NULL, &t->before);

    if (r != CLI_OK)
        return r;
    if (t->cli->json && !follows)
        return cli_print_json(t->before);
    if (!t->cli->json && print_route(t, t->before) == 0 && !follows)
        return CLI_FAILED;
    if (!follows)
        return CLI_OK;
    fflush(stdout);
    t->wanted = t->o->publish ? 1 : t->o->count;
    t->end_ns = cli_now_ns() + (int64_t)(t->cli->timeout_ms ? t->cli->timeout_ms : 10000) * 1000000;
    r = subscribe(t);
    if (r == CLI_OK && t->o->publish)
        r = publish(t);
    return r == CLI_OK ? follow(t) : r;
}

static int run(struct cli *cli, void *given)
{
    const char *error = cli_topic_error(cli->args[0]);
    struct trace *t;
    int r;

    if (error)
        return cli_usage(cli, "topic \"%s\" %s", cli->args[0], error);
    t = calloc(1, sizeof *t);
    if (!t)
        return cli_error(cli, "out of memory");
    t->cli = cli;
    t->own = *cli;
    t->o = given;
    t->topic = cli->args[0];
    snprintf(t->name, sizeof t->name, "trace-%ld", (long)getpid());
    if (!t->own.name)
        t->own.name = t->name;
    r = cli_link_open(&t->link, &t->own, NULL);
    if (r == CLI_OK) {
        r = trace(t);
        cli_link_close(&t->link, CLOSE_MS);
    }
    for (size_t i = 0; i < t->n; i++)
        json_decref(t->followed[i].seen);
    json_decref(t->before);
    free(t);
    return r;
}

const struct cli_command cli_trace = {
    .name = "trace",
    .args = "TOPIC",
    .summary = "Show who would get a message to TOPIC, and what becomes of those that pass",
    .more =
        "Without -n, --publish and --timeout: only who would get it. With them messages are\n"
        "followed until every queue is done with them, or --timeout (10s) is over: then it says\n"
        "where each still waits, and why (exit 5). It listens to TOPIC meanwhile, which counts\n"
        "as one more subscription. What happens between two looks is not seen.",
    .options = options,
    .options_size = sizeof(struct trace_options),
    .args_min = 1,
    .args_max = 1,
    .run = run,
};
