/* admin.h - the service `admin`, which answers people, and the events on `$SYS`.
 *
 * Why      Whoever runs a broker asks what waits and why, and looks after queues. Doors pass such
 *          calls on by name; what is asked and answered stands in docs/admin-api.md.
 * Shape    On every worker the service is registered, an endpoint of the broker's own publishes
 *          events, and a hook of the turn does what calls have begun. A call that needs other
 *          workers travels to them, one after the other, and back to its caller.
 * Owner    struct admin is the caller's: admin_new(), workers_new() with admin_event(),
 *          admin_start(), ..., workers_join(), close the connections, admin_free(), workers_free().
 * Errors   0 or -errno.
 * Thread   As each function says. */
#ifndef BROKERD_ADMIN_ADMIN_H
#define BROKERD_ADMIN_ADMIN_H

#include "brokerd/worker/worker.h"
#include "libbroker/base/log.h"

#include <jansson.h>

struct admin;

/* A connection, as the net sees it; borrowed for a call. */
struct admin_connection {
    uint64_t id;
    const char *peer, *door, *state;
    int64_t since_ms; /* wall clock */
    uint64_t bytes_in, bytes_out, pending_out;
    bool is_reading;
    const struct endpoint *endpoint; /* of this worker's core; NULL: it has none (yet) */
};

typedef void admin_connection_fn(void *fn_ctx, const struct admin_connection *c);
typedef void admin_count_fn(void *fn_ctx, const char *word, uint64_t n);

/* What admin asks of the net, which it does not know. All run on the worker in question. */
struct admin_net {
    /* Tell each connection of the worker. */
    void (*connections)(void *ctx, unsigned worker, admin_connection_fn *fn, void *fn_ctx);
    /* Tell how many connections of the worker ended, by the word for why; only those above 0. */
    void (*ended)(void *ctx, unsigned worker, admin_count_fn *fn, void *fn_ctx);
    /* The i-th URL listened on, NULL past the last. Worker 0. */
    const char *(*listener)(void *ctx, size_t i);
    /* Which worker a connection lives on, and closing it there; -ENOENT. */
    unsigned (*home)(void *ctx, uint64_t id);
    int (*kill)(void *ctx, uint64_t id);
    /* What protocols count on the worker, by a word; only what is above 0. NULL: nothing. */
    void (*counts)(void *ctx, unsigned worker, admin_count_fn *fn, void *fn_ctx);
};

/* A value of the settings, as the file would write it; borrowed for a call. */
struct admin_setting {
    const char *section, *title; /* "" at the top; title NULL: it may not be repeated */
    const char *key, *value;     /* value NULL: an empty list */
    const char *fallback;        /* the default; NULL: not said */
    bool is_list, restart;
};

/* What a reload changed, or would; borrowed for a call. */
struct admin_change {
    const char *what, *before, *after;
    bool restart; /* takes a restart; else it applies now */
};

/* Whom main tells. */
struct admin_listener {
    void (*setting)(void *ctx, const struct admin_setting *s);
    void (*change)(void *ctx, const struct admin_change *c);
    void (*mistake)(void *ctx, const char *text); /* in the file; FILE:LINE: KEY: .. */
    void *ctx;
};

/* What admin asks of main, who alone reads settings and ends things. */
struct admin_main {
    /* Have main call admin_orders(), soon. Any thread. */
    void (*wake)(void *ctx);
    /* The rest runs in main's thread, within admin_orders(). */
    /* The settings in force, and each change that a reload or a restart would bring now. Returns
     * the file's name, NULL: there is none. */
    const char *(*settings)(void *ctx, const struct admin_listener *to);
    /* Read the file again and apply it; each change is told. -EPIPE draining; else -errno: nothing
     * has changed, each mistake was told. */
    int (*reload)(void *ctx, const struct admin_listener *to);
    /* As SIGUSR2. */
    void (*drain)(void *ctx);
    /* Put what is stored in files aside, for a backup, and their folder's path in `path`; or let go
     * of them again. -ENOENT there is no such store; else -errno. */
    int (*snapshot)(void *ctx, bool keep, char *path, size_t n);
};

struct webhooks;

/* What admin asks of the webhooks, which it does not know; the room that does says what each means.
 * Answers are JSON, a new reference each. All but home() run on the worker in question. */
struct admin_webhooks {
    unsigned (*home)(const struct webhooks *wh, const char *name); /* any thread */
    void (*list)(const struct webhooks *wh, unsigned worker, json_t *array);
    json_t *(*info)(const struct webhooks *wh, const char *name);
    int (*add)(struct webhooks *wh, const char *name, const json_t *settings, bool replace,
               bool rotate, char *ret_secret, struct refusal *why);
    int (*remove)(struct webhooks *wh, const char *name, struct refusal *why);
    int (*enable)(struct webhooks *wh, const char *name, bool enable, struct refusal *why);
    int (*test)(struct webhooks *wh, const char *name, void (*done)(void *ctx, json_t *told),
                void *ctx, struct refusal *why);
};

/* What admin asks of the stores, which it does not know. */
struct admin_stores {
    /* Add what can be said of them on this worker to the object `to`, which has an object for each,
     * by its name, with the members of docs/admin-api.md; what others have said is there. */
    void (*add)(void *ctx, unsigned worker, json_t *to);
};

/* Something that another room tells: a log line, and a message on `$SYS`. Borrowed. */
struct admin_notice {
    const char *kind; /* static: "webhook_opened" */
    enum log_level level;
    const char *what;    /* for the log; static */
    const char *webhook; /* its name */
    const char *text;    /* more, or "" */
};

struct admin_options {
    const char *version;         /* static */
    unsigned workers;            /* how many there will be */
    const struct admin_net *net; /* outlives the admin; NULL: none (tests) */
    void *net_ctx;
    const struct admin_main *main; /* the same; NULL: none (tests) */
    void *main_ctx;
    const struct admin_webhooks *hooks; /* the same; NULL: none (tests) */
    struct webhooks *webhooks;
    const struct admin_stores *stores; /* the same; NULL: none (tests) */
    void *stores_ctx;
};

/* An admin that hears events but answers nobody yet. -ENOMEM. */
int admin_new(const struct admin_options *o, struct admin **ret);

/* Serve on all of `ws`, which must not run yet. -ENOMEM, -ENOSPC. */
int admin_start(struct admin *a, struct workers *ws);

/* The placement that info tells. Any thread. */
void admin_set_placement(struct admin *a, enum placement placement);

/* How many queues `metrics` tells of one by one, from now on. Any thread. */
void admin_set_metrics_queues(struct admin *a, unsigned n);

/* Do what was asked of main. Main's thread. */
void admin_orders(struct admin *a);

/* Free it, and what has not been answered. After workers_join() and after the connections are
 * closed, before workers_free(). NULL is fine. */
void admin_free(struct admin *a);

/* Something that no core tells has happened: write a line in the log, and publish it on
 * `$SYS.EVENT` (a static word). Any thread, before workers_join(). */
void admin_tell(struct admin *a, enum log_level level, const char *event,
                const struct log_fact *facts, const char *text);

/* What workers_options.event wants; `ctx` is the admin. Writes a log line and lets the turn
 * publish it on `$SYS`. The worker's thread, from within its core. */
void admin_event(void *ctx, struct worker *w, const struct core_event *ev);

/* Likewise; not from within its core. */
void admin_notice(struct admin *a, struct worker *w, const struct admin_notice *n);

#endif
