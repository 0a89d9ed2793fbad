/* What happens: a line in the log at once, a message on `$SYS` at the end of the turn, with the
 * same facts.
 *
 * The core may not be called while it tells something, so events wait in a short list; what
 * finds no room there is counted, and the next one published says how many. */
#include "brokerd/admin/internal.h"

#include <stdio.h>
#include <stdlib.h>

enum { FACTS_MAX = 12 };

static const struct event_kind {
    const char *word;
    const char *text; /* for the log */
    enum log_level level;
} kinds[] = {
    [EVENT_SLOW_CONSUMER] = {"slow_consumer", "messages were lost: a consumer is too slow",
                             LEVEL_WARNING},
    [EVENT_SLOW_ENDED] = {"slow_consumer_ended", "a consumer keeps up again", LEVEL_NOTICE},
    [EVENT_DROPPED] = {"dropped", "messages were lost", LEVEL_WARNING},
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
    [EVENT_STORE] = {"store", "about a queue and what keeps it", LEVEL_WARNING},
};

/* -------------------------------------------------------------------------------------- queue */

static size_t text_bytes(const struct log_fact *facts)
{
    size_t n = 0;

    for (; facts->key; facts++)
        n += facts->text ? strlen(facts->text) + 1 : 0;
    return n;
}

static size_t count_facts(const struct log_fact *facts)
{
    size_t n = 0;

    while (facts[n].key)
        n++;
    return n;
}

struct event *event_make(const char *word, const struct log_fact *facts, const char *text)
{
    size_t n = count_facts(facts), text_n = strlen(text) + 1;
    struct event *e = malloc(sizeof *e + (n + 1) * sizeof e->facts[0] + text_bytes(facts) + text_n);
    char *at;

    if (!e)
        return NULL;
    *e = (struct event){.word = word};
    memcpy(e->facts, facts, (n + 1) * sizeof e->facts[0]);
    at = (char *)&e->facts[n + 1];
    for (size_t i = 0; i < n; i++) {
        size_t size = facts[i].text ? strlen(facts[i].text) + 1 : 0;

        if (size) {
            memcpy(at, facts[i].text, size);
            e->facts[i].text = at;
            at += size;
        }
    }
    memcpy(at, text, text_n);
    e->text = at;
    return e;
}

void events_add(struct desk *d, struct event *e)
{
    if (!e || d->events_n >= EVENTS_MAX) {
        free(e);
        d->events_lost++;
        return;
    }
    e->wall_ms = worker_wall(d->worker);
    list_push_back(&d->events, &e->link);
    d->events_n++;
}

/* --------------------------------------------------------------------------------- from a core */

/* Lost because somebody wanted it so. */
static bool was_asked_for(const struct core_event *ev)
{
    return ev->kind == EVENT_DROPPED &&
           (ev->reason == REASON_PURGED || ev->reason == REASON_DELETED ||
            ev->reason == REASON_DISCONNECTED);
}

static bool stuck_by_store(const struct core_event *ev)
{
    return ev->kind == EVENT_QUEUE_STUCK && ev->why && strcmp(ev->why, "store") == 0;
}

void admin_event(void *ctx, struct worker *w, const struct core_event *ev)
{
    struct admin *a = ctx;
    struct desk *d = &a->desk[worker_id(w)];
    const struct event_kind *kind = &kinds[ev->kind];
    uint64_t left_out = 0;
    const struct log_fact facts[FACTS_MAX] = {
        {"reason", ev->reason == REASON_NONE ? "" : reason_name(ev->reason), 0},
        {"count", NULL, ev->count},
        {"queue", ev->queue, 0},
        {"topic", ev->topic, 0},
        {"service", ev->service ? ev->service : "", 0},
        {"client", ev->client, 0},
        {"why", ev->why ? ev->why : "", 0},
        {"for_ms", NULL, (uint64_t)ev->for_ms},
        {"left_out", NULL, 0},
    };
    struct log_fact said[FACTS_MAX];

    if (!d->worker || was_asked_for(ev))
        return;
    if (log_enabled(kind->level) &&
        log_limit_pass(&d->limits[ev->kind], worker_now(d->worker), &left_out)) {
        memcpy(said, facts, sizeof said);
        said[count_facts(said) - 1].number = left_out;
        log_event(kind->level, kind->word, said, "%s",
                  stuck_by_store(ev) ? "a queue is stuck: its store takes nothing" : kind->text);
    }
    events_add(d, event_make(kind->word, facts, ""));
}

/* ---------------------------------------------------------------------------- from other rooms */

/* On its way to worker 0. */
struct telling {
    struct admin *admin;
    struct event *event;
};

static void arrive(void *arg, struct worker *w)
{
    struct telling *t = arg;
    struct desk *d = &t->admin->desk[worker_id(w)];

    events_add(d, t->event);
    free(t);
    (void)events_publish(d); /* now: the next that this worker is told may be to drain */
}

void admin_tell(struct admin *a, enum log_level level, const char *event,
                const struct log_fact *facts, const char *text)
{
    struct telling *t = malloc(sizeof *t);

    log_event(level, event, facts, "%s", text);
    if (!t)
        return;
    *t = (struct telling){a, event_make(event, facts, text)};
    if (t->event && workers_call(a->workers, 0, arrive, t) == 0)
        return;
    free(t->event);
    free(t);
}

void admin_notice(struct admin *a, struct worker *w, const struct admin_notice *n)
{
    const struct log_fact *facts = LOG_FACTS({"webhook", n->webhook, 0});
    struct desk *d = &a->desk[worker_id(w)];

    log_event(n->level, n->kind, facts, "%s%s%s", n->what, *n->text ? ": " : "", n->text);
    if (d->worker)
        events_add(d, event_make(n->kind, facts, n->text));
}

/* ------------------------------------------------------------------------------------ publish */

static bool is_of_sys(void *ctx, struct slice filter)
{
    if (slice_starts(filter, SLICE("$SYS")))
        *(bool *)ctx = true;
    return !*(bool *)ctx;
}

static const char *queue_of(const struct event *e)
{
    for (const struct log_fact *f = e->facts; f->key; f++)
        if (f->text && strcmp(f->key, "queue") == 0)
            return f->text;
    return "";
}

/* An event of a queue that events flow into would only feed it: the log is enough. */
static bool would_loop(const struct desk *d, const struct event *e)
{
    struct slice name = slice_str(queue_of(e));
    uint64_t id = name.n ? inspect_find_queue(d->core, name) : 0;
    bool sys = slice_starts(name, SLICE("$SYS"));

    if (id)
        inspect_bindings(d->core, id, is_of_sys, &sys);
    return sys;
}

static char *event_text(struct desk *d, const struct event *e)
{
    char time[TIME_TEXT_MAX];
    json_t *o = json_object();
    char *text;

    json_object_set_new(o, "time", json_string(time_text(e->wall_ms, time)));
    json_object_set_new(o, "event", json_string(e->word));
    for (const struct log_fact *f = e->facts; f->key; f++)
        if (!log_fact_is_empty(f))
            json_object_set_new(o, f->key, f->text ? json_text(f->text) : json_number(f->number));
    if (*e->text)
        json_object_set_new(o, "text", json_text(e->text));
    if (d->events_lost) /* before this one */
        json_object_set_new(o, "missed", json_number(d->events_lost));
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
    snprintf(topic, sizeof topic, "$SYS.%s", e->word);
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
