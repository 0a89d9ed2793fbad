/* internal.h - what the files of this room share.
 *
 * Thread   struct net_worker, struct conn: their worker's. struct net: constant once workers run,
 *          but for its atomic. */
#ifndef BROKERD_NET_INTERNAL_H
#define BROKERD_NET_INTERNAL_H

#include <event2/event.h>
#include <event2/event_struct.h>
#include <stdatomic.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "brokerd/net/net.h"
#include "brokerd/net/wheel.h"
#include "libbroker/base/list.h"
#include "libbroker/base/log.h"

enum {
    /* Of an ordinary read. Each costs a confirm and a wake-up of the publisher beside itself: with
     * 64 KiB a message of 128 B took 80 ns of CPU, with 128 KiB 78, with 256 KiB 56; above that the
     * bytes leave the cache before they are written. */
    READ_BYTES = 256 * 1024,
    READ_BULK_BYTES = 1 << 20,   /* of a connection that sends large frames */
    READ_BULK_SPELL = 8,         /* reads it does so for after the last such frame */
    PARSERS_KEPT = 8,            /* of WebSocket's frames, 9 KiB each */
    READ_BLOCKS = 4,             /* blocks of each size kept while messages point into them */
    ACCEPTS_A_TURN = 64,         /* of a listener */
    ACCEPT_PAUSE_MS = 100,       /* when there is no descriptor even to refuse with */
    KEPT_COPIED_MAX = 32 * 1024, /* the beginning of a frame that is copied at the next read */
    OUT_STOP_READING = 1 << 20,  /* who has so much unread is not read */
    OUT_READ_AGAIN = 256 * 1024, /* until it is down to this */
    UNREAD_GRACE_MS = 1000,      /* a peer that was not read is not called silent before */
    OUT_LOW_WATER = OUT_HIGH_WATER / 2, /* below it there is room for deliveries again */
    LINGER_BYTES = (16 << 20) - 1,      /* read and thrown away from a connection that is closing */
    PEER_TEXT_MAX = 80
};

/* What connections of one worker have in common, their limits above all: one for each worker and
 * settings, which its connections hold. */
struct host {
    struct link_host link;    /* the doors' view */
    struct link_host carried; /* of those that WebSockets carry */
    unsigned refs;
    struct net_options o;
};

/* A connection's way to the worker where its messages go; made when it first wants to go there. */
struct passage {
    struct conn *conn;
    struct list_node in_moving;
    int64_t until_ms;   /* while it is to move: until when that is tried; else not before */
    uint64_t rest_turn; /* while it is to move: since when it is at rest; 0: it is not */
    uint8_t to;         /* that worker */
    bool fresh;         /* its door has had no bytes yet: it goes home, at once */
};

enum conn_state {
    CONN_NEW,       /* which door? */
    CONN_OPEN,      /* the door has it */
    CONN_CLOSING,   /* no door any more at the end of this turn; output is being written */
    CONN_LINGERING, /* shut down for writing, waits for the peer to do the same */
    CONN_DEAD       /* freed at the end of this turn */
};

#define CONN_NO_DEADLINE (INT64_MAX >> 8)

struct conn {
    struct link link;            /* the door's view */
    struct event *own;           /* watched alone; NULL: in the crowd */
    const struct door_ops *door; /* NULL while CONN_NEW */
    struct door_conn *door_conn; /* NULL: none, or freed */
    struct list_node in_all, in_dirty;
    struct list_node in_ready; /* or in nw->closed, at whose end the loop looks again */
    struct wheel_node timer;   /* due when the deadline has come, or the door wants to be called */
    int64_t deadline_ms : 56;  /* of the handshake, of closing, of eviction; CONN_NO_DEADLINE */
    enum conn_state state : 3;
    enum net_end end : 5;
    int64_t since_ms : 56; /* wall clock */
    bool kept_whole : 1;   /* the rest of the frame is read into `kept` too */
    bool established : 1;
    bool is_eof : 1;          /* the peer has ended its direction */
    bool is_evicted : 1;      /* deadline_ms is when it has to go */
    bool reading_stopped : 1; /* it does not take its answers; its silence is our doing */
    bool is_closed : 1;       /* among nw->closed */
    bool is_moving : 1;       /* not read until it is at rest, and then on another worker */
    bool told_full : 1;       /* core_writable(false) was said */
    struct passage *passage;  /* NULL: it never wanted to move */
    struct block *kept;       /* the beginning of a frame, at its start; NULL: none */
    uint64_t bytes_in : 56;
    uint64_t pace : 8;      /* its reads are so many times halved (pace.h) */
    uint64_t charged : 40;  /* bytes counted into the memory budget */
    uint64_t lingered : 24; /* bytes thrown away */
    uint32_t kept_n;
    int fd;
    uint16_t site;         /* what its listener was told: net->site[] */
    uint16_t busy_span;    /* the span of time in which it was, its low bits */
    uint8_t busy;          /* ready so many times, in the crowd */
    uint8_t watched;       /* EV_READ, EV_WRITE as registered */
    uint8_t ready;         /* what the loop saw */
    uint8_t bulk : 4;      /* large reads left */
    bool is_paused : 1;    /* the door does not want it read */
    bool is_resumed : 1;   /* now it does: what it left comes again */
    bool is_woken : 1;     /* and is called even if it left nothing */
    bool is_websocket : 1; /* its door_conn is a struct websocket */
    char peer[];           /* of 16 bytes, as a rule, and all this is 256 of heap */
};

/* Whose limits it has, and whose core its link has. */
static inline struct host *conn_host(const struct conn *c)
{
    return (struct host *)(uintptr_t)c->link.host;
}

/* It has one reference more on `h`, its own from now on. */
static inline void conn_set_host(struct conn *c, struct host *h)
{
    c->link.host = &h->link;
}

/* What a listener was told, as its connections know it longer than it lives. */
struct site {
    struct door_site door; /* the doors' view */
    const char **origins;  /* owned, as what they point to */
};

struct listener {
    struct net *net;
    struct event ev;
    int fd;
    uint16_t site;
    bool is_ready;
    char *path; /* to be removed when it is closed; NULL: none */
    dev_t dev;  /* of path, when we made it */
    ino_t ino;
    char *url;
};

/* What one accept gives; passed to the worker that shall have the connection. */
struct accepted {
    struct net *net;
    int fd;
    uint16_t site;
    struct sockaddr_storage addr;
};

/* Blocks that are read into, of one size. A block is used again as soon as nobody but us points
 * into it. */
struct read_blocks {
    struct block *block[READ_BLOCKS];
    unsigned next; /* to be replaced if all are pointed into */
};

/* A line about the same thing again and again: one limit for each. */
enum net_log { NET_LOG_REFUSED, NET_LOG_DESCRIPTORS, NET_LOG_ENDED, NET_LOGS };

struct net_worker {
    struct net *net;
    struct worker *w;
    struct list all;    /* every connection */
    struct list ready;  /* the loop saw something */
    struct list dirty;  /* output is to be looked at */
    struct list behind; /* the same, next turn: the core has yet to do what they asked for */
    struct list closed; /* CONN_CLOSING whose door is to be freed, CONN_DEAD */
    struct list moving; /* not read until they can move */
    uint64_t turn;      /* counts up */
    struct event crowd; /* connections that are watched together: */
    int crowd_fd;       /* their epoll set */
    struct wheel wheel;
    struct out_host outs, carried_outs;        /* of connections; of doors that WebSockets carry */
    struct host *host;                         /* for new connections */
    struct read_blocks small, large, unpacked; /* the last: what came in WebSocket's messages */
    struct ws_parser *parser[PARSERS_KEPT];    /* for the next WebSocket that is spoken to */
    unsigned parsers_n;
    struct websocket *upgraded; /* what the connection being read becomes */
    struct door_scratch *scratch;
    uint64_t next_id;
    bool is_draining, is_closing; /* net_drain() and net_close_all() have been here */
    bool any_resumed;             /* a connection that was not read is among the ready */
    bool core_told;               /* core_written() or core_writable() since the last tick began */
    struct log_limit log[NET_LOGS];
    struct net_stats stats;
};

struct net {
    struct workers *ws;
    unsigned n;
    uint64_t seed; /* keys the hashes of names that connections belong together by */
    atomic_uint connections;
    struct listener **listener; /* worker 0's */
    struct site **site;         /* of all listeners there ever were */
    uint16_t sites_n;
    size_t listeners_n;
    bool accept_ready;         /* some listener is ready: worker 0's */
    int64_t accept_resumes_ms; /* listeners are not watched until then; INT64_MAX: they are */
    int spare_fd;              /* given up to be able to refuse when there are no descriptors */
    struct net_worker nw[];
};

/* Its worker: whose output it has. */
static inline struct net_worker *conn_nw(const struct conn *c)
{
    return LIST_ITEM(c->link.out.host, struct net_worker, outs);
}

/* What its listener was told. */
static inline const struct door_site *conn_site(const struct conn *c)
{
    return &conn_nw(c)->net->site[c->site]->door;
}

/* ---- conn.c */

/* As link_host has them. */
void conn_refuse_link(struct link *l, enum door_refusal what, const char *why);
const struct door_site *conn_link_site(const struct link *l);
void conn_upgrade_link(struct link *l, const struct door_upgrade *u);

/* End the connection of a link: struct link_host. */
void conn_close_link(struct link *l, const char *why, enum link_end end);

/* Who is at its other end: the same. */
const char *conn_link_peer(const struct link *l);

/* Not to read it, or to do so again: the same. */
void conn_pause_link(struct link *l, bool pause);

/* Have its door called: the same. */
void conn_wake_link(struct link *l);

/* A connection for a socket, which it takes over also on failure. */
void conn_start(struct net_worker *nw, const struct accepted *a);

/* It ends: for this reason, after what waits to be written, in time. `why` may be NULL. The first
 * reason stands. */
void conn_close(struct conn *c, enum net_end end, const char *why);

/* It ends now: what waits is not written. */
void conn_kill(struct conn *c, enum net_end end, const char *why);

/* Have it looked at when its deadline has come, or the time when the door wants to be called. */
void conn_set_timer(struct conn *c, int64_t door_due_ms);

/* Its time has come, for something. */
void conn_on_time(struct conn *c, int64_t now_ms);

/* Count `now` bytes instead of what was counted before into the memory budget. */
void conn_charge(struct conn *c);

/* Put it where its output is looked at before the turn ends. */
void conn_mark_dirty(struct conn *c);

/* End of the turn: doors of closing connections are freed, dead connections wholly. */
void conns_release(struct net_worker *nw);

/* May a line be written about this, now? *ret: how many were not. */
bool net_may_log(struct net_worker *nw, enum net_log what, uint64_t *ret_suppressed);

/* The name of what it speaks, or `none`. */
const char *conn_door_name(const struct conn *c, const char *none);

/* Its place in this worker's lists and time, at its beginning or when it comes from another. */
void conn_settle(struct conn *c);

/* ---- net.c */

/* One for connections of `nw`, with one reference. NULL without memory. Any thread. */
struct host *host_new(const struct net_worker *nw, const struct net_options *o);
void host_drop(struct host *h); /* NULL is fine */

/* Do both say the same of limits? (Not by memcmp: there is padding between the fields.) */
bool host_same(const struct host *a, const struct host *b);

/* ---- move.c */

/* It was read: if its messages go to another worker, it is to go there too. */
void conn_follow(struct conn *c);

/* Is it on the worker where connections belong that begin so? If not, it is sent there, once that
 * can be told. */
bool conn_is_home(struct conn *c, const struct door_ops *door, struct slice first);

/* Nothing of it has been looked at but its first bytes, which are kept: it belongs on worker `to`,
 * and goes there at the end of the turn. */
void conn_send_home(struct conn *c, unsigned to);

/* End of the turn: those that are at rest move, those that take too long give up. Returns when it
 * wants to be called again at the latest, INT64_MAX if never. */
int64_t conns_move(struct net_worker *nw);

/* ---- watch.c */

/* The epoll set of connections that are not watched alone. -errno. */
int crowd_open(struct net_worker *nw);
void crowd_close(struct net_worker *nw);

/* Have the loop watch for what the state asks for. */
void conn_watch(struct conn *c);

/* Have it forget the connection: nothing is ready any more. */
void conn_unwatch(struct conn *c);

/* ---- websocket.c: as link_host has them, for the doors that WebSockets carry */

void websocket_close_link(struct link *l, const char *why, enum link_end end);
const char *websocket_link_peer(const struct link *l);
void websocket_pause_link(struct link *l, bool pause);
const struct door_site *websocket_link_site(const struct link *l);

/* ---- detect.c */

/* Which door? Opens it if that is clear; ends the connection if it is clear that none is. */
void conn_recognise(struct conn *c, struct slice first);

/* A line for a person who spoke to `door`, which is not served there. */
void detect_narrowed_text(const struct conn *c, const struct door_ops *door, char *buf,
                          size_t size);

/* ---- input.c */

/* A block of `size` bytes to read into that nobody points into; stays of `r`. NULL without memory.
 */
struct block *net_read_block(struct read_blocks *r, size_t size);

/* Read once and have the door act. Returns the bytes read. */
size_t conn_read(struct conn *c);

/* It has come to the worker where it belongs: have what is kept of it looked at. */
void conn_begin_here(struct conn *c);

void read_blocks_fini(struct read_blocks *r);

/* ---- output.c */

/* To be called for outputs of this worker. */
void conn_flush(struct out *o);
void conn_dirty(struct out *o);

/* Write what waits, tell the core, and watch for what is needed next. */
void conn_output(struct conn *c);

/* ---- listener.c */

/* Accept what waits on ready listeners. Own of worker 0, as the next. */
void listeners_accept(struct net *net, int64_t now_ms);
void listeners_close(struct net *net);
void sites_free(struct net *net);

/* ---- socket.c */

/* A listening socket for an address. -errno; `err` says what failed. */
int socket_listen_tcp(const struct sockaddr *addr, socklen_t len, char *err, size_t err_size);
int socket_listen_unix(const char *path, char *err, size_t err_size);

/* Who is at the other end: "127.0.0.1:4242", "[::1]:4242", "unix:pid=77,uid=0". */
void socket_peer(int fd, const struct sockaddr_storage *addr, char *buf, size_t size);

#endif
