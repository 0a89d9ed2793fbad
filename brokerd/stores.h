/* stores.h - what keeps durable queues: opened before the workers start, stopped before they end.
 *
 * Why      A store has a directory or a server of its own, threads perhaps, and a struct store for
 *          each worker; main only wants to know whether it may go on.
 * Shape    open (blocks; the journal is read) -> attach to workers made -> workers start -> start
 *          (stores tell of their queues) -> have_found -> .. -> stop -> workers end -> free.
 *          Without a store section there are none: NULL, which every function takes.
 * Owner    stores_open() to stores_free(), between workers_free_cores() and workers_free().
 * Errors   An exit status and words on stderr where people have to do something; else 0 or -errno.
 * Thread   Main's, but for stores_each(). What happens is told from any thread. */
#ifndef BROKERD_STORES_H
#define BROKERD_STORES_H

#include "brokerd/admin/admin.h"
#include "brokerd/worker/worker.h"
#include "config/settings.h"
#include "libbroker/base/log.h"

struct stores;

struct stores_options {
    const struct settings *settings; /* borrowed until stores_free() */
    /* Something to be logged and told on `$SYS`. Any thread. */
    void (*tell)(void *ctx, enum log_level level, const char *event, const struct log_fact *facts,
                 const char *text);
    void *ctx;
};

/* Open those that the settings ask for. EXIT_STOPPED: go on, *ret may be NULL; else the status to
 * exit with, and why has been said on stderr. */
int stores_open(const struct stores_options *o, struct stores **ret);

/* Give each worker its part. Before workers_start(). As stores_open(). */
int stores_attach(struct stores *s, struct workers *ws);

/* Have them tell of the queues they keep. Workers run. -errno: a thread that cannot be started. */
int stores_start(struct stores *s);

/* Are all those queues open? Asks the workers; looked at again and again until it is true. */
bool stores_have_found(struct stores *s);

/* How long that may take. */
int64_t stores_patience_ms(const struct stores *s);

/* Say on stderr which store did not answer. */
void stores_complain(struct stores *s);

/* Keep what was flushed, and end. A disk that does not come back is not waited for: then this does
 * not return but exits, and says so. Nothing confirmed is lost by that. */
void stores_stop(struct stores *s);

void stores_free(struct stores *s);

/* Put aside all that the journal has on disk now, as files in a folder whose path is put in `path`
 * (`keep`), or let go of them again. It may take seconds where a disk does. -ENOENT: there is no
 * journal; else as journal_snapshot(). */
int stores_snapshot(struct stores *s, bool keep, char *path, size_t n);

/* What admin asks of them; the context is the struct stores, or NULL. */
extern const struct admin_stores stores_admin;

#endif
