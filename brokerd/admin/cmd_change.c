/* Making queues and moving messages: both go the way any client goes, and take some turns. */
#include "brokerd/admin/internal.h"
#include "libbroker/base/headers.h"

#include <errno.h>
#include <stdlib.h>

enum { BIND_MAX = 256 };

/* ---------------------------------------------------------------------------------------- add */

enum add_state { ADD_WAITS, ADD_READY, ADD_CLOSED };

/* A consumer that takes nothing and leaves as soon as its queue is there. It has an endpoint of
 * its own, whose callbacks only mark. */
struct add {
    struct job job;
    struct ask *ask;
    struct desk *desk;
    struct endpoint *ep;
    struct consumer *consumer;
    enum add_state state;
    struct refusal why;
};

static void on_ready(void *ctx)
{
    struct add *add = ctx;

    if (add->state == ADD_WAITS)
        add->state = ADD_READY;
}

static void on_closed(void *ctx, const struct refusal *why, uint64_t lost)
{
    struct add *add = ctx;

    (void)lost;
    add->state = ADD_CLOSED;
    add->why = *why;
}

static const struct endpoint_ops add_ops = {
    .door = "admin", .ready = on_ready, .closed = on_closed};

static void free_add(struct job *j)
{
    struct add *add = LIST_ITEM(j, struct add, job);

    core_endpoint_close(add->ep);
    free(add);
}

static enum job_state step_add(struct job *j)
{
    struct add *add = LIST_ITEM(j, struct add, job);
    struct ask *a = add->ask;
    struct desk *d = add->desk;

    if (add->state == ADD_WAITS)
        return JOB_WAITS;
    a->queue = inspect_find_queue(d->core, slice_str(request_text(a, "queue")));
    if (add->state == ADD_CLOSED)
        a->why = add->why;
    else if (!a->queue)
        ask_refuse(a, REASON_NOT_FOUND, "it has just been deleted");
    free_add(j);
    if (a->why.reason != REASON_NONE)
        ask_refused(a, d);
    else
        queue_tell(a, d, ask_answer);
    return JOB_OVER;
}

/* The bindings asked for. -1: refused. */
static int get_filters(struct ask *a, struct slice *filters)
{
    const json_t *bind = json_object_get(a->request, "bind");
    size_t n = json_array_size(bind);

    if (n > BIND_MAX) {
        ask_refuse(a, REASON_INVALID, "\"bind\" may have %d filters at once", BIND_MAX);
        return -1;
    }
    for (size_t i = 0; i < n; i++) {
        const char *error;

        filters[i] = slice_str(json_string_value(json_array_get(bind, i)));
        error = name_filter_error(filters[i]);
        if (error) {
            ask_refuse(a, REASON_INVALID, "\"bind\": %s", error);
            return -1;
        }
    }
    return (int)n;
}

static bool check_settings(struct ask *a, const json_t *settings, size_t *ret_size)
{
    const char *key;
    json_t *value;

    *ret_size = 0;
    json_object_foreach((json_t *)(uintptr_t)settings, key, value)
    {
        if (!policy_has_key(POLICY_QUEUE, slice_str(key))) {
            ask_refuse(a, REASON_INVALID, "a queue has no setting \"%.60s\"", key);
            return false;
        }
        if (json_string_length(value) > NAME_MAX_BYTES) {
            ask_refuse(a, REASON_INVALID, "\"%s\" is too long", key);
            return false;
        }
        *ret_size += headers_size(1 + strlen(key), json_string_length(value));
    }
    return true;
}

/* Settings travel as a client's would: as headers `$key`. NULL: refused, or there are none. */
static uint8_t *settings_as_headers(struct ask *a, size_t *ret_size)
{
    const json_t *settings = json_object_get(a->request, "settings");
    uint8_t *bytes, *p;
    const char *key;
    json_t *value;

    *ret_size = 0;
    if (!check_settings(a, settings, ret_size) || !*ret_size)
        return NULL;
    bytes = p = malloc(*ret_size);
    if (!bytes) {
        ask_refuse(a, REASON_MEMORY, "no memory for the settings");
        return NULL;
    }
    json_object_foreach((json_t *)(uintptr_t)settings, key, value)
    {
        char name[64];
        int n = snprintf(name, sizeof name, "$%s", key);

        p = headers_put(p, slice_of(name, (size_t)n), slice_str(json_string_value(value)));
    }
    return bytes;
}

/* Attach the consumer that has the queue made. -1: refused. */
static int attach(struct ask *a, struct desk *d, struct add *add)
{
    static const struct endpoint_desc desc = {.name = "queue-add", .is_broker = true};
    struct slice filters[BIND_MAX];
    struct consume_options o = {
        .queue = slice_str(request_text(a, "queue")), .filters = filters, .manual_ack = true};
    int n = get_filters(a, filters), r;
    size_t size;
    uint8_t *headers;

    if (n < 0)
        return -1;
    headers = settings_as_headers(a, &size);
    if (a->why.reason != REASON_NONE)
        return -1;
    o.filters_n = (unsigned)n;
    o.headers = slice_of(headers, size);
    r = core_endpoint_open(d->core, &desc, &add_ops, add, &add->ep);
    if (r == 0)
        r = core_attach(add->ep, &o, add, &add->consumer, &a->why);
    if (r == -ENOMEM)
        ask_refuse(a, REASON_MEMORY, "no memory to make the queue");
    free(headers);
    return r < 0 ? -1 : 0;
}

void cmd_queue_add(struct ask *a, struct desk *d)
{
    struct slice name = slice_str(request_text(a, "queue"));
    const char *error = name_queue_error(name, NAME_OF_CLIENT);
    bool made = !inspect_find_queue(d->core, name);
    struct add *add = error ? NULL : calloc(1, sizeof *add);

    if (add)
        *add = (struct add){.job = {.step = step_add, .free = free_add}, .ask = a, .desk = d};
    if (error)
        ask_refuse(a, REASON_INVALID, "\"queue\": %s", error);
    else if (!add)
        ask_refuse(a, REASON_MEMORY, "no memory to make the queue");
    if (!add || attach(a, d, add) < 0) {
        if (add)
            free_add(&add->job);
        ask_refused(a, d);
        return;
    }
    json_object_set_new(a->answer, "made", json_boolean(made));
    desk_add_job(d, &add->job);
}

/* --------------------------------------------------------------------------------------- move */

struct moving {
    struct job job;
    struct ask *ask;
    struct desk *desk;
    struct move *move;
};

static void free_moving(struct job *j)
{
    struct moving *m = LIST_ITEM(j, struct moving, job);

    core_move_close(m->move);
    free(m);
}

static enum job_state step_moving(struct job *j)
{
    struct moving *m = LIST_ITEM(j, struct moving, job);
    struct ask *a = m->ask;
    struct desk *d = m->desk;
    enum move_state state;
    enum reason why;
    uint64_t n;

    if (atomic_load(&a->gone))
        core_move_stop(m->move);
    state = core_move_step(m->move);
    if (state != MOVE_OVER)
        return state == MOVE_SENT ? JOB_WENT_ON : JOB_WAITS;
    n = core_move_done(m->move, &why);
    json_object_set_new(a->answer, "queue", json_text(request_text(a, "queue")));
    json_object_set_new(a->answer, "to", json_text(request_text(a, "to")));
    json_object_set_new(a->answer, "moved", json_number(n));
    if (why != REASON_NONE)
        json_object_set_new(a->answer, "reason", json_string(reason_name(why)));
    free_moving(j);
    ask_leave(a, d);
    return JOB_OVER;
}

static void visit_move(struct ask *a, struct desk *d)
{
    struct moving *m = calloc(1, sizeof *m);
    uint64_t n = request_count(a, "count", UINT64_MAX, UINT64_MAX);
    int r = m ? core_move_open(d->core, a->queue, slice_str(request_text(a, "to")), n, &m->move)
              : -ENOMEM;

    if (r == 0) {
        m->job = (struct job){.step = step_moving, .free = free_moving};
        m->ask = a;
        m->desk = d;
        a->stays = true;
        desk_add_job(d, &m->job);
        return;
    }
    free(m);
    if (r == -ENOENT)
        ask_refuse(a, REASON_NOT_FOUND, "no queue \"%s\"", request_text(a, "to"));
    else if (r == -EAGAIN)
        ask_refuse(a, REASON_STORE, "its store has not opened \"%s\" yet",
                   request_text(a, "queue"));
    else if (r == -EPIPE)
        ask_refuse(a, REASON_DRAINING, "the broker is about to stop");
    else
        ask_refuse(a, REASON_MEMORY, "no memory to move messages");
}

void cmd_queue_move(struct ask *a, struct desk *d)
{
    const char *name = request_text(a, "to");
    uint64_t to = inspect_find_queue(d->core, slice_str(name));

    a->queue = request_queue(a, d, "queue");
    if (a->queue && !to)
        ask_refuse(a, REASON_NOT_FOUND, "no queue \"%s\"", name);
    if (a->queue && a->queue == to)
        ask_refuse(a, REASON_INVALID, "\"queue\" and \"to\" are the same");
    if (a->why.reason != REASON_NONE)
        ask_refused(a, d);
    else
        ask_visit(a, d, inspect_home(a->queue), visit_move, ask_answer);
}
