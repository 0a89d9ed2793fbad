#include "brokerd/doors/window.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { WHY_MAX = 240 }; /* bytes kept of a text: no refusal has more */

/* What waits for settlement: of both sides all up to `last`. The messages it stands for are the
 * last `n` of side `side`. */
struct token {
    uint64_t token;
    uint64_t last[WINDOW_SIDES];
    struct outcome o; /* so far; its text is `why` */
    char *why;
    uint32_t n;
    uint8_t side;
};

static int side_open(struct window *w, unsigned i)
{
    struct window_side *s = &w->side[i];
    int r;

    if (s->p)
        return 0;
    s->window = w;
    s->room = 1; /* the first message needs no credit */
    r = core_publisher_open(w->ep, PUBLISH_WINDOW, s, &s->p);
    if (r < 0)
        return r;
    if (w->ops->makes_unbound)
        core_publisher_makes_unbound(s->p);
    core_publisher_last(s->p); /* its answers cost no write of their own */
    if (i == WINDOW_NEVER_HOLD)
        core_publisher_never_hold(s->p);
    return 0;
}

int window_init(struct window *w, struct endpoint *ep, const struct window_ops *ops, void *ctx)
{
    *w = (struct window){.ep = ep, .ops = ops, .ctx = ctx};
    deque_init(&w->tokens, sizeof(struct token));
    return side_open(w, WINDOW_PATIENT);
}

void window_fini(struct window *w)
{
    for (unsigned i = 0; i < WINDOW_SIDES; i++) {
        core_publisher_close(w->side[i].p);
        w->side[i].p = NULL;
    }
    for (uint64_t i = deque_first(&w->tokens); i != deque_end(&w->tokens); i++)
        free(((struct token *)deque_slot(&w->tokens, i))->why);
    deque_fini(&w->tokens);
}

int window_consumes(struct window *w, bool consumes)
{
    unsigned side = consumes ? WINDOW_NEVER_HOLD : WINDOW_PATIENT;
    int r = side_open(w, side);

    if (r == 0)
        w->now = (uint8_t)side;
    return r;
}

uint32_t window_room(struct window *w)
{
    uint32_t room = w->side[w->now].room;

    if (!room && !w->paused) {
        w->paused = true;
        w->ops->pause(w->ctx, true);
    }
    return room;
}

int window_publish(struct window *w, const struct target *to, const struct run *run,
                   struct refusal *ret_why)
{
    struct window_side *s = &w->side[w->now];
    int r = core_publish(s->p, to, run, ret_why);

    if (r == 0) {
        s->sent += run->n;
        s->room -= run->n;
    }
    return r;
}

bool window_idle(const struct window *w)
{
    for (unsigned i = 0; i < WINDOW_SIDES; i++)
        if (w->side[i].told < w->side[i].sent)
            return false;
    return true;
}

/* ----------------------------------------------------------------------------- settlement */

static enum reason worse(enum reason a, enum reason b)
{
    if (a == REASON_NONE)
        return b;
    return !reason_is_refusal(a) && reason_is_refusal(b) ? b : a;
}

/* The token's reason is that of `o`, whose text is borrowed. Without memory the reason's own text
 * has to do. */
static void take_reason(struct token *t, const struct outcome *o)
{
    free(t->why);
    t->why = o->text ? strndup(o->text, WHY_MAX) : NULL;
    t->o.text = t->why;
    t->o.reason = o->reason;
}

/* `o` is the outcome of some of the token's messages. */
static void merge(struct token *t, const struct outcome *o)
{
    uint64_t end = t->o.first + t->n, o_end = o->first + o->count;
    uint64_t from = t->o.first > o->first ? t->o.first : o->first;
    uint64_t to = end < o_end ? end : o_end;

    if (from >= to)
        return;
    t->o.matched += o->matched * (uint32_t)(to - from);
    t->o.accepted += o->accepted * (uint32_t)(to - from);
    if (worse(t->o.reason, o->reason) != t->o.reason)
        take_reason(t, o);
}

/* Note the outcome with the tokens it concerns. Those wholly before its end are done with. */
static void note(struct window *w, struct window_side *s, const struct outcome *o)
{
    unsigned side = (unsigned)(s - w->side);

    if (s->cursor < deque_first(&w->tokens))
        s->cursor = deque_first(&w->tokens);
    for (; s->cursor < deque_end(&w->tokens); s->cursor++) {
        struct token *t = deque_slot(&w->tokens, s->cursor);

        if (t->side != side || !t->n)
            continue;
        merge(t, o);
        if (t->last[side] >= o->first + o->count)
            break;
    }
}

/* Those at the front that need wait no longer. */
static void tell(struct window *w)
{
    while (deque_len(&w->tokens)) {
        const struct token *t = deque_slot(&w->tokens, deque_first(&w->tokens));
        struct token done;

        for (unsigned i = 0; i < WINDOW_SIDES; i++)
            if (w->side[i].told < t->last[i])
                return;
        done = *t;
        deque_pop(&w->tokens);
        w->ops->settled(w->ctx, done.token, &done.o);
        free(done.why);
    }
}

/* For the `n` messages before the last `after`. */
static int add_token(struct window *w, uint32_t n, uint32_t after, uint64_t token)
{
    struct token *t = deque_push(&w->tokens);

    if (!t)
        return -ENOMEM;
    *t = (struct token){.token = token, .n = n, .side = w->now};
    for (unsigned i = 0; i < WINDOW_SIDES; i++)
        t->last[i] = w->side[i].sent;
    t->last[t->side] -= after;
    t->o.first = t->last[t->side] - n + 1;
    t->o.count = n;
    tell(w); /* perhaps nothing is left to be waited for */
    return 0;
}

int window_await(struct window *w, uint32_t n, uint64_t token)
{
    return add_token(w, n, 0, token);
}

int window_await_one(struct window *w, uint32_t after, uint64_t token)
{
    return add_token(w, 1, after, token);
}

void window_settled(void *publisher_ctx, uint64_t upto, const struct outcome *o, size_t n)
{
    struct window_side *s = publisher_ctx;
    struct window *w = s->window;

    for (size_t i = 0; i < n; i++) {
        if (o[i].accepted < o[i].matched)
            w->missed += o[i].count;
        if (deque_len(&w->tokens))
            note(w, s, &o[i]);
    }
    s->told = upto;
    tell(w);
}

void window_granted(void *publisher_ctx, uint32_t n)
{
    struct window_side *s = publisher_ctx;
    struct window *w = s->window;

    s->room += n;
    if (w->paused && w->side[w->now].room) {
        w->paused = false;
        w->ops->pause(w->ctx, false);
    }
}
