/* In a program that has a libevent loop already: answer what comes to one topic on another.
 *
 *     loop_libevent FROM TO COUNT
 *
 * broker_libevent.h has the loop drive the handle; all callbacks run in the loop. Never wait there:
 * use the functions that do not (broker_publish_async() instead of broker_publish_wait()). */
#include <broker_libevent.h>
#include <stdio.h>
#include <stdlib.h>

struct program {
    struct event_base *base;
    broker *b;
    const char *to;
    int left; /* answers that have not settled yet */
};

static void on_receipt(broker *b, const struct broker_receipt *r, void *user)
{
    struct program *p = user;

    (void)b;
    if (r->status != BROKER_OK)
        fprintf(stderr, "answer: %s %s\n", broker_strerror(r->status), r->text);
    if (--p->left == 0)
        event_base_loopbreak(p->base);
}

static void on_message(broker_subscription *s, broker_message *m, void *user)
{
    struct program *p = user;
    size_t n;
    const void *data = broker_message_data(m, &n);

    (void)s;
    broker_publish_async(p->b, p->to, data, n, NULL, 5000, on_receipt, p);
}

static void on_ready(broker *b, const struct broker_receipt *r, broker_message *answer, void *user)
{
    (void)b;
    (void)answer;
    (void)user;
    if (r->status == BROKER_OK)
        fprintf(stderr, "subscribed\n");
}

static void on_state(broker *b, const struct broker_event *ev, void *user)
{
    struct program *p = user;

    (void)b;
    if (ev->error != BROKER_OK)
        fprintf(stderr, "%s: %s %s\n", ev->url, broker_strerror(ev->error), ev->text);
    if (ev->state == BROKER_STATE_CLOSED)
        event_base_loopbreak(p->base);
}

int main(int argc, char **argv)
{
    struct program p = {0};
    struct broker_options o = {.on_state = on_state, .user = &p};
    struct broker_subscribe_options so = {.on_message = on_message, .user = &p};
    struct broker_libevent *adapter;
    broker_subscription *s;

    if (argc != 4) {
        fprintf(stderr, "usage: %s FROM TO COUNT\n", argv[0]);
        return 2;
    }
    p.to = argv[2];
    p.left = atoi(argv[3]);
    p.base = event_base_new();
    if (!p.base || broker_new(&o, &p.b, NULL, 0) != BROKER_OK)
        return EXIT_FAILURE;
    adapter = broker_libevent_attach(p.base, p.b);
    if (!adapter || broker_connect(p.b, 0) != BROKER_OK ||
        broker_subscribe(p.b, (const char *const *)&argv[1], 1, &so, &s) != BROKER_OK ||
        broker_request_async(p.b, "admin/ping", NULL, 0, 5000, on_ready, &p) != BROKER_OK) {
        fprintf(stderr, "%s\n", broker_errmsg(p.b));
        return EXIT_FAILURE;
    }
    event_base_dispatch(p.base);
    broker_libevent_detach(adapter);
    broker_free(p.b);
    event_base_free(p.base);
    return p.left == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
