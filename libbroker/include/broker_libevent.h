/* broker_libevent.h - drive a libbroker handle by the caller's libevent loop.
 *
 * Why      A program that has a loop wants no second one, and no thread.
 * Shape    Header only, so that libbroker itself does not need libevent: include it in one or more
 *          source files, link with -levent_core. Two events of the loop's: the handle's
 *          descriptor becomes readable, or time has come; each calls broker_process() and sets
 *          the time anew.
 * Callbacks  All of the handle's run on the loop's thread. broker_free() may not be called from one
 *          of them (see broker.h); from any other event of the loop it may.
 * Owner    broker_libevent_attach() makes an adapter; give it back with broker_libevent_detach()
 *          before broker_free() and before event_base_free().
 * Thread   The one that runs the loop. Not together with broker_start(). */
#ifndef BROKER_LIBEVENT_H
#define BROKER_LIBEVENT_H

#include <event2/event.h>
#include <stdlib.h>

#include "broker.h"

#ifdef __cplusplus
extern "C" {
#endif

/* A handle in a loop. Its fields are nobody else's business. */
struct broker_libevent {
    broker *b;
    struct event *readable, *timer;
};

/* Set the timer to what the handle needs next. */
static inline void broker_libevent_set_timer(struct broker_libevent *a)
{
    int ms = broker_timeout_ms(a->b);
    struct timeval tv;

    if (ms < 0) {
        event_del(a->timer);
        return;
    }
    tv.tv_sec = ms / 1000;
    tv.tv_usec = ms % 1000 * 1000;
    event_add(a->timer, &tv);
}

static inline void broker_libevent_ready(evutil_socket_t fd, short what, void *arg)
{
    struct broker_libevent *a = (struct broker_libevent *)arg;

    (void)fd;
    (void)what;
    broker_process(a->b);
    broker_libevent_set_timer(a);
}

/* A call from elsewhere in the loop left work: do it in the loop's next round. */
static inline void broker_libevent_wake(broker *b, void *user)
{
    struct broker_libevent *a = (struct broker_libevent *)user;

    (void)b;
    event_active(a->timer, EV_TIMEOUT, 0);
}

/* Give back what broker_libevent_attach() made; the handle stays. NULL is fine. */
static inline void broker_libevent_detach(struct broker_libevent *a)
{
    if (!a)
        return;
    broker_on_wake(a->b, NULL, NULL);
    if (a->readable)
        event_free(a->readable);
    if (a->timer)
        event_free(a->timer);
    free(a);
}

/* Have `base` drive `b` from now on: then broker_connect(b, 0). NULL without memory. */
static inline struct broker_libevent *broker_libevent_attach(struct event_base *base, broker *b)
{
    struct broker_libevent *a = (struct broker_libevent *)calloc(1, sizeof *a);

    if (!a)
        return NULL;
    a->b = b;
    a->readable = event_new(base, broker_fd(b), EV_READ | EV_PERSIST, broker_libevent_ready, a);
    a->timer = event_new(base, -1, 0, broker_libevent_ready, a);
    if (!a->readable || !a->timer || event_add(a->readable, NULL) < 0) {
        broker_libevent_detach(a);
        return NULL;
    }
    broker_on_wake(b, broker_libevent_wake, a);
    broker_libevent_set_timer(a);
    return a;
}

#ifdef __cplusplus
}
#endif

#endif
