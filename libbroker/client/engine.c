/* The engine: states of the handle, timers, and one turn of work. */
#include <string.h>
#include <time.h>

#include "libbroker/client/client.h"

int64_t cl_now_ms(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

static void set_state(broker *b, enum broker_state state, int error, const char *text,
                      uint32_t delay_ms)
{
    struct broker_event ev = {state, error, text, b->opt.urls[b->url].text, delay_ms};

    b->state = state;
    if (error != BROKER_OK)
        b->last_error = error;
    if (error != BROKER_OK && text[0])
        cl_fail(b, error, "%s", text);
    if (!b->opt.o.on_state)
        return;
    cl_callback_begin(b, NULL);
    b->opt.o.on_state(b, &ev, b->opt.o.user);
    cl_callback_end(b);
}

/* ---- Ups and downs of the connection ---- */

void cl_engine_opened(broker *b)
{
    b->link.deadline = cl_now_ms() + b->opt.o.connect_ms; /* for the broker's first frame */
    cl_subscriptions_opened(b);
    cl_publishers_opened(b);
    cl_services_opened(b);
    cl_requests_opened(b);
    cl_calls_opened(b);
}

void cl_engine_established(broker *b)
{
    b->link.established = true;
    b->link.deadline = CL_NEVER;
    b->attempts = b->tried = 0;
    b->backoff_ms = b->opt.o.reconnect_min_ms;
    b->last_error = BROKER_OK;
    set_state(b, BROKER_STATE_CONNECTED, BROKER_OK, "", 0);
}

static void start(broker *b)
{
    b->reconnect_at = CL_NEVER;
    b->attempts++;
    set_state(b, BROKER_STATE_CONNECTING, BROKER_OK, "", 0);
    if (!b->ended)
        cl_link_start(b);
}

/* xorshift64*: jitter needs no better one. */
static uint32_t next_random(broker *b)
{
    b->random ^= b->random >> 12;
    b->random ^= b->random << 25;
    b->random ^= b->random >> 27;
    return (uint32_t)((b->random * 2685821657736338717u) >> 32);
}

/* At once to the next address of this round; after the round a delay, drawn from the upper half of
 * what has doubled each time, so that a thousand clients do not come back in the same moment. */
static uint32_t next_delay(broker *b)
{
    uint32_t delay, half;

    b->url = (b->url + 1) % b->opt.n_urls;
    if (++b->tried < b->opt.n_urls)
        return 0;
    b->tried = 0;
    half = b->backoff_ms / 2;
    delay = b->backoff_ms - half + next_random(b) % (half + 1);
    b->backoff_ms = b->backoff_ms > b->opt.o.reconnect_max_ms / 2 ? b->opt.o.reconnect_max_ms
                                                                  : b->backoff_ms * 2;
    return delay;
}

static bool may_retry(const broker *b, bool was_established, bool for_good)
{
    uint32_t max = b->opt.o.max_attempts;

    if (b->ended || for_good)
        return false;
    if (b->opt.o.no_reconnect)
        return !was_established && b->attempts < b->opt.n_urls;
    return max == 0 || b->attempts < max;
}

/* Nothing will ever happen again. */
static void finish(broker *b, int error, const char *text)
{
    char copy[CL_TEXT_MAX];
    int told = error == BROKER_OK || error == BROKER_TIMED_OUT ? BROKER_CLOSED : error;

    memcpy(copy, text, strlen(text) + 1);
    b->closing = b->closed = true; /* refuse new work before the callbacks can ask for any */
    cl_requests_end(b, told);
    cl_calls_end(b, told);
    cl_subscriptions_end(b, told);
    cl_publishers_end(b, told);
    cl_link_close(b);
    b->reconnect_at = CL_NEVER;
    b->state = BROKER_STATE_CLOSED;
    b->last_error = error;
    set_state(b, BROKER_STATE_CLOSED, error, copy, 0);
}

static bool nothing_left(const broker *b)
{
    return b->n_requests == 0 && !cl_calls_sent(b, true) && cl_publishers_settled(b, false) &&
           TAILQ_EMPTY(&b->dirty_subscriptions) && !cl_link_pending(b);
}

/* The link has failed: tell everybody whose stream is gone, then decide how to go on. */
static void lost(broker *b)
{
    bool was_established = b->link.established, for_good = b->link.lost_for_good;
    bool ending = b->link.state == CL_LINK_ENDING;
    int error = b->link.lost;
    char text[CL_TEXT_MAX];
    uint32_t delay;

    memcpy(text, b->link.lost_text, sizeof text);
    cl_link_close(b);
    if (ending) { /* our own end, answered by the broker's */
        finish(b, BROKER_OK, "");
        return;
    }
    if (b->leaving) { /* which the broker ends when nothing is left */
        finish(b, nothing_left(b) && !cl_calls_sent(b, false) ? BROKER_OK : error, text);
        return;
    }
    cl_calls_lost(b);
    cl_services_lost(b);
    cl_requests_lost(b);
    cl_subscriptions_lost(b);
    cl_publishers_lost(b);
    cl_streams_reset(b);
    set_state(b, BROKER_STATE_DISCONNECTED, error, text, 0);
    if (!may_retry(b, was_established, for_good)) {
        finish(b, error, text);
        return;
    }
    delay = next_delay(b);
    b->reconnect_at = cl_now_ms() + delay;
    set_state(b, BROKER_STATE_RECONNECTING, BROKER_OK, "", delay);
}

/* ---- The orderly end ---- */

static void closing_step(broker *b, int64_t now)
{
    if (now >= b->close_at || b->state == BROKER_STATE_IDLE)
        b->ended = true;
    if (b->ended) {
        finish(b, nothing_left(b) ? BROKER_OK : BROKER_TIMED_OUT, "");
        return;
    }
    if (b->link.state == CL_LINK_ENDING || !nothing_left(b))
        return;
    if (b->link.state == CL_LINK_OPEN && b->link.established)
        cl_link_end(b);
    else if (b->link.state != CL_LINK_OPEN)
        finish(b, BROKER_OK, "");
}

/* ---- Timers ---- */

static void send_keepalive(broker *b, int64_t now)
{
    size_t n = rs_keepalive_size(0);
    uint8_t *p = cl_ctl_reserve(b, n);

    if (!p)
        return;
    rs_put_keepalive(p, RS_RESPOND, 0, (struct slice){NULL, 0});
    cl_ctl_commit(b, n);
    b->link.keepalive_at = now + b->opt.o.keepalive_ms;
}

/* The broker said CONNECTION_CLOSE: go when nothing of ours is under way, or when it is time. */
static bool drained(const broker *b)
{
    return !cl_requests_sent(b) && !cl_calls_sent(b, false) && b->link.ctl.pending == 0 &&
           cl_publishers_settled(b, true);
}

static void link_deadline(broker *b)
{
    const char *url = b->opt.urls[b->url].text;

    switch (b->link.state) {
    case CL_LINK_NONE:
        break;
    case CL_LINK_RESOLVING:
    case CL_LINK_CONNECTING:
        cl_link_fail(b, BROKER_UNREACHABLE, "%s: no connection within %u ms", url,
                     b->opt.o.connect_ms);
        break;
    case CL_LINK_OPEN:
        if (b->link.leaving)
            cl_link_fail(b, b->link.left_for, "%s", b->link.left_text);
        else if (b->link.draining)
            cl_link_fail(b, BROKER_DRAINING, "%s: the broker is about to stop", url);
        else
            cl_link_fail(b, BROKER_UNREACHABLE, "%s: no answer from a broker within %u ms", url,
                         b->opt.o.connect_ms);
        break;
    case CL_LINK_ENDING:
        cl_link_fail(b, BROKER_CLOSED, "closed");
        break;
    }
}

static void timers(broker *b, int64_t now)
{
    struct cl_link *l = &b->link;

    if (now >= l->deadline)
        link_deadline(b);
    if (l->state == CL_LINK_OPEN && !l->lost) {
        if (now >= l->keepalive_at)
            send_keepalive(b, now);
        if (now - l->last_rx >= (int64_t)b->opt.o.lifetime_ms) {
            cl_link_goodbye(b, "no keep-alive");
            cl_link_fail(b, BROKER_KEEPALIVE, "nothing heard for %u ms", b->opt.o.lifetime_ms);
        }
    }
    if (now >= b->requests_due)
        cl_requests_tick(b, now);
    if (now >= b->calls_due)
        cl_calls_tick(b, now);
    if (now >= b->publishers_due)
        cl_publishers_tick(b, now);
    if (now >= b->reconnect_at && !b->ended)
        start(b);
}

void cl_turn(broker *b, unsigned ready)
{
    int64_t now = cl_now_ms();

    if (b->closed)
        return;
    b->in_turn = true;
    b->needs_wake = false;
    timers(b, now);
    cl_link_step(b, ready);
    if (ready & CL_READABLE)
        cl_link_read(b);
    cl_subscriptions_flush(b);
    cl_link_flush(b);
    if (b->link.draining && drained(b))
        cl_link_leave(b, BROKER_DRAINING, "the broker is about to stop");
    while (b->link.lost && !b->closed)
        lost(b);
    if (b->closing && !b->closed)
        closing_step(b, now);
    cl_calls_tell(b);
    cl_calls_reap(b);
    cl_subscriptions_reap(b);
    cl_publishers_reap(b);
    b->in_turn = false;
    b->needs_wake = b->wake_fn != NULL;
}

static int64_t sooner(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

int cl_timeout(const broker *b)
{
    const struct cl_link *l = &b->link;
    int64_t due = CL_NEVER, now;

    if (b->closed)
        return -1;
    if (l->lost || b->ended || !TAILQ_EMPTY(&b->over_calls) ||
        (cl_link_pending(b) && !l->want_write) ||
        (l->state == CL_LINK_OPEN && !TAILQ_EMPTY(&b->dirty_subscriptions)))
        return 0;
    if (b->closing && l->state != CL_LINK_ENDING && nothing_left(b) &&
        (l->state != CL_LINK_OPEN || l->established))
        return 0;
    due = sooner(due, l->deadline);
    due = sooner(due, b->requests_due);
    due = sooner(due, b->calls_due);
    due = sooner(due, b->publishers_due);
    due = sooner(due, b->reconnect_at);
    due = sooner(due, b->close_at);
    if (l->state == CL_LINK_OPEN) {
        due = sooner(due, l->keepalive_at);
        due = sooner(due, l->last_rx + b->opt.o.lifetime_ms);
    }
    if (due == CL_NEVER)
        return -1;
    now = cl_now_ms();
    if (due <= now)
        return 0;
    return due - now > INT32_MAX ? INT32_MAX : (int)(due - now);
}
