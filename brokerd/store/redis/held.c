#include "brokerd/store/redis/held.h"

#include <errno.h>
#include <stdlib.h>

enum { SIZE_MIN = 64 };

/* Numbers come in a row: so do their places, but for the multiplication, which spreads rows apart
 * that lie a power of two from each other. */
static size_t place(const struct held_set *h, uint64_t seq)
{
    return (size_t)(seq * UINT64_C(0x9e3779b97f4a7c15) >> 20) & (h->size - 1);
}

static size_t after(const struct held_set *h, size_t i)
{
    return (i + 1) & (h->size - 1);
}

static void insert(struct held_set *h, const struct held_message *m)
{
    size_t i = place(h, m->seq);

    while (h->at[i].seq)
        i = after(h, i);
    h->at[i] = *m;
}

static int resize(struct held_set *h, size_t size)
{
    struct held_set old = *h;
    struct held_message *at = calloc(size, sizeof *at);

    if (!at)
        return -ENOMEM;
    h->at = at;
    h->size = size;
    for (size_t i = 0; i < old.size; i++)
        if (old.at[i].seq)
            insert(h, &old.at[i]);
    free(old.at);
    return 0;
}

int held_add(struct held_set *h, const struct held_message *m)
{
    if ((h->n + 1) * 4 > h->size * 3) {
        int r = resize(h, h->size ? 2 * h->size : SIZE_MIN);

        if (r < 0)
            return r;
    }
    insert(h, m);
    h->n++;
    return 0;
}

static size_t find(const struct held_set *h, uint64_t seq)
{
    size_t i;

    if (h->n == 0)
        return h->size;
    i = place(h, seq);
    while (h->at[i].seq && h->at[i].seq != seq)
        i = after(h, i);
    return h->at[i].seq ? i : h->size;
}

const struct held_message *held_find(const struct held_set *h, uint64_t seq)
{
    size_t i = find(h, seq);

    return i < h->size ? &h->at[i] : NULL;
}

/* Place i is free: whoever could not sit there moves up. */
static void close_gap(struct held_set *h, size_t i)
{
    for (size_t j = after(h, i); h->at[j].seq; j = after(h, j)) {
        size_t from_wish = (j - place(h, h->at[j].seq)) & (h->size - 1);
        size_t from_gap = (j - i) & (h->size - 1);

        if (from_wish >= from_gap) {
            h->at[i] = h->at[j];
            i = j;
        }
    }
    h->at[i].seq = 0;
}

bool held_take(struct held_set *h, uint64_t seq, struct held_message *ret)
{
    size_t i = find(h, seq);

    if (i >= h->size)
        return false;
    *ret = h->at[i];
    h->n--;
    close_gap(h, i);
    if (h->n == 0 && h->size > 16 * SIZE_MIN)
        held_fini(h);
    return true;
}

void held_fini(struct held_set *h)
{
    free(h->at);
    *h = (struct held_set){0};
}
