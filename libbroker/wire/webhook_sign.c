#include "libbroker/wire/webhook_sign.h"

#include <errno.h>
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/params.h>
#include <openssl/rand.h>
#include <stdio.h>
#include <stdlib.h>

#include "libbroker/wire/json_text.h"

enum {
    HMAC_BYTES = 32,
    ED_BYTES = 64,    /* of a signature */
    ED_KEY = 32,      /* of a seed, and of a public key */
    SECRET_MIN = 16,  /* below, an HMAC key can be guessed; 24 to 64 are recommended */
    SECRET_MAX = 384, /* WEBHOOK_KEY_MAX in base64 */
    TIME_TEXT = 20,   /* digits of a time, with an end */
    HEAD_MAX = WEBHOOK_ID_MAX + TIME_TEXT + 2,
};

/* One of the two is there. */
struct webhook_key {
    EVP_MAC_CTX *mac; /* an HMAC that has its key and has seen no data yet: copied for each use */
    EVP_PKEY *pair;   /* Ed25519 */
    bool signs;
};

/* ---- keys */

static void key_free(struct webhook_key *k)
{
    if (!k)
        return;
    EVP_MAC_CTX_free(k->mac); /* they clean what is secret in them */
    EVP_PKEY_free(k->pair);
    free(k);
}

static int make_hmac(struct webhook_key *k, struct slice secret)
{
    char sha256[] = "SHA256";
    OSSL_PARAM params[] = {
        OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, sha256, 0),
        OSSL_PARAM_construct_end(),
    };
    EVP_MAC *mac = EVP_MAC_fetch(NULL, OSSL_MAC_NAME_HMAC, NULL);

    k->mac = mac ? EVP_MAC_CTX_new(mac) : NULL;
    EVP_MAC_free(mac); /* the context keeps it */
    k->signs = true;
    return k->mac && EVP_MAC_init(k->mac, secret.p, secret.n, params) ? 0 : -ENOMEM;
}

static int make_pair(struct webhook_key *k, struct slice seed, const char **ret_why)
{
    uint8_t public[ED_KEY];
    size_t n = sizeof public;

    *ret_why = "whsk_ stands before the base64 of 32 bytes (or 64, the public key behind them)";
    if (seed.n != ED_KEY && seed.n != 2 * ED_KEY)
        return -EINVAL;
    k->signs = true;
    k->pair = EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, NULL, seed.p, ED_KEY);
    if (!k->pair || !EVP_PKEY_get_raw_public_key(k->pair, public, &n))
        return -ENOMEM;
    *ret_why = "the public key behind the private one is not its own";
    return seed.n == ED_KEY || memcmp(seed.p + ED_KEY, public, ED_KEY) == 0 ? 0 : -EINVAL;
}

static int make_public(struct webhook_key *k, struct slice public, const char **ret_why)
{
    *ret_why = "whpk_ stands before the base64 of 32 bytes";
    if (public.n != ED_KEY)
        return -EINVAL;
    k->pair = EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, NULL, public.p, public.n);
    return k->pair ? 0 : -ENOMEM;
}

/* A secret of `standard`, from its text. */
static int make_standard(struct webhook_key *k, struct slice text, const char **ret_why)
{
    static const size_t prefix = sizeof "whsec_" - 1;
    bool seed = slice_starts(text, SLICE("whsk_")), public = slice_starts(text, SLICE("whpk_"));
    uint8_t bytes[SECRET_MAX];
    struct slice secret = {bytes, 0};
    int r;

    if (seed || public)
        text = slice_from(text, prefix - 1);
    else if (slice_starts(text, SLICE("whsec_")))
        text = slice_from(text, prefix);
    *ret_why = "a secret is base64, whsec_ or whsk_ before it";
    if (base64_decode(text, bytes, &secret.n) < 0)
        r = -EINVAL;
    else if (seed)
        r = make_pair(k, secret, ret_why);
    else if (public)
        r = make_public(k, secret, ret_why);
    else if (secret.n < SECRET_MIN) {
        *ret_why = "the secret is shorter than 16 bytes";
        r = -EINVAL;
    } else
        r = make_hmac(k, secret);
    OPENSSL_cleanse(bytes, sizeof bytes);
    return r;
}

int webhook_keys_add(struct webhook_keys *keys, enum webhook_scheme scheme, struct slice text,
                     const char **ret_why)
{
    struct webhook_key *k;
    int r;

    *ret_why = text.n ? "the secret is too long" : "the secret is empty";
    if (text.n == 0 || text.n > WEBHOOK_KEY_MAX)
        return -EINVAL;
    *ret_why = "too many secrets";
    if (keys->n == WEBHOOK_KEYS_MAX)
        return -ENOSPC;
    k = calloc(1, sizeof *k);
    if (!k)
        r = -ENOMEM;
    else
        r = scheme == WEBHOOK_STANDARD ? make_standard(k, text, ret_why) : make_hmac(k, text);
    if (r < 0) {
        key_free(k);
        if (r == -ENOMEM)
            *ret_why = "no memory";
        return r;
    }
    keys->key[keys->n++] = k;
    return 0;
}

void webhook_keys_fini(struct webhook_keys *keys)
{
    for (unsigned i = 0; i < keys->n; i++)
        key_free(keys->key[i]);
    *keys = (struct webhook_keys){.n = 0};
}

int webhook_secret_make(char ret[WEBHOOK_SECRET_TEXT])
{
    uint8_t bytes[HMAC_BYTES];

    if (RAND_bytes(bytes, sizeof bytes) != 1)
        return -EIO;
    memcpy(ret, "whsec_", 6);
    *base64_put((uint8_t *)ret + 6, slice_of(bytes, sizeof bytes)) = '\0';
    OPENSSL_cleanse(bytes, sizeof bytes);
    return 0;
}

int webhook_public_key(const struct webhook_keys *keys, unsigned i, char ret[WEBHOOK_PUBLIC_TEXT])
{
    uint8_t bytes[ED_KEY];
    size_t n = sizeof bytes;

    if (i >= keys->n || !keys->key[i]->pair ||
        !EVP_PKEY_get_raw_public_key(keys->key[i]->pair, bytes, &n))
        return -ENOENT;
    memcpy(ret, "whpk_", 5);
    *base64_put((uint8_t *)ret + 5, slice_of(bytes, n)) = '\0';
    return 0;
}

/* ---- what a signature is made of: a head that is ours, and the body */

struct signed_bytes {
    uint8_t head[HEAD_MAX];
    size_t head_n;
    const struct slice *body;
    size_t body_n;
};

static void put_head(struct signed_bytes *s, struct slice part)
{
    memcpy(s->head + s->head_n, part.p, part.n);
    s->head_n += part.n;
    s->head[s->head_n++] = '.';
}

/* Would an id with a '.' be signed, bytes could move from it to the time or the body unseen. */
static bool is_id(struct slice id)
{
    for (size_t i = 0; i < id.n; i++) {
        if (id.p[i] <= ' ' || id.p[i] >= 0x7f || id.p[i] == '.')
            return false;
    }
    return id.n > 0 && id.n <= WEBHOOK_ID_MAX;
}

static int hmac(const struct webhook_key *k, const struct signed_bytes *s, uint8_t ret[HMAC_BYTES])
{
    EVP_MAC_CTX *ctx = EVP_MAC_CTX_dup(k->mac);
    size_t n = 0;
    bool ok = ctx && EVP_MAC_update(ctx, s->head, s->head_n);

    for (size_t i = 0; ok && i < s->body_n; i++)
        ok = s->body[i].n == 0 || EVP_MAC_update(ctx, s->body[i].p, s->body[i].n);
    ok = ok && EVP_MAC_final(ctx, ret, &n, HMAC_BYTES) && n == HMAC_BYTES;
    EVP_MAC_CTX_free(ctx);
    return ok ? 0 : -ENOMEM;
}

/* Ed25519 goes over the bytes twice, so it wants them in one piece: *ret_own is to be freed. */
static int join(const struct signed_bytes *s, uint8_t **ret_own, size_t *ret_n)
{
    size_t n = s->head_n;
    uint8_t *p;

    for (size_t i = 0; i < s->body_n; i++)
        n += s->body[i].n;
    p = malloc(n);
    if (!p)
        return -ENOMEM;
    *ret_own = p;
    *ret_n = n;
    memcpy(p, s->head, s->head_n);
    p += s->head_n;
    for (size_t i = 0; i < s->body_n; p += s->body[i++].n) {
        if (s->body[i].n)
            memcpy(p, s->body[i].p, s->body[i].n);
    }
    return 0;
}

static int ed_sign(const struct webhook_key *k, const struct signed_bytes *s, uint8_t ret[ED_BYTES])
{
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    size_t n, sig_n = ED_BYTES;
    uint8_t *whole = NULL;
    bool ok = ctx && join(s, &whole, &n) == 0 &&
              EVP_DigestSignInit(ctx, NULL, NULL, NULL, k->pair) == 1 &&
              EVP_DigestSign(ctx, ret, &sig_n, whole, n) == 1;

    EVP_MD_CTX_free(ctx);
    free(whole);
    return ok ? 0 : -ENOMEM;
}

/* 0: it fits; -EACCES: it does not. */
static int ed_verify(const struct webhook_key *k, const uint8_t *whole, size_t n,
                     const uint8_t sig[ED_BYTES])
{
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    int r = -ENOMEM;

    if (ctx && EVP_DigestVerifyInit(ctx, NULL, NULL, NULL, k->pair) == 1)
        r = EVP_DigestVerify(ctx, sig, ED_BYTES, whole, n) == 1 ? 0 : -EACCES;
    EVP_MD_CTX_free(ctx);
    return r;
}

/* ---- signing */

static int put_entry(const struct webhook_key *k, const struct signed_bytes *s, char **p)
{
    uint8_t sig[ED_BYTES];
    int r = k->pair ? ed_sign(k, s, sig) : hmac(k, s, sig);

    if (r < 0)
        return r;
    *p += sprintf(*p, k->pair ? "v1a," : "v1,");
    *p = (char *)base64_put((uint8_t *)*p, slice_of(sig, k->pair ? ED_BYTES : HMAC_BYTES));
    return 0;
}

int webhook_sign(const struct webhook_keys *keys, const struct webhook_content *c,
                 char ret[WEBHOOK_SIGNATURE_MAX])
{
    struct signed_bytes s = {.body = c->body, .body_n = c->body_n};
    char time[TIME_TEXT + 1], *p = ret;
    int n;

    if (!is_id(c->id) || c->time_s < 0 || keys->n == 0)
        return -EINVAL;
    n = snprintf(time, sizeof time, "%lld", (long long)c->time_s);
    put_head(&s, c->id);
    put_head(&s, slice_of(time, (size_t)n));
    for (unsigned i = 0; i < keys->n; i++) {
        int r = keys->key[i]->signs ? 0 : -EINVAL;

        if (i > 0)
            *p++ = ' ';
        if (r == 0)
            r = put_entry(keys->key[i], &s, &p);
        if (r < 0)
            return r;
    }
    *p = '\0';
    return (int)(p - ret);
}

/* ---- reading what a request says of itself */

struct entry {
    bool ed; /* of ED_BYTES; else an HMAC of HMAC_BYTES */
    uint8_t sig[ED_BYTES + 2];
};

struct claims {
    struct entry entry[WEBHOOK_ENTRIES_MAX];
    unsigned n;
    struct slice time; /* as it is signed; empty: none is told */
};

/* Cut what stands before the next `by` (or all) off *rest. */
static struct slice cut(struct slice *rest, char by)
{
    const uint8_t *at = rest->n ? memchr(rest->p, by, rest->n) : NULL;
    struct slice part = slice_of(rest->p, at ? (size_t)(at - rest->p) : rest->n);

    *rest = slice_from(*rest, part.n + (at != NULL));
    return part;
}

static int malformed(const char **ret_why, const char *why)
{
    *ret_why = why;
    return -EPROTO;
}

static int hex_digit(uint8_t c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Is it the hex of an HMAC? */
static bool read_hex(struct slice text, uint8_t ret[HMAC_BYTES])
{
    if (text.n != 2 * HMAC_BYTES)
        return false;
    for (size_t i = 0; i < HMAC_BYTES; i++) {
        int high = hex_digit(text.p[2 * i]), low = hex_digit(text.p[2 * i + 1]);

        if (high < 0 || low < 0)
            return false;
        ret[i] = (uint8_t)(high << 4 | low);
    }
    return true;
}

/* Is it the base64 of a signature of that kind? */
static bool read_base64(struct slice text, struct entry *e)
{
    size_t want = e->ed ? ED_BYTES : HMAC_BYTES, n;

    return text.n == base64_size(want) && base64_decode(text, e->sig, &n) == 0 && n == want;
}

/* "v1,BASE64 v1a,BASE64": what is of no version we know, or no signature, is passed over. */
static int read_standard(struct slice field, struct claims *c, const char **ret_why)
{
    unsigned entries = 0;

    while (field.n) {
        struct slice value = cut(&field, ' '), label;
        struct entry *e = &c->entry[c->n];

        if (value.n == 0)
            continue;
        if (++entries > WEBHOOK_ENTRIES_MAX)
            return malformed(ret_why, "too many entries in webhook-signature");
        label = cut(&value, ',');
        e->ed = slice_eq(label, SLICE("v1a"));
        if ((e->ed || slice_eq(label, SLICE("v1"))) && read_base64(value, e))
            c->n++;
    }
    return c->n ? 0 : malformed(ret_why, "no signature v1 or v1a in webhook-signature");
}

static int read_github(struct slice field, struct claims *c, const char **ret_why)
{
    struct slice name = cut(&field, '=');

    if (!slice_eq(name, SLICE("sha256")) || !read_hex(field, c->entry[0].sig))
        return malformed(ret_why, "X-Hub-Signature-256 is not sha256= and 64 hex digits");
    c->n = 1;
    return 0;
}

/* "t=1767323045,v1=HEX,v0=HEX" */
static int read_stripe(struct slice field, struct claims *c, const char **ret_why)
{
    unsigned entries = 0;

    while (field.n) {
        struct slice value = cut(&field, ','), name;

        if (++entries > WEBHOOK_ENTRIES_MAX)
            return malformed(ret_why, "too many entries in Stripe-Signature");
        name = cut(&value, '=');
        if (slice_eq(name, SLICE("t"))) {
            if (c->time.n)
                return malformed(ret_why, "two times in Stripe-Signature");
            c->time = value;
        } else if (slice_eq(name, SLICE("v1")) && read_hex(value, c->entry[c->n].sig))
            c->n++;
    }
    return c->n ? 0 : malformed(ret_why, "no signature v1 in Stripe-Signature");
}

/* Digits alone, and no more than have a meaning. */
static bool read_time(struct slice text, int64_t *ret)
{
    int64_t v = 0;

    if (text.n == 0 || text.n > 18)
        return false;
    for (size_t i = 0; i < text.n; i++) {
        if (text.p[i] < '0' || text.p[i] > '9')
            return false;
        v = 10 * v + (text.p[i] - '0');
    }
    *ret = v;
    return true;
}

/* The time as text goes into the head as it stands, for that was signed. */
static int check_time(struct slice text, int64_t now_s, int64_t tolerance_s, const char **ret_why)
{
    int64_t at;

    if (!read_time(text, &at))
        return malformed(ret_why, "no time, or not in Unix seconds");
    *ret_why = at < now_s ? "signed too long ago" : "signed in the future";
    if (tolerance_s >= 0 && (at < now_s ? now_s - at : at - now_s) > tolerance_s)
        return -ETIME;
    return 0;
}

static int read_claims(enum webhook_scheme scheme, const struct webhook_received *r,
                       struct claims *c, const char **ret_why)
{
    switch (scheme) {
    case WEBHOOK_STANDARD:
        if (!is_id(r->id))
            return malformed(ret_why, "webhook-id is missing, or is none");
        c->time = r->time;
        return read_standard(r->signature, c, ret_why);
    case WEBHOOK_GITHUB:
        return read_github(r->signature, c, ret_why);
    case WEBHOOK_STRIPE:
        return read_stripe(r->signature, c, ret_why);
    }
    return malformed(ret_why, "no such scheme");
}

/* ---- verifying */

/* 0: one of the claims fits the key; -EACCES: none does. */
static int fits_hmac(const struct webhook_key *k, const struct claims *c,
                     const struct signed_bytes *s)
{
    uint8_t mac[HMAC_BYTES];
    int r = hmac(k, s, mac);

    if (r < 0)
        return r;
    r = -EACCES;
    for (unsigned i = 0; i < c->n; i++) {
        if (!c->entry[i].ed && CRYPTO_memcmp(mac, c->entry[i].sig, sizeof mac) == 0)
            r = 0;
    }
    return r;
}

static int fits_pair(const struct webhook_key *k, const struct claims *c,
                     const struct signed_bytes *s)
{
    uint8_t *whole = NULL;
    int r = -EACCES;
    size_t n;

    for (unsigned i = 0; i < c->n && r == -EACCES; i++) {
        if (!c->entry[i].ed)
            continue;
        if (!whole && join(s, &whole, &n) < 0)
            return -ENOMEM;
        r = ed_verify(k, whole, n, c->entry[i].sig);
    }
    free(whole);
    return r;
}

int webhook_verify(const struct webhook_keys *keys, enum webhook_scheme scheme,
                   const struct webhook_received *received, int64_t now_s, int64_t tolerance_s,
                   const char **ret_why)
{
    struct signed_bytes s = {.body = received->body, .body_n = received->body_n};
    struct claims c = {.n = 0};
    int r;

    *ret_why = "the signature is missing";
    if (received->signature.n == 0)
        return -EPROTO;
    r = read_claims(scheme, received, &c, ret_why);
    if (r == 0 && scheme != WEBHOOK_GITHUB)
        r = check_time(c.time, now_s, tolerance_s, ret_why);
    if (r < 0)
        return r;
    if (scheme == WEBHOOK_STANDARD)
        put_head(&s, received->id);
    if (scheme != WEBHOOK_GITHUB)
        put_head(&s, c.time);
    r = -EACCES;
    for (unsigned i = 0; i < keys->n && r == -EACCES; i++) {
        const struct webhook_key *k = keys->key[i];

        r = k->pair ? fits_pair(k, &c, &s) : fits_hmac(k, &c, &s);
    }
    *ret_why = r == -ENOMEM ? "no memory" : "the signature does not fit";
    return r;
}
