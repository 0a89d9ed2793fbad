/* Composite metadata, routing tags, data types and credentials: there, back, and broken. */
#include "tests/unit/support.h"

#include <errno.h>

#include "libbroker/wire/composite.h"

static const struct {
    const char *name, *bytes;
    int answer; /* of composite_next */
    int id;
    const char *mime, *value;
} items[] = {
    {"nothing is the end", "", 0, 0, NULL, NULL},
    {"a route by id", "fe 000003 02 6162", 1, MIME_ROUTING, "message/x.rsocket.routing.v0",
     "\x02"
     "ab"},
    {"an empty value", "85 000000", 1, MIME_JSON, "application/json", ""},
    {"an id nobody has assigned is kept", "c0 000001 56", 1, 0x40, "", "V"},
    {"a name of length - 1, as libraries write it", "07 746578742f782d61 000001 56", 1,
     MIME_UNKNOWN, "text/x-a", "V"},
    {"a name of the literal length", "08 746578742f782d61 000001 56", 1, MIME_UNKNOWN, "text/x-a",
     "V"},
    {"a well-known name has its id", "0f 6170706c69636174696f6e2f6a736f6e 000001 56", 1, MIME_JSON,
     "application/json", "V"},
    {"a name that is not ASCII", "01 c3a4 000000", -EPROTO, 0, NULL, NULL},
    {"a literal length of 0", "00 000000", -EPROTO, 0, NULL, NULL},
    {"no length", "fe", -EPROTO, 0, NULL, NULL},
    {"a length cut short", "fe 0000", -EPROTO, 0, NULL, NULL},
    {"a value cut short", "fe 000003 0261", -EPROTO, 0, NULL, NULL},
    {"a name cut short", "07 7465", -EPROTO, 0, NULL, NULL},
};

START_TEST(item)
{
    struct slice in = hex(items[_i].bytes), rest = in;
    struct composite_item got = {0};

    ck_assert_msg(composite_next(&rest, &got) == items[_i].answer, "%s", items[_i].name);
    if (items[_i].answer == 1) {
        ck_assert_msg(got.mime.id == items[_i].id, "%s: %d", items[_i].name, got.mime.id);
        ck_assert_msg(slice_eq(got.mime.name, slice_str(items[_i].mime)), "%s", items[_i].name);
        ck_assert_msg(slice_eq(got.value, slice_str(items[_i].value)), "%s", items[_i].name);
        ck_assert_uint_eq(rest.n, 0);
    } else {
        ck_assert_ptr_eq(rest.p, in.p);
        ck_assert_uint_eq(rest.n, in.n);
    }
    ck_assert_int_eq(composite_check(in), items[_i].answer < 0 ? -EPROTO : 0);
    free((void *)in.p);
}
END_TEST

START_TEST(one_broken_item_breaks_all)
{
    struct slice in = hex("85 000000 fe 000003 02");

    ck_assert_int_eq(composite_check(in), -EPROTO);
    free((void *)in.p);
}
END_TEST

START_TEST(credentials)
{
    struct slice simple = hex("fc 00000e 80 0005 616c696365 736563726574");
    struct slice bearer = hex("fc 000004 81 746f6b");
    struct composite_item got;
    struct slice rest = simple;
    uint8_t out[64];
    struct auth a;

    ck_assert_int_eq(composite_next(&rest, &got), 1);
    ck_assert_int_eq(got.mime.id, MIME_AUTH);
    ck_assert_int_eq(auth_decode(got.value, &a), 0);
    ck_assert_int_eq(a.kind, AUTH_SIMPLE);
    ck_assert(slice_eq(a.username, SLICE("alice")));
    ck_assert(slice_eq(a.secret, SLICE("secret")));
    ck_assert_uint_eq(composite_auth_size(&a), simple.n);
    ck_assert_ptr_eq(composite_put_auth(out, &a), out + simple.n);
    ck_assert_mem_eq(out, simple.p, simple.n);

    rest = bearer;
    ck_assert_int_eq(composite_next(&rest, &got), 1);
    ck_assert_int_eq(auth_decode(got.value, &a), 0);
    ck_assert_int_eq(a.kind, AUTH_BEARER);
    ck_assert(slice_eq(a.secret, SLICE("tok")));
    ck_assert_uint_eq(composite_auth_size(&a), bearer.n);
    ck_assert_ptr_eq(composite_put_auth(out, &a), out + bearer.n);
    ck_assert_mem_eq(out, bearer.p, bearer.n);
    free((void *)simple.p);
    free((void *)bearer.p);
}
END_TEST

static const struct {
    const char *name, *bytes;
    int answer;
    enum auth_kind kind;
} auths[] = {
    {"nothing", "", -EPROTO, 0},
    {"simple without a length", "80 00", -EPROTO, 0},
    {"a user name cut short", "80 0003 6162", -EPROTO, 0},
    {"an empty password", "80 0002 6162", 0, AUTH_SIMPLE},
    {"an empty token", "81", 0, AUTH_BEARER},
    {"an id we do not know", "82 00", 0, AUTH_OTHER},
    {"a named type", "02 616263 00", 0, AUTH_OTHER},
};

START_TEST(credentials_of_all_kinds)
{
    struct slice in = hex(auths[_i].bytes);
    struct auth a = {0};

    ck_assert_msg(auth_decode(in, &a) == auths[_i].answer, "%s", auths[_i].name);
    ck_assert_msg(a.kind == auths[_i].kind, "%s", auths[_i].name);
    free((void *)in.p);
}
END_TEST

START_TEST(routing_tags)
{
    struct slice in = hex("02 6162 00 01 63"), rest = in, tag;

    ck_assert_int_eq(routing_next(&rest, &tag), 1);
    ck_assert(slice_eq(tag, SLICE("ab")));
    ck_assert_int_eq(routing_next(&rest, &tag), 1);
    ck_assert_uint_eq(tag.n, 0);
    ck_assert_int_eq(routing_next(&rest, &tag), 1);
    ck_assert(slice_eq(tag, SLICE("c")));
    ck_assert_int_eq(routing_next(&rest, &tag), 0);
    rest = slice_of(in.p, 2);
    ck_assert_int_eq(routing_next(&rest, &tag), -EPROTO);
    ck_assert_uint_eq(rest.n, 2);
    free((void *)in.p);
}
END_TEST

START_TEST(route_alone)
{
    static const struct {
        const char *bytes, *tag; /* NULL: something else */
    } rows[] = {
        {"fe00000b0a6f72646572732e6e6577", "orders.new"},
        {"fe0000020161", "a"},
        {"fe00000100", NULL},               /* empty */
        {"fe00000401610162", NULL},         /* two tags */
        {"fe0000020161fe0000020162", NULL}, /* two items */
        {"fe000003026161", "aa"},
        {"fe000003036161", NULL}, /* a tag cut short */
        {"fe0000030161", NULL},   /* an item cut short */
        {"fe0000010161", NULL},   /* more than the item */
        {"7e0000020161", NULL},   /* a type with a name */
        {"fd0000020161", NULL},   /* another type */
        {"fe000002", NULL},
        {"fe", NULL},
    };

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct slice in = hex(rows[i].bytes), tag = SLICE("unset");

        ck_assert_msg(composite_is_route(in, &tag) == (rows[i].tag != NULL), "%s", rows[i].bytes);
        ck_assert(slice_eq(tag, slice_str(rows[i].tag ? rows[i].tag : "unset")));
        free((void *)in.p);
    }
}
END_TEST

START_TEST(route_item_is_as_others_write_it)
{
    struct slice want = hex("fe00000b0a6f72646572732e6e6577");
    uint8_t out[64];

    ck_assert_uint_eq(composite_route_size(10), want.n);
    ck_assert_ptr_eq(composite_put_route(out, SLICE("orders.new")), out + want.n);
    ck_assert_mem_eq(out, want.p, want.n);
    free((void *)want.p);
}
END_TEST

static const struct {
    const char *name, *bytes, *mime;
    int id, answer;
} types[] = {
    {"by id", "85", "application/json", MIME_JSON, 0},
    {"by name, length - 1", "07 746578742f782d61", "text/x-a", MIME_UNKNOWN, 0},
    {"by name, literal length", "08 746578742f782d61", "text/x-a", MIME_UNKNOWN, 0},
    {"nothing", "", NULL, 0, -EPROTO},
    {"more than one", "8585", NULL, 0, -EPROTO},
    {"cut short", "09 746578742f782d61", NULL, 0, -EPROTO},
};

START_TEST(data_type)
{
    struct slice in = hex(types[_i].bytes);
    struct mime m = {0};

    ck_assert_msg(data_type_decode(in, &m) == types[_i].answer, "%s", types[_i].name);
    if (types[_i].answer == 0) {
        ck_assert_int_eq(m.id, types[_i].id);
        ck_assert(slice_eq(m.name, slice_str(types[_i].mime)));
    }
    free((void *)in.p);
}
END_TEST

/* ---- any items ---- */

static const uint8_t letters[] =
    "application/x-some-rather-long-name.of-a-type.v1+json; charset="
    "utf-8; and-so-on-up-to-one-hundred-and-twenty-eight-bytes-or-more-"
    "than-that";

/* A name of any length is read back as it was written, though it is announced as one less. */
START_TEST(any_items_there_and_back)
{
    struct seeded s = seeded_start();

    for (int i = 0; i < 1000; i++) {
        struct composite_item in[5], got;
        size_t n = 1 + seeded_below(&s, ARRAY_LEN(in)), size = 0;
        struct slice rest;
        uint8_t *p, *bytes;

        for (size_t k = 0; k < n; k++) {
            if (seeded_below(&s, 2))
                in[k].mime = mime_of(slice_of(letters, 1 + seeded_below(&s, COMPOSITE_NAME_MAX)));
            else
                in[k].mime = (struct mime){.id = (int)seeded_below(&s, 128)};
            in[k].value = slice_of(letters, seeded_below(&s, 100));
            size += composite_size(&in[k].mime, in[k].value.n);
        }
        bytes = p = malloc(size);
        for (size_t k = 0; k < n; k++)
            p = composite_put(p, &in[k].mime, in[k].value);
        expect(&s, p == bytes + size);
        rest = slice_of(bytes, size);
        for (size_t k = 0; k < n; k++) {
            expect(&s, composite_next(&rest, &got) == 1);
            expect(&s, got.mime.id == in[k].mime.id);
            expect(&s, in[k].mime.id >= 0 || slice_eq(got.mime.name, in[k].mime.name));
            expect(&s, slice_eq(got.value, in[k].value));
        }
        expect(&s, composite_next(&rest, &got) == 0);
        free(bytes);
    }
}
END_TEST

START_TEST(what_cannot_be_written_has_no_size)
{
    struct mime long_name = {MIME_UNKNOWN, slice_of(letters, COMPOSITE_NAME_MAX + 1)};
    struct mime no_name = {.id = MIME_UNKNOWN};
    struct mime json = {.id = MIME_JSON};
    struct auth other = {.kind = AUTH_OTHER};

    ck_assert_uint_eq(mime_size(&long_name), 0);
    ck_assert_uint_eq(mime_size(&no_name), 0);
    ck_assert_uint_eq(composite_data_type_size(SLICE("text/\xc3\xa4")), 0);
    ck_assert_uint_eq(composite_size(&json, COMPOSITE_VALUE_MAX + 1), 0);
    ck_assert_uint_eq(composite_size(&json, COMPOSITE_VALUE_MAX), 4 + COMPOSITE_VALUE_MAX);
    ck_assert_uint_eq(composite_auth_size(&other), 0);
}
END_TEST

START_TEST(data_type_item)
{
    static const char *const names[] = {"application/json", "text/x-a"};

    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        size_t size = composite_data_type_size(slice_str(names[i]));
        uint8_t *bytes = malloc(size);
        struct slice rest = slice_of(bytes, size);
        struct composite_item got;
        struct mime m;

        ck_assert_ptr_eq(composite_put_data_type(bytes, slice_str(names[i])), bytes + size);
        ck_assert_int_eq(composite_next(&rest, &got), 1);
        ck_assert_int_eq(got.mime.id, MIME_DATA_TYPE);
        ck_assert_int_eq(data_type_decode(got.value, &m), 0);
        ck_assert(slice_eq(m.name, slice_str(names[i])));
        free(bytes);
    }
}
END_TEST

START_TEST(mime_ids_and_names_agree)
{
    int known = 0;

    for (int id = 0; id < 128; id++) {
        const char *name = mime_name(id);

        ck_assert_msg((name != NULL) == (id <= 0x2a || id >= 0x7a), "0x%x", (unsigned int)id);
        if (name) {
            ck_assert_int_eq(mime_id(slice_str(name)), id);
            known++;
        }
    }
    ck_assert_int_eq(known, 43 + 6);
    ck_assert_ptr_null(mime_name(-1));
    ck_assert_ptr_null(mime_name(128));
    ck_assert_int_eq(mime_id(SLICE("application/jso")), MIME_UNKNOWN);
    ck_assert_int_eq(mime_id(SLICE("")), MIME_UNKNOWN);
    ck_assert_str_eq(mime_name(MIME_TEXT_PLAIN), "text/plain");
    ck_assert_str_eq(mime_name(0x29), "application/x-capnp");
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("composite");
    TCase *tc = tcase_create("composite");

    tcase_add_loop_test(tc, item, 0, (int)ARRAY_LEN(items));
    tcase_add_test(tc, one_broken_item_breaks_all);
    tcase_add_test(tc, credentials);
    tcase_add_loop_test(tc, credentials_of_all_kinds, 0, (int)ARRAY_LEN(auths));
    tcase_add_test(tc, routing_tags);
    tcase_add_test(tc, route_alone);
    tcase_add_test(tc, route_item_is_as_others_write_it);
    tcase_add_loop_test(tc, data_type, 0, (int)ARRAY_LEN(types));
    tcase_add_test(tc, any_items_there_and_back);
    tcase_add_test(tc, what_cannot_be_written_has_no_size);
    tcase_add_test(tc, data_type_item);
    tcase_add_test(tc, mime_ids_and_names_agree);
    suite_add_tcase(suite, tc);
    return run_suite(suite);
}
