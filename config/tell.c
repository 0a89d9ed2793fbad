/* What is in force, told key by key. */
#include <stdio.h>
#include <string.h>

#include "config/settings.h"
#include "config/table.h"

struct telling {
    settings_told_fn *fn;
    void *ctx;
    const char *section, *title;
};

static void tell_one(const struct telling *t, const char *key, const char *value)
{
    struct settings_told told = {.section = t->section,
                                 .title = t->title,
                                 .key = key,
                                 .value = value,
                                 .restart = setting_find(t->section, key)->restart};

    t->fn(t->ctx, &told);
}

static void tell_list(const struct telling *t, const char *key, const char *const *values, size_t n)
{
    struct settings_told told = {.section = t->section,
                                 .title = t->title,
                                 .key = key,
                                 .is_list = true,
                                 .restart = setting_find(t->section, key)->restart};

    for (size_t i = 0; i < n || (i == 0 && n == 0); i++) {
        told.value = n ? values[i] : NULL;
        t->fn(t->ctx, &told);
    }
}

/* Is it a key of a store that is not used? */
static bool is_of_nothing(const struct setting *row, const struct settings *started)
{
    return row->title &&
           !(strcmp(row->title, "journal") == 0 ? started->journal.used : started->redis.used);
}

static void tell_scalars(const struct settings *s, const struct settings *started,
                         settings_told_fn *fn, void *ctx)
{
    const struct setting *row;
    char value[SETTING_VALUE_MAX];

    for (size_t i = 0; (row = setting_at(i)) != NULL; i++) {
        struct settings_told told = {.section = row->section,
                                     .title = row->title,
                                     .key = row->key,
                                     .value = value,
                                     .fallback = row->fallback,
                                     .restart = row->restart};

        if (!setting_is_scalar(row->type) || is_of_nothing(row, started))
            continue;
        (void)setting_format(row, row->restart ? started : s, value, sizeof value);
        fn(ctx, &told);
    }
}

static const char *truth(bool b)
{
    return b ? "true" : "false";
}

static void tell_listener(const struct settings_listener *l, settings_told_fn *fn, void *ctx)
{
    struct telling t = {fn, ctx, "listen", l->url};

    tell_list(&t, "protocols", l->protocols, l->n_protocols);
    tell_list(&t, "origins", (const char *const *)l->origins, l->n_origins);
    tell_one(&t, "echo", truth(l->echo));
    tell_one(&t, "stomp-binary", truth(l->stomp_binary));
    tell_one(&t, "insecure", truth(l->insecure));
    tell_one(&t, "manage", truth(l->manage));
}

static void tell_rules(const struct settings *s, enum policy_kind kind, settings_told_fn *fn,
                       void *ctx)
{
    const char *section = kind == POLICY_QUEUE ? "queue" : "subscription", *key;
    const struct policy_rule *rule;
    char value[POLICY_ERROR_MAX];

    for (size_t i = 0; (rule = policy_set_rule(s->policies, kind, i)) != NULL; i++) {
        struct telling t = {fn, ctx, section, rule->filter};

        if (kind == POLICY_QUEUE)
            tell_list(&t, "bind", rule->binds, rule->n_binds);
        for (size_t k = 0; (key = policy_key_name(kind, k)) != NULL; k++) {
            (void)policy_get_key(&rule->policy, kind, slice_str(key), value, sizeof value);
            tell_one(&t, key, value);
        }
    }
}

/* A query may have secrets. */
static const char *base_text(const struct webhook_spec *s, char *buf, size_t size)
{
    (void)snprintf(buf, size, "%.*s", (int)s->url_base.n, (const char *)s->url_base.p);
    return buf;
}

/* No secrets, nor header fields, which may be some. */
static void tell_webhook(const struct webhook_spec *s, settings_told_fn *fn, void *ctx)
{
    struct telling t = {fn, ctx, "webhook", s->name};
    char value[SPEC_VALUE_MAX + 64];
    const char *key;

    for (size_t i = 0; (key = spec_key_name(i)) != NULL; i++) {
        const struct spec_list *l = spec_said(s, key);

        if (strcmp(key, "headers") == 0)
            tell_list(&t, key, (const char *const[]){"(hidden)"}, l->n > 0);
        else if (strcmp(key, "url") == 0)
            tell_one(&t, key, base_text(s, value, sizeof value));
        else if (spec_key_is_list(key))
            tell_list(&t, key, (const char *const *)l->v, l->n);
        else
            tell_one(&t, key, spec_text(s, key, value, sizeof value));
    }
}

static void tell_hook(const struct inlet *h, settings_told_fn *fn, void *ctx)
{
    struct telling t = {fn, ctx, "hook", h->name};
    const char *headers[INLET_HEADERS_MAX], *key;
    char value[INLET_ERROR_MAX];

    for (unsigned i = 0; i < h->headers_n; i++)
        headers[i] = h->headers[i];
    for (unsigned i = 0; (key = inlet_key_name(i)) != NULL; i++) {
        if (inlet_key_is_list(key))
            tell_list(&t, key, headers, h->headers_n);
        else
            tell_one(&t, key, inlet_text(h, key, value, sizeof value));
    }
}

void settings_tell(const struct settings *settings, const struct settings *started,
                   settings_told_fn *fn, void *ctx)
{
    tell_scalars(settings, started, fn, ctx);
    for (size_t i = 0; i < started->n_listeners; i++)
        tell_listener(&started->listeners[i], fn, ctx);
    tell_rules(settings, POLICY_QUEUE, fn, ctx);
    tell_rules(settings, POLICY_SUBSCRIPTION, fn, ctx);
    for (size_t i = 0; i < settings->n_webhooks; i++)
        tell_webhook(settings->webhooks[i], fn, ctx);
    for (size_t i = 0; inlets_at(settings->inlets, i); i++)
        tell_hook(inlets_at(settings->inlets, i), fn, ctx);
}
