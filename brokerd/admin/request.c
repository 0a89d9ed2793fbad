/* What people ask, checked before anybody acts on it. */
#include "brokerd/admin/internal.h"

#include <inttypes.h>
#include <stdio.h>

static const char *const type_names[] = {
    [FIELD_TEXT] = "a text",
    [FIELD_FLAG] = "true or false",
    [FIELD_COUNT] = "a whole number, not negative",
    [FIELD_TEXTS] = "an array of texts",
    [FIELD_SETTINGS] = "an object of texts",
    [FIELD_LISTS] = "an object of texts and arrays of texts",
};

static bool all_texts(const json_t *value)
{
    const char *key;
    json_t *item;
    size_t i;

    json_array_foreach(value, i, item)
    {
        if (!json_is_string(item))
            return false;
    }
    json_object_foreach((json_t *)(uintptr_t)value, key, item)
    {
        if (!json_is_string(item))
            return false;
    }
    return true;
}

static bool all_lists(const json_t *object)
{
    const char *key;
    json_t *item;

    json_object_foreach((json_t *)(uintptr_t)object, key, item)
    {
        if (!json_is_string(item) && !(json_is_array(item) && all_texts(item)))
            return false;
    }
    return true;
}

static bool has_type(const json_t *value, enum field_type type)
{
    switch (type) {
    case FIELD_TEXT:
        return json_is_string(value) && json_string_length(value) > 0;
    case FIELD_FLAG:
        return json_is_boolean(value);
    case FIELD_COUNT:
        return json_is_integer(value) && json_integer_value(value) >= 0;
    case FIELD_TEXTS:
        return json_is_array(value) && all_texts(value);
    case FIELD_SETTINGS:
        return json_is_object(value) && all_texts(value);
    case FIELD_LISTS:
        return json_is_object(value) && all_lists(value);
    }
    return false;
}

static void refuse(struct refusal *why, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

static void refuse(struct refusal *why, const char *fmt, ...)
{
    va_list args;
    int n = snprintf(why->text, sizeof why->text, "invalid: ");

    why->reason = REASON_INVALID;
    va_start(args, fmt);
    vsnprintf(why->text + n, sizeof why->text - (size_t)n, fmt, args);
    va_end(args);
}

static const struct field *field_of(const struct command *c, const char *name)
{
    for (const struct field *f = c->fields; f && f->name; f++)
        if (strcmp(f->name, name) == 0)
            return f;
    return NULL;
}

static void refuse_member(const struct command *c, const char *name, struct refusal *why)
{
    char known[120] = "no members";
    size_t n = 0;
    struct slice text = slice_str(name);

    for (const struct field *f = c->fields; f && f->name && n < sizeof known; f++)
        n += (size_t)snprintf(known + n, sizeof known - n, "%s%s", n ? ", " : "", f->name);
    while (text.n > 40 || (text.n && (name[text.n] & 0xc0) == 0x80)) /* not within a character */
        text.n--;
    refuse(why, "unknown member \"%.*s\"; %s takes %s", (int)text.n, name, c->name, known);
}

static bool check(const struct command *c, const json_t *request, struct refusal *why)
{
    const char *key;
    json_t *value;

    json_object_foreach((json_t *)(uintptr_t)request, key, value)
    {
        const struct field *f = field_of(c, key);

        if (!f) {
            refuse_member(c, key, why);
            return false;
        }
        if (!has_type(value, f->type)) {
            refuse(why, "\"%s\" must be %s", f->name, type_names[f->type]);
            return false;
        }
    }
    for (const struct field *f = c->fields; f && f->name; f++)
        if (f->required && !json_object_get(request, f->name)) {
            refuse(why, "%s needs the member \"%s\", %s", c->name, f->name, type_names[f->type]);
            return false;
        }
    return true;
}

json_t *request_parse(const struct command *c, struct slice data, struct refusal *why)
{
    struct slice empty = SLICE("{}");
    json_error_t error;
    json_t *request;

    if (data.n > REQUEST_MAX) {
        why->reason = REASON_TOO_LARGE;
        snprintf(why->text, sizeof why->text, "too-large: a request may have %d bytes",
                 REQUEST_MAX);
        return NULL;
    }
    if (!data.n)
        data = empty;
    request = json_loadb((const char *)data.p, data.n, JSON_REJECT_DUPLICATES, &error);
    if (!json_is_object(request)) {
        if (request)
            refuse(why, "%s wants a JSON object", c->name);
        else if (json_error_code(&error) == json_error_duplicate_key)
            refuse(why, "%s: a member comes twice", c->name);
        else
            refuse(why, "%s wants a JSON object, and byte %d is not JSON", c->name, error.position);
        json_decref(request);
        return NULL;
    }
    if (check(c, request, why))
        return request;
    json_decref(request);
    return NULL;
}

const char *request_text(const struct ask *a, const char *key)
{
    return json_string_value(json_object_get(a->request, key));
}

bool request_flag(const struct ask *a, const char *key)
{
    return json_is_true(json_object_get(a->request, key));
}

uint64_t request_count(const struct ask *a, const char *key, uint64_t otherwise, uint64_t max)
{
    const json_t *value = json_object_get(a->request, key);
    uint64_t n = value ? (uint64_t)json_integer_value(value) : otherwise;

    return n < max ? n : max;
}

bool request_filter(struct ask *a, struct desk *d, const char *key)
{
    const char *filter = request_text(a, key);
    const char *error = filter ? name_filter_error(slice_str(filter)) : NULL;

    if (!error)
        return true;
    ask_refuse(a, REASON_INVALID, "%s: %s", key, error);
    ask_refused(a, d);
    return false;
}

uint64_t request_queue(struct ask *a, const struct desk *d, const char *key)
{
    const char *text = request_text(a, key);
    uint64_t id = inspect_find_queue(d->core, slice_str(text));

    if (!id)
        id = id_parse('q', text);
    if (!id || inspect_home(id) >= d->admin->o.workers) {
        ask_refuse(a, REASON_NOT_FOUND, "no queue \"%s\"", text);
        return 0;
    }
    return id;
}
