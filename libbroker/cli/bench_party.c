#include "libbroker/cli/bench.h"

#include <stdlib.h>
#include <string.h>

#include "libbroker/cli/link.h"

enum {
    STAMP_EVERY = 64, /* unpaced: reading the clock for each would be measured, too */
    BATCH = 256,      /* messages between two looks at the connection */
    IDLE_MS = 3000,   /* a subscriber that hears nothing more has had all it will get */
    SLOW_CREDIT = 10,
    SLOW_EVERY_MS = 100,
    CLOSE_MS = 1000,
};

/* What stands first in a payload; the byte order is the machine's own. */
struct head {
    int64_t sent_ns; /* 0: not stamped */
    uint64_t number; /* from 1 */
    uint32_t publisher;
    uint32_t magic;
};
_Static_assert(sizeof(struct head) == BENCH_HEAD, "head of a payload");

static const uint32_t magic = 0x62656e63;

/* A party at work. */
struct work {
    struct bench_party *p;
    struct bench *bench;
    const struct bench_options *o;
    struct cli_link link;
    broker_publisher *publisher;
    broker_subscription *sub;
    char *payload;
    char *topics; /* `o->topics` names of 256 bytes each */
    bool full;    /* no credit for now */
    bool ended;
    uint64_t sent, under_way;
};

/* A request under way. */
struct asked {
    struct work *w;
    int64_t sent_ns;
    bool busy;
};

static bool stop(const struct work *w)
{
    return w->ended || atomic_load(&w->bench->give_up) || cli_interrupted(w->bench->cli);
}

/* Ready; wait for the start. CLI_OK or an exit code. */
static int wait_go(struct work *w)
{
    atomic_fetch_add(&w->bench->ready, 1);
    while (!atomic_load(&w->bench->go)) {
        int r = stop(w) ? CLI_FAILED : cli_link_wait(&w->link, 5, NULL);

        if (r != CLI_OK)
            return r;
    }
    w->p->first_ns = w->p->last_ns = cli_now_ns();
    return CLI_OK;
}

static int make_payload(struct work *w)
{
    w->payload = malloc(w->o->size + 1);
    w->topics = calloc(w->o->topics, 256);
    if (!w->payload || !w->topics)
        return cli_error(w->bench->cli, "out of memory");
    for (size_t i = 0; i < w->o->size; i++)
        w->payload[i] = (char)('a' + i % 26);
    for (size_t i = 0; i < w->o->topics; i++)
        snprintf(w->topics + 256 * i, 256, "%.200s.%zu", w->o->topic, i);
    return CLI_OK;
}

static const char *topic_of(const struct work *w, uint64_t number)
{
    return w->topics + 256 * ((number + w->p->id) % w->o->topics);
}

static void stamp(struct work *w, uint64_t number, int64_t now_ns)
{
    struct head h = {now_ns, number, w->p->id, magic};

    if (w->o->size >= sizeof h)
        memcpy(w->payload, &h, sizeof h);
}

/* Is there another message to send now? Sets *ret_ms to how long to wait where it is not due. */
static bool due(const struct work *w, int64_t *now_ns, int *ret_ms)
{
    const struct bench *b = w->bench;
    double at;

    *ret_ms = 0;
    if (w->o->rate == 0 && w->sent % STAMP_EVERY != 0) {
        *now_ns = 0;
        return true;
    }
    *now_ns = cli_now_ns();
    at = w->o->rate ? (double)w->sent * 1e9 / (double)w->o->rate : 0;
    if (w->o->rate && (double)(*now_ns - w->p->first_ns) < at) {
        *ret_ms = (int)((at - (double)(*now_ns - w->p->first_ns)) / 1e6) + 1;
        if (b->end_ns && *now_ns >= b->end_ns)
            return false;
        return false;
    }
    return true;
}

static bool all_sent(const struct work *w)
{
    if (w->o->count)
        return w->sent >= w->o->count;
    return cli_now_ns() >= w->bench->end_ns;
}

/* --------------------------------------------------------------------------- publishing --- */

static void on_confirm(broker_publisher *p, uint64_t settled, const struct broker_outcome *o,
                       size_t n, void *user)
{
    struct work *w = user;

    (void)p;
    for (size_t i = 0; i < n; i++) {
        if (o[i].reason == BROKER_REASON_NO_MATCH)
            w->p->unmatched += o[i].count;
        else if (o[i].reason >= BROKER_REASON_DROP_OLDEST)
            w->p->dropped += o[i].count;
        else
            w->p->refused += o[i].count;
    }
    atomic_store(&w->p->done, settled);
    w->full = false;
}

static void on_publisher_end(broker_publisher *p, int error, const char *text, void *user)
{
    struct work *w = user;

    (void)p;
    if (w->ended)
        return;
    w->ended = true;
    w->p->code = cli_link_fail(&w->link, "publisher", error ? error : BROKER_ENDED, text);
}

/* Publish up to BATCH messages. CLI_OK, *ret_ms how long to wait; or an exit code. */
static int publish_some(struct work *w, int *ret_ms)
{
    *ret_ms = 0;
    for (int i = 0; i < BATCH && !w->full; i++) {
        int64_t now_ns, r;

        if (w->o->count && w->sent >= w->o->count)
            return CLI_OK;
        if (!due(w, &now_ns, ret_ms))
            return CLI_OK;
        stamp(w, w->sent + 1, now_ns);
        r = broker_publisher_publish(w->publisher, topic_of(w, w->sent), w->payload, w->o->size,
                                     NULL);
        if (r == BROKER_NO_CREDIT)
            w->full = true;
        else if (r < 0)
            return cli_link_fail(&w->link, "cannot publish", (int)r, NULL);
        else
            w->sent++;
    }
    return CLI_OK;
}

static int publish_all(struct work *w)
{
    int r = CLI_OK, ms;

    while (r == CLI_OK && !stop(w) && !all_sent(w)) {
        r = publish_some(w, &ms);
        if (r == CLI_OK)
            r = cli_link_wait(&w->link, w->full || ms > 100 ? 100 : ms, NULL);
        if (w->full && broker_publisher_credit(w->publisher) > 0)
            w->full = false;
    }
    (void)broker_publisher_flush(w->publisher);
    while (r == CLI_OK && !stop(w)) {
        struct broker_publisher_stats s;

        broker_publisher_stats(w->publisher, &s);
        if (s.settled + s.unknown >= s.published)
            break;
        r = cli_link_wait(&w->link, 100, NULL);
    }
    w->p->last_ns = cli_now_ns();
    return r;
}

static int run_publisher(struct work *w)
{
    struct broker_publisher_options o = {
        .max_messages = w->o->window,
        .on_confirm = on_confirm,
        .on_end = on_publisher_end,
        .user = w,
    };
    int r = make_payload(w);

    if (r == CLI_OK)
        r = cli_link_open(&w->link, w->bench->cli, NULL);
    if (r != CLI_OK)
        return r;
    r = broker_publisher_new(w->link.b, &o, &w->publisher);
    r = r < 0 ? cli_link_fail(&w->link, "cannot publish", r, NULL) : wait_go(w);
    return r == CLI_OK ? publish_all(w) : r;
}

/* ----------------------------------------------------------------------------- requests --- */

static void on_receipt(broker *b, const struct broker_receipt *r, void *user)
{
    struct asked *a = user;
    struct work *w = a->w;

    (void)b;
    a->busy = false;
    w->under_way--;
    if (r->status != BROKER_OK)
        w->p->refused++;
    else if (r->matched == 0)
        w->p->unmatched++;
    w->p->last_ns = cli_now_ns();
    cli_hist_add(&w->p->hist, (uint64_t)(w->p->last_ns - a->sent_ns));
    atomic_fetch_add(&w->p->done, 1);
}

static void on_answer(broker_call *c, broker_message *m, void *user)
{
    (void)c;
    (void)m;
    (void)user;
}

static void on_answered(broker_call *c, const struct broker_call_end *end, void *user)
{
    struct asked *a = user;
    struct work *w = a->w;
    bool first = end->error != BROKER_OK && w->p->refused == 0;

    a->busy = false;
    w->under_way--;
    if (first && end->error != BROKER_CLOSED)
        cli_error(w->bench->cli, "%s: %s", broker_strerror(end->error), end->text);
    w->p->refused += end->error != BROKER_OK;
    w->p->last_ns = cli_now_ns();
    cli_hist_add(&w->p->hist, (uint64_t)(w->p->last_ns - a->sent_ns));
    atomic_fetch_add(&w->p->done, 1);
    broker_call_free(c);
}

static int ask(struct work *w, struct asked *a)
{
    struct broker_call_options o = {.on_message = on_answer, .on_end = on_answered, .user = a};
    broker_call *c;

    if (w->bench->target)
        return broker_call_open(w->link.b, BROKER_CALL_RESPONSE, w->bench->target, w->payload,
                                w->o->size, &o, &c);
    return broker_publish_async(w->link.b, topic_of(w, w->sent), w->payload, w->o->size, NULL,
                                BROKER_FOREVER, on_receipt, a);
}

static int ask_some(struct work *w, struct asked *asked, uint64_t window)
{
    for (uint64_t i = 0; i < window; i++) {
        struct asked *a = &asked[i];
        int r;

        if (a->busy || (w->o->count && w->sent >= w->o->count))
            continue;
        *a = (struct asked){w, cli_now_ns(), true};
        stamp(w, w->sent + 1, a->sent_ns);
        r = ask(w, a);
        if (r < 0)
            return cli_link_fail(&w->link, "cannot ask", r, NULL);
        w->sent++;
        w->under_way++;
    }
    return CLI_OK;
}

static int run_requester(struct work *w)
{
    uint64_t window = w->o->window ? w->o->window : 1;
    struct asked *asked = calloc(window, sizeof *asked);
    int r = asked ? make_payload(w) : cli_error(w->bench->cli, "out of memory");

    if (r == CLI_OK)
        r = cli_link_open(&w->link, w->bench->cli, NULL);
    if (r == CLI_OK)
        r = wait_go(w);
    while (r == CLI_OK && !stop(w) && !(all_sent(w) && w->under_way == 0)) {
        if (!all_sent(w))
            r = ask_some(w, asked, window);
        if (r == CLI_OK)
            r = cli_link_wait(&w->link, 100, NULL);
    }
    broker_free(w->link.b); /* its callbacks know `asked` */
    w->link.b = NULL;
    free(asked);
    return r;
}

/* ------------------------------------------------------------------------------ serving --- */

static void on_call(broker_service *s, broker_call *c, void *user)
{
    size_t len;
    const void *data = broker_message_data(broker_call_request(c), &len);

    (void)s;
    (void)user;
    (void)broker_call_send(c, data, len, NULL);
    broker_call_free(c);
}

static int run_server(struct work *w)
{
    struct broker_serve_options o = {.on_call = on_call, .user = w};
    char service[256];
    broker_service *s;
    int r = cli_link_open(&w->link, w->bench->cli, NULL), e;

    if (r != CLI_OK)
        return r;
    snprintf(service, sizeof service, "%.*s", (int)strcspn(w->bench->target, "/"),
             w->bench->target);
    e = broker_serve(w->link.b, service, &o, &s);
    if (e == BROKER_OK)
        e = broker_service_ready(s, 5000);
    r = e < 0 ? cli_link_fail(&w->link, "cannot serve", e, NULL) : wait_go(w);
    while (r == CLI_OK && !stop(w) && !atomic_load(&w->bench->sent))
        r = cli_link_wait(&w->link, 100, NULL);
    return r;
}

/* -------------------------------------------------------------------------- subscribing --- */

static void on_message(broker_subscription *s, broker_message *m, void *user)
{
    struct work *w = user;
    struct bench_party *p = w->p;
    struct head h;

    (void)s;
    /* Only this thread writes it: no need for an atomic addition. */
    atomic_store_explicit(&p->done, atomic_load_explicit(&p->done, memory_order_relaxed) + 1,
                          memory_order_relaxed);
    if (broker_message_size(m) < sizeof h)
        return;
    memcpy(&h, broker_message_data(m, NULL), sizeof h);
    if (h.magic != magic || h.publisher >= BENCH_MAX_PARTIES)
        return;
    if (h.number <= p->seen[h.publisher])
        p->disorder++;
    p->seen[h.publisher] = h.number;
    if (h.sent_ns) {
        int64_t now_ns = cli_now_ns();

        cli_hist_add(&p->hist, now_ns > h.sent_ns ? (uint64_t)(now_ns - h.sent_ns) : 0);
    }
}

static void on_gap(broker_subscription *s, const struct broker_gap *gap, void *user)
{
    struct work *w = user;

    (void)s;
    atomic_fetch_add(&w->p->lost, gap->count ? gap->count : 1);
}

static void on_end(broker_subscription *s, int error, int reason, const char *text, void *user)
{
    struct work *w = user;

    (void)s;
    (void)reason;
    if (w->ended)
        return;
    w->ended = true;
    w->p->code = cli_link_fail(&w->link, "subscription ended", error, text);
}

static int subscribe(struct work *w)
{
    const char *overflow = w->p->slow ? NULL : w->o->overflow;
    struct broker_header setting = {"overflow", overflow};
    struct broker_subscribe_options o = {
        .credit = w->p->slow ? SLOW_CREDIT : (uint32_t)w->o->window,
        .manual_credit = w->p->slow,
        .settings = &setting,
        .setting_count = overflow ? 1 : 0,
        .on_message = on_message,
        .on_gap = on_gap,
        .on_end = on_end,
        .user = w,
    };
    char filter[256];
    const char *filters[] = {filter};
    int r;

    snprintf(filter, sizeof filter, "%.200s.#", w->o->topic);
    r = broker_subscribe(w->link.b, filters, 1, &o, &w->sub);
    if (r < 0)
        return cli_link_fail(&w->link, "cannot subscribe", r, NULL);
    return cli_link_ask(&w->link, "ping", NULL, NULL);
}

/* Has it all it will get? */
static bool has_all(struct work *w, uint64_t before)
{
    struct bench_party *p = w->p;
    uint64_t done = atomic_load(&p->done), have = done + atomic_load(&p->lost);
    int64_t now_ns = cli_now_ns();
    bool alone = w->o->publishers == 0;

    if (alone && before == 0)
        p->first_ns = now_ns; /* nobody says when the others begin */
    if (done != before)
        p->last_ns = now_ns;
    if (alone && w->o->count)
        return have >= w->o->count;
    if (alone)
        return now_ns >= w->bench->end_ns;
    if (!atomic_load(&w->bench->sent))
        return false;
    /* The slow one would take for ever: what it lost shows by then. */
    return p->slow || have >= w->bench->published || now_ns - p->last_ns > IDLE_MS * 1000000LL;
}

static int receive_all(struct work *w)
{
    int64_t granted_ns = cli_now_ns();
    uint64_t before = 0;
    int r = CLI_OK;

    while (r == CLI_OK && !stop(w) && !has_all(w, before)) {
        before = atomic_load(&w->p->done);
        r = cli_link_wait(&w->link, 100, NULL);
        if (w->p->slow && cli_now_ns() - granted_ns > SLOW_EVERY_MS * 1000000LL) {
            granted_ns = cli_now_ns();
            (void)broker_grant(w->sub, SLOW_CREDIT);
        }
    }
    return r;
}

static int run_subscriber(struct work *w)
{
    int r = cli_link_open(&w->link, w->bench->cli, NULL);

    if (r != CLI_OK)
        return r;
    r = subscribe(w);
    if (r == CLI_OK)
        r = wait_go(w);
    return r == CLI_OK ? receive_all(w) : r;
}

/* --------------------------------------------------------------------------- the thread --- */

void *bench_party_run(void *arg)
{
    struct bench_party *p = arg;
    struct work w = {.p = p, .bench = p->bench, .o = p->bench->o};
    int r = CLI_FAILED;

    switch (p->role) {
    case BENCH_PUBLISH:
        r = run_publisher(&w);
        break;
    case BENCH_SUBSCRIBE:
        r = run_subscriber(&w);
        break;
    case BENCH_REQUEST:
        r = run_requester(&w);
        break;
    case BENCH_SERVE:
        r = run_server(&w);
        break;
    }
    w.ended = true;
    if (p->code == CLI_OK)
        p->code = r;
    if (p->code != CLI_OK)
        atomic_store(&p->bench->give_up, true);
    cli_link_close(&w.link, CLOSE_MS);
    free(w.payload);
    free(w.topics);
    atomic_store(&p->finished, true);
    return NULL;
}
