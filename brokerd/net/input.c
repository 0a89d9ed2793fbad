/* Reading: into a block of the worker's, parsed where it lies.
 *
 * What is left of a frame that was cut is kept by the connection, and copied in front of what the
 * next read brings. A large frame gets a block of its own as soon as its length is known: then the
 * rest is read right behind its beginning, and its payload is never copied. Such a block is only
 * announced, address space without memory; what arrived is counted. */
#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#include "brokerd/net/internal.h"
#include "brokerd/net/pace.h"
#include "brokerd/net/websocket.h"

struct block *net_read_block(struct read_blocks *r, size_t size)
{
    struct block **slot;

    for (unsigned i = 0; i < READ_BLOCKS; i++) {
        if (!r->block[i])
            r->block[i] = block_new(size);
        if (!r->block[i] || block_alone(r->block[i]))
            return r->block[i];
    }
    slot = &r->block[r->next++ % READ_BLOCKS];
    block_unref(*slot);
    *slot = block_new(size);
    return *slot;
}

void read_blocks_fini(struct read_blocks *r)
{
    for (unsigned i = 0; i < READ_BLOCKS; i++)
        block_unref(r->block[i]);
}

static void drop_kept(struct conn *c)
{
    block_pool_put(worker_pool(conn_nw(c)->w), c->kept);
    c->kept = NULL;
    c->kept_n = 0;
    c->kept_whole = false;
}

/* Keep the last `left` bytes of those at `from`, the beginning of a frame. */
static void keep(struct conn *c, struct block *b, const uint8_t *from, size_t left)
{
    size_t need = c->link.need > left ? c->link.need : 0, size = left;
    bool whole = need > (c->bulk ? READ_BULK_BYTES : READ_BYTES) || left > KEPT_COPIED_MAX;
    struct block *own;

    if (b == c->kept && from == b->bytes && left < b->size && need <= b->size) {
        c->kept_n = (uint32_t)left; /* it goes on in the same place */
        return;
    }
    if (left == 0) {
        drop_kept(c);
        return;
    }
    if (whole)
        size = need ? need : left + READ_BYTES;
    own = whole ? block_new(size) : block_pool_get(worker_pool(conn_nw(c)->w), size);
    if (!own) {
        conn_kill(c, NET_END_MEMORY, NULL);
        return;
    }
    memcpy(own->bytes, from, left);
    drop_kept(c);
    c->kept = own;
    c->kept_n = (uint32_t)left;
    c->kept_whole = whole;
}

/* The handshake may just have ended, and with it the deadline for it. */
static void look_at_handshake(struct conn *c)
{
    if (c->established || c->state != CONN_OPEN || !c->door->established(c->door_conn))
        return;
    c->established = true;
    if (!c->is_evicted && !c->is_eof)
        c->deadline_ms = CONN_NO_DEADLINE;
    conn_set_timer(c, c->door->on_time(c->door_conn, worker_now(conn_nw(c)->w)));
}

/* Its door has answered: from now on it is a WebSocket, with the bytes that are left. */
static size_t become_websocket(struct conn *c, struct slice left)
{
    c->door->free(c->door_conn);
    c->door = &websocket_door;
    c->door_conn = (struct door_conn *)(void *)conn_nw(c)->upgraded;
    conn_nw(c)->upgraded = NULL;
    c->is_websocket = true;
    c->link.need = 0;
    websocket_mirror(websocket_of(c));
    conn_set_timer(c, c->door->on_time(c->door_conn, worker_now(conn_nw(c)->w)));
    return left.n && c->state == CONN_OPEN ? c->door->on_bytes(c->door_conn, left, NULL) : 0;
}

/* Give the door `n` bytes at the start of `b`, and keep what it leaves. */
static void feed(struct conn *c, struct block *b, size_t n)
{
    size_t used = 0, left;

    if (c->state == CONN_NEW)
        conn_recognise(c, slice_of(b->bytes, n));
    c->link.need = 0;
    if (c->state == CONN_OPEN)
        used = c->door->on_bytes(c->door_conn, slice_of(b->bytes, n), b);
    if (conn_nw(c)->upgraded)
        used += become_websocket(c, slice_of(b->bytes + used, n - used));
    look_at_handshake(c);
    if (c->state >= CONN_CLOSING) {
        drop_kept(c);
        return;
    }
    left = n - used;
    if (!c->established && !c->is_moving &&
        (left > c->link.host->limits.first_frame_max ||
         c->link.need > c->link.host->limits.first_frame_max)) {
        conn_close(c, NET_END_FIRST_SIZE, NULL);
        return;
    }
    if (c->link.need >= OUT_BY_REFERENCE)
        c->bulk = READ_BULK_SPELL;
    else if (c->bulk)
        c->bulk--;
    keep(c, b, b->bytes + used, left);
}

void conn_begin_here(struct conn *c)
{
    struct block *b = c->kept;
    size_t n = c->kept_n;

    c->kept = NULL;
    c->kept_n = 0;
    if (c->is_websocket) { /* which has taken all that came */
        (void)c->door->on_bytes(c->door_conn, slice_of(NULL, 0), NULL);
        look_at_handshake(c);
    } else {
        feed(c, b, n);
    }
    block_pool_put(worker_pool(conn_nw(c)->w), b);
    conn_charge(c);
    conn_watch(c);
}

/* Its door may have answers under way, to who waits for them with `nc -N`. They have as long as
 * last words have. */
static bool door_goes_on(struct conn *c)
{
    int64_t until_ms = worker_now(conn_nw(c)->w) + conn_host(c)->o.linger_ms;

    if (c->state != CONN_OPEN || !c->door->on_eof)
        return false;
    c->door->on_eof(c->door_conn);
    if (c->state == CONN_OPEN && until_ms < c->deadline_ms) {
        c->deadline_ms = until_ms;
        conn_set_timer(c, c->timer.due_ms);
    }
    return true;
}

static void ended_by_peer(struct conn *c)
{
    c->is_eof = true;
    if (door_goes_on(c))
        return;
    if (c->kept_n)
        conn_close(c, NET_END_CUT, NULL);
    else
        conn_close(c, NET_END_PEER, NULL);
}

/* Read into `room` bytes at `to`. Returns how many came; 0: nothing, and what that means is done.
 */
static size_t receive(struct conn *c, uint8_t *to, size_t room)
{
    ssize_t n = recv(c->fd, to, room, MSG_DONTWAIT);

    conn_nw(c)->stats.reads++;
    if (n > 0) {
        c->bytes_in += (size_t)n;
        conn_nw(c)->stats.bytes_in += (size_t)n;
        return (size_t)n;
    }
    if (n == 0)
        ended_by_peer(c);
    else if (errno != EAGAIN && errno != EINTR)
        conn_kill(c, NET_END_RESET, strerror(errno));
    return 0;
}

/* It is closing: what it still sends is thrown away, but not for ever. */
static size_t throw_away(struct conn *c)
{
    struct block *b = net_read_block(&conn_nw(c)->small, READ_BYTES);
    ssize_t n = b ? recv(c->fd, b->bytes, b->size, MSG_DONTWAIT) : -1;

    if (n < 0 && b && (errno == EAGAIN || errno == EINTR))
        return 0;
    if (n <= 0 || n > LINGER_BYTES - (ssize_t)c->lingered)
        conn_kill(c, c->end, NULL);
    else
        c->lingered += (uint64_t)n;
    return n > 0 ? (size_t)n : 0;
}

/* Right behind the beginning of its frame. */
static size_t read_on(struct conn *c)
{
    size_t room = c->kept->size - c->kept_n, n;

    if (room > READ_BULK_BYTES)
        room = READ_BULK_BYTES;
    n = receive(c, c->kept->bytes + c->kept_n, room);
    if (n)
        feed(c, c->kept, c->kept_n + n);
    return n;
}

/* Into a block of the worker's, behind what is left of the read before. */
static size_t read_anew(struct conn *c)
{
    struct block *b = c->bulk ? net_read_block(&conn_nw(c)->large, READ_BULK_BYTES)
                              : net_read_block(&conn_nw(c)->small, READ_BYTES);
    size_t most, n, have;
    int64_t begun = 0;

    if (!b) {
        conn_kill(c, NET_END_MEMORY, NULL);
        return 0;
    }
    most = pace_bytes(c->pace, b->size);
    if (most > b->size - c->kept_n)
        most = b->size - c->kept_n;
    n = receive(c, b->bytes + c->kept_n, most);
    if (!n)
        return 0;
    have = c->kept_n + n;
    if (c->kept)
        memcpy(b->bytes, c->kept->bytes, c->kept_n);
    drop_kept(c);
    if (n == most)
        begun = worker_clock_ns();
    feed(c, b, have);
    if (n == most)
        c->pace = pace_after(c->pace, worker_clock_ns() - begun);
    return n;
}

/* What the door left when it paused, once more. */
static void offer_again(struct conn *c)
{
    bool is_woken = c->is_woken;

    c->is_resumed = c->is_woken = false;
    if (c->kept_n) {
        feed(c, c->kept, c->kept_n);
    } else if (c->is_websocket || is_woken) { /* it has what it left itself */
        (void)c->door->on_bytes(c->door_conn, slice_of(NULL, 0), NULL);
        look_at_handshake(c);
    }
}

size_t conn_read(struct conn *c)
{
    size_t n;

    if (c->state == CONN_LINGERING)
        return throw_away(c);
    if (c->is_resumed && c->state == CONN_OPEN && !c->is_paused && !c->reading_stopped)
        offer_again(c);
    if (c->state >= CONN_CLOSING || c->reading_stopped || c->is_moving || c->is_eof || c->is_paused)
        return 0;
    n = c->kept_whole ? read_on(c) : read_anew(c);
    if (c->link.endpoint && core_is_behind(c->link.endpoint))
        conn_mark_dirty(c); /* not to be read until the core has caught up */
    conn_charge(c);
    conn_follow(c);
    conn_watch(c);
    return n;
}
