/* Calls: credit and ends of both sides, in one core and across cores; who serves, who waits. Each
 * side writes down what it hears. */
#include "brokerd/core/call.h"
#include "brokerd/core/service.h"
#include "tests/unit/core/world.h"

#include <check.h>
#include <errno.h>
#include <stdarg.h>

static struct world world;
static struct policy_set *policies;

/* One side. */
struct side {
    struct call *call;
    char got[2048];
    unsigned closed;
};

/* A connection: it may serve, and hears of calls. */
struct party {
    struct world_peer peer;
    struct server *server;
    struct side side[8]; /* of its calls as a server, in the order they came */
    unsigned calls, ready;
    int refuse; /* the next calls */
    bool full;  /* it has no room for them */
    char asked[256];
};

static void note(struct side *s, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

static void note(struct side *s, const char *fmt, ...)
{
    size_t n = strlen(s->got);
    va_list ap;

    va_start(ap, fmt);
    (void)vsnprintf(s->got + n, sizeof s->got - n, fmt, ap);
    va_end(ap);
}

/* What it has heard since it was asked last. */
static const char *heard(struct side *s)
{
    static char text[sizeof s->got];

    memcpy(text, s->got, sizeof text);
    s->got[0] = '\0';
    return text;
}

static void on_next(void *ctx, const struct call_payload *p, bool complete)
{
    note(ctx, "%.*s%s ", (int)p->data.n, (const char *)p->data.p, complete ? "." : "");
}

static void on_request_n(void *ctx, uint32_t n)
{
    note(ctx, "+%u ", n);
}

static void on_complete(void *ctx)
{
    note(ctx, ". ");
}

static void on_cancel(void *ctx)
{
    note(ctx, "cancel ");
}

static void on_error(void *ctx, const struct call_error *e)
{
    note(ctx, "error-%x-%s:%.*s ", e->code, e->reason ? reason_name(e->reason) : "own",
         (int)e->text.n, (const char *)e->text.p);
}

static void on_closed(void *ctx)
{
    struct side *s = ctx;

    s->call = NULL;
    s->closed++;
}

static const struct call_ops ops = {on_next,   on_request_n, on_complete,
                                    on_cancel, on_error,     on_closed};

static int on_open(void *ctx, struct call *call, const struct call_request *r, struct refusal *why)
{
    struct party *p = ctx;
    struct side *s = &p->side[p->calls % 8];

    if (p->refuse) {
        *why = (struct refusal){REASON_LIMIT, "limit: not this one"};
        return -EMFILE;
    }
    p->calls++;
    p->peer.out += r->first.data.n;
    snprintf(p->asked, sizeof p->asked, "%.*s/%.*s %.*s%s +%d", (int)r->service.n,
             (const char *)r->service.p, (int)r->method.n, (const char *)r->method.p,
             (int)r->first.data.n, (const char *)r->first.data.p, r->complete ? "." : "",
             (int)r->credit);
    if (!call)
        return 0;
    memset(s, 0, sizeof *s);
    s->call = call;
    core_call_accept(call, &ops, s, p->peer.out);
    if (slice_eq(r->method, SLICE("echo")))
        ck_assert_int_eq(core_call_next(call, &r->first, true), 0);
    return 0;
}

static void on_ready(void *ctx)
{
    ((struct party *)ctx)->ready++;
}

static int has_room(void *ctx, struct refusal *why)
{
    if (!((const struct party *)ctx)->full)
        return 0;
    *why = (struct refusal){REASON_LIMIT, "limit: no room"};
    return -EAGAIN;
}

static const struct server_ops server_ops = {on_open, on_ready, has_room};

/* --------------------------------------------------------------------------------- the stage */

enum { CORES = 3 };

static struct party caller, server, other;

/* Where caller, server and a first server, whose worker is the service's home, live. */
static const struct stage {
    unsigned cores, caller, server, home;
} stages[] = {{1, 0, 0, 0}, {3, 0, 0, 0}, {3, 1, 1, 0}, {3, 0, 1, 1}, {3, 1, 2, 2},
              {3, 1, 2, 0}, {3, 2, 0, 1}, {3, 1, 1, 2}, {3, 2, 2, 2}};

enum { STAGES = sizeof stages / sizeof stages[0] };

static void serve(struct party *p)
{
    struct refusal why;

    ck_assert_int_eq(core_serve(p->peer.ep, SLICE("math"), &server_ops, p, &p->server, &why), 0);
}

static void unserve(struct party *p)
{
    core_unserve(p->server);
    p->server = NULL;
}

static void start(const struct stage *at)
{
    struct policy_globals g = policy_globals_default();

    g.max_calls = 4;
    if (policy_set_new(&g, &policies) < 0)
        abort();
    memset(&caller, 0, sizeof caller);
    memset(&server, 0, sizeof server);
    memset(&other, 0, sizeof other);
    world_start(&world, at->cores, policies, INT64_C(1) << 30);
    world_connect(&world, &caller.peer, at->caller);
    world_connect(&world, &server.peer, at->server);
    world_connect(&world, &other.peer, at->home);
}

/* The service is at home where `other` lives, which serves it no more. */
static void start_served(const struct stage *at)
{
    start(at);
    serve(&other);
    world_run(&world);
    ck_assert_uint_eq(other.ready, 1);
    serve(&server);
    world_run(&world);
    ck_assert_uint_eq(server.ready, 1);
    unserve(&other);
    world_run(&world);
}

/* Nothing of a call is left anywhere. */
static void no_calls_left(void)
{
    world_run(&world);
    for (unsigned i = 0; i < world.n; i++) {
        struct core *c = world.core[i];
        uint32_t at = 0;
        struct place *p;

        ck_assert_ptr_null(slots_next(&c->slots, SLOT_CALL, &at));
        ck_assert(list_empty(&c->owing));
        ck_assert_int_eq(c->used, 0);
        for (at = 0; (p = slots_next(&c->slots, SLOT_PLACE, &at)) != NULL;)
            ck_assert_uint_eq(p->open, 0);
    }
}

static void stop(void)
{
    world_stop(&world);
    policies = policy_set_unref(policies);
}

static int try_call(struct side *s, const struct call_request *r, struct refusal *why)
{
    struct call *call = NULL;
    int err;

    memset(s, 0, sizeof *s);
    err = core_call_open(caller.peer.ep, r, &ops, s, &call, why);
    s->call = call;
    return err;
}

static void call(struct side *s, enum call_model model, const char *method, const char *data,
                 uint64_t credit)
{
    const struct call_request r = {.model = model,
                                   .service = SLICE("math"),
                                   .method = slice_str(method),
                                   .first = {.data = slice_str(data)},
                                   .credit = credit};
    struct refusal why = {REASON_NONE, ""};

    ck_assert_msg(try_call(s, &r, &why) == 0, "%s", why.text);
    world_run(&world);
}

static int say(struct side *s, const char *data, bool complete)
{
    const struct call_payload p = {.data = slice_str(data)};
    int r = core_call_next(s->call, &p, complete);

    world_run(&world);
    return r;
}

/* ------------------------------------------------------------------------------- four models */

START_TEST(a_response)
{
    struct side s;

    start_served(&stages[_i]);
    call(&s, CALL_RESPONSE, "echo", "hello", 1);
    ck_assert_str_eq(server.asked, "math/echo hello +1");
    ck_assert_str_eq(heard(&s), "hello. ");
    ck_assert_uint_eq(s.closed, 1);
    ck_assert_uint_eq(server.side[0].closed, 1);
    call(&s, CALL_RESPONSE, "add", "1", 1);
    ck_assert_str_eq(s.got, "");
    core_call_complete(server.side[1].call); /* an empty result */
    world_run(&world);
    ck_assert_str_eq(heard(&s), ". ");
    ck_assert_uint_eq(s.closed, 1);
    call(&s, CALL_RESPONSE, "add", "1", 1);
    core_call_cancel(s.call);
    world_run(&world);
    ck_assert_str_eq(heard(&server.side[2]), "cancel ");
    ck_assert_uint_eq(server.side[2].closed + s.closed, 2);
    no_calls_left();
    stop();
}
END_TEST

START_TEST(nothing_comes_back)
{
    struct side s;

    start_served(&stages[_i]);
    call(&s, CALL_FNF, "log", "hello", 0);
    ck_assert_str_eq(server.asked, "math/log hello +0");
    ck_assert_ptr_null(s.call);
    ck_assert_uint_eq(s.closed, 0);
    no_calls_left();
    stop();
}
END_TEST

START_TEST(a_stream)
{
    struct side s, *b = &server.side[0];

    start_served(&stages[_i]);
    call(&s, CALL_STREAM, "count", "", 2);
    ck_assert_str_eq(server.asked, "math/count  +2");
    ck_assert_int_eq(say(b, "1", false), 0);
    ck_assert_int_eq(say(b, "2", false), 0);
    ck_assert_int_eq(say(b, "3", false), -ENOBUFS);
    core_call_request_n(s.call, 1);
    world_run(&world);
    ck_assert_str_eq(heard(b), "+1 ");
    ck_assert_int_eq(say(b, "3", true), 0);
    ck_assert_str_eq(heard(&s), "1 2 3. ");
    ck_assert_uint_eq(s.closed + b->closed, 2);
    no_calls_left();
    stop();
}
END_TEST

START_TEST(a_channel_both_ways)
{
    struct side s, *b = &server.side[0];

    start_served(&stages[_i]);
    call(&s, CALL_CHANNEL, "sum", "0", 1);
    ck_assert_int_eq(say(&s, "1", false), -ENOBUFS);
    core_call_request_n(b->call, 2);
    world_run(&world);
    ck_assert_str_eq(heard(&s), "+2 ");
    ck_assert_int_eq(say(&s, "1", false), 0);
    ck_assert_int_eq(say(&s, "2", true), 0);
    ck_assert_int_eq(say(&s, "3", false), -EPIPE);
    ck_assert_str_eq(heard(b), "1 2. ");
    ck_assert_uint_eq(s.closed + b->closed, 0); /* the other half goes on */
    ck_assert_int_eq(say(b, "3", false), 0);
    core_call_complete(b->call);
    world_run(&world);
    ck_assert_str_eq(heard(&s), "3 . ");
    ck_assert_uint_eq(s.closed + b->closed, 2);
    no_calls_left();
    stop();
}
END_TEST

START_TEST(complete_comes_with_the_opening_or_at_once)
{
    const struct call_request r = {.model = CALL_CHANNEL,
                                   .service = SLICE("math"),
                                   .method = SLICE("sum"),
                                   .first = {.data = SLICE("1")},
                                   .complete = true,
                                   .credit = 1};
    struct refusal why;
    struct side s;

    start_served(&stages[_i]);
    ck_assert_int_eq(try_call(&s, &r, &why), 0);
    world_run(&world);
    ck_assert_str_eq(server.asked, "math/sum 1. +1");
    ck_assert_int_eq(say(&server.side[0], "2", true), 0);
    ck_assert_str_eq(heard(&s), "2. ");
    ck_assert_uint_eq(s.closed + server.side[0].closed, 2);

    /* Before the caller knows who serves it. */
    ck_assert_int_eq(try_call(&s,
                              &(struct call_request){.model = CALL_CHANNEL,
                                                     .service = SLICE("math"),
                                                     .method = SLICE("sum"),
                                                     .credit = 1},
                              &why),
                     0);
    core_call_request_n(s.call, 3);
    core_call_complete(s.call);
    world_run(&world);
    ck_assert_str_eq(heard(&server.side[1]), "+3 . ");
    core_call_cancel(s.call);
    no_calls_left();

    ck_assert_int_eq(try_call(&s, &r, &why), 0);
    core_call_cancel(s.call);
    ck_assert_uint_eq(s.closed, 1);
    no_calls_left();
    stop();
}
END_TEST

START_TEST(a_server_stops_only_the_way_up)
{
    struct side s, *b = &server.side[0];

    start_served(&stages[_i]);
    call(&s, CALL_CHANNEL, "sum", "0", 9);
    core_call_request_n(b->call, 2);
    core_call_cancel(b->call);
    world_run(&world);
    ck_assert_str_eq(heard(&s), "+2 cancel ");
    ck_assert_int_eq(say(&s, "1", false), -EPIPE);
    ck_assert_int_eq(say(b, "1", false), 0);
    ck_assert_int_eq(say(b, "2", true), 0);
    ck_assert_str_eq(heard(&s), "1 2. ");
    ck_assert_uint_eq(s.closed + b->closed, 2);
    ck_assert_str_eq(b->got, "");
    no_calls_left();
    stop();
}
END_TEST

START_TEST(errors_pass_unchanged)
{
    const struct call_error e = {0x4242, REASON_NONE, SLICE("my own words")};
    struct side s;

    start_served(&stages[_i]);
    call(&s, CALL_STREAM, "count", "", 2);
    core_call_error(server.side[0].call, &e);
    world_run(&world);
    ck_assert_str_eq(heard(&s), "error-4242-own:my own words ");
    call(&s, CALL_CHANNEL, "sum", "", 2);
    core_call_error(s.call, &e);
    world_run(&world);
    ck_assert_str_eq(heard(&server.side[1]), "error-4242-own:my own words ");
    ck_assert_uint_eq(s.closed + server.side[1].closed, 2);
    no_calls_left();
    stop();
}
END_TEST

START_TEST(a_server_may_say_no)
{
    const struct call_request r = {.model = CALL_RESPONSE, .service = SLICE("math")};
    struct refusal why = {REASON_NONE, ""};
    struct side s;

    start_served(&stages[_i]);
    server.refuse = true;
    if (try_call(&s, &r, &why) < 0) {
        ck_assert_str_eq(why.text, "limit: not this one");
        ck_assert_uint_eq(s.closed, 0);
    } else {
        world_run(&world);
        ck_assert_str_eq(heard(&s), "error-202-limit:limit: not this one ");
        ck_assert_uint_eq(s.closed, 1);
    }
    no_calls_left();
    stop();
}
END_TEST

/* ------------------------------------------------------------------------------------- credit */

/* Any number means: as much as a window holds, renewed as it is used. */
START_TEST(credit_is_lent)
{
    struct side s, *b = &server.side[0];
    struct call *k;
    uint64_t n = 0;

    start_served(&stages[_i]);
    call(&s, CALL_STREAM, "count", "", CORE_UNLIMITED);
    k = b->call;
    ck_assert_uint_eq(k->credit, CALL_WINDOW_FIRST);
    for (; n < 5000; n++)
        ck_assert_int_eq(say(b, "x", false), 0);
    ck_assert_uint_le(k->credit, CALL_WINDOW_MAX);
    s.got[0] = '\0';
    core_writable(caller.peer.ep, false); /* its output is full: no more than was lent */
    for (n = 0; say(b, "y", false) == 0; n++)
        ck_assert_uint_le(n, CALL_WINDOW_MAX);
    ck_assert_uint_eq(k->credit, 0);
    core_writable(caller.peer.ep, true);
    world_run(&world);
    ck_assert_uint_gt(k->credit, 0);
    core_call_cancel(s.call);
    no_calls_left();
    stop();
}
END_TEST

START_TEST(large_payloads_have_small_windows)
{
    static char large[300 * 1024];
    struct side s, *b = &server.side[0];

    start_served(&stages[_i]);
    memset(large, 'x', sizeof large - 1);
    call(&s, CALL_STREAM, "count", "", CORE_UNLIMITED);
    for (unsigned i = 0; i < CALL_WINDOW_FIRST + 3; i++) {
        ck_assert_int_eq(say(b, large, false), 0);
        s.got[0] = '\0';
    }
    ck_assert_uint_eq(b->call->credit, 1);
    core_call_cancel(s.call);
    no_calls_left();
    stop();
}
END_TEST

/* --------------------------------------------------------------------------- comings, goings */

START_TEST(a_server_that_goes)
{
    struct side s, t, u;

    start_served(&stages[_i]);
    call(&s, CALL_STREAM, "a", "seen", 1);
    world_written(&server.peer);
    call(&t, CALL_STREAM, "a", "unseen", 1);
    call(&u, CALL_RESPONSE, "echo", "done", 1);
    ck_assert_str_eq(heard(&u), "done. ");
    world_disconnect(&server.peer);
    world_run(&world);
    ck_assert_str_eq(heard(&s),
                     "error-203-disconnected:disconnected: the server went while it had the call ");
    ck_assert_str_eq(heard(&t),
                     "error-202-no-server:no-server: the server went before it saw the call ");
    ck_assert_uint_eq(s.closed + t.closed + u.closed, 3);
    no_calls_left();
    stop();
}
END_TEST

START_TEST(a_caller_that_goes)
{
    struct side s, t;

    start_served(&stages[_i]);
    call(&s, CALL_STREAM, "a", "", 1);
    call(&t, CALL_CHANNEL, "a", "", 1);
    world_disconnect(&caller.peer);
    world_run(&world);
    ck_assert_str_eq(heard(&server.side[0]), "cancel ");
    ck_assert_str_eq(heard(&server.side[1]), "cancel ");
    ck_assert_str_eq(s.got, ""); /* nothing more is called back */
    no_calls_left();
    stop();
}
END_TEST

START_TEST(nobody_serves_it)
{
    struct call_request r = {.model = CALL_STREAM, .service = SLICE("math"), .credit = 1};
    struct refusal why;
    struct side s, t;

    start(&stages[_i]);
    ck_assert_int_eq(try_call(&s, &r, &why), -ENOENT);
    ck_assert_str_eq(why.text, "no-server: nobody serves \"math\"");
    r.service = SLICE("a b");
    ck_assert_int_eq(try_call(&s, &r, &why), -EINVAL);
    r.service = SLICE("math");
    r.method = SLICE("a\nb");
    ck_assert_int_eq(try_call(&s, &r, &why), -EINVAL);
    r.method = SLICE("");
    r.wait_ms = 100;
    ck_assert_int_eq(try_call(&s, &r, &why), 0);
    r.wait_ms = 500;
    r.first.data = SLICE("waits");
    ck_assert_int_eq(try_call(&t, &r, &why), 0);
    world_advance(&world, 99);
    ck_assert_str_eq(s.got, "");
    world_advance(&world, 1);
    ck_assert_str_eq(heard(&s), "error-202-no-server:no-server: nobody serves \"math\" ");
    ck_assert_uint_eq(s.closed, 1);
    core_call_request_n(t.call, 2);
    serve(&server);
    world_run(&world);
    ck_assert_str_eq(server.asked, "math/ waits +3");
    ck_assert_int_eq(say(&server.side[0], "1", true), 0);
    ck_assert_str_eq(heard(&t), "1. ");
    no_calls_left();
    stop();
}
END_TEST

START_TEST(waiting_ends_in_every_way)
{
    struct call_request r = {
        .model = CALL_STREAM, .service = SLICE("math"), .credit = 1, .wait_ms = 1000};
    struct refusal why;
    struct side s[5];

    start(&stages[_i]);
    for (unsigned i = 0; i < 4; i++)
        ck_assert_int_eq(try_call(&s[i], &r, &why), 0);
    ck_assert_int_eq(try_call(&s[4], &r, &why), -EMFILE); /* max_calls */
    ck_assert_int_eq(why.reason, REASON_LIMIT);
    core_call_cancel(s[0].call);
    ck_assert_uint_eq(s[0].closed, 1);
    core_call_close(s[1].call);
    ck_assert_uint_eq(s[1].closed, 0);
    r.model = CALL_FNF;
    ck_assert_int_eq(try_call(&s[4], &r, &why), 0);
    core_drain(world.core[stages[_i].caller]);
    ck_assert_str_eq(heard(&s[2]), "error-202-draining:draining: the broker is about to stop ");
    ck_assert_int_eq(try_call(&s[4], &r, &why), -EPIPE);
    no_calls_left();
    ck_assert_ptr_null(map_next(&world.core[stages[_i].caller]->services, NULL));
    stop();
}
END_TEST

/* The event names the service, whatever is known of it where the call came to nothing. */
START_TEST(failures_name_the_service)
{
    const struct call_request wrong = {.model = CALL_RESPONSE, .service = SLICE("no name")};
    struct call_request r = {.model = CALL_RESPONSE, .service = SLICE("nobody")};
    struct refusal why;
    struct side s;

    start_served(&stages[_i]);
    ck_assert_int_eq(try_call(&s, &r, &why), -ENOENT);
    ck_assert_uint_eq(world.events[EVENT_CALL_FAILED], 1);
    ck_assert_str_eq(world.event_service, "nobody");
    r.service = SLICE("math");
    server.refuse = true;
    (void)try_call(&s, &r, &why);
    world_run(&world);
    ck_assert_uint_eq(world.events[EVENT_CALL_FAILED], 2);
    ck_assert_str_eq(world.event_service, "math");
    ck_assert_int_eq(try_call(&s, &wrong, &why), -EINVAL);
    ck_assert_str_eq(world.event_service, ""); /* it is not for a log */
    no_calls_left();
    stop();
}
END_TEST

/* max_calls is of those a client opens; what it serves does not count. */
START_TEST(who_serves_may_call)
{
    const struct call_request r = {.model = CALL_STREAM, .service = SLICE("math"), .credit = 1};
    struct side s[8];
    struct call *call;
    struct refusal why;

    start_served(&stages[_i]);
    for (unsigned i = 0; i < 4; i++)
        ck_assert_int_eq(try_call(&s[i], &r, &why), 0);
    world_run(&world);
    for (unsigned i = 4; i < 8; i++) {
        memset(&s[i], 0, sizeof s[i]);
        ck_assert_int_eq(core_call_open(server.peer.ep, &r, &ops, &s[i], &s[i].call, &why), 0);
    }
    ck_assert_int_eq(core_call_open(server.peer.ep, &r, &ops, &s[0], &call, &why), -EMFILE);
    world_run(&world);
    ck_assert_uint_eq(server.calls, 8);
    for (unsigned i = 0; i < 8; i++)
        core_call_cancel(s[i].call);
    no_calls_left();
    stop();
}
END_TEST

START_TEST(two_share_the_load)
{
    struct side s[4];

    start(&stages[_i]);
    serve(&server);
    world_run(&world);
    serve(&other);
    world_run(&world);
    for (unsigned i = 0; i < 4; i++)
        call(&s[i], CALL_STREAM, "a", "", 1);
    ck_assert_uint_eq(server.calls, 2);
    ck_assert_uint_eq(other.calls, 2);
    core_call_cancel(s[0].call);
    core_call_cancel(s[2].call);
    world_run(&world);
    call(&s[0], CALL_STREAM, "a", "", 1); /* both to whom has fewer */
    call(&s[2], CALL_STREAM, "a", "", 1);
    ck_assert_uint_eq(server.calls + other.calls, 6);
    ck_assert(server.calls == 4 || other.calls == 4);
    for (unsigned i = 0; i < 4; i++)
        core_call_cancel(s[i].call);
    no_calls_left();
    stop();
}
END_TEST

/* It would have the fewest calls, and so get them all. */
START_TEST(who_refuses_is_asked_last)
{
    const struct call_request r = {
        .model = CALL_STREAM, .service = SLICE("math"), .method = SLICE("a"), .credit = 1};
    struct refusal why;
    struct side s[4];
    unsigned failed = 0;

    start(&stages[_i]);
    serve(&server);
    world_run(&world);
    serve(&other);
    world_run(&world);
    server.refuse = true;
    for (unsigned i = 0; i < 4; i++) {
        failed += try_call(&s[i], &r, &why) < 0;
        world_run(&world);
        failed += s[i].closed;
    }
    ck_assert_uint_eq(failed, 1);
    ck_assert_uint_eq(other.calls, 3);
    server.refuse = false;
    world_advance(&world, PLACE_RESTS_MS + 1);
    for (unsigned i = 0; i < 4; i++)
        if (!s[i].call)
            call(&s[i], CALL_STREAM, "a", "", 1);
    ck_assert_uint_eq(server.calls, 1);
    for (unsigned i = 0; i < 4; i++)
        core_call_cancel(s[i].call);
    no_calls_left();
    stop();
}
END_TEST

/* Openings have no credit: so many go to a server whose output is full, and no more. */
START_TEST(a_server_that_does_not_read)
{
    static const uint8_t data[1 << 20];
    struct call_request r = {.model = CALL_FNF,
                             .service = SLICE("math"),
                             .method = SLICE("a"),
                             .first = {.data = slice_of(data, sizeof data)}};
    const struct core *c;
    struct refusal why = {REASON_NONE, ""};
    struct side s;
    int err;

    start_served(&stages[_i]);
    core_writable(server.peer.ep, false);
    for (unsigned i = 0; i < 10; i++) {
        (void)try_call(&s, &r, &why);
        world_run(&world);
    }
    ck_assert_uint_eq(server.calls, CALL_UNREAD_BYTES / sizeof data);
    c = world.core[stages[_i].server];
    ck_assert_uint_eq(c->count.calls_failed[REASON_FULL], 6);
    r.model = CALL_RESPONSE;
    err = try_call(&s, &r, &why);
    world_run(&world);
    ck_assert_str_eq(err < 0 ? why.text : heard(&s),
                     err < 0 ? "full: the server does not read what it is sent"
                             : "error-202-full:full: the server does not read what it is sent ");
    core_writable(server.peer.ep, true);
    world_run(&world);
    world_advance(&world, PLACE_RESTS_MS + 1);
    call(&s, CALL_RESPONSE, "echo", "well", 1);
    ck_assert_str_eq(heard(&s), "well. ");
    no_calls_left();
    stop();
}
END_TEST

START_TEST(names_that_not_every_server_can_be_told)
{
    char method[CALL_NAMES_MAX + 1];
    struct call_request r = {.model = CALL_RESPONSE, .service = SLICE("math"), .credit = 1};
    struct refusal why;
    struct side s;

    memset(method, 'm', sizeof method);
    start_served(&stages[_i]);
    r.method = slice_of(method, CALL_NAMES_MAX - 3);
    ck_assert_int_eq(try_call(&s, &r, &why), -EINVAL);
    ck_assert_int_eq(why.reason, REASON_INVALID);
    r.method.n--;
    ck_assert_int_eq(try_call(&s, &r, &why), 0);
    world_run(&world);
    ck_assert_uint_eq(server.calls, 1);
    core_call_cancel(s.call);
    no_calls_left();
    stop();
}
END_TEST

/* Its place is there until its home has heard by way of worker 0. */
START_TEST(who_leaves_is_asked_no_more)
{
    const struct call_request r = {
        .model = CALL_STREAM, .service = SLICE("math"), .method = SLICE("a"), .credit = 1};
    struct refusal why;
    struct side s[2];

    start(&stages[_i]);
    serve(&server);
    world_run(&world);
    serve(&other);
    world_run(&world);
    unserve(&server);
    for (unsigned i = 0; i < 2; i++)
        ck_assert_int_eq(try_call(&s[i], &r, &why), 0);
    world_run(&world);
    ck_assert_uint_eq(other.calls, 2);
    for (unsigned i = 0; i < 2; i++)
        core_call_cancel(s[i].call);
    no_calls_left();
    stop();
}
END_TEST

/* More than a call has tries, and all look better than the one that stays. */
START_TEST(one_that_stays_is_found)
{
    enum { LEAVE = CALL_TRIES + 4 };
    static struct party leave[LEAVE];
    const struct call_request r = {
        .model = CALL_RESPONSE, .service = SLICE("math"), .method = SLICE("echo"), .credit = 1};
    const struct stage *at = &stages[_i % STAGES];
    struct refusal why = {REASON_NONE, ""};
    struct side s, t;

    start(at);
    memset(leave, 0, sizeof leave);
    serve(_i < STAGES ? &other : &server);
    world_run(&world);
    call(&t, CALL_STREAM, "a", "", 1);
    for (unsigned i = 0; i < LEAVE; i++) {
        world_connect(&world, &leave[i].peer, i % 2 ? at->server : at->home);
        serve(&leave[i]);
        world_run(&world);
    }
    for (unsigned i = 0; i < LEAVE; i++)
        unserve(&leave[i]);
    ck_assert_msg(try_call(&s, &r, &why) == 0, "%s", why.text);
    ck_assert_int_eq(core_call_open(caller.peer.ep,
                                    &(struct call_request){.model = CALL_FNF,
                                                           .service = SLICE("math"),
                                                           .method = SLICE("log")},
                                    NULL, NULL, &(struct call *){NULL}, &why),
                     0);
    world_run(&world);
    ck_assert_str_eq(heard(&s), ". ");
    ck_assert_uint_eq(server.calls + other.calls, 3);
    core_call_cancel(t.call);
    no_calls_left();
    stop();
}
END_TEST

/* The other is asked; if nobody has room, the last one's word is the caller's. */
START_TEST(who_has_no_room_passes_on)
{
    const struct call_request r = {
        .model = CALL_STREAM, .service = SLICE("math"), .method = SLICE("a"), .credit = 1};
    struct refusal why = {REASON_NONE, ""};
    struct side s[4];
    int err;

    start(&stages[_i]);
    serve(&server);
    world_run(&world);
    serve(&other);
    world_run(&world);
    server.full = true;
    for (unsigned i = 0; i < 3; i++)
        call(&s[i], CALL_STREAM, "a", "", 1);
    ck_assert_uint_eq(server.calls, 0);
    ck_assert_uint_eq(other.calls, 3);
    call(&s[3], CALL_FNF, "a", "", 0);
    ck_assert_uint_eq(other.calls, 4);
    other.full = true;
    world_advance(&world, PLACE_RESTS_MS + 1);
    err = try_call(&s[3], &r, &why);
    world_run(&world);
    ck_assert_str_eq(err < 0 ? why.text : heard(&s[3]),
                     err < 0 ? "limit: no room" : "error-202-limit:limit: no room ");
    server.full = false; /* both rest: one is asked nevertheless */
    core_call_cancel(s[0].call);
    world_run(&world);
    other.full = false;
    call(&s[3], CALL_STREAM, "a", "", 1);
    ck_assert_uint_eq(server.calls, 1);
    for (unsigned i = 1; i < 4; i++)
        core_call_cancel(s[i].call);
    no_calls_left();
    stop();
}
END_TEST

static const struct stage apart = {3, 1, 2, 0};

/* Nobody waits for an answer. */
START_TEST(what_is_lost_is_counted)
{
    struct side s;

    start_served(&apart);
    unserve(&server);
    call(&s, CALL_FNF, "log", "x", 0);
    ck_assert_uint_eq(server.calls, 0);
    ck_assert_uint_eq(world.core[apart.home]->count.calls_failed[REASON_NO_SERVER], 1);
    ck_assert_uint_eq(world.events[EVENT_CALL_FAILED], 1);
    ck_assert_str_eq(world.event_service, "math");
    no_calls_left();
    stop();
}
END_TEST

/* The other side hears of the end as soon as there is memory to tell it. */
START_TEST(without_memory_ends_are_told_later)
{
    struct side s, *b = &server.side[0];

    start_served(&apart);
    call(&s, CALL_STREAM, "a", "", 2);
    world.cannot_post = true;
    ck_assert_int_eq(core_call_next(b->call, &(struct call_payload){.data = SLICE("1")}, false), 0);
    ck_assert_str_eq(heard(b), "error-203-memory:memory: no room for what the call carries ");
    world.cannot_post = false;
    world_advance(&world, 1);
    ck_assert_str_eq(heard(&s), "error-203-memory:memory ");
    call(&s, CALL_CHANNEL, "a", "", 1);
    b++;
    core_call_request_n(b->call, 2);
    world_run(&world);
    world.cannot_post = true;
    ck_assert_int_eq(core_call_next(s.call, &(struct call_payload){.data = SLICE("1")}, false), 0);
    ck_assert_str_eq(heard(&s), "+2 error-203-memory:memory: no room for what the call carries ");
    world.cannot_post = false;
    world_advance(&world, 1);
    ck_assert_str_eq(heard(b), "cancel ");
    no_calls_left();
    stop();
}
END_TEST

/* Each side cancels before it hears the other; the server's ends but the way up. */
START_TEST(a_cancel_is_owed_whatever_the_other_says)
{
    struct side s, *b = &server.side[0];

    start_served(&apart);
    call(&s, CALL_CHANNEL, "a", "", 1);
    core_call_cancel(b->call);
    world.cannot_post = true;
    core_call_cancel(s.call);
    world.cannot_post = false;
    world_advance(&world, 1);
    ck_assert_str_eq(heard(b), "cancel ");
    ck_assert_uint_eq(b->closed, 1);
    no_calls_left();
    stop();
}
END_TEST

START_TEST(what_cannot_be_served)
{
    static const struct server_ops own = {.open = on_open};
    struct refusal why;
    struct server *s;

    start(&stages[_i]);
    ck_assert_int_eq(core_serve(server.peer.ep, SLICE("a/b"), &server_ops, &server, &s, &why),
                     -EINVAL);
    ck_assert_int_eq(core_serve_own(world.core[stages[_i].server], "admin", &own, &server), 0);
    ck_assert_int_eq(core_serve(server.peer.ep, SLICE("admin"), &server_ops, &server, &s, &why),
                     -EACCES);
    serve(&server);
    ck_assert_int_eq(core_serve(server.peer.ep, SLICE("math"), &server_ops, &server, &s, &why),
                     -EEXIST);
    core_drain(world.core[stages[_i].server]);
    ck_assert_int_eq(core_serve(server.peer.ep, SLICE("new"), &server_ops, &server, &s, &why),
                     -EPIPE);
    unserve(&server);
    no_calls_left();
    stop();
}
END_TEST

static int refuse_all(void *ctx, struct call *call, const struct call_request *r,
                      struct refusal *why)
{
    (void)ctx, (void)call, (void)r;
    *why = (struct refusal){REASON_LIMIT, "limit: asked"};
    return -EMFILE;
}

/* What the broker's own service answers one endpoint; 0: nothing of it was refused. */
static enum reason ask_own(struct endpoint *ep, const char *method)
{
    struct call_request r = {
        .model = CALL_RESPONSE, .service = SLICE("admin"), .method = slice_str(method)};
    struct refusal why = {REASON_NONE, ""};
    struct call *k = NULL;

    ck_assert_int_lt(core_call_open(ep, &r, &ops, NULL, &k, &why), 0);
    ck_assert_ptr_null(k);
    return why.reason;
}

START_TEST(only_some_may_manage)
{
    static const struct server_ops own = {.open = refuse_all};
    struct endpoint *plain, *manager;
    struct core *c;

    start(&stages[0]);
    c = world.core[stages[0].server];
    ck_assert_int_eq(core_serve_own(c, "admin", &own, NULL), 0);
    ck_assert_int_eq(
        core_endpoint_open(c, &(struct endpoint_desc){.name = "p"}, &world_peer_ops, NULL, &plain),
        0);
    ck_assert_int_eq(core_endpoint_open(c, &(struct endpoint_desc){.name = "m", .manages = true},
                                        &world_peer_ops, NULL, &manager),
                     0);
    ck_assert_int_eq(ask_own(plain, "queue-rm"), REASON_DENIED);
    ck_assert_int_eq(ask_own(plain, "ready2"), REASON_DENIED);
    ck_assert_int_eq(ask_own(plain, ""), REASON_DENIED);
    ck_assert_int_eq(ask_own(plain, "ready"), REASON_LIMIT); /* it was asked */
    ck_assert_int_eq(ask_own(manager, "queue-rm"), REASON_LIMIT);
    core_endpoint_set_manages(plain, true);
    core_endpoint_set_manages(manager, false);
    ck_assert_int_eq(ask_own(plain, "queue-rm"), REASON_LIMIT);
    ck_assert_int_eq(ask_own(manager, "queue-rm"), REASON_DENIED);
    core_endpoint_close(plain);
    core_endpoint_close(manager);
    no_calls_left();
    stop();
}
END_TEST

int main(void)
{
    Suite *s = suite_create("call");
    TCase *tc = tcase_create("calls");
    SRunner *r;
    int failed;

    tcase_add_loop_test(tc, a_response, 0, STAGES);
    tcase_add_loop_test(tc, nothing_comes_back, 0, STAGES);
    tcase_add_loop_test(tc, a_stream, 0, STAGES);
    tcase_add_loop_test(tc, a_channel_both_ways, 0, STAGES);
    tcase_add_loop_test(tc, complete_comes_with_the_opening_or_at_once, 0, STAGES);
    tcase_add_loop_test(tc, a_server_stops_only_the_way_up, 0, STAGES);
    tcase_add_loop_test(tc, errors_pass_unchanged, 0, STAGES);
    tcase_add_loop_test(tc, a_server_may_say_no, 0, STAGES);
    tcase_add_loop_test(tc, credit_is_lent, 0, STAGES);
    tcase_add_loop_test(tc, large_payloads_have_small_windows, 0, STAGES);
    tcase_add_loop_test(tc, a_server_that_goes, 0, STAGES);
    tcase_add_loop_test(tc, a_caller_that_goes, 0, STAGES);
    tcase_add_loop_test(tc, nobody_serves_it, 0, STAGES);
    tcase_add_loop_test(tc, waiting_ends_in_every_way, 0, STAGES);
    tcase_add_loop_test(tc, failures_name_the_service, 0, STAGES);
    tcase_add_loop_test(tc, who_serves_may_call, 0, STAGES);
    tcase_add_loop_test(tc, two_share_the_load, 0, STAGES);
    tcase_add_loop_test(tc, who_refuses_is_asked_last, 0, STAGES);
    tcase_add_loop_test(tc, a_server_that_does_not_read, 0, STAGES);
    tcase_add_loop_test(tc, names_that_not_every_server_can_be_told, 0, STAGES);
    tcase_add_loop_test(tc, who_leaves_is_asked_no_more, 0, STAGES);
    tcase_add_loop_test(tc, one_that_stays_is_found, 0, 2 * STAGES);
    tcase_add_loop_test(tc, who_has_no_room_passes_on, 0, STAGES);
    tcase_add_test(tc, what_is_lost_is_counted);
    tcase_add_test(tc, without_memory_ends_are_told_later);
    tcase_add_test(tc, a_cancel_is_owed_whatever_the_other_says);
    tcase_add_loop_test(tc, what_cannot_be_served, 0, STAGES);
    tcase_add_test(tc, only_some_may_manage);
    suite_add_tcase(s, tc);
    r = srunner_create(s);
    srunner_run_all(r, CK_ENV);
    failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed == 0 ? 0 : 1;
}
