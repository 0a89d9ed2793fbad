/* Publish the lines of standard input to a topic, none of them lost in silence.
 *
 *     publish TOPIC < FILE
 *
 * A publisher sends as fast as the broker takes messages: when credit is used up,
 * broker_publisher_publish_wait() waits. Drain waits for the last receipts; what a queue did not
 * take, on_confirm is told. */
#include <broker.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void on_confirm(broker_publisher *p, uint64_t settled, const struct broker_outcome *outcomes,
                       size_t count, void *user)
{
    unsigned long long *failed = user;

    (void)p;
    (void)settled;
    for (size_t i = 0; i < count; i++) {
        fprintf(stderr, "messages %llu to %llu: %s, in %u of %u queues\n",
                (unsigned long long)outcomes[i].first,
                (unsigned long long)(outcomes[i].first + outcomes[i].count - 1),
                broker_reason_word(outcomes[i].reason), outcomes[i].accepted, outcomes[i].matched);
        *failed += outcomes[i].count;
    }
}

static int give_up(broker *b, const char *what, int code)
{
    fprintf(stderr, "publish: %s: %s. %s\n", what, broker_strerror(code),
            b ? broker_errmsg(b) : "");
    broker_free(b);
    return EXIT_FAILURE;
}

int main(int argc, char **argv)
{
    unsigned long long failed = 0;
    struct broker_publisher_options o = {.on_confirm = on_confirm, .user = &failed};
    broker *b = NULL;
    broker_publisher *p;
    char *line = NULL;
    size_t size = 0;
    ssize_t n;
    int r;

    if (argc != 2) {
        fprintf(stderr, "usage: %s TOPIC < FILE\n", argv[0]);
        return 2;
    }
    o.topic = argv[1];
    r = broker_new(NULL, &b, NULL, 0); /* the address is that of the environment's BROKER_URL */
    if (r != BROKER_OK)
        return give_up(NULL, "broker_new", r);
    r = broker_connect(b, 5000);
    if (r != BROKER_OK)
        return give_up(b, "connect", r);
    r = broker_publisher_new(b, &o, &p);
    if (r != BROKER_OK)
        return give_up(b, argv[1], r);

    while ((n = getline(&line, &size, stdin)) >= 0) {
        int64_t number;

        if (n > 0 && line[n - 1] == '\n')
            n--;
        number = broker_publisher_publish_wait(p, NULL, line, (size_t)n, NULL, BROKER_FOREVER);
        if (number < 0)
            return give_up(b, "publish", (int)number);
    }
    free(line);
    r = broker_publisher_drain(p, 10000);
    if (r != BROKER_OK)
        return give_up(b, "drain", r);
    broker_publisher_free(p);
    broker_close(b, 1000);
    broker_free(b);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
