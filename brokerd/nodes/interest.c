#include "brokerd/nodes/interest.h"

#include <stdlib.h>

struct wish {
    struct list_node link; /* in interest->changed */
    struct map_entry *entry;
    uint32_t count;
    bool told;
};

void interest_init(struct interest *i, uint64_t seed)
{
    map_init(&i->filters, seed);
    list_init(&i->changed);
    i->lost = 0;
}

void interest_fini(struct interest *i)
{
    for (struct map_entry *e = NULL; (e = map_next(&i->filters, e)) != NULL;)
        free(e->value);
    map_fini(&i->filters);
}

static struct wish *find(struct interest *i, struct slice filter, bool make)
{
    struct wish *w = map_get(&i->filters, filter);

    if (w || !make)
        return w;
    w = calloc(1, sizeof *w);
    if (w)
        w->entry = map_add(&i->filters, filter, w);
    if (w && w->entry)
        return w;
    free(w);
    return NULL;
}

static void look(struct interest *i, struct wish *w)
{
    list_remove(&w->link);
    if ((w->count > 0) != w->told)
        list_push_back(&i->changed, &w->link);
}

static void drop(struct interest *i, struct wish *w)
{
    list_remove(&w->link);
    map_remove(&i->filters, w->entry);
    free(w);
}

void interest_add(struct interest *i, struct slice filter, bool on)
{
    struct wish *w = find(i, filter, on);

    if (!w) {
        i->lost += on;
        return;
    }
    if (on)
        w->count++;
    else if (w->count)
        w->count--;
    look(i, w);
    if (!w->count && !w->told)
        drop(i, w);
}

bool interest_next(struct interest *i, char *buf, struct slice *ret, bool *on)
{
    struct list_node *n = list_first(&i->changed);
    struct wish *w;
    struct slice key;

    if (!n)
        return false;
    w = LIST_ITEM(n, struct wish, link);
    key = map_key(w->entry);
    memcpy(buf, key.p, key.n);
    *ret = slice_of(buf, key.n);
    *on = w->told = w->count > 0;
    if (*on)
        list_remove(&w->link);
    else
        drop(i, w);
    return true;
}

bool interest_has_news(const struct interest *i)
{
    return !list_empty(&i->changed);
}

void interest_again(struct interest *i)
{
    struct map_entry *e = NULL;

    while ((e = map_next(&i->filters, e)) != NULL) {
        struct wish *w = e->value;

        w->told = false;
        list_remove(&w->link);
        if (w->count)
            list_push_back(&i->changed, &w->link);
    }
    /* those that nobody wants have nothing to be told any more */
    for (struct map_entry *next = map_next(&i->filters, NULL); (e = next) != NULL;) {
        struct wish *w = e->value;

        next = map_next(&i->filters, e);
        if (!w->count)
            drop(i, w);
    }
}

size_t interest_count(const struct interest *i)
{
    return map_len(&i->filters);
}
