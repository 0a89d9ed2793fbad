/* What other nodes have for this one: read, looked at, published, deleted.
 *
 * Read is always from the inbox's beginning, and what was read is deleted by its ids in the same
 * breath as the next read. So no place in the stream has to be remembered, and a Redis that comes
 * back with older ids than it had hides nothing. What comes twice for that is told by its number.
 */
#include <errno.h>
#include <hiredis/hiredis.h>
#include <stdio.h>
#include <stdlib.h>

#include "brokerd/nodes/internal.h"

/* --------------------------------------------------------------------------------- reading */

/* To be deleted. Without memory it stays, is read again, and is known by its number then. */
static void note_id(struct nodes *n, const char *id, size_t len)
{
    size_t cap = n->ids_cap ? n->ids_cap : 256;
    char *ids;

    while (cap - n->ids_n < len + 1)
        cap *= 2;
    ids = cap != n->ids_cap ? realloc(n->ids, cap) : n->ids;
    if (!ids)
        return;
    n->ids = ids;
    n->ids_cap = cap;
    memcpy(ids + n->ids_n, id, len + 1);
    n->ids_n += len + 1;
    n->ids_count++;
}

/* [id, [field, bytes]] */
static void take_entry(struct nodes *n, const struct redisReply *r)
{
    const struct redisReply *fields;
    struct entry_in *e;

    if (r->type != REDIS_REPLY_ARRAY || r->elements != 2 ||
        r->element[0]->type != REDIS_REPLY_STRING)
        return;
    note_id(n, r->element[0]->str, r->element[0]->len);
    fields = r->element[1];
    if (fields->type != REDIS_REPLY_ARRAY || fields->elements != 2 ||
        fields->element[1]->type != REDIS_REPLY_STRING) {
        n->facts.malformed++;
        return;
    }
    e = malloc(sizeof *e + fields->element[1]->len);
    if (!e)
        return; /* its numbers are missed */
    *e = (struct entry_in){.n = fields->element[1]->len};
    memcpy(e->bytes, fields->element[1]->str, e->n);
    list_push_back(&n->inbox, &e->link);
}

/* [[key, [entry, ..]]]; nothing if none came in time. */
static void on_read(void *ctx, const struct link_answer *a)
{
    struct nodes *n = ctx;
    const struct redisReply *r = a->reply;

    n->asked = false;
    if (!answer_is_good(a)) {
        nodes_trouble(n, "topics: the inbox cannot be read", a);
        n->read_ms = n->now_ms + (a->outcome == LINK_REPLIED ? AGAIN_MS : 0);
        return;
    }
    if (r->type != REDIS_REPLY_ARRAY || r->elements != 1)
        return;
    r = r->element[0];
    if (r->type != REDIS_REPLY_ARRAY || r->elements != 2 ||
        r->element[1]->type != REDIS_REPLY_ARRAY)
        return;
    r = r->element[1];
    for (size_t i = 0; i < r->elements; i++)
        take_entry(n, r->element[i]);
}

/* What could not be deleted comes again, and is known. */
static void on_deleted(void *ctx, const struct link_answer *a)
{
    (void)ctx;
    (void)a;
}

static int send_read(struct nodes *n, const struct slice *args, unsigned args_n,
                     link_answer_fn *done)
{
    struct link_command cmd = {args, args_n, link_slot(slice_str(n->inbox_key))};

    return link_send(n->reader, &cmd, done, n);
}

static void delete_read(struct nodes *n)
{
    struct slice args[2 + READ_ENTRIES] = {SLICE("XDEL"), slice_str(n->inbox_key)};
    const char *id = n->ids;
    unsigned k = 0;

    for (; k < n->ids_count && k < READ_ENTRIES; k++) {
        args[2 + k] = slice_str(id);
        id += args[2 + k].n + 1;
    }
    if (k)
        (void)send_read(n, args, 2 + k, on_deleted);
    n->ids_n = 0;
    n->ids_count = 0;
}

void in_read(struct nodes *n)
{
    char count[16], block[16];
    struct slice args[] = {
        SLICE("XREAD"),   SLICE("COUNT"),          {0},         SLICE("BLOCK"), {0},
        SLICE("STREAMS"), slice_str(n->inbox_key), SLICE("0-0")};

    if (n->asked || n->stopping || !n->has_inbox || !list_empty(&n->inbox) ||
        n->now_ms < n->read_ms)
        return;
    (void)snprintf(count, sizeof count, "%d", READ_ENTRIES);
    (void)snprintf(block, sizeof block, "%d", READ_BLOCK_MS);
    args[2] = slice_str(count);
    args[4] = slice_str(block);
    delete_read(n);
    n->asked = send_read(n, args, sizeof args / sizeof args[0], on_read) == 0;
}

/* ------------------------------------------------------------------------------ publishing */

/* Numbers that did not come. */
static void miss(struct nodes *n, struct peer *p, uint64_t count)
{
    uint64_t left_out;

    p->missed += count;
    n->facts.missed += count;
    if (log_limit_pass(&n->losing, n->now_ms, &left_out))
        nodes_tell(n, LEVEL_WARNING, "topics_lost", p->id,
                   "%llu messages of another node were lost", (unsigned long long)count);
}

/* Is it the next of its sender? What was lost before it is told. */
static bool is_next(struct nodes *n, struct peer *p, const struct pack_head *head,
                    uint64_t messages)
{
    if (head->session < p->their_session)
        return false;
    if (head->session > p->their_session) {
        p->their_session = head->session;
        p->expected = 1;
    }
    if (head->first < p->expected) /* once more, or too late */
        return false;
    if (head->first > p->expected)
        miss(n, p, head->first - p->expected);
    p->expected = head->first + messages;
    return true;
}

static bool begin_entry(struct nodes *n, const struct entry_in *e)
{
    struct slice bytes = slice_of(e->bytes, e->n);
    struct pack_head head;
    uint64_t messages;

    if (unpack_check(bytes, &head, &messages) < 0) {
        n->facts.malformed++;
        return false;
    }
    n->from = peers_get(n, head.from);
    if (!n->from || !is_next(n, n->from, &head, messages))
        return false;
    n->from->received += messages;
    n->facts.received += messages;
    unpack_begin(&n->unpack, bytes);
    n->unpacking = true;
    return true;
}

static void end_entry(struct nodes *n)
{
    struct list_node *l = list_pop(&n->inbox);

    n->unpacking = false;
    free(LIST_ITEM(l, struct entry_in, link));
}

/* Some messages of the first entry; false: it has no more. */
static bool publish_some(struct nodes *n)
{
    uint32_t max = n->credit < VIEWS_MAX ? (uint32_t)n->credit : VIEWS_MAX;
    struct run run = {.v = n->views};
    struct refusal why;
    struct origin from;

    run.n = unpack_next(&n->unpack, n->views, n->metas, max, &from);
    if (!run.n)
        return false;
    for (uint32_t i = 0; i < run.n; i++)
        run.bytes += run.v[i].len;
    run.type = n->unpack.type;
    if (core_publish_foreign(n->publisher, n->unpack.topic, &run, &from, &why) == 0)
        n->credit -= run.n;
    return true;
}

bool in_publish(struct nodes *n)
{
    bool any = false;

    while (n->credit && !list_empty(&n->inbox)) {
        const struct entry_in *e = LIST_ITEM(list_first(&n->inbox), struct entry_in, link);

        if (!n->unpacking && !begin_entry(n, e)) {
            end_entry(n);
            continue;
        }
        if (publish_some(n))
            any = true;
        else
            end_entry(n);
    }
    return any;
}

void in_free(struct nodes *n)
{
    while (!list_empty(&n->inbox))
        end_entry(n);
    free(n->ids);
}
