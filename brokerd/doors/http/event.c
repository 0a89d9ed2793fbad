#include "brokerd/doors/http/event.h"

void event_run_init(struct event_run *r, const struct delivery *d, bool is_queue, bool facts,
                    bool as_json)
{
    *r = (struct event_run){.d = d, .is_queue = is_queue, .facts = facts, .as_json = as_json};
    r->type = jbody_type(d->run.type);
    if (facts)
        fact_time(d->time_ms, r->time);
}

/* What other events are called: those of the door, and those that browsers make themselves. */
static bool is_taken(struct slice topic)
{
    static const struct slice taken[] = {SLICE("gap"), SLICE("end"), SLICE("error"), SLICE("open")};

    for (size_t i = 0; i < sizeof taken / sizeof *taken; i++)
        if (slice_eq(topic, taken[i]))
            return true;
    return false;
}

/* As data the payload stands as it is, so its type is always said, and never base64 in `meta`. */
static void look_at_data(struct event *e)
{
    e->is_base64 = e->body.shape != JLINE_STRING || is_taken(topic_slice(e->run->d->topic)) ||
                   (e->body.payload.n && memchr(e->body.payload.p, '\r', e->body.payload.n));
    e->body.shape = JLINE_STRING;
}

void event_init(struct event *e, const struct event_run *r, uint32_t i, const uint8_t *id)
{
    const struct msg_view *v = &r->d->run.v[i];
    struct slice headers = v->meta ? v->meta->headers : slice_of(NULL, 0);
    struct jbody_type type = r->type;
    bool has_own = v->meta && v->meta->type.id != CTYPE_NONE;

    if (has_own && !ctype_eq(v->meta->type, r->d->run.type))
        type = jbody_type(v->meta->type);
    *e = (struct event){.run = r, .i = i, .id = id};
    if (!r->as_json)
        type.is_json = type.is_plain = false;
    e->body = jbody_of(slice_of(v->data, v->len), headers, &type);
    if (!r->as_json)
        look_at_data(e);
}

uint8_t *event_put_own(const struct event_run *r, uint32_t i, struct slice id, uint8_t *p)
{
    const struct delivery *d = r->d;

    if ((r->is_queue && r->as_json) || d->attempt > 1)
        p = jput_number(jput_name(p, SLICE("attempt")), d->attempt);
    if (r->facts) {
        p = jput_number(jput_name(p, SLICE("seq")), d->seq + i);
        p = jtext_put_string(jput_name(p, SLICE("time")), slice_str(r->time));
        p = jput_number(jput_name(p, id), d->id + i);
    }
    return p;
}

static bool has_meta(const struct event *e)
{
    return e->run->facts || e->run->d->attempt > 1 || (e->run->as_json && e->run->is_queue) ||
           jbody_says_more(&e->body);
}

/* ------------------------------------------------------------------------------------ the room */

static size_t data_room(const struct event *e)
{
    struct slice s = e->body.payload;
    size_t lines = 1;

    if (e->run->as_json)
        return sizeof "data: \n" + jbody_data_room(&e->body);
    if (e->is_base64)
        return sizeof "data: \n" + base64_size(s.n);
    for (const uint8_t *p = s.p; s.n && (p = memchr(p, '\n', (size_t)(s.p + s.n - p))) != NULL; p++)
        lines++;
    return s.n + lines * sizeof "data: \n";
}

size_t event_room(const struct event *e)
{
    size_t topic = jtext_string_size(topic_slice(e->run->d->topic));

    return 128 + RECEIPT_SIZE + topic + data_room(e) + EVENT_OWN_MAX + jbody_more_room(&e->body);
}

/* --------------------------------------------------------------------------------- writing it */

static uint8_t *put_meta(const struct event *e, uint8_t *p)
{
    *p++ = '{';
    p = jbody_put_more(event_put_own(e->run, e->i, SLICE("id"), p), &e->body);
    *p++ = '}';
    return p;
}

static uint8_t *put_json(const struct event *e, uint8_t *p)
{
    p = jput(p, SLICE("data: {\"id\":"));
    p = jtext_put_string(p, topic_slice(e->run->d->topic));
    p = jput(p, SLICE(",\"data\":"));
    p = jbody_put_data(p, &e->body);
    if (has_meta(e))
        p = put_meta(e, jput(p, SLICE(",\"meta\":")));
    return jput(p, SLICE("}\n"));
}

static uint8_t *put_lines(uint8_t *p, struct slice s)
{
    for (;;) {
        const uint8_t *end = s.n ? memchr(s.p, '\n', s.n) : NULL;
        size_t n = end ? (size_t)(end - s.p) : s.n;

        p = jput(jput(p, SLICE("data: ")), slice_of(s.p, n));
        *p++ = '\n';
        if (!end)
            return p;
        s = slice_from(s, n + 1);
    }
}

static uint8_t *put_data(const struct event *e, uint8_t *p)
{
    p = jput(jput(p, SLICE("event: ")), topic_slice(e->run->d->topic));
    p = jput(p, e->is_base64 ? SLICE(" base64\n") : SLICE("\n"));
    if (has_meta(e)) {
        p = put_meta(e, jput(p, SLICE("meta: ")));
        *p++ = '\n';
    }
    if (!e->is_base64)
        return put_lines(p, e->body.payload);
    p = base64_put(jput(p, SLICE("data: ")), e->body.payload);
    *p++ = '\n';
    return p;
}

uint8_t *event_put(const struct event *e, uint8_t *p)
{
    if (e->id) {
        p = jput(jput(p, SLICE("id: ")), slice_of(e->id, RECEIPT_SIZE));
        *p++ = '\n';
    }
    p = e->run->as_json ? put_json(e, p) : put_data(e, p);
    *p++ = '\n';
    return p;
}
