/* A broker that says anything at all: the client ends a stream or the connection, comes back, and
 * keeps working. Run with sanitizers; BROKER_SEED repeats a run. */
#include "tests/unit/client/fake.h"
#include "tests/unit/support.h"

enum { FRAMES = 4000 };

static const struct broker_options quick = {
    .reconnect_min_ms = 1, .reconnect_max_ms = 2, .max_message = 5000};

static void on_message(broker_subscription *s, broker_message *m, void *user)
{
    struct broker_header h;
    size_t n;

    (void)user;
    (void)broker_message_topic(m);
    (void)broker_message_content_type(m);
    for (size_t i = 0; broker_message_header_at(m, i, &h); i++)
        ck_assert_ptr_nonnull(h.value);
    (void)broker_message_data(m, &n);
    (void)broker_ack(s, broker_message_number(m), 1);
}

static void on_confirm(broker_publisher *p, uint64_t settled, const struct broker_outcome *o,
                       size_t count, void *user)
{
    struct broker_publisher_stats st;

    (void)o;
    (void)count;
    (void)user;
    broker_publisher_stats(p, &st);
    ck_assert_uint_le(settled, st.published);
}

static void on_receipt(broker *b, const struct broker_receipt *r, void *user)
{
    (void)b;
    (void)r;
    (void)user;
}

/* A frame that is well formed as a frame, and else made up. */
static void say_anything(struct seeded *s, struct fake *k)
{
    static const uint8_t types[] = {
        RS_PAYLOAD,          RS_PAYLOAD,     RS_PAYLOAD,   RS_PAYLOAD,      RS_ERROR,
        RS_REQUEST_N,        RS_CANCEL,      RS_KEEPALIVE, RS_LEASE,        RS_SETUP,
        RS_REQUEST_RESPONSE, RS_REQUEST_FNF, RS_RESUME_OK, RS_METADATA_PUSH};
    struct rs_frame f = {.type = types[seeded_below(s, ARRAY_LEN(types))]};
    uint8_t metadata[64], data[3000], frame[4000], *end;
    size_t n = seeded_below(s, 4) ? seeded_below(s, 40) : seeded_below(s, sizeof data);

    seeded_fill(s, metadata, sizeof metadata);
    seeded_fill(s, data, n);
    if (n >= 8 && seeded_below(s, 2))
        be_put_64(data, seeded_below(s, 20)); /* a confirm that may be true */
    f.stream = (uint32_t)seeded_below(s, 12);
    f.flags = (uint16_t)(seeded_below(s, 8) << 5 | (seeded_below(s, 2) ? RS_NEXT : 0));
    f.number = (uint32_t)seeded_below(s, seeded_below(s, 2) ? 20 : 0x7fffffff);
    f.setup.keepalive_ms = f.setup.lifetime_ms = 1;
    f.has_metadata = seeded_below(s, 2) || f.type == RS_LEASE || f.type == RS_METADATA_PUSH;
    f.metadata = slice_of(metadata, f.has_metadata ? seeded_below(s, sizeof metadata) : 0);
    f.data = slice_of(data, n);
    end = rs_put(frame, &f);
    if (seeded_below(s, 200) == 0)
        frame[seeded_below(s, (uint64_t)(end - frame))] ^= (uint8_t)(1 + seeded_below(s, 255));
    /* the client may have hung up on what came before */
    (void)!send(k->fd, frame, (size_t)(end - frame), MSG_NOSIGNAL | MSG_DONTWAIT);
}

/* Something for the broker to talk about. */
static void do_anything(struct seeded *s, broker *b, broker_publisher *p)
{
    static const char *const filters[] = {"a.b", "a.*"};
    struct broker_subscribe_options o = {
        .on_message = on_message, .ack = seeded_below(s, 2) ? BROKER_ACK_MANUAL : BROKER_ACK_AUTO};
    broker_subscription *sub;

    switch (seeded_below(s, 6)) {
    case 0:
        if (broker_subscribe(b, filters, 1 + seeded_below(s, 2), &o, &sub) == BROKER_OK &&
            seeded_below(s, 2))
            broker_unsubscribe(sub);
        break;
    case 1:
        if (broker_consume(b, "q", &o, &sub) == BROKER_OK && seeded_below(s, 2))
            broker_unsubscribe(sub);
        break;
    case 2:
        (void)broker_publish_async(b, "t", "x", 1, NULL, 50, on_receipt, NULL);
        break;
    default:
        (void)broker_publisher_publish(p, seeded_below(s, 2) ? "t" : "u", "hello", 5, NULL);
        break;
    }
}

START_TEST(survives)
{
    struct seeded s = seeded_start();
    struct broker_publisher_options po = {.on_confirm = on_confirm};
    broker_publisher *p = NULL;
    struct fake k;
    broker *b;

    fake_init(&k);
    b = fake_client(&k, &quick);
    ck_assert_int_eq(broker_connect(b, 0), BROKER_OK);
    for (int i = 0; i < FRAMES; i++) {
        if (broker_state(b) == BROKER_STATE_CLOSED) { /* INVALID_SETUP is for good */
            broker_free(b);
            b = fake_client(&k, &quick);
            ck_assert_int_eq(broker_connect(b, 0), BROKER_OK);
            p = NULL;
            continue;
        }
        if (!p || seeded_below(&s, 40) == 0) { /* it may have ended */
            broker_publisher_free(p);
            expect(&s, broker_publisher_new(b, &po, &p) == BROKER_OK);
        }
        do_anything(&s, b, p);
        if (k.fd < 0)
            k.fd = accept(k.listener, NULL, NULL);
        if (k.fd >= 0) {
            uint8_t sink[65536];

            while (recv(k.fd, sink, sizeof sink, MSG_DONTWAIT) > 0)
                ;
            say_anything(&s, &k);
        }
        (void)broker_process(b);
        if (broker_state(b) != BROKER_STATE_CONNECTED && broker_state(b) != BROKER_STATE_CONNECTING)
            fake_hang_up(&k);
    }
    broker_free(b);
    fake_fini(&k);
}
END_TEST

int main(void)
{
    const TTest *tests[] = {survives, NULL};

    return run_tests("client/nonsense", tests);
}
