/* From a door's output to messages: each unit gets a frame's head, loses what only its stream has
 * (a length, the end of a line), and goes into the connection's output.
 *
 * Small units are copied, a run of them segment by segment; large ones go by reference. Frames are
 * not masked and never fragmented: a unit is whole before it goes. A frame is one append, so
 * frames of wslay's (pongs) never come between. */
#include <wslay/wslay.h>

#include "brokerd/net/websocket.h"
#include "libbroker/base/be.h"

static struct websocket *ws_of(struct out *o)
{
    return (struct websocket *)((char *)o - offsetof(struct websocket, link.out));
}

/* ---- frames */

static uint8_t *put_head(uint8_t *p, uint8_t opcode, size_t n)
{
    *p++ = (uint8_t)(0x80 | opcode);
    if (n < 126) {
        *p++ = (uint8_t)n;
        return p;
    }
    *p++ = n <= UINT16_MAX ? 126 : 127;
    return n <= UINT16_MAX ? be_put_16(p, (uint16_t)n) : be_put_64(p, n);
}

void websocket_put_head(struct websocket *ws, uint8_t opcode, size_t n)
{
    struct out *o = &ws->conn->link.out;
    uint8_t *p = out_reserve(o, WEBSOCKET_HEAD);

    if (p)
        out_commit(o, (size_t)(put_head(p, opcode, n) - p));
}

/* All of a small one. */
static void put_frame(struct websocket *ws, uint8_t opcode, struct slice payload)
{
    struct out *o = &ws->conn->link.out;
    uint8_t *start = out_reserve(o, WEBSOCKET_HEAD + payload.n), *p;

    if (!start)
        return;
    p = put_head(start, opcode, payload.n);
    if (payload.n)
        memcpy(p, payload.p, payload.n);
    out_commit(o, (size_t)(p - start) + payload.n);
}

void websocket_put_ping(struct websocket *ws)
{
    put_frame(ws, WSLAY_PING, slice_of(NULL, 0));
    out_end(&ws->conn->link.out);
}

uint16_t websocket_code(enum net_end end)
{
    switch (end) {
    case NET_END_PEER:
    case NET_END_ASKED:
        return WSLAY_CODE_NORMAL_CLOSURE;
    case NET_END_DRAINED:
        return WSLAY_CODE_GOING_AWAY;
    case NET_END_UNKNOWN:
    case NET_END_NARROWED:
        return WSLAY_CODE_UNSUPPORTED_DATA;
    case NET_END_FIRST_SIZE:
        return WSLAY_CODE_MESSAGE_TOO_BIG;
    case NET_END_MEMORY:
        return WSLAY_CODE_INTERNAL_SERVER_ERROR;
    default:
        return WSLAY_CODE_POLICY_VIOLATION;
    }
}

void websocket_put_close(struct websocket *ws, uint16_t code, const char *why)
{
    uint8_t payload[2 + WEBSOCKET_WHY_MAX];
    size_t n = strlen(why);

    if (ws->is_closed)
        return;
    ws->is_closed = true;
    n = n < WEBSOCKET_WHY_MAX ? n : WEBSOCKET_WHY_MAX;
    (void)be_put_16(payload, code);
    memcpy(payload + 2, why, n);
    put_frame(ws, WSLAY_CONNECTION_CLOSE, slice_of(payload, 2 + n));
}

/* ---- units */

/* What a unit's message is without what belongs to the stream. */
static struct slice body(const struct websocket *ws, struct slice unit)
{
    const struct door_units *u = ws->door->units;

    return slice_of(unit.p + u->front, unit.n - u->front - u->back);
}

static uint8_t opcode_of(const struct websocket *ws, bool is_utf8)
{
    return ws->is_text_out && is_utf8 ? WSLAY_TEXT_FRAME : WSLAY_BINARY_FRAME;
}

/* Copy the small units that `s` begins with. Returns their bytes; 0: the first is not whole in it,
 * or large. */
static size_t pack_run(struct websocket *ws, struct slice s)
{
    size_t done = 0;

    while (done < s.n) {
        struct slice left = slice_from(s, done), message;
        struct unit_scan scan = {0};
        bool is_end = false;
        size_t n = ws->door->units->scan(&scan, left, &is_end);

        if (!is_end || n >= OUT_BY_REFERENCE)
            break;
        message = body(ws, slice_of(left.p, n));
        put_frame(ws, opcode_of(ws, !ws->is_text_out || utf8_valid(message)), message);
        done += n;
    }
    return done;
}

/* The unit that has ws->scanned bytes. */
static void pack_one(struct websocket *ws)
{
    const struct door_units *u = ws->door->units;
    size_t n = ws->scanned - u->front - u->back;
    struct out *from = &ws->link.out;

    out_consume(from, u->front);
    websocket_put_head(ws, opcode_of(ws, utf8_whole(&ws->utf8)), n);
    (void)out_move(from, &ws->conn->link.out, n); /* what fails breaks the output, which is seen */
    if (ws->conn->link.out.broken)
        return;
    out_consume(from, u->back);
    ws->scanned = 0;
    ws->scan = (struct unit_scan){0};
    ws->utf8 = (struct utf8){0};
}

/* A unit of several pieces, or a large one. False: it is not whole yet. */
static bool pack_across(struct websocket *ws)
{
    struct out *from = &ws->link.out;

    while (ws->scanned < from->pending) {
        struct slice s = out_at(from, ws->scanned);
        size_t front = ws->door->units->front, skip;
        bool is_end = false;

        s.n = ws->door->units->scan(&ws->scan, s, &is_end);
        skip = ws->scanned < front ? front - ws->scanned : 0;
        if (ws->is_text_out && skip < s.n)
            (void)utf8_more(&ws->utf8, slice_from(s, skip));
        ws->scanned += s.n;
        if (is_end) {
            pack_one(ws);
            return true;
        }
    }
    return false;
}

/* Remember where the door's output is now that the connection's is here. Without room the last
 * mark gets it: what is written is told later, never too early. */
static void set_mark(struct websocket *ws)
{
    struct ws_mark m = {out_written(&ws->link.out), ws->conn->link.out.end};

    if (ws->marks_n < WEBSOCKET_MARKS)
        ws->marks_n++;
    ws->mark[(ws->mark_first + ws->marks_n - 1) % WEBSOCKET_MARKS] = m;
}

uint64_t websocket_written(struct websocket *ws)
{
    uint64_t written = out_written(&ws->conn->link.out);

    while (ws->marks_n && ws->mark[ws->mark_first].socket <= written) {
        ws->written = ws->mark[ws->mark_first].door;
        ws->mark_first = (ws->mark_first + 1) % WEBSOCKET_MARKS;
        ws->marks_n--;
    }
    return ws->written;
}

void websocket_pack(struct websocket *ws)
{
    struct out *from = &ws->link.out, *to = &ws->conn->link.out;
    uint64_t before = out_written(from);

    websocket_mirror(ws); /* what is written below is told to whom the door has now */
    from->is_dirty = false;
    if (from->broken)
        to->broken = true;
    if (ws->is_closed)
        out_consume(from, from->pending); /* nobody hears it any more */
    while (from->pending && !to->broken) {
        size_t n = ws->scanned ? 0 : pack_run(ws, out_at(from, 0));

        if (n)
            out_consume(from, n);
        else if (!pack_across(ws))
            break;
    }
    if (out_written(from) != before)
        set_mark(ws);
}

void websocket_flush(struct out *o)
{
    struct websocket *ws = ws_of(o);

    websocket_pack(ws);
    conn_flush(&ws->conn->link.out);
    o->blocked = ws->conn->link.out.blocked;
}

void websocket_dirty(struct out *o)
{
    conn_mark_dirty(ws_of(o)->conn);
}
