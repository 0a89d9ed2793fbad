/* Signatures of webhooks. The vectors of `standard` were computed, and one of them confirmed, with
 * other people's libraries; GitHub's is the one of its documentation; Stripe's are Python's hmac.
 */
#include "tests/unit/support.h"

#include <errno.h>

#include "libbroker/wire/webhook_sign.h"

#define FIRST "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="
#define SECOND "whsec_ZmVkY2JhOTg3NjU0MzIxMGZlZGNiYTk4NzY1NDMyMTA="
#define SEED "whsk_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
#define PUBLIC "whpk_A6EHv/POEL4dcN0Y50vAmWfk1jCbpQ1fHdyGZBJVMbg="
#define ID "msg_2Lh9KRb0pzN4LePd3XiA4v12Axj"
#define TIME "1767323045"
#define BODY                                                                                       \
    "{\"type\":\"message.published\",\"timestamp\":\"2026-01-02T03:04:05Z\","                      \
    "\"data\":{\"topic\":\"orders\",\"id\":\"42\"}}"
#define BY_FIRST "v1,lFqdCx50LAhyxAXcdmfyAQit7oRfs7oq5b19eiU/bnQ="
#define BY_SECOND "v1,gefc9xWz0S9n2sStJc1ibCr1NjZ+2zmQIPg1Sov18pM="
#define EMPTY_BY_FIRST "v1,J7zA6hLjnyDfqLc+UnXp/1mQpttQy+8949sBDfkfAvA="
#define BY_SEED                                                                                    \
    "v1a,NvOM78i023Nd/EHEjjcEsLPv7Bxx7DIY3D2+f/XnjNle8CP67Q4dXKpZWmb9mWGEMfw8REz+gU4Xw1v193KyDQ=="

static const int64_t at = 1767323045;

/* Keys of the secrets, which blanks separate. */
static struct webhook_keys keys_of(enum webhook_scheme scheme, const char *secrets)
{
    struct webhook_keys keys = {.n = 0};

    while (*secrets) {
        size_t n = strcspn(secrets, " ");
        struct slice text = exact(slice_of(secrets, n));
        const char *why;

        ck_assert_int_eq(webhook_keys_add(&keys, scheme, text, &why), 0);
        free((void *)text.p);
        secrets += n + (secrets[n] == ' ');
    }
    return keys;
}

/* ---- keys */

static const struct {
    enum webhook_scheme scheme;
    const char *text, *why;
} texts[] = {
    {WEBHOOK_STANDARD, FIRST, NULL},
    {WEBHOOK_STANDARD, "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=", NULL},
    {WEBHOOK_STANDARD, "whsec_MDEyMzQ1Njc4OWFiY2RlZg==", NULL},
    {WEBHOOK_STANDARD, SEED, NULL},
    {WEBHOOK_STANDARD,
     "whsk_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8DoQe/"
     "884Qvh1w3RjnS8CZZ+TWMJulDV8d3IZkElUxuA==",
     NULL},
    {WEBHOOK_STANDARD, PUBLIC, NULL},
    {WEBHOOK_STANDARD, "", "the secret is empty"},
    {WEBHOOK_STANDARD, "whsec_", "the secret is shorter than 16 bytes"},
    {WEBHOOK_STANDARD, "whsec_MDEyMzQ1Njc4OWFiY2Rl", "the secret is shorter than 16 bytes"},
    {WEBHOOK_STANDARD, "hunter2!", "a secret is base64, whsec_ or whsk_ before it"},
    {WEBHOOK_STANDARD, "whsec_MDEyMzQ1Njc4OWFiY2RlZg", /* no padding */
     "a secret is base64, whsec_ or whsk_ before it"},
    {WEBHOOK_STANDARD, "whsk_AAEC",
     "whsk_ stands before the base64 of 32 bytes (or 64, the public key behind them)"},
    {WEBHOOK_STANDARD,
     "whsk_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8AAQIDBAUGBwgJCgsMDQ4PEBESExQVFhcYGRobHB0eHw="
     "=",
     "the public key behind the private one is not its own"},
    {WEBHOOK_STANDARD, "whpk_AAEC", "whpk_ stands before the base64 of 32 bytes"},
    {WEBHOOK_GITHUB, "x", NULL},
    {WEBHOOK_STRIPE, "whsec_not base64 for all we know", NULL},
    {WEBHOOK_STRIPE, "", "the secret is empty"},
};

START_TEST(a_secret_is_what_its_text_says)
{
    struct slice text = exact(slice_str(texts[_i].text));
    struct webhook_keys keys = {.n = 0};
    const char *why = NULL;
    int r = webhook_keys_add(&keys, texts[_i].scheme, text, &why);

    ck_assert_int_eq(r, texts[_i].why ? -EINVAL : 0);
    ck_assert_uint_eq(keys.n, texts[_i].why ? 0 : 1);
    if (texts[_i].why)
        ck_assert_str_eq(why, texts[_i].why);
    webhook_keys_fini(&keys);
    ck_assert_uint_eq(keys.n, 0);
    free((void *)text.p);
}
END_TEST

START_TEST(secrets_have_limits)
{
    struct webhook_keys keys = {.n = 0};
    char text[WEBHOOK_KEY_MAX + 4];
    const char *why;

    memset(text, 'A', sizeof text);
    ck_assert_int_eq(webhook_keys_add(&keys, WEBHOOK_STANDARD, slice_of(text, sizeof text), &why),
                     -EINVAL);
    ck_assert_str_eq(why, "the secret is too long");
    for (unsigned i = 0; i < WEBHOOK_KEYS_MAX; i++)
        ck_assert_int_eq(
            webhook_keys_add(&keys, WEBHOOK_STANDARD, slice_of(text, WEBHOOK_KEY_MAX), &why), 0);
    ck_assert_int_eq(webhook_keys_add(&keys, WEBHOOK_STANDARD, SLICE(FIRST), &why), -ENOSPC);
    ck_assert_str_eq(why, "too many secrets");
    webhook_keys_fini(&keys);
}
END_TEST

START_TEST(a_secret_can_be_made)
{
    char one[WEBHOOK_SECRET_TEXT], two[WEBHOOK_SECRET_TEXT];
    struct webhook_keys keys = {.n = 0};
    const char *why;

    ck_assert_int_eq(webhook_secret_make(one), 0);
    ck_assert_int_eq(webhook_secret_make(two), 0);
    ck_assert_uint_eq(strlen(one), sizeof one - 1);
    ck_assert_str_ne(one, two);
    ck_assert_int_eq(webhook_keys_add(&keys, WEBHOOK_STANDARD, slice_str(one), &why), 0);
    webhook_keys_fini(&keys);
}
END_TEST

START_TEST(the_public_half_is_told)
{
    struct webhook_keys keys = keys_of(WEBHOOK_STANDARD, FIRST " " SEED " " PUBLIC);
    char text[WEBHOOK_PUBLIC_TEXT];

    ck_assert_int_eq(webhook_public_key(&keys, 0, text), -ENOENT);
    for (unsigned i = 1; i < 3; i++) {
        ck_assert_int_eq(webhook_public_key(&keys, i, text), 0);
        ck_assert_str_eq(text, PUBLIC);
    }
    ck_assert_int_eq(webhook_public_key(&keys, 3, text), -ENOENT);
    webhook_keys_fini(&keys);
}
END_TEST

/* ---- signing */

static const struct {
    const char *keys, *body, *signature;
} vectors[] = {
    {FIRST, BODY, BY_FIRST},
    {SECOND, BODY, BY_SECOND},
    {FIRST, "", EMPTY_BY_FIRST},
    {SEED, BODY, BY_SEED},
    {FIRST " " SECOND, BODY, BY_FIRST " " BY_SECOND},
    {SEED " " FIRST, BODY, BY_SEED " " BY_FIRST},
};

START_TEST(vectors_are_signed)
{
    struct webhook_keys keys = keys_of(WEBHOOK_STANDARD, vectors[_i].keys);
    struct slice body = exact(slice_str(vectors[_i].body));
    struct webhook_content c = {.id = SLICE(ID), .time_s = at, .body = &body, .body_n = 1};
    char sig[WEBHOOK_SIGNATURE_MAX];

    ck_assert_int_eq(webhook_sign(&keys, &c, sig), (int)strlen(vectors[_i].signature));
    ck_assert_str_eq(sig, vectors[_i].signature);
    /* the same in two pieces, wherever it is cut, and one between them without bytes */
    for (size_t n = 0; n <= body.n; n++) {
        struct slice pieces[] = {slice_of(body.p, n), {NULL, 0}, slice_from(body, n)};

        c.body = pieces;
        c.body_n = ARRAY_LEN(pieces);
        ck_assert_int_eq(webhook_sign(&keys, &c, sig), (int)strlen(vectors[_i].signature));
        ck_assert_str_eq(sig, vectors[_i].signature);
    }
    free((void *)body.p);
    webhook_keys_fini(&keys);
}
END_TEST

START_TEST(what_must_not_be_signed_is_not)
{
    static const char *const ids[] = {"", "a.b", "a b", "a\n", "\x7f", "\xc3\xa4"};
    struct webhook_keys keys = keys_of(WEBHOOK_STANDARD, FIRST), none = {.n = 0};
    struct webhook_content c = {.id = SLICE("a"), .time_s = 0};
    char sig[WEBHOOK_SIGNATURE_MAX], longest[WEBHOOK_ID_MAX + 1];

    ck_assert_int_gt(webhook_sign(&keys, &c, sig), 0);
    ck_assert_int_eq(webhook_sign(&none, &c, sig), -EINVAL);
    c.time_s = -1;
    ck_assert_int_eq(webhook_sign(&keys, &c, sig), -EINVAL);
    c.time_s = INT64_MAX;
    for (size_t i = 0; i < ARRAY_LEN(ids); i++) {
        c.id = slice_str(ids[i]);
        ck_assert_msg(webhook_sign(&keys, &c, sig) == -EINVAL, "id %zu", i);
    }
    memset(longest, 'x', sizeof longest);
    c.id = slice_of(longest, WEBHOOK_ID_MAX);
    ck_assert_int_gt(webhook_sign(&keys, &c, sig), 0);
    c.id = slice_of(longest, WEBHOOK_ID_MAX + 1);
    ck_assert_int_eq(webhook_sign(&keys, &c, sig), -EINVAL);
    webhook_keys_fini(&keys);
    keys = keys_of(WEBHOOK_STANDARD, FIRST " " PUBLIC);
    c.id = SLICE("a");
    ck_assert_int_eq(webhook_sign(&keys, &c, sig), -EINVAL); /* one that verifies only */
    webhook_keys_fini(&keys);
}
END_TEST

START_TEST(as_many_keys_as_there_may_be_fit)
{
    struct webhook_keys keys = keys_of(WEBHOOK_STANDARD, SEED " " SEED " " SEED " " SEED);
    struct webhook_content c = {.id = SLICE("a"), .time_s = at};
    char sig[WEBHOOK_SIGNATURE_MAX];

    ck_assert_int_eq(webhook_sign(&keys, &c, sig), 4 * 93 - 1);
    ck_assert_uint_eq(strlen(sig), 4 * 93 - 1);
    webhook_keys_fini(&keys);
}
END_TEST

/* ---- verifying: `standard` */

#define ACCESS "the signature does not fit"
#define NO_SIGNATURE "no signature v1 or v1a in webhook-signature"

static const struct {
    const char *keys, *id, *time, *signature, *body;
    int r;
    const char *why;
} standard[] = {
    {FIRST, ID, TIME, BY_FIRST, BODY, 0, NULL},
    {FIRST, ID, TIME, EMPTY_BY_FIRST, "", 0, NULL},
    {PUBLIC, ID, TIME, BY_SEED, BODY, 0, NULL},
    {SEED, ID, TIME, BY_SEED, BODY, 0, NULL},
    /* rotation, on either side; what is not known is passed over */
    {FIRST, ID, TIME, BY_SECOND " " BY_FIRST, BODY, 0, NULL},
    {SECOND " " FIRST, ID, TIME, BY_FIRST, BODY, 0, NULL},
    {SECOND " " PUBLIC, ID, TIME, BY_FIRST " " BY_SEED, BODY, 0, NULL},
    {FIRST, ID, TIME, "v2,AAAA v1 v1, ,x  v1b,AA== " BY_FIRST " v3", BODY, 0, NULL},
    {FIRST, ID, TIME, "v1,AAAA " BY_FIRST, BODY, 0, NULL},
    /* nothing fits */
    {SECOND, ID, TIME, BY_FIRST, BODY, -EACCES, ACCESS},
    {FIRST, ID, TIME, BY_SEED, BODY, -EACCES, ACCESS}, /* of the other kind */
    {PUBLIC, ID, TIME, BY_FIRST, BODY, -EACCES, ACCESS},
    {"", ID, TIME, BY_FIRST, BODY, -EACCES, ACCESS},
    {FIRST, ID, TIME, BY_FIRST, BODY " ", -EACCES, ACCESS},
    {FIRST, ID, TIME, BY_FIRST, "", -EACCES, ACCESS},
    {FIRST, ID "x", TIME, BY_FIRST, BODY, -EACCES, ACCESS},
    {FIRST, ID, "1767323046", BY_FIRST, BODY, -EACCES, ACCESS},
    {FIRST, ID, "01767323045", BY_FIRST, BODY, -EACCES, ACCESS}, /* the text is what is signed */
    {PUBLIC, ID, TIME, BY_SEED, BODY "x", -EACCES, ACCESS},
    /* malformed */
    {FIRST, "", TIME, BY_FIRST, BODY, -EPROTO, "webhook-id is missing, or is none"},
    {FIRST, "msg.1", TIME, BY_FIRST, BODY, -EPROTO, "webhook-id is missing, or is none"},
    {FIRST, ID, TIME, "", BODY, -EPROTO, "the signature is missing"},
    {FIRST, ID, TIME, " ", BODY, -EPROTO, NO_SIGNATURE},
    {FIRST, ID, TIME, "v1", BODY, -EPROTO, NO_SIGNATURE},
    {FIRST, ID, TIME, "v1,", BODY, -EPROTO, NO_SIGNATURE},
    {FIRST, ID, TIME, "v1a,lFqdCx50LAhyxAXcdmfyAQit7oRfs7oq5b19eiU/bnQ=", BODY, -EPROTO,
     NO_SIGNATURE},
    {FIRST, ID, TIME, "v1,lFqdCx50LAhyxAXcdmfyAQit7oRfs7oq5b19eiU/bnQ", BODY, -EPROTO,
     NO_SIGNATURE},
    {FIRST, ID, TIME, "a a a a a a a a a a a a a a a a " BY_FIRST, BODY, -EPROTO,
     "too many entries in webhook-signature"},
    {FIRST, ID, "", BY_FIRST, BODY, -EPROTO, "no time, or not in Unix seconds"},
    {FIRST, ID, "-1", BY_FIRST, BODY, -EPROTO, "no time, or not in Unix seconds"},
    {FIRST, ID, "1767323045.5", BY_FIRST, BODY, -EPROTO, "no time, or not in Unix seconds"},
    {FIRST, ID, "9999999999999999999", BY_FIRST, BODY, -EPROTO, "no time, or not in Unix seconds"},
    /* not now */
    {FIRST, ID, "1767322744", BY_FIRST, BODY, -ETIME, "signed too long ago"},
    {FIRST, ID, "1767323346", BY_FIRST, BODY, -ETIME, "signed in the future"},
    {FIRST, ID, "999999999999999999", BY_FIRST, BODY, -ETIME, "signed in the future"},
    {FIRST, ID, "1767322745", BY_FIRST, BODY, -EACCES, ACCESS}, /* just in time, but not signed */
    {FIRST, ID, "1767323345", BY_FIRST, BODY, -EACCES, ACCESS},
};

static int verify(enum webhook_scheme scheme, const char *secrets, struct webhook_received r,
                  const char *body, int64_t now_s, int64_t tolerance_s, const char **ret_why)
{
    struct webhook_keys keys = keys_of(scheme, secrets);
    struct slice whole = exact(slice_str(body)), sig = exact(r.signature);
    struct slice pieces[] = {slice_of(whole.p, whole.n / 2), slice_from(whole, whole.n / 2)};
    int got;

    r.signature = sig;
    r.body = pieces;
    r.body_n = ARRAY_LEN(pieces);
    got = webhook_verify(&keys, scheme, &r, now_s, tolerance_s, ret_why);
    free((void *)whole.p);
    free((void *)sig.p);
    webhook_keys_fini(&keys);
    return got;
}

START_TEST(standard_is_verified)
{
    struct webhook_received r = {.id = slice_str(standard[_i].id),
                                 .time = slice_str(standard[_i].time),
                                 .signature = slice_str(standard[_i].signature)};
    const char *why = NULL;

    ck_assert_int_eq(verify(WEBHOOK_STANDARD, standard[_i].keys, r, standard[_i].body, at,
                            WEBHOOK_TOLERANCE_S, &why),
                     standard[_i].r);
    if (standard[_i].why)
        ck_assert_str_eq(why, standard[_i].why);
}
END_TEST

START_TEST(any_time_is_good_where_none_is_asked_for)
{
    struct webhook_received r = {
        .id = SLICE(ID), .time = SLICE(TIME), .signature = SLICE(BY_FIRST)};
    const char *why;

    ck_assert_int_eq(verify(WEBHOOK_STANDARD, FIRST, r, BODY, 0, -1, &why), 0);
    ck_assert_int_eq(verify(WEBHOOK_STANDARD, FIRST, r, BODY, at + 1, 0, &why), -ETIME);
    ck_assert_int_eq(verify(WEBHOOK_STANDARD, FIRST, r, BODY, at, 0, &why), 0);
}
END_TEST

START_TEST(each_changed_bit_is_seen)
{
    static const uint8_t body[] = {0, 0xff, 'a', 0, '.', 0x80}; /* no text at all */
    static const char *const each[] = {FIRST, SEED};
    struct slice whole = {body, sizeof body};
    struct webhook_content c = {.id = SLICE("a"), .time_s = at, .body = &whole, .body_n = 1};
    struct webhook_received r = {.id = c.id, .time = SLICE(TIME), .body_n = 1};
    char sig[WEBHOOK_SIGNATURE_MAX];
    const char *why;

    for (size_t k = 0; k < ARRAY_LEN(each); k++) {
        struct webhook_keys keys = keys_of(WEBHOOK_STANDARD, each[k]);

        r.signature = slice_of(sig, (size_t)webhook_sign(&keys, &c, sig));
        r.body = &whole;
        ck_assert_int_eq(webhook_verify(&keys, WEBHOOK_STANDARD, &r, at, 0, &why), 0);
        for (size_t bit = 0; bit < 8 * sizeof body; bit++) {
            uint8_t other[sizeof body];
            struct slice changed = {other, sizeof other};

            memcpy(other, body, sizeof body);
            other[bit / 8] ^= (uint8_t)(1U << bit % 8);
            r.body = &changed;
            ck_assert_int_eq(webhook_verify(&keys, WEBHOOK_STANDARD, &r, at, 0, &why), -EACCES);
        }
        webhook_keys_fini(&keys);
    }
}
END_TEST

/* ---- verifying: the presets */

#define GITHUB_FIELD "X-Hub-Signature-256 is not sha256= and 64 hex digits"
#define GITHUB_HEX "757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"
#define EVENT "{\"id\":\"evt_1\",\"type\":\"charge.succeeded\"}"
#define STRIPE_HEX "94e02cb36eadcfeb83a2cfac6788a5cf59bee65fd34415dc4f3d10c441e63adc"
#define STRIPE_OLD "5e58be356c3441978b39e42e9feba1578ae9f8018265e09962436dc7b30ffcd8"

static const struct {
    enum webhook_scheme scheme;
    const char *signature, *body;
    int r;
    const char *why;
} presets[] = {
    {WEBHOOK_GITHUB, "sha256=" GITHUB_HEX, "Hello, World!", 0, NULL},
    {WEBHOOK_GITHUB, "sha256=757107EA0EB2509FC211221CCE984B8A37570B6D7586C22C46F4379C8B043E17",
     "Hello, World!", 0, NULL},
    {WEBHOOK_GITHUB, "sha256=" GITHUB_HEX, "Hello, World", -EACCES, ACCESS},
    {WEBHOOK_GITHUB, "sha256=" STRIPE_HEX, "Hello, World!", -EACCES, ACCESS},
    {WEBHOOK_GITHUB, "sha256=", "Hello, World!", -EPROTO, GITHUB_FIELD},
    {WEBHOOK_GITHUB, "sha256", "Hello, World!", -EPROTO, GITHUB_FIELD},
    {WEBHOOK_GITHUB, GITHUB_HEX, "Hello, World!", -EPROTO, GITHUB_FIELD},
    {WEBHOOK_GITHUB, "sha256=" GITHUB_HEX "0", "Hello, World!", -EPROTO, GITHUB_FIELD},
    {WEBHOOK_GITHUB, "sha1=6f4379c8b043e17", "Hello, World!", -EPROTO, GITHUB_FIELD},
    {WEBHOOK_GITHUB, "sha256=g57107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17",
     "Hello, World!", -EPROTO, GITHUB_FIELD},
    {WEBHOOK_STRIPE, "t=" TIME ",v1=" STRIPE_HEX, EVENT, 0, NULL},
    {WEBHOOK_STRIPE,
     "t=" TIME ",v1=" STRIPE_OLD ",v1=" STRIPE_HEX ",v0=6ffbb59b2300aae63f27240606"
     "9a9788598b792a944a07aba816edb039989a39",
     EVENT, 0, NULL},
    {WEBHOOK_STRIPE, "v1=" STRIPE_HEX ",,x,v1=0,t=" TIME ",", EVENT, 0, NULL},
    {WEBHOOK_STRIPE, "t=" TIME ",v1=" STRIPE_OLD, EVENT, -EACCES, ACCESS},
    {WEBHOOK_STRIPE, "t=1767323044,v1=" STRIPE_HEX, EVENT, -EACCES, ACCESS},
    {WEBHOOK_STRIPE, "t=" TIME ",v0=" STRIPE_HEX, EVENT, -EPROTO,
     "no signature v1 in Stripe-Signature"},
    {WEBHOOK_STRIPE, "v1=" STRIPE_HEX, EVENT, -EPROTO, "no time, or not in Unix seconds"},
    {WEBHOOK_STRIPE, "t=,v1=" STRIPE_HEX, EVENT, -EPROTO, "no time, or not in Unix seconds"},
    {WEBHOOK_STRIPE, "t=" TIME ",t=" TIME ",v1=" STRIPE_HEX, EVENT, -EPROTO,
     "two times in Stripe-Signature"},
    {WEBHOOK_STRIPE, ",,,,,,,,,,,,,,,,t=" TIME ",v1=" STRIPE_HEX, EVENT, -EPROTO,
     "too many entries in Stripe-Signature"},
    {WEBHOOK_STRIPE, "t=1767322700,v1=" STRIPE_HEX, EVENT, -ETIME, "signed too long ago"},
};

START_TEST(presets_are_verified)
{
    struct webhook_keys keys = {.n = 0};
    struct slice body = exact(slice_str(presets[_i].body));
    struct slice sig = exact(slice_str(presets[_i].signature));
    struct webhook_received r = {.signature = sig, .body = &body, .body_n = 1};
    const char *why = NULL;
    struct slice secret = presets[_i].scheme == WEBHOOK_GITHUB ? SLICE("It's a Secret to Everybody")
                                                               : SLICE("whsec_test_secret");

    ck_assert_int_eq(webhook_keys_add(&keys, presets[_i].scheme, secret, &why), 0);
    ck_assert_int_eq(webhook_verify(&keys, presets[_i].scheme, &r, at, WEBHOOK_TOLERANCE_S, &why),
                     presets[_i].r);
    if (presets[_i].why)
        ck_assert_str_eq(why, presets[_i].why);
    free((void *)body.p);
    free((void *)sig.p);
    webhook_keys_fini(&keys);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("webhook_sign");
    TCase *tc = tcase_create("webhook_sign");

    tcase_add_loop_test(tc, a_secret_is_what_its_text_says, 0, (int)ARRAY_LEN(texts));
    tcase_add_test(tc, secrets_have_limits);
    tcase_add_test(tc, a_secret_can_be_made);
    tcase_add_test(tc, the_public_half_is_told);
    tcase_add_loop_test(tc, vectors_are_signed, 0, (int)ARRAY_LEN(vectors));
    tcase_add_test(tc, what_must_not_be_signed_is_not);
    tcase_add_test(tc, as_many_keys_as_there_may_be_fit);
    tcase_add_loop_test(tc, standard_is_verified, 0, (int)ARRAY_LEN(standard));
    tcase_add_test(tc, any_time_is_good_where_none_is_asked_for);
    tcase_add_test(tc, each_changed_bit_is_seen);
    tcase_add_loop_test(tc, presets_are_verified, 0, (int)ARRAY_LEN(presets));
    suite_add_tcase(s, tc);
    return run_suite(s);
}
