#include "brokerd/store/journal/segments.h"

#include "brokerd/store/journal/format.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* Clearing begins this many segments above twice the data, so that the fourth is left for what is
 * written while it goes on. */
enum { MARK_SEGMENTS = 3, SPARE_SEGMENTS = 2 };

void segments_fini(struct segments *t)
{
    for (size_t i = 0; i < t->n; i++)
        free(t->s[i].notes);
    free(t->s);
    t->s = NULL;
    t->n = t->cap = 0;
    t->disk = t->data = t->notes = t->puts = 0;
}

/* Where the first is whose number is at least `number`. */
static size_t from(const struct segments *t, uint32_t number)
{
    size_t low = 0, high = t->n;

    while (low < high) {
        size_t mid = low + (high - low) / 2;

        if (t->s[mid].number < number)
            low = mid + 1;
        else
            high = mid;
    }
    return low;
}

static struct segment *find(const struct segments *t, uint32_t number)
{
    size_t i = from(t, number);

    return i < t->n && t->s[i].number == number ? &t->s[i] : NULL;
}

bool segments_any(const struct segments *t, uint32_t first, uint32_t last, uint32_t but)
{
    size_t i = from(t, first);

    if (i < t->n && t->s[i].number == but)
        i++;
    return i < t->n && t->s[i].number <= last;
}

const struct segment *segments_find(const struct segments *t, uint32_t number)
{
    return find(t, number);
}

int segments_add(struct segments *t, uint32_t number, uint64_t size)
{
    assert(!t->n || t->s[t->n - 1].number < number);
    if (t->n == t->cap) {
        size_t cap = t->cap ? 2 * t->cap : 16;
        struct segment *s = realloc(t->s, cap * sizeof *s);

        if (!s)
            return -ENOMEM;
        t->s = s;
        t->cap = cap;
    }
    t->s[t->n++] = (struct segment){.number = number,
                                    .size = size,
                                    .end = size,
                                    .oldest_ms = INT64_MAX,
                                    .newest_ms = INT64_MIN};
    t->disk += size;
    return 0;
}

void segments_resize(struct segments *t, uint32_t number, uint64_t size, bool open)
{
    struct segment *s = find(t, number);

    t->disk += size - s->size;
    s->size = size;
    s->open = open;
}

void segments_end(struct segments *t, uint32_t number, uint64_t end)
{
    find(t, number)->end = end;
}

void segments_damaged(struct segments *t, uint32_t number)
{
    struct segment *s = find(t, number);

    if (s)
        s->damaged = true;
}

/* Where notes on `on` are, or would be. */
static uint32_t notes_at(const struct segment *s, uint32_t on)
{
    uint32_t low = 0, high = s->notes_n;

    while (low < high) {
        uint32_t mid = low + (high - low) / 2;

        if (s->notes[mid].on < on)
            low = mid + 1;
        else
            high = mid;
    }
    return low;
}

static void forget_notes(struct segments *t, struct segment *s, uint32_t on)
{
    uint32_t i = notes_at(s, on);

    if (i == s->notes_n || s->notes[i].on != on)
        return;
    s->notes_bytes -= s->notes[i].bytes;
    t->notes -= s->notes[i].bytes;
    memmove(&s->notes[i], &s->notes[i + 1], (--s->notes_n - i) * sizeof *s->notes);
}

void segments_drop(struct segments *t, uint32_t number)
{
    struct segment *s = find(t, number);
    size_t i = (size_t)(s - t->s);

    assert(s->data == 0);
    t->disk -= s->size;
    t->notes -= s->notes_bytes;
    free(s->notes);
    memmove(s, s + 1, (--t->n - i) * sizeof *s);
    for (size_t k = 0; k < t->n; k++)
        forget_notes(t, &t->s[k], number);
}

void segments_define(struct segments *t, uint32_t number, uint32_t size)
{
    find(t, number)->data += size;
    t->data += size;
}

void segments_undefine(struct segments *t, uint32_t number, uint32_t size)
{
    struct segment *s = find(t, number);

    assert(s->data >= size);
    s->data -= size;
    t->data -= size;
}

void segments_put(struct segments *t, uint32_t number, uint32_t size, int64_t time_ms)
{
    struct segment *s = find(t, number);

    if (time_ms < s->oldest_ms)
        s->oldest_ms = time_ms;
    if (time_ms > s->newest_ms)
        s->newest_ms = time_ms;
    segments_define(t, number, size);
    t->puts++;
}

void segments_unput(struct segments *t, uint32_t number, uint32_t size)
{
    segments_undefine(t, number, size);
    t->puts--;
}

int segments_note(struct segments *t, uint32_t in, uint32_t on, uint32_t size)
{
    struct segment *s = find(t, in);
    uint32_t i;

    if (in == on || !find(t, on))
        return 0;
    i = notes_at(s, on);
    if (i == s->notes_n || s->notes[i].on != on) {
        if (s->notes_n == s->notes_cap) {
            uint32_t cap = s->notes_cap ? 2 * s->notes_cap : 4;
            struct notes *n = realloc(s->notes, cap * sizeof *n);

            if (!n)
                return -ENOMEM;
            s->notes = n;
            s->notes_cap = cap;
        }
        memmove(&s->notes[i + 1], &s->notes[i], (s->notes_n++ - i) * sizeof *s->notes);
        s->notes[i] = (struct notes){.on = on};
    }
    s->notes[i].bytes += size;
    s->notes_bytes += size;
    t->notes += size;
    return 0;
}

/* Has `a` a lesser share of use than `b`? Sizes are below 2^32, so the products fit. */
static bool better(const struct segment *a, const struct segment *b)
{
    return !b || segment_live(a) * b->size < segment_live(b) * a->size;
}

uint32_t segments_victim(const struct segments *t)
{
    const struct segment *best = NULL;

    for (size_t i = 0; i < t->n; i++) {
        const struct segment *s = &t->s[i];

        if (s->open)
            continue;
        if (segment_live(s) == 0)
            return s->number;
        if (better(s, best))
            best = s;
    }
    if (!best || t->disk <= 2 * t->data + MARK_SEGMENTS * t->segment_bytes ||
        segment_live(best) >= best->size)
        return 0;
    return best->number;
}

uint64_t segments_room(const struct segments *t)
{
    uint64_t taken = t->disk + t->puts * SETTLED_SIZE + SPARE_SEGMENTS * t->segment_bytes;

    return taken < t->disk_max ? t->disk_max - taken : 0;
}
