/* Settling what was received: DELETE, :release, :reject, :extend of one message, or of many by a
 * list of ids. Each goes to its queue's worker, and the answer waits for what all of them say. */
#include "brokerd/doors/http/settle.h"

#include "brokerd/doors/body.h"
#include "brokerd/doors/http/alarm.h"
#include "brokerd/doors/http/handlers.h"
#include "brokerd/doors/http/params.h"
#include "brokerd/doors/http/receipt.h"
#include "brokerd/doors/refuse.h"
#include "libbroker/base/name.h"

#include <errno.h>
#include <stdlib.h>

enum { IDS_MAX = 1024 };

/* Who waits for answers: number * IDS_MAX + place is the token of each. */
struct asking {
    struct exchange *x;
    struct alarms *alarms;
    uint64_t number;
    unsigned n, most, pending;
    bool is_list;
    struct {
        bool settled;
        uint8_t id[RECEIPT_SIZE];
    } item[]; /* `most` of them */
};

/* What a route does. */
struct deed {
    enum ack_verb verb;
    const char *time; /* the parameter that says for how long; NULL: none */
    bool is_list;
};

static struct slice key_of(const uint64_t *number)
{
    return slice_of(number, sizeof *number);
}

/* --------------------------------------------------------------------------------- the answer */

/* Bytes it takes at most: what is no receipt may need to be escaped. */
static size_t list_room(const struct asking *a)
{
    size_t n = 64;

    for (unsigned i = 0; i < a->n; i++)
        n += 1 + jtext_string_size(slice_of(a->item[i].id, RECEIPT_SIZE));
    return n;
}

static void answer_list(const struct asking *a)
{
    uint8_t *text = malloc(list_room(a)), *p = text;
    struct refusal why;
    unsigned settled = 0;

    if (!text) {
        refuse_memory(&why);
        exchange_refuse(a->x, &why);
        return;
    }
    for (unsigned i = 0; i < a->n; i++)
        settled += a->item[i].settled;
    p = jput_number(jput(p, SLICE("{\"settled\":")), settled);
    p = jput(p, SLICE(",\"gone\":["));
    for (unsigned i = 0; i < a->n; i++) {
        if (a->item[i].settled)
            continue;
        if (p[-1] != '[')
            *p++ = ',';
        p = jtext_put_string(p, slice_of(a->item[i].id, RECEIPT_SIZE));
    }
    p = jput(p, SLICE("]}"));
    exchange_answer_json(a->x, 200, slice_of(text, (size_t)(p - text)));
    free(text);
}

static void answer(const struct asking *a)
{
    struct refusal why;

    if (a->is_list) {
        answer_list(a);
    } else if (a->item[0].settled) {
        exchange_answer(a->x, &(struct response){.status = 204});
    } else {
        refuse(&why, REASON_NOT_FOUND,
               "no such delivery: it is settled, its time is over, or its queue is gone");
        exchange_refuse(a->x, &why);
    }
}

void settle_resolved(const struct link *l, uint64_t token, bool settled)
{
    struct alarms *all = alarms_of(l);
    uint64_t number = token / IDS_MAX;
    struct asking *a = all ? map_get(&all->asked, key_of(&number)) : NULL;

    if (!a) /* who asked has gone */
        return;
    a->item[token % IDS_MAX].settled = settled;
    if (--a->pending == 0)
        answer(a);
}

/* --------------------------------------------------------------------------------- the request */

static int add(struct asking *a, struct slice id, struct refusal *why)
{
    if (a->n == a->most) {
        refuse(why, REASON_LIMIT, "at most %d ids", IDS_MAX);
        return -EINVAL;
    }
    if (id.n != RECEIPT_SIZE) {
        refuse(why, REASON_INVALID, "an id has %d characters", RECEIPT_SIZE);
        return -EINVAL;
    }
    memcpy(a->item[a->n++].id, id.p, RECEIPT_SIZE);
    return 0;
}

static int read_ids(struct asking *a, struct params *p, struct refusal *why)
{
    struct slice id;
    int r = 0;

    if (!a->is_list)
        return add(a, a->x->arg[1], why);
    while (r == 0 && params_take(p, "ids", &id))
        r = add(a, id, why);
    if (r == 0 && a->n == 0) {
        refuse(why, REASON_INVALID, "ids is missing: a list of them");
        r = -EINVAL;
    }
    return r;
}

static int read_deed(struct asking *a, const struct deed *deed, struct params *p, uint32_t *ret_ms,
                     struct refusal *why)
{
    int64_t ms = 0;
    int r = read_ids(a, p, why);

    if (r == 0 && deed->time)
        r = params_time(p, deed->time, UINT32_MAX, &ms, why);
    if (r == 0)
        r = params_done(p, why);
    *ret_ms = (uint32_t)ms;
    return r;
}

/* What is no receipt of that queue is as gone as one that was settled. */
static int settle_each(struct asking *a, struct endpoint *ep, struct settlement *s,
                       struct refusal *why)
{
    uint64_t seed = exchange_link(a->x)->host->seed;

    for (unsigned i = 0; i < a->n; i++) {
        int r = 0;

        if (receipt_read(seed, s->queue, slice_of(a->item[i].id, RECEIPT_SIZE), &s->ref) == 0) {
            a->pending++;
            r = core_settle(ep, s, a->number * IDS_MAX + i, why);
            a->pending -= r < 0;
        }
        if (r == -ENOMEM)
            refuse_memory(why);
        if (r < 0 && r != -EINVAL)
            return r;
    }
    return 0;
}

static struct asking *asking_new(struct exchange *x, bool is_list, size_t most, struct refusal *why)
{
    struct alarms *all = alarms_of(exchange_link(x));
    struct asking *a = all ? calloc(1, sizeof *a + most * sizeof *a->item) : NULL;

    if (a) {
        a->x = x;
        a->alarms = all;
        a->number = all->numbered + 1;
        a->most = (unsigned)most;
        a->is_list = is_list;
        if (map_add(&all->asked, key_of(&a->number), a)) {
            all->numbered++;
            return a;
        }
    }
    free(a);
    refuse_memory(why);
    return NULL;
}

static int begin(struct asking *a, const struct deed *deed, struct params *p, struct refusal *why)
{
    struct settlement s = {.queue = a->x->arg[0], .verb = deed->verb};
    struct endpoint *ep;
    const char *wrong;
    int r = read_deed(a, deed, p, &s.arg_ms, why);

    if (r == 0 && (wrong = name_queue_error(s.queue, NAME_OF_BROKER)) != NULL) {
        refuse(why, REASON_INVALID, "%s", wrong);
        r = -EINVAL;
    }
    if (r == 0)
        r = exchange_endpoint(a->x, &ep, why);
    if (r < 0)
        return r;
    a->pending = 1; /* until all have been asked; and for good if that fails */
    return settle_each(a, ep, &s, why);
}

static size_t settle_body(struct exchange *x, struct slice part, struct block *block, bool last)
{
    const struct deed *deed = x->route->what;
    struct asking *a = NULL;
    struct refusal why;
    struct params p;
    int r = params_read(&p, x->query, part, &why);

    (void)block;
    (void)last;
    if (r == 0) {
        size_t most = deed->is_list ? p.n : 1;

        x->state = a = asking_new(x, deed->is_list, most < IDS_MAX ? most : IDS_MAX, &why);
        r = a ? begin(a, deed, &p, &why) : -ENOMEM;
    }
    if (r < 0)
        exchange_refuse(x, &why);
    else if (--a->pending == 0)
        answer(a);
    params_free(&p);
    return part.n;
}

static void settle_over(struct exchange *x)
{
    struct asking *a = x->state;

    if (!a)
        return;
    (void)map_del(&a->alarms->asked, key_of(&a->number));
    free(a);
}

static const struct handler handler = {
    .kind = BODY_WHOLE,
    .body_max = PARAMS_BODY_MAX,
    .body = settle_body,
    .over = settle_over,
};

static const struct deed ack = {ACK_DONE, NULL, false}, release = {ACK_NACK, "delay", false},
                         reject = {ACK_REJECT, NULL, false}, extend = {ACK_EXTEND, "time", false},
                         ack_all = {ACK_DONE, NULL, true}, release_all = {ACK_NACK, "delay", true},
                         reject_all = {ACK_REJECT, NULL, true},
                         extend_all = {ACK_EXTEND, "time", true};

const struct route settle_routes[] = {
    {METHOD_DELETE, "/v1/queues/*/messages/*", &handler, &ack},
    {METHOD_POST, "/v1/queues/*/messages/*:ack", &handler, &ack},
    {METHOD_POST, "/v1/queues/*/messages/*:release", &handler, &release},
    {METHOD_POST, "/v1/queues/*/messages/*:reject", &handler, &reject},
    {METHOD_POST, "/v1/queues/*/messages/*:extend", &handler, &extend},
    {METHOD_POST, "/v1/queues/*/messages:ack", &handler, &ack_all},
    {METHOD_POST, "/v1/queues/*/messages:release", &handler, &release_all},
    {METHOD_POST, "/v1/queues/*/messages:reject", &handler, &reject_all},
    {METHOD_POST, "/v1/queues/*/messages:extend", &handler, &extend_all},
    {0, NULL, NULL, NULL},
};
