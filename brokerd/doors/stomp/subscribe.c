#include "brokerd/doors/stomp/subscribe.h"

#include "brokerd/doors/refuse.h"
#include "brokerd/doors/stomp/settings.h"
#include "brokerd/doors/stomp/transact.h"
#include "libbroker/base/hash.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

/* ------------------------------------------------------------------------------- life */

struct stomp_sub *stomp_sub_new(struct stomp_peer *c, struct slice id, struct slice name,
                                enum stomp_ack_mode mode)
{
    bool is_auto = mode == STOMP_AUTO;
    size_t most = id.n + 2 + name.n + 2 + 8 + STOMP_SESSION_TEXT + 2;
    struct stomp_sub *s = calloc(1, sizeof *s + most);
    uint8_t *p, *prefix;

    if (!s)
        return NULL;
    s->peer = c;
    s->mode = (uint8_t)mode;
    s->answer = STOMP_NO_ANSWER;
    s->id_n = (uint16_t)id.n;
    deque_init(&s->acked, sizeof(uint64_t));
    prefix = p = stomp_put((uint8_t *)s->text, id);
    /* Unguessable where somebody could acknowledge by it. Without, a message's frames are the same
     * for all who call their subscriptions the same. */
    p = stomp_put(stomp_put(stomp_put(p, SLICE("T_")), name), SLICE("@@"));
    if (!is_auto)
        p = stomp_put(stomp_put(stomp_put(p, SLICE("session-")), slice_str(c->session)),
                      SLICE("@@"));
    s->prefix_n = (uint16_t)(p - prefix);
    return s;
}

bool stomp_consumes(struct stomp_peer *c, int more)
{
    struct refusal why = {REASON_NONE, ""};
    int r;

    c->consumers += (unsigned)more;
    if (c->over) /* its end: nothing more is published */
        return true;
    r = window_consumes(&c->window, c->consumers > 0);
    if (r < 0) {
        stomp_explain(r, &why);
        stomp_refuse(c, NULL, &why);
    }
    return r == 0;
}

void stomp_sub_end(struct stomp_sub *s)
{
    struct stomp_peer *c = s->peer;

    stomp_transactions_drop(c, s);
    if (s->k)
        core_detach(s->k);
    if (s->goes)
        core_queue_remove(c->link->host->core, slice_of(s->queue, s->queue_n));
    if (s->answer != STOMP_NO_ANSWER)
        stomp_answer_done(c, s->answer);
    if (s->entry)
        map_remove(&c->subscriptions, s->entry);
    list_remove(&s->link);
    deque_fini(&s->acked);
    free(s);
    (void)stomp_consumes(c, -1);
}

void stomp_subs_fini(struct stomp_peer *c)
{
    struct map_entry *e;
    struct list_node *n;

    while ((e = map_next(&c->subscriptions, NULL)) != NULL)
        stomp_sub_end(e->value);
    while ((n = list_first(&c->replies)) != NULL)
        stomp_sub_end(LIST_ITEM(n, struct stomp_sub, link));
    map_fini(&c->subscriptions);
}

void stomp_sub_ready(void *ctx)
{
    struct stomp_sub *s = ctx;

    s->is_ready = true;
    if (s->answer != STOMP_NO_ANSWER)
        stomp_answer_done(s->peer, s->answer);
    s->answer = STOMP_NO_ANSWER;
    if (!s->entry) /* a reply queue: the SEND that needs it waits */
        stomp_wait(s->peer, false);
}

void stomp_sub_closed(void *ctx, const struct refusal *why, uint64_t lost)
{
    struct stomp_sub *s = ctx;

    s->k = NULL;
    if (lost)
        stomp_fail(s->peer, NULL, reason_name(why->reason), "%s; %" PRIu64 " messages were lost\n",
                   why->text, lost);
    else
        stomp_refuse(s->peer, NULL, why);
}

/* ------------------------------------------------------------------------------- SUBSCRIBE */

/* What it is called: its id, or in 1.0 its destination. Empty: the peer was told. */
static struct slice key_of(struct stomp_peer *c, const struct stomp_frame *f, bool *ret_has_id)
{
    struct slice id = stomp_get(f, SLICE("id"));

    *ret_has_id = id.n > 0;
    if (!id.n && c->reader.version == STOMP_1_0)
        id = stomp_get(f, SLICE("destination"));
    if (!id.n)
        stomp_fail(c, f, "Missing header", "\"%s\" must include an \"id\" header\n",
                   stomp_word(f->command));
    else if (id.n > STOMP_ID_MAX) {
        stomp_fail(c, f, "Invalid header", "an id may have %d bytes\n", STOMP_ID_MAX);
        id.n = 0;
    }
    return id;
}

static bool read_mode(struct stomp_peer *c, const struct stomp_frame *f, enum stomp_ack_mode *ret)
{
    struct slice mode = stomp_get(f, SLICE("ack"));
    char text[64];

    *ret = STOMP_AUTO;
    if (!mode.n || slice_eq(mode, SLICE("auto")))
        return true;
    *ret = slice_eq(mode, SLICE("client")) ? STOMP_CLIENT : STOMP_INDIVIDUAL;
    if (*ret == STOMP_CLIENT || slice_eq(mode, SLICE("client-individual")))
        return true;
    stomp_fail(c, f, "Invalid header", "ack is %s, not auto, client or client-individual\n",
               shown(mode, text, sizeof text));
    return false;
}

/* The name of a durable subscription's queue: the same whenever the same client comes back. */
static int kept_name(char *to, size_t size, struct slice id, struct slice destination)
{
    uint64_t a = hash_bytes(1, id), b = hash_bytes(a, destination);

    return snprintf(to, size, "stomp-subscription-%016" PRIx64 "%016" PRIx64, b, hash_bytes(b, id));
}

/* The queue that a subscription to a topic needs for itself. */
static void name_own_queue(struct stomp_sub *s, const struct stomp_frame *f)
{
    struct slice wanted = stomp_get(f, SLICE("x-queue-name"));
    struct stomp_peer *c = s->peer;
    int n;

    if (wanted.n) {
        s->queue_n = (uint8_t)wanted.n;
        memcpy(s->queue, wanted.p, wanted.n);
        return;
    }
    if (s->is_durable) {
        n = kept_name(s->queue, sizeof s->queue, stomp_sub_id(s),
                      stomp_get(f, SLICE("destination")));
    } else {
        n = snprintf(s->queue, sizeof s->queue, "stomp-subscription-%s-%" PRIu64, c->session,
                     ++c->made);
        s->goes = true;
    }
    s->queue_n = (uint8_t)n;
}

static bool is_durable(const struct stomp_frame *f)
{
    return (stomp_is(f, SLICE("durable"), SLICE("true")) ||
            stomp_is(f, SLICE("persistent"), SLICE("true"))) &&
           !stomp_is(f, SLICE("auto-delete"), SLICE("true"));
}

/* Can it be a plain subscription? */
static bool is_plain(const struct stomp_sub *s, const struct stomp_frame *f)
{
    return s->mode == STOMP_AUTO && !s->is_durable &&
           !stomp_find(f, SLICE("x-queue-name"), &(struct slice){NULL, 0}) &&
           !stomp_settings_need_queue(f);
}

/* Credit: with prefetch-count so many may be unacknowledged; else as many as the queue allows. */
static bool read_credit(struct stomp_sub *s, const struct stomp_frame *f, uint64_t *ret)
{
    struct slice text = stomp_get(f, SLICE("prefetch-count"));
    uint64_t n = 0;

    *ret = CORE_UNLIMITED;
    if (!text.n)
        return true;
    if (!stomp_number(text, &n)) {
        stomp_fail(s->peer, f, "Invalid header", "prefetch-count must be a number\n");
        return false;
    }
    if (n && n < CORE_UNLIMITED && s->mode != STOMP_AUTO) {
        s->is_limited = true;
        *ret = n;
    }
    return true;
}

static bool attach(struct stomp_sub *s, const struct stomp_frame *f,
                   const struct stomp_destination *d)
{
    struct stomp_peer *c = s->peer;
    uint8_t own[STOMP_SETTINGS_MAX];
    struct slice filter = stomp_destination_name(d);
    struct consume_options o = {.manual_ack = s->mode != STOMP_AUTO};
    struct refusal why = {REASON_NONE, ""};
    int r;

    if (d->place == PLACE_TOPIC) {
        o.filters = &filter;
        o.filters_n = 1;
    }
    o.queue = slice_of(s->queue, s->queue_n);
    if (!read_credit(s, f, &o.credit) || !stomp_settings_read(s, f, own, &o.headers))
        return false;
    r = core_attach(c->link->endpoint, &o, s, &s->k, &why);
    if (r == 0)
        return true;
    s->k = NULL;
    stomp_explain(r, &why);
    stomp_refuse(c, f, &why);
    return false;
}

static bool may_subscribe(struct stomp_peer *c, const struct stomp_frame *f,
                          const struct stomp_destination *d)
{
    struct slice text = stomp_get(f, SLICE("destination")), name = stomp_destination_name(d);
    struct slice own = stomp_get(f, SLICE("x-queue-name"));
    const char *wrong =
        d->place == PLACE_TOPIC ? name_filter_error(name) : name_queue_error(name, NAME_OF_BROKER);
    const char *own_wrong =
        d->place == PLACE_TOPIC && own.n ? name_queue_error(own, NAME_OF_CLIENT) : NULL;
    char buf[256];

    if (stomp_find(f, SLICE("selector"), &(struct slice){NULL, 0}))
        stomp_fail(c, f, "Invalid header",
                   "selector is not supported: a subscription gets all of its destination\n");
    else if (d->place != PLACE_TOPIC && d->place != PLACE_QUEUE && d->place != PLACE_KNOWN)
        stomp_fail(c, f, "Invalid destination", "'%s' is not a valid destination for 'SUBSCRIBE'\n",
                   shown(text, buf, sizeof buf));
    else if (wrong)
        stomp_fail(c, f, "Invalid destination", "'%s': %s\n", shown(text, buf, sizeof buf), wrong);
    else if (own_wrong)
        stomp_fail(c, f, "Invalid header", "x-queue-name '%s': %s\n", shown(own, buf, sizeof buf),
                   own_wrong);
    else if (d->place == PLACE_KNOWN && !core_queue_known(c->link->host->core, name))
        stomp_fail(c, f, "not_found", "there is no queue '%s'\n", shown(text, buf, sizeof buf));
    else if (map_len(&c->subscriptions) >= c->link->host->limits.streams_max)
        stomp_fail(c, f, reason_name(REASON_LIMIT), "a connection has at most %u subscriptions\n",
                   c->link->host->limits.streams_max);
    return !c->over;
}

/* Enter it, and all that follows. */
static void begin(struct stomp_sub *s, const struct stomp_frame *f,
                  const struct stomp_destination *d, struct slice key)
{
    struct stomp_peer *c = s->peer;
    struct slice receipt;

    s->is_durable = d->place == PLACE_TOPIC && s->has_id && is_durable(f);
    if (d->place != PLACE_TOPIC) {
        s->queue_n = (uint8_t)d->name_n;
        memcpy(s->queue, d->name, d->name_n);
    } else if (!is_plain(s, f)) {
        name_own_queue(s, f);
    }
    s->entry = map_add(&c->subscriptions, key, s);
    if (!s->entry) {
        deque_fini(&s->acked);
        free(s);
        stomp_fail_memory(c);
        return;
    }
    if (!stomp_consumes(c, 1) || !attach(s, f, d) || !stomp_find(f, SLICE("receipt"), &receipt))
        return; /* what failed goes with the connection */
    s->answer = stomp_answer_new(c, receipt, 2);
    if (s->answer == STOMP_NO_ANSWER)
        return;
    if (!window_idle(&c->window) && !stomp_answer_await(c, s->answer, 0))
        return;
    stomp_answer_done(c, s->answer); /* the other is being ready */
}

bool stomp_subscribe(struct stomp_peer *c, const struct stomp_frame *f)
{
    struct stomp_destination d;
    enum stomp_ack_mode mode;
    struct stomp_sub *s;
    struct slice key;
    bool has_id;
    char buf[STOMP_ID_MAX + 1];

    if (!stomp_destination_of(c, f, &d) || !may_subscribe(c, f, &d) || !read_mode(c, f, &mode))
        return true;
    key = key_of(c, f, &has_id);
    if (!key.n)
        return true;
    if (map_find(&c->subscriptions, key)) {
        stomp_fail(c, f, "Duplicated subscription identifier",
                   "A subscription identified by 'T_%s' already exists.\n",
                   shown(key, buf, sizeof buf));
        return true;
    }
    s = stomp_sub_new(c, has_id ? key : slice_of(NULL, 0), key, mode);
    if (!s) {
        stomp_fail_memory(c);
        return true;
    }
    s->has_id = has_id;
    begin(s, f, &d, key);
    return true;
}

bool stomp_unsubscribe(struct stomp_peer *c, const struct stomp_frame *f)
{
    char buf[STOMP_ID_MAX + 1];
    struct stomp_sub *s;
    struct slice key;
    bool has_id;

    key = key_of(c, f, &has_id);
    if (!key.n)
        return true;
    s = map_get(&c->subscriptions, key);
    if (!s) {
        stomp_fail(c, f, "Subscription not found", "There is no current subscription '%s'.\n",
                   shown(key, buf, sizeof buf));
        return true;
    }
    if (s->is_durable && is_durable(f))
        s->goes = true;
    stomp_sub_end(s);
    stomp_receipt(c, f);
    return true;
}
