/* Where messages to a topic go: the queues that it reaches, with their consumers; and where one
 * message of that topic is now, by its id. Nothing is noted as messages pass: whoever wants to
 * follow one asks again and again. */
#include "brokerd/admin/internal.h"

#include <errno.h>
#include <stdlib.h>

enum { TRACE_QUEUES = 100, TRACE_CONSUMERS = 100 };

static bool add_consumer(void *ctx, const struct inspect_tap *t)
{
    json_t *list = ctx;

    if (!t->stopped)
        json_array_append_new(list, json_tap(t));
    return json_array_size(list) < TRACE_CONSUMERS;
}

static json_t *json_place(const struct desk *d, uint64_t queue, uint64_t id)
{
    struct inspect_place p;
    json_t *o = json_object();
    int r = inspect_find_message(d->core, queue, id, &p);

    if (r <= 0) {
        json_object_set_new(o, "state", json_string(r < 0 ? "unknown" : "gone"));
        return o;
    }
    json_object_set_new(o, "state", json_string(p.state));
    json_object_set_new(o, "seq", json_number(p.seq));
    json_object_set_new(o, "attempt", json_number(p.attempts));
    if (p.consumer)
        json_object_set_new(o, "consumer", json_id('k', p.consumer));
    else if (strcmp(p.state, "delayed") != 0)
        json_object_set_new(o, "ahead", json_number(p.ahead));
    return o;
}

struct tracing {
    json_t *queues;
    const struct desk *desk;
    uint64_t message; /* 0: none */
};

static bool add_queue(void *ctx, const struct inspect_queue *q, struct slice filter)
{
    struct tracing *t = ctx;
    json_t *o, *consumers = json_array();

    if (json_array_size(t->queues) >= TRACE_QUEUES) {
        json_decref(consumers);
        return false;
    }
    o = json_queue(q);
    inspect_taps(t->desk->core, q->id, add_consumer, consumers);
    json_object_set_new(o, "filter", json_slice(filter));
    json_object_set_new(o, "consumer_list", consumers);
    if (t->message)
        json_object_set_new(o, "message", json_place(t->desk, q->id, t->message));
    json_array_append_new(t->queues, o);
    return true;
}

/* As a delivery has it (`$id`), or as admin tells it. 0: neither. */
static uint64_t message_id(const char *text)
{
    char *end;
    uint64_t id = id_parse('m', text);

    if (id)
        return id;
    errno = 0;
    id = strtoull(text, &end, 10);
    return errno || *end || *text < '0' || *text > '9' ? 0 : id;
}

static void visit_queues(struct ask *a, struct desk *d)
{
    const char *id = request_text(a, "id");
    struct tracing t = {json_object_get(a->answer, "queues"), d, id ? message_id(id) : 0};

    if (inspect_route(d->core, slice_str(request_text(a, "topic")), add_queue, &t) < 0)
        ask_refuse(a, REASON_MEMORY, "no memory to look it up");
}

static void visit_consumers(struct ask *a, struct desk *d)
{
    json_t *q, *k;
    size_t i, n;

    json_array_foreach(json_object_get(a->answer, "queues"), i, q)
    {
        json_array_foreach(json_object_get(q, "consumer_list"), n, k)
        {
            json_tap_complete(k, d);
        }
    }
}

static void then_consumers(struct ask *a, struct desk *d)
{
    json_object_set_new(a->answer, "now_ms", json_integer(worker_now(d->worker)));
    ask_visit_all(a, d, visit_consumers, ask_answer);
}

void cmd_trace(struct ask *a, struct desk *d)
{
    const char *topic = request_text(a, "topic"), *id = request_text(a, "id");
    const char *error = name_topic_error(slice_str(topic), NAME_OF_BROKER);

    if (error)
        ask_refuse(a, REASON_INVALID, "\"topic\": %s", error);
    else if (id && !message_id(id))
        ask_refuse(a, REASON_INVALID, "\"id\" must be the id of a message");
    if (a->why.reason != REASON_NONE) {
        ask_refused(a, d);
        return;
    }
    json_object_set_new(a->answer, "topic", json_text(topic));
    json_object_set_new(a->answer, "queues", json_array());
    ask_visit_all(a, d, visit_queues, then_consumers);
}
