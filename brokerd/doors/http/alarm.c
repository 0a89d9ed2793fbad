#include "brokerd/doors/http/alarm.h"

#include <stdlib.h>

static void look(struct alarms *all)
{
    const struct heap_node *n = heap_min(&all->due);

    all->room.due_ms = n ? n->key : INT64_MAX;
}

static void ring_until(struct alarms *all, int64_t until_ms, int64_t now_ms)
{
    struct heap_node *n;

    while ((n = heap_min(&all->due)) != NULL && n->key <= until_ms) {
        struct alarm *a = HEAP_ITEM(n, struct alarm, node);

        heap_remove(&all->due, n);
        a->ring(a, now_ms);
    }
    look(all);
}

static void on_time(struct door_room *room, int64_t now_ms)
{
    ring_until((struct alarms *)room, now_ms, now_ms);
}

/* All ring, and see that it drains. */
static void on_drain(struct door_room *room)
{
    struct alarms *all = (struct alarms *)room;

    if (all->draining)
        return;
    all->draining = true;
    for (size_t i = 0; i < all->due.n; i++)
        all->due.nodes[i]->key = INT64_MIN; /* all the same: it stays a heap */
    ring_until(all, INT64_MIN, INT64_MIN);
}

static void free_room(struct door_room *room)
{
    struct alarms *all = (struct alarms *)room;

    heap_fini(&all->due);
    map_fini(&all->asked);
    free(all);
}

static const struct door_room_ops ops = {on_time, on_drain, free_room};

struct alarms *alarms_of(const struct link *l)
{
    struct door_scratch *scratch = l->host->scratch;
    struct door_room *r = scratch->rooms;
    struct alarms *all;

    while (r && r->ops != &ops)
        r = r->next;
    if (r)
        return (struct alarms *)r;
    all = calloc(1, sizeof *all);
    if (!all)
        return NULL;
    map_init(&all->asked, l->host->seed);
    all->room = (struct door_room){&ops, scratch->rooms, INT64_MAX};
    scratch->rooms = &all->room;
    return all;
}

int alarm_set(struct alarms *all, struct alarm *a, int64_t when_ms)
{
    int r = 0;

    if (heap_queued(&a->node)) {
        heap_update(&all->due, &a->node, when_ms);
    } else {
        a->node.key = when_ms;
        r = heap_push(&all->due, &a->node);
    }
    look(all);
    return r;
}

void alarm_drop(struct alarms *all, struct alarm *a)
{
    heap_remove(&all->due, &a->node);
    look(all);
}
