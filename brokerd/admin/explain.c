/* From what was gathered to sentences: who waits, in front of which queue, for which consumer. */
#include "brokerd/admin/why.h"

#include <stdio.h>

enum { NAMED_MAX = 5 /* publishers named in a chain */ };

#define ULL(n) ((unsigned long long)(n))

static void link_on(json_t *chain, const char *kind, const char *name, const char *text,
                    int64_t since_ms)
{
    json_t *o = json_object();

    json_object_set_new(o, "kind", json_string(kind));
    json_object_set_new(o, "name", json_text(name));
    json_object_set_new(o, "text", json_text(text));
    if (since_ms >= 0)
        json_object_set_new(o, "since_ms", json_integer(since_ms));
    json_array_append_new(chain, o);
}

/* --------------------------------------------------------------------------------- publishers */

static void say_publisher(json_t *chain, const struct why_publisher *p)
{
    char text[3 * WHY_NAME];
    const char *where = p->to_queue ? "queue" : "topic";

    if (p->starved)
        snprintf(text, sizeof text,
                 "publisher \"%s\" gets little credit: the memory budget is used up", p->client);
    else
        snprintf(text, sizeof text, "publisher \"%s\" waits on %s \"%s\": %llu messages unsettled",
                 p->client, where, p->to, ULL(p->open));
    link_on(chain, "publisher", p->client, text, p->waiting_ms);
}

/* Those that have to do with `by`, the first few by name. True: some are starved. */
static bool say_publishers(const struct why *w, unsigned by, json_t *chain)
{
    bool starved = false;
    char text[64];
    size_t n = 0;

    for (size_t i = 0; i < w->publishers_n; i++) {
        const struct why_publisher *p = &w->publishers[i];

        if (!(p->by & by) || !p->client[0])
            continue;
        if (n++ < NAMED_MAX)
            say_publisher(chain, p);
        starved |= p->starved;
    }
    if (n > NAMED_MAX) {
        snprintf(text, sizeof text, "%zu more publishers wait", n - NAMED_MAX);
        link_on(chain, "publisher", "", text, -1);
    }
    return starved;
}

/* ------------------------------------------------------------------------------------- queues */

static uint64_t ready(const struct why_queue *q)
{
    return q->q.depth - q->q.delayed;
}

/* What is put is on its way for a moment; only longer than that it waits. */
enum { STORE_SLOW_MS = 1000 };

static bool waits_for_store(const struct why_queue *q)
{
    return q->q.store && (q->q.store_refuses != REASON_NONE || q->q.unstored_ms >= STORE_SLOW_MS ||
                          q->store_is_down);
}

/* How badly it holds up others; 0: it does not. */
static int trouble(const struct why_queue *q)
{
    if (waits_for_store(q))
        return 5;
    if (q->q.letters_stop)
        return 5;
    if (q->q.held)
        return 4;
    if (q->q.stuck)
        return 3;
    if (q->q.full_ms >= 0)
        return 2;
    return ready(q) && !q->q.hungry;
}

static const struct why_queue *worst(const struct why *w, unsigned by)
{
    const struct why_queue *best = NULL;

    for (size_t i = 0; i < w->queues_n; i++) {
        const struct why_queue *q = &w->queues[i];

        if (!(q->by & by))
            continue;
        if (!best || trouble(q) > trouble(best) ||
            (trouble(q) == trouble(best) && q->q.oldest_ms > best->q.oldest_ms))
            best = q;
    }
    return best;
}

/* Other brokers have of it, too: what is not here may be there. */
static bool is_shared(const struct why *w, const struct why_queue *q)
{
    return q->q.store && json_object_get(json_object_get(w->stores, q->q.store), "node");
}

static void say_queue(const struct why *w, json_t *chain, const struct why_queue *q)
{
    const char *what = q->q.name ? "queue" : "subscription to";
    char text[3 * WHY_NAME];
    int n = snprintf(text, sizeof text, "%s \"%s\"", what, q->name);
    bool by_consumers = trouble(q) && !waits_for_store(q) && !q->q.letters_stop;
    int64_t since = -1;

    if (q->q.full_ms >= 0) {
        bool by_bytes = q->q.depth < q->max_messages && q->q.bytes > q->max_bytes / 2;

        since = q->q.full_ms;
        n += snprintf(text + n, sizeof text - (size_t)n, " is full: %llu of %llu %s, overflow %s",
                      ULL(by_bytes ? q->q.bytes : q->q.depth),
                      ULL(by_bytes ? q->max_bytes : q->max_messages),
                      by_bytes ? "bytes" : "messages", q->overflow);
    } else if (q->q.depth) {
        since = q->q.oldest_ms;
        n += snprintf(text + n, sizeof text - (size_t)n, ": %llu messages wait", ULL(q->q.depth));
    } else {
        n += snprintf(text + n, sizeof text - (size_t)n, "%s",
                      is_shared(w, q) ? ": nothing of it is here (queue info: of all brokers)"
                                      : " is empty");
    }
    if (q->q.held)
        n += snprintf(text + n, sizeof text - (size_t)n, ", %llu messages held in front of it",
                      ULL(q->q.held));
    if (q->q.delayed)
        n += snprintf(text + n, sizeof text - (size_t)n, ", %llu of them delayed",
                      ULL(q->q.delayed));
    if (q->q.unacked)
        n +=
            snprintf(text + n, sizeof text - (size_t)n, ", %llu unacknowledged", ULL(q->q.unacked));
    if (q->q.stuck)
        n += snprintf(text + n, sizeof text - (size_t)n, "; a hold has ended and nothing left it");
    if (by_consumers && !q->q.consumers)
        snprintf(text + n, sizeof text - (size_t)n, "; it has no consumer");
    else if (by_consumers && q->q.hungry) /* they take what they get, but more comes */
        snprintf(text + n, sizeof text - (size_t)n, "; its %u consumers take less than comes in",
                 q->q.consumers);
    link_on(chain, "queue", q->name, text, since);
}

/* The consumer of `q` that has taken nothing for longest. */
static const struct why_tap *slowest(const struct why *w, const struct why_queue *q)
{
    const struct why_tap *best = NULL;

    for (size_t i = 0; i < w->taps_n; i++) {
        const struct why_tap *t = &w->taps[i];

        if (&w->queues[t->queue] == q && t->t.stalled_ms >= 0 &&
            (!best || t->t.stalled_ms > best->t.stalled_ms))
            best = t;
    }
    return best;
}

static const char *say_consumer(json_t *chain, const struct why_queue *q, const struct why_tap *t)
{
    const char *client = t->client[0] ? t->client : "(gone)";
    char text[3 * WHY_NAME], reason[96] = "it has not answered for what was sent to it";

    if (t->t.inflight_full)
        snprintf(reason, sizeof reason, "it may have no more than its %llu unacknowledged",
                 ULL(t->t.unacked));
    else if (t->found && !t->has_room)
        snprintf(reason, sizeof reason, "its connection does not take what is written to it");
    else if (t->found && t->credit == 0)
        snprintf(reason, sizeof reason, "credit 0, %llu unacknowledged", ULL(t->t.unacked));
    snprintf(text, sizeof text, "\"%s\" waits for consumer \"%s\": %s", q->name, client, reason);
    link_on(chain, "consumer", client, text, t->t.stalled_ms);
    return json_string_value(
        json_object_get(json_array_get(chain, json_array_size(chain) - 1), "name"));
}

/* What it says of itself. */
static void say_state(const json_t *store, const char *name, char *text, size_t size)
{
    const char *state = json_string_value(json_object_get(store, "state"));
    const char *more = json_string_value(json_object_get(store, "text"));

    snprintf(text, size, "store: \"%s\" is %s%s%.200s", name, state ? state : "out of order",
             more ? ": " : "", more ? more : "");
}

static const char *say_store(const struct why *w, json_t *chain, const struct why_queue *q)
{
    const json_t *store = json_object_get(w->stores, q->q.store);
    json_int_t since = json_integer_value(json_object_get(store, "since_ms"));
    char text[3 * WHY_NAME];

    if (q->q.unopened_ms >= 0)
        snprintf(text, sizeof text, "store: \"%s\" has not opened \"%s\" for %lld ms: %s",
                 q->q.store, q->name, (long long)q->q.unopened_ms,
                 q->store_text[0] ? q->store_text : "it does not answer");
    else if (q->q.store_refuses == REASON_FULL)
        snprintf(text, sizeof text,
                 "store: \"%s\" is full and takes no messages until others have "
                 "been acknowledged",
                 q->q.store);
    else if (q->q.unstored_ms >= STORE_SLOW_MS)
        snprintf(text, sizeof text,
                 "store: \"%s\" has not answered for %lld ms: %llu messages of \"%s\" wait to be "
                 "stored",
                 q->q.store, (long long)q->q.unstored_ms, ULL(q->q.unstored), q->name);
    else if (q->store_is_down)
        say_state(store, q->q.store, text, sizeof text);
    else
        snprintf(text, sizeof text, "store: \"%s\" takes no messages: it is out of order",
                 q->q.store);
    link_on(chain, "store", q->q.store, text, since ? since : q->q.unstored_ms);
    return q->q.store;
}

/* It works, but what it keeps is not safe. */
static void say_evicts(const struct why *w, const struct why_queue *q, json_t *chain)
{
    const json_t *store = q->q.store ? json_object_get(w->stores, q->q.store) : NULL;
    const char *policy = json_string_value(json_object_get(store, "evicts"));
    char text[3 * WHY_NAME];

    if (!policy)
        return;
    snprintf(text, sizeof text,
             "store: \"%s\" may lose what it keeps: its maxmemory-policy is %.32s, durable queues "
             "need noeviction",
             q->q.store, policy);
    link_on(chain, "store", q->q.store, text, 0);
}

/* Dead letters that nobody takes now: what died stays, and with too many of them all the rest. */
static void say_letters(json_t *chain, const struct why_queue *q)
{
    const char *why = q->q.letters_why == REASON_FULL    ? "the store there is full"
                      : q->q.letters_why == REASON_STORE ? "the store there takes nothing"
                                                         : "there is no memory for them";
    char text[3 * WHY_NAME];
    int n;

    if (q->q.letters)
        n = snprintf(
            text, sizeof text,
            "dead letters: %llu of \"%s\" wait for \"%s\", as %s; they are sent again each "
            "second",
            ULL(q->q.letters), q->name, q->dead_letter, why);
    else
        n = snprintf(text, sizeof text, "dead letters: those of \"%s\" are on their way to \"%s\"",
                     q->name, q->dead_letter);
    if (q->q.letters_stop)
        snprintf(text + n, sizeof text - (size_t)n,
                 "; with so many of them the queue reads no more from its store");
    link_on(chain, "dead-letter", q->dead_letter, text, q->q.letters_ms);
}

/* The queue and whom it waits for. Returns the name of the bottleneck, or NULL. */
static const char *say_queue_and_consumer(const struct why *w, const struct why_queue *q,
                                          json_t *chain)
{
    const struct why_tap *t = q->q.hungry ? NULL : slowest(w, q);

    say_queue(w, chain, q);
    say_evicts(w, q, chain);
    if (q->q.letters || q->q.letters_stop)
        say_letters(chain, q);
    if (!trouble(q))
        return NULL;
    if (waits_for_store(q))
        return say_store(w, chain, q);
    if (q->q.letters_stop)
        return q->dead_letter;
    return t ? say_consumer(chain, q, t) : q->name;
}

/* ------------------------------------------------------------------------------------- answers */

static const char *say_starved(const struct why *w, json_t *chain)
{
    char text[128];

    snprintf(text, sizeof text, "the memory budget is used up: %lld of %llu bytes are left",
             (long long)w->memory_left, ULL(w->memory));
    link_on(chain, "memory", "memory", text, -1);
    return "memory";
}

static void say_topic(const struct why *w, json_t *chain)
{
    char text[2 * WHY_NAME];
    size_t n = 0;

    for (size_t i = 0; i < w->queues_n; i++)
        n += (w->queues[i].by & BY_TOPIC) != 0;
    if (n == WHY_QUEUES)
        snprintf(text, sizeof text, "a message to \"%.240s\" reaches %zu queues and more", w->what,
                 n);
    else
        snprintf(text, sizeof text, "a message to \"%.240s\" reaches %zu queue%s", w->what, n,
                 n == 1 ? "" : "s");
    link_on(chain, "topic", w->what, text, -1);
}

static void say_client(const struct why *w, json_t *chain)
{
    char text[2 * WHY_NAME], id[ID_TEXT_MAX];

    snprintf(text, sizeof text, "client \"%s\" (%s, %s) on worker %u", w->client, w->door,
             id_text('c', w->own_id, id), inspect_home(w->own_id));
    link_on(chain, "client", w->client, text, -1);
}

/* Returns the service's name if calls wait for somebody to serve it. */
static const char *say_service(const struct why *w, json_t *chain)
{
    const struct why_service *s = &w->service;
    char text[3 * WHY_NAME];
    int n = snprintf(text, sizeof text, "service \"%.240s\": %u server%s, %llu calls open", w->what,
                     s->servers, s->servers == 1 ? "" : "s", ULL(s->open));

    if (s->waiting)
        snprintf(text + n, sizeof text - (size_t)n, "; %llu calls wait for a server",
                 ULL(s->waiting));
    link_on(chain, "service", w->what, text, -1);
    return s->waiting ? w->what : NULL;
}

static bool has_named(const struct why *w)
{
    for (size_t i = 0; i < w->queues_n; i++)
        if (w->queues[i].by & BY_NAME)
            return true;
    return false;
}

void why_explain(const struct why *w, json_t *answer)
{
    json_t *chain = json_array();
    const char *kind = has_named(w)       ? "queue"
                       : w->is_client     ? "client"
                       : w->is_topic      ? "topic"
                       : w->service.found ? "service"
                                          : NULL;
    unsigned by = has_named(w) ? BY_NAME : w->is_client ? BY_CLIENT : BY_TOPIC;
    bool starved = false;
    const struct why_queue *q = worst(w, by);
    const char *bottleneck = NULL;

    if (kind && by == BY_CLIENT)
        say_client(w, chain);
    if (by == BY_TOPIC && w->is_topic)
        say_topic(w, chain);
    if (kind)
        starved = say_publishers(w, by == BY_CLIENT ? BY_CLIENT : BY_TOPIC | BY_HOLD, chain);
    if (kind && q)
        bottleneck = say_queue_and_consumer(w, q, chain);
    if (starved && !bottleneck)
        bottleneck = say_starved(w, chain);
    if (w->service.found && !bottleneck)
        bottleneck = say_service(w, chain);
    json_object_set_new(answer, "what", json_text(w->what));
    json_object_set_new(answer, "kind", kind ? json_string(kind) : json_null());
    json_object_set_new(answer, "bottleneck", bottleneck ? json_text(bottleneck) : json_null());
    json_object_set_new(answer, "chain", chain);
}
