/* Two nodes with one queue in a store that both share: by seed they publish, take, settle, give
 * back and leave, over a store that is late, busy and refuses. What was accepted is settled once,
 * nobody has what another has, and nobody gets more than it has credit for. */
#include "brokerd/core/durable.h"
#include "tests/unit/core/fake_store.h"

#include <check.h>

enum { NODES = 2, EATERS = 2, IDS = 3000, STEPS = 2500, SEEDS = 40, EATEN = 4096 };

struct eater {
    struct node *node;
    struct endpoint *ep; /* NULL: not there */
    struct consumer *k;
    uint64_t out, granted, got;
    uint32_t id[EATEN]; /* by delivery number; 0: not its any more */
};

struct node {
    struct world world;
    struct fake fake;
    struct endpoint *ep;
    struct publisher *publisher;
    uint32_t allowance;
    uint32_t sent[IDS + 1]; /* by number of the publisher: the id */
    uint64_t next;
    struct eater eater[EATERS];
};

static struct node nodes[NODES];
static struct policy_set *policies;
static struct memory_shelf *shelf;
static uint64_t random_state;
static uint32_t ids; /* published so far: 1..ids */
static struct fate {
    bool accepted, acked;
    unsigned holders;
} fate[IDS + 1];

static uint64_t below(uint64_t n)
{
    random_state = random_state * UINT64_C(6364136223846793005) + 1442695040888963407;
    return (random_state >> 33) % n;
}

/* ------------------------------------------------------------------------- what is heard */

static uint64_t on_deliver(void *ctx, const struct delivery *d)
{
    struct eater *e = ctx;

    for (uint32_t i = 0; i < d->run.n; i++) {
        uint32_t id;

        memcpy(&id, d->run.v[i].data, sizeof id);
        e->id[++e->got] = id;
        ck_assert_uint_le(e->got, e->granted);
        ck_assert_msg(!fate[id].acked, "%u comes again", id);
        ck_assert_msg(!fate[id].holders++, "%u has another already", id);
        e->out += 16;
    }
    ck_assert_uint_eq(d->first + d->run.n - 1, e->got);
    core_written(e->ep, e->out);
    return e->out;
}

static void on_ready(void *ctx)
{
    (void)ctx;
}

static void on_settled(void *ctx, uint64_t upto, const struct outcome *o, size_t n)
{
    struct node *node = ctx;

    (void)upto;
    for (; n--; o++)
        for (uint64_t i = o->first; i < o->first + o->count; i++)
            fate[node->sent[i]].accepted = o->reason == REASON_NONE;
}

static void on_granted(void *ctx, uint32_t n)
{
    ((struct node *)ctx)->allowance += n;
}

static const struct endpoint_ops ops = {.door = "test",
                                        .deliver = on_deliver,
                                        .ready = on_ready,
                                        .settled = on_settled,
                                        .granted = on_granted};

/* -------------------------------------------------------------------------- what is done */

static void turn(struct node *n)
{
    memory_shelf_clock(shelf, n->world.now);
    world_run(&n->world);
}

static void join(struct eater *e, uint64_t credit)
{
    struct consume_options o = {.queue = SLICE("d"), .manual_ack = true, .credit = credit};
    struct endpoint_desc desc = {.name = "eater"};
    struct node *n = e->node;
    struct refusal why;

    *e = (struct eater){.node = n, .granted = credit};
    ck_assert_int_eq(core_endpoint_open(n->world.core[0], &desc, &ops, e, &e->ep), 0);
    ck_assert_int_eq(core_attach(e->ep, &o, e, &e->k, &why), 0);
}

static void leave(struct eater *e)
{
    for (uint64_t i = 1; i <= e->got; i++)
        if (e->id[i])
            fate[e->id[i]].holders--;
    core_endpoint_close(e->ep);
    e->ep = NULL;
}

static void settle(struct eater *e, uint64_t number, enum ack_verb verb, uint32_t delay_ms)
{
    struct fate *f = &fate[e->id[number]];

    if (!e->id[number])
        return;
    f->holders--;
    f->acked |= verb == ACK_DONE;
    e->id[number] = 0;
    ck_assert_int_eq(core_ack(e->k, number, 1, verb, delay_ms), 0);
}

static void publish(struct node *n, uint32_t most)
{
    struct target to = {true, SLICE("d")};
    struct msg_view v[8];
    uint32_t bytes[8];
    struct run run = {.v = v, .type = {.id = CTYPE_NONE}};
    struct refusal why;

    for (; run.n < most && run.n < n->allowance && ids < IDS; run.n++) {
        bytes[run.n] = ++ids;
        v[run.n] = (struct msg_view){(const uint8_t *)&bytes[run.n], sizeof *bytes, NULL, NULL};
        n->sent[n->next++] = ids;
        run.bytes += sizeof *bytes;
    }
    if (!run.n)
        return;
    n->allowance -= run.n;
    ck_assert_int_eq(core_publish(n->publisher, &to, &run, &why), 0);
}

static void act(struct node *n)
{
    struct eater *e = &n->eater[below(EATERS)];

    switch (below(12)) {
    case 0:
    case 1:
    case 2:
        publish(n, 1 + (uint32_t)below(8));
        break;
    case 3:
        if (e->ep && below(4) == 0)
            leave(e);
        else if (!e->ep)
            join(e, below(6));
        break;
    case 4:
    case 5:
        if (e->ep && e->granted + 20 < EATEN) {
            uint64_t credit = 1 + below(20);

            e->granted += credit;
            core_grant(e->k, credit);
        }
        break;
    case 6:
        if (e->ep && e->got)
            settle(e, 1 + below(e->got), ACK_NACK, (uint32_t)below(2) * 50);
        break;
    default:
        for (uint64_t i = below(8); e->ep && e->got && i; i--)
            settle(e, e->got - below(e->got < 16 ? e->got : 16), ACK_DONE, 0);
        break;
    }
}

static void node_begin(struct node *n, unsigned number)
{
    struct endpoint_desc desc = {.name = "publisher"};
    struct memory_options o = {.shelf = shelf, .answer = core_stored, .node = number};

    memset(n, 0, sizeof *n);
    n->next = 1;
    world_start(&n->world, 1, policies, INT64_C(1) << 30);
    o.core = n->world.core[0];
    n->fake.shelf = shelf;
    n->fake.world = &n->world;
    n->fake.store[0] = memory_store_new(&o);
    core_set_store(o.core, DURABLE_REDIS, n->fake.store[0]);
    n->world.stores = (struct world_stores){&n->fake, fake_turn, fake_flush};
    turn(n);
    ck_assert_int_eq(core_endpoint_open(o.core, &desc, &ops, n, &n->ep), 0);
    ck_assert_int_eq(core_publisher_open(n->ep, PUBLISH_WINDOW, n, &n->publisher), 0);
    for (unsigned i = 0; i < EATERS; i++)
        n->eater[i].node = n;
    turn(n);
}

static void node_end(struct node *n)
{
    world_stop(&n->world);
    fake_stop(&n->fake);
}

static void turn_all(int64_t ms)
{
    for (unsigned i = 0; i < NODES; i++)
        nodes[i].world.now += ms;
    for (unsigned round = 0; round < 3; round++)
        for (unsigned i = 0; i < NODES; i++)
            turn(&nodes[i]);
}

/* ------------------------------------------------------------------------------- the end */

static bool all_settled(void)
{
    for (uint32_t id = 1; id <= ids; id++)
        if (fate[id].accepted && !fate[id].acked)
            return false;
    return true;
}

static void eat_all(void)
{
    for (unsigned i = 0; i < NODES; i++)
        for (unsigned k = 0; k < EATERS; k++) {
            struct eater *e = &nodes[i].eater[k];

            if (e->ep)
                leave(e);
            join(e, i ? 0 : EATEN - 1);
        }
    for (unsigned round = 0; round < 100 && (round < 5 || !all_settled()); round++) {
        turn_all(100);
        for (unsigned k = 0; k < EATERS; k++) {
            struct eater *e = &nodes[0].eater[k];

            for (uint64_t i = 1; i <= e->got; i++)
                settle(e, i, ACK_DONE, 0);
        }
    }
}

static void check_empty(struct node *n)
{
    struct queue *q;

    for (uint32_t at = 0; (q = slots_next(&n->world.core[0]->slots, SLOT_QUEUE, &at)) != NULL;) {
        ck_assert_uint_eq(q->backlog->waiting, 0);
        ck_assert_uint_eq(q->backlog->bytes, 0);
        ck_assert_uint_eq(q->backlog->unready_n, 0);
        ck_assert_uint_eq(q->backlog->inflight, 0);
        ck_assert_int_eq(q->backlog->charged, 0);
        ck_assert_uint_eq(durable_unstored(q->backlog->stored), 0);
    }
    ck_assert(core_drained(n->world.core[0]));
}

START_TEST(what_was_accepted_is_settled_once)
{
    const struct memory_trouble trouble = {.late = 200, .refuse = 20, .balk = 20};

    random_state = (uint64_t)_i + 1;
    ids = 0;
    memset(fate, 0, sizeof fate);
    policies = world_policy(POLICY_QUEUE, "d", "durable=redis max-deliveries=unlimited");
    shelf = memory_shelf_new(true, (uint64_t)_i);
    for (unsigned i = 0; i < NODES; i++)
        node_begin(&nodes[i], i);
    for (unsigned i = 0; _i % 2 && i < NODES; i++)
        memory_store_trouble(nodes[i].fake.store[0], &trouble);
    for (unsigned i = 0; i < STEPS; i++) {
        struct node *n = &nodes[below(NODES)];

        act(n);
        if (below(3) == 0)
            turn(n);
        if (below(20) == 0)
            turn_all((int64_t)below(40));
    }
    for (unsigned i = 0; i < NODES; i++)
        memory_store_trouble(nodes[i].fake.store[0], &(struct memory_trouble){0});
    eat_all();
    for (uint32_t id = 1; id <= ids; id++)
        ck_assert_msg(!fate[id].accepted || fate[id].acked, "%u was accepted, and is lost", id);
    ck_assert_uint_gt(ids, 500);
    for (unsigned i = 0; i < NODES; i++)
        check_empty(&nodes[i]);
    for (unsigned i = 0; i < NODES; i++)
        node_end(&nodes[i]);
    memory_shelf_free(shelf);
    policies = policy_set_unref(policies);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("durable, shared");
    TCase *tc = tcase_create("two nodes");
    SRunner *r;
    int failed;

    tcase_add_loop_test(tc, what_was_accepted_is_settled_once, 0, SEEDS);
    tcase_set_timeout(tc, 60);
    suite_add_tcase(s, tc);
    r = srunner_create(s);
    srunner_run_all(r, CK_ENV);
    failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed ? 1 : 0;
}
