#include "brokerd/doors/json/say.h"

#include "brokerd/doors/body.h"
#include "libbroker/base/utf8.h"

void jsay_begin(struct jsaying *l, struct jpeer *c, const char *id)
{
    l->c = c;
    l->first = true;
    l->p = jput(l->buf, SLICE("{\"id\":\""));
    l->p = jput(l->p, slice_str(id));
    l->p = jput(l->p, SLICE("\",\"data\":{"));
}

static void name(struct jsaying *l, const char *text)
{
    if (!l->first)
        *l->p++ = ',';
    l->first = false;
    *l->p++ = '"';
    l->p = jput(l->p, slice_str(text));
    l->p = jput(l->p, SLICE("\":"));
}

void jsay_number(struct jsaying *l, const char *text, uint64_t n)
{
    name(l, text);
    l->p = jput_number(l->p, n);
}

void jsay_text(struct jsaying *l, const char *what, struct slice text)
{
    if (text.n > JSAY_TEXT_MAX)
        return;
    while (!utf8_valid(text)) /* cut within a character */
        text.n--;
    name(l, what);
    l->p = jtext_put_string(l->p, text);
}

void jsay_null(struct jsaying *l, const char *what)
{
    name(l, what);
    l->p = jput(l->p, SLICE("null"));
}

void jsay_true(struct jsaying *l, const char *what)
{
    name(l, what);
    l->p = jput(l->p, SLICE("true"));
}

static void send(struct jsaying *l)
{
    (void)out_copy(&l->c->link->out, l->buf, (size_t)(l->p - l->buf));
    l->p = l->buf;
}

void jsay_end_with(struct jsaying *l, const char *what, struct slice value)
{
    uint8_t *to;

    name(l, what);
    send(l);
    to = out_reserve(&l->c->link->out, value.n);
    if (to) {
        (void)jtext_put_value(to, value);
        out_commit(&l->c->link->out, value.n);
    }
    jsay_end(l);
}

void jsay_end_with_body(struct jsaying *l, const struct jbody *b, bool complete)
{
    struct out *o = &l->c->link->out;
    uint8_t *start, *p;

    name(l, "data");
    send(l);
    start = p = out_reserve(o, jbody_data_room(b) + jbody_more_room(b));
    if (start) {
        p = jbody_put_more(jbody_put_data(p, b), b);
        out_commit(o, (size_t)(p - start));
    }
    if (complete)
        jsay_true(l, "complete");
    jsay_end(l);
}

void jsay_end(struct jsaying *l)
{
    l->p = jput(l->p, SLICE("}}\n"));
    send(l);
    out_end(&l->c->link->out);
}

void jsay_error(struct jpeer *c, const struct refusal *why, const struct jabout *about)
{
    struct jsaying l;

    c->link->host->scratch->count[DOOR_COUNT_ERRORS]++;
    jsay_begin(&l, c, "$error");
    jsay_text(&l, "reason", slice_str(reason_name(why->reason)));
    jsay_text(&l, "text", slice_str(why->text));
    if (about->has_confirm)
        jsay_number(&l, "confirm", about->confirm);
    if (about->has_request)
        jsay_number(&l, "request", about->request);
    if (about->has_call)
        jsay_number(&l, "call", about->request);
    if (about->subscription)
        jsay_number(&l, "subscription", about->subscription);
    if (about->topic.n)
        jsay_text(&l, "topic", about->topic);
    if (about->queue.n)
        jsay_text(&l, "queue", about->queue);
    if (about->line)
        jsay_number(&l, "line", about->line);
    if (about->column)
        jsay_number(&l, "column", about->column);
    jsay_end(&l);
}

void jsay_keepalive(struct jpeer *c)
{
    static const struct slice line = {(const uint8_t *)"{\"id\":\"$keepalive\",\"data\":null}\n",
                                      32};

    (void)out_copy(&c->link->out, line.p, line.n);
    out_end(&c->link->out);
}

void jsay_turn_away(struct out *o, const char *text)
{
    struct slice head = SLICE("{\"id\":\"$error\",\"data\":{\"reason\":\"denied\",\"text\":");
    struct slice why = slice_str(text);
    size_t n = head.n + jtext_string_size(why) + 3;
    uint8_t *p = out_reserve(o, n);

    if (!p)
        return;
    p = jtext_put_string(jput(p, head), why);
    (void)jput(p, SLICE("}}\n"));
    out_commit(o, n);
}
