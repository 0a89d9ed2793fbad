/* Messages that travel between cores: what is packed comes out again, byte for byte, and blocks
 * are neither lost nor kept. */
#include "brokerd/core/mail.h"
#include "tests/unit/core/world.h"
#include "tests/unit/support.h"

enum { MESSAGES = 40, BIG = 16 * 1024 };

static struct world world;
static struct policy_set *policies;

static struct slice random_bytes(struct seeded *s, size_t n)
{
    uint8_t *p = malloc(n + 1);

    seeded_fill(s, p, n);
    return slice_of(p, n);
}

struct letters {
    struct msg_view v[MESSAGES];
    struct msg_meta meta[MESSAGES];
    struct run run;
};

static void fill_message(struct seeded *s, struct letters *b, uint32_t i, struct block *block)
{
    struct slice data = random_bytes(s, seeded_below(s, 20) ? seeded_below(s, 50) : BIG);

    b->v[i] = (struct msg_view){.data = data.p, .len = (uint32_t)data.n};
    if (seeded_below(s, 8) == 0) { /* large, in a block: goes by reference */
        b->v[i] = (struct msg_view){.data = block->bytes + seeded_below(s, 100),
                                    .len = BIG + (uint32_t)seeded_below(s, 100),
                                    .block = block};
        free((void *)(uintptr_t)data.p);
    }
    b->run.bytes += b->v[i].len;
    if (seeded_below(s, 2))
        return;
    b->meta[i] = (struct msg_meta){.headers = random_bytes(s, seeded_below(s, 30)),
                                   .type = {.id = CTYPE_NONE},
                                   .ttl_ms = (int64_t)seeded_below(s, 5)};
    if (seeded_below(s, 2))
        b->meta[i].type = (struct ctype){CTYPE_NAMED, SLICE("text/odd")};
    b->v[i].meta = &b->meta[i];
}

static void free_letters(struct letters *b)
{
    for (uint32_t i = 0; i < b->run.n; i++) {
        if (!b->v[i].block)
            free((void *)(uintptr_t)b->v[i].data);
        free((void *)(uintptr_t)b->meta[i].headers.p);
    }
}

static void check_message(struct seeded *s, const struct msg_view *got, const struct msg_view *put)
{
    expect(s, slice_eq(slice_of(got->data, got->len), slice_of(put->data, put->len)));
    expect(s, got->block == put->block);
    expect(s, !got->meta == !put->meta);
    if (!got->meta)
        return;
    expect(s, slice_eq(got->meta->headers, put->meta->headers));
    expect(s, ctype_eq(got->meta->type, put->meta->type));
    expect(s, got->meta->ttl_ms == put->meta->ttl_ms);
}

START_TEST(comes_out_as_it_went_in)
{
    struct seeded s = seeded_start();
    struct block *block = block_new(BIG * 2);

    for (int round = 0; round < 200; round++) {
        struct letters in = {.run = {.v = in.v, .type = {.id = CTYPE_NONE}}}, out;
        struct slice topic = random_bytes(&s, 1 + seeded_below(&s, 200));
        struct packed p = {.topic_n = (uint16_t)topic.n};
        uint32_t want = 1 + (uint32_t)seeded_below(&s, MESSAGES);
        struct packing k;

        for (in.run.n = 0; in.run.n < want; in.run.n++)
            fill_message(&s, &in, in.run.n, block);
        if (seeded_below(&s, 2))
            in.run.type = (struct ctype){CTYPE_NAMED, SLICE("application/strange")};
        k = mail_measure(topic, &in.run);
        p.bytes = calloc(1, k.size);
        mail_pack((uint8_t *)(uintptr_t)p.bytes, topic, &in.run, &k);
        p.type_n = (uint8_t)(in.run.type.id == CTYPE_NAMED ? in.run.type.name.n : 0);
        p.n = in.run.n;
        expect(&s, slice_eq(slice_of(p.bytes, p.topic_n), topic));
        expect(&s, mail_unpack(&p, out.v, out.meta) == 0);
        for (uint32_t i = 0; i < p.n; i++)
            check_message(&s, &out.v[i], &in.v[i]);
        mail_unref(&p);
        expect(&s, block_alone(block));
        free((void *)(uintptr_t)p.bytes);
        free((void *)(uintptr_t)topic.p);
        free_letters(&in);
    }
    block_unref(block);
}
END_TEST

enum { ROOM = 9 };

static void fill_in_one(struct seeded *s, struct letters *b, struct block *block)
{
    uint8_t *at = block->bytes;

    *b = (struct letters){.run = {.v = b->v, .type = {.id = CTYPE_NONE}, .head_room = ROOM}};
    b->run.n = 1 + (uint32_t)seeded_below(s, MESSAGES);
    seeded_fill(s, at, 2 * BIG);
    for (uint32_t i = 0; i < b->run.n; i++) {
        b->v[i] = (struct msg_view){at + ROOM, (uint32_t)seeded_below(s, 100), NULL, block};
        b->run.bytes += b->v[i].len;
        at += ROOM + b->v[i].len;
    }
}

/* One of them is not like the others any more. */
static void spoil(struct seeded *s, struct letters *b)
{
    uint32_t i = (uint32_t)seeded_below(s, b->run.n);

    if (i > 0 && seeded_below(s, 2)) {
        b->v[i].data++;
    } else if (seeded_below(s, 2)) {
        b->run.bytes += BIG - b->v[i].len;
        b->v[i].len = BIG;
    } else {
        b->meta[i] = (struct msg_meta){.type = {.id = CTYPE_NONE}, .ttl_ms = 1};
        b->v[i].meta = &b->meta[i];
    }
}

/* Messages that lay one behind the other come out so, and the room between is the taker's; those
 * that a door may not write between, without room. */
START_TEST(head_room_comes_along)
{
    struct seeded s = seeded_start();

    for (int round = 0; round < 500; round++) {
        bool in_one = seeded_below(&s, 2);
        struct block *block = block_new(2 * BIG);
        struct packed p = {.topic_n = 3};
        struct letters in, out;
        struct packing k;

        fill_in_one(&s, &in, block);
        if (!in_one)
            spoil(&s, &in);
        k = mail_measure(SLICE("a.b"), &in.run);
        p.n = in.run.n;
        p.bytes = malloc(k.size);
        mail_pack((uint8_t *)(uintptr_t)p.bytes, SLICE("a.b"), &in.run, &k);
        expect(&s, mail_unpack(&p, out.v, out.meta) == (in_one ? ROOM : 0));
        for (uint32_t i = 0; i < p.n; i++) {
            if (in_one)
                memset((uint8_t *)(uintptr_t)out.v[i].data - ROOM, 0, ROOM);
            expect(&s, !in_one || i == 0 ||
                           out.v[i].data == out.v[i - 1].data + out.v[i - 1].len + ROOM);
            if (in.v[i].len < BIG)
                in.v[i].block = NULL; /* it was copied */
            check_message(&s, &out.v[i], &in.v[i]);
        }
        mail_unref(&p);
        expect(&s, block_alone(block));
        block_unref(block);
        free((void *)(uintptr_t)p.bytes);
    }
}
END_TEST

/* Mail that nobody takes gives its blocks back; the rest of it holds nothing. */
START_TEST(released_untaken)
{
    struct world_peer pub, a;
    struct block *block = block_new(BIG);
    struct msg_view v = {.data = block->bytes, .len = BIG, .block = block};
    struct run run = {.v = &v, .n = 1, .bytes = BIG, .type = {.id = CTYPE_NONE}};
    struct target to = {false, SLICE("t")};
    struct refusal why;

    policies = world_policy(POLICY_QUEUE, "", "");
    world_start(&world, 2, policies, INT64_C(1) << 30);
    world_connect(&world, &pub, 0);
    world_connect(&world, &a, 1);
    memset(block->bytes, 'x', BIG);
    world_subscribe(&a, "t", 10);
    world_run(&world);
    ck_assert_int_eq(core_publisher_open(pub.ep, PUBLISH_FORGET, &pub, &pub.publisher), 0);
    ck_assert_int_eq(core_publish(pub.publisher, &to, &run, &why), 0);
    ck_assert(!block_alone(block));
    world_stop(&world);
    ck_assert(block_alone(block));
    block_unref(block);
    policies = policy_set_unref(policies);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("mail");
    TCase *tc = tcase_create("entries");

    tcase_add_test(tc, comes_out_as_it_went_in);
    tcase_add_test(tc, head_room_comes_along);
    tcase_add_test(tc, released_untaken);
    suite_add_tcase(suite, tc);
    return run_suite(suite);
}
