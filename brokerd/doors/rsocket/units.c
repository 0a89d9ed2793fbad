#include "brokerd/doors/rsocket/units.h"

#include <errno.h>

#include "libbroker/wire/rsocket.h"

static size_t scan(struct unit_scan *s, struct slice bytes, bool *ret_end)
{
    size_t used = 0, n;

    while (s->at < RS_TCP_LENGTH && used < bytes.n) {
        s->left = s->left << 8 | bytes.p[used++];
        s->at++;
    }
    if (s->at == RS_TCP_LENGTH) {
        n = bytes.n - used < s->left ? bytes.n - used : (size_t)s->left;
        used += n;
        s->left -= n;
    }
    *ret_end = s->at == RS_TCP_LENGTH && s->left == 0;
    return used;
}

static int make(uint8_t *p, size_t n)
{
    if (n >> 24)
        return -EMSGSIZE;
    be_put_24(p - RS_TCP_LENGTH, (uint32_t)n);
    return 0;
}

const struct door_units rsocket_units = {
    .front = RS_TCP_LENGTH, .binary_only = true, .scan = scan, .make = make};

void units_turn_away(struct out *o, const char *text)
{
    struct slice why = slice_str(text);
    size_t n = rs_error_size(why.n);
    uint8_t *p = out_reserve(o, n);

    if (!p)
        return;
    (void)rs_put_error(p, 0, RS_REJECTED_SETUP, why);
    out_commit(o, n);
}
