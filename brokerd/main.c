/* brokerd: options, start, signals, stop. The only place that holds all the pieces.
 *
 * Workers have threads of their own; this one waits for signals and watches over the end:
 *
 *      STARTING --> RUNNING --SIGTERM--> DRAINING --> CLOSING --> ENDED
 *                     |                    ^
 *                     +--SIGUSR2--> EVICTING
 *
 * STARTING: workers run, stores tell what queues there are, nobody is let in yet. DRAINING:
 * listeners are closed, peers told, and what publishers wait for is settled. CLOSING: connections
 * write what they still have. EVICTING: as DRAINING, but connections go by and by. Each has its
 * deadline; a second SIGTERM ends at once. */
#include <errno.h>
#include <event2/event.h>
#include <limits.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "brokerd/admin/admin.h"
#include "brokerd/listeners.h"
#include "brokerd/net/net.h"
#include "brokerd/net/systemd.h"
#include "brokerd/stores.h"
#include "brokerd/webhooks/webhooks.h"
#include "brokerd/worker/trim.h"
#include "brokerd/worker/worker.h"
#include "config/options.h"
#include "libbroker/base/log.h"

enum {
    LINGER_MS = 2000,  /* for a peer to read our last words */
    CLOSING_MS = 3000, /* for all of them */
    BEGIN_MS = 2000,   /* for webhooks to have their queues */
    LOOK_MS = 20,      /* how often it is looked whether a phase is over */
};

enum phase { STARTING, RUNNING, EVICTING, DRAINING, CLOSING, ENDED };

/* Workers asked the same question; each answers by counting. Asked anew only when all answered. */
struct round {
    atomic_uint answered, yes;
};

struct broker {
    struct options options;
    struct settings *settings; /* in force */
    struct settings *started;  /* at the start: what takes a restart is still as there */
    struct workers *workers;
    struct net *net;
    struct admin *admin;
    struct webhooks *webhooks;
    struct stores *stores; /* NULL: nothing is durable */

    struct event_base *base;
    struct event *signals[5];
    struct event *look; /* at the end of phases */
    struct event *watchdog;
    struct trim *trim;
    struct event *orders; /* of admin's */
    int orders_fd;        /* by which it wakes us */
    enum phase phase;
    int64_t deadline_ms; /* of the phase */
    struct round drained, alive;
};

static int64_t now_ms(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

/* ---- rounds of questions */

static bool round_over(struct round *r, const struct broker *b)
{
    return atomic_load(&r->answered) == workers_count(b->workers);
}

static void round_start(struct round *r, struct broker *b, worker_fn *fn)
{
    atomic_store(&r->answered, 0);
    atomic_store(&r->yes, 0);
    for (unsigned i = 0; i < workers_count(b->workers); i++)
        if (workers_call(b->workers, i, fn, r) < 0)
            atomic_fetch_add(&r->answered, 1); /* as a no */
}

static void answer_drained(void *arg, struct worker *w)
{
    struct round *r = arg;

    if (core_drained(worker_core(w)) && !worker_stores_busy(w))
        atomic_fetch_add(&r->yes, 1);
    atomic_fetch_add(&r->answered, 1);
}

static void answer_alive(void *arg, struct worker *w)
{
    struct round *r = arg;

    (void)w;
    atomic_fetch_add(&r->yes, 1);
    atomic_fetch_add(&r->answered, 1);
}

static bool all_said_yes(struct round *r, const struct broker *b)
{
    return atomic_load(&r->yes) == workers_count(b->workers);
}

/* ---- what admin asks of the net; on the worker in question */

struct telling {
    admin_connection_fn *fn;
    void *ctx;
};

static void tell_connection(void *ctx, const struct net_conn_info *i)
{
    const struct telling *to = ctx;
    struct admin_connection c = {.id = i->id,
                                 .peer = i->peer,
                                 .door = i->door,
                                 .state = i->state,
                                 .since_ms = i->since_ms,
                                 .bytes_in = i->bytes_in,
                                 .bytes_out = i->bytes_out,
                                 .pending_out = i->pending_out,
                                 .is_reading = i->is_reading,
                                 .endpoint = i->endpoint};

    to->fn(to->ctx, &c);
}

static void tell_connections(void *ctx, unsigned worker, admin_connection_fn *fn, void *fn_ctx)
{
    const struct broker *b = ctx;
    struct telling to = {fn, fn_ctx};

    net_each_connection(b->net, worker, tell_connection, &to);
}

static void tell_ended(void *ctx, unsigned worker, admin_count_fn *fn, void *fn_ctx)
{
    const struct broker *b = ctx;
    struct net_stats s = net_worker_stats(b->net, worker);

    for (unsigned i = 0; i < NET_ENDS; i++)
        if (s.ended[i])
            fn(fn_ctx, net_end_name((enum net_end)i), s.ended[i]);
}

static void tell_counts(void *ctx, unsigned worker, admin_count_fn *fn, void *fn_ctx)
{
    const struct broker *b = ctx;

    net_door_counts(b->net, worker, fn, fn_ctx);
}

static const char *tell_listener(void *ctx, size_t i)
{
    const struct broker *b = ctx;

    return i < net_listeners(b->net) ? net_listener_url(b->net, i) : NULL;
}

static unsigned home_of_connection(void *ctx, uint64_t id)
{
    (void)ctx;
    return net_connection_worker(id);
}

static int kill_connection(void *ctx, uint64_t id)
{
    const struct broker *b = ctx;

    return net_kill(b->net, id);
}

static const struct admin_net admin_net = {tell_connections,   tell_ended,      tell_listener,
                                           home_of_connection, kill_connection, tell_counts};

/* ---- between admin and the webhooks */

static const struct admin_webhooks admin_webhooks = {
    webhooks_home,   webhooks_list,   webhooks_info, webhooks_add,
    webhooks_remove, webhooks_enable, webhooks_test};

static void tell_webhook(void *ctx, struct worker *w, const struct webhook_event *e)
{
    const struct broker *b = ctx;
    struct admin_notice n = {e->kind, e->level, e->what, e->webhook, e->text};

    admin_notice(b->admin, w, &n);
}

/* ---- settings */

static void complain(void *ctx, const char *text)
{
    (void)ctx;
    fprintf(stderr, "brokerd: %s\n", text);
}

static uint32_t at_most_32(uint64_t n)
{
    return n > UINT32_MAX ? UINT32_MAX : (uint32_t)n;
}

/* A count whose 0 stands for no limit. */
static uint32_t zero_if_none(uint32_t n)
{
    return n == UINT32_MAX ? 0 : n;
}

static struct net_options net_options_of(const struct settings *s)
{
    const struct settings_limits *l = &s->limits;

    return (struct net_options){.max_connections = l->max_connections,
                                .first_frame_ms = l->first_frame_ms,
                                .linger_ms = LINGER_MS,
                                .websocket_ping_ms = l->websocket_ping_ms,
                                .inlets = s->inlets,
                                .door = {.first_frame_max = at_most_32(l->first_frame_max),
                                         .frame_max = at_most_32(l->frame_max),
                                         .message_max = s->max_message,
                                         .reassembly_max = l->reassembly_max,
                                         .streams_max = l->max_streams,
                                         .publish_rate = zero_if_none(l->publish_rate),
                                         .keepalive_min_ms = l->keepalive_min_ms,
                                         .idle_max_ms = l->idle_max_ms,
                                         .session_bytes = l->resume_max_bytes,
                                         .session_ms = l->resume_timeout_ms,
                                         .sessions_max = l->resume_max_sessions,
                                         .lease_requests = l->lease_requests,
                                         .lease_ms = l->lease_ttl_ms,
                                         .json_keepalive_ms = l->json_keepalive_ms,
                                         .first_frame_ms = l->first_frame_ms,
                                         .http_idle_ms = l->http_idle_ms}};
}

static void set_log(const struct settings *s)
{
    log_setup((enum log_level)s->log_level, (enum log_format)s->log_format);
}

static enum placement placement_of(const struct settings *s)
{
    return s->placement == SETTINGS_SPREAD ? PLACEMENT_SPREAD : PLACEMENT_PACK;
}

/* ---- reload */

static void take_policies(void *arg, struct worker *w)
{
    struct policy_set *set = arg;

    core_configure(worker_core(w), set);
    policy_set_unref(set);
}

/* Who asked for it over the network hears of it, too. */
struct reloading {
    const struct admin_listener *asker; /* NULL: it was a signal */
    bool restart;                       /* of which kind of change is told */
    bool is_done;                       /* it is done, and not only looked at */
    uint64_t changed, kept;             /* settings that differ: in force now, or not yet */
};

static void complain_to_both(void *ctx, const char *text)
{
    const struct reloading *r = ctx;

    if (r->is_done)
        log_error("settings: %s", text);
    if (r->asker)
        r->asker->mistake(r->asker->ctx, text);
}

/* What a section is that was not there, or is no more. */
static const char *or_nothing(const char *value)
{
    return *value ? value : "nothing";
}

static void log_change(const struct settings_change *ch)
{
    const struct log_fact facts[] = {{"setting", ch->what, 0},
                                     {"value", ch->restart ? ch->before : ch->after, 0},
                                     {"before", ch->restart ? "" : ch->before, 0},
                                     {"wanted", ch->restart ? ch->after : "", 0},
                                     {0}};

    if (ch->restart)
        log_event(LEVEL_WARNING, "setting_kept", facts,
                  "reload: %s = %s takes a restart; it stays %s", ch->what, or_nothing(ch->after),
                  or_nothing(ch->before));
    else
        log_event(LEVEL_NOTICE, "setting_changed", facts, "reload: %s = %s (was %s)", ch->what,
                  or_nothing(ch->after), or_nothing(ch->before));
}

static void tell_change(void *ctx, const struct settings_change *ch)
{
    struct reloading *r = ctx;
    struct admin_change c = {ch->what, ch->before, ch->after, ch->restart};

    if (ch->restart != r->restart)
        return;
    ++*(ch->restart ? &r->kept : &r->changed);
    if (r->is_done)
        log_change(ch);
    if (r->asker)
        r->asker->change(r->asker->ctx, &c);
}

/* What takes a restart is still as it was at the start. */
static void tell_changes(const struct broker *b, const struct settings *s, struct reloading *r)
{
    r->restart = false;
    settings_diff(b->settings, s, tell_change, r);
    r->restart = true;
    settings_diff(b->started, s, tell_change, r);
}

static int apply(struct broker *b, const struct settings *s)
{
    struct net_options o = net_options_of(s);
    int failed = net_configure(b->net, &o), r;

    set_log(s);
    workers_set_memory(b->workers, s->memory);
    workers_set_placement(b->workers, placement_of(s));
    admin_set_placement(b->admin, placement_of(s));
    admin_set_metrics_queues(b->admin, s->metrics_queues);
    for (unsigned i = 0; i < workers_count(b->workers); i++) {
        r = workers_call(b->workers, i, take_policies, policy_set_ref(s->policies));
        if (r < 0) {
            policy_set_unref(s->policies);
            failed = r;
        }
    }
    if (webhooks_apply(b->webhooks, s->webhooks, s->n_webhooks) < 0)
        failed = -ENOMEM;
    return failed;
}

static void tell_reloaded(struct broker *b, const char *file, uint64_t changed, uint64_t restart)
{
    char text[PATH_MAX + 16];

    snprintf(text, sizeof text, "reloaded %s", file ? file : "the defaults");
    admin_tell(b->admin, LEVEL_NOTICE, "reloaded",
               LOG_FACTS({"file", file ? file : "", 0}, {"changed", NULL, changed},
                         {"take_restart", NULL, restart}),
               text);
}

/* -EPIPE; -errno: the old settings stay. */
static int reload(struct broker *b, const struct admin_listener *asker)
{
    struct reloading told = {.asker = asker, .is_done = true};
    struct settings *s = NULL;
    char text[128];
    int r, failed;

    if (b->phase != RUNNING)
        return -EPIPE;
    systemd_notify_reloading();
    r = settings_load(b->options.file, &b->options.overrides, complain_to_both, &told, &s);
    if (r < 0) {
        snprintf(text, sizeof text,
                 "reload: the settings are not as they should be; the old ones stay: %s",
                 strerror(-r));
        admin_tell(b->admin, LEVEL_ERROR, "reload_failed",
                   LOG_FACTS({"file", b->settings->file ? b->settings->file : "", 0}), text);
    } else {
        tell_changes(b, s, &told);
        failed = apply(b, s);
        if (failed < 0)
            log_error("reload: not everywhere: %s; reload again", strerror(-failed));
        if (b->settings != b->started)
            settings_free(b->settings);
        b->settings = s;
        tell_reloaded(b, s->file, told.changed, told.kept);
    }
    systemd_notify("READY=1");
    return r;
}

/* ---- stopping */

static void set_phase(struct broker *b, enum phase phase, int64_t lasts_ms)
{
    static const struct timeval look = {0, LOOK_MS * 1000};

    b->phase = phase;
    b->deadline_ms = now_ms() + lasts_ms;
    if (phase == ENDED)
        event_base_loopbreak(b->base);
    else
        event_add(b->look, &look);
}

/* Said before the workers are told: who listens on `$SYS` shall hear it. */
static void begin_drain(struct broker *b, const char *text)
{
    if (b->phase == EVICTING)
        log_notice("%s", text);
    else
        admin_tell(b->admin, LEVEL_NOTICE, "drain",
                   LOG_FACTS({"connections", NULL, net_connections(b->net)},
                             {"within_ms", NULL, (uint64_t)b->settings->drain_ms}),
                   text);
    webhooks_drain(b->webhooks);
    if (net_drain(b->net) < 0)
        log_error("out of memory: not every connection was told that we drain");
}

static void evict(struct broker *b)
{
    if (b->phase != RUNNING)
        return;
    systemd_notify("STOPPING=1\nSTATUS=Draining");
    begin_drain(b, "draining: connections are closed by and by");
    (void)net_close_all(b->net, b->settings->drain_ms);
    set_phase(b, EVICTING, b->settings->drain_ms + CLOSING_MS);
}

static void stop(struct broker *b, const char *why)
{
    if (b->phase >= DRAINING || b->phase == STARTING) {
        log_notice(b->phase == STARTING ? "stopping before it was ready" : "stopping at once");
        set_phase(b, ENDED, 0);
        return;
    }
    systemd_notify("STOPPING=1\nSTATUS=Stopping");
    begin_drain(b, why);
    round_start(&b->drained, b, answer_drained);
    set_phase(b, DRAINING, b->settings->drain_ms);
}

static void close_connections(struct broker *b)
{
    (void)net_close_all(b->net, 0);
    set_phase(b, CLOSING, CLOSING_MS);
}

/* Is this phase over? Then the next one begins. */
static void on_look(evutil_socket_t fd, short what, void *ctx)
{
    struct broker *b = ctx;
    bool is_late = now_ms() >= b->deadline_ms;

    (void)fd;
    (void)what;
    switch (b->phase) {
    case STARTING:
    case RUNNING:
    case ENDED:
        return;
    case EVICTING:
        if (net_connections(b->net) == 0 || is_late) {
            log_notice("drained: %u connections left", net_connections(b->net));
            stop(b, "stopping (drained)");
        }
        return;
    case DRAINING:
        if (round_over(&b->drained, b) && all_said_yes(&b->drained, b)) {
            close_connections(b);
        } else if (is_late) {
            log_warning("stopping: not everything was settled in time");
            close_connections(b);
        } else if (round_over(&b->drained, b)) {
            round_start(&b->drained, b, answer_drained);
        }
        return;
    case CLOSING:
        if ((net_connections(b->net) != 0 || webhooks_under_way(b->webhooks)) && !is_late)
            return;
        if (is_late && net_connections(b->net))
            log_warning("stopping: %u connections did not take what was left for them",
                        net_connections(b->net));
        set_phase(b, ENDED, 0);
        return;
    }
}

/* ---- signals and the watchdog */

static void on_signal(evutil_socket_t signal, short what, void *ctx)
{
    struct broker *b = ctx;

    (void)what;
    switch (signal) {
    case SIGHUP:
        (void)reload(b, NULL);
        break;
    case SIGUSR2:
        evict(b);
        break;
    default:
        stop(b, signal == SIGINT ? "stopping (SIGINT)" : "stopping (SIGTERM)");
        break;
    }
}

/* Only if every worker has answered since: one that hangs shall not look healthy. */
static void on_watchdog(evutil_socket_t fd, short what, void *ctx)
{
    struct broker *b = ctx;

    (void)fd;
    (void)what;
    if (!round_over(&b->alive, b))
        return;
    if (all_said_yes(&b->alive, b))
        systemd_notify("WATCHDOG=1");
    round_start(&b->alive, b, answer_alive);
}

/* ---- what admin asks of us */

static void wake(void *ctx)
{
    const struct broker *b = ctx;
    uint64_t one = 1;

    (void)!write(b->orders_fd, &one, sizeof one); /* full: it is awake anyway */
}

static void on_orders(evutil_socket_t fd, short what, void *ctx)
{
    const struct broker *b = ctx;
    uint64_t n;

    (void)what;
    if (read(fd, &n, sizeof n) > 0)
        admin_orders(b->admin);
}

static void tell_setting(void *ctx, const struct settings_told *t)
{
    const struct admin_listener *to = ctx;
    struct admin_setting s = {.section = t->section,
                              .title = t->title,
                              .key = t->key,
                              .value = t->value,
                              .fallback = t->fallback,
                              .is_list = t->is_list,
                              .restart = t->restart};

    to->setting(to->ctx, &s);
}

/* What is in force, and what the file would change by now. */
static const char *tell_settings(void *ctx, const struct admin_listener *to)
{
    const struct broker *b = ctx;
    struct reloading told = {.asker = to};
    struct settings *now = NULL;

    settings_tell(b->settings, b->started, tell_setting, (void *)(uintptr_t)to);
    if (settings_load(b->options.file, &b->options.overrides, complain_to_both, &told, &now) == 0)
        tell_changes(b, now, &told);
    settings_free(now);
    return b->settings->file;
}

static int reload_for(void *ctx, const struct admin_listener *to)
{
    log_notice("reload: asked for by an admin call");
    return reload(ctx, to);
}

static void drain_for(void *ctx)
{
    log_notice("drain: asked for by an admin call");
    evict(ctx);
}

static int snapshot_for(void *ctx, bool keep, char *path, size_t n)
{
    const struct broker *b = ctx;
    int r = stores_snapshot(b->stores, keep, path, n);

    if (r == 0)
        log_notice("journal: its files as of now are %s %s, asked for by an admin call",
                   keep ? "put aside in" : "no longer in", path);
    return r;
}

static const struct admin_main admin_main = {wake, tell_settings, reload_for, drain_for,
                                             snapshot_for};

static int watch_orders(struct broker *b)
{
    b->orders = event_new(b->base, b->orders_fd, EV_READ | EV_PERSIST, on_orders, b);
    return b->orders && event_add(b->orders, NULL) == 0 ? 0 : -ENOMEM;
}

static int watch_signals(struct broker *b)
{
    static const int which[] = {SIGTERM, SIGINT, SIGHUP, SIGUSR2};
    uint64_t watchdog_us = systemd_watchdog_us();

    b->base = event_base_new();
    if (!b->base)
        return -ENOMEM;
    for (size_t i = 0; i < sizeof which / sizeof which[0]; i++) {
        b->signals[i] = evsignal_new(b->base, which[i], on_signal, b);
        if (!b->signals[i] || event_add(b->signals[i], NULL) < 0)
            return -ENOMEM;
    }
    b->look = event_new(b->base, -1, EV_PERSIST, on_look, b);
    b->watchdog = event_new(b->base, -1, EV_PERSIST, on_watchdog, b);
    if (!b->look || !b->watchdog)
        return -ENOMEM;
    if (watchdog_us) {
        uint64_t us = watchdog_us / 3;
        struct timeval tv = {(time_t)(us / 1000000), (suseconds_t)(us % 1000000)};

        round_start(&b->alive, b, answer_alive);
        return event_add(b->watchdog, &tv) == 0 ? 0 : -ENOMEM;
    }
    return 0;
}

/* The line that says so, and where; written whatever the log's level. */
static void say_ready(const struct broker *b)
{
    char line[2048];
    size_t n = (size_t)snprintf(line, sizeof line, "brokerd %s ready on ", BROKER_BUILD_VERSION);

    for (size_t i = 0; i < net_listeners(b->net) && n < sizeof line; i++)
        n += (size_t)snprintf(line + n, sizeof line - n, "%s%s", i ? ", " : "",
                              net_listener_url(b->net, i));
    if (b->settings->log_format == LOG_FORMAT_JSON && log_enabled(LEVEL_NOTICE))
        log_notice("%s", line);
    else
        fprintf(stderr, "%s\n", line);
    systemd_notify("READY=1\nSTATUS=Serving");
}

/* ---- begin and end */

/* As many descriptors as we may have: each connection is one. */
static void raise_limits(void)
{
    struct rlimit l;

    if (getrlimit(RLIMIT_NOFILE, &l) == 0 && l.rlim_cur < l.rlim_max) {
        l.rlim_cur = l.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &l);
    }
}

/* Between the stores and admin; any thread. */
static void tell_store(void *ctx, enum log_level level, const char *event,
                       const struct log_fact *facts, const char *text)
{
    const struct broker *b = ctx;

    if (b->workers)
        admin_tell(b->admin, level, event, facts, text);
    else
        log_event(level, event, facts, "%s", text);
}

static int make_pieces(struct broker *b)
{
    const struct settings *s = b->settings;
    struct timespec wall;
    struct workers_options wo = {.n = s->workers,
                                 .placement = placement_of(s),
                                 .memory = s->memory,
                                 .policies = s->policies,
                                 .event = admin_event};
    struct admin_options ao = {.version = BROKER_BUILD_VERSION,
                               .workers = s->workers,
                               .net = &admin_net,
                               .net_ctx = b,
                               .main = &admin_main,
                               .main_ctx = b,
                               .hooks = &admin_webhooks,
                               .stores = &stores_admin,
                               .stores_ctx = b->stores};
    struct webhooks_options ho = {
        .agent = "brokerd/" BROKER_BUILD_VERSION, .event = tell_webhook, .ctx = b};
    struct net_options no = net_options_of(s);
    int r;

    b->orders_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (b->orders_fd < 0)
        return -errno;
    clock_gettime(CLOCK_REALTIME, &wall);
    wo.id_base = (uint64_t)wall.tv_sec * 1000000 + (uint64_t)wall.tv_nsec / 1000;
    r = webhooks_new(&ho, &b->webhooks);
    if (r < 0)
        return r;
    ao.webhooks = b->webhooks;
    r = admin_new(&ao, &b->admin);
    if (r < 0)
        return r;
    admin_set_placement(b->admin, wo.placement);
    admin_set_metrics_queues(b->admin, s->metrics_queues);
    wo.ctx = b->admin;
    r = workers_new(&wo, &b->workers);
    if (r < 0)
        return r;
    r = net_new(b->workers, &no, &b->net);
    if (r == 0)
        r = webhooks_start(b->webhooks, b->workers);
    if (r == 0)
        r = admin_start(b->admin, b->workers);
    r = r < 0 ? r : watch_signals(b);
    r = r < 0 ? r : watch_orders(b);
    return r < 0 ? r : trim_new(b->base, b->workers, &b->trim);
}

static void free_pieces(struct broker *b)
{
    for (size_t i = 0; i < sizeof b->signals / sizeof b->signals[0]; i++)
        if (b->signals[i])
            event_free(b->signals[i]);
    if (b->look)
        event_free(b->look);
    if (b->watchdog)
        event_free(b->watchdog);
    trim_free(b->trim);
    if (b->orders)
        event_free(b->orders);
    if (b->base)
        event_base_free(b->base);
    net_free(b->net);
    admin_free(b->admin);
    webhooks_free(b->webhooks);
    workers_free_cores(b->workers);
    stores_free(b->stores);
    workers_free(b->workers);
    if (b->orders_fd >= 0)
        close(b->orders_fd);
    if (b->started != b->settings)
        settings_free(b->started);
    settings_free(b->settings);
    options_fini(&b->options);
    libevent_global_shutdown();
}

/* What is published once we are ready shall find their queues. */
static void begin_webhooks(struct broker *b)
{
    const struct settings *s = b->settings;

    if (webhooks_apply(b->webhooks, s->webhooks, s->n_webhooks) < 0)
        log_error("out of memory: not every webhook was begun with");
    for (int ms = 0; !webhooks_have_begun(b->webhooks) && ms < BEGIN_MS; ms++)
        (void)usleep(1000);
}

static int exit_status_of(int error)
{
    return error == -EACCES || error == -EPERM ? EXIT_NO_PERMISSION : EXIT_SYSTEM_ERROR;
}

/* Queues that stores keep are there before anybody may publish. An exit status. */
static int find_queues(struct broker *b)
{
    int64_t until = now_ms() + stores_patience_ms(b->stores);
    int r = stores_start(b->stores);

    if (r < 0) {
        fprintf(stderr, "brokerd: cannot start a thread: %s\n", strerror(-r));
        return EXIT_SYSTEM_ERROR;
    }
    while (b->phase == STARTING && !stores_have_found(b->stores)) {
        if (now_ms() >= until) {
            stores_complain(b->stores);
            return EXIT_STORE_UNREACHABLE;
        }
        (void)usleep(1000);
        event_base_loop(b->base, EVLOOP_NONBLOCK); /* signals */
    }
    return EXIT_STOPPED;
}

/* Workers run. An exit status. */
static int serve(struct broker *b)
{
    int status = find_queues(b), r;

    if (status != EXIT_STOPPED || b->phase != STARTING)
        return status;
    begin_webhooks(b);
    r = listeners_open(b->workers, b->net, b->settings);
    if (r < 0)
        return exit_status_of(r);
    b->phase = RUNNING;
    say_ready(b);
    event_base_dispatch(b->base);
    return EXIT_STOPPED;
}

static int run(struct broker *b)
{
    struct stores_options so = {.settings = b->settings, .tell = tell_store, .ctx = b};
    int status, r;

    raise_limits();
    status = stores_open(&so, &b->stores);
    if (status != EXIT_STOPPED)
        return status;
    r = make_pieces(b);
    if (r < 0) {
        fprintf(stderr, "brokerd: cannot start: %s\n", strerror(-r));
        return exit_status_of(r);
    }
    status = stores_attach(b->stores, b->workers);
    if (status != EXIT_STOPPED)
        return status;
    r = workers_start(b->workers);
    if (r < 0) {
        fprintf(stderr, "brokerd: cannot start a thread: %s\n", strerror(-r));
        return EXIT_SYSTEM_ERROR;
    }
    status = serve(b);
    stores_stop(b->stores);
    workers_stop(b->workers);
    workers_join(b->workers);
    if (status == EXIT_STOPPED)
        log_notice("stopped");
    return status;
}

/* Settings, and what needs nothing else. Returns an exit status, or -1: run. */
static int prepare(struct broker *b, int argc, char **argv)
{
    char err[SETTINGS_ERROR_MAX];
    int r = options_parse(argc, argv, &b->options, err, sizeof err);

    if (r < 0) {
        fprintf(stderr, "brokerd: %s\nTry `brokerd --help`.\n", err);
        return r == -ENOMEM ? EXIT_SYSTEM_ERROR : EXIT_BAD_USAGE;
    }
    if (b->options.help) {
        options_usage(stdout);
        return EXIT_STOPPED;
    }
    if (b->options.version) {
        printf("brokerd %s\n", BROKER_BUILD_VERSION);
        return EXIT_STOPPED;
    }
    r = settings_load(b->options.file, &b->options.overrides, complain, NULL, &b->settings);
    if (r < 0)
        return settings_exit_status(r);
    b->started = b->settings;
    if (b->options.check) {
        fprintf(stderr, "brokerd: %s: the settings are as they should be\n",
                b->settings->file ? b->settings->file : "defaults");
        return EXIT_STOPPED;
    }
    return -1;
}

int main(int argc, char **argv)
{
    struct broker b = {.orders_fd = -1};
    int status;

    signal(SIGPIPE, SIG_IGN);
    status = prepare(&b, argc, argv);
    if (status < 0) {
        set_log(b.settings);
        status = run(&b);
    }
    free_pieces(&b);
    return status;
}
