/* settings.h - what brokerd was told: by its file, its command line, or by default.
 *
 * Why      One place decides what is set and what is wrong with it; everybody else reads fields.
 * Shape    Defaults, over them the file (reader.c, libconfuse), over that the command line. What
 *          keys there are stands in one table (table.c): parser, defaults, checks, reload and
 *          brokerd.conf.example come from it. A struct settings is never changed once loaded; a
 *          reload makes a new one, and settings_diff() tells what that means.
 * Owner    The caller owns what settings_load() makes. The policies in it are counted: who needs
 *          them longer takes a reference.
 * Errors   0 or -errno; each mistake is told to a function of the caller's, one line each, in the
 *          order of the file: `FILE:LINE: KEY: expected .., found ..`.
 * Thread   Main's. (Loading uses libconfuse, whose scanner has static state.) What was loaded may
 *          be read by any. */
#ifndef CONFIG_SETTINGS_H
#define CONFIG_SETTINGS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "brokerd/doors/inlet.h"
#include "brokerd/store/redis/url.h"
#include "brokerd/webhooks/spec.h"
#include "libbroker/base/log.h"
#include "libbroker/base/policy.h"

enum {
    SETTINGS_FILE_MAX = 1 << 20,  /* bytes of a settings file */
    SETTINGS_WORKERS_MAX = 64,    /* workers */
    SETTINGS_LISTENERS_MAX = 64,  /* listeners */
    SETTINGS_WEBHOOKS_MAX = 1024, /* webhooks */
    SETTINGS_PROTOCOLS_MAX = 8,   /* names in one listener's `protocols` */
    SETTINGS_ERROR_MAX = 768,     /* bytes of an error text, terminator included */
    SETTINGS_PORT = 7070,         /* where a tcp:// URL names none */
    SETTINGS_PATH_MAX = 1024,     /* bytes of a path, terminator included */
    SETTINGS_WORD_MAX = 64,       /* of a store's prefix or node, terminator included */
    SETTINGS_SEGMENTS_MIN = 8,    /* of a journal that has a limit: less would be no use */
};

#define SETTINGS_FILE_DEFAULT "/etc/brokerd/brokerd.conf" /* read if it exists */
#define SETTINGS_LISTEN_DEFAULT "tcp://127.0.0.1:7070"    /* without any listener */

enum settings_placement { SETTINGS_PACK, SETTINGS_SPREAD };

enum settings_transport { SETTINGS_TCP, SETTINGS_UNIX };

struct settings_listener {
    char *url; /* as written, for the log and the ready line */
    enum settings_transport transport;
    char host[256]; /* TCP: a name or an address, without brackets */
    uint16_t port;  /* TCP: 0 for any free one */
    char path[108]; /* UNIX: absolute */
    bool loopback;  /* TCP: an address of this host only */
    bool insecure;  /* serve others than this host, although nobody is authenticated */
    /* Names of doors ("rsocket"), static; none: every door there is. */
    const char *protocols[SETTINGS_PROTOCOLS_MAX];
    size_t n_protocols;
    char **origins; /* whose pages may open WebSockets there, "*": all */
    size_t n_origins;
    bool echo;         /* a WebSocket at /echo says everything back */
    bool stomp_binary; /* STOMP goes in binary messages of WebSocket */
    bool manage; /* who comes this way may ask `admin`; without a word, if it is of this host */
};

/* What one connection, and all together, may ask for. */
struct settings_limits {
    uint32_t max_connections;     /* of all listeners; UINT32_MAX for no limit */
    int64_t first_frame_ms;       /* until the handshake must be done */
    uint64_t first_frame_max;     /* bytes of a frame before it */
    uint64_t frame_max;           /* bytes of a frame after it */
    uint64_t reassembly_max;      /* bytes of unfinished messages, all streams of a connection */
    uint32_t max_streams;         /* open streams of a connection */
    uint32_t max_calls;           /* of a connection: open, or waiting for a server */
    uint32_t publish_rate;        /* messages a second of a connection; UINT32_MAX for no limit */
    int64_t keepalive_min_ms;     /* a peer's shorter interval counts as this */
    int64_t idle_max_ms;          /* a peer's longer lifetime counts as this */
    int64_t websocket_ping_ms;    /* a silent WebSocket is pinged so often; INT64_MAX: never */
    uint32_t resume_max_sessions; /* of one worker; 0: none */
    int64_t resume_timeout_ms;    /* of a session without a connection */
    uint64_t resume_max_bytes;    /* kept for one session */
    uint32_t lease_requests;      /* of one lease */
    int64_t lease_ttl_ms;
    int64_t json_keepalive_ms; /* interval at which the JSON door says one */
    int64_t http_idle_ms;      /* an HTTP connection without a request is kept so long */
};

/* What keeps durable queues: one of each kind, or none. */
struct settings_journal {
    bool used;                    /* the section is there */
    char path[SETTINGS_PATH_MAX]; /* absolute */
    unsigned sync;                /* always 0, which is "always" */
    uint64_t max_disk;            /* bytes; UINT64_MAX for no limit */
    uint64_t segment;             /* bytes of an ordinary one */
    bool accept_damage;
};

struct settings_redis {
    bool used;
    char url[REDIS_URL_MAX]; /* redis_url_parse() takes it */
    char password_file[SETTINGS_PATH_MAX];
    char password[REDIS_WORD_MAX]; /* what that file has; "" without one */
    char ca[SETTINGS_PATH_MAX], certificate[SETTINGS_PATH_MAX], key[SETTINGS_PATH_MAX]; /* or "" */
    int64_t timeout_ms, patience_ms;
    char prefix[SETTINGS_WORD_MAX];
    bool topics;
    char node[SETTINGS_WORD_MAX]; /* "": to be made up */
};

struct settings {
    uint32_t workers;        /* 1 to SETTINGS_WORKERS_MAX */
    unsigned placement;      /* enum settings_placement */
    uint64_t memory;         /* bytes, budget for all that waits */
    uint64_t max_message;    /* bytes, reassembled */
    bool create_queues;      /* a client that names an unknown queue makes it */
    uint32_t metrics_queues; /* told of one by one */
    int64_t call_wait_ms;    /* how long a call waits for a server; 0: not */
    int64_t drain_ms;        /* how long stopping and draining may take */
    unsigned log_level;      /* enum log_level */
    unsigned log_format;     /* enum log_format */
    struct settings_limits limits;
    struct settings_journal journal;
    struct settings_redis redis;
    struct settings_listener *listeners; /* at least one */
    size_t n_listeners;
    struct policy_set *policies; /* rules of queues and subscriptions, max_message, create_queues */
    struct webhook_spec **webhooks; /* references */
    size_t n_webhooks;
    struct inlets *inlets; /* webhooks in */
    char *file;            /* they were read from; NULL: none */
};

/* What the command line says instead of the file, checked by options_parse(). Zeroed: nothing. */
struct settings_overrides {
    uint32_t workers;               /* 0: not said */
    const char *const *listen_urls; /* instead of the file's listeners */
    size_t n_listen_urls;
    unsigned verbose; /* levels of log more */
};

/* Told of each mistake; `text` has no newline and is borrowed. */
typedef void settings_error_fn(void *ctx, const char *text);

/* Read `path`, NULL for SETTINGS_FILE_DEFAULT if that exists, else defaults only. Binds nothing
 * and writes nothing. `overrides` may be NULL. On success the caller owns *ret_settings.
 * -EINVAL          the contents are wrong: every mistake was told, as far as the syntax allows to
 *                  read on after it.
 * -EACCES, ...     the file cannot be read (told).
 * -ENOMEM. */
int settings_load(const char *path, const struct settings_overrides *overrides,
                  settings_error_fn *error, void *ctx, struct settings **ret_settings);

/* The same from memory; `name` stands for the file in errors. */
int settings_load_text(const char *name, struct slice text,
                       const struct settings_overrides *overrides, settings_error_fn *error,
                       void *ctx, struct settings **ret_settings);

/* NULL is fine. Returns NULL. */
struct settings *settings_free(struct settings *settings);

/* The exit status for an answer of settings_load() below 0: 78 bad configuration, 77 permission,
 * 71 system error. */
int settings_exit_status(int error);

struct settings_change {
    const char *what;   /* "memory", "limits max-streams", `queue "orders.#" max-bytes` */
    const char *before; /* as the file would write it; "" where there was nothing */
    const char *after;
    bool restart; /* takes a restart; else it applies now */
};

/* Tell each setting that differs, borrowed for the call. Returns how many. */
typedef void settings_change_fn(void *ctx, const struct settings_change *change);
size_t settings_diff(const struct settings *before, const struct settings *after,
                     settings_change_fn *change, void *ctx);

/* One value, as the file would write it; borrowed for the call. */
struct settings_told {
    const char *section; /* "" at the top */
    const char *title;   /* of a section that has one; else NULL */
    const char *key;
    const char *value;    /* of a list: one element; NULL: the list is empty */
    const char *fallback; /* the default; NULL in sections that may be repeated */
    bool is_list, restart;
};

/* Tell all that is in force, what has its default too, section by section: `settings`, but what
 * takes a restart as it was at the start. No secret is among it: keys that hold some are left out.
 */
typedef void settings_told_fn(void *ctx, const struct settings_told *t);
void settings_tell(const struct settings *settings, const struct settings *started,
                   settings_told_fn *fn, void *ctx);

/* Read a listener's URL: tcp://HOST[:PORT], HOST a name, an IPv4 address or an IPv6 one in
 * brackets, or unix:///PATH. What the URL says is set in *ret; ret->url is a copy. -EINVAL, and
 * what was expected in `err`; -ENOMEM. */
int settings_listener_parse(struct slice url, struct settings_listener *ret, char *err,
                            size_t err_size);

/* Free what it holds. */
void settings_listener_fini(struct settings_listener *listener);

/* May brokerd listen there? Not where others than this host can reach it, unless insecure.
 * -EINVAL, and why not in `err`. */
int settings_listener_check(const struct settings_listener *listener, char *err, size_t err_size);

#endif
