/* What is a valid name, and which filter matches which topic. */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "libbroker/base/name.h"
#include "libbroker/base/rune.h"

#define X60 "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
#define L15 "1.2.3.4.5.6.7.8.9.a.b.c.d.e.f"

static const struct {
    const char *name, *as_topic, *as_filter, *as_queue; /* "" valid, else part of the text */
} names[] = {
    {"orders.eu.created", "", "", ""},
    {"a", "", "", ""},
    {"", "is empty", "is empty", "is empty"},
    {X60 X60 X60 X60, "", "", ""},
    {X60 X60 X60 X60 "x", "longer than 240", "longer than 240", "longer than 240"},
    {L15 ".g", "", "", ""},
    {L15 ".g.h", "more than 16 levels", "more than 16 levels", ""},
    {".a", "empty level", "empty level", ""},
    {"a.", "empty level", "empty level", ""},
    {"a..b", "empty level", "empty level", ""},
    {".", "empty level", "empty level", ""},
    {"a b", "blank", "blank", "blank"},
    {"a\tb", "control", "control", "control"},
    {"a\x7f", "control", "control", "control"},
    {"a\xc2\x85", "control", "control", "control"},
    {"a\xc2\xa0", "blank", "blank", "blank"},
    {"a\xe2\x80\xa8", "control", "control", "control"},
    {"gr\xc3\xbc\xc3\x9f.\xe4\xb8\xad.\xf0\x9f\x90\xb0", "", "", ""},
    {"\xff", "UTF-8", "UTF-8", "UTF-8"},
    {"a\xc3", "UTF-8", "UTF-8", "UTF-8"},
    {"*", "wildcard", "", "wildcard"},
    {"#", "wildcard", "", "wildcard"},
    {"a.*.b.#", "wildcard", "", "wildcard"},
    {"a.#.b", "wildcard", "# before its last level", "wildcard"},
    {"#.a", "wildcard", "# before its last level", "wildcard"},
    {"a*", "wildcard", "not a whole level", "wildcard"},
    {"a.b#", "wildcard", "not a whole level", "wildcard"},
    {"**", "wildcard", "not a whole level", "wildcard"},
    {"$SYS.x", "reserved", "", "reserved"},
    {"a.$SYS", "", "", ""},
};

static void expect(const char *error, const char *part, const char *kind, const char *name)
{
    if (*part == '\0')
        ck_assert_msg(error == NULL, "%s '%s': %s", kind, name, error);
    else
        ck_assert_msg(error && strstr(error, part), "%s '%s': %s, not %s", kind, name,
                      error ? error : "valid", part);
}

START_TEST(validity)
{
    struct slice s = slice_str(names[_i].name);

    expect(name_topic_error(s, NAME_OF_CLIENT), names[_i].as_topic, "topic", names[_i].name);
    expect(name_filter_error(s), names[_i].as_filter, "filter", names[_i].name);
    expect(name_queue_error(s, NAME_OF_CLIENT), names[_i].as_queue, "queue", names[_i].name);
    expect(name_service_error(s, NAME_OF_CLIENT), names[_i].as_queue, "service", names[_i].name);
}
END_TEST

START_TEST(owner_and_bytes)
{
    ck_assert_ptr_null(name_topic_error(SLICE("$SYS.x"), NAME_OF_BROKER));
    ck_assert_ptr_null(name_queue_error(SLICE("$q"), NAME_OF_BROKER));
    ck_assert_ptr_null(name_queue_error(SLICE("a/b"), NAME_OF_CLIENT));
    ck_assert_ptr_nonnull(name_service_error(SLICE("a/b"), NAME_OF_CLIENT));
    ck_assert_ptr_nonnull(name_topic_error(SLICE("a\0b"), NAME_OF_CLIENT));
    ck_assert_ptr_nonnull(name_topic_error(slice_of(NULL, 0), NAME_OF_CLIENT));
    ck_assert(name_is_literal(SLICE("a.b")));
    ck_assert(!name_is_literal(SLICE("a.*")));
    ck_assert(!name_is_literal(SLICE("#")));
}
END_TEST

/* A topic is a filter without wildcards, however it was found out. */
START_TEST(topics_are_plain_filters)
{
    static const char signs[] = {'a', '.', '.',  'Z',  '~',  '!',        '$',        '*',
                                 '#', ' ', 0x7f, '\0', '\t', (char)0xc3, (char)0xa9, (char)0xa0};
    uint64_t random = 1;
    char buf[NAME_MAX_BYTES + 4];

    for (int round = 0; round < 200000; round++) {
        unsigned most = round % 10 ? 5 : 13; /* mostly good ones */
        size_t n = (size_t)(random >> 40) % (round % 100 ? 12 : sizeof buf);
        struct slice s = slice_of(buf, n);
        bool plain;

        for (size_t i = 0; i < n; i++) {
            random = random * UINT64_C(6364136223846793005) + 1442695040888963407;
            buf[i] = signs[(random >> 33) % (most + 3) % sizeof signs];
        }
        random += (uint64_t)round << 40;
        plain = !memchr(buf, '*', n) && !memchr(buf, '#', n);
        ck_assert_msg((name_topic_error(s, NAME_OF_BROKER) == NULL) ==
                          (plain && name_filter_error(s) == NULL),
                      "%.*s", (int)n, buf);
        if (n && buf[0] == '$')
            ck_assert(name_topic_error(s, NAME_OF_CLIENT) != NULL);
    }
}
END_TEST

static const struct {
    const char *filter, *topic;
    bool matches;
} matches[] = {
    {"a.b", "a.b", true},       {"a.b", "a", false},        {"a", "a.b", false},
    {"a", "ab", false},         {"a.*", "a.b", true},       {"a.*", "a", false},
    {"a.*", "a.b.c", false},    {"*.b", "a.b", true},       {"*.*", "a.b", true},
    {"*", "a.b", false},        {"a.#", "a", true},         {"a.#", "a.b.c", true},
    {"a.#", "ab", false},       {"#", "a.b.c", true},       {"*.#", "a", true},
    {"a.*.#", "a", false},      {"a.*.#", "a.b", true},     {"a.*.c", "a.x.c", true},
    {"a.*.c", "a.x.d", false},  {"#", "$SYS.x", false},     {"*.x", "$SYS.x", false},
    {"$SYS.#", "$SYS.x", true}, {"$SYS.*", "$SYS.x", true}, {"a.*", "a.$x", true},
    {"a.*.b", "a..b", true}, /* a queue's name may have an empty level */
};

START_TEST(matching)
{
    ck_assert_msg(name_filter_matches(slice_str(matches[_i].filter),
                                      slice_str(matches[_i].topic)) == matches[_i].matches,
                  "%s, %s", matches[_i].filter, matches[_i].topic);
}
END_TEST

static const struct {
    const char *outer, *inner;
    bool covers;
} covers[] =
    {
        {"#", "#", true},       {"#", "a.*", true},
        {"#", "*", true},       {"*", "#", false},
        {"*", "*", true},       {"a.*", "a.b", true},
        {"a.*", "a.*", true},   {"a.*", "a.#", false},
        {"a.b", "a.*", false},  {"a.#", "a.#", true},
        {"a.#", "a", true},     {"a", "a.#", false},
        {"a.#", "#", false},    {"a.#", "a.*.c.#", true},
        {"*.#", "#", false}, /* `#` alone would also take a topic of no level: there is none, but a
                              * rule is not expected to know */
        {"#", "$SYS.#", false}, {"$SYS.#", "$SYS.a", true},
};

START_TEST(covering)
{
    ck_assert_msg(name_filter_covers(slice_str(covers[_i].outer), slice_str(covers[_i].inner)) ==
                      covers[_i].covers,
                  "%s, %s", covers[_i].outer, covers[_i].inner);
}
END_TEST

static const struct {
    const char *bytes;
    size_t len; /* 0: none */
    uint32_t c;
} runes[] = {
    {"a", 1, 'a'},
    {"\x7f", 1, 0x7f},
    {"\x80", 0, 0},
    {"\xc1\xbf", 0, 0}, /* overlong */
    {"\xc2\x80", 2, 0x80},
    {"\xdf\xbf", 2, 0x7ff},
    {"\xe0\x9f\xbf", 0, 0}, /* overlong */
    {"\xe0\xa0\x80", 3, 0x800},
    {"\xed\x9f\xbf", 3, 0xd7ff},
    {"\xed\xa0\x80", 0, 0}, /* surrogate */
    {"\xef\xbf\xbf", 3, 0xffff},
    {"\xf0\x8f\xbf\xbf", 0, 0}, /* overlong */
    {"\xf0\x90\x80\x80", 4, 0x10000},
    {"\xf4\x8f\xbf\xbf", 4, 0x10ffff},
    {"\xf4\x90\x80\x80", 0, 0}, /* too large */
    {"\xf5\x80\x80\x80", 0, 0},
    {"\xe2\x82", 0, 0}, /* cut off */
    {"\xe2\x82x", 0, 0},
};

START_TEST(one_character)
{
    const char *bytes = runes[_i].bytes;
    uint32_t c = 0;

    ck_assert_uint_eq(rune_decode((const uint8_t *)bytes, strlen(bytes), &c), runes[_i].len);
    ck_assert_uint_eq(c, runes[_i].c);
    ck_assert_uint_eq(rune_decode((const uint8_t *)bytes, 0, &c), 0);
}
END_TEST

#define ROWS(table) ((int)(sizeof(table) / sizeof *(table)))

int main(void)
{
    Suite *s = suite_create("name");
    TCase *tc = tcase_create("name");
    SRunner *runner;
    int failed;

    tcase_add_loop_test(tc, validity, 0, ROWS(names));
    tcase_add_test(tc, owner_and_bytes);
    tcase_add_test(tc, topics_are_plain_filters);
    tcase_add_loop_test(tc, matching, 0, ROWS(matches));
    tcase_add_loop_test(tc, covering, 0, ROWS(covers));
    tcase_add_loop_test(tc, one_character, 0, ROWS(runes));
    suite_add_tcase(s, tc);
    runner = srunner_create(s);
    srunner_run_all(runner, CK_ENV);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
