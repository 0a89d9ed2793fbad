/* What the core tells: a line in the log at once, a message on `$SYS` at the end of the turn.
 *
 * The core may not be called while it tells something, so events wait in a short list; what
 * finds no room there is counted, and the next one published says how many. */
#include "brokerd/admin/internal.h"

#include <stdio.h>
#include <stdlib.h>

static const struct event_kind {
    const char *word;
    const char *text; /* for the log */
    enum log_level level;
} kinds[] = {
    [EVENT_SLOW_CONSUMER] = {"slow_consumer", "messages were lost", LEVEL_WARNING},
    [EVENT_QUEUE_MADE] = {"queue_made", "queue made", LEVEL_INFO},
    [EVENT_QUEUE_GONE] = {"queue_gone", "queue deleted", LEVEL_INFO},
    [EVENT_QUEUE_STUCK] = {"queue_stuck", "a queue is stuck: its consumers take nothing",
                           LEVEL_WARNING},
    [EVENT_DEAD_LETTER] = {"dead_letter", "messages became dead letters", LEVEL_WARNING},
    [EVENT_REFUSED] = {"refused", "publishes were refused", LEVEL_WARNING},
    [EVENT_CALL_FAILED] = {"call_failed", "calls failed", LEVEL_WARNING},
    [EVENT_IDS_FORGOTTEN] = {"ids_forgotten",
                             "ids of messages were forgotten before dedup-window was over",
                             LEVEL_WARNING},
    [EVENT_CONNECTED] = {"connected", "client connected", LEVEL_DEBUG},
    [EVENT_DISCONNECTED] = {"disconnected", "client disconnected", LEVEL_DEBUG},
};

/* ---------------------------------------------------------------------------------------- log */

/* ` key "value"`, if there is one. */
static size_t add_fact(char *line, size_t size, size_t n, const char *key, const char *value)
{
    int more = *value ? snprintf(line + n, size - n, " %s \"%s\"", key, value) : 0;

    return n + (size_t)more < size ? n + (size_t)more : size - 1;
}

static void log_event(struct desk *d, const struct core_event *ev)
{
    const struct event_kind *kind = &kinds[ev->kind];
    char facts[3 * 300] = "";
    uint64_t more;
    size_t n;

    if (!log_enabled(kind->level) ||
        !log_limit_pass(&d->limits[ev->kind], worker_now(d->worker), &more))
        return;
    n = add_fact(facts, sizeof facts, 0, "queue", ev->queue);
    n = add_fact(facts, sizeof facts, n, "topic", ev->topic);
    n = add_fact(facts, sizeof facts, n, "service", ev->service ? ev->service : "");
    n = add_fact(facts, sizeof facts, n, "client", ev->client);
    if (ev->reason != REASON_NONE)
        n = add_fact(facts, sizeof facts, n, "reason", reason_name(ev->reason));
    if (ev->count)
        n += (size_t)snprintf(facts + n, sizeof facts - n, " count %llu",
                              (unsigned long long)ev->count);
    if (more && n < sizeof facts)
        snprintf(facts + n, sizeof facts - n, " (%llu more of the kind)", (unsigned long long)more);
    log_line(kind->level, "%s:%s", kind->text, facts);
}

/* -------------------------------------------------------------------------------------- queue */

static const char *keep(char **at, const char *text)
{
    char *copy = *at;
    size_t n = strlen(text) + 1;

    memcpy(copy, text, n);
    *at += n;
    return copy;
}

/* Have what `what` tells published, its texts copied; counted as lost without room. */
static void queue_event(struct desk *d, const struct event *what)
{
    const char *const texts[] = {what->queue,   what->topic,   what->client,
                                 what->service, what->webhook, what->text};
    size_t n = 0;
    struct event *e;
    char *at;

    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        n += strlen(texts[i]) + 1;
    e = d->events_n < EVENTS_MAX ? malloc(sizeof *e + n) : NULL;
    if (!e) {
        d->events_lost++;
        return;
    }
    at = e->bytes;
    *e = *what;
    e->link = (struct list_node){0};
    e->wall_ms = worker_wall(d->worker);
    e->queue = keep(&at, what->queue);
    e->topic = keep(&at, what->topic);
    e->client = keep(&at, what->client);
    e->service = keep(&at, what->service);
    e->webhook = keep(&at, what->webhook);
    e->text = keep(&at, what->text);
    list_push_back(&d->events, &e->link);
    d->events_n++;
}

/* Lost because somebody wanted it so. */
static bool was_asked_for(const struct core_event *ev)
{
    return ev->kind == EVENT_SLOW_CONSUMER &&
           (ev->reason == REASON_PURGED || ev->reason == REASON_DELETED ||
            ev->reason == REASON_DISCONNECTED);
}

void admin_event(void *ctx, struct worker *w, const struct core_event *ev)
{
    struct admin *a = ctx;
    struct desk *d = &a->desk[worker_id(w)];
    const struct event e = {.kind = kinds[ev->kind].word,
                            .reason = ev->reason,
                            .count = ev->count,
                            .queue = ev->queue,
                            .topic = ev->topic,
                            .client = ev->client,
                            .service = ev->service ? ev->service : "",
                            .webhook = "",
                            .text = ""};

    if (!d->worker || was_asked_for(ev))
        return;
    log_event(d, ev);
    queue_event(d, &e);
}

void admin_notice(struct admin *a, struct worker *w, const struct admin_notice *n)
{
    struct desk *d = &a->desk[worker_id(w)];
    const struct event e = {.kind = n->kind,
                            .queue = "",
                            .topic = "",
                            .client = "",
                            .service = "",
                            .webhook = n->webhook,
                            .text = n->text};

    log_line(n->level, "%s: webhook \"%s\"%s%s", n->what, n->webhook, *n->text ? ": " : "",
             n->text);
    if (d->worker)
        queue_event(d, &e);
}

/* ------------------------------------------------------------------------------------ publish */

static bool is_of_sys(void *ctx, struct slice filter)
{
    if (slice_starts(filter, SLICE("$SYS")))
        *(bool *)ctx = true;
    return !*(bool *)ctx;
}

/* An event of a queue that events flow into would only feed it: the log is enough. */
static bool would_loop(const struct desk *d, const struct event *e)
{
    struct slice name = slice_str(e->queue);
    uint64_t id = name.n ? inspect_find_queue(d->core, name) : 0;
    bool sys = slice_starts(name, SLICE("$SYS"));

    if (id)
        inspect_bindings(d->core, id, is_of_sys, &sys);
    return sys;
}

static void set_text(json_t *o, const char *key, const char *text)
{
    if (*text)
        json_object_set_new(o, key, json_text(text));
}

static char *event_text(struct desk *d, const struct event *e)
{
    char time[TIME_TEXT_MAX], missed[64];
    json_t *o = json_object();
    char *text;

    json_object_set_new(o, "time", json_string(time_text(e->wall_ms, time)));
    json_object_set_new(o, "event", json_string(e->kind));
    if (e->reason != REASON_NONE)
        json_object_set_new(o, "reason", json_string(reason_name(e->reason)));
    if (e->count)
        json_object_set_new(o, "count", json_number(e->count));
    set_text(o, "queue", e->queue);
    set_text(o, "topic", e->topic);
    set_text(o, "service", e->service);
    set_text(o, "client", e->client);
    set_text(o, "webhook", e->webhook);
    set_text(o, "text", e->text);
    if (d->events_lost) {
        snprintf(missed, sizeof missed, "%llu events before this one were not told",
                 (unsigned long long)d->events_lost);
        set_text(o, "text", missed);
    }
    text = json_dumps(o, JSON_COMPACT);
    json_decref(o);
    return text;
}

int desk_publish(struct desk *d, const char *topic, const char *text)
{
    struct msg_view v = {.data = (const uint8_t *)text, .len = (uint32_t)strlen(text)};
    struct run run = {.v = &v, .n = 1, .bytes = v.len, .type = {.id = CONTENT_JSON}};
    struct target to = {.name = slice_str(topic)};
    struct refusal why;

    return core_publish(d->publisher, &to, &run, &why);
}

static void publish(struct desk *d, const struct event *e)
{
    char *text = event_text(d, e), topic[64];

    if (!text) {
        d->events_lost++;
        return;
    }
    d->events_lost = 0;
    snprintf(topic, sizeof topic, "$SYS.%s", e->kind);
    if (desk_publish(d, topic, text) < 0)
        d->events_lost++; /* it drains: nobody is to listen any more */
    free(text);
}

bool events_publish(struct desk *d)
{
    const struct list_node *last = list_last(&d->events);
    bool any = false;
    struct list_node *n;

    while (last && (n = list_pop(&d->events)) != NULL) {
        struct event *e = LIST_ITEM(n, struct event, link);
        bool was_last = n == last;

        d->events_n--;
        if (!would_loop(d, e)) {
            publish(d, e);
            any = true;
        }
        free(e);
        if (was_last) /* those that publishing has caused wait their turn */
            break;
    }
    return any;
}

void events_free(struct desk *d)
{
    struct list_node *n;

    while ((n = list_pop(&d->events)) != NULL)
        free(LIST_ITEM(n, struct event, link));
    d->events_n = 0;
}
