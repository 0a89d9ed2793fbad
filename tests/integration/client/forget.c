/* Publish numbered messages that nobody waits for, a few each millisecond.
 *
 *     forget NAME COUNT EACH
 *
 * Four of five go to forget.main, the others to forget.side, each counted from 1. */
#include <broker.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>

int main(int argc, char **argv)
{
    struct broker_options o = {0};
    long count, each, main_n = 0, side_n = 0;
    broker *b;
    int r;

    if (argc != 4) {
        fprintf(stderr, "usage: %s NAME COUNT EACH\n", argv[0]);
        return 2;
    }
    o.name = argv[1];
    count = atol(argv[2]);
    each = atol(argv[3]);
    if (broker_new(&o, &b, NULL, 0) != BROKER_OK || broker_start(b) != BROKER_OK)
        return EXIT_FAILURE;
    r = broker_connect(b, 5000);
    for (long i = 1; i <= count && r == BROKER_OK; i++) {
        int is_side = i % 5 == 0;
        char text[32];
        int n = snprintf(text, sizeof text, "%ld", is_side ? ++side_n : ++main_n);

        r = broker_publish(b, is_side ? "forget.side" : "forget.main", text, (size_t)n, NULL);
        if (i % each == 0)
            poll(NULL, 0, 1);
    }
    if (r == BROKER_OK)
        r = broker_close(b, 30000);
    if (r != BROKER_OK)
        fprintf(stderr, "forget: %s. %s\n", broker_strerror(r), broker_errmsg(b));
    broker_free(b);
    return r == BROKER_OK ? EXIT_SUCCESS : EXIT_FAILURE;
}
