/* What people say of webhooks: each key's value, URLs, ranges of addresses, dates of Retry-After,
 * header fields; and any message as a CloudEvent, which must be JSON whatever it holds. */
#include "tests/fuzz/fuzz_support.h"

#include <stdlib.h>
#include <string.h>

#include "brokerd/webhooks/envelope.h"
#include "brokerd/webhooks/field.h"
#include "brokerd/webhooks/outcome.h"
#include "brokerd/webhooks/spec.h"
#include "brokerd/webhooks/url.h"
#include "libbroker/base/headers.h"
#include "libbroker/wire/json_text.h"

static void check_values(struct slice text)
{
    char err[SPEC_ERROR_MAX], again[SPEC_VALUE_MAX + 64];
    struct webhook_spec *s = spec_new("x");
    const char *key;

    for (size_t i = 0; s && (key = spec_key_name(i)) != NULL; i++)
        if (spec_add(s, key, text, err, sizeof err) == 0)
            (void)spec_text(s, key, again, sizeof again);
    if (s)
        (void)spec_finish(s, err, sizeof err);
    spec_unref(s);
}

static void check_texts(struct slice text)
{
    struct slice name, value;
    struct url url;
    int64_t ms = retry_after_ms(text, INT64_C(1767323045000));

    must(ms >= -1 && ms <= (int64_t)RETRY_AFTER_MAX_S * 1000);
    if (!url_error(text, &url))
        must(url.base.n <= text.n && slice_starts(text, url.base));
    if (field_split(text, &name, &value))
        must(name.n + value.n < text.n);
    if (!field_extra_error(text))
        must(!memchr(text.p, '\n', text.n) && !memchr(text.p, '\r', text.n));
}

/* The first byte says how much of the rest are headers. */
static void check_envelope(struct slice bytes)
{
    size_t n = bytes.p[0] < bytes.n ? bytes.p[0] : bytes.n - 1;
    struct headers_limits limits = {64, 4096};
    struct envelope e = {.id = "msg_1",
                         .source = "/x",
                         .topic = SLICE("a.b"),
                         .type = bytes.p[0] & 1 ? SLICE("application/json") : SLICE("text/plain"),
                         .headers = slice_of(bytes.p + 1, n),
                         .data = slice_from(bytes, 1 + n),
                         .time_ms = 1};
    const char *why;
    uint8_t *json;
    size_t json_n;
    struct json_fault fault;

    if (headers_check(e.headers, &limits, &why) < 0)
        e.headers = slice_of(NULL, 0);
    if (envelope_json(&e, &json, &json_n) < 0)
        return;
    must(json[0] == '{' && (jtext_check(slice_of(json, json_n), false, &fault) == 0 ||
                            strstr(fault.what, "deep"))); /* it is one deeper than the data */
    free(json);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice bytes = slice_of(data, size);

    check_values(bytes);
    check_texts(bytes);
    if (size)
        check_envelope(bytes);
    return 0;
}
