#include "brokerd/store/journal/places.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

void places_fini(struct places *ps)
{
    for (size_t i = 0; i < ps->pages_n; i++)
        free(ps->page[i]);
    free(ps->memory);
    *ps = (struct places){0};
}

/* The first page that ends behind `seq`. */
static size_t page_of(const struct places *ps, uint64_t seq)
{
    size_t low = 0, high = ps->pages_n;
    uint64_t guess;

    if (high && ps->page[0]->first <= seq) { /* where it is if none is missing before it */
        guess = (seq - ps->page[0]->first) / PLACES_A_PAGE;
        if (guess < high && ps->page[guess]->first + PLACES_A_PAGE > seq &&
            ps->page[guess]->first <= seq)
            return guess;
    }
    if (high && ps->page[high - 1]->first <= seq)
        low = ps->page[high - 1]->first + PLACES_A_PAGE > seq ? high - 1 : high;
    while (low < high) {
        size_t mid = low + (high - low) / 2;

        if (ps->page[mid]->first + PLACES_A_PAGE <= seq)
            low = mid + 1;
        else
            high = mid;
    }
    return low;
}

struct place *places_find(const struct places *ps, uint64_t seq)
{
    size_t i = page_of(ps, seq);
    struct place *p;

    if (i == ps->pages_n || ps->page[i]->first > seq)
        return NULL;
    p = &ps->page[i]->place[seq % PLACES_A_PAGE];
    return p->segment ? p : NULL;
}

/* Room for one page more behind the others. */
static int make_room(struct places *ps)
{
    size_t skipped = (size_t)(ps->page - ps->memory), cap = ps->cap ? 2 * ps->cap : 4;
    struct places_page **grown;

    if (skipped + ps->pages_n < ps->cap)
        return 0;
    if (skipped > ps->pages_n) { /* the array is as long as it need be */
        memmove(ps->memory, ps->page, ps->pages_n * sizeof *ps->page);
        ps->page = ps->memory;
        return 0;
    }
    grown = realloc(ps->memory, cap * sizeof(struct places_page *));
    if (!grown)
        return -ENOMEM;
    ps->memory = grown;
    ps->page = grown + skipped;
    ps->cap = cap;
    return 0;
}

static int add_page(struct places *ps, size_t i, uint64_t first)
{
    struct places_page *page;

    if (make_room(ps) < 0)
        return -ENOMEM;
    page = calloc(1, sizeof *page);
    if (!page)
        return -ENOMEM;
    page->first = first;
    memmove(&ps->page[i + 1], &ps->page[i], (ps->pages_n++ - i) * sizeof *ps->page);
    ps->page[i] = page;
    return 0;
}

int places_put(struct places *ps, uint64_t seq, const struct place *p)
{
    uint64_t first = seq - seq % PLACES_A_PAGE;
    size_t i = page_of(ps, seq);
    struct place *at;

    if ((i == ps->pages_n || ps->page[i]->first != first) && add_page(ps, i, first) < 0)
        return -ENOMEM;
    at = &ps->page[i]->place[seq % PLACES_A_PAGE];
    if (!at->segment) {
        ps->page[i]->n++;
        ps->n++;
    }
    *at = *p;
    return 0;
}

int places_reserve(struct places *ps, uint64_t seq)
{
    uint64_t first = seq - seq % PLACES_A_PAGE;
    size_t i = page_of(ps, seq);

    return i == ps->pages_n || ps->page[i]->first != first ? add_page(ps, i, first) : 0;
}

void places_drop(struct places *ps, uint64_t seq)
{
    size_t i = page_of(ps, seq);
    struct places_page *page = ps->page[i];
    struct place *p = &page->place[seq % PLACES_A_PAGE];

    page->past -= p->is_past;
    ps->past -= p->is_past;
    *p = (struct place){0};
    ps->n--;
    if (--page->n)
        return;
    free(page);
    ps->pages_n--;
    if (i == 0)
        ps->page++;
    else
        memmove(&ps->page[i], &ps->page[i + 1], (ps->pages_n - i) * sizeof *ps->page);
    if (!ps->pages_n)
        places_fini(ps);
}

/* -------------------------------------------------------------------------------- the past */

static int64_t gone_ms(const struct places_page *page, const struct place *p)
{
    return page->since + ((int64_t)p->attempts << page->unit);
}

/* Times are told in twice the unit. */
static void double_unit(struct places_page *page)
{
    page->unit++;
    for (unsigned i = 0; i < PLACES_A_PAGE; i++)
        if (page->place[i].segment && page->place[i].is_past)
            page->place[i].attempts = (page->place[i].attempts + 1U) >> 1 & PLACES_ATTEMPTS_MAX;
}

/* Times are told from `units` earlier on, for which there is room. */
static void move_since(struct places_page *page, uint64_t units)
{
    page->since -= (int64_t)(units << page->unit);
    for (unsigned i = 0; i < PLACES_A_PAGE; i++)
        if (page->place[i].segment && page->place[i].is_past)
            page->place[i].attempts = (page->place[i].attempts + units) & PLACES_ATTEMPTS_MAX;
}

static uint64_t units(const struct places_page *page, uint64_t ms)
{
    return (ms >> page->unit) + ((ms & ((UINT64_C(1) << page->unit) - 1)) != 0);
}

static uint64_t latest(const struct places_page *page)
{
    unsigned most = 0;

    for (unsigned i = 0; i < PLACES_A_PAGE; i++)
        if (page->place[i].segment && page->place[i].is_past && page->place[i].attempts > most)
            most = page->place[i].attempts;
    return most;
}

/* The page tells times from `ms` on, or earlier. */
static void begin_at(struct places_page *page, int64_t ms)
{
    uint64_t by;

    if (!page->past) {
        page->since = ms;
        page->unit = 0;
    }
    while (ms < page->since) {
        by = units(page, (uint64_t)page->since - (uint64_t)ms);
        if (by <= PLACES_ATTEMPTS_MAX - latest(page))
            move_since(page, by);
        else
            double_unit(page);
    }
}

void places_retain(struct places *ps, uint64_t seq, int64_t ms)
{
    struct places_page *page = ps->page[page_of(ps, seq)];
    struct place *p = &page->place[seq % PLACES_A_PAGE];

    if (p->is_past) {
        page->past--;
        ps->past--;
        p->is_past = 0;
    }
    begin_at(page, ms);
    while (units(page, (uint64_t)ms - (uint64_t)page->since) > PLACES_ATTEMPTS_MAX)
        double_unit(page);
    p->attempts = units(page, (uint64_t)ms - (uint64_t)page->since) & PLACES_ATTEMPTS_MAX;
    p->is_past = 1;
    page->past++;
    ps->past++;
}

void places_revive(struct places *ps, uint64_t seq)
{
    struct places_page *page = ps->page[page_of(ps, seq)];
    struct place *p = &page->place[seq % PLACES_A_PAGE];

    page->past -= p->is_past;
    ps->past -= p->is_past;
    p->is_past = 0;
    p->attempts = 0;
}

int64_t places_gone_ms(const struct places *ps, uint64_t seq, int64_t *ret_within)
{
    const struct places_page *page = ps->page[page_of(ps, seq)];

    *ret_within = page->unit ? INT64_C(2) << page->unit : 0;
    return gone_ms(page, &page->place[seq % PLACES_A_PAGE]);
}

/* ---------------------------------------------------------------------------------- walks */

enum which { ALL, WAITING, PAST };

/* Is none in the page that is wanted? */
static bool is_idle(const struct places_page *page, enum which which, int64_t before_ms)
{
    return (which == WAITING && page->past == page->n) ||
           (which == PAST && (!page->past || page->since >= before_ms));
}

static bool is_wanted(const struct places_page *page, const struct place *p, enum which which,
                      int64_t before_ms)
{
    return p->segment && (which == ALL || p->is_past == (which == PAST)) &&
           (which != PAST || gone_ms(page, p) < before_ms);
}

static inline struct place *next(const struct places *ps, uint64_t *seq, enum which which,
                                 int64_t before_ms)
{
    for (size_t i = page_of(ps, *seq); i < ps->pages_n; i++) {
        struct places_page *page = ps->page[i];
        uint64_t at = *seq > page->first ? *seq - page->first : 0;

        if (is_idle(page, which, before_ms))
            continue;
        for (; at < PLACES_A_PAGE; at++) {
            if (is_wanted(page, &page->place[at], which, before_ms)) {
                *seq = page->first + at;
                return &page->place[at];
            }
        }
    }
    return NULL;
}

struct place *places_next(const struct places *ps, uint64_t *seq)
{
    return next(ps, seq, ALL, 0);
}

struct place *places_next_waiting(const struct places *ps, uint64_t *seq)
{
    return next(ps, seq, WAITING, 0);
}

struct place *places_next_past(const struct places *ps, uint64_t *seq, int64_t before_ms)
{
    return next(ps, seq, PAST, before_ms);
}
