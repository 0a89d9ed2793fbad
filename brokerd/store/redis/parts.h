/* parts.h - what the files of the store on top of link.h share: a worker's store, and a queue that
 * is open.
 *
 * Why      redis.c holds the table and runs it; each other file does one thing with the same two
 *          structs: put.c, take.c, settle.c, manage.c (open, close, what people ask), nodes.c
 *          (heartbeat, claims), names.c (definitions), call.c (a function's call and its answer).
 * Thread   The worker's. */
#ifndef BROKERD_STORE_REDIS_PARTS_H
#define BROKERD_STORE_REDIS_PARTS_H

#include "brokerd/store/redis/entry.h"
#include "brokerd/store/redis/held.h"
#include "brokerd/store/redis/keys.h"
#include "brokerd/store/redis/redis.h"
#include "libbroker/base/list.h"
#include "libbroker/base/log.h"
#include "libbroker/base/map.h"

#include <hiredis/hiredis.h>

enum {
    PARCEL_MESSAGES = 512,    /* of one put; its 1,000 arguments stay well below Lua's limits */
    PARCEL_BYTES = 256 << 10, /* of one put; one message at least */
    PARCELS_ON_WAY = 4,       /* of one queue: enough to keep Redis busy while an answer travels */
    PARCEL_AGE_MS = 100,      /* that it gathers: its messages share a deadline */
    CHUNK_MESSAGES = 256,     /* of one settlement */
    CHUNKS_ON_WAY = 4,        /* of one queue */
    FETCH_MESSAGES = 1024,    /* of one fetch */
    FETCH_MOST_BYTES = 8 << 20, /* of one, going by the largest message; one message at least */
    FACTS_MS = 5000,            /* how the queue stands is told so often .. */
    FACTS_AT_ONCE = 32,         /* .. but of so many queues at once */
    DEAD_MESSAGES = 1024,       /* of one queue, that dead letters are being made of .. */
    DEAD_BYTES = 4 << 20,       /* .. and bytes; one more piece at most */
    TIDY_MESSAGES = 256,        /* of one piece */
    AUDIT_MESSAGES = 512,       /* of one look at what this node has by Redis's books */
    CLAIMS_AT_ONCE = 8,         /* queues that are looked at for dead nodes */
    TICK_MS = 1000,
    SCAN_TICKS = 10,    /* between two looks at all definitions */
    ALONE_WAIT_MS = 50, /* for replicas that were missing last time */
    SOON_MS = 100,      /* until what Redis turned away is tried again */
    ARGS_TEXT = 32 << 10,
    CONSUMER_MAX = REDIS_NODE_MAX + 32,
    CHANNEL_MAX = KEYS_PREFIX_MAX + CONSUMER_MAX,
};

struct request;

/* A command was answered. */
typedef void request_fn(struct request *req, const struct link_answer *a);

/* A command that is on its way. */
struct request {
    struct list_node link; /* in store->requests */
    struct redis_store *store;
    struct store_queue *queue; /* counted in its `calls`; or NULL */
    request_fn *done;
    void *item;  /* what it is about, as `done` knows */
    void *owned; /* freed with it; or NULL */
    uint64_t number;
};

/* Arguments of the command that is being made. */
struct args {
    struct slice *at;
    unsigned n, size;
    size_t text_n;
    bool failed; /* no memory */
    uint8_t text[ARGS_TEXT];
};

/* Messages that are put together. */
struct parcel {
    struct list_node link;
    uint64_t first;   /* as the core calls the first */
    uint64_t label;   /* as Redis does; 0: not given yet, more may be added */
    uint32_t n, done; /* messages, and of those answered from the first on */
    uint64_t bytes;   /* of payload */
    int64_t since_ms; /* the first was put */
    int64_t tried_ms; /* it was sent, and has not been answered since; 0: it was not */
    enum overflow when_full;
    bool own;         /* some have a time to live of their own */
    bool sent;        /* on its way, or judged */
    bool asks, waits; /* not answered yet: the put; its WAIT */
    bool doubtful;    /* said once, and nobody knows what became of that */
    uint64_t rooms;   /* as the queue's when it was sent */
    /* What was answered, to be heeded in order. */
    bool judged;
    enum link_outcome outcome;
    enum reason reason; /* of an error */
    bool again, back_off;
    uint32_t taken, dropped, expired;
    bool news, beyond;
    uint64_t via;
    uint32_t *ends; /* of m and d, in turn, in `buf` */
    uint32_t room;  /* messages that `ends` has place for */
    uint8_t *buf;
    size_t used, size;
};

struct settled {
    uint64_t seq, cum;
    uint32_t len; /* UINT32_MAX: not known */
    uint32_t attempts;
    int64_t due_ms; /* wall clock */
};

/* Settlements that go together. */
struct chunk {
    struct list_node link;
    bool back; /* they came back; else they are gone */
    bool sent;
    uint32_t n, size;
    struct settled *at;
};

struct store_queue {
    struct redis_store *store;
    handle_t handle;
    struct keys keys;
    char *name; /* terminated */
    size_t name_n;
    struct list_node link;    /* in store->queues */
    struct list_node touched; /* in store->touched: flush() is to look at it */
    char consumer[CONSUMER_MAX];
    struct queue_policy policy;
    uint8_t *definition; /* as it was told to Redis last */
    size_t definition_n;
    uint32_t calls; /* commands on their way */
    bool open;      /* answered so */
    bool closed;    /* the core has let go of it */
    bool remove;    /* .. and it is to be deleted */
    bool leaving;   /* what is held is being given back */
    bool left;      /* it has been */
    bool gone;      /* Redis does not have it: deleted by another node, or Redis lost what it had */
    bool asked;     /* which of both is being found out, or it is being made again */
    bool absent;    /* nor is it defined */
    bool lost;      /* it was deleted */
    uint64_t absent_beat;

    /* put.c */
    struct list parcels; /* in the order they came */
    uint64_t label;      /* of the next message */
    uint64_t unstored, unstored_bytes;
    unsigned parcels_on_way;
    int64_t heard_ms; /* Redis answered a put */
    bool alone;       /* replicas were missing last time */
    bool owes_room;
    uint64_t rooms; /* times that there was said to be room */
    bool blocked;   /* Redis is full: tried again when told, or at ... */
    int64_t try_ms; /* not before; 0: at once */

    /* take.c */
    struct held_set held;
    uint32_t want; /* the core waits for so many; 0: for none */
    uint64_t want_bytes;
    bool fetching;   /* a command for that is on its way */
    bool short_of;   /* the last fetch brought less than was asked for: it wants news */
    bool back;       /* perhaps some came back */
    int64_t told_ms; /* Redis said whether some did */
    bool audit;      /* an answer was lost: what Redis thinks we have, we may not have */
    bool auditing;
    bool probing, mending;
    char audit_from[ENTRY_ID_MAX];
    int64_t facts_ms;   /* how it stands is asked for then */
    int64_t due_ms;     /* the next that came back is due; INT64_MAX */
    uint64_t mean, max; /* bytes of a message */

    /* tidy.c */
    bool tidying;        /* a call is on its way */
    bool tidy_due;       /* there is something to do, or it is time to look */
    bool surplus;        /* more wait than may, and there is a dead-letter topic */
    bool expiring;       /* some may have a time to live of their own */
    int64_t over_ms;     /* the next is over then; INT64_MAX: not known */
    uint32_t dead_n;     /* of what is held: dead letters are being made of so many */
    uint64_t dead_bytes; /* .. of so many bytes */

    /* settle.c */
    struct list chunks;
    unsigned chunks_on_way;
    int64_t settle_ms; /* not before */

    /* nodes.c */
    uint64_t checked; /* all nodes were alive, or claimed, at that generation */
    bool checking;
};

struct redis_store {
    struct store table; /* first */
    struct redis_store_options o;
    struct link *link;
    struct worker *worker; /* or NULL */
    struct args args;
    char prefix[KEYS_PREFIX_MAX + 1];
    char node[CONSUMER_MAX];   /* NAME.LIFE.WORKER */
    size_t broker_n;           /* bytes of NAME.LIFE. */
    char channel[CHANNEL_MAX]; /* where this node is told */
    char names_channel[CHANNEL_MAX];
    struct keys names; /* PREFIX:{queues} */
    char nodes_key[KEYS_PREFIX_MAX + 24];
    int64_t now_ms, wall_ms;
    int64_t wake_ms; /* queues are looked at */
    int64_t tick_ms; /* and what is to be done each second */
    int64_t tick_every_ms;
    int64_t down_ms; /* since when no master takes commands; INT64_MAX: one does */
    struct list queues, touched;
    struct map by_base; /* keys.base -> queue */
    unsigned opened;    /* queues, ever */
    bool stopping, said_goodbye, stopped;
    struct list requests;
    int64_t load_ms; /* functions were loaded by hand */

    /* nodes.c */
    struct map alive;
    uint64_t generation; /* rises when a node dies */
    uint64_t beats;      /* answered */
    int64_t steady_ms;   /* all has gone well since */
    int64_t beat_ms;     /* the one on its way was sent; 0: none is */
    unsigned checks, ticks, facts_asked;

    /* names.c, of worker 0 */
    struct map known; /* names of queues; value: the scan that saw it */
    uintptr_t scan;
    bool scanning, scan_again, found_all;
    bool doubted; /* names were missing in the last scan, when so many beats had been heard: */
    uint64_t doubt_beat;

    /* evict.c, of worker 0 */
    bool asking_memory;
    uint64_t evicting_slot; /* of a master that may evict; if facts.evicts says so */

    struct redis_facts facts;
    struct log_limit trouble;
    struct stored_message messages[FETCH_MESSAGES];
};

static inline struct redis_store *store_of(struct store *s)
{
    return (struct redis_store *)s;
}

/* ---------------------------------------------------------------------------------- call.c */

/* Begin a command: FCALL of that function with the queue's keys; or of any words. */
void args_begin(struct redis_store *r, const char *function, const struct store_queue *q);
void args_begin_words(struct redis_store *r, const char *const *words, unsigned n);
void args_add(struct redis_store *r, struct slice s);
void args_text(struct redis_store *r, const char *text);
void args_number(struct redis_store *r, uint64_t v);
/* Room for n bytes, which become the next argument when args_end_text() says how many it was. */
uint8_t *args_text_room(struct redis_store *r, size_t n);
void args_end_text(struct redis_store *r, const uint8_t *start, const uint8_t *end);

/* Send it. -ENOMEM, -EAGAIN (too much is on its way): `done` will not be called. What `owned`
 * points to (NULL is fine) is free()d after that, or by redis_store_free(). */
int call_send(struct redis_store *r, struct store_queue *q, uint16_t slot, request_fn *done,
              void *item, uint64_t number);
int call_send_owned(struct redis_store *r, struct store_queue *q, uint16_t slot, request_fn *done,
                    void *owned);

/* What an answer is worth. An error's text is told as trouble, but for the ordinary ones. */
enum verdict {
    CALL_OK,
    CALL_LOST,  /* not executed, or who knows: to be said again */
    CALL_GONE,  /* there is no such queue */
    CALL_LATER, /* something is in the way, and is being dealt with: to be said again */
    CALL_WRONG, /* Redis refuses */
};
enum verdict call_verdict(struct request *req, const struct link_answer *a);

/* The i-th number of an array; 0 if there is none. */
int64_t reply_number(const struct redisReply *reply, size_t i);
/* A string; empty if it is none. */
struct slice reply_slice(const struct redisReply *reply);

void store_answer(struct redis_store *r, const struct stored *a);
void store_event(struct redis_store *r, enum redis_event what, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* flush() shall look at it. */
void queue_touch(struct store_queue *q);

/* All queues shall be looked at in so many ms, at the latest. */
static inline void store_wake(struct redis_store *r, int64_t in_ms)
{
    if (r->wake_ms > r->now_ms + in_ms)
        r->wake_ms = r->now_ms + in_ms;
}

/* ----------------------------------------------------------------------------------- put.c */

int put_messages(struct store_queue *q, uint64_t first, const struct run *run,
                 const struct msg_origin *from);
void put_pump(struct store_queue *q);
void put_tick(struct store_queue *q);
/* Try again what Redis had no room for. */
void put_room(struct store_queue *q);
/* The label of the first message that was not answered. */
uint64_t put_label(const struct store_queue *q);
/* It was deleted: refuse what is not on its way. */
void put_lost(struct store_queue *q);
/* Forget what was not sent. */
void put_drop(struct store_queue *q);
/* Free all; nothing is on its way. */
void put_fini(struct store_queue *q);

/* ---------------------------------------------------------------------------------- take.c */

void take_pump(struct store_queue *q);
void take_tick(struct store_queue *q);
/* Something may be taken; `back`: something that came back. */
void take_news(struct store_queue *q, bool back);
/* Messages are no more. */
void take_lost(struct store_queue *q, uint64_t n, enum reason reason);
/* It cannot be delivered: settled at once. */
void take_cast_off(struct store_queue *q, uint64_t seq, uint64_t cum, size_t len);
/* A message as the core wants it. False: it is none of ours. */
bool take_message(struct slice id, struct slice m, struct slice d, struct stored_message *ret,
                  uint64_t *ret_cum);

/* ---------------------------------------------------------------------------------- tidy.c */

void tidy_pump(struct store_queue *q);
/* `second`: one has gone by since the last that was. */
void tidy_tick(struct store_queue *q, bool second);
/* One that a dead letter was made of is settled. */
void tidy_settled(struct store_queue *q, uint32_t len);

/* ---------------------------------------------------------------------------------- mend.c */

/* Redis takes no puts, for somebody else's entries are in the way. */
void mend_queue(struct store_queue *q);

/* -------------------------------------------------------------------------------- settle.c */

void settle_ranges(struct store_queue *q, const struct store_settlement *s, size_t n);
/* One that is not in `held` any more. False: no memory. */
bool settle_message(struct store_queue *q, bool back, const struct settled *one);
void settle_pump(struct store_queue *q);
/* Did some come back that Redis was not told of? They go before what is fetched next. */
bool settle_is_behind(const struct store_queue *q);
/* All of them go now: somebody asks how it stands. */
void settle_hurry(struct store_queue *q);
void settle_drop(struct store_queue *q);
void settle_fini(struct store_queue *q);

/* -------------------------------------------------------------------------------- manage.c */

struct store_queue *manage_open(struct store *s, const struct store_open *o, handle_t queue);
void manage_define(struct store_queue *q, const struct store_open *o);
int manage_peek(struct store_queue *q, uint64_t from, uint32_t n, uint64_t token);
int manage_purge(struct store_queue *q, uint64_t upto, const struct store_settlement *but, size_t n,
                 uint64_t token);
int manage_ask(struct store_queue *q, uint64_t token);
/* How it stands is told now and then, for lists of queues. */
void manage_tick(struct store_queue *q);
void manage_close(struct store_queue *q, bool remove);
/* Give back what is held, then free it if the core has let go of it. */
void manage_leave(struct store_queue *q);
void manage_free(struct store_queue *q);
void args_signed(struct redis_store *r, int64_t v);
/* Tell what it is, if nobody has. 0 or -errno. */
int manage_tell(struct store_queue *q, request_fn *defined);
/* The same, and it is made if it is not there, and used; labels begin with that. 0 or -errno. */
int manage_make(struct store_queue *q, uint64_t label, request_fn *defined, request_fn *made);

/* ---------------------------------------------------------------------------------- gone.c */

/* Redis says that it has no such queue. */
void gone_met(struct store_queue *q);
/* A beat was answered; `wiped`: by a Redis that had forgotten this node, so all of them. */
void gone_heard(struct redis_store *r, bool wiped);

/* --------------------------------------------------------------------------------- evict.c */

/* Ask whether Redis may evict keys. */
void evict_tick(struct redis_store *r);

/* --------------------------------------------------------------------------------- nodes.c */

void nodes_tick(struct redis_store *r);
void nodes_unsteady(struct redis_store *r);
void nodes_goodbye(struct redis_store *r);
void nodes_fini(struct redis_store *r);

/* --------------------------------------------------------------------------------- names.c */

/* Go through all definitions, and tell of what is new. */
void names_scan(struct redis_store *r);
void names_message(struct redis_store *r, struct slice text);
/* Bytes of a definition as Redis keeps it; malloc'ed. NULL without memory. */
uint8_t *names_encode(const struct store_definition *d, size_t *ret_n);

#endif
