/* webhooks.h - messages delivered to HTTP endpoints.
 *
 * Why      Whoever has a web server and nothing else gets messages all the same.
 * Shape    A webhook NAME is an endpoint of the broker's own, on the worker that its name leads to.
 *          It consumes the queue `webhook.NAME`, bound to its topics, and settles each delivery by
 *          what became of one HTTP request (hook.h). What it gives up on goes to the queue
 *          `webhook.NAME.dead`. Webhooks come from the settings (webhooks_apply) or from those who
 *          manage the broker (webhooks_add), and last as long as the process.
 * Owner    struct webhooks is the caller's: webhooks_new(), webhooks_start() before the workers
 * run,
 *          ..., workers_join(), webhooks_free(), workers_free().
 * Errors   0, or -errno; where a person must be told why, a struct refusal.
 * Thread   As each function says; "home" is the thread of the worker that webhooks_home() names. */
#ifndef BROKERD_WEBHOOKS_WEBHOOKS_H
#define BROKERD_WEBHOOKS_WEBHOOKS_H

#include "brokerd/core/core.h"
#include "brokerd/webhooks/spec.h"
#include "brokerd/worker/worker.h"
#include "libbroker/base/log.h"

#include <jansson.h>

struct webhooks;

enum { WEBHOOKS_MAX = 4096 }; /* on one worker */

/* Something worth a log line and a `$SYS` message; borrowed. */
struct webhook_event {
    const char *kind; /* static: "webhook_opened" */
    enum log_level level;
    const char *what;    /* for the log, static: "a webhook is not called for a while" */
    const char *webhook; /* its name */
    const char *text;    /* more, or "" */
};

struct webhooks_options {
    const char *agent; /* User-Agent; static */
    /* On the worker's thread, not from within its core. May be NULL. */
    void (*event)(void *ctx, struct worker *w, const struct webhook_event *e);
    void *ctx;
};

/* -ENOMEM; -EIO: no random source, or libcurl cannot be begun with. */
int webhooks_new(const struct webhooks_options *o, struct webhooks **ret);

/* Work on all of `ws`, which must not run yet. -ENOMEM, -ENOSPC. */
int webhooks_start(struct webhooks *wh, struct workers *ws);

/* The settings' webhooks are these from now on: what is new is added, what differs is changed, what
 * is there no more is removed with its queue. References are taken. Any thread. -ENOMEM: not on
 * every worker; say it again. */
int webhooks_apply(struct webhooks *wh, struct webhook_spec *const *specs, size_t n);

/* Has each of them been attached to its queue by now, or failed to be? Any thread. */
bool webhooks_have_begun(const struct webhooks *wh);

/* Send no more: the broker is about to stop. Requests under way go on. Any thread. */
void webhooks_drain(struct webhooks *wh);

/* Requests under way. Any thread. */
unsigned webhooks_under_way(const struct webhooks *wh);

/* After workers_join(), before workers_free(). NULL is fine. */
void webhooks_free(struct webhooks *wh);

/* ---------------------------------------------------------------------- for those who manage it */

/* The worker that a webhook of that name lives on. Any thread. */
unsigned webhooks_home(const struct webhooks *wh, const char *name);

/* What there is on worker `worker`, appended to an array; on its thread. */
void webhooks_list(const struct webhooks *wh, unsigned worker, json_t *array);

/* All about one: the members that the list has, and its settings. NULL: there is none. Home. */
json_t *webhooks_info(const struct webhooks *wh, const char *name);

/* Make one; with `replace`, change one. `settings` is an object of texts and arrays of texts, by
 * key: with `replace`, the others stay, an empty array is the default again, and a secret that is
 * replaced becomes `secret-old` unless that is said, too. A new one that says no `secret` gets one,
 * and so does one that is to `rotate` it: ret_secret[WEBHOOK_SECRET_TEXT] is then it, to be shown
 * this once, else "". -EINVAL, -EEXIST, -ENOENT, -EACCES (the settings' own), -ENOSPC, -ENOMEM with
 * *why. Home. */
int webhooks_add(struct webhooks *wh, const char *name, const json_t *settings, bool replace,
                 bool rotate, char *ret_secret, struct refusal *why);

/* Remove it, its queue and what waits there. -ENOENT, -EACCES with *why. Home. */
int webhooks_remove(struct webhooks *wh, const char *name, struct refusal *why);

/* Call it, or call it no more; its queue goes on collecting. -ENOENT with *why. Home. */
int webhooks_enable(struct webhooks *wh, const char *name, bool enable, struct refusal *why);

/* Send it one event, signed as all are, whatever its state. `done` is told what was sent and what
 * became of it, on the same thread, or NULL, if it is removed before; never, if the broker stops.
 * -ENOENT, -EBUSY, -EPIPE, -ENOMEM with *why. Home. */
typedef void webhooks_test_fn(void *ctx, json_t *told);
int webhooks_test(struct webhooks *wh, const char *name, webhooks_test_fn *done, void *ctx,
                  struct refusal *why);

#endif
