#include "brokerd/store/redis/parts.h"

#include "brokerd/store/redis/functions.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

/* ------------------------------------------------------------------------------- arguments */

void args_add(struct redis_store *r, struct slice s)
{
    struct args *a = &r->args;

    if (a->n == a->size) {
        unsigned size = a->size ? 2 * a->size : 64;
        struct slice *at = a->failed ? NULL : realloc(a->at, size * sizeof *at);

        if (!at) {
            a->failed = true;
            return;
        }
        a->at = at;
        a->size = size;
    }
    a->at[a->n++] = s;
}

void args_text(struct redis_store *r, const char *text)
{
    args_add(r, slice_str(text));
}

uint8_t *args_text_room(struct redis_store *r, size_t n)
{
    struct args *a = &r->args;

    if (n > sizeof a->text - a->text_n) { /* callers see to it that this is enough for theirs */
        a->failed = true;
        a->text_n = 0;
    }
    return a->text + a->text_n;
}

void args_end_text(struct redis_store *r, const uint8_t *start, const uint8_t *end)
{
    size_t n = (size_t)(end - start);

    r->args.text_n += n;
    args_add(r, slice_of(start, n));
}

void args_number(struct redis_store *r, uint64_t v)
{
    uint8_t *start = args_text_room(r, 20);

    args_end_text(r, start, entry_write_number(start, v));
}

void args_signed(struct redis_store *r, int64_t v)
{
    if (v < 0)
        args_text(r, "-1");
    else
        args_number(r, (uint64_t)v);
}

void args_begin_words(struct redis_store *r, const char *const *words, unsigned n)
{
    r->args.n = 0;
    r->args.text_n = 0;
    r->args.failed = false;
    for (unsigned i = 0; i < n; i++)
        args_text(r, words[i]);
}

void args_begin(struct redis_store *r, const char *function, const struct store_queue *q)
{
    const char *words[] = {"FCALL", function, "4"};

    args_begin_words(r, words, 3);
    for (int i = 0; i < KEYS_N; i++)
        args_add(r, q->keys.key[i]);
    r->facts.calls++;
}

/* -------------------------------------------------------------------------- there and back */

static void on_answer(void *ctx, const struct link_answer *a)
{
    struct request *req = ctx;
    struct store_queue *q = req->queue;

    req->done(req, a);
    if (q && --q->calls == 0 && q->closed)
        manage_leave(q);
    list_remove(&req->link);
    free(req->owned);
    free(req);
}

static int send(struct redis_store *r, struct store_queue *q, uint16_t slot,
                const struct request *about)
{
    struct link_command cmd = {.args = r->args.at, .n = r->args.n, .slot = slot};
    struct request *req = r->args.failed ? NULL : malloc(sizeof *req);
    int e;

    if (!req)
        return -ENOMEM;
    *req = *about;
    req->store = r;
    req->queue = q;
    e = link_send(r->link, &cmd, on_answer, req);
    if (e < 0) {
        free(req);
        return e;
    }
    list_push_back(&r->requests, &req->link);
    if (q)
        q->calls++;
    return 0;
}

int call_send(struct redis_store *r, struct store_queue *q, uint16_t slot, request_fn *done,
              void *item, uint64_t number)
{
    return send(r, q, slot, &(struct request){.done = done, .item = item, .number = number});
}

int call_send_owned(struct redis_store *r, struct store_queue *q, uint16_t slot, request_fn *done,
                    void *owned)
{
    return send(r, q, slot, &(struct request){.done = done, .item = owned, .owned = owned});
}

static void on_loaded(struct request *req, const struct link_answer *a)
{
    /* What it was needed for is said again, and tells if it still is. */
    (void)req;
    (void)a;
}

/* Somebody has removed the functions (FUNCTION FLUSH), or a new master never had them. */
static void load_functions(struct redis_store *r, uint16_t slot)
{
    static const char *const words[] = {"FUNCTION", "LOAD"};

    if (r->load_ms && r->now_ms - r->load_ms < TICK_MS)
        return;
    r->load_ms = r->now_ms;
    args_begin_words(r, words, 2);
    args_add(r, slice_of(redis_functions, (size_t)(redis_functions_end - redis_functions)));
    (void)call_send(r, NULL, slot, on_loaded, NULL, 0);
}

enum verdict call_verdict(struct request *req, const struct link_answer *a)
{
    const char *text;

    if (a->outcome != LINK_REPLIED)
        return CALL_LOST;
    if (a->reply->type != REDIS_REPLY_ERROR)
        return CALL_OK;
    text = a->reply->str;
    if (strncmp(text, "GONE", 4) == 0 || strncmp(text, "NOGROUP", 7) == 0)
        return CALL_GONE;
    if (strstr(text, "Function not found")) {
        load_functions(req->store, req->queue ? req->queue->keys.slot : req->store->names.slot);
        return CALL_LATER;
    }
    if (req->queue && (strstr(text, "smaller than the target stream top item") ||
                       strstr(text, "exhausted the last possible ID"))) {
        mend_queue(req->queue);
        return CALL_LATER;
    }
    store_event(req->store, REDIS_TROUBLE, "Redis refuses: %.200s", text);
    return CALL_WRONG;
}

int64_t reply_number(const struct redisReply *reply, size_t i)
{
    if (reply->type != REDIS_REPLY_ARRAY || i >= reply->elements ||
        reply->element[i]->type != REDIS_REPLY_INTEGER)
        return 0;
    return reply->element[i]->integer;
}

struct slice reply_slice(const struct redisReply *reply)
{
    if (reply->type != REDIS_REPLY_STRING && reply->type != REDIS_REPLY_STATUS)
        return slice_of(NULL, 0);
    return slice_of(reply->str, reply->len);
}

void store_answer(struct redis_store *r, const struct stored *a)
{
    struct stored said = *a;

    said.store = &r->table;
    r->o.answer(r->o.core, &said);
}

void store_event(struct redis_store *r, enum redis_event what, const char *fmt, ...)
{
    char text[LINK_TEXT_MAX];
    uint64_t left_out;
    va_list ap;

    va_start(ap, fmt);
    (void)vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    memcpy(r->facts.text, text, sizeof text);
    if (what == REDIS_TROUBLE && !log_limit_pass(&r->trouble, r->now_ms, &left_out))
        return;
    if (r->o.event)
        r->o.event(r->o.ctx, what, text);
}
