/* A handle with a thread of its own, used from many threads at once; and one in a libevent loop. */
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>

#include "broker_libevent.h"
#include "tests/unit/client/fake.h"

static const struct broker_options quick = {.reconnect_min_ms = 1, .reconnect_max_ms = 4};

/* A connected handle with its own thread. The fake no longer drives it. */
static broker *start(struct fake *k)
{
    broker *b;

    fake_init(k);
    b = fake_client(k, &quick);
    k->client = NULL;
    ck_assert_int_eq(broker_start(b), BROKER_OK);
    ck_assert_int_eq(broker_start(b), BROKER_BUSY);
    ck_assert_int_eq(broker_process(b), BROKER_BUSY);
    ck_assert_int_eq(broker_connect(b, 0), BROKER_OK);
    fake_welcome(k);
    ck_assert_int_eq(broker_connect(b, 5000), BROKER_OK);
    return b;
}

enum { PUBLISHERS = 4, EACH = 5000 };

struct job {
    broker *b;
    atomic_uint settled; /* as on_confirm heard */
    int failed;
};

static void on_confirm(broker_publisher *p, uint64_t settled, const struct broker_outcome *o,
                       size_t count, void *user)
{
    struct job *job = user;

    (void)p;
    (void)o;
    (void)count;
    atomic_store(&job->settled, (unsigned)settled);
}

static void *publish(void *arg)
{
    struct job *job = arg;
    struct broker_publisher_options o = {.topic = "t", .on_confirm = on_confirm, .user = job};
    broker_publisher *p;

    job->failed = broker_publisher_new(job->b, &o, &p);
    for (int64_t i = 1; !job->failed && i <= EACH; i++)
        if (broker_publisher_publish_wait(p, NULL, &i, sizeof i, NULL, 20000) != i)
            job->failed = 1;
    if (!job->failed)
        job->failed = broker_publisher_drain(p, 20000);
    if (atomic_load(&job->settled) != EACH)
        job->failed = 2;
    broker_publisher_free(p);
    return NULL;
}

START_TEST(publishes_from_many_threads)
{
    static struct job jobs[PUBLISHERS];
    uint64_t heard[2 * PUBLISHERS] = {0};
    pthread_t threads[PUBLISHERS];
    struct fake k;
    broker *b = start(&k);
    int done = 0;

    for (int i = 0; i < PUBLISHERS; i++) {
        jobs[i] = (struct job){.b = b};
        ck_assert_int_eq(pthread_create(&threads[i], NULL, publish, &jobs[i]), 0);
    }
    while (done < PUBLISHERS) {
        uint32_t id;

        fake_next(&k);
        id = k.f.stream;
        ck_assert_uint_lt(id, 2 * PUBLISHERS);
        if (k.f.type == RS_REQUEST_CHANNEL) {
            say_n(&k, id, 256);
        } else if (k.f.type != RS_CANCEL) { /* which says that one is through */
            int64_t number;

            ck_assert_int_eq(k.f.type, RS_PAYLOAD);
            memcpy(&number, k.f.data.p, sizeof number);
            ck_assert_int_eq(number, ++heard[id]); /* none lost, none twice, in order */
            if (heard[id] % 128 == 0 || heard[id] == EACH) {
                say_confirm(&k, id, heard[id], NULL, 0);
                say_n(&k, id, 128);
            }
            done += heard[id] == EACH;
        }
    }
    for (int i = 0; i < PUBLISHERS; i++) {
        pthread_join(threads[i], NULL);
        ck_assert_int_eq(jobs[i].failed, 0);
    }
    broker_free(b);
    fake_fini(&k);
}
END_TEST

static atomic_int inside, heard_after;
static atomic_bool given_back;

static void slow(broker_subscription *s, broker_message *m, void *user)
{
    (void)s;
    (void)m;
    (void)user;
    atomic_store(&inside, 1);
    if (atomic_load(&given_back))
        atomic_fetch_add(&heard_after, 1);
    for (int i = 0; i < 1000; i++)
        sched_yield();
    atomic_store(&inside, 0);
}

START_TEST(unsubscribe_waits_for_the_callback)
{
    static const char *const filter[] = {"a"};
    struct fake k;
    broker *b = start(&k);

    for (int i = 0; i < 20; i++) {
        struct broker_subscribe_options o = {.on_message = slow};
        broker_subscription *s;

        atomic_store(&given_back, false);
        ck_assert_int_eq(broker_subscribe(b, filter, 1, &o, &s), BROKER_OK);
        want(&k, RS_REQUEST_STREAM);
        for (int j = 0; j < 50; j++)
            say_text(&k, k.f.stream, "x");
        while (!atomic_load(&inside))
            sched_yield();
        broker_unsubscribe(s);
        atomic_store(&given_back, true);
        want(&k, RS_CANCEL);
    }
    ck_assert_int_eq(atomic_load(&heard_after), 0);
    broker_free(b);
    fake_fini(&k);
}
END_TEST

static void *ping(void *arg)
{
    return broker_ping(arg, 20000) == BROKER_OK ? arg : NULL;
}

START_TEST(requests_wait_in_their_threads)
{
    pthread_t threads[8];
    struct fake k;
    broker *b = start(&k);
    uint32_t ids[8];

    for (int i = 0; i < 8; i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, ping, b), 0);
    for (int i = 0; i < 8; i++)
        ids[i] = want(&k, RS_REQUEST_RESPONSE)->stream;
    for (int i = 7; i >= 0; i--) /* in another order */
        say_data(&k, ids[i], RS_COMPLETE, (struct slice){NULL, 0});
    for (int i = 0; i < 8; i++) {
        void *answer;

        pthread_join(threads[i], &answer);
        ck_assert_ptr_eq(answer, b);
    }
    broker_free(b);
    fake_fini(&k);
}
END_TEST

static void *pull(void *arg)
{
    broker_subscription *s = arg;
    broker_message *m;
    uintptr_t sum = 0;

    while (broker_next(s, 20000, &m) == BROKER_OK) {
        sum += broker_message_size(m);
        broker_message_unref(m);
    }
    return (void *)sum;
}

START_TEST(pulls_in_another_thread)
{
    static const char *const filter[] = {"a"};
    struct broker_subscribe_options o = {.credit = 64};
    broker_subscription *s;
    pthread_t thread;
    void *sum;
    struct fake k;
    broker *b = start(&k);

    ck_assert_int_eq(broker_subscribe(b, filter, 1, &o, &s), BROKER_OK);
    want(&k, RS_REQUEST_STREAM);
    ck_assert_int_eq(pthread_create(&thread, NULL, pull, s), 0);
    for (unsigned credit = 64, i = 0; i < 1000; i++, credit--) {
        if (credit == 0)
            credit = want(&k, RS_REQUEST_N)->number;
        say_text(&k, 1, "0123456789");
    }
    say_data(&k, 1, RS_COMPLETE, (struct slice){NULL, 0});
    pthread_join(thread, &sum);
    ck_assert_uint_eq((uintptr_t)sum, 10000);
    broker_free(b);
    fake_fini(&k);
}
END_TEST

/* ---- In a loop ---- */

static void count_message(broker_subscription *s, broker_message *m, void *user)
{
    (void)s;
    (void)m;
    ++*(int *)user;
}

START_TEST(runs_in_a_loop)
{
    static const char *const filter[] = {"a"};
    struct event_base *base = event_base_new();
    struct broker_libevent *a;
    struct broker_subscribe_options o = {.on_message = count_message};
    broker_subscription *s;
    struct fake k;
    broker *b;
    int count = 0;

    o.user = &count;
    fake_init(&k);
    b = fake_client(&k, &quick);
    k.client = NULL; /* the loop drives it */
    a = broker_libevent_attach(base, b);
    ck_assert_ptr_nonnull(a);
    ck_assert_int_eq(broker_connect(b, 0), BROKER_OK);
    while ((k.fd = accept(k.listener, NULL, NULL)) < 0)
        event_base_loop(base, EVLOOP_NONBLOCK);
    say(&k, &(struct rs_frame){.type = RS_KEEPALIVE});
    while (broker_state(b) != BROKER_STATE_CONNECTED)
        event_base_loop(base, EVLOOP_ONCE);
    /* a call from outside any event wakes the loop by itself */
    ck_assert_int_eq(broker_subscribe(b, filter, 1, &o, &s), BROKER_OK);
    ck_assert_int_eq(broker_publish(b, "x", "y", 1, NULL), BROKER_OK);
    event_base_loop(base, EVLOOP_ONCE);
    want(&k, RS_SETUP);
    want(&k, RS_REQUEST_STREAM);
    want(&k, RS_REQUEST_FNF);
    say_text(&k, 1, "1");
    while (count == 0)
        event_base_loop(base, EVLOOP_ONCE);
    ck_assert_int_eq(count, 1);
    broker_libevent_detach(a);
    broker_free(b);
    event_base_free(base);
    fake_fini(&k);
}
END_TEST

int main(void)
{
    const TTest *tests[] = {publishes_from_many_threads,
                            unsubscribe_waits_for_the_callback,
                            requests_wait_in_their_threads,
                            pulls_in_another_thread,
                            runs_in_a_loop,
                            NULL};

    return run_tests("client/thread", tests);
}
