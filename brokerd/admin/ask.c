/* A call on its way: opened where its caller is, it visits the workers that know something and
 * comes back to be answered. One thread has it at a time, so nothing in it needs a lock. */
#include "brokerd/admin/internal.h"
#include "libbroker/base/rune.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

/* ---------------------------------------------------------------------------------- refusing */

/* A text that was cut may end within a character. */
static void trim_broken(char *text)
{
    const uint8_t *p = (const uint8_t *)text;
    size_t left = strlen(text), n;
    uint32_t c;

    while (left && (n = rune_decode(p, left, &c)) != 0) {
        p += n;
        left -= n;
    }
    text[p - (const uint8_t *)text] = '\0';
}

static void say_why(struct refusal *why, enum reason reason, const char *fmt, va_list args)
    __attribute__((format(printf, 3, 0)));

static void say_why(struct refusal *why, enum reason reason, const char *fmt, va_list args)
{
    int n = snprintf(why->text, sizeof why->text, "%s: ", reason_name(reason));

    why->reason = reason;
    vsnprintf(why->text + n, sizeof why->text - (size_t)n, fmt, args);
    trim_broken(why->text);
}

void ask_refuse(struct ask *a, enum reason reason, const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    say_why(&a->why, reason, fmt, args);
    va_end(args);
}

static int refuse_call(struct refusal *why, int err, enum reason reason, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));

static int refuse_call(struct refusal *why, int err, enum reason reason, const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    say_why(why, reason, fmt, args);
    va_end(args);
    return err;
}

/* --------------------------------------------------------------------------------------- life */

/* Its caller has gone, or was answered. */
static void on_closed(void *ctx)
{
    struct ask *a = ctx;

    a->call = NULL;
    atomic_store(&a->gone, true);
}

static void on_payload(void *ctx, const struct call_payload *p, bool complete)
{
    (void)ctx, (void)p, (void)complete;
}

static void on_credit(void *ctx, uint32_t n)
{
    (void)ctx, (void)n;
}

static void on_word(void *ctx)
{
    (void)ctx;
}

static void on_error(void *ctx, const struct call_error *e)
{
    (void)ctx, (void)e;
}

/* One answer is all there is: only the end matters. */
static const struct call_ops call_ops = {on_payload, on_credit, on_word,
                                         on_word,    on_error,  on_closed};

void ask_free(struct ask *a)
{
    list_remove(&a->link);
    list_remove(&a->stranded);
    if (a->command)
        a->home->asks_n--;
    json_decref(a->request);
    json_decref(a->answer);
    if (a->data)
        a->free_data(a->data);
    free(a);
}

struct ask *ask_own(struct desk *d)
{
    struct ask *a = calloc(1, sizeof *a);

    if (!a)
        return NULL;
    a->home = d;
    a->answer = json_object();
    if (!a->answer) {
        free(a);
        return NULL;
    }
    atomic_init(&a->gone, false);
    list_push_back(&d->asks, &a->link);
    return a;
}

static struct ask *ask_new(struct desk *d, struct call *call, const struct command *c,
                           json_t *request)
{
    struct ask *a = ask_own(d);

    if (!a)
        return NULL;
    a->call = call;
    a->command = c;
    a->request = request;
    d->asks_n++;
    core_call_accept(call, &call_ops, a, 0);
    return a;
}

static const struct command *find(struct slice method)
{
    for (const struct command *c = admin_commands; c->name; c++)
        if (slice_eq(slice_str(c->name), method))
            return c;
    return NULL;
}

static int refuse_unknown(struct refusal *why, struct slice method)
{
    char known[200] = "";
    size_t n = 0;

    for (const struct command *c = admin_commands; c->name && n < sizeof known; c++)
        n += (size_t)snprintf(known + n, sizeof known - n, "%s%s", n ? ", " : "", c->name);
    return refuse_call(why, -EINVAL, REASON_NOT_FOUND, "no command \"%.*s\"; there are %s",
                       (int)(method.n < 40 ? method.n : 40), (const char *)method.p, known);
}

int ask_open(struct desk *d, struct call *call, const struct call_request *r, struct refusal *why)
{
    const struct command *c = find(r->method);
    json_t *request;
    struct ask *a;

    if (r->model != CALL_RESPONSE && r->model != CALL_STREAM)
        return refuse_call(why, -EINVAL, REASON_INVALID,
                           "admin takes request-response and request-stream");
    if (!c)
        return refuse_unknown(why, r->method);
    if (d->asks_n >= ASKS_MAX)
        return refuse_call(why, -EMFILE, REASON_LIMIT, "%d admin calls are under way already",
                           ASKS_MAX);
    request = request_parse(c, r->first.data, why);
    if (!request)
        return -EINVAL;
    a = ask_new(d, call, c, request);
    if (!a) {
        json_decref(request);
        return refuse_call(why, -ENOMEM, REASON_MEMORY, "no memory for the call");
    }
    c->open(a, d);
    return 0;
}

/* ---------------------------------------------------------------------------------- answering */

/* The call ends with both of these: on_closed() says so. */
void ask_refused(struct ask *a, struct desk *d)
{
    (void)d;
    if (a->call)
        core_call_refuse(a->call, &a->why, false);
    ask_free(a);
}

void ask_answer(struct ask *a, struct desk *d)
{
    char *text = a->call ? json_dumps(a->answer, ADMIN_JSON) : NULL;

    if (a->call && !text) {
        ask_refuse(a, REASON_MEMORY, "no memory for the answer");
        ask_refused(a, d);
        return;
    }
    ask_answer_with(a, &(struct call_payload){.data = slice_str(text ? text : ""),
                                              .type = {.id = CONTENT_JSON}});
    free(text);
}

void ask_answer_with(struct ask *a, const struct call_payload *p)
{
    if (a->call)
        (void)core_call_next(a->call, p, true);
    ask_free(a);
}

/* ---------------------------------------------------------------------------------- travelling */

static struct desk *desk_of(const struct ask *a, const struct worker *w)
{
    return &a->home->admin->desk[worker_id(w)];
}

/* Go on as `fn` on worker `to`; what cannot for want of memory is tried again next turn. */
static void hop(struct ask *a, struct desk *from, unsigned to, worker_fn *fn)
{
    a->cursor = a->again ? a->cursor : 0;
    a->again = false;
    if (worker_call(from->worker, to, fn, a) == 0)
        return;
    a->stranded_to = to;
    a->stranded_fn = fn;
    list_push_back(&from->stranded, &a->stranded);
}

void ask_resume_stranded(struct desk *d)
{
    const struct list_node *last = list_last(&d->stranded);
    struct list_node *n;

    while (last && (n = list_pop(&d->stranded)) != NULL) {
        struct ask *a = LIST_ITEM(n, struct ask, stranded);

        if (worker_call(d->worker, a->stranded_to, a->stranded_fn, a) < 0)
            list_push_back(&d->stranded, n);
        if (n == last)
            break;
    }
}

static void arrive_home(void *arg, struct worker *w)
{
    struct ask *a = arg;

    if (a->why.reason != REASON_NONE)
        ask_refused(a, desk_of(a, w));
    else
        a->then(a, desk_of(a, w));
}

static void arrive(void *arg, struct worker *w);

void ask_leave(struct ask *a, struct desk *d)
{
    unsigned home = (unsigned)(a->home - a->home->admin->desk);

    if (a->why.reason != REASON_NONE)
        hop(a, d, home, arrive_home);
    else if (a->again)
        hop(a, d, a->at, arrive);
    else if (a->at < a->last)
        hop(a, d, ++a->at, arrive);
    else
        hop(a, d, home, arrive_home);
}

static void arrive(void *arg, struct worker *w)
{
    struct ask *a = arg;
    struct desk *d = desk_of(a, w);

    a->visit(a, d);
    if (!a->stays)
        ask_leave(a, d);
}

static void set_out(struct ask *a, struct desk *from, unsigned first, unsigned last)
{
    a->again = a->stays = false;
    a->at = first;
    a->last = last;
    hop(a, from, first, arrive);
}

void ask_visit(struct ask *a, struct desk *from, unsigned worker, ask_fn *visit, ask_fn *then)
{
    a->visit = visit;
    a->then = then;
    set_out(a, from, worker, worker);
}

void ask_visit_all(struct ask *a, struct desk *from, ask_fn *visit, ask_fn *then)
{
    a->visit = visit;
    a->then = then;
    set_out(a, from, 0, from->admin->o.workers - 1);
}
