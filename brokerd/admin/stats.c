/* `$SYS.stats`: what the broker counts, each second, while somebody listens.
 *
 * Worker 0 looks whether anybody does, at most once a second and only if who listens has changed
 * since: an idle broker does not wake up for it. What is heard is gathered from all workers by an
 * ask that nobody has sent. */
#include "brokerd/admin/stats.h"

#include "brokerd/admin/top.h"

#include <stdlib.h>

enum { STATS_MS = 1000, STATS_LIMIT = 200 };

enum stat { BROKER, QUEUES, CONSUMERS, CLIENTS, WEBHOOKS, TOPICS };

static const char *const topics[TOPICS] = {
    [BROKER] = "$SYS.stats.broker",       [QUEUES] = "$SYS.stats.queues",
    [CONSUMERS] = "$SYS.stats.consumers", [CLIENTS] = "$SYS.stats.clients",
    [WEBHOOKS] = "$SYS.stats.webhooks",
};

/* --------------------------------------------------------------------------------- one round */

struct round {
    struct desk *desk;
    struct top *top;
    json_t *webhooks;
    unsigned heard; /* a bit for each topic */
};

static void free_round(void *data)
{
    struct round *r = data;

    r->desk->stats.under_way = false;
    top_free(r->top);
    json_decref(r->webhooks);
    free(r);
}

static bool is_heard(const struct round *r, enum stat t)
{
    return r->heard >> t & 1;
}

/* Publish and free what is said. */
static void say(struct round *r, enum stat t, json_t *what)
{
    char *text;

    if (is_heard(r, t)) {
        json_object_set_new(what, "now_ms", json_integer(worker_now(r->desk->worker)));
        text = json_dumps(what, ADMIN_JSON);
        if (text) /* without memory this second has no figures */
            (void)desk_publish(r->desk, topics[t], text);
        free(text);
    }
    json_decref(what);
}

static json_t *list_of(const char *key, const struct chosen *c)
{
    json_t *o = json_object();

    json_object_set_new(o, key, chosen_list(c));
    return o;
}

static void then_say(struct ask *a, struct desk *d)
{
    struct round *r = a->data;
    const struct top *t = r->top;

    sums_tell(a->answer, &t->totals, d);
    json_object_del(a->answer, "services");
    say(r, BROKER, json_incref(a->answer));
    say(r, QUEUES, list_of("queues", &t->queues));
    say(r, CONSUMERS, list_of("consumers", &t->consumers));
    say(r, CLIENTS, list_of("clients", &t->clients));
    say(r, WEBHOOKS, json_incref(r->webhooks));
    ask_free(a);
}

/* Who listens need not be one who manages, and a URL's path may be as good as a key: all may know
 * what is before it. */
static void hide_paths(const json_t *webhooks)
{
    json_t *w;
    size_t i;

    json_array_foreach(webhooks, i, w)
    {
        const char *url = json_string_value(json_object_get(w, "url"));
        const char *host = url ? strstr(url, "://") : NULL;

        if (host)
            json_object_set_new(
                w, "url", json_stringn(url, (size_t)(host - url) + 3 + strcspn(host + 3, "/")));
    }
}

static void visit(struct ask *a, struct desk *d)
{
    struct round *r = a->data;

    if (a->cursor == 0 && is_heard(r, WEBHOOKS)) {
        hooks_add(json_object_get(r->webhooks, "webhooks"), d);
        hide_paths(json_object_get(r->webhooks, "webhooks"));
    }
    top_visit(a, d, r->top);
}

static void visit_consumers(struct ask *a, struct desk *d)
{
    const struct round *r = a->data;

    top_visit_consumers(d, r->top);
}

static void then_consumers(struct ask *a, struct desk *d)
{
    const struct round *r = a->data;

    if (is_heard(r, CONSUMERS))
        ask_visit_all(a, d, visit_consumers, then_say);
    else
        then_say(a, d);
}

/* At most so many, if anybody listens. */
static size_t limit_of(const struct round *r, enum stat t)
{
    return is_heard(r, t) ? STATS_LIMIT : 0;
}

static void begin(struct desk *d, unsigned heard)
{
    struct round *r = calloc(1, sizeof *r);
    struct ask *a = ask_own(d);

    if (r) {
        *r = (struct round){.desk = d, .heard = heard};
        r->webhooks = json_pack("{s:[]}", "webhooks");
        r->top = top_new(limit_of(r, QUEUES), limit_of(r, CLIENTS), limit_of(r, CONSUMERS));
    }
    if (!a || !r || !r->top) { /* without memory this second has no figures */
        if (a)
            ask_free(a);
        if (r)
            json_decref(r->webhooks);
        free(r);
        return;
    }
    d->stats.under_way = true;
    a->data = r;
    a->free_data = free_round;
    sums_begin(a->answer);
    ask_visit_all(a, d, visit, then_consumers);
}

/* --------------------------------------------------------------------------------- each turn */

static unsigned listeners(const struct desk *d)
{
    unsigned heard = 0;

    for (unsigned t = 0; t < TOPICS; t++)
        if (inspect_is_heard(d->core, slice_str(topics[t])))
            heard |= 1U << t;
    return heard;
}

void stats_init(struct desk *d)
{
    d->stats = (struct stats){.due_ms = INT64_MAX};
}

int64_t stats_turn(struct desk *d)
{
    struct stats *s = &d->stats;
    uint64_t version = inspect_routes_version(d->core);
    int64_t now = worker_now(d->worker);
    unsigned heard;

    if (version != s->version && s->due_ms == INT64_MAX)
        s->due_ms = s->looked_ms + STATS_MS;
    s->version = version;
    if (now < s->due_ms)
        return s->due_ms;
    heard = listeners(d);
    s->looked_ms = now;
    s->due_ms = heard ? now + STATS_MS : INT64_MAX;
    if (heard && !s->under_way)
        begin(d, heard);
    return s->due_ms;
}
