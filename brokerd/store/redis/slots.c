#include "brokerd/store/redis/slots.h"

#include <errno.h>
#include <hiredis/hiredis.h>

#include "libbroker/base/units.h"

/* ------------------------------------------------------------------------------------------ keys
 */

/* Half a byte at a time: a table of 16 is in one cache line, and names are short. */
uint16_t slots_crc16(struct slice bytes)
{
    static const uint16_t table[16] = {
        0x0000, 0x1021, 0x2042, 0x3063, 0x4084, 0x50a5, 0x60c6, 0x70e7,
        0x8108, 0x9129, 0xa14a, 0xb16b, 0xc18c, 0xd1ad, 0xe1ce, 0xf1ef,
    };
    unsigned crc = 0;

    for (size_t i = 0; i < bytes.n; i++) {
        crc = (crc << 4 ^ table[(crc >> 12 ^ bytes.p[i] >> 4) & 15]) & 0xffff;
        crc = (crc << 4 ^ table[(crc >> 12 ^ bytes.p[i]) & 15]) & 0xffff;
    }
    return (uint16_t)crc;
}

/* Redis Cluster specification, "Hash tags": if there is a { and a } behind it with something
 * between the first of both, only that is hashed. */
uint16_t link_slot(struct slice key)
{
    const uint8_t *open = key.n ? memchr(key.p, '{', key.n) : NULL;
    size_t behind = open ? key.n - (size_t)(open + 1 - key.p) : 0;
    const uint8_t *close = behind ? memchr(open + 1, '}', behind) : NULL;

    if (close && close > open + 1)
        key = slice_of(open + 1, (size_t)(close - open - 1));
    return slots_crc16(key) % LINK_SLOTS;
}

/* ------------------------------------------------------------------------------------ turned away
 */

static const struct {
    const char *word;
    enum turn turn;
} turns[] = {
    {"MOVED", TURN_MOVED},       {"ASK", TURN_ASK},          {"TRYAGAIN", TURN_LATER},
    {"CLUSTERDOWN", TURN_LATER}, {"LOADING", TURN_LATER},    {"NOREPLICAS", TURN_LATER},
    {"BUSY", TURN_LATER},        {"READONLY", TURN_REPLICA}, {"MASTERDOWN", TURN_REPLICA},
};

/* What is before the next blank; *rest is then what is behind it. */
static struct slice next_word(struct slice *rest)
{
    const uint8_t *at = rest->n ? memchr(rest->p, ' ', rest->n) : NULL;
    size_t n = at ? (size_t)(at - rest->p) : rest->n;
    struct slice word = slice_of(rest->p, n);

    *rest = slice_from(*rest, at ? n + 1 : n);
    return word;
}

static int take_number(struct slice s, uint64_t most, uint16_t *ret)
{
    uint64_t v;

    if (units_parse_count(s, UNITS_ZERO, &v) < 0 || v > most)
        return -EPROTO;
    *ret = (uint16_t)v;
    return 0;
}

/* HOST:PORT, of a host without brackets even if it is an IPv6 address. Redis says "?" for one that
 * it does not know, and nothing for itself. */
static int take_host(struct slice name, struct redis_host *ret)
{
    if (slice_eq(name, SLICE("?")))
        name.n = 0;
    if (name.n >= sizeof ret->name || (name.n && (memchr(name.p, 0, name.n) || name.p[0] == '/')))
        return -EPROTO;
    if (name.n)
        memcpy(ret->name, name.p, name.n);
    ret->name[name.n] = '\0';
    return 0;
}

static int take_place(struct slice s, struct redis_host *ret)
{
    const uint8_t *colon = s.n ? memrchr(s.p, ':', s.n) : NULL;

    if (!colon || take_host(slice_of(s.p, (size_t)(colon - s.p)), ret) < 0)
        return -EPROTO;
    return take_number(slice_from(s, (size_t)(colon + 1 - s.p)), 65535, &ret->port) < 0 ||
                   ret->port == 0
               ? -EPROTO
               : 0;
}

struct turned slots_turned(const struct redisReply *reply)
{
    struct turned t = {.turn = TURN_NOT};
    struct slice rest, word;

    if (reply->type != REDIS_REPLY_ERROR)
        return t;
    rest = slice_of(reply->str, reply->len);
    word = next_word(&rest);
    for (size_t i = 0; i < sizeof turns / sizeof *turns; i++)
        if (slice_eq(word, slice_str(turns[i].word)))
            t.turn = turns[i].turn;
    if ((t.turn == TURN_MOVED || t.turn == TURN_ASK) &&
        (take_number(next_word(&rest), LINK_SLOTS - 1, &t.slot) < 0 ||
         take_place(next_word(&rest), &t.at) < 0))
        t.turn = TURN_NOT;
    return t;
}

/* ----------------------------------------------------------------------------------- CLUSTER SLOTS
 */

static int take_integer(const struct redisReply *r, long long most, uint16_t *ret)
{
    if (r->type != REDIS_REPLY_INTEGER || r->integer < 0 || r->integer > most)
        return -EPROTO;
    *ret = (uint16_t)r->integer;
    return 0;
}

static int take_node(const struct redisReply *r, struct redis_host *ret)
{
    struct slice name = {NULL, 0};

    if (r->type != REDIS_REPLY_ARRAY || r->elements < 2)
        return -EPROTO;
    if (r->element[0]->type == REDIS_REPLY_STRING)
        name = slice_of(r->element[0]->str, r->element[0]->len);
    else if (r->element[0]->type != REDIS_REPLY_NIL)
        return -EPROTO;
    if (take_host(name, ret) < 0 || take_integer(r->element[1], 65535, &ret->port) < 0)
        return -EPROTO;
    return ret->port ? 0 : -EPROTO;
}

int slots_range(const struct redisReply *reply, size_t i, struct slots_range *ret)
{
    const struct redisReply *line;

    if (reply->type != REDIS_REPLY_ARRAY || i >= reply->elements)
        return -EPROTO;
    line = reply->element[i];
    if (line->type != REDIS_REPLY_ARRAY || line->elements < 3 ||
        take_integer(line->element[0], LINK_SLOTS - 1, &ret->first) < 0 ||
        take_integer(line->element[1], LINK_SLOTS - 1, &ret->last) < 0 || ret->first > ret->last)
        return -EPROTO;
    return take_node(line->element[2], &ret->master);
}

/* The text of that key among keys and values. */
static struct slice value_of(const struct redisReply *reply, const char *key)
{
    for (size_t i = 0; i + 1 < reply->elements; i += 2) {
        const struct redisReply *k = reply->element[i], *v = reply->element[i + 1];

        if (k->type == REDIS_REPLY_STRING && v->type == REDIS_REPLY_STRING &&
            slice_eq(slice_of(k->str, k->len), slice_str(key)))
            return slice_of(v->str, v->len);
    }
    return slice_of(NULL, 0);
}

int slots_epoch(const struct redisReply *reply, uint64_t *ret)
{
    uint64_t epoch;

    if (reply->type != REDIS_REPLY_ARRAY ||
        units_parse_count(value_of(reply, "config-epoch"), UNITS_ZERO, &epoch) < 0)
        return -EPROTO;
    *ret = epoch;
    return 0;
}

int slots_address(const struct redisReply *reply, struct redis_host *ret)
{
    const struct redisReply *host, *port;
    struct redis_host at;

    if (reply->type != REDIS_REPLY_ARRAY || reply->elements != 2)
        return -EPROTO;
    host = reply->element[0];
    port = reply->element[1];
    if (host->type != REDIS_REPLY_STRING || port->type != REDIS_REPLY_STRING ||
        take_host(slice_of(host->str, host->len), &at) < 0 || !*at.name ||
        take_number(slice_of(port->str, port->len), 65535, &at.port) < 0 || !at.port)
        return -EPROTO;
    *ret = at;
    return 0;
}
