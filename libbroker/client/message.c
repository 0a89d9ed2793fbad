/* Messages that arrived: lent ones point into what was read, kept ones own a copy. Strings for the
 * caller are made when they are asked for. */
#include <stdlib.h>
#include <string.h>

#include "libbroker/base/headers.h"
#include "libbroker/base/name.h"
#include "libbroker/client/message.h"
#include "libbroker/wire/composite.h"

struct entry {
    const char *name, *value; /* NUL-terminated */
    size_t value_n;
};

/* The headers as strings: entries, then their text. */
struct cl_header_table {
    size_t n;
    struct entry entry[];
};

struct broker_message {
    atomic_uint refs; /* 0: lent */
    uint32_t attempt;
    broker_subscription *sub;
    uint64_t number;
    struct slice metadata, data;
    struct slice topic, type, headers;        /* within metadata */
    const char *default_topic, *default_type; /* where metadata say nothing */
    bool has_topic, has_type;                 /* the strings below are made */
    char topic_text[NAME_MAX_BYTES + 1];
    char type_text[COMPOSITE_NAME_MAX + 1];
    struct cl_header_table *table; /* NULL: not made yet */
    uint8_t own[];                 /* kept: metadata, then data */
};

broker_message *cl_message_new_lent(broker *b)
{
    broker_message *m = calloc(1, sizeof *m);

    if (m)
        m->default_type = b->opt.data_type;
    return m;
}

static void drop_table(broker_message *m)
{
    free(m->table);
    m->table = NULL;
}

void cl_message_free_lent(broker_message *m)
{
    if (!m)
        return;
    drop_table(m);
    free(m);
}

void cl_message_lend(broker_message *m, broker_subscription *s, const char *topic, uint64_t number,
                     struct slice data)
{
    m->sub = s;
    m->number = number;
    m->attempt = 1;
    m->default_topic = topic;
    m->metadata = m->topic = m->type = m->headers = (struct slice){NULL, 0};
    m->data = data;
    m->has_topic = m->has_type = false;
    if (m->table)
        drop_table(m);
}

static uint32_t parse_attempt(struct slice value)
{
    uint32_t n = 0;

    for (size_t i = 0; i < value.n; i++) {
        if (value.p[i] < '0' || value.p[i] > '9' || n > 100000000)
            return 1;
        n = n * 10 + (uint32_t)(value.p[i] - '0');
    }
    return n > 0 ? n : 1;
}

bool cl_message_parse(broker_message *m, struct slice metadata)
{
    struct slice rest = metadata, value;
    struct composite_item item;
    struct mime mime;
    int r;

    m->metadata = metadata;
    while ((r = composite_next(&rest, &item)) > 0) {
        if (item.mime.id == MIME_ROUTING) {
            if (routing_next(&item.value, &m->topic) < 0)
                return false;
        } else if (item.mime.id == MIME_DATA_TYPE) {
            if (data_type_decode(item.value, &mime) < 0)
                return false;
            m->type = mime.name;
        } else if (slice_eq(item.mime.name, SLICE(HEADERS_MIME))) {
            m->headers = item.value;
        }
    }
    if (headers_find(m->headers, SLICE("$attempt"), &value))
        m->attempt = parse_attempt(value);
    return r == 0;
}

struct slice cl_message_take_route(broker_message *m)
{
    struct slice route = m->topic;

    m->topic = (struct slice){NULL, 0};
    return route;
}

struct slice cl_message_headers(const broker_message *m)
{
    return m->headers;
}

/* Copy as much as fits; what is longer than any valid name is cut. */
static void make_text(char *text, size_t size, struct slice s, const char *fallback)
{
    if (s.n == 0 && fallback)
        s = slice_str(fallback);
    if (s.n > size - 1)
        s.n = size - 1;
    if (s.n > 0)
        memcpy(text, s.p, s.n);
    text[s.n] = '\0';
}

const char *broker_message_topic(const broker_message *cm)
{
    broker_message *m = (broker_message *)cm;

    if (!m->has_topic) {
        make_text(m->topic_text, sizeof m->topic_text, m->topic, m->default_topic);
        m->has_topic = true;
    }
    return m->topic_text;
}

const char *broker_message_content_type(const broker_message *cm)
{
    broker_message *m = (broker_message *)cm;

    if (!m->has_type) {
        make_text(m->type_text, sizeof m->type_text, m->type, m->default_type);
        m->has_type = true;
    }
    return m->type_text;
}

const void *broker_message_data(const broker_message *m, size_t *ret_len)
{
    if (ret_len)
        *ret_len = m->data.n;
    return m->data.p ? (const void *)m->data.p : "";
}

size_t broker_message_size(const broker_message *m)
{
    return m->data.n;
}

uint32_t broker_message_attempt(const broker_message *m)
{
    return m->attempt;
}

uint64_t broker_message_number(const broker_message *m)
{
    return m->number;
}

broker_subscription *broker_message_subscription(const broker_message *m)
{
    return m->sub;
}

/* Make the table of strings; NULL without memory. Broken headers end it. */
static struct cl_header_table *table_of(const broker_message *cm)
{
    broker_message *m = (broker_message *)cm;
    struct slice rest = m->headers;
    struct header h;
    size_t n = 0, bytes = 0;
    char *text;

    if (m->table)
        return m->table;
    while (headers_next(&rest, &h) > 0) {
        n++;
        bytes += h.name.n + h.value.n + 2;
    }
    m->table = malloc(sizeof *m->table + n * sizeof(struct entry) + bytes);
    if (!m->table)
        return NULL;
    m->table->n = n;
    text = (char *)&m->table->entry[n];
    rest = m->headers;
    for (struct entry *e = m->table->entry; headers_next(&rest, &h) > 0; e++) {
        e->name = text;
        memcpy(text, h.name.p, h.name.n);
        text[h.name.n] = '\0';
        text += h.name.n + 1;
        e->value = text;
        e->value_n = h.value.n;
        if (h.value.n > 0)
            memcpy(text, h.value.p, h.value.n);
        text[h.value.n] = '\0';
        text += h.value.n + 1;
    }
    return m->table;
}

const char *broker_message_header(const broker_message *m, const char *name, size_t *ret_len)
{
    const struct cl_header_table *t;

    if (m->headers.n == 0)
        return NULL;
    t = table_of(m);
    for (size_t i = 0; t && i < t->n; i++) {
        if (strcmp(t->entry[i].name, name) != 0)
            continue;
        if (ret_len)
            *ret_len = t->entry[i].value_n;
        return t->entry[i].value;
    }
    return NULL;
}

bool broker_message_header_at(const broker_message *m, size_t i, struct broker_header *ret)
{
    const struct cl_header_table *t = m->headers.n > 0 ? table_of(m) : NULL;

    if (!t || i >= t->n)
        return false;
    *ret = (struct broker_header){t->entry[i].name, t->entry[i].value};
    return true;
}

/* The same piece of `from`, once `from` has been copied to `to`. */
static struct slice moved(struct slice s, struct slice from, uint8_t *to)
{
    return s.n > 0 ? slice_of(to + (s.p - from.p), s.n) : s;
}

/* A copy that owns its bytes. */
static broker_message *copy_of(const broker_message *m)
{
    broker_message *c = malloc(sizeof *c + m->metadata.n + m->data.n);

    if (!c)
        return NULL;
    atomic_init(&c->refs, 1);
    c->attempt = m->attempt;
    c->sub = m->sub;
    c->number = m->number;
    c->metadata = slice_of(c->own, m->metadata.n);
    c->data = slice_of(c->own + m->metadata.n, m->data.n);
    if (m->metadata.n > 0)
        memcpy(c->own, m->metadata.p, m->metadata.n);
    if (m->data.n > 0)
        memcpy(c->own + m->metadata.n, m->data.p, m->data.n);
    c->topic = moved(m->topic, m->metadata, c->own);
    c->headers = moved(m->headers, m->metadata, c->own);
    c->type = (struct slice){NULL, 0}; /* may be a static name: made into text at once */
    c->default_topic = c->default_type = NULL;
    make_text(c->topic_text, sizeof c->topic_text, m->topic, m->default_topic);
    make_text(c->type_text, sizeof c->type_text, m->type, m->default_type);
    c->has_topic = c->has_type = true;
    c->table = NULL;
    return c;
}

broker_message *broker_message_ref(const broker_message *cm)
{
    broker_message *m = (broker_message *)cm;

    if (atomic_load_explicit(&m->refs, memory_order_relaxed) == 0)
        return copy_of(m);
    atomic_fetch_add_explicit(&m->refs, 1, memory_order_relaxed);
    return m;
}

void broker_message_unref(broker_message *m)
{
    if (!m || atomic_load_explicit(&m->refs, memory_order_relaxed) == 0)
        return;
    if (atomic_fetch_sub_explicit(&m->refs, 1, memory_order_acq_rel) > 1)
        return;
    drop_table(m);
    free(m);
}
