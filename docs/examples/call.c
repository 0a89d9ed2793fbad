/* Call a service that adds, counts, and keeps running sums (serve.c).
 *
 *     call SERVICE N
 *
 * A question and its answer in one line; a stream of N answers, of which at most four are under
 * way; a channel on which N numbers go up and N sums come down, the sending in between. Nothing
 * here has a loop of its own: the functions that wait drive the connection. */
#include <broker.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int fail(broker *b, const char *what, int r)
{
    fprintf(stderr, "call: %s: %s: %s\n", what, broker_strerror(r), broker_errmsg(b));
    return 1;
}

static long take(broker_message *m)
{
    char text[24];
    size_t n = broker_message_size(m);

    snprintf(text, sizeof text, "%.*s", n < sizeof text ? (int)n : 0,
             (const char *)broker_message_data(m, NULL));
    broker_message_unref(m);
    return strtol(text, NULL, 10);
}

static int ask(broker *b, const char *target)
{
    struct broker_call_options o = {.wait_ms = 5000}; /* a server may still be on its way */
    broker_message *m;
    int r = broker_call_wait(b, target, "40 2", 4, &o, 10000, &m, NULL);

    if (r != BROKER_OK)
        return fail(b, target, r);
    printf("40 and 2 are %ld\n", take(m));
    return 0;
}

static int count(broker *b, const char *target, const char *n)
{
    struct broker_call_options o = {.credit = 4};
    broker_message *m;
    broker_call *c;
    long sum = 0;
    int r = broker_call_open(b, BROKER_CALL_STREAM, target, n, strlen(n), &o, &c);

    if (r != BROKER_OK)
        return fail(b, target, r);
    while ((r = broker_call_next(c, 10000, &m)) == BROKER_OK)
        sum += take(m);
    broker_call_free(c);
    if (r != BROKER_ENDED)
        return fail(b, target, r);
    printf("1 to %s make %ld\n", n, sum);
    return 0;
}

/* Send while there is credit, take what has come: neither side waits for the other with its hands
 * full. */
static int talk(broker *b, const char *target, long n)
{
    broker_message *m;
    broker_call *c;
    long last = 0, sent = 1;
    int r = broker_call_open(b, BROKER_CALL_CHANNEL, target, "1", 1, NULL, &c);

    while (r == BROKER_OK) {
        while (sent < n && (r = broker_call_send(c, "1", 1, NULL)) == BROKER_OK)
            sent++;
        if (sent == n && r == BROKER_OK) {
            r = broker_call_complete(c);
            sent++;
        }
        if (r == BROKER_OK || r == BROKER_NO_CREDIT)
            r = broker_call_next(c, 10000, &m);
        if (r == BROKER_OK)
            last = take(m);
    }
    if (r != BROKER_ENDED)
        return fail(b, target, r);
    broker_call_free(c);
    printf("%ld ones are %ld\n", n, last);
    return 0;
}

int main(int argc, char **argv)
{
    char target[3][300];
    broker *b;
    int r;

    if (argc != 3 || atol(argv[2]) < 1) {
        fprintf(stderr, "call SERVICE N\n");
        return 2;
    }
    snprintf(target[0], sizeof target[0], "%.240s/add", argv[1]);
    snprintf(target[1], sizeof target[1], "%.240s/count", argv[1]);
    snprintf(target[2], sizeof target[2], "%.240s/running", argv[1]);
    r = broker_new(NULL, &b, NULL, 0);
    if (r != BROKER_OK) {
        fprintf(stderr, "call: %s\n", broker_strerror(r));
        return 1;
    }
    r = broker_connect(b, 5000);
    r = r == BROKER_OK ? ask(b, target[0]) : fail(b, "cannot connect", r);
    if (r == 0)
        r = count(b, target[1], argv[2]);
    if (r == 0)
        r = talk(b, target[2], atol(argv[2]));
    broker_free(b);
    return r;
}
