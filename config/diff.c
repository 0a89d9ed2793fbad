/* What a reload changes, told key by key. */
#include <stdio.h>
#include <string.h>

#include "config/settings.h"
#include "config/table.h"

struct diff {
    const struct settings *before, *after;
    settings_change_fn *change;
    void *ctx;
    size_t n;
};

static void tell(struct diff *d, const char *what, const char *before, const char *after,
                 bool restart)
{
    struct settings_change c = {what, before, after, restart};

    d->n++;
    d->change(d->ctx, &c);
}

static void diff_scalars(struct diff *d)
{
    const struct setting *row;
    char what[128], before[64], after[64];

    for (size_t i = 0; (row = setting_at(i)) != NULL; i++) {
        if (!setting_is_scalar(row->type) || row->title)
            continue;
        (void)setting_format(row, d->before, before, sizeof before);
        (void)setting_format(row, d->after, after, sizeof after);
        if (strcmp(before, after) == 0)
            continue;
        (void)snprintf(what, sizeof what, "%s%s%s", row->section, *row->section ? " " : "",
                       row->key);
        tell(d, what, before, after, row->restart);
    }
}

/* ---- stores ---- */

/* Both have the section. */
static void diff_store(struct diff *d, const char *title)
{
    char what[128], before[SETTING_VALUE_MAX], after[SETTING_VALUE_MAX];
    const struct setting *row;

    for (size_t i = 0; (row = setting_at(i)) != NULL; i++) {
        if (!row->title || strcmp(row->title, title) != 0)
            continue;
        (void)setting_format(row, d->before, before, sizeof before);
        (void)setting_format(row, d->after, after, sizeof after);
        if (strcmp(before, after) == 0)
            continue;
        (void)snprintf(what, sizeof what, "%s \"%s\" %s", row->section, title, row->key);
        tell(d, what, before, after, true);
    }
}

/* It may be in the URL, or in a file of its own. */
static bool same_password(const struct settings_redis *a, const struct settings_redis *b)
{
    char shown_a[REDIS_URL_MAX], shown_b[REDIS_URL_MAX];
    bool same_url = strcmp(a->url, b->url) == 0;

    (void)redis_url_hide(slice_str(a->url), shown_a, sizeof shown_a);
    (void)redis_url_hide(slice_str(b->url), shown_b, sizeof shown_b);
    return strcmp(a->password, b->password) == 0 && (same_url || strcmp(shown_a, shown_b) != 0);
}

static void diff_stores(struct diff *d)
{
    const struct settings *a = d->before, *b = d->after;
    const struct {
        const char *title;
        bool before, after;
    } stores[] = {{"journal", a->journal.used, b->journal.used},
                  {"redis", a->redis.used, b->redis.used}};
    char what[64];

    for (size_t i = 0; i < sizeof stores / sizeof *stores; i++) {
        (void)snprintf(what, sizeof what, "store \"%s\"", stores[i].title);
        if (stores[i].before && stores[i].after)
            diff_store(d, stores[i].title);
        else if (stores[i].before || stores[i].after)
            tell(d, what, stores[i].before ? "{..}" : "", stores[i].after ? "{..}" : "", true);
    }
    if (a->redis.used && b->redis.used && !same_password(&a->redis, &b->redis))
        tell(d, "store \"redis\" password", "(hidden)", "(hidden)", true);
}

/* ---- listeners ---- */

static const struct settings_listener *find_listener(const struct settings *s, const char *url)
{
    for (size_t i = 0; i < s->n_listeners; i++) {
        if (strcmp(s->listeners[i].url, url) == 0)
            return &s->listeners[i];
    }
    return NULL;
}

/* Its section without the URL; "" for none. */
static const char *listener_text(const struct settings_listener *l, char *buf, size_t size)
{
    size_t at;

    buf[0] = '\0';
    if (!l)
        return buf;
    at = (size_t)snprintf(buf, size, "{ insecure = %s manage = %s%s%s",
                          l->insecure ? "true" : "false", l->manage ? "true" : "false",
                          l->echo ? " echo = true" : "",
                          l->stomp_binary ? " stomp-binary = true" : "");
    if (l->n_origins)
        at += (size_t)snprintf(buf + at, size - at, " origins = {");
    for (size_t i = 0; i < l->n_origins && at < size; i++)
        at += (size_t)snprintf(buf + at, size - at, "%s \"%s\"", i ? "," : "", l->origins[i]);
    if (at < size)
        at += (size_t)snprintf(buf + at, size - at, "%s protocols = {", l->n_origins ? " }" : "");
    for (size_t i = 0; i < l->n_protocols && at < size; i++)
        at += (size_t)snprintf(buf + at, size - at, "%s %s", i ? "," : "", l->protocols[i]);
    if (at < size)
        (void)snprintf(buf + at, size - at, " } }");
    return buf;
}

/* Those of `of`, as both have them; with `only_new` those that `before` lacks. */
static void diff_listeners(struct diff *d, const struct settings *of, bool only_new)
{
    char what[256], before[1024], after[1024];

    for (size_t i = 0; i < of->n_listeners; i++) {
        const char *url = of->listeners[i].url;
        const struct settings_listener *old = find_listener(d->before, url);

        if (only_new && old)
            continue;
        (void)listener_text(old, before, sizeof before);
        (void)listener_text(find_listener(d->after, url), after, sizeof after);
        if (strcmp(before, after) == 0)
            continue;
        (void)snprintf(what, sizeof what, "listen \"%s\"", url);
        tell(d, what, before, after, true);
    }
}

/* ---- rules ---- */

static const struct policy_rule *find_rule(const struct policy_set *set, enum policy_kind kind,
                                           const char *filter)
{
    const struct policy_rule *rule;

    for (size_t i = 0; (rule = policy_set_rule(set, kind, i)) != NULL; i++) {
        if (strcmp(rule->filter, filter) == 0)
            return rule;
    }
    return NULL;
}

static const char *kind_name(enum policy_kind kind)
{
    return kind == POLICY_QUEUE ? "queue" : "subscription";
}

static const char *binds_text(const struct policy_rule *rule, char *buf, size_t size)
{
    size_t at = (size_t)snprintf(buf, size, "{");

    for (size_t i = 0; i < rule->n_binds && at < size; i++)
        at += (size_t)snprintf(buf + at, size - at, "%s \"%s\"", i ? "," : "", rule->binds[i]);
    if (at < size)
        (void)snprintf(buf + at, size - at, " }");
    return buf;
}

static bool same_binds(const struct policy_rule *a, const struct policy_rule *b)
{
    if (a->n_binds != b->n_binds)
        return false;
    for (size_t i = 0; i < a->n_binds; i++) {
        if (strcmp(a->binds[i], b->binds[i]) != 0)
            return false;
    }
    return true;
}

/* Both are sections of the same title. */
static void diff_rule(struct diff *d, enum policy_kind kind, const struct policy_rule *a,
                      const struct policy_rule *b)
{
    char what[384], before[POLICY_ERROR_MAX], after[POLICY_ERROR_MAX];
    const char *key;

    for (size_t i = 0; (key = policy_key_name(kind, i)) != NULL; i++) {
        (void)policy_get_key(&a->policy, kind, slice_str(key), before, sizeof before);
        (void)policy_get_key(&b->policy, kind, slice_str(key), after, sizeof after);
        if (strcmp(before, after) == 0)
            continue;
        (void)snprintf(what, sizeof what, "%s \"%s\" %s", kind_name(kind), a->filter, key);
        tell(d, what, before, after, false);
    }
    if (!same_binds(a, b)) {
        (void)snprintf(what, sizeof what, "%s \"%s\" bind", kind_name(kind), a->filter);
        tell(d, what, binds_text(a, before, sizeof before), binds_text(b, after, sizeof after),
             true); /* a queue that exists keeps its bindings */
    }
}

/* The next rule of `set` from *i on that `other` has too. */
static const struct policy_rule *next_common(const struct policy_set *set,
                                             const struct policy_set *other, enum policy_kind kind,
                                             size_t *i)
{
    const struct policy_rule *rule;

    while ((rule = policy_set_rule(set, kind, (*i)++)) != NULL) {
        if (find_rule(other, kind, rule->filter))
            return rule;
    }
    return NULL;
}

/* Order counts, for the last match wins. */
static bool same_order(const struct policy_set *a, const struct policy_set *b,
                       enum policy_kind kind)
{
    const struct policy_rule *x, *y;
    size_t i = 0, k = 0;

    do {
        x = next_common(a, b, kind, &i);
        y = next_common(b, a, kind, &k);
    } while (x && y && strcmp(x->filter, y->filter) == 0);
    return !x && !y;
}

static void diff_rules(struct diff *d, enum policy_kind kind)
{
    const struct policy_set *before = d->before->policies, *after = d->after->policies;
    const struct policy_rule *rule, *other;
    char what[384];

    for (size_t i = 0; (rule = policy_set_rule(before, kind, i)) != NULL; i++) {
        other = find_rule(after, kind, rule->filter);
        (void)snprintf(what, sizeof what, "%s \"%s\"", kind_name(kind), rule->filter);
        if (other)
            diff_rule(d, kind, rule, other);
        else
            tell(d, what, "{..}", "", false);
    }
    for (size_t i = 0; (rule = policy_set_rule(after, kind, i)) != NULL; i++) {
        (void)snprintf(what, sizeof what, "%s \"%s\"", kind_name(kind), rule->filter);
        if (!find_rule(before, kind, rule->filter))
            tell(d, what, "", "{..}", false);
    }
    if (!same_order(before, after, kind)) {
        (void)snprintf(what, sizeof what, "order of the %s sections", kind_name(kind));
        tell(d, what, "", "", false);
    }
}

/* ---- webhooks ---- */

static const struct webhook_spec *find_webhook(const struct settings *s, const char *name)
{
    for (size_t i = 0; i < s->n_webhooks; i++) {
        if (strcmp(s->webhooks[i]->name, name) == 0)
            return s->webhooks[i];
    }
    return NULL;
}

static bool same_values(const struct spec_list *a, const struct spec_list *b)
{
    if (a->n != b->n)
        return false;
    for (size_t i = 0; i < a->n; i++) {
        if (strcmp(a->v[i], b->v[i]) != 0)
            return false;
    }
    return true;
}

/* Both are sections of the same name. Secrets are not told, nor fields that may have some. */
static void diff_webhook(struct diff *d, const struct webhook_spec *a, const struct webhook_spec *b)
{
    char what[256], before[1024], after[1024];
    const char *key;

    for (size_t i = 0; (key = spec_key_name(i)) != NULL; i++) {
        bool hidden = strcmp(key, "headers") == 0 || strcmp(key, "url") == 0;

        if (same_values(spec_said(a, key), spec_said(b, key)))
            continue;
        (void)snprintf(what, sizeof what, "webhook \"%s\" %s", a->name, key);
        tell(d, what, hidden ? "{..}" : spec_text(a, key, before, sizeof before),
             hidden ? "{..}" : spec_text(b, key, after, sizeof after), false);
    }
}

static void diff_webhooks(struct diff *d)
{
    const struct settings *before = d->before, *after = d->after;
    char what[256];

    for (size_t i = 0; i < before->n_webhooks; i++) {
        const struct webhook_spec *a = before->webhooks[i], *b = find_webhook(after, a->name);

        (void)snprintf(what, sizeof what, "webhook \"%s\"", a->name);
        if (b)
            diff_webhook(d, a, b);
        else
            tell(d, what, "{..}", "", false);
    }
    for (size_t i = 0; i < after->n_webhooks; i++) {
        (void)snprintf(what, sizeof what, "webhook \"%s\"", after->webhooks[i]->name);
        if (!find_webhook(before, after->webhooks[i]->name))
            tell(d, what, "", "{..}", false);
    }
}

/* ---- webhooks in ---- */

/* Both are sections of the same name. */
static void diff_hook(struct diff *d, const struct inlet *a, const struct inlet *b)
{
    char what[256], before[2048], after[2048];
    const char *key;

    for (unsigned i = 0; (key = inlet_key_name(i)) != NULL; i++) {
        if (inlet_key_same(a, b, key))
            continue;
        (void)snprintf(what, sizeof what, "hook \"%s\" %s", a->name, key);
        tell(d, what, inlet_text(a, key, before, sizeof before),
             inlet_text(b, key, after, sizeof after), false);
    }
}

static void diff_hooks(struct diff *d)
{
    const struct inlets *before = d->before->inlets, *after = d->after->inlets;
    const struct inlet *h, *other;
    char what[256];

    for (size_t i = 0; (h = inlets_at(before, i)) != NULL; i++) {
        other = inlets_find(after, slice_str(h->name));
        (void)snprintf(what, sizeof what, "hook \"%s\"", h->name);
        if (other)
            diff_hook(d, h, other);
        else
            tell(d, what, "{..}", "", false);
    }
    for (size_t i = 0; (h = inlets_at(after, i)) != NULL; i++) {
        (void)snprintf(what, sizeof what, "hook \"%s\"", h->name);
        if (!inlets_find(before, slice_str(h->name)))
            tell(d, what, "", "{..}", false);
    }
}

size_t settings_diff(const struct settings *before, const struct settings *after,
                     settings_change_fn *change, void *ctx)
{
    struct diff d = {before, after, change, ctx, 0};

    diff_scalars(&d);
    diff_stores(&d);
    diff_listeners(&d, before, false);
    diff_listeners(&d, after, true);
    diff_rules(&d, POLICY_QUEUE);
    diff_rules(&d, POLICY_SUBSCRIPTION);
    diff_webhooks(&d);
    diff_hooks(&d);
    return d.n;
}
