#include "brokerd/doors/http/http.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "brokerd/doors/http/answer.h"

struct door_conn {
    struct link *link;
    size_t seen; /* of the head: no end before */
    bool is_over;
};

/* A method and the blank behind it. */
static enum door_match recognise(struct slice first)
{
    static const char *const methods[] = {"GET ",     "HEAD ",  "POST ",  "PUT ",    "DELETE ",
                                          "OPTIONS ", "PATCH ", "TRACE ", "CONNECT "};
    enum door_match found = DOOR_NO;

    for (size_t i = 0; i < sizeof methods / sizeof *methods; i++) {
        struct slice method = slice_str(methods[i]);

        if (slice_starts(first, method))
            return DOOR_YES;
        if (slice_starts(method, first))
            found = DOOR_MORE;
    }
    return found;
}

static struct door_conn *http_open(struct link *l)
{
    struct door_conn *c = malloc(sizeof *c);

    if (c)
        *c = (struct door_conn){.link = l};
    return c;
}

__attribute__((format(printf, 2, 3))) static void put(struct out *o, const char *format, ...)
{
    char line[512];
    va_list args;
    int n;

    va_start(args, format);
    n = vsnprintf(line, sizeof line, format, args);
    va_end(args);
    (void)out_copy(o, line, (size_t)n < sizeof line ? (size_t)n : sizeof line - 1);
}

/* A status, its text, and the end. */
static void put_answer(struct out *o, int status, const char *text, bool has_body)
{
    put(o, "HTTP/1.1 %d %s\r\n", status, answer_phrase(status));
    put(o, "Content-Type: text/plain; charset=utf-8\r\nContent-Length: %zu\r\n", strlen(text) + 1);
    if (status == 426)
        put(o, "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n");
    if (status == 405)
        put(o, "Allow: GET\r\n");
    put(o, "Connection: %s\r\n\r\n", status == 426 ? "Upgrade, close" : "close");
    if (has_body)
        put(o, "%s\n", text);
}

static void refuse(struct door_conn *c, int status, enum door_refusal what, const char *text,
                   bool has_body)
{
    char why[300];

    c->is_over = true;
    (void)snprintf(why, sizeof why, "%d, %s", status, text);
    put_answer(&c->link->out, status, text, has_body);
    out_end(&c->link->out);
    link_refuse(c->link, what, why);
}

static void upgrade(struct door_conn *c, const struct answer *a)
{
    struct out *o = &c->link->out;

    c->is_over = true;
    put(o, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n");
    put(o, "Sec-WebSocket-Accept: %s\r\n", a->accept);
    if (a->subprotocol.n)
        put(o, "Sec-WebSocket-Protocol: %.*s\r\n", (int)a->subprotocol.n,
            (const char *)a->subprotocol.p);
    put(o, "\r\n");
    out_end(o);
    link_upgrade(c->link, &a->upgrade);
}

static size_t on_bytes(struct door_conn *c, struct slice bytes, struct block *block)
{
    size_t n = c->is_over ? 0 : http_head_end(bytes, &c->seen);
    struct http_request r;
    struct answer a;
    const char *why;
    int err;

    (void)block;
    if (c->is_over)
        return bytes.n;
    if (n > HTTP_HEAD_MAX || (n == 0 && bytes.n > HTTP_HEAD_MAX)) {
        refuse(c, 431, DOOR_REFUSED_HTTP, "the head of a request may have 16 KiB", true);
        return bytes.n;
    }
    if (n == 0)
        return 0;
    err = http_parse(slice_of(bytes.p, n), &r, &why);
    if (err < 0) {
        refuse(c, err == -EMSGSIZE ? 431 : 400, DOOR_REFUSED_HTTP, why, true);
        return bytes.n;
    }
    answer_request(&r, link_site(c->link), doors, &a);
    if (a.status == 101) {
        upgrade(c, &a);
        return n;
    }
    refuse(c, a.status, a.refusal, a.text, !slice_eq(r.method, SLICE("HEAD")));
    return bytes.n;
}

static int64_t on_time(struct door_conn *c, int64_t now_ms)
{
    (void)c;
    (void)now_ms;
    return INT64_MAX; /* net's handshake time-out is all there is */
}

static void on_drain(struct door_conn *c)
{
    if (c->is_over)
        return;
    c->is_over = true;
    link_close(c->link, "the broker drains", true);
}

static bool is_established(const struct door_conn *c)
{
    (void)c;
    return false;
}

static void http_free(struct door_conn *c)
{
    free(c);
}

static void turn_away(struct out *o, const char *text)
{
    put_answer(o, 404, text, true);
}

const struct door_ops http_door = {
    .name = "http",
    .recognise = recognise,
    .open = http_open,
    .on_bytes = on_bytes,
    .on_time = on_time,
    .on_drain = on_drain,
    .established = is_established,
    .free = http_free,
    .turn_away = turn_away,
};
