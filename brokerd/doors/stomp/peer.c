#include "brokerd/doors/stomp/peer.h"

#include "brokerd/doors/refuse.h"
#include "brokerd/doors/stomp/publish.h"
#include "brokerd/doors/stomp/reply.h"
#include "brokerd/doors/stomp/stomp.h"
#include "brokerd/doors/stomp/subscribe.h"
#include "brokerd/doors/stomp/transact.h"
#include "brokerd/doors/stomp/units.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>

enum { ERROR_TEXT = 1024 };

/* ------------------------------------------------------------------------------------ the end */

/* For the log: the short text and the first line of the body, which may begin with it. */
static void close_with(struct stomp_peer *c, enum link_end as, const char *message,
                       struct slice body)
{
    const uint8_t *end = body.n ? memchr(body.p, '\n', body.n) : NULL;
    int n = (int)(end ? (size_t)(end - body.p) : body.n);
    bool is_there = slice_starts(body, slice_str(message));
    char why[ERROR_TEXT];

    (void)snprintf(why, sizeof why, "%s%s%.*s", is_there ? "" : message, is_there ? "" : ": ", n,
                   n ? (const char *)body.p : "");
    link_close(c->link, why, as);
}

void stomp_end(struct stomp_peer *c, enum link_end as, struct slice receipt, const char *message,
               struct slice body)
{
    struct out *o = &c->link->out;
    uint8_t *to, *p;

    if (c->over)
        return;
    c->over = true;
    c->link->host->scratch->count[DOOR_COUNT_ERRORS]++;
    to = p = out_reserve(o, 160 + stomp_escaped_max(strlen(message) + receipt.n) + body.n);
    if (p) {
        p = stomp_put(p, SLICE("ERROR\n"));
        p = stomp_put_header(p, c->reader.version, SLICE("message"), slice_str(message));
        p = stomp_put(p, SLICE("content-type:text/plain\nversion:1.0,1.1,1.2\n"));
        if (receipt.n)
            p = stomp_put_header(p, c->reader.version, SLICE("receipt-id"), receipt);
        p = stomp_put(p, SLICE("content-length:"));
        p = stomp_put_number(p, body.n);
        p = stomp_put(stomp_put(p, SLICE("\n\n")), body);
        *p++ = 0;
        out_commit(o, (size_t)(p - to));
        out_end(o);
    }
    close_with(c, as, message, body);
}

void stomp_fail_answer(struct stomp_peer *c, struct slice receipt, const char *message,
                       struct slice body)
{
    stomp_end(c, LINK_WRONG, receipt, message, body);
}

void stomp_fail(struct stomp_peer *c, const struct stomp_frame *f, const char *message,
                const char *fmt, ...)
{
    struct slice receipt = f ? stomp_get(f, SLICE("receipt")) : slice_of(NULL, 0);
    char text[ERROR_TEXT];
    va_list ap;

    va_start(ap, fmt);
    (void)vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    stomp_fail_answer(c, receipt, message, slice_str(text));
}

void stomp_refuse(struct stomp_peer *c, const struct stomp_frame *f, const struct refusal *why)
{
    struct slice receipt = f ? stomp_get(f, SLICE("receipt")) : slice_of(NULL, 0);
    char text[ERROR_TEXT];

    (void)snprintf(text, sizeof text, "%s\n", why->text);
    stomp_end(c, refusal_end(why), receipt, reason_name(why->reason), slice_str(text));
}

void stomp_complain(struct stomp_peer *c, const struct stomp_frame *f,
                    const struct stomp_complaint *why)
{
    stomp_fail(c, f, why->message, "%s", why->body);
}

void stomp_fail_memory(struct stomp_peer *c)
{
    stomp_fail(c, NULL, reason_name(REASON_MEMORY), "the broker has no memory for this\n");
}

void stomp_explain(int error, struct refusal *why)
{
    if (error == -ENOMEM)
        refuse_memory(why);
    else if (error == -EPIPE)
        refuse(why, REASON_DRAINING, "the broker is about to stop");
}

/* ------------------------------------------------------------------------------------ frames */

struct slice stomp_get(const struct stomp_frame *f, struct slice name)
{
    struct slice value = {NULL, 0};

    (void)stomp_find(f, name, &value);
    return value;
}

bool stomp_destination_of(struct stomp_peer *c, const struct stomp_frame *f,
                          struct stomp_destination *ret)
{
    struct slice text = stomp_get(f, SLICE("destination"));
    struct stomp_complaint why;

    if (!text.n) {
        stomp_fail(c, f, "Missing destination", "%s must include a 'destination' header\n",
                   stomp_word(f->command));
        return false;
    }
    if (stomp_destination_read(text, ret, &why) < 0) {
        stomp_complain(c, f, &why);
        return false;
    }
    return true;
}

static bool on_disconnect(struct stomp_peer *c, const struct stomp_frame *f)
{
    stomp_answer_leave(c, f);
    return true;
}

static bool on_connect_again(struct stomp_peer *c, const struct stomp_frame *f)
{
    stomp_fail(c, f, "Illegal command", "You are connected already\n");
    return true;
}

/* What a client may send. False: not now, the frame comes again. */
static bool (*const on_command[])(struct stomp_peer *c, const struct stomp_frame *f) = {
    [STOMP_CONNECT] = on_connect_again,
    [STOMP_STOMP] = on_connect_again,
    [STOMP_SEND] = stomp_send,
    [STOMP_SUBSCRIBE] = stomp_subscribe,
    [STOMP_UNSUBSCRIBE] = stomp_unsubscribe,
    [STOMP_ACK] = stomp_ack,
    [STOMP_NACK] = stomp_ack,
    [STOMP_BEGIN] = stomp_begin,
    [STOMP_COMMIT] = stomp_commit,
    [STOMP_ABORT] = stomp_abort,
    [STOMP_DISCONNECT] = on_disconnect,
};

static void bad_command(struct stomp_peer *c, const struct stomp_frame *f)
{
    char word[STOMP_COMMAND_MAX + 1];

    stomp_fail(c, f, "Bad command", "Could not interpret command \"%s\"\n",
               shown(f->word, word, sizeof word));
}

/* False: not now. */
static bool on_frame(struct stomp_peer *c, const struct stomp_frame *f)
{
    unsigned i = f->command;

    if (!c->established && (i == STOMP_CONNECT || i == STOMP_STOMP)) {
        stomp_connect(c, f);
    } else if (i >= sizeof on_command / sizeof on_command[0] || !on_command[i]) {
        bad_command(c, f);
    } else if (!c->established) {
        stomp_fail(c, f, "Illegal command", "You must log in using CONNECT first\n");
    } else if (f->body.n && i != STOMP_SEND) {
        stomp_fail(c, f, "Malformed frame", "%s may not have a body\n", stomp_word(f->command));
    } else {
        return on_command[i](c, f);
    }
    return true;
}

/* Act on the frame at the front of `in`. Returns the bytes used, 0 if it is not all there or cannot
 * be acted on now. */
static size_t take_frame(struct stomp_peer *c, struct slice in)
{
    const char *why = "";
    struct stomp_frame f;
    size_t used = 0;

    switch (stomp_decode(&c->reader, in, &f, &used, &why)) {
    case WIRE_FRAME:
        return on_frame(c, &f) ? used : 0;
    case WIRE_BAD:
        stomp_fail(c, NULL, "Malformed frame", "%s\n", why);
        return in.n;
    case WIRE_MORE:
        break;
    }
    c->link->need = (uint32_t)(c->reader.need < UINT32_MAX ? c->reader.need : 0);
    return 0;
}

/* Its client has ended its direction: when all that came has been looked at, that is as if it had
 * said DISCONNECT. Who consumes has perhaps gone, and would lose what it is given. */
static void part(struct stomp_peer *c)
{
    const struct stomp_frame none = {.headers_n = 0};

    if (!c->eof || c->over || c->leaving)
        return;
    if (!c->established || c->consumers || !list_empty(&c->calls)) {
        c->over = true;
        link_close(c->link, "its client has ended", c->cut ? LINK_CUT : LINK_ENDED);
    } else if (!c->waiting && !c->window.paused) {
        stomp_answer_leave(c, &none);
    }
}

static size_t on_bytes(struct door_conn *d, struct slice bytes, struct block *block)
{
    struct stomp_peer *c = stomp_peer_of(d);
    struct slice rest = bytes;

    c->heard_ms = core_now(c->link->host->core);
    c->link->need = 0;
    c->block = block;
    while (!c->over && !c->leaving) {
        size_t used;

        rest = slice_from(rest, stomp_skip(rest));
        if (!rest.n)
            break;
        used = stomp_send_scan(c, rest, block);
        if (!used && !c->over && !c->waiting && !c->window.paused)
            used = take_frame(c, rest);
        if (!used)
            break;
        rest = slice_from(rest, used);
    }
    c->cut = rest.n > 0 && !c->over && !c->leaving && !c->waiting && !c->window.paused;
    part(c);
    /* After the end nothing is looked at any more: it counts as used. */
    return c->over || c->leaving ? bytes.n : bytes.n - rest.n;
}

/* ------------------------------------------------------------------------------- life */

static struct door_conn *peer_open(struct link *l)
{
    struct stomp_peer *c = calloc(1, sizeof *c);
    uint64_t chance[2] = {0};

    if (!c)
        return NULL;
    c->link = l;
    if (getrandom(chance, sizeof chance, GRND_NONBLOCK) < 0)
        chance[0] = l->id; /* unique, if not unguessable */
    (void)snprintf(c->session, sizeof c->session, "%016llx", (unsigned long long)chance[0]);
    c->reader.body_max = l->host->limits.first_frame_max;
    stomp_answers_init(c);
    map_init(&c->subscriptions, chance[1]);
    list_init(&c->transactions);
    list_init(&c->replies);
    list_init(&c->calls);
    return (struct door_conn *)(void *)c;
}

static void peer_free(struct door_conn *d)
{
    struct stomp_peer *c = stomp_peer_of(d);

    if (!c)
        return;
    c->over = true;
    stomp_calls_fini(c);
    stomp_subs_fini(c);
    stomp_transactions_fini(c);
    stomp_answers_fini(c);
    window_fini(&c->window);
    free(c->memo);
    core_endpoint_close(c->link->endpoint);
    c->link->endpoint = NULL;
    free(c);
}

static int64_t on_time(struct door_conn *d, int64_t now_ms)
{
    struct stomp_peer *c = stomp_peer_of(d);

    return c->established && !c->over ? stomp_beat(c, now_ms) : INT64_MAX;
}

static void on_eof(struct door_conn *d)
{
    struct stomp_peer *c = stomp_peer_of(d);

    c->eof = true;
    part(c);
}

static void on_drain(struct door_conn *d)
{
    struct stomp_peer *c = stomp_peer_of(d);

    c->draining = true;
    /* STOMP has no other way to say so. Who consumes, or waits for a
     * receipt or the answer to a call, goes on until it is closed. */
    if (!c->consumers && list_empty(&c->calls) && !stomp_answers_wait(c))
        stomp_end(c, LINK_DRAINED, slice_of(NULL, 0), reason_name(REASON_DRAINING),
                  SLICE("the broker is about to stop\n"));
}

static bool is_established(const struct door_conn *d)
{
    return ((const struct stomp_peer *)(const void *)d)->established;
}

static bool may_move(const struct door_conn *d)
{
    const struct stomp_peer *c = (const struct stomp_peer *)(const void *)d;

    return c->established && !c->over && !c->leaving && !c->draining && !c->waiting &&
           !c->consumers && !c->transactions_n && list_empty(&c->calls) && !stomp_answers_wait(c);
}

void stomp_wait(struct stomp_peer *c, bool waiting)
{
    c->waiting = waiting;
    if (!waiting)
        c->heard_ms = core_now(c->link->host->core);
    link_pause(c->link, c->waiting || c->window.paused);
}

/* ------------------------------------------------------------------------------- first bytes */

/* The first line is a client's command. (HTTP has a CONNECT, too, but goes on in its line.) */
static enum door_match recognise(struct slice first)
{
    enum door_match match = DOOR_NO;

    for (unsigned i = STOMP_CONNECT; i <= STOMP_DISCONNECT && match == DOOR_NO; i++) {
        const char *word = stomp_word((enum stomp_command)i);
        size_t n = strlen(word), have = first.n < n ? first.n : n;

        if (memcmp(first.p, word, have) != 0)
            continue;
        if (first.n <= n || (first.n == n + 1 && first.p[n] == '\r'))
            match = DOOR_MORE;
        else if (first.p[n] == '\n' || (first.p[n] == '\r' && first.p[n + 1] == '\n'))
            match = DOOR_YES;
    }
    return match;
}

const struct door_ops stomp_door = {
    .name = "stomp",
    .recognise = recognise,
    .open = peer_open,
    .on_bytes = on_bytes,
    .on_time = on_time,
    .on_drain = on_drain,
    .on_eof = on_eof,
    .established = is_established,
    .free = peer_free,
    .may_move = may_move,
    .units = &stomp_units,
    .turn_away = stomp_turn_away,
};
