/* What only main can do: tell the settings, read them again, drain.
 *
 * An order goes to main by a list without a lock, and main marks it when it is done; a job at home
 * sees that in one of its next turns. While it is main's, its ask belongs to main's thread. */
#include "brokerd/admin/internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct order {
    struct order *next; /* in admin->orders */
    struct job job;
    struct ask *ask;
    struct desk *desk;
    void (*carry_out)(struct order *o);
    unsigned mistakes;
    atomic_bool done;
};

/* ------------------------------------------------------------------------------ home and back */

static struct order *order_of(struct job *j)
{
    return LIST_ITEM(j, struct order, job);
}

static void free_order(struct job *j)
{
    free(order_of(j));
}

static enum job_state step(struct job *j)
{
    struct order *o = order_of(j);
    struct ask *a = o->ask;

    if (!atomic_load(&o->done))
        return JOB_WAITS;
    if (a->why.reason != REASON_NONE)
        ask_refused(a, o->desk);
    else
        ask_answer(a, o->desk);
    free(o);
    return JOB_OVER;
}

static bool main_is_there(struct ask *a, struct desk *d)
{
    if (d->admin->o.main)
        return true;
    ask_refuse(a, REASON_NOT_FOUND, "nobody is there to do that");
    ask_refused(a, d);
    return false;
}

static void give_order(struct ask *a, struct desk *d, void (*carry_out)(struct order *o))
{
    struct admin *admin = d->admin;
    struct order *o;

    if (!main_is_there(a, d))
        return;
    o = calloc(1, sizeof *o);
    if (!o) {
        ask_refuse(a, REASON_MEMORY, "no memory for the order");
        ask_refused(a, d);
        return;
    }
    o->job = (struct job){.step = step, .free = free_order};
    o->ask = a;
    o->desk = d;
    o->carry_out = carry_out;
    atomic_init(&o->done, false);
    desk_add_job(d, &o->job);
    o->next = atomic_load(&admin->orders);
    while (!atomic_compare_exchange_weak(&admin->orders, &o->next, o))
        ;
    admin->o.main->wake(admin->o.main_ctx);
}

void admin_orders(struct admin *a)
{
    struct order *o = atomic_exchange(&a->orders, NULL), *first = NULL, *next;

    for (; o; o = next) { /* the first one asked comes first */
        next = o->next;
        o->next = first;
        first = o;
    }
    for (o = first; o; o = next) {
        next = o->next;
        o->carry_out(o);
        atomic_store(&o->done, true); /* it may be gone now */
    }
    if (atomic_exchange(&a->drain_wanted, false))
        a->o.main->drain(a->o.main_ctx);
}

/* ------------------------------------------------------------------------------ what is told */

/* Those of a section with a title are gathered in one object of `sections`. */
static json_t *section_of(json_t *sections, const struct admin_setting *s)
{
    json_t *last = json_array_get(sections, json_array_size(sections) - 1);

    if (!last || strcmp(json_string_value(json_object_get(last, "section")), s->section) != 0 ||
        strcmp(json_string_value(json_object_get(last, "title")), s->title) != 0) {
        last = json_object();
        json_object_set_new(last, "section", json_text(s->section));
        json_object_set_new(last, "title", json_text(s->title));
        json_object_set_new(last, "settings", json_object());
        json_array_append_new(sections, last);
    }
    return json_object_get(last, "settings");
}

static void tell_titled(json_t *sections, const struct admin_setting *s)
{
    json_t *to = section_of(sections, s), *list = json_object_get(to, s->key);

    if (!s->is_list) {
        json_object_set_new(to, s->key, json_text(s->value));
        return;
    }
    if (!list) {
        list = json_array();
        json_object_set_new(to, s->key, list);
    }
    if (s->value)
        json_array_append_new(list, json_text(s->value));
}

static void on_setting(void *ctx, const struct admin_setting *s)
{
    const struct order *o = ctx;
    json_t *one;

    if (s->title) {
        tell_titled(json_object_get(o->ask->answer, "sections"), s);
        return;
    }
    one = json_object();
    json_object_set_new(one, "section", json_text(s->section));
    json_object_set_new(one, "key", json_text(s->key));
    json_object_set_new(one, "value", json_text(s->value));
    json_object_set_new(one, "default", json_text(s->fallback));
    json_object_set_new(one, "restart", json_boolean(s->restart));
    json_array_append_new(json_object_get(o->ask->answer, "settings"), one);
}

static void on_change(void *ctx, const struct admin_change *c)
{
    const struct order *o = ctx;
    json_t *one = json_object();

    json_object_set_new(one, "what", json_text(c->what));
    json_object_set_new(one, "before", json_text(c->before));
    json_object_set_new(one, "after", json_text(c->after));
    json_object_set_new(one, "restart", json_boolean(c->restart));
    json_array_append_new(json_object_get(o->ask->answer, "changes"), one);
}

static void on_mistake(void *ctx, const char *text)
{
    struct order *o = ctx;

    if (o->mistakes++ == 0)
        json_object_set_new(o->ask->answer, "mistake", json_text(text));
}

static struct admin_listener listener_of(struct order *o)
{
    return (struct admin_listener){on_setting, on_change, on_mistake, o};
}

/* ------------------------------------------------------------------------------- the commands */

static void tell_settings(struct order *o)
{
    const struct admin_options *opt = &o->desk->admin->o;
    struct admin_listener to = listener_of(o);
    json_t *answer = o->ask->answer;
    const char *file;

    json_object_set_new(answer, "settings", json_array());
    json_object_set_new(answer, "sections", json_array());
    json_object_set_new(answer, "changes", json_array());
    file = opt->main->settings(opt->main_ctx, &to);
    json_object_set_new(answer, "file", file ? json_text(file) : json_null());
}

void cmd_config(struct ask *a, struct desk *d)
{
    give_order(a, d, tell_settings);
}

static void reload(struct order *o)
{
    const struct admin_options *opt = &o->desk->admin->o;
    struct admin_listener to = listener_of(o);
    struct ask *a = o->ask;
    const char *mistake;
    int r;

    json_object_set_new(a->answer, "changes", json_array());
    r = opt->main->reload(opt->main_ctx, &to);
    mistake = json_string_value(json_object_get(a->answer, "mistake"));
    if (r == -EPIPE)
        ask_refuse(a, REASON_DRAINING, "the broker is about to stop");
    else if (r < 0 && o->mistakes > 1)
        ask_refuse(a, REASON_INVALID, "%.160s (and %u mistakes more); the old settings stay",
                   mistake, o->mistakes - 1);
    else if (r < 0)
        ask_refuse(a, r == -EINVAL ? REASON_INVALID : REASON_MEMORY,
                   "%.180s; the old settings stay", mistake ? mistake : "the file cannot be read");
}

void cmd_reload(struct ask *a, struct desk *d)
{
    give_order(a, d, reload);
}

/* What is stored in files, put aside or not any more. */
static void snapshot(struct order *o, bool keep)
{
    const struct admin_options *opt = &o->desk->admin->o;
    struct ask *a = o->ask;
    char path[4096];
    int r = opt->main->snapshot(opt->main_ctx, keep, path, sizeof path);

    if (r == -ENOENT)
        ask_refuse(a, REASON_NOT_FOUND, "this broker keeps nothing in files: there is no journal");
    else if (r == -ETIMEDOUT)
        ask_refuse(a, REASON_STORE, "the journal's disk does not answer");
    else if (r == -ENOSPC)
        ask_refuse(a, REASON_FULL, "there is no room for another segment");
    else if (r < 0)
        ask_refuse(a, REASON_STORE, "%.180s: %s", path, strerror(-r));
    else
        json_object_set_new(a->answer, "path", json_text(path));
}

static void keep_snapshot(struct order *o)
{
    snapshot(o, true);
}

static void let_go(struct order *o)
{
    snapshot(o, false);
}

void cmd_store_snapshot(struct ask *a, struct desk *d)
{
    give_order(a, d, keep_snapshot);
}

void cmd_store_release(struct ask *a, struct desk *d)
{
    give_order(a, d, let_go);
}

/* Answered first: then its connection is among those that are sent away. */
void cmd_drain(struct ask *a, struct desk *d)
{
    struct admin *admin = d->admin;

    if (!main_is_there(a, d))
        return;
    json_object_set_new(a->answer, "draining", json_true());
    ask_answer(a, d);
    atomic_store(&admin->drain_wanted, true);
    admin->o.main->wake(admin->o.main_ctx);
}
