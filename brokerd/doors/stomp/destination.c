#include "brokerd/doors/stomp/destination.h"

#include "brokerd/doors/refuse.h"

#include <errno.h>
#include <stdio.h>

#define DIRECT "amq.direct"
#define FANOUT "amq.fanout"

enum { SHOWN = 200 };

static int complain(struct stomp_complaint *why, const char *message, struct slice text,
                    const char *rest)
{
    char buf[SHOWN];

    why->message = message;
    (void)snprintf(why->body, sizeof why->body, "'%s' %s\n", shown(text, buf, sizeof buf), rest);
    return -EINVAL;
}

static int hex_digit(uint8_t c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* Append `part` with %XX read once. False: too long, or not %XX. */
static bool add_part(struct stomp_destination *d, struct slice part)
{
    for (size_t i = 0; i < part.n; i++) {
        int c = part.p[i];

        if (c == '%') {
            if (part.n - i < 3 || hex_digit(part.p[i + 1]) < 0 || hex_digit(part.p[i + 2]) < 0)
                return false;
            c = hex_digit(part.p[i + 1]) << 4 | hex_digit(part.p[i + 2]);
            i += 2;
        }
        if (d->name_n == sizeof d->name)
            return false;
        d->name[d->name_n++] = (char)c;
    }
    return true;
}

/* Cut `*rest` at its first slash: what is before it. */
static struct slice cut(struct slice *rest, bool *ret_more)
{
    const uint8_t *slash = rest->n ? memchr(rest->p, '/', rest->n) : NULL;
    struct slice part = *rest;

    *ret_more = slash;
    if (!slash) {
        *rest = slice_of(NULL, 0);
        return part;
    }
    part.n = (size_t)(slash - part.p);
    *rest = slice_from(*rest, part.n + 1);
    return part;
}

static int read_exchange(struct slice text, struct slice rest, struct stomp_destination *d,
                         struct stomp_complaint *why)
{
    bool has_key, more;
    struct slice ex = cut(&rest, &has_key), key = cut(&rest, &more);

    if (more || !ex.n)
        return complain(why, "Invalid destination", text, "is not a valid exchange destination");
    d->place = PLACE_TOPIC;
    if (slice_eq(ex, SLICE(FANOUT))) {
        add_part(d, ex);
        return 0;
    }
    if (slice_eq(ex, SLICE(DIRECT))) {
        if (!add_part(d, ex) || (key.n && (!add_part(d, SLICE(".")) || !add_part(d, key))))
            return complain(why, "Invalid destination", text,
                            "is not a valid exchange destination");
        return 0;
    }
    if (!slice_eq(ex, SLICE("amq.topic")))
        return complain(why, "not_found", text,
                        "names an exchange that is not there: there are amq.topic, amq.direct and "
                        "amq.fanout");
    if (!key.n || !add_part(d, key))
        return complain(why, "Invalid destination", text, "is not a valid exchange destination");
    return 0;
}

static const struct {
    const char *prefix, *kind;
    enum stomp_place place;
} kinds[] = {
    {"/topic/", "topic", PLACE_TOPIC},
    {"/queue/", "queue", PLACE_QUEUE},
    {"/amq/queue/", "amq/queue", PLACE_KNOWN},
    {"/temp-queue/", "temp-queue", PLACE_TEMP_QUEUE},
    {"/reply-queue/", "reply-queue", PLACE_REPLY_QUEUE},
};

static int read_service(struct slice text, struct slice rest, struct stomp_destination *d,
                        struct stomp_complaint *why)
{
    struct slice all = rest;
    bool has_method, more;
    struct slice name = cut(&rest, &has_method), method = cut(&rest, &more);

    d->place = PLACE_SERVICE;
    if (more || !name.n || !method.n || !add_part(d, all))
        return complain(why, "Invalid destination", text, "is not a valid service destination");
    return 0;
}

int stomp_destination_read(struct slice text, struct stomp_destination *ret,
                           struct stomp_complaint *ret_why)
{
    ret->name_n = 0;
    if (slice_starts(text, SLICE("/exchange/")))
        return read_exchange(text, slice_from(text, 10), ret, ret_why);
    if (slice_starts(text, SLICE("/service/")))
        return read_service(text, slice_from(text, 9), ret, ret_why);
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        struct slice prefix = slice_str(kinds[i].prefix), name;
        char rest[64];

        if (!slice_starts(text, prefix))
            continue;
        name = slice_from(text, prefix.n);
        ret->place = kinds[i].place;
        if (name.n && !memchr(name.p, '/', name.n) && add_part(ret, name))
            return 0;
        (void)snprintf(rest, sizeof rest, "is not a valid %s destination", kinds[i].kind);
        return complain(ret_why, "Invalid destination", text, rest);
    }
    return complain(ret_why, "Unknown destination", text,
                    "is not a valid destination.\nValid destination types are: /exchange, /topic, "
                    "/queue, /amq/queue, /reply-queue, /service.");
}

/* ------------------------------------------------------------------------------- writing */

static char *put_part(char *p, struct slice part)
{
    static const char digits[] = "0123456789ABCDEF";

    for (size_t i = 0; i < part.n; i++) {
        uint8_t c = part.p[i];

        if (c == '/' || c == '%') {
            *p++ = '%';
            *p++ = digits[c >> 4];
            c = (uint8_t)digits[c & 15];
        }
        *p++ = (char)c;
    }
    return p;
}

static char *put_text(char *p, const char *text)
{
    size_t n = strlen(text);

    memcpy(p, text, n);
    return p + n;
}

size_t stomp_destination_put(char *to, struct slice topic, bool is_queue)
{
    char *p = to;

    if (is_queue) {
        p = put_text(p, "/queue/");
    } else if (slice_eq(topic, SLICE(FANOUT)) || slice_eq(topic, SLICE(DIRECT))) {
        p = put_text(p, "/exchange/");
    } else if (slice_starts(topic, SLICE(DIRECT "."))) {
        p = put_text(p, "/exchange/" DIRECT "/");
        topic = slice_from(topic, sizeof DIRECT);
    } else {
        p = put_text(p, "/topic/");
    }
    return (size_t)(put_part(p, topic) - to);
}
