/* Any bytes as an entry of a node's inbox: what is found good is read whole, within its bounds, and
 * packed again it is read as the same. */
#include "brokerd/nodes/pack.h"
#include "tests/fuzz/fuzz_support.h"

enum { SOME = 16 };

static struct msg_view v[SOME];
static struct msg_meta m[SOME];

/* The messages again, as runs of what was read at once. */
static void pack_again(struct pack *p, const struct unpack *u, uint32_t n, struct origin from)
{
    must(pack_run(p, u->topic, u->type, &from) == 0);
    for (uint32_t i = 0; i < n; i++)
        must(pack_message(p, &v[i], v[i].meta ? v[i].meta->ttl_ms : 0) == 0);
}

static uint64_t read_all(struct slice all, struct pack *again)
{
    struct unpack u;
    struct origin from;
    uint64_t n = 0;
    uint32_t some;

    unpack_begin(&u, all);
    while ((some = unpack_next(&u, v, m, SOME, &from)) != 0) {
        must(inside(u.topic, all) && u.topic.n);
        for (uint32_t i = 0; i < some; i++)
            must(inside(slice_of(v[i].data, v[i].len), all));
        if (again)
            pack_again(again, &u, some, from);
        n += some;
    }
    must(!u.rest.n && !u.left);
    return n;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice all = slice_of(data, size);
    struct pack_head head, second;
    struct pack again = {0};
    uint64_t n, k;

    if (unpack_check(all, &head, &n) < 0)
        return 0;
    must(inside(head.from, all));
    must(pack_begin(&again, &head) == 0);
    must(read_all(all, &again) == n);
    must(unpack_check(slice_of(again.bytes, again.n), &second, &k) == 0);
    must(k == n && second.session == head.session && second.first == head.first);
    must(read_all(slice_of(again.bytes, again.n), NULL) == n);
    pack_fini(&again);
    return 0;
}
