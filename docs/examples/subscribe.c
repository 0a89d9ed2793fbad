/* Print what is published to topics that match a filter.
 *
 *     subscribe COUNT FILTER...
 *
 * The plain way: broker_next() hands out one message after the other and tells of gaps. The broker
 * never sends more than the credit allows, so a slow reader here harms nobody. */
#include <broker.h>
#include <stdio.h>
#include <stdlib.h>

int main(int argc, char **argv)
{
    struct broker_subscribe_options o = {.credit = 1000};
    broker *b = NULL;
    broker_subscription *s;
    int r;

    if (argc < 3) {
        fprintf(stderr, "usage: %s COUNT FILTER...\n", argv[0]);
        return 2;
    }
    r = broker_new(NULL, &b, NULL, 0);
    if (r == BROKER_OK)
        r = broker_connect(b, 5000);
    if (r == BROKER_OK)
        r = broker_subscribe(b, (const char *const *)(argv + 2), (size_t)(argc - 2), &o, &s);
    if (r == BROKER_OK)
        r = broker_ping(b, 5000); /* from here on every publisher reaches us */
    if (r == BROKER_OK)
        fprintf(stderr, "subscribed\n");

    for (int left = atoi(argv[1]); r == BROKER_OK && left > 0;) {
        struct broker_gap gap;
        broker_message *m;

        r = broker_next(s, BROKER_FOREVER, &m);
        if (r == BROKER_GAP) {
            broker_last_gap(s, &gap);
            fprintf(stderr, "%llu messages lost: %s\n", (unsigned long long)gap.count,
                    broker_reason_word(gap.reason));
            r = BROKER_OK;
        } else if (r == BROKER_OK) {
            printf("%s %.*s\n", broker_message_topic(m), (int)broker_message_size(m),
                   (const char *)broker_message_data(m, NULL));
            broker_message_unref(m);
            left--;
        }
    }
    if (r != BROKER_OK)
        fprintf(stderr, "subscribe: %s. %s\n", broker_strerror(r), b ? broker_errmsg(b) : "");
    broker_free(b);
    return r == BROKER_OK ? EXIT_SUCCESS : EXIT_FAILURE;
}
