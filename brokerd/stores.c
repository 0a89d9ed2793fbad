#include "brokerd/stores.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "brokerd/core/store.h"
#include "brokerd/nodes/nodes.h"
#include "brokerd/store/journal/journal.h"
#include "brokerd/stores_internal.h"
#include "config/options.h"

enum {
    PATIENCE_MS = 10000, /* for a server's answer, besides its own time-out */
    SILENT_MS = 2000,    /* who waits for one tells after so long */
    SNAPSHOT_MS = 5000,  /* for the journal to put its files aside */
};

int stores_open(const struct stores_options *o, struct stores **ret)
{
    struct stores *s;
    int status = EXIT_STOPPED;

    *ret = NULL;
    if (!o->settings->journal.used && !o->settings->redis.used)
        return EXIT_STOPPED;
    s = calloc(1, sizeof *s);
    if (!s) {
        fprintf(stderr, "brokerd: cannot start: %s\n", strerror(ENOMEM));
        return EXIT_SYSTEM_ERROR;
    }
    s->o = *o;
    pthread_mutex_init(&s->lock, NULL);
    if (o->settings->journal.used)
        status = stores_open_journal(s);
    if (status == EXIT_STOPPED)
        *ret = s;
    else
        stores_free(s);
    return status;
}

int stores_attach(struct stores *s, struct workers *ws)
{
    int r = 0;

    if (!s)
        return EXIT_STOPPED;
    s->workers = ws;
    for (unsigned i = 0; s->journal && i < workers_count(ws) && r == 0; i++) {
        struct worker *w = workers_get(ws, i);
        struct store *store = journal_store(s->journal, i);

        core_set_store(worker_core(w), DURABLE_JOURNAL, store);
        r = worker_add_store(w, store);
    }
    if (r < 0) {
        fprintf(stderr, "brokerd: cannot start: %s\n", strerror(-r));
        return EXIT_SYSTEM_ERROR;
    }
    return s->o.settings->redis.used ? stores_open_redis(s) : EXIT_STOPPED;
}

int stores_start(struct stores *s)
{
    return s && s->journal ? journal_start(s->journal) : 0;
}

void stores_answer(struct stores *s, bool yes)
{
    if (yes)
        atomic_fetch_add(&s->yes, 1);
    atomic_fetch_add(&s->answered, 1);
}

bool stores_ask(struct stores *s, worker_fn *fn)
{
    unsigned n = workers_count(s->workers);

    if (atomic_load(&s->answered) < s->asked)
        return false;
    if (s->asked && atomic_load(&s->yes) == n) {
        s->asked = 0;
        return true;
    }
    atomic_store(&s->yes, 0);
    atomic_store(&s->answered, 0);
    s->asked = n;
    for (unsigned i = 0; i < n; i++)
        if (workers_call(s->workers, i, fn, s) < 0)
            stores_answer(s, false);
    return false;
}

static void answer_found(void *arg, struct worker *w)
{
    struct stores *s = arg;

    stores_note_redis(s, worker_id(w));
    stores_answer(s, core_has_found(worker_core(w)) &&
                         (!s->nodes || worker_id(w) != 0 || nodes_know(s->nodes)));
}

/* Which one it is, and what is known of why. */
static const char *missing(struct stores *s, char *buf, size_t size)
{
    if (!s->o.settings->redis.used)
        return "store \"journal\": it has not told of all its queues";
    pthread_mutex_lock(&s->lock);
    (void)snprintf(buf, size, "store \"redis\" (%s): %.900s", s->url,
                   *s->why ? s->why : "it does not answer");
    pthread_mutex_unlock(&s->lock);
    return buf;
}

bool stores_have_found(struct stores *s)
{
    int64_t now_ms = worker_clock_ns() / 1000000;
    char buf[STORES_TEXT_MAX + REDIS_URL_MAX];

    if (!s || stores_ask(s, answer_found))
        return true;
    if (!s->finding_ms)
        s->finding_ms = now_ms;
    if (!s->told && now_ms - s->finding_ms > SILENT_MS) {
        s->told = true;
        log_warning("waiting for the queues of %s", missing(s, buf, sizeof buf));
    }
    return false;
}

int64_t stores_patience_ms(const struct stores *s)
{
    return s ? PATIENCE_MS + s->o.settings->redis.timeout_ms : 0;
}

void stores_complain(struct stores *s)
{
    char buf[STORES_TEXT_MAX + REDIS_URL_MAX];

    fprintf(stderr, "brokerd: %s\n", missing(s, buf, sizeof buf));
}

void stores_stop(struct stores *s)
{
    if (s && s->o.settings->redis.used)
        stores_stop_redis(s);
    if (s && s->journal)
        stores_stop_journal(s);
}

void stores_free(struct stores *s)
{
    if (!s)
        return;
    stores_free_redis(s);
    journal_free(s->journal);
    pthread_mutex_destroy(&s->lock);
    free(s);
}

/* ---- a backup */

int stores_snapshot(struct stores *s, bool keep, char *path, size_t n)
{
    if (!s || !s->journal)
        return -ENOENT;
    (void)snprintf(path, n, "%s/snapshot", s->o.settings->journal.path);
    return keep ? journal_snapshot(s->journal, SNAPSHOT_MS) : journal_release(s->journal);
}

/* ---- what admin asks */

void stores_add_numbers(json_t *to, const struct store_number *rows, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        json_int_t before = json_integer_value(json_object_get(to, rows[i].key));

        json_object_set_new(to, rows[i].key, json_integer(before + (json_int_t)rows[i].n));
    }
}

static void add_facts(void *ctx, unsigned worker, json_t *to)
{
    const struct stores *s = ctx;

    if (s && s->journal && worker == 0)
        json_object_set_new(to, "journal", stores_tell_journal(s));
    if (s && s->redis[worker].store)
        stores_tell_redis(s, worker, to);
}

const struct admin_stores stores_admin = {add_facts};
