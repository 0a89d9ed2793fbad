/* In a program with a poll loop of its own: publish what is typed, print what is published.
 *
 *     loop_poll TOPIC
 *
 * One descriptor to poll for reading, one time-out, one function to call: that is all a loop has to
 * know of libbroker. Ends at the end of input, when all has been delivered back to us. */
#include <broker.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static unsigned long typed, printed;

static void on_message(broker_subscription *s, broker_message *m, void *user)
{
    (void)s;
    (void)user;
    printf("%.*s", (int)broker_message_size(m), (const char *)broker_message_data(m, NULL));
    fflush(stdout);
    printed += broker_message_size(m);
}

int main(int argc, char **argv)
{
    struct broker_subscribe_options o = {.on_message = on_message};
    broker *b = NULL;
    broker_subscription *s;
    broker_publisher *p;
    char buf[4096];
    int r, input = STDIN_FILENO;

    if (argc != 2) {
        fprintf(stderr, "usage: %s TOPIC\n", argv[0]);
        return 2;
    }
    r = broker_new(NULL, &b, NULL, 0);
    if (r == BROKER_OK)
        r = broker_connect(b, 5000);
    if (r == BROKER_OK)
        r = broker_subscribe(b, (const char *const *)&argv[1], 1, &o, &s);
    if (r == BROKER_OK)
        r = broker_ping(b, 5000);
    if (r == BROKER_OK)
        r = broker_publisher_new(b, &(struct broker_publisher_options){.topic = argv[1]}, &p);

    while (r == BROKER_OK && (input >= 0 || printed < typed)) {
        struct pollfd fds[2] = {{.fd = broker_fd(b), .events = POLLIN}, {.fd = -1}};

        if (broker_publisher_credit(p) > 0) { /* read no more than can be sent */
            fds[1].fd = input;
            fds[1].events = POLLIN;
        }
        if (poll(fds, 2, broker_timeout_ms(b)) < 0)
            break;
        if (fds[1].revents) {
            ssize_t n = read(input, buf, sizeof buf);

            if (n <= 0) {
                input = -1;
            } else {
                broker_publisher_publish(p, NULL, buf, (size_t)n, NULL);
                typed += (unsigned long)n;
            }
        }
        r = broker_process(b);
    }
    if (r != BROKER_OK)
        fprintf(stderr, "loop_poll: %s. %s\n", broker_strerror(r), b ? broker_errmsg(b) : "");
    broker_free(b);
    return r == BROKER_OK ? EXIT_SUCCESS : EXIT_FAILURE;
}
