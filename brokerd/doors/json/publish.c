#include "brokerd/doors/json/publish.h"

#include "brokerd/doors/options.h"
#include "libbroker/wire/mime.h"

#include <errno.h>
#include <stdlib.h>

/* What may have to be said of a message that has not settled. */
struct jasked {
    uint64_t confirm;
    struct jtopic *topic; /* or queue; NULL: there is a number, or nothing to name */
    bool is_queue;
    bool has_confirm;
    bool require; /* no-match is a refusal */
};

/* --------------------------------------------------------------------------------- the payload */

static int bad(struct refusal *why, const char *text)
{
    refuse(why, REASON_INVALID, "%s", text);
    return -EINVAL;
}

static int read_base64(struct slice value, struct slice base64, struct jpayload *p,
                       struct refusal *why)
{
    if (value.n && !slice_eq(value, SLICE("null")))
        return bad(why, "with base64, data is null or not there");
    p->own = malloc(base64.n / 4 * 3 + 3);
    if (!p->own) {
        refuse_memory(why);
        return -ENOMEM;
    }
    p->data.p = p->own;
    if (base64_decode(base64, p->own, &p->data.n) < 0)
        return bad(why, "base64 is not base64 with padding (RFC 4648)");
    return 0;
}

/* The text of a string, which lies in the line unless it has escapes. */
static int read_string(struct slice value, struct jpayload *p, struct refusal *why)
{
    p->data = slice_of(value.p + 1, value.n - 2);
    if (p->data.n == 0 || !memchr(p->data.p, '\\', p->data.n))
        return 0;
    p->own = malloc(p->data.n);
    if (!p->own) {
        refuse_memory(why);
        return -ENOMEM;
    }
    p->data = slice_of(p->own, jtext_unescape(p->data, p->own));
    return 0;
}

int jpayload_read(struct slice value, struct slice base64, bool has_type, struct slice type,
                  struct jpayload *ret, struct refusal *ret_why)
{
    bool is_string = jtext_is_string(value);

    *ret = (struct jpayload){.type = {.id = CTYPE_NONE}};
    if (has_type)
        ret->type = ctype_of(type);
    if (has_type && type.n > 0 && ret->type.id == CTYPE_NONE)
        return bad(ret_why, "a type is 1 to 128 characters of ASCII, none of them a control");
    if (base64.p)
        return read_base64(value, base64, ret, ret_why);
    if (!value.n)
        return bad(ret_why, "data is missing; it may be null");
    if (has_type ? jline_is_json(type) : !is_string) {
        if (!has_type)
            ret->type.id = MIME_JSON;
        ret->data = value;
        return 0;
    }
    if (!is_string)
        return bad(ret_why, "data of a type that is not JSON must be a string, or base64");
    return read_string(value, ret, ret_why);
}

/* -------------------------------------------------------------------------------- publishing */

static bool is_option(struct slice name)
{
    static const char *const names[] = {"ttl", "require", "reply-to", "dedup"};

    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (slice_eq(name, slice_str(names[i])))
            return true;
    }
    return false;
}

static void name_unref(struct jtopic *t)
{
    if (t && --t->refs == 0)
        free(t);
}

/* The topic of an event: the last one's, most often. NULL: too long, or no memory; then an error
 * will not name it. */
static struct jtopic *name_ref(struct jpeer *c, struct slice name)
{
    struct jtopic *t = c->topic;

    if (t && slice_eq(slice_of(t->name, t->n), name)) {
        t->refs++;
        return t;
    }
    t = name.n <= UINT8_MAX ? malloc(sizeof *t + name.n) : NULL;
    name_unref(c->topic);
    c->topic = t;
    if (!t)
        return NULL;
    t->refs = 2; /* the connection's, and the message's */
    t->n = (uint8_t)name.n;
    memcpy(t->name, name.p, name.n);
    return t;
}

static int no_memory(struct refusal *why)
{
    refuse_memory(why);
    return -ENOMEM;
}

static int publish(struct jpeer *c, const struct target *to, const struct jpayload *p,
                   const struct msg_meta *meta, struct block *block, struct jasked *asked,
                   struct refusal *why)
{
    bool says = meta->headers.n > 0 || meta->ttl_ms > 0 || meta->require;
    struct msg_view v = {.data = p->data.n ? p->data.p : (const uint8_t *)"",
                         .len = (uint32_t)p->data.n,
                         .meta = says ? meta : NULL,
                         .block = p->own ? NULL : block};
    struct run run = {.v = &v, .n = 1, .bytes = p->data.n, .type = p->type};
    struct jasked *slot = deque_push(&c->asked);
    int r;

    if (!slot)
        return no_memory(why);
    r = window_publish(&c->window, to, &run, why);
    if (r == -EPIPE)
        refuse(why, REASON_DRAINING, "the broker is about to stop");
    if (r == -ENOMEM || (r == 0 && window_await(&c->window, 1, 0) < 0)) {
        refuse_memory(why);
        jpeer_fail(c, why); /* the window cannot go on */
        r = -EPIPE;
    }
    if (r < 0)
        deque_unpush(&c->asked);
    else
        *slot = *asked;
    return r;
}

int jmessage_read(struct jask *a, struct slice data, struct jmessage *ret, struct refusal *ret_why)
{
    struct slice headers, type = {NULL, 0};
    struct options options;
    int r = jask_text(a, "type", false, &type, ret_why);

    *ret = (struct jmessage){.left = NULL};
    if (r == 0)
        r = jask_headers(a, is_option, &headers, ret_why);
    if (r == 0 && !(ret->left = malloc(headers.n + 1)))
        r = no_memory(ret_why);
    if (r == 0)
        r = options_read(headers, OPTIONS_MESSAGE, ret->left, &options, ret_why);
    if (r == 0)
        r = jpayload_read(data, a->base64, type.p != NULL, type, &ret->payload, ret_why);
    if (r == 0)
        ret->meta = (struct msg_meta){.headers = options.headers,
                                      .type = ret->payload.type,
                                      .ttl_ms = options.ttl_ms,
                                      .require = options.require,
                                      .dedup = options.dedup};
    return r;
}

void jmessage_free(struct jmessage *m)
{
    free(m->left);
    free(m->payload.own);
}

/* The message that `a` describes, to `to`. */
static int publish_asked(struct jpeer *c, struct jask *a, struct slice data,
                         const struct target *to, struct block *block, struct jasked *asked,
                         struct refusal *why)
{
    struct jmessage m;
    int r = jmessage_read(a, data, &m, why);

    if (r == 0) {
        asked->require = m.meta.require;
        r = publish(c, to, &m.payload, &m.meta, block, asked, why);
    }
    jmessage_free(&m);
    return r;
}

int jpublish_event(struct jpeer *c, struct slice topic, const struct json_message *m,
                   struct block *block, struct refusal *ret_why)
{
    static const struct msg_meta nothing = {.type = {.id = CTYPE_NONE}};
    const struct target to = {false, topic};
    struct jpayload payload = {.own = NULL};
    struct jasked asked = {.topic = NULL};
    struct jask a;
    int r;

    asked.topic = name_ref(c, topic);
    if (m->meta.n) {
        r = jask_load(&a, m->meta, ret_why);
        if (r == 0 && a.data.n)
            r = bad(ret_why, "data stands beside meta, not within");
        if (r == 0)
            r = publish_asked(c, &a, m->data, &to, block, &asked, ret_why);
        jask_free(&a);
    } else {
        r = jpayload_read(m->data, slice_of(NULL, 0), false, slice_of(NULL, 0), &payload, ret_why);
        if (r == 0)
            r = publish(c, &to, &payload, &nothing, block, &asked, ret_why);
        free(payload.own);
    }
    if (r < 0)
        name_unref(asked.topic);
    return r;
}

int jpublish(struct jpeer *c, struct jask *a, struct block *block, struct refusal *ret_why)
{
    struct jasked asked = {.topic = NULL};
    struct slice name;
    struct target to;
    int r = jask_number(a, "confirm", INT64_MAX, &asked.has_confirm, &asked.confirm, ret_why);

    a->about.has_confirm = r == 0 && asked.has_confirm;
    a->about.confirm = asked.confirm;
    to.is_queue = asked.is_queue = json_object_get(a->members, "queue") != NULL;
    if (r == 0)
        r = jask_text(a, to.is_queue ? "queue" : "topic", true, &name, ret_why);
    if (r < 0)
        return r;
    *(to.is_queue ? &a->about.queue : &a->about.topic) = to.name = name;
    if (!asked.has_confirm)
        asked.topic = name_ref(c, name);
    r = publish_asked(c, a, a->data, &to, block, &asked, ret_why);
    if (r < 0)
        name_unref(asked.topic);
    return r;
}

void jpublish_init(struct jpeer *c)
{
    deque_init(&c->asked, sizeof(struct jasked));
}

void jpublish_fini(struct jpeer *c)
{
    for (; deque_len(&c->asked); deque_pop(&c->asked))
        name_unref(((struct jasked *)deque_slot(&c->asked, deque_first(&c->asked)))->topic);
    deque_fini(&c->asked);
    name_unref(c->topic);
    c->topic = NULL;
}

/* --------------------------------------------------------------------------------- callbacks */

static void say_refused(struct jpeer *c, const struct jasked *asked, const struct outcome *o)
{
    struct jabout about = {.confirm = asked->confirm, .has_confirm = asked->has_confirm};
    struct refusal why;

    if (asked->topic)
        *(asked->is_queue ? &about.queue : &about.topic) =
            slice_of(asked->topic->name, asked->topic->n);
    refuse_outcome(&why, o);
    jsay_error(c, &why, &about);
}

static void say_confirmed(struct jpeer *c, const struct jasked *asked, const struct outcome *o)
{
    struct jsaying l;

    jsay_begin(&l, c, "$confirmed");
    jsay_number(&l, "confirm", asked->confirm);
    jsay_number(&l, "matched", o->matched);
    jsay_number(&l, "accepted", o->accepted);
    jsay_end(&l);
}

static void settled(void *ctx, uint64_t token, const struct outcome *o)
{
    struct jpeer *c = ctx;
    struct jasked asked = *(struct jasked *)deque_slot(&c->asked, deque_first(&c->asked));

    (void)token; /* they come in the order of asking */
    deque_pop(&c->asked);
    if (reason_is_refusal(o->reason) && (asked.require || o->reason != REASON_NO_MATCH))
        say_refused(c, &asked, o);
    else if (asked.has_confirm)
        say_confirmed(c, &asked, o);
    name_unref(asked.topic);
    jpeer_answered(c);
}

static void pause(void *ctx, bool paused)
{
    struct jpeer *c = ctx;

    c->paused = paused;
    if (!paused) /* it could not be heard: that was no silence */
        c->heard_ms = core_now(c->link->host->core);
    link_pause(c->link, paused);
}

const struct window_ops jpublish_window = {.settled = settled, .pause = pause};
