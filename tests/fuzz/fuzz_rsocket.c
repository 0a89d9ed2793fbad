/* Any bytes as an RSocket connection: frames stay inside the input, what is read can be written
 * and reads the same again, and fragments are joined within their limit. */
#include "libbroker/wire/reassembly.h"
#include "tests/fuzz/fuzz_support.h"

enum { MAX_FRAME = 4096, MAX_WHOLE = 8192 };

/* What a decoded frame encodes to decodes to the same once more. */
static void read_again(const struct rs_frame *f)
{
    size_t size = rs_size(f), used = 0;
    struct rs_frame g;
    const char *why = NULL;
    uint8_t *bytes;

    if (size == 0)
        return; /* a type we do not write */
    bytes = malloc(size);
    must(bytes && rs_put(bytes, f) == bytes + size);
    must(rs_decode(RS_FRAME_MAX, bytes, size, &g, &used, &why) == WIRE_FRAME);
    must(used == size && g.stream == f->stream && g.type == f->type && g.number == f->number);
    must(g.has_metadata == f->has_metadata && slice_eq(g.metadata, f->metadata));
    must(slice_eq(g.data, f->data));
    free(bytes);
}

static void join(struct reassembly *r, const struct rs_frame *f)
{
    struct rs_frame whole;
    int got = reassembly_add(r, f, MAX_WHOLE, &whole);

    must(got <= REASSEMBLY_DONE);
    must(reassembly_bytes(r) <= MAX_WHOLE);
    must(reassembly_active(r) || got != REASSEMBLY_MORE);
    if (got == REASSEMBLY_DONE) {
        must(whole.metadata.n + whole.data.n <= MAX_WHOLE);
        must(!rs_is_followed(&whole));
        read_again(&whole);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice all = slice_of(data, size), rest = all;
    struct reassembly r;

    reassembly_init(&r);
    while (rest.n) {
        struct rs_frame f;
        const char *why = NULL;
        size_t used = 0;
        enum wire_status got = rs_decode(MAX_FRAME, rest.p, rest.n, &f, &used, &why);

        if (got == WIRE_MORE)
            break;
        must(used <= rest.n && used <= MAX_FRAME + RS_TCP_LENGTH);
        if (got == WIRE_BAD) {
            must(why && (rs_bad_code(&f) == RS_INVALID_SETUP) == (f.type == RS_SETUP));
            if (used == 0)
                break;
        } else {
            must(used >= RS_HEAD_SIZE && inside(f.metadata, all) && inside(f.data, all));
            read_again(&f);
            join(&r, &f);
        }
        rest = slice_from(rest, used);
    }
    reassembly_fini(&r);
    return 0;
}
