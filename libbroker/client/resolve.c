/* Names to addresses without holding up the engine: getaddrinfo() runs on a thread of its own and
 * may outlive the handle that asked. */
#include <fcntl.h>
#include <netdb.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "libbroker/client/client.h"

struct cl_resolve {
    atomic_int refs;  /* the engine's and the thread's */
    atomic_bool done; /* what follows is written before, read after */
    int status;       /* of getaddrinfo() */
    unsigned n;
    struct cl_addr addr[CL_ADDRS_MAX];
    int wake_fd; /* ours */
    char *host, *port;
};

static void unref(struct cl_resolve *r)
{
    if (atomic_fetch_sub(&r->refs, 1) > 1)
        return;
    if (r->wake_fd >= 0)
        close(r->wake_fd);
    free(r->host);
    free(r->port);
    free(r);
}

static void copy_addrs(struct cl_resolve *r, const struct addrinfo *list)
{
    for (; list && r->n < CL_ADDRS_MAX; list = list->ai_next) {
        if (list->ai_addrlen > sizeof r->addr[0].sa)
            continue;
        memcpy(&r->addr[r->n].sa, list->ai_addr, list->ai_addrlen);
        r->addr[r->n].len = list->ai_addrlen;
        r->n++;
    }
}

static void lookup(struct cl_resolve *r, int flags)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = flags}, *list = NULL;

    r->status = getaddrinfo(r->host, r->port, &hints, &list);
    if (r->status == 0) {
        copy_addrs(r, list);
        freeaddrinfo(list);
    }
}

static void *run(void *arg)
{
    struct cl_resolve *r = arg;

    lookup(r, 0);
    atomic_store_explicit(&r->done, true, memory_order_release);
    (void)eventfd_write(r->wake_fd, 1); /* full: then it is readable anyway */
    unref(r);
    return NULL;
}

static int start_thread(struct cl_resolve *r)
{
    pthread_attr_t attr;
    sigset_t all, old;
    pthread_t thread;
    int e;

    if (pthread_attr_init(&attr) != 0)
        return BROKER_SYSTEM;
    pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, &old);
    atomic_fetch_add(&r->refs, 1);
    e = pthread_create(&thread, &attr, run, r);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    pthread_attr_destroy(&attr);
    if (e != 0) {
        unref(r);
        return BROKER_SYSTEM;
    }
    return BROKER_OK;
}

int cl_resolve_start(const char *host, const char *port, int wake_fd, struct cl_resolve **ret)
{
    struct cl_resolve *r = calloc(1, sizeof *r);
    int e;

    if (!r)
        return BROKER_NO_MEMORY;
    atomic_init(&r->refs, 1);
    r->wake_fd = -1;
    r->host = strdup(host);
    r->port = strdup(port);
    if (!r->host || !r->port) {
        unref(r);
        return BROKER_NO_MEMORY;
    }
    lookup(r, AI_NUMERICHOST | AI_NUMERICSERV); /* never asks anybody */
    if (r->status == 0) {
        atomic_store(&r->done, true);
        *ret = r;
        return BROKER_OK;
    }
    r->wake_fd = fcntl(wake_fd, F_DUPFD_CLOEXEC, 0);
    e = r->wake_fd < 0 ? BROKER_SYSTEM : start_thread(r);
    if (e != BROKER_OK) {
        unref(r);
        return e;
    }
    *ret = r;
    return BROKER_OK;
}

int cl_resolve_take(struct cl_resolve *r, struct cl_addr *ret_addrs, unsigned *ret_n,
                    const char **ret_why)
{
    if (!atomic_load_explicit(&r->done, memory_order_acquire))
        return 0;
    if (r->status != 0 || r->n == 0) {
        *ret_why = r->status != 0 ? gai_strerror(r->status) : "no address";
        return BROKER_NAME;
    }
    memcpy(ret_addrs, r->addr, r->n * sizeof *ret_addrs);
    *ret_n = r->n;
    return 1;
}

void cl_resolve_free(struct cl_resolve *r)
{
    if (r)
        unref(r);
}
