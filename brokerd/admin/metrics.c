/* What is counted, as Prometheus reads it: its text format 0.0.4.
 *
 * Each name stands once, with what it means, before all its samples. What a label may say is
 * bounded: reasons and causes are of closed lists, workers and webhooks of the settings; queues
 * with names are told one by one up to a number, and together beyond it, under a name that no
 * queue can have. Subscriptions, clients and services are only counted. */
#include "brokerd/admin/internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

static const char content_type[] = "text/plain; version=0.0.4; charset=utf-8";
static const char others[] = "other queues"; /* no name has a blank */

/* --------------------------------------------------------------------------------- gathering */

struct queue_row {
    char name[NAME_MAX_BYTES + 1];
    uint64_t depth, bytes, unacked, delayed, held, consumers, away, unstored;
    uint64_t max_messages; /* POLICY_UNLIMITED: not told */
    int64_t oldest_ms, full_ms;
    struct inspect_counters count;
};

struct gathered {
    struct inspect_totals totals;
    uint64_t subscription_depth, subscription_bytes;
    unsigned full; /* queues and subscriptions */
    size_t limit, n;
    struct queue_row other;  /* those beyond the limit, added up */
    struct queue_row rows[]; /* limit of them */
};

static void add_row(struct queue_row *to, const struct inspect_queue *q)
{
    to->depth += q->depth;
    to->bytes += q->bytes;
    to->unacked += q->unacked;
    to->delayed += q->delayed;
    to->held += q->held;
    to->consumers += q->consumers;
    to->away += q->away;
    to->unstored += q->unstored;
    to->oldest_ms = q->oldest_ms > to->oldest_ms ? q->oldest_ms : to->oldest_ms;
    to->full_ms = q->full_ms > to->full_ms ? q->full_ms : to->full_ms;
    counters_add(&to->count, &q->count);
}

static bool add_queue(void *ctx, const struct inspect_queue *q)
{
    struct gathered *g = ctx;
    struct queue_row *row;

    g->full += q->full_ms >= 0;
    if (!q->name) {
        g->subscription_depth += q->depth;
        g->subscription_bytes += q->bytes;
        return true;
    }
    if (g->n < g->limit) {
        row = &g->rows[g->n++];
        *row = (struct queue_row){.max_messages = q->policy->max_messages};
        snprintf(row->name, sizeof row->name, "%s", q->name);
    } else {
        row = &g->other;
        snprintf(row->name, sizeof row->name, "%s", others);
    }
    add_row(row, q);
    return true;
}

static void visit(struct ask *a, struct desk *d)
{
    struct gathered *g = a->data;

    if (a->cursor == 0) {
        sums_add(a->answer, &g->totals, d);
        hooks_add(json_object_get(a->answer, "webhooks"), d);
        stores_add(json_object_get(a->answer, "stores"), d);
    }
    a->cursor = inspect_queues(d->core, a->cursor, WALK_STEPS, add_queue, g);
    a->again = a->cursor != 0;
}

/* ----------------------------------------------------------------------------------- writing */

/* A name's head. Samples follow; all of one name stand together. */
static void head(FILE *f, const char *name, const char *type, const char *help)
{
    fprintf(f, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

static void put_label(FILE *f, const char *key, const char *value)
{
    fprintf(f, "%s=\"", key);
    for (const char *p = value; *p; p++)
        if (*p == '\n')
            fputs("\\n", f);
        else if (*p == '"' || *p == '\\')
            fprintf(f, "\\%c", *p);
        else
            fputc(*p, f);
    fputc('"', f);
}

/* NAME{KEY="VALUE"} or, without a key, NAME: what stands before a sample's value. */
static void put_name(FILE *f, const char *name, const char *key, const char *value)
{
    fputs(name, f);
    if (key) {
        fputc('{', f);
        put_label(f, key, value);
        fputc('}', f);
    }
    fputc(' ', f);
}

static void sample(FILE *f, const char *name, const char *key, const char *value, uint64_t n)
{
    put_name(f, name, key, value);
    fprintf(f, "%llu\n", (unsigned long long)n);
}

static void sample_ms(FILE *f, const char *name, const char *key, const char *value, int64_t ms)
{
    put_name(f, name, key, value);
    fprintf(f, "%lld.%03d\n", (long long)(ms / 1000), (int)(ms % 1000));
}

static void one(FILE *f, const char *name, const char *type, const char *help, uint64_t n)
{
    head(f, name, type, help);
    sample(f, name, NULL, NULL, n);
}

/* Of each reason that is a refusal, or a loss. */
static void by_reason(FILE *f, const char *name, const uint64_t *count, bool refusals)
{
    for (unsigned r = REASON_NONE + 1; r < REASON_TABLE_SIZE; r++)
        if (reason_known(r) && reason_is_refusal((enum reason)r) == refusals)
            sample(f, name, "reason", reason_name((enum reason)r), count[r]);
}

/* An object of numbers: a sample for each member. */
static void by_member(FILE *f, const char *name, const char *key, const json_t *o)
{
    const char *word;
    json_t *n;

    json_object_foreach((json_t *)(uintptr_t)o, word, n)
    {
        sample(f, name, key, word, (uint64_t)json_integer_value(n));
    }
}

/* ------------------------------------------------------------------------------ what there is */

static void put_messages(FILE *f, const struct inspect_totals *t)
{
    const struct {
        const char *name, *help;
        uint64_t n;
    } rows[] = {
        {"brokerd_messages_published_total", "Messages taken from clients.", t->count.published},
        {"brokerd_messages_delivered_total", "Deliveries, repeated ones included.",
         t->count.delivered},
        {"brokerd_messages_acked_total", "Deliveries acknowledged.", t->count.acked},
        {"brokerd_messages_nacked_total", "Deliveries given back by their consumers.",
         t->count.nacked},
        {"brokerd_messages_redelivered_total", "Second and later deliveries of a message.",
         t->count.redelivered},
        {"brokerd_messages_duplicate_total", "Messages taken before, known by their id.",
         t->count.duplicates},
        {"brokerd_messages_unroutable_total", "Messages that no queue matched.",
         t->count.unroutable},
        {"brokerd_messages_dead_lettered_total", "Messages sent to a dead-letter topic.",
         t->count.dead_lettered},
        {"brokerd_queue_open_failures_total", "Times that a store did not open a queue.",
         t->count.unopened},
        {"brokerd_acks_late_total", "Acknowledgements of what had settled already.", t->count.late},
        {"brokerd_ack_timeouts_total", "Deliveries not acknowledged in time.", t->count.timeouts},
    };

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        one(f, rows[i].name, "counter", rows[i].help, rows[i].n);
    head(f, "brokerd_messages_refused_total", "counter",
         "Messages not taken, which their publishers know, by reason.");
    by_reason(f, "brokerd_messages_refused_total", t->count.reason, true);
    head(f, "brokerd_messages_lost_total", "counter", "Messages lost after they were taken.");
    by_reason(f, "brokerd_messages_lost_total", t->count.reason, false);
}

static void put_calls(FILE *f, const struct inspect_totals *t, const json_t *services)
{
    one(f, "brokerd_calls_total", "counter", "Calls to services of clients.", t->calls);
    one(f, "brokerd_calls_open", "gauge", "Calls under way or waiting for a server.",
        t->calls_open);
    head(f, "brokerd_calls_failed_total", "counter",
         "Calls that failed by the broker's word, by reason.");
    by_reason(f, "brokerd_calls_failed_total", t->calls_failed, true);
    one(f, "brokerd_calls_errors_total", "counter", "Calls that failed by their servers' word.",
        t->calls_failed[REASON_NONE]);
    one(f, "brokerd_services", "gauge", "Services that somebody serves or waits for.",
        json_array_size(services));
}

static void put_broker(FILE *f, const struct gathered *g, const struct desk *d)
{
    const struct admin *a = d->admin;
    uint64_t limit = workers_memory(a->workers);
    int64_t left = workers_memory_left(a->workers);

    head(f, "brokerd_build_info", "gauge", "Always 1; the version is in the label.");
    sample(f, "brokerd_build_info", "version", a->o.version, 1);
    one(f, "brokerd_draining", "gauge", "1 while the broker is about to stop.", g->totals.draining);
    one(f, "brokerd_memory_limit_bytes", "gauge", "The budget for what waits.", limit);
    one(f, "brokerd_memory_used_bytes", "gauge", "What is drawn from the budget.",
        left < (int64_t)limit ? (uint64_t)((int64_t)limit - left) : 0);
    one(f, "brokerd_queues", "gauge", "Queues with a name.", g->totals.queues);
    one(f, "brokerd_subscriptions", "gauge", "Queues without: plain subscriptions.",
        g->totals.subscriptions);
    one(f, "brokerd_subscription_messages", "gauge", "Messages waiting in all subscriptions.",
        g->subscription_depth);
    one(f, "brokerd_subscription_bytes", "gauge", "Size of these.", g->subscription_bytes);
    one(f, "brokerd_queues_full", "gauge", "Queues and subscriptions that are full.", g->full);
}

static void put_workers(FILE *f, const json_t *workers)
{
    static const struct {
        const char *name, *help, *key;
    } rows[] = {
        {"brokerd_worker_busy_ratio", "Share of the last 100 ms not spent sleeping.", "busy"},
        {"brokerd_worker_connections", "Connections by worker.", "connections"},
        {"brokerd_worker_memory_bytes", "What is in use of the budget, by worker.", "used_bytes"},
    };

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        const json_t *w;
        char id[16];
        size_t n;

        head(f, rows[i].name, "gauge", rows[i].help);
        json_array_foreach(workers, n, w)
        {
            snprintf(id, sizeof id, "%lld",
                     (long long)json_integer_value(json_object_get(w, "id")));
            put_name(f, rows[i].name, "worker", id);
            fprintf(f, "%.15g\n", json_number_value(json_object_get(w, rows[i].key)));
        }
    }
}

static void put_connections(FILE *f, const struct inspect_totals *t, const json_t *answer)
{
    one(f, "brokerd_connections", "gauge", "Connections of clients.", t->endpoints);
    head(f, "brokerd_connections_closed_total", "counter", "Connections that ended, by why.");
    by_member(f, "brokerd_connections_closed_total", "why", json_object_get(answer, "disconnects"));
    head(f, "brokerd_protocol_events_total", "counter",
         "What protocols count beside that: errors, sessions resumed.");
    by_member(f, "brokerd_protocol_events_total", "what", json_object_get(answer, "protocols"));
}

/* ------------------------------------------------------------------------------------- queues */

enum queue_value {
    DEPTH,
    BYTES,
    UNACKED,
    DELAYED,
    HELD,
    CONSUMERS,
    AWAY,
    UNSTORED,
    LIMIT,
    PUBLISHED,
    DELIVERED,
    ACKED,
    NACKED,
    REDELIVERED,
    TIMEOUTS,
    DEAD_LETTERED,
    QUEUE_VALUES
};

static uint64_t value_of(const struct queue_row *q, enum queue_value v)
{
    const uint64_t values[QUEUE_VALUES] = {
        [DEPTH] = q->depth,
        [BYTES] = q->bytes,
        [UNACKED] = q->unacked,
        [DELAYED] = q->delayed,
        [HELD] = q->held,
        [CONSUMERS] = q->consumers,
        [AWAY] = q->away,
        [UNSTORED] = q->unstored,
        [LIMIT] = q->max_messages,
        [PUBLISHED] = q->count.published,
        [DELIVERED] = q->count.delivered,
        [ACKED] = q->count.acked,
        [NACKED] = q->count.nacked,
        [REDELIVERED] = q->count.redelivered,
        [TIMEOUTS] = q->count.timeouts,
        [DEAD_LETTERED] = q->count.dead_lettered,
    };

    return values[v];
}

static const struct {
    const char *name, *type, *help;
} queue_metrics[QUEUE_VALUES] = {
    [DEPTH] = {"brokerd_queue_messages", "gauge", "Messages waiting to be delivered."},
    [BYTES] = {"brokerd_queue_bytes", "gauge", "Size of these."},
    [UNACKED] = {"brokerd_queue_unacked_messages", "gauge", "Delivered and not settled."},
    [DELAYED] = {"brokerd_queue_delayed_messages", "gauge", "Given back, to be delivered later."},
    [HELD] = {"brokerd_queue_held_messages", "gauge", "Held in front of the queue, being full."},
    [CONSUMERS] = {"brokerd_queue_consumers", "gauge", "Consumers attached."},
    [AWAY] = {"brokerd_queue_in_store_messages", "gauge",
              "Of those that wait, only in the queue's store and not in memory."},
    [UNSTORED] = {"brokerd_queue_unstored_messages", "gauge",
                  "Of those that wait, not stored yet and so not confirmed."},
    [LIMIT] = {"brokerd_queue_limit_messages", "gauge", "How many may wait."},
    [PUBLISHED] = {"brokerd_queue_published_total", "counter", "Messages the queue took."},
    [DELIVERED] = {"brokerd_queue_delivered_total", "counter", "Deliveries, repeated included."},
    [ACKED] = {"brokerd_queue_acked_total", "counter", "Deliveries acknowledged."},
    [NACKED] = {"brokerd_queue_nacked_total", "counter", "Deliveries given back."},
    [REDELIVERED] = {"brokerd_queue_redelivered_total", "counter", "Second and later deliveries."},
    [TIMEOUTS] = {"brokerd_queue_ack_timeouts_total", "counter", "Acknowledgements not in time."},
    [DEAD_LETTERED] = {"brokerd_queue_dead_lettered_total", "counter", "Dead letters."},
};

/* The i-th of those told of; NULL past the last. */
static const struct queue_row *row_of(const struct gathered *g, size_t i)
{
    if (i < g->n)
        return &g->rows[i];
    return i == g->n && g->other.name[0] ? &g->other : NULL;
}

static void put_lost(FILE *f, const struct gathered *g, const char *name, bool refusals)
{
    const struct queue_row *q;

    for (size_t i = 0; (q = row_of(g, i)) != NULL; i++)
        for (unsigned r = REASON_NONE + 1; r < REASON_TABLE_SIZE; r++) {
            if (!q->count.reason[r] || reason_is_refusal((enum reason)r) != refusals)
                continue;
            fprintf(f, "%s{", name);
            put_label(f, "queue", q->name);
            fputc(',', f);
            put_label(f, "reason", reason_name((enum reason)r));
            fprintf(f, "} %llu\n", (unsigned long long)q->count.reason[r]);
        }
}

static void put_queues(FILE *f, const struct gathered *g)
{
    const struct queue_row *q;

    for (unsigned v = 0; v < QUEUE_VALUES; v++) {
        head(f, queue_metrics[v].name, queue_metrics[v].type, queue_metrics[v].help);
        for (size_t i = 0; (q = row_of(g, i)) != NULL; i++)
            if (v != LIMIT || (q != &g->other && q->max_messages != POLICY_UNLIMITED))
                sample(f, queue_metrics[v].name, "queue", q->name,
                       value_of(q, (enum queue_value)v));
    }
    head(f, "brokerd_queue_oldest_message_seconds", "gauge",
         "How long the first message has waited.");
    for (size_t i = 0; (q = row_of(g, i)) != NULL; i++)
        sample_ms(f, "brokerd_queue_oldest_message_seconds", "queue", q->name, q->oldest_ms);
    head(f, "brokerd_queue_full_seconds", "gauge", "How long the queue has been full.");
    for (size_t i = 0; (q = row_of(g, i)) != NULL; i++)
        sample_ms(f, "brokerd_queue_full_seconds", "queue", q->name, q->full_ms);
    head(f, "brokerd_queue_refused_total", "counter", "Messages not taken, by reason above 0.");
    put_lost(f, g, "brokerd_queue_refused_total", true);
    head(f, "brokerd_queue_lost_total", "counter", "Messages lost, by reason above 0.");
    put_lost(f, g, "brokerd_queue_lost_total", false);
}

/* ----------------------------------------------------------------------------------- webhooks */

static void put_webhooks(FILE *f, const json_t *webhooks)
{
    static const struct {
        const char *name, *type, *help, *key;
        bool is_counter;
    } rows[] = {
        {"brokerd_webhook_in_flight", "gauge", "Requests under way.", "in_flight", false},
        {"brokerd_webhook_window", "gauge", "How many may be, now.", "window", false},
        {"brokerd_webhook_attempts_total", "counter", "Requests made.", "attempts", true},
        {"brokerd_webhook_delivered_total", "counter", "Messages delivered.", "delivered", true},
        {"brokerd_webhook_failed_total", "counter", "Requests that failed.", "failed", true},
        {"brokerd_webhook_dead_lettered_total", "counter", "Messages given up.", "dead_lettered",
         true},
    };
    const json_t *w;
    size_t n;

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        head(f, rows[i].name, rows[i].type, rows[i].help);
        json_array_foreach(webhooks, n, w)
        {
            const json_t *from = rows[i].is_counter ? json_object_get(w, "counters") : w;

            sample(f, rows[i].name, "webhook", json_string_value(json_object_get(w, "webhook")),
                   (uint64_t)json_integer_value(json_object_get(from, rows[i].key)));
        }
    }
    head(f, "brokerd_webhook_up", "gauge", "1 if it is active: neither disabled nor failing.");
    json_array_foreach(webhooks, n, w)
    {
        const char *state = json_string_value(json_object_get(w, "state"));

        sample(f, "brokerd_webhook_up", "webhook", json_string_value(json_object_get(w, "webhook")),
               state && strcmp(state, "active") == 0);
    }
}

/* ------------------------------------------------------------------------------------- stores */

/* A histogram of how long syncs took: "sync" has its sum and its buckets. */
static void put_syncs(FILE *f, const char *store, const json_t *sync)
{
    static const char name[] = "brokerd_store_sync_seconds";
    uint64_t all = 0;
    const json_t *b;
    size_t n;

    json_array_foreach(json_object_get(sync, "buckets"), n, b)
    {
        json_int_t below = json_integer_value(json_object_get(b, "below_us"));

        all += (uint64_t)json_integer_value(json_object_get(b, "count"));
        fprintf(f, "%s_bucket{", name);
        put_label(f, "store", store);
        if (below)
            fprintf(f, ",le=\"%.9g\"} %llu\n", (double)below / 1e6, (unsigned long long)all);
        else /* the last has no end */
            fprintf(f, ",le=\"+Inf\"} %llu\n", (unsigned long long)all);
    }
    put_name(f, "brokerd_store_sync_seconds_sum", "store", store);
    fprintf(f, "%.9g\n", (double)json_integer_value(json_object_get(sync, "total_us")) / 1e6);
    sample(f, "brokerd_store_sync_seconds_count", "store", store, all);
}

static const struct {
    const char *name, *type, *help, *key;
    bool is_counter; /* of the store: in its `counters` */
} store_metrics[] = {
    {"brokerd_store_messages", "gauge", "Messages kept.", "messages", false},
    {"brokerd_store_queues", "gauge", "Queues kept.", "queues", false},
    {"brokerd_store_segments", "gauge", "Files.", "segments", false},
    {"brokerd_store_disk_bytes", "gauge", "Size of these.", "disk_bytes", false},
    {"brokerd_store_disk_limit_bytes", "gauge", "What they may be.", "max_disk_bytes", false},
    {"brokerd_store_live_bytes", "gauge", "Of their size, what is of use.", "live_bytes", false},
    {"brokerd_store_in_flight", "gauge", "Commands not answered yet.", "in_flight", false},
    {"brokerd_store_puts_total", "counter", "Messages put.", "puts", true},
    {"brokerd_store_settlements_total", "counter", "Messages settled.", "settlements", true},
    {"brokerd_store_batches_total", "counter", "Batches written.", "batches", true},
    {"brokerd_store_written_bytes_total", "counter", "Bytes written.", "bytes", true},
    {"brokerd_store_moved_bytes_total", "counter", "Of those, written again to clear segments.",
     "moved_bytes", true},
    {"brokerd_store_cleared_segments_total", "counter", "Segments cleared.", "cleared", true},
    {"brokerd_store_fetched_total", "counter", "Messages read back.", "fetched", true},
    {"brokerd_store_damaged_total", "counter",
     "Messages found to be damaged, and batches that a start did without.", "damaged", true},
    {"brokerd_store_connects_total", "counter", "Connections made, the first ones included.",
     "connects", true},
    {"brokerd_store_failures_total", "counter", "Connections lost, or not made.", "failures", true},
    {"brokerd_store_timeouts_total", "counter", "Of those, for want of an answer.", "timeouts",
     true},
    {"brokerd_store_retries_total", "counter", "Commands sent again.", "retries", true},
    {"brokerd_store_unknown_total", "counter", "Commands whose outcome is not known.", "unknown",
     true},
    {"brokerd_store_nodes", "gauge", "Other nodes that share topics.", "nodes", false},
    {"brokerd_store_filters", "gauge", "Filters that are wanted of them.", "filters", false},
    {"brokerd_store_wanted_filters", "gauge", "Filters that they want.", "wanted", false},
    {"brokerd_store_topics_waiting", "gauge", "Messages for them that wait.", "waiting", false},
    {"brokerd_store_topics_forwarded_total", "counter", "Messages sent to other nodes.",
     "topics_forwarded", true},
    {"brokerd_store_topics_lost_total", "counter", "Messages not sent to them, or perhaps not.",
     "topics_lost", true},
    {"brokerd_store_topics_received_total", "counter", "Messages of other nodes.",
     "topics_received", true},
    {"brokerd_store_topics_missed_total", "counter", "Messages of theirs that did not come.",
     "topics_missed", true},
    {"brokerd_store_topics_malformed_total", "counter", "Entries that were none of theirs.",
     "topics_malformed", true},
};

/* Only what a store counts. */
static void put_store_metric(FILE *f, size_t i, const json_t *stores)
{
    bool any = false;
    const char *store;
    json_t *s;

    json_object_foreach((json_t *)(uintptr_t)stores, store, s)
    {
        const json_t *from = store_metrics[i].is_counter ? json_object_get(s, "counters") : s;
        const json_t *n = json_object_get(from, store_metrics[i].key);

        if (!json_is_integer(n))
            continue;
        if (!any)
            head(f, store_metrics[i].name, store_metrics[i].type, store_metrics[i].help);
        any = true;
        sample(f, store_metrics[i].name, "store", store, (uint64_t)json_integer_value(n));
    }
}

static void put_stores(FILE *f, const json_t *stores)
{
    json_t *list = (json_t *)(uintptr_t)stores, *s;
    const char *store;

    if (!json_object_size(stores))
        return;
    head(f, "brokerd_store_up", "gauge", "1 if it answers and takes messages.");
    json_object_foreach(list, store, s)
    {
        sample(f, "brokerd_store_up", "store", store,
               strcmp(json_string_value(json_object_get(s, "state")), "up") == 0);
    }
    for (size_t i = 0; i < sizeof store_metrics / sizeof store_metrics[0]; i++)
        put_store_metric(f, i, stores);
    head(f, "brokerd_store_refused_total", "counter", "Messages not taken, by why.");
    json_object_foreach(list, store, s)
    {
        const char *why;
        json_t *n;

        json_object_foreach(json_object_get(s, "refused"), why, n)
        {
            fputs("brokerd_store_refused_total{", f);
            put_label(f, "store", store);
            fputc(',', f);
            put_label(f, "why", why);
            fprintf(f, "} %lld\n", (long long)json_integer_value(n));
        }
    }
    json_object_foreach(list, store, s)
    {
        if (!json_object_get(s, "sync")) /* only the journal's, of which there is one */
            continue;
        head(f, "brokerd_store_sync_seconds", "histogram", "How long it took to be on disk.");
        put_syncs(f, store, json_object_get(s, "sync"));
    }
}

/* ------------------------------------------------------------------------------------ process */

/* Pages: all of it, and what is in memory. */
static bool read_pages(unsigned long long *size, unsigned long long *resident)
{
    FILE *f = fopen("/proc/self/statm", "re");
    char line[128] = "", *second;
    bool ok = f && fgets(line, sizeof line, f);

    if (f)
        (void)fclose(f);
    *size = strtoull(line, &second, 10);
    *resident = strtoull(second, NULL, 10);
    return ok;
}

static void put_process(FILE *f, const struct admin *a)
{
    unsigned long long size, resident, page = (unsigned long long)sysconf(_SC_PAGESIZE);
    struct rlimit files;
    struct rusage used;
    struct stat fds;

    head(f, "process_start_time_seconds", "gauge", "When it started, since 1970.");
    sample_ms(f, "process_start_time_seconds", NULL, NULL, a->started_wall_ms);
    if (getrusage(RUSAGE_SELF, &used) == 0) {
        head(f, "process_cpu_seconds_total", "counter", "User and system time.");
        sample_ms(f, "process_cpu_seconds_total", NULL, NULL,
                  (int64_t)(used.ru_utime.tv_sec + used.ru_stime.tv_sec) * 1000 +
                      (used.ru_utime.tv_usec + used.ru_stime.tv_usec) / 1000);
    }
    if (read_pages(&size, &resident)) {
        one(f, "process_virtual_memory_bytes", "gauge", "Address space.", size * page);
        one(f, "process_resident_memory_bytes", "gauge", "Memory in use.", resident * page);
    }
    if (getrlimit(RLIMIT_NOFILE, &files) == 0 && files.rlim_cur != RLIM_INFINITY)
        one(f, "process_max_fds", "gauge", "Descriptors it may have.", files.rlim_cur);
    /* Before Linux 6.2 the folder's size is 0; reading it would take long with many connections. */
    if (stat("/proc/self/fd", &fds) == 0 && fds.st_size > 0)
        one(f, "process_open_fds", "gauge", "Descriptors it has.", (uint64_t)fds.st_size);
}

/* ----------------------------------------------------------------------------------- the call */

static bool write_all(FILE *f, const struct gathered *g, const json_t *answer, const struct desk *d)
{
    put_broker(f, g, d);
    put_messages(f, &g->totals);
    put_calls(f, &g->totals, json_object_get(answer, "services"));
    put_connections(f, &g->totals, answer);
    put_workers(f, json_object_get(answer, "workers"));
    put_queues(f, g);
    if (d->admin->o.hooks)
        put_webhooks(f, json_object_get(answer, "webhooks"));
    put_stores(f, json_object_get(answer, "stores"));
    put_process(f, d->admin);
    return fclose(f) == 0;
}

static void then_write(struct ask *a, struct desk *d)
{
    const struct gathered *g = a->data;
    char *text = NULL;
    size_t size = 0;
    FILE *f;

    sums_tell(a->answer, &g->totals, d);
    f = open_memstream(&text, &size);
    if (f && write_all(f, g, a->answer, d)) {
        ask_answer_with(a, &(struct call_payload){
                               .data = slice_of(text, size),
                               .type = {.id = CTYPE_NAMED, .name = slice_str(content_type)}});
    } else {
        ask_refuse(a, REASON_MEMORY, "no memory for the answer");
        ask_refused(a, d);
    }
    free(text);
}

void admin_set_metrics_queues(struct admin *a, unsigned n)
{
    atomic_store(&a->metrics_queues, n);
}

void cmd_metrics(struct ask *a, struct desk *d)
{
    size_t limit = atomic_load(&d->admin->metrics_queues);
    struct gathered *g = calloc(1, sizeof *g + limit * sizeof g->rows[0]);

    if (!g) {
        ask_refuse(a, REASON_MEMORY, "no memory to count");
        ask_refused(a, d);
        return;
    }
    g->limit = limit;
    a->data = g;
    a->free_data = free;
    sums_begin(a->answer);
    json_object_set_new(a->answer, "webhooks", json_array());
    json_object_set_new(a->answer, "stores", json_object());
    ask_visit_all(a, d, visit, then_write);
}
