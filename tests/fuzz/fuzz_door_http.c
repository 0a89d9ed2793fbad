/* Any bytes as a client of the HTTP door, with a real core behind it, a subscriber to everything
 * and a service that answers beside it: the door neither crashes nor reads past what came, takes no
 * more than it was given, and what it writes are whole answers.
 *
 * The first byte says how: bits 0 and 1 how many bytes come at a time, bit 2 two workers, bit 3 a
 * client that reads nothing, bit 4 that the broker drains before the end, bit 5 that time passes.
 */
#include <errno.h>

#include "brokerd/core/call.h"
#include "brokerd/core/refusal.h"
#include "libbroker/wire/http.h"
#include "tests/fuzz/fuzz_support.h"
#include "tests/unit/doors/http_talk.h"

enum { ALL_AT_ONCE = 1, SEVEN = 2, TWO_CORES = 4, DEAF = 8, DRAINED = 16, SLOW = 32 };

static int serve(void *ctx, struct call *call, const struct call_request *r, struct refusal *why)
{
    (void)ctx, (void)call;
    must(r->model == CALL_RESPONSE && r->first.data.p);
    refuse(why, REASON_LIMIT, "no \"more\"\n");
    return -EMFILE;
}

static const struct server_ops server = {.open = serve};

/* Chunks from `p` on, to their end or to that of what was written. */
static size_t chunks(const char *p, const char *end)
{
    const char *from = p;
    size_t n = 1;

    while (p < end && n) {
        char *line;

        n = strtoul(p, &line, 16);
        must(line > p && line[0] == '\r' && line[1] == '\n');
        must(n + 4 <= (size_t)(end - line) && line[n + 2] == '\r' && line[n + 3] == '\n');
        p = line + n + 4;
    }
    return (size_t)(p - from);
}

/* An answer stands at `*at`: its head, and as many bytes as that says. */
static void look_at(struct slice heard, size_t *at)
{
    struct slice rest = slice_from(heard, *at);
    const char *blank = strstr((const char *)rest.p, "\r\n\r\n"), *length;
    size_t n;

    must(slice_starts(rest, SLICE("HTTP/1.1 ")) && blank);
    n = (size_t)(blank - (const char *)rest.p) + 4;
    length = strstr((const char *)rest.p, "Transfer-Encoding: chunked\r\n");
    if (length && length < blank)
        n += chunks(blank + 4, (const char *)rest.p + rest.n);
    length = strstr((const char *)rest.p, "Content-Length: ");
    if (length && length < blank)
        n += strtoul(length + 16, NULL, 10);
    must(n <= rest.n);
    *at += n;
}

static void converse(struct http_talk *t, unsigned how, const uint8_t *data, size_t size)
{
    size_t step = how & ALL_AT_ONCE ? 1024 : how & SEVEN ? 7 : 1;

    for (size_t at = 0; at < size && !t->closed; at += step) {
        http_say_n(t, data + at, size - at < step ? size - at : step);
        if (how & SLOW && !t->upgraded)
            http_wait(t, 500);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct policy_globals globals = {.max_message_bytes = 1024, .create_queues = true};
    struct policy_set *policies;
    struct world_peer listener;
    struct http_talk *t;
    struct world w;
    size_t at = 0;

    if (size < 2 || size > HTTP_KEPT)
        return 0;
    must(http_door.recognise(slice_of(data + 1, size - 1)) <= DOOR_MORE);
    must(policy_set_new(&globals, &policies) == 0);
    world_start(&w, data[0] & TWO_CORES ? 2 : 1, policies, 1 << 20);
    for (unsigned i = 0; i < w.n; i++)
        must(core_serve_own(w.core[i], "s", &server, NULL) == 0);
    world_connect(&w, &listener, 0);
    must(world_subscribe(&listener, "#", CORE_UNLIMITED) == 0);
    t = http_open(&w, w.n - 1, 0);
    t->deaf = data[0] & DEAF;
    converse(t, data[0], data + 1, size - 1);
    if (!t->closed && !t->upgraded && data[0] & DRAINED)
        http_drain(t);
    t->deaf = false;
    http_settle(t);
    while (at < t->heard_n && !memmem(data, size, "HEAD ", 5) && /* answered without bodies */
           !memmem(data, size, "HTTP/1.0", 8)) /* which has streams without chunks */
        look_at(slice_of(t->heard, t->heard_n), &at);
    http_end(t);
    world_disconnect(&listener);
    world_run(&w);
    world_stop(&w);
    policy_set_unref(policies);
    return 0;
}
