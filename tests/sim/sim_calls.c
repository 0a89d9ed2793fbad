/* Calls between cores from one seed: parties come and go, serve, call and send at random, mail is
 * late and overtakes, and each side keeps its own books.
 *
 *     sim_calls [--seed N] [--steps N] [--cores N]     one seed; without: SIM_SECONDS of them
 *
 * Holds: payloads come once and in order, never more than were asked for; credit is what was told;
 * a side hears nothing after `closed`, and is closed once; what was asked for is lent when all is
 * quiet; a service that somebody served all the time refuses no call for want of a server; nothing
 * is left behind when all have gone. */
#include "brokerd/core/service.h"

#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>

void *__real_malloc(size_t n);
void *__real_calloc(size_t n, size_t size);
void *__real_realloc(void *p, size_t n);
void *__wrap_malloc(size_t n);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_realloc(void *p, size_t n);

#include "tests/sim/run.h"
#include "tests/unit/core/world.h"

enum { PARTIES = 10, NAMES = 3, SIDES = 4096 };

static const char *const names[NAMES] = {"add", "map", "log"};

struct side {
    bool live; /* and so is `call`, when it is known */
    bool is_caller, channel, heard_end, said_end, unlimited, stopped;
    bool served; /* somebody serves it, from the opening on */
    struct call *call;
    struct side *other; /* NULL: not met yet */
    unsigned party;
    uint64_t asked, got; /* payloads this side asked for, and got (without the first) */
    uint64_t told, sent; /* credit it was told of, and used */
    unsigned closed, ended;
};

struct party;

struct serving {
    struct party *party;
    struct server *server;
    bool ready;
};

struct party {
    struct endpoint *ep;
    unsigned core;
    bool full;
    uint64_t out;
    struct serving serving[NAMES];
};

static struct {
    uint64_t seed, random, step;
    unsigned cores, sides;
    struct world w;
    struct policy_set *policies;
    struct party party[PARTIES];
    struct side side[SIDES];
    bool verbose, crowded; /* what has no credit finds no room */
    bool ending;
    uint64_t calls, payloads, refused;
    uint64_t opened; /* at servers */
} sim;

void *__wrap_malloc(size_t n)
{
    return __real_malloc(n);
}

void *__wrap_calloc(size_t n, size_t size)
{
    return __real_calloc(n, size);
}

void *__wrap_realloc(void *p, size_t n)
{
    return __real_realloc(p, n);
}

static void must(bool ok, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

static void must(bool ok, const char *fmt, ...)
{
    va_list ap;

    if (ok)
        return;
    fprintf(stderr, "seed %llu, step %llu: ", (unsigned long long)sim.seed,
            (unsigned long long)sim.step);
    va_start(ap, fmt);
    (void)vfprintf(stderr, fmt, ap);
    va_end(ap);
    fprintf(stderr, "\n");
    abort();
}

static uint32_t pick(uint32_t n)
{
    sim.random = sim.random * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (uint32_t)(sim.random >> 33) % n;
}

static bool one_in(uint32_t n)
{
    return pick(n) == 0;
}

/* -------------------------------------------------------------------------- what sides hear */

struct payload {
    uint32_t caller; /* number of its side: the first payload only */
    uint32_t model;
    uint64_t seq; /* 1, 2 .. */
};

static void on_next(void *ctx, const struct call_payload *p, bool complete)
{
    struct side *s = ctx;
    struct payload in;

    must(s->live && !s->heard_end, "a payload after the end");
    must(p->data.n >= sizeof in, "a payload of another length");
    memcpy(&in, p->data.p, sizeof in);
    s->got++;
    must(in.seq == s->got, "payload %llu instead of %llu", (unsigned long long)in.seq,
         (unsigned long long)s->got);
    must(s->unlimited || s->got <= s->asked, "more than was asked for: %llu of %llu",
         (unsigned long long)s->got, (unsigned long long)s->asked);
    must(slice_eq(p->headers, SLICE("head")) && p->native.p && slice_eq(p->native, SLICE("")),
         "headers or metadata are others");
    s->heard_end = complete;
    sim.payloads++;
}

static void on_request_n(void *ctx, uint32_t n)
{
    struct side *s = ctx;

    must(s->live && n > 0, "credit of nobody");
    s->told += n;
}

static void on_complete(void *ctx)
{
    struct side *s = ctx;

    must(s->live && !s->heard_end, "completed twice");
    s->heard_end = true;
}

static void on_cancel(void *ctx)
{
    struct side *s = ctx;

    must(s->live && (!s->is_caller || s->channel), "a cancel");
    s->said_end = true;
}

/* Others that have that reason had a server, which went. */
static bool finds_nobody(struct slice text)
{
    return slice_starts(text, SLICE("no-server: nobody serves"));
}

static void on_error(void *ctx, const struct call_error *e)
{
    struct side *s = ctx;

    must(s->live && e->code >= CALL_FAILED && e->text.n > 0, "an error");
    must(!s->served || !finds_nobody(e->text), "%.*s", (int)e->text.n, (const char *)e->text.p);
    s->ended++;
}

static void on_closed(void *ctx)
{
    struct side *s = ctx;

    must(s->live && !s->closed, "closed twice");
    s->closed++;
    s->live = false;
    s->call = NULL;
}

static const struct call_ops ops = {on_next,   on_request_n, on_complete,
                                    on_cancel, on_error,     on_closed};

static struct side *side_new(unsigned party, enum call_model model, bool is_caller)
{
    struct side *s = &sim.side[sim.sides % SIDES];

    must(sim.sides++ < SIDES, "too many sides");
    *s = (struct side){
        .live = true, .is_caller = is_caller, .channel = model == CALL_CHANNEL, .party = party};
    return s;
}

static int send_one(struct side *s, bool complete)
{
    static uint8_t large[40000];
    struct payload out = {0, 0, s->sent + 1};
    size_t n = one_in(50) ? sizeof large : sizeof out + pick(64);
    struct call_payload p = {
        .data = slice_of(large, n), .headers = SLICE("head"), .native = SLICE(""), .form = names};
    bool may = s->told > s->sent;
    struct call *call = s->call;
    int r;

    memcpy(large, &out, sizeof out);
    s->sent++;
    s->said_end |= complete;
    r = core_call_next(call, &p, complete);
    if (r < 0) {
        s->sent--;
        must(r == -ENOBUFS ? !may : r == -EPIPE, "sending failed: %d", r);
    } else {
        must(may, "sent without credit");
    }
    return r;
}

/* A server takes most calls, some with an answer at once. */
static int on_open(void *ctx, struct call *call, const struct call_request *r, struct refusal *why)
{
    struct party *p = ((struct serving *)ctx)->party;
    struct payload in;
    struct side *s;

    memcpy(&in, r->first.data.p, sizeof in);
    must(r->model == in.model, "another model");
    if (one_in(20) || (call && sim.sides == SIDES)) {
        *why = (struct refusal){REASON_LIMIT, "limit: no"};
        return -EMFILE;
    }
    sim.opened++;
    p->out += r->first.data.n;
    if (!call)
        return 0;
    s = side_new((unsigned)(p - sim.party), r->model, false);
    s->call = call;
    s->told = r->credit;
    s->heard_end = r->model != CALL_CHANNEL || r->complete;
    s->other = &sim.side[in.caller];
    s->other->other = s;
    core_call_accept(call, &ops, s, p->out);
    if (one_in(4) && s->told)
        (void)send_one(s, one_in(2));
    else if (one_in(8) && s->channel) {
        s->asked += 3;
        core_call_request_n(call, 3);
    }
    return 0;
}

static void on_ready(void *ctx)
{
    struct serving *s = ctx;

    must(s->party->ep && s->server, "a server that has gone is ready");
    s->ready = true;
}

static int has_room(void *ctx, struct refusal *why)
{
    (void)ctx;
    if (!one_in(10))
        return 0;
    *why = (struct refusal){REASON_LIMIT, "limit: no room"};
    return -EAGAIN;
}

static const struct server_ops server_ops = {on_open, on_ready, has_room};

/* ------------------------------------------------------------------------------- what they do */

static struct entry *post(void *ctx, unsigned to, size_t size, bool credited, size_t refers)
{
    if (!credited && sim.crowded && one_in(4))
        return NULL;
    return world_post(ctx, to, size, credited, refers);
}

static const struct core_ops core_ops = {post, world_memory, world_event};

static void party_come(struct party *p)
{
    struct endpoint_desc d = {.name = "party"};

    *p = (struct party){.core = pick(sim.cores)};
    must(core_endpoint_open(sim.w.core[p->core], &d, &world_peer_ops, p, &p->ep) == 0, "memory");
}

/* The first of the names is served by somebody all the time, once it is. */
static bool is_needed(const struct party *p)
{
    unsigned others = 0;

    for (unsigned i = 0; i < PARTIES; i++)
        others += &sim.party[i] != p && sim.party[i].serving[0].ready;
    return !sim.ending && p->serving[0].ready && !others;
}

static bool is_served(unsigned name)
{
    for (unsigned i = 0; name == 0 && i < PARTIES; i++)
        if (sim.party[i].serving[0].ready)
            return true;
    return false;
}

static void party_go(struct party *p)
{
    bool half = one_in(2);

    for (unsigned pass = half ? 0 : 1; pass < 2; pass++)
        for (unsigned i = 0; i < sim.sides; i++) {
            struct side *s = &sim.side[i];

            if (&sim.party[s->party] != p || !s->live || (pass == 0 && one_in(2)))
                continue;
            s->live = false; /* nothing is called back */
            if (pass == 0)
                core_call_close(s->call);
        }
    core_endpoint_close(p->ep);
    p->ep = NULL;
    memset(p->serving, 0, sizeof p->serving);
}

static void serve(struct party *p)
{
    unsigned i = pick(NAMES);
    struct serving *s = &p->serving[i];
    struct refusal why;

    if (s->server && (i != 0 || !is_needed(p))) {
        core_unserve(s->server);
        *s = (struct serving){NULL, NULL, false};
    } else if (!s->server) {
        s->party = p;
        must(core_serve(p->ep, slice_str(names[i]), &server_ops, s, &s->server, &why) == 0, "%s",
             why.text);
    }
}

static void open_call(struct party *p)
{
    struct payload first = {sim.sides, pick(4), 0};
    unsigned name = pick(NAMES);
    struct call_request r = {
        .model = (enum call_model)first.model,
        .service = slice_str(names[name]),
        .method = SLICE("m"),
        .first = {.data = slice_of(&first, sizeof first)},
        .complete = first.model == CALL_CHANNEL && one_in(4),
        .credit = one_in(5) ? CORE_UNLIMITED : 1 + pick(one_in(4) ? 1000 : 8),
        .wait_ms = one_in(3) ? (int64_t)pick(200) : 0,
    };
    struct refusal why = {REASON_NONE, ""};
    struct call *call = NULL;
    struct side *s;
    int err;

    if (sim.sides + 2 >= SIDES)
        return;
    s = side_new((unsigned)(p - sim.party), r.model, true);
    s->asked = r.model == CALL_RESPONSE ? 1 : r.credit;
    s->unlimited = r.credit >= CORE_UNLIMITED && r.model != CALL_RESPONSE;
    s->said_end = r.model != CALL_CHANNEL || r.complete;
    s->served = is_served(name);
    err = core_call_open(p->ep, &r, &ops, s, &call, &why);
    sim.calls++;
    if (err < 0) {
        must(!s->closed && why.text[0], "refused, and called back");
        must(!s->served || !finds_nobody(slice_str(why.text)), "%s", why.text);
        s->live = false;
        sim.refused++;
    } else if (r.model == CALL_FNF) {
        must(!call && !s->closed, "an answer to fire-and-forget");
        s->live = false;
    } else if (s->live) {
        must(call != NULL, "neither call nor end");
        s->call = call;
    } else {
        must(!call, "a call that is closed");
    }
}

static void act(struct side *s)
{
    static const struct call_error e = {0x301, REASON_NONE, {(const uint8_t *)"own", 3}};
    uint64_t n;

    switch (pick(12)) {
    case 0:
        s->said_end = true;
        core_call_complete(s->call);
        break;
    case 1:
        if (!one_in(3))
            break;
        s->stopped |= !s->is_caller && s->channel; /* what is on its way up is not heard */
        core_call_cancel(s->call);
        break;
    case 2:
        if (one_in(6))
            core_call_error(s->call, &e);
        break;
    case 3:
        if (!one_in(6))
            break;
        s->live = false;
        core_call_close(s->call);
        break;
    case 4:
    case 5:
    case 6:
        n = one_in(20) ? CORE_UNLIMITED : 1 + pick(20);
        s->asked += n;
        s->unlimited |= s->asked >= CORE_UNLIMITED;
        core_call_request_n(s->call, n);
        break;
    default:
        for (n = pick(20); n > 0 && s->live && s->told > s->sent && !s->said_end; n--)
            (void)send_one(s, one_in(40));
        if (s->live && one_in(100) && s->told == s->sent && !s->said_end)
            must(send_one(s, false) < 0, "a payload beyond credit was taken");
        break;
    }
}

static void hand_some(void)
{
    unsigned from = pick(sim.cores), to = pick(sim.cores);

    for (unsigned n = pick(8); n > 0 && world_hand(&sim.w, from, to); n--)
        ;
}

static void step(void)
{
    struct party *p = &sim.party[pick(PARTIES)];
    struct side *s = sim.sides ? &sim.side[pick(sim.sides)] : NULL;

    if (!p->ep) {
        if (one_in(3))
            party_come(p);
        return;
    }
    switch (pick(16)) {
    case 0:
        if (one_in(40) && !is_needed(p))
            party_go(p);
        break;
    case 1:
        if (one_in(4))
            serve(p);
        break;
    case 2:
        open_call(p);
        break;
    case 3:
        p->full = one_in(4);
        core_writable(p->ep, !p->full);
        break;
    case 4:
        core_written(p->ep, p->out);
        break;
    case 5:
        (void)core_tick(sim.w.core[pick(sim.cores)]);
        break;
    case 6:
        sim.w.now += pick(10);
        for (unsigned i = 0; i < sim.cores; i++)
            core_clock(sim.w.core[i], sim.w.now, sim.w.now);
        break;
    case 7:
    case 8:
    case 9:
        hand_some();
        break;
    default:
        /* Those of late have most to say. */
        if (s && one_in(2))
            s = &sim.side[sim.sides - 1 - pick(sim.sides < 40 ? sim.sides : 40)];
        if (s && s->live && s->call)
            act(s);
        break;
    }
}

/* ---------------------------------------------------------------------------------- the end */

static void settle(void)
{
    for (unsigned i = 0; i < PARTIES; i++)
        if (sim.party[i].ep) {
            sim.party[i].full = false;
            core_writable(sim.party[i].ep, true);
        }
    sim.w.now += 1000; /* nobody waits for a server any more */
    world_run(&sim.w);
}

/* Nothing moves: who lives has its other side, and the credit it gave has come there. */
static void check_quiet(void)
{
    for (unsigned i = 0; i < sim.sides; i++) {
        const struct side *s = &sim.side[i], *o = s->other;

        if (!s->live || !s->other)
            must(!s->live || !s->is_caller, "a caller (%u) without a server", i);
        if (!s->live || !o)
            continue;
        must(o->live, "a side (%u) without the other", i);
        must(s->call->credit == s->told - s->sent || s->told >= CORE_UNLIMITED, "credit of %u", i);
        must(s->stopped || s->got == o->sent, "sent %llu, got %llu", (unsigned long long)o->sent,
             (unsigned long long)s->got);
        if (!s->heard_end && !s->stopped && (s->unlimited || s->asked > s->got))
            must(o->told > o->sent, "%u asked for more, and %u was not told", i,
                 (unsigned)(o - sim.side));
    }
}

static void check_nothing_left(void)
{
    for (unsigned i = 0; i < sim.cores; i++) {
        struct core *c = sim.w.core[i];
        struct map_entry *e = map_next(&c->services, NULL);
        uint32_t at = 0;

        must(!slots_next(&c->slots, SLOT_CALL, &at), "core %u: a call is left", i);
        at = 0;
        must(!slots_next(&c->slots, SLOT_SERVER, &at), "core %u: a server is left", i);
        at = 0;
        must(!slots_next(&c->slots, SLOT_PLACE, &at), "core %u: a place is left", i);
        at = 0;
        must(!slots_next(&c->slots, SLOT_REGISTRY, &at), "core %u: a registry is left", i);
        must(!e, "core %u: service %s is left", i, e ? e->key : "");
        must(c->used == 0, "core %u: %lld bytes charged", i, (long long)c->used);
        must(list_empty(&c->owing) && list_empty(&c->parting) && !c->timers.n, "core %u: owes", i);
    }
}

/* Calls are over, servers still there: their homes know. */
static void check_counts(void)
{
    for (unsigned i = 0; i < sim.sides; i++)
        if (sim.side[i].live && sim.side[i].is_caller)
            core_call_cancel(sim.side[i].call);
    world_run(&sim.w);
    for (unsigned i = 0; i < sim.sides; i++)
        must(!sim.side[i].live, "side %u lives on", i);
    for (unsigned i = 0; i < sim.cores; i++) {
        struct place *p;

        for (uint32_t at = 0; (p = slots_next(&sim.w.core[i]->slots, SLOT_PLACE, &at)) != NULL;)
            must(p->open == 0, "a place with %llu calls", (unsigned long long)p->open);
    }
}

static void run(uint64_t seed, uint64_t steps, unsigned cores, bool verbose)
{
    struct policy_globals g = policy_globals_default();

    memset(&sim, 0, sizeof sim);
    sim.seed = seed;
    sim.random = seed * UINT64_C(0x9e3779b97f4a7c15) + 1;
    sim.cores = cores ? cores : 1 + pick(WORLD_CORES);
    sim.crowded = one_in(3);
    g.max_calls = 60;
    must(policy_set_new(&g, &sim.policies) == 0, "memory");
    world_start_with(&sim.w, sim.cores, sim.policies, INT64_C(1) << 30, &core_ops);
    for (sim.step = 0; sim.step < steps; sim.step++)
        step();
    settle();
    check_quiet();
    check_counts();
    if (verbose)
        printf("seed %llu: %u cores, %llu calls, %llu refused, %llu reached a server, %llu "
               "payloads\n",
               (unsigned long long)seed, sim.cores, (unsigned long long)sim.calls,
               (unsigned long long)sim.refused, (unsigned long long)sim.opened,
               (unsigned long long)sim.payloads);
    sim.ending = true;
    for (unsigned i = 0; i < PARTIES; i++)
        if (sim.party[i].ep)
            party_go(&sim.party[i]);
    world_run(&sim.w);
    check_nothing_left();
    world_stop(&sim.w);
    policy_set_unref(sim.policies);
}

int main(int argc, char **argv)
{
    static const struct sim_runs runs = {
        .name = "sim_calls",
        .steps = 20000,
        .seconds = 5,
        .least = 20,
        .cores_max = WORLD_CORES,
        .run = run,
    };

    return sim_main(argc, argv, &runs);
}
