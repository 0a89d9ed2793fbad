/* A service answered by several threads: sums, running sums, and counting.
 *
 *     serve SERVICE THREADS
 *
 * Methods: add (one answer: the sum of the request's numbers), count (a stream: 1, 2, .. to the
 * request's number) and running (a channel: after each number the sum so far). The library's own
 * thread has the connection; each of ours takes a call, answers it, takes the next. Sending waits
 * for the caller's credit: a caller who is slow holds up one thread, and no memory. Ends with its
 * input. */
#include <broker.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static long number(const broker_message *m)
{
    char text[24];
    size_t n = broker_message_size(m);

    snprintf(text, sizeof text, "%.*s", n < sizeof text ? (int)n : 0,
             (const char *)broker_message_data(m, NULL));
    return strtol(text, NULL, 10);
}

static int say(broker_call *c, long value)
{
    char text[24];
    int n = snprintf(text, sizeof text, "%ld", value);

    return broker_call_send_wait(c, text, (size_t)n, NULL, BROKER_FOREVER);
}

static void add(broker_call *c)
{
    broker_message *m = broker_call_request(c);
    const char *p = broker_message_data(m, NULL), *end = p + broker_message_size(m);
    long sum = 0;

    for (long value = 0; p <= end; p++) {
        if (p < end && *p >= '0' && *p <= '9') {
            value = value * 10 + (*p - '0');
        } else {
            sum += value;
            value = 0;
        }
    }
    (void)say(c, sum);
}

static void count(broker_call *c)
{
    long last = number(broker_call_request(c));

    for (long i = 1; i <= last; i++)
        if (say(c, i) != BROKER_OK)
            return; /* canceled, or the connection is gone */
    (void)broker_call_complete(c);
}

static void running(broker_call *c)
{
    long sum = number(broker_call_request(c));
    broker_message *m;
    int r = say(c, sum);

    while (r == BROKER_OK && (r = broker_call_next(c, BROKER_FOREVER, &m)) == BROKER_OK) {
        sum += number(m);
        broker_message_unref(m);
        r = say(c, sum);
    }
    if (r == BROKER_ENDED) /* the caller has completed */
        (void)broker_call_complete(c);
}

static void *work(void *arg)
{
    static const struct {
        const char *name;
        enum broker_call_model model;
        void (*answer)(broker_call *c);
    } methods[] = {{"add", BROKER_CALL_RESPONSE, add},
                   {"count", BROKER_CALL_STREAM, count},
                   {"running", BROKER_CALL_CHANNEL, running}};
    broker_service *service = arg;
    broker_call *c;

    while (broker_service_next(service, BROKER_FOREVER, &c) == BROKER_OK) {
        size_t i = 0;

        while (i < 3 && (broker_call_model(c) != methods[i].model ||
                         strncmp(broker_call_method(c), methods[i].name, 8) != 0))
            i++;
        if (i < 3)
            methods[i].answer(c);
        else
            (void)broker_call_fail(c, BROKER_CODE_INVALID, "no such method");
        broker_call_free(c);
    }
    return NULL;
}

int main(int argc, char **argv)
{
    pthread_t thread[16];
    broker_service *service;
    broker *b;
    int threads = argc == 3 ? atoi(argv[2]) : 0, r;

    if (threads < 1 || threads > 16) {
        fprintf(stderr, "serve SERVICE THREADS (1 to 16)\n");
        return 2;
    }
    r = broker_new(NULL, &b, NULL, 0);
    if (r == BROKER_OK)
        r = broker_start(b);
    if (r == BROKER_OK)
        r = broker_connect(b, 5000);
    if (r == BROKER_OK)
        r = broker_serve(b, argv[1], NULL, &service);
    if (r == BROKER_OK)
        r = broker_service_ready(service, 5000);
    if (r != BROKER_OK) {
        fprintf(stderr, "serve: %s: %s\n", broker_strerror(r), b ? broker_errmsg(b) : "");
        return 1;
    }
    for (int i = 0; i < threads; i++)
        pthread_create(&thread[i], NULL, work, service);
    fprintf(stderr, "serving\n");
    while (getchar() != EOF)
        ;
    (void)broker_close(b, 5000); /* answers what is asked, then ends the waits of our threads */
    for (int i = 0; i < threads; i++)
        pthread_join(thread[i], NULL);
    broker_free(b);
    return 0;
}
