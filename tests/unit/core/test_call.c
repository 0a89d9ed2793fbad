/* Calls to a service: replies wait for credit, and a call ends exactly once. */
#include "brokerd/core/call.h"
#include "tests/unit/core/world.h"

#include <check.h>
#include <errno.h>

static struct world world;
static struct policy_set *policies;
static struct world_peer a;
static struct call *open_call; /* at the server */
static unsigned gone;

struct caller {
    char got[256];
    unsigned completed, refused;
};

static void on_next(void *ctx, struct slice data, struct ctype type)
{
    struct caller *c = ctx;
    size_t n = strlen(c->got);

    (void)type;
    snprintf(c->got + n, sizeof c->got - n, "%.*s ", (int)data.n, (const char *)data.p);
}

static void on_complete(void *ctx)
{
    ((struct caller *)ctx)->completed++;
}

static void on_refused(void *ctx, const struct refusal *why)
{
    ck_assert_int_eq(why->reason, REASON_INVALID);
    ((struct caller *)ctx)->refused++;
}

static const struct call_ops caller_ops = {on_next, on_complete, on_refused};
static const struct ctype text = {.id = CTYPE_NONE};

static void reply(const char *s)
{
    ck_assert_int_eq(call_reply(open_call, slice_str(s), text), 0);
}

/* `echo` answers with the data, `refuse` says no, all else waits for the test. */
static void serve(void *ctx, struct call *call, struct slice method, struct slice data)
{
    const struct refusal why = {REASON_INVALID, "invalid: no"};

    ck_assert_ptr_eq(ctx, &world);
    open_call = call;
    call_set_state(call, &gone);
    if (slice_eq(method, SLICE("echo"))) {
        ck_assert_int_eq(call_reply(call, data, text), 0);
        call_complete(call);
    } else if (slice_eq(method, SLICE("refuse"))) {
        call_refuse(call, &why);
    }
}

static void on_gone(void *ctx, struct call *call)
{
    ck_assert_ptr_eq(ctx, &world);
    ck_assert_ptr_eq(call_state(call), &gone);
    gone++;
}

static const struct call_server server = {serve, on_gone};

static void start(void)
{
    gone = 0;
    policies = world_policy(POLICY_QUEUE, "", "");
    world_start(&world, 1, policies, INT64_C(1) << 30);
    world_connect(&world, &a, 0);
    ck_assert_int_eq(core_serve(world.core[0], "service", &server, &world), 0);
}

static void stop(void)
{
    world_stop(&world);
    policies = policy_set_unref(policies);
}

static struct call *call(struct caller *c, const char *method, uint64_t credit)
{
    struct refusal why;
    struct call *ret;

    memset(c, 0, sizeof *c);
    ck_assert_int_eq(core_call_open(a.ep, SLICE("service"), slice_str(method), SLICE("hello"),
                                    credit, &caller_ops, c, &ret, &why),
                     0);
    return ret;
}

START_TEST(answers_at_once)
{
    struct caller c;

    start();
    ck_assert_ptr_null(call(&c, "echo", 1));
    ck_assert_str_eq(c.got, "hello ");
    ck_assert_uint_eq(c.completed, 1);
    ck_assert_ptr_null(call(&c, "refuse", 1));
    ck_assert_uint_eq(c.refused, 1);
    ck_assert_uint_eq(c.completed + gone, 0);
    stop();
}
END_TEST

START_TEST(nobody_serves_it)
{
    struct refusal why;
    struct call *ret;
    struct caller c;

    start();
    ck_assert_int_eq(
        core_call_open(a.ep, SLICE("other"), SLICE("m"), SLICE(""), 1, &caller_ops, &c, &ret, &why),
        -ENOENT);
    ck_assert_int_eq(why.reason, REASON_NO_SERVER);
    stop();
}
END_TEST

START_TEST(replies_wait_for_credit)
{
    struct caller c;
    struct call *k;

    start();
    k = call(&c, "later", 1);
    ck_assert_ptr_eq(k, open_call);
    reply("1");
    reply("2");
    reply("3");
    ck_assert_str_eq(c.got, "1 ");
    call_complete(k);
    ck_assert_uint_eq(c.completed, 0);
    core_call_grant(k, 1);
    ck_assert_str_eq(c.got, "1 2 ");
    ck_assert_uint_eq(c.completed, 0);
    core_call_grant(k, CORE_UNLIMITED);
    ck_assert_str_eq(c.got, "1 2 3 ");
    ck_assert_uint_eq(c.completed, 1);
    stop();
}
END_TEST

START_TEST(too_many_wait)
{
    struct caller c;
    struct call *k;
    int r, n = 0;

    start();
    k = call(&c, "later", 0);
    while ((r = call_reply(k, SLICE("x"), text)) == 0)
        ck_assert_int_lt(++n, 1000);
    ck_assert_int_eq(r, -ENOBUFS);
    ck_assert_int_gt(n, 1);
    core_call_grant(k, (uint64_t)n); /* and those that were taken come */
    ck_assert_uint_eq(strlen(c.got), (size_t)n * 2);
    reply("y");
    core_call_cancel(k);
    ck_assert_uint_eq(gone, 1);
    stop();
}
END_TEST

START_TEST(cancelled)
{
    struct caller c;
    struct call *k;

    start();
    core_call_cancel(NULL);
    k = call(&c, "later", 0);
    reply("1");
    core_call_cancel(k);
    ck_assert_uint_eq(gone, 1);
    k = call(&c, "later", 0);
    reply("1");
    call_complete(k); /* the server is done with it: it need not hear */
    core_call_cancel(k);
    ck_assert_uint_eq(gone, 1);
    ck_assert_uint_eq(c.completed, 0);
    ck_assert_str_eq(c.got, "");
    stop();
}
END_TEST

int main(void)
{
    Suite *s = suite_create("call");
    TCase *tc = tcase_create("calls");
    SRunner *r;
    int failed;

    tcase_add_test(tc, answers_at_once);
    tcase_add_test(tc, nobody_serves_it);
    tcase_add_test(tc, replies_wait_for_credit);
    tcase_add_test(tc, too_many_wait);
    tcase_add_test(tc, cancelled);
    suite_add_tcase(s, tc);
    r = srunner_create(s);
    srunner_run_all(r, CK_ENV);
    failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed ? 1 : 0;
}
