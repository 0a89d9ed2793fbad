/* follow.h - an endpoint goes where its messages go.
 *
 * Why      A message that is handed to another worker costs twice what it costs where it came
 *          in. A publisher whose messages all go to one other worker had better live there.
 * Shape    Each run notes which workers it goes to. Every 100 ms what came of it is judged; the
 *          endpoint's owner asks (core_endpoint_wants()), and moves it or not.
 * Thread   The core's worker. */
#ifndef BROKERD_CORE_FOLLOW_H
#define BROKERD_CORE_FOLLOW_H

#include "brokerd/core/state.h"

/* The span is over: judge it, and begin another. */
void follow_judge(struct endpoint *ep);

/* `n` messages of `ep` go to `workers`, a bit each, this one included. */
static inline void follow_note(struct endpoint *ep, uint64_t workers, uint32_t n)
{
    struct following *f = &ep->publishing->follow;
    uint64_t others = workers & ~(UINT64_C(1) << ep->core->id);

    if (ep->core->workers == 1 || !workers)
        return;
    if (ep->core->now_ms - f->since_ms >= FOLLOW_SPAN_MS)
        follow_judge(ep);
    if (others && !f->there)
        f->worker = (uint8_t)__builtin_ctzll(others);
    if (others >> f->worker & 1)
        f->there += n;
    f->all += (uint64_t)n * (unsigned)__builtin_popcountll(workers);
}

#endif
