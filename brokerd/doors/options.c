#include "brokerd/doors/options.h"

#include "brokerd/doors/refuse.h"
#include "libbroker/base/headers.h"
#include "libbroker/base/units.h"
#include "libbroker/wire/composite.h"
#include "libbroker/wire/mime.h"

#include <errno.h>

struct ctype ctype_of(struct slice name)
{
    int id = mime_id(name);

    if (id >= 0)
        return (struct ctype){.id = (uint8_t)id};
    if (name.n == 0 || composite_data_type_size(name) == 0)
        return (struct ctype){.id = CTYPE_NONE};
    return (struct ctype){.id = CTYPE_NAMED, .name = name};
}

struct slice ctype_name(struct ctype t)
{
    const char *known;

    if (t.id == CTYPE_NAMED)
        return t.name;
    known = t.id < CTYPE_NONE ? mime_name(t.id) : NULL;
    return known ? slice_str(known) : slice_of(NULL, 0);
}

static int bad_value(struct refusal *why, const struct header *h, const char *wanted)
{
    char name[64], value[64];

    refuse(why, REASON_INVALID, "header %s is %s, not \"%s\"", shown(h->name, name, sizeof name),
           wanted, shown(h->value, value, sizeof value));
    return -EINVAL;
}

static int take_ttl(const struct header *h, struct options *o, struct refusal *why)
{
    if (units_parse_time(h->value, UNITS_PLAIN_MS, &o->ttl_ms) < 0)
        return bad_value(why, h, "a number of milliseconds, at least 1");
    return 0;
}

static int take_flag(const struct header *h, bool *ret, struct refusal *why)
{
    if (h->value.n != 1 || (h->value.p[0] != '0' && h->value.p[0] != '1'))
        return bad_value(why, h, "1 or 0");
    *ret = h->value.p[0] == '1';
    return 0;
}

static int take_require(const struct header *h, struct options *o, struct refusal *why)
{
    return take_flag(h, &o->require, why);
}

static int take_facts(const struct header *h, struct options *o, struct refusal *why)
{
    return take_flag(h, &o->facts, why);
}

static int take_confirm(const struct header *h, struct options *o, struct refusal *why)
{
    o->confirm_loss = slice_eq(h->value, SLICE("loss"));
    if (!o->confirm_loss && !slice_eq(h->value, SLICE("all")))
        return bad_value(why, h, "all or loss");
    return 0;
}

static int take_wait(const struct header *h, struct options *o, struct refusal *why)
{
    if (units_parse_time(h->value, UNITS_PLAIN_MS | UNITS_ZERO, &o->wait_ms) < 0)
        return bad_value(why, h, "a number of milliseconds");
    return 0;
}

static int take_dedup(const struct header *h, struct options *o, struct refusal *why)
{
    if (h->value.n == 0 || h->value.n > OPTION_DEDUP_MAX) {
        refuse(why, REASON_INVALID, "header $dedup: an id has 1 to %d bytes", OPTION_DEDUP_MAX);
        return -EINVAL;
    }
    o->dedup = true;
    return 0;
}

static int take_nothing(const struct header *h, struct options *o, struct refusal *why)
{
    (void)h, (void)o, (void)why;
    return 0;
}

static const struct {
    const char *name;
    enum option option;
    bool stays; /* among the headers */
    int (*take)(const struct header *h, struct options *o, struct refusal *why);
} known[] = {
    {"$ttl", OPTION_TTL, false, take_ttl},
    {"$require", OPTION_REQUIRE, false, take_require},
    {"$reply-to", OPTION_REPLY_TO, true, take_nothing},
    {"$confirm", OPTION_CONFIRM, false, take_confirm},
    {"$wait", OPTION_WAIT, false, take_wait},
    {"$facts", OPTION_FACTS, true, take_facts},
    {"$dedup", OPTION_DEDUP, true, take_dedup},
};

/* 1: taken. 0: it stays. -EINVAL. */
static int option_take(const struct header *h, unsigned allowed, struct options *o,
                       struct refusal *why)
{
    char name[64];

    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        if (!(allowed & known[i].option) || !slice_eq(h->name, slice_str(known[i].name)))
            continue;
        if (known[i].take(h, o, why) < 0)
            return -EINVAL;
        return known[i].stays ? 0 : 1;
    }
    if (allowed & OPTION_OTHERS)
        return 0;
    refuse(why, REASON_INVALID, "header %s is not known here", shown(h->name, name, sizeof name));
    return -EINVAL;
}

int options_read(struct slice headers, unsigned allowed, uint8_t *left, struct options *ret,
                 struct refusal *ret_why)
{
    struct slice rest = headers;
    struct header h;
    uint8_t *end = left;
    bool any = false;

    *ret = (struct options){.headers = headers, .wait_ms = -1};
    while (headers_next(&rest, &h) > 0) {
        int r = h.name.p[0] == '$' ? option_take(&h, allowed, ret, ret_why) : 0;

        if (r < 0)
            return r;
        if (r == 0)
            end = headers_put(end, h.name, h.value);
        else
            any = true;
    }
    if (any)
        ret->headers = slice_of(left, (size_t)(end - left));
    return 0;
}
