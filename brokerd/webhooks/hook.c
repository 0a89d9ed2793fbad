/* A webhook at work: attached to its queue, sending, settling. */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "brokerd/webhooks/internal.h"
#include "brokerd/webhooks/slot.h"
#include "libbroker/base/headers.h"
#include "libbroker/base/name.h"

/* ------------------------------------------------------------------------------------- telling */

void hook_tell(struct hook *h, const char *kind, enum log_level level, const char *what,
               const char *fmt, ...)
{
    const struct webhooks_options *o = &h->desk->wh->o;
    struct webhook_event e = {.kind = kind, .level = level, .what = what, .webhook = h->spec->name};
    char text[512];
    va_list args;

    if (!o->event)
        return;
    va_start(args, fmt);
    (void)vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    e.text = text;
    o->event(o->ctx, h->desk->worker, &e);
}

void hook_mark(struct hook *h)
{
    if (!list_linked(&h->ready))
        list_push_back(&h->desk->ready, &h->ready);
}

static int64_t now_of(const struct hook *h)
{
    return worker_now(h->desk->worker);
}

/* Who waits for all to have begun, waits for this one no more. */
static void has_begun(struct hook *h)
{
    if (h->is_beginning)
        atomic_fetch_sub(&h->desk->wh->beginning, 1);
    h->is_beginning = false;
}

/* ------------------------------------------------------------------------- what the core tells */

static uint64_t on_deliver(void *ctx, const struct delivery *d)
{
    struct hook *h = ((struct side *)ctx)->hook;

    slots_take(h, d);
    hook_mark(h);
    return 0; /* nothing is written to an output */
}

static void on_ready(void *ctx)
{
    const struct side *side = ctx;

    *(side->is_dead ? &side->hook->is_made : &side->hook->is_attached) = true;
    hook_mark(side->hook);
}

/* Its queue is gone, or could not be had. Deliveries of that consumer cannot be settled any more.
 */
static void on_closed(void *ctx, const struct refusal *why, uint64_t lost)
{
    const struct side *side = ctx;
    struct hook *h = side->hook;

    (void)lost;
    if (side->is_dead) {
        h->maker = NULL;
        h->is_made = false;
    } else {
        h->consumer = NULL;
        h->is_attached = false;
        h->credit = 0;
        h->epoch++;
    }
    (void)snprintf(h->why, sizeof h->why, "%s", why->text);
    has_begun(h);
    h->attach_at_ms = now_of(h) + ATTACH_AGAIN_MS;
    hook_mark(h);
}

/* ----------------------------------------------------------------------------------- attaching */

static uint8_t *put_text(uint8_t *p, const char *name, const char *value)
{
    return headers_put(p, slice_str(name), slice_str(value));
}

static int attach(struct hook *h, bool is_dead, struct consumer **ret)
{
    const struct spec_list *topics = spec_said(h->spec, "topic");
    char queue[SPEC_QUEUE_MAX], dead[SPEC_QUEUE_MAX];
    struct slice filters[SPEC_LIST_MAX];
    uint8_t headers[4 * 32 + SPEC_QUEUE_MAX], *p = headers;
    struct consume_options o = {.filters = filters, .manual_ack = true};
    struct refusal why = {.text = ""};
    int r;

    (void)spec_queue(h->spec->name, queue);
    (void)spec_dead_queue(h->spec->name, dead);
    for (size_t i = 0; !is_dead && i < topics->n; i++)
        filters[o.filters_n++] = slice_str(topics->v[i]);
    p = put_text(p, "$make", "1");
    if (!is_dead) { /* facts: each delivery's own id and time */
        p = put_text(p, "$facts", "1");
        p = put_text(p, "$dead-letter", dead);
    }
    o.queue = slice_str(is_dead ? dead : queue);
    o.headers = slice_of(headers, (size_t)(p - headers));
    r = core_attach(h->ep, &o, &h->side[is_dead], ret, &why);
    if (r < 0) {
        has_begun(h);
        h->attach_at_ms = now_of(h) + ATTACH_AGAIN_MS;
        (void)snprintf(h->why, sizeof h->why, "%s", *why.text ? why.text : "no memory");
    }
    return r;
}

static void detach(struct hook *h)
{
    core_detach(h->consumer);
    core_detach(h->maker);
    h->consumer = h->maker = NULL;
    h->is_attached = h->is_made = false;
    h->credit = 0;
    h->epoch++;
    h->attach_at_ms = INT64_MAX;
}

static void set_state(struct hook *h, enum hook_state state)
{
    h->state = state;
    hook_mark(h);
}

/* Attached, it goes to work, or leaves again if it is disabled: now its queue is there. */
static void attached(struct hook *h)
{
    has_begun(h);
    if (!h->is_enabled) {
        detach(h);
        set_state(h, HOOK_DISABLED);
        return;
    }
    h->why[0] = '\0';
    h->hold_at_ms = INT64_MAX;
    set_state(h, HOOK_ACTIVE);
}

/* The next step towards that: dead letters' queue first, for nothing may die before it is there.
 * True if the core was called. */
static bool go_on_attaching(struct hook *h)
{
    bool tried = h->attach_at_ms <= now_of(h);

    if (tried)
        h->attach_at_ms = INT64_MAX;
    if (h->is_attached) {
        attached(h);
        return true;
    }
    if (h->is_made) {
        core_detach(h->maker);
        h->maker = NULL;
        h->is_made = false;
        if (attach(h, false, &h->consumer) < 0)
            h->consumer = NULL;
        return true;
    }
    if (tried && !h->maker && !h->consumer) {
        if (attach(h, true, &h->maker) < 0)
            h->maker = NULL;
        return true;
    }
    return false;
}

static void begin_attaching(struct hook *h)
{
    h->attach_at_ms = now_of(h);
    set_state(h, HOOK_ATTACHING);
}

/* --------------------------------------------------------------------------- what became of it */

static void note_failure(struct hook *h, const struct post *p)
{
    h->count.failed++;
    h->last.end = p->end;
    h->last.status = p->status;
    h->last.at_ms = worker_wall(h->desk->worker);
    (void)snprintf(h->last.error, sizeof h->last.error, "%s", p->error);
}

static void log_failure(struct hook *h, const struct slot *s)
{
    const struct post *p = &s->post;
    bool answered = p->end == ATTEMPT_ANSWERED;
    uint64_t more;

    if (!log_enabled(LEVEL_INFO) || !log_limit_pass(&h->failing, now_of(h), &more))
        return;
    log_event(LEVEL_INFO, "webhook_failed",
              LOG_FACTS({"webhook", h->spec->name, 0}, {"id", p->request.id, 0},
                        {"attempt", NULL, s->attempt}, {"status", NULL, answered ? p->status : 0},
                        {"why", answered ? "" : attempt_end_name(p->end), 0},
                        {"left_out", NULL, more}),
              "a webhook's delivery failed%s%s", *p->error ? ": " : "", p->error);
}

enum { END_TEXT = 48 };

/* "answered 500", or "unreachable": without an answer there is no status. */
static const char *how_it_went(enum attempt_end end, unsigned status, char text[END_TEXT])
{
    if (status)
        (void)snprintf(text, END_TEXT, "%s %u", attempt_end_name(end), status);
    return status ? text : attempt_end_name(end);
}

static void tell_dead(struct hook *h, const struct slot *s)
{
    char left[48] = "", end[END_TEXT];
    uint64_t more;

    h->count.dead++;
    if (!log_limit_pass(&h->dying, now_of(h), &more))
        return;
    if (more)
        snprintf(left, sizeof left, "; %llu more of the kind", (unsigned long long)more);
    hook_tell(h, "webhook_dead", LEVEL_WARNING, "a webhook's message became a dead letter",
              "%s after %u attempts, the last: %s%s", s->post.request.id, s->attempt,
              how_it_went(s->post.end, s->post.status, end), left);
}

static void tell_change(struct hook *h, enum pace_change change)
{
    int64_t ms = h->pace.open_until_ms - now_of(h);
    char end[END_TEXT];

    if (change == PACE_OPENED) {
        h->count.opened++;
        hook_tell(h, "webhook_opened", LEVEL_WARNING,
                  "a webhook fails: it is not called for a while",
                  "%u failures in a row, the last: %s; for %lld ms", h->pace.failures,
                  how_it_went(h->last.end, h->last.status, end), (long long)ms);
    } else if (change == PACE_RECOVERED) {
        hook_tell(h, "webhook_recovered", LEVEL_NOTICE, "a webhook works again", "%s", "");
    }
}

static void settle(struct slot *s, enum ack_verb verb, uint32_t arg_ms)
{
    if (slot_is_current(s)) /* without memory it comes again, after its time-out */
        (void)core_ack(s->hook->consumer, s->number, 1, verb, arg_ms);
    slot_release(s);
}

static void settle_failed(struct hook *h, struct slot *s, enum verdict verdict, int64_t retry_after)
{
    if (verdict == VERDICT_RETRY && retry_is_left(h->spec, s->attempt)) {
        settle(s, ACK_NACK, retry_delay(h->spec, s->attempt, retry_after, desk_random(h->desk)));
        return;
    }
    tell_dead(h, s);
    settle(s, ACK_REJECT, 0);
}

/* One attempt is over. */
static void on_done(void *ctx, struct post *p)
{
    struct slot *s = LIST_ITEM(p, struct slot, post);
    struct hook *h = ctx;
    struct outcome_judged judged = outcome_judge(p->end, p->status);
    int64_t now = now_of(h), paused = h->pace.pause_until_ms, retry_after = -1;
    enum pace_change change;

    h->flying_n--;
    atomic_fetch_sub(&h->desk->wh->under_way, 1);
    h->count.ends[p->end]++;
    h->count.status[p->end == ATTEMPT_ANSWERED && p->status < 600 ? p->status / 100 : 0]++;
    if (p->end == ATTEMPT_ANSWERED)
        h->took_us = h->took_us ? (h->took_us * 7 + p->took_us) / 8 : p->took_us;
    if (judged.verdict != VERDICT_DELIVERED) {
        retry_after = retry_after_ms(slice_str(p->retry_after), worker_wall(h->desk->worker));
        note_failure(h, p);
        log_failure(h, s);
    }
    change = pace_done(&h->pace, s->ticket, judged.pace, retry_after, now, desk_random(h->desk));
    if (judged.verdict == VERDICT_DELIVERED) {
        h->count.delivered++;
        settle(s, ACK_DONE, 0);
    } else {
        settle_failed(h, s, judged.verdict, retry_after);
    }
    tell_change(h, change);
    if (h->pace.pause_until_ms > paused && paused <= now)
        hook_tell(h, "webhook_paused", LEVEL_NOTICE, "a webhook asked to be called later",
                  "status %u, Retry-After: %s", p->status, p->retry_after);
    if (judged.verdict == VERDICT_GONE)
        hook_disable(h, "it answered 410: it wants no more");
}

/* --------------------------------------------------------------------------------------- sending
 */

static void on_socket_ready(void *ctx)
{
    hook_mark(ctx);
}

static int need_poster(struct hook *h)
{
    struct poster_options o = {.base = worker_base(h->desk->worker),
                               .agent = h->desk->wh->o.agent,
                               .ready = on_socket_ready,
                               .done = on_done,
                               .ctx = h};

    return h->poster ? 0 : poster_new(&o, h->spec, &h->poster);
}

/* Nothing is to be sent for now: when is it time to rest? */
static void look_for_rest(struct hook *h)
{
    if (h->flying_n || h->waiting_n || (!h->poster && !h->slots_n))
        h->rest_at_ms = INT64_MAX;
    else if (h->rest_at_ms == INT64_MAX)
        h->rest_at_ms = now_of(h) + REST_MS;
}

static void rest(struct hook *h)
{
    slots_give_up(h);
    poster_free(h->poster);
    h->poster = NULL;
    h->rest_at_ms = INT64_MAX;
}

static bool is_wanted(const struct hook *h, struct slice topic)
{
    const struct spec_list *now = spec_said(h->spec, "topic"), *then = &h->dropped;
    bool dropped = false;

    for (size_t i = 0; i < then->n && !dropped; i++)
        dropped = name_filter_matches(slice_str(then->v[i]), topic);
    for (size_t i = 0; i < now->n && dropped; i++)
        dropped = !name_filter_matches(slice_str(now->v[i]), topic);
    return !dropped;
}

/* True if it is under way. */
static bool send_one(struct hook *h, struct slot *s)
{
    struct request_event e = slot_event(s);

    list_remove(&s->link);
    h->waiting_n--;
    if (!slot_is_current(s)) {
        slot_release(s);
        return false;
    }
    if (!is_wanted(h, s->topic)) {
        h->count.skipped++;
        settle(s, ACK_DONE, 0);
        return false;
    }
    if (request_build(&s->post.request, h->spec, &e, worker_wall(h->desk->worker)) < 0 ||
        need_poster(h) < 0 || poster_send(h->poster, &s->post) < 0) {
        h->count.ends[ATTEMPT_NO_MEMORY]++;
        settle(s, ACK_NACK, ATTACH_AGAIN_MS);
        return false;
    }
    s->ticket = pace_start(&h->pace);
    list_push_back(&h->flying, &s->link);
    h->flying_n++;
    h->count.attempts++;
    h->count.left_out += s->post.request.left_out;
    atomic_fetch_add(&h->desk->wh->under_way, 1);
    return true;
}

/* Keep slots first..last, which have numbers in a row, from timing out. */
static void extend(const struct hook *h, const struct slot *first, uint32_t n)
{
    if (slot_is_current(first))
        (void)core_ack(h->consumer, first->number, n, ACK_EXTEND,
                       (uint32_t)(h->spec->timeout_ms + HOLD_MS));
}

/* Extend all in a list, a row at a time. */
static void extend_all(const struct hook *h, const struct list *l)
{
    const struct slot *first = NULL;
    uint32_t n = 0;

    for (struct list_node *i = list_first(l); i; i = list_next(l, i)) {
        const struct slot *s = LIST_ITEM(i, struct slot, link);

        if (first && s->epoch == first->epoch && s->number == first->number + n) {
            n++;
            continue;
        }
        if (first)
            extend(h, first, n);
        first = s;
        n = 1;
    }
    if (first)
        extend(h, first, n);
}

static void take_fresh(struct hook *h)
{
    struct list_node *n;

    extend_all(h, &h->fresh);
    if (h->hold_at_ms == INT64_MAX)
        h->hold_at_ms = now_of(h) + HOLD_AGAIN_MS;
    while ((n = list_pop(&h->fresh)) != NULL) {
        struct slot *s = LIST_ITEM(n, struct slot, link);

        if (!s->is_lost) {
            list_push_back(&h->waiting, n);
            continue;
        }
        h->waiting_n--;
        h->count.ends[ATTEMPT_NO_MEMORY]++;
        settle(s, ACK_NACK, ATTACH_AGAIN_MS);
    }
}

static bool may_send(const struct hook *h)
{
    return h->state == HOOK_ACTIVE &&
           !atomic_load_explicit(&h->desk->wh->draining, memory_order_relaxed);
}

/* Let the core deliver as much as may be sent. True if it was told so. */
static bool grant(struct hook *h)
{
    uint32_t room, taken = h->waiting_n + (uint32_t)h->credit;
    uint32_t free = h->spec->window - h->flying_n - taken;

    if (!may_send(h) || !h->consumer)
        return false;
    room = pace_room(&h->pace, now_of(h));
    room = room > taken ? room - taken : 0;
    room = room < free ? room : free;
    if (!room)
        return false;
    h->credit += room;
    core_grant(h->consumer, room);
    return true;
}

/* Nothing is under way any more: leave the queue. */
static void stopped(struct hook *h)
{
    struct list_node *n;

    detach(h);
    while ((n = list_first(&h->fresh)) != NULL || (n = list_first(&h->waiting)) != NULL)
        slot_release(LIST_ITEM(n, struct slot, link));
    h->waiting_n = 0;
    if (h->is_enabled)
        begin_attaching(h);
    else
        set_state(h, HOOK_DISABLED);
}

/* From one state to the next, where something has happened. True if the core was called. */
static bool step(struct hook *h)
{
    if (h->state == HOOK_ATTACHING)
        return go_on_attaching(h);
    if (h->state == HOOK_ACTIVE && !h->consumer)
        begin_attaching(h);
    else if (h->state == HOOK_STOPPING && !h->flying_n)
        stopped(h);
    else
        return false;
    return true;
}

bool hook_output(struct hook *h)
{
    bool told = step(h);
    struct list_node *n;
    uint32_t room = may_send(h) ? pace_room(&h->pace, now_of(h)) : 0;

    if (!list_empty(&h->fresh)) {
        take_fresh(h);
        told = true;
    }
    while (room && (n = list_first(&h->waiting)) != NULL) {
        room -= send_one(h, LIST_ITEM(n, struct slot, link));
        told = true;
    }
    if (told && h->poster)
        poster_run(h->poster, now_of(h));
    return grant(h) || told;
}

/* ------------------------------------------------------------------------------------ the turn */

static void hold(struct hook *h)
{
    extend_all(h, &h->waiting);
    extend_all(h, &h->flying);
    h->hold_at_ms = h->waiting_n + h->flying_n ? now_of(h) + HOLD_AGAIN_MS : INT64_MAX;
}

void hook_schedule(struct hook *h)
{
    int64_t due = h->poster ? poster_due(h->poster) : INT64_MAX, now = now_of(h), at;

    look_for_rest(h);
    due = h->rest_at_ms < due ? h->rest_at_ms : due;
    at = may_send(h) ? pace_due(&h->pace, now) : INT64_MAX;
    due = at < due ? at : due;
    due = h->attach_at_ms < due ? h->attach_at_ms : due;
    due = h->hold_at_ms < due ? h->hold_at_ms : due;
    at = h->test ? poster_due(h->test->poster) : INT64_MAX;
    due = at < due ? at : due;
    heap_update(&h->desk->due, &h->due, due);
}

void hook_input(struct hook *h)
{
    if (h->poster)
        poster_run(h->poster, now_of(h));
    if (h->rest_at_ms <= now_of(h) && !h->flying_n && !h->waiting_n)
        rest(h);
    if (h->test && test_run(h->test, now_of(h)))
        h->test = NULL;
    (void)step(h);
    if (h->hold_at_ms <= now_of(h))
        hold(h);
    (void)grant(h);
}

/* --------------------------------------------------------------------------------------- orders */

void hook_disable(struct hook *h, const char *why)
{
    bool was = h->is_enabled;

    h->is_enabled = false;
    (void)snprintf(h->why, sizeof h->why, "%s", why);
    if (h->state == HOOK_ACTIVE)
        set_state(h, HOOK_STOPPING);
    if (was) {
        h->count.disabled++;
        hook_tell(h, "webhook_disabled", LEVEL_WARNING, "a webhook is not called any more", "%s",
                  why);
    }
}

void hook_enable(struct hook *h)
{
    bool was = h->is_enabled;

    h->is_enabled = true;
    pace_reset(&h->pace);
    if (h->state == HOOK_DISABLED)
        begin_attaching(h);
    hook_mark(h);
    if (!was)
        hook_tell(h, "webhook_enabled", LEVEL_NOTICE, "a webhook is called again", "%s", "");
}

/* ---------------------------------------------------------------------------------------- life */

static struct pace_options pace_of(const struct webhook_spec *s)
{
    return (struct pace_options){.window = s->window,
                                 .break_after = s->break_after,
                                 .break_min_ms = s->break_min_ms,
                                 .break_max_ms = s->break_max_ms};
}

static int open_endpoint(struct hook *h)
{
    static const struct endpoint_ops ops = {
        .door = "webhook", .deliver = on_deliver, .ready = on_ready, .closed = on_closed};
    char name[SPEC_QUEUE_MAX];
    struct endpoint_desc d = {.name = spec_queue(h->spec->name, name), .is_broker = true};

    return core_endpoint_open(h->desk->core, &d, &ops, h, &h->ep);
}

int hook_new(struct desk *d, struct webhook_spec *s, bool is_settings, struct hook **ret)
{
    struct pace_options pace = pace_of(s);
    struct hook *h = calloc(1, sizeof *h);
    int r;

    if (!h)
        return -ENOMEM;
    h->desk = d;
    h->spec = spec_ref(s);
    h->is_settings = is_settings;
    h->is_enabled = s->enabled;
    h->is_beginning = true;
    atomic_fetch_add(&d->wh->beginning, 1);
    h->side[0] = (struct side){h, false};
    h->side[1] = (struct side){h, true};
    h->hold_at_ms = h->rest_at_ms = INT64_MAX;
    h->failing = h->dying = (struct log_limit){.burst = 5, .per_ms = 1000};
    pace_init(&h->pace, &pace);
    h->due.key = INT64_MAX;
    slots_begin(h);
    r = heap_push(&d->due, &h->due);
    if (r == 0)
        r = open_endpoint(h);
    if (r < 0) {
        hook_free(h);
        return r;
    }
    if (!h->is_enabled)
        (void)snprintf(h->why, sizeof h->why, "enabled = false");
    begin_attaching(h);
    *ret = h;
    return 0;
}

static void forget_dropped(struct hook *h)
{
    for (size_t i = 0; i < h->dropped.n; i++)
        free(h->dropped.v[i]);
    free(h->dropped.v);
    h->dropped = (struct spec_list){NULL, 0};
}

void hook_free(struct hook *h)
{
    has_begun(h);
    test_free(h->test);
    rest(h);
    core_endpoint_close(h->ep);
    list_remove(&h->ready);
    heap_remove(&h->desk->due, &h->due);
    forget_dropped(h);
    spec_unref(h->spec);
    free(h);
}

static bool has(const struct spec_list *l, const char *topic)
{
    for (size_t i = 0; i < l->n; i++)
        if (strcmp(l->v[i], topic) == 0)
            return true;
    return false;
}

/* Topics that `s` has no more: its queue stays bound to them. -ENOMEM. */
static int note_dropped(struct hook *h, const struct webhook_spec *s)
{
    const struct spec_list *before = spec_said(h->spec, "topic"), *now = spec_said(s, "topic");
    size_t most = h->dropped.n + before->n;
    char **v = calloc(most + 1, sizeof *v);
    size_t n = 0;

    for (size_t i = 0; v && i < most; i++) {
        const char *topic = i < h->dropped.n ? h->dropped.v[i] : before->v[i - h->dropped.n];

        if (has(now, topic) || has(&(struct spec_list){v, n}, topic))
            continue;
        v[n] = strdup(topic);
        if (!v[n])
            break;
        n++;
    }
    if (!v)
        return -ENOMEM;
    forget_dropped(h);
    h->dropped = (struct spec_list){v, n};
    return 0;
}

int hook_change(struct hook *h, struct webhook_spec *s)
{
    struct pace_options pace = pace_of(s);
    bool told = s->enabled != h->spec->enabled; /* else it stays as somebody has it by now */

    if (note_dropped(h, s) < 0)
        return -ENOMEM;
    detach(h);
    rest(h); /* its connections were made for what it was */
    spec_unref(h->spec);
    h->spec = spec_ref(s);
    pace_init(&h->pace, &pace);
    if (told)
        h->is_enabled = s->enabled;
    begin_attaching(h);
    return 0;
}
