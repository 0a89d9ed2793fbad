/* Things of the core as JSON, with the members of docs/admin-api.md. */
#include "brokerd/admin/internal.h"
#include "libbroker/base/headers.h"
#include "libbroker/base/utf8.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

/* ------------------------------------------------------------------------------- plain things */

const char *id_text(char kind, uint64_t id, char buf[ID_TEXT_MAX])
{
    snprintf(buf, ID_TEXT_MAX, "%c%u-%" PRIx64, kind, inspect_home(id),
             id & ((UINT64_C(1) << 56) - 1));
    return buf;
}

/* Digits up to `end`, which must follow them. -1: they are not there. */
static int64_t parse_digits(const char **text, int base, char end)
{
    const char *digits = base == 16 ? "0123456789abcdef" : "0123456789";
    size_t n = strspn(*text, digits);
    int64_t value;

    if (n == 0 || n > 14 || (*text)[n] != end)
        return -1;
    value = strtoll(*text, NULL, base);
    *text += n + (end != '\0');
    return value;
}

uint64_t id_parse(char kind, const char *text)
{
    int64_t home, low;

    if (*text++ != kind)
        return 0;
    home = parse_digits(&text, 10, '-');
    low = home < 0 ? -1 : parse_digits(&text, 16, '\0');
    return low > 0 && home < CORE_MAX_WORKERS ? (uint64_t)home << 56 | (uint64_t)low : 0;
}

json_t *json_id(char kind, uint64_t id)
{
    char buf[ID_TEXT_MAX];

    return json_string(id_text(kind, id, buf));
}

const char *time_text(int64_t wall_ms, char buf[TIME_TEXT_MAX])
{
    time_t s = (time_t)(wall_ms / 1000);
    struct tm tm;
    size_t n;

    gmtime_r(&s, &tm);
    n = strftime(buf, TIME_TEXT_MAX, "%Y-%m-%dT%H:%M:%S", &tm);
    snprintf(buf + n, TIME_TEXT_MAX - n, ".%03dZ", (int)(wall_ms % 1000));
    return buf;
}

json_t *json_number(uint64_t n)
{
    return json_integer(n < INT64_MAX ? (json_int_t)n : INT64_MAX);
}

json_t *json_slice(struct slice text)
{
    char *copy;
    json_t *j;

    if (utf8_valid(text))
        return json_stringn(text.n ? (const char *)text.p : "", text.n);
    copy = malloc(text.n);
    if (!copy)
        return NULL;
    for (size_t i = 0; i < text.n; i++)
        copy[i] = text.p[i] < 0x80 ? (char)text.p[i] : '?';
    j = json_stringn(copy, text.n);
    free(copy);
    return j;
}

json_t *json_text(const char *text)
{
    return json_slice(slice_str(text));
}

/* ----------------------------------------------------------------------------------- counters */

static json_t *reasons(const uint64_t *count, bool refusals)
{
    json_t *o = json_object();

    for (unsigned r = 1; r < REASON_TABLE_SIZE; r++)
        if (count[r] && reason_is_refusal((enum reason)r) == refusals)
            json_object_set_new(o, reason_name((enum reason)r), json_number(count[r]));
    return o;
}

json_t *json_reasons(const uint64_t *count)
{
    json_t *o = reasons(count, true);

    json_object_update_missing_new(o, reasons(count, false));
    return o;
}

json_t *json_counters(const struct inspect_counters *c)
{
    const struct {
        const char *key;
        uint64_t n;
    } rows[] = {
        {"published", c->published},
        {"delivered", c->delivered},
        {"acked", c->acked},
        {"nacked", c->nacked},
        {"redelivered", c->redelivered},
        {"late", c->late},
        {"timeouts", c->timeouts},
        {"dead_lettered", c->dead_lettered},
        {"duplicates", c->duplicates},
        {"unroutable", c->unroutable},
    };
    json_t *o = json_object();

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        if (i < 3 || rows[i].n)
            json_object_set_new(o, rows[i].key, json_number(rows[i].n));
    json_object_set_new(o, "refused", reasons(c->reason, true));
    json_object_set_new(o, "lost", reasons(c->reason, false));
    return o;
}

/* ------------------------------------------------------------------------------------- queues */

static json_t *json_limit(uint64_t n)
{
    return n == POLICY_UNLIMITED ? json_null() : json_number(n);
}

/* As the settings write it: what keeps it now, whatever they say by now. */
static json_t *json_level(const struct inspect_queue *q)
{
    char value[POLICY_ERROR_MAX];

    if (!q->store)
        return json_string(durable_name(DURABLE_MEMORY));
    if (strcmp(q->store, durable_name(q->policy->durable)) != 0 ||
        policy_get_key(q->policy, POLICY_QUEUE, SLICE("durable"), value, sizeof value) < 0)
        return json_string(q->store);
    return json_string(value);
}

static void tell_stored(json_t *o, const struct inspect_queue *q)
{
    json_object_set_new(o, "in_store", json_number(q->away));
    json_object_set_new(o, "unstored", json_number(q->unstored));
    if (q->unstored_ms >= 0) {
        json_object_set_new(o, "unstored_bytes", json_number(q->unstored_bytes));
        json_object_set_new(o, "unstored_ms", json_integer(q->unstored_ms));
    }
    if (q->store_refuses != REASON_NONE)
        json_object_set_new(o, "store_refuses", json_string(reason_name(q->store_refuses)));
    if (q->unopened_ms >= 0) {
        json_object_set_new(o, "unopened_ms", json_integer(q->unopened_ms));
        json_object_set_new(o, "store_text", json_text(q->store_trouble ? q->store_trouble : ""));
    }
    if (q->damaged)
        json_object_set_new(o, "damaged", json_number(q->damaged));
    if (q->letters) {
        json_object_set_new(o, "letters_waiting", json_number(q->letters));
        json_object_set_new(o, "letters_ms", json_integer(q->letters_ms));
        json_object_set_new(o, "letters_refused", json_string(reason_name(q->letters_why)));
    }
    if (q->letters_stop)
        json_object_set_new(o, "letters_stop", json_true());
}

json_t *json_queue(const struct inspect_queue *q)
{
    json_t *o = json_object();

    json_object_set_new(o, "id", json_id('q', q->id));
    json_object_set_new(o, "name", q->name ? json_text(q->name) : json_null());
    if (!q->name)
        json_object_set_new(o, "filter", json_text(q->label));
    if (*q->client)
        json_object_set_new(o, "client", json_text(q->client));
    json_object_set_new(o, "worker", json_number(inspect_home(q->id)));
    json_object_set_new(o, "depth", json_number(q->depth));
    json_object_set_new(o, "bytes", json_number(q->bytes));
    json_object_set_new(o, "unacked", json_number(q->unacked));
    json_object_set_new(o, "delayed", json_number(q->delayed));
    json_object_set_new(o, "held", json_number(q->held));
    json_object_set_new(o, "consumers", json_number(q->consumers));
    json_object_set_new(o, "max_messages", json_limit(q->policy->max_messages));
    json_object_set_new(o, "max_bytes", json_limit(q->policy->max_bytes));
    json_object_set_new(o, "overflow", json_string(overflow_name(q->policy->overflow)));
    if (q->name)
        json_object_set_new(o, "durable", json_level(q));
    if (q->store)
        tell_stored(o, q);
    if (q->oldest_ms >= 0)
        json_object_set_new(o, "oldest_ms", json_integer(q->oldest_ms));
    if (q->full_ms >= 0)
        json_object_set_new(o, "full_ms", json_integer(q->full_ms));
    if (q->stuck)
        json_object_set_new(o, "stuck", json_true());
    if (q->ids)
        json_object_set_new(o, "ids", json_number(q->ids));
    if (q->ids_forgotten)
        json_object_set_new(o, "ids_forgotten", json_number(q->ids_forgotten));
    json_object_set_new(o, "counters", json_counters(&q->count));
    return o;
}

static bool add_filter(void *ctx, struct slice filter)
{
    json_array_append_new(ctx, json_slice(filter));
    return true;
}

json_t *json_bindings(const struct desk *d, uint64_t queue)
{
    json_t *bindings = json_array();

    inspect_bindings(d->core, queue, add_filter, bindings);
    return bindings;
}

static json_t *policy(const struct inspect_queue *q)
{
    enum policy_kind kind = q->name ? POLICY_QUEUE : POLICY_SUBSCRIPTION;
    json_t *o = json_object();
    const char *key;

    for (size_t i = 0; (key = policy_key_name(kind, i)) != NULL; i++) {
        char value[POLICY_ERROR_MAX];

        if (policy_get_key(q->policy, kind, slice_str(key), value, sizeof value) == 0)
            json_object_set_new(o, key, json_text(value));
    }
    return o;
}

json_t *json_queue_info(const struct desk *d, const struct inspect_queue *q)
{
    json_t *o = json_queue(q);

    json_object_set_new(o, "policy", policy(q));
    json_object_set_new(o, "bindings", json_bindings(d, q->id));
    return o;
}

/* ----------------------------------------------------------------------------------- messages */

static json_t *base64(struct slice s)
{
    static const char letters[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    size_t n = (s.n + 2) / 3 * 4;
    char *text = malloc(n + 1), *p = text;
    json_t *j;

    if (!text)
        return NULL;
    for (size_t i = 0; i < s.n; i += 3) {
        uint32_t v = (uint32_t)s.p[i] << 16;

        v |= i + 1 < s.n ? (uint32_t)s.p[i + 1] << 8 : 0;
        v |= i + 2 < s.n ? s.p[i + 2] : 0;
        *p++ = letters[v >> 18];
        *p++ = letters[v >> 12 & 63];
        *p++ = i + 1 < s.n ? letters[v >> 6 & 63] : '=';
        *p++ = i + 2 < s.n ? letters[v & 63] : '=';
    }
    j = json_stringn(text, n);
    free(text);
    return j;
}

/* Not within a character, if it is text at all. */
static struct slice first_bytes(struct slice data, uint64_t max)
{
    struct slice s = data;

    if (s.n <= max)
        return s;
    s.n = max;
    while (s.n && max - s.n < 4 && (data.p[s.n] & 0xc0) == 0x80)
        s.n--;
    return utf8_valid(s) ? s : slice_of(data.p, max);
}

static const char *type_name(struct ctype type, char *buf, size_t size)
{
    static const struct {
        uint8_t id;
        const char *name;
    } known[] = {
        {CONTENT_JSON, "application/json"},
        {0x06, "application/octet-stream"},
        {0x21, "text/plain"},
        {0x01, "application/cbor"},
    };

    if (type.id == CTYPE_NAMED) {
        snprintf(buf, size, "%.*s", (int)type.name.n, (const char *)type.name.p);
        return buf;
    }
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
        if (known[i].id == type.id)
            return known[i].name;
    if (type.id < CTYPE_NONE)
        snprintf(buf, size, "0x%02x", type.id);
    return type.id < CTYPE_NONE ? buf : "";
}

static json_t *headers(struct slice rest)
{
    json_t *o = json_object();
    struct header h;

    while (headers_next(&rest, &h) > 0) {
        char name[HEADERS_NAME_MAX + 1];

        snprintf(name, sizeof name, "%.*s", (int)h.name.n, (const char *)h.name.p);
        json_object_set_new(o, name, json_slice(h.value));
    }
    return o;
}

json_t *json_message(const struct inspect_message *m, uint64_t bytes)
{
    struct slice data = first_bytes(m->data, bytes);
    char id[ID_TEXT_MAX], time[TIME_TEXT_MAX], type[136] = "";
    json_t *o = json_object();

    json_object_set_new(o, "seq", json_number(m->seq));
    json_object_set_new(o, "id", json_string(id_text('m', m->id, id)));
    json_object_set_new(o, "topic", json_slice(m->topic));
    json_object_set_new(o, "type", json_text(type_name(m->type, type, sizeof type)));
    json_object_set_new(o, "time", json_string(time_text(m->time_ms, time)));
    json_object_set_new(o, "attempt", json_number(m->attempts));
    json_object_set_new(o, "state", json_string(m->state));
    json_object_set_new(o, "size", json_number(m->data.n));
    json_object_set_new(o, "headers", headers(m->headers));
    if (utf8_valid(data))
        json_object_set_new(o, "data", json_slice(data));
    else
        json_object_set_new(o, "base64", base64(data));
    return o;
}
