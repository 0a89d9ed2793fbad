/* The bytes shown in docs/rsocket.md are those that the codecs write. */
#include "tests/unit/support.h"

#include "libbroker/base/headers.h"
#include "libbroker/wire/broker_rs.h"
#include "libbroker/wire/composite.h"
#include "libbroker/wire/rsocket.h"

#define DOCUMENT "docs/rsocket.md"

/* What is built up for one example. */
struct bytes {
    uint8_t p[512];
    size_t n;
};

static struct bytes metadata, frame;

static uint8_t *end(struct bytes *b)
{
    return b->p + b->n;
}

static void upto(struct bytes *b, const uint8_t *p)
{
    b->n = (size_t)(p - b->p);
}

static void route(const char *tag)
{
    metadata.n = 0;
    upto(&metadata, composite_put_route(end(&metadata), slice_str(tag)));
}

static void header(const char *name, const char *value)
{
    const struct mime mime = {MIME_UNKNOWN, SLICE(HEADERS_MIME)};
    uint8_t buf[128], *p = headers_put(buf, slice_str(name), slice_str(value));

    upto(&metadata, composite_put(end(&metadata), &mime, slice_of(buf, (size_t)(p - buf))));
}

/* A request or payload with what route() and header() have gathered, if anything. */
static void put(enum rs_type type, uint32_t stream, uint16_t flags, uint32_t n, struct slice data)
{
    const struct rs_frame f = {
        .type = type,
        .stream = stream,
        .flags = flags,
        .number = n,
        .has_metadata = metadata.n > 0,
        .metadata = slice_of(metadata.p, metadata.n),
        .data = data,
    };

    ck_assert_uint_le(rs_size(&f), sizeof frame.p);
    frame.n = 0;
    upto(&frame, rs_put(end(&frame), &f));
    metadata.n = 0;
}

static void setup(void)
{
    const struct rs_frame f = {
        .type = RS_SETUP,
        .setup = {.major = 1,
                  .keepalive_ms = 20000,
                  .lifetime_ms = 90000,
                  .metadata_mime = SLICE("message/x.rsocket.composite-metadata.v0"),
                  .data_mime = SLICE("application/octet-stream")},
    };

    frame.n = 0;
    upto(&frame, rs_put(end(&frame), &f));
}

static void publish_once(void)
{
    route("publish/orders.eu");
    header("$require", "1");
    put(RS_REQUEST_RESPONSE, 1, 0, 0, SLICE("hi"));
}

static void answer(void)
{
    uint8_t buf[PUBLISH_ANSWER_SIZE];

    publish_answer_put(buf, (struct publish_answer){2, 2});
    put(RS_PAYLOAD, 1, RS_NEXT | RS_COMPLETE, 0, slice_of(buf, sizeof buf));
}

static void refusal(void)
{
    static const char text[] = "no-match: no queue matched";

    frame.n = 0;
    upto(&frame,
         rs_put_error(end(&frame), 1, reason_rs_code(REASON_NO_MATCH, false), slice_str(text)));
}

static void subscribe(void)
{
    route("subscribe/orders.#");
    put(RS_REQUEST_STREAM, 3, 0, 10, slice_of(NULL, 0));
}

static void delivery(void)
{
    route("orders.eu");
    put(RS_PAYLOAD, 3, RS_NEXT, 0, SLICE("hi"));
}

static void delivery_after_gap(void)
{
    route("orders.eu");
    header("$gap", "14 drop-oldest");
    put(RS_PAYLOAD, 3, RS_NEXT, 0, SLICE("hi"));
}

static void plain_delivery(void)
{
    put(RS_PAYLOAD, 3, RS_NEXT, 0, SLICE("hi"));
}

static void publish_channel(void)
{
    route("publish/orders.eu");
    put(RS_REQUEST_CHANNEL, 5, 0, RS_N_MAX, SLICE("one"));
}

static void channel_payload(void)
{
    put(RS_PAYLOAD, 5, RS_NEXT, 0, SLICE("two"));
}

static void confirm(void)
{
    const struct confirm_entry e = {3, 2, REASON_FULL, 2, 1};
    uint8_t buf[CONFIRM_HEAD_SIZE + CONFIRM_ENTRY_SIZE];

    confirm_put_entry(confirm_put_head(buf, 10), &e);
    put(RS_PAYLOAD, 5, RS_NEXT, 0, slice_of(buf, sizeof buf));
}

static void consume(void)
{
    route("consume/jobs");
    put(RS_REQUEST_CHANNEL, 7, 0, 100, slice_of(NULL, 0));
}

static void verbs(void)
{
    static const struct consumer_verb v[] = {
        {VERB_ACK, 1, 10, 0},
        {VERB_NACK, 11, 1, 500},
        {VERB_REJECT, 12, 1, 0},
        {VERB_EXTEND, 13, 1, 60000},
    };
    uint8_t buf[ARRAY_LEN(v) * CONSUMER_VERB_SIZE], *p = buf;

    for (size_t i = 0; i < ARRAY_LEN(v); i++)
        p = consumer_verb_put(p, &v[i]);
    put(RS_PAYLOAD, 7, RS_NEXT, 0, slice_of(buf, sizeof buf));
}

static void ping(void)
{
    route("admin/ping");
    put(RS_REQUEST_RESPONSE, 9, 0, 0, slice_of(NULL, 0));
}

static void put_whole(const struct rs_frame *f)
{
    frame.n = 0;
    upto(&frame, rs_put(end(&frame), f));
}

static void resume(void)
{
    put_whole(&(struct rs_frame){
        .type = RS_RESUME, .setup = {.major = 1, .token = SLICE("secret")}, .position = 7});
}

static void resume_ok(void)
{
    put_whole(&(struct rs_frame){.type = RS_RESUME_OK, .position = 29});
}

static void lease(void)
{
    put_whole(&(struct rs_frame){.type = RS_LEASE, .number = 10000, .count = 100000});
}

static const struct {
    const char *name;
    void (*build)(void);
} examples[] = {
    {"SETUP", setup},
    {"a publish", publish_once},
    {"its answer", answer},
    {"its refusal", refusal},
    {"a subscription", subscribe},
    {"a delivery", delivery},
    {"a delivery after a gap", delivery_after_gap},
    {"a plain delivery", plain_delivery},
    {"a publish channel", publish_channel},
    {"its second message", channel_payload},
    {"a confirm", confirm},
    {"a consumer", consume},
    {"its verbs", verbs},
    {"a ping", ping},
    {"RESUME", resume},
    {"RESUME_OK", resume_ok},
    {"LEASE", lease},
};

/* Add the hex digits of a line of code (four blanks, hex, perhaps `; text`) to `to`; a line of
 * anything else ends an example. */
static char *add_line(char *to, const char *line)
{
    size_t n = strcspn(line, ";\n");

    if (strncmp(line, "    ", 4) != 0 || strspn(line, "0123456789abcdef ") < n) {
        *to++ = '\n';
        return to;
    }
    for (size_t i = 0; i < n; i++)
        if (line[i] != ' ')
            *to++ = line[i];
    return to;
}

/* All examples of the document, a line each; the caller frees them. */
static char *read_examples(void)
{
    FILE *f = fopen(DOCUMENT, "r");
    char *all, *to, line[512];

    ck_assert_msg(f != NULL, "%s cannot be read from here", DOCUMENT);
    fseek(f, 0, SEEK_END);
    all = to = malloc((size_t)ftell(f) + 1);
    ck_assert_ptr_nonnull(all);
    rewind(f);
    while (fgets(line, sizeof line, f))
        to = add_line(to, line);
    *to = '\0';
    fclose(f);
    return all;
}

START_TEST(shown_as_written)
{
    char *all = read_examples(), want[2 * sizeof frame.p + 3] = "\n";
    size_t n = 1;

    examples[_i].build();
    for (size_t i = 0; i < frame.n; i++, n += 2)
        snprintf(want + n, sizeof want - n, "%02x", frame.p[i]);
    memcpy(want + n, "\n", 2);
    ck_assert_msg(strstr(all, want) != NULL, "%s is not in %s: %s", examples[_i].name, DOCUMENT,
                  want);
    free(all);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("rsocket.md");
    TCase *tc = tcase_create("bytes");

    tcase_add_loop_test(tc, shown_as_written, 0, ARRAY_LEN(examples));
    suite_add_tcase(s, tc);
    return run_suite(s);
}
