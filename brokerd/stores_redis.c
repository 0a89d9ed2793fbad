/* Redis: a link of each worker's own, in its loop. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "brokerd/core/store.h"
#include "brokerd/nodes/nodes.h"
#include "brokerd/store/redis/redis.h"
#include "brokerd/stores_internal.h"
#include "config/options.h"

enum { STOP_LOOK_US = 1000, STOP_MORE_MS = 1000 };

/* ---- what happens */

static void note_why(struct stores *s, const char *text)
{
    pthread_mutex_lock(&s->lock);
    (void)snprintf(s->why, sizeof s->why, "%s", text);
    pthread_mutex_unlock(&s->lock);
}

static void tell(const struct stores *s, enum log_level level, const char *event, const char *text)
{
    s->o.tell(s->o.ctx, level, event, LOG_FACTS({"store", "redis", 0}), text);
}

void stores_note_redis(struct stores *s, unsigned worker)
{
    struct redis_facts f;

    if (!s->redis[worker].store)
        return;
    f = redis_store_facts(s->redis[worker].store);
    if (!f.up && *f.text)
        note_why(s, f.text);
}

/* Each worker has connections of its own; that Redis is away is told once. */
static void on_event(void *ctx, enum redis_event what, const char *text)
{
    struct redis_part *p = ctx;
    struct stores *s = p->stores;

    switch (what) {
    case REDIS_DOWN:
        note_why(s, text);
        if (!p->down && atomic_fetch_add(&s->redis_down, 1) == 0)
            tell(s, LEVEL_WARNING, "store_down", text);
        p->down = true;
        return;
    case REDIS_BACK:
        if (p->down && atomic_fetch_sub(&s->redis_down, 1) == 1)
            tell(s, LEVEL_NOTICE, "store_back", text);
        p->down = false;
        return;
    case REDIS_LOST:
    case REDIS_TROUBLE:
        note_why(s, text);
        tell(s, LEVEL_ERROR, "store_trouble", text);
        return;
    case REDIS_CLAIMED:
        tell(s, LEVEL_NOTICE, "store_claimed", text);
        return;
    }
}

/* ---- begin */

static const char *or_null(const char *text)
{
    return *text ? text : NULL;
}

/* "" in the settings: the host's name. What tells this life of it from others is random. */
static void set_node(struct stores *s)
{
    const char *said = s->o.settings->redis.node;
    char host[SETTINGS_WORD_MAX] = "node";

    if (!*said && gethostname(host, sizeof host) == 0)
        host[sizeof host - 1] = '\0';
    (void)snprintf(s->node, sizeof s->node, "%.40s", *said ? said : host);
}

static int open_part(struct stores *s, const struct redis_url *url, uint64_t seed, unsigned worker,
                     char *err, size_t err_size)
{
    const struct settings_redis *o = &s->o.settings->redis;
    struct worker *w = workers_get(s->workers, worker);
    struct redis_part *p = &s->redis[worker];
    struct redis_store_options ro = {.worker = worker,
                                     .base = worker_base(w),
                                     .core = worker_core(w),
                                     .answer = core_stored,
                                     .url = url,
                                     .ca = or_null(o->ca),
                                     .certificate = or_null(o->certificate),
                                     .key = or_null(o->key),
                                     .timeout_ms = o->timeout_ms,
                                     .patience_ms = o->patience_ms,
                                     .prefix = o->prefix,
                                     .node = s->node,
                                     .seed = seed,
                                     .event = on_event,
                                     .ctx = p};
    int r;

    p->stores = s;
    r = redis_store_new(&ro, &p->store, err, err_size);
    if (r < 0)
        return r;
    (void)snprintf(err, err_size, "%s", strerror(ENOSPC));
    core_set_store(worker_core(w), DURABLE_REDIS, redis_store_table(p->store));
    r = redis_store_join(p->store, w);
    return r < 0 ? r : worker_add_store(w, redis_store_table(p->store));
}

/* What nodes tell. Worker 0's thread. */
static void on_node(void *ctx, enum log_level level, const char *kind, const char *node,
                    const char *text)
{
    const struct stores *s = ctx;

    s->o.tell(s->o.ctx, level, kind, LOG_FACTS({"store", "redis", 0}, {"node", node, 0}), text);
}

static int open_nodes(struct stores *s, const struct redis_url *url, uint64_t seed, char *err,
                      size_t err_size)
{
    const struct settings_redis *o = &s->o.settings->redis;
    struct nodes_options no = {.url = url,
                               .ca = or_null(o->ca),
                               .certificate = or_null(o->certificate),
                               .key = or_null(o->key),
                               .timeout_ms = o->timeout_ms,
                               .prefix = o->prefix,
                               .node = s->node,
                               .seed = seed,
                               .event = on_node,
                               .ctx = s};

    return o->topics ? nodes_new(&no, s->workers, &s->nodes, err, err_size) : 0;
}

int stores_open_redis(struct stores *s)
{
    const struct settings_redis *o = &s->o.settings->redis;
    char err[REDIS_ERROR_MAX];
    struct redis_url url;
    uint64_t seed = 0;
    int r = 0;

    (void)redis_url_hide(slice_str(o->url), s->url, sizeof s->url);
    set_node(s);
    (void)redis_url_parse(slice_str(o->url), &url, err, sizeof err); /* the settings have */
    if (*o->password)
        (void)snprintf(url.password, sizeof url.password, "%s", o->password);
    (void)!getrandom(&seed, sizeof seed, 0);
    for (unsigned i = 0; i < workers_count(s->workers) && r == 0; i++)
        r = open_part(s, &url, seed, i, err, sizeof err);
    if (r == 0)
        r = open_nodes(s, &url, seed, err, sizeof err);
    explicit_bzero(&url, sizeof url);
    if (r == 0)
        return EXIT_STOPPED;
    fprintf(stderr, "brokerd: store \"redis\": %s\n", err);
    return r == -EINVAL ? EXIT_BAD_CONFIG : EXIT_SYSTEM_ERROR;
}

/* ---- end */

static void begin_stop(void *arg, struct worker *w)
{
    struct stores *s = arg;

    redis_store_stop(s->redis[worker_id(w)].store);
    if (s->nodes && worker_id(w) == 0)
        nodes_stop(s->nodes);
    stores_answer(s, true);
}

static void answer_stopped(void *arg, struct worker *w)
{
    struct stores *s = arg;

    stores_answer(s, redis_store_stopped(s->redis[worker_id(w)].store) &&
                         (!s->nodes || worker_id(w) != 0 || nodes_stopped(s->nodes)));
}

void stores_stop_redis(struct stores *s)
{
    int64_t until_ns =
        worker_clock_ns() + (s->o.settings->redis.timeout_ms + STOP_MORE_MS) * INT64_C(1000000);
    bool begun = false;

    while (worker_clock_ns() < until_ns) {
        if (!begun)
            begun = stores_ask(s, begin_stop);
        else if (stores_ask(s, answer_stopped))
            return;
        (void)usleep(STOP_LOOK_US);
    }
    log_warning("stopping: Redis has not heard all that it was to be told; what this broker had in "
                "hand is delivered by others after a while");
}

void stores_free_redis(struct stores *s)
{
    nodes_free(s->nodes);
    s->nodes = NULL;
    for (unsigned i = 0; i < SETTINGS_WORKERS_MAX; i++) {
        redis_store_free(s->redis[i].store);
        s->redis[i].store = NULL;
    }
}

/* ---- what is told of it */

static json_t *part_of(json_t *o, const char *key)
{
    json_t *part = json_object_get(o, key);

    if (!part) {
        part = json_object();
        json_object_set_new(o, key, part);
    }
    return part;
}

static void tell_node(void *ctx, const struct nodes_other *o)
{
    json_t *node = json_pack("{s:s, s:s}", "node", o->id, "state", o->alive ? "up" : "down");
    const struct store_number numbers[] = {{"filters", o->filters},
                                           {"forwarded", o->forwarded},
                                           {"lost", o->lost},
                                           {"received", o->received},
                                           {"missed", o->missed}};

    STORES_ADD_NUMBERS(node, numbers);
    json_array_append_new(ctx, node);
}

/* Topics, which worker 0 shares with other nodes. */
static void tell_nodes(const struct nodes *n, json_t *o)
{
    struct nodes_facts f = nodes_facts(n);
    const struct store_number facts[] = {
        {"nodes", f.nodes}, {"filters", f.filters}, {"wanted", f.wanted}, {"waiting", f.waiting}};
    const struct store_number counters[] = {
        {"topics_forwarded", f.forwarded}, {"topics_entries", f.entries},
        {"topics_lost", f.lost},           {"topics_received", f.received},
        {"topics_missed", f.missed},       {"topics_malformed", f.malformed}};
    json_t *others = json_array();

    nodes_each(n, tell_node, others);
    json_object_set_new(o, "others", others);
    STORES_ADD_NUMBERS(o, facts);
    STORES_ADD_NUMBERS(part_of(o, "counters"), counters);
}

void stores_tell_redis(const struct stores *s, unsigned worker, json_t *to)
{
    struct redis_facts f = redis_store_facts(s->redis[worker].store);
    const struct link_counts *l = &f.link;
    const struct store_number facts[] = {
        {"in_flight", l->in_flight}, {"in_flight_bytes", l->bytes}, {"held", f.held},
        {"unstored", f.unstored},    {"connections", l->ready},     {"queues", f.queues}};
    const struct store_number counters[] = {{"puts", f.put},
                                            {"settlements", f.settled},
                                            {"fetched", f.fetched},
                                            {"returned", f.returned},
                                            {"expired", f.expired},
                                            {"dropped", f.dropped},
                                            {"claimed", f.claimed},
                                            {"repeated", f.repeated},
                                            {"calls", f.calls},
                                            {"sent", l->sent},
                                            {"connects", l->connects},
                                            {"failures", l->failures},
                                            {"timeouts", l->timeouts},
                                            {"moved", l->moved},
                                            {"asked", l->asked},
                                            {"retries", l->retried + l->moved + l->asked},
                                            {"unsent", l->unsent},
                                            {"unknown", l->unknown},
                                            {"malformed", l->malformed},
                                            {"refreshes", l->refreshes}};
    const struct store_number refused[] = {{"store", f.refused}};
    json_t *o = part_of(to, "redis");

    json_object_set_new(o, "store", json_string("redis"));
    json_object_set_new(o, "url", json_string(s->url));
    json_object_set_new(o, "node", json_string(s->node));
    if (!json_object_get(o, "state") || !f.up)
        json_object_set_new(o, "state", json_string(f.up ? "up" : "down"));
    if (!f.up)
        json_object_set_new(o, "text", json_string(f.text));
    if (*f.evicts)
        json_object_set_new(o, "evicts", json_string(f.evicts));
    STORES_ADD_NUMBERS(o, facts);
    STORES_ADD_NUMBERS(part_of(o, "counters"), counters);
    STORES_ADD_NUMBERS(part_of(o, "refused"), refused);
    if (s->nodes && worker == 0)
        tell_nodes(s->nodes, o);
}
