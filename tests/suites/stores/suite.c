#include "tests/suites/stores/suite.h"

struct world *world;

/* --------------------------------------------------------------------------------- answers */

static struct slice copy(uint8_t **at, struct slice s)
{
    uint8_t *p = *at;

    if (s.n)
        memcpy(p, s.p, s.n);
    *at += s.n;
    return slice_of(p, s.n);
}

static size_t size_of(const struct stored *a)
{
    size_t size = a->def.name.n + a->def.filters.n + a->def.wishes.n;

    for (uint32_t i = 0; i < a->n; i++) {
        const struct stored_message *m = &a->messages[i];

        size += m->topic.n + m->headers.n + m->data.n + m->type.name.n;
    }
    return size;
}

void suite_answer(struct core *core, const struct stored *a)
{
    struct node *node = (struct node *)core;
    struct heard *h;
    uint8_t *at;

    ck_assert_msg(node->n < HEARD_MAX, "it does not stop answering");
    if (node->n == node->cap) {
        node->cap = node->cap * 2 + 64;
        node->heard = realloc(node->heard, node->cap * sizeof *node->heard);
    }
    h = &node->heard[node->n++];
    *h = (struct heard){.a = *a, .messages = calloc(a->n + 1, sizeof *h->messages)};
    h->bytes = at = malloc(size_of(a) + 1);
    h->a.def.name = copy(&at, a->def.name);
    h->a.def.filters = copy(&at, a->def.filters);
    h->a.def.wishes = copy(&at, a->def.wishes);
    for (uint32_t i = 0; i < a->n; i++) {
        struct stored_message *m = &h->messages[i];

        *m = a->messages[i];
        m->topic = copy(&at, m->topic);
        m->headers = copy(&at, m->headers);
        m->data = copy(&at, m->data);
        if (m->type.id == CTYPE_NAMED)
            m->type.name = copy(&at, m->type.name);
    }
    h->a.messages = h->messages;
}

static void forget(struct node *node)
{
    for (size_t i = 0; i < node->n; i++) {
        free(node->heard[i].messages);
        free(node->heard[i].bytes);
    }
    free(node->heard);
    node->heard = NULL;
    node->n = node->cap = 0;
}

const struct heard *find_heard(const struct node *node, enum stored_kind kind, handle_t queue,
                               size_t *at)
{
    for (; *at < node->n; ++*at)
        if (node->heard[*at].a.kind == kind && node->heard[*at].a.queue == queue)
            return &node->heard[(*at)++];
    return NULL;
}

/* --------------------------------------------------------------------------------- messages */

const uint8_t *body_of(uint64_t key, uint32_t len)
{
    static uint8_t *buf;
    static size_t size;

    if (len > size) {
        buf = realloc(buf, len);
        size = len;
    }
    for (uint32_t i = 0; i < len; i++)
        buf[i] = (uint8_t)(i < 8 ? key >> 8 * i : key * 31 + i);
    return buf;
}

uint64_t key_of(const struct stored_message *m)
{
    uint64_t key = 0;

    ck_assert_msg(m->data.n >= 8, "a payload of %zu bytes has no key", m->data.n);
    for (unsigned i = 0; i < 8; i++)
        key |= (uint64_t)m->data.p[i] << 8 * i;
    /* An assertion that holds is a system call: not for each byte. */
    for (uint32_t i = 8; i < m->data.n; i++)
        if (m->data.p[i] != (uint8_t)(key * 31 + i))
            ck_abort_msg("byte %u is another", i);
    return key;
}

int put(struct opened *o, uint64_t key, uint32_t n, uint32_t len)
{
    struct topic *topic = topic_new(SLICE("a.topic"), 7);
    struct msg_origin from = {topic, {CTYPE_NONE, {0}}, key, wall_ms(), 5};
    struct msg_view *v = calloc(n, sizeof *v);
    uint8_t *bytes = malloc((size_t)n * len + 1);
    struct run run = {.v = v, .n = n, .bytes = (uint64_t)n * len, .type = {.id = CTYPE_NONE}};
    int r;

    for (uint32_t i = 0; i < n; i++) {
        if (len)
            memcpy(bytes + (size_t)i * len, body_of(key + i, len), len);
        v[i] = (struct msg_view){.data = bytes + (size_t)i * len, .len = len};
    }
    r = o->node->store->ops->put(o->q, o->label, &run, &from);
    if (r == 0)
        o->label += n;
    memset(bytes, 0xee, (size_t)n * len); /* it was borrowed for the call only */
    free(bytes);
    free(v);
    topic_unref(topic);
    return r;
}

void count_puts(struct opened *o)
{
    const struct heard *h;

    while ((h = find_heard(o->node, STORED_PUT, o->handle, &o->seen)) != NULL) {
        ck_assert_uint_gt(h->a.count, 0);
        ck_assert_uint_eq(h->a.first, o->facts.next + o->answered);
        o->answered += h->a.count;
        if (h->a.reason != REASON_NONE)
            o->refused += h->a.count;
    }
    ck_assert_uint_le(o->answered, o->label - o->facts.next);
}

static bool all_answered(struct opened *o)
{
    count_puts(o);
    return o->answered == o->label - o->facts.next;
}

void all_kept(struct world *w, struct opened *o)
{
    uint64_t refused = o->refused;

    until(w, all_answered(o));
    ck_assert_uint_eq(o->refused, refused);
}

void put_kept(struct world *w, struct opened *o, uint64_t key, uint32_t n, uint32_t len)
{
    int64_t end = wall_ms() + 20000;

    while (n) {
        uint32_t some = n < 500 ? n : 500;
        int r = put(o, key, some, len);

        if (r == -EAGAIN) {
            w->make->turn(w);
            ck_assert_msg(wall_ms() < end, "there is never room");
            continue;
        }
        ck_assert_int_eq(r, 0);
        key += some;
        n -= some;
    }
    all_kept(w, o);
}

/* ---------------------------------------------------------------------------------- asking */

void note_open(struct node *node, struct store_queue *q)
{
    node->open = realloc(node->open, (node->open_n + 1) * sizeof *node->open);
    node->open[node->open_n++] = q;
}

void close_queue(struct opened *o, bool remove)
{
    struct node *node = o->node;

    for (size_t i = 0; i < node->open_n; i++)
        if (node->open[i] == o->q)
            node->open[i] = NULL;
    node->store->ops->close(o->q, remove);
}

/* As cores do that are freed; the queues of a node that died went with it. */
static void stop(struct world *w)
{
    for (unsigned i = 0; i < w->make->nodes; i++) {
        struct node *node = &w->node[i];

        for (size_t k = 0; node->store && k < node->open_n; k++)
            if (node->open[k])
                node->store->ops->close(node->open[k], false);
        free(node->open);
        node->open = NULL;
        node->open_n = 0;
    }
    w->make->stop(w);
}

struct opened open_defined(struct world *w, unsigned node, const struct store_definition *def,
                           const struct queue_policy *policy)
{
    static handle_t handles;
    struct queue_policy usual = policy_default(POLICY_QUEUE);
    struct store_open so = {.def = *def, .policy = policy ? policy : &usual};
    struct opened o = {.node = &w->node[node], .handle = ++handles};
    const struct heard *h;
    size_t at = o.node->n;

    o.seen = at;
    o.q = o.node->store->ops->open(o.node->store, &so, o.handle);
    ck_assert_ptr_nonnull(o.q);
    note_open(o.node, o.q);
    until(w, (h = find_heard(o.node, STORED_OPEN, o.handle, &at)) != NULL);
    ck_assert_msg(h->a.reason == REASON_NONE, "%s: not opened: %s", w->make->name,
                  h->a.text ? h->a.text : reason_name(h->a.reason));
    o.facts = h->a.facts;
    if (w->make->shared)
        o.facts.next = 1; /* labels are ours */
    o.label = o.facts.next;
    return o;
}

struct opened open_queue(struct world *w, unsigned node, const char *name,
                         const struct queue_policy *policy)
{
    struct store_definition def = {.name = slice_str(name)};

    return open_defined(w, node, &def, policy);
}

const struct heard *fetch(struct world *w, struct opened *o, uint64_t from, uint32_t n,
                          uint64_t bytes)
{
    const struct heard *h;
    size_t at = o->node->n;

    o->node->store->ops->fetch(o->q, from, n, bytes);
    until(w, (h = find_heard(o->node, STORED_MESSAGES, o->handle, &at)) != NULL);
    ck_assert_uint_le(h->a.n, n);
    if (!w->make->shared)
        ck_assert_uint_eq(h->a.first, from);
    return h;
}

const struct heard *peek(struct world *w, struct opened *o, uint64_t from, uint32_t n)
{
    static uint64_t tokens;
    const struct heard *h;
    size_t at = o->node->n;

    ck_assert_int_eq(o->node->store->ops->peek(o->q, from, n, ++tokens), 0);
    until(w, (h = find_heard(o->node, STORED_PEEKED, o->handle, &at)) != NULL);
    ck_assert_uint_eq(h->a.token, tokens);
    ck_assert_uint_le(h->a.n, n);
    return h;
}

struct store_facts facts_of(struct world *w, struct opened *o)
{
    static uint64_t tokens = 1000000;
    const struct heard *h;
    size_t at = o->node->n;

    ck_assert_int_eq(o->node->store->ops->ask(o->q, ++tokens), 0);
    do
        until(w, (h = find_heard(o->node, STORED_FACTS, o->handle, &at)) != NULL);
    while (!h->a.token && w->make->shared); /* told unasked */
    ck_assert_uint_eq(h->a.token, tokens);
    return h->a.facts;
}

uint64_t purge(struct world *w, struct opened *o, uint64_t upto, const struct store_settlement *but,
               size_t n)
{
    static uint64_t tokens = 2000000;
    const struct heard *h;
    size_t at = o->node->n;

    ck_assert_int_eq(o->node->store->ops->purge(o->q, upto, but, n, ++tokens), 0);
    until(w, (h = find_heard(o->node, STORED_PURGED, o->handle, &at)) != NULL);
    ck_assert_uint_eq(h->a.token, tokens);
    return h->a.count;
}

void settle(struct opened *o, enum settle_verb verb, uint64_t seq, uint32_t count,
            uint32_t attempts, int64_t due_ms)
{
    struct store_settlement s = {verb, count, seq, attempts, due_ms};

    o->node->store->ops->settle(o->q, &s, 1);
}

uint64_t lost(const struct opened *o, enum reason reason)
{
    const struct heard *h;
    uint64_t n = 0;

    for (size_t at = 0; (h = find_heard(o->node, STORED_LOST, o->handle, &at)) != NULL;)
        n += h->a.reason == reason ? h->a.count : 0;
    return n;
}

size_t look(struct world *w, struct opened *o, struct seen *list, size_t max)
{
    uint64_t from = 1;
    size_t n = 0;

    for (;;) {
        const struct heard *h = peek(w, o, from, 1000);

        if (!h->a.n)
            return n;
        for (uint32_t i = 0; i < h->a.n; i++) {
            const struct stored_message *m = &h->messages[i];

            if (m->seq < from || n == max)
                ck_abort_msg("%s: number %llu after %llu", w->make->name,
                             (unsigned long long)m->seq, (unsigned long long)from - 1);
            list[n++] = (struct seen){m->seq, m->data.n ? key_of(m) : 0, m->attempts, m->due_ms};
            from = m->seq + 1;
        }
    }
}

static bool is_idle(const struct world *w)
{
    for (unsigned i = 0; i < w->make->nodes; i++) {
        const struct store *s = w->node[i].store;

        if (s && s->ops->busy(s))
            return false;
    }
    return true;
}

void until_idle(struct world *w)
{
    w->make->turn(w);
    until(w, is_idle(w));
}

void reopen(struct world *w)
{
    until_idle(w);
    stop(w);
    for (unsigned i = 0; i < w->make->nodes; i++)
        forget(&w->node[i]);
    w->make->start(w);
}

/* ------------------------------------------------------------------------------------ main */

static const struct make *const makes[] = {
    &make_memory,
    &make_memory_shared,
    &make_journal,
    &make_redis,
};

static const struct make *chosen;

static void begin(void)
{
    world = calloc(1, sizeof *world);
    world->make = chosen;
    world->random = seeded_start();
    chosen->begin(world);
    chosen->start(world);
}

static void end(void)
{
    stop(world);
    chosen->end(world);
    for (unsigned i = 0; i < NODES; i++)
        forget(&world->node[i]);
    free(world);
}

static int try_make(const struct make *m)
{
    Suite *suite = suite_create(m->name);
    TCase *tc = tcase_create(m->name);

    chosen = m;
    tcase_add_checked_fixture(tc, begin, end);
    tcase_set_timeout(tc, 60);
    add_common(tc);
    if (m->shared)
        add_shared(tc);
    else
        add_exclusive(tc);
    suite_add_tcase(suite, tc);
    return run_suite(suite);
}

/* The makes that are named, or all. */
int main(int argc, char **argv)
{
    int failed = 0, tried = 0;

    for (size_t i = 0; i < ARRAY_LEN(makes); i++) {
        bool named = argc < 2;

        for (int k = 1; k < argc; k++)
            named |= strcmp(argv[k], makes[i]->name) == 0;
        if (!named)
            continue;
        tried++;
        failed |= try_make(makes[i]);
    }
    if (!tried)
        fprintf(stderr, "stores: there is no such make\n");
    return failed || !tried;
}
