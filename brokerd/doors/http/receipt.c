#include "brokerd/doors/http/receipt.h"

#include "libbroker/base/be.h"
#include "libbroker/base/hash.h"
#include "libbroker/wire/json_text.h"

#include <errno.h>

enum { BARE = 24, NAMED = 16 }; /* bytes; of these, those after the check */

static uint64_t check_of(uint64_t seed, struct slice queue, const uint8_t named[NAMED])
{
    uint8_t all[NAME_MAX_BYTES + NAMED];

    memcpy(all, named, NAMED);
    memcpy(all + NAMED, queue.p, queue.n);
    return hash_bytes(seed, slice_of(all, NAMED + queue.n));
}

/* The two characters that base64url writes otherwise. */
static void swap(uint8_t *p, size_t n, struct slice from, struct slice to)
{
    for (size_t i = 0; i < n; i++)
        for (unsigned k = 0; k < 2; k++)
            if (p[i] == from.p[k]) {
                p[i] = to.p[k];
                break;
            }
}

void receipt_put(uint64_t seed, struct slice queue, const struct delivery_ref *ref,
                 uint8_t to[RECEIPT_SIZE])
{
    uint8_t bare[BARE];

    be_put_64(be_put_64(bare + 8, ref->tap), ref->number);
    be_put_64(bare, check_of(seed, queue, bare + 8));
    base64_put(to, slice_of(bare, sizeof bare));
    swap(to, RECEIPT_SIZE, SLICE("+/"), SLICE("-_"));
}

int receipt_read(uint64_t seed, struct slice queue, struct slice text, struct delivery_ref *ret)
{
    uint8_t bare[BARE], plain[RECEIPT_SIZE];
    size_t n;

    if (text.n != RECEIPT_SIZE || queue.n > NAME_MAX_BYTES)
        return -EPROTO;
    memcpy(plain, text.p, text.n);
    swap(plain, RECEIPT_SIZE, SLICE("-_"), SLICE("+/"));
    if (base64_decode(slice_of(plain, RECEIPT_SIZE), bare, &n) < 0 || n != BARE ||
        be_get_64(bare) != check_of(seed, queue, bare + 8))
        return -EPROTO;
    *ret = (struct delivery_ref){be_get_64(bare + 8), be_get_64(bare + 16)};
    return 0;
}
