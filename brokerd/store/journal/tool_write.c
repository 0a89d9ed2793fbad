#include "brokerd/core/message.h"
#include "brokerd/store/journal/explain.h"
#include "brokerd/store/journal/start.h"
#include "brokerd/store/journal/tool_inner.h"
#include "libbroker/wire/mime.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { SEGMENT_BYTES = 32 << 20, BATCH_BYTES = 1 << 20, DEFINITION_MAX = 256 << 10 };

static int64_t wall_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

int tool_open_to_write(const char *path, struct tool **ret, char *text)
{
    struct tool *t = calloc(1, sizeof *t);
    struct start s;
    pid_t pid = 0;
    int r;

    if (!t)
        return -ENOMEM;
    t->fd = t->log.fd = -1;
    catalog_init(&t->catalog, SEGMENT_BYTES, UINT64_MAX);
    s = (struct start){.files = &t->files, .catalog = &t->catalog, .log = &t->log};
    r = files_open(path, &t->files, &pid);
    if (r < 0)
        explain_open(path, r, (long)pid, text, TOOL_TEXT);
    else
        r = journal_begin(&s, &t->recovery, text, TOOL_TEXT);
    if (r < 0) {
        (void)tool_close(t);
        return r;
    }
    *ret = t;
    return 0;
}

static int tool_flush(struct tool *t)
{
    int r;

    if (!t->log.records)
        return 0;
    r = log_write(&t->log);
    return r < 0 ? r : log_sync(&t->log);
}

int tool_finish(struct tool *t)
{
    int r = tool_flush(t);

    if (r == 0 && !log_room(&t->log))
        r = log_roll(&t->log, 0, wall_ms());
    if (r == 0)
        r = log_write(&t->log); /* a seal */
    if (r == 0)
        r = log_sync(&t->log);
    return r < 0 ? r : files_cut(t->log.fd, t->log.end);
}

/* Room in the batch for `n` bytes about a queue (NULL: a new one), else in the next one, else in
 * the next segment. */
static int make_room(struct tool *t, const struct stored_queue *q, uint64_t n)
{
    int r = 0;

    if (t->log.used + n > BATCH_BYTES)
        r = tool_flush(t);
    if (r < 0 || log_room(&t->log) >= n + log_definition_size(&t->log, q))
        return r;
    r = tool_flush(t);
    if (r == 0)
        r = log_roll(&t->log, BATCH_HEAD + n + DEFINITION_MAX, wall_ms());
    return r;
}

static bool is_called(const struct stored_queue *q, struct slice name)
{
    struct record def;

    return !q->gone && catalog_definition(q, &def) && slice_eq(def.name, name);
}

/* They come queue by queue. */
static struct stored_queue *find(struct tool *t, struct slice name)
{
    struct stored_queue *q;
    size_t at = 0;

    if (t->into && is_called(t->into, name))
        return t->into;
    while ((q = catalog_next(&t->catalog, &at)) != NULL && !is_called(q, name))
        ;
    t->into = q;
    return q;
}

int tool_put_queue(struct tool *t, struct slice name, struct slice filters, struct slice settings,
                   uint64_t next)
{
    struct record r = {.kind = RECORD_QUEUE,
                       .queue = t->catalog.next_queue,
                       .segment = t->log.segment,
                       .seq = next ? next : 1,
                       .name = name,
                       .filters = filters,
                       .wishes = settings};
    int status;

    if (find(t, name))
        return 1;
    if (!record_size(&r) || record_size(&r) > DEFINITION_MAX)
        return -EMSGSIZE;
    status = make_room(t, NULL, record_size(&r));
    if (status == 0)
        status = log_add(&t->log, &r);
    t->fresh = r.queue;
    t->last = 0;
    return status < 0 ? status : tool_flush(t); /* puts need it in the catalog */
}

/* The number it has, if it can be kept. */
static uint64_t number_for(const struct tool *t, const struct stored_queue *q, uint64_t seq)
{
    bool is_free = q->number == t->fresh ? seq > t->last : seq >= q->next;

    return is_free ? seq : q->next;
}

static struct record put_of(const struct tool *t, const struct stored_queue *q,
                            const struct tool_message *m)
{
    int known = m->type.n ? mime_id(m->type) : CTYPE_NONE;

    return (struct record){.kind = RECORD_PUT,
                           .queue = q->number,
                           .seq = number_for(t, q, m->seq),
                           .id = m->id,
                           .time_ms = m->time_ms,
                           .expires_ms = m->expires_ms,
                           .type_id = known == MIME_UNKNOWN ? CTYPE_NAMED : (uint8_t)known,
                           .type = known == MIME_UNKNOWN ? m->type : slice_of(NULL, 0),
                           .topic = m->topic,
                           .headers = m->headers,
                           .data = m->data};
}

int tool_put(struct tool *t, struct slice queue, const struct tool_message *m)
{
    struct stored_queue *q = find(t, queue);
    struct record r, state;
    int status;

    if (!q)
        return -ENOENT;
    r = put_of(t, q, m);
    state = (struct record){.kind = m->settled_ms ? RECORD_RETAINED : RECORD_RETURNED,
                            .queue = q->number,
                            .seq = r.seq,
                            .count = 1,
                            .time_ms = m->settled_ms,
                            .attempts = m->attempts,
                            .due_ms = m->due_ms};
    if (!record_size(&r))
        return -EMSGSIZE;
    status = make_room(t, q, record_size(&r) + RETURNED_SIZE);
    if (status == 0)
        status = log_add(&t->log, &r);
    if (status < 0)
        return status;
    if (q->number == t->fresh)
        t->last = r.seq;
    if (r.seq >= q->next)
        q->next = r.seq + 1; /* the catalog learns of it when the batch is synced */
    return m->attempts || m->due_ms || m->settled_ms ? log_add(&t->log, &state) : 0;
}

/* ---------------------------------------------------------------------------------- copying */

static int copy_cleared(const struct files *from, const struct files *to)
{
    struct journal_file *list;
    size_t n;
    int r = files_cleared(from, &list, &n);

    if (r < 0)
        return r;
    for (size_t i = 0; i < n && r == 0; i++)
        r = files_note_cleared(to, list[i].number);
    free(list);
    return r;
}

static int copy_all(const struct files *from, const struct files *to, tool_progress_fn *progress,
                    void *ctx)
{
    struct journal_file *list;
    uint64_t done = 0, total = 0;
    char at[PATH_MAX];
    size_t n;
    int r = files_list(from, &list, &n);

    if (r < 0)
        return r;
    for (size_t i = 0; i < n; i++)
        total += list[i].size;
    for (size_t i = 0; i < n && r == 0; i++) {
        r = files_copy(from, list[i].number, list[i].size,
                       files_segment_path(to, list[i].number, at));
        done += list[i].size;
        if (r == 0 && progress && !progress(ctx, done, total))
            r = -ECANCELED;
    }
    free(list);
    if (r == 0)
        r = copy_cleared(from, to);
    return r < 0 ? r : files_sync_directory(to);
}

/* Nothing is left of a copy that is not whole. */
static void remove_copy(const struct files *to)
{
    struct journal_file *list;
    char at[PATH_MAX];
    size_t n;

    if (files_list(to, &list, &n) == 0) {
        for (size_t i = 0; i < n; i++)
            (void)unlink(files_segment_path(to, list[i].number, at));
        free(list);
    }
    if (files_cleared(to, &list, &n) == 0) {
        for (size_t i = 0; i < n; i++)
            files_forget_cleared(to, list[i].number);
        free(list);
    }
    (void)unlink(files_path(to, "lock", at));
    (void)rmdir(to->path);
}

int tool_copy(const char *from, const char *to, tool_progress_fn *progress, void *ctx, char *text)
{
    struct files source, target;
    pid_t pid = 0;
    int r = files_open_to_read(from, &source, &pid);

    if (r < 0) {
        explain_open(from, r, (long)pid, text, TOOL_TEXT);
        return r;
    }
    r = mkdir(to, 0700) < 0 ? -errno : 0;
    if (r == 0)
        r = files_open(to, &target, &pid); /* syncs its name, too */
    if (r == 0) {
        r = copy_all(&source, &target, progress, ctx);
        if (r < 0)
            remove_copy(&target);
        files_close(&target);
    }
    if (r < 0)
        (void)snprintf(text, TOOL_TEXT, "%s: %s", to, strerror(-r));
    files_close(&source);
    return r;
}
