#include "brokerd/doors/json/ask.h"

#include "libbroker/base/headers.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

enum { MEMBERS = 48, NAME_SHOWN = 64 };

static int out_of_memory(struct refusal *why)
{
    refuse_memory(why);
    return -ENOMEM;
}

/* ---------------------------------------------------------------------------------- loading */

/* A member that is to be understood. */
static int load(struct jask *a, const struct json_member *m, struct refusal *why)
{
    json_error_t error;
    uint8_t name[NAME_SHOWN];
    json_t *value;
    size_t n;

    if (m->name.n > sizeof name) {
        refuse(why, REASON_INVALID, "a member's name is too long for any there is");
        return -EINVAL;
    }
    n = jtext_unescape(m->name, name);
    value = json_loadb((const char *)m->value.p, m->value.n, JSON_DECODE_ANY, &error);
    if (!value && json_error_code(&error) == json_error_out_of_memory)
        return out_of_memory(why);
    if (!value) {
        refuse(why, REASON_INVALID, "%.*s: %s", (int)n, (const char *)name, error.text);
        return -EINVAL;
    }
    return json_object_setn_new_nocheck(a->members, (const char *)name, n, value) < 0
               ? out_of_memory(why)
               : 0;
}

static int load_member(struct jask *a, const struct json_member *m, size_t *left,
                       struct refusal *why)
{
    if (slice_eq(m->name, SLICE("data"))) {
        a->data = m->value;
        return 0;
    }
    if (slice_eq(m->name, SLICE("base64"))) {
        if (!jtext_is_string(m->value)) {
            refuse(why, REASON_INVALID, "base64 must be a string");
            return -EINVAL;
        }
        a->base64 = slice_of(m->value.p + 1, m->value.n - 2);
        return 0;
    }
    if (m->value.n > *left) {
        refuse(why, REASON_INVALID, "what is said beside the payload is over %d bytes",
               JPEER_CONTROL_MAX);
        return -EINVAL;
    }
    *left -= m->value.n;
    if (slice_eq(m->name, SLICE("topic")))
        a->topic = m->value;
    return load(a, m, why);
}

int jask_load(struct jask *a, struct slice object, struct refusal *ret_why)
{
    struct json_member m[MEMBERS];
    struct json_fault fault;
    size_t left = JPEER_CONTROL_MAX;
    unsigned n = 0;
    int r = 0;

    *a = (struct jask){.object = object, .members = json_object(), .taken = json_array()};
    if (!a->members || !a->taken)
        return out_of_memory(ret_why);
    if (object.p[0] != '{') {
        refuse(ret_why, REASON_INVALID, "data must be an object");
        return -EINVAL;
    }
    if (jtext_members(object, m, MEMBERS, &n, &fault) < 0) {
        refuse(ret_why, REASON_INVALID, "%s", fault.what);
        return -EINVAL;
    }
    for (unsigned i = 0; i < n && r == 0; i++)
        r = load_member(a, &m[i], &left, ret_why);
    return r;
}

void jask_free(struct jask *a)
{
    json_decref(a->members);
    json_decref(a->taken);
    free(a->own);
}

/* ----------------------------------------------------------------------------------- members */

static struct slice text_of(const json_t *value)
{
    return slice_of(json_string_value(value), json_string_length(value));
}

/* It has been understood; what was read of it stays valid. */
static void taken(struct jask *a, const char *name)
{
    if (json_array_append(a->taken, json_object_get(a->members, name)) == 0)
        (void)json_object_del(a->members, name); /* else it is left, and refused as unknown */
}

int jask_text(struct jask *a, const char *name, bool needed, struct slice *ret,
              struct refusal *ret_why)
{
    const json_t *value = json_object_get(a->members, name);

    if (!value && !needed)
        return 0;
    if (!json_is_string(value)) {
        refuse(ret_why, REASON_INVALID, "%s %s", name, value ? "must be a string" : "is missing");
        return -EINVAL;
    }
    *ret = text_of(value);
    taken(a, name);
    return 0;
}

int jask_number(struct jask *a, const char *name, uint64_t max, bool *ret_has, uint64_t *ret,
                struct refusal *ret_why)
{
    const json_t *value = json_object_get(a->members, name);

    *ret_has = value != NULL;
    if (!value)
        return 0;
    if (!json_is_integer(value) || json_integer_value(value) < 0 ||
        (uint64_t)json_integer_value(value) > max) {
        refuse(ret_why, REASON_INVALID, "%s must be a number from 0 to %" PRIu64, name, max);
        return -EINVAL;
    }
    *ret = (uint64_t)json_integer_value(value);
    taken(a, name);
    return 0;
}

int jask_flag(struct jask *a, const char *name, bool *ret, struct refusal *ret_why)
{
    const json_t *value = json_object_get(a->members, name);

    if (!value)
        return 0;
    if (!json_is_boolean(value)) {
        refuse(ret_why, REASON_INVALID, "%s must be true or false", name);
        return -EINVAL;
    }
    *ret = json_is_true(value);
    taken(a, name);
    return 0;
}

int jask_topics(struct jask *a, struct slice *ret, unsigned max, unsigned *ret_n,
                struct refusal *ret_why)
{
    const json_t *value = json_object_get(a->members, "topic");
    size_t n = json_is_array(value) ? json_array_size(value) : 1;

    *ret_n = 0;
    if (!value)
        return 0;
    if (n > max) {
        refuse(ret_why, REASON_LIMIT, "more than %u topics in one subscription", max);
        return -EINVAL;
    }
    for (size_t i = 0; i < n; i++) {
        const json_t *one = json_is_array(value) ? json_array_get(value, i) : value;

        if (!json_is_string(one)) {
            refuse(ret_why, REASON_INVALID, "topic must be a string or an array of strings");
            return -EINVAL;
        }
        ret[(*ret_n)++] = text_of(one);
    }
    taken(a, "topic");
    return 0;
}

int jask_done(struct jask *a, struct refusal *ret_why)
{
    const char *name;
    json_t *value;
    char buf[NAME_SHOWN];

    json_object_foreach(a->members, name, value)
    {
        refuse(ret_why, REASON_INVALID, "member %s is not known here",
               shown(slice_str(name), buf, sizeof buf));
        return -EINVAL;
    }
    return 0;
}

/* ----------------------------------------------------------------------------------- headers */

/* Headers being written, at most JPEER_HEADERS_MAX bytes of them. */
struct writing {
    uint8_t *p, *end;
    struct refusal *why;
};

static int add(struct writing *w, struct slice name, struct slice value)
{
    if (headers_size(name.n, value.n) > (size_t)(w->end - w->p) || value.n > HEADERS_VALUE_MAX) {
        refuse(w->why, REASON_INVALID, "headers are over %d bytes", JPEER_HEADERS_MAX);
        return -EINVAL;
    }
    w->p = headers_put(w->p, name, value);
    return 0;
}

/* One of the user's own: a text, or several of one name. */
static int add_own(struct writing *w, const char *name, const json_t *value)
{
    struct slice n = slice_str(name);
    size_t many = json_is_array(value) ? json_array_size(value) : 1;
    char buf[NAME_SHOWN];
    int r = 0;

    if (n.n == 0 || n.n > HEADERS_NAME_MAX || name[0] == '$') {
        refuse(w->why, REASON_INVALID,
               name[0] == '$'
                   ? "header %s: what the broker is asked for stands beside the headers, "
                     "without the $"
                   : "a header's name has 1 to 255 bytes%s",
               name[0] == '$' ? shown(n, buf, sizeof buf) : "");
        return -EINVAL;
    }
    for (size_t i = 0; i < many && r == 0; i++) {
        const json_t *one = json_is_array(value) ? json_array_get(value, i) : value;

        if (!json_is_string(one)) {
            refuse(w->why, REASON_INVALID, "header %s must be a string, or an array of strings",
                   shown(n, buf, sizeof buf));
            return -EINVAL;
        }
        r = add(w, n, text_of(one));
    }
    return r;
}

/* An option, by its name in the headers; a number or a boolean is said as text there. */
static int add_option(struct writing *w, const char *name, const json_t *value)
{
    char with_dollar[NAME_SHOWN + 2], text[24];
    struct slice v;
    int n = snprintf(with_dollar, sizeof with_dollar, "$%s", name);

    if (json_is_string(value)) {
        v = text_of(value);
    } else if (json_is_integer(value)) {
        v = slice_of(text, (size_t)snprintf(text, sizeof text, "%" JSON_INTEGER_FORMAT,
                                            json_integer_value(value)));
    } else if (json_is_boolean(value)) {
        v = json_is_true(value) ? SLICE("1") : SLICE("0");
    } else {
        refuse(w->why, REASON_INVALID, "%s must be a string, a number or true", name);
        return -EINVAL;
    }
    return add(w, slice_of(with_dollar, (size_t)n), v);
}

static int write_headers(struct jask *a, struct writing *w)
{
    const json_t *headers = json_object_get(a->members, "headers");
    const char *name;
    json_t *value;
    int r = 0;

    if (!headers)
        return 0;
    if (!json_is_object(headers)) {
        refuse(w->why, REASON_INVALID, "headers must be an object");
        return -EINVAL;
    }
    json_object_foreach((json_t *)(uintptr_t)headers, name, value)
    {
        if (r == 0)
            r = add_own(w, name, value);
    }
    if (r == 0)
        (void)json_object_del(a->members, "headers");
    return r;
}

static int write_options(struct jask *a, bool (*is_option)(struct slice name), struct writing *w)
{
    const char *name;
    json_t *value;
    void *next;
    int r = 0;

    json_object_foreach_safe(a->members, next, name, value)
    {
        if (r < 0 || !is_option(slice_str(name)))
            continue;
        r = add_option(w, name, value);
        (void)json_object_del(a->members, name);
    }
    return r < 0 ? r : jask_done(a, w->why);
}

int jask_headers(struct jask *a, bool (*is_option)(struct slice name), struct slice *ret,
                 struct refusal *ret_why)
{
    static const struct headers_limits limits = {JPEER_HEADERS_COUNT, JPEER_HEADERS_MAX};
    const char *text = "";
    struct writing w;
    int r;

    *ret = slice_of(NULL, 0);
    if (json_object_size(a->members) == 0)
        return 0;
    a->own = malloc(JPEER_HEADERS_MAX);
    if (!a->own)
        return out_of_memory(ret_why);
    w = (struct writing){a->own, a->own + JPEER_HEADERS_MAX, ret_why};
    r = write_headers(a, &w);
    if (r == 0)
        r = write_options(a, is_option, &w);
    if (r < 0)
        return r;
    *ret = slice_of(a->own, (size_t)(w.p - a->own));
    if (headers_check(*ret, &limits, &text) < 0) {
        refuse(ret_why, REASON_INVALID, "%s", text);
        return -EINVAL;
    }
    return 0;
}
