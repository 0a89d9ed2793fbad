/* Any bytes as the head of an HTTP request: byte by byte its end is where it is found in the whole,
 * what is parsed lies within it, and the answer is one there is. */
#include <string.h>

#include "brokerd/doors/http/answer.h"
#include "brokerd/doors/http/status.h"
#include "tests/fuzz/fuzz_support.h"

static void look_at(const struct http_request *r, struct slice head)
{
    struct http_list at = {0};
    struct slice s;

    must(inside(r->method, head) && inside(r->target, head));
    must(r->fields_n <= HTTP_FIELDS_MAX);
    for (unsigned i = 0; i < r->fields_n; i++)
        must(inside(r->field[i].name, head) && inside(r->field[i].value, head));
    while (http_next(r, "connection", &at, &s))
        must(s.n && inside(s, head));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const origins[] = {"https://friend.example"};
    struct slice in = slice_of(data, size);
    struct door_site site = {
        .carried = UINT16_MAX, .websocket = true, .echo = true, .origins = origins, .origins_n = 1};
    size_t seen = 0, end, by_bytes = 0;
    struct http_request r;
    const char *why = NULL;
    struct answer a;

    end = http_head_end(in, &seen);
    seen = 0;
    for (size_t n = 1; n <= in.n && !by_bytes; n++)
        by_bytes = http_head_end(slice_of(in.p, n), &seen);
    must(end == by_bytes && end <= in.n);
    if (end) {
        struct slice head = slice_of(in.p, end);
        int err = http_parse(head, &r, &why);

        must(err == 0 || (why && *why));
        if (err == 0) {
            look_at(&r, head);
            answer_request(&r, &site, doors, &a);
            must(a.status == 101 ? inside(a.subprotocol, head) : *a.text != '\0');
            must(a.status == 101 || strcmp(status_phrase(a.status), status_phrase(500)) != 0);
        }
    }
    return 0;
}
