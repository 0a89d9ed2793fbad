/* From frames to a door's units.
 *
 * wslay takes frames apart and checks them: masks, lengths, order, UTF-8, close codes. It buffers
 * nothing but control frames: payload is gathered here, and never more memory than came, twice at
 * most. What it does not limit is limited here: a message's bytes and fragments, control frames a
 * second. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <wslay/wslay.h>

#include "brokerd/net/websocket.h"

enum {
    SHARED_SLACK = KEPT_COPIED_MAX + 64, /* what is left of the read before, and room for units */
    FRAME_HEAD = 6,                      /* of a peer's, with the mask, at least */
};

/* ---- where units are gathered */

static void drop_in(struct websocket *ws)
{
    if (!ws->in_is_shared)
        block_pool_put(worker_pool(conn_nw(ws->conn)->w), ws->in);
    ws->in = NULL;
    ws->in_is_shared = false;
    ws->in_at = ws->in_whole = ws->in_end = ws->message_at = 0;
}

/* What waits moves to the front of `b`, which is used from now on. */
static void move_in(struct websocket *ws, struct block *b, bool is_shared)
{
    size_t at = ws->in_at, n = ws->in_end - at, whole = ws->in_whole - at,
           message = ws->message_at >= at ? ws->message_at - at : 0;

    if (n)
        memcpy(b->bytes, ws->in->bytes + at, n);
    drop_in(ws);
    ws->in = b;
    ws->in_is_shared = is_shared;
    ws->in_end = n;
    ws->in_whole = whole;
    ws->message_at = message;
}

/* Room for `n` bytes more. False without memory. */
static bool make_room(struct websocket *ws, size_t n)
{
    size_t have = ws->in_end - ws->in_at, size;
    struct block *b;

    if (!ws->in || (!ws->in_is_shared && have <= KEPT_COPIED_MAX)) {
        b = net_read_block(&conn_nw(ws->conn)->unpacked, READ_BYTES + SHARED_SLACK);
        if (b)
            move_in(ws, b, true);
    }
    if (ws->in && ws->in->size - ws->in_end >= n)
        return true;
    size = have + n < 2 * have ? 2 * have : have + n;
    b = block_new(size);
    if (!b)
        return false;
    move_in(ws, b, false);
    return true;
}

/* What is left at the end of a read gets memory of its own, of its size. */
static void keep_in(struct websocket *ws)
{
    size_t left = ws->in_end - ws->in_at;
    struct block *b;

    if (left == 0) {
        drop_in(ws);
        return;
    }
    if (!ws->in_is_shared && ws->in_at == 0)
        return;
    b = left > KEPT_COPIED_MAX ? block_new(left + left / 2)
                               : block_pool_get(worker_pool(conn_nw(ws->conn)->w), left + 1);
    if (b)
        move_in(ws, b, false);
    else
        conn_kill(ws->conn, NET_END_MEMORY, NULL);
}

static void append(struct websocket *ws, struct slice s)
{
    if (ws->in->size - ws->in_end < s.n && !make_room(ws, s.n)) {
        conn_kill(ws->conn, NET_END_MEMORY, NULL);
        return;
    }
    memcpy(ws->in->bytes + ws->in_end, s.p, s.n);
    ws->in_end += s.n;
}

/* ---- what wslay tells */

static void fail(struct ws_parser *p, uint16_t code, const char *why)
{
    (void)wslay_event_queue_close(p->ctx, code, (const uint8_t *)why, strlen(why));
    wslay_event_shutdown_read(p->ctx);
}

static bool is_over(const struct ws_parser *p)
{
    return p->ws->conn->state >= CONN_CLOSING || !wslay_event_get_read_enabled(p->ctx);
}

static uint64_t message_max(const struct websocket *ws)
{
    const struct door_limits *l = &ws->conn->link.host->limits;

    return websocket_door.established(ws->conn->door_conn) ? l->frame_max : l->first_frame_max;
}

static void count_control(struct ws_parser *p)
{
    struct websocket *ws = p->ws;
    int64_t second = worker_now(conn_nw(ws->conn)->w) / 1000;

    if (ws->second != second) {
        ws->second = second;
        ws->controls = 0;
    }
    if (++ws->controls > WEBSOCKET_CONTROLS)
        fail(p, WSLAY_CODE_POLICY_VIOLATION, "too many control frames");
}

static void begin_message(struct ws_parser *p, uint8_t opcode)
{
    struct websocket *ws = p->ws;
    size_t room = ws->is_echo ? 0 : ws->door ? ws->door->units->front : WEBSOCKET_ROOM;

    p->in_message = true;
    p->is_text = opcode == WSLAY_TEXT_FRAME;
    p->fragments = 0;
    p->message_n = 0;
    if (p->is_text && ws->door && ws->door->units->binary_only) {
        fail(p, WSLAY_CODE_UNSUPPORTED_DATA, "this protocol has binary messages only");
        return;
    }
    append(ws, slice_of("\0\0\0\0", room));
    ws->message_at = ws->in_end;
}

static void on_frame(wslay_event_context_ptr ctx,
                     const struct wslay_event_on_frame_recv_start_arg *f, void *user)
{
    struct ws_parser *p = user;

    (void)ctx;
    p->told += FRAME_HEAD + f->payload_length +
               (f->payload_length < 126           ? 0
                : f->payload_length <= UINT16_MAX ? 2
                                                  : 8);
    p->is_control = wslay_is_ctrl_frame(f->opcode);
    if (p->is_control) {
        if (f->opcode != WSLAY_CONNECTION_CLOSE)
            count_control(p);
        else if (f->payload_length == 1) /* which wslay would take for none */
            fail(p, WSLAY_CODE_PROTOCOL_ERROR, "half a status");
        return;
    }
    if (f->opcode != WSLAY_CONTINUATION_FRAME)
        begin_message(p, f->opcode);
    p->message_n += f->payload_length;
    p->fragments++;
    /* What the door has not been given yet may end its handshake, and with it the lower limit. */
    if (p->message_n > message_max(p->ws) && p->ws->in_whole > p->ws->in_at)
        websocket_offer(p->ws);
    if (is_over(p) || p->ws->conn->is_moving)
        return;
    if (p->message_n > message_max(p->ws))
        fail(p, WSLAY_CODE_MESSAGE_TOO_BIG, "the message is too large");
    else if (p->fragments > WEBSOCKET_FRAGMENTS + p->message_n / WEBSOCKET_FRAGMENT_BYTES)
        fail(p, WSLAY_CODE_POLICY_VIOLATION, "too many small fragments");
}

static void on_chunk(wslay_event_context_ptr ctx,
                     const struct wslay_event_on_frame_recv_chunk_arg *chunk, void *user)
{
    struct ws_parser *p = user;

    (void)ctx;
    if (!p->is_control && p->in_message && !is_over(p))
        append(p->ws, slice_of(chunk->data, chunk->data_length));
}

/* ---- whose first message is it? */

static bool speaks(const struct door_ops *door, uint8_t *message, size_t n, bool is_text)
{
    const struct door_units *u = door->units;

    if (!u || (is_text && u->binary_only) || n == 0)
        return false;
    if (u->front && (u->front > WEBSOCKET_ROOM || u->make(message, n) < 0))
        return false;
    return door->recognise(slice_of(message - u->front, u->front + n)) == DOOR_YES;
}

static void find_door(struct websocket *ws, bool is_text)
{
    uint8_t *message = ws->in->bytes + ws->message_at;
    size_t n = ws->in_end - ws->message_at;
    char why[NET_TEXT_MAX];

    for (unsigned i = 0; doors[i]; i++) {
        if (!speaks(doors[i], message, n, is_text))
            continue;
        if (!(conn_site(ws->conn)->carried >> i & 1)) {
            detect_narrowed_text(ws->conn, doors[i], why, sizeof why);
            conn_close(ws->conn, NET_END_NARROWED, why);
        } else if (websocket_open(ws, doors[i]) < 0) {
            conn_kill(ws->conn, NET_END_MEMORY, NULL);
        } else {
            websocket_mirror(ws);
            ws->in_at = ws->message_at - ws->door->units->front;
        }
        return;
    }
    conn_close(ws->conn, NET_END_UNKNOWN, "the first message of a WebSocket");
}

/* ---- a message is whole */

static void say_back(struct websocket *ws, bool is_text)
{
    struct slice message = slice_of(ws->in->bytes + ws->message_at, ws->in_end - ws->message_at);
    struct out *o = &ws->conn->link.out;

    websocket_put_head(ws, is_text ? WSLAY_TEXT_FRAME : WSLAY_BINARY_FRAME, message.n);
    if (message.n >= OUT_BY_REFERENCE)
        (void)out_block(o, ws->in, message);
    else
        (void)out_copy(o, message.p, message.n);
    out_end(o);
    ws->in_at = ws->in_whole = ws->in_end;
}

static void make_unit(struct ws_parser *p)
{
    struct websocket *ws = p->ws;
    const struct door_units *u = ws->door->units;

    append(ws, slice_of("\0\0\0\0", u->back));
    if (is_over(p))
        return;
    if (u->make(ws->in->bytes + ws->message_at, ws->in_end - u->back - ws->message_at) < 0)
        fail(p, WSLAY_CODE_MESSAGE_TOO_BIG, "the message is too large");
    else
        ws->in_whole = ws->in_end;
}

static void on_message(wslay_event_context_ptr ctx, const struct wslay_event_on_msg_recv_arg *m,
                       void *user)
{
    struct ws_parser *p = user;
    struct websocket *ws = p->ws;

    (void)ctx;
    if (wslay_is_ctrl_frame(m->opcode) || !p->in_message || ws->conn->state >= CONN_CLOSING)
        return;
    p->in_message = false;
    if (ws->is_echo) {
        say_back(ws, p->is_text);
        return;
    }
    if (!ws->door)
        find_door(ws, p->is_text);
    if (ws->door && ws->conn->state < CONN_CLOSING)
        make_unit(p);
}

static ssize_t on_recv(wslay_event_context_ptr ctx, uint8_t *buf, size_t len, int flags, void *user)
{
    struct ws_parser *p = user;
    size_t n = p->from.n < len ? p->from.n : len;

    (void)flags;
    if (n == 0 || p->ws->conn->state >= CONN_CLOSING) {
        wslay_event_set_error(ctx, WSLAY_ERR_WOULDBLOCK);
        return -1;
    }
    memcpy(buf, p->from.p, n);
    p->from = slice_from(p->from, n);
    p->taken += n;
    return (ssize_t)n;
}

static ssize_t on_send(wslay_event_context_ptr ctx, const uint8_t *data, size_t len, int flags,
                       void *user)
{
    struct ws_parser *p = user;

    (void)flags;
    if (out_copy(&p->ws->conn->link.out, data, len) < 0) {
        wslay_event_set_error(ctx, WSLAY_ERR_CALLBACK_FAILURE);
        return -1;
    }
    return (ssize_t)len;
}

/* ---- parsers: borrowed while something is unfinished */

static struct ws_parser *parser_new(void)
{
    static const struct wslay_event_callbacks callbacks = {.recv_callback = on_recv,
                                                           .send_callback = on_send,
                                                           .on_frame_recv_start_callback = on_frame,
                                                           .on_frame_recv_chunk_callback = on_chunk,
                                                           .on_msg_recv_callback = on_message};
    struct ws_parser *p = calloc(1, sizeof *p);

    if (!p || wslay_event_context_server_init(&p->ctx, &callbacks, p) != 0) {
        free(p);
        return NULL;
    }
    wslay_event_config_set_no_buffering(p->ctx, 1);
    return p;
}

static void parser_free(struct ws_parser *p)
{
    wslay_event_context_free(p->ctx);
    free(p);
}

static bool borrow_parser(struct websocket *ws)
{
    struct net_worker *nw = conn_nw(ws->conn);

    if (!ws->parser)
        ws->parser = nw->parsers_n ? nw->parser[--nw->parsers_n] : parser_new();
    if (ws->parser)
        ws->parser->ws = ws;
    return ws->parser != NULL;
}

/* Between two messages, and two frames, it is as new. */
static void return_parser(struct websocket *ws)
{
    struct net_worker *nw = conn_nw(ws->conn);
    struct ws_parser *p = ws->parser;

    if (p->taken != p->told || p->in_message || wslay_event_want_write(p->ctx))
        return;
    ws->parser = NULL;
    p->taken = p->told = 0;
    if (nw->parsers_n < PARSERS_KEPT)
        nw->parser[nw->parsers_n++] = p;
    else
        parser_free(p);
}

void websocket_parsers_free(struct net_worker *nw)
{
    while (nw->parsers_n)
        parser_free(nw->parser[--nw->parsers_n]);
}

void websocket_in_free(struct websocket *ws)
{
    drop_in(ws);
    if (ws->parser)
        parser_free(ws->parser);
    ws->parser = NULL;
}

/* ---- a read */

bool websocket_take(struct websocket *ws, struct slice bytes)
{
    struct ws_parser *p;
    int r;

    if (!borrow_parser(ws) || !make_room(ws, bytes.n + WEBSOCKET_ROOM)) {
        conn_kill(ws->conn, NET_END_MEMORY, NULL);
        return false;
    }
    p = ws->parser;
    p->from = bytes;
    wslay_event_config_set_max_recv_msg_length(p->ctx, ws->conn->link.host->limits.frame_max);
    r = wslay_event_recv(p->ctx);
    p->from = slice_of(NULL, 0);
    if (r == WSLAY_ERR_NOMEM)
        conn_kill(ws->conn, NET_END_MEMORY, NULL);
    p->is_broken = r != 0; /* of a frame that is none wslay says no more than that */
    return ws->conn->state < CONN_CLOSING;
}

void websocket_offer(struct websocket *ws)
{
    struct conn *c = ws->conn;
    struct slice units = {NULL, 0};

    if (c->is_moving) /* what came is looked at there */
        return;
    if (ws->door_conn && ws->in_whole > ws->in_at && !c->is_paused) {
        units = slice_of(ws->in->bytes + ws->in_at, ws->in_whole - ws->in_at);
        if (!ws->is_home && !conn_is_home(c, ws->door, units))
            return; /* on its way there, or not enough to tell */
        ws->is_home = true;
        ws->in_at += ws->door->on_bytes(ws->door_conn, units, ws->in);
        websocket_mirror(ws);
    }
    if (c->state < CONN_CLOSING && !websocket_door.established(c->door_conn) &&
        ws->in_end - ws->in_at > c->link.host->limits.first_frame_max + WEBSOCKET_ROOM)
        conn_close(c, NET_END_FIRST_SIZE, NULL);
}

/* The peer ends it, or broke its rules: wslay has the answer ready, which goes out after what the
 * door has said. */
static void answer_close(struct websocket *ws)
{
    struct ws_parser *p = ws->parser;
    bool is_asked = wslay_event_get_close_received(p->ctx);
    char why[64];

    websocket_pack(ws);
    if (p->is_broken)
        websocket_put_close(ws, WSLAY_CODE_PROTOCOL_ERROR, "no frame of WebSocket");
    else
        (void)wslay_event_send(p->ctx);
    ws->is_closed = true;
    (void)snprintf(why, sizeof why, "WebSocket status %u",
                   p->is_broken ? WSLAY_CODE_PROTOCOL_ERROR
                   : is_asked   ? wslay_event_get_status_code_received(p->ctx)
                                : wslay_event_get_status_code_sent(p->ctx));
    conn_close(ws->conn, is_asked ? NET_END_ASKED : NET_END_DOOR, why);
}

void websocket_finish(struct websocket *ws)
{
    struct ws_parser *p = ws->parser;

    if (ws->conn->state < CONN_CLOSING && p &&
        (p->is_broken || !wslay_event_get_read_enabled(p->ctx))) {
        answer_close(ws);
    } else if (ws->conn->state < CONN_CLOSING && p) {
        if (wslay_event_want_write(p->ctx)) {
            (void)wslay_event_send(p->ctx); /* pongs */
            out_end(&ws->conn->link.out);
        }
        return_parser(ws);
    }
    if (ws->in)
        keep_in(ws);
}
