/* scripted_store.h - a store that does nothing by itself: it notes what it is told, as text, and
 * answers what the test says, when the test says.
 *
 * Shape    What it was told since the last look is `said`: "put 1+3;" "gone 2+1;" "back 4 x1 @50;"
 *          "fetch 5;" "close;" "remove;". What was put lies in `kept` by number, for
 *          script_messages() to answer a fetch with. One queue. */
#ifndef TESTS_UNIT_CORE_SCRIPTED_STORE_H
#define TESTS_UNIT_CORE_SCRIPTED_STORE_H

#include "brokerd/core/durable.h"
#include "brokerd/core/queue.h"
#include "tests/unit/core/world.h"

#include <errno.h>
#include <stdarg.h>

enum { SCRIPT_KEPT = 4096, SCRIPT_TEXT = 24 };

struct script {
    struct store base;
    struct queue *queue;
    char said[4096];
    int refuse;       /* put() answers so */
    uint32_t largest; /* a longer one is too large; 0: none is */
    bool is_open;
    uint64_t fetch_from, fetch_n; /* of the last fetch */
    uint64_t next;                /* shared: the number that the next put gets */
    struct script_message {
        bool there;
        uint32_t len, attempts;
        int64_t time_ms, ttl_ms, due_ms;
        uint64_t id;
        char text[SCRIPT_TEXT]; /* the payload's beginning */
        uint8_t headers[200];
        size_t headers_n;
    } kept[SCRIPT_KEPT];
};

static uint8_t script_zeros[1 << 20];

__attribute__((format(printf, 2, 3))) static inline void script_say(struct script *s,
                                                                    const char *format, ...)
{
    size_t n = strlen(s->said);
    va_list ap;

    va_start(ap, format);
    (void)vsnprintf(s->said + n, sizeof s->said - n, format, ap);
    va_end(ap);
}

static inline struct script *script_of(struct store_queue *q)
{
    return (struct script *)(void *)q;
}

static inline struct store_queue *script_open(struct store *st, const struct store_open *o,
                                              handle_t queue)
{
    struct script *s = (struct script *)(void *)st;

    (void)o;
    (void)queue;
    s->is_open = true;
    return (struct store_queue *)(void *)s;
}

static inline void script_define(struct store_queue *q, const struct store_open *o)
{
    (void)q;
    (void)o;
}

static inline int script_put(struct store_queue *q, uint64_t first, const struct run *run,
                             const struct msg_origin *from)
{
    struct script *s = script_of(q);

    script_say(s, "put %llu+%u;", (unsigned long long)first, run->n);
    if (s->refuse)
        return s->refuse;
    for (uint32_t i = 0; s->largest && i < run->n; i++)
        if (run->v[i].len > s->largest)
            return -EMSGSIZE;
    for (uint32_t i = 0; i < run->n; i++) {
        const struct msg_view *v = &run->v[i];
        uint64_t seq = s->base.ops->shared ? s->next++ : first + i;
        struct script_message *m = &s->kept[seq % SCRIPT_KEPT];

        *m = (struct script_message){.there = true,
                                     .len = v->len,
                                     .time_ms = from->time_ms,
                                     .ttl_ms = v->meta ? v->meta->ttl_ms : 0,
                                     .id = from->id + i};
        memcpy(m->text, v->data, v->len < SCRIPT_TEXT ? v->len : SCRIPT_TEXT);
        if (v->meta && v->meta->headers.n <= sizeof m->headers) {
            m->headers_n = v->meta->headers.n;
            if (m->headers_n)
                memcpy(m->headers, v->meta->headers.p, m->headers_n);
        }
    }
    return 0;
}

static inline void script_fetch(struct store_queue *q, uint64_t from, uint32_t n, uint64_t bytes)
{
    struct script *s = script_of(q);

    (void)bytes;
    s->fetch_from = from;
    s->fetch_n = n;
    if (s->base.ops->shared)
        script_say(s, "fetch +%u;", n);
    else
        script_say(s, "fetch %llu;", (unsigned long long)from);
}

static inline void script_settle(struct store_queue *q, const struct store_settlement *l, size_t n)
{
    struct script *s = script_of(q);

    for (; n--; l++) {
        if (l->verb == SETTLE_GONE)
            script_say(s, "gone %llu+%u;", (unsigned long long)l->seq, l->count);
        else
            script_say(s, "back %llu x%u @%lld;", (unsigned long long)l->seq, l->attempts,
                       (long long)l->due_ms);
        for (uint64_t i = l->seq; l->verb == SETTLE_GONE && i < l->seq + l->count; i++)
            s->kept[i % SCRIPT_KEPT].there = false;
        if (l->verb == SETTLE_RETURNED) {
            s->kept[l->seq % SCRIPT_KEPT].attempts = l->attempts;
            s->kept[l->seq % SCRIPT_KEPT].due_ms = l->due_ms;
        }
    }
}

static inline int script_peek(struct store_queue *q, uint64_t from, uint32_t n, uint64_t token)
{
    (void)q;
    (void)from;
    (void)n;
    (void)token;
    return -ENOMEM;
}

static inline int script_purge(struct store_queue *q, uint64_t upto,
                               const struct store_settlement *but, size_t n, uint64_t token)
{
    (void)but;
    (void)n;
    (void)token;
    script_say(script_of(q), "purge %llu;", (unsigned long long)upto);
    return 0;
}

static inline int script_ask(struct store_queue *q, uint64_t token)
{
    (void)q;
    (void)token;
    return -ENOMEM;
}

static inline void script_close(struct store_queue *q, bool remove)
{
    struct script *s = script_of(q);

    script_say(s, remove ? "remove;" : "close;");
    s->is_open = false;
}

static inline void script_flush(struct store *s)
{
    (void)s;
}

static inline bool script_busy(const struct store *s)
{
    (void)s;
    return false;
}

#define SCRIPT_OPS(is_shared)                                                                      \
    {                                                                                              \
        .name = "script", .shared = is_shared, .open = script_open, .define = script_define,       \
        .put = script_put, .fetch = script_fetch, .settle = script_settle, .peek = script_peek,    \
        .purge = script_purge, .ask = script_ask, .close = script_close, .flush = script_flush,    \
        .busy = script_busy,                                                                       \
    }

static const struct store_ops script_exclusive = SCRIPT_OPS(false);
static const struct store_ops script_shared = SCRIPT_OPS(true);

/* ---------------------------------------------------------------------------- answers */

static inline void script_answer(struct script *s, enum stored_kind kind, uint64_t first,
                                 uint64_t count, enum reason reason)
{
    durable_stored(s->queue, &(struct stored){.kind = kind,
                                              .queue = s->queue->handle,
                                              .first = first,
                                              .count = count,
                                              .reason = reason});
}

/* first .. first + count - 1 are kept, or refused for a reason. */
static inline void script_put_done(struct script *s, uint64_t first, uint64_t count,
                                   enum reason reason)
{
    if (reason != REASON_NONE)
        for (uint64_t i = first; !s->base.ops->shared && i < first + count; i++)
            s->kept[i % SCRIPT_KEPT].there = false;
    script_answer(s, STORED_PUT, first, count, reason);
}

/* Answer a fetch: what is kept from `first` to below `upto`, at most `most`. */
static inline void script_messages(struct script *s, uint64_t first, uint64_t upto, uint32_t most)
{
    static struct stored_message m[SCRIPT_KEPT];
    struct stored a = {.kind = STORED_MESSAGES, .first = first, .upto = upto, .messages = m};

    for (uint64_t i = first; i < upto; i++) {
        const struct script_message *k = &s->kept[i % SCRIPT_KEPT];

        if (!k->there)
            continue;
        if (a.n == most) {
            a.upto = i;
            break;
        }
        m[a.n++] = (struct stored_message){
            .seq = i,
            .id = k->id,
            .time_ms = k->time_ms,
            .expires_ms = k->ttl_ms ? k->time_ms + k->ttl_ms : INT64_MAX,
            .due_ms = k->due_ms,
            .attempts = k->attempts,
            .topic = SLICE("t"),
            .headers = slice_of(k->headers, k->headers_n),
            .data = slice_of(k->len > SCRIPT_TEXT ? (const void *)script_zeros : k->text, k->len),
            .type = {.id = CTYPE_NONE},
        };
    }
    durable_stored(s->queue, &a);
}

/* As if an earlier broker had put it. */
static inline void script_keep(struct script *s, uint64_t seq, const char *text, uint32_t attempts,
                               int64_t time_ms)
{
    struct script_message *m = &s->kept[seq % SCRIPT_KEPT];

    *m = (struct script_message){.there = true,
                                 .len = (uint32_t)strlen(text),
                                 .attempts = attempts,
                                 .time_ms = time_ms,
                                 .id = seq};
    memcpy(m->text, text, m->len);
}

/* Queue `name` on core 0, made and empty, is kept by the script from now on, with what is there
 * already. */
static inline void script_adopt(struct script *s, struct world *w, const char *name,
                                const struct store_ops *ops)
{
    struct store_facts f = {.next = 1, .first = 1};
    struct store_open o = {.def.name = slice_str(name)};
    struct queue *q;

    s->base.ops = ops;
    s->next = 1;
    for (uint32_t at = 0; (q = slots_next(&w->core[0]->slots, SLOT_QUEUE, &at)) != NULL;)
        if (q->is_named && strcmp(q->label, name) == 0)
            break;
    if (!q)
        abort();
    s->queue = q;
    o.policy = q->policy;
    for (uint64_t i = 1; i < SCRIPT_KEPT; i++) {
        if (!s->kept[i].there)
            continue;
        f.next = s->next = i + 1;
        f.first = f.messages ? f.first : i;
        f.messages++;
        f.bytes += s->kept[i].len;
    }
    if (!f.messages)
        f.first = f.next;
    if (durable_open(q, &s->base, &o) < 0)
        abort();
    durable_begin(q, &f);
}

/* What it was told since the last look. Static. */
static inline const char *script_said(struct script *s)
{
    static char text[sizeof s->said];

    memcpy(text, s->said, sizeof text);
    s->said[0] = '\0';
    return text;
}

#endif
