#include "brokerd/core/flights.h"

#include <stdbool.h>
#include <stdlib.h>

/* The deque may be so long whatever it holds, and so many times as long as what is unsettled. */
enum { SPAN_FREE = 1024, SPAN_SHARE = 4, OLD_MIN = 16 };

void flights_init(struct flights *fs)
{
    *fs = (struct flights){0};
    deque_init(&fs->recent, sizeof(struct flight));
    deque_start_at(&fs->recent, 1);
}

void flights_fini(struct flights *fs)
{
    deque_fini(&fs->recent);
    free(fs->old);
    fs->old = NULL;
    fs->old_n = fs->old_cap = 0;
}

struct flight *flights_push(struct flights *fs)
{
    return deque_push(&fs->recent);
}

/* Index of the first straggler from `number` on. */
static size_t find_old(const struct flights *fs, uint64_t number)
{
    size_t low = 0, high = fs->old_n;

    while (low < high) {
        size_t mid = low + (high - low) / 2;

        if (fs->old[mid].number < number)
            low = mid + 1;
        else
            high = mid;
    }
    return low;
}

struct flight *flights_search(const struct flights *fs, uint64_t *number, uint64_t end)
{
    uint64_t n = deque_first(&fs->recent);

    if (*number < n)
        for (size_t i = find_old(fs, *number); i < fs->old_n && fs->old[i].number < end; i++)
            if (fs->old[i].flight.msg) {
                *number = fs->old[i].number;
                return &fs->old[i].flight;
            }
    if (end > deque_end(&fs->recent))
        end = deque_end(&fs->recent);
    for (n = *number > n ? *number : n; n < end; n++) {
        struct flight *f = deque_slot(&fs->recent, n);

        if (f->msg) {
            *number = n;
            return f;
        }
    }
    return NULL;
}

/* Room for one straggler more: that of settled ones, if they are many, else new. */
static bool make_room(struct flights *fs)
{
    size_t live = 0, cap;
    struct straggler *old;

    for (size_t i = 0; i < fs->old_n; i++)
        if (fs->old[i].flight.msg)
            fs->old[live++] = fs->old[i];
    fs->old_n = live;
    if (live < fs->old_cap / 2)
        return true;
    cap = fs->old_cap ? fs->old_cap * 2 : OLD_MIN;
    old = realloc(fs->old, cap * sizeof *old);
    if (!old)
        return live < fs->old_cap;
    fs->old = old;
    fs->old_cap = cap;
    return true;
}

void flights_trim(struct flights *fs, uint64_t unsettled)
{
    struct deque *d = &fs->recent;

    while (deque_len(d)) {
        const struct flight *f = deque_slot(d, deque_first(d));

        if (f->msg) {
            if (deque_len(d) <= SPAN_FREE + SPAN_SHARE * unsettled ||
                (fs->old_n == fs->old_cap && !make_room(fs)))
                break;
            fs->old[fs->old_n++] = (struct straggler){deque_first(d), *f};
        }
        deque_pop(d);
    }
    if (!unsettled && fs->old) {
        free(fs->old);
        fs->old = NULL;
        fs->old_n = fs->old_cap = 0;
    }
}
