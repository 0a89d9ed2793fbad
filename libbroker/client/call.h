/* call.h - calls to services, as their caller and as their server, seen from inside.
 *
 * Shape    A call is one stream with two directions, each open until it is `done`:
 *
 *                        out (what this side sends)       in (what comes)
 *              caller    done but on a channel            the answers, by `in_credit`
 *              server    the answers, by `out_credit`     done but on a channel
 *
 *          When both are done, or with an ERROR, CANCEL, or the connection, it is `over`: its
 *          stream is closed, how it ended is kept, and it stands in broker.over_calls until the
 *          turn has told on_end. It lives on until the program frees it. Given back in the middle
 *          of a turn it goes to broker.gone_calls, for the turn's end to free.
 * Resend   A caller's request is kept until anything of it has been written (link.written): a
 *          connection lost before then loses nothing.
 * Thread   Under the handle's lock. */
#ifndef BROKER_CLIENT_CALL_H
#define BROKER_CLIENT_CALL_H

#include "libbroker/client/client.h"

enum {
    CL_CALL_CREDIT = 256,    /* messages under way to this side, where nobody says */
    CL_FAIL_TEXT_MAX = 1024, /* bytes of what broker_call_fail() says */
};

/* What waits for broker_call_next(). */
struct cl_call_item {
    STAILQ_ENTRY(cl_call_item) link;
    broker_message *m;
};

/* What a call tells its program, and the credit it gives. */
struct cl_call_manner {
    uint32_t window;
    bool manual_credit;
    broker_call_message_fn *on_message;
    broker_call_complete_fn *on_complete;
    broker_call_credit_fn *on_credit;
    broker_call_end_fn *on_end;
};

struct broker_call {
    struct cl_stream stream;
    broker *b;
    TAILQ_ENTRY(broker_call) link;         /* in broker.calls or broker.gone_calls */
    TAILQ_ENTRY(broker_call) over_link;    /* in broker.over_calls */
    TAILQ_ENTRY(broker_call) waiting_link; /* in broker_service.waiting */
    enum broker_call_model model;
    bool server;
    bool asked;    /* a server's: the request is complete */
    bool in_done;  /* nothing comes any more */
    bool out_done; /* nothing goes any more */
    bool stopped;  /* the other side wants no more of ours */
    bool starved;  /* a send found no room: on_credit is owed when there is some */
    bool over, telling, waiting, gone;
    broker_service *service; /* a server's; NULL: unserved meanwhile */
    struct cl_call_manner m;
    void *user;
    uint64_t in_credit, out_credit;
    uint32_t taken; /* dealt with, and the other side has not been told */
    int64_t deadline;
    uint64_t sent_at; /* link.queued before the request */
    STAILQ_HEAD(, cl_call_item) items;
    struct broker_call_end end; /* of one that is over; its text is end_text */
    char *end_text;             /* NULL: none */
    broker_message *request;    /* a server's */
    char *target;               /* SERVICE, NUL, METHOD */
    const char *method;
    uint8_t *kept; /* a caller's request: metadata, then data; NULL: it has been written */
    size_t metadata_n, data_n;
};

TAILQ_HEAD(cl_waiting_calls, broker_call);

struct broker_service {
    struct cl_stream stream; /* of the offer, until it is answered */
    broker *b;
    TAILQ_ENTRY(broker_service) link;
    char *name;
    struct cl_call_manner m;
    broker_call_fn *on_call;
    broker_serving_fn *on_serving;
    void *user;
    uint32_t max_calls, open_calls;
    uint64_t taken, refused;
    struct cl_waiting_calls waiting; /* for broker_service_next() */
    bool serving;                    /* the broker has taken the offer */
    int error;                       /* it has not: BROKER_* */
    char text[CL_TEXT_MAX];
};

/* The call is over: close its stream, keep how it ended, have on_end told. Once; later ones are
 * ignored. */
void cl_call_over(broker_call *c, int error, int reason, uint32_t code, const char *text);

/* Over, if both directions are done. */
void cl_call_check_over(broker_call *c);

/* Enter a call that is zeroed but for `b`. */
void cl_call_enter(broker_call *c);

/* Free it now, or at the turn's end. */
void cl_call_drop(broker_call *c);

/* The message that b->lent has been made is this side's: hand it out. */
void cl_call_deliver(broker_call *c);

/* Let the other side send `n` more, at the start of a server's channel. */
void cl_call_grant_first(broker_call *c);

/* A server's request is complete: find who serves it. */
void cl_call_asked(broker_call *c, const struct rs_frame *f);

/* What broker_call_credit() says. */
size_t cl_call_room(const broker_call *c);

/* Is this a credit? BROKER_OK or BROKER_INVALID. */
int cl_call_check_credit(broker *b, uint32_t credit);

#endif
