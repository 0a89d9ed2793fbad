/* Publish numbered messages to ourselves while the broker is killed and started again.
 *
 *     reconnect COUNT FIFO
 *
 * Says "half" when the first half has been heard; the test does its deed while the other half is
 * under way, and then writes a line to FIFO. Ends with 0 if every
 * message has settled, the last one was heard, and what was not heard was told of as a gap. */
#include <broker.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    long heard, last, missed, again; /* `missed`: numbers never heard before a later one */
    long gaps, reconnects;
    unsigned long long settled, bad;
} t = {.lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};

static void on_message(broker_subscription *s, broker_message *m, void *user)
{
    char text[32] = "";
    long n;

    (void)s;
    (void)user;
    memcpy(text, broker_message_data(m, NULL),
           broker_message_size(m) < 31 ? broker_message_size(m) : 31);
    n = atol(text);
    pthread_mutex_lock(&t.lock);
    t.heard++;
    if (n > t.last) {
        t.missed += n - t.last - 1;
        t.last = n;
    } else {
        t.again++;
    }
    pthread_cond_broadcast(&t.changed);
    pthread_mutex_unlock(&t.lock);
}

static void on_gap(broker_subscription *s, const struct broker_gap *gap, void *user)
{
    (void)s;
    (void)user;
    pthread_mutex_lock(&t.lock);
    if (gap->count == 0 && gap->reason == BROKER_REASON_DISCONNECTED)
        t.gaps++;
    pthread_mutex_unlock(&t.lock);
}

static void on_confirm(broker_publisher *p, uint64_t settled, const struct broker_outcome *o,
                       size_t count, void *user)
{
    (void)p;
    (void)user;
    pthread_mutex_lock(&t.lock);
    t.settled = settled;
    for (size_t i = 0; i < count; i++)
        t.bad += o[i].count;
    pthread_mutex_unlock(&t.lock);
}

static void on_state(broker *b, const struct broker_event *ev, void *user)
{
    (void)b;
    (void)user;
    pthread_mutex_lock(&t.lock);
    t.reconnects += ev->state == BROKER_STATE_RECONNECTING;
    pthread_mutex_unlock(&t.lock);
}

static int give_up(broker *b, const char *what, int code)
{
    fprintf(stderr, "reconnect: %s: %s. %s\n", what, broker_strerror(code), broker_errmsg(b));
    return EXIT_FAILURE;
}

/* Publish first .. last, waiting for credit. */
static int publish(broker_publisher *p, long first, long last)
{
    char text[32];

    for (long i = first; i <= last; i++) {
        int n = snprintf(text, sizeof text, "%ld", i);
        int64_t r = broker_publisher_publish_wait(p, NULL, text, (size_t)n, NULL, 30000);

        if (r != i)
            return r < 0 ? (int)r : BROKER_FAILED;
    }
    return BROKER_OK;
}

static void wait_heard(long last)
{
    pthread_mutex_lock(&t.lock);
    while (t.last < last)
        pthread_cond_wait(&t.changed, &t.lock);
    pthread_mutex_unlock(&t.lock);
}

static int wait_line(const char *path)
{
    FILE *f = fopen(path, "r");
    int c = f ? getc(f) : EOF;

    if (f)
        fclose(f);
    return c != EOF;
}

int main(int argc, char **argv)
{
    static const char *const filter[] = {"numbers"};
    struct broker_options o = {
        .on_state = on_state, .reconnect_min_ms = 10, .reconnect_max_ms = 50};
    struct broker_subscribe_options so = {.on_message = on_message, .on_gap = on_gap};
    struct broker_publisher_options po = {.topic = "numbers", .on_confirm = on_confirm};
    long count;
    struct broker_publisher_stats st;
    broker_subscription *s;
    broker_publisher *p;
    broker *b;
    int r;

    if (argc != 3) {
        fprintf(stderr, "usage: %s COUNT FIFO\n", argv[0]);
        return 2;
    }
    count = atol(argv[1]);
    if (broker_new(&o, &b, NULL, 0) != BROKER_OK || broker_start(b) != BROKER_OK)
        return EXIT_FAILURE;
    if ((r = broker_connect(b, 5000)) != BROKER_OK ||
        (r = broker_subscribe(b, filter, 1, &so, &s)) != BROKER_OK ||
        (r = broker_publisher_new(b, &po, &p)) != BROKER_OK)
        return give_up(b, "start", r);
    if ((r = publish(p, 1, count / 2)) != BROKER_OK)
        return give_up(b, "first half", r);
    wait_heard(count / 2);
    puts("half");
    fflush(stdout);
    /* the broker dies somewhere in here */
    if ((r = publish(p, count / 2 + 1, count)) != BROKER_OK)
        return give_up(b, "second half", r);
    if (!wait_line(argv[2]))
        return EXIT_FAILURE;
    if ((r = broker_publisher_drain(p, 30000)) != BROKER_OK)
        return give_up(b, "drain", r);
    /* one more, after all the trouble: heard for certain */
    if ((r = broker_ping(b, 30000)) != BROKER_OK ||
        (r = publish(p, count + 1, count + 1)) != BROKER_OK)
        return give_up(b, "last", r);
    wait_heard(count + 1);
    if ((r = broker_publisher_drain(p, 30000)) != BROKER_OK)
        return give_up(b, "drain", r);
    broker_publisher_stats(p, &st);
    broker_close(b, 5000);
    broker_free(b);
    printf("heard %ld missed %ld again %ld gaps %ld reconnects %ld settled %llu resent %llu "
           "not accepted %llu unknown %llu\n",
           t.heard, t.missed, t.again, t.gaps, t.reconnects, t.settled,
           (unsigned long long)st.resent, t.bad, (unsigned long long)st.unknown);
    if (t.settled != (unsigned long long)count + 1 || st.unknown > 0)
        return EXIT_FAILURE;
    if (t.missed > 0 && t.gaps == 0)
        return EXIT_FAILURE;
    return t.gaps > 0 && t.reconnects > 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
