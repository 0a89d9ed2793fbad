/* Listeners, and how many connections they let in. All of it is worker 0's. */
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "brokerd/net/internal.h"

static void on_listener(evutil_socket_t fd, short what, void *ctx)
{
    struct listener *l = ctx;

    (void)fd;
    (void)what;
    l->is_ready = l->net->accept_ready = true;
}

/* What is named. False: a name that no door has. */
static bool take_protocols(const struct net_listener_desc *d, struct door_site *s)
{
    uint16_t http = 0;

    for (unsigned j = 0; doors[j]; j++)
        if (doors[j]->upgrades)
            http = (uint16_t)(1U << j);
    s->http = s->websocket = d->n_protocols == 0;
    s->doors = d->n_protocols ? 0 : UINT16_MAX;
    for (size_t i = 0; i < d->n_protocols; i++) {
        uint16_t bit = 0;

        for (unsigned j = 0; doors[j]; j++)
            if (strcmp(doors[j]->name, d->protocols[i]) == 0)
                bit = (uint16_t)(1U << j);
        if (http && strcmp(d->protocols[i], "websocket") == 0)
            s->websocket = true;
        else if (!bit)
            return false;
        s->http = s->http || (bit && bit == http);
        s->doors = (uint16_t)(s->doors | bit);
    }
    s->carried = s->doors & ~http ? s->doors : UINT16_MAX; /* alone it carries all there are */
    if (s->websocket)
        s->doors = (uint16_t)(s->doors | http); /* with which it begins */
    return true;
}

/* A TCP socket that only this host's programs reach? */
static bool is_loopback(int fd)
{
    struct sockaddr_storage at = {.ss_family = AF_UNSPEC};
    const struct sockaddr_in *four = (const void *)&at;
    const struct sockaddr_in6 *six = (const void *)&at;
    socklen_t n = sizeof at;

    if (getsockname(fd, (struct sockaddr *)&at, &n) < 0)
        return false;
    return at.ss_family == AF_INET
               ? ntohl(four->sin_addr.s_addr) >> 24 == IN_LOOPBACKNET
               : at.ss_family == AF_INET6 && IN6_IS_ADDR_LOOPBACK(&six->sin6_addr);
}

static void site_free(struct site *s)
{
    for (size_t i = 0; i < s->door.origins_n; i++)
        free((char *)(uintptr_t)s->origins[i]);
    free(s->origins);
    free(s);
}

void sites_free(struct net *net)
{
    while (net->sites_n)
        site_free(net->site[--net->sites_n]);
    free(net->site);
}

/* Its copies of the origins. */
static int take_origins(const struct net_listener_desc *d, struct site *s)
{
    s->origins = calloc(d->n_origins + 1, sizeof *s->origins);
    if (!s->origins)
        return -ENOMEM;
    s->door.origins = s->origins;
    for (size_t i = 0; i < d->n_origins; i++) {
        s->origins[i] = strdup(d->origins[i]);
        if (!s->origins[i])
            return -ENOMEM;
        s->door.origins_n++;
    }
    return 0;
}

/* Take down what a listener is told. Its number, or -errno. */
static int site_add(struct net *net, const struct net_listener_desc *d, char *err, size_t err_size)
{
    struct site *s = calloc(1, sizeof *s), **more;
    int r = -ENOMEM;

    snprintf(err, err_size, "out of memory");
    if (!s)
        return r;
    s->door = (struct door_site){.echo = d->echo,
                                 .as_binary = d->stomp_binary,
                                 .manages = d->manages,
                                 .is_loopback = true}; /* until a socket is not */
    if (!take_protocols(d, &s->door)) {
        snprintf(err, err_size, "a protocol that this version does not have");
        r = -EPROTONOSUPPORT;
        goto fail;
    }
    if (take_origins(d, s) < 0 || net->sites_n == UINT16_MAX)
        goto fail;
    more = realloc(net->site, (net->sites_n + 1U) * sizeof(struct site *));
    if (!more)
        goto fail;
    net->site = more;
    net->site[net->sites_n] = s;
    return net->sites_n++;

fail:
    site_free(s);
    return r;
}

static void listener_free(struct listener *l)
{
    struct stat st;

    event_del(&l->ev);
    close(l->fd);
    /* Only if it is still ours: another process may have taken the name over. */
    if (l->path && stat(l->path, &st) == 0 && st.st_dev == l->dev && st.st_ino == l->ino)
        unlink(l->path);
    free(l->path);
    free(l->url);
    free(l);
}

static int append(struct net *net, struct listener *l)
{
    struct listener **more =
        realloc(net->listener, (net->listeners_n + 1) * sizeof(struct listener *));

    if (!more)
        return -ENOMEM;
    net->listener = more;
    if (event_add(&l->ev, NULL) < 0)
        return -ENOMEM;
    net->listener[net->listeners_n++] = l;
    return 0;
}

/* A listener for a socket, which it takes over also on failure. */
static int listener_add(struct net *net, int fd, uint16_t site, bool is_adopted, char *err,
                        size_t err_size)
{
    struct listener *l = calloc(1, sizeof *l);
    char url[PEER_TEXT_MAX + 64];
    struct stat st;
    int r;

    snprintf(err, err_size, "out of memory");
    if (!l) {
        close(fd);
        return -ENOMEM;
    }
    *l = (struct listener){.net = net, .fd = fd, .site = site};
    net->site[site]->door.is_loopback &= is_loopback(fd);
    event_assign(&l->ev, worker_base(workers_get(net->ws, 0)), fd, EV_READ | EV_PERSIST,
                 on_listener, l);
    r = net_socket_url(fd, url, sizeof url);
    if (r < 0) {
        snprintf(err, err_size, "not a socket that can be listened on: %s", strerror(-r));
        goto fail;
    }
    l->url = strdup(url);
    r = -ENOMEM;
    if (!l->url)
        goto fail;
    if (strncmp(url, "unix://", 7) == 0 && !is_adopted && stat(url + 7, &st) == 0) {
        l->dev = st.st_dev;
        l->ino = st.st_ino;
        l->path = strdup(url + 7);
        if (!l->path)
            goto fail;
    }
    r = append(net, l);
    if (r < 0)
        goto fail;
    return 0;

fail:
    listener_free(l);
    return r;
}

static void set_port(struct sockaddr *addr, uint16_t port)
{
    if (addr->sa_family == AF_INET)
        ((struct sockaddr_in *)(void *)addr)->sin_port = htons(port);
    else if (addr->sa_family == AF_INET6)
        ((struct sockaddr_in6 *)(void *)addr)->sin6_port = htons(port);
}

/* Every address of a host that this machine has the family of. */
static int listen_host(struct net *net, const struct net_listener_desc *d, uint16_t site, char *err,
                       size_t err_size)
{
    struct addrinfo hints = {.ai_flags = AI_PASSIVE, .ai_socktype = SOCK_STREAM}, *found;
    int r = getaddrinfo(d->host, NULL, &hints, &found), opened = 0;

    if (r != 0) {
        snprintf(err, err_size, "cannot find the address of %s: %s", d->host, gai_strerror(r));
        return -EADDRNOTAVAIL;
    }
    r = -EADDRNOTAVAIL;
    for (const struct addrinfo *a = found; a; a = a->ai_next) {
        set_port(a->ai_addr, d->port);
        r = socket_listen_tcp(a->ai_addr, a->ai_addrlen, err, err_size);
        if (r == -EAFNOSUPPORT || (r == -EADDRNOTAVAIL && (opened || a->ai_next)))
            continue;
        if (r >= 0)
            r = listener_add(net, r, site, false, err, err_size);
        if (r < 0)
            break;
        opened++;
    }
    freeaddrinfo(found);
    return opened && (r == -EAFNOSUPPORT || r == -EADDRNOTAVAIL) ? 0 : r;
}

int net_listen(struct net *net, const struct net_listener_desc *d, char *err, size_t err_size)
{
    int site = site_add(net, d, err, err_size), fd;

    if (site < 0)
        return site;
    if (d->host)
        return listen_host(net, d, (uint16_t)site, err, err_size);
    fd = socket_listen_unix(d->path, err, err_size);
    return fd < 0 ? fd : listener_add(net, fd, (uint16_t)site, false, err, err_size);
}

int net_adopt(struct net *net, int fd, const struct net_listener_desc *d, char *err,
              size_t err_size)
{
    int listens = 0, flags = fcntl(fd, F_GETFL), site = site_add(net, d, err, err_size);
    socklen_t len = sizeof listens;

    if (site < 0)
        return site;
    if (flags < 0 || getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listens, &len) < 0 || !listens) {
        snprintf(err, err_size, "descriptor %d is not a listening socket", fd);
        return -ENOTSOCK;
    }
    /* TCP only, and only to be fast: it fails on a Unix socket. */
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int));
    if (fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0 || fcntl(fd, F_SETFD, FD_CLOEXEC) < 0) {
        snprintf(err, err_size, "%s", strerror(errno));
        return -errno;
    }
    return listener_add(net, fd, (uint16_t)site, true, err, err_size);
}

size_t net_listeners(const struct net *net)
{
    return net->listeners_n;
}

const char *net_listener_url(const struct net *net, size_t i)
{
    return net->listener[i]->url;
}

void listeners_close(struct net *net)
{
    while (net->listeners_n)
        listener_free(net->listener[--net->listeners_n]);
    free(net->listener);
    net->listener = NULL;
    net->accept_ready = false;
}

/* ---- accepting */

static void refuse(struct net *net, int fd, enum net_end end, enum net_log log)
{
    struct net_worker *nw = &net->nw[0];
    uint64_t more;

    if (fd >= 0)
        close(fd);
    nw->stats.ended[end]++;
    if (net_may_log(nw, log, &more))
        log_event(LEVEL_WARNING, "refused_connection",
                  LOG_FACTS({"why", net_end_name(end), 0},
                            {"connections", NULL, net_connections(net)}, {"left_out", NULL, more}),
                  "connection refused: %s", net_end_text(end));
}

/* Without a descriptor nothing can be accepted, and what waits would keep the loop busy: so one is
 * kept in reserve, to take the connection and close it. */
static bool refuse_with_spare(struct net *net, struct listener *l)
{
    int fd;

    if (net->spare_fd >= 0)
        close(net->spare_fd);
    fd = accept4(l->fd, NULL, NULL, SOCK_CLOEXEC);
    refuse(net, fd, NET_END_NO_DESCRIPTOR, NET_LOG_DESCRIPTORS);
    net->spare_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    return fd >= 0 && net->spare_fd >= 0;
}

static void adopt_accepted(void *arg, struct worker *w)
{
    struct accepted *a = arg;

    conn_start(&a->net->nw[worker_id(w)], a);
    free(a);
}

/* Give the connection to the worker that shall have it. */
static void place(struct net *net, const struct accepted *a)
{
    unsigned to = workers_place(net->ws);
    struct worker *w0 = workers_get(net->ws, 0);
    struct accepted *copy;

    net->nw[0].stats.accepted++;
    if (to == 0) {
        conn_start(&net->nw[0], a);
        return;
    }
    copy = malloc(sizeof *copy);
    if (copy) {
        *copy = *a;
        if (worker_call(w0, to, adopt_accepted, copy) == 0) {
            net->nw[0].stats.handed_over++;
            return;
        }
        free(copy);
    }
    worker_left(workers_get(net->ws, to));
    atomic_fetch_sub(&net->connections, 1);
    refuse(net, a->fd, NET_END_MEMORY, NET_LOG_REFUSED);
}

/* One connection. False: nothing more waits, for now. */
static bool accept_one(struct net *net, struct listener *l)
{
    struct accepted a = {.net = net, .site = l->site};
    socklen_t len = sizeof a.addr;

    a.fd = accept4(l->fd, (struct sockaddr *)&a.addr, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (a.fd < 0) {
        if (errno == EMFILE || errno == ENFILE)
            return refuse_with_spare(net, l);
        return errno == EINTR || errno == ECONNABORTED || errno == EPROTO;
    }
    if (atomic_fetch_add(&net->connections, 1) >= net->nw[0].host->o.max_connections) {
        atomic_fetch_sub(&net->connections, 1);
        refuse(net, a.fd, NET_END_MAX_CONNECTIONS, NET_LOG_REFUSED);
        return true;
    }
    place(net, &a);
    return true;
}

/* Not watched for a while: without a descriptor the loop would only find them ready again. */
static void pause_listeners(struct net *net, int64_t now_ms)
{
    for (size_t i = 0; i < net->listeners_n; i++)
        event_del(&net->listener[i]->ev);
    net->accept_resumes_ms = now_ms + ACCEPT_PAUSE_MS;
}

static void resume_listeners(struct net *net)
{
    for (size_t i = 0; i < net->listeners_n; i++)
        event_add(&net->listener[i]->ev, NULL);
    net->accept_resumes_ms = INT64_MAX;
}

void listeners_accept(struct net *net, int64_t now_ms)
{
    if (now_ms >= net->accept_resumes_ms)
        resume_listeners(net);
    if (!net->accept_ready)
        return;
    net->accept_ready = false;
    for (size_t i = 0; i < net->listeners_n; i++) {
        struct listener *l = net->listener[i];
        unsigned n = 0;

        if (!l->is_ready)
            continue;
        l->is_ready = false;
        while (n < ACCEPTS_A_TURN && accept_one(net, l))
            n++; /* what still waits then, the loop sees again */
    }
    if (net->spare_fd < 0)
        pause_listeners(net, now_ms);
}
