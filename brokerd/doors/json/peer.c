#include "brokerd/doors/json/peer.h"

#include "brokerd/doors/json/calls.h"
#include "brokerd/doors/json/consume.h"
#include "brokerd/doors/json/control.h"
#include "brokerd/doors/json/json.h"
#include "brokerd/doors/json/publish.h"
#include "libbroker/base/log.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

static struct jpeer *peer_of(struct door_conn *d)
{
    return (struct jpeer *)(void *)d;
}

static int64_t now_of(const struct jpeer *c)
{
    return core_now(c->link->host->core);
}

/* ---------------------------------------------------------------------------------- the end */

static void close_as(struct jpeer *c, const char *why, enum link_end end)
{
    if (c->over)
        return;
    c->over = true;
    link_close(c->link, why, end);
}

static void fail_as(struct jpeer *c, const struct refusal *why, enum link_end end)
{
    struct jabout about = {.line = c->framer.line_n};

    if (c->over)
        return;
    jsay_error(c, why, &about);
    close_as(c, why->text, end);
}

void jpeer_fail(struct jpeer *c, const struct refusal *why)
{
    fail_as(c, why, refusal_end(why));
}

void jpeer_sweep(struct jpeer *c)
{
    struct jsub *s;

    while ((s = c->ended) != NULL) { /* the core may end others meanwhile */
        c->ended = s->next;
        jsub_free(s);
    }
    jcall_sweep(c);
    if (c->consumes && map_len(&c->subs) == 0 && !c->over)
        c->consumes = window_consumes(&c->window, false) < 0; /* then it goes on as it was */
}

/* Give up all: the core knows nothing of the connection any more. */
static void release(struct jpeer *c)
{
    struct map_entry *e = NULL;

    while ((e = map_next(&c->subs, e)) != NULL) {
        struct jsub *s = e->value;

        s->gone = true;
        s->next = c->ended;
        c->ended = s;
    }
    map_fini(&c->subs);
    c->consumes = false;
    jcall_fini(c);
    jpeer_sweep(c);
    if (c->has_window)
        window_fini(&c->window);
    c->has_window = false;
    jpublish_fini(c);
    core_endpoint_close(c->link->endpoint);
    c->link->endpoint = NULL;
}

/* Has it nothing to hear of any more? */
static bool nothing_open(const struct jpeer *c)
{
    return map_len(&c->subs) == 0 && map_len(&c->requests) == 0 && map_len(&c->calls) == 0 &&
           (!c->has_window || window_idle(&c->window));
}

/* Leave for net: what has ended is released, and so is a connection that is over. */
static void leave(struct jpeer *c)
{
    jpeer_sweep(c);
    if (c->draining && nothing_open(c))
        close_as(c, "nothing is open any more", LINK_DRAINED);
    /* Who consumes or serves has perhaps gone, and would lose what it is given. */
    if (c->eof && ((nothing_open(c) && !c->stuck) || map_len(&c->subs) || map_len(&c->services)))
        close_as(c, "its client has ended", c->framer.looked ? LINK_CUT : LINK_ENDED);
    if (c->over)
        release(c);
}

/* -------------------------------------------------------------------------------- the beginning */

static const char *peer_text(const void *ctx)
{
    return link_peer(((const struct jpeer *)ctx)->link);
}

static const struct endpoint_ops endpoint_ops = {
    .door = "json",
    .deliver = jsub_deliver,
    .ready = jsub_ready,
    .closed = jsub_closed,
    .settled = window_settled,
    .granted = window_granted,
    .peer = peer_text,
};

/* With the first line: whoever sends none costs the core nothing. */
static bool open_endpoint(struct jpeer *c)
{
    const struct endpoint_desc desc = link_desc(c->link, NULL);
    struct refusal why;
    int r = core_endpoint_open(c->link->host->core, &desc, &endpoint_ops, c, &c->link->endpoint);

    c->opened = true;
    c->said_ms = now_of(c);
    if (r == 0)
        r = window_init(&c->window, c->link->endpoint, &jpublish_window, c);
    if (r == 0) {
        c->has_window = true;
        return true;
    }
    if (r == -EPIPE)
        refuse(&why, REASON_DRAINING, "the broker is about to stop");
    else
        refuse_memory(&why);
    jpeer_fail(c, &why);
    return false;
}

static struct door_conn *peer_open(struct link *l)
{
    struct jpeer *c = calloc(1, sizeof *c);

    if (!c)
        return NULL;
    c->link = l;
    c->heard_ms = core_now(l->host->core);
    map_init(&c->subs, 0); /* the numbers are ours */
    map_init(&c->calls, 0);
    map_init(&c->requests, (uint64_t)(uintptr_t)c);
    map_init(&c->services, (uint64_t)(uintptr_t)c);
    jpublish_init(c);
    return (struct door_conn *)(void *)c;
}

/* An object, perhaps after blanks and empty lines. */
static enum door_match recognise(struct slice first)
{
    for (size_t i = 0; i < first.n; i++) {
        if (first.p[i] == '{')
            return DOOR_YES;
        if (!memchr(" \t\r\n", first.p[i], 4))
            return DOOR_NO;
    }
    return DOOR_MORE;
}

/* ---------------------------------------------------------------------------------- one line */

/* Tell people now and then: who is answered so may be a program that goes on so. */
static void tell_wrong(struct jpeer *c, const struct refusal *why)
{
    struct door_scratch *s = c->link->host->scratch;
    uint64_t more;

    if (log_limit_pass(&s->wrong, now_of(c), &more))
        log_event(LEVEL_NOTICE, "refused_line",
                  LOG_FACTS({"reason", reason_name(why->reason), 0},
                            {"peer", link_peer(c->link), 0}, {"door", "json", 0},
                            {"line", NULL, c->framer.line_n}, {"left_out", NULL, more}),
                  "line refused: %s", why->text);
}

void jpeer_wrong(struct jpeer *c, const struct refusal *why, struct jabout *about)
{
    struct refusal enough;

    if (c->over)
        return;
    about->line = c->framer.line_n;
    tell_wrong(c, why);
    jsay_error(c, why, about);
    if (why->reason != REASON_INVALID || ++c->errors < JPEER_ERRORS_MAX)
        return;
    refuse(&enough, REASON_LIMIT, "%d wrong lines in a row", JPEER_ERRORS_MAX);
    jpeer_fail(c, &enough);
}

/* The id without its escapes, in `buf`. False: it is longer than any. */
static bool read_id(struct slice inner, uint8_t *buf, size_t size, struct slice *ret)
{
    if (!inner.n || !memchr(inner.p, '\\', inner.n)) {
        *ret = inner;
        return true;
    }
    if (inner.n > size)
        return false;
    *ret = slice_of(buf, jtext_unescape(inner, buf));
    return true;
}

static bool is_control(struct slice id)
{
    return id.n > 0 && id.p[0] == '$' && !slice_starts(id, SLICE("$SYS."));
}

static bool on_event(struct jpeer *c, struct slice id, const struct json_message *m,
                     struct block *block)
{
    struct jabout about = {.topic = id};
    struct refusal why;
    int r = -EPIPE;

    if (c->draining)
        refuse(&why, REASON_DRAINING, "the broker is about to stop");
    else
        r = jpublish_event(c, id, m, block, &why);
    if (r < 0)
        jpeer_wrong(c, &why, &about);
    return r == 0;
}

static bool on_message(struct jpeer *c, const struct json_message *m, struct block *block)
{
    struct jabout about = {.line = 0};
    struct refusal why;
    uint8_t buf[6 * 256];
    struct slice id;

    if (!read_id(m->id, buf, sizeof buf, &id)) {
        refuse(&why, REASON_INVALID, "a topic has at most %d bytes", NAME_MAX_BYTES);
        jpeer_wrong(c, &why, &about);
        return false;
    }
    return is_control(id) ? jcontrol(c, id, m, block) : on_event(c, id, m, block);
}

static void on_line(struct jpeer *c, struct slice line, struct block *block)
{
    struct jabout about = {.line = 0};
    struct json_message m;
    struct json_fault fault;
    struct refusal why;
    unsigned row, column;

    if (!c->opened && !open_endpoint(c))
        return;
    if (jline_read(line, &m, &fault) == 0) {
        if (on_message(c, &m, block))
            c->errors = 0;
        return;
    }
    jtext_place(line, fault.where, &row, &column);
    about.column = column;
    refuse(&why, REASON_INVALID, "line %" PRIu64 ", column %u: %s", c->framer.line_n, column,
           fault.what);
    jpeer_wrong(c, &why, &about);
}

/* ----------------------------------------------------------------------------------- bytes in */

static size_t line_max(const struct jpeer *c)
{
    return c->link->host->limits.frame_max;
}

/* The line has not all come: have room made for as much again, not for less than a page each time.
 */
static void need_more(struct jpeer *c, size_t have)
{
    size_t max = line_max(c) + 2;

    c->link->need = have < OUT_BY_REFERENCE ? 0 : (uint32_t)(have < max / 2 ? 2 * have : max);
}

static bool is_blank(struct slice line)
{
    for (size_t i = 0; i < line.n; i++) {
        if (line.p[i] != ' ' && line.p[i] != '\t' && line.p[i] != '\r')
            return false;
    }
    return true;
}

/* Act on the line at the front of `in`. Returns the bytes used, 0 if it is not all there. */
static size_t take_line(struct jpeer *c, struct slice in, struct block *block)
{
    struct slice line = {NULL, 0};
    struct refusal why;
    size_t used = 0;

    switch (jline_frame(&c->framer, line_max(c), in, &line, &used)) {
    case WIRE_FRAME:
        if (!is_blank(line))
            on_line(c, line, block);
        return used;
    case WIRE_MORE:
        need_more(c, in.n);
        return 0;
    case WIRE_BAD:
        break;
    }
    c->framer.line_n++;
    refuse(&why, REASON_TOO_LARGE, "a line may have %zu bytes", line_max(c));
    jpeer_fail(c, &why);
    return in.n;
}

static size_t on_bytes(struct door_conn *d, struct slice bytes, struct block *block)
{
    struct jpeer *c = peer_of(d);
    struct slice rest = bytes;

    c->heard_ms = now_of(c);
    c->link->need = 0;
    c->stuck = false;
    while (rest.n > 0 && !c->over) {
        size_t used;

        if (c->ended || c->calls_ended) /* what it has given up must get nothing more */
            jpeer_sweep(c);
        c->stuck = c->has_window && window_room(&c->window) == 0;
        if (c->stuck)
            break; /* net does not read until there is room */
        used = take_line(c, rest, block);
        if (used == 0)
            break;
        rest = slice_from(rest, used);
    }
    leave(c);
    /* After the end nothing is looked at any more: it counts as used. */
    return c->over ? bytes.n : bytes.n - rest.n;
}

/* ----------------------------------------------------------------------------------- the time */

static int64_t interval_of(const struct jpeer *c)
{
    return c->link->host->limits.json_keepalive_ms;
}

/* How long it may be silent. Who never sent a keep-alive may be a person. */
static int64_t patience(const struct jpeer *c)
{
    int64_t idle = c->link->host->limits.idle_max_ms;
    int64_t most = JPEER_SILENT_INTERVALS * interval_of(c);

    return c->lives && most < idle ? most : idle;
}

static void look_at_silence(struct jpeer *c, int64_t now_ms)
{
    struct refusal why;

    if (c->paused || now_ms - c->heard_ms < patience(c))
        return;
    refuse(&why, REASON_LIMIT, "nothing came for %" PRId64 " ms", patience(c));
    fail_as(c, &why, LINK_SILENT);
}

static int64_t on_time(struct door_conn *d, int64_t now_ms)
{
    struct jpeer *c = peer_of(d);
    int64_t due, silent;

    if (c->over)
        return INT64_MAX; /* net waits for the end */
    look_at_silence(c, now_ms);
    if (c->opened && !c->over && now_ms - c->said_ms >= interval_of(c)) {
        if (c->link->out.pending == 0) /* else it has something to read */
            jsay_keepalive(c);
        c->said_ms = now_ms;
    }
    leave(c);
    if (c->over)
        return INT64_MAX;
    due = (c->opened ? c->said_ms : now_ms) + interval_of(c);
    silent = c->paused ? INT64_MAX : c->heard_ms + patience(c);
    return silent < due ? silent : due;
}

static void on_drain(struct door_conn *d)
{
    struct jpeer *c = peer_of(d);
    struct jabout about = {.line = 0};
    struct refusal why;

    if (c->over || c->draining)
        return;
    c->draining = true;
    refuse(&why, REASON_DRAINING, "the broker is about to stop");
    jsay_error(c, &why, &about);
    leave(c);
}

static void on_eof(struct door_conn *d)
{
    struct jpeer *c = peer_of(d);

    c->eof = true;
    leave(c);
}

/* ------------------------------------------------------------------------- the rest of a door */

/* There is no handshake: a first line may be of any length, and take its time. */
static bool is_established(const struct door_conn *d)
{
    (void)d;
    return true;
}

static void peer_free(struct door_conn *d)
{
    struct jpeer *c = peer_of(d);

    if (!c)
        return;
    release(c);
    free(c);
}

static size_t scan_unit(struct unit_scan *s, struct slice bytes, bool *ret_end)
{
    const uint8_t *lf = memchr(bytes.p, '\n', bytes.n);

    (void)s;
    *ret_end = lf != NULL;
    return lf ? (size_t)(lf - bytes.p) + 1 : bytes.n;
}

/* A message is a line; line breaks within it stand between values, or are refused as blanks too. */
static int make_unit(uint8_t *p, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (p[i] == '\n')
            p[i] = ' ';
    }
    p[n] = '\n';
    return 0;
}

static const struct door_units units = {
    .back = 1, .text = true, .scan = scan_unit, .make = make_unit};

const struct door_ops json_door = {
    .name = "json",
    .recognise = recognise,
    .open = peer_open,
    .on_bytes = on_bytes,
    .on_time = on_time,
    .on_drain = on_drain,
    .on_eof = on_eof,
    .established = is_established,
    .free = peer_free,
    .units = &units,
    .turn_away = jsay_turn_away,
};
