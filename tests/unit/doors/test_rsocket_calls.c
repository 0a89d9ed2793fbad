/* Calls between clients as frames: those of a caller, those of a server, and what either may not
 * say. What the core does with them: tests/unit/core/test_call.c. */
#include "tests/unit/doors/fake_core.h"
#include "tests/unit/doors/talk.h"

#include "tests/unit/doors/deliver.h"

/* A call for the door's first server; its number in *ret. 0 or -errno, why in fake_why. */
static struct refusal fake_why;

static int come_with(const struct call_request *r, int *ret)
{
    struct server *s = &fake.server[0];
    int err = s->ops->room(s->ctx, &fake_why);
    struct call *k;

    if (err < 0)
        return err;
    k = &fake.call[fake.calls++];
    *ret = fake.calls;
    *k = (struct call){.model = (uint8_t)r->model};
    return s->ops->open(s->ctx, r->model == CALL_FNF ? NULL : k, r, &fake_why);
}

static int come(enum call_model model, const char *method, const char *data, uint64_t credit)
{
    const struct call_request r = {.model = model,
                                   .service = SLICE("math"),
                                   .method = slice_str(method),
                                   .first = {.data = slice_str(data), .type = {.id = CTYPE_NONE}},
                                   .credit = credit};
    int n;

    ck_assert_int_eq(come_with(&r, &n), 0);
    return n;
}

static const struct call_ops *ops_of(int call)
{
    return fake.call[call - 1].ops;
}

static void *ctx_of(int call)
{
    return fake.call[call - 1].ctx;
}

static struct talk *talk_served(int chopped)
{
    struct talk *t = talk_setup(chopped);

    talk(t, "> RR 1 route=serve/math\n"
            "= serve service=math\n");
    fake.server[0].ops->ready(fake.server[0].ctx);
    talk(t, "< PAYLOAD 1 NEXT COMPLETE\n");
    return t;
}

/* ------------------------------------------------------------------------------------- serving */

START_TEST(serving_is_answered_when_all_know)
{
    struct talk *t = talk_setup(_i);

    talk(t, "> RR 1 route=serve/math\n"
            "> RR 3 route=serve/math\n"
            "> FNF 5 route=serve/log\n"
            "> FNF 7 route=serve/math\n"
            "= serve service=math\n"
            "= serve service=log\n");
    fake.server[0].ops->ready(fake.server[0].ctx);
    fake.server[1].ops->ready(fake.server[1].ctx);
    talk(t, "< PAYLOAD 1 NEXT COMPLETE\n"
            "< PAYLOAD 3 NEXT COMPLETE\n");
    talk(t, "> RR 9 route=serve/math\n"
            "< PAYLOAD 9 NEXT COMPLETE\n");
    fake.fail = -EACCES;
    fake.fail_text = "denied: the broker itself serves this";
    talk(t, "> RR 11 route=serve/admin\n"
            "= serve service=admin\n"
            "< ERROR 11 code=0x202 'denied: the broker itself serves this'\n");
    fake.fail = 0;
    rsocket_door.on_drain(t->conn); /* the broker stops: no new calls */
    talk(t, "= unserve math\n"
            "= unserve log\n"
            "= endpoint closed\n"
            "< ERROR 0 code=0x102 'draining: the broker is about to stop'\n");
    talk_end(t);
}
END_TEST

START_TEST(served_no_more)
{
    struct talk *t = talk_served(_i);

    (void)come(CALL_RESPONSE, "add", "1", 1);
    talk(t, "< RR 2 tag=call/math/add '1'\n");
    talk(t, "> RR 3 route=unserve/math\n"
            "= unserve math\n"
            "< PAYLOAD 3 NEXT COMPLETE\n");
    talk(t, "> RR 5 route=unserve/math\n"
            "< ERROR 5 code=0x204 'not-found: this connection does not serve that'\n");
    talk(t, "> FNF 7 route=unserve/math\n"); /* nobody hears of it */
    talk(t, "> PAYLOAD 2 NEXT '2'\n"
            "= call next data=2\n"); /* the call goes on */
    talk(t, "> RR 9 route=serve/math\n"
            "> RR 11 route=serve/math\n"
            "= serve service=math\n");
    talk(t, "> FNF 13 route=unserve/math\n"
            "= unserve math\n"
            "< ERROR 11 code=0x204 'not-found: the service is served no more'\n"
            "< ERROR 9 code=0x204 'not-found: the service is served no more'\n");
    talk_end(t);
}
END_TEST

START_TEST(served_from_setup_on)
{
    struct talk *t = talk_open(_i);

    talk(t, "> SETUP 0 route=serve/math\n"
            "= serve service=math\n");
    (void)come(CALL_RESPONSE, "add", "1", 1);
    talk(t, "< RR 2 tag=call/math/add '1'\n");
    talk_end(t);
}
END_TEST

START_TEST(four_models_as_the_server)
{
    struct talk *t = talk_served(_i);
    int r, c;

    (void)come(CALL_FNF, "log", "x", 0);
    r = come(CALL_RESPONSE, "add", "1", 1);
    (void)come(CALL_STREAM, "count", "", 3);
    c = come(CALL_CHANNEL, "sum", "0", UINT64_C(0x7fffffff));
    talk(t, "< FNF 2 tag=call/math/log 'x'\n"
            "< RR 4 tag=call/math/add '1'\n"
            "< STREAM 6 n=3 tag=call/math/count\n"
            "< CHANNEL 8 n=2147483647 tag=call/math/sum '0'\n");
    ck_assert_uint_lt(fake.call[r - 1].position, fake.call[c - 1].position);
    talk(t, "> PAYLOAD 4 NEXT '2'\n"
            "> PAYLOAD 6 NEXT h=k:v 'a'\n"
            "> PAYLOAD 6 COMPLETE\n"
            "> N 8 n=5\n"
            "> PAYLOAD 8 NEXT '3'\n"
            "= call next data=2\n"
            "= call next data=a headers=5\n"
            "= call complete\n"
            "= call grant 5\n"
            "= call next data=3\n");
    ops_of(c)->request_n(ctx_of(c), 7);
    ops_of(c)->next(ctx_of(c), &(struct call_payload){.data = SLICE("4"), .type.id = CTYPE_NONE},
                    false);
    ops_of(c)->complete(ctx_of(c));
    talk(t, "< N 8 n=7\n"
            "< PAYLOAD 8 NEXT '4'\n"
            "< PAYLOAD 8 COMPLETE\n");
    talk(t, "> CANCEL 8\n"
            "= call cancelled\n");
    talk(t, "> PAYLOAD 8 NEXT 'late'\n"
            "> PAYLOAD 4 NEXT 'late'\n"
            "> N 8 n=1\n"
            "> CANCEL 6\n"
            "> ERROR 2 code=0x201 'nobody'\n"
            "= call next data=late\n");
    talk_end(t);
}
END_TEST

START_TEST(a_server_hears_of_the_callers_end)
{
    const struct call_error e = {0x301, REASON_NONE, SLICE("own")};
    struct talk *t = talk_served(_i);
    int r = come(CALL_RESPONSE, "a", "", 1), c = come(CALL_CHANNEL, "b", "", 1);
    int s = come(CALL_STREAM, "c", "", 1);

    talk(t, "< RR 2 tag=call/math/a\n"
            "< CHANNEL 4 n=1 tag=call/math/b\n"
            "< STREAM 6 n=1 tag=call/math/c\n");
    ops_of(r)->cancel(ctx_of(r));
    fake_end_call(&fake.call[r - 1]);
    ops_of(c)->error(ctx_of(c), &e);
    fake_end_call(&fake.call[c - 1]);
    ops_of(s)->error(ctx_of(s), &e); /* who does not send cannot fail: it cancels */
    fake_end_call(&fake.call[s - 1]);
    talk(t, "< CANCEL 2\n"
            "< ERROR 4 code=0x301 'own'\n"
            "< CANCEL 6\n");
    talk_end(t);
}
END_TEST

START_TEST(errors_of_the_server_pass_unchanged)
{
    struct talk *t = talk_served(_i);

    (void)come(CALL_RESPONSE, "a", "", 1);
    talk(t, "< RR 2 tag=call/math/a\n");
    talk(t, "> ERROR 2 code=0x12345 'my own'\n"
            "= call error 0x12345 text=my own\n");
    talk_end(t);
}
END_TEST

START_TEST(fragments_of_the_server_are_joined)
{
    struct talk *t = talk_served(_i);

    (void)come(CALL_STREAM, "a", "", 5);
    talk(t, "< STREAM 2 n=5 tag=call/math/a\n");
    talk(t, "> PAYLOAD 2 NEXT FOLLOWS 'on'\n"
            "> PAYLOAD 2 NEXT 'e'\n"
            "> PAYLOAD 2 NEXT FOLLOWS 'two'\n"
            "> ERROR 2 code=0x201 'no'\n"
            "> PAYLOAD 2 NEXT COMPLETE 'three'\n"
            "= call next data=one\n"
            "= call error 0x201 text=no\n");
    talk_end(t);
}
END_TEST

/* What a server may not send: both sides hear of it. */
static const struct {
    enum call_model model;
    const char *said, *asked, *heard;
} violations[] = {
    {CALL_STREAM, "> PAYLOAD 2 'neither'\n",
     "= call error 0x203 text=invalid: a payload with neither NEXT nor COMPLETE\n", "< CANCEL 2\n"},
    {CALL_CHANNEL, "> PAYLOAD 2 'neither'\n",
     "= call error 0x203 text=invalid: a payload with neither NEXT nor COMPLETE\n",
     "< ERROR 2 code=0x204 'invalid: a payload with neither NEXT nor COMPLETE'\n"},
    {CALL_CHANNEL, "> N 2 n=0\n", "= call error 0x203 text=invalid: request n is 0\n",
     "< ERROR 2 code=0x204 'invalid: request n is 0'\n"},
    {CALL_STREAM, "> PAYLOAD 2 NEXT FOLLOWS 'x'\n> PAYLOAD 2 NEXT h=a:b 'y'\n",
     "= call error 0x203 text=invalid: a fragment with metadata after one with data\n",
     "< CANCEL 2\n"},
};

START_TEST(violations_of_a_server)
{
    struct talk *t = talk_served(_i % 2);
    char text[512];

    (void)come(violations[_i / 2].model, "a", "", 5);
    talk(t, violations[_i / 2].model == CALL_STREAM ? "< STREAM 2 n=5 tag=call/math/a\n"
                                                    : "< CHANNEL 2 n=5 tag=call/math/a\n");
    snprintf(text, sizeof text, "%s%s%s", violations[_i / 2].said, violations[_i / 2].asked,
             violations[_i / 2].heard);
    talk(t, text);
    talk_end(t);
}
END_TEST

START_TEST(beyond_the_credit)
{
    struct talk *t = talk_served(_i);
    int r;

    (void)come(CALL_CHANNEL, "a", "", 5);
    fake.answer_at_once = false;
    talk(t, "< CHANNEL 2 n=5 tag=call/math/a\n");
    fake.fail = -ENOBUFS;
    talk(t, "> PAYLOAD 2 NEXT 'x'\n"
            "= call next data=x\n"
            "= call error 0x203 text=invalid: a payload beyond the credit granted\n"
            "< ERROR 2 code=0x204 'invalid: a payload beyond the credit granted'\n");
    fake.fail = 0;
    talk(t, "> CHANNEL 11 n=1 route=call/other/m 'first'\n"
            "= call channel service=other method=m data=first credit=1\n");
    r = fake.calls;
    ops_of(r)->request_n(ctx_of(r), 2);
    talk(t, "< N 11 n=2\n");
    fake.fail = -ENOBUFS;
    talk(t, "> PAYLOAD 11 NEXT 'x'\n"
            "= call next data=x\n"
            "= call cancelled\n"
            "< ERROR 11 code=0x204 'invalid: a payload beyond the credit granted'\n");
    fake.fail = 0;
    talk_end(t);
}
END_TEST

START_TEST(calls_have_a_limit_and_drains_end_them)
{
    const struct call_request r = {.model = CALL_RESPONSE, .service = SLICE("math")};
    struct talk *t = talk_served(0);
    int n;

    t->host.limits.streams_max = 2;
    (void)come(CALL_RESPONSE, "a", "", 1);
    (void)come(CALL_RESPONSE, "b", "", 1);
    ck_assert_int_eq(come_with(&r, &n), -EMFILE);
    ck_assert_int_eq(fake_why.reason, REASON_LIMIT);
    talk(t, "< RR 2 tag=call/math/a\n"
            "< RR 4 tag=call/math/b\n");
    talk(t, "> ERROR 0 code=0x102 'going'\n"
            "= unserve math\n");
    ck_assert_int_eq(come_with(&r, &n), -EPIPE);
    ck_assert_int_eq(fake_why.reason, REASON_DRAINING);
    talk_end(t);
}
END_TEST

/* A server that says nothing has them all until it does. */
START_TEST(calls_that_have_ended_count)
{
    const struct call_request r = {.model = CALL_RESPONSE, .service = SLICE("math")};
    struct talk *t = talk_served(0);
    int n;

    t->host.limits.streams_max = 2;
    for (int i = 0; i < 2; i++) {
        n = come(CALL_RESPONSE, "a", "", 1);
        ops_of(n)->cancel(ctx_of(n));
        fake_end_call(&fake.call[n - 1]);
    }
    ck_assert_int_eq(come_with(&r, &n), -EMFILE);
    talk(t, "< RR 2 tag=call/math/a\n"
            "< CANCEL 2\n"
            "< RR 4 tag=call/math/a\n"
            "< CANCEL 4\n");
    talk(t, "> N 2 n=1\n");
    (void)come(CALL_RESPONSE, "b", "", 1);
    talk(t, "< RR 6 tag=call/math/b\n");
    talk_end(t);
}
END_TEST

/* ------------------------------------------------------------------------------------- calling */

START_TEST(four_models_as_the_caller)
{
    struct talk *t = talk_setup(_i);
    int c = 2;

    talk(t, "> FNF 1 route=call/math/log 'x'\n"
            "> CHANNEL 3 n=4 route=call/math/sum 'first'\n"
            "> CHANNEL 5 COMPLETE n=1 route=call/math/sum 'only'\n"
            "> STREAM 7 n=2 route=call/math/count h=$wait:250 h=k:v\n"
            "> RR 9 route=call/math/m/with/slashes h=$wait:0\n"
            "= call fnf service=math method=log data=x credit=0\n"
            "= call channel service=math method=sum data=first credit=4\n"
            "= call channel service=math method=sum data=only credit=1 complete\n"
            "= call service=math method=count headers=5 wait=250 credit=2\n"
            "= call service=math method=m/with/slashes wait=0 credit=1\n");
    ops_of(c)->request_n(ctx_of(c), 3);
    ops_of(c)->cancel(ctx_of(c));
    talk(t, "< N 3 n=3\n"
            "< CANCEL 3\n");
    talk(t, "> PAYLOAD 3 NEXT 'up'\n"
            "> PAYLOAD 3 COMPLETE\n"
            "> N 7 n=9\n"
            "= call next data=up\n"
            "= call complete\n"
            "= call grant 9\n");
    refuse_call(4, 0x301, "their words");
    talk(t, "< ERROR 7 code=0x301 'their words'\n");
    talk(t, "> CANCEL 9\n"
            "> ERROR 3 code=0x203 'Cancelled'\n"
            "= call cancelled\n"
            "= call error 0x203 text=Cancelled\n");
    talk(t, "> RR 11 route=call/math/m h=$wait:soon\n"
            "> RR 13 route=call/math/m h=$ttl:1\n"
            "< ERROR 11 code=0x204 'invalid: header $wait is a number of milliseconds, not "
            "\"soon\"'\n"
            "< ERROR 13 code=0x204 'invalid: header $ttl is not known here'\n");
    talk_end(t);
}
END_TEST

/* Metadata go on as they came where both speak the same; else they are built. */
START_TEST(metadata_as_they_came)
{
    static const uint8_t odd[] = {0x7f}; /* no composite metadata at all */
    struct talk *t = talk_served(_i);
    struct call_request r = {.model = CALL_RESPONSE,
                             .service = SLICE("math"),
                             .method = SLICE("a"),
                             .first = {.data = SLICE("x"),
                                       .type = {.id = 5},
                                       .headers = SLICE("\1k\0\1v"),
                                       .form = odd,
                                       .native = slice_of(odd, 1)}};
    int n;

    ck_assert_int_eq(come_with(&r, &n), 0);
    talk(t, "< RR 2 tag=call/math/a type=application/json h=k:v 'x'\n");
    talk(t, "> PAYLOAD 2 NEXT COMPLETE meta=7f 'y'\n" /* its own affair */
            "= call next data=y complete\n");
    talk_end(t);
}
END_TEST

#define ROWS(a) (int)(sizeof(a) / sizeof(a)[0])

int main(void)
{
    Suite *suite = suite_create("rsocket: calls");
    TCase *tc = tcase_create("calls");
    SRunner *runner;
    int failed;

    tcase_add_loop_test(tc, serving_is_answered_when_all_know, 0, 2);
    tcase_add_loop_test(tc, served_no_more, 0, 2);
    tcase_add_loop_test(tc, served_from_setup_on, 0, 2);
    tcase_add_loop_test(tc, four_models_as_the_server, 0, 2);
    tcase_add_loop_test(tc, a_server_hears_of_the_callers_end, 0, 2);
    tcase_add_loop_test(tc, errors_of_the_server_pass_unchanged, 0, 2);
    tcase_add_loop_test(tc, fragments_of_the_server_are_joined, 0, 2);
    tcase_add_loop_test(tc, violations_of_a_server, 0, 2 * ROWS(violations));
    tcase_add_loop_test(tc, beyond_the_credit, 0, 2);
    tcase_add_test(tc, calls_have_a_limit_and_drains_end_them);
    tcase_add_test(tc, calls_that_have_ended_count);
    tcase_add_loop_test(tc, four_models_as_the_caller, 0, 2);
    tcase_add_loop_test(tc, metadata_as_they_came, 0, 2);
    suite_add_tcase(suite, tc);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
