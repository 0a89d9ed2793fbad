#include "brokerd/net/systemd.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

void systemd_notify(const char *state)
{
    const char *path = getenv("NOTIFY_SOCKET");
    struct sockaddr_un to = {.sun_family = AF_UNIX};
    size_t n = path ? strlen(path) : 0;
    int fd;

    if (n < 2 || n >= sizeof to.sun_path || (path[0] != '/' && path[0] != '@'))
        return;
    memcpy(to.sun_path, path, n);
    if (path[0] == '@') /* the abstract name space */
        to.sun_path[0] = '\0';
    fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return;
    (void)sendto(fd, state, strlen(state), MSG_NOSIGNAL, (const struct sockaddr *)&to,
                 (socklen_t)(offsetof(struct sockaddr_un, sun_path) + n));
    close(fd);
}

void systemd_notify_reloading(void)
{
    struct timespec ts;
    char state[80];

    clock_gettime(CLOCK_MONOTONIC, &ts);
    snprintf(state, sizeof state, "RELOADING=1\nMONOTONIC_USEC=%lld",
             (long long)ts.tv_sec * 1000000 + ts.tv_nsec / 1000);
    systemd_notify(state);
}

/* A number in the environment; 0 without one. */
static uint64_t number(const char *name)
{
    const char *text = getenv(name);
    char *end;
    unsigned long long n;

    if (!text || *text < '0' || *text > '9')
        return 0;
    n = strtoull(text, &end, 10);
    return *end ? 0 : n;
}

uint64_t systemd_watchdog_us(void)
{
    if (getenv("WATCHDOG_PID") && number("WATCHDOG_PID") != (uint64_t)getpid())
        return 0;
    return number("WATCHDOG_USEC");
}

/* Cut `buf` at its colons into `names`. */
static void split(char *buf, const char **names, size_t max)
{
    for (size_t i = 0; i < max; i++) {
        names[i] = buf;
        while (*buf && *buf != ':')
            buf++;
        if (*buf)
            *buf++ = '\0';
    }
}

size_t systemd_listen_fds(char *buf, size_t buf_size, const char **names, size_t max)
{
    const char *list = getenv("LISTEN_FDNAMES");
    uint64_t n = number("LISTEN_FDS");

    if (number("LISTEN_PID") != (uint64_t)getpid())
        n = 0;
    if (n > max)
        n = max;
    snprintf(buf, buf_size, "%s", list ? list : "");
    split(buf, names, max);
    unsetenv("LISTEN_PID");
    unsetenv("LISTEN_FDS");
    unsetenv("LISTEN_FDNAMES");
    return n;
}
