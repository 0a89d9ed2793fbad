/* The opening, and what keeps a connection alive. */
#include "brokerd/doors/stomp/peer.h"

#include "brokerd/doors/stomp/subscribe.h"
#include "libbroker/base/utf8.h"

#include <inttypes.h>
#include <stdio.h>

enum {
    CLIENT_NAME_MAX = 64, /* bytes of the name a client gives itself */
    BEAT_GRACE_MS = 2000  /* beyond a period, at least, before a peer is called dead */
};

/* ------------------------------------------------------------------------------- heart-beats */

/* "<period>,<period>", ms. */
static bool read_beats(struct slice text, uint64_t *ret_can, uint64_t *ret_wants)
{
    const uint8_t *comma = text.n ? memchr(text.p, ',', text.n) : NULL;
    size_t n;

    if (!comma)
        return false;
    n = (size_t)(comma - text.p);
    return stomp_number(slice_of(text.p, n), ret_can) &&
           stomp_number(slice_from(text, n + 1), ret_wants) && *ret_can <= INT32_MAX &&
           *ret_wants <= INT32_MAX;
}

/* What we say for the peer's word: the same, but no tiny one. */
static uint32_t clamped(const struct stomp_peer *c, uint64_t ms)
{
    uint64_t min = (uint64_t)c->link->host->limits.keepalive_min_ms;

    return (uint32_t)(ms && ms < min ? min : ms);
}

static bool agree_on_beats(struct stomp_peer *c, const struct stomp_frame *f)
{
    uint64_t can = 0, wants = 0;
    struct slice text;

    if (!stomp_find(f, SLICE("heart-beat"), &text))
        return true;
    if (c->reader.version == STOMP_1_0) /* knows none */
        return true;
    if (!read_beats(text, &can, &wants)) {
        stomp_fail(c, NULL, "Bad heart-beat",
                   "heart-beat must be two numbers of milliseconds with a comma between them\n");
        return false;
    }
    c->beat_in = clamped(c, can);
    c->beat_out = clamped(c, wants);
    return true;
}

/* How long a silent peer is borne. */
static int64_t patience(const struct stomp_peer *c)
{
    return c->beat_in < BEAT_GRACE_MS ? (int64_t)c->beat_in + BEAT_GRACE_MS
                                      : 2 * (int64_t)c->beat_in;
}

/* Looked at somewhat more often than every half period: what was written just after a look is at
 * most two of them old when the next heart-beat is sent, and the clock is coarse. */
static void beat_out(struct stomp_peer *c, int64_t now_ms)
{
    struct out *o = &c->link->out;

    if (now_ms < c->beat_ms)
        return;
    c->beat_ms = now_ms + c->beat_out * 2 / 5;
    if (o->end == c->beat_end && o->pending == 0) {
        (void)out_copy(o, "\n", 1);
        out_end(o);
    }
    c->beat_end = o->end;
}

static void silent(struct stomp_peer *c, int64_t ms)
{
    char text[64];

    (void)snprintf(text, sizeof text, "nothing was heard of you for %" PRId64 " ms\n", ms);
    stomp_end(c, LINK_SILENT, slice_of(NULL, 0), "Heart-beat timeout", slice_str(text));
}

int64_t stomp_beat(struct stomp_peer *c, int64_t now_ms)
{
    int64_t due = INT64_MAX;

    if (c->waiting || c->window.paused) /* it may speak, we do not listen */
        c->heard_ms = now_ms;
    if (c->beat_in) {
        due = c->heard_ms + patience(c);
        if (now_ms >= due) {
            silent(c, now_ms - c->heard_ms);
            return INT64_MAX;
        }
    }
    if (c->beat_out) {
        beat_out(c, now_ms);
        due = c->beat_ms < due ? c->beat_ms : due;
    }
    return due;
}

/* ------------------------------------------------------------------------------- CONNECT */

static const char *const versions[] = {"1.0", "1.1", "1.2"};

/* The highest that both know. */
static bool choose_version(const struct stomp_frame *f, enum stomp_version *ret)
{
    struct slice text;
    bool any = false;

    *ret = STOMP_1_0;
    if (!stomp_find(f, SLICE("accept-version"), &text))
        return true;
    while (text.n) {
        const uint8_t *comma = memchr(text.p, ',', text.n);
        size_t n = comma ? (size_t)(comma - text.p) : text.n;

        for (unsigned i = 0; i < 3; i++) {
            if (!slice_eq(slice_of(text.p, n), slice_str(versions[i])))
                continue;
            *ret = any && *ret > i ? *ret : (enum stomp_version)i;
            any = true;
        }
        text = slice_from(text, comma ? n + 1 : n);
    }
    return any;
}

/* What people see of the client: the name it gives itself, else its address. */
static const char *client_name(const struct stomp_peer *c, const struct stomp_frame *f, char *buf)
{
    struct slice name = stomp_get(f, SLICE("client-id"));

    if (!name.n || name.n > CLIENT_NAME_MAX || !utf8_printable(name))
        return link_peer(c->link);
    memcpy(buf, name.p, name.n);
    buf[name.n] = '\0';
    return buf;
}

static void on_pause(void *ctx, bool paused)
{
    (void)paused; /* the window knows */
    stomp_wait(ctx, ((struct stomp_peer *)ctx)->waiting);
}

static void on_barrier(void *ctx, uint64_t token)
{
    (void)ctx, (void)token; /* none is asked for */
}

static const struct window_ops window_ops = {stomp_answer_settled, on_pause, true};

static const struct endpoint_ops endpoint_ops = {
    .door = "stomp",
    .deliver = stomp_deliver,
    .ready = stomp_sub_ready,
    .closed = stomp_sub_closed,
    .settled = window_settled,
    .granted = window_granted,
    .barrier = on_barrier,
};

static bool open_endpoint(struct stomp_peer *c, const struct stomp_frame *f)
{
    char name[CLIENT_NAME_MAX + 1];
    struct endpoint_desc desc = link_desc(c->link, client_name(c, f, name));
    struct refusal why = {REASON_MEMORY, ""};
    int r = core_endpoint_open(c->link->host->core, &desc, &endpoint_ops, c, &c->link->endpoint);

    if (r == 0)
        r = window_init(&c->window, c->link->endpoint, &window_ops, c);
    if (r < 0) {
        stomp_explain(r, &why);
        stomp_refuse(c, NULL, &why);
    }
    return r == 0;
}

static void write_connected(struct stomp_peer *c, bool with_beats)
{
    char text[256];
    int n = snprintf(text, sizeof text,
                     "CONNECTED\nversion:%s\nserver:brokerd/" BROKER_BUILD_VERSION
                     "\nsession:session-%s\n",
                     versions[c->reader.version], c->session);

    if (with_beats)
        n += snprintf(text + n, sizeof text - (size_t)n, "heart-beat:%u,%u\n", c->beat_out,
                      c->beat_in);
    text[n++] = '\n';
    text[n++] = '\0';
    (void)out_copy(&c->link->out, text, (size_t)n);
    out_end(&c->link->out);
}

void stomp_connect(struct stomp_peer *c, const struct stomp_frame *f)
{
    const struct door_limits *l = &c->link->host->limits;
    enum stomp_version version;

    if (!choose_version(f, &version)) {
        stomp_fail(c, NULL, "Version mismatch", "Supported versions are 1.0,1.1,1.2\n");
        return;
    }
    if (f->body.n) {
        stomp_fail(c, NULL, "Malformed frame", "CONNECT may not have a body\n");
        return;
    }
    c->reader.version = version;
    if (!agree_on_beats(c, f) || !open_endpoint(c, f))
        return;
    c->reader.body_max = l->message_max < UINT32_MAX / 2 ? l->message_max : UINT32_MAX / 2;
    c->established = true;
    write_connected(c, stomp_find(f, SLICE("heart-beat"), &(struct slice){NULL, 0}));
    c->beat_end = c->link->out.end;
    c->beat_ms = core_now(c->link->host->core) + c->beat_out * 2 / 5;
}
