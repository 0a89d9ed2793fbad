/* A service manager, as far as brokerd can tell:
 *
 *     manager FOLDER NAME brokerd [ARGS]...
 *
 * starts it with a listening socket of that name on a free port, with a watchdog of 300 ms, and
 * writes what it is notified of, one datagram a line (newlines become blanks). What brokerd exits
 * with, it exits with. */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

static void die(const char *what)
{
    fprintf(stderr, "manager: %s: %s\n", what, strerror(errno));
    exit(1);
}

static int notify_socket(const char *folder)
{
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);

    snprintf(at.sun_path, sizeof at.sun_path, "%s/notify", folder);
    if (fd < 0 || bind(fd, (struct sockaddr *)&at, sizeof at) < 0)
        die("bind");
    setenv("NOTIFY_SOCKET", at.sun_path, 1);
    return fd;
}

static void become(char **argv, const char *name)
{
    struct sockaddr_in at = {.sin_family = AF_INET};
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    char pid[16];

    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (fd < 0 || bind(fd, (struct sockaddr *)&at, sizeof at) < 0 || listen(fd, 10) < 0)
        die("listen");
    if (fd != 3 && dup2(fd, 3) < 0)
        die("dup2");
    snprintf(pid, sizeof pid, "%d", (int)getpid());
    setenv("LISTEN_PID", pid, 1);
    setenv("LISTEN_FDS", "1", 1);
    setenv("LISTEN_FDNAMES", name, 1);
    setenv("WATCHDOG_PID", pid, 1);
    setenv("WATCHDOG_USEC", "300000", 1);
    execvp(argv[0], argv);
    die(argv[0]);
}

static void show(int fd)
{
    char buf[1024];
    ssize_t n;

    while ((n = recv(fd, buf, sizeof buf - 1, MSG_DONTWAIT)) > 0) {
        buf[n] = '\0';
        for (char *p = buf; *p; p++)
            if (*p == '\n')
                *p = ' ';
        printf("%s\n", buf);
        fflush(stdout);
    }
}

int main(int argc, char **argv)
{
    int fd, status = 0;
    pid_t pid;

    if (argc < 4) {
        fprintf(stderr, "usage: manager FOLDER NAME COMMAND [ARGS]...\n");
        return 2;
    }
    fd = notify_socket(argv[1]);
    pid = fork();
    if (pid < 0)
        die("fork");
    if (pid == 0)
        become(argv + 3, argv[2]);
    printf("started %d\n", (int)pid);
    fflush(stdout);
    while (waitpid(pid, &status, WNOHANG) == 0) {
        struct pollfd p = {fd, POLLIN, 0};

        poll(&p, 1, 50);
        show(fd);
    }
    show(fd);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}
