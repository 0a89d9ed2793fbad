#include "libbroker/base/vigil.h"

void vigil_begin(struct vigil *v, int64_t now_ns)
{
    v->since_ns = now_ns;
}

static void was_long(struct vigil *v)
{
    v->credit -= v->credit < VIGIL_STEP ? v->credit : VIGIL_STEP;
    v->since_ns = 0;
}

void vigil_came(struct vigil *v, int64_t now_ns)
{
    if (!v->since_ns)
        return;
    if (now_ns - v->since_ns > VIGIL_NS) {
        was_long(v);
        return;
    }
    v->credit += v->credit < VIGIL_MOST;
    v->since_ns = 0;
}

bool vigil_on(struct vigil *v, int64_t now_ns)
{
    if (!v->since_ns || v->credit < VIGIL_STEP || now_ns < v->off_ns)
        return false;
    if (now_ns - v->since_ns <= VIGIL_NS)
        return true;
    was_long(v);
    return false;
}

void vigil_yielded(struct vigil *v, int64_t from_ns, int64_t to_ns)
{
    if (to_ns - from_ns <= VIGIL_LOST_NS)
        return;
    if (!v->lost_ns || from_ns - v->off_ns > VIGIL_OFF_APART * v->lost_ns)
        v->lost_ns = VIGIL_OFF_NS;
    else if (v->lost_ns < VIGIL_OFF_MOST_NS)
        v->lost_ns *= 2;
    v->off_ns = to_ns + v->lost_ns;
}
