/* What is put into an output comes out of it, in order, however it was put and is taken. */
#include "libbroker/base/out.h"
#include "tests/unit/support.h"

enum { SHADOW = 4 << 20 };

static struct block_pool pool;
static uint8_t shadow[SHADOW]; /* all that was ever appended */

static unsigned flushes, dirties;

static void flush(struct out *o)
{
    flushes++;
    out_consume(o, o->pending);
}

static void dirty(struct out *o)
{
    (void)o;
    dirties++;
}

static struct out_host buffers = {.pool = &pool}, counting = {flush, dirty, .pool = &pool};

/* Append some bytes in one of three ways; returns how many. */
static size_t append(struct seeded *s, struct out *o)
{
    size_t most = seeded_below(s, 8) ? 200 : 40000, n = seeded_below(s, most);
    uint8_t *to = shadow + o->end;
    struct block *b;

    seeded_fill(s, to, n < 64 ? n : 64);
    switch (seeded_below(s, 3)) {
    case 0:
        ck_assert_int_eq(out_copy(o, to, n), 0);
        break;
    case 1:
        memcpy(out_reserve(o, n + 10), to, n);
        out_commit(o, n);
        break;
    default:
        b = block_new(n + 1);
        memcpy(b->bytes + 1, to, n);
        ck_assert_int_eq(out_block(o, b, slice_of(b->bytes + 1, n)), 0);
        block_unref(b);
    }
    return n;
}

/* Look at what waits: it must be what was appended from `from` on. */
static void compare(struct seeded *s, const struct out *o, uint64_t from)
{
    struct iovec iov[8];
    int n = out_peek(o, iov, 8);

    for (int i = 0; i < n; i++) {
        expect(s, memcmp(iov[i].iov_base, shadow + from, iov[i].iov_len) == 0);
        from += iov[i].iov_len;
    }
    expect(s, n == 8 || from == o->end);
}

START_TEST(comes_out_as_it_went_in)
{
    struct seeded s = seeded_start();
    struct out o;

    out_init(&o, &buffers);
    while (o.end < SHADOW - 50000) {
        uint64_t before = o.end;
        size_t n = append(&s, &o);

        expect(&s, o.end == before + n);
        if (seeded_below(&s, 3) == 0) {
            out_compact(&o);
            compare(&s, &o, out_written(&o));
        }
        if (seeded_below(&s, 4) == 0)
            out_consume(&o, seeded_below(&s, o.pending + 1));
        compare(&s, &o, out_written(&o));
    }
    out_fini(&o);
    block_pool_fini(&pool);
}
END_TEST

START_TEST(a_drained_output_holds_nothing)
{
    struct out o;

    out_init(&o, &buffers);
    ck_assert_int_eq(out_copy(&o, "abc", 3), 0);
    ck_assert_uint_eq(pool.small_n, 0);
    out_consume(&o, 3);
    ck_assert_uint_eq(pool.small_n, 1);
    ck_assert_ptr_null(o.line);
    ck_assert_uint_eq(out_written(&o), 3);
    out_fini(&o);
    block_pool_fini(&pool);
}
END_TEST

START_TEST(a_large_run_is_flushed_a_small_one_marked)
{
    static uint8_t much[OUT_FLUSH_NOW];
    struct out o;

    out_init(&o, &counting);
    flushes = dirties = 0;
    out_copy(&o, "abc", 3);
    out_end(&o);
    out_copy(&o, "def", 3);
    out_end(&o);
    ck_assert_uint_eq(dirties, 1);
    ck_assert_uint_eq(flushes, 0);
    out_copy(&o, much, sizeof much);
    out_end(&o);
    ck_assert_uint_eq(flushes, 1);
    ck_assert_uint_eq(o.pending, 0);
    out_fini(&o);
    block_pool_fini(&pool);
}
END_TEST

/* A socket that takes some of what waits, and then perhaps no more for a while. */
static struct seeded socket_s;

static void take_some(struct out *o)
{
    compare(&socket_s, o, out_written(o));
    out_consume(o, seeded_below(&socket_s, o->pending + 1));
    o->blocked = o->pending && seeded_below(&socket_s, 2);
}

static struct out_host sockets = {take_some, dirty, .pool = &pool};

START_TEST(what_a_write_leaves_is_kept)
{
    static uint8_t lent[400000];
    struct seeded s = seeded_start();
    struct out o;

    socket_s = s;
    out_init(&o, &sockets);
    while (o.end < SHADOW - sizeof lent) {
        size_t n = seeded_below(&s, seeded_below(&s, 2) ? sizeof lent : 10000);
        uint64_t before;

        if (seeded_below(&s, 4) == 0)
            append(&s, &o);
        before = o.end;
        seeded_fill(&s, lent, n);
        memcpy(shadow + o.end, lent, n);
        out_write(&o, slice_of(lent, n));
        memset(lent, 0, n); /* ours again */
        expect(&s, o.end == before + n && !o.broken);
        compare(&s, &o, out_written(&o));
        if (seeded_below(&s, 2)) {
            o.blocked = false;
            take_some(&o);
        }
    }
    out_fini(&o);
    block_pool_fini(&pool);
}
END_TEST

/* From one output to another, in whatever portions: the same bytes, the large ones the same memory.
 */
START_TEST(what_moves_stays_the_same)
{
    struct seeded s = seeded_start();
    struct out from, to;

    out_init(&from, &buffers);
    out_init(&to, &buffers);
    while (from.end < SHADOW - 50000) {
        size_t n, at;

        append(&s, &from);
        n = seeded_below(&s, from.pending + 1);
        if (n) {
            struct slice p;

            at = seeded_below(&s, n);
            p = out_at(&from, at);
            expect(&s, p.n > 0 && p.n <= from.pending - at);
            expect(&s, memcmp(p.p, shadow + out_written(&from) + at, p.n) == 0);
        }
        expect(&s, out_move(&from, &to, n) == 0);
        expect(&s, out_written(&from) == to.end);
        compare(&s, &to, out_written(&to));
        if (seeded_below(&s, 4) == 0)
            out_consume(&to, seeded_below(&s, to.pending + 1));
    }
    out_fini(&from);
    out_fini(&to);
    block_pool_fini(&pool);
}
END_TEST

/* A copy of what is new, from wherever: the same bytes, and they stay. */
START_TEST(what_is_new_is_appended_elsewhere_too)
{
    struct seeded s = seeded_start();
    struct out from, to;

    out_init(&from, &buffers);
    out_init(&to, &buffers);
    while (from.end < SHADOW - 200000) {
        for (int i = 0; i < 4; i++) {
            append(&s, &from);
            out_append_from(&to, &from, to.end);
            expect(&s, to.end == from.end);
            compare(&s, &to, out_written(&to));
        }
        out_consume(&from, seeded_below(&s, from.pending + 1));
        compare(&s, &from, out_written(&from));
        if (seeded_below(&s, 3) == 0) { /* all of it again, or half */
            uint64_t at = out_written(&from) + seeded_below(&s, from.pending + 1);

            out_fini(&to);
            to.end = at;
            out_append_from(&to, &from, at);
            expect(&s, to.end == from.end);
            compare(&s, &to, at);
        } else {
            out_consume(&to, seeded_below(&s, to.pending + 1));
        }
    }
    out_fini(&from);
    out_fini(&to);
    block_pool_fini(&pool);
}
END_TEST

START_TEST(what_is_large_moves_by_reference)
{
    struct block *b = block_new(OUT_BY_REFERENCE + 10);
    struct out from, to;

    memset(b->bytes, 'x', b->size);
    out_init(&from, &buffers);
    out_init(&to, &buffers);
    ck_assert_int_eq(out_block(&from, b, slice_of(b->bytes, b->size)), 0);
    ck_assert_int_eq(out_move(&from, &to, 10), 0);
    ck_assert_int_eq(out_move(&from, &to, OUT_BY_REFERENCE), 0);
    ck_assert_ptr_eq(out_at(&to, 10).p, b->bytes + 10);
    ck_assert_uint_eq(from.pending, 0);
    out_fini(&from);
    out_fini(&to);
    ck_assert(block_alone(b));
    block_unref(b);
    block_pool_fini(&pool);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("out");
    TCase *tc = tcase_create("out");

    tcase_add_test(tc, comes_out_as_it_went_in);
    tcase_add_test(tc, a_drained_output_holds_nothing);
    tcase_add_test(tc, a_large_run_is_flushed_a_small_one_marked);
    tcase_add_test(tc, what_a_write_leaves_is_kept);
    tcase_add_test(tc, what_moves_stays_the_same);
    tcase_add_test(tc, what_is_new_is_appended_elsewhere_too);
    tcase_add_test(tc, what_is_large_moves_by_reference);
    suite_add_tcase(s, tc);
    return run_suite(s);
}
