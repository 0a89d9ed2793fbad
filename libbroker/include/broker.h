/* broker.h - libbroker: publish to, subscribe at and ask a brokerd, from C and C++.
 *
 * Why      A program should not have to know frames, credit or reconnecting to have its messages
 *          delivered, nor may it lose one without hearing of it.
 * Shape    A `broker` handle is one connection that repairs itself. On it live publishers,
 *          subscriptions (of filters, or of a named queue), requests, and calls to services, as
 *          their caller or their server. Sockets, timers and callbacks are driven in one of three
 *          ways:
 *            1. by a thread of the library's own: broker_start();
 *            2. inside the caller's libevent loop: broker_libevent.h;
 *            3. by the caller: poll broker_fd() for reading, for at most broker_timeout_ms(), then
 *               call broker_process(); or just call broker_wait() again and again.
 * Callbacks  Run on the thread that drives the handle: the library's own (1), the one that runs the
 *          loop (2), the one that calls broker_process(), broker_wait() or any function that
 *          waits (3). No lock is held while a callback runs, so it may call every function of
 *          the handle but those that wait (they answer BROKER_IN_CALLBACK) and broker_free().
 *          A callback that takes long delays everything else on its handle.
 * Owner    Strings and bytes given to a function are copied before it returns. What a callback is
 *          shown lives until the callback returns, unless said otherwise.
 * Errors   0 (BROKER_OK) or a negative BROKER_* code; broker_strerror() has a text for each,
 *          broker_errmsg() the details of the last one on a handle. Outputs (`ret_...`) are
 *          written on success only, unless said otherwise.
 * Thread   After broker_start() every function may be called from every thread. Without it, one
 *          thread at a time uses a handle and all that belongs to it.
 * Time     Waits are in milliseconds on a monotonic clock: BROKER_FOREVER waits without end,
 *          0 does not wait. The clock of the day is never used.
 * Names    Topics, filters, queues and services: UTF-8, 1 to 240 bytes, no blanks or control
 *          characters; services without `/`.
 *
 * "interfaces" below is docs/rsocket.md: the protocol these functions speak. */
#ifndef BROKER_H
#define BROKER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#if defined(__GNUC__)
#define BROKER_API __attribute__((visibility("default")))
#else
#define BROKER_API
#endif

#ifdef __cplusplus
extern "C" {
#endif

#define BROKER_VERSION_MAJOR 0
#define BROKER_VERSION_MINOR 1
#define BROKER_VERSION_PATCH 0

#define BROKER_DEFAULT_URL "tcp://127.0.0.1:7070"
#define BROKER_FOREVER (-1)          /* a timeout: wait without end */
#define BROKER_UNLIMITED 0x7fffffffu /* a credit: as much as comes */

typedef struct broker broker;                           /* a connection that repairs itself */
typedef struct broker_publisher broker_publisher;       /* a stream of messages up */
typedef struct broker_subscription broker_subscription; /* a stream of messages down */
typedef struct broker_message broker_message;           /* a message that arrived; immutable */
typedef struct broker_call broker_call;       /* one call, as its caller or its server sees it */
typedef struct broker_service broker_service; /* a service that this program offers */

/* ------------------------------------------------------------------------------- errors --- */

/* Codes of errors: X(name, number, text). */
#define BROKER_ERRORS(X)                                                                           \
    X(OK, 0, "success")                                                                            \
    X(NO_MEMORY, -1, "out of memory")                                                              \
    X(INVALID, -2, "invalid argument")                                                             \
    X(TIMED_OUT, -3, "timed out")                                                                  \
    X(NO_CREDIT, -4, "no credit: the broker or the outbox takes no more for now")                  \
    X(DISCONNECTED, -5, "not connected, or the connection was lost before the answer")             \
    X(UNREACHABLE, -6, "the broker cannot be reached")                                             \
    X(SETUP_REFUSED, -7, "the broker refused the connection")                                      \
    X(PROTOCOL, -8, "the other side does not keep to the protocol")                                \
    X(REFUSED, -9, "the broker refused; the reason says why")                                      \
    X(FAILED, -10, "the broker took it, but failed on the way")                                    \
    X(TOO_LARGE, -11, "larger than the largest message")                                           \
    X(CLOSED, -12, "closed")                                                                       \
    X(ENDED, -13, "the stream has ended")                                                          \
    X(GAP, -14, "messages were lost before the next one")                                          \
    X(STALE, -15, "delivered on an earlier connection: the queue delivers it again")               \
    X(IN_CALLBACK, -16, "would wait, and waiting inside a callback is not possible")               \
    X(UNSUPPORTED, -17, "not supported by this library")                                           \
    X(SYSTEM, -18, "the operating system failed")                                                  \
    X(BUSY, -19, "another thread drives this handle")                                              \
    X(NAME, -20, "the host's name cannot be resolved")                                             \
    X(KEEPALIVE, -21, "the broker was silent for too long")                                        \
    X(DRAINING, -22, "the broker is about to stop and asked to go elsewhere")                      \
    X(CANCELED, -23, "canceled")

enum broker_error {
#define BROKER_X(name, number, text) BROKER_##name = number,
    BROKER_ERRORS(BROKER_X)
#undef BROKER_X
};

/* Why the broker did not take a message or a request (1 to 12), or lost it afterwards (20 to 27):
 * X(name, number, word). The same words are used on every protocol and in every counter. */
#define BROKER_REASONS(X)                                                                          \
    X(NONE, 0, "none")                                                                             \
    X(NO_MATCH, 1, "no-match")                                                                     \
    X(FULL, 2, "full")                                                                             \
    X(MEMORY, 3, "memory")                                                                         \
    X(NO_CREDIT, 4, "no-credit")                                                                   \
    X(LIMIT, 5, "limit")                                                                           \
    X(STORE, 6, "store")                                                                           \
    X(DRAINING, 7, "draining")                                                                     \
    X(NO_SERVER, 8, "no-server")                                                                   \
    X(DENIED, 9, "denied")                                                                         \
    X(NOT_FOUND, 10, "not-found")                                                                  \
    X(INVALID, 11, "invalid")                                                                      \
    X(TOO_LARGE, 12, "too-large")                                                                  \
    X(DROP_OLDEST, 20, "drop-oldest")                                                              \
    X(DROP_NEWEST, 21, "drop-newest")                                                              \
    X(EXPIRED, 22, "expired")                                                                      \
    X(ATTEMPTS, 23, "attempts")                                                                    \
    X(REJECTED, 24, "rejected")                                                                    \
    X(PURGED, 25, "purged")                                                                        \
    X(DELETED, 26, "deleted")                                                                      \
    X(DISCONNECTED, 27, "disconnected")                                                            \
    X(NODE, 28, "node")

enum broker_reason {
#define BROKER_X(name, number, word) BROKER_REASON_##name = number,
    BROKER_REASONS(BROKER_X)
#undef BROKER_X
};

/* A static sentence for a BROKER_* code, never NULL; codes nobody knows get one too. Any thread. */
BROKER_API const char *broker_strerror(int code);

/* The name of a BROKER_* code without its prefix, "NO_CREDIT"; "UNKNOWN" for others. Any thread. */
BROKER_API const char *broker_errname(int code);

/* The word for a reason, "full"; "unknown" for a number that is not in the list. Any thread. */
BROKER_API const char *broker_reason_word(int reason);

/* The reason whose word stands at the beginning of `text` (`full: queue "orders" is full`) and
 * ends there or is followed by ':' or a blank; BROKER_REASON_NONE if there is none. `text` may be
 * NULL. Any thread. */
BROKER_API int broker_reason_of(const char *text);

/* What last went wrong on `b`, in words, to be shown behind broker_strerror(): which host, which
 * route, the broker's own text. Empty if nothing did; never NULL. The text is a copy that stays
 * as it is until this thread calls broker_errmsg() again. Any thread. */
BROKER_API const char *broker_errmsg(const broker *b);

/* The library's version, "0.1.0". Any thread. */
BROKER_API const char *broker_version(void);

/* ------------------------------------------------------------------------------- handle --- */

enum broker_state {
    BROKER_STATE_IDLE,         /* made, not asked to connect yet */
    BROKER_STATE_CONNECTING,   /* resolving, connecting, waiting for the broker's first frame */
    BROKER_STATE_CONNECTED,    /* the broker has answered */
    BROKER_STATE_DISCONNECTED, /* the connection was lost or could not be made: `error`, `text` */
    BROKER_STATE_RECONNECTING, /* the next attempt comes in `delay_ms` */
    BROKER_STATE_CLOSED,       /* broker_close(), or an error that no further attempt can mend */
};

/* A change of state. */
struct broker_event {
    enum broker_state state;
    int error;         /* DISCONNECTED, CLOSED: a BROKER_* code; else BROKER_OK */
    const char *text;  /* details, never NULL; until the callback returns */
    const char *url;   /* the address concerned, never NULL; until the callback returns */
    uint32_t delay_ms; /* RECONNECTING: until the next attempt */
};

/* Told of each change of state, in order. CLOSED is the last. See "Callbacks" above. */
typedef void broker_state_fn(broker *b, const struct broker_event *ev, void *user);

/* How to connect. Zero or NULL means the default, so `(struct broker_options){0}` will do. */
struct broker_options {
    /* One or more addresses, comma or blank between them, tried in turn: tcp://HOST:PORT,
     * tcp://[V6]:PORT, unix:///PATH. The port's default is 7070. Default: the environment's
     * BROKER_URL, else BROKER_DEFAULT_URL. */
    const char *url;
    const char *name; /* what the broker calls this client in its lists; default: none */
    /* Content type of messages published without one, and of received ones that do not say;
     * default application/octet-stream. */
    const char *data_type;

    uint32_t keepalive_ms; /* how often to send a keep-alive; default 20000 */
    uint32_t lifetime_ms;  /* silence after which the broker is taken for dead; default 90000 */
    uint32_t connect_ms;   /* for one attempt at one address, resolving included; default 10000 */

    /* The first delay before another attempt (default 100) doubles up to the second (default
     * 10000); what is really waited is drawn at random from the upper half. */
    uint32_t reconnect_min_ms;
    uint32_t reconnect_max_ms;
    uint32_t max_attempts; /* attempts in a row without success before CLOSED; default: no end */
    bool no_reconnect;     /* a lost connection closes the handle */

    size_t outbox_messages; /* unsettled messages that a publisher keeps; default 65536 */
    /* And their bytes; also the limit of what waits to be written. Default 16 MiB. One message
     * always fits, whatever its size. */
    size_t outbox_bytes;
    size_t max_message; /* largest message sent or taken, bytes; default 64 MiB */
    size_t max_frame;   /* what is larger is cut; 64 to 16777215 bytes, default 1 MiB */

    broker_state_fn *on_state; /* may be NULL */
    void *user;                /* given to on_state */
    void *reserved[4];         /* must be NULL */
};

/* Make a handle in *ret_b; the caller frees it. Nothing is connected yet. `o` may be NULL for all
 * defaults. BROKER_INVALID an option out of range or an address that cannot be read,
 * BROKER_UNSUPPORTED tls://, ws://, wss:// (*ret_b is not set: `text` of `len` bytes, if not NULL,
 * gets the details), BROKER_NO_MEMORY, BROKER_SYSTEM. */
BROKER_API int broker_new(const struct broker_options *o, broker **ret_b, char *text, size_t len);

/* Close at once and free `b` with every publisher, subscription, request, call and service left on
 * it; their pointers, and `b`, are invalid afterwards. Callbacks of what was not finished are
 * called with BROKER_CLOSED first. Stops the library's thread. Not from a callback. NULL is fine.
 * Messages kept with broker_message_ref() stay valid. */
BROKER_API void broker_free(broker *b);

/* Start to connect, and wait up to `timeout_ms` until the broker has answered; with 0 return at
 * once. What is published, subscribed or requested before is sent when the connection is up.
 * BROKER_TIMED_OUT attempts go on; BROKER_UNREACHABLE, BROKER_SETUP_REFUSED.. where no further
 * attempt is made (no_reconnect, max_attempts), BROKER_CLOSED, BROKER_IN_CALLBACK. */
BROKER_API int broker_connect(broker *b, int timeout_ms);

/* Tell the broker that this program is about to stop: no new calls come to its services, nothing
 * new may be begun (BROKER_CLOSED), and what is under way goes on. The broker ends the connection
 * when nothing is left; it is not made again. broker_close() and broker_free() as ever. A server
 * that is replaced does this, so that no call is refused. BROKER_DISCONNECTED there is no
 * connection: nothing has changed; BROKER_CLOSED, BROKER_NO_MEMORY. */
BROKER_API int broker_drain(broker *b);

/* End in good order: wait up to `timeout_ms` for what was published to settle and for everything
 * to be written, then close. Takes nothing new meanwhile. The handle stays, closed, until
 * broker_free(). BROKER_TIMED_OUT closed, but something did not settle; BROKER_IN_CALLBACK unless
 * timeout_ms is 0. */
BROKER_API int broker_close(broker *b, int timeout_ms);

/* The state as of now. */
BROKER_API enum broker_state broker_state(const broker *b);

/* The address of the connection there is, or the one tried next; until the handle is freed. */
BROKER_API const char *broker_url(const broker *b);

/* The pointer given in broker_options.user. */
BROKER_API void *broker_user(const broker *b);

/* --------------------------------------------------------------------------- driving it --- */

/* Let a thread of the library's own drive `b` from now on; callbacks run on it. Once, before
 * anything else is called but broker_new(). It ends with broker_free(). Signals are blocked on it.
 * BROKER_SYSTEM no thread to be had, BROKER_BUSY started before. */
BROKER_API int broker_start(broker *b);

/* One descriptor for all of `b`, to be polled for reading; the same for the life of the handle,
 * reconnects included. Never read, write or close it. */
BROKER_API int broker_fd(const broker *b);

/* Milliseconds from now until broker_process() must be called even if broker_fd() is silent: 0
 * when something waits to be written, BROKER_FOREVER when nothing is due. */
BROKER_API int broker_timeout_ms(const broker *b);

/* Do all there is to do without waiting: read, call callbacks, write, timers. Call it when
 * broker_fd() is readable or broker_timeout_ms() has passed. BROKER_OK, BROKER_CLOSED when the
 * handle is closed and nothing will ever happen again, BROKER_BUSY after broker_start(),
 * BROKER_IN_CALLBACK. */
BROKER_API int broker_process(broker *b);

/* Wait up to `timeout_ms` for something to happen, then broker_process(). The loop of a simple
 * program: while (!done && broker_wait(b, 1000) == BROKER_OK);  Answers as broker_process(). */
BROKER_API int broker_wait(broker *b, int timeout_ms);

/* Told when a call from outside broker_process() left something to write or a sooner deadline, so
 * that a sleeping loop would be late. Called at most once until the next broker_process(). */
typedef void broker_wake_fn(broker *b, void *user);

/* Have `fn` called, on the thread that makes the call concerned; NULL for none. For adapters to
 * event loops, as broker_libevent.h is one. Not together with broker_start(). */
BROKER_API void broker_on_wake(broker *b, broker_wake_fn *fn, void *user);

/* Write what has gathered, as far as the socket takes it, without waiting. Needed only by who
 * drives the handle and cannot come back to broker_process() soon. */
BROKER_API int broker_flush(broker *b);

/* ------------------------------------------------------------------- messages and headers --- */

/* A header to send: `name` 1 to 255 bytes, `value` up to 65535 bytes, UTF-8, ending with NUL. */
struct broker_header {
    const char *name;
    const char *value;
};

/* The payload, `*ret_len` bytes (ret_len may be NULL). Never NULL. Lives as long as the message. */
BROKER_API const void *broker_message_data(const broker_message *m, size_t *ret_len);

/* The payload's size in bytes. */
BROKER_API size_t broker_message_size(const broker_message *m);

/* The topic, NUL-terminated, as long as the message lives; "" for an answer to a request, and for
 * what a call carries. */
BROKER_API const char *broker_message_topic(const broker_message *m);

/* The content type, NUL-terminated, as long as the message lives. Never NULL. */
BROKER_API const char *broker_message_content_type(const broker_message *m);

/* The value of header `name` (with its `$`, where it is the broker's), NUL-terminated, as long as
 * the message lives; its length in *ret_len, which may be NULL. NULL if there is none. */
BROKER_API const char *broker_message_header(const broker_message *m, const char *name,
                                             size_t *ret_len);

/* The `i`-th header, counted from 0, in *ret; both strings live as long as the message. false when
 * there are no more: for (size_t i = 0; broker_message_header_at(m, i, &h); i++). */
BROKER_API bool broker_message_header_at(const broker_message *m, size_t i,
                                         struct broker_header *ret);

/* How often this message has been handed out, this time included: 1 for the first. */
BROKER_API uint32_t broker_message_attempt(const broker_message *m);

/* The number of this delivery on its subscription, from 1, rising by one across reconnects too:
 * what broker_ack() and the others are given. 0 for an answer to a request. */
BROKER_API uint64_t broker_message_number(const broker_message *m);

/* The subscription it came by, NULL for an answer to a request. Valid until that is freed. */
BROKER_API broker_subscription *broker_message_subscription(const broker_message *m);

/* Keep a message: one more reference. The answer is what to use from then on: it is another
 * pointer where `m` was only lent for a callback (its bytes are copied then). Give it back with
 * broker_message_unref(). NULL without memory. Kept messages are independent of the handle, and
 * may be passed between threads; two threads must not use the same one at the same time. */
BROKER_API broker_message *broker_message_ref(const broker_message *m);

/* Give back one reference; the last frees. NULL, and a message lent for a callback, are fine. */
BROKER_API void broker_message_unref(broker_message *m);

/* ----------------------------------------------------------------------------- publishing --- */

/* What goes with one message. NULL instead of it: nothing of all this. */
struct broker_publish_options {
    const char *content_type;            /* default: broker_options.data_type */
    const char *dedup;                   /* an id: a queue that took it takes no other with it */
    const char *reply_to;                /* where an answer is awaited */
    uint64_t ttl_ms;                     /* the message expires after this time; 0: never */
    const struct broker_header *headers; /* `header_count`; none may begin with `$` */
    size_t header_count;
    bool require;  /* refuse (no-match) where no queue matches */
    bool to_queue; /* the name is a queue's, not a topic (publishers: see their options) */
};

/* What became of one message, or of one request. */
struct broker_receipt {
    /* BROKER_OK; BROKER_REFUSED, BROKER_FAILED (some queues took it), BROKER_TIMED_OUT,
     * BROKER_DISCONNECTED, BROKER_CLOSED.. */
    int status;
    int reason;        /* enum broker_reason of a refusal, else BROKER_REASON_NONE */
    uint32_t matched;  /* queues that the topic matched (a publish that was not refused) */
    uint32_t accepted; /* of these, queues that took it */
    /* The broker's words, never NULL; until the callback returns, or, from a function that
     * waits, as broker_errmsg(). */
    const char *text;
};

/* Told once what became of a message or request. */
typedef void broker_receipt_fn(broker *b, const struct broker_receipt *r, void *user);

/* Publish and forget: at most once, never waits, a loss is counted by the broker alone. `data` of
 * `len` bytes may be NULL when len is 0; `o` may be NULL. The bytes gather and are written with
 * what else there is. BROKER_DISCONNECTED while there is no connection (nothing is kept),
 * BROKER_NO_CREDIT when more than outbox_bytes wait to be written, BROKER_INVALID bad name or
 * header, BROKER_TOO_LARGE, BROKER_NO_MEMORY, BROKER_CLOSED. (interfaces: publish/TOPIC,
 * fire-and-forget.) */
BROKER_API int broker_publish(broker *b, const char *topic, const void *data, size_t len,
                              const struct broker_publish_options *o);

/* Publish and wait up to `timeout_ms` until it has settled; what became of it is in *ret_receipt,
 * which may be NULL, and its status is the answer. Sent again after a reconnect. After
 * BROKER_TIMED_OUT nothing is known of it. Besides: BROKER_NO_CREDIT 4096 of these and other
 * requests are under way, BROKER_INVALID, BROKER_TOO_LARGE, BROKER_NO_MEMORY, BROKER_IN_CALLBACK,
 * BROKER_CLOSED. (interfaces: publish/TOPIC, request-response.) */
BROKER_API int broker_publish_wait(broker *b, const char *topic, const void *data, size_t len,
                                   const struct broker_publish_options *o, int timeout_ms,
                                   struct broker_receipt *ret_receipt);

/* The same without waiting: `fn` is called once, if BROKER_OK was answered, at the latest after
 * `timeout_ms` (BROKER_FOREVER: no limit). `fn` may be NULL. */
BROKER_API int broker_publish_async(broker *b, const char *topic, const void *data, size_t len,
                                    const struct broker_publish_options *o, int timeout_ms,
                                    broker_receipt_fn *fn, void *user);

/* One outcome for the messages first, first+1, .. first+count-1 of a publisher. */
struct broker_outcome {
    uint64_t first; /* as numbered by broker_publisher_publish() */
    uint32_t count;
    /* enum broker_reason: of the refusal, else of the drop, else NO_MATCH. NONE: unknown, the
     * stream or connection broke and could not be repaired. */
    uint16_t reason;
    uint32_t matched;  /* queues that matched */
    uint32_t accepted; /* queues that took it: fewer than matched, or both 0 */
};

/* Told as messages settle: every message numbered up to `settled` has, and all that are not in one
 * of the `count` ranges (now or in an earlier call) were accepted by every queue they matched, of
 * which there was at least one. Ranges come in order, each message at most once. */
typedef void broker_confirm_fn(broker_publisher *p, uint64_t settled,
                               const struct broker_outcome *outcomes, size_t count, void *user);

/* Told that a publisher can publish no more: `error` is a BROKER_* code and `text` the broker's
 * words. What had not settled was reported as unknown before. Free the publisher. */
typedef void broker_publisher_end_fn(broker_publisher *p, int error, const char *text, void *user);

/* How a publisher works. Zero or NULL means the default. */
struct broker_publisher_options {
    const char *topic; /* where messages go that name no topic; may be NULL */
    bool to_queue;     /* names are those of queues: whatever their bindings */
    /* Report only messages that some queue did not take, not those that matched none (unless a
     * message was published with `require`). */
    bool loss_only;
    size_t max_messages; /* unsettled messages kept; default: broker_options.outbox_messages */
    size_t max_bytes;    /* and their bytes; default: broker_options.outbox_bytes */
    broker_confirm_fn *on_confirm;   /* may be NULL */
    broker_publisher_end_fn *on_end; /* may be NULL */
    void *user;
    void *reserved[2]; /* must be NULL */
};

/* Open a stream to publish by, in *ret_p; freed by broker_publisher_free(). Usable at once. Its
 * messages keep their order. `o` may be NULL. BROKER_INVALID, BROKER_NO_MEMORY, BROKER_CLOSED.
 * (interfaces: publish, send; request-channel.) */
BROKER_API int broker_publisher_new(broker *b, const struct broker_publisher_options *o,
                                    broker_publisher **ret_p);

/* Publish: the message's number, from 1, or a negative BROKER_* code. Does not wait. The message is
 * kept until it has settled and sent again after a reconnect; a publisher without a connection
 * takes messages until its outbox is full. `topic` may be NULL: the publisher's own, or that of
 * the message before. The fast way for many small messages: they gather and are written 64 KiB at
 * a time, or when the handle is driven, or at broker_publisher_flush().
 * BROKER_NO_CREDIT the broker wants no more for now, or the outbox is full: nothing was published,
 * try again after a confirm; BROKER_INVALID, BROKER_TOO_LARGE, BROKER_ENDED, BROKER_CLOSED,
 * BROKER_NO_MEMORY. */
BROKER_API int64_t broker_publisher_publish(broker_publisher *p, const char *topic,
                                            const void *data, size_t len,
                                            const struct broker_publish_options *o);

/* The same, but waits up to `timeout_ms` for credit (BROKER_FOREVER: blocks); BROKER_NO_CREDIT if
 * there was none in that time, BROKER_IN_CALLBACK where it would have to wait in a callback. */
BROKER_API int64_t broker_publisher_publish_wait(broker_publisher *p, const char *topic,
                                                 const void *data, size_t len,
                                                 const struct broker_publish_options *o,
                                                 int timeout_ms);

/* How many messages would be taken now without BROKER_NO_CREDIT (sizes left aside). */
BROKER_API size_t broker_publisher_credit(const broker_publisher *p);

/* Write what has gathered, as far as the socket takes it; does not wait. */
BROKER_API int broker_publisher_flush(broker_publisher *p);

/* Wait up to `timeout_ms` until all that was published has settled, on_confirm told of it
 * included. BROKER_TIMED_OUT, BROKER_ENDED, BROKER_CLOSED, BROKER_IN_CALLBACK. */
BROKER_API int broker_publisher_drain(broker_publisher *p, int timeout_ms);

/* What a publisher has done since it was made, in messages. */
struct broker_publisher_stats {
    uint64_t published; /* taken by broker_publisher_publish() */
    uint64_t settled;   /* of these, settled, whatever the outcome */
    uint64_t unmatched; /* settled, no queue matched */
    uint64_t refused;   /* settled, refused by a queue or by the broker (reasons 2 to 12) */
    uint64_t dropped;   /* settled with accepted < matched by a queue's policy (20 and above) */
    uint64_t unknown;   /* given up: nothing is known */
    uint64_t resent;    /* sent again after a reconnect */
    uint32_t credit;    /* what the broker takes now */
};

/* Fill *ret. Any thread, as the handle. */
BROKER_API void broker_publisher_stats(const broker_publisher *p,
                                       struct broker_publisher_stats *ret);

/* Free a publisher. What has not settled is still written and settled by the broker, but nobody is
 * told, and it is not sent again: broker_publisher_drain() first. From its own callbacks, too.
 * NULL is fine. */
BROKER_API void broker_publisher_free(broker_publisher *p);

/* ---------------------------------------------------------------------------- subscribing --- */

/* Told of a message, lent until the callback returns: broker_message_ref() keeps it. */
typedef void broker_message_fn(broker_subscription *s, broker_message *m, void *user);

/* Messages that this subscription should have had and will not get. */
struct broker_gap {
    uint64_t count; /* how many; 0: nobody knows (after a reconnect, or from another broker) */
    int reason;     /* enum broker_reason: DROP_OLDEST.. ; DISCONNECTED after a reconnect; NODE: of
                     * what was published on other brokers some is lost, perhaps none for this */
};

/* Told of a gap, before the message that follows it. */
typedef void broker_gap_fn(broker_subscription *s, const struct broker_gap *gap, void *user);

/* Told once, last, that a subscription has ended without being asked to: `error` is BROKER_OK where
 * the broker completed it, BROKER_REFUSED (with `reason`), BROKER_FAILED, BROKER_DISCONNECTED
 * (streams of broker_request_stream()), BROKER_CLOSED.. and `text` the broker's words. */
typedef void broker_end_fn(broker_subscription *s, int error, int reason, const char *text,
                           void *user);

enum broker_ack_mode {
    BROKER_ACK_AUTO,   /* a message is settled when the broker has written it to the socket */
    BROKER_ACK_MANUAL, /* by broker_ack(), broker_nack() or broker_reject() */
};

/* How a subscription works. Zero or NULL means the default. */
struct broker_subscribe_options {
    /* Messages that may be under way to this program, 1 to BROKER_UNLIMITED; default 8192, with
     * BROKER_ACK_MANUAL 256. Renewed at half: as callbacks return, as broker_next() takes
     * messages, with BROKER_ACK_MANUAL as they are acked. */
    uint32_t credit;
    bool manual_credit; /* `credit` is given once; all further by broker_grant() */

    enum broker_ack_mode ack;    /* broker_consume() only */
    const char *const *bindings; /* broker_consume(): bind the queue to `binding_count` filters */
    size_t binding_count;

    /* `setting_count` of them, names without `$`: overflow, max-messages, from, facts..
     * (interfaces: headers). */
    const struct broker_header *settings;
    size_t setting_count;

    broker_message_fn *on_message; /* NULL: messages wait for broker_next() */
    broker_gap_fn *on_gap;         /* NULL: broker_next() answers BROKER_GAP */
    broker_end_fn *on_end;         /* may be NULL */
    void *user;
    void *reserved[2]; /* must be NULL */
};

/* Subscribe to every message from now on whose topic matches one of `count` filters (1 to 64), each
 * message once; the subscription in *ret_s is freed by broker_unsubscribe(). Restored after a
 * reconnect, with a gap of unknown size. `o` may be NULL. It is certain to be in force for every
 * publisher once a broker_ping() made afterwards has been answered. Refusals are told by on_end or
 * broker_next(). BROKER_INVALID, BROKER_NO_MEMORY, BROKER_CLOSED. (interfaces: subscribe/FILTER.)
 */
BROKER_API int broker_subscribe(broker *b, const char *const *filters, size_t count,
                                const struct broker_subscribe_options *o,
                                broker_subscription **ret_s);

/* Consume the queue called `queue`, together with its other consumers. Restored after a reconnect:
 * what was not settled comes again with another number and broker_message_attempt() > 1. As
 * broker_subscribe() otherwise. (interfaces: consume/QUEUE.) */
BROKER_API int broker_consume(broker *b, const char *queue,
                              const struct broker_subscribe_options *o,
                              broker_subscription **ret_s);

/* Any other request-stream: `route` with `data` of `len` bytes, answers as messages. For the
 * broker's own reports (admin/COMMAND). Not restored after a reconnect: ends BROKER_DISCONNECTED.
 * As broker_subscribe() otherwise. */
BROKER_API int broker_request_stream(broker *b, const char *route, const void *data, size_t len,
                                     const struct broker_subscribe_options *o,
                                     broker_subscription **ret_s);

/* The next message of a subscription without on_message, waiting up to `timeout_ms`; *ret_m is the
 * caller's: broker_message_unref(). BROKER_TIMED_OUT none came; BROKER_GAP messages were lost:
 * broker_last_gap() tells, the next call goes on; BROKER_ENDED the broker completed it,
 * BROKER_REFUSED, BROKER_FAILED, BROKER_CLOSED.. it ended otherwise: broker_errmsg();
 * BROKER_NO_MEMORY; BROKER_IN_CALLBACK; BROKER_INVALID it has an on_message. */
BROKER_API int broker_next(broker_subscription *s, int timeout_ms, broker_message **ret_m);

/* The gap that broker_next() last told of. */
BROKER_API void broker_last_gap(const broker_subscription *s, struct broker_gap *ret);

/* Let the broker send `n` more messages, 1 to BROKER_UNLIMITED. For manual_credit; with automatic
 * credit it adds to the window. BROKER_INVALID, BROKER_ENDED. */
BROKER_API int broker_grant(broker_subscription *s, uint32_t n);

/* Settle the deliveries numbered `first` .. first+count-1 (`count` at least 1) of a queue consumed
 * with BROKER_ACK_MANUAL: done with them. Nothing waits; acks gather and are written together.
 * BROKER_STALE all of them were delivered on an earlier connection, BROKER_INVALID numbers not
 * delivered yet or no manual acks, BROKER_ENDED, BROKER_NO_MEMORY. */
BROKER_API int broker_ack(broker_subscription *s, uint64_t first, uint32_t count);

/* The same: back into the queue, to be delivered again after `delay_ms`. */
BROKER_API int broker_nack(broker_subscription *s, uint64_t first, uint32_t count,
                           uint32_t delay_ms);

/* The same: never deliver them again (dead-lettered where the queue says so). */
BROKER_API int broker_reject(broker_subscription *s, uint64_t first, uint32_t count);

/* The same, but not settled: the broker waits another `time_ms` from now, 0 for its ack-timeout. */
BROKER_API int broker_extend(broker_subscription *s, uint64_t first, uint32_t count,
                             uint32_t time_ms);

/* The pointer given in broker_subscribe_options.user. */
BROKER_API void *broker_subscription_user(const broker_subscription *s);

/* End and free a subscription; on_end is not called. With BROKER_ACK_MANUAL what is not settled
 * goes back to the queue at once. From its own callbacks, too; in another thread a callback may
 * just be running, and then this waits for it. NULL is fine. */
BROKER_API void broker_unsubscribe(broker_subscription *s);

/* -------------------------------------------------------------------------------- requests --- */

/* Ask `route` (admin/COMMAND..) with `data` of `len` bytes, wait up to `timeout_ms` for the answer,
 * in *ret_m: the caller's, broker_message_unref(); ret_m may be NULL. Not repeated when the
 * connection is lost: BROKER_DISCONNECTED, and nothing is known; asked while there is none, it
 * waits for one. BROKER_REFUSED, BROKER_FAILED: *ret_receipt (may be NULL) has reason and text;
 * BROKER_TIMED_OUT, BROKER_INVALID, BROKER_TOO_LARGE, BROKER_NO_CREDIT, BROKER_IN_CALLBACK,
 * BROKER_CLOSED, BROKER_NO_MEMORY. */
BROKER_API int broker_request(broker *b, const char *route, const void *data, size_t len,
                              int timeout_ms, broker_message **ret_m,
                              struct broker_receipt *ret_receipt);

/* Told once what became of a request; `answer` is lent, NULL unless r->status is BROKER_OK. */
typedef void broker_answer_fn(broker *b, const struct broker_receipt *r, broker_message *answer,
                              void *user);

/* The same without waiting: `fn` (not NULL) is called once if BROKER_OK was answered. */
BROKER_API int broker_request_async(broker *b, const char *route, const void *data, size_t len,
                                    int timeout_ms, broker_answer_fn *fn, void *user);

/* A barrier: answered once all that this handle asked for before is ready, its subscriptions seen
 * by every publisher included. As broker_request(). (interfaces: admin/ping.) */
BROKER_API int broker_ping(broker *b, int timeout_ms);

/* ----------------------------------------------------------------------------------- calls ---
 * A call goes from one program to another that serves the service called, through the broker, which
 * picks the server; what the two send each other arrives as it was sent, and nobody sends more than
 * the other side has asked for: credit goes from end to end.
 *
 * A `broker_call` is one call, seen by its caller (broker_call_open()) or its server (on_call,
 * broker_service_next()); most functions serve both. Whoever got one frees it. Its messages come to
 * `on_message`, or wait for broker_call_next() where there is none.
 *
 * A call whose connection is lost ends with BROKER_DISCONNECTED: nobody knows how far it got. One
 * of which nothing had been written waits for the next connection, as do calls opened while there
 * is none. A service is offered again on each connection. */

enum broker_call_model {
    BROKER_CALL_FORGET = 1, /* one request, no answer */
    BROKER_CALL_RESPONSE,   /* one request, one answer */
    BROKER_CALL_STREAM,     /* one request, any number of answers */
    BROKER_CALL_CHANNEL,    /* any number of messages both ways */
};

/* Codes that calls fail with. Those of a program's own are BROKER_CODE_OWN to 0xfffffffe. */
enum broker_call_code {
    BROKER_CODE_NONE = 0,
    BROKER_CODE_APPLICATION = 0x201, /* the server failed */
    BROKER_CODE_REJECTED = 0x202,    /* nobody has acted on it: safe to call again */
    BROKER_CODE_CANCELED = 0x203,    /* given up half-way: perhaps something was done */
    BROKER_CODE_INVALID = 0x204,     /* the request is wrong */
    BROKER_CODE_OWN = 0x301,
};

/* How a call has ended. */
struct broker_call_end {
    /* BROKER_OK both sides completed; BROKER_REFUSED by the broker or the server (codes REJECTED
     * and INVALID), BROKER_FAILED with any other code, BROKER_CANCELED by this or the other side,
     * BROKER_DISCONNECTED, BROKER_TIMED_OUT, BROKER_TOO_LARGE, BROKER_PROTOCOL, BROKER_CLOSED.. */
    int error;
    int reason;       /* enum broker_reason that `text` begins with, else BROKER_REASON_NONE */
    uint32_t code;    /* enum broker_call_code or a program's own, where the other side failed it */
    const char *text; /* in words, never NULL; until the call is freed */
};

/* Told of a message from the other side, lent until the callback returns: broker_message_ref()
 * keeps it. `user` is here and below broker_call_user(). */
typedef void broker_call_message_fn(broker_call *c, broker_message *m, void *user);

/* Told once that the other side has completed, if this side of a channel still may send; not if it
 * has done so before the program got the call (broker_call_completed()). */
typedef void broker_call_complete_fn(broker_call *c, void *user);

/* Told that broker_call_send() may take messages again: `credit` of them; 0: none ever again, the
 * other side of the channel wants no more (BROKER_CANCELED). */
typedef void broker_call_credit_fn(broker_call *c, size_t credit, void *user);

/* Told once, last, that the call is over, whoever ended it; not if it was freed before. */
typedef void broker_call_end_fn(broker_call *c, const struct broker_call_end *end, void *user);

/* How to call. Zero or NULL means the default. */
struct broker_call_options {
    const char *content_type;            /* of the request; default: not said */
    const struct broker_header *headers; /* `header_count`; none may begin with `$` */
    size_t header_count;
    uint32_t wait_ms;    /* how long the broker may keep the call while nobody serves the service;
                          * default: its own setting, usually refused at once (no-server) */
    uint32_t timeout_ms; /* end it with BROKER_TIMED_OUT if it is not over then; default: never */
    uint32_t credit;     /* messages that may be under way to this side, 1 to BROKER_UNLIMITED;
                          * default 256. Renewed at half, as for subscriptions */
    bool manual_credit;  /* `credit` is given once; all further by broker_call_grant() */
    bool complete;       /* a channel: the request is all that this side sends */
    broker_call_message_fn *on_message;   /* NULL: messages wait for broker_call_next() */
    broker_call_complete_fn *on_complete; /* this and the next two may be NULL */
    broker_call_credit_fn *on_credit;
    broker_call_end_fn *on_end;
    void *user;
    void *reserved[2]; /* must be NULL */
};

/* Call `target`, SERVICE/METHOD, by `model`, any but FORGET, with a request of `len` bytes; `o` may
 * be NULL. The call in *ret_call is freed by broker_call_free(). Never waits: how it goes is told
 * by the callbacks. BROKER_INVALID, BROKER_TOO_LARGE, BROKER_NO_CREDIT 4096 calls are open,
 * BROKER_NO_MEMORY, BROKER_CLOSED. (interfaces: call/SERVICE/METHOD.) */
BROKER_API int broker_call_open(broker *b, enum broker_call_model model, const char *target,
                                const void *data, size_t len, const struct broker_call_options *o,
                                broker_call **ret_call);

/* Call and wait up to `timeout_ms` for the one answer, in *ret_m: the caller's,
 * broker_message_unref(); ret_m may be NULL. Only the request's fields of `o` are looked at. The
 * answer is that of ret_end->error (ret_end may be NULL; its text lives as broker_errmsg()'s), or
 * as broker_call_open(), BROKER_TIMED_OUT: the call was canceled, BROKER_IN_CALLBACK. */
BROKER_API int broker_call_wait(broker *b, const char *target, const void *data, size_t len,
                                const struct broker_call_options *o, int timeout_ms,
                                broker_message **ret_m, struct broker_call_end *ret_end);

/* Call and forget: at most once, never waits, nothing is ever heard of it. As broker_publish():
 * BROKER_DISCONNECTED while there is no connection, BROKER_NO_CREDIT when more than outbox_bytes
 * wait to be written, BROKER_INVALID, BROKER_TOO_LARGE, BROKER_NO_MEMORY, BROKER_CLOSED. */
BROKER_API int broker_call_forget(broker *b, const char *target, const void *data, size_t len,
                                  const struct broker_call_options *o);

/* What goes with a message of a call. NULL instead of it: nothing of all this. */
struct broker_send_options {
    const char *content_type;            /* default: not said */
    const struct broker_header *headers; /* `header_count`; none may begin with `$` */
    size_t header_count;
    bool complete; /* it is the last: as if broker_call_complete() followed, in one frame */
};

/* Send the other side a message: a caller on a channel, a server in every model but FORGET. The
 * answer of a RESPONSE completes it. Never waits: BROKER_NO_CREDIT the other side has not asked for
 * more, or more than outbox_bytes wait to be written; try again after on_credit. BROKER_CANCELED
 * the other side wants no more, BROKER_ENDED this side has completed, the errors of
 * broker_call_end after the end of the call, BROKER_INVALID this side may not send (or a bad
 * header), BROKER_TOO_LARGE, BROKER_NO_MEMORY. */
BROKER_API int broker_call_send(broker_call *c, const void *data, size_t len,
                                const struct broker_send_options *o);

/* The same, but waits up to `timeout_ms` for credit (BROKER_FOREVER: blocks); BROKER_NO_CREDIT if
 * there was none in that time, BROKER_IN_CALLBACK where it would have to wait in a callback. */
BROKER_API int broker_call_send_wait(broker_call *c, const void *data, size_t len,
                                     const struct broker_send_options *o, int timeout_ms);

/* How many messages broker_call_send() would take now (bytes left aside). */
BROKER_API size_t broker_call_credit(const broker_call *c);

/* This side sends no more. Needs no credit. Where nothing can come either, the call is over.
 * BROKER_ENDED it has completed before or the call is over, BROKER_INVALID this side may not send,
 * BROKER_NO_MEMORY. */
BROKER_API int broker_call_complete(broker_call *c);

/* End the call with an error: `code` BROKER_CODE_APPLICATION to _INVALID or a program's own, `text`
 * (cut at 1024 bytes; may be NULL) for the other side. A server in every model but FORGET, or the
 * caller of a channel. BROKER_ENDED, BROKER_INVALID, BROKER_NO_MEMORY. */
BROKER_API int broker_call_fail(broker_call *c, uint32_t code, const char *text);

/* The caller: end the call, nothing more is wanted. The server of a channel: take no more messages;
 * its own may go on. BROKER_ENDED, BROKER_INVALID for other servers, BROKER_NO_MEMORY. */
BROKER_API int broker_call_cancel(broker_call *c);

/* The next message of a call without on_message, waiting up to `timeout_ms`; *ret_m is the
 * caller's: broker_message_unref(). BROKER_TIMED_OUT none came; BROKER_ENDED the other side has
 * completed; else the errors of broker_call_end, with broker_errmsg(); BROKER_INVALID it has an
 * on_message; BROKER_IN_CALLBACK. */
BROKER_API int broker_call_next(broker_call *c, int timeout_ms, broker_message **ret_m);

/* Let the other side send `n` more messages, 1 to BROKER_UNLIMITED. For manual_credit; with
 * automatic credit it adds to the window. BROKER_INVALID, BROKER_ENDED. */
BROKER_API int broker_call_grant(broker_call *c, uint32_t n);

/* Is the call over, and how (ret_end may be NULL)? What came before may wait for
 * broker_call_next(). */
BROKER_API bool broker_call_ended(const broker_call *c, struct broker_call_end *ret_end);

/* Will no more messages come from the other side? A server's channel may be so from the start. */
BROKER_API bool broker_call_completed(const broker_call *c);

/* What the call was opened with: its model, its service and its method; both strings live as long
 * as the call. */
BROKER_API enum broker_call_model broker_call_model(const broker_call *c);
BROKER_API const char *broker_call_service(const broker_call *c);
BROKER_API const char *broker_call_method(const broker_call *c);

/* The server's: the caller's request, its payload, headers and content type; of a channel the first
 * message. Lives as long as the call (broker_message_ref() keeps it longer). NULL for a caller. */
BROKER_API broker_message *broker_call_request(const broker_call *c);

/* The pointer that callbacks are given: broker_call_options.user, for a server's calls
 * broker_serve_options.user until broker_call_set_user(). */
BROKER_API void *broker_call_user(const broker_call *c);
BROKER_API void broker_call_set_user(broker_call *c, void *user);

/* Free a call. One that is not over is ended: a caller cancels it; a server that has not completed
 * fails it (BROKER_CODE_CANCELED). on_end is not called. From callbacks, too; where another thread
 * runs one of this call, it is waited for. NULL is fine. */
BROKER_API void broker_call_free(broker_call *c);

/* --------------------------------------------------------------------------------- serving --- */

/* Told of a call, which is the program's from now on: answer it now or later, here or on another
 * thread, and broker_call_free() it; FORGET ones too. */
typedef void broker_call_fn(broker_service *s, broker_call *c, void *user);

/* Told each time the broker has answered the offer to serve, so after each reconnect: BROKER_OK
 * calls come from now on; BROKER_REFUSED (with `reason`), BROKER_FAILED: none will come on this
 * connection. `text` are the broker's words, never NULL. */
typedef void broker_serving_fn(broker_service *s, int error, int reason, const char *text,
                               void *user);

/* How to serve. Zero or NULL means the default. */
struct broker_serve_options {
    /* Calls that may be open at once, the ones not freed yet included; default 256. Further ones
     * are refused (REJECTED, `limit`), and counted. */
    uint32_t max_calls;
    uint32_t credit;         /* of channels: as broker_call_options.credit */
    bool manual_credit;      /* `credit` is given once (0: none); further by broker_call_grant() */
    broker_call_fn *on_call; /* NULL: calls wait for broker_service_next() */
    broker_call_message_fn *on_message; /* the rest: as in broker_call_options, for each call */
    broker_call_complete_fn *on_complete;
    broker_call_credit_fn *on_credit;
    broker_call_end_fn *on_end;
    broker_serving_fn *on_serving; /* may be NULL */
    void *user;                    /* of on_call and on_serving, and at first of each call */
    void *reserved[2];             /* must be NULL */
};

/* Serve `service`, together with others that do; in *ret_s, freed by broker_unserve(). `o` may be
 * NULL. Certain to be in force once on_serving or broker_service_ready() said so. BROKER_INVALID a
 * bad name, or served on this handle already; BROKER_NO_MEMORY, BROKER_CLOSED. (interfaces:
 * serve/SERVICE.) */
BROKER_API int broker_serve(broker *b, const char *service, const struct broker_serve_options *o,
                            broker_service **ret_s);

/* Wait up to `timeout_ms` until the broker has taken the offer. BROKER_TIMED_OUT, BROKER_REFUSED or
 * BROKER_FAILED it has not: broker_errmsg(); BROKER_CLOSED, BROKER_IN_CALLBACK. */
BROKER_API int broker_service_ready(broker_service *s, int timeout_ms);

/* The next call to a service without on_call, waiting up to `timeout_ms`, in *ret_call; several
 * threads may wait here. Until then none of its callbacks is called, and nothing asked for.
 * BROKER_TIMED_OUT, BROKER_CLOSED, BROKER_INVALID it has an on_call, BROKER_IN_CALLBACK. */
BROKER_API int broker_service_next(broker_service *s, int timeout_ms, broker_call **ret_call);

/* What a service has done since it was made, in calls. */
struct broker_service_stats {
    uint64_t taken;   /* given to the program, or waiting for broker_service_next() */
    uint64_t refused; /* beyond max_calls, or broken; forgotten ones included */
    uint32_t open;    /* of those taken, not freed yet */
};

/* Fill *ret. Any thread, as the handle. */
BROKER_API void broker_service_stats(const broker_service *s, struct broker_service_stats *ret);

/* Stop serving and free `s`. Calls that the program has go on; those that wait are refused, and so
 * are those that come until the broker has heard of it. From its callbacks, too; where another
 * thread runs one, it is waited for. NULL is fine. (interfaces: unserve/SERVICE.) */
BROKER_API void broker_unserve(broker_service *s);

#ifdef __cplusplus
}
#endif

#endif
