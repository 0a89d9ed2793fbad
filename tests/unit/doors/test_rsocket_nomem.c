/* The door without memory: whichever request for it fails, nothing leaks, nobody crashes, and
 * what was written is whole frames or marked broken. */
#include "tests/unit/doors/fake_core.h"
#include "tests/unit/doors/talk.h"

#include "tests/unit/doors/deliver.h"

#include "tests/unit/failing_alloc.h"

#include "brokerd/doors/rsocket/calls.c"
#include "brokerd/doors/rsocket/confirm.c"
#include "brokerd/doors/rsocket/consume.c"
#include "brokerd/doors/rsocket/deliver.c"
#include "brokerd/doors/rsocket/lease.c"
#include "brokerd/doors/rsocket/life.c"
#include "brokerd/doors/rsocket/memo.c"
#include "brokerd/doors/rsocket/meta.c"
#include "brokerd/doors/rsocket/peer.c"
#include "brokerd/doors/rsocket/publish.c"
#include "brokerd/doors/rsocket/refuse.c"
#include "brokerd/doors/rsocket/request.c"
#include "brokerd/doors/rsocket/scan.c"
#include "brokerd/doors/rsocket/send.c"
#include "brokerd/doors/rsocket/serve.c"
#include "brokerd/doors/rsocket/session.c"
#include "brokerd/doors/rsocket/setup.c"
#include "brokerd/doors/rsocket/streams.c"
#include "libbroker/base/block.c"
#include "libbroker/base/out.c"
#include "libbroker/wire/reassembly.c"

static const char *const setups[] = {
    "SETUP 0 data-mime=text/x-log",
    "SETUP 0 LEASE RESUME-ENABLE token=t data-mime=text/x-log",
};

static const char *lines[] = {
    "",
    "STREAM 1 n=9 route=subscribe/a h=$facts:1",
    "CHANNEL 3 n=1 route=publish/a 'x'",
    "PAYLOAD 3 NEXT h=k:v 'y'",
    "PAYLOAD 3 NEXT FOLLOWS 'z'",
    "PAYLOAD 3 NEXT 'z'",
    "FNF 5 route=publish/a 'x'",
    "FNF 7 route=send/some.longer.name h=header:of-a-message-that-needs-room 'x'",
    "RR 9 FOLLOWS route=publish/a 'one'",
    "PAYLOAD 9 NEXT 'two'",
    "RR 11 route=admin/info",
    "RR 13 route=admin/ping",
    "CHANNEL 15 n=5 route=consume/q",
    "PAYLOAD 15 NEXT verb=1:1:1:0",
    "RR 17 route=nowhere",
    "KEEPALIVE 0 RESPOND 'hello'",
};

enum { LINES = sizeof lines / sizeof lines[0] };

/* What the core says meanwhile to the streams there are. */
static void answer(void)
{
    const struct outcome lost[] = {{1, 1, REASON_FULL, 1, 0, NULL},
                                   {2, 1, REASON_NONE, 1, 1, NULL}};

    for (int i = 0; i < fake.consumers; i++) {
        if (fake.consumer[i].open)
            deliver(i + 1, (struct delivered){.topic = "b", .data = {"x", "y"}, .header = "k:v"});
    }
    for (int i = 0; i < fake.publishers; i++) {
        if (fake.publisher[i].open && fake.publisher[i].ctx)
            settled(i + 1, 2, lost, 2);
    }
}

/* Where a session's is, it ends with its connection. */
static bool is_broken(const struct talk *t)
{
    return t->link.out.broken;
}

/* Everything once, with the n-th request for memory failing. False: there was no n-th. */
static bool run(unsigned n)
{
    struct talk *t = talk_open(false);
    struct door_room *room;
    uint8_t said[LINES][512];
    size_t size[LINES];

    for (int i = 0; i < LINES; i++)
        size[i] = (size_t)(say(t, said[i], lines[i]) - said[i]);
    failed = false;
    fail_at = n;
    for (int i = 0; i < LINES && !t->closed && !is_broken(t); i++)
        feed(t, said[i], size[i]);
    if (!t->closed && !is_broken(t))
        answer();
    fail_at = 0;
    if (!is_broken(t))
        hear(t);
    room = t->scratch.rooms;
    if (room && t->conn) { /* or it would be away */
        rsocket_door.free(t->conn);
        t->conn = NULL;
        room->ops->free(room);
    }
    talk_end(t);
    return failed;
}

START_TEST(any_request_for_memory_may_fail)
{
    unsigned n = 1;

    lines[0] = setups[_i];
    while (run(n))
        n++;
    ck_assert_uint_gt(n, 20); /* it did ask for memory */
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("rsocket: no memory");
    TCase *tc = tcase_create("nomem");
    SRunner *runner;
    int failures;

    tcase_add_loop_test(tc, any_request_for_memory_may_fail, 0, 2);
    suite_add_tcase(suite, tc);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    failures = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failures ? EXIT_FAILURE : EXIT_SUCCESS;
}
