/* Serve SERVICE; stop serving it when a line is read, on a connection that goes on until the input
 * ends.
 *
 *     unserve SERVICE
 *
 * Says `serving`, and `stopped` when the broker has heard of it. Answers with nothing. */
#include <broker.h>
#include <stdio.h>
#include <stdlib.h>

static void on_call(broker_service *s, broker_call *c, void *user)
{
    (void)s, (void)user;
    (void)broker_call_send(c, "", 0, NULL);
    broker_call_free(c);
}

static int run(broker *b, const char *service)
{
    struct broker_serve_options o = {.on_call = on_call};
    broker_service *s;
    char line[8];
    int r = broker_connect(b, 5000);

    if (r == BROKER_OK)
        r = broker_serve(b, service, &o, &s);
    if (r == BROKER_OK)
        r = broker_service_ready(s, 5000);
    if (r != BROKER_OK)
        return r;
    puts("serving");
    fflush(stdout);
    if (!fgets(line, sizeof line, stdin))
        return BROKER_FAILED;
    broker_unserve(s);
    r = broker_ping(b, 5000);
    if (r != BROKER_OK)
        return r;
    puts("stopped");
    fflush(stdout);
    while (fgets(line, sizeof line, stdin))
        ;
    return broker_ping(b, 5000);
}

int main(int argc, char **argv)
{
    broker *b;
    int r;

    if (argc != 2) {
        fprintf(stderr, "usage: %s SERVICE\n", argv[0]);
        return 2;
    }
    if (broker_new(NULL, &b, NULL, 0) != BROKER_OK || broker_start(b) != BROKER_OK)
        return EXIT_FAILURE;
    r = run(b, argv[1]);
    if (r != BROKER_OK)
        fprintf(stderr, "unserve: %s. %s\n", broker_strerror(r), broker_errmsg(b));
    broker_free(b);
    return r == BROKER_OK ? EXIT_SUCCESS : EXIT_FAILURE;
}
