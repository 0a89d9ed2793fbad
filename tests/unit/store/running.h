/* running.h - a journal that runs, driven by a test through its table, and a model of what it has
 * to have: each message's bytes follow from its queue and number.
 *
 * Shape    The test's thread is every worker. r_turn() flushes and takes answers until `done` says
 *          enough; nothing sleeps but for an answer, and 20 seconds at most.
 * Thread   One, besides the journal's own. */
#ifndef BROKER_TESTS_UNIT_STORE_RUNNING_H
#define BROKER_TESTS_UNIT_STORE_RUNNING_H

#include <errno.h>
#include <pthread.h>
#include <sys/stat.h>

#include "brokerd/store/journal/files.h"
#include "brokerd/store/journal/journal.h"
#include "tests/unit/store/dir.h"
#include "tests/unit/support.h"

enum { R_QUEUES = 4, R_SEQS = 65536, R_WORKERS = 2, R_CALLS = 64 };

enum r_state { R_NONE, R_PUT, R_STORED, R_REFUSED, R_SETTLED };

struct r_queue {
    struct store_queue *q;
    unsigned worker;
    char name[16];
    int64_t retain_ms;
    unsigned rewound;      /* answers so far */
    uint64_t next;         /* number of the next one to be put */
    uint64_t answered;     /* puts answered up to here */
    uint8_t state[R_SEQS]; /* enum r_state */
    uint16_t size[R_SEQS]; /* of its payload; 0xffff: 100,000 */
    uint8_t attempts[R_SEQS];
    uint64_t live;                 /* stored, not settled */
    unsigned opened, rooms, found; /* answers so far */
    char wish[16];                 /* when it was found */
    enum reason open_reason;
    struct store_facts facts; /* as it was last told */
    uint64_t lost, purged, token;
    /* The last fetch or peek. */
    unsigned fetched;
    uint64_t fetch_first, upto;
    uint32_t n;
};

struct running {
    struct journal *journal;
    struct store *store[R_WORKERS];
    struct topic *topic;
    char path[DIR_PATH], text[1024];
    struct journal_options options;
    pthread_mutex_t lock;
    pthread_cond_t called;
    struct {
        journal_run_fn *run;
        void *arg;
    } call[R_CALLS];
    unsigned calls;
    unsigned all_found;
    char events[4096];
    struct r_queue queue[R_QUEUES];
};

static const struct msg_meta r_meta = {.headers = {(const uint8_t *)"head", 4},
                                       .type = {CTYPE_NAMED, {(const uint8_t *)"t/x", 3}},
                                       .ttl_ms = 5000};

static inline uint32_t r_size(const struct r_queue *q, uint64_t seq)
{
    return q->size[seq] == 0xffff ? 100000 : q->size[seq];
}

static inline uint8_t r_byte(const struct r_queue *q, uint64_t seq, uint32_t i)
{
    return (uint8_t)(seq * 31 + i * 7 + (uint64_t)q->name[1]);
}

static inline struct r_queue *r_of(struct running *r, handle_t h)
{
    if (h < 1 || h > R_QUEUES)
        ck_abort_msg("no such queue");
    return &r->queue[h - 1];
}

static inline int r_call(void *ctx, unsigned to, journal_run_fn *run, void *arg)
{
    struct running *r = ctx;
    int status = -ENOMEM;

    (void)to;
    pthread_mutex_lock(&r->lock);
    if (r->calls < R_CALLS) {
        r->call[r->calls].run = run;
        r->call[r->calls++].arg = arg;
        status = 0;
    }
    pthread_cond_signal(&r->called);
    pthread_mutex_unlock(&r->lock);
    return status;
}

static inline void r_event(void *ctx, const struct journal_event *ev)
{
    struct running *r = ctx;
    size_t n;

    pthread_mutex_lock(&r->lock);
    n = strlen(r->events);
    (void)snprintf(r->events + n, sizeof r->events - n, "%s\n", ev->text);
    pthread_mutex_unlock(&r->lock);
}

/* Each assertion of Check is a system call, so that much is looked at for one. */
static inline void r_put_answer(struct r_queue *q, const struct stored *a)
{
    bool put = true;

    ck_assert_uint_eq(a->first, q->answered + 1); /* in order, each once */
    for (uint64_t seq = a->first; seq < a->first + a->count; seq++) {
        put = put && q->state[seq] == R_PUT;
        q->state[seq] = a->reason == REASON_NONE ? R_STORED : R_REFUSED;
        q->live += a->reason == REASON_NONE;
    }
    ck_assert(put);
    q->answered += a->count;
}

/* What is wrong with the message; NULL: nothing. */
static inline const char *r_wrong(const struct r_queue *q, const struct stored_message *m)
{
    bool has_meta = m->seq % 3 == 0;

    if (m->seq >= R_SEQS || q->state[m->seq] != R_STORED)
        return "there";
    if (m->data.n != r_size(q, m->seq))
        return "length";
    for (uint32_t k = 0; k < m->data.n; k++)
        if (m->data.p[k] != r_byte(q, m->seq, k))
            return "data";
    if (!slice_eq(m->topic, SLICE("to/pic")) || m->id != 1000 + m->seq || m->time_ms != 77000)
        return "topic, id or time";
    if (m->attempts != q->attempts[m->seq])
        return "attempts";
    if (m->expires_ms != (has_meta ? 82000 : INT64_MAX))
        return "expiry";
    if (has_meta ? !slice_eq(m->headers, r_meta.headers) || !ctype_eq(m->type, r_meta.type)
                 : m->type.id != 5)
        return "headers or type";
    return NULL;
}

static inline void r_messages(struct r_queue *q, const struct stored *a)
{
    q->fetched++;
    q->fetch_first = a->first;
    q->upto = a->upto;
    q->n = a->n;
    for (uint32_t i = 0; i < a->n; i++) {
        const struct stored_message *m = &a->messages[i];
        const char *wrong = i && m->seq <= m[-1].seq ? "order" : r_wrong(q, m);

        if (wrong)
            ck_abort_msg("message %llu: %s", (unsigned long long)m->seq, wrong);
    }
}

static inline void r_stored(void *ctx, unsigned worker, const struct stored *a)
{
    struct running *r = ctx;
    struct r_queue *q = a->queue ? r_of(r, a->queue) : NULL;

    if (a->store != r->store[worker])
        ck_abort_msg("of another store");
    if (q)
        q->token = a->token;
    switch (a->kind) {
    case STORED_OPEN:
        q->opened++;
        q->open_reason = a->reason;
        q->facts = a->facts;
        break;
    case STORED_PUT:
        r_put_answer(q, a);
        break;
    case STORED_ROOM:
        q->rooms++;
        break;
    case STORED_MESSAGES:
    case STORED_PEEKED:
        r_messages(q, a);
        break;
    case STORED_PURGED:
        q->purged = a->count;
        break;
    case STORED_FACTS:
        q->facts = a->facts;
        break;
    case STORED_REWOUND:
        ck_assert_int_eq(a->reason, REASON_NONE);
        q->rewound++;
        q->facts = a->facts;
        break;
    case STORED_LOST:
        ck_assert_int_eq(a->reason, REASON_STORE);
        q->lost += a->count;
        break;
    case STORED_FOUND:
        ck_assert_uint_eq(worker, 0);
        for (unsigned i = 0; i < R_QUEUES; i++)
            if (slice_eq(a->def.name, slice_str(r->queue[i].name))) {
                r->queue[i].found++;
                (void)snprintf(r->queue[i].wish, sizeof r->queue[i].wish, "%.*s",
                               (int)a->def.wishes.n, (const char *)a->def.wishes.p);
            }
        break;
    case STORED_ALL_FOUND:
        r->all_found++;
        break;
    default:
        ck_abort_msg("answer of kind %d", a->kind);
    }
}

/* Take what answers there are, waiting for some. False: none came. */
static inline bool r_answers(struct running *r)
{
    struct timespec until;
    unsigned n;
    int status = 0;

    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += 20;
    pthread_mutex_lock(&r->lock);
    while (!r->calls && status == 0)
        status = pthread_cond_timedwait(&r->called, &r->lock, &until);
    n = r->calls;
    for (unsigned i = 0; i < n; i++) {
        pthread_mutex_unlock(&r->lock);
        r->call[i].run(r->call[i].arg, NULL);
        pthread_mutex_lock(&r->lock);
    }
    r->calls -= n; /* others may have come behind them */
    memmove(r->call, r->call + n, r->calls * sizeof r->call[0]);
    pthread_mutex_unlock(&r->lock);
    return n > 0;
}

static inline void r_flush(struct running *r)
{
    for (unsigned w = 0; w < R_WORKERS; w++)
        r->store[w]->ops->flush(r->store[w]);
}

/* Flush, and take answers until the condition holds. */
#define r_until(r, condition)                                                                      \
    do {                                                                                           \
        r_flush(r);                                                                                \
        while (!(condition))                                                                       \
            if (!r_answers(r))                                                                     \
                ck_abort_msg("no answer: %s", #condition);                                         \
    } while (0)

static inline bool r_busy(struct running *r)
{
    bool busy = false;

    for (unsigned w = 0; w < R_WORKERS; w++)
        busy = busy || r->store[w]->ops->busy(r->store[w]);
    return busy;
}

static inline void r_open_queue(struct running *r, unsigned i)
{
    struct r_queue *q = &r->queue[i];
    struct queue_policy policy = {.retain_ms = q->retain_ms};
    struct store_open o = {.def = {slice_str(q->name),
                                   SLICE("\x03"
                                         "a/b"),
                                   SLICE("wish")},
                           .policy = &policy};
    unsigned before = q->opened;

    q->q = r->store[q->worker]->ops->open(r->store[q->worker], &o, i + 1);
    ck_assert_ptr_nonnull(q->q);
    r_until(r, q->opened > before);
    ck_assert_int_eq(q->open_reason, REASON_NONE);
}

static inline int r_begin(struct running *r)
{
    int status = journal_open(&r->options, &r->journal, r->text, sizeof r->text);

    if (status < 0)
        return status;
    for (unsigned w = 0; w < R_WORKERS; w++)
        r->store[w] = journal_store(r->journal, w);
    r->all_found = 0;
    for (unsigned i = 0; i < R_QUEUES; i++)
        r->queue[i].found = 0;
    ck_assert_int_eq(journal_start(r->journal), 0);
    r_until(r, r->all_found);
    return 0;
}

static inline void r_init(struct running *r, uint64_t segment, uint64_t disk_max)
{
    memset(r, 0, sizeof *r);
    dir_make_light(r->path);
    pthread_mutex_init(&r->lock, NULL);
    pthread_cond_init(&r->called, NULL);
    r->topic = topic_new(SLICE("to/pic"), 1);
    r->options = (struct journal_options){.path = r->path,
                                          .segment_bytes = segment,
                                          .disk_max = disk_max,
                                          .workers = R_WORKERS,
                                          .ctx = r,
                                          .call = r_call,
                                          .stored = r_stored,
                                          .event = r_event};
    for (unsigned i = 0; i < R_QUEUES; i++) {
        (void)snprintf(r->queue[i].name, sizeof r->queue[i].name, "q%u", i);
        r->queue[i].worker = i % R_WORKERS;
        r->queue[i].next = 1;
    }
    ck_assert_msg(r_begin(r) == 0, "%s", r->text);
}

/* Stop, as a broker does. */
static inline void r_stop(struct running *r)
{
    for (unsigned i = 0; i < R_QUEUES; i++) {
        struct r_queue *q = &r->queue[i];

        if (q->q)
            r->store[q->worker]->ops->close(q->q, false);
        q->q = NULL;
    }
    r_until(r, !r_busy(r));
    journal_stop(r->journal);
    journal_free(r->journal);
    r->calls = 0; /* of stores that are no more */
    r->journal = NULL;
}

static inline void r_fini(struct running *r)
{
    if (r->journal)
        r_stop(r);
    topic_unref(r->topic);
    dir_remove(r->path);
}

/* Put one more, of that size (0xffff: 100,000). What put() says. */
static inline int r_put(struct running *r, unsigned i, uint16_t size)
{
    static uint8_t data[100000];
    struct r_queue *q = &r->queue[i];
    uint64_t seq = q->next;
    struct msg_view v = {data, 0, seq % 3 == 0 ? &r_meta : NULL, NULL};
    struct run run = {&v, 1, 0, {5, {0}}, 0};
    struct msg_origin from = {r->topic, {5, {0}}, 1000 + seq, 77000, 1};
    int status;

    if (seq >= R_SEQS)
        ck_abort_msg("too many");
    q->size[seq] = size;
    v.len = r_size(q, seq);
    run.bytes = v.len;
    for (uint32_t k = 0; k < v.len; k++)
        data[k] = r_byte(q, seq, k);
    status = r->store[q->worker]->ops->put(q->q, seq, &run, &from);
    if (status < 0)
        return status;
    q->state[seq] = R_PUT;
    q->attempts[seq] = 0;
    q->next++;
    return 0;
}

static inline void r_settle(struct running *r, unsigned i, uint64_t seq, uint32_t n)
{
    struct r_queue *q = &r->queue[i];
    struct store_settlement s = {SETTLE_GONE, n, seq, 0, 0};

    r->store[q->worker]->ops->settle(q->q, &s, 1);
    for (uint64_t k = seq; k < seq + n; k++) {
        q->live -= q->state[k] == R_STORED;
        if (q->state[k] == R_STORED)
            q->state[k] = R_SETTLED;
    }
}

static inline void r_return(struct running *r, unsigned i, uint64_t seq, int64_t due_ms)
{
    struct r_queue *q = &r->queue[i];
    struct store_settlement s = {SETTLE_RETURNED, 1, seq, ++q->attempts[seq], due_ms};

    r->store[q->worker]->ops->settle(q->q, &s, 1);
}

/* One fetch, answered. */
static inline void r_fetch(struct running *r, unsigned i, uint64_t from, uint32_t n, uint64_t bytes)
{
    struct r_queue *q = &r->queue[i];
    unsigned before = q->fetched;

    r->store[q->worker]->ops->fetch(q->q, from, n, bytes);
    r_until(r, q->fetched > before);
    ck_assert_uint_eq(q->fetch_first, from);
}

/* All that the queue has is what the model says. */
static inline void r_check(struct running *r, unsigned i)
{
    struct r_queue *q = &r->queue[i];
    uint64_t from = 1, n = 0;

    for (unsigned fetches = 0; from < q->answered + 1; fetches++) {
        r_fetch(r, i, from, 100, 20000);
        ck_assert_uint_gt(q->upto, from);
        for (uint64_t seq = from; seq < q->upto; seq++)
            n += q->state[seq] == R_STORED;
        from = q->upto;
    }
    ck_assert_uint_eq(n, q->live);
}

static inline void r_ask(struct running *r, unsigned i)
{
    static uint64_t token = 1000;
    struct r_queue *q = &r->queue[i];

    ck_assert_int_eq(r->store[q->worker]->ops->ask(q->q, ++token), 0);
    r_until(r, q->token == token);
    ck_assert_uint_eq(q->facts.messages, q->live);
}

/* The queue goes on there. */
static inline void r_rewind(struct running *r, unsigned i, enum rewind_to to, uint64_t seq,
                            int64_t time_ms)
{
    struct r_queue *q = &r->queue[i];
    struct store_rewind where = {to, seq, time_ms};
    unsigned before = q->rewound;

    ck_assert_int_eq(r->store[q->worker]->ops->rewind(q->q, &where, 77), 0);
    r_until(r, q->rewound > before);
    ck_assert_uint_eq(q->token, 77);
}

/* Bytes of all segments, and of what is to be one. */
static inline uint64_t r_disk(const struct running *r)
{
    struct files f = {.dir = -1, .lock = -1};
    struct journal_file *list;
    char at[128];
    struct stat st;
    uint64_t sum = 0;
    size_t n;

    (void)snprintf(f.path, sizeof f.path, "%s", r->path);
    if (files_list(&f, &list, &n) == 0) {
        for (size_t i = 0; i < n; i++)
            sum += list[i].size;
        free(list);
    }
    (void)snprintf(at, sizeof at, "%s/next", r->path);
    return sum + (stat(at, &st) == 0 ? (uint64_t)st.st_size : 0);
}

#endif
