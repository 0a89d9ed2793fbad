/* The journal as a whole: opened, started, stopped, freed; and how it does. */
#include "brokerd/store/journal/journal.h"

#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "brokerd/store/journal/explain.h"
#include "brokerd/store/journal/internal.h"
#include "brokerd/store/journal/start.h"

void journal_die(const struct journal *j, const char *what, int error)
{
    dprintf(STDERR_FILENO,
            "brokerd: journal %s: %s failed: %s; nothing after it can be relied on\n",
            j->files.path, what, strerror(-error));
    _exit(JOURNAL_EXIT);
}

void journal_tell(struct journal *j, enum journal_event_kind kind, const char *format, ...)
{
    char text[512];
    va_list args;

    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    if (j->options.event)
        j->options.event(j->options.ctx, &(struct journal_event){kind, text});
}

void *journal_alloc(size_t n)
{
    void *p;

    while (!(p = malloc(n)))
        nanosleep(&(struct timespec){0, 10000000}, NULL);
    return p;
}

/* ---------------------------------------------------------------------------------------- open */

static struct journal_store *store_new(struct journal *j, unsigned worker)
{
    size_t size = (sizeof(struct journal_store) + 63) / 64 * 64;
    struct journal_store *s = aligned_alloc(64, size);

    if (!s)
        return NULL;
    memset(s, 0, size);
    s->head.ops = &journal_ops;
    s->journal = j;
    s->worker = worker;
    list_init(&s->wanting);
    return s;
}

static struct journal *journal_new(const struct journal_options *o)
{
    size_t size = sizeof(struct journal) + o->workers * sizeof(struct journal_store *);
    struct journal *j = aligned_alloc(64, (size + 63) / 64 * 64);

    if (!j)
        return NULL;
    memset(j, 0, size);
    j->options = *o;
    j->files.dir = j->files.lock = j->log.fd = -1;
    j->held_end = &j->held;
    pthread_mutex_init(&j->facts_lock, NULL);
    helper_init(&j->helper, j);
    snapshot_init(&j->snapshot);
    j->reply = calloc(o->workers, sizeof(struct reply *));
    j->retry_call = calloc(o->workers, sizeof *j->retry_call);
    for (unsigned i = 0; i < o->workers; i++)
        j->store[i] = store_new(j, i);
    return j;
}

static bool is_whole(const struct journal *j)
{
    bool whole = j->reply && j->retry_call;

    for (unsigned i = 0; i < j->options.workers; i++)
        whole = whole && j->store[i];
    return whole;
}

/* A limit of few segments has smaller ones: some of them are kept free. */
static uint64_t segment_bytes(const struct journal_options *o, uint64_t disk_max)
{
    uint64_t size = o->segment_bytes ? o->segment_bytes : JOURNAL_SEGMENT;

    if (disk_max / 8 < size)
        size = disk_max / 8;
    return size / 4096 * 4096;
}

static int read_all_of_it(struct journal *j, char *text, size_t text_n)
{
    struct start s = {.files = &j->files,
                      .catalog = &j->catalog,
                      .log = &j->log,
                      .accept_damage = j->options.accept_damage};
    struct stored_queue *q;
    size_t at = 0;
    int r;

    r = journal_begin(&s, &j->recovery, text, text_n);
    if (r < 0)
        return r;
    j->next_queue = j->catalog.next_queue;
    j->facts.damaged = j->recovery.lost_batches + j->recovery.missing;
    while ((q = catalog_next(&j->catalog, &at)) != NULL)
        if (!q->gone && q->definition)
            names_add(j, q);
    j->sweep.look = true;
    journal_publish(j);
    return 0;
}

int journal_open(const struct journal_options *o, struct journal **ret, char *text, size_t text_n)
{
    uint64_t disk_max = o->disk_max ? o->disk_max : UINT64_MAX;
    uint64_t segment = segment_bytes(o, disk_max);
    struct journal *j;
    pid_t pid = 0;
    int r;

    if (segment < JOURNAL_SEGMENT_MIN || segment > BATCH_RECORDS_MAX) {
        snprintf(text, text_n,
                 "a segment of %llu bytes, an eighth of max-disk at most, will not do",
                 (unsigned long long)segment);
        return -EINVAL;
    }
    j = journal_new(o);
    if (!j || !is_whole(j)) {
        snprintf(text, text_n, "no memory");
        journal_free(j);
        return -ENOMEM;
    }
    catalog_init(&j->catalog, segment, disk_max);
    r = files_open(o->path, &j->files, &pid);
    if (r < 0)
        explain_open(o->path, r, pid, text, text_n);
    else
        r = read_all_of_it(j, text, text_n);
    if (r < 0) {
        journal_free(j);
        return r;
    }
    *ret = j;
    return 0;
}

const struct recovery *journal_recovery(const struct journal *j)
{
    return &j->recovery;
}

struct store *journal_store(struct journal *j, unsigned worker)
{
    return &j->store[worker]->head;
}

/* --------------------------------------------------------------------------------- start, stop */

int journal_start(struct journal *j)
{
    sigset_t all, before;
    int r;

    sigfillset(&all); /* signals are the caller's */
    pthread_sigmask(SIG_SETMASK, &all, &before);
    r = helper_start(&j->helper);
    if (r == 0) {
        r = -pthread_create(&j->thread, NULL, journal_thread, j);
        j->is_running = r == 0;
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (j->is_running)
        pthread_setname_np(j->thread, "journal");
    else
        helper_stop(&j->helper);
    return r;
}

void journal_stop(struct journal *j)
{
    bool was_running = j->is_running;

    atomic_store(&j->stop, true);
    journal_wake(j, true);
    if (j->is_running)
        pthread_join(j->thread, NULL);
    j->is_running = false;
    helper_stop(&j->helper);
    if (!was_running)
        return;
    /* What was reserved is given back: whoever copies the directory has that much less to copy. */
    (void)files_cut(j->log.fd, j->log.end);
    files_forget_prepared(&j->files);
}

static void free_parcels(struct parcel *p)
{
    for (struct parcel *next; p; p = next) {
        next = p->next;
        free(p);
    }
}

/* Those that nobody has read, and queues that are closed in them. */
static void free_unread(struct parcel *first)
{
    for (const struct parcel *p = first; p; p = p->next) {
        for (size_t at = 0; at < p->used;) {
            const struct op *op = (const struct op *)(const void *)(p->bytes + at);

            if (op->kind == OP_CLOSE || op->kind == OP_REMOVE)
                free(op->q);
            at += op->size;
        }
    }
    free_parcels(first);
}

static void free_store(struct journal_store *s)
{
    struct reply *r, *next;

    if (!s)
        return;
    for (r = atomic_load(&s->replies); r; r = next) {
        next = r->next;
        for (size_t i = 0; i < r->n; i++)
            if (r->a[i].kind == ANSWER_CLOSED)
                free(r->a[i].q);
        reply_free(r);
    }
    free_parcels(s->idle);
    free_unread(s->first);
    free(s);
}

void journal_free(struct journal *j)
{
    if (!j)
        return;
    journal_stop(j);
    for (unsigned i = 0; i < j->options.workers; i++)
        free_store(j->store[i]);
    free_parcels(j->head);
    free_unread(atomic_load(&j->parcels));
    for (struct held *h = j->held, *next; h; h = next) {
        next = h->next;
        if (h->op.kind == OP_CLOSE || h->op.kind == OP_REMOVE) /* nobody was told to */
            free(h->op.q);
        free(h);
    }
    sweep_fini(&j->sweep);
    read_fini(j);
    log_fini(&j->log);
    index_fini(&j->names);
    catalog_fini(&j->catalog);
    files_close(&j->files);
    pthread_mutex_destroy(&j->facts_lock);
    snapshot_fini(&j->snapshot);
    free(j->reply);
    free(j->retry_call);
    free(j);
}

struct journal_facts journal_facts(struct journal *j)
{
    struct journal_facts f;
    int64_t since = atomic_load_explicit(&j->syncing_since_ms, memory_order_relaxed);

    pthread_mutex_lock(&j->facts_lock);
    f = j->told;
    pthread_mutex_unlock(&j->facts_lock);
    f.refused_full += atomic_load_explicit(&j->refused[0], memory_order_relaxed);
    f.refused_space += atomic_load_explicit(&j->refused[1], memory_order_relaxed);
    f.syncing_since_ms = since ? journal_wall_ms() - (journal_clock_ms() - since) : 0;
    return f;
}
