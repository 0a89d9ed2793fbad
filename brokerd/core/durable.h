/* durable.h - a durable queue: a window in memory onto what its store keeps (docs/stores.md).
 *
 * Why      What is kept on a disk or elsewhere comes and goes by answers, turns later. Here is what
 *          lies between: what is put and not yet kept, what is kept and not in memory, and what the
 *          store is still to be told. The queue itself (queue.h), its taps and its policies work on
 *          the window as on any queue.
 * Shape    By number, oldest first:
 *
 *              in flight | window: fifo, back | only in the store | unstored | held
 *                                             w                 stored      next
 *
 *          Always: each message below `w` is in memory or gone; none from `w` on is in memory, but
 *          unstored and held ones; while any is only in the store, what gets stored does not enter
 *          the window: it is fetched in its turn. The window can be cut from its end at no loss.
 *          A shared store numbers by itself: `w` means nothing, and what is kept comes by fetch.
 *
 *          What waits outside memory counts in the backlog's `waiting` and `bytes`, so that limits
 *          hold for all of it, and in `unready_n`, so that nobody tries to deliver it.
 * Owner    The queue's backlog. Unstored messages and their places are charged to the budget.
 * Thread   The queue's worker. */
#ifndef BROKERD_CORE_DURABLE_H
#define BROKERD_CORE_DURABLE_H

#include "brokerd/core/dedup.h"
#include "brokerd/core/store.h"

struct offer;

enum {
    DURABLE_WINDOW = 8 << 20, /* bytes of a window, one message at least */
    DURABLE_PLACE = 128,      /* what a message in it counts for, beside its payload */
    DURABLE_HOLES = 1024,     /* numbers in a row that the fifo may have nothing for */
    DURABLE_SETTLEMENTS = 64, /* gathered before they are handed over, in the turn */
    DURABLE_BEYOND = 16384,   /* that a queue which drops its oldest may exceed its limit by, while
                               * the oldest is being fetched */
    DURABLE_BEYOND_BYTES = 16 << 20,
    DURABLE_LETTERS = STORE_UNSTORED_MAX, /* not settled: no more messages are fetched */
};

/* Put, and the store has not answered. */
struct unstored {
    struct msg *msg;    /* NULL: there is no room for it in the window, it will be fetched */
    handle_t publisher; /* 0: nobody waits for the answer */
    uint64_t number;
    int64_t since_ms;
    uint32_t len;
};

/* Of those, one with an id that counts; or a repeat of such, whose answer waits for its. */
struct unstored_id {
    uint64_t seq; /* the message's; a repeat's: the last that was put before it came */
    bool repeats;
    handle_t publisher; /* of a repeat */
    uint64_t number;
    enum reason reason; /* of a repeat: the message was refused for it */
    uint64_t next; /* in `ids`: the last repeat of it, or the one before this; 0: there is none */
    struct dedup_key key;
};

struct storage {
    struct queue *queue;
    struct store *store;
    struct store_queue *at;   /* NULL: closed by the store, which could not open it */
    struct list_node link;    /* in core->durables */
    struct list_node touched; /* in core->touched while the end of the turn is to look at it */
    struct timer timer;       /* not open: when that is too long, or is tried again */
    int64_t since_ms;         /* not open since */
    char *trouble;            /* why not, as far as the store has said; or NULL */
    bool shared;              /* as its store's table says */
    bool open;                /* may be put to */
    bool stays;               /* else it is no queue if it cannot be opened (making.h) */
    bool late;                /* people were told that it is not open */
    bool fetching;
    unsigned rewinds;    /* it is to go on elsewhere, and stands nowhere (replay.h): not answered */
    bool news;           /* shared: there may be something to fetch */
    bool starved;        /* it has its part of a short budget: it looks again each turn */
    bool gap;            /* the next number is so far off that the fifo is to be empty first */
    enum reason refuses; /* put() does, until STORED_ROOM; or REASON_NONE */
    bool busy;           /* for too much is on its way, or it is being opened: that passes */
    uint64_t w;          /* what is fetched next */
    uint64_t fixed;      /* what is below came back from a fetch, and stays */
    uint64_t moved;      /* shared: messages that are wanted for a move (manage.c) */
    uint64_t asked;      /* messages asked for by the fetch that is on its way */
    int64_t coming;      /* bytes that it may take, counted in core->windows */
    uint64_t window;     /* bytes that it may have; DURABLE_WINDOW */
    uint64_t away_n, away_bytes;            /* only in the store */
    uint64_t unstored_bytes, delayed_bytes; /* payload */
    struct deque unstored; /* struct unstored, by number; first: `stored`, end: `next` */
    struct deque ids;      /* struct unstored_id */
    uint64_t repeated;     /* in `ids`: after the last that was repeated; repeats come in order */
    struct topic *topic;   /* of the last message fetched, or NULL */
    struct store_facts known; /* shared: how it stood when the store told last */
    unsigned letters;         /* dead letters of it that are on their way, or rest; of those */
    unsigned letters_back;    /* were refused for what passes, and are sent again and again */
    enum reason letters_why;  /* the last of them for that; REASON_FULL: a store is full */
    int64_t letters_since_ms; /* there are some */
    uint64_t damaged;         /* messages that the store has lost */
    unsigned settlements_n;
    struct store_settlement settlements[DURABLE_SETTLEMENTS];
};

/* ------------------------------------------------------------------------ from its making on */

/* Have `q`, new and empty, kept by `s`: the store is asked to open it. -ENOMEM: nothing changed.
 * Until durable_begin() nothing can be put. */
int durable_open(struct queue *q, struct store *s, const struct store_open *o);

/* The store could not: it is asked again. -ENOMEM. */
int durable_open_again(struct queue *q, const struct store_open *o);

/* The store could not open it, and says why (NULL: it does not): nothing is put until it can. */
void durable_not_opened(struct storage *d, const char *text);

/* The store has opened it (STORED_OPEN without a reason): it stands as `f` says. */
void durable_begin(struct queue *q, const struct store_facts *f);

/* It is the store's alone from now on, or with `remove` deleted there, too: what was to be told is
 * handed over. Nobody hears of what is unstored: see durable_end(). Nothing happens to a queue that
 * has no store. */
void durable_close(struct queue *q, bool remove);

/* The queue is about to end: whoever waits for the store's answer is told `reason`. */
void durable_end(struct queue *q, enum reason reason);

/* An answer for `q`: put, room, messages, lost, news. */
void durable_stored(struct queue *q, const struct stored *a);

/* All that waits is let go of but what is unstored: what is on its way in a fetch, too. The store
 * is told nothing (queue_purge() calls this, and whoever purges asks the store to). */
void durable_forget(struct storage *d);

/* It is opened, purged, or goes on elsewhere: where it stands then is set here only. Nothing that
 * is stored is in memory, `messages` are only in the store, and number `w` is fetched next
 * (exclusive; while it is to go on elsewhere: none). Unstored ones are as they were. */
void durable_stand(struct storage *d, uint64_t w, uint64_t messages, uint64_t bytes);

/* The same as the store says. */
void durable_stand_as(struct storage *d, const struct store_facts *f);

/* ----------------------------------------------------------------------------------- offers */

/* Put the messages of an offer from i on, as many in a row as store, limits and budget allow, in
 * one call. `beyond`: limits do not count, the oldest will make room. Returns how many; if that is
 * not all, *ret_why says why the next was not. */
uint32_t durable_put(struct queue *q, struct offer *o, uint32_t i, bool beyond,
                     enum reason *ret_why);

/* The same for one that was held: REASON_NONE, or why not. */
enum reason durable_put_held(struct queue *q, const struct held *h, bool beyond);

/* Would one of `len` bytes be put now, within limits? */
bool durable_takes(struct queue *q, uint32_t len);

/* Has its store yet to open it? Then it is bound, and nothing can be done with it. */
static inline bool durable_is_shut(const struct queue *q)
{
    return q->backlog->stored && !q->backlog->stored->open;
}

/* What was rejected or has expired is in memory until its letter has settled: where so many can go
 * nowhere, no more is fetched, or all that is stored would come into memory by and by. */
static inline bool durable_has_letters(const struct storage *d)
{
    return d->letters >= DURABLE_LETTERS;
}

/* Does the store take nothing at the moment, whatever the limits are? */
static inline bool durable_refuses(const struct queue *q)
{
    const struct storage *d = q->backlog->stored;

    return !d->open || d->refuses != REASON_NONE;
}

/* What was gathered of settlements goes to the store, in the order that other calls have. */
void durable_hand_over(struct storage *d);

/* A repeat of a message with an id has come. 1: the one before it is not stored yet, and the answer
 * will be the same as its; 0: it is. -ENOMEM. */
int durable_repeats(struct queue *q, struct dedup_key key, handle_t publisher, uint64_t number);

/* ------------------------------------------------------------------- what becomes of messages */

/* Message `seq`, which was stored, is gone. */
void durable_gone(struct storage *d, uint64_t seq);

/* It came back after `attempts` deliveries, due in `delay_ms`. */
void durable_returned(struct storage *d, uint64_t seq, uint32_t attempts, int64_t delay_ms);

/* Let the end of the turn look at it: something was taken from its window, or may be wanted. */
void durable_touch(struct storage *d);

/* The end of the turn: hand over settlements, fetch, cut windows if the budget is short. Returns
 * when it is to be done again though nothing happens until then; or INT64_MAX. */
int64_t durable_turn(struct core *c);

/* Is anything put and not stored, settled and not handed over, or a dead letter on its way? */
bool durable_busy(const struct core *c);

static inline uint64_t durable_unstored(const struct storage *d)
{
    return deque_len(&d->unstored);
}

/* Of what waits in a queue, how many are delayed. */
static inline uint64_t durable_delayed(const struct queue *q)
{
    const struct storage *d = q->backlog->stored;

    return q->backlog->unready_n - (d ? d->away_n + durable_unstored(d) : 0);
}

#endif
