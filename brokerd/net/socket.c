/* Sockets: opened, named. Nothing here knows connections. */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "brokerd/net/internal.h"

enum { LISTEN_BACKLOG = 4096 }; /* the kernel cuts it to net.core.somaxconn */

static int failed(int fd, const char *what, char *err, size_t err_size)
{
    int e = errno;

    snprintf(err, err_size, "%s: %s", what, strerror(e));
    if (fd >= 0)
        close(fd);
    return -e;
}

int socket_listen_tcp(const struct sockaddr *addr, socklen_t len, char *err, size_t err_size)
{
    const int on = 1;
    int fd = socket(addr->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    if (fd < 0)
        return failed(fd, "cannot make a socket", err, err_size);
    if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) < 0)
        return failed(fd, "cannot set SO_REUSEADDR", err, err_size);
    if (addr->sa_family == AF_INET6 &&
        setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on) < 0)
        return failed(fd, "cannot set IPV6_V6ONLY", err, err_size);
    /* Accepted sockets inherit it. */
    if (setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on) < 0)
        return failed(fd, "cannot set TCP_NODELAY", err, err_size);
    if (bind(fd, addr, len) < 0)
        return failed(fd, "cannot bind", err, err_size);
    if (listen(fd, LISTEN_BACKLOG) < 0)
        return failed(fd, "cannot listen", err, err_size);
    return fd;
}

/* A socket's file outlives a process that was killed. Nobody listens on it any more if connecting
 * is refused: then it may go. */
static bool remove_stale(const struct sockaddr_un *at)
{
    struct stat st;
    int fd;
    bool is_stale;

    if (lstat(at->sun_path, &st) < 0 || !S_ISSOCK(st.st_mode))
        return false;
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return false;
    is_stale = connect(fd, (const struct sockaddr *)at, sizeof *at) < 0 && errno == ECONNREFUSED;
    close(fd);
    return is_stale && unlink(at->sun_path) == 0;
}

int socket_listen_unix(const char *path, char *err, size_t err_size)
{
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    int fd, r;

    if (strlen(path) >= sizeof at.sun_path) {
        errno = ENAMETOOLONG;
        return failed(-1, "cannot bind", err, err_size);
    }
    memcpy(at.sun_path, path, strlen(path) + 1);
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return failed(fd, "cannot make a socket", err, err_size);
    r = bind(fd, (const struct sockaddr *)&at, sizeof at);
    if (r < 0 && errno == EADDRINUSE) {
        if (remove_stale(&at))
            r = bind(fd, (const struct sockaddr *)&at, sizeof at);
        else
            errno = EADDRINUSE;
    }
    if (r < 0)
        return failed(fd, "cannot bind", err, err_size);
    /* Nobody can connect before listen(), so there is no moment with other permissions: the owner
     * and its group, as for a file that is written to. */
    if (chmod(path, 0660) < 0 || listen(fd, LISTEN_BACKLOG) < 0) {
        r = failed(fd, "cannot listen", err, err_size);
        unlink(path);
        return r;
    }
    return fd;
}

/* "127.0.0.1:4242", "[::1]:4242" */
static void address_text(const struct sockaddr_storage *addr, char *buf, size_t size)
{
    char host[INET6_ADDRSTRLEN] = "?";

    if (addr->ss_family == AF_INET) {
        const struct sockaddr_in *in = (const struct sockaddr_in *)addr;

        inet_ntop(AF_INET, &in->sin_addr, host, sizeof host);
        snprintf(buf, size, "%s:%u", host, ntohs(in->sin_port));
    } else {
        const struct sockaddr_in6 *in = (const struct sockaddr_in6 *)addr;

        inet_ntop(AF_INET6, &in->sin6_addr, host, sizeof host);
        snprintf(buf, size, "[%s]:%u", host, ntohs(in->sin6_port));
    }
}

int net_socket_url(int fd, char *buf, size_t size)
{
    struct sockaddr_storage addr = {0};
    socklen_t len = sizeof addr;
    char text[PEER_TEXT_MAX];

    if (getsockname(fd, (struct sockaddr *)&addr, &len) < 0)
        return -errno;
    switch (addr.ss_family) {
    case AF_INET:
    case AF_INET6:
        address_text(&addr, text, sizeof text);
        snprintf(buf, size, "tcp://%s", text);
        return 0;
    case AF_UNIX:
        snprintf(buf, size, "unix://%.107s", ((const struct sockaddr_un *)&addr)->sun_path);
        return 0;
    default:
        return -EAFNOSUPPORT;
    }
}

void socket_peer(int fd, const struct sockaddr_storage *addr, char *buf, size_t size)
{
    struct ucred cred;
    socklen_t len = sizeof cred;

    if (addr->ss_family == AF_INET || addr->ss_family == AF_INET6)
        address_text(addr, buf, size);
    else if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &len) == 0)
        snprintf(buf, size, "unix:pid=%d,uid=%u", (int)cred.pid, (unsigned)cred.uid);
    else
        snprintf(buf, size, "unix:?");
}
