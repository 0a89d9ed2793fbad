/* Any bytes as lines of JSON: whole or byte by byte they are the same lines; a line is a message
 * only if jansson too says that it is JSON; and any bytes as a payload come out as one line that
 * jansson can read. The first byte is the longest line, the second what type the payload claims. */
#include "libbroker/wire/json_line.h"
#include "tests/fuzz/fuzz_support.h"

#include <errno.h>
#include <jansson.h>

/* Has jansson another reason than that it is not JSON? */
static bool jansson_cannot(const json_error_t *e)
{
    return json_error_code((json_error_t *)(uintptr_t)e) == json_error_numeric_overflow;
}

/* It is JSON as jansson sees it, if we say so; and the other way but for our limits. */
static void compare(struct slice text, bool ours, const char *what)
{
    json_error_t e;
    json_t *j;

    if (text.n && memchr(text.p, 0, text.n)) { /* jansson passes over one behind a number */
        must(!ours);
        return;
    }
    j = json_loadb((const char *)text.p, text.n, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &e);

    if (ours)
        must(j || jansson_cannot(&e));
    else
        must(!j || !strncmp(what, "nested", 6) || !strncmp(what, "more than 4096", 14));
    json_decref(j);
}

static void look_at(struct slice line)
{
    struct json_fault fault = {NULL, NULL};
    struct json_message m;
    unsigned row, column;
    int r = jtext_check(line, true, &fault);

    if (r < 0) {
        must(fault.what && fault.where >= line.p && fault.where <= line.p + line.n);
        jtext_place(line, fault.where, &row, &column);
        must(column >= 1 && column <= line.n + 1);
    }
    compare(line, r == 0, fault.what);
    if (jline_read(line, &m, &fault) < 0)
        return;
    must(r == 0 && inside(m.id, line) && inside(m.data, line) && inside(m.meta, line));
    compare(m.data, true, "");
    if (m.meta.n)
        compare(m.meta, true, "");
    else
        must(m.data.n > 0);
}

/* The lines of `in` when all of it is there, or one byte more at a time: the same. */
static void frame(struct slice in, size_t max)
{
    struct json_framer whole = {0}, bytes = {0};
    size_t start = 0, used, used_too;
    struct slice line, same;
    enum wire_status r, s;

    do {
        r = jline_frame(&whole, max, slice_from(in, start), &line, &used);
        for (size_t have = 0;; have++) {
            s = jline_frame(&bytes, max, slice_of(in.p + start, have), &same, &used_too);
            if (s != WIRE_MORE || have == in.n - start)
                break;
        }
        must(r == s);
        if (r == WIRE_FRAME) {
            must(used == used_too && line.p == same.p && line.n == same.n && line.n <= max);
            look_at(line);
            start += used;
        }
    } while (r == WIRE_FRAME);
    must(whole.line_n == bytes.line_n);
}

static void payload(struct slice in, bool is_json)
{
    enum jline_shape shape = jline_shape(in, is_json);
    size_t size = jline_payload_size(shape, in), n;
    uint8_t *to = malloc(size ? size : 1), *back = malloc(in.n + 3);
    struct json_fault fault;
    json_error_t e;
    json_t *j;

    must(to && back && jline_put_payload(to, shape, in) == to + size);
    must(!memchr(to, '\n', size) && !memchr(to, '\r', size));
    must(jtext_check(slice_of(to, size), false, &fault) == 0);
    j = json_loadb((const char *)to, size, JSON_DECODE_ANY, &e);
    must(j || jansson_cannot(&e));
    if (shape == JLINE_STRING) {
        must(json_string_length(j) == in.n && memcmp(json_string_value(j), in.p, in.n) == 0);
        n = jtext_unescape(slice_of(to + 1, size - 2), to);
        must(slice_eq(slice_of(to, n), in));
    } else if (shape == JLINE_BASE64) {
        must(base64_decode(slice_of(to + 1, size - 2), back, &n) == 0);
        must(slice_eq(slice_of(back, n), in));
    }
    json_decref(j);
    free(to);
    free(back);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice in;
    uint8_t decoded[4096];
    size_t n;

    if (size < 2 || size > sizeof decoded)
        return 0;
    in = slice_of(data + 2, size - 2);
    frame(in, data[0] ? data[0] : 4096);
    look_at(in);
    payload(in, data[1] & 1);
    (void)base64_decode(in, decoded, &n);
    return 0;
}
