/* The journal: opened before all else, told of by one thread of its own. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "brokerd/core/store.h"
#include "brokerd/store/journal/explain.h"
#include "brokerd/store/journal/journal.h"
#include "brokerd/stores_internal.h"
#include "config/options.h"

enum { STOP_S = 10 }; /* for the disk to take the last batch */

static int call_worker(void *ctx, unsigned to, journal_run_fn *run, void *arg)
{
    const struct stores *s = ctx;

    return workers_call(s->workers, to, run, arg);
}

static void take_answer(void *ctx, unsigned to, const struct stored *a)
{
    const struct stores *s = ctx;

    core_stored(worker_core(workers_get(s->workers, to)), a);
}

static void tell_journal(void *ctx, const struct journal_event *ev)
{
    static const struct {
        const char *event;
        enum log_level level;
    } kinds[] = {
        [JOURNAL_FULL] = {"store_full", LEVEL_WARNING},
        [JOURNAL_ROOM] = {"store_room", LEVEL_NOTICE},
        [JOURNAL_DAMAGED] = {"store_damaged", LEVEL_ERROR},
        [JOURNAL_UNRECORDED] = {"store_unrecorded", LEVEL_WARNING},
    };
    const struct stores *s = ctx;

    s->o.tell(s->o.ctx, kinds[ev->kind].level, kinds[ev->kind].event,
              LOG_FACTS({"store", "journal", 0}), ev->text);
}

static int exit_status_of(int error)
{
    switch (-error) {
    case EACCES:
    case EPERM:
    case EROFS:
        return EXIT_NO_PERMISSION;
    case ENOMEM:
    case EMFILE:
    case ENFILE:
        return EXIT_SYSTEM_ERROR;
    default: /* another has it, it is damaged, the disk does not answer */
        return EXIT_STORE_UNREACHABLE;
    }
}

static void say_opened(const struct settings_journal *o, struct journal *j, int64_t took_ms)
{
    const struct recovery *r = journal_recovery(j);
    struct journal_facts f = journal_facts(j);

    for (uint64_t i = 0; i < r->damaged && i < DAMAGE_TOLD; i++) {
        char text[96];

        explain_damage(&r->damage[i], text, sizeof text);
        log_event(LEVEL_ERROR, "store_damaged",
                  LOG_FACTS({"store", "journal", 0}, {"segment", NULL, r->damage[i].segment},
                            {"batches", NULL, r->damage[i].batches}),
                  "journal: %s", text);
    }
    if (r->torn_bytes)
        log_event(LEVEL_NOTICE, "store_torn",
                  LOG_FACTS({"store", "journal", 0}, {"bytes", NULL, r->torn_bytes}),
                  "journal: %llu bytes at its end were being written when it ended last; they were "
                  "not confirmed, and are cut off",
                  (unsigned long long)r->torn_bytes);
    log_event(LEVEL_NOTICE, "store_open",
              LOG_FACTS({"store", "journal", 0}, {"path", o->path, 0}, {"queues", NULL, f.queues},
                        {"messages", NULL, f.messages}, {"segments", NULL, f.segments},
                        {"took_ms", NULL, (uint64_t)took_ms}),
              "journal: %llu messages in %llu queues, read in %lld ms",
              (unsigned long long)f.messages, (unsigned long long)f.queues, (long long)took_ms);
}

int stores_open_journal(struct stores *s)
{
    const struct settings_journal *o = &s->o.settings->journal;
    struct journal_options jo = {.path = o->path,
                                 .segment_bytes = o->segment,
                                 .disk_max = o->max_disk,
                                 .accept_damage = o->accept_damage,
                                 .workers = s->o.settings->workers,
                                 .ctx = s,
                                 .call = call_worker,
                                 .stored = take_answer,
                                 .event = tell_journal};
    int64_t began_ns = worker_clock_ns();
    char text[STORES_TEXT_MAX] = "";
    int r = journal_open(&jo, &s->journal, text, sizeof text);

    if (r < 0) {
        fprintf(stderr, "brokerd: store \"journal\": %s\n", *text ? text : strerror(-r));
        return exit_status_of(r);
    }
    say_opened(o, s->journal, (worker_clock_ns() - began_ns) / 1000000);
    return EXIT_STOPPED;
}

static void *stop_journal(void *arg)
{
    journal_stop(arg);
    return NULL;
}

void stores_stop_journal(struct stores *s)
{
    struct timespec until;
    pthread_t t;

    if (pthread_create(&t, NULL, stop_journal, s->journal) != 0) {
        journal_stop(s->journal);
        return;
    }
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += STOP_S;
    if (pthread_timedjoin_np(t, NULL, &until) == 0)
        return;
    log_error("stopping: the disk has not taken the journal's last batch for %d s; what was "
              "confirmed is kept",
              STOP_S);
    _exit(EXIT_STORE_FAILED);
}

/* ---- what is told of it */

/* A time when something began, wall clock, as text and as how long ago. */
static void add_since(json_t *to, int64_t since_ms)
{
    struct timespec now;
    char text[32];
    time_t s = (time_t)(since_ms / 1000);
    struct tm tm;

    if (!since_ms)
        return;
    clock_gettime(CLOCK_REALTIME, &now);
    (void)gmtime_r(&s, &tm);
    (void)strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &tm);
    json_object_set_new(to, "since", json_string(text));
    json_object_set_new(
        to, "since_ms",
        json_integer((json_int_t)now.tv_sec * 1000 + now.tv_nsec / 1000000 - since_ms));
}

static json_t *json_syncs(const struct journal_facts *f)
{
    json_t *o = json_object(), *buckets = json_array();
    unsigned last = JOURNAL_SYNC_BUCKETS - 1;

    for (unsigned i = 0; i <= last; i++) {
        json_int_t below = i == last ? 0 : (json_int_t)8 << i; /* 0: it has no end */

        json_array_append_new(buckets, json_pack("{s:I,s:I}", "below_us", below, "count",
                                                 (json_int_t)f->sync_times[i]));
    }
    json_object_set_new(o, "count", json_integer((json_int_t)f->syncs));
    json_object_set_new(o, "total_us", json_integer((json_int_t)(f->sync_ns / 1000)));
    json_object_set_new(o, "max_us", json_integer((json_int_t)(f->sync_ns_max / 1000)));
    json_object_set_new(o, "buckets", buckets);
    return o;
}

enum { STUCK_MS = 1000 }; /* a sync that takes longer is told */

/* What it is doing. */
static const char *journal_state(const struct journal_facts *f, int64_t *since_ms)
{
    struct timespec now;

    clock_gettime(CLOCK_REALTIME, &now);
    *since_ms = f->syncing_since_ms;
    if (*since_ms && (int64_t)now.tv_sec * 1000 - *since_ms > STUCK_MS)
        return "stuck";
    *since_ms = f->full_since_ms;
    return *since_ms ? "full" : "up";
}

json_t *stores_tell_journal(const struct stores *s)
{
    struct journal_facts f = journal_facts(s->journal);
    const struct store_number facts[] = {{"messages", f.messages},
                                         {"queues", f.queues},
                                         {"segments", f.segments},
                                         {"disk_bytes", f.disk},
                                         {"live_bytes", f.data + f.notes}};
    const struct store_number counters[] = {{"puts", f.puts},
                                            {"settlements", f.settlements},
                                            {"batches", f.batches},
                                            {"records", f.records},
                                            {"bytes", f.bytes},
                                            {"put_bytes", f.put_bytes},
                                            {"moved_bytes", f.moved_bytes},
                                            {"cleared", f.cleared},
                                            {"fetches", f.fetches},
                                            {"fetched", f.fetched},
                                            {"read_bytes", f.read_bytes},
                                            {"damaged", f.damaged},
                                            {"rolled_late", f.rolled_late},
                                            {"unrecorded", f.unrecorded}};
    const struct store_number refused[] = {
        {"full", f.refused_full}, {"space", f.refused_space}, {"memory", f.refused_memory}};
    json_t *o = json_object(), *c = json_object(), *r = json_object();
    int64_t since_ms;

    json_object_set_new(o, "store", json_string("journal"));
    json_object_set_new(o, "path", json_string(s->o.settings->journal.path));
    json_object_set_new(o, "state", json_string(journal_state(&f, &since_ms)));
    add_since(o, since_ms);
    STORES_ADD_NUMBERS(o, facts);
    json_object_set_new(o, "max_disk_bytes",
                        f.disk_max == UINT64_MAX ? json_null()
                                                 : json_integer((json_int_t)f.disk_max));
    STORES_ADD_NUMBERS(c, counters);
    json_object_set_new(o, "counters", c);
    STORES_ADD_NUMBERS(r, refused);
    json_object_set_new(o, "refused", r);
    json_object_set_new(o, "sync", json_syncs(&f));
    return o;
}
