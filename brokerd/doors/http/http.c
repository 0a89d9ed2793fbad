/* The door's table, and a connection's life. */
#include "brokerd/doors/http/http.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "brokerd/doors/http/peer.h"
#include "brokerd/doors/http/status.h"
#include "brokerd/doors/refuse.h"
#include "libbroker/base/log.h"

static struct hpeer *peer_of(struct door_conn *d)
{
    return (struct hpeer *)(void *)d;
}

/* ---- the beginning */

/* A method and the blank behind it. */
static enum door_match recognise(struct slice first)
{
    static const char *const methods[] = {"GET ",     "HEAD ",  "POST ",  "PUT ",    "DELETE ",
                                          "OPTIONS ", "PATCH ", "TRACE ", "CONNECT "};
    enum door_match found = DOOR_NO;

    for (size_t i = 0; i < sizeof methods / sizeof *methods; i++) {
        struct slice method = slice_str(methods[i]);

        if (slice_starts(first, method))
            return DOOR_YES;
        if (slice_starts(method, first))
            found = DOOR_MORE;
    }
    return found;
}

static struct door_conn *peer_open(struct link *l)
{
    struct hpeer *c = calloc(1, sizeof *c);

    if (!c)
        return NULL;
    c->link = l;
    c->since_ms = core_now(l->host->core);
    list_init(&c->queue);
    list_init(&c->ended);
    list_init(&c->spare);
    return (struct door_conn *)(void *)c;
}

int hpeer_open(struct hpeer *c, struct refusal *ret_why)
{
    const struct endpoint_desc desc = link_desc(c->link, NULL);
    int r = 0;

    if (c->opened)
        return 0;
    if (!c->link->endpoint)
        r = core_endpoint_open(c->link->host->core, &desc, &hendpoint, c, &c->link->endpoint);
    if (r == 0)
        r = window_init(&c->window, c->link->endpoint, &hwindow, c);
    c->opened = r == 0;
    if (r == -EPIPE)
        refuse(ret_why, REASON_DRAINING, "the broker is about to stop");
    else if (r < 0)
        refuse_memory(ret_why);
    return r;
}

/* ---- what net is told */

void hpeer_close(struct hpeer *c, const char *why, enum link_end end)
{
    c->closing = true;
    if (c->over)
        return;
    c->over = true;
    link_close(c->link, why, end);
}

void hpeer_refuse(struct hpeer *c, enum door_refusal what, const char *why)
{
    c->closing = true;
    if (c->over)
        return;
    c->over = true;
    link_refuse(c->link, what, why);
}

void hpeer_pause(struct hpeer *c, unsigned why, bool on)
{
    c->pauses = (uint8_t)(on ? c->pauses | why : c->pauses & ~why);
    if (!c->pauses) /* it could not be heard: that was no silence */
        c->since_ms = core_now(c->link->host->core);
    link_pause(c->link, c->pauses != 0);
}

void hpeer_go_on(struct hpeer *c)
{
    if (!c->stuck || c->over)
        return;
    c->stuck = false;
    hpeer_pause(c, PAUSE_BEHIND, false);
    link_wake(c->link);
}

void hpeer_charge(struct hpeer *c)
{
    size_t n = c->held + (c->gathered ? c->gathered->size : 0);

    if (n == c->charged)
        return;
    core_charge(c->link->host->core, (int64_t)n - (int64_t)c->charged);
    c->charged = n;
}

void hpeer_note(struct hpeer *c, int status, const char *text)
{
    struct door_scratch *s = c->link->host->scratch;
    uint64_t more;

    if (log_limit_pass(&s->wrong, core_now(c->link->host->core), &more))
        log_event(LEVEL_NOTICE, "refused_request",
                  LOG_FACTS({"status", NULL, (uint64_t)status}, {"peer", link_peer(c->link), 0},
                            {"door", "http", 0}, {"left_out", NULL, more}),
                  "request refused: %s", text);
}

void hpeer_upgrade(struct hpeer *c, struct exchange *x, const struct answer *a)
{
    struct out *o = &c->link->out;
    char text[512];
    int n;

    x->answered = x->body_done = true;
    c->is_websocket = c->over = true;
    n = snprintf(text, sizeof text,
                 "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                 "Sec-WebSocket-Accept: %s\r\n%s%.*s%s\r\n",
                 a->accept, a->subprotocol.n ? "Sec-WebSocket-Protocol: " : "",
                 (int)a->subprotocol.n, (const char *)a->subprotocol.p,
                 a->subprotocol.n ? "\r\n" : "");
    (void)out_copy(o, text, (size_t)n);
    out_end(o);
    link_upgrade(c->link, &a->upgrade);
}

/* ---- exchanges that have ended */

void hpeer_spare(struct hpeer *c, struct exchange *x)
{
    exchange_drop_held(x);
    if (c->spare_n == SPARE_MAX) {
        free(x);
        return;
    }
    list_push_back(&c->spare, &x->link);
    c->spare_n++;
}

static void call_over(struct exchange *x)
{
    const struct handler *handler = x->handler;

    x->handler = NULL;
    if (handler && handler->over)
        handler->over(x);
}

void hpeer_sweep(struct hpeer *c)
{
    struct list_node *l, *next;

    for (l = list_first(&c->ended); l; l = next) {
        struct exchange *x = LIST_ITEM(l, struct exchange, link);

        next = list_next(&c->ended, l);
        call_over(x);
        if (x->unsettled)
            continue;
        list_remove(l);
        hpeer_spare(c, x);
    }
}

static void free_all(struct list *l)
{
    struct list_node *n;

    while ((n = list_pop(l)) != NULL) {
        struct exchange *x = LIST_ITEM(n, struct exchange, link);

        x->gone = x->gone || !x->answered;
        x->is_over = true;
        call_over(x);
        exchange_drop_held(x);
        free(x);
    }
}

/* Give up all: the core knows nothing of the connection any more. */
static void release(struct hpeer *c)
{
    if (c->opened)
        window_fini(&c->window);
    c->opened = false;
    free_all(&c->ended);
    free_all(&c->queue);
    free_all(&c->spare);
    c->alone = c->asking = NULL;
    core_endpoint_close(c->link->endpoint);
    c->link->endpoint = NULL;
    free(c->head);
    c->head = NULL;
    block_unref(c->gathered);
    c->gathered = NULL;
    c->held = 0;
    hpeer_charge(c);
}

/* ---- the client has ended its direction */

/* Who is alone may wait for long, for who has perhaps gone. */
static void hurry(struct hpeer *c, struct exchange *x)
{
    if (x->answered || !x->body_done)
        return;
    if (x->handler->hurry)
        x->handler->hurry(x);
    else
        hpeer_close(c, "its client has ended", LINK_ENDED);
}

void hpeer_part(struct hpeer *c)
{
    struct list_node *first;

    if (!c->eof || c->is_websocket)
        return;
    if (c->alone)
        hurry(c, c->alone);
    first = list_first(&c->queue);
    if (c->stuck || (first && LIST_ITEM(first, struct exchange, link) != c->asking))
        return;
    hpeer_close(c, "its client has ended", c->begun || c->asking ? LINK_CUT : LINK_ENDED);
}

/* ---- the door */

static size_t on_bytes(struct door_conn *d, struct slice bytes, struct block *block)
{
    struct hpeer *c = peer_of(d);

    c->link->need = 0;
    hpeer_sweep(c);
    return hread(c, bytes, block);
}

static int64_t on_time(struct door_conn *d, int64_t now_ms)
{
    struct hpeer *c = peer_of(d);

    hpeer_sweep(c);
    return hpatience(c, now_ms);
}

static void on_drain(struct door_conn *d)
{
    struct hpeer *c = peer_of(d);

    c->draining = true;
    if (list_empty(&c->queue))
        hpeer_close(c, "the broker is about to stop", LINK_DRAINED);
}

static void on_eof(struct door_conn *d)
{
    struct hpeer *c = peer_of(d);

    c->eof = true;
    hpeer_part(c);
}

/* A head has come whole: what follows has deadlines of ours. */
static bool is_established(const struct door_conn *d)
{
    return ((const struct hpeer *)(const void *)d)->spoken;
}

static void peer_free(struct door_conn *d)
{
    struct hpeer *c = peer_of(d);

    if (!c)
        return;
    release(c);
    free(c);
}

/* Between requests, nothing is open and all it holds is its own. */
static bool may_move(const struct door_conn *d)
{
    const struct hpeer *c = (const struct hpeer *)(const void *)d;

    return list_empty(&c->queue) && list_empty(&c->ended) && !c->pauses && !c->over;
}

static void turn_away(struct out *o, const char *text)
{
    char answer[1024];
    int n = snprintf(answer, sizeof answer,
                     "HTTP/1.1 404 %s\r\nContent-Type: text/plain; charset=utf-8\r\n"
                     "Content-Length: %zu\r\nConnection: close\r\n\r\n%s\n",
                     status_phrase(404), strlen(text) + 1, text);

    (void)out_copy(o, answer, (size_t)n < sizeof answer ? (size_t)n : sizeof answer - 1);
}

const struct door_ops http_door = {
    .name = "http",
    .upgrades = true,
    .recognise = recognise,
    .open = peer_open,
    .on_bytes = on_bytes,
    .on_time = on_time,
    .on_drain = on_drain,
    .on_eof = on_eof,
    .established = is_established,
    .free = peer_free,
    .may_move = may_move,
    .is_watchful = true,
    .turn_away = turn_away,
};
