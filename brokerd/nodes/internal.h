/* internal.h - what the files of this room share.
 *
 * Thread   Worker 0's; a part's interest is its worker's. */
#ifndef BROKERD_NODES_INTERNAL_H
#define BROKERD_NODES_INTERNAL_H

#include "brokerd/core/outlet.h"
#include "brokerd/core/route.h"
#include "brokerd/core/tree.h"
#include "brokerd/nodes/interest.h"
#include "brokerd/nodes/nodes.h"
#include "brokerd/nodes/pack.h"
#include "brokerd/store/redis/link.h"
#include "libbroker/base/name.h"

enum {
    KEY_MAX = 256,        /* bytes of a key or channel */
    CHUNKS_FLYING = 4,    /* entries of one node that Redis has not answered for */
    READ_ENTRIES = 16,    /* read at a time, */
    READ_BYTES = 1 << 22, /* but one by one where they are as large as this together */
    READ_FAILURES = 4,    /* one by one, what came was no reply: it cannot be read */
    MISSED_MS = 50,       /* subscribers are told so often at most */
    READ_BLOCK_MS = 500,  /* waited for, if there are none */
    VIEWS_MAX = 256,      /* messages unpacked at a time */
    AGAIN_MS = 1000,      /* after an answer of no use */
    ARGS_MAX = 512,       /* filters in one command */
};

struct peer;

/* Messages for another node: being packed, then an entry on its way. */
struct chunk {
    struct list_node link;  /* in nodes->chunks, as they were begun */
    struct list_node ready; /* in peer->ready, until it is sent */
    struct nodes *nodes;
    struct peer *peer; /* NULL: it has gone meanwhile */
    struct pack pack;
    uint64_t start;    /* position of the outlet's output when it was begun */
    uint64_t first;    /* number of its first message */
    uint64_t messages; /* 0: it says how far the numbers went, see out_mark() */
    size_t charged;    /* of the budget */
};

/* Another node. */
struct peer {
    struct list_node link; /* in nodes->peers */
    struct nodes *nodes;
    struct map filters; /* that it wants: values are the peer */
    bool alive;
    bool seen;    /* in the list that is being looked at */
    bool reading; /* its filters were asked for, */
    bool reread;  /* and have changed since */
    uint64_t beat, version;
    uint64_t asked_version; /* reading: what it will have then */
    int64_t silent_ms;

    /* what goes to it */
    uint64_t session, next; /* number of the next message */
    struct chunk *open;     /* being packed, or NULL */
    struct list ready;      /* struct chunk */
    unsigned flying;
    bool mark;        /* it may not know how far its numbers went */
    bool last_marked; /* and was told for the last time */

    /* what comes from it */
    uint64_t their_session, expected;

    uint64_t forwarded, lost, received, missed;
    char inbox[KEY_MAX];
    char id[NODES_ID_MAX];
};

/* An entry that was read. */
struct entry_in {
    struct list_node link; /* in nodes->inbox */
    size_t n;
    uint8_t bytes[];
};

/* A worker's. */
struct part {
    struct nodes *nodes;
    struct worker *worker;
    struct interest interest;
};

struct nodes {
    struct workers *workers;
    struct worker *worker; /* 0 */
    struct core *core;
    struct link *link;   /* commands */
    struct link *reader; /* reads that wait */
    void (*event)(void *ctx, enum log_level level, const char *kind, const char *node,
                  const char *text);
    void *ctx;
    uint64_t seed, sessions;
    int64_t now_ms;
    char id[NODES_ID_MAX];
    char prefix[64];
    char directory[KEY_MAX], inbox_key[KEY_MAX], wants_key[KEY_MAX], channel[KEY_MAX];
    bool up;

    struct endpoint *ep;
    struct consumer *outlet;
    struct publisher *publisher;

    /* what this node wants (tell.c) */
    struct interest interest; /* of all workers */
    bool everything;          /* too much to be told one by one */
    bool told;                /* others may rely on it */
    bool clear;               /* the set may have what is not wanted: it is emptied first */
    unsigned telling;         /* commands that are not answered */
    bool failed;              /* one of them */
    int64_t tell_ms;          /* not before */
    uint64_t version;
    struct pack said; /* the changes that are being told */

    /* who there is (peers.c) */
    struct list peers;
    struct tree *wants;    /* of the peers: their filters; queues are struct peer */
    struct routes *routes; /* of that */
    size_t wanted;         /* filters the outlet is bound to */
    bool has_inbox;
    bool known;      /* what others want */
    int64_t know_ms; /* waited for until then; 0: nobody asked yet */
    bool listed;     /* and was there with the last beat */
    bool scanning;
    uint64_t beat;
    int64_t beat_ms, scanned_ms; /* next; last */

    /* out.c */
    uint64_t position, written;
    struct list chunks;

    /* in.c */
    struct list inbox; /* struct entry_in */
    struct unpack unpack;
    bool unpacking; /* the first of inbox */
    struct peer *from;
    bool asked;        /* a read is on its way */
    int64_t asked_ms;  /* the last was sent then */
    int64_t kept_ms;   /* the inbox was there then, and its Redis answered */
    unsigned read_n;   /* entries it asks for */
    unsigned failures; /* reads, one after the other, of what cannot be read */
    uint64_t no_reply; /* link_counts(reader).malformed, when that was looked at last */
    bool missed;       /* subscribers are to be told of a gap, */
    int64_t missed_ms; /* not before */
    int64_t read_ms;   /* not before */
    char *ids;         /* of entries to be deleted, one after the other, terminated each */
    size_t ids_n, ids_cap, ids_count;
    uint64_t credit;
    struct msg_view views[VIEWS_MAX];
    struct msg_meta metas[VIEWS_MAX];

    bool stopping, bye_said, stopped;
    struct log_limit trouble, losing, missing, unsure, junk;
    struct nodes_facts facts;
    uint64_t lost_told, missed_told; /* of facts: so many were in a line of the log */
    unsigned parts_n;
    struct part part[CORE_MAX_WORKERS];
};

/* Something happened. */
void nodes_tell(struct nodes *n, enum log_level level, const char *kind, const char *node,
                const char *fmt, ...) __attribute__((format(printf, 5, 6)));
/* An answer was of no use; told, but not too often. */
void nodes_trouble(struct nodes *n, const char *what, const struct link_answer *a);

/* A command whose key is its second argument, or which has none; -errno as link_send(). */
int nodes_send(struct nodes *n, const struct slice *args, unsigned args_n, link_answer_fn *done,
               void *ctx);
/* It was answered, and not by an error. */
bool answer_is_good(const struct link_answer *a);
/* With a number, *ret. */
bool answer_number(const struct link_answer *a, long long *ret);

/* ---- tell.c */
void tell_changes(struct nodes *n);
/* It is not there, or not as it should be: all is to be told anew. */
void tell_again(struct nodes *n);

/* ---- peers.c */
void peers_beat(struct nodes *n);
/* Another said something on the channel. */
void peers_hear(struct nodes *n, struct slice text);
/* Has every other's set been read? */
bool peers_known(const struct nodes *n);
struct peer *peers_find(const struct nodes *n, struct slice id);
/* One that has said something before it was found; NULL: there are too many, or no memory. */
struct peer *peers_get(struct nodes *n, struct slice id);
void peers_free(struct nodes *n);

/* ---- out.c */
/* As endpoint_ops.deliver(). */
uint64_t out_take(struct nodes *n, const struct delivery *d);
void out_send(struct nodes *n);
/* A peer has gone: what was for it is lost. */
void out_forget(struct peer *p);
/* Messages that are packed, and not answered for. */
uint64_t out_messages(const struct nodes *n);
/* All was sent and answered. */
bool out_is_empty(const struct nodes *n);
/* Once a second: tell those that may not know it how far their numbers went. */
void out_mark(struct nodes *n);
/* Once a second: people hear how many were lost since they last did. */
void out_tell(struct nodes *n);

/* ---- in.c */
/* Publish what was read, as far as there is credit; read more. True: the core was called. */
bool in_publish(struct nodes *n);
void in_read(struct nodes *n);
/* So many messages of `p` did not come (0: nobody knows), and `why` is what is known about it:
 * counted, told, and subscribers hear of a gap. */
void in_miss(struct nodes *n, struct peer *p, uint64_t count, const char *why);
/* Subscribers hear of it, if they were told too lately before. */
void in_tell(struct nodes *n);
/* People, too: how many `of` that one, or others, were lost since they last did. */
void in_tell_people(struct nodes *n, const char *of);
void in_free(struct nodes *n);

#endif
