/* Many connections that say something and then nothing:
 *
 *     crowd tcp://127.0.0.1:PORT N HEX
 *
 * opens N, sends each the bytes of HEX (perhaps none), says "there", and holds them until its input
 * ends; then tells how many the broker has closed meanwhile: "closed N". */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

static void die(const char *what)
{
    fprintf(stderr, "crowd: %s: %s\n", what, strerror(errno));
    exit(1);
}

static size_t from_hex(const char *hex, unsigned char *to, size_t max)
{
    size_t n = 0;
    unsigned byte;

    for (; n < max && sscanf(hex + 2 * n, "%2x", &byte) == 1; n++)
        to[n] = (unsigned char)byte;
    return n;
}

static int one(const struct sockaddr_in *to, const unsigned char *first, size_t n)
{
    int fd = socket(AF_INET, SOCK_STREAM, 0);

    if (fd < 0)
        die("socket");
    if (connect(fd, (const struct sockaddr *)to, sizeof *to) < 0)
        die("connect");
    if (n && send(fd, first, n, MSG_NOSIGNAL) != (ssize_t)n)
        die("send");
    return fd;
}

/* Whether nothing can come any more. What has come is thrown away. */
static int is_closed(int fd)
{
    char buf[4096];
    ssize_t n;

    while ((n = recv(fd, buf, sizeof buf, MSG_DONTWAIT)) > 0)
        ;
    return n == 0 || errno != EAGAIN;
}

int main(int argc, char **argv)
{
    struct sockaddr_in to = {.sin_family = AF_INET};
    struct rlimit l;
    unsigned char first[512];
    size_t first_n;
    int n, *fd, closed = 0;

    if (argc != 4) {
        fprintf(stderr, "usage: crowd URL N HEX\n");
        return 2;
    }
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    to.sin_port = htons((uint16_t)atoi(strrchr(argv[1], ':') + 1));
    n = atoi(argv[2]);
    first_n = from_hex(argv[3], first, sizeof first);
    getrlimit(RLIMIT_NOFILE, &l);
    l.rlim_cur = l.rlim_max;
    setrlimit(RLIMIT_NOFILE, &l);
    fd = calloc((size_t)n, sizeof *fd);
    if (!fd)
        die("calloc");
    for (int i = 0; i < n; i++)
        fd[i] = one(&to, first, first_n);
    printf("there\n");
    fflush(stdout);
    while (getchar() != EOF)
        ;
    for (int i = 0; i < n; i++)
        closed += is_closed(fd[i]);
    printf("closed %d\n", closed);
    free(fd);
    return 0;
}
