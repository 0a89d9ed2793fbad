#include "brokerd/webhooks/webhooks.h"

#include <curl/curl.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>

#include "brokerd/webhooks/internal.h"
#include "libbroker/base/hash.h"

/* ------------------------------------------------------------------------------------ the turn */

static bool on_input(void *ctx)
{
    struct desk *d = ctx;
    struct heap_node *due;
    struct list_node *n, *next;

    while ((due = heap_min(&d->due)) != NULL && due->key <= worker_now(d->worker)) {
        hook_mark(HEAP_ITEM(due, struct hook, due));
        heap_update(&d->due, due, INT64_MAX);
    }
    for (n = list_first(&d->ready); n; n = next) {
        hook_input(LIST_ITEM(n, struct hook, ready));
        next = list_next(&d->ready, n); /* what was marked meanwhile, too */
    }
    return false;
}

/* Until none has anything to send; what is marked while the core delivers comes in the next pass.
 */
static bool on_output(void *ctx)
{
    struct desk *d = ctx;
    bool told = false;
    struct list_node *n;

    while ((n = list_pop(&d->ready)) != NULL) {
        struct hook *h = LIST_ITEM(n, struct hook, ready);

        told |= hook_output(h);
        hook_schedule(h);
    }
    return told;
}

static int64_t on_release(void *ctx)
{
    const struct desk *d = ctx;
    const struct heap_node *due = heap_min(&d->due);

    if (!list_empty(&d->ready))
        return 0;
    return due ? due->key : INT64_MAX;
}

static const struct worker_hook turn = {on_input, on_output, on_release};

uint32_t desk_random(struct desk *d)
{
    uint64_t x = d->random += UINT64_C(0x9e3779b97f4a7c15);

    x = (x ^ x >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    return (uint32_t)(x >> 32);
}

/* ---------------------------------------------------------------------------------------- life */

int webhooks_new(const struct webhooks_options *o, struct webhooks **ret)
{
    struct webhooks *wh = calloc(1, sizeof *wh);

    if (!wh)
        return -ENOMEM;
    wh->o = *o;
    if (getrandom(&wh->seed, sizeof wh->seed, 0) != sizeof wh->seed ||
        curl_global_init(CURL_GLOBAL_ALL)) {
        free(wh);
        return -EIO;
    }
    *ret = wh;
    return 0;
}

int webhooks_start(struct webhooks *wh, struct workers *ws)
{
    int r = 0;

    wh->workers = ws;
    for (unsigned i = 0; i < workers_count(ws) && r == 0; i++) {
        struct desk *d = &wh->desk[i];

        d->wh = wh;
        d->worker = workers_get(ws, i);
        d->core = worker_core(d->worker);
        d->random = hash_pair(wh->seed, i, 1);
        map_init(&d->hooks, wh->seed);
        list_init(&d->ready);
        r = worker_add_hook(d->worker, &turn, d);
        wh->n++;
    }
    return r;
}

void webhooks_free(struct webhooks *wh)
{
    if (!wh)
        return;
    for (unsigned i = 0; i < wh->n; i++) {
        struct desk *d = &wh->desk[i];

        for (struct map_entry *e = NULL; (e = map_next(&d->hooks, e)) != NULL;)
            hook_free(e->value);
        map_fini(&d->hooks);
        heap_fini(&d->due);
    }
    curl_global_cleanup();
    free(wh);
}

void webhooks_drain(struct webhooks *wh)
{
    atomic_store(&wh->draining, true);
}

bool webhooks_have_begun(const struct webhooks *wh)
{
    return atomic_load(&((struct webhooks *)(uintptr_t)wh)->beginning) == 0;
}

unsigned webhooks_under_way(const struct webhooks *wh)
{
    return atomic_load(&((struct webhooks *)(uintptr_t)wh)->under_way);
}

/* ------------------------------------------------------------------------------ from a spec */

unsigned webhooks_home(const struct webhooks *wh, const char *name)
{
    return (unsigned)(hash_bytes(wh->seed, slice_str(name)) % wh->n);
}

static struct hook *find(const struct desk *d, const char *name)
{
    return map_get(&d->hooks, slice_str(name));
}

static int add(struct desk *d, struct webhook_spec *s, bool is_settings)
{
    struct hook *h;
    int r = hook_new(d, s, is_settings, &h);

    if (r < 0)
        return r;
    h->entry = map_add(&d->hooks, slice_str(s->name), h);
    if (!h->entry) {
        hook_free(h);
        return -ENOMEM;
    }
    hook_tell(h, "webhook_added", LEVEL_NOTICE, "a webhook was added", "to %.*s",
              (int)s->url_origin.n, (const char *)s->url_origin.p);
    return 0;
}

static int change(struct hook *h, struct webhook_spec *s, bool is_settings)
{
    int r = spec_equal(h->spec, s) ? 0 : hook_change(h, s);

    if (r == 0 && h->spec == s)
        hook_tell(h, "webhook_changed", LEVEL_NOTICE, "a webhook was changed", "to %.*s",
                  (int)s->url_origin.n, (const char *)s->url_origin.p);
    if (r == 0)
        h->is_settings = is_settings;
    return r;
}

/* Its queue would collect for ever what nobody takes; what is dead stays, to be looked at. */
static void forget(struct hook *h)
{
    char queue[SPEC_QUEUE_MAX];
    struct desk *d = h->desk;

    (void)spec_queue(h->spec->name, queue);
    if (h->test)
        h->test->done(h->test->ctx, NULL);
    hook_tell(h, "webhook_removed", LEVEL_NOTICE, "a webhook was removed", "with its queue %s",
              queue);
    map_remove(&d->hooks, h->entry);
    hook_free(h);
    core_queue_remove(d->core, slice_str(queue));
}

/* ------------------------------------------------------------------------------ the settings */

/* All of the settings' webhooks, on their way to a worker. */
struct roster {
    struct webhooks *wh;
    size_t n;
    struct webhook_spec *spec[];
};

static const struct webhook_spec *on_roster(const struct roster *r, const char *name)
{
    for (size_t i = 0; i < r->n; i++)
        if (strcmp(r->spec[i]->name, name) == 0)
            return r->spec[i];
    return NULL;
}

static void take_one(struct desk *d, struct webhook_spec *s)
{
    struct hook *h = find(d, s->name);
    int r = h ? change(h, s, true) : add(d, s, true);

    if (r < 0)
        log_error("webhook \"%s\": %s; reload again", s->name, strerror(-r));
}

static void take_roster(void *arg, struct worker *w)
{
    struct roster *r = arg;
    struct desk *d = &r->wh->desk[worker_id(w)];
    struct map_entry *e, *next;

    for (e = map_next(&d->hooks, NULL); e; e = next) {
        struct hook *h = e->value;

        next = map_next(&d->hooks, e);
        if (h->is_settings && !on_roster(r, h->spec->name))
            forget(h);
    }
    for (size_t i = 0; i < r->n; i++) {
        if (webhooks_home(r->wh, r->spec[i]->name) == worker_id(w))
            take_one(d, r->spec[i]);
        spec_unref(r->spec[i]);
    }
    atomic_fetch_sub(&r->wh->beginning, 1);
    free(r);
}

int webhooks_apply(struct webhooks *wh, struct webhook_spec *const *specs, size_t n)
{
    int failed = 0;

    for (unsigned i = 0; i < wh->n; i++) {
        struct roster *r = malloc(sizeof *r + n * sizeof r->spec[0]);

        if (!r)
            return -ENOMEM;
        r->wh = wh;
        r->n = n;
        for (size_t k = 0; k < n; k++)
            r->spec[k] = spec_ref(specs[k]);
        atomic_fetch_add(&wh->beginning, 1);
        if (workers_call(wh->workers, i, take_roster, r) == 0)
            continue;
        atomic_fetch_sub(&wh->beginning, 1);
        failed = -ENOMEM;
        for (size_t k = 0; k < n; k++)
            spec_unref(r->spec[k]);
        free(r);
    }
    return failed;
}

/* -------------------------------------------------------------------------------- management */

static int refuse(struct refusal *why, int error, enum reason reason, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));

static int refuse(struct refusal *why, int error, enum reason reason, const char *fmt, ...)
{
    int n = snprintf(why->text, sizeof why->text, "%s: ", reason_name(reason));
    va_list args;

    why->reason = reason;
    va_start(args, fmt);
    (void)vsnprintf(why->text + n, sizeof why->text - (size_t)n, fmt, args);
    va_end(args);
    return error;
}

static struct desk *desk_at_home(struct webhooks *wh, const char *name)
{
    return &wh->desk[webhooks_home(wh, name)];
}

static struct hook *get(struct webhooks *wh, const char *name, struct refusal *why)
{
    struct hook *h = find(desk_at_home(wh, name), name);

    if (!h)
        (void)refuse(why, -ENOENT, REASON_NOT_FOUND, "no webhook \"%.80s\"", name);
    return h;
}

void webhooks_list(const struct webhooks *wh, unsigned worker, json_t *array)
{
    const struct desk *d = &wh->desk[worker];

    for (struct map_entry *e = NULL; (e = map_next(&d->hooks, e)) != NULL;)
        json_array_append_new(array, hook_json(e->value));
}

json_t *webhooks_info(const struct webhooks *wh, const char *name)
{
    const struct hook *h = find(&wh->desk[webhooks_home(wh, name)], name);

    return h ? hook_json_whole(h) : NULL;
}

static int take_values(struct webhook_spec *s, const char *key, const json_t *value,
                       struct refusal *why)
{
    char err[SPEC_ERROR_MAX] = "";
    const json_t *item;
    size_t i;
    int r = 0;

    spec_clear(s, key);
    if (json_is_string(value))
        r = spec_add(s, key, slice_str(json_string_value(value)), err, sizeof err);
    json_array_foreach(value, i, item)
    {
        if (r == 0)
            r = spec_add(s, key, slice_str(json_string_value(item)), err, sizeof err);
    }
    return r < 0 ? refuse(why, r, r == -ENOMEM ? REASON_MEMORY : REASON_INVALID, "%.200s", err) : 0;
}

static int make_secret(struct webhook_spec *s, char ret[WEBHOOK_SECRET_TEXT], struct refusal *why)
{
    char err[SPEC_ERROR_MAX];

    if (webhook_secret_make(ret) < 0)
        return refuse(why, -EIO, REASON_MEMORY, "the system has no random numbers");
    return spec_add(s, "secret", slice_str(ret), err, sizeof err) < 0
               ? refuse(why, -ENOMEM, REASON_MEMORY, "no memory for a secret")
               : 0;
}

/* The secret there was goes on signing until the next one comes. */
static int keep_old_secret(struct webhook_spec *s, const struct hook *h, struct refusal *why)
{
    const struct spec_list *old = spec_said(h->spec, "secret");
    char err[SPEC_ERROR_MAX];

    if (!old->n || !*old->v[0])
        return 0;
    return spec_add(s, "secret-old", slice_str(old->v[0]), err, sizeof err) < 0
               ? refuse(why, -ENOMEM, REASON_MEMORY, "no memory for a secret")
               : 0;
}

/* The settings into `s`, which has those that stay. */
static int fill(struct webhook_spec *s, const struct hook *before, const json_t *settings,
                bool rotate, char *ret_secret, struct refusal *why)
{
    bool says = json_object_get(settings, "secret") != NULL;
    char err[SPEC_ERROR_MAX];
    const char *key;
    json_t *value;
    int r = 0;

    if (before && (says || rotate))
        r = keep_old_secret(s, before, why);
    json_object_foreach((json_t *)(uintptr_t)settings, key, value)
    {
        if (r == 0)
            r = take_values(s, key, value, why);
    }
    if (r == 0 && (rotate || (!before && !says)))
        r = make_secret(s, ret_secret, why);
    if (r == 0 && spec_finish(s, err, sizeof err) < 0)
        r = refuse(why, -EINVAL, REASON_INVALID, "%.200s", err);
    return r;
}

static int check_add(const struct desk *d, const struct hook *h, const char *name, bool replace,
                     struct refusal *why)
{
    const char *error = spec_name_error(slice_str(name));

    if (error)
        return refuse(why, -EINVAL, REASON_INVALID, "%s", error);
    if (h && h->is_settings)
        return refuse(why, -EACCES, REASON_DENIED,
                      "webhook \"%s\" is in brokerd.conf: change it there and reload", name);
    if (h && !replace)
        return refuse(why, -EEXIST, REASON_INVALID, "there is a webhook \"%s\" already", name);
    if (!h && replace)
        return refuse(why, -ENOENT, REASON_NOT_FOUND, "no webhook \"%s\"", name);
    if (!h && map_len(&d->hooks) >= WEBHOOKS_MAX)
        return refuse(why, -ENOSPC, REASON_LIMIT, "there are %d webhooks already", WEBHOOKS_MAX);
    return 0;
}

int webhooks_add(struct webhooks *wh, const char *name, const json_t *settings, bool replace,
                 bool rotate, char *ret_secret, struct refusal *why)
{
    struct desk *d = desk_at_home(wh, name);
    struct hook *h = find(d, name);
    int r = check_add(d, h, name, replace, why);
    struct webhook_spec *s;

    ret_secret[0] = '\0';
    if (r < 0)
        return r;
    s = h ? spec_copy(h->spec) : spec_new(name);
    if (!s)
        return refuse(why, -ENOMEM, REASON_MEMORY, "no memory for a webhook");
    r = fill(s, h, settings, rotate, ret_secret, why);
    if (r == 0) {
        r = h ? change(h, s, false) : add(d, s, false);
        if (r < 0)
            (void)refuse(why, r, REASON_MEMORY, "no memory for a webhook");
    }
    spec_unref(s);
    return r;
}

int webhooks_remove(struct webhooks *wh, const char *name, struct refusal *why)
{
    struct hook *h = get(wh, name, why);

    if (!h)
        return -ENOENT;
    if (h->is_settings)
        return refuse(why, -EACCES, REASON_DENIED,
                      "webhook \"%s\" is in brokerd.conf: remove it there and reload", name);
    forget(h);
    return 0;
}

int webhooks_enable(struct webhooks *wh, const char *name, bool enable, struct refusal *why)
{
    struct hook *h = get(wh, name, why);

    if (!h)
        return -ENOENT;
    if (enable)
        hook_enable(h);
    else
        hook_disable(h, "disabled by somebody who manages the broker");
    return 0;
}

int webhooks_test(struct webhooks *wh, const char *name, webhooks_test_fn *done, void *ctx,
                  struct refusal *why)
{
    struct hook *h = get(wh, name, why);

    if (!h)
        return -ENOENT;
    if (h->test)
        return refuse(why, -EBUSY, REASON_LIMIT, "a test of webhook \"%s\" is under way", name);
    if (atomic_load(&wh->draining))
        return refuse(why, -EPIPE, REASON_DRAINING, "the broker is about to stop");
    if (test_start(h, done, ctx) < 0)
        return refuse(why, -ENOMEM, REASON_MEMORY, "no memory for a test");
    return 0;
}
