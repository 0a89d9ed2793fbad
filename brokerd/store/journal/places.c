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

    page->place[seq % PLACES_A_PAGE].segment = 0;
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

struct place *places_next(const struct places *ps, uint64_t *seq)
{
    for (size_t i = page_of(ps, *seq); i < ps->pages_n; i++) {
        struct places_page *page = ps->page[i];
        uint64_t at = *seq > page->first ? *seq - page->first : 0;

        for (; at < PLACES_A_PAGE; at++) {
            if (page->place[at].segment) {
                *seq = page->first + at;
                return &page->place[at];
            }
        }
    }
    return NULL;
}
