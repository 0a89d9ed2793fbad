/* A connection's life: from accept to free.
 *
 *      NEW ----> OPEN ----> CLOSING ----> LINGERING ----> DEAD
 *       |         |            |              |            ^
 *       +---------+------------+--------------+------------+
 *
 * CLOSING: the door is freed at the end of the turn, what it wrote last goes out. LINGERING: the
 * peer knows that nothing more comes; closing now, with bytes of its unread, would make the kernel
 * send a reset that destroys what the peer has not read yet. Both end by a deadline. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "brokerd/net/websocket.h"

#define X(name, word, meaning) [NET_END_##name] = {word, meaning},
static const struct {
    const char *word, *meaning;
} ends[NET_ENDS] = {NET_END_LIST(X)};
#undef X

const char *net_end_name(enum net_end end)
{
    return ends[end].word;
}

const char *net_end_text(enum net_end end)
{
    return ends[end].meaning;
}

bool net_may_log(struct net_worker *nw, enum net_log what, uint64_t *ret_suppressed)
{
    return log_limit_pass(&nw->log[what], worker_now(nw->w), ret_suppressed);
}

/* ---- ends */

const char *conn_door_name(const struct conn *c, const char *none)
{
    if (c->is_websocket)
        return websocket_name(websocket_of(c));
    return c->door ? c->door->name : none;
}

/* Count and tell, once in a connection's life. */
static void note_end(struct conn *c, enum net_end end, const char *why)
{
    bool is_ordinary = end == NET_END_PEER || end == NET_END_ASKED || end == NET_END_IDLE ||
                       end == NET_END_DRAINED;
    uint64_t more;

    c->end = end;
    conn_nw(c)->stats.ended[end]++;
    if (is_ordinary) {
        log_debug("%s: %s%s%s", c->peer, net_end_text(end), why ? ": " : "", why ? why : "");
        return;
    }
    if (!net_may_log(conn_nw(c), NET_LOG_ENDED, &more))
        return;
    log_event(end == NET_END_RESET || end == NET_END_CUT || end == NET_END_KILLED ? LEVEL_INFO
                                                                                  : LEVEL_WARNING,
              "closed",
              LOG_FACTS({"peer", c->peer, 0}, {"door", conn_door_name(c, ""), 0},
                        {"why", net_end_name(end), 0}, {"left_out", NULL, more}),
              "closed: %s%s%s", net_end_text(end), why ? ": " : "", why ? why : "");
}

static void set_closed(struct conn *c, enum conn_state state)
{
    c->state = state;
    if (c->is_closed)
        return;
    c->is_closed = true;
    list_remove(&c->in_ready);
    list_push_back(&conn_nw(c)->closed, &c->in_ready);
}

void conn_kill(struct conn *c, enum net_end end, const char *why)
{
    if (c->state == CONN_DEAD)
        return;
    if (c->state < CONN_CLOSING)
        note_end(c, end, why);
    set_closed(c, CONN_DEAD);
}

void conn_close(struct conn *c, enum net_end end, const char *why)
{
    if (c->state >= CONN_CLOSING)
        return;
    if (c->link.out.end == 0 && c->link.out.pending == 0 && !c->is_websocket) { /* no last words */
        conn_kill(c, end, why);
        return;
    }
    note_end(c, end, why);
    set_closed(c, CONN_CLOSING);
    c->deadline_ms = worker_now(conn_nw(c)->w) + conn_host(c)->o.linger_ms;
    conn_set_timer(c, INT64_MAX);
    conn_mark_dirty(c);
}

void conn_close_link(struct link *l, const char *why, enum link_end end)
{
    static const enum net_end as[] = {[LINK_WRONG] = NET_END_DOOR,     [LINK_ASKED] = NET_END_ASKED,
                                      [LINK_SILENT] = NET_END_SILENT,  [LINK_IDLE] = NET_END_IDLE,
                                      [LINK_ENDED] = NET_END_PEER,     [LINK_CUT] = NET_END_CUT,
                                      [LINK_DRAINED] = NET_END_DRAINED};

    conn_close((struct conn *)l, as[end], why);
}

void conn_pause_link(struct link *l, bool pause)
{
    struct conn *c = (struct conn *)l;

    if (c->is_paused == pause || c->state >= CONN_CLOSING)
        return;
    c->is_paused = pause;
    if (pause)
        conn_nw(c)->stats.reads_paused++;
    else
        c->is_resumed = true;
    conn_mark_dirty(c); /* there it is seen: we may be within the door, or the core */
}

void conn_wake_link(struct link *l)
{
    struct conn *c = (struct conn *)l;

    if (c->state >= CONN_CLOSING)
        return;
    c->is_resumed = c->is_woken = true;
    conn_mark_dirty(c);
}

void conn_refuse_link(struct link *l, enum door_refusal what, const char *why)
{
    conn_close((struct conn *)l, what == DOOR_REFUSED_ORIGIN ? NET_END_ORIGIN : NET_END_HTTP, why);
}

const struct door_site *conn_link_site(const struct link *l)
{
    return conn_site((const struct conn *)l);
}

void conn_upgrade_link(struct link *l, const struct door_upgrade *u)
{
    struct conn *c = (struct conn *)l;

    conn_nw(c)->upgraded = websocket_new(c, u);
    if (!conn_nw(c)->upgraded)
        conn_kill(c, NET_END_MEMORY, NULL);
}

const char *conn_link_peer(const struct link *l)
{
    return ((const struct conn *)l)->peer;
}

/* ---- time */

void conn_set_timer(struct conn *c, int64_t door_due_ms)
{
    int64_t due = c->deadline_ms == CONN_NO_DEADLINE ? INT64_MAX : c->deadline_ms;

    if (c->state == CONN_OPEN && door_due_ms < due)
        due = door_due_ms;
    if (!list_linked(&c->timer.link) || due != c->timer.due_ms)
        wheel_set(&conn_nw(c)->wheel, &c->timer, due);
}

static void deadline_passed(struct conn *c)
{
    if (c->state >= CONN_CLOSING)
        conn_kill(c, c->end, NULL);
    else if (c->is_evicted)
        conn_close(c, NET_END_DRAINED, NULL);
    else if (c->is_eof)
        conn_close(c, NET_END_PEER, "before all was answered");
    else
        conn_close(c, NET_END_FIRST_TIME, NULL);
}

void conn_on_time(struct conn *c, int64_t now_ms)
{
    int64_t door_due_ms = INT64_MAX;

    if (c->deadline_ms <= now_ms)
        deadline_passed(c);
    else if (c->state == CONN_OPEN)
        door_due_ms = c->reading_stopped && !c->door->is_watchful
                          ? now_ms + UNREAD_GRACE_MS
                          : c->door->on_time(c->door_conn, now_ms);
    if (c->state != CONN_DEAD)
        conn_set_timer(c, door_due_ms);
}

void conn_charge(struct conn *c)
{
    size_t now = c->kept_n + c->link.out.pending;

    if (c->is_websocket)
        now += websocket_held(websocket_of(c));
    if (now == c->charged)
        return;
    core_charge(c->link.host->core, (int64_t)now - (int64_t)c->charged);
    c->charged = now;
}

void conn_mark_dirty(struct conn *c)
{
    if (!list_linked(&c->in_dirty))
        list_push_back(&conn_nw(c)->dirty, &c->in_dirty);
}

/* ---- begin and end */

/* A connection that never was one. */
static void start_failed(struct net_worker *nw, int fd, enum net_end end, const char *peer)
{
    uint64_t more;

    close(fd);
    nw->stats.ended[end]++;
    worker_left(nw->w);
    atomic_fetch_sub(&nw->net->connections, 1);
    if (end != NET_END_DRAINED && net_may_log(nw, NET_LOG_REFUSED, &more))
        log_event(
            LEVEL_WARNING, "refused_connection",
            LOG_FACTS({"peer", peer, 0}, {"why", net_end_name(end), 0}, {"left_out", NULL, more}),
            "connection refused: %s", net_end_text(end));
}

void conn_settle(struct conn *c)
{
    struct net_worker *nw = conn_nw(c);

    c->link.id = nw->next_id;
    nw->next_id += CORE_MAX_WORKERS;
    list_push_back(&nw->all, &c->in_all);
    conn_set_timer(c, c->timer.due_ms);
    conn_watch(c);
}

void conn_start(struct net_worker *nw, const struct accepted *a)
{
    char peer[PEER_TEXT_MAX];
    struct conn *c;

    socket_peer(a->fd, &a->addr, peer, sizeof peer);
    if (nw->is_draining) {
        start_failed(nw, a->fd, NET_END_DRAINED, peer);
        return;
    }
    c = calloc(1, offsetof(struct conn, peer) + strlen(peer) + 1);
    if (!c) {
        start_failed(nw, a->fd, NET_END_MEMORY, peer);
        return;
    }
    memcpy(c->peer, peer, strlen(peer) + 1);
    c->fd = a->fd;
    c->site = a->site;
    c->since_ms = worker_wall(nw->w);
    c->deadline_ms = worker_now(nw->w) + nw->host->o.first_frame_ms;
    c->link = (struct link){.host = &nw->host->link};
    out_init(&c->link.out, &nw->outs);
    nw->host->refs++;
    conn_settle(c);
    log_trace("net", "%s: connection %llu on worker %u", c->peer, (unsigned long long)c->link.id,
              worker_id(nw->w));
}

static void free_door(struct conn *c)
{
    if (!c->door_conn)
        return;
    c->door->free(c->door_conn);
    c->door_conn = NULL;
    c->link.endpoint = NULL;
}

static void conn_free(struct conn *c)
{
    struct net_worker *nw = conn_nw(c);

    conn_unwatch(c);
    close(c->fd);
    block_pool_put(worker_pool(nw->w), c->kept);
    c->kept_n = 0;
    out_fini(&c->link.out);
    conn_charge(c);
    wheel_set(&nw->wheel, &c->timer, INT64_MAX);
    list_remove(&c->in_all);
    list_remove(&c->in_ready);
    list_remove(&c->in_dirty);
    if (c->passage)
        list_remove(&c->passage->in_moving);
    free(c->passage);
    host_drop(conn_host(c));
    worker_left(nw->w);
    atomic_fetch_sub(&nw->net->connections, 1);
    free(c);
}

void conns_release(struct net_worker *nw)
{
    struct list_node *l;

    while ((l = list_pop(&nw->closed)) != NULL) {
        struct conn *c = LIST_ITEM(l, struct conn, in_ready);

        c->is_closed = false;
        free_door(c);
        if (c->state == CONN_DEAD)
            conn_free(c);
        else
            conn_output(c); /* on to lingering, if all is written */
    }
}
