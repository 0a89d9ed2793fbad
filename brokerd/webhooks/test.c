/* One event sent on purpose, so that somebody sees what an endpoint is sent and what it says. */
#include "brokerd/webhooks/internal.h"
#include "libbroker/base/utf8.h"
#include "libbroker/wire/mime.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

static void on_done(void *ctx, struct post *p)
{
    (void)p;
    ((struct test *)ctx)->is_over = true;
}

static void on_ready(void *ctx)
{
    hook_mark(((struct test *)ctx)->hook);
}

static int build(struct test *t)
{
    const char *name = t->spec->name;
    char data[128];
    int n = snprintf(data, sizeof data, "{\"test\":true,\"webhook\":\"%s\"}", name);
    uint64_t id = (uint64_t)desk_random(t->hook->desk) << 32 | desk_random(t->hook->desk);
    struct request_event e = {.topic = SLICE("webhook.test"),
                              .data = slice_of(data, (size_t)n),
                              .type = {.id = MIME_JSON},
                              .id = id,
                              .time_ms = t->wall_ms,
                              .attempt = 1};

    n = request_build(&t->post.request, t->spec, &e, t->wall_ms);
    if (n < 0)
        return n;
    if (!t->post.request.own_body) { /* `data` ends with this call */
        t->body = malloc(e.data.n);
        if (!t->body)
            return -ENOMEM;
        memcpy(t->body, data, e.data.n);
        t->post.request.body.p = (const uint8_t *)t->body;
    }
    return 0;
}

int test_start(struct hook *h, webhooks_test_fn *done, void *ctx)
{
    struct test *t = calloc(1, sizeof *t);
    struct poster_options o = {.base = worker_base(h->desk->worker),
                               .agent = h->desk->wh->o.agent,
                               .ready = on_ready,
                               .done = on_done,
                               .ctx = t};
    int r;

    if (!t)
        return -ENOMEM;
    t->hook = h;
    t->spec = spec_ref(h->spec);
    t->done = done;
    t->ctx = ctx;
    t->wall_ms = worker_wall(h->desk->worker);
    r = poster_new(&o, h->spec, &t->poster);
    if (r == 0)
        r = build(t);
    if (r == 0)
        r = poster_send(t->poster, &t->post);
    if (r < 0) {
        test_free(t);
        return r;
    }
    h->test = t;
    hook_mark(h);
    return 0;
}

/* U+0080 to U+009F, and U+007F: a terminal may heed them, too. */
static void blank_controls(char *text, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (text[i] == 0x7f)
            text[i] = ' ';
        else if ((uint8_t)text[i] == 0xc2 && i + 1 < n && (uint8_t)text[i + 1] < 0xa0)
            memset(text + i, ' ', 2);
    }
}

/* What came from outside, as a text fit to be shown. */
static json_t *shown(const char *bytes, size_t n)
{
    char text[POST_EXCERPT + 1];
    json_t *json;

    n = n < sizeof text ? n : sizeof text - 1;
    for (size_t i = 0; i < n; i++)
        text[i] = (uint8_t)bytes[i] < ' ' && bytes[i] != '\n' && bytes[i] != '\t' ? ' ' : bytes[i];
    while (n && !utf8_valid(slice_of(text, n)) && (bytes[n - 1] & 0x80) && n + 4 > POST_EXCERPT)
        n--; /* cut within a character */
    for (size_t i = 0; i < n && !utf8_valid(slice_of(text, n)); i++)
        if (text[i] & 0x80)
            text[i] = '?';
    blank_controls(text, n);
    json = json_stringn(text, n);
    return json ? json : json_string("");
}

/* The user's own fields, which come first, may be as secret as keys: their names are enough. */
static json_t *told_fields(const struct test *t)
{
    const size_t own = spec_said(t->spec, "headers")->n;
    const struct request *r = &t->post.request;
    json_t *fields = json_array();
    const char *at = r->fields;

    for (unsigned i = 0; i < r->fields_count; i++) {
        size_t n = strlen(at);

        json_array_append_new(fields,
                              i < own ? json_sprintf("%.*s: (hidden)", (int)strcspn(at, ":"), at)
                                      : shown(at, n));
        at += n + 1;
    }
    return fields;
}

static json_t *told_request(const struct test *t)
{
    const struct request *r = &t->post.request;
    json_t *o = json_object();

    json_object_set_new(o, "method", json_string("POST"));
    json_object_set_new(o, "url", url_json(t->spec));
    json_object_set_new(o, "headers", told_fields(t));
    json_object_set_new(o, "body", shown((const char *)r->body.p, r->body.n));
    return o;
}

static json_t *told(const struct test *t)
{
    const struct post *p = &t->post;
    struct outcome_judged judged = outcome_judge(p->end, p->status);
    json_t *o = json_object();

    json_object_set_new(o, "webhook", json_string(t->spec->name));
    json_object_set_new(o, "delivered", json_boolean(judged.verdict == VERDICT_DELIVERED));
    json_object_set_new(o, "request", told_request(t));
    json_object_set_new(o, "outcome", json_string(attempt_end_name(p->end)));
    if (p->status)
        json_object_set_new(o, "status", json_integer(p->status));
    if (*p->error)
        json_object_set_new(o, "error", shown(p->error, strlen(p->error)));
    if (*p->address)
        json_object_set_new(o, "address", json_string(p->address));
    json_object_set_new(o, "us", json_integer(p->took_us));
    if (*p->retry_after)
        json_object_set_new(o, "retry_after", shown(p->retry_after, strlen(p->retry_after)));
    json_object_set_new(o, "body", shown(p->excerpt, p->excerpt_n));
    return o;
}

bool test_run(struct test *t, int64_t now_ms)
{
    poster_run(t->poster, now_ms);
    if (!t->is_over)
        return false;
    t->done(t->ctx, told(t));
    test_free(t);
    return true;
}

void test_free(struct test *t)
{
    if (!t)
        return;
    post_fini(&t->post);
    poster_free(t->poster);
    spec_unref(t->spec);
    free(t->body);
    free(t);
}
