/* door.h - what every protocol adapter is to net: one table of functions.
 *
 * Why      A new protocol is a folder under doors/ and one line in doors.c.
 * Shape    net owns the connection: socket, output, time-outs. The door owns what the bytes
 *          mean. Between them: struct link, lent to the door for the connection's life.
 * Owner    A door_conn belongs to net from open() until net calls free().
 * Thread   The connection's worker. A door never blocks. on_* are called by net only, never
 *          from within one another; a door may write to link->out and call the core at any
 *          time in them, except from the core's own callbacks (core.h). */
#ifndef BROKERD_DOORS_DOOR_H
#define BROKERD_DOORS_DOOR_H

#include "brokerd/core/core.h"
#include "libbroker/base/log.h"
#include "libbroker/base/out.h"

#include <sys/types.h>

struct door_conn; /* each door defines its own, by embedding */
struct inlets;
struct link;

/* What one connection may ask for; an immutable snapshot. */
struct door_limits {
    uint32_t first_frame_max;  /* bytes, before the handshake is done */
    uint32_t frame_max;        /* bytes, after it */
    uint64_t message_max;      /* bytes, reassembled */
    uint64_t reassembly_max;   /* bytes of unfinished messages, all streams of a connection */
    uint32_t streams_max;      /* open streams of a connection */
    uint32_t publish_rate;     /* messages a second that it may publish; 0: any number */
    int64_t keepalive_min_ms;  /* shorter intervals of a peer count as this */
    int64_t idle_max_ms;       /* longer lifetimes count as this */
    uint64_t session_bytes;    /* kept of what a session's peer has not acknowledged */
    int64_t session_ms;        /* a session waits so long for its next connection */
    uint32_t sessions_max;     /* sessions of one worker; 0: there are none */
    uint32_t lease_requests;   /* requests of one lease, for who wants to be told how many */
    int64_t lease_ms;          /* and how long it lasts */
    int64_t json_keepalive_ms; /* interval of the JSON door's own */
    int64_t first_frame_ms;    /* of net; for doors whose every request has a head that must end */
    int64_t http_idle_ms;      /* without a request */
};

/* So that small messages too make runs worth a write of their own: 50 KiB of them with 16 B. */
enum { DOOR_VIEWS = 2048 };

/* A run as it was written last, for the next consumer to whom it looks the same: with 100 of them
 * each of a message of 128 B took 30 ns instead of 42. */
enum { DOOR_ENCODED = 384 * 1024, DOOR_HEAD_MAX = 512 };

struct door_ops;

struct door_encoded {
    uint64_t offer; /* 0: none; else what run it is: that, v and n of its delivery */
    const struct msg_view *v;
    const struct door_ops *door; /* whose bytes these are */
    uint32_t n;
    uint32_t frame_max; /* no frame is longer; 0 where the door has none */
    uint32_t head_n;
    uint8_t head[DOOR_HEAD_MAX]; /* what each message has before its payload, without its length */
    struct slice bytes;          /* all of it: in `buf`, or where the messages were read */
    uint8_t buf[DOOR_ENCODED];
};

/* What a door keeps on one worker apart from its connections, the first member of a struct of its
 * own: sessions that outlive them. It is put into the list when it is first needed. */
struct door_room {
    const struct door_room_ops *ops;
    struct door_room *next;
    int64_t due_ms; /* when on_time() is to be called; INT64_MAX: never. May be set at any time */
};

struct door_room_ops {
    /* It is due. Sets due_ms anew. Called in the worker's turn, from nothing of the door. */
    void (*on_time)(struct door_room *room, int64_t now_ms);
    /* As for connections. */
    void (*on_drain)(struct door_room *room);
    /* The worker ends; its connections have. */
    void (*free)(struct door_room *room);
};

/* What doors count that no core sees. X(NAME, word, meaning) */
#define DOOR_COUNT_LIST(X)                                                                         \
    X(SESSIONS, "sessions", "resumable sessions begun")                                            \
    X(RESUMED, "sessions-resumed", "sessions that went on over another connection")                \
    X(RESUME_REJECTED, "resumes-rejected", "no such session, or what was missed is not there")     \
    X(SESSION_LIMIT, "sessions-refused", "sessions beyond `resume-max-sessions` or out of memory") \
    X(SESSION_BYTES, "sessions-too-far-behind", "sessions dropped beyond `resume-max-bytes`")      \
    X(SESSION_EXPIRED, "sessions-expired", "sessions not resumed within `resume-timeout`")         \
    X(LEASE, "requests-beyond-lease", "requests refused or dropped, the lease being used up")      \
    X(LATE_REPLIES, "late-replies", "answers to who has gone, and their reply queue with it")      \
    X(HOOKS_DENIED, "hooks-denied", "webhooks in whose signature, or time, was not as it must be") \
    X(ERRORS, "errors", "requests answered with an error, or dropped where none can be said")

enum door_count {
#define X(name, word, meaning) DOOR_COUNT_##name,
    DOOR_COUNT_LIST(X)
#undef X
        DOOR_COUNTS
};

/* Scratch of the worker, shared by its connections. */
struct door_scratch {
    uint64_t count[DOOR_COUNTS];
    struct log_limit wrong;            /* for lines about wrong input that is answered */
    struct door_room *rooms;           /* which net looks after, until the worker ends */
    struct inlets *inlets;             /* webhooks in (inlet.h); net's reference; NULL: none */
    struct msg_view views[DOOR_VIEWS]; /* valid within one on_bytes() */
    struct door_encoded encoded;
};

/* What a listener was told that doors need to know. Constant. */
struct door_site {
    uint16_t doors;             /* served there: a bit for each of doors[] */
    uint16_t carried;           /* by WebSocket there: the same */
    bool http, websocket;       /* whether these are, WebSocket carrying the others */
    bool is_loopback;           /* only this host's programs come there, by TCP */
    bool echo;                  /* WebSocket at /echo, that says everything back */
    bool as_binary;             /* units that may be binary are: see struct door_units */
    bool manages;               /* who comes this way may manage the broker */
    const char *const *origins; /* whose pages may come, besides the host's own; "*": all */
    size_t origins_n;
};

/* What a connection becomes when its door has answered: a WebSocket. */
struct door_upgrade {
    const struct door_ops *door; /* that it carries; NULL: its first message tells */
    bool is_echo;                /* it carries none, and says everything back */
    bool is_guest;               /* a page's that does not manage the broker */
};

/* Why a door ends a connection: what net counts it as. */
enum link_end {
    LINK_WRONG,  /* the peer broke the protocol, or a limit of it */
    LINK_ASKED,  /* the peer asked for it: not worth a warning */
    LINK_SILENT, /* the peer was silent for too long */
    LINK_IDLE,   /* it has what it asked for, and asks for nothing more: the same */
    LINK_ENDED,  /* the peer has ended its direction, and has what it asked for: the same */
    LINK_CUT,    /* it has, in the middle of something */
    LINK_DRAINED /* the broker is about to stop: not worth a warning */
};

/* Why a door sends somebody away: what net counts it as. */
enum door_refusal {
    DOOR_REFUSED_ORIGIN, /* a page of an origin that is not allowed */
    DOOR_REFUSED_HTTP    /* an HTTP request for what is not there */
};

/* What net lends to all connections of one worker, or as many as have the same limits. */
struct link_host {
    struct core *core;
    struct door_scratch *scratch;
    struct door_limits limits;
    uint64_t seed; /* for hashes of names that peers choose; the same on all workers */
    /* Net's own; used by link_close(). */
    void (*close)(struct link *l, const char *why, enum link_end end);
    const char *(*peer)(const struct link *l);             /* used by link_peer() */
    void (*pause)(struct link *l, bool pause);             /* used by link_pause() */
    const struct door_site *(*site)(const struct link *l); /* link_site(); NULL: none (tests) */
    void (*refuse)(struct link *l, enum door_refusal what, const char *why); /* link_refuse() */
    void (*upgrade)(struct link *l, const struct door_upgrade *u);           /* link_upgrade() */
    void (*wake)(struct link *l);                                            /* link_wake() */
};

/* What net lends a door for one connection. */
struct link {
    const struct link_host *host;
    struct out out; /* to be written to */
    uint64_t id;    /* of the connection, unique in the process */
    /* Set by the door while it waits for the rest of a frame: the bytes the whole of it has,
     * counted from the first byte not used; 0 unknown. net makes room for that much. */
    uint32_t need;
    /* The endpoint's output is not `out`, but one of the door's (a session's): net tells it nothing
     * of what was written. */
    bool apart;
    /* A browser's page has it that may come, but not manage the broker. */
    bool is_guest;
    /* Set by the door while it has one: net tells it what was written (core_written) and
     * whether there is room (core_writable); while it is behind, the peer is not read. */
    struct endpoint *endpoint;
};

/* End the connection after what is in the output has been written (shut down for writing
 * first, so that a reset does not destroy the last words). `why` (copied) goes to the log.
 * on_bytes is not called again. */
static inline void link_close(struct link *l, const char *why, enum link_end end)
{
    l->host->close(l, why, end);
}

/* Who is at the other end, for logs: "127.0.0.1:4242", "unix:pid=77,uid=0". */
static inline const char *link_peer(const struct link *l)
{
    return l->host->peer(l);
}

/* As link_close(), but counted as this, and told with a warning. */
static inline void link_refuse(struct link *l, enum door_refusal what, const char *why)
{
    l->host->refuse(l, what, why);
}

/* What its listener was told. */
static inline const struct door_site *link_site(const struct link *l)
{
    return l->host->site(l);
}

/* From within on_bytes(), which returns at once: what follows the bytes it has used is WebSocket,
 * and the connection another door's. */
static inline void link_upgrade(struct link *l, const struct door_upgrade *u)
{
    l->host->upgrade(l, u);
}

/* Have the peer not read from now on, or read again: a door without credit, whose publisher has no
 * room. What is read already, and what on_bytes() left, comes again by itself when it is read
 * again, at the latest in the next turn; so a door that pauses within on_bytes() returns at once
 * with what it has used. At any time, from the core's callbacks too; twice is as once. on_time() is
 * called meanwhile, for the door has to speak; but the peer is not silent then, and the door gives
 * it time after it is read again. */
static inline void link_pause(struct link *l, bool pause)
{
    l->host->pause(l, pause);
}

/* Whether who is at the other end may manage the broker. */
static inline bool link_manages(const struct link *l)
{
    return !l->is_guest && l->host->site && link_site(l)->manages;
}

/* Have on_bytes() called soon, but not from within this, with what it left; perhaps with nothing:
 * to do what could not be done in the core's callbacks. At any time. Doors that WebSockets carry
 * have it not. */
static inline void link_wake(struct link *l)
{
    l->host->wake(l);
}

/* How its endpoint is opened; `name` as in struct endpoint_desc. */
static inline struct endpoint_desc link_desc(const struct link *l, const char *name)
{
    return (struct endpoint_desc){
        .name = name, .publish_rate = l->host->limits.publish_rate, .manages = link_manages(l)};
}

enum door_match { DOOR_NO, DOOR_YES, DOOR_MORE };

/* Where one unit of output ends; the door's own, zero at the beginning of each. */
struct unit_scan {
    uint64_t left, number;
    uint32_t state, at;
};

/* How a door's stream of bytes is cut into messages, for transports that carry such (WebSocket). A
 * unit is the part of the stream that one message carries: an RSocket frame with its length, a line
 * of JSON, a frame of STOMP. Doors write whole units before they say out_end(), and know nothing of
 * the transport. */
struct door_units {
    /* Bytes of a unit that its message does not have: before it (RSocket's length), and behind it
     * (the end of the line). */
    uint8_t front, back;
    bool text;          /* sent as text where it is UTF-8; else always as binary */
    bool may_be_binary; /* though they are text: as binary, where the listener was told so */
    bool binary_only;   /* a text message is none of this protocol's */
    /* Of output: how many of `bytes` (at least one) belong to the unit at which `s` is; all, or as
     * many as there are to its end: then *ret_end. */
    size_t (*scan)(struct unit_scan *s, struct slice bytes, bool *ret_end);
    /* Of input: a message, whole, has `n` bytes at `p`, and room for `front` before and `back`
     * behind them: make a unit of it. With `front`, the message itself stays as it is: it may yet
     * be of another door. -EMSGSIZE: no unit may be so long. */
    int (*make)(uint8_t *p, size_t n);
};

struct door_ops {
    const char *name; /* as in the settings: "rsocket" */
    bool upgrades;    /* it says link_upgrade(): WebSocket begins with it */
    /* Do a connection's first bytes (at least one) speak this protocol? */
    enum door_match (*recognise)(struct slice first);
    /* The door's part of a connection, or NULL without memory. */
    struct door_conn *(*open)(struct link *l);
    /* Bytes arrived; they lie in `block`, which the door may refer to. Act on whole frames,
     * return the bytes used; the rest comes again, with more, at another place. */
    size_t (*on_bytes)(struct door_conn *c, struct slice bytes, struct block *block);
    /* Time passed: keep-alives and deadlines. Returns when to be called again at the latest
     * (core_now's clock), INT64_MAX if never. Called at least that often, never too early by
     * more than the wheel's step; but not while net does not read the peer, nor until it has
     * read it again. The first call follows open(). */
    int64_t (*on_time)(struct door_conn *c, int64_t now_ms);
    /* The broker is about to stop: tell the peer, take nothing new. */
    void (*on_drain)(struct door_conn *c);
    /* The peer has ended its direction: what on_bytes() left is all that there will be. It may wait
     * for answers, or have gone altogether; nobody can tell. The door closes the link, now or when
     * what is under way has been answered; net does after a while. It gives the peer nothing that
     * would be lost with it. NULL: net closes now. */
    void (*on_eof)(struct door_conn *c);
    /* Whether the handshake is done: until then first-frame limits and time-out apply. */
    bool (*established)(const struct door_conn *c);
    /* The connection is gone: close the endpoint, free the door's part. */
    void (*free)(struct door_conn *c);
    /* Whether it has nothing open but streams that publish, and all it holds is its own memory: so
     * that connection and endpoint may go to another worker. Then host and id of its link are
     * others. NULL: it never may. */
    bool (*may_move)(const struct door_conn *c);
    /* It judges itself how the peer takes its answers: on_time() is called also while that is not
     * read because it does not. */
    bool is_watchful;
    /* NULL: it is not carried by WebSocket. */
    const struct door_units *units;
    /* Its first bytes were recognised, but its listener does not serve it: say so (`text`, a line
     * without its end) in its own words, into `o`. NULL: it is said as a line of text. */
    void (*turn_away)(struct out *o, const char *text);
    /* Whether connections that begin so belong together on one worker: those with the same name,
     * bytes of `first`. DOOR_MORE: that cannot be told yet. NULL: they never do. Asked before
     * open(), which then is called there. */
    enum door_match (*home)(struct slice first, struct slice *ret_name);
};

/* All doors of this build, NULL-terminated, in the order they are asked. */
extern const struct door_ops *const doors[];

#endif
