/* internal.h - what the files of this room share.
 *
 * Thread   A desk is its worker's. An ask belongs to the worker it visits at the time; its
 *          fields `call` and `link` to its home all the while. */
#ifndef BROKERD_ADMIN_INTERNAL_H
#define BROKERD_ADMIN_INTERNAL_H

#include "brokerd/admin/admin.h"
#include "brokerd/core/call.h"
#include "brokerd/core/inspect.h"
#include "brokerd/core/manage.h"
#include "libbroker/base/list.h"
#include "libbroker/base/log.h"

#include <jansson.h>
#include <stdatomic.h>

enum {
    ASKS_MAX = 64,           /* unanswered calls of one worker's connections */
    REQUEST_MAX = 64 * 1024, /* bytes of a request */
    WALK_STEPS = 8192,       /* places looked at in one turn (inspect_queues) */
    EVENTS_MAX = 256,        /* waiting to be published */
    EVENT_KINDS = 16,        /* that have log limits of their own */
    METRICS_QUEUES = 1000,   /* told of one by one, unless the settings say otherwise */
    CONTENT_JSON = 0x05,     /* application/json among RSocket's well-known types */
};

/* How answers are written: a share of 0.007 is not 0.0070000000000000001. */
#define ADMIN_JSON (JSON_COMPACT | JSON_REAL_PRECISION(6))

/* --------------------------------------------------------------------------------- a worker */

struct event {
    struct list_node link;
    const char *word; /* static */
    const char *text; /* for people, or "" */
    int64_t wall_ms;
    struct log_fact facts[]; /* ended by one without a key; then the bytes of all texts */
};

/* What is published on `$SYS.stats`: stats.c's own. Worker 0. */
struct stats {
    uint64_t version; /* of who listens, when it was last looked at */
    int64_t looked_ms, due_ms;
    bool under_way;
};

/* One worker's part. */
struct desk {
    struct admin *admin;
    struct worker *worker;
    struct core *core;
    struct endpoint *ep;
    struct publisher *publisher;
    struct list asks; /* struct ask that began here */
    unsigned asks_n;
    struct list stranded; /* struct ask that could not go on for want of memory */
    struct list jobs;     /* struct job: looked at in each turn */
    struct list events;   /* struct event */
    unsigned events_n;
    uint64_t events_lost; /* that found no room among them */
    struct log_limit limits[EVENT_KINDS];
    struct stats stats;
};

struct order;

struct admin {
    struct admin_options o;
    _Atomic(struct order *) orders; /* for main, the last one first (orders.c) */
    atomic_bool drain_wanted;
    struct workers *workers;
    int64_t started_ms, started_wall_ms; /* when it was made */
    atomic_uint placement, metrics_queues;
    struct desk desk[];
};

enum job_state {
    JOB_WAITS,   /* nothing was done */
    JOB_WENT_ON, /* the core was called: it must tick again */
    JOB_OVER,    /* and has freed itself */
};

/* Something that goes on for some turns. */
struct job {
    struct list_node link;
    enum job_state (*step)(struct job *j);
    void (*free)(struct job *j); /* it is not to go on: the broker stops */
};

/* ------------------------------------------------------------------------------------- asks */

struct ask;
typedef void ask_fn(struct ask *a, struct desk *d);

struct command {
    const char *name;
    const struct field *fields; /* of the request, ended by one without a name */
    ask_fn *open;               /* at the caller's worker */
};

enum field_type { FIELD_TEXT, FIELD_FLAG, FIELD_COUNT, FIELD_TEXTS, FIELD_SETTINGS, FIELD_LISTS };

struct field {
    const char *name;
    enum field_type type;
    bool required;
};

struct ask {
    struct list_node link; /* in home->asks */
    struct desk *home;
    struct call *call;             /* NULL: the caller has gone */
    atomic_bool gone;              /* the same, for others to see */
    const struct command *command; /* NULL: nobody has asked, it is the desk's own */
    json_t *request, *answer;
    struct refusal why; /* with a reason: it was refused */

    ask_fn *visit, *then;
    unsigned at, last; /* workers */
    bool again;        /* set by visit: once more here, next turn */
    bool stays;        /* set by visit: a job will ask_leave() */
    uint32_t cursor;   /* visit's own; 0 on arrival */

    struct list_node stranded; /* in desk->stranded */
    unsigned stranded_to;
    worker_fn *stranded_fn;

    uint64_t queue; /* it is about, or 0 */
    ask_fn *after;  /* queue_tell(): what comes then */
    void *data;     /* the command's own */
    void (*free_data)(void *data);
};

/* Begin a call, or -EINVAL, -EMFILE, -ENOMEM and say why not. */
int ask_open(struct desk *d, struct call *call, const struct call_request *r, struct refusal *why);
void ask_free(struct ask *a);
/* One of the desk's own, which nobody has asked: then() at its end frees it. NULL without memory.
 */
struct ask *ask_own(struct desk *d);

/* Go and visit one worker, or all of them in turn; then `then` at home, unless it was refused
 * on the way. */
void ask_visit(struct ask *a, struct desk *from, unsigned worker, ask_fn *visit, ask_fn *then);
void ask_visit_all(struct ask *a, struct desk *from, ask_fn *visit, ask_fn *then);
/* What a job calls when an ask that stays may go on. It is no more this worker's after. */
void ask_leave(struct ask *a, struct desk *d);
/* Try again what could not go on. */
void ask_resume_stranded(struct desk *d);

/* Send a->answer, free the ask. At home. */
void ask_answer(struct ask *a, struct desk *d);
/* The same with something else than JSON. */
void ask_answer_with(struct ask *a, const struct call_payload *p);

/* Note why it is refused; the text begins with the reason's word. Anywhere in visit or then;
 * in `open` and `then` ask_refused() must follow. */
void ask_refuse(struct ask *a, enum reason reason, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
/* Tell the caller and free the ask. At home. */
void ask_refused(struct ask *a, struct desk *d);

/* Keep `job` going on this worker, from this turn on. */
void desk_add_job(struct desk *d, struct job *j);

/* The commands, ended by one without a name. */
extern const struct command admin_commands[];

ask_fn cmd_info, cmd_top, cmd_route, cmd_why;
ask_fn cmd_config, cmd_reload, cmd_drain, cmd_store_snapshot, cmd_store_release;
ask_fn cmd_connections, cmd_connection, cmd_kill, cmd_consumers, cmd_subscriptions, cmd_services;
ask_fn cmd_queue_ls, cmd_queue_info, cmd_queue_peek, cmd_queue_purge, cmd_queue_rm;
ask_fn cmd_queue_add, cmd_queue_move;
ask_fn cmd_page, cmd_metrics, cmd_ready, cmd_trace, cmd_stores;
ask_fn cmd_webhook_ls, cmd_webhook_info, cmd_webhook_add, cmd_webhook_rm, cmd_webhook_test;
ask_fn cmd_webhook_enable, cmd_webhook_disable, cmd_webhook_replay;

/* --------------------------------------------------------------------------------- requests */

/* Parse and check a request against its fields. NULL: *why says what was expected. */
json_t *request_parse(const struct command *c, struct slice data, struct refusal *why);

const char *request_text(const struct ask *a, const char *key); /* NULL: absent */
bool request_flag(const struct ask *a, const char *key);
uint64_t request_count(const struct ask *a, const char *key, uint64_t otherwise, uint64_t max);

/* Whether the member `key` is a filter, or absent. False: refused, and the ask is gone. */
bool request_filter(struct ask *a, struct desk *d, const char *key);

/* The id of the queue that the member `key` names, by its name or its id; 0: refused. */
uint64_t request_queue(struct ask *a, const struct desk *d, const char *key);

/* ------------------------------------------------------------------------------------- JSON */

enum { ID_TEXT_MAX = 24, TIME_TEXT_MAX = 32 };

/* An id as text, and back: 0 if it is none of that kind ('q', 'k', 'c'). */
const char *id_text(char kind, uint64_t id, char buf[ID_TEXT_MAX]);
uint64_t id_parse(char kind, const char *text);
json_t *json_id(char kind, uint64_t id);

/* What was gathered by name in the member `key` of `o` becomes a list. */
void json_list_members(json_t *o, const char *key);

/* RFC 3339. */
const char *time_text(int64_t wall_ms, char buf[TIME_TEXT_MAX]);

json_t *json_number(uint64_t n);
/* A text from anywhere: what is not UTF-8 shows as `?`. */
json_t *json_text(const char *text);
json_t *json_slice(struct slice text);
json_t *json_reasons(const uint64_t *count); /* those above 0 */
json_t *json_counters(const struct inspect_counters *c);
json_t *json_queue(const struct inspect_queue *q);
/* What a queue's home tells of a consumer; and the rest of it, if the consumer lives on `d`. */
json_t *json_tap(const struct inspect_tap *t);
void json_tap_complete(json_t *tap, const struct desk *d);
json_t *json_message(const struct inspect_message *m, uint64_t bytes);

/* The filters that feed a queue. */
json_t *json_bindings(const struct desk *d, uint64_t queue);

/* What a queue's home tells in QueueInfo; its consumers are told by their own workers. */
json_t *json_queue_info(const struct desk *d, const struct inspect_queue *q);

/* Add QueueInfo of a->queue to a->answer, from all workers it takes; then go on. */
void queue_tell(struct ask *a, struct desk *d, ask_fn *then);

/* ------------------------------------------------------------------------------------- sums */

/* What all workers count, as info and top tell it: begin, add each worker's, tell the sum. */
void sums_begin(json_t *to);
void sums_add(json_t *to, struct inspect_totals *sum, const struct desk *d);
void counters_add(struct inspect_counters *to, const struct inspect_counters *from);
void sums_tell(json_t *to, const struct inspect_totals *sum, const struct desk *d);

/* Add what this worker knows of services to those there by name, no more than `max`. */
void services_add(json_t *services, const struct desk *d, size_t max);

/* Add this worker's webhooks to a list, with the depths of those queues of theirs that live here.
 */
void hooks_add(json_t *list, const struct desk *d);

/* Add what this worker knows of stores to those there by name. */
void stores_add(json_t *stores, const struct desk *d);

/* ----------------------------------------------------------------------------------- events */

/* Publish a text, JSON, on a topic of the broker's. -errno: it was not taken. */
int desk_publish(struct desk *d, const char *topic, const char *text);

/* An event with copies of its facts; NULL without memory. */
struct event *event_make(const char *word, const struct log_fact *facts, const char *text);
/* Let it wait to be published, if there is room. NULL: it is lost, and counted. */
void events_add(struct desk *d, struct event *e);
/* Publish what waits. True if something was. */
bool events_publish(struct desk *d);
void events_free(struct desk *d);

#endif
