#include "brokerd/core/message.h"
#include "brokerd/store/journal/explain.h"
#include "brokerd/store/journal/tool_inner.h"
#include "libbroker/wire/mime.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { SEGMENT_BYTES = 32 << 20, WINDOW_BYTES = 1 << 20 };

/* --------------------------------------------------------------------------- reading it all */

/* Files for recovery, and word of how far it is. */
struct reading {
    struct files_source files;
    tool_progress_fn *progress;
    void *ctx;
    uint64_t done, total;
};

static int reading_load(void *ctx, uint32_t number, uint64_t most, struct slice *ret)
{
    struct reading *u = ctx;
    int r = u->files.source.load(u->files.source.ctx, number, most, ret);

    if (r < 0 || most != UINT64_MAX)
        return r;
    u->done += ret->n;
    return !u->progress || u->progress(u->ctx, u->done, u->total) ? 0 : -ECANCELED;
}

static void reading_unload(void *ctx, uint32_t number, struct slice bytes)
{
    struct reading *u = ctx;

    u->files.source.unload(u->files.source.ctx, number, bytes);
}

static int recover(struct tool *t, tool_progress_fn *progress, void *ctx)
{
    struct reading u = {.progress = progress, .ctx = ctx};
    struct journal_source source;
    int r = files_source_init(&u.files, &t->files);

    if (r < 0)
        return r;
    source = u.files.source;
    source.ctx = &u;
    source.load = reading_load;
    source.unload = reading_unload;
    for (size_t i = 0; i < source.files_n; i++)
        u.total += source.files[i].size;
    r = journal_recover(&source, true, &t->catalog, &t->recovery);
    t->facts.segments = source.files_n;
    t->facts.disk = u.total;
    files_source_fini(&u.files);
    return r;
}

/* ------------------------------------------------------------------------ what is in it */

static void describe(const struct stored_queue *q, struct tool_queue *to)
{
    struct record def = {0};
    uint64_t first = 0;

    if (catalog_definition(q, &def))
        (void)snprintf(to->name, sizeof to->name, "%.*s", (int)def.name.n,
                       (const char *)def.name.p);
    else
        (void)snprintf(to->name, sizeof to->name, "lost.%u", q->number);
    to->number = q->number;
    to->filters = def.filters;
    to->settings = def.wishes;
    to->messages = q->places.n - q->places.past;
    to->retained = q->places.past;
    to->bytes = q->payload;
    to->disk = q->bytes;
    to->returned = q->returned;
    to->next = q->next;
    to->first = places_next_waiting(&q->places, &first) ? first : q->next;
}

static int by_name(const void *one, const void *other)
{
    const struct tool_queue *a = one, *b = other;

    return strcmp(a->name, b->name);
}

static int list_queues(struct tool *t)
{
    const struct stored_queue *q;
    size_t at = 0;

    t->queues = calloc(t->catalog.queues.n + 1, sizeof *t->queues);
    if (!t->queues)
        return -ENOMEM;
    while ((q = catalog_next(&t->catalog, &at)) != NULL) {
        struct tool_queue *to = &t->queues[t->queues_n];

        if (q->gone)
            continue;
        describe(q, to);
        t->queues_n++;
        t->facts.messages += to->messages;
        t->facts.retained += to->retained;
        t->facts.bytes += to->bytes;
    }
    qsort(t->queues, t->queues_n, sizeof *t->queues, by_name);
    return 0;
}

static void sum_up(struct tool *t)
{
    const struct recovery *r = &t->recovery;
    struct tool_facts *f = &t->facts;

    f->journal = r->journal;
    f->version = FORMAT_VERSION;
    f->batches = r->batches;
    f->records = r->records;
    f->queues = t->queues_n;
    f->data = t->catalog.segments.data;
    f->notes = t->catalog.segments.notes;
    f->torn_bytes = r->torn_bytes;
    f->blank = r->blank;
    f->damaged = r->damaged;
    f->lost_batches = r->lost_batches;
    f->missing = r->missing;
}

int tool_open(const char *path, tool_progress_fn *progress, void *ctx, struct tool **ret,
              char *text)
{
    struct tool *t = calloc(1, sizeof *t);
    pid_t pid = 0;
    int r;

    if (!t)
        return -ENOMEM;
    t->fd = t->log.fd = -1;
    catalog_init(&t->catalog, SEGMENT_BYTES, UINT64_MAX);
    r = files_open_to_read(path, &t->files, &pid);
    if (r < 0) {
        explain_open(path, r, (long)pid, text, TOOL_TEXT);
    } else {
        r = recover(t, progress, ctx);
        if (r == 0)
            r = list_queues(t);
        if (r < 0)
            explain_recovery(path, r, &t->recovery, text, TOOL_TEXT);
    }
    if (r < 0) {
        (void)tool_close(t);
        return r;
    }
    sum_up(t);
    *ret = t;
    return 0;
}

struct tool *tool_close(struct tool *t)
{
    if (!t)
        return NULL;
    if (t->log.buf)
        log_fini(&t->log);
    if (t->fd >= 0)
        close(t->fd);
    free(t->buffer);
    free(t->queues);
    catalog_fini(&t->catalog);
    files_close(&t->files);
    free(t);
    return NULL;
}

const struct tool_facts *tool_facts(const struct tool *t)
{
    return &t->facts;
}

bool tool_damage(const struct tool *t, size_t i, struct tool_damage *ret)
{
    const struct recovery *r = &t->recovery;

    if (i >= r->damaged || i >= DAMAGE_TOLD)
        return false;
    *ret = (struct tool_damage){.segment = r->damage[i].segment,
                                .from = r->damage[i].from,
                                .to = r->damage[i].to,
                                .batches = r->damage[i].batches,
                                .missing = r->damage[i].missing};
    explain_damage(&r->damage[i], ret->text, sizeof ret->text);
    return true;
}

const struct tool_queue *tool_queue(const struct tool *t, size_t i)
{
    return i < t->queues_n ? &t->queues[i] : NULL;
}

bool tool_next_filter(struct slice *filters, struct slice *ret)
{
    if (filters->n == 0 || filters->n <= filters->p[0])
        return false;
    *ret = slice_of(filters->p + 1, filters->p[0]);
    *filters = slice_from(*filters, 1 + ret->n);
    return true;
}

/* ------------------------------------------------------------------------ message by message */

static int open_window(struct tool *t, uint32_t segment)
{
    if (t->fd >= 0 && t->segment == segment)
        return 0;
    if (t->fd >= 0)
        close(t->fd);
    t->fd = -1;
    t->n = 0;
    t->segment = segment;
    return files_segment(&t->files, segment, false, &t->fd);
}

/* As much from `offset` on as the buffer takes, `n` bytes at least. */
static int fill_window(struct tool *t, uint64_t offset, size_t n)
{
    const struct segment *s = segments_find(&t->catalog.segments, t->segment);
    size_t most = n > WINDOW_BYTES ? n : WINDOW_BYTES;
    int r;

    if (most > t->cap) {
        uint8_t *grown = realloc(t->buffer, most);

        if (!grown)
            return -ENOMEM;
        t->buffer = grown;
        t->cap = most;
    }
    if (most > s->size - offset)
        most = s->size - offset;
    t->n = 0;
    r = files_read(t->fd, t->buffer, most, offset);
    if (r < 0)
        return r;
    t->offset = offset;
    t->n = most;
    return 0;
}

static int read_put(struct tool *t, const struct place *p, struct record *ret)
{
    int r = open_window(t, p->segment);

    if (r == 0 && (p->offset < t->offset || p->offset + (uint64_t)p->size > t->offset + t->n))
        r = fill_window(t, p->offset, p->size);
    if (r < 0)
        return r;
    if (!record_decode_put(slice_of(t->buffer + (p->offset - t->offset), p->size), ret))
        return -EBADMSG;
    return 0;
}

static struct slice type_of(const struct record *rec)
{
    const char *known = mime_name(rec->type_id);

    if (rec->type_id == CTYPE_NAMED)
        return rec->type;
    return rec->type_id < MIME_DATA_TYPE && known ? slice_str(known) : slice_of(NULL, 0);
}

static const struct place *next(const struct stored_queue *q, bool retained, uint64_t *seq)
{
    return retained ? places_next(&q->places, seq) : places_next_waiting(&q->places, seq);
}

int tool_walk(struct tool *t, const struct tool_queue *q, bool retained, uint64_t *seq,
              tool_message_fn *fn, void *ctx)
{
    const struct stored_queue *from = catalog_queue(&t->catalog, q->number);
    const struct place *p;

    for (; (p = next(from, retained, seq)) != NULL; ++*seq) {
        struct record rec;
        struct tool_message m;
        int64_t within;
        int r = read_put(t, p, &rec);

        if (r < 0)
            return r;
        m = (struct tool_message){.seq = rec.seq,
                                  .id = rec.id,
                                  .time_ms = rec.time_ms,
                                  .expires_ms = rec.expires_ms,
                                  .due_ms = catalog_due(from, rec.seq),
                                  .attempts = p->is_past ? 0 : p->attempts,
                                  .topic = rec.topic,
                                  .type = type_of(&rec),
                                  .headers = rec.headers,
                                  .data = rec.data};
        if (p->is_past)
            m.settled_ms = places_gone_ms(&from->places, rec.seq, &within);
        r = fn(ctx, &m);
        if (r != 0)
            return r;
    }
    return 0;
}
