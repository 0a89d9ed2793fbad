#include "brokerd/admin/admin.h"

#include "brokerd/admin/internal.h"
#include "brokerd/admin/stats.h"

#include <errno.h>
#include <stdlib.h>
#include <time.h>

/* Of all lists that may be long. */
/* clang-format off */
#define PAGED {"limit", FIELD_COUNT, false}, {"after", FIELD_TEXT, false}
/* clang-format on */

const struct command admin_commands[] = {
    {"info", NULL, cmd_info},
    {"top", (const struct field[]){{"limit", FIELD_COUNT, false}, {0}}, cmd_top},
    {"config", NULL, cmd_config},
    {"stores", NULL, cmd_stores},
    {"store-snapshot", NULL, cmd_store_snapshot},
    {"store-release", NULL, cmd_store_release},
    {"reload", NULL, cmd_reload},
    {"drain", NULL, cmd_drain},
    {"ready", NULL, cmd_ready},
    {"metrics", NULL, cmd_metrics},
    {"trace", (const struct field[]){{"topic", FIELD_TEXT, true}, {"id", FIELD_TEXT, false}, {0}},
     cmd_trace},
    {"connections", (const struct field[]){{"client", FIELD_TEXT, false}, PAGED, {0}},
     cmd_connections},
    {"connection", (const struct field[]){{"connection", FIELD_TEXT, true}, {0}}, cmd_connection},
    {"kill", (const struct field[]){{"connection", FIELD_TEXT, true}, {0}}, cmd_kill},
    {"consumers",
     (const struct field[]){
         {"queue", FIELD_TEXT, false}, {"client", FIELD_TEXT, false}, PAGED, {0}},
     cmd_consumers},
    {"subscriptions",
     (const struct field[]){
         {"filter", FIELD_TEXT, false}, {"client", FIELD_TEXT, false}, PAGED, {0}},
     cmd_subscriptions},
    {"services", (const struct field[]){{"filter", FIELD_TEXT, false}, PAGED, {0}}, cmd_services},
    {"route", (const struct field[]){{"topic", FIELD_TEXT, true}, {0}}, cmd_route},
    {"why", (const struct field[]){{"what", FIELD_TEXT, true}, {0}}, cmd_why},
    {"queue-ls",
     (const struct field[]){{"filter", FIELD_TEXT, false}, {"all", FIELD_FLAG, false}, PAGED, {0}},
     cmd_queue_ls},
    {"queue-add",
     (const struct field[]){{"queue", FIELD_TEXT, true},
                            {"bind", FIELD_TEXTS, false},
                            {"settings", FIELD_SETTINGS, false},
                            {0}},
     cmd_queue_add},
    {"queue-info", (const struct field[]){{"queue", FIELD_TEXT, true}, {0}}, cmd_queue_info},
    {"queue-peek",
     (const struct field[]){{"queue", FIELD_TEXT, true},
                            {"count", FIELD_COUNT, false},
                            {"bytes", FIELD_COUNT, false},
                            {0}},
     cmd_queue_peek},
    {"queue-purge", (const struct field[]){{"queue", FIELD_TEXT, true}, {0}}, cmd_queue_purge},
    {"queue-move",
     (const struct field[]){
         {"queue", FIELD_TEXT, true}, {"to", FIELD_TEXT, true}, {"count", FIELD_COUNT, false}, {0}},
     cmd_queue_move},
    {"queue-rm",
     (const struct field[]){{"queue", FIELD_TEXT, true},
                            {"if_empty", FIELD_FLAG, false},
                            {"if_unused", FIELD_FLAG, false},
                            {0}},
     cmd_queue_rm},
    {"webhook-ls", NULL, cmd_webhook_ls},
    {"webhook-info", (const struct field[]){{"webhook", FIELD_TEXT, true}, {0}}, cmd_webhook_info},
    {"webhook-add",
     (const struct field[]){{"webhook", FIELD_TEXT, true},
                            {"settings", FIELD_LISTS, false},
                            {"replace", FIELD_FLAG, false},
                            {"rotate", FIELD_FLAG, false},
                            {0}},
     cmd_webhook_add},
    {"webhook-rm", (const struct field[]){{"webhook", FIELD_TEXT, true}, {0}}, cmd_webhook_rm},
    {"webhook-test", (const struct field[]){{"webhook", FIELD_TEXT, true}, {0}}, cmd_webhook_test},
    {"webhook-enable", (const struct field[]){{"webhook", FIELD_TEXT, true}, {0}},
     cmd_webhook_enable},
    {"webhook-disable", (const struct field[]){{"webhook", FIELD_TEXT, true}, {0}},
     cmd_webhook_disable},
    {"webhook-replay",
     (const struct field[]){{"webhook", FIELD_TEXT, true}, {"count", FIELD_COUNT, false}, {0}},
     cmd_webhook_replay},
    {"page", (const struct field[]){{"path", FIELD_TEXT, false}, {0}}, cmd_page},
    {NULL, NULL, NULL},
};

#undef PAGED

/* ------------------------------------------------------------------------------- the turn */

void desk_add_job(struct desk *d, struct job *j)
{
    j->link = (struct list_node){0};
    list_push_back(&d->jobs, &j->link);
}

/* Each job there is now, once: a step may begin others. True if one did something. */
static bool do_jobs(struct desk *d)
{
    const struct list_node *last = list_last(&d->jobs);
    struct list_node *n;
    bool any = false;

    while (last && (n = list_pop(&d->jobs)) != NULL) {
        struct job *j = LIST_ITEM(n, struct job, link);
        bool was_last = n == last;
        enum job_state state = j->step(j);

        any |= state != JOB_WAITS;
        if (state != JOB_OVER)
            list_push_back(&d->jobs, n);
        if (was_last)
            break;
    }
    return any;
}

/* After the core's tick: what it has told us by now is published, and jobs go on with it. */
static bool on_output(void *ctx)
{
    struct desk *d = ctx;
    bool any = do_jobs(d);

    if (worker_id(d->worker) == 0)
        (void)stats_turn(d);
    return events_publish(d) || any;
}

static int64_t on_release(void *ctx)
{
    struct desk *d = ctx;
    int64_t due = worker_id(d->worker) == 0 ? d->stats.due_ms : INT64_MAX;

    if (!list_empty(&d->stranded)) {
        ask_resume_stranded(d);
        return worker_now(d->worker) + 10;
    }
    if (!list_empty(&d->jobs))
        return worker_now(d->worker) + 5;
    return list_empty(&d->events) ? due : 0;
}

static const struct worker_hook hook = {.output = on_output, .release = on_release};

/* -------------------------------------------------------------------------------- service */

static int on_open(void *ctx, struct call *call, const struct call_request *r, struct refusal *why)
{
    return ask_open(ctx, call, r, why);
}

static const struct server_ops server = {.open = on_open};

/* Events are published without waiting for an answer: of these two nothing is ever called. */
static void on_settled(void *ctx, uint64_t upto, const struct outcome *o, size_t n)
{
    (void)ctx;
    (void)upto;
    (void)o;
    (void)n;
}

/* ----------------------------------------------------------------------------------- life */

static int64_t clock_ms(clockid_t id)
{
    struct timespec ts;

    clock_gettime(id, &ts);
    return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

int admin_new(const struct admin_options *o, struct admin **ret)
{
    struct admin *a = calloc(1, sizeof *a + o->workers * sizeof a->desk[0]);

    if (!a)
        return -ENOMEM;
    a->o = *o;
    atomic_init(&a->metrics_queues, METRICS_QUEUES);
    a->started_ms = clock_ms(CLOCK_MONOTONIC);
    a->started_wall_ms = clock_ms(CLOCK_REALTIME);
    for (unsigned i = 0; i < o->workers; i++) {
        struct desk *d = &a->desk[i];

        d->admin = a;
        list_init(&d->asks);
        list_init(&d->stranded);
        list_init(&d->jobs);
        list_init(&d->events);
        stats_init(d);
        for (unsigned k = 0; k < EVENT_KINDS; k++)
            d->limits[k] = (struct log_limit){.burst = 5, .per_ms = 1000};
    }
    *ret = a;
    return 0;
}

static int desk_start(struct desk *d, struct worker *w)
{
    static const struct endpoint_desc desc = {.name = "$SYS", .is_broker = true};
    static const struct endpoint_ops ops = {.door = "admin", .settled = on_settled};
    int r;

    d->worker = w;
    d->core = worker_core(w);
    r = core_endpoint_open(d->core, &desc, &ops, d, &d->ep);
    if (r == 0)
        r = core_publisher_open(d->ep, PUBLISH_FORGET, d, &d->publisher);
    if (r == 0)
        r = core_serve_own(d->core, "admin", &server, d);
    if (r == 0)
        r = worker_add_hook(w, &hook, d);
    return r;
}

int admin_start(struct admin *a, struct workers *ws)
{
    int r = 0;

    a->workers = ws;
    for (unsigned i = 0; i < a->o.workers && r == 0; i++)
        r = desk_start(&a->desk[i], workers_get(ws, i));
    return r;
}

void admin_set_placement(struct admin *a, enum placement placement)
{
    atomic_store(&a->placement, placement);
}

static void desk_fini(struct desk *d)
{
    struct list_node *n;

    while ((n = list_pop(&d->jobs)) != NULL) {
        struct job *j = LIST_ITEM(n, struct job, link);

        j->free(j);
    }
    while ((n = list_first(&d->asks)) != NULL)
        ask_free(LIST_ITEM(n, struct ask, link));
    events_free(d);
    core_endpoint_close(d->ep);
}

void admin_free(struct admin *a)
{
    if (!a)
        return;
    for (unsigned i = 0; i < a->o.workers; i++)
        desk_fini(&a->desk[i]);
    free(a);
}
