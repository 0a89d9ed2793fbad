/* Any bytes as message headers: what passes the check stays inside the input, is text, is found,
 * and written again is the same bytes. */
#include "libbroker/base/headers.h"
#include "libbroker/base/utf8.h"
#include "tests/fuzz/fuzz_support.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct headers_limits limits = {.max_count = 16, .max_bytes = 2048};
    struct slice all = slice_of(data, size), rest = all, value;
    const char *why = NULL;
    bool good = headers_check(all, &limits, &why) == 0;
    uint8_t *copy = malloc(size + 1), *p = copy;
    struct header h;
    size_t count = 0;

    must(copy && good == !why);
    while (headers_next(&rest, &h) > 0) {
        must(h.name.n > 0 && inside(h.name, all) && inside(h.value, all));
        must(headers_find(all, h.name, &value));
        must(!good || (utf8_printable(h.name) && utf8_printable(h.value)));
        p = headers_put(p, h.name, h.value);
        count++;
    }
    must(!good || (rest.n == 0 && count <= limits.max_count && size <= limits.max_bytes));
    must(slice_eq(slice_of(copy, (size_t)(p - copy)), slice_of(data, size - rest.n)));
    free(copy);
    return 0;
}
