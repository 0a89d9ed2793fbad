/* JSON as text: what is one value and what is not, where it goes wrong, and writing it. jansson is
 * the yardstick: both say yes to the same. */
#include "tests/unit/support.h"

#include <errno.h>
#include <jansson.h>

#include "libbroker/wire/json_text.h"

static const char *const good[] = {
    "null",
    "true",
    " \t false \r\n",
    "0",
    "-0",
    "-12.50e+3",
    "1E5",
    "\"\"",
    "\"a b\\\"\\\\\\/\\b\\f\\n\\r\\t\"",
    "\"\\u00e4\\uD83D\\ude00 \xc3\xa4\xf0\x9f\x98\x80\"",
    "[]",
    "[ ]",
    "{}",
    "{ }",
    "[1,[2,[3]],{\"a\":[]}]",
    "{\"a\":1,\"b\":{\"a\":1},\"c\":[{\"a\":1},{\"a\":2}]}",
    "{\"\":1}",
    "\"\x7f\xc2\x80\xe2\x80\xa8\"",
};

static const struct {
    const char *text;
    unsigned column; /* of the fault */
    const char *what;
} bad[] = {
    {"", 1, "the line ends where a value is expected"},
    {"   ", 4, "the line ends where a value is expected"},
    {"nul", 1, "expected a value; text stands in double quotes"},
    {"hello", 1, "expected a value; text stands in double quotes"},
    {"'a'", 1, "expected a value; text stands in double quotes"},
    {"nulls", 5, "more after the end of the value"},
    {"1 2", 3, "more after the end of the value"},
    {"01", 2, "a number must not begin with 0"},
    {"-", 2, "a digit is missing"},
    {"+1", 1, "expected a value; text stands in double quotes"},
    {"1.", 3, "a digit is missing"},
    {".5", 1, "expected a value; text stands in double quotes"},
    {"1e", 3, "a digit is missing"},
    {"1e+", 4, "a digit is missing"},
    {"\"a", 3, "the line ends within a string"},
    {"\"a\\", 3, "the line ends within a string"},
    {"\"a\nb\"", 1, "a line break in a string"}, /* on line 2 */
    {"\"a\tb\"", 3, "a control character in a string; write it as \\uXXXX"},
    {"\"\\x\"", 2, "an escape that is none of \\\" \\\\ \\/ \\b \\f \\n \\r \\t \\uXXXX"},
    {"\"\\u12g4\"", 2, "an escape that is none of \\\" \\\\ \\/ \\b \\f \\n \\r \\t \\uXXXX"},
    {"\"ab\\u0000\"", 4, "a NUL character in a string"},
    {"\"\\ud800\"", 2, "half a surrogate pair"},
    {"\"\\ud800\\u0041\"", 2, "half a surrogate pair"},
    {"\"\\udc00\"", 2, "half a surrogate pair"},
    {"\"\xc3\xa4\xc3\"", 3, "not UTF-8"},
    {"\"\xff\"", 2, "not UTF-8"},
    {"\"\xc0\x80\"", 2, "not UTF-8"},
    {"\"\xed\xa0\x80\"", 2, "not UTF-8"},
    {"\xef\xbb\xbfnull", 1, "expected a value; text stands in double quotes"},
    {"[", 2, "the line ends where a value is expected"},
    {"[1", 3, "expected a comma, or ] to end the array"},
    {"[1,]", 4, "expected a value; text stands in double quotes"},
    {"[1 2]", 4, "expected a comma, or ] to end the array"},
    {"[1}", 3, "expected a comma, or ] to end the array"},
    {"{", 2, "expected a name in double quotes"},
    {"{a:1}", 2, "expected a name in double quotes"},
    {"{1:1}", 2, "expected a name in double quotes"},
    {"{\"a\"}", 5, "expected a colon after the name"},
    {"{\"a\" 1}", 6, "expected a colon after the name"},
    {"{\"a\":}", 6, "expected a value; text stands in double quotes"},
    {"{\"a\":1,}", 8, "expected a name in double quotes"},
    {"{\"a\":1", 7, "expected a comma, or } to end the object"},
    {"{\"a\":1]", 7, "expected a comma, or } to end the object"},
    {"{\"a\":1,\"b\":2,\"a\":3}", 14, "a name twice in one object"},
    {"{\"a\":1,\"\\u0061\":2}", 8, "a name twice in one object"},
    {"[{\"x\":{\"b\":1,\"b\":1}}]", 14, "a name twice in one object"},
    {"}", 1, "expected a value; text stands in double quotes"},
};

/* What jansson says; 2: it cannot hold the number. */
static int jansson_says(struct slice s)
{
    json_error_t e;
    json_t *j = json_loadb((const char *)s.p, s.n, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &e);
    int r = j ? 1 : json_error_code(&e) == json_error_numeric_overflow ? 2 : 0;

    json_decref(j);
    return r;
}

START_TEST(what_is_json)
{
    struct slice s = exact(slice_str(good[_i]));
    struct json_fault fault = {NULL, NULL};

    ck_assert_msg(jtext_check(s, true, &fault) == 0, "%s: %s", good[_i], fault.what);
    ck_assert_int_eq(jansson_says(s), 1);
    free((void *)s.p);
}
END_TEST

START_TEST(what_is_not)
{
    struct slice s = exact(slice_str(bad[_i].text));
    struct json_fault fault = {NULL, NULL};
    unsigned line, column;

    ck_assert_msg(jtext_check(s, true, &fault) == -EPROTO, "%s", bad[_i].text);
    ck_assert_str_eq(fault.what, bad[_i].what);
    ck_assert(fault.where >= s.p && fault.where <= s.p + s.n);
    jtext_place(s, fault.where, &line, &column);
    if (strcmp(fault.what, "a line break in a string") == 0)
        ck_assert_uint_eq(column, 3);
    else
        ck_assert_msg(column == bad[_i].column, "%s: column %u", bad[_i].text, column);
    ck_assert_int_eq(jansson_says(s), 0);
    free((void *)s.p);
}
END_TEST

START_TEST(a_nul_is_refused_wherever_it_stands)
{
    static const struct slice in[] = {SLICE("\"a\0b\""), SLICE("\0"), SLICE("1\0"), SLICE("[\0]")};
    struct json_fault fault;

    for (size_t i = 0; i < ARRAY_LEN(in); i++)
        ck_assert_int_eq(jtext_check(in[i], true, &fault), -EPROTO);
}
END_TEST

START_TEST(a_place_is_a_line_and_a_column)
{
    struct slice text = SLICE("{\n  \"\xc3\xa4\": x}");
    struct json_fault fault;
    unsigned line, column;

    ck_assert_int_eq(jtext_check(text, true, &fault), -EPROTO);
    jtext_place(text, fault.where, &line, &column);
    ck_assert_uint_eq(line, 2);
    ck_assert_uint_eq(column, 8); /* characters, not bytes */
}
END_TEST

/* `depth` arrays within one another. */
static struct slice nested(unsigned depth)
{
    char *p = malloc(2 * depth);

    memset(p, '[', depth);
    memset(p + depth, ']', depth);
    return slice_of(p, 2 * depth);
}

START_TEST(depth_is_limited)
{
    struct slice most = nested(JTEXT_DEPTH_MAX), over = nested(JTEXT_DEPTH_MAX + 1);
    struct slice silly = nested(1000000);
    struct json_fault fault;

    ck_assert_int_eq(jtext_check(most, true, &fault), 0);
    ck_assert_int_eq(jtext_check(over, true, &fault), -EPROTO);
    ck_assert_str_eq(fault.what, "nested deeper than 64 levels");
    ck_assert_int_eq(jtext_check(silly, true, &fault), -EPROTO);
    free((void *)most.p);
    free((void *)over.p);
    free((void *)silly.p);
}
END_TEST

/* An object of `n` members: {"0":1,"1":1.. */
static struct slice wide(unsigned n)
{
    char *p = malloc(n * 10 + 3);
    size_t at = 0;

    p[at++] = '{';
    for (unsigned i = 0; i < n; i++)
        at += (size_t)sprintf(p + at, "%s\"%u\":1", i ? "," : "", i);
    p[at++] = '}';
    return slice_of(p, at);
}

START_TEST(members_are_limited)
{
    struct slice most = wide(JTEXT_MEMBERS_MAX), over = wide(JTEXT_MEMBERS_MAX + 1);
    struct json_fault fault;

    ck_assert_int_eq(jtext_check(most, true, &fault), 0);
    ck_assert_int_eq(jtext_check(over, true, &fault), -EPROTO);
    ck_assert_str_eq(fault.what, "more than 4096 members");
    free((void *)most.p);
    free((void *)over.p);
}
END_TEST

START_TEST(many_small_objects_are_no_wide_one)
{
    enum { OBJECTS = 20000 };
    static char text[OBJECTS * 8 + 2];
    struct json_fault fault;
    size_t n = 0;

    text[n++] = '[';
    for (unsigned i = 0; i < OBJECTS; i++)
        n += (size_t)sprintf(text + n, "%s{\"a\":1}", i ? "," : "");
    text[n++] = ']';
    ck_assert_int_eq(jtext_check(slice_of(text, n), true, &fault), 0);
}
END_TEST

START_TEST(a_name_twice_may_be_borne)
{
    struct json_fault fault;

    ck_assert_int_eq(jtext_check(SLICE("{\"a\":1,\"a\":2}"), false, &fault), 0);
}
END_TEST

START_TEST(members_in_order)
{
    struct slice text = SLICE(" { \"a\" : 1 , \"b\\n\":{\"c\":[ 2 ]} ,\"\":\"x\" } ");
    struct json_member m[3];
    struct json_fault fault;
    unsigned n = 0;

    ck_assert_int_eq(jtext_members(text, m, 3, &n, &fault), 0);
    ck_assert_uint_eq(n, 3);
    ck_assert(slice_eq(m[0].name, SLICE("a")) && slice_eq(m[0].value, SLICE("1")));
    ck_assert(slice_eq(m[1].name, SLICE("b\\n")) && slice_eq(m[1].value, SLICE("{\"c\":[ 2 ]}")));
    ck_assert(slice_eq(m[2].name, SLICE("")) && slice_eq(m[2].value, SLICE("\"x\"")));
    ck_assert(jtext_is_string(m[2].value) && !jtext_is_string(m[0].value));
    ck_assert_int_eq(jtext_members(text, m, 2, &n, &fault), -EPROTO);
    ck_assert_str_eq(fault.what, "more members than any message has");
    ck_assert_int_eq(jtext_members(SLICE("[1]"), m, 3, &n, &fault), -EPROTO);
    ck_assert_int_eq(jtext_members(SLICE("{}"), m, 3, &n, &fault), 0);
    ck_assert_uint_eq(n, 0);
}
END_TEST

/* Random bytes, mostly those that JSON is made of: jansson agrees. */
START_TEST(jansson_agrees)
{
    static const char letters[] = "{}[]:,\"\"\"\\u0d8ae+-.1 \n\ttruefalsnb\xc3\xa4";
    struct seeded r = seeded_start();
    struct json_fault fault;

    for (int round = 0; round < 200000; round++) {
        uint8_t text[24];
        size_t n = seeded_below(&r, sizeof text);
        struct slice s = slice_of(text, n);
        int theirs;

        for (size_t i = 0; i < n; i++)
            text[i] = (uint8_t)letters[seeded_below(&r, sizeof letters - 1)];
        theirs = jansson_says(s);
        expect(&r, theirs == 2 || (jtext_check(s, true, &fault) == 0) == (theirs == 1));
    }
}
END_TEST

START_TEST(strings_there_and_back)
{
    struct seeded r = seeded_start();

    for (int round = 0; round < 20000; round++) {
        char plain[64];
        uint8_t back[512], text[512], *end;
        size_t n = 0, want = seeded_below(&r, 16), size;
        struct json_fault fault;
        json_t *j;

        while (want-- > 0) {
            static const char *const piece[] = {"a",
                                                "\"",
                                                "\\",
                                                "\n",
                                                "\x01",
                                                "\x1f",
                                                "\r",
                                                "\t",
                                                "\b",
                                                "\f",
                                                "\x7f",
                                                "\xc3\xa4",
                                                "\xf0\x9f\x98\x80"};
            const char *one = piece[seeded_below(&r, ARRAY_LEN(piece))];

            memcpy(plain + n, one, strlen(one));
            n += strlen(one);
        }
        end = jtext_put_string(text, slice_of(plain, n));
        size = (size_t)(end - text);
        expect(&r, size == jtext_string_size(slice_of(plain, n)));
        expect(&r, jtext_check(slice_of(text, size), true, &fault) == 0);
        expect(&r, jtext_unescape(slice_of(text + 1, size - 2), back) == n);
        expect(&r, memcmp(back, plain, n) == 0);
        j = json_loadb((const char *)text, size, JSON_DECODE_ANY, NULL);
        expect(&r, j && json_string_length(j) == n && memcmp(json_string_value(j), plain, n) == 0);
        json_decref(j);
    }
}
END_TEST

START_TEST(escapes_become_utf_8)
{
    uint8_t to[64];
    size_t n = jtext_unescape(SLICE("\\u0041\\u00e4\\u20ac\\ud83d\\ude00\\/"), to);

    ck_assert(slice_eq(slice_of(to, n), SLICE("A\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80/")));
}
END_TEST

START_TEST(line_breaks_become_blanks)
{
    uint8_t to[16];
    uint8_t *end = jtext_put_value(to, SLICE("{\r\n\"a\":\n1}"));

    ck_assert(slice_eq(slice_of(to, (size_t)(end - to)), SLICE("{  \"a\": 1}")));
}
END_TEST

static const struct {
    const char *plain, *text;
} base64[] = {{"", ""},        {"f", "Zg=="},        {"fo", "Zm8="},
              {"foo", "Zm9v"}, {"foob", "Zm9vYg=="}, {"\xff\xfe\xfd", "//79"}};

START_TEST(base64_both_ways)
{
    struct slice plain = slice_str(base64[_i].plain);
    uint8_t to[32];
    uint8_t *end = base64_put(to, plain);
    size_t n = 99;

    ck_assert(slice_eq(slice_of(to, (size_t)(end - to)), slice_str(base64[_i].text)));
    ck_assert_uint_eq(base64_size(plain.n), strlen(base64[_i].text));
    ck_assert_int_eq(base64_decode(slice_str(base64[_i].text), to, &n), 0);
    ck_assert(slice_eq(slice_of(to, n), plain));
}
END_TEST

START_TEST(what_is_not_base64)
{
    static const char *const wrong[] = {"Z",    "Zg",   "Zg=",  "Z===",  "====", "Zg==Zg==",
                                        "Zh==", "Zm9=", "Zm 9", "Zm9\n", "Zm-_", "=Zm9"};
    uint8_t to[32];
    size_t n = 99;

    for (size_t i = 0; i < ARRAY_LEN(wrong); i++) {
        ck_assert_msg(base64_decode(slice_str(wrong[i]), to, &n) == -EPROTO, "%s", wrong[i]);
        ck_assert_uint_eq(n, 99);
    }
}
END_TEST

int main(void)
{
    Suite *s = suite_create("json_text");
    TCase *tc = tcase_create("json_text");

    tcase_add_loop_test(tc, what_is_json, 0, ARRAY_LEN(good));
    tcase_add_loop_test(tc, what_is_not, 0, ARRAY_LEN(bad));
    tcase_add_test(tc, a_nul_is_refused_wherever_it_stands);
    tcase_add_test(tc, a_place_is_a_line_and_a_column);
    tcase_add_test(tc, depth_is_limited);
    tcase_add_test(tc, members_are_limited);
    tcase_add_test(tc, many_small_objects_are_no_wide_one);
    tcase_add_test(tc, a_name_twice_may_be_borne);
    tcase_add_test(tc, members_in_order);
    tcase_add_test(tc, jansson_agrees);
    tcase_add_test(tc, strings_there_and_back);
    tcase_add_test(tc, escapes_become_utf_8);
    tcase_add_test(tc, line_breaks_become_blanks);
    tcase_add_loop_test(tc, base64_both_ways, 0, ARRAY_LEN(base64));
    tcase_add_test(tc, what_is_not_base64);
    suite_add_tcase(s, tc);
    return run_suite(s);
}
