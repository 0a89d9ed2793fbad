/* Who drives the engine: the caller, turn by turn, or a thread of our own. */
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <time.h>

#include "libbroker/client/client.h"

/* ---- Callbacks ---- */

void cl_callback_begin(broker *b, const void *of)
{
    b->in_callback++;
    b->callback_of = of;
    cl_unlock(b);
}

void cl_callback_end(broker *b)
{
    cl_lock(b);
    b->in_callback--;
    b->callback_of = NULL;
    if (b->waiters > 0)
        pthread_cond_broadcast(&b->cond);
}

/* Callbacks run on the thread that drives, and on no other. */
static bool is_driver(const broker *b)
{
    return !b->threaded || pthread_equal(pthread_self(), b->thread);
}

bool cl_in_callback(const broker *b)
{
    return b->in_callback > 0 && is_driver(b);
}

void cl_wait_callback(broker *b, const void *of)
{
    if (is_driver(b))
        return;
    b->waiters++;
    while (b->callback_of == of)
        pthread_cond_wait(&b->cond, &b->mutex);
    b->waiters--;
}

/* ---- Sleeping and waking ---- */

unsigned cl_sleep(broker *b, int timeout_ms)
{
    struct epoll_event ev[2];
    unsigned ready = 0;
    eventfd_t count;
    int n;

    b->needs_wake = true;
    cl_unlock(b);
    n = epoll_wait(b->epoll_fd, ev, 2, timeout_ms);
    cl_lock(b);
    b->needs_wake = false;
    for (int i = 0; i < n; i++) {
        if (ev[i].data.fd == b->event_fd) {
            (void)eventfd_read(b->event_fd, &count);
            continue;
        }
        if (ev[i].events & (EPOLLIN | EPOLLHUP | EPOLLERR))
            ready |= CL_READABLE;
        if (ev[i].events & (EPOLLOUT | EPOLLHUP | EPOLLERR))
            ready |= CL_WRITABLE;
    }
    return ready;
}

void cl_wake_driver(broker *b)
{
    if (b->in_turn && is_driver(b))
        return;
    b->needs_wake = false;
    if (b->threaded)
        (void)eventfd_write(b->event_fd, 1);
    else if (b->wake_fn)
        b->wake_fn(b, b->wake_user);
}

int64_t cl_deadline(int timeout_ms)
{
    return timeout_ms < 0 ? CL_NEVER : cl_now_ms() + timeout_ms;
}

static int until(int64_t deadline)
{
    int64_t now;

    if (deadline == CL_NEVER)
        return -1;
    now = cl_now_ms();
    if (deadline <= now)
        return 0;
    return deadline - now > INT32_MAX ? INT32_MAX : (int)(deadline - now);
}

/* The shorter of two waits, -1 being the longest. */
static int shorter(int a, int b)
{
    if (a < 0 || b < 0)
        return a < 0 ? b : a;
    return a < b ? a : b;
}

static void cond_wait(broker *b, int64_t deadline)
{
    struct timespec ts = {.tv_sec = deadline / 1000, .tv_nsec = deadline % 1000 * 1000000};

    b->waiters++;
    if (deadline == CL_NEVER)
        pthread_cond_wait(&b->cond, &b->mutex);
    else
        pthread_cond_timedwait(&b->cond, &b->mutex, &ts);
    b->waiters--;
}

int cl_wait_until(broker *b, bool (*done)(void *), void *arg, int64_t deadline)
{
    if (done(arg))
        return BROKER_OK;
    if (cl_in_callback(b))
        return BROKER_IN_CALLBACK;
    while (!done(arg)) {
        int left = until(deadline);

        if (b->closed)
            return BROKER_CLOSED;
        if (b->threaded) {
            if (left == 0)
                return BROKER_TIMED_OUT;
            cl_poke(b);
            cond_wait(b, deadline);
            continue;
        }
        /* even with no time left one turn is made: what has arrived counts */
        cl_turn(b, cl_sleep(b, shorter(left, cl_timeout(b))));
        if (left == 0 && !done(arg))
            return BROKER_TIMED_OUT;
    }
    return BROKER_OK;
}

/* ---- The thread ---- */

static void *run(void *arg)
{
    broker *b = arg;

    cl_lock(b);
    while (!b->stop) {
        cl_turn(b, cl_sleep(b, cl_timeout(b)));
        if (b->waiters > 0)
            pthread_cond_broadcast(&b->cond);
    }
    cl_unlock(b);
    return NULL;
}

int broker_start(broker *b)
{
    sigset_t all, old;
    int e;

    if (b->threaded)
        return cl_fail(b, BROKER_BUSY, "broker_start() was called before");
    b->threaded = true;
    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, &old);
    cl_lock(b); /* b->thread is written before the thread may look at it */
    e = pthread_create(&b->thread, NULL, run, b);
    cl_unlock(b);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    if (e != 0) {
        b->threaded = false;
        return cl_fail(b, BROKER_SYSTEM, "cannot start a thread: %s", strerror(e));
    }
    return BROKER_OK;
}

/* ---- Turn by turn ---- */

int broker_fd(const broker *b)
{
    return b->epoll_fd;
}

int broker_timeout_ms(const broker *b)
{
    int r;

    cl_lock(b);
    r = cl_timeout(b);
    cl_unlock(b);
    return r;
}

int broker_wait(broker *b, int timeout_ms)
{
    if (b->threaded)
        return BROKER_BUSY;
    if (cl_in_callback(b))
        return BROKER_IN_CALLBACK;
    if (b->closed)
        return BROKER_CLOSED;
    cl_turn(b, cl_sleep(b, shorter(timeout_ms, cl_timeout(b))));
    return b->closed ? BROKER_CLOSED : BROKER_OK;
}

int broker_process(broker *b)
{
    return broker_wait(b, 0);
}

void broker_on_wake(broker *b, broker_wake_fn *fn, void *user)
{
    b->wake_fn = fn;
    b->wake_user = user;
    b->needs_wake = fn != NULL && !b->in_turn;
}

int broker_flush(broker *b)
{
    cl_lock(b);
    if (b->threaded) {
        cl_poke(b);
    } else if (!b->in_turn) {
        cl_subscriptions_flush(b);
        cl_link_flush(b);
    }
    cl_unlock(b);
    return BROKER_OK;
}
