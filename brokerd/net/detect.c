/* What a connection speaks, by its first bytes; and what who speaks something else is told. */
#include <stdio.h>
#include <string.h>

#include "brokerd/net/internal.h"
#include "libbroker/base/hash.h"

/* Does it begin TLS? A record of a handshake, of any version from SSL 3.0 on. */
static enum door_match is_tls(struct slice first)
{
    static const uint8_t record[] = {0x16, 0x03};
    size_t n = first.n < sizeof record ? first.n : sizeof record;

    if (memcmp(first.p, record, n) != 0 || (first.n > 2 && first.p[2] > 4))
        return DOOR_NO;
    return first.n > 2 ? DOOR_YES : DOOR_MORE;
}

/* The names of what is served there, "rsocket, json and websocket". */
static void names(const struct door_site *site, char *buf, size_t size)
{
    const char *name[18];
    unsigned n = 0;
    size_t at = 0;

    for (unsigned i = 0; doors[i] && n < 16; i++) {
        if (doors[i]->upgrades ? site->http : site->doors >> i & 1)
            name[n++] = doors[i]->name;
    }
    if (site->websocket)
        name[n++] = "websocket";
    buf[0] = '\0';
    for (unsigned i = 0; i < n && at < size; i++)
        at += (size_t)snprintf(buf + at, size - at, "%s%s",
                               i == 0       ? ""
                               : i + 1 == n ? " and "
                                            : ", ",
                               name[i]);
}

void detect_narrowed_text(const struct conn *c, const struct door_ops *door, char *buf, size_t size)
{
    char served[256];

    names(conn_site(c), served, sizeof served);
    (void)snprintf(buf, size, "%s is not served here, but %s", door->name, served);
}

static void say_line(struct conn *c, const char *text)
{
    struct out *o = &c->link.out;

    if (out_copy(o, text, strlen(text)) == 0)
        (void)out_copy(o, "\r\n", 2);
    out_end(o);
}

/* It speaks what this listener was told not to serve. */
static void turn_away(struct conn *c, const struct door_ops *door)
{
    char text[NET_TEXT_MAX];

    detect_narrowed_text(c, door, text, sizeof text);
    if (door->turn_away) {
        door->turn_away(&c->link.out, text);
        out_end(&c->link.out);
    } else {
        say_line(c, text);
    }
    conn_close(c, NET_END_NARROWED, text);
}

static void refuse_unknown(struct conn *c)
{
    char served[256], text[NET_TEXT_MAX];

    names(conn_site(c), served, sizeof served);
    (void)snprintf(text, sizeof text, "brokerd: these bytes are of no protocol served here: %s",
                   served);
    say_line(c, text);
    conn_close(c, NET_END_UNKNOWN, NULL);
}

bool conn_is_home(struct conn *c, const struct door_ops *door, struct slice first)
{
    const struct net *net = conn_nw(c)->net;
    struct slice name;
    unsigned to;

    if (!door->home || net->n == 1)
        return true;
    switch (door->home(first, &name)) {
    case DOOR_NO:
        return true;
    case DOOR_MORE:
        return false;
    case DOOR_YES:
        break;
    }
    to = (unsigned)(hash_bytes(net->seed, name) % net->n);
    if (to == worker_id(conn_nw(c)->w))
        return true;
    conn_send_home(c, to);
    return false;
}

static void begin(struct conn *c, const struct door_ops *door)
{
    c->door = door;
    c->door_conn = door->open(&c->link);
    if (!c->door_conn) {
        conn_kill(c, NET_END_MEMORY, NULL);
        return;
    }
    c->state = CONN_OPEN;
    conn_set_timer(c, door->on_time(c->door_conn, worker_now(conn_nw(c)->w)));
}

void conn_recognise(struct conn *c, struct slice first)
{
    const struct door_ops *elsewhere = NULL;
    enum door_match tls = is_tls(first);
    bool more = tls == DOOR_MORE;

    if (tls == DOOR_YES) {
        conn_close(c, NET_END_TLS, "connect without TLS");
        return;
    }
    for (unsigned i = 0; doors[i]; i++) {
        bool is_served = conn_site(c)->doors >> i & 1;

        switch (doors[i]->recognise(first)) {
        case DOOR_YES:
            if (is_served) {
                if (conn_is_home(c, doors[i], first))
                    begin(c, doors[i]);
                return;
            }
            elsewhere = doors[i];
            break;
        case DOOR_MORE:
            more = true;
            break;
        case DOOR_NO:
            break;
        }
    }
    if (more)
        return;
    if (elsewhere)
        turn_away(c, elsewhere);
    else
        refuse_unknown(c);
}
