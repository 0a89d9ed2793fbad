/* One of several workers of a queue: take a job, do it, acknowledge it.
 *
 *     worker QUEUE COUNT
 *
 * Whatever is not acknowledged (this program is killed, a job takes too long) the broker hands to
 * another worker, with broker_message_attempt() > 1. This one uses the library's own thread for
 * the connection: messages come on it, the main thread only waits. */
#include <broker.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct work {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    int left; /* jobs still to be done; -1: the queue has failed */
};

static void change(struct work *w, int left)
{
    pthread_mutex_lock(&w->lock);
    w->left = left;
    pthread_cond_signal(&w->changed);
    pthread_mutex_unlock(&w->lock);
}

static void on_message(broker_subscription *s, broker_message *m, void *user)
{
    struct work *w = user;
    const char *job = broker_message_data(m, NULL);
    uint64_t number = broker_message_number(m);
    size_t n = broker_message_size(m);

    if (w->left <= 0) {
        broker_nack(s, number, 1, 0); /* we have done our share */
        return;
    }
    if (n >= 6 && memcmp(job, "broken", 6) == 0) {
        broker_reject(s, number, 1); /* nobody will ever be able to do it */
    } else if (n >= 5 && memcmp(job, "later", 5) == 0 && broker_message_attempt(m) == 1) {
        broker_nack(s, number, 1, 10); /* again in 10 ms, here or elsewhere */
        return;
    } else {
        printf("done: %.*s%s\n", (int)n, job, broker_message_attempt(m) > 1 ? " (again)" : "");
        broker_ack(s, number, 1);
    }
    change(w, w->left - 1);
}

static void on_end(broker_subscription *s, int error, int reason, const char *text, void *user)
{
    (void)s;
    (void)reason;
    fprintf(stderr, "worker: %s: %s\n", broker_strerror(error), text);
    change(user, -1);
}

int main(int argc, char **argv)
{
    struct work w = {PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, 0};
    struct broker_subscribe_options o = {.credit = 10,
                                         .ack = BROKER_ACK_MANUAL,
                                         .on_message = on_message,
                                         .on_end = on_end,
                                         .user = &w};
    broker *b = NULL;
    broker_subscription *s;
    int r, left;

    if (argc != 3) {
        fprintf(stderr, "usage: %s QUEUE COUNT\n", argv[0]);
        return 2;
    }
    w.left = atoi(argv[2]);
    r = broker_new(NULL, &b, NULL, 0);
    if (r == BROKER_OK)
        r = broker_start(b);
    if (r == BROKER_OK)
        r = broker_connect(b, 5000);
    if (r == BROKER_OK)
        r = broker_consume(b, argv[1], &o, &s);
    if (r != BROKER_OK) {
        fprintf(stderr, "worker: %s. %s\n", broker_strerror(r), b ? broker_errmsg(b) : "");
        broker_free(b);
        return EXIT_FAILURE;
    }
    pthread_mutex_lock(&w.lock);
    while (w.left > 0)
        pthread_cond_wait(&w.changed, &w.lock);
    left = w.left;
    pthread_mutex_unlock(&w.lock);
    broker_unsubscribe(s); /* its acks are sent before */
    broker_close(b, 5000);
    broker_free(b);
    return left == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
