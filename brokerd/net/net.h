/* net.h - listeners and connections: sockets on one side, doors on the other.
 *
 * Why      Doors know protocols and the core knows messages; who connects, how much is read, what
 *          waits to be written and how long that may take is decided here.
 * Shape    Listeners live on worker 0. A connection lives on one worker, with what it needs: its
 *          socket, its output, and a door once its first bytes told which. It hooks into the
 *          workers' turns (worker.h). Closing marks; the end of the turn frees.
 * Owner    struct net is the caller's, from net_new() to net_free().
 * Errors   0 or -errno; texts for a person go into a buffer of the caller's.
 * Thread   Each function says which; "own" as in worker.h. */
#ifndef BROKERD_NET_NET_H
#define BROKERD_NET_NET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "brokerd/doors/door.h"
#include "brokerd/worker/worker.h"

struct net;

enum { NET_TEXT_MAX = 512 }; /* enough for any text below */

/* What connections may ask for; a value, copied. */
struct net_options {
    uint32_t max_connections;  /* of all listeners; UINT32_MAX for no limit */
    int64_t first_frame_ms;    /* until the handshake must be done */
    int64_t linger_ms;         /* to take our last words, after we have decided to close */
    int64_t websocket_ping_ms; /* a silent WebSocket is pinged so often; INT64_MAX: never */
    struct door_limits door;
    struct inlets *inlets; /* webhooks in (doors/inlet.h), of all connections; net takes references
                            * of its own. NULL: none */
};

/* Why a connection ended, or was refused. X(NAME, word, meaning): the word labels counters. */
#define NET_END_LIST(X)                                                                            \
    X(PEER, "peer", "the peer closed the connection")                                              \
    X(ASKED, "asked", "the peer asked for it in its protocol")                                     \
    X(DOOR, "protocol", "the peer broke the protocol, or a limit of it")                           \
    X(RESET, "reset", "the connection failed")                                                     \
    X(CUT, "cut", "the peer closed the connection in the middle of a frame")                       \
    X(UNKNOWN, "unknown-protocol", "the first bytes are of no protocol served here")               \
    X(NARROWED, "protocol-not-served", "it speaks a protocol that the listener does not serve")    \
    X(TLS, "tls", "it speaks TLS, which is not served here")                                       \
    X(ORIGIN, "origin", "a page of an origin that may not come")                                   \
    X(HTTP, "http", "an HTTP request that breaks the rules")                                       \
    X(SILENT, "silent", "it was silent for too long")                                              \
    X(IDLE, "idle", "it asked for nothing more for so long as that is borne")                      \
    X(FIRST_TIME, "first-frame-time", "no complete first frame in time")                           \
    X(FIRST_SIZE, "first-frame-size", "the first frame is too large")                              \
    X(MEMORY, "memory", "there was no memory")                                                     \
    X(KILLED, "killed", "an administrator closed it")                                              \
    X(DRAINED, "drained", "the broker drains or stops")                                            \
    X(MAX_CONNECTIONS, "max-connections", "there were too many connections")                       \
    X(NO_DESCRIPTOR, "no-descriptor", "the process had no file descriptor left")

enum net_end {
#define X(name, word, meaning) NET_END_##name,
    NET_END_LIST(X)
#undef X
        NET_ENDS
};

const char *net_end_name(enum net_end end); /* the word; static */
const char *net_end_text(enum net_end end); /* the meaning; static */

/* ------------------------------------------------------------------------------- the process */

/* Hook a net into each worker of `ws`, which must outlive it; none may run yet. -ENOMEM; -EIO: no
 * random numbers. */
int net_new(struct workers *ws, const struct net_options *o, struct net **ret);

/* Close what is left and free all. After workers_join(), before workers_free(). */
void net_free(struct net *net);

/* Other limits, for connections from now on; other inlets, for all from the next turn of each
 * worker on. Any thread. -ENOMEM: some workers may have them. */
int net_configure(struct net *net, const struct net_options *o);

struct net_listener_desc {
    const char *name;             /* for texts, e.g. its URL as the settings have it */
    const char *host;             /* TCP: name or address, without brackets; NULL: UNIX */
    uint16_t port;                /* TCP: 0 for any free one */
    const char *path;             /* UNIX */
    const char *const *protocols; /* names of doors, or "websocket"; none: all */
    size_t n_protocols;
    const char *const *origins; /* as struct door_site has them, and the next three; copied */
    size_t n_origins;
    bool echo, stomp_binary, manages;
};

/* Open a listener: each address that a name stands for. On worker 0's thread, or before
 * workers_start(). -errno, and `err` says what could not be done. */
int net_listen(struct net *net, const struct net_listener_desc *d, char *err, size_t err_size);

/* Take over a listening socket that another process opened (socket activation). `desc` may have
 * protocols; its name is for texts. As net_listen(). */
int net_adopt(struct net *net, int fd, const struct net_listener_desc *d, char *err,
              size_t err_size);

/* The URL of a listening socket, as clients may use it: "tcp://127.0.0.1:7070". -errno. */
int net_socket_url(int fd, char *buf, size_t size);

/* How many listening sockets there are, and the URL of one, with its real port; borrowed. Before
 * workers_start(), or own of worker 0. */
size_t net_listeners(const struct net *net);
const char *net_listener_url(const struct net *net, size_t i);

/* Begin to drain: listeners are closed, doors and the core told. Any thread. -ENOMEM: some worker
 * was not reached; call it again. */
int net_drain(struct net *net);

/* Close all connections, in random order over `over_ms` (0: now), after what waits to be written,
 * for at most linger_ms each. Any thread. -ENOMEM as net_drain(). */
int net_close_all(struct net *net, int64_t over_ms);

/* Connections there are now, accepted ones not yet handed to their worker included. Any thread. */
unsigned net_connections(const struct net *net);

/* ------------------------------------------------------------------------------- one worker's */

struct net_stats {
    uint64_t accepted;
    uint64_t handed_over; /* of them, to another worker */
    uint64_t ended[NET_ENDS];
    uint64_t bytes_in, bytes_out;
    uint64_t reads, writes;  /* system calls */
    uint64_t moved;          /* connections that came here after their messages */
    uint64_t moves_given_up; /* connections that did not come to rest in time for that */
    uint64_t reads_paused;   /* connections not read because they do not take their answers */
    uint64_t output_blocked; /* times a socket took not all */
};

/* What it has done so far. Own of worker `id`. */
struct net_stats net_worker_stats(const struct net *net, unsigned id);

/* What the doors of worker `id` have counted beside that (DOOR_COUNT_LIST), above 0: by its word.
 * Own of that worker. */
typedef void net_count_fn(void *ctx, const char *word, uint64_t n);
void net_door_counts(const struct net *net, unsigned id, net_count_fn *fn, void *ctx);

struct net_conn_info {
    uint64_t id;
    const char *peer, *door; /* borrowed; door "" while it is not known */
    const char *state;       /* static: "new", "open", "closing" */
    int64_t since_ms;        /* wall clock */
    uint64_t bytes_in, bytes_out;
    size_t pending_out;              /* bytes that wait to be written */
    bool is_reading;                 /* false: not read until it takes its answers */
    const struct endpoint *endpoint; /* borrowed; NULL: it has none (yet) */
};

/* Tell each connection of worker `id`; the info is borrowed for the call. Own of that worker. */
typedef void net_conn_fn(void *ctx, const struct net_conn_info *info);
void net_each_connection(const struct net *net, unsigned id, net_conn_fn *fn, void *ctx);

/* The worker a connection lives on, by its id: one that moves gets another. */
unsigned net_connection_worker(uint64_t id);

/* Close a connection. Own of its worker. -ENOENT. */
int net_kill(struct net *net, uint64_t id);

#endif
