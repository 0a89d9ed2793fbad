/* Looking after the broker: each request is one call of the service `admin`, whose answer is the
 * response's body. What it asks and answers stands in docs/admin-api.md; here is only how a method,
 * a path and its query become the request, which is an object: the body's members, if there is a
 * body, then those that the path and the query name. A name that comes twice is refused by admin,
 * as is whatever else is wrong: nothing is understood here but the few types of a query. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "brokerd/doors/http/call.h"
#include "brokerd/doors/http/handlers.h"
#include "brokerd/doors/options.h"
#include "brokerd/doors/refuse.h"
#include "libbroker/wire/json_text.h"

enum {
    MEMBERS_MAX = 8,
    BODY_MAX = 60 * 1024, /* a request of admin's has 64 KiB, and the rest has to fit, too */
    QUERY_MAX = 2048,     /* of one parameter, decoded */
    DIGITS_MAX = 15,
};

enum member_type { MEMBER_NONE, MEMBER_TEXT, MEMBER_COUNT, MEMBER_FLAG, MEMBER_LIMIT };

struct member {
    const char *name;
    enum member_type type;
};

/* What a route asks. */
struct manage {
    const char *command;
    const char *path[2];               /* the members that stand in the path, in order */
    struct member query[MEMBERS_MAX];  /* what the query may say, ended by MEMBER_NONE */
    const char *fixed;                 /* members that it always has, as JSON; NULL: none */
    const struct hcall_ops *answering; /* NULL: as ever */
};

/* ------------------------------------------------------------------------------- the request */

struct text {
    uint8_t *p, *end;
    bool some; /* the object has members */
};

static void put(struct text *t, const char *s)
{
    size_t n = strlen(s);

    memcpy(t->end, s, n);
    t->end += n;
}

static void put_name(struct text *t, const char *name)
{
    put(t, t->some ? ",\"" : "\"");
    put(t, name);
    put(t, "\":");
    t->some = true;
}

static void put_text(struct text *t, const char *name, struct slice value)
{
    put_name(t, name);
    t->end = jtext_put_string(t->end, value);
}

static bool is_blank(uint8_t c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

/* The body is to be an object; all of it but the brace at its end goes first, so that who is told
 * of a byte that is wrong finds it there. */
static bool put_body(struct text *t, struct slice body, struct refusal *why)
{
    size_t from = 0, n = body.n;

    while (n && is_blank(body.p[n - 1]))
        n--;
    while (from < n && is_blank(body.p[from]))
        from++;
    if (from == n) {
        put(t, "{");
        return true;
    }
    if (n - from < 2 || body.p[from] != '{' || body.p[n - 1] != '}') {
        refuse(why, REASON_INVALID, "the body is to be a JSON object");
        return false;
    }
    memcpy(t->end, body.p, n - 1);
    t->end += n - 1;
    for (from++; from < n - 1 && is_blank(body.p[from]); from++)
        ;
    t->some = from < n - 1;
    return true;
}

static bool is_number(struct slice s)
{
    for (size_t i = 0; i < s.n; i++)
        if (s.p[i] < '0' || s.p[i] > '9')
            return false;
    return s.n > 0 && s.n <= DIGITS_MAX && (s.p[0] != '0' || s.n == 1);
}

/* `?all`, `?all=true`, `?all=1`: yes. 1, 0; -1: neither. */
static int truth(struct slice s)
{
    if (s.n == 0 || slice_eq(s, SLICE("true")) || slice_eq(s, SLICE("1")))
        return 1;
    return slice_eq(s, SLICE("false")) || slice_eq(s, SLICE("0")) ? 0 : -1;
}

static bool refuse_value(struct refusal *why, const struct member *m, const char *expected)
{
    refuse(why, REASON_INVALID, "%s=: expected %s", m->name, expected);
    return false;
}

static bool put_parameter(struct text *t, const struct exchange *x, const struct member *m,
                          struct refusal *why)
{
    uint8_t buf[QUERY_MAX];
    struct slice value;
    int r = exchange_query(x, m->name, buf, sizeof buf, &value);

    if (r < 0)
        return refuse_value(why, m, "a percent sign before two hexadecimal digits, and less of it");
    if (r == 0 && m->type == MEMBER_LIMIT)
        value = SLICE("1000"); /* a page of a list that may be long */
    else if (r == 0)
        return true;
    switch (m->type) {
    case MEMBER_LIMIT:
    case MEMBER_COUNT:
        if (!is_number(value))
            return refuse_value(why, m, "a whole number");
        put_name(t, m->name);
        memcpy(t->end, value.p, value.n);
        t->end += value.n;
        return true;
    case MEMBER_FLAG:
        if (truth(value) < 0)
            return refuse_value(why, m, "true or false");
        put_name(t, m->name);
        put(t, truth(value) ? "true" : "false");
        return true;
    default:
        put_text(t, m->name, value);
        return true;
    }
}

/* Nothing that is not understood is passed over. */
static bool check_query(const struct exchange *x, const struct manage *what, struct refusal *why)
{
    struct slice rest = x->query;
    unsigned i;

    while (rest.n) {
        const uint8_t *end = memchr(rest.p, '&', rest.n);
        struct slice name = slice_of(rest.p, end ? (size_t)(end - rest.p) : rest.n);
        const uint8_t *is = name.n ? memchr(name.p, '=', name.n) : NULL;

        rest = slice_from(rest, name.n + (end != NULL));
        if (is)
            name.n = (size_t)(is - name.p);
        for (i = 0; what->query[i].type != MEMBER_NONE; i++)
            if (slice_eq(name, slice_str(what->query[i].name)))
                break;
        if (name.n && what->query[i].type == MEMBER_NONE) {
            refuse(why, REASON_INVALID, "there is no parameter \"%.*s\" here",
                   (int)(name.n < 60 ? name.n : 60), (const char *)name.p);
            return false;
        }
    }
    return true;
}

/* Bytes that all of it takes at most: what is escaped grows to six times its length. */
static size_t room_for(const struct exchange *x, const struct manage *what, struct slice body)
{
    size_t n = body.n + 64 + (what->fixed ? strlen(what->fixed) : 0);

    for (unsigned i = 0; i < 2 && what->path[i]; i++)
        n += 8 + strlen(what->path[i]) + 6 * x->arg[i].n;
    for (unsigned i = 0; what->query[i].type != MEMBER_NONE; i++)
        n += 32 + strlen(what->query[i].name);
    return n + 6 * x->query.n;
}

static bool put_request(struct text *t, const struct exchange *x, const struct manage *what,
                        struct slice body, struct refusal *why)
{
    if (!check_query(x, what, why) || !put_body(t, body, why))
        return false;
    for (unsigned i = 0; i < 2 && what->path[i]; i++)
        put_text(t, what->path[i], x->arg[i]);
    for (unsigned i = 0; what->query[i].type != MEMBER_NONE; i++)
        if (!put_parameter(t, x, &what->query[i], why))
            return false;
    if (what->fixed) {
        put(t, t->some ? "," : "");
        put(t, what->fixed);
    }
    put(t, "}");
    return true;
}

/* -------------------------------------------------------------------------------- the answer */

/* Its content type is the payload's, further fields are its headers, named as they are to be. */
static void answer_as(struct exchange *x, int status, const struct call_payload *p)
{
    struct response r = {.status = status,
                         .type = ctype_name(p->type),
                         .body = p->data,
                         .block = p->block,
                         .headers = p->headers};

    exchange_answer(x, &r);
}

static void answer_ok(struct exchange *x, const struct call_payload *p)
{
    answer_as(x, 200, p);
}

/* What admin calls `made` is 201. */
static void answer_made(struct exchange *x, const struct call_payload *p)
{
    static const char made[] = "\"made\":true";

    answer_as(x, memmem(p->data.p, p->data.n, made, sizeof made - 1) ? 201 : 200, p);
}

static void answer_created(struct exchange *x, const struct call_payload *p)
{
    answer_as(x, 201, p);
}

static void answer_accepted(struct exchange *x, const struct call_payload *p)
{
    answer_as(x, 202, p);
}

/* Whatever the reason: who asks whether to send anything here is to send it elsewhere. */
static void refuse_unready(struct exchange *x, const struct refusal *why)
{
    exchange_refuse_with(x, &(struct response){.status = 503, .retry_after = 1}, why);
}

static const struct hcall_ops plain = {answer_ok, NULL};
static const struct hcall_ops making = {answer_made, NULL};
static const struct hcall_ops creating = {answer_created, NULL};
static const struct hcall_ops starting = {answer_accepted, NULL};
static const struct hcall_ops readiness = {answer_ok, refuse_unready};

static size_t on_body(struct exchange *x, struct slice body, struct block *block, bool last)
{
    const struct manage *what = x->route->what;
    struct call_request r = {.model = CALL_RESPONSE,
                             .service = SLICE("admin"),
                             .method = slice_str(what->command),
                             .first = {.type = {.id = CTYPE_NONE}},
                             .complete = true,
                             .credit = 1};
    struct text t = {.p = malloc(room_for(x, what, body))};
    struct refusal why;

    (void)block;
    (void)last;
    t.end = t.p;
    if (!t.p) {
        refuse_memory(&why);
        exchange_refuse(x, &why);
    } else if (!put_request(&t, x, what, body, &why)) {
        exchange_refuse(x, &why);
    } else {
        r.first.data = slice_of(t.p, (size_t)(t.end - t.p));
        hcall_open(x, &r, what->answering ? what->answering : &plain);
    }
    free(t.p);
    return body.n;
}

/* That it answers at all is the answer. */
static void say_alive(struct exchange *x)
{
    exchange_answer(x, &(struct response){
                           .status = 200, .type = SLICE("text/plain"), .body = SLICE("alive\n")});
}

/* -------------------------------------------------------------------------------- the routes */

/* One at a time of a connection: lists are long, and who asks for many at once and reads none would
 * have all of them made and kept. */
static const struct handler asking = {
    .kind = BODY_NONE, .alone = true, .body = on_body, .over = hcall_over};
static const struct handler telling = {
    .kind = BODY_WHOLE, .alone = true, .body_max = BODY_MAX, .body = on_body, .over = hcall_over};
static const struct handler living = {.kind = BODY_NONE, .begin = say_alive};

/* A table. */
/* clang-format off */
#define ASK(c, ...) &asking, &(const struct manage){.command = (c), ##__VA_ARGS__}
#define TELL(c, ...) &telling, &(const struct manage){.command = (c), ##__VA_ARGS__}
#define PAGED {"limit", MEMBER_LIMIT}, {"after", MEMBER_TEXT}
#define PATH(...) .path = {__VA_ARGS__}
#define QUERY(...) .query = {__VA_ARGS__}

const struct route manage_routes[] = {
    {METHOD_GET, "/v1/info", ASK("info")},
    {METHOD_GET, "/v1/top", ASK("top", QUERY({"limit", MEMBER_COUNT}))},
    {METHOD_GET, "/v1/config", ASK("config")},
    {METHOD_GET, "/v1/stores", ASK("stores")},
    {METHOD_POST, "/v1/reload", TELL("reload")},
    {METHOD_POST, "/v1/drain", TELL("drain", .answering = &starting)},
    {METHOD_GET, "/v1/why/*", ASK("why", PATH("what"))},
    {METHOD_GET, "/v1/route/*", ASK("route", PATH("topic"))},

    {METHOD_GET, "/v1/queues",
     ASK("queue-ls", QUERY({"filter", MEMBER_TEXT}, {"all", MEMBER_FLAG}, PAGED))},
    {METHOD_GET, "/v1/queues/*", ASK("queue-info", PATH("queue"))},
    {METHOD_PUT, "/v1/queues/*", TELL("queue-add", PATH("queue"), .answering = &making)},
    {METHOD_DELETE, "/v1/queues/*",
     ASK("queue-rm", PATH("queue"), QUERY({"if_empty", MEMBER_FLAG}, {"if_unused", MEMBER_FLAG}))},
    {METHOD_POST, "/v1/queues/*:move", TELL("queue-move", PATH("queue"))},
    {METHOD_GET, "/v1/queues/*/messages",
     ASK("queue-peek", PATH("queue"), QUERY({"count", MEMBER_COUNT}, {"bytes", MEMBER_COUNT}))},
    {METHOD_DELETE, "/v1/queues/*/messages", ASK("queue-purge", PATH("queue"))},

    {METHOD_GET, "/v1/subscriptions",
     ASK("subscriptions", QUERY({"filter", MEMBER_TEXT}, {"client", MEMBER_TEXT}, PAGED))},
    {METHOD_GET, "/v1/subscriptions/*", ASK("queue-info", PATH("queue"))},
    {METHOD_GET, "/v1/consumers",
     ASK("consumers", QUERY({"queue", MEMBER_TEXT}, {"client", MEMBER_TEXT}, PAGED))},
    {METHOD_GET, "/v1/connections",
     ASK("connections", QUERY({"client", MEMBER_TEXT}, PAGED))},
    {METHOD_GET, "/v1/connections/*", ASK("connection", PATH("connection"))},
    {METHOD_DELETE, "/v1/connections/*", ASK("kill", PATH("connection"))},
    {METHOD_GET, "/v1/services", ASK("services", QUERY({"filter", MEMBER_TEXT}, PAGED))},

    {METHOD_GET, "/v1/webhooks", ASK("webhook-ls")},
    {METHOD_GET, "/v1/webhooks/*", ASK("webhook-info", PATH("webhook"))},
    {METHOD_PUT, "/v1/webhooks/*",
     TELL("webhook-add", PATH("webhook"), .answering = &creating)},
    {METHOD_PATCH, "/v1/webhooks/*",
     TELL("webhook-add", PATH("webhook"), .fixed = "\"replace\":true")},
    {METHOD_DELETE, "/v1/webhooks/*", ASK("webhook-rm", PATH("webhook"))},
    {METHOD_POST, "/v1/webhooks/*:test", TELL("webhook-test", PATH("webhook"))},
    {METHOD_POST, "/v1/webhooks/*:enable", TELL("webhook-enable", PATH("webhook"))},
    {METHOD_POST, "/v1/webhooks/*:disable", TELL("webhook-disable", PATH("webhook"))},
    {METHOD_POST, "/v1/webhooks/*:replay", TELL("webhook-replay", PATH("webhook"))},

    {METHOD_GET, "/livez", &living, NULL},
    {METHOD_GET, "/readyz", ASK("ready", .answering = &readiness)},
    {METHOD_GET, "/healthz", ASK("ready", .answering = &readiness)},
    {METHOD_GET, "/metrics", ASK("metrics")},

    {METHOD_GET, "/v1/openapi.json", ASK("page", .fixed = "\"path\":\"openapi.json\"")},
    {METHOD_GET, "/", ASK("page")},
    {METHOD_GET, "/page/*", ASK("page", PATH("path"))},
    {0, NULL, NULL, NULL},
};

#undef ASK
#undef TELL
#undef PATH
#undef QUERY
#undef PAGED
/* clang-format on */
