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

/* Somebody else wrote it, or another version of this. */
static void tell_malformed(struct nodes *n)
{
    uint64_t left_out;

    n->facts.malformed++;
    if (log_limit_pass(&n->junk, n->now_ms, &left_out))
        nodes_tell(n, LEVEL_WARNING, "topics_trouble", n->id,
                   "topics: an entry of the inbox is not of a node that shares topics");
}

/* [id, [field, bytes]]; how many bytes. */
static size_t take_entry(struct nodes *n, const struct redisReply *r)
{
    const struct redisReply *fields;
    struct entry_in *e;

    if (r->type != REDIS_REPLY_ARRAY || r->elements != 2 ||
        r->element[0]->type != REDIS_REPLY_STRING)
        return 0;
    note_id(n, r->element[0]->str, r->element[0]->len);
    fields = r->element[1];
    if (fields->type != REDIS_REPLY_ARRAY || fields->elements != 2 ||
        fields->element[1]->type != REDIS_REPLY_STRING) {
        tell_malformed(n);
        return 0;
    }
    e = malloc(sizeof *e + fields->element[1]->len);
    if (!e) {
        in_miss(n, NULL, 0, "there was no memory for an entry"); /* its numbers tell the rest */
        return fields->element[1]->len;
    }
    *e = (struct entry_in){.n = fields->element[1]->len};
    memcpy(e->bytes, fields->element[1]->str, e->n);
    core_charge(n->core, (int64_t)e->n);
    list_push_back(&n->inbox, &e->link);
    return e->n;
}

/* What has come is so large that the next is asked for one by one; or not any more. */
static void note_size(struct nodes *n, size_t bytes)
{
    if (bytes >= READ_BYTES)
        n->read_n = 1;
    else if (bytes < READ_BYTES / 4 && n->read_n < READ_ENTRIES)
        n->read_n *= 2;
}

/* No answer, or one that is too large to be one, or to come in time. What is in the inbox may be
 * lost with the connection: who has sent it looks at this node's version, and says how far it was.
 */
static void read_failed(struct nodes *n, const struct link_answer *a)
{
    struct slice del[] = {SLICE("DEL"), slice_str(n->inbox_key)};
    uint64_t no_reply = link_counts(n->reader).malformed;

    nodes_trouble(n, "topics: the inbox cannot be read", a);
    n->read_ms = n->now_ms + (a->outcome == LINK_REPLIED ? AGAIN_MS : 0);
    n->version++;
    if (no_reply == n->no_reply && n->kept_ms <= n->asked_ms)
        return; /* not what is in it: it was away meanwhile */
    n->no_reply = no_reply;
    n->read_n = 1;
    if (++n->failures < READ_FAILURES)
        return;
    n->failures = 0;
    (void)nodes_send(n, del, 2, NULL, NULL); /* it is made anew, and the loss told */
}

/* [[key, [entry, ..]]]; nothing if none came in time. */
static void on_read(void *ctx, const struct link_answer *a)
{
    struct nodes *n = ctx;
    const struct redisReply *r = a->reply;
    size_t bytes = 0;

    n->asked = false;
    if (!answer_is_good(a)) {
        read_failed(n, a);
        return;
    }
    n->failures = 0;
    if (r->type != REDIS_REPLY_ARRAY || r->elements != 1)
        return;
    r = r->element[0];
    if (r->type != REDIS_REPLY_ARRAY || r->elements != 2 ||
        r->element[1]->type != REDIS_REPLY_ARRAY)
        return;
    r = r->element[1];
    for (size_t i = 0; i < r->elements; i++)
        bytes += take_entry(n, r->element[i]);
    note_size(n, bytes);
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
    (void)snprintf(count, sizeof count, "%u", n->read_n);
    (void)snprintf(block, sizeof block, "%d", READ_BLOCK_MS);
    args[2] = slice_str(count);
    args[4] = slice_str(block);
    n->asked_ms = n->now_ms;
    delete_read(n);
    n->asked = send_read(n, args, sizeof args / sizeof args[0], on_read) == 0;
}

/* ------------------------------------------------------------------------------ publishing */

static void hear_missed(void *arg, struct worker *w)
{
    (void)arg;
    core_foreign_missed(worker_core(w));
}

/* Before what comes next is published, but not so often that many queues take all time. */
void in_tell(struct nodes *n)
{
    if (!n->missed || n->now_ms < n->missed_ms)
        return;
    n->missed = false;
    n->missed_ms = n->now_ms + MISSED_MS;
    core_foreign_missed(n->core);
    for (unsigned i = 1; i < n->parts_n; i++)
        if (worker_call(n->worker, i, hear_missed, NULL) < 0)
            n->missed = true;
}

static void tell_unsure(struct nodes *n, const char *of, const char *why, uint64_t left_out)
{
    char before[64] = "";

    if (left_out)
        (void)snprintf(before, sizeof before, " (and %llu times before, untold)",
                       (unsigned long long)left_out);
    nodes_tell(n, LEVEL_WARNING, "topics_lost", of,
               "messages of another node may be lost, nobody knows how many: %s%s", why, before);
}

void in_miss(struct nodes *n, struct peer *p, uint64_t count, const char *why)
{
    const char *of = p ? p->id : n->id;
    uint64_t left_out;

    if (p)
        p->missed += count;
    n->facts.missed += count;
    n->missed = true;
    in_tell(n);
    if (count)
        in_tell_people(n, of);
    else if (!n->stopping && log_limit_pass(&n->unsure, n->now_ms, &left_out))
        tell_unsure(n, of, why, left_out);
}

void in_tell_people(struct nodes *n, const char *of)
{
    uint64_t lost = n->facts.missed - n->missed_told, left_out;

    if (!lost || n->stopping || !log_limit_pass(&n->missing, n->now_ms, &left_out))
        return;
    n->missed_told = n->facts.missed;
    nodes_tell(n, LEVEL_WARNING, "topics_lost", of, "%llu messages of other nodes were lost",
               (unsigned long long)lost);
}

/* Is it the next of its sender? What was lost before it is told. */
static bool is_next(struct nodes *n, struct peer *p, const struct pack_head *head,
                    uint64_t messages)
{
    if (head->session < p->their_session)
        return false;
    if (head->session > p->their_session) {
        if (p->their_session)
            in_miss(n, p, 0, "it took this node for dead meanwhile");
        else if (head->first > 1)
            in_miss(n, p, 0, "what it sent before is not known here");
        p->expected = p->their_session ? 1 : head->first;
        p->their_session = head->session;
    }
    if (head->first < p->expected) /* once more, or too late */
        return false;
    if (head->first > p->expected)
        in_miss(n, p, head->first - p->expected, "");
    p->expected = head->first + messages;
    return true;
}

static bool begin_entry(struct nodes *n, const struct entry_in *e)
{
    struct slice bytes = slice_of(e->bytes, e->n);
    struct pack_head head;
    uint64_t messages;

    if (unpack_check(bytes, &head, &messages) < 0) {
        tell_malformed(n);
        return false;
    }
    n->from = peers_get(n, head.from);
    if (!n->from)
        in_miss(n, NULL, messages, "");
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
    struct entry_in *e = LIST_ITEM(list_pop(&n->inbox), struct entry_in, link);

    n->unpacking = false;
    core_charge(n->core, -(int64_t)e->n);
    free(e);
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
    else
        in_miss(n, n->from, run.n, "");
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
    struct list_node *l;

    while ((l = list_pop(&n->inbox)) != NULL)
        free(LIST_ITEM(l, struct entry_in, link));
    free(n->ids);
}
