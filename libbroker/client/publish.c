/* Messages published one by one: forgotten, or confirmed each. */
#include <string.h>

#include "libbroker/client/request.h"

/* Check, and build the metadata in b->scratch: the route, and what goes with the message. */
static int begin(broker *b, const char *topic, size_t len, const struct broker_publish_options *o)
{
    bool to_queue = o && o->to_queue;
    int r = cl_check_open(b);

    if (r != BROKER_OK)
        return r;
    if (!topic)
        return cl_fail(b, BROKER_INVALID, "no topic given");
    if (len > b->opt.o.max_message)
        return cl_fail(b, BROKER_TOO_LARGE, "%zu bytes are more than max_message", len);
    r = cl_check_topic(b, slice_str(topic), to_queue);
    if (r != BROKER_OK)
        return r;
    cl_meta_begin(b);
    r = cl_meta_route(b, to_queue ? "send/" : "publish/", slice_str(topic));
    return r == BROKER_OK ? cl_meta_publish(b, o) : r;
}

static int forget(broker *b, struct slice data)
{
    struct cl_link *l = &b->link;
    uint32_t id;

    if (l->state != CL_LINK_OPEN || l->lost)
        return cl_fail(b, BROKER_DISCONNECTED, "there is no connection");
    if (!cl_ctl_has_room(b, data.n))
        return cl_fail(b, BROKER_NO_CREDIT, "%zu bytes wait to be written", l->ctl.pending);
    id = cl_stream_id(b);
    if (id == 0)
        return cl_fail(b, BROKER_NO_CREDIT, "no stream is free");
    return cl_send_request(b, RS_REQUEST_FNF, id, 0, cl_meta(b), data);
}

int broker_publish(broker *b, const char *topic, const void *data, size_t len,
                   const struct broker_publish_options *o)
{
    int r;

    cl_lock(b);
    r = begin(b, topic, len, o);
    if (r == BROKER_OK)
        r = forget(b, slice_of(data, len));
    cl_unlock(b);
    return r;
}

int broker_publish_wait(broker *b, const char *topic, const void *data, size_t len,
                        const struct broker_publish_options *o, int timeout_ms,
                        struct broker_receipt *ret_receipt)
{
    struct cl_waiter w = {.done = false};
    int r;

    cl_lock(b);
    r = begin(b, topic, len, o);
    if (r == BROKER_OK)
        r = cl_request_wait(b, true, slice_of(data, len), timeout_ms, &w);
    cl_unlock(b);
    if (ret_receipt) {
        *ret_receipt = w.receipt;
        ret_receipt->status = r;
        ret_receipt->text = broker_errmsg(b);
    }
    return r;
}

int broker_publish_async(broker *b, const char *topic, const void *data, size_t len,
                         const struct broker_publish_options *o, int timeout_ms,
                         broker_receipt_fn *fn, void *user)
{
    struct cl_teller teller = {.receipt = fn, .user = user};
    int r;

    cl_lock(b);
    r = begin(b, topic, len, o);
    if (r == BROKER_OK)
        r = cl_request_new(b, true, slice_of(data, len), timeout_ms, &teller);
    cl_unlock(b);
    return r;
}
