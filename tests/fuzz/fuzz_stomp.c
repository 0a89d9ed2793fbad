/* Any bytes as a STOMP connection: frames stay inside the input, whole is the same as in pieces,
 * and what is read can be written and reads the same again. The first byte is the version and the
 * size of the pieces. */
#include "libbroker/wire/stomp.h"
#include "tests/fuzz/fuzz_support.h"

enum { BODY_MAX = 4096 };

static bool same(const struct stomp_frame *a, const struct stomp_frame *b)
{
    if (a->command != b->command || a->headers_n != b->headers_n || !slice_eq(a->word, b->word) ||
        !slice_eq(a->body, b->body))
        return false;
    for (unsigned i = 0; i < a->headers_n; i++)
        if (!slice_eq(a->header[i].name, b->header[i].name) ||
            !slice_eq(a->header[i].value, b->header[i].value))
            return false;
    return true;
}

/* Can `v` write it? */
static bool can_write(enum stomp_version v, struct slice s)
{
    if (v == STOMP_1_2 || !s.n)
        return true;
    return !memchr(s.p, '\r', s.n) && (v == STOMP_1_1 || !memchr(s.p, '\n', s.n));
}

/* In 1.0 nothing is escaped, and CONNECT never is. */
static void read_again(enum stomp_version v, const struct stomp_frame *f)
{
    static struct stomp_frame g;
    struct stomp_reader r = {.version = v, .body_max = BODY_MAX};
    bool plain =
        f->command == STOMP_CONNECT || f->command == STOMP_STOMP || f->command == STOMP_CONNECTED;
    uint8_t *bytes = malloc(2 * f->head.n + f->body.n + 2), *p = bytes;
    const char *why = NULL;
    size_t used = 0;

    must(bytes);
    if (f->word.n && f->word.p[f->word.n - 1] == '\r') { /* it would be taken for the EOL's */
        free(bytes);
        return;
    }
    p = stomp_put(p, f->word);
    *p++ = '\n';
    for (unsigned i = 0; i < f->headers_n; i++) {
        const struct header *h = &f->header[i];

        if (!can_write(plain ? STOMP_1_0 : v, h->name) ||
            !can_write(plain ? STOMP_1_0 : v, h->value)) {
            free(bytes);
            return;
        }
        p = stomp_put_text(p, plain ? STOMP_1_0 : v, h->name);
        *p++ = ':';
        p = stomp_put_text(p, plain ? STOMP_1_0 : v, h->value);
        *p++ = '\n';
    }
    *p++ = '\n';
    p = stomp_put(p, f->body);
    *p++ = 0;
    /* Escaped, it may be longer than a frame may be. */
    if (stomp_decode(&r, slice_of(bytes, (size_t)(p - bytes)), &g, &used, &why) == WIRE_FRAME) {
        must(used == (size_t)(p - bytes));
        must(same(f, &g));
    } else {
        must((size_t)(p - bytes) > STOMP_LINE_MAX);
    }
    free(bytes);
}

/* What the frame at the front is, when it comes in pieces. */
static enum wire_status in_pieces(enum stomp_version v, struct slice in, size_t step,
                                  struct stomp_frame *f, size_t *used)
{
    struct stomp_reader r = {.version = v, .body_max = BODY_MAX};
    enum wire_status s = WIRE_MORE;
    const char *why = NULL;

    for (size_t n = step; s == WIRE_MORE; n += step) {
        s = stomp_decode(&r, slice_of(in.p, n < in.n ? n : in.n), f, used, &why);
        if (n >= in.n)
            break;
    }
    return s;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct stomp_frame f, g;
    struct slice rest;
    enum stomp_version v;
    size_t step;

    if (size == 0)
        return 0;
    v = (enum stomp_version)(data[0] % 3);
    step = 1 + data[0] / 3;
    rest = slice_of(data + 1, size - 1);
    for (rest = slice_from(rest, stomp_skip(rest)); rest.n;
         rest = slice_from(rest, stomp_skip(rest))) {
        struct stomp_reader r = {.version = v, .body_max = BODY_MAX};
        size_t used = 0, used_in_pieces = 0;
        const char *why = NULL;
        enum wire_status s = stomp_decode(&r, rest, &f, &used, &why);

        must(in_pieces(v, rest, step, &g, &used_in_pieces) == s);
        if (s != WIRE_FRAME) {
            must(s == WIRE_MORE || why);
            break;
        }
        must(used <= rest.n && used == used_in_pieces && same(&f, &g));
        must(inside(f.head, rest) && inside(f.body, rest) && f.body.n <= BODY_MAX);
        read_again(v, &f);
        rest = slice_from(rest, used);
    }
    return 0;
}
