#include "brokerd/store/memory/shelf.h"

#include <assert.h>
#include <stdlib.h>

void *insist(size_t n)
{
    /* A test may have requests fail by chance: not all of so many. */
    for (unsigned i = 0; i < 1000; i++) {
        void *p = calloc(1, n ? n : 1);

        if (p)
            return p;
    }
    abort();
}

static struct slice copy(struct slice s)
{
    uint8_t *p = insist(s.n);

    if (s.n)
        memcpy(p, s.p, s.n);
    return slice_of(p, s.n);
}

uint64_t shelf_below(struct memory_shelf *shelf, uint64_t n)
{
    uint64_t z = shelf->random += UINT64_C(0x9e3779b97f4a7c15);

    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return (z ^ z >> 31) % n;
}

bool shelf_chance(struct memory_shelf *shelf, unsigned often)
{
    return often && shelf_below(shelf, 1000) < often;
}

struct memory_shelf *memory_shelf_new(bool shared, uint64_t seed)
{
    struct memory_shelf *shelf = calloc(1, sizeof *shelf);

    if (!shelf)
        return NULL;
    shelf->shared = shared;
    shelf->random = seed;
    shelf->limit = UINT64_MAX;
    map_init(&shelf->drawers, seed);
    list_init(&shelf->requests);
    list_init(&shelf->stores);
    return shelf;
}

void memory_shelf_free(struct memory_shelf *shelf)
{
    if (!shelf)
        return;
    assert(list_empty(&shelf->stores));
    for (struct map_entry *e = map_next(&shelf->drawers, NULL); e; e = map_next(&shelf->drawers, e))
        drawer_free(e->value);
    map_fini(&shelf->drawers);
    free(shelf);
}

void memory_shelf_clock(struct memory_shelf *shelf, int64_t wall_ms)
{
    shelf->wall_ms = wall_ms;
}

void memory_shelf_limit(struct memory_shelf *shelf, uint64_t bytes)
{
    shelf->limit = bytes;
}

/* -------------------------------------------------------------------------------- messages */

/* Copy a piece to *at, which moves on. */
static struct slice piece(uint8_t **at, struct slice s)
{
    uint8_t *p = *at;

    if (s.n)
        memcpy(p, s.p, s.n);
    *at += s.n;
    return slice_of(p, s.n);
}

static int64_t over_at(int64_t time_ms, int64_t ttl_ms)
{
    int64_t at;

    return ttl_ms <= 0 || __builtin_add_overflow(time_ms, ttl_ms, &at) ? INT64_MAX : at;
}

struct kept *kept_new(const struct run *run, uint32_t i, const struct msg_origin *from)
{
    const struct msg_view *v = &run->v[i];
    struct slice topic = topic_slice(from->topic);
    struct slice headers = v->meta ? v->meta->headers : slice_of(NULL, 0);
    struct ctype type = v->meta && v->meta->type.id != CTYPE_NONE ? v->meta->type : from->type;
    struct kept *m;
    uint8_t *at;

    if (type.id != CTYPE_NAMED)
        type.name = slice_of(NULL, 0);
    m = calloc(1, sizeof *m + topic.n + type.name.n + headers.n + v->len);
    if (!m)
        return NULL;
    at = m->bytes;
    m->id = from->id + i;
    m->time_ms = from->time_ms;
    m->expires_ms = over_at(from->time_ms, v->meta ? v->meta->ttl_ms : 0);
    m->topic = piece(&at, topic);
    m->type = (struct ctype){type.id, piece(&at, type.name)};
    m->headers = piece(&at, headers);
    m->data = piece(&at, slice_of(v->data, v->len));
    return m;
}

void kept_say(const struct kept *m, struct stored_message *ret)
{
    *ret = (struct stored_message){
        .seq = m->seq,
        .id = m->id,
        .time_ms = m->time_ms,
        .expires_ms = m->expires_ms,
        .due_ms = m->due_ms,
        .attempts = m->attempts,
        .topic = m->topic,
        .headers = m->headers,
        .data = m->data,
        .type = m->type,
    };
}

/* --------------------------------------------------------------------------------- drawers */

struct drawer *drawer_get(struct memory_shelf *shelf, struct slice name)
{
    struct drawer *d = map_get(&shelf->drawers, name);
    struct map_entry *e;

    if (d)
        return d;
    d = calloc(1, sizeof *d);
    e = d ? map_add(&shelf->drawers, name, d) : NULL;
    if (!e) {
        free(d);
        return NULL;
    }
    d->shelf = shelf;
    d->name = map_key(e);
    list_init(&d->blocked);
    return d;
}

void drawer_make(struct drawer *d)
{
    d->exists = true;
    d->life++;
    d->next = 1;
}

void drawer_remove(struct drawer *d)
{
    while (d->n)
        drawer_drop(d, d->n - 1);
    drawer_forget(d, INT64_MAX);
    d->exists = false;
    d->life++;
}

void drawer_define(struct drawer *d, struct slice filters, struct slice wishes)
{
    free((void *)(uintptr_t)d->filters.p);
    free((void *)(uintptr_t)d->wishes.p);
    d->filters = copy(filters);
    d->wishes = copy(wishes);
}

void drawer_free(struct drawer *d)
{
    drawer_remove(d);
    free((void *)(uintptr_t)d->filters.p);
    free((void *)(uintptr_t)d->wishes.p);
    free(d->msg);
    free(d->past);
    free(d);
}

size_t drawer_find(const struct drawer *d, uint64_t seq)
{
    size_t low = 0, high = d->n;

    while (low < high) {
        size_t mid = low + (high - low) / 2;

        if (d->msg[mid]->seq < seq)
            low = mid + 1;
        else
            high = mid;
    }
    return low;
}

/* At its place among others. */
static void put_in(struct kept ***list, size_t *n, size_t *cap, struct kept *m)
{
    size_t i = *n;

    if (*n == *cap) {
        struct kept **more = insist((*cap * 2 + 16) * sizeof *more);

        if (*n)
            memcpy(more, *list, *n * sizeof *more);
        free(*list);
        *list = more;
        *cap = *cap * 2 + 16;
    }
    for (; i && (*list)[i - 1]->seq > m->seq; i--)
        (*list)[i] = (*list)[i - 1];
    (*list)[i] = m;
    ++*n;
}

static void take_out(struct kept **list, size_t *n, size_t i)
{
    memmove(&list[i], &list[i + 1], (*n - i - 1) * sizeof *list);
    --*n;
}

static void count_in(struct drawer *d, struct kept *m)
{
    put_in(&d->msg, &d->n, &d->cap, m);
    d->bytes += m->data.n;
    d->waiting++;
    d->waiting_bytes += m->data.n;
    d->shelf->bytes += m->data.n;
}

static struct kept *count_out(struct drawer *d, size_t i)
{
    struct kept *m = d->msg[i];

    drawer_hold(d, m, NULL);
    d->waiting--;
    d->waiting_bytes -= m->data.n;
    d->bytes -= m->data.n;
    d->shelf->bytes -= m->data.n;
    take_out(d->msg, &d->n, i);
    return m;
}

void drawer_keep(struct drawer *d, struct kept *m)
{
    assert(d->exists && m->seq >= d->next && !m->holder);
    count_in(d, m);
    d->next = m->seq + 1;
}

void drawer_drop(struct drawer *d, size_t i)
{
    free(count_out(d, i));
}

/* ------------------------------------------------------------------------------ the past */

void drawer_forget(struct drawer *d, int64_t gone_ms)
{
    for (size_t i = 0; i < d->past_n;) {
        struct kept *m = d->past[i];

        if (m->gone_ms > gone_ms) {
            i++;
            continue;
        }
        take_out(d->past, &d->past_n, i);
        free(m);
    }
}

void drawer_forget_old(struct drawer *d)
{
    if (d->policy.retain_ms != POLICY_NEVER)
        drawer_forget(d, d->shelf->wall_ms - d->policy.retain_ms);
}

void drawer_settle(struct drawer *d, size_t i)
{
    struct kept *m;

    if (d->shelf->shared) {
        drawer_drop(d, i);
        return;
    }
    m = count_out(d, i);
    m->gone_ms = d->shelf->wall_ms;
    put_in(&d->past, &d->past_n, &d->past_cap, m);
    drawer_forget_old(d);
}

/* The number from which on all waits. */
static uint64_t number_of(const struct drawer *d, const struct store_rewind *to)
{
    uint64_t seq = d->next;

    if (to->to == REWIND_FIRST)
        return 0;
    if (to->to == REWIND_SEQ)
        return to->seq;
    if (to->to == REWIND_LAST)
        return d->next - 1;
    for (size_t i = 0; i < d->past_n; i++)
        if (d->past[i]->time_ms >= to->time_ms && d->past[i]->seq < seq)
            seq = d->past[i]->seq;
    for (size_t i = 0; i < d->n; i++)
        if (d->msg[i]->time_ms >= to->time_ms && d->msg[i]->seq < seq)
            seq = d->msg[i]->seq;
    return seq;
}

void drawer_rewind(struct drawer *d, const struct store_rewind *to)
{
    uint64_t from;

    drawer_forget_old(d);
    from = number_of(d, to);
    while (d->n && d->msg[0]->seq < from)
        drawer_settle(d, 0);
    while (d->past_n && d->past[d->past_n - 1]->seq >= from) {
        struct kept *m = d->past[--d->past_n];

        count_in(d, m);
    }
    for (size_t i = 0; i < d->n; i++) {
        d->msg[i]->attempts = 0;
        d->msg[i]->due_ms = 0;
    }
}

void drawer_hold(struct drawer *d, struct kept *m, const struct store_queue *holder)
{
    if (!m->holder && holder) {
        d->waiting--;
        d->waiting_bytes -= m->data.n;
    } else if (m->holder && !holder) {
        d->waiting++;
        d->waiting_bytes += m->data.n;
    }
    m->came_back = m->came_back || (m->holder && !holder);
    m->holder = holder;
}

size_t drawer_oldest(const struct drawer *d,
                     bool (*fits)(const struct drawer *d, const struct kept *m))
{
    size_t oldest = d->n;

    for (size_t i = 0; i < d->n; i++) {
        const struct kept *m = d->msg[i], *best = oldest < d->n ? d->msg[oldest] : NULL;

        if (m->holder || (fits && !fits(d, m)))
            continue;
        if (!best || (m->came_back && (!best->came_back || m->due_ms < best->due_ms)))
            oldest = i;
    }
    return oldest;
}

void drawer_let_go(struct drawer *d, const struct store_queue *holder, uint32_t more)
{
    for (size_t i = 0; i < d->n; i++)
        if (d->msg[i]->holder == holder) {
            drawer_hold(d, d->msg[i], NULL);
            d->msg[i]->attempts += more;
        }
}

bool drawer_is_over(const struct drawer *d, const struct kept *m)
{
    int64_t now = d->shelf->wall_ms;

    return m->expires_ms <= now || over_at(m->time_ms, d->policy.message_ttl_ms) <= now;
}

bool drawer_is_free(const struct drawer *d, const struct kept *m)
{
    return !m->holder && m->due_ms <= d->shelf->wall_ms;
}

void drawer_facts(const struct drawer *d, struct store_facts *ret)
{
    *ret = (struct store_facts){.next = d->next, .first = d->next, .messages = d->n};
    ret->bytes = ret->disk = d->bytes;
    if (d->n) {
        ret->first = d->msg[0]->seq;
        ret->oldest_ms = d->msg[0]->time_ms;
    }
    for (size_t i = 0; i < d->n; i++)
        ret->returned += d->shelf->shared ? d->msg[i]->came_back && !d->msg[i]->holder
                                          : d->msg[i]->attempts || d->msg[i]->due_ms;
}
