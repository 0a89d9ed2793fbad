#include "brokerd/store/redis/resolve.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/un.h>
#include <unistd.h>

struct resolve {
    atomic_int holders; /* the asker and the thread */
    int fd;
    int error; /* EAI_ */
    struct resolved found;
    char port[8];
    char host[];
};

/* ------------------------------------------------------------------------------ without asking */

static void add(struct resolved *r, const void *address, size_t size)
{
    if (r->n == RESOLVE_MAX || size > sizeof r->address[0])
        return;
    memcpy(&r->address[r->n], address, size);
    r->size[r->n++] = (socklen_t)size;
}

bool resolve_at_once(const char *host, uint16_t port, struct resolved *ret)
{
    struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_port = htons(port)};
    struct sockaddr_in6 v6 = {.sin6_family = AF_INET6, .sin6_port = htons(port)};
    struct sockaddr_un un = {.sun_family = AF_UNIX};
    size_t n = strlen(host);

    ret->n = 0;
    if (host[0] == '/') {
        if (n < sizeof un.sun_path) {
            memcpy(un.sun_path, host, n);
            add(ret, &un, sizeof un);
        }
        return true;
    }
    if (inet_pton(AF_INET, host, &v4.sin_addr) == 1)
        add(ret, &v4, sizeof v4);
    else if (inet_pton(AF_INET6, host, &v6.sin6_addr) == 1)
        add(ret, &v6, sizeof v6);
    return ret->n > 0;
}

/* ------------------------------------------------------------------------------------- by asking
 */

static void let_go(struct resolve *r)
{
    if (atomic_fetch_sub(&r->holders, 1) > 1)
        return;
    close(r->fd);
    free(r);
}

static void *ask(void *arg)
{
    static const struct addrinfo wanted = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_ADDRCONFIG};
    const uint64_t one = 1;
    struct resolve *r = arg;
    struct addrinfo *found = NULL;

    r->error = getaddrinfo(r->host, r->port, &wanted, &found);
    for (const struct addrinfo *a = found; a && r->error == 0; a = a->ai_next)
        add(&r->found, a->ai_addr, a->ai_addrlen);
    if (found)
        freeaddrinfo(found);
    (void)!write(r->fd, &one, sizeof one);
    let_go(r);
    return NULL;
}

/* Signals are main's. */
static int start_thread(struct resolve *r)
{
    sigset_t all, before;
    pthread_t thread;
    int e;

    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    e = pthread_create(&thread, NULL, ask, r);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (e == 0)
        pthread_detach(thread);
    return -e;
}

int resolve_new(const char *host, uint16_t port, struct resolve **ret)
{
    size_t n = strlen(host) + 1;
    struct resolve *r = calloc(1, sizeof *r + n);
    int e;

    if (!r)
        return -ENOMEM;
    memcpy(r->host, host, n);
    (void)snprintf(r->port, sizeof r->port, "%u", port);
    atomic_init(&r->holders, 2);
    r->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    e = r->fd < 0 ? -errno : start_thread(r);
    if (e < 0) {
        if (r->fd >= 0)
            close(r->fd);
        free(r);
        return e;
    }
    *ret = r;
    return 0;
}

int resolve_fd(const struct resolve *r)
{
    return r->fd;
}

const char *resolve_take(struct resolve *r, struct resolved *ret)
{
    uint64_t done;

    if (read(r->fd, &done, sizeof done) != sizeof done)
        return "the name is not known yet";
    if (r->error == 0 && r->found.n == 0)
        return "the name has no address";
    *ret = r->found;
    return r->error ? gai_strerror(r->error) : NULL;
}

void resolve_free(struct resolve *r)
{
    if (r)
        let_go(r);
}
