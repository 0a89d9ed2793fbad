#include "brokerd/doors/inlet.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#include "libbroker/base/hash.h"
#include "libbroker/base/policy.h"
#include "libbroker/base/units.h"

static const char *const schemes[] = {
    [INLET_STANDARD] = "standard",
    [INLET_GITHUB] = "github",
    [INLET_STRIPE] = "stripe",
    [INLET_NONE] = "none",
};

enum { SCHEMES = sizeof schemes / sizeof schemes[0] };

/* What a key means: its value in a hook. */
typedef int set_fn(struct inlet *h, struct slice value, const char **ret_why);

static int expected(const char **ret_why, const char *what)
{
    *ret_why = what;
    return -EINVAL;
}

/* ---- keys */

static int set_scheme(struct inlet *h, struct slice value, const char **ret_why)
{
    for (unsigned i = 0; i < SCHEMES; i++) {
        if (!slice_eq(value, slice_str(schemes[i])))
            continue;
        h->scheme = (enum inlet_scheme)i;
        return 0;
    }
    return expected(ret_why, "expected standard, github, stripe or none");
}

static int set_topic(struct inlet *h, struct slice value, const char **ret_why)
{
    *ret_why = name_topic_error(value, NAME_OF_CLIENT);
    if (*ret_why)
        return -EINVAL;
    memcpy(h->topic, value.p, value.n);
    h->topic[value.n] = '\0';
    return 0;
}

static int set_secret(struct inlet *h, struct slice value, const char **ret_why)
{
    enum webhook_scheme scheme = (enum webhook_scheme)h->scheme;

    if (value.n == 0)
        return 0;
    if (h->scheme == INLET_NONE)
        return expected(ret_why, "with scheme = none nothing is signed");
    h->secrets = hash_bytes(h->secrets + 1, value);
    return webhook_keys_add(&h->keys, scheme, value, ret_why);
}

/* A file's last line break is not part of the secret. */
static int set_file(struct inlet *h, struct slice value, const char **ret_why)
{
    while (value.n && (value.p[value.n - 1] == '\n' || value.p[value.n - 1] == '\r'))
        value.n--;
    return value.n ? set_secret(h, value, ret_why) : expected(ret_why, "the file is empty");
}

static int set_tolerance(struct inlet *h, struct slice value, const char **ret_why)
{
    if (units_parse_time(value, UNITS_NO_LIMIT, &h->tolerance_ms) < 0 || h->tolerance_ms < 1000)
        return expected(ret_why, "expected a time of 1s or more with its unit (30s, 5m), or never");
    return 0;
}

static int set_require(struct inlet *h, struct slice value, const char **ret_why)
{
    h->require = slice_eq(value, SLICE("true"));
    if (!h->require && !slice_eq(value, SLICE("false")))
        return expected(ret_why, "expected true or false");
    return 0;
}

static int add_header(struct inlet *h, struct slice value, const char **ret_why)
{
    if (value.n == 0 || value.n > INLET_FIELD_MAX)
        return expected(ret_why, "expected the name of a header field");
    for (size_t i = 0; i < value.n; i++) { /* `$` would make it one of the broker's own */
        if (value.p[i] <= ' ' || value.p[i] >= 0x7f ||
            memchr("$\"(),/:;<=>?@[\\]{}", value.p[i], 18))
            return expected(ret_why, "expected the name of a header field");
    }
    if (h->headers_n == INLET_HEADERS_MAX)
        return expected(ret_why, "expected at most 16 of them");
    memcpy(h->headers[h->headers_n], value.p, value.n);
    h->headers[h->headers_n++][value.n] = '\0';
    return 0;
}

/* The scheme first, for it says what a secret is; each secret and its file behind it. */
static const struct key {
    const char *name;
    set_fn *set;
    bool is_list, is_secret, is_file;
} keys[] = {
    {"scheme", set_scheme, false, false, false},
    {"topic", set_topic, false, false, false},
    {"secret", set_secret, false, true, false},
    {"secret-file", set_file, false, true, true},
    {"secret-old", set_secret, false, true, false},
    {"secret-old-file", set_file, false, true, true},
    {"tolerance", set_tolerance, false, false, false},
    {"require", set_require, false, false, false},
    {"headers", add_header, true, false, false},
};

enum { KEYS = sizeof keys / sizeof keys[0] };

static const struct key *key_of(const char *name)
{
    for (unsigned i = 0; i < KEYS; i++) {
        if (strcmp(keys[i].name, name) == 0)
            return &keys[i];
    }
    return NULL;
}

const char *inlet_key_name(unsigned i)
{
    return i < KEYS ? keys[i].name : NULL;
}

bool inlet_key_is_list(const char *key)
{
    return key_of(key)->is_list;
}

bool inlet_key_is_secret(const char *key)
{
    return key_of(key)->is_secret;
}

bool inlet_key_is_file(const char *key)
{
    return key_of(key)->is_file;
}

/* ---- one hook */

const char *inlet_name_error(struct slice name)
{
    if (name.n == 0 || name.n > INLET_NAME_MAX)
        return "expected a name of 1 to 64 characters";
    for (size_t i = 0; i < name.n; i++) {
        uint8_t c = name.p[i], lower = c | 0x20;

        if (!(lower >= 'a' && lower <= 'z') && !(c >= '0' && c <= '9') && c != '-' && c != '_')
            return "expected a name of letters, digits, '-' and '_' only";
    }
    return NULL;
}

struct inlet *inlet_new(struct slice name)
{
    struct inlet *h = calloc(1, sizeof *h);

    if (!h)
        return NULL;
    memcpy(h->name, name.p, name.n);
    h->scheme = INLET_STANDARD;
    h->tolerance_ms = WEBHOOK_TOLERANCE_S * 1000;
    h->require = true;
    return h;
}

void inlet_free(struct inlet *h)
{
    if (!h)
        return;
    webhook_keys_fini(&h->keys);
    free(h);
}

static int say(const char *key, int r, const char *why, char *err, size_t err_size)
{
    if (r < 0)
        (void)snprintf(err, err_size, "%s: %s", key, why);
    return r;
}

int inlet_set(struct inlet *h, const char *key, struct slice value, char *err, size_t err_size)
{
    const char *why = "";
    int r = key_of(key)->set(h, value, &why);

    return say(key, r, why, err, err_size);
}

int inlet_check(const char *key, struct slice value, char *err, size_t err_size)
{
    struct inlet scratch = {.scheme = INLET_NONE};
    const char *why = "";
    int r = 0;

    if (!key_of(key)->is_secret) /* which depends on the scheme, or on a file */
        r = key_of(key)->set(&scratch, value, &why);
    return say(key, r, why, err, err_size);
}

int inlet_finish(const struct inlet *h, char *err, size_t err_size)
{
    if (!h->topic[0])
        return say("topic", -EINVAL, "expected one", err, err_size);
    if (h->scheme != INLET_NONE && h->keys.n == 0)
        return say("secret", -EINVAL, "expected one, or secret-file, or scheme = none", err,
                   err_size);
    return 0;
}

const char *inlet_text(const struct inlet *h, const char *key, char *buf, size_t size)
{
    const struct key *k = key_of(key);
    size_t at = 0;

    if (k->is_secret) {
        (void)snprintf(buf, size, "(hidden)");
    } else if (k->set == set_scheme) {
        (void)snprintf(buf, size, "%s", schemes[h->scheme]);
    } else if (k->set == set_topic) {
        (void)snprintf(buf, size, "%s", h->topic);
    } else if (k->set == set_tolerance) {
        (void)units_format_time(h->tolerance_ms, buf, size);
    } else if (k->set == set_require) {
        (void)snprintf(buf, size, "%s", h->require ? "true" : "false");
    } else {
        (void)snprintf(buf, size, "{");
        for (unsigned i = 0; i < h->headers_n && at < size; i++)
            at += (size_t)snprintf(buf + at, size - at, "%s%s", i ? ", " : "{ ", h->headers[i]);
        if (at < size)
            (void)snprintf(buf + at, size - at, at ? " }" : "{}");
    }
    return buf;
}

bool inlet_key_same(const struct inlet *a, const struct inlet *b, const char *key)
{
    char one[2048], other[2048];

    if (key_of(key)->is_secret)
        return strcmp(key, "secret") != 0 || a->secrets == b->secrets; /* told once */
    return strcmp(inlet_text(a, key, one, sizeof one), inlet_text(b, key, other, sizeof other)) ==
           0;
}

/* ---- sets */

struct inlets {
    atomic_uint refs;
    size_t n;
    struct inlet **inlet;
};

struct inlets *inlets_new(void)
{
    struct inlets *s = calloc(1, sizeof *s);

    if (s)
        atomic_init(&s->refs, 1);
    return s;
}

struct inlets *inlets_ref(struct inlets *s)
{
    if (s)
        atomic_fetch_add_explicit(&s->refs, 1, memory_order_relaxed);
    return s;
}

struct inlets *inlets_unref(struct inlets *s)
{
    if (!s || atomic_fetch_sub_explicit(&s->refs, 1, memory_order_acq_rel) > 1)
        return NULL;
    for (size_t i = 0; i < s->n; i++)
        inlet_free(s->inlet[i]);
    free(s->inlet);
    free(s);
    return NULL;
}

int inlets_add(struct inlets *s, struct inlet *h)
{
    struct inlet **more = reallocarray(s->inlet, s->n + 1, sizeof(struct inlet *));

    if (!more)
        return -ENOMEM;
    s->inlet = more;
    s->inlet[s->n++] = h;
    return 0;
}

const struct inlet *inlets_at(const struct inlets *s, size_t i)
{
    return i < s->n ? s->inlet[i] : NULL;
}

const struct inlet *inlets_find(const struct inlets *s, struct slice name)
{
    for (size_t i = 0; s && i < s->n; i++) {
        if (slice_eq(slice_str(s->inlet[i]->name), name))
            return s->inlet[i];
    }
    return NULL;
}
