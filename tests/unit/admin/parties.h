/* parties.h - three workers with an admin, each with a connection that calls, publishes and
 * consumes as a door would; and a net with one connection on each. Included by one test program. */
#ifndef TESTS_UNIT_ADMIN_PARTIES_H
#define TESTS_UNIT_ADMIN_PARTIES_H

#include "brokerd/admin/admin.h"
#include "brokerd/core/call.h"
#include "brokerd/core/inspect.h"
#include "libbroker/base/headers.h"

#include <check.h>
#include <errno.h>
#include <jansson.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <time.h>

#pragma GCC diagnostic ignored "-Wunused-function" /* a test uses what it needs */

enum { WORKERS = 3, PATIENCE_S = 30, EVENTS_TEXT = 32768 };

static struct workers *workers;
static struct admin *admin;
static struct policy_set *policies;

/* ---- a place where the test waits for what happens on workers */

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;

static struct timespec patience(void)
{
    struct timespec until;

    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += PATIENCE_S;
    return until;
}

/* Wait, with the lock held, until *n is at least `wanted`. */
static void wait_for(const unsigned *n, unsigned wanted, const char *what)
{
    struct timespec until = patience();

    while (*n < wanted)
        ck_assert_msg(pthread_cond_timedwait(&changed, &lock, &until) == 0, "no %s", what);
}

static void count_up(unsigned *n)
{
    pthread_mutex_lock(&lock);
    ++*n;
    pthread_cond_broadcast(&changed);
    pthread_mutex_unlock(&lock);
}

/* ---- a connection on each worker */

struct party {
    unsigned worker;
    struct endpoint *ep;
    struct consumer *consumer;
    struct publisher *publisher;
    uint64_t out;
    unsigned readies, deliveries, closes, settled;
    uint64_t upto;
    char got[EVENTS_TEXT]; /* payloads, a line each */
};

static struct party party[WORKERS];

static uint64_t on_deliver(void *ctx, const struct delivery *d)
{
    struct party *p = ctx;

    pthread_mutex_lock(&lock);
    for (uint32_t i = 0; i < d->run.n; i++) {
        size_t n = strlen(p->got);

        snprintf(p->got + n, sizeof p->got - n, "%.*s\n", (int)d->run.v[i].len,
                 (const char *)d->run.v[i].data);
        p->deliveries++;
    }
    pthread_cond_broadcast(&changed);
    pthread_mutex_unlock(&lock);
    core_written(p->ep, ++p->out);
    return p->out;
}

static void on_ready(void *ctx)
{
    count_up(&((struct party *)ctx)->readies);
}

static void on_closed(void *ctx, const struct refusal *why, uint64_t lost)
{
    struct party *p = ctx;

    (void)why;
    (void)lost;
    p->consumer = NULL;
    count_up(&p->closes);
}

static void on_settled(void *ctx, uint64_t upto, const struct outcome *o, size_t n)
{
    struct party *p = ctx;

    (void)o;
    (void)n;
    pthread_mutex_lock(&lock);
    p->upto = upto;
    pthread_mutex_unlock(&lock);
    count_up(&p->settled);
}

static void on_granted(void *ctx, uint32_t n)
{
    (void)ctx;
    (void)n;
}

static const struct endpoint_ops party_ops = {.door = "test",
                                              .deliver = on_deliver,
                                              .ready = on_ready,
                                              .closed = on_closed,
                                              .settled = on_settled,
                                              .granted = on_granted};

/* ---- doing something on a worker, and waiting for it */

struct deed {
    void (*fn)(struct party *p, const void *arg);
    struct party *p;
    const void *arg;
    unsigned done;
};

static void run_deed(void *arg, struct worker *w)
{
    struct deed *d = arg;

    (void)w;
    d->fn(d->p, d->arg);
    count_up(&d->done);
}

static void on_worker(unsigned i, void (*fn)(struct party *, const void *), const void *arg)
{
    struct deed d = {fn, &party[i], arg, 0};

    ck_assert_int_eq(workers_call(workers, i, run_deed, &d), 0);
    pthread_mutex_lock(&lock);
    wait_for(&d.done, 1, "answer from a worker");
    pthread_mutex_unlock(&lock);
}

static void consume(struct party *p, const void *arg)
{
    const char *const *what = arg; /* queue or "", filter, credit */
    struct slice filter = slice_str(what[1]);
    struct consume_options o = {.queue = slice_str(what[0]),
                                .filters = &filter,
                                .filters_n = filter.n > 0,
                                .manual_ack = what[0][0] != '\0',
                                .credit = strtoul(what[2], NULL, 10)};
    struct refusal why;

    if (core_attach(p->ep, &o, p, &p->consumer, &why) < 0)
        ck_abort_msg("%s", why.text);
}

static void attach(unsigned i, const char *queue, const char *filter, const char *credit)
{
    const char *what[] = {queue, filter, credit};
    unsigned before = party[i].readies;

    on_worker(i, consume, what);
    pthread_mutex_lock(&lock);
    wait_for(&party[i].readies, before + 1, "consumer ready");
    pthread_mutex_unlock(&lock);
}

static void publish(struct party *p, const void *arg)
{
    const char *const *what = arg; /* topic, texts separated by blanks */
    struct target to = {.name = slice_str(what[0])};
    struct msg_view v[32];
    struct run run = {.v = v, .type = {.id = CTYPE_NONE}};
    struct refusal why;

    if (!p->publisher && core_publisher_open(p->ep, PUBLISH_WINDOW, p, &p->publisher) < 0)
        ck_abort_msg("no publisher");
    core_tick(worker_core(workers_get(workers, p->worker))); /* its first credit */
    for (const char *at = what[1]; *at;) {
        size_t n = strcspn(at, " ");

        v[run.n++] = (struct msg_view){.data = (const uint8_t *)at, .len = (uint32_t)n};
        run.bytes += n;
        at += n + (at[n] == ' ');
    }
    if (core_publish(p->publisher, &to, &run, &why) < 0)
        ck_abort_msg("%s", why.text);
}

/* Returns when `upto` of all its messages have settled. */
static void send_from(unsigned i, const char *topic, const char *texts, uint64_t upto)
{
    const char *what[] = {topic, texts};

    on_worker(i, publish, what);
    pthread_mutex_lock(&lock);
    while (party[i].upto < upto)
        wait_for(&party[i].settled, party[i].settled + 1, "outcome");
    pthread_mutex_unlock(&lock);
}

static void grant(struct party *p, const void *arg)
{
    core_grant(p->consumer, strtoul(arg, NULL, 10));
}

/* ---- asking */

struct question {
    const char *method, *data;
    json_t *answer;
    struct refusal why;
    struct call *call;
    unsigned done;
};

static json_t *json_of(struct slice s)
{
    return json_stringn((const char *)s.p, s.n);
}

/* What is not JSON: its type, its data, and its headers as members. */
static json_t *wrapped(const struct call_payload *p)
{
    json_t *o = json_object();
    struct slice rest = p->headers;
    struct header h;

    ck_assert_uint_eq(p->type.id, CTYPE_NAMED);
    json_object_set_new(o, "type", json_of(p->type.name));
    json_object_set_new(o, "data", json_of(p->data));
    while (headers_next(&rest, &h) > 0) {
        char name[HEADERS_NAME_MAX + 1];

        snprintf(name, sizeof name, "%.*s", (int)h.name.n, (const char *)h.name.p);
        json_object_set_new(o, name, json_of(h.value));
    }
    return o;
}

static void on_next(void *ctx, const struct call_payload *p, bool complete)
{
    struct question *q = ctx;

    ck_assert(complete);
    q->answer =
        p->type.id == 0x05 ? json_loadb((const char *)p->data.p, p->data.n, 0, NULL) : wrapped(p);
}

static void on_error(void *ctx, const struct call_error *e)
{
    struct question *q = ctx;

    q->why.reason = e->reason;
    snprintf(q->why.text, sizeof q->why.text, "%.*s", (int)e->text.n, (const char *)e->text.p);
}

static void on_call_closed(void *ctx)
{
    struct question *q = ctx;

    q->call = NULL;
    if (q->answer || q->why.reason != REASON_NONE)
        count_up(&q->done);
}

static const struct call_ops call_ops = {
    .next = on_next, .error = on_error, .closed = on_call_closed};

static void open_call(struct party *p, const void *arg)
{
    struct question *q = *(struct question *const *)arg;
    const struct call_request r = {.model = CALL_RESPONSE,
                                   .service = SLICE("admin"),
                                   .method = slice_str(q->method),
                                   .first = {.data = slice_str(q->data)}};
    struct call *call = NULL;

    if (core_call_open(p->ep, &r, &call_ops, q, &call, &q->why) < 0)
        count_up(&q->done); /* *why says why */
    else if (call)
        q->call = call;
}

/* Ask on worker i. The answer, the caller's; NULL if refused: see `refusal`. */
static struct refusal refusal;

static json_t *ask(unsigned i, const char *method, const char *data)
{
    struct question q = {.method = method, .data = data};
    struct question *arg = &q;

    on_worker(i, open_call, &arg);
    pthread_mutex_lock(&lock);
    wait_for(&q.done, 1, method);
    pthread_mutex_unlock(&lock);
    refusal = q.why;
    if (!q.answer)
        ck_assert_msg(q.why.reason != REASON_NONE, "%s: neither answer nor refusal", method);
    return q.answer;
}

static json_t *must(unsigned i, const char *method, const char *data)
{
    json_t *answer = ask(i, method, data);

    ck_assert_msg(answer != NULL, "%s %s: %s", method, data, refusal.text);
    return answer;
}

static json_int_t number(const json_t *o, const char *key)
{
    ck_assert_msg(json_is_integer(json_object_get(o, key)), "no number \"%s\"", key);
    return json_integer_value(json_object_get(o, key));
}

static const char *text(const json_t *o, const char *key)
{
    const char *s = json_string_value(json_object_get(o, key));

    return s ? s : "(none)";
}

static json_int_t asked_number(unsigned i, const char *method, const char *data, const char *key)
{
    json_t *answer = must(i, method, data);
    json_int_t n = number(answer, key);

    json_decref(answer);
    return n;
}

/* ---- a net with one connection on each worker, which can be closed */

static atomic_uint killed; /* a bit for each worker */

static uint64_t connection_of(unsigned worker)
{
    return (uint64_t)worker << 56 | (7 + worker);
}

static void net_connections(void *ctx, unsigned worker, admin_connection_fn *fn, void *fn_ctx)
{
    struct admin_connection c = {.id = connection_of(worker),
                                 .peer = "127.0.0.1:1",
                                 .door = "test",
                                 .state = "open",
                                 .bytes_in = 5,
                                 .is_reading = true,
                                 .endpoint = party[worker].ep};

    (void)ctx;
    if (!(atomic_load(&killed) >> worker & 1))
        fn(fn_ctx, &c);
}

static void net_ended(void *ctx, unsigned worker, admin_count_fn *fn, void *fn_ctx)
{
    (void)ctx;
    (void)worker;
    fn(fn_ctx, "peer", 2);
}

static const char *net_listener(void *ctx, size_t i)
{
    (void)ctx;
    return i == 0 ? "tcp://127.0.0.1:7070" : NULL;
}

static unsigned net_home(void *ctx, uint64_t id)
{
    (void)ctx;
    return (unsigned)(id >> 56);
}

static int net_kill(void *ctx, uint64_t id)
{
    unsigned worker = (unsigned)(id >> 56);

    (void)ctx;
    if (id != connection_of(worker))
        return -ENOENT;
    atomic_fetch_or(&killed, 1U << worker);
    return 0;
}

static const struct admin_net net = {net_connections, net_ended, net_listener,
                                     net_home,        net_kill,  NULL};

/* ---- begin and end */

static const struct admin_stores *admin_stores; /* of the next admin; NULL: none */

static void start_for(const struct admin_main *told)
{
    struct policy_globals globals = policy_globals_default();
    struct workers_options wo = {.n = WORKERS, .memory = 64 << 20, .event = admin_event};
    struct admin_options ao = {
        .version = "1.2.3", .workers = WORKERS, .net = &net, .main = told, .stores = admin_stores};

    atomic_store(&killed, 0);
    ck_assert_int_eq(policy_set_new(&globals, &policies), 0);
    wo.policies = policies;
    ck_assert_int_eq(admin_new(&ao, &admin), 0);
    wo.ctx = admin;
    ck_assert_int_eq(workers_new(&wo, &workers), 0);
    ck_assert_int_eq(admin_start(admin, workers), 0);
    for (unsigned i = 0; i < WORKERS; i++) {
        char name[16];
        struct endpoint_desc d = {.name = name, .manages = true};

        snprintf(name, sizeof name, "party%u", i);
        party[i] = (struct party){.worker = i};
        ck_assert_int_eq(core_endpoint_open(worker_core(workers_get(workers, i)), &d, &party_ops,
                                            &party[i], &party[i].ep),
                         0);
    }
    ck_assert_int_eq(workers_start(workers), 0);
}

static void start(void)
{
    start_for(NULL);
}

static void stop(void)
{
    workers_stop(workers);
    workers_join(workers);
    for (unsigned i = 0; i < WORKERS; i++)
        core_endpoint_close(party[i].ep);
    admin_free(admin);
    workers_free(workers);
    policy_set_unref(policies);
}

#endif
