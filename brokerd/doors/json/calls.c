#include "brokerd/doors/json/calls.h"

#include "brokerd/doors/body.h"
#include "brokerd/doors/json/publish.h"
#include "brokerd/doors/server.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

/* A service that this connection serves. */
struct jservice {
    struct jpeer *peer;
    struct server *server;
    uint8_t n;
    uint8_t name[];
};

static struct slice key_of(const uint64_t *number)
{
    return slice_of(number, sizeof *number);
}

static struct map *map_of(struct jcall *j)
{
    return j->is_server ? &j->peer->calls : &j->peer->requests;
}

static const char *word_of(const struct jcall *j)
{
    return j->is_server ? "call" : "request";
}

static void bury(struct jcall *j)
{
    if (j->gone)
        return;
    j->gone = true;
    (void)map_del(map_of(j), key_of(&j->number));
    j->next = j->peer->calls_ended;
    j->peer->calls_ended = j;
    jpeer_answered(j->peer);
}

void jcall_sweep(struct jpeer *c)
{
    struct jcall *j;

    while ((j = c->calls_ended) != NULL) {
        c->calls_ended = j->next;
        c->serving -= j->is_server;
        core_call_close(j->call);
        free(j);
    }
}

static void bury_all(struct map *m)
{
    struct map_entry *e;

    while ((e = map_next(m, NULL)) != NULL)
        bury(e->value);
    map_fini(m);
}

void jcall_fini(struct jpeer *c)
{
    struct map_entry *e = NULL;

    while ((e = map_next(&c->services, e)) != NULL) {
        core_unserve(((struct jservice *)e->value)->server);
        free(e->value);
    }
    map_fini(&c->services);
    bury_all(&c->requests);
    bury_all(&c->calls);
    jcall_sweep(c);
}

static int bad(struct refusal *why, const char *text)
{
    refuse(why, REASON_INVALID, "%s", text);
    return -EINVAL;
}

static struct jcall *call_new(struct jpeer *c, bool is_server, uint64_t number)
{
    struct jcall *j = calloc(1, sizeof *j);

    if (!j)
        return NULL;
    j->peer = c;
    j->is_server = is_server;
    j->number = number;
    if (!map_add(map_of(j), key_of(&j->number), j)) {
        free(j);
        return NULL;
    }
    return j;
}

/* ------------------------------------------------------------------------------ what is said */

/* ID, the number, and the payload (NULL: none). */
static void say_payload(struct jpeer *c, const char *id, const char *word, const uint64_t *number,
                        const struct call_request *r, const struct call_payload *p, bool complete)
{
    struct jbody_type type;
    struct jbody b;
    struct jsaying l;

    jsay_begin(&l, c, id);
    if (number)
        jsay_number(&l, word, *number);
    if (r) {
        jsay_text(&l, "service", r->service);
        jsay_text(&l, "method", r->method);
        if (r->model == CALL_STREAM)
            jsay_number(&l, "credit", r->credit < CORE_UNLIMITED ? r->credit : CORE_UNLIMITED);
    }
    if (!p) {
        if (complete)
            jsay_true(&l, "complete");
        jsay_end(&l);
        return;
    }
    type = jbody_type(p->type);
    b = jbody_of(p->data, p->headers, &type);
    jsay_end_with_body(&l, &b, complete);
}

static void on_next(void *ctx, const struct call_payload *p, bool complete)
{
    struct jcall *j = ctx;

    if (!j->gone)
        say_payload(j->peer, j->is_server ? "$call" : "$reply", word_of(j), &j->number, NULL, p,
                    complete);
}

static void on_complete(void *ctx)
{
    struct jcall *j = ctx;

    if (!j->gone && !j->is_server)
        say_payload(j->peer, "$reply", word_of(j), &j->number, NULL, NULL, true);
}

static void on_request_n(void *ctx, uint32_t n)
{
    struct jcall *j = ctx;
    struct jsaying l;

    if (j->gone || !j->is_server)
        return;
    jsay_begin(&l, j->peer, "$credit");
    jsay_number(&l, "call", j->number);
    jsay_number(&l, "n", n);
    jsay_end(&l);
}

static void on_cancel(void *ctx)
{
    struct jcall *j = ctx;
    struct jsaying l;

    if (j->gone)
        return;
    jsay_begin(&l, j->peer, "$cancel");
    jsay_number(&l, word_of(j), j->number);
    jsay_end(&l);
}

static void on_error(void *ctx, const struct call_error *e)
{
    struct jcall *j = ctx;
    struct jsaying l;
    struct slice text = e->text;

    if (j->gone)
        return;
    if (text.n > JSAY_TEXT_MAX)
        text.n = JSAY_TEXT_MAX;
    jsay_begin(&l, j->peer, "$error");
    if (e->reason != REASON_NONE)
        jsay_text(&l, "reason", slice_str(reason_name(e->reason)));
    jsay_number(&l, "code", e->code);
    jsay_text(&l, "text", text);
    jsay_number(&l, word_of(j), j->number);
    jsay_end(&l);
}

static void on_closed(void *ctx)
{
    struct jcall *j = ctx;

    j->call = NULL;
    bury(j);
}

static const struct call_ops ops = {.next = on_next,
                                    .request_n = on_request_n,
                                    .complete = on_complete,
                                    .cancel = on_cancel,
                                    .error = on_error,
                                    .closed = on_closed};

/* ----------------------------------------------------------------------------------- asking */

static bool no_option(struct slice name)
{
    (void)name;
    return false;
}

/* The payload of a request or a reply; without `data` and base64 an empty one. */
static int read_payload(struct jask *a, struct block *block, struct jpayload *own,
                        struct call_payload *ret, struct refusal *why)
{
    struct slice type = {NULL, 0};
    int r = jask_text(a, "type", false, &type, why);

    if (r == 0)
        r = jask_headers(a, no_option, &ret->headers, why);
    if (r == 0 && (a->data.n || a->base64.p))
        r = jpayload_read(a->data, a->base64, type.p != NULL, type, own, why);
    else
        *own = (struct jpayload){.type = {.id = CTYPE_NONE}};
    ret->data = own->data.n ? own->data : slice_of("", 0);
    ret->type = own->type;
    ret->block = own->own ? NULL : block;
    return r;
}

static int read_request(struct jask *a, struct call_request *r, bool *has_number, uint64_t *number,
                        struct refusal *why)
{
    bool has_credit = false, has_wait = false;
    uint64_t wait = 0;
    int err = jask_number(a, "request", INT64_MAX, has_number, number, why);

    a->about.has_request = err == 0 && *has_number;
    a->about.request = *number;
    if (err == 0)
        err = jask_text(a, "service", true, &r->service, why);
    if (err == 0)
        err = jask_text(a, "method", true, &r->method, why);
    if (err == 0)
        err = jask_number(a, "credit", INT64_MAX, &has_credit, &r->credit, why);
    if (err == 0)
        err = jask_number(a, "wait", INT32_MAX, &has_wait, &wait, why);
    if (err < 0)
        return err;
    if (has_credit && r->credit == 0)
        return bad(why, "credit is at least 1: how many replies are wanted");
    r->model = !*has_number ? CALL_FNF : has_credit ? CALL_STREAM : CALL_RESPONSE;
    r->wait_ms = has_wait ? (int64_t)wait : -1;
    return 0;
}

static int open_call(struct jpeer *c, const struct call_request *r, uint64_t number,
                     struct refusal *why)
{
    struct jcall *j;
    struct call *call = NULL;
    int err;

    if (r->model == CALL_FNF)
        return core_call_open(c->link->endpoint, r, NULL, NULL, &call, why);
    if (map_get(&c->requests, key_of(&number)))
        return bad(why, "a request of that number is open");
    j = call_new(c, false, number);
    if (!j) {
        refuse_memory(why);
        return -ENOMEM;
    }
    err = core_call_open(c->link->endpoint, r, &ops, j, &call, why);
    if (err < 0)
        bury(j);
    else if (!j->gone)
        j->call = call;
    return err;
}

int jcall_request(struct jpeer *c, struct jask *a, struct block *block, struct refusal *ret_why)
{
    struct call_request r = {.model = CALL_RESPONSE};
    struct jpayload own = {.own = NULL};
    uint64_t number = 0;
    bool has_number = false;
    int err = read_request(a, &r, &has_number, &number, ret_why);

    if (err == 0)
        err = read_payload(a, block, &own, &r.first, ret_why);
    if (err == 0)
        err = open_call(c, &r, number, ret_why);
    free(own.own);
    return err;
}

/* The call or request that is meant. */
static int find(struct jpeer *c, struct jask *a, struct jcall **ret, struct refusal *why)
{
    bool has_request, has_call = false;
    uint64_t number = 0;
    int r = jask_number(a, "request", INT64_MAX, &has_request, &number, why);

    if (r == 0 && !has_request)
        r = jask_number(a, "call", INT64_MAX, &has_call, &number, why);
    if (r < 0)
        return r;
    if (!has_request && !has_call)
        return bad(why, "request or call is missing: its number");
    a->about.has_request = has_request;
    a->about.has_call = has_call;
    a->about.request = number;
    *ret = map_get(has_request ? &c->requests : &c->calls, key_of(&number));
    if (*ret)
        return 0;
    refuse(why, REASON_INVALID, "there is no %s %" PRIu64, has_request ? "request" : "call",
           number);
    return -EINVAL;
}

int jcall_cancel(struct jpeer *c, struct jask *a, struct refusal *ret_why)
{
    struct jcall *j;
    int r = find(c, a, &j, ret_why);

    if (r == 0)
        r = jask_done(a, ret_why);
    if (r == 0)
        bury(j); /* swept, it is given up: a caller cancels, a server has failed */
    return r;
}

int jcall_credit(struct jpeer *c, struct jask *a, struct refusal *ret_why)
{
    struct jcall *j;
    uint64_t n = 0;
    bool has;
    int r = find(c, a, &j, ret_why);

    if (r == 0)
        r = jask_number(a, "n", INT64_MAX, &has, &n, ret_why);
    if (r == 0)
        r = jask_done(a, ret_why);
    if (r == 0 && n == 0)
        return bad(ret_why, "n is missing or 0: how many more");
    if (r == 0 && j->call)
        core_call_request_n(j->call, n);
    return r;
}

/* ----------------------------------------------------------------------------------- serving */

static int has_room(void *ctx, struct refusal *why)
{
    const struct jpeer *c = ((struct jservice *)ctx)->peer;

    return server_check(c->link, (struct server_load){c->over || c->draining, c->serving}, why);
}

static int on_open(void *ctx, struct call *call, const struct call_request *r, struct refusal *why)
{
    struct jpeer *c = ((struct jservice *)ctx)->peer;
    struct jcall *j;

    if (r->model == CALL_CHANNEL) {
        refuse(why, REASON_INVALID, "this server takes no channels");
        return -EINVAL;
    }
    if (r->model == CALL_FNF) {
        say_payload(c, "$call", "call", NULL, r, &r->first, false);
        return 0;
    }
    j = call_new(c, true, c->calls_numbered + 1);
    if (!j) {
        refuse_memory(why);
        return -ENOMEM;
    }
    c->calls_numbered++;
    c->serving++;
    j->call = call;
    say_payload(c, "$call", "call", &j->number, r, &r->first, false);
    core_call_accept(call, &ops, j, c->link->out.end);
    return 0;
}

static void on_ready(void *ctx)
{
    struct jservice *s = ctx;
    struct jsaying l;

    jsay_begin(&l, s->peer, "$serving");
    jsay_text(&l, "service", slice_of(s->name, s->n));
    jsay_end(&l);
}

static const struct server_ops server_ops = {on_open, on_ready, has_room};

static int read_service(struct jask *a, struct slice *ret, struct refusal *why)
{
    int r = jask_text(a, "service", true, ret, why);

    return r == 0 ? jask_done(a, why) : r;
}

int jcall_serve(struct jpeer *c, struct jask *a, struct refusal *ret_why)
{
    struct slice name;
    struct jservice *s;
    int r = read_service(a, &name, ret_why);

    if (r < 0)
        return r;
    if (name.n > NAME_MAX_BYTES)
        return bad(ret_why, "a service's name has at most 240 bytes");
    s = calloc(1, sizeof *s + name.n);
    if (!s) {
        refuse_memory(ret_why);
        return -ENOMEM;
    }
    s->peer = c;
    s->n = (uint8_t)name.n;
    memcpy(s->name, name.p, name.n);
    r = core_serve(c->link->endpoint, name, &server_ops, s, &s->server, ret_why);
    if (r == 0 && !map_add(&c->services, name, s)) {
        core_unserve(s->server);
        refuse_memory(ret_why);
        r = -ENOMEM;
    }
    if (r < 0)
        free(s);
    return r;
}

int jcall_unserve(struct jpeer *c, struct jask *a, struct refusal *ret_why)
{
    struct slice name;
    struct jservice *s;
    int r = read_service(a, &name, ret_why);

    if (r < 0)
        return r;
    s = map_del(&c->services, name);
    if (!s)
        return bad(ret_why, "this connection does not serve that");
    core_unserve(s->server);
    free(s);
    return 0;
}

/* The payload of a reply, or only the end. */
static int reply(struct jcall *j, const struct call_payload *p, bool complete, struct refusal *why)
{
    int r = p ? core_call_next(j->call, p, complete) : 0;

    if (!p)
        core_call_complete(j->call);
    if (r == -EPIPE)
        return 0; /* the caller has gone meanwhile */
    if (r == 0)
        return 0;
    refuse(why, REASON_NO_CREDIT, "the caller has asked for no more replies; the call has failed");
    core_call_refuse(j->call, why, true);
    return r;
}

int jcall_reply(struct jpeer *c, struct jask *a, struct block *block, struct refusal *ret_why)
{
    struct call_payload p = {.block = NULL};
    struct jpayload own = {.own = NULL};
    struct jcall *j = NULL;
    bool complete = false;
    int r = find(c, a, &j, ret_why);

    if (r == 0 && !j->is_server)
        r = bad(ret_why, "a reply names its call");
    if (r == 0)
        r = jask_flag(a, "complete", &complete, ret_why);
    if (r == 0)
        r = read_payload(a, block, &own, &p, ret_why);
    if (r == 0 && !a->data.n && !a->base64.p && !complete)
        r = bad(ret_why, "data is missing; it may be null");
    if (r == 0 && j->call)
        r = reply(j, a->data.n || a->base64.p ? &p : NULL, complete, ret_why);
    free(own.own);
    return r;
}

int jcall_error(struct jpeer *c, struct jask *a, struct refusal *ret_why)
{
    struct call_error e = {.code = CALL_FAILED, .text = SLICE("failed")};
    struct jcall *j = NULL;
    uint64_t code = CALL_FAILED;
    bool has;
    int r = find(c, a, &j, ret_why);

    if (r == 0 && !j->is_server)
        r = bad(ret_why, "an error names its call; to give up a request there is $cancel");
    if (r == 0)
        r = jask_text(a, "text", false, &e.text, ret_why);
    if (r == 0)
        r = jask_number(a, "code", UINT32_MAX - 1, &has, &code, ret_why);
    if (r == 0)
        r = jask_done(a, ret_why);
    if (r == 0 && code < CALL_FAILED)
        r = bad(ret_why, "code is at least 513");
    e.code = (uint32_t)code;
    if (r == 0 && j->call)
        core_call_error(j->call, &e);
    return r;
}
