/* What became of its messages, told to a publisher; and the credit for more. */
#include "brokerd/core/publish.h"

enum { TELL_MAX = 64 };

/* Those from the front of the span that have one outcome and one excuse. */
static uint32_t outcome_of(const struct publisher *p, const struct span *s, struct outcome *o)
{
    const char *text;
    uint32_t n = excuse_find(p->excuses, s->first, s->count, &text);

    *o = (struct outcome){.first = s->first,
                          .count = n,
                          .reason = (enum reason)s->reason,
                          .matched = s->matched,
                          .accepted = s->accepted,
                          .text = text};
    if (!s->matched && s->reason == REASON_NONE)
        o->reason = REASON_NO_MATCH;
    return n;
}

static void tell_settled(struct publisher *p)
{
    struct outcome o[TELL_MAX];
    struct span s = {0};

    while (s.count || ledger_news(&p->ledger)) {
        size_t n = 0;

        while (n < TELL_MAX && (s.count || ledger_take(&p->ledger, &s))) {
            uint32_t part = outcome_of(p, &s, &o[n++]);

            s.first += part;
            s.count -= part;
            p->told = s.first - 1;
        }
        p->ep->ops->settled(p->ctx, p->told, o, n);
    }
    if (p->excuses)
        excuse_forget(&p->excuses, p->told);
}

static bool takes_credit(const struct publisher *p)
{
    return p->kind == PUBLISH_WINDOW && !p->ep->core->draining;
}

/* The credit to be granted now. */
static uint64_t credit_due(const struct publisher *p)
{
    /* The first message, which comes without credit, is not part of the window. */
    uint64_t window = p->window, out = p->next > 1 ? p->allowance + p->ledger.open : 0;

    if (!takes_credit(p))
        return 0;
    if (core_short_of_memory(p->ep->core))
        window = window / WINDOW_SHORT ? window / WINDOW_SHORT : 1;
    if (out >= window || window - out < (window + 1) / 2 || (p->next == 1 && p->allowance > 1))
        return 0;
    return window - out;
}

static void grant(struct publisher *p)
{
    struct core *c = p->ep->core;
    uint64_t n = credit_due(p);

    if (takes_credit(p) && core_short_of_memory(c) && !list_linked(&p->starved))
        list_push_back(&c->starved, &p->starved);
    if (n == 0)
        return;
    p->allowance += n;
    p->ep->ops->granted(p->ctx, (uint32_t)n);
}

/* Can what is to be told wait? Not what went wrong; and credit takes it along. */
static bool put_off(struct publisher *p)
{
    struct core *c = p->ep->core;
    uint32_t n = p->kind == PUBLISH_WINDOW ? ledger_plain_news(&p->ledger) : 0;

    if (!n || c->draining || core_short_of_memory(c) || credit_due(p) > 0 ||
        !patience_put_off(&p->patience, n, p->next, c->now_ms)) {
        p->patience.is_tried = false;
        return false;
    }
    list_push_back(&c->unhurried, &p->news);
    if (patience_due(&p->patience) < c->unhurried_due_ms)
        c->unhurried_due_ms = patience_due(&p->patience);
    return true;
}

/* Those that have published nothing more hear now what was put off. */
static void end_patience(struct core *c)
{
    struct list_node *n, *next;

    if (c->now_ms < c->unhurried_due_ms)
        return;
    c->unhurried_due_ms = INT64_MAX;
    for (n = list_first(&c->unhurried); n; n = next) {
        struct publisher *p = LIST_ITEM(n, struct publisher, news);
        int64_t due = patience_due(&p->patience);

        next = list_next(&c->unhurried, n);
        if (due <= c->now_ms) {
            patience_over(&p->patience);
            list_move_to_back(&c->news, n);
        } else if (due < c->unhurried_due_ms) {
            c->unhurried_due_ms = due;
        }
    }
}

void publish_hasten(struct core *c)
{
    struct list_node *n;

    while ((n = list_pop(&c->unhurried)) != NULL)
        list_push_back(&c->news, n);
}

static void feed_starved(struct core *c)
{
    struct list_node *n;

    if (core_short_of_memory(c))
        return;
    while ((n = list_pop(&c->starved)) != NULL)
        publisher_has_news(LIST_ITEM(n, struct publisher, starved));
}

void publish_tell(struct core *c)
{
    struct list_node *n;

    feed_starved(c);
    end_patience(c);
    while ((n = list_pop(&c->news)) != NULL) {
        struct publisher *p = LIST_ITEM(n, struct publisher, news);

        if (put_off(p))
            continue;
        tell_settled(p);
        if (p->kind == PUBLISH_ONCE && p->next > 1 && core_publisher_idle(p))
            publisher_free(p);
        else
            grant(p);
    }
    if (list_empty(&c->unhurried)) /* or the worker would wake up for nothing */
        c->unhurried_due_ms = INT64_MAX;
}
