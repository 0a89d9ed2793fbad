/* What people and programs are told of a webhook. */
#include "brokerd/webhooks/internal.h"

#include <stdio.h>

static const char *state_name(const struct hook *h)
{
    int64_t now = worker_now(h->desk->worker);

    switch (h->state) {
    case HOOK_ATTACHING:
        return "attaching";
    case HOOK_STOPPING:
        return "stopping";
    case HOOK_DISABLED:
        return "disabled";
    case HOOK_ACTIVE:
        break;
    }
    if (h->pace.state == PACE_OPEN)
        return "open";
    if (h->pace.pause_until_ms > now)
        return "paused";
    if (h->pace.state == PACE_PROBING)
        return "probing";
    return h->pace.failures ? "failing" : "active";
}

static void set_number(json_t *o, const char *key, uint64_t n)
{
    json_object_set_new(o, key, json_integer((json_int_t)n));
}

static json_t *counters_json(const struct hook *h)
{
    const struct hook_counters *c = &h->count;
    json_t *o = json_object(), *status = json_object(), *ends = json_object();
    char name[8];

    set_number(o, "attempts", c->attempts);
    set_number(o, "delivered", c->delivered);
    set_number(o, "failed", c->failed);
    set_number(o, "dead_lettered", c->dead);
    set_number(o, "skipped", c->skipped);
    set_number(o, "headers_left_out", c->left_out);
    set_number(o, "opened", c->opened);
    set_number(o, "disabled", c->disabled);
    for (unsigned i = 1; i < 6; i++) {
        (void)snprintf(name, sizeof name, "%uxx", i);
        if (c->status[i])
            set_number(status, name, c->status[i]);
    }
    for (unsigned i = ATTEMPT_TIMED_OUT; i <= ATTEMPT_NO_MEMORY; i++)
        if (c->ends[i])
            set_number(ends, attempt_end_name((enum attempt_end)i), c->ends[i]);
    json_object_set_new(o, "status", status);
    json_object_set_new(o, "errors", ends);
    return o;
}

static json_t *last_json(const struct hook *h)
{
    json_t *o = json_object(), *error = json_string(h->last.error);

    json_object_set_new(o, "outcome", json_string(attempt_end_name(h->last.end)));
    if (h->last.status)
        set_number(o, "status", h->last.status);
    if (h->last.error[0])
        json_object_set_new(o, "error", error ? error : json_string("?"));
    else
        json_decref(error);
    json_object_set_new(o, "ago_ms", json_integer(worker_wall(h->desk->worker) - h->last.at_ms));
    return o;
}

static json_t *texts_json(const struct spec_list *l)
{
    json_t *a = json_array();

    for (size_t i = 0; i < l->n; i++)
        json_array_append_new(a, json_string(l->v[i]));
    return a;
}

/* How long until it may be called again. */
static int64_t wait_of(const struct hook *h)
{
    int64_t due = pace_due(&h->pace, worker_now(h->desk->worker));

    return h->state == HOOK_ACTIVE && due != INT64_MAX ? due - worker_now(h->desk->worker) : 0;
}

json_t *hook_json(const struct hook *h)
{
    const struct webhook_spec *s = h->spec;
    char queue[SPEC_QUEUE_MAX];
    json_t *o = json_object();

    json_object_set_new(o, "webhook", json_string(s->name));
    json_object_set_new(o, "url", json_stringn((const char *)s->url_base.p, s->url_base.n));
    json_object_set_new(o, "topics", texts_json(spec_said(s, "topic")));
    json_object_set_new(o, "origin", json_string(h->is_settings ? "settings" : "admin"));
    set_number(o, "worker", worker_id(h->desk->worker));
    json_object_set_new(o, "enabled", json_boolean(h->is_enabled));
    json_object_set_new(o, "state", json_string(state_name(h)));
    if (*h->why && (!h->is_enabled || h->state == HOOK_ATTACHING))
        json_object_set_new(o, "why", json_string(h->why));
    set_number(o, "window", h->pace.limit);
    set_number(o, "window_max", s->window);
    set_number(o, "in_flight", h->flying_n);
    set_number(o, "waiting", h->waiting_n);
    set_number(o, "failures", h->pace.failures);
    set_number(o, "wait_ms", (uint64_t)wait_of(h));
    set_number(o, "answer_us", (uint64_t)h->took_us);
    set_number(o, "keys", s->keys.n);
    json_object_set_new(o, "queue", json_string(spec_queue(s->name, queue)));
    json_object_set_new(o, "dead_queue", json_string(spec_dead_queue(s->name, queue)));
    if (h->last.at_ms)
        json_object_set_new(o, "last_failure", last_json(h));
    json_object_set_new(o, "counters", counters_json(h));
    return o;
}

json_t *url_json(const struct webhook_spec *s)
{
    char text[SPEC_VALUE_MAX + 16];

    (void)snprintf(text, sizeof text, "%.*s%s", (int)s->url_base.n, (const char *)s->url_base.p,
                   s->url[s->url_base.n] ? "?(hidden)" : "");
    return json_string(text);
}

/* Header fields may be as secret as keys: their names are enough. */
static json_t *names_json(const struct spec_list *l)
{
    json_t *a = json_array();

    for (size_t i = 0; i < l->n; i++)
        json_array_append_new(a, json_stringn(l->v[i], strcspn(l->v[i], ":")));
    return a;
}

json_t *hook_json_whole(const struct hook *h)
{
    json_t *o = hook_json(h), *settings = json_object(), *keys = json_array();
    char text[SPEC_VALUE_MAX + 64], public[WEBHOOK_PUBLIC_TEXT];
    const char *key;

    for (size_t i = 0; (key = spec_key_name(i)) != NULL; i++) {
        const struct spec_list *l = spec_said(h->spec, key);

        if (strcmp(key, "headers") == 0)
            json_object_set_new(settings, key, names_json(l));
        else if (strcmp(key, "url") == 0)
            json_object_set_new(settings, key, url_json(h->spec));
        else if (spec_key_is_list(key) && l->n)
            json_object_set_new(settings, key, texts_json(l));
        else
            json_object_set_new(settings, key,
                                json_string(spec_text(h->spec, key, text, sizeof text)));
    }
    for (unsigned i = 0; i < h->spec->keys.n; i++)
        if (webhook_public_key(&h->spec->keys, i, public) == 0)
            json_array_append_new(keys, json_string(public));
    json_object_set_new(o, "settings", settings);
    json_object_set_new(o, "public_keys", keys);
    return o;
}
