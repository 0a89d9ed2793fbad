/* What is settled and retained: until when, and how a queue goes on at another message. */
#include <errno.h>
#include <stdlib.h>

#include "brokerd/store/journal/internal.h"

enum {
    LOOK_PARTS = 64, /* of the time for which is retained: how late that is looked for */
    LOOK_MS_MIN = 200,
    LOOK_MS_MAX = 60000,
    EXPIRE_STEP = 16384 /* messages between two rounds: 2 ms */
};

bool past_retains(const struct stored_queue *q)
{
    return q->retain_ms != 0;
}

int64_t past_over_ms(const struct stored_queue *q)
{
    if (q->retain_ms == 0)
        return INT64_MAX;
    return q->retain_ms == POLICY_NEVER ? INT64_MIN : journal_wall_ms() - q->retain_ms + 1;
}

static uint64_t expire(struct journal *j, struct stored_queue *q, uint64_t most)
{
    uint64_t n = q->places.past ? catalog_expire(&j->catalog, q, past_over_ms(q), most) : 0;

    j->sweep.look = j->sweep.look || n;
    return n;
}

void past_expire(struct journal *j, struct stored_queue *q)
{
    j->expire_ms = 0; /* it may be another time now */
    (void)expire(j, q, UINT64_MAX);
}

bool past_expire_all(struct journal *j, int64_t now_ms)
{
    int64_t least = POLICY_NEVER;
    uint64_t left = EXPIRE_STEP;
    struct stored_queue *q;
    size_t at = 0;

    if (!j->catalog.past || now_ms < j->expire_ms)
        return false;
    while (left && (q = catalog_next(&j->catalog, &at)) != NULL) {
        left -= expire(j, q, left);
        if (q->retain_ms && q->retain_ms < least)
            least = q->retain_ms;
    }
    if (!left) /* more after the next round: it is not to wait for all of them */
        return true;
    least /= LOOK_PARTS;
    if (least < LOOK_MS_MIN)
        least = LOOK_MS_MIN;
    j->expire_ms = now_ms + (least < LOOK_MS_MAX ? least : LOOK_MS_MAX);
    return left < EXPIRE_STEP;
}

int64_t past_nap_ms(const struct journal *j)
{
    return j->catalog.past ? j->expire_ms : INT64_MAX;
}

/* -------------------------------------------------------------------------------------- rewind */

/* A record to be. */
struct note {
    enum record_kind kind;
    uint32_t segment;
    uint64_t first, end;
};

struct notes_list {
    struct note *note;
    size_t n, cap;
};

static void add(struct notes_list *l, const struct note *n)
{
    if (l->n == l->cap) {
        size_t cap = l->cap ? 2 * l->cap : 64;
        struct note *grown = journal_alloc(cap * sizeof *grown);

        if (l->n)
            memcpy(grown, l->note, l->n * sizeof *grown);
        free(l->note);
        l->note = grown;
        l->cap = cap;
    }
    l->note[l->n++] = *n;
}

/* The message is among those of a note about its segment, whatever lies between: from `from` on the
 * list has one a segment, `where` is of the last one used. */
static void widen(struct notes_list *l, size_t from, size_t *where, enum record_kind kind,
                  uint32_t segment, uint64_t seq)
{
    if (*where >= l->n || *where < from || l->note[*where].segment != segment)
        for (*where = from; *where < l->n && l->note[*where].segment != segment;)
            ++*where;
    if (*where < l->n && seq - l->note[*where].first < UINT32_MAX)
        l->note[*where].end = seq + 1;
    else
        add(l, &(struct note){kind, segment, seq, seq + 1});
}

/* All from `from` on waits, as if never delivered. */
static void note_waiting(const struct stored_queue *q, uint64_t from, struct notes_list *l)
{
    size_t begin = l->n, where = begin;
    const struct place *p;

    for (uint64_t seq = from; (p = places_next(&q->places, &seq)) != NULL; seq++)
        if (p->is_past || p->attempts || catalog_due(q, seq))
            widen(l, begin, &where, RECORD_REWOUND, p->segment, seq);
}

/* What waits before `end` is settled. What is retained is told exactly (compose.c: ends()). */
static void note_settled(const struct stored_queue *q, uint64_t end, struct notes_list *l)
{
    size_t begin = l->n, where = begin;
    const struct place *p;

    for (uint64_t seq = 0; (p = places_next_waiting(&q->places, &seq)) != NULL && seq < end;
         seq++) {
        struct note *last = l->n > begin ? &l->note[l->n - 1] : NULL;

        if (!past_retains(q))
            widen(l, begin, &where, RECORD_SETTLED, p->segment, seq);
        else if (last && last->segment == p->segment && last->end == seq &&
                 seq - last->first < UINT32_MAX)
            last->end++;
        else
            add(l, &(struct note){RECORD_RETAINED, p->segment, seq, seq + 1});
    }
}

/* The first that was published then or later. Times do not rise with numbers: of what was moved
 * here, or when the clock was set. But a segment knows of when its messages are, so that few of
 * them are read. One that cannot be read might be it. */
static uint64_t number_at(struct journal *j, const struct stored_queue *q, int64_t time_ms)
{
    const struct segment *s = NULL;
    const struct place *p;
    uint64_t seq = 0;

    for (; (p = places_next(&q->places, &seq)) != NULL; seq++) {
        if (!s || s->number != p->segment)
            s = segments_find(&j->catalog.segments, p->segment);
        if (s->newest_ms >= time_ms &&
            (s->oldest_ms >= time_ms || read_time(j, p, INT64_MAX) >= time_ms))
            return seq;
    }
    return q->next;
}

static uint64_t number_of(struct journal *j, const struct stored_queue *q, const struct op *op)
{
    switch ((enum rewind_to)op->n) {
    case REWIND_FIRST:
        break;
    case REWIND_LAST:
        return q->next - 1;
    case REWIND_SEQ:
        return op->first;
    case REWIND_TIME:
        return number_at(j, q, (int64_t)op->first);
    }
    return 0;
}

static void write_notes(struct journal *j, const struct stored_queue *q, int64_t over_ms,
                        const struct notes_list *l)
{
    int64_t now = journal_wall_ms();

    for (size_t i = 0; i < l->n; i++) {
        const struct note *n = &l->note[i];
        struct record r = {.kind = n->kind,
                           .queue = q->number,
                           .segment = n->segment,
                           .seq = n->first,
                           .count = (uint32_t)(n->end - n->first)};

        if (n->kind != RECORD_SETTLED)
            r.time_ms = n->kind == RECORD_REWOUND ? over_ms : now;
        (void)log_add(&j->log, &r); /* there is room */
    }
}

int past_rewind(struct journal *j, struct stored_queue *q, const struct op *op, uint64_t *ret_need)
{
    int64_t over_ms = past_over_ms(q);
    struct notes_list l = {0};
    uint64_t from;
    int r = 0;

    past_expire(j, q);
    from = number_of(j, q, op);
    note_waiting(q, from, &l);
    note_settled(q, from, &l);
    *ret_need = l.n * SETTLED_SIZE;
    if (l.n)
        r = log_reserve(&j->log, q, *ret_need);
    if (r == 0)
        write_notes(j, q, over_ms, &l);
    free(l.note);
    return r;
}
