#include "brokerd/admin/listing.h"

#include <stdlib.h>

static void listing_free(void *data)
{
    struct listing *l = data;

    for (size_t i = 0; i < l->n; i++)
        json_decref(l->rows[i].what);
    free(l->rows);
    free(l->after);
    free(l);
}

/* Where to begin: a name, or an id; one of a list that has both begins with a blank, which no
 * name has. */
static bool take_after(struct listing *l, const char *text)
{
    if (!text)
        return true;
    if (l->names && *text != ' ') {
        l->after = strdup(text);
        l->no_memory |= !l->after;
        return true;
    }
    l->after_id = l->kind ? id_parse(l->kind, text + l->names) : 0;
    return l->after_id != 0;
}

bool listing_begin(struct ask *a, struct desk *d, char kind, bool names)
{
    struct listing *l = calloc(1, sizeof *l);
    uint64_t limit = request_count(a, "limit", SIZE_MAX, SIZE_MAX);

    if (l) {
        l->kind = kind;
        l->names = names;
        l->limit = limit < SIZE_MAX && limit > LISTING_MAX ? LISTING_MAX : limit;
        a->data = l;
        a->free_data = listing_free;
    }
    if (!l)
        ask_refuse(a, REASON_MEMORY, "no memory for the list");
    else if (limit == 0)
        ask_refuse(a, REASON_INVALID, "\"limit\" must be at least 1");
    else if (!take_after(l, request_text(a, "after")))
        ask_refuse(a, REASON_INVALID, "\"after\" must be the `next` of the page before");
    if (a->why.reason == REASON_NONE)
        return true;
    ask_refused(a, d);
    return false;
}

static int compare(const char *name_a, uint64_t id_a, const char *name_b, uint64_t id_b)
{
    int r = name_a && name_b ? strcmp(name_a, name_b) : !name_a - !name_b;

    return r ? r : (id_a > id_b) - (id_a < id_b);
}

static int by_place(const void *x, const void *y)
{
    const struct listing_row *a = x, *b = y;

    return compare(a->name, a->id, b->name, b->id);
}

static void sort_and_cut(struct listing *l)
{
    if (l->n)
        qsort(l->rows, l->n, sizeof *l->rows, by_place);
    for (; l->n > l->limit; l->more = true)
        json_decref(l->rows[--l->n].what);
    l->sorted = l->n;
}

bool listing_wants(struct listing *l, const char *name, uint64_t id)
{
    const struct listing_row *last;

    /* Of a name there may be one row only: what comes after it is another name. */
    if (l->after ? name && strcmp(name, l->after) <= 0
                 : l->after_id && compare(name, id, NULL, l->after_id) <= 0)
        return false;
    if (l->sorted < l->limit)
        return true;
    last = &l->rows[l->limit - 1];
    if (compare(name, id, last->name, last->id) < 0)
        return true;
    l->more = true;
    return false;
}

void listing_add(struct listing *l, json_t *what, uint64_t id)
{
    if (l->n == l->room) {
        size_t room = l->room ? l->room * 2 : 64;
        struct listing_row *rows = realloc(l->rows, room * sizeof *rows);

        if (!rows) {
            l->no_memory = true;
            json_decref(what);
            return;
        }
        l->rows = rows;
        l->room = room;
    }
    l->rows[l->n++] =
        (struct listing_row){what, json_string_value(json_object_get(what, "name")), id};
    if (l->limit < SIZE_MAX && l->n >= 2 * l->limit)
        sort_and_cut(l);
}

bool listing_sort(struct ask *a)
{
    struct listing *l = a->data;

    sort_and_cut(l);
    if (l->no_memory)
        ask_refuse(a, REASON_MEMORY, "no memory for the list");
    return !l->no_memory;
}

json_t *listing_find(const struct listing *l, uint64_t id)
{
    size_t low = 0, high = l->n;

    while (low < high) {
        size_t mid = (low + high) / 2;

        if (l->rows[mid].id == id)
            return l->rows[mid].what;
        if (l->rows[mid].id < id)
            low = mid + 1;
        else
            high = mid;
    }
    return NULL;
}

/* What to say as `after` for the page behind this one. */
static json_t *next_of(const struct listing *l)
{
    const struct listing_row *last = &l->rows[l->n - 1];
    char id[ID_TEXT_MAX];

    if (last->name)
        return json_string(last->name);
    return json_sprintf("%s%s", l->names ? " " : "", id_text(l->kind, last->id, id));
}

void listing_answer(struct ask *a, struct desk *d, const char *key)
{
    struct listing *l = a->data;
    json_t *list;

    if (!listing_sort(a)) {
        ask_refused(a, d);
        return;
    }
    list = json_array();
    for (size_t i = 0; i < l->n; i++)
        json_array_append(list, l->rows[i].what);
    json_object_set_new(a->answer, key, list);
    if (l->more)
        json_object_set_new(a->answer, "next", next_of(l));
    ask_answer(a, d);
}
