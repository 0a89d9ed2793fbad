/* What people ask of a running broker and what it answers: three workers, each with a connection
 * that calls, publishes and consumes as a door would. */
#include "brokerd/admin/admin.h"
#include "brokerd/core/call.h"
#include "brokerd/core/inspect.h"

#include <check.h>
#include <errno.h>
#include <jansson.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <time.h>

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
static uint64_t turns; /* of a worker, when it was asked */

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

static void on_next(void *ctx, const struct call_payload *p, bool complete)
{
    struct question *q = ctx;

    ck_assert(complete);
    ck_assert_uint_eq(p->type.id, 0x05);
    q->answer = json_loadb((const char *)p->data.p, p->data.n, 0, NULL);
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
                                 .is_reading = true};

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

static void start(void)
{
    struct policy_globals globals = policy_globals_default();
    struct workers_options wo = {.n = WORKERS, .memory = 64 << 20, .event = admin_event};
    struct admin_options ao = {.version = "1.2.3", .workers = WORKERS, .net = &net};

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

/* ---- tests */

static const struct {
    const char *method, *data, *why;
} bad[] = {
    {"nonsense", "", "not-found: no command \"nonsense\"; there are info, top"},
    {"info", "[1]", "invalid: info wants a JSON object"},
    {"info", "{\"a\":", "invalid: info wants a JSON object, and byte "},
    {"info", "{\"a\":1}", "invalid: unknown member \"a\"; info takes no members"},
    {"queue-ls", "{\"name\":1}", "invalid: unknown member \"name\"; queue-ls takes filter, all"},
    {"queue-ls", "{\"all\":1}", "invalid: \"all\" must be true or false"},
    {"queue-ls", "{\"filter\":\"a..b\"}", "invalid: filter: "},
    {"queue-info", "", "invalid: queue-info needs the member \"queue\", a text"},
    {"queue-info", "{\"queue\":\"\"}", "invalid: \"queue\" must be a text"},
    {"queue-info", "{\"queue\":\"no\"}", "not-found: no queue \"no\""},
    {"queue-info", "{\"queue\":\"q0-100000000\"}", "not-found: no queue \"q0-100000000\""},
    {"queue-info", "{\"queue\":\"q63-1\"}", "not-found: no queue \"q63-1\""},
    {"queue-peek", "{\"queue\":\"no\",\"count\":-1}", "invalid: \"count\" must be a whole number"},
    {"queue-purge", "{\"queue\":\"no\"}", "not-found: "},
    {"queue-rm", "{\"queue\":\"no\"}", "not-found: "},
    {"queue-move", "{\"queue\":\"no\",\"to\":\"no\"}", "not-found: "},
    {"queue-add", "{\"queue\":\"$SYS\"}", "invalid: \"queue\": "},
    {"queue-add", "{\"queue\":\"a b\"}", "invalid: \"queue\": "},
    {"queue-add", "{\"queue\":\"a\",\"bind\":[1]}", "invalid: \"bind\" must be an array of texts"},
    {"queue-add", "{\"queue\":\"a\",\"bind\":[\"#.a\"]}", "invalid: \"bind\": "},
    {"queue-add", "{\"queue\":\"a\",\"settings\":{\"foo\":\"1\"}}",
     "invalid: a queue has no setting \"foo\""},
    {"queue-add", "{\"queue\":\"a\",\"settings\":{\"max-messages\":\"0\"}}",
     "invalid: max-messages: "},
    {"route", "{\"topic\":\"a.*\"}", "invalid: \"topic\": "},
    {"kill", "{\"connection\":\"x\"}", "not-found: no connection \"x\""},
};

START_TEST(bad_requests_are_refused)
{
    start();
    ck_assert_ptr_null(ask(_i % WORKERS, bad[_i].method, bad[_i].data));
    ck_assert_msg(strncmp(refusal.text, bad[_i].why, strlen(bad[_i].why)) == 0, "%s %s: %s",
                  bad[_i].method, bad[_i].data, refusal.text);
    stop();
}
END_TEST

START_TEST(a_request_has_a_limit)
{
    char *data = calloc(1, 70000);

    memset(data, ' ', 69999);
    start();
    ck_assert_ptr_null(ask(0, "info", data));
    ck_assert_int_eq(refusal.reason, REASON_TOO_LARGE);
    stop();
    free(data);
}
END_TEST

START_TEST(tells_of_the_whole_broker)
{
    json_t *info, *top, *client;

    start();
    attach(1, "jobs", "", "0");
    attach(2, "", "a.*", "10");
    send_from(0, "a.b", "1 2 3", 3);
    info = must(0, "info", "");
    ck_assert_str_eq(text(info, "version"), "1.2.3");
    ck_assert_int_eq(number(info, "connections"), 3);
    ck_assert_int_eq(number(info, "queues"), 1);
    ck_assert_int_eq(number(info, "subscriptions"), 1);
    ck_assert_uint_eq(json_array_size(json_object_get(info, "workers")), WORKERS);
    ck_assert_int_eq(number(json_object_get(info, "totals"), "published"), 3);
    ck_assert_int_eq(number(json_object_get(info, "totals"), "delivered"), 3);
    ck_assert_int_eq(number(json_object_get(info, "memory"), "limit_bytes"), 64 << 20);
    ck_assert_int_eq(number(json_object_get(info, "disconnects"), "peer"), 2 * WORKERS);
    ck_assert_uint_eq(json_array_size(json_object_get(info, "listen")), 1);
    json_decref(info);

    top = must(2, "top", "{\"limit\":1}");
    ck_assert_uint_eq(json_array_size(json_object_get(top, "queues")), 1);
    client = json_array_get(json_object_get(top, "clients"), 0);
    ck_assert_uint_eq(json_array_size(json_object_get(top, "clients")), 1);
    ck_assert_msg(strcmp(text(client, "client"), "party1") != 0, "party1 did nothing");
    json_decref(top);
    stop();
}
END_TEST

START_TEST(closes_a_connection)
{
    json_t *a, *c;

    start();
    a = must(0, "connections", "");
    ck_assert_uint_eq(json_array_size(json_object_get(a, "connections")), WORKERS);
    c = json_array_get(json_object_get(a, "connections"), 2);
    ck_assert_str_eq(text(c, "id"), "n2-9");
    ck_assert_int_eq(number(c, "in_bytes"), 5);
    json_decref(a);
    json_decref(must(1, "kill", "{\"connection\":\"n2-9\"}"));
    a = must(1, "connections", "");
    ck_assert_uint_eq(json_array_size(json_object_get(a, "connections")), WORKERS - 1);
    json_decref(a);
    ck_assert_ptr_null(ask(1, "kill", "{\"connection\":\"n2-8\"}"));
    ck_assert_int_eq(refusal.reason, REASON_NOT_FOUND);
    stop();
}
END_TEST

START_TEST(a_queue_and_its_life)
{
    json_t *a, *m;

    start();
    a = must(2, "queue-add",
             "{\"queue\":\"work\",\"bind\":[\"w.#\"],"
             "\"settings\":{\"max-messages\":\"5\",\"overflow\":\"block\"}}");
    ck_assert(json_is_true(json_object_get(a, "made")));
    ck_assert_str_eq(text(json_object_get(a, "policy"), "max-messages"), "5");
    ck_assert_str_eq(text(json_object_get(a, "policy"), "overflow"), "block");
    ck_assert_int_eq(number(a, "worker"), 2);
    ck_assert_int_eq(number(a, "consumers"), 0);
    json_decref(a);
    a = must(1, "queue-add", "{\"queue\":\"work\",\"bind\":[\"v\"]}");
    ck_assert(json_is_false(json_object_get(a, "made")));
    ck_assert_uint_eq(json_array_size(json_object_get(a, "bindings")), 2);
    json_decref(a);

    send_from(0, "w.x", "one two {\"a\":1}", 3);
    a = must(1, "queue-peek", "{\"queue\":\"work\",\"count\":2,\"bytes\":2}");
    ck_assert_uint_eq(json_array_size(json_object_get(a, "messages")), 2);
    m = json_array_get(json_object_get(a, "messages"), 1);
    ck_assert_str_eq(text(m, "data"), "tw");
    ck_assert_str_eq(text(m, "topic"), "w.x");
    ck_assert_str_eq(text(m, "state"), "waiting");
    ck_assert_int_eq(number(m, "size"), 3);
    ck_assert_int_eq(number(m, "seq"), 2);
    json_decref(a);

    json_decref(must(0, "queue-add", "{\"queue\":\"other\"}"));
    a = must(1, "queue-move", "{\"queue\":\"work\",\"to\":\"other\",\"count\":2}");
    ck_assert_int_eq(number(a, "moved"), 2);
    ck_assert_ptr_null(json_object_get(a, "reason"));
    json_decref(a);
    ck_assert_int_eq(asked_number(0, "queue-info", "{\"queue\":\"other\"}", "depth"), 2);
    ck_assert_int_eq(asked_number(0, "queue-purge", "{\"queue\":\"work\"}", "purged"), 1);
    ck_assert_ptr_null(ask(0, "queue-rm", "{\"queue\":\"other\",\"if_empty\":true}"));
    ck_assert_str_eq(refusal.text, "invalid: it is not empty: 2 messages wait, 0 are held, 0 "
                                   "unacknowledged");
    ck_assert_int_eq(asked_number(2, "queue-rm", "{\"queue\":\"other\"}", "lost"), 2);
    ck_assert_ptr_null(ask(0, "queue-info", "{\"queue\":\"other\"}"));
    ck_assert_ptr_null(ask(0, "queue-move", "{\"queue\":\"work\",\"to\":\"work\"}"));
    ck_assert_int_eq(refusal.reason, REASON_INVALID);
    stop();
}
END_TEST

static void note_turns(struct party *p, const void *arg)
{
    (void)arg;
    pthread_mutex_lock(&lock);
    turns = worker_stats(workers_get(workers, p->worker)).turns;
    pthread_mutex_unlock(&lock);
}

/* A move that is held in front of a full queue: its worker sleeps, but for a look now and then. */
START_TEST(a_move_waits_without_turning)
{
    uint64_t before;
    json_t *a;

    start();
    json_decref(must(0, "queue-add", "{\"queue\":\"from\"}"));
    json_decref(must((unsigned)_i, "queue-add",
                     "{\"queue\":\"to\",\"settings\":{\"max-messages\":\"1\","
                     "\"overflow\":\"block\",\"block-timeout\":\"400ms\"}}"));
    send_from(0, "from", "one two", 2);
    on_worker(0, note_turns, NULL);
    before = turns;
    a = must(1, "queue-move", "{\"queue\":\"from\",\"to\":\"to\"}");
    on_worker(0, note_turns, NULL);
    ck_assert_int_eq(number(a, "moved"), 1);
    ck_assert_str_eq(text(a, "reason"), "full");
    ck_assert_uint_lt(turns - before, 1000);
    json_decref(a);
    stop();
}
END_TEST

START_TEST(binary_payloads_come_as_base64)
{
    json_t *a, *m;

    start();
    json_decref(must(0, "queue-add", "{\"queue\":\"q\"}"));
    send_from(1, "q", "\xff\xfe\x01", 1);
    a = must(2, "queue-peek", "{\"queue\":\"q\"}");
    m = json_array_get(json_object_get(a, "messages"), 0);
    ck_assert_str_eq(text(m, "base64"), "//4B");
    ck_assert_ptr_null(json_object_get(m, "data"));
    json_decref(a);
    stop();
}
END_TEST

START_TEST(lists_and_routes)
{
    json_t *a, *q;

    start();
    json_decref(must(2, "queue-add", "{\"queue\":\"b\"}"));
    json_decref(must(1, "queue-add", "{\"queue\":\"a\",\"bind\":[\"x.#\"]}"));
    attach(0, "", "x.*", "1");
    a = must(0, "queue-ls", "");
    ck_assert_uint_eq(json_array_size(json_object_get(a, "queues")), 2);
    ck_assert_str_eq(text(json_array_get(json_object_get(a, "queues"), 0), "name"), "a");
    json_decref(a);
    a = must(0, "queue-ls", "{\"filter\":\"b\"}");
    ck_assert_uint_eq(json_array_size(json_object_get(a, "queues")), 1);
    json_decref(a);
    a = must(1, "queue-ls", "{\"all\":true}");
    ck_assert_uint_eq(json_array_size(json_object_get(a, "queues")), 3);
    q = json_array_get(json_object_get(a, "queues"), 2);
    ck_assert(json_is_null(json_object_get(q, "name")));
    ck_assert_str_eq(text(q, "client"), "party0");
    json_decref(a);
    a = must(2, "route", "{\"topic\":\"x.y\"}");
    ck_assert_uint_eq(json_array_size(json_object_get(a, "queues")), 2);
    ck_assert_str_eq(text(json_array_get(json_object_get(a, "queues"), 0), "filter"), "x.*");
    ck_assert_str_eq(text(json_array_get(json_object_get(a, "queues"), 1), "filter"), "x.#");
    json_decref(a);
    stop();
}
END_TEST

/* The last link of the chain. */
static const char *last_text(const json_t *why)
{
    const json_t *chain = json_object_get(why, "chain");

    return text(json_array_get(chain, json_array_size(chain) - 1), "text");
}

START_TEST(why_names_the_bottleneck)
{
    static const char *const asked[] = {"{\"what\":\"work\"}", "{\"what\":\"w\"}",
                                        "{\"what\":\"party0\"}"};
    static const char *const kinds[] = {"queue", "topic", "client"};
    json_t *a, *k;

    start();
    json_decref(must(1, "queue-add",
                     "{\"queue\":\"work\",\"bind\":[\"w\"],"
                     "\"settings\":{\"max-messages\":\"2\","
                     "\"overflow\":\"block\"}}"));
    attach(2, "work", "", "1");
    a = must(0, "why", "{\"what\":\"work\"}");
    ck_assert(json_is_null(json_object_get(a, "bottleneck")));
    ck_assert_str_eq(last_text(a), "queue \"work\" is empty");
    json_decref(a);

    send_from(0, "w", "1 2 3 4 5", 3); /* one is delivered, two wait, two are held */
    for (unsigned i = 0; i < 3; i++) {
        a = must(i, "why", asked[i]);
        ck_assert_str_eq(text(a, "kind"), kinds[i]);
        ck_assert_str_eq(text(a, "bottleneck"), "party2");
        ck_assert_str_eq(last_text(a),
                         "\"work\" waits for consumer \"party2\": credit 0, 1 unacknowledged");
        ck_assert_uint_eq(json_array_size(json_object_get(a, "chain")), i ? 4 : 3);
        json_decref(a);
    }
    a = must(1, "queue-info", "{\"queue\":\"work\"}");
    ck_assert_int_eq(number(a, "held"), 2);
    k = json_array_get(json_object_get(a, "consumer_list"), 0);
    ck_assert_str_eq(text(k, "client"), "party2");
    ck_assert_str_eq(text(k, "stalled_by"), "credit");
    ck_assert_int_eq(number(k, "credit"), 0);
    ck_assert_int_eq(number(k, "unacked"), 1);
    json_decref(a);

    on_worker(2, grant, "100");
    send_from(0, "w", "6", 6);
    a = must(0, "why", "{\"what\":\"party0\"}");
    ck_assert(json_is_null(json_object_get(a, "bottleneck")));
    json_decref(a);
    a = must(0, "why", "{\"what\":\"nobody\"}");
    ck_assert(json_is_null(json_object_get(a, "kind")));
    json_decref(a);
    stop();
}
END_TEST

START_TEST(what_is_not_consumed)
{
    json_t *a;

    start();
    json_decref(must(1, "queue-add", "{\"queue\":\"work\"}"));
    send_from(0, "work", "1 2", 2);
    a = must(0, "why", "{\"what\":\"work\"}");
    ck_assert_str_eq(text(a, "bottleneck"), "work");
    ck_assert_str_eq(last_text(a), "queue \"work\": 2 messages wait; it has no consumer");
    json_decref(a);
    stop();
}
END_TEST

/* ---- callers that ask too much, or go */

enum { MANY = 65 };

static struct question many[MANY];

static void open_many(struct party *p, const void *arg)
{
    for (unsigned i = 0; i < MANY; i++) {
        const struct question *q = &many[i];

        open_call(p, &q);
    }
    (void)arg;
}

START_TEST(calls_under_way_have_a_limit)
{
    unsigned refused = 0;

    start();
    for (unsigned i = 0; i < MANY; i++)
        many[i] = (struct question){.method = "info", .data = ""};
    on_worker(1, open_many, NULL);
    for (unsigned i = 0; i < MANY; i++) {
        pthread_mutex_lock(&lock);
        wait_for(&many[i].done, 1, "answer");
        pthread_mutex_unlock(&lock);
        refused += many[i].why.reason == REASON_LIMIT;
        json_decref(many[i].answer);
    }
    ck_assert_uint_eq(refused, 1);
    json_decref(must(1, "info", ""));
    stop();
}
END_TEST

static void open_and_cancel(struct party *p, const void *arg)
{
    open_call(p, arg);
    core_call_close((*(struct question *const *)arg)->call);
}

START_TEST(a_caller_that_goes_hears_nothing)
{
    static const char *const methods[] = {"info", "queue-add", "why"};
    static const char *const data[] = {"", "{\"queue\":\"left\"}", "{\"what\":\"left\"}"};
    struct question q = {.method = methods[_i], .data = data[_i]};
    struct question *arg = &q;

    start();
    on_worker(2, open_and_cancel, &arg);
    for (unsigned i = 0; i < WORKERS; i++)
        json_decref(must(i, "info", ""));
    ck_assert_uint_eq(q.done, 0);
    ck_assert_ptr_null(q.answer);
    stop();
}
END_TEST

START_TEST(stopping_with_calls_under_way)
{
    start();
    for (unsigned i = 0; i < MANY; i++)
        many[i] = (struct question){.method = i % 2 ? "top" : "queue-add",
                                    .data = i % 2 ? "" : "{\"queue\":\"left\"}"};
    on_worker(1, open_many, NULL);
    workers_stop(workers);
    workers_join(workers);
    for (unsigned i = 0; i < MANY; i++) /* as closing the connection does */
        if (!many[i].done)
            core_call_close(many[i].call);
    for (unsigned i = 0; i < MANY; i++)
        json_decref(many[i].answer);
    stop();
}
END_TEST

/* ---- events */

static bool has_line(const struct party *p, const char *a, const char *b)
{
    const char *at = strstr(p->got, a);
    const char *end = at ? strchr(at, '\n') : NULL;
    const char *found = at ? strstr(at, b) : NULL;

    return found && found < end;
}

static void wait_line(struct party *p, const char *a, const char *b)
{
    pthread_mutex_lock(&lock);
    while (!has_line(p, a, b))
        wait_for(&p->deliveries, p->deliveries + 1, a);
    pthread_mutex_unlock(&lock);
}

START_TEST(events_are_published)
{
    start();
    attach(0, "", "$SYS.*", "1000000");
    json_decref(must(2, "queue-add",
                     "{\"queue\":\"small\",\"settings\":{\"max-messages\":\"1\","
                     "\"dead-letter\":\"dead\",\"overflow\":\"drop-oldest\"}}"));
    wait_line(&party[0], "\"event\":\"queue_made\"", "\"queue\":\"small\"");
    send_from(1, "small", "1 2 3", 3);
    wait_line(&party[0], "\"event\":\"slow_consumer\",\"reason\":\"drop-oldest\",\"count\":2",
              "\"queue\":\"small\"");
    wait_line(&party[0], "\"event\":\"dead_letter\",\"count\":2", "\"topic\":\"dead\"");
    json_decref(must(0, "queue-rm", "{\"queue\":\"small\"}"));
    wait_line(&party[0], "\"event\":\"queue_gone\"", "\"queue\":\"small\"");
    stop();
}
END_TEST

START_TEST(events_do_not_feed_themselves)
{
    static const char *const data[] = {"{\"queue\":\"x1\"}", "{\"queue\":\"x2\"}",
                                       "{\"queue\":\"x3\"}"};
    json_t *a;

    start();
    attach(0, "", "$SYS.*", "1000000");
    json_decref(must(0, "queue-add",
                     "{\"queue\":\"sys\",\"bind\":[\"$SYS.#\"],"
                     "\"settings\":{\"max-messages\":\"1\"}}"));
    for (int i = 0; i < 3; i++) {
        json_decref(must(1, "queue-add", data[i]));
        wait_line(&party[0], "\"event\":\"queue_made\"", "\"queue\":");
        json_decref(must(2, "queue-rm", data[i]));
    }
    wait_line(&party[0], "\"queue\":\"x3\"", "\"queue\":\"x3\"");
    /* It has refused some of them, which the log tells, and nobody else. */
    a = must(0, "queue-info", "{\"queue\":\"sys\"}");
    ck_assert_int_ge(number(json_object_get(json_object_get(a, "counters"), "refused"), "full"), 3);
    json_decref(a);
    pthread_mutex_lock(&lock);
    ck_assert_ptr_null(strstr(party[0].got, "\"event\":\"refused\""));
    pthread_mutex_unlock(&lock);
    stop();
}
END_TEST

/* ---- statistics */

/* The first line that has `a`, parsed; the caller's. */
static json_t *line_with(struct party *p, const char *a)
{
    json_t *o;

    wait_line(p, a, "}");
    pthread_mutex_lock(&lock);
    o = json_loads(strstr(p->got, a), JSON_DISABLE_EOF_CHECK, NULL);
    pthread_mutex_unlock(&lock);
    ck_assert_msg(o != NULL, "%s is no JSON", a);
    return o;
}

START_TEST(statistics_are_published_while_somebody_listens)
{
    json_t *o, *one;

    start();
    json_decref(must(1, "queue-add", "{\"queue\":\"work\",\"settings\":{\"max-messages\":\"5\"}}"));
    attach(2, "work", "", "1");
    send_from(0, "work", "1 2 3", 3);
    attach((unsigned)_i, "", "$SYS.stats.#", "1000000");
    o = line_with(&party[_i], "{\"workers\":");
    ck_assert_int_eq(number(json_object_get(o, "totals"), "published"), 3);
    ck_assert_int_gt(number(o, "now_ms"), 0);
    ck_assert_ptr_null(json_object_get(o, "services"));
    json_decref(o);

    o = line_with(&party[_i], "{\"queues\":");
    one = json_array_get(json_object_get(o, "queues"), 0);
    ck_assert_str_eq(text(one, "name"), "work");
    ck_assert_int_eq(number(one, "depth"), 2);
    ck_assert_int_eq(number(one, "max_messages"), 5);
    ck_assert_str_eq(text(one, "overflow"), "reject");
    json_decref(o);

    o = line_with(&party[_i], "{\"consumers\":");
    one = json_array_get(json_object_get(o, "consumers"), 0);
    ck_assert_str_eq(text(one, "client"), "party2");
    ck_assert_str_eq(text(one, "queue"), "work");
    ck_assert_str_eq(text(one, "stalled_by"), "credit");
    ck_assert_int_eq(number(one, "unacked"), 1);
    json_decref(o);
    json_decref(line_with(&party[_i], "{\"clients\":"));

    pthread_mutex_lock(&lock); /* and another second */
    wait_for(&party[_i].deliveries, 8, "more statistics");
    pthread_mutex_unlock(&lock);
    stop();
}
END_TEST

/* One topic is heard: of that alone there are figures. */
START_TEST(only_what_is_heard_is_published)
{
    start();
    attach(1, "", "$SYS.stats.clients", "1000000");
    pthread_mutex_lock(&lock);
    wait_for(&party[1].deliveries, 2, "statistics");
    ck_assert_ptr_null(strstr(party[1].got, "{\"queues\""));
    ck_assert_ptr_nonnull(strstr(party[1].got, "\"client\":\"party1\""));
    pthread_mutex_unlock(&lock);
    stop();
}
END_TEST

int main(void)
{
    Suite *s = suite_create("admin");
    TCase *t = tcase_create("admin");
    SRunner *r;
    int failed;

    tcase_set_timeout(t, 60);
    tcase_add_loop_test(t, bad_requests_are_refused, 0, sizeof bad / sizeof bad[0]);
    tcase_add_test(t, a_request_has_a_limit);
    tcase_add_test(t, tells_of_the_whole_broker);
    tcase_add_test(t, closes_a_connection);
    tcase_add_test(t, a_queue_and_its_life);
    tcase_add_loop_test(t, a_move_waits_without_turning, 0, 2);
    tcase_add_test(t, binary_payloads_come_as_base64);
    tcase_add_test(t, lists_and_routes);
    tcase_add_test(t, why_names_the_bottleneck);
    tcase_add_test(t, what_is_not_consumed);
    tcase_add_test(t, calls_under_way_have_a_limit);
    tcase_add_loop_test(t, a_caller_that_goes_hears_nothing, 0, 3);
    tcase_add_test(t, stopping_with_calls_under_way);
    tcase_add_test(t, events_are_published);
    tcase_add_test(t, events_do_not_feed_themselves);
    tcase_add_loop_test(t, statistics_are_published_while_somebody_listens, 0, 2);
    tcase_add_test(t, only_what_is_heard_is_published);
    suite_add_tcase(s, t);
    r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed != 0;
}
