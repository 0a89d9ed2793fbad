#include "brokerd/webhooks/slot.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

static void drop_bytes(struct slot *s)
{
    if (s->bytes_n)
        core_charge(s->hook->desk->core, -(int64_t)s->bytes_n);
    s->bytes_n = 0;
    free(s->bytes);
    s->bytes = NULL;
    block_unref(s->block);
    s->block = NULL;
}

void slots_begin(struct hook *h)
{
    list_init(&h->free);
    list_init(&h->fresh);
    list_init(&h->waiting);
    list_init(&h->flying);
}

static void drop_all(struct list *l)
{
    struct list_node *n;

    while ((n = list_pop(l)) != NULL) {
        struct slot *s = LIST_ITEM(n, struct slot, link);

        post_fini(&s->post);
        drop_bytes(s);
        free(s);
    }
}

void slots_give_up(struct hook *h)
{
    atomic_fetch_sub(&h->desk->wh->under_way, h->flying_n);
    drop_all(&h->free);
    drop_all(&h->fresh);
    drop_all(&h->waiting);
    drop_all(&h->flying);
    h->slots_n = h->waiting_n = h->flying_n = 0;
}

/* One that is free, in no list. NULL: no memory, or more than was granted. */
static struct slot *slot_new(struct hook *h)
{
    struct list_node *n = list_pop(&h->free);
    struct slot *s;

    if (n)
        return LIST_ITEM(n, struct slot, link);
    s = h->slots_n < h->spec->window ? calloc(1, sizeof *s) : NULL;
    if (s) {
        s->hook = h;
        h->slots_n++;
    }
    return s;
}

void slot_release(struct slot *s)
{
    drop_bytes(s);
    list_move_to_back(&s->hook->free, &s->link);
}

/* `what`, copied to *at; where it then is. */
static struct slice keep(uint8_t **at, struct slice what)
{
    struct slice copy = slice_of(*at, what.n);

    if (what.n)
        memcpy(*at, what.p, what.n);
    *at += what.n;
    return copy;
}

/* -ENOMEM. */
static int fill(struct slot *s, const struct delivery *d, const struct msg_view *v)
{
    struct slice topic = topic_slice(d->topic), data = slice_of(v->data, v->len);
    struct slice headers = v->meta ? v->meta->headers : slice_of(NULL, 0);
    bool refers = v->block && v->len > COPY_MAX;
    uint8_t *at;

    s->type = v->meta && v->meta->type.id != CTYPE_NONE ? v->meta->type : d->run.type;
    if (s->type.id != CTYPE_NAMED)
        s->type.name = slice_of(NULL, 0);
    s->bytes_n = topic.n + headers.n + s->type.name.n + (refers ? 0 : data.n);
    s->bytes = at = malloc(s->bytes_n + 1);
    if (!at) {
        s->bytes_n = 0;
        return -ENOMEM;
    }
    core_charge(s->hook->desk->core, (int64_t)s->bytes_n);
    s->topic = keep(&at, topic);
    s->headers = keep(&at, headers);
    s->type.name = keep(&at, s->type.name);
    s->block = refers ? block_ref(v->block) : NULL;
    s->data = refers ? data : keep(&at, data);
    return 0;
}

static void note_gaps(struct slot *s, const struct delivery *d)
{
    size_t n = 0;

    for (unsigned i = 0; i < d->gaps_n && n + 48 < sizeof s->gaps; i++)
        n += (size_t)snprintf(s->gaps + n, sizeof s->gaps - n, "%s%llu %s", i ? ", " : "",
                              (unsigned long long)d->gaps[i].count, reason_name(d->gaps[i].reason));
}

void slots_take(struct hook *h, const struct delivery *d)
{
    for (uint32_t i = 0; i < d->run.n; i++) {
        struct slot *s = slot_new(h);

        if (h->credit)
            h->credit--;
        if (!s) /* the queue has it back when the ack's time is over */
            continue;
        s->epoch = h->epoch;
        s->number = d->first + i;
        s->id = d->id + i;
        s->time_ms = d->time_ms;
        s->attempt = d->attempt;
        s->gaps[0] = '\0';
        if (i == 0)
            note_gaps(s, d);
        s->is_lost = fill(s, d, &d->run.v[i]) < 0;
        list_push_back(&h->fresh, &s->link);
        h->waiting_n++;
    }
}

struct request_event slot_event(const struct slot *s)
{
    return (struct request_event){.topic = s->topic,
                                  .data = s->data,
                                  .headers = s->headers,
                                  .type = s->type,
                                  .id = s->id,
                                  .time_ms = s->time_ms,
                                  .attempt = s->attempt,
                                  .gaps = slice_str(s->gaps)};
}
