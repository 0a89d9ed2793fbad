/* The broker as a whole: info, and where a topic leads. */
#include "brokerd/admin/internal.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

/* --------------------------------------------------------------------------------------- info */

static void visit_info(struct ask *a, struct desk *d)
{
    const struct admin_options *o = &d->admin->o;
    json_t *listen = json_object_get(a->answer, "listen");
    const char *url;

    sums_add(a->answer, a->data, d);
    if (worker_id(d->worker) != 0 || !o->net)
        return;
    for (size_t i = 0; (url = o->net->listener(o->net_ctx, i)) != NULL; i++)
        json_array_append_new(listen, json_text(url));
}

static void then_info(struct ask *a, struct desk *d)
{
    const struct inspect_totals *sum = a->data;
    const struct admin *admin = d->admin;
    char time[TIME_TEXT_MAX];
    bool spread = atomic_load(&d->admin->placement) == PLACEMENT_SPREAD;

    sums_tell(a->answer, sum, d);
    json_object_set_new(a->answer, "version", json_string(admin->o.version));
    json_object_set_new(a->answer, "pid", json_integer(getpid()));
    json_object_set_new(a->answer, "uptime_ms",
                        json_integer(worker_now(d->worker) - admin->started_ms));
    json_object_set_new(a->answer, "started", json_string(time_text(admin->started_wall_ms, time)));
    json_object_set_new(a->answer, "draining", json_boolean(sum->draining));
    json_object_set_new(a->answer, "placement", json_string(spread ? "spread" : "pack"));
    json_object_set_new(a->answer, "queues", json_number(sum->queues));
    json_object_set_new(a->answer, "subscriptions", json_number(sum->subscriptions));
    ask_answer(a, d);
}

void cmd_info(struct ask *a, struct desk *d)
{
    a->data = calloc(1, sizeof(struct inspect_totals));
    a->free_data = free;
    if (!a->data) {
        ask_refuse(a, REASON_MEMORY, "no memory to sum up");
        ask_refused(a, d);
        return;
    }
    sums_begin(a->answer);
    json_object_set_new(a->answer, "listen", json_array());
    ask_visit_all(a, d, visit_info, then_info);
}

/* -------------------------------------------------------------------------------------- ready */

/* Who drains refuses calls already, but one that is under way is told as well. */
static void visit_ready(struct ask *a, struct desk *d)
{
    struct inspect_totals t;

    inspect_totals(d->core, &t);
    if (t.draining)
        ask_refuse(a, REASON_DRAINING, "the broker is about to stop");
}

/* All workers have answered: none of them hangs. A store that is out of order is no reason not to
 * be ready: what it does not keep flows all the same. */
void cmd_ready(struct ask *a, struct desk *d)
{
    json_object_set_new(a->answer, "ready", json_true());
    json_object_set_new(a->answer, "workers", json_number(d->admin->o.workers));
    ask_visit_all(a, d, visit_ready, ask_answer);
}

/* ------------------------------------------------------------------------------------- stores */

static void visit_stores(struct ask *a, struct desk *d)
{
    stores_add(json_object_get(a->answer, "stores"), d);
}

static void then_stores(struct ask *a, struct desk *d)
{
    json_list_members(a->answer, "stores");
    ask_answer(a, d);
}

void cmd_stores(struct ask *a, struct desk *d)
{
    json_object_set_new(a->answer, "stores", json_object());
    ask_visit_all(a, d, visit_stores, then_stores);
}

/* -------------------------------------------------------------------------------------- route */

static bool add_route(void *ctx, const struct inspect_queue *q, struct slice filter)
{
    json_t *o = json_object();

    json_object_set_new(o, "id", json_id('q', q->id));
    json_object_set_new(o, "name", q->name ? json_text(q->name) : json_null());
    json_object_set_new(o, "filter", json_slice(filter));
    json_object_set_new(o, "worker", json_number(inspect_home(q->id)));
    if (*q->client)
        json_object_set_new(o, "client", json_text(q->client));
    json_array_append_new(ctx, o);
    return true;
}

static void visit_route(struct ask *a, struct desk *d)
{
    if (inspect_route(d->core, slice_str(request_text(a, "topic")), add_route,
                      json_object_get(a->answer, "queues")) < 0)
        ask_refuse(a, REASON_MEMORY, "no memory to look it up");
}

void cmd_route(struct ask *a, struct desk *d)
{
    const char *topic = request_text(a, "topic");
    const char *error = name_topic_error(slice_str(topic), NAME_OF_BROKER);

    if (error) {
        ask_refuse(a, REASON_INVALID, "\"topic\": %s", error);
        ask_refused(a, d);
        return;
    }
    json_object_set_new(a->answer, "topic", json_text(topic));
    json_object_set_new(a->answer, "queues", json_array());
    ask_visit_all(a, d, visit_route, ask_answer);
}
