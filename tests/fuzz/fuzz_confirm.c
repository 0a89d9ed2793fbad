/* Any bytes as a confirm frame and as a consumer's verbs: ranges are in order, within bounds and
 * never wrap; what was read is what is written. */
#include "libbroker/wire/broker_rs.h"
#include "tests/fuzz/fuzz_support.h"

static void read_confirm(struct slice all)
{
    uint8_t again[CONFIRM_ENTRY_SIZE];
    struct confirm_reader r;
    struct confirm_entry e;
    uint64_t last = 0;

    if (confirm_decode(all, &r) < 0)
        return;
    for (const uint8_t *p = r.rest.p; confirm_next(&r, &e) > 0; p += sizeof again) {
        must(e.first > last && e.count > 0 && e.accepted <= e.matched);
        last = e.first + (e.count - 1);
        must(last >= e.first && last <= r.settled);
        must(confirm_put_entry(again, &e) == again + sizeof again);
        must(memcmp(again, p, sizeof again) == 0);
    }
}

static void read_verbs(struct slice all)
{
    uint8_t again[CONSUMER_VERB_SIZE];
    struct slice rest = all;
    struct consumer_verb v;
    const char *why = NULL;
    const uint8_t *p = all.p;
    int r;

    while ((r = consumer_verb_next(&rest, &v, &why)) > 0) {
        must(v.first > 0 && v.count > 0 && v.first + (v.count - 1) >= v.first);
        must(consumer_verb_put(again, &v) == again + sizeof again);
        must(memcmp(again, p, sizeof again) == 0);
        p += sizeof again;
    }
    must((r < 0) == (why != NULL) && (r == 0) == (rest.n == 0));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct publish_answer a;

    read_confirm(slice_of(data, size));
    read_verbs(slice_of(data, size));
    if (publish_answer_decode(slice_of(data, size), &a) == 0)
        must(a.accepted <= a.matched);
    return 0;
}
