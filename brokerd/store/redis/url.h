/* url.h - where Redis is: the `url` of the settings, taken apart.
 *
 * Why      `brokerd -t` must say what is wrong with it without asking anybody, and who connects
 *          must mean the same by it.
 * Shape    A pure function of text. What it may be:
 *
 *              redis://[USER:PASSWORD@]HOST[:PORT][/DB]           one Redis
 *              redis+unix://[USER:PASSWORD@]/PATH                 one Redis, by its socket
 *              redis+sentinel://[..@]HOST[:PORT][,..]/MASTER[/DB] Sentinels, and the master's name
 *              redis+cluster://[..@]HOST[:PORT][,..]              some nodes of a cluster
 *
 *          and each but the second with rediss for redis: by TLS. HOST is a name, an IPv4 address
 * or an IPv6 one in brackets. `%` and two hexadecimal digits stand for a byte of user and password.
 * Owner    Everything is in the caller's struct. It may hold a password: wipe it when done.
 * Errors   -EINVAL and what was expected, without any secret.
 * Thread   Any. */
#ifndef BROKERD_STORE_REDIS_URL_H
#define BROKERD_STORE_REDIS_URL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "libbroker/base/slice.h"

enum {
    REDIS_PORT = 6379,
    REDIS_SENTINEL_PORT = 26379,
    REDIS_HOSTS_MAX = 16,      /* hosts in one URL */
    REDIS_HOST_MAX = 254,      /* bytes of a host, terminated */
    REDIS_WORD_MAX = 256,      /* of a user's or master's name, or a password; terminated */
    REDIS_URL_MAX = 2048,      /* of a URL, terminated */
    REDIS_PATH_MAX = 108,      /* of a socket's path, terminated: what the system takes */
    REDIS_URL_ERROR_MAX = 256, /* of an error's text */
};

enum redis_kind { REDIS_SINGLE, REDIS_SENTINEL, REDIS_CLUSTER };

struct redis_host {
    char name[REDIS_HOST_MAX]; /* without brackets; or a socket's path, which begins with / */
    uint16_t port;
};

struct redis_url {
    enum redis_kind kind;
    bool tls;
    struct redis_host hosts[REDIS_HOSTS_MAX];
    unsigned hosts_n;
    char user[REDIS_WORD_MAX];     /* "": none said */
    char password[REDIS_WORD_MAX]; /* "": none said */
    char master[REDIS_WORD_MAX];   /* as the Sentinels know it; "" but for them */
    uint32_t db;
};

/* -EINVAL; *ret is then not to be used. */
int redis_url_parse(struct slice url, struct redis_url *ret, char *err, size_t err_size);

/* The URL as people may see it: without the password. Any text will do. Returns `buf`. */
const char *redis_url_hide(struct slice url, char *buf, size_t size);

#endif
