/* A Redis that may evict keys loses queues, a part of them at a time, and tells nobody. So it is
 * asked now and then whether it may: of a Cluster each time another master, by a queue's slot.
 * Without the right to ask nobody knows. */
#include "brokerd/store/redis/parts.h"

#include <stdio.h>

/* "NAME:VALUE" and a line's end; empty if there is none. */
static struct slice value_of(struct slice info, struct slice name)
{
    while (info.n) {
        const uint8_t *end = memchr(info.p, '\n', info.n);
        size_t n = end ? (size_t)(end - info.p) : info.n;
        struct slice line = slice_of(info.p, n && info.p[n - 1] == '\r' ? n - 1 : n);

        if (line.n > name.n && slice_starts(line, name) && line.p[name.n] == ':')
            return slice_from(line, name.n + 1);
        info = slice_from(info, end ? n + 1 : n);
    }
    return slice_of(NULL, 0);
}

static void on_info(struct request *req, const struct link_answer *a)
{
    struct redis_store *r = req->store;
    struct slice info, policy, most;
    bool evicts;

    r->asking_memory = false;
    if (a->outcome != LINK_REPLIED || a->reply->type != REDIS_REPLY_STRING)
        return;
    info = reply_slice(a->reply);
    policy = value_of(info, SLICE("maxmemory_policy"));
    most = value_of(info, SLICE("maxmemory"));
    /* `volatile-..` is about keys with a time to live: ours have none. */
    evicts = slice_starts(policy, SLICE("allkeys-")) && most.n && !slice_eq(most, SLICE("0"));
    if (!evicts) {
        if (req->number == r->evicting_slot)
            r->facts.evicts[0] = '\0';
        return;
    }
    if (r->facts.evicts[0])
        return;
    r->evicting_slot = req->number;
    (void)snprintf(r->facts.evicts, sizeof r->facts.evicts, "%.*s", (int)policy.n,
                   (const char *)policy.p);
    store_event(
        r, REDIS_LOST,
        "maxmemory-policy is %s: when memory runs out Redis drops queues and what they hold; "
        "durable queues need noeviction",
        r->facts.evicts);
}

/* That which said so last time is asked first, if it may have changed its mind. */
static uint16_t slot_to_ask(struct redis_store *r)
{
    struct list_node *n;
    unsigned i = 0, at = r->ticks / SCAN_TICKS;

    if (r->facts.evicts[0])
        return (uint16_t)r->evicting_slot;
    for (n = list_first(&r->queues); n; n = list_next(&r->queues, n))
        if (i++ == at % (r->opened + 1))
            return LIST_ITEM(n, struct store_queue, link)->keys.slot;
    return r->names.slot;
}

void evict_tick(struct redis_store *r)
{
    static const char *const words[] = {"INFO", "memory"};
    uint16_t slot = slot_to_ask(r);

    if (r->o.worker != 0 || r->asking_memory || r->down_ms != INT64_MAX || r->stopping)
        return;
    args_begin_words(r, words, 2);
    r->asking_memory = call_send(r, NULL, slot, on_info, NULL, slot) == 0;
}
