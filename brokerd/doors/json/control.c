#include "brokerd/doors/json/control.h"

#include "brokerd/doors/json/calls.h"
#include "brokerd/doors/json/consume.h"
#include "brokerd/doors/json/publish.h"

#include <errno.h>

/* A message being carried out. */
struct control {
    struct jpeer *c;
    struct jask *a;
    struct block *block;
    struct refusal *why;
};

static int on_subscribe(const struct control *m)
{
    return jsub_subscribe(m->c, m->a, m->why);
}

static int on_consume(const struct control *m)
{
    return jsub_consume(m->c, m->a, m->why);
}

static int on_unsubscribe(const struct control *m)
{
    return jsub_unsubscribe(m->c, m->a, m->why);
}

static bool names_call(const struct control *m)
{
    return json_object_get(m->a->members, "request") || json_object_get(m->a->members, "call");
}

static int on_credit(const struct control *m)
{
    if (names_call(m))
        return jcall_credit(m->c, m->a, m->why);
    return jsub_credit(m->c, m->a, m->why);
}

static int on_ack(const struct control *m)
{
    return jsub_settle(m->c, m->a, ACK_DONE, m->why);
}

static int on_nack(const struct control *m)
{
    return jsub_settle(m->c, m->a, ACK_NACK, m->why);
}

static int on_reject(const struct control *m)
{
    return jsub_settle(m->c, m->a, ACK_REJECT, m->why);
}

static int on_extend(const struct control *m)
{
    return jsub_settle(m->c, m->a, ACK_EXTEND, m->why);
}

static int on_publish(const struct control *m)
{
    return jpublish(m->c, m->a, m->block, m->why);
}

static int on_request(const struct control *m)
{
    return jcall_request(m->c, m->a, m->block, m->why);
}

static int on_cancel(const struct control *m)
{
    return jcall_cancel(m->c, m->a, m->why);
}

static int on_serve(const struct control *m)
{
    return jcall_serve(m->c, m->a, m->why);
}

static int on_unserve(const struct control *m)
{
    return jcall_unserve(m->c, m->a, m->why);
}

static int on_reply(const struct control *m)
{
    return jcall_reply(m->c, m->a, m->block, m->why);
}

static int on_error(const struct control *m)
{
    return jcall_error(m->c, m->a, m->why);
}

static const struct {
    const char *id;
    bool asks_anew; /* refused while the broker drains */
    int (*carry_out)(const struct control *m);
} controls[] = {
    {"$publish", true, on_publish},  {"$subscribe", true, on_subscribe},
    {"$consume", true, on_consume},  {"$unsubscribe", false, on_unsubscribe},
    {"$credit", false, on_credit},   {"$ack", false, on_ack},
    {"$nack", false, on_nack},       {"$reject", false, on_reject},
    {"$extend", false, on_extend},   {"$request", true, on_request},
    {"$cancel", false, on_cancel},   {"$serve", true, on_serve},
    {"$unserve", false, on_unserve}, {"$reply", false, on_reply},
    {"$error", false, on_error},
};

enum { CONTROLS = sizeof controls / sizeof controls[0] };

static void refuse_unknown(struct jpeer *c, struct slice id)
{
    struct jabout about = {.line = 0};
    struct refusal why;
    char buf[32];

    refuse(&why, REASON_INVALID,
           "no message %s; there are $subscribe, $consume, $unsubscribe, $credit, $ack, $nack, "
           "$reject, $extend, $publish, $request, $cancel, $serve, $unserve, $reply, $error, "
           "$keepalive",
           shown(id, buf, sizeof buf));
    jpeer_wrong(c, &why, &about);
}

bool jcontrol(struct jpeer *c, struct slice id, const struct json_message *m, struct block *block)
{
    struct refusal why;
    struct jask a;
    size_t i = 0;
    int r;

    if (slice_eq(id, SLICE("$keepalive"))) {
        c->lives = true;
        return true;
    }
    while (i < CONTROLS && !slice_eq(id, slice_str(controls[i].id)))
        i++;
    if (i == CONTROLS) {
        refuse_unknown(c, id);
        return false;
    }
    r = jask_load(&a, m->data, &why);
    if (r == 0 && c->draining && controls[i].asks_anew) {
        refuse(&why, REASON_DRAINING, "the broker is about to stop");
        r = -EPIPE;
    }
    if (r == 0)
        r = controls[i].carry_out(&(struct control){c, &a, block, &why});
    if (r < 0)
        jpeer_wrong(c, &why, &a.about);
    jask_free(&a);
    return r == 0;
}
