/* Lines: where they end, what they say, how payloads stand in them. */
#include "tests/unit/support.h"

#include <errno.h>

#include "libbroker/wire/json_line.h"

enum { MOST = 8 };

static const struct {
    const char *name, *in, *lines; /* each followed by | */
    bool bad;
} streams[] = {
    {"a line", "abc\n", "abc|", false},
    {"CR LF", "abc\r\nd\r\n", "abc|d|", false},
    {"blank lines", "\n\r\na\n", "||a|", false},
    {"a CR within", "a\rb\n", "a\rb|", false},
    {"unfinished", "abc", "", false},
    {"as long as may be", "12345678\n12345678\r\n", "12345678|12345678|", false},
    {"one longer", "ok\n123456789\n", "ok|", true},
    {"one longer, with CR", "123456789\r\n", "", true},
    {"longer without an end", "ok\n1234567890", "ok|", true},
    {"CR without LF at the limit", "12345678\rx\n", "", true},
};

/* All lines of `in`, given `step` bytes more at a time. */
static bool take_lines(struct slice in, size_t step, char *ret, uint64_t *ret_n)
{
    struct json_framer f = {0};
    size_t start = 0, have = 0, used = 0;
    struct slice line;

    while (have < in.n) {
        have = in.n - have < step ? in.n : have + step;
        for (bool more = false; !more;) {
            struct slice part = exact(slice_of(in.p + start, have - start));
            enum wire_status r = jline_frame(&f, MOST, part, &line, &used);

            if (r == WIRE_FRAME) {
                ck_assert(inside(line, part));
                ret += sprintf(ret, "%.*s|", (int)line.n, (const char *)line.p);
                start += used;
            }
            more = r == WIRE_MORE;
            free((void *)part.p);
            if (r == WIRE_BAD)
                return false;
        }
    }
    *ret_n = f.line_n;
    return true;
}

START_TEST(lines_end)
{
    for (size_t step = 1; step < 24; step++) {
        char got[256] = "";
        uint64_t n = 0;
        bool ok = take_lines(slice_str(streams[_i].in), step, got, &n);

        ck_assert_msg(ok != streams[_i].bad, "%s, by %zu", streams[_i].name, step);
        ck_assert_str_eq(got, streams[_i].lines);
        if (ok) {
            for (const char *p = got; *p; p++)
                n -= *p == '|';
            ck_assert_uint_eq(n, 0);
        }
    }
}
END_TEST

START_TEST(a_message)
{
    struct slice line =
        exact(SLICE(" {\"meta\":{\"type\":\"a/b\"}, \"data\" : [1, 2] ,\"id\":\"x\\n\"}"));
    struct json_message m;
    struct json_fault fault;

    ck_assert_int_eq(jline_read(line, &m, &fault), 0);
    ck_assert(slice_eq(m.id, SLICE("x\\n")));
    ck_assert(slice_eq(m.data, SLICE("[1, 2]")));
    ck_assert(slice_eq(m.meta, SLICE("{\"type\":\"a/b\"}")));
    ck_assert(inside(m.id, line) && inside(m.data, line) && inside(m.meta, line));
    free((void *)line.p);
}
END_TEST

START_TEST(without_meta)
{
    struct json_message m;
    struct json_fault fault;

    ck_assert_int_eq(jline_read(SLICE("{\"id\":\"\",\"data\":null}"), &m, &fault), 0);
    ck_assert_uint_eq(m.id.n, 0);
    ck_assert_uint_eq(m.meta.n, 0);
}
END_TEST

static const struct {
    const char *line, *what;
    unsigned column;
} bad[] = {
    {"[]", "expected an object: {\"id\": ..., \"data\": ...}", 1},
    {"", "expected an object: {\"id\": ..., \"data\": ...}", 1},
    {"{}", "id is missing", 3},
    {"{\"data\":1}", "id is missing", 11},
    {"{\"id\":\"a\"}", "data is missing; it may be null", 11},
    {"{\"id\":1,\"data\":1}", "id must be a string", 7},
    {"{\"id\":\"a\",\"data\":1,\"meta\":null}", "meta must be an object", 27},
    {"{\"id\":\"a\",\"date\":1}", "a member that no message has: there are id, data and meta", 11},
    {"{\"id\":\"a\",\"data\":1,\"id\":\"b\"}", "a name twice in one object", 20},
    {"{\"id\":\"a\",\"data\":1,\"meta\":{},\"x\":1}", "more members than any message has", 30},
    {"{\"id\":\"a\",\"data\":{\"b\":1,\"b\":2}}", "a name twice in one object", 25},
};

START_TEST(no_message)
{
    struct slice line = exact(slice_str(bad[_i].line));
    struct json_message m;
    struct json_fault fault;
    unsigned row, column;

    ck_assert_int_eq(jline_read(line, &m, &fault), -EPROTO);
    ck_assert_str_eq(fault.what, bad[_i].what);
    jtext_place(line, fault.where, &row, &column);
    ck_assert_msg(column == bad[_i].column, "%s: %u", bad[_i].line, column);
    free((void *)line.p);
}
END_TEST

static const struct {
    const char *type;
    bool is;
} types[] = {
    {"application/json", true},
    {"APPLICATION/Json", true},
    {"text/json", true},
    {"application/json; charset=utf-8", true},
    {"application/x+json", true},
    {"application/x+json ;v=1", true},
    {"", false},
    {"+json", false},
    {"application/jsonx", false},
    {"text/plain", false},
    {"text/plain;x=+json", false},
};

START_TEST(json_types)
{
    ck_assert_msg(jline_is_json(slice_str(types[_i].type)) == types[_i].is, "%s", types[_i].type);
}
END_TEST

static const struct {
    const char *name;
    struct slice payload;
    bool is_json;
    enum jline_shape shape;
    const char *line;
} payloads[] = {
    {"a value", SLICE("{\"a\": 1}"), true, JLINE_VALUE, "{\"a\": 1}"},
    {"with line breaks", SLICE("[\n1,\r\n2]\n"), true, JLINE_VALUE, "[ 1,  2] "},
    {"twice a name: as it came", SLICE("{\"a\":1,\"a\":2}"), true, JLINE_VALUE,
     "{\"a\":1,\"a\":2}"},
    {"of type JSON, but none", SLICE("{\"a\": \"b\n"), true, JLINE_BASE64, "\"eyJhIjogImIK\""},
    {"empty, of type JSON", SLICE(""), true, JLINE_BASE64, "\"\""},
    {"empty", SLICE(""), false, JLINE_STRING, "\"\""},
    {"JSON of another type", SLICE("{\"a\": 1}"), false, JLINE_STRING, "\"{\\\"a\\\": 1}\""},
    {"text", SLICE("h\xc3\xa4\x01"), false, JLINE_STRING, "\"h\xc3\xa4\\u0001\""},
    {"a NUL", SLICE("a\0b"), false, JLINE_BASE64, "\"YQBi\""},
    {"bytes", SLICE("\xff\xfe"), false, JLINE_BASE64, "\"//4=\""},
    {"bytes of type JSON", SLICE("\"\xff\""), true, JLINE_BASE64, "\"Iv8i\""},
};

START_TEST(payload)
{
    struct slice in = exact(payloads[_i].payload);
    enum jline_shape shape = jline_shape(in, payloads[_i].is_json);
    size_t size;
    uint8_t *to;

    ck_assert_msg(shape == payloads[_i].shape, "%s", payloads[_i].name);
    size = jline_payload_size(shape, in);
    ck_assert_uint_eq(size, strlen(payloads[_i].line));
    to = malloc(size);
    ck_assert_ptr_eq(jline_put_payload(to, shape, in), to + size);
    ck_assert_msg(memcmp(to, payloads[_i].line, size) == 0, "%s", payloads[_i].name);
    free(to);
    free((void *)in.p);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("json_line");
    TCase *tc = tcase_create("json_line");

    tcase_add_loop_test(tc, lines_end, 0, ARRAY_LEN(streams));
    tcase_add_test(tc, a_message);
    tcase_add_test(tc, without_meta);
    tcase_add_loop_test(tc, no_message, 0, ARRAY_LEN(bad));
    tcase_add_loop_test(tc, json_types, 0, ARRAY_LEN(types));
    tcase_add_loop_test(tc, payload, 0, ARRAY_LEN(payloads));
    suite_add_tcase(s, tc);
    return run_suite(s);
}
