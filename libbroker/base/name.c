#include "libbroker/base/name.h"

#include "libbroker/base/be.h"
#include "libbroker/base/rune.h"

/* The texts of one kind of name, so that all kinds are checked by the same code. */
struct texts {
    const char *empty, *long_, *utf8, *blank, *control, *wildcard, *reserved;
};

#define TEXTS(noun)                                                                                \
    {                                                                                              \
        .empty = noun " is empty", .long_ = noun " is longer than 240 bytes",                      \
        .utf8 = noun " is not valid UTF-8", .blank = noun " contains a blank",                     \
        .control = noun " contains a control character",                                           \
        .wildcard = noun " contains a wildcard (* or #)",                                          \
        .reserved = noun " begins with $, which is reserved for the broker",                       \
    }

static const struct texts topic_texts = TEXTS("topic");
static const struct texts filter_texts = TEXTS("filter");
static const struct texts queue_texts = TEXTS("queue name");
static const struct texts service_texts = TEXTS("service name");

#undef TEXTS

/* A visible character of ASCII, wildcards and dots among them. */
static bool is_ascii_sign(uint8_t b)
{
    return b > ' ' && b < 0x7f;
}

/* What holds for every name. Wildcards are looked at by the caller. */
static const char *bytes_error(struct slice s, const struct texts *texts)
{
    uint32_t c = 0;

    if (s.n == 0)
        return texts->empty;
    if (s.n > NAME_MAX_BYTES)
        return texts->long_;
    for (size_t i = 0, len; i < s.n; i += len) {
        len = 1;
        if (is_ascii_sign(s.p[i]))
            continue;
        len = rune_decode(s.p + i, s.n - i, &c);
        if (len == 0)
            return texts->utf8;
        if (rune_is_control(c))
            return texts->control;
        if (rune_is_blank(c))
            return texts->blank;
    }
    return NULL;
}

static bool is_wildcard(uint8_t b)
{
    return b == '*' || b == '#';
}

static bool has_wildcard(struct slice s)
{
    for (size_t i = 0; i < s.n; i++) {
        if (is_wildcard(s.p[i]))
            return true;
    }
    return false;
}

/* A name that is not a pattern. */
static const char *plain_error(struct slice s, enum name_owner owner, const struct texts *texts)
{
    const char *why = bytes_error(s, texts);

    if (why)
        return why;
    if (has_wildcard(s))
        return texts->wildcard;
    if (owner == NAME_OF_CLIENT && s.p[0] == '$')
        return texts->reserved;
    return NULL;
}

/* Take the first level off *rest into *ret_level; false when there was none left. A dot at the
 * very end is followed by one more level, an empty one: *rest tells the two apart by p. */
static bool next_level(struct slice *rest, struct slice *ret_level)
{
    const uint8_t *dot;

    if (!rest->p)
        return false;
    dot = rest->n ? memchr(rest->p, '.', rest->n) : NULL;
    if (!dot) {
        *ret_level = *rest;
        *rest = (struct slice){NULL, 0};
        return true;
    }
    *ret_level = slice_of(rest->p, (size_t)(dot - rest->p));
    *rest = slice_from(*rest, ret_level->n + 1);
    return true;
}

static bool is_level(struct slice level, char c)
{
    return level.n == 1 && level.p[0] == (uint8_t)c;
}

/* Eight bytes looked at together, the first one on top: each has its answer in its highest bit. */
#define EACH(byte) (UINT64_C(0x0101010101010101) * (byte))

/* Those of s from `i` on; where it ends before the eighth, letters follow. */
static uint64_t eight_from(struct slice s, size_t i)
{
    unsigned left = (unsigned)(s.n - i) * 8; /* bits */
    uint64_t w = 0;

    if (s.n - i >= 8)
        return be_get_64(s.p + i);
    if (s.n >= 8)
        return be_get_64(s.p + s.n - 8) << (64 - left) | EACH('a') >> left;
    for (; i < s.n; i++)
        w = w << 8 | s.p[i];
    return w << (64 - left) | EACH('a') >> left;
}

/* Which are `byte`; right if all are ASCII. */
static uint64_t which_are(uint64_t w, uint8_t byte)
{
    return ~((w ^ EACH(byte)) + EACH(0x7f)) & EACH(0x80);
}

/* Which are no ASCII, or none that is_ascii_sign() takes. */
static uint64_t which_are_odd(uint64_t w)
{
    return (w | ~(w + EACH(0x7f - ' ')) | (w + EACH(1))) & EACH(0x80);
}

/* A topic of visible ASCII that is right for anybody; others may be right, too. Nearly all topics
 * are such, and where each message has another it is checked for each: in steps of eight bytes
 * that takes 215 instructions for 20 bytes, one by one 614. */
static bool is_simple_topic(struct slice s)
{
    uint64_t before = 0x80; /* the beginning is as a dot: none may follow */
    unsigned dots = 0;

    if (s.n == 0 || s.n > NAME_MAX_BYTES || s.p[0] == '$')
        return false;
    for (size_t i = 0; i < s.n; i += 8) {
        uint64_t w = eight_from(s, i), dot = which_are(w, '.');

        if (which_are_odd(w) | which_are(w, '*') | which_are(w, '#') |
            (dot & (dot >> 8 | before << 56)))
            return false;
        dots += (unsigned)((dot >> 7) * EACH(1) >> 56);
        before = dot;
    }
    return s.p[s.n - 1] != '.' && dots < NAME_MAX_LEVELS;
}

const char *name_topic_error(struct slice topic, enum name_owner owner)
{
    struct slice level;
    const char *why;
    int levels = 0;

    if (is_simple_topic(topic))
        return NULL;
    why = plain_error(topic, owner, &topic_texts);
    if (why)
        return why;
    while (next_level(&topic, &level)) {
        if (level.n == 0)
            return "topic has an empty level";
        if (++levels > NAME_MAX_LEVELS)
            return "topic has more than 16 levels";
    }
    return NULL;
}

const char *name_filter_error(struct slice filter)
{
    const char *why = bytes_error(filter, &filter_texts);
    struct slice level;
    int levels = 0;

    if (why)
        return why;
    while (next_level(&filter, &level)) {
        if (level.n == 0)
            return "filter has an empty level";
        if (++levels > NAME_MAX_LEVELS)
            return "filter has more than 16 levels";
        if (level.n > 1 && has_wildcard(level))
            return "filter has a wildcard (* or #) that is not a whole level";
        if (is_level(level, '#') && filter.p)
            return "filter has # before its last level";
    }
    return NULL;
}

const char *name_queue_error(struct slice queue, enum name_owner owner)
{
    return plain_error(queue, owner, &queue_texts);
}

const char *name_service_error(struct slice service, enum name_owner owner)
{
    const char *why = plain_error(service, owner, &service_texts);

    if (why)
        return why;
    return memchr(service.p, '/', service.n) ? "service name contains a /" : NULL;
}

/* Does the level of a filter take that of a topic or, for `#` and `*`, of another filter? */
static bool level_covers(struct slice outer, struct slice inner)
{
    return is_level(outer, '*') ? !is_level(inner, '#') : slice_eq(outer, inner);
}

/* Matching and covering are one walk: a topic is a filter without wildcards. They differ only in
 * that a topic's levels are never taken for wildcards, which no valid topic has. */
static bool walk(struct slice outer, struct slice inner)
{
    struct slice o, i;

    /* "a wildcard in the first level does not match" what begins with `$` */
    if (inner.n && inner.p[0] == '$' && outer.n && is_wildcard(outer.p[0]))
        return false;
    while (next_level(&outer, &o)) {
        if (is_level(o, '#'))
            return true;
        if (!next_level(&inner, &i) || !level_covers(o, i))
            return false;
    }
    return inner.p == NULL;
}

bool name_filter_matches(struct slice filter, struct slice topic)
{
    return walk(filter, topic);
}

bool name_filter_covers(struct slice outer, struct slice inner)
{
    return walk(outer, inner);
}

bool name_is_literal(struct slice filter)
{
    return !has_wildcard(filter);
}
