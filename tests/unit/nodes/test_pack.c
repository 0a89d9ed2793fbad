/* Entries of inboxes: what is packed comes out again; of what is not whole, nothing does. */
#include <errno.h>

#include "brokerd/nodes/pack.h"
#include "libbroker/base/headers.h"
#include "tests/unit/support.h"

static const struct pack_head head = {7, 1000, {(const uint8_t *)"node.00000001", 13}};

static struct msg_meta metas[] = {
    {.headers = {(const uint8_t *)"\1a\0\1b", 5}, .type = {.id = CTYPE_NONE}, .ttl_ms = 5},
    {.headers = {(const uint8_t *)"\6$dedup\0\1"
                                  "7",
                 10},
     .type = {.id = CTYPE_NAMED, .name = {(const uint8_t *)"x/y", 3}}},
};
static const struct msg_view views[] = {
    {.data = (const uint8_t *)"plain", .len = 5},
    {.data = (const uint8_t *)"headers and ttl", .len = 15, .meta = &metas[0]},
    {.data = (const uint8_t *)"", .len = 0},
    {.data = (const uint8_t *)"id and type", .len = 11, .meta = &metas[1]},
};
static const struct ctype named = {.id = CTYPE_NAMED, .name = {(const uint8_t *)"text/x", 6}};

static void fill(struct pack *p)
{
    struct origin from = {500, 1234567890123};

    *p = (struct pack){0};
    ck_assert_int_eq(pack_begin(p, &head), 0);
    ck_assert_int_eq(pack_run(p, SLICE("a.b"), (struct ctype){.id = 5}, &from), 0);
    for (size_t i = 0; i < ARRAY_LEN(views); i++)
        ck_assert_int_eq(pack_message(p, &views[i], views[i].meta ? views[i].meta->ttl_ms : 0), 0);
    from.id = 900;
    ck_assert_int_eq(pack_run(p, SLICE("c"), named, &from), 0);
    ck_assert_int_eq(pack_message(p, &views[0], 77), 0);
}

START_TEST(comes_back)
{
    struct msg_view v[8];
    struct msg_meta m[8];
    struct pack_head got;
    struct unpack u;
    struct origin from;
    struct pack p;
    uint64_t n;

    fill(&p);
    ck_assert_int_eq(unpack_check(slice_of(p.bytes, p.n), &got, &n), 0);
    ck_assert(n == 5 && got.session == 7 && got.first == 1000 && slice_eq(got.from, head.from));
    unpack_begin(&u, slice_of(p.bytes, p.n));
    ck_assert_uint_eq(unpack_next(&u, v, m, 3, &from), 3);
    ck_assert(slice_eq(u.topic, SLICE("a.b")) && u.type.id == 5);
    ck_assert(from.id == 500 && from.time_ms == 1234567890123);
    ck_assert(slice_eq(slice_of(v[0].data, v[0].len), SLICE("plain")) && !v[0].meta);
    ck_assert(v[1].meta && v[1].meta->ttl_ms == 5 && !v[1].meta->dedup);
    ck_assert(slice_eq(v[1].meta->headers, metas[0].headers));
    ck_assert(v[2].len == 0 && !v[2].meta);
    ck_assert_uint_eq(unpack_next(&u, v, m, 3, &from), 1); /* the rest of the run */
    ck_assert(from.id == 503 && v[0].meta && v[0].meta->dedup);
    ck_assert(ctype_eq(v[0].meta->type, metas[1].type));
    ck_assert_uint_eq(unpack_next(&u, v, m, 8, &from), 1);
    ck_assert(from.id == 900 && slice_eq(u.topic, SLICE("c")) && ctype_eq(u.type, named));
    ck_assert_int_eq(v[0].meta->ttl_ms, 77);
    ck_assert_uint_eq(unpack_next(&u, v, m, 8, &from), 0);
    pack_fini(&p);
}
END_TEST

/* Cut anywhere but before a run it is nothing; nor with bytes behind it. */
START_TEST(must_be_whole)
{
    struct pack_head got;
    struct pack p;
    uint64_t n, whole = 0;

    fill(&p);
    for (size_t cut = 0; cut < p.n; cut++) {
        struct slice part = exact(slice_of(p.bytes, cut));

        whole += unpack_check(part, &got, &n) == 0;
        free((void *)(uintptr_t)part.p);
    }
    ck_assert_uint_eq(whole, 2); /* behind the head, and behind the first run */
    p.bytes[0]++;
    ck_assert_int_eq(unpack_check(slice_of(p.bytes, p.n), &got, &n), -EPROTO);
    pack_fini(&p);
}
END_TEST

static int checked(const char *text)
{
    struct slice bytes = hex(text); /* of their very size */
    struct pack_head got;
    uint64_t n;
    int r = unpack_check(bytes, &got, &n);

    free((void *)(uintptr_t)bytes.p);
    return r;
}

#define HEAD "01 0000000000000001 0000000000000001 01 6e "
#define RUN "01 74 80 0000000000000001 0000000000000001 "

START_TEST(malformed)
{
    static const char *const bad[] = {
        "",
        HEAD RUN "00000000",                                 /* a run of none */
        HEAD RUN "00000002 00 00000001 78",                  /* one of two is missing */
        HEAD RUN "00000001 00 ffffffff 78",                  /* longer than there is */
        HEAD RUN "00000001 08 00000001 78",                  /* has what there is not */
        HEAD RUN "00000001 01 00000001 0002 0078 78",        /* broken headers */
        HEAD RUN "00000001 02 00000001 82 78",               /* no such type */
        HEAD RUN "00000001 02 00000001 81 00 78",            /* without its name */
        HEAD RUN "00000001 04 00000001 ffffffffffffffff 78", /* a time before now */
        HEAD "01 24 80 0000000000000001 0000000000000001 00000001 00 00000000",   /* topic $ */
        HEAD "00 80 0000000000000001 0000000000000001 00000001 00 00000000",      /* no topic */
        HEAD "01 2a 80 0000000000000001 0000000000000001 00000001 00 00000000",   /* a filter */
        HEAD "01 74 80 0000000000000001 8000000000000001 00000001 00 00000000",   /* before 1970 */
        "01 0000000000000001 0000000000000000 01 6e " RUN "00000001 00 00000000", /* number 0 */
        "01 0000000000000001 ffffffffffffffff 01 6e " RUN "00000001 00 00000000", /* no next */
        "01 0000000000000001 0000000000000001 00 " RUN "00000001 00 00000000",    /* of nobody */
    };

    ck_assert_int_eq(checked(HEAD RUN "00000001 00 00000001 78"), 0);
    ck_assert_int_eq(checked(HEAD), 0); /* it says how far the numbers went */
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        ck_assert_msg(checked(bad[i]) == -EPROTO, "%s", bad[i]);
}
END_TEST

/* Bits are flipped: refused, or read without a step too far. */
START_TEST(spoilt)
{
    struct seeded s = seeded_start();
    struct msg_view v[8];
    struct msg_meta m[8];
    struct pack_head got;
    struct origin from;
    struct unpack u;
    struct pack p;
    uint64_t n, read;
    uint32_t some;

    fill(&p);
    for (int i = 0; i < 20000; i++) {
        struct slice part = exact(slice_of(p.bytes, p.n));

        for (uint64_t k = 1 + seeded_below(&s, 3); k; k--)
            ((uint8_t *)(uintptr_t)part.p)[seeded_below(&s, p.n)] ^=
                (uint8_t)(1U << seeded_below(&s, 8));
        if (unpack_check(part, &got, &n) == 0) {
            unpack_begin(&u, part);
            for (read = 0; (some = unpack_next(&u, v, m, 8, &from)) != 0;)
                for (uint32_t j = 0; j < some; j++, read++)
                    expect(&s, inside(slice_of(v[j].data, v[j].len), part));
            expect(&s, read == n);
        }
        free((void *)(uintptr_t)part.p);
    }
    pack_fini(&p);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("pack");
    TCase *tc = tcase_create("pack");

    tcase_add_test(tc, comes_back);
    tcase_add_test(tc, must_be_whole);
    tcase_add_test(tc, malformed);
    tcase_add_test(tc, spoilt);
    suite_add_tcase(suite, tc);
    return run_suite(suite);
}
