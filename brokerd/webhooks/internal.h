/* internal.h - what the files of this room share: a webhook, and a worker's part.
 *
 * Shape    A hook has up to `window` slots; each holds one delivery of the core's:
 *
 *              free --deliver()--> waiting --pace allows--> flying --done--> free
 *
 *          It grants the core no more credit than the slots its pace has room for, so what waits
 *          here is at most what came before the pace fell; the rest waits in the queue.
 * Thread   A desk and its hooks are their worker's. */
#ifndef BROKERD_WEBHOOKS_INTERNAL_H
#define BROKERD_WEBHOOKS_INTERNAL_H

#include "brokerd/webhooks/pace.h"
#include "brokerd/webhooks/post.h"
#include "brokerd/webhooks/webhooks.h"
#include "libbroker/base/heap.h"
#include "libbroker/base/list.h"
#include "libbroker/base/map.h"

#include <stdatomic.h>

enum {
    HOLD_MS = 15000,        /* a delivery is kept for so long beyond its request's time-out */
    HOLD_AGAIN_MS = 5000,   /* and this is said again so often */
    ATTACH_AGAIN_MS = 1000, /* after the queue could not be had */
    REST_MS = 15000,        /* without anything to send */
    COPY_MAX = 4096,        /* a larger payload is referred to */
    GAPS_TEXT = 128,
};

struct hook;

/* One delivery. */
struct slot {
    struct list_node link; /* in one of hook's lists */
    struct hook *hook;
    unsigned epoch;  /* which of its hook's consumers it is of */
    uint64_t number; /* of the delivery */
    uint64_t ticket; /* flying: the pace's */
    uint64_t id;
    int64_t time_ms;
    uint32_t attempt;
    bool is_lost;   /* no memory to keep it: it goes back at once */
    uint8_t *bytes; /* topic, headers, type's name and, unless in `block`, the payload */
    size_t bytes_n;
    struct block *block;
    struct slice topic, headers, data;
    struct ctype type;
    char gaps[GAPS_TEXT];
    struct post post;
};

enum hook_state {
    HOOK_ATTACHING, /* its queues are being made */
    HOOK_ACTIVE,
    HOOK_STOPPING, /* while requests are under way */
    HOOK_DISABLED,
};

struct hook_counters {
    uint64_t attempts, delivered, failed, dead, skipped, left_out;
    uint64_t status[6]; /* answers by hundreds; [0]: none came */
    uint64_t ends[ATTEMPT_NO_MEMORY + 1];
    uint64_t opened, disabled; /* times */
};

/* Which of the two queues a consumer is of. */
struct side {
    struct hook *hook;
    bool is_dead;
};

struct hook {
    struct desk *desk;
    struct webhook_spec *spec;
    bool is_settings;  /* made by the settings */
    bool is_enabled;   /* wanted; `state` follows */
    bool is_beginning; /* has neither been attached yet nor failed to */
    enum hook_state state;
    char why[256]; /* not enabled: by whom or what; attaching: what is in the way */

    struct endpoint *ep;
    struct side side[2];
    struct consumer *consumer, *maker; /* of the queue; of the dead letters' queue, while made */
    bool is_attached, is_made;         /* they were said to be ready */
    unsigned epoch;                    /* of the consumer: another one counts anew */
    int64_t attach_at_ms;              /* try again; INT64_MAX: not */
    uint64_t credit;                   /* granted and not used */

    /* Made when there is something to send, and given up when there has been nothing for a while:
     * there may be thousands that seldom have anything, and each such costs 130 KiB and two
     * descriptors. */
    struct poster *poster;
    uint32_t slots_n;   /* made, at most spec->window */
    int64_t rest_at_ms; /* give up both; INT64_MAX: it is at work, or rests */

    struct pace pace;
    struct list free, fresh, waiting, flying; /* fresh: came since it was last looked at */
    unsigned waiting_n, flying_n;             /* fresh ones count as waiting */
    int64_t hold_at_ms;                       /* extend again */
    struct spec_list dropped; /* topics that are its no more, though its queue is bound to them */

    struct hook_counters count;
    struct {
        enum attempt_end end;
        unsigned status;
        char error[POST_ERROR_MAX];
        int64_t at_ms; /* wall clock; 0: none has failed */
    } last;            /* attempt that failed */
    int64_t took_us;   /* by answers, a moving average */
    struct test *test;
    struct log_limit failing, dying;

    struct map_entry *entry;
    struct list_node ready; /* in desk->ready: look at it in this turn */
    struct heap_node due;   /* in desk->due */
};

/* An event sent on purpose. */
struct test {
    struct post post;
    struct poster *poster; /* its own: it tells what a new connection meets */
    webhooks_test_fn *done;
    void *ctx;
    struct hook *hook;
    struct webhook_spec *spec; /* of its beginning: the hook may be changed meanwhile */
    int64_t wall_ms;
    char *body; /* unless the request has its own */
    bool is_over;
};

/* One worker's part. */
struct desk {
    struct webhooks *wh;
    struct worker *worker;
    struct core *core;
    struct map hooks;
    struct list ready;
    struct heap due;
    uint64_t random;
};

struct webhooks {
    struct webhooks_options o;
    struct workers *workers;
    atomic_bool draining;
    atomic_uint under_way;
    atomic_uint beginning; /* hooks; and rosters on their way */
    uint64_t seed;
    unsigned n;
    struct desk desk[CORE_MAX_WORKERS];
};

/* ------------------------------------------------------------------------------------ a webhook */

/* One that begins to attach, unless it is disabled. -ENOMEM. */
int hook_new(struct desk *d, struct webhook_spec *s, bool is_settings, struct hook **ret);
/* No core callback comes after; gives up what is under way. */
void hook_free(struct hook *h);

/* It is told to be something else from now on. -ENOMEM: it stays as it was. */
int hook_change(struct hook *h, struct webhook_spec *s);

/* Sends no more; returns at once. `why` is for people. */
void hook_disable(struct hook *h, const char *why);
void hook_enable(struct hook *h);

/* Something has happened: look at it in this turn. */
void hook_mark(struct hook *h);

/* In the turn: take what is over, settle it, and let the core deliver as much as may be sent. */
void hook_input(struct hook *h);
/* Send what the core has delivered. True if the core was called. */
bool hook_output(struct hook *h);

/* When it wants to be looked at next. */
void hook_schedule(struct hook *h);

/* Tell an event of it. */
void hook_tell(struct hook *h, const char *kind, enum log_level level, const char *what,
               const char *fmt, ...) __attribute__((format(printf, 5, 6)));

uint32_t desk_random(struct desk *d);

/* -------------------------------------------------------------------------------------- its looks
 */

json_t *hook_json(const struct hook *h);
/* Its URL; of a query, which may have secrets, only that there is one. */
json_t *url_json(const struct webhook_spec *s);
/* The same with its settings. */
json_t *hook_json_whole(const struct hook *h);

/* ------------------------------------------------------------------------------------------ tests
 */

int test_start(struct hook *h, webhooks_test_fn *done, void *ctx);
/* Go on, tell if it is over. True if it is, and freed. */
bool test_run(struct test *t, int64_t now_ms);
void test_free(struct test *t);

#endif
