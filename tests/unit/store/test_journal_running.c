/* The journal as it runs: what is answered is kept, whatever the order of settlements, over stops
 * and clearing; limits hold; damage is told. */
#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include "libbroker/base/be.h"
#include "tests/unit/store/running.h"

static struct running r;

static void reopen(void)
{
    bool open[R_QUEUES];

    for (unsigned i = 0; i < R_QUEUES; i++)
        open[i] = r.queue[i].q != NULL;
    r_stop(&r);
    ck_assert_msg(r_begin(&r) == 0, "%s", r.text);
    for (unsigned i = 0; i < R_QUEUES; i++)
        if (open[i])
            r_open_queue(&r, i);
}

static void put_n(unsigned i, unsigned n, uint16_t size)
{
    while (n--)
        ck_assert_int_eq(r_put(&r, i, size), 0);
    r_until(&r, r.queue[i].answered == r.queue[i].next - 1);
}

/* ------------------------------------------------------------------------------------- the basics
 */

START_TEST(put_and_fetched)
{
    r_init(&r, 65536, 0);
    r_open_queue(&r, 0);
    ck_assert_uint_eq(r.queue[0].facts.next, 1);
    put_n(0, 50, 100);
    r_check(&r, 0);
    r_fetch(&r, 0, 11, 5, 1 << 20);
    ck_assert_uint_eq(r.queue[0].n, 5);
    ck_assert_uint_eq(r.queue[0].upto, 16);
    r_fetch(&r, 0, 40, 100, 250); /* bytes for two */
    ck_assert_uint_eq(r.queue[0].n, 2);
    ck_assert_uint_eq(r.queue[0].upto, 42);
    r_fetch(&r, 0, 40, 100, 1); /* one at least */
    ck_assert_uint_eq(r.queue[0].n, 1);
    r_fetch(&r, 0, 51, 100, 1000);
    ck_assert_uint_eq(r.queue[0].n, 0);
    ck_assert_uint_eq(r.queue[0].upto, 51);
    r_fini(&r);
}
END_TEST

START_TEST(a_stop_and_a_start)
{
    r_init(&r, 65536, 0);
    r_open_queue(&r, 0);
    r_open_queue(&r, 1);
    put_n(0, 100, 40);
    put_n(1, 10, 40);
    r_settle(&r, 0, 1, 60);
    r_settle(&r, 0, 70, 1);
    r_return(&r, 0, 80, 0);
    r_return(&r, 0, 80, 123456);
    r_settle(&r, 1, 1, 10);
    reopen();
    ck_assert_uint_eq(r.queue[0].found, 1);
    ck_assert_uint_eq(r.queue[1].found, 1);
    ck_assert_uint_eq(r.queue[2].found, 0);
    ck_assert_uint_eq(r.queue[0].facts.next, 101);
    ck_assert_uint_eq(r.queue[0].facts.first, 61);
    ck_assert_uint_eq(r.queue[0].facts.messages, 39);
    ck_assert_uint_eq(r.queue[0].facts.bytes, 39 * 40);
    ck_assert_uint_eq(r.queue[0].facts.returned, 1);
    ck_assert_int_eq(r.queue[0].facts.oldest_ms, 77000);
    ck_assert_uint_eq(r.queue[1].facts.next, 11);
    ck_assert_uint_eq(r.queue[1].facts.first, 11);
    r_check(&r, 0);
    put_n(0, 1, 40);
    reopen();
    r_check(&r, 0);
    r_fini(&r);
}
END_TEST

/* A settlement of what is put in the very same turn finds it. */
START_TEST(settled_at_once)
{
    r_init(&r, 65536, 0);
    r_open_queue(&r, 0);
    ck_assert_int_eq(r_put(&r, 0, 10), 0);
    ck_assert_int_eq(r_put(&r, 0, 10), 0);
    r.store[0]->ops->settle(r.queue[0].q, &(struct store_settlement){SETTLE_GONE, 1, 1, 0, 0}, 1);
    r_until(&r, r.queue[0].answered == 2 && !r_busy(&r));
    r.queue[0].state[1] = R_SETTLED;
    r.queue[0].live--;
    r_check(&r, 0);
    r_fini(&r);
}
END_TEST

/* A fetch knows what was settled before it, and nothing of what is put after it. */
START_TEST(a_fetch_in_between)
{
    unsigned before;

    r_init(&r, 65536, 0);
    r_open_queue(&r, 0);
    put_n(0, 10, 10);
    r_settle(&r, 0, 3, 2);
    before = r.queue[0].fetched;
    r.store[0]->ops->fetch(r.queue[0].q, 1, 100, 1 << 20);
    ck_assert_int_eq(r_put(&r, 0, 10), 0);
    r_until(&r, r.queue[0].fetched > before);
    ck_assert_uint_eq(r.queue[0].n, 8);
    ck_assert_uint_eq(r.queue[0].upto, 11);
    r_until(&r, r.queue[0].answered == 11);
    r_fini(&r);
}
END_TEST

START_TEST(purged)
{
    struct store_settlement but[2] = {{.seq = 5, .count = 2}, {.seq = 30, .count = 1}};

    r_init(&r, 4096, 0);
    r_open_queue(&r, 0);
    put_n(0, 60, 200);
    r_settle(&r, 0, 10, 5);
    ck_assert_int_eq(r.store[0]->ops->purge(r.queue[0].q, 50, but, 2, 99), 0);
    r_until(&r, r.queue[0].token == 99);
    ck_assert_uint_eq(r.queue[0].purged, 50 - 5 - 3);
    for (uint64_t seq = 1; seq <= 50; seq++)
        if (r.queue[0].state[seq] == R_STORED && seq != 5 && seq != 6 && seq != 30) {
            r.queue[0].state[seq] = R_SETTLED;
            r.queue[0].live--;
        }
    r_check(&r, 0);
    reopen();
    r_check(&r, 0);
    r_fini(&r);
}
END_TEST

/* ------------------------------------------------------------------------------------ the past
 */

enum { FOR_EVER = -1 };

/* Queue 0, which retains for so long. */
static void begin_past(int64_t retain_ms)
{
    r_init(&r, 65536, 0);
    r.queue[0].retain_ms = retain_ms == FOR_EVER ? POLICY_NEVER : retain_ms;
    r_open_queue(&r, 0);
}

/* In the model: from that number on all waits that was put, before it nothing does. */
static void model_rewind(struct r_queue *q, uint64_t from)
{
    q->live = 0;
    for (uint64_t seq = 1; seq < q->next; seq++) {
        q->state[seq] = seq < from ? R_SETTLED : R_STORED;
        q->attempts[seq] = 0;
        q->live += seq >= from;
    }
}

static void expect_waits(uint64_t first)
{
    const struct store_facts *f = &r.queue[0].facts;

    ck_assert_uint_eq(f->first, first);
    ck_assert_uint_eq(f->messages, r.queue[0].live);
    ck_assert_uint_eq(f->returned, 0);
    r_check(&r, 0);
}

START_TEST(had_again) /* _i: reopened in between, all the time */
{
    begin_past(FOR_EVER);
    put_n(0, 1000, 100);
    r_return(&r, 0, 700, 0);
    r_return(&r, 0, 900, 12345);
    r_settle(&r, 0, 1, 600);
    r_settle(&r, 0, 800, 50);
    for (unsigned i = 0; i < 2; i++) {
        if (_i)
            reopen();
        r_ask(&r, 0);
        ck_assert_uint_eq(r.queue[0].facts.first, 601);
        ck_assert_uint_eq(r.queue[0].facts.messages, 350);
        ck_assert_uint_eq(r.queue[0].facts.returned, 2);
        r_check(&r, 0);
    }
    r_rewind(&r, 0, REWIND_SEQ, 300, 0);
    model_rewind(&r.queue[0], 300);
    for (unsigned i = 0; i < 2; i++) {
        expect_waits(300);
        if (_i)
            reopen();
    }
    r_rewind(&r, 0, REWIND_LAST, 0, 0);
    model_rewind(&r.queue[0], 1000);
    expect_waits(1000);
    r_settle(&r, 0, 1000, 1);
    r_rewind(&r, 0, REWIND_FIRST, 0, 0);
    model_rewind(&r.queue[0], 1);
    expect_waits(1);
    r_settle(&r, 0, 1, 1000);
    r_rewind(&r, 0, REWIND_TIME, 0, 77001); /* all are of 77,000 */
    model_rewind(&r.queue[0], 1001);
    expect_waits(1001);
    r_rewind(&r, 0, REWIND_TIME, 0, 77000);
    model_rewind(&r.queue[0], 1);
    expect_waits(1);
    if (_i)
        reopen();
    expect_waits(1);
    r_fini(&r);
}
END_TEST

START_TEST(a_purge_forgets_the_past)
{
    struct store_settlement hand = {SETTLE_GONE, 60, 20, 0, 0};
    struct r_queue *q = &r.queue[0];

    begin_past(FOR_EVER);
    put_n(0, 100, 50);
    r_settle(&r, 0, 1, 30); /* those from 20 on have not been heard of when it was purged */
    r_settle(&r, 0, 95, 6);
    ck_assert_int_eq(r.store[0]->ops->purge(q->q, 90, &hand, 1, 5), 0);
    r_until(&r, q->token == 5);
    ck_assert_uint_eq(q->purged, 11);
    r_rewind(&r, 0, REWIND_FIRST, 0, 0);
    for (unsigned i = 0; i < 2; i++) {
        ck_assert_uint_eq(q->facts.messages, 49 + 4);
        ck_assert_uint_eq(q->facts.first, 30 + 1);
        ck_assert_uint_eq(journal_facts(r.journal).retained, 0);
        reopen();
    }
    r_fini(&r);
}
END_TEST

/* Time over: by the queue's, by none at all, by another one. */
START_TEST(retained_for_a_while)
{
    begin_past(FOR_EVER);
    put_n(0, 300, 50);
    r_settle(&r, 0, 1, 300);
    r_ask(&r, 0);
    r_stop(&r);
    usleep(30000); /* it is about time */
    r.queue[0].retain_ms = 20;
    ck_assert_int_eq(r_begin(&r), 0);
    r_open_queue(&r, 0);
    r_rewind(&r, 0, REWIND_FIRST, 0, 0);
    ck_assert_uint_eq(r.queue[0].facts.messages, 0);
    ck_assert_uint_eq(r.queue[0].facts.first, 301);
    /* And forgotten, without anybody asking, however many. */
    for (unsigned i = 0; i < 4; i++)
        put_n(0, 10000, 0);
    r_settle(&r, 0, 301, 40000);
    r_ask(&r, 0);
    while (!journal_facts(r.journal).settlements || journal_facts(r.journal).messages ||
           journal_facts(r.journal).retained || journal_facts(r.journal).data > 200)
        usleep(1000);
    r_fini(&r);
}
END_TEST

/* Clearing keeps it, where it must: half of it is of another queue that retains nothing. Random
 * acks, rewinds and stops; the journal stays within its bound. */
START_TEST(cleared_and_kept)
{
    struct seeded s = seeded_start();
    struct r_queue *q = &r.queue[0];
    uint64_t upto = 1, moved = 0;

    begin_past(FOR_EVER);
    r_open_queue(&r, 1);
    for (unsigned i = 0; i < 60; i++) {
        for (unsigned k = 0; k < 100; k++) {
            ck_assert_int_eq(r_put(&r, 0, 100), 0);
            ck_assert_int_eq(r_put(&r, 1, 600), 0);
        }
        r_until(&r, q->answered == q->next - 1 && r.queue[1].answered == r.queue[1].next - 1);
        if (r.queue[1].live)
            r_settle(&r, 1, r.queue[1].next - 100, 100);
        for (unsigned k = 0; k < 80; k++) {
            uint64_t seq = upto + seeded_below(&s, q->next - upto);

            if (q->state[seq] == R_STORED)
                r_settle(&r, 0, seq, 1);
        }
        if (seeded_below(&s, 6) == 0) {
            upto = 1 + seeded_below(&s, q->next - 1);
            r_rewind(&r, 0, REWIND_SEQ, upto, 0);
            model_rewind(q, upto);
            expect(&s, q->facts.messages == q->live);
        }
        if (seeded_below(&s, 10) == 0) {
            moved += journal_facts(r.journal).moved_bytes;
            reopen();
        }
        r_ask(&r, 0);
    }
    moved += journal_facts(r.journal).moved_bytes;
    r_check(&r, 0);
    expect(&s, moved > 0);
    expect(&s, journal_facts(r.journal).retained == q->next - 1 - q->live);
    expect(&s, r_disk(&r) <= 2 * journal_facts(r.journal).data + 5 * UINT64_C(65536));
    r_rewind(&r, 0, REWIND_FIRST, 0, 0);
    model_rewind(q, 1);
    reopen();
    expect_waits(1);
    r_fini(&r);
}
END_TEST

/* How it does is told anew when files have gone, though nothing else happens. */
START_TEST(facts_after_a_purge)
{
    struct r_queue *q = &r.queue[0];

    r_init(&r, 65536, 0);
    r_open_queue(&r, 0);
    for (unsigned n = 0; n < 20; n++)
        put_n(0, 100, 600);
    ck_assert_uint_gt(journal_facts(r.journal).segments, 10);
    ck_assert_int_eq(r.store[q->worker]->ops->purge(q->q, UINT64_MAX, NULL, 0, 5), 0);
    r_until(&r, q->token == 5);
    ck_assert_uint_eq(q->purged, 2000);
    while (journal_facts(r.journal).segments > 2) /* the test's time ends it */
        sched_yield();
    ck_assert_uint_lt(journal_facts(r.journal).disk, 3 * 65536);
    for (uint64_t seq = 1; seq < q->next; seq++)
        q->state[seq] = R_SETTLED;
    q->live = 0;
    r_fini(&r);
}
END_TEST

START_TEST(removed)
{
    r_init(&r, 4096, 0);
    r_open_queue(&r, 0);
    r_open_queue(&r, 1);
    put_n(0, 30, 200);
    put_n(1, 3, 200);
    r.store[0]->ops->close(r.queue[0].q, true);
    memset(&r.queue[0].state, 0, sizeof r.queue[0].state);
    r.queue[0].next = 1;
    r.queue[0].answered = r.queue[0].live = 0;
    r_open_queue(&r, 0); /* in the same turn, another one */
    ck_assert_uint_eq(r.queue[0].facts.messages, 0);
    ck_assert_uint_eq(r.queue[0].facts.next, 1);
    put_n(0, 5, 50);
    reopen();
    ck_assert_uint_eq(r.queue[0].found, 1);
    r_check(&r, 0);
    r_check(&r, 1);
    r_fini(&r);
}
END_TEST

/* Records so far, and sure to be all of what was said. */
static uint64_t records(void)
{
    r_ask(&r, 0);
    r_ask(&r, 0); /* facts are told after answers */
    return journal_facts(r.journal).records;
}

static void define(const char *wish)
{
    static const struct queue_policy policy;
    const struct store_open o = {.def = {slice_str(r.queue[0].name),
                                         SLICE("\x03"
                                               "a/b"),
                                         slice_str(wish)},
                                 .policy = &policy};

    r.store[0]->ops->define(r.queue[0].q, &o);
}

/* Who reloads says all again. */
START_TEST(defined_as_it_was)
{
    uint64_t before;

    r_init(&r, 65536, 0);
    r_open_queue(&r, 0);
    put_n(0, 3, 100);
    before = records();
    define("wish");
    define("wish");
    ck_assert_uint_eq(records(), before);
    define("other");
    ck_assert_uint_eq(records(), before + 1);
    define("wish"); /* to and fro in one turn */
    define("other");
    ck_assert_uint_eq(records(), before + 3);
    r_stop(&r);
    ck_assert_msg(r_begin(&r) == 0, "%s", r.text);
    ck_assert_str_eq(r.queue[0].wish, "other");
    r_open_queue(&r, 0);
    r_check(&r, 0);
    r_fini(&r);
}
END_TEST

/* More comes back in one turn than a segment takes: each is said once. */
START_TEST(more_returns_than_a_segment_takes)
{
    enum { ALL = 4000 };
    uint64_t before;
    uint32_t segments;

    r_init(&r, 65536, 0);
    r_open_queue(&r, 0);
    put_n(0, ALL, 10);
    before = records();
    segments = journal_facts(r.journal).segments;
    for (uint64_t seq = 1; seq <= ALL; seq++)
        r_return(&r, 0, seq, 99000 + (int64_t)seq);
    r_until(&r, !r_busy(&r));
    ck_assert_uint_le(records(), before + ALL + 10); /* lists, definitions */
    ck_assert_uint_le(journal_facts(r.journal).segments, segments + 4);
    r_check(&r, 0);
    reopen();
    r_check(&r, 0);
    r_fini(&r);
}
END_TEST

START_TEST(larger_than_a_segment)
{
    r_init(&r, 8192, 0);
    r_open_queue(&r, 0);
    r_open_queue(&r, 1);
    put_n(0, 3, 100);
    put_n(0, 1, 0xffff);
    put_n(1, 1, 9000);
    put_n(0, 3, 100);
    r_check(&r, 0);
    r_check(&r, 1);
    reopen();
    r_check(&r, 0);
    r_check(&r, 1);
    r_settle(&r, 0, 1, 7);
    reopen();
    r_check(&r, 0);
    r_fini(&r);
}
END_TEST

START_TEST(too_much_on_its_way)
{
    int status = 0;

    r_init(&r, 0, 0);
    r_open_queue(&r, 0);
    for (unsigned n = 0; n < STORE_UNSTORED_MAX; n++)
        ck_assert_int_eq(r_put(&r, 0, 1), 0);
    status = r_put(&r, 0, 1);
    ck_assert_int_eq(status, -EAGAIN);
    r_until(&r, r.queue[0].rooms == 1);
    ck_assert_int_eq(r_put(&r, 0, 1), 0);
    r_until(&r, r.queue[0].answered == STORE_UNSTORED_MAX + 1);
    r_check(&r, 0);
    r_fini(&r);
}
END_TEST

/* ------------------------------------------------------------------------- clearing, the limit */

static void until_cleared(void)
{
    struct journal_facts f;

    for (unsigned n = 0; n < 20000;
         n++) { /* each ask is a round: a step of clearing is between two */
        r_ask(&r, 0);
        f = journal_facts(r.journal);
        if (f.disk <= 2 * f.data + 4 * r.options.segment_bytes)
            return;
    }
    ck_abort_msg("%llu bytes of disk for %llu of data, %llu of notes, in %llu segments; %s",
                 (unsigned long long)f.disk, (unsigned long long)f.data,
                 (unsigned long long)f.notes, (unsigned long long)f.segments, r.events);
}

/* Loop: 0 first-in-first-out, 1 at random, 2 one in a hundred never. */
START_TEST(disk_use_follows)
{
    struct seeded s = seeded_start();
    struct r_queue *q = &r.queue[0];
    uint64_t oldest = 1;

    r_init(&r, 16384, 0);
    r_open_queue(&r, 0);
    for (unsigned n = 0; n < 6000; n++) {
        ck_assert_int_eq(r_put(&r, 0, (uint16_t)seeded_below(&s, 300)), 0);
        if (q->next - q->answered > 64)
            r_until(&r, q->next - q->answered < 32);
        while (q->live > 500) {
            uint64_t seq = _i == 1 ? oldest + seeded_below(&s, q->answered + 1 - oldest) : oldest;

            while (q->state[oldest] == R_SETTLED || (_i == 2 && oldest % 100 == 0))
                oldest++;
            if (q->state[seq] == R_STORED && !(_i == 2 && seq % 100 == 0))
                r_settle(&r, 0, seq, 1);
        }
    }
    r_until(&r, q->answered == q->next - 1 && !r_busy(&r));
    r_check(&r, 0);
    until_cleared();
    expect(&s, journal_facts(r.journal).cleared > 15);
    expect(&s, r_disk(&r) <= 2 * journal_facts(r.journal).data + 5 * 16384);
    reopen();
    r_check(&r, 0);
    r_fini(&r);
}
END_TEST

START_TEST(a_limit_is_hard)
{
    const uint64_t most = 16 * 8192;
    struct r_queue *q = &r.queue[0];

    r_init(&r, 8192, most);
    r_open_queue(&r, 0);
    for (unsigned round = 0; round < 5; round++) {
        uint64_t first = q->next;
        unsigned rooms;
        int status;

        while ((status = r_put(&r, 0, 500)) == 0) {
            if (q->next % 8 == 0)
                r_until(&r, q->answered == q->next - 1);
            ck_assert_uint_le(r_disk(&r), most);
        }
        ck_assert_int_eq(status, -ENOSPC);
        rooms = q->rooms;
        r_until(&r, q->answered == q->next - 1);
        r_check(&r, 0);
        ck_assert_uint_gt(q->next - first, 30);
        for (uint64_t seq = 1; seq < q->next; seq++) /* one at a time, as consumers do */
            if (q->state[seq] == R_STORED) {
                r_settle(&r, 0, seq, 1);
                r_flush(&r);
                ck_assert_uint_le(r_disk(&r), most);
            }
        r_until(&r, q->rooms > rooms);
        r_until(&r, !r_busy(&r));
        until_cleared();
    }
    reopen();
    r_check(&r, 0);
    r_fini(&r);
}
END_TEST

/* ------------------------------------------------------------------------------------- damage */

/* Other bytes in the payload of message `seq` of queue 0, wherever it lies: its number and id,
 * which follow each other, are searched for in all segments. */
static void spoil(uint64_t seq)
{
    struct files f = {.dir = -1, .lock = -1};
    struct journal_file *list;
    uint8_t wanted[16];
    size_t n;

    (void)be_put_64(be_put_64(wanted, seq), 1000 + seq);
    (void)snprintf(f.path, sizeof f.path, "%s", r.path);
    ck_assert_int_eq(files_list(&f, &list, &n), 0);
    for (size_t i = 0; i < n; i++) {
        uint8_t *bytes = malloc(list[i].size), *at;
        int fd;

        ck_assert_ptr_nonnull(bytes);
        ck_assert_int_eq(files_segment(&f, list[i].number, true, &fd), 0);
        ck_assert_int_eq(files_read(fd, bytes, list[i].size, 0), 0);
        at = memmem(bytes, list[i].size, wanted, sizeof wanted);
        if (at)
            ck_assert_int_eq(pwrite(fd, "\x00\x01", 2, at - bytes + 70), 2);
        close(fd);
        free(bytes);
        if (at) {
            free(list);
            return;
        }
    }
    ck_abort_msg("message %llu is nowhere", (unsigned long long)seq);
}

static void is_lost(uint64_t seq)
{
    r.queue[0].state[seq] = R_SETTLED;
    r.queue[0].live--;
}

START_TEST(damaged_when_fetched)
{
    r_init(&r, 16384, 0);
    r_open_queue(&r, 0);
    put_n(0, 100, 80);
    spoil(40);
    spoil(41);
    is_lost(40);
    is_lost(41);
    r_fetch(&r, 0, 30, 20, 1 << 20);
    ck_assert_uint_eq(r.queue[0].n, 18);
    ck_assert_uint_eq(r.queue[0].upto, 50);
    r_until(&r, r.queue[0].lost == 2);
    r_check(&r, 0); /* told once */
    ck_assert_uint_eq(r.queue[0].lost, 2);
    r_ask(&r, 0);
    ck_assert_uint_eq(journal_facts(r.journal).damaged, 2);
    ck_assert_ptr_nonnull(strstr(r.events, "message 40 is damaged"));
    r_fini(&r);
}
END_TEST

/* A batch is damaged when its segment is cleared: what is whole of it moves, the rest is told, and
 * the segment is kept for people. */
START_TEST(damaged_when_cleared)
{
    char kept[128];

    r_init(&r, 8192, 0);
    r_open_queue(&r, 0);
    for (unsigned n = 0; n < 10; n++)
        put_n(0, 4, 80);
    spoil(2);
    is_lost(2);
    r_return(&r, 0, 3, 4242);
    for (unsigned n = 0; !r.queue[0].lost; n++) {
        ck_assert_uint_lt(n, 2000);
        put_n(0, 8, 200);
        r_settle(&r, 0, r.queue[0].next - 8, 7); /* one in eight stays, of these */
        for (uint64_t seq = 5; seq <= 40; seq++)
            if (r.queue[0].state[seq] == R_STORED)
                r_settle(&r, 0, seq, 1);
    }
    ck_assert_uint_eq(r.queue[0].lost, 1);
    (void)snprintf(kept, sizeof kept, "%s/damaged", r.path);
    ck_assert_int_eq(access(kept, F_OK), 0);
    r_check(&r, 0);
    reopen();
    r_check(&r, 0);
    ck_assert_uint_eq(journal_recovery(r.journal)->damaged, 0);
    r_fini(&r);
}
END_TEST

/* -------------------------------------------------------------------------------- at random */

static void some_op(struct seeded *s)
{
    unsigned i = (unsigned)seeded_below(s, R_QUEUES);
    struct r_queue *q = &r.queue[i];
    uint64_t seq = 1 + seeded_below(s, q->next);

    switch (seeded_below(s, 12)) {
    case 0:
    case 1:
    case 2:
    case 3:
        if (q->next < R_SEQS)
            ck_assert_int_eq(
                r_put(&r, i, seeded_below(s, 400) ? (uint16_t)seeded_below(s, 600) : 5000), 0);
        break;
    case 4:
    case 5:
    case 6:
        if (q->state[seq] == R_STORED)
            r_settle(&r, i, seq, 1);
        break;
    case 7: /* a run, whatever is in it that is stored */
        if (seq + 20 < q->answered)
            r_settle(&r, i, seq, (uint32_t)seeded_below(s, 20));
        break;
    case 8:
        if (q->state[seq] == R_STORED && q->attempts[seq] < 200)
            r_return(&r, i, seq, (int64_t)seeded_below(s, 2) * 5000);
        break;
    case 9:
        r_fetch(&r, i, seq, (uint32_t)seeded_below(s, 50), seeded_below(s, 20000));
        break;
    case 10:
        r_until(&r, q->answered == q->next - 1);
        break;
    default:
        r_flush(&r);
    }
}

START_TEST(at_random)
{
    struct seeded s = seeded_start();

    r_init(&r, 4096 << seeded_below(&s, 3), 0);
    for (unsigned i = 0; i < R_QUEUES; i++)
        r_open_queue(&r, i);
    for (unsigned round = 0; round < 6; round++) {
        for (unsigned n = 0; n < 3000; n++)
            some_op(&s);
        for (unsigned i = 0; i < R_QUEUES; i++) {
            r_until(&r, r.queue[i].answered == r.queue[i].next - 1);
            r_check(&r, i);
            r_ask(&r, i);
        }
        reopen();
        for (unsigned i = 0; i < R_QUEUES; i++) {
            expect(&s, r.queue[i].facts.messages == r.queue[i].live);
            expect(&s, r.queue[i].facts.next == r.queue[i].next);
            r_check(&r, i);
        }
    }
    expect(&s, journal_recovery(r.journal)->damaged == 0);
    r_fini(&r);
}
END_TEST

/* -------------------------------------------------------------------------------------- killed */

/* What a child has been told, as far as its parent can see. */
struct told {
    _Atomic uint64_t put, stored, settled;
};

static uint16_t size_of(uint64_t seq)
{
    return (uint16_t)(seq * 37 % 700);
}

static _Noreturn void child(struct told *t)
{
    struct r_queue *q = &r.queue[0];
    uint64_t settled = 1;

    if (r_begin(&r) < 0)
        _exit(1);
    r_open_queue(&r, 0);
    while (q->next < R_SEQS - 1) {
        t->put = q->next;
        if (r_put(&r, 0, size_of(q->next)) < 0)
            _exit(2);
        if (q->next - q->answered > 16)
            r_until(&r, q->next - q->answered < 8);
        t->stored = q->answered;
        for (; settled + 200 < q->answered; settled++) {
            t->settled = settled;
            r_settle(&r, 0, settled, 1);
        }
    }
    _exit(3);
}

START_TEST(killed)
{
    struct told *t =
        mmap(NULL, sizeof *t, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    struct seeded s = seeded_start();
    uint64_t stop_at = 300 + seeded_below(&s, 5000);
    struct r_queue *q = &r.queue[0];
    int status;
    pid_t pid;

    r_init(&r, 8192, 0);
    r_stop(&r);
    fflush(NULL);
    pid = fork();
    if (pid == 0)
        child(t);
    while (t->stored < stop_at)
        expect(&s, waitpid(pid, &status, WNOHANG) == 0);
    kill(pid, SIGKILL);
    expect(&s, waitpid(pid, &status, 0) == pid && WIFSIGNALED(status));
    ck_assert_msg(r_begin(&r) == 0, "%s", r.text);
    r_open_queue(&r, 0);
    /* At least what it was told, at most what it has put; of settlements, whatever was written. */
    expect(&s, q->facts.next > t->stored && q->facts.next <= t->put + 1);
    expect(&s, q->facts.first <= t->stored);
    for (uint64_t seq = q->facts.first; seq < q->facts.next; seq++) {
        q->state[seq] = R_STORED;
        q->size[seq] = size_of(seq);
        q->live++;
    }
    q->next = q->facts.next;
    q->answered = q->next - 1;
    expect(&s, q->facts.first <= t->settled + 1);
    expect(&s, q->facts.messages == q->live); /* settled in order: no holes */
    r_check(&r, 0);
    r_fini(&r);
    munmap(t, sizeof *t);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("journal running");
    TCase *tc = tcase_create("all");

    tcase_set_timeout(tc, 60);
    tcase_add_test(tc, put_and_fetched);
    tcase_add_test(tc, a_stop_and_a_start);
    tcase_add_test(tc, settled_at_once);
    tcase_add_test(tc, a_fetch_in_between);
    tcase_add_test(tc, purged);
    tcase_add_loop_test(tc, had_again, 0, 2);
    tcase_add_test(tc, a_purge_forgets_the_past);
    tcase_add_test(tc, retained_for_a_while);
    tcase_add_test(tc, cleared_and_kept);
    tcase_add_test(tc, facts_after_a_purge);
    tcase_add_test(tc, removed);
    tcase_add_test(tc, defined_as_it_was);
    tcase_add_test(tc, more_returns_than_a_segment_takes);
    tcase_add_test(tc, larger_than_a_segment);
    tcase_add_test(tc, too_much_on_its_way);
    tcase_add_loop_test(tc, disk_use_follows, 0, 3);
    tcase_add_test(tc, a_limit_is_hard);
    tcase_add_test(tc, damaged_when_fetched);
    tcase_add_test(tc, damaged_when_cleared);
    tcase_add_test(tc, at_random);
    tcase_add_loop_test(tc, killed, 0, 3);
    suite_add_tcase(suite, tc);
    return run_suite(suite);
}
