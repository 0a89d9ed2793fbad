#include "libbroker/base/vigil.h"

void vigil_begin(struct vigil *l, int64_t now_ns)
{
    l->since_ns = now_ns;
}

static void was_long(struct vigil *l)
{
    l->credit -= l->credit < VIGIL_STEP ? l->credit : VIGIL_STEP;
    l->since_ns = 0;
}

void vigil_came(struct vigil *l, int64_t now_ns)
{
    if (!l->since_ns)
        return;
    if (now_ns - l->since_ns > VIGIL_NS) {
        was_long(l);
        return;
    }
    l->credit += l->credit < VIGIL_MOST;
    l->since_ns = 0;
}

bool vigil_on(struct vigil *l, int64_t now_ns)
{
    if (!l->since_ns || l->credit < VIGIL_STEP || now_ns < l->off_ns)
        return false;
    if (now_ns - l->since_ns <= VIGIL_NS)
        return true;
    was_long(l);
    return false;
}

void vigil_yielded(struct vigil *l, int64_t from_ns, int64_t to_ns)
{
    if (to_ns - from_ns > VIGIL_LOST_NS)
        l->off_ns = to_ns + VIGIL_OFF_NS;
}
