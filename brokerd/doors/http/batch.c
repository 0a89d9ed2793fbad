/* Many messages in one request: lines of JSON (application/x-ndjson), read and published as they
 * come in. The answer counts, and names the lines that were refused; its status says whether all,
 * some or none were taken, for who looks at nothing else.
 *
 * Nothing but the line that is not whole yet is kept; when the window is used up the rest stays
 * unread. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "brokerd/doors/http/handlers.h"
#include "brokerd/doors/http/status.h"
#include "brokerd/doors/http/terms.h"
#include "brokerd/doors/json/publish.h"
#include "brokerd/doors/refuse.h"
#include "libbroker/base/deque.h"
#include "libbroker/base/utf8.h"

enum { ERRORS_MAX = 100, MEMBERS_MAX = 48, LINE_FIRST = 1024 };

struct batch {
    struct exchange *x;
    struct deque asked; /* of each line that has not settled: struct asked */
    struct block *line; /* the beginning of one, */
    size_t line_n;
    size_t charged;
    uint64_t lines, messages, matched, accepted, refused; /* messages: lines that are not blank */
    uint64_t first;                                       /* line that was refused, */
    enum reason first_reason;                             /* and why */
    json_t *errors; /* of the first ERRORS_MAX lines that were refused */
    bool last;      /* all lines have come */
    bool is_queue;
    uint8_t name_n; /* where they go, if they do not say it */
    uint8_t name[NAME_MAX_BYTES];
};

struct asked {
    uint64_t line;
    bool require;
};

bool batch_is_asked(struct slice type)
{
    const struct slice wanted = SLICE("application/x-ndjson");

    return type.n >= wanted.n && http_same(slice_of(type.p, wanted.n), wanted) &&
           (type.n == wanted.n || type.p[wanted.n] == ';' || type.p[wanted.n] == ' ');
}

/* ---- the answer */

static void note_refused(struct batch *b, uint64_t line, const struct refusal *why)
{
    size_t n = strlen(why->text);
    json_t *error;

    if (!b->refused++ || line < b->first) { /* some are refused at once, some when they settle */
        b->first = line;
        b->first_reason = why->reason;
    }
    if (json_array_size(b->errors) == ERRORS_MAX)
        return;
    while (n && !utf8_valid(slice_of(why->text, n))) /* a character that was cut at its end */
        n--;
    error = json_pack("{s:I, s:s, s:s%}", "line", (json_int_t)line, "reason",
                      reason_name(why->reason), "text", why->text, n);
    (void)json_array_append_new(b->errors, error); /* without memory it is counted all the same */
}

static struct response verdict(const struct batch *b)
{
    struct response r = {.status = 202, .type = SLICE("application/json")};

    if (b->refused && b->refused < b->messages) {
        r.status = 207;
    } else if (b->refused) {
        r.status = status_of(b->first_reason);
        r.retry_after = status_retry_after(b->first_reason);
    }
    return r;
}

static void answer(struct batch *b)
{
    struct response r = verdict(b);
    json_t *all = json_pack("{s:I, s:I, s:I, s:I, s:O}", "lines", (json_int_t)b->lines, "matched",
                            (json_int_t)b->matched, "accepted", (json_int_t)b->accepted, "refused",
                            (json_int_t)b->refused, "errors", b->errors);
    char *text = all ? json_dumps(all, JSON_COMPACT) : NULL;
    size_t n = text ? strlen(text) : 0;
    struct refusal why;

    if (text) {
        text[n] = '\n'; /* in place of its end */
        r.body = slice_of(text, n + 1);
        exchange_answer(b->x, &r);
    } else {
        refuse_memory(&why);
        exchange_refuse(b->x, &why);
    }
    free(text);
    json_decref(all);
}

static void answer_if_done(struct batch *b)
{
    if (b->last && deque_len(&b->asked) == 0 && !b->x->answered)
        answer(b);
}

static void settled(struct exchange *x, const struct outcome *o)
{
    struct batch *b = x->state;
    struct asked a = *(struct asked *)deque_slot(&b->asked, deque_first(&b->asked));
    struct refusal why;

    deque_pop(&b->asked);
    b->matched += o->matched;
    b->accepted += o->accepted;
    if (reason_is_refusal(o->reason) && (a.require || o->reason != REASON_NO_MATCH)) {
        refuse_outcome(&why, o);
        note_refused(b, a.line, &why);
    }
    answer_if_done(b);
}

/* ---- a line */

static int publish(struct batch *b, const struct target *to, const struct jmessage *m,
                   struct block *block, struct refusal *why)
{
    struct msg_view v = {.data = m->payload.data.n ? m->payload.data.p : (const uint8_t *)"",
                         .len = (uint32_t)m->payload.data.n,
                         .meta = &m->meta,
                         .block = m->payload.own ? NULL : block};
    struct run run = {.v = &v, .n = 1, .bytes = v.len, .type = m->payload.type};
    struct asked *a = deque_push(&b->asked);
    int r;

    if (!a) {
        refuse_memory(why);
        return -ENOMEM;
    }
    *a = (struct asked){b->lines, m->meta.require};
    r = exchange_publish(b->x, to, &run, settled, why);
    if (r < 0)
        deque_unpush(&b->asked);
    return r;
}

/* Where it goes, and what it is. */
static int read_line(struct batch *b, struct jask *a, struct block *block, struct refusal *why)
{
    struct target to = {b->is_queue, slice_of(b->name, b->name_n)};
    struct jmessage m = {.left = NULL};
    int r = 0;

    if (json_object_get(a->members, "queue")) {
        to.is_queue = true;
        r = jask_text(a, "queue", true, &to.name, why);
    } else if (json_object_get(a->members, "topic")) {
        to.is_queue = false;
        r = jask_text(a, "topic", true, &to.name, why);
    }
    if (r == 0)
        r = jmessage_read(a, a->data, &m, why);
    if (r == 0)
        r = publish(b, &to, &m, block, why);
    jmessage_free(&m);
    return r;
}

static bool is_blank(struct slice line)
{
    for (size_t i = 0; i < line.n; i++) {
        if (line.p[i] != ' ' && line.p[i] != '\t' && line.p[i] != '\r')
            return false;
    }
    return true;
}

/* Only `data` is said, as most often: nothing of it needs to become an object. */
static int publish_plain(struct batch *b, struct slice data, struct block *block,
                         struct refusal *why)
{
    const struct target to = {b->is_queue, slice_of(b->name, b->name_n)};
    const struct slice none = {NULL, 0};
    struct jmessage m = {.meta = {.type = {.id = CTYPE_NONE}}};
    int r = jpayload_read(data, none, false, none, &m.payload, why);

    if (r == 0)
        r = publish(b, &to, &m, block, why);
    jmessage_free(&m);
    return r;
}

static int publish_line(struct batch *b, struct slice line, struct block *block,
                        struct refusal *why)
{
    struct json_member member[MEMBERS_MAX];
    struct json_fault fault;
    struct jask a;
    unsigned n;
    int r;

    if (line.p[0] != '{') {
        refuse(why, REASON_INVALID, "expected an object: {\"data\": ..}");
        return -EINVAL;
    }
    if (jtext_members(line, member, MEMBERS_MAX, &n, &fault) < 0) {
        refuse(why, REASON_INVALID, "%s", fault.what);
        return -EINVAL;
    }
    if (n == 1 && slice_eq(member[0].name, SLICE("data")))
        return publish_plain(b, member[0].value, block, why);
    r = jask_load(&a, line, why);
    if (r == 0)
        r = read_line(b, &a, block, why);
    jask_free(&a);
    return r;
}

static void take_line(struct batch *b, struct slice line, struct block *block)
{
    struct refusal why;

    b->lines++;
    if (is_blank(line))
        return;
    b->messages++;
    while (line.p[0] == ' ' || line.p[0] == '\t')
        line = slice_from(line, 1);
    if (publish_line(b, line, block, &why) < 0)
        note_refused(b, b->lines, &why);
}

/* ---- lines, out of pieces */

static void charge(struct batch *b, size_t n)
{
    core_charge(exchange_link(b->x)->host->core, (int64_t)n - (int64_t)b->charged);
    b->charged = n;
}

static void too_long(struct batch *b, const char *text)
{
    struct refusal why;

    refuse(&why, REASON_TOO_LARGE, "line %" PRIu64 ": %s", b->lines + 1, text);
    exchange_refuse(b->x, &why);
}

/* Keep what is the beginning of a line. */
static bool keep(struct batch *b, struct slice part)
{
    size_t want = b->line_n + part.n, have = b->line ? b->line->size : 0, room;
    struct block *more;

    if (want > exchange_link(b->x)->host->limits.frame_max) {
        too_long(b, "it is longer than frame-max");
        return false;
    }
    if (want > have) {
        room = want < LINE_FIRST ? LINE_FIRST : want < 2 * have ? 2 * have : want;
        more = block_resize(b->line, room);
        if (!more) {
            too_long(b, "the broker has no memory for it");
            return false;
        }
        b->line = more;
        charge(b, more->size);
    }
    memcpy(b->line->bytes + b->line_n, part.p, part.n);
    b->line_n = want;
    return true;
}

/* The line that was kept is whole. */
static void take_kept(struct batch *b)
{
    struct block *line = b->line;
    size_t n = b->line_n;

    b->line = NULL;
    b->line_n = 0;
    charge(b, 0);
    take_line(b, slice_of(line->bytes, n), line);
    block_unref(line);
}

/* Act on the line at the front of `part`, or keep what there is of it. Returns the bytes used. */
static size_t take_some(struct batch *b, struct slice part, struct block *block)
{
    const uint8_t *lf = memchr(part.p, '\n', part.n);
    size_t n = lf ? (size_t)(lf - part.p) : part.n;

    if (!lf || b->line_n) {
        if (!keep(b, slice_of(part.p, n)))
            return part.n;
        if (lf)
            take_kept(b);
    } else {
        take_line(b, slice_of(part.p, n), block);
    }
    return n + (lf != NULL);
}

/* ---- the exchange */

static void on_begin(struct exchange *x)
{
    struct batch *b = calloc(1, sizeof *b);
    struct refusal why;

    x->state = b;
    if (b)
        b->errors = json_array();
    if (!b || !b->errors) {
        refuse_memory(&why);
        exchange_refuse(x, &why);
        return;
    }
    b->x = x;
    deque_init(&b->asked, sizeof(struct asked));
    b->is_queue = x->route->what != NULL;
    if (x->arg[0].n > sizeof b->name) {
        refuse(&why, REASON_INVALID, "a name has at most %d bytes", NAME_MAX_BYTES);
        exchange_refuse(x, &why);
        return;
    }
    b->name_n = (uint8_t)x->arg[0].n;
    memcpy(b->name, x->arg[0].p, b->name_n);
}

static size_t on_body(struct exchange *x, struct slice part, struct block *block, bool last)
{
    struct batch *b = x->state;
    struct slice rest = part;

    while (rest.n && !x->answered && exchange_room(x))
        rest = slice_from(rest, take_some(b, rest, block));
    if (x->answered)
        return part.n;
    if (last && rest.n == 0) {
        if (b->line_n) /* there is room, or the engine had not called */
            take_kept(b);
        b->last = true;
        answer_if_done(b);
    }
    return part.n - rest.n;
}

static void on_over(struct exchange *x)
{
    struct batch *b = x->state;

    if (!b)
        return;
    if (b->x) {
        charge(b, 0);
        deque_fini(&b->asked);
    }
    block_unref(b->line);
    json_decref(b->errors);
    free(b);
    x->state = NULL;
}

const struct handler batch = {
    .kind = BODY_PARTS, .begin = on_begin, .body = on_body, .over = on_over};
