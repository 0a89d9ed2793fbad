/* mail.h - what cores tell each other: the entries, and how messages lie in them.
 *
 * Shape    Each entry is a struct with the common head first (entry.h) and, where it says so,
 *          bytes after it. Entries from one worker to another keep their order.
 *              interest  worker -> all          a filter has its first queue here, or lost it
 *              seen      back                   every publisher there knows it now
 *              want      worker -> 0            a queue is named that is not known
 *              make      0 -> home              make it; made: it is there, and seen by all
 *              known     0 -> all               where it lives, or that it does not
 *              gone      home -> 0 -> all       it was deleted
 *              delete    any -> home            delete it; removed: its store has done so
 *              run       publisher's -> queue's messages; settled: what became of them
 *              foreign   the same, from another broker (outlet.h)
 *              attach .. consumer's -> queue's  what the consumer did
 *              deliver.. queue's -> consumer's
 *              settle    any -> queue's         a delivery, by its reference; resolved: back
 *              serve     server's -> 0 -> home  a server came; unserve: it went
 *              placed    home -> 0              the home of its service has a place for it
 *              service   0 -> all               where a service is at home, or that nobody serves
 *                                               it; answered by `seen`
 *              served    0 -> server's          all know of it
 *              call_open caller's -> home -> server's; back: the server has gone
 *              call_taken, next, n, complete, cancel, error   between caller's and server's
 *              call_ended server's -> home      one call fewer
 * Owner    The room belongs to the worker; blocks in it to the entry, one reference each, until
 *          it is taken (mail_unpack) or released (entry_release).
 * Thread   Filled by the poster's thread, read by the taker's. */
#ifndef BROKERD_CORE_MAIL_H
#define BROKERD_CORE_MAIL_H

#include "brokerd/core/entry.h"
#include "brokerd/core/message.h"
#include "brokerd/core/slots.h"
#include "brokerd/core/state.h"

enum mail_kind {
    MAIL_INTEREST = 1,
    MAIL_SEEN,
    MAIL_WANT,
    MAIL_MAKE,
    MAIL_MADE,
    MAIL_KNOWN,
    MAIL_GONE,
    MAIL_DELETE,
    MAIL_REMOVED,
    MAIL_RUN,
    MAIL_SETTLED,
    MAIL_ATTACH,
    MAIL_ATTACHED,
    MAIL_READY,
    MAIL_CREDIT,
    MAIL_WRITTEN,
    MAIL_ACK,
    MAIL_DETACH,
    MAIL_PART,
    MAIL_SETTLE,
    MAIL_RESOLVED,
    MAIL_DELIVER,
    MAIL_CLOSED,
    MAIL_SERVE,
    MAIL_UNSERVE,
    MAIL_PLACED,
    MAIL_SERVICE,
    MAIL_SERVED,
    MAIL_CALL_OPEN,
    MAIL_CALL_BACK,
    MAIL_CALL_TAKEN,
    MAIL_CALL_NEXT,
    MAIL_CALL_N,
    MAIL_CALL_COMPLETE,
    MAIL_CALL_CANCEL,
    MAIL_CALL_ERROR,
    MAIL_CALL_ENDED,
    MAIL_FOREIGN,
};

struct mail_interest {
    struct entry head;
    uint64_t token; /* the announcer's queue, tap or consumer; 0: no answer wanted */
    uint16_t on, filter_n;
    char filter[];
};

/* seen; and delete, removed, whose token is the queue. */
struct mail_seen {
    struct entry head;
    uint64_t token;
};

/* want, make: name, then bindings (u8 length, filter)*, then own settings as headers. */
struct mail_name {
    struct entry head;
    handle_t queue; /* made, known: where it lives; 0: it does not. make: it is there, and has these
                     * bindings and settings now (found) */
    uint32_t reason; /* made, known: why not */
    uint32_t filters_n, headers_n;
    uint16_t name_n;
    uint8_t level, found; /* make: what keeps it; a store has it */
    _Alignas(8) uint8_t bytes[];
};

/* Messages, packed: see mail.c. `topic` first, then the type's name, then the messages. */
struct mail_run {
    struct entry head;
    handle_t publisher; /* 0: nobody waits for an answer */
    uint64_t first;     /* number of the first message */
    handle_t queue;     /* that queue alone; 0: all that match the topic */
    uint64_t id;
    int64_t time_ms;
    uint64_t bytes_n;
    uint32_t n;
    uint16_t topic_n;
    uint8_t may_hold, type_id, type_n;
    _Alignas(8) uint8_t bytes[];
};

struct mail_settled {
    struct entry head;
    handle_t publisher;
    uint64_t first;
    uint32_t count;
    struct answer answer;
    struct blamed by; /* queue 0: the rest is empty */
    uint8_t label_n;
    char label[]; /* of that queue */
};

struct mail_attach {
    struct entry head;
    handle_t queue, consumer;
    uint64_t credit;
    uint32_t filters_n, ack_ms;
    struct replay replay;
    uint8_t manual_ack, facts;
    _Alignas(8) uint8_t bytes[];
};

/* attached (from the tap's side), ready, credit, written, detach, part: one struct, the fields
 * each needs. */
struct mail_tap {
    struct entry head;
    handle_t tap, consumer;
    uint64_t number; /* credit: how much; written, detach, part: up to which delivery */
    uint64_t bytes;  /* written: payload since the last */
};

struct mail_ack {
    struct entry head;
    handle_t tap;
    uint64_t first;
    uint32_t count, arg_ms;
    uint32_t verb;
};

/* settle, resolved. */
struct mail_settle {
    struct entry head;
    handle_t tap, asker; /* the asker's endpoint; 0: nobody wants to know */
    uint64_t number, token;
    uint32_t verb; /* 0: the tap is taken over */
    uint32_t arg_ms;
    bool settled; /* resolved */
};

struct mail_deliver {
    struct entry head;
    handle_t consumer;
    uint64_t first, seq, id;
    int64_t time_ms;
    uint64_t bytes_n;
    uint32_t n, attempt;
    uint16_t topic_n, gaps_n;
    uint8_t type_id, type_n;
    _Alignas(8) uint8_t bytes[]; /* gaps (struct gap), then as in mail_run */
};

struct mail_closed {
    struct entry head;
    handle_t consumer;
    uint64_t lost;
    struct refusal why;
};

/* serve, unserve, placed, served, service. */
struct mail_service {
    struct entry head;
    handle_t server;
    uint64_t token;   /* service: for `seen` */
    uint16_t home;    /* service */
    uint8_t is_known; /* service: somebody serves it */
    uint8_t name_n;
    char name[];
};

/* A call's payload, packed: call_mail.c. */
struct packed_payload {
    const void *form;
    struct block *block; /* holds the data: one reference; else they follow */
    const uint8_t *data;
    uint32_t data_n, headers_n, native_n;
    uint8_t has_native, type_id, type_n;
    uint8_t complete; /* it is the last */
};

/* open, back. */
struct mail_call_open {
    struct entry head;
    handle_t caller;        /* 0: nobody waits for an answer */
    handle_t server, place; /* to the home: 0; back to it: the place that did not take it */
    uint64_t credit;
    struct packed_payload payload;
    uint16_t method_n;
    uint8_t service_n, model;
    uint8_t tries;               /* servers that had no room */
    bool more;                   /* to a server: if it has no room another may */
    bool gone;                   /* back to the home: the server has */
    _Alignas(8) uint8_t bytes[]; /* service, method, then the payload's */
};

struct mail_call_next {
    struct entry head;
    handle_t call;
    struct packed_payload payload;
    _Alignas(8) uint8_t bytes[];
};

/* taken, n, complete, cancel, error, ended: one struct, the fields each needs. */
struct mail_call {
    struct entry head;
    handle_t call;  /* whom it is for; ended: the place */
    handle_t other; /* taken: the server's side */
    uint64_t n;     /* n: how many more; ended: 1, it was refused */
    uint32_t code, text_n;
    uint32_t reason;
    _Alignas(8) uint8_t bytes[]; /* error: the text */
};

/* Room for an entry of `kind` to worker `to`, `size` bytes with its head. NULL: no memory, or
 * too much on its way (only if not `credited`). */
void *mail_post(struct core *c, unsigned to, enum mail_kind kind, size_t size, bool credited);
/* What was to be said cannot be, for want of memory: that is counted. */
void mail_lost(struct core *c);

/* How a run is packed: the bytes it needs, those it refers to besides, and its form. */
struct packing {
    size_t size, refers;
    bool in_one;
};
struct packing mail_measure(struct slice topic, const struct run *run);

/* Room for a MAIL_RUN with a run packed so. */
struct mail_run *mail_post_run(struct core *c, unsigned to, const struct packing *k, bool credited);

/* Pack the run that was measured; large payloads in blocks go by reference. */
void mail_pack(uint8_t *to, struct slice topic, const struct run *run, const struct packing *k);

/* The messages packed at `bytes`, as views in v and metas (RUN_MAX each); returns the run's
 * head_room, which is the taker's to write to. Blocks are borrowed from the entry: mail_unref()
 * drops them after use. */
struct packed {
    const uint8_t *bytes;
    uint16_t topic_n;
    uint8_t type_n;
    uint32_t n;
};
uint8_t mail_unpack(const struct packed *p, struct msg_view *v, struct msg_meta *metas);
void mail_unref(const struct packed *p);

#endif
