/* Definitions of queues: the hash PREFIX:{queues}, and the channel that tells of changes. */
#include "brokerd/store/redis/parts.h"

#include <stdio.h>
#include <stdlib.h>

/* FILTERS_LEN, a blank, WISHES_LEN, a line's end; then both. */
uint8_t *names_encode(const struct store_definition *d, size_t *ret_n)
{
    char head[48];
    size_t n = (size_t)snprintf(head, sizeof head, "%zu %zu\n", d->filters.n, d->wishes.n);
    uint8_t *bytes = malloc(n + d->filters.n + d->wishes.n);

    if (!bytes)
        return NULL;
    memcpy(bytes, head, n);
    if (d->filters.n)
        memcpy(bytes + n, d->filters.p, d->filters.n);
    if (d->wishes.n)
        memcpy(bytes + n + d->filters.n, d->wishes.p, d->wishes.n);
    *ret_n = n + d->filters.n + d->wishes.n;
    return bytes;
}

static bool take_length(struct slice *s, char end, size_t *ret)
{
    size_t v = 0, i = 0;

    for (; i < s->n && i < 9 && s->p[i] >= '0' && s->p[i] <= '9'; i++)
        v = 10 * v + (size_t)(s->p[i] - '0');
    if (i == 0 || i == s->n || s->p[i] != (uint8_t)end)
        return false;
    *s = slice_from(*s, i + 1);
    *ret = v;
    return true;
}

static bool decode(struct slice bytes, struct store_definition *d)
{
    size_t filters, wishes;

    if (!take_length(&bytes, ' ', &filters) || !take_length(&bytes, '\n', &wishes) ||
        filters > bytes.n || wishes != bytes.n - filters)
        return false;
    d->filters = slice_of(bytes.p, filters);
    d->wishes = slice_from(bytes, filters);
    return true;
}

static void tell(struct redis_store *r, enum stored_kind kind, const struct store_definition *d)
{
    struct stored a = {.kind = kind};

    if (d)
        a.def = *d;
    store_answer(r, &a);
}

static void found(struct redis_store *r, struct slice name, struct slice bytes)
{
    struct store_definition d = {.name = name};

    if (!decode(bytes, &d)) {
        store_event(r, REDIS_TROUBLE, "queue %.*s: its definition cannot be read", (int)name.n,
                    (const char *)name.p);
        return;
    }
    if (map_put(&r->known, name, (void *)r->scan) == 0)
        tell(r, STORED_FOUND, &d);
}

static void forget(struct redis_store *r, struct slice name)
{
    struct store_definition d = {.name = name};

    tell(r, STORED_REMOVED, &d);
    map_del(&r->known, name);
}

/* ------------------------------------------------------------------------------------- scan */

static void send_scan(struct redis_store *r, struct slice cursor);

static bool is_missing(const struct redis_store *r, const struct map_entry *e)
{
    return (uintptr_t)e->value != r->scan;
}

/* Deleted while nobody listened; or Redis lost all, which a beat tells before it is believed. */
static bool doubt(struct redis_store *r)
{
    struct map_entry *e = map_next(&r->known, NULL);

    while (e && !is_missing(r, e))
        e = map_next(&r->known, e);
    if (!e || (r->doubted && r->beats - r->doubt_beat > 1)) {
        r->doubted = false;
        return false;
    }
    if (!r->doubted)
        r->doubt_beat = r->beats;
    return r->doubted = r->scan_again = true;
}

static void end_scan(struct redis_store *r)
{
    struct map_entry *e, *next;

    r->scanning = false;
    if (doubt(r)) /* the tick looks again */
        return;
    for (e = map_next(&r->known, NULL); e; e = next) {
        next = map_next(&r->known, e);
        if (is_missing(r, e)) {
            struct store_definition d = {.name = map_key(e)};

            tell(r, STORED_REMOVED, &d);
            map_remove(&r->known, e);
        }
    }
    if (!r->found_all) {
        r->found_all = true;
        tell(r, STORED_ALL_FOUND, NULL);
    }
    if (r->scan_again)
        names_scan(r);
}

/* {cursor, {name, definition ..}}. */
static void on_scanned(struct request *req, const struct link_answer *a)
{
    struct redis_store *r = req->store;
    const struct redisReply *pairs;
    struct slice cursor;

    if (call_verdict(req, a) != CALL_OK || a->reply->elements != 2) {
        r->scanning = false; /* the tick begins again */
        r->scan_again = true;
        return;
    }
    pairs = a->reply->element[1];
    for (size_t i = 0; i + 2 <= pairs->elements; i += 2)
        found(r, reply_slice(pairs->element[i]), reply_slice(pairs->element[i + 1]));
    cursor = reply_slice(a->reply->element[0]);
    if (slice_eq(cursor, SLICE("0")))
        end_scan(r);
    else
        send_scan(r, cursor);
}

static void send_scan(struct redis_store *r, struct slice cursor)
{
    static const char *const words[] = {"HSCAN"};

    args_begin_words(r, words, 1);
    args_add(r, r->names.base);
    args_add(r, cursor);
    args_text(r, "COUNT");
    args_number(r, 200);
    r->scanning = call_send(r, NULL, r->names.slot, on_scanned, NULL, 0) == 0;
    r->scan_again = r->scan_again || !r->scanning;
}

void names_scan(struct redis_store *r)
{
    if (r->o.worker != 0 || r->stopping)
        return;
    if (r->scanning) {
        r->scan_again = true;
        return;
    }
    r->scan_again = false;
    r->scan++;
    send_scan(r, SLICE("0"));
}

/* -------------------------------------------------------------------------------- the channel */

struct wanted {
    size_t n;
    char name[];
};

static void on_definition(struct request *req, const struct link_answer *a)
{
    struct wanted *w = req->item;

    if (call_verdict(req, a) == CALL_OK && a->reply->type == REDIS_REPLY_STRING)
        found(req->store, slice_of(w->name, w->n), reply_slice(a->reply));
}

static void ask_definition(struct redis_store *r, struct slice name)
{
    static const char *const words[] = {"HGET"};
    struct wanted *w = malloc(sizeof *w + name.n);

    if (!w)
        return;
    w->n = name.n;
    memcpy(w->name, name.p, name.n);
    args_begin_words(r, words, 1);
    args_add(r, r->names.base);
    args_add(r, name);
    if (call_send_owned(r, NULL, r->names.slot, on_definition, w) < 0)
        free(w);
}

/* The word at the front, and the blank behind it. */
static struct slice take_word(struct slice *text)
{
    const uint8_t *blank = text->n ? memchr(text->p, ' ', text->n) : NULL;
    struct slice word = *text;

    if (!blank) {
        *text = slice_of(NULL, 0);
        return word;
    }
    word.n = (size_t)(blank - text->p);
    *text = slice_from(*text, word.n + 1);
    return word;
}

void names_message(struct redis_store *r, struct slice text)
{
    struct slice what = take_word(&text), node = take_word(&text);

    /* What this broker does itself its core knows. */
    if (text.n == 0 || slice_starts(node, slice_of(r->node, r->broker_n))) {
        if (text.n && slice_eq(what, SLICE("removed")))
            map_del(&r->known, text);
        return;
    }
    if (slice_eq(what, SLICE("defined")))
        ask_definition(r, text);
    else if (slice_eq(what, SLICE("removed")))
        forget(r, text);
}
