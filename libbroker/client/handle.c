/* The handle: made, connected, closed, freed. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "libbroker/client/message.h"

static int open_fds(broker *b)
{
    struct epoll_event ev = {.events = EPOLLIN};

    b->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    b->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (b->epoll_fd < 0 || b->event_fd < 0)
        return BROKER_SYSTEM;
    ev.data.fd = b->event_fd;
    return epoll_ctl(b->epoll_fd, EPOLL_CTL_ADD, b->event_fd, &ev) < 0 ? BROKER_SYSTEM : BROKER_OK;
}

static int init_lock(broker *b)
{
    pthread_condattr_t attr;

    if (pthread_mutex_init(&b->mutex, NULL) != 0)
        return BROKER_SYSTEM;
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    if (pthread_cond_init(&b->cond, &attr) != 0) {
        pthread_mutex_destroy(&b->mutex);
        pthread_condattr_destroy(&attr);
        return BROKER_SYSTEM;
    }
    pthread_condattr_destroy(&attr);
    return BROKER_OK;
}

static void init_fields(broker *b)
{
    struct timespec ts;

    cl_link_init(&b->link);
    TAILQ_INIT(&b->publishers);
    TAILQ_INIT(&b->dirty_publishers);
    TAILQ_INIT(&b->subscriptions);
    TAILQ_INIT(&b->dirty_subscriptions);
    TAILQ_INIT(&b->requests);
    TAILQ_INIT(&b->calls);
    TAILQ_INIT(&b->over_calls);
    TAILQ_INIT(&b->gone_calls);
    TAILQ_INIT(&b->services);
    TAILQ_INIT(&b->gone_services);
    b->calls_due = b->requests_due = b->publishers_due = b->reconnect_at = b->close_at = CL_NEVER;
    b->backoff_ms = b->opt.o.reconnect_min_ms;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    b->random = ((uint64_t)ts.tv_nsec << 32 ^ (uint64_t)getpid() << 16 ^ (uintptr_t)b) | 1;
    b->epoll_fd = b->event_fd = -1;
}

int broker_new(const struct broker_options *o, broker **ret_b, char *text, size_t len)
{
    broker *b = calloc(1, sizeof *b);
    int r;

    if (text && len > 0)
        text[0] = '\0';
    if (!b)
        return BROKER_NO_MEMORY;
    r = cl_options_init(o, &b->opt, text, len);
    if (r != BROKER_OK)
        goto fail_options;
    init_fields(b);
    r = cl_streams_init(&b->streams);
    if (r != BROKER_OK)
        goto fail_streams;
    r = open_fds(b);
    if (r != BROKER_OK)
        goto fail_fds;
    r = BROKER_NO_MEMORY;
    b->lent = cl_message_new_lent(b);
    if (!b->lent)
        goto fail_fds;
    r = init_lock(b);
    if (r != BROKER_OK)
        goto fail_lent;
    *ret_b = b;
    return BROKER_OK;

fail_lent:
    cl_message_free_lent(b->lent);
fail_fds:
    if (b->epoll_fd >= 0)
        close(b->epoll_fd);
    if (b->event_fd >= 0)
        close(b->event_fd);
    cl_streams_fini(&b->streams);
fail_streams:
    cl_options_fini(&b->opt);
fail_options:
    free(b);
    return r;
}

static void stop_thread(broker *b)
{
    cl_lock(b);
    b->stop = true;
    b->ended = b->closing = true;
    cl_wake_driver(b);
    cl_unlock(b);
    pthread_join(b->thread, NULL);
    b->threaded = false;
}

void broker_free(broker *b)
{
    if (!b)
        return;
    if (b->threaded)
        stop_thread(b);
    b->ended = b->closing = true;
    while (!b->closed) /* tells everybody; the second turn is for what the first one began */
        cl_turn(b, 0);
    while (!TAILQ_EMPTY(&b->subscriptions))
        broker_unsubscribe(TAILQ_FIRST(&b->subscriptions));
    while (!TAILQ_EMPTY(&b->publishers))
        broker_publisher_free(TAILQ_FIRST(&b->publishers));
    while (!TAILQ_EMPTY(&b->calls))
        broker_call_free(TAILQ_FIRST(&b->calls));
    while (!TAILQ_EMPTY(&b->services))
        broker_unserve(TAILQ_FIRST(&b->services));
    cl_link_fini(b);
    cl_streams_fini(&b->streams);
    cl_message_free_lent(b->lent);
    free(b->scratch.p);
    close(b->epoll_fd);
    close(b->event_fd);
    pthread_cond_destroy(&b->cond);
    pthread_mutex_destroy(&b->mutex);
    cl_options_fini(&b->opt);
    free(b);
}

int cl_check_open(broker *b)
{
    return b->closing || b->leaving ? cl_fail(b, BROKER_CLOSED, "the handle is closed") : BROKER_OK;
}

int broker_drain(broker *b)
{
    int r;

    cl_lock(b);
    r = cl_check_open(b);
    if (r == BROKER_OK && (!b->link.established || b->link.lost))
        r = cl_fail(b, BROKER_DISCONNECTED, "there is no connection");
    if (r == BROKER_OK)
        r = cl_send_error(b, 0, RS_CONNECTION_CLOSE, "draining: the client is about to stop");
    if (r == BROKER_OK)
        b->leaving = true;
    cl_unlock(b);
    return r;
}

static bool is_connected(void *arg)
{
    const broker *b = arg;

    return b->link.established || b->closed;
}

int broker_connect(broker *b, int timeout_ms)
{
    int r;

    cl_lock(b);
    r = cl_check_open(b);
    if (r != BROKER_OK)
        goto out;
    if (b->state == BROKER_STATE_IDLE && b->reconnect_at == CL_NEVER) {
        b->reconnect_at = cl_now_ms();
        cl_poke(b);
        if (!b->threaded && !cl_in_callback(b))
            cl_turn(b, 0);
    }
    if (timeout_ms == 0)
        goto out;
    r = cl_wait_until(b, is_connected, b, cl_deadline(timeout_ms));
    if (r == BROKER_TIMED_OUT && b->text[0] == '\0')
        cl_fail(b, r, "%s: no answer yet", b->opt.urls[b->url].text);
    if (b->closed)
        r = b->last_error != BROKER_OK ? b->last_error : BROKER_CLOSED;
out:
    cl_unlock(b);
    return r;
}

static bool is_closed(void *arg)
{
    return ((const broker *)arg)->closed;
}

int broker_close(broker *b, int timeout_ms)
{
    int r = BROKER_OK;

    cl_lock(b);
    if (b->closed)
        goto out;
    b->closing = true;
    b->close_at = cl_deadline(timeout_ms);
    cl_poke(b);
    if (timeout_ms == 0 && cl_in_callback(b))
        goto out; /* the turn that runs the callback will do it */
    r = cl_wait_until(b, is_closed, b, CL_NEVER);
    if (r == BROKER_OK || r == BROKER_CLOSED)
        r = b->last_error == BROKER_TIMED_OUT ? BROKER_TIMED_OUT : BROKER_OK;
out:
    cl_unlock(b);
    return r;
}

enum broker_state broker_state(const broker *b)
{
    enum broker_state state;

    cl_lock(b);
    state = b->state;
    cl_unlock(b);
    return state;
}

const char *broker_url(const broker *b)
{
    const char *url;

    cl_lock(b);
    url = b->opt.urls[b->url].text;
    cl_unlock(b);
    return url;
}

void *broker_user(const broker *b)
{
    return b->opt.o.user;
}
