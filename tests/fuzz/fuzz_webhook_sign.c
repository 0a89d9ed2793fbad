/* Any bytes as the fields of a signed webhook: scheme, signature, id, time and body, a line break
 * between them. Nothing but what was signed verifies, and what we sign does, whatever it is. */
#include <errno.h>
#include <string.h>

#include "libbroker/wire/webhook_sign.h"
#include "tests/fuzz/fuzz_support.h"

static struct webhook_keys keys[3];

static void make_keys(void)
{
    static const char *const secrets[] = {"whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=",
                                          "whsk_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="};
    const char *why;

    for (unsigned i = 0; i < 3; i++)
        for (unsigned k = 0; k < 2; k++)
            must(webhook_keys_add(&keys[i], (enum webhook_scheme)i, slice_str(secrets[k]), &why) ==
                 0);
}

static struct slice cut(struct slice *rest)
{
    const uint8_t *at = rest->n ? memchr(rest->p, '\n', rest->n) : NULL;
    struct slice part = slice_of(rest->p, at ? (size_t)(at - rest->p) : rest->n);

    if (rest->n)
        *rest = slice_from(*rest, part.n + (at != NULL));
    return part;
}

/* As it came; and signed by us, where its id is one. */
static void verify(enum webhook_scheme scheme, struct webhook_received r)
{
    struct webhook_content c = {
        .id = r.id, .time_s = 1767323045, .body = r.body, .body_n = r.body_n};
    char sig[WEBHOOK_SIGNATURE_MAX];
    const char *why = NULL;
    int got = webhook_verify(&keys[scheme], scheme, &r, 1767323045, 300, &why);

    must(got == 0 || got == -EPROTO || got == -ETIME || got == -EACCES);
    must(why && *why);
    got = webhook_sign(&keys[WEBHOOK_STANDARD], &c, sig);
    must(got == -EINVAL || (got > 0 && (size_t)got == strlen(sig)));
    if (got < 0)
        return;
    r.signature = slice_of(sig, (size_t)got);
    r.time = SLICE("1767323045");
    must(webhook_verify(&keys[WEBHOOK_STANDARD], WEBHOOK_STANDARD, &r, 1767323045, 0, &why) == 0);
    sig[3] ^= 1; /* of the first of two entries: the other is good */
    must(webhook_verify(&keys[WEBHOOK_STANDARD], WEBHOOK_STANDARD, &r, 1767323045, 0, &why) == 0);
    r.time = SLICE("1767323046");
    must(webhook_verify(&keys[WEBHOOK_STANDARD], WEBHOOK_STANDARD, &r, 1767323045, 9, &why) ==
         -EACCES);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice rest = slice_of(data, size), scheme = cut(&rest);
    struct webhook_received r = {.signature = cut(&rest), .id = cut(&rest), .time = cut(&rest)};
    struct webhook_keys some = {.n = 0};
    const char *why;

    if (!keys[0].n)
        make_keys();
    r.body = &rest;
    r.body_n = 1;
    verify(scheme.n ? (enum webhook_scheme)(scheme.p[0] % 3) : WEBHOOK_STANDARD, r);
    (void)webhook_keys_add(&some, WEBHOOK_STANDARD, r.signature, &why);
    webhook_keys_fini(&some);
    return 0;
}
