/* common.c - what every make is asked. */
#include "tests/suites/stores/suite.h"

#include "libbroker/base/headers.h"
#include "libbroker/base/name.h"

START_TEST(empty_queue)
{
    struct opened o = open_queue(world, 0, "empty", NULL);
    const struct heard *h;

    ck_assert_uint_eq(o.facts.messages, 0);
    ck_assert_uint_eq(o.facts.bytes, 0);
    ck_assert_uint_eq(o.facts.oldest_ms, 0);
    h = fetch(world, &o, world->make->shared ? 0 : 1, 100, 1000);
    ck_assert_uint_eq(h->a.n, 0);
    ck_assert_uint_eq(peek(world, &o, 1, 100)->a.n, 0);
    ck_assert_uint_eq(purge(world, &o, UINT64_MAX, NULL, 0), 0);
    settle(&o, SETTLE_GONE, 1, 1000, 0, 0); /* of nobody's */
    settle(&o, SETTLE_RETURNED, 7, 1, 3, 0);
    until_idle(world);
    ck_assert_uint_eq(facts_of(world, &o).messages, 0);
}
END_TEST

START_TEST(kept_in_order)
{
    static struct seen list[2000];
    struct opened o = open_queue(world, 0, "q", NULL);
    struct store_facts f;
    int64_t before = wall_ms();
    size_t n;

    for (uint32_t i = 0; i < 1000; i += 1 + i % 7)
        ck_assert_int_eq(put(&o, 100 + i, 1 + i % 7, 20), 0);
    ck_assert(o.node->store->ops->busy(o.node->store));
    all_kept(world, &o);
    until_idle(world);
    n = look(world, &o, list, ARRAY_LEN(list));
    ck_assert_uint_eq(n, o.label - o.facts.next);
    for (size_t i = 0; i < n; i++) {
        ck_assert_uint_eq(list[i].key, 100 + i);
        ck_assert_uint_eq(list[i].attempts, 0);
        if (!world->make->shared)
            ck_assert_uint_eq(list[i].seq, i + 1);
    }
    f = facts_of(world, &o);
    ck_assert_uint_eq(f.messages, n);
    ck_assert_uint_eq(f.bytes, n * 20);
    ck_assert_uint_eq(f.returned, 0);
    ck_assert_uint_eq(f.first, list[0].seq);
    ck_assert(f.oldest_ms >= before && f.oldest_ms <= wall_ms());
    if (!world->make->shared)
        ck_assert_uint_eq(f.next, n + 1);
}
END_TEST

/* ------------------------------------------------------------------------------ round trip */

struct sample {
    struct slice headers;
    struct ctype type;
    int64_t ttl_ms;
    uint32_t len;
};

static void put_samples(struct opened *o, const struct sample *s, size_t n, const char *topic_name,
                        int64_t time_ms)
{
    struct topic *topic = topic_new(slice_str(topic_name), 1);
    struct msg_origin from = {topic, {5, {0}}, 0xfedcba9876543210U, time_ms, 77};

    for (size_t i = 0; i < n; i++) {
        struct msg_meta meta = {s[i].headers, s[i].type, s[i].ttl_ms, false, false};
        struct msg_view v = {.data = body_of(i + 1, s[i].len), .len = s[i].len, .meta = &meta};
        struct run run = {.v = &v, .n = 1, .bytes = v.len, .type = from.type};

        if (i == n - 1)
            v.meta = NULL;
        ck_assert_int_eq(o->node->store->ops->put(o->q, o->label, &run, &from), 0);
        o->label++;
        from.id++;
    }
    topic_unref(topic);
}

static void check_samples(const struct heard *h, const struct sample *s, size_t n,
                          const char *topic_name, int64_t time_ms)
{
    ck_assert_uint_eq(h->a.n, n);
    for (size_t i = 0; i < n; i++) {
        const struct stored_message *m = &h->messages[i];
        bool plain = i == n - 1;
        struct ctype type = s[i].type;

        if (plain || type.id == CTYPE_NONE)
            type = (struct ctype){5, {0}};
        ck_assert(slice_eq(m->topic, slice_str(topic_name)));
        ck_assert_uint_eq(m->data.n, s[i].len);
        if (s[i].len)
            ck_assert_uint_eq(key_of(m), i + 1);
        ck_assert(slice_eq(m->headers, plain ? slice_of(NULL, 0) : s[i].headers));
        ck_assert(ctype_eq(m->type, type));
        ck_assert_int_eq(m->time_ms, time_ms);
        ck_assert_int_eq(m->expires_ms, plain || !s[i].ttl_ms ? INT64_MAX : time_ms + s[i].ttl_ms);
        ck_assert_uint_eq(m->id, 0xfedcba9876543210U + i);
    }
}

START_TEST(round_trip)
{
    static uint8_t many[65535], value[sizeof many - 4], name[128];
    uint8_t few[64];
    uint8_t *end = headers_put(few, SLICE("name"), SLICE("v\r\n\303\244"));
    struct sample s[] = {
        {slice_of(NULL, 0), {CTYPE_NONE, {0}}, 0, 0},
        {slice_of(few, (size_t)(end - few)), {CTYPE_NAMED, SLICE("text/x")}, 3600000, 8},
        {slice_of(NULL, 0), {0x7f, {0}}, INT64_MAX / 2, 9},
        {slice_of(many, sizeof many), {CTYPE_NAMED, slice_of(name, sizeof name)}, 3600001, 100},
        {slice_of(NULL, 0), {0, {0}}, 0, 5000},
        {slice_of(NULL, 0), {CTYPE_NONE, {0}}, 0, 0},
    };
    char topic[NAME_MAX_BYTES + 1];
    int64_t time = wall_ms() - 12345;
    struct opened o = open_queue(world, 0, "round", NULL);

    memset(topic, 't', NAME_MAX_BYTES);
    topic[NAME_MAX_BYTES] = '\0';
    memset(value, 'v', sizeof value); /* one header, as long as can be */
    headers_put(many, SLICE("n"), slice_of(value, sizeof value));
    for (size_t i = 0; i < sizeof name; i++)
        name[i] = (uint8_t)('a' + i % 26);
    put_samples(&o, s, ARRAY_LEN(s), topic, time);
    all_kept(world, &o);
    check_samples(peek(world, &o, 1, 100), s, ARRAY_LEN(s), topic, time);
    if (!world->make->shared)
        check_samples(fetch(world, &o, 1, 100, 1 << 20), s, ARRAY_LEN(s), topic, time);
    reopen(world);
    o = open_queue(world, 0, "round", NULL);
    check_samples(peek(world, &o, 1, 100), s, ARRAY_LEN(s), topic, time);
    check_samples(fetch(world, &o, world->make->shared ? 0 : 1, 100, 1 << 20), s, ARRAY_LEN(s),
                  topic, time);
}
END_TEST

START_TEST(large_messages)
{
    static const uint32_t size[] = {
        8, 4095, 4096, 65535, 65536, (1 << 20) - 1, (1 << 20) + 1, 3 << 20, (33 << 20) + 5, 100};
    struct opened o = open_queue(world, 0, "large", NULL);
    uint64_t at = world->make->shared ? 0 : 1;

    for (size_t i = 0; i < ARRAY_LEN(size); i++) {
        int r;

        until(world, (r = put(&o, i + 1, 1, size[i])) != -EAGAIN);
        ck_assert_int_eq(r, 0);
    }
    all_kept(world, &o);
    reopen(world);
    o = open_queue(world, 0, "large", NULL);
    for (size_t i = 0; i < ARRAY_LEN(size);) {
        const struct heard *h = fetch(world, &o, at, 3, 1 << 20);
        uint64_t bytes = 0;

        ck_assert_uint_ge(h->a.n, 1);
        for (uint32_t k = 0; k < h->a.n; k++, i++) {
            ck_assert_uint_eq(key_of(&h->messages[k]), i + 1);
            ck_assert_uint_eq(h->messages[k].data.n, size[i]);
            bytes += size[i];
        }
        ck_assert(h->a.n == 1 || bytes <= 2 * STORE_FETCH_BYTES);
        at = world->make->shared ? 0 : h->messages[h->a.n - 1].seq + 1;
    }
}
END_TEST

/* -------------------------------------------------------------------------- what is settled */

/* The numbers and keys of a queue as they must be. */
struct wanted {
    struct seen list[20000];
    size_t n;
};

static void check_wanted(struct world *w, struct opened *o, const struct wanted *want)
{
    static struct seen list[20000];
    struct store_facts f = facts_of(w, o);
    size_t n = look(w, o, list, ARRAY_LEN(list));

    ck_assert_uint_eq(n, want->n);
    ck_assert_uint_eq(f.messages, n);
    for (size_t i = 0; i < n; i++) {
        const struct seen *a = &list[i], *b = &want->list[i];

        if (a->seq != b->seq || a->key != b->key || a->attempts != b->attempts ||
            a->due_ms != b->due_ms)
            ck_abort_msg("%s: %llu (%llu, %u times), not %llu (%llu, %u times); BROKER_SEED=%llu",
                         w->make->name, (unsigned long long)a->seq, (unsigned long long)a->key,
                         a->attempts, (unsigned long long)b->seq, (unsigned long long)b->key,
                         b->attempts, (unsigned long long)w->random.seed);
    }
    if (n)
        ck_assert_uint_eq(f.first, list[0].seq);
    if (n && !w->make->shared)
        ck_assert_uint_gt(f.next, list[n - 1].seq);
}

/* Drop or return what lies in a range. */
static void want_settled(struct wanted *want, const struct store_settlement *s)
{
    size_t n = 0;

    for (size_t i = 0; i < want->n; i++) {
        struct seen *m = &want->list[i];
        bool hit = m->seq >= s->seq && m->seq < s->seq + s->count;

        if (hit && s->verb == SETTLE_GONE)
            continue;
        if (hit) {
            m->attempts = s->attempts;
            m->due_ms = s->due_ms;
        }
        want->list[n++] = *m;
    }
    want->n = n;
}

/* Shared: only who has a message may settle it. */
static void take_all(struct world *w, struct opened *o)
{
    const struct heard *h;

    if (w->make->shared)
        do
            h = fetch(w, o, 0, 1000, 1 << 20);
        while (h->a.n);
}

START_TEST(settled_out_of_order)
{
    static struct wanted want;
    struct opened o = open_queue(world, 0, "order", NULL);

    put_kept(world, &o, 1, 3000, 30);
    take_all(world, &o);
    want.n = look(world, &o, want.list, ARRAY_LEN(want.list));
    for (unsigned i = 0; i < 400; i++) {
        struct store_settlement s[3];

        for (unsigned k = 0; k < 3; k++) {
            s[k] = (struct store_settlement){
                .verb = SETTLE_GONE,
                .count = 1 + (uint32_t)seeded_below(&world->random, k ? 3 : 1),
                .seq = want.list[0].seq + seeded_below(&world->random, 3000),
            };
            want_settled(&want, &s[k]);
        }
        o.node->store->ops->settle(o.q, s, 3);
        if (i % 50 == 0)
            world->make->turn(world);
    }
    until_idle(world);
    check_wanted(world, &o, &want);
    close_queue(&o, false);
    reopen(world);
    o = open_queue(world, 0, "order", NULL);
    ck_assert_uint_eq(o.facts.messages, want.n);
    check_wanted(world, &o, &want);
    put_kept(world, &o, 9000, 10, 30);
    ck_assert_uint_eq(facts_of(world, &o).messages, want.n + 10);
}
END_TEST

START_TEST(purged)
{
    struct opened o = open_queue(world, 0, "purge", NULL);

    put_kept(world, &o, 1, 700, 10);
    ck_assert_uint_eq(purge(world, &o, UINT64_MAX, NULL, 0), 700);
    ck_assert_uint_eq(facts_of(world, &o).messages, 0);
    put_kept(world, &o, 1000, 3, 10);
    until_idle(world);
    reopen(world);
    o = open_queue(world, 0, "purge", NULL);
    ck_assert_uint_eq(o.facts.messages, 3);
    ck_assert_uint_eq(key_of(&peek(world, &o, 1, 1)->messages[0]), 1000);
}
END_TEST

START_TEST(peeked)
{
    struct opened o = open_queue(world, 0, "peek", NULL);
    const struct heard *h;
    uint64_t seq;

    put_kept(world, &o, 1, 50, 10);
    h = peek(world, &o, 1, 10);
    ck_assert_uint_eq(h->a.n, 10);
    ck_assert_uint_eq(key_of(&h->messages[0]), 1);
    seq = h->messages[9].seq;
    h = peek(world, &o, seq + 1, 100);
    ck_assert_uint_eq(h->a.n, 40);
    ck_assert_uint_eq(key_of(&h->messages[0]), 11);
    ck_assert_uint_eq(peek(world, &o, h->messages[39].seq + 1, 100)->a.n, 0);
    take_all(world, &o);
    ck_assert_uint_eq(peek(world, &o, 1, 100)->a.n, 50); /* in whatever state */
    settle(&o, SETTLE_GONE, seq, 1, 0, 0);
    h = peek(world, &o, 1, 100);
    ck_assert_uint_eq(h->a.n, 49);
    ck_assert_uint_eq(key_of(&h->messages[9]), 11);
}
END_TEST

/* ------------------------------------------------------------------------------ definitions */

/* How often was a queue of that definition found? At start, by node 0. */
static unsigned found(struct world *w, const struct store_definition *def, unsigned *ret_all)
{
    const struct heard *h;
    unsigned n = 0;
    size_t at = 0;

    until(w, (at = 0, find_heard(&w->node[0], STORED_ALL_FOUND, 0, &at)) != NULL);
    *ret_all = 0;
    for (at = 0; (h = find_heard(&w->node[0], STORED_FOUND, 0, &at)) != NULL; ++*ret_all)
        n += slice_eq(h->a.def.name, def->name) && slice_eq(h->a.def.filters, def->filters) &&
             slice_eq(h->a.def.wishes, def->wishes);
    return n;
}

START_TEST(found_again)
{
    static uint8_t filters[60000];
    struct store_definition a = {SLICE("a"), SLICE("\1#"), SLICE("wishes\0of a")};
    struct store_definition b = {SLICE("b{%}\xc3\xa9:*"), {0}, {0}};
    struct queue_policy policy = policy_default(POLICY_QUEUE);
    struct opened o, p;
    unsigned all;

    ck_assert_uint_eq(found(world, &a, &all), 0);
    ck_assert_uint_eq(all, 0);
    o = open_defined(world, 0, &a, NULL);
    p = open_defined(world, 0, &b, NULL);
    put_kept(world, &p, 5, 1, 8);
    close_queue(&o, false);
    reopen(world);
    ck_assert_uint_eq(found(world, &a, &all), 1);
    ck_assert_uint_eq(found(world, &b, &all), 1);
    ck_assert_uint_eq(all, 2);

    o = open_defined(world, 0, &a, NULL);
    memset(filters, 'f', sizeof filters);
    a.filters = slice_of(filters, sizeof filters);
    a.wishes = SLICE("");
    o.node->store->ops->define(o.q, &(struct store_open){a, &policy});
    until_idle(world);
    facts_of(world, &o); /* what was asked before is done */
    reopen(world);
    ck_assert_uint_eq(found(world, &a, &all), 1);
    ck_assert_uint_eq(found(world, &b, &all), 1);
    ck_assert_uint_eq(all, 2);
    p = open_defined(world, 0, &b, NULL);
    ck_assert_uint_eq(key_of(&peek(world, &p, 1, 9)->messages[0]), 5);
}
END_TEST

START_TEST(removed)
{
    struct store_definition def = {SLICE("gone"), {0}, {0}};
    struct opened o = open_defined(world, 0, &def, NULL);
    unsigned all;

    put_kept(world, &o, 1, 100, 10);
    close_queue(&o, true);
    o = open_defined(world, 0, &def, NULL); /* another one */
    ck_assert_uint_eq(o.facts.messages, 0);
    put_kept(world, &o, 500, 2, 10);
    close_queue(&o, false);
    o = open_defined(world, 0, &def, NULL);
    ck_assert_uint_eq(o.facts.messages, 2);
    ck_assert_uint_eq(key_of(&peek(world, &o, 1, 1)->messages[0]), 500);
    close_queue(&o, true);
    o = open_queue(world, 0, "other", NULL);
    reopen(world);
    ck_assert_uint_eq(found(world, &def, &all), 0);
    ck_assert_uint_eq(all, 1);
    o = open_defined(world, 0, &def, NULL);
    ck_assert_uint_eq(o.facts.messages, 0);
    ck_assert_uint_eq(peek(world, &o, 1, 9)->a.n, 0);
}
END_TEST

/* A queue that is closed while much is on its way: what was answered stays, and nothing is said
 * any more. */
START_TEST(closed_in_between)
{
    static struct seen list[2000];
    struct opened o = open_queue(world, 0, "close", NULL);
    uint64_t answered;
    size_t n, heard;

    for (unsigned i = 0; i < 50; i++)
        ck_assert_int_eq(put(&o, 1 + i * 20, 20, 100), 0);
    until(world, (count_puts(&o), o.answered > 0));
    ck_assert_int_eq(o.node->store->ops->peek(o.q, 1, 10, 99), 0);
    close_queue(&o, false);
    answered = o.answered;
    heard = o.node->n;
    o = open_queue(world, 0, "close", NULL);
    for (; heard < o.node->n; heard++)
        ck_assert(o.node->heard[heard].a.queue != o.handle - 1);
    n = look(world, &o, list, ARRAY_LEN(list));
    ck_assert(n >= answered && n <= 1000);
    for (size_t i = 0; i < n; i++)
        ck_assert_uint_eq(list[i].key, i + 1);
}
END_TEST

/* ----------------------------------------------------------------------------------- limits */

START_TEST(not_too_much_at_once)
{
    struct opened o = open_queue(world, 0, "much", NULL);
    struct opened other = open_queue(world, 0, "other", NULL);
    uint64_t most = 0;
    size_t at;
    int r;

    while ((r = put(&o, 1 + most, 64, 8)) == 0) {
        most += 64;
        ck_assert_uint_le(most, STORE_UNSTORED_MAX);
    }
    ck_assert_int_eq(r, -EAGAIN);
    ck_assert_uint_ge(most, 64);
    at = o.node->n;
    until(world, find_heard(o.node, STORED_ROOM, o.handle, &at) != NULL);
    ck_assert_int_eq(put(&o, 1 + most, 64, 8), 0);
    all_kept(world, &o);
    ck_assert_uint_eq(facts_of(world, &o).messages, most + 64);

    /* Bytes, but for a single message. */
    ck_assert_int_eq(put(&o, 1, 1, STORE_UNSTORED_BYTES + 1), 0);
    ck_assert_int_eq(put(&o, 2, 1, STORE_UNSTORED_BYTES), -EAGAIN);
    at = o.node->n;
    put_kept(world, &other, 1, 1, 8);
    until(world, find_heard(o.node, STORED_ROOM, o.handle, &at) != NULL);
    all_kept(world, &o);
}
END_TEST

/* Messages kept, of whatever queue. */
static unsigned count_kept(const struct node *node)
{
    unsigned n = 0;

    for (size_t i = 0; i < node->n; i++)
        if (node->heard[i].a.kind == STORED_PUT) {
            ck_assert_int_eq(node->heard[i].a.reason, REASON_NONE);
            n += (unsigned)node->heard[i].a.count;
        }
    return n;
}

START_TEST(many_queues)
{
    enum { QUEUES = 10000 };
    static struct store_queue *q[QUEUES];
    struct queue_policy policy = policy_default(POLICY_QUEUE);
    struct store *s = world->node[0].store;
    struct opened o = {.node = &world->node[0], .label = 1, .facts.next = 1};
    struct store_definition none = {SLICE("none"), {0}, {0}};
    char name[32];
    size_t at;
    unsigned all;

    for (unsigned i = 0; i < QUEUES; i++) {
        (void)snprintf(name, sizeof name, "queue.%u", i);
        q[i] = s->ops->open(s, &(struct store_open){{slice_str(name), {0}, {0}}, &policy},
                            0x1000000 + i);
        ck_assert_ptr_nonnull(q[i]);
        note_open(&world->node[0], q[i]);
        if (i % 500 == 499)
            world->make->turn(world);
    }
    for (unsigned i = 0; i < QUEUES; i++)
        until(world, (at = 0, find_heard(o.node, STORED_OPEN, 0x1000000 + i, &at)) != NULL);
    for (unsigned i = 0; i < QUEUES; i++) {
        o.q = q[i];
        o.label = 1;
        ck_assert_int_eq(put(&o, 1 + i, 1, 8), 0);
    }
    until(world, count_kept(o.node) == QUEUES);
    reopen(world);
    ck_assert_uint_eq(found(world, &none, &all), 0);
    ck_assert_uint_eq(all, QUEUES);
    for (unsigned i = 0; i < QUEUES; i += 997) {
        (void)snprintf(name, sizeof name, "queue.%u", i);
        o = open_queue(world, 0, name, NULL);
        ck_assert_uint_eq(o.facts.messages, 1);
        ck_assert_uint_eq(key_of(&peek(world, &o, 1, 9)->messages[0]), 1 + i);
    }
}
END_TEST

/* ----------------------------------------------------------------------------------- random */

enum { RANDOM_QUEUES = 4 };

static struct random_queue {
    struct opened o;
    struct wanted want;
    uint64_t keys;
} random_queue[RANDOM_QUEUES];

static void random_open(unsigned i)
{
    char name[] = "random.0";

    name[7] = (char)('0' + i);
    random_queue[i].o = open_queue(world, 0, name, NULL);
    take_all(world, &random_queue[i].o);
}

static void random_put(struct random_queue *r)
{
    uint32_t n = 1 + (uint32_t)seeded_below(&world->random, 40);
    uint32_t len = 8 + (uint32_t)seeded_below(&world->random, 300);
    size_t had = r->want.n;

    put_kept(world, &r->o, r->keys + 1, n, len);
    take_all(world, &r->o);
    r->want.n = look(world, &r->o, r->want.list, ARRAY_LEN(r->want.list));
    ck_assert_uint_eq(r->want.n, had + n);
    for (uint32_t i = 0; i < n; i++)
        ck_assert_uint_eq(r->want.list[had + i].key, ++r->keys);
}

static void random_settle(struct random_queue *r)
{
    struct store_settlement s = {.verb = SETTLE_GONE};

    if (!r->want.n)
        return;
    s.seq = r->want.list[seeded_below(&world->random, r->want.n)].seq;
    s.count = 1 + (uint32_t)seeded_below(&world->random, 30);
    if (!world->make->shared && seeded_below(&world->random, 3) == 0) {
        s.verb = SETTLE_RETURNED;
        s.attempts = 1 + (uint32_t)seeded_below(&world->random, 9);
        s.due_ms = wall_ms() + 1000000;
        if (seeded_below(&world->random, 2))
            s.due_ms = 0;
    }
    want_settled(&r->want, &s);
    r->o.node->store->ops->settle(r->o.q, &s, 1);
}

START_TEST(random_and_reopened)
{
    uint64_t steps = world->make->shared ? 150 : 400;

    memset(random_queue, 0, sizeof random_queue);
    for (unsigned i = 0; i < RANDOM_QUEUES; i++)
        random_open(i);
    for (uint64_t step = 0; step < steps; step++) {
        struct random_queue *r = &random_queue[seeded_below(&world->random, RANDOM_QUEUES)];

        switch (seeded_below(&world->random, 12)) {
        case 0:
        case 1:
        case 2:
        case 3:
            random_put(r);
            break;
        case 4:
            if (seeded_below(&world->random, 10))
                break;
            reopen(world);
            for (unsigned i = 0; i < RANDOM_QUEUES; i++)
                random_open(i);
            break;
        case 5:
            until_idle(world);
            check_wanted(world, &r->o, &r->want);
            break;
        default:
            random_settle(r);
            break;
        }
    }
    until_idle(world);
    reopen(world);
    for (unsigned i = 0; i < RANDOM_QUEUES; i++) {
        random_open(i);
        check_wanted(world, &random_queue[i].o, &random_queue[i].want);
    }
}
END_TEST

void add_common(TCase *tc)
{
    tcase_add_test(tc, empty_queue);
    tcase_add_test(tc, kept_in_order);
    tcase_add_test(tc, round_trip);
    tcase_add_test(tc, large_messages);
    tcase_add_test(tc, settled_out_of_order);
    tcase_add_test(tc, purged);
    tcase_add_test(tc, peeked);
    tcase_add_test(tc, found_again);
    tcase_add_test(tc, removed);
    tcase_add_test(tc, closed_in_between);
    tcase_add_test(tc, not_too_much_at_once);
    tcase_add_test(tc, many_queues);
    tcase_add_test(tc, random_and_reopened);
}
