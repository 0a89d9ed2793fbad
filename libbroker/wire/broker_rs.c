/* broker_rs.c - what brokerd itself puts into RSocket payloads. */
#include "libbroker/wire/broker_rs.h"

#include <errno.h>

#include "libbroker/base/be.h"
#include "libbroker/wire/rsocket.h"

uint8_t *publish_answer_put(uint8_t *p, struct publish_answer a)
{
    return be_put_32(be_put_32(p, a.matched), a.accepted);
}

int publish_answer_decode(struct slice data, struct publish_answer *ret)
{
    struct publish_answer a;

    if (data.n != PUBLISH_ANSWER_SIZE)
        return -EPROTO;
    a = (struct publish_answer){be_get_32(data.p), be_get_32(data.p + 4)};
    if (a.accepted > a.matched)
        return -EPROTO;
    *ret = a;
    return 0;
}

uint8_t *confirm_put_head(uint8_t *p, uint64_t settled)
{
    return be_put_64(p, settled);
}

uint8_t *confirm_put_entry(uint8_t *p, const struct confirm_entry *e)
{
    p = be_put_64(p, e->first);
    p = be_put_32(p, e->count);
    p = be_put_16(p, e->reason);
    p = be_put_32(p, e->matched);
    return be_put_32(p, e->accepted);
}

int confirm_decode(struct slice data, struct confirm_reader *ret)
{
    if (data.n < CONFIRM_HEAD_SIZE || (data.n - CONFIRM_HEAD_SIZE) % CONFIRM_ENTRY_SIZE != 0)
        return -EPROTO;
    *ret = (struct confirm_reader){
        .settled = be_get_64(data.p),
        .rest = slice_from(data, CONFIRM_HEAD_SIZE),
    };
    return 0;
}

int confirm_next(struct confirm_reader *r, struct confirm_entry *ret)
{
    const uint8_t *p = r->rest.p;
    struct confirm_entry e;

    if (r->rest.n == 0)
        return 0;
    e = (struct confirm_entry){
        .first = be_get_64(p),
        .count = be_get_32(p + 8),
        .reason = be_get_16(p + 12),
        .matched = be_get_32(p + 14),
        .accepted = be_get_32(p + 18),
    };
    /* in order and within 1..settled: last <= settled always holds, so nothing wraps */
    if (e.count == 0 || e.first <= r->last || e.first > r->settled ||
        e.count - 1 > r->settled - e.first || e.accepted > e.matched)
        return -EPROTO;
    r->last = e.first + (e.count - 1);
    r->rest = slice_from(r->rest, CONFIRM_ENTRY_SIZE);
    *ret = e;
    return 1;
}

uint8_t *consumer_verb_put(uint8_t *p, const struct consumer_verb *v)
{
    *p++ = (uint8_t)v->kind;
    p = be_put_64(p, v->first);
    p = be_put_32(p, v->count);
    return be_put_32(p, v->argument);
}

/* NULL, or what is wrong. */
static const char *verb_error(uint8_t kind, uint64_t first, uint32_t count)
{
    if (kind < VERB_ACK || kind > VERB_EXTEND)
        return "unknown verb";
    if (first == 0)
        return "deliveries count from 1";
    if (count == 0)
        return "a range of no deliveries";
    if (count - 1 > UINT64_MAX - first)
        return "a range beyond the last number";
    return NULL;
}

int consumer_verb_next(struct slice *rest, struct consumer_verb *ret, const char **reterr_why)
{
    const uint8_t *p = rest->p;
    const char *why;

    if (rest->n == 0)
        return 0;
    if (rest->n < CONSUMER_VERB_SIZE) {
        *reterr_why = "a verb is 17 bytes";
        return -EPROTO;
    }
    why = verb_error(p[0], be_get_64(p + 1), be_get_32(p + 9));
    if (why) {
        *reterr_why = why;
        return -EPROTO;
    }
    *ret = (struct consumer_verb){
        .kind = p[0],
        .first = be_get_64(p + 1),
        .count = be_get_32(p + 9),
        .argument = be_get_32(p + 13),
    };
    *rest = slice_from(*rest, CONSUMER_VERB_SIZE);
    return 1;
}

/* What the request itself got wrong is INVALID, what the broker will not or cannot
 * do now is REJECTED, what was lost after acceptance is CANCELED. */
static const uint16_t codes[REASON_TABLE_SIZE] = {
    [REASON_NO_MATCH] = RS_REJECTED,    [REASON_FULL] = RS_REJECTED,
    [REASON_MEMORY] = RS_REJECTED,      [REASON_NO_CREDIT] = RS_REJECTED,
    [REASON_LIMIT] = RS_REJECTED,       [REASON_STORE] = RS_REJECTED,
    [REASON_DRAINING] = RS_REJECTED,    [REASON_NO_SERVER] = RS_REJECTED,
    [REASON_DENIED] = RS_REJECTED,      [REASON_NOT_FOUND] = RS_INVALID,
    [REASON_INVALID] = RS_INVALID,      [REASON_TOO_LARGE] = RS_INVALID,
    [REASON_DROP_OLDEST] = RS_CANCELED, [REASON_DROP_NEWEST] = RS_CANCELED,
    [REASON_EXPIRED] = RS_CANCELED,     [REASON_ATTEMPTS] = RS_CANCELED,
    [REASON_REJECTED] = RS_CANCELED,    [REASON_PURGED] = RS_CANCELED,
    [REASON_DELETED] = RS_CANCELED,     [REASON_DISCONNECTED] = RS_CANCELED,
    [REASON_NODE] = RS_CANCELED,
};

uint32_t reason_rs_code(enum reason r, bool partly)
{
    if (!reason_known(r))
        return RS_APPLICATION_ERROR;
    return partly ? RS_CANCELED : codes[r];
}
