/* Any bytes as composite metadata: items, tags, types and credentials stay inside the input, and
 * an item that can be written again reads the same. */
#include "libbroker/wire/composite.h"
#include "tests/fuzz/fuzz_support.h"

static void read_again(const struct composite_item *item)
{
    size_t size = composite_size(&item->mime, item->value.n);
    struct composite_item again;
    struct slice rest;
    uint8_t *bytes;

    must(size != 0); /* what we could read we can write */
    bytes = malloc(size);
    must(bytes && composite_put(bytes, &item->mime, item->value) == bytes + size);
    rest = slice_of(bytes, size);
    must(composite_next(&rest, &again) == 1 && rest.n == 0);
    must(again.mime.id == item->mime.id && slice_eq(again.mime.name, item->mime.name));
    must(slice_eq(again.value, item->value));
    free(bytes);
}

static void read_value(const struct composite_item *item)
{
    struct slice rest = item->value, tag;
    struct mime type;
    struct auth auth;

    while (routing_next(&rest, &tag) > 0)
        must(inside(tag, item->value) && tag.n <= ROUTING_TAG_MAX);
    if (data_type_decode(item->value, &type) == 0)
        must(type.id != MIME_UNKNOWN || (type.name.n > 0 && inside(type.name, item->value)));
    if (auth_decode(item->value, &auth) == 0)
        must(inside(auth.username, item->value) && inside(auth.secret, item->value));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice all = slice_of(data, size), rest = all;
    struct composite_item item;
    int r;

    while ((r = composite_next(&rest, &item)) > 0) {
        must(inside(item.value, all));
        must(item.mime.id != MIME_UNKNOWN || inside(item.mime.name, all));
        read_again(&item);
        read_value(&item);
    }
    must((r == 0) == (rest.n == 0));
    must(composite_check(all) == r);
    return 0;
}
