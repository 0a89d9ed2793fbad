/* Webhooks: what there is, and changing it. What each call means is the affair of the room that
 * delivers; here is only the way there and back. */
#include "brokerd/admin/internal.h"

#include <stdlib.h>

enum { SECRET_MAX = 64 };

static const struct admin_webhooks *hooks_of(const struct desk *d)
{
    return d->admin->o.hooks;
}

/* Visit the worker that the webhook lives on. */
static void visit_home(struct ask *a, struct desk *d, ask_fn *visit, ask_fn *then)
{
    const struct admin_options *o = &d->admin->o;

    if (o->hooks) {
        ask_visit(a, d, o->hooks->home(o->webhooks, request_text(a, "webhook")), visit, then);
        return;
    }
    ask_refuse(a, REASON_NOT_FOUND, "no webhook \"%.80s\"", request_text(a, "webhook"));
    ask_refused(a, d);
}

/* ---------------------------------------------------------------------------------------- looks */

/* How much is in the queue that `key` names, if it lives here: as `depth`. */
static void add_depth(json_t *webhook, const struct desk *d, const char *key, const char *depth)
{
    const char *name = json_string_value(json_object_get(webhook, key));
    uint64_t id = name ? inspect_find_queue(d->core, slice_str(name)) : 0;
    struct inspect_queue q;

    if (id && inspect_queue(d->core, id, &q))
        json_object_set_new(webhook, depth, json_number(q.depth + q.unacked));
}

static void add_depths(json_t *webhook, const struct desk *d)
{
    add_depth(webhook, d, "queue", "depth");
    add_depth(webhook, d, "dead_queue", "dead_depth");
}

void hooks_add(json_t *list, const struct desk *d)
{
    const struct admin_options *o = &d->admin->o;
    json_t *webhook;
    size_t i;

    if (o->hooks)
        o->hooks->list(o->webhooks, worker_id(d->worker), list);
    json_array_foreach(list, i, webhook)
    {
        add_depths(webhook, d);
    }
}

static void visit_ls(struct ask *a, struct desk *d)
{
    hooks_add(json_object_get(a->answer, "webhooks"), d);
}

/* A queue of one's may live on a worker visited before it. */
static void visit_depths(struct ask *a, struct desk *d)
{
    json_t *webhook;
    size_t i;

    json_array_foreach(json_object_get(a->answer, "webhooks"), i, webhook)
    {
        add_depths(webhook, d);
    }
}

static void then_depths(struct ask *a, struct desk *d)
{
    ask_visit_all(a, d, visit_depths, ask_answer);
}

void cmd_webhook_ls(struct ask *a, struct desk *d)
{
    json_object_set_new(a->answer, "webhooks", json_array());
    ask_visit_all(a, d, visit_ls, then_depths);
}

static void visit_info_depths(struct ask *a, struct desk *d)
{
    add_depths(a->answer, d);
}

static void then_info(struct ask *a, struct desk *d)
{
    ask_visit_all(a, d, visit_info_depths, ask_answer);
}

/* The webhook as it is now, into the answer. */
static void tell_info(struct ask *a, struct desk *d)
{
    json_t *info = hooks_of(d)->info(d->admin->o.webhooks, request_text(a, "webhook"));

    if (!info)
        ask_refuse(a, REASON_NOT_FOUND, "no webhook \"%.80s\"", request_text(a, "webhook"));
    json_object_update(a->answer, info);
    json_decref(info);
}

void cmd_webhook_info(struct ask *a, struct desk *d)
{
    visit_home(a, d, tell_info, then_info);
}

/* -------------------------------------------------------------------------------------- changes */

static void visit_add(struct ask *a, struct desk *d)
{
    const struct admin_options *o = &d->admin->o;
    const json_t *settings = json_object_get(a->request, "settings");
    char secret[SECRET_MAX] = "";

    if (o->hooks->add(o->webhooks, request_text(a, "webhook"), settings, request_flag(a, "replace"),
                      request_flag(a, "rotate"), secret, &a->why) < 0)
        return;
    if (*secret)
        json_object_set_new(a->answer, "secret", json_string(secret));
    explicit_bzero(secret, sizeof secret);
    tell_info(a, d);
}

void cmd_webhook_add(struct ask *a, struct desk *d)
{
    visit_home(a, d, visit_add, then_info);
}

static void visit_rm(struct ask *a, struct desk *d)
{
    const struct admin_options *o = &d->admin->o;
    const char *name = request_text(a, "webhook");

    tell_info(a, d);
    add_depths(a->answer, d);
    if (a->why.reason == REASON_NONE)
        (void)o->hooks->remove(o->webhooks, name, &a->why);
}

void cmd_webhook_rm(struct ask *a, struct desk *d)
{
    visit_home(a, d, visit_rm, ask_answer);
}

static void switch_it(struct ask *a, struct desk *d, bool on)
{
    const struct admin_options *o = &d->admin->o;

    if (o->hooks->enable(o->webhooks, request_text(a, "webhook"), on, &a->why) == 0)
        tell_info(a, d);
}

static void visit_enable(struct ask *a, struct desk *d)
{
    switch_it(a, d, true);
}

static void visit_disable(struct ask *a, struct desk *d)
{
    switch_it(a, d, false);
}

void cmd_webhook_enable(struct ask *a, struct desk *d)
{
    visit_home(a, d, visit_enable, then_info);
}

void cmd_webhook_disable(struct ask *a, struct desk *d)
{
    visit_home(a, d, visit_disable, then_info);
}

/* ---------------------------------------------------------------------------------------- replay
 */

/* What was given up goes back to where it came from, as any queue's messages are moved. */
static void then_replay(struct ask *a, struct desk *d)
{
    json_t *queue = json_incref(json_object_get(a->answer, "queue"));
    json_t *dead = json_incref(json_object_get(a->answer, "dead_queue"));

    json_object_clear(a->answer);
    json_object_set_new(a->request, "queue", dead);
    json_object_set_new(a->request, "to", queue);
    cmd_queue_move(a, d);
}

void cmd_webhook_replay(struct ask *a, struct desk *d)
{
    visit_home(a, d, tell_info, then_replay);
}

/* ------------------------------------------------------------------------------------------ test
 */

struct testing {
    struct ask *ask;
    struct desk *desk; /* where it waits */
};

static void on_tested(void *ctx, json_t *told)
{
    struct testing *t = ctx;
    struct ask *a = t->ask;

    if (told)
        json_object_update(a->answer, told);
    else
        ask_refuse(a, REASON_NOT_FOUND, "webhook \"%.80s\" was removed meanwhile",
                   request_text(a, "webhook"));
    json_decref(told);
    ask_leave(a, t->desk);
}

static void visit_test(struct ask *a, struct desk *d)
{
    const struct admin_options *o = &d->admin->o;
    struct testing *t = malloc(sizeof *t);

    if (!t) {
        ask_refuse(a, REASON_MEMORY, "no memory for a test");
        return;
    }
    *t = (struct testing){a, d};
    a->data = t;
    a->free_data = free;
    if (o->hooks->test(o->webhooks, request_text(a, "webhook"), on_tested, t, &a->why) == 0)
        a->stays = true;
}

void cmd_webhook_test(struct ask *a, struct desk *d)
{
    visit_home(a, d, visit_test, ask_answer);
}
