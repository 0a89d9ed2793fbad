/* client.h - the inside of a handle: what the files of this folder share.
 *
 * Shape    One single-threaded engine: a link (socket, buffers), streams by id, and four kinds of
 *          things that own a stream (publisher, subscription, request, and nothing else). In
 *          thread mode a mutex guards all of it, and the library's thread is the only one that
 *          reads, writes and calls callbacks; without a thread, the caller is.
 *
 *            broker_*  (public functions: check, lock, call in)
 *              publisher.c  subscription.c  request.c      what users hold
 *              streams.c                                    ids, frames to their stream
 *              engine.c                                     states, timers, turns, callbacks
 *              link.c  resolve.c                            one socket at a time
 *              outq.c  metadata.c  message.c  options.c     pieces
 * Callbacks  Between cl_callback_begin() and _end() the lock is open: whoever calls one must look
 *          again afterwards. What cannot change meanwhile: the link (only the engine closes it) and
 *          the thing whose callback runs (freeing marks it; the engine frees).
 * Errors   BROKER_* codes; cl_fail() notes the details.
 * Thread   All functions: with the lock held, if there is a thread. */
#ifndef BROKER_CLIENT_CLIENT_H
#define BROKER_CLIENT_CLIENT_H

#include <pthread.h>
#include <stdatomic.h>
#include <sys/queue.h>
#include <sys/socket.h>

#include "broker.h"
#include "libbroker/base/slice.h"
#include "libbroker/client/outq.h"
#include "libbroker/wire/reassembly.h"
#include "libbroker/wire/rsocket.h"

#define CL_NEVER INT64_MAX

enum {
    CL_URLS_MAX = 16,
    CL_TEXT_MAX = 512,        /* bytes of an error text, terminator included */
    CL_ADDRS_MAX = 8,         /* of one host name */
    CL_REQUESTS_MAX = 4096,   /* under way at once */
    CL_CALLS_MAX = 4096,      /* of this program's own, open at once */
    CL_ASKED_MAX = 4096,      /* of others, whose requests have not been read completely */
    CL_DRAIN_MS = 5000,       /* how long streams may run on after the broker's CONNECTION_CLOSE */
    CL_FLUSH_AT = 64 * 1024,  /* bytes that gather before a call writes by itself */
    CL_WRITE_MAX = 1 << 20,   /* bytes of one write */
    CL_METADATA_MAX = 1 << 17 /* bytes of metadata beside max_message when reassembling */
};

/* ---- Pieces ---- */

/* Bytes that grow. */
struct cl_buf {
    uint8_t *p;
    size_t n, cap;
};

/* Room for `n` more bytes; NULL without memory. */
uint8_t *cl_buf_reserve(struct cl_buf *buf, size_t n);

struct cl_url {
    char *text; /* as given */
    char *host; /* tcp */
    char *port; /* tcp */
    char *path; /* unix; else NULL */
};

/* Options, checked and with their defaults. Strings are owned. */
struct cl_options {
    struct broker_options o; /* url, name and data_type point into what follows */
    char *name, *data_type;
    struct cl_url urls[CL_URLS_MAX];
    unsigned n_urls;
};

/* Check and copy. On failure `text` gets the details and *ret is empty. */
int cl_options_init(const struct broker_options *o, struct cl_options *ret, char *text, size_t len);
void cl_options_fini(struct cl_options *o);

struct cl_addr {
    struct sockaddr_storage sa;
    socklen_t len;
};

/* A name being resolved, on a thread of its own: getaddrinfo() may take as long as it likes. */
struct cl_resolve;

/* Start; `wake_fd` (an eventfd, duplicated) is written to when it is done. BROKER_SYSTEM,
 * BROKER_NO_MEMORY. */
int cl_resolve_start(const char *host, const char *port, int wake_fd, struct cl_resolve **ret);

/* 0 not done yet; 1 done, up to CL_ADDRS_MAX in ret_addrs; BROKER_NAME it failed, *ret_why says
 * why (static text). */
int cl_resolve_take(struct cl_resolve *r, struct cl_addr *ret_addrs, unsigned *ret_n,
                    const char **ret_why);

/* Let go of it; the thread ends when it ends. NULL is fine. */
void cl_resolve_free(struct cl_resolve *r);

/* ---- Streams ---- */

enum cl_stream_kind { CL_REQUEST, CL_SUBSCRIPTION, CL_PUBLISHER, CL_CALL, CL_SERVICE };

struct cl_stream {
    uint32_t id; /* 0: none on this connection */
    enum cl_stream_kind kind;
    struct cl_stream *next; /* in its bucket */
    struct reassembly re;
};

struct cl_streams {
    struct cl_stream **bucket; /* n_buckets, a power of two */
    size_t n_buckets, count;
    struct cl_stream *last_used; /* of the frame before; NULL when it is gone */
    uint32_t next_id;
};

/* ---- Things that own a stream ---- */

struct cl_request; /* request.c */

TAILQ_HEAD(cl_publishers, broker_publisher);
TAILQ_HEAD(cl_subscriptions, broker_subscription);
TAILQ_HEAD(cl_requests, cl_request);
TAILQ_HEAD(cl_calls, broker_call);
TAILQ_HEAD(cl_services, broker_service);

/* ---- The link: one socket at a time ---- */

enum cl_link_state {
    CL_LINK_NONE,       /* no socket, nothing under way */
    CL_LINK_RESOLVING,  /* waits for a name */
    CL_LINK_CONNECTING, /* connect() is under way */
    CL_LINK_OPEN,       /* SETUP is sent (or queued); `established` once the broker has spoken */
    CL_LINK_ENDING,     /* all is written, our side is shut; reads until the broker's end */
};

struct cl_link {
    enum cl_link_state state;
    bool established;
    bool want_write;    /* the epoll set waits for room */
    bool draining;      /* the broker said CONNECTION_CLOSE */
    bool leaving;       /* nothing more is written; what the broker has written is read */
    int fd;             /* -1: none */
    int lost;           /* BROKER_* of a failure, which the turn deals with; 0: none */
    bool lost_for_good; /* and no further attempt can mend it */
    char lost_text[CL_TEXT_MAX];
    int left_for; /* leaving: the same, to come */
    char left_text[CL_TEXT_MAX];
    struct cl_resolve *resolve;
    struct cl_addr addr[CL_ADDRS_MAX];
    unsigned n_addrs, next_addr;
    int64_t deadline; /* of connecting, establishing, draining or ending; CL_NEVER */
    int64_t last_rx;  /* when something was last read */
    int64_t keepalive_at;
    uint8_t *in; /* in_cap bytes, in_n of them read and not parsed */
    size_t in_n, in_cap;
    struct cl_outq ctl;  /* all but what publishers hold */
    uint64_t queued;     /* bytes that ever were put there; goes on over connections */
    uint64_t written;    /* of them, written before the link was closed */
    struct cl_outq *cut; /* was written in the middle of a frame: it goes on first */
};

struct broker {
    struct cl_options opt;
    enum broker_state state;
    struct cl_link link;
    struct cl_streams streams;
    struct cl_publishers publishers;
    struct cl_publishers dirty_publishers; /* these have something to write */
    struct cl_subscriptions subscriptions;
    struct cl_subscriptions dirty_subscriptions; /* these have verbs to write */
    struct cl_requests requests;
    unsigned n_requests;
    struct cl_calls calls;
    struct cl_calls over_calls; /* on_end is still to be told */
    struct cl_calls gone_calls; /* given back: freed at the end of the turn */
    struct cl_services services;
    struct cl_services gone_services;
    unsigned n_calls;       /* of this program's own, not over */
    unsigned n_asked;       /* of others, whose requests are incomplete */
    bool starved_calls;     /* some wait for room in link.ctl */
    int64_t calls_due;      /* no call is due before */
    int64_t requests_due;   /* no request is due before */
    int64_t publishers_due; /* no publisher is */

    unsigned url;         /* index of the address in use */
    unsigned tried;       /* addresses tried in this round */
    unsigned attempts;    /* in a row, without success */
    uint32_t backoff_ms;  /* the next delay's ceiling */
    int64_t reconnect_at; /* CL_NEVER */
    int64_t close_at;     /* closing: the last moment; CL_NEVER */
    uint64_t random;      /* state of the jitter */
    int last_error;       /* why the handle closed */
    bool leaving;         /* broker_drain() was called: the connection at hand is the last */
    bool closing;         /* broker_close() was called: takes nothing new */
    bool ended;           /* stop at once, however much waits */
    bool closed;          /* CLOSED was told: nothing happens any more */

    struct cl_buf scratch;       /* metadata of the call at hand */
    struct broker_message *lent; /* the message that callbacks see */
    char text[CL_TEXT_MAX];      /* broker_errmsg() */

    int epoll_fd, event_fd;
    bool threaded, stop;
    bool reap;               /* something was given back and waits for the end of the turn */
    bool in_turn;            /* inside broker_process() or the thread's turn */
    unsigned in_callback;    /* depth */
    const void *callback_of; /* the subscription or publisher whose callback runs */
    bool needs_wake;         /* the driver sleeps: whoever adds work must wake it */
    unsigned waiters;        /* threads in cl_wait_until() */
    broker_wake_fn *wake_fn;
    void *wake_user;
    pthread_t thread;
    pthread_mutex_t mutex;
    pthread_cond_t cond;
};

/* ---- engine.c ---- */

int64_t cl_now_ms(void);

static inline void cl_lock(const broker *b)
{
    if (b->threaded)
        pthread_mutex_lock((pthread_mutex_t *)&b->mutex);
}

static inline void cl_unlock(const broker *b)
{
    if (b->threaded)
        pthread_mutex_unlock((pthread_mutex_t *)&b->mutex);
}

/* Note the details of a failure for broker_errmsg(); returns `code`. */
int cl_fail(broker *b, int code, const char *format, ...) __attribute__((format(printf, 3, 4)));

/* Open the lock for a callback of `of` (a subscription, a publisher; NULL: of the handle). */
void cl_callback_begin(broker *b, const void *of);
void cl_callback_end(broker *b);

/* Does the calling thread run a callback of this handle, so that it must not wait? */
bool cl_in_callback(const broker *b);

/* Wait until the callback of `of` that another thread runs, if any, has returned. */
void cl_wait_callback(broker *b, const void *of);

/* Wait, driving the engine or letting the thread do it, until `done(arg)` or `deadline`
 * (milliseconds as cl_now_ms(), or CL_NEVER). BROKER_OK, BROKER_TIMED_OUT, BROKER_IN_CALLBACK
 * (only if it is not done already). */
int cl_wait_until(broker *b, bool (*done)(void *), void *arg, int64_t deadline);

/* A timeout of the public functions as a deadline. */
int64_t cl_deadline(int timeout_ms);

/* Something was queued or has become due: wake the driver if it sleeps. */
void cl_wake_driver(broker *b);

static inline void cl_poke(broker *b)
{
    if (b->needs_wake)
        cl_wake_driver(b);
}

/* BROKER_OK if new work is taken, else BROKER_CLOSED. */
int cl_check_open(broker *b);

/* What the descriptors are ready for. */
enum { CL_READABLE = 1, CL_WRITABLE = 2 };

/* Wait up to `timeout_ms` (-1: without end) for the descriptors, with the lock open, and take
 * notice of wake-ups; returns CL_READABLE and CL_WRITABLE as they are. */
unsigned cl_sleep(broker *b, int timeout_ms);

/* One turn: timers, read, dispatch, write. `ready` as cl_sleep() said. */
void cl_turn(broker *b, unsigned ready);

/* Milliseconds until the next turn is due; -1: none is. */
int cl_timeout(const broker *b);

/* The link is open (SETUP is queued): everything that wants a stream opens it. */
void cl_engine_opened(broker *b);

/* The broker has spoken: the connection counts as made. */
void cl_engine_established(broker *b);

/* The connection is lost or could not be made: the turn at hand will deal with it. Only the first
 * call counts. `error` BROKER_*. */
void cl_link_fail(broker *b, int error, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* ---- link.c ---- */

void cl_link_init(struct cl_link *l);
void cl_link_fini(broker *b);

/* Start on address b->url. Failures come as cl_link_fail() in this or a later turn. */
void cl_link_start(broker *b);

/* What connecting is waiting for may have happened. `ready` as cl_sleep() said. */
void cl_link_step(broker *b, unsigned ready);

/* Have the epoll set wait for room in the socket, or not. */
void cl_link_want_write(broker *b, bool want);

/* Close the socket, forget what was to be written and read. */
void cl_link_close(broker *b);

/* Read what there is and dispatch it. */
void cl_link_read(broker *b);

/* Write what the socket takes. A failure is noted by cl_link_fail(). */
void cl_link_flush(broker *b);

/* Tell the broker why we are about to close, as far as the socket takes it at once. */
void cl_link_goodbye(broker *b, const char *text);

/* Shut our side once all is written: the orderly end. */
void cl_link_end(broker *b);

/* Write nothing more, but read what is on its way until the other side has closed, or a while: to
 * the broker what it has written is settled, where acks are automatic. `error` and the text are why
 * the link is then lost. */
void cl_link_leave(broker *b, int error, const char *text);

/* Bytes that may be written and are not. */
bool cl_link_pending(const broker *b);

/* Room for `n` bytes of whole frames, NULL without memory or link; then cl_ctl_commit(). */
uint8_t *cl_ctl_reserve(broker *b, size_t n);
void cl_ctl_commit(broker *b, size_t n);

/* May `n` more bytes wait to be written? The first always may; writes, if that helps. */
bool cl_ctl_has_room(broker *b, size_t n);

/* Write whole frames at once if CL_FLUSH_AT bytes have gathered and nobody else writes. */
void cl_maybe_flush(broker *b, size_t pending);

/* ---- streams.c ---- */

int cl_streams_init(struct cl_streams *s);
void cl_streams_fini(struct cl_streams *s);

/* Give `st` an id and enter it. BROKER_NO_MEMORY, BROKER_NO_CREDIT without an id left. */
int cl_stream_open(broker *b, struct cl_stream *st);

/* An id for a request that is never answered; 0 if there is none. */
uint32_t cl_stream_id(broker *b);

/* Enter `st` under an id of the broker's choice. BROKER_PROTOCOL it is in use, or odd. */
int cl_stream_accept(broker *b, struct cl_stream *st, uint32_t id);

/* Take `st` out; its id is 0 afterwards and its fragments are gone. */
void cl_stream_close(broker *b, struct cl_stream *st);

/* Forget every stream of a lost connection: the owners' cl_stream.id are theirs to clear with
 * cl_stream_close() first. */
void cl_streams_reset(broker *b);

struct cl_stream *cl_stream_find(struct cl_streams *s, uint32_t id);

/* Hand one frame on a stream (not 0) to its owner. */
void cl_stream_frame(broker *b, const struct rs_frame *f);

/* Queue a request of `type` with `metadata` and `data`, cut into frames if need be. `n`: initial
 * request n. BROKER_NO_MEMORY. */
int cl_send_request(broker *b, enum rs_type type, uint32_t id, uint32_t n, struct slice metadata,
                    struct slice data);
/* Queue any request or PAYLOAD, cut into frames if need be. BROKER_NO_MEMORY. */
int cl_send_cut(broker *b, const struct rs_frame *f);
int cl_send_request_n(broker *b, uint32_t id, uint32_t n);
int cl_send_cancel(broker *b, uint32_t id);
int cl_send_cancel_if_open(broker *b, const struct cl_stream *st);
int cl_send_error(broker *b, uint32_t id, uint32_t code, const char *text);

/* What an ERROR frame means: BROKER_REFUSED or BROKER_FAILED.., reason and text (NUL-terminated, in
 * `buf` of CL_TEXT_MAX). */
int cl_error_of(const struct rs_frame *f, int *ret_reason, char *buf);

/* ---- metadata.c: composite metadata into b->scratch ---- */

/* Each appends one item; BROKER_INVALID what cannot be encoded, BROKER_NO_MEMORY. */
int cl_meta_route(broker *b, const char *prefix, struct slice name);
int cl_meta_tags(broker *b, const char *prefix, struct slice first, const char *const *more,
                 size_t n_more);
int cl_meta_topic(broker *b, struct slice topic);
int cl_meta_publish(broker *b, const struct broker_publish_options *o);
int cl_meta_settings(broker *b, const struct broker_header *settings, size_t count,
                     const struct broker_header *extra);
/* What goes with a message of a call; `wait_ms` 0: not said. */
int cl_meta_call(broker *b, const char *content_type, const struct broker_header *headers,
                 size_t count, uint32_t wait_ms);

/* Empty it. */
static inline void cl_meta_begin(broker *b)
{
    b->scratch.n = 0;
}

static inline struct slice cl_meta(const broker *b)
{
    return slice_of(b->scratch.p, b->scratch.n);
}

/* Check a name; the details go to broker_errmsg(). BROKER_OK or BROKER_INVALID. */
int cl_check_topic(broker *b, struct slice topic, bool to_queue);
int cl_check_filter(broker *b, const char *filter);

/* Used by link.c for the hot path: the run of plain payloads at the front of `buf`, all for
 * subscription stream `st`; returns the bytes used, 0 if the first needs the general way. */
size_t cl_subscription_run(broker *b, struct cl_stream *st, const uint8_t *buf, size_t len);

/* ---- what the engine tells owners ---- */

/* Link up: ask again for a stream. Link lost: the stream is gone. Frame: reassembled, for this
 * stream; the owner may close the stream. */
void cl_publisher_frame(broker *b, struct cl_stream *st, const struct rs_frame *f);
void cl_publishers_opened(broker *b);
void cl_publishers_lost(broker *b);
void cl_publishers_tick(broker *b, int64_t now);
bool cl_publishers_settled(const broker *b, bool sent_only);
void cl_publishers_reap(broker *b); /* free what was given back during the turn */
void cl_publishers_end(broker *b, int error);

/* What the dirty publishers have to write, for the link. */
struct cl_outq *cl_publisher_outq(broker_publisher *p);
broker_publisher *cl_publisher_next_dirty(broker_publisher *p);
void cl_publishers_written(broker *b); /* those with nothing left leave the list */

void cl_subscription_frame(broker *b, struct cl_stream *st, const struct rs_frame *f);
void cl_subscriptions_opened(broker *b);
void cl_subscriptions_lost(broker *b);
void cl_subscriptions_flush(broker *b); /* queue the verbs that have gathered */
void cl_subscriptions_reap(broker *b);  /* free what was given back during the turn */
void cl_subscriptions_end(broker *b, int error);

void cl_requests_opened(broker *b);
bool cl_requests_sent(const broker *b); /* is one under way? */
void cl_requests_lost(broker *b);
void cl_request_frame(broker *b, struct cl_stream *st, const struct rs_frame *f);
void cl_requests_tick(broker *b, int64_t now);
void cl_requests_end(broker *b, int error);

void cl_call_frame(broker *b, struct cl_stream *st, const struct rs_frame *f);
void cl_call_break(broker *b, struct cl_stream *st, const char *text); /* what came is at fault */
void cl_call_request(broker *b, const struct rs_frame *f); /* the first frame of a new call */
void cl_calls_opened(broker *b);
void cl_calls_lost(broker *b);
void cl_calls_tick(broker *b, int64_t now);
void cl_calls_end(broker *b, int error);
void cl_calls_tell(broker *b); /* of those that are over, and of room */
void cl_calls_reap(broker *b); /* free what was given back during the turn */
bool cl_calls_sent(const broker *b, bool responses_only); /* is one under way? */

void cl_service_frame(broker *b, struct cl_stream *st, const struct rs_frame *f);
void cl_services_opened(broker *b);
void cl_services_lost(broker *b);

#endif
