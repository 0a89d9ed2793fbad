#include "brokerd/webhooks/spec.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "brokerd/webhooks/field.h"
#include "brokerd/webhooks/url.h"
#include "libbroker/base/name.h"
#include "libbroker/base/units.h"

#define DAY_MS (INT64_C(24) * 3600 * 1000)

/* What holds the count, in front of what others see. */
struct counted {
    atomic_uint refs;
    struct webhook_spec spec;
};

static struct counted *counted(struct webhook_spec *s)
{
    return (struct counted *)(void *)((char *)s - offsetof(struct counted, spec));
}

/* ---------------------------------------------------------------------------------- the keys */

enum key_type {
    KEY_TOPIC,
    KEY_URL,
    KEY_SECRET,
    KEY_FORMAT,
    KEY_SOURCE,
    KEY_HEADER,
    KEY_CIDR,
    KEY_RETRY,
    KEY_PATH,
    KEY_FLAG,
    KEY_COUNT,
    KEY_TIME,
};

static const struct key {
    const char *name;
    enum key_type type;
    bool is_list;
    const char *fallback; /* as the settings write it */
    int64_t min, max;     /* KEY_COUNT, KEY_TIME, KEY_RETRY */
    size_t offset; /* KEY_COUNT: of a uint32_t; KEY_TIME: of an int64_t; KEY_FLAG: of a bool */
} keys[] = {
    {"topic", KEY_TOPIC, true, "", 0, 0, 0},
    {"url", KEY_URL, false, "", 0, 0, 0},
    {"secret", KEY_SECRET, false, "", 0, 0, 0},
    {"secret-old", KEY_SECRET, false, "", 0, 0, 0},
    {"format", KEY_FORMAT, false, "plain", 0, 0, 0},
    {"source", KEY_SOURCE, false, "/brokerd", 0, 0, 0},
    {"headers", KEY_HEADER, true, "", 0, 0, 0},
    {"window", KEY_COUNT, false, "64", 1, 1024, offsetof(struct webhook_spec, window)},
    {"timeout", KEY_TIME, false, "20s", 1, 600000, offsetof(struct webhook_spec, timeout_ms)},
    {"connect-timeout", KEY_TIME, false, "5s", 1, 600000,
     offsetof(struct webhook_spec, connect_ms)},
    {"retry", KEY_RETRY, true, "5s 5m 30m 2h 5h 10h 14h 20h 24h", 0, 30 * DAY_MS, 0},
    {"break-after", KEY_COUNT, false, "10", 1, 1000000, offsetof(struct webhook_spec, break_after)},
    {"break-time", KEY_TIME, false, "1s", 1, DAY_MS, offsetof(struct webhook_spec, break_min_ms)},
    {"break-time-max", KEY_TIME, false, "5m", 1, DAY_MS,
     offsetof(struct webhook_spec, break_max_ms)},
    {"allow", KEY_CIDR, true, "", 0, 0, 0},
    {"insecure", KEY_FLAG, false, "false", 0, 0, offsetof(struct webhook_spec, insecure)},
    {"ca", KEY_PATH, false, "", 0, 0, 0},
    {"enabled", KEY_FLAG, false, "true", 0, 0, offsetof(struct webhook_spec, enabled)},
};

enum { KEYS_N = sizeof keys / sizeof *keys };

_Static_assert(sizeof keys / sizeof *keys <= SPEC_KEYS_MAX, "room in webhook_spec.said");

static const char *const formats[] = {[SPEC_PLAIN] = "plain",
                                      [SPEC_CLOUDEVENTS] = "cloudevents",
                                      [SPEC_CLOUDEVENTS_JSON] = "cloudevents-json"};

static const struct key *find_key(const char *name)
{
    for (size_t i = 0; i < KEYS_N; i++)
        if (strcmp(keys[i].name, name) == 0)
            return &keys[i];
    return NULL;
}

const char *spec_key_name(size_t i)
{
    return i < KEYS_N ? keys[i].name : NULL;
}

const char *spec_key_default(const char *key)
{
    const struct key *k = find_key(key);

    return k ? k->fallback : "";
}

bool spec_key_is_list(const char *key)
{
    const struct key *k = find_key(key);

    return k && k->is_list;
}

bool spec_key_is_secret(const char *key)
{
    const struct key *k = find_key(key);

    return k && k->type == KEY_SECRET;
}

/* ------------------------------------------------------------------------------------- values */

static int word_index(struct slice value)
{
    for (int i = 0; i < (int)(sizeof formats / sizeof *formats); i++)
        if (slice_eq(slice_str(formats[i]), value))
            return i;
    return -1;
}

static int parse_flag(struct slice value, bool *ret)
{
    *ret = slice_eq(value, SLICE("true")) || slice_eq(value, SLICE("yes")) ||
           slice_eq(value, SLICE("on"));
    return *ret || slice_eq(value, SLICE("false")) || slice_eq(value, SLICE("no")) ||
                   slice_eq(value, SLICE("off"))
               ? 0
               : -EINVAL;
}

static const char *count_error(const struct key *k, struct slice value, char *buf, size_t size)
{
    uint64_t n;

    if (units_parse_count(value, 0, &n) == 0 && n >= (uint64_t)k->min && n <= (uint64_t)k->max)
        return NULL;
    (void)snprintf(buf, size, "a number from %lld to %lld", (long long)k->min, (long long)k->max);
    return buf;
}

static const char *time_error(const struct key *k, struct slice value, char *buf, size_t size)
{
    char min[UNITS_TEXT_MAX], max[UNITS_TEXT_MAX];
    int64_t ms;

    if (units_parse_time(value, k->min ? 0 : UNITS_ZERO, &ms) == 0 && ms >= k->min && ms <= k->max)
        return NULL;
    (void)snprintf(buf, size, "a time with its unit (500ms, 30s, 5m) from %s to %s",
                   units_format_time(k->min, min, sizeof min),
                   units_format_time(k->max, max, sizeof max));
    return buf;
}

static const char *secret_error(struct slice value)
{
    struct webhook_keys one = {0};
    const char *why = NULL;
    int r;

    if (slice_starts(value, SLICE("whpk_")))
        return "a key that signs; a public one does not";
    r = webhook_keys_add(&one, WEBHOOK_STANDARD, value, &why);
    webhook_keys_fini(&one);
    return r == 0 || r == -ENOMEM
               ? NULL
               : "whsec_ and base64 of 24 to 64 bytes, or whsk_ and an Ed25519 key";
}

/* What `value` should be for `k`, NULL if it is. Static or in `buf`. */
static const char *value_error(const struct key *k, struct slice value, char *buf, size_t size)
{
    struct cidr range;
    bool flag;

    if (value.n > SPEC_VALUE_MAX || (value.n && memchr(value.p, 0, value.n)))
        return "at most 2048 bytes of text";
    if (value.n == 0 && *k->fallback == '\0' && !k->is_list)
        return NULL; /* none */
    switch (k->type) {
    case KEY_TOPIC:
        return name_filter_error(value);
    case KEY_URL:
        return url_error(value, NULL);
    case KEY_SECRET:
        return secret_error(value);
    case KEY_FORMAT:
        return word_index(value) >= 0 ? NULL : "plain, cloudevents or cloudevents-json";
    case KEY_SOURCE:
        for (size_t i = 0; i < value.n; i++)
            if (value.p[i] <= ' ' || value.p[i] > '~')
                return "a URI reference";
        return NULL;
    case KEY_HEADER:
        return field_extra_error(value);
    case KEY_CIDR:
        return cidr_parse(value, &range) == 0 ? NULL
                                              : "a range of addresses (10.0.0.0/8, fd00::/8)";
    case KEY_PATH:
        return value.p[0] == '/' ? NULL : "an absolute path";
    case KEY_FLAG:
        return parse_flag(value, &flag) == 0 ? NULL : "true or false";
    case KEY_COUNT:
        return count_error(k, value, buf, size);
    case KEY_RETRY:
        if (slice_eq(value, SLICE("never")))
            return NULL;
        return time_error(k, value, buf, size);
    case KEY_TIME:
        return time_error(k, value, buf, size);
    }
    return NULL;
}

int spec_value_check(const char *key, struct slice value, char *err, size_t err_size)
{
    const struct key *k = find_key(key);
    const char *error;
    char buf[160];

    if (!k) {
        (void)snprintf(err, err_size, "%.60s: a webhook has no such key", key);
        return -ENOENT;
    }
    error = value_error(k, value, buf, sizeof buf);
    if (!error)
        return 0;
    if (k->type == KEY_SECRET || k->type == KEY_HEADER) /* what was found may be most of one */
        (void)snprintf(err, err_size, "%s: expected %s", key, error);
    else
        (void)snprintf(err, err_size, "%s: %s%s, found \"%.*s\"", key,
                       k->type == KEY_TOPIC ? "" : "expected ", error,
                       value.n > 80 ? 80 : (int)value.n, value.n ? (const char *)value.p : "");
    return -EINVAL;
}

static struct spec_list *said(const struct webhook_spec *s, const struct key *k)
{
    return (struct spec_list *)(uintptr_t)&s->said[k - keys];
}

static void forget(const struct key *k, struct spec_list *l)
{
    for (size_t i = 0; i < l->n; i++) {
        if (k->type == KEY_SECRET)
            explicit_bzero(l->v[i], strlen(l->v[i]));
        free(l->v[i]);
    }
    free(l->v);
    *l = (struct spec_list){NULL, 0};
}

static int append(struct spec_list *l, struct slice value)
{
    char **more = reallocarray(l->v, l->n + 1, sizeof *more);
    char *copy;

    if (!more)
        return -ENOMEM;
    l->v = more;
    copy = calloc(1, value.n + 1);
    if (!copy)
        return -ENOMEM;
    if (value.n)
        memcpy(copy, value.p, value.n);
    l->v[l->n++] = copy;
    return 0;
}

int spec_add(struct webhook_spec *s, const char *key, struct slice value, char *err,
             size_t err_size)
{
    int r = spec_value_check(key, value, err, err_size);
    const struct key *k;
    struct spec_list *l;

    if (r < 0)
        return r;
    k = find_key(key);
    l = said(s, k);
    if (!k->is_list)
        forget(k, l);
    if (l->n == SPEC_LIST_MAX) {
        (void)snprintf(err, err_size, "%s: expected at most %d of them", key, SPEC_LIST_MAX);
        return -ENOSPC;
    }
    r = append(l, value);
    if (r < 0)
        (void)snprintf(err, err_size, "%s: no memory", key);
    return r;
}

void spec_clear(struct webhook_spec *s, const char *key)
{
    const struct key *k = find_key(key);

    if (k)
        forget(k, said(s, k));
}

const struct spec_list *spec_said(const struct webhook_spec *s, const char *key)
{
    const struct key *k = find_key(key);

    return k ? said(s, k) : NULL;
}

/* ------------------------------------------------------------------------------------ meaning */

/* The one value of a key without list, or its default; NULL for none. */
static const char *value_of(const struct webhook_spec *s, const char *key)
{
    const struct key *k = find_key(key);
    const struct spec_list *l = said(s, k);
    const char *value = l->n ? l->v[0] : k->fallback;

    return *value ? value : NULL;
}

static void take_scalars(struct webhook_spec *s)
{
    for (const struct key *k = keys; k < keys + KEYS_N; k++) {
        char *field = (char *)s + k->offset;
        const struct spec_list *l = said(s, k);
        struct slice value = slice_str(l->n ? l->v[0] : k->fallback);
        uint64_t n = 0;

        if (k->type == KEY_COUNT) {
            (void)units_parse_count(value, 0, &n);
            *(uint32_t *)(void *)field = (uint32_t)n;
        } else if (k->type == KEY_TIME) {
            (void)units_parse_time(value, 0, (int64_t *)(void *)field);
        } else if (k->type == KEY_FLAG) {
            (void)parse_flag(value, (bool *)field);
        }
    }
}

static void add_retry(struct webhook_spec *s, struct slice text)
{
    int64_t ms = 0;

    if (units_parse_time(text, UNITS_ZERO, &ms) == 0) /* else: never */
        s->retry_ms[s->retries++] = (uint32_t)ms;
}

/* The plan; `never` alone is one without retries. */
static void take_retries(struct webhook_spec *s)
{
    const struct key *k = find_key("retry");
    const struct spec_list *l = said(s, k);
    const char *at = k->fallback;

    s->retries = 0;
    for (size_t i = 0; i < l->n; i++)
        add_retry(s, slice_str(l->v[i]));
    while (!l->n && *at) {
        size_t n = strcspn(at, " ");

        add_retry(s, slice_of(at, n));
        at += n + (at[n] == ' ');
    }
}

static void take_ranges(struct webhook_spec *s)
{
    const struct spec_list *l = spec_said(s, "allow");

    s->allow_n = l->n;
    for (size_t i = 0; i < l->n; i++)
        (void)cidr_parse(slice_str(l->v[i]), &s->allow[i]);
}

static int take_secrets(struct webhook_spec *s)
{
    static const char *const names[] = {"secret", "secret-old"};
    const char *why = NULL;
    int r = 0;

    webhook_keys_fini(&s->keys);
    for (size_t i = 0; i < 2 && r == 0; i++) {
        const char *text = value_of(s, names[i]);

        if (text)
            r = webhook_keys_add(&s->keys, WEBHOOK_STANDARD, slice_str(text), &why);
    }
    return r;
}

static int complain(char *err, size_t err_size, const char *text)
{
    (void)snprintf(err, err_size, "%s", text);
    return -EINVAL;
}

int spec_finish(struct webhook_spec *s, char *err, size_t err_size)
{
    struct url url;
    size_t bytes = 0;
    int r;

    s->url = value_of(s, "url");
    if (!s->url)
        return complain(err, err_size, "url: expected one");
    if (!spec_said(s, "topic")->n)
        return complain(err, err_size, "topic: expected one");
    (void)url_error(slice_str(s->url), &url);
    s->is_https = url.is_https;
    s->url_base = url.base;
    s->url_origin = url.origin;
    s->source = value_of(s, "source");
    s->ca = value_of(s, "ca");
    s->format = (enum spec_format)word_index(slice_str(value_of(s, "format")));
    take_scalars(s);
    take_retries(s);
    take_ranges(s);
    if (!s->is_https && !s->insecure)
        return complain(
            err, err_size,
            "url: expected https:// (or insecure = true, for what is sent in the clear)");
    if (value_of(s, "secret-old") && !value_of(s, "secret"))
        return complain(err, err_size, "secret-old: expected a secret, too");
    if (s->break_max_ms < s->break_min_ms)
        return complain(err, err_size, "break-time-max: expected at least break-time");
    for (size_t i = 0; i < spec_said(s, "headers")->n; i++)
        bytes += strlen(spec_said(s, "headers")->v[i]) + 2;
    if (bytes > SPEC_HEADERS_MAX)
        return complain(err, err_size, "headers: expected at most 8192 bytes of them");
    r = take_secrets(s);
    if (r < 0)
        (void)snprintf(err, err_size, "secret: no memory");
    return r;
}

/* --------------------------------------------------------------------------------------- life */

const char *spec_name_error(struct slice name)
{
    for (size_t i = 0; i < name.n; i++) {
        uint8_t c = name.p[i];

        if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
              c == '-' || c == '_'))
            return "a webhook's name has letters, digits, '-' and '_' only";
    }
    return name.n && name.n <= SPEC_NAME_MAX ? NULL : "a webhook's name has 1 to 64 characters";
}

struct webhook_spec *spec_new(const char *name)
{
    struct counted *c = calloc(1, sizeof *c);

    if (!c)
        return NULL;
    atomic_init(&c->refs, 1);
    (void)snprintf(c->spec.name, sizeof c->spec.name, "%s", name);
    return &c->spec;
}

struct webhook_spec *spec_copy(const struct webhook_spec *s)
{
    struct webhook_spec *copy = spec_new(s->name);
    int r = 0;

    for (size_t k = 0; copy && k < KEYS_N; k++)
        for (size_t i = 0; i < s->said[k].n && r == 0; i++)
            r = append(&copy->said[k], slice_str(s->said[k].v[i]));
    return r < 0 ? spec_unref(copy) : copy;
}

struct webhook_spec *spec_ref(struct webhook_spec *s)
{
    (void)atomic_fetch_add_explicit(&counted(s)->refs, 1, memory_order_relaxed);
    return s;
}

struct webhook_spec *spec_unref(struct webhook_spec *s)
{
    if (!s || atomic_fetch_sub_explicit(&counted(s)->refs, 1, memory_order_acq_rel) != 1)
        return NULL;
    for (size_t k = 0; k < KEYS_N; k++)
        forget(&keys[k], &s->said[k]);
    webhook_keys_fini(&s->keys);
    free(counted(s));
    return NULL;
}

/* -------------------------------------------------------------------------------------- looks */

static bool same(const struct spec_list *a, const struct spec_list *b)
{
    if (a->n != b->n)
        return false;
    for (size_t i = 0; i < a->n; i++)
        if (strcmp(a->v[i], b->v[i]) != 0)
            return false;
    return true;
}

bool spec_equal(const struct webhook_spec *a, const struct webhook_spec *b)
{
    for (size_t k = 0; k < KEYS_N; k++)
        if (!same(&a->said[k], &b->said[k]))
            return false;
    return strcmp(a->name, b->name) == 0;
}

const char *spec_text(const struct webhook_spec *s, const char *key, char *buf, size_t size)
{
    const struct key *k = find_key(key);
    const struct spec_list *l = said(s, k);
    size_t n;

    if (k->type == KEY_SECRET || !k->is_list) {
        (void)snprintf(buf, size, "%s",
                       k->type == KEY_SECRET && value_of(s, key) ? "(hidden)"
                       : l->n                                    ? l->v[0]
                                                                 : k->fallback);
        return buf;
    }
    n = (size_t)snprintf(buf, size, "{ %s", l->n ? "" : k->fallback);
    for (size_t i = 0; i < l->n && n < size; i++)
        n += (size_t)snprintf(buf + n, size - n, "%s%s", i ? ", " : "", l->v[i]);
    if (n < size)
        (void)snprintf(buf + n, size - n, " }");
    return buf;
}

const char *spec_queue(const char *name, char buf[SPEC_QUEUE_MAX])
{
    (void)snprintf(buf, SPEC_QUEUE_MAX, SPEC_QUEUE_PREFIX "%s", name);
    return buf;
}

const char *spec_dead_queue(const char *name, char buf[SPEC_QUEUE_MAX])
{
    (void)snprintf(buf, SPEC_QUEUE_MAX, SPEC_QUEUE_PREFIX "%s" SPEC_DEAD_SUFFIX, name);
    return buf;
}
