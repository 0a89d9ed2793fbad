/* A WebSocket as a door of its connection: what each of the functions of struct door_ops means for
 * it, and what the carried door finds in its link. */
#include "brokerd/net/websocket.h"

#include <errno.h>
#include <stdlib.h>

static struct websocket *of(struct door_conn *d)
{
    return (struct websocket *)(void *)d;
}

static struct websocket *of_link(const struct link *l)
{
    return (struct websocket *)(uintptr_t)l;
}

/* ---- what the carried door may ask of its link */

void websocket_close_link(struct link *l, const char *why, enum link_end end)
{
    conn_close_link(&of_link(l)->conn->link, why, end);
    websocket_mirror(of_link(l)); /* the endpoint may be another connection's by now */
}

const char *websocket_link_peer(const struct link *l)
{
    return of_link(l)->conn->peer;
}

void websocket_pause_link(struct link *l, bool pause)
{
    conn_pause_link(&of_link(l)->conn->link, pause);
}

const struct door_site *websocket_link_site(const struct link *l)
{
    return conn_site(of_link(l)->conn);
}

void websocket_settle(struct websocket *ws)
{
    ws->link.host = &conn_host(ws->conn)->carried;
    ws->link.id = ws->conn->link.id;
    ws->link.out.host = &conn_nw(ws->conn)->carried_outs;
}

/* ---- begin */

/* So that net, which looks at the connection's link, knows what is said of the door's. */
void websocket_mirror(struct websocket *ws)
{
    ws->conn->link.endpoint = ws->link.endpoint;
    ws->conn->link.apart = ws->link.apart;
}

int websocket_open(struct websocket *ws, const struct door_ops *door)
{
    bool as_binary = conn_site(ws->conn)->as_binary && door->units->may_be_binary;

    ws->door_conn = door->open(&ws->link);
    if (!ws->door_conn)
        return -ENOMEM;
    ws->door = door;
    ws->is_text_out = door->units->text && !as_binary;
    return 0;
}

struct websocket *websocket_new(struct conn *c, const struct door_upgrade *u)
{
    struct websocket *ws = calloc(1, sizeof *ws);

    if (!ws)
        return NULL;
    ws->conn = c;
    ws->link =
        (struct link){.host = &conn_host(c)->carried, .id = c->link.id, .is_guest = u->is_guest};
    out_init(&ws->link.out, &conn_nw(c)->carried_outs);
    ws->heard_ms = worker_now(conn_nw(c)->w);
    ws->is_echo = u->is_echo;
    if (u->door && websocket_open(ws, u->door) < 0) {
        free(ws);
        return NULL;
    }
    return ws;
}

const char *websocket_name(const struct websocket *ws)
{
    return ws->door ? ws->door->name : websocket_door.name;
}

/* ---- what net asks of it */

static size_t on_bytes(struct door_conn *d, struct slice bytes, struct block *block)
{
    struct websocket *ws = of(d);
    const struct door_ops *before = ws->door;
    struct conn *c = ws->conn;

    (void)block;
    ws->heard_ms = worker_now(conn_nw(c)->w);
    ws->pings = 0;
    if (bytes.n == 0 || websocket_take(ws, bytes))
        websocket_offer(ws);
    websocket_finish(ws);
    if (ws->door != before && c->state == CONN_OPEN)
        conn_set_timer(c, c->door->on_time(d, ws->heard_ms));
    return bytes.n;
}

/* Ping who is silent, drop who stays so. Returns when to look again. */
static int64_t ping(struct websocket *ws, int64_t now_ms)
{
    int64_t every_ms = conn_host(ws->conn)->o.websocket_ping_ms, since;

    if (every_ms == INT64_MAX)
        return INT64_MAX;
    if (ws->conn->is_paused) { /* what it says is not heard, pongs too */
        ws->heard_ms = now_ms;
        ws->pings = 0;
    }
    since = ws->pings ? ws->pinged_ms : ws->heard_ms;
    if (now_ms - since < every_ms)
        return since + every_ms;
    if (ws->pings == WEBSOCKET_PINGS) {
        conn_close(ws->conn, NET_END_SILENT, "two pings without an answer");
        return INT64_MAX;
    }
    ws->pings++;
    ws->pinged_ms = now_ms;
    websocket_put_ping(ws);
    return now_ms + every_ms;
}

static int64_t on_time(struct door_conn *d, int64_t now_ms)
{
    struct websocket *ws = of(d);
    int64_t due = ws->door_conn ? ws->door->on_time(ws->door_conn, now_ms) : INT64_MAX, ping_due;

    websocket_mirror(ws);
    if (ws->conn->state >= CONN_CLOSING)
        return INT64_MAX;
    ping_due = ping(ws, now_ms);
    return ping_due < due ? ping_due : due;
}

static void on_drain(struct door_conn *d)
{
    struct websocket *ws = of(d);

    if (ws->door_conn)
        ws->door->on_drain(ws->door_conn);
    else
        conn_close(ws->conn, NET_END_DRAINED, NULL);
    websocket_mirror(ws);
}

static bool is_established(const struct door_conn *d)
{
    const struct websocket *ws = (const struct websocket *)(const void *)d;

    return ws->is_echo || (ws->door_conn && ws->door->established(ws->door_conn));
}

/* The door's last words, then the close frame. */
static void ws_free(struct door_conn *d)
{
    struct websocket *ws = of(d);
    struct conn *c = ws->conn;

    if (ws->door_conn)
        ws->door->free(ws->door_conn);
    if (c->state != CONN_DEAD) {
        websocket_pack(ws);
        websocket_put_close(ws, websocket_code(c->end), net_end_name(c->end));
    }
    websocket_in_free(ws);
    out_fini(&ws->link.out);
    c->is_websocket = false;
    free(ws);
}

const struct door_ops websocket_door = {
    .name = "websocket",
    .on_bytes = on_bytes,
    .on_time = on_time,
    .on_drain = on_drain,
    .established = is_established,
    .free = ws_free,
};
