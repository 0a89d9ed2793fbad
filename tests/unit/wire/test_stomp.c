/* STOMP frames: good and malformed, in each version, whole as well as byte by byte. */
#include "tests/unit/support.h"

#include "libbroker/wire/stomp.h"

enum { BODY_MAX = 100000, TEXT_MAX = 4096 };

static size_t add(char *text, size_t n, struct slice s)
{
    for (size_t i = 0; i < s.n && n < TEXT_MAX - 8; i++) {
        if (s.p[i] < ' ')
            n += (size_t)sprintf(text + n, "<%u>", s.p[i]);
        else
            text[n++] = (char)s.p[i];
    }
    return n;
}

/* "COMMAND name=value .. 'body'". */
static void describe(const struct stomp_frame *f, char *text)
{
    size_t n = (size_t)sprintf(text, "%s", stomp_word(f->command));

    for (unsigned i = 0; i < f->headers_n; i++) {
        text[n++] = ' ';
        n = add(text, n, f->header[i].name);
        text[n++] = '=';
        n = add(text, n, f->header[i].value);
    }
    text[n++] = ' ';
    text[n++] = '\'';
    n = add(text, n, f->body);
    text[n++] = '\'';
    text[n] = '\0';
}

/* What all frames in `in` say, one after the other, given in steps of `step` bytes; "!WHY" ends it
 * where it is malformed, "..." where more must come. */
static void read_all(enum stomp_version v, struct slice in, size_t step, char *text)
{
    static struct stomp_frame f;
    struct stomp_reader r = {.version = v, .body_max = BODY_MAX};
    size_t begin = 0, end = 0;

    *text = '\0';
    while (begin < in.n || end < in.n) {
        struct slice part;
        const char *why = NULL;
        size_t used = 0;
        enum wire_status s;

        end = end + step < in.n ? end + step : in.n;
        begin += stomp_skip(slice_of(in.p + begin, end - begin));
        if (begin == end)
            continue;
        part = exact(slice_of(in.p + begin, end - begin));
        s = stomp_decode(&r, part, &f, &used, &why);
        if (s == WIRE_FRAME) {
            describe(&f, text + strlen(text));
            begin += used;
            end = begin;
        } else if (s == WIRE_BAD) {
            sprintf(text + strlen(text), "!%s", why);
        } else if (end == in.n) {
            strcat(text, "...");
        }
        free((void *)part.p);
        if (s == WIRE_BAD || (s == WIRE_MORE && end == in.n))
            return;
    }
}

#define ROW(name, version, bytes, says)                                                            \
    {                                                                                              \
        name, STOMP_##version, SLICE(bytes), says                                                  \
    }

static const struct {
    const char *name;
    enum stomp_version version;
    struct slice bytes;
    const char *says;
} rows[] = {
    ROW("plain", 1_2, "SEND\ndestination:/queue/a\n\nhi\0", "SEND destination=/queue/a 'hi'"),
    ROW("no headers, no body", 1_2, "DISCONNECT\n\n\0", "DISCONNECT ''"),
    ROW("CR LF", 1_1, "SEND\r\na:b\r\n\r\nhi\r\n\0", "SEND a=b 'hi<13><10>'"),
    ROW("EOLs between", 1_2, "\n\r\n\nACK\nid:1\n\n\0\n\r\n\nACK\nid:2\n\n\0\n",
        "ACK id=1 ''ACK id=2 ''"),
    ROW("a body with NULs", 1_2, "SEND\ncontent-length:3\n\n\0a\0\0",
        "SEND content-length=3 '<0>a<0>'"),
    ROW("an empty body", 1_2, "SEND\ncontent-length:0\n\n\0", "SEND content-length=0 ''"),
    ROW("an empty value", 1_2, "SEND\na:\n\n\0", "SEND a= ''"),
    ROW("blanks are kept", 1_2, "SEND\na : b \n\n\0", "SEND a = b  ''"),
    ROW("colons in a value", 1_0, "SEND\na:b:c\n\n\0", "SEND a=b:c ''"),
    ROW("colons in a value, 1.2", 1_2, "SEND\na:b:c\n\n\0", "SEND a=b:c ''"),
    ROW("the first counts", 1_2, "SEND\ncontent-length:1\ncontent-length:2\n\nx\0",
        "SEND content-length=1 content-length=2 'x'"),
    ROW("an unknown command", 1_2, "HELLO\n\n\0", "? ''"),
    ROW("a command of the server", 1_2, "MESSAGE\n\n\0", "MESSAGE ''"),
    ROW("commands have capitals", 1_2, "send\n\n\0", "? ''"),

    ROW("no escapes in 1.0", 1_0, "SEND\na:\\n\\c\\\\\\t\\\n\n\0", "SEND a=\\n\\c\\\\\\t\\ ''"),
    ROW("escapes in 1.1", 1_1, "SEND\n\\ca\\n:\\c\\\\x\n\n\0", "SEND :a<10>=:\\x ''"),
    ROW("escapes in 1.2", 1_2, "SEND\na:\\n\\r\\c\\\\\n\n\0", "SEND a=<10><13>:\\ ''"),
    ROW("no \\r in 1.1", 1_1, "SEND\na:\\r\n\n\0", "!a header has an unknown escape"),
    ROW("\\t in 1.1", 1_1, "SEND\na:\\t\n\n\0", "!a header has an unknown escape"),
    ROW("\\t in 1.2", 1_2, "SEND\na:\\t\n\n\0", "!a header has an unknown escape"),
    ROW("\\t in a name", 1_2, "SEND\n\\t:a\n\n\0", "!a header has an unknown escape"),
    ROW("a backslash at the end", 1_2, "SEND\na:b\\\n\n\0", "!a header has an unknown escape"),
    ROW("CONNECT has none", 1_2, "CONNECT\nlogin:a\\tb\\\n\n\0", "CONNECT login=a\\tb\\ ''"),
    ROW("nor has STOMP", 1_1, "STOMP\nlogin:\\n\n\n\0", "STOMP login=\\n ''"),
    ROW("bodies have none", 1_2, "SEND\n\n\\n\\t\\\0", "SEND '\\n\\t\\'"),

    ROW("no colon", 1_2, "SEND\nabc\n\n\0", "!a header line has no colon"),
    ROW("no name", 1_2, "SEND\n:abc\n\n\0", "!a header has no name"),
    ROW("too short a length", 1_2, "SEND\ncontent-length:1\n\nab\0",
        "!the body is longer than its content-length"),
    ROW("too long a length", 1_2, "SEND\ncontent-length:3\n\nab\0", "..."),
    ROW("too long a length, and more", 1_2, "SEND\ncontent-length:3\n\nab\0SEND",
        "!the body is longer than its content-length"),
    ROW("a negative length", 1_2, "SEND\ncontent-length:-1\n\n\0",
        "!content-length is not a number"),
    ROW("a length with blanks", 1_2, "SEND\ncontent-length: 1\n\na\0",
        "!content-length is not a number"),
    ROW("an empty length", 1_2, "SEND\ncontent-length:\n\n\0", "!content-length is not a number"),
    ROW("a huge length", 1_2, "SEND\ncontent-length:100001\n\n", "!the body is too large"),
    ROW("the largest length", 1_2, "SEND\ncontent-length:100000\n\n", "..."),
    ROW("a length beyond 64 bits", 1_2, "SEND\ncontent-length:99999999999999999999\n\n",
        "!content-length is not a number"),
    ROW("a NUL in the headers", 1_2, "SEND\na:b\0c\n\n\0", "!a NUL before the end of the headers"),
    ROW("a NUL after the command", 1_2, "DISCONNECT\0", "!a NUL before the end of the headers"),
    ROW("a NUL before the empty line", 1_2, "DISCONNECT\n\0",
        "!a NUL before the end of the headers"),
    ROW("a command of 16", 1_2, "ABCDEFGHIJKLMNOP\r\n\n\0", "? ''"),
    ROW("a command of 17", 1_2, "ABCDEFGHIJKLMNOPQ\n\n\0", "!the command is too long"),
    ROW("a line without end", 1_2, "ABCDEFGHIJKLMNOPQR", "!the command is too long"),
    ROW("cut in the command", 1_2, "SEN", "..."),
    ROW("cut in the headers", 1_2, "SEND\na:", "..."),
    ROW("cut in the body", 1_2, "SEND\n\nab", "..."),
};

START_TEST(row_is_read)
{
    char whole[TEXT_MAX], cut[TEXT_MAX];
    /* A literal's own NUL is not part of it: SLICE() leaves it out. */
    struct slice in = rows[_i].bytes;

    read_all(rows[_i].version, in, in.n, whole);
    ck_assert_msg(strcmp(whole, rows[_i].says) == 0, "%s: %s", rows[_i].name, whole);
    for (size_t step = 1; step < in.n; step++) {
        read_all(rows[_i].version, in, step, cut);
        ck_assert_msg(strcmp(cut, whole) == 0, "%s, by %zu: %s", rows[_i].name, step, cut);
    }
}
END_TEST

/* A frame of `lines` header lines of `line` bytes each. */
static struct slice frame_of(unsigned lines, size_t line)
{
    uint8_t *p = malloc(16 + lines * (line + 1)), *end = p;

    end = stomp_put(end, SLICE("SEND\n"));
    for (unsigned i = 0; i < lines; i++) {
        memset(end, 'a', line);
        end[1] = ':';
        end[line] = '\n';
        end += line + 1;
    }
    *end++ = '\n';
    *end++ = 0;
    return slice_of(p, (size_t)(end - p));
}

static const struct {
    unsigned lines;
    size_t line;
    const char *why; /* NULL: fine */
} limits[] = {
    {STOMP_HEADERS_MAX, 10, NULL},
    {STOMP_HEADERS_MAX + 1, 10, "too many headers"},
    {10000, 10, "too many headers"},
    {1, STOMP_LINE_MAX, NULL},
    {1, STOMP_LINE_MAX + 1, "a header line is too long"},
    {1, 1 << 20, "a header line is too long"},
    {4, STOMP_HEAD_MAX / 4 - 3, NULL}, /* 4 lines and LFs, SEND, the empty line */
    {4, STOMP_HEAD_MAX / 4 - 2, "the headers are too long in all"},
};

START_TEST(limits_hold)
{
    static struct stomp_frame f;
    struct slice all = frame_of(limits[_i].lines, limits[_i].line), in = exact(all);
    struct stomp_reader r = {.version = STOMP_1_2, .body_max = BODY_MAX};
    const char *why = NULL;
    size_t used = 0, n;
    enum wire_status s = stomp_decode(&r, in, &f, &used, &why);

    if (!limits[_i].why) {
        ck_assert_msg(s == WIRE_FRAME, "%s", why);
        ck_assert_uint_eq(used, in.n);
    } else {
        ck_assert_int_eq(s, WIRE_BAD);
        ck_assert_str_eq(why, limits[_i].why);
    }
    /* It is said before more comes than the limit, and a line. */
    for (n = 1, s = WIRE_MORE; n <= in.n && s == WIRE_MORE; n++)
        s = stomp_decode(&r, slice_of(in.p, n), &f, &used, &why);
    ck_assert_int_eq(s, limits[_i].why ? WIRE_BAD : WIRE_FRAME);
    ck_assert_uint_le(n, STOMP_HEAD_MAX + STOMP_LINE_MAX);
    free((void *)all.p);
    free((void *)in.p);
}
END_TEST

/* No NUL for ever. */
START_TEST(a_body_without_end)
{
    static struct stomp_frame f;
    static uint8_t bytes[BODY_MAX + 100];
    struct stomp_reader r = {.version = STOMP_1_2, .body_max = BODY_MAX};
    enum wire_status s = WIRE_MORE;
    const char *why = NULL;
    size_t used = 0, n = 0;

    memset(bytes, 'x', sizeof bytes);
    memcpy(bytes, "SEND\n\n", 6);
    for (n = 1000; s == WIRE_MORE && n <= sizeof bytes; n += 50) {
        s = stomp_decode(&r, slice_of(bytes, n), &f, &used, &why);
        ck_assert(n > BODY_MAX || r.scanned == n);
    }
    ck_assert_int_eq(s, WIRE_BAD);
    ck_assert_uint_le(n, BODY_MAX + 6 + 100);
}
END_TEST

START_TEST(the_length_says_how_much_is_needed)
{
    static struct stomp_frame f;
    struct stomp_reader r = {.version = STOMP_1_2, .body_max = BODY_MAX};
    struct slice in = SLICE("SEND\ncontent-length:5000\n\nabc");
    const char *why = NULL;
    size_t used = 0;

    ck_assert_int_eq(stomp_decode(&r, in, &f, &used, &why), WIRE_MORE);
    ck_assert_uint_eq(r.need, in.n - 3 + 5000 + 1);
}
END_TEST

/* Any text there and back. */
START_TEST(what_is_written_reads_the_same)
{
    static struct stomp_frame f;
    struct seeded s = seeded_start();

    for (int i = 0; i < 20000; i++) {
        enum stomp_version v = (enum stomp_version)seeded_below(&s, 3);
        struct stomp_reader r = {.version = v, .body_max = BODY_MAX};
        uint8_t value[40], bytes[200], *p = bytes;
        static const char of[] = "ab:\\\n\r nrc";
        size_t n = seeded_below(&s, sizeof value), used = 0;
        const char *why = NULL;

        for (size_t k = 0; k < n; k++)
            value[k] = (uint8_t)of[seeded_below(&s, sizeof of - 1)];
        p = stomp_put(p, SLICE("SEND\n"));
        p = stomp_put_header(p, v, SLICE("v"), slice_of(value, n));
        p = stomp_put(p, SLICE("\n\0"));
        ck_assert_uint_le((size_t)(p - bytes), 10 + stomp_escaped_max(n));
        expect(&s, stomp_decode(&r, slice_of(bytes, (size_t)(p - bytes)), &f, &used, &why) ==
                       WIRE_FRAME);
        for (size_t k = 0; k < n; k++) /* what could not be written */
            if ((value[k] == '\n' && v == STOMP_1_0) || (value[k] == '\r' && v != STOMP_1_2))
                value[k] = ' ';
        expect(&s, slice_eq(f.header[0].value, slice_of(value, n)));
    }
}
END_TEST

START_TEST(numbers)
{
    uint8_t text[20];
    uint64_t n = 7;

    ck_assert_uint_eq((size_t)(stomp_put_number(text, UINT64_MAX) - text), 20);
    ck_assert(memcmp(text, "18446744073709551615", 20) == 0);
    ck_assert_uint_eq((size_t)(stomp_put_number(text, 0) - text), 1);
    ck_assert(stomp_number(SLICE("0042"), &n) && n == 42);
    ck_assert(!stomp_number(SLICE(""), &n) && !stomp_number(SLICE("+1"), &n) &&
              !stomp_number(SLICE("1 "), &n) && n == 42);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("stomp");
    TCase *tc = tcase_create("frames");

    tcase_add_loop_test(tc, row_is_read, 0, ARRAY_LEN(rows));
    tcase_add_loop_test(tc, limits_hold, 0, ARRAY_LEN(limits));
    tcase_add_test(tc, a_body_without_end);
    tcase_add_test(tc, the_length_says_how_much_is_needed);
    tcase_add_test(tc, what_is_written_reads_the_same);
    tcase_add_test(tc, numbers);
    suite_add_tcase(suite, tc);
    return run_suite(suite);
}
