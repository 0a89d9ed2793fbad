#include "brokerd/listeners.h"

#include <errno.h>
#include <semaphore.h>
#include <stdio.h>
#include <string.h>

#include "brokerd/net/systemd.h"

enum { LISTEN_FDS_MAX = 64 }; /* sockets taken over */

static struct net_listener_desc desc_of(const struct settings_listener *l)
{
    return (struct net_listener_desc){.name = l->url,
                                      .host = l->transport == SETTINGS_TCP ? l->host : NULL,
                                      .port = l->port,
                                      .path = l->path,
                                      .protocols = l->protocols,
                                      .n_protocols = l->n_protocols,
                                      .origins = (const char *const *)l->origins,
                                      .n_origins = l->n_origins,
                                      .echo = l->echo,
                                      .stomp_binary = l->stomp_binary,
                                      .manages = l->manage};
}

/* The configured listener that a socket handed over stands for: by its address. NULL: none. */
static const struct settings_listener *listener_for(const struct settings *s, const char *url)
{
    for (size_t i = 0; i < s->n_listeners; i++)
        if (strcmp(s->listeners[i].url, url) == 0)
            return &s->listeners[i];
    return NULL;
}

static bool is_local(const char *url)
{
    return strncmp(url, "unix://", 7) == 0 || strncmp(url, "tcp://127.", 10) == 0 ||
           strncmp(url, "tcp://[::1]", 11) == 0;
}

/* Take over one socket. A name that is a protocol's narrows it to that one. */
static int adopt(struct net *net, const struct settings *s, int fd, const char *name)
{
    struct net_listener_desc d = {.name = name, .manages = true}; /* if not local, l decides */
    const struct settings_listener *l;
    char err[NET_TEXT_MAX], url[NET_TEXT_MAX];
    int r = net_socket_url(fd, url, sizeof url);

    if (r < 0) {
        fprintf(stderr, "brokerd: descriptor %d (%s): not a socket: %s\n", fd, name, strerror(-r));
        return r;
    }
    l = listener_for(s, url);
    if (!is_local(url) && (!l || !l->insecure)) {
        fprintf(stderr,
                "brokerd: %s (%s): others than this host can reach it and nobody is authenticated: "
                "the settings need a listen section for it with insecure = true\n",
                url, name);
        return -EINVAL;
    }
    if (l)
        d = desc_of(l);
    for (size_t i = 0; !l && doors[i]; i++)
        if (strcmp(doors[i]->name, name) == 0) {
            d.protocols = &d.name;
            d.n_protocols = 1;
        }
    r = net_adopt(net, fd, &d, err, sizeof err);
    if (r < 0)
        fprintf(stderr, "brokerd: %s (%s): %s\n", url, name, err);
    return r;
}

static int open_all(struct net *net, const struct settings *s)
{
    char buf[4096], err[NET_TEXT_MAX];
    const char *names[LISTEN_FDS_MAX];
    size_t n = systemd_listen_fds(buf, sizeof buf, names, LISTEN_FDS_MAX);
    int r = 0;

    for (size_t i = 0; i < n && r == 0; i++)
        r = adopt(net, s, SYSTEMD_FIRST_FD + (int)i, names[i]);
    for (size_t i = 0; n == 0 && i < s->n_listeners && r == 0; i++) {
        struct net_listener_desc d = desc_of(&s->listeners[i]);

        r = net_listen(net, &d, err, sizeof err);
        if (r < 0)
            fprintf(stderr, "brokerd: cannot listen on %s: %s\n", d.name, err);
    }
    return r;
}

/* On its way to worker 0 and back. */
struct opening {
    struct net *net;
    const struct settings *settings;
    int result;
    sem_t done;
};

static void open_there(void *arg, struct worker *w)
{
    struct opening *o = arg;

    (void)w;
    o->result = open_all(o->net, o->settings);
    sem_post(&o->done);
}

int listeners_open(struct workers *ws, struct net *net, const struct settings *s)
{
    struct opening o = {.net = net, .settings = s};
    int r;

    if (sem_init(&o.done, 0, 0) < 0)
        return -errno;
    r = workers_call(ws, 0, open_there, &o);
    while (r == 0 && sem_wait(&o.done) < 0 && errno == EINTR)
        ; /* a signal; main looks at it later */
    sem_destroy(&o.done);
    return r < 0 ? r : o.result;
}
